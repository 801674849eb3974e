//! Hosts that ping each other.

use core::net::{IpAddr, SocketAddr};

use tapping_stack::sim::{Conditions, HostId, Lab, Link, WireId};
use tapping_stack::socket::SocketId;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::IpCidr;
use tapping_stack::{Config, Packet};

/// 10.0.0.`n`.
pub fn addr(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

/// 10.0.`subnet`.`n`/24.
pub fn cidr(subnet: u8, n: u8) -> IpCidr {
    format!("10.0.{subnet}.{n}/24").parse().expect("an address")
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Two hosts, 10.0.0.1 and 10.0.0.2, on a wire.
pub struct Pair {
    pub lab: Lab,
    pub a: HostId,
    pub b: HostId,
    pub wire: WireId,
}

impl Pair {
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        Pair::on(seed, Link::new(conditions))
    }

    pub fn on(seed: u64, link: Link) -> Self {
        let mut lab = Lab::new(seed);
        let a = lab.add_host("a", Config::default());
        let b = lab.add_host("b", Config::default());
        let wire = lab.connect((a, cidr(0, 1)), (b, cidr(0, 2)), link).expect("a wire");
        Pair { lab, a, b, wire }
    }

    /// With neighbours that know each other.
    pub fn introduced(mut self) -> Self {
        self.lab.introduce(self.wire).expect("room for neighbours");
        self
    }
}

/// A ping socket that counts.
pub struct Pinger {
    host: HostId,
    socket: SocketId,
    dst: SocketAddr,
    sequence: u16,
    len: usize,
}

impl Pinger {
    /// Echoes of `len` bytes of data to `dst`.
    pub fn new(lab: &mut Lab, host: HostId, dst: IpAddr, len: usize) -> Self {
        let socket = lab.stack(host).open_ping(None).expect("a socket");
        Pinger { host, socket, dst: SocketAddr::new(dst, 0), sequence: 0, len }
    }

    /// Sends the next request.
    pub fn send(&mut self, lab: &mut Lab) {
        self.sequence += 1;
        let now = lab.now();
        let request = self.request(self.sequence);
        lab.stack(self.host).send_to(now, self.socket, self.dst, &request).expect("a request");
    }

    /// The replies since the last call, each found to be what was sent: when it arrived and its
    /// number.
    pub fn replies(&mut self, lab: &mut Lab) -> Vec<(Instant, u16)> {
        let mut replies = Vec::new();
        while let Some(packet) = lab.stack(self.host).recv(self.socket) {
            replies.push((packet.meta.timestamp, self.check(&packet)));
            lab.stack(self.host).recycle(packet);
        }
        replies
    }

    fn check(&self, reply: &Packet) -> u16 {
        let bytes = reply.bytes();
        let sequence = u16::from_be_bytes([bytes[6], bytes[7]]);
        assert_eq!(bytes[8..], self.request(sequence)[8..], "what came back is what was sent");
        sequence
    }

    fn request(&self, sequence: u16) -> Vec<u8> {
        let mut request = vec![8, 0, 0, 0, 0, 0];
        request.extend(sequence.to_be_bytes());
        request.extend((0..self.len).map(|n| (n as u16 ^ sequence) as u8));
        request
    }
}
