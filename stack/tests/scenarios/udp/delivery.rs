//! Who gets what arrives (Linux `__udp4_lib_rcv`, `compute_score`).

use tapping_stack::wire::{MacAddr, Message, Unreachable};

use super::*;

#[test]
fn the_payload_arrives_with_its_addresses() {
    let mut bench = Bench::new();
    let socket = bench.bound("0.0.0.0:53");
    assert_eq!(bench.give(&udp("10.0.0.9:1000", "10.0.0.5:53", b"hello").ttl(9).tos(4)), []);
    let (now, link) = (bench.lab.now(), bench.link);
    let packet = bench.stack().recv(socket).unwrap();
    assert_eq!(packet.bytes(), b"hello");
    assert_eq!(packet.meta.timestamp, now);
    let (source, destination) = (at("10.0.0.9:1000"), at("10.0.0.5:53"));
    let info = PacketInfo { source, destination, link: Some(link), ttl: 9, tos: 4 };
    assert_eq!(PacketInfo::of(&packet), Some(info));
    bench.stack().recycle(packet);
    assert!(bench.stack().recv(socket).is_none());
}

/// RFC 768: what is behind the length is not data; no data is a datagram, too.
#[test]
fn the_length_says_where_data_ends() {
    let mut bench = Bench::new();
    let socket = bench.bound("10.0.0.1:53");
    let mut padded = udp("10.0.0.9:1000", "10.0.0.1:53", b"data");
    padded.payload.extend_from_slice(b"and more");
    assert_eq!(bench.give(&padded), []);
    bench.datagram("10.0.0.9:1000", "10.0.0.1:53", b"");
    assert_eq!(bench.received(socket), [b"data".to_vec(), Vec::new()]);
}

/// RFC 768: a checksum of zero is none. RFC 1122 §4.1.3.4: a wrong one is silently discarded.
#[test]
fn zero_is_no_checksum_and_a_wrong_one_is_dropped() {
    let mut bench = Bench::new();
    let socket = bench.bound("10.0.0.1:53");
    let good = udp("10.0.0.9:1000", "10.0.0.1:53", b"data");
    let mut none = good.clone();
    none.payload[6..8].fill(0);
    let mut wrong = good.clone();
    wrong.payload[6] ^= 1;
    assert_eq!(bench.give(&none), []);
    assert_eq!(bench.give(&wrong), [DropReason::UdpChecksum]);
    assert_eq!(bench.received(socket).len(), 1);
    let mib = bench.mib();
    assert_eq!((mib.in_datagrams, mib.in_csum_errors, mib.in_errors), (1, 1, 1));
    assert!(bench.lab.heard(bench.tester).is_empty());
}

/// RFC 1122 §4.1.3.1: port unreachable when nobody listens.
#[test]
fn a_port_without_a_socket_is_unreachable() {
    let mut bench = Bench::new();
    bench.bound("10.0.0.1:53");
    for dst in ["10.0.0.1:54", "10.0.0.5:53"] {
        assert_eq!(bench.datagram("10.0.0.9:1000", dst, b"x"), [DropReason::NoSocket]);
        let error = bench.lab.heard_one_ip(bench.tester);
        let port = Message::DestinationUnreachable(Unreachable::Port);
        assert_eq!(icmp_in(&error).message(), port);
    }
    assert_eq!(bench.mib().no_ports, 2);
}

/// Address before wildcard, connected before both, and a connected one for its peer only.
#[test]
fn the_most_specific_socket_gets_it() {
    let mut bench = Bench::new();
    let wildcard = bench.sharing("0.0.0.0:53");
    let address = bench.sharing("10.0.0.1:53");
    let connected = bench.sharing("10.0.0.1:53");
    bench.connect(connected, "10.0.0.9:1000").unwrap();
    let all = [wildcard, address, connected];
    for (src, dst, counts) in [
        ("10.0.0.9:1000", "10.0.0.1:53", [0, 0, 1]),
        ("10.0.0.9:1001", "10.0.0.1:53", [0, 1, 0]),
        ("10.0.0.8:1000", "10.0.0.1:53", [0, 1, 0]),
        ("10.0.0.9:1000", "10.0.0.5:53", [1, 0, 0]),
    ] {
        assert_eq!(bench.datagram(src, dst, b"x"), []);
        assert_eq!(bench.counts(&all), counts, "{src} {dst}");
    }
    // A connected socket alone hears nobody else.
    for socket in [wildcard, address] {
        bench.lab.close(bench.host, socket).unwrap();
    }
    let refused = bench.datagram("10.0.0.8:1000", "10.0.0.1:53", b"x");
    assert_eq!(refused, [DropReason::NoSocket]);
}

#[test]
fn of_sockets_that_share_an_address_the_last_gets_it() {
    let mut bench = Bench::new();
    let all = [0; 3].map(|_| bench.sharing("10.0.0.1:53"));
    bench.datagram("10.0.0.9:1000", "10.0.0.1:53", b"x");
    assert_eq!(bench.counts(&all), [0, 0, 1]);
    bench.lab.close(bench.host, all[2]).unwrap();
    bench.datagram("10.0.0.9:1000", "10.0.0.1:53", b"x");
    assert_eq!(bench.counts(&all), [0, 1, 0]);
}

/// SO_REUSEPORT: a flow stays with one socket, flows are spread over all.
#[test]
fn flows_are_spread_over_a_group() {
    let mut bench = Bench::new();
    let all = [0; 4].map(|_| {
        let socket = bench.open();
        bench.stack().socket_options(socket).unwrap().reuse_port = true;
        bench.stack().bind(socket, at("0.0.0.0:53")).unwrap();
        socket
    });
    let mut total = [0; 4];
    for port in 1000..1100 {
        let src = format!("10.0.0.9:{port}");
        for _ in 0..3 {
            bench.datagram(&src, "10.0.0.1:53", b"x");
        }
        let counts = bench.counts(&all);
        assert_eq!(counts.iter().filter(|count| **count == 3).count(), 1, "{counts:?}");
        total.iter_mut().zip(counts).for_each(|(total, count)| *total += count / 3);
    }
    assert!(total.iter().all(|count| (10..45).contains(count)), "{total:?}");
}

/// SO_BINDTODEVICE, also when it is set after bind.
#[test]
fn a_socket_bound_to_a_link_hears_that_link() {
    let mut bench = Bench::new();
    let (link, any) = (bench.link, bench.sharing("0.0.0.0:53"));
    let bound = bench.sharing("0.0.0.0:53");
    bench.stack().socket_options(bound).unwrap().bind_link = Some(LinkId::LOOPBACK);
    bench.datagram("10.0.0.9:1000", "10.0.0.1:53", b"x");
    assert_eq!(bench.counts(&[any, bound]), [1, 0]);
    bench.stack().socket_options(any).unwrap().bind_link = Some(LinkId::LOOPBACK);
    bench.stack().socket_options(bound).unwrap().bind_link = Some(link);
    bench.datagram("10.0.0.9:1000", "10.0.0.1:53", b"x");
    assert_eq!(bench.counts(&[any, bound]), [0, 1]);
}

/// RFC 1122 §4.1.3.1: what is sent to many goes to every socket that wants it.
#[test]
fn a_broadcast_reaches_every_socket() {
    let mut bench = Bench::new();
    let first = bench.sharing("0.0.0.0:53");
    let second = bench.sharing("0.0.0.0:53");
    let broadcast = bench.sharing("10.0.0.255:53");
    let peer = bench.sharing("10.0.0.255:53");
    bench.stack().socket_options(peer).unwrap().broadcast = true;
    bench.connect(peer, "10.0.0.9:1000").unwrap();
    let elsewhere = bench.sharing("10.0.0.1:53");
    let all = [first, second, broadcast, peer, elsewhere];
    let mac = bench.tester.mac;
    for (src, dst, counts) in [
        ("10.0.0.9:1000", "10.0.0.255:53", [1, 1, 1, 1, 0]),
        ("10.0.0.8:1000", "10.0.0.255:53", [1, 1, 1, 0, 0]),
        ("10.0.0.9:1000", "255.255.255.255:53", [1, 1, 0, 0, 0]),
    ] {
        let packet = udp(src, dst, b"to all").build();
        bench.lab.inject(bench.tester, ip_frame(mac, MacAddr::BROADCAST, &packet));
        let texts: Vec<_> = all.map(|socket| bench.received(socket)).to_vec();
        let lens: Vec<_> = texts.iter().map(Vec::len).collect();
        assert_eq!(lens, counts, "{src} {dst}");
        assert!(texts.iter().flatten().all(|text| text == b"to all"));
    }
    // Nobody hears it, and nobody is told (RFC 1122 §3.2.2).
    let packet = udp("10.0.0.9:1000", "10.0.0.255:54", b"x").build();
    bench.lab.inject(bench.tester, ip_frame(mac, MacAddr::BROADCAST, &packet));
    assert_eq!((bench.mib().ignored_multi, bench.mib().no_ports), (1, 0));
    assert!(bench.lab.heard(bench.tester).is_empty());
}

/// A unicast in a frame for everybody is still for one socket.
#[test]
fn a_unicast_in_a_broadcast_frame_reaches_one() {
    let mut bench = Bench::new();
    let all = [bench.sharing("0.0.0.0:53"), bench.sharing("0.0.0.0:53")];
    let packet = udp("10.0.0.9:1000", "10.0.0.1:53", b"x").build();
    let frame = ip_frame(bench.tester.mac, MacAddr::BROADCAST, &packet);
    bench.lab.inject(bench.tester, frame);
    assert_eq!(bench.counts(&all), [0, 1]);
}

/// A socket hears the groups that its link is in, unless IP_MULTICAST_ALL is off.
#[test]
fn a_multicast_reaches_every_socket_that_wants_it() {
    let mut bench = Bench::new();
    let (now, link, group) = (bench.lab.now(), bench.link, ip("239.1.2.3"));
    let bound = bench.sharing("239.1.2.3:53");
    let wildcard = bench.sharing("0.0.0.0:53");
    let other = bench.sharing("239.1.2.4:53");
    let unwilling = bench.sharing("0.0.0.0:53");
    bench.stack().socket_options(unwilling).unwrap().multicast_all = false;
    let packet = udp("10.0.0.9:1000", "239.1.2.3:53", b"x").build();
    let frame = ip_frame(bench.tester.mac, MacAddr::from_ipv4_multicast(group), &packet);
    bench.lab.inject(bench.tester, frame.clone());
    assert_eq!(bench.counts(&[bound, wildcard, other, unwilling]), [0; 4], "not a member");
    bench.stack().join_multicast(now, bound, group.into(), Some(link)).unwrap();
    bench.lab.inject(bench.tester, frame.clone());
    assert_eq!(bench.counts(&[bound, wildcard, other, unwilling]), [1, 1, 0, 0]);
    // Its own membership counts for more than the option, and may exclude a source.
    bench.stack().join_multicast(now, unwilling, group.into(), Some(link)).unwrap();
    bench.stack().join_multicast(now, wildcard, group.into(), Some(link)).unwrap();
    bench
        .stack()
        .block_multicast_source(now, wildcard, group.into(), ip(PEER).into(), Some(link))
        .unwrap();
    bench.lab.inject(bench.tester, frame);
    assert_eq!(bench.counts(&[bound, wildcard, other, unwilling]), [1, 0, 0, 1]);
}

/// SO_RCVBUF counts buffers, not data.
#[test]
fn the_receive_queue_is_bounded() {
    let mut bench = Bench::new();
    let socket = bench.bound("10.0.0.1:53");
    bench.stack().socket_options(socket).unwrap().receive_buffer = 8192;
    let mut taken = 0;
    while bench.datagram("10.0.0.9:1000", "10.0.0.1:53", b"x").is_empty() {
        taken += 1;
        assert!(taken < 100);
    }
    assert_eq!(bench.lab.snapshot(bench.host).dropped(DropReason::SocketQueueFull), 1);
    let mib = bench.mib();
    assert_eq!((mib.rcvbuf_errors, mib.in_errors, mib.in_datagrams), (1, 1, 0));
    assert_eq!(bench.received(socket).len(), taken);
    assert_eq!(bench.datagram("10.0.0.9:1000", "10.0.0.1:53", b"x"), [], "room again");
    assert_eq!(bench.mib().in_datagrams, taken as u64);
    assert!(bench.lab.heard(bench.tester).is_empty());
}

/// `udp_mem` bounds all sockets together; reading and closing give room.
#[test]
fn all_receive_queues_together_are_bounded() {
    let mut config = Config::default();
    config.ipv4.udp_mem = 2048;
    let mut bench = Bench::with(config);
    let sockets = [53, 54, 55].map(|port| bench.bound(&format!("10.0.0.1:{port}")));
    let mut refused = Vec::new();
    for turn in 0..30 {
        let dst = format!("10.0.0.1:{}", 53 + turn % 3);
        refused.extend(bench.datagram("10.0.0.9:1000", &dst, b"x"));
    }
    assert!(!refused.is_empty() && refused.iter().all(|why| *why == DropReason::UdpMemory));
    assert_eq!(bench.mib().mem_errors, refused.len() as u64);
    let room = bench.received(sockets[0]).len();
    bench.lab.close(bench.host, sockets[1]).unwrap();
    for _ in 0..=room {
        assert_eq!(bench.datagram("10.0.0.9:1000", "10.0.0.1:55", b"x"), []);
    }
}

/// A datagram in fragments is one.
#[test]
fn a_fragmented_datagram_arrives_whole() {
    let mut bench = Bench::new();
    let socket = bench.bound("10.0.0.1:53");
    let data: Vec<u8> = (0..3000).map(|n| n as u8).collect();
    let whole = udp("10.0.0.9:1000", "10.0.0.1:53", &data);
    for at in (0..whole.payload.len()).step_by(1480) {
        let end = (at + 1480).min(whole.payload.len());
        let mut piece = whole.clone().fragment(at, end < whole.payload.len());
        piece.payload = whole.payload[at..end].to_vec();
        assert_eq!(bench.give(&piece), []);
    }
    assert_eq!(bench.received(socket), [data]);
}
