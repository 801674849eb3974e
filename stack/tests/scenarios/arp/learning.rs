//! What is learnt from messages, which are answered, and which are not believed.

use super::*;

#[test]
fn an_unsolicited_reply_creates_nothing() {
    let mut bench = Bench::new();
    bench.answer(PEER, bench.tester.mac);
    assert_eq!(bench.state(PEER), None);
    assert_eq!(bench.lab.drops(bench.host), [DropReason::ArpIgnored]);
    assert_eq!(bench.lab.snapshot(bench.host).arp.in_replies, 1);
}

#[test]
fn an_announcement_by_a_stranger_creates_nothing() {
    let mut bench = Bench::new();
    let announcement = arp_request(bench.tester.mac, ip(PEER), ip(PEER));
    bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &announcement));
    assert_eq!(bench.state(PEER), None);
    assert!(bench.lab.heard(bench.tester).is_empty());
}

/// RFC 826 "packet reception": whoever asks us is about to talk to us.
#[test]
fn a_request_to_us_is_answered_and_learnt_from() {
    let mut bench = Bench::new();
    let request = arp_request(bench.tester.mac, ip(PEER), ip(US));
    bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &request));
    let answers = bench.lab.heard_arp(bench.tester);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].dst, bench.tester.mac);
    let expected = arp_reply(bench.our_mac(), ip(US), bench.tester.mac, ip(PEER));
    assert_eq!(answers[0].message, expected);
    assert_eq!(bench.state(PEER), Some(Stale));
    assert_eq!(bench.known_mac(PEER), Some(bench.tester.mac));
    let arp = bench.lab.snapshot(bench.host).arp;
    assert_eq!((arp.in_requests, arp.out_replies, arp.out_requests), (1, 1, 0));
}

/// Linux `arp_is_garp`: an announcement replaces a known address even within `locktime`.
#[test]
fn an_announcement_updates_a_known_entry_at_once() {
    for operation in [ArpOperation::Request, ArpOperation::Reply] {
        let mut bench = Bench::new();
        bench.resolve(PEER);
        let new = other_mac(1);
        let announcement = Arp {
            operation,
            sender_mac: new,
            sender_ip: ip(PEER),
            // As announcements by reply have it.
            target_mac: if operation == ArpOperation::Reply { new } else { MacAddr::ZERO },
            target_ip: ip(PEER),
        };
        bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &announcement));
        assert_eq!(bench.known_mac(PEER), Some(new), "{operation:?}");
        assert_eq!(bench.state(PEER), Some(Stale), "a broadcast does not prove reachability");
    }
}

/// Linux `arp_is_garp`: a reply is an announcement only if it also names its sender's MAC twice.
#[test]
fn a_reply_about_itself_to_another_is_no_announcement() {
    let mut bench = Bench::new();
    bench.resolve(PEER);
    let reply = arp_reply(other_mac(1), ip(PEER), other_mac(2), ip(PEER));
    bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &reply));
    assert_eq!(bench.known_mac(PEER), Some(bench.tester.mac));
}

/// Linux `locktime` 1 s: of answers back to back the first one counts.
#[test]
fn a_second_different_answer_counts_only_after_the_locktime() {
    let mut bench = Bench::new();
    bench.resolve(PEER);
    bench.lab.run_for(millis(900));
    bench.answer(PEER, other_mac(1));
    assert_eq!(bench.known_mac(PEER), Some(bench.tester.mac));
    bench.lab.run_for(millis(200));
    bench.answer(PEER, other_mac(1));
    assert_eq!(bench.known_mac(PEER), Some(other_mac(1)));
    assert_eq!(bench.state(PEER), Some(Reachable));
}

/// Linux `neigh_update` moves `updated` only when something changes: repeating what is known must
/// not lock out a change.
#[test]
fn repeated_answers_do_not_prolong_the_locktime() {
    let mut bench = Bench::new();
    bench.resolve(PEER);
    bench.lab.run_for(millis(900));
    bench.answer(PEER, bench.tester.mac);
    assert!(bench.states(PEER).is_empty(), "nothing changed");
    bench.lab.run_for(millis(200));
    bench.answer(PEER, other_mac(1));
    assert_eq!(bench.known_mac(PEER), Some(other_mac(1)));
}

#[test]
fn repeated_answers_confirm_an_entry() {
    let mut bench = Bench::new();
    bench.resolve(PEER);
    for _ in 0..10 {
        bench.lab.run_for(secs(10));
        bench.answer(PEER, bench.tester.mac);
    }
    assert_eq!(bench.state(PEER), Some(Reachable));
}

/// Linux `arp_process`: only a reply to us alone proves that the neighbour hears us.
#[test]
fn a_broadcast_reply_resolves_but_does_not_prove_reachability() {
    let mut bench = Bench::new();
    bench.ping(PEER);
    let reply = arp_reply(bench.tester.mac, ip(PEER), bench.our_mac(), ip(US));
    bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &reply));
    assert_eq!(bench.lab.heard_ip(bench.tester).len(), 1);
    assert_eq!(bench.known_mac(PEER), Some(bench.tester.mac));
    assert_ne!(bench.state(PEER), Some(Reachable));
}

#[test]
fn an_entry_belongs_to_its_link() {
    let mut lab = Lab::new();
    let (left, right) = (lab.segment(), lab.segment());
    let host = lab.host("a");
    let first = lab.attach(host, left, "10.0.0.1/24");
    let second = lab.attach(host, right, "10.0.1.1/24");
    let socket = lab.stack(host).open_ping(None).unwrap();
    lab.send(host, socket, ip(PEER), &echo(0, 1, b"")).unwrap();
    let tester = lab.tester(right);
    let mac = lab.mac(host, second);
    let reply = arp_reply(tester.mac, ip(PEER), mac, ip(US));
    lab.inject(tester, arp_frame(mac, &reply));
    let stack = lab.stack(host);
    assert_eq!(stack.neighbour(first, IpAddr::V4(ip(PEER))).unwrap().state, Incomplete);
    assert!(stack.neighbour(second, IpAddr::V4(ip(PEER))).is_none());
}

/// RFC 5227 §2.1.1, RFC 2131 §2.2: whoever probes for an address of ours learns that it is taken.
#[test]
fn a_probe_for_our_address_is_answered_and_teaches_nothing() {
    let mut bench = Bench::new();
    let probe = arp_request(bench.tester.mac, Ipv4Addr::UNSPECIFIED, ip(US));
    bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &probe));
    let answers = bench.lab.heard_arp(bench.tester);
    assert_eq!(answers.len(), 1);
    let expected = arp_reply(bench.our_mac(), ip(US), bench.tester.mac, Ipv4Addr::UNSPECIFIED);
    assert_eq!(answers[0].message, expected);
    assert_eq!(bench.lab.stack(bench.host).neighbours().count(), 0);
}

#[test]
fn a_request_for_somebody_else_is_ignored() {
    let mut bench = Bench::new();
    for target in ["10.0.0.3", "192.0.2.1", "10.0.255.255", "255.255.255.255", "0.0.0.0"] {
        let request = arp_request(bench.tester.mac, ip(PEER), ip(target));
        bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &request));
        assert_eq!(bench.lab.drops(bench.host), [DropReason::ArpIgnored], "{target}");
    }
    assert!(bench.lab.heard(bench.tester).is_empty());
    assert_eq!(bench.lab.stack(bench.host).neighbours().count(), 0);
}

/// Linux `arp_process`.
#[test]
fn loopback_and_multicast_targets_are_never_answered() {
    let mut bench = Bench::new();
    for target in ["127.0.0.1", "127.1.2.3", "224.0.0.1", "239.1.1.1"] {
        for sender in [PEER, "0.0.0.0"] {
            let request = arp_request(bench.tester.mac, ip(sender), ip(target));
            bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &request));
        }
    }
    assert!(bench.lab.heard(bench.tester).is_empty());
    assert_eq!(bench.lab.snapshot(bench.host).dropped(DropReason::ArpIgnored), 8);
}

/// Linux `arp_process` asks `ip_route_input` about the sender, which refuses martians.
#[test]
fn senders_that_nobody_can_be_are_neither_answered_nor_learnt() {
    let mut bench = Bench::new();
    for sender in ["224.0.0.5", "255.255.255.255", "127.0.0.1", "0.1.2.3"] {
        let request = arp_request(bench.tester.mac, ip(sender), ip(US));
        bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &request));
    }
    assert!(bench.lab.heard(bench.tester).is_empty());
    assert_eq!(bench.lab.stack(bench.host).neighbours().count(), 0);
}

/// The same: a sender with our own address is a martian source.
#[test]
fn a_sender_with_our_own_address_teaches_nothing_and_gets_no_answer() {
    let mut bench = Bench::new();
    let frames = [
        arp_frame(MacAddr::BROADCAST, &arp_request(bench.tester.mac, ip(US), ip(US))),
        arp_frame(bench.our_mac(), &arp_request(bench.tester.mac, ip(US), ip(US))),
        arp_frame(bench.our_mac(), &arp_reply(bench.tester.mac, ip(US), bench.our_mac(), ip(US))),
    ];
    for frame in frames {
        bench.lab.inject(bench.tester, frame);
    }
    assert!(bench.lab.heard(bench.tester).is_empty());
    assert_eq!(bench.lab.stack(bench.host).neighbours().count(), 0);
    assert_eq!(bench.lab.snapshot(bench.host).arp.conflicts, 3, "seen, though");
}

/// RFC 826: hardware type, protocol type and both lengths must be ours.
#[test]
fn malformed_messages_are_dropped_and_counted() {
    let mut bench = Bench::new();
    let good = arp_frame(MacAddr::BROADCAST, &arp_request(bench.tester.mac, ip(PEER), ip(US)));
    let mut bad = Vec::new();
    for (at, value) in [(14, 1), (15, 2), (16, 0x86), (17, 1), (18, 8), (19, 16)] {
        let mut frame = good.clone();
        frame[at] = value;
        bad.push(frame);
    }
    for len in [14, 15, 22, 41] {
        bad.push(good[..len].to_vec());
    }
    let expected = bad.len() as u64;
    for frame in bad {
        bench.lab.inject(bench.tester, frame);
    }
    let snapshot = bench.lab.snapshot(bench.host);
    assert_eq!(snapshot.dropped(DropReason::ArpMalformed), expected);
    assert_eq!(snapshot.arp.in_requests, 0);
    assert!(bench.lab.heard(bench.tester).is_empty());
    bench.lab.inject(bench.tester, good);
    assert_eq!(bench.lab.heard_arp(bench.tester).len(), 1, "the same, unharmed, is answered");
}

#[test]
fn other_operations_and_group_senders_are_ignored() {
    let mut bench = Bench::new();
    let good = arp_request(bench.tester.mac, ip(PEER), ip(US));
    for operation in [0, 3, 4, 8, 0xffff] {
        let message = Arp { operation: ArpOperation::Other(operation), ..good };
        bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &message));
    }
    for sender_mac in [MacAddr::BROADCAST, MacAddr([1, 0, 0x5e, 0, 0, 1])] {
        let message = Arp { sender_mac, ..good };
        bench.lab.inject(bench.tester, arp_frame(MacAddr::BROADCAST, &message));
    }
    assert_eq!(bench.lab.snapshot(bench.host).dropped(DropReason::ArpIgnored), 7);
    assert!(bench.lab.heard(bench.tester).is_empty());
    assert_eq!(bench.lab.stack(bench.host).neighbours().count(), 0);
}

/// Linux `arp_rcv`: what is for another station is not looked at, promiscuous or not.
#[test]
fn a_message_to_another_station_is_not_processed() {
    let mut bench = Bench::new();
    bench.lab.stack(bench.host).set_promiscuous(bench.link, true).unwrap();
    let request = arp_request(bench.tester.mac, ip(PEER), ip(US));
    bench.lab.inject(bench.tester, arp_frame(other_mac(9), &request));
    assert!(bench.lab.heard(bench.tester).is_empty());
    assert_eq!(bench.lab.drops(bench.host), [DropReason::OtherHost]);
    assert_eq!(bench.lab.snapshot(bench.host).arp.in_requests, 0);
}

#[test]
fn padding_behind_a_message_does_no_harm() {
    let mut bench = Bench::new();
    let request = arp_request(bench.tester.mac, ip(PEER), ip(US));
    let mut frame = arp_frame(MacAddr::BROADCAST, &request);
    frame.resize(60, 0xaa);
    bench.lab.inject(bench.tester, frame);
    assert_eq!(bench.lab.heard_arp(bench.tester).len(), 1);
}

#[test]
fn frames_of_unknown_types_are_counted() {
    let mut bench = Bench::new();
    let frame = frame(bench.tester.mac, bench.our_mac(), EtherType::IPV6, &[0x60; 40]);
    bench.lab.inject(bench.tester, frame);
    assert_eq!(bench.lab.drops(bench.host), [DropReason::UnhandledEtherType]);
}
