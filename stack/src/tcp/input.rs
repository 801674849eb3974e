//! Segments that arrive on a connection (RFC 9293 §3.10.7, Linux `tcp_rcv_state_process`).

use super::Cx;
use super::ack::{AckVerdict, PAWS_24_DAYS};
use super::event::{AckReason, TcpEvent};
use super::output::Nagle;
use super::rtx_queue::Marks;
use super::segment::Segment;
use super::state::TcpState;
use super::tcb::{Agreed, Tcb};
use crate::packet::Packet;
use crate::socket::SocketError;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::seq::SeqNumber;

/// What became of a segment.
#[derive(Debug)]
pub(crate) enum Disposition {
    /// It has been dealt with.
    Done,
    /// It was discarded.
    Drop(Packet, DropReason),
    /// Its sender is to be reset.
    Reset(Packet, DropReason),
}

impl Tcb {
    /// Takes a segment; `packet`'s bytes begin with the TCP header.
    pub(crate) fn input(
        &mut self,
        cx: &mut Cx<'_>,
        seg: &Segment,
        mut packet: Packet,
    ) -> Disposition {
        self.segs_in += u32::from(seg.segments);
        if seg.len > 0 {
            self.data_segs_in += u32::from(seg.segments);
        }
        self.rcv_tsecr = seg.timestamps.map_or(0, |(_, echo)| echo);
        match self.state {
            TcpState::Closed | TcpState::Listen | TcpState::TimeWait => {
                return Disposition::Reset(packet, DropReason::TcpClosed);
            }
            TcpState::SynSent => return self.input_syn_sent(cx, seg, packet),
            _ => {}
        }
        if let Err(reason) = self.validate(cx, seg) {
            return Disposition::Drop(packet, reason);
        }
        // RFC 9293 §3.10.7.4: if the ACK bit is off, drop.
        if !seg.has_ack() {
            return Disposition::Drop(packet, DropReason::TcpFlags);
        }
        let opening = self.is_opening();
        let verdict = match opening {
            true if !self.acceptable_syn_ack_ack(seg) => AckVerdict::Bad,
            _ => self.process_ack(cx, seg),
        };
        match verdict {
            AckVerdict::Bad | AckVerdict::Old if opening => {
                return Disposition::Reset(packet, DropReason::TcpInvalidAck);
            }
            AckVerdict::Bad => {
                self.refuse_ack(cx);
                return Disposition::Drop(packet, DropReason::TcpInvalidAck);
            }
            AckVerdict::Good | AckVerdict::Old => {}
        }
        if opening {
            self.opened(cx, seg);
        }
        if let Some(disposition) = self.after_ack(cx, seg, &mut packet) {
            return disposition;
        }
        self.note_urgent(cx, seg, &packet);
        let mut dropped = None;
        if seg.len > 0 || seg.fin() {
            match self.accepts_text(cx, seg) {
                Ok(()) => {
                    self.measure_receive_rtt_by_timestamp(cx.now, seg);
                    packet.pull(seg.header_len);
                    if let Err(refused) = self.data_queue(cx, seg, packet) {
                        dropped = Some(refused);
                    }
                }
                Err(Some(reason)) => return Disposition::Reset(packet, reason),
                // Its acknowledgment counts all the same.
                Err(None) => dropped = Some((packet, DropReason::TcpAfterFin)),
            }
        } else {
            self.answer_probe(cx, seg);
            cx.pool.put(packet);
        }
        // TIME-WAIT has acknowledged the FIN already.
        if self.state != TcpState::Closed && self.time_wait.is_none() {
            self.data_check(cx);
            self.ack_check(cx);
        }
        match dropped {
            Some((packet, reason)) => Disposition::Drop(packet, reason),
            None => Disposition::Done,
        }
    }

    /// New data that the ACK made room for (Linux `tcp_data_snd_check`), and room in the send
    /// buffer.
    fn data_check(&mut self, cx: &mut Cx<'_>) {
        self.push_pending(cx, Nagle::Options);
        if self.cs.cwnd > self.rtx.packets_out || self.wants_space {
            self.expand_send_buffer(cx);
        }
    }

    /// RFC 9293 §3.10.7.4, first to fourth check, with RFC 7323 §5.3 and RFC 5961 (Linux
    /// `tcp_validate_incoming`).
    fn validate(&mut self, cx: &mut Cx<'_>, seg: &Segment) -> Result<(), DropReason> {
        // RFC 7323 §5.3 R1: timestamps protect against old segments, but resets need none.
        if self.fails_paws(cx.now, seg) && !seg.rst() {
            if seg.syn() {
                return self.challenge_syn(cx);
            }
            cx.ext.paws_estab_rejected += 1;
            if self.may_answer_out_of_window(cx, seg) {
                self.send_duplicate_ack(cx, seg);
            }
            return Err(DropReason::TcpPaws);
        }
        if !self.is_in_window(seg) {
            // Simultaneous open: the SYN comes again, with ACK now.
            if seg.rst() {
                return Err(self.reset_out_of_window(cx, seg));
            }
            if seg.syn() {
                return self.challenge_syn(cx);
            }
            if self.may_answer_out_of_window(cx, seg) {
                self.send_duplicate_ack(cx, seg);
            }
            return Err(DropReason::TcpOutOfWindow);
        }
        if seg.rst() {
            return Err(self.receive_reset(cx, seg));
        }
        if seg.syn() {
            // A SYN-ACK that answers our SYN in a simultaneous open.
            if self.is_opening()
                && seg.has_ack()
                && seg.seq + 1 == self.rcv_nxt
                && seg.ack == self.snd_nxt
            {
                return Ok(());
            }
            return self.challenge_syn(cx);
        }
        Ok(())
    }

    /// RFC 5961 §4.2: a SYN on a synchronized connection may be forged; the peer resets us if not.
    fn challenge_syn(&mut self, cx: &mut Cx<'_>) -> Result<(), DropReason> {
        cx.ext.tcp_syn_challenge += 1;
        self.challenge(cx, AckReason::Challenge);
        Err(DropReason::TcpInvalidSyn)
    }

    /// Sends a challenge ACK, unless there have been enough (RFC 5961 §7).
    pub(crate) fn challenge(&mut self, cx: &mut Cx<'_>, why: AckReason) {
        if self.is_rate_limited(cx) {
            cx.ext.tcp_ack_skipped_challenge += 1;
            return;
        }
        if !cx.challenges.allow(cx.now, cx.config.challenge_ack_limit) {
            return;
        }
        cx.ext.tcp_challenge_ack += 1;
        self.send_ack(cx, why);
    }

    /// Linux `tcp_oow_rate_limited`: segments with data are always answered.
    fn may_answer_out_of_window(&mut self, cx: &mut Cx<'_>, seg: &Segment) -> bool {
        if seg.seq != seg.end && !seg.syn() {
            return true;
        }
        if self.is_rate_limited(cx) {
            cx.ext.tcp_ack_skipped_seq += 1;
            return false;
        }
        true
    }

    fn is_rate_limited(&mut self, cx: &Cx<'_>) -> bool {
        if let Some(last) = self.last_oow_ack_at
            && cx.now - last < cx.config.invalid_ratelimit
        {
            return true;
        }
        self.last_oow_ack_at = Some(cx.now);
        false
    }

    /// An ACK for something that came before or does not fit (Linux `tcp_send_dupack`).
    fn send_duplicate_ack(&mut self, cx: &mut Cx<'_>, seg: &Segment) {
        if seg.end != seg.seq && seg.seq.lt(self.rcv_nxt) {
            cx.ext.delayed_ack_lost += 1;
            self.enter_quick_ack(super::output::MAX_QUICKACKS);
            let end = seg.end.earlier(self.rcv_nxt);
            self.set_duplicate(cx, seg.seq, end);
        }
        self.send_ack(cx, AckReason::Duplicate);
    }

    /// RFC 7323 §5.3: a timestamp older than what was seen, unless that is too old itself (§5.5).
    fn fails_paws(&self, now: Instant, seg: &Segment) -> bool {
        let Some((value, _)) = seg.timestamps.filter(|_| self.has(Agreed::TIMESTAMPS)) else {
            return false;
        };
        let Some(stored) = self.ts_recent_at else { return false };
        // Half way round is neither older nor newer.
        if (self.ts_recent.wrapping_sub(value) as i32) <= 0 || now - stored > PAWS_24_DAYS {
            return false;
        }
        // Linux `tcp_disordered_ack`: a pure ACK of the same window may be reordered by the other
        // end itself.
        !self.is_disordered_ack(now, seg, value)
    }

    fn is_disordered_ack(&self, now: Instant, seg: &Segment, value: u32) -> bool {
        let window = u32::from(seg.window) << self.snd_wscale;
        let _ = now;
        let rto = self.rto().as_millis() as i32;
        seg.has_ack()
            && seg.seq == seg.end
            && seg.seq == self.rcv_nxt
            && seg.ack == self.snd_una
            && window == self.snd_wnd
            && (self.ts_recent.wrapping_sub(value) as i32) <= rto.max(1)
    }

    /// RFC 9293 §3.4: the table of acceptable segments, as Linux `tcp_sequence` has it.
    fn is_in_window(&self, seg: &Segment) -> bool {
        seg.end.ge(self.rcv_wup) && seg.seq.le(self.rcv_nxt + self.receive_window())
    }

    /// RFC 5961 §3.2: only a RST at exactly `RCV.NXT` is believed.
    fn receive_reset(&mut self, cx: &mut Cx<'_>, seg: &Segment) -> DropReason {
        let mut matches = seg.seq == self.rcv_nxt;
        // Linux: the end of what arrived out of order is as unlikely to be guessed.
        if !matches && self.has(Agreed::SACK) && self.rx.has_out_of_order() {
            let list = self.rx.sack_blocks();
            let highest = list.iter().map(|block| block.right).reduce(SeqNumber::later);
            matches = highest == Some(seg.seq);
        }
        if matches || self.is_reset_of_fin(seg) {
            self.reset(cx);
            return DropReason::TcpReset;
        }
        self.challenge(cx, AckReason::Challenge);
        DropReason::TcpInvalidReset
    }

    /// macOS resets with the number before the FIN that it has sent (Linux `tcp_reset_check`).
    fn is_reset_of_fin(&self, seg: &Segment) -> bool {
        seg.seq + 1 == self.rcv_nxt
            && matches!(self.state, TcpState::CloseWait | TcpState::LastAck | TcpState::Closing)
    }

    fn reset_out_of_window(&mut self, cx: &mut Cx<'_>, seg: &Segment) -> DropReason {
        if self.is_reset_of_fin(seg) {
            self.reset(cx);
            return DropReason::TcpReset;
        }
        DropReason::TcpInvalidReset
    }

    /// The peer has reset the connection (Linux `tcp_reset`).
    fn reset(&mut self, cx: &mut Cx<'_>) {
        let error = match self.state {
            // RFC 9293 §3.10.7.4 step 2: also when the SYNs have crossed.
            TcpState::SynSent | TcpState::SynReceived => SocketError::ConnectionRefused,
            TcpState::CloseWait => SocketError::BrokenPipe,
            _ => SocketError::ConnectionReset,
        };
        self.fail(cx, error);
    }

    /// Keeps the peer's timestamp for echoing (RFC 7323 §4.3, Linux `tcp_replace_ts_recent`).
    pub(crate) fn store_timestamp(&mut self, now: Instant, seg: &Segment) {
        let Some((value, _)) = seg.timestamps.filter(|_| self.has(Agreed::TIMESTAMPS)) else {
            return;
        };
        if seg.seq.gt(self.rcv_wup) {
            return;
        }
        let old = self.ts_recent_at.is_none_or(|stored| now - stored > PAWS_24_DAYS);
        if old || (self.ts_recent.wrapping_sub(value) as i32) <= 0 {
            self.ts_recent = value;
            self.ts_recent_at = Some(now);
        }
    }

    /// Our SYN-ACK is not acknowledged: SYN-RECEIVED, or FIN-WAIT-1 when the application has closed
    /// already (RFC 9293 §3.10.4).
    fn is_opening(&self) -> bool {
        self.state == TcpState::SynReceived
            || self.rtx.first().is_some_and(|sent| sent.is(Marks::SYN))
    }

    /// Our SYN-ACK is acknowledged (RFC 9293 §3.10.7.4 step 5, SYN-RECEIVED).
    fn opened(&mut self, cx: &mut Cx<'_>, seg: &Segment) {
        self.snd_wnd = u32::from(seg.window) << if seg.syn() { 0 } else { self.snd_wscale };
        self.snd_wl1 = seg.seq;
        self.max_window = self.snd_wnd;
        self.sync_mss(cx.config, self.pmtu);
        if self.state == TcpState::SynReceived {
            self.set_state(cx, TcpState::Established);
        }
        self.establish(cx);
        if seg.syn() {
            // The SYN is there already, and is answered as any duplicate.
            self.set_duplicate(cx, seg.seq, seg.seq + 1);
        }
    }

    fn acceptable_syn_ack_ack(&self, seg: &Segment) -> bool {
        seg.ack.gt(self.snd_una) && seg.ack.le(self.snd_nxt)
    }

    /// What an acknowledgment means to the state (RFC 9293 §3.10.7.4 step 5).
    fn after_ack(
        &mut self,
        cx: &mut Cx<'_>,
        seg: &Segment,
        packet: &mut Packet,
    ) -> Option<Disposition> {
        let all_acked = self.snd_una == self.write_seq;
        match self.state {
            TcpState::FinWait1 if all_acked => {
                self.set_state(cx, TcpState::FinWait2);
                self.send_shutdown = true;
                if !self.orphan {
                    return None;
                }
                self.enter_orphaned_fin_wait_2(cx, seg, packet)
            }
            TcpState::Closing if all_acked => {
                self.time_wait = Some((false, cx.config.timewait_len));
                cx.pool.put(core::mem::take(packet));
                Some(Disposition::Done)
            }
            TcpState::LastAck if all_acked => {
                self.done(cx);
                cx.pool.put(core::mem::take(packet));
                Some(Disposition::Done)
            }
            _ => None,
        }
    }

    /// Our FIN is acknowledged and nobody reads any more.
    fn enter_orphaned_fin_wait_2(
        &mut self,
        cx: &mut Cx<'_>,
        seg: &Segment,
        packet: &mut Packet,
    ) -> Option<Disposition> {
        let wait = self.options.linger2.unwrap_or(cx.config.fin_timeout);
        let beyond = seg.end - u32::from(seg.fin());
        if wait.is_zero() {
            self.done(cx);
            cx.ext.tcp_abort_on_data += 1;
            return Some(Disposition::Reset(core::mem::take(packet), DropReason::TcpClosed));
        }
        if seg.end != seg.seq && beyond.gt(self.rcv_nxt) {
            // Data that nobody will read.
            self.done(cx);
            cx.ext.tcp_abort_on_data += 1;
            return Some(Disposition::Reset(core::mem::take(packet), DropReason::TcpAfterClose));
        }
        if wait > cx.config.timewait_len {
            self.timers.keepalive = Some(cx.now + (wait - cx.config.timewait_len));
            None
        } else if seg.fin() {
            self.timers.keepalive = Some(cx.now + wait);
            None
        } else {
            self.time_wait = Some((true, wait));
            cx.pool.put(core::mem::take(packet));
            Some(Disposition::Done)
        }
    }

    /// Whether data may come in this state; if not, whether its sender is to be reset.
    fn accepts_text(&mut self, cx: &mut Cx<'_>, seg: &Segment) -> Result<(), Option<DropReason>> {
        match self.state {
            // RFC 9293 §3.10.7.4 step 7: after FIN there is nothing more, though it may overlap.
            TcpState::CloseWait | TcpState::Closing | TcpState::LastAck
                if seg.end.gt(self.rcv_nxt) =>
            {
                return Err(None);
            }
            // RFC 9293 §3.6.1, RFC 1122 §4.2.2.13: data that nobody will read is answered with RST.
            TcpState::FinWait1 | TcpState::FinWait2
                if self.receive_shutdown
                    && seg.len > 0
                    && (seg.end - u32::from(seg.fin())).gt(self.rcv_nxt) =>
            {
                cx.ext.tcp_abort_on_data += 1;
                self.done(cx);
                return Err(Some(DropReason::TcpAfterClose));
            }
            _ => {}
        }
        Ok(())
    }

    /// A segment without data below the window asks whether we are here: keepalive and window
    /// probes (RFC 9293 §3.8.4).
    fn answer_probe(&mut self, cx: &mut Cx<'_>, seg: &Segment) {
        if seg.seq.lt(self.rcv_nxt) && seg.seq + 1 == self.rcv_nxt {
            self.send_ack(cx, AckReason::Probe);
        }
    }

    /// Changes the state.
    pub(crate) fn set_state(&mut self, cx: &mut Cx<'_>, to: TcpState) {
        let from = core::mem::replace(&mut self.state, to);
        if from == to {
            return;
        }
        let counted = |state| matches!(state, TcpState::Established | TcpState::CloseWait);
        match (counted(from), counted(to)) {
            (false, true) => cx.tcp.curr_estab += 1,
            (true, false) => cx.tcp.curr_estab = cx.tcp.curr_estab.saturating_sub(1),
            _ => {}
        }
        // RFC 4022 tcpAttemptFails, tcpEstabResets.
        if to == TcpState::Closed {
            let attempt = matches!(from, TcpState::SynSent | TcpState::SynReceived);
            cx.tcp.attempt_fails += u64::from(attempt);
            cx.tcp.estab_resets += u64::from(counted(from));
        }
        cx.see(self.id, TcpEvent::State { from, to });
    }
}
