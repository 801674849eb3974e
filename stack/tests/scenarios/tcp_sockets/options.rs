//! Options of a socket on the wire (ip(7), socket(7), tcp(7)).

use tapping_stack::wire::TcpFlags;
use tapping_stack::{Shutdown, SocketError};

use super::*;

/// Every segment of a connection carries them, from the first to the last.
#[test]
fn ttl_and_tos() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 4);
    let ip = wire.stack().socket_options(listener).unwrap();
    (ip.ttl, ip.tos) = (Some(33), 0x28);
    let mut peer = Peer::new(PEER, 40_000, US, 80);
    let mut all = vec![wire.answer(&peer.syn())];
    assert!(all[0].is_syn_ack());
    peer.ack = all[0].seq + 1;
    wire.give_quietly(&peer.ack());
    let socket = wire.accept(listener).unwrap();
    wire.send(socket, b"data").unwrap();
    all.extend(wire.heard());
    peer.hear(&all);
    let data = peer.data(b"answer");
    all.extend(wire.give(&data));
    all.extend(wire.pass(secs(1)));
    wire.receive(socket).unwrap();
    wire.close(socket);
    all.extend(wire.heard());
    peer.hear(&all);
    // In TIME-WAIT, too.
    let fin = peer.fin();
    all.extend(wire.give(&fin));
    all.extend(wire.pass(secs(1)));
    all.extend(wire.give(&fin));
    assert!(all.len() >= 5, "{all:#?}");
    for seg in &all {
        assert_eq!((seg.ttl, seg.tos), (33, 0x28), "{seg:#?}");
    }
}

#[test]
fn ttl_and_tos_of_who_connects() {
    let mut wire = Wire::new();
    let socket = wire.socket();
    let ip = wire.stack().socket_options(socket).unwrap();
    (ip.ttl, ip.tos) = (Some(7), 0x10);
    wire.connect(socket, (PEER, 80)).unwrap();
    let syn = wire.heard_one();
    assert_eq!((syn.ttl, syn.tos), (7, 0x10));
    let mut peer = Peer::new(PEER, 80, US, syn.src.port());
    let ack = wire.answer(&peer.syn_ack(&syn));
    assert_eq!((ack.ttl, ack.tos), (7, 0x10));
    // They may change on the way.
    wire.stack().socket_options(socket).unwrap().tos = 0x08;
    wire.send(socket, b"x").unwrap();
    assert_eq!(wire.heard_one().tos, 0x08);
}

#[test]
fn the_default_is_64_with_df() {
    let mut wire = Wire::new();
    let (socket, _, syn) = wire.connecting(80);
    assert_eq!((syn.ttl, syn.tos, syn.df), (64, 0, true));
    let mark = wire.stack().socket_options(socket).unwrap().mark;
    assert_eq!(mark, 0);
}

#[test]
fn maxseg_bounds_both_directions() {
    let mut wire = Wire::new();
    let socket = wire.socket();
    wire.set(socket, |options| options.maxseg = Some(500));
    wire.connect(socket, (PEER, 80)).unwrap();
    let syn = wire.heard_one();
    assert_eq!(syn.mss, Some(500));
    let mut peer = Peer::new(PEER, 80, US, syn.src.port());
    wire.answer(&peer.syn_ack(&syn));
    wire.send(socket, &[1; 2000]).unwrap();
    let heard = wire.heard();
    assert!(heard.iter().all(|seg| seg.payload.len() == 500) && heard.len() == 4, "{heard:?}");
}

#[test]
fn options_out_of_range_are_refused() {
    let mut wire = Wire::new();
    let socket = wire.socket();
    let now = wire.now();
    let mut set = |change: fn(&mut tapping_stack::TcpOptions)| {
        wire.stack().set_tcp_options(now, socket, change)
    };
    let invalid = Err(SocketError::InvalidArgument);
    assert_eq!(set(|options| options.maxseg = Some(87)), invalid);
    assert_eq!(set(|options| options.maxseg = Some(32_768)), invalid);
    assert_eq!(set(|options| options.maxseg = Some(88)), Ok(()));
    assert_eq!(set(|options| options.keepidle = Some(secs(32_768))), invalid);
    assert_eq!(set(|options| options.keepintvl = Some(secs(0))), invalid);
    assert_eq!(set(|options| options.keepcnt = Some(128)), invalid);
    assert_eq!(set(|options| options.syncnt = Some(0)), invalid);
    assert_eq!(set(|options| options.syncnt = Some(2)), Ok(()));
    // What was refused has changed nothing.
    assert_eq!(wire.stack().tcp_options(socket).unwrap().maxseg, Some(88));
}

/// TCP_SYNCNT.
#[test]
fn fewer_syns() {
    let mut wire = Wire::new();
    let socket = wire.socket();
    wire.set(socket, |options| options.syncnt = Some(2));
    wire.connect(socket, (PEER, 80)).unwrap();
    wire.heard_one();
    // As on Linux: those of tcp_syn_linear_timeouts come on top, but no more than two that double
    // would have taken, which is 7 s.
    assert_eq!(wire.pass(secs(60)).len(), 5);
    assert_eq!(wire.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
}

/// TCP_CORK and TCP_NODELAY.
#[test]
fn small_writes() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    // Nagle: the second waits for the ACK of the first.
    wire.send(socket, b"a").unwrap();
    wire.send(socket, b"b").unwrap();
    let heard = wire.heard();
    assert_eq!(peer.hear(&heard), b"a");
    wire.send(socket, b"c").unwrap();
    wire.heard_nothing();
    let heard = wire.give(&peer.ack());
    assert_eq!(peer.hear(&heard), b"bc");
    wire.set(socket, |options| options.nodelay = true);
    for byte in [b"d", b"e"] {
        wire.send(socket, byte).unwrap();
        let heard = wire.heard();
        assert_eq!(peer.hear(&heard), byte);
    }
    wire.give(&peer.ack());
    wire.set(socket, |options| options.cork = true);
    wire.send(socket, b"f").unwrap();
    wire.heard_nothing();
    wire.set(socket, |options| options.cork = false);
    let heard = wire.heard();
    assert_eq!(peer.hear(&heard), b"f");
    // FIN pulls the cork.
    wire.give(&peer.ack());
    wire.set(socket, |options| options.cork = true);
    wire.send(socket, b"g").unwrap();
    wire.shutdown(socket, Shutdown::Write).unwrap();
    let last = wire.heard_one();
    assert!(last.flags.contains(TcpFlags::FIN) && last.payload == b"g");
}
