//! IGMP, versions 1 to 3 (RFC 1112 appendix I, RFC 2236, RFC 3376).
//!
//! ```text
//!  0      1      2          4        8                    12
//!  | type | code | checksum | group  | S QRV | QQIC | n  | n sources      query, version 3
//!  | type | code | checksum | group  |                                    all else but
//!  | 0x22 |  -   | checksum | - | n  | n records: | type | aux | m | group | m sources | aux |
//! ```

use core::net::Ipv4Addr;

use super::checksum::checksum;
use super::error::{Layer, WireError, WireErrorKind};

/// Bytes in the header that every message has.
pub const HEADER_LEN: usize = 8;
/// Bytes in a version 3 query before its sources.
pub const V3_QUERY_LEN: usize = 12;
/// Bytes in a group record before its sources.
pub const RECORD_LEN: usize = 8;
/// Bytes in an address.
pub const SOURCE_LEN: usize = 4;

/// Every host on the link; general queries go there.
pub const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// Every router on the link; leaves go there (RFC 2236 §3).
pub const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// Routers that speak version 3; its reports go there (RFC 3376 §4.2.14).
pub const V3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

/// Message types.
pub mod types {
    /// Membership query.
    pub const QUERY: u8 = 0x11;
    /// Version 1 membership report.
    pub const V1_REPORT: u8 = 0x12;
    /// Version 2 membership report.
    pub const V2_REPORT: u8 = 0x16;
    /// Version 2 leave group.
    pub const LEAVE: u8 = 0x17;
    /// Version 3 membership report.
    pub const V3_REPORT: u8 = 0x22;
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IgmpVersion {
    /// RFC 1112.
    V1,
    /// RFC 2236.
    V2,
    /// RFC 3376.
    V3,
}

/// What a group record says (RFC 3376 §4.2.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordType {
    /// MODE_IS_INCLUDE: these sources are wanted.
    IsInclude,
    /// MODE_IS_EXCLUDE: all sources but these are wanted.
    IsExclude,
    /// CHANGE_TO_INCLUDE_MODE.
    ToInclude,
    /// CHANGE_TO_EXCLUDE_MODE.
    ToExclude,
    /// ALLOW_NEW_SOURCES: these are wanted in addition.
    Allow,
    /// BLOCK_OLD_SOURCES: these are wanted no more.
    Block,
    /// Anything else.
    Other(u8),
}

impl From<u8> for RecordType {
    fn from(value: u8) -> Self {
        match value {
            1 => RecordType::IsInclude,
            2 => RecordType::IsExclude,
            3 => RecordType::ToInclude,
            4 => RecordType::ToExclude,
            5 => RecordType::Allow,
            6 => RecordType::Block,
            other => RecordType::Other(other),
        }
    }
}

impl From<RecordType> for u8 {
    fn from(value: RecordType) -> Self {
        match value {
            RecordType::IsInclude => 1,
            RecordType::IsExclude => 2,
            RecordType::ToInclude => 3,
            RecordType::ToExclude => 4,
            RecordType::Allow => 5,
            RecordType::Block => 6,
            RecordType::Other(other) => other,
        }
    }
}

/// A received message.
#[derive(Debug, Clone, Copy)]
pub struct Igmp<'a> {
    bytes: &'a [u8],
    message: IgmpMessage<'a>,
}

/// The fields by type.
#[derive(Debug, Clone, Copy)]
pub enum IgmpMessage<'a> {
    /// A router asks who is in a group, or in any.
    Query(IgmpQuery<'a>),
    /// Somebody is in a group; version 1 or 2.
    Report {
        /// Which of the two.
        version: IgmpVersion,
        /// The group.
        group: Ipv4Addr,
    },
    /// The last to report has left a group.
    Leave {
        /// The group.
        group: Ipv4Addr,
    },
    /// What somebody receives, version 3.
    ReportV3(GroupRecords<'a>),
    /// A type that is none of these.
    Other(u8),
}

impl<'a> Igmp<'a> {
    /// Checks that all fields of the type are there. The checksum is left to
    /// [`verify_checksum`](Self::verify_checksum).
    ///
    /// # Errors
    /// `Truncated` below 8 bytes, or with fewer sources or records than promised; `BadLength` for
    /// a query of 9 to 11 bytes (RFC 3376 §7.1).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(WireError::truncated(Layer::Igmp, HEADER_LEN, bytes.len()));
        };
        let [igmp_type, .., a, b, c, d] = *header;
        let group = Ipv4Addr::new(a, b, c, d);
        let message = match igmp_type {
            types::QUERY => IgmpMessage::Query(IgmpQuery::parse(bytes, group)?),
            types::V1_REPORT => IgmpMessage::Report { version: IgmpVersion::V1, group },
            types::V2_REPORT => IgmpMessage::Report { version: IgmpVersion::V2, group },
            types::LEAVE => IgmpMessage::Leave { group },
            types::V3_REPORT => {
                let left = u16::from_be_bytes([c, d]);
                let records = GroupRecords { left, bytes: rest };
                records.check()?;
                IgmpMessage::ReportV3(records)
            }
            other => IgmpMessage::Other(other),
        };
        Ok(Igmp { bytes, message })
    }

    /// The fields by type.
    #[inline]
    pub fn message(&self) -> IgmpMessage<'a> {
        self.message
    }

    /// Whether the checksum over the whole message, unknown bytes behind it included, matches.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        checksum(self.bytes) == 0
    }
}

/// A query.
#[derive(Debug, Clone, Copy)]
pub struct IgmpQuery<'a> {
    version: IgmpVersion,
    code: u8,
    group: Ipv4Addr,
    /// S flag and QRV, and QQIC; zero before version 3.
    flags: u8,
    interval_code: u8,
    sources: &'a [u8],
}

impl<'a> IgmpQuery<'a> {
    fn parse(bytes: &'a [u8], group: Ipv4Addr) -> Result<Self, WireError> {
        let code = bytes.get(1).copied().unwrap_or_default();
        let Some((header, rest)) = bytes.split_first_chunk::<V3_QUERY_LEN>() else {
            // RFC 3376 §7.1: length and code tell the versions apart; other lengths are ignored.
            if bytes.len() != HEADER_LEN {
                let kind = WireErrorKind::BadLength;
                let (needed, had) = (V3_QUERY_LEN, bytes.len());
                return Err(WireError::field(Layer::Igmp, kind, HEADER_LEN, needed, had));
            }
            let version = if code == 0 { IgmpVersion::V1 } else { IgmpVersion::V2 };
            return Ok(IgmpQuery {
                version,
                code,
                group,
                flags: 0,
                interval_code: 0,
                sources: &[],
            });
        };
        let [.., flags, interval_code, high, low] = *header;
        let len = usize::from(u16::from_be_bytes([high, low])) * SOURCE_LEN;
        let Some(sources) = rest.get(..len) else {
            return Err(WireError::truncated(Layer::Igmp, V3_QUERY_LEN + len, bytes.len()));
        };
        Ok(IgmpQuery { version: IgmpVersion::V3, code, group, flags, interval_code, sources })
    }

    /// The version of the router that asks.
    pub fn version(&self) -> IgmpVersion {
        self.version
    }

    /// The group asked about; 0.0.0.0 in a general query.
    pub fn group(&self) -> Ipv4Addr {
        self.group
    }

    /// How long answers may be put off, in tenths of a second; 0 in version 1, where it is
    /// understood to be 100.
    pub fn max_response(&self) -> u32 {
        match self.version {
            IgmpVersion::V1 | IgmpVersion::V2 => self.code.into(),
            IgmpVersion::V3 => decode(self.code),
        }
    }

    /// S: routers suppress what they usually do when they hear a query.
    pub fn suppress(&self) -> bool {
        self.flags & 0x08 != 0
    }

    /// QRV: the querier's robustness variable; 0 when it does not say.
    pub fn robustness(&self) -> u8 {
        self.flags & 0x07
    }

    /// QQIC: the querier's query interval in seconds; 0 when it does not say.
    pub fn interval(&self) -> u32 {
        decode(self.interval_code)
    }

    /// The sources asked about.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = Ipv4Addr> + 'a {
        addresses(self.sources)
    }
}

/// The records of a version 3 report, all of which are there.
#[derive(Debug, Clone, Copy)]
pub struct GroupRecords<'a> {
    left: u16,
    bytes: &'a [u8],
}

/// A group record of a version 3 report.
#[derive(Debug, Clone, Copy)]
pub struct GroupRecord<'a> {
    record_type: RecordType,
    group: Ipv4Addr,
    sources: &'a [u8],
    auxiliary: &'a [u8],
}

impl<'a> GroupRecord<'a> {
    /// What it says.
    pub fn record_type(&self) -> RecordType {
        self.record_type
    }

    /// The group.
    pub fn group(&self) -> Ipv4Addr {
        self.group
    }

    /// The sources.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = Ipv4Addr> + 'a {
        addresses(self.sources)
    }

    /// Auxiliary data, which has no meaning yet (RFC 3376 §4.2.6).
    pub fn auxiliary(&self) -> &'a [u8] {
        self.auxiliary
    }
}

impl<'a> GroupRecords<'a> {
    /// Reads one record; the error is how many bytes it needs.
    fn split(bytes: &'a [u8]) -> Result<(GroupRecord<'a>, &'a [u8]), usize> {
        let (header, rest) = bytes.split_first_chunk::<RECORD_LEN>().ok_or(RECORD_LEN)?;
        let [record_type, words, high, low, a, b, c, d] = *header;
        let sources = usize::from(u16::from_be_bytes([high, low])) * SOURCE_LEN;
        let auxiliary = usize::from(words) * 4;
        let needed = RECORD_LEN + sources + auxiliary;
        let (sources, rest) = rest.split_at_checked(sources).ok_or(needed)?;
        let (auxiliary, rest) = rest.split_at_checked(auxiliary).ok_or(needed)?;
        let group = Ipv4Addr::new(a, b, c, d);
        let record_type = record_type.into();
        Ok((GroupRecord { record_type, group, sources, auxiliary }, rest))
    }

    fn check(&self) -> Result<(), WireError> {
        let mut bytes = self.bytes;
        for _ in 0..self.left {
            match GroupRecords::split(bytes) {
                Ok((_, rest)) => bytes = rest,
                Err(needed) => {
                    let at = HEADER_LEN + (self.bytes.len() - bytes.len());
                    let had = HEADER_LEN + self.bytes.len();
                    return Err(WireError::truncated(Layer::Igmp, at + needed, had));
                }
            }
        }
        Ok(())
    }
}

impl<'a> Iterator for GroupRecords<'a> {
    type Item = GroupRecord<'a>;

    fn next(&mut self) -> Option<GroupRecord<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (record, rest) = GroupRecords::split(self.bytes).ok()?;
        self.bytes = rest;
        Some(record)
    }
}

/// Writes a message that is nothing but its header, checksum included: a report or leave of
/// versions 1 and 2, or a query of theirs, whose `code` is the time to answer in tenths of a second.
///
/// # Panics
/// If `buffer` is shorter than [`HEADER_LEN`].
pub fn emit(igmp_type: u8, code: u8, group: Ipv4Addr, buffer: &mut [u8]) {
    let [a, b, c, d] = group.octets();
    let buffer = &mut buffer[..HEADER_LEN];
    buffer.copy_from_slice(&[igmp_type, code, 0, 0, a, b, c, d]);
    fill_checksum(buffer);
}

/// A version 3 query to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IgmpQueryRepr<'a> {
    /// The time to answer, in tenths of a second; rounded down to what can be written.
    pub max_response: u32,
    /// The group; 0.0.0.0 for a general query.
    pub group: Ipv4Addr,
    /// S flag.
    pub suppress: bool,
    /// QRV, up to 7; more is written as 0 (RFC 3376 §4.1.6).
    pub robustness: u8,
    /// The query interval in seconds; rounded down to what can be written.
    pub interval: u32,
    /// The sources.
    pub sources: &'a [Ipv4Addr],
}

impl IgmpQueryRepr<'_> {
    /// Bytes that [`emit`](Self::emit) writes.
    pub fn len(&self) -> usize {
        V3_QUERY_LEN + self.sources.len() * SOURCE_LEN
    }

    /// Never; a query has a header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Writes the query, checksum included.
    ///
    /// # Panics
    /// If `buffer` is shorter than [`len`](Self::len), or there are more than 65535 sources.
    pub fn emit(&self, buffer: &mut [u8]) {
        let count = u16::try_from(self.sources.len()).expect("at most 65535 sources");
        let buffer = &mut buffer[..self.len()];
        buffer[..4].copy_from_slice(&[types::QUERY, encode(self.max_response), 0, 0]);
        buffer[4..8].copy_from_slice(&self.group.octets());
        let robustness = if self.robustness > 7 { 0 } else { self.robustness };
        buffer[8] = u8::from(self.suppress) << 3 | robustness;
        buffer[9] = encode(self.interval);
        buffer[10..V3_QUERY_LEN].copy_from_slice(&count.to_be_bytes());
        put_addresses(self.sources, &mut buffer[V3_QUERY_LEN..]);
        fill_checksum(buffer);
    }
}

/// A group record to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupRecordRepr<'a> {
    /// What it says.
    pub record_type: RecordType,
    /// The group.
    pub group: Ipv4Addr,
    /// The sources.
    pub sources: &'a [Ipv4Addr],
}

impl GroupRecordRepr<'_> {
    /// Bytes that it takes in a report.
    pub fn len(&self) -> usize {
        RECORD_LEN + self.sources.len() * SOURCE_LEN
    }

    /// Never; a record has a header.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// Bytes of a version 3 report with these records.
pub fn report_len(records: &[GroupRecordRepr<'_>]) -> usize {
    HEADER_LEN + records.iter().map(GroupRecordRepr::len).sum::<usize>()
}

/// Writes a version 3 report, checksum included.
///
/// # Panics
/// If `buffer` is shorter than [`report_len`], or there are more than 65535 records or sources in
/// one.
pub fn emit_report(records: &[GroupRecordRepr<'_>], buffer: &mut [u8]) {
    let count = u16::try_from(records.len()).expect("at most 65535 records");
    let buffer = &mut buffer[..report_len(records)];
    buffer[..6].copy_from_slice(&[types::V3_REPORT, 0, 0, 0, 0, 0]);
    buffer[6..HEADER_LEN].copy_from_slice(&count.to_be_bytes());
    let mut at = HEADER_LEN;
    for record in records {
        let count = u16::try_from(record.sources.len()).expect("at most 65535 sources");
        let room = &mut buffer[at..at + record.len()];
        room[..2].copy_from_slice(&[record.record_type.into(), 0]);
        room[2..4].copy_from_slice(&count.to_be_bytes());
        room[4..RECORD_LEN].copy_from_slice(&record.group.octets());
        put_addresses(record.sources, &mut room[RECORD_LEN..]);
        at += record.len();
    }
    fill_checksum(buffer);
}

/// The number that Max Resp Code and QQIC stand for: from 128 on a 3-bit exponent and a 4-bit
/// mantissa (RFC 3376 §4.1.1, §4.1.7).
pub const fn decode(code: u8) -> u32 {
    if code < 128 {
        return code as u32;
    }
    let (exponent, mantissa) = (code >> 4 & 0x07, code & 0x0f);
    (mantissa as u32 | 0x10) << (exponent + 3)
}

/// The code of the greatest number that is not above `value` and can be written.
pub const fn encode(value: u32) -> u8 {
    if value < 128 {
        return value as u8;
    }
    if value >= 31744 {
        return 0xff;
    }
    // The highest of the five bits kept is the one that is not written.
    let exponent = value.ilog2() - 7;
    let mantissa = (value >> (exponent + 3)) & 0x0f;
    0x80 | (exponent as u8) << 4 | mantissa as u8
}

fn addresses(bytes: &[u8]) -> impl ExactSizeIterator<Item = Ipv4Addr> + '_ {
    bytes.chunks_exact(SOURCE_LEN).map(|octets| {
        Ipv4Addr::from(octets.first_chunk::<SOURCE_LEN>().copied().unwrap_or_default())
    })
}

fn put_addresses(addresses: &[Ipv4Addr], buffer: &mut [u8]) {
    for (room, addr) in buffer.chunks_exact_mut(SOURCE_LEN).zip(addresses) {
        room.copy_from_slice(&addr.octets());
    }
}

fn fill_checksum(message: &mut [u8]) {
    message[2..4].fill(0);
    let check = checksum(message);
    message[2..4].copy_from_slice(&check.to_be_bytes());
}

#[cfg(test)]
mod tests;
