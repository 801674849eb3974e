//! TCP headers (RFC 9293 §3.1).
//!
//! ```text
//!  0                           16                          32 bits
//!  | source port               | destination port          |  0
//!  | sequence number                                       |  4
//!  | acknowledgment number                                 |  8
//!  | data offset | 0 | flags   | window                    | 12
//!  | checksum                  | urgent pointer            | 16
//!  | options, up to 40 bytes, padded to a multiple of 4    | 20
//! ```

use super::checksum::Checksum;
use super::error::{Layer, WireError, WireErrorKind};
use super::seq::SeqNumber;
use super::tcp_options::TcpOptionsRepr;

/// Bytes in a header without options.
pub const HEADER_LEN: usize = 20;
/// Bytes in the longest header.
pub const MAX_HEADER_LEN: usize = 60;
/// Where the checksum field is.
pub const CHECKSUM_OFFSET: usize = 16;

bitflags::bitflags! {
    /// The control bits.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
    pub struct TcpFlags: u16 {
        /// No more data from the sender.
        const FIN = 0x001;
        /// Synchronise sequence numbers.
        const SYN = 0x002;
        /// Reset the connection.
        const RST = 0x004;
        /// Push.
        const PSH = 0x008;
        /// The acknowledgment field counts.
        const ACK = 0x010;
        /// The urgent pointer counts.
        const URG = 0x020;
        /// ECN echo (RFC 3168).
        const ECE = 0x040;
        /// Congestion window reduced (RFC 3168).
        const CWR = 0x080;
        /// Accurate ECN (RFC 9768).
        const AE = 0x100;
    }
}

/// A received segment.
#[derive(Debug, Clone, Copy)]
pub struct Tcp<'a> {
    fixed: &'a [u8; HEADER_LEN],
    segment: &'a [u8],
}

impl<'a> Tcp<'a> {
    /// Checks the data offset against `segment`.
    ///
    /// # Errors
    /// `Truncated` below 20 bytes or below the data offset; `BadHeaderLength` when that is below 20.
    #[inline]
    pub fn parse(segment: &'a [u8]) -> Result<Self, WireError> {
        let Some(fixed) = segment.first_chunk::<HEADER_LEN>() else {
            return Err(WireError::truncated(Layer::Tcp, HEADER_LEN, segment.len()));
        };
        let header_len = header_len(fixed);
        if header_len < HEADER_LEN {
            let kind = WireErrorKind::BadHeaderLength;
            return Err(WireError::field(Layer::Tcp, kind, 12, HEADER_LEN, header_len));
        }
        if header_len > segment.len() {
            return Err(WireError::truncated(Layer::Tcp, header_len, segment.len()));
        }
        Ok(Tcp { fixed, segment })
    }

    /// Source port.
    #[inline]
    pub fn src_port(&self) -> u16 {
        self.half(0)
    }

    /// Destination port.
    #[inline]
    pub fn dst_port(&self) -> u16 {
        self.half(2)
    }

    /// The number of the first byte of the payload, or of SYN.
    #[inline]
    pub fn seq(&self) -> SeqNumber {
        SeqNumber(self.word(4))
    }

    /// The number expected next; counts only with the ACK flag.
    #[inline]
    pub fn ack(&self) -> SeqNumber {
        SeqNumber(self.word(8))
    }

    /// Bytes in the header, options included: 20 to 60.
    #[inline]
    pub fn header_len(&self) -> usize {
        header_len(self.fixed)
    }

    /// The control bits; reserved ones are left out.
    #[inline]
    pub fn flags(&self) -> TcpFlags {
        TcpFlags::from_bits_truncate(self.half(12))
    }

    /// The window field, not scaled.
    #[inline]
    pub fn window(&self) -> u16 {
        self.half(14)
    }

    /// The checksum field.
    #[inline]
    pub fn checksum(&self) -> u16 {
        self.half(CHECKSUM_OFFSET)
    }

    /// The urgent pointer; counts only with the URG flag.
    #[inline]
    pub fn urgent(&self) -> u16 {
        self.half(18)
    }

    /// The options, padding included; see [`TcpOptions`](super::tcp_options::TcpOptions).
    #[inline]
    pub fn options(&self) -> &'a [u8] {
        self.segment.get(HEADER_LEN..self.header_len()).unwrap_or_default()
    }

    /// What follows the header.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.segment.get(self.header_len()..).unwrap_or_default()
    }

    /// How much of the sequence space it takes: the payload, SYN and FIN (RFC 9293 `SEG.LEN`).
    #[inline]
    pub fn segment_len(&self) -> u32 {
        let flags = self.flags();
        self.payload().len() as u32
            + u32::from(flags.contains(TcpFlags::SYN))
            + u32::from(flags.contains(TcpFlags::FIN))
    }

    /// Whether the checksum matches; `pseudo` is the sum over the pseudo-header.
    #[inline]
    pub fn verify_checksum(&self, pseudo: Checksum) -> bool {
        pseudo.add(self.segment).finish() == 0
    }

    #[inline]
    fn half(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.fixed[at], self.fixed[at + 1]])
    }

    #[inline]
    fn word(&self, at: usize) -> u32 {
        let header = self.fixed;
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    }
}

/// A TCP header to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpRepr<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// The number of the first byte of the payload, or of SYN.
    pub seq: SeqNumber,
    /// The number expected next.
    pub ack: SeqNumber,
    /// The control bits.
    pub flags: TcpFlags,
    /// The window field, scaled already.
    pub window: u16,
    /// The urgent pointer.
    pub urgent: u16,
    /// The options.
    pub options: TcpOptionsRepr<'a>,
}

impl TcpRepr<'_> {
    /// Bytes in the header, options and padding included.
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Writes the first [`header_len`](Self::header_len) bytes of `buffer`, the checksum as zero.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn emit(&self, buffer: &mut [u8]) {
        let header = &mut buffer[..self.header_len()];
        let offset_and_flags =
            (header.len() as u16 / 4) << 12 | self.flags.bits() & TcpFlags::all().bits();
        header[0..2].copy_from_slice(&self.src_port.to_be_bytes());
        header[2..4].copy_from_slice(&self.dst_port.to_be_bytes());
        header[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        header[8..12].copy_from_slice(&self.ack.0.to_be_bytes());
        header[12..14].copy_from_slice(&offset_and_flags.to_be_bytes());
        header[14..16].copy_from_slice(&self.window.to_be_bytes());
        header[16..18].fill(0);
        header[18..20].copy_from_slice(&self.urgent.to_be_bytes());
        self.options.emit(&mut header[HEADER_LEN..]);
    }
}

/// Computes and stores the checksum of a whole `segment`.
///
/// # Panics
/// If it is shorter than the fixed header.
pub fn fill_checksum(segment: &mut [u8], pseudo: Checksum) {
    segment[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].fill(0);
    let check = pseudo.add(segment).finish();
    segment[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&check.to_be_bytes());
}

#[inline]
fn header_len(fixed: &[u8; HEADER_LEN]) -> usize {
    usize::from(fixed[12] >> 4) * 4
}

#[cfg(test)]
mod tests;
