use core::net::Ipv4Addr;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::stream::{DST, Stream, streams};
use super::*;
use crate::wire::ethernet;
use crate::wire::ipv4::pseudo_header_sum;
use crate::wire::ipv4::{HEADER_LEN, Ipv4Repr};
use crate::wire::udp::{Udp, UdpRepr};

fn cut(packet: Packet) -> Vec<Packet> {
    let mut pieces = Vec::new();
    let count =
        segment(packet, &mut PacketPool::new(64, 4), Sums::Later, |piece| pieces.push(piece))
            .unwrap();
    assert_eq!(count, pieces.len());
    pieces
}

fn finished(mut piece: Packet) -> Vec<u8> {
    piece.finish_checksum();
    piece.bytes().to_vec()
}

#[test]
fn flags_numbers_and_options_are_those_of_single_segments() {
    let mut stream = Stream::new((0..250).collect(), 100);
    stream.flags |= TcpFlags::ECE;
    stream.first_flags = TcpFlags::CWR;
    stream.last_flags = TcpFlags::PSH | TcpFlags::FIN;
    let frames: Vec<_> = cut(stream.whole()).into_iter().map(finished).collect();
    let headers: Vec<_> = frames
        .iter()
        .map(|frame| {
            let ip = Ipv4::parse(&frame[ethernet::HEADER_LEN..]).unwrap();
            let tcp = Tcp::parse(ip.payload()).unwrap();
            assert_eq!(tcp.options().len(), 12);
            (ip.total_len(), ip.id(), tcp.seq().0, tcp.flags(), tcp.payload().len())
        })
        .collect();
    let both = TcpFlags::ACK | TcpFlags::ECE;
    assert_eq!(
        headers,
        [
            (152, 0xfffe, 0xffff_ff00, both | TcpFlags::CWR, 100),
            (152, 0xffff, 0xffff_ff64, both, 100),
            (102, 0x0000, 0xffff_ffc8, both | TcpFlags::PSH | TcpFlags::FIN, 50),
        ]
    );
    assert_eq!(frames, stream.frames());
}

#[test]
fn no_piece_has_a_larger_buffer_than_it_needs_and_all_are_marked() {
    let mut whole = Stream::new(vec![5; 3000], 1448).whole();
    whole.meta.mark = 7;
    let size = whole.true_size();
    let pieces = cut(whole);
    assert_eq!(pieces.len(), 3);
    for piece in &pieces {
        assert_eq!((piece.meta.gso, piece.meta.mark), (None, 7));
        assert_eq!(piece.meta.checksum, ChecksumState::Partial { start: 20, offset: 16 });
        assert_eq!(piece.mac().len(), piece.len());
        assert_eq!(piece.network().len(), piece.len() - ethernet::HEADER_LEN);
        assert_eq!(piece.transport().len(), piece.network().len() - HEADER_LEN);
    }
    assert!(pieces.iter().all(|piece| piece.true_size() < size));
}

#[test]
fn udp_datagrams_get_their_lengths_and_sums() {
    for checksum in [true, false] {
        let data: Vec<u8> = (0..250).map(|n| n as u8).collect();
        let src = Ipv4Addr::new(10, 0, 0, 2);
        let total_len = (HEADER_LEN + udp::HEADER_LEN + data.len()) as u16;
        let mut packet = Packet::with_capacity(usize::from(total_len));
        Ipv4Repr {
            tos: 0,
            id: 9,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 3,
            protocol: Protocol::UDP,
            src,
            dst: DST,
            total_len,
            options_len: 0,
        }
        .emit(packet.put(HEADER_LEN));
        let len = total_len - HEADER_LEN as u16;
        UdpRepr { src_port: 1, dst_port: 2, len }.emit(packet.put(udp::HEADER_LEN));
        packet.put_slice(&data);
        packet.mark_network();
        packet.mark_transport(HEADER_LEN);
        if checksum {
            let pseudo = pseudo_header_sum(src, DST, Protocol::UDP, len).fold();
            packet.transport_mut()[6..8].copy_from_slice(&pseudo.to_be_bytes());
            packet.meta.checksum = ChecksumState::Partial { start: 20, offset: 6 };
        }
        packet.meta.gso =
            Some(Gso { kind: GsoKind::UdpV4, size: 100, segments: 3, fixed_id: false });
        assert_eq!(network_len(&packet), 128);
        let mut got = Vec::new();
        for (n, piece) in cut(packet).into_iter().enumerate() {
            let bytes = finished(piece);
            let ip = Ipv4::parse(&bytes).unwrap();
            assert!(ip.verify_checksum());
            assert_eq!((ip.id(), ip.total_len()), (9 + n as u16, bytes.len()));
            let udp = Udp::parse(ip.payload()).unwrap();
            assert_eq!(usize::from(udp.len()), ip.payload().len());
            assert_eq!(udp.checksum() != 0, checksum);
            assert!(udp.verify_checksum(pseudo_header_sum(src, DST, Protocol::UDP, udp.len())));
            got.extend_from_slice(udp.payload());
        }
        assert_eq!(got, data);
    }
}

#[test]
fn what_is_not_what_it_says_comes_back() {
    let whole = || Stream::new(vec![5; 300], 100).whole();
    let gso = whole().meta.gso.unwrap();
    let mut cases = vec![Packet::default(), Packet::from_slice(&[0x45; 40])];
    for case in &mut cases {
        case.meta.gso = Some(gso);
    }
    let mut no_size = whole();
    no_size.meta.gso = Some(Gso { size: 0, ..gso });
    let mut udp = whole();
    udp.meta.gso = Some(Gso { kind: GsoKind::UdpV4, ..gso });
    let mut short = whole();
    short.truncate(14 + 20 + 19);
    let mut no_gso = whole();
    no_gso.meta.gso = None;
    cases.extend([no_size, udp, short, no_gso]);
    for mut case in cases {
        let bytes = case.bytes().to_vec();
        check(&mut case);
        assert_eq!(case.meta.gso, None);
        let back = segment(case, &mut PacketPool::new(4, 4), Sums::Later, |_| panic!("a piece"))
            .unwrap_err();
        assert_eq!(back.bytes(), bytes);
    }
}

#[test]
fn a_device_may_have_counted_wrong() {
    let mut whole = Stream::new(vec![5; 300], 70).whole();
    let right = whole.meta.gso;
    whole.meta.gso = right.map(|gso| Gso { segments: 60_000, ..gso });
    check(&mut whole);
    assert_eq!(whole.meta.gso, right);
}

proptest! {
    #[test]
    fn a_large_segment_becomes_what_single_ones_would_have_been(stream in streams()) {
        let whole = stream.whole();
        let longest = stream.frames().iter().map(Vec::len).max().unwrap();
        prop_assert_eq!(network_len(&whole), longest - ethernet::HEADER_LEN);
        let frames: Vec<_> = cut(whole).into_iter().map(finished).collect();
        prop_assert_eq!(&frames, &stream.frames());
        // Summed by whoever cuts, the same, and there is nothing left to finish.
        let mut summed = Vec::new();
        segment(stream.whole(), &mut PacketPool::new(64, 4), Sums::Now, |piece| {
            assert_eq!(piece.meta.checksum, ChecksumState::None);
            summed.push(piece.bytes().to_vec());
        })
        .unwrap();
        prop_assert_eq!(summed, frames);
    }

    /// The payload may lie elsewhere than the headers, and in two places.
    #[test]
    fn a_payload_in_two_places_makes_the_same_pieces(stream in streams(), at in any::<usize>()) {
        let whole = stream.whole();
        let headers = whole.len() - stream.payload.len();
        let (gso, meta) = (whole.meta.gso.unwrap(), whole.meta);
        let bytes = &whole.bytes()[..headers];
        let len = stream.payload.len();
        let cutter = Cutter::new(bytes, ethernet::HEADER_LEN, len, gso, meta, Sums::Now).unwrap();
        let mut pool = PacketPool::new(64, 4);
        let pieces = (0..cutter.pieces()).map(|index| {
            let payload = &stream.payload[cutter.range(index)];
            let (first, rest) = payload.split_at(at % (payload.len() + 1));
            cutter.piece(index, first, rest, &mut pool).bytes().to_vec()
        });
        prop_assert_eq!(pieces.collect::<Vec<_>>(), stream.frames());
    }

    /// Whatever the bytes and whatever is said of them, cutting does not panic, and no byte of
    /// payload is lost when it succeeds.
    #[test]
    fn any_packet_is_cut_or_refused(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        sound in any::<bool>(),
        pull in 0..40_usize,
        size in 0..80_u16,
        tcp in any::<bool>(),
    ) {
        if sound && bytes.len() >= 20 {
            let len = bytes.len() as u16;
            bytes[0] = 0x45;
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            bytes[6..8].fill(0);
            bytes[9] = if tcp { 6 } else { 17 };
        }
        let kind = if tcp { GsoKind::TcpV4 { ecn: false } } else { GsoKind::UdpV4 };
        let mut packet = Packet::from_slice(&bytes);
        packet.mark_network();
        if pull < 5 {
            packet.pull(pull);
        }
        packet.meta.gso = Some(Gso { kind, size, segments: 1, fixed_id: false });
        prop_assert!(network_len(&packet) <= bytes.len());
        prop_assert!(transport_len(&packet) <= bytes.len());
        let mut payload = 0;
        let mut headers = 0;
        let result = segment(packet, &mut PacketPool::new(8, 1), Sums::Later, |piece| {
            let ip = Ipv4::parse(piece.network()).unwrap();
            headers = if tcp { Tcp::parse(ip.payload()).unwrap().header_len() } else { 8 };
            payload += ip.payload().len() - headers;
        });
        if result.is_ok() {
            let ip = Ipv4::parse(&bytes).unwrap();
            prop_assert_eq!(payload, ip.payload().len() - headers);
        }
    }
}
