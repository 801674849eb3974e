//! Reno: the additive increase and multiplicative decrease of RFC 5681.

use super::{CcContext, CongestionControl, CongestionState, window};

/// RFC 5681 as Linux's `tcp_reno`: it needs no memory of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reno;

impl Reno {
    /// A fresh instance.
    pub fn new() -> Self {
        Reno
    }
}

impl CongestionControl for Reno {
    fn name(&self) -> &'static str {
        "reno"
    }

    /// RFC 5681 (4), from `cwnd` instead of the flight: it is validated (RFC 7661).
    fn ssthresh(&mut self, state: &CongestionState, _ctx: &CcContext) -> u32 {
        (state.cwnd >> 1).max(2)
    }

    fn cong_avoid(&mut self, state: &mut CongestionState, _ctx: &CcContext, acked: u32) {
        if !state.is_cwnd_limited() {
            return;
        }
        let mut acked = acked;
        if state.in_slow_start() {
            acked = window::slow_start(state, acked);
        }
        if acked > 0 {
            window::cong_avoid_ai(state, state.cwnd, acked);
        }
    }
}

#[cfg(test)]
mod tests;
