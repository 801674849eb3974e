//! Limits, settings, and links that come and go.

use tapping_stack::SocketError;

use super::*;

/// `igmp_max_memberships`, `igmp_max_msf`: ENOBUFS, with Linux's defaults.
#[test]
fn memberships_and_sources_are_bounded() {
    let mut bench = Bench::new();
    let (now, socket, link) = (bench.lab.now(), bench.socket, Some(bench.link));
    let stack = bench.stack();
    for n in 0..20 {
        stack.join_multicast(now, socket, addr(&format!("239.0.0.{n}")), link).unwrap();
    }
    let full = Err(SocketError::NoBufferSpace);
    assert_eq!(stack.join_multicast(now, socket, addr(GROUP), link), full);
    assert_eq!(stack.join_multicast_source(now, socket, addr(GROUP), addr(OTHER), link), full);
    let group = addr("239.0.0.1");
    for n in 0..10 {
        let source = addr(&format!("10.9.0.{n}"));
        stack.block_multicast_source(now, socket, group, source, link).unwrap();
    }
    assert_eq!(stack.block_multicast_source(now, socket, group, addr(OTHER), link), full);
}

/// Whatever is joined and left, what is kept for telling of it is bounded, and gone in the end.
#[test]
fn what_is_still_to_be_told_is_bounded() {
    let mut config = Config::default();
    config.igmp.max_pending_changes = 4;
    let mut bench = Bench::with(config, "10.0.0.1/24");
    for n in 0..42 {
        let group = format!("239.0.0.{n}");
        bench.join(&group);
        bench.leave(&group);
    }
    assert_eq!(bench.said().len(), 84, "each is told once");
    let repeated: usize = bench
        .said_within(secs(10))
        .iter()
        .map(|said| match said {
            Said::V3(records) => records.len(),
            other => panic!("{other:?}"),
        })
        .sum();
    assert!((1..=4).contains(&repeated), "{repeated}");
    assert_eq!(bench.stack().poll_timeout(), None);

    bench.joined(GROUP);
    for n in 0..40 {
        let source = format!("10.9.0.{n}");
        bench.block(GROUP, &source);
        bench.unblock(GROUP, &source);
    }
    bench.said();
    for said in bench.said_within(secs(10)) {
        let Said::V3(records) = said else { panic!("{said:?}") };
        assert!(records.iter().map(|(.., sources)| sources.len()).sum::<usize>() <= 4);
    }
}

/// A router that asks about more sources than are kept is told of the whole group.
#[test]
fn sources_asked_about_are_bounded() {
    let mut config = Config::default();
    config.igmp.max_queried_sources = 3;
    let mut bench = Bench::with(config, "10.0.0.1/24");
    bench.joined(GROUP);
    bench.query(10, GROUP, &["10.9.0.1", "10.9.0.2", "10.9.0.3"]);
    let sources = ["10.9.0.1", "10.9.0.2", "10.9.0.3"];
    assert_eq!(bench.said_within(secs(5)), [one(RecordType::IsInclude, GROUP, &sources)]);
    bench.query(10, GROUP, &["10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4"]);
    assert_eq!(bench.said_within(secs(5)), [one(RecordType::IsExclude, GROUP, &[])]);
}

/// RFC 2236 §6, RFC 3376 §6: all-hosts is never reported. `igmp_link_local_mcast_reports`: groups
/// of the link are, unless told otherwise.
#[test]
fn link_local_groups_are_reported_unless_told_otherwise() {
    for reported in [true, false] {
        let mut config = Config::default();
        config.igmp.link_local_mcast_reports = reported;
        let mut bench = Bench::with(config, "10.0.0.1/24");
        bench.join(ALL_SYSTEMS);
        assert_eq!(bench.said_within(secs(5)), []);
        bench.join("224.0.0.251");
        assert_eq!(bench.said_within(secs(5)).len(), if reported { 2 } else { 0 });
        for code in [0, 100] {
            bench.query(10, "0.0.0.0", &[]);
            bench.query(10, "224.0.0.251", &[]);
            bench.said_within(secs(20));
            bench.query_old(code, "0.0.0.0");
            let said = bench.said_within(secs(20));
            assert_eq!(said.len(), usize::from(reported), "{said:?}");
            bench.lab.run_for(secs(1000));
        }
        bench.leave("224.0.0.251");
        assert_eq!(bench.said_within(secs(5)).len(), if reported { 2 } else { 0 });
        bench.leave(ALL_SYSTEMS);
        assert_eq!(bench.said_within(secs(5)), []);
    }
}

/// Linux `ip_mc_down`, `ip_mc_up`: a link that comes up reports its groups anew and has forgotten
/// the routers it knew.
#[test]
fn a_link_that_comes_up_reports_its_groups_anew() {
    let mut bench = Bench::beside(IgmpVersion::V2);
    let link = bench.link;
    bench.join(GROUP);
    bench.said();
    let now = bench.lab.now();
    bench.stack().set_link_up(now, link, false).unwrap();
    bench.join("239.0.0.1");
    assert_eq!(bench.said_within(secs(60)), []);
    assert_eq!(bench.stack().poll_timeout(), None);
    let now = bench.lab.now();
    bench.stack().set_link_up(now, link, true).unwrap();
    bench.lab.settle();
    let both = ["239.0.0.1", GROUP].map(|group| one(RecordType::ToExclude, group, &[]));
    assert_eq!(bench.said(), both);
    bench.leave(GROUP);
    assert_eq!(bench.said()[0], one(RecordType::ToInclude, GROUP, &[]));
}

/// Nothing of a link that has gone is left; its members can leave it still.
#[test]
fn a_removed_link_takes_its_timers_along() {
    let mut bench = Bench::new();
    let (socket, link) = (bench.socket, bench.link);
    bench.join(GROUP);
    bench.query(1000, "0.0.0.0", &[]);
    let now = bench.lab.now();
    let stack = bench.stack();
    stack.remove_link(now, link).unwrap();
    assert_eq!(stack.poll_timeout(), None);
    assert_eq!(stack.leave_multicast(now, socket, addr(GROUP), Some(link)), Ok(()));
    let gone = stack.leave_multicast(now, socket, addr(GROUP), Some(link));
    assert_eq!(gone, Err(SocketError::NoSuchDevice));
    assert_eq!(stack.poll_timeout(), None);
}

/// No router hears the loopback.
#[test]
fn nothing_is_reported_on_the_loopback() {
    let mut bench = Bench::new();
    let (now, socket) = (bench.lab.now(), bench.socket);
    bench.stack().join_multicast(now, socket, addr(GROUP), Some(LinkId::LOOPBACK)).unwrap();
    assert_eq!(bench.counters().out_msgs, 0);
    assert_eq!(bench.stack().poll_timeout(), None);
}

/// The same seed says the same things at the same times.
#[test]
fn reports_are_reproducible() {
    let run = || {
        let mut bench = Bench::new();
        bench.join(GROUP);
        bench.query(100, GROUP, &["10.9.0.1"]);
        bench.lab.run_for(secs(30));
        bench.timed()
    };
    assert_eq!(run(), run());
}
