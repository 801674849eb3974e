//! Address conflict detection (RFC 5227).
//!
//! ```text
//!  add_address → PROBING ──probe_num unanswered──→ ANNOUNCING ──announce_num──→ DEFENDING
//!                   │ somebody has or wants it        │ claimed by another, once: announce again
//!                   ↓                                 ↓ again within defend_interval
//!                conflict: not taken into use       lost: given up
//! ```

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use super::ArpLayer;
use crate::core::Core;
use crate::event::{AddressState, Event};
use crate::packet::LinkId;
use crate::route::RouteKind;
use crate::time::{Duration, Instant};
use crate::timer::{TimerId, TimerWheel};
use crate::wire::arp::{Arp, ArpOperation};
use crate::wire::ethernet::MacAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Probing,
    Announcing,
    Defending,
}

/// An address of a link.
type Key = (LinkId, Ipv4Addr);

/// An address that is watched over.
#[derive(Debug)]
struct Watched {
    mac: MacAddr,
    phase: Phase,
    /// Probes or announcements still to send.
    left: u8,
    /// For the next of them.
    timer: Option<TimerId>,
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
    watched: BTreeMap<Key, Watched>,
    timers: TimerWheel<Key>,
    /// What was found out, oldest first.
    conclusions: VecDeque<Conclusion>,
}

impl Detector {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    fn remove(&mut self, key: Key) {
        if let Some(timer) = self.watched.remove(&key).and_then(|watched| watched.timer) {
            self.timers.cancel(timer);
        }
    }

    /// The watched address that a message claims. Another host probing for the address that we
    /// are probing for also counts.
    fn claimed(&self, link: LinkId, message: &Arp) -> Option<Key> {
        let (sender, target) = ((link, message.sender_ip), (link, message.target_ip));
        if self.watched.contains_key(&sender) {
            return Some(sender);
        }
        let probe = message.operation == ArpOperation::Request && message.is_probe();
        let rival = self.watched.get(&target).filter(|_| probe);
        rival.is_some_and(|watched| watched.phase == Phase::Probing).then_some(target)
    }
}

impl ArpLayer {
    /// Begins to probe for an address (RFC 5227 §2.1.1).
    pub(crate) fn watch(&mut self, core: &mut Core, link: LinkId, mac: MacAddr, addr: Ipv4Addr) {
        let wait = core.rng.duration_between(Duration::ZERO, core.config.acd.probe_wait);
        let key = (link, addr);
        self.detector.remove(key);
        let watched = Watched {
            mac,
            phase: Phase::Probing,
            left: core.config.acd.probe_num,
            timer: Some(self.detector.timers.insert(core.now + wait, key)),
            defended: None,
        };
        self.detector.watched.insert(key, watched);
    }

    /// Watches over an address, or all of a link, no longer.
    pub(crate) fn unwatch(&mut self, link: LinkId, addr: Option<Ipv4Addr>) {
        let of_link = (link, Ipv4Addr::UNSPECIFIED)..=(link, Ipv4Addr::BROADCAST);
        let keys: Vec<Key> = match addr {
            Some(addr) => [(link, addr)].into(),
            None => self.detector.watched.range(of_link).map(|(key, _)| *key).collect(),
        };
        keys.into_iter().for_each(|key| self.detector.remove(key));
    }

    /// The next address about which something was found out.
    pub(crate) fn poll_conclusion(&mut self) -> Option<Conclusion> {
        self.detector.conclusions.pop_front()
    }

    /// Sends the probes and announcements that are due.
    pub(crate) fn handle_timeout(&mut self, core: &mut Core, now: Instant) {
        while let Some(key) = self.detector.timers.expire(now) {
            self.step(core, now, key);
        }
    }

    fn step(&mut self, core: &mut Core, now: Instant, key: Key) {
        let acd = core.config.acd.clone();
        let (link, addr) = key;
        let Some(watched) = self.detector.watched.get_mut(&key) else { return };
        let mac = watched.mac;
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
        watched.left = watched.left.saturating_sub(1);
        let wait = match (watched.phase, watched.left) {
            (Phase::Probing, 0) => Some(acd.announce_wait),
            (Phase::Probing, _) => Some(core.rng.duration_between(acd.probe_min, acd.probe_max)),
            (Phase::Announcing, 1..) => Some(acd.announce_interval),
            _ => {
                watched.phase = Phase::Defending;
                None
            }
        };
        watched.timer = wait.map(|wait| self.detector.timers.insert(now + wait, key));
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
        let is_ours = core
            .routes
            .lookup(message.sender_ip, None)
            .is_some_and(|route| route.kind == RouteKind::Local && route.link == Some(link));
        let claimed = self.detector.claimed(link, message);
        if !is_ours && claimed.is_none() {
            return;
        }
        // What any of our own links sent is no conflict.
        let sender_mac = Some(message.sender_mac);
        if core.interfaces.iter().any(|link| link.mac() == sender_mac) {
            return;
        }
        core.stats.arp.conflicts += 1;
        let Some(key) = claimed else { return };
        let Some(watched) = self.detector.watched.get_mut(&key) else { return };
        let addr = key.1;
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
            self.detector.remove(key);
        }
    }
}

impl Conclusion {
    /// The event that tells of it.
    pub(crate) fn event(&self) -> Event<'static> {
        Event::Address { link: self.link, addr: IpAddr::V4(self.addr), state: self.state }
    }
}
