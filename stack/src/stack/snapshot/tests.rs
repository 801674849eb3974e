//! Lists beside what is known to be there.

use std::collections::BTreeSet;
use std::format;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::config::Config;
use crate::route::RouteTableId;
use crate::sim::{Conditions, HostId, Lab, Link as Wire};
use crate::wire::cidr::IpCidr;
use crate::wire::ethernet::MacAddr;
use crate::{LinkConfig, Shutdown};

fn stack() -> (Stack, LinkId) {
    let mut stack = Stack::new(Config::default(), 1);
    let link = stack.add_link(LinkConfig::new("eth0", MacAddr([2, 0, 0, 0, 0, 1]))).unwrap();
    stack.add_address(Instant::ZERO, link, "10.0.0.1/24".parse().unwrap()).unwrap();
    (stack, link)
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Every socket, in pages that look at so many places.
fn all(stack: &Stack, now: Instant, limit: usize, query: &SocketQuery) -> Vec<SocketSnapshot> {
    let (mut found, mut at) = (Vec::new(), Some(SocketCursor::default()));
    while let Some(cursor) = at {
        let page = stack.socket_page(now, cursor, limit, query);
        assert!(page.sockets.len() <= limit.max(1));
        found.extend(page.sockets);
        at = page.next.map(|next| SocketCursor::from_bits(next.to_bits()));
    }
    found
}

/// A client and a server on a wire; the client's connection to each of the ports.
fn connected(ports: &[u16]) -> (Lab, HostId, HostId, Vec<SocketId>, SocketId) {
    let mut lab = Lab::new(1);
    let client = lab.add_host("client", Config::default());
    let server = lab.add_host("server", Config::default());
    let ends = ("10.0.0.1/24".parse().unwrap(), "10.0.0.2/24".parse().unwrap());
    let wire = Wire::new(Conditions { delay: Duration::from_millis(5), ..Conditions::default() });
    lab.connect((client, ends.0), (server, ends.1), wire).unwrap();
    let now = lab.now();
    let listener = lab.stack(server).open_tcp().unwrap();
    lab.stack(server).bind(listener, addr("10.0.0.2:80")).unwrap();
    lab.stack(server).listen(now, listener, 16).unwrap();
    let mut sockets = Vec::new();
    for port in ports {
        let socket = lab.stack(client).open_tcp().unwrap();
        let local = SocketAddr::new("10.0.0.1".parse().unwrap(), *port);
        lab.stack(client).bind(socket, local).unwrap();
        lab.stack(client).connect(now, socket, addr("10.0.0.2:80")).unwrap();
        sockets.push(socket);
    }
    lab.run_for(Duration::from_millis(100));
    (lab, client, server, sockets, listener)
}

#[test]
fn every_socket_is_listed_once_whatever_the_page() {
    let (mut stack, _) = stack();
    let mut expected = BTreeSet::new();
    let mut sockets = Vec::new();
    for n in 0..50u16 {
        let tcp = stack.open_tcp().unwrap();
        stack.bind(tcp, SocketAddr::new("10.0.0.1".parse().unwrap(), 1000 + n)).unwrap();
        stack.listen(Instant::ZERO, tcp, 3).unwrap();
        let udp = stack.open_udp().unwrap();
        stack.bind(udp, SocketAddr::new("10.0.0.1".parse().unwrap(), 2000 + n)).unwrap();
        sockets.extend([tcp, udp]);
    }
    // Holes are no sockets, and no ends.
    for (n, id) in sockets.into_iter().enumerate() {
        match n % 3 {
            0 => stack.close(Instant::ZERO, id).unwrap(),
            _ => assert!(expected.insert(id.cookie())),
        }
    }
    for limit in [0, 1, 7, 99, 100_000] {
        let found = all(&stack, Instant::ZERO, limit, &SocketQuery::ALL);
        let owners: Vec<u64> = found.iter().filter_map(|socket| socket.owner).collect();
        assert_eq!(owners.len(), expected.len());
        assert_eq!(owners.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn queries_leave_out() {
    let (mut lab, client, ..) = connected(&[4000]);
    let stack = lab.stack(client);
    stack.open_ping(Some(7)).unwrap();
    stack.open_raw(crate::wire::ipv4::Protocol(89)).unwrap();
    let udp = stack.open_udp().unwrap();
    stack.connect(Instant::ZERO, udp, addr("10.0.0.2:53")).unwrap();
    stack.open_udp().unwrap();
    // Neither bound nor connected: as on Linux not listed.
    stack.open_tcp().unwrap();
    let none = SocketQuery { tcp: false, udp: false, raw: false, ..SocketQuery::ALL };
    let count = |query: SocketQuery| all(stack, Instant::ZERO, 10, &query).len();
    assert_eq!(count(SocketQuery::ALL), 5);
    assert_eq!(count(none), 0);
    assert_eq!(count(SocketQuery { tcp: true, ..none }), 1);
    assert_eq!(count(SocketQuery { udp: true, ..none }), 2);
    assert_eq!(count(SocketQuery { raw: true, ..none }), 2);
    let established = 1 << TcpState::Established.number();
    assert_eq!(count(SocketQuery { states: established, ..SocketQuery::ALL }), 2);
    let closed = SocketQuery { states: 1 << TcpState::Closed.number(), ..SocketQuery::ALL };
    let kinds: Vec<_> = all(stack, Instant::ZERO, 10, &closed);
    let ports: Vec<u16> = kinds.iter().map(|socket| socket.local.port()).collect();
    assert_eq!(ports, [7, 89, 0]);
}

#[test]
fn connections_tell_what_waits() {
    let (mut lab, client, server, sockets, listener) = connected(&[4000, 4001]);
    let now = lab.now();
    lab.stack(client).send(now, sockets[0], &[1; 3000]).unwrap();
    let of_client = all(lab.stack(client), now, 100, &SocketQuery::ALL);
    let sender = of_client.iter().find(|socket| socket.local.port() == 4000).unwrap();
    assert_eq!(
        (sender.state, sender.recv_queue, sender.send_queue),
        (TcpState::Established, 0, 3000)
    );
    assert_eq!(sender.peer, addr("10.0.0.2:80"));
    assert_eq!(sender.owner, Some(sockets[0].cookie()));
    assert_eq!((sender.congestion, sender.info.is_some()), (Some("cubic"), false));
    let timer = sender.timer.unwrap();
    assert_eq!((timer.kind, timer.retransmits), (SocketTimerKind::Retransmit, 0));
    assert!(timer.expires > Duration::ZERO && timer.expires <= Duration::from_secs(1));
    lab.run_for(Duration::from_millis(50));
    let now = lab.now();
    let query = SocketQuery { info: true, ..SocketQuery::ALL };
    let of_server = all(lab.stack(server), now, 100, &query);
    let listening = of_server.iter().find(|socket| socket.state == TcpState::Listen).unwrap();
    assert_eq!((listening.recv_queue, listening.send_queue), (2, 16));
    assert_eq!(listening.peer, addr("0.0.0.0:0"));
    assert_eq!(listening.owner, Some(listener.cookie()));
    let receiver = of_server.iter().find(|socket| socket.peer.port() == 4000).unwrap();
    // Nobody has accepted it yet.
    assert_eq!((receiver.owner, receiver.recv_queue), (None, 3000));
    assert!(
        receiver.receive_buffer.0 >= 3000 && receiver.receive_buffer.1 > receiver.receive_buffer.0
    );
    assert_eq!(receiver.info.as_ref().unwrap().bytes_received, 3000);
    let (accepted, _) = lab.stack(server).accept(now, listener).unwrap();
    let of_server = all(lab.stack(server), now, 100, &query);
    assert!(of_server.iter().any(|socket| socket.owner == Some(accepted.cookie())));
}

#[test]
fn what_is_over_and_what_has_not_begun_is_listed() {
    let (mut lab, client, server, sockets, listener) = connected(&[4000]);
    let now = lab.now();
    let (accepted, _) = lab.stack(server).accept(now, listener).unwrap();
    lab.stack(client).shutdown(now, sockets[0], Shutdown::Write).unwrap();
    lab.run_for(Duration::from_millis(50));
    let now = lab.now();
    let of_client = all(lab.stack(client), now, 3, &SocketQuery::ALL);
    assert_eq!(of_client[0].state, TcpState::FinWait2);
    assert_eq!(of_client[0].shutdown, (false, true));
    let of_server = all(lab.stack(server), now, 3, &SocketQuery::ALL);
    let closing = of_server.iter().find(|socket| socket.state == TcpState::CloseWait).unwrap();
    // The end of the stream is something to receive.
    assert_eq!((closing.recv_queue, closing.shutdown), (1, (true, false)));
    lab.stack(server).close(now, accepted).unwrap();
    lab.run_for(Duration::from_millis(50));
    let now = lab.now();
    let of_client = all(lab.stack(client), now, 3, &SocketQuery::ALL);
    let over = of_client.iter().find(|socket| socket.state == TcpState::TimeWait).unwrap();
    let timer = over.timer.unwrap();
    assert_eq!((over.owner, timer.kind), (None, SocketTimerKind::TimeWait));
    assert!((58..=60).contains(&timer.expires.as_secs()), "{timer:?}");
    let waiting = SocketQuery { states: 1 << TcpState::TimeWait.number(), ..SocketQuery::ALL };
    assert_eq!(all(lab.stack(client), now, 3, &waiting), core::slice::from_ref(over));
    // A SYN whose sender has gone: the handshake is repeated.
    lab.stack(client).set_link_up(now, LinkId(2), true).unwrap();
    let socket = lab.stack(client).open_tcp().unwrap();
    lab.stack(client).connect(now, socket, addr("10.0.0.2:80")).unwrap();
    lab.run_for(Duration::from_millis(6));
    let now = lab.now();
    lab.stack(client).set_link_up(now, LinkId(2), false).unwrap();
    let begun = SocketQuery { states: 1 << TcpState::SynReceived.number(), ..SocketQuery::ALL };
    let begun = all(lab.stack(server), now, 3, &begun);
    assert_eq!(begun.len(), 1, "{begun:?}");
    assert_eq!(begun[0].timer.unwrap().kind, SocketTimerKind::Retransmit);
}

#[test]
fn datagram_sockets_are_established_once_connected() {
    let (mut stack, _) = stack();
    let udp = stack.open_udp().unwrap();
    stack.bind(udp, addr("10.0.0.1:53")).unwrap();
    let found = all(&stack, Instant::ZERO, 9, &SocketQuery::ALL);
    assert_eq!((found[0].state, found[0].local), (TcpState::Closed, addr("10.0.0.1:53")));
    assert_eq!((found[0].kind, found[0].recv_queue), (SocketKind::Udp, 0));
    stack.connect(Instant::ZERO, udp, addr("10.0.0.1:53")).unwrap();
    stack.send(Instant::ZERO, udp, b"hello").unwrap();
    stack.handle_timeout(Instant::from_millis(1));
    let found = all(&stack, Instant::ZERO, 9, &SocketQuery::ALL);
    assert_eq!((found[0].state, found[0].peer), (TcpState::Established, addr("10.0.0.1:53")));
    assert!(found[0].recv_queue >= 5);
    assert_eq!(found[0].receive_buffer, (found[0].recv_queue, 212_992));
}

#[test]
fn cursors_from_nowhere_end() {
    let (mut stack, _) = stack();
    stack.open_udp().unwrap();
    for bits in [u64::MAX, 1 << 32, 3 << 32 | 5, 9 << 32, u64::from(u32::MAX)] {
        let mut at = Some(SocketCursor::from_bits(bits));
        for _ in 0..10 {
            let Some(cursor) = at else { break };
            at = stack.socket_page(Instant::ZERO, cursor, 1, &SocketQuery::ALL).next;
        }
        assert_eq!(at, None, "{bits:#x}");
        let mut at = Some(RoutePosition::from_bits(bits));
        for _ in 0..10 {
            let Some(position) = at else { break };
            at = stack.route_page(Some(position), 1).next;
        }
        assert_eq!(at, None, "{bits:#x}");
    }
}

#[test]
fn routes_come_in_pages_in_order() {
    let (mut stack, link) = stack();
    let mut rng = crate::rng::Rng::new(7);
    for n in 0..500u32 {
        let len = [0, 1, 5, 7, 8, 12, 13, 16, 19, 24, 25, 30, 31, 32][rng.next_u32() as usize % 14];
        let bits = rng.next_u32() & u32::MAX.checked_shl(32 - len).unwrap_or(0);
        let destination = IpCidr::new(Ipv4Addr::from_bits(bits).into(), len as u8).unwrap();
        // Some have several routes.
        let _ = stack.add_route(Route::direct(destination, link).with_metric(n % 3));
    }
    let every: Vec<Route> = stack.routes().collect();
    assert!(every.len() > 400);
    for limit in [0, 1, 2, 64, 10_000] {
        let (mut found, mut at, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = stack.route_page(at, limit);
            assert!(page.routes.len() <= limit.max(1) + 2);
            found.extend(page.routes);
            at = page.next.map(|next| RoutePosition::from_bits(next.to_bits()));
            pages += 1;
            if at.is_none() {
                break;
            }
            assert!(pages <= every.len());
        }
        let key =
            |route: &Route| (route.table, route.destination.addr(), route.destination.prefix_len());
        assert!(found.iter().map(key).is_sorted(), "limit {limit}");
        assert_eq!(found.len(), every.len());
        let mut sorted = every.clone();
        sorted.sort_by_key(key);
        assert_eq!(found, sorted);
    }
    assert_eq!(stack.route_page(None, 1).routes[0].table, RouteTableId::Local);
}

#[test]
fn neighbours_and_links_are_listed() {
    let (mut stack, link) = stack();
    for n in 2..42 {
        let mac = MacAddr([2, 0, 0, 0, 0, n]);
        stack
            .add_neighbour(Instant::ZERO, link, format!("10.0.0.{n}").parse().unwrap(), mac)
            .unwrap();
    }
    let later = Instant::from_secs(9);
    let (mut found, mut at) = (vec![], Some(0));
    while let Some(from) = at {
        let (page, next) = stack.neighbour_page(later, from, 7);
        assert!(page.len() <= 7);
        found.extend(page);
        at = next;
    }
    assert_eq!(found.len(), 40);
    assert!(found.iter().all(|one| one.updated == Duration::from_secs(9)));
    assert_eq!(stack.neighbour_page(later, usize::MAX, 7), (vec![], None));
    stack.set_promiscuous(link, true).unwrap();
    let links = stack.link_snapshots();
    assert_eq!(links.len(), 2);
    assert_eq!((links[0].name.as_str(), links[0].kind), ("lo", LinkKind::Loopback));
    assert_eq!((links[1].id, links[1].promiscuous, links[1].queue), (link, true, (0, 1000)));
    assert_eq!(links[1].addresses[0].cidr, "10.0.0.1/24".parse().unwrap());
}
