//! Frames that carry IPv4 or something else.

use super::*;

fn give_frame(bench: &mut Bench, frame: Vec<u8>) -> Vec<DropReason> {
    bench.lab.events(bench.host);
    bench.lab.inject(bench.tester, frame);
    bench.lab.drops(bench.host)
}

/// A frame for another station is dropped by a link that is not promiscuous.
#[test]
fn frames_for_others_are_dropped_and_counted() {
    let mut bench = Bench::new();
    let packet = echo_from(PEER, HERE).build();
    let other = MacAddr([2, 0, 0, 0, 9, 9]);
    let frame = ip_frame(bench.tester.mac, other, &packet);
    assert_eq!(give_frame(&mut bench, frame), [DropReason::OtherHost]);
    let snapshot = bench.snapshot();
    let (_, _, counters) = &snapshot.links[1];
    assert_eq!((counters.rx_packets, counters.rx_otherhost_dropped), (1, 1));
    assert_eq!(snapshot.ip.in_receives, 0);
}

/// A promiscuous link takes it, for whoever watches; IPv4 drops it (Linux `ip_rcv`).
#[test]
fn promiscuous_link_takes_frames_for_others_but_ipv4_does_not() {
    let mut bench = Bench::new();
    let link = bench.link;
    bench.stack().set_promiscuous(link, true).unwrap();
    let packet = echo_from(PEER, HERE).build();
    let frame = ip_frame(bench.tester.mac, MacAddr([2, 0, 0, 0, 9, 9]), &packet);
    assert_eq!(give_frame(&mut bench, frame), [DropReason::OtherHost]);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.links[1].2.rx_otherhost_dropped, 0);
    assert_eq!((snapshot.ip.in_receives, snapshot.ip.in_delivers), (0, 0));
    assert!(bench.lab.heard(bench.tester).is_empty());
}

/// Linux takes a unicast packet in a broadcast frame (`drop_unicast_in_l2_multicast` is off).
#[test]
fn unicast_in_a_broadcast_frame_is_accepted() {
    let mut bench = Bench::new();
    let packet = echo_from(PEER, HERE).build();
    let frame = ip_frame(bench.tester.mac, MacAddr::BROADCAST, &packet);
    assert_eq!(give_frame(&mut bench, frame), []);
    assert_eq!(bench.lab.heard_ip(bench.tester).len(), 1);
}

fn tagged(bench: &Bench, tag: [u8; 2], outer: EtherType) -> Vec<u8> {
    let mut payload = tag.to_vec();
    payload.extend_from_slice(&EtherType::IPV4.0.to_be_bytes());
    payload.extend_from_slice(&echo_from(PEER, HERE).build());
    frame(bench.tester.mac, bench.lab.mac(bench.host, bench.link), outer, &payload)
}

/// IEEE 802.1Q §6.9: VLAN 0 means no VLAN, whatever the priority.
#[test]
fn priority_tag_is_accepted() {
    for tag in [[0, 0], [0xe0, 0], [0x10, 0]] {
        let mut bench = Bench::new();
        let frame = tagged(&bench, tag, EtherType::VLAN);
        assert_eq!(give_frame(&mut bench, frame), []);
        assert_eq!(bench.lab.heard_ip(bench.tester).len(), 1, "tag {tag:?}");
    }
}

/// A VLAN needs a link of its own.
#[test]
fn other_vlans_are_dropped() {
    for (tag, outer) in [([0, 1], EtherType::VLAN), ([0x0f, 0xff], EtherType::QINQ)] {
        let mut bench = Bench::new();
        let frame = tagged(&bench, tag, outer);
        assert_eq!(give_frame(&mut bench, frame), [DropReason::UnknownVlan]);
        assert_eq!(bench.snapshot().links[1].2.rx_dropped, 1);
    }
}

#[test]
fn frames_without_a_whole_header_are_dropped() {
    let bench = Bench::new();
    let mac = bench.lab.mac(bench.host, bench.link);
    for len in 0..14 {
        let mut bench = Bench::new();
        let mut frame = ip_frame(bench.tester.mac, mac, &[]);
        frame.truncate(len);
        assert_eq!(give_frame(&mut bench, frame), [DropReason::EthernetMalformed]);
        assert_eq!(bench.snapshot().links[1].2.rx_errors, 1, "{len} bytes");
    }
    let mut bench = Bench::new();
    let short = frame(bench.tester.mac, mac, EtherType::VLAN, &[0, 0, 8]);
    assert_eq!(give_frame(&mut bench, short), [DropReason::EthernetMalformed]);
}

#[test]
fn unhandled_ethertypes_are_dropped() {
    for ethertype in [EtherType::IPV6, EtherType(0x88cc), EtherType(46)] {
        let mut bench = Bench::new();
        let dst = bench.lab.mac(bench.host, bench.link);
        let frame = frame(bench.tester.mac, dst, ethertype, &[0; 46]);
        assert_eq!(give_frame(&mut bench, frame), [DropReason::UnhandledEtherType]);
        assert_eq!(bench.snapshot().links[1].2.rx_nohandler, 1);
    }
}

#[test]
fn a_link_that_is_down_receives_nothing() {
    let mut bench = Bench::new();
    let (now, link) = (bench.lab.now(), bench.link);
    bench.stack().set_link_up(now, link, false).unwrap();
    bench.refuses(&echo_from(PEER, HERE).build(), DropReason::LinkDown);
}

/// Whatever the bytes, a frame ends in exactly one counted drop or is of use.
#[test]
fn any_garbage_is_one_counted_drop() {
    let mut bench = Bench::new();
    let mac = bench.lab.mac(bench.host, bench.link);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let frames = 4000;
    for n in 0..frames {
        let mut garbage: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
        if garbage.len() >= 14 && n % 4 != 0 {
            garbage[..6].copy_from_slice(&mac.0);
            let ethertype = [0x0800u16, 0x0806, 0x8100][n % 3];
            garbage[12..14].copy_from_slice(&ethertype.to_be_bytes());
            if n % 2 == 0 && ethertype == 0x0800 && garbage.len() > 14 {
                garbage[14] = 0x45;
            }
        }
        bench.lab.events(bench.host);
        bench.lab.inject(bench.tester, garbage.clone());
        assert_eq!(bench.lab.drops(bench.host).len(), 1, "{garbage:02x?}");
    }
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.drops.iter().map(|(_, count)| count).sum::<u64>(), frames as u64);
    assert_eq!(snapshot.links[1].2.rx_packets, frames as u64);
}

/// The same for echo requests with a few bits damaged and a checksum that fits: each is
/// delivered, dropped or waits for other fragments.
#[test]
fn any_damaged_packet_is_delivered_dropped_or_held() {
    let mut bench = Bench::new();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..4000 {
        let mut packet = echo_from(PEER, HERE).options(&[RR, 11, 4, 0, 0, 0, 0]).build();
        for _ in 0..1 + random.below(4) {
            let bit = random.below(packet.len() as u64 * 8) as usize;
            packet[bit / 8] ^= 1 << (bit % 8);
        }
        let header_len = usize::from(packet[0] & 0x0f) * 4;
        if (20..=packet.len()).contains(&header_len) {
            wire::fill_checksum(&mut packet);
        }
        let held = bench.stack().reassembly_memory();
        bench.lab.events(bench.host);
        bench.lab.inject_ip(bench.tester, bench.host, bench.link, &packet);
        let grown = bench.stack().reassembly_memory() > held;
        let events = bench.lab.events(bench.host);
        let ends = events
            .iter()
            .filter(|event| matches!(event.seen, Seen::Dropped { .. } | Seen::Delivered { .. }))
            .count();
        // What is delivered may then be dropped: no socket waits for a port.
        assert!(ends >= 1 || grown, "{packet:02x?}");
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }
}
