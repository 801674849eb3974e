//! The kernel's side acts on the stack with the programs everybody has, while the stack itself
//! pings.

use std::collections::BTreeSet;

use tapping_drivers::testing::in_namespace;

use super::world::{KERNEL, NEAR, Namespace, OURS, Wire};
use crate::common::{Said, timeless};

/// What `tapping` makes of its address when it is not told a link-layer address.
const OUR_MAC: &str = "02:74:0a:00:00:02";

/// Runs `body` beside a stack that pings the kernel slowly; the stack must not lose anything
/// meanwhile.
fn beside_the_stack(body: impl FnOnce(&Namespace)) {
    let here = Namespace::here();
    let wire = Wire::new(&here);
    here.must(&format!("ip address add {KERNEL}/24 broadcast + dev {NEAR}"));
    let stack = wire.start(&format!("--addr {OURS}/24 -i 0.2 {KERNEL}"));
    body(&here);
    let said = stack.stop().good();
    let summary = said.out.rsplit("ping statistics ---\n").next().unwrap_or_default();
    let number = |words: &str| -> Option<u64> {
        summary.split_once(words)?.0.rsplit([' ', '\n']).next()?.parse().ok()
    };
    let (sent, received) = (number(" packets transmitted,"), number(" received,"));
    // The interrupt may come between the last request and its reply.
    let lost = sent.zip(received).map(|(sent, received)| sent - received);
    assert!(matches!(lost, Some(0 | 1)), "{said:#?}");
}

/// Checks that `count` requests had each its one reply, whole.
#[track_caller]
fn all_replied(said: &Said, count: usize) {
    let summary =
        format!("\n{count} packets transmitted, {count} received, 0% packet loss, time Nms\n");
    assert!(timeless(&said.out).contains(&summary), "{said:#?}");
    for wrong in ["DUP!", "truncated", "wrong data", "BAD CHECKSUM", "errors", "From ", "corrupted"]
    {
        assert!(!said.out.contains(wrong), "{wrong} in {said:#?}");
    }
}

#[test]
fn ping_at_all_sizes() {
    in_namespace(|| {
        beside_the_stack(|here| {
            all_replied(&here.must(&format!("ping -c 3 -i 0.01 {OURS}")), 3);
            for size in [0, 1, 15, 16, 1472, 1473, 8000, 65_507] {
                let said = here.must(&format!("ping -c 3 -i 0.01 -s {size} {OURS}"));
                all_replied(&said, 3);
                let line = format!("\n{} bytes from {OURS}: icmp_seq=3 ttl=64", size + 8);
                assert!(said.out.contains(&line), "{said:#?}");
            }
        });
    });
}

#[test]
fn flood() {
    in_namespace(|| {
        beside_the_stack(|here| {
            all_replied(&here.must(&format!("ping -q -f -c 1000 {OURS}")), 1000);
            all_replied(&here.must(&format!("ping -q -f -c 200 -s 4000 {OURS}")), 200);
            all_replied(&here.must(&format!("ping -q -A -c 200 -l 3 {OURS}")), 200);
        });
    });
}

/// `ping` checks that the data comes back as it went; with -v it would tell the byte that is not.
#[test]
fn patterns_come_back() {
    in_namespace(|| {
        beside_the_stack(|here| {
            for pattern in ["ff", "00", "ff00", "0123456789abcdef0123456789abcdef"] {
                let said = here.must(&format!("ping -c 2 -i 0.01 -p {pattern} -s 1999 {OURS}"));
                all_replied(&said, 2);
            }
        });
    });
}

/// The four addresses: twice at each end, on the way there and on the way back.
#[test]
fn record_route() {
    in_namespace(|| {
        beside_the_stack(|here| {
            let said = here.must(&format!("ping -c 2 -i 0.01 -R {OURS}"));
            all_replied(&said, 2);
            let route = format!("\nRR: \t{KERNEL}\n\t{OURS}\n\t{OURS}\n\t{KERNEL}\n");
            assert!(said.out.contains(&route), "{said:#?}");
            assert!(said.out.contains("\t(same route)\n"), "{said:#?}");
        });
    });
}

#[test]
fn timestamps() {
    in_namespace(|| {
        beside_the_stack(|here| {
            let said = here.must(&format!("ping -c 2 -i 0.01 -T tsonly {OURS}"));
            all_replied(&said, 2);
            assert_eq!(stamps(&said), [vec![""; 4], vec![""; 4]], "{said:#?}");
            let said = here.must(&format!("ping -c 2 -i 0.01 -T tsandaddr {OURS}"));
            all_replied(&said, 2);
            assert_eq!(stamps(&said), [[KERNEL, OURS, OURS, KERNEL]; 2], "{said:#?}");
            let said =
                here.must(&format!("ping -c 2 -i 0.01 -T tsprespec {KERNEL} {OURS} {OURS} {OURS}"));
            all_replied(&said, 2);
            // Two of the three places for our address are used: on arrival and on departure.
            assert_eq!(stamps(&said), [[KERNEL, OURS, OURS]; 2], "{said:#?}");
        });
    });
}

/// The address of each time in each reply; empty without addresses. Both ends have the same clock,
/// so the times, which are differences but for the first, are small.
fn stamps(said: &Said) -> Vec<Vec<&str>> {
    let replies = said.out.split("TS: ").skip(1);
    let entries = replies.map(|reply| {
        reply.lines().take_while(|line| !line.is_empty()).map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (address, time) = match words[..] {
                [time] | [time, "absolute"] => ("", time),
                [address, time] | [address, time, "absolute"] => (address, time),
                _ => panic!("{line:?} in {said:#?}"),
            };
            let time: i64 = time.parse().unwrap_or_else(|_| panic!("{line:?} in {said:#?}"));
            assert!(line.ends_with("absolute") == (time.abs() > 60_000), "{line:?} in {said:#?}");
            address
        })
    });
    entries.map(Iterator::collect).collect()
}

#[test]
fn what_does_not_fit_and_what_is_marked() {
    in_namespace(|| {
        beside_the_stack(|here| {
            let said = here.run(&format!("ping -c 1 -M do -s 1473 {OURS}")).status(1);
            assert_eq!(said.err, "ping: local error: message too long, mtu=1500\n");
            all_replied(&here.must(&format!("ping -c 1 -M do -s 1472 {OURS}")), 1);
            for tos in ["0x10", "0xfc", "0x01"] {
                all_replied(&here.must(&format!("ping -c 1 -Q {tos} {OURS}")), 1);
            }
        });
    });
}

/// As Linux: `icmp_echo_ignore_broadcasts`.
#[test]
fn broadcasts_are_not_answered() {
    in_namespace(|| {
        beside_the_stack(|here| {
            for group in ["10.0.0.255", "255.255.255.255", "224.0.0.1"] {
                let said =
                    here.run(&format!("ping -b -I {NEAR} -c 2 -i 0.1 -W 0.3 {group}")).status(1);
                let summary = "\n2 packets transmitted, 0 received, 100% packet loss";
                assert!(said.out.contains(summary), "{said:#?}");
            }
        });
    });
}

#[test]
fn arping_gets_the_right_address() {
    in_namespace(|| {
        beside_the_stack(|here| {
            let reply = format!("Unicast reply from {OURS} [{}]", OUR_MAC.to_uppercase());
            for how in ["", "-b"] {
                let said = here.must(&format!("arping -I {NEAR} {how} -c 3 -i 1 {OURS}"));
                assert_eq!(said.out.matches(&reply).count(), 3, "{said:#?}");
                assert!(said.out.ends_with("\nReceived 3 response(s)\n"), "{said:#?}");
            }
            // Duplicate address detection: status 1 says that the address is in use.
            let said = here.run(&format!("arping -I {NEAR} -D -c 2 {OURS}")).status(1);
            assert!(said.out.contains(&reply), "{said:#?}");
            assert!(said.out.ends_with("\nReceived 1 response(s)\n"), "{said:#?}");
            let said = here.run(&format!("arping -I {NEAR} -D -c 1 -w 1 10.0.0.77"));
            assert!(said.out.ends_with("\nReceived 0 response(s)\n"), "{said:#?}");
            // Somebody else's announcement does not turn the stack's head.
            here.run(&format!("arping -I {NEAR} -A -c 1 10.0.0.78"));
            here.run(&format!("arping -I {NEAR} -U -c 1 10.0.0.78"));
            all_replied(&here.must(&format!("ping -c 1 {OURS}")), 1);
        });
    });
}

#[test]
fn traceroute_takes_one_hop() {
    in_namespace(|| {
        beside_the_stack(|here| {
            for how in ["-U", "-I"] {
                let said = here.must(&format!("traceroute -n {how} {OURS}"));
                let expected = format!(
                    "traceroute to {OURS} ({OURS}), 30 hops max, 60 byte packets\n \
                     1  {OURS}  N ms  N ms  N ms\n"
                );
                assert_eq!(timeless(&said.out), expected, "{said:#?}");
            }
        });
    });
}

#[test]
fn the_kernel_finds_its_neighbour_reachable() {
    in_namespace(|| {
        beside_the_stack(|here| {
            here.must(&format!("ip neighbour flush dev {NEAR}"));
            all_replied(&here.must(&format!("ping -c 1 {OURS}")), 1);
            let said = here.must(&format!("ip neighbour show {OURS}"));
            let lines: BTreeSet<&str> = said.out.lines().map(str::trim_end).collect();
            let expected = format!("{OURS} dev {NEAR} lladdr {OUR_MAC} REACHABLE");
            assert_eq!(lines, BTreeSet::from([expected.as_str()]), "{said:#?}");
        });
    });
}
