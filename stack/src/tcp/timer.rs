//! What happens when nothing happens: retransmission, probes, delayed ACKs, keepalive (RFC 6298,
//! RFC 9293 §3.8, Linux `tcp_timer.c`).
//!
//! A connection has several deadlines and one entry in the stack's timer wheel, for the earliest.
//! A deadline that moves back leaves the entry where it is; when that fires early it is set anew.

use super::Cx;
use super::config::TcpConfig;
use super::event::{AckReason, RetransmitReason, SendReason, TcpEvent, TcpTimer};
use super::state::TcpState;
use super::tcb::Tcb;
use crate::socket::SocketError;
use crate::time::{Duration, Instant};
use crate::timer::TimerId;

/// Linux `TCP_TIMEOUT_MIN`, two ticks: added where a timer must not be early.
pub(crate) const TIMEOUT_MIN: Duration = Duration::from_millis(2);

/// What the timer of the sender is for; there is one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RtxTimer {
    /// RFC 6298.
    Retransmit,
    /// RFC 8985 §7.
    LossProbe,
    /// RFC 8985 §6.3.
    Reorder,
    /// RFC 9293 §3.8.6.1.
    ZeroWindowProbe,
}

/// The deadlines of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Timers {
    pub(crate) rtx: Option<(RtxTimer, Instant)>,
    pub(crate) delack: Option<Instant>,
    pub(crate) compressed: Option<Instant>,
    pub(crate) keepalive: Option<Instant>,
    pub(crate) pacing: Option<Instant>,
    /// The entry in the wheel, and when it fires.
    pub(crate) armed: Option<(TimerId, Instant)>,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Timers {
            rtx: None,
            delack: None,
            compressed: None,
            keepalive: None,
            pacing: None,
            armed: None,
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        let rtx = self.rtx.map(|(_, at)| at);
        [rtx, self.delack, self.compressed, self.keepalive, self.pacing].into_iter().flatten().min()
    }

    /// Forgets all deadlines.
    pub(crate) fn clear(&mut self) {
        *self = Timers { armed: self.armed, ..Timers::new() };
    }
}

impl Tcb {
    /// The retransmission timeout, backed off (RFC 6298 (5.5)).
    pub(crate) fn rto(&self) -> Duration {
        self.rtt.backed_off(u32::from(self.backoff))
    }

    /// What is left of the timeout of the oldest segment.
    pub(crate) fn rto_remaining(&self, now: Instant) -> Duration {
        match self.rtx.first() {
            Some(head) => (head.sent_at + self.rto()) - now,
            None => Duration::ZERO,
        }
    }

    /// Starts the retransmission timer anew, or stops it when all is acknowledged (RFC 6298 (5.2),
    /// (5.3), Linux `tcp_rearm_rto`).
    pub(crate) fn rearm_rto(&mut self, cx: &Cx<'_>) {
        if self.rtx.is_empty() {
            self.timers.rtx = None;
            return;
        }
        let mut rto = self.rto();
        if matches!(self.timers.rtx, Some((RtxTimer::Reorder | RtxTimer::LossProbe, _))) {
            rto = self.rto_remaining(cx.now).max(Duration::from_millis(1));
        }
        self.timers.rtx = Some((RtxTimer::Retransmit, cx.now + rto));
    }

    /// Linux `tcp_set_xmit_timer`.
    pub(crate) fn set_xmit_timer(&mut self, cx: &Cx<'_>) {
        if !self.schedule_loss_probe(cx, true) {
            self.rearm_rto(cx);
        }
    }

    /// Sees to it that a closed window is probed (Linux `tcp_check_probe_timer`).
    pub(crate) fn check_probe_timer(&mut self, cx: &Cx<'_>) {
        if self.rtx.is_empty() && self.timers.rtx.is_none() {
            self.arm_probe_timer(cx);
        }
    }

    /// RFC 9293 §3.8.6.1: the interval doubles.
    pub(crate) fn arm_probe_timer(&mut self, cx: &Cx<'_>) {
        let wait = self.probe_interval(cx.config);
        let wait = self.clamp_to_user_timeout(self.probes_since, wait, cx.now);
        self.timers.rtx = Some((RtxTimer::ZeroWindowProbe, cx.now + wait));
    }

    fn probe_interval(&self, config: &TcpConfig) -> Duration {
        let base = self.rtt.rto().max(config.rto_min);
        (base * (1 << u32::from(self.backoff).min(20))).min(config.rto_max)
    }

    /// Shortens a wait so that the user timeout is kept (Linux `tcp_clamp_rto_to_user_timeout`).
    fn clamp_to_user_timeout(
        &self,
        since: Option<Instant>,
        wait: Duration,
        now: Instant,
    ) -> Duration {
        let user = self.options.user_timeout;
        match since {
            Some(since) if !user.is_zero() => {
                let left = user.saturating_sub(now - since);
                wait.min(left.max(TIMEOUT_MIN))
            }
            _ => wait,
        }
    }

    /// Runs the deadlines that are due.
    pub(crate) fn handle_timers(&mut self, cx: &mut Cx<'_>) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= cx.now);
        let (delack, compressed) = (due(self.timers.delack), due(self.timers.compressed));
        let (keepalive, pacing) = (due(self.timers.keepalive), due(self.timers.pacing));
        if compressed {
            self.timers.compressed = None;
            if self.ack.compressed > 0 {
                cx.ext.tcp_ack_compressed += u64::from(self.ack.compressed);
                self.send_ack(cx, AckReason::Gap);
            }
        }
        if delack && self.timers.delack.is_some() {
            self.delayed_ack_timeout(cx);
        }
        if let Some((kind, at)) = self.timers.rtx
            && at <= cx.now
        {
            // The other two look at what has fired to tell how long the next one is to run.
            if matches!(kind, RtxTimer::Retransmit | RtxTimer::ZeroWindowProbe) {
                self.timers.rtx = None;
            }
            match kind {
                RtxTimer::Retransmit => self.retransmit_timeout(cx),
                RtxTimer::LossProbe => {
                    cx.see(self.id, TcpEvent::Timer(TcpTimer::LossProbe));
                    self.send_loss_probe(cx);
                }
                RtxTimer::Reorder => {
                    cx.see(self.id, TcpEvent::Timer(TcpTimer::Reorder));
                    self.rack_reorder_timeout(cx);
                }
                RtxTimer::ZeroWindowProbe => self.probe_timeout(cx),
            }
        }
        if keepalive && self.timers.keepalive.is_some() {
            self.timers.keepalive = None;
            self.keepalive_timeout(cx);
        }
        if pacing {
            self.timers.pacing = None;
            self.resume(cx);
        }
    }

    /// RFC 6298 (5.4)–(5.6), Linux `tcp_retransmit_timer`.
    fn retransmit_timeout(&mut self, cx: &mut Cx<'_>) {
        if self.rtx.is_empty() {
            return;
        }
        cx.see(self.id, TcpEvent::Timer(TcpTimer::Retransmit));
        let handshake = matches!(self.state, TcpState::SynSent | TcpState::SynReceived);
        if self.snd_wnd == 0 && !self.orphan && !handshake {
            // The peer has shrunk its window below what it had accepted.
            if self.shrunk_window_timed_out(cx) {
                self.give_up(cx);
                return;
            }
            self.enter_loss(cx);
            self.retransmit(cx, self.rtx.first_place(), 1, RetransmitReason::Timeout);
            self.back_off(cx);
            return;
        }
        cx.ext.tcp_timeouts += 1;
        if self.has_timed_out(cx) {
            self.give_up(cx);
            return;
        }
        if self.retransmits == 0 && !handshake {
            self.count_timeout(cx);
        }
        if handshake {
            self.retransmits += 1;
            self.retransmit_syn(cx, self.rtx.first_place());
            self.recovery.retrans_stamp.get_or_insert(cx.now);
        } else {
            if self.retransmits > cx.config.retries1 {
                // RFC 9293 §3.8.3 (R1): the path may be wrong. Lowered before the segment is sent
                // again, so that this one tries the new size (Linux `tcp_write_timeout`).
                self.doubt_path_mtu(cx);
            }
            self.enter_loss(cx);
            self.retransmits = self.retransmits.saturating_add(1);
            self.retransmit(cx, self.rtx.first_place(), 1, RetransmitReason::Timeout);
        }
        self.back_off(cx);
    }

    /// RFC 6298 (5.5), (5.6).
    fn back_off(&mut self, cx: &mut Cx<'_>) {
        // Linux: the first SYNs are sent at a steady pace.
        let linear =
            self.state == TcpState::SynSent && self.retransmits <= cx.config.syn_linear_timeouts;
        if !linear {
            self.backoff = self.backoff.saturating_add(1);
        }
        let since = self.recovery.retrans_stamp;
        let wait = self.clamp_to_user_timeout(since, self.rto(), cx.now);
        self.timers.rtx = Some((RtxTimer::Retransmit, cx.now + wait));
    }

    fn count_timeout(&self, cx: &mut Cx<'_>) {
        use super::cc::CaState;
        use super::tcb::Agreed;
        let sack = self.has(Agreed::SACK);
        match (self.cs.ca_state, sack) {
            (CaState::Recovery, true) => cx.ext.tcp_sack_recovery_fail += 1,
            (CaState::Recovery, false) => cx.ext.tcp_reno_recovery_fail += 1,
            (CaState::Loss, _) => cx.ext.tcp_loss_failures += 1,
            (CaState::Disorder, true) => cx.ext.tcp_sack_failures += 1,
            (CaState::Disorder, false) => cx.ext.tcp_reno_failures += 1,
            _ => {}
        }
    }

    /// Whether to give up (RFC 9293 §3.8.3, Linux `tcp_write_timeout`).
    fn has_timed_out(&self, cx: &Cx<'_>) -> bool {
        let config = cx.config;
        match self.state {
            // Linux: the steady ones at the beginning come on top.
            TcpState::SynSent => {
                let retries = self.syn_retries(config);
                self.retransmits >= retries.saturating_add(config.syn_linear_timeouts)
                    || self.retransmissions_timed_out(cx, retries, config.rto_init)
            }
            TcpState::SynReceived => {
                let retries = config.synack_retries;
                self.retransmits >= retries
                    || self.retransmissions_timed_out(cx, retries, config.rto_init)
            }
            _ => {
                let mut retries = config.retries2;
                if self.orphan {
                    retries = orphan_retries(config, self.rto() < config.rto_max);
                }
                self.retransmissions_timed_out(cx, retries, config.rto_min)
            }
        }
    }

    /// Linux `retransmits_timed_out`: whether so many retransmissions would have taken this long.
    fn retransmissions_timed_out(&self, cx: &Cx<'_>, retries: u8, first: Duration) -> bool {
        if self.retransmits == 0 {
            return false;
        }
        let Some(since) = self.recovery.retrans_stamp else { return false };
        let user = self.options.user_timeout;
        let limit = match user.is_zero() {
            true => model_timeout(first, cx.config.rto_max, retries),
            false => user,
        };
        cx.now - since + TIMEOUT_MIN / 2 >= limit
    }

    /// A window that shrank to nothing below what is in flight: the peer may keep it so as long as
    /// it answers, but for the user timeout (Linux `tcp_rtx_probe0_timed_out`).
    fn shrunk_window_timed_out(&self, cx: &Cx<'_>) -> bool {
        let head = self.rtx.first().map_or(cx.now, |sent| sent.sent_at);
        let stuck = cx.now - self.recovery.retrans_stamp.unwrap_or(head);
        let user = self.options.user_timeout;
        if !user.is_zero() && stuck > user {
            return true;
        }
        let mut limit = cx.config.rto_max * 2;
        if !user.is_zero() {
            limit = limit.min(user);
        }
        cx.now - self.last_ack_at > limit && stuck > limit
    }

    /// Linux `tcp_write_err`: what ICMP had to say is the better reason.
    fn give_up(&mut self, cx: &mut Cx<'_>) {
        cx.ext.tcp_abort_on_timeout += 1;
        let error = self.soft_error.unwrap_or(SocketError::TimedOut);
        self.fail(cx, error);
    }

    /// RFC 9293 §3.8.6.1, Linux `tcp_probe_timer`.
    fn probe_timeout(&mut self, cx: &mut Cx<'_>) {
        if !self.rtx.is_empty() || !self.has_unsent() {
            self.probes_out = 0;
            self.probes_since = None;
            return;
        }
        cx.see(self.id, TcpEvent::Timer(TcpTimer::ZeroWindowProbe));
        let user = self.options.user_timeout;
        let since = *self.probes_since.get_or_insert(cx.now);
        if !user.is_zero() && cx.now - since >= user && since != cx.now {
            self.give_up(cx);
            return;
        }
        let mut most = cx.config.retries2;
        if self.orphan {
            let alive = self.probe_interval(cx.config) < cx.config.rto_max;
            most = orphan_retries(cx.config, alive);
            if !alive && self.backoff >= most {
                self.give_up(cx);
                return;
            }
        }
        if self.probes_out >= most {
            self.give_up(cx);
            return;
        }
        self.write_wakeup(cx, SendReason::WindowProbe);
        if !self.rtx.is_empty() || !self.has_unsent() {
            self.probes_out = 0;
            self.backoff = 0;
            return;
        }
        self.probes_out += 1;
        if self.backoff < cx.config.retries2 {
            self.backoff += 1;
        }
        self.arm_probe_timer(cx);
    }

    /// Sends a little data where the window has any room, else something to be answered (Linux
    /// `tcp_write_wakeup`).
    fn write_wakeup(&mut self, cx: &mut Cx<'_>, why: SendReason) {
        cx.ext.tcp_win_probe += 1;
        let room = self.window_end() - self.snd_nxt;
        if self.has_unsent() && room > 0 {
            let mss = self.current_mss();
            let data = self.record_end().since(self.snd_nxt) as usize;
            let len = data.min(room as usize).min(mss);
            self.push_seq = self.snd_nxt + len as u32;
            self.send_new(cx, len, mss, why);
        } else {
            self.send_urgent_probe(cx, why);
            self.send_probe(cx, why);
        }
    }

    /// RFC 9293 §3.8.4; also the end of FIN-WAIT-2 (Linux `tcp_keepalive_timer`).
    fn keepalive_timeout(&mut self, cx: &mut Cx<'_>) {
        cx.see(self.id, TcpEvent::Timer(TcpTimer::Keepalive));
        if self.state == TcpState::FinWait2 && self.orphan {
            self.fin_wait_2_timeout(cx);
            return;
        }
        if !self.options.keepalive || matches!(self.state, TcpState::Closed | TcpState::SynSent) {
            return;
        }
        let idle = self.options.keepidle.unwrap_or(cx.config.keepalive_time);
        // What is in flight is watched over by its own timer.
        if !self.rtx.is_empty() || self.has_unsent() {
            self.timers.keepalive = Some(cx.now + idle);
            return;
        }
        let elapsed = cx.now - self.last_heard();
        if elapsed < idle {
            self.timers.keepalive = Some(cx.now + (idle - elapsed));
            return;
        }
        let count = self.options.keepcnt.unwrap_or(cx.config.keepalive_probes);
        let user = self.options.user_timeout;
        let given_up = match user.is_zero() {
            true => self.probes_out >= count,
            false => elapsed >= user && self.probes_out > 0,
        };
        if given_up {
            // RFC 1122 §4.2.3.6.
            self.send_reset(cx);
            self.give_up(cx);
            return;
        }
        cx.ext.tcp_keep_alive += 1;
        self.send_probe(cx, SendReason::Keepalive);
        self.probes_out += 1;
        let interval = self.options.keepintvl.unwrap_or(cx.config.keepalive_intvl);
        self.timers.keepalive = Some(cx.now + interval);
    }

    /// When the peer was heard last (Linux `keepalive_time_elapsed`).
    fn last_heard(&self) -> Instant {
        self.ack.last_received_at.max(self.last_ack_at)
    }

    /// Starts or stops keepalive as the options say.
    pub(crate) fn reset_keepalive(&mut self, cx: &Cx<'_>) {
        if matches!(self.state, TcpState::Closed | TcpState::Listen) {
            return;
        }
        self.timers.keepalive = self.options.keepalive.then(|| {
            let idle = self.options.keepidle.unwrap_or(cx.config.keepalive_time);
            let elapsed = cx.now - self.last_heard();
            cx.now + idle.saturating_sub(elapsed)
        });
    }
}

/// How often an orphan tries (Linux `tcp_orphan_retries`).
fn orphan_retries(config: &TcpConfig, alive: bool) -> u8 {
    match config.orphan_retries {
        0 if alive => 8,
        retries => retries,
    }
}

/// How long so many retransmissions take (Linux `tcp_model_timeout`).
fn model_timeout(rto_min: Duration, rto_max: Duration, retries: u8) -> Duration {
    let base = rto_min.as_millis().max(1) as u64;
    let max = rto_max.as_millis() as u64;
    let doublings = (max / base).max(1).ilog2();
    let retries = u32::from(retries);
    let millis = match retries <= doublings {
        true => ((2u64 << retries) - 1) * base,
        false => ((2u64 << doublings) - 1) * base + u64::from(retries - doublings) * max,
    };
    Duration::from_millis(millis)
}
