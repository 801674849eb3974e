//! Nothing stays behind of a connection, however it has ended.

use core::net::Ipv4Addr;

use tapping_stack::wire::{Message, TcpFlags, Unreachable};
use tapping_stack::{Shutdown, SocketError, SocketId};

use super::*;

/// The ways in which connections end here.
const WAYS: usize = 14;

/// Makes a connection from the peer's `port` and ends it in one way or another.
fn live_and_die(wire: &mut Wire, listener: SocketId, port: u16, way: usize) {
    if way >= 10 {
        return connect_and_die(wire, port, way);
    }
    let mut peer = wire.handshake(80, port);
    let socket = wire.accept(listener).unwrap();
    wire.send(socket, &[1; 3000]).unwrap();
    let heard = wire.heard();
    match way {
        // Both read and close in order.
        0 | 1 => {
            peer.hear(&heard);
            let (data, fin) = (peer.data(b"thanks"), peer.fin());
            wire.give(&data);
            wire.receive(socket).unwrap();
            if way == 0 {
                wire.give(&fin);
                wire.close(socket);
                let heard = wire.heard();
                peer.hear(&heard);
                wire.give(&peer.ack());
            } else {
                wire.close(socket);
                let heard = wire.heard();
                peer.hear(&heard);
                wire.give(&fin);
            }
        }
        // The peer resets, with data queued both ways.
        2 => {
            let data = peer.data(&[2; 1000]);
            wire.give(&data);
            wire.give(&peer.rst());
            wire.close(socket);
        }
        // Unread data, also behind a hole.
        3 => {
            let data = peer.data(&[2; 1000]);
            wire.give(&data);
            let beyond = Seg { seq: peer.seq + 5000, payload: vec![3; 700], ..peer.ack() };
            wire.give(&beyond);
            wire.close(socket);
        }
        4 => {
            let now = wire.now();
            wire.stack().abort(now, socket).unwrap();
        }
        // The peer vanishes.
        5 => wire.close(socket),
        6 => {
            wire.set(socket, |options| options.user_timeout = secs(2));
            wire.pass(secs(10));
            assert_eq!(wire.receive(socket), Err(SocketError::TimedOut));
            wire.close(socket);
        }
        // The peer's window is closed.
        7 => {
            peer.hear(&heard);
            peer.window = 0;
            wire.give(&peer.ack());
            while wire.send(socket, &[1; 10_000]).is_ok() {}
            wire.close(socket);
        }
        // Simultaneous close.
        8 => {
            peer.hear(&heard);
            wire.give(&peer.ack());
            wire.shutdown(socket, Shutdown::Both).unwrap();
            wire.heard();
            let fin = peer.fin();
            wire.give(&fin);
            peer.ack += 1;
            wire.give(&peer.ack());
            wire.close(socket);
        }
        // A SYN in the window.
        _ => {
            let syn = Seg { flags: TcpFlags::SYN, ..peer.ack() };
            wire.give(&syn);
            wire.give(&peer.seg(TcpFlags::RST));
            wire.close(socket);
        }
    }
    wire.heard();
}

fn connect_and_die(wire: &mut Wire, port: u16, way: usize) {
    let (socket, mut peer, syn) = wire.connecting(port);
    peer.ack = syn.seq + 1;
    match way {
        10 => {
            wire.give(&peer.rst());
        }
        11 => {
            wire.give_error(&syn, Message::DestinationUnreachable(Unreachable::Port));
        }
        12 => wire.shutdown(socket, Shutdown::Both).unwrap(),
        // Left alone.
        _ => {}
    }
    wire.close(socket);
    wire.heard();
}

#[test]
fn nothing_is_left_of_many_connections() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 16);
    // As many buffers as are ever in use at once, so that every one that is lost shows.
    let buffers: Vec<_> = (0..400).map(|_| wire.stack().take_buffer(100)).collect();
    buffers.into_iter().for_each(|buffer| wire.stack().recycle(buffer));
    let large: Vec<_> = (0..16).map(|_| wire.stack().take_buffer(60_000)).collect();
    large.into_iter().for_each(|buffer| wire.stack().recycle(buffer));
    let before = wire.stack().pool().free();
    for round in 0..6 {
        for way in 0..WAYS {
            live_and_die(&mut wire, listener, (1000 + round * WAYS + way) as u16, way);
        }
    }
    wire.pass(secs(2000));
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 0));
    let after = wire.stack().pool().free();
    assert!(after.0 >= before.0 && after.1 >= before.1, "{before:?} {after:?}");
    assert_eq!(wire.mib().curr_estab, 0);
    // Their ports are free again.
    wire.close(listener);
    assert_eq!(wire.stack().tcp_counts(), (0, 0, 0));
    wire.bound(ANY, 80);
    // With nothing to wait for there is no timer of TCP's: nothing is sent any more.
    assert!(wire.pass(secs(100_000)).is_empty());
}

/// Both ends in one stack, so that every buffer comes from its pool and goes back there.
#[test]
fn buffers_go_around_the_loopback() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 64);
    let buffers: Vec<_> = (0..512).map(|_| wire.stack().take_buffer(100)).collect();
    buffers.into_iter().for_each(|buffer| wire.stack().recycle(buffer));
    let large: Vec<_> = [4000, 8000, 16_000, 32_000, 65_000]
        .into_iter()
        .flat_map(|size| [size; 16])
        .map(|size| wire.stack().take_buffer(size))
        .collect();
    large.into_iter().for_each(|buffer| wire.stack().recycle(buffer));
    let before = wire.stack().pool().free();
    for n in 0..60usize {
        let here = wire.socket();
        wire.connect(here, (Ipv4Addr::LOCALHOST, 80)).unwrap();
        wire.lab.settle();
        let there = wire.accept(listener).unwrap();
        let data: Vec<u8> = (0..n * 997).map(|byte| byte as u8).collect();
        let mut sent = 0;
        let mut received = Vec::new();
        // Every third reads only a part of it.
        let enough = if n % 3 == 0 { data.len() / 2 } else { data.len() };
        while received.len() < enough {
            sent += wire.send(here, &data[sent..]).unwrap_or(0);
            wire.lab.settle();
            match wire.receive(there) {
                Ok(more) => received.extend(more),
                Err(SocketError::WouldBlock) => wire.lab.run_for(millis(40)),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(received, data[..received.len()]);
        let now = wire.now();
        match n % 4 {
            0 => wire.close(here),
            1 => wire.stack().abort(now, here).unwrap(),
            2 => {
                wire.close(there);
                wire.lab.settle();
                wire.close(here);
                continue;
            }
            _ => {
                wire.shutdown(here, Shutdown::Write).unwrap();
                wire.lab.settle();
                wire.close(here);
            }
        }
        wire.lab.settle();
        wire.close(there);
    }
    wire.pass(secs(2000));
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 0));
    let after = wire.stack().pool().free();
    assert!(after.0 >= before.0 && after.1 >= before.1, "{before:?} {after:?}");
}

#[test]
fn many_sockets() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 4096);
    let sockets: Vec<SocketId> = (0..2000u16)
        .map(|n| {
            let socket = wire.socket();
            wire.connect(socket, (ALSO_US, 80)).unwrap();
            if n % 100 == 99 {
                wire.lab.settle();
            }
            socket
        })
        .collect();
    wire.lab.settle();
    let accepted: Vec<SocketId> = std::iter::from_fn(|| wire.accept(listener).ok()).collect();
    assert_eq!(accepted.len(), 2000);
    assert_eq!(wire.stack().tcp_counts(), (4001, 0, 0));
    for (n, socket) in sockets.iter().enumerate() {
        wire.send(*socket, &n.to_be_bytes()).unwrap();
        if n % 100 == 99 {
            wire.lab.settle();
        }
    }
    wire.lab.settle();
    let mut numbers: Vec<usize> = accepted
        .iter()
        .map(|socket| usize::from_be_bytes(wire.receive(*socket).unwrap().try_into().unwrap()))
        .collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..2000), "each got its own");
    for socket in sockets.into_iter().chain(accepted) {
        wire.close(socket);
    }
    wire.pass(secs(130));
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 0));
}

#[test]
fn sockets_are_limited() {
    let mut wire = Wire::with(config(|tcp| tcp.max_sockets = 3));
    let listener = wire.listener(80, 16);
    let _others = [wire.socket(), wire.socket()];
    assert_eq!(wire.stack().open_tcp(), Err(SocketError::TooManySockets));
    let mut peer = Peer::new(PEER, 1, US, 80);
    let syn_ack = wire.answer(&peer.syn());
    peer.ack = syn_ack.seq + 1;
    wire.give(&peer.ack());
    assert_eq!(wire.accept(listener), Err(SocketError::WouldBlock));
    assert_eq!(wire.stack().tcp_counts(), (3, 0, 0));
}
