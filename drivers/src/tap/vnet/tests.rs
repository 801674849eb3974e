use proptest::prelude::*;
use tapping_stack::wire::{EtherType, EthernetRepr, MacAddr};

use super::*;

fn sums() -> impl Strategy<Value = Sum> {
    prop_oneof![
        Just(Sum::Unknown),
        Just(Sum::Valid),
        (0..200u16, 0..40u16).prop_map(|(start, offset)| Sum::Needed { start, offset }),
    ]
}

fn larges() -> impl Strategy<Value = Large> {
    let kind = prop_oneof![Just(Kind::TcpV4), Just(Kind::TcpV6), Just(Kind::Udp)];
    (kind, any::<bool>(), 1..=u16::MAX, any::<u16>()).prop_map(|(kind, ecn, size, headers)| Large {
        kind,
        ecn: ecn && kind != Kind::Udp,
        size,
        headers,
    })
}

/// An Ethernet header, perhaps tags, and whatever behind it.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    (0..3usize, prop::collection::vec(any::<u8>(), 0..400)).prop_map(|(tags, rest)| {
        let mut frame = vec![0; 14 + 4 * tags];
        let (src, dst) = (MacAddr([2; 6]), MacAddr([4; 6]));
        let ethertype = if tags > 0 { EtherType::VLAN } else { EtherType::IPV4 };
        EthernetRepr { dst, src, ethertype }.emit(&mut frame);
        for tag in 1..=tags {
            let inner: u16 = if tag < tags { 0x8100 } else { 0x0800 };
            frame[12 + 4 * tag..14 + 4 * tag].copy_from_slice(&inner.to_be_bytes());
        }
        frame.extend(rest);
        frame
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_header_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut packet = Packet::from_slice(&bytes);
        match take(&mut packet) {
            Ok(()) => {
                prop_assert_eq!(packet.bytes(), &bytes[LEN..]);
                if let ChecksumState::Partial { start, offset } = packet.meta.checksum {
                    let network = network_offset(packet.bytes());
                    let field = network + usize::from(start) + usize::from(offset);
                    prop_assert!(field + 2 <= packet.len());
                }
                prop_assert!(packet.meta.gso.is_none_or(|gso| gso.size > 0 && gso.segments > 0));
            }
            Err(_) => prop_assert_eq!(packet.bytes(), &bytes[..]),
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written(
        sum in sums(),
        large in prop::option::of(larges()),
        frame in prop::collection::vec(any::<u8>(), 242..300),
    ) {
        let header = Header { sum, large };
        let mut bytes = [0xff; LEN];
        header.emit(&mut bytes);
        let bytes = [&bytes[..], &frame].concat();
        prop_assert_eq!(Header::parse(&bytes), Ok((header, &frame[..])));
    }

    /// What is received and sent on is the same to the next kernel.
    #[test]
    fn what_a_packet_is_survives_the_header(
        frame in frames(),
        place in prop::option::of((0..400u16, 0..40u16)),
        gso in prop::option::of((any::<bool>(), any::<bool>(), 1..=u16::MAX)),
    ) {
        let mut packet = Packet::from_slice(&frame);
        let network = network_offset(&frame);
        let (start, offset) = place.unwrap_or_default();
        let inside = network + usize::from(start) + usize::from(offset) + 2 <= frame.len();
        if place.is_some() && inside {
            packet.meta.checksum = ChecksumState::Partial { start, offset };
        }
        packet.meta.gso = gso.map(|(tcp, ecn, size)| {
            let kind = if tcp { GsoKind::TcpV4 { ecn } } else { GsoKind::UdpV4 };
            let payload = frame.len() - headers_len(&frame, kind);
            let segments = payload.div_ceil(size.into()).max(1) as u16;
            Gso { kind, size, segments, fixed_id: false }
        });
        let before = packet.meta;
        put(&mut packet);
        prop_assert_eq!(packet.len(), LEN + frame.len());
        packet.meta = Default::default();
        prop_assert_eq!(take(&mut packet), Ok(()));
        prop_assert_eq!(packet.bytes(), &frame[..]);
        prop_assert_eq!((packet.meta.checksum, packet.meta.gso), (before.checksum, before.gso));
    }
}

/// The layout of `linux/virtio_net.h`, byte by byte.
#[test]
fn the_bytes_are_those_of_the_kernel() {
    let bytes = [1, 0x81, 0x42, 0, 0xa8, 0x05, 0x22, 0, 0x10, 0];
    let frame = [0; 0x42];
    let all = [&bytes[..], &frame].concat();
    let header = Header {
        sum: Sum::Needed { start: 34, offset: 16 },
        large: Some(Large { kind: Kind::TcpV4, ecn: true, size: 1448, headers: 66 }),
    };
    assert_eq!(Header::parse(&all), Ok((header, &frame[..])));
    let mut written = [0; LEN];
    header.emit(&mut written);
    assert_eq!(written, bytes);
}

#[test]
fn what_cannot_be_is_refused() {
    let parse = |header: [u8; LEN]| Header::parse(&[&header[..], &[0; 60]].concat()).map(|_| ());
    assert_eq!(Header::parse(&[0; 9]), Err(HeaderError::Short { had: 9 }));
    // A field that ends with the frame, and one that does not.
    assert_eq!(parse([1, 0, 0, 0, 0, 0, 42, 0, 16, 0]), Ok(()));
    let outside = HeaderError::Sum { start: 43, offset: 16, len: 60 };
    assert_eq!(parse([1, 0, 0, 0, 0, 0, 43, 0, 16, 0]), Err(outside));
    let outside = HeaderError::Sum { start: 0xffff, offset: 0xffff, len: 60 };
    assert_eq!(parse([1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), Err(outside));
    // Without a size, with a flag that it cannot have, of kinds that nobody asked for.
    for (gso_type, size) in [(1, 0), (5, 0), (0x85, 9), (2, 9), (3, 9), (0x61, 9), (0x7f, 9)] {
        let refused = HeaderError::Gso { gso_type, size };
        assert_eq!(parse([0, gso_type, 0, 0, size as u8, 0, 0, 0, 0, 0]), Err(refused));
    }
    // Inside the frame, but in front of the network header.
    let mut packet = Packet::from_slice(&[&[1, 0, 0, 0, 0, 0, 13, 0, 0, 0][..], &[0; 60]].concat());
    assert_eq!(take(&mut packet), Err(HeaderError::Sum { start: 13, offset: 0, len: 60 }));
}
