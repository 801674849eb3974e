use std::vec::Vec;

use super::*;
use crate::tcp::cc::hystart::Phase;
use crate::tcp::cc::tests::model::{Bottleneck, Flow, Model};
use crate::tcp::cc::tests::{context, full};
use crate::tcp::cc::{Congestion, INFINITE_SSTHRESH, Reno};

/// A connection whose window is always full, on a path of one delay.
struct Connection<C> {
    cc: C,
    state: CongestionState,
    now: Instant,
    rtt: Duration,
}

impl<C: CongestionControl> Connection<C> {
    fn new(cc: C, cwnd: u32, rtt: Duration) -> Self {
        Connection { cc, state: full(cwnd, INFINITE_SSTHRESH), now: Instant::from_secs(1), rtt }
    }

    fn ctx(&self) -> CcContext {
        context(self.now, self.rtt)
    }

    fn lose(&mut self) {
        self.state.prior_cwnd = self.state.cwnd;
        let ctx = self.ctx();
        self.state.ssthresh = self.cc.ssthresh(&self.state, &ctx);
        self.state.cwnd = self.state.ssthresh;
    }

    fn time_out(&mut self) {
        self.lose();
        let ctx = self.ctx();
        self.state.set_ca_state(&mut self.cc, &ctx, CaState::Loss);
        self.state.ca_state = CaState::Open;
        self.state.cwnd = 1;
    }

    /// One packet acknowledged, a share of the round trip later.
    fn ack(&mut self) {
        self.now += self.rtt / self.state.cwnd;
        let ctx = self.ctx();
        self.cc.cong_avoid(&mut self.state, &ctx, 1);
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.ack();
        }
    }
}

const RTT: Duration = Duration::from_millis(100);

fn w_cubic(t: f64, w_max: f64, k: f64) -> f64 {
    0.4 * (t - k).powi(3) + w_max
}

#[test]
fn cube_roots_are_exact() {
    for root in (0..2_642_245u64).step_by(997).chain([1, 2, 3, 2_642_245]) {
        let cube = root.pow(3);
        assert_eq!(u64::from(cube_root(cube)), root);
        if root > 0 {
            assert_eq!(u64::from(cube_root(cube - 1)), root - 1);
        }
    }
    assert_eq!(cube_root(u64::MAX), 2_642_245);
}

#[test]
fn rfc9438_4_2_the_window_follows_the_cubic_function() {
    for w_max in [1_000, 10_000] {
        let mut c = Connection::new(Cubic::new(), w_max, RTT);
        c.lose();
        c.ack();
        let start = c.now;
        let k = (f64::from(w_max) * 0.3 / 0.4).cbrt();
        // Down to the flat part and beyond, where it probes.
        while c.now < start + Duration::from_secs_f64(2.0 * k) {
            c.run(Duration::from_millis(50));
            let t = (c.now - start).as_secs_f64();
            let expected = w_cubic(t + 0.1, f64::from(w_max), k);
            // It gets there within the round trip to come.
            let least = w_cubic(t - 0.1, f64::from(w_max), k) * 0.99;
            let cwnd = f64::from(c.state.cwnd);
            assert!(cwnd <= expected * 1.01 && cwnd >= least, "{t} {cwnd} {least} {expected}");
        }
    }
}

#[test]
fn rfc9438_4_2_k_is_the_time_to_w_max() {
    let mut c = Connection::new(Cubic::new(), 1_000, RTT);
    c.lose();
    c.ack();
    let k = f64::from(c.cc.curve.k) / 1024.0;
    assert!((k - (300.0f64 / 0.4).cbrt()).abs() < 0.01, "{k}");
    assert_eq!(c.cc.curve.origin, 1_000);
}

#[test]
fn rfc9438_4_2_the_target_is_at_most_half_as_much_again() {
    let mut c = Connection::new(Cubic::new(), 10_000, RTT);
    c.lose();
    c.ack();
    // An hour on the curve is far beyond what a round trip may add.
    c.now += Duration::from_secs(3600);
    let before = c.state.cwnd;
    let ctx = c.ctx();
    for _ in 0..before {
        c.cc.cong_avoid(&mut c.state, &ctx, 1);
    }
    assert!(c.state.cwnd <= before + before / 2 + 1, "{}", c.state.cwnd);
    assert!(c.state.cwnd > before + before / 3, "{}", c.state.cwnd);
}

#[test]
fn rfc9438_4_3_in_the_reno_friendly_region_it_grows_as_w_est() {
    let mut c = Connection::new(Cubic::new(), 20, Duration::from_millis(10));
    c.lose();
    assert_eq!(c.state.cwnd, 14);
    for round in 1..=10 {
        (0..c.state.cwnd).for_each(|_| c.ack());
        let expected = 14.0 + f64::from(round) * 9.0 / 17.0;
        assert!((f64::from(c.state.cwnd) - expected).abs() <= 1.0, "{round}: {:?}", c.state.cwnd);
    }
    // Alpha is 1 from where the last loss was.
    while c.state.cwnd < 20 {
        c.ack();
    }
    for round in 1..=10 {
        (0..c.state.cwnd).for_each(|_| c.ack());
        assert!(c.state.cwnd.abs_diff(20 + round) <= 1, "{round}: {:?}", c.state.cwnd);
    }
}

#[test]
fn rfc9438_4_3_with_the_same_loss_it_sends_as_much_as_reno() {
    fn packets(cc: impl CongestionControl) -> f64 {
        let mut c = Connection::new(cc, 20, Duration::from_millis(1));
        c.lose();
        let mut total = 0.0;
        // A loss every 400 packets.
        for _ in 0..100 {
            (0..400).for_each(|_| c.ack());
            total += 400.0;
            c.lose();
        }
        total / (c.now - Instant::from_secs(1)).as_secs_f64() / 1000.0
    }
    let (cubic, reno) = (packets(Cubic::new()), packets(Reno::new()));
    // sqrt(3/2) / sqrt(p) packets a round trip.
    assert!((reno / 24.5 - 1.0).abs() < 0.05, "{reno}");
    assert!((cubic / reno - 1.0).abs() < 0.07, "{cubic} {reno}");
}

#[test]
fn rfc9438_4_6_a_loss_leaves_seven_tenths() {
    for (cwnd, left) in [(1000, 700), (10, 7), (3, 2), (2, 2), (1, 2)] {
        let mut c = Connection::new(Cubic::new(), cwnd, RTT);
        c.lose();
        assert_eq!(c.state.ssthresh, left);
    }
    let mut c = Connection::new(Cubic::new(), u32::MAX, RTT);
    c.lose();
    assert!(c.state.ssthresh > u32::MAX / 3 * 2);
}

#[test]
fn rfc9438_4_7_fast_convergence_makes_room_when_windows_fall() {
    let mut c = Connection::new(Cubic::new(), 1000, RTT);
    c.lose();
    assert_eq!(c.cc.curve.w_max, 1000);
    c.state.cwnd = 800;
    c.lose();
    // 800 (1 + 0.7) / 2.
    assert_eq!(c.cc.curve.w_max, 680);
    // At a larger window it is where the loss was.
    c.state.cwnd = 900;
    c.lose();
    assert_eq!(c.cc.curve.w_max, 900);
    c.cc.set_fast_convergence(false);
    c.state.cwnd = 800;
    c.lose();
    assert_eq!(c.cc.curve.w_max, 800);
}

#[test]
fn rfc9438_4_8_after_a_timeout_the_curve_starts_where_slow_start_ends() {
    let mut c = Connection::new(Cubic::new(), 1000, RTT);
    c.time_out();
    assert_eq!((c.state.ssthresh, c.state.cwnd), (700, 1));
    while c.state.in_slow_start() {
        c.ack();
    }
    c.ack();
    assert_eq!((c.cc.curve.k, c.cc.curve.origin), (0, c.state.cwnd));
}

#[test]
fn rfc9438_4_9_a_spurious_reduction_leaves_no_trace() {
    for timeout in [false, true] {
        let mut c = Connection::new(Cubic::new(), 1000, RTT);
        c.lose();
        c.run(Duration::from_secs(2));
        let before = c.cc.curve.clone();
        let cwnd = c.state.cwnd;
        if timeout {
            c.time_out()
        } else {
            c.lose()
        }
        assert!(c.state.cwnd < cwnd);
        let ctx = c.ctx();
        assert_eq!(c.cc.undo_cwnd(&mut c.state, &ctx), cwnd);
        let after = &c.cc.curve;
        assert_eq!(
            (after.epoch_start, after.w_max, after.k, after.w_est, after.cwnd_prior),
            (before.epoch_start, before.w_max, before.k, before.w_est, before.cwnd_prior)
        );
    }
}

#[test]
fn rfc9438_4_10_without_a_loss_the_curve_starts_at_the_window() {
    let mut c = Connection::new(Cubic::new(), 200, RTT);
    // What HyStart++ does at its end.
    c.state.ssthresh = 200;
    c.ack();
    let curve = &c.cc.curve;
    assert_eq!((curve.k, curve.origin, curve.cwnd_prior), (0, 200, 200));
    let start = c.now;
    c.run(Duration::from_secs(12));
    let t = (c.now - start).as_secs_f64();
    let expected = w_cubic(t, 200.0, 0.0);
    assert!((f64::from(c.state.cwnd) / expected - 1.0).abs() < 0.05, "{:?}", c.state.cwnd);
}

#[test]
fn rfc9438_5_8_idle_time_does_not_count() {
    let mut c = Connection::new(Cubic::new(), 1000, RTT);
    c.lose();
    c.run(Duration::from_secs(2));
    let start = c.cc.curve.epoch_start;
    let last_sent_at = c.now;
    c.now += Duration::from_secs(60);
    let ctx = CcContext { last_sent_at, ..c.ctx() };
    c.cc.cwnd_event(&mut c.state, &ctx, CwndEvent::TxStart);
    assert_eq!(c.cc.curve.epoch_start, start + Duration::from_secs(60));
    // Never into the future.
    let ctx = CcContext { last_sent_at: Instant::ZERO, ..c.ctx() };
    c.cc.cwnd_event(&mut c.state, &ctx, CwndEvent::TxStart);
    assert_eq!(c.cc.curve.epoch_start, c.now);
    // Other events change nothing.
    c.cc.cwnd_event(&mut c.state, &ctx, CwndEvent::CompleteCwr);
    assert_eq!(c.cc.curve.epoch_start, c.now);
}

#[test]
fn rfc9438_5_8_time_in_which_the_window_was_not_used_does_not_count() {
    let mut c = Connection::new(Cubic::new(), 1000, RTT);
    c.lose();
    c.run(Duration::from_secs(2));
    let (start, cwnd) = (c.cc.curve.epoch_start, c.state.cwnd);
    c.state.is_cwnd_limited = false;
    let stopped = c.now;
    for _ in 0..60 {
        c.now += Duration::from_secs(1);
        let ctx = CcContext { last_sent_at: c.now - Duration::from_millis(900), ..c.ctx() };
        c.cc.cong_avoid(&mut c.state, &ctx, 10);
        // Short idle times within do not count twice.
        c.cc.cwnd_event(&mut c.state, &ctx, CwndEvent::TxStart);
    }
    assert_eq!(c.state.cwnd, cwnd);
    c.state.is_cwnd_limited = true;
    c.ack();
    let shifted = c.cc.curve.epoch_start - start;
    let paused = c.now - stopped;
    assert!(paused - shifted <= Duration::from_secs(1), "{shifted:?} {paused:?}");
    assert!(c.state.cwnd <= cwnd + 1);
}

#[test]
fn slow_start_turns_into_avoidance_at_ssthresh() {
    let mut c = Connection::new(Cubic::new(), 10, RTT);
    c.state.ssthresh = 12;
    let ctx = c.ctx();
    c.cc.cong_avoid(&mut c.state, &ctx, 20);
    assert!(c.state.cwnd >= 12 && c.state.cwnd <= 15, "{}", c.state.cwnd);
    assert_eq!(c.cc.curve.origin, 12);
}

#[test]
fn extreme_windows_do_no_harm() {
    for cwnd in [1, 2, u32::MAX - 1, u32::MAX] {
        let mut c = Connection::new(Cubic::new(), cwnd, RTT);
        c.lose();
        for seconds in [0, 1, 1 << 20, 1 << 40] {
            c.now += Duration::from_secs(seconds);
            let ctx = c.ctx();
            for acked in [0, 1, 1000, u32::MAX] {
                c.cc.cong_avoid(&mut c.state, &ctx, acked);
                assert!(c.state.cwnd >= 1);
            }
        }
    }
}

#[test]
fn hystart_leaves_slow_start_before_a_deep_queue_overflows() {
    let run = |hystart| {
        let mut cubic = Cubic::new();
        cubic.set_hystart(hystart);
        let flow = Flow::new(Congestion::Cubic(cubic), Instant::ZERO);
        let rtt = Duration::from_millis(100);
        let bottleneck = Bottleneck { rate: 5_000, queue: 5_000, rtt, policer: None };
        let mut model = Model::new(bottleneck, Vec::from([flow]));
        model.run(Instant::from_secs(5));
        let flow = model.flows.pop().unwrap();
        let Congestion::Cubic(cubic) = &flow.cc else { panic!("{:?}", flow.cc) };
        (flow.lost, cubic.hystart().phase(), flow.rate.delivered())
    };
    let (lost, phase, delivered) = run(true);
    assert_eq!((lost, phase), (0, Phase::Done));
    assert!(delivered > 21_000, "{delivered}");
    assert!(run(false).0 > 100);
}
