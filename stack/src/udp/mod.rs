//! UDP (RFC 768): datagrams that arrive find their sockets here, and those that leave get their
//! header.
//!
//! ```text
//! input    parse → checksum → one socket (exact, address, wildcard), or every one that wants it
//! header   ports and length; the checksum is left to IPv4 and the device
//! ```

mod demux;

pub(crate) use demux::{Addr, Demux, Endpoint, Path};

use crate::core::Core;
use crate::event::{Event, Receiver};
use crate::packet::{ChecksumState, Packet, PacketType};
use crate::socket::{Interest, SocketId};
use crate::stats::DropReason;
use crate::wire::ipv4::{Ipv4, Protocol, pseudo_header_sum};
use crate::wire::udp::{CHECKSUM_OFFSET, HEADER_LEN, Udp, UdpRepr};

/// Takes a datagram whose bytes begin with the UDP header (Linux `__udp4_lib_rcv`). Gives it back
/// with the reason when nobody takes it.
pub(crate) fn input(core: &mut Core, mut packet: Packet) -> Result<(), (Packet, DropReason)> {
    let (Ok(datagram), Ok(header)) = (Udp::parse(packet.bytes()), Ipv4::parse(packet.network()))
    else {
        core.stats.udp.in_errors += 1;
        return Err((packet, DropReason::UdpMalformed));
    };
    if packet.meta.checksum == ChecksumState::None {
        let pseudo = pseudo_header_sum(header.src(), header.dst(), Protocol::UDP, datagram.len());
        if !datagram.verify_checksum(pseudo) {
            core.stats.udp.in_csum_errors += 1;
            core.stats.udp.in_errors += 1;
            return Err((packet, DropReason::UdpChecksum));
        }
    }
    let path = Path {
        src: (header.src(), datagram.src_port()),
        dst: (header.dst(), datagram.dst_port()),
        link: packet.meta.link_in,
    };
    let len = usize::from(datagram.len());
    // What IPv4 found to be for many is marked so; a unicast may come in such a frame, too.
    if packet.meta.packet_type != PacketType::Host && core.is_for_many(path.dst.0) {
        return deliver_to_many(core, packet, &path, len);
    }
    match core.sockets.find_udp(&path) {
        Some(id) => {
            packet.truncate(len);
            queue(core, id, packet);
            Ok(())
        }
        None => {
            core.stats.udp.no_ports += 1;
            Err((packet, DropReason::NoSocket))
        }
    }
}

/// Puts the UDP header in front of what is to be sent. Its checksum is still to be finished.
pub(crate) fn push_header(packet: &mut Packet, src_port: u16, dst_port: u16) {
    // A length that does not fit is that of a datagram which IPv4 will refuse.
    let len = (packet.len() + HEADER_LEN) as u16;
    UdpRepr { src_port, dst_port, len }.emit(packet.push(HEADER_LEN));
    packet.meta.checksum = ChecksumState::Partial { start: 0, offset: CHECKSUM_OFFSET as u16 };
}

/// A copy for every socket that wants a broadcast or multicast (RFC 1122 §4.1.3.1, Linux
/// `__udp4_lib_mcast_deliver`).
fn deliver_to_many(
    core: &mut Core,
    mut packet: Packet,
    path: &Path,
    len: usize,
) -> Result<(), (Packet, DropReason)> {
    let found = core.sockets.find_udp_many(path);
    packet.truncate(len);
    let mut taker = None;
    for index in &found {
        let Some(id) = core.sockets.id_at(*index) else { continue };
        if !hears(core, id, path) {
            continue;
        }
        if let Some(id) = taker.replace(id) {
            let mut copy = core.pool.copy(&packet);
            copy.seek_to_transport();
            queue(core, id, copy);
        }
    }
    core.sockets.end_udp_many(found);
    match taker {
        Some(id) => {
            queue(core, id, packet);
            Ok(())
        }
        None => {
            core.stats.udp.ignored_multi += 1;
            Err((packet, DropReason::NoSocket))
        }
    }
}

/// Whether a socket takes what was sent to a group (Linux `__udp_is_mcast_sock`).
fn hears(core: &Core, id: SocketId, path: &Path) -> bool {
    let Ok(socket) = core.sockets.get(id) else { return false };
    let (group, source, all) = (path.dst.0, path.src.0, socket.options.multicast_all);
    core.memberships.may_receive(id, group, source, path.link, all)
}

/// Queues a datagram, whose bytes begin with the UDP header, for its socket.
fn queue(core: &mut Core, id: SocketId, mut packet: Packet) {
    packet.pull(HEADER_LEN);
    core.see(|| Event::Delivered { to: Receiver::Udp(id), packet: &packet });
    match core.sockets.receive(id, packet) {
        Ok(()) => core.wakers.wake(id, Interest::Read),
        Err((packet, reason)) => {
            core.stats.udp.in_errors += 1;
            match reason {
                DropReason::UdpMemory => core.stats.udp.mem_errors += 1,
                _ => core.stats.udp.rcvbuf_errors += 1,
            }
            core.discard(packet, reason);
        }
    }
}
