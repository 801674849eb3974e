//! RFC 8985, RACK-TLP. Round trips take 100 ms; a timer that must not be early is 2 ms late.

use tapping_stack::tcp::cc::INFINITE_SSTHRESH;
use tapping_stack::time::Duration;
use tapping_stack::wire::TcpFlags;

use crate::conn::{Conn, Setup, numbers};
use crate::path::{Path, segments};

conformance! {
    "RFC 8985", "RACK-TLP";

    Must "RFC8985-3-sack" "3.1" "It works for connections with SACK." => rack_needs_sack;
    Must "RFC8985-5.1-xmit" "5.2" "Each segment remembers when it was sent last."
        => segments_remember_when_they_were_sent;
    Rule "RFC8985-6.1-same-time" "6.2" "Of segments sent at one moment the higher number counts as later."
        => ties_go_by_number;
    Rule "RFC8985-6.2-step2" "6.2" "An ACK of a retransmission faster than the least round trip is taken for the original's."
        => too_fast_an_ack_is_of_the_original;
    Rule "RFC8985-6.2-step2-echo" "6.2" "So is one that echoes a timestamp from before the retransmission."
        => an_older_echo_is_of_the_original;
    Rule "RFC8985-6.2-step3" "6.2" "Reordering is seen when a segment never retransmitted is acknowledged below the highest one."
        => reordering_is_seen;
    Must "RFC8985-6.2-step4-zero" "6.2" "Without reordering seen, in recovery or with three SACKed, no time is allowed."
        => no_reordering_no_waiting;
    Should "RFC8985-6.2-step4-quarter" "6.2" "Otherwise a quarter of the least round trip is allowed."
        => a_quarter_round_trip_is_allowed;
    Should "RFC8985-6.2-step4-dsack" "6.2" "Each round trip with a D-SACK adds a quarter, up to the smoothed round trip."
        => duplicates_widen_the_window;
    Should "RFC8985-6.2-step4-persist" "6.2" "After 16 recoveries without one it goes back."
        => the_window_goes_back;
    Must "RFC8985-6.2-step5" "6.2" "A segment is lost when one sent later by more than that was delivered."
        => lost_by_time;
    Must "RFC8985-6.2-timer" "6.2" "For those not yet due a timer waits." => a_timer_waits_for_the_rest;
    Rule "RFC8985-6.2-retransmission" "6.2" "Retransmissions are judged in the same way."
        => retransmissions_are_judged_alike;
    Should "RFC8985-6.3-rto" "6.3" "At a timeout the first segment and those sent long enough ago are lost, not those just sent."
        => a_timeout_spares_the_newest;
    Must "RFC8985-7.2-when" "7.2" "The probe is scheduled when data is sent or acknowledged, outside recovery, with nothing SACKed."
        => when_a_probe_is_scheduled;
    Should "RFC8985-7.2-pto" "7.2" "It waits two smoothed round trips, longer when one segment is in flight, and not beyond the timeout."
        => how_long_a_probe_waits;
    Should "RFC8985-7.3-new" "7.3" "New data is the probe if the peer's window has room, though the congestion window has not."
        => new_data_is_the_probe;
    Should "RFC8985-7.3-last" "7.3" "Otherwise the last segment is sent again." => the_last_segment_is_the_probe;
    MustNot "RFC8985-7.3-one" "7.3" "There is one probe at a time, and none twice in a row."
        => one_probe_at_a_time;
    Must "RFC8985-7.3-rto" "7.3" "After the probe the retransmission timer runs."
        => the_timer_runs_after_the_probe;
    Must "RFC8985-7.4-loss" "7.4" "When the probe repaired a loss, the window is lowered."
        => a_repaired_loss_lowers_the_window;
    Must "RFC8985-7.4-dsack" "7.4" "When a D-SACK or a duplicate ACK tells that the original arrived, it is not."
        => a_needless_probe_costs_nothing;
    Rule "RFC8985-7-tail" "7" "A lost tail is repaired in about two round trips, not by a timeout."
        => a_lost_tail_needs_no_timeout;
    Should "RFC8985-6-head" "3.2" "A burst loss is repaired in one round trip more than its loss."
        => a_burst_needs_one_round_trip;
}

/// Segments 0 to 9 are in flight, and a round trip has passed.
fn ten_in_flight() -> Conn {
    let mut conn = Setup::default().open();
    conn.write(10);
    assert_eq!(conn.numbers(), numbers(0..10));
    conn.run(100);
    conn
}

fn rack_needs_sack() {
    let mut conn = Setup::default().sack(false).open();
    conn.write(10);
    conn.sent();
    // Time alone marks nothing, and there is no probe.
    conn.run(150);
    conn.ack(0);
    conn.ack(0);
    conn.quiet();
    conn.run(149);
    conn.quiet();
    conn.run(1);
    assert_eq!(conn.numbers(), [0]);
    assert_eq!((conn.ext().tcp_timeouts, conn.ext().tcp_loss_probes), (1, 0));
}

fn segments_remember_when_they_were_sent() {
    let mut conn = Setup::default().open();
    conn.write(2);
    conn.run(50);
    conn.write(2);
    conn.sent();
    conn.run(100);
    // Those before were sent half a round trip earlier: one SACK is enough.
    conn.sack(0, &[(2, 3)]);
    assert_eq!(conn.info().lost, 2);
    assert_eq!(conn.numbers(), [0]);
    // The retransmission is remembered as of now: it is not lost, though 3 was sent before.
    conn.run(10);
    conn.sack(0, &[(2, 4)]);
    assert_eq!(conn.ext().tcp_lost_retransmit, 0);
}

fn ties_go_by_number() {
    let mut conn = Setup::default().open();
    conn.write(4);
    conn.sent();
    conn.run(100);
    conn.sack(0, &[(2, 3)]);
    assert_eq!(conn.info().lost, 0);
    conn.run(27);
    assert_eq!(conn.info().lost, 2, "0 and 1, not 3");
    assert_eq!(conn.numbers(), [0]);
}

fn too_fast_an_ack_is_of_the_original() {
    for (after, lost) in [(10, 0), (100, 6)] {
        let mut conn = ten_in_flight();
        conn.sack(0, &[(1, 4)]);
        assert_eq!(conn.numbers(), [0]);
        conn.run(after);
        // If this is the retransmission, what was sent before it is overdue.
        conn.ack(4);
        assert_eq!(conn.info().lost, lost, "after {after} ms");
    }
}

fn an_older_echo_is_of_the_original() {
    for (back, lost) in [(150, 0), (0, 6)] {
        let mut conn = Setup::default().timestamps().open();
        conn.write(10);
        let first = conn.sent()[0].timestamps.expect("timestamps").0;
        conn.run(100);
        conn.sack(0, &[(1, 4)]);
        let again = conn.only().timestamps.expect("timestamps").0;
        conn.run(150);
        let echo = if back > 0 { first } else { again };
        // An undone recovery would look at all of them anew, in the same way.
        conn.ack_echoing(4, echo);
        assert_eq!(conn.info().lost, lost);
    }
}

fn reordering_is_seen() {
    let mut conn = ten_in_flight();
    conn.sack(0, &[(1, 2)]);
    assert_eq!(conn.info().reord_seen, 0);
    conn.run(5);
    conn.ack(2);
    assert_eq!(conn.info().reord_seen, 1);
    assert_eq!(conn.ext().tcp_sack_reorder, 1);
    conn.run(60);
    conn.quiet();
    // A SACK below another one is one as well, but not what was sent again.
    let mut conn = ten_in_flight();
    conn.sack(0, &[(4, 5)]);
    conn.sack(0, &[(2, 3), (4, 5)]);
    assert_eq!(conn.info().reord_seen, 1);
    let mut conn = ten_in_flight();
    conn.sack(0, &[(1, 4)]);
    assert_eq!(conn.numbers(), [0]);
    conn.run(100);
    conn.ack(10);
    assert_eq!(conn.info().reord_seen, 0);
    // Blocks of one ACK came in whatever order.
    let mut conn = ten_in_flight();
    conn.sack(0, &[(8, 9), (6, 7), (4, 5)]);
    assert_eq!(conn.info().reord_seen, 0);
}

fn no_reordering_no_waiting() {
    let mut conn = ten_in_flight();
    conn.sack(0, &[(1, 2)]);
    conn.sack(0, &[(1, 3)]);
    conn.quiet();
    conn.sack(0, &[(1, 4)]);
    assert_eq!(conn.numbers(), [0]);
    conn.sack(0, &[(6, 7), (1, 4)]);
    assert_eq!(conn.info().lost, 3, "4 and 5, too: in recovery nothing waits");
}

/// As [`reordering_is_seen`], with everything acknowledged then.
fn reordered() -> Conn {
    let mut conn = ten_in_flight();
    conn.sack(0, &[(1, 2)]);
    conn.run(5);
    conn.ack(2);
    conn.ack(10);
    conn.sent();
    conn
}

/// Sends ten segments from `first` on, of which the first seems lost; returns after how many
/// milliseconds it is sent again.
fn patience(conn: &mut Conn, first: u32) -> u64 {
    conn.write(10);
    conn.run(100);
    assert_eq!(conn.numbers(), numbers(first..first + 10), "{:?}", conn.window());
    let start = conn.at();
    conn.sack(first, &[(first + 1, first + 5)]);
    let sent = loop {
        conn.run(1);
        if let Some(sent) = conn.sent().pop() {
            break sent;
        }
    };
    assert_eq!(sent.number(), first);
    sent.at - start
}

fn a_quarter_round_trip_is_allowed() {
    let mut conn = reordered();
    assert_eq!(patience(&mut conn, 10), 25 + 2);
}

/// Tells that the retransmission of `first` was needless, and acknowledges all ten.
fn report_duplicate(conn: &mut Conn, first: u32) {
    conn.ack(first + 10);
    conn.run(100);
    conn.sack(first + 10, &[(first, first + 1)]);
    conn.run(1);
    conn.sent();
}

fn duplicates_widen_the_window() {
    let mut conn = reordered();
    let mut first = 10;
    for quarters in [1, 2, 3] {
        assert_eq!(patience(&mut conn, first), 25 * quarters + 2);
        report_duplicate(&mut conn, first);
        first += 10;
    }
    assert_eq!(conn.info().dsack_dups, 3);
    // More than the smoothed round trip is never waited.
    for _ in 0..4 {
        let srtt = conn.info().rtt.as_millis() as u64;
        assert!(patience(&mut conn, first) <= srtt + 3);
        report_duplicate(&mut conn, first);
        first += 10;
    }
}

fn the_window_goes_back() {
    let mut conn = reordered();
    assert_eq!(patience(&mut conn, 10), 27);
    report_duplicate(&mut conn, 10);
    let mut first = 20;
    for recovery in 0..20 {
        let waited = patience(&mut conn, first);
        if recovery <= 15 {
            assert!((50..=53).contains(&waited), "recovery {recovery}: {waited}");
        } else {
            assert!((25..=28).contains(&waited), "recovery {recovery}: {waited}");
        }
        first += 10;
        conn.ack(first);
        // Each of them halves the window.
        while conn.window().0 < 10 {
            let more = conn.window().0;
            conn.write(more);
            conn.run(100);
            first += more;
            conn.ack(first);
        }
        conn.sent();
    }
}

fn lost_by_time() {
    // 24 ms are less than a quarter of the round trip, 26 more.
    for (gap, lost) in [(24, 0), (26, 1)] {
        let mut conn = Setup::default().open();
        conn.write(1);
        conn.run(gap);
        conn.write(1);
        conn.sent();
        conn.run(100);
        conn.sack(0, &[(1, 2)]);
        assert_eq!(conn.info().lost, lost, "{gap} ms");
        assert_eq!(conn.numbers().len() as u32, lost);
    }
}

fn a_timer_waits_for_the_rest() {
    let mut conn = ten_in_flight();
    conn.sack(0, &[(1, 2)]);
    conn.run(26);
    conn.quiet();
    conn.run(1);
    assert_eq!(conn.numbers(), [0]);
    // The ACK that moves on does not put it off.
    let mut conn = ten_in_flight();
    conn.sack(1, &[(2, 3)]);
    conn.run(27);
    assert_eq!(conn.numbers(), [1]);
    // What comes in time stops it.
    let mut conn = ten_in_flight();
    conn.sack(0, &[(1, 2)]);
    conn.run(20);
    conn.ack(2);
    conn.run(60);
    conn.quiet();
}

fn retransmissions_are_judged_alike() {
    let mut conn = Setup::default().open();
    conn.write(30);
    conn.run(100);
    conn.sent();
    conn.sack(0, &[(1, 4)]);
    assert_eq!(conn.numbers(), [0, 10], "new data follows");
    conn.run(99);
    conn.quiet();
    conn.run(1);
    conn.sack(0, &[(10, 11), (1, 4)]);
    assert_eq!(conn.numbers()[0], 0, "what was sent after it has arrived");
    assert_eq!((conn.ext().tcp_lost_retransmit, conn.ext().tcp_timeouts), (1, 0));
}

fn a_timeout_spares_the_newest() {
    let mut conn = Setup::default().config(|config| config.tcp.tail_loss_probe = false).open();
    conn.write(2);
    conn.run(250);
    conn.write(1);
    conn.sent();
    conn.run(50);
    assert_eq!(conn.numbers(), [0]);
    let info = conn.info();
    assert_eq!((info.unacked, info.lost, info.retrans), (3, 2, 1));
    assert_eq!(conn.ext().tcp_timeouts, 1);
}

fn when_a_probe_is_scheduled() {
    let mut conn = Setup::default().open();
    conn.write(10);
    conn.sent();
    conn.run(202);
    assert_eq!((conn.numbers(), conn.ext().tcp_loss_probes), (vec![9], 1));
    // An ACK starts it anew.
    let mut conn = ten_in_flight();
    conn.ack(5);
    conn.run(201);
    conn.quiet();
    conn.run(1);
    assert_eq!((conn.numbers(), conn.ext().tcp_loss_probes), (vec![9], 1));
    // Something is SACKed, and recovery: no probe, but the timer.
    let mut conn = ten_in_flight();
    conn.sack(0, &[(1, 4)]);
    assert_eq!(conn.numbers(), [0]);
    conn.run(299);
    conn.quiet();
    conn.run(1);
    assert_eq!((conn.ext().tcp_loss_probes, conn.ext().tcp_timeouts), (0, 1));
}

/// When the first thing is sent after so many segments.
fn probe_after(setup: Setup, segments: u32) -> u64 {
    let mut conn = setup.open();
    conn.write(segments);
    conn.sent();
    conn.run(5000);
    conn.sent()[0].at
}

fn how_long_a_probe_waits() {
    let slow = Setup { rtt: Duration::from_millis(500), ..Setup::default() };
    assert_eq!(probe_after(slow.clone(), 2), 1000 + 2);
    assert_eq!(probe_after(slow, 1), 1000 + 200, "an ACK of one segment may be delayed");
    // With a round trip of 100 ms the timeout is 300 ms.
    assert_eq!(probe_after(Setup::default(), 1), 300);
    // Nothing was measured: SYN-ACK was sent twice.
    let mut conn = Conn::prepare(&Setup::default());
    conn.listen();
    conn.syn(TcpFlags::SYN);
    conn.run(1500);
    assert_eq!(conn.sent().len(), 2);
    conn.ack(0);
    conn.take();
    conn.write(2);
    let start = conn.sent()[0].at;
    conn.run(5000);
    assert_eq!(conn.sent()[0].at - start, 1000);
    assert_eq!(conn.ext().tcp_loss_probes, 1);
}

fn new_data_is_the_probe() {
    let mut conn = Setup::default().open();
    conn.write(20);
    assert_eq!(conn.numbers(), numbers(0..10));
    conn.run(202);
    assert_eq!((conn.numbers(), conn.ext().tcp_loss_probes), (vec![10], 1));
    // Nagle's algorithm does not hold it.
    let mut conn = Setup::default().open();
    conn.write(10);
    conn.write_bytes(10);
    conn.sent();
    conn.run(202);
    let probe = conn.only();
    assert_eq!((probe.number(), probe.len), (10, 10));
}

fn the_last_segment_is_the_probe() {
    let mut conn = Setup::default().open();
    conn.write_bytes(4500);
    conn.sent();
    conn.run(202);
    let probe = conn.only();
    assert_eq!((probe.number(), probe.len), (4, 500));
    // The peer's window has no room for what waits.
    let mut conn = Setup::default().open();
    conn.offer(4000 / 128);
    conn.write(10);
    assert_eq!(conn.numbers(), [0, 1, 2]);
    conn.run(202);
    assert_eq!(conn.numbers(), [2]);
}

fn one_probe_at_a_time() {
    let mut conn = Setup::default().open();
    conn.write(10);
    conn.sent();
    conn.run(10_000);
    let sent: Vec<u32> = conn.numbers();
    assert_eq!(sent[..3], [9, 0, 0], "a probe, then timeouts");
    assert_eq!(conn.ext().tcp_loss_probes, 1);
}

fn the_timer_runs_after_the_probe() {
    let mut conn = Setup::default().open();
    conn.write(10);
    conn.run(202);
    conn.sent();
    conn.run(299);
    conn.quiet();
    conn.run(1);
    assert_eq!((conn.numbers(), conn.ext().tcp_timeouts), (vec![0], 1));
}

fn a_repaired_loss_lowers_the_window() {
    let mut conn = ten_in_flight();
    conn.ack(9);
    let (cwnd, ssthresh) = conn.window();
    assert_eq!(ssthresh, INFINITE_SSTHRESH);
    conn.run(300);
    assert_eq!((conn.numbers(), conn.ext().tcp_loss_probes), (vec![9], 1));
    conn.run(50);
    conn.write(1);
    conn.run(100);
    conn.ack(11);
    assert_eq!(conn.ext().tcp_loss_probe_recovery, 1);
    assert_eq!(conn.window().1, cwnd / 2);
}

fn a_needless_probe_costs_nothing() {
    for duplicate in [true, false] {
        let mut conn = Setup::default().open();
        conn.write(10);
        conn.run(202);
        conn.ack(10);
        conn.run(100);
        match duplicate {
            true => conn.sack(10, &[(9, 10)]),
            false => conn.ack(10),
        }
        conn.write(1);
        conn.run(100);
        conn.ack(11);
        assert_eq!(conn.window().1, INFINITE_SSTHRESH, "D-SACK: {duplicate}");
        let ext = conn.ext();
        assert_eq!((ext.tcp_loss_probes, ext.tcp_loss_probe_recovery), (1, 0));
    }
}

fn a_lost_tail_needs_no_timeout() {
    for lost in 1..10 {
        let mut path = Path::new(lost.into(), Duration::from_millis(50), |_| {});
        path.warm_up();
        let last = path.written();
        path.lose(segments(last + 20 - lost, last + 20), 1);
        let took = path.transfer(20);
        let ext = path.sender_ext();
        assert_eq!((ext.tcp_timeouts, ext.tcp_loss_probes), (0, 1), "{lost} lost");
        // A round trip, two more until the probe, one until the losses are known, half of one; the
        // last ACK may be delayed, and what is sent again grows as in slow start.
        let most = 460 + 100 * u64::from(1 + lost.ilog2());
        assert!(took <= Duration::from_millis(most), "{lost} lost: {took:?}");
    }
}

fn a_burst_needs_one_round_trip() {
    for lost in [0, 1, 2, 5, 10, 20] {
        let mut path = Path::new(lost.into(), Duration::from_millis(50), |_| {});
        path.warm_up();
        for segments in [20, 40] {
            path.transfer(segments);
            path.run(Duration::from_millis(200));
        }
        let first = path.written();
        path.lose(segments(first + 1, first + 1 + lost), 1);
        // All leave at once.
        let took = path.transfer(60);
        let expected = if lost == 0 { 50 } else { 150 };
        assert_eq!(took, Duration::from_millis(expected), "{lost} lost");
        let ext = path.sender_ext();
        assert_eq!((ext.tcp_timeouts, ext.tcp_loss_probes), (0, 0));
        assert_eq!(path.retransmitted(), lost.into());
    }
}
