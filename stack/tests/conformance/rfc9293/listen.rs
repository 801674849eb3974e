//! Segments for nobody, for a listener, and for a connection that is being asked for.

use tapping_stack::SocketError;
use tapping_stack::socket::Readiness;
use tapping_stack::time::Duration;
use tapping_stack::wire::SeqNumber;

use crate::lab::ipv4;
use crate::segment::*;
use crate::states::*;

conformance! {
    "RFC 9293", "Segments for CLOSED, LISTEN and SYN-SENT (§3.10.7.1–3.10.7.3)";

    Rule "RFC9293-3.10.7.1-rst" "3.10.7.1" "Where there is no connection a RST is answered with nothing."
        => a_reset_to_nobody_is_not_answered;
    Rule "RFC9293-3.10.7.1-noack" "3.10.7.1" "A segment without ACK for no connection is answered with RST of number 0 that acknowledges it."
        => without_ack_the_reset_acknowledges;
    Rule "RFC9293-3.10.7.1-ack" "3.10.7.1" "A segment with ACK for no connection is answered with RST whose number is that ACK."
        => with_ack_the_reset_has_its_number;
    MustNot "RFC9293-3.10.7.1-bad" "3.10.7.1" "A damaged segment, or one for many, provokes no RST."
        => what_may_not_be_ours_provokes_no_reset;
    Rule "RFC9293-3.10.7.2-rst" "3.10.7.2" "A listener ignores RST."
        => a_listener_ignores_reset;
    Rule "RFC9293-3.10.7.2-ack" "3.10.7.2" "A listener answers ACK with RST."
        => a_listener_resets_ack;
    Rule "RFC9293-3.10.7.2-syn" "3.10.7.2" "A listener answers SYN with SYN-ACK from a fresh initial number."
        => a_listener_answers_syn;
    Rule "RFC9293-3.10.7.2-else" "3.10.7.2" "A listener drops what is neither RST, ACK nor SYN."
        => a_listener_drops_the_rest;
    Linux "RFC9293-3.10.7.2-synfin" "3.10.7.2" "A listener drops SYN with FIN."
        => a_listener_drops_syn_fin;
    May "RFC9293-3.10.7.2-data" "3.10.7.2" "Data in a SYN without fast open is not kept; the SYN-ACK does not acknowledge it."
        => data_in_a_syn_is_not_acknowledged;
    Rule "RFC9293-3.10.7.3-badack" "3.10.7.3" "In SYN-SENT an ACK of what was not sent is answered with RST, and the connection goes on trying."
        => syn_sent_resets_an_impossible_ack;
    Rule "RFC9293-3.10.7.3-badack-rst" "3.10.7.3" "In SYN-SENT an RST with an impossible ACK is dropped."
        => syn_sent_drops_a_reset_with_a_bad_ack;
    Rule "RFC9293-3.10.7.3-rst" "3.10.7.3" "In SYN-SENT an RST that acknowledges the SYN refuses the connection."
        => syn_sent_is_refused_by_reset;
    Rule "RFC9293-3.10.7.3-rst-noack" "3.10.7.3" "In SYN-SENT an RST without ACK is dropped."
        => syn_sent_drops_a_reset_without_ack;
    Rule "RFC9293-3.10.7.3-synack" "3.10.7.3" "In SYN-SENT a SYN-ACK establishes and is acknowledged at once, and its window counts."
        => syn_sent_is_established_by_syn_ack;
    Linux "RFC9293-3.10.7.3-synack-data" "3.10.7.3" "Data in a SYN-ACK without fast open is not kept; it is taken when it comes again."
        => data_in_a_syn_ack_comes_again;
    Rule "RFC9293-3.10.7.3-syn" "3.10.7.3" "In SYN-SENT a SYN alone leads to SYN-RECEIVED and SYN-ACK."
        => syn_sent_answers_a_syn;
    Rule "RFC9293-3.10.7.3-else" "3.10.7.3" "In SYN-SENT what has neither SYN nor RST is dropped."
        => syn_sent_drops_the_rest;
    Rule "RFC9293-3.10.7.3-zerowin" "3.10.7.3" "A zero window in the SYN-ACK holds data back until it opens."
        => a_zero_window_in_the_handshake_holds_data;
}

/// A host with a listener at [`PORT`] and nobody at the port of these segments.
fn nobody() -> (Conn, impl Fn(tapping_stack::wire::TcpFlags) -> Seg) {
    let conn = Conn::listen(Setup::full());
    (conn, |flags| Seg::to_host(PEER_PORT, PORT + 1, flags).seq(SeqNumber(100)))
}

fn a_reset_to_nobody_is_not_answered() {
    let (mut conn, seg) = nobody();
    for flags in [RST, RST_ACK, RST | SYN, RST | FIN, RST | PSH] {
        conn.quietly(&seg(flags));
        conn.quietly(&seg(flags).data(&[1; 10]));
    }
}

fn without_ack_the_reset_acknowledges() {
    let (mut conn, seg) = nobody();
    for (segment, len) in [
        (seg(SYN), 1),
        (seg(SYN).data(&[1; 10]), 11),
        (seg(FIN), 1),
        (seg(PSH).data(&[1; 10]), 10),
        (seg(SYN | FIN), 2),
        (seg(PSH), 0),
    ] {
        let reset = conn.reset_by(&segment);
        let expected = (RST_ACK, SeqNumber(0), SeqNumber(100 + len));
        assert_eq!((reset.flags, reset.seq, reset.ack), expected, "{segment:?}");
    }
}

fn with_ack_the_reset_has_its_number() {
    let (mut conn, seg) = nobody();
    for flags in [ACK, SYN_ACK, FIN_ACK, ACK | PSH] {
        let segment = seg(flags).ack(SeqNumber(5000)).options(&ts_option(1, 2));
        let (tester, host, link) = (conn.bench.tester, conn.bench.host, conn.bench.link);
        conn.bench.lab.inject_ip(tester, host, link, &segment.ip().build());
        let packet = conn.bench.lab.heard_one_ip(tester);
        let reset = Seg::read(&packet).expect("a segment");
        assert_eq!((reset.flags, reset.seq), (RST, SeqNumber(5000)), "{flags:?}");
        // As Linux sends it.
        assert!(reset.window == 0 && reset.options.is_empty() && reset.ack == SeqNumber(0));
        let header = ipv4(&packet);
        assert!(header.dont_fragment() && header.ttl() == 64 && header.tos() == 0);
    }
}

fn what_may_not_be_ours_provokes_no_reset() {
    let (mut conn, seg) = nobody();
    let (tester, host, link) = (conn.bench.tester, conn.bench.host, conn.bench.link);
    let good = seg(SYN);
    let mut damaged = good.ip();
    damaged.payload[4] ^= 1;
    for packet in [
        damaged,
        Seg { dst: "10.0.0.255".parse().expect("an address"), ..good.clone() }.ip(),
        Seg { dst: "224.0.0.1".parse().expect("an address"), ..good.clone() }.ip(),
        Seg { dst: "255.255.255.255".parse().expect("an address"), ..good.clone() }.ip(),
        Seg { dst: "203.0.113.9".parse().expect("an address"), ..good.clone() }.ip(),
    ] {
        conn.bench.lab.inject_ip(tester, host, link, &packet.build());
        assert!(conn.heard().is_empty(), "{packet:?}");
    }
    // Ours by its IPv4 address, but sent to all on the link.
    let mac = tapping_stack::wire::MacAddr::BROADCAST;
    let frame = crate::lab::ip_frame(tester.mac, mac, &good.ip().build());
    conn.bench.lab.inject(tester, frame);
    assert!(conn.heard().is_empty());
    // Without these faults it does.
    conn.reset_by(&good);
}

fn a_listener_ignores_reset() {
    let mut conn = Conn::listen(Setup::plain());
    for flags in [RST, RST_ACK, RST | SYN, RST | SYN | ACK] {
        let reset = Seg::to_host(PEER_PORT, PORT, flags).seq(SeqNumber(100));
        conn.quietly(&reset);
    }
    conn.shake(false);
    conn.expect(At::Established);
}

fn a_listener_resets_ack() {
    let mut conn = Conn::listen(Setup::plain());
    for flags in [ACK, SYN_ACK, FIN_ACK, ACK | PSH] {
        let seg = Seg::to_host(PEER_PORT, PORT, flags).seq(SeqNumber(100)).ack(SeqNumber(7));
        let reset = conn.reset_by(&seg);
        assert_eq!((reset.flags, reset.seq), (RST, SeqNumber(7)), "{flags:?}");
    }
    assert_eq!(conn.stack().tcp_counts().2, 0, "no handshake");
}

fn a_listener_answers_syn() {
    let mut seen = Vec::new();
    for port in 4000..4010 {
        let mut conn = Conn::listen(Setup::full());
        conn.remote = port;
        let syn = conn.syn();
        let answer = conn.one(&syn);
        assert_eq!((answer.flags, answer.ack), (SYN_ACK, syn.seq + 1));
        assert_eq!(answer.dst_port, port);
        assert!(!seen.contains(&answer.seq), "another number for every connection");
        seen.push(answer.seq);
        conn.expect(At::SynReceived);
        // The same SYN again gets the same answer.
        let again = conn.one(&syn);
        assert_eq!((again.flags, again.seq, again.ack), (SYN_ACK, answer.seq, answer.ack));
        // With urgent data, push and ECN bits it is still a SYN.
        let mut conn = Conn::listen(Setup::full());
        let strange = conn.syn().flags(SYN | PSH | tapping_stack::wire::TcpFlags::URG);
        assert_eq!(conn.one(&strange).flags, SYN_ACK);
    }
}

fn a_listener_drops_the_rest() {
    let mut conn = Conn::listen(Setup::plain());
    for flags in [FIN, PSH, FIN | PSH, tapping_stack::wire::TcpFlags::empty()] {
        let seg = Seg::to_host(PEER_PORT, PORT, flags).seq(SeqNumber(100));
        conn.quietly(&seg);
        conn.quietly(&seg.data(&[1; 10]));
    }
    assert_eq!(conn.stack().tcp_counts().2, 0, "no handshake");
}

fn a_listener_drops_syn_fin() {
    let mut conn = Conn::listen(Setup::plain());
    let seg = conn.syn().flags(SYN | FIN);
    conn.quietly(&seg);
    assert_eq!(conn.stack().tcp_counts().2, 0, "no handshake");
}

fn data_in_a_syn_is_not_acknowledged() {
    let mut conn = Conn::listen(Setup::plain());
    let syn = conn.syn().data(&stream(0, 100));
    let answer = conn.one(&syn);
    assert_eq!((answer.flags, answer.ack), (SYN_ACK, syn.seq + 1));
    conn.rcv_nxt = syn.seq + 1;
    let ack = conn.seg(ACK);
    conn.quietly(&ack);
    conn.accept();
    assert!(conn.read().is_empty());
    conn.feed(&stream(0, 100));
    assert_eq!(conn.read(), stream(0, 100), "once");
}

fn syn_sent_resets_an_impossible_ack() {
    for (flags, offset) in
        [(ACK, 1), (ACK, u32::MAX), (SYN_ACK, 1), (SYN_ACK, u32::MAX), (ACK | PSH, 1000)]
    {
        let mut conn = Setup::plain().at(At::SynSent);
        let seg = conn.syn().flags(flags).ack(conn.snd_nxt + offset);
        let reset = conn.reset_by(&seg);
        assert_eq!((reset.flags, reset.seq), (RST, seg.ack), "{flags:?}");
        conn.expect(At::SynSent);
        let again = conn.pass(Duration::from_secs(2));
        assert!(
            again.iter().all(|seg| seg.flags == SYN && seg.seq == conn.iss) && !again.is_empty()
        );
        let good = conn.syn().flags(SYN_ACK).ack(conn.snd_nxt);
        conn.send(&good);
        conn.expect(At::Established);
    }
}

fn syn_sent_drops_a_reset_with_a_bad_ack() {
    for offset in [1, u32::MAX, 1000, 1 << 31] {
        let mut conn = Setup::plain().at(At::SynSent);
        let reset = conn.seg(RST_ACK).ack(conn.snd_nxt + offset);
        conn.quietly(&reset);
        conn.expect(At::SynSent);
        assert_eq!(conn.error(), None);
    }
}

fn syn_sent_is_refused_by_reset() {
    for number in [0, 1, u32::MAX] {
        let mut conn = Setup::plain().at(At::SynSent);
        let reset = conn.seg(RST_ACK).seq(SeqNumber(number)).ack(conn.snd_nxt);
        conn.quietly(&reset);
        conn.expect_gone();
        let socket = conn.socket();
        let ready = conn.stack().readiness(socket);
        assert!(ready.contains(Readiness::ERROR | Readiness::WRITABLE | Readiness::READABLE));
        assert_eq!(conn.error(), Some(SocketError::ConnectionRefused));
        assert!(conn.pass(Duration::from_secs(100)).is_empty(), "no more SYNs");
    }
}

fn syn_sent_drops_a_reset_without_ack() {
    let mut conn = Setup::plain().at(At::SynSent);
    for number in [SeqNumber(0), conn.snd_nxt, conn.rcv_nxt] {
        let reset = conn.seg(RST).seq(number);
        conn.quietly(&reset);
    }
    conn.expect(At::SynSent);
}

fn syn_sent_is_established_by_syn_ack() {
    let mut conn = Setup { window: 3000, ..Setup::full() }.at(At::SynSent);
    let syn_ack = conn.syn().flags(SYN_ACK).ack(conn.snd_nxt);
    conn.rcv_nxt += 1;
    conn.challenged(&syn_ack);
    conn.expect(At::Established);
    // The window of a SYN-ACK is not scaled.
    assert_eq!(conn.info().snd_wnd, 3000);
    assert_eq!(conn.info().wscale.map(|(theirs, _)| theirs), Some(7));
    let sent: usize = conn.write(&[1; 5000]).iter().map(|seg| seg.data.len()).sum();
    assert!(sent <= 3000 && sent > 1400, "{sent}");
}

fn data_in_a_syn_ack_comes_again() {
    let mut conn = Setup::plain().at(At::SynSent);
    let syn_ack = conn.syn().flags(SYN_ACK).ack(conn.snd_nxt).data(&stream(0, 100));
    conn.rcv_nxt += 1;
    conn.challenged(&syn_ack);
    conn.expect(At::Established);
    assert!(conn.read().is_empty());
    conn.feed(&stream(0, 100));
    assert_eq!(conn.read(), stream(0, 100));
}

fn syn_sent_answers_a_syn() {
    let mut conn = Setup::full().at(At::SynSent);
    let syn = conn.syn();
    let answer = conn.one(&syn);
    let expected = (SYN_ACK, conn.iss, syn.seq + 1);
    assert_eq!((answer.flags, answer.seq, answer.ack), expected);
    conn.expect(At::SynCrossed);
    // It comes again until it is acknowledged.
    let again = conn.pass(Duration::from_secs(2));
    assert!(
        again.iter().all(|seg| (seg.flags, seg.seq) == (SYN_ACK, conn.iss)) && !again.is_empty()
    );
}

fn syn_sent_drops_the_rest() {
    let mut conn = Setup::plain().at(At::SynSent);
    for flags in [ACK, ACK | PSH, FIN_ACK, FIN, PSH] {
        let seg = conn.seg(flags).data(&[1; 10]);
        conn.quietly(&seg);
        conn.expect(At::SynSent);
    }
}

fn a_zero_window_in_the_handshake_holds_data() {
    let mut conn = Setup { window: 0, ..Setup::plain() }.at(At::SynSent);
    let syn_ack = conn.syn().flags(SYN_ACK).ack(conn.snd_nxt);
    conn.rcv_nxt += 1;
    conn.challenged(&syn_ack);
    assert!(conn.write(&stream(0, 1000)).is_empty(), "held back");
    let una = conn.snd_nxt;
    let probes = conn.pass(Duration::from_secs(3));
    assert!(!probes.is_empty());
    assert!(probes.iter().all(|probe| probe.end().le(una) && probe.data.len() <= 1), "{probes:?}");
    let open = conn.seg(ACK).window(u16::MAX);
    let heard = conn.send(&open);
    let data: Vec<u8> = heard.iter().flat_map(|seg| seg.data.clone()).collect();
    assert_eq!(data, stream(0, 1000));
    // The same from the other side.
    let mut conn = Setup { window: 0, ..Setup::plain() }.at(At::Established);
    assert!(conn.write(&[1; 1000]).is_empty());
    // The largest window that there ever was is no silly one (Linux tcp_bound_to_half_wnd).
    let open = conn.seg(ACK).window(500);
    assert_eq!(conn.send(&open)[0].data.len(), 500);
    let open = conn.seg(ACK).window(5000);
    assert_eq!(conn.send(&open)[0].data.len(), 500);
}
