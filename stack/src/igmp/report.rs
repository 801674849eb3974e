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
}
