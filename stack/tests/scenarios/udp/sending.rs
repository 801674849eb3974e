//! send(2) and sendto(2) (Linux `udp_sendmsg`).

use tapping_stack::PmtuDiscovery;
use tapping_stack::socket::ErrorOrigin;
use tapping_stack::time::Duration;
use tapping_stack::wire::{MacAddr, Protocol, ipv4::pseudo_header_sum};

use super::*;

#[test]
fn a_datagram_has_addresses_ports_and_a_checksum() {
    let mut bench = Bench::new();
    let socket = bench.bound("10.0.0.5:53");
    bench.send_to(socket, "10.0.0.9:1000", b"hello").unwrap();
    let packet = bench.lab.heard_one_ip(bench.tester);
    assert_eq!((ipv4(&packet).src(), ipv4(&packet).dst()), (ip(ALSO_HERE), ip(PEER)));
    let datagram = udp_in(&packet);
    assert_eq!((datagram.src_port(), datagram.dst_port()), (53, 1000));
    assert_eq!(datagram.payload(), b"hello");
    let pseudo = pseudo_header_sum(ip(ALSO_HERE), ip(PEER), Protocol::UDP, 13);
    assert!(datagram.checksum() != 0 && datagram.verify_checksum(pseudo));
    assert_eq!(bench.mib().out_datagrams, 1);
}

/// RFC 768: a checksum that comes out as zero is sent as all ones.
#[test]
fn a_checksum_is_never_zero() {
    let mut bench = Bench::new();
    let socket = bench.bound("10.0.0.1:53");
    bench.send_to(socket, "10.0.0.9:1000", &[0, 0]).unwrap();
    let sum = udp_in(&bench.lab.heard_one_ip(bench.tester)).checksum();
    // The data that the checksum of the same datagram with zeros leaves to be added.
    bench.send_to(socket, "10.0.0.9:1000", &sum.to_be_bytes()).unwrap();
    assert_eq!(udp_in(&bench.lab.heard_one_ip(bench.tester)).checksum(), 0xffff);
}

#[test]
fn a_socket_without_a_port_gets_one() {
    let mut bench = Bench::new();
    let socket = bench.open();
    bench.send_to(socket, "10.0.0.9:1000", b"").unwrap();
    let local = bench.stack().local_addr(socket).unwrap();
    assert_eq!(local.ip().to_string(), "0.0.0.0");
    let packet = bench.lab.heard_one_ip(bench.tester);
    assert_eq!(udp_in(&packet).src_port(), local.port());
    let reply = format!("10.0.0.1:{}", local.port());
    assert_eq!(bench.datagram("10.0.0.9:1000", &reply, b"reply"), []);
    assert_eq!(bench.received(socket), [b"reply"]);
}

#[test]
fn a_connected_socket_needs_no_address_and_takes_another() {
    let mut bench = Bench::new();
    let socket = bench.bound("0.0.0.0:53");
    assert_eq!(bench.send(socket, b"x"), Err(SocketError::DestinationAddressRequired));
    bench.connect(socket, "10.0.0.9:1000").unwrap();
    assert_eq!(bench.send(socket, b"to the peer"), Ok(11));
    bench.send_to(socket, "10.0.0.8:7", b"to another").unwrap();
    let packets = bench.lab.heard_ip(bench.tester);
    let to: Vec<_> =
        packets.iter().map(|packet| (ipv4(packet).dst(), udp_in(packet).dst_port())).collect();
    assert_eq!(to, [(ip(PEER), 1000), (ip(OTHER), 7)]);
}

#[test]
fn what_cannot_be_sent() {
    let mut bench = Bench::new();
    let socket = bench.bound("0.0.0.0:53");
    let mut refuses = |to: &str, data: &[u8], error: SocketError| {
        assert_eq!(bench.send_to(socket, to, data), Err(error), "{to} {}", data.len());
    };
    refuses("10.0.0.9:0", b"", SocketError::InvalidArgument);
    refuses("192.0.2.1:7", b"", SocketError::NetworkUnreachable);
    refuses("10.0.0.255:7", b"", SocketError::PermissionDenied);
    refuses("0.1.2.3:7", b"", SocketError::InvalidArgument);
    // 65,535 bytes of packet with 20 of IP and 8 of UDP header.
    refuses("10.0.0.9:7", &[0; 65_508], SocketError::MessageTooLong);
    refuses("10.0.0.9:7", &[0; 65_535], SocketError::MessageTooLong);
    refuses("10.0.0.9:7", &[0; 70_000], SocketError::MessageTooLong);
    bench.stack().socket_options(socket).unwrap().ttl = Some(0);
    assert_eq!(bench.send_to(socket, "10.0.0.9:7", b""), Err(SocketError::InvalidArgument));
    assert!(bench.lab.heard(bench.tester).is_empty());
    assert_eq!(bench.mib().out_datagrams, 0);
}

#[test]
fn the_longest_datagram_is_sent_in_fragments() {
    let mut bench = Bench::new();
    let socket = bench.bound("0.0.0.0:53");
    bench.send_to(socket, "10.0.0.9:7", &[7; 65_507]).unwrap();
    let packets = bench.lab.heard_ip(bench.tester);
    assert_eq!(packets.len(), 65_515usize.div_ceil(1480));
    // The checksum is of the whole.
    let whole: Vec<u8> =
        packets.iter().flat_map(|packet| ipv4(packet).payload().to_vec()).collect();
    let datagram = tapping_stack::wire::Udp::parse(&whole).unwrap();
    let pseudo = pseudo_header_sum(ip(HERE), ip(PEER), Protocol::UDP, datagram.len());
    assert!(datagram.verify_checksum(pseudo));
}

/// Between sockets of one host no checksum is made, and the longest datagram is not cut.
#[test]
fn the_loopback_carries_it_whole() {
    let mut bench = Bench::new();
    let (first, second) = (bench.bound("127.0.0.1:1"), bench.bound("127.0.0.1:2"));
    let data: Vec<u8> = (0..65_507u32).map(|n| n as u8).collect();
    bench.send_to(first, "127.0.0.1:2", &data).unwrap();
    assert_eq!(bench.received(second), [data]);
    bench.send_to(second, "127.0.0.1:1", b"back").unwrap();
    assert_eq!(bench.received(first), [b"back"]);
    assert_eq!(bench.lab.snapshot(bench.host).ip.frag_creates, 0);
}

/// IP_MTU_DISCOVER (ip(7)).
#[test]
fn df_and_the_mtu() {
    let mut bench = Bench::new();
    let socket = bench.bound("0.0.0.0:53");
    for (pmtu, fits_df, longer) in [
        (PmtuDiscovery::Dont, false, Ok(())),
        (PmtuDiscovery::Want, true, Ok(())),
        (PmtuDiscovery::Do, true, Err(SocketError::MessageTooLong)),
        (PmtuDiscovery::Probe, true, Err(SocketError::MessageTooLong)),
    ] {
        bench.stack().socket_options(socket).unwrap().pmtu_discovery = pmtu;
        bench.send_to(socket, "10.0.0.9:7", &[0; 1472]).unwrap();
        let packet = bench.lab.heard_one_ip(bench.tester);
        assert_eq!(ipv4(&packet).dont_fragment(), fits_df, "{pmtu:?}");
        assert_eq!(bench.send_to(socket, "10.0.0.9:7", &[0; 1473]), longer, "{pmtu:?}");
        bench.lab.heard(bench.tester);
    }
}

/// IP_RECVERR: what was too long is reported with the MTU (Linux `ip_local_error`).
#[test]
fn too_long_is_reported_with_the_mtu() {
    let mut bench = Bench::new();
    let socket = bench.bound("0.0.0.0:53");
    let options = bench.stack().socket_options(socket).unwrap();
    (options.pmtu_discovery, options.receive_errors) = (PmtuDiscovery::Do, true);
    let sent = bench.send_to(socket, "10.0.0.9:7", &[5; 1473]);
    assert_eq!(sent, Err(SocketError::MessageTooLong));
    let report = bench.stack().recv_error(socket).unwrap();
    assert_eq!((report.origin, report.info), (ErrorOrigin::Local, 1500));
    assert_eq!(report.destination.to_string(), PEER);
    assert_eq!(report.packet.bytes()[..4], [0, 53, 0, 7]);
    assert_eq!(report.packet.len(), 8 + 1473);
}

#[test]
fn options_shape_what_is_sent() {
    let mut bench = Bench::new();
    let socket = bench.bound("0.0.0.0:53");
    let options = bench.stack().socket_options(socket).unwrap();
    (options.ttl, options.tos, options.broadcast) = (Some(9), 0x10, true);
    bench.send_to(socket, "10.0.0.255:7", b"to all").unwrap();
    let frame = bench.lab.heard(bench.tester).remove(0);
    assert_eq!(frame.ethernet().dst(), MacAddr::BROADCAST);
    let packet = frame.ip().unwrap();
    assert_eq!((ipv4(&packet).ttl(), ipv4(&packet).tos()), (9, 0x10));
    // Our own copy of it.
    assert_eq!(bench.received(socket), Vec::<Vec<u8>>::new(), "another port");
    bench.send_to(socket, "10.0.0.255:53", b"to us").unwrap();
    assert_eq!(bench.received(socket), [b"to us"]);
}

/// IP_MULTICAST_IF, IP_MULTICAST_TTL, IP_MULTICAST_LOOP.
#[test]
fn multicast_options() {
    let mut bench = Bench::new();
    let segment = bench.lab.segment();
    let second = bench.lab.attach(bench.host, segment, "10.9.0.1/24");
    let listener = bench.lab.tester(segment);
    let group = ip("239.1.2.3");
    let now = bench.lab.now();
    bench.stack().join_group(now, second, group).unwrap();
    bench.lab.run_for(Duration::from_secs(20));
    bench.lab.heard(listener);
    let socket = bench.bound("0.0.0.0:53");
    bench.stack().socket_options(socket).unwrap().multicast_link = Some(second);
    bench.send_to(socket, "239.1.2.3:53", b"x").unwrap();
    let packet = bench.lab.heard_one_ip(listener);
    assert_eq!((ipv4(&packet).src(), ipv4(&packet).ttl()), (ip("10.9.0.1"), 1));
    assert_eq!(bench.received(socket).len(), 1, "a copy for ourselves");
    let options = bench.stack().socket_options(socket).unwrap();
    (options.multicast_loop, options.multicast_ttl) = (false, 5);
    bench.send_to(socket, "239.1.2.3:53", b"x").unwrap();
    assert_eq!(ipv4(&bench.lab.heard_one_ip(listener)).ttl(), 5);
    assert_eq!(bench.received(socket).len(), 0);
    assert!(bench.lab.heard_ip(bench.tester).is_empty());
}

/// A source address that has gone is not used any more.
#[test]
fn an_address_that_was_removed_is_not_sent_from() {
    let mut bench = Bench::new();
    let socket = bench.bound("10.0.0.5:53");
    let (now, link) = (bench.lab.now(), bench.link);
    bench.stack().remove_address(now, link, ip(ALSO_HERE).into()).unwrap();
    assert_eq!(bench.send_to(socket, "10.0.0.9:7", b""), Err(SocketError::InvalidArgument));
}
