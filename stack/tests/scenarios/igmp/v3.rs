//! Version 3 (RFC 3376).

use RecordType::{Allow, Block, IsExclude, IsInclude, ToExclude, ToInclude};

use super::*;

/// §5.1: a join is reported at once, and robustness − 1 times more, at intervals up to the
/// unsolicited report interval (§8.11: 1 s). §8.1: the robustness variable is 2 by default.
#[test]
fn a_join_is_reported_as_often_as_robustness_says() {
    let mut bench = Bench::new();
    let start = bench.lab.now();
    bench.join(GROUP);
    assert_eq!(bench.timed(), [(start, one(ToExclude, GROUP, &[]))]);
    bench.lab.run_for(secs(20));
    let again = bench.timed();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].1, one(ToExclude, GROUP, &[]));
    assert!(again[0].0 > start && again[0].0 <= start + secs(1));
}

/// §5.1: leaving is a change to INCLUDE of nothing.
#[test]
fn a_leave_is_reported_as_often_as_robustness_says() {
    let mut bench = Bench::new();
    bench.joined(GROUP);
    bench.leave(GROUP);
    assert_eq!(bench.said(), [one(ToInclude, GROUP, &[])]);
    assert_eq!(bench.said_within(secs(20)), [one(ToInclude, GROUP, &[])]);
    assert_eq!(bench.lab.stack(bench.host).poll_timeout(), None, "nothing is kept");
}

/// §4.1.6: the querier's robustness variable is taken over; 0 means one's own. §8.1: it must not
/// be 0, so a report is sent at least once.
#[test]
fn robustness_is_the_queriers() {
    let mut bench = Bench::new();
    for (told, count) in [(7, 7), (1, 1), (0, 2)] {
        bench.query_with(10, "0.0.0.0", &[], told, 125);
        bench.quiet();
        bench.join(GROUP);
        assert_eq!(bench.said_within(secs(20)).len(), count, "{told}");
        bench.leave(GROUP);
        bench.quiet();
    }
    let mut config = Config::default();
    config.igmp.qrv = 0;
    let mut bench = Bench::with(config, "10.0.0.1/24");
    bench.join(GROUP);
    assert_eq!(bench.said_within(secs(20)).len(), 1);
}

/// §5.1: the interval is `igmpv3_unsolicited_report_interval`.
#[test]
fn the_unsolicited_report_interval_is_set_by_link() {
    let mut bench = Bench::new();
    bench.settings().igmpv3_unsolicited_report_interval = millis(20);
    bench.join(GROUP);
    assert_eq!(bench.said_within(millis(20)).len(), 2);
}

/// §5.1, the table of source-list changes: from INCLUDE (A) to INCLUDE (B), ALLOW (B − A) and
/// BLOCK (A − B).
#[test]
fn source_changes_tell_the_difference() {
    let mut bench = Bench::new();
    bench.include(GROUP, "10.9.0.1");
    assert_eq!(bench.said_within(secs(5)), [(); 2].map(|()| one(Allow, GROUP, &["10.9.0.1"])));
    bench.include(GROUP, "10.9.0.2");
    assert_eq!(bench.said_within(secs(5)), [(); 2].map(|()| one(Allow, GROUP, &["10.9.0.2"])));
    bench.drop_source(GROUP, "10.9.0.1");
    assert_eq!(bench.said_within(secs(5)), [(); 2].map(|()| one(Block, GROUP, &["10.9.0.1"])));
    bench.drop_source(GROUP, "10.9.0.2");
    assert_eq!(bench.said_within(secs(5)), [(); 2].map(|()| one(Block, GROUP, &["10.9.0.2"])));
}

/// §5.1, the table: from EXCLUDE (A) to EXCLUDE (B), ALLOW (A − B) and BLOCK (B − A).
#[test]
fn changes_of_what_is_excluded_tell_the_difference() {
    let mut bench = Bench::new();
    bench.joined(GROUP);
    bench.block(GROUP, "10.9.0.1");
    assert_eq!(bench.said_within(secs(5)), [(); 2].map(|()| one(Block, GROUP, &["10.9.0.1"])));
    bench.unblock(GROUP, "10.9.0.1");
    assert_eq!(bench.said_within(secs(5)), [(); 2].map(|()| one(Allow, GROUP, &["10.9.0.1"])));
}

/// §5.1, the table: from INCLUDE (A) to EXCLUDE (B), TO_EX (B), and back, TO_IN (A).
#[test]
fn filter_mode_changes_tell_the_whole_list() {
    let mut bench = Bench::new();
    bench.include(GROUP, "10.9.0.1");
    bench.quiet();
    let (now, link) = (bench.lab.now(), bench.link);
    bench.stack().join_group(now, link, ip(GROUP)).unwrap();
    assert_eq!(bench.said_within(secs(5)), [(); 2].map(|()| one(ToExclude, GROUP, &[])));
    let now = bench.lab.now();
    bench.stack().leave_group(now, link, ip(GROUP)).unwrap();
    let expected = one(ToInclude, GROUP, &["10.9.0.1"]);
    assert_eq!(bench.said_within(secs(5)), [expected.clone(), expected]);
}

/// §5.1: a change before the last has been told often enough is sent at once, merged with it: the
/// source keeps its own count.
#[test]
fn changes_are_merged_with_what_is_pending() {
    let mut bench = Bench::new();
    bench.include(GROUP, "10.9.0.1");
    bench.include(GROUP, "10.9.0.2");
    bench.drop_source(GROUP, "10.9.0.1");
    let third = vec![record(Allow, GROUP, &["10.9.0.2"]), record(Block, GROUP, &["10.9.0.1"])];
    let expected = [
        one(Allow, GROUP, &["10.9.0.1"]),
        one(Allow, GROUP, &["10.9.0.1", "10.9.0.2"]),
        Said::V3(third),
        one(Block, GROUP, &["10.9.0.1"]),
    ];
    assert_eq!(bench.said_within(secs(10)), expected);
}

/// §5.1: while a change of the mode is still to be told, reports carry it and not the changes of
/// sources, which follow.
#[test]
fn mode_changes_go_before_source_changes() {
    let mut bench = Bench::new();
    bench.join(GROUP);
    bench.block(GROUP, "10.9.0.1");
    let expected = [
        one(ToExclude, GROUP, &[]),
        one(ToExclude, GROUP, &["10.9.0.1"]),
        one(Block, GROUP, &["10.9.0.1"]),
    ];
    assert_eq!(bench.said_within(secs(10)), expected);
}

/// §5.1: a leave while the join is still to be repeated replaces it.
#[test]
fn a_leave_replaces_a_pending_join() {
    let mut bench = Bench::new();
    bench.join(GROUP);
    bench.leave(GROUP);
    let leave = one(ToInclude, GROUP, &[]);
    assert_eq!(bench.said_within(secs(10)), [one(ToExclude, GROUP, &[]), leave.clone(), leave]);
}

/// §4.2: repeats of several groups share a report.
#[test]
fn repeats_of_several_groups_share_a_report() {
    let mut bench = Bench::new();
    for group in ["239.0.0.1", "239.0.0.2", "239.0.0.3"] {
        bench.join(group);
    }
    assert_eq!(bench.said().len(), 3);
    let all = ["239.0.0.1", "239.0.0.2", "239.0.0.3"].map(|group| record(ToExclude, group, &[]));
    assert_eq!(bench.said_within(secs(5)), [Said::V3(all.to_vec())]);
}

/// §5.2: a general query is answered once, with a current-state record of every group, after a
/// random time up to the maximum. §6: all-hosts is not reported.
#[test]
fn a_general_query_is_answered_with_everything() {
    let mut bench = Bench::new();
    bench.include("232.0.0.1", "10.9.0.1");
    bench.join(ALL_SYSTEMS);
    bench.joined(GROUP);
    bench.block(GROUP, "10.9.0.2");
    bench.quiet();
    let mut delays = Vec::new();
    for _ in 0..40 {
        let start = bench.lab.now();
        bench.query(100, "0.0.0.0", &[]);
        bench.lab.run_for(secs(20));
        let [(at, said)] = <[_; 1]>::try_from(bench.timed()).unwrap();
        let records = [
            record(IsInclude, "232.0.0.1", &["10.9.0.1"]),
            record(IsExclude, GROUP, &["10.9.0.2"]),
        ];
        assert_eq!(said, Said::V3(records.to_vec()));
        delays.push(at - start);
    }
    // Spread over all ten seconds.
    assert!(delays.iter().all(|delay| *delay > Duration::ZERO && *delay <= secs(10)));
    assert!(delays.iter().any(|delay| *delay < secs(2)));
    assert!(delays.iter().any(|delay| *delay > secs(8)));
}

/// §5.2: with no reception state there is nothing to answer.
#[test]
fn without_groups_queries_are_not_answered() {
    let mut bench = Bench::new();
    bench.query(10, "0.0.0.0", &[]);
    bench.query(10, GROUP, &[]);
    bench.join(ALL_SYSTEMS);
    bench.query(10, "0.0.0.0", &[]);
    assert_eq!(bench.said_within(secs(20)), []);
}

/// §5.2 rules 1 and 2: one answer for general queries that come close together, at the earlier of
/// their times.
#[test]
fn general_queries_in_a_row_are_answered_once() {
    let mut bench = Bench::new();
    bench.joined(GROUP);
    let start = bench.lab.now();
    bench.query(31744, "0.0.0.0", &[]);
    bench.query(1, "0.0.0.0", &[]);
    bench.lab.run_for(secs(3600));
    let answers = bench.timed();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].0 <= start + millis(100));
}

/// §5.2 rule 1: a general answer that comes sooner makes one about a group needless.
#[test]
fn a_pending_general_answer_serves_for_a_group() {
    let mut bench = Bench::new();
    bench.joined(GROUP);
    bench.query(1, "0.0.0.0", &[]);
    bench.query(31744, GROUP, &[]);
    assert_eq!(bench.said_within(secs(3600)), [one(IsExclude, GROUP, &[])]);
}

/// §5.2: a query about a group is answered about this group.
#[test]
fn a_group_query_is_answered_for_the_group() {
    let mut bench = Bench::new();
    bench.joined("239.0.0.1");
    bench.joined(GROUP);
    let start = bench.lab.now();
    bench.query(10, GROUP, &[]);
    bench.lab.run_for(secs(5));
    let answers = bench.timed();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].1, one(IsExclude, GROUP, &[]));
    assert!(answers[0].0 > start && answers[0].0 <= start + secs(1));
    bench.query(10, ELSEWHERE, &[]);
    assert_eq!(bench.said_within(secs(5)), []);
}

/// §5.2, the table: INCLUDE (A) asked about B answers IS_IN (A ∩ B); nothing in it, no answer.
#[test]
fn a_source_query_is_answered_with_what_is_included() {
    let mut bench = Bench::new();
    for source in ["10.9.0.1", "10.9.0.2", "10.9.0.3"] {
        bench.include(GROUP, source);
    }
    bench.quiet();
    bench.query(10, GROUP, &["10.9.0.2", "10.9.0.3", "10.9.0.4"]);
    assert_eq!(bench.said_within(secs(5)), [one(IsInclude, GROUP, &["10.9.0.2", "10.9.0.3"])]);
    bench.query(10, GROUP, &["10.9.0.4"]);
    assert_eq!(bench.said_within(secs(5)), []);
}

/// §5.2, the table: EXCLUDE (A) asked about B answers IS_IN (B − A).
#[test]
fn a_source_query_is_answered_with_what_is_not_excluded() {
    let mut bench = Bench::new();
    bench.joined(GROUP);
    bench.block(GROUP, "10.9.0.2");
    bench.quiet();
    bench.query(10, GROUP, &["10.9.0.1", "10.9.0.2"]);
    assert_eq!(bench.said_within(secs(5)), [one(IsInclude, GROUP, &["10.9.0.1"])]);
    bench.query(10, GROUP, &["10.9.0.2"]);
    assert_eq!(bench.said_within(secs(5)), []);
}

/// §5.2 rule 5: sources asked about while an answer is pending are answered with it. Rule 4: after
/// a query about the whole group that is the answer.
#[test]
fn queries_about_a_group_are_answered_together() {
    let mut bench = Bench::new();
    bench.joined(GROUP);
    bench.query(50, GROUP, &["10.9.0.1"]);
    bench.query(50, GROUP, &["10.9.0.2"]);
    let both = one(IsInclude, GROUP, &["10.9.0.1", "10.9.0.2"]);
    assert_eq!(bench.said_within(secs(10)), [both]);
    bench.query(50, GROUP, &["10.9.0.1"]);
    bench.query(50, GROUP, &[]);
    bench.query(50, GROUP, &["10.9.0.2"]);
    assert_eq!(bench.said_within(secs(10)), [one(IsExclude, GROUP, &[])]);
}

/// §5.2: the answer is about the state when it is sent.
#[test]
fn a_group_left_before_the_answer_is_not_reported() {
    let mut bench = Bench::new();
    bench.joined(GROUP);
    bench.query(1000, GROUP, &[]);
    bench.query(1000, "0.0.0.0", &[]);
    bench.leave(GROUP);
    let leave = one(ToInclude, GROUP, &[]);
    assert_eq!(bench.said_within(secs(300)), [leave.clone(), leave]);
}

/// §4.1.12: queries to any of the link's addresses are obeyed. §9.1: a general query to another
/// group is not. §4.1.9: a general query names no sources.
#[test]
fn queries_count_by_their_destination() {
    let mut bench = Bench::new();
    bench.joined(GROUP);
    let general = |sources: &[Ipv4Addr]| {
        let query = IgmpQueryRepr {
            max_response: 10,
            group: Ipv4Addr::UNSPECIFIED,
            suppress: false,
            robustness: 2,
            interval: 125,
            sources,
        };
        let mut message = vec![0; query.len()];
        query.emit(&mut message);
        message
    };
    bench.give(ROUTER, US, &general(&[]));
    assert_eq!(bench.said_within(secs(5)).len(), 1);
    bench.lab.events(bench.host);
    bench.give(ROUTER, GROUP, &general(&[]));
    bench.give(ROUTER, ALL_SYSTEMS, &general(&[ip(OTHER)]));
    assert_eq!(bench.lab.drops(bench.host), [DropReason::IgmpIgnored; 2]);
    assert_eq!(bench.said_within(secs(20)), []);
}

/// §7.1: queries of 9 to 11 bytes are ignored; §4: so are broken ones, and unknown types.
#[test]
fn malformed_messages_are_counted_drops() {
    let mut bench = Bench::new();
    bench.joined(GROUP);
    bench.lab.events(bench.host);
    let before = bench.counters();
    let mut query = [0; 12];
    igmp::emit(types::QUERY, 10, Ipv4Addr::UNSPECIFIED, &mut query);
    bench.give(ROUTER, ALL_SYSTEMS, &query[..10]);
    bench.give(ROUTER, ALL_SYSTEMS, &query[..7]);
    bench.give(ROUTER, ALL_SYSTEMS, &[0x11, 10, 0, 0, 0, 0, 0, 0]);
    let mut unknown = [0; 8];
    igmp::emit(0x42, 0, Ipv4Addr::UNSPECIFIED, &mut unknown);
    bench.give(ROUTER, ALL_SYSTEMS, &unknown);
    let expected = [
        DropReason::IgmpMalformed,
        DropReason::IgmpMalformed,
        DropReason::IgmpChecksum,
        DropReason::IgmpUnhandled,
    ];
    assert_eq!(bench.lab.drops(bench.host), expected);
    let counters = bench.counters();
    assert_eq!(counters.in_msgs - before.in_msgs, 4);
    assert_eq!((counters.in_errors, counters.in_csum_errors), (3, 1));
    assert_eq!(bench.said_within(secs(20)), []);
}

/// §4.2.13: a report comes from 0.0.0.0 while the link has no address, another link's address
/// notwithstanding.
#[test]
fn without_an_address_reports_come_from_nowhere() {
    let mut bench = Bench::with(Config::default(), "");
    let wire = bench.lab.segment();
    bench.lab.attach(bench.host, wire, "10.1.0.1/24");
    bench.join(GROUP);
    let heard = bench.lab.heard_ip(bench.tester);
    assert_eq!(ipv4(&heard[0]).src(), Ipv4Addr::UNSPECIFIED);
    let (now, link) = (bench.lab.now(), bench.link);
    bench.stack().add_address(now, link, "10.0.0.1/24".parse().unwrap()).unwrap();
    bench.lab.run_for(secs(2));
    let heard = bench.lab.heard_ip(bench.tester);
    assert_eq!(ipv4(&heard[0]).src(), ip(US));
}

/// §4.2.16: what does not fit the MTU is told in several reports.
#[test]
fn reports_fit_the_mtu() {
    let mut bench = Bench::new();
    let link = bench.link;
    bench.stack().set_mtu(link, 68).unwrap();
    let groups: Vec<_> = (1..=8).map(|n| format!("239.0.0.{n}")).collect();
    groups.iter().for_each(|group| bench.joined(group));
    bench.query(10, "0.0.0.0", &[]);
    let said = bench.said_within(secs(5));
    assert_eq!(said.len(), 2, "{said:?}");
    let records: Vec<_> = said
        .into_iter()
        .flat_map(|said| match said {
            Said::V3(records) => records,
            other => panic!("{other:?}"),
        })
        .collect();
    let expected: Vec<_> = groups.iter().map(|group| record(IsExclude, group, &[])).collect();
    assert_eq!(records, expected);
}

/// §7.2.2: another host's report of version 2 serves for this one's answer about the group (Linux
/// `igmp_heard_report`).
#[test]
fn an_older_report_suppresses_the_answer() {
    let mut bench = Bench::new();
    bench.joined(GROUP);
    bench.query(1000, GROUP, &[]);
    bench.other_reports(types::V2_REPORT, GROUP);
    assert_eq!(bench.said_within(secs(300)), []);
}

/// Counters follow what is heard and said.
#[test]
fn messages_are_counted() {
    let mut bench = Bench::new();
    bench.joined(GROUP);
    bench.query(10, GROUP, &[]);
    bench.other_reports(types::V2_REPORT, GROUP);
    bench.other_reports(types::LEAVE, GROUP);
    let mut report = [0; 8];
    igmp::emit_report(&[], &mut report);
    bench.give(OTHER, GROUP, &report);
    let counters = bench.counters();
    assert_eq!((counters.in_msgs, counters.in_group_memb_queries), (4, 1));
    assert_eq!((counters.in_group_memb_responses, counters.in_group_memb_reductions), (1, 1));
    assert_eq!(counters.in_v3_reports, 1);
    assert_eq!((counters.out_msgs, counters.out_v3_reports, counters.out_errors), (2, 2, 0));
    assert_eq!(bench.lab.snapshot(bench.host).icmp.out_msgs, 0, "nobody is told off");
}
