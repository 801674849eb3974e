//! UDP as far as it goes without sockets: datagrams are checked, and refused.

use crate::core::Core;
use crate::packet::{ChecksumState, Packet};
use crate::stats::DropReason;
use crate::wire::ipv4::{Ipv4, Protocol, pseudo_header_sum};
use crate::wire::udp::Udp;

/// Looks at a datagram whose bytes begin with the UDP header; says why nobody takes it (Linux
/// `udp_rcv`).
pub(crate) fn input(core: &mut Core, packet: &Packet) -> DropReason {
    let Ok(datagram) = Udp::parse(packet.bytes()) else {
        core.stats.udp.in_errors += 1;
        return DropReason::UdpMalformed;
    };
    if packet.meta.checksum == ChecksumState::None
        && let Ok(header) = Ipv4::parse(packet.network())
    {
        let pseudo = pseudo_header_sum(header.src(), header.dst(), Protocol::UDP, datagram.len());
        if !datagram.verify_checksum(pseudo) {
            core.stats.udp.in_csum_errors += 1;
            core.stats.udp.in_errors += 1;
            return DropReason::UdpChecksum;
        }
    }
    core.stats.udp.no_ports += 1;
    DropReason::NoSocket
}
