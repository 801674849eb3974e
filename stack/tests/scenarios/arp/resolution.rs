//! Asking who has an address, and what becomes of the packets that wait.

use super::*;

/// RFC 1122 §2.3.2.1: no more than one request a second; Linux `mcast_solicit` 3,
/// `retrans_time` 1 s.
#[test]
fn an_unanswered_resolution_asks_thrice_a_second_apart_and_fails() {
    let mut bench = Bench::new();
    let start = bench.lab.now();
    bench.ping("10.0.0.9");
    bench.lab.run_for(secs(60));
    let asked = bench.lab.heard_arp(bench.tester);
    let times: Vec<Duration> = asked.iter().map(|arp| arp.at - start).collect();
    assert_eq!(times, [secs(0), secs(1), secs(2)]);
    for arp in &asked {
        assert_eq!(arp.dst, MacAddr::BROADCAST);
        assert_eq!(arp.message, arp_request(bench.our_mac(), ip(US), ip("10.0.0.9")));
    }
    let states = bench.states("10.0.0.9");
    assert_eq!(states, [(start, Incomplete), (start + secs(3), Failed)]);
    assert_eq!(bench.lab.snapshot(bench.host).arp.res_failed, 1);
    assert_eq!(bench.lab.snapshot(bench.host).arp.out_requests, 3);
}

#[test]
fn an_answer_to_the_second_request_lets_the_packet_go() {
    let mut bench = Bench::new();
    bench.ping(PEER);
    bench.lab.run_for(millis(1500));
    assert!(bench.lab.heard_ip(bench.tester).is_empty());
    bench.answer(PEER, bench.tester.mac);
    assert_eq!(ipv4(&bench.lab.heard_one_ip(bench.tester)).dst(), ip(PEER));
    assert_eq!(bench.state(PEER), Some(Reachable));
    bench.lab.run_for(secs(5));
    assert!(bench.lab.heard_arp(bench.tester).is_empty(), "nothing more to ask");
}

/// RFC 1122 §2.3.2.2: at least the latest packet is kept; Linux keeps 101, dropping the oldest.
#[test]
fn packets_wait_in_order_and_the_oldest_make_room() {
    let mut bench = Bench::new();
    for sequence in 0..105 {
        let (host, socket) = (bench.host, bench.socket);
        bench.lab.send(host, socket, ip(PEER), &echo(0, sequence, b"")).unwrap();
    }
    let snapshot = bench.lab.snapshot(bench.host);
    assert_eq!(snapshot.dropped(DropReason::NeighbourQueueFull), 4);
    assert_eq!(snapshot.arp.unres_discards, 4);
    assert_eq!(bench.lab.heard_arp(bench.tester).len(), 1, "one request for all of them");
    bench.answer(PEER, bench.tester.mac);
    let sent = bench.lab.heard_ip(bench.tester);
    let order: Vec<u16> = sent.iter().map(|packet| icmp_in(packet).sequence()).collect();
    assert_eq!(order, (4..105).collect::<Vec<u16>>());
}

/// Linux `neigh_event_ns`, `neigh_event_send`: a request from the host that is being resolved
/// resolves it, but does not prove that it hears us.
#[test]
fn a_request_from_the_awaited_host_resolves_it_but_it_is_probed() {
    let mut bench = Bench::new();
    bench.ping(PEER);
    let request = arp_request(bench.tester.mac, ip(PEER), ip(US));
    bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &request));
    assert_eq!(bench.lab.heard_ip(bench.tester).len(), 1);
    assert_eq!(bench.state(PEER), Some(Delay));
    bench.lab.run_for(secs(5));
    assert_eq!(bench.state(PEER), Some(Probe));
}

/// Linux `ipv4_link_failure`: as EHOSTUNREACH, the offender our own address.
#[test]
fn a_failed_resolution_tells_each_waiting_local_sender() {
    let mut bench = Bench::new();
    bench.ping("10.0.0.9");
    bench.ping("10.0.0.9");
    bench.lab.run_for(secs(4));
    for _ in 0..2 {
        let report = bench.lab.stack(bench.host).recv_error(bench.socket).expect("an error each");
        assert_eq!(report.error, SocketError::HostUnreachable);
        assert_eq!(report.error.errno(), 113);
        assert_eq!(report.origin, ErrorOrigin::Icmp);
        assert_eq!((report.icmp_type, report.code, report.info), (3, 1, 0));
        assert_eq!(report.offender, Some(IpAddr::V4(ip(US))));
        assert_eq!(report.destination, IpAddr::V4(ip("10.0.0.9")));
        assert_eq!(report.packet.bytes()[..2], [8, 0], "the echo request");
    }
    assert!(bench.lab.stack(bench.host).recv_error(bench.socket).is_none());
    assert_eq!(bench.lab.snapshot(bench.host).dropped(DropReason::NeighbourFailed), 2);
}

/// RFC 1812 §4.3.3.1 and §5.2.7.1.
#[test]
fn a_failed_resolution_tells_the_source_of_a_forwarded_packet() {
    let mut lab = Lab::new();
    let (left, right) = (lab.segment(), lab.segment());
    let router = lab.host("router");
    lab.stack(router).set_forwarding(true);
    let inside = lab.attach(router, left, "10.1.0.1/24");
    lab.attach(router, right, "10.2.0.1/24");
    let tester = lab.tester(left);
    lab.know(router, inside, ip("10.1.0.5"), tester.mac);
    let sent = Ip::icmp(ip("10.1.0.5"), ip("10.2.0.99"), echo(1, 1, b"data")).build();
    lab.inject_ip(tester, router, inside, &sent);
    assert!(lab.heard_ip(tester).is_empty());
    lab.run_for(secs(4));
    let error = lab.heard_one_ip(tester);
    assert_eq!(ipv4(&error).src(), ip("10.1.0.1"));
    assert_eq!(ipv4(&error).dst(), ip("10.1.0.5"));
    let message = icmp_in(&error).message();
    assert_eq!(message, Message::DestinationUnreachable(Unreachable::Host));
}

/// Linux `__neigh_event_send`: FAILED is no verdict for ever.
#[test]
fn the_next_packet_after_a_failure_asks_anew() {
    let mut bench = Bench::new();
    bench.ping(PEER);
    bench.lab.run_for(secs(10));
    assert_eq!(bench.state(PEER), Some(Failed));
    bench.lab.heard(bench.tester);
    bench.ping(PEER);
    assert_eq!(bench.state(PEER), Some(Incomplete));
    bench.lab.run_for(secs(1));
    assert_eq!(bench.lab.heard_arp(bench.tester).len(), 2, "by broadcast, from the start");
    bench.answer(PEER, bench.tester.mac);
    assert_eq!(bench.state(PEER), Some(Reachable));
    assert_eq!(bench.lab.heard_ip(bench.tester).len(), 1, "only the packet that still waited");
}

/// Linux `arp_solicit` (`arp_announce` 0): the sender is the source of the packet that waits.
#[test]
fn the_request_comes_from_the_source_of_the_waiting_packet() {
    let mut bench = Bench::new();
    let (now, link) = (bench.lab.now(), bench.link);
    let second = "10.0.7.7/16".parse().unwrap();
    bench.lab.stack(bench.host).add_address(now, link, second).unwrap();
    let socket = bench.socket;
    bench.lab.stack(bench.host).bind(socket, (ip("10.0.7.7"), 0).into()).unwrap();
    bench.ping(PEER);
    assert_eq!(bench.lab.heard_arp(bench.tester)[0].message.sender_ip, ip("10.0.7.7"));
}
