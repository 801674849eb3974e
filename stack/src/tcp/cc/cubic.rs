//! CUBIC (RFC 9438), with the slow start of HyStart++ (RFC 9406).
//!
//! Between two losses the window follows a cubic function of the time since the first of them: it
//! climbs steeply, flattens out where the loss was (`w_max`), and then climbs ever faster to find
//! what the path has become. So it depends on time and not on how often ACKs come; but it is never
//! slower than Reno would be (`w_est`).
//!
//! Time counts in units of 2⁻¹⁰ s, windows that are computed have `WINDOW_SHIFT` binary places.

use super::hystart::HyStart;
use super::{AckSample, CaState, CcContext, CongestionControl, CongestionState, CwndEvent, window};
use crate::time::{Duration, Instant};

/// Binary places of a computed window.
const WINDOW_SHIFT: u32 = 10;
/// Binary places of `w_est`.
const W_EST_SHIFT: u32 = 24;
/// Furthest from K that the curve is computed, about 17 minutes: 400 million packets away from
/// `w_max`, and still inside 64 bits.
const MAX_OFFSET: u64 = 1 << 20;
/// β_cubic 0.7 in units of 2⁻¹⁰ (RFC 9438 §4.6).
const BETA: u64 = 717;

/// RFC 9438.
#[derive(Debug, Clone)]
pub struct Cubic {
    curve: Curve,
    /// The curve before the last reduction.
    undo: Curve,
    /// Since when the window is not the limit; [`Instant::FAR_FUTURE`]: it is.
    unused_since: Instant,
    hystart: HyStart,
    fast_convergence: bool,
    hystart_enabled: bool,
    /// Whether the last reduction ended the initial slow start.
    undo_slow_start: bool,
}

/// The course of the window since the last reduction.
#[derive(Debug, Clone)]
struct Curve {
    /// When this congestion avoidance stage began; [`Instant::FAR_FUTURE`]: it has not.
    epoch_start: Instant,
    /// What Reno's window would be, in units of 2⁻²⁴ packets.
    w_est: u64,
    /// Window before the last reduction, less if that made room for others; 0: unknown.
    w_max: u32,
    /// Where the curve is flat: `w_max`, or the window at the epoch's start if that is larger.
    origin: u32,
    /// K: how long after `epoch_start` that is.
    k: u32,
    /// Window when `ssthresh` was last set.
    cwnd_prior: u32,
}

impl Default for Cubic {
    fn default() -> Self {
        Self::new()
    }
}

impl Cubic {
    /// A fresh instance.
    pub fn new() -> Self {
        Cubic {
            curve: Curve::new(),
            undo: Curve::new(),
            unused_since: Instant::FAR_FUTURE,
            hystart: HyStart::new(),
            fast_convergence: true,
            hystart_enabled: true,
            undo_slow_start: false,
        }
    }

    /// Sets whether HyStart++ ends the initial slow start, or only loss does. On by default.
    pub fn set_hystart(&mut self, enabled: bool) {
        self.hystart_enabled = enabled;
        if !enabled {
            self.hystart.stop();
        }
    }

    /// Sets whether two losses at falling windows make more room for others (RFC 9438 §4.7). On by
    /// default.
    pub fn set_fast_convergence(&mut self, enabled: bool) {
        self.fast_convergence = enabled;
    }

    /// The slow start's state.
    pub fn hystart(&self) -> &HyStart {
        &self.hystart
    }

    fn avoid(&mut self, state: &mut CongestionState, ctx: &CcContext, acked: u32) {
        let curve = &mut self.curve;
        if curve.epoch_start == Instant::FAR_FUTURE {
            curve.begin(ctx.now, state.cwnd);
            state.cwnd_cnt = 0;
        }
        curve.grow_w_est(state.cwnd, acked);
        let elapsed = ctx.now - curve.epoch_start;
        let w_est = u32::try_from(curve.w_est >> W_EST_SHIFT).unwrap_or(u32::MAX);
        // RFC 9438 §4.3: the Reno-friendly region.
        if curve.w_cubic(elapsed) >> WINDOW_SHIFT < u64::from(w_est) {
            // After the window shrank for another reason than loss it is far behind, and catches
            // up no faster than slow start would.
            let behind = w_est.saturating_sub(state.cwnd);
            state.cwnd = (state.cwnd + behind.min(acked)).min(state.cwnd_clamp);
            return;
        }
        // RFC 9438 §4.2, §4.4, §4.5: (target - cwnd) / cwnd for each packet acknowledged.
        let cwnd = u64::from(state.cwnd) << WINDOW_SHIFT;
        let target = curve.w_cubic(elapsed + ctx.srtt.unwrap_or_default()).min(cwnd / 2 * 3);
        if target > cwnd {
            let w = cwnd / (target - cwnd);
            window::cong_avoid_ai(state, u32::try_from(w).unwrap_or(u32::MAX), acked);
        }
    }

    /// The window is the limit again: what it was not does not count for the curve (RFC 9438 §5.8).
    fn resume(&mut self, now: Instant) {
        if self.unused_since != Instant::FAR_FUTURE {
            self.curve.shift(now - self.unused_since, now);
            self.unused_since = Instant::FAR_FUTURE;
        }
    }
}

impl CongestionControl for Cubic {
    fn name(&self) -> &'static str {
        "cubic"
    }

    fn init(&mut self, _state: &mut CongestionState, ctx: &CcContext) {
        self.curve = Curve::new();
        self.unused_since = Instant::FAR_FUTURE;
        if self.hystart_enabled {
            self.hystart.start(ctx.snd_nxt);
        }
    }

    /// RFC 9438 §4.6, from `cwnd` instead of the flight: it is validated (§5.8).
    fn ssthresh(&mut self, state: &CongestionState, _ctx: &CcContext) -> u32 {
        self.undo = self.curve.clone();
        self.undo_slow_start = state.in_initial_slow_start();
        self.hystart.stop();
        self.curve.reduce(state.cwnd, self.fast_convergence);
        self.unused_since = Instant::FAR_FUTURE;
        let reduced = (u64::from(state.cwnd) * BETA) >> 10;
        (reduced as u32).max(2)
    }

    fn cong_avoid(&mut self, state: &mut CongestionState, ctx: &CcContext, acked: u32) {
        if !state.is_cwnd_limited() {
            self.unused_since = self.unused_since.min(ctx.now);
            return;
        }
        self.resume(ctx.now);
        let mut acked = acked;
        if state.in_slow_start() {
            acked = window::slow_start(state, self.hystart.growth(acked));
        }
        if acked > 0 {
            self.avoid(state, ctx, acked);
        }
    }

    /// RFC 9438 §4.9: the curve goes back to what it was, too.
    fn undo_cwnd(&mut self, state: &mut CongestionState, ctx: &CcContext) -> u32 {
        self.curve = self.undo.clone();
        if self.undo_slow_start && self.hystart_enabled {
            self.hystart.start(ctx.snd_nxt);
        }
        state.cwnd.max(state.prior_cwnd)
    }

    /// RFC 9438 §4.8: after a timeout, avoidance starts from the window that slow start reaches.
    fn set_state(&mut self, _state: &mut CongestionState, _ctx: &CcContext, new: CaState) {
        if new == CaState::Loss {
            self.curve = Curve { cwnd_prior: self.curve.cwnd_prior, ..Curve::new() };
        }
    }

    fn cwnd_event(&mut self, _state: &mut CongestionState, ctx: &CcContext, event: CwndEvent) {
        // Idle time does not count for the curve (Linux `cubictcp_cwnd_event_tx_start`).
        if event == CwndEvent::TxStart && self.unused_since == Instant::FAR_FUTURE {
            self.curve.shift(ctx.now - ctx.last_sent_at, ctx.now);
        }
    }

    fn pkts_acked(&mut self, state: &mut CongestionState, ctx: &CcContext, sample: &AckSample) {
        self.hystart.on_ack(state, ctx, sample.rtt);
    }
}

impl Curve {
    fn new() -> Self {
        Curve {
            epoch_start: Instant::FAR_FUTURE,
            w_est: 0,
            w_max: 0,
            origin: 0,
            k: 0,
            cwnd_prior: 0,
        }
    }

    /// A loss at a window of `cwnd`.
    fn reduce(&mut self, cwnd: u32, fast_convergence: bool) {
        // RFC 9438 §4.7: fell short of the last time, so others need room.
        self.w_max = if fast_convergence && cwnd < self.w_max {
            ((u64::from(cwnd) * (1024 + BETA)) >> 11) as u32
        } else {
            cwnd
        };
        self.cwnd_prior = cwnd;
        self.epoch_start = Instant::FAR_FUTURE;
    }

    /// A congestion avoidance stage begins (RFC 9438 §4.2, §4.8, §4.10).
    fn begin(&mut self, now: Instant, cwnd: u32) {
        self.epoch_start = now;
        self.origin = self.w_max.max(cwnd);
        // K³ = (W_max - cwnd) / C with C 0.4, in units of 2⁻³⁰ s³.
        self.k = cube_root((u64::from(self.origin - cwnd) << 30) / 2 * 5);
        self.w_est = u64::from(cwnd) << W_EST_SHIFT;
        if self.cwnd_prior == 0 {
            self.cwnd_prior = cwnd;
        }
    }

    /// W_cubic (RFC 9438 §4.2 (1)).
    fn w_cubic(&self, elapsed: Duration) -> u64 {
        let origin = u64::from(self.origin) << WINDOW_SHIFT;
        let (t, k) = (ticks(elapsed), u64::from(self.k));
        let offset = t.abs_diff(k).min(MAX_OFFSET);
        let distance = (offset * offset * offset / 5 * 2) >> (30 - WINDOW_SHIFT);
        if t < k { origin.saturating_sub(distance) } else { origin + distance }
    }

    /// RFC 9438 §4.3 (4): α_cubic is 3 (1 - β) / (1 + β) = 9/17 until Reno has made up for its
    /// deeper cut, 1 then.
    fn grow_w_est(&mut self, cwnd: u32, acked: u32) {
        let caught_up = self.w_est >> W_EST_SHIFT >= u64::from(self.cwnd_prior);
        let (num, den) = if caught_up { (1, 1) } else { (9, 17) };
        let added = ((u64::from(acked) * num) << W_EST_SHIFT) / (u64::from(cwnd.max(1)) * den);
        self.w_est = self.w_est.saturating_add(added);
    }

    /// Takes `span` out of the time since the epoch's start.
    fn shift(&mut self, span: Duration, now: Instant) {
        if self.epoch_start != Instant::FAR_FUTURE {
            self.epoch_start = (self.epoch_start + span).min(now);
        }
    }
}

/// A span in units of 2⁻¹⁰ s.
fn ticks(span: Duration) -> u64 {
    // A second is 10⁹ ns and 1024 ticks: 1953125 ns are two ticks.
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).saturating_mul(2) / 1_953_125
}

/// The largest number whose cube is not above `n`.
fn cube_root(n: u64) -> u32 {
    // From the highest bit down, each is kept if the cube allows; 2642245³ < 2⁶⁴ has 22 bits.
    (0..22).rev().fold(0u64, |root, bit| {
        let with = root | 1 << bit;
        if u128::from(with).pow(3) <= u128::from(n) { with } else { root }
    }) as u32
}

#[cfg(test)]
mod tests;
