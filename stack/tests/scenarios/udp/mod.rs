//! UDP sockets (RFC 768, RFC 1122 §4.1, udp(7), Linux `net/ipv4/udp.c`).

mod binding;
mod delivery;
mod errors;
mod readiness;
mod sending;

use core::net::SocketAddr;

use tapping_stack::socket::PacketInfo;
use tapping_stack::stats::{DropReason, UdpMib};
use tapping_stack::wire::IpCidr;
use tapping_stack::{Config, LinkId, SocketError, SocketId, Stack};

use crate::lab::*;

const HERE: &str = "10.0.0.1";
const ALSO_HERE: &str = "10.0.0.5";
const PEER: &str = "10.0.0.9";
const OTHER: &str = "10.0.0.8";

/// A host with two addresses, and a tester that it knows under two.
struct Bench {
    lab: Lab,
    host: Host,
    link: LinkId,
    tester: Tester,
}

/// An address and a port from their text.
fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

impl Bench {
    fn new() -> Self {
        Bench::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let (mut lab, host, link, tester) = Lab::with_tester_and("10.0.0.1/24", config);
        let now = lab.now();
        for peer in [PEER, OTHER] {
            lab.know(host, link, ip(peer), tester.mac);
        }
        let second: IpCidr = format!("{ALSO_HERE}/24").parse().unwrap();
        lab.stack(host).add_address(now, link, second).unwrap();
        Bench { lab, host, link, tester }
    }

    fn stack(&mut self) -> &mut Stack {
        self.lab.stack(self.host)
    }

    fn open(&mut self) -> SocketId {
        self.stack().open_udp().unwrap()
    }

    /// A socket bound to an address.
    #[track_caller]
    fn bound(&mut self, addr: &str) -> SocketId {
        let socket = self.open();
        self.stack().bind(socket, at(addr)).unwrap();
        socket
    }

    /// A socket that shares its port (`SO_REUSEADDR`).
    #[track_caller]
    fn sharing(&mut self, addr: &str) -> SocketId {
        let socket = self.open();
        self.stack().socket_options(socket).unwrap().reuse_address = true;
        self.stack().bind(socket, at(addr)).unwrap();
        socket
    }

    fn connect(&mut self, socket: SocketId, addr: &str) -> Result<(), SocketError> {
        self.lab.connect(self.host, socket, at(addr))
    }

    fn send_to(&mut self, socket: SocketId, addr: &str, data: &[u8]) -> Result<(), SocketError> {
        let now = self.lab.now();
        let sent = self.stack().send_to(now, socket, at(addr), data);
        self.lab.settle();
        sent
    }

    fn send(&mut self, socket: SocketId, data: &[u8]) -> Result<usize, SocketError> {
        let now = self.lab.now();
        let sent = self.stack().send(now, socket, data);
        self.lab.settle();
        sent
    }

    /// A packet arrives; returns the reasons of the drops that followed.
    fn give(&mut self, packet: &Ip) -> Vec<DropReason> {
        self.lab.events(self.host);
        self.lab.inject_ip(self.tester, self.host, self.link, &packet.build());
        self.lab.drops(self.host)
    }

    /// A datagram arrives.
    fn datagram(&mut self, src: &str, dst: &str, data: &[u8]) -> Vec<DropReason> {
        self.give(&udp(src, dst, data))
    }

    /// What a socket has received.
    fn received(&mut self, socket: SocketId) -> Vec<Vec<u8>> {
        self.lab.received(self.host, socket)
    }

    /// How many datagrams each socket has received.
    fn counts(&mut self, sockets: &[SocketId]) -> Vec<usize> {
        sockets.iter().map(|socket| self.received(*socket).len()).collect()
    }

    fn mib(&self) -> UdpMib {
        self.lab.snapshot(self.host).udp
    }
}

/// A datagram.
fn udp(src: &str, dst: &str, data: &[u8]) -> Ip {
    let (SocketAddr::V4(src), SocketAddr::V4(dst)) = (at(src), at(dst)) else {
        panic!("IPv4 addresses")
    };
    Ip::udp(*src.ip(), *dst.ip(), src.port(), dst.port(), data)
}
