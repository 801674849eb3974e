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

    /// Takes in one ACK of the initial slow start and its round-trip time. Sets `ssthresh` when
    /// slow start is over.
    pub fn on_ack(&mut self, state: &mut CongestionState, ctx: &CcContext, rtt: Option<Duration>) {
        let _ = (state, ctx, rtt);
    }

    /// How many of `acked` packets may grow the window in slow start: all, or one in
    /// [`CSS_GROWTH_DIVISOR`].
    pub fn growth(&mut self, acked: u32) -> u32 {
        acked
    }
}
