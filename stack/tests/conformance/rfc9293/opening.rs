//! Opening connections.

use tapping_stack::route::Route;
use tapping_stack::time::Duration;
use tapping_stack::wire::tcp_options::kinds;
use tapping_stack::wire::{Protocol, SeqNumber};
use tapping_stack::{Shutdown, SocketError, SocketId, TcpState};

use crate::host::{ALSO_US, PEER, US};
use crate::lab::{Lab, ip, ip_frame, ipv4};
use crate::segment::*;
use crate::states::*;

conformance! {
    "RFC 9293", "Establishing a connection (§3.5, §3.10.1)";

    Rule "RFC9293-3.5-three" "3.5" "A connection is made by SYN, SYN-ACK and ACK, from either side."
        => the_three_way_handshake;
    Must "RFC9293-MUST-10" "3.5" "Two SYNs that cross make one connection."
        => simultaneous_open_makes_one_connection;
    Must "RFC9293-MUST-11" "3.5" "A connection in SYN-RECEIVED remembers whether it came from listening."
        => syn_received_remembers_where_it_came_from;
    MustNot "RFC9293-MUST-41" "3.9.1.1" "A new listener does not disturb connections made before on its port."
        => a_listener_disturbs_no_connection;
    Must "RFC9293-MUST-42" "3.9.1.1" "Listening on a port is possible while connections from it are being opened."
        => listening_goes_on_beside_connections;
    Must "RFC9293-MUST-43" "3.9.1.1" "The local address of a connection can be chosen."
        => the_local_address_can_be_chosen;
    Must "RFC9293-MUST-44" "3.9.1.1" "An unbound active open takes the source address that routing gives."
        => routing_gives_the_source_address;
    Must "RFC9293-MUST-45" "3.9.1.1" "All segments of a connection have the address it began with."
        => a_connection_keeps_its_address;
    Must "RFC9293-MUST-46" "3.9.2.3" "Connecting to a broadcast or multicast address is refused."
        => connecting_to_many_is_refused;
    Must "RFC9293-MUST-57" "3.9.2.3" "A SYN to a broadcast or multicast address is discarded in silence."
        => a_syn_to_many_is_discarded;
    Must "RFC9293-MUST-63" "3.9.2.3" "A SYN from an address that no host can have is discarded."
        => a_syn_from_nobody_is_discarded;
    Rule "RFC9293-3.10.1-noroute" "3.10.1" "Connecting where no route leads fails at once."
        => connecting_without_a_route_fails;
    Rule "RFC9293-3.10.1-twice" "3.10.1" "Connecting a socket that is connected, connecting or listening is refused."
        => connecting_twice_is_refused;
    Rule "RFC9293-3.10.1-inuse" "3.10.1" "Two connections cannot have the same addresses and ports."
        => the_same_connection_twice_is_refused;
    Rule "RFC9293-3.5-halfopen" "3.5.1" "A peer that lost its state answers our data with RST, and the application hears of it."
        => a_half_open_connection_is_reset;
    Rule "RFC9293-3.5-oldsyn" "3.5" "An old duplicate SYN is undone when its SYN-ACK is answered with RST."
        => an_old_duplicate_syn_is_undone;
    Linux "RFC9293-3.7.1-layout" "3.1" "The options of SYN are maximum segment size, SACK permitted, timestamps, and window scale, in Linux's order."
        => syn_options_have_the_order_of_linux;
}

/// A socket of the host bound to an address and port, which others may share.
fn bound(conn: &mut Conn, addr: core::net::Ipv4Addr, port: u16) -> SocketId {
    let now = conn.bench.lab.now();
    let socket = conn.stack().open_tcp().expect("room for a socket");
    let reuse = |options: &mut tapping_stack::TcpOptions| options.reuse_addr = true;
    conn.stack().set_tcp_options(now, socket, reuse).expect("an option");
    conn.stack().bind(socket, (addr, port).into()).expect("a shared port");
    socket
}

fn connect(
    conn: &mut Conn,
    socket: SocketId,
    addr: impl Into<core::net::SocketAddr>,
) -> Result<(), SocketError> {
    let now = conn.bench.lab.now();
    let connected = conn.stack().connect(now, socket, addr.into());
    conn.bench.lab.settle();
    connected
}

fn the_three_way_handshake() {
    let mut conn = Conn::connect(Setup::full());
    conn.expect(At::SynSent);
    let syn_ack = conn.syn().flags(SYN_ACK).ack(conn.iss + 1);
    let ack = conn.one(&syn_ack);
    assert!(ack.is_ack(conn.iss + 1, syn_ack.seq + 1), "{ack:?}");
    conn.expect(At::Established);
    assert_eq!(conn.error(), None);
    let mut conn = Conn::listen(Setup::full());
    let syn = conn.syn();
    let syn_ack = conn.one(&syn);
    assert_eq!((syn_ack.flags, syn_ack.ack), (SYN_ACK, syn.seq + 1));
    conn.expect(At::SynReceived);
    conn.rcv_nxt = syn.seq + 1;
    let ack = conn.seg(ACK).ack(syn_ack.seq + 1);
    conn.quietly(&ack);
    let socket = conn.accept();
    conn.expect(At::Established);
    let peer = conn.stack().peer_addr(socket);
    assert_eq!(peer, Ok((PEER, PEER_PORT).into()));
}

fn simultaneous_open_makes_one_connection() {
    // The peer sees our SYN late and answers it again, or acknowledges only.
    for last in [ACK, SYN_ACK] {
        let mut conn = Conn::connect(Setup::full());
        let syn = conn.syn();
        let answer = conn.one(&syn);
        let expected = (SYN_ACK, conn.iss, syn.seq + 1);
        assert_eq!((answer.flags, answer.seq, answer.ack), expected);
        assert!(
            answer.mss().is_some() && answer.wscale().is_some() && answer.timestamps().is_some()
        );
        conn.rcv_nxt = syn.seq + 1;
        let seg = match last {
            ACK => conn.seg(ACK),
            _ => conn.syn().flags(SYN_ACK).ack(conn.snd_nxt),
        };
        conn.send(&seg);
        conn.expect(At::Established);
        let info = conn.info();
        assert!(info.timestamps && info.sack && info.wscale.is_some(), "the SYN's options count");
        assert_eq!(conn.write(&[1; 10])[0].data, [1; 10]);
        let ack = conn.seg(ACK);
        conn.quietly(&ack);
        conn.feed(&[2; 10]);
        assert_eq!(conn.read(), [2; 10]);
    }
    two_hosts_at_once();
    // Their ACK brings data with it.
    let mut conn = Setup::full().at(At::SynCrossed);
    conn.feed(&[3; 10]);
    conn.expect(At::Established);
    assert_eq!(conn.read(), [3; 10]);
}

/// Both ends are ours: they open, talk and close at the same moments.
fn two_hosts_at_once() {
    let mut lab = Lab::new();
    let wire = lab.segment();
    let addrs = [US, PEER];
    let hosts = ["a", "b"].map(|name| lab.host(name));
    let mut links = Vec::new();
    for (host, addr) in hosts.iter().zip(addrs) {
        links.push(lab.attach(*host, wire, &format!("{addr}/24")));
    }
    for n in [0, 1] {
        let mac = lab.mac(hosts[1 - n], links[1 - n]);
        lab.know(hosts[n], links[n], addrs[1 - n], mac);
    }
    lab.run_for(Duration::from_secs(60));
    let now = lab.now();
    let mut sockets = Vec::new();
    for n in [0, 1] {
        let stack = lab.stack(hosts[n]);
        let socket = stack.open_tcp().expect("room for a socket");
        stack.bind(socket, (addrs[n], 5000).into()).expect("a free port");
        stack.connect(now, socket, (addrs[1 - n], 5000).into()).expect("a route");
        sockets.push(socket);
    }
    let expect = |lab: &mut Lab, state: TcpState| {
        for n in [0, 1] {
            assert_eq!(lab.stack(hosts[n]).tcp_state(sockets[n]), Ok(state));
        }
    };
    expect(&mut lab, TcpState::SynSent);
    lab.run_for(Duration::from_millis(100));
    expect(&mut lab, TcpState::Established);
    let now = lab.now();
    for n in [0, 1] {
        assert_eq!(lab.stack(hosts[n]).send(now, sockets[n], &[n as u8; 100]), Ok(100));
    }
    lab.run_for(Duration::from_millis(100));
    let now = lab.now();
    for n in [0, 1] {
        let mut buffer = [9; 200];
        assert_eq!(lab.stack(hosts[n]).receive(now, sockets[n], &mut buffer), Ok(100));
        assert_eq!(buffer[..100], [1 - n as u8; 100]);
    }
    for n in [0, 1] {
        lab.stack(hosts[n]).shutdown(now, sockets[n], Shutdown::Write).expect("connected");
    }
    lab.run_for(Duration::from_secs(1));
    for host in hosts {
        assert_eq!(lab.stack(host).tcp_counts().1, 1, "both are in TIME-WAIT");
        assert_eq!(lab.snapshot(host).tcp.retrans_segs, 0, "without a retransmission");
    }
}

fn syn_received_remembers_where_it_came_from() {
    let mut conn = Setup::plain().at(At::SynReceived);
    let reset = conn.seg(RST);
    conn.quietly(&reset);
    let (now, listener) = (conn.bench.lab.now(), conn.listener.expect("a listener"));
    assert_eq!(conn.stack().accept(now, listener).err(), Some(SocketError::WouldBlock));
    assert_eq!(conn.stack().take_error(listener), Ok(None), "the listener is none the wiser");
    conn.leave_for(4001);
    conn.shake(false);
    conn.expect(At::Established);
    let mut conn = Setup::plain().at(At::SynCrossed);
    let reset = conn.seg(RST);
    conn.quietly(&reset);
    assert_eq!(conn.try_read(), Err(SocketError::ConnectionRefused));
}

fn a_listener_disturbs_no_connection() {
    let reuse = Setup::plain().options(|options| options.reuse_addr = true);
    let mut conn = reuse.at(At::Established);
    let (now, first) = (conn.bench.lab.now(), conn.listener.expect("a listener"));
    conn.stack().close(now, first).expect("a listener");
    let second = bound(&mut conn, US, PORT);
    conn.stack().listen(now, second, 5).expect("nobody else listens");
    conn.listener = Some(second);
    conn.feed(&[1; 10]);
    assert_eq!(conn.read(), [1; 10]);
    let mut old = conn.leave_for(4001);
    conn.shake(false);
    conn.swap(&mut old);
    assert_eq!(conn.write(&[2; 10])[0].dst_port, PEER_PORT);
}

fn listening_goes_on_beside_connections() {
    let mut conn = Conn::listen(Setup::plain().options(|options| options.reuse_addr = true));
    // From the listener's port; and then a handshake that stays half done.
    let active = bound(&mut conn, ALSO_US, 81);
    let now = conn.bench.lab.now();
    connect(&mut conn, active, (PEER, 9)).expect("a route");
    let listener = bound(&mut conn, ALSO_US, 81);
    let listening = conn.stack().listen(now, listener, 5);
    assert_eq!(listening, Ok(()), "beside a connection that is being opened");
    conn.heard();
    conn.leave_for(4001);
    conn.shake(true);
    conn.leave_for(4002);
    conn.shake(false);
    conn.expect(At::Established);
    let syn = Seg { dst: ALSO_US, ..Seg::to_host(4003, 81, SYN) };
    assert_eq!(conn.one(&syn).flags, SYN_ACK);
}

fn the_local_address_can_be_chosen() {
    let mut conn = Conn::listen(Setup::plain());
    let socket = bound(&mut conn, ALSO_US, 0);
    connect(&mut conn, socket, (PEER, 9)).expect("a route");
    let syn = conn.only();
    assert_eq!((syn.flags, syn.src), (SYN, ALSO_US));
    // Listening at one address is not listening at the other.
    let other = Seg { dst: ALSO_US, ..conn.syn() };
    assert_eq!(conn.reset_by(&other).src, ALSO_US);
    let own = conn.syn();
    assert_eq!(conn.one(&own).flags, SYN_ACK);
    // Only at an address that is the host's.
    let stranger = conn.stack().open_tcp().expect("room for a socket");
    let elsewhere = conn.stack().bind(stranger, (PEER, 0).into());
    assert_eq!(elsewhere, Err(SocketError::AddressNotAvailable));
}

fn routing_gives_the_source_address() {
    for source in [US, ALSO_US] {
        let mut conn = Conn::listen(Setup::plain());
        let mut route =
            Route::direct("198.51.100.0/24".parse().expect("a prefix"), conn.bench.link);
        route.source = Some(source.into());
        conn.stack().add_route(route).expect("a route");
        let (host, link, tester) = (conn.bench.host, conn.bench.link, conn.bench.tester);
        conn.bench.lab.know(host, link, ip("198.51.100.9"), tester.mac);
        let socket = conn.stack().open_tcp().expect("room for a socket");
        connect(&mut conn, socket, (ip("198.51.100.9"), 9)).expect("a route");
        let syn = conn.only();
        assert_eq!((syn.flags, syn.src), (SYN, source));
        let local = conn.stack().local_addr(socket).expect("an address");
        assert_eq!(local.ip(), core::net::IpAddr::V4(source));
    }
}

fn a_connection_keeps_its_address() {
    let mut conn = Setup::plain().at(At::Established);
    conn.write(&[1; 10]);
    let mut route = Route::direct(format!("{PEER}/32").parse().expect("a prefix"), conn.bench.link);
    route.source = Some(ALSO_US.into());
    conn.stack().add_route(route).expect("a route");
    let again = conn.pass(Duration::from_secs(2));
    assert!(!again.is_empty() && again.iter().all(|seg| seg.src == US), "{again:?}");
    let ack = conn.seg(ACK);
    conn.quietly(&ack);
    assert_eq!(conn.write(&[2; 10])[0].src, US);
    conn.send_fin();
    // A new one follows the route.
    let socket = conn.stack().open_tcp().expect("room for a socket");
    connect(&mut conn, socket, (PEER, 9)).expect("a route");
    assert_eq!(conn.only().src, ALSO_US);
}

fn connecting_to_many_is_refused() {
    for many in ["255.255.255.255", "10.0.0.255", "224.0.0.1", "239.1.2.3"] {
        let mut conn = Conn::listen(Setup::plain());
        let socket = conn.stack().open_tcp().expect("room for a socket");
        let connected = connect(&mut conn, socket, (ip(many), 80));
        assert_eq!(connected, Err(SocketError::NetworkUnreachable), "{many}");
        assert!(conn.pass(Duration::from_secs(10)).is_empty());
        // The socket can be used for something else.
        assert_eq!(connect(&mut conn, socket, (PEER, 80)), Ok(()));
    }
}

fn a_syn_to_many_is_discarded() {
    let mut conn = Conn::listen(Setup::plain());
    let now = conn.bench.lab.now();
    let any = conn.stack().open_tcp().expect("room for a socket");
    conn.stack().bind(any, (core::net::Ipv4Addr::UNSPECIFIED, 81).into()).expect("a free port");
    conn.stack().listen(now, any, 5).expect("bound");
    let syn = Seg::to_host(PEER_PORT, 81, SYN);
    for many in ["10.0.0.255", "255.255.255.255", "224.0.0.1"] {
        conn.quietly(&Seg { dst: ip(many), ..syn.clone() });
    }
    let tester = conn.bench.tester;
    for mac in ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"] {
        let mac = mac.parse().expect("a MAC address");
        conn.bench.lab.inject(tester, ip_frame(tester.mac, mac, &syn.ip().build()));
        assert!(conn.heard().is_empty(), "{mac}");
    }
    assert_eq!(conn.stack().tcp_counts().2, 0, "no handshake");
    assert_eq!(conn.one(&syn).flags, SYN_ACK);
}

fn a_syn_from_nobody_is_discarded() {
    for src in ["127.0.0.1", "255.255.255.255", "224.0.0.1", "0.0.0.0", "10.0.0.255"] {
        let mut conn = Conn::listen(Setup::plain());
        let syn = Seg { src: ip(src), ..conn.syn() };
        conn.quietly(&syn);
        assert_eq!(conn.stack().tcp_counts().2, 0, "{src}: no handshake");
        assert!(conn.pass(Duration::from_secs(10)).is_empty());
    }
}

fn connecting_without_a_route_fails() {
    let mut conn = Conn::listen(Setup::plain());
    let socket = bound(&mut conn, US, 5000);
    let far = (ip("203.0.113.9"), 80);
    assert_eq!(connect(&mut conn, socket, far), Err(SocketError::NetworkUnreachable));
    assert!(conn.pass(Duration::from_secs(10)).is_empty());
    let unbound = conn.stack().open_tcp().expect("room for a socket");
    assert_eq!(connect(&mut conn, unbound, far), Err(SocketError::NetworkUnreachable));
    let local = conn.stack().local_addr(unbound).expect("a socket");
    assert_eq!(local.port(), 0, "no port is taken");
    let now = conn.bench.lab.now();
    for socket in [socket, unbound] {
        conn.stack().close(now, socket).expect("a socket");
    }
    assert_eq!(conn.stack().tcp_counts(), (1, 0, 0));
    let again = conn.stack().open_tcp().expect("room for a socket");
    assert_eq!(conn.stack().bind(again, (US, 5000).into()), Ok(()), "the port is free again");
}

fn connecting_twice_is_refused() {
    for (at, error) in [
        (At::SynSent, SocketError::AlreadyInProgress),
        (At::SynCrossed, SocketError::AlreadyInProgress),
        (At::FinWait1, SocketError::IsConnected),
        (At::CloseWait, SocketError::IsConnected),
    ] {
        let mut conn = Setup::plain().at(at);
        let socket = conn.socket();
        assert_eq!(connect(&mut conn, socket, (PEER, 9)), Err(error), "{at:?}");
        assert!(conn.heard().is_empty());
        conn.expect(at);
    }
    // The first connect on a connection that stands tells of it, as Linux does.
    let mut conn = Setup::plain().at(At::Established);
    let socket = conn.socket();
    assert_eq!(connect(&mut conn, socket, (PEER, 9)), Err(SocketError::IsConnected));
    let mut conn = Conn::listen(Setup::plain());
    let listener = conn.listener.expect("a listener");
    assert_eq!(connect(&mut conn, listener, (PEER, 9)), Err(SocketError::IsConnected));
}

fn the_same_connection_twice_is_refused() {
    let mut conn = Conn::listen(Setup::plain());
    let (first, second) = (bound(&mut conn, US, 5000), bound(&mut conn, US, 5000));
    assert_eq!(connect(&mut conn, first, (PEER, 9)), Ok(()));
    assert_eq!(conn.heard().len(), 1);
    let again = connect(&mut conn, second, (PEER, 9));
    assert_eq!(again, Err(SocketError::AddressNotAvailable));
    assert!(conn.heard().is_empty());
    assert_eq!(connect(&mut conn, second, (PEER, 10)), Ok(()), "another peer is fine");
}

fn a_half_open_connection_is_reset() {
    // The peer does not know us any more.
    let mut conn = Setup::full().at(At::Established);
    let data = conn.write(&[1; 10]).remove(0);
    let reset = Seg::to_host(conn.remote, conn.local, RST).seq(data.ack);
    conn.quietly(&reset);
    assert_eq!(conn.try_read(), Err(SocketError::ConnectionReset));
    // It asks for a new connection: our ACK makes it reset the old one.
    let mut conn = Setup::full().at(At::Established);
    let syn = conn.syn().seq(conn.rcv_nxt + 1_000_000);
    let challenge = conn.one(&syn);
    let reset = Seg::to_host(conn.remote, conn.local, RST).seq(challenge.ack);
    conn.quietly(&reset);
    assert_eq!(conn.try_read(), Err(SocketError::ConnectionReset));
    let answer = conn.one(&syn);
    assert_eq!((answer.flags, answer.ack), (SYN_ACK, syn.seq + 1));
    // We do not know the peer any more.
    let mut conn = Conn::listen(Setup::full());
    let stray = conn.seg(ACK | PSH).ack(SeqNumber(77)).data(&[1; 10]);
    assert_eq!(conn.reset_by(&stray).seq, SeqNumber(77));
}

fn an_old_duplicate_syn_is_undone() {
    let mut conn = Conn::listen(Setup::plain());
    let syn = conn.syn();
    let old = syn.clone().seq(SeqNumber(90));
    let answer = conn.one(&old);
    assert_eq!(answer.ack, SeqNumber(91));
    let reset = Seg::to_host(conn.remote, conn.local, RST).seq(SeqNumber(91));
    conn.quietly(&reset);
    conn.expect_gone();
    let fresh = syn.seq(SeqNumber(100));
    let answer = conn.one(&fresh);
    assert_eq!((answer.flags, answer.ack), (SYN_ACK, SeqNumber(101)));
    conn.rcv_nxt = SeqNumber(101);
    let ack = conn.seg(ACK);
    conn.quietly(&ack);
    conn.accept();
    conn.expect(At::Established);
}

/// The kinds of options in order, NOPs included.
fn kinds_of(seg: &Seg) -> Vec<u8> {
    let (mut all, mut rest) = (Vec::new(), &seg.options[..]);
    while let [kind, tail @ ..] = rest {
        all.push(*kind);
        rest = match *kind {
            kinds::NOP | kinds::END => tail,
            _ => &rest[usize::from(tail[0])..],
        };
    }
    all
}

fn syn_options_have_the_order_of_linux() {
    use kinds::{MSS, NOP, SACK_PERMITTED as SACK, TIMESTAMPS as TS, WINDOW_SCALE as WS};
    for (timestamps, sack, scaling, expected) in [
        (true, true, true, vec![MSS, SACK, TS, NOP, WS]),
        (true, true, false, vec![MSS, SACK, TS]),
        (true, false, true, vec![MSS, NOP, NOP, TS, NOP, WS]),
        (false, true, true, vec![MSS, NOP, NOP, SACK, NOP, WS]),
        (false, false, true, vec![MSS, NOP, WS]),
        (false, false, false, vec![MSS]),
    ] {
        let change = |config: &mut tapping_stack::Config| {
            config.tcp.timestamps = timestamps;
            config.tcp.sack = sack;
            config.tcp.window_scaling = scaling;
        };
        let mut conn = Conn::listen(Setup::full().config(change));
        let socket = conn.stack().open_tcp().expect("room for a socket");
        connect(&mut conn, socket, (PEER, 9)).expect("a route");
        let tester = conn.bench.tester;
        let packet = conn.bench.lab.heard_one_ip(tester);
        assert_eq!(ipv4(&packet).protocol(), Protocol::TCP);
        let syn = Seg::read(&packet).expect("a SYN");
        assert_eq!(kinds_of(&syn), expected);
        assert_eq!((syn.window, syn.mss()), (64_240, Some(1460)));
        assert_eq!(syn.wscale(), scaling.then_some(7));
        // SYN-ACK has what the SYN had, and we have.
        let offer = conn.syn();
        let answer = conn.one(&offer);
        assert_eq!(kinds_of(&answer), expected);
        let plain = Seg { src_port: 4100, ..conn.syn() }.options(&mss_option(1460));
        assert_eq!(kinds_of(&conn.one(&plain)), [MSS]);
    }
}
