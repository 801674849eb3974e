//! Packets for this host: options, reassembly, INPUT, and the protocol above.

use core::net::Ipv4Addr;

use super::Ipv4Layer;
use super::options::{self, Station};
use super::reassembly::{Outcome, ReassemblyError};
use super::route::NoWay;
use crate::core::Core;
use crate::event::{Event, Receiver};
use crate::filter::hook::HookPoint;
use crate::flow::{Flow, PmtuDiscovery};
use crate::icmp::{self, ErrorLimit};
use crate::igmp;
use crate::packet::{GsoKind, LinkId, Packet, segment};
use crate::route::Scope;
use crate::socket::SocketError;
use crate::stats::DropReason;
use crate::tcp;
use crate::time::Instant;
use crate::udp;
use crate::wire::icmpv4::{self, Message, TimeExceeded, Unreachable};
use crate::wire::ipv4::{self, Ipv4, Protocol};
use crate::wire::ipv4_options::{Ipv4Options, RA};

/// IPTOS_PREC_INTERNETCONTROL.
const TOS_INTERNETWORK_CONTROL: u8 = 0xc0;

impl Ipv4Layer {
    /// Gives a packet for this host to whom it is for (Linux `ip_local_deliver`).
    pub(super) fn deliver(&mut self, core: &mut Core, mut packet: Packet) {
        // Linux udp_queue_rcv_skb: to a socket each datagram is one.
        if packet.meta.gso.is_some_and(|gso| gso.kind == GsoKind::UdpV4) {
            let mut datagrams = core::mem::take(&mut self.datagrams);
            let sums = segment::Sums::Later;
            let cut = segment::segment(packet, &mut core.pool, sums, |piece| datagrams.push(piece));
            if let Err(packet) = cut {
                // A hook has made something else of it.
                core.discard(packet, DropReason::UdpMalformed);
            }
            datagrams.drain(..).for_each(|datagram| self.deliver(core, datagram));
            self.datagrams = datagrams;
            return;
        }
        if packet.network_header_len() > ipv4::HEADER_LEN {
            let addr = own_address(core, &packet);
            options::record(core, &mut packet, addr, Station::Receiver);
        }
        match self.reassemble(core, packet) {
            Some(whole) => packet = whole,
            None => return,
        }
        if core.hooks.any(HookPoint::Input) {
            match self.pass(core, HookPoint::Input, packet) {
                Ok(accepted) => packet = accepted,
                Err(_) => return,
            }
        }
        let Ok(header) = Ipv4::parse(packet.network()) else {
            core.discard(packet, DropReason::Ipv4HeaderError);
            return;
        };
        let (protocol, header_len) = (header.protocol(), header.header_len());
        let heard = core.sockets.any_raw(protocol) && deliver_raw(core, &packet, protocol);
        packet.pull(header_len);
        match protocol {
            Protocol::ICMP => {
                core.stats.ip.in_delivers += 1;
                if let icmp::Outcome::Reply(reply) = icmp::input(core, packet) {
                    self.send_icmp(core, reply);
                }
            }
            Protocol::IGMP => {
                core.stats.ip.in_delivers += 1;
                self.igmp.input(core, packet);
                self.send_igmp(core);
            }
            Protocol::UDP => {
                core.stats.ip.in_delivers += 1;
                if let Err((packet, reason)) = udp::input(core, packet) {
                    if reason == DropReason::NoSocket {
                        let message = Message::DestinationUnreachable(Unreachable::Port);
                        self.send_error(core, &packet, message);
                    }
                    core.discard(packet, reason);
                }
            }
            Protocol::TCP => {
                core.stats.ip.in_delivers += 1;
                tcp::input(core, packet);
            }
            _ if heard => {
                core.stats.ip.in_delivers += 1;
                core.pool.put(packet);
            }
            _ => {
                // RFC 1122 §3.2.2.1.
                core.stats.ip.in_unknown_protos += 1;
                let message = Message::DestinationUnreachable(Unreachable::Protocol);
                self.send_error(core, &packet, message);
                core.discard(packet, DropReason::UnknownProtocol);
            }
        }
    }

    /// Gives a packet with the router alert option to the raw sockets of its protocol that asked for
    /// such packets, instead of forwarding it (RFC 2113 §2.1, Linux `ip_call_ra_chain`). Returns it
    /// when none did.
    pub(super) fn alert(&mut self, core: &mut Core, packet: Packet) -> Option<Packet> {
        let Ok(header) = Ipv4::parse(packet.network()) else { return Some(packet) };
        let protocol = header.protocol();
        // RFC 2113 §2.1: only the value 0 asks routers to examine the packet.
        let alerts = Ipv4Options::new(header.options())
            .flatten()
            .any(|option| option.kind() == RA && option.router_alert() == Ok(0));
        let link = packet.meta.link_in;
        let asked = |core: &Core, id| {
            core.sockets.get(id).is_ok_and(|socket| {
                let bound = socket.options.bind_link;
                socket.options.router_alert && (bound.is_none() || bound == link)
            })
        };
        let sockets = |core: &Core, n| core.sockets.nth_raw(protocol, n);
        let mut all = (0..).map_while(|n| sockets(core, n));
        if !alerts || !all.any(|id| asked(core, id)) {
            return Some(packet);
        }
        let packet = self.reassemble(core, packet)?;
        let mut n = 0;
        while let Some(id) = sockets(core, n) {
            n += 1;
            if !asked(core, id) {
                continue;
            }
            let copy = core.pool.copy(&packet);
            core.see(|| Event::Delivered { to: Receiver::Raw(id), packet: &packet });
            core.give(id, copy);
        }
        core.pool.put(packet);
        None
    }

    /// Adds a fragment to its datagram; returns the datagram once it is whole. What is no fragment
    /// is whole.
    pub(super) fn reassemble(&mut self, core: &mut Core, packet: Packet) -> Option<Packet> {
        if !Ipv4::parse(packet.network()).is_ok_and(|header| header.is_fragment()) {
            return Some(packet);
        }
        let outcome = self.reassembler.insert(core.now, packet, &mut core.pool);
        self.count_reassembly(core);
        match outcome {
            Outcome::Pending => None,
            Outcome::Complete { mut packet, max_fragment_size } => {
                packet.meta.max_fragment = Some(max_fragment_size);
                core.see(|| Event::Reassembled { packet: &packet });
                Some(packet)
            }
            Outcome::Dropped { error, packet } => {
                let reason = match error {
                    ReassemblyError::Duplicate => DropReason::ReassemblyDuplicate,
                    ReassemblyError::Overlap => DropReason::ReassemblyOverlap,
                    ReassemblyError::OutOfMemory | ReassemblyError::TooManyFragments => {
                        DropReason::ReassemblyMemory
                    }
                    _ => DropReason::ReassemblyMalformed,
                };
                core.discard(packet, reason);
                None
            }
        }
    }

    /// Gives up datagrams that waited too long; the source is told if the first fragment came
    /// (RFC 792, RFC 1122 §3.3.2) and this is the end host (Linux `ip_expire`).
    pub(crate) fn handle_timeout(&mut self, core: &mut Core, now: Instant) {
        while let Some(expired) = self.reassembler.expire(now, &mut core.pool) {
            self.count_reassembly(core);
            let first = expired.first.unwrap_or_default();
            let dst = Ipv4::parse(first.network()).ok().map(|header| header.dst());
            if dst.is_some_and(|dst| core.routes.is_local(dst)) {
                let message = Message::TimeExceeded(TimeExceeded::Reassembly);
                self.send_error(core, &first, message);
            }
            core.discard(first, DropReason::ReassemblyTimeout);
        }
        self.igmp.handle_timeout(core, now);
        self.send_igmp(core);
    }

    /// Tells the sender of `original` of an error, unless it must not be told.
    pub(crate) fn send_error(&mut self, core: &mut Core, original: &Packet, message: Message) {
        let limit = match original.meta.link_in {
            // Our own packets, not yet sent or back over the loopback.
            None | Some(LinkId::LOOPBACK) => ErrorLimit::Unlimited,
            Some(_) => ErrorLimit::Limited,
        };
        if let Some(outgoing) = icmp::error(core, original, message, limit) {
            self.send_icmp(core, outgoing);
        }
    }

    fn send_icmp(&mut self, core: &mut Core, outgoing: icmp::Outgoing) {
        let icmp::Outgoing { packet, dst, src, tos, options } = outgoing;
        // Without DF, as Linux's own ICMP socket sends.
        let options = options.as_slice();
        // ICMP has chosen the source: an own address, or the dummy one of RFC 7600.
        let any_source = true;
        let flow = Flow { src, any_source, tos, options, ..Flow::new(dst, Protocol::ICMP) };
        if self.send(core, packet, &flow).is_err() {
            core.stats.icmp.out_errors += 1;
        }
    }

    /// Sends what IGMP has to say (Linux `igmp_send_report`, `igmpv3_newpack`): TTL 1 and router
    /// alert (RFC 2236 §2, RFC 3376 §4), internetwork control (RFC 3376 §4), DF.
    pub(super) fn send_igmp(&mut self, core: &mut Core) {
        while let Some(igmp::Outgoing { link, src, dst, packet }) = self.igmp.poll_outgoing() {
            let flow = Flow {
                src: Some(src),
                any_source: true,
                tos: TOS_INTERNETWORK_CONTROL,
                ttl: Some(1),
                link: Some(link),
                pmtu: PmtuDiscovery::Do,
                options: &igmp::ROUTER_ALERT,
                ..Flow::new(dst, Protocol::IGMP)
            };
            match self.send(core, packet, &flow) {
                Ok(()) => core.stats.igmp.out_msgs += 1,
                Err(_) => core.stats.igmp.out_errors += 1,
            }
        }
    }

    fn count_reassembly(&self, core: &mut Core) {
        let counted = self.reassembler.stats();
        core.stats.ip.reasm_reqds = counted.reasm_reqds;
        core.stats.ip.reasm_oks = counted.reasm_oks;
        core.stats.ip.reasm_fails = counted.reasm_fails;
        core.stats.ip.reasm_timeout = counted.reasm_timeout;
        core.stats.ip.reasm_overlaps = counted.reasm_overlaps;
    }
}

/// Gives a copy to every raw socket that wants the packet (Linux `raw_local_deliver`); tells
/// whether there was one.
fn deliver_raw(core: &mut Core, packet: &Packet, protocol: Protocol) -> bool {
    let Ok(header) = Ipv4::parse(packet.network()) else { return false };
    let (src, dst) = (header.src(), header.dst());
    let icmp_type = match protocol {
        Protocol::ICMP => Some(
            header
                .payload()
                .first()
                .copied()
                .filter(|_| header.payload().len() >= icmpv4::HEADER_LEN),
        ),
        _ => None,
    };
    let mut heard = false;
    let mut n = 0;
    while let Some(id) = core.sockets.nth_raw(protocol, n) {
        n += 1;
        let Ok(socket) = core.sockets.get(id) else { continue };
        // raw(7), ICMP_FILTER: only the first 32 types can be filtered. Less than a header has
        // no type, and is (Linux icmp_filter).
        let filtered = icmp_type.is_some_and(|icmp_type| match icmp_type {
            Some(icmp_type) => icmp_type < 32 && socket.options.icmp_filter & (1 << icmp_type) != 0,
            None => true,
        });
        if filtered || !socket.wants(src, dst, packet.meta.link_in) {
            continue;
        }
        let (link, all) = (packet.meta.link_in, socket.options.multicast_all);
        if !core.memberships.may_receive(id, dst, src, link, all) {
            continue;
        }
        heard = true;
        let copy = core.pool.copy(packet);
        core.see(|| Event::Delivered { to: Receiver::Raw(id), packet });
        core.give(id, copy);
    }
    heard
}

/// The address of ours that the packet came to: its destination, or if that is many, one of the
/// link (Linux `fib_compute_spec_dst`).
fn own_address(core: &Core, packet: &Packet) -> Ipv4Addr {
    let Ok(header) = Ipv4::parse(packet.network()) else { return Ipv4Addr::UNSPECIFIED };
    if core.routes.is_local(header.dst()) {
        return header.dst();
    }
    core.source_address(packet.meta.link_in, Some(header.src()), Scope::Link)
        .unwrap_or(Ipv4Addr::UNSPECIFIED)
}

/// What a packet that cannot be sent means to whoever tries.
pub(super) fn refused(
    core: &mut Core,
    packet: Packet,
    refusal: impl Into<NoWay>,
) -> super::SendError {
    let NoWay { error, reason } = refusal.into();
    if error == SocketError::NetworkUnreachable {
        core.stats.ip.out_no_routes += 1;
    } else {
        core.stats.ip.out_discards += 1;
    }
    core.discard(packet, reason);
    super::SendError { error, mtu: 0 }
}
