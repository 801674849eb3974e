//! ARP (RFC 826, RFC 1122 §2.3.2, Linux `net/ipv4/arp.c`): asks, answers, and teaches the neighbour
//! cache only what was asked for or what asks us.
//!
//! Messages to send are left in a queue, like every answer.

mod conflict;
mod input;

use alloc::collections::VecDeque;
use core::net::{IpAddr, Ipv4Addr};

use crate::core::Core;
use crate::neigh::NeighbourTable;
use crate::packet::LinkId;
use crate::route::Scope;
use crate::time::Instant;
use crate::wire::arp::{Arp, ArpOperation};
use crate::wire::ethernet::MacAddr;
use crate::wire::ipv4::Ipv4;
use conflict::Detector;

/// An ARP message on its way out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing {
    pub(crate) link: LinkId,
    /// Whom the frame is addressed to.
    pub(crate) dst: MacAddr,
    pub(crate) message: Arp,
}

/// ARP's own state.
#[derive(Debug, Default)]
pub(crate) struct ArpLayer {
    outgoing: VecDeque<Outgoing>,
    detector: Detector,
}

impl ArpLayer {
    /// The next message to send.
    pub(crate) fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.detector.poll_timeout()
    }

    /// Asks who has `target`: everybody, or to probe a known neighbour only `unicast` (Linux
    /// `arp_solicit`).
    pub(crate) fn solicit(
        &mut self,
        core: &mut Core,
        neighbours: &NeighbourTable,
        link: LinkId,
        target: Ipv4Addr,
        unicast: Option<MacAddr>,
    ) {
        let Some(mac) = link_address(core, link) else { return };
        let waiting = neighbours.first_waiting(link, IpAddr::V4(target));
        let sender_ip = waiting
            .and_then(|packet| Ipv4::parse(packet.network()).ok())
            .map(|header| header.src())
            .filter(|src| core.routes.is_local(*src))
            .or_else(|| core.source_address(link, Some(target), Scope::Link));
        let Some(sender_ip) = sender_ip else { return };
        self.request(core, link, unicast.unwrap_or(MacAddr::BROADCAST), mac, sender_ip, target);
    }

    /// Queues a request; with `sender_ip` 0.0.0.0 a probe, with both addresses equal an
    /// announcement (RFC 5227 §1.1).
    pub(crate) fn request(
        &mut self,
        core: &mut Core,
        link: LinkId,
        dst: MacAddr,
        sender_mac: MacAddr,
        sender_ip: Ipv4Addr,
        target_ip: Ipv4Addr,
    ) {
        core.stats.arp.out_requests += 1;
        let message = Arp {
            operation: ArpOperation::Request,
            sender_mac,
            sender_ip,
            target_mac: MacAddr::ZERO,
            target_ip,
        };
        self.outgoing.push_back(Outgoing { link, dst, message });
    }
}

/// The link-layer address of a link, if it has one.
fn link_address(core: &Core, link: LinkId) -> Option<MacAddr> {
    core.interfaces.get(link)?.mac()
}
