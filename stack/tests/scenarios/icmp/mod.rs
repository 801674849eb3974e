//! ICMP rule by rule (RFC 792, RFC 1122 §3.2.2, RFC 1191, RFC 1812 §4.3, Linux
//! `net/ipv4/icmp.c`).

mod counters;
mod echo;
mod limits;
mod path_mtu;
mod received;
mod redirect;
mod sent;
mod suppressed;
mod timestamp;

use core::net::{IpAddr, Ipv4Addr};

use tapping_stack::route::Route;
use tapping_stack::stats::DropReason;
use tapping_stack::time::Duration;
use tapping_stack::wire::{MacAddr, Message, Protocol, TimeExceeded, Unreachable, ipv4_options};
use tapping_stack::{Config, LinkId, SocketError};

use crate::lab::*;

const US: &str = "10.0.0.1";
/// The tester, and the gateway to everywhere.
const PEER: &str = "10.0.0.2";
const FAR: &str = "192.0.2.9";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A host, and a tester that is its neighbour and its gateway.
struct Bench {
    lab: Lab,
    host: Host,
    link: LinkId,
    tester: Tester,
}

impl Bench {
    fn new() -> Self {
        Bench::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let (mut lab, host, link, tester) = Lab::with_tester_and("10.0.0.1/24", config);
        lab.know(host, link, ip(PEER), tester.mac);
        add_default_route(&mut lab, host, PEER);
        Bench { lab, host, link, tester }
    }

    /// Sends a packet to the host's MAC address.
    fn inject(&mut self, packet: &Ip) {
        self.lab.inject_ip(self.tester, self.host, self.link, &packet.build());
    }

    /// Sends a packet to everybody on the link.
    fn inject_broadcast(&mut self, packet: &Ip) {
        let frame = ip_frame(self.tester.mac, MacAddr::BROADCAST, &packet.build());
        self.lab.inject(self.tester, frame);
    }

    /// The only packet that the host sent.
    #[track_caller]
    fn answer(&mut self) -> Vec<u8> {
        self.lab.heard_one_ip(self.tester)
    }

    #[track_caller]
    fn no_answer(&mut self) {
        let heard = self.lab.heard(self.tester);
        assert!(heard.is_empty(), "nothing must be sent: {heard:?}");
    }

    /// Sends a packet and returns the only one that comes back.
    #[track_caller]
    fn ask(&mut self, packet: &Ip) -> Vec<u8> {
        self.inject(packet);
        self.answer()
    }
}

fn add_default_route(lab: &mut Lab, host: Host, gateway: &str) {
    let everywhere = "0.0.0.0/0".parse().unwrap();
    lab.stack(host).add_route(Route::via(everywhere, IpAddr::V4(ip(gateway)))).unwrap();
}

/// A router between 10.1.0.0/24 and 10.2.0.0/24 with a tester on each side, both known to it.
struct Router {
    lab: Lab,
    host: Host,
    inside: LinkId,
    left: Tester,
    right: Tester,
}

const LEFT: &str = "10.1.0.5";
const RIGHT: &str = "10.2.0.5";

impl Router {
    fn new() -> Self {
        Router::with(Config::default(), 1500)
    }

    fn with(config: Config, right_mtu: usize) -> Self {
        let mut lab = Lab::new();
        let (left, right) = (lab.segment(), lab.segment());
        let host = lab.host_with("router", config);
        lab.stack(host).set_forwarding(true);
        let inside = lab.attach(host, left, "10.1.0.1/24");
        let outside = lab.attach_with_mtu(host, right, "10.2.0.1/24", right_mtu);
        let (left, right) = (lab.tester(left), lab.tester(right));
        lab.know(host, inside, ip(LEFT), left.mac);
        lab.know(host, outside, ip(RIGHT), right.mac);
        Router { lab, host, inside, left, right }
    }

    fn inject(&mut self, packet: &Ip) {
        self.lab.inject_ip(self.left, self.host, self.inside, &packet.build());
    }
}

/// A UDP datagram to a port where nobody is.
fn to_closed_port(src: &str, dst: &str) -> Ip {
    Ip::udp(ip(src), ip(dst), 4000, 9, b"anybody?")
}

/// An ICMP error about a packet, cut to `quote` bytes.
fn error_about(message: Message, packet: &[u8], quote: usize) -> Vec<u8> {
    icmp(message, &packet[..packet.len().min(quote)])
}
