//! ICMP errors about segments.

use tapping_stack::socket::Readiness;
use tapping_stack::wire::{Message, TimeExceeded, Unreachable};
use tapping_stack::{SocketError, TcpState};

use crate::talk::*;

conformance! {
    "RFC 9293", "ICMP (§3.9.2.2)";

    Must "RFC9293-MUST-54" "3.9.2.2" "An ICMP error reaches the connection that it is about."
        => icmp_errors_reach_their_connection;
    Should "RFC9293-SHLD-25" "3.9.2.2" "Soft errors are told to the application."
        => soft_errors_are_told;
    MustNot "RFC9293-MUST-56" "3.9.2.2" "Net, host and source route unreachable, time exceeded and parameter problem do not abort."
        => soft_errors_do_not_abort;
    Should "RFC9293-SHLD-26" "3.9.2.2" "Protocol, port and fragmentation-needed errors abort."
        deviation "Only while connecting, as Linux and RFC 5927 §5.2: such an error may be forged."
        => hard_errors_abort_only_connecting;
    Must "RFC9293-MUST-55" "3.9.2.2" "Source quench is discarded in silence."
        => source_quench_is_discarded;
    Linux "RFC9293-3.9.2.2-revert" "3.9.2.2" "A host-unreachable about the segment of a timeout takes one backoff back."
        => unreachable_reverts_backoff;
}

const HOST_UNREACHABLE: Message = Message::DestinationUnreachable(Unreachable::Host);

/// 500 bytes are in flight.
fn talk() -> Talk {
    let mut t = Talk::passive(Setup::default());
    t.sent(500);
    t
}

fn icmp_errors_reach_their_connection() {
    // Eight bytes of the segment are enough.
    for quoted in [8, 20] {
        let mut t = talk();
        t.inject_icmp(HOST_UNREACHABLE, 1, quoted);
        assert_eq!(t.error(), Some(SocketError::HostUnreachable));
        assert_eq!(t.error(), None, "once");
    }
    // Not one about what was never sent.
    let mut t = talk();
    for seq in [0u32, 502, 1_000_000] {
        t.inject_icmp(HOST_UNREACHABLE, seq.wrapping_sub(u32::from(seq == 0)), 8);
        assert_eq!(t.error(), None, "about {seq}");
    }
    assert_eq!(t.stack.snapshot().tcp_ext.out_of_window_icmps, 3);
}

fn soft_errors_are_told() {
    // Who asks for errors (IP_RECVERR) is told at once.
    let mut t = talk();
    let conn = t.conn;
    t.stack.socket_options(conn).expect("a socket").receive_errors = true;
    t.inject_icmp(HOST_UNREACHABLE, 1, 8);
    assert!(t.ready().contains(Readiness::ERROR));
    assert_eq!(t.error(), Some(SocketError::HostUnreachable));
    assert_eq!(t.state(), TcpState::Established);
    // Who does not is told why, when the connection is given up.
    let mut t = talk();
    t.inject_icmp(HOST_UNREACHABLE, 1, 8);
    assert!(!t.ready().contains(Readiness::ERROR));
    t.run(secs(1100));
    assert_eq!((t.state(), t.error()), (TcpState::Closed, Some(SocketError::HostUnreachable)));
    // Unless it got better in between.
    let mut t = talk();
    t.inject_icmp(HOST_UNREACHABLE, 1, 8);
    let ack = t.seg();
    t.inject(ack);
    t.sent(500);
    t.run(secs(1100));
    assert_eq!(t.error(), Some(SocketError::TimedOut));
}

fn soft_errors_do_not_abort() {
    let mut t = talk();
    for message in [
        Message::DestinationUnreachable(Unreachable::Net),
        HOST_UNREACHABLE,
        Message::DestinationUnreachable(Unreachable::SourceRouteFailed),
        Message::TimeExceeded(TimeExceeded::Transit),
        Message::TimeExceeded(TimeExceeded::Reassembly),
        Message::ParameterProblem { code: 0, pointer: 1 },
    ] {
        t.inject_icmp(message, 1, 8);
        assert_eq!(t.state(), TcpState::Established, "{message:?}");
        assert!(t.info().unacked == 1 && !t.ready().contains(Readiness::ERROR));
    }
    let ack = t.seg();
    t.inject(ack);
    assert_eq!(ranges(&t.sent(10)), [(501, 10)], "it goes on");
}

fn hard_errors_abort_only_connecting() {
    let hard = [
        (Unreachable::Protocol, SocketError::ProtocolUnavailable),
        (Unreachable::Port, SocketError::ConnectionRefused),
    ];
    for (code, error) in hard {
        let message = Message::DestinationUnreachable(code);
        let mut t = talk();
        t.inject_icmp(message, 1, 8);
        assert_eq!(t.state(), TcpState::Established, "{code:?}");
        let mut t = Talk::connecting(Setup::default());
        t.inject_icmp(message, 0, 8);
        assert_eq!((t.state(), t.error()), (TcpState::Closed, Some(error)));
        t.run(secs(200));
        t.silent();
    }
    // Too long a segment is no reason either way: it is cut.
    let mut t = Talk::passive(Setup::default());
    t.sent(1460);
    let message = Unreachable::FragmentationNeeded { mtu: 1000 };
    t.inject_icmp(Message::DestinationUnreachable(message), 1, 8);
    assert_eq!(t.state(), TcpState::Established);
    assert_eq!(t.heard()[0].range(), (1, 960));
}

fn source_quench_is_discarded() {
    let mut t = Talk::passive(Setup::default());
    t.sent(16_000);
    let before = t.info();
    t.inject_icmp(Message::SourceQuench, 1, 8);
    let after = t.info();
    assert_eq!((after.snd_cwnd, after.snd_ssthresh), (before.snd_cwnd, before.snd_ssthresh));
    assert_eq!((t.state(), t.error()), (TcpState::Established, None));
    assert!(t.others.is_empty());
    t.silent();
}

fn unreachable_reverts_backoff() {
    let mut t = talk();
    while t.info().backoff < 4 {
        t.next(secs(20));
    }
    t.heard();
    let backed_off = t.info().rto;
    t.inject_icmp(HOST_UNREACHABLE, 1, 8);
    let info = t.info();
    assert_eq!((info.backoff, info.rto), (3, backed_off / 2));
    let start = t.now;
    assert_eq!(t.next(secs(20)).range(), (1, 500));
    let waited = t.now - start;
    assert!(waited <= backed_off / 2 + millis(5), "{waited:?} of {backed_off:?}");
    // Not for a segment that is not the oldest, nor before any timeout.
    let mut t = talk();
    t.inject_icmp(HOST_UNREACHABLE, 1, 8);
    assert_eq!(t.info().backoff, 0);
}
