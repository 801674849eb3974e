//! The size of segments: what the path MTU, the peer and options leave for payload (Linux
//! `tcp_sync_mss`), and the search for a larger path MTU with data (RFC 4821, Linux `tcp_mtup_*`).
//!
//! ```text
//!   search_low ───── works ───┐       ┌─── may work ───── search_high
//!                             ▼       ▼
//!        a probe of the size half way: acknowledged, it is search_low; lost alone, it is more
//!        than search_high. Closer than tcp_probe_threshold, the search rests.
//! ```

use alloc::boxed::Box;

use super::Cx;
use super::cc::CaState;
use super::config::{MtuProbing, TcpConfig};
use super::connect::{DEFAULT_MSS, HEADERS};
use super::event::SendReason;
use super::tcb::{Agreed, Tcb};
use crate::time::Instant;
use crate::wire::seq::SeqNumber;

/// Probing costs a round trip of two packets: not in smaller windows (Linux `tcp_mtu_probe`).
const MIN_CWND: u32 = 11;

/// Where the search stands (Linux `icsk_mtup`); sizes are in bytes of IP packet.
#[derive(Debug, Clone)]
pub(crate) struct MtuSearch {
    /// The size of segments.
    low: u16,
    /// Larger ones are not tried.
    high: u16,
    probe: Option<Probe>,
    /// When the search began, or began anew.
    since: Instant,
}

/// A probe in flight.
#[derive(Debug, Clone, Copy)]
struct Probe {
    size: u16,
    start: SeqNumber,
    end: SeqNumber,
}

/// Whether data may be sent after a look at the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probing {
    /// It may.
    No,
    /// It may not: what is in flight is to make room for a probe first.
    Wait,
    /// It may, and a probe has been sent.
    Sent,
}

impl Tcb {
    /// The size of segments for a path MTU (Linux `tcp_sync_mss`).
    pub(crate) fn sync_mss(&mut self, config: &TcpConfig, pmtu: u16) {
        self.pmtu = pmtu;
        let mut mss = self.mss_of(config, pmtu);
        // Linux `tcp_bound_to_half_wnd`: two segments fit the peer's largest window.
        if self.max_window > 0 {
            let cutoff = match self.max_window > u32::from(DEFAULT_MSS) {
                true => self.max_window >> 1,
                false => self.max_window,
            };
            let least = 68u32.saturating_sub(self.header_len() as u32);
            mss = u32::from(mss).min(cutoff.max(least)).min(u32::from(u16::MAX)) as u16;
        }
        if let Some(search) = &mut self.mtu_search {
            search.high = search.high.min(pmtu);
            let low = search.low;
            mss = mss.min(self.mss_of(config, low));
        }
        self.mss = mss.max(8);
    }

    /// The payload of a segment in a packet of so many bytes, and of none larger than the peer
    /// takes (Linux `tcp_mtu_to_mss`).
    fn mss_of(&self, config: &TcpConfig, mtu: u16) -> u16 {
        let mss = mtu.saturating_sub(HEADERS).min(self.mss_clamp);
        let mss = mss.saturating_sub(self.ip_options_len()).max(config.min_snd_mss);
        mss.saturating_sub(self.header_len() as u16 - 20)
    }

    /// The packet that a segment with so much payload makes (Linux `tcp_mss_to_mtu`).
    fn mtu_of(&self, mss: u16) -> u16 {
        mss.saturating_add(self.header_len() as u16 + 20 + self.ip_options_len())
    }

    /// The largest packet that the peer takes.
    fn largest_mtu(&self) -> u16 {
        self.mss_clamp.saturating_add(HEADERS).min(self.pmtu)
    }

    fn new_search(&self, cx: &Cx<'_>) -> Box<MtuSearch> {
        let low = self.mtu_of(cx.config.base_mss);
        Box::new(MtuSearch { low, high: self.largest_mtu(), probe: None, since: cx.now })
    }

    /// Begins the search, if there is to be one from the start (Linux `tcp_mtup_init`).
    pub(crate) fn init_mtu_search(&mut self, cx: &Cx<'_>) {
        let on = cx.config.mtu_probing == MtuProbing::On;
        self.mtu_search = on.then(|| self.new_search(cx));
    }

    /// Segments seem to vanish for their size (RFC 4821 §7.7, Linux `tcp_mtu_probing`).
    pub(crate) fn doubt_path_mtu(&mut self, cx: &mut Cx<'_>) {
        if cx.config.mtu_probing == MtuProbing::Off {
            return;
        }
        match self.mtu_search.take() {
            None => self.mtu_search = Some(self.new_search(cx)),
            Some(mut search) => {
                let half = (self.mss_of(cx.config, search.low) >> 1).min(cx.config.base_mss);
                let least = cx.config.mtu_probe_floor.max(cx.config.min_snd_mss);
                search.low = self.mtu_of(half.max(least));
                self.mtu_search = Some(search);
            }
        }
        self.sync_mss(cx.config, self.pmtu);
    }

    /// Sends what waits as one larger segment, when it is time for a probe and there is enough
    /// (RFC 4821 §7.4, Linux `tcp_mtu_probe`).
    pub(crate) fn probe_path_mtu(&mut self, cx: &mut Cx<'_>) -> Probing {
        let Some(search) = &self.mtu_search else { return Probing::No };
        let (low, high) = (search.low, search.high);
        // Blocks of SACK would take a part of it.
        if search.probe.is_some()
            || self.cs.ca_state != CaState::Open
            || self.cs.cwnd < MIN_CWND
            || self.sack_count() > 0
        {
            return Probing::No;
        }
        let size = self.mss_of(cx.config, ((u32::from(high) + u32::from(low)) >> 1) as u16);
        let interval = i32::from(high) - i32::from(low);
        let threshold = i32::from(cx.config.probe_threshold).max(1);
        if size > self.mss_of(cx.config, high) || interval < threshold {
            self.resume_mtu_search(cx);
            return Probing::No;
        }
        // Enough behind it for its loss to be found (RFC 4821 §7.4).
        let needed = u32::from(size) + (self.recovery.reordering + 1) * u32::from(self.mss);
        if self.unsent() < needed || self.snd_wnd < needed {
            return Probing::No;
        }
        if (self.snd_nxt + needed).gt(self.window_end()) {
            return Probing::Wait;
        }
        let in_flight = self.rtx.in_flight();
        if in_flight + 2 > self.cs.cwnd {
            return if in_flight == 0 { Probing::No } else { Probing::Wait };
        }
        let (start, end) = (self.snd_nxt, self.snd_nxt + u32::from(size));
        if self.record_end().lt(end) {
            return Probing::No;
        }
        self.send_new(cx, size.into(), size.into(), SendReason::MtuProbe);
        // It is as much as two.
        self.cs.cwnd -= 1;
        let probe = Probe { size: self.mtu_of(size), start, end };
        if let Some(search) = &mut self.mtu_search {
            search.probe = Some(probe);
        }
        Probing::Sent
    }

    /// The search rests; after a while paths may be others (RFC 4821 §7.5, Linux
    /// `tcp_mtu_check_reprobe`).
    fn resume_mtu_search(&mut self, cx: &Cx<'_>) {
        let (low, high) = (self.mtu_of(self.current_mss() as u16), self.largest_mtu());
        if let Some(search) = &mut self.mtu_search
            && cx.now - search.since >= cx.config.probe_interval
        {
            **search = MtuSearch { low, high, probe: None, since: cx.now };
        }
    }

    /// Everything before `snd_una` has arrived; if the probe was in it, segments grow (RFC 4821
    /// §7.6.1, Linux `tcp_mtup_probe_success`).
    pub(crate) fn note_mtu_probe_acked(&mut self, cx: &mut Cx<'_>) {
        let Some(probe) = self.mtu_search.as_ref().and_then(|search| search.probe) else { return };
        if probe.end.gt(self.snd_una) {
            return;
        }
        self.recovery.prior_ssthresh = self.cs.current_ssthresh();
        // The same bytes, in larger packets.
        let bytes = u64::from(self.cs.cwnd) * u64::from(self.mtu_of(self.mss));
        self.cs.cwnd = (bytes / u64::from(probe.size)).max(1) as u32;
        self.cs.cwnd_cnt = 0;
        self.cs.cwnd_stamp = cx.now;
        self.cs.ssthresh = self.cs.current_ssthresh();
        if let Some(search) = &mut self.mtu_search {
            search.low = probe.size;
            search.probe = None;
        }
        self.sync_mss(cx.config, self.pmtu);
        cx.ext.tcp_mtup_success += 1;
    }

    /// Something is lost: whether it is the probe, and nothing before it. Then it was too long, and
    /// that is no congestion (RFC 4821 §7.6.2, Linux `tcp_mtup_probe_failed`).
    pub(crate) fn has_mtu_probe_failed(&mut self, cx: &mut Cx<'_>) -> bool {
        let una = self.snd_una;
        let Some(search) = &mut self.mtu_search else { return false };
        let Some(probe) = search.probe.take_if(|probe| probe.start == una) else { return false };
        search.high = probe.size - 1;
        cx.ext.tcp_mtup_fail += 1;
        self.cs.cwnd += 1;
        self.retransmit_too_long(cx);
        true
    }

    /// Something is sent again, so that nobody can tell what became of a probe (RFC 4821 §7.6.4).
    pub(crate) fn forget_mtu_probe(&mut self) {
        if let Some(search) = &mut self.mtu_search {
            search.probe = None;
        }
    }

    /// Bytes of IP options in each packet.
    fn ip_options_len(&self) -> u16 {
        self.ip_options.as_ref().map_or(0, |options| options.len() as u16)
    }

    /// Sends what was too long again in smaller pieces, without a reduction of the window (Linux
    /// `tcp_simple_retransmit`).
    pub(crate) fn retransmit_too_long(&mut self, cx: &mut Cx<'_>) {
        let mss = self.current_mss() as u32;
        let mut next = self.snd_una;
        while let Some(at) = self.rtx.missing_from(next) {
            let Some(sent) = self.rtx.get(at).copied() else { break };
            next = sent.end;
            if u32::from(sent.mss) > mss && sent.len() > mss {
                self.mark_lost(cx, at);
            }
        }
        if self.rtx.lost_out == 0 {
            return;
        }
        if !self.has(Agreed::SACK) {
            let most = self.rtx.packets_out.saturating_sub(self.rtx.lost_out);
            self.rtx.sacked_out = self.rtx.sacked_out.min(most);
        }
        if self.cs.ca_state != CaState::Loss {
            self.recovery.high_seq = self.snd_nxt;
            self.cs.ssthresh = self.cs.current_ssthresh();
            self.recovery.prior_ssthresh = 0;
            self.recovery.undo_marker = None;
            self.set_ca_state(cx, CaState::Loss);
        }
        self.retransmit_lost(cx);
    }
}
