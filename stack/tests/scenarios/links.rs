//! Links that come and go, and frames that users make themselves.

use core::net::IpAddr;

use tapping_stack::route::{Route, RouteError};
use tapping_stack::stats::DropReason;
use tapping_stack::wire::MacAddr;
use tapping_stack::{ConfigError, LinkConfig, LinkId, Packet, SocketError};

use crate::lab::*;

const PEER: &str = "10.0.0.2";

/// Linux `dev_new_index`: what was meant for a link that has gone does not fall to a new one.
#[test]
fn a_removed_link_leaves_nothing_to_the_next_one() {
    let (mut lab, host, link, tester) = Lab::with_tester("10.0.0.1/24");
    let now = lab.now();
    let peer = IpAddr::V4(ip(PEER));
    let stack = lab.stack(host);
    let socket = stack.open_ping(None).unwrap();
    stack.socket_options(socket).unwrap().bind_link = Some(link);
    // Set while the link is down, so that going down cannot have taken it away.
    stack.set_link_up(now, link, false).unwrap();
    stack.add_neighbour(now, link, peer, tester.mac).unwrap();
    stack.remove_link(now, link).unwrap();
    assert!(stack.interfaces().get(link).is_none());
    assert_eq!(stack.neighbours().count(), 0);
    assert!(stack.routes().all(|route| route.link != Some(link)));
    assert_eq!(stack.remove_link(now, link), Err(ConfigError::NoSuchLink));
    assert_eq!(stack.remove_link(now, LinkId::LOOPBACK), Err(ConfigError::Loopback));

    let config = LinkConfig::new("eth0", MacAddr([2, 0, 0, 0, 9, 9]));
    let new = stack.add_link(config).unwrap();
    assert!(new > link, "a number of its own");
    stack.add_address(now, new, "10.0.0.1/24".parse().unwrap()).unwrap();
    let sent = stack.send_to(now, socket, (peer, 0).into(), &echo(0, 1, b""));
    assert_eq!(sent, Err(SocketError::NoSuchDevice), "bound to the link that has gone");
    stack.socket_options(socket).unwrap().bind_link = None;
    stack.send_to(now, socket, (peer, 0).into(), &echo(0, 1, b"")).unwrap();
    let question = stack.poll_transmit(now, new).unwrap();
    assert_eq!(&question.bytes()[..6], &[0xff; 6], "asks who has the address");
    assert!(stack.poll_transmit(now, link).is_none());
}

#[test]
fn what_a_removed_link_had_queued_is_counted_as_dropped() {
    let (mut lab, host, link, _) = Lab::with_tester("10.0.0.1/24");
    let now = lab.now();
    let stack = lab.stack(host);
    let other = stack.add_link(LinkConfig::new("other", MacAddr([2, 0, 0, 0, 9, 9]))).unwrap();
    for _ in 0..3 {
        stack.send_frame(now, link, Packet::from_slice(&[1; 60]));
    }
    stack.send_frame(now, other, Packet::from_slice(&[2; 60]));
    stack.remove_link(now, link).unwrap();
    assert_eq!(stack.poll_transmit(now, other).unwrap().bytes(), [2; 60], "it stays");
    assert_eq!(lab.snapshot(host).dropped(DropReason::LinkDown), 3);
    assert!(lab.snapshot(host).links.iter().all(|(id, ..)| *id != link));
}

#[test]
fn a_frame_leaves_as_it_was_made() {
    let (mut lab, host, link, _) = Lab::with_tester("10.0.0.1/24");
    let now = lab.now();
    let stack = lab.stack(host);
    let bytes: Vec<u8> = (0..60).collect();
    stack.send_frame(now, link, Packet::from_slice(&bytes));
    assert_eq!(stack.poll_transmit(now, link).unwrap().bytes(), bytes);
    let snapshot = lab.snapshot(host);
    let (.., counters) = snapshot.links.iter().find(|(id, ..)| *id == link).unwrap();
    assert_eq!((counters.tx_packets, counters.tx_bytes), (1, 60));
    // While the link is down there is nowhere to queue it.
    lab.stack(host).set_link_up(now, link, false).unwrap();
    lab.stack(host).send_frame(now, link, Packet::from_slice(&bytes));
    assert_eq!(lab.snapshot(host).dropped(DropReason::LinkDown), 1);
}

#[test]
fn a_route_needs_a_link_that_exists_and_an_mtu_that_links_have() {
    let (mut lab, host, link, _) = Lab::with_tester("10.0.0.1/24");
    let stack = lab.stack(host);
    let to = "192.0.2.0/24".parse().unwrap();
    for link in [LinkId(0), LinkId(link.0 + 1), LinkId(u32::MAX)] {
        assert_eq!(stack.add_route(Route::direct(to, link)), Err(RouteError::NoLink));
        assert_eq!(stack.replace_route(Route::direct(to, link)), Err(RouteError::NoLink));
    }
    for mtu in [1, 67] {
        let route = Route::direct(to, link).with_mtu(mtu);
        assert_eq!(stack.add_route(route.clone()), Err(RouteError::BadMtu(mtu)));
        assert_eq!(stack.replace_route(route), Err(RouteError::BadMtu(mtu)));
    }
    let mut mtu_of = |mtu| {
        stack.replace_route(Route::direct(to, link).with_mtu(mtu)).unwrap();
        stack.routes().find(|route| route.destination == to).unwrap().mtu
    };
    assert_eq!(mtu_of(68), Some(68));
    assert_eq!(mtu_of(0), None, "as if none were given");
}

/// ip-address(8) manages the routes of the addresses, and no others.
#[test]
fn changing_addresses_leaves_the_users_routes_alone() {
    let (mut lab, host, link, _) = Lab::with_tester("10.0.0.1/24");
    let now = lab.now();
    let stack = lab.stack(host);
    let own = Route::local("10.9.0.0/16".parse().unwrap(), link);
    stack.add_route(own.clone()).unwrap();
    let before: Vec<Route> = stack.routes().collect();
    stack.add_address(now, link, "10.0.0.5/24".parse().unwrap()).unwrap();
    assert!(stack.routes().any(|route| route.destination == own.destination));
    stack.remove_address(now, link, "10.0.0.5".parse().unwrap()).unwrap();
    assert_eq!(stack.routes().collect::<Vec<_>>(), before);
}

#[test]
fn a_link_is_in_a_bounded_number_of_groups() {
    let (mut lab, host, link, _) = Lab::with_tester("10.0.0.1/24");
    let now = lab.now();
    let stack = lab.stack(host);
    let group = |n| ip(&format!("239.0.0.{n}"));
    let max = stack.config().ipv4.max_groups;
    for n in 0..max {
        stack.join_group(now, link, group(n)).unwrap();
    }
    assert_eq!(stack.join_group(now, link, group(0)), Ok(()), "it is in that one");
    assert_eq!(stack.join_group(now, link, group(max)), Err(ConfigError::TooMany("groups")));
    stack.leave_group(now, link, group(1)).unwrap();
    assert_eq!(stack.join_group(now, link, group(max)), Ok(()));
}
