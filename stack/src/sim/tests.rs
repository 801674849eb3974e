//! Each effect of a wire, measured. Bounds on chance are five standard deviations wide.

use std::boxed::Box;
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use super::queue::EventQueue;
use super::*;
use crate::packet::{ChecksumState, Gso, GsoKind, Packet};
use crate::time::{Duration, Instant};
use crate::wire::checksum;

const MS: Duration = Duration::from_millis(1);

fn link(conditions: Conditions) -> Link {
    let mut link = Link::new(conditions);
    link.seed(7);
    link
}

fn frame(len: usize) -> Packet {
    Packet::from_slice(&vec![0x5a; len])
}

/// The arrival of a frame of 1000 bytes sent at `now` from A, unless it is dropped.
fn send(link: &mut Link, now: Instant) -> Option<Instant> {
    match link.transmit(now, End::A, frame(1000)) {
        Fate::Arrives { at, .. } => Some(at),
        Fate::Dropped { .. } => None,
    }
}

/// Whether each of `count` frames arrives.
fn survivors(link: &mut Link, count: usize) -> Vec<bool> {
    (0..count).map(|_| send(link, Instant::ZERO).is_some()).collect()
}

/// Asserts that `hits` out of `tries` are not surprising for probability `p`.
#[track_caller]
fn assert_binomial(hits: u64, tries: u64, p: f64) {
    let (mean, deviation) = (tries as f64 * p, (tries as f64 * p * (1.0 - p)).sqrt());
    let distance = (hits as f64 - mean).abs();
    assert!(distance <= 5.0 * deviation, "{hits} of {tries} at {p}: {mean} ± {deviation}");
}

/// A TCP segment in IPv4 in Ethernet with this much data, its IP checksum right.
fn tcp_frame(tos: u8, payload: usize) -> Packet {
    let mut bytes = vec![0; 14 + 20 + 20 + payload];
    bytes[12..14].copy_from_slice(&[8, 0]);
    let total = (40 + payload) as u16;
    bytes[14..18].copy_from_slice(&[0x45, tos, (total >> 8) as u8, total as u8]);
    bytes[22..24].copy_from_slice(&[64, 6]);
    let check = checksum::checksum(&bytes[14..34]);
    bytes[24..26].copy_from_slice(&check.to_be_bytes());
    bytes[46] = 5 << 4;
    Packet::from_slice(&bytes)
}

#[test]
fn a_perfect_wire_changes_nothing_and_takes_no_time() {
    let mut link = link(Conditions::default());
    let now = Instant::from_millis(5);
    for len in [0, 1, 60, 1514] {
        match link.transmit(now, End::B, frame(len)) {
            Fate::Arrives { at, packet, copy: None } => {
                assert_eq!((at, packet.bytes()), (now, frame(len).bytes()));
            }
            fate => panic!("{fate:?}"),
        }
        assert!(link.arrive(End::B));
    }
    let counters = LinkCounters { frames: 4, arrived: 4, bytes: 1575, ..LinkCounters::default() };
    assert_eq!(link.counters(End::B), &counters);
    assert_eq!(link.counters(End::A), &LinkCounters::default());
}

#[test]
fn delay_is_exact_and_each_direction_has_its_own() {
    let way = |nanos| Conditions { delay: Duration::from_nanos(nanos), ..Conditions::default() };
    let mut link = Link::asymmetric(way(123_456_789), way(1));
    for now in [0, 1, 999_999_999].map(Instant::from_nanos) {
        assert_eq!(send(&mut link, now), Some(now + Duration::from_nanos(123_456_789)));
        let Fate::Arrives { at, .. } = link.transmit(now, End::B, frame(60)) else { panic!() };
        assert_eq!(at, now + Duration::from_nanos(1));
    }
    link.conditions_mut(End::A).delay = Duration::ZERO;
    let now = Instant::from_secs(2);
    assert_eq!(send(&mut link, now), Some(now));
}

#[test]
fn rate_is_exact_over_any_number_of_frames() {
    // 8000 bits a frame. The last two rates do not divide them into whole nanoseconds.
    for rate in [8_000_000, 7_000_003, 999_999_999_999] {
        let mut link = link(Conditions { rate: Some(rate), delay: MS, ..Conditions::default() });
        let start = Instant::from_secs(1);
        for n in 1..=10_000u64 {
            let sent = Duration::from_nanos((n as u128 * 8_000_000_000_000 / rate as u128) as u64);
            assert_eq!(
                send(&mut link, start),
                Some(start + sent + MS),
                "frame {n} at {rate} bit/s"
            );
        }
        // After a pause the transmitter starts afresh.
        let later = Instant::from_secs(1000);
        let time = Duration::from_nanos((8_000_000_000_000 / rate as u128) as u64);
        assert_eq!(send(&mut link, later), Some(later + time + MS));
    }
}

#[test]
fn overhead_takes_time_but_is_not_counted() {
    let conditions = Conditions { rate: Some(8000), overhead: 24, ..Conditions::default() };
    let mut link = link(conditions);
    assert_eq!(send(&mut link, Instant::ZERO), Some(Instant::from_millis(1024)));
    assert_eq!(link.counters(End::A).bytes, 1000);
}

#[test]
fn a_full_queue_drops_what_comes_until_something_has_left() {
    for queue in [Queue::Frames(4), Queue::Bytes(4000), Queue::Bytes(4999)] {
        // A frame takes a millisecond.
        let mut link = link(Conditions { rate: Some(8_000_000), queue, ..Conditions::default() });
        let at = |n| Some(Instant::from_millis(n));
        let arrivals: Vec<_> = (0..6).map(|_| send(&mut link, Instant::ZERO)).collect();
        assert_eq!(arrivals, [at(1), at(2), at(3), at(4), None, None]);
        assert_eq!(link.queued(Instant::ZERO, End::A), (4, 4000));
        assert_eq!(send(&mut link, Instant::from_nanos(999_999)), None);
        assert_eq!(send(&mut link, Instant::from_millis(1)), at(5));
        assert_eq!(link.queued(Instant::from_millis(4), End::A), (1, 1000));
        let counters = link.counters(End::A);
        assert_eq!((counters.frames, counters.queue_full, counters.queue_peak), (8, 3, 4000));
    }
}

#[test]
fn a_frame_longer_than_the_queue_passes_when_it_is_alone() {
    let queue = Queue::Bytes(10);
    let mut link = link(Conditions { rate: Some(8_000_000), queue, ..Conditions::default() });
    assert!(send(&mut link, Instant::ZERO).is_some());
    assert!(send(&mut link, Instant::ZERO).is_none());
    assert!(send(&mut link, Instant::from_millis(1)).is_some());
}

#[test]
fn senders_that_know_ecn_are_told_of_a_queue() {
    let conditions =
        Conditions { rate: Some(8_000_000), mark_above: Queue::Frames(2), ..Conditions::default() };
    for (tos, marked) in [(0b00, 0b00), (0b01, 0b11), (0b10, 0b11), (0b11, 0b11), (0xb9, 0xbb)] {
        let mut link = link(conditions);
        for n in 0..4 {
            let fate = link.transmit(Instant::ZERO, End::A, tcp_frame(tos, 100));
            let Fate::Arrives { packet, .. } = fate else { panic!("{fate:?}") };
            let header = &packet.bytes()[14..34];
            assert_eq!(header[1], if n < 2 { tos } else { marked });
            assert_eq!(checksum::checksum(header), 0);
        }
        assert_eq!(link.counters(End::A).marked, if tos == marked { 0 } else { 2 });
    }
    let mut link = link(conditions);
    (0..4).for_each(|_| assert!(send(&mut link, Instant::ZERO).is_some()));
    assert_eq!(link.counters(End::A).marked, 0, "these are no IPv4 packets");
}

#[test]
fn losses_are_as_frequent_as_asked_for() {
    for p in [0.001, 0.01, 0.2, 0.5] {
        let mut link = link(Conditions { loss: Probability::new(p), ..Conditions::default() });
        survivors(&mut link, 100_000);
        let counters = link.counters(End::A);
        assert_binomial(counters.lost, counters.frames, p);
    }
    let mut link = link(Conditions { loss: Probability::ALWAYS, ..Conditions::default() });
    assert!(!survivors(&mut link, 1000).contains(&true));
}

#[test]
fn probabilities_are_clamped_and_agree() {
    assert_eq!(Probability::new(f64::NAN), Probability::NEVER);
    assert_eq!(Probability::new(-1.0), Probability::NEVER);
    assert_eq!(Probability::new(1.5), Probability::ALWAYS);
    assert_eq!(Probability::new(1.0), Probability::ALWAYS);
    assert_eq!(Probability::from_ppm(2_000_000), Probability::ALWAYS);
    assert_eq!(Probability::from_ppm(250_000), Probability::new(0.25));
}

#[test]
fn a_seed_decides_what_is_lost_and_other_effects_do_not() {
    let lossy = Conditions { loss: Probability::new(0.3), ..Conditions::default() };
    let run = |seed, conditions| {
        let mut link = Link::new(conditions);
        link.seed(seed);
        survivors(&mut link, 1000)
    };
    assert_eq!(run(1, lossy), run(1, lossy));
    assert_ne!(run(1, lossy), run(2, lossy));
    let worse = Conditions {
        jitter: Jitter::Uniform(MS),
        duplicate: Probability::new(0.5),
        corrupt: Probability::new(0.5),
        reorder: Reorder::Random { probability: Probability::new(0.5), hold: MS },
        ..lossy
    };
    assert_eq!(run(1, lossy), run(1, worse));
    // Nor are both directions alike.
    let mut link = link(lossy);
    let backwards = (0..1000)
        .map(|_| matches!(link.transmit(Instant::ZERO, End::B, frame(60)), Fate::Arrives { .. }));
    let backwards: Vec<_> = backwards.collect();
    assert_ne!(survivors(&mut link, 1000), backwards);
}

#[test]
fn bursts_have_their_length_and_their_share() {
    let (share, length) = (0.05, 8.0);
    let bursts = Some(GilbertElliott::bursts(share, length));
    let mut link = link(Conditions { bursts, ..Conditions::default() });
    let arrived = survivors(&mut link, 400_000);
    let lost = arrived.iter().filter(|arrived| !**arrived).count();
    assert_eq!(link.counters(End::A).lost_in_bursts, lost as u64);
    let runs = arrived.chunk_by(|a, b| a == b).filter(|run| !run[0]).count();
    let mean = lost as f64 / runs as f64;
    // Lengths are geometric, with deviation sqrt(1 - r) / r for a probability r to end.
    let deviation = (1.0f64 - 1.0 / length).sqrt() * length / (runs as f64).sqrt();
    assert!((mean - length).abs() < 5.0 * deviation, "mean {mean} ± {deviation}");
    // Independent losses of the same share would hardly ever come in runs of eight.
    assert!(arrived.windows(8).any(|run| !run.contains(&true)));
    // A share of 5 % in some 2500 bursts varies by about 2 % of itself, twice as bursts vary too.
    let measured = lost as f64 / arrived.len() as f64;
    assert!((measured - share).abs() < 5.0 * share * 0.03, "share {measured}");
}

#[test]
fn both_states_of_a_bursty_wire_have_their_loss() {
    let bursts = GilbertElliott {
        enter: Probability::NEVER,
        leave: Probability::NEVER,
        loss_good: Probability::new(0.1),
        loss_bad: Probability::new(0.7),
    };
    let run = |bursts| {
        let mut link = link(Conditions { bursts: Some(bursts), ..Conditions::default() });
        survivors(&mut link, 20_000);
        link.counters(End::A).lost_in_bursts
    };
    assert_binomial(run(bursts), 20_000, 0.1);
    assert_binomial(run(GilbertElliott { enter: Probability::ALWAYS, ..bursts }), 20_000, 0.7);
}

#[test]
fn jitter_is_spread_as_it_says() {
    let delay = 50 * MS;
    let nanos = |jitter| {
        let mut link =
            link(Conditions { delay, jitter, overtaking: true, ..Conditions::default() });
        let arrivals = (0..20_000).map(|_| send(&mut link, Instant::ZERO).unwrap().as_nanos());
        arrivals.map(|nanos| nanos as f64).collect::<Vec<_>>()
    };
    let moments = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        (mean, (variance / values.len() as f64).sqrt())
    };
    let uniform = nanos(Jitter::Uniform(10 * MS));
    assert!(uniform.iter().all(|nanos| (40e6..=60e6).contains(nanos)));
    let (mean, deviation) = moments(&uniform);
    // A uniform distribution's deviation is its width over the root of 12.
    assert!((mean - 50e6).abs() < 5.0 * 5.77e6 / 141.0, "{mean}");
    assert!((deviation / 5.77e6 - 1.0).abs() < 0.03, "{deviation}");

    let normal = nanos(Jitter::Normal(5 * MS));
    let (mean, deviation) = moments(&normal);
    assert!((mean - 50e6).abs() < 5.0 * 5e6 / 141.0, "{mean}");
    assert!((deviation / 5e6 - 1.0).abs() < 0.03, "{deviation}");
    let within = normal.iter().filter(|nanos| (**nanos - 50e6).abs() < 5e6).count();
    assert!((within as f64 / 20_000.0 - 0.683).abs() < 0.02, "{within} within one deviation");

    // No frame arrives before it is sent.
    let mut link = link(Conditions { jitter: Jitter::Normal(5 * MS), ..Conditions::default() });
    let now = Instant::from_secs(1);
    assert!((0..100).all(|_| send(&mut link, now).is_some_and(|at| at >= now)));
}

#[test]
fn jitter_keeps_the_order_unless_it_may_not() {
    for overtaking in [false, true] {
        let jitter = Jitter::Uniform(10 * MS);
        let mut link =
            link(Conditions { delay: 10 * MS, jitter, overtaking, ..Conditions::default() });
        let arrivals = (0..1000).map(|n| send(&mut link, Instant::from_millis(n)).unwrap());
        let arrivals: Vec<_> = arrivals.collect();
        assert_eq!(arrivals.is_sorted(), !overtaking);
        assert_eq!(link.counters(End::A).held, 0);
    }
}

#[test]
fn frames_that_are_held_back_are_overtaken() {
    let hold = 10 * MS;
    let late = |reorder| {
        let mut link = link(Conditions { delay: MS, reorder, ..Conditions::default() });
        let late = (0..10_000u64).filter(|n| {
            let now = Instant::from_millis(*n);
            let at = send(&mut link, now).unwrap();
            assert!(at == now + MS || at == now + MS + hold);
            at != now + MS
        });
        let late: Vec<_> = late.collect();
        assert_eq!(link.counters(End::A).held, late.len() as u64);
        late
    };
    let probability = Probability::new(0.1);
    assert_binomial(late(Reorder::Random { probability, hold }).len() as u64, 10_000, 0.1);
    let every_fifth: Vec<_> = (0..10_000).filter(|n| n % 5 == 4).collect();
    assert_eq!(late(Reorder::Every { gap: 5, hold }), every_fifth);
    assert!(late(Reorder::Every { gap: 0, hold }).is_empty());
}

#[test]
fn copies_are_alike() {
    let mut link = link(Conditions { duplicate: Probability::new(0.2), ..Conditions::default() });
    let mut copies = 0;
    for _ in 0..10_000 {
        let fate = link.transmit(Instant::ZERO, End::A, frame(64));
        let Fate::Arrives { packet, copy, .. } = fate else { panic!("{fate:?}") };
        copies += u64::from(copy.is_some());
        assert!(copy.is_none_or(|copy| copy.bytes() == packet.bytes()));
    }
    assert_eq!(link.counters(End::A).duplicated, copies);
    assert_binomial(copies, 10_000, 0.2);
}

#[test]
fn damage_is_one_bit_anywhere() {
    let mut link = link(Conditions { corrupt: Probability::new(0.5), ..Conditions::default() });
    let (mut flipped, mut damaged) = (BTreeSet::new(), 0);
    for _ in 0..10_000 {
        let fate = link.transmit(Instant::ZERO, End::A, frame(60));
        let Fate::Arrives { packet, .. } = fate else { panic!("{fate:?}") };
        let differ = |at: &usize| (packet.bytes()[at / 8] ^ 0x5a) >> (at % 8) & 1 == 1;
        let bits: Vec<_> = (0..480).filter(differ).collect();
        assert!(bits.len() <= 1);
        damaged += bits.len() as u64;
        flipped.extend(bits);
    }
    assert_eq!(link.counters(End::A).corrupted, damaged);
    assert_binomial(damaged, 10_000, 0.5);
    assert_eq!(flipped.len(), 480, "every bit was hit");
}

#[test]
fn damage_comes_after_the_checksum() {
    let mut link = link(Conditions { corrupt: Probability::ALWAYS, ..Conditions::default() });
    let mut packet = tcp_frame(0, 100);
    packet.pull(14);
    packet.mark_network();
    packet.push(14);
    packet.meta.checksum = ChecksumState::Partial { start: 20, offset: 16 };
    let fate = link.transmit(Instant::ZERO, End::A, packet);
    let Fate::Arrives { packet, .. } = fate else { panic!("{fate:?}") };
    assert_eq!(packet.meta.checksum, ChecksumState::None);
    let mut whole = tcp_frame(0, 100);
    checksum::complete(&mut whole.bytes_mut()[34..], 16);
    let bits = whole.bytes().iter().zip(packet.bytes()).map(|(a, b)| (a ^ b).count_ones());
    assert_eq!(bits.sum::<u32>(), 1);
}

#[test]
fn a_script_drops_holds_and_changes() {
    let mut link = link(Conditions { delay: MS, ..Conditions::default() });
    link.set_script(
        End::A,
        Some(Box::new(|number, packet: &mut Packet| {
            packet.bytes_mut()[0] = number as u8;
            match number {
                2 => Verdict::Drop,
                3 => Verdict::Hold(MS),
                _ => Verdict::Pass,
            }
        })),
    );
    let mut fates = (0..4).map(|_| link.transmit(Instant::ZERO, End::A, frame(60)));
    let mut next = || match fates.next() {
        Some(Fate::Arrives { at, packet, .. }) => Some((at.as_millis(), packet.bytes()[0])),
        _ => None,
    };
    assert_eq!([next(), next(), next(), next()], [Some((1, 1)), None, Some((2, 3)), Some((1, 4))]);
    let counters = link.counters(End::A);
    assert_eq!((counters.scripted, counters.held), (1, 1));

    link.drop_frames(End::A, &[5, 7]);
    assert_eq!(survivors(&mut link, 4), [false, true, false, true]);
    link.set_script(End::A, None);
    assert_eq!(link.counters(End::A).scripted, 3);
}

#[test]
fn a_wire_that_is_down_carries_nothing() {
    let mut link = link(Conditions::default());
    assert!(send(&mut link, Instant::ZERO).is_some());
    link.set_up(false);
    assert!(!link.is_up());
    assert!(!link.arrive(End::A), "it was cut before the frame got through");
    assert!(send(&mut link, Instant::ZERO).is_none());
    link.set_up(true);
    assert!(send(&mut link, Instant::ZERO).is_some());
    assert!(link.arrive(End::A));
    let counters = link.counters(End::A);
    assert_eq!((counters.frames, counters.down, counters.arrived), (3, 2, 1));
}

#[test]
fn packets_that_are_too_long_vanish() {
    let mut link = link(Conditions { mtu: Some(1400), ..Conditions::default() });
    let mut passes =
        |packet| matches!(link.transmit(Instant::ZERO, End::A, packet), Fate::Arrives { .. });
    assert!(passes(frame(1414)));
    assert!(!passes(frame(1415)));
    assert!(passes(large_segment(1360)));
    assert!(!passes(large_segment(1361)));
    assert_eq!(link.counters(End::A).too_long, 2);
}

/// Ten times so much data.
fn large_segment(size: u16) -> Packet {
    let mut packet = tcp_frame(0, 10 * usize::from(size));
    let kind = GsoKind::TcpV4 { ecn: false };
    packet.meta.gso = Some(Gso { kind, size, segments: 10, fixed_id: false });
    packet
}

#[test]
fn a_large_segment_counts_as_what_it_is_split_into() {
    // Ten frames of 1000 bytes of data and 54 of headers.
    let conditions = Conditions { rate: Some(8000), ..Conditions::default() };
    let mut slow = link(conditions);
    let fate = slow.transmit(Instant::ZERO, End::A, large_segment(1000));
    let Fate::Arrives { at, .. } = fate else { panic!("{fate:?}") };
    assert_eq!(at, Instant::from_millis(10_540));
    assert_eq!(slow.queued(Instant::ZERO, End::A), (10, 10_540));

    let queue = Queue::Frames(19);
    let mut short = link(Conditions { queue, ..conditions });
    let mut passes = || {
        matches!(short.transmit(Instant::ZERO, End::A, large_segment(1000)), Fate::Arrives { .. })
    };
    assert!(passes() && !passes());

    let mut lossy = link(Conditions { loss: Probability::new(0.02), ..Conditions::default() });
    for _ in 0..10_000 {
        lossy.transmit(Instant::ZERO, End::A, large_segment(1000));
    }
    assert_binomial(lossy.counters(End::A).lost, 10_000, 1.0 - 0.98f64.powi(10));
}

#[test]
fn events_come_by_time_and_then_in_the_order_of_adding() {
    let mut queue = EventQueue::new();
    let at = Instant::from_millis;
    for (millis, name) in [(3, 'a'), (1, 'b'), (3, 'c'), (2, 'd'), (1, 'e'), (3, 'f')] {
        queue.add(at(millis), name);
    }
    assert_eq!(queue.next_at(), Some(at(1)));
    let order = core::iter::from_fn(|| queue.pop());
    let expected = [(1, 'b'), (1, 'e'), (2, 'd'), (3, 'a'), (3, 'c'), (3, 'f')];
    assert!(order.eq(expected.map(|(millis, name)| (at(millis), name))));

    queue.add(at(4), 'g');
    assert_eq!(queue.pop_if(at(3), |_| true), None);
    assert_eq!(queue.pop_if(at(4), |name| *name != 'g'), None);
    assert_eq!(queue.pop_if(at(4), |name| *name == 'g'), Some('g'));
    assert_eq!(queue.next_at(), None);
}
