//! Segments that leave (RFC 9293 §3.8.6.2.1, Linux `tcp_output.c`): what may be sent now, how
//! large, and what it looks like.

use core::time::Duration;

use super::cc::window::{self, IdlePolicy};
use super::cc::{CaState, CongestionControl, CwndEvent};
use super::event::{AckReason, RetransmitReason, SendReason, TcpEvent};
use super::rtx_queue::{Marks, Place, Sent};
use super::segment::MAX_SACKS;
use super::state::TcpState;
use super::tcb::{AckPending, Agreed, Limited, Tcb, Throttle};
use super::timer::RtxTimer;
use super::{Cx, Outgoing, Payload};
use crate::packet::{ChecksumState, Gso, GsoKind, Packet};
use crate::time::Instant;
use crate::wire::ipv4;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{self, TcpFlags, TcpRepr};
use crate::wire::tcp_options::{SackBlock, TcpOptionsRepr};

/// ECT(0) (RFC 3168 §5).
const ECT0: u8 = 2;
/// IP and TCP headers at their longest leave this for the payload of a large segment.
const MAX_PAYLOAD: usize = 65_535 - 20 - 60;
/// Linux `TCP_MAX_QUICKACKS`.
pub(crate) const MAX_QUICKACKS: u8 = 16;
/// Linux `TCP_ATO_MIN`, `TCP_DELACK_MIN`, `TCP_DELACK_MAX`.
pub(crate) const ATO_MIN: Duration = Duration::from_millis(40);
pub(crate) const DELACK_MAX: Duration = Duration::from_millis(200);
/// Pacing starts after so many segments with data (Linux `tcp_update_skb_after_send`).
const UNPACED_SEGMENTS: u32 = 10;

/// How small segments are treated (Linux `TCP_NAGLE_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nagle {
    /// As the socket's options say.
    Options,
    /// Sent at once.
    Off,
    /// Kept back.
    Cork,
}

/// How much is to be sent (Linux's `push_one`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Burst {
    /// All that may.
    All,
    /// One segment, whatever the congestion window.
    Probe,
}

/// A segment to build.
pub(crate) struct Emit<'a> {
    pub(crate) seq: SeqNumber,
    pub(crate) ack: SeqNumber,
    pub(crate) flags: TcpFlags,
    pub(crate) window: u16,
    /// Payload bytes.
    pub(crate) len: usize,
    /// Payload bytes of each segment on the wire.
    pub(crate) mss: usize,
    pub(crate) ect: bool,
    pub(crate) options: TcpOptionsRepr<'a>,
}

impl Tcb {
    /// The payload of a segment sent now: SACK blocks take room, too (Linux `tcp_current_mss`).
    pub(crate) fn current_mss(&self) -> usize {
        let room = match self.sack_count() {
            0 => 0,
            blocks => 4 + 8 * blocks,
        };
        usize::from(self.mss).saturating_sub(room).max(8)
    }

    /// Sends what has been written, as far as windows and Nagle allow, and sees to it that a
    /// closed window is probed (Linux `__tcp_push_pending_frames`).
    pub(crate) fn push_pending(&mut self, cx: &mut Cx<'_>, nagle: Nagle) {
        if self.has_unsent() && self.write_xmit(cx, nagle, Burst::All) {
            self.check_probe_timer(cx);
        }
        self.note_limits(cx.now, false);
    }

    /// Sends new segments; returns whether something waits though nothing is in flight (Linux
    /// `tcp_write_xmit`).
    pub(crate) fn write_xmit(&mut self, cx: &mut Cx<'_>, nagle: Nagle, burst: Burst) -> bool {
        if !matches!(
            self.state,
            TcpState::Established
                | TcpState::CloseWait
                | TcpState::FinWait1
                | TcpState::Closing
                | TcpState::LastAck
        ) {
            return false;
        }
        let mss = self.current_mss();
        let max_segs = self.max_large_segments(cx, mss);
        let (mut sent, mut cwnd_limited, mut rwnd_limited) = (0, false, false);
        while self.has_unsent() {
            if burst != Burst::Probe && (self.is_paced(cx) || self.is_throttled(cx)) {
                break;
            }
            let quota = match self.cwnd_quota() {
                0 if burst == Burst::Probe => 1,
                0 => {
                    cwnd_limited = true;
                    break;
                }
                quota => quota,
            };
            let window = self.window_end() - self.snd_nxt;
            let data = self.data_end().since(self.snd_nxt) as usize;
            // RFC 9293 §3.8.6.2.1: no part of a segment for a small window.
            if window <= 0 || (data.min(mss) as i32) > window {
                rwnd_limited = true;
                break;
            }
            if data <= mss {
                if !self.nagle_allows(data, mss, nagle) {
                    break;
                }
            } else if burst == Burst::All
                && self.should_defer(cx, data, mss, max_segs, &mut cwnd_limited)
            {
                break;
            }
            let len = match data > mss {
                true => {
                    // Each segment has its own urgent pointer.
                    let urgent = self.snd_up.gt(self.snd_una);
                    let many = burst == Burst::All && !urgent;
                    let most = max_segs.min(quota).min(self.half_window_segments(mss));
                    let segs = if many { most } else { 1 };
                    self.split_point(data, window as usize, mss, segs as usize, nagle)
                }
                false => data,
            };
            if len == 0 && data > 0 {
                break;
            }
            let why = match burst {
                Burst::Probe => SendReason::LossProbe,
                Burst::All => SendReason::Data,
            };
            sent += self.send_new(cx, len, mss, why);
            if burst != Burst::All {
                break;
            }
        }
        if rwnd_limited {
            self.chronograph.enter(cx.now, Limited::ReceiveWindow);
        }
        let limited = cwnd_limited || self.rtx.in_flight() >= self.cs.cwnd;
        if sent > 0 || limited {
            let policy = self.idle_policy(cx);
            let ctx = self.cc_context(cx.now);
            let starved = !self.has_unsent() && self.wants_space;
            window::cwnd_validate(&mut self.cs, &self.cc, &ctx, &policy, limited, starved);
        }
        if sent == 0 {
            return self.rtx.is_empty() && self.has_unsent();
        }
        if !rwnd_limited {
            self.chronograph.enter(cx.now, Limited::Busy);
        }
        if self.cs.in_cwnd_reduction() {
            self.recovery.prr_out += sent;
        }
        if burst != Burst::Probe {
            self.schedule_loss_probe(cx, false);
        }
        false
    }

    /// What restarting after idleness needs to know.
    pub(crate) fn idle_policy(&self, cx: &Cx<'_>) -> IdlePolicy {
        IdlePolicy {
            slow_start_after_idle: cx.config.slow_start_after_idle,
            initial_cwnd: super::cc::TCP_INIT_CWND,
            rto: self.rtt.rto(),
        }
    }

    /// Sends `len` bytes from `snd_nxt` on, and FIN with the last of them (Linux
    /// `tcp_event_new_data_sent`). Returns how many packets that was.
    pub(crate) fn send_new(
        &mut self,
        cx: &mut Cx<'_>,
        len: usize,
        mss: usize,
        why: SendReason,
    ) -> u32 {
        let seq = self.snd_nxt;
        let data_end = seq + len as u32;
        let window = self.window_end() - data_end;
        let fin = self.fin_queued && data_end == self.data_end() && (window > 0 || len == 0);
        let end = data_end + u32::from(fin);
        let mut marks = Marks::empty();
        marks.set(Marks::FIN, fin);
        // Linux `forced_push`: a receiver that waits for PSH gets one every half window.
        let overdue = data_end.gt(self.pushed_seq + (self.max_window >> 1));
        let pushed = len > 0 && (overdue || data_end == self.push_seq);
        if pushed {
            self.pushed_seq = data_end;
        }
        marks.set(Marks::PSH, pushed);
        let packets_out = self.rtx.packets_out;
        let idle = self.rtx.in_flight() == 0;
        if idle {
            let ctx = self.cc_context(cx.now);
            self.cc.cwnd_event(&mut self.cs, &ctx, CwndEvent::TxStart);
        }
        let stamp = self.rate.on_sent(cx.now, packets_out);
        let flags = segment_flags(marks);
        self.send_data(cx, seq, len, mss, flags, true);
        self.pace(cx.now, len);
        if !len.is_multiple_of(mss) {
            self.snd_sml = data_end;
        }
        self.snd_nxt = end;
        let mss = mss.min(usize::from(u16::MAX)) as u16;
        let sent = Sent { seq, end, marks, packets: 0, mss, sent_at: cx.now, order: 0, stamp };
        let packets = self.rtx.push(sent);
        cx.see(self.id, TcpEvent::Sent { seq, len, why });
        if packets_out == 0 || matches!(self.timers.rtx, Some((RtxTimer::LossProbe, _))) {
            self.rearm_rto(cx);
        }
        packets
    }

    /// Sends a segment of the send buffer, for the first time or again.
    fn send_data(
        &mut self,
        cx: &mut Cx<'_>,
        seq: SeqNumber,
        len: usize,
        mss: usize,
        mut flags: TcpFlags,
        is_new: bool,
    ) {
        // RFC 3168 §6.1.4, §6.1.5: ECT on new data only.
        let ect = self.has(Agreed::ECN) && is_new && len > 0;
        if ect && self.has(Agreed::ECN_QUEUE_CWR) {
            self.agreed.remove(Agreed::ECN_QUEUE_CWR);
            flags |= TcpFlags::CWR;
        }
        if self.has(Agreed::ECN_DEMAND_CWR) {
            flags |= TcpFlags::ECE;
        }
        if len > mss {
            // A receiver that merges what a large segment was split into waits for no more (Linux
            // `__tcp_transmit_skb`).
            flags |= TcpFlags::PSH;
        }
        self.emit_established(cx, seq, len, mss, flags, ect);
        if len > 0 {
            let segments = len.div_ceil(mss.max(1)) as u32;
            self.data_segs_out += segments;
            self.bytes_sent += len as u64;
            self.note_data_sent(cx.now);
        }
        self.note_ack_sent();
    }

    /// Linux `tcp_event_data_sent`.
    fn note_data_sent(&mut self, now: Instant) {
        self.last_sent_at = now;
        // Data answered within a delayed ACK's time: a conversation, in which ACKs ride on data.
        if now - self.ack.last_received_at < self.ack.ato {
            self.ack.pingpong = true;
        }
    }

    /// Linux `tcp_event_ack_sent`.
    fn note_ack_sent(&mut self) {
        if self.ack.quick > 0 {
            self.ack.quick -= 1;
            if self.ack.quick == 0 {
                self.ack.ato = ATO_MIN;
            }
        }
        self.ack.pending = AckPending::empty();
        self.ack.compressed = 0;
        self.timers.delack = None;
        self.timers.compressed = None;
        self.duplicate = None;
    }

    /// Sends a segment again; tells whether it was (Linux `tcp_retransmit_skb`).
    pub(crate) fn retransmit(
        &mut self,
        cx: &mut Cx<'_>,
        at: Place,
        max_segs: u32,
        why: RetransmitReason,
    ) -> bool {
        let Some(entry) = self.rtx.get(at).copied() else { return false };
        if entry.is(Marks::SYN) && self.state != TcpState::Established {
            return self.retransmit_syn(cx, at);
        }
        let mss = self.current_mss();
        let mut room = self.window_end() - entry.seq;
        if room <= 0 {
            // A window that shrank: only the oldest segment, as a probe (RFC 9293 §3.8.6.2.1).
            if entry.seq != self.snd_una {
                return false;
            }
            room = mss as i32;
        }
        let max_segs = if self.snd_up.gt(self.snd_una) { 1 } else { max_segs.max(1) };
        let mut limit = (mss * max_segs as usize).min(MAX_PAYLOAD).min(room as usize);
        if limit > mss {
            limit -= limit % mss;
        }
        let data = |entry: &Sent| {
            entry.len() - u32::from(entry.is(Marks::FIN)) - u32::from(entry.is(Marks::SYN))
        };
        if data(&entry) as usize > limit {
            self.rtx.split(at, entry.seq + limit as u32);
        }
        let before = self.rtx.packets_out;
        self.rtx.resize(at, mss as u16);
        if !self.has(Agreed::SACK) {
            // Linux tcp_adjust_pcount: duplicates stand for no more packets than there are.
            let fewer = before.saturating_sub(self.rtx.packets_out);
            self.rtx.sacked_out = self.rtx.sacked_out.saturating_sub(fewer);
        }
        let Some(entry) = self.rtx.get(at).copied() else { return false };
        let len = data(&entry) as usize;
        let stamp = self.rate.on_sent(cx.now, self.rtx.packets_out);
        let seq = entry.seq + u32::from(entry.is(Marks::SYN));
        self.send_data(cx, seq, len, mss, segment_flags(entry.marks), false);
        self.pace(cx.now, len);
        cx.see(self.id, TcpEvent::Retransmitted { seq, len, why });
        let packets = u32::from(entry.packets);
        cx.tcp.retrans_segs += u64::from(packets);
        self.recovery.total_retrans += packets;
        self.recovery.bytes_retrans += len as u64;
        self.rtx.sent_again(at, cx.now, stamp);
        if why == RetransmitReason::LossProbe {
            // Nothing is taken to be lost yet: the probe belongs to no recovery.
            self.rtx.mark(at, Marks::empty(), Marks::RETRANS);
            return true;
        }
        self.recovery.retrans_stamp.get_or_insert(cx.now);
        self.recovery.undo_retrans = self.recovery.undo_retrans.max(0) + packets as i32;
        true
    }

    /// Sends lost segments again, as far as the congestion window allows (Linux
    /// `tcp_xmit_retransmit_queue`).
    pub(crate) fn retransmit_lost(&mut self, cx: &mut Cx<'_>) {
        if self.rtx.is_empty() || self.rtx.lost_out <= self.rtx.retrans_out {
            return;
        }
        let mss = self.current_mss();
        let max_segs = self.max_large_segments(cx, mss);
        let mut rearm = false;
        while let Some(at) = self.rtx.next_unsent() {
            if self.rtx.retrans_out >= self.rtx.lost_out {
                break;
            }
            let quota = self.cs.cwnd.saturating_sub(self.rtx.in_flight());
            if quota == 0 || self.is_paced(cx) || self.is_throttled(cx) {
                break;
            }
            let why = match self.cs.ca_state {
                CaState::Loss => RetransmitReason::SlowStart,
                _ => RetransmitReason::Fast,
            };
            if !self.retransmit(cx, at, quota.min(max_segs), why) {
                break;
            }
            let packets = self.rtx.get(at).map_or(0, |entry| u32::from(entry.packets));
            match why {
                RetransmitReason::SlowStart => cx.ext.tcp_slow_start_retrans += u64::from(packets),
                _ => cx.ext.tcp_fast_retrans += u64::from(packets),
            }
            if self.cs.in_cwnd_reduction() {
                self.recovery.prr_out += packets;
            }
            let is_first = at == self.rtx.first_place();
            rearm |= is_first && !matches!(self.timers.rtx, Some((RtxTimer::Reorder, _)));
        }
        if rearm {
            self.timers.rtx = Some((RtxTimer::Retransmit, cx.now + self.rto()));
        }
    }

    /// Sends an ACK by itself (Linux `tcp_send_ack`).
    pub(crate) fn send_ack(&mut self, cx: &mut Cx<'_>, why: AckReason) {
        if self.state == TcpState::Closed {
            return;
        }
        let mut flags = TcpFlags::ACK;
        if self.has(Agreed::ECN_DEMAND_CWR) {
            flags |= TcpFlags::ECE;
        }
        let mss = self.current_mss();
        let seq = self.acceptable_seq();
        self.emit_established(cx, seq, 0, mss, flags, false);
        cx.see(self.id, TcpEvent::Sent { seq, len: 0, why: SendReason::Ack(why) });
        self.note_ack_sent();
    }

    /// A number that the peer takes even if it has shrunk its window (Linux
    /// `tcp_acceptable_seq`).
    pub(crate) fn acceptable_seq(&self) -> SeqNumber {
        let end = self.window_end();
        if end.ge(self.snd_nxt)
            || (self.has(Agreed::WINDOW_SCALE) && self.snd_nxt - end < 1 << self.rcv_wscale)
        {
            self.snd_nxt
        } else {
            end
        }
    }

    /// Sends a segment that the peer must answer: a number it has already (Linux
    /// `tcp_xmit_probe_skb`).
    pub(crate) fn send_probe(&mut self, cx: &mut Cx<'_>, why: SendReason) {
        let seq = self.snd_una - 1;
        let mss = self.current_mss();
        self.emit_established(cx, seq, 0, mss, TcpFlags::ACK, false);
        cx.see(self.id, TcpEvent::Sent { seq, len: 0, why });
    }

    fn emit_established(
        &mut self,
        cx: &mut Cx<'_>,
        seq: SeqNumber,
        len: usize,
        mss: usize,
        mut flags: TcpFlags,
        ect: bool,
    ) {
        let mut sacks = [SackBlock { left: seq, right: seq }; MAX_SACKS];
        let count = self.sack_list(&mut sacks);
        let options = TcpOptionsRepr {
            timestamps: self.timestamp_option(cx.now),
            sack: &sacks[..count],
            ..TcpOptionsRepr::default()
        };
        let window = self.select_window(cx);
        let urgent = self.snd_up.gt(self.snd_una) && self.snd_up.gt(seq);
        if urgent && self.snd_up.since(seq) <= u32::from(u16::MAX) {
            flags |= TcpFlags::URG;
        }
        let emit = Emit { seq, ack: self.rcv_nxt, flags, window, len, mss, ect, options };
        self.emit(cx, &emit);
    }

    /// TSval and TSecr, when agreed upon.
    pub(crate) fn timestamp_option(&self, now: Instant) -> Option<(u32, u32)> {
        self.has(Agreed::TIMESTAMPS).then(|| (self.timestamp(now), self.ts_recent))
    }

    /// Writes a segment and hands it down.
    pub(crate) fn emit(&mut self, cx: &mut Cx<'_>, emit: &Emit<'_>) {
        let urgent = match emit.flags.contains(TcpFlags::URG) {
            true => self.snd_up.since(emit.seq) as u16,
            false => 0,
        };
        let repr = TcpRepr {
            src_port: self.tuple.local_port,
            dst_port: self.tuple.remote_port,
            seq: emit.seq,
            ack: emit.ack,
            flags: emit.flags,
            window: emit.window,
            urgent,
            options: emit.options,
        };
        let header_len = repr.header_len();
        let mut packet = cx.pool.take(header_len + emit.len);
        repr.emit(packet.put(header_len));
        let (src, dst) = (self.tuple.local, self.tuple.remote);
        // IPv4 puts the sum of the pseudo-header in.
        packet.meta.checksum = ChecksumState::Partial {
            start: ipv4::HEADER_LEN as u16,
            offset: tcp::CHECKSUM_OFFSET as u16,
        };
        let segments = emit.len.div_ceil(emit.mss.max(1)).max(1) as u16;
        if segments > 1 {
            let ecn = emit.flags.contains(TcpFlags::CWR);
            let kind = GsoKind::TcpV4 { ecn };
            packet.meta.gso = Some(Gso { kind, size: emit.mss as u16, segments, fixed_id: false });
        }
        let mut payload = None;
        if segments > 1 {
            payload = Some(Payload { index: self.id.index, seq: emit.seq, len: emit.len });
        } else {
            let offset = self.send_offset(emit.seq);
            self.send.read(offset, emit.len, |piece| packet.put_slice(piece));
        }
        cx.tcp.out_segs += u64::from(segments);
        *cx.out_frames += usize::from(segments);
        self.segs_out += u32::from(segments);
        let id = self.ip_id;
        self.ip_id = self.ip_id.wrapping_add(segments);
        cx.out.push_back(Outgoing {
            packet,
            src,
            dst,
            tos: self.ip.tos & !3 | if emit.ect { ECT0 } else { 0 },
            ttl: self.ip.ttl,
            mark: self.ip.mark,
            link: self.ip.bind_link,
            pmtu: self.ip.pmtu_discovery,
            // Linux numbers the packets of a connection, atomic though they are (RFC 6864 §4.1).
            ident: Some(id),
            payload,
        });
    }

    /// Puts the payload of a segment behind its header; tells whether all of it is still there.
    pub(crate) fn put_payload(&self, packet: &mut Packet, payload: Payload) -> bool {
        let before = packet.len();
        let offset = self.send_offset(payload.seq);
        self.send.read(offset, payload.len, |piece| packet.put_slice(piece));
        packet.len() - before == payload.len
    }

    /// Sends RST (RFC 9293 §3.5.2, Linux `tcp_send_active_reset`).
    pub(crate) fn send_reset(&mut self, cx: &mut Cx<'_>) {
        let seq = self.acceptable_seq();
        let options = TcpOptionsRepr {
            timestamps: self.timestamp_option(cx.now),
            ..TcpOptionsRepr::default()
        };
        let flags = TcpFlags::RST | TcpFlags::ACK;
        let window = self.select_window(cx);
        let emit =
            Emit { seq, ack: self.rcv_nxt, flags, window, len: 0, mss: 1, ect: false, options };
        self.emit(cx, &emit);
        cx.tcp.out_rsts += 1;
        cx.see(self.id, TcpEvent::Sent { seq, len: 0, why: SendReason::Reset });
    }

    /// How many packets may leave now (Linux `tcp_cwnd_test`).
    fn cwnd_quota(&self) -> u32 {
        let in_flight = self.rtx.in_flight();
        if in_flight >= self.cs.cwnd {
            return 0;
        }
        (self.cs.cwnd >> 1).max(1).min(self.cs.cwnd - in_flight)
    }

    /// How many segments one large one has at most (Linux `tcp_tso_segs`).
    fn max_large_segments(&self, cx: &Cx<'_>, mss: usize) -> u32 {
        // Linux `tcp_xmit_size_goal`: no more than half of the largest window at once.
        let half = (self.max_window >> 1) as usize;
        let bytes = cx.config.max_segment_bytes.min(MAX_PAYLOAD).min(half).max(mss);
        let most = (bytes / mss).max(1) as u32;
        let ctx = self.cc_context(cx.now);
        let wanted = window::tso_autosize(&self.cs, &self.cc, &ctx, bytes as u32);
        wanted.max(cx.config.min_tso_segs).min(most)
    }

    /// How many segments are half of the peer's largest window (Linux `tcp_bound_to_half_wnd`).
    fn half_window_segments(&self, mss: usize) -> u32 {
        match self.max_window > u32::from(super::connect::DEFAULT_MSS) {
            true => ((self.max_window as usize >> 1) / mss).max(1) as u32,
            false => (self.max_window as usize / mss).max(1) as u32,
        }
    }

    /// RFC 9293 §3.7.4 with Minshall's modification: a small segment waits only while another
    /// small one is unacknowledged (Linux `tcp_nagle_check`).
    fn nagle_allows(&self, data: usize, mss: usize, nagle: Nagle) -> bool {
        let is_last = self.fin_queued;
        if data >= mss || is_last || self.snd_up.gt(self.snd_una) {
            return true;
        }
        !self.nagle_holds(nagle)
    }

    fn nagle_holds(&self, nagle: Nagle) -> bool {
        if nagle == Nagle::Off {
            return false;
        }
        if self.options.cork || nagle == Nagle::Cork {
            return true;
        }
        let small_in_flight = self.snd_sml.gt(self.snd_una) && self.snd_sml.le(self.snd_nxt);
        !self.options.nodelay && self.rtx.packets_out > 0 && small_in_flight
    }

    /// How much of `data` goes into one segment (Linux `tcp_mss_split_point`).
    fn split_point(
        &self,
        data: usize,
        window: usize,
        mss: usize,
        segs: usize,
        nagle: Nagle,
    ) -> usize {
        let most = (mss * segs).min(MAX_PAYLOAD - MAX_PAYLOAD % mss);
        let needed = data.min(window);
        if most <= needed {
            return most;
        }
        let partial = needed % mss;
        let holds = self.nagle_holds(nagle) && !(self.fin_queued && needed == data);
        if partial > 0 && (holds || needed < data) { needed - partial } else { needed }
    }

    /// Whether waiting for more window gives a larger segment (Linux `tcp_tso_should_defer`).
    fn should_defer(
        &self,
        cx: &Cx<'_>,
        data: usize,
        mss: usize,
        max_segs: u32,
        cwnd_limited: &mut bool,
    ) -> bool {
        if self.cs.ca_state >= CaState::Recovery
            || cx.now - self.last_sent_at > Duration::from_millis(1)
            || self.fin_queued
        {
            return false;
        }
        let in_flight = self.rtx.in_flight();
        let window = (self.window_end() - self.snd_nxt).max(0) as usize;
        let congestion = self.cs.cwnd.saturating_sub(in_flight) as usize * mss;
        let limit = window.min(congestion);
        if limit >= max_segs as usize * mss || limit >= data {
            return false;
        }
        let whole = (self.snd_wnd as usize).min(self.cs.cwnd as usize * mss);
        let divisor = cx.config.tso_win_divisor as usize;
        if divisor > 0 && limit >= whole / divisor {
            return false;
        }
        // When the next ACK is due only after half a round trip, nothing is won.
        let Some(head) = self.rtx.first() else { return false };
        if cx.now - head.sent_at < self.rtt.srtt().unwrap_or_default() / 2 {
            return false;
        }
        *cwnd_limited |= congestion < window && congestion <= data;
        true
    }

    /// Whether too much waits for devices already; then it goes on when that has left.
    fn is_throttled(&mut self, cx: &Cx<'_>) -> bool {
        let full = cx.is_queue_full();
        if full && self.throttle == Throttle::No {
            self.throttle = Throttle::Wanted;
        }
        full
    }

    /// Sends what waited for time or for devices.
    pub(crate) fn resume(&mut self, cx: &mut Cx<'_>) {
        if self.rtx.lost_out > self.rtx.retrans_out {
            self.retransmit_lost(cx);
        }
        self.push_pending(cx, Nagle::Options);
    }

    /// Whether pacing holds the next segment back; then the timer runs.
    fn is_paced(&mut self, cx: &Cx<'_>) -> bool {
        if !self.cs.pacing_needed || self.next_departure <= cx.now {
            return false;
        }
        self.timers.pacing = Some(self.next_departure);
        true
    }

    /// Takes note of when the next segment may leave (Linux `tcp_update_skb_after_send`).
    fn pace(&mut self, now: Instant, len: usize) {
        let rate = self.cs.pacing_rate;
        if !self.cs.pacing_needed || rate == u64::MAX || self.data_segs_out < UNPACED_SEGMENTS {
            return;
        }
        let span = (len as u64).saturating_mul(1_000_000_000) / rate.max(1);
        // Time lost earlier is made up for, half a segment at a time.
        let credit = (now - self.next_departure).as_nanos() as u64;
        let span = span - credit.min(span / 2);
        self.next_departure = self.next_departure.max(now) + Duration::from_nanos(span);
    }

    /// Updates what the sender waits for (Linux `tcp_chrono_start`).
    pub(crate) fn note_limits(&mut self, now: Instant, starved: bool) {
        if self.rtx.is_empty() && !self.has_unsent() {
            self.chronograph.enter(now, Limited::Idle);
        } else if starved {
            self.chronograph.enter(now, Limited::SendBuffer);
        }
    }
}

/// The flags of a segment with these marks.
fn segment_flags(marks: Marks) -> TcpFlags {
    let mut flags = TcpFlags::ACK;
    flags.set(TcpFlags::FIN, marks.contains(Marks::FIN));
    flags.set(TcpFlags::PSH, marks.contains(Marks::PSH));
    flags
}
