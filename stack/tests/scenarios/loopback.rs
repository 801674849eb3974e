//! What comes back over `lo`: what is for this host, once, and nothing else.

use tapping_stack::filter::hook::{Hook, HookContext, HookPoint, Verdict};
use tapping_stack::route::Route;
use tapping_stack::stats::DropReason;
use tapping_stack::wire::ipv4::{fill_checksum, set_dst};
use tapping_stack::wire::{IpCidr, Message};
use tapping_stack::{LinkId, Packet};

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
