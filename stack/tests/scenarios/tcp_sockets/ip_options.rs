//! `IP_OPTIONS` on connections: in every segment, taken off the payload, and for an answer those of
//! the SYN (RFC 1122 §4.2.3.8, Linux `tcp_v4_save_options`).

use core::net::Ipv4Addr;

use tapping_stack::wire::TcpFlags;
use tapping_stack::{SocketError, SocketId};

use super::*;
use crate::lab::{Ip, ipv4};

const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
/// Record route with room for two addresses.
const RECORD: [u8; 12] = [1, 7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0];
const PADDING: [u8; 4] = [1; 4];

fn options(seg: &Seg) -> &[u8] {
    ipv4(&seg.packet).options()
}

fn set(wire: &mut Wire, socket: SocketId, options: &[u8]) {
    wire.stack().socket_options(socket).unwrap().ip_options = options.to_vec();
}

fn snd_mss(wire: &mut Wire, socket: SocketId) -> u32 {
    wire.stack().tcp_info(socket).unwrap().snd_mss
}

/// A socket with these options that is connected to the peer.
fn connected_with(wire: &mut Wire, options: &[u8]) -> (SocketId, Peer, Seg) {
    let socket = wire.socket();
    set(wire, socket, options);
    wire.connect(socket, (PEER, 80)).unwrap();
    let syn = wire.heard_one();
    let mut peer = Peer::new(PEER, 80, US, syn.src.port());
    wire.answer(&peer.syn_ack(&syn));
    (socket, peer, syn)
}

/// A SYN with options of IP.
fn give_syn(wire: &mut Wire, peer: &mut Peer, options: &[u8]) -> Vec<Seg> {
    let syn = peer.syn().build();
    let payload = ipv4(&syn).payload().to_vec();
    let packet = Ip::new(PEER, US, tapping_stack::wire::Protocol::TCP, payload).options(options);
    wire.lab.inject_ip(wire.tester, wire.host, wire.link, &packet.build());
    wire.heard()
}

#[test]
fn every_segment_carries_them() {
    let mut wire = Wire::new();
    let (socket, mut peer, syn) = connected_with(&mut wire, &RECORD);
    assert_eq!(options(&syn), [1, 7, 11, 8, 10, 0, 0, 1, 0, 0, 0, 0], "our address is recorded");
    assert_eq!(syn.mss, Some(1460), "what the peer may send is no less");
    wire.send(socket, &[7; 4000]).unwrap();
    let heard = wire.heard();
    let sizes: Vec<_> =
        heard.iter().map(|seg| (seg.payload.len(), seg.packet.len(), options(seg).len())).collect();
    assert_eq!(sizes, [(1448, 1500, 12), (1448, 1500, 12), (1104, 1156, 12)]);
    peer.hear(&heard);
    let fin = peer.fin();
    let mut heard = wire.give(&fin);
    heard.extend(wire.pass(secs(1)));
    assert!(!heard.is_empty() && heard.iter().all(|seg| options(seg).len() == 12));
    wire.close(socket);
    assert_eq!(options(&wire.heard_one()).len(), 12);
}

/// Linux `do_ip_setsockopt`: at once.
#[test]
fn they_may_be_changed_while_connected() {
    let mut wire = Wire::new();
    let (socket, mut peer) = wire.connected(80);
    assert_eq!(snd_mss(&mut wire, socket), 1460);
    for (given, len) in [(&PADDING[..], 4), (&RECORD, 12), (&RECORD[..3], 12), (&[], 0)] {
        set(&mut wire, socket, given);
        wire.send(socket, &[7; 10]).unwrap();
        let heard = wire.heard();
        peer.hear(&heard);
        // What setsockopt(2) would refuse changes nothing.
        assert_eq!(options(&heard[0]).len(), len, "{given:?}");
        let ack = peer.ack();
        wire.give_quietly(&ack);
        assert_eq!(snd_mss(&mut wire, socket), 1460 - len as u32);
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut wire = Wire::new();
    for bad in [&[7, 3][..], &[131, 7, 8, 10, 0, 0, 9], &[1; 41]] {
        let socket = wire.socket();
        set(&mut wire, socket, bad);
        assert_eq!(wire.connect(socket, (PEER, 80)), Err(SocketError::InvalidArgument), "{bad:?}");
    }
    wire.heard_nothing();
}

/// The header is addressed to the first hop; the checksum is over the peer.
#[test]
fn a_source_route_is_followed() {
    let mut wire = Wire::new();
    let (host, link, mac) = (wire.host, wire.link, wire.tester.mac);
    wire.lab.know(host, link, ROUTER, mac);
    let loose = [131, 11, 4, 10, 0, 0, 9, 172, 16, 0, 1];
    let (socket, mut peer, syn) = connected_with(&mut wire, &loose);
    assert_eq!(*syn.dst.ip(), ROUTER);
    assert_eq!(options(&syn), [131, 11, 4, 172, 16, 0, 1, 10, 0, 0, 2, 0]);
    assert_eq!(wire.stack().peer_addr(socket), Ok(at(PEER, 80)));
    wire.send(socket, b"hello").unwrap();
    let heard = wire.heard();
    assert_eq!((*heard[0].dst.ip(), options(&heard[0])), (ROUTER, options(&syn)));
    assert_eq!(peer.hear(&heard), b"hello");
    let mut bytes = ipv4(&heard[0].packet).payload().to_vec();
    let sum = [bytes[16], bytes[17]];
    let len = bytes.len() as u16;
    let protocol = tapping_stack::wire::Protocol::TCP;
    let pseudo = tapping_stack::wire::ipv4::pseudo_header_sum(US, PEER, protocol, len);
    (bytes[16], bytes[17]) = (0, 0);
    tapping_stack::wire::tcp::fill_checksum(&mut bytes, pseudo);
    assert_eq!([bytes[16], bytes[17]], sum);
    // Strictly, the first hop is a neighbour: this one is behind a gateway, if anywhere.
    let strict = wire.socket();
    set(&mut wire, strict, &[137, 7, 4, 172, 16, 0, 1]);
    let tried = wire.connect(strict, (PEER, 80));
    assert_eq!(tried, Err(SocketError::NetworkUnreachable));
}

#[test]
fn an_answer_carries_what_the_syn_did() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 4);
    // Those of the listener are not used.
    set(&mut wire, listener, &PADDING);
    let recorded = [7, 11, 8, 10, 0, 0, 2, 0, 0, 0, 0];
    for (given, expected) in [
        (&recorded[..], &[7, 11, 12, 10, 0, 0, 2, 10, 0, 0, 1, 0][..]),
        (&[1, 1, 1, 1], &[]),
        (&[], &[]),
    ] {
        let mut peer = Peer::new(PEER, 40_000 + given.len() as u16, US, 80);
        let syn_ack = give_syn(&mut wire, &mut peer, given).remove(0);
        assert!(syn_ack.is_syn_ack());
        assert_eq!(options(&syn_ack), expected);
        peer.ack = syn_ack.seq + 1;
        let ack = peer.ack();
        wire.give_quietly(&ack);
        let socket = wire.accept(listener).unwrap();
        assert_eq!(snd_mss(&mut wire, socket), 1460 - expected.len() as u32);
        wire.send(socket, b"x").unwrap();
        assert_eq!(options(&wire.heard_one()), expected);
    }
}

/// RFC 1122 §4.2.3.8: by the same route, backwards.
#[test]
fn a_source_routed_syn_is_answered_the_way_it_came() {
    let mut wire = Wire::new();
    let (host, link, mac) = (wire.host, wire.link, wire.tester.mac);
    wire.lab.know(host, link, ROUTER, mac);
    let listener = wire.listener(80, 4);
    // By way of 172.16.0.1 and the router.
    let route = [131, 11, 12, 172, 16, 0, 1, 10, 0, 0, 9];
    let mut peer = Peer::new(PEER, 40_000, US, 80);
    assert!(give_syn(&mut wire, &mut peer, &route).is_empty(), "accept_source_route is off");
    wire.stack().interface_config(link).unwrap().accept_source_route = true;
    let mut peer = Peer::new(PEER, 40_000, US, 80);
    let syn_ack = give_syn(&mut wire, &mut peer, &route).remove(0);
    assert!(syn_ack.is(TcpFlags::SYN | TcpFlags::ACK));
    let back = [131, 11, 4, 172, 16, 0, 1, 10, 0, 0, 2, 0];
    assert_eq!((*syn_ack.dst.ip(), options(&syn_ack)), (ROUTER, &back[..]));
    peer.ack = syn_ack.seq + 1;
    let ack = peer.ack();
    wire.give_quietly(&ack);
    let socket = wire.accept(listener).unwrap();
    assert_eq!(wire.stack().peer_addr(socket), Ok(at(PEER, 40_000)));
    wire.send(socket, b"x").unwrap();
    let data = wire.heard_one();
    assert_eq!((*data.dst.ip(), options(&data)), (ROUTER, &back[..]));
    let given = &wire.stack().socket_options(socket).unwrap().ip_options;
    assert_eq!(given[..], [131, 11, 4, 10, 0, 0, 9, 172, 16, 0, 1]);
}
