//! How connections end: close, linger, abort, timeouts, orphans.

use tapping_stack::wire::TcpFlags;
use tapping_stack::{Shutdown, SocketError, SocketId, TcpState};

use super::*;

/// Ends the host's side, and the peer's after it.
fn finish(wire: &mut Wire, peer: &mut Peer) {
    let heard = wire.heard();
    peer.hear(&heard);
    let fin = peer.fin();
    let ack = wire.answer(&fin);
    assert_eq!(ack.ack, peer.seq);
}

#[test]
fn closing_sends_what_was_written() {
    let mut wire = Wire::new();
    let (listener, socket, mut peer) = wire.accepted(80);
    wire.close(listener);
    wire.send(socket, b"the end").unwrap();
    wire.close(socket);
    let heard = wire.heard();
    assert_eq!(peer.hear(&heard), b"the end");
    assert!(heard.last().unwrap().flags.contains(TcpFlags::FIN));
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 0), "an orphan");
    let fin = peer.fin();
    let ack = wire.answer(&fin);
    assert_eq!(ack.ack, peer.seq);
    assert_eq!(wire.stack().tcp_counts(), (0, 1, 0), "in TIME-WAIT");
    wire.pass(secs(61));
    assert_eq!(wire.stack().tcp_counts(), (0, 0, 0));
}

/// RFC 2525 §2.17: the peer learns that its data was not read.
#[test]
fn closing_with_unread_data_resets() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    let data = peer.data(b"nobody reads this");
    wire.give(&data);
    wire.heard();
    wire.close(socket);
    let rst = wire.heard_one();
    assert!(rst.is_rst());
    assert_eq!(rst.seq, peer.ack);
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 0));
    assert_eq!(wire.ext().tcp_abort_on_close, 1);
    // Read to the end there is nothing to tell.
    let peer = &mut wire.handshake(80, 41_000);
    let now = wire.now();
    let listener = wire.stack().tcp_sockets().next().unwrap().0;
    let (socket, _) = wire.stack().accept(now, listener).unwrap();
    let data = peer.data(b"read");
    wire.give(&data);
    wire.receive(socket).unwrap();
    wire.close(socket);
    assert!(wire.heard().last().unwrap().flags.contains(TcpFlags::FIN));
}

/// SO_LINGER with a time of zero (socket(7)).
#[test]
fn lingering_for_no_time_resets() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    wire.set(socket, |options| options.linger_reset = true);
    peer.window = 0;
    wire.give(&peer.ack());
    wire.send(socket, b"never sent").unwrap();
    wire.close(socket);
    assert!(wire.heard_one().is_rst());
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 0));
    assert_eq!(wire.ext().tcp_abort_on_data, 1);
    // A connection that is only asked for vanishes.
    let (socket, ..) = wire.connecting(90);
    wire.set(socket, |options| options.linger_reset = true);
    wire.close(socket);
    wire.heard_nothing();
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 0));
}

#[test]
fn aborting_in_every_state() {
    type Make = fn(&mut Wire) -> (SocketId, Peer);
    let established: Make = |wire| {
        let (_, socket, peer) = wire.accepted(80);
        (socket, peer)
    };
    let fin_wait_1: Make = |wire| {
        let (_, socket, peer) = wire.accepted(80);
        wire.shutdown(socket, Shutdown::Write).unwrap();
        wire.heard();
        (socket, peer)
    };
    let fin_wait_2: Make = |wire| {
        let (_, socket, mut peer) = wire.accepted(80);
        wire.shutdown(socket, Shutdown::Write).unwrap();
        let heard = wire.heard();
        peer.hear(&heard);
        wire.give(&peer.ack());
        (socket, peer)
    };
    let close_wait: Make = |wire| {
        let (_, socket, mut peer) = wire.accepted(80);
        let fin = peer.fin();
        wire.give(&fin);
        (socket, peer)
    };
    let last_ack: Make = |wire| {
        let (_, socket, mut peer) = wire.accepted(80);
        let fin = peer.fin();
        wire.give(&fin);
        wire.shutdown(socket, Shutdown::Write).unwrap();
        wire.heard();
        (socket, peer)
    };
    let syn_sent: Make = |wire| {
        let (socket, peer, _) = wire.connecting(80);
        (socket, peer)
    };
    let fresh: Make = |wire| (wire.socket(), Peer::new(PEER, 1, US, 1));
    for (name, make, resets) in [
        ("ESTABLISHED", established, 1),
        ("FIN-WAIT-1", fin_wait_1, 1),
        ("FIN-WAIT-2", fin_wait_2, 1),
        ("CLOSE-WAIT", close_wait, 1),
        // RFC 9293 §3.10.5: all was said.
        ("LAST-ACK", last_ack, 0),
        ("SYN-SENT", syn_sent, 0),
        ("fresh", fresh, 0),
    ] {
        let mut wire = Wire::new();
        let (socket, _) = make(&mut wire);
        let others = wire.stack().tcp_counts().0 - 1;
        let now = wire.now();
        wire.stack().abort(now, socket).unwrap();
        let heard = wire.heard();
        assert_eq!(heard.iter().filter(|seg| seg.is_rst()).count(), resets, "{name}: {heard:?}");
        assert_eq!(heard.len(), resets, "{name}");
        assert_eq!(wire.stack().tcp_counts(), (others, 0, 0), "{name}");
        assert!(wire.pass(secs(200)).is_empty(), "{name}: no more is heard of it");
    }
}

#[test]
fn half_closed_connections_go_on_the_other_way() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    wire.shutdown(socket, Shutdown::Write).unwrap();
    let heard = wire.heard();
    peer.hear(&heard);
    wire.give(&peer.ack());
    assert_eq!(wire.stack().tcp_state(socket), Ok(TcpState::FinWait2));
    for n in 0..5u8 {
        // FIN-WAIT-2 has no end while the application holds the socket.
        wire.pass(secs(1000));
        let data = peer.data(&[n; 100]);
        wire.give(&data);
        assert_eq!(wire.receive(socket).unwrap(), [n; 100]);
    }
    let fin = peer.fin();
    wire.give(&fin);
    assert_eq!(wire.receive(socket).unwrap(), b"");
    assert_eq!(wire.stack().tcp_counts(), (2, 1, 0));
}

/// shutdown(2) with SHUT_RD: what comes is taken all the same, as on Linux.
#[test]
fn receiving_may_be_shut_down() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    let data = peer.data(b"before");
    wire.give(&data);
    wire.shutdown(socket, Shutdown::Read).unwrap();
    assert_eq!(wire.receive(socket).unwrap(), b"before");
    assert_eq!(wire.receive(socket).unwrap(), b"");
    wire.heard();
    let data = peer.data(b"after");
    let heard: Vec<Seg> = wire.give(&data).into_iter().chain(wire.pass(secs(1))).collect();
    assert!(heard.iter().any(|seg| seg.ack == peer.seq) && !heard.iter().any(Seg::is_rst));
    assert_eq!(wire.receive(socket).unwrap(), b"after");
    assert_eq!(wire.send(socket, b"still sends"), Ok(11));
}

/// TCP_USER_TIMEOUT (RFC 5482): on data, on a closed window, on SYN.
#[test]
fn the_user_timeout_ends_a_connection() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    wire.set(socket, |options| options.user_timeout = secs(5));
    wire.send(socket, b"into the void").unwrap();
    wire.pass(millis(4900));
    assert_eq!(wire.stack().take_error(socket), Ok(None));
    wire.pass(millis(600));
    assert_eq!(wire.receive(socket), Err(SocketError::TimedOut));
    assert_eq!(wire.receive(socket).unwrap(), b"");
    assert_eq!(wire.ext().tcp_abort_on_timeout, 1);

    let (_, socket, _) = wire.accepted(81);
    wire.set(socket, |options| options.user_timeout = secs(5));
    peer = Peer { host: "10.0.0.1:81".parse().unwrap(), ..peer };
    let _ = peer;
    let heard = wire.heard();
    assert!(heard.is_empty());
    assert_eq!(wire.readiness(socket), tapping_stack::socket::Readiness::WRITABLE);
    wire.pass(secs(60));
    assert_eq!(wire.stack().take_error(socket), Ok(None), "an idle one has nothing to wait for");
}

#[test]
fn the_user_timeout_ends_a_closed_window() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    wire.set(socket, |options| options.user_timeout = secs(10));
    peer.window = 0;
    wire.give(&peer.ack());
    wire.send(socket, b"it never fits").unwrap();
    let mut passed = 0;
    while wire.stack().tcp_state(socket) == Ok(TcpState::Established) && passed < 60 {
        for probe in wire.pass(secs(1)) {
            // The peer is there, and its window stays closed.
            assert!(probe.payload.is_empty());
            wire.give(&peer.ack());
        }
        passed += 1;
    }
    assert!((9..=25).contains(&passed), "after {passed} s");
    assert_eq!(wire.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
}

/// Without an answer data is given up after tcp_retries2, in some 15 minutes.
#[test]
fn a_peer_that_vanishes_is_given_up() {
    let mut wire = Wire::new();
    let (_, socket, _) = wire.accepted(80);
    wire.send(socket, b"anybody?").unwrap();
    let start = wire.now();
    wire.heard();
    while wire.stack().tcp_state(socket) == Ok(TcpState::Established) {
        wire.pass(secs(10));
        assert!(wire.now() - start < secs(3600), "never");
    }
    let took = (wire.now() - start).as_secs();
    assert!((880..=1060).contains(&took), "{took} s");
    assert_eq!(wire.receive(socket), Err(SocketError::TimedOut));
    wire.close(socket);
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 0));
}

#[test]
fn keepalive_finds_a_dead_peer() {
    let mut wire = Wire::new();
    let (_, socket, _) = wire.accepted(80);
    wire.set(socket, |options| {
        options.keepalive = true;
        options.keepidle = Some(secs(10));
        options.keepintvl = Some(secs(2));
        options.keepcnt = Some(3);
    });
    assert!(wire.pass(millis(9900)).is_empty());
    let probes = wire.pass(secs(5));
    assert_eq!(probes.len(), 3, "{probes:?}");
    let last = wire.pass(secs(3));
    assert!(last.len() == 1 && last[0].is_rst(), "{last:?}");
    assert_eq!(wire.receive(socket), Err(SocketError::TimedOut));
}

/// tcp_max_orphans: further ones are reset (Linux `tcp_check_oom`).
#[test]
fn orphans_are_limited() {
    let mut wire = Wire::with(config(|tcp| tcp.max_orphans = 3));
    let listener = wire.listener(80, 16);
    let sockets = [1, 2, 3, 4, 5].map(|port| {
        wire.handshake(80, port);
        wire.accept(listener).unwrap()
    });
    for (n, socket) in sockets.into_iter().enumerate() {
        wire.close(socket);
        let heard = wire.heard();
        assert_eq!(heard.iter().any(Seg::is_rst), n >= 3, "orphan {n}: {heard:?}");
    }
    assert_eq!(wire.stack().tcp_counts().0, 1 + 3);
    assert_eq!(wire.ext().tcp_abort_on_memory, 2);
}

/// An orphan whose peer does not answer is given up after tcp_orphan_retries, 8 by default.
#[test]
fn orphans_are_given_up_sooner() {
    let mut wire = Wire::new();
    let (_, socket, _) = wire.accepted(80);
    wire.send(socket, b"anybody?").unwrap();
    wire.close(socket);
    let start = wire.now();
    while wire.stack().tcp_counts().0 > 1 {
        wire.pass(secs(5));
        assert!(wire.now() - start < secs(600), "never");
    }
    let took = (wire.now() - start).as_secs();
    assert!((80..=220).contains(&took), "{took} s");
}

/// An orphan whose peer's window stays closed does not live for ever, either.
#[test]
fn orphans_that_cannot_send_are_given_up() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    peer.window = 0;
    wire.give(&peer.ack());
    wire.send(socket, b"stuck").unwrap();
    wire.close(socket);
    let start = wire.now();
    while wire.stack().tcp_counts().0 > 1 {
        for _ in wire.pass(secs(1)) {
            wire.give(&peer.ack());
        }
        assert!(wire.now() - start < secs(3600), "never");
    }
}

/// tcp_fin_timeout, and TCP_LINGER2.
#[test]
fn orphans_wait_for_fin_only_so_long() {
    for (linger2, expected) in [(None, 60), (Some(secs(5)), 5), (Some(secs(100)), 100)] {
        let mut wire = Wire::new();
        let (_, socket, mut peer) = wire.accepted(80);
        wire.set(socket, |options| options.linger2 = linger2);
        wire.close(socket);
        let heard = wire.heard();
        peer.hear(&heard);
        wire.give(&peer.ack());
        wire.pass(secs(expected) - millis(100));
        let (sockets, waits, _) = wire.stack().tcp_counts();
        assert_eq!(sockets + waits, 2, "{linger2:?}: still there");
        wire.pass(millis(200));
        assert_eq!(wire.stack().tcp_counts(), (1, 0, 0), "{linger2:?}");
        // Nobody is there any more.
        let fin = peer.fin();
        assert!(wire.answer(&fin).is_rst());
    }
}

/// Data for an orphan is refused: nobody will read it (Linux `TCPAbortOnData`).
#[test]
fn data_for_an_orphan_is_reset() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    wire.close(socket);
    let heard = wire.heard();
    peer.hear(&heard);
    wire.give(&peer.ack());
    let data = peer.data(b"too late");
    assert!(wire.answer(&data).is_rst());
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 0));
}

#[test]
fn simultaneous_close() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    wire.close(socket);
    wire.heard_one();
    let fin = peer.fin();
    let ack = wire.answer(&fin);
    assert_eq!(ack.ack, peer.seq);
    peer.ack += 1;
    wire.give_quietly(&peer.ack());
    assert_eq!(wire.stack().tcp_counts(), (1, 1, 0), "in TIME-WAIT");
}

/// tcp_max_tw_buckets.
#[test]
fn time_wait_is_limited() {
    let mut wire = Wire::with(config(|tcp| tcp.max_tw_buckets = 2));
    let listener = wire.listener(80, 16);
    for port in 1..=4 {
        let mut peer = wire.handshake(80, port);
        let socket = wire.accept(listener).unwrap();
        wire.close(socket);
        finish(&mut wire, &mut peer);
    }
    assert_eq!(wire.stack().tcp_counts(), (1, 2, 0));
    assert_eq!(wire.ext().tcp_time_wait_overflow, 2);
}

#[test]
fn passive_close() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    let fin = peer.fin();
    wire.give(&fin);
    wire.close(socket);
    let heard = wire.heard();
    peer.hear(&heard);
    wire.give_quietly(&peer.ack());
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 0), "no TIME-WAIT on this side");
}
