//! BBR version 1 (draft-cardwell-iccrg-bbr-congestion-control-00, as Linux's `tcp_bbr.c`).
//!
//! BBR builds a model of the path from what ACKs tell: the bandwidth of the bottleneck, the largest
//! delivery rate of the last ten round trips, and the propagation delay, the smallest round-trip
//! time of the last ten seconds. It paces what it sends by the one and bounds what is in flight by
//! the product of both. Loss as such does not slow it down.
//!
//! ```text
//!   STARTUP ──► DRAIN ──► PROBE_BW ◄──┐       doubles each round trip until bandwidth stops
//!      ▲                     │        │       growing; drains the queue this made; cycles its
//!      └──── PROBE_RTT ◄─────┴────────┘       pace to find more; empties the pipe every 10 s
//! ```
//!
//! `policer` notices a token-bucket policer, `aggregation` allows for ACKs that come in bursts.
//! Bandwidth is in packets per microsecond with `BW_SHIFT` binary places, gains have
//! `GAIN_SHIFT`.

use core::mem;

use super::{
    AckSample, CaState, CcContext, CongestionControl, CongestionState, CwndEvent,
    INFINITE_SSTHRESH, RateSample, TCP_INIT_CWND,
};
use crate::tcp::rtt::minmax::{Max, MinMax};
use crate::time::{Duration, Instant};
use aggregation::Aggregation;
use policer::Policer;

mod aggregation;
mod policer;

/// Binary places of a bandwidth.
const BW_SHIFT: u32 = 24;
const BW_UNIT: u64 = 1 << BW_SHIFT;
/// Binary places of a gain.
const GAIN_SHIFT: u32 = 8;
/// Gain 1.
const UNIT: u32 = 1 << GAIN_SHIFT;
/// 2/ln 2: the smallest that lets the rate double each round trip.
const HIGH_GAIN: u32 = UNIT * 2885 / 1000 + 1;
/// Its inverse drains in one round trip what STARTUP queued.
const DRAIN_GAIN: u32 = UNIT * 1000 / 2885;
/// Two windows in PROBE_BW: for delayed and stretched ACKs.
const CWND_GAIN: u32 = UNIT * 2;
/// The pace in PROBE_BW: look for more, give back the queue, then cruise.
const PACING_CYCLE: [u32; 8] = [UNIT * 5 / 4, UNIT * 3 / 4, UNIT, UNIT, UNIT, UNIT, UNIT, UNIT];
/// Rounds that the bandwidth filter remembers.
const BW_ROUNDS: u32 = PACING_CYCLE.len() as u32 + 2;
/// How long the round-trip time filter remembers.
const MIN_RTT_WINDOW: Duration = Duration::from_secs(10);
/// How long PROBE_RTT holds the window down.
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);
/// Least window: enough for delayed ACKs to come.
const MIN_CWND: u32 = 4;
/// The pipe is full when bandwidth did not grow by a quarter for three rounds.
const FULL_BW_THRESH: u32 = UNIT * 5 / 4;
const FULL_BW_ROUNDS: u8 = 3;
/// Pace below the estimate, for the bottleneck's queue to shrink.
const PACING_MARGIN_PERCENT: u64 = 1;
/// Below this rate, in bytes per second, segments are sent one by one.
const MIN_TSO_RATE: u64 = 1_200_000 / 8;
/// Round-trip time assumed while none is measured, in microseconds.
const UNKNOWN_RTT: u64 = 1_000;
/// Bytes that a large packet may have at most (Linux `GSO_LEGACY_MAX_SIZE` less headers).
const MAX_TSO_BYTES: u64 = 65_535 - 320;

/// What BBR is up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Fill the pipe.
    #[default]
    Startup,
    /// Drain the queue.
    Drain,
    /// Use the bandwidth, probing for more.
    ProbeBw,
    /// Empty the pipe to see the propagation delay.
    ProbeRtt,
}

/// BBR version 1.
#[derive(Debug, Clone)]
pub struct Bbr {
    mode: Mode,
    /// Largest delivery rate; its clock counts rounds.
    bw: MinMax<Max>,
    rounds: u32,
    /// The round is over when a packet sent after this many deliveries is delivered.
    next_round_delivered: u64,
    /// Whether this ACK began a round.
    round_start: bool,
    /// Smallest round-trip time in microseconds; `u32::MAX`: none yet.
    min_rtt: u32,
    min_rtt_at: Instant,
    /// When PROBE_RTT may end; `None`: what is in flight has not come down yet.
    probe_rtt_done: Option<Instant>,
    probe_rtt_round_done: bool,
    pacing_gain: u32,
    cwnd_gain: u32,
    cycle_index: u8,
    cycle_at: Instant,
    /// Bandwidth to grow from, and rounds in which it did not.
    full_bw: u32,
    full_bw_rounds: u8,
    full_bw_reached: bool,
    has_seen_rtt: bool,
    idle_restart: bool,
    /// In the first round of recovery: send one packet for one delivered.
    packet_conservation: bool,
    prev_ca_state: CaState,
    /// Window to return to after recovery or PROBE_RTT.
    prior_cwnd: u32,
    policer: Policer,
    aggregation: Aggregation,
}

impl Default for Bbr {
    fn default() -> Self {
        Self::new()
    }
}

impl Bbr {
    /// A fresh instance.
    pub fn new() -> Self {
        Bbr {
            mode: Mode::Startup,
            bw: MinMax::new(0, 0),
            rounds: 0,
            next_round_delivered: 0,
            round_start: false,
            min_rtt: u32::MAX,
            min_rtt_at: Instant::ZERO,
            probe_rtt_done: None,
            probe_rtt_round_done: false,
            pacing_gain: HIGH_GAIN,
            cwnd_gain: HIGH_GAIN,
            cycle_index: 0,
            cycle_at: Instant::ZERO,
            full_bw: 0,
            full_bw_rounds: 0,
            full_bw_reached: false,
            has_seen_rtt: false,
            idle_restart: false,
            packet_conservation: false,
            prev_ca_state: CaState::Open,
            prior_cwnd: 0,
            policer: Policer::default(),
            aggregation: Aggregation::default(),
        }
    }

    /// What it is up to.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Estimated bandwidth in bytes per second (`bbr_bw` of `TCP_CC_INFO`).
    pub fn bandwidth(&self, mss: u32) -> u64 {
        scale(u128::from(self.estimate()) * u128::from(mss) * 1_000_000)
    }

    /// Estimated propagation delay (`bbr_min_rtt`).
    pub fn min_rtt(&self) -> Option<Duration> {
        (self.min_rtt != u32::MAX).then(|| Duration::from_micros(u64::from(self.min_rtt)))
    }

    /// Whether it takes the path for policed.
    pub fn is_policed(&self) -> bool {
        self.policer.rate().is_some()
    }

    /// Takes in what an ACK told (Linux `bbr_update_model`).
    fn update_model(&mut self, state: &mut CongestionState, ctx: &CcContext, rs: &RateSample) {
        self.update_bw(ctx, rs);
        self.aggregation.update(self.round_start, self.estimate(), state.cwnd, ctx, rs);
        self.update_cycle(state, ctx, rs);
        self.check_full_bw(rs);
        self.check_drain(state, ctx);
        self.update_min_rtt(state, ctx, rs);
        (self.pacing_gain, self.cwnd_gain) = match self.mode {
            Mode::Startup => (HIGH_GAIN, HIGH_GAIN),
            Mode::Drain => (DRAIN_GAIN, HIGH_GAIN),
            Mode::ProbeBw if self.is_policed() => (UNIT, CWND_GAIN),
            Mode::ProbeBw => (PACING_CYCLE[usize::from(self.cycle_index & 7)], CWND_GAIN),
            Mode::ProbeRtt => (UNIT, UNIT),
        };
    }

    fn update_bw(&mut self, ctx: &CcContext, rs: &RateSample) {
        self.round_start = false;
        let Some((delivered, interval)) = sample(rs) else {
            return;
        };
        if rs.prior_delivered >= self.next_round_delivered {
            self.next_round_delivered = ctx.delivered;
            self.rounds = self.rounds.wrapping_add(1);
            self.round_start = true;
            self.packet_conservation = false;
        }
        self.sample_policer(ctx, rs);
        let bw = per_micro(delivered, interval);
        // An application-limited sample is a lower bound of the bandwidth.
        if !rs.is_app_limited || bw >= self.bw.get() {
            self.bw.update(BW_ROUNDS, self.rounds, bw);
        }
    }

    fn sample_policer(&mut self, ctx: &CcContext, rs: &RateSample) {
        let probing = self.mode == Mode::ProbeBw;
        if self.policer.sample(self.round_start, probing, ctx, rs) {
            self.enter_probe_bw(ctx);
        }
    }

    /// Moves on in PROBE_BW's cycle when its phase is over.
    fn update_cycle(&mut self, state: &CongestionState, ctx: &CcContext, rs: &RateSample) {
        if self.mode != Mode::ProbeBw {
            return;
        }
        let lasted = ctx.delivered_at - self.cycle_at > self.min_rtt_span();
        let prior = u64::from(rs.prior_in_flight);
        let in_flight = self.in_net_at_departure(state, ctx, prior);
        let bw = self.bw.get();
        let over = if self.pacing_gain > UNIT {
            // Probing goes on until the pipe holds what it should, or loss says that it cannot.
            let full = in_flight >= self.inflight(state, ctx, bw, self.pacing_gain);
            lasted && (rs.losses > 0 || full)
        } else if self.pacing_gain < UNIT {
            // The queue may be gone before the time is over.
            lasted || in_flight <= self.inflight(state, ctx, bw, UNIT)
        } else {
            lasted
        };
        if over {
            self.advance_cycle(ctx);
        }
    }

    fn advance_cycle(&mut self, ctx: &CcContext) {
        self.cycle_index = (self.cycle_index + 1) & 7;
        self.cycle_at = ctx.delivered_at;
    }

    fn check_full_bw(&mut self, rs: &RateSample) {
        if self.full_bw_reached || !self.round_start || rs.is_app_limited {
            return;
        }
        let thresh = (u64::from(self.full_bw) * u64::from(FULL_BW_THRESH)) >> GAIN_SHIFT;
        if u64::from(self.bw.get()) >= thresh {
            self.full_bw = self.bw.get();
            self.full_bw_rounds = 0;
            return;
        }
        self.full_bw_rounds += 1;
        self.full_bw_reached = self.full_bw_rounds >= FULL_BW_ROUNDS;
    }

    fn check_drain(&mut self, state: &mut CongestionState, ctx: &CcContext) {
        if self.mode == Mode::Startup && self.full_bw_reached {
            self.mode = Mode::Drain;
            let full = self.inflight(state, ctx, self.bw.get(), UNIT);
            state.ssthresh = u32::try_from(full).unwrap_or(u32::MAX);
        }
        if self.mode == Mode::Drain {
            let in_flight = self.in_net_at_departure(state, ctx, u64::from(ctx.packets_in_flight));
            if in_flight <= self.inflight(state, ctx, self.bw.get(), UNIT) {
                self.enter_probe_bw(ctx);
            }
        }
    }

    fn enter_probe_bw(&mut self, ctx: &CcContext) {
        self.mode = Mode::ProbeBw;
        // Any phase to begin with but giving back. Flows that share a bottleneck are not to probe
        // in step; where they are in their sequence space differs enough.
        let phase = ctx.snd_nxt.0.wrapping_mul(0x9e37_79b1) >> 16;
        self.cycle_index = 7 - (phase % 7) as u8;
        self.advance_cycle(ctx);
    }

    fn update_min_rtt(&mut self, state: &mut CongestionState, ctx: &CcContext, rs: &RateSample) {
        let expired = ctx.now > self.min_rtt_at + MIN_RTT_WINDOW;
        if let Some(rtt) = rs.rtt {
            let rtt = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX - 1);
            if rtt < self.min_rtt || (expired && !rs.is_ack_delayed) {
                self.min_rtt = rtt;
                self.min_rtt_at = ctx.now;
            }
        }
        if expired && !self.idle_restart && self.mode != Mode::ProbeRtt {
            self.save_cwnd(state);
            self.mode = Mode::ProbeRtt;
            self.probe_rtt_done = None;
        }
        if self.mode == Mode::ProbeRtt {
            self.probe_rtt(state, ctx);
        }
        if rs.delivered > 0 {
            self.idle_restart = false;
        }
    }

    /// Holds the window down for 200 ms and at least a round trip.
    fn probe_rtt(&mut self, state: &mut CongestionState, ctx: &CcContext) {
        state.mark_app_limited = true;
        if self.probe_rtt_done.is_none() {
            if ctx.packets_in_flight <= MIN_CWND {
                self.probe_rtt_done = Some(ctx.now + PROBE_RTT_TIME);
                self.probe_rtt_round_done = false;
                self.next_round_delivered = ctx.delivered;
            }
            return;
        }
        self.probe_rtt_round_done |= self.round_start;
        if self.probe_rtt_round_done {
            self.check_probe_rtt_done(state, ctx);
        }
    }

    fn check_probe_rtt_done(&mut self, state: &mut CongestionState, ctx: &CcContext) {
        if self.probe_rtt_done.is_none_or(|done| ctx.now <= done) {
            return;
        }
        self.min_rtt_at = ctx.now;
        state.cwnd = state.cwnd.max(self.prior_cwnd);
        if self.full_bw_reached {
            self.enter_probe_bw(ctx);
        } else {
            self.mode = Mode::Startup;
        }
    }

    /// The bandwidth to go by: the policer's, if there is one.
    fn estimate(&self) -> u32 {
        self.policer.rate().unwrap_or(self.bw.get())
    }

    fn min_rtt_span(&self) -> Duration {
        Duration::from_micros(u64::from(self.min_rtt))
    }

    /// Packets in flight that `bw` and the propagation delay make, times `gain`.
    fn bdp(&self, bw: u32, gain: u32) -> u64 {
        if self.min_rtt == u32::MAX {
            return u64::from(TCP_INIT_CWND);
        }
        let packets = u64::from(bw) * u64::from(self.min_rtt);
        let gained = (u128::from(packets) * u128::from(gain)) >> GAIN_SHIFT;
        u64::try_from(gained.div_ceil(u128::from(BW_UNIT))).unwrap_or(u64::MAX)
    }

    /// Room for what offload holds back on both ends.
    fn quantize(&self, state: &CongestionState, ctx: &CcContext, cwnd: u64) -> u64 {
        let cwnd = cwnd.saturating_add(3 * self.tso_segs(state, ctx));
        // An even number, for receivers that acknowledge every other segment.
        let cwnd = cwnd.saturating_add(1) & !1;
        // A short path's probing phase must be more than rounding.
        if self.mode == Mode::ProbeBw && self.cycle_index == 0 { cwnd + 2 } else { cwnd }
    }

    fn inflight(&self, state: &CongestionState, ctx: &CcContext, bw: u32, gain: u32) -> u64 {
        self.quantize(state, ctx, self.bdp(bw, gain))
    }

    /// What of `in_flight` is left when pacing lets the next segment go.
    fn in_net_at_departure(&self, state: &CongestionState, ctx: &CcContext, in_flight: u64) -> u64 {
        let wait = (ctx.next_departure - ctx.now).as_micros();
        let delivered = (u128::from(self.estimate()) * wait) >> BW_SHIFT;
        let mut in_flight = in_flight;
        if self.pacing_gain > UNIT {
            in_flight += self.tso_segs(state, ctx);
        }
        in_flight.saturating_sub(u64::try_from(delivered).unwrap_or(u64::MAX))
    }

    fn tso_segs(&self, state: &CongestionState, ctx: &CcContext) -> u64 {
        let bytes = (state.pacing_rate >> 10).min(MAX_TSO_BYTES);
        let segs = bytes / u64::from(ctx.mss.max(1));
        segs.max(u64::from(self.min_tso_segs(state))).min(127)
    }

    fn pacing_rate(&self, state: &CongestionState, ctx: &CcContext, bw: u64, gain: u32) -> u64 {
        let bytes = (u128::from(bw) * u128::from(ctx.mss) * u128::from(gain)) >> GAIN_SHIFT;
        let margin = u128::from(1_000_000 / 100 * (100 - PACING_MARGIN_PERCENT));
        scale(bytes.saturating_mul(margin)).min(state.max_pacing_rate)
    }

    /// A rate to begin with: the initial window in a round trip.
    fn init_pacing_rate(&mut self, state: &mut CongestionState, ctx: &CcContext) {
        let srtt = ctx.srtt.map(|srtt| srtt.as_micros().max(1) as u64);
        self.has_seen_rtt |= srtt.is_some();
        let bw = u64::from(state.cwnd) * BW_UNIT / srtt.unwrap_or(UNKNOWN_RTT);
        state.pacing_rate = self.pacing_rate(state, ctx, bw, HIGH_GAIN);
    }

    fn set_pacing_rate(&mut self, state: &mut CongestionState, ctx: &CcContext, gain: u32) {
        if !self.has_seen_rtt && ctx.srtt.is_some() {
            self.init_pacing_rate(state, ctx);
        }
        let rate = self.pacing_rate(state, ctx, u64::from(self.estimate()), gain);
        // Until the pipe is full samples are too low: the rate only rises.
        if self.full_bw_reached || rate > state.pacing_rate {
            state.pacing_rate = rate;
        }
    }

    /// Remembers the window before recovery or PROBE_RTT cuts it.
    fn save_cwnd(&mut self, state: &CongestionState) {
        let undisturbed = self.prev_ca_state < CaState::Recovery && self.mode != Mode::ProbeRtt;
        self.prior_cwnd = if undisturbed { state.cwnd } else { self.prior_cwnd.max(state.cwnd) };
    }

    fn set_cwnd(&mut self, state: &mut CongestionState, ctx: &CcContext, rs: &RateSample) {
        if rs.acked_sacked > 0 {
            state.cwnd = self.next_cwnd(state, ctx, rs).min(state.cwnd_clamp);
        }
        if self.mode == Mode::ProbeRtt {
            state.cwnd = state.cwnd.min(MIN_CWND);
        }
    }

    fn next_cwnd(&mut self, state: &CongestionState, ctx: &CcContext, rs: &RateSample) -> u32 {
        let acked = rs.acked_sacked;
        let cwnd = self.recover(state, ctx, rs);
        if self.packet_conservation {
            return cwnd.max(ctx.packets_in_flight.saturating_add(acked));
        }
        let bw = self.estimate();
        let mut target = self.bdp(bw, self.cwnd_gain);
        if self.full_bw_reached {
            target = target.saturating_add(self.aggregation.allowance(bw));
        }
        let target = u32::try_from(self.quantize(state, ctx, target)).unwrap_or(u32::MAX);
        let grown = cwnd.saturating_add(acked);
        let cwnd = if self.full_bw_reached {
            grown.min(target)
        } else if cwnd < target || ctx.delivered < u64::from(TCP_INIT_CWND) {
            grown
        } else {
            cwnd
        };
        cwnd.max(MIN_CWND)
    }

    /// The window as recovery began, goes on or ended (Linux
    /// `bbr_set_cwnd_to_recover_or_restore`).
    fn recover(&mut self, state: &CongestionState, ctx: &CcContext, rs: &RateSample) -> u32 {
        let mut cwnd = state.cwnd;
        if rs.losses > 0 {
            cwnd = cwnd.saturating_sub(rs.losses).max(1);
        }
        let before = mem::replace(&mut self.prev_ca_state, state.ca_state);
        if state.ca_state == CaState::Recovery && before != CaState::Recovery {
            self.packet_conservation = true;
            self.next_round_delivered = ctx.delivered;
            cwnd = ctx.packets_in_flight.saturating_add(rs.acked_sacked);
        } else if before >= CaState::Recovery && state.ca_state < CaState::Recovery {
            self.packet_conservation = false;
            cwnd = cwnd.max(self.prior_cwnd);
        }
        cwnd
    }
}

impl CongestionControl for Bbr {
    fn name(&self) -> &'static str {
        "bbr"
    }

    fn init(&mut self, state: &mut CongestionState, ctx: &CcContext) {
        *self = Bbr {
            next_round_delivered: ctx.delivered,
            min_rtt_at: ctx.now,
            cycle_at: ctx.now,
            policer: Policer::new(ctx),
            aggregation: Aggregation::new(ctx.now),
            ..Bbr::new()
        };
        if let Some(min_rtt) = ctx.min_rtt {
            self.min_rtt = u32::try_from(min_rtt.as_micros()).unwrap_or(u32::MAX - 1);
        }
        state.ssthresh = INFINITE_SSTHRESH;
        state.pacing_needed = true;
        self.init_pacing_rate(state, ctx);
    }

    /// Loss changes no threshold; the window is kept to return to.
    fn ssthresh(&mut self, state: &CongestionState, _ctx: &CcContext) -> u32 {
        self.save_cwnd(state);
        state.ssthresh
    }

    /// [`Self::cong_control`] does it.
    fn cong_avoid(&mut self, _state: &mut CongestionState, _ctx: &CcContext, _acked: u32) {}

    /// What the loss told of the path was not so.
    fn undo_cwnd(&mut self, state: &mut CongestionState, ctx: &CcContext) -> u32 {
        self.full_bw = 0;
        self.full_bw_rounds = 0;
        self.policer.reset(ctx);
        state.cwnd
    }

    fn set_state(&mut self, _state: &mut CongestionState, ctx: &CcContext, new: CaState) {
        if new == CaState::Loss {
            self.prev_ca_state = CaState::Loss;
            self.full_bw = 0;
            // A timeout ends the round.
            self.round_start = true;
            let rs = RateSample { losses: 1, ..RateSample::default() };
            self.sample_policer(ctx, &rs);
        }
    }

    fn cwnd_event(&mut self, state: &mut CongestionState, ctx: &CcContext, event: CwndEvent) {
        if event != CwndEvent::TxStart || ctx.app_limited == 0 {
            return;
        }
        self.idle_restart = true;
        self.aggregation.restart(ctx.now);
        // Nothing is queued: at the bandwidth's pace, without probing.
        if self.mode == Mode::ProbeBw {
            self.set_pacing_rate(state, ctx, UNIT);
        } else if self.mode == Mode::ProbeRtt {
            self.check_probe_rtt_done(state, ctx);
        }
    }

    fn pkts_acked(&mut self, _state: &mut CongestionState, _ctx: &CcContext, _sample: &AckSample) {}

    fn cong_control(
        &mut self,
        state: &mut CongestionState,
        ctx: &CcContext,
        rs: &RateSample,
        _ecn: bool,
    ) -> bool {
        self.update_model(state, ctx, rs);
        self.set_pacing_rate(state, ctx, self.pacing_gain);
        self.set_cwnd(state, ctx, rs);
        true
    }

    fn has_cong_control(&self) -> bool {
        true
    }

    fn min_tso_segs(&self, state: &CongestionState) -> u32 {
        if state.pacing_rate < MIN_TSO_RATE { 1 } else { 2 }
    }

    fn sndbuf_expand(&self) -> u32 {
        3
    }
}

/// Packets delivered and microseconds that it took; `None`: the ACK has no such sample.
fn sample(rs: &RateSample) -> Option<(u64, u64)> {
    let interval = u64::try_from(rs.interval?.as_micros()).ok()?;
    let delivered = u64::try_from(rs.delivered).ok()?;
    (interval > 0).then_some((delivered, interval))
}

/// A bandwidth.
fn per_micro(packets: u64, micros: u64) -> u32 {
    let bw = (u128::from(packets) << BW_SHIFT) / u128::from(micros.max(1));
    u32::try_from(bw).unwrap_or(u32::MAX)
}

/// Takes a bandwidth's binary places away.
fn scale(bw: u128) -> u64 {
    u64::try_from(bw >> BW_SHIFT).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
