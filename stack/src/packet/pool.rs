//! Buffers kept for reuse, so that the steady state allocates nothing.

use alloc::vec::Vec;

use super::{HEADROOM, Packet};

/// Data bytes in a small buffer: a full Ethernet frame at MTU 1500 with tags.
const SMALL: usize = 2048 - HEADROOM;
/// Data bytes in a large buffer: the largest IPv4 packet with its link-layer header.
const LARGE: usize = 65536 + 64;

/// Free buffers in two sizes, each list bounded.
#[derive(Debug)]
pub struct PacketPool {
    small: Vec<Packet>,
    large: Vec<Packet>,
    small_limit: usize,
    large_limit: usize,
}

impl PacketPool {
    /// A pool that keeps at most so many free buffers of each size (2 KiB and 64 KiB).
    pub fn new(small_limit: usize, large_limit: usize) -> Self {
        PacketPool { small: Vec::new(), large: Vec::new(), small_limit, large_limit }
    }

    /// An empty packet with room for `capacity` bytes behind [`HEADROOM`], from the free list when
    /// it has one.
    pub fn take(&mut self, capacity: usize) -> Packet {
        let (list, size) = if capacity <= SMALL {
            (&mut self.small, SMALL)
        } else if capacity <= LARGE {
            (&mut self.large, LARGE)
        } else {
            return Packet::with_capacity(capacity);
        };
        match list.pop() {
            Some(mut packet) => {
                packet.reset();
                packet
            }
            None => Packet::with_capacity(size),
        }
    }

    /// A copy of a packet from its network header on, metadata included.
    pub fn copy(&mut self, packet: &Packet) -> Packet {
        let mut copy = self.take(packet.network().len());
        copy.meta = packet.meta;
        copy.put_slice(packet.network());
        copy.mark_mac();
        copy.mark_network();
        copy.mark_transport(packet.network_header_len());
        copy
    }

    /// Takes a packet that is done with; keeps it if there is room.
    pub fn put(&mut self, packet: Packet) {
        let (list, limit) = match packet.true_size().checked_sub(HEADROOM) {
            Some(SMALL) => (&mut self.small, self.small_limit),
            Some(LARGE) => (&mut self.large, self.large_limit),
            _ => return,
        };
        if list.len() < limit {
            list.push(packet);
        }
    }

    /// How many free buffers are kept, small and large.
    pub fn free(&self) -> (usize, usize) {
        (self.small.len(), self.large.len())
    }
}
