//! Echo (RFC 792, RFC 1122 §3.2.2.6, RFC 1812 §4.3.3.6).

use tapping_stack::packet::{ChecksumState, Packet};

use super::*;

/// RFC 792: addresses reversed, identifier, sequence number and data returned; RFC 1812 §4.3.2.5:
/// with the type of service of the request. Linux returns the code too and does not set DF.
#[test]
fn a_request_comes_back_with_everything_it_had() {
    let mut bench = Bench::new();
    for size in [0, 1, 2, 7, 56, 1471, 1472] {
        let data: Vec<u8> = (0..size).map(|n| (n * 7) as u8).collect();
        let mut message = icmp(Message::Echo { ident: 0xabcd, sequence: 0xfedc }, &data);
        message[1] = 5;
        tapping_stack::wire::icmpv4::fill_checksum(&mut message);
        let request = Ip::icmp(ip(PEER), ip(US), message).tos(0xb8).ttl(3).df();
        let reply = bench.ask(&request);
        let header = ipv4(&reply);
        assert_eq!((header.src(), header.dst()), (ip(US), ip(PEER)));
        assert_eq!((header.tos(), header.ttl()), (0xb8, 64));
        assert!(!header.dont_fragment());
        assert_eq!(header.options(), b"");
        let icmp = icmp_in(&reply);
        assert_eq!((icmp.icmp_type(), icmp.code()), (0, 5));
        assert_eq!((icmp.ident(), icmp.sequence()), (0xabcd, 0xfedc));
        assert_eq!(icmp.payload(), data);
    }
}

/// The reply's checksum is updated, not computed anew: right for every value that it can have.
/// (The laboratory checks the sum of everything that leaves.)
#[test]
fn the_reply_has_a_right_checksum_whatever_the_data() {
    let mut bench = Bench::new();
    for word in 0..=u16::MAX {
        let message = echo(0, 0, &word.to_be_bytes());
        bench.inject(&Ip::icmp(ip(PEER), ip(US), message));
        if word % 1024 == 0 {
            bench.lab.heard(bench.tester);
            bench.lab.events(bench.host);
        }
    }
    assert_eq!(bench.lab.snapshot(bench.host).icmp.out_echo_reps, 65_536);
}

#[test]
fn a_fragmented_request_comes_back_whole() {
    let mut bench = Bench::new();
    let data: Vec<u8> = (0..4000_u32).map(|n| (n / 3) as u8).collect();
    let whole = echo(9, 9, &data);
    for (at, more) in [(0, true), (1480, true), (2960, false)] {
        let part = whole[at..whole.len().min(at + 1480)].to_vec();
        bench.inject(&Ip::icmp(ip(PEER), ip(US), part).fragment(at, more));
    }
    let mut payload = vec![0; whole.len()];
    for fragment in bench.lab.heard_ip(bench.tester) {
        let fragment = ipv4(&fragment);
        let at = fragment.fragment_offset();
        payload[at..at + fragment.payload().len()].copy_from_slice(fragment.payload());
    }
    assert_eq!(payload, echo_reply(9, 9, &data));
}

#[test]
fn the_reply_comes_from_the_address_that_was_asked() {
    let mut bench = Bench::new();
    let (now, link) = (bench.lab.now(), bench.link);
    let stack = bench.lab.stack(bench.host);
    stack.add_address(now, link, "10.0.0.77/24".parse().unwrap()).unwrap();
    stack.add_address(now, link, "172.16.0.1/16".parse().unwrap()).unwrap();
    for asked in ["10.0.0.77", "172.16.0.1"] {
        let reply = bench.ask(&Ip::icmp(ip(PEER), ip(asked), echo(1, 1, b"")));
        assert_eq!(ipv4(&reply).src(), ip(asked));
    }
}

#[test]
fn a_host_answers_itself() {
    let mut bench = Bench::new();
    let socket = bench.lab.stack(bench.host).open_ping(None).unwrap();
    for own in [US, "127.0.0.1", "127.9.9.9"] {
        bench.lab.send(bench.host, socket, ip(own), &echo(0, 1, b"self")).unwrap();
        let replies = bench.lab.received(bench.host, socket);
        assert_eq!(replies.len(), 1, "{own}");
        assert_eq!(&replies[0][8..], b"self");
    }
    bench.no_answer();
}

/// RFC 1122 §3.2.1.8 (d): the recorded route comes back and goes on; Linux records the address
/// where the request arrived and where the reply leaves.
#[test]
fn a_recorded_route_comes_back_and_goes_on() {
    let mut bench = Bench::new();
    let mut option = [0; 39];
    option[..3].copy_from_slice(&[ipv4_options::RR, 39, 8]);
    option[3..7].copy_from_slice(&ip(PEER).octets());
    let reply = bench.ask(&Ip::icmp(ip(PEER), ip(US), echo(1, 1, b"")).options(&option));
    let header = ipv4(&reply);
    let mut expected = option.to_vec();
    expected[2] = 16;
    expected[7..11].copy_from_slice(&ip(US).octets());
    expected[11..15].copy_from_slice(&ip(US).octets());
    expected.push(0);
    assert_eq!(header.options(), expected);
}

#[test]
fn a_full_recorded_route_comes_back_as_it_is() {
    let mut bench = Bench::new();
    let option = [ipv4_options::RR, 7, 8, 192, 0, 2, 1];
    let reply = bench.ask(&Ip::icmp(ip(PEER), ip(US), echo(1, 1, b"")).options(&option));
    assert_eq!(ipv4(&reply).options()[..7], option);
}

/// RFC 791 §3.1: milliseconds since midnight, each with the address that entered it.
#[test]
fn timestamps_are_entered_with_their_addresses() {
    let mut bench = Bench::new();
    let now = bench.lab.now();
    // 01:02:03.456 on some day.
    let midnight = 1_700_006_400;
    let time = Duration::from_secs(midnight) + millis(3_723_456);
    bench.lab.stack(bench.host).set_wall_clock(now, time);
    let mut option = [0; 36];
    option[..4].copy_from_slice(&[ipv4_options::TS, 36, 5, 1]);
    let reply = bench.ask(&Ip::icmp(ip(PEER), ip(US), echo(1, 1, b"")).options(&option));
    let mut entry = ip(US).octets().to_vec();
    entry.extend_from_slice(&3_723_456_u32.to_be_bytes());
    let mut expected = vec![ipv4_options::TS, 36, 21, 1];
    expected.extend_from_slice(&entry);
    expected.extend_from_slice(&entry);
    expected.resize(36, 0);
    assert_eq!(ipv4(&reply).options(), expected);
}

/// RFC 791 §3.1: without room only the overflow count grows, once for each host on the way (Linux: on the way in).
#[test]
fn a_full_timestamp_option_counts_who_found_no_room() {
    let mut bench = Bench::new();
    let option = [ipv4_options::TS, 8, 9, 0x10, 1, 2, 3, 4];
    let reply = bench.ask(&Ip::icmp(ip(PEER), ip(US), echo(1, 1, b"")).options(&option));
    assert_eq!(ipv4(&reply).options(), [ipv4_options::TS, 8, 9, 0x20, 1, 2, 3, 4]);
}

/// RFC 791 §3.1, flag 3: only the host named next enters its time.
#[test]
fn prespecified_timestamps_are_entered_only_by_those_named() {
    let mut bench = Bench::new();
    let mut option = vec![ipv4_options::TS, 20, 5, 3];
    for named in [US, PEER] {
        option.extend_from_slice(&ip(named).octets());
        option.extend_from_slice(&[0; 4]);
    }
    let reply = bench.ask(&Ip::icmp(ip(PEER), ip(US), echo(1, 1, b"")).options(&option));
    let options = ipv4(&reply).options().to_vec();
    assert_eq!(options[..4], [ipv4_options::TS, 20, 13, 3], "once: the peer is named next");
    assert_ne!(options[8..12], [0; 4]);
    assert_eq!(options[12..20], option[12..20]);
}

/// Linux `ip_options_echo` returns routes and timestamps; padding and alerts are for one way.
#[test]
fn other_options_do_not_come_back() {
    let mut bench = Bench::new();
    let options = [ipv4_options::NOP, ipv4_options::RA, 4, 0, 0, 0x5e, 3, 9];
    let reply = bench.ask(&Ip::icmp(ip(PEER), ip(US), echo(1, 1, b"")).options(&options));
    assert_eq!(ipv4(&reply).options(), b"");
}

/// RFC 792: the checksum covers the whole message.
#[test]
fn a_wrong_checksum_is_counted_and_dropped() {
    let mut bench = Bench::new();
    for at in [1, 4, 8, 15] {
        let mut message = echo(1, 1, b"eight by");
        message[at] ^= 0x40;
        bench.inject(&Ip::icmp(ip(PEER), ip(US), message));
    }
    bench.no_answer();
    let snapshot = bench.lab.snapshot(bench.host);
    assert_eq!(snapshot.dropped(DropReason::IcmpChecksum), 4);
    let icmp = snapshot.icmp;
    assert_eq!((icmp.in_msgs, icmp.in_errors, icmp.in_csum_errors), (4, 4, 4));
    assert_eq!(icmp.in_echos, 0, "what type it had cannot be known");
}

#[test]
fn a_message_without_a_whole_header_is_counted_and_dropped() {
    let mut bench = Bench::new();
    for len in 0..8 {
        bench.inject(&Ip::icmp(ip(PEER), ip(US), vec![8; len]));
    }
    bench.no_answer();
    let snapshot = bench.lab.snapshot(bench.host);
    assert_eq!(snapshot.dropped(DropReason::IcmpMalformed), 8);
    assert_eq!((snapshot.icmp.in_msgs, snapshot.icmp.in_errors), (8, 8));
}

/// Linux `icmp_echo_ignore_all`.
#[test]
fn all_requests_can_be_ignored() {
    let mut config = Config::default();
    config.icmp.echo_ignore_all = true;
    let mut bench = Bench::with(config);
    bench.inject(&Ip::icmp(ip(PEER), ip(US), echo(1, 1, b"")));
    bench.no_answer();
    let snapshot = bench.lab.snapshot(bench.host);
    assert_eq!(snapshot.dropped(DropReason::IcmpIgnored), 1);
    assert_eq!((snapshot.icmp.in_echos, snapshot.icmp.in_errors), (1, 0));
}

const MANY: [&str; 3] = ["10.0.0.255", "255.255.255.255", "224.0.0.1"];

/// RFC 1122 §3.2.2.6: MAY be silently discarded; Linux `icmp_echo_ignore_broadcasts` is on. What
/// the frame is addressed to makes no difference.
#[test]
fn requests_to_many_are_ignored() {
    let mut bench = Bench::new();
    for dst in MANY {
        let request = Ip::icmp(ip(PEER), ip(dst), echo(1, 1, b""));
        bench.inject_broadcast(&request);
        bench.inject(&request);
    }
    bench.no_answer();
    assert_eq!(bench.lab.snapshot(bench.host).dropped(DropReason::IcmpIgnored), 6);
    assert_eq!(bench.lab.snapshot(bench.host).icmp.in_echos, 6);
}

/// RFC 1122 §3.2.2.6: the source of the reply must be an address of ours, never that of many.
#[test]
fn requests_to_many_are_answered_from_our_own_address_when_allowed() {
    let mut config = Config::default();
    config.icmp.echo_ignore_broadcasts = false;
    let mut bench = Bench::with(config);
    for dst in MANY {
        let request = Ip::icmp(ip(PEER), ip(dst), echo(1, 1, b"all"));
        for broadcast in [true, false] {
            if broadcast {
                bench.inject_broadcast(&request);
            } else {
                bench.inject(&request);
            }
            let reply = bench.answer();
            let header = ipv4(&reply);
            assert_eq!((header.src(), header.dst()), (ip(US), ip(PEER)), "{dst}, {broadcast}");
        }
    }
}

/// Linux `fib_compute_spec_dst`: of several addresses the one in the asker's subnet.
#[test]
fn a_broadcast_is_answered_from_the_address_in_the_askers_subnet() {
    let mut config = Config::default();
    config.icmp.echo_ignore_broadcasts = false;
    let mut bench = Bench::with(config);
    let (now, link) = (bench.lab.now(), bench.link);
    let second = "10.5.0.1/24".parse().unwrap();
    bench.lab.stack(bench.host).add_address(now, link, second).unwrap();
    bench.lab.know(bench.host, link, ip("10.5.0.2"), bench.tester.mac);
    bench.inject_broadcast(&Ip::icmp(ip("10.5.0.2"), ip("255.255.255.255"), echo(1, 1, b"")));
    assert_eq!(ipv4(&bench.answer()).src(), ip("10.5.0.1"));
}

#[test]
fn a_group_is_answered_only_by_its_members() {
    let mut config = Config::default();
    config.icmp.echo_ignore_broadcasts = false;
    let mut bench = Bench::with(config);
    let group = ip("239.1.2.3");
    let request = Ip::icmp(ip(PEER), group, echo(1, 1, b""));
    let frame = ip_frame(bench.tester.mac, MacAddr::from_ipv4_multicast(group), &request.build());
    bench.lab.inject(bench.tester, frame.clone());
    bench.no_answer();
    assert_eq!(bench.lab.drops(bench.host), [DropReason::NotMember]);
    let link = bench.link;
    bench.lab.join(bench.host, link, group);
    bench.lab.inject(bench.tester, frame);
    assert_eq!(ipv4(&bench.answer()).src(), ip(US));
}

/// A unicast packet in a broadcast frame is answered (Linux `drop_unicast_in_l2_multicast` off).
#[test]
fn a_request_in_a_broadcast_frame_is_answered() {
    let mut bench = Bench::new();
    bench.inject_broadcast(&Ip::icmp(ip(PEER), ip(US), echo(1, 1, b"")));
    assert_eq!(ipv4(&bench.answer()).src(), ip(US));
}

#[test]
fn a_reply_that_nobody_asked_for_is_dropped_silently() {
    let mut bench = Bench::new();
    bench.inject(&Ip::icmp(ip(PEER), ip(US), echo_reply(1, 1, b"")));
    bench.no_answer();
    let snapshot = bench.lab.snapshot(bench.host);
    assert_eq!(snapshot.dropped(DropReason::NoSocket), 1);
    assert_eq!((snapshot.icmp.in_echo_reps, snapshot.icmp.in_errors), (1, 0));
}

/// RFC 1122 §3.2.2: MUST be silently discarded.
#[test]
fn messages_of_unknown_types_are_dropped_silently() {
    let mut bench = Bench::new();
    for icmp_type in [19, 37, 41, 44, 127, 255] {
        let message = icmp(Message::Unknown { icmp_type, code: 0, rest: [0; 4] }, b"");
        bench.inject(&Ip::icmp(ip(PEER), ip(US), message));
    }
    bench.no_answer();
    assert_eq!(bench.lab.snapshot(bench.host).dropped(DropReason::IcmpUnhandled), 6);
}

#[test]
fn the_last_host_without_room_does_not_make_the_count_overflow() {
    let mut bench = Bench::new();
    let option = [ipv4_options::TS, 8, 9, 0xe0, 1, 2, 3, 4];
    let reply = bench.ask(&Ip::icmp(ip(PEER), ip(US), echo(1, 1, b"")).options(&option));
    assert_eq!(ipv4(&reply).options(), [ipv4_options::TS, 8, 9, 0xf0, 1, 2, 3, 4]);
}

/// A sender on the same machine may leave the checksum open; the reply has a whole one.
#[test]
fn a_request_with_an_open_checksum_is_answered_with_a_right_one() {
    let mut bench = Bench::new();
    let mut message = echo(7, 3, b"open");
    // Without a pseudo-header its folded sum is zero.
    message[2..4].fill(0);
    let packet = Ip::icmp(ip(PEER), ip(US), message).build();
    let (now, host, link) = (bench.lab.now(), bench.host, bench.link);
    let mac = bench.lab.mac(host, link);
    let mut frame = Packet::from_slice(&ip_frame(bench.tester.mac, mac, &packet));
    frame.meta.checksum = ChecksumState::Partial { start: 20, offset: 2 };
    bench.lab.stack(host).handle_frame(now, link, frame);
    bench.lab.settle();
    let reply = bench.lab.heard_one_ip(bench.tester);
    assert_eq!(ipv4(&reply).payload(), echo_reply(7, 3, b"open"));
}
