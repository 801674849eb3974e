//! RFC 6928, a first window of ten segments.

use tapping_stack::wire::TcpFlags;

use crate::conn::{Conn, MSS, Setup, numbers};

conformance! {
    "RFC 6928", "First window of ten";

    Should "RFC6928-2-ten" "2" "The first window is ten segments, or the bytes of ten of 1460."
        deviation "As Linux it is ten packets, whatever their size."
        => the_first_window_is_ten;
    Must "RFC6928-2-lost-syn" "2" "After a SYN or SYN-ACK was lost more than once it is one."
        => after_lost_syns_one;
    Linux "RFC6928-2-spurious-syn" "2" "Unless timestamps show that the first one had arrived."
        => after_needless_syns_ten;
    Rule "RFC6928-2-rwnd" "2" "The peer's window bounds it." => the_peer_bounds_the_first_window;
    Rule "RFC6928-3-idle" "3" "It is the restart window, too." => the_restart_window_is_ten;
}

fn the_first_window_is_ten() {
    for maxseg in [100, 536, 1000] {
        let mut conn = Setup::default().options(|options| options.maxseg = Some(maxseg)).open();
        conn.write(100);
        let sent = conn.sent();
        assert_eq!(sent.len(), 10);
        assert!(sent.iter().all(|sent| sent.len == u32::from(maxseg)));
    }
}

/// The first flight of a host that accepts, its SYN-ACK sent so many times again.
fn after_lost_syn_acks(lost: u32) -> usize {
    let mut conn = Conn::prepare(&Setup::default());
    conn.listen();
    conn.syn(TcpFlags::SYN);
    let mut wait = 1000;
    for _ in 0..lost {
        conn.run(wait);
        wait *= 2;
    }
    assert_eq!(conn.sent().len() as u32, 1 + lost);
    conn.ack(0);
    conn.take();
    conn.write(100);
    conn.sent().len()
}

fn after_lost_syns_one() {
    assert_eq!([0, 1, 2, 3].map(after_lost_syn_acks), [10, 10, 1, 1]);
}

fn after_needless_syns_ten() {
    for echoes_first in [true, false] {
        let mut conn = Conn::prepare(&Setup::default().timestamps());
        conn.listen();
        conn.syn(TcpFlags::SYN);
        let first = conn.only().timestamps.expect("timestamps").0;
        conn.run(3500);
        let last = conn.sent().pop().expect("SYN-ACK again").timestamps.expect("timestamps").0;
        conn.ack_echoing(0, if echoes_first { first } else { last });
        conn.take();
        conn.write(100);
        assert_eq!(conn.sent().len(), if echoes_first { 10 } else { 1 });
    }
}

fn the_peer_bounds_the_first_window() {
    let mut conn = Setup::default().open();
    conn.offer((4 * MSS / 128 + 1) as u16);
    conn.write(100);
    assert_eq!(conn.sent().len(), 4);
}

fn the_restart_window_is_ten() {
    let mut conn = Setup::default().open();
    let acked = conn.grow_to(100);
    conn.run(60_000);
    conn.write(100);
    assert_eq!(conn.numbers(), numbers(acked..acked + 10));
}
