//! RFC 6191, reducing TIME-WAIT by timestamps.

use crate::segment::*;
use crate::states::*;

conformance! {
    "RFC 6191", "TIME-WAIT reuse by timestamps";

    Should "RFC6191-2-newer-ts" "2" "In TIME-WAIT a SYN with a newer timestamp opens a new connection."
        => a_newer_timestamp_reopens;
    Should "RFC6191-2-equal-ts" "2" "With an equal timestamp the number decides."
        => an_equal_timestamp_needs_a_newer_number;
    Should "RFC6191-2-older-ts" "2" "With an older timestamp the SYN opens nothing."
        => an_older_timestamp_is_refused;
    Should "RFC6191-2-lost-ts" "2" "Where there were timestamps and the SYN has none, the number decides."
        => without_its_timestamp_a_syn_needs_a_newer_number;
    Should "RFC6191-2-no-ts-old" "2" "Without timestamps before, a SYN with them, or a newer number, opens."
        => timestamps_new_to_the_pair_reopen;
    Should "RFC6191-2-neither" "2" "Without timestamps on both a number beyond the last one opens."
        => a_newer_number_reopens;
    Linux "RFC6191-2-isn" "2" "The new connection's initial number lies beyond the old one's numbers."
        => the_new_isn_is_beyond_the_old;
}

/// Sends a SYN to a connection in TIME-WAIT: its number counted from the next one, its timestamp
/// from the last. Either it opens a connection, or it is answered with an ACK.
fn syn(setup: Setup, ahead: i32, newer: Option<i32>, opens: bool) -> Conn {
    let mut conn = setup.at(At::TimeWait);
    let last = conn.clock().unwrap_or(777_777);
    let old = conn.snd_nxt;
    let mut syn = conn.syn().seq(conn.rcv_nxt + ahead as u32);
    syn.options = mss_option(1460);
    if let Some(newer) = newer {
        syn = syn.option(&ts_option(last.wrapping_add(newer as u32), 0));
    }
    let answer = conn.one(&syn);
    if opens {
        assert_eq!((answer.flags, answer.ack), (SYN_ACK, syn.seq + 1), "{ahead} {newer:?}");
        assert!(answer.seq.gt(old));
        conn.expect(At::SynReceived);
    } else {
        assert!(answer.is_ack(conn.snd_nxt, conn.rcv_nxt), "{ahead} {newer:?}: {answer:?}");
        conn.expect(At::TimeWait);
    }
    conn
}

fn a_newer_timestamp_reopens() {
    for ahead in [0, 1, 1000, -1, -1000, -i32::MAX] {
        syn(Setup::full(), ahead, Some(1), true);
        syn(Setup::full(), ahead, Some(1_000_000), true);
    }
}

fn an_equal_timestamp_needs_a_newer_number() {
    // The driver lets 50 ms pass after the peer's FIN.
    for (ahead, opens) in [(1, true), (1000, true), (-1, false), (-1000, false)] {
        syn(Setup::full(), ahead, Some(-50), opens);
    }
}

fn an_older_timestamp_is_refused() {
    for ahead in [1, 1000, -1000] {
        for older in [-51, -1000, -100_000] {
            syn(Setup::full(), ahead, Some(older), false);
        }
    }
}

fn without_its_timestamp_a_syn_needs_a_newer_number() {
    for (ahead, opens) in [(1, true), (1000, true), (-1, false), (-1000, false)] {
        syn(Setup::full(), ahead, None, opens);
    }
}

fn timestamps_new_to_the_pair_reopen() {
    for ahead in [1, 1000, -1, -1000] {
        syn(Setup::plain(), ahead, Some(0), true);
    }
    // Not where timestamps would not be used in the new one either.
    let without = || Setup::plain().config(|config| config.tcp.timestamps = false);
    syn(without(), -1000, Some(0), false);
    syn(without(), 1000, Some(0), true);
}

fn a_newer_number_reopens() {
    for (ahead, opens) in [(1, true), (i32::MAX, true), (-1, false), (-i32::MAX, false)] {
        syn(Setup::plain(), ahead, None, opens);
    }
}

fn the_new_isn_is_beyond_the_old() {
    for setup in [Setup::plain(), Setup::full()] {
        let old = setup.clone().at(At::TimeWait).snd_nxt;
        let mut conn = syn(setup, 1000, None, true);
        // As Linux chooses it: a window away.
        assert_eq!(conn.snd_nxt, old + 65_535 + 2 + 1);
        conn.expect(At::SynReceived);
    }
}
