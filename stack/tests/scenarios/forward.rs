//! Packets for others: host — router — router — host (RFC 1812 §5).

use core::net::Ipv4Addr;

use tapping_stack::Config;
use tapping_stack::LinkId;
use tapping_stack::PmtuDiscovery;
use tapping_stack::SocketId;
use tapping_stack::route::{Route, RouteSelector};
use tapping_stack::socket::SocketError;
use tapping_stack::stats::DropReason;
use tapping_stack::time::Duration;
use tapping_stack::wire::ipv4_options::{RR, TS};
use tapping_stack::wire::{MacAddr, Message, RedirectCode, TimeExceeded, Unreachable};

use crate::lab::*;

/// ```text
///  a ─ near ─ r1 ─ middle ─ r2 ─ far ─ b
///  10.0.1.2   .1   10.0.2.1 .2   10.0.3.1 .2
/// ```
/// with a tester on each wire and a ping socket on `a`.
struct Chain {
    lab: Lab,
    a: Host,
    r1: Host,
    r2: Host,
    b: Host,
    near: Tester,
    middle: Tester,
    far: Tester,
    far_wire: Segment,
    ping: SocketId,
}

const B: &str = "10.0.3.2";
const FIRST: LinkId = LinkId(2);
const SECOND: LinkId = LinkId(3);

impl Chain {
    fn new() -> Self {
        Chain::with_middle_mtu(1500)
    }

    fn with_middle_mtu(mtu: usize) -> Self {
        let mut lab = Lab::new();
        let wires = [(); 3].map(|()| lab.segment());
        let hosts = ["a", "r1", "r2", "b"].map(|name| lab.host(name));
        let [a, r1, r2, b] = hosts;
        lab.attach(a, wires[0], "10.0.1.2/24");
        lab.attach(r1, wires[0], "10.0.1.1/24");
        lab.attach_with_mtu(r1, wires[1], "10.0.2.1/24", mtu);
        lab.attach_with_mtu(r2, wires[1], "10.0.2.2/24", mtu);
        lab.attach(r2, wires[2], "10.0.3.1/24");
        lab.attach(b, wires[2], "10.0.3.2/24");
        for router in [r1, r2] {
            lab.stack(router).set_forwarding(true);
        }
        for (host, gateway) in [(a, "10.0.1.1"), (b, "10.0.3.1")] {
            lab.stack(host).add_route(via("0.0.0.0/0", gateway)).unwrap();
        }
        lab.stack(r1).add_route(via("10.0.3.0/24", "10.0.2.2")).unwrap();
        lab.stack(r2).add_route(via("10.0.1.0/24", "10.0.2.1")).unwrap();
        let [near, middle, far] = wires.map(|wire| lab.tester(wire));
        let ping = lab.stack(a).open_ping(Some(7)).unwrap();
        lab.stack(a).socket_options(ping).unwrap().receive_errors = true;
        Chain { lab, a, r1, r2, b, near, middle, far, far_wire: wires[2], ping }
    }

    /// Sends an echo request of `len` bytes of IPv4 packet from `a`.
    #[track_caller]
    fn ping(&mut self, dst: &str, len: usize) {
        let data: Vec<u8> = (0..len - 28).map(|n| n as u8).collect();
        self.lab.send(self.a, self.ping, ip(dst), &echo(7, 1, &data)).unwrap();
    }

    fn replies(&mut self) -> usize {
        self.lab.received(self.a, self.ping).len()
    }

    fn set_ttl(&mut self, ttl: u8) {
        self.lab.stack(self.a).socket_options(self.ping).unwrap().ttl = Some(ttl);
    }

    /// The error that came back: what it means, from whom, type, code and information.
    fn error(&mut self) -> Option<(SocketError, Ipv4Addr, u8, u8, u32)> {
        let report = self.lab.stack(self.a).recv_error(self.ping)?;
        let Some(std::net::IpAddr::V4(offender)) = report.offender else { panic!("an offender") };
        Some((report.error, offender, report.icmp_type, report.code, report.info))
    }

    fn echoes(&mut self, tester: Tester) -> Vec<Vec<u8>> {
        let mut packets = self.lab.heard_ip(tester);
        packets.retain(|packet| ipv4(packet).dst() == ip(B));
        packets
    }
}

fn via(destination: &str, gateway: &str) -> Route {
    Route::via(destination.parse().unwrap(), ip(gateway).into())
}

/// RFC 1812 §5.3.1: each router takes one from the TTL and changes nothing else.
#[test]
fn ttl_is_lowered_at_each_router() {
    let mut chain = Chain::new();
    chain.ping(B, 100);
    assert_eq!(chain.replies(), 1);
    let [near, middle, far] = [chain.near, chain.middle, chain.far].map(|at| chain.echoes(at));
    for (packets, ttl) in [(&near, 64), (&middle, 63), (&far, 62)] {
        assert_eq!(packets.len(), 1);
        assert_eq!(ipv4(&packets[0]).ttl(), ttl);
        assert!(ipv4(&packets[0]).verify_checksum());
        // All but TTL and checksum.
        assert_eq!(packets[0][..8], near[0][..8]);
        assert_eq!(packets[0][12..], near[0][12..]);
    }
    for router in [chain.r1, chain.r2] {
        let stats = chain.lab.snapshot(router).ip;
        assert_eq!((stats.in_receives, stats.forw_datagrams), (2, 2));
        assert_eq!((stats.out_transmits, stats.out_requests, stats.in_delivers), (2, 0, 0));
    }
}

/// RFC 1812 §2.2.8.1, RFC 1122 §3.1: forwarding is off unless switched on.
#[test]
fn hosts_do_not_forward() {
    let mut chain = Chain::new();
    chain.lab.stack(chain.r1).set_forwarding(false);
    chain.lab.events(chain.r1);
    chain.ping(B, 100);
    assert_eq!(chain.lab.drops(chain.r1), [DropReason::NotForwarding]);
    assert_eq!(chain.lab.snapshot(chain.r1).ip.in_addr_errors, 1);
    assert_eq!((chain.replies(), chain.error()), (0, None));
    assert!(chain.lab.heard_ip(chain.middle).is_empty());
}

/// RFC 792, RFC 1812 §5.3.1: what would leave with TTL 0 ends here, and its sender is told. This is
/// how a traceroute walks.
#[test]
fn a_walk_through_the_ttls() {
    let mut chain = Chain::new();
    for (ttl, router, addr) in [(1, chain.r1, "10.0.1.1"), (2, chain.r2, "10.0.2.2")] {
        chain.set_ttl(ttl);
        chain.ping(B, 100);
        let expected = (SocketError::HostUnreachable, ip(addr), 11, 0, 0);
        assert_eq!(chain.error(), Some(expected));
        let snapshot = chain.lab.snapshot(router);
        assert_eq!(snapshot.dropped(DropReason::TtlExpired), 1);
        assert_eq!((snapshot.ip.in_hdr_errors, snapshot.icmp.out_time_excds), (1, 1));
        assert_eq!(chain.replies(), 0);
    }
    chain.set_ttl(3);
    chain.ping(B, 100);
    assert_eq!((chain.replies(), chain.error()), (1, None));
    // The error quotes the packet as the router got it.
    let errors = chain.lab.heard_ip(chain.near);
    let error = errors.iter().find(|packet| icmp_in(packet).icmp_type() == 11).unwrap();
    assert_eq!(icmp_in(error).message(), Message::TimeExceeded(TimeExceeded::Transit));
    let quoted = icmp_in(error).payload().to_vec();
    assert_eq!((ipv4(&quoted).ttl(), quoted.len()), (1, 100));
    assert_eq!(ipv4(error).tos(), 0xc0);
}

/// RFC 1812 §5.3.1: TTL 0 should not have been sent, but goes no further either.
#[test]
fn ttl_0_is_not_forwarded() {
    let mut chain = Chain::new();
    let packet = Ip::icmp(ip("10.0.1.2"), ip(B), echo(1, 1, b"")).ttl(0).build();
    chain.lab.inject_ip(chain.near, chain.r1, FIRST, &packet);
    assert_eq!(chain.lab.drops(chain.r1), [DropReason::TtlExpired]);
}

/// RFC 1812 §5.2.6, RFC 791 §3.2: what is too long for the next link is cut there, and put
/// together at its destination only.
#[test]
fn routers_fragment() {
    let mut chain = Chain::with_middle_mtu(576);
    chain.lab.stack(chain.a).socket_options(chain.ping).unwrap().pmtu_discovery =
        PmtuDiscovery::Dont;
    chain.ping(B, 1500);
    assert_eq!(chain.replies(), 1);
    assert_eq!(chain.echoes(chain.near).len(), 1);
    let (middle, far) = (chain.echoes(chain.middle), chain.echoes(chain.far));
    assert_eq!(middle.iter().map(Vec::len).collect::<Vec<_>>(), [572, 572, 396]);
    assert_eq!(far.len(), 3);
    for (before, after) in middle.iter().zip(&far) {
        assert_eq!(before[12..], after[12..]);
        assert_eq!(ipv4(before).fragment_offset(), ipv4(after).fragment_offset());
    }
    let stats = chain.lab.snapshot(chain.r1).ip;
    assert_eq!((stats.frag_oks, stats.frag_creates, stats.reasm_reqds), (1, 3, 0));
    assert_eq!(chain.lab.snapshot(chain.b).ip.reasm_oks, 1);
}

/// RFC 791 §3.2: fragments are fragmented further where they must be, and not put together.
#[test]
fn fragments_stay_fragments() {
    let mut chain = Chain::with_middle_mtu(576);
    chain.ping(B, 3000);
    assert_eq!(chain.replies(), 1);
    let near = chain.echoes(chain.near);
    assert_eq!(near.iter().map(Vec::len).collect::<Vec<_>>(), [1500, 1500, 40]);
    let far = chain.echoes(chain.far);
    assert_eq!(far.iter().map(Vec::len).collect::<Vec<_>>(), [572, 572, 396, 572, 572, 396, 40]);
    let last = far.iter().filter(|packet| !ipv4(packet).more_fragments()).count();
    assert_eq!(last, 1);
    assert_eq!(chain.lab.snapshot(chain.r1).ip.reasm_reqds, 0);
}

/// RFC 1191 §4: with DF the sender is told the MTU of the next link, and keeps to it.
#[test]
fn path_mtu_discovery_end_to_end() {
    let mut chain = Chain::with_middle_mtu(576);
    chain.ping(B, 1500);
    let expected = (SocketError::MessageTooLong, ip("10.0.1.1"), 3, 4, 576);
    assert_eq!(chain.error(), Some(expected));
    let snapshot = chain.lab.snapshot(chain.r1);
    assert_eq!((snapshot.ip.frag_fails, snapshot.ip.forw_datagrams), (1, 0));
    assert_eq!(snapshot.dropped(DropReason::FragmentationNeeded), 1);
    chain.ping(B, 1500);
    assert_eq!(chain.echoes(chain.near).len(), 1 + 3);
    // The reply meets the same wire at r2 and has no DF.
    assert_eq!((chain.replies(), chain.error()), (1, None));
    let now = chain.lab.now();
    assert_eq!(chain.lab.stack(chain.a).path_mtu(now, ip(B).into()), Ok(576));
}

/// RFC 1812 §5.2.7.1 and §4.3.3.1: why there is no way on, by its code.
#[test]
fn what_a_router_says_when_there_is_no_way() {
    let cases = [
        (None, Some((SocketError::NetworkUnreachable, 0)), DropReason::NoRoute),
        (
            Some(Route::unreachable("192.0.2.0/24".parse().unwrap())),
            Some((SocketError::HostUnreachable, 1)),
            DropReason::UnreachableRoute,
        ),
        (
            Some(Route::prohibit("192.0.2.0/24".parse().unwrap())),
            Some((SocketError::HostUnreachable, 13)),
            DropReason::ProhibitRoute,
        ),
        (Some(Route::blackhole("192.0.2.0/24".parse().unwrap())), None, DropReason::Blackhole),
    ];
    for (route, told, reason) in cases {
        let mut chain = Chain::new();
        if let Some(route) = route {
            chain.lab.stack(chain.r1).add_route(route).unwrap();
        }
        chain.ping("192.0.2.1", 100);
        let expected = told.map(|(error, code)| (error, ip("10.0.1.1"), 3, code, 0));
        assert_eq!(chain.error(), expected, "{reason}");
        assert_eq!(chain.lab.snapshot(chain.r1).dropped(reason), 1);
        let no_routes = u64::from(reason == DropReason::NoRoute);
        assert_eq!(chain.lab.snapshot(chain.r1).ip.in_no_routes, no_routes);
    }
}

/// RFC 1812 §5.3.4: what came as a link broadcast is not forwarded.
#[test]
fn link_broadcasts_are_not_forwarded() {
    let mut chain = Chain::new();
    let packet = Ip::icmp(ip("10.0.1.9"), ip(B), echo(1, 1, b"")).build();
    for mac in [MacAddr::BROADCAST, MacAddr([1, 0, 0x5e, 0, 0, 1])] {
        chain.lab.events(chain.r1);
        chain.lab.inject(chain.near, ip_frame(chain.near.mac, mac, &packet));
        assert_eq!(chain.lab.drops(chain.r1), [DropReason::LinkBroadcast]);
    }
    assert!(chain.lab.heard(chain.middle).is_empty());
}

/// Multicasts, loopback addresses and broadcasts stay where they are; RFC 2644: a directed
/// broadcast is for the router, not for the other link.
#[test]
fn what_stays_on_its_link() {
    let cases = [
        ("10.0.1.9", "224.0.0.251", Some(DropReason::NotMember)),
        ("10.0.1.9", "239.1.1.1", Some(DropReason::NotMember)),
        ("10.0.1.9", "127.0.0.1", Some(DropReason::MartianDestination)),
        ("127.0.0.1", B, Some(DropReason::MartianSource)),
        ("10.0.1.9", "0.0.0.9", Some(DropReason::MartianDestination)),
        ("10.0.1.9", "255.255.255.255", Some(DropReason::IcmpIgnored)),
        ("10.0.1.9", "10.0.2.255", Some(DropReason::IcmpIgnored)),
    ];
    for (src, dst, reason) in cases {
        let mut chain = Chain::new();
        let packet = Ip::icmp(ip(src), ip(dst), echo(1, 1, b"")).build();
        chain.lab.inject_ip(chain.near, chain.r1, FIRST, &packet);
        assert_eq!(chain.lab.drops(chain.r1).first().copied(), reason, "to {dst}");
        assert!(chain.lab.heard(chain.middle).is_empty(), "to {dst}");
        assert_eq!(chain.lab.snapshot(chain.r1).ip.forw_datagrams, 0);
    }
}

/// RFC 1812 §4.3.2.7: no error about an error, nor about a fragment other than the first, nor to
/// whoever names no single host.
#[test]
fn what_routers_are_silent_about() {
    let inner = Ip::icmp(ip(B), ip("10.0.1.2"), echo(1, 1, b"")).build();
    let unreachable = Message::DestinationUnreachable(Unreachable::Host);
    let src = ip("10.0.1.2");
    let cases = [
        Ip::icmp(src, ip(B), icmp(unreachable, &inner)).ttl(1).build(),
        Ip::icmp(src, ip(B), vec![0; 8]).fragment(8, false).ttl(1).build(),
        Ip::icmp(ip("240.0.0.1"), ip(B), echo(1, 1, b"")).ttl(1).build(),
    ];
    for packet in cases {
        let mut chain = Chain::new();
        chain.lab.inject_ip(chain.near, chain.r1, FIRST, &packet);
        assert_eq!(chain.lab.drops(chain.r1), [DropReason::TtlExpired]);
        assert_eq!(chain.lab.snapshot(chain.r1).icmp.out_msgs, 0);
    }
}

/// RFC 1812 §5.3.13.4 and §5.3.13.5: each router enters the address by which the packet leaves.
#[test]
fn options_are_filled_in_on_the_way() {
    let mut chain = Chain::new();
    let mut options = vec![RR, 39, 4];
    options.resize(39, 0);
    chain.lab.stack(chain.a).socket_options(chain.ping).unwrap().ip_options = options;
    chain.ping(B, 100);
    let echo = chain.echoes(chain.far).remove(0);
    let expected = ["10.0.1.2", "10.0.2.1", "10.0.3.1"].map(ip);
    assert_eq!(recorded(&echo), expected);
    let replies = chain.lab.heard_ip(chain.near);
    let reply = replies.iter().find(|packet| ipv4(packet).dst() == ip("10.0.1.2")).unwrap();
    let back = ["10.0.3.2", "10.0.3.2", "10.0.2.2", "10.0.1.1"].map(ip);
    assert_eq!(recorded(reply), [&expected[..], &back[..]].concat());
    assert_eq!(chain.replies(), 1);

    // Timestamps with addresses, without room for the last.
    let mut options = vec![TS, 20, 5, 1];
    options.resize(20, 0);
    chain.lab.stack(chain.a).socket_options(chain.ping).unwrap().ip_options = options;
    chain.ping(B, 100);
    let echo = chain.echoes(chain.far).remove(0);
    let options = ipv4(&echo).options();
    assert_eq!((options[2], options[3]), (21, 0x11));
    assert_eq!((&options[4..8], &options[12..16]), (&[10, 0, 1, 2][..], &[10, 0, 2, 1][..]));
}

fn recorded(packet: &[u8]) -> Vec<Ipv4Addr> {
    let options = ipv4(packet).options();
    assert_eq!(options[0], RR);
    let used = usize::from(options[2]) - 1;
    options[3..used].chunks(4).map(|at| Ipv4Addr::new(at[0], at[1], at[2], at[3])).collect()
}

/// RFC 1812 §5.2.4.3: the longest prefix wins, then the smallest metric.
#[test]
fn the_best_route_wins() {
    let mut chain = Chain::new();
    let other = chain.lab.tester(chain.far_wire);
    let r2 = chain.r2;
    let next_hop = |chain: &mut Chain, dst: &str| {
        chain.lab.heard(chain.far);
        chain.lab.heard(other);
        chain.ping(dst, 100);
        let frames = chain.lab.heard(chain.far);
        frames
            .iter()
            .filter(|heard| heard.ip().is_some())
            .map(|heard| heard.ethernet().dst())
            .next()
    };
    let macs = [1, 2, 3].map(|n| MacAddr([2, 0, 0, 0, 0x77, n]));
    for (n, mac) in macs.iter().enumerate() {
        chain.lab.know(r2, SECOND, ip(&format!("10.0.3.{}", 101 + n)), *mac);
    }
    chain.lab.stack(chain.r1).add_route(via("192.0.2.0/23", "10.0.2.2")).unwrap();
    let stack = chain.lab.stack(r2);
    stack.add_route(via("192.0.2.0/23", "10.0.3.101").with_metric(10)).unwrap();
    stack.add_route(via("192.0.2.0/24", "10.0.3.102").with_metric(500)).unwrap();
    assert_eq!(next_hop(&mut chain, "192.0.2.1"), Some(macs[1]), "longest prefix");
    assert_eq!(next_hop(&mut chain, "192.0.3.1"), Some(macs[0]));
    chain.lab.stack(r2).add_route(via("192.0.2.0/23", "10.0.3.103").with_metric(5)).unwrap();
    assert_eq!(next_hop(&mut chain, "192.0.3.1"), Some(macs[2]), "smaller metric");

    // Replaced in the middle of a flow.
    chain.lab.stack(r2).replace_route(via("192.0.2.0/24", "10.0.3.103").with_metric(500)).unwrap();
    assert_eq!(next_hop(&mut chain, "192.0.2.1"), Some(macs[2]));
    let selector = RouteSelector::to("192.0.2.0/24".parse().unwrap());
    chain.lab.stack(r2).delete_route(&selector).unwrap();
    assert_eq!(next_hop(&mut chain, "192.0.2.1"), Some(macs[2]), "the shorter prefix");
}

/// A route over a link that is down gives way to the next.
#[test]
fn a_link_that_goes_down_is_left() {
    let mut chain = Chain::new();
    let now = chain.lab.now();
    let r2 = chain.r2;
    chain.lab.stack(r2).set_link_up(now, SECOND, false).unwrap();
    chain.ping(B, 100);
    assert_eq!(chain.error(), Some((SocketError::NetworkUnreachable, ip("10.0.2.2"), 3, 0, 0)));
    chain.lab.stack(r2).set_link_up(now, SECOND, true).unwrap();
    chain.ping(B, 100);
    assert_eq!(chain.replies(), 1);
}

/// RFC 1812 §5.2.7.1: when ARP fails the last router answers host unreachable.
#[test]
fn host_unreachable_comes_from_the_last_router() {
    let mut chain = Chain::new();
    chain.ping("10.0.3.77", 100);
    assert_eq!(chain.error(), None);
    chain.lab.run_for(Duration::from_millis(2900));
    assert_eq!(chain.error(), None);
    chain.lab.run_for(Duration::from_millis(200));
    let expected = (SocketError::HostUnreachable, ip("10.0.2.2"), 3, 1, 0);
    assert_eq!(chain.error(), Some(expected));
    assert_eq!(chain.lab.snapshot(chain.r2).dropped(DropReason::NeighbourFailed), 1);
    let questions = chain.lab.heard_arp(chain.far);
    assert_eq!(questions.iter().filter(|arp| arp.message.target_ip == ip("10.0.3.77")).count(), 3);
}

/// A far host that answers nothing leaves nothing behind.
#[test]
fn a_cut_wire_costs_only_the_packets_on_it() {
    let mut chain = Chain::new();
    chain.ping(B, 100);
    chain.lab.cut(chain.far_wire, true);
    chain.ping(B, 100);
    chain.lab.cut(chain.far_wire, false);
    chain.ping(B, 100);
    assert_eq!(chain.replies(), 2);
}

mod redirects {
    use super::*;

    /// One router with two others behind the same wire, and a tester as the sender.
    fn bench() -> (Lab, Host, Tester) {
        let mut lab = Lab::new();
        let wire = lab.segment();
        let router = lab.host("r");
        let link = lab.attach(router, wire, "10.0.1.1/24");
        lab.stack(router).set_forwarding(true);
        lab.stack(router).add_route(via("192.0.2.0/24", "10.0.1.3")).unwrap();
        let tester = lab.tester(wire);
        for addr in ["10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.5"] {
            lab.know(router, link, ip(addr), tester.mac);
        }
        (lab, router, tester)
    }

    /// Sends a packet through the router; returns the redirect that came back.
    fn send(lab: &mut Lab, router: Host, tester: Tester, src: &str, dst: &str) -> Option<Vec<u8>> {
        let packet = Ip::udp(ip(src), ip(dst), 1, 2, b"through you").build();
        lab.inject_ip(tester, router, FIRST, &packet);
        let mut heard = lab.heard_ip(tester);
        let forwarded = heard.iter().position(|packet| ipv4(packet).dst() == ip(dst));
        heard.remove(forwarded.expect("forwarded, redirect or not"));
        assert!(heard.len() <= 1);
        heard.pop()
    }

    /// RFC 1812 §5.2.7.2, RFC 792: a host redirect names the better gateway; the packet goes on.
    #[test]
    fn senders_are_told_of_a_better_way() {
        let (mut lab, router, tester) = bench();
        let redirect = send(&mut lab, router, tester, "10.0.1.2", "192.0.2.1").expect("a redirect");
        let expected = Message::Redirect { code: RedirectCode::Host, gateway: ip("10.0.1.3") };
        assert_eq!(icmp_in(&redirect).message(), expected);
        assert_eq!(
            (ipv4(&redirect).src(), ipv4(&redirect).dst()),
            (ip("10.0.1.1"), ip("10.0.1.2"))
        );
        assert_eq!(ipv4(icmp_in(&redirect).payload()).dst(), ip("192.0.2.1"));
        // To a host on the same wire: that host itself.
        let direct = send(&mut lab, router, tester, "10.0.1.4", "10.0.1.5").expect("a redirect");
        let expected = Message::Redirect { code: RedirectCode::Host, gateway: ip("10.0.1.5") };
        assert_eq!(icmp_in(&direct).message(), expected);
        assert_eq!(lab.snapshot(router).icmp.out_redirects, 2);
    }

    /// A sender that is not on the wire would not profit.
    #[test]
    fn senders_elsewhere_are_not_told() {
        let (mut lab, router, tester) = bench();
        lab.stack(router).add_route(via("198.51.100.0/24", "10.0.1.2")).unwrap();
        assert_eq!(send(&mut lab, router, tester, "198.51.100.1", "192.0.2.1"), None);
    }

    /// `net.ipv4.conf.*.send_redirects`.
    #[test]
    fn redirects_can_be_switched_off() {
        let (mut lab, router, tester) = bench();
        lab.stack(router).interface_config(FIRST).unwrap().send_redirects = false;
        assert_eq!(send(&mut lab, router, tester, "10.0.1.2", "192.0.2.1"), None);
    }

    /// Linux `ip_rt_send_redirect`: the pause doubles from 40 ms on; after nine it gives up, until
    /// the sender was quiet for 20 s. Whatever the destination.
    #[test]
    fn pauses_double_and_nine_are_enough() {
        let (mut lab, router, tester) = bench();
        let start = lab.now();
        let mut sent = Vec::new();
        for n in 0..1600 {
            let dst = format!("192.0.2.{}", 1 + n % 200);
            if send(&mut lab, router, tester, "10.0.1.2", &dst).is_some() {
                sent.push((lab.now() - start).as_millis() as u64);
            }
            lab.run_for(Duration::from_millis(10));
        }
        // Each follows the one before after 20 ms << number sent.
        let pauses: Vec<u64> = sent.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(pauses, [40, 80, 160, 320, 640, 1280, 2560, 5120]);
        // Another sender is another matter.
        assert!(send(&mut lab, router, tester, "10.0.1.4", "192.0.2.1").is_some());
        lab.run_for(Duration::from_secs(20));
        assert!(send(&mut lab, router, tester, "10.0.1.2", "192.0.2.1").is_none());
        lab.run_for(Duration::from_millis(20_500));
        assert!(send(&mut lab, router, tester, "10.0.1.2", "192.0.2.1").is_some());
    }

    /// However many senders there were before, a new one is told: the oldest makes room.
    #[test]
    fn a_full_table_of_senders_has_room_for_the_next() {
        let mut config = Config::default();
        config.icmp.redirects.senders = 4;
        config.icmp.redirects.number = 1;
        let mut lab = Lab::new();
        let wire = lab.segment();
        let router = lab.host_with("r", config);
        let link = lab.attach(router, wire, "10.0.1.1/24");
        lab.stack(router).set_forwarding(true);
        let tester = lab.tester(wire);
        for n in 2..20 {
            lab.know(router, link, ip(&format!("10.0.1.{n}")), tester.mac);
        }
        for n in 3..20 {
            let src = format!("10.0.1.{n}");
            assert!(send(&mut lab, router, tester, &src, "10.0.1.2").is_some(), "{src}");
            assert!(send(&mut lab, router, tester, &src, "10.0.1.2").is_none(), "{src}");
            lab.run_for(Duration::from_millis(1));
        }
    }

    /// RFC 1122 §3.2.2.2: a host follows, for the destination named.
    #[test]
    fn hosts_follow_redirects() {
        let (mut lab, router, tester) = bench();
        let host = lab.host("h");
        let wire = {
            let wire = lab.segment();
            lab.attach(router, wire, "10.0.7.1/24");
            wire
        };
        let watcher = lab.tester(wire);
        lab.attach(host, wire, "10.0.7.2/24");
        lab.stack(host).add_route(via("0.0.0.0/0", "10.0.7.1")).unwrap();
        lab.stack(router).add_route(via("203.0.113.0/24", "10.0.7.3")).unwrap();
        let second = LinkId(3);
        lab.know(router, second, ip("10.0.7.3"), watcher.mac);
        lab.know(host, FIRST, ip("10.0.7.3"), watcher.mac);
        let ping = lab.stack(host).open_ping(Some(7)).unwrap();
        let mut hops = Vec::new();
        for _ in 0..2 {
            lab.send(host, ping, ip("203.0.113.1"), &echo(7, 1, b"")).unwrap();
            let host_mac = lab.mac(host, FIRST);
            for heard in lab.heard(watcher) {
                let Some(packet) = heard.ip() else { continue };
                if heard.ethernet().src() == host_mac && ipv4(&packet).dst() == ip("203.0.113.1") {
                    hops.push(heard.ethernet().dst());
                }
            }
        }
        assert_eq!(hops, [lab.mac(router, second), watcher.mac]);
        assert!(lab.heard(tester).is_empty());
        // Another route for it is another matter.
        lab.stack(host).add_route(via("203.0.113.0/24", "10.0.7.1")).unwrap();
        lab.send(host, ping, ip("203.0.113.1"), &echo(7, 1, b"")).unwrap();
        let first = lab.heard(watcher).into_iter().find(|heard| heard.ip().is_some()).unwrap();
        assert_eq!(first.ethernet().dst(), lab.mac(router, second));
    }
}

/// RFC 2113 §2.1, Linux `ip_call_ra_chain`: a router that was asked to looks at what carries the
/// router alert option, instead of forwarding it.
#[test]
fn router_alerts_go_to_the_raw_socket_that_asked() {
    use tapping_stack::wire::Protocol;
    use tapping_stack::wire::ipv4_options::RA;
    let mut chain = Chain::new();
    let alert = vec![RA, 4, 0, 0];
    chain.lab.stack(chain.a).socket_options(chain.ping).unwrap().ip_options = alert.clone();
    let raw = chain.lab.stack(chain.r1).open_raw(Protocol::ICMP).unwrap();
    chain.ping(B, 100);
    assert_eq!(chain.replies(), 1, "nobody asked");
    assert!(chain.lab.stack(chain.r1).recv(raw).is_none());
    chain.lab.stack(chain.r1).socket_options(raw).unwrap().router_alert = true;
    chain.ping(B, 3000);
    let taken = chain.lab.stack(chain.r1).recv(raw).expect("the whole datagram");
    assert_eq!(ipv4(taken.bytes()).dst(), ip(B));
    assert_eq!(
        (ipv4(taken.bytes()).options(), ipv4(taken.bytes()).is_fragment()),
        (&alert[..], false)
    );
    assert_eq!(chain.replies(), 0, "taken, not forwarded");
    chain.lab.stack(chain.a).socket_options(chain.ping).unwrap().ip_options.clear();
    chain.ping(B, 100);
    assert_eq!(chain.replies(), 1, "without the option it is forwarded");
}
