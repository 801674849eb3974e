//! Where a received packet came from.

use core::net::{IpAddr, SocketAddr};

use crate::packet::{LinkId, Packet};
use crate::wire::ipv4::{Ipv4, Protocol};
use crate::wire::udp::Udp;

/// What the headers of a packet received from a socket say (recvfrom(2), `IP_PKTINFO`, `IP_RECVTTL`
/// and `IP_RECVTOS` of ip(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketInfo {
    /// Who sent it; the port is 0 unless it is UDP.
    pub source: SocketAddr,
    /// Where it was sent to.
    pub destination: SocketAddr,
    /// The link it arrived on.
    pub link: Option<LinkId>,
    /// The time to live that was left.
    pub ttl: u8,
    /// The type of service.
    pub tos: u8,
}

impl PacketInfo {
    /// Reads the headers of a packet from [`Stack::recv`](crate::Stack::recv); `None` if it has
    /// none.
    pub fn of(packet: &Packet) -> Option<Self> {
        let header = Ipv4::parse(packet.network()).ok()?;
        let udp = Udp::parse(packet.transport()).ok();
        let ports = udp
            .filter(|_| header.protocol() == Protocol::UDP)
            .map_or((0, 0), |udp| (udp.src_port(), udp.dst_port()));
        Some(PacketInfo {
            source: SocketAddr::new(IpAddr::V4(header.src()), ports.0),
            destination: SocketAddr::new(IpAddr::V4(header.dst()), ports.1),
            link: packet.meta.link_in,
            ttl: header.ttl(),
            tos: header.tos(),
        })
    }
}
