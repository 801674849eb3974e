use std::net::{IpAddr, Ipv4Addr};

use tapping_stack::time::Instant;

use super::*;
use crate::ping::engine::{Action, Pacing, Sent};
use crate::ping::report::Named;

const NOON: Duration = Duration::new(1_700_000_000, 5_000);

fn host() -> Host {
    Host {
        name: "10.0.0.1".into(),
        addr: Ipv4Addr::new(10, 0, 0, 1).into(),
        from: None,
        size: 56,
        options_len: 0,
        group: false,
    }
}

fn named(last: u8) -> Named {
    Named { addr: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), name: None }
}

fn reply(data: &[u8]) -> Reply<'_> {
    Reply {
        from: named(1),
        sequence: 1,
        ttl: 64,
        rtt: Some(Duration::from_micros(182)),
        duplicate: false,
        different_address: false,
        options: &[],
        data,
        difference: None,
    }
}

/// What `tell` makes of `style`, as standard output and standard error.
fn written(
    style: Style,
    tell: impl FnOnce(&mut Text<&mut Vec<u8>, &mut Vec<u8>>),
) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    tell(&mut Text::new(&mut out, &mut err, style));
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn event(style: Style, host: &Host, event: Event<'_>) -> (String, String) {
    written(style, |text| text.event(host, NOON, &event).unwrap())
}

/// A finished run: probes one second apart, answered after so many microseconds each, or not.
fn engine(answers: &[Option<u64>], change: impl FnOnce(&mut Pacing)) -> Engine {
    let mut pacing = Pacing {
        count: Some(answers.len() as u64),
        interval: Duration::from_secs(1),
        adaptive: false,
        preload: 1,
        linger: Some(Duration::from_secs(10)),
        deadline: None,
        outstanding: false,
        timeouts: false,
    };
    change(&mut pacing);
    let mut now = Instant::from_secs(1);
    let mut engine = Engine::new(pacing, now);
    for (i, answer) in answers.iter().enumerate() {
        while let Action::Wait(Some(until)) = engine.poll(now) {
            now = until;
        }
        engine.sent(now, Sent::Ok);
        if let Some(micros) = answer {
            engine.received(now + Duration::from_micros(*micros), i as u16 + 1);
        }
    }
    engine
}

#[test]
fn first_line() {
    let (out, _) = written(Style::default(), |text| text.start(&host()).unwrap());
    assert_eq!(out, "PING 10.0.0.1 (10.0.0.1) 56(84) bytes of data.\n");
    let from = Some((Ipv4Addr::new(10, 0, 0, 2).into(), "tap0".to_string()));
    let host = Host { from, options_len: 40, ..host() };
    let (out, _) = written(Style::default(), |text| text.start(&host).unwrap());
    assert_eq!(out, "PING 10.0.0.1 (10.0.0.1) from 10.0.0.2 tap0: 56(124) bytes of data.\n");
}

#[test]
fn reply_lines() {
    let data = [0; 56];
    let show = |reply| event(Style::default(), &host(), Event::Reply(reply)).0;
    let line = "64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=0.182 ms";
    assert_eq!(show(reply(&data)), format!("{line}\n"));
    let duplicate = Reply { duplicate: true, ..reply(&data) };
    assert_eq!(show(duplicate), format!("{line} (DUP!)\n"));
    let elsewhere = Reply { different_address: true, ..reply(&data) };
    assert_eq!(show(elsewhere), format!("{line} (DIFFERENT ADDRESS!)\n"));
    let short = "48 bytes from 10.0.0.1: icmp_seq=1 ttl=64 (truncated)\n";
    assert_eq!(show(reply(&data[..40])), short);
    let named = Named { name: Some("localhost".into()), ..named(1) };
    let by_name = Reply { from: named, ..reply(&data) };
    assert!(show(by_name).starts_with("64 bytes from localhost (10.0.0.1): icmp_seq=1"));
}

#[test]
fn small_packets_have_no_time() {
    let small = Host { size: 4, ..host() };
    let (out, _) = event(Style::default(), &small, Event::Reply(reply(&[0; 4])));
    assert_eq!(out, "12 bytes from 10.0.0.1: icmp_seq=1 ttl=64\n");
}

#[test]
fn a_group_hides_duplicates_unless_verbose() {
    let group = Host { group: true, ..host() };
    let duplicate = || Event::Reply(Reply { duplicate: true, ..reply(&[0; 56]) });
    assert!(!event(Style::default(), &group, duplicate()).0.contains("DUP"));
    let verbose = Style { verbose: true, ..Style::default() };
    assert!(event(verbose, &group, duplicate()).0.contains("(DUP!)"));
}

#[test]
fn wrong_data_is_shown_in_full() {
    let mut data: Vec<u8> = (0..50).collect();
    data[20] = 0xff;
    let host = Host { size: 50, ..host() };
    let wrong = Reply { difference: Some((20, 20, 0xff)), ..reply(&data) };
    let (out, _) = event(Style::default(), &host, Event::Reply(wrong));
    let expected = "58 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=0.182 ms\n\
        wrong data byte #20 should be 0x14 but was 0xff\n\
        #16\t10 11 12 13 ff 15 16 17 18 19 1a 1b 1c 1d 1e 1f 20 21 22 23 24 25 26 27 28 29 2a 2b \
        2c 2d 2e 2f \n\
        #48\t30 31 \n";
    assert_eq!(out, expected);
}

#[test]
fn record_route_follows_the_time() {
    let options = [7, 39, 8, 10, 0, 0, 2, 0, 0, 0, 0];
    let mut all = [0; 39];
    all[..11].copy_from_slice(&options);
    let (out, _) = written(Style::default(), |text| {
        for sequence in [1, 2] {
            let reply = Reply { options: &all, sequence, ..reply(&[0; 56]) };
            text.event(&host(), NOON, &Event::Reply(reply)).unwrap();
        }
    });
    let expected = "64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=0.182 ms\n\
        RR: \t10.0.0.2\n\n\
        64 bytes from 10.0.0.1: icmp_seq=2 ttl=64 time=0.182 ms\t(same route)\n";
    assert_eq!(out, expected);
}

#[test]
fn error_lines() {
    let error =
        |icmp_type, code, info| IcmpError { from: named(9), sequence: 3, icmp_type, code, info };
    let show = |e| event(Style::default(), &host(), e).0;
    assert_eq!(
        show(Event::Error(error(3, 1, 0))),
        "From 10.0.0.9 icmp_seq=3 Destination Host Unreachable\n"
    );
    assert_eq!(
        show(Event::Redirect(error(5, 1, 0x0a00_0009))),
        "From 10.0.0.9: icmp_seq=3 Redirect Host(New nexthop: 10.0.0.9)\n"
    );
    let (out, err) = event(Style::default(), &host(), Event::TooLong { sequence: 1, mtu: 1400 });
    assert_eq!(
        (out.as_str(), err.as_str()),
        ("", "ping: local error: message too long, mtu=1400\n")
    );
    let failed = Event::Failed { sequence: Some(1), reason: "Network is unreachable".into() };
    let (_, err) = event(Style::default(), &host(), failed);
    assert_eq!(err, "ping: sendmsg: Network is unreachable\n");
}

#[test]
fn stamps_and_host_names_lead_the_line() {
    let style = Style { stamps: true, several: true, ..Style::default() };
    let (out, _) = event(style, &host(), Event::Outstanding { sequence: 7 });
    assert_eq!(out, "[1700000000.000005] 10.0.0.1: no answer yet for icmp_seq=7\n");
}

#[test]
fn flood_draws_dots_and_quiet_says_nothing() {
    let flood = Style { flood: true, ..Style::default() };
    let (out, err) = written(flood, |text| {
        for e in [
            Event::Sent,
            Event::Sent,
            Event::Reply(reply(&[0; 56])),
            Event::Error(IcmpError { from: named(9), sequence: 1, icmp_type: 3, code: 1, info: 0 }),
            Event::TooLong { sequence: 1, mtu: 68 },
        ] {
            text.event(&host(), NOON, &e).unwrap();
        }
    });
    assert_eq!((out.as_str(), err.as_str()), ("..\x08 \x08\x08EE", ""));
    let quiet = Style { quiet: true, flood: true, ..Style::default() };
    assert_eq!(event(quiet, &host(), Event::Sent).0, "");
}

#[test]
fn summary_of_a_good_run() {
    let engine = engine(&[Some(182), Some(44)], |_| ());
    let (out, _) = written(Style::default(), |text| text.summary(&host(), &engine).unwrap());
    let expected = "\n--- 10.0.0.1 ping statistics ---\n\
        2 packets transmitted, 2 received, 0% packet loss, time 1000ms\n\
        rtt min/avg/max/mdev = 0.044/0.113/0.182/0.069 ms\n\
        rtt p50/p90/p99/p99.9 = 0.044/0.182/0.182/0.182 ms\n";
    assert_eq!(out, expected);
}

#[test]
fn summary_of_a_bad_run() {
    let mut engine = engine(&[Some(100), None, None], |pacing| pacing.preload = 3);
    engine.refused(2);
    engine.received(Instant::from_secs(2), 1);
    let (out, _) = written(Style::default(), |text| text.summary(&host(), &engine).unwrap());
    let counts =
        "3 packets transmitted, 1 received, +1 duplicates, +1 errors, 66.6667% packet loss";
    assert!(out.contains(counts), "{out}");
    assert!(out.contains(" ms, pipe 3\n"), "{out}");
}

#[test]
fn summary_without_answers_ends_in_an_empty_line() {
    let engine = engine(&[None], |_| ());
    let (out, _) = written(Style::default(), |text| text.summary(&host(), &engine).unwrap());
    let expected = "\n--- 10.0.0.1 ping statistics ---\n\
        1 packets transmitted, 0 received, 100% packet loss, time 0ms\n\n";
    assert_eq!(out, expected);
}

#[test]
fn summary_of_a_flood_has_the_gap() {
    let engine = engine(&[Some(30), Some(30)], |pacing| pacing.interval = Duration::ZERO);
    let flood = Style { flood: true, ..Style::default() };
    let (out, _) = written(flood, |text| text.summary(&host(), &engine).unwrap());
    assert!(out.contains("rtt min/avg/max/mdev = 0.030/0.030/0.030/0.000 ms, ipg/ewma "), "{out}");
}

#[test]
fn interim_line() {
    let engine = engine(&[Some(182), Some(44), None], |_| ());
    let (_, err) = written(Style::default(), |text| text.interim(&host(), &engine).unwrap());
    let expected = "\r2/3 packets, 33% loss, min/avg/ewma/max = 0.044/0.113/0.164/0.182 ms\n";
    assert_eq!(err, expected);
}
