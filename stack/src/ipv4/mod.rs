//! IPv4: from a validated header to a socket, and from a socket to an egress.
//!
//! ```text
//! input    validate → PREROUTING → route ─→ deliver: options, reassemble, INPUT → icmp, igmp, udp, raw
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

pub(crate) use output::{SendError, prepare_options};

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use crate::config::Config;
use crate::core::Core;
use crate::igmp::IgmpLayer;
use crate::igmp::membership::Change;
use crate::packet::{LinkId, Packet};
use crate::rng::{KeyedHash, Rng};
use crate::time::Instant;
use forward::Redirects;
use ident::Identifiers;
use reassembly::Reassembler;

/// Whom the frame of an outgoing packet is addressed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextHop {
    /// This host itself, over the loopback, under this address.
    Local(Ipv4Addr),
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

/// A packet on the loopback.
#[derive(Debug)]
pub(crate) struct Looped {
    pub(crate) packet: Packet,
    /// The route that it was sent by says that it is for this host (Linux keeps `skb_dst` over the
    /// loopback). What merely was sent over `lo` is not.
    pub(crate) local: bool,
}

/// IPv4's own state.
#[derive(Debug)]
pub(crate) struct Ipv4Layer {
    reassembler: Reassembler,
    identifiers: Identifiers,
    redirects: Redirects,
    igmp: IgmpLayer,
    /// Packets for links, oldest first. Emptied after every call, so it is as long as one packet's
    /// fragments and answers.
    egress: VecDeque<Egress>,
    /// Packets on the loopback; at most `netdev_max_backlog`.
    backlog: VecDeque<Looped>,
    /// The datagrams of a large one being delivered; kept for its memory.
    datagrams: Vec<Packet>,
}

impl Ipv4Layer {
    pub(crate) fn new(config: &Config, rng: &mut Rng) -> Self {
        Ipv4Layer {
            reassembler: Reassembler::new(config.ipv4.reassembly, KeyedHash::new(rng.key())),
            identifiers: Identifiers::new(rng),
            redirects: Redirects::new(config.icmp.redirects, KeyedHash::new(rng.key())),
            igmp: IgmpLayer::default(),
            egress: VecDeque::new(),
            backlog: VecDeque::new(),
            datagrams: Vec::new(),
        }
    }

    /// The next packet for a link.
    pub(crate) fn poll_egress(&mut self) -> Option<Egress> {
        self.egress.pop_front()
    }

    /// The next packet on the loopback.
    pub(crate) fn poll_backlog(&mut self) -> Option<Looped> {
        self.backlog.pop_front()
    }

    /// Whether packets wait on the loopback.
    pub(crate) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [self.reassembler.next_deadline(), self.igmp.poll_timeout()];
        deadlines.into_iter().flatten().min()
    }

    /// Counts a membership of a group on a link in or out, and tells routers.
    pub(crate) fn change_group(
        &mut self,
        core: &mut Core,
        link: LinkId,
        group: Ipv4Addr,
        change: &Change,
    ) {
        self.igmp.changed(core, link, group, change);
        self.send_igmp(core);
    }

    /// Tells routers of a link that has come up what groups it is in.
    pub(crate) fn link_up(&mut self, core: &mut Core, link: LinkId) {
        self.igmp.link_up(core, link);
        self.send_igmp(core);
    }

    /// Forgets what routers on a link that goes down were still to be told.
    pub(crate) fn link_down(&mut self, link: LinkId) {
        self.igmp.link_down(link);
    }

    /// Bytes of buffer that waiting fragments take.
    pub(crate) fn reassembly_memory(&self) -> usize {
        self.reassembler.memory()
    }
}
