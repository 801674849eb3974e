//! What no error is ever sent about (RFC 1122 §3.2.2, RFC 1812 §4.3.2.7).

use super::*;

/// Whether a router sends "time exceeded" about this packet, from its left side.
fn is_reported(packet: Ip) -> bool {
    let mut router = Router::new();
    router.inject(&packet.ttl(1));
    let heard = router.lab.heard_ip(router.left);
    assert_eq!(router.lab.snapshot(router.host).dropped(DropReason::TtlExpired), 1);
    heard.len() == 1
}

/// An ICMP error; a type not known may be one (as in Linux).
#[test]
fn errors_are_not_sent_about_errors() {
    for icmp_type in 0..=255 {
        let body = Message::Unknown { icmp_type, code: 0, rest: [0; 4] };
        let packet = Ip::icmp(ip(LEFT), ip(RIGHT), icmp(body, &[0; 28]));
        let may = icmp_type <= 18 && ![3, 4, 5, 11, 12].contains(&icmp_type);
        assert_eq!(is_reported(packet), may, "type {icmp_type}");
    }
}

/// What makes an error of it is its type alone, so one byte of a first fragment is enough to tell.
#[test]
fn the_type_of_a_short_message_is_enough_to_tell() {
    let timestamp = Ip::icmp(ip(LEFT), ip(RIGHT), vec![13, 0, 0, 0, 0, 0, 0, 0]);
    assert!(is_reported(timestamp.fragment(0, true)));
    assert!(is_reported(Ip::icmp(ip(LEFT), ip(RIGHT), vec![8])));
    assert!(!is_reported(Ip::icmp(ip(LEFT), ip(RIGHT), vec![3])));
    assert!(!is_reported(Ip::icmp(ip(LEFT), ip(RIGHT), vec![])));
}

#[test]
fn errors_are_sent_about_the_first_fragment_only() {
    let data = vec![0; 64];
    let packet = Ip::new(ip(LEFT), ip(RIGHT), Protocol::UDP, data);
    assert!(is_reported(packet.clone().fragment(0, true)));
    assert!(!is_reported(packet.clone().fragment(64, true)));
    assert!(!is_reported(packet.fragment(64, false)));
}

/// A packet to many, at the IP layer.
#[test]
fn errors_are_not_sent_about_packets_to_many() {
    let mut bench = Bench::new();
    for dst in ["10.0.0.255", "255.255.255.255", "224.0.0.1"] {
        let datagram = to_closed_port(PEER, dst);
        let unknown = Ip::new(ip(PEER), ip(dst), Protocol(99), vec![0; 20]);
        let malformed = datagram.clone().options(&[ipv4_options::RR, 0, 0, 0]);
        for packet in [datagram, unknown, malformed] {
            bench.inject_broadcast(&packet);
            bench.inject(&packet);
        }
    }
    bench.no_answer();
    assert_eq!(bench.lab.snapshot(bench.host).icmp.out_msgs, 0);
}

/// A packet to one, in a frame to many.
#[test]
fn errors_are_not_sent_about_packets_in_frames_to_many() {
    let mut bench = Bench::new();
    bench.inject_broadcast(&to_closed_port(PEER, US));
    let group = MacAddr([1, 0, 0x5e, 0, 0, 1]);
    let frame = ip_frame(bench.tester.mac, group, &to_closed_port(PEER, US).build());
    bench.lab.inject(bench.tester, frame);
    bench.no_answer();
    assert_eq!(bench.lab.snapshot(bench.host).dropped(DropReason::NoSocket), 2);
}

/// A source that does not name a single host: zero, loopback, broadcast, multicast, class E. The
/// malformed options are what would be complained about first.
#[test]
fn errors_are_not_sent_to_who_is_not_one_host() {
    let sources = [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "10.0.0.255",
        "240.0.0.1",
        "254.1.2.3",
    ];
    for src in sources {
        let mut bench = Bench::new();
        let datagram = to_closed_port(src, US);
        let malformed = datagram.clone().options(&[ipv4_options::RR, 0, 0, 0]);
        bench.inject(&datagram);
        bench.inject(&malformed);
        bench.inject_broadcast(&malformed);
        bench.lab.run_for(secs(5));
        bench.no_answer();
        assert_eq!(bench.lab.snapshot(bench.host).icmp.out_msgs, 0, "{src}");
    }
}

/// A packet that claims to come from ourselves must not make us tell ourselves.
#[test]
fn errors_are_not_sent_about_packets_with_our_own_source() {
    let mut bench = Bench::new();
    let socket = bench.lab.stack(bench.host).open_raw(Protocol::ICMP).unwrap();
    for src in [US, "127.0.0.1"] {
        let malformed = to_closed_port(src, US).options(&[ipv4_options::RR, 0, 0, 0]);
        bench.inject(&malformed);
        bench.inject(&to_closed_port(src, US));
    }
    bench.no_answer();
    assert_eq!(bench.lab.snapshot(bench.host).icmp.out_msgs, 0);
    assert!(bench.lab.received(bench.host, socket).is_empty());
    assert_eq!(bench.lab.snapshot(bench.host).dropped(DropReason::MartianSource), 4);
}

/// RFC 1122 §3.3.4.2: a host that does not forward discards silently, malformed or not.
#[test]
fn a_host_says_nothing_about_what_is_not_for_it() {
    let mut bench = Bench::new();
    bench.inject(&to_closed_port(PEER, FAR).ttl(1));
    bench.inject(&to_closed_port(PEER, FAR).options(&[ipv4_options::RR, 0, 0, 0]));
    bench.no_answer();
    assert_eq!(bench.lab.snapshot(bench.host).dropped(DropReason::NotForwarding), 2);
}

/// The same for what our own sockets send to many.
#[test]
fn our_own_broadcasts_bring_no_errors() {
    let mut bench = Bench::new();
    let socket = bench.lab.stack(bench.host).open_raw(Protocol::UDP).unwrap();
    bench.lab.stack(bench.host).socket_options(socket).unwrap().broadcast = true;
    let datagram = to_closed_port(US, "10.0.0.255").payload;
    bench.lab.send(bench.host, socket, ip("10.0.0.255"), &datagram).unwrap();
    assert_eq!(bench.lab.heard_ip(bench.tester).len(), 1);
    assert_eq!(bench.lab.snapshot(bench.host).icmp.out_msgs, 0);
}
