use std::string::ToString;

use super::*;
use crate::rng::Rng;
use window::*;

pub mod model;

use model::{Bottleneck, Flow, MSS, Model, jain};

/// A connection whose window of `cwnd` is full.
pub fn full(cwnd: u32, ssthresh: u32) -> CongestionState {
    let mut state = CongestionState::new(Instant::ZERO);
    state.cwnd = cwnd;
    state.ssthresh = ssthresh;
    state.is_cwnd_limited = true;
    state
}

/// What an algorithm sees at `now` when the path takes `rtt`.
pub fn context(now: Instant, rtt: Duration) -> CcContext {
    CcContext {
        now,
        mss: MSS,
        snd_una: SeqNumber(1),
        snd_nxt: SeqNumber(2),
        packets_in_flight: 0,
        packets_out: 0,
        delivered: 0,
        delivered_at: now,
        lost: 0,
        app_limited: 0,
        srtt: Some(rtt),
        min_rtt: Some(rtt),
        last_sent_at: now,
        next_departure: Instant::ZERO,
    }
}

const RTT: Duration = Duration::from_millis(100);

fn policy() -> IdlePolicy {
    IdlePolicy {
        slow_start_after_idle: true,
        initial_cwnd: TCP_INIT_CWND,
        rto: Duration::from_millis(300),
    }
}

#[test]
fn structures_stay_small() {
    assert!(size_of::<Cubic>() <= 128, "{}", size_of::<Cubic>());
    assert!(size_of::<Congestion>() <= 128, "{}", size_of::<Congestion>());
    assert!(size_of::<CongestionState>() <= 96, "{}", size_of::<CongestionState>());
}

#[test]
fn algorithms_are_found_by_name() {
    for algorithm in CongestionAlgorithm::ALL {
        assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        assert_eq!(Congestion::new(algorithm).name(), algorithm.name());
    }
    assert_eq!("vegas".parse::<CongestionAlgorithm>(), Err(UnknownAlgorithm));
    assert_eq!(CongestionAlgorithm::default().name(), "cubic");
}

#[test]
fn rfc6928_2_initial_window_is_ten_segments() {
    assert_eq!(CongestionState::new(Instant::ZERO).cwnd, 10);
}

#[test]
fn rfc5681_3_1_initial_ssthresh_is_arbitrarily_high() {
    let state = CongestionState::new(Instant::ZERO);
    assert!(state.in_slow_start() && state.in_initial_slow_start());
}

#[test]
fn rfc3465_2_1_what_slow_start_leaves_over_is_for_avoidance() {
    let mut state = full(10, 14);
    assert_eq!(slow_start(&mut state, 3), 0);
    assert_eq!(state.cwnd, 13);
    assert_eq!(slow_start(&mut state, 5), 4);
    assert_eq!(state.cwnd, 14);
}

#[test]
fn rfc3465_2_2_l_bounds_what_one_ack_adds() {
    let mut state = full(10, INFINITE_SSTHRESH);
    state.abc_limit = 2;
    assert_eq!(slow_start(&mut state, 8), 0);
    assert_eq!(state.cwnd, 12);
    // Without a limit, as Linux, a stretch ACK counts in full.
    state.abc_limit = u32::MAX;
    slow_start(&mut state, 8);
    assert_eq!(state.cwnd, 20);
}

#[test]
fn the_clamp_bounds_both_kinds_of_growth() {
    let mut state = full(10, INFINITE_SSTHRESH);
    state.cwnd_clamp = 12;
    slow_start(&mut state, 100);
    assert_eq!(state.cwnd, 12);
    cong_avoid_ai(&mut state, 1, 100);
    assert_eq!(state.cwnd, 12);
}

#[test]
fn avoidance_counts_stretch_acks_in_full_and_forgets_old_credit() {
    let mut state = full(10, 5);
    cong_avoid_ai(&mut state, 10, 35);
    assert_eq!((state.cwnd, state.cwnd_cnt), (13, 5));
    // What was counted towards a larger step makes one step, not many.
    state.cwnd_cnt = 50;
    cong_avoid_ai(&mut state, 10, 1);
    assert_eq!((state.cwnd, state.cwnd_cnt), (14, 1));
    cong_avoid_ai(&mut state, 0, 1);
    state.cwnd = u32::MAX;
    cong_avoid_ai(&mut state, 1, u32::MAX);
    assert_eq!(state.cwnd, u32::MAX);
}

#[test]
fn rfc7661_4_1_a_window_that_is_not_the_limit_does_not_grow() {
    for algorithm in [CongestionAlgorithm::Reno, CongestionAlgorithm::Cubic] {
        let mut cc = Congestion::new(algorithm);
        let mut state = full(20, 10);
        state.is_cwnd_limited = false;
        let ctx = context(Instant::from_secs(1), RTT);
        cc.cong_avoid(&mut state, &ctx, 1000);
        assert_eq!(state.cwnd, 20);
        // In slow start it does while more than half of it was in use.
        state.ssthresh = 100;
        state.max_packets_out = 10;
        cc.cong_avoid(&mut state, &ctx, 1);
        assert_eq!(state.cwnd, 20);
        state.max_packets_out = 11;
        cc.cong_avoid(&mut state, &ctx, 1);
        assert_eq!(state.cwnd, 21);
    }
}

#[test]
fn the_fullest_moment_of_a_flight_counts() {
    let cc = Reno::new();
    let mut state = full(10, 5);
    let mut ctx = context(Instant::from_secs(1), RTT);
    (ctx.snd_una, ctx.snd_nxt, ctx.packets_out) = (SeqNumber(1), SeqNumber(11), 10);
    cwnd_validate(&mut state, &cc, &ctx, &policy(), true, false);
    assert!(state.is_cwnd_limited && state.cwnd_usage_seq == SeqNumber(11));
    // A later look at the same flight, less full, changes nothing.
    (ctx.snd_una, ctx.snd_nxt, ctx.packets_out) = (SeqNumber(5), SeqNumber(12), 7);
    cwnd_validate(&mut state, &cc, &ctx, &policy(), false, false);
    assert!(state.is_cwnd_limited && state.max_packets_out == 10);
    ctx.snd_una = SeqNumber(11);
    cwnd_validate(&mut state, &cc, &ctx, &policy(), false, false);
    assert!(!state.is_cwnd_limited && state.max_packets_out == 7);
    // As long as it was not full, a fuller moment replaces a less full one, not the reverse.
    (ctx.snd_una, ctx.packets_out) = (SeqNumber(11), 9);
    state.cwnd_usage_seq = SeqNumber(20);
    cwnd_validate(&mut state, &cc, &ctx, &policy(), false, false);
    ctx.packets_out = 8;
    cwnd_validate(&mut state, &cc, &ctx, &policy(), false, false);
    assert_eq!(state.max_packets_out, 9);
}

#[test]
fn rfc7661_4_4_a_window_not_used_for_a_timeout_shrinks_towards_its_use() {
    let cc = Reno::new();
    let mut state = full(100, 50);
    state.is_cwnd_limited = false;
    let mut ctx = context(Instant::from_millis(299), RTT);
    ctx.packets_out = 20;
    cwnd_validate(&mut state, &cc, &ctx, &policy(), false, false);
    assert_eq!(state.cwnd, 100);
    ctx.now = Instant::from_millis(300);
    // The send buffer's doing is not the application's.
    cwnd_validate(&mut state, &cc, &ctx, &policy(), false, true);
    assert_eq!(state.cwnd, 100);
    ctx.now = Instant::from_millis(600);
    cwnd_validate(&mut state, &cc, &ctx, &policy(), false, false);
    assert_eq!((state.cwnd, state.ssthresh, state.cwnd_used), (60, 75, 0));
    // Not during recovery, not for a model-based algorithm, not when switched off.
    state.ca_state = CaState::Recovery;
    ctx.now = Instant::from_millis(900);
    cwnd_validate(&mut state, &cc, &ctx, &policy(), false, false);
    state.ca_state = CaState::Open;
    ctx.now = Instant::from_millis(1200);
    cwnd_validate(&mut state, &Bbr::new(), &ctx, &policy(), false, false);
    let off = IdlePolicy { slow_start_after_idle: false, ..policy() };
    cwnd_validate(&mut state, &cc, &ctx, &off, false, false);
    assert_eq!(state.cwnd, 60);
}

#[test]
fn rfc5681_4_1_idling_longer_than_a_timeout_restarts_slow_start() {
    for (idle, cwnd) in [(300, 100), (301, 50), (600, 50), (601, 25), (901, 12), (99_000, 10)] {
        let mut state = full(100, 50);
        let mut ctx = context(Instant::from_millis(idle), RTT);
        ctx.last_sent_at = Instant::ZERO;
        slow_start_after_idle(&mut state, &mut Reno::new(), &ctx, &policy());
        let expected = if idle <= 300 { 50 } else { 75 };
        assert_eq!((state.cwnd, state.ssthresh), (cwnd, expected), "idle {idle} ms");
    }
    // With something outstanding it is not idle; a small window does not grow by it.
    let mut state = full(100, 50);
    let mut ctx = context(Instant::from_secs(9), RTT);
    (ctx.last_sent_at, ctx.packets_out) = (Instant::ZERO, 1);
    slow_start_after_idle(&mut state, &mut Reno::new(), &ctx, &policy());
    assert_eq!(state.cwnd, 100);
    (ctx.packets_out, state.cwnd) = (0, 4);
    slow_start_after_idle(&mut state, &mut Reno::new(), &ctx, &policy());
    assert_eq!(state.cwnd, 4);
}

#[test]
fn the_pace_is_twice_the_window_early_and_a_fifth_more_after() {
    let ctx = context(Instant::from_secs(1), RTT);
    let ratios = PacingRatios::default();
    let rate = |state: &mut CongestionState| {
        update_pacing_rate(state, &ctx, ratios);
        state.pacing_rate
    };
    let mut state = full(10, INFINITE_SSTHRESH);
    assert_eq!(rate(&mut state), 2 * 10 * 1000 * 10);
    state.ssthresh = 20;
    assert_eq!(rate(&mut state), 120_000);
    state.max_pacing_rate = 5_000;
    assert_eq!(rate(&mut state), 5_000);
    // No round trip measured: no pace.
    let unknown = CcContext { srtt: None, ..ctx };
    state.max_pacing_rate = NO_PACING;
    update_pacing_rate(&mut state, &unknown, ratios);
    assert_eq!(state.pacing_rate, NO_PACING);
    let huge = CcContext { mss: u32::MAX, packets_out: u32::MAX, srtt: Some(RTT), ..ctx };
    update_pacing_rate(&mut state, &huge, ratios);
    assert!(state.pacing_rate > 1 << 60);
}

#[test]
fn large_packets_hold_a_millisecond_or_more_on_a_short_path() {
    let cc = Reno::new();
    let mut state = full(10, 5);
    let far = context(Instant::ZERO, RTT);
    state.pacing_rate = 10 * 1024 * u64::from(MSS);
    assert_eq!(tso_autosize(&state, &cc, &far, 65_000), 10);
    state.pacing_rate = 1024;
    assert_eq!(tso_autosize(&state, &cc, &far, 65_000), 2);
    let near = context(Instant::ZERO, Duration::from_micros(100));
    assert_eq!(tso_autosize(&state, &cc, &near, 65_000), 65);
    state.pacing_rate = NO_PACING;
    assert_eq!(tso_autosize(&state, &cc, &far, 65_000), 65);
    // BBR sends single segments at a slow pace.
    state.pacing_rate = 100_000;
    assert_eq!(tso_autosize(&state, &Bbr::new(), &far, 65_000), 1);
}

/// An algorithm of the embedder's own: a fixed window.
#[derive(Debug)]
struct Fixed(u32);

impl CongestionControl for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }
    fn ssthresh(&mut self, _: &CongestionState, _: &CcContext) -> u32 {
        self.0
    }
    fn cong_avoid(&mut self, state: &mut CongestionState, _: &CcContext, _: u32) {
        state.cwnd = self.0;
    }
}

#[test]
fn an_embedder_can_bring_an_algorithm() {
    let mut cc = Congestion::Custom(Box::new(Fixed(7)));
    let mut state = full(10, 5);
    let ctx = context(Instant::ZERO, RTT);
    cc.init(&mut state, &ctx);
    cc.cong_avoid(&mut state, &ctx, 1);
    assert_eq!((cc.name(), state.cwnd, cc.ssthresh(&state, &ctx)), ("fixed", 7, 7));
    assert!(!cc.has_cong_control() && cc.min_tso_segs(&state) == 2 && cc.sndbuf_expand() == 2);
    state.prior_cwnd = 20;
    assert_eq!(cc.undo_cwnd(&mut state, &ctx), 20);
}

#[test]
fn whatever_happens_the_window_stays_within_its_bounds() {
    let mut rng = Rng::new(5);
    for round in 0..60 {
        let mut cc = Congestion::new(CongestionAlgorithm::ALL[round % 3]);
        let mut state = CongestionState::new(Instant::ZERO);
        state.cwnd_clamp = 1 << rng.below(32);
        state.cwnd = state.cwnd.min(state.cwnd_clamp);
        let mut ctx = context(Instant::ZERO, RTT);
        cc.init(&mut state, &ctx);
        for _ in 0..2_000 {
            disturb(&mut rng, &mut cc, &mut state, &mut ctx);
            assert!(state.cwnd >= 1 && state.ssthresh >= 2, "{cc:?} {state:?}");
            assert!(state.cwnd <= state.cwnd_clamp, "{cc:?} {state:?}");
        }
    }
}

/// Lets something happen to a connection, likely or not.
fn disturb(rng: &mut Rng, cc: &mut Congestion, state: &mut CongestionState, ctx: &mut CcContext) {
    // Small ones and large ones equally often.
    let mut below = |bits| {
        let most = 1 << rng.below(bits);
        rng.below(most)
    };
    ctx.now += Duration::from_nanos(below(40));
    let acked = below(12) as u32;
    let rtt = Some(Duration::from_nanos(below(34)));
    ctx.snd_una += acked;
    ctx.snd_nxt = ctx.snd_una.later(ctx.snd_nxt) + rng.below(100) as u32;
    ctx.delivered += u64::from(acked);
    ctx.delivered_at = ctx.now;
    ctx.packets_in_flight = rng.below(2_000) as u32;
    ctx.packets_out = ctx.packets_in_flight;
    let losses = rng.below(5).saturating_sub(3) as u32;
    ctx.lost += u64::from(losses);
    ctx.srtt = rtt.filter(|_| rng.below(4) > 0);
    let policy = policy();
    match rng.below(12) {
        0 => {
            state.prior_cwnd = state.cwnd;
            state.ssthresh = cc.ssthresh(state, ctx);
            state.set_ca_state(cc, ctx, CaState::Recovery);
        }
        1 => {
            state.ssthresh = cc.ssthresh(state, ctx);
            state.cwnd = 1;
            cc.cwnd_event(state, ctx, CwndEvent::Loss);
            state.set_ca_state(cc, ctx, CaState::Loss);
        }
        2 => state.cwnd = cc.undo_cwnd(state, ctx).min(state.cwnd_clamp),
        3 => cc.cwnd_event(state, ctx, CwndEvent::TxStart),
        4 => slow_start_after_idle(state, cc, ctx, &policy),
        5 => cwnd_validate(state, cc, ctx, &policy, rng.below(2) == 0, false),
        6 => state.set_ca_state(cc, ctx, CaState::Open),
        _ => {
            let rs = RateSample {
                prior_delivered: ctx.delivered.saturating_sub(rng.below(500)),
                delivered: rng.below(1_000) as i64 - 1,
                interval: rtt,
                rtt,
                losses,
                acked_sacked: acked,
                prior_in_flight: ctx.packets_in_flight,
                is_app_limited: rng.below(4) == 0,
                ..RateSample::default()
            };
            let sample = AckSample { pkts_acked: acked, rtt, in_flight: 0 };
            cc.pkts_acked(state, ctx, &sample);
            if !cc.cong_control(state, ctx, &rs, false) {
                cc.cong_avoid(state, ctx, acked);
            }
            update_pacing_rate(state, ctx, PacingRatios::default());
        }
    }
}

fn path(queue: usize) -> Bottleneck {
    // 1000 packets/s and 100 ms: the pipe holds 100 packets.
    Bottleneck { rate: 1000, queue, rtt: RTT, policer: None }
}

#[test]
fn every_algorithm_fills_a_pipe() {
    for algorithm in CongestionAlgorithm::ALL {
        let flow = Flow::new(Congestion::new(algorithm), Instant::ZERO);
        let mut model = Model::new(path(100), std::vec![flow]);
        model.run(Instant::from_secs(10));
        let delivered = model.delivered(Instant::from_secs(70))[0];
        assert!(delivered > 57_000, "{algorithm}: {delivered} of 60000");
        assert_eq!(model.flows[0].timeouts, 0, "{algorithm}");
    }
}

#[test]
fn two_flows_share_a_bottleneck() {
    for algorithm in CongestionAlgorithm::ALL {
        let flows =
            [0, 7].map(|start| Flow::new(Congestion::new(algorithm), Instant::from_secs(start)));
        let mut model = Model::new(path(100), flows.into());
        model.run(Instant::from_secs(60));
        let shares = model.delivered(Instant::from_secs(300));
        let (index, sum) = (jain(&shares), shares.iter().sum::<u64>());
        assert!(index > 0.9, "{algorithm}: {shares:?}, {index}");
        assert!(sum > 228_000, "{algorithm}: {shares:?} of 240000");
    }
}

#[test]
fn cubic_with_a_small_queue_uses_more_of_a_long_path_than_reno() {
    let run = |algorithm| {
        let flow = Flow::new(Congestion::new(algorithm), Instant::ZERO);
        let bottleneck = Bottleneck { rate: 10_000, queue: 50, rtt: RTT * 2, policer: None };
        let mut model = Model::new(bottleneck, std::vec![flow]);
        model.run(Instant::from_secs(60));
        model.delivered(Instant::from_secs(260))[0]
    };
    let (cubic, reno) = (run(CongestionAlgorithm::Cubic), run(CongestionAlgorithm::Reno));
    assert!(cubic > reno * 11 / 10, "{cubic} {reno}");
}
