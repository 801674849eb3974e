//! IPv4 headers and options against etherparse, pnet_packet and smoltcp.

use std::net::Ipv4Addr;

use pnet_packet::Packet;
use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::{Ipv4Packet, MutableIpv4Packet};
use proptest::prelude::*;
use tapping_stack::wire::ipv4_options::{END, NOP, RA, RR, TS, pad, padded_len, record_route};
use tapping_stack::wire::ipv4_options::{LSRR, SSRR, record_timestamp};
use tapping_stack::wire::{Ipv4, Ipv4Options, Ipv4Repr, Protocol, WireErrorKind, ipv4};

/// A header with its options, and a payload.
type Parts = (Ipv4Repr, Vec<u8>, Vec<u8>);

fn parts() -> impl Strategy<Value = Parts> {
    let words = prop::collection::vec(any::<[u8; 4]>(), 0..=10);
    let payload = prop::collection::vec(any::<u8>(), 0..64);
    let bits = (any::<u8>(), any::<u16>(), any::<bool>(), any::<bool>(), 0..8192usize);
    let rest = (any::<u8>(), any::<u8>(), any::<Ipv4Addr>(), any::<Ipv4Addr>());
    (bits, rest, words, payload).prop_map(|(bits, rest, words, payload)| {
        let (tos, id, dont_fragment, more_fragments, offset) = bits;
        let (ttl, protocol, src, dst) = rest;
        let options = words.concat();
        let repr = Ipv4Repr {
            tos,
            id,
            dont_fragment,
            more_fragments,
            fragment_offset: offset * 8,
            ttl,
            protocol: Protocol(protocol),
            src,
            dst,
            total_len: (ipv4::HEADER_LEN + options.len() + payload.len()) as u16,
            options_len: options.len(),
        };
        (repr, options, payload)
    })
}

fn emit((repr, options, payload): &Parts) -> Vec<u8> {
    let mut bytes = vec![0xff; ipv4::HEADER_LEN];
    bytes.extend_from_slice(options);
    bytes.extend_from_slice(payload);
    repr.emit(&mut bytes);
    bytes
}

/// A header near the limits of what is valid: lengths off by a little, any version.
fn nearly_valid() -> impl Strategy<Value = Vec<u8>> {
    let version_ihl = prop_oneof![4 => 0x40..=0x4fu8, 1 => any::<u8>()];
    let bytes = prop::collection::vec(any::<u8>(), 0..90);
    (bytes, version_ihl, prop_oneof![3 => 0..100u16, 1 => any::<u16>()]).prop_map(
        |(mut bytes, version_ihl, total_len)| {
            if bytes.len() >= 4 {
                bytes[0] = version_ihl;
                bytes[2..4].copy_from_slice(&total_len.to_be_bytes());
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn we_emit_we_and_they_read(parts in parts(), padding in 0..20usize) {
        let (repr, options, payload) = &parts;
        let packet = emit(&parts);
        let padded = [&packet[..], &vec![0xaa; padding]].concat();
        let ours = Ipv4::parse(&padded).unwrap();
        prop_assert_eq!(Ipv4Repr::from_view(&ours), *repr);
        prop_assert_eq!(ours.options(), &options[..]);
        prop_assert_eq!(ours.payload(), &payload[..]);
        prop_assert_eq!([ours.header(), ours.payload()].concat(), packet);
        prop_assert!(ours.verify_checksum());

        let theirs = etherparse::Ipv4HeaderSlice::from_slice(&padded).unwrap();
        prop_assert_eq!(theirs.dcp().value() << 2 | theirs.ecn().value(), repr.tos);
        prop_assert_eq!(theirs.total_len(), repr.total_len);
        prop_assert_eq!(theirs.identification(), repr.id);
        prop_assert_eq!(theirs.dont_fragment(), repr.dont_fragment);
        prop_assert_eq!(theirs.more_fragments(), repr.more_fragments);
        let offset = usize::from(theirs.fragments_offset().byte_offset());
        prop_assert_eq!(offset, repr.fragment_offset);
        prop_assert_eq!(theirs.is_fragmenting_payload(), ours.is_fragment());
        prop_assert_eq!((theirs.ttl(), theirs.protocol().0), (repr.ttl, repr.protocol.0));
        prop_assert_eq!(theirs.source_addr(), repr.src);
        prop_assert_eq!(theirs.destination_addr(), repr.dst);
        prop_assert_eq!(theirs.options(), &options[..]);
        prop_assert_eq!(theirs.header_checksum(), theirs.to_header().calc_header_checksum());

        let theirs = Ipv4Packet::new(&padded).unwrap();
        prop_assert_eq!(theirs.get_dscp() << 2 | theirs.get_ecn(), repr.tos);
        prop_assert_eq!(usize::from(theirs.get_header_length()) * 4, repr.header_len());
        prop_assert_eq!(theirs.get_total_length(), repr.total_len);
        prop_assert_eq!(theirs.get_identification(), repr.id);
        let flags = u8::from(repr.dont_fragment) << 1 | u8::from(repr.more_fragments);
        prop_assert_eq!(theirs.get_flags(), flags);
        prop_assert_eq!(usize::from(theirs.get_fragment_offset()) * 8, repr.fragment_offset);
        prop_assert_eq!(theirs.get_ttl(), repr.ttl);
        prop_assert_eq!(theirs.get_next_level_protocol().0, repr.protocol.0);
        prop_assert_eq!((theirs.get_source(), theirs.get_destination()), (repr.src, repr.dst));
        prop_assert_eq!(theirs.get_options_raw(), &options[..]);
        prop_assert_eq!(theirs.payload(), &payload[..]);
        prop_assert_eq!(theirs.get_checksum(), pnet_packet::ipv4::checksum(&theirs));

        let theirs = smoltcp::wire::Ipv4Packet::new_checked(&padded[..]).unwrap();
        prop_assert_eq!(theirs.dscp() << 2 | theirs.ecn(), repr.tos);
        prop_assert_eq!(usize::from(theirs.header_len()), repr.header_len());
        prop_assert_eq!((theirs.total_len(), theirs.ident()), (repr.total_len, repr.id));
        prop_assert_eq!(theirs.dont_frag(), repr.dont_fragment);
        prop_assert_eq!(theirs.more_frags(), repr.more_fragments);
        prop_assert_eq!(usize::from(theirs.frag_offset()), repr.fragment_offset);
        prop_assert_eq!(theirs.hop_limit(), repr.ttl);
        prop_assert_eq!(u8::from(theirs.next_header()), repr.protocol.0);
        prop_assert_eq!((theirs.src_addr(), theirs.dst_addr()), (repr.src, repr.dst));
        prop_assert_eq!(theirs.payload(), &payload[..]);
        prop_assert!(theirs.verify_checksum());
    }

    #[test]
    fn they_emit_we_read(parts in parts()) {
        let (repr, options, payload) = &parts;
        let mut header = etherparse::Ipv4Header {
            dscp: etherparse::IpDscp::try_new(repr.tos >> 2).unwrap(),
            ecn: etherparse::IpEcn::try_new(repr.tos & 3).unwrap(),
            total_len: repr.total_len,
            identification: repr.id,
            dont_fragment: repr.dont_fragment,
            more_fragments: repr.more_fragments,
            fragment_offset: ((repr.fragment_offset / 8) as u16).try_into().unwrap(),
            time_to_live: repr.ttl,
            protocol: etherparse::IpNumber(repr.protocol.0),
            header_checksum: 0,
            source: repr.src.octets(),
            destination: repr.dst.octets(),
            options: (&options[..]).try_into().unwrap(),
        };
        header.header_checksum = header.calc_header_checksum();
        let by_etherparse = [&header.to_bytes()[..], payload].concat();

        let mut by_pnet = vec![0; by_etherparse.len()];
        let mut packet = MutableIpv4Packet::new(&mut by_pnet).unwrap();
        packet.set_version(4);
        packet.set_header_length((repr.header_len() / 4) as u8);
        packet.set_dscp(repr.tos >> 2);
        packet.set_ecn(repr.tos & 3);
        packet.set_total_length(repr.total_len);
        packet.set_identification(repr.id);
        packet.set_flags(u8::from(repr.dont_fragment) << 1 | u8::from(repr.more_fragments));
        packet.set_fragment_offset((repr.fragment_offset / 8) as u16);
        packet.set_ttl(repr.ttl);
        packet.set_next_level_protocol(IpNextHeaderProtocol(repr.protocol.0));
        packet.set_source(repr.src);
        packet.set_destination(repr.dst);
        packet.get_options_raw_mut().copy_from_slice(options);
        packet.set_payload(payload);
        let check = pnet_packet::ipv4::checksum(&packet.to_immutable());
        packet.set_checksum(check);

        let mut by_smoltcp = vec![0; by_etherparse.len()];
        by_smoltcp[ipv4::HEADER_LEN..repr.header_len()].copy_from_slice(options);
        let mut packet = smoltcp::wire::Ipv4Packet::new_unchecked(&mut by_smoltcp[..]);
        packet.set_version(4);
        packet.set_header_len(repr.header_len() as u8);
        packet.set_dscp(repr.tos >> 2);
        packet.set_ecn(repr.tos & 3);
        packet.set_total_len(repr.total_len);
        packet.set_ident(repr.id);
        packet.clear_flags();
        packet.set_dont_frag(repr.dont_fragment);
        packet.set_more_frags(repr.more_fragments);
        packet.set_frag_offset(repr.fragment_offset as u16);
        packet.set_hop_limit(repr.ttl);
        packet.set_next_header(repr.protocol.0.into());
        packet.set_src_addr(repr.src);
        packet.set_dst_addr(repr.dst);
        packet.payload_mut().copy_from_slice(payload);
        packet.fill_checksum();

        for bytes in [by_etherparse, by_pnet, by_smoltcp] {
            let ours = Ipv4::parse(&bytes).unwrap();
            prop_assert_eq!(Ipv4Repr::from_view(&ours), *repr);
            prop_assert_eq!((ours.options(), ours.payload()), (&options[..], &payload[..]));
            prop_assert!(ours.verify_checksum());
        }
    }

    #[test]
    fn validity(bytes in nearly_valid()) {
        let ours = Ipv4::parse(&bytes);
        // etherparse also looks into an authentication header (protocol 51); its header and the
        // total length are what we check.
        let theirs = etherparse::Ipv4HeaderSlice::from_slice(&bytes).is_ok_and(|header| {
            let total_len = usize::from(header.total_len());
            (header.slice().len()..=bytes.len()).contains(&total_len)
        });
        prop_assert_eq!(ours.is_ok(), theirs);
        // smoltcp leaves the version to a later step.
        let theirs = smoltcp::wire::Ipv4Packet::new_checked(&bytes[..]);
        let theirs = theirs.is_ok_and(|packet| packet.version() == 4);
        prop_assert_eq!(ours.is_ok(), theirs);
        if let Err(error) = ours {
            match error.kind {
                WireErrorKind::BadVersion => prop_assert_ne!(error.had, 4),
                _ => prop_assert!(error.had < error.needed),
            }
        }
    }

    #[test]
    fn setters_equal_emitting_anew(old in parts(), new in parts(), ttl in any::<u8>()) {
        let (mut repr, options, payload) = old.clone();
        let mut bytes = emit(&old);
        ipv4::set_ttl(&mut bytes, ttl);
        prop_assert_eq!(ipv4::decrement_ttl(&mut bytes), ttl.saturating_sub(1));
        ipv4::set_tos(&mut bytes, new.0.tos);
        ipv4::set_id(&mut bytes, new.0.id);
        ipv4::set_src(&mut bytes, new.0.src);
        ipv4::set_dst(&mut bytes, new.0.dst);
        let total_len = repr.header_len() as u16;
        ipv4::set_total_len(&mut bytes, total_len);

        repr.ttl = ttl.saturating_sub(1);
        repr.tos = new.0.tos;
        repr.id = new.0.id;
        repr.src = new.0.src;
        repr.dst = new.0.dst;
        repr.total_len = total_len;
        let anew = emit(&(repr, options, payload));
        prop_assert_eq!(&bytes, &anew);
        bytes[10] ^= 0xff;
        ipv4::fill_checksum(&mut bytes);
        prop_assert_eq!(bytes, anew);
    }

    #[test]
    fn options_we_read_as_pnet_does(list in option_list()) {
        let mut bytes = list.concat();
        bytes.truncate(40);
        let len = bytes.len();
        bytes.resize(padded_len(len), 0xff);
        pad(&mut bytes, len);

        let ours: Vec<_> = Ipv4Options::new(&bytes).map_while(Result::ok).collect();
        // Theirs goes on past END, and cuts short an option that ours refuses; so it is asked for
        // no more than ours read. It takes options for END and NOP by their number alone.
        let odd = |kind: u8| kind & 0x1f <= NOP && kind != NOP;
        let common = ours.iter().take_while(|option| !odd(option.kind())).count();
        let mut packet = vec![0x45 + (bytes.len() / 4) as u8; ipv4::HEADER_LEN];
        packet.extend_from_slice(&bytes);
        let packet = Ipv4Packet::new(&packet).unwrap();
        let theirs: Vec<_> = packet.get_options_iter().take(common).collect();
        prop_assert_eq!(theirs.len(), common);
        for (ours, theirs) in ours.iter().zip(&theirs) {
            prop_assert_eq!(ours.kind() & 0x1f, theirs.get_number().0);
            prop_assert_eq!(ours.kind() >> 5 & 3, theirs.get_class());
            prop_assert_eq!(ours.copied(), theirs.get_copied() == 1);
            let data = ours.data().get(2..).unwrap_or_default();
            prop_assert_eq!(data, theirs.payload());
        }
        let consumed: usize = ours.iter().map(|option| option.data().len()).sum();
        let rest = &bytes[consumed..];
        let error = Ipv4Options::new(&bytes).find_map(Result::err);
        match rest {
            [] | [END, ..] => prop_assert_eq!(error, None),
            _ => prop_assert_eq!(error.map(|error| error.offset), Some(consumed)),
        }
    }

    #[test]
    fn any_options_end_and_typed_readers_hold(
        mut bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..=40),
            option_list().prop_map(|list| list.concat()),
        ],
        addr in any::<Ipv4Addr>(),
        time in any::<u32>(),
        own in any::<bool>(),
    ) {
        let mut at = 0;
        let mut spans = Vec::new();
        for option in Ipv4Options::new(&bytes) {
            let Ok(option) = option else { break };
            prop_assert_eq!(option.offset(), at);
            at += option.data().len();
            spans.push(option.offset()..at);
            let len = option.data().len();
            for error in [option.route().err(), option.timestamp().err()].into_iter().flatten() {
                let within = option.offset()..=option.offset() + len;
                prop_assert!(within.contains(&error.offset));
            }
            if let Ok(route) = option.route() {
                prop_assert_eq!(route.room() == 0, route.is_full());
                let slots = route.recorded().count() + route.room();
                prop_assert!(slots <= (len - 3) / 4);
                prop_assert!(route.addresses().count() >= slots);
            }
            if let Ok(stamps) = option.timestamp() {
                prop_assert_eq!(stamps.room() == 0, stamps.is_full());
                prop_assert!(stamps.recorded().count() + stamps.room() <= (len - 4) / 4);
            }
        }
        for span in spans {
            let option = &mut bytes[span];
            let before = option.to_vec();
            let recorded = record_route(option, addr);
            prop_assert_eq!(recorded == Ok(true), option != &before[..]);
            let mut again = before.clone();
            let stamped = record_timestamp(&mut again, addr, time, |_| own);
            prop_assert_eq!(stamped == Ok(true), again != before);
            prop_assert!(again.iter().zip(&before).take(2).all(|(new, old)| new == old));
        }
    }
}

/// Options that mean something, and some whose length is wrong.
fn option_list() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let routes = prop_oneof![Just(RR), Just(LSRR), Just(SSRR)];
    let route = (routes, 0..=9usize, any::<u8>()).prop_map(|(kind, slots, pointer)| {
        let len = 3 + 4 * slots;
        let pointer = if pointer < 128 { pointer / 32 * 4 + 4 } else { pointer };
        let mut option = vec![kind, len as u8, pointer];
        option.resize(len, 0x0a);
        option
    });
    let stamp = (0..=4usize, 0..=4u8, any::<u8>()).prop_map(|(entries, flag, pointer)| {
        let len = 4 + 8 * entries;
        let pointer = if pointer < 128 { pointer / 32 * 8 + 5 } else { pointer };
        let mut option = vec![TS, len as u8, pointer, flag | pointer & 0xf0];
        option.resize(len, 0x0b);
        option
    });
    let any_option = (2..=255u8, 0..12u8).prop_map(|(kind, len)| {
        let mut option = vec![kind, len];
        option.resize(usize::from(len).max(2), 7);
        option
    });
    let option = prop_oneof![
        Just(vec![NOP]),
        Just(vec![RA, 4, 0, 0]),
        route,
        stamp,
        any_option,
        Just(vec![END]),
    ];
    prop::collection::vec(option, 0..6)
}
