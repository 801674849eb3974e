//! Fragments that arrive, as the whole stack sees them.

use tapping_stack::stats::DropReason;
use tapping_stack::time::Duration;
use tapping_stack::wire::{Message, Protocol, TimeExceeded};

use crate::ipv4_input::Bench;
use crate::lab::*;

const HERE: &str = "10.0.0.1";
const PEER: &str = "10.0.0.9";

/// An echo request cut into fragments with `room` bytes of payload each.
fn cut(src: &str, id: u16, message: &[u8], room: usize) -> Vec<Vec<u8>> {
    let pieces = message.chunks(room);
    let last = pieces.len() - 1;
    let fragment = |(n, piece): (usize, &[u8])| {
        let packet = Ip::icmp(ip(src), ip(HERE), piece.to_vec()).id(id);
        packet.fragment(n * room, n != last).build()
    };
    pieces.enumerate().map(fragment).collect()
}

fn data(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|n| (n as u8).wrapping_mul(7).wrapping_add(salt)).collect()
}

/// Every order of `0..n`.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let insert = |shorter: Vec<usize>| {
        (0..n).map(move |at| {
            let mut order = shorter.clone();
            order.insert(at, n - 1);
            order
        })
    };
    orders(n - 1).into_iter().flat_map(insert).collect()
}

/// RFC 791 §3.2: the order of arrival does not matter.
#[test]
fn fragments_in_every_order() {
    let data = data(92, 1);
    let fragments = cut(PEER, 1, &echo(7, 1, &data), 24);
    assert_eq!(fragments.len(), 5);
    for order in orders(5) {
        let mut bench = Bench::new();
        for (n, index) in order.iter().enumerate() {
            assert_eq!(bench.give(&fragments[*index]), [], "{order:?}");
            let heard = bench.lab.heard_ip(bench.tester);
            assert_eq!(heard.len(), usize::from(n == 4), "{order:?}");
            if let [reply] = &heard[..] {
                assert_eq!(icmp_in(reply).payload(), data);
            }
        }
        let ip = bench.snapshot().ip;
        assert_eq!((ip.in_receives, ip.reasm_reqds, ip.reasm_oks, ip.reasm_fails), (5, 5, 1, 0));
        assert_eq!(ip.in_delivers, 1);
        assert_eq!(bench.stack().reassembly_memory(), 0);
    }
}

/// An exact duplicate is ignored, wherever it comes (Linux `inet_frag_queue_insert`).
#[test]
fn duplicates_are_ignored() {
    let data = data(92, 2);
    let fragments = cut(PEER, 1, &echo(7, 1, &data), 24);
    let mut bench = Bench::new();
    for fragment in &fragments[..4] {
        assert_eq!(bench.give(fragment), []);
        assert_eq!(bench.give(fragment), [DropReason::ReassemblyDuplicate]);
    }
    bench.answers(&fragments[4]);
    let ip = bench.snapshot().ip;
    assert_eq!((ip.reasm_oks, ip.reasm_fails, ip.reasm_overlaps), (1, 0, 0));
}

/// RFC 5722 for IPv6, Linux for both: an overlap ends the whole datagram.
#[test]
fn overlaps_drop_the_whole_datagram() {
    let message = echo(7, 1, &data(92, 3));
    let fragments = cut(PEER, 1, &message, 24);
    let overlapping = |offset: usize, len: usize, more: bool| {
        let piece = message[offset..offset + len].to_vec();
        Ip::icmp(ip(PEER), ip(HERE), piece).id(1).fragment(offset, more).build()
    };
    let cases = [
        ("a part of the one before", overlapping(16, 16, true)),
        ("around one", overlapping(16, 40, true)),
        ("longer than one", overlapping(24, 40, true)),
    ];
    for (case, overlap) in cases {
        let mut bench = Bench::new();
        // Not one after the other, which would make them one run.
        for n in [2, 1, 0] {
            assert_eq!(bench.give(&fragments[n]), []);
        }
        assert_eq!(bench.give(&overlap), [DropReason::ReassemblyOverlap], "{case}");
        assert_eq!(bench.stack().reassembly_memory(), 0, "{case}");
        assert_eq!(bench.snapshot().ip.reasm_overlaps, 1, "{case}");
        for fragment in &fragments[3..] {
            assert_eq!(bench.give(fragment), [], "the rest waits in vain");
        }
        assert!(bench.lab.heard(bench.tester).is_empty(), "{case}");
        assert_eq!(bench.snapshot().ip.in_delivers, 0, "{case}");
    }
}

/// Two ends that differ cannot both be right (Linux `ip_frag_queue`).
#[test]
fn contradicting_ends_drop_the_datagram() {
    let fragments = cut(PEER, 1, &echo(7, 1, &data(92, 4)), 24);
    let mut bench = Bench::new();
    bench.give(&fragments[4]);
    let beyond = Ip::icmp(ip(PEER), ip(HERE), vec![0; 8]).id(1).fragment(200, false).build();
    assert_eq!(bench.give(&beyond), [DropReason::ReassemblyMalformed]);
    assert_eq!(bench.stack().reassembly_memory(), 0);
    assert_eq!(bench.snapshot().ip.reasm_fails, 1);
}

/// RFC 791 §3.1: no datagram is longer than 65535 bytes; the "ping of death".
#[test]
fn fragments_beyond_65535_bytes_are_dropped() {
    let mut bench = Bench::new();
    let beyond = Ip::icmp(ip(PEER), ip(HERE), vec![0; 100]).id(1).fragment(65_448, false);
    assert_eq!(bench.give(&beyond.build()), [DropReason::ReassemblyMalformed]);
    assert_eq!(bench.stack().reassembly_memory(), 0);
}

/// The longest datagram there is comes through whole, and its reply goes out in fragments.
#[test]
fn the_longest_datagram_is_reassembled() {
    let data = data(65_535 - 20 - 8, 5);
    let fragments = cut(PEER, 1, &echo(7, 1, &data), 1480);
    let mut bench = Bench::new();
    for fragment in &fragments {
        assert_eq!(bench.give(fragment), []);
    }
    let reply = bench.lab.heard_ip(bench.tester);
    assert_eq!(reply.len(), fragments.len());
    let payload: Vec<u8> = reply.iter().flat_map(|piece| ipv4(piece).payload().to_vec()).collect();
    assert_eq!(payload[8..], data);
}

/// Linux drops what carries nothing, and what has more to follow but is no multiple of 8 long.
#[test]
fn impossible_fragments_are_dropped() {
    for (len, offset, more) in [(0, 0, true), (0, 8, false), (12, 0, true), (7, 8, true)] {
        let mut bench = Bench::new();
        let packet = Ip::icmp(ip(PEER), ip(HERE), vec![0; len]).fragment(offset, more).build();
        assert_eq!(bench.give(&packet), [DropReason::ReassemblyMalformed], "{len} at {offset}");
        assert_eq!(bench.snapshot().ip.reasm_fails, 1);
        assert_eq!(bench.stack().reassembly_memory(), 0);
    }
}

/// RFC 791 §3.2: source, destination, protocol and identification tell datagrams apart.
#[test]
fn interleaved_datagrams_do_not_mix() {
    let sources = [PEER, "10.0.0.8", "10.0.0.7"];
    let mut bench = Bench::new();
    for src in sources {
        let (host, link, mac) = (bench.host, bench.link, bench.tester.mac);
        bench.lab.know(host, link, ip(src), mac);
    }
    let mut datagrams = Vec::new();
    for (n, src) in sources.iter().enumerate() {
        for id in [1, 2] {
            let data = data(80, (n as u8) << 4 | id as u8);
            datagrams.push((*src, data.clone(), cut(src, id, &echo(id, n as u16, &data), 32)));
        }
    }
    for round in 0..3 {
        for (_, _, fragments) in &datagrams {
            let index = [2, 0, 1][round];
            assert_eq!(bench.give(&fragments[index]), []);
        }
    }
    let replies = bench.lab.heard_ip(bench.tester);
    assert_eq!(replies.len(), datagrams.len());
    for (src, data, _) in &datagrams {
        let right = |reply: &&Vec<u8>| {
            ipv4(reply).dst() == ip(src) && icmp_in(reply).payload() == &data[..]
        };
        assert_eq!(replies.iter().filter(right).count(), 1, "from {src}");
    }
}

/// `net.ipv4.ipfrag_time`, RFC 1122 §3.3.2: after 30 s it is over, and the source is told when the
/// first fragment had come.
#[test]
fn fragments_time_out_after_30_seconds() {
    let fragments = cut(PEER, 1, &echo(7, 1, &data(92, 6)), 24);
    for (given, told) in [(&fragments[..2], true), (&fragments[1..], false)] {
        let mut bench = Bench::new();
        for fragment in given {
            bench.give(fragment);
        }
        bench.lab.run_for(Duration::from_millis(29_999));
        assert_eq!(bench.lab.drops(bench.host), []);
        assert!(bench.stack().reassembly_memory() > 0);
        bench.lab.run_for(Duration::from_millis(20));
        assert_eq!(bench.lab.drops(bench.host), [DropReason::ReassemblyTimeout]);
        assert_eq!(bench.stack().reassembly_memory(), 0);
        let ip = bench.snapshot().ip;
        assert_eq!((ip.reasm_timeout, ip.reasm_fails), (1, 1));
        let errors = bench.lab.heard_ip(bench.tester);
        assert_eq!(errors.len(), usize::from(told));
        if let [error] = &errors[..] {
            let expected = Message::TimeExceeded(TimeExceeded::Reassembly);
            assert_eq!(icmp_in(error).message(), expected);
            // The first fragment is quoted.
            assert_eq!(icmp_in(error).payload(), given[0]);
        }
        // What comes later begins a new datagram.
        assert_eq!(bench.give(&fragments[4]), []);
        assert!(bench.stack().reassembly_memory() > 0);
    }
}

/// The time runs from the first fragment; others do not extend it.
#[test]
fn later_fragments_do_not_extend_the_time() {
    let fragments = cut(PEER, 1, &echo(7, 1, &data(92, 7)), 24);
    let mut bench = Bench::new();
    bench.give(&fragments[0]);
    bench.lab.run_for(Duration::from_secs(20));
    bench.give(&fragments[1]);
    bench.lab.run_for(Duration::from_millis(10_010));
    assert_eq!(bench.snapshot().ip.reasm_timeout, 1);
}

/// `net.ipv4.ipfrag_high_thresh`: fragments take 4 MiB at most, and the memory comes back.
#[test]
fn memory_is_bounded() {
    let high_threshold = 4 << 20;
    let mut bench = Bench::new();
    let mut refused = 0;
    for n in 0..6000u16 {
        let src = format!("10.0.0.{}", 3 + n % 5);
        let piece = Ip::icmp(ip(&src), ip(HERE), vec![0; 1400]).id(n).fragment(8, true).build();
        refused += bench.give(&piece).len();
        let memory = bench.stack().reassembly_memory();
        assert!(memory <= high_threshold + 4096, "{memory} bytes after {n}");
    }
    assert!(refused > 1000, "{refused} refused");
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.dropped(DropReason::ReassemblyMemory), refused as u64);
    assert_eq!(snapshot.ip.reasm_fails, refused as u64);
    // Whole packets are not concerned.
    bench.answers(&Ip::icmp(ip(PEER), ip(HERE), echo(7, 1, b"still here")).build());
    bench.lab.run_for(Duration::from_secs(31));
    assert_eq!(bench.stack().reassembly_memory(), 0);
    let fragments = cut(PEER, 1, &echo(7, 1, &data(92, 8)), 48);
    for fragment in &fragments {
        bench.give(fragment);
    }
    assert!(!bench.lab.heard_ip(bench.tester).is_empty());
}

/// RFC 792: about a fragment other than the first no error is sent; what is reassembled is one
/// packet, about which it is.
#[test]
fn errors_are_about_whole_datagrams() {
    let mut bench = Bench::new();
    let pieces: Vec<Vec<u8>> = [(0, true), (16, false)]
        .map(|(at, more)| {
            let packet = Ip::new(ip(PEER), ip(HERE), Protocol(200), vec![at as u8; 16]);
            packet.fragment(at, more).build()
        })
        .into();
    assert_eq!(bench.give(&pieces[1]), []);
    assert!(bench.lab.heard(bench.tester).is_empty());
    assert_eq!(bench.give(&pieces[0]), [DropReason::UnknownProtocol]);
    let error = bench.lab.heard_one_ip(bench.tester);
    let quoted = icmp_in(&error).payload().to_vec();
    assert_eq!(quoted.len(), 52);
    assert!(!ipv4(&quoted).is_fragment());
}

/// RFC 3168 §5.3: congestion marked on one fragment is marked on the datagram; a mark among
/// fragments that are not ECN-capable is an error.
#[test]
fn ecn_of_fragments_is_combined() {
    let message = echo(7, 1, &data(40, 9));
    let piece = |at: usize, tos: u8| {
        let end = (at + 24).min(message.len());
        let packet = Ip::icmp(ip(PEER), ip(HERE), message[at..end].to_vec()).tos(tos);
        packet.fragment(at, end < message.len()).build()
    };
    let mut bench = Bench::new();
    let socket = bench.stack().open_raw(Protocol::ICMP).unwrap();
    bench.give(&piece(0, 2));
    bench.give(&piece(24, 3));
    let whole = bench.lab.received(bench.host, socket);
    assert_eq!(ipv4(&whole[0]).tos(), 3);
    bench.give(&piece(0, 0));
    assert_eq!(bench.give(&piece(24, 3)), [DropReason::ReassemblyMalformed]);
}
