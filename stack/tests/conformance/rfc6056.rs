//! RFC 6056, ephemeral ports.

use std::collections::{BTreeSet, HashSet};

use core::net::Ipv4Addr;

use tapping_stack::{Config, SocketError};

use crate::tcp_bench::*;

conformance! {
    "RFC 6056", "Ephemeral ports";

    Should "RFC6056-3.2-range" "3.2" "Ephemeral ports come from the whole range set."
        => ports_come_from_the_range;
    Should "RFC6056-3.3-random" "3.3" "The next port cannot be guessed from the last ones."
        => ports_are_not_sequential;
    Must "RFC6056-3.1-free" "3.1" "A port in use for the same destination is not taken."
        => ports_in_use_are_passed_over;
    Should "RFC6056-3.1-listen" "3.1" "A port that is listened on is not taken."
        => listening_ports_are_passed_over;
    Should "RFC6056-3.3-reuse" "3.3" "The same port may serve several destinations at once."
        => a_port_serves_several_destinations;
    Rule "RFC6056-3.5-udp" "3.2" "UDP takes its ports at random."
        => udp_ports_are_random;
    Linux "RFC6056-3.2-parity" "3.2" "Connecting prefers one parity, binding the other."
        => connect_and_bind_prefer_parities;
}

fn with_range(first: u16, last: u16) -> Wire {
    Wire::with(config(|tcp| tcp.port_range = (first, last)))
}

/// The port of a new connection, which stays.
fn connect(wire: &mut Wire, to: (Ipv4Addr, u16)) -> Result<u16, SocketError> {
    let socket = wire.socket();
    wire.connect(socket, to)?;
    Ok(wire.stack().local_addr(socket)?.port())
}

fn ports_come_from_the_range() {
    assert_eq!(Config::default().tcp.port_range, (32_768, 60_999));
    for (first, last) in [(40_000, 40_063), (40_001, 40_063), (50_000, 50_000)] {
        let mut wire = with_range(first, last);
        let ports: BTreeSet<u16> =
            (first..=last).map(|_| connect(&mut wire, (PEER, 80)).expect("a free port")).collect();
        assert!(ports.into_iter().eq(first..=last), "each once");
        assert_eq!(connect(&mut wire, (PEER, 80)), Err(SocketError::AddressNotAvailable));
    }
}

fn ports_are_not_sequential() {
    let sequence = |nth: usize, to: u16| {
        let mut wire = Wire::nth(nth, Config::default());
        let ports = (0..50).map(|_| connect(&mut wire, (PEER, to)).expect("a free port"));
        ports.collect::<Vec<u16>>()
    };
    let ports = sequence(0, 80);
    let steps: HashSet<u16> = ports.windows(2).map(|two| two[1].wrapping_sub(two[0])).collect();
    assert!(steps.len() > 4, "{ports:?}");
    // What goes to one peer says nothing of what goes to another, nor one stack of another.
    let firsts: HashSet<u16> = (0..64).map(|n| sequence(0, 80 + n)[0]).collect();
    assert!(firsts.len() > 60);
    let firsts: Vec<u16> = (0..16).map(|n| sequence(n, 80)[0]).collect();
    assert!(firsts.iter().collect::<HashSet<_>>().len() > 14);
    let spread = firsts.iter().max().expect("ports") - firsts.iter().min().expect("ports");
    assert!(spread > 10_000, "over the whole range: {firsts:?}");
}

fn ports_in_use_are_passed_over() {
    let mut wire = with_range(40_000, 40_003);
    let taken: HashSet<u16> =
        (0..3).map(|_| connect(&mut wire, (PEER, 80)).expect("a free port")).collect();
    assert_eq!(taken.len(), 3);
    let last = connect(&mut wire, (PEER, 80)).expect("the last");
    assert!(!taken.contains(&last));
}

fn listening_ports_are_passed_over() {
    let mut wire = with_range(40_000, 40_003);
    wire.listener(40_001, 1);
    // Bound alone is enough, whatever its options.
    let bound = wire.socket();
    wire.set(bound, |options| options.reuse_addr = true);
    wire.stack().bind(bound, at(US, 40_002)).expect("a free port");
    let ports: BTreeSet<u16> =
        (0..2).map(|_| connect(&mut wire, (PEER, 80)).expect("a free port")).collect();
    assert_eq!(ports, BTreeSet::from([40_000, 40_003]));
    assert_eq!(connect(&mut wire, (PEER, 80)), Err(SocketError::AddressNotAvailable));
}

fn a_port_serves_several_destinations() {
    let mut wire = with_range(40_000, 40_001);
    for to in 1..=50 {
        let ports: BTreeSet<u16> =
            (0..2).map(|_| connect(&mut wire, (PEER, to)).expect("a free port")).collect();
        assert_eq!(ports, BTreeSet::from([40_000, 40_001]));
        assert_eq!(connect(&mut wire, (PEER, to)), Err(SocketError::AddressNotAvailable));
    }
}

fn udp_ports_are_random() {
    let mut wire = Wire::new();
    let ports: Vec<u16> = (0..64)
        .map(|_| {
            let socket = wire.stack().open_udp().expect("room");
            wire.stack().bind(socket, at(ANY, 0)).expect("a free port");
            wire.stack().local_addr(socket).expect("a socket").port()
        })
        .collect();
    assert!(ports.iter().all(|port| (32_768..=60_999).contains(port)));
    let steps: HashSet<u16> = ports.windows(2).map(|two| two[1].wrapping_sub(two[0])).collect();
    assert!(steps.len() > 60, "{ports:?}");
}

fn connect_and_bind_prefer_parities() {
    let mut wire = with_range(40_000, 40_019);
    for _ in 0..10 {
        let port = connect(&mut wire, (PEER, 80)).expect("a free port");
        assert_eq!(port % 2, 0, "like the first of the range");
        let bound = wire.bound(ANY, 0);
        assert_eq!(wire.stack().local_addr(bound).expect("a socket").port() % 2, 1);
    }
    // With all of one parity in use the other serves.
    let mut wire = with_range(40_000, 40_019);
    let ports: Vec<u16> =
        (0..20).map(|_| connect(&mut wire, (PEER, 80)).expect("a free port")).collect();
    assert!(ports[..10].iter().all(|port| port % 2 == 0));
    assert!(ports[10..].iter().all(|port| port % 2 == 1));
}
