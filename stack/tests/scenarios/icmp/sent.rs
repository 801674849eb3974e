//! Errors that are sent: which, from whom, and what they quote (RFC 1122 §3.2.2, RFC 1812 §4.3.2).

use super::*;

const PORT: Message = Message::DestinationUnreachable(Unreachable::Port);

/// RFC 1122 §3.2.2: the header and at least the first 8 bytes, "MUST NOT be changed"; RFC 1812
/// §4.3.2.3: as much as fits.
#[test]
fn an_error_quotes_the_packet_byte_by_byte() {
    let mut bench = Bench::new();
    let packet = to_closed_port(PEER, US).id(0xbeef).ttl(17).tos(0x08).df();
    let error = bench.ask(&packet);
    assert_eq!(icmp_in(&error).message(), PORT);
    assert_eq!(icmp_in(&error).payload(), packet.build());
    let header = ipv4(&error);
    assert_eq!((header.src(), header.dst(), header.ttl()), (ip(US), ip(PEER), 64));
    assert!(!header.dont_fragment());
}

/// RFC 1812 §4.3.2.3: the error does not exceed 576 bytes.
#[test]
fn an_error_is_at_most_576_bytes_long() {
    let mut bench = Bench::new();
    for (len, expected) in [(519, 575), (520, 576), (521, 576), (1472, 576)] {
        let packet = Ip::udp(ip(PEER), ip(US), 1, 9, &vec![7; len]);
        let error = bench.ask(&packet);
        assert_eq!(ipv4(&error).total_len(), expected);
        assert_eq!(icmp_in(&error).payload(), &packet.build()[..expected - 28]);
        bench.lab.run_for(secs(1));
    }
}

/// Ethernet padding is not part of the packet.
#[test]
fn padding_is_not_quoted() {
    let mut bench = Bench::new();
    let mut packet = Ip::udp(ip(PEER), ip(US), 1, 9, b"x").build();
    let len = packet.len();
    packet.resize(46, 0xaa);
    bench.lab.inject_ip(bench.tester, bench.host, bench.link, &packet);
    assert_eq!(icmp_in(&bench.answer()).payload(), &packet[..len]);
}

/// RFC 1812 §4.3.2.5: precedence internetwork control, and the type of service of the packet.
#[test]
fn an_error_has_the_precedence_of_network_control() {
    for (tos, expected) in [(0, 0xc0), (0x10, 0xd0), (0xff, 0xde), (0xa4, 0xc4)] {
        let mut bench = Bench::new();
        assert_eq!(ipv4(&bench.ask(&to_closed_port(PEER, US).tos(tos))).tos(), expected);
    }
}

/// RFC 1122 §3.2.2.1.
#[test]
fn a_protocol_that_nobody_speaks_is_unreachable() {
    let mut bench = Bench::new();
    let packet = Ip::new(ip(PEER), ip(US), Protocol(99), b"what is this".to_vec());
    let error = bench.ask(&packet);
    let expected = Message::DestinationUnreachable(Unreachable::Protocol);
    assert_eq!(icmp_in(&error).message(), expected);
    assert_eq!(icmp_in(&error).payload(), packet.build());
    let snapshot = bench.lab.snapshot(bench.host);
    assert_eq!(snapshot.dropped(DropReason::UnknownProtocol), 1);
    assert_eq!((snapshot.ip.in_unknown_protos, snapshot.ip.in_delivers), (1, 0));
}

#[test]
fn a_raw_socket_makes_its_protocol_known() {
    let mut bench = Bench::new();
    let socket = bench.lab.stack(bench.host).open_raw(Protocol(99)).unwrap();
    let packet = Ip::new(ip(PEER), ip(US), Protocol(99), b"well known".to_vec());
    bench.inject(&packet);
    bench.no_answer();
    assert_eq!(bench.lab.received(bench.host, socket), [packet.build()]);
}

/// A damaged datagram may have been for another port.
#[test]
fn a_damaged_datagram_is_not_answered() {
    let mut bench = Bench::new();
    let mut wrong_sum = to_closed_port(PEER, US);
    wrong_sum.payload[9] ^= 1;
    let mut wrong_len = to_closed_port(PEER, US);
    wrong_len.payload[5] = 200;
    let mut too_short = to_closed_port(PEER, US);
    too_short.payload.truncate(7);
    for packet in [wrong_sum, wrong_len, too_short] {
        bench.inject(&packet);
    }
    bench.no_answer();
    let snapshot = bench.lab.snapshot(bench.host);
    assert_eq!(snapshot.dropped(DropReason::UdpChecksum), 1);
    assert_eq!(snapshot.dropped(DropReason::UdpMalformed), 2);
    assert_eq!((snapshot.udp.in_errors, snapshot.udp.no_ports), (3, 0));
}

/// RFC 1812 §4.3.2.4: the address that the packet was sent to, if it is ours.
#[test]
fn an_error_comes_from_the_address_that_was_meant() {
    let mut bench = Bench::new();
    let (now, link) = (bench.lab.now(), bench.link);
    let second = "172.16.0.1/16".parse().unwrap();
    bench.lab.stack(bench.host).add_address(now, link, second).unwrap();
    assert_eq!(ipv4(&bench.ask(&to_closed_port(PEER, "172.16.0.1"))).src(), ip("172.16.0.1"));
}

/// RFC 792, RFC 1812 §5.3.1: quoted with the TTL that ran out, from the link it goes back by.
#[test]
fn a_packet_whose_time_is_over_is_answered_by_the_router() {
    let mut router = Router::new();
    for ttl in [1, 0] {
        let packet = to_closed_port(LEFT, RIGHT).ttl(ttl);
        router.inject(&packet);
        let error = router.lab.heard_one_ip(router.left);
        assert_eq!(ipv4(&error).src(), ip("10.1.0.1"));
        let expected = Message::TimeExceeded(TimeExceeded::Transit);
        assert_eq!(icmp_in(&error).message(), expected);
        assert_eq!(icmp_in(&error).payload(), packet.build());
    }
    assert!(router.lab.heard(router.right).is_empty());
    let snapshot = router.lab.snapshot(router.host);
    assert_eq!(snapshot.dropped(DropReason::TtlExpired), 2);
    assert_eq!(snapshot.ip.in_hdr_errors, 2);
}

/// Linux `icmp_errors_use_inbound_ifaddr`: of the link that the packet arrived on, the address in
/// its sender's subnet; without it, of the link that the error leaves by.
#[test]
fn the_source_of_a_routers_error_can_be_that_of_the_link_it_came_by() {
    for inbound in [false, true] {
        let mut config = Config::default();
        config.icmp.errors_use_inbound_ifaddr = inbound;
        let mut router = Router::with(config, 1500);
        let (now, inside) = (router.lab.now(), router.inside);
        let second = "10.3.0.1/24".parse().unwrap();
        router.lab.stack(router.host).add_address(now, inside, second).unwrap();
        // A sender whose way back leads over the other link.
        let packet = to_closed_port("10.2.0.5", "10.2.0.99").ttl(1);
        router.inject(&packet);
        let error = router.lab.heard_one_ip(router.right);
        let expected = if inbound { "10.1.0.1" } else { "10.2.0.1" };
        assert_eq!(ipv4(&error).src(), ip(expected));
        // And one in the second subnet.
        router.lab.know(router.host, inside, ip("10.3.0.5"), router.left.mac);
        router.inject(&to_closed_port("10.3.0.5", RIGHT).ttl(1));
        let error = router.lab.heard_one_ip(router.left);
        assert_eq!(ipv4(&error).src(), ip("10.3.0.1"));
    }
}

/// RFC 7600 §4.8: a router without any address still answers, from the dummy address.
#[test]
fn a_router_without_an_address_answers_from_the_dummy_address() {
    let mut lab = Lab::new();
    let segment = lab.segment();
    let host = lab.host("router");
    let link = lab.attach(host, segment, "");
    lab.stack(host).set_forwarding(true);
    let everywhere = "0.0.0.0/0".parse().unwrap();
    lab.stack(host).add_route(Route::direct(everywhere, link)).unwrap();
    let tester = lab.tester(segment);
    lab.know(host, link, ip(LEFT), tester.mac);
    lab.inject_ip(tester, host, link, &to_closed_port(LEFT, RIGHT).ttl(1).build());
    assert_eq!(ipv4(&lab.heard_one_ip(tester)).src(), ip("192.0.0.8"));
}

/// Linux `ip_options_echo`: as with replies, the route goes on being recorded.
#[test]
fn an_error_carries_the_recorded_route_back() {
    let mut bench = Bench::new();
    let mut option = [0; 15];
    option[..3].copy_from_slice(&[ipv4_options::RR, 15, 4]);
    let packet = to_closed_port(PEER, US).options(&option);
    let error = bench.ask(&packet);
    let mut expected = vec![ipv4_options::RR, 15, 12];
    expected.extend_from_slice(&ip(US).octets());
    expected.extend_from_slice(&ip(US).octets());
    expected.resize(16, 0);
    assert_eq!(ipv4(&error).options(), expected);
    let long = Ip::udp(ip(PEER), ip(US), 1, 9, &[0; 1000]).options(&option);
    assert_eq!(ipv4(&bench.ask(&long)).total_len(), 576, "options included");
}

/// Linux `__icmp_send`: an error is not to be fragmented on its way back.
#[test]
fn an_error_fits_a_link_with_a_small_mtu() {
    let mut lab = Lab::new();
    let segment = lab.segment();
    let host = lab.host("a");
    let link = lab.attach_with_mtu(host, segment, "10.0.0.1/24", 300);
    let tester = lab.tester(segment);
    lab.know(host, link, ip(PEER), tester.mac);
    let packet = Ip::udp(ip(PEER), ip(US), 1, 9, &[7; 1000]).build();
    lab.inject_ip(tester, host, link, &packet);
    let error = lab.heard_one_ip(tester);
    assert_eq!(ipv4(&error).total_len(), 300);
    assert_eq!(icmp_in(&error).payload(), &packet[..272]);
}

/// RFC 792, RFC 1122 §3.3.2: after 30 s, code 1, quoting the first fragment.
#[test]
fn an_incomplete_datagram_is_reported_if_its_first_fragment_came() {
    let mut bench = Bench::new();
    let whole = Ip::udp(ip(PEER), ip(US), 1, 9, &[7; 3000]);
    let part = |at: usize, more| {
        let mut part = whole.clone().fragment(at, more);
        part.payload = whole.payload[at..(at + 1000).min(whole.payload.len())].to_vec();
        part
    };
    bench.inject(&part(0, true));
    bench.lab.run_for(secs(10));
    bench.inject(&part(2000, false));
    bench.lab.run_for(secs(19));
    bench.no_answer();
    bench.lab.run_for(secs(2));
    let error = bench.answer();
    assert_eq!(icmp_in(&error).message(), Message::TimeExceeded(TimeExceeded::Reassembly));
    assert_eq!(icmp_in(&error).payload(), &part(0, true).build()[..548]);
    assert_eq!(ipv4(&error).src(), ip(US));
    // The same without the first fragment.
    bench.inject(&part(1000, true).id(0x4321));
    bench.lab.run_for(secs(60));
    bench.no_answer();
    let snapshot = bench.lab.snapshot(bench.host);
    assert_eq!(snapshot.ip.reasm_timeout, 2);
    assert_eq!(snapshot.icmp.out_time_excds, 1);
}

/// RFC 792, RFC 1122 §3.2.2.5: the pointer names the byte at fault, from the start of the header
/// (as Linux `ip_options_compile` has it).
#[test]
fn a_malformed_option_is_pointed_at() {
    const RR: u8 = ipv4_options::RR;
    const TS: u8 = ipv4_options::TS;
    const LSRR: u8 = ipv4_options::LSRR;
    const RA: u8 = ipv4_options::RA;
    const NOP: u8 = ipv4_options::NOP;
    let cases: &[(&str, &[u8], u8)] = &[
        ("an option without a length", &[NOP, NOP, NOP, RR], 23),
        ("a length of zero", &[RR, 0, 4, 0], 20),
        ("a length of one", &[NOP, 0x55, 1, 0], 21),
        ("a length beyond the header", &[RR, 5, 4, 0], 20),
        ("a route too short for its pointer", &[RR, 2, 0, 0], 21),
        ("a route whose pointer is too small", &[RR, 7, 3, 0, 0, 0, 0, 0], 22),
        ("a route with less than a slot left", &[RR, 7, 5, 0, 0, 0, 0, 0], 22),
        ("a second route", &[RR, 3, 4, RR, 3, 4, 0, 0], 23),
        ("a source route too short", &[LSRR, 2, 0, 0], 21),
        ("a source route whose pointer is too small", &[LSRR, 7, 0, 0, 0, 0, 0, 0], 22),
        ("two source routes", &[LSRR, 3, 4, ipv4_options::SSRR, 3, 4, 0, 0], 23),
        ("a timestamp too short", &[TS, 3, 5, 0], 21),
        ("a timestamp whose pointer is too small", &[TS, 8, 4, 0, 0, 0, 0, 0], 22),
        ("a timestamp with less than a slot left", &[TS, 8, 7, 0, 0, 0, 0, 0], 22),
        ("a timestamp without room for the address", &[TS, 8, 5, 1, 0, 0, 0, 0], 22),
        ("an overflow that overflows", &[TS, 8, 9, 0xf0, 0, 0, 0, 0], 23),
        ("two timestamps", &[TS, 4, 5, 0, TS, 4, 5, 0], 24),
        ("an alert too short", &[RA, 3, 0, 0], 21),
    ];
    for (what, options, pointer) in cases {
        let mut bench = Bench::new();
        let packet = Ip::icmp(ip(PEER), ip(US), echo(1, 1, b"")).options(options);
        let error = bench.ask(&packet);
        let expected = Message::ParameterProblem { code: 0, pointer: *pointer };
        assert_eq!(icmp_in(&error).message(), expected, "{what}");
        assert_eq!(icmp_in(&error).payload(), packet.build(), "{what}");
        let snapshot = bench.lab.snapshot(bench.host);
        assert_eq!(snapshot.dropped(DropReason::Ipv4OptionError), 1, "{what}");
        assert_eq!(snapshot.ip.in_hdr_errors, 1, "{what}");
        assert_eq!(snapshot.icmp.out_parm_probs, 1, "{what}");
    }
}

/// RFC 1812 §5.2.4: a router complains about the options of what it forwards, too.
#[test]
fn a_router_points_at_malformed_options() {
    let mut router = Router::new();
    let packet = to_closed_port(LEFT, RIGHT).options(&[ipv4_options::RR, 7, 3, 0, 0, 0, 0]);
    router.inject(&packet);
    let error = router.lab.heard_one_ip(router.left);
    let expected = Message::ParameterProblem { code: 0, pointer: 22 };
    assert_eq!(icmp_in(&error).message(), expected);
    assert!(router.lab.heard(router.right).is_empty());
}

/// RFC 1812 §5.2.7.1 and the kinds of routes (Linux `ip_error`).
#[test]
fn a_router_says_why_it_cannot_forward() {
    let route = |text: &str| text.parse().unwrap();
    let cases = [
        (None, Some(Unreachable::Net), DropReason::NoRoute),
        (
            Some(Route::unreachable(route("198.51.100.0/24"))),
            Some(Unreachable::Host),
            DropReason::UnreachableRoute,
        ),
        (
            Some(Route::prohibit(route("198.51.100.0/24"))),
            Some(Unreachable::CommunicationProhibited),
            DropReason::ProhibitRoute,
        ),
        (Some(Route::blackhole(route("198.51.100.0/24"))), None, DropReason::Blackhole),
    ];
    for (route, expected, reason) in cases {
        let mut router = Router::new();
        if let Some(route) = route {
            router.lab.stack(router.host).add_route(route).unwrap();
        }
        router.inject(&to_closed_port(LEFT, "198.51.100.1"));
        let heard = router.lab.heard_ip(router.left);
        let said = heard.first().map(|error| icmp_in(error).message());
        assert_eq!(said, expected.map(Message::DestinationUnreachable));
        assert_eq!(router.lab.drops(router.host), [reason]);
    }
}
