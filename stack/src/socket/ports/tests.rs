use super::*;

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn table() -> (PortTable, Rng) {
    let mut rng = Rng::new(7);
    (PortTable::new((32_768, 60_999), &mut rng), rng)
}

fn to(addr: Ipv4Addr, port: u16) -> BindRequest {
    let (reuse_addr, reuse_port) = (false, false);
    BindRequest {
        addr,
        port,
        link: None,
        reuse_addr,
        reuse_port,
        listening: false,
        connecting: false,
    }
}

/// Whether two requests can be bound one after the other.
fn both(first: BindRequest, second: BindRequest) -> bool {
    let (mut table, mut rng) = table();
    assert_eq!(table.bind(1, &first, &mut rng), Ok(first.port));
    match table.bind(2, &second, &mut rng) {
        Ok(port) => port == second.port,
        Err(error) => {
            assert_eq!(error, SocketError::AddressInUse);
            assert_eq!(table.count(first.port), 1, "a refused bind leaves nothing");
            false
        }
    }
}

#[test]
fn addresses_meet_when_equal_or_wildcard() {
    for (first, second, meet) in
        [(A, A, true), (A, B, false), (ANY, A, true), (A, ANY, true), (ANY, ANY, true)]
    {
        assert_eq!(both(to(first, 53), to(second, 53)), !meet, "{first} {second}");
        assert!(both(to(first, 53), to(second, 54)), "another port");
    }
}

#[test]
fn links_meet_when_equal_or_none() {
    let on = |link: u32| BindRequest { link: Some(LinkId(link)), ..to(ANY, 53) };
    assert!(both(on(2), on(3)));
    assert!(!both(on(2), on(2)));
    assert!(!both(on(2), to(ANY, 53)));
    assert!(!both(to(A, 53), on(2)));
}

/// Every combination of what both allow, against the rule written out.
#[test]
fn sharing_takes_both_sides() {
    for bits in 0..64u8 {
        let bit = |n: u8| bits >> n & 1 == 1;
        let make = |n: u8| BindRequest {
            reuse_addr: bit(n),
            reuse_port: bit(n + 1),
            listening: bit(n + 2),
            ..to(A, 53)
        };
        let (first, second) = (make(0), make(3));
        let by_addr = first.reuse_addr && second.reuse_addr && !first.listening;
        let by_port = first.reuse_port && second.reuse_port;
        assert_eq!(both(first, second), by_addr || by_port, "{first:?} {second:?}");
    }
}

#[test]
fn every_socket_there_counts() {
    let (mut table, mut rng) = table();
    let shared = BindRequest { reuse_addr: true, ..to(A, 53) };
    let both = BindRequest { reuse_port: true, ..shared };
    table.bind(1, &both, &mut rng).unwrap();
    table.bind(2, &shared, &mut rng).unwrap();
    let port_only = BindRequest { reuse_addr: false, ..both };
    assert_eq!(table.bind(3, &port_only, &mut rng), Err(SocketError::AddressInUse));
    table.unbind(2, 53);
    assert_eq!(table.bind(3, &port_only, &mut rng), Ok(53));
}

#[test]
fn only_one_listens_without_reuse_port() {
    let (mut table, mut rng) = table();
    let shared = BindRequest { reuse_addr: true, ..to(A, 80) };
    for owner in [1, 2] {
        table.bind(owner, &shared, &mut rng).unwrap();
    }
    assert_eq!(table.set_listening(1, 80, true), Ok(()));
    assert_eq!(table.set_listening(2, 80, true), Err(SocketError::AddressInUse));
    assert_eq!(table.bind(3, &shared, &mut rng), Err(SocketError::AddressInUse));
    // It is bound as before, and may listen once the other one does not.
    assert_eq!(table.set_listening(1, 80, false), Ok(()));
    assert_eq!(table.set_listening(2, 80, true), Ok(()));
    assert_eq!(table.set_listening(2, 80, true), Ok(()), "again is no conflict with itself");
    assert_eq!(table.set_listening(3, 80, true), Err(SocketError::InvalidArgument));
}

#[test]
fn what_is_unbound_is_forgotten() {
    let (mut table, mut rng) = table();
    for round in 0..3 {
        for owner in 0..100 {
            table.bind(owner, &to(A, 0), &mut rng).unwrap();
        }
        assert_eq!(table.owners.len(), 100, "round {round}");
        let held: Vec<_> = table.owners.keys().copied().collect();
        for (port, owner) in held {
            table.unbind(owner, port);
            table.unbind(owner, port);
        }
        assert!(table.ports.is_empty() && table.owners.is_empty());
    }
}

#[test]
fn an_owner_has_a_port_once() {
    let (mut table, mut rng) = table();
    let shared = BindRequest { reuse_addr: true, ..to(A, 53) };
    table.bind(1, &shared, &mut rng).unwrap();
    assert_eq!(table.bind(1, &shared, &mut rng), Err(SocketError::InvalidArgument));
    assert_eq!(table.bind(1, &to(B, 54), &mut rng), Ok(54));
    table.unbind(1, 54);
    assert_eq!(table.count(53), 1);
}

#[test]
fn an_accepted_connection_keeps_its_listeners_port_busy() {
    let (mut table, mut rng) = table();
    table.bind(1, &BindRequest { listening: true, ..to(ANY, 80) }, &mut rng).unwrap();
    table.inherit(2, &BindRequest { reuse_addr: true, ..to(A, 80) });
    table.inherit(2, &BindRequest { reuse_addr: true, ..to(A, 80) });
    assert_eq!(table.count(80), 2);
    table.unbind(1, 80);
    assert_eq!(table.bind(3, &to(ANY, 80), &mut rng), Err(SocketError::AddressInUse));
    assert_eq!(table.bind(3, &BindRequest { reuse_addr: true, ..to(ANY, 80) }, &mut rng), Ok(80));
}

#[test]
fn options_changed_afterwards_count_for_who_comes_next() {
    let (mut table, mut rng) = table();
    table.bind(1, &to(A, 53), &mut rng).unwrap();
    let shared = BindRequest { reuse_addr: true, ..to(A, 53) };
    assert_eq!(table.bind(2, &shared, &mut rng), Err(SocketError::AddressInUse));
    table.update(1, &shared);
    assert_eq!(table.bind(2, &shared, &mut rng), Ok(53));
    table.update(9, &shared);
    assert_eq!(table.count(53), 2, "nobody else is bound by it");
}

/// RFC 6056 §3.3.1: random, all of the range and nothing else, until none is left.
#[test]
fn ephemeral_ports_fill_their_range() {
    let mut rng = Rng::new(3);
    let mut table = PortTable::new((40_000, 40_099), &mut rng);
    let mut ports: Vec<u16> =
        (0..100).map(|owner| table.bind(owner, &to(A, 0), &mut rng).unwrap()).collect();
    assert!(ports.windows(2).filter(|pair| pair[1] == pair[0] + 1).count() < 60, "{ports:?}");
    assert_eq!(table.bind(100, &to(A, 0), &mut rng), Err(SocketError::AddressInUse));
    assert!(table.bind(100, &to(B, 0), &mut rng).is_ok(), "another address has its own");
    ports.sort_unstable();
    assert_eq!(ports, (40_000..=40_099).collect::<Vec<_>>());
}

#[test]
fn ephemeral_ports_are_not_shared() {
    let mut rng = Rng::new(3);
    let mut table = PortTable::new((5, 5), &mut rng);
    let sharing = BindRequest { reuse_addr: true, reuse_port: true, ..to(A, 0) };
    assert_eq!(table.bind(1, &sharing, &mut rng), Ok(5));
    assert_eq!(table.bind(2, &sharing, &mut rng), Err(SocketError::AddressInUse));
    assert_eq!(table.bind(2, &BindRequest { port: 5, ..sharing }, &mut rng), Ok(5));
}

/// The whole of the default range (`ip_local_port_range`) is drawn from, evenly.
#[test]
fn ephemeral_ports_spread() {
    let (table, mut rng) = table();
    let mut eighths = [0u32; 8];
    for _ in 0..8000 {
        let port = table.ephemeral(&mut rng, |_, _| true).unwrap();
        assert!((32_768..=60_999).contains(&port));
        eighths[usize::from(port - 32_768) * 8 / 28_232] += 1;
    }
    assert!(eighths.iter().all(|n| n.abs_diff(1000) < 150), "{eighths:?}");
}
