//! Ports: who may have which, and which listener gets what.

use core::net::Ipv4Addr;
use std::collections::HashSet;

use tapping_stack::{LinkId, Shutdown, SocketError, SocketId};

use super::*;

/// Binds two sockets one after the other, each with SO_REUSEADDR or SO_REUSEPORT.
fn both(
    first: (Ipv4Addr, bool, bool),
    second: (Ipv4Addr, bool, bool),
    listen: bool,
) -> Result<(), SocketError> {
    let mut wire = Wire::new();
    let made = [first, second].map(|(addr, reuse_addr, reuse_port)| {
        let socket = wire.socket();
        wire.set(socket, |options| {
            options.reuse_addr = reuse_addr;
            options.reuse_port = reuse_port;
        });
        (socket, addr)
    });
    wire.stack().bind(made[0].0, at(made[0].1, 80)).unwrap();
    if listen {
        wire.listen(made[0].0, 4).unwrap();
    }
    wire.stack().bind(made[1].0, at(made[1].1, 80))
}

/// Linux `inet_csk_bind_conflict`.
#[test]
fn conflicts_of_bind() {
    let in_use = Err(SocketError::AddressInUse);
    for (a, b) in [(US, US), (ANY, US), (US, ANY), (ANY, ANY)] {
        for listen in [false, true] {
            let with = |first: (bool, bool), second: (bool, bool)| {
                both((a, first.0, first.1), (b, second.0, second.1), listen)
            };
            let (none, addr, port) = ((false, false), (true, false), (false, true));
            assert_eq!(with(none, none), in_use);
            assert_eq!(with(addr, none), in_use, "both must allow it");
            assert_eq!(with(none, addr), in_use);
            assert_eq!(with(port, addr), in_use);
            assert_eq!(with(addr, addr), if listen { in_use } else { Ok(()) });
            assert_eq!(with(port, port), Ok(()));
        }
        assert_eq!(both((US, false, false), (ALSO_US, false, false), true), Ok(()));
    }
}

#[test]
fn only_one_of_those_who_share_may_listen() {
    let mut wire = Wire::new();
    let sockets = [0; 2].map(|_| {
        let socket = wire.socket();
        wire.set(socket, |options| options.reuse_addr = true);
        wire.stack().bind(socket, at(ANY, 80)).unwrap();
        socket
    });
    wire.listen(sockets[0], 1).unwrap();
    assert_eq!(wire.listen(sockets[1], 1), Err(SocketError::AddressInUse));
    wire.close(sockets[0]);
    assert_eq!(wire.listen(sockets[1], 1), Ok(()));
}

/// Linux checks with the options as they are, not as they were when bind was called.
#[test]
fn options_count_as_they_are() {
    let mut wire = Wire::new();
    let first = wire.bound(ANY, 80);
    let second = wire.socket();
    wire.set(second, |options| options.reuse_addr = true);
    assert_eq!(wire.stack().bind(second, at(ANY, 80)), Err(SocketError::AddressInUse));
    wire.set(first, |options| options.reuse_addr = true);
    assert_eq!(wire.stack().bind(second, at(ANY, 80)), Ok(()));
}

/// A server that starts again needs SO_REUSEADDR, and so did the one before.
#[test]
fn connections_that_linger_hold_the_port() {
    for (before, after, expected) in [
        (false, false, Err(SocketError::AddressInUse)),
        (false, true, Err(SocketError::AddressInUse)),
        (true, false, Err(SocketError::AddressInUse)),
        (true, true, Ok(())),
    ] {
        for time_wait in [true, false] {
            let mut wire = Wire::new();
            let listener = wire.socket();
            wire.set(listener, |options| options.reuse_addr = before);
            wire.stack().bind(listener, at(ANY, 80)).unwrap();
            wire.listen(listener, 4).unwrap();
            let mut peer = wire.handshake(80, 40_000);
            let socket = wire.accept(listener).unwrap();
            wire.close(listener);
            if time_wait {
                wire.close(socket);
                let heard = wire.heard();
                peer.hear(&heard);
                let fin = peer.fin();
                wire.give(&fin);
                assert_eq!(wire.stack().tcp_counts(), (0, 1, 0));
            }
            let again = wire.socket();
            wire.set(again, |options| options.reuse_addr = after);
            let bound = wire.stack().bind(again, at(ANY, 80));
            assert_eq!(bound, expected, "{before} {after} {time_wait}");
            if time_wait {
                wire.pass(secs(61));
                let later = wire.socket();
                wire.set(later, |options| options.reuse_addr = after);
                wire.close(again);
                assert_eq!(wire.stack().bind(later, at(ANY, 80)), Ok(()), "after TIME-WAIT");
            }
        }
    }
}

#[test]
fn ports_of_connections_are_not_for_others() {
    let mut wire = Wire::new();
    let (_, peer) = wire.connected(80);
    let other = wire.socket();
    let in_use = Err(SocketError::AddressInUse);
    assert_eq!(wire.stack().bind(other, at(US, peer.host.port())), in_use);
    assert_eq!(wire.stack().bind(other, at(ALSO_US, peer.host.port())), Ok(()), "elsewhere");
}

#[test]
fn a_bound_socket_cannot_make_the_same_connection_twice() {
    let mut wire = Wire::new();
    let made = [0; 2].map(|_| {
        let socket = wire.socket();
        wire.set(socket, |options| options.reuse_addr = true);
        wire.stack().bind(socket, at(US, 5000)).unwrap();
        socket
    });
    wire.connect(made[0], (PEER, 80)).unwrap();
    assert_eq!(wire.connect(made[1], (PEER, 80)), Err(SocketError::AddressNotAvailable));
    assert_eq!(wire.connect(made[1], (PEER, 81)), Ok(()));
}

/// The most exact listener gets the connection: by link, then by address.
#[test]
fn the_most_exact_listener() {
    let mut wire = Wire::new();
    let any = wire.listener(80, 4);
    let mut on_link = |addr, link| {
        let socket = wire.socket();
        wire.stack().socket_options(socket).unwrap().bind_link = link;
        wire.set(socket, |options| options.reuse_port = true);
        wire.stack().bind(socket, at(addr, 81)).unwrap();
        wire.listen(socket, 4).unwrap();
        socket
    };
    let exact = on_link(US, None);
    let wildcard = on_link(ANY, None);
    let here = Some(LinkId::LOOPBACK);
    let elsewhere = on_link(US, here);
    wire.handshake(80, 1);
    wire.handshake(81, 2);
    let mut peer = Peer::new(PEER, 3, ALSO_US, 81);
    let syn_ack = wire.answer(&peer.syn());
    peer.ack = syn_ack.seq + 1;
    wire.give(&peer.ack());
    let name = |wire: &mut Wire, listener: SocketId| {
        let socket = wire.accept(listener)?;
        let peer = wire.stack().peer_addr(socket)?;
        Ok(peer.port())
    };
    assert_eq!(name(&mut wire, any), Ok(1));
    assert_eq!(name(&mut wire, exact), Ok(2));
    assert_eq!(name(&mut wire, wildcard), Ok(3));
    assert_eq!(name(&mut wire, elsewhere), Err(SocketError::WouldBlock));
    // Bound to the link that it comes in by: the better one.
    let link = wire.link;
    let socket = wire.socket();
    wire.stack().socket_options(socket).unwrap().bind_link = Some(link);
    wire.set(socket, |options| options.reuse_port = true);
    wire.stack().bind(socket, at(US, 81)).unwrap();
    wire.listen(socket, 4).unwrap();
    wire.handshake(81, 4);
    assert_eq!(name(&mut wire, socket), Ok(4));
    assert_eq!(name(&mut wire, exact), Err(SocketError::WouldBlock));
}

#[test]
fn listeners_with_reuse_port_share_the_load() {
    let mut wire = Wire::new();
    let listeners = [0; 4].map(|_| {
        let socket = wire.socket();
        wire.set(socket, |options| options.reuse_port = true);
        wire.stack().bind(socket, at(ANY, 80)).unwrap();
        wire.listen(socket, 400).unwrap();
        socket
    });
    for port in 0..400 {
        wire.handshake(80, 10_000 + port);
    }
    let mut count = |listener| {
        let mut n = 0;
        while wire.accept(listener).is_ok() {
            n += 1;
        }
        n
    };
    let counts = listeners.map(&mut count);
    assert_eq!(counts.iter().sum::<u32>(), 400);
    assert!(counts.iter().all(|n| (60..=140).contains(n)), "{counts:?}");
    // With one gone, the others take all.
    wire.close(listeners[0]);
    for port in 0..100 {
        wire.handshake(80, 20_000 + port);
    }
    let rest: u32 = listeners[1..]
        .iter()
        .map(|listener| {
            let mut n = 0;
            while wire.accept(*listener).is_ok() {
                n += 1;
            }
            n
        })
        .sum();
    assert_eq!(rest, 100);
}

/// Where a listener belongs follows its options (SO_BINDTODEVICE).
#[test]
fn a_listener_that_is_bound_to_a_link_afterwards() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 8);
    wire.handshake(80, 1);
    wire.stack().socket_options(listener).unwrap().bind_link = Some(LinkId::LOOPBACK);
    let mut peer = Peer::new(PEER, 2, US, 80);
    assert!(wire.answer(&peer.syn()).is_rst(), "it listens elsewhere");
    let link = wire.link;
    wire.stack().socket_options(listener).unwrap().bind_link = Some(link);
    wire.handshake(80, 3);
    wire.stack().socket_options(listener).unwrap().bind_link = None;
    wire.handshake(80, 4);
    assert_eq!(std::iter::from_fn(|| wire.accept(listener).ok()).count(), 3);
    wire.close(listener);
    let mut peer = Peer::new(PEER, 5, US, 80);
    assert!(wire.answer(&peer.syn()).is_rst(), "nobody listens");
}

#[test]
fn no_port_is_any_free_one() {
    let mut wire = Wire::with(config(|tcp| tcp.port_range = (40_000, 40_019)));
    let ports: HashSet<u16> = (0..20)
        .map(|_| {
            let socket = wire.bound(ANY, 0);
            wire.stack().local_addr(socket).unwrap().port()
        })
        .collect();
    assert_eq!(ports.len(), 20);
    assert!(ports.iter().all(|port| (40_000..40_020).contains(port)));
    let socket = wire.socket();
    assert_eq!(wire.stack().bind(socket, at(ANY, 0)), Err(SocketError::AddressInUse));
    assert_eq!(wire.listen(socket, 1), Err(SocketError::AddressInUse));
    assert_eq!(wire.connect(socket, (PEER, 80)), Err(SocketError::AddressNotAvailable));
}

#[test]
fn listening_without_a_port() {
    let mut wire = Wire::new();
    let socket = wire.socket();
    wire.listen(socket, 4).unwrap();
    let port = wire.stack().local_addr(socket).unwrap().port();
    assert!((32_768..=60_999).contains(&port));
    wire.handshake(port, 1);
    wire.accept(socket).unwrap();
    // It goes with the listener, as no number was asked for.
    wire.shutdown(socket, Shutdown::Read).unwrap();
    wire.close(socket);
    let mut peer = Peer::new(PEER, 2, US, port);
    assert!(wire.answer(&peer.syn()).is_rst());
}

/// A listener that is shut down may be made to listen again, or to connect.
#[test]
fn a_listener_may_become_something_else() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 4);
    wire.shutdown(listener, Shutdown::Write).unwrap();
    wire.handshake(80, 1);
    wire.shutdown(listener, Shutdown::Read).unwrap();
    assert!(wire.heard_one().is_rst(), "the one not accepted");
    assert_eq!(wire.accept(listener), Err(SocketError::InvalidArgument));
    let mut peer = Peer::new(PEER, 2, US, 80);
    assert!(wire.answer(&peer.syn()).is_rst());
    wire.listen(listener, 4).unwrap();
    wire.handshake(80, 3);
    wire.accept(listener).unwrap();
    wire.shutdown(listener, Shutdown::Both).unwrap();
    assert_eq!(wire.connect(listener, (PEER, 99)), Ok(()));
    assert_eq!(wire.heard_one().src.port(), 80, "the port stays");
}

/// Connections through a socket bound to a link use that link, from SYN-ACK on.
#[test]
fn a_link_binds_both_directions() {
    let mut wire = Wire::new();
    let segment = wire.lab.segment();
    let second = wire.lab.attach(wire.host, segment, "10.1.0.1/24");
    let other = wire.lab.tester(segment);
    let host = wire.host;
    // The way back to 10.0.0.2 is by the first link, unless the socket says otherwise.
    wire.lab.know(host, second, PEER, other.mac);
    wire.lab.run_for(secs(60));
    wire.lab.heard(other);
    let listener = wire.socket();
    wire.stack().socket_options(listener).unwrap().bind_link = Some(second);
    wire.stack().bind(listener, at(ANY, 80)).unwrap();
    wire.listen(listener, 4).unwrap();
    let mut peer = Peer::new(PEER, 5, US, 80);
    // By the first link nobody listens.
    assert!(wire.answer(&peer.syn()).is_rst());
    let mut peer = Peer::new("10.1.0.2".parse().unwrap(), 5, "10.1.0.1".parse().unwrap(), 80);
    wire.lab.know(host, second, *peer.addr.ip(), other.mac);
    wire.lab.inject_ip(other, host, second, &peer.syn().build());
    let heard = wire.lab.heard_one_ip(other);
    let syn_ack = Seg::read(wire.now(), &heard).unwrap();
    assert!(syn_ack.is_syn_ack());
    peer.ack = syn_ack.seq + 1;
    wire.lab.inject_ip(other, host, second, &peer.ack().build());
    let socket = wire.accept(listener).unwrap();
    wire.send(socket, b"by this link").unwrap();
    wire.lab.settle();
    let heard = wire.lab.heard_one_ip(other);
    assert_eq!(Seg::read(wire.now(), &heard).unwrap().payload, b"by this link");
    wire.heard_nothing();
}

#[test]
fn bind_takes_addresses_of_ours() {
    let mut wire = Wire::new();
    let socket = wire.socket();
    for (addr, expected) in [
        ("10.0.0.9:80", Err(SocketError::AddressNotAvailable)),
        ("[::1]:80", Err(SocketError::AddressFamilyNotSupported)),
        ("127.0.0.1:80", Ok(())),
    ] {
        assert_eq!(wire.stack().bind(socket, addr.parse().unwrap()), expected, "{addr}");
    }
    // Linux takes these, too; nothing ever comes to them.
    for addr in ["224.0.0.1:81", "10.0.0.255:82"] {
        let socket = wire.socket();
        assert_eq!(wire.stack().bind(socket, addr.parse().unwrap()), Ok(()), "{addr}");
    }
}
