//! How often errors are sent (RFC 1812 §4.3.2.8, Linux `icmp_ratelimit`, `icmp_msgs_per_sec`,
//! `icmp_msgs_burst`).

use super::*;

/// Six at once to one destination, then one a second.
#[test]
fn one_destination_gets_six_errors_and_then_one_a_second() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        bench.inject(&to_closed_port(PEER, US));
    }
    assert_eq!(bench.lab.heard_ip(bench.tester).len(), 6);
    for _ in 0..10 {
        bench.lab.run_for(secs(1));
        for _ in 0..5 {
            bench.inject(&to_closed_port(PEER, US));
        }
        assert_eq!(bench.lab.heard_ip(bench.tester).len(), 1);
    }
    let snapshot = bench.lab.snapshot(bench.host);
    assert_eq!(snapshot.icmp.out_rate_limit_host, 14 + 40);
    assert_eq!(snapshot.icmp.out_rate_limit_global, 0);
    assert_eq!(snapshot.dropped(DropReason::NoSocket), 70, "dropped all the same");
    bench.lab.run_for(secs(60));
    for _ in 0..20 {
        bench.inject(&to_closed_port(PEER, US));
    }
    assert_eq!(bench.lab.heard_ip(bench.tester).len(), 6, "after silence as at first");
}

#[test]
fn destinations_are_limited_each_by_itself() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        bench.inject(&to_closed_port(PEER, US));
    }
    bench.lab.heard(bench.tester);
    bench.inject(&to_closed_port(FAR, US));
    assert_eq!(ipv4(&bench.answer()).dst(), ip(FAR));
}

fn stranger(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(ip("198.18.0.0")) + n)
}

fn from_stranger(n: u32) -> Ip {
    Ip::udp(stranger(n), ip(US), 4000, 9, b"anybody?")
}

/// A burst of about 50 to all destinations together; a message costs zero to two tokens, one on
/// average, so that the level tells an outsider nothing (CVE-2020-25705).
#[test]
fn all_destinations_share_a_burst_of_about_fifty() {
    let mut bench = Bench::new();
    for n in 0..500 {
        bench.inject(&from_stranger(n));
    }
    let sent = bench.lab.heard_ip(bench.tester).len() as u64;
    assert!((30..=80).contains(&sent), "{sent} errors");
    let limited = bench.lab.snapshot(bench.host).icmp;
    assert_eq!(limited.out_rate_limit_global, 500 - sent);
    assert_eq!((limited.out_dest_unreachs, limited.out_rate_limit_host), (sent, 0));
}

#[test]
fn all_destinations_share_a_thousand_errors_a_second() {
    let mut bench = Bench::new();
    for n in 0..20_000 {
        bench.inject(&from_stranger(n));
        bench.lab.run_for(Duration::from_micros(250));
    }
    let sent = bench.lab.heard_ip(bench.tester).len();
    assert!((4700..=5400).contains(&sent), "{sent} errors in 5 s");
}

/// Linux `icmpv4_mask_allow`: path MTU discovery is never limited.
#[test]
fn fragmentation_needed_is_not_limited() {
    let mut router = Router::with(Config::default(), 1000);
    for _ in 0..200 {
        router.inject(&Ip::udp(ip(LEFT), ip(RIGHT), 1, 2, &[0; 1200]).df());
    }
    assert_eq!(router.lab.heard_ip(router.left).len(), 200);
}

/// Linux `icmp_ratemask`: only errors are limited.
#[test]
fn echo_replies_are_not_limited() {
    let mut bench = Bench::new();
    for _ in 0..200 {
        bench.inject(&Ip::icmp(ip(PEER), ip(US), echo(1, 1, b"")));
    }
    assert_eq!(bench.lab.heard_ip(bench.tester).len(), 200);
}

/// Linux does not limit what comes by or goes over the loopback.
#[test]
fn errors_to_ourselves_are_not_limited() {
    let mut bench = Bench::new();
    let socket = bench.lab.stack(bench.host).open_raw(Protocol::UDP).unwrap();
    bench.lab.stack(bench.host).socket_options(socket).unwrap().receive_errors = true;
    for own in [US, "127.0.0.1"] {
        for _ in 0..40 {
            let datagram = to_closed_port(own, own).payload;
            bench.lab.send(bench.host, socket, ip(own), &datagram).unwrap();
            let report = bench.lab.stack(bench.host).recv_error(socket).expect("each is told");
            assert_eq!(report.error, SocketError::ConnectionRefused);
            assert_eq!(report.offender, Some(IpAddr::V4(ip(own))));
            bench.lab.received(bench.host, socket);
        }
    }
    let limited = bench.lab.snapshot(bench.host).icmp;
    assert_eq!((limited.out_rate_limit_host, limited.out_rate_limit_global), (0, 0));
}

/// Nor failed resolutions of our own packets.
#[test]
fn failed_resolutions_of_our_own_packets_are_not_limited() {
    let mut bench = Bench::new();
    let socket = bench.lab.stack(bench.host).open_ping(None).unwrap();
    bench.lab.stack(bench.host).socket_options(socket).unwrap().receive_errors = true;
    for _ in 0..60 {
        bench.lab.send(bench.host, socket, ip("10.0.0.9"), &echo(0, 1, b"")).unwrap();
    }
    bench.lab.run_for(secs(4));
    let mut told = 0;
    while bench.lab.stack(bench.host).recv_error(socket).is_some() {
        told += 1;
    }
    assert_eq!(told, 60);
}
