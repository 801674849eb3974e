//! Congestion control (RFC 5681), behind one trait shaped as Linux's `tcp_congestion_ops`.
//!
//! Windows count packets. The connection owns a [`CongestionState`]; an algorithm changes it when
//! told of acknowledgments and losses, and sees the rest of the connection as a [`CcContext`].
//! An algorithm of the usual kind says by how much the window shrinks on a loss
//! ([`CongestionControl::ssthresh`]) and grows on an acknowledgment
//! ([`CongestionControl::cong_avoid`]); loss recovery does the rest. One that models the path
//! instead takes each acknowledgment over in [`CongestionControl::cong_control`] and sets window
//! and pacing rate itself.
//!
//! [`window`] has what all algorithms share: slow start, additive increase, validation of a window
//! that is not used, pacing.

use alloc::boxed::Box;
use core::fmt;
use core::str::FromStr;

use crate::time::{Duration, Instant};
use crate::wire::SeqNumber;

pub use super::rate::RateSample;
pub use bbr::Bbr;
pub use cubic::Cubic;
pub use reno::Reno;
pub use window::{IdlePolicy, PacingRatios};

pub mod bbr;
pub mod cubic;
pub mod hystart;
pub mod reno;
pub mod window;

/// Initial window, and what a window restarts from after idling, in packets (RFC 6928 §2).
pub const TCP_INIT_CWND: u32 = 10;
/// `ssthresh` before any loss (Linux `TCP_INFINITE_SSTHRESH`; RFC 5681 §3.1: arbitrarily high).
pub const INFINITE_SSTHRESH: u32 = u32::MAX;
/// No limit on the pacing rate.
pub const NO_PACING: u64 = u64::MAX;

/// Where loss recovery stands (Linux `enum tcp_ca_state`); the order has a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum CaState {
    /// Nothing suspicious.
    #[default]
    Open,
    /// Duplicate ACKs or SACKs have come.
    Disorder,
    /// The window is being reduced for a congestion notification (ECN, local congestion).
    Cwr,
    /// Fast recovery.
    Recovery,
    /// Recovery after a retransmission timeout.
    Loss,
}

/// What a connection knows of congestion. `cwnd` is at least 1.
#[derive(Debug, Clone)]
pub struct CongestionState {
    /// Congestion window in packets.
    pub cwnd: u32,
    /// Packets acknowledged towards the next increment of `cwnd`.
    pub cwnd_cnt: u32,
    /// Slow start threshold; [`INFINITE_SSTHRESH`] before any loss.
    pub ssthresh: u32,
    /// Upper limit of `cwnd` (`TCP_WINDOW_CLAMP` of a route, `snd_cwnd_clamp`).
    pub cwnd_clamp: u32,
    /// `cwnd` before the last reduction, for undoing it. Loss recovery sets it.
    pub prior_cwnd: u32,
    /// Most packets that one acknowledgment may add in slow start (the L of RFC 3465 §2.2);
    /// `u32::MAX`, as Linux: however many it acknowledged.
    pub abc_limit: u32,
    /// Where loss recovery stands. [`CongestionState::set_ca_state`] tells the algorithm, too.
    pub ca_state: CaState,
    /// Bytes per second at which to send; [`NO_PACING`]: as fast as the window allows.
    pub pacing_rate: u64,
    /// Limit on `pacing_rate` (`SO_MAX_PACING_RATE`).
    pub max_pacing_rate: u64,
    /// Whether segments are to be spaced by `pacing_rate`.
    pub pacing_needed: bool,
    /// Set by an algorithm that holds back by itself, so that the rate samples until then do not
    /// count for the path. Whoever called it takes the flag and marks the connection's
    /// [`super::rate::DeliveryRate`] by `set_app_limited`.
    pub mark_app_limited: bool,
    /// Whether the window held something back during the last flight.
    pub is_cwnd_limited: bool,
    /// Most packets outstanding during the last flight.
    pub max_packets_out: u32,
    /// When `snd_una` reaches this, the two above are taken anew.
    pub cwnd_usage_seq: SeqNumber,
    /// Most packets outstanding since the window was last full.
    pub cwnd_used: u32,
    /// When the window was last full or validated.
    pub cwnd_stamp: Instant,
}

/// What an algorithm sees of its connection.
#[derive(Debug, Clone, Copy)]
pub struct CcContext {
    /// The time.
    pub now: Instant,
    /// Payload bytes of a full segment, options taken off (`mss_cache`).
    pub mss: u32,
    /// Oldest unacknowledged sequence number, this ACK taken in.
    pub snd_una: SeqNumber,
    /// Next sequence number to send.
    pub snd_nxt: SeqNumber,
    /// Packets sent, neither acknowledged, SACKed nor lost (and retransmissions of lost ones).
    pub packets_in_flight: u32,
    /// Packets sent and not cumulatively acknowledged.
    pub packets_out: u32,
    /// Packets delivered so far.
    pub delivered: u64,
    /// When `delivered` last grew.
    pub delivered_at: Instant,
    /// Packets marked lost so far.
    pub lost: u64,
    /// `DeliveryRate::app_limited`.
    pub app_limited: u64,
    /// Smoothed round-trip time.
    pub srtt: Option<Duration>,
    /// Smallest round-trip time of `tcp_min_rtt_wlen`.
    pub min_rtt: Option<Duration>,
    /// When data was last sent (`lsndtime`).
    pub last_sent_at: Instant,
    /// Earliest time that pacing allows the next segment; what is past does not matter.
    pub next_departure: Instant,
}

/// What happens to a window other than acknowledgments (Linux `enum tcp_ca_event`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CwndEvent {
    /// First transmission with nothing in flight; told before `last_sent_at` is updated.
    TxStart,
    /// The window restarts after idling.
    CwndRestart,
    /// A reduction of the window (CWR or recovery) is complete.
    CompleteCwr,
    /// Loss recovery after a timeout begins.
    Loss,
}

/// What one acknowledgment of new data, cumulative or selective, measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckSample {
    /// Packets that it acknowledged.
    pub pkts_acked: u32,
    /// Their round-trip time; `None`: not measurable (Karn).
    pub rtt: Option<Duration>,
    /// Packets in flight when the newest of them was sent.
    pub in_flight: u32,
}

/// A congestion control algorithm.
///
/// On an ACK the connection calls [`pkts_acked`](Self::pkts_acked) for each ACK that delivered
/// something, then [`cong_control`](Self::cong_control); if that returns `false` it reduces the
/// window by PRR while in CWR or Recovery, or else calls [`cong_avoid`](Self::cong_avoid).
pub trait CongestionControl: fmt::Debug + Send {
    /// Its name, as `TCP_CONGESTION` has it.
    fn name(&self) -> &'static str;

    /// The connection is established, or switches to this algorithm.
    fn init(&mut self, state: &mut CongestionState, ctx: &CcContext) {
        let _ = (state, ctx);
    }

    /// The slow start threshold after a loss that is noticed now; at least 2 (RFC 5681 (4)).
    /// Called once per reduction, before anything is reduced.
    fn ssthresh(&mut self, state: &CongestionState, ctx: &CcContext) -> u32;

    /// Grows the window: `acked` packets were delivered.
    fn cong_avoid(&mut self, state: &mut CongestionState, ctx: &CcContext, acked: u32);

    /// The window to go back to: the last reduction was spurious. The caller sets `cwnd` to it and
    /// restores `ssthresh`.
    fn undo_cwnd(&mut self, state: &mut CongestionState, ctx: &CcContext) -> u32 {
        let _ = ctx;
        state.cwnd.max(state.prior_cwnd)
    }

    /// Loss recovery moves to `new`; `state.ca_state` is still the old one.
    fn set_state(&mut self, state: &mut CongestionState, ctx: &CcContext, new: CaState) {
        let _ = (state, ctx, new);
    }

    /// Something happened to the window.
    fn cwnd_event(&mut self, state: &mut CongestionState, ctx: &CcContext, event: CwndEvent) {
        let _ = (state, ctx, event);
    }

    /// An ACK delivered something.
    fn pkts_acked(&mut self, state: &mut CongestionState, ctx: &CcContext, sample: &AckSample) {
        let _ = (state, ctx, sample);
    }

    /// Takes an ACK over, all of window and pacing rate; `false`: does not, and never will. `ecn`:
    /// the ACK carried an echo of congestion.
    fn cong_control(
        &mut self,
        state: &mut CongestionState,
        ctx: &CcContext,
        rs: &RateSample,
        ecn: bool,
    ) -> bool {
        let _ = (state, ctx, rs, ecn);
        false
    }

    /// Whether [`cong_control`](Self::cong_control) takes over; no validation of the window and no
    /// restart after idling then.
    fn has_cong_control(&self) -> bool {
        false
    }

    /// Segments that a large packet has at least, however slow the pace.
    fn min_tso_segs(&self, state: &CongestionState) -> u32 {
        let _ = state;
        2
    }

    /// How many windows the send buffer is to hold.
    fn sndbuf_expand(&self) -> u32 {
        2
    }
}

/// The algorithms that come with the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CongestionAlgorithm {
    /// RFC 9438 with the slow start of RFC 9406.
    #[default]
    Cubic,
    /// RFC 5681.
    Reno,
    /// BBR version 1.
    Bbr,
}

/// There is no algorithm of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such congestion control algorithm")]
pub struct UnknownAlgorithm;

impl CongestionAlgorithm {
    /// All of them (`tcp_available_congestion_control`).
    pub const ALL: [CongestionAlgorithm; 3] = [Self::Cubic, Self::Reno, Self::Bbr];

    /// Its name, as `TCP_CONGESTION` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::Reno => "reno",
            Self::Bbr => "bbr",
        }
    }
}

impl fmt::Display for CongestionAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CongestionAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or(UnknownAlgorithm)
    }
}

/// The algorithm of a connection.
#[derive(Debug)]
pub enum Congestion {
    /// RFC 9438.
    Cubic(Cubic),
    /// RFC 5681.
    Reno(Reno),
    /// BBR version 1.
    Bbr(Box<Bbr>),
    /// One that the embedder brought.
    Custom(Box<dyn CongestionControl>),
}

impl Congestion {
    /// A fresh instance of `algorithm`; [`CongestionControl::init`] is still to be called.
    pub fn new(algorithm: CongestionAlgorithm) -> Self {
        match algorithm {
            CongestionAlgorithm::Cubic => Congestion::Cubic(Cubic::new()),
            CongestionAlgorithm::Reno => Congestion::Reno(Reno::new()),
            CongestionAlgorithm::Bbr => Congestion::Bbr(Box::default()),
        }
    }
}

macro_rules! dispatch {
    ($congestion:expr, $cc:ident => $call:expr) => {
        match $congestion {
            Congestion::Cubic($cc) => $call,
            Congestion::Reno($cc) => $call,
            Congestion::Bbr($cc) => $call,
            Congestion::Custom($cc) => $call,
        }
    };
}

impl CongestionControl for Congestion {
    fn name(&self) -> &'static str {
        dispatch!(self, cc => cc.name())
    }

    fn init(&mut self, state: &mut CongestionState, ctx: &CcContext) {
        dispatch!(self, cc => cc.init(state, ctx))
    }

    fn ssthresh(&mut self, state: &CongestionState, ctx: &CcContext) -> u32 {
        dispatch!(self, cc => cc.ssthresh(state, ctx))
    }

    fn cong_avoid(&mut self, state: &mut CongestionState, ctx: &CcContext, acked: u32) {
        dispatch!(self, cc => cc.cong_avoid(state, ctx, acked))
    }

    fn undo_cwnd(&mut self, state: &mut CongestionState, ctx: &CcContext) -> u32 {
        dispatch!(self, cc => cc.undo_cwnd(state, ctx))
    }

    fn set_state(&mut self, state: &mut CongestionState, ctx: &CcContext, new: CaState) {
        dispatch!(self, cc => cc.set_state(state, ctx, new))
    }

    fn cwnd_event(&mut self, state: &mut CongestionState, ctx: &CcContext, event: CwndEvent) {
        dispatch!(self, cc => cc.cwnd_event(state, ctx, event))
    }

    fn pkts_acked(&mut self, state: &mut CongestionState, ctx: &CcContext, sample: &AckSample) {
        dispatch!(self, cc => cc.pkts_acked(state, ctx, sample))
    }

    fn cong_control(
        &mut self,
        state: &mut CongestionState,
        ctx: &CcContext,
        rs: &RateSample,
        ecn: bool,
    ) -> bool {
        dispatch!(self, cc => cc.cong_control(state, ctx, rs, ecn))
    }

    fn has_cong_control(&self) -> bool {
        dispatch!(self, cc => cc.has_cong_control())
    }

    fn min_tso_segs(&self, state: &CongestionState) -> u32 {
        dispatch!(self, cc => cc.min_tso_segs(state))
    }

    fn sndbuf_expand(&self) -> u32 {
        dispatch!(self, cc => cc.sndbuf_expand())
    }
}

#[cfg(test)]
mod tests;
