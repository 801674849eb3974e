use std::string::ToString;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const LO: LinkId = LinkId::LOOPBACK;
const ETH0: LinkId = LinkId(2);
const ETH1: LinkId = LinkId(3);

fn name(link: LinkId) -> Option<&'static str> {
    match link {
        LO => Some("lo"),
        ETH0 => Some("eth0"),
        ETH1 => Some("eth1"),
        _ => None,
    }
}

/// What a stack with 10.0.0.2/24 on eth0 and 10.1.0.2/24 on eth1 has.
fn table() -> RouteTable {
    let mut table = RouteTable::new(64);
    table.add(Route::local(cidr("127.0.0.0/8"), LO)).unwrap();
    for (link, net) in [(ETH0, "10.0.0"), (ETH1, "10.1.0")] {
        let own = ip(&(net.to_string() + ".2"));
        let kernel = |route: Route| route.with_source(own).with_protocol(RouteProtocol::Kernel);
        let at = |end: &str| cidr(&(net.to_string() + end));
        table.add(kernel(Route::local(at(".2/32"), link))).unwrap();
        table.add(kernel(Route::broadcast(at(".255/32"), link))).unwrap();
        table.add(kernel(Route::direct(at(".0/24"), link))).unwrap();
    }
    table
}

fn listed(table: &RouteTable) -> Vec<std::string::String> {
    table.iter().map(|route| route.display(name).to_string()).collect()
}

fn gateway(table: &RouteTable, to: &str) -> Option<Ipv4Addr> {
    table.lookup(v4(to), None).unwrap().gateway
}

#[test]
fn local_is_searched_before_main_and_the_longest_prefix_wins() {
    let mut table = table();
    table.add(Route::via(cidr("0.0.0.0/0"), ip("10.0.0.1"))).unwrap();
    table.add(Route::via(cidr("10.9.0.0/16"), ip("10.1.0.1"))).unwrap();
    table.add(Route::blackhole(cidr("10.9.9.0/24"))).unwrap();
    // Even a longer prefix in main does not hide an own address.
    table.add(Route::direct(cidr("127.0.0.1/32"), ETH0)).unwrap();

    let own = table.lookup(v4("10.0.0.2"), None).unwrap();
    assert_eq!((own.kind, own.link, own.prefix_len), (RouteKind::Local, Some(ETH0), 32));
    assert_eq!(table.lookup(v4("127.0.0.1"), None).unwrap().kind, RouteKind::Local);
    assert_eq!(table.lookup(v4("10.1.0.255"), None).unwrap().kind, RouteKind::Broadcast);
    let near = table.lookup(v4("10.1.0.77"), None).unwrap();
    assert_eq!((near.link, near.gateway), (Some(ETH1), None));
    assert_eq!((near.source, near.scope()), (Some(v4("10.1.0.2")), Scope::Link));
    assert_eq!(near.next_hop(v4("10.1.0.77")), v4("10.1.0.77"));
    let far = table.lookup(v4("10.9.1.1"), None).unwrap();
    assert_eq!((far.link, far.gateway), (Some(ETH1), Some(v4("10.1.0.1"))));
    assert_eq!((far.next_hop(v4("10.9.1.1")), far.scope()), (v4("10.1.0.1"), Scope::Universe));
    assert_eq!(table.lookup(v4("10.9.9.9"), None).unwrap().kind, RouteKind::Blackhole);
    assert_eq!(gateway(&table, "8.8.8.8"), Some(v4("10.0.0.1")));

    assert!(table.is_local(v4("127.9.9.9")) && !table.is_local(v4("10.0.0.1")));
    assert_eq!(table.lookup_kind(v4("10.0.0.255")), Some(RouteKind::Broadcast));
    assert_eq!(table.lookup_kind(v4("8.8.8.8")), None);
}

#[test]
fn a_chosen_link_limits_the_choice_but_not_the_kinds_that_drop() {
    let mut table = table();
    table.add(Route::via(cidr("0.0.0.0/0"), ip("10.0.0.1"))).unwrap();
    table.add(Route::via(cidr("0.0.0.0/0"), ip("10.1.0.1")).with_metric(9)).unwrap();
    table.add(Route::prohibit(cidr("192.0.2.0/24"))).unwrap();
    let over_eth1 = table.lookup(v4("8.8.8.8"), Some(ETH1)).unwrap();
    assert_eq!((over_eth1.gateway, over_eth1.metric), (Some(v4("10.1.0.1")), 9));
    // 10.0.0.7 is on eth0; over eth1 it is reached, if at all, by the default route there.
    let detour = table.lookup(v4("10.0.0.7"), Some(ETH1)).unwrap();
    assert_eq!((detour.link, detour.prefix_len), (Some(ETH1), 0));
    assert_eq!(table.lookup(v4("192.0.2.1"), Some(ETH1)).unwrap().kind, RouteKind::Prohibit);
    assert_eq!(table.lookup(v4("8.8.8.8"), Some(LO)), None);
}

#[test]
fn a_down_link_yields_to_the_next_metric_then_to_a_shorter_prefix() {
    let mut table = table();
    table.add(Route::via(cidr("0.0.0.0/0"), ip("10.1.0.1")).with_metric(5)).unwrap();
    table.add(Route::via(cidr("192.0.2.0/24"), ip("10.0.0.1")).with_metric(1)).unwrap();
    table.add(Route::via(cidr("192.0.2.0/24"), ip("10.1.0.9")).with_metric(2)).unwrap();
    table.add(Route::via(cidr("198.51.100.0/24"), ip("10.0.0.1"))).unwrap();
    assert_eq!(gateway(&table, "192.0.2.1"), Some(v4("10.0.0.1")));
    table.set_link_state(ETH0, false);
    assert_eq!(gateway(&table, "192.0.2.1"), Some(v4("10.1.0.9")));
    assert_eq!(gateway(&table, "198.51.100.1"), Some(v4("10.1.0.1")));
    assert_eq!(gateway(&table, "10.0.0.7"), Some(v4("10.1.0.1")));
    assert!(table.is_local(v4("10.0.0.2")), "an own address does not depend on its link");
    assert_eq!(table.lookup_kind(v4("10.0.0.255")), None);
    // A route added meanwhile waits for the link, too.
    table.add(Route::via(cidr("203.0.113.0/24"), ip("10.0.0.1"))).unwrap();
    assert_eq!(gateway(&table, "203.0.113.1"), Some(v4("10.1.0.1")));
    table.set_link_state(ETH1, false);
    assert_eq!(table.lookup(v4("192.0.2.1"), None), None);
    table.set_link_state(ETH0, true);
    assert_eq!(gateway(&table, "192.0.2.1"), Some(v4("10.0.0.1")));
    assert_eq!(gateway(&table, "203.0.113.1"), Some(v4("10.0.0.1")));
}

#[test]
fn a_gateway_must_be_a_host_that_a_direct_route_leads_to() {
    let mut table = table();
    let default = |gateway: &str| Route::via(cidr("0.0.0.0/0"), ip(gateway));
    let unreachable = Err(RouteError::GatewayUnreachable);
    for bad in ["192.0.2.1", "10.0.0.255", "0.0.0.0", "224.0.0.1", "255.255.255.255"] {
        assert_eq!(table.add(default(bad)), unreachable, "{bad}");
    }
    assert_eq!(table.add(default("10.0.0.1").with_link(ETH1)), unreachable);
    table.add(default("10.0.0.1")).unwrap();
    // Through the new default route 192.0.2.1 is reachable, but not directly.
    assert_eq!(table.add(default("192.0.2.1").with_metric(1)), unreachable);
    table.add(Route::unreachable(cidr("10.0.0.128/25"))).unwrap();
    assert_eq!(table.add(default("10.0.0.129").with_metric(1)), unreachable);

    assert_eq!(table.add(default("192.0.2.1").with_onlink()), Err(RouteError::NoLink));
    let onlink = |gateway: &str| default(gateway).with_link(ETH1).with_metric(2).with_onlink();
    assert_eq!(table.add(onlink("10.1.0.2")), unreachable);
    table.add(onlink("192.0.2.1")).unwrap();
    assert_eq!(table.lookup(v4("8.8.8.8"), Some(ETH1)).unwrap().gateway, Some(v4("192.0.2.1")));

    // An own address as gateway: the destination is on that address's link.
    table.add(Route::via(cidr("198.51.100.0/24"), ip("10.1.0.2"))).unwrap();
    let odd = table.lookup(v4("198.51.100.1"), None).unwrap();
    assert_eq!((odd.link, odd.gateway), (Some(ETH1), None));
    assert!(listed(&table).contains(&"198.51.100.0/24 via 10.1.0.2 dev eth1".to_string()));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let mut table = table();
    let net = cidr("192.0.2.0/24");
    let cases = [
        (Route::direct(cidr("192.0.2.1/24"), ETH0), RouteError::HostBits),
        (Route::direct(cidr("2001:db8::/32"), ETH0), RouteError::Family),
        (Route::via(net, ip("2001:db8::1")), RouteError::Family),
        (Route::direct(net, ETH0).with_source(ip("::1")), RouteError::Family),
        (Route { link: None, ..Route::direct(net, ETH0) }, RouteError::NoLink),
        (Route::blackhole(net).with_link(ETH0), RouteError::UnexpectedNextHop),
        (
            Route { gateway: Some(ip("10.0.0.1")), ..Route::local(net, ETH0) },
            RouteError::UnexpectedNextHop,
        ),
        (Route::direct(net, ETH0).with_source(ip("10.0.0.3")), RouteError::SourceNotLocal),
    ];
    let before = listed(&table);
    for (route, error) in cases {
        assert_eq!(table.add(route.clone()), Err(error), "{route:?}");
        assert_eq!(table.append(route.clone()), Err(error));
        assert_eq!(table.replace(route), Err(error));
    }
    assert_eq!(listed(&table), before);
}

#[test]
fn add_append_replace_and_delete_treat_equals_as_ip_route_does() {
    let mut table = table();
    let net = cidr("192.0.2.0/24");
    let through = |last: &str| Route::via(net, ip(&("10.0.0.".to_string() + last)));
    table.add(through("1").with_metric(10)).unwrap();
    assert_eq!(table.add(through("3").with_metric(10)), Err(RouteError::Exists));
    table.add(through("4").with_metric(5)).unwrap();
    table.append(through("5").with_metric(10)).unwrap();
    assert_eq!(table.append(through("5").with_metric(10)), Err(RouteError::Exists));
    let old = table.replace(through("6").with_metric(10)).unwrap().unwrap();
    assert_eq!(old.gateway, Some(ip("10.0.0.1")));
    assert_eq!(table.replace(through("7").with_metric(20)), Ok(None));
    let mine = |table: &RouteTable| {
        listed(table).into_iter().filter(|line| line.starts_with("192")).collect::<Vec<_>>()
    };
    assert_eq!(
        mine(&table),
        [
            "192.0.2.0/24 via 10.0.0.4 dev eth0 metric 5",
            "192.0.2.0/24 via 10.0.0.6 dev eth0 metric 10",
            "192.0.2.0/24 via 10.0.0.5 dev eth0 metric 10",
            "192.0.2.0/24 via 10.0.0.7 dev eth0 metric 20",
        ]
    );
    // The one in the middle, the last, the first, then whatever comes first.
    let select = RouteSelector::to(net);
    let last = RouteSelector { metric: Some(20), ..select.clone() };
    let middle = RouteSelector { gateway: Some(ip("10.0.0.5")), ..select.clone() };
    assert_eq!(table.delete(&middle).unwrap().gateway, Some(ip("10.0.0.5")));
    assert_eq!(table.delete(&last).unwrap().metric, 20);
    assert_eq!(table.delete(&last), Err(RouteError::NotFound));
    assert_eq!(table.delete(&select).unwrap().metric, 5);
    assert_eq!(gateway(&table, "192.0.2.1"), Some(v4("10.0.0.6")));
    let route = table.iter().last().unwrap();
    assert_eq!(table.delete(&RouteSelector::from(&route)), Ok(route));
    assert_eq!(table.lookup(v4("192.0.2.1"), None), None);
    assert_eq!(table.delete(&select), Err(RouteError::NotFound));
    let other_table = RouteSelector { table: RouteTableId::Local, ..RouteSelector::to(net) };
    assert_eq!(table.delete(&other_table), Err(RouteError::NotFound));
}

#[test]
fn the_table_is_bounded_and_entries_are_used_again() {
    let mut table = RouteTable::new(3);
    let host =
        |n: u8| Route::direct(IpCidr::new(Ipv4Addr::new(10, 0, 0, n).into(), 32).unwrap(), ETH0);
    for round in 0..10 {
        for n in 0..3 {
            table.add(host(round * 3 + n)).unwrap();
        }
        assert_eq!(table.add(host(250)), Err(RouteError::Full));
        assert_eq!(table.append(host(250)), Err(RouteError::Full));
        assert_eq!(table.replace(host(250)), Err(RouteError::Full));
        assert!(table.replace(host(round * 3)).unwrap().is_some(), "replacing needs no room");
        assert_eq!((table.len(), table.flush_link(ETH1), table.flush_link(ETH0)), (3, 0, 3));
        assert!(table.is_empty());
    }
}

#[test]
fn flushing_takes_what_depended_on_the_link_or_the_address() {
    let mut table = table();
    table.add(Route::via(cidr("0.0.0.0/0"), ip("10.0.0.1"))).unwrap();
    table.add(Route::via(cidr("0.0.0.0/0"), ip("10.1.0.1")).with_metric(1)).unwrap();
    table.set_link_state(ETH0, false);
    assert_eq!(table.flush_source(ip("10.1.0.2")), 3);
    assert_eq!(table.flush_link(ETH0), 4);
    assert_eq!(
        listed(&table),
        [
            "local 127.0.0.0/8 dev lo proto kernel scope host",
            "default via 10.1.0.1 dev eth1 metric 1",
        ]
    );
    // A new link with the old number starts without the old one's state.
    table.add(Route::direct(cidr("10.0.0.0/24"), ETH0)).unwrap();
    assert_eq!(table.lookup(v4("10.0.0.1"), None).unwrap().prefix_len, 24);
}

#[test]
fn routes_print_as_ip_route_does() {
    let mut table = table();
    table
        .add(Route::via(cidr("0.0.0.0/0"), ip("10.0.0.1")).with_protocol(RouteProtocol::Static))
        .unwrap();
    table.add(Route::direct(cidr("10.0.0.0/8"), LinkId(9)).with_mtu(1400).with_metric(3)).unwrap();
    table.add(Route::unreachable(cidr("192.0.2.0/24"))).unwrap();
    table
        .add(Route::via(cidr("198.51.100.7/32"), ip("192.0.2.1")).with_link(ETH0).with_onlink())
        .unwrap();
    assert_eq!(
        listed(&table),
        [
            "local 10.0.0.2 dev eth0 proto kernel scope host src 10.0.0.2",
            "broadcast 10.0.0.255 dev eth0 proto kernel scope link src 10.0.0.2",
            "local 10.1.0.2 dev eth1 proto kernel scope host src 10.1.0.2",
            "broadcast 10.1.0.255 dev eth1 proto kernel scope link src 10.1.0.2",
            "local 127.0.0.0/8 dev lo proto kernel scope host",
            "default via 10.0.0.1 dev eth0 proto static",
            "10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.2",
            "10.0.0.0/8 dev if9 scope link metric 3 mtu 1400",
            "10.1.0.0/24 dev eth1 proto kernel scope link src 10.1.0.2",
            "unreachable 192.0.2.0/24",
            "198.51.100.7 via 192.0.2.1 dev eth0 onlink",
        ]
    );
}

#[derive(Debug, Clone)]
enum Step {
    Add(Route),
    Append(Route),
    Replace(Route),
    Delete(RouteSelector),
    Link(LinkId, bool),
    Flush(LinkId),
}

fn route() -> impl Strategy<Value = Route> {
    let destination = (0..4u32, 0..=4u8, prop::sample::select(std::vec![0u8, 4, 6, 12, 29]))
        .prop_map(|(bits, len, base)| {
            let len = (base + len).min(32);
            let key = (0x0a3c_0000 | bits | bits << 20 | bits << 26)
                & u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            IpCidr::new(Ipv4Addr::from_bits(key).into(), len).unwrap()
        });
    (destination, 1..4u32, 0..3u32, 0..5u32).prop_map(|(destination, link, metric, kind)| {
        let link = LinkId(link);
        match kind {
            0 => Route::unreachable(destination),
            1 => Route::local(destination, link),
            _ => Route::direct(destination, link),
        }
        .with_metric(metric)
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => route().prop_map(Step::Add),
        2 => route().prop_map(Step::Append),
        2 => route().prop_map(Step::Replace),
        4 => (route(), any::<bool>()).prop_map(|(route, any)| Step::Delete(RouteSelector {
            metric: (!any).then_some(route.metric),
            table: route.table,
            ..RouteSelector::to(route.destination)
        })),
        1 => (1..4u32, any::<bool>()).prop_map(|(link, up)| Step::Link(LinkId(link), up)),
        1 => (1..4u32).prop_map(|link| Step::Flush(LinkId(link))),
    ]
}

/// The table as a plain list, in the order of insertion.
#[derive(Default)]
struct Model {
    routes: Vec<Route>,
    down: Vec<LinkId>,
}

impl Model {
    fn same(&self, route: &Route) -> Option<usize> {
        let key = |route: &Route| (route.table, route.destination, route.metric);
        self.routes.iter().position(|other| key(other) == key(route))
    }

    fn lookup(&self, to: Ipv4Addr, oif: Option<LinkId>) -> Option<&Route> {
        self.routes
            .iter()
            .filter(|route| route.destination.contains(to.into()))
            .filter(|route| match route.link {
                None => true,
                Some(link) => {
                    (route.kind == RouteKind::Local || !self.down.contains(&link))
                        && oif.is_none_or(|oif| oif == link)
                }
            })
            .min_by_key(|route| (route.table, 32 - route.destination.prefix_len(), route.metric))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn it_does_what_a_plain_list_does(
        steps in prop::collection::vec(step(), 1..120),
        probes in prop::collection::vec((0..4u32, any::<u32>(), 0..4u32), 40),
    ) {
        let mut table = RouteTable::new(40);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Add(route) => {
                    let expected = match model.same(&route) {
                        Some(_) => Err(RouteError::Exists),
                        None if model.routes.len() == 40 => Err(RouteError::Full),
                        None => {
                            model.routes.push(route.clone());
                            Ok(())
                        }
                    };
                    prop_assert_eq!(table.add(route), expected);
                }
                Step::Append(route) => {
                    let expected = if model.routes.contains(&route) {
                        Err(RouteError::Exists)
                    } else if model.routes.len() == 40 {
                        Err(RouteError::Full)
                    } else {
                        model.routes.push(route.clone());
                        Ok(())
                    };
                    prop_assert_eq!(table.append(route), expected);
                }
                Step::Replace(route) => {
                    let expected = match model.same(&route) {
                        Some(at) => {
                            Ok(Some(core::mem::replace(&mut model.routes[at], route.clone())))
                        }
                        None if model.routes.len() == 40 => Err(RouteError::Full),
                        None => {
                            model.routes.push(route.clone());
                            Ok(None)
                        }
                    };
                    prop_assert_eq!(table.replace(route), expected);
                }
                Step::Delete(selector) => {
                    let at = model.routes.iter().enumerate()
                        .filter(|(_, route)| {
                            route.table == selector.table
                                && route.destination == selector.destination
                                && selector.metric.is_none_or(|metric| metric == route.metric)
                        })
                        .min_by_key(|(_, route)| route.metric)
                        .map(|(at, _)| at);
                    let expected = at.map(|at| model.routes.remove(at)).ok_or(RouteError::NotFound);
                    prop_assert_eq!(table.delete(&selector), expected);
                }
                Step::Link(link, up) => {
                    model.down.retain(|down| *down != link);
                    if !up {
                        model.down.push(link);
                    }
                    table.set_link_state(link, up);
                }
                Step::Flush(link) => {
                    let before = model.routes.len();
                    model.routes.retain(|route| route.link != Some(link));
                    model.down.retain(|down| *down != link);
                    prop_assert_eq!(table.flush_link(link), before - model.routes.len());
                }
            }
            prop_assert_eq!(table.len(), model.routes.len());
        }
        let mut sorted = model.routes.clone();
        sorted.sort_by_key(|route| {
            let destination = route.destination;
            (route.table, destination.addr(), 32 - destination.prefix_len(), route.metric)
        });
        prop_assert_eq!(table.iter().collect::<Vec<_>>(), sorted);
        for (bits, low, oif) in probes {
            let to = Ipv4Addr::from_bits(
                0x0a3c_0000 | bits | bits << 20 | bits << 26 | low & 0x000f_0007,
            );
            let oif = (oif > 0).then_some(LinkId(oif));
            let found = table.lookup(to, oif)
                .map(|found| (found.kind, found.link, found.prefix_len, found.metric));
            let expected = model.lookup(to, oif).map(|route| {
                (route.kind, route.link, route.destination.prefix_len(), route.metric)
            });
            prop_assert_eq!(found, expected, "{} over {:?}", to, oif);
        }
    }
}

#[test]
fn the_local_table_is_asked_whenever_it_may_know() {
    use crate::route::prefilter::Prefilter;
    for prefix_len in 0..=32u8 {
        let mut filter = Prefilter::default();
        let network = 0xac1f_5a37 & (u64::from(u32::MAX) << (32 - prefix_len)) as u32;
        filter.insert(network, prefix_len);
        let host_bits = (u64::from(u32::MAX) >> prefix_len) as u32;
        for host in [0, 1, host_bits / 2, host_bits] {
            assert!(filter.may_match(network | (host & host_bits)), "/{prefix_len}");
        }
    }
    assert!(!Prefilter::default().may_match(0));
}
