//! RFC 3042, limited transmit.

use crate::conn::{Conn, MSS, Seg, Setup, numbers};

conformance! {
    "RFC 3042", "Limited transmit";

    Should "RFC3042-2-new" "2" "The first and second duplicate ACK each send a new segment if the windows allow."
        => duplicates_send_new_data;
    Must "RFC3042-2-bound" "2" "Flight exceeds the congestion window by two segments at most."
        => two_beyond_the_window_at_most;
    MustNot "RFC3042-2-cwnd" "2" "The congestion window does not change."
        => limited_transmit_leaves_the_window;
    MustNot "RFC3042-3-rwnd" "2" "The peer's window is respected."
        => limited_transmit_respects_the_peer;
    MustNot "RFC3042-2-sack-old" "2" "With SACK a duplicate without new information sends nothing."
        => duplicates_without_news_send_nothing;
}

fn in_flight(sack: bool) -> Conn {
    let mut conn = Setup::default().sack(sack).open();
    conn.write(30);
    assert_eq!(conn.numbers(), numbers(0..10));
    conn.run(100);
    conn
}

/// The nth duplicate.
fn duplicate(conn: &mut Conn, n: u32) {
    conn.run(2);
    match conn.info().sack {
        true => conn.sack(0, &[(1, 1 + n)]),
        false => conn.ack(0),
    }
}

fn duplicates_send_new_data() {
    for sack in [true, false] {
        let mut conn = in_flight(sack);
        for n in 1..=2 {
            duplicate(&mut conn, n);
            assert_eq!(conn.numbers(), [9 + n], "SACK {sack}");
        }
    }
}

fn two_beyond_the_window_at_most() {
    for sack in [true, false] {
        let mut conn = in_flight(sack);
        for n in 1..=2 {
            duplicate(&mut conn, n);
            let info = conn.info();
            assert!(info.unacked <= info.snd_cwnd + 2);
            conn.run(20 - 2 * u64::from(n));
        }
        assert_eq!(conn.info().unacked, 12);
    }
}

fn limited_transmit_leaves_the_window() {
    for sack in [true, false] {
        let mut conn = in_flight(sack);
        let before = conn.window();
        for n in 1..=2 {
            duplicate(&mut conn, n);
            assert_eq!(conn.window(), before);
        }
    }
}

fn limited_transmit_respects_the_peer() {
    for sack in [true, false] {
        let mut conn = Setup::default().sack(sack).open();
        // Ten segments and a half.
        conn.offer(82);
        conn.write(30);
        assert_eq!(conn.sent().len(), 10);
        conn.run(100);
        for n in 1..=2 {
            conn.run(2);
            let block = if sack { vec![(MSS, MSS + n * MSS)] } else { vec![] };
            let seg = Seg { sack: block, ..conn.seg(0) };
            conn.inject(&seg);
            conn.quiet();
        }
    }
}

fn duplicates_without_news_send_nothing() {
    let mut conn = in_flight(true);
    duplicate(&mut conn, 1);
    conn.sent();
    for _ in 0..5 {
        conn.run(2);
        conn.sack(0, &[(1, 2)]);
        conn.quiet();
    }
    conn.ack(0);
    conn.quiet();
}
