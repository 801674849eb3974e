//! The buffer of a packet.
//!
//! ```text
//!  0         mac_header  network_header  transport_header                      storage end
//!  | headroom | ethernet   | ip            | udp, tcp, icmp   | payload | tailroom |
//!             ^ head (moves right as layers are pulled)                 ^ tail
//! ```
//! Invariant: `head <= tail <= storage.len()`, and every layer offset is at most `tail`.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use super::meta::{ChecksumState, Metadata};
use crate::wire::checksum;

/// Room left in front of a received frame or a new packet: enough for Ethernet, two tags, an
/// outer IPv4 + UDP + VXLAN header and some to spare.
pub const HEADROOM: usize = 128;

/// One packet, owned: a pointer, so that handing it on costs nothing. See the [module](super) for
/// how it is used, and [`PacketBuffer`] for what it can do.
#[derive(Debug, Default)]
pub struct Packet(Box<PacketBuffer>);

/// What a [`Packet`] points to: bytes, layer offsets and metadata.
#[derive(Debug, Default)]
pub struct PacketBuffer {
    storage: Vec<u8>,
    head: usize,
    tail: usize,
    mac: u32,
    network: u32,
    transport: u32,
    /// What travels with the bytes.
    pub meta: Metadata,
}

impl Deref for Packet {
    type Target = PacketBuffer;

    #[inline]
    fn deref(&self) -> &PacketBuffer {
        &self.0
    }
}

impl DerefMut for Packet {
    #[inline]
    fn deref_mut(&mut self) -> &mut PacketBuffer {
        &mut self.0
    }
}

impl Packet {
    /// An empty packet over `storage`, whose whole length is used, leaving `headroom` bytes free
    /// in front. A `headroom` beyond the storage leaves no room behind it.
    pub fn over(storage: Vec<u8>, headroom: usize) -> Self {
        let mut buffer = PacketBuffer { storage, ..PacketBuffer::default() };
        buffer.clear(headroom);
        Packet(Box::new(buffer))
    }

    /// An empty packet with [`HEADROOM`] in front and `capacity` bytes behind.
    pub fn with_capacity(capacity: usize) -> Self {
        Packet::over(alloc::vec![0; HEADROOM + capacity], HEADROOM)
    }

    /// A packet holding a copy of `bytes`, with [`HEADROOM`] in front.
    pub fn from_slice(bytes: &[u8]) -> Self {
        let mut packet = Packet::with_capacity(bytes.len());
        packet.put_slice(bytes);
        packet
    }

    /// A duplicate with its own storage, metadata and layer offsets included.
    pub fn duplicate(&self) -> Self {
        Packet(Box::new(PacketBuffer { storage: self.storage.clone(), meta: self.meta, ..*self.0 }))
    }
}

impl PacketBuffer {
    /// Bytes of storage behind this packet, whatever its length (Linux `skb->truesize`).
    pub fn true_size(&self) -> usize {
        self.storage.len()
    }

    /// The current bytes, from the head to the tail.
    pub fn bytes(&self) -> &[u8] {
        &self.storage[self.head..self.tail]
    }

    /// The current bytes, mutable.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.head..self.tail]
    }

    /// How many bytes [`bytes`](Self::bytes) has.
    pub fn len(&self) -> usize {
        self.tail - self.head
    }

    /// Whether no byte is left.
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// Free bytes in front.
    pub fn headroom(&self) -> usize {
        self.head
    }

    /// Free bytes behind.
    pub fn tailroom(&self) -> usize {
        self.storage.len() - self.tail
    }

    /// Prepends `n` bytes and returns them; what they hold is whatever was there. Without the
    /// headroom for it the storage is replaced by a larger one, once.
    pub fn push(&mut self, n: usize) -> &mut [u8] {
        if n > self.head {
            self.grow_head(n);
        }
        self.head -= n;
        &mut self.storage[self.head..self.head + n]
    }

    /// Removes up to `n` bytes from the front; they stay in the headroom, where the layer offsets
    /// can still see them.
    pub fn pull(&mut self, n: usize) {
        self.head = self.head.saturating_add(n).min(self.tail);
    }

    /// Appends `n` bytes, zeroed, and returns them; grows the storage when there is no room.
    pub fn put(&mut self, n: usize) -> &mut [u8] {
        let start = self.tail;
        self.reserve_tail(n);
        self.tail += n;
        let new = &mut self.storage[start..start + n];
        new.fill(0);
        new
    }

    /// Appends a copy of `bytes`.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        let start = self.tail;
        self.reserve_tail(bytes.len());
        self.tail += bytes.len();
        self.storage[start..self.tail].copy_from_slice(bytes);
    }

    /// The free bytes behind the tail, for a device to read into; [`commit`](Self::commit) then
    /// makes them part of the packet.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.tail..]
    }

    /// Makes the first `n` bytes of [`spare_mut`](Self::spare_mut) part of the packet, at most as
    /// many as there are.
    pub fn commit(&mut self, n: usize) {
        self.tail = self.tail.saturating_add(n).min(self.storage.len());
    }

    /// Shortens to `len` bytes; does nothing when it is not longer.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.tail = self.head + len;
            let tail = self.tail as u32;
            self.mac = self.mac.min(tail);
            self.network = self.network.min(tail);
            self.transport = self.transport.min(tail);
        }
    }

    /// Empties the packet and clears its metadata, leaving [`HEADROOM`] in front.
    pub fn reset(&mut self) {
        self.clear(HEADROOM);
    }

    /// Marks the head as where the link-layer header starts.
    pub fn mark_mac(&mut self) {
        self.mac = self.head as u32;
    }

    /// Marks the head as where the network header starts.
    pub fn mark_network(&mut self) {
        self.network = self.head as u32;
    }

    /// Marks the byte `offset` after the head as where the transport header starts.
    pub fn mark_transport(&mut self, offset: usize) {
        self.transport = self.head.saturating_add(offset).min(self.tail) as u32;
    }

    /// From the link-layer header to the tail.
    pub fn mac(&self) -> &[u8] {
        &self.storage[self.mac as usize..self.tail]
    }

    /// From the network header to the tail.
    pub fn network(&self) -> &[u8] {
        &self.storage[self.network as usize..self.tail]
    }

    /// From the network header to the tail, mutable.
    pub fn network_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.network as usize..self.tail]
    }

    /// From the transport header to the tail.
    pub fn transport(&self) -> &[u8] {
        &self.storage[self.transport as usize..self.tail]
    }

    /// From the transport header to the tail, mutable.
    pub fn transport_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.transport as usize..self.tail]
    }

    /// Marks the head as where a link-layer header of `link` bytes starts, and what follows it as a
    /// network header of `network` bytes and the transport header.
    pub(crate) fn mark_layers(&mut self, link: usize, network: usize) {
        self.mac = self.head as u32;
        self.network = (self.head + link).min(self.tail) as u32;
        self.transport = (self.head + link + network).min(self.tail) as u32;
    }

    /// Moves the head to the network header, back or forth.
    pub fn rewind_to_network(&mut self) {
        self.head = self.network as usize;
    }

    /// Moves the head to the transport header, back or forth.
    pub fn seek_to_transport(&mut self) {
        self.head = self.transport as usize;
    }

    /// Bytes between the network and the transport header.
    pub fn network_header_len(&self) -> usize {
        self.transport.saturating_sub(self.network) as usize
    }

    /// Completes a [`ChecksumState::Partial`] checksum in software (Linux `skb_checksum_help`).
    pub fn finish_checksum(&mut self) {
        let ChecksumState::Partial { start, offset } = self.meta.checksum else { return };
        self.meta.checksum = ChecksumState::None;
        if let Some(covered) = self.network_mut().get_mut(usize::from(start)..) {
            checksum::complete(covered, usize::from(offset));
        }
    }

    fn clear(&mut self, headroom: usize) {
        self.head = headroom.min(self.storage.len());
        self.tail = self.head;
        let head = self.head as u32;
        (self.mac, self.network, self.transport) = (head, head, head);
        self.meta = Metadata::default();
    }

    fn reserve_tail(&mut self, n: usize) {
        let needed = self.tail + n;
        if needed > self.storage.len() {
            self.storage.resize(needed, 0);
        }
    }

    fn grow_head(&mut self, n: usize) {
        let shift = n - self.head + HEADROOM;
        let mut storage = alloc::vec![0; self.storage.len() + shift];
        storage[shift..].copy_from_slice(&self.storage);
        self.storage = storage;
        self.head += shift;
        self.tail += shift;
        self.mac += shift as u32;
        self.network += shift as u32;
        self.transport += shift as u32;
    }
}
