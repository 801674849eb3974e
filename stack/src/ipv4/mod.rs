//! IPv4: from a validated header to a socket, and from a socket to an egress.
//!
//! ```text
//! input    validate → PREROUTING → route ─→ deliver: options, reassemble, INPUT → icmp, udp, raw
//!                                    └────→ forward: TTL, MTU, redirect, FORWARD ─┐
//! send     route → header → OUTPUT → (route again if changed) ────────────────────┴→ postrouting
//! postrouting    POSTROUTING → fragment → Egress
//! ```
//! IPv4 never talks to a link: what leaves is an `Egress`, made by `postrouting` alone, so
//! nothing goes around the hooks. What is for this host itself goes to the backlog and comes in
//! again on the loopback.

mod deliver;
mod forward;
pub mod fragment;
mod ident;
mod input;
mod options;
mod output;
pub mod reassembly;
mod reject;
mod route;
#[cfg(test)]
mod tests;

pub(crate) use output::{SendError, prepare_options};

use alloc::collections::VecDeque;
use core::net::Ipv4Addr;

use crate::config::Config;
use crate::packet::{LinkId, Packet};
use crate::rng::{KeyedHash, Rng};
use crate::time::Instant;
use forward::Redirects;
use ident::Identifiers;
use reassembly::Reassembler;

/// Whom the frame of an outgoing packet is addressed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextHop {
    /// A neighbour, still to be resolved.
    Unicast(Ipv4Addr),
    /// Everybody on the link.
    Broadcast,
    /// A group.
    Multicast(Ipv4Addr),
}

/// A packet that passed POSTROUTING and fits its link.
#[derive(Debug)]
pub(crate) struct Egress {
    packet: Packet,
    link: LinkId,
    next_hop: NextHop,
}

impl Egress {
    /// The packet, its link and the next hop.
    pub(crate) fn into_parts(self) -> (Packet, LinkId, NextHop) {
        (self.packet, self.link, self.next_hop)
    }
}

/// IPv4's own state.
#[derive(Debug)]
pub(crate) struct Ipv4Layer {
    reassembler: Reassembler,
    identifiers: Identifiers,
    redirects: Redirects,
    /// Packets for links, oldest first. Emptied after every call, so it is as long as one packet's
    /// fragments and answers.
    egress: VecDeque<Egress>,
    /// Packets of this host for itself; at most `netdev_max_backlog`.
    backlog: VecDeque<Packet>,
}

impl Ipv4Layer {
    pub(crate) fn new(config: &Config, rng: &mut Rng) -> Self {
        Ipv4Layer {
            reassembler: Reassembler::new(config.ipv4.reassembly, KeyedHash::new(rng.key())),
            identifiers: Identifiers::new(rng),
            redirects: Redirects::new(KeyedHash::new(rng.key()), config.icmp.max_redirected),
            egress: VecDeque::new(),
            backlog: VecDeque::new(),
        }
    }

    /// The next packet for a link.
    pub(crate) fn poll_egress(&mut self) -> Option<Egress> {
        self.egress.pop_front()
    }

    /// The next packet of this host for itself.
    pub(crate) fn poll_backlog(&mut self) -> Option<Packet> {
        self.backlog.pop_front()
    }

    /// Whether packets wait on the loopback.
    pub(crate) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.reassembler.next_deadline()
    }

    /// Bytes of buffer that waiting fragments take.
    pub(crate) fn reassembly_memory(&self) -> usize {
        self.reassembler.memory()
    }
}
