//! Loss recovery: its states, the reduction of the window and taking it back (Linux
//! `tcp_fastretrans_alert` and what it calls).
//!
//! ```text
//! Open ──→ Disorder ──→ Recovery ──→ Open       losses found by RACK or duplicate ACKs
//!   └────────→ Cwr ──────────────→ Open         congestion echoed by ECN, a repaired tail
//! any ──→ Loss ──→ Open                         a retransmission timeout
//! ```

use super::Cx;
use super::ack::{AckFlags, Rexmit};
use super::cc::{CaState, CongestionControl, CwndEvent, INFINITE_SSTHRESH};
use super::event::{TcpEvent, UndoReason};
use super::output::Nagle;
use super::rtx_queue::Marks;
use super::tcb::{Agreed, Tcb};
use super::timer::RtxTimer;
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNumber;

impl Tcb {
    /// Moves loss recovery to another state.
    pub(crate) fn set_ca_state(&mut self, cx: &mut Cx<'_>, to: CaState) {
        let from = self.cs.ca_state;
        let ctx = self.cc_context(cx.now);
        self.cs.set_ca_state(&mut self.cc, &ctx, to);
        if from != to {
            let (cwnd, ssthresh) = (self.cs.cwnd, self.cs.ssthresh);
            cx.see(self.id, TcpEvent::Congestion { from, to, cwnd, ssthresh });
        }
    }

    /// Reacts to an ACK that may tell of loss (RFC 6675, RFC 6582, Linux
    /// `tcp_fastretrans_alert`).
    pub(crate) fn fastretrans_alert(
        &mut self,
        cx: &mut Cx<'_>,
        prior_una: SeqNumber,
        duplicates: u32,
        flags: &mut AckFlags,
    ) -> Rexmit {
        let advanced = flags.has(AckFlags::SND_UNA_ADVANCED);
        if self.rtx.packets_out == 0 {
            self.rtx.sacked_out = 0;
        }
        let ece = flags.has(AckFlags::ECE);
        if ece {
            // What congestion was seen for must not be undone.
            self.recovery.prior_ssthresh = 0;
        }
        if flags.has(AckFlags::SACK_RENEGING) && self.check_reneging(cx, flags) {
            return Rexmit::None;
        }
        if self.cs.ca_state == CaState::Open {
            self.recovery.retrans_stamp = None;
        } else if self.snd_una.ge(self.recovery.high_seq) {
            match self.cs.ca_state {
                CaState::Cwr if self.snd_una != self.recovery.high_seq => {
                    self.end_cwnd_reduction(cx);
                    self.set_ca_state(cx, CaState::Open);
                }
                CaState::Recovery => {
                    if !self.has(Agreed::SACK) {
                        self.rtx.sacked_out = 0;
                    }
                    if self.try_undo_recovery(cx) {
                        return Rexmit::None;
                    }
                    self.end_cwnd_reduction(cx);
                }
                _ => {}
            }
        }
        match self.cs.ca_state {
            CaState::Recovery => {
                if !advanced {
                    if !self.has(Agreed::SACK) {
                        self.add_reno_sacks(cx, duplicates);
                    }
                } else if self.try_undo_partial(cx, prior_una) {
                    return Rexmit::None;
                }
                if self.try_undo_dsack(cx) {
                    self.try_to_open(cx, *flags);
                }
                self.identify_losses(cx, flags);
                if self.cs.ca_state != CaState::Recovery {
                    if !self.time_to_recover() {
                        return Rexmit::None;
                    }
                    self.enter_recovery(cx, ece);
                }
            }
            CaState::Loss => {
                let rexmit = self.process_loss(cx, *flags, duplicates);
                self.identify_losses(cx, flags);
                if self.cs.ca_state != CaState::Open && !flags.has(AckFlags::LOST_RETRANS) {
                    return rexmit;
                }
                // The window was restored, or retransmissions were lost.
                return self.disordered(cx, flags, duplicates, advanced, ece).max_with(rexmit);
            }
            _ => return self.disordered(cx, flags, duplicates, advanced, ece),
        }
        Rexmit::Lost
    }

    /// Open, Disorder and Cwr: is it time to recover?
    fn disordered(
        &mut self,
        cx: &mut Cx<'_>,
        flags: &mut AckFlags,
        duplicates: u32,
        advanced: bool,
        ece: bool,
    ) -> Rexmit {
        if !self.has(Agreed::SACK) {
            if advanced {
                self.rtx.sacked_out = 0;
            }
            self.add_reno_sacks(cx, duplicates);
        }
        if self.cs.ca_state <= CaState::Disorder {
            self.try_undo_dsack(cx);
        }
        self.identify_losses(cx, flags);
        if !self.time_to_recover() {
            self.try_to_open(cx, *flags);
            return Rexmit::None;
        }
        if self.cs.ca_state < CaState::Cwr && self.has_mtu_probe_failed(cx) {
            return Rexmit::None;
        }
        self.enter_recovery(cx, ece);
        Rexmit::Lost
    }

    /// Linux `tcp_time_to_recover`.
    fn time_to_recover(&self) -> bool {
        self.rtx.lost_out > 0
    }

    /// Marks what this ACK shows to be lost (Linux `tcp_identify_packet_loss`).
    fn identify_losses(&mut self, cx: &mut Cx<'_>, flags: &mut AckFlags) {
        if self.rtx.is_empty() {
            return;
        }
        if !self.has(Agreed::SACK) {
            self.newreno_mark_lost(cx, flags.has(AckFlags::SND_UNA_ADVANCED));
            return;
        }
        let before = self.rtx.retrans_out;
        if self.rack_mark_lost(cx) {
            flags.remove(AckFlags::SET_XMIT_TIMER);
        }
        if before > self.rtx.retrans_out {
            *flags |= AckFlags::LOST_RETRANS;
        }
    }

    /// RFC 6582 §3.2: the oldest segment, on the third duplicate ACK and on each partial one.
    fn newreno_mark_lost(&mut self, cx: &mut Cx<'_>, advanced: bool) {
        let first = self.cs.ca_state < CaState::Recovery
            && self.rtx.sacked_out >= self.recovery.reordering.max(1);
        let partial = self.cs.ca_state == CaState::Recovery && advanced;
        if !first && !partial {
            return;
        }
        let Some(head) = self.rtx.first().copied() else { return };
        if head.is(Marks::LOST) {
            return;
        }
        let mss = u32::from(self.mss);
        let at = self.rtx.first_place();
        if head.packets > 1 && head.len() > mss {
            self.rtx.split(at, head.seq + mss);
        }
        self.mark_lost(cx, at);
    }

    /// Counts duplicate ACKs as if they were SACKs (RFC 6582, Linux `tcp_add_reno_sack`).
    fn add_reno_sacks(&mut self, cx: &mut Cx<'_>, duplicates: u32) {
        if duplicates == 0 {
            return;
        }
        let before = self.rtx.sacked_out;
        self.rtx.sacked_out += duplicates;
        // More than can be there: reordering.
        let holes = self.rtx.lost_out.max(1).min(self.rtx.packets_out);
        if self.rtx.sacked_out + holes > self.rtx.packets_out {
            self.rtx.sacked_out = self.rtx.packets_out - holes;
            let reordering = self.rtx.packets_out.min(cx.config.max_reordering);
            self.recovery.reordering = self.recovery.reordering.max(reordering);
            self.recovery.reord_seen += 1;
            cx.ext.tcp_reno_reorder += 1;
        }
        self.rate.count_delivered(self.rtx.sacked_out.saturating_sub(before));
    }

    /// What the duplicates stood for is acknowledged now (Linux `tcp_remove_reno_sacks`).
    pub(crate) fn remove_reno_sacks(&mut self, acked: u32, flags: &mut AckFlags) {
        if flags.has(AckFlags::RETRANS_DATA_ACKED) {
            // Which of the copies arrived cannot be told for any of them.
            flags.remove(AckFlags::ORIG_SACK_ACKED);
        }
        if acked > 0 {
            // One of them filled the hole; the others have been counted as duplicates came.
            self.rate.count_delivered(acked.saturating_sub(self.rtx.sacked_out).max(1));
            self.rtx.sacked_out = self.rtx.sacked_out.saturating_sub(acked - 1);
        }
        let holes = self.rtx.lost_out.max(1).min(self.rtx.packets_out);
        self.rtx.sacked_out = self.rtx.sacked_out.min(self.rtx.packets_out - holes);
    }

    /// The peer has dropped what it had selectively acknowledged: wait a little, then treat it as
    /// a timeout (RFC 2018 §8, Linux `tcp_check_sack_reneging`).
    fn check_reneging(&mut self, cx: &mut Cx<'_>, flags: &mut AckFlags) -> bool {
        // Once: what does not move on must not put the timer off.
        if !flags.has(AckFlags::SND_UNA_ADVANCED) {
            return false;
        }
        flags.remove(AckFlags::SET_XMIT_TIMER);
        let delay = (self.rtt.srtt().unwrap_or_default() / 2).max(Duration::from_millis(10));
        self.timers.rtx = Some((RtxTimer::Retransmit, cx.now + delay));
        true
    }

    /// Fast recovery begins (RFC 6675 §5, Linux `tcp_enter_recovery`).
    pub(crate) fn enter_recovery(&mut self, cx: &mut Cx<'_>, ece: bool) {
        match self.has(Agreed::SACK) {
            true => cx.ext.tcp_sack_recovery += 1,
            false => cx.ext.tcp_reno_recovery += 1,
        }
        self.recovery.prior_ssthresh = 0;
        self.init_undo();
        if !self.cs.in_cwnd_reduction() {
            if !ece {
                self.recovery.prior_ssthresh = self.cs.current_ssthresh();
            }
            self.init_cwnd_reduction(cx);
        }
        self.set_ca_state(cx, CaState::Recovery);
    }

    fn init_undo(&mut self) {
        self.recovery.undo_marker = Some(self.snd_una);
        self.recovery.undo_retrans = match self.rtx.retrans_out {
            // A probe may be reported as a duplicate, too.
            0 if self.tlp.high_seq.is_some() && self.tlp.is_retrans => 1,
            // Nothing retransmitted: nothing will be reported as a duplicate.
            0 => -1,
            packets => packets as i32,
        };
    }

    /// The window is about to shrink (RFC 6937 §3, Linux `tcp_init_cwnd_reduction`).
    pub(crate) fn init_cwnd_reduction(&mut self, cx: &mut Cx<'_>) {
        self.recovery.high_seq = self.snd_nxt;
        self.tlp.high_seq = None;
        self.cs.cwnd_cnt = 0;
        self.cs.prior_cwnd = self.cs.cwnd;
        self.recovery.prr_delivered = 0;
        self.recovery.prr_out = 0;
        let ctx = self.cc_context(cx.now);
        self.cs.ssthresh = self.cc.ssthresh(&self.cs, &ctx);
        self.queue_cwr();
    }

    /// RFC 3168 §6.1.2: the peer is told of the reduction.
    fn queue_cwr(&mut self) {
        if self.has(Agreed::ECN) {
            self.agreed.insert(Agreed::ECN_QUEUE_CWR);
        }
    }

    /// Proportional rate reduction (RFC 6937 §3 with the slow-start reduction bound, Linux
    /// `tcp_cwnd_reduction`).
    pub(crate) fn cwnd_reduction(&mut self, delivered: u32, lost: u32, advanced: bool) {
        if delivered == 0 || self.cs.prior_cwnd == 0 {
            return;
        }
        let in_flight = self.rtx.in_flight();
        let delta = i64::from(self.cs.ssthresh) - i64::from(in_flight);
        self.recovery.prr_delivered += delivered;
        let (prr_delivered, prr_out) =
            (u64::from(self.recovery.prr_delivered), i64::from(self.recovery.prr_out));
        let mut send = if delta < 0 {
            let dividend = u64::from(self.cs.ssthresh) * prr_delivered;
            dividend.div_ceil(u64::from(self.cs.prior_cwnd)) as i64 - prr_out
        } else {
            let mut send = (prr_delivered as i64 - prr_out).max(i64::from(delivered));
            if advanced && lost == 0 {
                send += 1;
            }
            send.min(delta)
        };
        // The first retransmission leaves at once.
        send = send.max(i64::from(prr_out == 0));
        self.cs.cwnd = (i64::from(in_flight) + send).max(1) as u32;
    }

    /// The reduction is complete (Linux `tcp_end_cwnd_reduction`).
    pub(crate) fn end_cwnd_reduction(&mut self, cx: &mut Cx<'_>) {
        if self.cc.has_cong_control() {
            return;
        }
        if self.cs.ssthresh < INFINITE_SSTHRESH
            && (self.cs.ca_state == CaState::Cwr || self.recovery.undo_marker.is_some())
        {
            self.cs.cwnd = self.cs.ssthresh.max(1);
            self.cs.cwnd_stamp = cx.now;
        }
        let ctx = self.cc_context(cx.now);
        self.cc.cwnd_event(&mut self.cs, &ctx, CwndEvent::CompleteCwr);
    }

    /// The window is to be reduced without a loss (RFC 3168 §6.1.2, Linux `tcp_enter_cwr`).
    pub(crate) fn enter_cwr(&mut self, cx: &mut Cx<'_>) {
        self.recovery.prior_ssthresh = 0;
        if self.cs.ca_state < CaState::Cwr {
            self.recovery.undo_marker = None;
            self.init_cwnd_reduction(cx);
            self.set_ca_state(cx, CaState::Cwr);
        }
    }

    /// Linux `tcp_try_to_open`.
    fn try_to_open(&mut self, cx: &mut Cx<'_>, flags: AckFlags) {
        if self.rtx.retrans_out == 0 && !self.any_retrans() {
            self.recovery.retrans_stamp = None;
        }
        if flags.has(AckFlags::ECE) {
            self.enter_cwr(cx);
        }
        if self.cs.ca_state != CaState::Cwr {
            self.try_keep_open(cx);
        }
    }

    /// Linux `tcp_try_keep_open`.
    pub(crate) fn try_keep_open(&mut self, cx: &mut Cx<'_>) {
        let left_out = self.rtx.sacked_out + self.rtx.lost_out;
        let state = match left_out > 0 || self.any_retrans() {
            true => CaState::Disorder,
            false => CaState::Open,
        };
        if self.cs.ca_state != state {
            self.set_ca_state(cx, state);
            self.recovery.high_seq = self.snd_nxt;
        }
    }

    /// Linux `tcp_any_retrans_done`.
    fn any_retrans(&self) -> bool {
        self.rtx.retrans_out > 0
            || self.rtx.first().is_some_and(|head| head.is(Marks::EVER_RETRANS))
    }

    /// Whether what was retransmitted had arrived: the ACK echoes a time before the first
    /// retransmission (RFC 3522 §3.2, Linux `tcp_packet_delayed`).
    fn packet_delayed(&self) -> bool {
        self.recovery.retrans_stamp.is_some_and(|stamp| self.echoes_before(stamp))
    }

    /// Whether the segment being processed echoes a timestamp from before that time.
    pub(crate) fn echoes_before(&self, at: Instant) -> bool {
        self.has(Agreed::TIMESTAMPS)
            && self.rcv_tsecr != 0
            && (self.rcv_tsecr.wrapping_sub(self.timestamp(at)) as i32) < 0
    }

    fn may_undo(&self) -> bool {
        self.recovery.undo_marker.is_some()
            && (self.recovery.undo_retrans == 0 || self.packet_delayed())
    }

    /// Linux `tcp_undo_cwnd_reduction`.
    fn undo_cwnd_reduction(&mut self, cx: &mut Cx<'_>, unmark_loss: bool, why: UndoReason) {
        if unmark_loss {
            self.rtx.unmark_lost();
        }
        if self.recovery.prior_ssthresh > 0 {
            let ctx = self.cc_context(cx.now);
            self.cs.cwnd = self.cc.undo_cwnd(&mut self.cs, &ctx).max(1);
            if self.recovery.prior_ssthresh > self.cs.ssthresh {
                self.cs.ssthresh = self.recovery.prior_ssthresh;
                self.agreed.remove(Agreed::ECN_QUEUE_CWR);
            }
        }
        self.cs.cwnd_stamp = cx.now;
        self.recovery.undo_marker = None;
        self.rack.advanced = true;
        cx.see(self.id, TcpEvent::Undo { why, cwnd: self.cs.cwnd });
    }

    /// Everything up to the recovery point is acknowledged (Linux `tcp_try_undo_recovery`). Tells
    /// whether the state stays for another ACK.
    fn try_undo_recovery(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.may_undo() {
            let loss = self.cs.ca_state == CaState::Loss;
            let why = match self.packet_delayed() {
                true => UndoReason::Timestamps,
                false => UndoReason::Dsack,
            };
            self.undo_cwnd_reduction(cx, false, why);
            match loss {
                true => cx.ext.tcp_loss_undo += 1,
                false => cx.ext.tcp_full_undo += 1,
            }
        } else {
            self.rack.reo_wnd_persist = self.rack.reo_wnd_persist.saturating_sub(1);
        }
        if self.snd_una == self.recovery.high_seq && !self.has(Agreed::SACK) {
            // RFC 6582 §3.2 step 1: duplicates of the ACKs before must not start another.
            if !self.any_retrans() {
                self.recovery.retrans_stamp = None;
            }
            return true;
        }
        self.set_ca_state(cx, CaState::Open);
        self.recovery.is_sack_reneg = false;
        false
    }

    /// Every retransmission was a duplicate (RFC 3708, Linux `tcp_try_undo_dsack`).
    fn try_undo_dsack(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.recovery.undo_marker.is_none() || self.recovery.undo_retrans != 0 {
            return false;
        }
        self.rack.reo_wnd_persist = self.rack.reo_wnd_persist.saturating_add(1).min(16);
        self.undo_cwnd_reduction(cx, false, UndoReason::Dsack);
        cx.ext.tcp_dsack_undo += 1;
        true
    }

    /// A partial ACK that echoes a time before the retransmissions (Linux
    /// `tcp_try_undo_partial`). Tells whether to wait for what is in flight.
    fn try_undo_partial(&mut self, cx: &mut Cx<'_>, prior_una: SeqNumber) -> bool {
        if self.recovery.undo_marker.is_none() || !self.packet_delayed() {
            return false;
        }
        self.check_sack_reordering(cx, prior_una);
        // Until all retransmissions are accounted for, nothing is known.
        if self.rtx.retrans_out > 0 {
            return true;
        }
        if !self.any_retrans() {
            self.recovery.retrans_stamp = None;
        }
        self.undo_cwnd_reduction(cx, true, UndoReason::Timestamps);
        cx.ext.tcp_partial_undo += 1;
        self.try_keep_open(cx);
        false
    }

    /// A timeout was spurious (Linux `tcp_try_undo_loss`).
    fn try_undo_loss(&mut self, cx: &mut Cx<'_>, frto: bool) -> bool {
        if !frto && !self.may_undo() {
            return false;
        }
        let why = match (frto, self.packet_delayed()) {
            (true, _) => UndoReason::Frto,
            (false, true) => UndoReason::Timestamps,
            (false, false) => UndoReason::Dsack,
        };
        self.undo_cwnd_reduction(cx, true, why);
        cx.ext.tcp_loss_undo += 1;
        if frto {
            cx.ext.tcp_spurious_rtos += 1;
        }
        self.retransmits = 0;
        if self.snd_una == self.recovery.high_seq && !self.has(Agreed::SACK) {
            return true;
        }
        if frto || self.has(Agreed::SACK) {
            self.set_ca_state(cx, CaState::Open);
            self.recovery.is_sack_reneg = false;
        }
        true
    }

    /// A timeout: everything is taken to be lost but what RACK has hope for (RFC 6298 (5.4), RFC
    /// 8985 §6.3, Linux `tcp_enter_loss`).
    pub(crate) fn enter_loss(&mut self, cx: &mut Cx<'_>) {
        let new_recovery = self.cs.ca_state < CaState::Recovery;
        self.mark_lost_by_timeout(cx);
        if self.cs.ca_state <= CaState::Disorder
            || self.recovery.high_seq.le(self.snd_una)
            || (self.cs.ca_state == CaState::Loss && self.retransmits == 0)
        {
            self.recovery.prior_ssthresh = self.cs.current_ssthresh();
            self.cs.prior_cwnd = self.cs.cwnd;
            let ctx = self.cc_context(cx.now);
            self.cs.ssthresh = self.cc.ssthresh(&self.cs, &ctx);
            self.cc.cwnd_event(&mut self.cs, &ctx, CwndEvent::Loss);
            self.init_undo();
        }
        // RFC 5681 §3.1: a window of one, beside what is still in flight.
        self.cs.cwnd = self.rtx.in_flight() + 1;
        self.cs.cwnd_cnt = 0;
        self.cs.cwnd_stamp = cx.now;
        // A timeout in spite of many duplicates: the reordering assumed was too much.
        if self.cs.ca_state <= CaState::Disorder && self.rtx.sacked_out >= cx.config.reordering {
            self.recovery.reordering = self.recovery.reordering.min(cx.config.reordering);
        }
        self.set_ca_state(cx, CaState::Loss);
        self.recovery.high_seq = self.snd_nxt;
        self.tlp.high_seq = None;
        self.queue_cwr();
        // RFC 5682 §2.1 step 1.
        self.recovery.frto = cx.config.frto && (new_recovery || self.retransmits > 0);
    }

    fn mark_lost_by_timeout(&mut self, cx: &mut Cx<'_>) {
        let reneged = self.rtx.first().is_some_and(|head| head.is(Marks::SACKED));
        if reneged {
            cx.ext.tcp_sack_reneging += 1;
            self.recovery.is_sack_reneg = true;
            self.recovery.highest_sack = None;
        } else if !self.has(Agreed::SACK) {
            self.rtx.sacked_out = 0;
        }
        let mut next = self.snd_una;
        while let Some(at) = self.rtx.any_from(next) {
            let Some(sent) = self.rtx.get(at).copied() else { break };
            next = sent.end;
            if reneged {
                self.rtx.mark(at, Marks::empty(), Marks::SACKED);
            } else if at != self.rtx.first_place()
                && self.has(Agreed::SACK)
                && self.rack_not_yet_lost(cx, &sent)
            {
                continue;
            }
            self.mark_lost(cx, at);
        }
    }

    /// An ACK after a timeout (RFC 5682 §2.1 and §3.1, Linux `tcp_process_loss`).
    fn process_loss(&mut self, cx: &mut Cx<'_>, flags: AckFlags, duplicates: u32) -> Rexmit {
        let advanced = flags.has(AckFlags::SND_UNA_ADVANCED);
        let recovered = self.snd_una.ge(self.recovery.high_seq);
        if advanced && self.try_undo_loss(cx, false) {
            return Rexmit::None;
        }
        if self.recovery.frto {
            // Step 3 (b): something that was not sent again was delivered.
            if flags.has(AckFlags::ORIG_SACK_ACKED) && self.try_undo_loss(cx, true) {
                return Rexmit::None;
            }
            if self.snd_nxt.gt(self.recovery.high_seq) {
                // Step 3 (a): the loss was real.
                if flags.has(AckFlags::DATA_SACKED) || duplicates > 0 {
                    self.recovery.frto = false;
                }
            } else if advanced && !recovered {
                // Step 2 (b): two new segments, if there are any.
                self.recovery.high_seq = self.snd_nxt;
                if self.has_unsent() && self.window_end().gt(self.snd_nxt) {
                    return Rexmit::New;
                }
                self.recovery.frto = false;
            }
        }
        if recovered {
            self.try_undo_recovery(cx);
            return Rexmit::None;
        }
        if !self.has(Agreed::SACK) {
            if self.snd_nxt.gt(self.recovery.high_seq) && duplicates > 0 {
                self.add_reno_sacks(cx, duplicates);
            } else if advanced {
                self.rtx.sacked_out = 0;
            }
        }
        Rexmit::Lost
    }

    /// Sends what recovery asks for (Linux `tcp_xmit_recovery`).
    pub(crate) fn transmit_recovery(&mut self, cx: &mut Cx<'_>, rexmit: Rexmit) {
        match rexmit {
            Rexmit::None => return,
            Rexmit::New => {
                self.push_pending(cx, Nagle::Off);
                if self.snd_nxt.gt(self.recovery.high_seq) {
                    return;
                }
                self.recovery.frto = false;
            }
            Rexmit::Lost => {}
        }
        self.retransmit_lost(cx);
    }
}

impl Rexmit {
    /// The one that asks for more.
    fn max_with(self, other: Rexmit) -> Rexmit {
        if self == Rexmit::None { other } else { self }
    }
}
