//! RFC 2236, IGMP version 2, from the host's side.

use tapping_stack::stats::DropReason;
use tapping_stack::wire::checksum::checksum;
use tapping_stack::wire::igmp::{self, IgmpVersion, types};
use tapping_stack::wire::{MacAddr, Protocol};

use crate::igmp_bench::*;
use crate::lab::*;

conformance! {
    "RFC 2236", "IGMPv2";

    Must "RFC2236-2-ttl" "2" "Messages have TTL 1 and the router alert option."
        => messages_have_ttl_1_and_router_alert;
    Must "RFC2236-3-join" "3" "Joining reports the group at once, and again."
        => joining_reports;
    Must "RFC2236-3-query" "3" "A query is answered after a random delay below its maximum."
        => queries_are_answered_after_a_delay;
    Must "RFC2236-3-suppress" "3" "A report of another member suppresses ours."
        => reports_of_others_suppress;
    Must "RFC2236-3-leave" "3" "Leaving is told to all routers, if we reported last."
        => leaving_is_told;
    Must "RFC2236-3-reset" "3" "A specific query sooner than the running delay shortens it."
        => a_sooner_query_shortens_the_delay;
    MustNot "RFC2236-6-allsystems" "6" "The all-systems group is never reported."
        => all_systems_is_not_reported;
    Must "RFC2236-4-v1" "4" "A query of version 1 has us answer in version 1 for 400 seconds."
        deviation "As Linux the time is robustness times the query interval plus the response interval, 260 s, as RFC 3376 §8.12 has it."
        => version_1_routers;
    Must "RFC2236-2.5-longer" "2.5" "What is behind the eight bytes is ignored but summed."
        => longer_messages_are_taken;
    Must "RFC2236-2.3-checksum" "2.3" "A message with a wrong checksum is ignored."
        => a_wrong_checksum_is_ignored;
}

/// The group that the bench speaks of.
const CHANNEL: &str = crate::igmp_bench::GROUP;
const OTHER_CHANNEL: &str = "239.1.2.4";

fn messages_have_ttl_1_and_router_alert() {
    let mut bench = Bench::beside(IgmpVersion::V2);
    bench.join(CHANNEL);
    bench.leave(CHANNEL);
    let packets: Vec<Vec<u8>> = bench
        .lab
        .heard_ip(bench.tester)
        .into_iter()
        .filter(|packet| ipv4(packet).protocol() == Protocol::IGMP)
        .collect();
    assert_eq!(packets.len(), 2, "a report and a leave");
    for packet in packets {
        let header = ipv4(&packet);
        assert_eq!((header.ttl(), header.options()), (1, &[148, 4, 0, 0][..]));
    }
}

fn joining_reports() {
    let mut bench = Bench::beside(IgmpVersion::V2);
    let start = bench.lab.now();
    bench.join(CHANNEL);
    bench.lab.run_for(secs(100));
    let heard = bench.timed();
    assert_eq!(heard.len(), 2);
    assert!(heard.iter().all(|(_, said)| *said == Said::V2(ip(CHANNEL))));
    assert_eq!(heard[0].0, start);
    assert!(heard[1].0 <= start + secs(10), "the unsolicited report interval");
}

fn queries_are_answered_after_a_delay() {
    let mut bench = Bench::beside(IgmpVersion::V2);
    bench.joined(CHANNEL);
    let mut delays = Vec::new();
    for _ in 0..30 {
        let start = bench.lab.now();
        bench.query_old(40, "0.0.0.0");
        bench.lab.run_for(secs(10));
        let [(at, said)] = <[_; 1]>::try_from(bench.timed()).expect("one answer");
        assert_eq!(said, Said::V2(ip(CHANNEL)));
        delays.push(at - start);
    }
    assert!(delays.iter().all(|delay| *delay <= secs(4)), "{delays:?}");
    let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
    assert!(*most - *least > secs(2), "random: {delays:?}");
}

fn reports_of_others_suppress() {
    let mut bench = Bench::beside(IgmpVersion::V2);
    bench.joined(CHANNEL);
    bench.joined(OTHER_CHANNEL);
    bench.query_old(100, "0.0.0.0");
    bench.other_reports(types::V2_REPORT, CHANNEL);
    assert_eq!(bench.said_within(secs(60)), [Said::V2(ip(OTHER_CHANNEL))], "this one only");
}

fn leaving_is_told() {
    let mut bench = Bench::beside(IgmpVersion::V2);
    bench.joined(CHANNEL);
    bench.leave(CHANNEL);
    // The bench checks that it goes to 224.0.0.2.
    assert_eq!(bench.said_within(secs(60)), [Said::Leave(ip(CHANNEL))]);
    bench.joined(CHANNEL);
    bench.other_reports(types::V2_REPORT, CHANNEL);
    bench.leave(CHANNEL);
    assert_eq!(bench.said_within(secs(60)), [], "another one has reported since");
}

fn a_sooner_query_shortens_the_delay() {
    for _ in 0..5 {
        let mut bench = Bench::beside(IgmpVersion::V2);
        bench.joined(CHANNEL);
        let start = bench.lab.now();
        bench.query_old(250, "0.0.0.0");
        bench.query_old(2, CHANNEL);
        bench.query_old(250, CHANNEL);
        bench.lab.run_for(secs(60));
        let heard = bench.timed();
        assert_eq!(heard.len(), 1);
        assert!(heard[0].0 <= start + millis(200));
    }
}

fn all_systems_is_not_reported() {
    let mut bench = Bench::beside(IgmpVersion::V2);
    bench.join(ALL_SYSTEMS);
    bench.query_old(10, "0.0.0.0");
    assert_eq!(bench.said_within(secs(60)), []);
    bench.leave(ALL_SYSTEMS);
    assert_eq!(bench.said_within(secs(60)), []);
}

fn version_1_routers() {
    let mut bench = Bench::beside(IgmpVersion::V1);
    bench.join(CHANNEL);
    bench.quiet();
    bench.leave(CHANNEL);
    assert_eq!(bench.said_within(secs(20)), [], "version 1 knows no leave");
    bench.lab.run_for(secs(200));
    bench.query_old(10, "0.0.0.0");
    bench.join(OTHER_CHANNEL);
    assert_eq!(bench.said()[0], Said::V1(ip(OTHER_CHANNEL)));
    bench.leave(OTHER_CHANNEL);
    bench.lab.run_for(secs(300));
    bench.said();
    bench.join(OTHER_CHANNEL);
    assert!(!matches!(bench.said()[0], Said::V1(_)), "no such router for 260 s");
}

fn longer_messages_are_taken() {
    let mut bench = Bench::beside(IgmpVersion::V2);
    bench.joined(CHANNEL);
    // Of queries the length tells the version (RFC 3376 §7.1); a report may be longer.
    let mut report = vec![0; igmp::HEADER_LEN];
    igmp::emit(types::V2_REPORT, 0, ip(CHANNEL), &mut report);
    report.extend_from_slice(&[1, 2, 3, 4]);
    report[2..4].fill(0);
    let sum = checksum(&report);
    report[2..4].copy_from_slice(&sum.to_be_bytes());
    bench.query_old(100, CHANNEL);
    bench.give(OTHER, CHANNEL, &report);
    assert_eq!(bench.said_within(secs(60)), [], "the long report suppresses ours");
    // The sum covers all of it.
    report[8] ^= 1;
    bench.query_old(100, CHANNEL);
    bench.give(OTHER, CHANNEL, &report);
    assert_eq!(bench.said_within(secs(60)), [Said::V2(ip(CHANNEL))]);
}

fn a_wrong_checksum_is_ignored() {
    let mut bench = Bench::beside(IgmpVersion::V2);
    bench.joined(CHANNEL);
    let mut message = vec![0; igmp::HEADER_LEN];
    igmp::emit(types::QUERY, 10, ip(CHANNEL), &mut message);
    bench.give(ROUTER, CHANNEL, &message);
    assert_eq!(bench.said_within(secs(10)), [Said::V2(ip(CHANNEL))]);
    message[3] ^= 1;
    bench.lab.events(bench.host);
    let packet = Ip::new(ip(ROUTER), ip(CHANNEL), Protocol::IGMP, message).ttl(1);
    let frame = ip_frame(
        bench.tester.mac,
        MacAddr::from_ipv4_multicast(ip(CHANNEL)),
        &packet.options(&[148, 4, 0, 0]).build(),
    );
    bench.lab.inject(bench.tester, frame);
    assert_eq!(bench.lab.drops(bench.host), [DropReason::IgmpChecksum]);
    assert_eq!(bench.said_within(secs(10)), []);
    assert_eq!(bench.counters().in_csum_errors, 1);
}
