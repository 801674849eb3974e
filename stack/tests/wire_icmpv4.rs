//! ICMPv4 against etherparse, pnet_packet and smoltcp.

use std::net::Ipv4Addr;

use etherparse::icmpv4::{
    DestUnreachableHeader, ParameterProblemHeader, RedirectHeader, TimeExceededCode,
    TimestampMessage,
};
use etherparse::{IcmpEchoHeader, Icmpv4Header, Icmpv4Slice, Icmpv4Type};
use pnet_packet::Packet;
use pnet_packet::icmp::destination_unreachable::DestinationUnreachablePacket;
use pnet_packet::icmp::echo_request::{EchoRequestPacket, MutableEchoRequestPacket};
use pnet_packet::icmp::{IcmpPacket, IcmpType};
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr};
use tapping_stack::wire::icmpv4::{fill_checksum, header_len, parameter_problem};
use tapping_stack::wire::{Icmpv4, Message, TimeExceeded, Unreachable};

fn message() -> impl Strategy<Value = Message> {
    let echo = (any::<u16>(), any::<u16>());
    let times = (any::<u32>(), any::<u32>(), any::<u32>());
    prop_oneof![
        echo.prop_map(|(ident, sequence)| Message::Echo { ident, sequence }),
        echo.prop_map(|(ident, sequence)| Message::EchoReply { ident, sequence }),
        (0..20u8, any::<u16>()).prop_map(|(code, mtu)| {
            Message::DestinationUnreachable(Unreachable::from_code(code, mtu))
        }),
        (0..6u8, any::<Ipv4Addr>())
            .prop_map(|(code, gateway)| Message::Redirect { code: code.into(), gateway }),
        (0..4u8).prop_map(|code| Message::TimeExceeded(code.into())),
        (0..4u8, any::<u8>())
            .prop_map(|(code, pointer)| Message::ParameterProblem { code, pointer }),
        (echo, times).prop_map(|((ident, sequence), (originate, receive, transmit))| {
            Message::Timestamp { ident, sequence, originate, receive, transmit }
        }),
        (echo, times).prop_map(|((ident, sequence), (originate, receive, transmit))| {
            Message::TimestampReply { ident, sequence, originate, receive, transmit }
        }),
        (echo, any::<Ipv4Addr>()).prop_map(|((ident, sequence), mask)| {
            Message::AddressMaskReply { ident, sequence, mask }
        }),
        echo.prop_map(|(ident, sequence)| Message::InformationRequest { ident, sequence }),
        (any::<u8>(), any::<u8>(), any::<u16>()).prop_map(|(count, entry_words, lifetime)| {
            Message::RouterAdvertisement { count, entry_words, lifetime }
        }),
        Just(Message::RouterSolicitation),
        Just(Message::SourceQuench),
    ]
}

/// The same message as etherparse has it; types and codes that it does not name as raw bytes.
fn as_etherparse(message: &Message, bytes: &[u8]) -> Icmpv4Type {
    let raw = Icmpv4Type::Unknown {
        type_u8: bytes[0],
        code_u8: bytes[1],
        bytes5to8: bytes[4..8].try_into().unwrap(),
    };
    let stamp = |id, seq, originate, receive, transmit| TimestampMessage {
        id,
        seq,
        originate_timestamp: originate,
        receive_timestamp: receive,
        transmit_timestamp: transmit,
    };
    match *message {
        Message::Echo { ident, sequence } => {
            Icmpv4Type::EchoRequest(IcmpEchoHeader { id: ident, seq: sequence })
        }
        Message::EchoReply { ident, sequence } => {
            Icmpv4Type::EchoReply(IcmpEchoHeader { id: ident, seq: sequence })
        }
        Message::DestinationUnreachable(reason) => {
            let mtu = match reason {
                Unreachable::FragmentationNeeded { mtu } => mtu,
                _ => 0,
            };
            DestUnreachableHeader::from_values(reason.code(), mtu)
                .map_or(raw, Icmpv4Type::DestinationUnreachable)
        }
        Message::Redirect { code, gateway } => {
            etherparse::icmpv4::RedirectCode::from_u8(code.code()).map_or(raw, |code| {
                let gateway_internet_address = gateway.octets();
                Icmpv4Type::Redirect(RedirectHeader { code, gateway_internet_address })
            })
        }
        Message::TimeExceeded(TimeExceeded::Transit) => {
            Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit)
        }
        Message::TimeExceeded(TimeExceeded::Reassembly) => {
            Icmpv4Type::TimeExceeded(TimeExceededCode::FragmentReassemblyTimeExceeded)
        }
        Message::ParameterProblem { code, pointer } => {
            let problem = match code {
                parameter_problem::POINTER => {
                    ParameterProblemHeader::PointerIndicatesError(pointer)
                }
                parameter_problem::MISSING_OPTION => ParameterProblemHeader::MissingRequiredOption,
                parameter_problem::BAD_LENGTH => ParameterProblemHeader::BadLength,
                _ => return raw,
            };
            Icmpv4Type::ParameterProblem(problem)
        }
        Message::Timestamp { ident, sequence, originate, receive, transmit } => {
            let message = stamp(ident, sequence, originate, receive, transmit);
            Icmpv4Type::TimestampRequest(message)
        }
        Message::TimestampReply { ident, sequence, originate, receive, transmit } => {
            let message = stamp(ident, sequence, originate, receive, transmit);
            Icmpv4Type::TimestampReply(message)
        }
        _ => raw,
    }
}

/// The message in bytes with its checksum; timestamps, whose length is fixed, without a payload.
fn emit(message: &Message, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff; message.header_len()];
    message.emit(&mut bytes);
    if message.header_len() == 8 {
        bytes.extend_from_slice(payload);
    }
    fill_checksum(&mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn we_emit_we_and_they_read(
        message in message(),
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let bytes = emit(&message, &payload);
        let ours = Icmpv4::parse(&bytes).unwrap();
        prop_assert_eq!(ours.message(), message);
        prop_assert!(ours.verify_checksum());
        prop_assert_eq!(ours.payload(), &bytes[8..]);

        let theirs = Icmpv4Slice::from_slice(&bytes).unwrap();
        let expected = as_etherparse(&message, &bytes);
        prop_assert_eq!(theirs.icmp_type(), expected.clone());
        prop_assert_eq!(theirs.checksum(), ours.checksum());
        // It knows no pointer for codes 1 and 2, and writes none.
        let no_pointer = matches!(message, Message::ParameterProblem { code: 1..=2, .. });
        let their_payload = theirs.payload();
        if !no_pointer {
            prop_assert_eq!(expected.calc_checksum(their_payload), ours.checksum());
        }

        let theirs = IcmpPacket::new(&bytes).unwrap();
        prop_assert_eq!(theirs.get_icmp_type(), IcmpType(message.icmp_type()));
        prop_assert_eq!(theirs.get_icmp_code().0, message.code());
        prop_assert_eq!(theirs.get_checksum(), pnet_packet::icmp::checksum(&theirs));
        match message {
            Message::Echo { ident, sequence } => {
                let theirs = EchoRequestPacket::new(&bytes).unwrap();
                prop_assert_eq!(theirs.get_identifier(), ident);
                prop_assert_eq!(theirs.get_sequence_number(), sequence);
                prop_assert_eq!(theirs.payload(), &payload[..]);
            }
            Message::DestinationUnreachable(Unreachable::FragmentationNeeded { mtu }) => {
                let theirs = DestinationUnreachablePacket::new(&bytes).unwrap();
                prop_assert_eq!(theirs.get_next_hop_mtu(), mtu);
            }
            _ => {}
        }

        let theirs = Icmpv4Packet::new_checked(&bytes[..]).unwrap();
        prop_assert_eq!(u8::from(theirs.msg_type()), message.icmp_type());
        prop_assert_eq!(theirs.msg_code(), message.code());
        prop_assert!(theirs.verify_checksum());
        prop_assert_eq!(theirs.data(), ours.payload());
        if let Message::Echo { ident, sequence } = message {
            let data = &payload[..];
            let expected = Icmpv4Repr::EchoRequest { ident, seq_no: sequence, data };
            let checks = ChecksumCapabilities::default();
            prop_assert_eq!(Icmpv4Repr::parse(&Icmpv4Packet::new_unchecked(&bytes), &checks), Ok(expected));
        }
    }

    #[test]
    fn they_emit_we_read(
        message in message(),
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let bytes = emit(&message, &payload);
        let rest = &bytes[message.header_len()..];
        let header = Icmpv4Header::with_checksum(as_etherparse(&message, &bytes), &bytes[8..]);
        // Types that it has no fields for end after 8 bytes, with the others in the payload.
        let header = header.to_bytes();
        let by_etherparse = [&header[..], &bytes[header.len()..]].concat();
        let ours = Icmpv4::parse(&by_etherparse).unwrap();
        match message {
            Message::ParameterProblem { code, .. } => {
                prop_assert_eq!(ours.code(), code);
            }
            _ => prop_assert_eq!(ours.message(), message),
        }
        prop_assert_eq!(&by_etherparse[message.header_len()..], rest);

        if let Message::Echo { ident, sequence } = message {
            let mut by_pnet = vec![0; bytes.len()];
            let mut packet = MutableEchoRequestPacket::new(&mut by_pnet).unwrap();
            packet.set_icmp_type(IcmpType(8));
            packet.set_identifier(ident);
            packet.set_sequence_number(sequence);
            packet.set_payload(&payload);
            let check = pnet_packet::icmp::checksum(&IcmpPacket::new(packet.packet()).unwrap());
            packet.set_checksum(check);

            let mut by_smoltcp = vec![0; bytes.len()];
            let repr = Icmpv4Repr::EchoRequest { ident, seq_no: sequence, data: &payload };
            let mut packet = Icmpv4Packet::new_unchecked(&mut by_smoltcp);
            repr.emit(&mut packet, &ChecksumCapabilities::default());

            for theirs in [by_pnet, by_smoltcp] {
                prop_assert_eq!(theirs, &bytes[..]);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        mut bytes in prop::collection::vec(any::<u8>(), 0..64),
        icmp_type in 0..20u8,
        code in 0..3u8,
    ) {
        if let [first, second, ..] = &mut bytes[..] {
            (*first, *second) = (icmp_type, code);
        }
        let ours = Icmpv4::parse(&bytes);
        prop_assert_eq!(ours.is_ok(), bytes.len() >= header_len(icmp_type).max(8));
        // etherparse wants timestamps exactly as long as they are, smoltcp eight bytes of anything.
        let stamp = matches!(icmp_type, 13 | 14) && code == 0;
        let theirs = Icmpv4Slice::from_slice(&bytes);
        if let (Ok(ours), false) = (&ours, stamp && bytes.len() > 20) {
            prop_assert_eq!(theirs.unwrap().bytes5to8(), ours.rest());
        }
        let theirs = Icmpv4Packet::new_checked(&bytes[..]);
        prop_assert!(theirs.is_ok() || ours.is_err());

        let Ok(ours) = ours else { return Ok(()) };
        prop_assert!(ours.routers().count() <= bytes.len() / 8);
        prop_assert_eq!(ours.verify_checksum(), theirs.unwrap().verify_checksum());
        let message = ours.message();
        let mut again = bytes.clone();
        message.emit(&mut again);
        prop_assert_eq!(Icmpv4::parse(&again).unwrap().message(), message);
        fill_checksum(&mut again);
        prop_assert!(Icmpv4::parse(&again).unwrap().verify_checksum());
    }
}
