//! Listeners: backlog, unaccepted connections, deferral.

use tapping_stack::wire::TcpFlags;
use tapping_stack::{SocketError, TcpState};

use super::*;

/// As many as the backlog, and one more, wait to be accepted (Linux `sk_acceptq_is_full`).
#[test]
fn the_backlog_counts_one_more() {
    for backlog in [1, 2, 5] {
        let mut wire = Wire::new();
        let listener = wire.listener(80, backlog);
        for n in 0..=backlog {
            wire.handshake(80, 1000 + n as u16);
        }
        let mut peer = Peer::new(PEER, 2000, US, 80);
        wire.give_quietly(&peer.syn());
        assert_eq!(wire.ext().listen_overflows, 1);
        wire.accept(listener).unwrap();
        wire.handshake(80, 2001);
        let waiting = std::iter::from_fn(|| wire.accept(listener).ok()).count();
        assert_eq!(waiting, backlog + 1);
        assert_eq!(wire.accept(listener), Err(SocketError::WouldBlock));
    }
}

#[test]
fn listening_again_changes_the_backlog() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 1);
    wire.handshake(80, 1);
    wire.handshake(80, 2);
    let mut peer = Peer::new(PEER, 3, US, 80);
    wire.give_quietly(&peer.syn());
    wire.listen(listener, 2).unwrap();
    wire.handshake(80, 4);
    for port in [1, 2, 4] {
        let socket = wire.accept(listener).unwrap();
        assert_eq!(wire.stack().peer_addr(socket), Ok(at(PEER, port)), "oldest first");
    }
}

/// A listener that closes ends its own handshakes, and no others.
#[test]
fn closing_a_listener_ends_its_handshakes() {
    let mut wire = Wire::new();
    let listeners = [80, 81, 82].map(|port| wire.listener(port, 16));
    let mut peers: Vec<Peer> = Vec::new();
    for n in 0..30 {
        let mut peer = Peer::new(PEER, 1000 + n, US, 80 + n % 3);
        let syn_ack = wire.answer(&peer.syn());
        peer.ack = syn_ack.seq + 1;
        peers.push(peer);
    }
    let handshakes = |wire: &mut Wire| wire.stack().tcp_counts().2;
    assert_eq!(handshakes(&mut wire), 30);
    // Some of those of the second one end first, not in the order in which they began.
    for n in [4, 16, 1] {
        wire.give_quietly(&peers[n].ack());
    }
    wire.close(listeners[0]);
    assert_eq!(handshakes(&mut wire), 17);
    for (n, peer) in peers.iter_mut().enumerate().filter(|(n, _)| ![4, 16, 1].contains(n)) {
        match n % 3 {
            0 => assert!(wire.answer(&peer.ack()).is_rst(), "nobody listens"),
            _ => wire.give_quietly(&peer.ack()),
        }
    }
    assert_eq!(handshakes(&mut wire), 0);
    for listener in &listeners[1..] {
        assert_eq!(std::iter::from_fn(|| wire.accept(*listener).ok()).count(), 10);
    }
}

#[test]
fn closing_a_listener_resets_who_was_not_accepted() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 8);
    let peers = [1, 2, 3].map(|port| wire.handshake(80, port));
    let accepted = wire.accept(listener).unwrap();
    let mut half_open = Peer::new(PEER, 4, US, 80);
    wire.answer(&half_open.syn());
    wire.close(listener);
    let resets = wire.heard();
    let mut ports: Vec<u16> = resets.iter().map(|seg| seg.dst.port()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [2, 3], "{resets:?}");
    for rst in &resets {
        assert!(rst.is_rst());
        let peer = peers.iter().find(|peer| peer.addr == rst.dst).unwrap();
        assert_eq!(rst.seq, peer.ack, "the peer must believe it");
    }
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 0), "the accepted one alone");
    assert_eq!(wire.send(accepted, b"still here"), Ok(10));
    assert_eq!(wire.heard_one().payload, b"still here");
    // The handshake that was under way has nobody to complete it.
    assert!(wire.answer(&half_open.ack()).is_rst());
}

#[test]
fn a_connection_reset_in_the_queue_is_accepted_all_the_same() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 8);
    let mut peer = wire.handshake(80, 7);
    let data = peer.data(b"hello");
    wire.give(&data);
    wire.give(&peer.rst());
    let now = wire.now();
    let (socket, addr) = wire.stack().accept(now, listener).unwrap();
    assert_eq!(addr, at(PEER, 7));
    assert_eq!(wire.receive(socket).unwrap(), b"hello");
    assert_eq!(wire.receive(socket), Err(SocketError::ConnectionReset));
    wire.close(socket);
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 0));
}

#[test]
fn data_and_fin_may_come_before_accept() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 8);
    let mut peer = wire.handshake(80, 7);
    let (data, fin) = (peer.data(b"all of it"), peer.fin());
    wire.give(&data);
    wire.give(&fin);
    let socket = wire.accept(listener).unwrap();
    assert_eq!(wire.stack().tcp_state(socket), Ok(TcpState::CloseWait));
    assert_eq!(wire.receive(socket).unwrap(), b"all of it");
    assert_eq!(wire.receive(socket).unwrap(), b"");
}

/// What is accepted has the options of its listener at the time of the handshake's end.
#[test]
fn options_are_inherited() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 8);
    wire.set(listener, |options| {
        options.nodelay = true;
        options.keepalive = true;
        options.send_buffer = Some(50_000);
    });
    let ip = wire.stack().socket_options(listener).unwrap();
    (ip.ttl, ip.tos, ip.mark) = (Some(9), 0x20, 5);
    wire.handshake(80, 7);
    let socket = wire.accept(listener).unwrap();
    let options = *wire.stack().tcp_options(socket).unwrap();
    assert!(options.nodelay && options.keepalive && options.send_buffer == Some(50_000));
    let ip = wire.stack().socket_options(socket).unwrap();
    assert_eq!((ip.ttl, ip.tos, ip.mark), (Some(9), 0x20, 5));
}

/// TCP_DEFER_ACCEPT (Linux `tcp_check_req`, `syn_ack_recalc`).
#[test]
fn accepting_is_deferred_until_data_comes() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 8);
    wire.set(listener, |options| options.defer_accept = secs(3));
    let mut peer = wire.handshake(80, 7);
    assert_eq!(wire.accept(listener), Err(SocketError::WouldBlock), "no data yet");
    assert_eq!(wire.ext().tcp_defer_accept_drop, 1);
    let data = peer.data(b"now");
    wire.give(&data);
    let socket = wire.accept(listener).unwrap();
    assert_eq!(wire.receive(socket).unwrap(), b"now");
    // Who stays silent is asked once more when the time is over, and then accepted.
    let peer = wire.handshake(80, 8);
    let again = wire.pass(secs(4));
    assert_eq!(again.len(), 1, "{again:?}");
    assert!(again[0].is_syn_ack() && again[0].seq + 1 == peer.ack);
    wire.give(&peer.ack());
    wire.accept(listener).expect("a connection");
}

#[test]
fn the_peer_may_reset_its_handshake() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 8);
    let mut peer = Peer::new(PEER, 7, US, 80);
    let syn_ack = wire.answer(&peer.syn());
    peer.ack = syn_ack.seq + 1;
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 1));
    wire.give_quietly(&peer.seg(TcpFlags::RST));
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 0));
    assert_eq!(wire.accept(listener), Err(SocketError::WouldBlock));
    assert_eq!(wire.ext().embryonic_rsts, 1);
}
