//! bind(2), connect(2) and what they refuse.

use core::net::{Ipv6Addr, SocketAddr};

use tapping_stack::socket::SocketKind;

use super::*;

#[test]
fn a_socket_knows_its_addresses() {
    let mut bench = Bench::new();
    let socket = bench.open();
    assert_eq!(bench.stack().socket_kind(socket), Ok(SocketKind::Udp));
    assert_eq!(bench.stack().local_addr(socket), Ok(at("0.0.0.0:0")));
    assert_eq!(bench.stack().peer_addr(socket), Err(SocketError::NotConnected));
    bench.stack().bind(socket, at("0.0.0.0:53")).unwrap();
    assert_eq!(bench.stack().local_addr(socket), Ok(at("0.0.0.0:53")));
    bench.connect(socket, "10.0.0.9:1000").unwrap();
    assert_eq!(bench.stack().local_addr(socket), Ok(at("10.0.0.1:53")));
    assert_eq!(bench.stack().peer_addr(socket), Ok(at("10.0.0.9:1000")));
}

/// Linux `__inet_bind`: addresses of ours, groups and broadcasts; one port in a life.
#[test]
fn what_can_be_bound() {
    let mut bench = Bench::new();
    for addr in [PEER, "192.0.2.1", "240.0.0.1"] {
        let socket = bench.open();
        let bound = bench.stack().bind(socket, at(&format!("{addr}:53")));
        assert_eq!(bound, Err(SocketError::AddressNotAvailable), "{addr}");
    }
    let allowed =
        [HERE, ALSO_HERE, "127.0.0.1", "127.9.9.9", "224.0.0.251", "10.0.0.255", "255.255.255.255"];
    for (port, addr) in (100..).zip(allowed) {
        let socket = bench.bound(&format!("{addr}:{port}"));
        let again = bench.stack().bind(socket, at(&format!("{addr}:99")));
        assert_eq!(again, Err(SocketError::InvalidArgument), "{addr}");
    }
    let socket = bench.open();
    let v6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 53);
    let bound = bench.stack().bind(socket, v6);
    assert_eq!(bound, Err(SocketError::AddressFamilyNotSupported));
}

#[test]
fn a_port_in_use_is_refused_until_it_is_closed() {
    let mut bench = Bench::new();
    let first = bench.bound("10.0.0.1:53");
    for addr in ["10.0.0.1:53", "0.0.0.0:53"] {
        let socket = bench.open();
        assert_eq!(bench.stack().bind(socket, at(addr)), Err(SocketError::AddressInUse), "{addr}");
        assert_eq!(bench.stack().local_addr(socket), Ok(at("0.0.0.0:0")), "still without");
    }
    bench.bound("10.0.0.5:53");
    bench.lab.close(bench.host, first).unwrap();
    bench.bound("10.0.0.1:53");
}

/// SO_REUSEADDR and SO_REUSEPORT must be on both sockets; set afterwards, they count for the
/// next one.
#[test]
fn a_port_is_shared_if_both_agree() {
    let mut bench = Bench::new();
    let first = bench.bound("10.0.0.1:53");
    let second = bench.open();
    bench.stack().socket_options(second).unwrap().reuse_address = true;
    let refused = bench.stack().bind(second, at("10.0.0.1:53"));
    assert_eq!(refused, Err(SocketError::AddressInUse));
    bench.stack().socket_options(first).unwrap().reuse_address = true;
    assert_eq!(bench.stack().bind(second, at("10.0.0.1:53")), Ok(()));
    let third = bench.open();
    bench.stack().socket_options(third).unwrap().reuse_port = true;
    let refused = bench.stack().bind(third, at("10.0.0.1:53"));
    assert_eq!(refused, Err(SocketError::AddressInUse), "the one has this, the other that");
}

/// Sockets bound to different links do not meet.
#[test]
fn a_link_divides_ports() {
    let mut bench = Bench::new();
    let link = bench.link;
    for bound in [link, LinkId::LOOPBACK] {
        let socket = bench.open();
        bench.stack().socket_options(socket).unwrap().bind_link = Some(bound);
        bench.stack().bind(socket, at("0.0.0.0:53")).unwrap();
    }
    let socket = bench.open();
    assert_eq!(bench.stack().bind(socket, at("0.0.0.0:53")), Err(SocketError::AddressInUse));
}

/// RFC 6056 §3.2: from `ip_local_port_range`, none twice, and EAGAIN from what binds by itself
/// (Linux `inet_autobind`).
#[test]
fn ephemeral_ports_come_from_the_range_and_end() {
    let mut config = Config::default();
    config.ipv4.local_port_range = (50_000, 50_009);
    let mut bench = Bench::with(config);
    let mut ports: Vec<u16> = (0..10)
        .map(|_| {
            let socket = bench.bound("0.0.0.0:0");
            bench.stack().local_addr(socket).unwrap().port()
        })
        .collect();
    assert!(!ports.is_sorted(), "{ports:?}");
    ports.sort_unstable();
    assert_eq!(ports, (50_000..50_010).collect::<Vec<_>>());
    let socket = bench.open();
    assert_eq!(bench.stack().bind(socket, at("0.0.0.0:0")), Err(SocketError::AddressInUse));
    assert_eq!(bench.send_to(socket, "10.0.0.9:53", b""), Err(SocketError::WouldBlock));
    assert_eq!(bench.connect(socket, "10.0.0.9:53"), Err(SocketError::WouldBlock));
}

/// Linux `__ip4_datagram_connect`, and again to somebody else: a datagram socket may.
#[test]
fn connecting_settles_address_and_port() {
    let mut bench = Bench::new();
    let socket = bench.open();
    bench.connect(socket, "10.0.0.9:53").unwrap();
    let local = bench.stack().local_addr(socket).unwrap();
    assert_eq!(local.ip().to_string(), HERE);
    assert!((32_768..=60_999).contains(&local.port()));
    bench.connect(socket, "10.0.0.8:54").unwrap();
    assert_eq!(bench.stack().local_addr(socket), Ok(local));
    assert_eq!(bench.stack().peer_addr(socket), Ok(at("10.0.0.8:54")));
    // 0.0.0.0 is this host.
    let socket = bench.open();
    bench.connect(socket, "0.0.0.0:53").unwrap();
    assert_eq!(bench.stack().peer_addr(socket), Ok(at("127.0.0.1:53")));
}

/// Linux `__udp_disconnect` (AF_UNSPEC): what bind gave stays, the rest goes.
#[test]
fn dissolving_keeps_what_was_bound() {
    let cases = [("", "0.0.0.0:0"), ("0.0.0.0:53", "0.0.0.0:53"), ("10.0.0.5:53", "10.0.0.5:53")];
    for (bound, after) in cases {
        let mut bench = Bench::new();
        let socket = match bound {
            "" => bench.open(),
            addr => bench.bound(addr),
        };
        bench.connect(socket, "10.0.0.9:1000").unwrap();
        bench.connect(socket, "0.0.0.0:0").unwrap();
        assert_eq!(bench.stack().local_addr(socket), Ok(at(after)), "{bound}");
        assert_eq!(bench.stack().peer_addr(socket), Err(SocketError::NotConnected));
        assert_eq!(bench.send(socket, b""), Err(SocketError::DestinationAddressRequired));
        let heard = bench.datagram("10.0.0.8:7", "10.0.0.5:53", b"x");
        assert_eq!(heard.is_empty(), !bound.is_empty(), "{bound}");
    }
    // An ephemeral port of a bound address is given back, the address is not.
    let mut bench = Bench::new();
    let socket = bench.bound("10.0.0.5:0");
    let port = bench.stack().local_addr(socket).unwrap().port();
    bench.connect(socket, "10.0.0.9:1000").unwrap();
    bench.connect(socket, "0.0.0.0:0").unwrap();
    assert_eq!(bench.stack().local_addr(socket), Ok(at("10.0.0.5:0")));
    bench.bound(&format!("10.0.0.5:{port}"));
    bench.send_to(socket, "10.0.0.9:1000", b"").unwrap();
    assert_eq!(bench.stack().local_addr(socket).unwrap().ip().to_string(), ALSO_HERE);
}

#[test]
fn where_a_socket_cannot_connect_to() {
    let mut bench = Bench::new();
    let socket = bench.open();
    assert_eq!(bench.connect(socket, "192.0.2.1:1"), Err(SocketError::NetworkUnreachable));
    assert_eq!(bench.connect(socket, "10.0.0.255:1"), Err(SocketError::PermissionDenied));
    assert_eq!(bench.stack().peer_addr(socket), Err(SocketError::NotConnected));
    bench.stack().socket_options(socket).unwrap().broadcast = true;
    assert_eq!(bench.connect(socket, "10.0.0.255:1"), Ok(()));
}

#[test]
fn a_closed_socket_is_no_more() {
    let mut bench = Bench::new();
    let socket = bench.bound("10.0.0.1:53");
    bench.datagram("10.0.0.9:7", "10.0.0.1:53", b"unread");
    bench.lab.close(bench.host, socket).unwrap();
    let bad = Err(SocketError::BadSocket);
    assert_eq!(bench.lab.close(bench.host, socket), bad);
    assert_eq!(bench.stack().bind(socket, at("10.0.0.1:53")), bad);
    assert_eq!(bench.connect(socket, "10.0.0.9:7"), bad);
    assert_eq!(bench.send_to(socket, "10.0.0.9:7", b""), bad);
    assert_eq!(bench.send(socket, b"").map(|_| ()), bad);
    assert_eq!(bench.stack().local_addr(socket), Err(SocketError::BadSocket));
    assert_eq!(bench.stack().peer_addr(socket), Err(SocketError::BadSocket));
    assert_eq!(bench.stack().try_recv(socket).map(|_| ()), bad);
    assert!(bench.stack().readiness(socket).is_empty());
    let refused = bench.datagram("10.0.0.9:7", "10.0.0.1:53", b"late");
    assert_eq!(refused, [DropReason::NoSocket]);
}

/// A ping socket's port is its identifier (Linux `ping_bind`); a raw one's says nothing.
#[test]
fn ports_of_ping_and_raw_sockets() {
    let mut bench = Bench::new();
    let ping = bench.stack().open_ping(Some(7)).unwrap();
    assert_eq!(bench.stack().local_addr(ping), Ok(at("0.0.0.0:7")));
    bench.stack().bind(ping, at("10.0.0.5:8")).unwrap();
    assert_eq!(bench.stack().socket_kind(ping), Ok(SocketKind::Ping { ident: 8 }));
    assert_eq!(bench.stack().local_addr(ping), Ok(at("10.0.0.5:8")));
    let other = bench.stack().open_ping(Some(7)).unwrap();
    let taken = bench.stack().bind(other, at("10.0.0.5:8"));
    assert_eq!(taken, Err(SocketError::AddressInUse));
    let reply = Ip::icmp(ip(PEER), ip(ALSO_HERE), echo_reply(8, 1, b"data"));
    assert_eq!(bench.give(&reply), []);
    assert_eq!(bench.received(ping).len(), 1);
    let raw = bench.stack().open_raw(tapping_stack::wire::Protocol(200)).unwrap();
    assert_eq!(bench.stack().local_addr(raw), Ok(at("0.0.0.0:200")));
    for socket in [ping, raw] {
        let unconnected = bench.send(socket, &echo(8, 1, b""));
        assert_eq!(unconnected, Err(SocketError::DestinationAddressRequired));
        bench.connect(socket, "10.0.0.9:0").unwrap();
        assert_eq!(bench.send(socket, &echo(8, 1, b"")), Ok(8));
        assert_eq!(bench.lab.heard_ip(bench.tester).len(), 1);
    }
}
