//! What must be true of every frame that a stack emits.

use tapping_stack::packet::Packet;
use tapping_stack::wire::ipv4::pseudo_header_sum;
use tapping_stack::wire::{Arp, EtherType, Ethernet, Icmpv4, Ipv4, MacAddr, Protocol, Tcp, Udp};
use tapping_stack::wire::{arp, icmpv4};

/// Marks what the script, not the stack, has put together: raw sockets' packets, whole frames, and
/// what a hook has changed.
pub const CRAFTED: u32 = 0xf022;
/// RFC 1812 §4.3.2.3.
const MAX_ERROR_LEN: usize = 576;

/// Checks a frame that leaves by a link with this address, whose MTU has never been above `mtu`.
///
/// # Panics
/// When it is not as it must be.
pub fn frame(packet: &Packet, mac: MacAddr, mtu: usize) {
    let crafted = packet.meta.mark == CRAFTED;
    let view = match Ethernet::parse(packet.bytes()) {
        Ok(view) => view,
        Err(_) if crafted => return,
        Err(error) => panic!("not a frame: {error}"),
    };
    if crafted && view.src() != mac {
        return;
    }
    assert_eq!(view.src(), mac);
    match view.ethertype() {
        EtherType::ARP => {
            let message = Arp::parse(view.payload()).expect("an ARP message");
            assert_eq!((view.payload().len(), message.sender_mac), (arp::LEN, mac));
        }
        EtherType::IPV4 => {
            let forwarded = packet.meta.link_in.is_some();
            ipv4(view.payload(), mtu, forwarded, crafted);
        }
        _ => assert!(crafted, "a frame of type {:04x}", view.ethertype().0),
    }
}

fn ipv4(bytes: &[u8], mtu: usize, forwarded: bool, crafted: bool) {
    let packet = Ipv4::parse(bytes).expect("an IPv4 packet");
    let (src, dst) = (packet.src(), packet.dst());
    let what = || format!("{src} > {dst} protocol {} {bytes:02x?}", packet.protocol().0);
    assert_eq!(packet.total_len(), bytes.len(), "{}: total length", what());
    assert!(packet.verify_checksum(), "{}: header checksum", what());
    assert!(bytes.len() <= mtu, "{}: {} bytes over an MTU of {mtu}", what(), bytes.len());
    if crafted {
        return;
    }
    assert!(packet.ttl() > 0, "{}: dead on departure", what());
    assert!(!src.is_multicast() && !src.is_broadcast(), "{}: source", what());
    // What others wrote inside is theirs.
    if forwarded {
        return;
    }
    assert!(!packet.evil(), "{}: reserved flag", what());
    if packet.is_fragment() {
        return;
    }
    let payload = packet.payload();
    let pseudo = pseudo_header_sum(src, dst, packet.protocol(), payload.len() as u16);
    match packet.protocol() {
        Protocol::ICMP => {
            let icmp = Icmpv4::parse(payload).expect("an ICMP message");
            assert!(icmp.verify_checksum(), "{}: ICMP checksum", what());
            let is_error = icmpv4::is_error(icmp.icmp_type());
            assert!(!is_error || bytes.len() <= MAX_ERROR_LEN, "{}: a long error", what());
        }
        Protocol::UDP => {
            let udp = Udp::parse(payload).expect("a UDP datagram");
            assert!(udp.verify_checksum(pseudo), "{}: UDP checksum", what());
        }
        Protocol::TCP => {
            let tcp = Tcp::parse(payload).expect("a TCP segment");
            assert!(tcp.verify_checksum(pseudo), "{}: TCP checksum", what());
        }
        _ => {}
    }
}
