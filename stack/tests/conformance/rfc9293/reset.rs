//! Resets, sent and received.

use tapping_stack::SocketError;
use tapping_stack::socket::Readiness;
use tapping_stack::time::Duration;
use tapping_stack::wire::SeqNumber;

use crate::segment::*;
use crate::states::*;

conformance! {
    "RFC 9293", "Resets (§3.5.2, §3.5.3, §3.10.7.4)";

    Rule "RFC9293-3.5.3-synrcvd-passive" "3.10.7.4" "RST in SYN-RECEIVED after listening removes the attempt in silence."
        => a_reset_in_syn_received_removes_the_request;
    Rule "RFC9293-3.5.3-synrcvd-active" "3.10.7.4" "RST in SYN-RECEIVED after connecting refuses the connection."
        => a_reset_after_crossing_syns_refuses;
    Rule "RFC9293-3.5.3-data" "3.10.7.4" "RST in the states that move data ends the connection; all calls learn of it."
        => a_reset_ends_the_connection;
    Rule "RFC9293-3.5.3-time-wait" "3.10.7.4" "RST in TIME-WAIT ends it without an error."
        => a_reset_in_time_wait_just_ends_it;
    Rule "RFC9293-3.5.3-closing" "3.10.7.4" "RST in CLOSING or LAST-ACK ends the connection without an error."
        deviation "As on Linux an application that still has the socket is told: our FIN, and perhaps data before it, may not have arrived."
        => a_reset_while_closing_is_told;
    Rule "RFC9293-3.5.2-number" "3.5.2" "Our RST is numbered so that the peer must believe it."
        => our_reset_is_acceptable;
    Should "RFC9293-SHLD-2" "3.5.2" "Data in an RST is no reason to refuse it."
        => a_reset_may_hold_data;
    Must "RFC9293-MUST-12" "3.6" "The application learns whether its connection was closed or reset."
        => closed_and_reset_are_told_apart;
    Rule "RFC9293-3.10.7.4-syn" "3.10.7.4" "A SYN inside a connection is answered with an ACK and changes nothing."
        => a_syn_in_a_connection_is_challenged;
}

fn a_reset_in_syn_received_removes_the_request() {
    for flags in [RST, RST_ACK] {
        let mut conn = Setup::plain().at(At::SynReceived);
        let reset = conn.seg(flags);
        conn.quietly(&reset);
        conn.expect_gone();
        assert!(conn.pass(Duration::from_secs(120)).is_empty(), "no SYN-ACK any more");
        let (now, listener) = (conn.bench.lab.now(), conn.listener.expect("a listener"));
        assert_eq!(conn.stack().accept(now, listener).err(), Some(SocketError::WouldBlock));
        // The listener goes on.
        conn.rcv_nxt = SeqNumber(conn.setup.irs);
        conn.snd_nxt = SeqNumber(0);
        conn.shake(false);
        conn.expect(At::Established);
    }
}

fn a_reset_after_crossing_syns_refuses() {
    let mut conn = Setup::plain().at(At::SynCrossed);
    let reset = conn.seg(RST_ACK);
    conn.quietly(&reset);
    conn.expect_gone();
    assert_eq!(conn.error(), Some(SocketError::ConnectionRefused));
}

fn a_reset_ends_the_connection() {
    for at in [At::Established, At::FinWait1, At::FinWait2, At::CloseWait] {
        for reader_first in [true, false] {
            let mut conn = Setup::plain().at(at);
            let reset = conn.seg(RST);
            conn.quietly(&reset);
            conn.expect_gone();
            let socket = conn.socket();
            let ready = conn.stack().readiness(socket);
            let all = Readiness::ERROR
                | Readiness::READ_CLOSED
                | Readiness::WRITE_CLOSED
                | Readiness::READABLE
                | Readiness::WRITABLE;
            assert_eq!(ready, all, "{at:?}");
            match (at, reader_first) {
                // The stream had ended; only what is still to be sent can fail.
                (At::CloseWait, true) => assert_eq!(conn.try_read(), Ok(Vec::new())),
                (At::CloseWait, false) => {}
                (_, true) => assert_eq!(conn.try_read(), Err(SocketError::ConnectionReset)),
                (_, false) => {
                    assert_eq!(conn.try_write(&[1]), Err(SocketError::ConnectionReset), "{at:?}");
                }
            }
            assert_eq!(conn.try_write(&[1]), Err(SocketError::BrokenPipe), "{at:?}");
            // Told once.
            assert_eq!(conn.try_read(), Ok(Vec::new()));
            assert!(conn.pass(Duration::from_secs(300)).is_empty());
        }
    }
}

fn a_reset_in_time_wait_just_ends_it() {
    let mut conn = Setup::plain().at(At::TimeWait);
    let reset = conn.seg(RST);
    conn.quietly(&reset);
    conn.expect_gone();
    assert_eq!(conn.error(), None);
    assert_eq!(conn.try_read(), Ok(Vec::new()));
}

fn a_reset_while_closing_is_told() {
    for at in [At::Closing, At::LastAck] {
        let mut conn = Setup::plain().at(at);
        let reset = conn.seg(RST);
        conn.quietly(&reset);
        conn.expect_gone();
        assert_eq!(conn.error(), Some(SocketError::ConnectionReset), "{at:?}");
        assert_eq!(conn.error(), None);
        // Who has closed the socket hears nothing, and nothing is left.
        let mut conn = Setup::plain().at(at);
        conn.close();
        let before = conn.stack().tcp_counts().0;
        let reset = conn.seg(RST);
        conn.quietly(&reset);
        assert_eq!(conn.stack().tcp_counts(), (before - 1, 0, 0));
    }
}

fn our_reset_is_acceptable() {
    // For a segment with ACK: what it acknowledges is what its sender waits for.
    let mut conn = Setup::plain().at(At::Established);
    let stray = conn.seg(ACK).seq(SeqNumber(5)).ack(SeqNumber(77)).data(&[1; 3]);
    let stray = Seg { dst_port: 81, ..stray };
    let reset = conn.reset_by(&stray);
    assert_eq!((reset.flags, reset.seq), (RST, SeqNumber(77)));
    // Without: it acknowledges all of the segment.
    let reset = conn.reset_by(&stray.clone().flags(PSH));
    assert_eq!((reset.flags, reset.seq, reset.ack), (RST_ACK, SeqNumber(0), SeqNumber(8)));
    // On abort: the next number, also when data is in flight.
    for at in [At::SynCrossed, At::Established, At::FinWait1, At::FinWait2, At::CloseWait] {
        let mut conn = Setup::plain().at(at);
        if matches!(at, At::Established | At::CloseWait) {
            conn.write(&[1; 2000]);
        }
        let heard = conn.abort();
        let [reset] = &heard[..] else { panic!("{at:?}: one RST: {heard:?}") };
        let expected = (RST_ACK, conn.snd_nxt, conn.rcv_nxt);
        assert_eq!((reset.flags, reset.seq, reset.ack), expected, "{at:?}");
    }
}

fn a_reset_may_hold_data() {
    for at in [At::SynCrossed, At::Established, At::FinWait1, At::FinWait2] {
        let mut conn = Setup::plain().at(at);
        let reset = conn.seg(RST_ACK).data(b"no such service");
        conn.quietly(&reset);
        conn.expect_gone();
        assert!(conn.try_read().is_err(), "{at:?}");
        assert!(conn.read().is_empty(), "the text is not delivered");
    }
}

fn closed_and_reset_are_told_apart() {
    let mut closed = Setup::plain().at(At::CloseWait);
    assert_eq!(closed.try_read(), Ok(Vec::new()));
    assert_eq!(closed.error(), None);
    let mut reset = Setup::plain().at(At::Established);
    let seg = reset.seg(RST);
    reset.quietly(&seg);
    assert_eq!(reset.try_read(), Err(SocketError::ConnectionReset));
    let mut silent = Setup::plain().at(At::Established);
    silent.write(&[1; 10]);
    silent.pass(Duration::from_secs(3600));
    silent.expect_gone();
    assert_eq!(silent.try_read(), Err(SocketError::TimedOut));
}

fn a_syn_in_a_connection_is_challenged() {
    for at in [At::Established, At::FinWait1, At::FinWait2, At::CloseWait, At::Closing, At::LastAck]
    {
        let mut conn = Setup::full().at(at);
        let syn = conn.syn().seq(conn.rcv_nxt);
        conn.challenged(&syn);
        conn.expect(at);
        // Its options, too, change nothing.
        let before = Setup::full().at(at).info().snd_mss;
        let syn = syn.options(&mss_option(100));
        conn.challenged(&syn);
        assert_eq!(conn.info().snd_mss, before);
    }
}
