//! ICMPv4 (RFC 792, with RFC 950, 1191, 1256 and 1812).
//!
//! ```text
//!  0      1      2             4                           8
//!  | type | code | checksum    | by type: ident, sequence  | payload: data, or for errors the
//!  |                           | | pointer | MTU | gateway | header and first bytes of the packet
//! ```

use core::net::Ipv4Addr;

use super::checksum::checksum;
use super::error::{Layer, WireError};

pub use super::icmpv4_message::{Message, RedirectCode, TimeExceeded, Unreachable};

/// Bytes in the header that every message has.
pub const HEADER_LEN: usize = 8;
/// Where the checksum field is.
pub const CHECKSUM_OFFSET: usize = 2;
/// Bytes in a timestamp message.
pub const TIMESTAMP_LEN: usize = 20;
/// Bytes in an address mask message.
pub const ADDRESS_MASK_LEN: usize = 12;

/// Message types (RFC 792, 950, 1256).
pub mod types {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const DESTINATION_UNREACHABLE: u8 = 3;
    /// Source quench, obsolete (RFC 6633).
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO: u8 = 8;
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: u8 = 9;
    /// Router solicitation.
    pub const ROUTER_SOLICITATION: u8 = 10;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Timestamp request.
    pub const TIMESTAMP: u8 = 13;
    /// Timestamp reply.
    pub const TIMESTAMP_REPLY: u8 = 14;
    /// Information request, obsolete.
    pub const INFORMATION_REQUEST: u8 = 15;
    /// Information reply, obsolete.
    pub const INFORMATION_REPLY: u8 = 16;
    /// Address mask request.
    pub const ADDRESS_MASK_REQUEST: u8 = 17;
    /// Address mask reply.
    pub const ADDRESS_MASK_REPLY: u8 = 18;
}

/// Codes of a parameter problem (RFC 792, RFC 1108, RFC 1122 §3.2.2.5).
pub mod parameter_problem {
    /// The pointer names the byte at fault.
    pub const POINTER: u8 = 0;
    /// A required option is missing; the pointer holds its kind.
    pub const MISSING_OPTION: u8 = 1;
    /// Bad length.
    pub const BAD_LENGTH: u8 = 2;
}

/// A received message.
#[derive(Debug, Clone, Copy)]
pub struct Icmpv4<'a> {
    header: &'a [u8; HEADER_LEN],
    bytes: &'a [u8],
    message: Message,
}

impl<'a> Icmpv4<'a> {
    /// Checks that all fields of the type are there. The checksum is left to
    /// [`verify_checksum`](Self::verify_checksum).
    ///
    /// # Errors
    /// `Truncated` below 8 bytes, 20 for timestamps, 12 for address masks.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(WireError::truncated(Layer::Icmpv4, HEADER_LEN, bytes.len()));
        };
        let needed = header_len(header[0]);
        if bytes.len() < needed {
            return Err(WireError::truncated(Layer::Icmpv4, needed, bytes.len()));
        }
        Ok(Icmpv4 { header, bytes, message: Message::read(header, bytes) })
    }

    /// The type byte, one of [`types`].
    #[inline]
    pub fn icmp_type(&self) -> u8 {
        self.header[0]
    }

    /// The code byte.
    #[inline]
    pub fn code(&self) -> u8 {
        self.header[1]
    }

    /// The checksum field.
    #[inline]
    pub fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// The fields by type.
    #[inline]
    pub fn message(&self) -> Message {
        self.message
    }

    /// The identifier, in the types that have one.
    #[inline]
    pub fn ident(&self) -> u16 {
        u16::from_be_bytes([self.header[4], self.header[5]])
    }

    /// The sequence number, in the types that have one.
    #[inline]
    pub fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.header[6], self.header[7]])
    }

    /// Bytes 4 to 7, whatever they mean.
    #[inline]
    pub fn rest(&self) -> [u8; 4] {
        let [_, _, _, _, rest @ ..] = *self.header;
        rest
    }

    /// What follows the first 8 bytes: echo data, or the packet that an error is about.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Whether the checksum over the whole message matches.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        checksum(self.bytes) == 0
    }

    /// The routers of an advertisement with their preferences, higher is better (RFC 1256 §3); as
    /// many as are there, whatever number is claimed. Of other types nothing.
    pub fn routers(&self) -> impl Iterator<Item = (Ipv4Addr, i32)> + 'a {
        let (count, words) = match self.message {
            Message::RouterAdvertisement { count, entry_words, .. } => (count, entry_words),
            _ => (0, 0),
        };
        // RFC 1256 §5: an advertisement with entries below two words is not valid.
        let count = if words < 2 { 0 } else { count };
        let entries = self.payload().chunks_exact(usize::from(words).max(2) * 4);
        entries.take(count.into()).filter_map(|entry| {
            let (addr, rest) = entry.split_first_chunk::<4>()?;
            Some((Ipv4Addr::from(*addr), i32::from_be_bytes(*rest.first_chunk()?)))
        })
    }
}

/// Whether messages of this type report an error in another packet, and therefore must not be
/// answered by one (RFC 1122 §3.2.2).
#[inline]
pub const fn is_error(icmp_type: u8) -> bool {
    matches!(
        icmp_type,
        types::DESTINATION_UNREACHABLE
            | types::SOURCE_QUENCH
            | types::REDIRECT
            | types::TIME_EXCEEDED
            | types::PARAMETER_PROBLEM
    )
}

/// Bytes of the fields that messages of this type have.
#[inline]
pub const fn header_len(icmp_type: u8) -> usize {
    match icmp_type {
        types::TIMESTAMP | types::TIMESTAMP_REPLY => TIMESTAMP_LEN,
        types::ADDRESS_MASK_REQUEST | types::ADDRESS_MASK_REPLY => ADDRESS_MASK_LEN,
        _ => HEADER_LEN,
    }
}

/// Computes and stores the checksum of a whole `message`.
///
/// # Panics
/// If it is shorter than 4 bytes.
#[inline]
pub fn fill_checksum(message: &mut [u8]) {
    message[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].fill(0);
    let check = checksum(message);
    message[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&check.to_be_bytes());
}

#[cfg(test)]
mod tests;
