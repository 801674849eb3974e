//! Packets that leave: header, OUTPUT, POSTROUTING, fragmentation.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::deliver::refused;
use super::fragment::{FragmentError, fragment};
use super::input::End;
use super::route::{self, NoWay, OutputRoute};
use super::{Egress, Ipv4Layer, Looped, NextHop, options};
use crate::core::Core;
use crate::event::Event;
use crate::filter::hook::HookPoint;
use crate::flow::{Flow, PmtuDiscovery};
use crate::packet::{ChecksumState, Gso, LinkId, Packet, PacketType, segment};
use crate::socket::SocketError;
use crate::stats::DropReason;
use crate::wire::icmpv4::{Message, Unreachable};
use crate::wire::ipv4::{self, Ipv4, Ipv4Repr, Protocol};
use crate::wire::ipv4_options;

/// Why a packet was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SendError {
    pub(crate) error: SocketError,
    /// With [`SocketError::MessageTooLong`], what would have fitted, in bytes of IP packet.
    pub(crate) mtu: usize,
}

/// A hook discarded it.
const NOT_PERMITTED: SendError = SendError { error: SocketError::NotPermitted, mtu: 0 };

impl Ipv4Layer {
    /// Sends a packet whose bytes begin with the transport header (Linux `ip_push_pending_frames`).
    pub(crate) fn send(
        &mut self,
        core: &mut Core,
        mut packet: Packet,
        flow: &Flow<'_>,
    ) -> Result<(), SendError> {
        let route = match self.route_for(core, flow) {
            Ok(route) => route,
            Err(error) => return Err(refused(core, packet, error)),
        };
        let header_len = ipv4::HEADER_LEN + flow.options.len();
        let len = header_len + packet.len();
        // What is cut before it meets a wire must fit it then.
        let wire_len = header_len + segment::transport_len(&packet);
        if let Err(mtu) = check_len(flow, &route, len, wire_len) {
            core.stats.ip.frag_fails += 1;
            core.stats.ip.out_discards += 1;
            core.discard(packet, DropReason::FragmentationNeeded);
            return Err(SendError { error: SocketError::MessageTooLong, mtu });
        }
        packet.mark_transport(0);
        let segments = packet.meta.gso.map_or(1, |gso| gso.segments);
        let header = packet.push(header_len);
        header[ipv4::HEADER_LEN..].copy_from_slice(flow.options);
        let dst = match route.next_hop {
            // 0.0.0.0 stands for this host.
            NextHop::Local(dst) => dst,
            _ => flow.dst,
        };
        // RFC 6864 §4.1: an atomic packet needs no identification. Linux gives it one where DF
        // depends on the length only.
        let id = match (flow.ident, flow.pmtu) {
            (Some(ident), _) => ident,
            (None, PmtuDiscovery::Do | PmtuDiscovery::Probe) => 0,
            (None, PmtuDiscovery::Dont | PmtuDiscovery::Want) => {
                self.identifiers.next(core.now, route.src, dst, flow.protocol, segments)
            }
        };
        header_of(core, flow, &route, dst, id, (len, wire_len)).emit(header);
        packet.mark_network();
        packet.meta.mark = flow.mark;
        seed_checksum(&mut packet, route.src, dst, flow.protocol, header_len);
        if !flow.options.is_empty() {
            options::record(core, &mut packet, route.src, options::Station::Sender);
        }
        self.local_out(core, packet, route, flow)
    }

    /// The link, the neighbour and the header of a large segment of `transport` and `payload` bytes
    /// that goes straight to its link: nothing looks at it on its way, nothing is to be done with it
    /// but to cut it. `None` when it must take the way of all packets.
    pub(crate) fn straight(
        &mut self,
        core: &mut Core,
        flow: &Flow<'_>,
        transport: usize,
        payload: usize,
        gso: Gso,
    ) -> Option<(LinkId, Ipv4Addr, Ipv4Repr)> {
        let hooks = &core.hooks;
        let seen = hooks.any(HookPoint::Output) || hooks.any(HookPoint::Postrouting);
        if seen || hooks.defragment() || !flow.options.is_empty() {
            return None;
        }
        let route = self.route_for(core, flow).ok()?;
        let NextHop::Unicast(next_hop) = route.next_hop else { return None };
        let headers = ipv4::HEADER_LEN + transport;
        let (len, wire_len) = (headers + payload, headers + usize::from(gso.size).min(payload));
        if wire_len > route.mtu || check_len(flow, &route, len, wire_len).is_err() {
            return None;
        }
        let header = header_of(core, flow, &route, flow.dst, flow.ident?, (len, wire_len));
        Some((route.link, next_hop, header))
    }

    /// Counts what went straight to its link.
    pub(crate) fn sent_straight(&mut self, core: &mut Core, len: u16) {
        core.stats.ip.out_requests += 1;
        core.stats.ip.out_transmits += 1;
        core.stats.ip.out_octets += u64::from(len);
    }

    /// Sends a packet that brings its own header (`IP_HDRINCL`, raw(7)). The stack fills in total
    /// length and checksum always, source and identification where they are zero.
    pub(crate) fn send_with_header(
        &mut self,
        core: &mut Core,
        mut packet: Packet,
        flow: &Flow<'_>,
    ) -> Result<(), SendError> {
        let route = match self.route_for(core, flow) {
            Ok(route) => route,
            Err(error) => return Err(refused(core, packet, error)),
        };
        // Linux raw_send_hdrinc: such packets are not fragmented.
        if packet.len() > route.link_mtu {
            core.stats.ip.out_discards += 1;
            core.discard(packet, DropReason::FragmentationNeeded);
            return Err(SendError { error: SocketError::MessageTooLong, mtu: route.link_mtu });
        }
        let len = packet.len() as u16;
        if let Some(field) = packet.bytes_mut().get_mut(2..4) {
            field.copy_from_slice(&len.to_be_bytes());
        }
        let Ok(header) = Ipv4::parse(packet.bytes()) else {
            let reason = DropReason::Ipv4HeaderError;
            return Err(refused(
                core,
                packet,
                NoWay { error: SocketError::InvalidArgument, reason },
            ));
        };
        let (header_len, protocol) = (header.header_len(), header.protocol());
        let (src, dst, id) = (header.src(), header.dst(), header.id());
        let dont_fragment = header.dont_fragment();
        let bytes = packet.bytes_mut();
        if src.is_unspecified() {
            ipv4::set_src(bytes, route.src);
        }
        // As Linux, which leaves atomic packets alone (RFC 6864 §4.1).
        if id == 0 && !dont_fragment {
            ipv4::set_id(bytes, self.identifiers.next(core.now, route.src, dst, protocol, 1));
        }
        ipv4::fill_checksum(bytes);
        packet.mark_network();
        packet.mark_transport(header_len);
        packet.meta.mark = flow.mark;
        self.local_out(core, packet, route, flow)
    }

    /// The source address that a packet to `dst` would have.
    pub(crate) fn source_for(
        &self,
        core: &mut Core,
        dst: Ipv4Addr,
    ) -> Result<Ipv4Addr, SocketError> {
        let route = route::output(core, &Flow::new(dst, Protocol::RAW));
        route.map(|route| route.src).map_err(|refusal| refusal.error)
    }

    /// The source address of a flow, which its sender must be allowed to send.
    pub(crate) fn source_of(
        &mut self,
        core: &mut Core,
        flow: &Flow<'_>,
    ) -> Result<Ipv4Addr, SocketError> {
        self.route_for(core, flow).map(|route| route.src).map_err(|refusal| refusal.error)
    }

    /// The path MTU to `dst`.
    pub(crate) fn path_mtu(&self, core: &mut Core, dst: Ipv4Addr) -> Result<usize, SocketError> {
        let route = route::output(core, &Flow::new(dst, Protocol::RAW));
        route.map(|route| route.mtu).map_err(|refusal| refusal.error)
    }

    /// Routes a flow and checks that its sender may go there.
    fn route_for(&mut self, core: &mut Core, flow: &Flow<'_>) -> Result<OutputRoute, NoWay> {
        let route = route::output(core, flow)?;
        // ip(7), SO_BROADCAST.
        if route.next_hop == NextHop::Broadcast && !flow.broadcast {
            let reason = DropReason::BroadcastRefused;
            return Err(NoWay { error: SocketError::PermissionDenied, reason });
        }
        Ok(route)
    }

    /// OUTPUT, and the route again if a hook changed what it depends on (Linux
    /// `ip_route_me_harder`).
    fn local_out(
        &mut self,
        core: &mut Core,
        mut packet: Packet,
        mut route: OutputRoute,
        flow: &Flow<'_>,
    ) -> Result<(), SendError> {
        core.stats.ip.out_requests += 1;
        packet.meta.link_out = Some(route.link);
        // Linux icmp_out_count.
        if let Ok(header) = Ipv4::parse(packet.bytes())
            && header.protocol() == Protocol::ICMP
        {
            core.stats.icmp.count_out(header.payload().first().copied().unwrap_or(u8::MAX));
        }
        core.see(|| Event::Ipv4Out { packet: &packet });
        if core.hooks.defragment() {
            match self.reassemble(core, packet) {
                Some(whole) => packet = whole,
                None => return Ok(()),
            }
        }
        if core.hooks.any(HookPoint::Output) {
            let before = route_key(&packet);
            packet = match self.pass(core, HookPoint::Output, packet) {
                Ok(accepted) => accepted,
                Err(End::Stolen) => return Ok(()),
                Err(End::Discarded) => {
                    core.stats.ip.out_discards += 1;
                    return Err(NOT_PERMITTED);
                }
            };
            if route_key(&packet) != before {
                let (src, dst, tos, mark) = route_key(&packet);
                // Linux asks for ANYSRC unless the source is local, which is the same.
                let changed = Flow { src: Some(src), any_source: true, dst, tos, mark, ..*flow };
                route = match route::output(core, &changed) {
                    Ok(route) => route,
                    Err(refusal) => return Err(refused(core, packet, refusal)),
                };
                packet.meta.link_out = Some(route.link);
            }
        }
        if route.loops_back && (flow.multicast_loop || route.next_hop == NextHop::Broadcast) {
            self.loop_copy(core, &packet, &route);
        }
        self.postrouting(core, packet, &route).inspect_err(|_| core.stats.ip.out_discards += 1)
    }

    /// Sends this host a copy of what it sends to many; it takes the way past POSTROUTING, too
    /// (Linux `ip_mc_output`).
    fn loop_copy(&mut self, core: &mut Core, packet: &Packet, route: &OutputRoute) {
        let mut copy = core.pool.copy(packet);
        if core.hooks.any(HookPoint::Postrouting) {
            match self.pass(core, HookPoint::Postrouting, copy) {
                Ok(accepted) => copy = accepted,
                Err(_) => return,
            }
        }
        copy.meta.link_in = Some(route.link);
        copy.meta.packet_type = match route.next_hop {
            NextHop::Broadcast => PacketType::Broadcast,
            _ => PacketType::Multicast,
        };
        self.enqueue_backlog(core, Looped { packet: copy, local: true });
    }

    /// POSTROUTING, fragmentation, and on to the link: the only way out.
    pub(super) fn postrouting(
        &mut self,
        core: &mut Core,
        mut packet: Packet,
        route: &OutputRoute,
    ) -> Result<(), SendError> {
        if core.hooks.any(HookPoint::Postrouting) {
            match self.pass(core, HookPoint::Postrouting, packet) {
                Ok(accepted) => packet = accepted,
                Err(End::Stolen) => return Ok(()),
                Err(End::Discarded) => return Err(NOT_PERMITTED),
            }
        }
        match route.next_hop {
            NextHop::Broadcast => core.stats.ip.out_bcast_pkts += 1,
            NextHop::Multicast(_) => core.stats.ip.out_mcast_pkts += 1,
            NextHop::Local(_) | NextHop::Unicast(_) => {}
        }
        // RFC 1122 §3.3.6, RFC 1112 §6.1: a multicast with TTL 0 does not leave this host.
        if let NextHop::Multicast(_) = route.next_hop
            && Ipv4::parse(packet.bytes()).is_ok_and(|header| header.ttl() == 0)
        {
            core.discard(packet, DropReason::TtlExpired);
            return Ok(());
        }
        let longest =
            packet.meta.max_fragment.map_or(route.mtu, |longest| route.mtu.min(longest.into()));
        if segment::network_len(&packet) > longest {
            return self.fragmented(core, packet, route, longest);
        }
        self.egress(core, packet, route.link, route.next_hop);
        Ok(())
    }

    fn fragmented(
        &mut self,
        core: &mut Core,
        packet: Packet,
        route: &OutputRoute,
        mtu: usize,
    ) -> Result<(), SendError> {
        // Fragments with DF became this packet, and it fragments with DF again.
        let dont_fragment =
            packet.meta.max_fragment.is_none_or(|longest| usize::from(longest) > mtu)
                && Ipv4::parse(packet.bytes()).is_ok_and(|header| header.dont_fragment());
        let fits_link = segment::network_len(&packet) <= route.link_mtu;
        if dont_fragment && fits_link {
            // A probe beyond the path MTU (PmtuDiscovery::Probe).
            self.egress(core, packet, route.link, route.next_hop);
            return Ok(());
        }
        if dont_fragment {
            core.stats.ip.frag_fails += 1;
            let code = Unreachable::FragmentationNeeded { mtu: route.mtu as u16 };
            self.send_error(core, &packet, Message::DestinationUnreachable(code));
            core.discard(packet, DropReason::FragmentationNeeded);
            return Err(SendError { error: SocketError::MessageTooLong, mtu: route.mtu });
        }
        if packet.meta.gso.is_some() {
            return self.segmented(core, packet, route, mtu);
        }
        let (link, next_hop) = (route.link, route.next_hop);
        let first = self.egress.len();
        let egress = &mut self.egress;
        let cut = fragment(packet, mtu, &mut core.pool, |packet| {
            egress.push_back(Egress { packet, link, next_hop });
        });
        match cut {
            Ok(fragments) => {
                core.stats.ip.frag_oks += 1;
                core.stats.ip.frag_creates += fragments as u64;
                core.stats.ip.out_transmits += fragments as u64;
                for Egress { packet, .. } in self.egress.iter().skip(first) {
                    core.stats.ip.out_octets += packet.len() as u64;
                }
                if let Some(Egress { packet, .. }) = self.egress.get(first) {
                    core.observers.see(core.now, || Event::Fragmented { packet, fragments });
                }
                Ok(())
            }
            Err(FragmentError::Malformed(_) | FragmentError::TooLong) => {
                core.stats.ip.frag_fails += 1;
                core.discard(Packet::default(), DropReason::Ipv4HeaderError);
                Err(SendError { error: SocketError::InvalidArgument, mtu: 0 })
            }
            Err(FragmentError::MtuTooSmall) => {
                core.stats.ip.frag_fails += 1;
                core.discard(Packet::default(), DropReason::FragmentationNeeded);
                Err(SendError { error: SocketError::MessageTooLong, mtu: route.mtu })
            }
        }
    }

    /// Cuts a large segment whose pieces do not fit, and fragments these (Linux
    /// `ip_finish_output_gso`).
    fn segmented(
        &mut self,
        core: &mut Core,
        packet: Packet,
        route: &OutputRoute,
        mtu: usize,
    ) -> Result<(), SendError> {
        let mut pieces = Vec::new();
        if let Err(packet) =
            segment::segment(packet, &mut core.pool, segment::Sums::Later, |piece| {
                pieces.push(piece)
            })
        {
            core.stats.ip.frag_fails += 1;
            core.discard(packet, DropReason::TooBigForLink);
            return Err(SendError { error: SocketError::InvalidArgument, mtu: 0 });
        }
        let mut result = Ok(());
        for piece in pieces {
            if piece.len() > mtu {
                result = self.fragmented(core, piece, route, mtu).and(result);
            } else {
                self.egress(core, piece, route.link, route.next_hop);
            }
        }
        result
    }

    fn egress(&mut self, core: &mut Core, packet: Packet, link: LinkId, next_hop: NextHop) {
        core.stats.ip.out_transmits += 1;
        core.stats.ip.out_octets += packet.len() as u64;
        self.egress.push_back(Egress { packet, link, next_hop });
    }

    /// Queues a packet on the loopback.
    pub(crate) fn enqueue_backlog(&mut self, core: &mut Core, looped: Looped) {
        if self.backlog.len() >= core.config.core.netdev_max_backlog {
            core.discard(looped.packet, DropReason::BacklogFull);
            return;
        }
        self.backlog.push_back(looped);
    }
}

/// The header of a packet of `len` bytes, of which `wire_len` will be on the wire together.
fn header_of(
    core: &Core,
    flow: &Flow<'_>,
    route: &OutputRoute,
    dst: Ipv4Addr,
    id: u16,
    (len, wire_len): (usize, usize),
) -> Ipv4Repr {
    let dont_fragment = match flow.pmtu {
        PmtuDiscovery::Dont => false,
        PmtuDiscovery::Want => {
            wire_len <= route.mtu && !route.locked && !core.config.ipv4.no_pmtu_disc
        }
        PmtuDiscovery::Do | PmtuDiscovery::Probe => true,
    };
    let default_ttl = if dst.is_multicast() { 1 } else { core.config.ipv4.default_ttl };
    Ipv4Repr {
        tos: flow.tos,
        id,
        dont_fragment,
        more_fragments: false,
        fragment_offset: 0,
        ttl: flow.ttl.unwrap_or(default_ttl),
        protocol: flow.protocol,
        src: route.src,
        dst,
        total_len: len as u16,
        options_len: flow.options.len(),
    }
}

/// Whether a packet of `len` bytes, of which `wire_len` will be on the wire together, may be sent;
/// the error is the MTU that its sender is told.
fn check_len(
    flow: &Flow<'_>,
    route: &OutputRoute,
    len: usize,
    wire_len: usize,
) -> Result<(), usize> {
    let (limit, mtu) = match flow.pmtu {
        PmtuDiscovery::Dont | PmtuDiscovery::Want => (ipv4::MAX_LEN, route.mtu),
        PmtuDiscovery::Do => (route.mtu, route.mtu),
        PmtuDiscovery::Probe => (route.link_mtu, route.link_mtu),
    };
    if len > ipv4::MAX_LEN || wire_len > limit { Err(mtu) } else { Ok(()) }
}

/// Puts the sum of the pseudo-header, which the transport could not know before the route, into a
/// checksum still to be finished.
fn seed_checksum(
    packet: &mut Packet,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    protocol: Protocol,
    header_len: usize,
) {
    let ChecksumState::Partial { offset, .. } = packet.meta.checksum else { return };
    packet.meta.checksum = ChecksumState::Partial { start: header_len as u16, offset };
    let transport_len = packet.transport().len() as u16;
    let sum = ipv4::pseudo_header_sum(src, dst, protocol, transport_len).fold();
    let offset = usize::from(offset);
    if let Some(field) = packet.transport_mut().get_mut(offset..offset + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

/// What the route of a packet depends on.
fn route_key(packet: &Packet) -> (Ipv4Addr, Ipv4Addr, u8, u32) {
    match Ipv4::parse(packet.bytes()) {
        Ok(header) => (header.src(), header.dst(), header.tos(), packet.meta.mark),
        Err(_) => (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, 0, packet.meta.mark),
    }
}

/// Pads the options that a socket wants to send and checks them (`IP_OPTIONS`, ip(7)). Source
/// routes are not supported.
pub(crate) fn prepare_options(wanted: &[u8]) -> Result<([u8; 40], usize), SocketError> {
    let mut padded = [0; ipv4_options::MAX_LEN];
    let room = padded.get_mut(..wanted.len()).ok_or(SocketError::InvalidArgument)?;
    room.copy_from_slice(wanted);
    let len = ipv4_options::padded_len(wanted.len());
    match options::check(&padded[..len]) {
        Ok(summary) if summary.source_route => Err(SocketError::NotSupported),
        Ok(_) => Ok((padded, len)),
        Err(_) => Err(SocketError::InvalidArgument),
    }
}
