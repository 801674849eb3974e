//! Versions 1 and 2 (RFC 1112 appendix I, RFC 2236), and living beside them (RFC 3376 §7).

use super::*;

use IgmpVersion::{V1, V2, V3};

/// RFC 2236 §3: a join is reported at once, and again after up to the unsolicited report interval
/// (§8.10: 10 s).
#[test]
fn a_join_is_reported_at_once_and_again() {
    let mut bench = Bench::beside(V2);
    let start = bench.lab.now();
    bench.join(GROUP);
    assert_eq!(bench.timed(), [(start, Said::V2(ip(GROUP)))]);
    bench.lab.run_for(secs(60));
    let again = bench.timed();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].1, Said::V2(ip(GROUP)));
    assert!(again[0].0 > start && again[0].0 <= start + secs(10));
}

/// The same, as long as the link says.
#[test]
fn the_unsolicited_report_interval_is_set_by_link() {
    let mut bench = Bench::beside(V2);
    bench.settings().igmpv2_unsolicited_report_interval = millis(20);
    bench.join(GROUP);
    assert_eq!(bench.said_within(millis(20)).len(), 2);
}

/// RFC 2236 §3: a general query sets every group's own timer, up to the maximum response time.
#[test]
fn a_general_query_is_answered_for_each_group() {
    let mut bench = Bench::beside(V2);
    bench.join("239.0.0.1");
    bench.join(ALL_SYSTEMS);
    bench.joined(GROUP);
    let start = bench.lab.now();
    bench.query_old(50, "0.0.0.0");
    bench.lab.run_for(secs(60));
    let mut answers = bench.timed();
    assert!(answers.iter().all(|(at, _)| *at > start && *at <= start + secs(5)));
    assert_ne!(answers[0].0, answers[1].0, "each group its own time");
    answers.sort_by_key(|(_, said)| format!("{said:?}"));
    let said: Vec<_> = answers.into_iter().map(|(_, said)| said).collect();
    assert_eq!(said, [Said::V2(ip("239.0.0.1")), Said::V2(ip(GROUP))]);
}

/// RFC 2236 §3: a query about a group sets the timer of this group.
#[test]
fn a_group_query_is_answered_for_the_group() {
    let mut bench = Bench::beside(V2);
    bench.joined("239.0.0.1");
    bench.joined(GROUP);
    bench.query_old(10, GROUP);
    assert_eq!(bench.said_within(secs(1)), [Said::V2(ip(GROUP))]);
    bench.query_old(10, ELSEWHERE);
    assert_eq!(bench.said_within(secs(20)), []);
}

/// RFC 2236 §3: a timer that runs is set anew only for a shorter time than is left.
#[test]
fn a_running_timer_is_only_shortened() {
    let mut bench = Bench::beside(V2);
    bench.joined(GROUP);
    let start = bench.lab.now();
    bench.query_old(255, GROUP);
    bench.query_old(1, GROUP);
    bench.query_old(255, GROUP);
    bench.lab.run_for(secs(60));
    let answers = bench.timed();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].0 <= start + millis(100));
}

/// RFC 2236 §3: another host's report stops the timer.
#[test]
fn another_hosts_report_suppresses_ones_own() {
    for (version, igmp_type) in [(V2, types::V2_REPORT), (V2, types::V1_REPORT)] {
        let mut bench = Bench::beside(version);
        bench.joined(GROUP);
        bench.query_old(100, GROUP);
        bench.other_reports(igmp_type, GROUP);
        assert_eq!(bench.said_within(secs(60)), []);
        // About another group it says nothing.
        bench.query_old(100, GROUP);
        bench.other_reports(igmp_type, "224.0.0.1");
        assert_eq!(bench.said_within(secs(60)), [Said::V2(ip(GROUP))]);
    }
}

/// RFC 2236 §3: a host that reported last says that it leaves, to all routers; one that did not
/// need not.
#[test]
fn the_last_to_report_says_that_it_leaves() {
    let mut bench = Bench::beside(V2);
    bench.joined(GROUP);
    bench.leave(GROUP);
    assert_eq!(bench.said_within(secs(60)), [Said::Leave(ip(GROUP))]);

    bench.joined(GROUP);
    bench.other_reports(types::V2_REPORT, GROUP);
    bench.leave(GROUP);
    assert_eq!(bench.said_within(secs(60)), []);
}

/// RFC 2236 §6: leaving stops the timer.
#[test]
fn a_group_that_was_left_is_not_reported() {
    let mut bench = Bench::beside(V2);
    bench.join(GROUP);
    bench.said();
    bench.leave(GROUP);
    assert_eq!(bench.said_within(secs(60)), [Said::Leave(ip(GROUP))]);
    assert_eq!(bench.stack().poll_timeout(), None);
}

/// RFC 2236 §6, RFC 3376 §7.2: sources mean nothing to older routers.
#[test]
fn sources_are_not_told_to_older_routers() {
    let mut bench = Bench::beside(V2);
    bench.include(GROUP, "10.9.0.1");
    assert_eq!(bench.said_within(secs(30)), [Said::V2(ip(GROUP)), Said::V2(ip(GROUP))]);
    bench.include(GROUP, "10.9.0.2");
    bench.drop_source(GROUP, "10.9.0.1");
    assert_eq!(bench.said_within(secs(30)), []);
    bench.drop_source(GROUP, "10.9.0.2");
    assert_eq!(bench.said_within(secs(30)), [Said::Leave(ip(GROUP))]);
}

/// RFC 2236 §4: beside a router of version 1 reports are of version 1, leaves are not sent, and a
/// query with a maximum response time of 0 is given 10 s.
#[test]
fn version_1_is_spoken_to_version_1_routers() {
    let mut bench = Bench::beside(V1);
    bench.join(GROUP);
    assert_eq!(bench.said_within(secs(30)), [Said::V1(ip(GROUP)), Said::V1(ip(GROUP))]);
    let mut delays = Vec::new();
    for _ in 0..20 {
        let start = bench.lab.now();
        bench.query_old(0, "0.0.0.0");
        bench.lab.run_for(secs(20));
        let [(at, said)] = <[_; 1]>::try_from(bench.timed()).unwrap();
        assert_eq!(said, Said::V1(ip(GROUP)));
        delays.push(at - start);
    }
    assert!(delays.iter().all(|delay| *delay <= secs(10)));
    assert!(delays.iter().any(|delay| *delay > secs(5)));
    bench.leave(GROUP);
    assert_eq!(bench.said_within(secs(30)), []);
}

/// RFC 3376 §7.2.1, §8.12: the older querier counts as present for robustness × query interval +
/// response interval, 2 × 125 + 10 s, from its last query.
#[test]
fn older_queriers_are_forgotten_in_time() {
    for (version, code) in [(V1, 0), (V2, 100)] {
        let mut bench = Bench::beside(version);
        bench.lab.run_for(secs(100));
        bench.query_old(code, "0.0.0.0");
        bench.lab.run_for(secs(260) - millis(1));
        bench.join("239.0.0.1");
        assert!(!matches!(bench.said()[..], [Said::V3(_)]), "{version:?}");
        bench.lab.run_for(millis(1));
        bench.join("239.0.0.2");
        assert!(matches!(bench.said()[..], [Said::V3(_)]), "{version:?}");
    }
}

/// RFC 3376 §4.1.7, §8.12: the querier's interval and robustness count.
#[test]
fn the_queriers_variables_say_how_long_older_ones_are_present() {
    let mut bench = Bench::new();
    bench.query_with(10, "0.0.0.0", &[], 3, 20);
    bench.query_old(100, "0.0.0.0");
    bench.lab.run_for(secs(70) - millis(1));
    bench.join("239.0.0.1");
    assert_eq!(bench.said(), [Said::V2(ip("239.0.0.1"))]);
    bench.lab.run_for(millis(1));
    bench.join("239.0.0.2");
    assert!(matches!(bench.said()[..], [Said::V3(_)]));
    // §8.3: the response interval stays below the query interval: 2 × 5 + 4 s.
    let mut bench = Bench::new();
    bench.query_with(10, "0.0.0.0", &[], 2, 5);
    bench.query_old(100, "0.0.0.0");
    bench.lab.run_for(secs(14));
    bench.join("239.0.0.2");
    assert!(matches!(bench.said()[..], [Said::V3(_)]));
}

/// RFC 3376 §7.2.1: a router of version 1 counts before one of version 2, and that before 3.
#[test]
fn the_oldest_querier_counts() {
    let mut bench = Bench::beside(V1);
    bench.query_old(100, "0.0.0.0");
    bench.query(100, "0.0.0.0", &[]);
    bench.join(GROUP);
    assert_eq!(bench.said_within(secs(30)), [Said::V1(ip(GROUP)), Said::V1(ip(GROUP))]);
    bench.query(10, "0.0.0.0", &[]);
    assert_eq!(bench.said_within(secs(30)), [Said::V1(ip(GROUP))]);

    let mut bench = Bench::beside(V2);
    bench.joined(GROUP);
    bench.query(10, GROUP, &["10.9.0.1"]);
    assert_eq!(bench.said_within(secs(30)), [Said::V2(ip(GROUP))]);
    bench.query(10, "0.0.0.0", &[]);
    assert_eq!(bench.said_within(secs(30)), [Said::V2(ip(GROUP))]);
}

/// RFC 3376 §7.2.1: a change of version cancels what is pending.
#[test]
fn a_change_of_version_cancels_what_is_pending() {
    let mut bench = Bench::new();
    bench.joined(GROUP);
    bench.settings().igmpv3_unsolicited_report_interval = secs(1000);
    bench.join("239.0.0.1");
    bench.leave("239.0.0.1");
    bench.query(30000, "0.0.0.0", &[]);
    bench.query(30000, GROUP, &[]);
    bench.said();
    bench.query_old(100, ELSEWHERE);
    assert_eq!(bench.said_within(secs(3600)), []);
    // The other way round: the router of version 2 counts for 1 × 2 + 1 s, and what would be said to
    // it after that is not said.
    let mut bench = Bench::new();
    bench.joined(GROUP);
    bench.query_with(10, "0.0.0.0", &[], 1, 2);
    bench.quiet();
    let mut answered = 0;
    for _ in 0..40 {
        let start = bench.lab.now();
        bench.query_old(100, GROUP);
        bench.lab.run_for(secs(20));
        for (at, said) in bench.timed() {
            assert_eq!(said, Said::V2(ip(GROUP)));
            assert!(at < start + secs(3));
            answered += 1;
        }
    }
    assert!((2..30).contains(&answered), "about three in ten: {answered}");
}

/// Linux `force_igmp_version`: 1 and 2 are spoken whatever the router speaks, but 2 yields to 1; 3
/// is the same as none.
#[test]
fn versions_can_be_forced() {
    let join = |forced, heard: Option<u8>| {
        let mut bench = Bench::new();
        bench.settings().force_igmp_version = forced;
        if let Some(code) = heard {
            bench.query_old(code, "0.0.0.0");
        } else {
            bench.query(10, "0.0.0.0", &[]);
        }
        bench.join(GROUP);
        match bench.said()[..] {
            [Said::V1(_)] => V1,
            [Said::V2(_)] => V2,
            [Said::V3(_)] => V3,
            ref other => panic!("{other:?}"),
        }
    };
    for (forced, heard, spoken) in [
        (Some(V1), None, V1),
        (Some(V1), Some(100), V1),
        (Some(V2), None, V2),
        (Some(V2), Some(100), V2),
        (Some(V2), Some(0), V1),
        (Some(V3), None, V3),
        (Some(V3), Some(100), V2),
        (None, Some(0), V1),
    ] {
        assert_eq!(join(forced, heard), spoken, "{forced:?} {heard:?}");
    }
}

/// RFC 2236 §6 aside, a host hears its own reports where it is a member (Linux `igmp_rcv`): they
/// do not suppress anything.
#[test]
fn ones_own_reports_suppress_nothing() {
    let mut bench = Bench::beside(V2);
    let raw = bench.stack().open_raw(Protocol::IGMP).unwrap();
    bench.join(GROUP);
    assert_eq!(bench.lab.received(bench.host, raw).len(), 1, "looped back");
    assert_eq!(bench.said_within(secs(30)).len(), 2, "and repeated still");
    bench.leave(GROUP);
    assert_eq!(bench.said(), [Said::Leave(ip(GROUP))], "and the last to have reported still");
}
