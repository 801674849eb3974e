//! Buffers kept for reuse, so that the steady state allocates nothing.

use alloc::vec::Vec;

use super::{HEADROOM, Packet};

/// Data bytes in a small buffer: a full Ethernet frame at MTU 1500 with tags.
const SMALL: usize = 2048 - HEADROOM;
/// Data bytes in a large buffer: the largest IPv4 packet with its link-layer header.
const LARGE: usize = 65536 + 64;
/// Data bytes in buffers of each size. What is put together from several packets is kept in one no
/// more than twice as long, as memory is accounted for by the buffer.
const SIZES: [usize; 6] =
    [SMALL, 4096 - HEADROOM, 8192 - HEADROOM, 16384 - HEADROOM, 32768 - HEADROOM, LARGE];

/// Free buffers in a few sizes, each list bounded.
#[derive(Debug)]
pub struct PacketPool {
    free: [Vec<Packet>; SIZES.len()],
    small_limit: usize,
    large_limit: usize,
}

impl PacketPool {
    /// A pool that keeps at most `small_limit` free buffers of 2 KiB and `large_limit` of each
    /// larger size: 4, 8, 16, 32 and 64 KiB.
    pub fn new(small_limit: usize, large_limit: usize) -> Self {
        PacketPool { free: Default::default(), small_limit, large_limit }
    }

    /// An empty packet with room for `capacity` bytes behind [`HEADROOM`], from the free list when
    /// it has one.
    pub fn take(&mut self, capacity: usize) -> Packet {
        let Some(class) = SIZES.iter().position(|size| capacity <= *size) else {
            return Packet::with_capacity(capacity);
        };
        match self.free[class].pop() {
            Some(mut packet) => {
                packet.reset();
                packet
            }
            None => Packet::with_capacity(SIZES[class]),
        }
    }

    /// A free packet whose buffer is as large as that of `packet`, if one is kept: to give its owner
    /// something back for it.
    pub fn take_like(&mut self, packet: &Packet) -> Option<Packet> {
        let class = class_of(packet)?;
        let mut free = self.free[class].pop()?;
        free.reset();
        Some(free)
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
        let Some(class) = class_of(&packet) else { return };
        let limit = if class == 0 { self.small_limit } else { self.large_limit };
        let list = &mut self.free[class];
        if list.len() < limit {
            list.push(packet);
        }
    }

    /// Shares free buffers with another pool, where one has less than half of what it may keep and
    /// the other has more: buffers that are taken from one pool and put into another go back this
    /// way.
    pub fn share(&mut self, other: &mut PacketPool) {
        for class in 0..SIZES.len() {
            let limit = |pool: &PacketPool| match class {
                0 => pool.small_limit,
                _ => pool.large_limit,
            };
            let (half, others_half) = (limit(self) / 2, limit(other) / 2);
            let (mine, others) = (&mut self.free[class], &mut other.free[class]);
            if mine.len() > half && others.len() < others_half {
                let count = (mine.len() - half).min(others_half - others.len());
                others.extend(mine.drain(mine.len() - count..));
            } else if others.len() > others_half && mine.len() < half {
                let count = (others.len() - others_half).min(half - mine.len());
                mine.extend(others.drain(others.len() - count..));
            }
        }
    }

    /// How many free buffers are kept, small and larger.
    pub fn free(&self) -> (usize, usize) {
        let [small, larger @ ..] = &self.free;
        (small.len(), larger.iter().map(Vec::len).sum())
    }
}

/// Which of the lists a packet's buffer belongs to.
#[inline]
fn class_of(packet: &Packet) -> Option<usize> {
    let size = packet.true_size().wrapping_sub(HEADROOM);
    SIZES.iter().position(|other| *other == size)
}
