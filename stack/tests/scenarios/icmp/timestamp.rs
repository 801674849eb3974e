//! Timestamps, and the requests that a host leaves unanswered (RFC 1122 §3.2.2.7 to §3.2.2.9).

use super::*;

fn request(originate: u32) -> Vec<u8> {
    let message =
        Message::Timestamp { ident: 0x1234, sequence: 7, originate, receive: 0, transmit: 0 };
    icmp(message, b"")
}

/// RFC 792: originate comes back, receive and transmit are ours, in milliseconds since midnight UT.
#[test]
fn a_request_is_answered_with_the_time_of_day() {
    let mut bench = Bench::new();
    let now = bench.lab.now();
    let just_before_midnight = Duration::from_secs(1_700_006_400) - millis(250);
    bench.lab.stack(bench.host).set_wall_clock(now, just_before_midnight);
    for (wait, time) in [(0, 86_399_750), (500, 250)] {
        bench.lab.run_for(millis(wait));
        let reply = bench.ask(&Ip::icmp(ip(PEER), ip(US), request(0x0102_0304)).tos(0x10));
        let expected = Message::TimestampReply {
            ident: 0x1234,
            sequence: 7,
            originate: 0x0102_0304,
            receive: time,
            transmit: time,
        };
        assert_eq!(icmp_in(&reply).message(), expected);
        assert_eq!(ipv4(&reply).total_len(), 40);
        assert_eq!(ipv4(&reply).tos(), 0x10);
    }
}

/// RFC 792: a time that is not the time of day has the high bit set.
#[test]
fn without_a_clock_the_time_is_marked_as_not_standard() {
    let mut bench = Bench::new();
    let reply = bench.ask(&Ip::icmp(ip(PEER), ip(US), request(5)));
    let Message::TimestampReply { originate: 5, receive, transmit, .. } = icmp_in(&reply).message()
    else {
        panic!("a timestamp reply");
    };
    assert_eq!(receive, transmit);
    assert_ne!(receive & 0x8000_0000, 0);
}

#[test]
fn a_request_that_is_too_short_is_an_error() {
    let mut bench = Bench::new();
    for len in [8, 12, 19] {
        let mut message = request(5);
        message.truncate(len);
        tapping_stack::wire::icmpv4::fill_checksum(&mut message);
        bench.inject(&Ip::icmp(ip(PEER), ip(US), message));
    }
    bench.no_answer();
    let snapshot = bench.lab.snapshot(bench.host);
    assert_eq!(snapshot.dropped(DropReason::IcmpMalformed), 3);
    assert_eq!(snapshot.icmp.in_errors, 3);
}

#[test]
fn what_follows_the_request_does_not_come_back() {
    let mut bench = Bench::new();
    let mut message = request(5);
    message.extend_from_slice(b"trailer");
    tapping_stack::wire::icmpv4::fill_checksum(&mut message);
    let reply = bench.ask(&Ip::icmp(ip(PEER), ip(US), message));
    assert_eq!(ipv4(&reply).total_len(), 40);
}

/// RFC 1122 §3.2.2.8: MAY be discarded when sent to many; the source rules are those of echo.
#[test]
fn requests_to_many_are_ignored_unless_allowed() {
    for allowed in [false, true] {
        let mut config = Config::default();
        config.icmp.echo_ignore_broadcasts = !allowed;
        let mut bench = Bench::with(config);
        bench.inject_broadcast(&Ip::icmp(ip(PEER), ip("10.0.0.255"), request(5)));
        if allowed {
            assert_eq!(ipv4(&bench.answer()).src(), ip(US));
        } else {
            bench.no_answer();
            assert_eq!(bench.lab.drops(bench.host), [DropReason::IcmpIgnored]);
        }
    }
}

/// RFC 1122 §3.2.2.7 (information: SHOULD NOT), §3.2.2.9 (masks: only an agent), RFC 1256 (router
/// discovery: only who does it).
#[test]
fn obsolete_and_foreign_requests_are_ignored_silently() {
    let mut bench = Bench::new();
    let mask = Ipv4Addr::UNSPECIFIED;
    let messages = [
        Message::InformationRequest { ident: 1, sequence: 1 },
        Message::InformationReply { ident: 1, sequence: 1 },
        Message::AddressMaskRequest { ident: 1, sequence: 1, mask },
        Message::AddressMaskReply { ident: 1, sequence: 1, mask },
        Message::RouterSolicitation,
        Message::RouterAdvertisement { count: 0, entry_words: 2, lifetime: 0 },
        Message::TimestampReply { ident: 1, sequence: 1, originate: 0, receive: 0, transmit: 0 },
    ];
    for message in messages {
        bench.inject(&Ip::icmp(ip(PEER), ip(US), icmp(message, b"")));
        assert_eq!(bench.lab.drops(bench.host), [DropReason::IcmpUnhandled], "{message:?}");
    }
    bench.no_answer();
    assert_eq!(bench.lab.snapshot(bench.host).icmp.in_errors, 0);
}
