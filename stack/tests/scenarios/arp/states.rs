//! The life of an entry: NUD states and their times.

use super::*;

/// RFC 4861 §6.3.2 as in Linux: uniform between half and one and a half of 30 s.
#[test]
fn an_unused_entry_is_believed_for_15_to_45_seconds() {
    let mut lab = Lab::new();
    let segment = lab.segment();
    let tester = lab.tester(segment);
    let mut spans = Vec::new();
    for n in 1..=24 {
        let host = lab.host("host");
        let own = format!("10.0.0.{n}");
        let link = lab.attach(host, segment, &format!("{own}/24"));
        let socket = lab.stack(host).open_ping(None).unwrap();
        lab.send(host, socket, ip("10.0.0.200"), &echo(0, 1, b"")).unwrap();
        let mac = lab.mac(host, link);
        let reply = arp_reply(tester.mac, ip("10.0.0.200"), mac, ip(&own));
        let start = lab.now();
        lab.inject(tester, arp_frame(mac, &reply));
        lab.run_for(secs(50));
        let states = neighbour_states(&lab.events(host), ip("10.0.0.200"));
        let names: Vec<NudState> = states.iter().map(|(_, state)| *state).collect();
        assert_eq!(names, [Incomplete, Reachable, Stale]);
        spans.push(states[2].0 - start);
    }
    assert!(spans.iter().all(|span| (secs(15)..secs(46)).contains(span)), "{spans:?}");
    let spread = spans.iter().max().unwrap().saturating_sub(*spans.iter().min().unwrap());
    assert!(spread > secs(10), "{spans:?}");
}

/// Linux `neigh_timer_handler`: an entry used within the last 5 s goes on to DELAY.
#[test]
fn an_entry_in_use_goes_from_reachable_to_delay_and_is_probed() {
    let mut bench = Bench::new();
    bench.resolve(PEER);
    for _ in 0..60 {
        bench.lab.run_for(SECOND);
        bench.ping(PEER);
    }
    let states = bench.states(PEER);
    let names: Vec<NudState> = states.iter().map(|(_, state)| *state).take(2).collect();
    assert_eq!(names, [Delay, Probe]);
    assert_eq!(states[1].0 - states[0].0, secs(5));
}

#[test]
fn a_stale_entry_stays_stale_until_it_is_used() {
    let mut bench = Bench::new();
    bench.resolve(PEER);
    bench.let_go_stale(PEER);
    bench.lab.run_for(secs(600));
    assert_eq!(bench.state(PEER), Some(Stale));
    assert!(bench.lab.heard(bench.tester).is_empty());
}

/// Linux `delay_first_probe_time` 5 s, `ucast_solicit` 3, `retrans_time` 1 s.
#[test]
fn a_stale_entry_in_use_is_probed_by_unicast_and_fails() {
    let mut bench = Bench::new();
    bench.resolve(PEER);
    bench.let_go_stale(PEER);
    let start = bench.lab.now();
    bench.ping(PEER);
    assert_eq!(bench.state(PEER), Some(Delay));
    assert_eq!(bench.lab.heard_ip(bench.tester).len(), 1, "a stale address is used at once");
    bench.lab.run_for(secs(30));
    let probes = bench.lab.heard_arp(bench.tester);
    let times: Vec<Duration> = probes.iter().map(|arp| arp.at - start).collect();
    assert_eq!(times, [secs(5), secs(6), secs(7)]);
    for probe in &probes {
        assert_eq!(probe.dst, bench.tester.mac);
        assert_eq!(probe.message, arp_request(bench.our_mac(), ip(US), ip(PEER)));
    }
    let expected = [(start, Delay), (start + secs(5), Probe), (start + secs(8), Failed)];
    assert_eq!(bench.states(PEER), expected);
}

#[test]
fn packets_are_sent_while_an_entry_is_probed() {
    let mut bench = Bench::new();
    bench.resolve(PEER);
    bench.let_go_stale(PEER);
    bench.ping(PEER);
    bench.lab.run_for(secs(6));
    assert_eq!(bench.state(PEER), Some(Probe));
    bench.lab.heard(bench.tester);
    bench.ping(PEER);
    assert_eq!(bench.lab.heard_ip(bench.tester).len(), 1);
}

#[test]
fn an_answered_probe_makes_the_entry_reachable() {
    let mut bench = Bench::new();
    bench.resolve(PEER);
    bench.let_go_stale(PEER);
    bench.ping(PEER);
    bench.lab.run_for(millis(6500));
    assert_eq!(bench.state(PEER), Some(Probe));
    bench.lab.heard(bench.tester);
    bench.answer(PEER, bench.tester.mac);
    assert_eq!(bench.state(PEER), Some(Reachable));
    bench.lab.run_for(secs(10));
    assert!(bench.lab.heard_arp(bench.tester).is_empty());
}

/// RFC 4861 §7.3.1 as in Linux `neigh_confirm`: forward progress spares the probe.
#[test]
fn a_hint_from_above_while_in_delay_spares_the_probe() {
    let mut bench = Bench::new();
    bench.resolve(PEER);
    bench.let_go_stale(PEER);
    let start = bench.lab.now();
    bench.ping(PEER);
    bench.lab.run_for(secs(2));
    let now = bench.lab.now();
    bench.lab.stack(bench.host).confirm_neighbour(now, IpAddr::V4(ip(PEER)));
    assert_eq!(bench.state(PEER), Some(Delay), "until the time is over");
    bench.lab.run_for(secs(4));
    assert!(bench.lab.heard_arp(bench.tester).is_empty());
    assert_eq!(bench.states(PEER), [(start, Delay), (start + secs(5), Reachable)]);
}

#[test]
fn hints_from_above_keep_an_entry_reachable() {
    let mut bench = Bench::new();
    bench.resolve(PEER);
    for _ in 0..100 {
        bench.lab.run_for(SECOND);
        let now = bench.lab.now();
        bench.lab.stack(bench.host).confirm_neighbour(now, IpAddr::V4(ip(PEER)));
    }
    assert_eq!(bench.state(PEER), Some(Reachable));
    assert!(bench.states(PEER).is_empty());
}

#[test]
fn a_hint_about_an_unresolved_neighbour_proves_nothing() {
    let mut bench = Bench::new();
    bench.ping(PEER);
    let now = bench.lab.now();
    bench.lab.stack(bench.host).confirm_neighbour(now, IpAddr::V4(ip(PEER)));
    assert_eq!(bench.state(PEER), Some(Incomplete));
    bench.lab.run_for(secs(4));
    assert_eq!(bench.state(PEER), Some(Failed));
}
