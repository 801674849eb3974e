//! ICMP errors about what a socket sent (RFC 1122 §4.1.3.3, Linux `__udp4_lib_err`).

use tapping_stack::PmtuDiscovery;
use tapping_stack::socket::{ErrorOrigin, Readiness};
use tapping_stack::wire::{Message, RedirectCode, TimeExceeded, Unreachable};

use super::*;

const PORT: Message = Message::DestinationUnreachable(Unreachable::Port);

/// A socket at 10.0.0.1:53 that is connected to 10.0.0.9:1000.
fn connected() -> (Bench, SocketId) {
    let mut bench = Bench::new();
    let socket = bench.bound("10.0.0.1:53");
    bench.connect(socket, "10.0.0.9:1000").unwrap();
    (bench, socket)
}

impl Bench {
    /// Somebody complains about a datagram from 10.0.0.1:53.
    fn complain(&mut self, message: Message, dst: &str) {
        let quoted = udp("10.0.0.1:53", dst, b"data").build();
        self.give(&Ip::icmp(ip(PEER), ip(HERE), icmp(message, &quoted)));
    }
}

/// Returned once, by whichever call comes first: send, receive or SO_ERROR.
#[test]
fn a_hard_error_is_returned_once() {
    let (mut bench, socket) = connected();
    bench.complain(PORT, "10.0.0.9:1000");
    assert_eq!(bench.send(socket, b"x"), Err(SocketError::ConnectionRefused));
    assert_eq!(bench.send(socket, b"x"), Ok(1));
    bench.complain(PORT, "10.0.0.9:1000");
    assert!(bench.stack().readiness(socket).contains(Readiness::ERROR | Readiness::READABLE));
    assert_eq!(bench.stack().try_recv(socket).unwrap_err(), SocketError::ConnectionRefused);
    assert_eq!(bench.stack().try_recv(socket).unwrap_err(), SocketError::WouldBlock);
    bench.complain(PORT, "10.0.0.9:1000");
    assert_eq!(bench.stack().take_error(socket), Ok(Some(SocketError::ConnectionRefused)));
    assert_eq!(bench.stack().take_error(socket), Ok(None));
    assert_eq!(bench.stack().readiness(socket), Readiness::WRITABLE);
}

/// An error comes before what was received before it.
#[test]
fn an_error_overtakes_data() {
    let (mut bench, socket) = connected();
    bench.datagram("10.0.0.9:1000", "10.0.0.1:53", b"data");
    bench.complain(PORT, "10.0.0.9:1000");
    assert_eq!(bench.stack().try_recv(socket).unwrap_err(), SocketError::ConnectionRefused);
    assert_eq!(bench.stack().try_recv(socket).unwrap().bytes(), b"data");
}

#[test]
fn what_each_error_means_to_a_connected_socket() {
    let unreachable = Message::DestinationUnreachable;
    for (message, error) in [
        (PORT, Some(SocketError::ConnectionRefused)),
        (unreachable(Unreachable::Protocol), Some(SocketError::ProtocolUnavailable)),
        (unreachable(Unreachable::HostUnknown), Some(SocketError::HostDown)),
        (unreachable(Unreachable::CommunicationProhibited), Some(SocketError::HostUnreachable)),
        (unreachable(Unreachable::Net), None),
        (unreachable(Unreachable::Host), None),
        (
            unreachable(Unreachable::FragmentationNeeded { mtu: 1400 }),
            Some(SocketError::MessageTooLong),
        ),
        (Message::ParameterProblem { code: 0, pointer: 20 }, Some(SocketError::ProtocolError)),
        (Message::TimeExceeded(TimeExceeded::Transit), None),
        (Message::SourceQuench, None),
        (Message::Redirect { code: RedirectCode::Host, gateway: ip(OTHER) }, None),
    ] {
        let (mut bench, socket) = connected();
        bench.complain(message, "10.0.0.9:1000");
        assert_eq!(bench.stack().take_error(socket), Ok(error), "{message:?}");
    }
    // Who never sets DF does not care how much fits.
    let (mut bench, socket) = connected();
    bench.stack().socket_options(socket).unwrap().pmtu_discovery = PmtuDiscovery::Dont;
    let too_big = unreachable(Unreachable::FragmentationNeeded { mtu: 1400 });
    bench.complain(too_big, "10.0.0.9:1000");
    assert_eq!(bench.stack().take_error(socket), Ok(None));
}

/// Only the socket that sent it is told, and an unconnected one only if it asks.
#[test]
fn who_is_told() {
    let (mut bench, socket) = connected();
    for dst in ["10.0.0.9:1001", "10.0.0.8:1000"] {
        bench.complain(PORT, dst);
        assert_eq!(bench.stack().take_error(socket), Ok(None), "{dst}");
    }
    assert_eq!(bench.lab.snapshot(bench.host).icmp.in_errors, 2, "nobody's");
    bench.lab.close(bench.host, socket).unwrap();

    let unconnected = bench.bound("10.0.0.1:53");
    bench.complain(PORT, "10.0.0.9:1000");
    assert_eq!(bench.stack().take_error(unconnected), Ok(None));
    bench.stack().socket_options(unconnected).unwrap().receive_errors = true;
    bench.complain(PORT, "10.0.0.9:1000");
    let refused = Ok(Some(SocketError::ConnectionRefused));
    assert_eq!(bench.stack().take_error(unconnected), refused);
}

/// IP_RECVERR: the queue has the details, and SO_ERROR goes with it.
#[test]
fn the_error_queue_tells_more() {
    let (mut bench, socket) = connected();
    bench.stack().socket_options(socket).unwrap().receive_errors = true;
    bench.complain(Message::DestinationUnreachable(Unreachable::Host), "10.0.0.9:1000");
    bench.complain(PORT, "10.0.0.9:1000");
    let report = bench.stack().recv_error(socket).unwrap();
    assert_eq!((report.error, report.origin), (SocketError::HostUnreachable, ErrorOrigin::Icmp));
    assert_eq!((report.icmp_type, report.code), (3, 1));
    assert_eq!(report.destination.to_string(), PEER);
    assert_eq!(report.packet.bytes()[..4], [0, 53, 0x03, 0xe8]);
    let refused = Err(SocketError::ConnectionRefused);
    assert_eq!(bench.send(socket, b""), refused, "that of the next report");
    assert_eq!(bench.stack().recv_error(socket).unwrap().code, 3);
    assert_eq!(bench.stack().take_error(socket), Ok(None));
    assert!(bench.stack().recv_error(socket).is_none());
}

/// Between two sockets of one host the way is the same.
#[test]
fn nobody_at_home_is_refused_too() {
    let mut bench = Bench::new();
    let socket = bench.open();
    bench.connect(socket, "127.0.0.1:9").unwrap();
    assert_eq!(bench.send(socket, b"x"), Ok(1));
    assert_eq!(bench.send(socket, b"x"), Err(SocketError::ConnectionRefused));
}

/// A learnt path MTU shortens what fits (RFC 1191).
#[test]
fn a_path_mtu_is_obeyed() {
    let (mut bench, socket) = connected();
    let too_big = Message::DestinationUnreachable(Unreachable::FragmentationNeeded { mtu: 1400 });
    bench.complain(too_big, "10.0.0.9:1000");
    assert_eq!(bench.stack().take_error(socket), Ok(Some(SocketError::MessageTooLong)));
    bench.send(socket, &[0; 1372]).unwrap();
    assert_eq!(bench.lab.heard_ip(bench.tester).len(), 1);
    bench.send(socket, &[0; 1373]).unwrap();
    assert_eq!(bench.lab.heard_ip(bench.tester).len(), 2);
    bench.stack().socket_options(socket).unwrap().pmtu_discovery = PmtuDiscovery::Do;
    assert_eq!(bench.send(socket, &[0; 1373]), Err(SocketError::MessageTooLong));
}
