//! RFC 4015, the Eifel response algorithm.

use tapping_stack::tcp::cc::{CaState, INFINITE_SSTHRESH};
use tapping_stack::wire::TcpFlags;

use crate::conn::{Conn, Seg, Setup, numbers};

conformance! {
    "RFC 4015", "Eifel response";

    Should "RFC4015-3.2-restore" "3.2" "After a spurious timeout window and ssthresh are what they were."
        => window_and_ssthresh_are_restored;
    MustNot "RFC4015-3.2-ecn" "3.2" "They are not when an echo of congestion came meanwhile."
        => an_echo_forbids_undoing;
    Must "RFC4015-3.2-nogobackn" "3.2" "Sending goes on with new data."
        => new_data_after_a_spurious_timeout;
    MustNot "RFC4015-3.2-burst" "3.2" "No burst follows." => undoing_sets_no_burst_free;
    Should "RFC4015-3.3-rto" "3.3" "The timer adapts to the longer round trip."
        => the_timer_adapts_after_undo;
    Rule "RFC4015-3.1-recovery" "3.1" "A fast retransmit caused by reordering is undone likewise."
        => reordering_is_undone;
}

/// Ten of thirty segments are in flight, the first was sent again after a timeout; the timestamp of
/// the originals.
fn timed_out(setup: Setup) -> (Conn, u32) {
    let setup = setup.timestamps().config(|config| config.tcp.tail_loss_probe = false);
    let mut conn = setup.open();
    conn.write(30);
    let original = conn.sent()[0].timestamps.expect("timestamps").0;
    conn.run(300);
    assert_eq!(conn.numbers(), [0]);
    conn.run(20);
    assert_eq!(conn.window(), (1, 5));
    (conn, original)
}

fn window_and_ssthresh_are_restored() {
    let (mut conn, original) = timed_out(Setup::default());
    conn.ack_echoing(1, original);
    assert_eq!(conn.ext().tcp_loss_undo, 1);
    let info = conn.info();
    assert_eq!((info.ca_state, info.snd_ssthresh), (CaState::Open, INFINITE_SSTHRESH));
    assert!((10..=11).contains(&info.snd_cwnd), "{}", info.snd_cwnd);
    assert_eq!((info.backoff, info.retransmits), (0, 0));
}

fn an_echo_forbids_undoing() {
    let (mut conn, original) = timed_out(Setup::default().ecn());
    let flags = TcpFlags::ACK | TcpFlags::ECE;
    let seg = Seg { flags, echo: Some(original), ..conn.seg(1) };
    conn.inject(&seg);
    assert!(conn.window().1 <= 5);
    assert_eq!(conn.info().ca_state, CaState::Cwr);
}

fn new_data_after_a_spurious_timeout() {
    let (mut conn, original) = timed_out(Setup::default());
    conn.ack_echoing(1, original);
    let mut sent = conn.numbers();
    for acked in 2..=10 {
        conn.run(5);
        conn.ack_echoing(acked, original);
        sent.extend(conn.numbers());
    }
    assert_eq!(sent[..], numbers(10..30)[..sent.len()]);
    assert!(sent.len() >= 10);
    assert_eq!(conn.info().total_retrans, 1);
}

fn undoing_sets_no_burst_free() {
    let (mut conn, original) = timed_out(Setup::default());
    for acked in 1..=5 {
        conn.ack_echoing(acked, original);
        let sent = conn.numbers();
        assert!(sent.len() <= 2, "{sent:?}");
        conn.run(5);
    }
}

fn the_timer_adapts_after_undo() {
    let (mut conn, original) = timed_out(Setup::default());
    let before = conn.info();
    assert_eq!(before.rto.as_millis(), 600, "backed off");
    conn.run(180);
    conn.ack_echoing(1, original);
    let info = conn.info();
    // 100 ms were expected and 500 seen.
    assert_eq!(info.rtt.as_millis(), 150);
    assert!(info.rto > info.rtt * 3, "{:?}", info.rto);
}

fn reordering_is_undone() {
    let mut conn = Setup::default().timestamps().open();
    conn.write(30);
    let original = conn.sent()[0].timestamps.expect("timestamps").0;
    conn.run(100);
    conn.sack(0, &[(1, 6)]);
    assert!(conn.numbers().contains(&0));
    assert_eq!((conn.info().ca_state, conn.window().1), (CaState::Recovery, 5));
    conn.run(10);
    // The delayed original: nothing is known while the copy may be on its way...
    conn.ack_echoing(6, original);
    assert_eq!(conn.window().1, INFINITE_SSTHRESH);
    assert_ne!(conn.info().ca_state, CaState::Recovery);
    assert_eq!(conn.ext().tcp_partial_undo, 1);
    assert!(conn.info().reordering > 3 && conn.info().reord_seen > 0);
}
