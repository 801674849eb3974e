//! Ping and raw sockets (icmp(7), raw(7), Linux `net/ipv4/{ping,raw}.c`).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tapping_stack::packet::LinkId;
use tapping_stack::route::Route;
use tapping_stack::socket::{ErrorOrigin, SocketKind};
use tapping_stack::stats::DropReason;
use tapping_stack::wire::ipv4_options::{LSRR, RA, RR};
use tapping_stack::wire::{IpCidr, Message, Protocol, RedirectCode, Unreachable};
use tapping_stack::{Config, SocketError, SocketId};

use crate::ipv4_input::Bench;
use crate::lab::*;

const HERE: &str = "10.0.0.1";
const PEER: &str = "10.0.0.9";
const OTHER: &str = "10.0.0.8";

/// A bench that knows a second peer and has a second address.
fn bench() -> Bench {
    let mut bench = Bench::new();
    let (now, host, link, mac) = (bench.lab.now(), bench.host, bench.link, bench.tester.mac);
    bench.lab.know(host, link, ip(OTHER), mac);
    bench.stack().add_address(now, link, "10.0.0.5/24".parse().unwrap()).unwrap();
    bench
}

fn received(bench: &mut Bench, socket: SocketId) -> Vec<Vec<u8>> {
    bench.lab.received(bench.host, socket)
}

fn send(bench: &mut Bench, socket: SocketId, dst: &str, data: &[u8]) -> Result<(), SocketError> {
    bench.lab.send(bench.host, socket, ip(dst), data)
}

fn reply(src: &str, dst: &str, ident: u16) -> Vec<u8> {
    Ip::icmp(ip(src), ip(dst), echo_reply(ident, 1, b"data")).build()
}

mod ping {
    use super::*;

    /// The identifier decides who gets a reply.
    #[test]
    fn replies_go_to_the_socket_with_their_identifier() {
        let mut bench = bench();
        let first = bench.stack().open_ping(Some(7)).unwrap();
        let second = bench.stack().open_ping(Some(8)).unwrap();
        assert_eq!(bench.give(&reply(PEER, HERE, 7)), []);
        assert_eq!(bench.give(&reply(PEER, HERE, 8)), []);
        assert_eq!(bench.give(&reply(PEER, HERE, 9)), [DropReason::NoSocket]);
        assert_eq!(received(&mut bench, first), [echo_reply(7, 1, b"data")]);
        assert_eq!(received(&mut bench, second), [echo_reply(8, 1, b"data")]);
    }

    /// What is received keeps its IPv4 header and its time of arrival.
    #[test]
    fn header_and_time_are_there() {
        let mut bench = bench();
        let socket = bench.stack().open_ping(Some(7)).unwrap();
        let packet = reply(PEER, HERE, 7);
        assert!(!bench.stack().is_readable(socket));
        bench.give(&packet);
        assert!(bench.stack().is_readable(socket));
        let (now, link) = (bench.lab.now(), bench.link);
        let got = bench.stack().recv(socket).unwrap();
        assert_eq!(got.network(), packet);
        assert_eq!(got.bytes(), &packet[20..]);
        assert_eq!((got.meta.timestamp, got.meta.link_in), (now, Some(link)));
        bench.stack().recycle(got);
        assert!(!bench.stack().is_readable(socket));
    }

    /// An identifier is chosen when none is given, or 0 (bind(2) to port 0); never 0, never twice.
    #[test]
    fn identifiers_are_chosen_and_not_shared() {
        let mut bench = bench();
        let taken = bench.stack().open_ping(Some(7)).unwrap();
        assert_eq!(bench.stack().open_ping(Some(7)), Err(SocketError::AddressInUse));
        let mut idents = vec![7];
        for wanted in [None, Some(0), None, Some(0)] {
            let socket = bench.stack().open_ping(wanted).unwrap();
            let SocketKind::Ping { ident } = bench.stack().socket_kind(socket).unwrap() else {
                panic!("a ping socket")
            };
            assert!(ident != 0 && !idents.contains(&ident));
            idents.push(ident);
            send(&mut bench, socket, PEER, &echo(999, 3, b"")).unwrap();
            let packet = bench.lab.heard_one_ip(bench.tester);
            // Filled in, with the checksum (the laboratory checks it).
            assert_eq!((icmp_in(&packet).ident(), icmp_in(&packet).sequence()), (ident, 3));
        }
        bench.lab.close(bench.host, taken).unwrap();
        bench.stack().open_ping(Some(7)).unwrap();
    }

    #[test]
    fn every_identifier_can_be_used() {
        let mut config = Config::default();
        config.core.max_sockets = 70_000;
        let (mut lab, host, _, _) = Lab::with_tester_and("10.0.0.1/24", config);
        for _ in 1..=u16::MAX {
            lab.stack(host).open_ping(None).unwrap();
        }
        assert_eq!(lab.stack(host).open_ping(None), Err(SocketError::AddressInUse));
    }

    #[test]
    fn the_number_of_sockets_is_bounded() {
        let mut config = Config::default();
        config.core.max_sockets = 3;
        let (mut lab, host, _, _) = Lab::with_tester_and("10.0.0.1/24", config);
        let first = lab.stack(host).open_ping(None).unwrap();
        for _ in 0..2 {
            lab.stack(host).open_raw(Protocol::UDP).unwrap();
        }
        assert_eq!(lab.stack(host).open_ping(None), Err(SocketError::TooManySockets));
        assert_eq!(lab.stack(host).open_raw(Protocol::UDP), Err(SocketError::TooManySockets));
        lab.close(host, first).unwrap();
        lab.stack(host).open_ping(None).unwrap();
    }

    /// Linux `ping_supported`: echo requests with code 0, and whole headers.
    #[test]
    fn only_echo_requests_can_be_sent() {
        let mut bench = bench();
        let socket = bench.stack().open_ping(None).unwrap();
        let mut bad_code = echo(1, 1, b"");
        bad_code[1] = 1;
        let timestamp = [13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for message in [
            &[][..],
            &[8; 7],
            &[8, 0, 0, 0, 0, 0, 0],
            &bad_code,
            &echo_reply(1, 1, b""),
            &timestamp,
        ] {
            let sent = send(&mut bench, socket, PEER, message);
            assert_eq!(sent, Err(SocketError::InvalidArgument), "{message:?}");
        }
        assert!(bench.lab.heard(bench.tester).is_empty());
        assert_eq!(bench.snapshot().icmp.out_msgs, 0);
    }

    /// bind(2): the source of what is sent, the destination of what is received.
    #[test]
    fn a_bound_socket_uses_its_address_only() {
        let mut bench = bench();
        let socket = bench.stack().open_ping(Some(7)).unwrap();
        bench.stack().bind(socket, (ip("10.0.0.5"), 0).into()).unwrap();
        send(&mut bench, socket, PEER, &echo(0, 1, b"")).unwrap();
        let packet = bench.lab.heard_one_ip(bench.tester);
        assert_eq!(ipv4(&packet).src(), ip("10.0.0.5"));
        assert_eq!(bench.give(&reply(PEER, HERE, 7)), [DropReason::NoSocket]);
        assert_eq!(bench.give(&reply(PEER, "10.0.0.5", 7)), []);
        assert_eq!(received(&mut bench, socket).len(), 1);
        bench.stack().bind(socket, (Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        assert_eq!(bench.give(&reply(PEER, HERE, 7)), []);
    }

    /// Linux `ip_route_output_key_hash`, RFC 1122 §3.3.4.3: EINVAL once the address is not ours.
    #[test]
    fn a_source_that_is_no_longer_ours_is_not_used() {
        for connected in [false, true] {
            let mut bench = bench();
            let socket = bench.stack().open_ping(Some(7)).unwrap();
            let gone: Ipv4Addr = if connected { ip(HERE) } else { ip("10.0.0.5") };
            match connected {
                true => bench.lab.connect(bench.host, socket, (ip(PEER), 0).into()).unwrap(),
                false => bench.stack().bind(socket, (gone, 0).into()).unwrap(),
            }
            let (now, link) = (bench.lab.now(), bench.link);
            bench.stack().remove_address(now, link, gone.into()).unwrap();
            bench.stack().add_address(now, link, "10.0.0.6/24".parse().unwrap()).unwrap();
            let sent = send(&mut bench, socket, PEER, &echo(0, 1, b""));
            assert_eq!(sent, Err(SocketError::InvalidArgument), "connected: {connected}");
            assert!(bench.lab.heard(bench.tester).is_empty());
            assert_eq!(bench.snapshot().dropped(DropReason::MartianSource), 1);
            bench.stack().add_address(now, link, IpCidr::new(gone.into(), 24).unwrap()).unwrap();
            send(&mut bench, socket, PEER, &echo(0, 1, b"")).unwrap();
            assert_eq!(ipv4(&bench.lab.heard_one_ip(bench.tester)).src(), gone);
        }
    }

    /// Linux `ping_check_bind_addr`: an own unicast address, or none.
    #[test]
    fn what_a_ping_socket_cannot_bind_to() {
        let mut bench = bench();
        let socket = bench.stack().open_ping(None).unwrap();
        for addr in [PEER, "192.0.2.1", "224.0.0.1", "255.255.255.255", "10.0.0.255"] {
            let bound = bench.stack().bind(socket, (ip(addr), 0).into());
            assert_eq!(bound, Err(SocketError::AddressNotAvailable), "{addr}");
        }
        for addr in [HERE, "127.0.0.1", "127.1.2.3"] {
            assert_eq!(bench.stack().bind(socket, (ip(addr), 0).into()), Ok(()), "{addr}");
        }
        let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        assert_eq!(
            bench.stack().bind(socket, (v6, 0).into()),
            Err(SocketError::AddressFamilyNotSupported)
        );
    }

    /// connect(2): only the peer is heard, and the source address is settled (Linux
    /// `__ip4_datagram_connect`).
    #[test]
    fn a_connected_socket_hears_its_peer_only() {
        let mut bench = bench();
        let socket = bench.stack().open_ping(Some(7)).unwrap();
        bench.lab.connect(bench.host, socket, (ip(PEER), 0).into()).unwrap();
        assert_eq!(bench.give(&reply(OTHER, HERE, 7)), [DropReason::NoSocket]);
        assert_eq!(bench.give(&reply(PEER, "10.0.0.5", 7)), [DropReason::NoSocket]);
        assert_eq!(bench.give(&reply(PEER, HERE, 7)), []);
        bench.lab.connect(bench.host, socket, (Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        assert_eq!(bench.give(&reply(OTHER, "10.0.0.5", 7)), []);
        assert_eq!(received(&mut bench, socket).len(), 2);
        // What was bound stays bound.
        bench.stack().bind(socket, (ip("10.0.0.5"), 0).into()).unwrap();
        bench.lab.connect(bench.host, socket, (ip(PEER), 0).into()).unwrap();
        bench.lab.connect(bench.host, socket, (Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        assert_eq!(bench.give(&reply(OTHER, HERE, 7)), [DropReason::NoSocket]);
    }

    /// connect(2): there must be a way, and leave to broadcast.
    #[test]
    fn where_a_socket_cannot_connect_to() {
        let mut bench = bench();
        let socket = bench.stack().open_ping(Some(7)).unwrap();
        let connected = bench.lab.connect(bench.host, socket, (ip("192.0.2.1"), 0).into());
        assert_eq!(connected, Err(SocketError::NetworkUnreachable));
        let connected = bench.lab.connect(bench.host, socket, (ip("10.0.0.255"), 0).into());
        assert_eq!(connected, Err(SocketError::PermissionDenied));
        assert_eq!(bench.give(&reply(PEER, HERE, 7)), [], "not connected");
        bench.stack().socket_options(socket).unwrap().broadcast = true;
        bench.lab.connect(bench.host, socket, (ip("10.0.0.255"), 0).into()).unwrap();
    }

    /// socket(7), SO_BINDTODEVICE.
    #[test]
    fn a_socket_bound_to_a_link_hears_that_link_only() {
        let mut bench = bench();
        let wire = bench.lab.segment();
        let second = bench.lab.attach(bench.host, wire, "10.0.1.1/24");
        let socket = bench.stack().open_ping(Some(7)).unwrap();
        bench.stack().socket_options(socket).unwrap().bind_link = Some(second);
        assert_eq!(bench.give(&reply(PEER, HERE, 7)), [DropReason::NoSocket]);
        let link = bench.link;
        bench.stack().socket_options(socket).unwrap().bind_link = Some(link);
        assert_eq!(bench.give(&reply(PEER, HERE, 7)), []);
    }

    /// SO_RCVBUF bounds what waits; the rest is dropped and counted.
    #[test]
    fn the_receive_queue_is_bounded() {
        let mut bench = bench();
        let socket = bench.stack().open_ping(Some(7)).unwrap();
        bench.stack().socket_options(socket).unwrap().receive_buffer = 1000;
        let packet = reply(PEER, HERE, 7);
        let mut queued = 0;
        while bench.give(&packet).is_empty() {
            queued += 1;
            assert!(queued < 100);
        }
        assert!(queued > 1);
        assert_eq!(bench.snapshot().dropped(DropReason::SocketQueueFull), 1);
        // Room again.
        let got = bench.stack().recv(socket).unwrap();
        bench.stack().recycle(got);
        assert_eq!(bench.give(&packet), []);
        assert_eq!(received(&mut bench, socket).len(), queued);
    }

    /// Linux `ping_err`, IP_RECVERR: errors about what the socket sent, with the packet in error.
    #[test]
    fn errors_reach_the_socket_that_caused_them() {
        let mut bench = bench();
        let mine = bench.stack().open_ping(Some(7)).unwrap();
        let other = bench.stack().open_ping(Some(8)).unwrap();
        for socket in [mine, other] {
            bench.stack().socket_options(socket).unwrap().receive_errors = true;
        }
        send(&mut bench, mine, PEER, &echo(0, 5, b"question")).unwrap();
        let sent = bench.lab.heard_one_ip(bench.tester);
        let unreachable = |code| Message::DestinationUnreachable(code);
        let gateway = ip("10.0.0.3");
        let cases = [
            (unreachable(Unreachable::Net), SocketError::NetworkUnreachable, 0),
            (unreachable(Unreachable::Host), SocketError::HostUnreachable, 0),
            (unreachable(Unreachable::Protocol), SocketError::ProtocolUnavailable, 0),
            (unreachable(Unreachable::Port), SocketError::ConnectionRefused, 0),
            (
                unreachable(Unreachable::FragmentationNeeded { mtu: 900 }),
                SocketError::MessageTooLong,
                900,
            ),
            (Message::ParameterProblem { code: 0, pointer: 21 }, SocketError::ProtocolError, 21),
            (Message::SourceQuench, SocketError::RemoteIo, 0),
            (
                Message::Redirect { code: RedirectCode::Host, gateway },
                SocketError::RemoteIo,
                u32::from(gateway),
            ),
        ];
        for (message, error, info) in cases {
            bench.give(&Ip::icmp(ip(OTHER), ip(HERE), icmp(message, &sent)).build());
            let report = bench.stack().recv_error(mine).expect("a report");
            assert_eq!((report.error, report.origin), (error, ErrorOrigin::Icmp), "{message:?}");
            assert_eq!((report.icmp_type, report.code), (message.icmp_type(), message.code()));
            assert_eq!(report.info, info, "{message:?}");
            assert_eq!(report.offender, Some(ip(OTHER).into()));
            assert_eq!(report.destination, IpAddr::V4(ip(PEER)));
            assert_eq!(report.packet.bytes(), &sent[20..]);
            assert_eq!(report.packet.network(), sent);
            bench.stack().recycle(report.packet);
            assert!(bench.stack().recv_error(mine).is_none());
            assert!(bench.stack().recv_error(other).is_none());
        }
        bench.stack().socket_options(mine).unwrap().receive_errors = false;
        bench.give(&Ip::icmp(ip(OTHER), ip(HERE), icmp(cases[0].0, &sent)).build());
        assert!(bench.stack().recv_error(mine).is_none());
    }

    /// A queue of errors that nobody reads does not grow without end.
    #[test]
    fn the_error_queue_is_bounded() {
        let mut bench = bench();
        let socket = bench.stack().open_ping(Some(7)).unwrap();
        bench.stack().socket_options(socket).unwrap().receive_errors = true;
        let sent = Ip::icmp(ip(HERE), ip(PEER), echo(7, 1, b"")).build();
        let message = Message::DestinationUnreachable(Unreachable::Host);
        let error = Ip::icmp(ip(OTHER), ip(HERE), icmp(message, &sent)).build();
        for _ in 0..200 {
            bench.give(&error);
        }
        let mut reports = 0;
        while let Some(report) = bench.stack().recv_error(socket) {
            bench.stack().recycle(report.packet);
            reports += 1;
        }
        assert_eq!(reports, 64);
        assert_eq!(bench.snapshot().dropped(DropReason::SocketQueueFull), 136);
    }
}

mod raw {
    use super::*;

    fn datagram(protocol: u8) -> Vec<u8> {
        Ip::new(ip(PEER), ip(HERE), Protocol(protocol), vec![protocol; 12]).build()
    }

    /// raw(7): every socket of the protocol gets a copy of the whole packet.
    #[test]
    fn every_socket_of_the_protocol_gets_a_copy() {
        let mut bench = bench();
        let sockets = [200, 200, 201].map(|n| bench.stack().open_raw(Protocol(n)).unwrap());
        assert_eq!(bench.give(&datagram(200)), []);
        assert_eq!(received(&mut bench, sockets[0]), [datagram(200)]);
        assert_eq!(received(&mut bench, sockets[1]), [datagram(200)]);
        assert!(received(&mut bench, sockets[2]).is_empty());
        assert_eq!(bench.snapshot().ip.in_delivers, 1);
        assert!(bench.lab.heard(bench.tester).is_empty());
        assert_eq!(bench.give(&datagram(202)), [DropReason::UnknownProtocol]);
    }

    /// A raw ICMP socket watches; the host answers all the same.
    #[test]
    fn the_host_answers_beside_raw_sockets() {
        let mut bench = bench();
        let socket = bench.stack().open_raw(Protocol::ICMP).unwrap();
        let request = Ip::icmp(ip(PEER), ip(HERE), echo(1, 1, b"")).build();
        bench.answers(&request);
        assert_eq!(received(&mut bench, socket), [request]);
    }

    /// raw(7): the addresses, the peer and the link of the socket must fit.
    #[test]
    fn addresses_must_fit() {
        let mut bench = bench();
        let bound = bench.stack().open_raw(Protocol(200)).unwrap();
        bench.stack().bind(bound, (ip("10.0.0.5"), 0).into()).unwrap();
        let connected = bench.stack().open_raw(Protocol(200)).unwrap();
        bench.lab.connect(bench.host, connected, (ip(OTHER), 0).into()).unwrap();
        let elsewhere = bench.stack().open_raw(Protocol(200)).unwrap();
        bench.stack().socket_options(elsewhere).unwrap().bind_link = Some(LinkId::LOOPBACK);
        // RFC 1122 §3.2.2.1: then nobody wants the protocol.
        assert_eq!(bench.give(&datagram(200)), [DropReason::UnknownProtocol]);
        let fits = Ip::new(ip(OTHER), ip(HERE), Protocol(200), vec![1]).build();
        bench.give(&fits);
        assert_eq!(received(&mut bench, connected), [fits]);
        assert!(received(&mut bench, bound).is_empty());
        assert!(received(&mut bench, elsewhere).is_empty());
    }

    /// Linux `raw_bind`: to a group or broadcast address, too; what is sent comes from elsewhere.
    #[test]
    fn bound_to_what_is_many() {
        for addr in ["224.0.0.1", "255.255.255.255", "10.0.0.255"] {
            let mut bench = bench();
            let socket = bench.stack().open_raw(Protocol(200)).unwrap();
            bench.stack().bind(socket, (ip(addr), 0).into()).unwrap();
            let packet = Ip::new(ip(PEER), ip(addr), Protocol(200), vec![1]).build();
            assert_eq!(bench.give(&packet), []);
            assert_eq!(received(&mut bench, socket), [packet]);
            assert_eq!(bench.give(&datagram(200)), [DropReason::UnknownProtocol]);
            bench.lab.heard(bench.tester);
            send(&mut bench, socket, PEER, b"hello").unwrap();
            assert_eq!(ipv4(&bench.lab.heard_one_ip(bench.tester)).src(), ip(HERE), "{addr}");
        }
        let mut bench = bench();
        let socket = bench.stack().open_raw(Protocol(200)).unwrap();
        let bound = bench.stack().bind(socket, (ip(PEER), 0).into());
        assert_eq!(bound, Err(SocketError::AddressNotAvailable));
    }

    /// raw(7), ICMP_FILTER: a bit for each type to keep away, up to 31; no whole header, no copy.
    #[test]
    fn icmp_types_can_be_filtered() {
        let mut bench = bench();
        let socket = bench.stack().open_raw(Protocol::ICMP).unwrap();
        bench.stack().socket_options(socket).unwrap().icmp_filter = !(1 << 0);
        bench.give(&Ip::icmp(ip(PEER), ip(HERE), echo(1, 1, b"")).build());
        let mut timestamp = vec![13, 0, 0, 0, 0, 1, 0, 1];
        tapping_stack::wire::icmpv4::fill_checksum(&mut timestamp);
        bench.give(&Ip::icmp(ip(PEER), ip(HERE), timestamp).build());
        bench.give(&Ip::icmp(ip(PEER), ip(HERE), vec![0; 7]).build());
        assert!(received(&mut bench, socket).is_empty());
        let reply = Ip::icmp(ip(PEER), ip(HERE), echo_reply(1, 1, b"")).build();
        bench.give(&reply);
        let mut unknown = vec![42, 0, 0, 0, 0, 1, 0, 1];
        tapping_stack::wire::icmpv4::fill_checksum(&mut unknown);
        let unknown = Ip::icmp(ip(PEER), ip(HERE), unknown).build();
        bench.give(&unknown);
        assert_eq!(received(&mut bench, socket), [reply, unknown]);
    }

    /// Raw sockets see messages before their checksum is looked at (Linux `ip_protocol_deliver_rcu`).
    #[test]
    fn damaged_messages_are_seen_too() {
        let mut bench = bench();
        let socket = bench.stack().open_raw(Protocol::ICMP).unwrap();
        let mut message = echo(1, 1, b"");
        message[2] ^= 1;
        let packet = Ip::icmp(ip(PEER), ip(HERE), message).build();
        assert_eq!(bench.give(&packet), [DropReason::IcmpChecksum]);
        assert_eq!(received(&mut bench, socket), [packet]);
    }

    /// Fragments are put together first.
    #[test]
    fn whole_datagrams_only() {
        let mut bench = bench();
        let socket = bench.stack().open_raw(Protocol(200)).unwrap();
        for (at, more) in [(8, false), (0, true)] {
            let piece = Ip::new(ip(PEER), ip(HERE), Protocol(200), vec![at as u8; 8]);
            bench.give(&piece.fragment(at, more).build());
        }
        let got = received(&mut bench, socket);
        assert_eq!(got.len(), 1);
        assert_eq!(ipv4(&got[0]).payload(), [[0; 8], [8; 8]].concat());
    }

    /// Each socket's queue is bounded by itself.
    #[test]
    fn a_full_queue_is_one_sockets_own_matter() {
        let mut bench = bench();
        let narrow = bench.stack().open_raw(Protocol(200)).unwrap();
        let wide = bench.stack().open_raw(Protocol(200)).unwrap();
        bench.stack().socket_options(narrow).unwrap().receive_buffer = 1;
        assert_eq!(bench.give(&datagram(200)), []);
        assert_eq!(bench.give(&datagram(200)), [DropReason::SocketQueueFull]);
        assert_eq!(received(&mut bench, narrow).len(), 1);
        assert_eq!(received(&mut bench, wide).len(), 2);
    }

    /// ICMP sent by hand counts as ICMP sent (Linux `icmp_out_count`).
    #[test]
    fn icmp_messages_are_counted() {
        let mut bench = bench();
        let socket = bench.stack().open_raw(Protocol::ICMP).unwrap();
        send(&mut bench, socket, PEER, &echo(5, 1, b"")).unwrap();
        let icmp = bench.snapshot().icmp;
        assert_eq!((icmp.out_msgs, icmp.out_echos), (1, 1));
    }

    /// Linux `raw_err`, IP_RECVERR: raw sockets hear of errors about their protocol, not of
    /// redirects.
    #[test]
    fn errors_about_the_protocol() {
        let mut bench = bench();
        let socket = bench.stack().open_raw(Protocol(200)).unwrap();
        bench.stack().socket_options(socket).unwrap().receive_errors = true;
        send(&mut bench, socket, PEER, b"somebody there?").unwrap();
        let sent = bench.lab.heard_one_ip(bench.tester);
        let redirect = Message::Redirect { code: RedirectCode::Host, gateway: ip("10.0.0.3") };
        bench.give(&Ip::icmp(ip(OTHER), ip(HERE), icmp(redirect, &sent)).build());
        assert!(bench.stack().recv_error(socket).is_none());
        let refused = Message::DestinationUnreachable(Unreachable::Protocol);
        bench.give(&Ip::icmp(ip(PEER), ip(HERE), icmp(refused, &sent)).build());
        let report = bench.stack().recv_error(socket).expect("a report");
        assert_eq!(report.error, SocketError::ProtocolUnavailable);
        assert_eq!(report.packet.bytes(), b"somebody there?");
        // Not about another protocol, nor about a destination that it is not connected to.
        let foreign = Ip::new(ip(HERE), ip(PEER), Protocol(201), vec![0; 8]).build();
        bench.give(&Ip::icmp(ip(PEER), ip(HERE), icmp(refused, &foreign)).build());
        bench.lab.connect(bench.host, socket, (ip(OTHER), 0).into()).unwrap();
        bench.give(&Ip::icmp(ip(PEER), ip(HERE), icmp(refused, &sent)).build());
        assert!(bench.stack().recv_error(socket).is_none());
    }
}

mod header_included {
    use super::*;

    fn opened() -> (Bench, SocketId) {
        let mut bench = bench();
        let socket = bench.stack().open_raw(Protocol(200)).unwrap();
        bench.stack().socket_options(socket).unwrap().header_included = true;
        (bench, socket)
    }

    fn written() -> Ip {
        Ip::new(ip("10.0.0.5"), ip(PEER), Protocol(200), vec![3; 20]).ttl(9).tos(4).id(0x77)
    }

    /// raw(7): total length and checksum are always filled in, source and identification when
    /// zero; the rest stays.
    #[test]
    fn what_is_filled_in() {
        let (mut bench, socket) = opened();
        let packet = written().build();
        let mut scribbled = packet.clone();
        scribbled[2..4].fill(0xee);
        scribbled[10..12].fill(0xdd);
        send(&mut bench, socket, PEER, &scribbled).unwrap();
        assert_eq!(bench.lab.heard_one_ip(bench.tester), packet);

        let mut blank = written().build();
        blank[4..6].fill(0);
        blank[12..16].fill(0);
        send(&mut bench, socket, PEER, &blank).unwrap();
        let packet = bench.lab.heard_one_ip(bench.tester);
        assert_eq!(ipv4(&packet).src(), ip(HERE));
        assert_ne!(ipv4(&packet).id(), 0);
        assert_eq!((ipv4(&packet).ttl(), ipv4(&packet).tos()), (9, 4));

        // Linux __ip_select_ident: with DF none is needed.
        let mut atomic = written().df().build();
        atomic[4..6].fill(0);
        send(&mut bench, socket, PEER, &atomic).unwrap();
        assert_eq!(ipv4(&bench.lab.heard_one_ip(bench.tester)).id(), 0);
    }

    /// raw(7): any source, and a destination in the header other than the one sent to, which
    /// says where the packet goes.
    #[test]
    fn the_header_may_say_what_it_likes() {
        let (mut bench, socket) = opened();
        let packet = Ip::new(ip("203.0.113.1"), ip("198.51.100.1"), Protocol(77), vec![1]).build();
        send(&mut bench, socket, PEER, &packet).unwrap();
        assert_eq!(bench.lab.heard_one_ip(bench.tester), packet);
    }

    /// Linux `raw_send_hdrinc`: EMSGSIZE beyond the link's MTU, EINVAL for what is no header.
    #[test]
    fn what_is_refused() {
        let (mut bench, socket) = opened();
        bench.stack().socket_options(socket).unwrap().receive_errors = true;
        let long = Ip::new(ip(HERE), ip(PEER), Protocol(200), vec![3; 1481]).build();
        let sent = send(&mut bench, socket, PEER, &long);
        assert_eq!(sent, Err(SocketError::MessageTooLong));
        let report = bench.stack().recv_error(socket).expect("a local error");
        assert_eq!((report.origin, report.info), (ErrorOrigin::Local, 1500));
        send(&mut bench, socket, PEER, &long[..1500]).unwrap();
        assert_eq!(bench.lab.heard_one_ip(bench.tester).len(), 1500);

        let whole = written().build();
        let mut long_header = whole.clone();
        long_header[0] = 0x4f;
        for bytes in [&[][..], &whole[..19], &long_header] {
            let sent = send(&mut bench, socket, PEER, bytes);
            assert_eq!(sent, Err(SocketError::InvalidArgument), "{} bytes", bytes.len());
        }
        // Linux raw_sendmsg: options are in the header or nowhere.
        bench.stack().socket_options(socket).unwrap().ip_options = vec![RA, 4, 0, 0];
        let sent = send(&mut bench, socket, PEER, &whole);
        assert_eq!(sent, Err(SocketError::InvalidArgument));
        assert!(bench.lab.heard(bench.tester).is_empty());
        assert_eq!(bench.snapshot().dropped(DropReason::Blackhole), 0);
    }

    /// raw(7): a socket of IPPROTO_RAW always writes its own headers.
    #[test]
    fn protocol_255_implies_it() {
        let mut bench = bench();
        let socket = bench.stack().open_raw(Protocol::RAW).unwrap();
        assert!(bench.stack().socket_options(socket).unwrap().header_included);
        send(&mut bench, socket, PEER, &written().build()).unwrap();
        assert_eq!(bench.lab.heard_one_ip(bench.tester), written().build());
    }

    /// Broadcasts need leave here, too.
    #[test]
    fn broadcast_needs_permission() {
        let (mut bench, socket) = opened();
        let packet = Ip::new(ip(HERE), ip("10.0.0.255"), Protocol(200), vec![1]).build();
        let sent = send(&mut bench, socket, "10.0.0.255", &packet);
        assert_eq!(sent, Err(SocketError::PermissionDenied));
        assert_eq!(bench.snapshot().dropped(DropReason::BroadcastRefused), 1);
    }

    /// To ourselves, over the loopback.
    #[test]
    fn to_this_host_itself() {
        let (mut bench, socket) = opened();
        let packet = Ip::new(ip(PEER), ip(HERE), Protocol(200), vec![1; 30]).build();
        send(&mut bench, socket, HERE, &packet).unwrap();
        assert_eq!(received(&mut bench, socket), [packet]);
    }
}

mod options {
    use super::*;

    /// RFC 1122 §3.2.1.7, and EINVAL for IP_TTL 0 in Linux.
    #[test]
    fn ttl_0_is_refused() {
        let mut bench = bench();
        let ping = bench.stack().open_ping(Some(7)).unwrap();
        let raw = bench.stack().open_raw(Protocol(200)).unwrap();
        for socket in [ping, raw] {
            bench.stack().socket_options(socket).unwrap().ttl = Some(0);
            let sent = send(&mut bench, socket, PEER, &echo(7, 1, b""));
            assert_eq!(sent, Err(SocketError::InvalidArgument));
            assert!(bench.lab.heard(bench.tester).is_empty());
            bench.stack().socket_options(socket).unwrap().ttl = Some(1);
            send(&mut bench, socket, PEER, &echo(7, 1, b"")).unwrap();
            assert_eq!(ipv4(&bench.lab.heard_one_ip(bench.tester)).ttl(), 1);
        }
    }

    #[test]
    fn type_of_service_and_time_to_live() {
        let mut bench = bench();
        for socket in [
            bench.stack().open_ping(None).unwrap(),
            bench.stack().open_raw(Protocol::ICMP).unwrap(),
        ] {
            let options = bench.stack().socket_options(socket).unwrap();
            (options.tos, options.ttl) = (0x2e << 2, Some(200));
            send(&mut bench, socket, PEER, &echo(1, 1, b"")).unwrap();
            let packet = bench.lab.heard_one_ip(bench.tester);
            assert_eq!((ipv4(&packet).tos(), ipv4(&packet).ttl()), (0xb8, 200));
        }
    }

    /// SO_BINDTODEVICE: the packet leaves by that link, whatever the routes say.
    #[test]
    fn bound_to_a_link_it_leaves_by_that_link() {
        let mut bench = bench();
        let wire = bench.lab.segment();
        let second = bench.lab.attach(bench.host, wire, "10.0.1.1/24");
        let tester = bench.lab.tester(wire);
        bench.lab.know(bench.host, second, ip(PEER), tester.mac);
        let socket = bench.stack().open_ping(None).unwrap();
        bench.stack().socket_options(socket).unwrap().bind_link = Some(second);
        send(&mut bench, socket, PEER, &echo(1, 1, b"")).unwrap();
        assert!(bench.lab.heard(bench.tester).is_empty());
        assert_eq!(ipv4(&bench.lab.heard_one_ip(tester)).src(), ip("10.0.1.1"));
        // A route over another link does not count, one over this does.
        let default = Route::via("0.0.0.0/0".parse().unwrap(), ip("10.0.1.9").into());
        bench.stack().add_route(default).unwrap();
        bench.lab.know(bench.host, second, ip("10.0.1.9"), tester.mac);
        send(&mut bench, socket, "192.0.2.1", &echo(1, 1, b"")).unwrap();
        assert_eq!(bench.lab.heard_ip(tester).len(), 1);
    }

    /// ip(7), IP_OPTIONS: at most 40 bytes, well-formed; source routes are not supported.
    #[test]
    fn ip_options_are_checked() {
        let mut bench = bench();
        let socket = bench.stack().open_raw(Protocol(200)).unwrap();
        let cases: [(Vec<u8>, Result<(), SocketError>); 8] = [
            (vec![RA, 4, 0, 0], Ok(())),
            (vec![1; 40], Ok(())),
            (vec![1; 41], Err(SocketError::InvalidArgument)),
            (vec![RR, 2], Err(SocketError::InvalidArgument)),
            (vec![RR, 200, 4], Err(SocketError::InvalidArgument)),
            (vec![RR, 3, 4, RR, 3, 4], Err(SocketError::InvalidArgument)),
            (vec![68, 8, 9, 0xf0, 0, 0, 0, 0], Err(SocketError::InvalidArgument)),
            (vec![LSRR, 7, 4, 10, 0, 0, 8], Err(SocketError::NotSupported)),
        ];
        for (ip_options, expected) in cases {
            bench.stack().socket_options(socket).unwrap().ip_options = ip_options.clone();
            let sent = send(&mut bench, socket, PEER, &[7; 9]);
            assert_eq!(sent, expected, "{ip_options:?}");
            let packets = bench.lab.heard_ip(bench.tester);
            assert_eq!(packets.len(), usize::from(expected.is_ok()));
            if let [packet] = &packets[..] {
                assert_eq!(ipv4(packet).options(), ip_options);
                assert_eq!(ipv4(packet).payload(), [7; 9]);
            }
        }
    }

    /// A full timestamp option, even at the limit of its count, leaves as it is.
    #[test]
    fn a_full_option_is_sent_as_it_is() {
        let mut bench = bench();
        let socket = bench.stack().open_raw(Protocol(200)).unwrap();
        let full = vec![68, 8, 9, 0xe0, 1, 2, 3, 4];
        bench.stack().socket_options(socket).unwrap().ip_options = full.clone();
        send(&mut bench, socket, PEER, &[7; 9]).unwrap();
        assert_eq!(ipv4(&bench.lab.heard_one_ip(bench.tester)).options(), full);
    }
}

mod life {
    use super::*;

    /// EBADF for a closed socket, and for its successor's place under the old name.
    #[test]
    fn closed_sockets_are_no_sockets() {
        let mut bench = bench();
        let old = bench.stack().open_ping(Some(7)).unwrap();
        bench.give(&reply(PEER, HERE, 7));
        bench.lab.close(bench.host, old).unwrap();
        let raw = bench.stack().open_raw(Protocol(200)).unwrap();
        assert_ne!(raw, old);
        let stale = Err(SocketError::BadSocket);
        assert_eq!(SocketError::BadSocket.errno(), 9);
        assert_eq!(bench.lab.close(bench.host, old), stale);
        assert_eq!(bench.stack().bind(old, (ip(HERE), 0).into()), stale);
        assert_eq!(bench.lab.connect(bench.host, old, (ip(PEER), 0).into()), stale);
        assert_eq!(send(&mut bench, old, PEER, &echo(7, 1, b"")), stale);
        assert!(bench.stack().socket_options(old).is_err());
        assert!(bench.stack().socket_kind(old).is_err());
        assert!(bench.stack().recv(old).is_none());
        assert!(bench.stack().recv_error(old).is_none());
        assert!(!bench.stack().is_readable(old));
        assert_eq!(bench.give(&reply(PEER, HERE, 7)), [DropReason::NoSocket]);
        bench.lab.close(bench.host, raw).unwrap();
        let unknown = Ip::new(ip(PEER), ip(HERE), Protocol(200), vec![1; 9]).build();
        assert_eq!(bench.give(&unknown), [DropReason::UnknownProtocol]);
    }

    /// What waited in a closed socket goes back to the pool.
    #[test]
    fn closing_returns_the_buffers() {
        let mut bench = bench();
        let socket = bench.stack().open_raw(Protocol(200)).unwrap();
        let packet = Ip::new(ip(PEER), ip(HERE), Protocol(200), vec![1; 9]).build();
        for _ in 0..10 {
            bench.give(&packet);
        }
        let before = bench.stack().pool().free().0;
        bench.lab.close(bench.host, socket).unwrap();
        assert_eq!(bench.stack().pool().free().0, before + 10);
    }

    #[test]
    fn ipv6_is_not_spoken() {
        let mut bench = bench();
        let socket = bench.stack().open_ping(None).unwrap();
        let (now, v6) = (bench.lab.now(), IpAddr::V6(Ipv6Addr::LOCALHOST));
        let sent = bench.stack().send_to(now, socket, (v6, 0).into(), &echo(1, 1, b""));
        assert_eq!(sent, Err(SocketError::AddressFamilyNotSupported));
        assert_eq!(sent.unwrap_err().errno(), 97);
    }
}
