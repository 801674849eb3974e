//! Frames made by hand, and frames read.

use core::net::Ipv4Addr;

use tapping_stack::time::Instant;
use tapping_stack::wire::ipv4::{self, pseudo_header_sum};
use tapping_stack::wire::ipv4_options::padded_len;
use tapping_stack::wire::{
    Arp, ArpOperation, EtherType, Ethernet, EthernetRepr, Icmpv4, Ipv4, Ipv4Repr, MacAddr, Message,
    Protocol, Udp, UdpRepr, arp, ethernet, icmpv4, udp,
};

/// A frame that a tester heard, and when.
#[derive(Debug, Clone)]
pub struct Heard {
    pub at: Instant,
    pub frame: Vec<u8>,
}

/// An ARP message that a tester heard.
#[derive(Debug, Clone, Copy)]
pub struct HeardArp {
    pub at: Instant,
    /// Whom the frame was addressed to.
    pub dst: MacAddr,
    pub message: Arp,
}

impl Heard {
    /// The Ethernet header.
    pub fn ethernet(&self) -> Ethernet<'_> {
        Ethernet::parse(&self.frame).expect("checked when it was emitted")
    }

    /// The ARP message in it.
    pub fn arp(&self) -> Option<HeardArp> {
        let frame = self.ethernet();
        if frame.ethertype() != EtherType::ARP {
            return None;
        }
        let message = Arp::parse(frame.payload()).ok()?;
        Some(HeardArp { at: self.at, dst: frame.dst(), message })
    }

    /// The IPv4 packet in it.
    pub fn ip(&self) -> Option<Vec<u8>> {
        let frame = self.ethernet();
        (frame.ethertype() == EtherType::IPV4).then(|| frame.payload().to_vec())
    }
}

/// An address from its text.
pub fn ip(text: &str) -> Ipv4Addr {
    text.parse().expect("an IPv4 address")
}

/// Reads an IPv4 packet.
#[track_caller]
pub fn ipv4(packet: &[u8]) -> Ipv4<'_> {
    Ipv4::parse(packet).expect("an IPv4 packet")
}

/// Reads the ICMP message in an IPv4 packet.
#[track_caller]
pub fn icmp_in(packet: &[u8]) -> Icmpv4<'_> {
    assert_eq!(ipv4(packet).protocol(), Protocol::ICMP);
    Icmpv4::parse(ipv4(packet).payload()).expect("an ICMP message")
}

/// Reads the UDP datagram in an IPv4 packet.
#[track_caller]
pub fn udp_in(packet: &[u8]) -> Udp<'_> {
    assert_eq!(ipv4(packet).protocol(), Protocol::UDP);
    Udp::parse(ipv4(packet).payload()).expect("a UDP datagram")
}

/// An Ethernet frame.
pub fn frame(src: MacAddr, dst: MacAddr, ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN];
    EthernetRepr { dst, src, ethertype }.emit(&mut frame);
    frame.extend_from_slice(payload);
    frame
}

/// An Ethernet frame with an IPv4 packet.
pub fn ip_frame(src: MacAddr, dst: MacAddr, packet: &[u8]) -> Vec<u8> {
    frame(src, dst, EtherType::IPV4, packet)
}

/// An Ethernet frame with an ARP message, from its sender.
pub fn arp_frame(dst: MacAddr, message: &Arp) -> Vec<u8> {
    let mut payload = [0; arp::LEN];
    message.emit(&mut payload);
    frame(message.sender_mac, dst, EtherType::ARP, &payload)
}

/// A request: who has `target`? Tell `sender`.
pub fn arp_request(sender_mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> Arp {
    Arp {
        operation: ArpOperation::Request,
        sender_mac,
        sender_ip: sender,
        target_mac: MacAddr::ZERO,
        target_ip: target,
    }
}

/// A reply: `sender` is at `sender_mac`.
pub fn arp_reply(
    sender_mac: MacAddr,
    sender: Ipv4Addr,
    target_mac: MacAddr,
    target: Ipv4Addr,
) -> Arp {
    Arp {
        operation: ArpOperation::Reply,
        sender_mac,
        sender_ip: sender,
        target_mac,
        target_ip: target,
    }
}

/// An IPv4 packet in the making.
#[derive(Debug, Clone)]
pub struct Ip {
    pub repr: Ipv4Repr,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Ip {
    /// From `src` to `dst`, TTL 64, no flags, ID 0x1234.
    pub fn new(src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, payload: Vec<u8>) -> Self {
        let repr = Ipv4Repr {
            tos: 0,
            id: 0x1234,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 64,
            protocol,
            src,
            dst,
            total_len: 0,
            options_len: 0,
        };
        Ip { repr, options: Vec::new(), payload }
    }

    /// An ICMP message.
    pub fn icmp(src: Ipv4Addr, dst: Ipv4Addr, message: Vec<u8>) -> Self {
        Ip::new(src, dst, Protocol::ICMP, message)
    }

    /// A UDP datagram.
    pub fn udp(src: Ipv4Addr, dst: Ipv4Addr, src_port: u16, dst_port: u16, data: &[u8]) -> Self {
        let mut datagram = vec![0; udp::HEADER_LEN];
        let len = (udp::HEADER_LEN + data.len()) as u16;
        UdpRepr { src_port, dst_port, len }.emit(&mut datagram);
        datagram.extend_from_slice(data);
        udp::fill_checksum(&mut datagram, pseudo_header_sum(src, dst, Protocol::UDP, len));
        Ip::new(src, dst, Protocol::UDP, datagram)
    }

    pub fn ttl(mut self, ttl: u8) -> Self {
        self.repr.ttl = ttl;
        self
    }

    pub fn tos(mut self, tos: u8) -> Self {
        self.repr.tos = tos;
        self
    }

    pub fn id(mut self, id: u16) -> Self {
        self.repr.id = id;
        self
    }

    pub fn df(mut self) -> Self {
        self.repr.dont_fragment = true;
        self
    }

    /// Makes it a fragment whose payload begins at byte `offset` of the whole.
    pub fn fragment(mut self, offset: usize, more: bool) -> Self {
        self.repr.fragment_offset = offset;
        self.repr.more_fragments = more;
        self
    }

    /// Options; padded with END to four bytes.
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self.options.resize(padded_len(options.len()), 0);
        self
    }

    /// The packet's bytes.
    pub fn build(&self) -> Vec<u8> {
        let header_len = ipv4::HEADER_LEN + self.options.len();
        let mut packet = vec![0; ipv4::HEADER_LEN];
        packet.extend_from_slice(&self.options);
        packet.extend_from_slice(&self.payload);
        let total_len = (header_len + self.payload.len()) as u16;
        Ipv4Repr { total_len, options_len: self.options.len(), ..self.repr }.emit(&mut packet);
        packet
    }
}

/// An ICMP message with its checksum: the fields of `message`, then `payload`.
pub fn icmp(message: Message, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; message.header_len()];
    message.emit(&mut bytes);
    bytes.extend_from_slice(payload);
    icmpv4::fill_checksum(&mut bytes);
    bytes
}

/// An echo request.
pub fn echo(ident: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
    icmp(Message::Echo { ident, sequence }, data)
}

/// An echo reply.
pub fn echo_reply(ident: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
    icmp(Message::EchoReply { ident, sequence }, data)
}
