//! IGMP against etherparse and smoltcp.

use std::net::Ipv4Addr;

use etherparse::IgmpSlice;
use proptest::collection::vec;
use proptest::prelude::*;
use smoltcp::wire::{IgmpPacket, IgmpRepr, IgmpVersion as SmoltcpVersion};
use tapping_stack::wire::igmp::{self, emit_report, report_len, types};
use tapping_stack::wire::{
    GroupRecordRepr, Igmp, IgmpMessage, IgmpQueryRepr, IgmpVersion, RecordType, WireErrorKind,
};

type Record = (u8, Ipv4Addr, Vec<Ipv4Addr>);

fn records() -> impl Strategy<Value = Vec<Record>> {
    vec((any::<u8>(), any::<Ipv4Addr>(), vec(any::<Ipv4Addr>(), 0..12)), 0..8)
}

/// Short messages of the known types, and any others.
fn short() -> impl Strategy<Value = (u8, u8, Ipv4Addr)> {
    let known = [types::QUERY, types::V1_REPORT, types::V2_REPORT, types::LEAVE];
    let igmp_type = prop_oneof![3 => proptest::sample::select(known.to_vec()), 1 => any::<u8>()];
    // Eight bytes of a version 3 report are one without records.
    let igmp_type = igmp_type.prop_filter("has a form of its own", |t| *t != types::V3_REPORT);
    (igmp_type, any::<u8>(), any::<Ipv4Addr>())
}

/// Bytes that are sometimes nearly a message.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let types = prop_oneof![Just(types::QUERY), Just(types::V3_REPORT), any::<u8>()];
    (types, vec(prop_oneof![3 => Just(0u8), 1 => 0..4u8, 1 => any::<u8>()], 0..80)).prop_map(
        |(igmp_type, mut rest)| {
            rest.insert(0, igmp_type);
            rest
        },
    )
}

proptest! {
    /// What has eight bytes reads the same to all three, its checksum included.
    #[test]
    fn short_messages_agree((igmp_type, code, group) in short()) {
        let mut bytes = [0xaa; igmp::HEADER_LEN];
        igmp::emit(igmp_type, code, group, &mut bytes);
        let ours = Igmp::parse(&bytes).unwrap();
        prop_assert!(ours.verify_checksum());
        let theirs = IgmpSlice::from_slice(&bytes).unwrap();
        prop_assert!(theirs.is_checksum_valid());
        prop_assert_eq!(theirs.type_u8(), igmp_type);
        prop_assert_eq!(theirs.bytes4to7(), group.octets());

        let packet = IgmpPacket::new_checked(&bytes[..]).unwrap();
        prop_assert!(packet.verify_checksum());
        prop_assert_eq!(packet.group_addr(), group);
        // It refuses groups that are none.
        let Ok(repr) = IgmpRepr::parse(&packet) else {
            let known = matches!(
                igmp_type,
                types::QUERY | types::V1_REPORT | types::V2_REPORT | types::LEAVE
            );
            prop_assert!(!known || !group.is_multicast());
            return Ok(());
        };
        match (ours.message(), repr) {
            (
                IgmpMessage::Query(query),
                IgmpRepr::MembershipQuery { max_resp_time, group_addr, version },
            ) => {
                prop_assert_eq!(query.group(), group_addr);
                prop_assert_eq!(version == SmoltcpVersion::Version1, query.version() == IgmpVersion::V1);
                if code < 128 {
                    let tenths = u64::from(query.max_response());
                    prop_assert_eq!(tenths * 100, max_resp_time.total_millis());
                }
            }
            (
                IgmpMessage::Report { version, group: ours },
                IgmpRepr::MembershipReport { group_addr, version: theirs },
            ) => {
                prop_assert_eq!(ours, group_addr);
                prop_assert_eq!(theirs == SmoltcpVersion::Version1, version == IgmpVersion::V1);
            }
            (IgmpMessage::Leave { group: ours }, IgmpRepr::LeaveGroup { group_addr }) => {
                prop_assert_eq!(ours, group_addr);
            }
            (ours, theirs) => prop_assert!(false, "{:?} {:?}", ours, theirs),
        }
    }

    /// A query of version 3, written here, reads the same here and by etherparse.
    #[test]
    fn queries_agree(
        max_response in 0..40_000u32,
        interval in 0..40_000u32,
        group: Ipv4Addr,
        suppress: bool,
        robustness in 0..8u8,
        sources in vec(any::<Ipv4Addr>(), 0..400),
    ) {
        let repr = IgmpQueryRepr { max_response, group, suppress, robustness, interval, sources: &sources };
        let mut bytes = vec![0xaa; repr.len()];
        repr.emit(&mut bytes);
        let Ok(IgmpMessage::Query(ours)) = Igmp::parse(&bytes).map(|igmp| igmp.message()) else {
            panic!("a query")
        };
        let theirs = IgmpSlice::from_slice(&bytes).unwrap();
        prop_assert!(theirs.is_checksum_valid());
        let IgmpSlice::MembershipQueryWithSources(theirs) = theirs else { panic!("a query") };
        prop_assert_eq!(ours.max_response(), u32::from(theirs.max_response_code().as_10th_secs()));
        prop_assert_eq!(ours.robustness(), theirs.qrv().value());
        prop_assert_eq!(ours.suppress(), theirs.s_flag());
        prop_assert_eq!(ours.suppress(), suppress);
        prop_assert_eq!(ours.group(), group);
        prop_assert_eq!(ours.interval(), igmp::decode(theirs.qqic()));
        let told: Vec<Ipv4Addr> = theirs.source_addresses().map(Ipv4Addr::from).collect();
        prop_assert_eq!(&told, &sources);
        prop_assert_eq!(ours.sources().collect::<Vec<_>>(), sources);
    }

    /// A report of version 3, written here, reads the same here and by etherparse.
    #[test]
    fn reports_agree(records in records()) {
        let reprs: Vec<_> = records
            .iter()
            .map(|(record_type, group, sources)| GroupRecordRepr {
                record_type: RecordType::from(*record_type),
                group: *group,
                sources,
            })
            .collect();
        let mut bytes = vec![0xaa; report_len(&reprs)];
        emit_report(&reprs, &mut bytes);
        let theirs = IgmpSlice::from_slice(&bytes).unwrap();
        prop_assert!(theirs.is_checksum_valid());
        let IgmpSlice::MembershipReportV3(theirs) = theirs else { panic!("a report") };
        let theirs: Vec<Record> = theirs
            .group_records()
            .map(|record| {
                let record = record.unwrap();
                let sources = record.source_addresses().map(Ipv4Addr::from).collect();
                (record.record_type().0, record.multicast_address().into(), sources)
            })
            .collect();
        prop_assert_eq!(&theirs, &records);
        let Ok(IgmpMessage::ReportV3(ours)) = Igmp::parse(&bytes).map(|igmp| igmp.message()) else {
            panic!("a report")
        };
        let ours: Vec<Record> = ours
            .map(|record| (record.record_type().into(), record.group(), record.sources().collect()))
            .collect();
        prop_assert_eq!(ours, records);
    }

    /// Whatever the bytes, both take them or both refuse them, but for what etherparse leaves to
    /// the reader of sources and records.
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in bytes()) {
        let theirs = IgmpSlice::from_slice(&bytes);
        match Igmp::parse(&bytes) {
            Ok(ours) => {
                let theirs = theirs.unwrap();
                prop_assert_eq!(ours.verify_checksum(), theirs.is_checksum_valid());
                match ours.message() {
                    IgmpMessage::Query(query) => {
                        prop_assert!(query.sources().len() * 4 <= bytes.len());
                    }
                    IgmpMessage::ReportV3(records) => {
                        let promised = usize::from(u16::from_be_bytes([bytes[6], bytes[7]]));
                        prop_assert_eq!(records.count(), promised);
                    }
                    _ => {}
                }
            }
            Err(error) => {
                prop_assert!(error.needed > error.had || error.kind == WireErrorKind::BadLength);
                let complete = match theirs {
                    Err(_) => false,
                    Ok(IgmpSlice::MembershipReportV3(report)) => {
                        let promised = usize::from(report.num_of_records());
                        report.group_records().filter(Result::is_ok).count() == promised
                    }
                    Ok(_) => true,
                };
                prop_assert!(!complete, "{}", error);
            }
        }
    }
}
