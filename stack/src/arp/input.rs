//! Messages that arrive (Linux `arp_process`).

use core::net::{IpAddr, Ipv4Addr};

use super::{ArpLayer, Outgoing, link_address};
use crate::core::Core;
use crate::event::Event;
use crate::neigh::NeighbourTable;
use crate::packet::{LinkId, Packet, PacketType};
use crate::route::RouteKind;
use crate::stats::DropReason;
use crate::wire::arp::{Arp, ArpOperation};
use crate::wire::ethernet::MacAddr;

impl ArpLayer {
    /// Takes a message from a link; the packet's bytes begin with the ARP header.
    pub(crate) fn input(
        &mut self,
        core: &mut Core,
        neighbours: &mut NeighbourTable,
        link: LinkId,
        packet: Packet,
    ) {
        let reason = match Arp::parse(packet.bytes()) {
            Ok(message) => {
                core.see(|| Event::ArpIn { link, message: &message });
                match self.message(core, neighbours, link, &packet, &message) {
                    Ok(()) => {
                        core.pool.put(packet);
                        return;
                    }
                    Err(reason) => reason,
                }
            }
            Err(_) => DropReason::ArpMalformed,
        };
        core.discard(packet, reason);
    }

    fn message(
        &mut self,
        core: &mut Core,
        neighbours: &mut NeighbourTable,
        link: LinkId,
        packet: &Packet,
        message: &Arp,
    ) -> Result<(), DropReason> {
        let mac = link_address(core, link).ok_or(DropReason::ArpIgnored)?;
        if packet.meta.packet_type == PacketType::OtherHost {
            return Err(DropReason::OtherHost);
        }
        match message.operation {
            ArpOperation::Request => core.stats.arp.in_requests += 1,
            ArpOperation::Reply => core.stats.arp.in_replies += 1,
            ArpOperation::Other(_) => return Err(DropReason::ArpIgnored),
        }
        // Nobody can be at these addresses (Linux arp_process).
        let target = message.target_ip;
        if target.is_multicast() || target.is_loopback() || !message.sender_mac.is_unicast() {
            return Err(DropReason::ArpIgnored);
        }
        self.detect_conflict(core, link, mac, message);
        if message.operation == ArpOperation::Request {
            if message.is_probe() {
                // RFC 5227 §2.1.1: somebody wants the address; defend it if it is ours.
                return match core.routes.is_local(target) {
                    true => self.reply(core, link, mac, message),
                    false => Err(DropReason::ArpIgnored),
                };
            }
            if is_plausible_sender(core, link, message.sender_ip) && answers_for(core, link, target)
            {
                let sender = IpAddr::V4(message.sender_ip);
                if !neighbours.asked_by(core.now, link, sender, message.sender_mac) {
                    return Err(DropReason::NeighbourTableFull);
                }
                return self.reply(core, link, mac, message);
            }
        }
        learn(core, neighbours, link, packet, message)
    }

    /// Answers a request with our own address.
    fn reply(
        &mut self,
        core: &mut Core,
        link: LinkId,
        mac: MacAddr,
        request: &Arp,
    ) -> Result<(), DropReason> {
        core.stats.arp.out_replies += 1;
        let message = Arp {
            operation: ArpOperation::Reply,
            sender_mac: mac,
            sender_ip: request.target_ip,
            target_mac: request.sender_mac,
            target_ip: request.sender_ip,
        };
        self.outgoing.push_back(Outgoing { link, dst: request.sender_mac, message });
        Ok(())
    }
}

/// Whether a request for `target` is for us to answer: it is ours, or we stand in for it (RFC 1027,
/// `proxy_arp`).
fn answers_for(core: &Core, link: LinkId, target: Ipv4Addr) -> bool {
    let Some(route) = core.routes.lookup(target, None) else { return false };
    match route.kind {
        RouteKind::Local => true,
        RouteKind::Unicast => {
            core.config.ipv4.forward
                && route.link != Some(link)
                && core.interfaces.get(link).is_some_and(|link| link.config.proxy_arp)
        }
        _ => false,
    }
}

/// Updates what is known already; strangers are not learnt (Linux `arp_accept` off).
fn learn(
    core: &mut Core,
    neighbours: &mut NeighbourTable,
    link: LinkId,
    packet: &Packet,
    message: &Arp,
) -> Result<(), DropReason> {
    let sender = IpAddr::V4(message.sender_ip);
    if !neighbours.knows(link, sender) || core.routes.is_local(message.sender_ip) {
        return Err(DropReason::ArpIgnored);
    }
    // Broadcast replies and requests do not show that the neighbour hears us.
    let reachable =
        message.operation == ArpOperation::Reply && packet.meta.packet_type == PacketType::Host;
    // Linux arp_is_garp: an announcement by reply names its sender's MAC address twice.
    let overriding = message.is_announcement()
        && (message.operation == ArpOperation::Request || message.target_mac == message.sender_mac);
    neighbours.heard(core.now, link, sender, message.sender_mac, reachable, overriding);
    Ok(())
}

/// Whether a host may have this address: what Linux asks `ip_route_input` before it answers.
fn is_plausible_sender(core: &Core, link: LinkId, addr: Ipv4Addr) -> bool {
    let accept_local = core.interfaces.get(link).is_some_and(|link| link.config.accept_local);
    !addr.is_multicast()
        && !addr.is_broadcast()
        && !addr.is_loopback()
        && addr.octets()[0] != 0
        && (accept_local || !core.routes.is_local(addr))
}
