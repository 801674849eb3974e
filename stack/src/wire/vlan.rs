//! IEEE 802.1Q and 802.1ad tags.
//!
//! ```text
//!  0  3  4          16              32 bits
//!  |PCP|D| VID      | inner type    | payload      (the outer type, 0x8100 or 0x88a8, precedes)
//! ```

use super::error::{Layer, WireError};
use super::ethernet::EtherType;

/// Bytes of a tag after the type that announces it.
pub const HEADER_LEN: usize = 4;

/// A received tag and what it wraps.
#[derive(Debug, Clone, Copy)]
pub struct Vlan<'a> {
    header: &'a [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> Vlan<'a> {
    /// Takes the tag off `bytes`, which start after the type that announced it.
    ///
    /// # Errors
    /// `Truncated` below 4 bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        match bytes.split_first_chunk() {
            Some((header, payload)) => Ok(Vlan { header, payload }),
            None => Err(WireError::truncated(Layer::Vlan, HEADER_LEN, bytes.len())),
        }
    }

    /// Priority code point, 0 to 7.
    #[inline]
    pub fn pcp(&self) -> u8 {
        self.header[0] >> 5
    }

    /// Drop eligible indicator.
    #[inline]
    pub fn dei(&self) -> bool {
        self.header[0] & 0x10 != 0
    }

    /// VLAN identifier, 0 to 4095; 0 means that only the priority counts.
    #[inline]
    pub fn vid(&self) -> u16 {
        u16::from_be_bytes([self.header[0] & 0x0f, self.header[1]])
    }

    /// What the payload is; may announce another tag.
    #[inline]
    pub fn ethertype(&self) -> EtherType {
        EtherType(u16::from_be_bytes([self.header[2], self.header[3]]))
    }

    /// Everything after the tag.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A tag to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VlanRepr {
    /// Priority code point; only its low 3 bits go out.
    pub pcp: u8,
    /// Drop eligible indicator.
    pub dei: bool,
    /// VLAN identifier; only its low 12 bits go out.
    pub vid: u16,
    /// What the payload is.
    pub ethertype: EtherType,
}

impl VlanRepr {
    /// Reads a received tag.
    pub fn from_view(tag: &Vlan<'_>) -> Self {
        VlanRepr { pcp: tag.pcp(), dei: tag.dei(), vid: tag.vid(), ethertype: tag.ethertype() }
    }

    /// Writes the first [`HEADER_LEN`] bytes of `buffer`.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) {
        let control = u16::from(self.pcp & 7) << 13 | u16::from(self.dei) << 12 | self.vid & 0xfff;
        let header = &mut buffer[..HEADER_LEN];
        header[0..2].copy_from_slice(&control.to_be_bytes());
        header[2..4].copy_from_slice(&self.ethertype.0.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
