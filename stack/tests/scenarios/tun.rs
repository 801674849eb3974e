//! Links without Ethernet: packets in, packets out, nobody to resolve.

use core::net::IpAddr;

use tapping_stack::interface::LinkKind;
use tapping_stack::route::Route;
use tapping_stack::stats::DropReason;
use tapping_stack::time::Instant;
use tapping_stack::wire::{MacAddr, Message, Protocol, TimeExceeded};
use tapping_stack::{Config, ConfigError, LinkConfig, LinkId, Packet, SocketError, Stack};

use crate::lab::*;

const NOW: Instant = Instant::from_secs(1);
const US: &str = "10.0.0.1";
const PEER: &str = "10.0.0.2";

fn tun() -> (Stack, LinkId) {
    let mut stack = Stack::new(Config::default(), 1);
    let link = stack.add_link(LinkConfig::ip("tun0")).unwrap();
    stack.add_address(NOW, link, "10.0.0.1/24".parse().unwrap()).unwrap();
    (stack, link)
}

fn give(stack: &mut Stack, link: LinkId, packet: &[u8]) {
    stack.handle_frame(NOW, link, Packet::from_slice(packet));
}

/// Every packet that leaves.
fn take(stack: &mut Stack, link: LinkId) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    while let Some(packet) = stack.poll_transmit(NOW, link) {
        assert_eq!(packet.network(), packet.bytes());
        packets.push(packet.bytes().to_vec());
        stack.recycle(packet);
    }
    packets
}

#[test]
fn an_echo_is_answered_at_once() {
    let (mut stack, link) = tun();
    give(&mut stack, link, &Ip::icmp(ip(PEER), ip(US), echo(7, 1, b"hi")).build());
    let replies = take(&mut stack, link);
    assert_eq!(replies.len(), 1);
    let reply = ipv4(&replies[0]);
    assert_eq!((reply.src(), reply.dst()), (ip(US), ip(PEER)));
    assert_eq!(icmp_in(&replies[0]).message(), Message::EchoReply { ident: 7, sequence: 1 });
    let snapshot = stack.snapshot();
    let (_, name, counters) = &snapshot.links[1];
    assert_eq!(name, "tun0");
    let len = replies[0].len() as u64;
    assert_eq!((counters.rx_packets, counters.rx_bytes), (1, len));
    assert_eq!((counters.tx_packets, counters.tx_bytes), (1, len));
}

#[test]
fn whoever_it_is_for_it_leaves_by_the_other_end() {
    let (mut stack, link) = tun();
    let gateway = ip("10.0.0.254");
    let route = Route::via("0.0.0.0/0".parse().unwrap(), IpAddr::V4(gateway));
    stack.add_route(route).unwrap();
    let socket = stack.open_raw(Protocol(99)).unwrap();
    stack.socket_options(socket).unwrap().broadcast = true;
    let all = [PEER, "192.0.2.7", "10.0.0.255", "239.1.2.3"];
    for dst in all {
        stack.send_to(NOW, socket, (ip(dst), 0).into(), b"data").unwrap();
    }
    let sent = take(&mut stack, link);
    let destinations: Vec<_> = sent.iter().map(|packet| ipv4(packet).dst()).collect();
    assert_eq!(destinations, all.map(ip));
    assert_eq!(stack.neighbours().count(), 0);
    assert_eq!(stack.poll_timeout().filter(|at| *at <= NOW), Some(NOW), "the broadcast's copy");
    assert_eq!(stack.snapshot().arp.out_requests, 0);
}

/// Linux `tun_get_user`: the first four bits say what it is.
#[test]
fn what_is_not_ipv4_is_refused_by_its_version() {
    let (mut stack, link) = tun();
    give(&mut stack, link, &[0x60; 40]);
    give(&mut stack, link, &[]);
    give(&mut stack, link, &[0x50; 40]);
    // What would be an ARP request on Ethernet is nothing here.
    let request = arp_request(MacAddr([2, 0, 0, 0, 0, 9]), ip(PEER), ip(US));
    give(&mut stack, link, &arp_frame(MacAddr::BROADCAST, &request));
    give(&mut stack, link, &[0x45; 3]);
    let snapshot = stack.snapshot();
    assert_eq!(snapshot.dropped(DropReason::UnhandledEtherType), 1);
    assert_eq!(snapshot.dropped(DropReason::UnknownIpVersion), 3);
    assert_eq!(snapshot.dropped(DropReason::Ipv4HeaderError), 1);
    let counters = &snapshot.links[1].2;
    assert_eq!((counters.rx_packets, counters.rx_errors, counters.rx_nohandler), (5, 3, 1));
    assert!(take(&mut stack, link).is_empty());
}

#[test]
fn packets_pass_between_ethernet_and_none() {
    let (mut stack, link) = tun();
    stack.set_forwarding(true);
    let (own, other) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
    let eth = stack.add_link(LinkConfig::new("eth0", own)).unwrap();
    stack.add_address(NOW, eth, "10.0.1.1/24".parse().unwrap()).unwrap();
    stack.add_neighbour(NOW, eth, IpAddr::V4(ip("10.0.1.2")), other).unwrap();
    let out = Ip::icmp(ip(PEER), ip("10.0.1.2"), echo(7, 1, b"out")).build();
    give(&mut stack, link, &out);
    let frames = take_frames(&mut stack, eth);
    assert_eq!(frames.len(), 1);
    assert_eq!(&frames[0][..14], &ip_frame(own, other, &[])[..14]);
    assert_eq!(ipv4(&frames[0][14..]).ttl(), 63);

    let back = Ip::icmp(ip("10.0.1.2"), ip(PEER), echo_reply(7, 1, b"back")).build();
    give(&mut stack, eth, &ip_frame(other, own, &back));
    let packets = take(&mut stack, link);
    assert_eq!((packets.len(), ipv4(&packets[0]).ttl()), (1, 63));
    // Out by where it came in: there is no better gateway to tell of.
    give(&mut stack, link, &Ip::icmp(ip(PEER), ip("10.0.0.3"), echo(7, 1, b"")).build());
    let packets = take(&mut stack, link);
    assert_eq!((packets.len(), ipv4(&packets[0]).dst()), (1, ip("10.0.0.3")));
    // Errors find their way, too.
    give(&mut stack, link, &Ip::icmp(ip(PEER), ip("10.0.1.2"), echo(7, 1, b"")).ttl(1).build());
    let packets = take(&mut stack, link);
    let expected = Message::TimeExceeded(TimeExceeded::Transit);
    assert_eq!(icmp_in(&packets[0]).message(), expected);
}

fn take_frames(stack: &mut Stack, link: LinkId) -> Vec<Vec<u8>> {
    core::iter::from_fn(|| stack.poll_transmit(NOW, link))
        .map(|packet| packet.bytes().to_vec())
        .collect()
}

#[test]
fn what_is_too_long_is_fragmented() {
    let (mut stack, link) = tun();
    stack.set_mtu(link, 600).unwrap();
    let socket = stack.open_raw(Protocol(99)).unwrap();
    stack.send_to(NOW, socket, (ip(PEER), 0).into(), &[1; 1500]).unwrap();
    let sent = take(&mut stack, link);
    let lens: Vec<_> = sent.iter().map(Vec::len).collect();
    assert_eq!(lens, [596, 596, 20 + 1500 - 2 * 576]);
}

#[test]
fn whole_packets_are_injected_and_captured() {
    let (mut stack, link) = tun();
    let packet = Ip::udp(ip("192.0.2.1"), ip("192.0.2.2"), 1, 2, b"as it is").build();
    stack.send_frame(NOW, link, Packet::from_slice(&packet));
    assert_eq!(take(&mut stack, link), [packet]);
    stack.set_link_up(NOW, link, false).unwrap();
    give(&mut stack, link, &Ip::icmp(ip(PEER), ip(US), echo(7, 1, b"hi")).build());
    assert_eq!(stack.snapshot().dropped(DropReason::LinkDown), 1);
    let socket = stack.open_ping(None).unwrap();
    let sent = stack.send_to(NOW, socket, (ip(PEER), 0).into(), &echo(0, 1, b""));
    assert_eq!(sent, Err(SocketError::NetworkUnreachable));
}

#[test]
fn such_a_link_has_no_address_and_there_is_no_second_loopback() {
    let (mut stack, link) = tun();
    let interface = stack.interfaces().get(link).unwrap();
    assert_eq!((interface.kind, interface.mac()), (LinkKind::Ip, None));
    assert!(!interface.config.send_redirects && !interface.is_loopback());
    // Nobody could claim the same address.
    stack.interface_config(link).unwrap().conflict_detection = true;
    stack.add_address(NOW, link, "10.0.9.1/24".parse().unwrap()).unwrap();
    assert!(stack.interfaces().get(link).unwrap().addresses().iter().all(|addr| !addr.tentative));
    let lo = LinkConfig { kind: LinkKind::Loopback, ..LinkConfig::ip("lo1") };
    assert_eq!(stack.add_link(lo), Err(ConfigError::Loopback));
}
