use super::*;

const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THERE: Addr = (Ipv4Addr::new(10, 0, 0, 9), 1000);
const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const ETH0: LinkId = LinkId(2);
const ETH1: LinkId = LinkId(3);

fn demux() -> Demux {
    Demux::new(&mut Rng::new(1))
}

fn at(addr: Ipv4Addr) -> Endpoint {
    Endpoint { local: (addr, 53), peer: None, link: None, reuse_port: false }
}

fn path(src: Addr, link: LinkId) -> Path {
    Path { src, dst: (HERE, 53), link: Some(link) }
}

/// Linux `compute_score`: connected, then the address, then the wildcard; in each the link.
#[test]
fn the_most_specific_socket_wins() {
    let order = [
        at(ANY),
        Endpoint { link: Some(ETH0), ..at(ANY) },
        at(HERE),
        Endpoint { link: Some(ETH0), ..at(HERE) },
        Endpoint { peer: Some(THERE), ..at(HERE) },
        Endpoint { peer: Some(THERE), link: Some(ETH0), ..at(HERE) },
    ];
    // In whatever order they were bound.
    for turn in 0..order.len() {
        let mut demux = demux();
        for n in 0..order.len() {
            let n = (n + turn) % order.len();
            demux.insert(n as u32, &order[n]);
        }
        for n in (0..order.len()).rev() {
            assert_eq!(demux.find(&path(THERE, ETH0)), Some(n as u32));
            demux.remove(n as u32, &order[n]);
        }
        assert_eq!(demux.find(&path(THERE, ETH0)), None);
        assert!(demux.connected.is_empty() && demux.bound.is_empty());
    }
}

#[test]
fn what_does_not_match_is_passed_over() {
    let mut demux = demux();
    demux.insert(1, &Endpoint { peer: Some(THERE), ..at(HERE) });
    demux.insert(2, &Endpoint { link: Some(ETH0), ..at(HERE) });
    demux.insert(3, &at(ANY));
    assert_eq!(demux.find(&path((THERE.0, 1001), ETH0)), Some(2), "another port of the peer");
    assert_eq!(demux.find(&path((HERE, 1000), ETH1)), Some(3), "another peer and link");
    let elsewhere = Path { dst: (HERE, 54), ..path(THERE, ETH0) };
    assert_eq!(demux.find(&elsewhere), None, "another port here");
    let any_link = Path { link: None, ..path((HERE, 1), ETH1) };
    assert_eq!(demux.find(&any_link), Some(2), "a link that does not matter");
}

#[test]
fn of_equals_the_last_one_bound_wins() {
    let mut demux = demux();
    demux.insert(1, &at(HERE));
    demux.insert(2, &at(HERE));
    assert_eq!(demux.find(&path(THERE, ETH0)), Some(2));
    demux.remove(2, &at(HERE));
    assert_eq!(demux.find(&path(THERE, ETH0)), Some(1));
}

#[test]
fn flows_are_spread_over_sockets_that_share_and_stay_where_they_are() {
    let mut demux = demux();
    let sharing = Endpoint { reuse_port: true, ..at(HERE) };
    for socket in 0..4 {
        demux.insert(socket, &sharing);
    }
    let mut counts = [0u32; 4];
    for port in 0..4000 {
        let path = path((THERE.0, port), ETH0);
        let socket = demux.find(&path).unwrap();
        assert_eq!(demux.find(&path), Some(socket));
        counts[socket as usize] += 1;
    }
    assert!(counts.iter().all(|n| n.abs_diff(1000) < 150), "{counts:?}");
    // One that does not share and came last takes all.
    demux.insert(9, &at(HERE));
    assert!((0..100).all(|port| demux.find(&path((THERE.0, port), ETH0)) == Some(9)));
}

#[test]
fn many_means_everybody_who_matches() {
    let mut demux = demux();
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let endpoints = [
        (at(group), true),
        (at(ANY), true),
        (Endpoint { link: Some(ETH0), ..at(ANY) }, true),
        (Endpoint { peer: Some(THERE), ..at(group) }, true),
        (Endpoint { link: Some(ETH1), ..at(ANY) }, false),
        (at(HERE), false),
        (Endpoint { peer: Some((HERE, 1)), ..at(group) }, false),
        (Endpoint { local: (ANY, 54), ..at(ANY) }, false),
    ];
    for (n, (endpoint, _)) in (0..).zip(&endpoints) {
        demux.insert(n, endpoint);
        demux.insert(n + 100, endpoint);
    }
    let mut found = Vec::new();
    demux.find_all(&Path { src: THERE, dst: (group, 53), link: Some(ETH0) }, &mut found);
    found.sort_unstable();
    let wanted: Vec<u32> =
        (0..).zip(&endpoints).filter(|(_, (_, wanted))| *wanted).map(|(n, _)| n).collect();
    let twice: Vec<u32> = wanted.iter().copied().chain(wanted.iter().map(|n| n + 100)).collect();
    assert_eq!(found, twice);
}

#[test]
fn of_many_links_each_finds_its_own() {
    let mut demux = demux();
    let links = || (10..1010).map(LinkId);
    // Not in their order, and one for whatever other link.
    for link in links().filter(|link| link.0 % 2 == 0).chain(links().filter(|link| link.0 % 2 == 1))
    {
        demux.insert(link.0, &Endpoint { link: Some(link), ..at(ANY) });
    }
    demux.insert(1, &at(ANY));
    assert!(links().all(|link| demux.find(&path(THERE, link)) == Some(link.0)));
    assert_eq!(demux.find(&path(THERE, ETH0)), Some(1));
    let mut found = Vec::new();
    demux.find_all(&path(THERE, LinkId(77)), &mut found);
    assert_eq!(found, [1, 77]);
    links().for_each(|link| demux.remove(link.0, &Endpoint { link: Some(link), ..at(ANY) }));
    assert!(links().all(|link| demux.find(&path(THERE, link)) == Some(1)));
}
