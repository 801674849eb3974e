use std::vec;
use std::vec::Vec;

use super::*;

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn query(bytes: &[u8]) -> IgmpQuery<'_> {
    match Igmp::parse(bytes).map(|igmp| igmp.message()) {
        Ok(IgmpMessage::Query(query)) => query,
        other => panic!("not a query: {other:?}"),
    }
}

fn records(bytes: &[u8]) -> Vec<(RecordType, Ipv4Addr, Vec<Ipv4Addr>)> {
    match Igmp::parse(bytes).map(|igmp| igmp.message()) {
        Ok(IgmpMessage::ReportV3(records)) => records
            .map(|record| (record.record_type(), record.group(), record.sources().collect()))
            .collect(),
        other => panic!("not a report: {other:?}"),
    }
}

/// RFC 3376 §7.1: eight bytes are a query of version 1 or 2, as the code says; from twelve on it
/// is version 3; what is between is none.
#[test]
fn length_and_code_tell_versions_of_queries_apart() {
    let mut bytes = [0; 40];
    bytes[0] = types::QUERY;
    assert_eq!(query(&bytes[..8]).version(), IgmpVersion::V1);
    assert_eq!(query(&bytes[..12]).version(), IgmpVersion::V3);
    bytes[1] = 100;
    assert_eq!(query(&bytes[..8]).version(), IgmpVersion::V2);
    assert_eq!(query(&bytes[..8]).max_response(), 100);
    for len in 9..12 {
        let error = Igmp::parse(&bytes[..len]).unwrap_err();
        assert_eq!((error.kind, error.needed, error.had), (WireErrorKind::BadLength, 12, len));
    }
    for len in 0..8 {
        let error = Igmp::parse(&bytes[..len]).unwrap_err();
        assert_eq!((error.kind, error.needed, error.had), (WireErrorKind::Truncated, 8, len));
    }
}

/// RFC 2236 §2: the bytes of a version 2 general query with its checksum, as routers send it.
#[test]
fn a_query_from_the_wire() {
    let bytes = [0x11, 0x64, 0xee, 0x9b, 0, 0, 0, 0];
    assert!(Igmp::parse(&bytes).unwrap().verify_checksum());
    let mut made = [0xaa; 8];
    emit(types::QUERY, 100, Ipv4Addr::UNSPECIFIED, &mut made);
    assert_eq!(made, bytes);
    made[7] ^= 1;
    assert!(!Igmp::parse(&made).unwrap().verify_checksum());
}

/// RFC 3376 §4.1: every field, written and read.
#[test]
fn a_version_3_query_comes_back() {
    let sources = [A, B];
    let repr = IgmpQueryRepr {
        max_response: 128,
        group: GROUP,
        suppress: true,
        robustness: 5,
        interval: 125,
        sources: &sources,
    };
    let mut bytes = vec![0xaa; repr.len()];
    repr.emit(&mut bytes);
    assert!(Igmp::parse(&bytes).unwrap().verify_checksum());
    assert_eq!(&bytes[8..12], [0x0d, 125, 0, 2]);
    let read = query(&bytes);
    assert_eq!((read.version(), read.group()), (IgmpVersion::V3, GROUP));
    assert_eq!((read.max_response(), read.interval()), (128, 125));
    assert_eq!((read.suppress(), read.robustness()), (true, 5));
    assert_eq!(read.sources().collect::<Vec<_>>(), sources);

    let error = Igmp::parse(&bytes[..19]).unwrap_err();
    assert_eq!((error.kind, error.needed, error.had), (WireErrorKind::Truncated, 20, 19));
    IgmpQueryRepr { robustness: 8, ..repr }.emit(&mut bytes);
    assert_eq!(query(&bytes).robustness(), 0);
}

/// RFC 3376 §4.1.1, §4.1.7: the values of the examples there, and no number lost in between.
#[test]
fn codes_are_floating_point_from_128_on() {
    assert_eq!((decode(127), decode(128), decode(0x8f)), (127, 128, 248));
    assert_eq!((decode(0x90), decode(0xff)), (256, 31744));
    for code in 0..=u8::MAX {
        assert_eq!(encode(decode(code)), code);
    }
    for value in 0..40_000 {
        let code = encode(value);
        assert!(decode(code) <= value);
        assert!(code == u8::MAX || decode(code + 1) > value);
    }
}

/// RFC 3376 §4.2: records with and without sources, in order.
#[test]
fn a_version_3_report_comes_back() {
    let sources = [A, B];
    let made = [
        GroupRecordRepr { record_type: RecordType::ToExclude, group: GROUP, sources: &[] },
        GroupRecordRepr { record_type: RecordType::Allow, group: A, sources: &sources },
    ];
    let mut bytes = vec![0xaa; report_len(&made)];
    emit_report(&made, &mut bytes);
    assert_eq!(bytes.len(), 8 + 8 + 16);
    assert!(Igmp::parse(&bytes).unwrap().verify_checksum());
    let read = records(&bytes);
    assert_eq!(read[0], (RecordType::ToExclude, GROUP, vec![]));
    assert_eq!(read[1], (RecordType::Allow, A, vec![A, B]));
    assert_eq!(read.len(), 2);
    for len in 8..bytes.len() {
        let error = Igmp::parse(&bytes[..len]).unwrap_err();
        assert_eq!((error.kind, error.had), (WireErrorKind::Truncated, len));
        assert!(error.needed > len);
    }
}

/// RFC 3376 §4.2.6, §4.2.11: auxiliary data is stepped over; bytes behind the records count only
/// in the checksum.
#[test]
fn auxiliary_data_is_stepped_over() {
    let mut bytes = vec![0x22, 0, 0, 0, 0, 0, 0, 2];
    bytes.extend([1, 1, 0, 1, 239, 0, 0, 1, 10, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef]);
    bytes.extend([9, 0, 0, 0, 239, 0, 0, 2]);
    bytes.extend([1, 2, 3]);
    let igmp = Igmp::parse(&bytes).unwrap();
    let IgmpMessage::ReportV3(mut list) = igmp.message() else { panic!("not a report") };
    assert_eq!(list.next().unwrap().auxiliary(), [0xde, 0xad, 0xbe, 0xef]);
    assert_eq!(list.next().unwrap().record_type(), RecordType::Other(9));
    assert!(list.next().is_none());
}

#[test]
fn record_types_are_numbered_as_in_the_rfc() {
    for value in 0..=u8::MAX {
        assert_eq!(u8::from(RecordType::from(value)), value);
    }
}
