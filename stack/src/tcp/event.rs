//! What an observer is told of a connection's decisions.

use super::cc::CaState;
use super::state::TcpState;
use crate::wire::seq::SeqNumber;

/// Why an ACK is sent by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckReason {
    /// The handshake is complete.
    Handshake,
    /// More than a full segment has come since the last one (RFC 9293 §3.8.6.3).
    SecondSegment,
    /// Quick acknowledgments at the start, or after a loss.
    Quick,
    /// The delay is over.
    Delayed,
    /// A gap was filled or opened (RFC 5681 §4.2).
    Gap,
    /// A duplicate or something out of the window came.
    Duplicate,
    /// The application has read: the window opens.
    WindowUpdate,
    /// A keepalive or window probe came.
    Probe,
    /// What came may have been forged (RFC 5961).
    Challenge,
    /// A FIN came.
    Fin,
}

/// Why a segment is sent for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendReason {
    /// A connection is asked for.
    Syn,
    /// A connection is accepted.
    SynAck,
    /// There is something to send.
    Data,
    /// A tail loss probe with new data (RFC 8985 §7.3).
    LossProbe,
    /// A longer segment than before, to find out whether it arrives (RFC 4821 §7.4).
    MtuProbe,
    /// The window is closed and is probed (RFC 9293 §3.8.6.1).
    WindowProbe,
    /// Is the peer still there (RFC 9293 §3.8.4)?
    Keepalive,
    /// An ACK by itself.
    Ack(AckReason),
    /// The connection is reset.
    Reset,
}

/// Why a segment is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetransmitReason {
    /// The timer expired (RFC 6298 (5.4)).
    Timeout,
    /// Taken to be lost: fast retransmit (RFC 8985 §6, RFC 6582).
    Fast,
    /// Lost before a timeout, in slow start after it.
    SlowStart,
    /// A tail loss probe (RFC 8985 §7.3).
    LossProbe,
    /// A router says that it was too long (RFC 1191).
    PathMtu,
    /// A handshake segment.
    Handshake,
}

/// A timer of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcpTimer {
    /// RFC 6298.
    Retransmit,
    /// RFC 8985 §7.
    LossProbe,
    /// RFC 8985 §6.3.
    Reorder,
    /// RFC 9293 §3.8.6.1.
    ZeroWindowProbe,
    /// RFC 9293 §3.8.6.3.
    DelayedAck,
    /// RFC 9293 §3.8.4, and FIN-WAIT-2.
    Keepalive,
}

/// What showed that a reduction of the window was a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UndoReason {
    /// Timestamps: an original was acknowledged (RFC 3522).
    Timestamps,
    /// Every retransmission was reported as a duplicate (RFC 2883, RFC 3708).
    Dsack,
    /// F-RTO (RFC 5682).
    Frto,
}

/// A decision of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TcpEvent {
    /// The state changed.
    State {
        /// Before.
        from: TcpState,
        /// After.
        to: TcpState,
    },
    /// A segment is sent.
    Sent {
        /// Its first number.
        seq: SeqNumber,
        /// Payload bytes.
        len: usize,
        /// Why.
        why: SendReason,
    },
    /// A segment is sent again.
    Retransmitted {
        /// Its first number.
        seq: SeqNumber,
        /// Payload bytes.
        len: usize,
        /// Why.
        why: RetransmitReason,
    },
    /// A segment is taken to be lost.
    Lost {
        /// Its first number.
        seq: SeqNumber,
        /// One past its last.
        end: SeqNumber,
    },
    /// Loss recovery moves on.
    Congestion {
        /// Before.
        from: CaState,
        /// After.
        to: CaState,
        /// The congestion window in packets.
        cwnd: u32,
        /// The slow start threshold in packets.
        ssthresh: u32,
    },
    /// A reduction of the window is taken back.
    Undo {
        /// Why.
        why: UndoReason,
        /// The congestion window now.
        cwnd: u32,
    },
    /// A timer expired.
    Timer(TcpTimer),
}
