//! Frames that arrive.

use super::Link;
use crate::packet::{Packet, PacketType};
use crate::stats::DropReason;
use crate::wire::ethernet::{self, EtherType, Ethernet, MacAddr};
use crate::wire::vlan::{self, Vlan};

/// Reads the Ethernet header, decides whom the frame is for and strips the header; the packet's
/// network header is then at its head. `mac` is the link's own address.
pub(crate) fn input(
    link: &mut Link,
    mac: MacAddr,
    packet: &mut Packet,
) -> Result<EtherType, DropReason> {
    link.counters.rx_packets += 1;
    link.counters.rx_bytes += packet.len() as u64;
    packet.mark_mac();
    let Ok(frame) = Ethernet::parse(packet.bytes()) else {
        link.counters.rx_errors += 1;
        return Err(DropReason::EthernetMalformed);
    };
    let (dst, ethertype) = (frame.dst(), frame.ethertype());
    packet.meta.packet_type = packet_type(mac, dst);
    match packet.meta.packet_type {
        PacketType::OtherHost if !link.promiscuous => {
            link.counters.rx_otherhost_dropped += 1;
            return Err(DropReason::OtherHost);
        }
        PacketType::Multicast => link.counters.multicast += 1,
        _ => {}
    }
    packet.pull(ethernet::HEADER_LEN);
    let ethertype = strip_priority_tags(packet, ethertype).inspect_err(|_| {
        link.counters.rx_dropped += 1;
    })?;
    packet.mark_network();
    Ok(ethertype)
}

/// Takes a packet that came without a frame; the version says what it is (Linux `tun_get_user`).
pub(crate) fn input_ip(link: &mut Link, packet: &mut Packet) -> Result<EtherType, DropReason> {
    link.counters.rx_packets += 1;
    link.counters.rx_bytes += packet.len() as u64;
    packet.mark_mac();
    packet.mark_network();
    match packet.bytes().first().map(|first| first >> 4) {
        Some(4) => Ok(EtherType::IPV4),
        Some(6) => Ok(EtherType::IPV6),
        _ => {
            link.counters.rx_errors += 1;
            Err(DropReason::UnknownIpVersion)
        }
    }
}

/// Whom `dst` names on a link whose own address is `mac`.
fn packet_type(mac: MacAddr, dst: MacAddr) -> PacketType {
    if dst == mac {
        PacketType::Host
    } else if dst.is_broadcast() {
        PacketType::Broadcast
    } else if dst.is_multicast() {
        PacketType::Multicast
    } else {
        PacketType::OtherHost
    }
}

/// IEEE 802.1Q §6.9: VLAN 0 is no VLAN, the tag only carries a priority. Any other VLAN needs a
/// link of its own. There may be several tags, as Linux has it; each is a part of the frame.
fn strip_priority_tags(
    packet: &mut Packet,
    mut ethertype: EtherType,
) -> Result<EtherType, DropReason> {
    while matches!(ethertype, EtherType::VLAN | EtherType::QINQ) {
        let Ok(tag) = Vlan::parse(packet.bytes()) else {
            return Err(DropReason::EthernetMalformed);
        };
        if tag.vid() != 0 {
            return Err(DropReason::UnknownVlan);
        }
        ethertype = tag.ethertype();
        packet.meta.priority = u32::from(tag.pcp());
        packet.pull(vlan::HEADER_LEN);
    }
    Ok(ethertype)
}
