//! Ethernet, VLAN tags and ARP against etherparse, pnet_packet and smoltcp.

use std::net::Ipv4Addr;

use pnet_packet::Packet;
use pnet_packet::arp::{ArpHardwareType, ArpPacket, MutableArpPacket};
use pnet_packet::ethernet::{EthernetPacket, MutableEthernetPacket};
use pnet_packet::vlan::{ClassOfService, MutableVlanPacket, VlanPacket};
use proptest::prelude::*;
use smoltcp::wire::{ArpOperation as SmolOperation, ArpRepr, EthernetAddress, EthernetFrame};
use tapping_stack::wire::{
    Arp, ArpOperation, EtherType, Ethernet, EthernetRepr, Ipv4Cidr, MacAddr, Vlan, VlanRepr, arp,
    ethernet, vlan,
};

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

fn ethernet() -> impl Strategy<Value = (EthernetRepr, Vec<u8>)> {
    let payload = prop::collection::vec(any::<u8>(), 0..64);
    (mac(), mac(), any::<u16>(), payload).prop_map(|(dst, src, ethertype, payload)| {
        (EthernetRepr { dst, src, ethertype: EtherType(ethertype) }, payload)
    })
}

fn tag() -> impl Strategy<Value = VlanRepr> {
    (0..8u8, any::<bool>(), 0..4096u16, any::<u16>()).prop_map(|(pcp, dei, vid, ethertype)| {
        VlanRepr { pcp, dei, vid, ethertype: EtherType(ethertype) }
    })
}

fn arp() -> impl Strategy<Value = Arp> {
    let operation = prop_oneof![Just(1u16), Just(2), any::<u16>()];
    (operation, mac(), any::<Ipv4Addr>(), mac(), any::<Ipv4Addr>()).prop_map(
        |(operation, sender_mac, sender_ip, target_mac, target_ip)| Arp {
            operation: operation.into(),
            sender_mac,
            sender_ip,
            target_mac,
            target_ip,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn ethernet_we_emit_they_read((repr, payload) in ethernet()) {
        let mut frame = vec![0; ethernet::HEADER_LEN];
        repr.emit(&mut frame);
        frame.extend_from_slice(&payload);

        let theirs = etherparse::Ethernet2Slice::from_slice_without_fcs(&frame).unwrap();
        prop_assert_eq!(theirs.destination(), repr.dst.0);
        prop_assert_eq!(theirs.source(), repr.src.0);
        prop_assert_eq!(theirs.ether_type().0, repr.ethertype.0);
        prop_assert_eq!(theirs.payload_slice(), &payload[..]);

        let theirs = EthernetPacket::new(&frame).unwrap();
        prop_assert_eq!(theirs.get_destination().octets(), repr.dst.0);
        prop_assert_eq!(theirs.get_source().octets(), repr.src.0);
        prop_assert_eq!(theirs.get_ethertype().0, repr.ethertype.0);
        prop_assert_eq!(theirs.payload(), &payload[..]);

        let theirs = EthernetFrame::new_checked(&frame[..]).unwrap();
        prop_assert_eq!(theirs.dst_addr().0, repr.dst.0);
        prop_assert_eq!(theirs.src_addr().0, repr.src.0);
        prop_assert_eq!(u16::from(theirs.ethertype()), repr.ethertype.0);
        prop_assert_eq!(theirs.payload(), &payload[..]);
    }

    #[test]
    fn ethernet_they_emit_we_read((repr, payload) in ethernet()) {
        let by_etherparse = etherparse::Ethernet2Header {
            source: repr.src.0,
            destination: repr.dst.0,
            ether_type: etherparse::EtherType(repr.ethertype.0),
        }
        .to_bytes();

        let mut by_pnet = [0; 14];
        let mut packet = MutableEthernetPacket::new(&mut by_pnet).unwrap();
        packet.set_destination(repr.dst.0.into());
        packet.set_source(repr.src.0.into());
        packet.set_ethertype(pnet_packet::ethernet::EtherType(repr.ethertype.0));

        let mut by_smoltcp = [0; 14];
        let mut packet = EthernetFrame::new_unchecked(&mut by_smoltcp[..]);
        packet.set_dst_addr(EthernetAddress(repr.dst.0));
        packet.set_src_addr(EthernetAddress(repr.src.0));
        packet.set_ethertype(repr.ethertype.0.into());

        for header in [by_etherparse, by_pnet, by_smoltcp] {
            let frame = [&header[..], &payload].concat();
            let ours = Ethernet::parse(&frame).unwrap();
            prop_assert_eq!(EthernetRepr::from_view(&ours), repr);
            prop_assert_eq!(ours.payload(), &payload[..]);
        }
    }

    #[test]
    fn vlan_both_ways(repr in tag(), payload in prop::collection::vec(any::<u8>(), 0..32)) {
        let mut bytes = vec![0; vlan::HEADER_LEN];
        repr.emit(&mut bytes);

        let by_etherparse = etherparse::SingleVlanHeader {
            pcp: etherparse::VlanPcp::try_new(repr.pcp).unwrap(),
            drop_eligible_indicator: repr.dei,
            vlan_id: etherparse::VlanId::try_new(repr.vid).unwrap(),
            ether_type: etherparse::EtherType(repr.ethertype.0),
        };
        prop_assert_eq!(&by_etherparse.to_bytes()[..], &bytes[..]);

        let mut by_pnet = [0; 4];
        let mut packet = MutableVlanPacket::new(&mut by_pnet).unwrap();
        packet.set_priority_code_point(ClassOfService(repr.pcp));
        packet.set_drop_eligible_indicator(repr.dei.into());
        packet.set_vlan_identifier(repr.vid);
        packet.set_ethertype(pnet_packet::ethernet::EtherType(repr.ethertype.0));
        prop_assert_eq!(&by_pnet[..], &bytes[..]);

        bytes.extend_from_slice(&payload);
        let ours = Vlan::parse(&bytes).unwrap();
        prop_assert_eq!(VlanRepr::from_view(&ours), repr);
        prop_assert_eq!(ours.payload(), &payload[..]);
        let theirs = etherparse::SingleVlanSlice::from_slice(&bytes).unwrap();
        prop_assert_eq!(theirs.to_header(), by_etherparse);
        prop_assert_eq!(theirs.payload_slice(), &payload[..]);
        let theirs = VlanPacket::new(&bytes).unwrap();
        prop_assert_eq!(theirs.get_vlan_identifier(), repr.vid);
        prop_assert_eq!(theirs.payload(), &payload[..]);
    }

    #[test]
    fn arp_we_emit_they_read(repr in arp()) {
        let mut bytes = [0; arp::LEN];
        repr.emit(&mut bytes);
        prop_assert_eq!(Arp::parse(&bytes), Ok(repr));

        let theirs = etherparse::ArpPacket::from_slice(&bytes).unwrap().try_eth_ipv4().unwrap();
        prop_assert_eq!(theirs.operation.0, u16::from(repr.operation));
        prop_assert_eq!(theirs.sender_mac, repr.sender_mac.0);
        prop_assert_eq!(theirs.sender_ipv4, repr.sender_ip.octets());
        prop_assert_eq!(theirs.target_mac, repr.target_mac.0);
        prop_assert_eq!(theirs.target_ipv4, repr.target_ip.octets());

        let theirs = ArpPacket::new(&bytes).unwrap();
        prop_assert_eq!(theirs.get_hardware_type().0, 1);
        prop_assert_eq!(theirs.get_protocol_type().0, EtherType::IPV4.0);
        prop_assert_eq!((theirs.get_hw_addr_len(), theirs.get_proto_addr_len()), (6, 4));
        prop_assert_eq!(theirs.get_operation().0, u16::from(repr.operation));
        prop_assert_eq!(theirs.get_sender_hw_addr().octets(), repr.sender_mac.0);
        prop_assert_eq!(theirs.get_sender_proto_addr(), repr.sender_ip);
        prop_assert_eq!(theirs.get_target_hw_addr().octets(), repr.target_mac.0);
        prop_assert_eq!(theirs.get_target_proto_addr(), repr.target_ip);

        let packet = smoltcp::wire::ArpPacket::new_checked(&bytes[..]).unwrap();
        let theirs = ArpRepr::parse(&packet).unwrap();
        prop_assert_eq!(theirs, smoltcp_arp(&repr));
    }

    #[test]
    fn arp_they_emit_we_read(repr in arp()) {
        let by_etherparse = etherparse::ArpEthIpv4Packet {
            operation: etherparse::ArpOperation(repr.operation.into()),
            sender_mac: repr.sender_mac.0,
            sender_ipv4: repr.sender_ip.octets(),
            target_mac: repr.target_mac.0,
            target_ipv4: repr.target_ip.octets(),
        }
        .to_bytes();

        let mut by_pnet = [0; arp::LEN];
        let mut packet = MutableArpPacket::new(&mut by_pnet).unwrap();
        packet.set_hardware_type(ArpHardwareType(1));
        packet.set_protocol_type(pnet_packet::ethernet::EtherTypes::Ipv4);
        packet.set_hw_addr_len(6);
        packet.set_proto_addr_len(4);
        packet.set_operation(pnet_packet::arp::ArpOperation(repr.operation.into()));
        packet.set_sender_hw_addr(repr.sender_mac.0.into());
        packet.set_sender_proto_addr(repr.sender_ip);
        packet.set_target_hw_addr(repr.target_mac.0.into());
        packet.set_target_proto_addr(repr.target_ip);

        let mut by_smoltcp = [0; arp::LEN];
        let mut packet = smoltcp::wire::ArpPacket::new_unchecked(&mut by_smoltcp[..]);
        smoltcp_arp(&repr).emit(&mut packet);

        for bytes in [&by_etherparse[..], &by_pnet, &by_smoltcp] {
            prop_assert_eq!(Arp::parse(bytes), Ok(repr));
        }
    }

    /// Arbitrary bytes, most of them near a valid message: both sides take the same ones.
    #[test]
    fn arp_validity(
        repr in arp(),
        len in 0..40usize,
        change in prop::option::of((0..8usize, prop_oneof![any::<u8>(), 0..8u8])),
    ) {
        let mut bytes = vec![0; 40];
        repr.emit(&mut bytes);
        if let Some((at, value)) = change {
            bytes[at] = value;
        }
        bytes.truncate(len);
        // We take hardware type 6, IEEE 802, for Ethernet as Linux does; they do not.
        prop_assume!(bytes.get(..2) != Some(&[0, 6][..]));
        let theirs = etherparse::ArpPacket::from_slice(&bytes);
        let theirs = theirs.ok().and_then(|packet| packet.try_eth_ipv4().ok());
        let ours = Arp::parse(&bytes);
        prop_assert_eq!(ours.is_ok(), theirs.is_some());
        let packet = smoltcp::wire::ArpPacket::new_checked(&bytes[..]);
        let theirs = packet.ok().and_then(|packet| ArpRepr::parse(&packet).ok());
        prop_assert_eq!(ours.ok().map(|arp| smoltcp_arp(&arp)), theirs);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert_eq!(Ethernet::parse(&bytes).is_ok(), bytes.len() >= ethernet::HEADER_LEN);
        prop_assert_eq!(Vlan::parse(&bytes).is_ok(), bytes.len() >= vlan::HEADER_LEN);
        if let Ok(arp) = Arp::parse(&bytes) {
            let mut out = [0; arp::LEN];
            arp.emit(&mut out);
            prop_assert_eq!(&out[..], &bytes[..arp::LEN]);
        }
    }

    #[test]
    fn addresses_and_prefixes_survive_as_text(
        mac in mac(),
        addr in any::<Ipv4Addr>(),
        other in any::<Ipv4Addr>(),
        len in 0..=32u8,
    ) {
        prop_assert_eq!(mac.to_string().parse(), Ok(mac));
        prop_assert_eq!(mac.to_string(), EthernetAddress(mac.0).to_string().replace('-', ":"));
        let cidr = Ipv4Cidr::new(addr, len).unwrap();
        prop_assert_eq!(cidr.to_string().parse(), Ok(cidr));
        let theirs = smoltcp::wire::Ipv4Cidr::new(addr, len);
        prop_assert_eq!(cidr.to_string(), theirs.to_string());
        prop_assert_eq!(cidr.netmask(), theirs.netmask());
        prop_assert_eq!(cidr.network(), theirs.network().address());
        prop_assert_eq!(cidr.broadcast(), theirs.broadcast());
        // A random address rarely shares a long prefix; one with its host part replaced does.
        let host_mask = !cidr.netmask().to_bits();
        let near = Ipv4Addr::from_bits(addr.to_bits() ^ other.to_bits() & host_mask);
        prop_assert!(cidr.contains(near));
        prop_assert_eq!(cidr.contains(other), theirs.contains_addr(&other));
    }
}

fn smoltcp_arp(arp: &Arp) -> ArpRepr {
    ArpRepr::EthernetIpv4 {
        operation: match arp.operation {
            ArpOperation::Request => SmolOperation::Request,
            ArpOperation::Reply => SmolOperation::Reply,
            ArpOperation::Other(other) => SmolOperation::Unknown(other),
        },
        source_hardware_addr: EthernetAddress(arp.sender_mac.0),
        source_protocol_addr: arp.sender_ip,
        target_hardware_addr: EthernetAddress(arp.target_mac.0),
        target_protocol_addr: arp.target_ip,
    }
}
