//! A congestion control algorithm by itself, without a connection.

use tapping_stack::tcp::cc::{CcContext, CongestionControl, CongestionState};
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::SeqNumber;

/// A connection whose window is always full.
pub fn full(cwnd: u32, ssthresh: u32) -> CongestionState {
    let mut state = CongestionState::new(Instant::ZERO);
    (state.cwnd, state.ssthresh, state.is_cwnd_limited) = (cwnd, ssthresh, true);
    state
}

/// What an algorithm sees on a path with this round trip.
pub fn context(now: Instant, rtt: Duration) -> CcContext {
    CcContext {
        now,
        mss: 1448,
        snd_una: SeqNumber(0),
        snd_nxt: SeqNumber(0),
        packets_in_flight: 0,
        packets_out: 0,
        delivered: 0,
        delivered_at: now,
        lost: 0,
        app_limited: 0,
        srtt: Some(rtt),
        min_rtt: Some(rtt),
        last_sent_at: now,
        next_departure: Instant::ZERO,
    }
}

/// A window that is full for as long as it is asked to be.
pub struct Flow<C> {
    pub cc: C,
    pub state: CongestionState,
    pub now: Instant,
    pub rtt: Duration,
}

impl<C: CongestionControl> Flow<C> {
    pub fn new(cc: C, state: CongestionState, rtt: Duration) -> Self {
        let now = Instant::from_secs(1);
        let mut flow = Flow { cc, state, now, rtt };
        flow.cc.init(&mut flow.state, &context(now, rtt));
        flow
    }

    /// A loss whose recovery ends at once.
    pub fn lose(&mut self) {
        let ctx = context(self.now, self.rtt);
        self.state.prior_cwnd = self.state.cwnd;
        self.state.ssthresh = self.cc.ssthresh(&self.state, &ctx);
        self.state.cwnd = self.state.ssthresh;
    }

    /// One round trip: every packet is acknowledged by itself, at even distances.
    pub fn round(&mut self) {
        let packets = self.state.cwnd;
        for _ in 0..packets {
            self.now += self.rtt / packets;
            self.cc.cong_avoid(&mut self.state, &context(self.now, self.rtt), 1);
        }
    }

    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.round();
        }
    }
}
