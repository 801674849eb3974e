//! Version 3 reports: group records, packed into as many messages as the link's MTU asks for.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use crate::wire::igmp::{GroupRecordRepr, HEADER_LEN, RECORD_LEN, RecordType, SOURCE_LEN};

/// A group record in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) record_type: RecordType,
    pub(super) group: Ipv4Addr,
    pub(super) sources: Vec<Ipv4Addr>,
}

/// Calls `send` with each report that the records make, none of them longer than `room` bytes
/// (RFC 3376 §4.2.16). A record that is too long for one report is continued in the next, but for
/// those that list what is excluded: there the sources that do not fit are left out.
pub(super) fn pack(records: &[Record], room: usize, mut send: impl FnMut(&[GroupRecordRepr<'_>])) {
    // Room for a record with one source, even on a link for which nothing is small enough.
    let room = room.max(HEADER_LEN + RECORD_LEN + SOURCE_LEN) - HEADER_LEN;
    let mut report: Vec<GroupRecordRepr<'_>> = Vec::new();
    let mut left = room;
    let mut flush = |report: &mut Vec<GroupRecordRepr<'_>>, left: &mut usize| {
        if !report.is_empty() {
            send(report);
            report.clear();
        }
        *left = room;
    };
    for record in records {
        let Record { record_type, group, ref sources } = *record;
        let truncates = matches!(record_type, RecordType::IsExclude | RecordType::ToExclude);
        let mut sources = sources.as_slice();
        loop {
            let whole = RECORD_LEN + sources.len() * SOURCE_LEN;
            let fits_none = left < whole && left < RECORD_LEN + SOURCE_LEN;
            if fits_none || (truncates && left < whole && left < room) {
                flush(&mut report, &mut left);
            }
            let fitting = sources.len().min((left - RECORD_LEN) / SOURCE_LEN);
            let (now, rest) = sources.split_at(fitting);
            report.push(GroupRecordRepr { record_type, group, sources: now });
            left -= RECORD_LEN + now.len() * SOURCE_LEN;
            if rest.is_empty() || truncates {
                break;
            }
            sources = rest;
            flush(&mut report, &mut left);
        }
    }
    flush(&mut report, &mut left);
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 0, 0, 1);

    fn record(record_type: RecordType, sources: u8) -> Record {
        let sources = (0..sources).map(|n| Ipv4Addr::new(10, 0, 0, n)).collect();
        Record { record_type, group: GROUP, sources }
    }

    /// The records of each report as (type, last bytes of the sources).
    fn packed(records: &[Record], room: usize) -> Vec<Vec<(RecordType, Vec<u8>)>> {
        let mut reports = Vec::new();
        pack(records, room, |report| {
            let len = HEADER_LEN + report.iter().map(GroupRecordRepr::len).sum::<usize>();
            assert!(len <= room.max(20), "{len} bytes in {room}");
            let list = report.iter().map(|record| {
                assert_eq!(record.group, GROUP);
                let sources = record.sources.iter().map(|source| source.octets()[3]);
                (record.record_type, sources.collect())
            });
            reports.push(list.collect());
        });
        reports
    }

    /// RFC 3376 §4.2.16: what fits goes into one report.
    #[test]
    fn records_share_a_report() {
        use RecordType::{Allow, Block, ToExclude};
        let records = [record(Allow, 2), record(Block, 1), record(ToExclude, 0)];
        let whole = vec![(Allow, vec![0, 1]), (Block, vec![0]), (ToExclude, vec![])];
        assert_eq!(packed(&records, 44), core::slice::from_ref(&whole));
        assert_eq!(packed(&records, 43), [whole[..2].to_vec(), whole[2..].to_vec()]);
        assert_eq!(packed(&[], 1000), [] as [Vec<_>; 0]);
    }

    /// RFC 3376 §4.2.16: a record too long for one report is split, each part in a report of its
    /// own.
    #[test]
    fn long_records_are_split() {
        for kind in [RecordType::Allow, RecordType::Block, RecordType::IsInclude] {
            let reports = packed(&[record(kind, 7), record(kind, 1)], 28);
            let expected = [
                vec![(kind, vec![0, 1, 2])],
                vec![(kind, vec![3, 4, 5])],
                vec![(kind, vec![6])],
                vec![(kind, vec![0])],
            ];
            assert_eq!(reports, expected);
        }
    }

    /// RFC 3376 §4.2.16: of a record of what is excluded, what does not fit is not reported.
    #[test]
    fn long_lists_of_excluded_sources_are_cut() {
        for kind in [RecordType::IsExclude, RecordType::ToExclude] {
            let reports = packed(&[record(RecordType::Allow, 1), record(kind, 7)], 28);
            assert_eq!(reports, [vec![(RecordType::Allow, vec![0])], vec![(kind, vec![0, 1, 2])]]);
        }
    }

    /// Whatever the room, all sources of the lists that may be split are told, once and in order.
    #[test]
    fn nothing_is_lost_in_packing() {
        for room in 0..80 {
            for sources in 0..30 {
                let records = [record(RecordType::Allow, 3), record(RecordType::Block, sources)];
                let reports = packed(&records, room);
                let told = reports.into_iter().flatten();
                let told: Vec<u8> = told.flat_map(|(_, sources)| sources).collect();
                let all: Vec<u8> = (0..3).chain(0..sources).collect();
                assert_eq!(told, all);
            }
        }
    }
}
