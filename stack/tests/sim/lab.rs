//! Hosts, time and events.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use tapping_stack::route::Route;
use tapping_stack::sim::{
    Conditions, DropCause, End, GilbertElliott, HostId, Jitter, Lab, Link, Passage, Probability,
    Queue, Reorder, Sighting,
};
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::MacAddr;
use tapping_stack::{Config, ConfigError};

use crate::net::{Pair, Pinger, addr, cidr, ms};

/// a — r — b, where r forwards, and all know the way.
fn routed(seed: u64, near: Link, far: Link) -> (Lab, [HostId; 3]) {
    let mut lab = Lab::new(seed);
    let [a, r, b] = ["a", "r", "b"].map(|name| lab.add_host(name, Config::default()));
    lab.connect((a, cidr(0, 1)), (r, cidr(0, 254)), near).unwrap();
    lab.connect((r, cidr(1, 254)), (b, cidr(1, 2)), far).unwrap();
    lab.stack(r).set_forwarding(true);
    for (host, router) in [(a, [10, 0, 0, 254]), (b, [10, 0, 1, 254])] {
        let route = Route::via("0.0.0.0/0".parse().unwrap(), router.into());
        lab.stack(host).add_route(route).unwrap();
    }
    (lab, [a, r, b])
}

#[test]
fn a_round_trip_takes_the_delay_of_every_wire_twice() {
    let wire = |millis| Link::new(Conditions { delay: ms(millis), ..Conditions::default() });
    let (mut lab, [a, ..]) = routed(1, wire(3), wire(40));
    let mut pinger = Pinger::new(&mut lab, a, [10, 0, 1, 2].into(), 56);
    pinger.send(&mut lab);
    lab.run_for(ms(1000));
    assert_eq!(pinger.replies(&mut lab).len(), 1);
    let start = lab.now();
    pinger.send(&mut lab);
    lab.run_for(ms(1000));
    assert_eq!(pinger.replies(&mut lab), [(start + ms(86), 2)]);
    assert_eq!(lab.now(), start + ms(1000));
}

#[test]
fn the_same_seed_gives_the_same_frames_and_another_does_not() {
    let run = |seed| {
        let rough = Conditions {
            delay: ms(10),
            jitter: Jitter::Normal(ms(3)),
            overtaking: true,
            loss: Probability::new(0.05),
            bursts: Some(GilbertElliott::bursts(0.02, 3.0)),
            reorder: Reorder::Random { probability: Probability::new(0.1), hold: ms(7) },
            duplicate: Probability::new(0.05),
            corrupt: Probability::new(0.05),
            rate: Some(1_000_000),
            queue: Queue::Frames(20),
            ..Conditions::default()
        };
        let (mut lab, [a, _, b]) = routed(seed, Link::new(rough), Link::new(rough));
        let hasher = Arc::new(Mutex::new((DefaultHasher::new(), 0u64)));
        let tap = Arc::clone(&hasher);
        lab.set_tap(Some(Box::new(move |seen: &Sighting<'_>| {
            let mut hasher = tap.lock().unwrap();
            (seen.at, seen.wire, seen.from, seen.passage, seen.packet.bytes()).hash(&mut hasher.0);
            hasher.1 += 1;
        })));
        let mut there = Pinger::new(&mut lab, a, [10, 0, 1, 2].into(), 1000);
        let mut back = Pinger::new(&mut lab, b, [10, 0, 0, 1].into(), 100);
        for _ in 0..500 {
            there.send(&mut lab);
            back.send(&mut lab);
            lab.run_for(ms(5));
        }
        lab.run_for(Duration::from_secs(100));
        let (hasher, frames) = &*hasher.lock().unwrap();
        assert!(*frames > 2000, "{frames} frames");
        hasher.finish()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn an_hour_takes_no_more_than_its_events() {
    let conditions = Conditions { delay: ms(20), ..Conditions::default() };
    let mut pair = Pair::new(1, conditions);
    let lab = &mut pair.lab;
    let mut pinger = Pinger::new(lab, pair.a, addr(2), 56);
    let (start, mut events, mut replies) = (lab.now(), 0, 0);
    for second in 1..=3600 {
        pinger.send(lab);
        events += lab.run_until(start + Duration::from_secs(second));
        replies += pinger.replies(lab).len();
    }
    assert_eq!(replies, 3600);
    assert_eq!(lab.now(), start + Duration::from_secs(3600));
    // Two frames a second, and now and then a neighbour is probed.
    assert!((7200..12_000).contains(&events), "{events} events");
}

#[test]
fn timers_fire_when_they_are_due() {
    let mut pair = Pair::new(1, Conditions::default());
    let Pair { lab, a, .. } = &mut pair;
    let start = lab.now();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let tap = Arc::clone(&sent);
    lab.set_tap(Some(Box::new(move |seen: &Sighting<'_>| {
        if seen.passage == Passage::Sent {
            tap.lock().unwrap().push(seen.at - start);
        }
    })));
    // Nobody has this address: it is asked for three times.
    Pinger::new(lab, *a, addr(9), 56).send(lab);
    lab.run_for(Duration::from_secs(60));
    assert_eq!(*sent.lock().unwrap(), [ms(0), ms(1000), ms(2000)]);
}

#[test]
fn every_host_has_its_own_chances() {
    let idents = |seed| {
        let mut lab = Lab::new(seed);
        assert_eq!(lab.seed(), seed);
        ["a", "b"].map(|name| {
            let host = lab.add_host(name, Config::default());
            let socket = lab.stack(host).open_ping(None).unwrap();
            lab.stack_ref(host).socket_kind(socket).unwrap()
        })
    };
    let [a, b] = idents(1);
    assert_ne!(a, b);
    assert_eq!(idents(1), [a, b]);
    assert!(!idents(2).contains(&a) && !idents(2).contains(&b));
}

#[test]
fn every_wire_has_its_own_chances() {
    let lossy = Conditions { loss: Probability::new(0.3), ..Conditions::default() };
    let replies = |seed| {
        let mut lab = Lab::new(seed);
        let [a, b] = ["a", "b"].map(|name| lab.add_host(name, Config::default()));
        [0, 1].map(|subnet| {
            let ends = ((a, cidr(subnet, 1)), (b, cidr(subnet, 2)));
            let wire = lab.connect(ends.0, ends.1, Link::new(lossy)).unwrap();
            lab.introduce(wire).unwrap();
            let mut pinger = Pinger::new(&mut lab, a, [10, 0, subnet, 2].into(), 56);
            (0..64).for_each(|_| pinger.send(&mut lab));
            lab.run_for(ms(1));
            pinger.replies(&mut lab).into_iter().map(|(_, number)| number).collect::<Vec<_>>()
        })
    };
    let [first, second] = replies(1);
    assert_ne!(first, second);
    assert_eq!(replies(1), [first.clone(), second]);
    assert!(!replies(2).contains(&first));
}

#[test]
fn time_stands_still_until_it_is_let_run() {
    let mut pair = Pair::new(1, Conditions { delay: ms(10), ..Conditions::default() }).introduced();
    let lab = &mut pair.lab;
    let start = lab.now();
    let mut pinger = Pinger::new(lab, pair.a, addr(2), 56);
    pinger.send(lab);
    assert_eq!((lab.now(), lab.in_flight()), (start, 0), "nobody has looked yet");
    assert_eq!(lab.next_event(), Some(start + ms(10)));
    assert_eq!((lab.now(), lab.in_flight()), (start, 1));
    assert_eq!(lab.step(), Some(start + ms(10)));
    assert_eq!((lab.now(), lab.in_flight()), (start + ms(10), 1));
    assert_eq!(lab.run_until(start + ms(20) - Duration::from_nanos(1)), 0);
    assert!(pinger.replies(lab).is_empty());
    assert_eq!(lab.run_until(start + ms(20)), 1);
    assert_eq!(pinger.replies(lab), [(start + ms(20), 1)]);
    assert_eq!(Lab::new(0).step(), None, "nothing ever happens in an empty laboratory");
}

#[test]
fn rest_comes_when_nothing_is_on_a_wire() {
    let mut pair = Pair::new(1, Conditions { delay: ms(10), ..Conditions::default() });
    let lab = &mut pair.lab;
    let start = lab.now();
    let mut pinger = Pinger::new(lab, pair.a, addr(2), 56);
    pinger.send(lab);
    assert!(!lab.run_until_idle(start + ms(15)), "the address is still being resolved");
    assert_eq!(lab.now(), start + ms(15));
    assert!(lab.run_until_idle(start + ms(1000)));
    assert_eq!(lab.now(), start + ms(40), "neighbours have timers, but those can wait");
    assert_eq!(pinger.replies(lab).len(), 1);
    assert!(lab.run_until_idle(start), "it is at rest already");
    assert_eq!(lab.now(), start + ms(40));
}

#[test]
fn a_condition_is_asked_after_each_event() {
    let mut pair = Pair::new(1, Conditions { delay: ms(10), ..Conditions::default() });
    let Pair { lab, a, .. } = &mut pair;
    let start = lab.now();
    let mut pinger = Pinger::new(lab, *a, addr(2), 56);
    // Each reply is answered with the next request.
    let mut replies = 0;
    pinger.send(lab);
    let went_on = lab.run_while(start + Duration::from_secs(10), |lab| {
        for _ in pinger.replies(lab) {
            replies += 1;
            pinger.send(lab);
        }
        replies < 50
    });
    assert!(!went_on);
    assert_eq!(lab.now(), start + ms(51 * 20), "one round trip each, and one for the address");
    assert!(lab.run_while(start + Duration::from_secs(10), |_| true));
    assert_eq!(lab.now(), start + Duration::from_secs(10));
}

#[test]
fn calls_are_made_at_their_time() {
    let mut pair = Pair::new(1, Conditions { delay: ms(1), ..Conditions::default() }).introduced();
    let Pair { lab, a, wire, .. } = &mut pair;
    let (start, wire) = (lab.now(), *wire);
    let mut pinger = Pinger::new(lab, *a, addr(2), 56);
    // Cut while the fifth request is under way, mended before the tenth is sent.
    lab.at(start + ms(400) + Duration::from_micros(500), move |lab| {
        lab.link_mut(wire).set_up(false)
    });
    lab.at(start + ms(850), move |lab| lab.link_mut(wire).set_up(true));
    for _ in 0..12 {
        pinger.send(lab);
        lab.run_for(ms(100));
    }
    let arrived: Vec<_> = pinger.replies(lab).into_iter().map(|(_, number)| number).collect();
    assert_eq!(arrived, [1, 2, 3, 4, 10, 11, 12]);
    assert_eq!(lab.link(wire).counters(End::A).down, 5);
    assert_eq!(lab.link(wire).counters(End::A).arrived, 7);

    let late = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&late);
    lab.at(Instant::ZERO, move |lab| *seen.lock().unwrap() = Some(lab.now()));
    lab.run_for(Duration::ZERO);
    assert_eq!(*late.lock().unwrap(), Some(start + ms(1200)), "what is past is made up for");
}

#[test]
fn a_tap_sees_each_frame_twice() {
    let conditions = Conditions { delay: ms(1), ..Conditions::default() };
    let mut pair = Pair::new(1, conditions).introduced();
    let Pair { lab, a, wire, .. } = &mut pair;
    lab.link_mut(*wire).drop_frames(End::B, &[1]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tap = Arc::clone(&seen);
    let start = lab.now();
    lab.set_tap(Some(Box::new(move |seen: &Sighting<'_>| {
        let place = format!(
            "{} {}/eth{}",
            seen.at.as_millis() - start.as_millis(),
            seen.host_name,
            seen.port
        );
        tap.lock().unwrap().push((place, seen.passage, seen.from));
        assert_eq!(seen.packet.bytes()[12..14], [8, 0]);
        assert_eq!(seen.mac, MacAddr([2, 0, 0, (seen.host_name == "b").into(), 0, 0]));
    })));
    Pinger::new(lab, *a, addr(2), 56).send(lab);
    lab.run_for(ms(10));
    let dropped = Passage::Dropped(DropCause::Script);
    let expected = [
        ("0 a/eth0", Passage::Sent, End::A),
        ("1 b/eth0", Passage::Received, End::A),
        ("1 b/eth0", Passage::Sent, End::B),
        ("1 b/eth0", dropped, End::B),
    ];
    assert_eq!(*seen.lock().unwrap(), expected.map(|(at, what, end)| (at.to_owned(), what, end)));
    assert!(lab.set_tap(None).is_some());
}

#[test]
fn hosts_have_links_as_the_wire_says() {
    let mut lab = Lab::new(1);
    let [a, b] = ["a", "b"].map(|name| lab.add_host(name, Config::default()));
    let large = Link::new(Conditions::default()).with_mtu(9000);
    lab.connect((a, cidr(0, 1)), (b, cidr(0, 2)), large).unwrap();
    let small = Link::new(Conditions::default()).with_mtu(576).with_offload();
    let wire = lab.connect((b, cidr(1, 2)), (a, cidr(1, 1)), small).unwrap();
    let (host, link) = lab.end(wire, End::B);
    assert_eq!(lab.name(host), "a");
    let interface = lab.stack_ref(host).interfaces().get(link).unwrap();
    assert_eq!((interface.name.as_str(), interface.mtu), ("eth1", 576));
    assert_eq!(lab.hosts().collect::<Vec<_>>(), [a, b]);

    let bad = Link::new(Conditions::default()).with_mtu(10);
    let refused = lab.connect((a, cidr(2, 1)), (b, cidr(2, 2)), bad);
    assert_eq!(refused.unwrap_err(), ConfigError::BadMtu(10));
    // What was refused has left nothing behind.
    lab.connect((a, cidr(2, 1)), (b, cidr(2, 2)), Link::new(Conditions::default())).unwrap();
    let mut pinger = Pinger::new(&mut lab, a, [10, 0, 2, 2].into(), 56);
    pinger.send(&mut lab);
    lab.run_for(ms(1));
    assert_eq!(pinger.replies(&mut lab).len(), 1);
}

#[test]
fn a_wire_is_refused_by_a_host_that_is_full() {
    let mut lab = Lab::new(1);
    let a = lab.add_host("a", Config::default());
    let mut config = Config::default();
    // The loopback is one.
    config.ipv4.max_links = 1;
    let b = lab.add_host("b", config);
    let wire = || Link::new(Conditions::default());
    let refused = lab.connect((a, cidr(0, 1)), (b, cidr(0, 2)), wire());
    assert_eq!(refused.unwrap_err(), ConfigError::TooMany("links"));
    let c = lab.add_host("c", Config::default());
    lab.connect((a, cidr(0, 1)), (c, cidr(0, 2)), wire()).unwrap();
    let mut pinger = Pinger::new(&mut lab, a, addr(2), 56);
    pinger.send(&mut lab);
    lab.run_for(ms(1));
    assert_eq!(pinger.replies(&mut lab).len(), 1);
}
