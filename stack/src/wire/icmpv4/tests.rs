use std::vec;
use std::vec::Vec;

use super::*;
use crate::wire::WireErrorKind;

/// One message of every type, and every code of those that have several.
fn every_message() -> Vec<Message> {
    let (ident, sequence) = (0x1234, 0xfffe);
    let (originate, receive, transmit) = (1, 0x8000_0002, 86_399_999);
    let mask = Ipv4Addr::new(255, 255, 254, 0);
    let gateway = Ipv4Addr::new(10, 0, 0, 254);
    let mut all = vec![
        Message::EchoReply { ident, sequence },
        Message::SourceQuench,
        Message::Echo { ident, sequence },
        Message::RouterAdvertisement { count: 2, entry_words: 2, lifetime: 1800 },
        Message::RouterSolicitation,
        Message::Timestamp { ident, sequence, originate, receive, transmit },
        Message::TimestampReply { ident, sequence, originate, receive, transmit },
        Message::InformationRequest { ident, sequence },
        Message::InformationReply { ident, sequence },
        Message::AddressMaskRequest { ident, sequence, mask },
        Message::AddressMaskReply { ident, sequence, mask },
        Message::Unknown { icmp_type: 42, code: 1, rest: [1, 2, 3, 4] },
    ];
    for code in 0..=16 {
        all.push(Message::DestinationUnreachable(Unreachable::from_code(code, 1400)));
        all.push(Message::Redirect { code: code.into(), gateway });
        all.push(Message::TimeExceeded(code.into()));
        all.push(Message::ParameterProblem { code, pointer: 20 });
    }
    all
}

#[test]
fn every_message_survives_the_round_trip() {
    for message in every_message() {
        let mut bytes = vec![0xff; message.header_len() + 5];
        message.emit(&mut bytes);
        fill_checksum(&mut bytes);
        let icmp = Icmpv4::parse(&bytes).unwrap();
        assert_eq!(icmp.message(), message);
        assert_eq!((icmp.icmp_type(), icmp.code()), (message.icmp_type(), message.code()));
        assert!(icmp.verify_checksum());
        assert_eq!(icmp.payload(), &bytes[8..]);
        assert!(Icmpv4::parse(&bytes[..message.header_len()]).is_ok());
        let short = Icmpv4::parse(&bytes[..message.header_len() - 1]).unwrap_err();
        assert_eq!((short.kind, short.needed), (WireErrorKind::Truncated, message.header_len()));
        bytes[6] ^= 4;
        assert!(!Icmpv4::parse(&bytes).unwrap().verify_checksum());
    }
}

#[test]
fn codes_are_those_of_the_rfcs() {
    let code = |reason: Unreachable| reason.code();
    assert_eq!(code(Unreachable::Port), 3);
    assert_eq!(code(Unreachable::FragmentationNeeded { mtu: 9 }), 4);
    assert_eq!(code(Unreachable::HostProhibited), 10);
    assert_eq!(code(Unreachable::CommunicationProhibited), 13);
    for value in 0..=255 {
        assert_eq!(Unreachable::from_code(value, 0).code(), value);
        assert_eq!(RedirectCode::from(value).code(), value);
        assert_eq!(TimeExceeded::from(value).code(), value);
    }
}

#[test]
fn known_bytes() {
    // Fragmentation needed, MTU 1400 in the low half of the second word (RFC 1191 §4).
    let bytes = [3, 4, 0, 0, 0, 0, 0x05, 0x78];
    let message = Icmpv4::parse(&bytes).unwrap().message();
    let expected = Unreachable::FragmentationNeeded { mtu: 1400 };
    assert_eq!(message, Message::DestinationUnreachable(expected));
    // Echo request, with a code that nothing assigns: still one.
    let bytes = [8, 9, 0, 0, 0x12, 0x34, 0, 1];
    let icmp = Icmpv4::parse(&bytes).unwrap();
    assert_eq!(icmp.message(), Message::Echo { ident: 0x1234, sequence: 1 });
    assert_eq!((icmp.ident(), icmp.sequence(), icmp.rest()), (0x1234, 1, [0x12, 0x34, 0, 1]));
}

#[test]
fn errors_are_told_from_queries() {
    let errors: Vec<u8> = (0..=255).filter(|icmp_type| is_error(*icmp_type)).collect();
    assert_eq!(errors, [3, 4, 5, 11, 12]);
}

#[test]
fn routers_of_an_advertisement() {
    let advertisement = |count, entry_words, entries: &[u8]| {
        let mut bytes = vec![0; 8];
        Message::RouterAdvertisement { count, entry_words, lifetime: 1800 }.emit(&mut bytes);
        bytes.extend_from_slice(entries);
        Icmpv4::parse(&bytes).unwrap().routers().collect::<Vec<_>>()
    };
    let entries = [10, 0, 0, 1, 0, 0, 0, 5, 10, 0, 0, 2, 0x80, 0, 0, 0];
    let first = (Ipv4Addr::new(10, 0, 0, 1), 5);
    let second = (Ipv4Addr::new(10, 0, 0, 2), i32::MIN);
    assert_eq!(advertisement(2, 2, &entries), [first, second]);
    assert_eq!(advertisement(1, 2, &entries), [first]);
    assert_eq!(advertisement(255, 2, &entries), [first, second], "no more than are there");
    assert_eq!(advertisement(2, 2, &entries[..15]), [first]);
    assert_eq!(advertisement(1, 4, &entries), [first], "longer entries are skipped over whole");
    assert_eq!(advertisement(2, 1, &entries), []);
    assert_eq!(advertisement(2, 0, &entries), []);
    assert_eq!(Icmpv4::parse(&[8; 24]).unwrap().routers().count(), 0);
}
