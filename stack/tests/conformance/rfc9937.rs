//! RFC 9937, proportional rate reduction (it took the place of RFC 6937).

use tapping_stack::tcp::cc::CaState;

use crate::conn::{Conn, Setup, numbers};
use crate::path::{Path, segments};

conformance! {
    "RFC 9937", "Proportional rate reduction";

    Should "RFC9937-6-sack" "6" "It governs every recovery, with SACK and without."
        => prr_governs_recovery;
    Must "RFC9937-6-init" "6" "On entry the target is ssthresh, and what is in flight then is noted."
        => prr_starts_from_the_window;
    Rule "RFC9937-6-delivered" "6" "Each ACK counts what it delivered, by SACK or cumulatively, retransmissions included."
        => every_delivery_counts;
    Rule "RFC9937-6-proportional" "6" "While more is in flight than ssthresh, sending is in proportion to what is delivered."
        => sending_is_proportional;
    Rule "RFC9937-6-crb" "6" "Below ssthresh no more goes out than was delivered, unless the ACK is a good one."
        => conservative_below_ssthresh;
    Should "RFC9937-6-safeack" "6" "An ACK that moves on and tells of no new loss lets one more out."
        => a_safe_ack_lets_one_more_out;
    Should "RFC9937-6-first" "6" "The first retransmission goes out at once."
        => the_first_retransmission_is_at_once;
    Rule "RFC9937-6-sent" "6" "What is sent in recovery is counted, new and again."
        => what_is_sent_is_counted;
    Must "RFC9937-6-end" "6" "At its end the window is ssthresh." => the_window_ends_at_ssthresh;
    Rule "RFC9937-7-noburst" "7" "ACKs that were lost or come late set no burst free."
        => late_acks_set_no_burst_free;
    Rule "RFC9937-7-heavy" "7" "A heavy loss does not halt sending." => a_heavy_loss_keeps_the_clock;
    Rule "RFC9937-6-cwr" "6" "The reduction for ECN is done in the same way."
        => ecn_reduces_proportionally;
}

/// 20 segments are in flight of a window of 20, with much more to send, and a round trip has
/// passed. The first one's number comes with it.
fn twenty_in_flight(setup: Setup) -> (Conn, u32) {
    let mut conn = setup.open();
    conn.write(10);
    conn.run(100);
    for n in 1..=10 {
        conn.ack(n);
    }
    assert_eq!(conn.window().0, 20);
    conn.sent();
    conn.write(100);
    assert_eq!(conn.numbers(), numbers(10..30));
    conn.run(100);
    (conn, 10)
}

/// How many segments leave on each of the ACKs that tell of one more segment, the first of which is
/// lost. They come apart, so that nothing waits for the next one.
fn on_each_sack(conn: &mut Conn, first: u32, count: u32) -> Vec<usize> {
    (1..=count)
        .map(|n| {
            conn.run(2);
            conn.sack(first, &[(first + 1, first + 1 + n)]);
            conn.numbers().len()
        })
        .collect()
}

fn prr_governs_recovery() {
    // Half of what is delivered goes out, whether SACK or duplicates tell of it.
    for sack in [true, false] {
        let (mut conn, first) = twenty_in_flight(Setup::default().sack(sack));
        let mut out = 0;
        for n in 1..=19 {
            conn.run(2);
            match sack {
                true => conn.sack(first, &[(first + 1, first + 1 + n)]),
                false => conn.ack(first),
            }
            let sent = conn.numbers().len();
            assert!(sent <= 2, "no burst");
            out += sent;
        }
        // The first two let limited transmit send; without SACK the 19th could be one too many.
        assert!((9..=11).contains(&out), "SACK {sack}: {out}");
        assert_eq!(conn.window().1, 10);
        let ext = conn.ext();
        assert_eq!(ext.tcp_sack_recovery + ext.tcp_reno_recovery, 1);
    }
}

fn prr_starts_from_the_window() {
    // Reno halves, CUBIC takes 0.7 of the window, and both send in that proportion.
    let (mut conn, first) = twenty_in_flight(Setup::default());
    let reno: usize = on_each_sack(&mut conn, first, 17).iter().sum();
    assert_eq!((conn.window().1, reno), (10, 2 + 8), "15 x 10 / 20");
    let (mut conn, first) = twenty_in_flight(Setup::default().cubic());
    let cubic: usize = on_each_sack(&mut conn, first, 14).iter().sum();
    assert_eq!((conn.window().1, cubic), (14, 2 + 9), "12 x 14 / 20");
}

fn every_delivery_counts() {
    let (mut conn, first) = twenty_in_flight(Setup::default());
    conn.sack(first, &[(first + 1, first + 5)]);
    assert_eq!(conn.numbers().len(), 2, "4 x 10 / 20");
    // An ACK that delivers nothing lets nothing out.
    conn.sack(first, &[(first + 1, first + 5)]);
    conn.quiet();
    // A cumulative one of two segments, and the retransmission, which has arrived.
    conn.run(100);
    let before = conn.info().delivered;
    conn.sack(first + 7, &[(first + 8, first + 9)]);
    assert_eq!(conn.info().delivered - before, 4);
}

fn sending_is_proportional() {
    let (mut conn, first) = twenty_in_flight(Setup::default());
    // Limited transmit answers the first two. Then recovery begins: one for every second.
    let sent = on_each_sack(&mut conn, first, 16);
    assert_eq!(sent[..2], [1, 1]);
    let mut total = 0;
    for (n, sent) in (1..).zip(&sent[2..]) {
        total += sent;
        assert_eq!(total, usize::div_ceil(n * 10, 20), "after {n}: {sent:?}");
    }
}

fn conservative_below_ssthresh() {
    let (mut conn, first) = twenty_in_flight(Setup::default());
    // 15 of 20 are lost.
    conn.sack(first, &[(first + 15, first + 18)]);
    let info = conn.info();
    assert_eq!((info.lost, info.sacked, info.snd_ssthresh), (15, 3, 10));
    assert_eq!(conn.numbers(), numbers(first..first + 3), "as many as were delivered");
    conn.sack(first, &[(first + 15, first + 20)]);
    assert_eq!(conn.numbers(), numbers(first + 3..first + 5));
}

fn a_safe_ack_lets_one_more_out() {
    let (mut conn, first) = twenty_in_flight(Setup::default());
    conn.sack(first, &[(first + 15, first + 20)]);
    assert_eq!(conn.numbers().len(), 5);
    conn.run(100);
    conn.sack(first + 1, &[(first + 15, first + 20)]);
    assert_eq!(conn.numbers(), [first + 5, first + 6], "one delivered, two sent");
    conn.sack(first + 2, &[(first + 15, first + 20)]);
    assert_eq!(conn.numbers(), [first + 7, first + 8]);
}

fn the_first_retransmission_is_at_once() {
    // Whatever the proportion would allow.
    let (mut conn, first) = twenty_in_flight(Setup::default());
    assert_eq!(on_each_sack(&mut conn, first, 2), [1, 1]);
    conn.sack(first, &[(first + 1, first + 4)]);
    assert_eq!(conn.numbers(), [first]);
    assert_eq!(conn.info().ca_state, CaState::Recovery);
}

fn what_is_sent_is_counted() {
    // One retransmission, then new data: together half of what was delivered.
    let (mut conn, first) = twenty_in_flight(Setup::default());
    on_each_sack(&mut conn, first, 2);
    let mut sent = Vec::new();
    for n in 3..=12 {
        conn.sack(first, &[(first + 1, first + 1 + n)]);
        sent.extend(conn.numbers());
    }
    assert_eq!(sent, [first, 32, 33, 34, 35]);
}

fn the_window_ends_at_ssthresh() {
    for setup in [Setup::default(), Setup::default().sack(false)] {
        let sack = setup.sack;
        let (mut conn, first) = twenty_in_flight(setup);
        for n in 1..=19 {
            match sack {
                true => conn.sack(first, &[(first + 1, first + 1 + n)]),
                false => conn.ack(first),
            }
        }
        conn.run(100);
        // Past the mark: without SACK the mark itself is not enough (RFC 6582).
        conn.ack(first + 22);
        conn.ack(first + 23);
        assert_eq!(conn.info().ca_state, CaState::Open);
        let (cwnd, ssthresh) = conn.window();
        assert_eq!(ssthresh, 10);
        assert!((10..=11).contains(&cwnd), "SACK {sack}: {cwnd}");
    }
}

fn late_acks_set_no_burst_free() {
    let (mut conn, first) = twenty_in_flight(Setup::default());
    // All the ACKs in one.
    conn.sack(first, &[(first + 1, first + 20)]);
    let sent = conn.numbers();
    assert_eq!(sent.len(), 10, "{sent:?}");
    conn.run(100);
    conn.ack(first + 20);
    let sent = conn.numbers();
    assert!(sent.len() <= 2, "the others are in flight: {sent:?}");
}

fn a_heavy_loss_keeps_the_clock() {
    let mut path = Path::new(3, std::time::Duration::from_millis(50), |_| {});
    path.warm_up();
    let first = path.written();
    path.lose(segments(first, first + 15), 1);
    path.transfer(20);
    let ext = path.sender_ext();
    assert_eq!((ext.tcp_timeouts, path.retransmitted()), (0, 15));
}

fn ecn_reduces_proportionally() {
    let (mut conn, first) = twenty_in_flight(Setup::default().ecn());
    let mut out = 0;
    for n in 1..=18 {
        conn.run(2);
        conn.ack_ece(first + n);
        out += conn.numbers().len();
        assert_eq!(conn.info().ca_state, CaState::Cwr);
        assert!(out as u32 <= n.div_ceil(2).max(1), "{out} of {n}");
    }
    assert_eq!((out, conn.window().1), (9, 10));
}
