//! The counters of `/proc/net/snmp` (RFC 4293, RFC 4293 `icmpMsgStats`).

use tapping_stack::stats::IcmpMib;
use tapping_stack::wire::RedirectCode;

use super::*;

/// The counters that are not zero.
fn counted(icmp: &IcmpMib) -> Vec<(&'static str, u64)> {
    icmp.iter().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn every_type_received_has_its_counter() {
    let quoted = Ip::icmp(ip(US), ip(FAR), echo(5, 6, b"data")).build();
    let (ident, sequence, mask) = (1, 1, Ipv4Addr::UNSPECIFIED);
    let times = (0, 0, 0);
    let cases = [
        (Message::EchoReply { ident, sequence }, "InEchoReps"),
        (Message::DestinationUnreachable(Unreachable::Net), "InDestUnreachs"),
        (Message::SourceQuench, "InSrcQuenchs"),
        (Message::Redirect { code: RedirectCode::Host, gateway: ip(PEER) }, "InRedirects"),
        (Message::TimeExceeded(TimeExceeded::Transit), "InTimeExcds"),
        (Message::ParameterProblem { code: 0, pointer: 20 }, "InParmProbs"),
        (
            Message::TimestampReply {
                ident,
                sequence,
                originate: times.0,
                receive: times.1,
                transmit: times.2,
            },
            "InTimestampReps",
        ),
        (Message::AddressMaskRequest { ident, sequence, mask }, "InAddrMasks"),
        (Message::AddressMaskReply { ident, sequence, mask }, "InAddrMaskReps"),
    ];
    for (message, counter) in cases {
        let mut bench = Bench::new();
        bench.inject(&Ip::icmp(ip(PEER), ip(US), icmp(message, &quoted)));
        let icmp = bench.lab.snapshot(bench.host).icmp;
        assert_eq!(counted(&icmp), [("InMsgs", 1), (counter, 1)], "{message:?}");
    }
}

#[test]
fn requests_and_their_replies_are_counted() {
    let mut bench = Bench::new();
    bench.inject(&Ip::icmp(ip(PEER), ip(US), echo(1, 1, b"")));
    let times = Message::Timestamp { ident: 1, sequence: 1, originate: 0, receive: 0, transmit: 0 };
    bench.inject(&Ip::icmp(ip(PEER), ip(US), icmp(times, b"")));
    let expected = [
        ("InMsgs", 2),
        ("InEchos", 1),
        ("InTimestamps", 1),
        ("OutMsgs", 2),
        ("OutEchoReps", 1),
        ("OutTimestampReps", 1),
    ];
    assert_eq!(counted(&bench.lab.snapshot(bench.host).icmp), expected);
}

#[test]
fn errors_sent_are_counted_by_type() {
    let mut bench = Bench::new();
    bench.inject(&to_closed_port(PEER, US));
    bench.inject(&to_closed_port(PEER, US).options(&[ipv4_options::RR, 0, 0, 0]));
    let out = [("OutMsgs", 2), ("OutDestUnreachs", 1), ("OutParmProbs", 1)];
    assert_eq!(counted(&bench.lab.snapshot(bench.host).icmp), out);

    let mut router = Router::new();
    router.inject(&to_closed_port(LEFT, RIGHT).ttl(1));
    let out = [("OutMsgs", 1), ("OutTimeExcds", 1)];
    assert_eq!(counted(&router.lab.snapshot(router.host).icmp), out);
    router.lab.know(router.host, router.inside, ip("10.1.0.6"), router.left.mac);
    router.inject(&to_closed_port(LEFT, "10.1.0.6"));
    let out = [("OutMsgs", 2), ("OutTimeExcds", 1), ("OutRedirects", 1)];
    assert_eq!(counted(&router.lab.snapshot(router.host).icmp), out);
}

/// Whatever sends it, a message that leaves is counted by its type (Linux `icmp_out_count`).
#[test]
fn messages_of_sockets_are_counted_by_type() {
    let mut bench = Bench::new();
    let host = bench.host;
    let ping = bench.lab.stack(host).open_ping(None).unwrap();
    let raw = bench.lab.stack(host).open_raw(Protocol::ICMP).unwrap();
    bench.lab.send(host, ping, ip(PEER), &echo(0, 1, b"")).unwrap();
    bench.lab.send(host, raw, ip(PEER), &echo(0, 1, b"")).unwrap();
    let mask = Message::AddressMaskRequest { ident: 1, sequence: 1, mask: ip("0.0.0.0") };
    bench.lab.send(host, raw, ip(PEER), &icmp(mask, b"")).unwrap();
    bench.lab.stack(host).socket_options(raw).unwrap().header_included = true;
    let whole = Ip::icmp(ip(US), ip(PEER), echo(1, 1, b"")).build();
    bench.lab.send(host, raw, ip(PEER), &whole).unwrap();
    let expected = [("OutMsgs", 4), ("OutEchos", 3), ("OutAddrMasks", 1)];
    assert_eq!(counted(&bench.lab.snapshot(host).icmp), expected);
}

/// What was refused before it was a message is none.
#[test]
fn a_message_that_cannot_be_sent_is_not_counted_as_sent() {
    let (mut lab, host, _, _) = Lab::with_tester("10.0.0.1/24");
    let ping = lab.stack(host).open_ping(None).unwrap();
    let sent = lab.send(host, ping, ip(FAR), &echo(0, 1, b""));
    assert_eq!(sent, Err(SocketError::NetworkUnreachable));
    assert_eq!(counted(&lab.snapshot(host).icmp), []);
    assert_eq!(lab.snapshot(host).ip.out_no_routes, 1);
}

/// An error that has no way back is counted as such.
#[test]
fn an_error_without_a_way_back_is_counted() {
    let (mut lab, host, link, tester) = Lab::with_tester("10.0.0.1/24");
    lab.inject_ip(tester, host, link, &to_closed_port(FAR, US).build());
    assert!(lab.heard(tester).is_empty());
    assert_eq!(counted(&lab.snapshot(host).icmp), [("OutErrors", 1)]);
}
