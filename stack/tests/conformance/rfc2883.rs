//! RFC 2883, duplicate SACK.

use crate::conn::{Conn, MSS, Setup, numbers};

conformance! {
    "RFC 2883", "Duplicate SACK";

    Must "RFC2883-4-first" "4" "The first block reports a duplicate that just arrived."
        => a_duplicate_is_reported_first;
    Must "RFC2883-4-once" "4" "Each duplicate is reported once." => a_duplicate_is_reported_once;
    Must "RFC2883-4.1-above" "4.1" "A duplicate above the ACK is followed by the block that holds it."
        => a_duplicate_in_a_block;
    Must "RFC2883-4.2-partial" "4.2" "Of a segment that is old in part only the old part is reported."
        => a_partial_duplicate;
    Rule "RFC2883-4-exact" "4" "The block holds what arrived twice and nothing else."
        => the_duplicate_block_is_exact;
    Rule "RFC2883-4-zerowin" "4" "Duplicates provoked by keep-alive bytes are reported, too."
        => old_bytes_are_reported;
    Rule "RFC2883-5-sender" "5" "A D-SACK that arrives marks nothing as received, and counts towards undoing."
        => a_duplicate_sack_counts_for_undo;
    Must "RFC2883-5-invalid" "5" "A D-SACK for what was never retransmitted, or never sent, is ignored."
        => an_impossible_duplicate_sack_is_ignored;
}

/// The blocks of the only ACK that came in turn.
#[track_caller]
fn blocks(conn: &mut Conn) -> Vec<(u32, u32)> {
    conn.only().sack
}

fn a_duplicate_is_reported_first() {
    let mut conn = Setup::default().open();
    conn.data(0, 100);
    conn.data(100, 100);
    conn.data(500, 100);
    conn.sent();
    conn.data(0, 100);
    let ack = conn.only();
    assert_eq!((ack.ack, ack.sack), (200, vec![(0, 100), (500, 600)]));
    assert_eq!(conn.ext().tcp_dsack_old_sent, 1);
    let mut conn = Setup::default().config(|config| config.tcp.dsack = false).open();
    conn.data(0, 100);
    conn.sent();
    conn.data(0, 100);
    assert_eq!(blocks(&mut conn), []);
}

fn a_duplicate_is_reported_once() {
    let mut conn = Setup::default().open();
    conn.data(0, 100);
    conn.sent();
    conn.data(0, 100);
    assert_eq!(blocks(&mut conn), [(0, 100)]);
    conn.data(100, 100);
    assert_eq!(blocks(&mut conn), []);
    conn.data(100, 100);
    assert_eq!(blocks(&mut conn), [(100, 200)]);
}

fn a_duplicate_in_a_block() {
    let mut conn = Setup::default().open();
    conn.data(500, 100);
    conn.data(600, 100);
    conn.sent();
    conn.data(500, 100);
    assert_eq!(blocks(&mut conn), [(500, 600), (500, 700)]);
    assert_eq!(conn.ext().tcp_dsack_ofo_sent, 1);
}

fn a_partial_duplicate() {
    let mut conn = Setup::default().open();
    conn.data(0, 100);
    conn.sent();
    conn.data(50, 150);
    let ack = conn.only();
    assert_eq!((ack.ack, ack.sack), (200, vec![(50, 100)]));
    // Out of order as well.
    conn.data(500, 100);
    conn.sent();
    conn.data(550, 150);
    assert_eq!(blocks(&mut conn), [(550, 600), (500, 700)]);
}

fn the_duplicate_block_is_exact() {
    let mut conn = Setup::default().open();
    conn.data(0, 1000);
    conn.sent();
    for (seq, len) in [(0, 1000), (0, 1), (999, 1), (17, 400)] {
        conn.data(seq, len);
        assert_eq!(blocks(&mut conn), [(seq, seq + len)]);
    }
}

fn old_bytes_are_reported() {
    let mut conn = Setup::default().open();
    conn.data(0, 100);
    conn.sent();
    conn.data(99, 1);
    let ack = conn.only();
    assert_eq!((ack.ack, ack.sack), (100, vec![(99, 100)]));
}

fn a_duplicate_sack_counts_for_undo() {
    let mut conn = Setup::default().open();
    conn.write(10);
    conn.sent();
    conn.run(100);
    let before = conn.window();
    conn.sack(0, &[(1, 4)]);
    assert_eq!(conn.numbers(), [0]);
    assert!(conn.window().1 < before.1);
    conn.run(5);
    conn.ack(4);
    conn.run(95);
    // Both copies of 0 arrived.
    conn.sack(4, &[(0, 1)]);
    let info = conn.info();
    assert_eq!((info.sacked, info.unacked, info.dsack_dups), (0, 6, 1));
    assert_eq!((conn.window(), conn.ext().tcp_dsack_undo), (before, 1));
    assert_eq!(conn.ext().tcp_dsack_recv, 1);
    conn.quiet();
    // The same where the ACK is still below.
    let mut conn = Setup::default().open();
    conn.write(10);
    conn.sent();
    conn.run(100);
    let before = conn.window();
    conn.sack(0, &[(4, 10)]);
    conn.run(5);
    assert_eq!(conn.numbers(), numbers(0..4));
    conn.sack(0, &[(1, 10)]);
    conn.run(95);
    for number in 1..4 {
        assert_ne!(conn.window(), before);
        conn.sack(0, &[(number, number + 1), (1, 10)]);
    }
    assert_eq!(conn.ext().tcp_dsack_ofo_recv, 3);
    conn.sack(10, &[(0, 1)]);
    let after = conn.window();
    assert_eq!((after.1, conn.ext().tcp_full_undo), (before.1, 1));
    assert!(after.0 >= before.0);
}

fn an_impossible_duplicate_sack_is_ignored() {
    let mut conn = Setup::default().open();
    conn.write(10);
    conn.sent();
    conn.run(100);
    conn.ack(5);
    // Nothing was sent again.
    conn.sack(5, &[(1, 2)]);
    assert_eq!(conn.ext().tcp_dsack_ignored_dubious, 1);
    // Never sent; as long as no window was; reversed.
    let window = u32::from(u16::MAX) << 7;
    let first = conn.seg(5);
    for block in [(20 * MSS, 21 * MSS), (u32::MAX - window, 3), (4 * MSS, 2 * MSS)] {
        conn.inject(&crate::conn::Seg { sack: vec![block], ..first.clone() });
    }
    let info = conn.info();
    assert_eq!((info.sacked, info.lost, info.retrans), (0, 0, 0));
    conn.quiet();
    conn.ack(10);
    assert_eq!(conn.info().unacked, 0);
}
