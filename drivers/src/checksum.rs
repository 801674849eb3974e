//! Checksums left for later, finished for those who know nothing of that.

use tapping_stack::packet::ChecksumState;
use tapping_stack::wire::checksum;
use tapping_stack::wire::ethernet::{EtherType, HEADER_LEN};

/// Fills in the transport checksum of an Ethernet frame if it was left for later.
pub(crate) fn finish_checksum(frame: &mut [u8], state: ChecksumState) {
    let ChecksumState::Partial { start, offset } = state else { return };
    let network = network_offset(frame);
    if let Some(transport) = frame.get_mut(network + usize::from(start)..) {
        checksum::complete(transport, usize::from(offset));
    }
}

/// Where the network header starts, behind any VLAN tags.
pub(crate) fn network_offset(frame: &[u8]) -> usize {
    let mut offset = HEADER_LEN;
    while let Some(ethertype) = frame.get(offset - 2..offset) {
        let ethertype = EtherType(u16::from_be_bytes([ethertype[0], ethertype[1]]));
        if ethertype != EtherType::VLAN && ethertype != EtherType::QINQ {
            break;
        }
        offset += 4;
    }
    offset
}
