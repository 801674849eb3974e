//! RFC 1191, the path MTU by what routers say.

use tapping_stack::SocketId;
use tapping_stack::wire::{Message, TcpFlags, Unreachable};

use crate::tcp_bench::*;

conformance! {
    "RFC 1191", "Path MTU by ICMP";

    Must "RFC1191-3-df" "3" "Segments carry DF while path MTU discovery is on."
        => segments_carry_df;
    Must "RFC1191-6.3-reduce" "6.4" "Fragmentation needed lowers the size and retransmits at once what was too large, without lowering the window."
        => fragmentation_needed_lowers_the_size;
    MustNot "RFC1191-6.4-syn" "6.4" "The maximum segment size announced does not change with it."
        => the_announced_size_stays;
    Should "RFC1191-6.3-age" "6.3" "After ten minutes the old size is tried again."
        => a_learnt_path_mtu_ages;
    Rule "RFC1191-5-old-router" "5" "An error without a size leads to the next plateau."
        deviation "As Linux the size falls to the least that is believed (min_pmtu, 552) and DF is no longer set, so that it may be too small but not too large."
        => an_old_router_gives_no_size;
    Rule "RFC1191-6.4-split" "6.4" "Large segments on their way down are split to the new size."
        => queued_segments_are_split_anew;
}

/// A router cannot send `about` on.
fn too_long(wire: &mut Wire, about: &Seg, mtu: u16) -> Vec<Seg> {
    let code = Unreachable::FragmentationNeeded { mtu };
    wire.give_error(about, Message::DestinationUnreachable(code))
}

/// The lengths of what was sent.
fn lengths(heard: &[Seg]) -> Vec<usize> {
    heard.iter().map(|seg| seg.payload.len()).filter(|len| *len > 0).collect()
}

/// A connection that has sent five full segments, not acknowledged.
fn five_in_flight() -> (Wire, SocketId, Peer, Vec<Seg>) {
    let mut wire = Wire::new();
    let (_, socket, peer) = wire.accepted(80);
    wire.send(socket, &[1; 5 * 1460]).expect("room");
    let heard = wire.heard();
    assert_eq!(lengths(&heard), [1460; 5]);
    (wire, socket, peer, heard)
}

fn segments_carry_df() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    wire.send(socket, &[1; 3000]).expect("room");
    let mut all = wire.heard();
    peer.hear(&all);
    let data = peer.data(b"x");
    all.extend(wire.give(&data));
    all.extend(wire.pass(secs(1)));
    wire.receive(socket).expect("data");
    wire.close(socket);
    all.extend(wire.heard());
    let (_, _, syn) = wire.connecting(81);
    let mut stranger = Peer::new(PEER, 5, US, 80);
    all.extend([syn, wire.answer(&stranger.syn())]);
    all.extend(wire.give(&Peer::new(PEER, 6, US, 9999).seg(TcpFlags::SYN)));
    assert!(all.len() >= 7);
    assert!(all.iter().all(|seg| seg.df), "{all:#?}");
}

fn fragmentation_needed_lowers_the_size() {
    let (mut wire, socket, mut peer, sent) = five_in_flight();
    let before = wire.stack().tcp_info(socket).expect("a connection");
    let again = too_long(&mut wire, &sent[0], 1040);
    let after = wire.stack().tcp_info(socket).expect("a connection");
    assert_eq!((after.snd_mss, after.pmtu), (1000, 1040));
    assert_eq!((after.snd_cwnd, after.snd_ssthresh), (before.snd_cwnd, before.snd_ssthresh));
    assert!(!again.is_empty() && again[0].seq == sent[0].seq, "at once: {again:?}");
    assert!(lengths(&again).iter().all(|len| *len <= 1000), "{again:?}");
    // All of it arrives, and what follows is of the new size.
    let mut got = peer.hear(&again).len();
    let mut heard = wire.give(&peer.ack());
    while got < 5 * 1460 {
        assert!(!heard.is_empty(), "{got} bytes, and no more");
        assert!(lengths(&heard).iter().all(|len| *len <= 1000));
        got += peer.hear(&heard).len();
        heard = wire.give(&peer.ack());
    }
    wire.send(socket, &[2; 3000]).expect("room");
    assert_eq!(lengths(&wire.heard()), [1000; 3]);
}

fn the_announced_size_stays() {
    let (mut wire, _, _, sent) = five_in_flight();
    too_long(&mut wire, &sent[0], 1040);
    let (_, _, syn) = wire.connecting(81);
    assert_eq!(syn.mss, Some(1460));
    let mut peer = Peer::new(PEER, 5, US, 80);
    let syn_ack = wire.answer(&peer.syn());
    assert_eq!(syn_ack.mss, Some(1460));
}

fn a_learnt_path_mtu_ages() {
    let (mut wire, socket, mut peer, sent) = five_in_flight();
    let again = too_long(&mut wire, &sent[0], 1040);
    peer.hear(&again);
    while peer.ack != sent[4].seq + 1460 {
        let heard = wire.give(&peer.ack());
        assert!(!heard.is_empty());
        peer.hear(&heard);
    }
    wire.give(&peer.ack());
    wire.pass(secs(590));
    wire.send(socket, &[1; 1000]).expect("room");
    let heard = wire.heard();
    peer.hear(&heard);
    wire.give(&peer.ack());
    assert_eq!(wire.stack().tcp_info(socket).expect("a connection").pmtu, 1040);
    wire.pass(secs(20));
    // A new connection, and the old one.
    let mut other = wire.handshake(80, 41_000);
    let listener = wire.stack().tcp_sockets().map(|(id, _)| id).next().expect("the listener");
    let fresh = wire.accept(listener).expect("a connection");
    wire.send(fresh, &[1; 2920]).expect("room");
    let heard = wire.heard();
    assert_eq!(lengths(&heard), [1460; 2]);
    other.hear(&heard);
    wire.give(&other.ack());
    let longest = |wire: &mut Wire, peer: &mut Peer| {
        wire.send(socket, &[2; 4380]).expect("room");
        let heard = wire.heard();
        peer.hear(&heard);
        wire.give(&peer.ack());
        lengths(&heard).into_iter().max()
    };
    assert_eq!(longest(&mut wire, &mut peer), Some(1460));
}

fn an_old_router_gives_no_size() {
    let (mut wire, socket, _, sent) = five_in_flight();
    let again = too_long(&mut wire, &sent[0], 0);
    let info = wire.stack().tcp_info(socket).expect("a connection");
    assert_eq!((info.pmtu, info.snd_mss), (552, 512));
    assert!(!again.is_empty() && lengths(&again).iter().all(|len| *len <= 512), "{again:?}");
    assert!(again.iter().all(|seg| !seg.df));
}

fn queued_segments_are_split_anew() {
    let (mut wire, socket, mut peer, sent) = five_in_flight();
    // More is written than the window lets out.
    wire.send(socket, &[2; 9000]).expect("room");
    let more = wire.heard();
    too_long(&mut wire, &sent[0], 700);
    let until = wire.stack().tcp_info(socket).expect("a connection").bytes_sent;
    assert!(until > 0);
    let mut got = peer.hear(&sent).len() + peer.hear(&more).len();
    let mut heard = wire.give(&peer.ack());
    let mut rounds = 0;
    while got < 5 * 1460 + 9000 {
        assert!(lengths(&heard).iter().all(|len| *len <= 660), "{heard:?}");
        got += peer.hear(&heard).len();
        heard = match wire.give(&peer.ack()) {
            nothing if nothing.is_empty() => wire.pass(secs(3)),
            heard => heard,
        };
        rounds += 1;
        assert!(rounds < 100, "{got} bytes");
    }
}
