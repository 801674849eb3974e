//! What every algorithm does to a window: slow start, additive increase, validation of a window
//! that is not used (RFC 7661, RFC 2861), restart after idling, pacing. As Linux's `tcp_cong.c`
//! and `tcp_output.c`.

use super::{
    CaState, CcContext, CongestionControl, CongestionState, CwndEvent, INFINITE_SSTHRESH,
    NO_PACING, TCP_INIT_CWND,
};
use crate::time::{Duration, Instant};
use crate::wire::SeqNumber;

/// Linux `sk_pacing_shift`: large packets hold what is sent in 2⁻¹⁰ s.
const PACING_SHIFT: u32 = 10;
/// `tcp_tso_rtt_log`: on short paths they may be larger.
const TSO_RTT_LOG: u32 = 9;

/// Pacing rate as a percentage of one window per round trip, for algorithms that set none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacingRatios {
    /// `tcp_pacing_ss_ratio`: while in slow start.
    pub slow_start: u32,
    /// `tcp_pacing_ca_ratio`: in congestion avoidance.
    pub avoidance: u32,
}

impl Default for PacingRatios {
    fn default() -> Self {
        PacingRatios { slow_start: 200, avoidance: 120 }
    }
}

/// What becomes of a window that is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdlePolicy {
    /// `tcp_slow_start_after_idle`: whether it shrinks.
    pub slow_start_after_idle: bool,
    /// Down to what.
    pub initial_cwnd: u32,
    /// The retransmission timeout: how long it may go unused.
    pub rto: Duration,
}

impl CongestionState {
    /// A connection that has sent nothing.
    pub fn new(now: Instant) -> Self {
        CongestionState {
            cwnd: TCP_INIT_CWND,
            cwnd_cnt: 0,
            ssthresh: INFINITE_SSTHRESH,
            cwnd_clamp: u32::MAX,
            prior_cwnd: 0,
            abc_limit: u32::MAX,
            ca_state: CaState::Open,
            pacing_rate: NO_PACING,
            max_pacing_rate: NO_PACING,
            pacing_needed: false,
            mark_app_limited: false,
            is_cwnd_limited: false,
            max_packets_out: 0,
            cwnd_usage_seq: SeqNumber::default(),
            cwnd_used: 0,
            cwnd_stamp: now,
        }
    }

    /// Whether the window grows by slow start (RFC 5681 §3.1; Linux prefers avoidance when equal).
    pub fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// Whether no loss was met yet.
    pub fn in_initial_slow_start(&self) -> bool {
        self.ssthresh == INFINITE_SSTHRESH
    }

    /// Whether the window is being reduced.
    pub fn in_cwnd_reduction(&self) -> bool {
        matches!(self.ca_state, CaState::Cwr | CaState::Recovery)
    }

    /// The threshold to keep when the window is cut for another reason than loss: what would have
    /// been three quarters of it (RFC 7661 §4.3, Linux `tcp_current_ssthresh`).
    pub fn current_ssthresh(&self) -> u32 {
        if self.in_cwnd_reduction() {
            self.ssthresh
        } else {
            self.ssthresh.max((self.cwnd >> 1) + (self.cwnd >> 2))
        }
    }

    /// Whether the window, not the application or the receiver, bounds what is in flight; it only
    /// grows then (RFC 7661 §4.1). In slow start using half of it is enough.
    pub fn is_cwnd_limited(&self) -> bool {
        self.is_cwnd_limited
            || (self.in_slow_start() && self.cwnd < self.max_packets_out.saturating_mul(2))
    }

    /// Moves loss recovery to `new` and tells the algorithm.
    pub fn set_ca_state<C: CongestionControl + ?Sized>(
        &mut self,
        cc: &mut C,
        ctx: &CcContext,
        new: CaState,
    ) {
        cc.set_state(self, ctx, new);
        self.ca_state = new;
    }
}

/// Slow start (RFC 5681 §3.1 with the byte counting of RFC 3465): the window grows by what was
/// acknowledged, up to `ssthresh`. Returns how many acknowledged packets are left for avoidance.
pub fn slow_start(state: &mut CongestionState, acked: u32) -> u32 {
    let grown = state.cwnd.saturating_add(acked.min(state.abc_limit)).min(state.ssthresh);
    let left = acked.saturating_sub(grown.saturating_sub(state.cwnd));
    // Packets above L are not for avoidance; only what exceeds the threshold is.
    let left = if grown == state.ssthresh { left } else { 0 };
    state.cwnd = grown.min(state.cwnd_clamp);
    left
}

/// Congestion avoidance: one packet more for every `w` acknowledged (RFC 5681 §3.1 (3), RFC 3465
/// §2.1).
pub fn cong_avoid_ai(state: &mut CongestionState, w: u32, acked: u32) {
    let w = w.max(1);
    // `w` has fallen below what was counted: one step, lest old credit make a burst.
    if state.cwnd_cnt >= w {
        state.cwnd_cnt = 0;
        state.cwnd = state.cwnd.saturating_add(1);
    }
    state.cwnd_cnt = state.cwnd_cnt.saturating_add(acked);
    if state.cwnd_cnt >= w {
        state.cwnd = state.cwnd.saturating_add(state.cwnd_cnt / w);
        state.cwnd_cnt %= w;
    }
    state.cwnd = state.cwnd.min(state.cwnd_clamp);
}

/// After sending: notes how much of the window was used, and shrinks one that has not been filled
/// for a timeout (RFC 7661 §4.4; Linux `tcp_cwnd_validate`, `tcp_cwnd_application_limited`).
/// `held_back`: the window kept something from being sent. `sndbuf_limited`: the send buffer, not
/// the application, left it unused.
pub fn cwnd_validate<C: CongestionControl + ?Sized>(
    state: &mut CongestionState,
    cc: &C,
    ctx: &CcContext,
    policy: &IdlePolicy,
    held_back: bool,
    sndbuf_limited: bool,
) {
    // The most restrictive moment of each flight counts.
    if ctx.snd_una.ge(state.cwnd_usage_seq)
        || held_back
        || (!state.is_cwnd_limited && ctx.packets_out > state.max_packets_out)
    {
        state.is_cwnd_limited = held_back;
        state.max_packets_out = ctx.packets_out;
        state.cwnd_usage_seq = ctx.snd_nxt;
    }
    if state.is_cwnd_limited() {
        state.cwnd_used = 0;
        state.cwnd_stamp = ctx.now;
        return;
    }
    state.cwnd_used = state.cwnd_used.max(ctx.packets_out);
    if !policy.slow_start_after_idle
        || cc.has_cong_control()
        || ctx.now - state.cwnd_stamp < policy.rto
    {
        return;
    }
    if state.ca_state == CaState::Open && !sndbuf_limited {
        let used = state.cwnd_used.max(policy.initial_cwnd);
        if used < state.cwnd {
            state.ssthresh = state.current_ssthresh();
            state.cwnd = state.cwnd.midpoint(used);
        }
        state.cwnd_used = 0;
    }
    state.cwnd_stamp = ctx.now;
}

/// Before sending: a connection with nothing outstanding that sent nothing for a timeout starts
/// slowly again (RFC 5681 §4.1; Linux `tcp_slow_start_after_idle_check`).
pub fn slow_start_after_idle<C: CongestionControl + ?Sized>(
    state: &mut CongestionState,
    cc: &mut C,
    ctx: &CcContext,
    policy: &IdlePolicy,
) {
    let idle = ctx.now - ctx.last_sent_at;
    if policy.slow_start_after_idle
        && ctx.packets_out == 0
        && !cc.has_cong_control()
        && idle > policy.rto
    {
        cwnd_restart(state, cc, ctx, policy, idle);
    }
}

/// Halves the window for every timeout spent idle, down to the initial one (RFC 2861 §3, Linux
/// `tcp_cwnd_restart`).
pub fn cwnd_restart<C: CongestionControl + ?Sized>(
    state: &mut CongestionState,
    cc: &mut C,
    ctx: &CcContext,
    policy: &IdlePolicy,
    idle: Duration,
) {
    cc.cwnd_event(state, ctx, CwndEvent::CwndRestart);
    state.ssthresh = state.current_ssthresh();
    let restart = policy.initial_cwnd.min(state.cwnd);
    let timeouts = (idle.as_nanos().saturating_sub(1)) / policy.rto.as_nanos().max(1);
    let timeouts = u32::try_from(timeouts).unwrap_or(u32::MAX);
    state.cwnd = state.cwnd.checked_shr(timeouts).unwrap_or(0).max(restart).max(1);
    state.cwnd_stamp = ctx.now;
    state.cwnd_used = 0;
}

/// After an ACK, for algorithms that set no rate: somewhat more than a window per round trip
/// (Linux `tcp_update_pacing_rate`).
pub fn update_pacing_rate(state: &mut CongestionState, ctx: &CcContext, ratios: PacingRatios) {
    let Some(srtt) = ctx.srtt.filter(|srtt| !srtt.is_zero()) else {
        state.pacing_rate = state.max_pacing_rate;
        return;
    };
    // Towards the end of slow start the faster pace would overshoot.
    let percent =
        if state.cwnd < state.ssthresh / 2 { ratios.slow_start } else { ratios.avoidance };
    let window = u128::from(ctx.mss) * u128::from(state.cwnd.max(ctx.packets_out));
    let rate = window * u128::from(percent) * 10_000_000 / srtt.as_nanos();
    state.pacing_rate = u64::try_from(rate).unwrap_or(u64::MAX).min(state.max_pacing_rate);
}

/// How many segments a large packet is to have: what a millisecond holds, more on a short path,
/// not less than the algorithm says (Linux `tcp_tso_autosize`). `gso_max` is the most payload
/// bytes that the link takes at once.
pub fn tso_autosize<C: CongestionControl + ?Sized>(
    state: &CongestionState,
    cc: &C,
    ctx: &CcContext,
    gso_max: u32,
) -> u32 {
    let mut bytes = state.pacing_rate >> PACING_SHIFT;
    if let Some(min_rtt) = ctx.min_rtt {
        let halvings = u32::try_from(min_rtt.as_micros() >> TSO_RTT_LOG).unwrap_or(u32::MAX);
        bytes = bytes.saturating_add(u64::from(gso_max.checked_shr(halvings).unwrap_or(0)));
    }
    let bytes = bytes.min(u64::from(gso_max)) as u32;
    (bytes / ctx.mss.max(1)).max(cc.min_tso_segs(state))
}
