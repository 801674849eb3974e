//! A host under test, and a tester that is its neighbour.

use core::net::{Ipv4Addr, SocketAddr};

use tapping_stack::time::Duration;
use tapping_stack::{Config, LinkId, Packet, SocketError, SocketId, Stack};

use crate::lab::*;

pub const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Another address of the host.
pub const ALSO_US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
pub const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

pub struct Bench {
    pub lab: Lab,
    pub host: Host,
    pub link: LinkId,
    pub tester: Tester,
}

impl Bench {
    pub fn new() -> Self {
        Bench::with(Config::default(), 1500)
    }

    /// With settings for the host and an MTU for its link.
    pub fn with(config: Config, mtu: usize) -> Self {
        Bench::seeded(config, mtu, 1)
    }

    /// With a seed: a host's is its number in the laboratory.
    pub fn seeded(config: Config, mtu: usize, seed: u64) -> Self {
        let mut lab = Lab::new();
        for _ in 1..seed {
            lab.host("another");
        }
        let segment = lab.segment();
        let host = lab.host_with("a", config);
        let link = lab.attach_with_mtu(host, segment, &format!("{US}/24"), mtu);
        let tester = lab.tester(segment);
        lab.know(host, link, PEER, tester.mac);
        let now = lab.now();
        let also = format!("{ALSO_US}/24").parse().expect("an address");
        lab.stack(host).add_address(now, link, also).expect("a second address");
        // What the addresses announce of themselves is not the matter.
        lab.run_for(Duration::from_secs(60));
        lab.heard(tester);
        lab.events(host);
        Bench { lab, host, link, tester }
    }

    pub fn stack(&mut self) -> &mut Stack {
        self.lab.stack(self.host)
    }

    /// Sends a packet to the host and returns what it sends in turn.
    pub fn inject(&mut self, packet: &Ip) -> Vec<Vec<u8>> {
        self.lab.inject_ip(self.tester, self.host, self.link, &packet.build());
        self.lab.heard_ip(self.tester)
    }

    /// Sends a packet that the host takes in silence.
    #[track_caller]
    pub fn inject_quietly(&mut self, packet: &Ip) {
        let answers = self.inject(packet);
        assert!(answers.is_empty(), "nothing must be sent: {answers:?}");
    }

    /// A UDP socket bound to an address and a port.
    pub fn udp(&mut self, addr: Ipv4Addr, port: u16) -> SocketId {
        let socket = self.stack().open_udp().expect("room for a socket");
        self.stack().bind(socket, (addr, port).into()).expect("a free port");
        socket
    }

    pub fn send_to(
        &mut self,
        socket: SocketId,
        dst: impl Into<SocketAddr>,
        data: &[u8],
    ) -> Result<(), SocketError> {
        let now = self.lab.now();
        let sent = self.stack().send_to(now, socket, dst.into(), data);
        self.lab.settle();
        sent
    }

    /// The only packet that the host sends when this socket sends.
    #[track_caller]
    pub fn sent_to(&mut self, socket: SocketId, dst: Ipv4Addr, data: &[u8]) -> Vec<u8> {
        self.send_to(socket, (dst, 9), data).expect("it is sent");
        self.lab.heard_one_ip(self.tester)
    }

    /// What a socket has received.
    pub fn received(&mut self, socket: SocketId) -> Vec<Vec<u8>> {
        self.lab.received(self.host, socket)
    }

    /// The only packet that a socket has received.
    #[track_caller]
    pub fn received_one(&mut self, socket: SocketId) -> Packet {
        let packet = self.stack().recv(socket).expect("a packet waits");
        assert!(self.stack().recv(socket).is_none(), "only one waits");
        packet
    }
}

/// A datagram from the tester's port 4000.
pub fn datagram(dst: Ipv4Addr, port: u16, data: &[u8]) -> Ip {
    Ip::udp(PEER, dst, 4000, port, data)
}
