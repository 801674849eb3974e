//! Against what iproute2 6.1 printed about a kernel in the same state.

use std::net::IpAddr;

use super::parse::{Asked, What, parse};
use super::*;
use crate::control::model::{Address, Link, Neighbour, Route};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn address(local: &str, prefix_len: u8, broadcast: Option<&str>) -> Address {
    let broadcast = broadcast.map(ip);
    Address { local: ip(local), prefix_len, broadcast, secondary: false, tentative: false }
}

fn link(ifindex: u32, name: &str, kind: &str, mtu: usize, addresses: Vec<Address>) -> Link {
    Link {
        ifindex,
        name: name.into(),
        kind: kind.into(),
        mac: (kind == "ether").then(|| "c6:14:95:7c:71:e6".into()),
        mtu,
        up: true,
        promiscuous: false,
        txqlen: 1000,
        backlog: 0,
        tx_checksum: false,
        max_gso_size: 0,
        addresses,
        counters: Vec::new(),
    }
}

fn links() -> Vec<Link> {
    let broadcast = Some("10.9.9.255");
    let more = Address { secondary: true, ..address("10.9.9.7", 24, None) };
    let mut ether = link(
        3,
        "v0",
        "ether",
        1500,
        vec![address("10.9.9.1", 24, broadcast), address("10.8.0.1", 32, None), more],
    );
    let counted = [("rx_bytes", 176), ("rx_packets", 2), ("tx_bytes", 222), ("tx_packets", 3)];
    ether.counters = counted.map(|(name, n)| (name.to_string(), n)).into();
    let mut tun = link(4, "tun0", "none", 1500, vec![]);
    (tun.up, tun.txqlen) = (false, 500);
    vec![link(1, "lo", "loopback", 65_536, vec![address("127.0.0.1", 8, None)]), ether, tun]
}

fn route(destination: &str, prefix_len: u8, kind: &str) -> Route {
    Route {
        destination: ip(destination),
        prefix_len,
        kind: kind.into(),
        table: "main".into(),
        protocol: "boot".into(),
        scope: "global".into(),
        gateway: None,
        dev: None,
        metric: 0,
        source: None,
        mtu: None,
        onlink: false,
        linkdown: false,
    }
}

fn routes() -> Vec<Route> {
    let v0 = || Some("v0".to_string());
    let kernel = |route: Route, scope: &str, source: &str| Route {
        protocol: "kernel".into(),
        scope: scope.into(),
        source: Some(ip(source)),
        ..route
    };
    let local = |route: Route| Route { table: "local".into(), ..route };
    vec![
        local(kernel(Route { dev: v0(), ..route("10.9.9.1", 32, "local") }, "host", "10.9.9.1")),
        local(kernel(
            Route { dev: v0(), linkdown: true, ..route("10.9.9.255", 32, "broadcast") },
            "link",
            "10.9.9.1",
        )),
        Route {
            gateway: Some(ip("10.9.9.254")),
            dev: v0(),
            linkdown: true,
            ..route("0.0.0.0", 0, "unicast")
        },
        Route {
            gateway: Some(ip("10.9.9.253")),
            dev: v0(),
            protocol: "static".into(),
            metric: 5,
            linkdown: true,
            mtu: Some(1400),
            ..route("1.2.3.0", 24, "unicast")
        },
        Route {
            gateway: Some(ip("8.8.8.8")),
            dev: v0(),
            source: Some(ip("10.9.9.7")),
            onlink: true,
            linkdown: true,
            ..route("7.7.7.7", 32, "unicast")
        },
        route("9.9.8.1", 32, "unreachable"),
        route("9.9.9.0", 24, "blackhole"),
        kernel(Route { dev: v0(), ..route("10.9.9.0", 24, "unicast") }, "link", "10.9.9.1"),
    ]
}

fn neighbours() -> Vec<Neighbour> {
    let one = |address: &str, mac: Option<&str>, state: &str, confirmed, probes| Neighbour {
        address: ip(address),
        dev: "v0".into(),
        mac: mac.map(Into::into),
        state: state.into(),
        used: 999_999,
        confirmed,
        updated: 1_000_000,
        probes,
    };
    vec![
        one("10.9.9.8", None, "FAILED", 60_000_000, 0),
        one("10.9.9.9", None, "INCOMPLETE", 60_000_000, 4),
        one("10.9.9.5", Some("02:00:00:00:00:05"), "PERMANENT", 0, 0),
    ]
}

/// What a command line prints.
fn said(line: &str) -> String {
    let words = line.split_whitespace().map(Into::into).collect();
    let Asked { options, what, .. } =
        parse(&IpArgs { stack: None, words }).expect("it makes sense").expect("it is no help");
    let json = matches!(options.format, Format::Json { .. });
    let of = |text: String, json_text: Json| match json {
        true => serde_json::to_string(&json_text).expect("it is JSON"),
        false => text,
    };
    match &what {
        What::Links(wanted) => of(
            super::links::text(&links(), wanted, &options),
            super::links::json(&links(), wanted, &options),
        ),
        What::Routes(wanted) => of(
            super::routes::text(&routes(), wanted, &options),
            super::routes::json(&routes(), wanted, &options),
        ),
        What::Neighbours(wanted) => of(
            super::neighbours::text(&neighbours(), wanted, &options),
            super::neighbours::json(&neighbours(), wanted, &options),
        ),
    }
}

#[test]
fn links_are_told_as_ip_does() {
    let expected = "\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
3: v0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc pfifo state UP mode DEFAULT group default qlen 1000
    link/ether c6:14:95:7c:71:e6 brd ff:ff:ff:ff:ff:ff
4: tun0: <POINTOPOINT,MULTICAST,NOARP> mtu 1500 qdisc pfifo state DOWN mode DEFAULT group default qlen 500
    link/none 
";
    assert_eq!(said("link"), expected);
    assert_eq!(
        said("l show up dev lo"),
        expected.lines().take(2).map(|l| format!("{l}\n")).collect::<String>()
    );
    assert_eq!(
        said("-br link"),
        "lo               UNKNOWN        00:00:00:00:00:00 <LOOPBACK,UP,LOWER_UP> \n\
         v0               UP             c6:14:95:7c:71:e6 <BROADCAST,MULTICAST,UP,LOWER_UP> \n\
         tun0             DOWN           <POINTOPOINT,MULTICAST,NOARP> \n"
    );
    assert_eq!(
        said("-o link show lo"),
        "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group \
         default qlen 1000\\    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n"
    );
}

#[test]
fn statistics_stand_in_columns() {
    let text = said("-s link show v0");
    let below: Vec<&str> = text.lines().skip(2).collect();
    let expected = [
        "    RX:  bytes packets errors dropped  missed   mcast           ",
        "           176       2      0       0       0       0 ",
        "    TX:  bytes packets errors dropped carrier collsns           ",
        "           222       3      0       0       0       0 ",
    ];
    assert_eq!(below, expected);
    let text = said("-s -s link show v0");
    let below: Vec<&str> = text.lines().skip(4).take(2).collect();
    let expected = [
        "    RX errors:  length    crc   frame    fifo overrun",
        "                     0      0       0       0       0 ",
    ];
    assert_eq!(below, expected);
    let mut long = links();
    long[1].counters =
        vec![("rx_bytes".into(), 123_456_789_012), ("rx_packets".into(), 12_345_678)];
    let wanted = super::links::Wanted { dev: Some("v0".into()), ..Default::default() };
    let options = Options { statistics: 1, ..Options::default() };
    let text = super::links::text(&long, &wanted, &options);
    assert_eq!(
        text.lines().nth(3),
        Some("    123456789012 12345678      0       0       0       0 "),
    );
}

#[test]
fn addresses_are_told_as_ip_does() {
    assert_eq!(
        said("addr show v0"),
        "\
3: v0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc pfifo state UP group default qlen 1000
    link/ether c6:14:95:7c:71:e6 brd ff:ff:ff:ff:ff:ff
    inet 10.9.9.1/24 brd 10.9.9.255 scope global v0
       valid_lft forever preferred_lft forever
    inet 10.8.0.1/32 scope global v0
       valid_lft forever preferred_lft forever
    inet 10.9.9.7/24 scope global secondary v0
       valid_lft forever preferred_lft forever
"
    );
    assert_eq!(
        said("-4 a s lo"),
        "\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000
    inet 127.0.0.1/8 scope host lo
       valid_lft forever preferred_lft forever
"
    );
    assert_eq!(
        said("-brief a"),
        "lo               UNKNOWN        127.0.0.1/8 \n\
         v0               UP             10.9.9.1/24 10.8.0.1/32 10.9.9.7/24 \n\
         tun0             DOWN           \n"
    );
    assert_eq!(
        said("-o addr").lines().nth(1),
        Some(
            "3: v0    inet 10.9.9.1/24 brd 10.9.9.255 scope global v0\\       valid_lft forever preferred_lft forever"
        )
    );
    assert_eq!(
        said("-j addr show lo"),
        r#"[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,"qdisc":"noqueue","operstate":"UNKNOWN","group":"default","txqlen":1000,"link_type":"loopback","address":"00:00:00:00:00:00","broadcast":"00:00:00:00:00:00","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host","label":"lo","valid_life_time":4294967295,"preferred_life_time":4294967295}]}]"#
    );
    assert_eq!(
        said("-j -br addr show v0"),
        r#"[{"ifname":"v0","operstate":"UP","addr_info":[{"local":"10.9.9.1","prefixlen":24},{"local":"10.8.0.1","prefixlen":32},{"local":"10.9.9.7","prefixlen":24}]}]"#
    );
    let counted = said("-j -s link show v0");
    let expected = r#""stats64":{"rx":{"bytes":176,"packets":2,"errors":0,"dropped":0,"over_errors":0,"multicast":0},"tx":{"bytes":222,"packets":3,"errors":0,"dropped":0,"carrier_errors":0,"collisions":0}}}]"#;
    assert!(counted.ends_with(expected), "{counted}");
}

#[test]
fn routes_are_told_as_ip_does() {
    let main = "\
default via 10.9.9.254 dev v0 linkdown 
1.2.3.0/24 via 10.9.9.253 dev v0 proto static metric 5 linkdown mtu 1400 
7.7.7.7 via 8.8.8.8 dev v0 src 10.9.9.7 onlink linkdown 
unreachable 9.9.8.1 
blackhole 9.9.9.0/24 
10.9.9.0/24 dev v0 proto kernel scope link src 10.9.9.1 
";
    assert_eq!(said("route"), main);
    assert_eq!(
        said("r list table local"),
        "local 10.9.9.1 dev v0 proto kernel scope host src 10.9.9.1 \n\
         broadcast 10.9.9.255 dev v0 proto kernel scope link src 10.9.9.1 linkdown \n"
    );
    let all = said("route show table all");
    assert!(all.starts_with(main), "{all}");
    assert!(
        all.contains("\nlocal 10.9.9.1 dev v0 table local proto kernel scope host src "),
        "{all}"
    );
    assert_eq!(said("route show default"), "default via 10.9.9.254 dev v0 linkdown \n");
    assert_eq!(said("route show 9.9.8.1"), "unreachable 9.9.8.1 \n");
    assert_eq!(said("route show dev v0 proto kernel"), "10.9.9.0/24 scope link src 10.9.9.1 \n");
    assert_eq!(said("route show scope link"), "10.9.9.0/24 dev v0 proto kernel src 10.9.9.1 \n");
    assert_eq!(said("route show via 8.8.8.8"), "7.7.7.7 dev v0 src 10.9.9.7 onlink linkdown \n");
    assert_eq!(said("route show type blackhole"), "blackhole 9.9.9.0/24 \n");
    assert_eq!(
        said("-d route show 1.2.3.0/24"),
        "unicast 1.2.3.0/24 via 10.9.9.253 dev v0 proto static scope global metric 5 linkdown mtu 1400 \n"
    );
    assert_eq!(
        said("-j route"),
        r#"[{"dst":"default","gateway":"10.9.9.254","dev":"v0","flags":["linkdown"]},{"dst":"1.2.3.0/24","gateway":"10.9.9.253","dev":"v0","protocol":"static","metric":5,"flags":["linkdown"],"metrics":[{"mtu":1400}]},{"dst":"7.7.7.7","gateway":"8.8.8.8","dev":"v0","prefsrc":"10.9.9.7","flags":["onlink","linkdown"]},{"type":"unreachable","dst":"9.9.8.1","flags":[]},{"type":"blackhole","dst":"9.9.9.0/24","flags":[]},{"dst":"10.9.9.0/24","dev":"v0","protocol":"kernel","scope":"link","prefsrc":"10.9.9.1","flags":[]}]"#
    );
}

#[test]
fn neighbours_are_told_as_ip_does() {
    assert_eq!(
        said("neigh"),
        "10.9.9.8 dev v0 FAILED \n\
         10.9.9.9 dev v0 INCOMPLETE \n\
         10.9.9.5 dev v0 lladdr 02:00:00:00:00:05 PERMANENT \n"
    );
    assert_eq!(
        said("-s n"),
        "10.9.9.8 dev v0  used 0/60/1probes 0 FAILED \n\
         10.9.9.9 dev v0  used 0/60/1probes 4 INCOMPLETE \n\
         10.9.9.5 dev v0 lladdr 02:00:00:00:00:05  used 0/0/1probes 0 PERMANENT \n"
    );
    assert_eq!(
        said("-br neighbor"),
        "10.9.9.8                                v0               \n\
         10.9.9.9                                v0               \n\
         10.9.9.5                                v0               02:00:00:00:00:05\n"
    );
    assert_eq!(
        said("neigh show dev v0 nud permanent"),
        "10.9.9.5 lladdr 02:00:00:00:00:05 PERMANENT \n"
    );
    assert_eq!(said("neigh show 10.9.9.8/31 nud failed"), "10.9.9.8 dev v0 FAILED \n");
    assert_eq!(
        said("-j -s neigh show to 10.9.9.5"),
        r#"[{"dst":"10.9.9.5","dev":"v0","lladdr":"02:00:00:00:00:05","used":0,"confirmed":0,"updated":1,"probes":0,"state":["PERMANENT"]}]"#
    );
}

#[test]
fn words_that_make_no_sense_are_told() {
    let cases = [
        ("", "which object"),
        ("foo", "object \"foo\" is unknown"),
        ("-z link", "option \"-z\""),
        ("--stack", "wants a value"),
        ("route show table 7", "no table here"),
        ("- link", "option \"-\""),
        ("route show 1.2.3", "no IPv4 prefix"),
        ("route show 1.2.3.4/33", "no IPv4 prefix"),
        ("route show via x", "no IPv4 address"),
        ("neigh show nud bogus", "no state"),
        ("link show a b", "what is \"b\""),
        ("link show dev", "wants a value"),
        ("addr add 10.0.0.1/8 dev lo", "only what there is can be shown"),
        ("link set lo down", "only what there is"),
        ("route get 1.2.3.4", "only what there is"),
    ];
    for (line, words) in cases {
        let args = IpArgs { stack: None, words: line.split_whitespace().map(Into::into).collect() };
        let failure = parse(&args).expect_err(line);
        assert!(failure.0.contains(words), "{line}: {failure}");
        assert_eq!(failure.0.lines().count(), 1);
    }
    for line in ["help", "-h", "-help", "--help"] {
        let args = IpArgs { stack: None, words: vec![line.into()] };
        assert!(parse(&args).expect("it makes sense").is_none(), "{line}");
    }
    let args = IpArgs { stack: None, words: vec!["--stack".into(), "web".into(), "r".into()] };
    let asked = parse(&args).expect("it makes sense").expect("it is no help");
    assert_eq!(asked.stack.as_deref(), Some("web"));
}
