//! Frames for the stack: its two links, the hosts around it, and frames made from fields.
//!
//! ```text
//!   10.0.0.2, .3, …  ──── link 0  10.0.0.1/24 [stack] 10.0.1.1/24  link 1 ────  10.0.1.2 (gateway), …
//! ```

use std::net::{Ipv4Addr, SocketAddr};

use tapping_stack::wire::ipv4::{HEADER_LEN, fill_checksum};
use tapping_stack::wire::{
    Arp, ArpOperation, EtherType, Ethernet, EthernetRepr, Icmpv4, Ipv4, Ipv4Repr, MacAddr, Message,
    Protocol, Unreachable, VlanRepr, arp, ethernet, icmpv4, ipv4, ipv4_options, tcp, udp, vlan,
};

use crate::script::Input;

/// The stack's own link-layer addresses.
pub const MACS: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];
/// The stack's own addresses.
pub const OWN: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 1, 1)];
/// The router towards everything else, on link 1.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);

const ADDRESSES: [Ipv4Addr; 16] = [
    OWN[0],
    Ipv4Addr::new(10, 0, 0, 2),
    OWN[1],
    GATEWAY,
    Ipv4Addr::new(10, 0, 0, 3),
    Ipv4Addr::new(10, 0, 0, 255),
    Ipv4Addr::new(10, 0, 1, 255),
    Ipv4Addr::BROADCAST,
    Ipv4Addr::new(224, 0, 0, 1),
    Ipv4Addr::new(239, 1, 1, 1),
    Ipv4Addr::LOCALHOST,
    Ipv4Addr::UNSPECIFIED,
    Ipv4Addr::new(192, 0, 2, 1),
    Ipv4Addr::new(10, 0, 0, 9),
    Ipv4Addr::new(240, 0, 0, 1),
    Ipv4Addr::new(10, 0, 0, 0),
];

/// How options begin; their second byte is their length: record route, timestamps with and without
/// addresses, loose and strict source route, router alert.
const OPTIONS: [&[u8]; 8] = [
    &[7, 7, 4],
    &[7, 39, 4],
    &[68, 12, 5, 0],
    &[68, 36, 5, 1],
    &[68, 12, 5, 3, 10, 0, 0, 1],
    &[131, 11, 4, 10, 0, 0, 3],
    &[137, 7, 4, 10, 0, 0, 2],
    &[148, 4, 0, 0],
];

/// An address: mostly one that means something to the stack.
pub fn address(input: &mut Input<'_>) -> Ipv4Addr {
    match input.u8() {
        n @ 0..16 => ADDRESSES[usize::from(n)],
        n @ 16..120 => Ipv4Addr::new(10, 0, 0, n),
        n @ 120..224 => Ipv4Addr::new(10, 0, 1, n),
        n @ 224..240 => ADDRESSES[usize::from(n - 224)],
        _ => Ipv4Addr::from_bits(input.u32()),
    }
}

/// Writes an address so that [`address`] reads it.
pub fn put_address(addr: Ipv4Addr, bytes: &mut Vec<u8>) {
    match ADDRESSES.iter().position(|known| *known == addr) {
        Some(n) => bytes.push(n as u8),
        None => {
            bytes.push(u8::MAX);
            bytes.extend(addr.to_bits().to_le_bytes());
        }
    }
}

/// The link-layer address of a host around the stack.
pub fn mac_of(host: Ipv4Addr) -> MacAddr {
    let [_, b, c, d] = host.octets();
    MacAddr([2, 1, 0, b, c, d])
}

/// Whom a frame for link `link` is addressed to: mostly the link.
fn destination(input: &mut Input<'_>, link: usize) -> MacAddr {
    match input.u8() {
        0..192 => MACS[link],
        192..224 => MacAddr::BROADCAST,
        224..240 => MacAddr::from_ipv4_multicast(Ipv4Addr::new(224, 0, 0, 1)),
        _ => MACS[1 - link],
    }
}

fn frame(src: MacAddr, dst: MacAddr, ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN];
    EthernetRepr { dst, src, ethertype }.emit(&mut frame);
    frame.extend_from_slice(payload);
    frame
}

/// The UDP ports in use, from 0 on.
pub const PORTS: u8 = 6;

/// A socket address from fields.
pub fn socket_address(input: &mut Input<'_>) -> SocketAddr {
    (address(input), u16::from(input.u8() % PORTS)).into()
}

/// An ARP message from fields.
pub fn arp(input: &mut Input<'_>, link: usize) -> Vec<u8> {
    let sender_ip = address(input);
    let message = Arp {
        operation: ArpOperation::from(u16::from(input.u8() % 4)),
        sender_mac: if input.u8() < 224 { mac_of(sender_ip) } else { MACS[link] },
        sender_ip,
        target_mac: MACS[link],
        target_ip: address(input),
    };
    let mut payload = [0; arp::LEN];
    message.emit(&mut payload);
    frame(message.sender_mac, destination(input, link), EtherType::ARP, &payload)
}

/// An IPv4 packet from fields, its checksums right: that of a fragment's datagram too, if the
/// datagram is all zeros.
pub fn packet(input: &mut Input<'_>, link: usize) -> Vec<u8> {
    let (src, dst) = (address(input), address(input));
    let flags = input.u8();
    let protocol = match input.u8() {
        0..128 => Protocol::ICMP,
        128..160 => Protocol::UDP,
        160..192 => Protocol::TCP,
        other => Protocol(other),
    };
    let repr = Ipv4Repr {
        tos: input.u8(),
        id: u16::from(input.u8()),
        dont_fragment: flags & 1 != 0,
        more_fragments: flags & 2 != 0,
        fragment_offset: if flags & 4 != 0 { usize::from(input.u16() & 0x1fff) * 8 } else { 0 },
        ttl: if flags & 8 != 0 { input.u8() } else { 64 },
        protocol,
        src,
        dst,
        total_len: 0,
        options_len: 0,
    };
    let mut options = Vec::new();
    if flags & 16 != 0 {
        let len = usize::from(input.u8() % 41);
        options.extend(input.bytes(len));
    }
    if flags & 64 != 0 {
        let option = OPTIONS[usize::from(input.u8()) % OPTIONS.len()];
        options.extend(option);
        options.resize(options.len() - option.len() + usize::from(option[1]), 0);
        options.truncate(ipv4_options::MAX_LEN);
    }
    let mut payload = input.counted().to_vec();
    if flags & 32 != 0 {
        // Much data for few bytes of input.
        payload.resize(payload.len() + usize::from(input.u16()), 0);
    }
    // Few ports, so that datagrams meet sockets.
    if protocol == Protocol::UDP
        && let Some(ports) = payload.first_chunk_mut::<4>()
    {
        *ports = [0, ports[1] % PORTS, 0, ports[3] % PORTS];
    }
    let dst_mac = destination(input, link);
    let packet = ip(repr, &options, payload);
    if flags & 128 != 0 {
        let mut tagged = vec![0; vlan::HEADER_LEN];
        let vid = u16::from(input.u8() % 4);
        let tag = VlanRepr { pcp: 5, dei: false, vid, ethertype: EtherType::IPV4 };
        tag.emit(&mut tagged);
        tagged.extend(packet);
        return frame(mac_of(src), dst_mac, EtherType::VLAN, &tagged);
    }
    frame(mac_of(src), dst_mac, EtherType::IPV4, &packet)
}

/// An IPv4 packet, with checksums where it is no fragment.
fn ip(repr: Ipv4Repr, options: &[u8], payload: Vec<u8>) -> Vec<u8> {
    let options_len = options.len().next_multiple_of(4);
    let header_len = HEADER_LEN + options_len;
    let mut packet = vec![0; header_len];
    packet[HEADER_LEN..][..options.len()].copy_from_slice(options);
    packet.extend(payload);
    packet.truncate(ipv4::MAX_LEN);
    let total_len = packet.len() as u16;
    Ipv4Repr { total_len, options_len, ..repr }.emit(&mut packet);
    mend_transport(&mut packet);
    packet
}

/// Makes the transport checksum of an IPv4 packet right, unless it is a fragment.
fn mend_transport(packet: &mut [u8]) {
    let Ok(header) = Ipv4::parse(packet) else { return };
    let (src, dst, protocol) = (header.src(), header.dst(), header.protocol());
    let (start, end) = (header.header_len(), header.total_len());
    if header.is_fragment() {
        return;
    }
    let transport = &mut packet[start..end];
    match protocol {
        Protocol::ICMP if transport.len() >= icmpv4::HEADER_LEN => {
            icmpv4::fill_checksum(transport);
        }
        Protocol::UDP if transport.len() >= udp::HEADER_LEN => {
            let len = transport.len() as u16;
            transport[4..6].copy_from_slice(&len.to_be_bytes());
            udp::fill_checksum(transport, ipv4::pseudo_header_sum(src, dst, protocol, len));
        }
        Protocol::TCP if transport.len() >= tcp::HEADER_LEN => {
            let len = transport.len() as u16;
            tcp::fill_checksum(transport, ipv4::pseudo_header_sum(src, dst, protocol, len));
        }
        _ => {}
    }
}

/// Addresses a frame to a link and makes its lengths and checksums right.
pub fn mend(frame: &mut [u8], link: usize) {
    let Some((header, packet)) = frame.split_at_mut_checked(ethernet::HEADER_LEN) else { return };
    header[..6].copy_from_slice(&MACS[link].0);
    if header[12..14] == EtherType::IPV4.0.to_be_bytes() && packet.len() >= HEADER_LEN {
        let header_len = usize::from(packet[0] & 15).clamp(5, 15) * 4;
        packet[0] = 0x40 | (header_len / 4) as u8;
        let total_len = packet.len().min(ipv4::MAX_LEN) as u16;
        packet[2..4].copy_from_slice(&total_len.to_be_bytes());
        if packet.len() >= header_len {
            fill_checksum(packet);
            mend_transport(packet);
        }
    }
}

/// What the receiver of a frame would answer: an ARP reply, an echo reply, port unreachable.
pub fn answer(sent: &[u8]) -> Option<Vec<u8>> {
    let view = Ethernet::parse(sent).ok()?;
    if view.ethertype() == EtherType::ARP {
        let asked = Arp::parse(view.payload()).ok()?;
        let reply = Arp {
            operation: ArpOperation::Reply,
            sender_mac: mac_of(asked.target_ip),
            sender_ip: asked.target_ip,
            target_mac: asked.sender_mac,
            target_ip: asked.sender_ip,
        };
        let mut payload = [0; arp::LEN];
        reply.emit(&mut payload);
        return Some(frame(reply.sender_mac, asked.sender_mac, EtherType::ARP, &payload));
    }
    let header = Ipv4::parse(view.payload()).ok()?;
    let repr = Ipv4Repr { src: header.dst(), dst: header.src(), ..Ipv4Repr::from_view(&header) };
    if header.protocol() != Protocol::ICMP || header.payload().first() != Some(&8) {
        let code = Unreachable::Port;
        return error(sent, Message::DestinationUnreachable(code), header.dst());
    }
    let mut payload = header.payload().to_vec();
    payload[0] = 0;
    let packet = ip(repr, header.options(), payload);
    Some(frame(view.dst(), view.src(), EtherType::IPV4, &packet))
}

/// An ICMP error from `offender` about the packet in a frame.
pub fn error(sent: &[u8], message: Message, offender: Ipv4Addr) -> Option<Vec<u8>> {
    let view = Ethernet::parse(sent).ok()?;
    let header = Ipv4::parse(view.payload()).ok()?;
    let mut payload = vec![0; message.header_len()];
    message.emit(&mut payload);
    payload.extend(header.packet().iter().take(548));
    let repr = Ipv4Repr {
        tos: 0xc0,
        id: 1,
        dont_fragment: false,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: Protocol::ICMP,
        src: offender,
        dst: header.src(),
        total_len: 0,
        options_len: 0,
    };
    let packet = ip(repr, &[], payload);
    Some(frame(mac_of(offender), view.src(), EtherType::IPV4, &packet))
}

/// The ICMP error with this type, code and number in its second word.
pub fn error_message(input: &mut Input<'_>) -> Message {
    let mut bytes = [0; icmpv4::HEADER_LEN];
    bytes[0] = [3, 3, 4, 5, 11, 12, 3, 5][usize::from(input.u8() % 8)];
    bytes[1] = input.u8() % 16;
    if bytes[0] == 5 {
        bytes[4..].copy_from_slice(&address(input).octets());
    } else {
        bytes[4..].copy_from_slice(&input.u32().to_be_bytes());
    }
    match Icmpv4::parse(&bytes) {
        Ok(view) => view.message(),
        Err(_) => Message::SourceQuench,
    }
}

/// A datagram in pieces: where each begins and ends, in which order and whether twice, comes from
/// the input.
pub fn fragments(input: &mut Input<'_>) -> Vec<Vec<u8>> {
    let (src, dst, id) = (address(input), address(input), input.u8());
    let len = icmpv4::HEADER_LEN + usize::from(input.u16());
    let mut datagram = vec![0; len.min(ipv4::MAX_LEN - HEADER_LEN)];
    Message::Echo { ident: u16::from(id), sequence: 1 }.emit(&mut datagram);
    icmpv4::fill_checksum(&mut datagram);
    let size = (usize::from(input.u8()) * 8).max(datagram.len().div_ceil(64)).next_multiple_of(8);
    let mut pieces: Vec<(usize, usize)> =
        (0..datagram.len()).step_by(size).map(|at| (at, datagram.len().min(at + size))).collect();
    for _ in 0..input.u8() % 8 {
        let count = pieces.len();
        let (a, b) = (usize::from(input.u8()) % count, usize::from(input.u8()));
        match b {
            0..128 => pieces.swap(a, b % count),
            128..160 => pieces.push(pieces[a]),
            160..192 => pieces[a].1 = datagram.len().min(pieces[a].1 + 8),
            192..224 => pieces[a].0 = pieces[a].0.saturating_sub(8),
            _ if count > 1 => drop(pieces.remove(a)),
            _ => {}
        }
    }
    let cut = |(at, end): (usize, usize)| {
        let repr = Ipv4Repr {
            tos: 0,
            id: u16::from(id),
            dont_fragment: false,
            more_fragments: end < datagram.len(),
            fragment_offset: at,
            ttl: 64,
            protocol: Protocol::ICMP,
            src,
            dst,
            total_len: 0,
            options_len: 0,
        };
        let packet = ip(repr, &[], datagram[at..end].to_vec());
        frame(mac_of(src), MACS[0], EtherType::IPV4, &packet)
    };
    pieces.into_iter().map(cut).collect()
}

/// Requests of as many hosts, or the first fragments of as many datagrams.
pub fn flood(input: &mut Input<'_>) -> Vec<Vec<u8>> {
    let (src, dst) = (address(input), address(input));
    let len = usize::from(input.u8()) * 8 + 8;
    let request = |n: u8| {
        let sender_ip = Ipv4Addr::new(10, 0, 0, 128 + n);
        let message = Arp {
            operation: ArpOperation::Request,
            sender_mac: mac_of(sender_ip),
            sender_ip,
            target_mac: MacAddr::ZERO,
            target_ip: dst,
        };
        let mut payload = [0; arp::LEN];
        message.emit(&mut payload);
        frame(message.sender_mac, MacAddr::BROADCAST, EtherType::ARP, &payload)
    };
    let piece = |id: u8| {
        let repr = Ipv4Repr {
            tos: 0,
            id: u16::from(id),
            dont_fragment: false,
            more_fragments: true,
            fragment_offset: 0,
            ttl: 64,
            protocol: Protocol::ICMP,
            src,
            dst,
            total_len: 0,
            options_len: 0,
        };
        frame(mac_of(src), MACS[0], EtherType::IPV4, &ip(repr, &[], vec![8; len]))
    };
    match input.u8() {
        count @ 0..128 => (0..count % 64).map(piece).collect(),
        count => (0..count % 64).map(request).collect(),
    }
}
