//! How much waits to be read, to be sent and to be acknowledged; urgent bytes; and sockets that are
//! disconnected.

use tapping_stack::socket::{Interest, Readiness};
use tapping_stack::tcp::SendFlags;
use tapping_stack::wire::TcpFlags;
use tapping_stack::{Shutdown, SocketError, SocketId, TcpState};

use super::readiness::Watch;
use super::*;

/// Unread, unacknowledged and unsent.
fn queued(wire: &mut Wire, socket: SocketId) -> (usize, usize, usize) {
    let stack = wire.stack();
    let sizes = (stack.unread(socket), stack.unacknowledged(socket), stack.unsent(socket));
    (sizes.0.unwrap(), sizes.1.unwrap(), sizes.2.unwrap())
}

fn disconnect(wire: &mut Wire, socket: SocketId) {
    let now = wire.now();
    wire.stack().disconnect(now, socket).unwrap();
}

/// Linux `tcp_ioctl`.
#[test]
fn what_waits_is_counted() {
    let mut wire = Wire::new();
    let (listener, socket, mut peer) = wire.accepted(80);
    assert_eq!(queued(&mut wire, socket), (0, 0, 0));
    let data = peer.data(&[1; 100]);
    wire.give(&data);
    assert_eq!(queued(&mut wire, socket), (100, 0, 0));
    wire.send(socket, &[2; 3000]).unwrap();
    assert_eq!(queued(&mut wire, socket), (100, 3000, 0));
    let heard = wire.heard();
    peer.hear(&heard);
    peer.window = 0;
    let ack = peer.ack();
    wire.give(&ack);
    assert_eq!(queued(&mut wire, socket), (100, 0, 0));
    wire.send(socket, &[2; 500]).unwrap();
    assert_eq!(queued(&mut wire, socket), (100, 500, 500));
    // FIN counts as one; the peer's does not.
    wire.shutdown(socket, Shutdown::Write).unwrap();
    let fin = peer.fin();
    wire.give(&fin);
    assert_eq!(queued(&mut wire, socket), (100, 501, 501));
    wire.receive(socket).unwrap();
    assert_eq!(queued(&mut wire, socket).0, 0);
    let stack = wire.stack();
    for count in [stack.unread(listener), stack.unacknowledged(listener), stack.unsent(listener)] {
        assert_eq!(count, Err(SocketError::InvalidArgument));
    }
    let (connecting, ..) = wire.connecting(81);
    assert_eq!(queued(&mut wire, connecting), (0, 0, 0), "SYN is not data");
}

/// Of datagrams, those of the next one.
#[test]
fn the_next_datagram_is_counted() {
    let mut wire = Wire::new();
    let now = wire.now();
    let stack = wire.stack();
    let [a, b] = [9, 10].map(|port| {
        let socket = stack.open_udp().unwrap();
        stack.bind(socket, at(US, port)).unwrap();
        socket
    });
    for len in [30, 20] {
        stack.send_to(now, a, at(US, 10), &vec![0; len]).unwrap();
    }
    wire.pass(millis(1));
    let now = wire.now();
    let stack = wire.stack();
    assert_eq!(stack.unread(a), Ok(0));
    assert_eq!(stack.unread(b), Ok(30));
    stack.recv(b).unwrap();
    assert_eq!(stack.unread(b), Ok(20));
    // Disconnected twice is not connected.
    stack.connect(now, a, at(US, 10)).unwrap();
    for _ in 0..2 {
        stack.disconnect(now, a).unwrap();
        assert_eq!(stack.peer_addr(a), Err(SocketError::NotConnected));
        assert_eq!(stack.local_addr(a), Ok(at(US, 9)));
    }
    let raw = stack.open_raw(tapping_stack::wire::Protocol(200)).unwrap();
    stack.connect(now, raw, at(PEER, 0)).unwrap();
    stack.disconnect(now, raw).unwrap();
    assert_eq!(stack.peer_addr(raw), Err(SocketError::NotConnected));
    assert_eq!(stack.local_addr(raw).unwrap().ip(), ANY);
}

/// Linux `tcp_disconnect`: what bind was asked for by name is kept.
#[test]
fn a_disconnected_socket_keeps_what_it_was_bound_to() {
    for (local, kept) in [
        (None, (ANY, 0)),
        (Some((US, 5000)), (US, 5000)),
        (Some((ANY, 5000)), (ANY, 5000)),
        (Some((US, 0)), (US, 0)),
    ] {
        let mut wire = Wire::new();
        let socket = wire.socket();
        if let Some((addr, port)) = local {
            wire.stack().bind(socket, at(addr, port)).unwrap();
        }
        for round in 0..2 {
            wire.connect(socket, (PEER, 80)).unwrap();
            let syn = wire.heard_one();
            let mut peer = Peer::new(PEER, 80, US, syn.src.port());
            wire.give(&peer.syn_ack(&syn));
            let data = peer.data(b"unread");
            wire.give(&data);
            disconnect(&mut wire, socket);
            let rst = wire.heard_one();
            assert!(rst.is_rst() && rst.ack == peer.seq, "round {round}: {rst:?}");
            assert_eq!(wire.stack().tcp_state(socket), Ok(TcpState::Closed));
            assert_eq!(wire.stack().local_addr(socket), Ok(at(kept.0, kept.1)), "{local:?}");
            assert_eq!(wire.stack().take_error(socket), Ok(Some(SocketError::ConnectionReset)));
            assert_eq!(wire.receive(socket), Err(SocketError::NotConnected));
            assert_eq!(wire.stack().peer_addr(socket), Err(SocketError::NotConnected));
        }
        assert_eq!(wire.stack().tcp_counts(), (1, 0, 0));
    }
}

#[test]
fn a_disconnected_listener_may_listen_again() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 4);
    let waiting = wire.handshake(80, 40_000);
    let half = Peer::new(PEER, 40_001, US, 80).syn();
    wire.answer(&half);
    disconnect(&mut wire, listener);
    let heard = wire.heard();
    assert!(heard.len() == 1 && heard[0].is_rst() && heard[0].dst == waiting.addr, "{heard:?}");
    assert_eq!(wire.stack().take_error(listener), Ok(None));
    let refused = wire.answer(&half);
    assert!(refused.is_rst());
    wire.listen(listener, 4).unwrap();
    wire.handshake(80, 40_002);
    assert!(wire.accept(listener).is_ok());
}

/// Whoever waits is told.
#[test]
fn disconnecting_wakes_those_who_wait() {
    let mut wire = Wire::new();
    let (_, socket, _) = wire.accepted(80);
    let reader = Watch::on(&mut wire, socket, Interest::Read);
    let other = Watch::on(&mut wire, socket, Interest::Priority);
    disconnect(&mut wire, socket);
    assert_eq!((reader.count(), other.count()), (1, 1));
}

/// `POLLPRI` comes with the urgent byte, and goes when it is received.
#[test]
fn an_urgent_byte_makes_the_socket_ready_for_it() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    let watch = Watch::on(&mut wire, socket, Interest::Priority);
    let data = peer.data(b"plain");
    wire.give(&data);
    assert_eq!(watch.count(), 0);
    let mut data = peer.data(b"x!y");
    (data.flags, data.urgent) = (data.flags | TcpFlags::URG, 2);
    wire.give(&data);
    assert_eq!(watch.count(), 1);
    assert!(wire.readiness(socket).contains(Readiness::PRIORITY | Readiness::READABLE));
    let now = wire.now();
    let stack = wire.stack();
    // In place, and in pieces.
    let mut read = Vec::new();
    let mut take = |bytes: &[u8]| {
        read.extend_from_slice(bytes);
        bytes.len()
    };
    let mut shown = [0; 10];
    assert_eq!(stack.peek(socket, &mut shown), Ok(6));
    assert_eq!(stack.receive_with(now, socket, &mut take), Ok(5));
    assert_eq!(stack.receive_with(now, socket, &mut take), Ok(1));
    assert_eq!(read, b"plainx");
    assert_eq!(stack.peek(socket, &mut shown), Ok(1));
    assert_eq!((shown[0], stack.is_at_mark(socket)), (b'y', Ok(true)));
    assert_eq!(stack.receive_urgent(socket), Ok(Some(b'!')));
    assert!(!stack.readiness(socket).contains(Readiness::PRIORITY));
    assert_eq!(wire.receive(socket).unwrap(), b"y");
    assert_eq!(wire.receive(socket), Err(SocketError::WouldBlock));
}

/// The urgent byte alone is nothing to read (Linux `tcp_poll`), and is gone with the read that
/// passes it.
#[test]
fn a_mark_alone_is_not_readable() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    let mut data = peer.data(b"!");
    (data.flags, data.urgent) = (data.flags | TcpFlags::URG, 1);
    wire.give(&data);
    assert_eq!(wire.readiness(socket) & Readiness::READABLE, Readiness::empty());
    let now = wire.now();
    let shown = |_: &[u8]| -> usize { unreachable!("there is nothing to show") };
    assert_eq!(wire.stack().receive_with(now, socket, shown), Err(SocketError::WouldBlock));
    assert_eq!(wire.stack().receive_urgent(socket), Err(SocketError::InvalidArgument));
    let fin = peer.fin();
    wire.give(&fin);
    assert_eq!(wire.receive(socket).unwrap(), b"");
}

/// `MSG_OOB` marks what was taken, though not all was.
#[test]
fn what_was_taken_of_urgent_data_is_urgent() {
    let mut wire = Wire::new();
    let (_, socket, _) = wire.accepted(80);
    wire.set(socket, |options| options.send_buffer = Some(2304));
    let now = wire.now();
    let sent = wire.stack().send_with_flags(now, socket, &[0; 9000], SendFlags::URGENT);
    assert_eq!(sent, Ok(4608));
    let heard = wire.heard();
    let ends: Vec<_> = heard.iter().map(|seg| (seg.payload.len(), seg.urgent)).collect();
    assert_eq!(ends, [(1460, 4608), (1460, 3148), (1460, 1688), (228, 228)]);
    assert!(heard.iter().all(|seg| seg.flags.contains(TcpFlags::URG)));
}
