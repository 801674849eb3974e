//! RFC 6582, NewReno: peers without SACK.

use tapping_stack::tcp::cc::CaState;

use crate::conn::{Conn, Setup, numbers};
use crate::path::{Path, segments};

conformance! {
    "RFC 6582", "NewReno (peers without SACK)";

    Must "RFC6582-3.2-recover-initial" "3.2" "The mark of a recovery begins at the first number."
        => the_mark_begins_at_the_first_number;
    Must "RFC6582-3.2-once" "3.2" "Duplicate ACKs below the mark of the last recovery start no new one."
        => no_second_recovery_for_one_window;
    Must "RFC6582-3.2-partial" "3.2" "A partial ACK retransmits the next segment at once."
        => a_partial_ack_retransmits_the_next;
    Must "RFC6582-3.2-partial-stay" "3.2" "A partial ACK does not end recovery."
        => a_partial_ack_does_not_end_recovery;
    Rule "RFC6582-3.2-full" "3.2" "An ACK of everything sent before ends recovery."
        => a_full_ack_ends_recovery;
    Must "RFC6582-3.2-timer" "3.2" "Only the first partial ACK restarts the timer."
        deviation "As on Linux every ACK that moves on restarts it."
        => the_timer_in_recovery;
    Must "RFC6582-4-rto-mark" "4" "After a timeout duplicate ACKs of what was sent before start no recovery."
        => no_recovery_right_after_a_timeout;
    Rule "RFC6582-3.2-many" "3.2" "Several losses in a window are repaired one per round trip, without a timeout."
        => several_losses_take_a_round_trip_each;
}

/// Ten segments are in flight of so many, and seven duplicates have come for the first.
fn in_recovery(written: u32) -> Conn {
    let mut conn = Setup::default().sack(false).open();
    conn.write(written);
    conn.run(100);
    assert_eq!(conn.numbers(), numbers(0..10));
    for _ in 0..7 {
        conn.ack(0);
    }
    assert!(conn.numbers().contains(&0));
    assert_eq!(conn.info().ca_state, CaState::Recovery);
    conn
}

fn the_mark_begins_at_the_first_number() {
    // The very first window.
    let conn = &mut in_recovery(10);
    assert_eq!(conn.ext().tcp_reno_recovery, 1);
}

fn no_second_recovery_for_one_window() {
    let mut conn = in_recovery(10);
    conn.run(100);
    conn.ack(10);
    let ssthresh = conn.window().1;
    // What the needless copies of that window cause.
    conn.write(5);
    conn.sent();
    for _ in 0..5 {
        conn.ack(10);
    }
    conn.quiet();
    assert_eq!((conn.window().1, conn.ext().tcp_reno_recovery), (ssthresh, 1));
}

fn a_partial_ack_retransmits_the_next() {
    let mut conn = in_recovery(10);
    conn.run(100);
    conn.ack(4);
    assert_eq!(conn.numbers(), [4]);
    conn.run(100);
    conn.ack(7);
    assert_eq!(conn.numbers(), [7]);
}

fn a_partial_ack_does_not_end_recovery() {
    let mut conn = in_recovery(10);
    let ssthresh = conn.window().1;
    for acked in [4, 7, 9] {
        conn.run(100);
        conn.ack(acked);
        assert_eq!(conn.info().ca_state, CaState::Recovery);
    }
    assert_eq!((conn.window().1, conn.ext().tcp_reno_recovery), (ssthresh, 1));
}

fn a_full_ack_ends_recovery() {
    let mut conn = in_recovery(10);
    conn.run(100);
    conn.ack(10);
    // Something above the mark is what ends it.
    conn.write(1);
    conn.run(100);
    conn.ack(11);
    assert_eq!((conn.info().ca_state, conn.window().1), (CaState::Open, 5));
}

fn the_timer_in_recovery() {
    let mut conn = in_recovery(10);
    for acked in [2, 4, 6] {
        conn.run(200);
        conn.ack(acked);
        assert_eq!(conn.numbers(), [acked]);
    }
    let rto = conn.info().rto.as_millis() as u64;
    conn.run(rto - 1);
    conn.quiet();
    conn.run(1);
    assert_eq!((conn.numbers(), conn.ext().tcp_timeouts), (vec![6], 1));
}

fn no_recovery_right_after_a_timeout() {
    let mut conn = Setup::default().sack(false).open();
    conn.write(10);
    conn.run(300);
    assert_eq!(conn.ext().tcp_timeouts, 1);
    let ssthresh = conn.window().1;
    for _ in 0..6 {
        conn.run(2);
        conn.ack(0);
    }
    assert_eq!((conn.window().1, conn.ext().tcp_reno_recovery), (ssthresh, 0));
    assert_eq!(conn.info().ca_state, CaState::Loss);
}

fn several_losses_take_a_round_trip_each() {
    let mut path = Path::new(9, std::time::Duration::from_millis(50), |plan| {
        plan.sender.tcp.sack = false;
    });
    path.warm_up();
    let first = path.written();
    for lost in [2, 5, 8, 11] {
        path.lose(segments(first + lost, first + lost + 1), 1);
    }
    let took = path.transfer(20);
    let ext = path.sender_ext();
    assert_eq!((ext.tcp_timeouts, path.retransmitted()), (0, 4));
    assert!(took.as_millis() <= 50 + 5 * 100, "{took:?}");
}
