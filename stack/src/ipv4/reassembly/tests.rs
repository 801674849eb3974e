use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const SRC: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// A fragment described by what differs between them.
#[derive(Debug, Clone, Copy)]
struct Frag {
    offset: usize,
    len: usize,
    more: bool,
    id: u16,
    src: Ipv4Addr,
    df: bool,
    tos: u8,
}

fn frag(offset: usize, len: usize, more: bool) -> Frag {
    Frag { offset, len, more, id: 7, src: SRC, df: false, tos: 0 }
}

fn byte(at: usize) -> u8 {
    (at * 31 + (at >> 8) * 7) as u8
}

impl Frag {
    fn packet(self) -> Packet {
        self.with_options(&[])
    }

    fn with_options(self, options: &[u8]) -> Packet {
        let repr = Ipv4Repr {
            tos: self.tos,
            id: self.id,
            dont_fragment: self.df,
            more_fragments: self.more,
            fragment_offset: self.offset,
            ttl: 64,
            protocol: Protocol::UDP,
            src: self.src,
            dst: Ipv4Addr::new(10, 0, 0, 2),
            total_len: (HEADER_LEN + options.len() + self.len) as u16,
            options_len: options.len(),
        };
        let mut packet = Packet::with_capacity(repr.total_len.into());
        packet.put(HEADER_LEN);
        packet.put_slice(options);
        let payload: Vec<u8> = (self.offset..self.offset + self.len).map(byte).collect();
        packet.put_slice(&payload);
        repr.emit(packet.bytes_mut());
        packet
    }
}

struct Bench {
    reassembler: Reassembler,
    pool: PacketPool,
    now: Instant,
}

impl Bench {
    fn new(config: ReassemblyConfig) -> Self {
        Bench {
            reassembler: Reassembler::new(config, KeyedHash::new((1, 2))),
            pool: PacketPool::new(64, 64),
            now: Instant::from_secs(100),
        }
    }

    fn insert(&mut self, packet: Packet) -> Outcome {
        self.reassembler.insert(self.now, packet, &mut self.pool)
    }

    fn pend(&mut self, fragments: &[Frag]) {
        for fragment in fragments {
            let outcome = self.insert(fragment.packet());
            assert!(matches!(outcome, Outcome::Pending), "{fragment:?}: {outcome:?}");
        }
    }

    fn drop(&mut self, packet: Packet) -> ReassemblyError {
        match self.insert(packet) {
            Outcome::Dropped { error, .. } => error,
            other => panic!("{other:?}"),
        }
    }

    fn complete(&mut self, packet: Packet) -> Packet {
        match self.insert(packet) {
            Outcome::Complete { packet, .. } => packet,
            other => panic!("{other:?}"),
        }
    }

    fn assert_empty(&self) {
        let reassembler = &self.reassembler;
        assert_eq!((reassembler.len(), reassembler.memory(), reassembler.timers.len()), (0, 0, 0));
        assert!(reassembler.is_empty() && reassembler.sources.is_empty());
    }
}

fn bench() -> Bench {
    Bench::new(ReassemblyConfig::default())
}

fn assert_whole(packet: &Packet, len: usize) {
    let view = Ipv4::parse(packet.bytes()).unwrap();
    assert!(view.verify_checksum() && !view.is_fragment());
    assert_eq!(view.total_len(), packet.len());
    assert_eq!(view.payload(), (0..len).map(byte).collect::<Vec<_>>());
    assert_eq!(packet.network(), packet.bytes());
    assert_eq!(packet.transport(), view.payload());
}

#[test]
fn fragments_complete_in_every_order() {
    let parts = [frag(0, 16, true), frag(16, 8, true), frag(24, 40, true), frag(64, 3, false)];
    let mut bench = bench();
    for order in 0..256usize {
        let order = [order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6];
        if (0..4).any(|part| !order.contains(&part)) {
            continue;
        }
        bench.pend(&[parts[order[0]], parts[order[1]], parts[order[2]]]);
        assert!(bench.reassembler.memory() > 0 && bench.reassembler.next_deadline().is_some());
        let whole = bench.complete(parts[order[3]].packet());
        assert_whole(&whole, 67);
        bench.assert_empty();
    }
    let stats = bench.reassembler.stats();
    assert_eq!((stats.reasm_reqds, stats.reasm_oks, stats.reasm_fails), (96, 24, 0));
}

#[test]
fn duplicates_are_ignored() {
    let mut bench = bench();
    bench.pend(&[frag(0, 16, true), frag(32, 5, false)]);
    let memory = bench.reassembler.memory();
    for duplicate in [frag(0, 16, true), frag(0, 8, true), frag(8, 8, true), frag(32, 5, false)] {
        assert_eq!(bench.drop(duplicate.packet()), ReassemblyError::Duplicate);
    }
    assert_eq!((bench.reassembler.memory(), bench.pool.free()), (memory, (0, 0)));
    let whole = bench.complete(frag(16, 16, true).packet());
    assert_whole(&whole, 37);
    assert_eq!(bench.reassembler.stats().reasm_fails, 0);
}

#[test]
fn every_other_overlap_ends_the_datagram() {
    let overlaps = [
        frag(8, 16, true),
        frag(16, 32, true),
        frag(8, 40, true),
        frag(24, 24, true),
        frag(72, 16, true),
        frag(56, 24, true),
        frag(56, 32, true),
        frag(16, 64, true),
    ];
    for overlap in overlaps {
        let mut bench = bench();
        bench.pend(&[frag(16, 24, true), frag(64, 16, true)]);
        assert_eq!(bench.drop(overlap.packet()), ReassemblyError::Overlap, "{overlap:?}");
        bench.assert_empty();
        let stats = bench.reassembler.stats();
        assert_eq!((stats.reasm_overlaps, stats.reasm_fails), (1, 1));
    }
    // All buffers come back.
    let mut bench = bench();
    for piece in [frag(0, 16, true), frag(8, 16, true)] {
        let mut packet = bench.pool.take(100);
        packet.put_slice(piece.packet().bytes());
        if let Outcome::Dropped { packet, .. } = bench.insert(packet) {
            assert_eq!(packet.bytes(), piece.packet().bytes(), "the one that overlaps");
            bench.pool.put(packet);
        }
    }
    assert_eq!(bench.pool.free(), (2, 0));
}

#[test]
fn fragments_that_disagree_about_the_end_end_the_datagram() {
    let cases = [
        [frag(8, 8, false), frag(16, 8, true)],
        [frag(8, 8, false), frag(16, 8, false)],
        [frag(16, 8, true), frag(8, 8, false)],
        [frag(16, 8, false), frag(8, 8, false)],
        [frag(16, 8, false), frag(16, 7, false)],
    ];
    for [first, second] in cases {
        let mut bench = bench();
        bench.pend(&[first]);
        assert_eq!(bench.drop(second.packet()), ReassemblyError::ConflictingEnd, "{second:?}");
        bench.assert_empty();
    }
}

#[test]
fn a_fragment_wrong_in_itself_is_dropped_alone() {
    let mut bench = bench();
    bench.pend(&[frag(0, 8, true)]);
    let mut garbled = frag(8, 8, false).packet();
    garbled.bytes_mut()[0] = 0x62;
    assert!(matches!(bench.drop(garbled), ReassemblyError::Malformed(_)));
    assert_eq!(bench.drop(frag(8, 7, true).packet()), ReassemblyError::Unaligned);
    assert_eq!(bench.drop(frag(65512, 8, false).packet()), ReassemblyError::TooLong);
    assert_eq!(bench.drop(frag(65528, 1400, true).packet()), ReassemblyError::TooLong);
    assert_eq!((bench.reassembler.len(), bench.reassembler.stats().reasm_fails), (1, 4));
    let whole = bench.complete(frag(8, 1, false).packet());
    assert_whole(&whole, 9);
}

#[test]
fn the_longest_datagram_is_put_together_and_one_byte_more_is_not() {
    let mut bench = bench();
    let last = 65504;
    let parts: Vec<_> =
        (0..last).step_by(1184).map(|at| frag(at, 1184.min(last - at), true)).collect();
    bench.pend(&parts);
    let whole = bench.complete(frag(last, 11, false).packet());
    assert_whole(&whole, 65515);
    // With options in the first fragment's header alone the sum comes out too long.
    assert!(matches!(bench.insert(parts[0].with_options(&[1, 1, 1, 0])), Outcome::Pending));
    bench.pend(&parts[1..]);
    assert_eq!(bench.drop(frag(last, 11, false).packet()), ReassemblyError::TooLong);
    bench.assert_empty();
}

#[test]
fn a_packet_that_is_no_fragment_is_complete() {
    let mut bench = bench();
    bench.pend(&[frag(0, 8, true)]);
    let whole = frag(0, 24, false).packet();
    assert_eq!(bench.complete(whole.duplicate()).bytes(), whole.bytes());
    assert_eq!((bench.reassembler.len(), bench.reassembler.stats().reasm_reqds), (1, 1));
}

#[test]
fn a_datagram_is_given_up_30_seconds_after_its_first_fragment() {
    let mut bench = bench();
    let start = bench.now;
    bench.pend(&[frag(0, 8, true)]);
    bench.now = start + Duration::from_secs(20);
    bench.pend(&[frag(16, 8, false), Frag { id: 8, ..frag(8, 8, true) }]);
    let end = start + Duration::from_secs(30);
    assert_eq!(bench.reassembler.next_deadline(), Some(end));
    let Bench { reassembler, pool, .. } = &mut bench;
    assert!(reassembler.expire(end - Duration::from_nanos(1), pool).is_none());
    let expired = reassembler.expire(end, pool).unwrap();
    assert_eq!(expired.first.unwrap().bytes(), frag(0, 8, true).packet().bytes());
    assert!(reassembler.expire(end, pool).is_none());
    // Of the other one the first fragment is missing, so nobody is told.
    let end = start + Duration::from_secs(50);
    assert_eq!(reassembler.next_deadline(), Some(end));
    assert!(reassembler.expire(end, pool).unwrap().first.is_none());
    let stats = reassembler.stats();
    assert_eq!((stats.reasm_timeout, stats.reasm_fails), (2, 2));
    bench.assert_empty();
    assert_eq!(bench.reassembler.next_deadline(), None);
}

#[test]
fn nothing_is_accepted_above_the_memory_threshold() {
    let mut bench = Bench::new(ReassemblyConfig { high_threshold: 20_000, ..Default::default() });
    let mut refused = 0;
    let mut most = 0;
    for id in 0..100 {
        match bench.insert(Frag { id, ..frag(0, 800, true) }.packet()) {
            Outcome::Pending => {}
            Outcome::Dropped { error: ReassemblyError::OutOfMemory, .. } => refused += 1,
            other => panic!("{other:?}"),
        }
        most = most.max(bench.reassembler.memory());
    }
    assert!(refused > 80 && (20_000..24_000).contains(&most), "{refused} {most}");
    let held = 100 - refused;
    assert_eq!((bench.reassembler.len(), bench.reassembler.sources.len()), (held, 1));
    // Not even what would complete a datagram: as in Linux, memory comes back by time only.
    assert_eq!(bench.drop(frag(800, 8, false).packet()), ReassemblyError::OutOfMemory);
    bench.now += Duration::from_secs(30);
    while bench.reassembler.expire(bench.now, &mut bench.pool).is_some() {}
    bench.assert_empty();
    bench.pend(&[frag(0, 8, true)]);
}

#[test]
fn a_datagram_starts_anew_when_its_source_sent_more_than_64_others_between() {
    for (others, expect_whole) in [(63, true), (64, false)] {
        let mut bench = bench();
        bench.pend(&[frag(0, 8, true)]);
        for id in 100..100 + others {
            bench.pend(&[Frag { id, ..frag(0, 8, true) }]);
        }
        // Those of another source do not count.
        let other = Ipv4Addr::new(192, 0, 2, 2);
        (0..200).for_each(|id| bench.pend(&[Frag { id, src: other, ..frag(0, 8, true) }]));
        bench.now += Duration::from_secs(10);
        let fails = u64::from(!expect_whole);
        if expect_whole {
            assert_whole(&bench.complete(frag(8, 8, false).packet()), 16);
        } else {
            bench.pend(&[frag(8, 8, false)]);
            // Of the new start only the last fragment is there; its time runs from now.
            assert_whole(&bench.complete(frag(0, 8, true).packet()), 16);
        }
        assert_eq!(bench.reassembler.stats().reasm_fails, fails);
    }
    let mut unlimited = Bench::new(ReassemblyConfig { max_distance: 0, ..Default::default() });
    unlimited.pend(&[frag(0, 8, true)]);
    (100..300).for_each(|id| unlimited.pend(&[Frag { id, ..frag(0, 8, true) }]));
    unlimited.complete(frag(8, 8, false).packet());
}

#[test]
fn a_restart_gives_the_datagram_its_full_time_again() {
    let mut bench = bench();
    bench.pend(&[frag(0, 8, true)]);
    bench.now += Duration::from_secs(10);
    for step in 1..=65 {
        // Complete ones, so that only the first is left waiting.
        bench.pend(&[Frag { id: 7 + step, ..frag(0, 8, true) }]);
        bench.complete(Frag { id: 7 + step, ..frag(8, 8, false) }.packet());
    }
    bench.pend(&[frag(8, 8, true)]);
    assert_eq!(bench.reassembler.len(), 1);
    assert_eq!(bench.reassembler.next_deadline(), Some(bench.now + Duration::from_secs(30)));
}

#[test]
fn the_number_of_fragments_is_bounded() {
    let mut bench = Bench::new(ReassemblyConfig { max_fragments: 3, ..Default::default() });
    bench.pend(&[frag(0, 8, true), frag(8, 8, true), frag(16, 8, true)]);
    assert_eq!(bench.drop(frag(24, 8, true).packet()), ReassemblyError::TooManyFragments);
    bench.assert_empty();
}

#[test]
fn what_names_a_datagram_keeps_others_apart() {
    let mut bench = bench();
    bench.pend(&[frag(0, 8, true), Frag { id: 8, ..frag(0, 8, true) }]);
    bench.pend(&[Frag { src: Ipv4Addr::new(1, 2, 3, 4), ..frag(0, 8, true) }]);
    let vary = |change: fn(&mut Packet)| {
        let mut packet = frag(0, 8, true).packet();
        change(&mut packet);
        packet
    };
    let others = [
        vary(|packet| packet.bytes_mut()[9] = 6),
        vary(|packet| packet.bytes_mut()[19] = 3),
        vary(|packet| packet.meta.link_in = Some(LinkId(2))),
        vary(|packet| packet.meta.link_in = Some(LinkId(3))),
    ];
    for packet in others {
        assert!(matches!(bench.insert(packet), Outcome::Pending));
    }
    assert_eq!(bench.reassembler.len(), 7);
    bench.complete(frag(8, 8, false).packet());
    assert_eq!(bench.reassembler.len(), 6);
}

/// RFC 3168 §5.3 as Linux has it in `ip_frag_ecn_table`.
#[test]
fn ecn_fields_are_combined_or_found_in_conflict() {
    for seen in 1..16u8 {
        let fields: Vec<u8> = (0..4).filter(|field| seen & 1 << field != 0).collect();
        for first in &fields {
            let mut bench = bench();
            let mut order = fields.clone();
            order.retain(|field| field != first);
            order.insert(0, *first);
            // The field of the first fragment and every other one seen, twice at least.
            let parts: Vec<Frag> = (0..5)
                .map(|at| Frag { tos: 0xb8 | order[at % order.len()], ..frag(at * 8, 8, at < 4) })
                .collect();
            bench.pend(&parts[..4]);
            let mixed_not_ect = fields.contains(&0) && fields.len() > 1;
            if mixed_not_ect {
                let error = bench.drop(parts[4].packet());
                assert_eq!(error, ReassemblyError::ConflictingEcn, "{fields:?}");
                assert_eq!(bench.reassembler.stats().reasm_fails, 1);
            } else {
                let whole = bench.complete(parts[4].packet());
                let expected = if fields.contains(&3) { 3 } else { *first };
                assert_eq!(whole.bytes()[1], 0xb8 | expected, "{fields:?}");
                assert_whole(&whole, 40);
            }
            bench.assert_empty();
        }
    }
}

#[test]
fn df_is_kept_when_the_longest_fragment_had_it() {
    let cases =
        [(true, true, true), (true, false, true), (false, true, false), (false, false, false)];
    for (long, short, expected) in cases {
        let mut bench = bench();
        bench.pend(&[Frag { df: short, ..frag(0, 8, true) }]);
        let last = Frag { df: long, ..frag(8, 100, false) }.packet();
        let Outcome::Complete { packet, max_fragment_size } = bench.insert(last) else {
            panic!("not complete");
        };
        assert_eq!(Ipv4::parse(packet.bytes()).unwrap().dont_fragment(), expected);
        assert_eq!(max_fragment_size, 120);
    }
}

#[test]
fn header_and_metadata_are_the_first_fragment_s_and_the_time_the_last_one_s() {
    let mut bench = bench();
    let mut last = Frag { tos: 0, ..frag(8, 8, false) }.with_options(&[1, 1, 1, 0]);
    last.meta.timestamp = Instant::from_secs(1);
    last.meta.mark = 1;
    last.meta.checksum = ChecksumState::Unnecessary;
    let mut first = Packet::with_capacity(100);
    first.put_slice(b"link-layer hdr");
    first.mark_mac();
    first.put_slice(Frag { tos: 0x20, ..frag(0, 8, true) }.with_options(&[148, 4, 0, 0]).bytes());
    first.put_slice(b"padding");
    first.pull(14);
    first.meta.timestamp = Instant::from_secs(2);
    first.meta.mark = 2;
    first.meta.checksum = ChecksumState::Unnecessary;
    let size = first.true_size();
    assert!(matches!(bench.insert(last), Outcome::Pending));
    let whole = bench.complete(first);
    assert_whole(&whole, 16);
    assert_eq!(whole.true_size(), size, "joined in the first one's buffer");
    let view = Ipv4::parse(whole.bytes()).unwrap();
    assert_eq!((view.tos(), view.options()), (0x20, &[148, 4, 0, 0][..]));
    assert_eq!((whole.meta.mark, whole.meta.timestamp), (2, Instant::from_secs(2)));
    assert_eq!(whole.meta.checksum, ChecksumState::Unnecessary);

    // The same with no room behind the first fragment: the link-layer header moves along.
    let mut first = Packet::over(vec![0; 14 + 28], 0);
    first.put_slice(b"link-layer hdr");
    first.mark_mac();
    first.put_slice(frag(0, 8, true).packet().bytes());
    first.pull(14);
    first.meta.timestamp = Instant::from_secs(1);
    first.meta.checksum = ChecksumState::Unnecessary;
    assert!(matches!(bench.insert(first), Outcome::Pending));
    let mut last = frag(8, 8, false).packet();
    last.meta.timestamp = Instant::from_secs(9);
    let whole = bench.complete(last);
    assert_whole(&whole, 16);
    assert_eq!(whole.meta.timestamp, Instant::from_secs(9));
    assert_eq!(whole.meta.checksum, ChecksumState::None, "not all were verified");
    assert_eq!(whole.mac().len(), 14 + whole.len());
    assert!(whole.mac().starts_with(b"link-layer hdr"));
}

#[test]
fn a_fragment_without_data_ends_its_datagram() {
    for empty in [frag(8, 0, true), frag(8, 0, false), frag(0, 0, true)] {
        let mut bench = bench();
        bench.pend(&[frag(0, 8, true)]);
        assert_eq!(bench.drop(empty.packet()), ReassemblyError::Empty);
        bench.assert_empty();
        assert_eq!(bench.drop(empty.packet()), ReassemblyError::Empty, "also one that is alone");
        bench.assert_empty();
    }
}

/// What the rules say, on plain lists of fragments.
#[derive(Default)]
struct Model {
    datagrams: BTreeMap<u16, Vec<Frag>>,
}

/// The bytes of each run among fragments in order of arrival.
fn runs(parts: &[Frag]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for part in parts {
        let end = part.offset + part.len;
        match runs.iter_mut().max() {
            Some(last) if last.1 == part.offset => last.1 = end,
            _ => runs.push((part.offset, end)),
        }
    }
    runs
}

#[derive(Debug, PartialEq)]
enum Expected {
    Pending,
    Complete(usize),
    Dropped,
    Given(ReassemblyError),
}

impl Model {
    fn insert(&mut self, new: Frag) -> Expected {
        if new.more && !new.len.is_multiple_of(8) {
            return Expected::Dropped;
        }
        let parts = self.datagrams.entry(new.id).or_default();
        let end = |part: &Frag| part.offset + part.len;
        let known = parts.iter().map(end).max().unwrap_or(0);
        let last = parts.iter().find(|part| !part.more).map(end);
        let contradicts = match last {
            Some(last) => end(&new) > last || !new.more && end(&new) != last,
            None => !new.more && end(&new) < known,
        };
        let overlapping =
            parts.iter().find(|part| part.offset < end(&new) && new.offset < end(part));
        let outcome = match overlapping {
            _ if contradicts => Expected::Given(ReassemblyError::ConflictingEnd),
            Some(_) if runs(parts).iter().any(|run| run.0 <= new.offset && end(&new) <= run.1) => {
                return Expected::Given(ReassemblyError::Duplicate);
            }
            Some(_) => Expected::Given(ReassemblyError::Overlap),
            None => {
                parts.push(new);
                let total = parts.iter().find(|part| !part.more).map(end);
                if total != Some(parts.iter().map(|part| part.len).sum()) {
                    return Expected::Pending;
                }
                Expected::Complete(total.unwrap_or(0))
            }
        };
        self.datagrams.remove(&new.id);
        outcome
    }
}

fn any_frag() -> impl Strategy<Value = Frag> {
    (0..6usize, prop_oneof![8 => 1..4usize, 1 => Just(0)], 0..3u16, any::<bool>(), 0..20u32)
        .prop_map(|(at, blocks, id, more, odd)| {
            let len = (blocks * 8).max(1) - usize::from(odd == 0 && blocks > 0);
            // Those at the end mostly say so.
            let more = if at + blocks >= 6 { more && odd > 15 } else { more || odd < 15 };
            Frag { id, ..frag(at * 8, len, more) }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn it_does_what_the_rules_say(fragments in prop::collection::vec(any_frag(), 1..60)) {
        let mut bench = bench();
        let mut model = Model::default();
        for fragment in fragments.into_iter().filter(|it| it.offset > 0 || it.more) {
            let expected = model.insert(fragment);
            let found = match bench.insert(fragment.packet()) {
                Outcome::Pending => Expected::Pending,
                Outcome::Complete { packet, .. } => {
                    assert_whole(&packet, packet.len() - HEADER_LEN);
                    Expected::Complete(packet.len() - HEADER_LEN)
                }
                Outcome::Dropped { error: ReassemblyError::Unaligned, .. } => Expected::Dropped,
                Outcome::Dropped { error, .. } => Expected::Given(error),
            };
            prop_assert_eq!(found, expected, "{:?}", fragment);
            prop_assert_eq!(bench.reassembler.len(), model.datagrams.len());
            prop_assert_eq!(bench.reassembler.timers.len(), model.datagrams.len());
        }
        bench.now += Duration::from_secs(30);
        let mut expired = 0;
        while bench.reassembler.expire(bench.now, &mut bench.pool).is_some() {
            expired += 1;
        }
        prop_assert_eq!(expired, model.datagrams.len());
        bench.assert_empty();
    }

    /// Any bytes at all, with a header good enough to get in.
    #[test]
    fn any_bytes_keep_the_accounts_straight(
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 20..80), 1..100),
    ) {
        let config = ReassemblyConfig { high_threshold: 12_000, ..Default::default() };
        let mut bench = Bench::new(config);
        for mut bytes in packets {
            bytes[0] = 0x45 + bytes[0] % 3;
            bytes[2] = 0;
            bytes[3] = bytes.len() as u8;
            // Few datagrams, so that fragments meet.
            bytes[4] = 0;
            bytes[5] &= 1;
            bytes[6] &= 0x60;
            bytes[7] &= 7;
            bytes[9..20].fill(1);
            bench.insert(Packet::from_slice(&bytes));
            prop_assert!(bench.reassembler.memory() < 12_000 + 4_000);
            prop_assert!(bench.reassembler.len() <= 2);
        }
        bench.now += Duration::from_secs(30);
        while bench.reassembler.expire(bench.now, &mut bench.pool).is_some() {}
        bench.assert_empty();
    }
}
