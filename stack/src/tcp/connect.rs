//! The active side of the handshake (RFC 9293 §3.5, §3.10.7.3; Linux `tcp_connect`,
//! `tcp_rcv_synsent_state_process`), and what both sides do once it is over.

use super::Cx;
use super::cc::CongestionControl;
use super::config::EcnMode;
use super::event::{AckReason, RetransmitReason, SendReason, TcpEvent};
use super::input::Disposition;
use super::output::Emit;
use super::rtx_queue::{Marks, Place, Sent};
use super::segment::Segment;
use super::state::TcpState;
use super::tcb::{AckPending, Agreed, Tcb};
use super::timer::{RtxTimer, TIMEOUT_MIN};
use super::window::initial_window;
use crate::packet::Packet;
use crate::socket::SocketError;
use crate::stats::DropReason;
use crate::time::Duration;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::TcpFlags;
use crate::wire::tcp_options::TcpOptionsRepr;

/// RFC 9293 §3.7.1: what a peer takes that does not say.
pub(crate) const DEFAULT_MSS: u16 = 536;
/// RFC 6298 (5.7), Linux `TCP_TIMEOUT_FALLBACK`: the timeout of data when the handshake has not
/// measured a round trip.
const TIMEOUT_FALLBACK: Duration = Duration::from_secs(3);
/// IPv4 and TCP headers without options.
pub(crate) const HEADERS: u16 = 40;
/// Linux `TCP_MIN_MSS`, and the guess of the peer's segment size before any came.
const MIN_RCV_MSS: u16 = 88;

/// What a new connection is told of its path and its secrets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) iss: SeqNumber,
    pub(crate) ts_offset: u32,
    /// The path MTU, and that of the link.
    pub(crate) pmtu: u16,
    pub(crate) link_mtu: u16,
    /// Identification of the first packet.
    pub(crate) ip_id: u16,
}

impl Tcb {
    /// Sends SYN.
    pub(crate) fn start_connect(&mut self, cx: &mut Cx<'_>, start: &Start) {
        self.set_state(cx, TcpState::SynSent);
        self.set_start(start);
        let config = cx.config;
        self.agreed = Agreed::empty();
        self.agreed.set(Agreed::TIMESTAMPS, config.timestamps);
        self.agreed.set(Agreed::SACK, config.sack);
        self.agreed.set(Agreed::WINDOW_SCALE, config.window_scaling);
        self.mss_clamp = self.options.maxseg.unwrap_or(u16::MAX);
        self.advmss = start.link_mtu.saturating_sub(HEADERS).min(self.mss_clamp);
        self.init_mtu_search(cx);
        self.sync_mss(config, start.pmtu);
        self.ack.rcv_mss = initial_rcv_mss(self.mss, self.advmss, 0);
        let space = self.window_from_space(self.receive_limit);
        let window = initial_window(
            config,
            space,
            u32::from(self.advmss),
            self.options.window_clamp,
            config.window_scaling,
            self.options.receive_buffer,
        );
        self.rcv_wnd = window.window;
        self.window_clamp = window.clamp;
        self.rcv_wscale = window.wscale;
        self.rcv_ssthresh = self.rcv_wnd;
        let asks_for_ecn = self.options.ecn.unwrap_or(config.ecn == EcnMode::On);
        self.agreed.set(Agreed::ECN, asks_for_ecn);
        let stamp = self.rate.on_sent(cx.now, 0);
        let sent = Sent {
            seq: start.iss,
            end: start.iss + 1,
            marks: Marks::SYN,
            packets: 1,
            mss: self.mss,
            sent_at: cx.now,
            order: 0,
            stamp,
        };
        self.rtx.push(sent);
        self.snd_nxt = start.iss + 1;
        self.write_seq = self.snd_nxt;
        self.push_seq = self.snd_nxt;
        // What the peer may echo, and where the user timeout counts from.
        self.recovery.retrans_stamp = Some(cx.now);
        cx.tcp.active_opens += 1;
        self.send_syn(cx, SendReason::Syn);
        self.timers.rtx = Some((RtxTimer::Retransmit, cx.now + self.rto()));
    }

    /// Numbers of a new connection.
    pub(crate) fn set_start(&mut self, start: &Start) {
        let iss = start.iss;
        self.iss = iss;
        self.snd_una = iss;
        self.snd_nxt = iss;
        self.write_seq = iss;
        self.push_seq = iss;
        self.pushed_seq = iss + 1;
        self.snd_sml = iss;
        self.snd_up = iss;
        self.ts_offset = start.ts_offset;
        self.ip_id = start.ip_id;
        self.pmtu = start.pmtu;
        self.recovery.high_seq = iss;
    }

    /// Sends SYN, or SYN-ACK in a simultaneous open.
    fn send_syn(&mut self, cx: &mut Cx<'_>, why: SendReason) {
        let is_reply = self.state != TcpState::SynSent;
        let mut flags = TcpFlags::SYN;
        if is_reply {
            flags |= TcpFlags::ACK;
        }
        if self.has(Agreed::ECN) {
            // RFC 3168 §6.1.1: SYN with ECE and CWR asks, SYN-ACK with ECE alone agrees.
            flags |= if is_reply { TcpFlags::ECE } else { TcpFlags::ECE | TcpFlags::CWR };
        }
        let window = self.rcv_wnd.min(u32::from(u16::MAX)) as u16;
        let echo = if is_reply { self.ts_recent } else { 0 };
        let options = TcpOptionsRepr {
            mss: Some(self.advmss),
            window_scale: self.has(Agreed::WINDOW_SCALE).then_some(self.rcv_wscale),
            sack_permitted: self.has(Agreed::SACK),
            timestamps: self.has(Agreed::TIMESTAMPS).then(|| (self.timestamp(cx.now), echo)),
            ..TcpOptionsRepr::default()
        };
        let ack = if is_reply { self.rcv_nxt } else { SeqNumber(0) };
        let seq = self.iss;
        let emit = Emit { seq, ack, flags, window, len: 0, mss: 1, ect: false, options };
        self.emit(cx, &emit);
        cx.see(self.id, TcpEvent::Sent { seq, len: 0, why });
    }

    /// Sends SYN or SYN-ACK again.
    pub(crate) fn retransmit_syn(&mut self, cx: &mut Cx<'_>, at: Place) -> bool {
        // RFC 3168 §6.1.1.1: a SYN that was lost may have been for ECN's sake.
        if self.state == TcpState::SynSent && self.retransmits >= 1 {
            self.agreed.remove(Agreed::ECN);
        }
        let stamp = self.rate.on_sent(cx.now, self.rtx.packets_out);
        self.rtx.sent_again(at, cx.now, stamp);
        self.rtx.mark(at, Marks::empty(), Marks::RETRANS | Marks::LOST);
        cx.tcp.retrans_segs += 1;
        cx.ext.tcp_syn_retrans += 1;
        self.recovery.total_retrans += 1;
        self.recovery.undo_marker = Some(self.iss);
        let seq = self.iss;
        self.send_syn(cx, SendReason::Syn);
        cx.see(self.id, TcpEvent::Retransmitted { seq, len: 0, why: RetransmitReason::Handshake });
        true
    }

    /// A segment in SYN-SENT (RFC 9293 §3.10.7.3).
    pub(crate) fn input_syn_sent(
        &mut self,
        cx: &mut Cx<'_>,
        seg: &Segment,
        packet: Packet,
    ) -> Disposition {
        if seg.has_ack() {
            if seg.ack.le(self.snd_una) || seg.ack.gt(self.snd_nxt) {
                // An old connection on the other side: it is reset, or says that it was; then ours
                // may be made.
                if self.retransmits == 0 {
                    self.timers.rtx = Some((RtxTimer::Retransmit, cx.now + TIMEOUT_MIN));
                }
                if seg.rst() {
                    return Disposition::Drop(packet, DropReason::TcpInvalidReset);
                }
                return Disposition::Reset(packet, DropReason::TcpInvalidAck);
            }
            if self.echoes_the_future(cx, seg) {
                cx.ext.paws_active_rejected += 1;
                return match seg.rst() {
                    true => Disposition::Drop(packet, DropReason::TcpPaws),
                    false => Disposition::Reset(packet, DropReason::TcpPaws),
                };
            }
            if seg.rst() {
                self.fail(cx, SocketError::ConnectionRefused);
                return Disposition::Drop(packet, DropReason::TcpReset);
            }
            if !seg.syn() {
                return Disposition::Drop(packet, DropReason::TcpFlags);
            }
            self.connected(cx, seg);
            cx.pool.put(packet);
            return Disposition::Done;
        }
        if seg.rst() {
            // RFC 9293: without ACK a reset cannot be told from a forged one.
            return Disposition::Drop(packet, DropReason::TcpInvalidReset);
        }
        if !seg.syn() {
            return Disposition::Drop(packet, DropReason::TcpFlags);
        }
        self.simultaneous_open(cx, seg);
        cx.pool.put(packet);
        Disposition::Done
    }

    /// RFC 7323 §3.2: TSecr must be a time between our first SYN and now.
    fn echoes_the_future(&self, cx: &Cx<'_>, seg: &Segment) -> bool {
        let Some((_, echo)) = seg.timestamps.filter(|_| self.has(Agreed::TIMESTAMPS)) else {
            return false;
        };
        let Some(first) = self.recovery.retrans_stamp.filter(|_| echo != 0) else { return false };
        let now = self.timestamp(cx.now);
        now.wrapping_sub(echo) > now.wrapping_sub(self.timestamp(first))
    }

    /// The SYN-ACK to our SYN.
    fn connected(&mut self, cx: &mut Cx<'_>, seg: &Segment) {
        let ecn = seg.is(TcpFlags::ECE) && !seg.is(TcpFlags::CWR);
        if !ecn {
            self.agreed.remove(Agreed::ECN);
        }
        self.snd_wl1 = seg.seq;
        let retransmitted = self.retransmits > 0;
        self.take_syn_options(cx, seg);
        self.process_ack(cx, seg);
        if retransmitted {
            // RFC 6298 (5.7), RFC 5681 §3.1: after a lost SYN the window starts at one segment;
            // Linux only if the timeout was not spurious.
            self.retransmits = 0;
        }
        self.snd_wnd = u32::from(seg.window);
        self.max_window = self.snd_wnd;
        self.take_peer_number(seg);
        self.sync_mss(cx.config, self.pmtu);
        self.ack.rcv_mss = initial_rcv_mss(self.mss, self.advmss, self.rcv_wnd);
        self.set_state(cx, TcpState::Established);
        self.establish(cx);
        if self.has_unsent() || self.ack.pingpong || !self.options.defer_accept.is_zero() {
            // The ACK rides on the data that follows at once.
            self.ack.pending |= AckPending::SCHEDULED;
            self.enter_quick_ack(super::output::MAX_QUICKACKS);
            self.timers.delack = Some(cx.now + super::output::DELACK_MAX);
            self.push_pending(cx, super::output::Nagle::Options);
        } else {
            self.send_ack(cx, AckReason::Handshake);
        }
    }

    /// A SYN met ours (RFC 9293 §3.5, figure 8).
    fn simultaneous_open(&mut self, cx: &mut Cx<'_>, seg: &Segment) {
        self.set_state(cx, TcpState::SynReceived);
        self.take_syn_options(cx, seg);
        self.take_peer_number(seg);
        self.snd_wnd = u32::from(seg.window);
        self.snd_wl1 = seg.seq;
        self.max_window = self.snd_wnd;
        let asks = seg.is(TcpFlags::ECE) && seg.is(TcpFlags::CWR);
        if !asks {
            self.agreed.remove(Agreed::ECN);
        }
        self.sync_mss(cx.config, self.pmtu);
        self.ack.rcv_mss = initial_rcv_mss(self.mss, self.advmss, self.rcv_wnd);
        self.send_syn(cx, SendReason::SynAck);
    }

    fn take_peer_number(&mut self, seg: &Segment) {
        self.irs = seg.seq;
        self.rcv_nxt = seg.seq + 1;
        self.rcv_wup = self.rcv_nxt;
        self.copied_seq = self.rcv_nxt;
        self.ack.compressed_rcv_nxt = self.rcv_nxt;
        self.tuning.rtt_seq = self.irs;
    }

    /// What the peer's SYN says counts only where we have asked for it (RFC 7323 §2.2, §3.2; RFC
    /// 2018 §2).
    fn take_syn_options(&mut self, cx: &Cx<'_>, seg: &Segment) {
        if !seg.sack_permitted {
            self.agreed.remove(Agreed::SACK);
        }
        match seg.timestamps.filter(|_| self.has(Agreed::TIMESTAMPS)) {
            Some((value, _)) => {
                self.ts_recent = value;
                self.ts_recent_at = Some(cx.now);
            }
            None => self.agreed.remove(Agreed::TIMESTAMPS),
        }
        match seg.wscale.filter(|_| self.has(Agreed::WINDOW_SCALE)) {
            Some(shift) => self.snd_wscale = shift,
            None => {
                self.agreed.remove(Agreed::WINDOW_SCALE);
                self.snd_wscale = 0;
                self.rcv_wscale = 0;
                self.window_clamp = self.window_clamp.min(u32::from(u16::MAX));
            }
        }
        let mss = seg.mss.filter(|mss| *mss > 0).unwrap_or(DEFAULT_MSS);
        let user = self.options.maxseg.unwrap_or(u16::MAX);
        self.mss_clamp = mss.min(user);
    }

    /// The handshake is over (Linux `tcp_init_transfer`).
    pub(crate) fn establish(&mut self, cx: &mut Cx<'_>) {
        self.init_mtu_search(cx);
        let ctx = self.cc_context(cx.now);
        self.cc.init(&mut self.cs, &ctx);
        // RFC 6928 §2: one segment when the SYN or SYN-ACK was lost more than once, and that is
        // not known to be a mistake.
        if self.recovery.undo_marker.take().is_some() && self.recovery.total_retrans > 1 {
            self.cs.cwnd = 1;
        }
        // RFC 6298 (5.7).
        if self.rtt.srtt().is_none() {
            self.rtt.set_initial_rto(TIMEOUT_FALLBACK);
        }
        self.recovery.retrans_stamp = None;
        self.retransmits = 0;
        self.backoff = 0;
        self.last_sent_at = cx.now;
        self.ack.last_received_at = cx.now;
        self.last_ack_at = cx.now;
        self.recovery.high_seq = self.snd_nxt;
        self.init_buffers(cx);
        self.reset_keepalive(cx);
    }
}

/// Linux `tcp_initialize_rcv_mss`.
pub(crate) fn initial_rcv_mss(mss: u16, advmss: u16, window: u32) -> u16 {
    let mut hint = mss.min(advmss);
    if window > 0 {
        hint = u32::from(hint).min(window / 2) as u16;
    }
    hint.clamp(MIN_RCV_MSS, DEFAULT_MSS)
}
