//! HyStart++ (RFC 9406): leaves slow start before it overflows the bottleneck's queue.

use super::{CcContext, CongestionState};
use crate::time::Duration;
use crate::wire::SeqNumber;

/// Least increase of the round-trip time that counts, in microseconds (RFC 9406 §4.3).
pub const MIN_RTT_THRESH: u32 = 4_000;
/// An increase that always counts, in microseconds.
pub const MAX_RTT_THRESH: u32 = 16_000;
/// What fraction of the last round's round-trip time counts between the two.
pub const MIN_RTT_DIVISOR: u32 = 8;
/// Samples that a round needs to be judged.
pub const N_RTT_SAMPLE: u8 = 8;
/// How much slower the window grows in Conservative Slow Start.
pub const CSS_GROWTH_DIVISOR: u32 = 4;
/// Rounds that Conservative Slow Start lasts.
pub const CSS_ROUNDS: u8 = 5;

/// No sample in the round.
const NO_RTT: u32 = u32::MAX;

/// Where HyStart++ stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Standard slow start, looking out for growing delay.
    SlowStart,
    /// Conservative Slow Start: delay has grown; is it there to stay?
    Conservative,
    /// Not in the initial slow start any more.
    Done,
}

/// The delay of the last two rounds; times in microseconds.
#[derive(Debug, Clone)]
pub struct HyStart {
    /// The round ends when this is acknowledged.
    window_end: SeqNumber,
    last_round_min_rtt: u32,
    current_round_min_rtt: u32,
    /// What the delay must fall below for standard slow start to resume.
    css_baseline_min_rtt: u32,
    rtt_sample_count: u8,
    css_rounds: u8,
    /// Packets acknowledged in Conservative Slow Start that did not make an increment yet.
    css_credit: u8,
    phase: Phase,
}

impl Default for HyStart {
    fn default() -> Self {
        Self::new()
    }
}

impl HyStart {
    /// Before the first round, see [`HyStart::start`].
    pub fn new() -> Self {
        HyStart {
            window_end: SeqNumber::default(),
            last_round_min_rtt: NO_RTT,
            current_round_min_rtt: NO_RTT,
            css_baseline_min_rtt: NO_RTT,
            rtt_sample_count: 0,
            css_rounds: 0,
            css_credit: 0,
            phase: Phase::SlowStart,
        }
    }

    /// Begins the first round.
    pub fn start(&mut self, snd_nxt: SeqNumber) {
        *self = HyStart { window_end: snd_nxt, ..HyStart::new() };
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// A loss or a congestion notification ends the initial slow start (RFC 9406 §4.2).
    pub fn stop(&mut self) {
        self.phase = Phase::Done;
    }

    /// Takes in one ACK and its round-trip time. Sets `ssthresh` when slow start is over.
    pub fn on_ack(&mut self, state: &mut CongestionState, ctx: &CcContext, rtt: Option<Duration>) {
        if self.phase == Phase::Done || !state.in_initial_slow_start() {
            // RFC 9406 §4.2: later slow starts end at the threshold that was found.
            self.phase = Phase::Done;
            return;
        }
        if let Some(rtt) = rtt {
            let rtt = u32::try_from(rtt.as_micros()).unwrap_or(NO_RTT - 1);
            self.current_round_min_rtt = self.current_round_min_rtt.min(rtt);
            self.rtt_sample_count = self.rtt_sample_count.saturating_add(1);
            self.judge_delay();
        }
        if ctx.snd_una.ge(self.window_end) {
            self.next_round(state, ctx.snd_nxt);
        }
    }

    /// How many of `acked` packets may grow the window in slow start: all, or one in
    /// [`CSS_GROWTH_DIVISOR`] (RFC 9406 §4.2). There is no further limit on them (L): bursts are
    /// the link's to bear, as in Linux.
    pub fn growth(&mut self, acked: u32) -> u32 {
        if self.phase != Phase::Conservative {
            return acked;
        }
        let credit = acked.saturating_add(u32::from(self.css_credit));
        self.css_credit = (credit % CSS_GROWTH_DIVISOR) as u8;
        credit / CSS_GROWTH_DIVISOR
    }

    /// RFC 9406 §4.2: once a round has samples enough, compares its delay.
    fn judge_delay(&mut self) {
        if self.rtt_sample_count < N_RTT_SAMPLE {
            return;
        }
        match self.phase {
            Phase::SlowStart if self.last_round_min_rtt != NO_RTT => {
                let threshold = (self.last_round_min_rtt / MIN_RTT_DIVISOR)
                    .clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if self.current_round_min_rtt >= self.last_round_min_rtt.saturating_add(threshold) {
                    self.css_baseline_min_rtt = self.current_round_min_rtt;
                    self.css_rounds = 0;
                    self.phase = Phase::Conservative;
                }
            }
            Phase::Conservative if self.current_round_min_rtt < self.css_baseline_min_rtt => {
                // The delay was jitter, not a queue.
                self.css_baseline_min_rtt = NO_RTT;
                self.phase = Phase::SlowStart;
            }
            _ => {}
        }
    }

    fn next_round(&mut self, state: &mut CongestionState, snd_nxt: SeqNumber) {
        self.window_end = snd_nxt;
        self.last_round_min_rtt = self.current_round_min_rtt;
        self.current_round_min_rtt = NO_RTT;
        self.rtt_sample_count = 0;
        if self.phase == Phase::Conservative {
            // The round in which it began counts, though it was not whole.
            self.css_rounds += 1;
            if self.css_rounds >= CSS_ROUNDS {
                state.ssthresh = state.cwnd;
                self.phase = Phase::Done;
            }
        }
    }
}

#[cfg(test)]
mod tests;
