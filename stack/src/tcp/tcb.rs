//! The transmission control block (RFC 9293 §3.3.1, Linux `struct tcp_sock`).

use alloc::boxed::Box;

use super::cc::{CcContext, Congestion, CongestionState};
use super::config::TcpConfig;
use super::ip_options::IpOptions;
use super::mtu_probe::MtuSearch;
use super::options::TcpOptions;
use super::rack::{Rack, TailLossProbe};
use super::rate::DeliveryRate;
use super::records::Records;
use super::recv_buf::ReceiveQueue;
use super::rtt::RttEstimator;
use super::rtx_queue::{Marks, RtxQueue};
use super::segment::FourTuple;
use super::send_buf::SendBuffer;
use super::sparse::Sparse;
use super::state::TcpState;
use super::timer::Timers;
use super::urgent::Urgent;
use crate::socket::{SocketError, SocketId, SocketOptions};
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNumber;

bitflags::bitflags! {
    /// What both ends have agreed on, and where ECN stands (Linux `rx_opt`, `ecn_flags`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub(crate) struct Agreed: u16 {
        /// Timestamps in every segment (RFC 7323 §3.2).
        const TIMESTAMPS = 1;
        /// Window scaling (RFC 7323 §2).
        const WINDOW_SCALE = 2;
        /// Selective acknowledgments (RFC 2018).
        const SACK = 4;
        /// ECN (RFC 3168).
        const ECN = 8;
        /// The peer is to be told of congestion until it says CWR.
        const ECN_DEMAND_CWR = 16;
        /// The next new data carries CWR.
        const ECN_QUEUE_CWR = 32;
        /// A packet with ECT has come.
        const ECN_SEEN = 64;
        /// The peer has told of a duplicate (RFC 2883).
        const DSACK_SEEN = 128;
    }
}

bitflags::bitflags! {
    /// What is owed to the peer (Linux `icsk_ack.pending`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub(crate) struct AckPending: u8 {
        /// An ACK is owed.
        const SCHEDULED = 1;
        /// The delayed ACK timer runs.
        const TIMER = 2;
        /// The last data ended a write of the peer's.
        const PUSHED = 4;
        /// So did the data before.
        const PUSHED2 = 8;
        /// At once.
        const NOW = 16;
    }
}

/// When to acknowledge (Linux `inet_connection_sock.icsk_ack`).
#[derive(Debug, Clone)]
pub(crate) struct AckState {
    pub(crate) pending: AckPending,
    /// ACKs still to be sent at once.
    pub(crate) quick: u8,
    /// Data is answered with data: ACKs ride on it.
    pub(crate) pingpong: bool,
    /// How long an ACK is delayed; zero before the first data.
    pub(crate) ato: Duration,
    /// When data came last (`lrcvtime`).
    pub(crate) last_received_at: Instant,
    pub(crate) last_segment_size: u16,
    /// An estimate of the peer's segment size.
    pub(crate) rcv_mss: u16,
    /// `rcv_nxt` when ACKs were first compressed, how many have been since, and how many were
    /// sent before.
    pub(crate) compressed_rcv_nxt: SeqNumber,
    pub(crate) compressed: u8,
    pub(crate) dup_acks: u8,
}

/// What measures how fast the application reads (Linux `rcvq_space`, `rcv_rtt_est`).
#[derive(Debug, Clone)]
pub(crate) struct ReceiveTuning {
    pub(crate) space: u32,
    pub(crate) seq: SeqNumber,
    pub(crate) at: Instant,
    pub(crate) rtt: Duration,
    pub(crate) rtt_seq: SeqNumber,
    pub(crate) rtt_at: Instant,
    pub(crate) rtt_tsecr: u32,
}

/// Which part of the window or buffer kept the sender waiting, and for how long (Linux
/// `tcp_chrono`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Limited {
    #[default]
    Idle,
    Busy,
    ReceiveWindow,
    SendBuffer,
}

/// Times spent in each of [`Limited`] but idle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chronograph {
    pub(crate) now: Limited,
    pub(crate) since: Instant,
    /// Busy, limited by the receive window, limited by the send buffer.
    pub(crate) spent: [Duration; 3],
}

impl Chronograph {
    /// Enters another period.
    pub(crate) fn enter(&mut self, now: Instant, limited: Limited) {
        if limited == self.now {
            return;
        }
        if self.now != Limited::Idle {
            self.spent[self.now as usize - 1] += now - self.since;
        }
        self.now = limited;
        self.since = now;
    }

    /// Time spent in a period until now.
    pub(crate) fn total(&self, now: Instant, limited: Limited) -> Duration {
        let running = if self.now == limited { now - self.since } else { Duration::ZERO };
        match limited {
            Limited::Idle => Duration::ZERO,
            _ => self.spent[limited as usize - 1] + running,
        }
    }
}

/// What a socket is to calls, which is not the state of its connection (Linux `socket_state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    #[default]
    Unconnected,
    /// Connect was called, and has not been told how that ended.
    Connecting,
    Connected,
    /// Shut down before it was connected: nothing more will come of it.
    Disconnecting,
}

/// Loss recovery (Linux's fields of the same names).
#[derive(Debug, Clone)]
pub(crate) struct Recovery {
    /// Recovery ends when this is acknowledged (RFC 6582 `recover`, RFC 6675 `RecoveryPoint`).
    pub(crate) high_seq: SeqNumber,
    /// `ssthresh` before the reduction; 0 when it must not be undone.
    pub(crate) prior_ssthresh: u32,
    /// `snd_una` when the window was reduced: what may be undone; `None` when nothing may.
    pub(crate) undo_marker: Option<SeqNumber>,
    /// Retransmissions not yet reported as duplicates; negative when none are expected.
    pub(crate) undo_retrans: i32,
    /// When the first retransmission of this episode was sent.
    pub(crate) retrans_stamp: Option<Instant>,
    /// RFC 6937 `prr_delivered`, `prr_out`.
    pub(crate) prr_delivered: u32,
    pub(crate) prr_out: u32,
    /// RFC 5682: the timeout may have been spurious.
    pub(crate) frto: bool,
    /// The peer took back what it had selectively acknowledged.
    pub(crate) is_sack_reneg: bool,
    /// The degree of reordering, in segments (RFC 8985 §6.2 step 3).
    pub(crate) reordering: u32,
    pub(crate) reord_seen: u32,
    /// One past the highest number that is selectively acknowledged.
    pub(crate) highest_sack: Option<SeqNumber>,
    /// Segments retransmitted, ever.
    pub(crate) total_retrans: u32,
    pub(crate) bytes_retrans: u64,
    pub(crate) dsack_dups: u32,
    /// Packets marked lost, ever.
    pub(crate) lost: u64,
}

/// Whether a connection waits for frames to leave (Linux `TSQ_THROTTLED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Throttle {
    #[default]
    No,
    /// It found too many waiting.
    Wanted,
    /// It is in the list of those who wait.
    Listed,
}

/// A connection.
///
/// Every segment reads most of it, and of many connections none is in the processor's cache. So the
/// fields lie in this order, what few segments need last and small ones between the large ones, and
/// [`warm`](Self::warm) reads one in every pair of cache lines.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Tcb {
    // Who it is, and where it stands.
    pub(crate) id: SocketId,
    pub(crate) tuple: FourTuple,
    /// When the path was looked up last (`Core::path_generation`).
    pub(crate) path_generation: u64,
    pub(crate) state: TcpState,
    /// What it is to calls.
    pub(crate) phase: Phase,
    /// Nobody has it any more (Linux `SOCK_DEAD`).
    pub(crate) orphan: bool,
    /// It is in the table of connections.
    pub(crate) hashed: bool,
    /// It has its port in the table of ports.
    pub(crate) bound_port: bool,
    /// The port was asked for by number and stays until close (Linux `SOCK_BINDPORT_LOCK`).
    pub(crate) port_locked: bool,
    /// The port was chosen by connect.
    pub(crate) port_by_connect: bool,
    pub(crate) bound_addr: bool,
    /// Sending, receiving was shut down.
    pub(crate) send_shutdown: bool,
    pub(crate) receive_shutdown: bool,
    /// FIN came: the end of the stream stays the end, whatever happens (Linux `SOCK_DONE`).
    pub(crate) fin_received: bool,
    /// FIN is queued: it is the last number before `write_seq`.
    pub(crate) fin_queued: bool,
    /// The receiver of wakes wants to know of room to send.
    pub(crate) wants_space: bool,
    pub(crate) throttle: Throttle,
    /// `SO_ERROR`.
    pub(crate) error: Option<SocketError>,
    pub(crate) soft_error: Option<SocketError>,
    pub(crate) ip: Sparse<SocketOptions>,
    pub(crate) options: Sparse<TcpOptions>,

    // Sequence variables of the sender and of the receiver (RFC 9293 §3.3.1).
    pub(crate) snd_una: SeqNumber,
    pub(crate) snd_nxt: SeqNumber,
    pub(crate) snd_wnd: u32,
    pub(crate) snd_wl1: SeqNumber,
    /// The largest window that the peer ever offered (`SND.WND.MAX`).
    pub(crate) max_window: u32,
    /// One past what the application has written, FIN counted.
    pub(crate) write_seq: SeqNumber,
    /// A segment that ends here carries PSH.
    pub(crate) push_seq: SeqNumber,
    /// End of the last segment that carried PSH (`pushed_seq`).
    pub(crate) pushed_seq: SeqNumber,
    /// End of the last small segment sent (Minshall's variant of Nagle's algorithm).
    pub(crate) snd_sml: SeqNumber,
    /// Urgent data ends here (`snd_up`).
    pub(crate) snd_up: SeqNumber,
    pub(crate) rcv_nxt: SeqNumber,
    /// `rcv_nxt` in the last window update sent.
    pub(crate) rcv_wup: SeqNumber,
    /// The first number not yet read by the application.
    pub(crate) copied_seq: SeqNumber,
    pub(crate) rcv_wnd: u32,
    pub(crate) rcv_ssthresh: u32,
    pub(crate) window_clamp: u32,

    // What was written and not acknowledged.
    pub(crate) send: SendBuffer,
    pub(crate) send_limit: usize,
    /// Unsent bytes from which on the socket is not writable.
    pub(crate) notsent_lowat: usize,
    pub(crate) rtx: RtxQueue,
    /// Payload of a full segment, options taken off.
    pub(crate) mss: u16,
    /// What the peer announced, within the limits of the user.
    pub(crate) mss_clamp: u16,
    /// What we announce.
    pub(crate) advmss: u16,
    /// The path MTU that `mss` was made for.
    pub(crate) pmtu: u16,
    /// Identification of the next packet.
    pub(crate) ip_id: u16,
    pub(crate) agreed: Agreed,
    pub(crate) snd_wscale: u8,
    pub(crate) rcv_wscale: u8,
    /// Payload per 256 bytes of buffer.
    pub(crate) scaling_ratio: u8,
    pub(crate) retransmits: u8,
    pub(crate) backoff: u8,
    pub(crate) probes_out: u8,

    // What was received and not read, and when it is acknowledged.
    pub(crate) rx: ReceiveQueue,
    pub(crate) receive_limit: usize,
    /// What of it counts in the memory of all connections.
    pub(crate) charged: usize,
    pub(crate) ack: AckState,
    /// When data was last sent (`lsndtime`).
    pub(crate) last_sent_at: Instant,
    /// When a segment came last (`rcv_tstamp`).
    pub(crate) last_ack_at: Instant,
    pub(crate) ts_recent_at: Option<Instant>,
    /// RFC 7323 §4.3 `TS.Recent`, and when it was stored in seconds.
    pub(crate) ts_recent: u32,
    pub(crate) ts_offset: u32,
    /// TSecr of the segment being processed.
    pub(crate) rcv_tsecr: u32,
    pub(crate) duplicate: Option<crate::wire::tcp_options::SackBlock>,
    pub(crate) tuning: ReceiveTuning,

    // Timers, congestion and loss.
    pub(crate) next_departure: Instant,
    pub(crate) timers: Timers,
    pub(crate) bytes_acked: u64,
    pub(crate) rate: DeliveryRate,
    pub(crate) cs: CongestionState,
    pub(crate) bytes_sent: u64,
    pub(crate) cc: Congestion,
    pub(crate) segs_out: u32,
    pub(crate) segs_in: u32,
    pub(crate) rtt: RttEstimator,
    pub(crate) tlp: TailLossProbe,
    pub(crate) data_segs_out: u32,
    pub(crate) data_segs_in: u32,
    pub(crate) recovery: Recovery,
    pub(crate) bytes_received: u64,
    pub(crate) rack: Rack,
    pub(crate) chronograph: Chronograph,
    pub(crate) delivered_ce: u32,
    pub(crate) rcv_ooopack: u32,

    // What few segments need.
    /// The urgent byte of the peer's, if there is one (RFC 6093).
    pub(crate) urgent: Option<Urgent>,
    /// Where no segment may go beyond (`MSG_EOR`).
    pub(crate) records: Records,
    /// Options of IP that its packets carry.
    pub(crate) ip_options: Option<Box<IpOptions>>,
    /// The search for the path MTU, when sizes are probed (RFC 4821).
    pub(crate) mtu_search: Option<Box<MtuSearch>>,
    /// Nobody has accepted it yet: the listener.
    pub(crate) listener: Option<SocketId>,
    pub(crate) iss: SeqNumber,
    pub(crate) irs: SeqNumber,
    pub(crate) probes_since: Option<Instant>,
    /// When an ACK was last sent for a segment out of the window.
    pub(crate) last_oow_ack_at: Option<Instant>,
    /// In TIME-WAIT from FIN-WAIT-2 (then the peer's FIN is still missing), for so long.
    pub(crate) time_wait: Option<(bool, Duration)>,
}

impl Tcb {
    /// A connection that does not exist yet.
    pub(crate) fn new(
        id: SocketId,
        ip: SocketOptions,
        options: TcpOptions,
        config: &TcpConfig,
        now: Instant,
    ) -> Self {
        let zero = SeqNumber(0);
        let algorithm = options.congestion.unwrap_or(config.congestion_control);
        let mut rtt = RttEstimator::new();
        rtt.set_rto_min(config.rto_min);
        rtt.set_rto_max(config.rto_max);
        rtt.set_initial_rto(config.rto_init);
        let nowhere = core::net::Ipv4Addr::UNSPECIFIED;
        Tcb {
            id,
            state: TcpState::Closed,
            tuple: FourTuple { local: nowhere, remote: nowhere, local_port: 0, remote_port: 0 },
            ip: Sparse::new(ip),
            options: Sparse::new(options),
            ip_options: None,
            orphan: false,
            listener: None,
            hashed: false,
            phase: Phase::default(),
            bound_port: false,
            port_locked: false,
            port_by_connect: false,
            bound_addr: false,
            send_shutdown: false,
            receive_shutdown: false,
            fin_received: false,
            error: None,
            soft_error: None,
            time_wait: None,
            ip_id: 0,
            iss: zero,
            snd_una: zero,
            snd_nxt: zero,
            snd_wnd: 0,
            snd_wl1: zero,
            max_window: 0,
            write_seq: zero,
            push_seq: zero,
            pushed_seq: zero,
            snd_sml: zero,
            fin_queued: false,
            snd_up: zero,
            records: Records::default(),
            send: SendBuffer::default(),
            send_limit: options.send_limit(config),
            rtx: RtxQueue::default(),
            throttle: Throttle::No,
            notsent_lowat: options.notsent_lowat(config),
            wants_space: false,
            mss: 536,
            mss_clamp: u16::MAX,
            advmss: 536,
            pmtu: 0,
            path_generation: 0,
            mtu_search: None,
            snd_wscale: 0,
            rcv_wscale: 0,
            last_sent_at: now,
            irs: zero,
            rcv_nxt: zero,
            rcv_wup: zero,
            copied_seq: zero,
            rcv_wnd: 0,
            rcv_ssthresh: 0,
            window_clamp: u32::MAX,
            receive_limit: options.receive_limit(config),
            scaling_ratio: 128,
            charged: 0,
            urgent: None,
            rx: ReceiveQueue::default(),
            duplicate: None,
            ack: AckState {
                pending: AckPending::empty(),
                quick: 0,
                pingpong: false,
                ato: Duration::ZERO,
                last_received_at: now,
                last_segment_size: 0,
                rcv_mss: 536,
                compressed_rcv_nxt: zero,
                compressed: 0,
                dup_acks: 0,
            },
            tuning: ReceiveTuning {
                space: 0,
                seq: zero,
                at: now,
                rtt: Duration::ZERO,
                rtt_seq: zero,
                rtt_at: now,
                rtt_tsecr: 0,
            },
            agreed: Agreed::empty(),
            ts_recent: 0,
            ts_recent_at: None,
            ts_offset: 0,
            rcv_tsecr: 0,
            last_oow_ack_at: None,
            last_ack_at: now,
            rtt,
            rate: DeliveryRate::new(now),
            cs: CongestionState {
                max_pacing_rate: options.max_pacing_rate,
                pacing_needed: options.max_pacing_rate != u64::MAX,
                ..CongestionState::new(now)
            },
            cc: Congestion::new(algorithm),
            recovery: Recovery {
                high_seq: zero,
                prior_ssthresh: 0,
                undo_marker: None,
                undo_retrans: 0,
                retrans_stamp: None,
                prr_delivered: 0,
                prr_out: 0,
                frto: false,
                is_sack_reneg: false,
                reordering: config.reordering,
                reord_seen: 0,
                highest_sack: None,
                total_retrans: 0,
                bytes_retrans: 0,
                dsack_dups: 0,
                lost: 0,
            },
            rack: Rack::default(),
            tlp: TailLossProbe::default(),
            timers: Timers::new(),
            retransmits: 0,
            backoff: 0,
            probes_out: 0,
            probes_since: None,
            next_departure: Instant::ZERO,
            bytes_acked: 0,
            bytes_received: 0,
            bytes_sent: 0,
            segs_out: 0,
            segs_in: 0,
            data_segs_out: 0,
            data_segs_in: 0,
            delivered_ce: 0,
            rcv_ooopack: 0,
            chronograph: Chronograph::default(),
        }
    }

    /// Takes over the options of IP that the socket was given; tells whether they are others than
    /// before.
    pub(crate) fn take_ip_options(&mut self) -> Result<bool, SocketError> {
        let options = IpOptions::compile(&self.ip.ip_options)?;
        let before = core::mem::replace(&mut self.ip_options, options);
        Ok(before != self.ip_options)
    }

    /// Where its packets are addressed to: the peer, or the first hop of a source route.
    pub(crate) fn next_hop(&self) -> core::net::Ipv4Addr {
        self.ip_options.as_ref().and_then(|options| options.via()).unwrap_or(self.tuple.remote)
    }

    /// Reads from all of the memory that a segment needs: it comes together then, and not piece by
    /// piece when it is missed.
    #[inline]
    pub(crate) fn warm(&self) {
        let first = self.id.index ^ self.snd_una.0 ^ self.window_clamp ^ u32::from(self.mss);
        let second = self.last_ack_at.max(self.next_departure).as_nanos();
        let third = self.segs_out ^ self.data_segs_out ^ self.rcv_ooopack;
        let fourth = self.bytes_acked ^ self.bytes_sent ^ self.bytes_received;
        let fifth = self.notsent_lowat ^ self.charged;
        core::hint::black_box((first, second, third, fourth, fifth));
    }

    /// What both ends agreed on.
    pub(crate) fn has(&self, agreed: Agreed) -> bool {
        self.agreed.intersects(agreed)
    }

    /// Bytes in the header of a segment without SACK blocks.
    pub(crate) fn header_len(&self) -> usize {
        20 + if self.has(Agreed::TIMESTAMPS) { 12 } else { 0 }
    }

    /// The first number that may not be sent for lack of window.
    pub(crate) fn window_end(&self) -> SeqNumber {
        self.snd_una + self.snd_wnd
    }

    /// One past the data that the application has written, FIN not counted.
    pub(crate) fn data_end(&self) -> SeqNumber {
        self.write_seq - u32::from(self.fin_queued)
    }

    /// One past the data that may share a segment with the next byte to send.
    pub(crate) fn record_end(&self) -> SeqNumber {
        self.records.first().map_or(self.data_end(), |record| record.end)
    }

    /// Bytes of memory that what is written and not acknowledged takes.
    pub(crate) fn send_memory(&self) -> usize {
        self.send.len() + self.records.memory()
    }

    /// Numbers not sent yet, FIN counted.
    pub(crate) fn unsent(&self) -> u32 {
        self.write_seq.since(self.snd_nxt)
    }

    /// Whether something waits to be sent for the first time.
    pub(crate) fn has_unsent(&self) -> bool {
        self.state != TcpState::Closed && self.snd_nxt.lt(self.write_seq)
    }

    /// Where in the send buffer a number's byte is. The SYN takes a number but no byte.
    pub(crate) fn send_offset(&self, seq: SeqNumber) -> usize {
        // Not by comparison with `iss`, which comes again after 2³² bytes.
        let syn = self.rtx.first().is_some_and(|sent| sent.is(Marks::SYN));
        let first = self.snd_una + u32::from(syn);
        if seq.lt(first) { 0 } else { seq.since(first) as usize }
    }

    /// The part of the window that the peer may still use (Linux `tcp_receive_window`).
    pub(crate) fn receive_window(&self) -> u32 {
        let left = (self.rcv_wup + self.rcv_wnd) - self.rcv_nxt;
        left.max(0) as u32
    }

    /// The clock of our timestamps, in milliseconds (RFC 7323 §5.4).
    pub(crate) fn timestamp(&self, now: Instant) -> u32 {
        (now.as_millis() as u32).wrapping_add(self.ts_offset)
    }

    /// How many retransmissions a SYN may have.
    pub(crate) fn syn_retries(&self, config: &TcpConfig) -> u8 {
        self.options.syncnt.unwrap_or(config.syn_retries)
    }

    /// What congestion control sees.
    pub(crate) fn cc_context(&self, now: Instant) -> CcContext {
        CcContext {
            now,
            mss: u32::from(self.mss),
            snd_una: self.snd_una,
            snd_nxt: self.snd_nxt,
            packets_in_flight: self.rtx.in_flight(),
            packets_out: self.rtx.packets_out,
            delivered: self.rate.delivered(),
            delivered_at: self.rate.delivered_at(),
            lost: self.recovery.lost,
            app_limited: self.rate.app_limited(),
            srtt: self.rtt.srtt(),
            min_rtt: self.rtt.min_rtt(),
            last_sent_at: self.last_sent_at,
            next_departure: self.next_departure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::SocketClass;

    #[test]
    fn bytes_are_found_when_the_numbers_come_around() {
        let id = SocketId { class: SocketClass::Tcp, index: 0, generation: 0 };
        let (ip, options) = (SocketOptions::default(), TcpOptions::default());
        let mut tcb = Tcb::new(id, ip, options, &TcpConfig::default(), Instant::ZERO);
        // 4 GiB later the oldest byte has the number that the SYN had.
        tcb.iss = SeqNumber(100);
        tcb.snd_una = SeqNumber(100);
        assert_eq!(tcb.send_offset(SeqNumber(100)), 0);
        assert_eq!(tcb.send_offset(SeqNumber(105)), 5);
    }

    #[test]
    fn what_a_segment_needs_is_read_at_once() {
        macro_rules! offsets {
            ($($field:ident)*) => { [$(core::mem::offset_of!(Tcb, $field)),*] };
        }
        let read = offsets! {
            id snd_una window_clamp notsent_lowat mss charged last_ack_at next_departure bytes_acked
            bytes_sent segs_out data_segs_out bytes_received rcv_ooopack
        };
        // Processors fetch two lines together.
        let apart = read.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(
            apart.clone().all(|apart| apart <= 128),
            "{:?}",
            apart.collect::<std::vec::Vec<_>>()
        );
        let cold = size_of::<Tcb>() - read[read.len() - 1];
        assert!(cold <= 128, "{cold}");
    }
}
