//! Errors that are received: whom they reach and what they mean (RFC 1122 §3.2.2.1 and §4.1.3.3,
//! Linux `icmp_unreach`, `ping_err`, `raw_err`).

use tapping_stack::PmtuDiscovery;
use tapping_stack::socket::{ErrorOrigin, SocketErrorReport, SocketId};
use tapping_stack::wire::RedirectCode;

use super::*;

const HOST: Message = Message::DestinationUnreachable(Unreachable::Host);

/// A bench with sockets that want to hear of errors.
struct Sockets {
    bench: Bench,
}

impl Sockets {
    fn new() -> Self {
        Sockets { bench: Bench::new() }
    }

    fn stack(&mut self) -> &mut tapping_stack::Stack {
        self.bench.lab.stack(self.bench.host)
    }

    fn ping(&mut self, ident: u16) -> SocketId {
        let socket = self.stack().open_ping(Some(ident)).unwrap();
        self.stack().socket_options(socket).unwrap().receive_errors = true;
        socket
    }

    fn raw(&mut self, protocol: Protocol) -> SocketId {
        let socket = self.stack().open_raw(protocol).unwrap();
        self.stack().socket_options(socket).unwrap().receive_errors = true;
        socket
    }

    /// A gateway far away says `message` about `packet`.
    fn error(&mut self, message: Message, packet: &[u8], quote: usize) {
        let body = error_about(message, packet, quote);
        self.bench.inject(&Ip::icmp(ip("203.0.113.1"), ip(US), body));
    }

    fn report(&mut self, socket: SocketId) -> Option<SocketErrorReport> {
        self.stack().recv_error(socket)
    }
}

/// The echo request that a ping socket of ours would have sent.
fn our_echo(ident: u16) -> Vec<u8> {
    Ip::icmp(ip(US), ip(FAR), echo(ident, 3, b"data")).build()
}

#[test]
fn an_error_reaches_the_ping_socket_whose_identifier_is_quoted() {
    let mut sockets = Sockets::new();
    let (seven, eight) = (sockets.ping(7), sockets.ping(8));
    sockets.error(HOST, &our_echo(7), 28);
    let report = sockets.report(seven).expect("its own error");
    assert_eq!((report.error, report.origin), (SocketError::HostUnreachable, ErrorOrigin::Icmp));
    assert_eq!((report.icmp_type, report.code, report.info), (3, 1, 0));
    assert_eq!(report.offender, Some(IpAddr::V4(ip("203.0.113.1"))));
    assert_eq!(report.destination, IpAddr::V4(ip(FAR)));
    assert_eq!(report.packet.bytes(), &our_echo(7)[20..28], "from the quoted ICMP header on");
    assert_eq!(report.packet.network()[..20], our_echo(7)[..20]);
    assert_eq!(report.packet.meta.timestamp, sockets.bench.lab.now());
    assert!(sockets.report(seven).is_none() && sockets.report(eight).is_none());
    sockets.bench.no_answer();
}

/// Options in the quoted header must not hide the identifier.
#[test]
fn a_quoted_header_with_options_is_read_to_its_end() {
    let mut sockets = Sockets::new();
    let seven = sockets.ping(7);
    let quoted = Ip::icmp(ip(US), ip(FAR), echo(7, 3, b"")).options(&[1; 40]).build();
    sockets.error(HOST, &quoted, 68);
    let report = sockets.report(seven).expect("an error");
    assert_eq!(report.packet.bytes(), &quoted[60..]);
}

/// Only echo requests are sent by ping sockets (Linux `ping_supported`).
#[test]
fn errors_about_other_packets_do_not_reach_ping_sockets() {
    let mut sockets = Sockets::new();
    let seven = sockets.ping(7);
    let mut quotes = vec![
        Ip::icmp(ip(US), ip(FAR), echo_reply(7, 3, b"")),
        Ip::udp(ip(US), ip(FAR), 0x0800, 0, &7_u16.to_be_bytes()),
        Ip::icmp(ip(US), ip(FAR), echo(9, 3, b"")),
    ];
    // From an address to which the socket is not bound.
    quotes.push(Ip::icmp(ip("10.0.0.3"), ip(FAR), echo(7, 3, b"")));
    sockets.stack().bind(seven, (ip(US), 0).into()).unwrap();
    for quoted in quotes {
        sockets.error(HOST, &quoted.build(), 548);
        assert!(sockets.report(seven).is_none(), "{quoted:?}");
    }
}

#[test]
fn an_error_reaches_the_raw_sockets_of_the_quoted_protocol() {
    let mut sockets = Sockets::new();
    let (udp, other) = (sockets.raw(Protocol::UDP), sockets.raw(Protocol(99)));
    let deaf = sockets.stack().open_raw(Protocol::UDP).unwrap();
    let quoted = Ip::udp(ip(US), ip(FAR), 5, 6, b"data").build();
    sockets.error(Message::DestinationUnreachable(Unreachable::Port), &quoted, 548);
    let report = sockets.report(udp).expect("an error");
    assert_eq!(report.error, SocketError::ConnectionRefused);
    assert_eq!(report.packet.bytes(), &quoted[20..]);
    assert!(sockets.report(other).is_none(), "another protocol");
    assert!(sockets.report(deaf).is_none(), "one that did not ask for errors");
}

/// raw(7): an ICMP raw socket hears ICMP errors about ICMP, and receives the messages themselves.
#[test]
fn a_raw_icmp_socket_gets_the_message_and_the_error() {
    let mut sockets = Sockets::new();
    let raw = sockets.raw(Protocol::ICMP);
    sockets.error(HOST, &our_echo(1), 548);
    assert_eq!(sockets.report(raw).expect("an error").error, SocketError::HostUnreachable);
    let host = sockets.bench.host;
    let received = sockets.bench.lab.received(host, raw);
    assert_eq!(received.len(), 1);
    assert_eq!(icmp_in(&received[0]).message(), HOST);
}

#[test]
fn a_connected_raw_socket_hears_only_of_its_peer() {
    let mut sockets = Sockets::new();
    let udp = sockets.raw(Protocol::UDP);
    sockets.bench.lab.connect(sockets.bench.host, udp, (ip(PEER), 0).into()).unwrap();
    sockets.error(HOST, &Ip::udp(ip(US), ip(FAR), 5, 6, b"data").build(), 548);
    assert!(sockets.report(udp).is_none());
    sockets.error(HOST, &Ip::udp(ip(US), ip(PEER), 5, 6, b"data").build(), 548);
    assert!(sockets.report(udp).is_some());
}

/// Linux `icmp_err_convert` and `ping_err`: type, code and field, and what they mean.
#[test]
fn every_error_has_its_errno() {
    let code =
        |code: u8, mtu: u16| Message::DestinationUnreachable(Unreachable::from_code(code, mtu));
    let gateway = ip("10.0.0.3");
    let cases = [
        (code(0, 0), 101, 0),
        (code(1, 0), 113, 0),
        (code(2, 0), 92, 0),
        (code(3, 0), 111, 0),
        (code(4, 1400), 90, 1400),
        (code(5, 0), 95, 0),
        (code(6, 0), 101, 0),
        (code(7, 0), 112, 0),
        (code(8, 0), 64, 0),
        (code(9, 0), 101, 0),
        (code(10, 0), 113, 0),
        (code(11, 0), 101, 0),
        (code(12, 0), 113, 0),
        (code(13, 0), 113, 0),
        (code(14, 0), 113, 0),
        (code(15, 0), 113, 0),
        (Message::SourceQuench, 121, 0),
        (Message::Redirect { code: RedirectCode::Host, gateway }, 121, u32::from(gateway)),
        (Message::TimeExceeded(TimeExceeded::Transit), 113, 0),
        (Message::ParameterProblem { code: 0, pointer: 21 }, 71, 21),
    ];
    for (message, errno, info) in cases {
        let mut sockets = Sockets::new();
        let seven = sockets.ping(7);
        sockets.error(message, &our_echo(7), 548);
        let report = sockets.report(seven).unwrap_or_else(|| panic!("{message:?} is reported"));
        assert_eq!((report.error.errno(), report.info), (errno, info), "{message:?}");
        assert_eq!((report.icmp_type, report.code), (message.icmp_type(), message.code()));
    }
}

/// Linux `icmp_unreach` ignores codes beyond `NR_ICMP_UNREACH`.
#[test]
fn unreachables_of_unknown_codes_are_ignored() {
    let mut sockets = Sockets::new();
    let seven = sockets.ping(7);
    for code in [16, 20, 255] {
        sockets.error(
            Message::DestinationUnreachable(Unreachable::from_code(code, 0)),
            &our_echo(7),
            548,
        );
    }
    assert!(sockets.report(seven).is_none());
    assert_eq!(sockets.bench.lab.snapshot(sockets.bench.host).icmp.in_dest_unreachs, 3);
}

/// Linux `raw_err`: redirects and source quenches are not errors to a raw socket.
#[test]
fn raw_sockets_do_not_hear_of_redirects_and_source_quenches() {
    let mut sockets = Sockets::new();
    let udp = sockets.raw(Protocol::UDP);
    let quoted = Ip::udp(ip(US), ip(FAR), 5, 6, b"data").build();
    let gateway = ip("10.0.0.3");
    sockets.error(Message::SourceQuench, &quoted, 548);
    sockets.error(Message::Redirect { code: RedirectCode::Host, gateway }, &quoted, 548);
    assert!(sockets.report(udp).is_none());
}

/// Linux `ping_err`: whoever does not discover path MTUs does not hear of them.
#[test]
fn without_path_mtu_discovery_fragmentation_needed_is_no_error() {
    let mut sockets = Sockets::new();
    let seven = sockets.ping(7);
    sockets.stack().socket_options(seven).unwrap().pmtu_discovery = PmtuDiscovery::Dont;
    let needed = Message::DestinationUnreachable(Unreachable::FragmentationNeeded { mtu: 1400 });
    sockets.error(needed, &our_echo(7), 548);
    assert!(sockets.report(seven).is_none());
}

/// RFC 1122 §3.2.2: the header and 8 bytes are the least that an error quotes.
#[test]
fn errors_that_quote_too_little_are_counted_and_dropped() {
    let messages = [
        HOST,
        Message::SourceQuench,
        Message::Redirect { code: RedirectCode::Host, gateway: ip("10.0.0.3") },
        Message::TimeExceeded(TimeExceeded::Transit),
        Message::ParameterProblem { code: 0, pointer: 20 },
    ];
    for message in messages {
        let mut sockets = Sockets::new();
        let seven = sockets.ping(7);
        for quote in [0, 1, 19, 20, 27] {
            sockets.error(message, &our_echo(7), quote);
        }
        let mut bad_version = our_echo(7);
        bad_version[0] = 0x65;
        let mut bad_header_len = our_echo(7);
        bad_header_len[0] = 0x44;
        let mut long_header = our_echo(7);
        long_header[0] = 0x4f;
        for quoted in [bad_version, bad_header_len, long_header] {
            sockets.error(message, &quoted, 548);
        }
        assert!(sockets.report(seven).is_none(), "{message:?}");
        let snapshot = sockets.bench.lab.snapshot(sockets.bench.host);
        assert_eq!(snapshot.dropped(DropReason::IcmpMalformed), 8, "{message:?}");
        assert_eq!(snapshot.icmp.in_errors, 8, "{message:?}");
        sockets.bench.no_answer();
    }
}

/// RFC 1122 §3.2.2: no error is ever sent to many, so none received that way is believed.
#[test]
fn errors_sent_to_many_are_ignored() {
    let mut sockets = Sockets::new();
    let seven = sockets.ping(7);
    let body = error_about(HOST, &our_echo(7), 548);
    sockets.bench.inject_broadcast(&Ip::icmp(ip(PEER), ip("10.0.0.255"), body.clone()));
    sockets.bench.inject(&Ip::icmp(ip(PEER), ip("255.255.255.255"), body));
    assert!(sockets.report(seven).is_none());
}

/// Our own error comes back over the loopback whatever link the packet left by.
#[test]
fn an_error_reaches_a_socket_bound_to_its_link() {
    let mut sockets = Sockets::new();
    let seven = sockets.ping(7);
    let link = sockets.bench.link;
    sockets.stack().socket_options(seven).unwrap().bind_link = Some(link);
    let host = sockets.bench.host;
    sockets.bench.lab.send(host, seven, ip("10.0.0.9"), &echo(0, 1, b"")).unwrap();
    sockets.bench.lab.run_for(secs(4));
    let report = sockets.report(seven).expect("host unreachable");
    assert_eq!(report.offender, Some(IpAddr::V4(ip(US))));
}

/// `max_error_queue`.
#[test]
fn the_error_queue_is_bounded() {
    let mut sockets = Sockets::new();
    let seven = sockets.ping(7);
    for _ in 0..70 {
        sockets.error(HOST, &our_echo(7), 548);
    }
    let mut count = 0;
    while sockets.report(seven).is_some() {
        count += 1;
    }
    assert_eq!(count, 64);
    let snapshot = sockets.bench.lab.snapshot(sockets.bench.host);
    assert_eq!(snapshot.dropped(DropReason::SocketQueueFull), 6);
}

/// An error about a broadcast should never have been sent (RFC 1122 §3.2.2): some routers do.
#[test]
fn errors_about_broadcasts_reach_sockets_only_when_allowed() {
    for ignored in [true, false] {
        let mut config = Config::default();
        config.icmp.ignore_bogus_error_responses = ignored;
        let mut sockets = Sockets { bench: Bench::with(config) };
        let seven = sockets.ping(7);
        let quoted = Ip::icmp(ip(US), ip("10.0.0.255"), echo(7, 3, b"")).build();
        sockets.error(HOST, &quoted, 548);
        assert_eq!(sockets.report(seven).is_none(), ignored);
    }
}

/// raw(7), icmp(7): without `IP_RECVERR` an error is told only to a connected socket, only if
/// nothing more will get through, and once (`SO_ERROR`).
#[test]
fn without_receive_errors_hard_errors_reach_a_connected_socket_once() {
    let port = Message::DestinationUnreachable(Unreachable::Port);
    let mut sockets = Sockets::new();
    let socket = sockets.ping(7);
    sockets.stack().socket_options(socket).unwrap().receive_errors = false;
    sockets.error(port, &our_echo(7), 28);
    assert_eq!(sockets.stack().take_error(socket), Ok(None), "not connected");
    sockets.bench.lab.connect(sockets.bench.host, socket, (ip(FAR), 0).into()).unwrap();
    sockets.error(HOST, &our_echo(7), 28);
    assert_eq!(sockets.stack().take_error(socket), Ok(None), "not hard");
    sockets.error(port, &our_echo(7), 28);
    assert_eq!(sockets.stack().take_error(socket), Ok(Some(SocketError::ConnectionRefused)));
    assert_eq!(sockets.stack().take_error(socket), Ok(None), "told once");
    assert!(sockets.report(socket).is_none());
}

/// A report is as long as what is quoted, in a buffer of the pool, however long the packet's was.
#[test]
fn reports_come_from_the_pool() {
    let mut sockets = Sockets::new();
    let seven = sockets.ping(7);
    sockets.error(HOST, &our_echo(7), 548);
    let report = sockets.report(seven).unwrap();
    assert_eq!(report.packet.network(), our_echo(7));
    assert_eq!(report.packet.bytes(), &our_echo(7)[20..]);
    let before = sockets.stack().pool().free().0;
    sockets.stack().recycle(report.packet);
    assert_eq!(sockets.stack().pool().free().0, before + 1);
}
