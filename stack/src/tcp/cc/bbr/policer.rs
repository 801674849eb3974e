//! Long-term bandwidth sampling: notices a token-bucket policer, which lets bursts through and then
//! drops all above its rate, so that the largest delivery rate is one that cannot last.

use super::{UNIT, per_micro};
use crate::tcp::cc::{CcContext, RateSample};
use crate::time::Instant;

/// Rounds that an interval lasts at least, and at most before it tells nothing.
const MIN_ROUNDS: u8 = 4;
const MAX_ROUNDS: u8 = 4 * MIN_ROUNDS;
/// Loss that an interval must have to be policed: a fifth, in units of 1/256.
const LOSS_THRESH: u64 = 50;
/// Two intervals are of one policer when their rates differ by less than an eighth, or by 4 kbit/s.
const RATIO: u64 = UNIT as u64 / 8;
const DIFFERENCE: u64 = 4_000 / 8;
/// Rounds that its rate is used before probing again.
const USE_ROUNDS: u8 = 48;

/// Looks for a policer.
#[derive(Debug, Clone, Default)]
pub(super) struct Policer {
    /// Rate of the last interval; 0: none.
    bw: u32,
    in_use: bool,
    sampling: bool,
    /// Rounds of this interval, or rounds in use.
    rounds: u8,
    since: Instant,
    delivered: u64,
    lost: u64,
}

impl Policer {
    pub(super) fn new(ctx: &CcContext) -> Self {
        let mut policer = Policer::default();
        policer.begin(ctx);
        policer
    }

    /// The rate to keep to, if there is a policer.
    pub(super) fn rate(&self) -> Option<u32> {
        self.in_use.then_some(self.bw)
    }

    /// Forgets what it knows.
    pub(super) fn reset(&mut self, ctx: &CcContext) {
        *self = Policer::new(ctx);
    }

    /// Takes an ACK in; true: the rate has been in use long enough, probe anew.
    pub(super) fn sample(
        &mut self,
        round_start: bool,
        probing: bool,
        ctx: &CcContext,
        rs: &RateSample,
    ) -> bool {
        if self.in_use {
            self.rounds += u8::from(probing && round_start);
            let over = self.rounds >= USE_ROUNDS;
            if over {
                self.reset(ctx);
            }
            return over;
        }
        if !self.sampling {
            // The first loss: the bucket has run empty, what follows comes at its rate.
            if rs.losses == 0 {
                return false;
            }
            self.begin(ctx);
            self.sampling = true;
        }
        if rs.is_app_limited {
            self.reset(ctx);
            return false;
        }
        self.rounds = self.rounds.saturating_add(u8::from(round_start));
        if self.rounds > MAX_ROUNDS {
            self.reset(ctx);
        } else if self.rounds >= MIN_ROUNDS && rs.losses > 0 {
            // An interval ends with a loss, as it began.
            self.end_interval(ctx);
        }
        false
    }

    fn begin(&mut self, ctx: &CcContext) {
        self.since = ctx.delivered_at;
        self.delivered = ctx.delivered;
        self.lost = ctx.lost;
        self.rounds = 0;
    }

    fn end_interval(&mut self, ctx: &CcContext) {
        let lost = ctx.lost.saturating_sub(self.lost);
        let delivered = ctx.delivered.saturating_sub(self.delivered);
        if delivered == 0 || lost.saturating_mul(256) < LOSS_THRESH.saturating_mul(delivered) {
            return;
        }
        let micros = (ctx.delivered_at - self.since).as_micros();
        // Less than a millisecond: wait for more.
        let Some(micros) = u64::try_from(micros).ok().filter(|micros| *micros >= 1_000) else {
            return;
        };
        let bw = per_micro(delivered, micros);
        if self.bw > 0 {
            let differ = u64::from(bw.abs_diff(self.bw));
            let bytes = super::scale(u128::from(differ) * u128::from(ctx.mss) * 990_000);
            if differ * u64::from(UNIT) <= RATIO * u64::from(self.bw) || bytes <= DIFFERENCE {
                self.bw = bw.midpoint(self.bw);
                self.in_use = true;
                self.rounds = 0;
                return;
            }
        }
        self.bw = bw;
        self.begin(ctx);
    }
}
