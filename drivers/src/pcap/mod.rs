//! Captures: writing what passes a device to a pcapng file, and replaying such a file as a device.
//!
//! Formats: draft-ietf-opsawg-pcapng for pcapng, draft-ietf-opsawg-pcap for the older pcap.

mod read;
mod replay;
#[cfg(test)]
mod tests;
mod write;

pub use read::{CaptureReader, Record};
pub use replay::{Pace, Replay};
pub use write::{Capture, CaptureFile, Direction};

/// `LINKTYPE_ETHERNET`.
const LINKTYPE_ETHERNET: u16 = 1;
/// Block types of pcapng.
const SECTION_HEADER_BLOCK: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION_BLOCK: u32 = 1;
const SIMPLE_PACKET_BLOCK: u32 = 3;
const ENHANCED_PACKET_BLOCK: u32 = 6;
/// The section header's byte-order magic.
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Option: log2 or log10 of the timestamp's units per second.
const OPTION_IF_TSRESOL: u16 = 9;
/// The longest frame kept or taken (the limit that libpcap has too).
const MAX_FRAME: u32 = 262_144;
