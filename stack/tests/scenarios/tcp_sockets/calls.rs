//! Which call gets which error in which state.

use tapping_stack::wire::{Message, TcpFlags, Unreachable};
use tapping_stack::{Shutdown, SocketError, SocketId, TcpState};

use super::*;

/// A socket in a state of its life, made in a new place.
struct Made {
    wire: Wire,
    socket: SocketId,
}

/// States by name, how to get there, and what is to come of it.
type Cases<T, const N: usize> = [(&'static str, fn() -> Made, T); N];

fn fresh() -> Made {
    let mut wire = Wire::new();
    let socket = wire.socket();
    Made { wire, socket }
}

fn bound() -> Made {
    let mut wire = Wire::new();
    let socket = wire.bound(US, 80);
    Made { wire, socket }
}

fn listening() -> Made {
    let mut wire = Wire::new();
    let socket = wire.listener(80, 4);
    Made { wire, socket }
}

fn syn_sent() -> Made {
    let mut wire = Wire::new();
    let (socket, ..) = wire.connecting(80);
    Made { wire, socket }
}

fn established() -> Made {
    let mut wire = Wire::new();
    let (_, socket, _) = wire.accepted(80);
    Made { wire, socket }
}

/// Shut down for sending, FIN not acknowledged.
fn fin_wait_1() -> Made {
    let mut made = established();
    made.wire.shutdown(made.socket, Shutdown::Write).unwrap();
    made.wire.heard_one();
    made
}

fn close_wait() -> Made {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    let fin = peer.fin();
    wire.give(&fin);
    Made { wire, socket }
}

/// Both have sent FIN: the connection is in TIME-WAIT, and for the socket it is over.
fn time_wait() -> Made {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    wire.shutdown(socket, Shutdown::Write).unwrap();
    let heard = wire.heard();
    peer.hear(&heard);
    let fin = peer.fin();
    wire.give(&fin);
    assert_eq!(wire.stack().tcp_counts().1, 1, "in TIME-WAIT");
    Made { wire, socket }
}

fn reset() -> Made {
    let mut wire = Wire::new();
    let (_, socket, peer) = wire.accepted(80);
    wire.give(&peer.rst());
    Made { wire, socket }
}

fn refused() -> Made {
    let mut wire = Wire::new();
    let (socket, mut peer, syn) = wire.connecting(80);
    peer.ack = syn.seq + 1;
    wire.give(&peer.rst());
    Made { wire, socket }
}

type Outcome = Result<usize, SocketError>;

fn send(made: &mut Made) -> Outcome {
    made.wire.send(made.socket, b"hello")
}

fn receive(made: &mut Made) -> Outcome {
    made.wire.receive(made.socket).map(|data| data.len())
}

#[test]
fn sending_in_every_state() {
    use SocketError::*;
    let all: Cases<&[Outcome], 10> = [
        ("fresh", fresh, &[Err(BrokenPipe), Err(BrokenPipe)]),
        ("bound", bound, &[Err(BrokenPipe)]),
        ("listening", listening, &[Err(BrokenPipe)]),
        ("SYN-SENT", syn_sent, &[Err(WouldBlock), Err(WouldBlock)]),
        ("ESTABLISHED", established, &[Ok(5), Ok(5)]),
        ("FIN-WAIT-1", fin_wait_1, &[Err(BrokenPipe)]),
        ("CLOSE-WAIT", close_wait, &[Ok(5)]),
        ("TIME-WAIT", time_wait, &[Err(BrokenPipe)]),
        ("reset", reset, &[Err(ConnectionReset), Err(BrokenPipe), Err(BrokenPipe)]),
        ("refused", refused, &[Err(ConnectionRefused), Err(BrokenPipe)]),
    ];
    for (name, make, expected) in all {
        let mut made = make();
        let outcomes: Vec<Outcome> = expected.iter().map(|_| send(&mut made)).collect();
        assert_eq!(outcomes, expected, "{name}");
    }
}

#[test]
fn receiving_in_every_state() {
    use SocketError::*;
    let all: Cases<&[Outcome], 10> = [
        ("fresh", fresh, &[Err(NotConnected), Err(NotConnected)]),
        ("bound", bound, &[Err(NotConnected)]),
        ("listening", listening, &[Err(NotConnected)]),
        ("SYN-SENT", syn_sent, &[Err(WouldBlock)]),
        ("ESTABLISHED", established, &[Err(WouldBlock)]),
        ("FIN-WAIT-1", fin_wait_1, &[Err(WouldBlock)]),
        ("CLOSE-WAIT", close_wait, &[Ok(0), Ok(0)]),
        ("TIME-WAIT", time_wait, &[Ok(0), Ok(0)]),
        ("reset", reset, &[Err(ConnectionReset), Ok(0), Ok(0)]),
        ("refused", refused, &[Err(ConnectionRefused), Ok(0)]),
    ];
    for (name, make, expected) in all {
        let mut made = make();
        let outcomes: Vec<Outcome> = expected.iter().map(|_| receive(&mut made)).collect();
        assert_eq!(outcomes, expected, "{name}");
        // Peeking and receiving in place have the same view.
        let mut made = make();
        let now = made.wire.now();
        let socket = made.socket;
        let peeked = made.wire.stack().peek(socket, &mut [0; 8]);
        assert_eq!(peeked, expected[0], "{name}: peek");
        let mut made = make();
        let shown = made.wire.stack().receive_with(now, made.socket, <[u8]>::len);
        assert_eq!(shown, expected[0], "{name}: receive_with");
    }
}

#[test]
fn connecting_in_every_state() {
    use SocketError::*;
    let all: Cases<&[Result<(), SocketError>], 10> = [
        ("fresh", fresh, &[Ok(()), Err(AlreadyInProgress)]),
        ("bound", bound, &[Ok(()), Err(AlreadyInProgress)]),
        ("listening", listening, &[Err(IsConnected)]),
        ("SYN-SENT", syn_sent, &[Err(AlreadyInProgress)]),
        ("ESTABLISHED", established, &[Err(IsConnected)]),
        ("FIN-WAIT-1", fin_wait_1, &[Err(IsConnected)]),
        ("CLOSE-WAIT", close_wait, &[Err(IsConnected)]),
        ("TIME-WAIT", time_wait, &[Err(IsConnected)]),
        ("reset", reset, &[Err(IsConnected)]),
        ("refused", refused, &[Err(ConnectionRefused), Ok(()), Err(AlreadyInProgress)]),
    ];
    for (name, make, expected) in all {
        let mut made = make();
        let Made { wire, socket } = &mut made;
        let outcomes: Vec<_> = expected.iter().map(|_| wire.connect(*socket, (PEER, 81))).collect();
        assert_eq!(outcomes, expected, "{name}");
    }
}

#[test]
fn listening_in_every_state() {
    use SocketError::*;
    let all: Cases<Result<(), SocketError>, 10> = [
        ("fresh", fresh, Ok(())),
        ("bound", bound, Ok(())),
        ("listening", listening, Ok(())),
        ("SYN-SENT", syn_sent, Err(InvalidArgument)),
        ("ESTABLISHED", established, Err(InvalidArgument)),
        ("FIN-WAIT-1", fin_wait_1, Err(InvalidArgument)),
        ("CLOSE-WAIT", close_wait, Err(InvalidArgument)),
        ("TIME-WAIT", time_wait, Err(InvalidArgument)),
        ("reset", reset, Err(InvalidArgument)),
        ("refused", refused, Err(InvalidArgument)),
    ];
    for (name, make, expected) in all {
        let Made { mut wire, socket } = make();
        assert_eq!(wire.listen(socket, 4), expected, "{name}");
        let listens = wire.stack().tcp_state(socket) == Ok(TcpState::Listen);
        assert_eq!(listens, expected.is_ok(), "{name}");
        let accepted = if listens { WouldBlock } else { InvalidArgument };
        assert_eq!(wire.accept(socket), Err(accepted), "{name}: accept");
    }
}

#[test]
fn binding_in_every_state() {
    use SocketError::*;
    let all: Cases<Result<(), SocketError>, 7> = [
        ("fresh", fresh, Ok(())),
        ("bound", bound, Err(InvalidArgument)),
        ("listening", listening, Err(InvalidArgument)),
        ("SYN-SENT", syn_sent, Err(InvalidArgument)),
        ("ESTABLISHED", established, Err(InvalidArgument)),
        ("FIN-WAIT-1", fin_wait_1, Err(InvalidArgument)),
        ("CLOSE-WAIT", close_wait, Err(InvalidArgument)),
    ];
    for (name, make, expected) in all {
        let Made { mut wire, socket } = make();
        assert_eq!(wire.stack().bind(socket, at(US, 90)), expected, "{name}");
        // The address is looked at first.
        let elsewhere = wire.stack().bind(socket, at(PEER, 91));
        assert_eq!(elsewhere, Err(AddressNotAvailable), "{name}");
    }
}

#[test]
fn shutting_down_in_every_state() {
    use SocketError::*;
    let all: Cases<Result<(), SocketError>, 10> = [
        ("fresh", fresh, Err(NotConnected)),
        ("bound", bound, Err(NotConnected)),
        ("listening", listening, Ok(())),
        ("SYN-SENT", syn_sent, Ok(())),
        ("ESTABLISHED", established, Ok(())),
        ("FIN-WAIT-1", fin_wait_1, Ok(())),
        ("CLOSE-WAIT", close_wait, Ok(())),
        ("TIME-WAIT", time_wait, Err(NotConnected)),
        ("reset", reset, Err(NotConnected)),
        ("refused", refused, Err(NotConnected)),
    ];
    for (name, make, expected) in all {
        for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
            let Made { mut wire, socket } = make();
            assert_eq!(wire.shutdown(socket, how), expected, "{name} {how:?}");
        }
    }
}

#[test]
fn names_in_every_state() {
    let connected = Ok(at(PEER, 40_000));
    let not = Err(SocketError::NotConnected);
    let all: [(_, fn() -> Made, _, _); 8] = [
        ("fresh", fresh, at(ANY, 0), not),
        ("bound", bound, at(US, 80), not),
        ("listening", listening, at(ANY, 80), not),
        ("ESTABLISHED", established, at(US, 80), connected),
        ("FIN-WAIT-1", fin_wait_1, at(US, 80), connected),
        ("CLOSE-WAIT", close_wait, at(US, 80), connected),
        ("TIME-WAIT", time_wait, at(US, 80), not),
        ("reset", reset, at(US, 80), not),
    ];
    for (name, make, local, peer) in all {
        let Made { mut wire, socket } = make();
        assert_eq!(wire.stack().local_addr(socket), Ok(local), "{name}");
        assert_eq!(wire.stack().peer_addr(socket), peer, "{name}");
    }
    let Made { mut wire, socket } = syn_sent();
    assert_eq!(wire.stack().peer_addr(socket), not, "not yet");
    assert_eq!(wire.stack().local_addr(socket).unwrap().ip(), US, "but a source");
}

/// Connect returned when SYN was sent; once there is a connection it says so, once.
#[test]
fn connect_tells_once_that_it_has_succeeded() {
    let mut wire = Wire::new();
    let (socket, _) = wire.connected(80);
    assert_eq!(wire.connect(socket, (PEER, 80)), Ok(()));
    assert_eq!(wire.connect(socket, (PEER, 80)), Err(SocketError::IsConnected));
}

/// Linux `__inet_stream_connect`: when SO_ERROR took the error, connect says ECONNABORTED.
#[test]
fn a_failed_connect_is_told_before_the_next() {
    let Made { mut wire, socket } = refused();
    assert_eq!(wire.stack().take_error(socket), Ok(Some(SocketError::ConnectionRefused)));
    assert_eq!(wire.stack().take_error(socket), Ok(None), "once");
    let first = wire.stack().local_addr(socket).unwrap().port();
    assert_ne!(first, 0);
    assert_eq!(wire.connect(socket, (PEER, 80)), Err(SocketError::ConnectionAborted));
    assert_eq!(wire.stack().local_addr(socket), Ok(at(ANY, 0)), "as new");
    assert_eq!(wire.receive(socket), Err(SocketError::NotConnected));
    assert_eq!(wire.connect(socket, (PEER, 80)), Ok(()));
    let syn = wire.heard_one();
    let mut peer = Peer::new(PEER, 80, US, syn.src.port());
    wire.answer(&peer.syn_ack(&syn));
    assert_eq!(wire.stack().tcp_state(socket), Ok(TcpState::Established));
    assert_eq!(wire.send(socket, b"now"), Ok(3));
}

#[test]
fn a_bound_socket_keeps_its_port_when_connect_fails() {
    let mut wire = Wire::new();
    let socket = wire.bound(US, 5000);
    for port in [80, 81] {
        assert_eq!(wire.connect(socket, (PEER, port)), Ok(()));
        let syn = wire.heard_one();
        assert_eq!(syn.src, "10.0.0.1:5000".parse().unwrap());
        let mut peer = Peer::new(PEER, port, US, 5000);
        peer.ack = syn.seq + 1;
        wire.give(&peer.rst());
        assert_eq!(wire.connect(socket, (PEER, 1)), Err(SocketError::ConnectionRefused));
        assert_eq!(wire.stack().local_addr(socket), Ok(at(US, 5000)));
        let other = wire.socket();
        assert_eq!(wire.stack().bind(other, at(US, 5000)), Err(SocketError::AddressInUse));
    }
    wire.close(socket);
    wire.bound(US, 5000);
}

/// Linux `inet_shutdown`: it disconnects, which the next call hears of.
#[test]
fn shutting_down_while_connecting_gives_up() {
    for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
        let Made { mut wire, socket } = syn_sent();
        wire.shutdown(socket, how).unwrap();
        assert_eq!(wire.stack().tcp_state(socket), Ok(TcpState::Closed));
        assert_eq!(wire.receive(socket), Err(SocketError::ConnectionReset));
        assert_eq!(wire.receive(socket), Err(SocketError::NotConnected));
        assert_eq!(wire.send(socket, b"x"), Err(SocketError::BrokenPipe));
        assert!(wire.pass(secs(10)).is_empty(), "no SYN is repeated");
        assert_eq!(wire.connect(socket, (PEER, 82)), Ok(()));
    }
    // After a failure nobody has been told of, nothing more comes of it.
    let Made { mut wire, socket } = refused();
    assert_eq!(wire.shutdown(socket, Shutdown::Both), Err(SocketError::NotConnected));
    assert_eq!(wire.connect(socket, (PEER, 82)), Err(SocketError::InvalidArgument));
}

#[test]
fn connecting_to_nowhere_and_to_many() {
    let mut wire = Wire::new();
    let socket = wire.socket();
    for (to, error) in [
        ("10.0.0.255:80", SocketError::NetworkUnreachable),
        ("255.255.255.255:80", SocketError::NetworkUnreachable),
        ("224.0.0.1:80", SocketError::NetworkUnreachable),
        ("192.0.2.1:80", SocketError::NetworkUnreachable),
        ("[::1]:80", SocketError::AddressFamilyNotSupported),
    ] {
        let to: core::net::SocketAddr = to.parse().unwrap();
        assert_eq!(wire.connect(socket, to), Err(error), "{to}");
        assert_eq!(wire.stack().local_addr(socket), Ok(at(ANY, 0)), "{to}: as new");
    }
    let heard: Vec<Seg> = wire.heard();
    assert!(heard.is_empty());
    assert_eq!(wire.connect(socket, (PEER, 80)), Ok(()), "and then it can be connected");
}

/// Linux: 0.0.0.0 is this host.
#[test]
fn connecting_to_no_address_is_to_this_host() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 4);
    let socket = wire.socket();
    wire.connect(socket, (ANY, 80)).unwrap();
    wire.lab.settle();
    assert_eq!(wire.stack().tcp_state(socket), Ok(TcpState::Established));
    wire.accept(listener).expect("a connection");
}

#[test]
fn errors_while_connecting() {
    use SocketError::*;
    for (code, error) in [
        (Unreachable::Host, HostUnreachable),
        (Unreachable::Net, NetworkUnreachable),
        (Unreachable::Port, ConnectionRefused),
        (Unreachable::Protocol, ProtocolUnavailable),
        (Unreachable::HostProhibited, HostUnreachable),
    ] {
        let mut wire = Wire::new();
        let (socket, _, syn) = wire.connecting(80);
        wire.give_error(&syn, Message::DestinationUnreachable(code));
        assert_eq!(wire.stack().take_error(socket), Ok(Some(error)), "{code:?}");
        assert_eq!(wire.stack().tcp_state(socket), Ok(TcpState::Closed));
    }
    let mut wire = Wire::new();
    let (socket, ..) = wire.connecting(80);
    let syns = wire.pass(secs(300));
    assert_eq!(syns.len(), 10, "tcp_syn_retries after tcp_syn_linear_timeouts");
    assert_eq!(wire.stack().take_error(socket), Ok(Some(TimedOut)));
}

/// What is queued can be read before the error of a reset is told; FIN stays the end.
#[test]
fn data_comes_before_the_error() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    let data = peer.data(b"last words");
    wire.give(&data);
    wire.give(&peer.rst());
    assert_eq!(wire.receive(socket).unwrap(), b"last words");
    assert_eq!(wire.receive(socket), Err(SocketError::ConnectionReset));
    assert_eq!(wire.receive(socket).unwrap(), b"");

    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    let (data, fin) = (peer.data(b"last words"), peer.fin());
    wire.give(&data);
    wire.give(&fin);
    wire.give(&peer.rst());
    assert_eq!(wire.receive(socket).unwrap(), b"last words");
    assert_eq!(wire.receive(socket).unwrap(), b"");
    // A reset after FIN is EPIPE (Linux tcp_reset).
    assert_eq!(wire.stack().take_error(socket), Ok(Some(SocketError::BrokenPipe)));
    assert_eq!(wire.receive(socket).unwrap(), b"");
}

#[test]
fn peeking_leaves_the_data() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    for part in [&b"ab"[..], b"cde", b"f"] {
        let data = peer.data(part);
        wire.give(&data);
    }
    let mut four = [0; 4];
    for _ in 0..2 {
        assert_eq!(wire.stack().peek(socket, &mut four), Ok(4));
        assert_eq!(&four, b"abcd");
    }
    let now = wire.now();
    // In place: as much as is wanted is taken, and the rest stays.
    let taken = wire.stack().receive_with(now, socket, |data| {
        assert!(b"abcdef".starts_with(data) && !data.is_empty());
        1
    });
    assert_eq!(taken, Ok(1));
    assert_eq!(wire.receive(socket).unwrap(), b"bcdef");
    assert_eq!(wire.stack().peek(socket, &mut four), Err(SocketError::WouldBlock));
}

#[test]
fn sending_in_place() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    let now = wire.now();
    let sent = wire.stack().send_with(now, socket, 5, |room| {
        assert!(room.len() >= 5 || !room.is_empty());
        room[..5].copy_from_slice(b"hello");
        5
    });
    assert_eq!(sent, Ok(5));
    let heard = wire.heard();
    assert_eq!(peer.hear(&heard), b"hello");
    // Nothing written is nothing sent.
    assert_eq!(wire.stack().send_with(now, socket, 5, |_| 0), Ok(0));
    assert_eq!(wire.send(socket, b""), Ok(0));
    wire.heard_nothing();
}

/// A socket that is closed has no name any more, though its connection lives on.
#[test]
fn closed_sockets_are_unknown() {
    let makers: [fn() -> Made; 6] = [fresh, listening, syn_sent, established, close_wait, reset];
    for make in makers {
        let Made { mut wire, socket } = make();
        wire.close(socket);
        let bad = SocketError::BadSocket;
        let now = wire.now();
        assert_eq!(wire.send(socket, b"x"), Err(bad));
        assert_eq!(wire.receive(socket), Err(bad));
        assert_eq!(wire.connect(socket, (PEER, 1)), Err(bad));
        assert_eq!(wire.listen(socket, 1), Err(bad));
        assert_eq!(wire.accept(socket), Err(bad));
        assert_eq!(wire.shutdown(socket, Shutdown::Both), Err(bad));
        assert_eq!(wire.stack().bind(socket, at(US, 1)), Err(bad));
        assert_eq!(wire.stack().close(now, socket), Err(bad));
        assert_eq!(wire.stack().abort(now, socket), Err(bad));
        assert_eq!(wire.stack().peek(socket, &mut [0]), Err(bad));
        assert_eq!(wire.stack().take_error(socket), Err(bad));
        assert_eq!(wire.stack().local_addr(socket), Err(bad));
        assert_eq!(wire.stack().peer_addr(socket), Err(bad));
        assert_eq!(wire.stack().tcp_state(socket), Err(bad));
        assert!(wire.stack().tcp_info(socket).is_err());
        assert!(wire.stack().socket_options(socket).is_err());
        assert!(wire.stack().tcp_options(socket).is_err());
        assert!(wire.readiness(socket).is_empty());
        // The next socket in its place is another one.
        wire.pass(secs(400));
        let next = wire.socket();
        assert_ne!(next, socket);
        assert_eq!(wire.send(socket, b"x"), Err(bad));
        assert_eq!(wire.stack().tcp_state(next), Ok(TcpState::Closed));
    }
}

#[test]
fn what_segments_say_when_sent_to_a_closed_port() {
    let mut wire = Wire::new();
    let mut peer = Peer::new(PEER, 4000, US, 9);
    let syn = peer.syn();
    let rst = wire.answer(&syn);
    assert!(rst.is(TcpFlags::RST | TcpFlags::ACK));
    assert_eq!((rst.seq.0, rst.ack), (0, syn.seq + 1));
    peer.ack = rst.seq + 77;
    let rst = wire.answer(&Seg { tos: 0x13, ..peer.ack() });
    assert!(rst.is(TcpFlags::RST));
    assert_eq!((rst.seq, rst.tos), (peer.ack, 0x10), "the type of service is reflected");
    wire.give_quietly(&peer.rst());
}
