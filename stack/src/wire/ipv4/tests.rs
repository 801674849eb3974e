use std::string::ToString;
use std::vec::Vec;

use super::*;

fn repr() -> Ipv4Repr {
    Ipv4Repr {
        tos: 0x2e,
        id: 0x1c46,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: Protocol::UDP,
        src: Ipv4Addr::new(172, 16, 10, 99),
        dst: Ipv4Addr::new(172, 16, 10, 12),
        total_len: 28,
        options_len: 0,
    }
}

#[test]
fn a_known_header() {
    // A header whose checksum, b1e6, is worked out in many texts on the subject.
    let bytes = [
        0x45, 0x00, 0x00, 0x3c, 0x1c, 0x46, 0x40, 0x00, 0x40, 0x06, 0xb1, 0xe6, 0xac, 0x10, 0x0a,
        0x63, 0xac, 0x10, 0x0a, 0x0c,
    ];
    let mut packet = bytes.to_vec();
    packet.resize(0x3c, 0);
    let ip = Ipv4::parse(&packet).unwrap();
    assert!(ip.verify_checksum());
    assert_eq!((ip.checksum(), ip.protocol(), ip.ttl()), (0xb1e6, Protocol::TCP, 64));
    assert_eq!((ip.total_len(), ip.header(), ip.payload().len()), (60, &bytes[..], 40));
    let mut out = [0xff; 20];
    Ipv4Repr::from_view(&ip).emit(&mut out);
    assert_eq!(out, bytes);
}

#[test]
fn flags_and_offset() {
    let mut bytes = [0; 28];
    let read = |bytes: &[u8]| {
        let ip = Ipv4::parse(bytes).unwrap();
        (ip.dont_fragment(), ip.more_fragments(), ip.fragment_offset(), ip.is_fragment(), ip.evil())
    };
    repr().emit(&mut bytes);
    assert_eq!(read(&bytes), (true, false, 0, false, false));
    let fragment = Ipv4Repr { dont_fragment: false, more_fragments: true, ..repr() };
    fragment.emit(&mut bytes);
    assert_eq!(read(&bytes), (false, true, 0, true, false));
    Ipv4Repr { more_fragments: false, fragment_offset: 65528, ..fragment }.emit(&mut bytes);
    assert_eq!(read(&bytes), (false, false, 65528, true, false));
    bytes[6] = 0x80;
    bytes[7] = 0;
    assert_eq!(read(&bytes), (false, false, 0, false, true));
}

#[test]
fn each_contradiction_is_named() {
    let mut good = [0u8; 28];
    repr().emit(&mut good);
    let error = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.to_vec();
        change(&mut bytes);
        let error = Ipv4::parse(&bytes).unwrap_err();
        (error.kind, error.offset, error.needed, error.had)
    };
    use WireErrorKind::*;
    assert_eq!(error(&|b| b.truncate(19)), (Truncated, 19, 20, 19));
    assert_eq!(error(&|b| b.truncate(0)), (Truncated, 0, 20, 0));
    assert_eq!(error(&|b| b[0] = 0x65), (BadVersion, 0, 4, 6));
    assert_eq!(error(&|b| b[0] = 0x44), (BadHeaderLength, 0, 20, 16));
    assert_eq!(error(&|b| b[0] = 0x48), (Truncated, 28, 32, 28));
    assert_eq!(error(&|b| b[3] = 19), (BadLength, 2, 20, 19));
    assert_eq!(error(&|b| b[3] = 29), (Truncated, 28, 29, 28));
    assert_eq!(error(&|b| b[2] = 0xff), (Truncated, 28, 0xff1c, 28));
}

#[test]
fn padding_after_the_total_length_is_left_out() {
    let mut bytes = [0xee; 46];
    let mut header = repr();
    header.options_len = 4;
    bytes[20..24].fill(1);
    header.emit(&mut bytes);
    let ip = Ipv4::parse(&bytes).unwrap();
    assert_eq!((ip.packet().len(), ip.header_len()), (28, 24));
    assert_eq!((ip.options(), ip.payload()), (&[1; 4][..], &[0xee; 4][..]));
    assert!(ip.verify_checksum());
    bytes[21] = 0;
    assert!(!Ipv4::parse(&bytes).unwrap().verify_checksum());
}

#[test]
fn setters_keep_the_checksum_right() {
    let mut bytes = [0; 28];
    repr().emit(&mut bytes);
    set_ttl(&mut bytes, 1);
    assert_eq!(decrement_ttl(&mut bytes), 0);
    assert_eq!(decrement_ttl(&mut bytes), 0);
    set_tos(&mut bytes, 3);
    set_id(&mut bytes, 0xffff);
    set_total_len(&mut bytes, 24);
    set_src(&mut bytes, Ipv4Addr::BROADCAST);
    set_dst(&mut bytes, Ipv4Addr::UNSPECIFIED);
    let ip = Ipv4::parse(&bytes).unwrap();
    let expected = Ipv4Repr {
        ttl: 0,
        tos: 3,
        id: 0xffff,
        total_len: 24,
        src: Ipv4Addr::BROADCAST,
        dst: Ipv4Addr::UNSPECIFIED,
        ..repr()
    };
    assert_eq!(Ipv4Repr::from_view(&ip), expected);
    assert!(ip.verify_checksum());
    let kept = bytes;
    fill_checksum(&mut bytes);
    assert_eq!(bytes, kept);
}

#[test]
#[should_panic]
fn options_beyond_the_header_length_field_are_a_bug() {
    Ipv4Repr { options_len: 44, ..repr() }.emit(&mut [0; 100]);
}

#[test]
fn protocols_have_names() {
    assert_eq!(Protocol::ICMP.to_string(), "ICMP");
    assert_eq!(Protocol(99).to_string(), "protocol 99");
}
