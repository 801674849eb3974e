//! What wires do, as hosts at their ends notice it.

use std::sync::{Arc, Mutex};

use tapping_stack::sim::{
    Conditions, End, GilbertElliott, Jitter, Link, Passage, Probability, Queue, Reorder, Sighting,
};
use tapping_stack::time::Duration;

use crate::net::{Pair, Pinger, addr, ms};

/// Sends `count` echo requests `gap` apart; returns the numbers of those that came back, in the
/// order in which they did.
fn ping(pair: &mut Pair, count: u16, gap: Duration, len: usize) -> Vec<u16> {
    let lab = &mut pair.lab;
    let mut pinger = Pinger::new(lab, pair.a, addr(2), len);
    let mut replies = Vec::new();
    for _ in 0..count {
        pinger.send(lab);
        lab.run_for(gap);
        replies.extend(pinger.replies(lab));
    }
    lab.run_for(Duration::from_secs(10));
    replies.extend(pinger.replies(lab));
    replies.into_iter().map(|(_, number)| number).collect()
}

#[test]
fn lost_pings_are_those_the_wire_lost() {
    let conditions = Conditions {
        delay: ms(5),
        loss: Probability::new(0.1),
        bursts: Some(GilbertElliott::bursts(0.05, 4.0)),
        ..Conditions::default()
    };
    let mut pair = Pair::new(3, conditions).introduced();
    let replies = ping(&mut pair, 5000, ms(1), 56);
    let link = pair.lab.link(pair.wire);
    let lost =
        [End::A, End::B].map(|end| link.counters(end).lost + link.counters(end).lost_in_bursts);
    assert_eq!(replies.len() as u64, 5000 - lost[0] - lost[1]);
    assert!(replies.is_sorted());
    // Each way loses 1 - 0.9 * 0.95 = 14.5 %; bursts make it vary more than single losses would.
    assert!(lost.iter().all(|lost| (500..1000).contains(lost)), "{lost:?}");
}

#[test]
fn damage_is_found_by_checksums() {
    let corrupt = Probability::new(0.2);
    let conditions = Conditions { delay: ms(1), corrupt, ..Conditions::default() };
    let mut pair = Pair::new(4, conditions).introduced();
    // No checksum covers Ethernet's addresses.
    let addresses = Arc::new(Mutex::new(0));
    let count = Arc::clone(&addresses);
    let macs = [[2, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 2, 0, 0, 1, 0, 0]];
    pair.lab.set_tap(Some(Box::new(move |seen: &Sighting<'_>| {
        if seen.passage == Passage::Received {
            let intact = seen.packet.bytes()[..12] == macs[seen.from as usize];
            *count.lock().unwrap() += u64::from(!intact);
        }
    })));
    // The pinger checks what comes back.
    let replies = ping(&mut pair, 5000, ms(1), 200).len() as u64;
    let addresses = *addresses.lock().unwrap();
    let Pair { lab, a, b, wire } = pair;
    let corrupted = [End::A, End::B].map(|end| lab.link(wire).counters(end).corrupted);
    let corrupted: u64 = corrupted.iter().sum();
    let drops = [a, b].map(|host| lab.stack_ref(host).snapshot().drops);
    let drops: u64 = drops.iter().flatten().map(|(_, count)| count).sum();
    assert!(corrupted > 1000 && addresses > 20, "{corrupted} damaged, {addresses} in addresses");
    assert!((corrupted - addresses..=corrupted).contains(&drops), "{drops} of {corrupted} dropped");
    assert_eq!(replies, 5000 - drops);
}

#[test]
fn held_frames_are_overtaken_and_copies_are_answered() {
    let hold = Reorder::Random { probability: Probability::new(0.1), hold: ms(5) };
    let conditions = Conditions {
        delay: ms(5),
        reorder: hold,
        duplicate: Probability::new(0.1),
        ..Conditions::default()
    };
    let mut pair = Pair::new(5, conditions).introduced();
    let replies = ping(&mut pair, 2000, ms(1), 56);
    let link = pair.lab.link(pair.wire);
    let [there, back] = [End::A, End::B].map(|end| *link.counters(end));
    // Each copied request makes a reply of its own.
    assert_eq!(replies.len() as u64, 2000 + there.duplicated + back.duplicated);
    assert!(there.duplicated > 100 && back.duplicated > 100);
    let late = replies.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(late > 200, "{late} replies came late");
}

#[test]
fn jitter_alone_reorders_only_where_it_may() {
    for overtaking in [false, true] {
        let conditions = Conditions {
            delay: ms(20),
            jitter: Jitter::Normal(ms(3)),
            overtaking,
            ..Conditions::default()
        };
        let mut pair = Pair::new(6, conditions).introduced();
        let replies = ping(&mut pair, 1000, ms(1), 56);
        assert_eq!(replies.len(), 1000);
        assert_eq!(replies.is_sorted(), !overtaking);
    }
}

#[test]
fn a_slow_way_back_spaces_replies_and_its_queue_overflows() {
    let quick = Conditions { delay: ms(10), ..Conditions::default() };
    // 1000 bytes of frame a millisecond.
    let slow = Conditions { rate: Some(8_000_000), queue: Queue::Frames(10), ..quick };
    let mut pair = Pair::on(7, Link::asymmetric(quick, slow)).introduced();
    let lab = &mut pair.lab;
    let start = lab.now();
    let mut pinger = Pinger::new(lab, pair.a, addr(2), 1000 - 14 - 20 - 8);
    (0..16).for_each(|_| pinger.send(lab));
    lab.run_for(ms(1000));
    let expected: Vec<_> = (1..=10).map(|n| (start + ms(20 + u64::from(n)), n)).collect();
    assert_eq!(pinger.replies(lab), expected);
    assert_eq!(lab.link(pair.wire).counters(End::B).queue_full, 6);
}
