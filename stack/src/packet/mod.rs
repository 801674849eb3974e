//! One packet: one owned buffer with headroom, offsets of its layers, and metadata.
//!
//! A frame is read into a buffer once and then moved, never copied, from layer to layer, across a
//! virtual link and into a socket. Headers are pushed into the headroom; a reply reuses the buffer
//! of its request; what is done with goes back to the [`PacketPool`].

mod buffer;
mod meta;
mod pool;
pub(crate) mod segment;
#[cfg(test)]
mod tests;

pub use buffer::{HEADROOM, Packet, PacketBuffer};
pub use meta::{ChecksumState, ConntrackRef, Gso, GsoKind, LinkId, Metadata, PacketType};
pub use pool::PacketPool;
pub use segment::{Sums, segment};
