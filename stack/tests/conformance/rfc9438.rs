//! RFC 9438, CUBIC.

use tapping_stack::tcp::cc::cubic::Cubic;
use tapping_stack::tcp::cc::{CaState, CongestionControl, INFINITE_SSTHRESH};
use tapping_stack::time::Duration;

use crate::congestion::{Flow, context, full};
use crate::conn::Setup;

conformance! {
    "RFC 9438", "CUBIC";

    Should "RFC9438-4.6-decrease" "4.6" "A loss multiplies the window by 0.7, to not less than two packets."
        => a_loss_multiplies_by_seven_tenths;
    Rule "RFC9438-4.2-curve" "4.2" "After that the window is 0.4 (t − K)³ + W_max, with K where it was before."
        => the_window_follows_the_cubic;
    Rule "RFC9438-4.4-concave" "4.4" "Up to the old maximum it grows ever more slowly."
        => growth_slows_down_towards_the_maximum;
    Rule "RFC9438-4.5-convex" "4.5" "Beyond it grows ever faster."
        => growth_speeds_up_beyond_the_maximum;
    Rule "RFC9438-4.2-target" "4.2" "One round trip adds half of the window at most."
        => one_round_trip_adds_half_at_most;
    MustNot "RFC9438-4.2-limited" "4.2" "Time in which the application leaves the window unused does not count."
        => unused_time_does_not_count;
    Should "RFC9438-4.3-reno" "4.3" "Where Reno would be faster the window is Reno's."
        => never_slower_than_reno;
    Should "RFC9438-4.7-fast" "4.7" "A loss below the last maximum makes room for others."
        => fast_convergence;
    Rule "RFC9438-4.8-curve" "4.8" "After a timeout the curve begins anew where slow start ends."
        => a_timeout_begins_the_curve_anew;
    Should "RFC9438-4.9-spurious" "4.9" "A reduction that proves needless is taken back, and the curve with it."
        => a_needless_reduction_is_taken_back;
    Must "RFC9438-4.8-timeout" "4.8" "A timeout sets ssthresh by the same factor, and the window to one."
        => a_timeout_uses_the_same_factor;
    Rule "RFC9438-5.1-fair" "5.1" "Two flows over one bottleneck come to share it."
        => two_flows_share;
    Must "RFC9438-4.10-slowstart" "4.10" "Below the slow start threshold the window grows by slow start."
        => slow_start_below_the_threshold;
}

const RTT: Duration = Duration::from_millis(100);

fn secs(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

/// A flow that has just met a loss at a window of `cwnd`.
fn after_loss(cwnd: u32) -> Flow<Cubic> {
    let mut flow = Flow::new(Cubic::new(), full(cwnd, cwnd), RTT);
    flow.lose();
    flow
}

/// The time from a loss at this window until the curve is back there.
fn k(w_max: f64) -> f64 {
    (w_max * 0.3 / 0.4).cbrt()
}

fn a_loss_multiplies_by_seven_tenths() {
    for (cwnd, expected) in [(1000, 700), (100, 70), (10, 7), (3, 2), (2, 2), (1, 2)] {
        assert_eq!(after_loss(cwnd).state.ssthresh, expected);
    }
}

fn the_window_follows_the_cubic() {
    let mut flow = after_loss(1000);
    let start = flow.now;
    while flow.now < start + secs(20.0) {
        flow.round();
        let t = (flow.now - start).as_secs_f64();
        let expected = 0.4 * (t - k(1000.0)).powi(3) + 1000.0;
        let cwnd = f64::from(flow.state.cwnd);
        assert!((cwnd / expected - 1.0).abs() < 0.02, "{cwnd} after {t} s, not {expected}");
    }
    assert!(flow.state.cwnd > 1400, "both sides of the maximum were seen");
}

/// What the window gains in each of these seconds.
fn gains(from: f64, seconds: usize) -> Vec<u32> {
    let mut flow = after_loss(1000);
    flow.run_for(secs(from));
    (0..seconds)
        .map(|_| {
            let before = flow.state.cwnd;
            flow.run_for(secs(1.0));
            flow.state.cwnd - before
        })
        .collect()
}

fn growth_slows_down_towards_the_maximum() {
    let gains = gains(0.0, 8);
    assert!(gains.windows(2).all(|pair| pair[1] < pair[0]), "{gains:?}");
}

fn growth_speeds_up_beyond_the_maximum() {
    let gains = gains(k(1000.0) + 1.0, 8);
    assert!(gains.windows(2).all(|pair| pair[1] > pair[0]), "{gains:?}");
}

fn one_round_trip_adds_half_at_most() {
    let mut flow = after_loss(100);
    flow.round();
    // The curve is far up by now.
    flow.now += secs(500.0);
    for _ in 0..5 {
        let before = flow.state.cwnd;
        flow.round();
        assert!(flow.state.cwnd > before, "it grows");
        assert!(flow.state.cwnd <= before * 3 / 2 + 1, "{before} to {}", flow.state.cwnd);
    }
}

fn unused_time_does_not_count() {
    let mut flow = after_loss(1000);
    flow.run_for(secs(2.0));
    let mut other = Flow { cc: flow.cc.clone(), state: flow.state.clone(), ..flow };
    let before = other.state.cwnd;
    other.state.is_cwnd_limited = false;
    other.run_for(secs(60.0));
    assert_eq!(other.state.cwnd, before, "an unused window does not grow");
    other.state.is_cwnd_limited = true;
    flow.run_for(secs(3.0));
    other.run_for(secs(3.0));
    let (used, unused) = (flow.state.cwnd, other.state.cwnd);
    assert!(used.abs_diff(unused) <= used / 50, "{used} without the pause, {unused} with it");
}

fn never_slower_than_reno() {
    let rtt = Duration::from_millis(10);
    let mut flow = Flow::new(Cubic::new(), full(20, 20), rtt);
    flow.lose();
    // RFC 9438 §4.3: Reno with the same mean adds 9/17 packets per round trip.
    for round in 1..=20 {
        flow.round();
        let reno = 14 + round * 9 / 17;
        assert!(flow.state.cwnd + 1 >= reno, "{} in round {round}", flow.state.cwnd);
    }
    let curve = 0.4 * (0.2 - k(20.0)).powi(3) + 20.0;
    assert!(f64::from(flow.state.cwnd) > curve + 3.0, "more than the curve has");
}

fn fast_convergence() {
    // Losses at 1000 and 900: the maximum is 900 × 1.7 / 2 and reached that much sooner.
    let maximum = 900.0 * 0.85;
    let reached = ((maximum - 630.0) / 0.4_f64).cbrt();
    let windows = [true, false].map(|fast| {
        let mut cubic = Cubic::new();
        cubic.set_fast_convergence(fast);
        let mut flow = Flow::new(cubic, full(1000, 1000), RTT);
        flow.lose();
        flow.state.cwnd = 900;
        flow.lose();
        flow.run_for(secs(reached));
        f64::from(flow.state.cwnd)
    });
    assert!((windows[0] / maximum - 1.0).abs() < 0.02, "{windows:?}");
    assert!(windows[1] > windows[0] * 1.05, "it leaves room: {windows:?}");
}

fn a_timeout_begins_the_curve_anew() {
    let mut flow = after_loss(1000);
    flow.run_for(secs(3.0));
    flow.lose();
    let ctx = context(flow.now, flow.rtt);
    flow.cc.set_state(&mut flow.state, &ctx, CaState::Loss);
    let ssthresh = flow.state.ssthresh;
    flow.state.cwnd = 1;
    while flow.state.cwnd < ssthresh {
        flow.round();
    }
    // From there it is convex: nothing of the old maximum is left.
    let before = flow.state.cwnd;
    flow.run_for(secs(1.0));
    let first = flow.state.cwnd - before;
    flow.run_for(secs(4.0));
    let later = flow.state.cwnd;
    flow.run_for(secs(1.0));
    assert!(flow.state.cwnd - later > first, "{first}, then {}", flow.state.cwnd - later);
}

fn a_needless_reduction_is_taken_back() {
    let mut flow = after_loss(1000);
    flow.run_for(secs(4.0));
    let mut other = Flow { cc: flow.cc.clone(), state: flow.state.clone(), ..flow };
    let ssthresh = other.state.ssthresh;
    other.lose();
    other.state.cwnd = other.cc.undo_cwnd(&mut other.state, &context(other.now, RTT));
    other.state.ssthresh = ssthresh;
    assert_eq!(other.state.cwnd, flow.state.cwnd);
    flow.run_for(secs(4.0));
    other.run_for(secs(4.0));
    assert_eq!(other.state.cwnd, flow.state.cwnd, "as if nothing had happened");
}

fn slow_start_below_the_threshold() {
    for ssthresh in [80, INFINITE_SSTHRESH] {
        let mut flow = Flow::new(Cubic::new(), full(10, ssthresh), RTT);
        let windows = [(); 4].map(|()| {
            flow.round();
            flow.state.cwnd
        });
        assert_eq!(windows[..3], [20, 40, 80]);
        if ssthresh == 80 {
            assert!(windows[3] < 120, "then not by slow start: {windows:?}");
        } else {
            assert_eq!(windows[3], 160);
        }
    }
}

fn a_timeout_uses_the_same_factor() {
    let setup = Setup::default().cubic().config(|config| config.tcp.tail_loss_probe = false);
    let mut conn = setup.open();
    conn.write(10);
    conn.run(300);
    assert_eq!(conn.ext().tcp_timeouts, 1);
    assert_eq!(conn.window(), (1, 7));
}

/// A bottleneck of so many packets a round trip with a queue as long: when that is full, both lose.
fn two_flows_share() {
    let capacity = 200;
    let mut flows = [after_loss(180), after_loss(20)];
    let mut sums = [0u64; 2];
    for round in 0..4000 {
        for flow in &mut flows {
            flow.round();
        }
        let total: u32 = flows.iter().map(|flow| flow.state.cwnd).sum();
        if total > 2 * capacity {
            flows.iter_mut().for_each(Flow::lose);
        }
        if round >= 2000 {
            sums.iter_mut().zip(&flows).for_each(|(sum, flow)| *sum += u64::from(flow.state.cwnd));
        }
    }
    let (low, high) = (sums[0].min(sums[1]), sums[0].max(sums[1]));
    assert!(low * 5 >= high * 4, "{sums:?}");
}
