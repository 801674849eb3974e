//! What an acknowledgment tells (RFC 9293 §3.10.7.4 step 5, RFC 2018 §5, Linux `tcp_ack`).

use super::Cx;
use super::cc::{AckSample, CaState, CongestionControl, RateSample, window};
use super::config::TcpConfig;
use super::event::{AckReason, TcpEvent};
use super::rtx_queue::{Marks, Place};
use super::segment::{MAX_SACKS, Segment};
use super::state::TcpState;
use super::tcb::{Agreed, Tcb};
use super::timer::RtxTimer;
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::TcpFlags;
use crate::wire::tcp_options::SackBlock;

/// RFC 7323 §5.5: how long a timestamp of the peer's is believed.
pub(crate) const PAWS_24_DAYS: Duration = Duration::from_secs(24 * 24 * 3600);

bitflags::bitflags! {
    /// What an ACK did (Linux `FLAG_*`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub(crate) struct AckFlags: u16 {
        /// The segment carried data.
        const DATA = 1;
        /// It changed the window.
        const WIN_UPDATE = 2;
        /// It acknowledged new data.
        const DATA_ACKED = 4;
        /// Some of that had been retransmitted.
        const RETRANS_DATA_ACKED = 8;
        /// It acknowledged our SYN.
        const SYN_ACKED = 16;
        /// It selectively acknowledged new data.
        const DATA_SACKED = 32;
        /// It echoed congestion.
        const ECE = 64;
        /// `snd_una` advanced.
        const SND_UNA_ADVANCED = 128;
        /// It carried a D-SACK block.
        const DSACKING = 256;
        /// Something that was never retransmitted was delivered while recovering.
        const ORIG_SACK_ACKED = 512;
        /// A retransmission was found lost.
        const LOST_RETRANS = 1024;
        /// The retransmission timer is to be set anew.
        const SET_XMIT_TIMER = 2048;
        /// A D-SACK block for the tail loss probe.
        const DSACK_TLP = 4096;
        /// The peer takes back what it had selectively acknowledged.
        const SACK_RENEGING = 8192;
    }
}

impl AckFlags {
    const ACKED: AckFlags = AckFlags::DATA_ACKED.union(AckFlags::SYN_ACKED);
    const NOT_DUP: AckFlags = AckFlags::DATA
        .union(AckFlags::WIN_UPDATE)
        .union(AckFlags::DATA_ACKED)
        .union(AckFlags::SYN_ACKED);

    pub(crate) fn has(self, flags: AckFlags) -> bool {
        self.intersects(flags)
    }
}

/// What is to be retransmitted after an ACK (Linux `REXMIT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rexmit {
    None,
    Lost,
    /// New data first, to find out whether the timeout was spurious (RFC 5682).
    New,
}

/// How an acknowledgment number was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AckVerdict {
    /// In range.
    Good,
    /// Old; nothing was taken from it but SACK blocks.
    Old,
    /// Out of range: the segment is discarded.
    Bad,
}

/// What is gathered while SACK blocks are read (Linux `tcp_sacktag_state`).
struct SackState {
    flags: AckFlags,
    /// The lowest number that came after a higher one: the extent of reordering.
    reord: SeqNumber,
    /// When the first and the last segment newly acknowledged were sent.
    first_sent: Option<Instant>,
    last_sent: Option<Instant>,
    delivered: u32,
    rs: RateSample,
}

impl Tcb {
    /// Processes the acknowledgment of a segment.
    pub(crate) fn process_ack(&mut self, cx: &mut Cx<'_>, seg: &Segment) -> AckVerdict {
        let prior_una = self.snd_una;
        // RFC 5961 §5.2; and what was never sent cannot have been acknowledged before.
        let known = u64::from(self.max_window).min(self.bytes_acked) as u32;
        if seg.ack.lt(prior_una - known) || seg.ack.gt(self.snd_nxt) {
            return AckVerdict::Bad;
        }
        // Only now is it sure that the segment is acceptable (RFC 7323 §5.3 R3).
        self.store_timestamp(cx.now, seg);
        if seg.ack.lt(prior_una) {
            return self.old_ack(cx, seg);
        }
        let mut state = SackState {
            flags: AckFlags::empty(),
            reord: self.snd_nxt,
            first_sent: None,
            last_sent: None,
            delivered: 0,
            rs: RateSample::default(),
        };
        state.rs.prior_in_flight = self.rtx.in_flight();
        let prior_packets = self.rtx.packets_out;
        let prior_lost = self.recovery.lost;
        let is_sack_reneg = self.recovery.is_sack_reneg;
        let prior_fack = self.recovery.highest_sack.unwrap_or(self.snd_una);
        if seg.len > 0 {
            state.flags |= AckFlags::DATA;
        }
        if seg.ack.gt(prior_una) {
            state.flags |= AckFlags::SND_UNA_ADVANCED;
            self.retransmits = 0;
        }
        self.update_window(cx.config, seg, &mut state.flags);
        let advanced = seg.ack.since(prior_una);
        let is_syn = self.state == TcpState::SynReceived;
        self.bytes_acked += u64::from(advanced.saturating_sub(u32::from(is_syn)));
        let prior_delivered = self.rate.delivered();
        if !seg.sacks.is_empty() && self.has(Agreed::SACK) {
            self.tag_sacked(cx, seg, prior_una, &mut state);
        }
        // RFC 3168 §6.1.2: an echo asks for a reduction, once a window.
        if self.has(Agreed::ECN) && seg.is(TcpFlags::ECE) && !seg.syn() {
            state.flags |= AckFlags::ECE;
        }
        self.soft_error = None;
        self.probes_out = 0;
        self.last_ack_at = cx.now;
        if prior_packets == 0 {
            self.snd_una = seg.ack;
            self.ack_without_data(cx, seg, &mut state);
            return AckVerdict::Good;
        }
        self.clean_rtx_queue(cx, seg, prior_una, prior_fack, &mut state);
        self.rack_update_reo_wnd(&state.rs);
        let plain_duplicate = !state
            .flags
            .has(AckFlags::SND_UNA_ADVANCED | AckFlags::NOT_DUP | AckFlags::DATA_SACKED);
        self.tlp_process_ack(cx, seg.ack, state.flags.has(AckFlags::DSACK_TLP), plain_duplicate);
        let mut rexmit = Rexmit::None;
        if self.is_dubious(state.flags) {
            let no_duplicate = AckFlags::SND_UNA_ADVANCED | AckFlags::NOT_DUP | AckFlags::DSACKING;
            let duplicates = match state.flags.has(no_duplicate) {
                true => 0,
                false => u32::from(seg.segments).max(1),
            };
            rexmit = self.fastretrans_alert(cx, prior_una, duplicates, &mut state.flags);
        }
        if state.flags.has(AckFlags::SET_XMIT_TIMER) {
            self.set_xmit_timer(cx);
        }
        // Without SACK, duplicates have been counted by now as well.
        let delivered = (self.rate.delivered() - prior_delivered) as u32;
        if state.flags.has(AckFlags::ECE) {
            self.delivered_ce += delivered;
        }
        let lost = (self.recovery.lost - prior_lost) as u32;
        let reneg = is_sack_reneg;
        self.rate.generate(cx.now, delivered, lost, reneg, self.rtt.min_rtt(), &mut state.rs);
        self.control_congestion(cx, delivered, lost, state.flags, &state.rs);
        self.transmit_recovery(cx, rexmit);
        AckVerdict::Good
    }

    /// An ACK of what is long acknowledged: only its SACK blocks may be news.
    fn old_ack(&mut self, cx: &mut Cx<'_>, seg: &Segment) -> AckVerdict {
        if !seg.sacks.is_empty() && self.has(Agreed::SACK) {
            let prior_una = self.snd_una;
            let mut state = SackState {
                flags: AckFlags::empty(),
                reord: self.snd_nxt,
                first_sent: None,
                last_sent: None,
                delivered: 0,
                rs: RateSample::default(),
            };
            let prior_lost = self.recovery.lost;
            let prior_delivered = self.rate.delivered();
            self.tag_sacked(cx, seg, prior_una, &mut state);
            let rexmit = self.fastretrans_alert(cx, prior_una, 0, &mut state.flags);
            let lost = (self.recovery.lost - prior_lost) as u32;
            let delivered = (self.rate.delivered() - prior_delivered) as u32;
            let min_rtt = self.rtt.min_rtt();
            self.rate.generate(cx.now, delivered, lost, false, min_rtt, &mut state.rs);
            self.transmit_recovery(cx, rexmit);
        }
        AckVerdict::Old
    }

    /// Nothing was in flight: a duplicate, or an answer to a window probe.
    fn ack_without_data(&mut self, cx: &mut Cx<'_>, seg: &Segment, state: &mut SackState) {
        if state.flags.has(AckFlags::DSACKING) {
            let prior_una = self.snd_una;
            let rexmit = self.fastretrans_alert(cx, prior_una, 0, &mut state.flags);
            self.transmit_recovery(cx, rexmit);
        }
        // Linux `tcp_ack_probe`.
        if self.has_unsent() {
            let mss = self.current_mss() as u32;
            let end = self.snd_nxt + self.unsent().min(mss);
            if end.le(self.window_end()) {
                self.backoff = 0;
                self.probes_since = None;
                if matches!(self.timers.rtx, Some((RtxTimer::ZeroWindowProbe, _))) {
                    self.timers.rtx = None;
                }
            } else {
                self.arm_probe_timer(cx);
            }
        }
        let plain = !state.flags.has(AckFlags::SND_UNA_ADVANCED | AckFlags::NOT_DUP);
        let dsack = state.flags.has(AckFlags::DSACK_TLP);
        self.tlp_process_ack(cx, seg.ack, dsack, plain);
    }

    /// RFC 9293 §3.10.7.4: `SND.WND`, `SND.WL1`. An ACK that acknowledges something newer is newer
    /// itself.
    fn update_window(&mut self, config: &TcpConfig, seg: &Segment, flags: &mut AckFlags) {
        let scale = if seg.syn() { 0 } else { self.snd_wscale };
        let window = u32::from(seg.window) << scale;
        let newer = seg.ack.gt(self.snd_una)
            || seg.seq.gt(self.snd_wl1)
            || (seg.seq == self.snd_wl1 && (window > self.snd_wnd || window == 0));
        if newer {
            if window != self.snd_wnd {
                *flags |= AckFlags::WIN_UPDATE;
                self.snd_wnd = window;
                if window > self.max_window {
                    self.max_window = window;
                    // Segments may be as large as half of it.
                    self.sync_mss(config, self.pmtu);
                }
            }
            self.snd_wl1 = seg.seq;
        }
    }

    /// Whether loss recovery must look at an ACK (Linux `tcp_ack_is_dubious`).
    fn is_dubious(&self, flags: AckFlags) -> bool {
        !flags.has(AckFlags::NOT_DUP)
            || flags.has(AckFlags::DATA_SACKED | AckFlags::ECE | AckFlags::DSACKING)
            || self.cs.ca_state != CaState::Open
    }

    /// Window, ssthresh and pacing rate after an ACK (Linux `tcp_cong_control`).
    fn control_congestion(
        &mut self,
        cx: &mut Cx<'_>,
        delivered: u32,
        lost: u32,
        flags: AckFlags,
        rs: &RateSample,
    ) {
        let ctx = self.cc_context(cx.now);
        let ece = flags.has(AckFlags::ECE);
        if self.cc.cong_control(&mut self.cs, &ctx, rs, ece) {
            if core::mem::take(&mut self.cs.mark_app_limited) {
                self.rate.set_app_limited(self.rtx.in_flight());
            }
            return;
        }
        if self.cs.in_cwnd_reduction() {
            self.cwnd_reduction(delivered, lost, flags.has(AckFlags::SND_UNA_ADVANCED));
        } else if self.may_raise_cwnd(cx, flags) {
            // An algorithm wants to know of a window that is not used, too.
            self.cc.cong_avoid(&mut self.cs, &ctx, delivered);
            if self.cs.is_cwnd_limited() {
                self.cs.cwnd_stamp = cx.now;
            }
        }
        let ctx = self.cc_context(cx.now);
        window::update_pacing_rate(&mut self.cs, &ctx, window::PacingRatios::default());
    }

    /// Linux `tcp_may_raise_cwnd`: where reordering is the rule, whatever order things come in.
    fn may_raise_cwnd(&self, cx: &Cx<'_>, flags: AckFlags) -> bool {
        if self.recovery.reordering > cx.config.reordering {
            return flags.has(AckFlags::ACKED | AckFlags::DATA_SACKED);
        }
        flags.has(AckFlags::DATA_ACKED)
    }

    /// Removes what is acknowledged from the queue of segments in flight, and measures (Linux
    /// `tcp_clean_rtx_queue`).
    fn clean_rtx_queue(
        &mut self,
        cx: &mut Cx<'_>,
        seg: &Segment,
        prior_una: SeqNumber,
        prior_fack: SeqNumber,
        state: &mut SackState,
    ) {
        let offset = self.send_offset(seg.ack);
        self.snd_una = seg.ack;
        let (mut first, mut last): (Option<Instant>, Option<Instant>) = (None, None);
        let mut acked = 0;
        let mut reord = self.snd_nxt;
        let prior_sacked = self.rtx.sacked_out;
        while let Some(sent) = self.rtx.first().copied() {
            let whole = sent.end.le(seg.ack);
            if !whole && sent.seq.ge(seg.ack) {
                break;
            }
            let packets = match whole {
                true => {
                    self.rtx.pop();
                    u32::from(sent.packets)
                }
                false => self.rtx.trim_first(seg.ack),
            };
            acked += packets;
            if sent.is(Marks::EVER_RETRANS) {
                state.flags |= AckFlags::RETRANS_DATA_ACKED;
            } else if !sent.is(Marks::SACKED) {
                first.get_or_insert(sent.sent_at);
                last = Some(sent.sent_at);
                reord = reord.earlier(sent.seq);
                if sent.end.le(self.recovery.high_seq) {
                    state.flags |= AckFlags::ORIG_SACK_ACKED;
                }
            }
            if !sent.is(Marks::SACKED) {
                if self.has(Agreed::SACK) {
                    self.rate.count_delivered(packets);
                    // An echo of an earlier time is for the original (RFC 8985 §6.2 step 2); a
                    // selective acknowledgment echoes what came in order.
                    if !sent.is(Marks::EVER_RETRANS) || !self.echoes_before(sent.sent_at) {
                        self.rack_advance(cx.now, &sent);
                    }
                }
                let again = sent.is(Marks::EVER_RETRANS);
                self.rate.on_delivered(&sent.stamp, sent.sent_at, again, sent.end, &mut state.rs);
            }
            if sent.is(Marks::SYN) && whole {
                state.flags |= AckFlags::SYN_ACKED;
                self.note_spurious_syn(seg);
                self.recovery.retrans_stamp = None;
                if sent.len() > 1 {
                    state.flags |= AckFlags::DATA_ACKED;
                }
            } else {
                state.flags |= AckFlags::DATA_ACKED;
            }
            if !whole {
                break;
            }
        }
        self.send.consume(offset, cx.chunks);
        if self.snd_up.lt(self.snd_una) {
            self.snd_up = self.snd_una;
        }
        if self.recovery.highest_sack.is_some_and(|highest| highest.le(self.snd_una)) {
            self.recovery.highest_sack = None;
        }
        if self.rtx.first().is_some_and(|first| first.is(Marks::SACKED)) {
            // What follows the acknowledged part cannot be there already.
            state.flags |= AckFlags::SACK_RENEGING;
        }
        let small = acked == 1 && prior_sacked == 0 && seg.ack.since(prior_una) < self.mss.into();
        self.measure(cx, seg, first, last, acked, small, state);
        if state.flags.has(AckFlags::ACKED) {
            state.flags |= AckFlags::SET_XMIT_TIMER;
            self.note_mtu_probe_acked(cx);
            if !self.has(Agreed::SACK) {
                self.remove_reno_sacks(acked, &mut state.flags);
            } else if reord.lt(prior_fack) {
                // A hole that was never sent again was filled.
                self.check_sack_reordering(cx, reord);
            }
        } else if let Some(head) = self.rtx.first()
            && state.first_sent.is_some_and(|sent| cx.now - sent > cx.now - head.sent_at)
        {
            // The head was sent later than what was measured: give it its full time.
            state.flags |= AckFlags::SET_XMIT_TIMER;
        }
    }

    /// The peer has answered the first SYN, not the one that was sent again (Linux
    /// `tcp_try_undo_spurious_syn`).
    fn note_spurious_syn(&mut self, seg: &Segment) {
        let echo = seg.timestamps.filter(|_| self.has(Agreed::TIMESTAMPS)).map(|(_, echo)| echo);
        let first = self.recovery.retrans_stamp.map(|first| self.timestamp(first));
        if echo.is_some() && echo == first {
            self.recovery.undo_marker = None;
        }
    }

    /// Takes a round-trip time from an ACK (RFC 6298 §3, RFC 7323 §4.1, Linux
    /// `tcp_ack_update_rtt`) and tells congestion control.
    #[allow(clippy::too_many_arguments)]
    fn measure(
        &mut self,
        cx: &mut Cx<'_>,
        seg: &Segment,
        first: Option<Instant>,
        last: Option<Instant>,
        acked: u32,
        small: bool,
        state: &mut SackState,
    ) {
        let clean = !state.flags.has(AckFlags::RETRANS_DATA_ACKED);
        let cumulative = first.filter(|_| clean).map(|sent| cx.now - sent);
        let selective = state.first_sent.map(|sent| cx.now - sent);
        let newest = last.filter(|_| clean).or(state.last_sent).map(|sent| cx.now - sent);
        let mut rtt = cumulative.or(selective);
        if rtt.is_none()
            && state.flags.has(AckFlags::ACKED)
            && self.has(Agreed::TIMESTAMPS)
            && let Some((_, echo)) = seg.timestamps
            && echo != 0
        {
            // Karn's ambiguity is resolved by the timestamp (RFC 7323 §4.1).
            let elapsed = self.timestamp(cx.now).wrapping_sub(echo);
            if elapsed < 1 << 24 {
                rtt = Some(Duration::from_millis(u64::from(elapsed.max(1))));
            }
        }
        // An ACK of a single small segment may have been delayed (Linux FLAG_ACK_MAYBE_DELAYED).
        let alert = AckFlags::DATA_SACKED | AckFlags::ECE | AckFlags::DSACKING;
        state.rs.is_ack_delayed = cumulative.is_some()
            && small
            && state.rs.prior_delivered + 1 == self.rate.delivered()
            && !state.flags.has(alert | AckFlags::SYN_ACKED);
        state.rs.rtt = newest.or(rtt);
        if let Some(rtt) = rtt {
            self.rtt.sample(cx.now, rtt, self.snd_una, self.snd_nxt);
            // What was sent last tells the least round trip best.
            self.rtt.observe(cx.now, newest.unwrap_or(rtt));
            self.backoff = 0;
        }
        if acked > 0 || state.delivered > 0 {
            let sample = AckSample {
                pkts_acked: acked.max(state.delivered),
                rtt: newest.or(rtt),
                in_flight: state.rs.prior_in_flight,
            };
            let ctx = self.cc_context(cx.now);
            self.cc.pkts_acked(&mut self.cs, &ctx, &sample);
        }
    }

    /// Marks what SACK blocks name (RFC 2018 §5, Linux `tcp_sacktag_write_queue`).
    fn tag_sacked(
        &mut self,
        cx: &mut Cx<'_>,
        seg: &Segment,
        prior_una: SeqNumber,
        state: &mut SackState,
    ) {
        let is_dsack = self.check_dsack(cx, seg, prior_una, state);
        let una = seg.ack.later(self.snd_una);
        let mut valid = [None; MAX_SACKS];
        for (n, block) in seg.sacks.iter().enumerate() {
            let dup = n == 0 && is_dsack;
            if !self.is_valid_sack(una, &block, dup) {
                match dup {
                    true if self.recovery.undo_marker.is_some() => {
                        cx.ext.tcp_dsack_ignored_old += 1;
                    }
                    true => cx.ext.tcp_dsack_ignored_no_undo += 1,
                    // An ACK that was overtaken tells of what is acknowledged by now.
                    false if seg.ack != una && block.right.le(una) => {}
                    false => cx.ext.tcp_sack_discard += 1,
                }
            } else if block.right.gt(prior_una) {
                valid[n] = Some((block, dup));
            }
        }
        // From the lowest up: what comes in one ACK did not overtake each other.
        valid.sort_unstable_by_key(|block| match block {
            Some((block, _)) => block.left.since(prior_una),
            None => u32::MAX,
        });
        for (block, dup) in valid.into_iter().flatten() {
            self.tag_block(cx, &block, una, dup, state);
        }
        if self.cs.ca_state != CaState::Loss || self.recovery.undo_marker.is_some() {
            self.check_sack_reordering(cx, state.reord);
        }
    }

    /// Whether the first block tells of a duplicate (RFC 2883 §4, Linux `tcp_check_dsack`).
    fn check_dsack(
        &mut self,
        cx: &mut Cx<'_>,
        seg: &Segment,
        prior_una: SeqNumber,
        state: &mut SackState,
    ) -> bool {
        let Some(first) = seg.sacks.first() else { return false };
        if first.left.lt(seg.ack) {
            cx.ext.tcp_dsack_recv += 1;
        } else if let Some(second) = seg.sacks.second()
            && first.right.le(second.right)
            && first.left.ge(second.left)
        {
            cx.ext.tcp_dsack_ofo_recv += 1;
        } else {
            return false;
        }
        let Some(dups) = self.dsack_seen(&first, state) else {
            cx.ext.tcp_dsack_ignored_dubious += 1;
            return false;
        };
        // RFC 2883 §4: retransmissions that were needless, as far as they can be undone.
        if self.recovery.undo_retrans > 0
            && first.right.le(prior_una)
            && self.recovery.undo_marker.is_some_and(|marker| first.right.gt(marker))
        {
            self.recovery.undo_retrans = (self.recovery.undo_retrans - dups as i32).max(0);
        }
        true
    }

    /// How many of our retransmissions a D-SACK block shows to be duplicates; `None` when it cannot
    /// be about any (Linux `tcp_dsack_seen`).
    fn dsack_seen(&mut self, block: &SackBlock, state: &mut SackState) -> Option<u32> {
        let mss = u32::from(self.mss.max(1));
        let len = block.right.since(block.left);
        if block.left.ge(block.right) || len > self.max_window {
            return None;
        }
        let dups = len.div_ceil(mss);
        let of_probe = dups == 1 && self.tlp.high_seq == Some(block.right);
        if of_probe {
            state.flags |= AckFlags::DSACK_TLP;
        }
        self.recovery.dsack_dups = self.recovery.dsack_dups.saturating_add(dups);
        // The network duplicated it, or the peer makes it up.
        if self.recovery.dsack_dups > self.recovery.total_retrans {
            return None;
        }
        self.agreed.insert(Agreed::DSACK_SEEN);
        // Reordering looked like loss (RFC 8985 §6.2 step 4); a probe is no such mistake.
        if self.recovery.reord_seen > 0 && !of_probe {
            self.rack.dsack_seen = true;
        }
        state.flags |= AckFlags::DSACKING;
        // A needless retransmission has left the network as well.
        self.rate.count_delivered(dups);
        state.delivered += dups;
        Some(dups)
    }

    /// RFC 2018 §5: a block must lie within what was sent and not acknowledged by now (`una`),
    /// a D-SACK where it may undo something (Linux `tcp_is_sackblock_valid`).
    fn is_valid_sack(&self, una: SeqNumber, block: &SackBlock, is_dsack: bool) -> bool {
        if block.right.gt(self.snd_nxt) || block.left.ge(block.right) || block.left.ge(self.snd_nxt)
        {
            return false;
        }
        if block.left.gt(una) {
            return true;
        }
        let Some(marker) = self.recovery.undo_marker else { return false };
        if !is_dsack {
            return false;
        }
        if block.right.gt(una) {
            return false;
        }
        block.left.ge(marker)
            || (block.right.gt(marker) && block.left.ge(block.right - self.max_window))
    }

    /// Marks the segments of one block; those it covers in part are split at full segments.
    fn tag_block(
        &mut self,
        cx: &mut Cx<'_>,
        block: &SackBlock,
        una: SeqNumber,
        dup: bool,
        state: &mut SackState,
    ) {
        let mut next = block.left;
        loop {
            // Of what is there already a block tells nothing new, but that it came twice. How often
            // the peer may say that is limited by how much was sent again.
            let at = match dup {
                true => self.rtx.any_from(next),
                false => self.rtx.missing_from(next),
            };
            let Some(at) = at else { break };
            let Some(sent) = self.rtx.get(at).copied() else { break };
            if sent.seq.ge(block.right) {
                break;
            }
            let mss = u32::from(sent.mss.max(1));
            if sent.seq.lt(block.left) {
                // Round up to whole segments: what is not known to be there is not.
                let whole = block.left.since(sent.seq).div_ceil(mss) * mss;
                next = sent.end.earlier(sent.seq + whole);
                self.rtx.split(at, next);
                continue;
            }
            next = sent.end;
            if sent.end.gt(block.right) {
                let whole = block.right.since(sent.seq) / mss * mss;
                if whole == 0 {
                    break;
                }
                next = sent.seq + whole;
                self.rtx.split(at, next);
            }
            self.tag_one(cx, at, una, dup, state);
        }
    }

    /// Linux `tcp_sacktag_one`.
    fn tag_one(
        &mut self,
        cx: &mut Cx<'_>,
        at: Place,
        una: SeqNumber,
        dup: bool,
        state: &mut SackState,
    ) {
        let Some(sent) = self.rtx.get(at).copied() else { return };
        if dup && sent.is(Marks::RETRANS | Marks::EVER_RETRANS) {
            if self.recovery.undo_marker.is_some_and(|marker| sent.end.gt(marker))
                && self.recovery.undo_retrans > 0
            {
                let packets = i32::from(sent.packets);
                self.recovery.undo_retrans = (self.recovery.undo_retrans - packets).max(0);
            }
            if sent.is(Marks::SACKED) {
                state.reord = state.reord.earlier(sent.seq);
            }
        }
        // What is acknowledged by the same ACK is dealt with there.
        if sent.end.le(una) {
            return;
        }
        if sent.is(Marks::SACKED) {
            if dup {
                self.rtx.mark(at, Marks::empty(), Marks::RETRANS);
            }
            return;
        }
        self.rack_advance(cx.now, &sent);
        if !sent.is(Marks::RETRANS | Marks::EVER_RETRANS) {
            // Never sent again, yet it came after later ones: reordering.
            if self.recovery.highest_sack.is_some_and(|highest| sent.seq.lt(highest)) {
                state.reord = state.reord.earlier(sent.seq);
            }
            if sent.end.le(self.recovery.high_seq) {
                state.flags |= AckFlags::ORIG_SACK_ACKED;
            }
            state.first_sent.get_or_insert(sent.sent_at);
            state.last_sent = Some(sent.sent_at);
        }
        let packets = u32::from(sent.packets);
        // A copy of what is not taken to be lost is still on its way, unless it is what came twice.
        let copy_is_done = dup || sent.is(Marks::LOST);
        let copy = if copy_is_done { Marks::RETRANS } else { Marks::empty() };
        self.rtx.mark(at, Marks::SACKED, Marks::LOST | copy);
        state.flags |= AckFlags::DATA_SACKED;
        state.delivered += packets;
        self.rate.count_delivered(packets);
        let again = sent.is(Marks::EVER_RETRANS);
        self.rate.on_delivered(&sent.stamp, sent.sent_at, again, sent.end, &mut state.rs);
        let highest =
            self.recovery.highest_sack.map_or(sent.end, |highest| highest.later(sent.end));
        self.recovery.highest_sack = Some(highest);
    }

    /// Learns the extent of reordering: what begins at `low` came after what is selectively
    /// acknowledged (Linux `tcp_check_sack_reordering`).
    pub(crate) fn check_sack_reordering(&mut self, cx: &mut Cx<'_>, low: SeqNumber) {
        let high = self.recovery.highest_sack.unwrap_or(self.snd_una);
        if !low.lt(high) {
            return;
        }
        let mss = u32::from(self.mss.max(1));
        let metric = high.since(low);
        if metric > self.recovery.reordering * mss {
            let most = cx.config.max_reordering;
            self.recovery.reordering = metric.div_ceil(mss).min(most);
        }
        self.recovery.reord_seen += 1;
        cx.ext.tcp_sack_reorder += 1;
    }

    /// Marks a segment lost (Linux `tcp_mark_skb_lost`).
    pub(crate) fn mark_lost(&mut self, cx: &mut Cx<'_>, at: Place) {
        let Some(sent) = self.rtx.get(at).copied() else { return };
        if sent.is(Marks::SACKED) {
            return;
        }
        if sent.is(Marks::LOST) {
            if sent.is(Marks::RETRANS) {
                // Its retransmission is lost, too.
                self.rtx.mark(at, Marks::empty(), Marks::RETRANS);
                self.recovery.lost += u64::from(sent.packets);
                cx.ext.tcp_lost_retransmit += u64::from(sent.packets);
            }
        } else {
            self.rtx.mark(at, Marks::LOST, Marks::RETRANS);
            self.recovery.lost += u64::from(sent.packets);
        }
        cx.see(self.id, TcpEvent::Lost { seq: sent.seq, end: sent.end });
    }

    /// Answers a segment whose acknowledgment is out of range (RFC 5961 §5.2).
    pub(crate) fn refuse_ack(&mut self, cx: &mut Cx<'_>) {
        self.challenge(cx, AckReason::Challenge);
    }
}
