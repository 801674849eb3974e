//! RFC 3168, explicit congestion notification.

use tapping_stack::config::EcnMode;
use tapping_stack::packet::Packet;
use tapping_stack::sim::Conditions;
use tapping_stack::tcp::cc::CaState;
use tapping_stack::wire::TcpFlags;

use crate::conn::{Conn, MSS, Seg, Setup, numbers};

conformance! {
    "RFC 3168", "Explicit congestion notification";

    Must "RFC3168-6.1.1-setup" "6.1.1" "ECN is used when SYN had ECE and CWR, and SYN-ACK had ECE alone."
        => ecn_is_negotiated;
    MustNot "RFC3168-6.1.1-notasked" "6.1.1" "Without both flags the answer has none, and no packet is marked capable."
        => ecn_is_not_forced;
    MustNot "RFC3168-6.1.1-syn-ect" "6.1.1" "SYN and SYN-ACK are not marked capable."
        => handshakes_are_not_marked;
    Linux "RFC3168-6.1.1-default" "6.1.1" "ECN is accepted when asked for, and not asked for."
        => ecn_is_passive_by_default;
    Should "RFC3168-6.1.1.1-fallback" "6.1.1.1" "A SYN that stays unanswered is tried without ECN."
        => a_lost_ecn_syn_falls_back;
    Linux "RFC3168-6.1.1-rst" "6.1.1.1" "A RST in answer is final."
        => a_reset_to_an_ecn_syn;
    Must "RFC3168-5.3-fragments" "5.3" "A mark on one fragment is one on the whole segment; among fragments that are not ECN-capable it is refused."
        => marks_on_fragments_count;
    Should "RFC3168-6.1.2-ect0" "6.1.2" "New data is marked ECT(0)." => data_is_marked_ect0;
    Must "RFC3168-6.1.2-once" "6.1.2" "An echo lowers the window as a loss would, once for a window of data."
        => an_echo_lowers_once_per_window;
    Must "RFC3168-6.1.2-cwr" "6.1.2" "The first new data after that carries CWR."
        => the_reduction_is_told;
    MustNot "RFC3168-6.1.2-retransmit" "6.1.2" "An echo retransmits nothing."
        => an_echo_retransmits_nothing;
    Must "RFC3168-6.1.2-min" "6.1.2" "Echoes at a window of one slow sending down further."
        deviation "As Linux the threshold stays at least two and ACKs clock what is sent."
        => echoes_at_the_least_window;
    Must "RFC3168-6.1.3-echo" "6.1.3" "After a marked packet every ACK has ECE until CWR comes."
        => marks_are_echoed_until_cwr;
    Must "RFC3168-6.1.3-again" "6.1.3" "A mark on the segment with CWR begins anew."
        => a_mark_with_cwr_begins_anew;
    Must "RFC3168-6.1.3-delayed" "6.1.3" "A delayed ACK echoes a mark on any segment it covers."
        => delayed_acks_echo_any_mark;
    MustNot "RFC3168-6.1.4-ack" "6.1.4" "Pure ACKs are not marked." => pure_acks_are_not_marked;
    MustNot "RFC3168-6.1.5-rtx" "6.1.5" "Retransmissions are not marked."
        => retransmissions_are_not_marked;
    Should "RFC3168-6.1.5-oow" "6.1.5" "Marks outside the window are ignored."
        => marks_outside_the_window_are_ignored;
    MustNot "RFC3168-6.1.6-probe" "6.1.6" "Window probes are not marked." => probes_are_not_marked;
    Rule "RFC3168-6.1.2-loss" "6.1.2" "A loss and an echo in one window lower it once."
        => loss_and_echo_lower_once;
    Must "RFC3168-6.1.2-split" "6.1.2" "Of a large segment only the first piece carries CWR, and all the same mark."
        => cwr_in_the_first_piece_only;
}

const ECT0: u8 = 2;
const CE: u8 = 3;

/// A connection with ECN, and ten segments of so many in flight for a round trip.
fn ten_in_flight(written: u32) -> Conn {
    let mut conn = Setup::default().ecn().open();
    assert!(conn.info().ecn);
    conn.write(written);
    assert_eq!(conn.numbers(), numbers(0..10));
    conn.run(100);
    conn
}

/// What the host answers to a SYN with these flags, and whether it uses ECN then.
fn answer(flags: TcpFlags) -> (TcpFlags, bool) {
    let mut conn = Conn::prepare(&Setup::default());
    conn.listen();
    conn.syn(TcpFlags::SYN | flags);
    let syn_ack = conn.only();
    conn.ack(0);
    conn.take();
    (syn_ack.flags & (TcpFlags::ECE | TcpFlags::CWR), conn.info().ecn)
}

/// Whether a host that asks for ECN uses it when the SYN-ACK has these flags.
fn agreed(flags: TcpFlags) -> bool {
    let mut conn = Conn::prepare(&Setup::default().options(|options| options.ecn = Some(true)));
    conn.start_connect();
    let syn = conn.only();
    assert!(syn.is(TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR));
    conn.syn(TcpFlags::SYN | TcpFlags::ACK | flags);
    conn.info().ecn
}

fn ecn_is_negotiated() {
    assert_eq!(answer(TcpFlags::ECE | TcpFlags::CWR), (TcpFlags::ECE, true));
    assert!(agreed(TcpFlags::ECE));
    // Both flags are a reflection of ours.
    assert!(!agreed(TcpFlags::ECE | TcpFlags::CWR));
    assert!(!agreed(TcpFlags::CWR));
    assert!(!agreed(TcpFlags::empty()));
}

fn ecn_is_not_forced() {
    for flags in [TcpFlags::empty(), TcpFlags::ECE, TcpFlags::CWR] {
        assert_eq!(answer(flags), (TcpFlags::empty(), false));
    }
    let mut conn = Setup::default().open();
    conn.write(5);
    assert!(conn.sent().iter().all(|sent| sent.ecn == 0));
    // Nor where it is turned off.
    let mut conn = Conn::prepare(&Setup::default().config(|config| config.tcp.ecn = EcnMode::Off));
    conn.listen();
    conn.syn(TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR);
    assert!(!conn.only().is(TcpFlags::ECE));
}

fn handshakes_are_not_marked() {
    let mut conn = Conn::prepare(&Setup::default().options(|options| options.ecn = Some(true)));
    conn.start_connect();
    assert_eq!(conn.only().ecn, 0);
    let mut conn = Conn::prepare(&Setup::default());
    conn.listen();
    conn.syn(TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR);
    let syn_ack = conn.only();
    assert!(syn_ack.is(TcpFlags::ECE) && syn_ack.ecn == 0);
}

fn ecn_is_passive_by_default() {
    assert!(answer(TcpFlags::ECE | TcpFlags::CWR).1);
    let mut conn = Conn::prepare(&Setup::default());
    conn.start_connect();
    assert!((conn.only().flags & (TcpFlags::ECE | TcpFlags::CWR)).is_empty());
    let mut conn = Conn::prepare(&Setup::default().config(|config| config.tcp.ecn = EcnMode::On));
    conn.start_connect();
    assert!(conn.only().is(TcpFlags::ECE | TcpFlags::CWR));
}

fn a_lost_ecn_syn_falls_back() {
    let mut conn = Conn::prepare(&Setup::default().options(|options| options.ecn = Some(true)));
    conn.start_connect();
    assert!(conn.only().is(TcpFlags::ECE | TcpFlags::CWR));
    conn.run(1000);
    let again = conn.only();
    assert!(again.is(TcpFlags::SYN) && !again.is(TcpFlags::ECE) && !again.is(TcpFlags::CWR));
    conn.syn(TcpFlags::SYN | TcpFlags::ACK | TcpFlags::ECE);
    assert!(!conn.info().ecn);
}

fn a_reset_to_an_ecn_syn() {
    let mut conn = Conn::prepare(&Setup::default().options(|options| options.ecn = Some(true)));
    conn.start_connect();
    conn.sent();
    let reset = Seg { flags: TcpFlags::RST | TcpFlags::ACK, ..conn.seg(0) };
    conn.inject(&reset);
    conn.run(10_000);
    conn.quiet();
    let socket = conn.socket;
    let error = conn.stack().take_error(socket);
    assert!(error.is_ok_and(|error| error.is_some()), "refused");
}

fn data_is_marked_ect0() {
    for active in [false, true] {
        let mut setup = Setup { active, ..Setup::default().ecn() };
        setup.options.ecn = Some(true);
        let mut conn = setup.open();
        conn.write(10);
        let sent = conn.sent();
        assert!(sent.len() == 10 && sent.iter().all(|sent| sent.ecn == ECT0), "{sent:?}");
    }
}

fn an_echo_lowers_once_per_window() {
    let mut conn = ten_in_flight(200);
    for acked in 1..=10 {
        conn.ack_ece(acked);
        assert_eq!(conn.window().1, 5, "half, as for a loss");
        assert_eq!(conn.info().ca_state, CaState::Cwr);
    }
    // The next window of data: another one.
    conn.run(100);
    conn.ack(11);
    conn.run(100);
    let unacked = conn.info().unacked;
    conn.ack_ece(11 + unacked);
    assert!(conn.window().1 < 5);
    // CUBIC's factor for CUBIC.
    let mut conn = Setup::default().ecn().cubic().open();
    conn.write(30);
    conn.run(100);
    conn.ack_ece(1);
    assert_eq!(conn.window().1, 7);
}

fn the_reduction_is_told() {
    let mut conn = ten_in_flight(200);
    conn.sent();
    let mut told = Vec::new();
    for acked in 1..=10 {
        conn.run(2);
        conn.ack_ece(acked);
        told.extend(conn.sent().iter().map(|sent| (sent.number(), sent.is(TcpFlags::CWR))));
    }
    assert!(told.len() >= 4 && told[0].1, "{told:?}");
    assert!(told[1..].iter().all(|(_, cwr)| !cwr), "{told:?}");
}

fn an_echo_retransmits_nothing() {
    let mut conn = ten_in_flight(200);
    for acked in 0..=10 {
        conn.ack_ece(acked);
    }
    let sent = conn.numbers();
    assert!(sent.iter().all(|number| *number >= 10), "{sent:?}");
    assert_eq!(conn.info().total_retrans, 0);
}

fn echoes_at_the_least_window() {
    let mut conn = ten_in_flight(500);
    let mut acked = 0;
    for _ in 0..20 {
        conn.run(100);
        let unacked = conn.info().unacked;
        assert!(unacked >= 1, "sending goes on");
        acked += unacked;
        conn.ack_ece(acked);
    }
    assert_eq!(conn.window().1, 2);
    assert!(conn.window().0 <= 3);
}

fn marks_are_echoed_until_cwr() {
    let mut conn = Setup::default().ecn().open();
    conn.data_with(0, 100, |seg| seg.ecn = ECT0);
    assert!(!conn.only().is(TcpFlags::ECE));
    conn.data_with(100, 100, |seg| seg.ecn = CE);
    assert!(conn.only().is(TcpFlags::ECE), "at once");
    for n in 2..6 {
        conn.data_with(n * 100, 100, |seg| seg.ecn = ECT0);
        conn.run(300);
        assert!(conn.sent().iter().all(|ack| ack.is(TcpFlags::ECE)));
    }
    // On data, too.
    conn.write(1);
    assert!(conn.only().is(TcpFlags::ECE));
    conn.data_with(600, 100, |seg| (seg.ecn, seg.flags) = (ECT0, TcpFlags::ACK | TcpFlags::CWR));
    assert!(!conn.only().is(TcpFlags::ECE), "at once as well");
}

/// Linux `ip_frag_ecn_table`.
fn marks_on_fragments_count() {
    const ECT1: u8 = 1;
    let answer = |fragments: &[u8]| {
        let mut conn = Setup::default().ecn().open();
        conn.data_with(0, 100, |seg| seg.fragments = fragments.to_vec());
        let sent = conn.sent();
        assert!(sent.len() <= 1, "{sent:?}");
        sent.first().map(|ack| ack.is(TcpFlags::ECE))
    };
    for unmarked in [[0, 0, 0], [ECT0, ECT0, ECT0], [ECT1, ECT0, ECT0], [ECT0, ECT0, ECT1]] {
        assert_eq!(answer(&unmarked), Some(false), "{unmarked:?}");
    }
    for marked in [[CE, ECT0, ECT0], [ECT0, CE, ECT1], [ECT1, ECT1, CE], [CE, CE, CE]] {
        assert_eq!(answer(&marked), Some(true), "{marked:?}");
    }
    for mixed in [[0, 0, CE], [CE, 0, 0], [0, ECT0, 0], [ECT1, ECT0, 0], [CE, ECT0, 0]] {
        assert_eq!(answer(&mixed), None, "{mixed:?}");
    }
}

fn a_mark_with_cwr_begins_anew() {
    let mut conn = Setup::default().ecn().open();
    conn.data_with(0, 100, |seg| seg.ecn = CE);
    conn.sent();
    conn.data_with(100, 100, |seg| (seg.ecn, seg.flags) = (CE, TcpFlags::ACK | TcpFlags::CWR));
    assert!(conn.only().is(TcpFlags::ECE));
    conn.data_with(200, 100, |seg| seg.ecn = ECT0);
    conn.run(300);
    assert!(conn.sent().iter().all(|ack| ack.is(TcpFlags::ECE)));
}

fn delayed_acks_echo_any_mark() {
    let mut conn = Setup::default().ecn().open();
    for n in 0..40 {
        conn.data_with(n * 100, 100, |seg| seg.ecn = ECT0);
        conn.run(300);
    }
    conn.sent();
    // One of two that are acknowledged together; no ACK without ECE comes first.
    conn.data_with(4000, 100, |seg| seg.ecn = ECT0);
    conn.quiet();
    conn.data_with(4100, 100, |seg| seg.ecn = CE);
    conn.run(300);
    let acks = conn.sent();
    assert!(!acks.is_empty() && acks.iter().all(|ack| ack.is(TcpFlags::ECE)));
    assert_eq!(acks.last().map(|ack| ack.ack), Some(4200));
}

fn pure_acks_are_not_marked() {
    let mut conn = Setup::default().ecn().open();
    for n in 0..20 {
        conn.data_with(n * 1000, 1000, |seg| seg.ecn = ECT0);
        conn.run(50);
    }
    conn.data(30_000, 100);
    let acks = conn.sent();
    assert!(acks.len() >= 10 && acks.iter().all(|ack| ack.len == 0 && ack.ecn == 0), "{acks:?}");
    let (now, socket) = (conn.lab.now(), conn.socket);
    conn.stack().shutdown(now, socket, tapping_stack::Shutdown::Write).expect("a connection");
    conn.lab.settle();
    let fin = conn.only();
    assert!(fin.is(TcpFlags::FIN) && fin.ecn == 0);
}

fn retransmissions_are_not_marked() {
    let mut conn = ten_in_flight(10);
    conn.sack(0, &[(1, 4)]);
    let fast = conn.only();
    assert_eq!((fast.number(), fast.ecn), (0, 0));
    conn.run(1000);
    let timeouts = conn.sent();
    assert!(!timeouts.is_empty() && timeouts.iter().all(|sent| sent.ecn == 0));
    // Nor the probe of a tail.
    let mut conn = ten_in_flight(10);
    conn.run(102);
    let probe = conn.only();
    assert_eq!((probe.number(), probe.ecn), (9, 0));
}

fn marks_outside_the_window_are_ignored() {
    let mut conn = Setup::default().ecn().open();
    conn.data_with(0, 1000, |seg| seg.ecn = ECT0);
    conn.sent();
    // All old, and far ahead.
    for seq in [0, 100_000_000] {
        let seg = Seg { seq, len: 1000, ecn: CE, ..conn.seg(0) };
        conn.inject(&seg);
        let acks = conn.sent();
        assert!(!acks.is_empty() && acks.iter().all(|ack| !ack.is(TcpFlags::ECE)), "{seq}");
    }
    conn.data_with(1000, 100, |seg| seg.ecn = ECT0);
    assert!(!conn.only().is(TcpFlags::ECE));
}

fn probes_are_not_marked() {
    let mut conn = Setup::default().ecn().open();
    conn.offer(0);
    conn.write(5);
    conn.quiet();
    conn.run(5000);
    let probes = conn.sent();
    assert!(probes.len() >= 3 && probes.iter().all(|probe| probe.ecn == 0), "{probes:?}");
}

fn loss_and_echo_lower_once() {
    let ece = TcpFlags::ACK | TcpFlags::ECE;
    let mut conn = ten_in_flight(200);
    conn.ack_ece(1);
    assert_eq!(conn.window().1, 5);
    let seg = Seg { flags: ece, sack: vec![(2 * MSS, 6 * MSS)], ..conn.seg(1) };
    conn.inject(&seg);
    assert_eq!((conn.window().1, conn.info().ca_state), (5, CaState::Recovery));
    // The other way round.
    let mut conn = ten_in_flight(200);
    conn.sack(0, &[(1, 4)]);
    assert_eq!(conn.window().1, 5);
    let seg = Seg { flags: ece, sack: vec![(MSS, 6 * MSS)], ..conn.seg(0) };
    conn.inject(&seg);
    assert_eq!(conn.window().1, 5);
}

fn cwr_in_the_first_piece_only() {
    // The router marks what finds a queue; large segments are cut before they leave.
    use std::sync::{Arc, Mutex};
    use tapping_stack::sim::{End, Queue, Verdict};
    use tapping_stack::wire::{Ethernet, Ipv4, Tcp};
    let mut path = crate::path::Path::new(11, std::time::Duration::from_millis(20), |plan| {
        plan.sender.tcp.ecn = EcnMode::On;
        plan.conditions =
            Conditions { rate: Some(20_000_000), mark_above: Queue::Frames(20), ..plan.conditions };
    });
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let script = move |_: u64, packet: &mut Packet| {
        let ip = Ethernet::parse(packet.bytes()).ok().and_then(|e| Ipv4::parse(e.payload()).ok());
        if let Some(ip) = ip
            && let Ok(tcp) = Tcp::parse(ip.payload())
            && !tcp.payload().is_empty()
        {
            let cwr = tcp.flags().contains(TcpFlags::CWR);
            notes.lock().expect("no panic").push((cwr, ip.tos() & 3 != 0));
        }
        Verdict::Pass
    };
    path.lab.link_mut(path.wire).set_script(End::A, Some(Box::new(script)));
    path.transfer(2000);
    let seen = seen.lock().expect("no panic");
    let told = seen.iter().filter(|(cwr, _)| *cwr).count();
    assert!(told >= 2, "the window was lowered: {told}");
    assert!(!seen.windows(2).any(|pair| pair[0].0 && pair[1].0), "once each");
    assert!(seen.iter().all(|(_, ect)| *ect), "nothing was lost, and all is marked");
    assert_eq!(path.retransmitted(), 0);
}
