use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::packet::segment::stream::{Stream, streams};
use crate::packet::segment::{Sums, segment};
use crate::wire::ethernet::HEADER_LEN as ETHERNET;
use crate::wire::ipv4::HEADER_LEN as IP;

/// Where the TCP header of a frame starts.
const TCP: usize = ETHERNET + IP;

/// Gives the frames as one batch.
fn coalesce_packets(packets: Vec<Packet>) -> Vec<Packet> {
    let mut pool = PacketPool::new(64, 4);
    let mut coalescer = Coalescer::default();
    for (more, packet) in (0..packets.len()).rev().zip(packets) {
        coalescer.push(packet, true, more, &mut pool);
    }
    coalescer.flush(&mut pool);
    assert!(coalescer.buckets.iter().all(Vec::is_empty), "nothing is held");
    core::iter::from_fn(|| coalescer.poll()).map(|ready| ready.packet).collect()
}

fn coalesce(frames: &[Vec<u8>]) -> Vec<Packet> {
    coalesce_packets(frames.iter().map(|frame| Packet::from_slice(frame)).collect())
}

/// What a link that takes nothing large would send of these.
fn split(packets: Vec<Packet>) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut pool = PacketPool::new(64, 4);
    for mut packet in packets {
        if packet.meta.gso.is_none() {
            frames.push(packet.bytes().to_vec());
            continue;
        }
        // As link/input leaves it.
        packet.mark_mac();
        packet.pull(ETHERNET);
        packet.mark_network();
        packet.push(ETHERNET);
        segment(packet, &mut pool, Sums::Later, |mut piece| {
            piece.finish_checksum();
            frames.push(piece.bytes().to_vec());
        })
        .unwrap();
    }
    frames
}

/// Makes the checksums right again after a change.
fn mend(frame: &mut [u8]) {
    ipv4::fill_checksum(&mut frame[ETHERNET..]);
    let ip = Ipv4::parse(&frame[ETHERNET..]).unwrap();
    let (start, end) = (ETHERNET + ip.header_len(), ETHERNET + ip.total_len());
    let len = (end - start) as u16;
    let pseudo = pseudo_header_sum(ip.src(), ip.dst(), Protocol::TCP, len).fold();
    frame[start + 16..start + 18].copy_from_slice(&pseudo.to_be_bytes());
    crate::wire::checksum::complete(&mut frame[start..end], 16);
}

fn stream(len: usize) -> Stream {
    Stream::new((0..len).map(|n| n as u8).collect(), 1000)
}

#[test]
fn segments_that_follow_become_one_and_say_so() {
    let stream = stream(3500);
    let frames = stream.frames();
    let whole = coalesce(&frames);
    assert_eq!(whole.len(), 1);
    let gso = Gso { kind: GsoKind::TcpV4 { ecn: false }, size: 1000, segments: 4, fixed_id: false };
    assert_eq!((whole[0].meta.gso, whole[0].meta.checksum), (Some(gso), PARTIAL));
    assert!(whole[0].bytes() == stream.whole().bytes());
    assert_eq!(split(whole), frames);
}

#[test]
fn one_alone_stays_as_it_is_but_for_being_verified() {
    let frames = stream(1000).frames();
    let packet = Packet::from_slice(&frames[0]);
    let storage = packet.bytes().as_ptr();
    let out = coalesce_packets(vec![packet]);
    assert_eq!((out[0].bytes().as_ptr(), out[0].meta.gso), (storage, None));
    let mut stream = stream(1000);
    stream.last_flags = TcpFlags::empty();
    let out = coalesce(&stream.frames());
    assert_eq!(out[0].meta.checksum, ChecksumState::Unnecessary);
}

#[test]
fn no_packet_becomes_longer_than_any_may_be() {
    let mut stream = stream(0);
    stream.payload = vec![1; 140_000];
    stream.mss = 1448;
    let out = coalesce(&stream.frames());
    // 45 times 1448 and 52 bytes of headers are the most that 65535 holds.
    let lens: Vec<_> = out.iter().map(|packet| packet.len() - ETHERNET).collect();
    assert_eq!(lens, [52 + 45 * 1448, 52 + 45 * 1448, 52 + 140_000 - 90 * 1448]);
    assert_eq!(split(out), stream.frames());
}

/// A way to change the second of three frames.
type Change = fn(&mut Vec<u8>);
/// What is changed, how, and how many packets then come out.
type Case = (&'static str, Change, usize);

#[test]
fn what_differs_is_not_joined() {
    let cases: &[Case] = &[
        ("nothing", |_| (), 1),
        ("link-layer source", |frame| frame[11] ^= 1, 3),
        ("type of service", |frame| frame[ETHERNET + 1] ^= 4, 3),
        ("congestion experienced", |frame| frame[ETHERNET + 1] ^= 3, 3),
        ("identification", |frame| frame[ETHERNET + 5] ^= 8, 3),
        ("DF", |frame| frame[ETHERNET + 6] ^= 0x40, 3),
        ("reserved flag", |frame| frame[ETHERNET + 6] ^= 0x80, 3),
        ("MF", |frame| frame[ETHERNET + 6] ^= 0x20, 3),
        ("TTL", |frame| frame[ETHERNET + 8] -= 1, 3),
        // Another flow: the first and the third do not follow on one another.
        ("source", |frame| frame[ETHERNET + 15] ^= 1, 3),
        ("port", |frame| frame[TCP + 1] ^= 1, 3),
        ("sequence number", |frame| frame[TCP + 7] ^= 1, 3),
        ("acknowledgment", |frame| frame[TCP + 11] ^= 1, 3),
        ("reserved bit", |frame| frame[TCP + 12] ^= 2, 3),
        ("AE", |frame| frame[TCP + 12] ^= 1, 3),
        ("CWR", |frame| frame[TCP + 13] ^= 0x80, 3),
        ("ECE", |frame| frame[TCP + 13] ^= 0x40, 3),
        ("URG", |frame| frame[TCP + 13] ^= 0x20, 3),
        ("no ACK", |frame| frame[TCP + 13] ^= 0x10, 3),
        ("RST", |frame| frame[TCP + 13] ^= 4, 3),
        ("SYN", |frame| frame[TCP + 13] ^= 2, 3),
        // They end what they are part of.
        ("PSH", |frame| frame[TCP + 13] ^= 8, 2),
        ("FIN", |frame| frame[TCP + 13] ^= 1, 2),
        ("window", |frame| frame[TCP + 15] ^= 1, 3),
        ("urgent pointer", |frame| frame[TCP + 19] ^= 1, 3),
        ("timestamp", |frame| frame[TCP + 27] ^= 1, 3),
        ("echoed timestamp", |frame| frame[TCP + 31] ^= 1, 3),
        ("order of options", |frame| frame[TCP + 20..TCP + 32].rotate_left(1), 3),
    ];
    let mut stream = stream(3000);
    // So that no bit above carries into the next byte.
    (stream.id, stream.seq, stream.last_flags) = (16, 4096, TcpFlags::empty());
    for (what, change, expected) in cases {
        let mut frames = stream.frames();
        change(&mut frames[1]);
        mend(&mut frames[1]);
        let out = coalesce(&frames);
        assert_eq!(out.len(), *expected, "{what}");
        let mut got = split(out);
        if *what == "source" || *what == "port" {
            // A flow may overtake another.
            got.sort();
            frames.sort();
        }
        assert!(got == frames, "{what}: in order, and the same bytes");
    }
}

/// Frames that are wrong or special in themselves.
#[test]
fn what_cannot_be_joined_keeps_its_place() {
    let cases: &[(&str, Change)] = &[
        ("IP checksum", |frame| frame[ETHERNET + 10] ^= 1),
        ("TCP checksum", |frame| frame[TCP + 16] ^= 1),
        ("payload", |frame| frame[TCP + 40] ^= 1),
        ("padding", |frame| frame.push(0)),
        ("truncated", |frame| frame.truncate(900)),
        ("options", |frame| {
            frame.splice(TCP..TCP, [1; 4]);
            frame[ETHERNET] = 0x46;
            let len = (frame.len() - ETHERNET) as u16;
            frame[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&len.to_be_bytes());
            mend(frame);
        }),
        ("data offset", |frame| frame[TCP + 12] = 0x40),
        ("pure acknowledgment", |frame| {
            frame.truncate(TCP + 32);
            frame[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&52_u16.to_be_bytes());
            mend(frame);
        }),
        ("UDP", |frame| {
            frame[ETHERNET + 9] = 17;
            ipv4::fill_checksum(&mut frame[ETHERNET..]);
        }),
        ("ARP", |frame| frame[13] = 6),
        ("nothing", Vec::clear),
    ];
    let mut stream = stream(3000);
    stream.last_flags = TcpFlags::empty();
    for (what, change) in cases {
        let mut frames = stream.frames();
        change(&mut frames[1]);
        let out = coalesce(&frames);
        assert_eq!(out.len(), 3, "{what}");
        let mut got = split(out);
        if ["UDP", "ARP", "nothing", "truncated"].contains(what) {
            got.sort();
            frames.sort();
        }
        assert!(got == frames, "{what}: in order, and the same bytes");
    }
}

/// RFC 1624 §3: zero has two spellings, and only one comes back.
#[test]
fn the_other_spelling_of_a_checksum_stays() {
    let mut stream = stream(2000);
    stream.last_flags = TcpFlags::empty();
    // A payload that makes the checksum of the second zero, which is spelled 0xffff when it is made
    // anew.
    stream.payload[1000..].fill(0);
    let check = Tcp::parse(&stream.frames()[1][TCP..]).unwrap().checksum();
    stream.payload[1000..1002].copy_from_slice(&check.to_be_bytes());
    let mut frames = stream.frames();
    assert_eq!(Tcp::parse(&frames[1][TCP..]).unwrap().checksum(), 0xffff);
    let out = coalesce(&frames);
    assert_eq!(out.len(), 1);
    assert_eq!(split(out), frames);
    frames[1][TCP + 16..TCP + 18].fill(0);
    let out = coalesce(&frames);
    assert_eq!(out.len(), 2);
    assert_eq!(split(out), frames);
}

/// Linux `inet_gro_flush`: identifications count up, or stay as long as DF makes them meaningless.
#[test]
fn identifications_count_up_or_stay() {
    let joined = |df: bool, ids: [u16; 4]| {
        let mut stream = stream(4000);
        stream.dont_fragment = df;
        let mut frames = stream.frames();
        for (frame, id) in frames.iter_mut().zip(ids) {
            ipv4::set_id(&mut frame[ETHERNET..], id);
        }
        let out = coalesce(&frames);
        let fixed = out[0].meta.gso.is_some_and(|gso| gso.fixed_id);
        let count = out.len();
        assert_eq!(split(out), frames);
        (count, fixed)
    };
    assert_eq!(joined(true, [0xffff, 0, 1, 2]), (1, false));
    assert_eq!(joined(false, [5, 6, 7, 8]), (1, false));
    assert_eq!(joined(true, [0, 0, 0, 0]), (1, true));
    assert_eq!(joined(true, [9, 9, 9, 10]), (2, true));
    assert_eq!(joined(true, [9, 10, 10, 10]), (2, false));
    assert_eq!(joined(false, [9, 9, 9, 9]), (4, false));
    assert_eq!(joined(true, [9, 8, 7, 6]), (4, false));
}

#[test]
fn unfinished_checksums_are_joined_if_they_say_the_usual() {
    let frames = stream(3000).frames();
    let unfinished = |n: usize| {
        let mut packet = Packet::from_slice(&frames[n]);
        let segment = &mut packet.bytes_mut()[TCP..];
        let pseudo = pseudo_header_sum(
            Ipv4::parse(&frames[n][ETHERNET..]).unwrap().src(),
            Ipv4::parse(&frames[n][ETHERNET..]).unwrap().dst(),
            Protocol::TCP,
            segment.len() as u16,
        );
        segment[16..18].copy_from_slice(&pseudo.fold().to_be_bytes());
        packet.meta.checksum = PARTIAL;
        packet
    };
    let out = coalesce_packets((0..3).map(unfinished).collect());
    assert_eq!(out.len(), 1);
    assert_eq!(split(out), frames);
    let mut odd = unfinished(1);
    odd.bytes_mut()[TCP + 16] ^= 1;
    assert_eq!(coalesce_packets(vec![unfinished(0), odd, unfinished(2)]).len(), 3);
    // What a device has verified needs no sum.
    let verified = |n: usize| {
        let mut packet = Packet::from_slice(&frames[n]);
        packet.meta.checksum = ChecksumState::Unnecessary;
        packet
    };
    let out = coalesce_packets(vec![verified(0), unfinished(1), verified(2)]);
    assert_eq!(out.len(), 1);
    assert_eq!(split(out), frames);
}

#[test]
fn large_segments_that_come_are_not_joined_but_keep_their_place() {
    let mut stream = stream(3000);
    stream.last_flags = TcpFlags::empty();
    let single = Packet::from_slice(&stream.frames()[0]);
    let mut next = stream.clone();
    (next.seq, next.id) = (stream.seq.wrapping_add(1000), stream.id.wrapping_add(1));
    let bytes = next.whole().bytes().to_vec();
    let out = coalesce_packets(vec![single, next.whole()]);
    assert_eq!(out.len(), 2);
    assert_eq!((out[0].meta.gso, out[1].bytes()), (None, &bytes[..]));
}

#[test]
fn a_bounded_number_of_flows_is_held() {
    let mut pool = PacketPool::new(0, 0);
    let mut coalescer = Coalescer::default();
    let mut stream = stream(1000);
    stream.last_flags = TcpFlags::empty();
    for port in 0..10_000 {
        stream.port = port;
        coalescer.push(Packet::from_slice(&stream.frames()[0]), true, 0, &mut pool);
        let held: usize = coalescer.buckets.iter().map(Vec::len).sum();
        assert!(held <= BUCKETS * MAX_HELD);
        assert_eq!(coalescer.flows, held);
    }
    assert!(coalescer.buckets.iter().all(|list| list.len() == MAX_HELD), "spread evenly enough");
    coalescer.flush(&mut pool);
    assert_eq!(core::iter::from_fn(|| coalescer.poll()).count(), 10_000);
    assert_eq!(coalescer.flows, 0);
}

/// Memory is accounted for by the buffer, and nobody knows how many frames of a batch are of a flow.
#[test]
fn a_large_segment_has_no_more_than_twice_the_buffer_it_needs() {
    for frames in 2..=65 {
        for more in [0, 1, 10, 63] {
            let mut pool = PacketPool::new(64, 4);
            let mut coalescer = Coalescer::default();
            let stream = stream(1000 * frames);
            for frame in stream.frames() {
                coalescer.push(Packet::from_slice(&frame), true, more, &mut pool);
            }
            coalescer.flush(&mut pool);
            let whole = coalescer.poll().unwrap().packet;
            assert_eq!(whole.meta.gso.map(|gso| usize::from(gso.segments)), Some(frames));
            let needed = pool.take(whole.len()).true_size();
            assert!(whole.true_size() <= needed.max(2 * whole.len()), "{frames}, {more} more");
        }
    }
}

/// Several streams, woven into one another.
fn woven() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let stream = (streams(), any::<[bool; 2]>());
    (proptest::collection::vec(stream, 1..4), any::<u64>()).prop_map(|(streams, seed)| {
        let mut rng = crate::rng::Rng::new(seed);
        let mut queues: Vec<VecDeque<Vec<u8>>> = Vec::new();
        for (n, (mut stream, [small, df])) in streams.into_iter().enumerate() {
            stream.port = n as u16;
            stream.dont_fragment |= df;
            if small {
                stream.payload.truncate(2000);
            }
            stream.mss = stream.mss.max(stream.payload.len() / 100 + 1);
            queues.push(stream.frames().into());
        }
        let mut frames = Vec::new();
        while queues.iter().any(|queue| !queue.is_empty()) {
            let n = rng.below(queues.len() as u64) as usize;
            for _ in 0..rng.below(20) + 1 {
                frames.extend(queues[n].pop_front());
            }
        }
        frames
    })
}

/// The frames of one flow.
fn of_port(frames: &[Vec<u8>], port: u16) -> Vec<&Vec<u8>> {
    let is_its = |frame: &&Vec<u8>| frame.get(TCP..TCP + 2) == Some(&port.to_be_bytes());
    frames.iter().filter(is_its).collect()
}

proptest! {
    #[test]
    fn a_stream_cut_joined_and_cut_is_the_same(stream in streams()) {
        let frames = stream.frames();
        let out = coalesce(&frames);
        prop_assert!(split(out) == frames);
    }

    /// What senders send comes in as few packets as the rules allow.
    #[test]
    fn an_ordinary_stream_is_joined_as_far_as_65535_bytes_allow(
        len in 1..200_000_usize,
        mss in 500..1460_usize,
        id in any::<u16>(),
        seq in any::<u32>(),
    ) {
        let stream = Stream { id, seq, ..Stream::new(vec![7; len], mss) };
        let room = 65_535 - 52;
        let (mut rest, mut expected) = (len, 1);
        while rest > room {
            rest -= room / mss * mss;
            expected += 1;
        }
        let out = coalesce(&stream.frames());
        prop_assert_eq!(out.len(), expected);
        prop_assert!(split(out) == stream.frames());
    }

    #[test]
    fn woven_streams_come_back_each_in_its_order(frames in woven()) {
        let got = split(coalesce(&frames));
        prop_assert_eq!(got.len(), frames.len());
        for port in 0..4 {
            prop_assert!(of_port(&got, port) == of_port(&frames, port));
        }
    }

    /// Frames of one stream with some bytes changed, checksums mended or not: no frame is lost or
    /// changed.
    #[test]
    fn damaged_frames_come_back_as_they_were(
        stream in streams(),
        damage in proptest::collection::vec((any::<usize>(), 0..80_usize, any::<u8>(), any::<bool>()), 0..20),
    ) {
        let mut stream = stream;
        stream.mss = stream.mss.max(stream.payload.len() / 50 + 1);
        let mut frames = stream.frames();
        for (n, at, value, mended) in damage {
            let n = n % frames.len();
            let frame = &mut frames[n];
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
            let sound = Ipv4::parse(&frame[ETHERNET..]).is_ok_and(|ip| ip.payload().len() >= 18);
            if mended && sound {
                mend(frame);
            }
        }
        let mut got = split(coalesce(&frames));
        got.sort();
        frames.sort();
        prop_assert!(got == frames);
    }

    #[test]
    fn any_bytes_pass(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 0..20),
        ipv4 in any::<bool>(),
    ) {
        let mut frames = frames;
        for frame in &mut frames {
            if ipv4 && frame.len() > 34 {
                frame[12..14].copy_from_slice(&[8, 0]);
                frame[ETHERNET] = 0x45;
                frame[ETHERNET + 9] = 6;
                let len = (frame.len() - ETHERNET) as u16;
                frame[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&len.to_be_bytes());
            }
        }
        let mut got = split(coalesce(&frames));
        got.sort();
        frames.sort();
        prop_assert_eq!(got, frames);
    }
}
