//! Address conflict detection, clause by clause (RFC 5227).

use core::net::{IpAddr, Ipv4Addr};

use tapping_stack::event::AddressState::{self, *};
use tapping_stack::stats::DropReason;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::{Arp, ArpOperation, MacAddr};
use tapping_stack::{LinkId, SocketError};

use crate::lab::*;

const US: &str = "10.0.0.1";
const PEER: &str = "10.0.0.2";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

struct Bench {
    lab: Lab,
    host: Host,
    link: LinkId,
    tester: Tester,
    /// When the address was given to the link.
    start: Instant,
}

impl Bench {
    /// A host that begins to probe for its address. Hosts before it take other seeds.
    fn with_seed(seed: usize) -> Self {
        let mut lab = Lab::new();
        let segment = lab.segment();
        for _ in 1..seed {
            lab.host("other");
        }
        let host = lab.host("a");
        let link = lab.attach(host, segment, "");
        let tester = lab.tester(segment);
        lab.stack(host).interface_config(link).unwrap().conflict_detection = true;
        let start = lab.now();
        let mut bench = Bench { lab, host, link, tester, start };
        bench.add_address();
        bench
    }

    fn probing() -> Self {
        Bench::with_seed(1)
    }

    /// A host that has its address and has announced it.
    fn acquired() -> Self {
        let mut bench = Bench::probing();
        bench.lab.run_for(secs(20));
        assert_eq!(bench.conclusions(), [Acquired]);
        bench.lab.heard(bench.tester);
        bench
    }

    fn add_address(&mut self) {
        let (now, link) = (self.lab.now(), self.link);
        let cidr = "10.0.0.1/24".parse().unwrap();
        self.lab.stack(self.host).add_address(now, link, cidr).unwrap();
    }

    fn our_mac(&self) -> MacAddr {
        self.lab.mac(self.host, self.link)
    }

    fn has_address(&mut self) -> bool {
        let interface = self.lab.stack(self.host).interfaces().get(self.link).unwrap();
        !interface.addresses().is_empty()
    }

    fn uses_address(&mut self) -> bool {
        let source = self.lab.stack(self.host).source_for(IpAddr::V4(ip(PEER)));
        source == Ok(IpAddr::V4(ip(US)))
    }

    fn timed_conclusions(&mut self) -> Vec<(Instant, AddressState)> {
        let conclusion = |record: &Record| match record.seen {
            Seen::Address { link, addr, state } if link == self.link => {
                assert_eq!(addr, IpAddr::V4(ip(US)));
                Some((record.at, state))
            }
            _ => None,
        };
        let events = self.lab.events(self.host);
        events.iter().filter_map(conclusion).collect()
    }

    fn conclusions(&mut self) -> Vec<AddressState> {
        self.timed_conclusions().into_iter().map(|(_, state)| state).collect()
    }

    fn broadcast(&mut self, message: Arp) {
        self.lab.inject(self.tester, arp_frame(MacAddr::BROADCAST, &message));
    }

    /// The tester claims our address, to everybody.
    fn claim(&mut self) {
        self.broadcast(arp_request(self.tester.mac, ip(US), ip(US)));
    }

    fn probe(&self) -> Arp {
        arp_request(self.our_mac(), Ipv4Addr::UNSPECIFIED, ip(US))
    }

    fn announcement(&self) -> Arp {
        arp_request(self.our_mac(), ip(US), ip(US))
    }
}

/// §1.1, §2.1.1: PROBE_WAIT, PROBE_NUM, PROBE_MIN, PROBE_MAX; sender 0.0.0.0, target MAC zero.
/// §2.3: ANNOUNCE_WAIT, ANNOUNCE_NUM, ANNOUNCE_INTERVAL; sender and target the address.
#[test]
fn three_probes_then_two_announcements_in_their_time() {
    let mut first_waits = Vec::new();
    let mut spacings = Vec::new();
    for seed in 1..=16 {
        let mut bench = Bench::with_seed(seed);
        bench.lab.run_for(secs(60));
        let sent = bench.lab.heard_arp(bench.tester);
        assert_eq!(sent.len(), 5);
        for arp in &sent {
            assert_eq!(arp.dst, MacAddr::BROADCAST);
        }
        for arp in &sent[..3] {
            assert_eq!(arp.message, bench.probe());
        }
        for arp in &sent[3..] {
            assert_eq!(arp.message, bench.announcement());
        }
        first_waits.push(sent[0].at - bench.start);
        spacings.push(sent[1].at - sent[0].at);
        spacings.push(sent[2].at - sent[1].at);
        assert_eq!(sent[3].at - sent[2].at, secs(2));
        assert_eq!(sent[4].at - sent[3].at, secs(2));
        assert_eq!(bench.timed_conclusions(), [(sent[3].at, Acquired)]);
    }
    assert!(first_waits.iter().all(|wait| *wait <= secs(1)), "{first_waits:?}");
    assert!(spacings.iter().all(|span| (secs(1)..=secs(2)).contains(span)), "{spacings:?}");
    let spread = |spans: &[Duration]| {
        spans.iter().max().unwrap().saturating_sub(*spans.iter().min().unwrap())
    };
    assert!(spread(&first_waits) > millis(300), "random: {first_waits:?}");
    assert!(spread(&spacings) > millis(300), "random: {spacings:?}");
}

/// §2.1: the address MUST NOT be used before the probes have gone unanswered.
#[test]
fn a_tentative_address_is_neither_used_nor_answered_for() {
    let mut bench = Bench::probing();
    bench.lab.run_for(millis(3500));
    assert!(!bench.uses_address());
    let socket = bench.lab.stack(bench.host).open_ping(None).unwrap();
    let sent = bench.lab.send(bench.host, socket, ip(PEER), &echo(0, 1, b""));
    assert_eq!(sent, Err(SocketError::NetworkUnreachable));
    let bound = bench.lab.stack(bench.host).bind(socket, (ip(US), 0).into());
    assert_eq!(bound, Err(SocketError::AddressNotAvailable));
    bench.lab.heard(bench.tester);
    bench.broadcast(arp_request(bench.tester.mac, ip(PEER), ip(US)));
    let packet = Ip::icmp(ip(PEER), ip(US), echo(1, 1, b"")).build();
    bench.lab.inject_ip(bench.tester, bench.host, bench.link, &packet);
    assert!(bench.lab.heard(bench.tester).is_empty());
    assert_eq!(bench.lab.snapshot(bench.host).dropped(DropReason::NotForwarding), 1);
    assert!(bench.lab.stack(bench.host).routes().all(|route| route.link != Some(bench.link)));
    assert_eq!(bench.conclusions(), [], "a question is no claim");
}

/// §2.3: in use from the first announcement on.
#[test]
fn an_acquired_address_is_used_and_answered_for() {
    let mut bench = Bench::probing();
    bench.lab.run_for(millis(7100));
    assert_eq!(bench.conclusions(), [Acquired]);
    assert!(bench.uses_address());
    bench.lab.heard(bench.tester);
    bench.broadcast(arp_request(bench.tester.mac, ip(PEER), ip(US)));
    let answers = bench.lab.heard_arp(bench.tester);
    assert_eq!(answers[0].message.operation, ArpOperation::Reply);
}

/// §2.1.1: any ARP packet, request or reply, whose sender has the address, until ANNOUNCE_WAIT
/// after the last probe.
#[test]
fn a_claim_while_probing_refuses_the_address() {
    let ours = ip(US);
    let claims: [fn(MacAddr, MacAddr, Ipv4Addr) -> Arp; 4] = [
        |theirs, _, ours| arp_request(theirs, ours, ours),
        |theirs, _, ours| arp_request(theirs, ours, ip(PEER)),
        |theirs, mac, ours| arp_reply(theirs, ours, mac, Ipv4Addr::UNSPECIFIED),
        |theirs, _, ours| arp_reply(theirs, ours, theirs, ours),
    ];
    for (n, claim) in claims.iter().enumerate() {
        for after in [millis(1), millis(1200), millis(4500)] {
            let mut bench = Bench::probing();
            bench.lab.run_for(after);
            bench.lab.heard(bench.tester);
            let message = claim(bench.tester.mac, bench.our_mac(), ours);
            bench.broadcast(message);
            assert_eq!(bench.conclusions(), [Conflict], "claim {n} after {after:?}");
            assert!(!bench.has_address());
            bench.lab.run_for(secs(60));
            assert!(bench.lab.heard(bench.tester).is_empty(), "neither probed for nor announced");
            assert!(!bench.uses_address());
            assert_eq!(bench.lab.snapshot(bench.host).arp.conflicts, 1);
        }
    }
}

/// §2.1.1: somebody else who probes for the same address.
#[test]
fn a_rival_probe_refuses_the_address() {
    let mut bench = Bench::probing();
    bench.lab.run_for(millis(1500));
    bench.broadcast(arp_request(bench.tester.mac, Ipv4Addr::UNSPECIFIED, ip(US)));
    assert_eq!(bench.conclusions(), [Conflict]);
    assert!(!bench.has_address());
    assert_eq!(bench.lab.snapshot(bench.host).arp.conflicts, 1);
}

/// §2.1.1: "not the hardware address of any of the host's interfaces".
#[test]
fn our_own_probes_that_come_back_are_no_rivals() {
    let mut bench = Bench::probing();
    let segment = bench.lab.segment();
    let second = bench.lab.attach(bench.host, segment, "");
    let second_mac = bench.lab.mac(bench.host, second);
    bench.lab.run_for(millis(1500));
    bench.broadcast(bench.probe());
    bench.broadcast(arp_request(second_mac, Ipv4Addr::UNSPECIFIED, ip(US)));
    assert_eq!(bench.conclusions(), []);
    bench.lab.run_for(secs(10));
    assert_eq!(bench.conclusions(), [Acquired]);
    // §2.4 says the same of claims.
    bench.broadcast(arp_request(second_mac, ip(US), ip(US)));
    assert_eq!(bench.conclusions(), []);
}

#[test]
fn probes_for_other_addresses_are_no_rivals() {
    let mut bench = Bench::probing();
    bench.lab.run_for(millis(1500));
    bench.broadcast(arp_request(bench.tester.mac, Ipv4Addr::UNSPECIFIED, ip(PEER)));
    bench.broadcast(arp_request(bench.tester.mac, ip(PEER), ip(US)));
    bench.lab.run_for(secs(10));
    assert_eq!(bench.conclusions(), [Acquired]);
}

/// A conflict is a fact about one link.
#[test]
fn a_claim_on_another_link_is_no_conflict() {
    let mut bench = Bench::probing();
    let segment = bench.lab.segment();
    bench.lab.attach(bench.host, segment, "192.0.2.1/24");
    let elsewhere = bench.lab.tester(segment);
    bench.lab.run_for(millis(1500));
    let claim = arp_request(elsewhere.mac, ip(US), ip(US));
    bench.lab.inject(elsewhere, arp_frame(MacAddr::BROADCAST, &claim));
    bench.lab.run_for(secs(10));
    assert_eq!(bench.conclusions(), [Acquired]);
}

/// §2.4 (b): defend by one announcement, and go on.
#[test]
fn the_first_claim_is_answered_by_one_announcement() {
    let mut bench = Bench::acquired();
    bench.claim();
    let defence = bench.lab.heard_arp(bench.tester);
    assert_eq!(defence.len(), 1);
    assert_eq!((defence[0].dst, defence[0].message), (MacAddr::BROADCAST, bench.announcement()));
    assert_eq!(bench.conclusions(), [Defended]);
    bench.lab.run_for(secs(60));
    assert!(bench.lab.heard(bench.tester).is_empty());
    assert!(bench.uses_address());
}

/// §2.4 (b): within DEFEND_INTERVAL the host MUST cease using the address.
#[test]
fn a_second_claim_within_ten_seconds_loses_the_address() {
    let mut bench = Bench::acquired();
    bench.claim();
    bench.lab.run_for(millis(9900));
    bench.lab.heard(bench.tester);
    bench.claim();
    assert!(bench.lab.heard(bench.tester).is_empty(), "not defended again");
    assert_eq!(bench.conclusions(), [Defended, Lost]);
    assert!(!bench.has_address());
    assert!(!bench.uses_address());
    bench.broadcast(arp_request(bench.tester.mac, ip(PEER), ip(US)));
    bench.lab.run_for(secs(60));
    assert!(bench.lab.heard(bench.tester).is_empty());
}

#[test]
fn a_second_claim_after_ten_seconds_is_defended_against_again() {
    let mut bench = Bench::acquired();
    for _ in 0..3 {
        bench.claim();
        assert_eq!(bench.conclusions(), [Defended]);
        assert_eq!(bench.lab.heard_arp(bench.tester).len(), 1);
        bench.lab.run_for(millis(10_100));
    }
    assert!(bench.uses_address());
}

/// §2.4: replies count as requests do, and so does what is sent between the two announcements.
#[test]
fn claims_by_reply_and_during_the_announcement_count() {
    let mut bench = Bench::probing();
    while bench.conclusions().is_empty() {
        bench.lab.run_for(millis(100));
    }
    bench.lab.heard(bench.tester);
    let ours = bench.our_mac();
    let reply = arp_reply(bench.tester.mac, ip(US), ours, ip(US));
    bench.lab.inject(bench.tester, arp_frame(ours, &reply));
    assert_eq!(bench.conclusions(), [Defended]);
    bench.lab.run_for(secs(5));
    let sent = bench.lab.heard_arp(bench.tester);
    assert_eq!(sent.len(), 2, "the defence and the second announcement");
    assert!(sent.iter().all(|arp| arp.message == bench.announcement()));
}

/// §2.1.1: a probe is a question, not a claim.
#[test]
fn a_probe_for_an_acquired_address_is_answered_not_fought() {
    let mut bench = Bench::acquired();
    bench.broadcast(arp_request(bench.tester.mac, Ipv4Addr::UNSPECIFIED, ip(US)));
    let answers = bench.lab.heard_arp(bench.tester);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].message.operation, ArpOperation::Reply);
    assert_eq!(bench.conclusions(), []);
}

/// The whole protocol between two stacks: the first keeps the address, the second learns that it
/// is taken.
#[test]
fn of_two_hosts_the_first_keeps_the_address() {
    let mut lab = Lab::new();
    let segment = lab.segment();
    let hosts = [lab.host("a"), lab.host("b")];
    let mut outcome = Vec::new();
    for host in hosts {
        let link = lab.attach(host, segment, "");
        let now = lab.now();
        let stack = lab.stack(host);
        stack.interface_config(link).unwrap().conflict_detection = true;
        stack.add_address(now, link, "10.0.0.1/24".parse().unwrap()).unwrap();
        lab.run_for(secs(30));
    }
    for host in hosts {
        outcome.push(stages(&lab.events(host)).into_iter().filter(|s| s.starts_with("10.0.0.1 ")));
    }
    let outcome: Vec<Vec<String>> = outcome.into_iter().map(Iterator::collect).collect();
    assert_eq!(outcome, [vec!["10.0.0.1 Acquired"], vec!["10.0.0.1 Conflict"]]);
}

/// §2.1.1: of two hosts that probe at once none takes the address without the other noticing.
#[test]
fn two_hosts_that_probe_at_once_do_not_both_get_the_address() {
    let mut lab = Lab::new();
    let segment = lab.segment();
    let hosts = [lab.host("a"), lab.host("b")];
    for host in hosts {
        let link = lab.attach(host, segment, "");
        let now = lab.now();
        let stack = lab.stack(host);
        stack.interface_config(link).unwrap().conflict_detection = true;
        stack.add_address(now, link, "10.0.0.1/24".parse().unwrap()).unwrap();
    }
    lab.run_for(secs(30));
    let acquired = |lab: &mut Lab, host| {
        stages(&lab.events(host)).iter().any(|stage| stage == "10.0.0.1 Acquired")
    };
    let count = hosts.into_iter().filter(|host| acquired(&mut lab, *host)).count();
    assert!(count <= 1, "{count} hosts have it");
}

/// §2.1: when the link comes up again the address is probed for anew.
#[test]
fn a_link_that_comes_up_again_probes_again() {
    let mut bench = Bench::acquired();
    let (now, link) = (bench.lab.now(), bench.link);
    bench.lab.stack(bench.host).set_link_up(now, link, false).unwrap();
    bench.lab.run_for(secs(100));
    let now = bench.lab.now();
    bench.lab.stack(bench.host).set_link_up(now, link, true).unwrap();
    assert!(!bench.uses_address());
    bench.lab.run_for(secs(20));
    let sent = bench.lab.heard_arp(bench.tester);
    assert_eq!(sent.len(), 5);
    assert!(sent[..3].iter().all(|arp| arp.message == bench.probe()));
    assert!(sent[3..].iter().all(|arp| arp.message == bench.announcement()));
    assert_eq!(bench.conclusions(), [Acquired]);
    assert!(bench.uses_address());
}

/// The same for an address that was given to a link that was down.
#[test]
fn an_address_of_a_link_that_is_down_waits_for_the_link() {
    let mut bench = Bench::acquired();
    let (now, link) = (bench.lab.now(), bench.link);
    let stack = bench.lab.stack(bench.host);
    stack.remove_address(now, link, IpAddr::V4(ip(US))).unwrap();
    stack.set_link_up(now, link, false).unwrap();
    bench.add_address();
    bench.lab.run_for(secs(100));
    assert_eq!(bench.conclusions(), [], "nobody could have objected");
    let now = bench.lab.now();
    bench.lab.stack(bench.host).set_link_up(now, link, true).unwrap();
    bench.lab.run_for(secs(20));
    assert_eq!(bench.conclusions(), [Acquired]);
    assert_eq!(bench.lab.heard_arp(bench.tester).len(), 5);
}

#[test]
fn a_removed_address_is_neither_probed_for_nor_defended() {
    for after in [millis(1500), secs(20)] {
        let mut bench = Bench::probing();
        bench.lab.run_for(after);
        let (now, link) = (bench.lab.now(), bench.link);
        bench.lab.stack(bench.host).remove_address(now, link, IpAddr::V4(ip(US))).unwrap();
        bench.lab.heard(bench.tester);
        bench.lab.events(bench.host);
        bench.claim();
        bench.lab.run_for(secs(60));
        assert!(bench.lab.heard(bench.tester).is_empty());
        assert_eq!(bench.conclusions(), []);
    }
}

/// Without the option an address is used at once, nothing is sent, and conflicts are only counted.
#[test]
fn without_detection_an_address_is_used_at_once_and_conflicts_are_counted() {
    let (mut lab, host, link, tester) = Lab::with_tester("10.0.0.1/24");
    let source = lab.stack(host).source_for(IpAddr::V4(ip(PEER)));
    assert_eq!(source, Ok(IpAddr::V4(ip(US))));
    for _ in 0..3 {
        let claim = arp_request(tester.mac, ip(US), ip(US));
        lab.inject(tester, arp_frame(MacAddr::BROADCAST, &claim));
    }
    lab.run_for(secs(60));
    assert!(lab.heard(tester).is_empty());
    assert_eq!(lab.snapshot(host).arp.conflicts, 3);
    assert_eq!(lab.stack(host).interfaces().get(link).unwrap().addresses().len(), 1);
}

/// Each address of a link is watched by itself.
#[test]
fn a_conflict_about_one_address_leaves_the_others() {
    let mut bench = Bench::acquired();
    let (now, link) = (bench.lab.now(), bench.link);
    let second = "10.0.0.77/24".parse().unwrap();
    bench.lab.stack(bench.host).add_address(now, link, second).unwrap();
    bench.lab.run_for(millis(1500));
    bench.broadcast(arp_request(bench.tester.mac, ip("10.0.0.77"), ip("10.0.0.77")));
    assert!(bench.uses_address());
    let interface = bench.lab.stack(bench.host).interfaces().get(link).unwrap();
    let left: Vec<Ipv4Addr> = interface.addresses().iter().map(|a| a.cidr.addr()).collect();
    assert_eq!(left, [ip(US)]);
}
