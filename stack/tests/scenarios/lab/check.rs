//! What must be true of every frame that a stack emits.

use tapping_stack::wire::ethernet::Ethernet;
use tapping_stack::wire::ipv4::pseudo_header_sum;
use tapping_stack::wire::{Arp, EtherType, Icmpv4, Igmp, Ipv4, Protocol, Udp};

/// Checks one frame of the host `name` that leaves by a link of this MTU.
pub fn frame(name: &str, mtu: usize, transport: bool, bytes: &[u8]) {
    let frame = Ethernet::parse(bytes).expect("a whole Ethernet header");
    assert!(frame.src().is_unicast(), "{name}: frame from {}", frame.src());
    match frame.ethertype() {
        EtherType::ARP => {
            Arp::parse(frame.payload()).expect("a well-formed ARP message");
        }
        EtherType::IPV4 => ipv4(name, mtu, transport, frame.payload()),
        _ => {}
    }
}

/// Checks one IPv4 packet.
pub fn ipv4(name: &str, mtu: usize, transport: bool, bytes: &[u8]) {
    let packet = Ipv4::parse(bytes).expect("a well-formed IPv4 header");
    let (src, dst) = (packet.src(), packet.dst());
    let what = format!("{name}: {src} > {dst} protocol {}", packet.protocol().0);
    assert!(bytes.len() <= mtu, "{what}: {} bytes over an MTU of {mtu}", bytes.len());
    assert_eq!(packet.total_len(), bytes.len(), "{what}: total length");
    assert!(packet.verify_checksum(), "{what}: header checksum");
    assert!(packet.ttl() > 0, "{what}: dead on departure");
    assert!(!packet.evil(), "{what}: reserved flag");
    assert!(!src.is_multicast() && !src.is_broadcast(), "{what}: source");
    if !transport || packet.is_fragment() {
        return;
    }
    match packet.protocol() {
        Protocol::ICMP => {
            let icmp = Icmpv4::parse(packet.payload()).expect("a well-formed ICMP message");
            assert!(icmp.verify_checksum(), "{what}: ICMP checksum");
        }
        // RFC 2236 §2, RFC 3376 §4: TTL 1 and router alert; every message carries a checksum.
        Protocol::IGMP => {
            let igmp = Igmp::parse(packet.payload()).expect("a well-formed IGMP message");
            assert!(igmp.verify_checksum(), "{what}: IGMP checksum");
            assert_eq!((packet.ttl(), packet.options()), (1, &[148, 4, 0, 0][..]), "{what}");
        }
        Protocol::UDP => {
            let udp = Udp::parse(packet.payload()).expect("a well-formed UDP header");
            let pseudo = pseudo_header_sum(src, dst, Protocol::UDP, udp.len());
            assert!(udp.verify_checksum(pseudo), "{what}: UDP checksum");
        }
        _ => {}
    }
}
