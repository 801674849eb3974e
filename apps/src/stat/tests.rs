//! Against what net-tools 2.10 and nstat of iproute2 6.1 printed about the same counters.

use super::*;
use crate::control::model::{About, Counts, Group, Link};

/// The counters of a stack that has seen nothing, with some set.
fn counters(set: &[(&str, &str, u64)]) -> Counters {
    let stack = tapping_stack::Stack::new(tapping_stack::Config::default(), 1);
    let mut groups: Vec<Group> = crate::control::groups(&stack.snapshot());
    for (group, name, value) in set {
        let group = groups.iter_mut().find(|known| known.name == *group).expect("a group");
        let counter = group.counters.iter_mut().find(|(known, _)| known == name);
        counter.expect("a counter").1 = *value;
    }
    Counters {
        groups,
        drops: Vec::new(),
        forwarding: true,
        default_ttl: 64,
        sockets: Counts { tcp: 3, time_wait: 2, requests: 1, orphans: 0 },
    }
}

const EVERYTHING: Wanted = Wanted { ip: true, tcp: true, udp: true, more: true };

#[test]
fn nothing_is_told_of_what_did_not_happen() {
    let expected = "\
Ip:
    Forwarding: 1
    0 total packets received
    0 forwarded
    0 incoming packets discarded
    0 incoming packets delivered
    0 requests sent out
Icmp:
    0 ICMP messages received
    0 input ICMP message failed
    ICMP input histogram:
    0 ICMP messages sent
    0 ICMP messages failed
    ICMP output histogram:
Tcp:
    0 active connection openings
    0 passive connection openings
    0 failed connection attempts
    0 connection resets received
    0 connections established
    0 segments received
    0 segments sent out
    0 segments retransmitted
    0 bad segments received
    0 resets sent
Udp:
    0 packets received
    0 packets to unknown port received
    0 packet receive errors
    0 packets sent
    0 receive buffer errors
    0 send buffer errors
TcpExt:
IpExt:
";
    assert_eq!(words::text(&counters(&[]), &Wanted { more: false, ..EVERYTHING }), expected);
}

#[test]
fn counters_have_the_words_of_netstat() {
    let mut counters = counters(&[
        ("Ip", "InReceives", 6),
        ("Ip", "InHdrErrors", 7),
        ("Ip", "OutNoRoutes", 15),
        ("Ip", "OutTransmits", 23),
        ("Icmp", "InCsumErrors", 26),
        ("Icmp", "InDestUnreachs", 27),
        ("Icmp", "InAddrMaskReps", 37),
        ("Icmp", "OutRateLimitGlobal", 40),
        ("Icmp", "OutTimeExcds", 43),
        ("Tcp", "InCsumErrors", 68),
        ("Udp", "IgnoredMulti", 76),
        ("TcpExt", "SyncookiesFailed", 6),
        ("TcpExt", "DelayedACKLost", 25),
        ("TcpExt", "TCPSackRecovery", 32),
        ("TcpExt", "TCPSACKReorder", 34),
        ("TcpExt", "TCPChallengeACK", 89),
        ("IpExt", "InOctets", 145),
        ("Arp", "InRequests", 3),
    ]);
    counters.drops = vec![("NoSocket".into(), 4)];
    let text = words::text(&counters, &EVERYTHING);
    let lines: Vec<&str> = text.lines().collect();
    let in_order = [
        "    6 total packets received",
        "    7 with invalid headers",
        "    15 dropped because of missing route",
        "    OutTransmits: 23",
        "Icmp:",
        "    InCsumErrors: 26",
        "    ICMP input histogram:",
        "        destination unreachable: 27",
        "        address mask replies: 37",
        "    0 ICMP messages sent",
        "    OutRateLimitGlobal: 40",
        "    ICMP output histogram:",
        "        time exceeded: 43",
        "    InCsumErrors: 68",
        "    IgnoredMulti: 76",
        "TcpExt:",
        "    6 invalid SYN cookies received",
        "    Quick ack mode was activated 25 times",
        "    Detected reordering 34 times using SACK",
        "    TCPSackRecovery: 32",
        "    TCPChallengeACK: 89",
        "IpExt:",
        "    InOctets: 145",
        "Arp:",
        "    InRequests: 3",
        "Drops:",
        "    NoSocket: 4",
    ];
    let mut at = 0;
    for line in in_order {
        let found = lines[at..].iter().position(|other| *other == line);
        at += found.unwrap_or_else(|| panic!("no {line:?} from {at} on in:\n{text}"));
    }
}

#[test]
fn every_worded_counter_exists() {
    // A word for a counter of another name would never be told.
    let all = counters(&[]);
    let names: Vec<(String, String)> = all
        .groups
        .iter()
        .flat_map(|group| group.counters.iter().map(|(name, _)| (group.name.clone(), name.clone())))
        .collect();
    for (group, name) in &names {
        let text = words::text(&counters(&[(group, name, 987_654)]), &EVERYTHING);
        assert_eq!(text.matches("987654").count(), 1, "{group} {name}");
    }
}

#[test]
fn groups_can_be_chosen() {
    let text = |wanted| words::text(&counters(&[]), &wanted);
    let headings = |wanted| -> Vec<String> {
        let heading = |line: &&str| !line.starts_with(' ');
        text(wanted).lines().filter(heading).map(str::to_string).collect()
    };
    let none = Wanted { ip: false, tcp: false, udp: false, more: false };
    assert_eq!(headings(Wanted { tcp: true, ..none }), ["Tcp:", "TcpExt:"]);
    assert_eq!(headings(Wanted { udp: true, ..none }), ["Udp:"]);
    assert_eq!(headings(Wanted { ip: true, ..none }), ["Ip:", "Icmp:", "IpExt:"]);
}

#[test]
fn raw_names_are_those_of_nstat() {
    let counters = counters(&[("Ip", "InReceives", 833), ("TcpExt", "DelayedACKs", 3)]);
    assert_eq!(
        nstat(&counters, EVERYTHING, false),
        "#kernel\n\
         IpInReceives                    833                0.0\n\
         TcpExtDelayedACKs               3                  0.0\n"
    );
    let all = nstat(&counters, EVERYTHING, true);
    assert!(all.contains("\nUdpInDatagrams                  0                  0.0\n"), "{all}");
    let value = as_json(&counters, EVERYTHING);
    assert_eq!(value["kernel"]["IpInReceives"], 833);
    assert_eq!(value["kernel"]["TcpInSegs"], 0);
}

#[test]
fn metrics_are_well_formed() {
    let about = About { name: "a\"b\\c\n".into(), pid: 7, version: "1.2".into(), shards: 1 };
    let mut counters = counters(&[("Tcp", "CurrEstab", 5), ("Ip", "InReceives", 9)]);
    counters.drops = vec![("NoSocket".into(), 4), ("LinkDown".into(), 1)];
    let link = |name: &str| Link {
        ifindex: 1,
        name: name.into(),
        kind: "loopback".into(),
        mac: None,
        mtu: 1500,
        up: true,
        promiscuous: false,
        txqlen: 1000,
        backlog: 2,
        tx_checksum: false,
        max_gso_size: 0,
        addresses: vec![],
        counters: vec![("rx_bytes".into(), 11)],
    };
    let text = openmetrics::text(&about, &counters, &[link("lo"), link("tap0")]);
    assert!(text.ends_with("\n# EOF\n"));
    for line in [
        "# TYPE tapping_stack info",
        "tapping_stack_info{name=\"a\\\"b\\\\c\\n\",pid=\"7\",version=\"1.2\"} 1",
        "# TYPE tapping_netstat_Ip_InReceives counter",
        "tapping_netstat_Ip_InReceives_total 9",
        "# TYPE tapping_netstat_Tcp_CurrEstab gauge",
        "tapping_netstat_Tcp_CurrEstab 5",
        "tapping_drops_total{reason=\"NoSocket\"} 4",
        "tapping_tcp_sockets{kind=\"time_wait\"} 2",
        "tapping_link_rx_bytes_total{link=\"tap0\"} 11",
        "tapping_link_backlog{link=\"lo\"} 2",
    ] {
        assert!(text.lines().any(|other| other == line), "no {line} in:\n{text}");
    }
    // Each family once, its samples right behind its description.
    let mut seen = std::collections::HashSet::new();
    let mut family = String::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().expect("a name").to_string();
            assert!(seen.insert(family.clone()), "{family} twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&family), "{line} in {family}");
            let value = line.rsplit(' ').next().expect("a value");
            assert!(value.parse::<u64>().is_ok(), "{line}");
        }
    }
}
