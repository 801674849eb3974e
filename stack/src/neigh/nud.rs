//! The state machine of one neighbour.

use core::net::IpAddr;

use super::table::NeighbourTable;
use super::{Action, Neighbour, NudState};
use crate::packet::{LinkId, Packet};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::ethernet::MacAddr;

impl NeighbourTable {
    /// The address to send to, if there is one to use now (Linux `neigh_event_send`).
    pub(crate) fn resolve(&mut self, now: Instant, link: LinkId, addr: IpAddr) -> Option<MacAddr> {
        let index = self.find(link, addr)?;
        let entry = self.entries[index].as_mut()?;
        entry.used = now;
        match entry.state {
            NudState::Incomplete | NudState::Failed => None,
            NudState::Stale => {
                let mac = entry.mac;
                self.enter(now, index, NudState::Delay);
                self.arm(index, now + self.config.delay_first_probe_time);
                mac
            }
            _ => entry.mac,
        }
    }

    /// Holds a packet until its next hop is resolved, and starts to resolve it.
    pub(crate) fn hold(&mut self, now: Instant, link: LinkId, addr: IpAddr, packet: Packet) {
        let Some(index) = self.find_or_create(now, link, addr) else {
            let reason = DropReason::NeighbourTableFull;
            self.actions.push_back(Action::Discard { packet, reason });
            return;
        };
        if let Some(mut packet) = self.enqueue(index, packet) {
            // The oldest makes room (Linux `__neigh_event_send`).
            self.unres_discards += 1;
            packet.rewind_to_network();
            let reason = DropReason::NeighbourQueueFull;
            self.actions.push_back(Action::Discard { packet, reason });
        }
        if self.entries[index].as_ref().is_some_and(|entry| entry.state == NudState::Failed) {
            if let Some(entry) = &mut self.entries[index] {
                entry.probes = 0;
            }
            self.enter(now, index, NudState::Incomplete);
            self.solicit(now, index);
        }
    }

    /// Takes in what a neighbour said of itself (Linux `neigh_update`).
    ///
    /// `reachable`: it answered us, which proves both directions. `overriding`: a different
    /// address than the known one replaces it.
    pub(crate) fn heard(
        &mut self,
        now: Instant,
        link: LinkId,
        addr: IpAddr,
        mac: MacAddr,
        reachable: bool,
        overriding: bool,
    ) {
        let Some(index) = self.find(link, addr) else { return };
        let Some(entry) = &self.entries[index] else { return };
        let (old, same) = (entry.state, entry.mac == Some(mac));
        if old == NudState::Permanent {
            return;
        }
        // Several answers back to back: the first one counts, unless it is older than `locktime`.
        let locked = now.saturating_since(entry.updated) <= self.config.locktime;
        if old.is_valid() && !same && locked && !overriding {
            return;
        }
        let new = if reachable { NudState::Reachable } else { NudState::Stale };
        if same && old.is_valid() && (new == old || !reachable) {
            // What is known already changes nothing, least of all `updated`: repeating it must not
            // lock out a change. An answer confirms it.
            if reachable {
                self.confirm(now, link, addr);
            }
            return;
        }
        self.learn(now, index, mac, new);
    }

    /// Learns from a request that was sent to us (Linux `neigh_event_ns`): creates an entry.
    /// `false` when the table is full.
    pub(crate) fn asked_by(
        &mut self,
        now: Instant,
        link: LinkId,
        addr: IpAddr,
        mac: MacAddr,
    ) -> bool {
        let known = self.find_or_create(now, link, addr).is_some();
        if known {
            self.heard(now, link, addr, mac, false, true);
        }
        known
    }

    /// Notes that a higher layer heard from the neighbour (RFC 4861 §7.3.1; `MSG_CONFIRM`).
    pub(crate) fn confirm(&mut self, now: Instant, link: LinkId, addr: IpAddr) {
        let Some(index) = self.find(link, addr) else { return };
        let Some(entry) = &mut self.entries[index] else { return };
        if entry.state.is_valid() {
            entry.confirmed = now;
        }
    }

    /// Whether an entry exists, so that an answer for it was or may be wanted.
    pub(crate) fn knows(&self, link: LinkId, addr: IpAddr) -> bool {
        self.find(link, addr).is_some()
    }

    /// Runs what is due (Linux `neigh_timer_handler`).
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(index) = self.timers.expire(now) {
            self.timer_fired(now, index);
        }
        self.collect(now);
    }

    fn timer_fired(&mut self, now: Instant, index: usize) {
        let delay = self.config.delay_first_probe_time;
        let Some(entry) = &mut self.entries[index] else { return };
        entry.timer = None;
        match entry.state {
            NudState::Reachable => {
                let believed_until = entry.confirmed + self.reachable_time;
                if now < believed_until {
                    self.arm(index, believed_until);
                } else if now <= entry.used + delay {
                    self.enter(now, index, NudState::Delay);
                    self.arm(index, now + delay);
                } else {
                    self.enter(now, index, NudState::Stale);
                }
            }
            NudState::Delay => {
                if now <= entry.confirmed + delay {
                    let believed_until = entry.confirmed + self.reachable_time;
                    self.enter(now, index, NudState::Reachable);
                    self.arm(index, believed_until);
                } else {
                    entry.probes = 0;
                    self.enter(now, index, NudState::Probe);
                    self.solicit(now, index);
                }
            }
            NudState::Probe if entry.probes < self.config.ucast_solicit => self.solicit(now, index),
            NudState::Incomplete if entry.probes < self.config.mcast_solicit => {
                self.solicit(now, index);
            }
            NudState::Probe | NudState::Incomplete => self.fail(now, index),
            NudState::Stale | NudState::Failed | NudState::Permanent => {}
        }
    }

    /// Sets address and state, and lets waiting packets go.
    pub(super) fn learn(&mut self, now: Instant, index: usize, mac: MacAddr, state: NudState) {
        let reachable_time = self.reachable_time;
        let long_ago = now - self.config.base_reachable_time.saturating_mul(2);
        let Some(entry) = &mut self.entries[index] else { return };
        if state != NudState::Stale {
            entry.confirmed = now;
        } else if entry.mac != Some(mac) {
            // What was confirmed was another address.
            entry.confirmed = long_ago;
        }
        entry.mac = Some(mac);
        entry.probes = 0;
        let (link, addr) = (entry.link, entry.addr);
        let waiting = core::mem::take(&mut entry.queue);
        if let Some(timer) = entry.timer.take() {
            self.timers.cancel(timer);
        }
        self.enter(now, index, state);
        if state == NudState::Reachable {
            self.arm(index, now + reachable_time);
        }
        if !waiting.is_empty() {
            // They use the entry: a stale one goes on to DELAY.
            self.resolve(now, link, addr);
        }
        for packet in waiting {
            self.actions.push_back(Action::Transmit { link, mac, packet });
        }
    }

    /// Gives up on a neighbour: whoever sent the waiting packets is told.
    fn fail(&mut self, now: Instant, index: usize) {
        self.res_failed += 1;
        let Some(entry) = &mut self.entries[index] else { return };
        let waiting = core::mem::take(&mut entry.queue);
        self.enter(now, index, NudState::Failed);
        for packet in waiting {
            self.actions.push_back(Action::Unreachable { packet });
        }
    }

    fn solicit(&mut self, now: Instant, index: usize) {
        let retrans_time = self.config.retrans_time;
        let Some(entry) = &mut self.entries[index] else { return };
        entry.probes += 1;
        let unicast = entry.mac.filter(|_| entry.state == NudState::Probe);
        let (link, addr) = (entry.link, entry.addr);
        self.actions.push_back(Action::Solicit { link, addr, unicast });
        self.arm(index, now + retrans_time);
    }

    /// Puts a packet behind the others that wait; returns the oldest when there are too many.
    fn enqueue(&mut self, index: usize, packet: Packet) -> Option<Packet> {
        let limit = self.config.unres_qlen;
        let entry = self.entries[index].as_mut()?;
        let oldest = if entry.queue.len() >= limit { entry.queue.pop_front() } else { None };
        entry.queue.push_back(packet);
        oldest
    }

    fn enter(&mut self, now: Instant, index: usize, state: NudState) {
        let Some(entry) = &mut self.entries[index] else { return };
        entry.state = state;
        entry.updated = now;
        let changed = Neighbour { link: entry.link, addr: entry.addr, mac: entry.mac, state };
        self.actions.push_back(Action::Changed(changed));
    }

    fn arm(&mut self, index: usize, at: Instant) {
        let timer = self.timers.insert(at, index);
        if let Some(entry) = &mut self.entries[index]
            && let Some(old) = entry.timer.replace(timer)
        {
            self.timers.cancel(old);
        }
    }
}
