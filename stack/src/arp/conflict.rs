//! Address conflict detection (RFC 5227).
//!
//! ```text
//!  add_address → PROBING ──probe_num unanswered──→ ANNOUNCING ──announce_num──→ DEFENDING
//!                   │ somebody has or wants it        │ claimed by another, once: announce again
//!                   ↓                                 ↓ again within defend_interval
//!                conflict: not taken into use       lost: given up
//! ```

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use super::ArpLayer;
use crate::core::Core;
use crate::event::{AddressState, Event};
use crate::packet::LinkId;
use crate::time::Instant;
use crate::wire::arp::{Arp, ArpOperation};
use crate::wire::ethernet::MacAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Probing,
    Announcing,
    Defending,
}

/// An address that is watched over.
#[derive(Debug)]
struct Watched {
    link: LinkId,
    mac: MacAddr,
    addr: Ipv4Addr,
    phase: Phase,
    /// Probes or announcements still to send.
    left: u8,
    next: Option<Instant>,
    defended: Option<Instant>,
}

/// What is to be done about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conclusion {
    pub(crate) link: LinkId,
    pub(crate) addr: Ipv4Addr,
    pub(crate) state: AddressState,
}

/// All addresses that are watched over.
#[derive(Debug, Default)]
pub(super) struct Detector {
    watched: Vec<Watched>,
    /// What was found out, oldest first.
    conclusions: VecDeque<Conclusion>,
}

impl Detector {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.watched.iter().filter_map(|watched| watched.next).min()
    }
}

impl ArpLayer {
    /// Begins to probe for an address (RFC 5227 §2.1.1).
    pub(crate) fn watch(&mut self, core: &mut Core, link: LinkId, mac: MacAddr, addr: Ipv4Addr) {
        let wait =
            core.rng.duration_between(core::time::Duration::ZERO, core.config.acd.probe_wait);
        self.detector.watched.push(Watched {
            link,
            mac,
            addr,
            phase: Phase::Probing,
            left: core.config.acd.probe_num,
            next: Some(core.now + wait),
            defended: None,
        });
    }

    /// Watches over an address no longer.
    pub(crate) fn unwatch(&mut self, link: LinkId, addr: Option<Ipv4Addr>) {
        self.detector.watched.retain(|watched| {
            watched.link != link || addr.is_some_and(|addr| addr != watched.addr)
        });
    }

    /// The next address about which something was found out.
    pub(crate) fn poll_conclusion(&mut self) -> Option<Conclusion> {
        self.detector.conclusions.pop_front()
    }

    /// Sends the probes and announcements that are due.
    pub(crate) fn handle_timeout(&mut self, core: &mut Core, now: Instant) {
        for index in 0..self.detector.watched.len() {
            let watched = &self.detector.watched[index];
            if watched.next.is_some_and(|at| at <= now) {
                self.step(core, now, index);
            }
        }
    }

    fn step(&mut self, core: &mut Core, now: Instant, index: usize) {
        let acd = core.config.acd.clone();
        let watched = &mut self.detector.watched[index];
        let (link, mac, addr) = (watched.link, watched.mac, watched.addr);
        let sender_ip = match watched.phase {
            Phase::Probing if watched.left == 0 => {
                // RFC 5227 §2.3: nobody objected.
                watched.phase = Phase::Announcing;
                watched.left = acd.announce_num;
                let state = AddressState::Acquired;
                self.detector.conclusions.push_back(Conclusion { link, addr, state });
                addr
            }
            Phase::Probing => Ipv4Addr::UNSPECIFIED,
            Phase::Announcing | Phase::Defending => addr,
        };
        let watched = &mut self.detector.watched[index];
        watched.left = watched.left.saturating_sub(1);
        watched.next = match (watched.phase, watched.left) {
            (Phase::Probing, 0) => Some(now + acd.announce_wait),
            (Phase::Probing, _) => {
                Some(now + core.rng.duration_between(acd.probe_min, acd.probe_max))
            }
            (Phase::Announcing, 1..) => Some(now + acd.announce_interval),
            _ => {
                watched.phase = Phase::Defending;
                None
            }
        };
        self.request(core, link, MacAddr::BROADCAST, mac, sender_ip, addr);
    }

    /// Looks for a claim to one of our addresses (RFC 5227 §2.1.1, §2.4).
    pub(super) fn detect_conflict(
        &mut self,
        core: &mut Core,
        link: LinkId,
        mac: MacAddr,
        message: &Arp,
    ) {
        let is_ours = core.interfaces.get(link).is_some_and(|link| {
            link.addresses().iter().any(|address| address.cidr.addr() == message.sender_ip)
        });
        let claimed = |watched: &Watched| {
            // Another host probing for the address that we are probing for also counts.
            let rival = watched.phase == Phase::Probing
                && message.operation == ArpOperation::Request
                && message.is_probe()
                && message.target_ip == watched.addr;
            watched.link == link && (message.sender_ip == watched.addr || rival)
        };
        let index = self.detector.watched.iter().position(claimed);
        // What any of our own links sent is no conflict.
        let sender_mac = Some(message.sender_mac);
        if !is_ours && index.is_none()
            || core.interfaces.iter().any(|link| link.mac() == sender_mac)
        {
            return;
        }
        core.stats.arp.conflicts += 1;
        let Some(index) = index else { return };
        let watched = &mut self.detector.watched[index];
        let addr = watched.addr;
        let state = if watched.phase == Phase::Probing {
            AddressState::Conflict
        } else {
            // RFC 5227 §2.4 (b): defend once, give up when it happens again too soon.
            let recently = watched
                .defended
                .is_some_and(|at| core.now.saturating_since(at) < core.config.acd.defend_interval);
            if recently { AddressState::Lost } else { AddressState::Defended }
        };
        self.detector.conclusions.push_back(Conclusion { link, addr, state });
        if state == AddressState::Defended {
            watched.defended = Some(core.now);
            self.request(core, link, MacAddr::BROADCAST, mac, addr, addr);
        } else {
            self.detector.watched.swap_remove(index);
        }
    }
}

impl Conclusion {
    /// The event that tells of it.
    pub(crate) fn event(&self) -> Event<'static> {
        Event::Address { link: self.link, addr: IpAddr::V4(self.addr), state: self.state }
    }
}
