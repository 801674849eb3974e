use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const ISN: SeqNumber = SeqNumber(0xffff_f000);

/// The byte of the stream at a position.
fn byte(position: usize) -> u8 {
    (position ^ position >> 8) as u8
}

struct Peer {
    queue: ReceiveQueue,
    pool: PacketPool,
    /// Buffers that the pool had to make.
    made: usize,
    rcv_nxt: usize,
}

impl Peer {
    fn new() -> Self {
        let (queue, pool) = (ReceiveQueue::default(), PacketPool::new(1 << 16, 1 << 16));
        Peer { queue, pool, made: 0, rcv_nxt: 0 }
    }

    /// The payload from `start` to `end` behind a pulled header, in a buffer for `room` bytes.
    fn packet(&mut self, start: usize, end: usize, room: usize) -> Packet {
        let before = self.pool.free();
        let mut packet = self.pool.take(room.max(end - start + 32));
        self.made += usize::from(self.pool.free() == before);
        packet.put(32);
        (start..end).for_each(|at| packet.put_slice(&[byte(at)]));
        packet.pull(32);
        packet
    }

    fn append(&mut self, end: usize, room: usize) {
        let packet = self.packet(self.rcv_nxt, end, room);
        self.queue.append(packet, &mut self.pool);
        self.rcv_nxt = end;
    }

    fn insert(&mut self, start: usize, end: usize, fin: bool) -> (Option<(usize, usize)>, bool) {
        let packet = self.packet(start, end, 0);
        let (rcv_nxt, seq) = (ISN + self.rcv_nxt as u32, ISN + start as u32);
        let inserted = self.queue.insert_out_of_order(rcv_nxt, seq, packet, fin, &mut self.pool);
        (inserted.duplicate.map(positions), inserted.queued)
    }

    fn advance(&mut self) -> (bool, Option<(usize, usize)>) {
        let advanced = self.queue.advance(ISN + self.rcv_nxt as u32, &mut self.pool);
        self.rcv_nxt = advanced.rcv_nxt.since(ISN) as usize;
        (advanced.fin, advanced.duplicate.map(positions))
    }

    fn blocks(&self) -> Vec<(usize, usize)> {
        self.queue.sack_blocks().iter().copied().map(positions).collect()
    }

    /// What the module says about its fields.
    fn check(&self) {
        let queue = &self.queue;
        let mut packets: Vec<&Packet> = queue.in_order.iter().collect();
        let lens: usize = packets.iter().map(|packet| packet.len()).sum();
        assert_eq!(queue.readable, lens);
        assert!(packets.iter().all(|packet| !packet.is_empty()));
        if let Some(waiting) = &queue.out_of_order {
            assert!(!waiting.runs.is_empty());
            let mut last_end = 0;
            for (start, run) in &waiting.runs {
                assert!(*start > last_end, "runs neither overlap nor touch");
                let lens: usize = run.packets.iter().map(|packet| packet.len()).sum();
                assert_eq!(lens, run.len(*start));
                assert_eq!(waiting.by_change.get(&run.changed), Some(start));
                last_end = run.end;
            }
            let payload: usize = waiting.runs.iter().map(|(start, run)| run.len(*start)).sum();
            assert_eq!((waiting.payload, waiting.by_change.len()), (payload, waiting.runs.len()));
            packets.extend(waiting.runs.values().flat_map(|run| &run.packets));
        }
        let sizes: usize = packets.iter().map(|packet| packet.true_size()).sum();
        assert_eq!(queue.memory, sizes);
    }

    /// No buffer of the pool is lost, as long as nothing was collapsed.
    fn check_pool(&self) {
        let waiting = self.queue.out_of_order.iter().flat_map(|queue| queue.runs.values());
        let waiting: usize = waiting.map(|run| run.packets.len()).sum();
        let (small, large) = self.pool.free();
        assert_eq!(self.made, self.queue.in_order.len() + waiting + small + large);
    }
}

fn positions(block: SackBlock) -> (usize, usize) {
    (block.left.since(ISN) as usize, block.right.since(ISN) as usize)
}

#[test]
fn an_idle_queue_is_small_and_holds_nothing() {
    assert!(size_of::<ReceiveQueue>() <= 64);
    let mut peer = Peer::new();
    (1..=40).for_each(|n| peer.append(n * 1448, 1448));
    peer.insert(100_000, 100_100, false);
    peer.rcv_nxt = 100_000;
    peer.advance();
    let mut all = vec![0; 200_000];
    assert_eq!(peer.queue.read(&mut all, &mut peer.pool), 40 * 1448 + 100);
    assert!(peer.queue.memory() == 0 && !peer.queue.has_out_of_order());
    assert_eq!(peer.queue.in_order.capacity(), 0);
    peer.check_pool();
}

#[test]
fn sparse_packets_share_a_buffer_and_full_ones_are_kept_as_they_are() {
    let mut peer = Peer::new();
    (1..=100).for_each(|n| peer.append(n, 0));
    assert_eq!((peer.queue.memory(), peer.queue.readable()), (2048, 100));
    peer.append(1500, 0);
    peer.append(50_000, 0);
    assert_eq!(peer.queue.in_order.len(), 3, "two thirds of a buffer and more stay in it");
    peer.append(50_001, 0);
    assert_eq!(peer.queue.in_order.len(), 3, "one byte fits behind a large packet");
    peer.check();
    peer.check_pool();
}

#[test]
fn the_run_that_changed_last_is_the_first_sack_block() {
    let mut peer = Peer::new();
    for start in [1000, 3000, 5000, 7000, 9000] {
        peer.insert(start, start + 500, false);
    }
    let expected = [(9000, 9500), (7000, 7500), (5000, 5500), (3000, 3500)];
    assert_eq!(peer.blocks(), expected);
    // RFC 2018 §4: the first block has the segment that caused this acknowledgment, all of its run.
    peer.insert(1500, 2000, false);
    assert_eq!(peer.blocks()[..2], [(1000, 2000), (9000, 9500)]);
    peer.insert(3500, 5000, false);
    assert_eq!(peer.blocks(), [(3000, 5500), (1000, 2000), (9000, 9500), (7000, 7500)]);
    peer.append(1000, 0);
    assert_eq!(peer.advance(), (false, None));
    assert_eq!(peer.rcv_nxt, 2000);
    assert_eq!(peer.blocks(), [(3000, 5500), (9000, 9500), (7000, 7500)]);
}

/// RFC 2883 §4.1, §4.2: what came twice, and then the run that has it.
#[test]
fn duplicates_are_reported_once_and_their_run_comes_first() {
    let mut peer = Peer::new();
    assert_eq!(peer.insert(1000, 2000, false), (None, true));
    assert_eq!(peer.insert(3000, 4000, false), (None, true));
    assert_eq!(peer.insert(1200, 1700, false), (Some((1200, 1700)), false));
    assert_eq!(peer.blocks(), [(1000, 2000), (3000, 4000)]);
    assert_eq!(peer.insert(3500, 4500, false), (Some((3500, 4000)), true));
    assert_eq!(peer.insert(2900, 3100, false), (Some((3000, 3100)), true));
    // Two parts are there already: the first is reported.
    assert_eq!(peer.insert(1900, 5000, false), (Some((1900, 2000)), true));
    assert_eq!(peer.blocks(), [(1000, 5000)]);
    peer.check();
    peer.check_pool();
}

#[test]
fn what_comes_again_in_order_is_a_duplicate_too() {
    let mut peer = Peer::new();
    peer.insert(1000, 1500, false);
    peer.insert(2000, 3000, false);
    peer.append(2500, 0);
    assert_eq!(peer.advance(), (false, Some((1000, 1500))));
    assert_eq!(peer.rcv_nxt, 3000);
    let mut bytes = vec![0; 3000];
    assert_eq!(peer.queue.peek(0, &mut bytes), 3000);
    assert!(bytes.iter().enumerate().all(|(at, value)| *value == byte(at)));
    peer.check();
    peer.check_pool();
}

#[test]
fn a_fin_counts_in_its_block_and_ends_the_stream() {
    let mut peer = Peer::new();
    assert_eq!(peer.insert(500, 500, true), (None, true));
    assert_eq!(peer.blocks(), [(500, 501)]);
    assert!(peer.queue.memory() > 0, "an empty segment takes a buffer as well");
    assert_eq!(peer.insert(400, 500, true), (Some((500, 501)), true));
    assert_eq!(peer.insert(501, 600, false), (None, false), "nothing comes after a FIN");
    assert_eq!(peer.insert(450, 600, false), (Some((450, 501)), false));
    peer.insert(700, 800, false);
    peer.append(400, 0);
    assert_eq!(peer.advance(), (true, None));
    assert_eq!((peer.rcv_nxt, peer.queue.readable()), (501, 500));
    assert!(!peer.queue.has_out_of_order());
    peer.check();
    peer.check_pool();
}

#[test]
fn a_fin_before_known_data_is_not_believed() {
    let mut peer = Peer::new();
    peer.insert(1000, 2000, false);
    assert_eq!(peer.insert(999, 999, true), (None, false));
    assert_eq!(peer.insert(900, 1500, true), (Some((1000, 1501)), true));
    assert_eq!(peer.blocks(), [(900, 2000)]);
    peer.append(900, 0);
    assert_eq!(peer.advance(), (false, None));
    peer.check();
}

#[test]
fn pruning_drops_the_highest_numbers_first() {
    let mut peer = Peer::new();
    peer.append(1448, 0);
    for start in [3000, 6000, 4448, 9000] {
        peer.insert(start, start + 1448, false);
    }
    peer.insert(10_448, 10_448, true);
    let target = peer.queue.memory() - 2048;
    let freed = peer.queue.prune_out_of_order(target, &mut peer.pool);
    assert_eq!(freed, 2048);
    assert_eq!(peer.blocks(), [(3000, 5896), (6000, 7448)]);
    assert_eq!(peer.queue.prune_out_of_order(0, &mut peer.pool), 3 * 2048);
    assert!(!peer.queue.has_out_of_order() && peer.queue.readable() == 1448);
    peer.check();
    peer.check_pool();
}

#[test]
fn collapsing_leaves_buffers_full_and_content_alone() {
    let mut peer = Peer::new();
    (1..=30).for_each(|n| peer.append(n * 1000, 60_000));
    (0..30).for_each(|n| {
        peer.insert(40_000 + n * 600, 40_000 + n * 600 + 300, false);
    });
    let before = peer.queue.memory();
    let freed = peer.queue.collapse(&mut peer.pool);
    assert_eq!(peer.queue.memory(), before - freed);
    assert_eq!(peer.queue.memory(), 39_000);
    assert_eq!(peer.queue.collapse(&mut peer.pool), 0);
    peer.check();
    let mut bytes = vec![0; 30_000];
    assert_eq!(peer.queue.read(&mut bytes, &mut peer.pool), 30_000);
    assert!(bytes.iter().enumerate().all(|(at, value)| *value == byte(at)));
}

#[test]
fn places_do_not_wrap_however_long_the_stream() {
    let (mut queue, mut pool) = (ReceiveQueue::default(), PacketPool::new(8, 8));
    let step = 1 << 30;
    for n in 0..40_u32 {
        let rcv_nxt = SeqNumber(n.wrapping_mul(step));
        let passed = queue.advance(rcv_nxt, &mut pool);
        assert_eq!(passed, Advanced { rcv_nxt, fin: false, duplicate: passed.duplicate });
        for ahead in [step - 2, step + 10] {
            let seq = rcv_nxt + ahead;
            queue.insert_out_of_order(rcv_nxt, seq, Packet::from_slice(b"x"), false, &mut pool);
        }
        let right = rcv_nxt + (step + 11);
        assert_eq!(queue.sack_blocks()[0], SackBlock { left: right - 1, right });
        assert_eq!(queue.sack_blocks().len(), if n == 0 { 2 } else { 3 });
    }
}

#[test]
fn a_duplicate_goes_before_the_other_blocks() {
    let mut peer = Peer::new();
    for start in [10, 20, 30, 40] {
        peer.insert(start, start + 5, false);
    }
    let mut list = peer.queue.sack_blocks();
    list.push_front(SackBlock { left: ISN, right: ISN + 3 });
    let list: Vec<_> = list.iter().copied().map(positions).collect();
    assert_eq!(list, [(0, 3), (40, 45), (30, 35), (20, 25)]);
}

/// The stream as a naive receiver keeps it: which bytes have come, one by one.
struct Model {
    has: Vec<bool>,
    changed: BTreeMap<usize, usize>,
    time: usize,
}

impl Model {
    fn runs(&self, from: usize) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for at in (from..self.has.len()).filter(|at| self.has[*at]) {
            match runs.last_mut() {
                Some((_, end)) if *end == at => *end += 1,
                _ => runs.push((at, at + 1)),
            }
        }
        runs
    }

    fn duplicate(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        let left = (start..end).find(|at| self.has[*at])?;
        let right = (left..end).find(|at| !self.has[*at]).unwrap_or(end);
        Some((left, right))
    }

    /// Marks what came; a run's time is the latest of its bytes'.
    fn add(&mut self, start: usize, end: usize) {
        self.time += 1;
        self.has[start..end].fill(true);
        self.changed.insert(start, self.time);
    }

    /// Forgets what is at `last` and beyond; the run that ended there keeps its time.
    fn cut(&mut self, from: usize, last: usize) {
        if let Some(run) = self.runs(from).into_iter().find(|run| run.0 < last && last < run.1) {
            self.changed.insert(run.0, self.time_of(run));
        }
        self.has[last..].fill(false);
    }

    fn time_of(&self, run: (usize, usize)) -> usize {
        self.changed.range(run.0..run.1).map(|(_, time)| *time).max().unwrap_or(0)
    }

    fn blocks(&self, from: usize) -> Vec<(usize, usize)> {
        let mut runs = self.runs(from);
        runs.sort_by_key(|run| self.time_of(*run));
        runs.into_iter().rev().take(MAX_SACK_BLOCKS).collect()
    }
}

const LEN: usize = 8000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_order_of_segments_gives_the_stream_and_exact_blocks(
        steps in proptest::collection::vec((0..20_u8, 0..LEN, 0..1500_usize), 0..120),
    ) {
        let mut peer = Peer::new();
        let mut model = Model { has: vec![false; LEN + 1], changed: BTreeMap::new(), time: 0 };
        let (mut read, mut buffer, mut collapsed, mut finished) = (0, [0; LEN], false, false);
        for (step, start, len) in steps {
            let end = (start + len).min(LEN);
            match step {
                // Small steps make many runs and merge many segments.
                0..16 => {
                    let end = if step < 8 { (start + len / 50).min(LEN) } else { end };
                    let fin = end == LEN;
                    let next = end + usize::from(fin);
                    if finished || next <= peer.rcv_nxt || next == start {
                    } else if start > peer.rcv_nxt {
                        let duplicate = model.duplicate(start, next);
                        let new = (start..next).any(|at| !model.has[at]);
                        prop_assert_eq!(peer.insert(start, end, fin), (duplicate, new));
                        model.add(start, next);
                    } else {
                        let rcv_nxt = peer.rcv_nxt;
                        let duplicate = model.duplicate(rcv_nxt, next);
                        peer.append(end, 0);
                        peer.rcv_nxt = next;
                        model.add(rcv_nxt, next);
                        let (fin_later, seen) = peer.advance();
                        prop_assert_eq!(seen, duplicate);
                        finished = fin || fin_later;
                        let first_hole = (0..=LEN).find(|at| !model.has[*at]).unwrap_or(LEN + 1);
                        prop_assert_eq!(peer.rcv_nxt, first_hole);
                        prop_assert_eq!(finished, first_hole > LEN);
                    }
                }
                16 => {
                    let n = peer.queue.read(&mut buffer[..len], &mut peer.pool);
                    prop_assert!((0..n).all(|at| buffer[at] == byte(read + at)));
                    read += n;
                }
                17 => {
                    let n = peer.queue.peek(start, &mut buffer[..len]);
                    prop_assert_eq!(n, len.min(peer.queue.readable().saturating_sub(start)));
                    prop_assert!((0..n).all(|at| buffer[at] == byte(read + start + at)));
                    let n = peer.queue.front().len().min(len);
                    prop_assert_eq!(n == 0, peer.queue.readable() == 0 || len == 0);
                    peer.queue.consume(n, &mut peer.pool);
                    read += n;
                }
                18 => collapsed |= peer.queue.collapse(&mut peer.pool) > 0,
                _ => {
                    let target = peer.queue.memory().saturating_sub(len);
                    peer.queue.prune_out_of_order(target, &mut peer.pool);
                    let left = peer.queue.out_of_order.iter().flat_map(|queue| &queue.runs);
                    let last = left.last().map_or(ISN, |(start, run)| {
                        peer.queue.out_of_order.as_ref().unwrap().block(*start, run.end).right
                    });
                    let last = (last.since(ISN) as usize).max(peer.rcv_nxt);
                    model.cut(peer.rcv_nxt, last);
                }
            }
            peer.check();
            prop_assert_eq!(peer.queue.readable(), peer.rcv_nxt.min(LEN) - read);
            prop_assert_eq!(peer.blocks(), model.blocks(peer.rcv_nxt));
            if !collapsed {
                peer.check_pool();
            }
        }
        peer.queue.clear(&mut peer.pool);
        peer.check();
        prop_assert_eq!((peer.queue.memory(), peer.queue.readable()), (0, 0));
    }

    /// FINs anywhere, data behind them, numbers far off: nothing panics and every count is right.
    #[test]
    fn segments_that_contradict_each_other_do_no_harm(
        steps in proptest::collection::vec((0..60_usize, 0..20_usize, any::<bool>()), 0..60),
        far in any::<u32>(),
    ) {
        let mut peer = Peer::new();
        for (start, len, fin) in steps {
            if start <= peer.rcv_nxt {
                peer.append(start.max(peer.rcv_nxt) + len, 0);
                peer.advance();
            } else {
                peer.insert(start, start + len, fin);
            }
            if len == 7 {
                let (rcv_nxt, packet) = (ISN + peer.rcv_nxt as u32, Packet::from_slice(b"far"));
                let seq = SeqNumber(far);
                let queue = &mut peer.queue;
                queue.insert_out_of_order(rcv_nxt, seq, packet, fin, &mut peer.pool);
            }
            peer.check();
        }
    }
}
