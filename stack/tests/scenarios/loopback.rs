//! What comes back over `lo`: what is for this host, once, and nothing else.

use tapping_stack::filter::hook::{Hook, HookContext, HookPoint, Verdict};
use tapping_stack::route::Route;
use tapping_stack::stats::DropReason;
use tapping_stack::wire::ipv4::{fill_checksum, set_dst};
use tapping_stack::wire::{IpCidr, Message, Protocol};
use tapping_stack::{Config, LinkId, Packet};

use crate::ipv4_input::Bench;
use crate::lab::*;

const HERE: &str = "10.0.0.1";
const FOREIGN: &str = "192.0.2.77";

/// Linux gives a route over `lo` that is not local no input: what is sent there is discarded.
#[test]
fn a_route_over_lo_does_not_make_addresses_ours() {
    for bound in [false, true] {
        let mut bench = Bench::new();
        let socket = bench.stack().open_ping(Some(7)).unwrap();
        if bound {
            bench.stack().socket_options(socket).unwrap().bind_link = Some(LinkId::LOOPBACK);
        } else {
            let whole: IpCidr = "192.0.2.0/24".parse().unwrap();
            bench.stack().add_route(Route::direct(whole, LinkId::LOOPBACK)).unwrap();
        }
        bench.lab.events(bench.host);
        bench.lab.send(bench.host, socket, ip(FOREIGN), &echo(7, 1, b"anybody?")).unwrap();
        assert_eq!(bench.lab.drops(bench.host), [DropReason::NotForwarding], "bound: {bound}");
        assert!(bench.lab.received(bench.host, socket).is_empty());
        assert_eq!(bench.snapshot().icmp.in_echos, 0);
    }
}

/// A router sends such packets round until their time is over (Linux, too).
#[test]
fn a_routers_route_over_lo_is_no_delivery() {
    let mut bench = Bench::new();
    bench.stack().set_forwarding(true);
    let whole: IpCidr = "192.0.2.0/24".parse().unwrap();
    bench.stack().add_route(Route::direct(whole, LinkId::LOOPBACK)).unwrap();
    let packet = Ip::icmp(ip("10.0.0.9"), ip(FOREIGN), echo(7, 1, b"")).ttl(5).build();
    assert_eq!(bench.give(&packet), [DropReason::TtlExpired]);
    let error = bench.lab.heard_one_ip(bench.tester);
    assert!(matches!(icmp_in(&error).message(), Message::TimeExceeded(_)));
}

/// Sends what goes to one address to another.
struct Rewrite(&'static str, &'static str);

impl Hook for Rewrite {
    fn process(&mut self, _: &HookContext<'_>, packet: &mut Packet) -> Verdict {
        if ipv4(packet.bytes()).dst() == ip(self.0) {
            set_dst(packet.bytes_mut(), ip(self.1));
            fill_checksum(packet.bytes_mut());
        }
        Verdict::Accept
    }

    fn name(&self) -> &str {
        "rewrite"
    }
}

/// Linux drops the route of a packet whose destination PREROUTING changes, and routes it anew.
#[test]
fn what_prerouting_sends_elsewhere_is_not_delivered_here() {
    for (to, expected) in [(FOREIGN, vec![DropReason::NotForwarding]), (HERE, vec![])] {
        let mut bench = Bench::new();
        let hook = Box::new(Rewrite(HERE, to));
        bench.stack().register_hook(&[(HookPoint::Prerouting, 0)], hook);
        let socket = bench.stack().open_ping(Some(7)).unwrap();
        bench.lab.events(bench.host);
        bench.lab.send(bench.host, socket, ip(HERE), &echo(7, 1, b"me?")).unwrap();
        assert_eq!(bench.lab.drops(bench.host), expected);
        let replies = bench.lab.received(bench.host, socket).len();
        assert_eq!(replies, usize::from(expected.is_empty()));
    }
}

/// Linux `__mkroute_output`: no copy beside what comes back anyway. It was sent to many, so nobody
/// answers in the group's name and no errors are sent.
#[test]
fn what_is_sent_to_many_over_lo_comes_back_once() {
    for (dst, expected) in [("255.255.255.255", 1), ("239.1.2.3", 1), ("239.1.2.4", 0)] {
        let mut bench = Bench::new();
        let now = bench.lab.now();
        bench.stack().join_group(now, LinkId::LOOPBACK, ip("239.1.2.3")).unwrap();
        let socket = bench.stack().open_raw(Protocol::ICMP).unwrap();
        let options = bench.stack().socket_options(socket).unwrap();
        options.broadcast = true;
        options.bind_link = Some(LinkId::LOOPBACK);
        bench.lab.send(bench.host, socket, ip(dst), &echo(7, 1, b"all")).unwrap();
        let heard = bench.lab.received(bench.host, socket);
        assert_eq!(heard.len(), expected, "to {dst}");
        assert!(heard.iter().all(|packet| ipv4(packet).dst() == ip(dst)));
        let snapshot = bench.snapshot();
        assert_eq!(snapshot.icmp.in_echos, expected as u64);
        assert_eq!(snapshot.icmp.out_echo_reps, 0);
        assert_eq!(snapshot.links[0].2.rx_packets, 1);
        assert!(bench.lab.heard(bench.tester).is_empty());
    }
}

/// RFC 1122 §3.2.2.6: an answer to a group comes from an address of this host.
#[test]
fn echo_to_a_group_over_lo_is_answered_from_an_own_address() {
    let mut config = Config::default();
    config.icmp.echo_ignore_broadcasts = false;
    let (mut lab, host, _, _) = Lab::with_tester_and("10.0.0.1/24", config);
    let socket = lab.stack(host).open_ping(Some(7)).unwrap();
    lab.stack(host).socket_options(socket).unwrap().bind_link = Some(LinkId::LOOPBACK);
    lab.send(host, socket, ip("224.0.0.1"), &echo(7, 1, b"all")).unwrap();
    let packet = lab.stack(host).recv(socket).expect("one reply");
    assert!(!ipv4(packet.network()).src().is_multicast());
    assert!(lab.received(host, socket).is_empty());
}
