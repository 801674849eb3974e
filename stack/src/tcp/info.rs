//! What a connection tells of itself (Linux `struct tcp_info`, tcp(7)).

use super::cc::{CaState, CongestionControl};
use super::state::TcpState;
use super::tcb::{Agreed, Limited, Tcb};
use super::timer::RtxTimer;
use crate::time::{Duration, Instant};

/// The state of a connection at one moment; fields are named as in Linux's `struct tcp_info`.
#[derive(Debug, Clone, PartialEq)]
pub struct TcpInfo {
    /// The state.
    pub state: TcpState,
    /// Where loss recovery stands.
    pub ca_state: CaState,
    /// The congestion control algorithm's name.
    pub congestion: &'static str,
    /// Timeouts of the oldest segment in flight.
    pub retransmits: u32,
    /// Window or keepalive probes unanswered.
    pub probes: u32,
    /// How often the timeout was doubled.
    pub backoff: u32,
    /// Timestamps are in use.
    pub timestamps: bool,
    /// Selective acknowledgments are in use.
    pub sack: bool,
    /// ECN is in use.
    pub ecn: bool,
    /// A packet with ECT has come.
    pub ecn_seen: bool,
    /// The peer's and our window scale, when in use.
    pub wscale: Option<(u8, u8)>,
    /// Retransmission timeout.
    pub rto: Duration,
    /// How long an ACK is delayed.
    pub ato: Duration,
    /// Payload bytes of a full segment to the peer.
    pub snd_mss: u32,
    /// An estimate of the peer's.
    pub rcv_mss: u32,
    /// Packets in flight or lost.
    pub unacked: u32,
    /// Of these, selectively acknowledged.
    pub sacked: u32,
    /// Of these, taken to be lost.
    pub lost: u32,
    /// Of these, sent again and in flight.
    pub retrans: u32,
    /// Time since data was sent.
    pub last_data_sent: Duration,
    /// Time since data came.
    pub last_data_recv: Duration,
    /// Time since an ACK came.
    pub last_ack_recv: Duration,
    /// Path MTU in bytes of IP packet.
    pub pmtu: u32,
    /// Limit of the window that is offered.
    pub rcv_ssthresh: u32,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Its mean deviation.
    pub rttvar: Duration,
    /// The smallest round-trip time.
    pub min_rtt: Option<Duration>,
    /// Slow start threshold in packets; `u32::MAX` when there is none.
    pub snd_ssthresh: u32,
    /// Congestion window in packets.
    pub snd_cwnd: u32,
    /// MSS that is announced.
    pub advmss: u32,
    /// Reordering seen, in packets.
    pub reordering: u32,
    /// Round-trip time as the receiver sees it.
    pub rcv_rtt: Duration,
    /// What the application reads in a round trip, in bytes.
    pub rcv_space: u32,
    /// Segments sent again, ever.
    pub total_retrans: u32,
    /// Bytes a second at which segments are paced; `u64::MAX` when they are not.
    pub pacing_rate: u64,
    /// The limit that the socket's options set on it.
    pub max_pacing_rate: u64,
    /// Bytes acknowledged by the peer.
    pub bytes_acked: u64,
    /// Bytes received in order.
    pub bytes_received: u64,
    /// Segments sent.
    pub segs_out: u32,
    /// Segments received.
    pub segs_in: u32,
    /// Bytes written and not yet sent.
    pub notsent_bytes: u32,
    /// Segments received with data.
    pub data_segs_in: u32,
    /// Segments sent with data.
    pub data_segs_out: u32,
    /// The latest delivery rate in bytes a second.
    pub delivery_rate: u64,
    /// The application was what limited it.
    pub delivery_rate_app_limited: bool,
    /// Time with something to send.
    pub busy_time: Duration,
    /// Time limited by the peer's window.
    pub rwnd_limited: Duration,
    /// Time limited by the send buffer.
    pub sndbuf_limited: Duration,
    /// Packets delivered.
    pub delivered: u32,
    /// ACKs that echoed congestion.
    pub delivered_ce: u32,
    /// Bytes sent, those sent again included.
    pub bytes_sent: u64,
    /// Bytes sent again.
    pub bytes_retrans: u64,
    /// Duplicates that the peer has reported.
    pub dsack_dups: u32,
    /// How often reordering was seen.
    pub reord_seen: u32,
    /// Segments received out of order.
    pub rcv_ooopack: u32,
    /// The window that the peer offers.
    pub snd_wnd: u32,
    /// The window that is offered to the peer.
    pub rcv_wnd: u32,
    /// Bytes of buffer that may be taken, sending and receiving.
    pub buffers: (usize, usize),
    /// Bytes of buffer that received data takes (`SK_MEMINFO_RMEM_ALLOC` of `SO_MEMINFO`).
    pub rmem_alloc: usize,
    /// Bytes written that are not acknowledged (`SK_MEMINFO_WMEM_QUEUED`).
    pub wmem_queued: usize,
}

/// A timer that ss(8) tells of (Linux `inet_sk_diag_fill`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketTimer {
    /// What it is for.
    pub kind: SocketTimerKind,
    /// Time until it fires.
    pub expires: Duration,
    /// What was done in vain so far: retransmissions or probes.
    pub retransmits: u32,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketTimerKind {
    /// Retransmission, of data or of SYN-ACK; a loss probe; reordering.
    Retransmit,
    /// Keepalive, or the end of FIN-WAIT-2.
    Keepalive,
    /// TIME-WAIT.
    TimeWait,
    /// Window probes.
    Persist,
}

impl SocketTimerKind {
    /// Its name as ss(8) has it.
    pub const fn name(self) -> &'static str {
        match self {
            SocketTimerKind::Retransmit => "on",
            SocketTimerKind::Keepalive => "keepalive",
            SocketTimerKind::TimeWait => "timewait",
            SocketTimerKind::Persist => "persist",
        }
    }
}

impl Tcb {
    /// The congestion control algorithm's name.
    pub(crate) fn congestion_name(&self) -> &'static str {
        self.cc.name()
    }

    /// The timer that matters most.
    pub(crate) fn timer(&self, now: Instant) -> Option<SocketTimer> {
        let (kind, at, retransmits) = match (self.timers.rtx, self.timers.keepalive) {
            (Some((RtxTimer::ZeroWindowProbe, at)), _) => {
                (SocketTimerKind::Persist, at, self.probes_out)
            }
            (Some((_, at)), _) => (SocketTimerKind::Retransmit, at, self.retransmits),
            (None, Some(at)) => (SocketTimerKind::Keepalive, at, self.probes_out),
            (None, None) => return None,
        };
        Some(SocketTimer { kind, expires: at - now, retransmits: retransmits.into() })
    }

    /// The state at this moment.
    pub(crate) fn info(&self, now: Instant) -> TcpInfo {
        let spent = |limited| self.chronograph.total(now, limited);
        let limits = spent(Limited::ReceiveWindow) + spent(Limited::SendBuffer);
        TcpInfo {
            state: self.state,
            ca_state: self.cs.ca_state,
            congestion: self.cc.name(),
            retransmits: self.retransmits.into(),
            probes: self.probes_out.into(),
            backoff: self.backoff.into(),
            timestamps: self.has(Agreed::TIMESTAMPS),
            sack: self.has(Agreed::SACK),
            ecn: self.has(Agreed::ECN),
            ecn_seen: self.has(Agreed::ECN_SEEN),
            wscale: self.has(Agreed::WINDOW_SCALE).then_some((self.snd_wscale, self.rcv_wscale)),
            rto: self.rto(),
            ato: self.ack_timeout(),
            snd_mss: self.mss.into(),
            rcv_mss: self.ack.rcv_mss.into(),
            unacked: self.rtx.packets_out,
            sacked: self.rtx.sacked_out,
            lost: self.rtx.lost_out,
            retrans: self.rtx.retrans_out,
            last_data_sent: now - self.last_sent_at,
            last_data_recv: now - self.ack.last_received_at,
            last_ack_recv: now - self.last_ack_at,
            pmtu: self.pmtu.into(),
            rcv_ssthresh: self.rcv_ssthresh,
            rtt: self.rtt.srtt().unwrap_or_default(),
            rttvar: self.rtt.mdev(),
            min_rtt: self.rtt.min_rtt(),
            snd_ssthresh: self.cs.ssthresh,
            snd_cwnd: self.cs.cwnd,
            advmss: self.advmss.into(),
            reordering: self.recovery.reordering,
            rcv_rtt: self.tuning.rtt,
            rcv_space: self.tuning.space,
            total_retrans: self.recovery.total_retrans,
            pacing_rate: self.cs.pacing_rate,
            max_pacing_rate: self.cs.max_pacing_rate,
            bytes_acked: self.bytes_acked,
            bytes_received: self.bytes_received,
            segs_out: self.segs_out,
            segs_in: self.segs_in,
            notsent_bytes: self.data_end().since(self.snd_nxt.earlier(self.data_end())),
            data_segs_in: self.data_segs_in,
            data_segs_out: self.data_segs_out,
            delivery_rate: self.rate.rate(self.mss.into()),
            delivery_rate_app_limited: self.rate.rate_app_limited(),
            busy_time: spent(Limited::Busy) + limits,
            rwnd_limited: spent(Limited::ReceiveWindow),
            sndbuf_limited: spent(Limited::SendBuffer),
            delivered: self.rate.delivered() as u32,
            delivered_ce: self.delivered_ce,
            bytes_sent: self.bytes_sent,
            bytes_retrans: self.recovery.bytes_retrans,
            dsack_dups: self.recovery.dsack_dups,
            reord_seen: self.recovery.reord_seen,
            rcv_ooopack: self.rcv_ooopack,
            snd_wnd: self.snd_wnd,
            rcv_wnd: self.rcv_wnd,
            buffers: (self.send_limit, self.receive_limit),
            rmem_alloc: self.rx.memory(),
            wmem_queued: self.send.len(),
        }
    }
}
