//! RFC 4987, SYN floods and what helps against them.

use core::net::Ipv4Addr;

use tapping_stack::config::SynCookies;
use tapping_stack::route::Route;
use tapping_stack::wire::{SeqNumber, TcpFlags};
use tapping_stack::{SocketError, SocketId, TcpState};

use crate::tcp_bench::*;

conformance! {
    "RFC 4987", "SYN floods";

    Rule "RFC4987-3.3-backlog" "3.1" "The SYN queue is bounded."
        => the_syn_queue_is_bounded;
    Rule "RFC4987-3.6-cookies" "3.6" "With the queue full SYN-ACKs with cookies take its place, and no state is kept."
        => cookies_take_over;
    Rule "RFC4987-3.6-mss" "3.6" "A cookie keeps the segment size, in steps."
        => a_cookie_keeps_the_mss;
    Rule "RFC4987-3.6-options" "3.6" "With timestamps it keeps window scale, SACK and ECN, too."
        => a_cookie_keeps_the_options;
    Must "RFC4987-3.6-forged" "3.6" "A forged or old cookie is refused with RST."
        => forged_cookies_are_refused;
    Rule "RFC4987-3.6-data" "3.6" "Data that comes with the ACK of a cookie is taken."
        => data_with_the_cookie_is_taken;
    Linux "RFC4987-3.6-modes" "3.6" "Cookies are used never, when the queue is full, or always, as tcp_syncookies says."
        => cookie_modes;
    Linux "RFC4987-3-accept-full" "3.1" "With the accept queue full SYNs are dropped, and the ACK that would complete a request is ignored."
        => a_full_accept_queue;
    Linux "RFC4987-3-somaxconn" "3.1" "The backlog is bounded by somaxconn."
        => the_backlog_is_bounded_by_somaxconn;
    Linux "RFC4987-3-synack-retry" "3.1" "A SYN-ACK is repeated five times, and when the SYN comes again."
        => syn_acks_are_repeated;
    Rule "RFC4987-3-bad-rst" "3.6" "Requests are found by hash, and one peer's RST removes its own only."
        => a_reset_removes_one_request;
}

fn with_cookies(mode: SynCookies) -> Wire {
    Wire::with(config(|tcp| tcp.syncookies = mode))
}

/// The handshake up to the SYN-ACK.
fn half(wire: &mut Wire, port: u16) -> Option<Peer> {
    let mut peer = Peer::new(PEER, port, US, 80);
    let heard = wire.give(&peer.syn());
    let syn_ack = heard.first()?;
    assert!(syn_ack.is_syn_ack() && heard.len() == 1, "{heard:?}");
    peer.ack = syn_ack.seq + 1;
    Some(peer)
}

fn accept_all(wire: &mut Wire, listener: SocketId) -> Vec<SocketId> {
    std::iter::from_fn(|| wire.accept(listener).ok()).collect()
}

fn the_syn_queue_is_bounded() {
    let mut wire = with_cookies(SynCookies::Off);
    wire.listener(80, 3);
    let answered = (1..=10).filter(|port| half(&mut wire, *port).is_some()).count();
    assert_eq!((answered, wire.stack().tcp_counts().2), (3, 3));
    assert_eq!((wire.ext().tcp_req_q_full_drop, wire.ext().listen_drops), (7, 7));
    // The last quarter of tcp_max_syn_backlog is for peers that have proven to be there.
    let mut wire = Wire::with(config(|tcp| {
        tcp.syncookies = SynCookies::Off;
        tcp.max_syn_backlog = 8;
    }));
    wire.listener(80, 100);
    let answered = (1..=20).filter(|port| half(&mut wire, *port).is_some()).count();
    assert_eq!(answered, 7);
    assert_eq!(wire.ext().tcp_req_q_full_drop, 0);
}

fn cookies_take_over() {
    const SOURCES: u32 = 10_000;
    let mut wire = Wire::new();
    let all = "0.0.0.0/0".parse().expect("a prefix");
    wire.stack().add_route(Route::via(all, PEER.into())).expect("a route");
    let listener = wire.listener(80, 16);
    let mut answers = 0;
    for n in 0..SOURCES {
        let source = Ipv4Addr::from(0x0b00_0000 + n);
        let mut peer = Peer::new(source, 1024 + (n % 1000) as u16, US, 80);
        answers += wire.give(&peer.syn()).iter().filter(|seg| seg.is_syn_ack()).count();
        wire.lab.events(wire.host);
    }
    assert_eq!(answers, SOURCES as usize, "nobody is refused");
    assert_eq!(wire.stack().tcp_counts(), (1, 0, 16), "and no more is remembered");
    let sent = u64::from(SOURCES) - 16;
    assert_eq!(wire.ext().syncookies_sent, sent);
    assert_eq!(wire.ext().tcp_req_q_full_do_cookies, sent);
    // An honest client comes through.
    let mut peer = wire.handshake(80, 7);
    assert_eq!(wire.ext().syncookies_recv, 1);
    let socket = wire.accept(listener).expect("a connection");
    let data = peer.data(b"hello");
    wire.give(&data);
    assert_eq!(wire.receive(socket).expect("data"), b"hello");
    assert_eq!(wire.send(socket, b"welcome"), Ok(7));
    assert!(wire.heard().iter().any(|seg| seg.payload == b"welcome"));
}

fn a_cookie_keeps_the_mss() {
    for (told, kept) in [(536, 536), (1299, 536), (1400, 1300), (1459, 1440), (1460, 1460)] {
        let mut wire = with_cookies(SynCookies::Always);
        let listener = wire.listener(80, 16);
        let mut peer = Peer::new(PEER, 9, US, 80);
        let syn = Seg { mss: Some(told), ..peer.syn() };
        peer.ack = wire.answer(&syn).seq + 1;
        wire.give_quietly(&peer.ack());
        let socket = wire.accept(listener).expect("a connection");
        wire.send(socket, &[1; 4000]).expect("room");
        let longest = wire.heard().iter().map(|seg| seg.payload.len()).max();
        assert_eq!(longest, Some(kept), "{told}");
    }
}

fn a_cookie_keeps_the_options() {
    for timestamps in [true, false] {
        let mut wire = with_cookies(SynCookies::Always);
        let listener = wire.listener(80, 16);
        let mut peer = Peer::new(PEER, 9, US, 80);
        let ts = timestamps.then_some((77_000, 0));
        let syn = Seg { wscale: Some(5), sack_ok: true, ts, ..peer.syn() };
        let ecn = TcpFlags::ECE | TcpFlags::CWR;
        let syn_ack = wire.answer(&Seg { flags: syn.flags | ecn, ..syn });
        assert_eq!(syn_ack.flags.contains(TcpFlags::ECE), timestamps);
        assert_eq!((syn_ack.sack_ok, syn_ack.wscale.is_some()), (timestamps, timestamps));
        peer.ack = syn_ack.seq + 1;
        let echo = syn_ack.ts.map(|(value, _)| (77_001, value));
        assert_eq!(echo.is_some(), timestamps);
        wire.give_quietly(&Seg { ts: echo, ..peer.ack() });
        let socket = wire.accept(listener).expect("a connection");
        let info = wire.stack().tcp_info(socket).expect("a connection");
        assert_eq!((info.timestamps, info.sack, info.ecn), (timestamps, timestamps, timestamps));
        // The peer's shift, and the one that it was told.
        assert_eq!(info.wscale, timestamps.then(|| (5, syn_ack.wscale.expect("a shift"))));
    }
}

fn forged_cookies_are_refused() {
    let mut wire = with_cookies(SynCookies::Always);
    let listener = wire.listener(80, 16);
    let peer = half(&mut wire, 9).expect("a SYN-ACK");
    let forged = [
        Seg { ack: peer.ack + 1, ..peer.ack() },
        // With fewer numbers off it would be the cookie for another size.
        Seg { ack: peer.ack - 4, ..peer.ack() },
        Seg { ack: peer.ack + (1 << 24), ..peer.ack() },
        Seg { seq: peer.seq + 4, ..peer.ack() },
        Seg { src: core::net::SocketAddrV4::new(PEER, 10), ..peer.ack() },
        Seg { ack: SeqNumber(0), ..peer.ack() },
    ];
    for seg in &forged {
        let rst = wire.answer(seg);
        assert!(rst.is_rst() && rst.seq == seg.ack, "{rst:?}");
    }
    assert_eq!(wire.ext().syncookies_failed, forged.len() as u64);
    wire.pass(secs(121));
    assert!(wire.answer(&peer.ack()).is_rst(), "two minutes later");
    assert_eq!(wire.accept(listener), Err(SocketError::WouldBlock));
    let peer = half(&mut wire, 9).expect("a SYN-ACK");
    wire.pass(secs(50));
    wire.give_quietly(&peer.ack());
    wire.accept(listener).expect("a minute is not too late");
}

fn data_with_the_cookie_is_taken() {
    let mut wire = with_cookies(SynCookies::Always);
    let listener = wire.listener(80, 16);
    let mut peer = half(&mut wire, 9).expect("a SYN-ACK");
    let data = peer.data(b"GET /");
    let ack = wire.answer(&data);
    assert_eq!(ack.ack, peer.seq);
    let socket = wire.accept(listener).expect("a connection");
    assert_eq!(wire.receive(socket).expect("data"), b"GET /");
}

fn cookie_modes() {
    for (mode, answered, cookies, requests) in
        [(SynCookies::Off, 2, 0, 2), (SynCookies::WhenFull, 5, 3, 2), (SynCookies::Always, 5, 5, 0)]
    {
        let mut wire = with_cookies(mode);
        wire.listener(80, 2);
        let answers = (1..=5).filter(|port| half(&mut wire, *port).is_some()).count();
        assert_eq!(answers, answered, "{mode:?}");
        assert_eq!(wire.ext().syncookies_sent, cookies, "{mode:?}");
        assert_eq!(wire.stack().tcp_counts().2, requests, "{mode:?}");
    }
}

fn a_full_accept_queue() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 2);
    // A request from when there was room.
    let waiting = half(&mut wire, 9).expect("a SYN-ACK");
    for port in 1..=3 {
        wire.handshake(80, port);
    }
    assert!(half(&mut wire, 4).is_none(), "SYNs are dropped");
    assert_eq!(wire.ext().listen_overflows, 1);
    wire.give_quietly(&waiting.ack());
    assert_eq!(wire.ext().listen_overflows, 2);
    assert_eq!(wire.stack().tcp_counts().2, 1, "it waits");
    let again = wire.pass(secs(1));
    assert!(again.len() == 1 && again[0].is_syn_ack() && again[0].seq + 1 == waiting.ack);
    wire.accept(listener).expect("the first");
    wire.give_quietly(&waiting.ack());
    let last = accept_all(&mut wire, listener).pop().expect("connections");
    assert_eq!(wire.stack().peer_addr(last), Ok(at(PEER, 9)));
    // tcp_abort_on_overflow says it at once.
    let mut wire = Wire::with(config(|tcp| tcp.abort_on_overflow = true));
    wire.listener(80, 2);
    let waiting = half(&mut wire, 9).expect("a SYN-ACK");
    for port in 1..=3 {
        wire.handshake(80, port);
    }
    assert!(wire.answer(&waiting.ack()).is_rst());
    assert_eq!(wire.stack().tcp_counts().2, 0);
}

fn the_backlog_is_bounded_by_somaxconn() {
    let mut wire = Wire::with(config(|tcp| tcp.somaxconn = 3));
    let listener = wire.listener(80, 1000);
    for port in 1..=4 {
        wire.handshake(80, port);
    }
    assert!(half(&mut wire, 5).is_none());
    assert_eq!(accept_all(&mut wire, listener).len(), 4);
}

fn syn_acks_are_repeated() {
    let mut wire = Wire::new();
    wire.listener(80, 16);
    let start = wire.now();
    let peer = half(&mut wire, 9).expect("a SYN-ACK");
    let heard = wire.pass(secs(62));
    let times: Vec<u64> = heard.iter().map(|seg| (seg.at - start).as_secs()).collect();
    assert_eq!(times, [1, 3, 7, 15, 31]);
    assert!(heard.iter().all(|seg| seg.is_syn_ack() && seg.seq + 1 == peer.ack));
    assert_eq!(wire.stack().tcp_counts().2, 1);
    wire.heard();
    assert!(wire.pass(secs(2)).is_empty());
    assert_eq!((wire.stack().tcp_counts().2, wire.mib().attempt_fails), (0, 1));
    // The SYN again: the same answer, unless it comes too often.
    let peer = half(&mut wire, 10).expect("a SYN-ACK");
    let syn = Seg { seq: peer.seq - 1, mss: Some(1460), ..peer.seg(TcpFlags::SYN) };
    let again = wire.answer(&syn);
    assert!(again.is_syn_ack() && again.seq + 1 == peer.ack);
    wire.give_quietly(&syn);
    assert_eq!(wire.ext().tcp_ack_skipped_syn_recv, 1);
    assert_eq!(wire.stack().tcp_counts().2, 1);
}

fn a_reset_removes_one_request() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 100);
    let peers: Vec<Peer> = (1..=50).map(|port| half(&mut wire, port).expect("a SYN-ACK")).collect();
    wire.give_quietly(&peers[20].seg(TcpFlags::RST));
    assert_eq!((wire.stack().tcp_counts().2, wire.ext().embryonic_rsts), (49, 1));
    // Not by a number that does not fit.
    wire.give(&Seg { seq: peers[21].seq + 1_000_000, ..peers[21].seg(TcpFlags::RST) });
    assert_eq!(wire.stack().tcp_counts().2, 49);
    for peer in &peers {
        wire.give(&peer.ack());
    }
    let accepted = accept_all(&mut wire, listener);
    assert_eq!(accepted.len(), 49);
    let established =
        |socket: &SocketId| wire.stack().tcp_state(*socket) == Ok(TcpState::Established);
    assert!(accepted.iter().all(established));
}
