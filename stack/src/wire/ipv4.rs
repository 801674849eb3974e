//! IPv4 (RFC 791).
//!
//! ```text
//!  0             8             16                          32 bits
//!  | ver  | IHL  | TOS         | total length              |  0
//!  | identification            |R|D|M| fragment offset     |  4
//!  | TTL         | protocol    | header checksum           |  8
//!  | source address                                        | 12
//!  | destination address                                   | 16
//!  | options, up to 40 bytes, padded to a multiple of 4    | 20
//! ```

use core::fmt;
use core::net::Ipv4Addr;

use super::checksum::{self, Checksum, checksum};
use super::error::{Layer, WireError, WireErrorKind};

/// Bytes in a header without options.
pub const HEADER_LEN: usize = 20;
/// Bytes in the longest header.
pub const MAX_HEADER_LEN: usize = 60;
/// Bytes in the longest packet.
pub const MAX_LEN: usize = 65535;

const FLAG_RESERVED: u16 = 0x8000;
const FLAG_DF: u16 = 0x4000;
const FLAG_MF: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

const TOTAL_LEN: usize = 2;
const IDENT: usize = 4;
const CHECKSUM: usize = 10;
const SRC: usize = 12;
const DST: usize = 16;

/// What a packet carries (IANA protocol number).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Internet Control Message Protocol.
    pub const ICMP: Protocol = Protocol(1);
    /// Internet Group Management Protocol.
    pub const IGMP: Protocol = Protocol(2);
    /// IPv4 in IPv4.
    pub const IPIP: Protocol = Protocol(4);
    /// Transmission Control Protocol.
    pub const TCP: Protocol = Protocol(6);
    /// User Datagram Protocol.
    pub const UDP: Protocol = Protocol(17);
    /// IPv6 in IPv4.
    pub const IPV6: Protocol = Protocol(41);
    /// Generic Routing Encapsulation.
    pub const GRE: Protocol = Protocol(47);
    /// Reserved by IANA; on Linux, raw packets whose header the sender wrote.
    pub const RAW: Protocol = Protocol(255);
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Protocol::ICMP => f.write_str("ICMP"),
            Protocol::IGMP => f.write_str("IGMP"),
            Protocol::IPIP => f.write_str("IPIP"),
            Protocol::TCP => f.write_str("TCP"),
            Protocol::UDP => f.write_str("UDP"),
            Protocol::IPV6 => f.write_str("IPv6"),
            Protocol::GRE => f.write_str("GRE"),
            Protocol(other) => write!(f, "protocol {other}"),
        }
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protocol({})", self.0)
    }
}

/// A received packet.
#[derive(Debug, Clone, Copy)]
pub struct Ipv4<'a> {
    fixed: &'a [u8; HEADER_LEN],
    /// As long as the total length field says.
    packet: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// Checks version, header length and total length against each other and against `bytes`, of
    /// which anything after the total length is link-layer padding. The checksum is left to
    /// [`verify_checksum`](Self::verify_checksum).
    ///
    /// # Errors
    /// `Truncated` when `bytes` are shorter than the header or the total length; `BadVersion`;
    /// `BadHeaderLength` below 20; `BadLength` for a total length below the header's.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let Some(fixed) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(WireError::truncated(Layer::Ipv4, HEADER_LEN, bytes.len()));
        };
        let header_len = header_len(fixed);
        let total_len = usize::from(u16::from_be_bytes([fixed[TOTAL_LEN], fixed[TOTAL_LEN + 1]]));
        let sound = fixed[0] >> 4 == 4
            && header_len >= HEADER_LEN
            && total_len >= header_len
            && total_len <= bytes.len();
        match bytes.get(..total_len) {
            Some(packet) if sound => Ok(Ipv4 { fixed, packet }),
            _ => Err(diagnose(fixed, bytes.len())),
        }
    }

    /// Bytes in the header, options included: 20 to 60.
    #[inline]
    pub fn header_len(&self) -> usize {
        header_len(self.fixed)
    }

    /// Bytes in the packet, header included.
    #[inline]
    pub fn total_len(&self) -> usize {
        self.packet.len()
    }

    /// Type of service: DSCP in the upper 6 bits, ECN in the lower 2.
    #[inline]
    pub fn tos(&self) -> u8 {
        self.fixed[1]
    }

    /// Identification, meaningful for fragments only (RFC 6864).
    #[inline]
    pub fn id(&self) -> u16 {
        self.half(IDENT)
    }

    /// DF flag.
    #[inline]
    pub fn dont_fragment(&self) -> bool {
        self.flags_and_offset() & FLAG_DF != 0
    }

    /// MF flag.
    #[inline]
    pub fn more_fragments(&self) -> bool {
        self.flags_and_offset() & FLAG_MF != 0
    }

    /// The reserved flag, which RFC 3514 calls evil.
    #[inline]
    pub fn evil(&self) -> bool {
        self.flags_and_offset() & FLAG_RESERVED != 0
    }

    /// Where the payload belongs in the whole datagram's, in bytes: a multiple of 8 up to 65528.
    #[inline]
    pub fn fragment_offset(&self) -> usize {
        usize::from(self.flags_and_offset() & OFFSET_MASK) * 8
    }

    /// Whether this is part of a datagram only.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.flags_and_offset() & (FLAG_MF | OFFSET_MASK) != 0
    }

    /// Time to live.
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.fixed[8]
    }

    /// What the payload is.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        Protocol(self.fixed[9])
    }

    /// The header checksum field.
    #[inline]
    pub fn checksum(&self) -> u16 {
        self.half(CHECKSUM)
    }

    /// Source address.
    #[inline]
    pub fn src(&self) -> Ipv4Addr {
        self.addr(SRC)
    }

    /// Destination address.
    #[inline]
    pub fn dst(&self) -> Ipv4Addr {
        self.addr(DST)
    }

    /// The options, padding included; see [`Ipv4Options`](super::ipv4_options::Ipv4Options).
    #[inline]
    pub fn options(&self) -> &'a [u8] {
        self.packet.get(HEADER_LEN..self.header_len()).unwrap_or_default()
    }

    /// The header, options included.
    #[inline]
    pub fn header(&self) -> &'a [u8] {
        self.packet.get(..self.header_len()).unwrap_or_default()
    }

    /// What follows the header, up to the total length.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.packet.get(self.header_len()..).unwrap_or_default()
    }

    /// The whole packet, up to the total length.
    #[inline]
    pub fn packet(&self) -> &'a [u8] {
        self.packet
    }

    /// Whether the header checksum matches.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        header_checksum(self.header()) == 0
    }

    #[inline]
    fn half(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.fixed[at], self.fixed[at + 1]])
    }

    #[inline]
    fn addr(&self, at: usize) -> Ipv4Addr {
        let header = self.fixed;
        Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3])
    }

    #[inline]
    fn flags_and_offset(&self) -> u16 {
        self.half(6)
    }
}

/// An IPv4 header to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Repr {
    /// Type of service.
    pub tos: u8,
    /// Identification.
    pub id: u16,
    /// DF flag.
    pub dont_fragment: bool,
    /// MF flag.
    pub more_fragments: bool,
    /// Where the payload belongs in the whole datagram's, in bytes; a multiple of 8.
    pub fragment_offset: usize,
    /// Time to live.
    pub ttl: u8,
    /// What the payload is.
    pub protocol: Protocol,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Bytes in the packet, header included.
    pub total_len: u16,
    /// Bytes of options, padding included: a multiple of 4 up to 40.
    pub options_len: usize,
}

impl Ipv4Repr {
    /// Reads the header of a received packet.
    pub fn from_view(packet: &Ipv4<'_>) -> Self {
        Ipv4Repr {
            tos: packet.tos(),
            id: packet.id(),
            dont_fragment: packet.dont_fragment(),
            more_fragments: packet.more_fragments(),
            fragment_offset: packet.fragment_offset(),
            ttl: packet.ttl(),
            protocol: packet.protocol(),
            src: packet.src(),
            dst: packet.dst(),
            // A total length is 16 bits wide on the wire.
            total_len: packet.total_len() as u16,
            options_len: packet.header_len() - HEADER_LEN,
        }
    }

    /// Bytes in the header, options included.
    #[inline]
    pub const fn header_len(&self) -> usize {
        HEADER_LEN + self.options_len
    }

    /// Writes the first [`HEADER_LEN`] bytes of `buffer` and the checksum over those and the
    /// `options_len` bytes after them, where the caller has put the options.
    ///
    /// # Panics
    /// If `buffer` is shorter than the header, or `options_len` not a multiple of 4 up to 40.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) {
        debug_assert!(self.fragment_offset.is_multiple_of(8) && self.fragment_offset <= 65528);
        assert!(self.options_len.is_multiple_of(4) && self.header_len() <= MAX_HEADER_LEN);
        let header = &mut buffer[..self.header_len()];
        let flag = |set: bool, bit: u16| if set { bit } else { 0 };
        let flags_and_offset = flag(self.dont_fragment, FLAG_DF)
            | flag(self.more_fragments, FLAG_MF)
            | (self.fragment_offset / 8) as u16 & OFFSET_MASK;
        header[0] = 0x40 | (header.len() / 4) as u8;
        header[1] = self.tos;
        header[2..4].copy_from_slice(&self.total_len.to_be_bytes());
        header[4..6].copy_from_slice(&self.id.to_be_bytes());
        header[6..8].copy_from_slice(&flags_and_offset.to_be_bytes());
        header[8] = self.ttl;
        header[9] = self.protocol.0;
        header[12..16].copy_from_slice(&self.src.octets());
        header[16..20].copy_from_slice(&self.dst.octets());
        store_checksum(header);
    }
}

/// Sets the TTL, keeping the checksum right. Like the other setters it takes a slice that starts
/// with a header which [`Ipv4::parse`] accepts.
///
/// # Panics
/// Like the other setters, if the slice is shorter than a header.
#[inline]
pub fn set_ttl(header: &mut [u8], ttl: u8) {
    let protocol = header[9];
    replace16(header, 8, u16::from_be_bytes([ttl, protocol]));
}

/// Takes one off the TTL, unless it is zero, keeping the checksum right; returns what it is now.
#[inline]
pub fn decrement_ttl(header: &mut [u8]) -> u8 {
    let ttl = header[8].saturating_sub(1);
    set_ttl(header, ttl);
    ttl
}

/// Sets the type of service, keeping the checksum right.
#[inline]
pub fn set_tos(header: &mut [u8], tos: u8) {
    let version_and_length = header[0];
    replace16(header, 0, u16::from_be_bytes([version_and_length, tos]));
}

/// Sets the identification, keeping the checksum right.
#[inline]
pub fn set_id(header: &mut [u8], id: u16) {
    replace16(header, IDENT, id);
}

/// Sets the total length, keeping the checksum right.
#[inline]
pub fn set_total_len(header: &mut [u8], total_len: u16) {
    replace16(header, TOTAL_LEN, total_len);
}

/// Sets the source address, keeping the header checksum right; one over a pseudo-header is the
/// caller's.
#[inline]
pub fn set_src(header: &mut [u8], src: Ipv4Addr) {
    replace32(header, SRC, src.to_bits());
}

/// Sets the destination address, keeping the header checksum right; one over a pseudo-header is
/// the caller's.
#[inline]
pub fn set_dst(header: &mut [u8], dst: Ipv4Addr) {
    replace32(header, DST, dst.to_bits());
}

/// Computes and stores the checksum over the header that `packet` starts with.
///
/// # Panics
/// If `packet` is shorter than its header length field says, or that is below 20.
#[inline]
pub fn fill_checksum(packet: &mut [u8]) {
    let len = usize::from(packet[0] & 0x0f) * 4;
    store_checksum(&mut packet[..len]);
}

/// The sum over the pseudo-header of TCP and UDP (RFC 9293 §3.1, RFC 768); `len` is that of the
/// segment or datagram, header included.
#[inline]
pub fn pseudo_header_sum(src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, len: u16) -> Checksum {
    Checksum::ZERO
        .add_u32(src.to_bits())
        .add_u32(dst.to_bits())
        .add_u16(protocol.0.into())
        .add_u16(len)
}

#[inline]
fn header_len(fixed: &[u8; HEADER_LEN]) -> usize {
    usize::from(fixed[0] & 0x0f) * 4
}

/// What [`Ipv4::parse`] refused, in the order of the fields.
#[cold]
fn diagnose(fixed: &[u8; HEADER_LEN], had: usize) -> WireError {
    let version = usize::from(fixed[0] >> 4);
    let header_len = header_len(fixed);
    let total_len = usize::from(u16::from_be_bytes([fixed[TOTAL_LEN], fixed[TOTAL_LEN + 1]]));
    let field =
        |kind, offset, needed, had| WireError::field(Layer::Ipv4, kind, offset, needed, had);
    if version != 4 {
        field(WireErrorKind::BadVersion, 0, 4, version)
    } else if header_len < HEADER_LEN {
        field(WireErrorKind::BadHeaderLength, 0, HEADER_LEN, header_len)
    } else if header_len > had {
        WireError::truncated(Layer::Ipv4, header_len, had)
    } else if total_len < header_len {
        field(WireErrorKind::BadLength, TOTAL_LEN, header_len, total_len)
    } else {
        WireError::truncated(Layer::Ipv4, total_len, had)
    }
}

/// Most headers have no options.
#[inline]
fn header_checksum(header: &[u8]) -> u16 {
    match <&[u8; HEADER_LEN]>::try_from(header) {
        Ok(fixed) => Checksum::ZERO.add_array(fixed).finish(),
        Err(_) => checksum(header),
    }
}

#[inline]
fn store_checksum(header: &mut [u8]) {
    header[CHECKSUM..CHECKSUM + 2].fill(0);
    let check = header_checksum(header);
    header[CHECKSUM..CHECKSUM + 2].copy_from_slice(&check.to_be_bytes());
}

#[inline]
fn replace16(header: &mut [u8], at: usize, new: u16) {
    let header = &mut header[..HEADER_LEN];
    let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let check = checksum::update16(half(CHECKSUM), half(at), new);
    header[at..at + 2].copy_from_slice(&new.to_be_bytes());
    header[CHECKSUM..CHECKSUM + 2].copy_from_slice(&check.to_be_bytes());
}

#[inline]
fn replace32(header: &mut [u8], at: usize, new: u32) {
    let header = &mut header[..HEADER_LEN];
    let old = u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let check = u16::from_be_bytes([header[CHECKSUM], header[CHECKSUM + 1]]);
    let check = checksum::update32(check, old, new);
    header[at..at + 4].copy_from_slice(&new.to_be_bytes());
    header[CHECKSUM..CHECKSUM + 2].copy_from_slice(&check.to_be_bytes());
}

#[cfg(test)]
mod tests;
