//! UDP (RFC 768).
//!
//! ```text
//!  0             2             4             6             8
//!  | source port | dest. port  | length      | checksum    | payload
//! ```

use super::checksum::Checksum;
use super::error::{Layer, WireError, WireErrorKind};

/// Bytes in a UDP header.
pub const HEADER_LEN: usize = 8;
/// Where the checksum field is.
pub const CHECKSUM_OFFSET: usize = 6;

/// A received datagram.
#[derive(Debug, Clone, Copy)]
pub struct Udp<'a> {
    header: &'a [u8; HEADER_LEN],
    datagram: &'a [u8],
}

impl<'a> Udp<'a> {
    /// Checks the length field; bytes after that length are not part of the datagram.
    ///
    /// # Errors
    /// `Truncated` below 8 bytes or below the length field; `BadLength` when that is below 8.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(WireError::truncated(Layer::Udp, HEADER_LEN, bytes.len()));
        };
        let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if len < HEADER_LEN {
            let kind = WireErrorKind::BadLength;
            return Err(WireError::field(Layer::Udp, kind, 4, HEADER_LEN, len));
        }
        match bytes.get(..len) {
            Some(datagram) => Ok(Udp { header, datagram }),
            None => Err(WireError::truncated(Layer::Udp, len, bytes.len())),
        }
    }

    /// Source port.
    #[inline]
    pub fn src_port(&self) -> u16 {
        u16::from_be_bytes([self.header[0], self.header[1]])
    }

    /// Destination port.
    #[inline]
    pub fn dst_port(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// Bytes in the datagram, header included.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u16 {
        u16::from_be_bytes([self.header[4], self.header[5]])
    }

    /// The checksum field; zero when the sender made none.
    #[inline]
    pub fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.header[6], self.header[7]])
    }

    /// What follows the header.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.datagram.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Whether the checksum matches, or there is none. `pseudo` is the sum over the pseudo-header
    /// with the length of the datagram.
    #[inline]
    pub fn verify_checksum(&self, pseudo: Checksum) -> bool {
        // RFC 768: an all zero transmitted checksum means that there is none.
        self.checksum() == 0 || pseudo.add(self.datagram).finish() == 0
    }
}

/// A UDP header to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpRepr {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Bytes in the datagram, header included.
    pub len: u16,
}

impl UdpRepr {
    /// Reads the header of a received datagram.
    pub fn from_view(udp: &Udp<'_>) -> Self {
        UdpRepr { src_port: udp.src_port(), dst_port: udp.dst_port(), len: udp.len() }
    }

    /// Writes the first [`HEADER_LEN`] bytes of `buffer`, the checksum as zero.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) {
        let header = &mut buffer[..HEADER_LEN];
        header[0..2].copy_from_slice(&self.src_port.to_be_bytes());
        header[2..4].copy_from_slice(&self.dst_port.to_be_bytes());
        header[4..6].copy_from_slice(&self.len.to_be_bytes());
        header[6..8].fill(0);
    }
}

/// Computes and stores the checksum of a whole `datagram`.
///
/// # Panics
/// If it is shorter than [`HEADER_LEN`].
pub fn fill_checksum(datagram: &mut [u8], pseudo: Checksum) {
    datagram[CHECKSUM_OFFSET..HEADER_LEN].fill(0);
    // RFC 768: a computed zero is transmitted as all ones.
    let check = match pseudo.add(datagram).finish() {
        0 => 0xffff,
        check => check,
    };
    datagram[CHECKSUM_OFFSET..HEADER_LEN].copy_from_slice(&check.to_be_bytes());
}

#[cfg(test)]
mod tests;
