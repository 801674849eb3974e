//! RFC 6675, recovery by SACK. What is lost is told by RACK (RFC 8985), as on Linux.

use tapping_stack::tcp::cc::CaState;

use crate::conn::{Conn, Setup, numbers};
use crate::path::{Path, segments};

conformance! {
    "RFC 6675", "Recovery by SACK";

    Must "RFC6675-3-sack" "3" "Every ACK's blocks are noted before anything else is decided."
        => blocks_are_noted_first;
    Rule "RFC6675-4-islost" "4" "A segment is lost when three segments above it were SACKed."
        => three_sacked_above_is_lost;
    Rule "RFC6675-4-pipe" "4" "What is in flight leaves out what is SACKed or lost, and counts retransmissions."
        => what_is_in_flight;
    Rule "RFC6675-4-nextseg-1" "4" "Lost segments go first, lowest number first."
        => lost_segments_go_first;
    Rule "RFC6675-4-nextseg-2" "4" "Then new data, if the windows allow." => then_new_data;
    Rule "RFC6675-4-nextseg-3" "4" "Then what may be lost."
        deviation "As Linux: only what is marked lost is retransmitted, and a tail loss probe stands in for the rescue."
        => what_may_be_lost_waits;
    Must "RFC6675-5-once" "5" "A window of data lowers the congestion window once."
        => one_window_lowers_once;
    Must "RFC6675-5-exit" "5" "Recovery ends when all that was sent before it is acknowledged."
        => recovery_ends_at_the_mark;
    Must "RFC6675-5-conserve" "5" "In recovery what goes out is bounded by what has left the network."
        => sending_in_recovery_is_clocked;
    Must "RFC6675-5.1-rto" "5.1" "A timeout ends recovery, and no new one begins for data sent before it."
        => a_timeout_ends_recovery;
    Should "RFC6675-6-timer" "6" "The timer restarts with each retransmission of the first segment."
        => the_timer_follows_the_first_segment;
    Rule "RFC6675-5-lostretransmit" "5" "A retransmission that is lost again is found without a timeout."
        => a_lost_retransmission_is_found;
}

/// Of so many segments written ten are in flight, and a round trip has passed.
fn ten_of(written: u32) -> Conn {
    let mut conn = Setup::default().open();
    conn.write(written);
    assert_eq!(conn.numbers(), numbers(0..10));
    conn.run(100);
    conn
}

fn blocks_are_noted_first() {
    let mut conn = ten_of(10);
    // The ACK moves on and shows a loss above at once: that one is sent again, not the first.
    conn.sack(2, &[(3, 6)]);
    assert_eq!(conn.numbers(), [2]);
    let info = conn.info();
    assert_eq!((info.unacked, info.sacked, info.lost, info.retrans), (8, 3, 1, 1));
}

fn three_sacked_above_is_lost() {
    let mut conn = ten_of(10);
    for sacked in 1..=2 {
        conn.sack(0, &[(1, 1 + sacked)]);
        assert_eq!(conn.info().lost, 0);
        conn.quiet();
    }
    conn.sack(0, &[(1, 4)]);
    assert_eq!((conn.info().lost, conn.numbers()), (1, vec![0]));
    // They need not be next to each other.
    let mut conn = ten_of(10);
    conn.sack(0, &[(1, 2), (4, 5)]);
    conn.sack(0, &[(7, 8), (4, 5), (1, 2)]);
    assert_eq!(conn.numbers()[0], 0);
}

fn what_is_in_flight() {
    let mut conn = ten_of(10);
    let flight = |conn: &mut Conn| {
        let info = conn.info();
        (info.unacked, info.sacked, info.lost, info.retrans)
    };
    conn.sack(0, &[(1, 3)]);
    assert_eq!(flight(&mut conn), (10, 2, 0, 0));
    conn.sack(0, &[(1, 4)]);
    assert_eq!(flight(&mut conn), (10, 3, 1, 1));
    conn.sack(0, &[(1, 4), (8, 10)]);
    // 0 and 4 to 7 are lost; what is in flight is only what was sent again.
    let (unacked, sacked, lost, retrans) = flight(&mut conn);
    assert_eq!((unacked, sacked, lost), (10, 5, 5));
    assert_eq!(unacked - sacked - lost + retrans, retrans);
    conn.ack(4);
    let (unacked, sacked, lost, _) = flight(&mut conn);
    assert_eq!((unacked, sacked, lost), (6, 2, 4));
}

fn lost_segments_go_first() {
    let mut conn = ten_of(30);
    conn.sack(0, &[(1, 2), (3, 4), (5, 10)]);
    let mut sent = conn.numbers();
    conn.run(50);
    conn.sack(2, &[(3, 4), (5, 10)]);
    sent.extend(conn.numbers());
    conn.sack(4, &[(5, 10)]);
    sent.extend(conn.numbers());
    let mut sorted = sent.clone();
    sorted.sort_unstable();
    assert_eq!(sent, sorted);
    assert_eq!(sent[..3], [0, 2, 4]);
    assert!(sent[3..].iter().all(|number| *number >= 10), "{sent:?}");
}

fn then_new_data() {
    let mut conn = ten_of(30);
    conn.sack(0, &[(1, 4)]);
    assert_eq!(conn.numbers(), [0, 10]);
    conn.sack(0, &[(1, 10)]);
    let sent = conn.numbers();
    assert_eq!(sent[0], 11);
    // Not where the peer has no room.
    let mut conn = ten_of(30);
    conn.offer(10 * 1000 / 128 + 1);
    conn.sack(0, &[(1, 4)]);
    assert_eq!(conn.numbers(), [0]);
    conn.sack(0, &[(1, 10)]);
    conn.quiet();
}

fn what_may_be_lost_waits() {
    let mut conn = Setup::default().open();
    conn.write(5);
    conn.sent();
    conn.run(100);
    // 4 may be lost, and the window has room.
    conn.sack(0, &[(1, 4)]);
    assert_eq!(conn.numbers(), [0]);
    conn.run(100);
    // What 0's retransmission tells: it was sent later and has arrived.
    conn.ack(4);
    assert_eq!(conn.numbers(), [4]);
    assert_eq!(conn.ext().tcp_timeouts, 0);
}

fn one_window_lowers_once() {
    let mut conn = ten_of(30);
    conn.sack(0, &[(1, 4)]);
    let ssthresh = conn.window().1;
    assert_eq!(ssthresh, 5);
    conn.sack(0, &[(1, 4), (5, 7)]);
    conn.sack(0, &[(1, 4), (5, 7), (8, 10)]);
    conn.run(100);
    conn.sack(4, &[(5, 7), (8, 10)]);
    assert_eq!(conn.window().1, ssthresh);
    assert_eq!(conn.ext().tcp_sack_recovery, 1);
}

fn recovery_ends_at_the_mark() {
    let mut conn = ten_of(30);
    conn.sack(0, &[(1, 10)]);
    conn.run(100);
    let new = conn.info().unacked - 10;
    assert!(new > 0, "new data was sent");
    conn.sack(0, &[(1, 10)]);
    assert_eq!(conn.info().ca_state, CaState::Recovery);
    conn.ack(9);
    assert_eq!(conn.info().ca_state, CaState::Recovery);
    conn.ack(10);
    assert_eq!(conn.info().ca_state, CaState::Open);
    assert_eq!(conn.window().0, 5);
}

fn sending_in_recovery_is_clocked() {
    let mut conn = ten_of(100);
    let mut out = 0;
    for sacked in 3..10 {
        conn.sack(0, &[(1, 1 + sacked)]);
        out += conn.numbers().len() as u32;
        assert!(out <= sacked, "{out} for {sacked}");
        conn.run(5);
        conn.quiet();
    }
    assert!(out >= 4, "half of what was delivered: {out}");
}

fn a_timeout_ends_recovery() {
    let mut conn = ten_of(10);
    conn.sack(0, &[(1, 4)]);
    assert_eq!(conn.info().ca_state, CaState::Recovery);
    conn.sent();
    conn.run(300);
    assert_eq!(conn.numbers(), [0]);
    assert_eq!(conn.info().ca_state, CaState::Loss);
    let ssthresh = conn.window().1;
    conn.run(10);
    conn.sack(0, &[(1, 9)]);
    assert_eq!(conn.info().ca_state, CaState::Loss);
    assert_eq!((conn.window().1, conn.ext().tcp_sack_recovery), (ssthresh, 1));
}

fn the_timer_follows_the_first_segment() {
    let mut conn = ten_of(10);
    conn.sack(0, &[(1, 4)]);
    assert_eq!(conn.numbers(), [0]);
    let rto = conn.info().rto.as_millis() as u64;
    conn.run(rto - 1);
    assert_eq!(conn.ext().tcp_timeouts, 0);
    conn.run(1);
    assert_eq!(conn.ext().tcp_timeouts, 1);
}

fn a_lost_retransmission_is_found() {
    for times in [2, 3] {
        let mut path = Path::new(7, std::time::Duration::from_millis(50), |_| {});
        path.warm_up();
        let first = path.written();
        path.lose(segments(first + 3, first + 4), times);
        path.transfer(300);
        let ext = path.sender_ext();
        assert_eq!((ext.tcp_timeouts, ext.tcp_lost_retransmit), (0, u64::from(times - 1)));
        assert_eq!(path.retransmitted(), times.into());
    }
}
