use super::*;
use crate::tcp::cc::INFINITE_SSTHRESH;
use crate::tcp::cc::tests::{context, full};
use crate::time::{Duration, Instant};

fn ctx() -> CcContext {
    context(Instant::from_secs(1), Duration::from_millis(100))
}

#[test]
fn rfc5681_3_1_slow_start_adds_what_is_acknowledged() {
    let mut state = full(10, INFINITE_SSTHRESH);
    for _ in 0..5 {
        Reno::new().cong_avoid(&mut state, &ctx(), 2);
    }
    assert_eq!(state.cwnd, 20);
}

#[test]
fn rfc5681_3_1_avoidance_adds_one_segment_per_round_trip() {
    let mut state = full(20, 20);
    for round in 1..=10 {
        // A round trip acknowledges one window, however the ACKs divide it.
        let cwnd = state.cwnd;
        for _ in 0..cwnd / 2 {
            Reno::new().cong_avoid(&mut state, &ctx(), 2);
        }
        Reno::new().cong_avoid(&mut state, &ctx(), cwnd % 2);
        assert_eq!(state.cwnd, 20 + round);
    }
}

#[test]
fn rfc5681_3_1_slow_start_turns_into_avoidance_at_ssthresh() {
    let mut state = full(8, 10);
    Reno::new().cong_avoid(&mut state, &ctx(), 12);
    // Two packets reach the threshold, ten make one more.
    assert_eq!((state.cwnd, state.cwnd_cnt), (11, 0));
}

#[test]
fn rfc5681_4_ssthresh_is_half_and_at_least_two() {
    for (cwnd, ssthresh) in [(100, 50), (11, 5), (3, 2), (1, 2)] {
        assert_eq!(Reno::new().ssthresh(&full(cwnd, 1), &ctx()), ssthresh);
    }
}

#[test]
fn a_spurious_reduction_is_undone() {
    let mut state = full(5, 5);
    state.prior_cwnd = 40;
    assert_eq!(Reno::new().undo_cwnd(&mut state, &ctx()), 40);
    state.cwnd = 50;
    assert_eq!(Reno::new().undo_cwnd(&mut state, &ctx()), 50);
}

#[test]
fn rfc3465_2_1_dividing_acks_gains_nothing() {
    for ssthresh in [5, INFINITE_SSTHRESH] {
        let mut state = full(10, ssthresh);
        // ACKs of parts of a packet acknowledge no packet.
        (0..1000).for_each(|_| Reno::new().cong_avoid(&mut state, &ctx(), 0));
        assert_eq!((state.cwnd, state.cwnd_cnt), (10, 0));
    }
}
