//! From IPv4 and ARP to the links' queues.

use core::net::IpAddr;

use super::Stack;
use crate::event::Event;
use crate::flow::Flow;
use crate::interface::LinkKind;
use crate::ipv4::{Looped, NextHop};
use crate::link;
use crate::neigh::Action;
use crate::packet::segment::Cutter;
use crate::packet::{LinkId, Metadata, Packet, PacketType};
use crate::stats::DropReason;
use crate::tcp::{Payload, send_buf};
use crate::time::Instant;
use crate::wire::arp;
use crate::wire::ethernet::{self, EtherType, EthernetRepr, MacAddr};
use crate::wire::icmpv4::{Message, Unreachable};
use crate::wire::ipv4;
use crate::wire::tcp;

impl Stack {
    /// Queues a whole frame on a link, as it is: Ethernet, or on a link without Ethernet an IP
    /// packet.
    pub fn send_frame(&mut self, now: Instant, link: LinkId, mut frame: Packet) {
        self.advance(now);
        frame.mark_mac();
        self.enqueue(link, frame);
    }

    /// Carries on everything that the layers have left to send, until nothing is left.
    pub(super) fn flush(&mut self) {
        loop {
            if let Some(egress) = self.ipv4.poll_egress() {
                let (packet, link, next_hop) = egress.into_parts();
                self.transmit(link, next_hop, packet);
            } else if let Some(action) = self.neighbours.poll_action() {
                self.neighbour_action(action);
            } else if let Some(outgoing) = self.arp.poll_outgoing() {
                self.transmit_arp(outgoing);
            } else if !self.poll_tcp() {
                return;
            }
        }
    }

    /// Gives a packet from IPv4 to its link, once the next hop is resolved.
    fn transmit(&mut self, link: LinkId, next_hop: NextHop, mut packet: Packet) {
        let Some(interface) = self.core.interfaces.get(link) else {
            self.core.discard(packet, DropReason::LinkDown);
            return;
        };
        let src = match interface.kind {
            LinkKind::Loopback => {
                packet.meta.link_in = Some(LinkId::LOOPBACK);
                let is_member =
                    matches!(next_hop, NextHop::Multicast(group) if interface.is_member(group));
                let len = packet.len() as u64;
                if let Some(lo) = self.link_mut(LinkId::LOOPBACK) {
                    lo.counters.tx_packets += 1;
                    lo.counters.tx_bytes += len;
                }
                self.core.see(|| Event::LinkOut { link, packet: &packet });
                let (packet_type, local) = match next_hop {
                    NextHop::Local(_) => (PacketType::Host, true),
                    NextHop::Unicast(_) => (PacketType::Host, false),
                    NextHop::Broadcast => (PacketType::Broadcast, true),
                    NextHop::Multicast(_) => (PacketType::Multicast, is_member),
                };
                packet.meta.packet_type = packet_type;
                self.ipv4.enqueue_backlog(&mut self.core, Looped { packet, local });
                return;
            }
            LinkKind::Ip => {
                // One end leads to the other, whoever the next hop is.
                packet.mark_mac();
                self.enqueue(link, packet);
                return;
            }
            LinkKind::Ethernet(mac) => mac,
        };
        let dst = match next_hop {
            NextHop::Broadcast => MacAddr::BROADCAST,
            NextHop::Multicast(group) => MacAddr::from_ipv4_multicast(group),
            // Local never leads to an Ethernet link.
            NextHop::Unicast(hop) | NextHop::Local(hop) => {
                let hop = IpAddr::V4(hop);
                match self.neighbours.resolve(self.core.now, link, hop) {
                    Some(mac) => mac,
                    None => {
                        self.neighbours.hold(self.core.now, link, hop, packet);
                        return;
                    }
                }
            }
        };
        self.transmit_frame(link, src, dst, EtherType::IPV4, packet);
    }

    /// Sends a large segment whose payload is still in the send buffer by a link that takes none:
    /// cuts it out of there right into the link's queue, so that its bytes are copied only once.
    /// `segment` is its TCP header. Returns false, and has done nothing, when there is more on its
    /// way than a neighbour who is known: then it takes that way, whole.
    pub(super) fn transmit_cut(
        &mut self,
        flow: &Flow<'_>,
        segment: &Packet,
        payload: Payload,
    ) -> bool {
        self.cut_into_queue(flow, segment, payload).is_some()
    }

    fn cut_into_queue(
        &mut self,
        flow: &Flow<'_>,
        segment: &Packet,
        payload: Payload,
    ) -> Option<()> {
        // Who watches sees large segments.
        if self.core.observers.0.is_some() {
            return None;
        }
        let gso = segment.meta.gso?;
        let transport = segment.bytes();
        let (id, next_hop, header) =
            self.ipv4.straight(&mut self.core, flow, transport.len(), payload.len, gso)?;
        let interface = self.core.interfaces.get(id).filter(|interface| interface.up)?;
        let mut headers = [0; ethernet::HEADER_LEN + ipv4::HEADER_LEN + tcp::MAX_HEADER_LEN];
        let link_len = match interface.kind {
            LinkKind::Ethernet(src) => {
                let dst = self.neighbours.resolve(self.core.now, id, IpAddr::V4(next_hop))?;
                EthernetRepr { dst, src, ethertype: EtherType::IPV4 }.emit(&mut headers);
                ethernet::HEADER_LEN
            }
            LinkKind::Ip => 0,
            LinkKind::Loopback => return None,
        };
        let link = self.links.get_mut(id)?;
        let limit = self.core.config.core.tx_queue_len;
        if !link::output::cuts(link, limit, usize::from(header.total_len)) {
            return None;
        }
        header.emit(&mut headers[link_len..]);
        let headers = headers.get_mut(..link_len + ipv4::HEADER_LEN + transport.len())?;
        headers[link_len + ipv4::HEADER_LEN..].copy_from_slice(transport);
        let meta = Metadata { link_out: Some(id), mark: flow.mark, ..Metadata::default() };
        let sums = link::output::sums(link);
        let cutter = Cutter::new(headers, link_len, payload.len, gso, meta, sums)?;
        let tcb = self.core.tcp.sockets.tcb_at(payload.index)?;
        let start = tcb.send_offset(payload.seq);
        if tcb.send.len() < start + payload.len || usize::from(gso.size) > send_buf::CHUNK {
            return None;
        }
        let send = &tcb.send;
        let frames = link::output::cut(link, &cutter, &mut self.core.pool, |range| {
            send.pieces(start + range.start, range.len())
        });
        self.core.tx_backlog += frames;
        self.ipv4.sent_straight(&mut self.core, header.total_len);
        Some(())
    }

    fn neighbour_action(&mut self, action: Action) {
        match action {
            Action::Solicit { link, addr: IpAddr::V4(target), unicast } => {
                self.arp.solicit(&mut self.core, &self.neighbours, link, target, unicast);
            }
            Action::Solicit { .. } => {}
            Action::Transmit { link, mac, packet } => {
                let src = self.core.interfaces.get(link).and_then(|interface| interface.mac());
                match src {
                    Some(src) => self.transmit_frame(link, src, mac, EtherType::IPV4, packet),
                    None => self.core.discard(packet, DropReason::LinkDown),
                }
            }
            Action::Unreachable { packet } => {
                // Linux ipv4_link_failure.
                let message = Message::DestinationUnreachable(Unreachable::Host);
                self.ipv4.send_error(&mut self.core, &packet, message);
                self.core.discard(packet, DropReason::NeighbourFailed);
            }
            Action::Discard { packet, reason } => self.core.discard(packet, reason),
            Action::Changed(neighbour) => self.core.see(|| Event::Neighbour(neighbour)),
        }
    }

    fn transmit_arp(&mut self, outgoing: crate::arp::Outgoing) {
        let crate::arp::Outgoing { link, dst, message } = outgoing;
        self.core.see(|| Event::ArpOut { link, message: &message });
        let mut packet = self.core.pool.take(arp::LEN);
        message.emit(packet.put(arp::LEN));
        packet.mark_network();
        self.transmit_frame(link, message.sender_mac, dst, EtherType::ARP, packet);
    }

    fn transmit_frame(
        &mut self,
        link: LinkId,
        src: MacAddr,
        dst: MacAddr,
        ethertype: EtherType,
        mut packet: Packet,
    ) {
        link::output::emit_header(&mut packet, src, dst, ethertype);
        self.enqueue(link, packet);
    }

    fn enqueue(&mut self, id: LinkId, packet: Packet) {
        let up = self.core.interfaces.get(id).is_some_and(|interface| interface.up);
        let limit = self.core.config.core.tx_queue_len;
        let Some(link) = self.links.get_mut(id).filter(|_| up) else {
            self.core.discard(packet, DropReason::LinkDown);
            return;
        };
        match link::output::enqueue(link, limit, packet, &mut self.core.pool) {
            Ok(frames) => {
                self.core.tx_backlog += frames;
                for packet in link.queue.range(link.queue.len() - frames..) {
                    self.core.observers.see(self.core.now, || Event::LinkOut { link: id, packet });
                }
            }
            Err((packet, reason)) => self.core.discard(packet, reason),
        }
    }
}
