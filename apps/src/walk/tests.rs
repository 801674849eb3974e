use std::net::Ipv4Addr;

use tapping_stack::packet::{LinkId, Packet};
use tapping_stack::wire::{Arp, ArpOperation, Ipv4Repr, MacAddr, Protocol, icmpv4};

use super::*;

const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const START: Instant = Instant::from_secs(1);

/// An ICMP echo in IPv4, with the Ethernet header in front of the bytes but not in them.
fn echo(icmp_type: u8, src: Ipv4Addr, dst: Ipv4Addr) -> Packet {
    let mut packet = Packet::with_capacity(100);
    packet.mark_network();
    let header = Ipv4Repr {
        tos: 0,
        id: 0x1234,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: Protocol::ICMP,
        src,
        dst,
        total_len: 84,
        options_len: 0,
    };
    header.emit(packet.put(20));
    packet.mark_transport(20);
    let message = packet.put(64);
    message[0] = icmp_type;
    message[5] = 7;
    message[7] = 1;
    icmpv4::fill_checksum(message);
    packet
}

#[test]
fn a_line_a_stage_with_the_fields_that_matter() {
    let walk = Walk::default();
    let mut observer = walk.observer(Who::Here, "tap0");
    let request = echo(8, HERE, PEER);
    observer.event(START, &Event::Ipv4Out { packet: &request });
    assert!(walk.record().lines.is_empty(), "it had not begun");

    walk.begin(START);
    let arp = Arp {
        operation: ArpOperation::Request,
        sender_mac: MacAddr([2, 0, 0, 0, 0, 2]),
        sender_ip: HERE,
        target_mac: MacAddr::ZERO,
        target_ip: PEER,
    };
    let later = START + Duration::from_nanos(12_340);
    observer.event(START, &Event::Ipv4Out { packet: &request });
    observer.event(later, &Event::ArpOut { link: LinkId(2), message: &arp });
    observer.event(later, &Event::Ipv4In { packet: &echo(0, PEER, HERE) });
    let expected = "\
The first request and its reply, layer by layer:
      0.0 µs  out  ipv4/output      10.0.0.2 → 10.0.0.1 ttl 64 id 0x1234 DF proto icmp len 84 | echo request id 7 seq 1
     12.3 µs  out  arp/output       who has 10.0.0.1? tell 10.0.0.2 at 02:00:00:00:00:02
              in   ipv4/input       10.0.0.1 → 10.0.0.2 ttl 64 id 0x1234 DF proto icmp len 84 | echo reply id 7 seq 1
              no reply reached the socket
";
    assert_eq!(walk.show(None), expected);
}

#[test]
fn frames_of_both_ends_and_the_kernel_between() {
    let mut framed = echo(8, HERE, PEER);
    let header = framed.push(14);
    header[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    header[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    header[12..].copy_from_slice(&[8, 0]);

    let walk = Walk::default();
    walk.begin(START);
    let mut here = walk.observer(Who::Here, "tap0");
    here.event(START, &Event::LinkOut { link: LinkId(2), packet: &framed });
    here.event(START, &Event::LinkIn { link: LinkId(2), packet: &framed });
    let shown = walk.show(Some("the kernel"));
    assert!(
        shown.contains("out  link/output      02:00:00:00:00:02 → 02:00:00:00:00:01 ipv4 len 98\n")
    );
    assert!(shown.contains("~~~  the kernel answers  ~~~\n"), "{shown}");

    let mut peer = walk.observer(Who::Peer, "veth1");
    peer.event(START, &Event::Delivered { to: Receiver::Icmp, packet: &echo(8, HERE, PEER) });
    let shown = walk.show(None);
    assert!(shown.contains("peer  in   icmp/input       echo request id 7 seq 1\n"), "{shown}");
    assert!(shown.contains("here  out  link/output"), "{shown}");
}
