//! What an observer sees: every stage of a packet's way, in order, and where it ends.

use core::net::IpAddr;

use tapping_stack::filter::hook::{Hook, HookContext, HookPoint, Verdict, priority};
use tapping_stack::stats::DropReason;
use tapping_stack::time::Duration;
use tapping_stack::wire::{EtherType, Ethernet, Ipv4, MacAddr, Protocol};
use tapping_stack::{LinkId, Packet};

use crate::lab::*;

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";

/// Two hosts on a wire.
fn pair() -> (Lab, Host, Host) {
    let mut lab = Lab::new();
    let segment = lab.segment();
    let (a, b) = (lab.host("a"), lab.host("b"));
    lab.attach(a, segment, "10.0.0.1/24");
    lab.attach(b, segment, "10.0.0.2/24");
    (lab, a, b)
}

/// Sends one echo request with so many bytes of data, and forgets what came before.
fn ping(lab: &mut Lab, from: Host, to: &str, len: usize) {
    let socket = lab.stack(from).open_ping(None).unwrap();
    lab.send(from, socket, ip(to), &echo(0, 1, &vec![7; len])).unwrap();
    assert_eq!(lab.received(from, socket).len(), 1, "the reply");
    lab.close(from, socket).unwrap();
}

/// Accepts everything, or drops everything at one point.
struct Judge(Option<HookPoint>);

impl Hook for Judge {
    fn process(&mut self, context: &HookContext<'_>, _: &mut Packet) -> Verdict {
        if self.0 == Some(context.point) { Verdict::Drop } else { Verdict::Accept }
    }

    fn name(&self) -> &str {
        "judge"
    }
}

fn judge_everywhere(lab: &mut Lab, host: Host, dropping: Option<HookPoint>) {
    let points = HookPoint::ALL.map(|point| (point, priority::FILTER));
    lab.stack(host).register_hook(&points, Box::new(Judge(dropping)));
}

#[test]
fn one_echo_is_seen_at_every_stage_on_both_sides() {
    let (mut lab, a, b) = pair();
    ping(&mut lab, a, B, 8);
    let sent = [
        "route Output 10.0.0.2 Unicast",
        "ipv4 out",
        "10.0.0.2 INCOMPLETE",
        "arp out Request",
        "if2 out",
        "if2 in",
        "arp in Reply",
        "10.0.0.2 REACHABLE",
        "if2 out",
        "if2 in",
        "ipv4 in",
        "route Input 10.0.0.1 Local",
        "delivered to ping",
    ];
    assert_eq!(stages(&lab.events(a)), sent);
    let answered = [
        "if2 in",
        "arp in Request",
        "10.0.0.1 STALE",
        "arp out Reply",
        "if2 out",
        "if2 in",
        "ipv4 in",
        "route Input 10.0.0.2 Local",
        "delivered to icmp",
        "route Output 10.0.0.1 Unicast",
        "ipv4 out",
        "if2 out",
        "10.0.0.1 DELAY",
    ];
    assert_eq!(stages(&lab.events(b)), answered);
    ping(&mut lab, a, B, 8);
    let again = [
        "route Output 10.0.0.2 Unicast",
        "ipv4 out",
        "if2 out",
        "if2 in",
        "ipv4 in",
        "route Input 10.0.0.1 Local",
        "delivered to ping",
    ];
    assert_eq!(stages(&lab.events(a)), again, "with nothing left to resolve");
}

/// Every stage shows the bytes of its own layer.
#[test]
fn the_bytes_begin_with_the_header_of_the_stage() {
    let (mut lab, a, b) = pair();
    ping(&mut lab, a, B, 8);
    let (mut frames, mut packets, mut messages) = (0, 0, 0);
    for host in [a, b] {
        for record in lab.events(host) {
            match &record.seen {
                Seen::LinkIn { link, bytes } | Seen::LinkOut { link, bytes } => {
                    assert_eq!(*link, LinkId(2));
                    let ethertype = Ethernet::parse(bytes).unwrap().ethertype();
                    assert!([EtherType::ARP, EtherType::IPV4].contains(&ethertype));
                    frames += 1;
                }
                Seen::ArpIn { link, message } | Seen::ArpOut { link, message } => {
                    assert_eq!(*link, LinkId(2));
                    assert!([ip(A), ip(B)].contains(&message.sender_ip));
                }
                Seen::Ipv4In { bytes } | Seen::Ipv4Out { bytes } => {
                    let packet = Ipv4::parse(bytes).unwrap();
                    assert!(packet.verify_checksum());
                    assert_eq!(packet.total_len(), bytes.len());
                    packets += 1;
                }
                Seen::Delivered { bytes, .. } => {
                    assert_eq!(bytes.len(), 16);
                    assert_eq!(&bytes[8..], [7; 8]);
                    messages += 1;
                }
                Seen::Route { link, next_hop, destination, .. } => {
                    assert_eq!(*link, Some(LinkId(2)));
                    assert!(next_hop.is_none_or(|hop| hop == *destination));
                }
                Seen::Neighbour(neighbour) => assert_eq!(neighbour.link, LinkId(2)),
                other => panic!("{other:?} has no place here"),
            }
        }
    }
    assert_eq!((frames, packets, messages), (8, 4, 2));
}

#[test]
fn hooks_are_seen_where_they_judge() {
    let (mut lab, a, b) = pair();
    ping(&mut lab, a, B, 8);
    judge_everywhere(&mut lab, a, None);
    judge_everywhere(&mut lab, b, None);
    lab.events(a);
    lab.events(b);
    ping(&mut lab, a, B, 8);
    let sent = [
        "route Output 10.0.0.2 Unicast",
        "ipv4 out",
        "OUTPUT judge Accept",
        "POSTROUTING judge Accept",
        "if2 out",
        "if2 in",
        "ipv4 in",
        "PREROUTING judge Accept",
        "route Input 10.0.0.1 Local",
        "INPUT judge Accept",
        "delivered to ping",
    ];
    let events = lab.events(a);
    assert_eq!(stages(&events), sent);
    for record in events {
        if let Seen::Hook { bytes, .. } = &record.seen {
            assert_eq!(Ipv4::parse(bytes).unwrap().protocol(), Protocol::ICMP);
        }
    }
    let answered = [
        "if2 in",
        "ipv4 in",
        "PREROUTING judge Accept",
        "route Input 10.0.0.2 Local",
        "INPUT judge Accept",
        "delivered to icmp",
        "route Output 10.0.0.1 Unicast",
        "ipv4 out",
        "OUTPUT judge Accept",
        "POSTROUTING judge Accept",
        "if2 out",
    ];
    assert_eq!(stages(&lab.events(b)), answered);
}

#[test]
fn a_router_shows_what_it_forwards() {
    let mut lab = Lab::new();
    let (left, right) = (lab.segment(), lab.segment());
    let router = lab.host("router");
    lab.stack(router).set_forwarding(true);
    let inside = lab.attach(router, left, "10.1.0.1/24");
    let outside = lab.attach(router, right, "10.2.0.1/24");
    let (from, to) = (lab.tester(left), lab.tester(right));
    lab.know(router, outside, ip("10.2.0.5"), to.mac);
    judge_everywhere(&mut lab, router, None);
    lab.events(router);
    let packet = Ip::udp(ip("10.1.0.5"), ip("10.2.0.5"), 1, 2, b"data").ttl(9).build();
    lab.inject_ip(from, router, inside, &packet);
    let way = [
        "if2 in",
        "ipv4 in",
        "PREROUTING judge Accept",
        "route Input 10.2.0.5 Unicast",
        "forward",
        "FORWARD judge Accept",
        "POSTROUTING judge Accept",
        "if3 out",
    ];
    let events = lab.events(router);
    assert_eq!(stages(&events), way);
    let forwarded = events.iter().find_map(|record| match &record.seen {
        Seen::Forward { bytes } => Some(bytes),
        _ => None,
    });
    assert_eq!(Ipv4::parse(forwarded.unwrap()).unwrap().ttl(), 8, "already lowered");
}

#[test]
fn a_host_sees_itself_over_the_loopback() {
    let (mut lab, a, _) = pair();
    ping(&mut lab, a, A, 8);
    let way = [
        "route Output 10.0.0.1 Local",
        "ipv4 out",
        "if1 out",
        "if1 in",
        "ipv4 in",
        "delivered to icmp",
        "route Output 10.0.0.1 Local",
        "ipv4 out",
        "if1 out",
        "if1 in",
        "ipv4 in",
        "delivered to ping",
    ];
    assert_eq!(stages(&lab.events(a)), way);
}

#[test]
fn cutting_and_putting_together_are_seen() {
    let (mut lab, a, b) = pair();
    ping(&mut lab, a, B, 8);
    lab.events(a);
    lab.events(b);
    ping(&mut lab, a, B, 3000);
    let events = lab.events(a);
    let one_in = ["if2 in", "ipv4 in", "route Input 10.0.0.1 Local"];
    let way = [
        &["route Output 10.0.0.2 Unicast", "ipv4 out", "cut into 3", "if2 out", "if2 out"][..],
        &["if2 out"],
        &one_in,
        &one_in,
        &one_in,
        &["reassembled", "delivered to ping"],
    ];
    assert_eq!(stages(&events), way.concat());
    for record in &events {
        match &record.seen {
            Seen::Fragmented { bytes, fragments: 3 } => {
                assert_eq!(bytes.len(), 1500, "the first fragment");
            }
            Seen::Reassembled { bytes } => assert_eq!(bytes.len(), 3028),
            _ => {}
        }
    }
}

/// Whatever happens to a frame, the last that is seen of it is who got it or why it was dropped.
#[test]
fn every_frame_ends_in_sight() {
    let good = Ip::icmp(ip(B), ip(A), echo_reply(9, 9, b"unasked"));
    let mut bad_sum = good.build();
    bad_sum[10] ^= 1;
    let mut short = good.build();
    short.truncate(22);
    let mut version = good.build();
    version[0] = 0x55;
    let mut icmp_sum = good.clone();
    icmp_sum.payload[2] ^= 1;
    let ours = MacAddr([0x02, 0, 0, 0, 1, 0]);
    let theirs = MacAddr([0x02, 0xee, 0, 0, 0, 1]);
    let over_ip = |packet: &[u8]| ip_frame(theirs, ours, packet);
    let cases: Vec<(Vec<u8>, DropReason)> = vec![
        (vec![1, 2, 3], DropReason::EthernetMalformed),
        (ip_frame(theirs, theirs, &good.build()), DropReason::OtherHost),
        (frame(theirs, ours, EtherType::VLAN, &[0, 5, 8, 0]), DropReason::UnknownVlan),
        (frame(theirs, ours, EtherType::IPV6, &[0; 40]), DropReason::UnhandledEtherType),
        (frame(theirs, ours, EtherType::ARP, &[0; 28]), DropReason::ArpMalformed),
        (
            arp_frame(ours, &arp_request(theirs, ip("10.0.0.4"), ip("10.0.0.3"))),
            DropReason::ArpIgnored,
        ),
        (over_ip(&version), DropReason::Ipv4HeaderError),
        (over_ip(&short), DropReason::Ipv4Truncated),
        (over_ip(&bad_sum), DropReason::Ipv4Checksum),
        (over_ip(&good.clone().options(&[7, 0]).build()), DropReason::Ipv4OptionError),
        (over_ip(&good.clone().options(&[131, 3, 4]).build()), DropReason::SourceRoute),
        (
            over_ip(&Ip::icmp(ip("224.0.0.9"), ip(A), echo(1, 1, b"")).build()),
            DropReason::MartianSource,
        ),
        (
            over_ip(&Ip::icmp(ip(B), ip("127.0.0.1"), echo(1, 1, b"")).build()),
            DropReason::MartianDestination,
        ),
        (
            over_ip(&Ip::icmp(ip(B), ip("192.0.2.1"), echo(1, 1, b"")).build()),
            DropReason::NotForwarding,
        ),
        (
            over_ip(&Ip::icmp(ip(B), ip("239.0.0.1"), echo(1, 1, b"")).build()),
            DropReason::NotMember,
        ),
        (over_ip(&icmp_sum.build()), DropReason::IcmpChecksum),
        (over_ip(&Ip::icmp(ip(B), ip(A), vec![8, 0]).build()), DropReason::IcmpMalformed),
        (over_ip(&Ip::icmp(ip(B), ip(A), echo_reply(9, 9, b"")).build()), DropReason::NoSocket),
        (
            over_ip(&Ip::new(ip(B), ip(A), Protocol(99), vec![0; 8]).build()),
            DropReason::UnknownProtocol,
        ),
        (over_ip(&Ip::udp(ip(B), ip(A), 1, 9, b"").build()), DropReason::NoSocket),
        (
            over_ip(&Ip::new(ip(B), ip(A), Protocol::UDP, vec![0; 4]).build()),
            DropReason::UdpMalformed,
        ),
        (
            over_ip(&Ip::icmp(ip(B), ip(A), vec![0; 12]).fragment(0, true).build()),
            DropReason::ReassemblyMalformed,
        ),
    ];
    for (frame, reason) in cases {
        let (mut lab, host, link, tester) = Lab::with_tester("10.0.0.1/24");
        assert_eq!(lab.mac(host, link), ours);
        lab.know(host, link, ip(B), tester.mac);
        lab.events(host);
        lab.inject(tester, frame.clone());
        let events = lab.events(host);
        let Seen::LinkIn { bytes, .. } = &events[0].seen else { panic!("first of all it arrives") };
        assert_eq!(*bytes, frame, "as it was");
        let dropped: Vec<DropReason> = events
            .iter()
            .filter_map(|record| match &record.seen {
                Seen::Dropped { reason, bytes } => {
                    assert!(!bytes.is_empty(), "{reason}: the packet is shown");
                    Some(*reason)
                }
                _ => None,
            })
            .collect();
        assert_eq!(dropped, [reason]);
        let snapshot = lab.snapshot(host);
        assert_eq!(snapshot.drops, [(reason, 1)], "counted as it was seen");
    }
}

#[test]
fn a_hooks_verdict_is_the_last_that_is_seen() {
    let cases = [
        (HookPoint::Prerouting, vec!["if2 in", "ipv4 in", "PREROUTING judge Drop"]),
        (
            HookPoint::Input,
            vec![
                "if2 in",
                "ipv4 in",
                "PREROUTING judge Accept",
                "route Input 10.0.0.1 Local",
                "INPUT judge Drop",
            ],
        ),
    ];
    for (point, mut way) in cases {
        let (mut lab, host, link, tester) = Lab::with_tester("10.0.0.1/24");
        judge_everywhere(&mut lab, host, Some(point));
        let request = Ip::icmp(ip(B), ip(A), echo(1, 1, b"")).build();
        lab.inject_ip(tester, host, link, &request);
        way.push("dropped: dropped by a hook");
        assert_eq!(stages(&lab.events(host)), way);
    }
}

#[test]
fn events_carry_the_time_and_the_observer_can_leave() {
    let (mut lab, a, _) = pair();
    lab.run_for(Duration::from_millis(1234));
    let now = lab.now();
    ping(&mut lab, a, B, 8);
    let events = lab.events(a);
    assert!(!events.is_empty());
    assert!(events.iter().all(|record| record.at == now));
    let observer = lab.stack(a).set_observer(None);
    assert!(observer.is_some());
    ping(&mut lab, a, B, 8);
    assert!(lab.events(a).is_empty());
    lab.stack(a).set_observer(observer);
    ping(&mut lab, a, B, 8);
    assert!(!lab.events(a).is_empty());
}

#[test]
fn an_address_that_is_acquired_is_seen() {
    let mut lab = Lab::new();
    let segment = lab.segment();
    let host = lab.host("a");
    let link = lab.attach(host, segment, "");
    let now = lab.now();
    let stack = lab.stack(host);
    stack.interface_config(link).unwrap().conflict_detection = true;
    stack.add_address(now, link, "10.0.0.1/24".parse().unwrap()).unwrap();
    lab.run_for(Duration::from_secs(20));
    let probe = ["arp out Request", "if2 out"];
    let way = [&probe[..], &probe, &probe, &["10.0.0.1 Acquired"], &probe, &probe];
    assert_eq!(stages(&lab.events(host)), way.concat());
    assert!(lab.stack(host).neighbour(link, IpAddr::V4(ip(A))).is_none());
}

/// Same seed, same inputs, same bytes at the same times: whatever is random comes from the seed.
#[test]
fn the_same_inputs_make_the_same_events() {
    let run = || {
        let (mut lab, a, b) = pair();
        let links = [(a, "10.0.0.77/24"), (b, "10.0.0.78/24")];
        for (host, second) in links {
            let now = lab.now();
            let stack = lab.stack(host);
            stack.interface_config(LinkId(2)).unwrap().conflict_detection = true;
            stack.add_address(now, LinkId(2), second.parse().unwrap()).unwrap();
        }
        for (len, to) in [(8, B), (3000, "10.0.0.78"), (0, B)] {
            lab.run_for(Duration::from_secs(30));
            ping(&mut lab, a, to, len);
        }
        let closed = Ip::udp(ip(A), ip(B), 1, 9, b"").payload;
        let raw = lab.stack(a).open_raw(Protocol::UDP).unwrap();
        lab.send(a, raw, ip(B), &closed).unwrap();
        lab.run_for(Duration::from_secs(100));
        let (first, second) = (lab.events(a), lab.events(b));
        assert!(first.len() > 90 && second.len() > 90, "{} {}", first.len(), second.len());
        format!("{first:?} {second:?}")
    };
    assert_eq!(run(), run());
}
