//! RFC 2018, selective acknowledgment.

use tapping_stack::rng::Rng;
use tapping_stack::wire::tcp_options::kinds;
use tapping_stack::wire::{SackBlock, SeqNumber, TcpFlags, TcpOption, TcpOptions, TcpOptionsRepr};

use crate::conn::{Conn, MSS, Seg, Setup, numbers};

conformance! {
    "RFC 2018", "Selective acknowledgment";

    Rule "RFC2018-2-format" "2" "SACK-permitted is kind 4 with a length of 2."
        => sack_permitted_has_its_format;
    Rule "RFC2018-3-format" "3" "SACK is kind 5; a block is its first number and the one behind its last, 4 bytes each."
        => sack_has_its_format;
    Rule "RFC2018-3-room" "3" "Four blocks fit into the options, three beside timestamps."
        => as_many_blocks_as_there_is_room;
    MustNot "RFC2018-2-syn-only" "2" "SACK-permitted is sent in SYN only." => sack_permitted_only_in_syn;
    MustNot "RFC2018-3-agreed" "3" "No SACK goes to a peer that did not permit it."
        => no_sack_without_permission;
    Should "RFC2018-4-every" "4" "While something is missing every ACK that does not cover all carries SACK."
        => every_duplicate_ack_carries_sack;
    Must "RFC2018-4-first" "4" "The first block holds the segment that caused the ACK."
        => the_first_block_is_the_newest;
    Should "RFC2018-4-many" "4" "As many further blocks as fit repeat the most recent ones."
        => further_blocks_are_the_most_recent;
    Must "RFC2018-4-exact" "4" "Blocks say exactly what is queued, whole contiguous runs."
        => blocks_are_exact;
    Should "RFC2018-5-retransmit" "5" "What was SACKed is not retransmitted."
        => sacked_data_is_not_retransmitted;
    Must "RFC2018-5-rto" "5" "After a timeout the marks are not relied on if the peer reneged."
        => reneging_is_survived;
    Must "RFC2018-5-keep" "5" "Data stays until the cumulative ACK covers it."
        => sacked_data_is_kept_until_acknowledged;
    Rule "RFC2018-8-renege" "8" "The receiver may drop what it SACKed only when memory forces it."
        => pruning_is_the_only_reneging;
    Rule "RFC2018-5-nonsense" "5" "Blocks that cannot be are ignored." => impossible_blocks_are_ignored;
}

fn emit(options: TcpOptionsRepr<'_>) -> Vec<u8> {
    let mut bytes = vec![0; options.len()];
    options.emit(&mut bytes);
    bytes
}

fn blocks(count: u32) -> Vec<SackBlock> {
    (0..count)
        .map(|n| SackBlock { left: SeqNumber(n << 16), right: SeqNumber((n << 16) + 1460) })
        .collect()
}

fn sack_permitted_has_its_format() {
    let bytes = emit(TcpOptionsRepr { sack_permitted: true, ..Default::default() });
    assert_eq!(bytes, [kinds::NOP, kinds::NOP, 4, 2]);
    assert_eq!(TcpOptions::new(&[4, 2]).next(), Some(Ok(TcpOption::SackPermitted)));
    let wrong = TcpOptions::new(&[4, 3, 0]).next();
    assert!(matches!(wrong, Some(Ok(TcpOption::Unknown { .. }))), "{wrong:?}");
}

fn sack_has_its_format() {
    let block = SackBlock { left: SeqNumber(0x0102_0304), right: SeqNumber(0x0506_0708) };
    let bytes = emit(TcpOptionsRepr { sack: &[block], ..Default::default() });
    assert_eq!(bytes, [kinds::NOP, kinds::NOP, 5, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    let Some(Ok(TcpOption::Sack(read))) = TcpOptions::new(&bytes[2..]).next() else {
        panic!("a SACK option: {bytes:?}");
    };
    assert_eq!(read.iter().collect::<Vec<_>>(), [block]);
    for len in [2, 9, 11, 17] {
        let mut bytes = vec![0; len];
        bytes[..2].copy_from_slice(&[5, len as u8]);
        let option = TcpOptions::new(&bytes).next();
        assert!(matches!(option, Some(Ok(TcpOption::Unknown { .. }))), "length {len}: {option:?}");
    }
}

fn as_many_blocks_as_there_is_room() {
    let five = blocks(5);
    for (timestamps, room) in [(None, 4), (Some((1, 2)), 3)] {
        let bytes = emit(TcpOptionsRepr { timestamps, sack: &five, ..Default::default() });
        assert!(bytes.len() <= 40);
        let sack = TcpOptions::new(&bytes).find_map(|option| match option {
            Ok(TcpOption::Sack(blocks)) => Some(blocks.iter().collect::<Vec<_>>()),
            _ => None,
        });
        assert_eq!(sack.as_deref(), Some(&five[..room]), "the first ones, in order");
    }
}

fn sack_permitted_only_in_syn() {
    for active in [false, true] {
        let setup = Setup { active, ..Setup::default() };
        let mut conn = Conn::prepare(&setup);
        if active {
            conn.start_connect();
            assert!(conn.only().sack_permitted);
            conn.syn(TcpFlags::SYN | TcpFlags::ACK);
        } else {
            conn.listen();
            conn.syn(TcpFlags::SYN);
            assert!(conn.only().sack_permitted);
            conn.ack(0);
            conn.take();
        }
        conn.write(3);
        conn.data(0, 100);
        conn.data(300, 100);
        conn.ack(3);
        let sent = conn.sent();
        assert!(sent.len() >= 4 && sent.iter().all(|sent| !sent.sack_permitted), "{sent:?}");
    }
}

fn no_sack_without_permission() {
    let mut conn = Setup::default().sack(false).open();
    for seq in [500, 900, 500] {
        conn.data(seq, 100);
        let ack = conn.only();
        assert_eq!((ack.ack, ack.sack), (0, vec![]));
    }
    // Nor is one believed.
    conn.write(10);
    conn.sent();
    conn.sack(0, &[(1, 9)]);
    assert_eq!(conn.info().sacked, 1, "a duplicate ACK, and no more");
    // Nor sent by a host that does not want it.
    let setup = Setup::default().config(|config| config.tcp.sack = false);
    let mut conn = Conn::prepare(&setup);
    conn.listen();
    conn.syn(TcpFlags::SYN);
    assert!(!conn.only().sack_permitted);
}

fn every_duplicate_ack_carries_sack() {
    let mut conn = Setup::default().open();
    conn.data(1000, 100);
    assert_eq!(conn.only().sack, [(1000, 1100)]);
    // In order below the gap, a duplicate, and data of our own.
    conn.data(0, 500);
    assert_eq!(conn.only().sack, [(1000, 1100)]);
    conn.data(0, 500);
    assert_eq!(conn.only().sack, [(0, 500), (1000, 1100)]);
    conn.write_bytes(100);
    assert_eq!(conn.only().sack, [(1000, 1100)]);
    conn.data(500, 500);
    let ack = conn.only();
    assert_eq!((ack.ack, ack.sack), (1100, vec![]));
}

fn the_first_block_is_the_newest() {
    let mut conn = Setup::default().open();
    for (seq, newest) in
        [(5000, (5000, 5100)), (3000, (3000, 3100)), (5100, (5000, 5200)), (2900, (2900, 3100))]
    {
        conn.data(seq, 100);
        conn.run(5);
        assert_eq!(conn.only().sack[0], newest);
    }
}

fn further_blocks_are_the_most_recent() {
    for (timestamps, room) in [(false, 4), (true, 3)] {
        let setup = Setup { timestamps, ..Setup::default() };
        let mut conn = setup.open();
        let mut order = Vec::new();
        for seq in [9000, 1000, 5000, 3000, 7000, 2000] {
            conn.data(seq, 100);
            conn.run(5);
            order.insert(0, (seq, seq + 100));
            let expected: Vec<_> = order.iter().take(room).copied().collect();
            assert_eq!(conn.only().sack, expected);
        }
        // A block that grows is recent again.
        conn.data(5100, 100);
        conn.run(5);
        assert_eq!(conn.only().sack[..2], [(5000, 5200), (2000, 2100)]);
    }
}

fn blocks_are_exact() {
    for seed in 1..=50 {
        let mut rng = Rng::new(seed);
        let mut conn = Setup::default().open();
        let mut have = [false; 40];
        for _ in 0..60 {
            let from = 1 + rng.below(38) as usize;
            let count = (1 + rng.below(3) as usize).min(40 - from);
            let twice = have[from..from + count].iter().any(|have| *have);
            have[from..from + count].fill(true);
            conn.data(from as u32 * 100, count as u32 * 100);
            conn.run(5);
            let ack = conn.only();
            assert_eq!(ack.ack, 0);
            let blocks = if twice { &ack.sack[1..] } else { &ack.sack[..] };
            for (n, &(left, right)) in blocks.iter().enumerate() {
                let (left, right) = (left as usize / 100, right as usize / 100);
                assert!(have[left..right].iter().all(|have| *have), "it was received");
                let whole = !have[left - 1] && have.get(right) != Some(&true);
                assert!(whole, "seed {seed}: {left} to {right} is a whole run");
                assert!(!blocks[..n].contains(&blocks[n]), "no block twice");
            }
            let first = (blocks[0].0 as usize / 100, blocks[0].1 as usize / 100);
            assert!(first.0 <= from && from + count <= first.1, "the first holds the newest");
        }
    }
}

/// Segments 0 to 9 are in flight, and a round trip has passed.
fn ten_in_flight() -> Conn {
    let mut conn = Setup::default().open();
    conn.write(10);
    assert_eq!(conn.numbers(), numbers(0..10));
    conn.run(100);
    conn
}

fn sacked_data_is_not_retransmitted() {
    let mut conn = ten_in_flight();
    conn.sack(0, &[(2, 4), (6, 9)]);
    conn.run(10_000);
    let mut again = conn.numbers();
    again.sort_unstable();
    again.dedup();
    assert_eq!(again, [0, 1, 4, 5], "only what is missing");
    conn.sack(2, &[(6, 9), (2, 4)]);
    conn.ack(4);
    conn.run(20_000);
    let again = conn.numbers();
    assert!(again.iter().all(|number| [4, 5, 9].contains(number)), "{again:?}");
}

fn reneging_is_survived() {
    let mut conn = ten_in_flight();
    conn.sack(0, &[(1, 4)]);
    assert_eq!(conn.numbers(), [0]);
    conn.run(50);
    // It acknowledges 0 and says nothing of 1 to 3, which it must have dropped.
    conn.ack(1);
    assert_eq!(conn.info().sacked, 3);
    // Half a round trip, and all is sent again.
    conn.run(51);
    assert_eq!(conn.numbers(), [1]);
    assert_eq!((conn.ext().tcp_sack_reneging, conn.info().sacked), (1, 0));
    for acked in 2..=10 {
        conn.run(100);
        conn.ack(acked);
    }
    assert_eq!(conn.info().unacked, 0);
    let again = conn.numbers();
    assert!([2, 3, 4].iter().all(|number| again.contains(number)), "{again:?}");
}

fn sacked_data_is_kept_until_acknowledged() {
    let mut conn = ten_in_flight();
    conn.sack(0, &[(1, 10)]);
    assert_eq!(conn.info().unacked, 10);
    conn.run(50);
    conn.ack(1);
    // The content of what is sent again is checked by its checksum and length.
    conn.run(60);
    let sent = conn.sent();
    assert!(sent.iter().any(|sent| sent.seq == i64::from(MSS) && sent.len == MSS), "{sent:?}");
}

fn pruning_is_the_only_reneging() {
    // Plenty of room: whatever was reported is there in the end.
    let mut conn = Setup::default().open();
    for n in (1..20).rev() {
        conn.data(n * 1000, 1000);
    }
    conn.data(0, 1000);
    let last = conn.sent().pop().expect("an ACK");
    assert_eq!((last.ack, last.sack), (20_000, vec![]));
    assert_eq!(conn.ext().ofo_pruned, 0);
}

fn impossible_blocks_are_ignored() {
    let mut conn = ten_in_flight();
    let ack = conn.seg(0);
    let (second, far) = (MSS, 40 * MSS);
    for block in [(3 * MSS, 2 * MSS), (4 * MSS, 4 * MSS), (9 * MSS, 11 * MSS), (far, far + MSS)] {
        conn.inject(&Seg { sack: vec![block], ..ack.clone() });
        assert_eq!(conn.info().sacked, 0, "{block:?}");
    }
    // At the ACK: what is there would have been acknowledged.
    conn.inject(&Seg { sack: vec![(0, second)], ..ack.clone() });
    assert_eq!(conn.info().sacked, 0);
    assert_eq!(conn.ext().tcp_sack_discard, 5);
    conn.quiet();
    // A possible one beside them counts.
    conn.inject(&Seg { sack: vec![(far, far + MSS), (4 * MSS, 5 * MSS)], ..ack });
    assert_eq!(conn.info().sacked, 1);
}
