use core::net::Ipv4Addr;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::ipv4::reassembly::{Outcome, Reassembler, ReassemblyConfig};
use crate::packet::ChecksumState;
use crate::packet::LinkId;
use crate::rng::KeyedHash;
use crate::time::Instant;
use crate::wire::ipv4::{HEADER_LEN, Protocol, pseudo_header_sum};
use crate::wire::udp::Udp;

/// Router alert, copied; record route with one address taken, not copied; both padded to 4.
const ALERT: [u8; 4] = [148, 4, 0, 0];
const ROUTE: [u8; 8] = [7, 7, 8, 10, 0, 0, 1, 1];

fn repr(options_len: usize, payload_len: usize) -> Ipv4Repr {
    Ipv4Repr {
        tos: 0xb8,
        id: 0x1234,
        dont_fragment: false,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 61,
        protocol: Protocol::UDP,
        src: Ipv4Addr::new(10, 0, 0, 2),
        dst: Ipv4Addr::new(192, 0, 2, 1),
        total_len: (HEADER_LEN + options_len + payload_len) as u16,
        options_len,
    }
}

fn build(repr: &Ipv4Repr, options: &[u8], payload: &[u8]) -> Packet {
    let mut packet = Packet::with_capacity(repr.total_len.into());
    packet.put(HEADER_LEN);
    packet.put_slice(options);
    packet.put_slice(payload);
    repr.emit(packet.bytes_mut());
    packet.meta.link_in = Some(LinkId(3));
    packet.meta.mark = 77;
    packet
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + (at >> 8) * 7) as u8).collect()
}

fn cut(packet: Packet, mtu: usize) -> Result<Vec<Packet>, FragmentError> {
    let mut pieces = Vec::new();
    let count = fragment(packet, mtu, &mut PacketPool::new(8, 8), |piece| pieces.push(piece))?;
    assert_eq!(count, pieces.len());
    Ok(pieces)
}

fn reassemble(pieces: impl IntoIterator<Item = Packet>) -> Packet {
    let mut pool = PacketPool::new(8, 8);
    // A long datagram cut for the least MTU takes more than Linux, or the default, would hold.
    let config = ReassemblyConfig {
        high_threshold: usize::MAX,
        max_fragments: usize::MAX,
        ..ReassemblyConfig::default()
    };
    let mut reassembler = Reassembler::new(config, KeyedHash::new((1, 2)));
    let mut pieces = pieces.into_iter();
    let mut whole = None;
    for piece in pieces.by_ref() {
        match reassembler.insert(Instant::ZERO, piece, &mut pool) {
            Outcome::Pending => {}
            Outcome::Complete { packet, .. } => whole = Some(packet),
            Outcome::Dropped { error, .. } => panic!("{error}"),
        }
    }
    assert_eq!((reassembler.len(), reassembler.memory()), (0, 0));
    whole.expect("all fragments were given")
}

#[test]
fn a_packet_is_cut_at_multiples_of_8_and_only_copied_options_are_repeated() {
    let options = [ROUTE, *b"\x94\x04\x00\x00\x01\x01\x01\x00"].concat();
    let payload = pattern(100);
    let pieces = cut(build(&repr(16, 100), &options, &payload), 36 + 50).unwrap();
    let views: Vec<_> = pieces.iter().map(|piece| Ipv4::parse(piece.bytes()).unwrap()).collect();
    let parts: Vec<_> = views
        .iter()
        .map(|view| (view.fragment_offset(), view.payload(), view.more_fragments()))
        .collect();
    assert_eq!(
        parts,
        [(0, &payload[..48], true), (48, &payload[48..96], true), (96, &payload[96..], false),]
    );
    assert!(views.iter().all(|view| view.verify_checksum() && view.header_len() == 36));
    assert_eq!(views[0].options(), options);
    let repeated = [1, 1, 1, 1, 1, 1, 1, 1, 148, 4, 0, 0, 1, 1, 1, 0];
    assert_eq!((views[1].options(), views[2].options()), (&repeated[..], &repeated[..]));
    for (piece, view) in pieces.iter().zip(&views) {
        assert_eq!((piece.meta.link_in, piece.meta.mark), (Some(LinkId(3)), 77));
        assert_eq!((piece.network(), piece.transport()), (piece.bytes(), view.payload()));
        assert_eq!((view.ttl(), view.tos(), view.id()), (61, 0xb8, 0x1234));
    }
}

#[test]
fn what_fits_is_not_touched_and_exactly_fits_at_the_mtu() {
    let packet = build(&repr(0, 100), &[], &pattern(100));
    let before = packet.bytes().to_vec();
    let pieces = cut(packet, 120).unwrap();
    assert_eq!(pieces.len(), 1);
    assert_eq!(pieces[0].bytes(), before);
    assert_eq!(cut(build(&repr(0, 100), &[], &pattern(100)), 119).unwrap().len(), 2);
}

#[test]
fn a_fragment_is_fragmented_in_its_place() {
    let payload = pattern(64);
    for more_fragments in [true, false] {
        let repr = Ipv4Repr { fragment_offset: 1480, more_fragments, ..repr(0, 64) };
        let pieces = cut(build(&repr, &[], &payload), 52).unwrap();
        let parts: Vec<_> = pieces
            .iter()
            .map(|piece| Ipv4::parse(piece.bytes()).unwrap())
            .map(|view| (view.fragment_offset(), view.more_fragments()))
            .collect();
        assert_eq!(parts, [(1480, true), (1512, more_fragments)]);
    }
}

#[test]
fn an_unfinished_checksum_is_finished_and_padding_left_out() {
    let payload = pattern(500);
    let (src, dst) = (Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(192, 0, 2, 1));
    let sum = pseudo_header_sum(src, dst, Protocol::UDP, 508).fold().to_be_bytes();
    let datagram = [&[0x30, 0x39, 0, 53, 0x01, 0xfc, sum[0], sum[1]], &payload[..]].concat();
    let mut packet = build(&repr(4, 508), &ALERT, &datagram);
    packet.put_slice(b"link-layer padding");
    packet.meta.checksum = ChecksumState::Partial { start: 24, offset: 6 };
    let pieces = cut(packet, 200).unwrap();
    assert!(pieces.iter().all(|piece| piece.meta.checksum == ChecksumState::None));
    let whole = reassemble(pieces);
    let view = Ipv4::parse(whole.bytes()).unwrap();
    assert_eq!(whole.len(), 24 + 508);
    let udp = Udp::parse(view.payload()).unwrap();
    assert_ne!(udp.checksum(), 0);
    assert!(udp.verify_checksum(pseudo_header_sum(src, dst, Protocol::UDP, 508)));
    assert_eq!(udp.payload(), payload);
}

#[test]
fn what_cannot_be_cut_goes_back_to_the_pool() {
    let mut pool = PacketPool::new(8, 8);
    let mut refuse = |packet: &Packet, mtu| {
        let mut copy = pool.take(packet.len());
        copy.put_slice(packet.bytes());
        let free = pool.free();
        let error = fragment(copy, mtu, &mut pool, |_| panic!("nothing is sent")).unwrap_err();
        assert_eq!(pool.free().0, free.0 + 1);
        error
    };
    let packet = build(&repr(8, 100), &ROUTE, &pattern(100));
    assert_eq!(refuse(&packet, 35), FragmentError::MtuTooSmall);
    assert_eq!(refuse(&packet, 0), FragmentError::MtuTooSmall);
    let far = Ipv4Repr { fragment_offset: 65528, ..repr(0, 100) };
    assert_eq!(refuse(&build(&far, &[], &pattern(100)), 68), FragmentError::TooLong);
    let broken = Packet::from_slice(&[0x65; 40]);
    assert!(matches!(refuse(&broken, 30), FragmentError::Malformed(_)));
}

#[test]
fn options_that_make_no_sense_are_blanked_not_repeated() {
    // A record route whose length runs out of the header.
    let options = [148, 4, 0, 0, 7, 40, 4, 0];
    let pieces = cut(build(&repr(8, 64), &options, &pattern(64)), 68).unwrap();
    let second = Ipv4::parse(pieces[1].bytes()).unwrap();
    assert_eq!(second.options(), [148, 4, 0, 0, 1, 1, 1, 1]);
}

fn options() -> impl Strategy<Value = Vec<u8>> {
    let one = prop::sample::select(vec![
        ALERT.to_vec(),
        ROUTE.to_vec(),
        vec![1],
        vec![131, 7, 4, 1, 2, 3, 4],
        vec![68, 8, 5, 0, 0, 0, 0, 0],
    ]);
    prop::collection::vec(one, 0..5).prop_map(|list| {
        let mut bytes = list.concat();
        bytes.truncate(40);
        // A cut-off option at the end stays: the receiver has to live with it, too.
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    })
}

fn payload_len() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..200usize, 4 => 0..9000usize, 1 => 60_000..=65_475usize]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the sizes, options and order, the pieces fit the MTU, other implementations read
    /// them as meant, and put together again they are the packet.
    #[test]
    fn reassembling_shuffled_fragments_gives_the_packet_back(
        options in options(),
        payload_len in payload_len(),
        mtu in prop_oneof![68..120usize, 68..2000usize],
        smaller in 68..120usize,
        dont_fragment: bool,
        seed: u64,
    ) {
        let repr = Ipv4Repr { dont_fragment, ..repr(options.len(), payload_len) };
        let payload = pattern(payload_len);
        let packet = build(&repr, &options, &payload);
        let original = packet.bytes().to_vec();
        let mut pieces = cut(packet, mtu).unwrap();
        let mut at = 0;
        for piece in &pieces {
            let bytes = piece.bytes();
            prop_assert!(bytes.len() <= mtu);
            let theirs = smoltcp::wire::Ipv4Packet::new_checked(bytes).unwrap();
            prop_assert!(theirs.verify_checksum());
            prop_assert_eq!(usize::from(theirs.frag_offset()), at);
            prop_assert_eq!(theirs.dont_frag(), dont_fragment);
            prop_assert_eq!(theirs.payload(), &payload[at..at + theirs.payload().len()]);
            let (header, rest) = etherparse::Ipv4Header::from_slice(bytes).unwrap();
            prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
            prop_assert_eq!(usize::from(header.fragment_offset.byte_offset()), at);
            at += rest.len();
            prop_assert_eq!(header.more_fragments, at < payload_len);
            prop_assert_eq!(theirs.more_frags(), at < payload_len);
            prop_assert_eq!(usize::from(header.total_len), bytes.len());
        }
        prop_assert_eq!(at, payload_len);
        // One of the pieces meets a narrower link on its way. A datagram whose pieces all carry DF
        // stays as it is: a router would not cut those.
        if !dont_fragment && pieces.len() < 1000 {
            let chosen = pieces.swap_remove(seed as usize % pieces.len());
            pieces.extend(cut(chosen, smaller).unwrap());
        }
        let mut rng = crate::rng::Rng::new(seed);
        for last in (1..pieces.len()).rev() {
            pieces.swap(last, rng.below(last as u64 + 1) as usize);
        }
        let whole = reassemble(pieces);
        prop_assert_eq!(whole.bytes(), original);
        prop_assert_eq!(whole.network(), whole.bytes());
        prop_assert_eq!((whole.meta.link_in, whole.meta.mark), (Some(LinkId(3)), 77));
    }
}
