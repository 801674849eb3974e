//! Odd packets that Linux has its own way with, as comparing the stack with it has shown.

use tapping_stack::stats::DropReason;
use tapping_stack::time::Duration;
use tapping_stack::wire::ipv4_options::{RR, TS};
use tapping_stack::wire::{ArpOperation, EtherType, MacAddr, Message, Protocol};

use crate::ipv4_input::Bench;
use crate::lab::*;

const HERE: &str = "10.0.0.1";
const PEER: &str = "10.0.0.9";

fn echo_with(options: &[u8]) -> Vec<u8> {
    Ip::icmp(ip(PEER), ip(HERE), echo(7, 1, b"abcdefgh")).options(options).build()
}

fn datagram_with(options: &[u8]) -> Vec<u8> {
    Ip::udp(ip(PEER), ip(HERE), 4000, 9, b"abcdefgh").options(options).build()
}

/// Linux `arp_process`: the number of IEEE 802 networks is as good as Ethernet's (RFC 1042); the
/// reply has Ethernet's.
#[test]
fn arp_requests_of_ieee_802_hardware_are_answered() {
    let mut bench = Bench::new();
    let request = arp_request(bench.tester.mac, ip(PEER), ip(HERE));
    let mut frame = arp_frame(MacAddr::BROADCAST, &request);
    frame[15] = 6;
    bench.lab.inject(bench.tester, frame);
    let heard = bench.lab.heard(bench.tester);
    let [reply] = &heard[..] else { panic!("one reply, not {heard:?}") };
    assert_eq!(reply.arp().expect("ARP").message.operation, ArpOperation::Reply);
    assert_eq!(reply.ethernet().payload()[..2], [0, 1]);
}

/// A priority tag within another (Linux `__netif_receive_skb_core` takes off both).
#[test]
fn several_priority_tags_are_taken_off() {
    let mut bench = Bench::new();
    let mac = bench.lab.mac(bench.host, bench.link);
    let mut tagged = vec![0x20, 0, 0x81, 0, 0, 0, 0x08, 0];
    tagged.extend(echo_with(&[]));
    for outer in [EtherType::VLAN, EtherType::QINQ] {
        bench.lab.inject(bench.tester, frame(bench.tester.mac, mac, outer, &tagged));
        let reply = bench.lab.heard_one_ip(bench.tester);
        assert_eq!(icmp_in(&reply).icmp_type(), 0);
    }
    // However many there are.
    let mut many: Vec<u8> = [0, 0, 0x81, 0].repeat(300);
    many.extend([0, 0]);
    bench.lab.events(bench.host);
    bench.lab.inject(bench.tester, frame(bench.tester.mac, mac, EtherType::VLAN, &many));
    assert_eq!(bench.lab.drops(bench.host), [DropReason::EthernetMalformed]);
}

/// Linux `ip_options_echo`: the route before the timestamps, whatever their order was.
#[test]
fn options_come_back_in_linux_s_order() {
    let mut bench = Bench::new();
    let options = [TS, 8, 9, 0, 1, 2, 3, 4, RR, 7, 8, 10, 0, 0, 9, 0];
    let reply = bench.answers(&echo_with(&options));
    let expected = [RR, 7, 8, 10, 0, 0, 9, TS, 8, 9, 0x10, 1, 2, 3, 4, 0];
    assert_eq!(ipv4(&reply).options(), expected);
}

/// Linux `ip_options_echo`: an option that has room left, but not for a whole entry, cannot be
/// sent back, so nothing is.
#[test]
fn options_that_cannot_be_filled_up_get_no_answer() {
    let options: [&[u8]; 5] = [
        &[RR, 8, 4, 0, 0, 0, 0, 0],
        &[RR, 10, 4, 0, 0, 0, 0, 0, 0, 0],
        &[TS, 9, 5, 0, 0, 0, 0, 0, 0],
        &[TS, 16, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[TS, 14, 5, 3, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    ];
    for options in options {
        let mut bench = Bench::new();
        bench.give(&echo_with(options));
        bench.give(&datagram_with(options));
        assert!(bench.lab.heard(bench.tester).is_empty(), "{options:?}");
        assert_eq!(bench.snapshot().ip.in_hdr_errors, 0, "{options:?}");
    }
}

/// Linux `ip_options_echo` looks only at whether a time still fits.
#[test]
fn half_an_entry_for_a_chosen_address_comes_back() {
    let mut bench = Bench::new();
    let options = [TS, 16, 5, 3, 10, 0, 0, 1, 0, 0, 0, 0, 10, 0, 0, 7];
    let reply = bench.answers(&echo_with(&options));
    let header = ipv4(&reply);
    assert_eq!(header.options()[..8], [TS, 16, 13, 3, 10, 0, 0, 1]);
    assert_eq!(header.options()[12..], [10, 0, 0, 7]);
}

/// Linux `__ip_options_compile` lets timestamps with an unknown flag pass; only overflows are
/// counted in them.
#[test]
fn timestamps_of_an_unknown_kind_come_back_as_they_are() {
    for flag in [2, 4, 15] {
        for pointer in [5, 9] {
            let options = [TS, 12, pointer, flag, 0, 0, 0, 0, 0, 0, 0, 0];
            let reply = Bench::new().answers(&echo_with(&options));
            assert_eq!(ipv4(&reply).options(), options, "flag {flag}");
        }
        let full = [TS, 8, 9, flag, 1, 2, 3, 4];
        let reply = Bench::new().answers(&echo_with(&full));
        assert_eq!(ipv4(&reply).options(), [TS, 8, 9, flag | 0x10, 1, 2, 3, 4], "flag {flag}");
    }
}

/// Linux `__ip_options_compile` enters the time unless the address chosen may be another host's.
#[test]
fn addresses_of_no_host_get_a_time() {
    for (addr, entered) in [
        ([0, 0, 0, 0], true),
        ([255, 255, 255, 255], true),
        ([10, 0, 0, 255], true),
        ([224, 0, 0, 1], true),
        ([10, 0, 0, 1], true),
        ([10, 0, 0, 9], false),
        ([192, 0, 2, 1], false),
    ] {
        let mut options = vec![TS, 12, 5, 3];
        options.extend(addr);
        options.extend([0; 4]);
        let reply = Bench::new().answers(&echo_with(&options));
        let pointer = if entered { 13 } else { 5 };
        assert_eq!(ipv4(&reply).options()[2], pointer, "{addr:?}");
    }
}

/// Linux: the option at fault does not come back.
#[test]
fn an_error_about_an_overflow_is_without_the_option() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.give(&echo_with(&[TS, 8, 9, 0xf0, 0, 0, 0, 0])),
        [DropReason::Ipv4OptionError]
    );
    let error = bench.lab.heard_one_ip(bench.tester);
    assert_eq!(icmp_in(&error).message(), Message::ParameterProblem { code: 0, pointer: 23 });
    assert_eq!(ipv4(&error).options(), b"");
}

/// The time of day is cut to milliseconds once, not in its parts.
#[test]
fn times_are_not_a_millisecond_late() {
    let mut bench = Bench::new();
    let start = bench.lab.now();
    let nearly = Duration::from_secs(86_400 * 20_000) + Duration::from_micros(1999);
    bench.stack().set_wall_clock(start, nearly);
    bench.lab.run_for(Duration::from_micros(1));
    let reply = bench.answers(&echo_with(&[TS, 8, 5, 0, 0, 0, 0, 0]));
    assert_eq!(ipv4(&reply).options()[4..], 2_u32.to_be_bytes());
}

/// Linux `inet_frag_queue_insert`: a fragment within those that came one after the other says
/// nothing new.
#[test]
fn a_fragment_of_what_is_there_is_a_duplicate() {
    let message = echo(7, 1, &[5; 88]);
    let part = |from: usize, to: usize| {
        let packet = Ip::icmp(ip(PEER), ip(HERE), message[from..to].to_vec()).id(1);
        packet.fragment(from, to < message.len()).build()
    };
    let mut bench = Bench::new();
    bench.give(&part(0, 32));
    bench.give(&part(32, 64));
    for (from, to) in [(0, 64), (24, 40), (8, 16), (32, 40), (56, 64)] {
        assert_eq!(bench.give(&part(from, to)), [DropReason::ReassemblyDuplicate]);
    }
    bench.answers(&part(64, 96));

    // Not so for those that came in another order: each stands alone.
    let mut bench = Bench::new();
    bench.give(&part(32, 64));
    bench.give(&part(0, 32));
    assert_eq!(bench.give(&part(8, 16)), [DropReason::ReassemblyDuplicate]);
    assert_eq!(bench.give(&part(24, 40)), [DropReason::ReassemblyOverlap]);
    assert_eq!(bench.stack().reassembly_memory(), 0);
}

/// Linux `ip_frag_queue`.
#[test]
fn an_empty_fragment_ends_its_datagram() {
    let message = echo(7, 1, &[5; 56]);
    let mut bench = Bench::new();
    let part = |from: usize, to: usize| {
        let packet = Ip::icmp(ip(PEER), ip(HERE), message[from..to].to_vec()).id(1);
        packet.fragment(from, to < message.len()).build()
    };
    bench.give(&part(0, 32));
    assert_eq!(bench.give(&part(32, 32)), [DropReason::ReassemblyMalformed]);
    assert_eq!(bench.stack().reassembly_memory(), 0);
    bench.give(&part(32, 64));
    assert!(bench.lab.heard(bench.tester).is_empty());
    // With none to end it leaves nothing behind.
    let mut bench = Bench::new();
    let empty = Ip::new(ip(PEER), ip(HERE), Protocol::UDP, Vec::new()).fragment(8, false).build();
    assert_eq!(bench.give(&empty), [DropReason::ReassemblyMalformed]);
    assert_eq!(bench.stack().reassembly_memory(), 0);
}
