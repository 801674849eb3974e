//! RFC 5681, congestion control: Reno, whose windows are counted in packets, as on Linux.

use tapping_stack::tcp::cc::{CaState, INFINITE_SSTHRESH};
use tapping_stack::wire::TcpFlags;

use crate::conn::{Conn, MSS, Seg, Setup, numbers};

conformance! {
    "RFC 5681", "Congestion control";

    Must "RFC5681-3.1-both" "3.1" "Flight never exceeds the smaller of congestion window and peer's window."
        => flight_is_bounded_by_both_windows;
    Must "RFC5681-3.1-iw" "3.1" "The first window is bounded." => the_first_window_is_bounded;
    Must "RFC5681-3.1-iw-lost-syn" "3.1" "After a lost SYN the first window is one segment."
        deviation "As RFC 6928 §2 and Linux: a single loss keeps the window, for it may have been any other; more than one leave one segment."
        => after_lost_syns_one_segment;
    Must "RFC5681-3.1-ss" "3.1" "Below ssthresh each ACK adds at most what it acknowledges."
        => slow_start_doubles;
    Must "RFC5681-3.1-ca" "3.1" "Above ssthresh the window grows by one segment per round trip."
        => congestion_avoidance_adds_one;
    Must "RFC5681-3.1-ca-division" "3.1" "Dividing ACKs gains nothing." => ack_division_gains_nothing;
    Must "RFC5681-3.1-ssthresh-initial" "3.1" "The slow start threshold begins arbitrarily high."
        => ssthresh_begins_high;
    Must "RFC5681-3.1-loss" "3.1" "A loss sets ssthresh to at most half of what is in flight, at least two segments."
        => a_loss_halves;
    Must "RFC5681-3.1-rto" "3.1" "A timeout sets the window to one segment, once for a window of data."
        => a_timeout_leaves_one_segment;
    Must "RFC5681-3.2-dupack-send" "3.2" "A segment out of order is answered by an immediate duplicate ACK."
        => out_of_order_gets_a_duplicate_ack;
    Should "RFC5681-3.2-fill" "3.2" "A segment that fills a gap, wholly or in part, is acknowledged at once."
        => filling_a_gap_is_acknowledged_at_once;
    Rule "RFC5681-2-dupack" "2" "An ACK counts as duplicate only without data, SYN, FIN or window change, with data in flight."
        => what_counts_as_a_duplicate_ack;
    Should "RFC5681-3.2-three" "3.2" "The third duplicate ACK retransmits the missing segment."
        => the_third_duplicate_ack_retransmits;
    Should "RFC5681-3.2-limited" "3.2" "The first two let new segments out, two beyond the window at most."
        => the_first_two_duplicates_let_segments_out;
    Must "RFC5681-3.2-inflate" "3.2" "Each further duplicate ACK lets one more segment leave."
        deviation "Proportional rate reduction (RFC 9937) lets out a part of what was delivered instead, so that no half a round trip is silent."
        => further_duplicates_clock_out_segments;
    Must "RFC5681-3.2-deflate" "3.2" "Recovery ends with the window at ssthresh."
        => recovery_ends_at_ssthresh;
    Should "RFC5681-4.1-idle" "4.1" "After idling longer than the timeout sending begins with the restart window."
        => idling_restarts;
    Must "RFC5681-4.2-every-second" "4.2" "ACKs come at least for every second full segment, and within half a second."
        => acks_come_for_every_second_segment;
    Must "RFC5681-4.2-excess" "4.2" "A segment gives at most one ACK, but for window updates."
        => one_ack_per_segment;
    Must "RFC5681-4.3-repeat" "4.3" "Loss in two windows of data is two signals of congestion."
        => loss_in_two_windows_lowers_twice;
}

/// Ten segments of thirty are in flight, a round trip has passed, and the peer has no SACK.
fn ten_without_sack() -> Conn {
    let mut conn = Setup::default().sack(false).open();
    conn.write(30);
    assert_eq!(conn.numbers(), numbers(0..10));
    conn.run(100);
    conn
}

/// So many duplicate ACKs, 2 ms apart.
fn duplicates(conn: &mut Conn, ack: u32, count: u32) {
    for _ in 0..count {
        conn.run(2);
        conn.ack(ack);
    }
}

fn flight_is_bounded_by_both_windows() {
    for window in [3, 7, 40] {
        let mut conn = Setup::default().open();
        conn.offer((window * 1024 / 128) as u16);
        conn.write(100);
        let mut acked = 0;
        for _ in 0..60 {
            let info = conn.info();
            assert!(info.unacked <= info.snd_cwnd.min(window), "{} of {window}", info.unacked);
            conn.run(10);
            acked += 1;
            let seg = Seg { ack: acked * MSS, window: (window * 1024 / 128) as u16, ..conn.seg(0) };
            conn.inject(&seg);
        }
    }
}

fn the_first_window_is_bounded() {
    for active in [false, true] {
        let setup = Setup { active, ..Setup::default() };
        let mut conn = setup.open();
        conn.write(1000);
        assert_eq!(conn.numbers(), numbers(0..10));
        conn.run(50);
        conn.quiet();
    }
}

/// A connection whose SYN was lost so often, and what it sends at first.
fn after_lost_syns(lost: u32) -> usize {
    let mut conn = Conn::prepare(&Setup::default());
    conn.start_connect();
    for _ in 0..lost {
        conn.run(1000);
    }
    assert_eq!(conn.sent().len() as u32, 1 + lost);
    conn.run(100);
    conn.syn(TcpFlags::SYN | TcpFlags::ACK);
    conn.sent();
    conn.write(100);
    conn.sent().len()
}

fn after_lost_syns_one_segment() {
    assert_eq!([0, 1, 2, 3].map(after_lost_syns), [10, 10, 1, 1]);
}

fn slow_start_doubles() {
    // Whether each segment is acknowledged by itself, every second one, or all at once.
    for step in [1, 2, 10] {
        let mut conn = Setup::default().open();
        conn.write(100);
        conn.run(100);
        let mut acked = 0;
        for expected in [20, 40] {
            let flight = expected / 2;
            let end = acked + flight;
            while acked < end {
                let before = conn.window().0;
                acked += step;
                conn.ack(acked);
                assert!(conn.window().0 - before <= step);
            }
            assert_eq!(conn.window().0, expected, "by {step}");
            conn.run(100);
        }
    }
}

/// A window of ten in congestion avoidance with nothing in flight, and how much is acknowledged.
fn avoiding() -> (Conn, u32) {
    let mut conn = Setup::default().open();
    conn.write(10);
    conn.run(100);
    for n in 1..=10 {
        conn.ack(n);
    }
    conn.write(20);
    conn.run(100);
    conn.sack(10, &[(11, 30)]);
    conn.run(100);
    conn.ack(30);
    assert_eq!((conn.window(), conn.info().ca_state), ((10, 10), CaState::Open));
    conn.sent();
    (conn, 30)
}

fn congestion_avoidance_adds_one() {
    let (mut conn, mut acked) = avoiding();
    conn.write(300);
    for cwnd in 10..15 {
        conn.run(100);
        for _ in 0..cwnd {
            acked += 1;
            conn.ack(acked);
        }
        assert_eq!(conn.window().0, cwnd + 1);
    }
}

fn ack_division_gains_nothing() {
    for in_slow_start in [true, false] {
        let (mut conn, first) = match in_slow_start {
            true => (Setup::default().open(), 0),
            false => avoiding(),
        };
        conn.write(200);
        conn.run(100);
        let before = conn.window().0;
        // Ten ACKs for each of ten segments.
        for n in 1..=100 {
            let seg = Seg { ack: first * MSS + n * MSS / 10, ..conn.seg(0) };
            conn.inject(&seg);
        }
        let expected = if in_slow_start { before + 10 } else { before + 1 };
        assert_eq!(conn.window().0, expected, "slow start {in_slow_start}");
    }
}

fn ssthresh_begins_high() {
    assert_eq!(Setup::default().open().window(), (10, INFINITE_SSTHRESH));
    assert_eq!(Setup::default().cubic().open().window(), (10, INFINITE_SSTHRESH));
}

fn a_loss_halves() {
    let mut conn = ten_without_sack();
    duplicates(&mut conn, 0, 3);
    assert_eq!(conn.window().1, 5);
    // The least is two.
    let mut conn = Setup::default().open();
    conn.write(1);
    for timeout in 1..=3 {
        conn.run(10_000);
        conn.sent();
        assert!(conn.ext().tcp_timeouts >= timeout);
    }
    conn.ack(1);
    conn.write(1);
    conn.run(100_000);
    assert_eq!(conn.window(), (1, 2));
}

fn a_timeout_leaves_one_segment() {
    let mut conn = Setup::default().config(|config| config.tcp.tail_loss_probe = false).open();
    conn.write(30);
    conn.run(300);
    assert_eq!(conn.window(), (1, 5));
    // The same segment again: the same window of data.
    conn.run(600);
    assert_eq!(conn.ext().tcp_timeouts, 2);
    assert_eq!(conn.window(), (1, 5));
}

fn out_of_order_gets_a_duplicate_ack() {
    for sack in [true, false] {
        let mut conn = Setup::default().sack(sack).open();
        conn.data(0, 100);
        conn.sent();
        for n in 0..5 {
            conn.data(1000 + n * 100, 100);
            if n >= 3 {
                // Linux joins those that come within a millisecond.
                conn.run(1);
            }
            assert_eq!(conn.only().ack, 100, "SACK {sack}, the {n}th");
        }
    }
}

fn filling_a_gap_is_acknowledged_at_once() {
    let mut conn = Setup::default().open();
    // Long enough for ACKs to be delayed otherwise.
    for n in 0..40 {
        conn.data(n * 100, 100);
        conn.run(300);
    }
    conn.sent();
    conn.data(4000, 100);
    conn.quiet();
    conn.run(300);
    conn.sent();
    conn.data(4300, 100);
    conn.data(4500, 100);
    conn.sent();
    conn.data(4100, 100);
    assert_eq!(conn.only().ack, 4200);
    conn.data(4200, 100);
    assert_eq!(conn.only().ack, 4400);
    conn.data(4400, 100);
    assert_eq!(conn.only().ack, 4600);
}

fn what_counts_as_a_duplicate_ack() {
    // With data.
    let mut conn = ten_without_sack();
    for n in 0..5 {
        conn.data_with(n * 100, 100, |_| {});
    }
    assert_eq!(conn.info().sacked, 0);
    // With another window.
    let mut conn = ten_without_sack();
    conn.offer(1000);
    for n in 1..=5 {
        let seg = Seg { window: 1000 + n, ..conn.seg(0) };
        conn.inject(&seg);
    }
    assert_eq!(conn.info().sacked, 0);
    assert!(conn.numbers().iter().all(|number| *number >= 10));
    // With nothing in flight.
    let mut conn = Setup::default().sack(false).open();
    duplicates(&mut conn, 0, 5);
    conn.write(10);
    conn.sent();
    duplicates(&mut conn, 0, 2);
    assert_eq!((conn.info().sacked, conn.info().lost), (2, 0));
}

fn the_third_duplicate_ack_retransmits() {
    let mut conn = ten_without_sack();
    duplicates(&mut conn, 0, 2);
    assert_eq!(conn.info().lost, 0);
    conn.sent();
    duplicates(&mut conn, 0, 1);
    assert_eq!(conn.numbers(), [0]);
    assert_eq!(conn.info().ca_state, CaState::Recovery);
}

fn the_first_two_duplicates_let_segments_out() {
    let mut conn = ten_without_sack();
    for new in [10, 11] {
        duplicates(&mut conn, 0, 1);
        assert_eq!(conn.numbers(), [new]);
        assert_eq!(conn.window().0, 10);
    }
    assert_eq!(conn.info().unacked, 12);
}

fn further_duplicates_clock_out_segments() {
    let mut conn = ten_without_sack();
    duplicates(&mut conn, 0, 3);
    conn.sent();
    let mut out = 0;
    for _ in 0..8 {
        duplicates(&mut conn, 0, 1);
        let sent = conn.numbers();
        assert!(sent.len() <= 1 && sent.iter().all(|number| *number >= 12), "{sent:?}");
        out += sent.len();
    }
    assert!((3..=5).contains(&out), "half of them: {out}");
}

fn recovery_ends_at_ssthresh() {
    let mut conn = ten_without_sack();
    duplicates(&mut conn, 0, 9);
    assert_eq!(conn.window().1, 5);
    conn.run(100);
    let sent = conn.info().unacked;
    conn.ack(12);
    conn.ack(13);
    assert!(sent >= 13);
    assert_eq!(conn.info().ca_state, CaState::Open);
    let (cwnd, ssthresh) = conn.window();
    assert!(ssthresh == 5 && (5..=6).contains(&cwnd), "{cwnd}");
}

fn idling_restarts() {
    for restarts in [true, false] {
        let mut conn =
            Setup::default().config(|config| config.tcp.slow_start_after_idle = restarts).open();
        let acked = conn.grow_to(40);
        conn.run(10_000);
        conn.write(100);
        let expected = if restarts { 10 } else { 40 };
        assert_eq!(conn.numbers(), numbers(acked..acked + expected));
    }
}

fn acks_come_for_every_second_segment() {
    let mut conn = Setup::default().open();
    // Beyond the quick ACKs of the start.
    for n in 0..60 {
        conn.data(n * 1000, 1000);
        conn.run(5);
        conn.read();
    }
    conn.run(500);
    conn.sent();
    let mut unacked = 0;
    for n in 60..100 {
        conn.data(n * 1000, 1000);
        conn.read();
        unacked += 1;
        if let Some(ack) = conn.sent().pop() {
            unacked = 0;
            assert_eq!(ack.ack, (n + 1) * 1000);
        }
        assert!(unacked < 2);
    }
    conn.data(100_000, 10);
    let start = conn.at();
    conn.run(500);
    let ack = conn.sent().pop().expect("a delayed ACK");
    assert!(ack.ack == 100_010 && ack.at - start < 500);
}

fn one_ack_per_segment() {
    let mut conn = Setup::default().open();
    for n in 0..100 {
        // Some in order, some twice, some out of order.
        let place = if n % 7 == 3 { n + 2 } else { n };
        conn.data(place * 1000, 1000);
        let sent = conn.sent();
        assert!(sent.len() <= 1, "{sent:?}");
    }
}

fn loss_in_two_windows_lowers_twice() {
    let mut conn = Setup::default().open();
    let mut acked = conn.grow_to(40);
    let mut ssthresh = Vec::new();
    for _ in 0..2 {
        let flight = conn.window().0;
        conn.write(flight);
        conn.run(100);
        conn.sack(acked, &[(acked + 1, acked + flight)]);
        ssthresh.push(conn.window().1);
        conn.run(100);
        acked += flight;
        conn.ack(acked);
    }
    assert_eq!(ssthresh, [20, 10]);
}
