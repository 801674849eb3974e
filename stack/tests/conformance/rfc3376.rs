//! RFC 3376, IGMP version 3, from the host's side.

use tapping_stack::Config;
use tapping_stack::wire::RecordType::{Allow, Block, IsExclude, IsInclude, ToExclude, ToInclude};
use tapping_stack::wire::checksum::checksum;
use tapping_stack::wire::igmp::types;
use tapping_stack::wire::{MacAddr, Protocol};

use crate::igmp_bench::*;
use crate::lab::*;

conformance! {
    "RFC 3376", "IGMPv3";

    Must "RFC3376-4-ttl" "4" "Messages have TTL 1, precedence of internetwork control and the router alert option."
        => messages_have_ttl_precedence_and_alert;
    Must "RFC3376-4.2.14-dst" "4.2.14" "Reports go to 224.0.0.22."
        => reports_go_to_224_0_0_22;
    Must "RFC3376-5.1-change" "5.1" "A change is reported at once and repeated, robustness times in all."
        => changes_are_reported_and_repeated;
    Must "RFC3376-5.1-merge" "5.1" "A change during repetition is merged with what is left of it."
        => changes_merge;
    Must "RFC3376-5.2-general" "5.2" "A general query is answered with the state of all groups, after a random delay."
        => general_queries_are_answered;
    Must "RFC3376-5.2-group" "5.2" "A query of a group is answered for that group."
        => group_queries_are_answered;
    Must "RFC3376-5.2-source" "5.2" "A query of sources is answered for those that are wanted."
        => source_queries_are_answered;
    Must "RFC3376-3.2-interface" "3.2" "The state of an interface is the union of what its sockets want."
        => interface_state_is_the_union;
    Must "RFC3376-4.1.1-code" "4.1.1" "Long delays are coded with exponent and mantissa."
        => long_delays_are_coded;
    Must "RFC3376-7.2.1-older" "7.2.1" "An older querier on the link has us speak its version for a while."
        => older_queriers_are_followed;
    MustNot "RFC3376-6-local" "5" "The all-systems group is never reported."
        => all_systems_is_never_reported;
    Should "RFC3376-9.1-alert" "9.1" "A query without router alert, or from no neighbour, may be ignored."
        deviation "As Linux such queries are answered: a router that forgets the option would lose its members."
        => queries_without_alert;
    Must "RFC3376-4.1.12-short" "4.1" "Messages that are cut, or count more sources than they hold, are ignored."
        => cut_queries_are_ignored;
    Must "RFC3376-4.2-max" "4.2.16" "State that does not fit one report goes in several."
        => large_state_goes_in_several_reports;
}

/// The group that the bench speaks of.
const CHANNEL: &str = crate::igmp_bench::GROUP;
const A: &str = "10.9.0.1";
const B: &str = "10.9.0.2";
const C: &str = "10.9.0.3";

/// All IGMP packets that were heard.
fn packets(bench: &mut Bench) -> Vec<Vec<u8>> {
    let heard = bench.lab.heard_ip(bench.tester);
    heard.into_iter().filter(|packet| ipv4(packet).protocol() == Protocol::IGMP).collect()
}

fn messages_have_ttl_precedence_and_alert() {
    let mut bench = Bench::new();
    bench.join(CHANNEL);
    bench.query(1, "0.0.0.0", &[]);
    bench.lab.run_for(secs(5));
    let packets = packets(&mut bench);
    assert!(packets.len() >= 2);
    for packet in packets {
        let header = ipv4(&packet);
        assert_eq!((header.ttl(), header.tos(), header.options()), (1, 0xc0, &[148, 4, 0, 0][..]));
    }
}

fn reports_go_to_224_0_0_22() {
    let mut bench = Bench::new();
    bench.join(CHANNEL);
    bench.include("232.0.0.1", A);
    bench.query(1, CHANNEL, &[]);
    bench.lab.run_for(secs(5));
    bench.leave(CHANNEL);
    let packets = packets(&mut bench);
    assert!(packets.len() >= 4);
    assert!(packets.iter().all(|packet| ipv4(packet).dst() == ip("224.0.0.22")));
}

fn changes_are_reported_and_repeated() {
    for robustness in [2, 4] {
        let mut bench = Bench::new();
        bench.query_with(10, "0.0.0.0", &[], robustness, 125);
        bench.quiet();
        bench.join(CHANNEL);
        let told_by = |bench: &mut Bench, expected: Said| {
            let start = bench.lab.now();
            bench.lab.run_for(secs(20));
            let heard = bench.timed();
            assert_eq!(heard.len(), usize::from(robustness), "{heard:?}");
            assert!(heard.iter().all(|(_, said)| *said == expected), "{heard:?}");
            let mut last = start;
            for (at, _) in &heard {
                assert!(*at - last <= secs(1));
                last = *at;
            }
            assert_eq!(heard[0].0, start, "at once");
        };
        told_by(&mut bench, one(ToExclude, CHANNEL, &[]));
        bench.block(CHANNEL, A);
        told_by(&mut bench, one(Block, CHANNEL, &[A]));
        bench.unblock(CHANNEL, A);
        told_by(&mut bench, one(Allow, CHANNEL, &[A]));
        bench.leave(CHANNEL);
        told_by(&mut bench, one(ToInclude, CHANNEL, &[]));
    }
}

fn changes_merge() {
    let mut bench = Bench::new();
    bench.include(CHANNEL, A);
    bench.include(CHANNEL, B);
    let expected = [
        one(Allow, CHANNEL, &[A]),
        // Of A it is the second and last time, of B the first.
        one(Allow, CHANNEL, &[A, B]),
        one(Allow, CHANNEL, &[B]),
    ];
    assert_eq!(bench.said_within(secs(10)), expected);
}

fn general_queries_are_answered() {
    let mut bench = Bench::new();
    bench.include("232.0.0.1", A);
    bench.joined(CHANNEL);
    let mut delays = Vec::new();
    for _ in 0..20 {
        let start = bench.lab.now();
        bench.query(50, "0.0.0.0", &[]);
        bench.lab.run_for(secs(10));
        let [(at, said)] = <[_; 1]>::try_from(bench.timed()).expect("one answer for all");
        let Said::V3(mut records) = said else { panic!("{said:?}") };
        records.sort_by_key(|(_, group, _)| *group);
        let all = [record(IsInclude, "232.0.0.1", &[A]), record(IsExclude, CHANNEL, &[])];
        assert_eq!(records, all);
        delays.push(at - start);
    }
    assert!(delays.iter().all(|delay| *delay <= secs(5)), "{delays:?}");
    let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
    assert!(*most - *least > secs(2), "random: {delays:?}");
}

fn group_queries_are_answered() {
    let mut bench = Bench::new();
    bench.joined("239.0.0.9");
    bench.joined(CHANNEL);
    bench.query(10, CHANNEL, &[]);
    assert_eq!(bench.said_within(secs(5)), [one(IsExclude, CHANNEL, &[])]);
    bench.query(10, ELSEWHERE, &[]);
    assert_eq!(bench.said_within(secs(5)), []);
}

fn source_queries_are_answered() {
    let mut bench = Bench::new();
    bench.include(CHANNEL, A);
    bench.include(CHANNEL, B);
    bench.quiet();
    bench.query(10, CHANNEL, &[B, C]);
    assert_eq!(bench.said_within(secs(5)), [one(IsInclude, CHANNEL, &[B])]);
    bench.query(10, CHANNEL, &[C]);
    assert_eq!(bench.said_within(secs(5)), [], "nobody wants that one");
}

fn interface_state_is_the_union() {
    let mut bench = Bench::new();
    let other = bench.stack().open_raw(Protocol(200)).unwrap();
    bench.include(CHANNEL, A);
    let (now, link) = (bench.lab.now(), Some(bench.link));
    bench.stack().join_multicast_source(now, other, addr(CHANNEL), addr(B), link).unwrap();
    bench.quiet();
    bench.query(10, CHANNEL, &[]);
    assert_eq!(bench.said_within(secs(5)), [one(IsInclude, CHANNEL, &[A, B])]);
    // One that wants all but A: A is wanted by the other.
    let third = bench.stack().open_raw(Protocol(200)).unwrap();
    let now = bench.lab.now();
    bench.stack().join_multicast(now, third, addr(CHANNEL), link).unwrap();
    bench.stack().block_multicast_source(now, third, addr(CHANNEL), addr(A), link).unwrap();
    bench.stack().block_multicast_source(now, third, addr(CHANNEL), addr(C), link).unwrap();
    bench.quiet();
    bench.query(10, CHANNEL, &[]);
    assert_eq!(bench.said_within(secs(5)), [one(IsExclude, CHANNEL, &[C])]);
}

fn long_delays_are_coded() {
    let mut bench = Bench::new();
    bench.joined(CHANNEL);
    let mut longest = secs(0);
    for _ in 0..60 {
        let start = bench.lab.now();
        // 0xff is (15 | 16) << (7 + 3), 3174.4 s.
        bench.query(31_744, "0.0.0.0", &[]);
        bench.lab.run_for(secs(3200));
        let [(at, _)] = <[_; 1]>::try_from(bench.timed()).expect("one answer");
        longest = longest.max(at - start);
    }
    assert!(longest > secs(2500) && longest <= secs(3175), "{longest:?}");
}

fn older_queriers_are_followed() {
    let mut bench = Bench::new();
    bench.query_old(100, "0.0.0.0");
    bench.join(CHANNEL);
    assert_eq!(bench.said_within(secs(20)), [(); 2].map(|()| Said::V2(ip(CHANNEL))));
    bench.leave(CHANNEL);
    assert_eq!(bench.said_within(secs(20)), [Said::Leave(ip(CHANNEL))]);
    // §8.12: twice the query interval of 125 s, and the response interval.
    bench.lab.run_for(secs(261));
    bench.join(CHANNEL);
    assert_eq!(bench.said(), [one(ToExclude, CHANNEL, &[])]);
}

fn all_systems_is_never_reported() {
    let mut bench = Bench::new();
    bench.join(ALL_SYSTEMS);
    bench.query(10, "0.0.0.0", &[]);
    bench.query(10, ALL_SYSTEMS, &[]);
    assert_eq!(bench.said_within(secs(20)), []);
}

fn queries_without_alert() {
    let mut bench = Bench::new();
    bench.joined(CHANNEL);
    let mut message = vec![types::QUERY, 10, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0];
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    for src in [ROUTER, "192.0.2.1"] {
        let packet = Ip::new(ip(src), ip(ALL_SYSTEMS), Protocol::IGMP, message.clone()).ttl(1);
        let mac = MacAddr::from_ipv4_multicast(ip(ALL_SYSTEMS));
        bench.lab.inject(bench.tester, ip_frame(bench.tester.mac, mac, &packet.build()));
        assert_eq!(bench.said_within(secs(5)), [one(IsExclude, CHANNEL, &[])], "{src}");
    }
}

fn cut_queries_are_ignored() {
    let mut bench = Bench::new();
    bench.joined(CHANNEL);
    // Ten bytes; and twelve that count two sources.
    for (len, sources) in [(10, 0), (11, 0), (12, 2), (16, 2)] {
        let mut message = vec![0; len];
        message[0] = types::QUERY;
        message[1] = 10;
        if len >= 12 {
            message[10..12].copy_from_slice(&u16::to_be_bytes(sources));
        }
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        bench.give(ROUTER, ALL_SYSTEMS, &message);
        assert_eq!(bench.said_within(secs(20)), [], "{len} bytes");
    }
    assert!(bench.counters().in_errors >= 1);
    bench.query(10, "0.0.0.0", &[]);
    assert_eq!(bench.said_within(secs(5)).len(), 1);
}

fn large_state_goes_in_several_reports() {
    let mut config = Config::default();
    config.igmp.max_memberships = 1000;
    let mut bench = Bench::with(config, "10.0.0.1/24");
    let groups: Vec<String> = (0..400).map(|n| format!("239.0.{}.{}", n / 250, n % 250)).collect();
    for group in &groups {
        bench.join(group);
    }
    bench.quiet();
    bench.query(10, "0.0.0.0", &[]);
    bench.lab.run_for(secs(5));
    let packets = packets(&mut bench);
    assert!(packets.len() > 1, "{} packets", packets.len());
    assert!(packets.iter().all(|packet| packet.len() <= 1500));
    let records = packets.iter().map(|packet| {
        let report = ipv4(packet).payload();
        usize::from(u16::from_be_bytes([report[6], report[7]]))
    });
    assert_eq!(records.sum::<usize>(), 400);
}
