//! The bounded table: permanent entries, collection, links that go down.

use super::*;

#[test]
fn a_permanent_entry_never_changes() {
    let mut bench = Bench::new();
    bench.lab.know(bench.host, bench.link, ip(PEER), other_mac(1));
    bench.answer(PEER, bench.tester.mac);
    let announcement = arp_request(bench.tester.mac, ip(PEER), ip(PEER));
    bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &announcement));
    let request = arp_request(bench.tester.mac, ip(PEER), ip(US));
    bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &request));
    bench.lab.heard(bench.tester);
    bench.lab.run_for(secs(1000));
    bench.ping(PEER);
    bench.lab.run_for(secs(1000));
    assert_eq!(bench.state(PEER), Some(Permanent));
    assert_eq!(bench.known_mac(PEER), Some(other_mac(1)));
    let heard = bench.lab.heard(bench.tester);
    assert_eq!(heard.len(), 1, "the ping and no question");
    assert_eq!(heard[0].ethernet().dst(), other_mac(1));
}

#[test]
fn a_deleted_entry_is_asked_for_again() {
    let mut bench = Bench::new();
    bench.resolve(PEER);
    let (host, link) = (bench.host, bench.link);
    bench.lab.stack(host).delete_neighbour(link, IpAddr::V4(ip(PEER))).unwrap();
    assert!(bench.lab.stack(host).delete_neighbour(link, IpAddr::V4(ip(PEER))).is_err());
    bench.ping(PEER);
    assert_eq!(bench.lab.heard_arp(bench.tester).len(), 1);
    bench.lab.stack(host).delete_neighbour(link, IpAddr::V4(ip(PEER))).unwrap();
    assert_eq!(bench.lab.snapshot(host).dropped(DropReason::NeighbourFailed), 1);
}

/// Linux `gc_thresh3` 1024: whatever is scanned, the table is bounded and who is in use survives.
#[test]
fn a_scan_of_the_subnet_neither_bursts_the_table_nor_evicts_who_is_in_use() {
    let mut bench = Bench::new();
    bench.lab.know(bench.host, bench.link, ip("10.0.0.3"), other_mac(3));
    bench.resolve(PEER);
    let mut most = 0;
    for n in 0..0xffff_u16 {
        let [high, low] = n.to_be_bytes();
        let target = Ipv4Addr::new(10, 0, high, low);
        if target == ip(US) || n == 0 {
            continue;
        }
        let (host, socket) = (bench.host, bench.socket);
        let _ = bench.lab.send(host, socket, target, &echo(0, 1, b""));
        if n % 512 == 0 {
            // 65,535 addresses in 64 s.
            bench.lab.run_for(millis(500));
            let now = bench.lab.now();
            bench.lab.stack(host).confirm_neighbour(now, IpAddr::V4(ip(PEER)));
            most = most.max(bench.lab.stack(host).neighbours().count());
            assert_eq!(bench.state(PEER), Some(Reachable), "after {target}");
            bench.lab.events(host);
            bench.lab.heard(bench.tester);
        }
    }
    // One more was set by hand, which does not count.
    assert!((1000..=1024 + 1).contains(&most), "{most} entries");
    assert_eq!(bench.state("10.0.0.3"), Some(Permanent));
    let snapshot = bench.lab.snapshot(bench.host);
    assert!(snapshot.arp.table_fulls > 0);
    assert_eq!(snapshot.dropped(DropReason::NeighbourTableFull), snapshot.arp.table_fulls);
    // Once the scan is over there is room again.
    bench.lab.run_for(secs(10));
    bench.ping("10.0.200.200");
    assert_eq!(bench.state("10.0.200.200"), Some(Incomplete));
}

/// Linux `neigh_periodic_work`: below `gc_thresh1` nothing is collected, above it what failed or
/// was not used for `gc_stale_time`.
#[test]
fn idle_entries_are_collected_above_the_first_threshold_only() {
    for (count, left) in [(100, 100), (140, 0)] {
        let mut bench = Bench::new();
        for n in 1..=count {
            let sender = Ipv4Addr::new(10, 0, 1, n as u8);
            let request = arp_request(bench.tester.mac, sender, ip(US));
            bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &request));
        }
        assert_eq!(bench.lab.stack(bench.host).neighbours().count(), count);
        bench.lab.run_for(secs(55));
        assert_eq!(bench.lab.stack(bench.host).neighbours().count(), count, "used lately");
        bench.lab.run_for(secs(40));
        assert_eq!(bench.lab.stack(bench.host).neighbours().count(), left);
    }
}

/// Linux `neigh_alloc`: above `gc_thresh2`, entries unchanged for 5 s make room.
#[test]
fn above_the_second_threshold_old_entries_make_room() {
    let mut bench = Bench::new();
    let ask = |bench: &mut Bench, n: u16| {
        let [high, low] = n.to_be_bytes();
        let sender = Ipv4Addr::new(10, 0, high + 1, low);
        let request = arp_request(bench.tester.mac, sender, ip(US));
        bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &request));
        bench.lab.stack(bench.host).neighbours().count()
    };
    for n in 1..=512 {
        ask(&mut bench, n);
    }
    assert_eq!(ask(&mut bench, 513), 513, "all are young");
    bench.lab.run_for(millis(5100));
    assert_eq!(ask(&mut bench, 514), 512, "down to the threshold");
}

/// A full table of young entries takes no more; nobody is evicted for a stranger.
#[test]
fn a_full_table_of_young_entries_refuses_more() {
    let mut bench = Bench::new();
    for n in 1..=1100_u16 {
        let [high, low] = n.to_be_bytes();
        let sender = Ipv4Addr::new(10, 0, high + 1, low);
        let request = arp_request(bench.tester.mac, sender, ip(US));
        bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &request));
    }
    assert_eq!(bench.lab.stack(bench.host).neighbours().count(), 1024);
    assert_eq!(bench.state("10.0.1.1"), Some(Stale));
    assert_eq!(bench.lab.snapshot(bench.host).arp.table_fulls, 76);
    // Linux `arp_process` answers only whom it could enter.
    assert_eq!(bench.lab.heard_arp(bench.tester).len(), 1024);
}

#[test]
fn a_link_that_goes_down_forgets_its_neighbours() {
    let mut bench = Bench::new();
    bench.resolve(PEER);
    bench.ping("10.0.0.9");
    let now = bench.lab.now();
    bench.lab.stack(bench.host).set_link_up(now, bench.link, false).unwrap();
    assert_eq!(bench.lab.stack(bench.host).neighbours().count(), 0);
    assert_eq!(bench.lab.drops(bench.host), [DropReason::LinkDown], "what waited");
    bench.lab.run_for(secs(10));
    bench.lab.heard(bench.tester);
    bench.lab.stack(bench.host).set_link_up(now, bench.link, true).unwrap();
    bench.ping(PEER);
    assert_eq!(bench.lab.heard_arp(bench.tester).len(), 1, "asked anew");
}

/// Linux exempts what was set by hand from collection and from its thresholds.
#[test]
fn permanent_entries_leave_the_room_to_those_that_are_learnt() {
    let mut config = Config::default();
    config.neigh.max_permanent = 1500;
    let mut bench = Bench::with(config);
    let (now, host, link) = (bench.lab.now(), bench.host, bench.link);
    let set = |bench: &mut Bench, n: u16| {
        let [high, low] = n.to_be_bytes();
        let addr = IpAddr::V4(Ipv4Addr::new(10, 0, 100 + high, low));
        bench.lab.stack(host).add_neighbour(now, link, addr, other_mac(1))
    };
    for n in 0..1500 {
        set(&mut bench, n).unwrap();
    }
    assert!(set(&mut bench, 1500).is_err(), "they have a limit of their own");
    set(&mut bench, 7).unwrap();
    bench.resolve(PEER);
    let stack = bench.lab.stack(host);
    stack.delete_neighbour(link, IpAddr::V4(Ipv4Addr::new(10, 0, 100, 7))).unwrap();
    set(&mut bench, 1500).unwrap();
    // A learnt entry that is then set by hand counts as such.
    let peer = IpAddr::V4(ip(PEER));
    assert!(bench.lab.stack(host).add_neighbour(now, link, peer, other_mac(1)).is_err());
    assert_eq!(bench.state(PEER), Some(Reachable));
}

/// Linux `unres_qlen_bytes`: large packets that wait are bounded by the memory they take.
#[test]
fn waiting_packets_are_bounded_in_bytes_too() {
    let mut config = Config::default();
    config.neigh.unres_qlen_bytes = 10_000;
    let mut bench = Bench::with(config);
    for _ in 0..30 {
        bench.ping(PEER);
    }
    bench.answer(PEER, bench.tester.mac);
    let sent = bench.lab.heard_ip(bench.tester).len();
    assert!((1..10).contains(&sent), "{sent} packets, of buffers of 2 KiB and less");
    let discarded = bench.lab.snapshot(bench.host).dropped(DropReason::NeighbourQueueFull);
    assert_eq!(sent as u64 + discarded, 30);
}
