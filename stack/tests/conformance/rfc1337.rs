//! RFC 1337, TIME-WAIT assassination.

use crate::segment::*;
use crate::states::*;

conformance! {
    "RFC 1337", "TIME-WAIT assassination";

    Rule "RFC1337-2-old-data" "2" "Old data in TIME-WAIT is acknowledged and does no more."
        => old_data_in_time_wait_is_acknowledged;
    Rule "RFC1337-3-F1" "3" "With tcp_rfc1337 an RST does not end TIME-WAIT."
        => a_reset_does_not_end_time_wait;
    Rule "RFC1337-3-default" "3" "RST in TIME-WAIT is ignored by default."
        deviation "As on Linux this takes tcp_rfc1337: without it a peer that has lost its state may use the ports again at once, and RST must have the exact number."
        => a_reset_ends_time_wait_by_default;
}

fn old_data_in_time_wait_is_acknowledged() {
    for setup in [Setup::plain(), Setup::full()] {
        let mut conn = setup.at(At::TimeWait);
        let old = conn.seg(ACK).seq(conn.rcv_nxt - 500).data(&[1; 100]);
        conn.challenged(&old);
        conn.expect(At::TimeWait);
        // The assassination of §1: the peer, which is done, answers that ACK with RST.
        conn.pass_ms(59_000);
        conn.challenged(&old);
        conn.pass_ms(2000);
        conn.expect_gone();
    }
}

fn a_reset_does_not_end_time_wait() {
    for flags in [RST, RST_ACK] {
        let mut conn = Setup::plain().config(|config| config.tcp.rfc1337 = true).at(At::TimeWait);
        let reset = conn.seg(flags);
        conn.quietly(&reset);
        conn.expect(At::TimeWait);
        let old = conn.seg(ACK).seq(conn.rcv_nxt - 500).data(&[1; 100]);
        conn.challenged(&old);
    }
}

fn a_reset_ends_time_wait_by_default() {
    let mut conn = Setup::plain().at(At::TimeWait);
    assert!(!conn.setup.config.tcp.rfc1337);
    for offset in [1, 100, u32::MAX] {
        let blind = conn.seg(RST).seq(conn.rcv_nxt + offset);
        conn.quietly(&blind);
        conn.expect(At::TimeWait);
    }
    let reset = conn.seg(RST);
    conn.quietly(&reset);
    conn.expect_gone();
}
