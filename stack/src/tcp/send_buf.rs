//! What the application has written and the peer has not acknowledged yet.
//!
//! ```text
//!   chunks   [.....xxxxxxxxxxx][xxxxxxxxxxxxxxxx][xxxxxxx         ]
//!                 ^ start (snd_una)                     ^ end (write_seq)
//! ```
//! Bytes are written once and copied into packets whenever they are sent. Invariant: every chunk
//! but the last is [`CHUNK`] bytes, so a byte is found by division.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Bytes in a chunk: what the largest segment has room for when each on the wire has the 1448 bytes
/// of Ethernet, so that whoever fills one fills the other.
pub(crate) const CHUNK: usize = 45 * 1448;
/// The first chunk of a connection that writes little.
const SMALL_CHUNK: usize = 512;

/// Free chunks, so that bulk transfers allocate nothing.
#[derive(Debug, Default)]
pub(crate) struct ChunkPool {
    free: Vec<Vec<u8>>,
}

impl ChunkPool {
    /// How many are kept.
    const LIMIT: usize = 64;

    fn take(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_else(|| alloc::vec![0; CHUNK])
    }

    fn put(&mut self, chunk: Vec<u8>) {
        if chunk.len() == CHUNK && self.free.len() < Self::LIMIT {
            self.free.push(chunk);
        }
    }
}

/// The send buffer of a connection.
#[derive(Debug, Default)]
pub(crate) struct SendBuffer {
    chunks: VecDeque<Vec<u8>>,
    /// Where the oldest byte is in the first chunk.
    start: usize,
    len: usize,
}

impl SendBuffer {
    /// Bytes held.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, mut data: &[u8], pool: &mut ChunkPool) {
        while !data.is_empty() {
            let room = self.room(data.len(), pool);
            let n = room.len().min(data.len());
            let (now, later) = data.split_at(n);
            room[..n].copy_from_slice(now);
            self.len += n;
            data = later;
        }
    }

    /// Lets `fill` write up to `max` bytes into the buffer itself; it returns how many it wrote.
    pub(crate) fn write_with(
        &mut self,
        max: usize,
        pool: &mut ChunkPool,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> usize {
        if max == 0 {
            return 0;
        }
        let room = self.room(max, pool);
        let n = room.len().min(max);
        let written = fill(&mut room[..n]).min(n);
        self.len += written;
        written
    }

    /// Shows `len` bytes from `offset` on, in as few pieces as they are stored in.
    pub(crate) fn read(&self, offset: usize, len: usize, mut take: impl FnMut(&[u8])) {
        let mut at = self.start + offset;
        let mut left = len.min(self.len.saturating_sub(offset));
        while left > 0 {
            let Some(chunk) = self.chunks.get(at / CHUNK) else { return };
            let piece = chunk.get(at % CHUNK..).unwrap_or_default();
            let piece = piece.get(..left).unwrap_or(piece);
            if piece.is_empty() {
                return;
            }
            take(piece);
            at += piece.len();
            left -= piece.len();
        }
    }

    /// `len` bytes from `offset` on, at most [`CHUNK`], in the one or two pieces in which they are
    /// stored; fewer if there are not as many.
    pub(crate) fn pieces(&self, offset: usize, len: usize) -> (&[u8], &[u8]) {
        let mut pieces = [[].as_slice(); 2];
        let mut count = 0;
        let len = len.min(CHUNK);
        let mut at = self.start + offset;
        let mut left = len.min(self.len.saturating_sub(offset));
        while let Some(slot) = pieces.get_mut(count).filter(|_| left > 0) {
            let chunk = self.chunks.get(at / CHUNK).map_or(&[][..], |chunk| chunk);
            let piece = chunk.get(at % CHUNK..).unwrap_or_default();
            *slot = piece.get(..left).unwrap_or(piece);
            (at, left, count) = (at + slot.len(), left - slot.len(), count + 1);
        }
        let [first, rest] = pieces;
        (first, rest)
    }

    /// Forgets the oldest `n` bytes.
    pub(crate) fn consume(&mut self, n: usize, pool: &mut ChunkPool) {
        let n = n.min(self.len);
        self.len -= n;
        self.start += n;
        if self.len == 0 {
            self.clear(pool);
            return;
        }
        while self.start >= CHUNK {
            self.start -= CHUNK;
            if let Some(chunk) = self.chunks.pop_front() {
                pool.put(chunk);
            }
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self, pool: &mut ChunkPool) {
        self.len = 0;
        self.start = 0;
        for chunk in self.chunks.drain(..) {
            pool.put(chunk);
        }
        // An idle connection holds nothing.
        self.chunks = VecDeque::new();
    }

    /// Free space behind the last byte, at least one byte of it; `wanted` says how much would be
    /// of use.
    fn room(&mut self, wanted: usize, pool: &mut ChunkPool) -> &mut [u8] {
        let end = self.start + self.len;
        let last = end / CHUNK;
        if last >= self.chunks.len() {
            let chunk = match self.chunks.is_empty() && wanted <= SMALL_CHUNK {
                true => alloc::vec![0; SMALL_CHUNK],
                false => pool.take(),
            };
            self.chunks.push_back(chunk);
        }
        let at = end % CHUNK;
        let chunk = &mut self.chunks[last];
        if chunk.len() < CHUNK && at + wanted > chunk.len() {
            let grown = (at + wanted).next_power_of_two().min(CHUNK);
            chunk.resize(grown, 0);
        }
        &mut chunk[at..]
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut pool = ChunkPool::default();
        let mut buffer = SendBuffer::default();
        let all: Vec<u8> = (0..200_000u32).map(|n| ((n * 7) >> 3) as u8).collect();
        let (mut written, mut consumed) = (0, 0);
        for step in [1, 100, 511, 513, 1460, 40_000, 65_536, 3, 32_768] {
            let n = step.min(all.len() - written);
            buffer.write(&all[written..written + n], &mut pool);
            written += n;
            let mut read = Vec::new();
            buffer.read(0, usize::MAX, |piece| read.extend_from_slice(piece));
            assert_eq!(read, all[consumed..written]);
            let half = buffer.len() / 2;
            let mut read = Vec::new();
            buffer.read(half, 10, |piece| read.extend_from_slice(piece));
            assert_eq!(read, all[consumed + half..][..read.len()]);
            for (offset, len) in [(0, 1), (half, 1448), (half, CHUNK), (0, 2 * CHUNK), (half, 0)] {
                let (first, rest) = buffer.pieces(offset, len);
                let len = len.min(CHUNK).min(buffer.len() - offset);
                assert_eq!([first, rest].concat(), all[consumed + offset..][..len]);
            }
            buffer.consume(half, &mut pool);
            consumed += half;
            assert_eq!(buffer.len(), written - consumed);
        }
        buffer.consume(usize::MAX, &mut pool);
        assert_eq!((buffer.len(), buffer.chunks.len(), buffer.chunks.capacity()), (0, 0, 0));
    }

    #[test]
    fn the_writer_fills_the_buffer_itself() {
        let mut pool = ChunkPool::default();
        let mut buffer = SendBuffer::default();
        assert_eq!(buffer.write_with(0, &mut pool, |_| unreachable!()), 0);
        let written = buffer.write_with(10, &mut pool, |room| {
            assert_eq!(room.len(), 10);
            room[..3].copy_from_slice(b"abc");
            3
        });
        assert_eq!((written, buffer.len()), (3, 3));
        buffer.write(b"de", &mut pool);
        let mut read = Vec::new();
        buffer.read(1, 3, |piece| read.extend_from_slice(piece));
        assert_eq!(read, b"bcd");
    }
}
