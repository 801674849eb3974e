//! CUBIC (RFC 9438), with the slow start of HyStart++ (RFC 9406).

use super::hystart::HyStart;
use super::{CcContext, CongestionControl, CongestionState, window};

/// RFC 9438.
#[derive(Debug, Clone)]
pub struct Cubic {
    hystart: HyStart,
}

impl Default for Cubic {
    fn default() -> Self {
        Self::new()
    }
}

impl Cubic {
    /// A fresh instance.
    pub fn new() -> Self {
        Cubic { hystart: HyStart::new() }
    }

    /// The slow start's state.
    pub fn hystart(&self) -> &HyStart {
        &self.hystart
    }
}

impl CongestionControl for Cubic {
    fn name(&self) -> &'static str {
        "cubic"
    }

    fn ssthresh(&mut self, state: &CongestionState, _ctx: &CcContext) -> u32 {
        (state.cwnd * 7 / 10).max(2)
    }

    fn cong_avoid(&mut self, state: &mut CongestionState, _ctx: &CcContext, acked: u32) {
        if state.is_cwnd_limited() {
            let left = if state.in_slow_start() { window::slow_start(state, acked) } else { acked };
            window::cong_avoid_ai(state, state.cwnd, left);
        }
    }
}
