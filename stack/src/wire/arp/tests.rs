use super::*;

const REQUEST: [u8; LEN] =
    [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1];

#[test]
fn a_request_is_read_and_written() {
    let mut padded = [0; 46];
    padded[..LEN].copy_from_slice(&REQUEST);
    let arp = Arp::parse(&padded).unwrap();
    let expected = Arp {
        operation: ArpOperation::Request,
        sender_mac: MacAddr([2, 0, 0, 0, 0, 9]),
        sender_ip: Ipv4Addr::new(10, 0, 0, 2),
        target_mac: MacAddr::ZERO,
        target_ip: Ipv4Addr::new(10, 0, 0, 1),
    };
    assert_eq!(arp, expected);
    let mut out = [0xff; LEN];
    arp.emit(&mut out);
    assert_eq!(out, REQUEST);
}

#[test]
fn other_hardware_or_protocols_are_refused_by_field() {
    for (offset, field_at, needed) in [(1, 0, 1), (3, 2, 0x800), (4, 4, 6), (5, 5, 4)] {
        let mut bytes = REQUEST;
        bytes[offset] ^= 0x40;
        let error = Arp::parse(&bytes).unwrap_err();
        assert_eq!(error.kind, WireErrorKind::BadValue);
        assert_eq!((error.offset, error.needed, error.had), (field_at, needed, needed ^ 0x40));
    }
    for len in 0..LEN {
        let error = Arp::parse(&REQUEST[..len]).unwrap_err();
        assert_eq!((error.kind, error.needed, error.had), (WireErrorKind::Truncated, LEN, len));
    }
}

#[test]
fn operations_survive_the_round_trip() {
    for value in [0, 1, 2, 3, 4, 8, 9, 0xffff] {
        assert_eq!(u16::from(ArpOperation::from(value)), value);
    }
    assert_eq!(ArpOperation::from(2), ArpOperation::Reply);
}

#[test]
fn probes_and_announcements() {
    let arp = Arp::parse(&REQUEST).unwrap();
    assert!(!arp.is_probe() && !arp.is_announcement());
    let probe = Arp { sender_ip: Ipv4Addr::UNSPECIFIED, ..arp };
    assert!(probe.is_probe() && !probe.is_announcement());
    assert!(!Arp { operation: ArpOperation::Reply, ..probe }.is_probe());
    let announcement = Arp { sender_ip: arp.target_ip, ..arp };
    assert!(announcement.is_announcement() && !announcement.is_probe());
    let nonsense = Arp { target_ip: Ipv4Addr::UNSPECIFIED, ..probe };
    assert!(!nonsense.is_announcement());
}
