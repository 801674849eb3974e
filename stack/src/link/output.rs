//! Frames that leave: what the device cannot do itself is done here, at the very edge.

use core::ops::Range;

use super::Link;
use crate::packet::segment::{Cutter, Sums, segment};
use crate::packet::{Packet, PacketPool};
use crate::stats::DropReason;
use crate::wire::ethernet::{self, EtherType, EthernetRepr, MacAddr};

/// Puts the Ethernet header in front of a packet whose head is its network header.
pub(crate) fn emit_header(packet: &mut Packet, src: MacAddr, dst: MacAddr, ethertype: EtherType) {
    let header = packet.push(ethernet::HEADER_LEN);
    EthernetRepr { dst, src, ethertype }.emit(header);
    packet.mark_mac();
}

/// Queues a frame for the device, a large segment that it cannot take as the frames that it is cut
/// into. Returns how many frames that were.
///
/// As on Linux, where the queue is before the cutting, a large segment needs the room of one frame,
/// and goes whole or not at all: the queue is never longer than `limit` and the frames of one.
pub(crate) fn enqueue(
    link: &mut Link,
    limit: usize,
    packet: Packet,
    pool: &mut PacketPool,
) -> Result<usize, (Packet, DropReason)> {
    if link.queue.len() >= limit {
        link.counters.tx_dropped += 1;
        return Err((packet, DropReason::TxQueueFull));
    }
    if packet.meta.gso.is_none() || takes_whole(link, packet.network().len()) {
        push(link, packet);
        return Ok(1);
    }
    segment(packet, pool, sums(link), |frame| push(link, frame)).map_err(|packet| {
        link.counters.tx_dropped += 1;
        (packet, DropReason::TooBigForLink)
    })
}

/// Whether a large segment with `len` bytes of IP packet would be cut and queued.
pub(crate) fn cuts(link: &Link, limit: usize, len: usize) -> bool {
    !takes_whole(link, len) && link.queue.len() < limit
}

/// Who is to sum what is cut for a link.
pub(crate) fn sums(link: &Link) -> Sums {
    if link.capabilities.tx_checksum { Sums::Later } else { Sums::Now }
}

/// Queues a large segment of which [`cuts`] is true as the frames that it is cut into; `payload`
/// shows a range of its payload, in one piece or two. Returns how many frames that were.
pub(crate) fn cut<'a>(
    link: &mut Link,
    cutter: &Cutter,
    pool: &mut PacketPool,
    mut payload: impl FnMut(Range<usize>) -> (&'a [u8], &'a [u8]),
) -> usize {
    for index in 0..cutter.pieces() {
        let (first, rest) = payload(cutter.range(index));
        push(link, cutter.piece(index, first, rest, pool));
    }
    cutter.pieces()
}

/// Whether the device cuts a large segment itself. To sum the pieces then is up to it, too (Linux
/// `netdev_fix_features`).
fn takes_whole(link: &Link, len: usize) -> bool {
    let capabilities = link.capabilities;
    capabilities.tx_checksum && len <= capabilities.max_gso_size as usize
}

fn push(link: &mut Link, mut frame: Packet) {
    if !link.capabilities.tx_checksum {
        frame.finish_checksum();
    }
    link.counters.tx_packets += 1;
    link.counters.tx_bytes += frame.len() as u64;
    link.queue.push_back(frame);
}
