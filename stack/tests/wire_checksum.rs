//! The Internet checksum against a naive sum and the peers', and incremental updates against
//! summing again.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use tapping_stack::wire::ipv4::pseudo_header_sum;
use tapping_stack::wire::{Checksum, Protocol, checksum};

/// RFC 1071 §1 word for word: big-endian words, end-around carry after each.
fn naive(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
        if sum > 0xffff {
            sum -= 0xffff;
        }
    }
    !(sum as u16)
}

/// Bytes that repeat neither within a word nor within a vector.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect()
}

#[test]
fn every_length_at_every_alignment() {
    let bytes = pattern(512 + 16);
    for start in 0..16 {
        for len in 0..=512 {
            let bytes = &bytes[start..start + len];
            assert_eq!(checksum::checksum(bytes), naive(bytes), "{len} bytes from {start}");
        }
    }
}

#[test]
fn large_buffers() {
    for byte in [0x00, 0x01, 0x80, 0xff] {
        for len in [1499, 1500, 65535, 65536, 1 << 20, (1 << 20) + 7] {
            let bytes = vec![byte; len];
            assert_eq!(checksum::checksum(&bytes), naive(&bytes), "{len} times {byte:#x}");
        }
    }
    let bytes = pattern(1 << 20);
    assert_eq!(checksum::checksum(&bytes), naive(&bytes));
}

/// Every value of the words that decide whether a one's complement sum is +0 or -0, in a message
/// with and without other bytes: the update equals summing again, and where all has become zero,
/// both spellings of the result verify.
#[test]
fn updates_at_the_two_zeros() {
    let corners = [0x0000, 0x0001, 0x7fff, 0x8000, 0xfffe, 0xffff];
    for other in corners {
        for old in corners {
            for new in corners {
                let message = |word: u16| {
                    let mut bytes = [0; 4];
                    bytes[..2].copy_from_slice(&word.to_be_bytes());
                    bytes[2..].copy_from_slice(&u16::to_be_bytes(other));
                    bytes
                };
                let updated = checksum::update16(naive(&message(old)), old, new);
                let again = naive(&message(new));
                if message(new) == [0; 4] {
                    assert!(matches!(updated, 0x0000 | 0xffff));
                } else {
                    assert_eq!(updated, again, "{other:#x}: {old:#x} to {new:#x}");
                }
                let verified = Checksum::ZERO.add(&message(new)).add_u16(updated).fold();
                assert!(matches!(verified, 0xffff | 0x0000));
            }
        }
    }
}

#[test]
fn every_word_replaced_by_its_neighbour_and_opposite() {
    for old in 0..=u16::MAX {
        for new in [old.wrapping_add(1), !old, old.rotate_left(8)] {
            let before = [0x45, 0x00, (old >> 8) as u8, old as u8, 0x40, 0x11];
            let after = [0x45, 0x00, (new >> 8) as u8, new as u8, 0x40, 0x11];
            let check = checksum::checksum(&before);
            assert_eq!(checksum::update16(check, old, new), checksum::checksum(&after));
        }
    }
}

/// Words in which the corners are as likely as everything else.
fn word() -> impl Strategy<Value = u16> {
    prop_oneof![Just(0u16), Just(0xffff), Just(1), Just(0xfffe), any::<u16>()]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn agrees_with_naive_and_peers(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let ours = checksum::checksum(&bytes);
        prop_assert_eq!(ours, naive(&bytes));
        let etherparse = etherparse::checksum::Sum16BitWords::new().add_slice(&bytes);
        prop_assert_eq!(ours, etherparse.ones_complement().to_be());
        prop_assert_eq!(ours, !smoltcp::wire::checksum::data(&bytes));
        if !bytes.is_empty() {
            prop_assert_eq!(ours, pnet_packet::util::checksum(&bytes, usize::MAX));
        }
    }

    #[test]
    fn pieces_sum_as_the_whole(
        words in prop::collection::vec(word(), 1..64),
        split in any::<prop::sample::Index>(),
        odd in any::<Option<u8>>(),
    ) {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend(odd);
        let (head, tail) = bytes.split_at(split.index(words.len()) * 2);
        let whole = Checksum::ZERO.add(&bytes).finish();
        prop_assert_eq!(Checksum::ZERO.add(head).add(tail).finish(), whole);
        let combined = Checksum::ZERO.add(head).combine(Checksum::ZERO.add(tail));
        prop_assert_eq!(combined.finish(), whole);
        let by_word = words.iter().fold(Checksum::ZERO, |sum, word| sum.add_u16(*word));
        let odd: Vec<u8> = odd.into_iter().collect();
        prop_assert_eq!(by_word.add(&odd).finish(), whole);
    }

    #[test]
    fn updates_equal_summing_again(
        mut words in prop::collection::vec(word(), 2..16),
        at in any::<prop::sample::Index>(),
        new in (word(), word()),
    ) {
        let bytes = |words: &[u16]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_be_bytes()).collect()
        };
        let check = checksum::checksum(&bytes(&words));
        let at = at.index(words.len() - 1);
        let pair = |words: &[u16]| u32::from(words[at]) << 16 | u32::from(words[at + 1]);
        let old = (words[at], pair(&words));

        words[at] = new.0;
        // All zero has two spellings; a header or segment never is.
        if words.iter().any(|word| *word != 0) {
            prop_assert_eq!(checksum::update16(check, old.0, new.0), naive(&bytes(&words)));
        }
        words[at + 1] = new.1;
        if words.iter().any(|word| *word != 0) {
            let updated = checksum::update32(check, old.1, pair(&words));
            prop_assert_eq!(updated, naive(&bytes(&words)));
        }
    }

    #[test]
    fn the_pseudo_header_is_that_of_the_peers(
        src in any::<Ipv4Addr>(),
        dst in any::<Ipv4Addr>(),
        protocol in any::<u8>(),
        len in any::<u16>(),
    ) {
        let ours = pseudo_header_sum(src, dst, Protocol(protocol), len).fold();
        let next = smoltcp::wire::IpProtocol::from(protocol);
        let smoltcp = smoltcp::wire::checksum::pseudo_header_v4(&src, &dst, next, len.into());
        prop_assert_eq!(ours, smoltcp);
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&src.octets());
        bytes[4..8].copy_from_slice(&dst.octets());
        bytes[9] = protocol;
        bytes[10..].copy_from_slice(&len.to_be_bytes());
        prop_assert_eq!(ours, !naive(&bytes));
    }
}
