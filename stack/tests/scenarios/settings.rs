//! Settings and arguments at their extremes: nothing panics, nothing spins.

use core::net::IpAddr;

use tapping_stack::neigh::NudState;
use tapping_stack::stats::DropReason;
use tapping_stack::time::Duration;
use tapping_stack::wire::{MacAddr, Message};
use tapping_stack::{Config, LinkId, Packet};

use crate::lab::*;

const PEER: &str = "10.0.0.2";

#[test]
fn a_frame_for_a_link_that_cannot_be_is_dropped() {
    let (mut lab, host, ..) = Lab::with_tester("10.0.0.1/24");
    let now = lab.now();
    for link in [LinkId(0), LinkId(99), LinkId(u32::MAX)] {
        lab.stack(host).send_frame(now, link, Packet::from_slice(&[0; 60]));
        assert_eq!(lab.drops(host), [DropReason::LinkDown]);
        assert!(lab.stack(host).poll_transmit(now, link).is_none());
        lab.stack(host).handle_frame(now, link, Packet::from_slice(&[0; 60]));
        assert_eq!(lab.drops(host), [DropReason::LinkDown]);
    }
}

#[test]
fn a_neighbour_may_be_believed_for_ever() {
    let mut config = Config::default();
    config.neigh.base_reachable_time = Duration::MAX;
    let (mut lab, host, link, tester) = Lab::with_tester_and("10.0.0.1/24", config);
    let peer = ip(PEER);
    let socket = lab.stack(host).open_ping(None).unwrap();
    lab.send(host, socket, peer, &echo(0, 1, b"")).unwrap();
    let reply = arp_reply(tester.mac, peer, lab.mac(host, link), ip("10.0.0.1"));
    lab.inject(tester, arp_frame(lab.mac(host, link), &reply));
    lab.run_for(Duration::from_secs(1_000_000));
    let state = lab.stack(host).neighbour(link, IpAddr::V4(peer)).unwrap().state;
    assert_eq!(state, NudState::Reachable);
    // What a request teaches is stale, however long the believed time is.
    let other = ip("10.0.0.3");
    let request = arp_request(MacAddr([2, 9, 9, 9, 9, 9]), other, ip("10.0.0.1"));
    lab.inject(tester, arp_frame(MacAddr::BROADCAST, &request));
    let state = lab.stack(host).neighbour(link, IpAddr::V4(other)).unwrap().state;
    assert_eq!(state, NudState::Stale);
}

#[test]
fn any_time_of_day_can_be_told() {
    let (mut lab, host, link, tester) = Lab::with_tester("10.0.0.1/24");
    lab.know(host, link, ip(PEER), tester.mac);
    let mut ask = |unix| {
        let now = lab.now();
        lab.stack(host).set_wall_clock(now, unix);
        // RFC 792: originate, receive and transmit timestamps.
        let message =
            Message::Timestamp { ident: 7, sequence: 1, originate: 0, receive: 0, transmit: 0 };
        let request = Ip::icmp(ip(PEER), ip("10.0.0.1"), icmp(message, b""));
        lab.inject_ip(tester, host, link, &request.build());
        let reply = lab.heard_one_ip(tester);
        u32::from_be_bytes(reply[32..36].try_into().unwrap())
    };
    assert_eq!(ask(Duration::from_millis(86_400_000 * 20_000 + 5)), 5);
    assert_eq!(u128::from(ask(Duration::MAX)), Duration::MAX.as_millis() % 86_400_000);
}

/// With every interval 0 timers still come to an end, and time passes between them.
#[test]
fn intervals_of_nothing_do_not_spin() {
    let mut config = Config::default();
    config.neigh.base_reachable_time = Duration::ZERO;
    config.neigh.delay_first_probe_time = Duration::ZERO;
    config.neigh.retrans_time = Duration::ZERO;
    config.neigh.gc_interval = Duration::ZERO;
    config.core.netdev_budget = 0;
    let (mut lab, host, link, tester) = Lab::with_tester_and("10.0.0.1/24", config);
    let socket = lab.stack(host).open_ping(None).unwrap();
    lab.send(host, socket, ip(PEER), &echo(0, 1, b"")).unwrap();
    let ours = lab.mac(host, link);
    let reply = arp_reply(tester.mac, ip(PEER), ours, ip("10.0.0.1"));
    lab.inject(tester, arp_frame(ours, &reply));
    for _ in 0..50 {
        lab.send(host, socket, ip(PEER), &echo(0, 1, b"")).unwrap();
        let now = lab.now();
        lab.stack(host).handle_timeout(now);
        let next = lab.stack(host).poll_timeout();
        assert!(next.is_none_or(|next| next > now), "due again at once");
        lab.run_for(Duration::from_millis(1));
    }
    lab.send(host, socket, ip("127.0.0.1"), &echo(0, 2, b"")).unwrap();
    assert_eq!(lab.received(host, socket).len(), 1, "the loopback's budget is not nothing");
}
