use std::string::ToString;

use super::*;
use crate::wire::WireErrorKind;

const FRAME: [u8; 16] =
    [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06, 0xaa, 0xbb];

#[test]
fn a_frame_is_read_and_written() {
    let frame = Ethernet::parse(&FRAME).unwrap();
    assert!(frame.dst().is_broadcast());
    assert_eq!(frame.src(), MacAddr([2, 0, 0, 0, 0, 1]));
    assert_eq!(frame.ethertype(), EtherType::ARP);
    assert_eq!(frame.payload(), [0xaa, 0xbb]);

    let mut out = [0x55; 16];
    EthernetRepr::from_view(&frame).emit(&mut out);
    assert_eq!(out[..HEADER_LEN], FRAME[..HEADER_LEN]);
    assert_eq!(out[HEADER_LEN..], [0x55, 0x55], "the payload is not touched");
}

#[test]
fn a_short_frame_is_truncated() {
    for len in 0..HEADER_LEN {
        let error = Ethernet::parse(&FRAME[..len]).unwrap_err();
        assert_eq!((error.kind, error.needed, error.had), (WireErrorKind::Truncated, 14, len));
    }
    assert!(Ethernet::parse(&FRAME[..HEADER_LEN]).unwrap().payload().is_empty());
}

#[test]
fn address_classes() {
    let unicast = MacAddr([2, 0, 0, 0, 0, 1]);
    assert!(unicast.is_unicast() && !unicast.is_multicast() && unicast.is_local());
    assert!(!MacAddr([0, 1, 2, 3, 4, 5]).is_local());
    assert!(MacAddr::BROADCAST.is_multicast() && !MacAddr::BROADCAST.is_unicast());
    assert!(!MacAddr::ZERO.is_unicast() && !MacAddr::ZERO.is_multicast());
    let group = MacAddr::from_ipv4_multicast(Ipv4Addr::new(239, 129, 2, 3));
    assert_eq!(group.to_string(), "01:00:5e:01:02:03");
    assert!(group.is_multicast() && !group.is_broadcast());
}

#[test]
fn addresses_as_text() {
    let mac = MacAddr([0x02, 0xab, 0, 0, 0x0c, 0xff]);
    assert_eq!(mac.to_string(), "02:ab:00:00:0c:ff");
    for text in ["02:ab:00:00:0c:ff", "2:AB:0:0:c:fF", "02-ab-00-00-0c-ff"] {
        assert_eq!(text.parse(), Ok(mac), "{text}");
    }
    for text in [
        "",
        "02:ab:00:00:0c",
        "02:ab:00:00:0c:ff:01",
        "02:ab:00:00:0c:fg",
        "02:ab:00:00:0c:",
        "02:ab-00:00:0c:ff",
        "+2:ab:00:00:0c:ff",
        "002:ab:00:00:0c:ff",
        "02ab00000cff",
    ] {
        assert_eq!(text.parse::<MacAddr>(), Err(MacAddrError), "{text}");
    }
}

#[test]
fn types_and_lengths() {
    assert!(EtherType::VLAN.is_vlan() && EtherType::QINQ.is_vlan() && !EtherType::IPV4.is_vlan());
    assert!(EtherType(0x05ff).is_length() && !EtherType(0x0600).is_length());
    assert_eq!(EtherType::IPV6.to_string(), "IPv6");
    assert_eq!(EtherType(0x88cc).to_string(), "0x88cc");
}
