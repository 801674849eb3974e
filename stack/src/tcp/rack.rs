//! RACK-TLP (RFC 8985): losses are told by time, and the tail of a flight is probed.
//!
//! A segment is lost when one that was sent sufficiently later has been delivered. "Sufficiently"
//! is the reordering window: zero until reordering has been seen, then a part of the smallest
//! round-trip time, which grows while the peer reports duplicates.

use super::Cx;
use super::cc::{CaState, CongestionControl};
use super::event::RetransmitReason;
use super::output::Burst;
use super::output::Nagle;
use super::rate::RateSample;
use super::rtx_queue::{Marks, Sent};
use super::tcb::{Agreed, Tcb};
use super::timer::{RtxTimer, TIMEOUT_MIN};
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNumber;

/// RFC 8985 §6.2 step 4: how many recoveries a widened reordering window lasts.
const REO_WND_PERSIST: u8 = 16;

/// RACK's state (RFC 8985 §5.2).
#[derive(Debug, Clone, Default)]
pub(crate) struct Rack {
    /// Of the segment sent last among those delivered: which transmission that was, in the place
    /// of `RACK.xmit_ts`, and `RACK.end_seq`.
    pub(crate) order: u64,
    pub(crate) end_seq: SeqNumber,
    /// `RACK.rtt`.
    pub(crate) rtt: Duration,
    /// Something was delivered since losses were looked for.
    pub(crate) advanced: bool,
    /// A duplicate was reported in this round trip.
    pub(crate) dsack_seen: bool,
    /// `RACK.reo_wnd_mult`.
    pub(crate) reo_wnd_steps: u8,
    /// `RACK.reo_wnd_persist`.
    pub(crate) reo_wnd_persist: u8,
    /// `delivered` when the window was last widened.
    pub(crate) last_delivered: u64,
}

/// TLP's state (RFC 8985 §7.1).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TailLossProbe {
    /// `TLP.end_seq`: what an ACK must cover to end the episode; `None` outside of one.
    pub(crate) high_seq: Option<SeqNumber>,
    /// `TLP.is_retrans`.
    pub(crate) is_retrans: bool,
}

impl Rack {
    /// RFC 8985 §6.2 `RACK_sent_after`: whether the segment delivered last was sent after this one.
    /// Of those sent at one moment the order is known, so that the numbers tell only within what
    /// was sent as one.
    fn sent_after(&self, sent: &Sent) -> bool {
        self.order > sent.order || (self.order == sent.order && self.end_seq.gt(sent.end))
    }
}

impl Tcb {
    /// Notes a delivered segment (RFC 8985 §6.2 steps 1 and 2).
    pub(crate) fn rack_advance(&mut self, now: Instant, sent: &Sent) {
        let rtt = now - sent.sent_at;
        // Too fast for the retransmission: this acknowledges the original.
        if sent.is(Marks::EVER_RETRANS) && self.rtt.min_rtt().is_some_and(|min_rtt| rtt < min_rtt) {
            return;
        }
        self.rack.advanced = true;
        self.rack.rtt = rtt;
        if !self.rack.sent_after(sent) {
            self.rack.order = sent.order;
            self.rack.end_seq = sent.end;
        }
    }

    /// RFC 8985 §6.2 step 4.
    pub(crate) fn rack_update_reo_wnd(&mut self, rs: &RateSample) {
        if rs.prior_at.is_none() || rs.prior_delivered == 0 {
            return;
        }
        // At most once per round trip.
        if rs.prior_delivered < self.rack.last_delivered {
            self.rack.dsack_seen = false;
        }
        if self.rack.dsack_seen {
            self.rack.reo_wnd_steps = self.rack.reo_wnd_steps.max(1).saturating_add(1);
            self.rack.dsack_seen = false;
            self.rack.last_delivered = self.rate.delivered();
            self.rack.reo_wnd_persist = REO_WND_PERSIST;
        } else if self.rack.reo_wnd_persist == 0 {
            self.rack.reo_wnd_steps = 1;
        }
    }

    fn rack_reo_wnd(&self, cx: &Cx<'_>) -> Duration {
        if self.recovery.reord_seen == 0 {
            // Without reordering, three segments behind are as good as the time.
            let many =
                self.rtx.sacked_out >= self.recovery.reordering.min(cx.config.max_reordering);
            if self.cs.ca_state >= CaState::Recovery || many {
                return Duration::ZERO;
            }
        }
        let quarter = self.rtt.min_rtt().unwrap_or_default() / 4;
        let steps = u32::from(self.rack.reo_wnd_steps.max(1));
        (quarter * steps).min(self.rtt.srtt().unwrap_or_default())
    }

    /// Marks what is lost (RFC 8985 §6.2 step 5); returns how long until more may be.
    fn rack_detect_loss(&mut self, cx: &mut Cx<'_>) -> Option<Duration> {
        let reo_wnd = self.rack_reo_wnd(cx);
        let limit = self.rack.rtt + reo_wnd;
        while let Some((at, sent)) = self.rtx.oldest_in_flight() {
            if !self.rack.sent_after(&sent) {
                return None;
            }
            if cx.now - sent.sent_at < limit {
                // None that was sent later is lost yet. The last of those that may be tells when
                // all of them have had their time.
                let last = self.rtx.newest_in_flight(self.rack.order, self.rack.end_seq);
                return last.map(|last| limit - (cx.now - last.sent_at));
            }
            self.mark_lost(cx, at);
        }
        None
    }

    /// Looks for losses after an ACK that delivered something; tells whether the timer runs for
    /// those that may still be found (Linux `tcp_rack_mark_lost`).
    pub(crate) fn rack_mark_lost(&mut self, cx: &mut Cx<'_>) -> bool {
        if !self.rack.advanced {
            return false;
        }
        self.rack.advanced = false;
        let Some(timeout) = self.rack_detect_loss(cx) else { return false };
        let timeout = timeout + TIMEOUT_MIN;
        self.timers.rtx = Some((RtxTimer::Reorder, cx.now + timeout.min(self.rto())));
        true
    }

    /// The reordering window is over (RFC 8985 §6.3).
    pub(crate) fn rack_reorder_timeout(&mut self, cx: &mut Cx<'_>) {
        let before = self.rtx.in_flight();
        let more = self.rack_detect_loss(cx);
        if before != self.rtx.in_flight() {
            if self.cs.ca_state != CaState::Recovery {
                self.enter_recovery(cx, false);
                if !self.cc.has_cong_control() {
                    self.cwnd_reduction(1, 0, false);
                }
            }
            self.retransmit_lost(cx);
        }
        match more {
            Some(timeout) => {
                let at = cx.now + timeout + TIMEOUT_MIN;
                self.timers.rtx = Some((RtxTimer::Reorder, at));
            }
            None if !matches!(self.timers.rtx, Some((RtxTimer::Retransmit, _))) => {
                self.rearm_rto(cx)
            }
            None => {}
        }
    }

    /// How long after their transmission segments may be lost for all RACK knows; `None` when that
    /// time is over (Linux `tcp_rack_skb_timeout`).
    pub(crate) fn rack_not_yet_lost(&self, cx: &Cx<'_>, sent: &Sent) -> bool {
        self.rack.rtt + self.rack_reo_wnd(cx) > cx.now - sent.sent_at
    }

    /// Sets the probe timer where a probe makes sense (RFC 8985 §7.2); tells whether it runs.
    pub(crate) fn schedule_loss_probe(&mut self, cx: &Cx<'_>, advancing_rto: bool) -> bool {
        if !cx.config.tail_loss_probe
            || self.rtx.packets_out == 0
            || !self.has(Agreed::SACK)
            || self.tlp.high_seq.is_some()
            || !matches!(self.cs.ca_state, CaState::Open | CaState::Cwr)
        {
            return false;
        }
        let mut timeout = match self.rtt.srtt() {
            // RFC 8985 §7.2: a single segment may meet a delayed ACK.
            Some(srtt) if self.rtx.packets_out == 1 => srtt * 2 + self.rtt.rto_min(),
            Some(srtt) => srtt * 2 + TIMEOUT_MIN,
            None => cx.config.rto_init,
        };
        let rto_left = match advancing_rto {
            true => self.rto(),
            false => self.rto_remaining(cx.now),
        };
        if !rto_left.is_zero() {
            timeout = timeout.min(rto_left);
        }
        self.timers.rtx = Some((RtxTimer::LossProbe, cx.now + timeout));
        true
    }

    /// Sends a probe: new data, or else the last segment again (RFC 8985 §7.3).
    pub(crate) fn send_loss_probe(&mut self, cx: &mut Cx<'_>) {
        if self.tlp.high_seq.is_some() {
            self.rearm_rto(cx);
            return;
        }
        let before = self.rtx.packets_out;
        let mss = self.current_mss() as u32;
        let room = self.window_end() - self.snd_nxt;
        if self.has_unsent() && room > 0 && room as u32 >= self.unsent().min(mss) {
            self.write_xmit(cx, Nagle::Off, Burst::Probe);
        }
        self.tlp.is_retrans = false;
        if self.rtx.packets_out == before {
            if !self.retransmit_tail(cx) {
                self.rearm_rto(cx);
                return;
            }
            self.tlp.is_retrans = true;
        }
        self.tlp.high_seq = Some(self.snd_nxt);
        cx.ext.tcp_loss_probes += 1;
        self.timers.rtx = None;
        self.rearm_rto(cx);
    }

    fn retransmit_tail(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some(at) = self.rtx.last_place() else { return false };
        let Some(last) = self.rtx.get(at).copied() else { return false };
        let mss = u32::from(last.mss);
        let data = last.len() - u32::from(last.is(Marks::FIN));
        if last.packets > 1 && data > (u32::from(last.packets) - 1) * mss {
            self.rtx.split(at, last.seq + (u32::from(last.packets) - 1) * mss);
        }
        let Some(at) = self.rtx.last_place() else { return false };
        self.retransmit(cx, at, 1, RetransmitReason::LossProbe)
    }

    /// What an ACK says of the probe (RFC 8985 §7.4).
    pub(crate) fn tlp_process_ack(
        &mut self,
        cx: &mut Cx<'_>,
        ack: SeqNumber,
        is_dsack_of_probe: bool,
        is_plain_duplicate: bool,
    ) {
        let Some(high_seq) = self.tlp.high_seq else { return };
        if ack.lt(high_seq) {
            return;
        }
        if !self.tlp.is_retrans || is_dsack_of_probe {
            // The probe was new data, or the peer had the original as well.
            self.tlp.high_seq = None;
        } else if ack.gt(high_seq) {
            // The probe repaired a loss: reduce the window for it.
            self.tlp.high_seq = None;
            self.init_cwnd_reduction(cx);
            self.set_ca_state(cx, CaState::Cwr);
            self.end_cwnd_reduction(cx);
            self.try_keep_open(cx);
            cx.ext.tcp_loss_probe_recovery += 1;
        } else if is_plain_duplicate {
            // The pure duplicate that a needless retransmission causes without D-SACK.
            self.tlp.high_seq = None;
        }
    }
}

#[cfg(test)]
mod tests;
