//! What a connection has received and its user has not read (RFC 9293 §3.8, Linux `tcp_input.c`).
//!
//! ```text
//!   in order: packets one after another           out of order: runs with holes between them
//!   | p | p | p |                                      | p | p |      | p |   | p | p | FIN
//!   ^ read next  ^ rcv_nxt                             └ start  └ end
//! ```
//! Packets hold payload only and are kept as they came, so that receiving copies nothing. A packet
//! that fills less than half of its buffer is copied behind the one before it when there is room,
//! so that a peer who sends byte by byte does not hold a whole buffer with each of them.
//!
//! Out of order, packets that touch make up a run, and each run is one SACK block. Runs never
//! overlap nor touch: what a segment brings again is cut off, and a run that it covers is replaced.
//! Runs are found by their start in a number space of 64 bits, which does not wrap, and by when
//! they last changed, which is the order of SACK blocks (RFC 2018 §4). A FIN takes a sequence
//! number of its run, as in Linux's `end_seq`.
//!
//! Invariants: `readable` is the sum of the lengths of `in_order`; `memory` is the sum of the true
//! sizes of all packets; there is a box if and only if there is a run, so that nothing is allocated
//! while nothing is out of order.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use core::ops::Deref;

use crate::packet::{Packet, PacketPool};
use crate::wire::SackBlock;
use crate::wire::seq::SeqNumber;

/// Room for so many packets is kept by a queue that is empty.
const KEPT_CAPACITY: usize = 16;

/// The most SACK blocks that a segment can carry (RFC 2018 §3).
pub(crate) const MAX_SACK_BLOCKS: usize = 4;

/// The longest packet that [`ReceiveQueue::collapse`] makes.
const COLLAPSED_LEN: usize = 65_536;
/// The smallest buffer that it makes: about what a packet takes besides its bytes, so that memory
/// stays bounded by what is counted, however small the pieces.
const COLLAPSED_SIZE: usize = 256;

/// The received bytes of one connection.
#[derive(Debug, Default)]
pub(crate) struct ReceiveQueue {
    in_order: VecDeque<Packet>,
    readable: usize,
    memory: usize,
    out_of_order: Option<Box<OutOfOrder>>,
}

/// What became of a segment that is ahead of `rcv_nxt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inserted {
    /// What of it was there already: the first contiguous part (RFC 2883 §4).
    pub(crate) duplicate: Option<SackBlock>,
    /// Whether any of it was new.
    pub(crate) queued: bool,
}

/// Where the stream is after a hole was filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Advanced {
    /// The next number expected; past the FIN if there was one.
    pub(crate) rcv_nxt: SeqNumber,
    /// The FIN is reached; whatever was beyond it is gone.
    pub(crate) fin: bool,
    /// What was out of order and came again in order: the first contiguous part (RFC 2883 §4).
    pub(crate) duplicate: Option<SackBlock>,
}

/// SACK blocks to send, the first one first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SackList {
    blocks: [SackBlock; MAX_SACK_BLOCKS],
    len: usize,
}

impl SackList {
    /// Puts a block in front (a D-SACK); the last one gives way when there is no room.
    pub(crate) fn push_front(&mut self, block: SackBlock) {
        self.blocks.rotate_right(1);
        self.blocks[0] = block;
        self.len = (self.len + 1).min(MAX_SACK_BLOCKS);
    }

    fn collect(blocks: impl Iterator<Item = SackBlock>) -> Self {
        let mut list = SackList::default();
        for (slot, block) in list.blocks.iter_mut().zip(blocks) {
            *slot = block;
            list.len += 1;
        }
        list
    }
}

impl Default for SackList {
    fn default() -> Self {
        let none = SackBlock { left: SeqNumber(0), right: SeqNumber(0) };
        SackList { blocks: [none; MAX_SACK_BLOCKS], len: 0 }
    }
}

impl Deref for SackList {
    type Target = [SackBlock];

    fn deref(&self) -> &[SackBlock] {
        self.blocks.get(..self.len).unwrap_or_default()
    }
}

impl ReceiveQueue {
    /// Bytes that can be read.
    pub(crate) fn readable(&self) -> usize {
        self.readable
    }

    /// Bytes of buffer that all packets take, in order or not.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// Whether something waits behind a hole.
    pub(crate) fn has_out_of_order(&self) -> bool {
        self.out_of_order.is_some()
    }

    /// Appends the payload that is next in order.
    pub(crate) fn append(&mut self, packet: Packet, pool: &mut PacketPool) {
        self.readable += packet.len();
        self.memory += packet.true_size();
        if packet.is_empty() {
            self.memory -= discard(packet, pool);
            return;
        }
        self.memory -= push_merged(&mut self.in_order, packet, pool);
    }

    /// Keeps a segment that is ahead of `rcv_nxt`: the payload from `seq` on, and perhaps a FIN
    /// behind it. What is before `rcv_nxt` is cut off and not reported as duplicate.
    pub(crate) fn insert_out_of_order(
        &mut self,
        rcv_nxt: SeqNumber,
        seq: SeqNumber,
        packet: Packet,
        fin: bool,
        pool: &mut PacketPool,
    ) -> Inserted {
        let queue = self.out_of_order.get_or_insert_default();
        let base = queue.rebase(rcv_nxt);
        self.memory += packet.true_size();
        let start = queue.position(seq);
        let end = start.saturating_add(packet.len() as u64 + u64::from(fin));
        let mut segment = Segment { start, end, packet, fin };
        segment.cut_front(base);
        let (inserted, freed) = queue.insert(segment, pool);
        self.memory -= freed;
        self.drop_empty_box();
        inserted
    }

    /// Moves what follows `rcv_nxt` without a hole to what can be read, and forgets what is before
    /// it (Linux `tcp_ofo_queue`). To be called when `rcv_nxt` has moved.
    pub(crate) fn advance(&mut self, rcv_nxt: SeqNumber, pool: &mut PacketPool) -> Advanced {
        let Some(mut queue) = self.out_of_order.take() else {
            return Advanced { rcv_nxt, fin: false, duplicate: None };
        };
        let base = queue.rebase(rcv_nxt);
        let (mut next, mut fin) = (base, false);
        let mut duplicate = Duplicate::default();
        while let Some((start, mut run)) = queue.take_first(next) {
            duplicate.add(start, run.end.min(base));
            if run.end <= base {
                self.memory -= run.clear(pool);
                continue;
            }
            self.memory -= run.cut_front(base.saturating_sub(start), pool);
            for packet in run.packets {
                self.memory -= packet.true_size();
                self.append(packet, pool);
            }
            (next, fin) = (run.end, run.fin);
            if fin {
                self.memory -= queue.clear(pool);
            }
        }
        let advanced =
            Advanced { rcv_nxt: queue.number(next), fin, duplicate: duplicate.block(&queue) };
        self.out_of_order = Some(queue);
        self.drop_empty_box();
        advanced
    }

    /// The runs that wait behind holes, the one that changed last first (RFC 2018 §4).
    pub(crate) fn sack_blocks(&self) -> SackList {
        match &self.out_of_order {
            Some(queue) => SackList::collect(queue.recent_runs()),
            None => SackList::default(),
        }
    }

    /// Moves bytes into `buffer`; returns how many.
    pub(crate) fn read(&mut self, buffer: &mut [u8], pool: &mut PacketPool) -> usize {
        let mut copied = 0;
        while let Some(rest) = buffer.get_mut(copied..).filter(|rest| !rest.is_empty()) {
            let n = copy(self.front(), rest);
            if n == 0 {
                break;
            }
            self.consume(n, pool);
            copied += n;
        }
        copied
    }

    /// Copies bytes into `buffer` from the one `offset` after the next on, and leaves them here;
    /// returns how many.
    pub(crate) fn peek(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let (mut skip, mut copied) = (offset, 0);
        for packet in &self.in_order {
            let Some(bytes) = packet.bytes().get(skip..) else {
                skip -= packet.len();
                continue;
            };
            skip = 0;
            let Some(rest) = buffer.get_mut(copied..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            copied += copy(bytes, rest);
        }
        copied
    }

    /// The next bytes, as many as lie in one piece; none only when nothing can be read.
    pub(crate) fn front(&self) -> &[u8] {
        self.in_order.front().map_or(&[], |packet| packet.bytes())
    }

    /// Removes the next `n` bytes, or all when there are fewer.
    pub(crate) fn consume(&mut self, n: usize, pool: &mut PacketPool) {
        let mut left = n.min(self.readable);
        self.readable -= left;
        while let Some(packet) = self.in_order.front_mut() {
            if left < packet.len() {
                packet.pull(left);
                return;
            }
            left -= packet.len();
            if let Some(packet) = self.in_order.pop_front() {
                self.memory -= discard(packet, pool);
            }
        }
        // Idle connections are many, and those that read everything at once not idle.
        if self.in_order.capacity() > KEPT_CAPACITY {
            self.in_order = VecDeque::new();
        }
    }

    /// Copies packets together that fill less than half of their buffers (Linux `tcp_collapse`,
    /// `tcp_collapse_ofo_queue`), when half of all buffers is unused: so what it copies is less
    /// than what came since the last time. Returns how many bytes of buffer that freed.
    pub(crate) fn collapse(&mut self, pool: &mut PacketPool) -> usize {
        let waiting = self.out_of_order.as_ref().map_or(0, |queue| queue.payload);
        if self.memory <= 2 * (self.readable + waiting) {
            return 0;
        }
        let mut freed = collapse(&mut self.in_order, pool);
        if let Some(queue) = &mut self.out_of_order {
            for run in queue.runs.values_mut() {
                freed += collapse(&mut run.packets, pool);
            }
        }
        self.memory -= freed;
        freed
    }

    /// Drops what is out of order, the highest numbers first, until no more than `target` bytes of
    /// buffer are taken (Linux `tcp_prune_ofo_queue`). Returns how many bytes of buffer that freed.
    pub(crate) fn prune_out_of_order(&mut self, target: usize, pool: &mut PacketPool) -> usize {
        let before = self.memory;
        while let Some(queue) = self.out_of_order.as_mut().filter(|_| self.memory > target) {
            self.memory -= queue.drop_last(pool);
            self.drop_empty_box();
        }
        before - self.memory
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self, pool: &mut PacketPool) {
        for packet in core::mem::take(&mut self.in_order) {
            pool.put(packet);
        }
        if let Some(mut queue) = self.out_of_order.take() {
            queue.clear(pool);
        }
        (self.readable, self.memory) = (0, 0);
    }

    fn drop_empty_box(&mut self) {
        self.out_of_order.take_if(|queue| queue.runs.is_empty());
    }
}

/// A segment on its way into the queue.
#[derive(Debug)]
struct Segment {
    start: u64,
    end: u64,
    packet: Packet,
    fin: bool,
}

impl Segment {
    fn cut_front(&mut self, to: u64) {
        if to > self.start {
            self.packet.pull((to - self.start) as usize);
            self.start = to;
        }
    }

    /// Leaves what is before `to`, which is before the end.
    fn cut_back(&mut self, to: u64) {
        self.packet.truncate(to.saturating_sub(self.start) as usize);
        (self.end, self.fin) = (to, false);
    }

    fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

/// Packets without a hole between them.
#[derive(Debug, Default)]
struct Run {
    /// One past the last number, that of the FIN included.
    end: u64,
    fin: bool,
    /// When it last changed; its key in `OutOfOrder::by_change`.
    changed: u64,
    /// Empty ones are there for their FIN only: each takes a buffer like any other.
    packets: VecDeque<Packet>,
}

impl Run {
    /// Drops `n` bytes at the front; returns how much buffer that freed.
    fn cut_front(&mut self, n: u64, pool: &mut PacketPool) -> usize {
        let (mut left, mut freed) = (n as usize, 0);
        while let Some(packet) = self.packets.front_mut().filter(|_| left > 0) {
            if left < packet.len() {
                packet.pull(left);
                break;
            }
            left -= packet.len();
            freed += self.packets.pop_front().map_or(0, |packet| discard(packet, pool));
        }
        freed
    }

    /// Bytes in all packets of the run that starts at `start`.
    fn len(&self, start: u64) -> usize {
        (self.end - start) as usize - usize::from(self.fin)
    }

    fn clear(self, pool: &mut PacketPool) -> usize {
        self.packets.into_iter().map(|packet| discard(packet, pool)).sum()
    }
}

#[derive(Debug)]
struct OutOfOrder {
    /// By their first number.
    runs: BTreeMap<u64, Run>,
    /// First numbers of the runs by when they changed.
    by_change: BTreeMap<u64, u64>,
    changes: u64,
    /// Bytes in all packets.
    payload: usize,
    /// One sequence number, and where it is in the space that does not wrap.
    origin: SeqNumber,
    base: u64,
}

impl Default for OutOfOrder {
    fn default() -> Self {
        OutOfOrder {
            runs: BTreeMap::new(),
            by_change: BTreeMap::new(),
            changes: 0,
            payload: 0,
            origin: SeqNumber(0),
            // What is before the first `rcv_nxt` has a place, too.
            base: 1 << 32,
        }
    }
}

impl OutOfOrder {
    /// Makes `rcv_nxt` the number that others are placed by; returns its own place. It is always
    /// within 2³¹ of the one before, however long the stream.
    fn rebase(&mut self, rcv_nxt: SeqNumber) -> u64 {
        if self.runs.is_empty() {
            self.origin = rcv_nxt;
        }
        self.base = self.position(rcv_nxt);
        self.origin = rcv_nxt;
        self.base
    }

    fn position(&self, seq: SeqNumber) -> u64 {
        self.base.saturating_add_signed(i64::from(seq.distance(self.origin)))
    }

    fn number(&self, position: u64) -> SeqNumber {
        self.origin + position.wrapping_sub(self.base) as u32
    }

    fn block(&self, left: u64, right: u64) -> SackBlock {
        SackBlock { left: self.number(left), right: self.number(right) }
    }

    fn recent_runs(&self) -> impl Iterator<Item = SackBlock> {
        self.by_change.values().rev().filter_map(|start| {
            let run = self.runs.get(start)?;
            Some(self.block(*start, run.end))
        })
    }

    /// Linux `tcp_data_queue_ofo`. Returns beside the result how much buffer was freed.
    fn insert(&mut self, mut segment: Segment, pool: &mut PacketPool) -> (Inserted, usize) {
        let mut duplicate = Duplicate::default();
        let before = self.runs.range(..=segment.start).next_back();
        let before = before.map(|(start, run)| (*start, run.end, run.fin));
        let before = before.filter(|(_, end, _)| *end >= segment.start);
        if let Some((start, end, fin)) = before {
            duplicate.add(segment.start, end.min(segment.end));
            segment.cut_front(end);
            // Nothing comes after a FIN.
            if segment.is_empty() || fin {
                // RFC 2883 §4: the run that the duplicate is part of comes second.
                self.touch(start);
                return (self.refuse(duplicate), discard(segment.packet, pool));
            }
        }
        let (after, mut freed) = self.make_room(&mut segment, &mut duplicate, pool);
        if segment.is_empty() {
            freed += discard(segment.packet, pool);
            return (self.refuse(duplicate), freed);
        }
        let joined = (before.map(|(start, ..)| start), after);
        freed += self.place(segment, joined, pool);
        (Inserted { duplicate: duplicate.block(self), queued: true }, freed)
    }

    fn refuse(&self, duplicate: Duplicate) -> Inserted {
        Inserted { duplicate: duplicate.block(self), queued: false }
    }

    /// Removes runs that `segment` covers, and cuts off of it what another run begins with. Returns
    /// the start of the run that it then touches with its end, and how much buffer was freed.
    fn make_room(
        &mut self,
        segment: &mut Segment,
        duplicate: &mut Duplicate,
        pool: &mut PacketPool,
    ) -> (Option<u64>, usize) {
        let mut freed = 0;
        loop {
            let next = self.runs.range(segment.start..).next();
            let Some((start, end)) = next.map(|(start, run)| (*start, run.end)) else { break };
            if start > segment.end {
                break;
            }
            duplicate.add(start, end.min(segment.end));
            if end > segment.end {
                if start < segment.end {
                    segment.cut_back(start);
                } else if segment.fin {
                    // Nothing comes after a FIN: there is data, so there is none here.
                    segment.cut_back(segment.end - 1);
                    break;
                }
                return (Some(start), freed);
            }
            if let Some(run) = self.remove(start) {
                freed += run.clear(pool);
            }
        }
        (None, freed)
    }

    /// Puts a segment that overlaps no run where it belongs: behind the run that starts at
    /// `joined.0` and before the one at `joined.1`, where it touches such.
    fn place(
        &mut self,
        segment: Segment,
        joined: (Option<u64>, Option<u64>),
        pool: &mut PacketPool,
    ) -> usize {
        let (before, after) = joined;
        let start = before.unwrap_or(segment.start);
        let mut run = before.and_then(|start| self.remove(start)).unwrap_or_default();
        (run.end, run.fin) = (segment.end, segment.fin);
        let mut freed = push_merged(&mut run.packets, segment.packet, pool);
        if let Some(after) = after.and_then(|start| self.remove(start)) {
            (run.end, run.fin) = (after.end, after.fin);
            freed += join(&mut run.packets, after.packets, pool);
        }
        self.add(start, run);
        freed
    }

    fn touch(&mut self, start: u64) {
        if let Some(run) = self.remove(start) {
            self.add(start, run);
        }
    }

    fn add(&mut self, start: u64, mut run: Run) {
        self.changes += 1;
        run.changed = self.changes;
        self.restore(start, run);
    }

    fn restore(&mut self, start: u64, run: Run) {
        self.payload += run.len(start);
        self.by_change.insert(run.changed, start);
        self.runs.insert(start, run);
    }

    fn remove(&mut self, start: u64) -> Option<Run> {
        let run = self.runs.remove(&start)?;
        self.by_change.remove(&run.changed);
        self.payload -= run.len(start);
        Some(run)
    }

    /// Removes the first run if it starts at `next` or before.
    fn take_first(&mut self, next: u64) -> Option<(u64, Run)> {
        let start = self.runs.first_key_value().map(|(start, _)| *start);
        let start = start.filter(|start| *start <= next)?;
        self.remove(start).map(|run| (start, run))
    }

    /// Drops the packet with the highest numbers; returns how much buffer that freed.
    fn drop_last(&mut self, pool: &mut PacketPool) -> usize {
        let Some(&start) = self.runs.last_key_value().map(|(start, _)| start) else { return 0 };
        let Some(mut run) = self.remove(start) else { return 0 };
        let Some(packet) = run.packets.pop_back() else { return 0 };
        run.end -= packet.len() as u64 + u64::from(run.fin);
        run.fin = false;
        if !run.packets.is_empty() {
            self.restore(start, run);
        }
        discard(packet, pool)
    }

    fn clear(&mut self, pool: &mut PacketPool) -> usize {
        self.by_change.clear();
        self.payload = 0;
        core::mem::take(&mut self.runs).into_values().map(|run| run.clear(pool)).sum()
    }
}

/// The first contiguous part of a segment that was there already (Linux `tcp_dsack_extend`).
#[derive(Debug, Default)]
struct Duplicate(Option<(u64, u64)>);

impl Duplicate {
    fn add(&mut self, left: u64, right: u64) {
        match &mut self.0 {
            _ if left >= right => {}
            Some((_, end)) if *end == left => *end = right,
            Some(_) => {}
            none => *none = Some((left, right)),
        }
    }

    fn block(&self, queue: &OutOfOrder) -> Option<SackBlock> {
        self.0.map(|(left, right)| queue.block(left, right))
    }
}

/// Gives a packet back; returns how much buffer it took.
fn discard(packet: Packet, pool: &mut PacketPool) -> usize {
    let size = packet.true_size();
    pool.put(packet);
    size
}

/// Whether more than half of the packet's buffer is not payload.
fn is_sparse(packet: &Packet) -> bool {
    packet.true_size() > 2 * packet.len()
}

/// Puts a packet behind the others, or its bytes into the last one's tailroom; returns how much
/// buffer that freed.
fn push_merged(packets: &mut VecDeque<Packet>, packet: Packet, pool: &mut PacketPool) -> usize {
    match packets.back_mut() {
        Some(last) if is_sparse(&packet) && packet.len() <= last.tailroom() => {
            last.put_slice(packet.bytes());
            discard(packet, pool)
        }
        _ => {
            packets.push_back(packet);
            0
        }
    }
}

/// Puts the packets of `after` behind those of `packets`, moving the fewer ones; returns how much
/// buffer that freed.
fn join(
    packets: &mut VecDeque<Packet>,
    mut after: VecDeque<Packet>,
    pool: &mut PacketPool,
) -> usize {
    let freed = after.pop_front().map_or(0, |packet| push_merged(packets, packet, pool));
    if packets.len() < after.len() {
        core::mem::swap(packets, &mut after);
        for packet in after.into_iter().rev() {
            packets.push_front(packet);
        }
    } else {
        packets.append(&mut after);
    }
    freed
}

/// Copies neighbouring sparse packets together, into buffers that they fill; returns how much
/// buffer that freed.
fn collapse(packets: &mut VecDeque<Packet>, pool: &mut PacketPool) -> usize {
    let mut freed = 0;
    let mut kept = VecDeque::new();
    let mut sparse = VecDeque::new();
    let mut sparse_len = 0;
    for packet in packets.drain(..) {
        let joins = is_sparse(&packet) && !packet.is_empty();
        if !joins || sparse_len + packet.len() > COLLAPSED_LEN {
            freed += gather(&mut sparse, &mut kept, pool);
            sparse_len = 0;
        }
        if joins {
            sparse_len += packet.len();
            sparse.push_back(packet);
        } else {
            kept.push_back(packet);
        }
    }
    freed += gather(&mut sparse, &mut kept, pool);
    *packets = kept;
    freed
}

/// Copies `sparse` into one packet without any room to spare.
fn gather(
    sparse: &mut VecDeque<Packet>,
    kept: &mut VecDeque<Packet>,
    pool: &mut PacketPool,
) -> usize {
    let len: usize = sparse.iter().map(|packet| packet.len()).sum();
    if len == 0 {
        return 0;
    }
    let size = len.max(COLLAPSED_SIZE);
    if sparse.iter().map(|packet| packet.true_size()).sum::<usize>() <= size {
        kept.append(sparse);
        return 0;
    }
    let mut packed = Packet::over(vec![0; size], 0);
    let mut freed = 0;
    for packet in sparse.drain(..) {
        packed.put_slice(packet.bytes());
        freed += discard(packet, pool);
    }
    freed -= packed.true_size();
    kept.push_back(packed);
    freed
}

/// Copies as much as there is room for; returns how much.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let n = from.len().min(to.len());
    to[..n].copy_from_slice(&from[..n]);
    n
}

#[cfg(test)]
mod tests;
