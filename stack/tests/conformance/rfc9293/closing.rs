//! The end of connections.

use tapping_stack::time::Duration;
use tapping_stack::{Shutdown, SocketError};

use crate::segment::*;
use crate::states::*;

conformance! {
    "RFC 9293", "Closing a connection (§3.6, §3.10.4)";

    Rule "RFC9293-3.6-normal" "3.6" "The side that closes first goes by FIN-WAIT-1 and FIN-WAIT-2 to TIME-WAIT, the other by CLOSE-WAIT and LAST-ACK to CLOSED."
        => a_normal_close;
    Rule "RFC9293-3.6-simultaneous" "3.6" "FINs that cross lead both sides by CLOSING to TIME-WAIT."
        => a_simultaneous_close;
    Rule "RFC9293-3.6-finack" "3.6" "FIN and the ACK of our FIN in one segment lead from FIN-WAIT-1 straight to TIME-WAIT."
        => fin_with_ack_skips_fin_wait_2;
    Rule "RFC9293-3.6-half" "3.6" "After shutting down sending, receiving goes on until the peer's FIN."
        => a_half_closed_connection_still_receives;
    Rule "RFC9293-3.10.4-queued" "3.10.4" "FIN follows all data written before, retransmitted until acknowledged."
        => fin_follows_the_data;
    Rule "RFC9293-3.6-synsent" "3.10.4" "Closing in SYN-SENT gives up at once; no segment is sent."
        => closing_in_syn_sent_sends_nothing;
    Rule "RFC9293-3.6-synrcvd" "3.10.4" "Closing in SYN-RECEIVED sends FIN."
        => closing_in_syn_received_sends_fin;
    May "RFC9293-MAY-1" "3.6.1" "A close that also ends receiving resets when data was not read."
        => closing_with_unread_data_resets;
    Should "RFC9293-SHLD-3" "3.6.1" "Data that arrives after such a close is answered with RST."
        => data_after_close_is_reset;
    Rule "RFC9293-3.10.7.4-fin" "3.10.7.4" "FIN in order is acknowledged, the application reads the end, and the state moves on."
        => fin_is_acknowledged_and_read_as_the_end;
    Rule "RFC9293-3.10.7.4-fin-again" "3.10.7.4" "FIN again in CLOSE-WAIT, CLOSING or LAST-ACK changes nothing."
        => a_second_fin_changes_nothing;
    Rule "RFC9293-3.10.7.4-fin-ooo" "3.10.7.4" "FIN out of order waits for what is missing."
        => fin_waits_for_the_gap;
    Linux "RFC9293-3.6-finwait2" "3.6" "An orphan in FIN-WAIT-2 is given up after tcp_fin_timeout."
        => fin_wait_2_ends;
    Linux "RFC9293-3.6-linger2" "3.6" "TCP_LINGER2 is that time for one socket."
        => linger2_is_the_time_of_one_socket;
}

fn a_normal_close() {
    // We first.
    let mut conn = Setup::full().at(At::Established);
    conn.send_fin();
    conn.expect(At::FinWait1);
    let ack = conn.seg(ACK);
    conn.quietly(&ack);
    conn.expect(At::FinWait2);
    conn.receive_fin();
    conn.expect(At::TimeWait);
    conn.pass(Duration::from_secs(61));
    conn.expect_gone();
    // The peer first.
    let mut conn = Setup::full().at(At::Established);
    conn.receive_fin();
    conn.expect(At::CloseWait);
    assert_eq!(conn.write(&[1; 10]).len(), 1, "our side goes on");
    let ack = conn.seg(ACK);
    conn.quietly(&ack);
    conn.send_fin();
    conn.expect(At::LastAck);
    let ack = conn.seg(ACK);
    conn.quietly(&ack);
    conn.expect_gone();
    assert_eq!(conn.error(), None);
}

fn a_simultaneous_close() {
    let mut conn = Setup::full().at(At::Established);
    conn.send_fin();
    let fin = conn.seg(FIN_ACK).ack(conn.snd_nxt - 1);
    conn.rcv_nxt += 1;
    conn.challenged(&fin);
    conn.expect(At::Closing);
    let ack = conn.seg(ACK);
    conn.quietly(&ack);
    conn.expect(At::TimeWait);
    assert_eq!(conn.try_read(), Ok(Vec::new()), "the end");
    // With data on both FINs.
    let mut conn = Setup::full().at(At::Established);
    conn.write(&[1; 10]);
    conn.send_fin();
    let fin = conn.seg(FIN_ACK).ack(conn.snd_nxt - 11).data(&[2; 10]);
    conn.rcv_nxt += 11;
    conn.challenged(&fin);
    conn.expect(At::Closing);
    assert_eq!(conn.try_read().as_deref(), Ok(&[2; 10][..]));
    let ack = conn.seg(ACK);
    conn.quietly(&ack);
    conn.expect(At::TimeWait);
}

fn fin_with_ack_skips_fin_wait_2() {
    for data in [&[][..], &[5; 10]] {
        let mut conn = Setup::full().at(At::FinWait1);
        let fin = conn.seg(FIN_ACK).data(data);
        conn.rcv_nxt += 1 + data.len() as u32;
        conn.challenged(&fin);
        conn.expect(At::TimeWait);
        assert_eq!(conn.read(), data);
    }
}

fn a_half_closed_connection_still_receives() {
    for at in [At::FinWait1, At::FinWait2] {
        let mut conn = Setup::plain().at(at);
        let all = stream(0, 10_000);
        let mut read = Vec::new();
        for piece in all.chunks(1000) {
            conn.feed(piece);
            read.extend(conn.read());
        }
        assert_eq!(read, all, "{at:?}");
        assert_eq!(conn.try_read(), Err(SocketError::WouldBlock), "not the end yet");
        assert_eq!(conn.try_write(&[1]), Err(SocketError::BrokenPipe));
        conn.heard();
        conn.receive_fin();
        conn.expect(At::TimeWait);
        assert_eq!(conn.try_read(), Ok(Vec::new()));
    }
}

fn fin_follows_the_data() {
    let mut conn = Setup { window: 2000, ..Setup::plain() }.at(At::Established);
    let start = conn.snd_nxt;
    let all = stream(0, 15_000);
    let mut heard = conn.write(&all);
    conn.shutdown(Shutdown::Write).expect("connected");
    conn.expect(At::FinWait1);
    heard.extend(conn.heard());
    let mut got = 0;
    for _ in 0..100 {
        for seg in &heard {
            let at = seg.seq.since(start) as usize;
            assert!(at <= got, "in order");
            assert_eq!(seg.data, all[at..at + seg.data.len()]);
            got = got.max(at + seg.data.len());
            assert_eq!(seg.has(FIN), at + seg.data.len() == all.len(), "with the last byte");
        }
        if got == all.len() {
            break;
        }
        let ack = conn.seg(ACK);
        heard = conn.send(&ack);
    }
    assert_eq!(got, all.len());
    // FIN is lost: it comes again, and again.
    let almost = conn.seg(ACK).ack(conn.snd_nxt - 1);
    conn.send(&almost);
    for _ in 0..3 {
        let again = conn.pass(Duration::from_secs(20));
        assert!(!again.is_empty());
        for seg in again {
            assert!(seg.has(FIN) && seg.end() == conn.snd_nxt && seg.data.is_empty(), "{seg:?}");
        }
    }
    let ack = conn.seg(ACK);
    conn.quietly(&ack);
    conn.expect(At::FinWait2);
    assert!(conn.pass(Duration::from_secs(300)).is_empty());
}

fn closing_in_syn_sent_sends_nothing() {
    let mut conn = Setup::plain().at(At::SynSent);
    assert!(conn.close().is_empty());
    assert_eq!(conn.stack().tcp_counts(), (0, 0, 0));
    assert!(conn.pass(Duration::from_secs(200)).is_empty());
    // What comes for it finds nobody.
    let syn_ack = conn.syn().flags(SYN_ACK).ack(conn.snd_nxt);
    conn.reset_by(&syn_ack);
}

fn closing_in_syn_received_sends_fin() {
    let mut conn = Setup::plain().at(At::SynCrossed);
    conn.shutdown(Shutdown::Write).expect("connecting");
    conn.expect(At::FinWait1);
    let mut heard = conn.heard();
    let ack = conn.seg(ACK).ack(conn.iss + 1);
    heard.extend(conn.send(&ack));
    let fin = heard.iter().find(|seg| seg.has(FIN)).expect("a FIN");
    assert_eq!((fin.seq, fin.ack), (conn.iss + 1, conn.rcv_nxt));
    let ack = conn.seg(ACK);
    conn.quietly(&ack);
    conn.expect(At::FinWait2);
}

fn closing_with_unread_data_resets() {
    for at in [At::Established, At::FinWait1, At::FinWait2] {
        let mut conn = Setup::plain().at(at);
        conn.feed(&[1; 100]);
        let heard = conn.close();
        let [reset] = &heard[..] else { panic!("{at:?}: {heard:?}") };
        let expected = (RST_ACK, conn.snd_nxt, conn.rcv_nxt);
        assert_eq!((reset.flags, reset.seq, reset.ack), expected);
        assert_eq!(conn.stack().tcp_counts(), (1, 0, 0), "only the listener is left");
        assert_eq!(conn.ext().tcp_abort_on_close, 1);
    }
    // All was read: an orderly end.
    let mut conn = Setup::plain().at(At::Established);
    conn.feed(&[1; 100]);
    conn.read();
    conn.heard();
    assert_eq!(conn.close()[0].flags & FIN_ACK, FIN_ACK);
}

fn data_after_close_is_reset() {
    for acked in [false, true] {
        let mut conn = Setup::plain().at(At::Established);
        assert!(conn.close()[0].has(FIN));
        if acked {
            let ack = conn.seg(ACK);
            conn.quietly(&ack);
        }
        let data = conn.seg(ACK).data(&[1; 10]);
        let reset = conn.reset_by(&data);
        assert_eq!((reset.flags, reset.seq), (RST, conn.snd_nxt));
        assert_eq!(conn.stack().tcp_counts(), (1, 0, 0), "only the listener is left");
    }
    // Without data there is no reason to.
    let mut conn = Setup::plain().at(At::Established);
    conn.close();
    conn.receive_fin();
    conn.expect(At::TimeWait);
}

fn fin_is_acknowledged_and_read_as_the_end() {
    for data in [&[][..], &[7; 10]] {
        let mut conn = Setup::full().at(At::Established);
        let fin = conn.seg(FIN_ACK).data(data);
        conn.rcv_nxt += 1 + data.len() as u32;
        let mut heard = conn.send(&fin);
        // Linux waits 40 ms for the application to close as well.
        heard.extend(conn.pass_ms(40));
        assert!(heard.len() == 1 && heard[0].is_ack(conn.snd_nxt, conn.rcv_nxt), "{heard:?}");
        conn.expect(At::CloseWait);
        if !data.is_empty() {
            assert_eq!(conn.try_read().as_deref(), Ok(data));
        }
        for _ in 0..3 {
            assert_eq!(conn.try_read(), Ok(Vec::new()), "the end, and it stays");
        }
    }
    // Closing at once sends one segment for both.
    let mut conn = Setup::full().at(At::Established);
    let fin = conn.seg(FIN_ACK);
    conn.rcv_nxt += 1;
    let mut heard = conn.send(&fin);
    heard.extend(conn.close());
    let last = heard.last().expect("a FIN");
    assert_eq!((last.flags, last.ack), (FIN_ACK, conn.rcv_nxt));
}

fn a_second_fin_changes_nothing() {
    for at in [At::CloseWait, At::Closing, At::LastAck] {
        let mut conn = Setup::plain().at(at);
        let again = conn.seg(FIN_ACK).seq(conn.rcv_nxt - 1);
        let again = if at == At::CloseWait { again } else { again.ack(conn.snd_nxt - 1) };
        conn.challenged(&again);
        conn.expect(at);
        // One beyond it is not one.
        let beyond = again.seq(conn.rcv_nxt);
        let heard = conn.send(&beyond);
        assert!(heard.iter().all(|seg| seg.is_ack(conn.snd_nxt, conn.rcv_nxt)), "{heard:?}");
        conn.expect(at);
    }
}

fn fin_waits_for_the_gap() {
    for (from, to) in [(At::Established, At::CloseWait), (At::FinWait2, At::TimeWait)] {
        let mut conn = Setup::full().at(from);
        let fin = conn.seg(FIN_ACK).seq(conn.rcv_nxt + 100);
        conn.challenged(&fin);
        conn.expect(from);
        assert_eq!(conn.try_read(), Err(SocketError::WouldBlock));
        let missing = conn.seg(ACK).data(&stream(0, 100));
        conn.rcv_nxt += 101;
        conn.challenged(&missing);
        conn.expect(to);
        assert_eq!(conn.try_read().as_deref(), Ok(&stream(0, 100)[..]));
        assert_eq!(conn.try_read(), Ok(Vec::new()));
    }
}

fn fin_wait_2_ends() {
    let mut conn = Setup::plain().at(At::Established);
    conn.close();
    let ack = conn.seg(ACK);
    conn.quietly(&ack);
    conn.pass(Duration::from_secs(59));
    assert_ne!(conn.stack().tcp_counts(), (1, 0, 0), "it waits for the peer's FIN");
    conn.pass(Duration::from_secs(2));
    assert_eq!(conn.stack().tcp_counts(), (1, 0, 0));
    // Not while the application may still read.
    let mut conn = Setup::plain().at(At::FinWait2);
    conn.pass(Duration::from_secs(7 * 24 * 3600));
    conn.expect(At::FinWait2);
    conn.feed(&[1; 10]);
    assert_eq!(conn.read(), [1; 10]);
}

fn linger2_is_the_time_of_one_socket() {
    for seconds in [5, 120] {
        let wait = Duration::from_secs(seconds);
        let mut conn =
            Setup::plain().options(|options| options.linger2 = Some(wait)).at(At::Established);
        conn.close();
        let ack = conn.seg(ACK);
        conn.quietly(&ack);
        conn.pass(wait - Duration::from_secs(1));
        assert_ne!(conn.stack().tcp_counts(), (1, 0, 0), "{seconds}");
        // The peer's FIN is still taken.
        conn.pass(Duration::from_secs(2));
        assert_eq!(conn.stack().tcp_counts(), (1, 0, 0), "{seconds}");
        conn.reset_by(&ack);
    }
    let none = Setup::plain().options(|options| options.linger2 = Some(Duration::ZERO));
    let mut conn = none.at(At::Established);
    conn.close();
    let ack = conn.seg(ACK);
    conn.reset_by(&ack);
    assert_eq!(conn.stack().tcp_counts(), (1, 0, 0));
}
