//! What the application and IP see of TCP.

use tapping_stack::config::EcnMode;
use tapping_stack::socket::Readiness;
use tapping_stack::tcp::SendFlags;
use tapping_stack::wire::{Message, TcpFlags, Unreachable};
use tapping_stack::{Shutdown, SocketError, TcpState};

use crate::talk::*;

conformance! {
    "RFC 9293", "Application and IP (§3.9.1, §3.9.2)";

    Must "RFC9293-MUST-47" "3.9.1.8" "Errors that do not end a connection can be asked for."
        => soft_errors_can_be_asked_for;
    Should "RFC9293-SHLD-20" "3.9.1.8" "An application need not hear of them."
        => soft_errors_are_not_raised_unasked;
    Must "RFC9293-MUST-48" "3.9.2" "The application sets the DSCP of what is sent."
        => the_application_sets_dscp;
    Should "RFC9293-SHLD-21" "3.9.2" "It can change during a connection."
        => dscp_can_change;
    Should "RFC9293-SHLD-22" "3.9.2" "It goes to IP unchanged."
        => dscp_goes_out_unchanged;
    ShouldNot "RFC9293-SHLD-23" "3.9.2" "Applications change it all the time."
        not_applicable "This is advice to applications.";
    May "RFC9293-MAY-9" "3.9.2" "The DSCP received may be passed up."
        not_applicable "As on Linux a stream does not tell of single segments.";
    Must "RFC9293-MUST-49" "3.9.2" "The TTL can be set; by default it is 64."
        => the_ttl_can_be_set;
    Must "RFC9293-MUST-50" "3.9.2" "IP options that mean nothing to TCP are ignored."
        => ip_options_are_ignored;
    May "RFC9293-MAY-10" "3.9.2" "The timestamp option of IP is supported."
        not_applicable "IP fills it in where it is asked to; TCP has no use for it.";
    May "RFC9293-MAY-11" "3.9.2" "The record route option of IP is supported."
        not_applicable "IP fills it in where it is asked to; TCP has no use for it.";
    Must "RFC9293-MUST-51" "3.9.2.1" "The application can give a source route."
        deviation "Segments carry no IP options: routers and hosts refuse source routes by default, and a connection along one would never open.";
    Must "RFC9293-MUST-52" "3.9.2.1" "That route goes before one that arrives."
        deviation "As before: there is none.";
    Must "RFC9293-MUST-53" "3.9.2.1" "What is sent goes back along a source route that arrived."
        deviation "Source-routed packets are refused by default, and nothing travels back along such a route."
        => source_routed_syns_are_refused;
    Should "RFC9293-SHLD-24" "3.9.2.1" "A newer source route replaces the older."
        deviation "As before: none is followed back.";
    May "RFC9293-MAY-12" "3.10.7.4" "Data is protected from blind injection."
        => blind_data_is_refused;
    Should "RFC9293-SHLD-8" "3.8.2" "Explicit congestion notification is supported."
        => ecn_is_supported;
    Rule "RFC9293-3.9.1-status" "3.9.1.6" "The state of a connection can be asked for."
        => the_state_can_be_asked_for;
    Rule "RFC9293-3.9.1-send-closed" "3.10.2" "Sending on what is not connected, or is closing, is refused."
        => sending_is_refused_in_the_wrong_states;
    Rule "RFC9293-3.9.1-recv-closed" "3.10.3" "Receiving on what is not connected is refused; after the end it returns zero."
        => receiving_is_refused_in_the_wrong_states;
}

const HOST_UNREACHABLE: Message = Message::DestinationUnreachable(Unreachable::Host);

fn soft_errors_can_be_asked_for() {
    let mut t = Talk::passive(Setup::default());
    t.sent(10);
    t.inject_icmp(HOST_UNREACHABLE, 1, 8);
    assert_eq!(t.error(), Some(SocketError::HostUnreachable));
    let ack = t.seg();
    t.inject(ack);
    assert_eq!(ranges(&t.sent(10)), [(11, 10)], "the connection lives");
}

fn soft_errors_are_not_raised_unasked() {
    let mut t = Talk::passive(Setup::default());
    t.sent(10);
    t.inject_icmp(HOST_UNREACHABLE, 1, 8);
    assert!(!t.ready().intersects(Readiness::ERROR | Readiness::READABLE));
    assert_eq!(t.try_read(10), Err(SocketError::WouldBlock));
    assert_eq!(t.try_write(10, SendFlags::empty()), Ok(10));
}

fn set_tos(t: &mut Talk, tos: u8) {
    let conn = t.conn;
    t.stack.socket_options(conn).expect("a socket").tos = tos;
}

fn the_application_sets_dscp() {
    let mut t = Talk::listening(Setup::default());
    // A listener's is that of what it accepts.
    set_tos(&mut t, 0xb8);
    let syn = t.syn();
    t.inject(syn);
    let mut seen = t.heard();
    let ack = t.seg();
    t.inject(ack);
    t.accept();
    seen.extend(t.sent(100));
    t.run(secs(2));
    let data = t.data(10);
    t.inject(data);
    t.close();
    t.run(secs(2));
    seen.extend(t.heard());
    assert!(seen.len() > 5 && seen.iter().all(|seg| seg.tos == 0xb8), "{seen:?}");
}

fn dscp_can_change() {
    let mut t = Talk::passive(Setup::default());
    assert_eq!(t.sent(10)[0].tos, 0);
    for tos in [0x20, 0xb8, 0] {
        let ack = t.seg();
        t.inject(ack);
        set_tos(&mut t, tos);
        assert_eq!(t.sent(10)[0].tos, tos);
    }
}

/// All of its values; the bits of ECN are not the application's.
fn dscp_goes_out_unchanged() {
    let mut t = Talk::passive(Setup::default());
    for dscp in 0..64u8 {
        set_tos(&mut t, dscp << 2 | (dscp & 3));
        assert_eq!(t.sent(10)[0].tos, dscp << 2);
        let ack = t.seg();
        t.inject(ack);
    }
}

fn the_ttl_can_be_set() {
    let mut t = Talk::passive(Setup::default());
    assert_eq!((t.first.ttl, t.sent(10)[0].ttl), (64, 64));
    let conn = t.conn;
    for ttl in [1, 5, 255] {
        let ack = t.seg();
        t.inject(ack);
        t.stack.socket_options(conn).expect("a socket").ttl = Some(ttl);
        assert_eq!(t.sent(10)[0].ttl, ttl);
    }
}

fn ip_options_are_ignored() {
    let options: [&[u8]; 5] = [
        &[1, 1, 1, 1],
        // Record route and timestamp, with room for one, and router alert.
        &[7, 7, 4, 0, 0, 0, 0, 0],
        &[68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[148, 4, 0, 0],
        // One that nobody knows.
        &[30, 4, 1, 2],
    ];
    for option in options {
        let mut t = Talk::listening(Setup::default());
        let with = |seg: Seg| Seg { ip_options: option.to_vec(), ..seg };
        let syn = with(t.syn());
        t.inject(syn);
        let answer = t.one();
        // What is recorded goes on being so on the way back (Linux `tcp_v4_save_options`).
        let len = if matches!(option[0], 7 | 68) { option.len() } else { 0 };
        assert_eq!((answer.flags, answer.ip_options.len()), (SYN | ACK, len), "{option:?}");
        let ack = with(t.seg());
        t.inject(ack);
        t.accept();
        let data = with(t.data(100));
        t.inject(data);
        assert_eq!(t.read_all(), 100, "{option:?}");
    }
}

fn source_routed_syns_are_refused() {
    // Loose and strict; the route is at its end here.
    for kind in [131, 137] {
        let mut t = Talk::listening(Setup::default());
        let route = vec![kind, 7, 8, 10, 0, 0, 9, 0];
        let syn = Seg { ip_options: route, ..t.syn() };
        t.inject(syn);
        t.run(secs(1));
        t.silent();
        assert_eq!(t.stack.tcp_counts(), (1, 0, 0));
    }
}

fn blind_data_is_refused() {
    let mut t = Talk::passive(Setup::default());
    t.sent(1000);
    let ack = t.seg();
    t.inject(ack);
    // In the window, but acknowledging what was never sent, or what is long gone.
    for number in [1002, 1_000_000, 1u32.wrapping_sub(70_000), 0x8000_0000] {
        t.run(secs(1));
        let data = Seg { ack: number, ..t.data(50) };
        let answer = t.exchange(data);
        t.peer_nxt = 1;
        assert_eq!(answer.len(), 1, "{number}");
        assert_eq!((answer[0].is_ack(), answer[0].seq, answer[0].ack), (true, 1001, 1));
        assert_eq!(t.try_read(100), Err(SocketError::WouldBlock), "{number}");
    }
    let data = t.data(50);
    t.inject(data);
    assert_eq!(t.read_all(), 50);
}

fn ecn_is_supported() {
    let mut setup = Setup::default();
    setup.config.tcp.ecn = EcnMode::On;
    let mut t = Talk::connecting(setup);
    assert!(t.first.has(TcpFlags::ECE | TcpFlags::CWR), "{:?}", t.first);
    let syn_ack = Seg { flags: SYN | ACK | TcpFlags::ECE, ..t.syn_ack() };
    t.inject(syn_ack);
    t.heard();
    assert!(t.info().ecn);
    assert_eq!(t.sent(10)[0].tos, 2, "ECT(0)");
    // The peer saw congestion: the window shrinks, and CWR says so.
    let cwnd = t.info().snd_cwnd;
    let ack = Seg { flags: ACK | TcpFlags::ECE, ..t.seg() };
    t.inject(ack);
    assert!(t.info().snd_cwnd < cwnd);
    assert!(t.sent(10)[0].has(TcpFlags::CWR));
}

fn the_state_can_be_asked_for() {
    let mut t = Talk::idle(Setup::default());
    assert_eq!(t.state(), TcpState::Closed);
    t = Talk::listening(Setup::default());
    assert_eq!(t.state(), TcpState::Listen);
    t = Talk::connecting(Setup::default());
    assert_eq!(t.state(), TcpState::SynSent);
    let syn = t.syn();
    t.inject(syn);
    assert_eq!(t.state(), TcpState::SynReceived, "simultaneous open");
    // Closing first.
    let shut = |t: &mut Talk| {
        let (now, conn) = (t.now, t.conn);
        t.stack.shutdown(now, conn, Shutdown::Write).expect("it is connected");
        t.settle();
    };
    t = Talk::passive(Setup::default());
    assert_eq!(t.state(), TcpState::Established);
    shut(&mut t);
    assert_eq!(t.state(), TcpState::FinWait1);
    let ack = t.seg();
    t.inject(ack);
    assert_eq!(t.state(), TcpState::FinWait2);
    let fin = Seg { flags: FIN | ACK, ..t.seg() };
    t.inject(fin);
    // As on Linux the socket is done with; what waits is not its own any more.
    assert_eq!((t.state(), t.stack.tcp_counts().1), (TcpState::Closed, 1), "TIME-WAIT");
    // Both at once.
    t = Talk::passive(Setup::default());
    shut(&mut t);
    let fin = Seg { flags: FIN | ACK, ack: 1, ..t.seg() };
    t.inject(fin);
    assert_eq!(t.state(), TcpState::Closing);
    // The peer first.
    t = Talk::passive(Setup::default());
    let fin = Seg { flags: FIN | ACK, ..t.seg() };
    t.inject(fin);
    assert_eq!(t.state(), TcpState::CloseWait);
    shut(&mut t);
    assert_eq!(t.state(), TcpState::LastAck);
    let ack = t.seg();
    t.inject(ack);
    assert_eq!((t.state(), t.stack.tcp_counts().1), (TcpState::Closed, 0));
}

fn sending_is_refused_in_the_wrong_states() {
    let send = |t: &mut Talk| t.try_write(1, SendFlags::empty());
    assert_eq!(send(&mut Talk::idle(Setup::default())), Err(SocketError::BrokenPipe));
    assert_eq!(send(&mut Talk::listening(Setup::default())), Err(SocketError::BrokenPipe));
    assert_eq!(send(&mut Talk::connecting(Setup::default())), Err(SocketError::WouldBlock));
    // What the peer has closed can still be sent to.
    let mut t = Talk::passive(Setup::default());
    let fin = Seg { flags: FIN | ACK, ..t.seg() };
    t.inject(fin);
    assert_eq!(send(&mut t), Ok(1));
    for end in [true, false] {
        let mut t = Talk::passive(Setup::default());
        if end {
            let fin = Seg { flags: FIN | ACK, ..t.seg() };
            t.inject(fin);
        }
        let (now, conn) = (t.now, t.conn);
        t.stack.shutdown(now, conn, Shutdown::Write).expect("it is connected");
        assert_eq!(send(&mut t), Err(SocketError::BrokenPipe));
    }
    // What ended it is told once.
    let mut t = Talk::passive(Setup::default());
    let reset = Seg { flags: RST, ..t.seg() };
    t.inject(reset);
    assert_eq!(send(&mut t), Err(SocketError::ConnectionReset));
    assert_eq!(send(&mut t), Err(SocketError::BrokenPipe));
}

fn receiving_is_refused_in_the_wrong_states() {
    let receive = |t: &mut Talk| t.try_read(10);
    assert_eq!(receive(&mut Talk::idle(Setup::default())), Err(SocketError::NotConnected));
    assert_eq!(receive(&mut Talk::listening(Setup::default())), Err(SocketError::NotConnected));
    assert_eq!(receive(&mut Talk::connecting(Setup::default())), Err(SocketError::WouldBlock));
    let mut t = Talk::passive(Setup::default());
    assert_eq!(receive(&mut t), Err(SocketError::WouldBlock));
    let last = Seg { flags: FIN | PSH | ACK, ..t.data(5) };
    t.inject(last);
    assert_eq!(receive(&mut t), Ok(5));
    for _ in 0..3 {
        assert_eq!(receive(&mut t), Ok(0), "the end of the stream");
    }
    // A reset: what had come, what happened, the end.
    let mut t = Talk::passive(Setup::default());
    let data = t.data(5);
    t.inject(data);
    let reset = Seg { flags: RST, ..t.seg() };
    t.inject(reset);
    assert_eq!(receive(&mut t), Ok(5));
    assert_eq!(receive(&mut t), Err(SocketError::ConnectionReset));
    assert_eq!(receive(&mut t), Ok(0));
}
