//! RFC 6528, initial sequence numbers.

use std::collections::HashSet;

use tapping_stack::wire::TcpFlags;

use crate::tcp_bench::*;

conformance! {
    "RFC 6528", "Initial numbers";

    Should "RFC6528-3-formula" "3" "The number is a clock plus a keyed hash of the connection."
        => numbers_are_clock_plus_hash;
    Should "RFC6528-3-monotone" "3" "For one connection it grows with time, so that a new incarnation follows the old."
        => numbers_grow_for_one_connection;
    Must "RFC6528-3-secret" "3" "The key comes from the stack's seed and is not shown."
        => the_key_is_the_stacks;
    Rule "RFC6528-3-passive" "3" "SYN-ACKs take theirs in the same way."
        => passive_numbers_are_alike;
}

/// The clock ticks every 64 ns.
const TICKS_PER_SECOND: u32 = 1_000_000_000 / 64;

/// The number of a connection from a port of ours to one of the peer, now.
fn active(wire: &mut Wire, from: u16, to: u16) -> u32 {
    let socket = wire.bound(US, from);
    wire.connect(socket, (PEER, to)).expect("a SYN");
    let syn = wire.heard_one();
    wire.close(socket);
    syn.seq.0
}

/// The number with which the host's port 80 answers a port of the peer, now.
fn passive(wire: &mut Wire, from: u16) -> u32 {
    let mut peer = Peer::new(PEER, from, US, 80);
    let syn_ack = wire.answer(&peer.syn());
    peer.ack = syn_ack.seq + 1;
    wire.give_quietly(&peer.seg(TcpFlags::RST));
    syn_ack.seq.0
}

fn numbers_are_clock_plus_hash() {
    let mut wire = Wire::new();
    // At one moment only the hash differs.
    let hashes: Vec<u32> = (0..64).map(|n| active(&mut wire, 5000 + n, 80)).collect();
    assert_eq!(hashes, (0..64).map(|n| active(&mut wire, 5000 + n, 80)).collect::<Vec<_>>());
    assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), 64);
    let steps: HashSet<u32> = hashes.windows(2).map(|two| two[1].wrapping_sub(two[0])).collect();
    assert_eq!(steps.len(), 63, "one tells nothing of the next");
    let ports: HashSet<u32> = (0..64).map(|n| active(&mut wire, 5000, 80 + n)).collect();
    assert_eq!(ports.len(), 64, "the peer's port counts, too");
    // Later only the clock does.
    for seconds in [1, 10, 100, 1000] {
        wire.pass(secs(seconds));
        let now: u64 = wire.now().as_nanos() / 64;
        let start: u64 = 1_060_000_000_000 / 64;
        let expected = hashes[0].wrapping_add((now - start) as u32);
        assert_eq!(active(&mut wire, 5000, 80), expected);
    }
}

fn numbers_grow_for_one_connection() {
    let mut wire = Wire::new();
    let mut last = active(&mut wire, 5000, 80);
    for _ in 0..600 {
        wire.pass(secs(1));
        let next = active(&mut wire, 5000, 80);
        assert_eq!(next.wrapping_sub(last), TICKS_PER_SECOND);
        last = next;
    }
}

fn the_key_is_the_stacks() {
    let mut numbers = HashSet::new();
    for nth in 0..32 {
        let number = active(&mut Wire::nth(nth, Default::default()), 5000, 80);
        assert_eq!(number, active(&mut Wire::nth(nth, Default::default()), 5000, 80), "replayable");
        assert!(numbers.insert(number), "each seed has its own");
    }
}

fn passive_numbers_are_alike() {
    let mut wire = Wire::new();
    wire.listener(80, 16);
    let first: Vec<u32> = (1..=32).map(|port| passive(&mut wire, port)).collect();
    assert_eq!(first.iter().collect::<HashSet<_>>().len(), 32);
    wire.pass(secs(5));
    for (port, first) in (1..=32).zip(&first) {
        assert_eq!(passive(&mut wire, port).wrapping_sub(*first), 5 * TICKS_PER_SECOND);
    }
}
