//! The header in front of each frame of a TAP with `IFF_VNET_HDR`: `struct virtio_net_hdr`
//! (`linux/virtio_net.h`), little-endian as `TUNSETVNETLE` has it.
//!
//! ```text
//!  0       1          2         4          6            8             10
//!  | flags | gso_type | hdr_len | gso_size | csum_start | csum_offset | frame …
//! ```
//! What it says of a frame is the checksum state and segmentation of a [`Packet`], but that it
//! counts from the Ethernet header where a packet counts from the network header.

use std::io;

use tapping_stack::packet::{ChecksumState, Gso, GsoKind, Packet};
use tapping_stack::wire::udp;

use crate::checksum::network_offset;

#[cfg(test)]
mod tests;

/// Bytes of the header.
pub(super) const LEN: usize = 10;

/// `VIRTIO_NET_HDR_F_*`: bits of `flags`.
const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
/// `VIRTIO_NET_HDR_GSO_*`: `gso_type`, and the bit that may be in it.
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// Where TCP has its data offset.
const TCP_DATA_OFFSET: usize = 12;

/// What the header says of the transport checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sum {
    /// Nothing.
    #[default]
    Unknown,
    /// It was verified.
    Valid,
    /// It is to be summed from `start` on and stored `offset` bytes behind that.
    Needed { start: u16, offset: u16 },
}

/// The kinds of large segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    TcpV4,
    TcpV6,
    /// Datagrams of either IP version.
    Udp,
}

/// How a frame is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Large {
    pub(super) kind: Kind,
    /// CWR is for the first segment only.
    pub(super) ecn: bool,
    /// Payload bytes in each segment; never 0.
    pub(super) size: u16,
    /// Bytes of all headers, a hint.
    pub(super) headers: u16,
}

/// The header, parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Header {
    pub(super) sum: Sum,
    pub(super) large: Option<Large>,
}

/// A header that says what cannot be, of a frame of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("virtio-net header: needed {LEN} bytes, had {had}")]
    Short { had: usize },
    #[error("virtio-net header: GSO type {gso_type:#04x} of size {size}")]
    Gso { gso_type: u8, size: u16 },
    #[error("virtio-net header: a checksum at {start}+{offset} in a frame of {len} bytes")]
    Sum { start: u16, offset: u16, len: usize },
}

impl From<HeaderError> for io::Error {
    fn from(error: HeaderError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

impl Header {
    /// The header and the frame behind it (Linux `virtio_net_hdr_to_skb`).
    pub(super) fn parse(bytes: &[u8]) -> Result<(Header, &[u8]), HeaderError> {
        let Some((header, frame)) = bytes.split_first_chunk::<LEN>() else {
            return Err(HeaderError::Short { had: bytes.len() });
        };
        let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let (headers, size, start, offset) = (word(2), word(4), word(6), word(8));
        let sum = if header[0] & NEEDS_CSUM != 0 {
            if usize::from(start) + usize::from(offset) + 2 > frame.len() {
                return Err(HeaderError::Sum { start, offset, len: frame.len() });
            }
            Sum::Needed { start, offset }
        } else if header[0] & DATA_VALID != 0 {
            Sum::Valid
        } else {
            Sum::Unknown
        };
        let ecn = header[1] & GSO_ECN != 0;
        let kind = match header[1] & !GSO_ECN {
            GSO_NONE => None,
            GSO_TCPV4 => Some(Kind::TcpV4),
            GSO_TCPV6 => Some(Kind::TcpV6),
            GSO_UDP_L4 if !ecn => Some(Kind::Udp),
            _ => return Err(HeaderError::Gso { gso_type: header[1], size }),
        };
        if kind.is_some() && size == 0 {
            return Err(HeaderError::Gso { gso_type: header[1], size });
        }
        let large = kind.map(|kind| Large { kind, ecn, size, headers });
        Ok((Header { sum, large }, frame))
    }

    /// Writes the header.
    pub(super) fn emit(self, bytes: &mut [u8; LEN]) {
        let (flags, start, offset) = match self.sum {
            Sum::Unknown => (0, 0, 0),
            Sum::Valid => (DATA_VALID, 0, 0),
            Sum::Needed { start, offset } => (NEEDS_CSUM, start, offset),
        };
        let (gso_type, headers, size) = match self.large {
            None => (GSO_NONE, 0, 0),
            Some(Large { kind, ecn, size, headers }) => {
                let gso_type = match kind {
                    Kind::TcpV4 => GSO_TCPV4,
                    Kind::TcpV6 => GSO_TCPV6,
                    Kind::Udp => GSO_UDP_L4,
                };
                (if ecn { gso_type | GSO_ECN } else { gso_type }, headers, size)
            }
        };
        (bytes[0], bytes[1]) = (flags, gso_type);
        for (at, word) in [(2, headers), (4, size), (6, start), (8, offset)] {
            bytes[at..at + 2].copy_from_slice(&word.to_le_bytes());
        }
    }
}

/// Takes the header off a received packet and puts what it says into the metadata.
pub(super) fn take(packet: &mut Packet) -> Result<(), HeaderError> {
    let (header, frame) = Header::parse(packet.bytes())?;
    let network = network_offset(frame);
    let checksum = match header.sum {
        Sum::Unknown => ChecksumState::None,
        Sum::Valid => ChecksumState::Unnecessary,
        Sum::Needed { start, offset } => match usize::from(start).checked_sub(network) {
            // It starts inside a frame whose length it was checked against.
            Some(start) => ChecksumState::Partial { start: start as u16, offset },
            None => return Err(HeaderError::Sum { start, offset, len: frame.len() }),
        },
    };
    let gso = header.large.and_then(|large| {
        let kind = match large.kind {
            Kind::TcpV4 => GsoKind::TcpV4 { ecn: large.ecn },
            Kind::Udp => GsoKind::UdpV4,
            // Nothing that was asked for, and nothing that would be cut.
            Kind::TcpV6 => return None,
        };
        let payload = frame.len().saturating_sub(headers_len(frame, kind));
        let segments = payload.div_ceil(large.size.into()).clamp(1, u16::MAX.into()) as u16;
        Some(Gso { kind, size: large.size, segments, fixed_id: false })
    });
    packet.pull(LEN);
    (packet.meta.checksum, packet.meta.gso) = (checksum, gso);
    Ok(())
}

/// Puts the header that the metadata asks for in front of a frame to be sent.
pub(super) fn put(packet: &mut Packet) {
    let frame = packet.bytes();
    let sum = match packet.meta.checksum {
        ChecksumState::None | ChecksumState::Unnecessary => Sum::Unknown,
        ChecksumState::Partial { start, offset } => {
            let start = network_offset(frame).saturating_add(start.into());
            Sum::Needed { start: start.try_into().unwrap_or(u16::MAX), offset }
        }
    };
    let large = packet.meta.gso.map(|gso| {
        let (kind, ecn) = match gso.kind {
            GsoKind::TcpV4 { ecn } => (Kind::TcpV4, ecn),
            GsoKind::UdpV4 => (Kind::Udp, false),
        };
        let headers = headers_len(frame, gso.kind).try_into().unwrap_or(u16::MAX);
        Large { kind, ecn, size: gso.size, headers }
    });
    let header = packet.push(LEN);
    if let Ok(header) = header.try_into() {
        Header { sum, large }.emit(header);
    }
}

/// Bytes before the payload of an IPv4 packet in an Ethernet frame, as the frame says; at most all.
fn headers_len(frame: &[u8], kind: GsoKind) -> usize {
    let network = network_offset(frame);
    let byte = |at: usize| frame.get(at).copied().unwrap_or(0);
    let transport = network + usize::from(byte(network) & 0x0f) * 4;
    let len = match kind {
        GsoKind::TcpV4 { .. } => usize::from(byte(transport + TCP_DATA_OFFSET) >> 4) * 4,
        GsoKind::UdpV4 => udp::HEADER_LEN,
    };
    (transport + len).min(frame.len())
}
