//! Every parser and iterator of the wire formats on arbitrary bytes: nothing panics, what is read
//! and written again reads the same, and etherparse reads the same where its rules are the same.

#![no_main]

use core::net::Ipv4Addr;
use core::str;

use libfuzzer_sys::fuzz_target;
use tapping_stack::wire::ipv4_options::{record_route, record_timestamp};
use tapping_stack::wire::{
    Arp, Checksum, EtherType, Ethernet, EthernetRepr, Icmpv4, IpCidr, Ipv4, Ipv4Cidr, Ipv4Options,
    Ipv4Repr, MacAddr, Message, Protocol, SackBlock, Tcp, TcpOption, TcpOptions, TcpOptionsRepr,
    TcpRepr, Udp, UdpRepr, Vlan, VlanRepr, arp, checksum, ethernet, icmpv4, ipv4, tcp, udp, vlan,
};

fuzz_target!(|bytes: &[u8]| {
    frame(bytes);
    // Each layer also straight from the input, which needs no valid layer below.
    arp_message(bytes);
    packet(bytes);
    ip_options(bytes.get(..40).unwrap_or(bytes));
    icmp_message(bytes);
    datagram(bytes, Checksum::ZERO);
    segment(bytes, Checksum::ZERO);
    tcp_options(bytes.get(..40).unwrap_or(bytes));
    sums(bytes);
    if let Ok(text) = str::from_utf8(bytes) {
        texts(text);
    }
});

fn frame(bytes: &[u8]) {
    let theirs = etherparse::Ethernet2Slice::from_slice_without_fcs(bytes);
    let Ok(ours) = Ethernet::parse(bytes) else {
        assert!(theirs.is_err());
        return;
    };
    let theirs = theirs.unwrap();
    let repr = EthernetRepr::from_view(&ours);
    assert_eq!(repr.dst.0, theirs.destination());
    assert_eq!(repr.src.0, theirs.source());
    assert_eq!(repr.ethertype.0, theirs.ether_type().0);
    assert_eq!(ours.payload(), theirs.payload_slice());
    let mut header = [0; ethernet::HEADER_LEN];
    repr.emit(&mut header);
    assert_eq!(header, bytes[..ethernet::HEADER_LEN]);

    let (mut ethertype, mut payload) = (ours.ethertype(), ours.payload());
    while ethertype.is_vlan() {
        let Ok(tag) = Vlan::parse(payload) else {
            assert!(payload.len() < vlan::HEADER_LEN);
            return;
        };
        let repr = VlanRepr::from_view(&tag);
        let theirs = etherparse::SingleVlanSlice::from_slice(payload).unwrap();
        assert_eq!(repr.pcp, theirs.priority_code_point().value());
        assert_eq!(repr.dei, theirs.drop_eligible_indicator());
        assert_eq!(repr.vid, theirs.vlan_identifier().value());
        let mut again = [0; vlan::HEADER_LEN];
        repr.emit(&mut again);
        assert_eq!(again, payload[..vlan::HEADER_LEN]);
        (ethertype, payload) = (tag.ethertype(), tag.payload());
    }
    match ethertype {
        EtherType::ARP => arp_message(payload),
        EtherType::IPV4 => packet(payload),
        _ => {}
    }
}

fn arp_message(bytes: &[u8]) {
    let theirs = etherparse::ArpPacket::from_slice(bytes);
    let theirs = theirs.ok().and_then(|packet| packet.try_eth_ipv4().ok());
    let Ok(ours) = Arp::parse(bytes) else {
        assert!(theirs.is_none());
        return;
    };
    let Some(theirs) = theirs else {
        // We take hardware type 6, IEEE 802, for Ethernet as Linux does.
        assert_eq!(bytes[..2], [0, 6]);
        return;
    };
    assert_eq!(u16::from(ours.operation), theirs.operation.0);
    assert_eq!((ours.sender_mac.0, ours.target_mac.0), (theirs.sender_mac, theirs.target_mac));
    assert_eq!(ours.sender_ip.octets(), theirs.sender_ipv4);
    assert_eq!(ours.target_ip.octets(), theirs.target_ipv4);
    let mut again = [0; arp::LEN];
    ours.emit(&mut again);
    assert_eq!(again, bytes[..arp::LEN]);
}

fn packet(bytes: &[u8]) {
    let theirs = etherparse::Ipv4HeaderSlice::from_slice(bytes).ok().filter(|header| {
        let total_len = usize::from(header.total_len());
        (header.slice().len()..=bytes.len()).contains(&total_len)
    });
    let Ok(ours) = Ipv4::parse(bytes) else {
        assert!(theirs.is_none());
        return;
    };
    let theirs = theirs.unwrap();
    assert_eq!((ours.header(), ours.options()), (theirs.slice(), theirs.options()));
    assert_eq!((ours.src(), ours.dst()), (theirs.source_addr(), theirs.destination_addr()));
    assert_eq!(ours.fragment_offset(), usize::from(theirs.fragments_offset().byte_offset()));
    assert_eq!(ours.is_fragment(), theirs.is_fragmenting_payload());
    assert_eq!((ours.ttl(), ours.protocol().0), (theirs.ttl(), theirs.protocol().0));

    // What is written is what was read, but for the reserved flag and the checksum.
    let repr = Ipv4Repr::from_view(&ours);
    let mut again = ours.packet().to_vec();
    repr.emit(&mut again);
    let check = theirs.to_header().calc_header_checksum();
    let written = Ipv4::parse(&again).unwrap();
    assert_eq!(Ipv4Repr::from_view(&written), repr);
    assert!(written.verify_checksum() && !written.evil());
    assert_eq!(written.checksum(), check);
    // A checksum of ffff where 0000 belongs is its other spelling, which verifies too.
    assert!(ours.verify_checksum() || ours.evil() || ours.checksum() != check);
    in_place(&mut again, &repr);

    ip_options(ours.options());
    if ours.fragment_offset() > 0 {
        return;
    }
    let (payload, protocol) = (ours.payload(), ours.protocol());
    let len = payload.len() as u16;
    let pseudo = ipv4::pseudo_header_sum(ours.src(), ours.dst(), protocol, len);
    match protocol {
        Protocol::ICMP => icmp_message(payload),
        Protocol::UDP => datagram(payload, pseudo),
        Protocol::TCP => segment(payload, pseudo),
        _ => {}
    }
}

/// The setters, with values taken from the header itself, leave the checksum right.
fn in_place(header: &mut [u8], repr: &Ipv4Repr) {
    ipv4::set_src(header, repr.dst);
    ipv4::set_dst(header, repr.src);
    ipv4::set_id(header, repr.id.rotate_left(5));
    ipv4::set_tos(header, !repr.tos);
    ipv4::set_ttl(header, repr.protocol.0);
    ipv4::decrement_ttl(header);
    ipv4::set_total_len(header, repr.header_len() as u16);
    let written = Ipv4::parse(header).unwrap();
    assert!(written.verify_checksum());
    let updated = written.checksum();
    ipv4::fill_checksum(header);
    assert_eq!(Ipv4::parse(header).unwrap().checksum(), updated);
}

fn ip_options(bytes: &[u8]) {
    let (mut at, mut failed) = (0, None);
    for option in Ipv4Options::new(bytes) {
        assert!(failed.is_none(), "nothing follows an error");
        let option = match option {
            Ok(option) => option,
            Err(error) => {
                failed = Some(error);
                assert_eq!(error.offset, at);
                continue;
            }
        };
        assert_eq!(option.offset(), at);
        at += option.data().len();
        if let Ok(route) = option.route() {
            assert!(route.recorded().count() <= route.addresses().count());
            assert_eq!(route.next_address().is_some(), route.room() > 0);
        }
        if let Ok(stamps) = option.timestamp() {
            assert_eq!(stamps.is_full(), stamps.room() == 0);
            assert!(stamps.recorded().count() <= option.data().len() / 4);
        }
        let _ = option.router_alert();

        let mut changed = option.data().to_vec();
        while record_route(&mut changed, Ipv4Addr::LOCALHOST) == Ok(true) {}
        let mut changed = option.data().to_vec();
        while record_timestamp(&mut changed, Ipv4Addr::LOCALHOST, 7, |_| true) == Ok(true) {}
        assert_eq!(changed.len(), option.data().len());
    }
    assert!(at <= bytes.len());
}

fn icmp_message(bytes: &[u8]) {
    let theirs = etherparse::Icmpv4Slice::from_slice(bytes);
    let Ok(ours) = Icmpv4::parse(bytes) else {
        // Address masks have no length of their own to etherparse.
        assert!(theirs.is_err() || matches!(bytes[0], 13..=14 | 17..=18));
        return;
    };
    if let Ok(theirs) = theirs {
        use etherparse::Icmpv4Type;
        assert_eq!((ours.icmp_type(), ours.code()), (theirs.type_u8(), theirs.code_u8()));
        assert_eq!((ours.rest(), ours.checksum()), (theirs.bytes5to8(), theirs.checksum()));
        match (theirs.icmp_type(), ours.message()) {
            (Icmpv4Type::EchoRequest(echo), Message::Echo { ident, sequence })
            | (Icmpv4Type::EchoReply(echo), Message::EchoReply { ident, sequence }) => {
                assert_eq!((echo.id, echo.seq), (ident, sequence));
            }
            (Icmpv4Type::DestinationUnreachable(their), Message::DestinationUnreachable(our)) => {
                assert_eq!(their.code_u8(), our.code());
            }
            (Icmpv4Type::EchoRequest(_) | Icmpv4Type::EchoReply(_), other) => {
                panic!("an echo read as {other:?}");
            }
            _ => {}
        }
    }
    assert!(ours.routers().count() <= bytes.len() / 8);
    let message = ours.message();
    let mut again = bytes.to_vec();
    message.emit(&mut again);
    icmpv4::fill_checksum(&mut again);
    let written = Icmpv4::parse(&again).unwrap();
    assert_eq!(written.message(), message);
    assert!(written.verify_checksum());
    // An error quotes a packet, cut short more often than not.
    if icmpv4::is_error(ours.icmp_type()) {
        let _ = Ipv4::parse(ours.payload());
    }
}

fn datagram(bytes: &[u8], pseudo: Checksum) {
    let theirs = etherparse::UdpSlice::from_slice(bytes);
    let Ok(ours) = Udp::parse(bytes) else {
        // To etherparse a length of zero means the rest of the packet (RFC 2675).
        assert!(theirs.is_err() || bytes[4..6] == [0, 0]);
        return;
    };
    let theirs = theirs.unwrap();
    let repr = UdpRepr::from_view(&ours);
    assert_eq!((repr.src_port, repr.dst_port), (theirs.source_port(), theirs.destination_port()));
    assert_eq!((ours.payload(), ours.checksum()), (theirs.payload(), theirs.checksum()));
    let mut again = bytes[..usize::from(ours.len())].to_vec();
    repr.emit(&mut again);
    udp::fill_checksum(&mut again, pseudo);
    let written = Udp::parse(&again).unwrap();
    assert_eq!((UdpRepr::from_view(&written), written.payload()), (repr, ours.payload()));
    assert!(written.checksum() != 0 && written.verify_checksum(pseudo));
}

fn segment(bytes: &[u8], pseudo: Checksum) {
    let theirs = etherparse::TcpSlice::from_slice(bytes);
    let Ok(ours) = Tcp::parse(bytes) else {
        assert!(theirs.is_err());
        return;
    };
    let theirs = theirs.unwrap();
    assert_eq!(
        (ours.src_port(), ours.dst_port()),
        (theirs.source_port(), theirs.destination_port())
    );
    assert_eq!(ours.seq().0, theirs.sequence_number());
    assert_eq!(ours.ack().0, theirs.acknowledgment_number());
    assert_eq!((ours.window(), ours.urgent()), (theirs.window_size(), theirs.urgent_pointer()));
    assert_eq!((ours.options(), ours.payload()), (theirs.options(), theirs.payload()));
    tcp_options(ours.options());

    let repr = TcpRepr {
        src_port: ours.src_port(),
        dst_port: ours.dst_port(),
        seq: ours.seq(),
        ack: ours.ack(),
        flags: ours.flags(),
        window: ours.window(),
        urgent: ours.urgent(),
        options: TcpOptionsRepr::default(),
    };
    let mut again = vec![0; repr.header_len()];
    repr.emit(&mut again);
    again.extend_from_slice(ours.payload());
    tcp::fill_checksum(&mut again, pseudo);
    let written = Tcp::parse(&again).unwrap();
    assert!(written.verify_checksum(pseudo));
    assert_eq!((written.flags(), written.payload()), (ours.flags(), ours.payload()));
    assert_eq!(written.segment_len(), ours.segment_len());
}

/// Reads options; writes what of them can be written, and reads it again.
fn tcp_options(bytes: &[u8]) {
    let (mut mss, mut window_scale, mut timestamps, mut fast_open) = (None, None, None, None);
    let (mut sack_permitted, mut sack): (bool, Vec<SackBlock>) = (false, Vec::new());
    let mut failed = false;
    for option in TcpOptions::new(bytes) {
        assert!(!failed, "nothing follows an error");
        match option {
            Ok(TcpOption::MaximumSegmentSize(value)) => mss = Some(value),
            Ok(TcpOption::WindowScale(shift)) => window_scale = Some(shift),
            Ok(TcpOption::SackPermitted) => sack_permitted = true,
            Ok(TcpOption::Sack(blocks)) => sack = blocks.iter().collect(),
            Ok(TcpOption::Timestamps { value, echo }) => timestamps = Some((value, echo)),
            Ok(TcpOption::FastOpen(cookie)) => fast_open = Some(cookie),
            Ok(TcpOption::Nop | TcpOption::Unknown { .. }) => {}
            Err(_) => failed = true,
        }
    }
    let sack = &sack[..];
    let repr = TcpOptionsRepr { mss, window_scale, sack_permitted, timestamps, fast_open, sack };
    let mut again = vec![0; repr.len()];
    repr.emit(&mut again);
    for option in TcpOptions::new(&again) {
        match option.unwrap() {
            TcpOption::MaximumSegmentSize(value) => assert_eq!(mss.take(), Some(value)),
            TcpOption::WindowScale(shift) => assert_eq!(window_scale.take(), Some(shift)),
            TcpOption::SackPermitted => assert!(core::mem::take(&mut sack_permitted)),
            TcpOption::Sack(blocks) => assert!(blocks.iter().eq(repr.sack_fitting().to_vec())),
            TcpOption::Timestamps { value, echo } => {
                assert_eq!(timestamps.take(), Some((value, echo)));
            }
            TcpOption::FastOpen(cookie) => assert_eq!(fast_open.take(), Some(cookie)),
            TcpOption::Nop => {}
            TcpOption::Unknown { kind, .. } => panic!("wrote an unknown option {kind}"),
        }
    }
    assert!(mss.is_none() && window_scale.is_none() && !sack_permitted);
    assert!(timestamps.is_none() && fast_open.is_none());
}

fn sums(bytes: &[u8]) {
    let check = checksum::checksum(bytes);
    let theirs = etherparse::checksum::Sum16BitWords::new().add_slice(bytes).ones_complement();
    assert_eq!(check, theirs.to_be());
    let (head, tail) = bytes.split_at(bytes.len() / 4 * 2);
    assert_eq!(Checksum::ZERO.add(head).add(tail).finish(), check);
    if let [a, b, c, d, rest @ ..] = bytes {
        // The first word becomes the second; zero in all words has two spellings.
        let (old, new) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        let again = Checksum::ZERO.add_u16(new).add_u16(new).add(rest).finish();
        let updated = checksum::update16(check, old, new);
        assert!(updated == again || new == 0 && rest.iter().all(|byte| *byte == 0));
    }
}

fn texts(text: &str) {
    if let Ok(mac) = text.parse::<MacAddr>() {
        assert_eq!(mac.to_string().parse(), Ok(mac));
    }
    if let Ok(cidr) = text.parse::<Ipv4Cidr>() {
        assert_eq!(cidr.to_string().parse(), Ok(cidr));
        assert!(cidr.contains(cidr.network()) && cidr.contains(cidr.addr()));
    }
    if let Ok(cidr) = text.parse::<IpCidr>() {
        assert_eq!(cidr.to_string().parse(), Ok(cidr));
        assert!(cidr.contains(cidr.network()) && cidr.contains(cidr.addr()));
    }
}
