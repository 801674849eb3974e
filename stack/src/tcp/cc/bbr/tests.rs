use std::vec::Vec;

use super::*;
use crate::tcp::cc::tests::model::{Bottleneck, Flow, MSS, Model, jain};
use crate::tcp::cc::tests::{context, full};
use crate::tcp::cc::{Congestion, CongestionAlgorithm};

const RTT: Duration = Duration::from_millis(50);

fn flow(start: Instant) -> Flow {
    Flow::new(Congestion::new(CongestionAlgorithm::Bbr), start)
}

/// One flow over `rate` packets a second.
fn model(rate: u64, queue: usize) -> Model {
    let bottleneck = Bottleneck { rate, queue, rtt: RTT, policer: None };
    Model::new(bottleneck, Vec::from([flow(Instant::ZERO)]))
}

/// Runs to `end` and calls `look` every 5 ms.
fn watch(model: &mut Model, end: Instant, mut look: impl FnMut(Instant, &Flow)) {
    while model.now < end {
        model.run(model.now + Duration::from_millis(5));
        look(model.now, &model.flows[0]);
    }
}

/// An instance that has measured 1000 packets a second and 100 ms.
fn settled() -> (Bbr, CongestionState, CcContext) {
    let (mut bbr, mut state) = (Bbr::new(), full(200, INFINITE_SSTHRESH));
    let ctx = context(Instant::from_secs(1), Duration::from_millis(100));
    bbr.init(&mut state, &ctx);
    bbr.bw.reset(0, per_micro(1000, 1_000_000));
    bbr.full_bw_reached = true;
    bbr.enter_probe_bw(&ctx);
    (bbr, state, ctx)
}

fn acked(packets: u32, losses: u32) -> RateSample {
    RateSample {
        prior_at: Some(Instant::ZERO),
        delivered: 100,
        interval: Some(Duration::from_millis(100)),
        acked_sacked: packets,
        losses,
        ..RateSample::default()
    }
}

#[test]
fn it_finds_the_bandwidth_and_the_delay_of_the_bottleneck() {
    for rate in [100, 1_000, 20_000] {
        let mut model = model(rate, 100_000);
        model.run(Instant::from_secs(5));
        let bbr = model.flows[0].bbr();
        let bytes = rate * u64::from(MSS);
        let error = bbr.bandwidth(MSS) as f64 / bytes as f64 - 1.0;
        assert!(error.abs() < 0.05, "{rate}: {} of {bytes}", bbr.bandwidth(MSS));
        // The path and the transmission of the packet itself.
        let min = RTT + Duration::from_micros(1_000_000 / rate);
        let rtt = bbr.min_rtt().unwrap();
        assert!(rtt >= min - Duration::from_micros(1) && rtt < min * 11 / 10, "{rate}: {rtt:?}");
    }
}

#[test]
fn it_fills_the_pipe_and_keeps_the_queue_short() {
    let mut model = model(2_000, 100_000);
    model.run(Instant::from_secs(3));
    let delivered = model.delivered(Instant::from_secs(9))[0];
    assert!(delivered > 11_700, "{delivered} of 12000");
    let flow = &model.flows[0];
    // The pipe holds 100 packets; a loss-based one would fill the queue of 100000.
    assert!(flow.rtt.srtt().unwrap() < RTT * 3 / 2, "{:?}", flow.rtt.srtt());
    assert_eq!((flow.lost, flow.timeouts), (0, 0));
}

#[test]
fn it_fills_drains_and_probes_in_this_order() {
    let mut model = model(2_000, 100_000);
    let mut modes = Vec::new();
    let mut in_flight_after_drain = None;
    watch(&mut model, Instant::from_secs(2), |now, flow| {
        let mode = flow.bbr().mode();
        if modes.last() != Some(&mode) {
            modes.push(mode);
        }
        if mode == Mode::ProbeBw && in_flight_after_drain.is_none() {
            in_flight_after_drain = Some(flow.ctx(now).packets_in_flight);
        }
    });
    assert_eq!(modes, [Mode::Startup, Mode::Drain, Mode::ProbeBw]);
    // 102 are in the pipe, and the allowance for offload.
    let left = in_flight_after_drain.unwrap();
    assert!((90..150).contains(&left), "{left}");
    assert!(model.flows[0].bbr().full_bw_reached);
}

#[test]
fn startup_doubles_the_rate_each_round() {
    let mut model = model(100_000, 100_000);
    // The initial window of ten, then twice as many each 50 ms.
    let mut last = 0;
    for round in 1..=6u32 {
        model.run(Instant::ZERO + RTT * round + Duration::from_millis(10));
        let delivered = model.flows[0].rate.delivered();
        // The second round is paced from a window sent at once.
        assert!(round < 3 || delivered * 10 >= last * 19, "{round}: {delivered} after {last}");
        last = delivered;
    }
    assert_eq!(model.flows[0].bbr().mode(), Mode::Startup);
}

#[test]
fn probe_bw_cycles_through_its_gains() {
    let mut model = model(2_000, 100_000);
    model.run(Instant::from_secs(2));
    let mut gains: Vec<u32> = Vec::new();
    watch(&mut model, Instant::from_secs(7), |_, flow| {
        if gains.last() != Some(&flow.bbr().pacing_gain) {
            gains.push(flow.bbr().pacing_gain);
        }
    });
    let probes = gains.iter().filter(|gain| **gain > UNIT).count();
    // Eight phases of about 50 ms.
    assert!((10..=13).contains(&probes), "{gains:?}");
    // What was probed for is given back at once; the phase may be over within 5 ms.
    for pair in gains.windows(2).filter(|pair| pair[0] > UNIT) {
        assert!(pair[1] <= UNIT, "{gains:?}");
    }
    assert!(gains.iter().all(|gain| [UNIT * 5 / 4, UNIT, UNIT * 3 / 4].contains(gain)));
    assert!(gains.contains(&(UNIT * 3 / 4)));
}

#[test]
fn every_ten_seconds_it_empties_the_pipe_for_200_ms() {
    let mut model = model(2_000, 100_000);
    let mut entered = Vec::new();
    let mut left = Vec::new();
    let mut before = Mode::Startup;
    let mut least = u32::MAX;
    watch(&mut model, Instant::from_secs(60), |now, flow| {
        let mode = flow.bbr().mode();
        if mode == Mode::ProbeRtt {
            assert!(flow.state.cwnd <= MIN_CWND);
            least = least.min(flow.ctx(now).packets_in_flight);
            if before != mode {
                entered.push(now);
            }
        } else if before == Mode::ProbeRtt {
            left.push(now);
            assert!(flow.state.cwnd > 100, "the window is restored: {}", flow.state.cwnd);
        }
        before = mode;
    });
    assert!((5..=6).contains(&entered.len()), "{entered:?}");
    assert!(least <= MIN_CWND);
    for pair in entered.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(apart >= MIN_RTT_WINDOW && apart < Duration::from_secs(11), "{entered:?}");
    }
    for (entered, left) in entered.iter().zip(&left) {
        let lasted = *left - *entered;
        assert!(lasted >= PROBE_RTT_TIME && lasted < PROBE_RTT_TIME + RTT * 4, "{lasted:?}");
    }
    // What was sent then does not count for the path.
    let error = model.flows[0].bbr().bandwidth(MSS) as f64 / 2e6 - 1.0;
    assert!(error.abs() < 0.05, "{error}");
}

#[test]
fn it_follows_a_path_that_becomes_slower_or_faster() {
    let mut model = model(2_000, 100_000);
    model.run(Instant::from_secs(5));
    for rate in [1_000, 4_000] {
        model.bottleneck.rate = rate;
        model.run(model.now + Duration::from_secs(20));
        let bandwidth = model.flows[0].bbr().bandwidth(MSS) as f64;
        let error = bandwidth / (rate as f64 * 1000.0) - 1.0;
        assert!(error.abs() < 0.1, "{rate}: {bandwidth}");
    }
}

#[test]
fn an_application_that_sends_little_does_not_make_the_path_slow() {
    let mut model = model(2_000, 100_000);
    model.run(Instant::from_secs(5));
    let before = model.flows[0].bbr().bandwidth(MSS);
    model.flows[0].app_limit = 5;
    model.run(Instant::from_secs(9));
    assert_eq!(model.flows[0].bbr().bandwidth(MSS), before);
}

#[test]
fn it_keeps_to_the_rate_of_a_policer() {
    let policer = Some((1_000, 400));
    let bottleneck = Bottleneck { rate: 10_000, queue: 100_000, rtt: RTT, policer };
    let mut model = Model::new(bottleneck, Vec::from([flow(Instant::ZERO)]));
    let mut policed = 0;
    watch(&mut model, Instant::from_secs(30), |_, flow| {
        policed += u32::from(flow.bbr().is_policed());
        if flow.bbr().is_policed() {
            let error = flow.bbr().bandwidth(MSS) as f64 / 1e6 - 1.0;
            assert!(error.abs() < 0.2, "{error}");
        }
    });
    // Once found, its rate is used for 48 rounds of at least 50 ms.
    assert!(policed >= 48 * 10, "{policed}");
    let lost = model.flows[0].lost;
    let delivered = model.delivered(Instant::from_secs(60))[0];
    let lost = model.flows[0].lost - lost;
    assert!(delivered > 27_000, "{delivered} of 30000");
    assert!(lost * 4 < delivered, "{lost} lost, {delivered} delivered");
}

#[test]
fn a_policer_needs_two_intervals_that_agree() {
    let mut policer = Policer::default();
    let mut ctx = context(Instant::from_secs(1), RTT);
    let interval = |policer: &mut Policer, ctx: &mut CcContext, delivered, lost| {
        for round in 0..MIN_LT_ROUNDS {
            ctx.delivered_at += RTT;
            ctx.delivered += delivered;
            ctx.lost += lost;
            let rs = acked(1, u32::from(round == MIN_LT_ROUNDS - 1));
            policer.sample(true, true, ctx, &rs);
        }
    };
    policer.sample(false, true, &ctx, &acked(1, 1));
    interval(&mut policer, &mut ctx, 50, 15);
    assert_eq!(policer.rate(), None);
    interval(&mut policer, &mut ctx, 70, 20);
    assert_eq!(policer.rate(), None, "70 is not near 50");
    interval(&mut policer, &mut ctx, 72, 10);
    assert_eq!(policer.rate(), None, "too little loss to be policed");
    interval(&mut policer, &mut ctx, 72, 30);
    let rate = policer.rate().expect("two that agree");
    let expected = per_micro(71, 50_000);
    assert!(rate.abs_diff(expected) < expected / 50, "{rate} {expected}");
    // After 48 rounds it looks again.
    for _ in 0..47 {
        assert!(!policer.sample(true, true, &ctx, &acked(1, 0)));
    }
    assert!(policer.sample(true, true, &ctx, &acked(1, 0)));
    assert_eq!(policer.rate(), None);
}

const MIN_LT_ROUNDS: u32 = 4;

#[test]
fn an_application_limited_interval_says_nothing_of_a_policer() {
    let mut policer = Policer::default();
    let mut ctx = context(Instant::from_secs(1), RTT);
    policer.sample(false, true, &ctx, &acked(1, 1));
    for _ in 0..100 {
        ctx.delivered_at += RTT;
        ctx.delivered += 50;
        ctx.lost += 25;
        let rs = RateSample { is_app_limited: true, ..acked(1, 1) };
        policer.sample(true, true, &ctx, &rs);
        assert_eq!(policer.rate(), None);
    }
}

#[test]
fn the_first_round_of_recovery_conserves_packets() {
    let (mut bbr, mut state, mut ctx) = settled();
    assert_eq!(bbr.ssthresh(&state, &ctx), INFINITE_SSTHRESH, "loss sets no threshold");
    state.set_ca_state(&mut bbr, &ctx, CaState::Recovery);
    (ctx.packets_in_flight, ctx.delivered) = (90, 500);
    let rs = RateSample { prior_delivered: 400, ..acked(3, 10) };
    bbr.cong_control(&mut state, &ctx, &rs, false);
    assert_eq!(state.cwnd, 93);
    ctx.packets_in_flight = 80;
    bbr.cong_control(&mut state, &ctx, &RateSample { prior_delivered: 410, ..acked(2, 4) }, false);
    assert_eq!(state.cwnd, 89);
    // A round later it grows again, and when recovery is over it is what it was.
    ctx.delivered = 600;
    let rs = RateSample { prior_delivered: 510, ..acked(2, 0) };
    bbr.cong_control(&mut state, &ctx, &rs, false);
    assert!(!bbr.packet_conservation && state.cwnd == 91, "{}", state.cwnd);
    state.set_ca_state(&mut bbr, &ctx, CaState::Open);
    bbr.cong_control(&mut state, &ctx, &RateSample { prior_delivered: 550, ..acked(1, 0) }, false);
    assert!(state.cwnd >= 200, "{}", state.cwnd);
}

#[test]
fn a_timeout_keeps_the_model_and_restores_the_window() {
    let (mut bbr, mut state, mut ctx) = settled();
    bbr.ssthresh(&state, &ctx);
    state.cwnd = 1;
    state.set_ca_state(&mut bbr, &ctx, CaState::Loss);
    assert_eq!(bbr.full_bw, 0);
    let bandwidth = bbr.bandwidth(MSS);
    bbr.cong_control(&mut state, &ctx, &acked(1, 0), false);
    assert_eq!((state.cwnd, bbr.bandwidth(MSS)), (MIN_CWND, bandwidth));
    state.set_ca_state(&mut bbr, &ctx, CaState::Open);
    ctx.delivered += 1;
    bbr.cong_control(&mut state, &ctx, &acked(1, 0), false);
    assert!(state.cwnd >= 200, "{}", state.cwnd);
}

#[test]
fn the_pace_leaves_a_percent_and_obeys_the_limit() {
    let (mut bbr, mut state, ctx) = settled();
    bbr.set_pacing_rate(&mut state, &ctx, UNIT);
    assert!(state.pacing_rate.abs_diff(990_000) < 100, "{}", state.pacing_rate);
    state.max_pacing_rate = 1234;
    bbr.set_pacing_rate(&mut state, &ctx, UNIT);
    assert_eq!((state.pacing_rate, bbr.min_tso_segs(&state)), (1234, 1));
}

#[test]
fn before_the_first_round_trip_the_pace_is_the_initial_window_in_a_millisecond() {
    let (mut bbr, mut state) = (Bbr::new(), CongestionState::new(Instant::ZERO));
    let known = context(Instant::ZERO, RTT);
    let unknown = CcContext { srtt: None, min_rtt: None, ..known };
    bbr.init(&mut state, &unknown);
    let expected = 10_000 * 1000 * u64::from(HIGH_GAIN) / 256 * 99 / 100;
    assert!(state.pacing_rate.abs_diff(expected) < expected / 1000, "{}", state.pacing_rate);
    assert!(state.pacing_needed && bbr.min_rtt().is_none());
    assert_eq!(bbr.bdp(1, UNIT), u64::from(TCP_INIT_CWND));
    bbr.set_pacing_rate(&mut state, &known, HIGH_GAIN);
    let expected = expected / 50;
    assert!(state.pacing_rate.abs_diff(expected) < expected / 1000, "{}", state.pacing_rate);
}

#[test]
fn after_idling_it_sends_at_the_bandwidth_and_skips_probe_rtt() {
    let (mut bbr, mut state, mut ctx) = settled();
    (ctx.now, ctx.delivered_at, ctx.app_limited) = (Instant::from_secs(99), ctx.now, 7);
    bbr.pacing_gain = UNIT * 5 / 4;
    bbr.cwnd_event(&mut state, &ctx, CwndEvent::TxStart);
    assert!(state.pacing_rate.abs_diff(990_000) < 100);
    let rs = RateSample { rtt: Some(Duration::from_millis(120)), ..acked(1, 0) };
    bbr.cong_control(&mut state, &ctx, &rs, false);
    assert_eq!(bbr.mode(), Mode::ProbeBw);
    assert_eq!(bbr.min_rtt(), Some(Duration::from_millis(120)), "the old one has expired");
}

#[test]
fn a_delayed_ack_does_not_replace_an_expired_minimum() {
    let (mut bbr, mut state, mut ctx) = settled();
    ctx.now = Instant::from_secs(12);
    let rtt = Some(Duration::from_millis(300));
    let rs = RateSample { rtt, is_ack_delayed: true, ..acked(1, 0) };
    bbr.cong_control(&mut state, &ctx, &rs, false);
    assert_eq!((bbr.min_rtt(), bbr.mode()), (Some(Duration::from_millis(100)), Mode::ProbeRtt));
    assert!(state.mark_app_limited && state.cwnd == MIN_CWND);
}

#[test]
fn acks_that_come_in_bursts_get_a_larger_window() {
    let mut aggregation = Aggregation::new(Instant::ZERO);
    let bw = per_micro(1000, 1_000_000);
    let mut ctx = context(Instant::ZERO, RTT);
    // Evenly: nothing beyond what the bandwidth explains but the ACK itself.
    for n in 1..100 {
        ctx.delivered_at = Instant::from_millis(n);
        aggregation.update(n % 50 == 0, bw, 1000, &ctx, &acked(1, 0));
    }
    assert!(aggregation.allowance(bw) <= 2, "{aggregation:?}");
    // Forty at once each 40 ms.
    for burst in 1..5 {
        ctx.delivered_at = Instant::from_millis(100 + burst * 40);
        aggregation.update(true, bw, 1000, &ctx, &acked(40, 0));
    }
    let allowance = aggregation.allowance(bw);
    assert!((38..=80).contains(&allowance), "{allowance}");
    // Never more than 100 ms of the bandwidth, nor than the window.
    aggregation.update(false, bw, 1000, &ctx, &acked(5000, 0));
    assert_eq!(aggregation.allowance(bw), 99);
    // Ten rounds forget it.
    for n in 1..=10 {
        ctx.delivered_at += Duration::from_secs(n);
        aggregation.update(true, bw, 1000, &ctx, &acked(1, 0));
    }
    assert!(aggregation.allowance(bw) <= 2, "{aggregation:?}");
}

#[test]
fn an_undone_loss_looks_for_bandwidth_again() {
    let (mut bbr, mut state, ctx) = settled();
    (bbr.full_bw, bbr.full_bw_rounds) = (77, 2);
    state.prior_cwnd = 999;
    assert_eq!(bbr.undo_cwnd(&mut state, &ctx), state.cwnd);
    assert_eq!((bbr.full_bw, bbr.full_bw_rounds), (0, 0));
}

#[test]
fn it_recovers_from_loss_without_losing_its_rate() {
    // A queue of half the pipe: startup overflows it.
    let mut model = model(2_000, 50);
    model.run(Instant::from_secs(4));
    assert!(model.flows[0].lost > 0);
    let delivered = model.delivered(Instant::from_secs(9))[0];
    assert!(delivered > 9_300, "{delivered} of 10000");
}

#[test]
fn two_flows_share() {
    let flows = Vec::from([flow(Instant::ZERO), flow(Instant::from_secs(3))]);
    let bottleneck = Bottleneck { rate: 2_000, queue: 500, rtt: RTT, policer: None };
    let mut model = Model::new(bottleneck, flows);
    model.run(Instant::from_secs(40));
    let shares = model.delivered(Instant::from_secs(120));
    assert!(jain(&shares) > 0.9, "{shares:?}");
}

#[test]
fn extreme_numbers_do_no_harm() {
    let (mut bbr, mut state, mut ctx) = settled();
    ctx.mss = u32::MAX;
    ctx.delivered = u64::MAX / 2;
    ctx.now = Instant::FAR_FUTURE;
    ctx.delivered_at = Instant::FAR_FUTURE;
    for delivered in [-1, 0, 1, i64::MAX] {
        for interval in [None, Some(Duration::ZERO), Some(Duration::from_nanos(1)), Some(RTT)] {
            for acked_sacked in [0, 1, u32::MAX] {
                let rs = RateSample {
                    delivered,
                    interval,
                    acked_sacked,
                    losses: acked_sacked,
                    rtt: Some(Duration::MAX),
                    prior_in_flight: u32::MAX,
                    ..RateSample::default()
                };
                bbr.cong_control(&mut state, &ctx, &rs, true);
                assert!(state.cwnd >= 1);
            }
        }
    }
}
