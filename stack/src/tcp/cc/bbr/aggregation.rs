//! ACK aggregation: on links that hold ACKs back and let them go in bursts (Wi-Fi, cable), the
//! window needs room for what is acknowledged at once beyond what the bandwidth explains.

use super::{BW_SHIFT, sample};
use crate::tcp::cc::{CcContext, RateSample};
use crate::time::Instant;

/// Rounds that each of the two halves of the filter remembers.
const WINDOW_ROUNDS: u8 = 5;
/// Packets after which an epoch begins anew.
const EPOCH_LIMIT: u32 = 1 << 20;
/// The window makes room for no more than the bandwidth delivers in this many microseconds.
const MAX_MICROS: u64 = 100_000;

/// How much more than expected was acknowledged at once.
#[derive(Debug, Clone, Default)]
pub(super) struct Aggregation {
    /// The largest excess of the current and of the previous rounds.
    extra: [u32; 2],
    current: bool,
    rounds: u8,
    epoch_at: Instant,
    epoch_acked: u32,
}

impl Aggregation {
    pub(super) fn new(now: Instant) -> Self {
        Aggregation { epoch_at: now, ..Aggregation::default() }
    }

    /// Begins a new epoch: nothing was in flight.
    pub(super) fn restart(&mut self, now: Instant) {
        self.epoch_at = now;
        self.epoch_acked = 0;
    }

    /// Takes an ACK in.
    pub(super) fn update(
        &mut self,
        round_start: bool,
        bw: u32,
        cwnd: u32,
        ctx: &CcContext,
        rs: &RateSample,
    ) {
        if rs.acked_sacked == 0 || sample(rs).is_none() {
            return;
        }
        if round_start {
            self.rounds += 1;
            if self.rounds >= WINDOW_ROUNDS {
                self.rounds = 0;
                self.current = !self.current;
                self.extra[usize::from(self.current)] = 0;
            }
        }
        let micros = (ctx.delivered_at - self.epoch_at).as_micros();
        let expected = (u128::from(bw) * micros) >> BW_SHIFT;
        let mut expected = u32::try_from(expected).unwrap_or(u32::MAX);
        let acked = self.epoch_acked.saturating_add(rs.acked_sacked);
        // ACKs are behind what the bandwidth explains: no burst, measure from here.
        if self.epoch_acked <= expected || acked >= EPOCH_LIMIT {
            self.restart(ctx.delivered_at);
            expected = 0;
        }
        self.epoch_acked = self.epoch_acked.saturating_add(rs.acked_sacked).min(EPOCH_LIMIT - 1);
        let extra = self.epoch_acked.saturating_sub(expected).min(cwnd);
        let max = &mut self.extra[usize::from(self.current)];
        *max = extra.max(*max);
    }

    /// Packets to allow for on top of the window.
    pub(super) fn allowance(&self, bw: u32) -> u64 {
        let most = (u64::from(bw) * MAX_MICROS) >> BW_SHIFT;
        u64::from(self.extra[0].max(self.extra[1])).min(most)
    }
}
