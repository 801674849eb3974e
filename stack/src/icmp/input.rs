//! Messages that arrive (Linux `icmp_rcv`).

use core::net::{IpAddr, Ipv4Addr};

use super::{OptionBytes, Outgoing};
use crate::core::Core;
use crate::event::{Event, Receiver};
use crate::flow::PmtuDiscovery;
use crate::interface::LinkKind;
use crate::packet::{ChecksumState, LinkId, Packet, PacketType};
use crate::route::{RouteKind, Scope};
use crate::socket::{ErrorOrigin, Quoted, Socket, SocketError, SocketErrorReport, SocketKind};
use crate::stats::DropReason;
use crate::tcp::{self, FourTuple};
use crate::wire::checksum::update16;
use crate::wire::icmpv4::{self, Icmpv4, Message, RedirectCode, TIMESTAMP_LEN, Unreachable, types};
use crate::wire::ipv4::{Ipv4, Protocol};
use crate::wire::seq::SeqNumber;

/// What a message came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All done; the packet is taken care of.
    Done,
    /// An answer is to be sent.
    Reply(Outgoing),
}

/// Takes a packet for this host whose bytes begin with the ICMP header.
pub(crate) fn input(core: &mut Core, packet: Packet) -> Outcome {
    core.stats.icmp.in_msgs += 1;
    let Ok(icmp) = Icmpv4::parse(packet.bytes()) else {
        return refuse(core, packet, DropReason::IcmpMalformed);
    };
    if packet.meta.checksum == ChecksumState::None && !icmp.verify_checksum() {
        core.stats.icmp.in_csum_errors += 1;
        return refuse(core, packet, DropReason::IcmpChecksum);
    }
    let icmp_type = icmp.icmp_type();
    core.stats.icmp.count_in(icmp_type);
    if icmp_type > super::MAX_TYPE {
        return refuse(core, packet, DropReason::IcmpUnhandled);
    }
    let message = icmp.message();
    if sent_to_many(core, &packet) && !may_be_sent_to_many(core, icmp_type) {
        return refuse(core, packet, DropReason::IcmpIgnored);
    }
    match message {
        Message::Echo { .. } if core.config.icmp.echo_ignore_all => {
            drop_quietly(core, packet, DropReason::IcmpIgnored)
        }
        Message::Echo { .. } => echo(core, packet),
        Message::EchoReply { ident, .. } => echo_reply(core, packet, ident),
        Message::Timestamp { .. } => timestamp(core, packet),
        Message::Redirect { code, gateway } => redirect(core, packet, code, gateway),
        Message::DestinationUnreachable(_)
        | Message::SourceQuench
        | Message::TimeExceeded(_)
        | Message::ParameterProblem { .. } => error_message(core, packet, message),
        // Known, but nothing for a host to do (Linux `icmp_discard`): information and mask
        // requests and replies, router discovery, timestamp replies.
        _ => drop_quietly(core, packet, DropReason::IcmpUnhandled),
    }
}

/// RFC 792, RFC 1122 §3.2.2.6: the same data back. The request's buffer becomes the reply.
fn echo(core: &mut Core, mut packet: Packet) -> Outcome {
    core.see(|| Event::Delivered { to: Receiver::Icmp, packet: &packet });
    let Ok(header) = Ipv4::parse(packet.network()) else {
        return refuse(core, packet, DropReason::IcmpMalformed);
    };
    let (dst, tos) = (header.src(), header.tos());
    let Some(options) = OptionBytes::echo(header.options()) else {
        return drop_quietly(core, packet, DropReason::Ipv4OptionError);
    };
    let src = reply_source(core, &packet, header.dst(), dst);
    // The update below needs a whole checksum to start from.
    packet.finish_checksum();
    let message = packet.bytes_mut();
    let request = u16::from_be_bytes([message[0], message[1]]);
    let reply = u16::from_be_bytes([types::ECHO_REPLY, message[1]]);
    let checksum = match update16(u16::from_be_bytes([message[2], message[3]]), request, reply) {
        // All ones verifies wherever zero does, and also when every other byte is zero.
        0 => 0xffff,
        checksum => checksum,
    };
    message[0] = types::ECHO_REPLY;
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    Outcome::Reply(Outgoing { packet: as_reply(packet), dst, src, tos, options })
}

/// RFC 792, RFC 1122 §3.2.2.8: the time it arrived and the time it leaves, here the same.
fn timestamp(core: &mut Core, mut packet: Packet) -> Outcome {
    if packet.len() < TIMESTAMP_LEN {
        return refuse(core, packet, DropReason::IcmpMalformed);
    }
    core.see(|| Event::Delivered { to: Receiver::Icmp, packet: &packet });
    let Ok(header) = Ipv4::parse(packet.network()) else {
        return refuse(core, packet, DropReason::IcmpMalformed);
    };
    let (dst, tos) = (header.src(), header.tos());
    let Some(options) = OptionBytes::echo(header.options()) else {
        return drop_quietly(core, packet, DropReason::Ipv4OptionError);
    };
    let src = reply_source(core, &packet, header.dst(), dst);
    let now = core.timestamp().to_be_bytes();
    packet.truncate(TIMESTAMP_LEN);
    let message = packet.bytes_mut();
    message[0] = types::TIMESTAMP_REPLY;
    message[1] = 0;
    message[12..16].copy_from_slice(&now);
    message[16..20].copy_from_slice(&now);
    icmpv4::fill_checksum(message);
    Outcome::Reply(Outgoing { packet: as_reply(packet), dst, src, tos, options })
}

fn echo_reply(core: &mut Core, packet: Packet, ident: u16) -> Outcome {
    let Ok(header) = Ipv4::parse(packet.network()) else {
        return refuse(core, packet, DropReason::IcmpMalformed);
    };
    let (src, dst) = (header.src(), header.dst());
    let Some(id) = core.sockets.find_ping(ident, src, dst, packet.meta.link_in) else {
        // Raw sockets may have had their copy; for ICMP itself there is nobody to tell.
        return drop_quietly(core, packet, DropReason::NoSocket);
    };
    core.see(|| Event::Delivered { to: Receiver::Ping(id), packet: &packet });
    core.give(id, packet);
    Outcome::Done
}

/// RFC 1122 §3.2.2.2: believed only from the gateway in use, and only for a gateway on the link.
fn redirect(core: &mut Core, packet: Packet, code: RedirectCode, new_gateway: Ipv4Addr) -> Outcome {
    let Some(quoted) = quoted(&packet) else {
        return refuse(core, packet, DropReason::IcmpMalformed);
    };
    if redirect_is_believable(core, &packet, &quoted, code, new_gateway)
        && let Some(link) = packet.meta.link_in
    {
        core.exceptions.update_gateway(core.now, quoted.dst, link, new_gateway);
    }
    let message = Message::Redirect { code, gateway: new_gateway };
    report(core, packet, message, quoted)
}

fn redirect_is_believable(
    core: &Core,
    packet: &Packet,
    quoted: &Quoted,
    code: RedirectCode,
    new_gateway: Ipv4Addr,
) -> bool {
    let Ok(header) = Ipv4::parse(packet.network()) else { return false };
    let Some(link) = packet.meta.link_in.and_then(|link| core.interfaces.get(link)) else {
        return false;
    };
    let Some(route) = core.routes.lookup(quoted.dst, None) else { return false };
    let gateway = core.exceptions.gateway(core.now, quoted.dst, link.id).or(route.gateway);
    // What is quoted must be a packet of ours that went by a gateway.
    link.config.accept_redirects
        && !matches!(code, RedirectCode::Unknown(_))
        && core.routes.is_local(quoted.src)
        && !core.config.ipv4.forward
        && matches!(link.kind, LinkKind::Ethernet(_))
        && route.kind == RouteKind::Unicast
        && route.link == Some(link.id)
        && gateway == Some(header.src())
        && new_gateway != header.src()
        && core.routes.lookup(new_gateway, Some(link.id)).is_some_and(|to_gateway| {
            to_gateway.kind == RouteKind::Unicast && to_gateway.gateway.is_none()
        })
        && link.is_on_link(new_gateway)
}

/// Destination unreachable, source quench, time exceeded, parameter problem (Linux
/// `icmp_unreach`): obeyed and passed on to the sockets whose packet is quoted.
fn error_message(core: &mut Core, packet: Packet, message: Message) -> Outcome {
    let Some(quoted) = quoted(&packet) else {
        return refuse(core, packet, DropReason::IcmpMalformed);
    };
    if let Message::DestinationUnreachable(Unreachable::Unknown(_)) = message {
        return drop_quietly(core, packet, DropReason::IcmpUnhandled);
    }
    if core.config.icmp.ignore_bogus_error_responses
        && core.routes.lookup_kind(quoted.dst) == Some(RouteKind::Broadcast)
    {
        return drop_quietly(core, packet, DropReason::IcmpIgnored);
    }
    let segment = quoted_segment(&packet, &quoted);
    // RFC 5927 §4.1, §7.2: what quotes a segment that is not in flight is likely forged.
    let believable = segment.is_none_or(|(tuple, seq)| tcp::is_in_flight(core, &tuple, seq));
    if let Message::DestinationUnreachable(Unreachable::FragmentationNeeded { mtu }) = message
        && !core.config.ipv4.no_pmtu_disc
        && core.routes.is_local(quoted.src)
        && believable
    {
        learn_path_mtu(core, quoted.dst, None, mtu);
        // A socket bound to a link sends by that link, whatever the best route is (Linux
        // ipv4_sk_update_pmtu).
        let mut at = 0;
        let link = packet.meta.link_in;
        while let Some(id) = core.sockets.next_sender(&quoted, link, false, &mut at) {
            let bound = core.sockets.get(id).ok().and_then(|socket| socket.options.bind_link);
            if bound.is_some() {
                learn_path_mtu(core, quoted.dst, bound, mtu);
            }
        }
    }
    if let Some((tuple, seq)) = segment {
        tcp::quoted_error(core, tuple, seq, message);
    }
    report(core, packet, message, quoted)
}

/// Connection and sequence number of the TCP segment that an error quotes.
fn quoted_segment(packet: &Packet, quoted: &Quoted) -> Option<(FourTuple, SeqNumber)> {
    if quoted.protocol != Protocol::TCP {
        return None;
    }
    let inner = packet.bytes().get(icmpv4::HEADER_LEN..)?;
    let header = inner.get(quoted_header_len(inner)?..)?.first_chunk::<8>()?;
    let [a, b, c, d, e, f, g, h] = *header;
    let tuple = FourTuple {
        local: quoted.src,
        remote: quoted.dst,
        local_port: u16::from_be_bytes([a, b]),
        remote_port: u16::from_be_bytes([c, d]),
    };
    Some((tuple, SeqNumber(u32::from_be_bytes([e, f, g, h]))))
}

/// RFC 1191 §3, for the path by the best route, or by that over `bound`.
fn learn_path_mtu(core: &mut Core, dst: Ipv4Addr, bound: Option<LinkId>, mtu: u16) {
    let route = core.routes.lookup(dst, bound);
    let over = bound.or_else(|| route.and_then(|route| route.link));
    let Some(link) = over.and_then(|link| core.interfaces.get(link)) else { return };
    let link_mtu = u16::try_from(link.mtu).unwrap_or(u16::MAX);
    let route_mtu = route.and_then(|route| route.mtu).map_or(link_mtu, |mtu| mtu.min(link_mtu));
    core.exceptions.update_pmtu(core.now, dst, link.id, mtu, route_mtu);
}

/// The addresses of the packet that an error quotes; `None` when less is quoted than RFC 792
/// asks for, the header and eight bytes.
fn quoted(packet: &Packet) -> Option<Quoted> {
    let inner = packet.bytes().get(icmpv4::HEADER_LEN..)?;
    let header_len = quoted_header_len(inner)?;
    let transport = inner.get(header_len..header_len + 8)?;
    let protocol = Protocol(inner[9]);
    let is_echo = protocol == Protocol::ICMP && transport[0] == types::ECHO;
    let ident = u16::from_be_bytes([transport[4], transport[5]]);
    let addr = |at: usize| Ipv4Addr::new(inner[at], inner[at + 1], inner[at + 2], inner[at + 3]);
    let port = |at: usize| u16::from_be_bytes([transport[at], transport[at + 1]]);
    let is_udp = protocol == Protocol::UDP;
    Some(Quoted {
        src: addr(12),
        dst: addr(16),
        protocol,
        ident: is_echo.then_some(ident),
        ports: is_udp.then(|| (port(0), port(2))),
    })
}

/// The length of a quoted header. The rest of the packet is cut off, so its total length says
/// nothing.
fn quoted_header_len(inner: &[u8]) -> Option<usize> {
    let header_len = usize::from(inner.first()? & 0x0f) * 4;
    (inner[0] >> 4 == 4 && header_len >= 20 && inner.len() >= header_len).then_some(header_len)
}

/// Tells the sockets whose packet is quoted.
fn report(core: &mut Core, mut packet: Packet, message: Message, quoted: Quoted) -> Outcome {
    let Ok(header) = Ipv4::parse(packet.network()) else {
        return refuse(core, packet, DropReason::IcmpMalformed);
    };
    let offender = IpAddr::V4(header.src());
    let link = packet.meta.link_in;
    // Our own errors come back over the loopback, whatever link the packet should have left by.
    let link = link.filter(|link| *link != LinkId::LOOPBACK);
    let redirect = matches!(message, Message::Redirect { .. });
    let mut at = 0;
    let mut next = core.sockets.next_sender(&quoted, link, redirect, &mut at);
    // Linux __udp4_lib_err.
    let is_udp = |id| core.sockets.get(id).is_ok_and(|socket| socket.kind == SocketKind::Udp);
    if quoted.ports.is_some() && !next.is_some_and(is_udp) {
        core.stats.icmp.in_errors += 1;
    }
    if next.is_none() {
        core.see(|| Event::Delivered { to: Receiver::Icmp, packet: &packet });
        core.pool.put(packet);
        return Outcome::Done;
    }
    packet.pull(icmpv4::HEADER_LEN);
    packet.mark_network();
    let header_len = quoted_header_len(packet.bytes()).unwrap_or(0);
    packet.mark_transport(header_len);
    packet.pull(header_len);
    let (error, info) = meaning(message);
    while let Some(id) = next {
        next = core.sockets.next_sender(&quoted, link, redirect, &mut at);
        let Ok(socket) = core.sockets.get_mut(id) else { continue };
        if !concerns(message, socket) {
            continue;
        }
        if !socket.options.receive_errors {
            // Who does not ask for errors learns of hard ones, and only about its peer.
            if is_hard(message, socket) && socket.peer.is_some() {
                socket.pending_error = Some(error);
                core.wakers.wake_all(id);
            }
            continue;
        }
        socket.pending_error = Some(error);
        core.wakers.wake_all(id);
        let mut copy = core.pool.copy(&packet);
        copy.seek_to_transport();
        let report = SocketErrorReport {
            error,
            origin: ErrorOrigin::Icmp,
            icmp_type: message.icmp_type(),
            code: message.code(),
            info,
            offender: Some(offender),
            destination: IpAddr::V4(quoted.dst),
            packet: copy,
        };
        if let Err(packet) = core.sockets.report(id, report) {
            core.discard(packet, DropReason::SocketQueueFull);
        }
    }
    core.pool.put(packet);
    Outcome::Done
}

/// Whether an error matters to the kind of socket (Linux `ping_err`, `raw_err`,
/// `__udp4_lib_err`).
fn concerns(message: Message, socket: &Socket) -> bool {
    let is_raw = matches!(socket.kind, SocketKind::Raw { .. });
    match message {
        Message::SourceQuench | Message::Redirect { .. } => {
            matches!(socket.kind, SocketKind::Ping { .. })
        }
        Message::DestinationUnreachable(Unreachable::FragmentationNeeded { .. }) => {
            is_raw || socket.options.pmtu_discovery != PmtuDiscovery::Dont
        }
        _ => true,
    }
}

/// Whether nothing more will get through (RFC 1122 §4.2.3.9, Linux `harderr`).
fn is_hard(message: Message, socket: &Socket) -> bool {
    match message {
        // Whoever sets DF sends nothing of that size any more.
        Message::DestinationUnreachable(Unreachable::FragmentationNeeded { .. }) => {
            socket.options.pmtu_discovery != PmtuDiscovery::Dont
        }
        Message::DestinationUnreachable(code) => SocketError::from_unreachable(code).1,
        Message::ParameterProblem { .. } => true,
        _ => false,
    }
}

/// What an error message means to a socket, and the number that comes with it.
fn meaning(message: Message) -> (SocketError, u32) {
    match message {
        Message::DestinationUnreachable(code) => {
            let mtu = match code {
                Unreachable::FragmentationNeeded { mtu } => u32::from(mtu),
                _ => 0,
            };
            (SocketError::from_unreachable(code).0, mtu)
        }
        // Not real errors, but ping wants to see them (Linux `ping_err`).
        Message::Redirect { gateway, .. } => (SocketError::RemoteIo, u32::from(gateway)),
        Message::ParameterProblem { pointer, .. } => {
            (SocketError::ProtocolError, u32::from(pointer))
        }
        Message::SourceQuench => (SocketError::RemoteIo, 0),
        _ => (SocketError::HostUnreachable, 0),
    }
}

/// Whether the packet was addressed to more than this host, at the link or above.
fn sent_to_many(core: &Core, packet: &Packet) -> bool {
    let Ok(header) = Ipv4::parse(packet.network()) else { return true };
    let dst = header.dst();
    packet.meta.packet_type != PacketType::Host
        && (dst.is_multicast()
            || dst.is_broadcast()
            || core.routes.lookup_kind(dst) == Some(RouteKind::Broadcast))
}

/// RFC 1122 §3.2.2.6 and §3.2.2.8 allow echo and timestamp requests to many to be ignored; any
/// other message but those of the address mask makes no sense there.
fn may_be_sent_to_many(core: &Core, icmp_type: u8) -> bool {
    match icmp_type {
        types::ECHO | types::TIMESTAMP => !core.config.icmp.echo_ignore_broadcasts,
        types::ADDRESS_MASK_REQUEST | types::ADDRESS_MASK_REPLY => true,
        _ => false,
    }
}

/// RFC 1122 §3.2.2.6: the reply comes from the address the request went to; if that was many,
/// from an address of the link it arrived on.
fn reply_source(
    core: &Core,
    packet: &Packet,
    asked: Ipv4Addr,
    asker: Ipv4Addr,
) -> Option<Ipv4Addr> {
    if packet.meta.packet_type == PacketType::Host || core.routes.is_local(asked) {
        return Some(asked);
    }
    core.source_address(packet.meta.link_in, Some(asker), Scope::Link)
}

/// Makes the buffer of a request that of its reply.
fn as_reply(mut packet: Packet) -> Packet {
    packet.meta = crate::packet::Metadata::default();
    packet
}

/// Discards a message with an error in it.
fn refuse(core: &mut Core, packet: Packet, reason: DropReason) -> Outcome {
    core.stats.icmp.in_errors += 1;
    core.discard(packet, reason);
    Outcome::Done
}

fn drop_quietly(core: &mut Core, packet: Packet, reason: DropReason) -> Outcome {
    core.discard(packet, reason);
    Outcome::Done
}
