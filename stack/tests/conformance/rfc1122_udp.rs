//! RFC 1122 §4.1, what hosts make of UDP.

use core::net::Ipv4Addr;

use tapping_stack::SocketError;
use tapping_stack::socket::{PacketInfo, Readiness};
use tapping_stack::stats::DropReason;
use tapping_stack::wire::ipv4::pseudo_header_sum;
use tapping_stack::wire::{Ipv4, MacAddr, Message, Protocol, Unreachable};

use crate::host::{ALSO_US, Bench, PEER, US, datagram};
use crate::lab::*;

conformance! {
    "RFC 1122", "UDP in hosts (§4.1)";

    Must "RFC1122-4.1.1-ports" "4.1.1" "A datagram goes to the socket that names its port, address and sender most exactly, and to no other."
        => datagrams_go_to_the_socket_that_fits_best;
    Rule "RFC1122-4.1.1-truncated" "4.1.1" "A datagram that its IP packet does not hold in full is discarded in silence."
        => a_cut_datagram_is_discarded_in_silence;
    Should "RFC1122-4.1.3.1-unreachable" "4.1.3.1" "A datagram to a port where nobody listens is answered with ICMP port unreachable."
        => nobody_listens_is_port_unreachable;
    Must "RFC1122-4.1.3.2-up" "4.1.3.2" "IP options that arrive are passed to the application."
        => ip_options_are_passed_up;
    Must "RFC1122-4.1.3.2-down" "4.1.3.2" "The application can set IP options to send."
        => ip_options_can_be_sent;
    Must "RFC1122-4.1.3.3-connected" "4.1.3.3" "An ICMP error reaches the application that sent: on a connected socket the next call fails, once."
        => errors_reach_a_connected_socket_once;
    Linux "RFC1122-4.1.3.3-unconnected" "4.1.3.3" "A socket without a peer hears of ICMP errors when it asks for them."
        => errors_reach_an_unconnected_socket_that_asks;
    Must "RFC1122-4.1.3.4-made" "4.1.3.4" "Checksums are made, by default."
        => checksums_are_made;
    May "RFC1122-4.1.3.4-off" "4.1.3.4" "The application may turn that off."
        not_applicable "There is no such option: every datagram is summed.";
    Must "RFC1122-4.1.3.4-bad" "4.1.3.4" "A datagram whose checksum is wrong is discarded in silence."
        => a_wrong_checksum_is_discarded_in_silence;
    May "RFC1122-4.1.3.4-zero" "4.1.3.4" "A datagram without a checksum is taken."
        => no_checksum_is_taken;
    Must "RFC1122-4.1.3.5-destination" "4.1.3.5" "The application can learn which address a datagram was sent to."
        => the_destination_is_told;
    Must "RFC1122-4.1.3.5-source" "4.1.3.5" "The application can choose the source address, or leave it to routing."
        => the_source_can_be_chosen;
    Must "RFC1122-4.1.3.6-own" "4.1.3.6" "What is sent has an address of this host."
        => only_own_addresses_are_sent_from;
    Must "RFC1122-4.1.3.6-source" "4.1.3.6" "A datagram from a broadcast or multicast address gets no further than IP or UDP."
        => a_source_that_is_many_is_discarded;
    Must "RFC1122-4.1.4-ttl" "4.1.4" "TTL and type of service can be set."
        => ttl_and_tos_can_be_set;
    Must "RFC1122-4.1.4-told" "4.1.4" "The type of service that arrived is told."
        => ttl_and_tos_are_told;
    Rule "RFC1122-4.1.1-broadcast-in" "4.1.1" "A broadcast goes to every socket that takes its port."
        => a_broadcast_goes_to_all;
    Linux "RFC1122-4.1.1-broadcast-out" "4.1.1" "Broadcasts are sent only by sockets that are allowed to."
        => broadcasting_needs_leave;
    MustNot "RFC1122-4.1.3.1-broadcast" "4.1.3.1" "Nobody is told that a broadcast found no listener."
        => an_unwanted_broadcast_is_not_answered;
    Must "RFC1122-3.3.7-multicast" "3.3.7" "Multicasts go to the members of the group."
        => multicasts_go_to_members;
}

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const ROUTER_ALERT: [u8; 4] = [148, 4, 0, 0];

fn to_closed_port(src: Ipv4Addr) -> Ip {
    Ip::udp(src, US, 4000, 9, b"anybody?")
}

fn is_port_unreachable(answer: &[u8], about: &Ip) -> bool {
    let icmp = icmp_in(answer);
    let quoted = Ipv4::parse(icmp.payload()).is_ok() && icmp.payload() == about.build();
    quoted && icmp.message() == Message::DestinationUnreachable(Unreachable::Port)
}

/// Port unreachable about a packet that the host has sent.
fn unreachable_about(sent: &[u8]) -> Ip {
    Ip::icmp(PEER, US, icmp(Message::DestinationUnreachable(Unreachable::Port), sent))
}

fn datagrams_go_to_the_socket_that_fits_best() {
    let mut bench = Bench::new();
    let sockets = [(ANY, false), (US, false), (US, true)].map(|(addr, connected)| {
        let socket = bench.stack().open_udp().unwrap();
        bench.stack().socket_options(socket).unwrap().reuse_address = true;
        bench.stack().bind(socket, (addr, 9).into()).unwrap();
        if connected {
            bench.lab.connect(bench.host, socket, (PEER, 4000).into()).unwrap();
        }
        socket
    });
    let other = bench.udp(ANY, 10);
    bench.inject_quietly(&Ip::udp(PEER, ALSO_US, 1, 9, b"any address"));
    bench.inject_quietly(&Ip::udp(PEER, US, 1, 9, b"address"));
    bench.inject_quietly(&Ip::udp(PEER, US, 4000, 9, b"peer"));
    let received = sockets.map(|socket| bench.received(socket));
    assert_eq!(received, [[b"any address".to_vec()], [b"address".to_vec()], [b"peer".to_vec()]]);
    assert_eq!(bench.received(other), Vec::<Vec<u8>>::new());
}

fn a_cut_datagram_is_discarded_in_silence() {
    let mut bench = Bench::new();
    let socket = bench.udp(ANY, 9);
    for len in 0..16 {
        let mut packet = to_closed_port(PEER);
        packet.payload.truncate(len);
        bench.inject_quietly(&packet);
    }
    assert_eq!(bench.lab.drops(bench.host), [DropReason::UdpMalformed; 16]);
    assert_eq!(bench.received(socket), Vec::<Vec<u8>>::new());
}

fn nobody_listens_is_port_unreachable() {
    let mut bench = Bench::new();
    let _elsewhere = [bench.udp(ANY, 10), bench.udp(ALSO_US, 9)];
    let packet = to_closed_port(PEER);
    let answers = bench.inject(&packet);
    assert!(matches!(&answers[..], [answer] if is_port_unreachable(answer, &packet)));
    assert_eq!(bench.lab.snapshot(bench.host).udp.no_ports, 1);
}

fn ip_options_are_passed_up() {
    let mut bench = Bench::new();
    let socket = bench.udp(ANY, 9);
    bench.inject_quietly(&datagram(US, 9, b"hi").options(&ROUTER_ALERT));
    let packet = bench.received_one(socket);
    assert_eq!(packet.bytes(), b"hi");
    assert_eq!(ipv4(packet.network()).options(), ROUTER_ALERT);
}

fn ip_options_can_be_sent() {
    let mut bench = Bench::new();
    let socket = bench.udp(ANY, 9);
    bench.stack().socket_options(socket).unwrap().ip_options = ROUTER_ALERT.to_vec();
    let sent = bench.sent_to(socket, PEER, b"hi");
    assert_eq!(ipv4(&sent).options(), ROUTER_ALERT);
    assert_eq!(udp_in(&sent).payload(), b"hi");
}

fn errors_reach_a_connected_socket_once() {
    let mut bench = Bench::new();
    let socket = bench.udp(US, 5000);
    bench.lab.connect(bench.host, socket, (PEER, 9).into()).unwrap();
    let sent = bench.sent_to(socket, PEER, b"hi");
    bench.inject_quietly(&unreachable_about(&sent));
    assert!(bench.stack().readiness(socket).contains(Readiness::ERROR));
    let error = bench.stack().try_recv(socket).map(drop);
    assert_eq!(error, Err(SocketError::ConnectionRefused));
    assert_eq!(bench.stack().try_recv(socket).map(drop), Err(SocketError::WouldBlock));
    // Sending hears of it as well.
    let sent = bench.sent_to(socket, PEER, b"hi");
    bench.inject_quietly(&unreachable_about(&sent));
    let again = bench.send_to(socket, (PEER, 9), b"again");
    assert_eq!(again, Err(SocketError::ConnectionRefused));
    assert_eq!(bench.send_to(socket, (PEER, 9), b"once more"), Ok(()));
}

fn errors_reach_an_unconnected_socket_that_asks() {
    let mut bench = Bench::new();
    let socket = bench.udp(US, 5000);
    for asks in [false, true] {
        bench.stack().socket_options(socket).unwrap().receive_errors = asks;
        let sent = bench.sent_to(socket, PEER, b"hi");
        bench.inject_quietly(&unreachable_about(&sent));
        let expected = if asks { SocketError::ConnectionRefused } else { SocketError::WouldBlock };
        assert_eq!(bench.stack().try_recv(socket).map(drop), Err(expected), "asks: {asks}");
        let report = bench.stack().recv_error(socket);
        assert_eq!(report.map(|report| report.error), asks.then_some(expected));
    }
}

fn checksums_are_made() {
    let mut bench = Bench::new();
    let socket = bench.udp(ANY, 9);
    for len in [0, 1, 2, 1471, 1472] {
        let sent = bench.sent_to(socket, PEER, &vec![0xa5; len]);
        let udp = udp_in(&sent);
        assert_ne!(udp.checksum(), 0, "{len} bytes");
        assert!(udp.verify_checksum(pseudo_header_sum(US, PEER, Protocol::UDP, udp.len())));
    }
}

fn a_wrong_checksum_is_discarded_in_silence() {
    let mut bench = Bench::new();
    let socket = bench.udp(ANY, 9);
    for byte in [0, 1, 6, 7, 8, 15] {
        let mut packet = to_closed_port(PEER);
        packet.payload[byte] ^= 0x10;
        bench.inject_quietly(&packet);
    }
    assert_eq!(bench.received(socket), Vec::<Vec<u8>>::new());
    let udp = bench.lab.snapshot(bench.host).udp;
    assert_eq!((udp.in_csum_errors, udp.in_errors, udp.no_ports), (6, 6, 0));
    assert_eq!(bench.lab.drops(bench.host), [DropReason::UdpChecksum; 6]);
}

fn no_checksum_is_taken() {
    let mut bench = Bench::new();
    let socket = bench.udp(ANY, 9);
    let mut packet = datagram(US, 9, b"unsummed");
    packet.payload[6..8].fill(0);
    bench.inject_quietly(&packet);
    assert_eq!(bench.received(socket), [b"unsummed"]);
}

fn the_destination_is_told() {
    let mut bench = Bench::new();
    let socket = bench.udp(ANY, 9);
    for dst in [US, ALSO_US] {
        bench.inject_quietly(&datagram(dst, 9, b"hi"));
        let packet = bench.received_one(socket);
        let info = PacketInfo::of(&packet).unwrap();
        assert_eq!((info.source, info.destination), ((PEER, 4000).into(), (dst, 9).into()));
    }
}

fn the_source_can_be_chosen() {
    let mut bench = Bench::new();
    for (bound, expected) in [(ANY, US), (US, US), (ALSO_US, ALSO_US)] {
        let socket = bench.udp(bound, 0);
        let sent = bench.sent_to(socket, PEER, b"hi");
        assert_eq!(ipv4(&sent).src(), expected, "bound to {bound}");
        let port = udp_in(&sent).src_port();
        assert_eq!(bench.stack().local_addr(socket), Ok((bound, port).into()));
    }
}

fn only_own_addresses_are_sent_from() {
    let mut bench = Bench::new();
    let socket = bench.stack().open_udp().unwrap();
    for addr in ["10.0.0.9", "192.0.2.1", "8.8.8.8"] {
        let bound = bench.stack().bind(socket, (ip(addr), 9).into());
        assert_eq!(bound, Err(SocketError::AddressNotAvailable), "{addr}");
    }
    assert_eq!(ipv4(&bench.sent_to(socket, PEER, b"hi")).src(), US);
}

fn a_source_that_is_many_is_discarded() {
    let mut bench = Bench::new();
    let socket = bench.udp(ANY, 9);
    for src in ["255.255.255.255", "10.0.0.255", "224.0.0.1", "239.1.2.3"] {
        bench.inject_quietly(&to_closed_port(ip(src)));
    }
    assert_eq!(bench.received(socket), Vec::<Vec<u8>>::new());
    assert_eq!(bench.lab.snapshot(bench.host).udp.no_ports, 0);
}

fn ttl_and_tos_can_be_set() {
    let mut bench = Bench::new();
    let socket = bench.udp(ANY, 9);
    let sent = bench.sent_to(socket, PEER, b"hi");
    assert_eq!((ipv4(&sent).ttl(), ipv4(&sent).tos()), (64, 0));
    let options = bench.stack().socket_options(socket).unwrap();
    (options.ttl, options.tos) = (Some(3), 0x10);
    let sent = bench.sent_to(socket, PEER, b"hi");
    assert_eq!((ipv4(&sent).ttl(), ipv4(&sent).tos()), (3, 0x10));
}

fn ttl_and_tos_are_told() {
    let mut bench = Bench::new();
    let socket = bench.udp(ANY, 9);
    bench.inject_quietly(&datagram(US, 9, b"hi").ttl(17).tos(0xb8));
    let info = PacketInfo::of(&bench.received_one(socket)).unwrap();
    assert_eq!((info.ttl, info.tos), (17, 0xb8));
}

fn broadcast(bench: &mut Bench, dst: &str) -> Vec<Vec<u8>> {
    let packet = datagram(ip(dst), 9, b"all").build();
    let frame = ip_frame(bench.tester.mac, MacAddr::BROADCAST, &packet);
    bench.lab.inject(bench.tester, frame);
    bench.lab.heard_ip(bench.tester)
}

fn a_broadcast_goes_to_all() {
    let mut bench = Bench::new();
    let sockets = [0; 3].map(|_| {
        let socket = bench.stack().open_udp().unwrap();
        bench.stack().socket_options(socket).unwrap().reuse_address = true;
        bench.stack().bind(socket, (ANY, 9).into()).unwrap();
        socket
    });
    let other = bench.udp(ANY, 10);
    for dst in ["255.255.255.255", "10.0.0.255"] {
        assert_eq!(broadcast(&mut bench, dst), Vec::<Vec<u8>>::new());
        for socket in sockets {
            assert_eq!(bench.received(socket), [b"all"], "to {dst}");
        }
    }
    assert_eq!(bench.received(other), Vec::<Vec<u8>>::new());
}

fn broadcasting_needs_leave() {
    let mut bench = Bench::new();
    let socket = bench.udp(ANY, 9);
    let dst = ip("10.0.0.255");
    assert_eq!(bench.send_to(socket, (dst, 9), b"all"), Err(SocketError::PermissionDenied));
    bench.stack().socket_options(socket).unwrap().broadcast = true;
    assert_eq!(ipv4(&bench.sent_to(socket, dst, b"all")).dst(), dst);
}

fn an_unwanted_broadcast_is_not_answered() {
    let mut bench = Bench::new();
    for dst in ["255.255.255.255", "10.0.0.255"] {
        assert_eq!(broadcast(&mut bench, dst), Vec::<Vec<u8>>::new());
    }
    assert_eq!(bench.lab.drops(bench.host), [DropReason::NoSocket; 2]);
}

fn multicasts_go_to_members() {
    let mut bench = Bench::new();
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let make = |bench: &mut Bench, all: bool| {
        let socket = bench.stack().open_udp().unwrap();
        let options = bench.stack().socket_options(socket).unwrap();
        (options.reuse_address, options.multicast_all) = (true, all);
        bench.stack().bind(socket, (ANY, 9).into()).unwrap();
        socket
    };
    let (member, stranger) = (make(&mut bench, false), make(&mut bench, false));
    // Linux: who has IP_MULTICAST_ALL hears what others have joined.
    let eager = make(&mut bench, true);
    let send = |bench: &mut Bench| {
        let packet = Ip::udp(PEER, group, 4000, 9, b"to many").build();
        let mac = MacAddr::from_ipv4_multicast(group);
        let frame = ip_frame(bench.tester.mac, mac, &packet);
        bench.lab.inject(bench.tester, frame);
        [member, stranger, eager].map(|socket| bench.received(socket).len())
    };
    assert_eq!(send(&mut bench), [0, 0, 0], "nobody is a member");
    let (now, link) = (bench.lab.now(), bench.link);
    bench.stack().join_multicast(now, member, group.into(), Some(link)).unwrap();
    assert_eq!(send(&mut bench), [1, 0, 1]);
    bench.stack().leave_multicast(now, member, group.into(), Some(link)).unwrap();
    assert_eq!(send(&mut bench), [0, 0, 0]);
}
