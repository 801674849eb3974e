//! Data that arrives (RFC 9293 §3.10.7.4 step 7, Linux `tcp_data_queue`), and when it is
//! acknowledged (§3.8.6.3, Linux `__tcp_ack_snd_check`).

use super::Cx;
use super::event::{AckReason, TcpEvent};
use super::output::{ATO_MIN, DELACK_MAX, MAX_QUICKACKS};
use super::segment::{MAX_SACKS, Segment};
use super::state::TcpState;
use super::tcb::{AckPending, Agreed, Tcb};
use crate::packet::Packet;
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::TcpFlags;
use crate::wire::tcp_options::SackBlock;

/// After so many duplicate ACKs, further ones may be compressed (Linux `TCP_FASTRETRANS_THRESH`).
const DUP_ACKS_BEFORE_COMPRESSION: u8 = 3;
/// Linux `TCP_MIN_MSS`.
const MIN_MSS: u16 = 88;
/// One of Linux's with `HZ=1000`.
const TICK: Duration = Duration::from_millis(1);

impl Tcb {
    /// Takes the payload of a segment; `packet`'s bytes are that payload. Returns the packet when
    /// it is not kept, with the reason.
    pub(crate) fn data_queue(
        &mut self,
        cx: &mut Cx<'_>,
        seg: &Segment,
        mut packet: Packet,
    ) -> Result<(), (Packet, DropReason)> {
        if seg.seq == seg.end {
            cx.pool.put(packet);
            return Ok(());
        }
        // A SYN comes before the data, which is cut off with it where it is old.
        let start = seg.seq + u32::from(seg.syn());
        if self.has(Agreed::ECN) && seg.is(TcpFlags::CWR) {
            self.agreed.remove(Agreed::ECN_DEMAND_CWR);
            // Linux tcp_ecn_accept_cwr: the sender's window is small now, so do not delay.
            if seg.end != seg.seq {
                self.ack.pending |= AckPending::NOW;
            }
        }
        if seg.end.le(self.rcv_nxt) {
            // All of it is old: our ACK was lost, or theirs is a spurious retransmission.
            cx.ext.delayed_ack_lost += 1;
            self.set_duplicate(cx, seg.seq, seg.end);
            self.quick_ack_all();
            return Err((packet, DropReason::TcpOldData));
        }
        let window = self.receive_window();
        // Linux: FIN alone takes no room. Its sender would repeat it for ever otherwise.
        let bare_fin = seg.fin() && seg.len == 0 && start == self.rcv_nxt;
        if bare_fin && window == 0 {
            self.ack.pending |= AckPending::NOW;
        } else if start.ge(self.rcv_nxt + window)
            || (window == 0 && (seg.end - u32::from(seg.fin())).gt(self.rcv_nxt))
        {
            if start.lt(self.rcv_nxt) {
                self.set_duplicate(cx, start, self.rcv_nxt);
            }
            if window == 0 {
                cx.ext.tcp_zero_window_drop += 1;
            }
            self.quick_ack_all();
            return Err((packet, DropReason::TcpOutOfWindow));
        }
        if cx.is_out_of_memory() || self.rx.memory() + packet.true_size() > self.memory_limit() {
            self.prune(cx, packet.true_size());
            let is_next = start.le(self.rcv_nxt);
            let full = cx.is_out_of_memory() || self.rx.memory() >= self.memory_limit();
            if full && (!is_next || self.rx.readable() > 0) {
                cx.ext.tcp_rcv_q_drop += 1;
                self.ack.pending |= AckPending::SCHEDULED | AckPending::NOW;
                return Err((packet, DropReason::SocketQueueFull));
            }
        }
        // RFC 9293 §3.10.7.4: data beyond the window is cut off, FIN with it.
        let mut end = seg.end;
        let mut fin = seg.fin();
        let limit = self.rcv_nxt + window;
        if end.gt(limit) && !bare_fin {
            let excess = end.since(limit);
            packet.truncate((seg.len + u32::from(fin)).saturating_sub(excess) as usize);
            end = limit;
            fin = false;
        }
        if start.gt(self.rcv_nxt) {
            self.queue_out_of_order(cx, seg, packet, fin);
            return Ok(());
        }
        let old = self.rcv_nxt.since(start);
        if old > 0 {
            // Partly old: the new part counts (RFC 2883 §4.1 for the rest).
            self.set_duplicate(cx, start, self.rcv_nxt);
            packet.pull(old as usize);
        }
        self.queue_in_order(cx, seg, packet, end, fin);
        Ok(())
    }

    fn queue_in_order(
        &mut self,
        cx: &mut Cx<'_>,
        seg: &Segment,
        packet: Packet,
        end: SeqNumber,
        fin: bool,
    ) {
        let (len, true_size) = (packet.len(), packet.true_size());
        self.rcv_nxt = end;
        if len > 0 {
            self.bytes_received += len as u64;
            self.rx.append(packet, cx.pool);
            self.data_received(cx, seg, len, true_size);
            self.check_ce(seg);
        } else {
            cx.pool.put(packet);
        }
        if fin {
            self.receive_fin(cx);
        }
        if self.rx.has_out_of_order() {
            let before = self.rx.readable();
            let advanced = self.rx.advance(self.rcv_nxt, cx.pool);
            self.rcv_nxt = advanced.rcv_nxt;
            self.bytes_received += (self.rx.readable() - before) as u64;
            // RFC 2883 §4: a segment's first duplicate part is what is told.
            if let Some(duplicate) = advanced.duplicate.filter(|_| self.duplicate.is_none()) {
                self.set_duplicate(cx, duplicate.left, duplicate.right);
            }
            if advanced.fin {
                self.receive_fin(cx);
            }
            // RFC 5681 §4.2: at once when all or part of a gap was filled.
            if !self.rx.has_out_of_order() {
                self.ack.pending |= AckPending::NOW;
            }
        }
    }

    fn queue_out_of_order(&mut self, cx: &mut Cx<'_>, seg: &Segment, packet: Packet, fin: bool) {
        let len = packet.len();
        let true_size = packet.true_size();
        self.check_ce(seg);
        self.rcv_ooopack += u32::from(seg.segments);
        cx.ext.tcp_ofo_queue += 1;
        let inserted = self.rx.insert_out_of_order(self.rcv_nxt, seg.seq, packet, fin, cx.pool);
        if let Some(duplicate) = inserted.duplicate {
            self.set_duplicate(cx, duplicate.left, duplicate.right);
        }
        self.ack.pending |= AckPending::SCHEDULED;
        if inserted.queued {
            self.measure_peer_mss(seg, true_size);
            // Without SACK a window that changes would keep ACKs from counting as duplicates.
            if self.has(Agreed::SACK) {
                self.grow_window(cx, len, true_size);
            }
        }
    }

    /// The peer sends no more (RFC 9293 §3.10.7.4 step 8, Linux `tcp_fin`).
    fn receive_fin(&mut self, cx: &mut Cx<'_>) {
        self.ack.pending |= AckPending::SCHEDULED;
        self.receive_shutdown = true;
        self.fin_received = true;
        let to = match self.state {
            TcpState::SynReceived | TcpState::Established => {
                self.ack.pingpong = true;
                TcpState::CloseWait
            }
            TcpState::FinWait1 => {
                // Simultaneous close.
                self.send_ack(cx, AckReason::Fin);
                TcpState::Closing
            }
            TcpState::FinWait2 => {
                self.send_ack(cx, AckReason::Fin);
                self.time_wait = Some((false, cx.config.timewait_len));
                return;
            }
            _ => return,
        };
        self.set_state(cx, to);
        self.rx_drop_beyond_fin(cx);
    }

    /// Nothing can follow FIN, and there is no more to say of what came (Linux `tcp_sack_reset`).
    fn rx_drop_beyond_fin(&mut self, cx: &mut Cx<'_>) {
        self.duplicate = None;
        if self.rx.has_out_of_order() {
            self.rx.prune_out_of_order(0, cx.pool);
        }
    }

    /// Linux `tcp_dsack_set`.
    pub(crate) fn set_duplicate(&mut self, cx: &mut Cx<'_>, left: SeqNumber, right: SeqNumber) {
        if !self.has(Agreed::SACK) || !cx.config.dsack {
            return;
        }
        match left.lt(self.rcv_nxt) {
            true => cx.ext.tcp_dsack_old_sent += 1,
            false => cx.ext.tcp_dsack_ofo_sent += 1,
        }
        self.duplicate = Some(SackBlock { left, right });
    }

    /// How many SACK blocks the next segment carries.
    pub(crate) fn sack_count(&self) -> usize {
        if !self.has(Agreed::SACK) || (!self.rx.has_out_of_order() && self.duplicate.is_none()) {
            return 0;
        }
        let mut blocks = [SackBlock { left: self.rcv_nxt, right: self.rcv_nxt }; MAX_SACKS];
        self.sack_list(&mut blocks)
    }

    /// The SACK blocks of the next segment: a duplicate first, then what changed last (RFC 2018 §4,
    /// RFC 2883 §4). Returns how many.
    pub(crate) fn sack_list(&self, blocks: &mut [SackBlock; MAX_SACKS]) -> usize {
        if !self.has(Agreed::SACK) || (!self.rx.has_out_of_order() && self.duplicate.is_none()) {
            return 0;
        }
        let mut list = self.rx.sack_blocks();
        if let Some(duplicate) = self.duplicate {
            list.push_front(duplicate);
        }
        let most = if self.has(Agreed::TIMESTAMPS) { 3 } else { 4 };
        let count = list.len().min(most);
        blocks[..count].copy_from_slice(&list[..count]);
        count
    }

    /// Data has come in order: acknowledgments and windows take note (Linux
    /// `tcp_event_data_recv`).
    fn data_received(&mut self, cx: &mut Cx<'_>, seg: &Segment, len: usize, true_size: usize) {
        self.ack.pending |= AckPending::SCHEDULED;
        self.measure_peer_mss(seg, true_size);
        self.measure_receive_rtt(cx.now);
        let now = cx.now;
        if self.ack.ato.is_zero() {
            // The first data: quick acknowledgments open the peer's window.
            self.increase_quick_acks(MAX_QUICKACKS);
            self.ack.ato = ATO_MIN;
        } else {
            let gap = now - self.ack.last_received_at;
            if gap <= ATO_MIN / 2 {
                self.ack.ato = self.ack.ato / 2 + ATO_MIN / 2;
            } else if gap < self.ack.ato {
                self.ack.ato = (self.ack.ato / 2 + gap).min(self.rto());
            } else if gap > self.rto() {
                // The peer may have restarted from a small window.
                self.increase_quick_acks(MAX_QUICKACKS);
            }
        }
        self.ack.last_received_at = now;
        if len >= 128 {
            self.grow_window(cx, len, true_size);
        }
    }

    /// Reacts to the ECN field of a segment (RFC 3168 §6.1.3, Linux `tcp_ecn_check_ce`).
    pub(crate) fn check_ce(&mut self, seg: &Segment) {
        if !self.has(Agreed::ECN) {
            return;
        }
        if seg.ce() {
            if !self.has(Agreed::ECN_DEMAND_CWR) {
                // The peer is to know at once.
                self.enter_quick_ack(2);
                self.agreed.insert(Agreed::ECN_DEMAND_CWR);
            }
            self.agreed.insert(Agreed::ECN_SEEN);
        } else if seg.ect() {
            self.agreed.insert(Agreed::ECN_SEEN);
        } else if self.has(Agreed::ECN_SEEN) && seg.len > 0 {
            // A retransmission, which is never ECT: the peer's window is small (Linux).
            self.enter_quick_ack(2);
        }
    }

    /// The next few ACKs leave at once (Linux `tcp_incr_quickack`).
    fn increase_quick_acks(&mut self, most: u8) {
        let rcv_mss = u32::from(self.ack.rcv_mss.max(1));
        let quick = (self.rcv_wnd / (2 * rcv_mss)).clamp(2, u32::from(u8::MAX)) as u8;
        self.ack.quick = self.ack.quick.max(quick.min(most));
    }

    /// Linux `tcp_enter_quickack_mode`.
    pub(crate) fn enter_quick_ack(&mut self, most: u8) {
        self.increase_quick_acks(most);
        self.ack.pingpong = false;
        self.ack.ato = ATO_MIN;
    }

    fn quick_ack_all(&mut self) {
        self.enter_quick_ack(MAX_QUICKACKS);
        self.ack.pending |= AckPending::SCHEDULED;
    }

    /// Guesses the peer's segment size (Linux `tcp_measure_rcv_mss`).
    fn measure_peer_mss(&mut self, seg: &Segment, true_size: usize) {
        let last = core::mem::take(&mut self.ack.last_segment_size);
        let len = if seg.segments > 1 { seg.segment_size } else { seg.len.min(65_535) as u16 };
        if len >= self.ack.rcv_mss {
            self.ack.rcv_mss = len.min(self.advmss);
            if seg.len >= u32::from(self.advmss.min(536)) && true_size > 0 {
                // How much of the buffers is payload, for windows that fit the memory.
                let ratio = (seg.len as usize * 256 / true_size).clamp(1, 255) as u8;
                if ratio != self.scaling_ratio {
                    self.scaling_ratio = ratio;
                    let whole = self.window_from_space(self.receive_limit);
                    self.window_clamp = match self.options.window_clamp {
                        Some(clamp) => whole.min(clamp),
                        None => whole,
                    };
                }
            }
            if seg.is(TcpFlags::PSH) && seg.segments == 1 {
                self.note_push();
            }
            return;
        }
        let with_header = len + seg.header_len as u16;
        let pushed = seg.is(TcpFlags::PSH | TcpFlags::FIN);
        if with_header >= MIN_MSS || (!pushed && with_header >= 60) {
            self.ack.last_segment_size = len;
            if len == last {
                self.ack.rcv_mss = len;
                return;
            }
        }
        self.note_push();
    }

    fn note_push(&mut self) {
        if self.ack.pending.contains(AckPending::PUSHED) {
            self.ack.pending |= AckPending::PUSHED2;
        }
        self.ack.pending |= AckPending::PUSHED;
    }

    /// Sends the ACK that is owed, or sees to it that it is sent in time (Linux
    /// `__tcp_ack_snd_check`).
    pub(crate) fn ack_check(&mut self, cx: &mut Cx<'_>) {
        // Not if an ACK has left since the one owed, as that of FIN does.
        if !self.ack.pending.contains(AckPending::SCHEDULED) {
            return;
        }
        if let Some(why) = self.ack_now_reason(cx) {
            self.send_ack(cx, why);
            return;
        }
        if !self.rx.has_out_of_order() {
            self.delay_ack(cx);
            return;
        }
        if !self.has(Agreed::SACK) || self.ack.compressed >= cx.config.comp_sack_nr {
            self.send_ack(cx, AckReason::Gap);
            return;
        }
        // Beyond what starts a fast retransmit, one ACK may stand for several.
        if self.ack.compressed_rcv_nxt != self.rcv_nxt {
            self.ack.compressed_rcv_nxt = self.rcv_nxt;
            self.ack.dup_acks = 0;
        }
        if self.ack.dup_acks < DUP_ACKS_BEFORE_COMPRESSION {
            self.ack.dup_acks += 1;
            self.send_ack(cx, AckReason::Gap);
            return;
        }
        self.ack.compressed += 1;
        if self.timers.compressed.is_none() {
            let rtt = match (self.tuning.rtt, self.rtt.srtt()) {
                (rtt, None) if rtt.is_zero() => cx.config.comp_sack_delay * 20,
                (rtt, None) => rtt,
                (rtt, Some(srtt)) if rtt.is_zero() => srtt,
                (rtt, Some(srtt)) => rtt.min(srtt),
            };
            let delay = (rtt / 20).min(cx.config.comp_sack_delay);
            self.timers.compressed = Some(cx.now + delay);
        }
    }

    fn ack_now_reason(&self, cx: &Cx<'_>) -> Option<AckReason> {
        if self.ack.pending.contains(AckPending::NOW) {
            return Some(AckReason::Gap);
        }
        // RFC 9293 §3.8.6.3: at least every second full segment, while the window moves.
        let unacked = self.rcv_nxt.since(self.rcv_wup);
        if unacked > u32::from(self.ack.rcv_mss) {
            let waiting = self.rcv_nxt.since(self.copied_seq) < self.options.rcvlowat;
            if waiting || self.wanted_window(cx) >= self.rcv_wnd {
                return Some(AckReason::SecondSegment);
            }
        }
        (self.in_quick_ack_mode()).then_some(AckReason::Quick)
    }

    fn in_quick_ack_mode(&self) -> bool {
        self.ack.quick > 0 && !self.ack.pingpong
    }

    /// Linux `tcp_send_delayed_ack`.
    fn delay_ack(&mut self, cx: &mut Cx<'_>) {
        // Before any data there is nothing to learn by waiting: FIN alone is acknowledged with the
        // next tick.
        let mut ato = self.ack.ato.max(TICK);
        if ato > ATO_MIN {
            let mut most = Duration::from_millis(500);
            if self.ack.pingpong || self.ack.pending.contains(AckPending::PUSHED) {
                most = DELACK_MAX;
            }
            // Not later than the peer's timeout would come.
            if let Some(srtt) = self.rtt.srtt() {
                most = most.min(srtt.max(ATO_MIN));
            }
            ato = ato.min(most);
        }
        ato = ato.min(DELACK_MAX);
        let mut at = cx.now + ato;
        if let Some(running) = self.timers.delack {
            // About to expire anyway.
            if running <= cx.now + ato / 4 {
                self.send_ack(cx, AckReason::Delayed);
                return;
            }
            at = at.min(running);
        }
        self.ack.pending |= AckPending::SCHEDULED | AckPending::TIMER;
        self.timers.delack = Some(at);
    }

    /// The delay is over (Linux `tcp_delack_timer_handler`).
    pub(crate) fn delayed_ack_timeout(&mut self, cx: &mut Cx<'_>) {
        self.timers.delack = None;
        self.ack.pending.remove(AckPending::TIMER);
        if !self.ack.pending.contains(AckPending::SCHEDULED) {
            return;
        }
        if self.ack.pingpong {
            // No data came to ride on.
            self.ack.pingpong = false;
            self.ack.ato = ATO_MIN;
        } else {
            self.ack.ato = (self.ack.ato * 2).min(self.rto());
        }
        cx.ext.delayed_acks += 1;
        cx.see(self.id, TcpEvent::Timer(super::event::TcpTimer::DelayedAck));
        self.send_ack(cx, AckReason::Delayed);
    }

    /// The application has read `copied` bytes: does the peer need to know (Linux
    /// `tcp_cleanup_rbuf`)?
    pub(crate) fn after_read(&mut self, cx: &mut Cx<'_>, copied: usize) {
        let mut now = None;
        if self.ack.pending.contains(AckPending::SCHEDULED) {
            let much = self.rcv_nxt.since(self.rcv_wup) > u32::from(self.ack.rcv_mss);
            let pushed = self.ack.pending.contains(AckPending::PUSHED2)
                || (self.ack.pending.contains(AckPending::PUSHED) && !self.ack.pingpong);
            if much {
                now = Some(AckReason::SecondSegment);
            } else if copied > 0 && pushed && self.rx.readable() == 0 {
                now = Some(AckReason::Quick);
            }
        }
        if copied > 0 && now.is_none() && !self.receive_shutdown {
            let current = self.receive_window();
            // RFC 9293 §3.8.6.2.2: only a window worth telling of.
            if current.saturating_mul(2) <= self.window_clamp {
                let wanted = self.wanted_window(cx);
                if wanted > 0 && wanted >= current.saturating_mul(2) {
                    now = Some(AckReason::WindowUpdate);
                }
            }
        }
        if let Some(why) = now
            && self.state.is_synchronized()
        {
            self.send_ack(cx, why);
        }
    }

    /// Measures the time that a window of data takes (Linux `tcp_rcv_rtt_measure`).
    fn measure_receive_rtt(&mut self, now: Instant) {
        let tuning = &mut self.tuning;
        if tuning.rtt_at != Instant::ZERO && self.rcv_nxt.lt(tuning.rtt_seq) {
            return;
        }
        if tuning.rtt_at != Instant::ZERO && tuning.rtt_seq != self.irs {
            let rtt = (now - tuning.rtt_at).max(Duration::from_micros(1));
            if tuning.rtt.is_zero() || rtt < tuning.rtt {
                tuning.rtt = rtt;
            }
        }
        tuning.rtt_seq = self.rcv_nxt + self.rcv_wnd;
        tuning.rtt_at = now;
    }

    /// The same by timestamps, which is exact (Linux `tcp_rcv_rtt_measure_ts`).
    pub(crate) fn measure_receive_rtt_by_timestamp(&mut self, now: Instant, seg: &Segment) {
        let Some((_, echo)) = seg.timestamps else { return };
        if echo == self.tuning.rtt_tsecr || seg.len < u32::from(self.ack.rcv_mss) {
            return;
        }
        self.tuning.rtt_tsecr = echo;
        let elapsed = self.timestamp(now).wrapping_sub(echo);
        if elapsed < 1 << 24 {
            let rtt = Duration::from_millis(u64::from(elapsed.max(1)));
            let old = self.tuning.rtt;
            self.tuning.rtt = if old.is_zero() { rtt } else { old.min(rtt).max(old - old / 8) };
        }
    }
}
