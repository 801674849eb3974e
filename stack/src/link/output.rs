//! Frames that leave: what the device cannot do itself is done here, at the very edge.

use super::Link;
use crate::packet::Packet;
use crate::stats::DropReason;
use crate::wire::ethernet::{self, EtherType, EthernetRepr, MacAddr};

/// Puts the Ethernet header in front of a packet whose head is its network header.
pub(crate) fn emit_header(packet: &mut Packet, src: MacAddr, dst: MacAddr, ethertype: EtherType) {
    let header = packet.push(ethernet::HEADER_LEN);
    EthernetRepr { dst, src, ethertype }.emit(header);
    packet.mark_mac();
}

/// Queues a frame for the device.
pub(crate) fn enqueue(
    link: &mut Link,
    limit: usize,
    mut packet: Packet,
) -> Result<(), (Packet, DropReason)> {
    if link.queue.len() >= limit {
        link.counters.tx_dropped += 1;
        return Err((packet, DropReason::TxQueueFull));
    }
    if packet.meta.gso.is_some() && packet.network().len() > link.capabilities.max_gso_size as usize
    {
        link.counters.tx_dropped += 1;
        return Err((packet, DropReason::TooBigForLink));
    }
    if !link.capabilities.tx_checksum {
        packet.finish_checksum();
    }
    link.counters.tx_packets += 1;
    link.counters.tx_bytes += packet.len() as u64;
    link.queue.push_back(packet);
    Ok(())
}
