//! BBR version 1, as Linux's `tcp_bbr.c`.

use super::{CcContext, CongestionControl, CongestionState};

/// BBR version 1.
#[derive(Debug, Clone, Default)]
pub struct Bbr {
    prior_cwnd: u32,
}

impl Bbr {
    /// A fresh instance.
    pub fn new() -> Self {
        Bbr::default()
    }
}

impl CongestionControl for Bbr {
    fn name(&self) -> &'static str {
        "bbr"
    }

    fn ssthresh(&mut self, state: &CongestionState, _ctx: &CcContext) -> u32 {
        self.prior_cwnd = state.cwnd;
        state.ssthresh
    }

    fn cong_avoid(&mut self, _state: &mut CongestionState, _ctx: &CcContext, _acked: u32) {}
}
