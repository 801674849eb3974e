//! What IPv4 does with a packet that arrives: validation, martians, options.

mod frames;

use core::net::Ipv4Addr;

use tapping_stack::interface::ReversePathFilter;
use tapping_stack::route::{Route, RouteSelector};
use tapping_stack::stats::{DropReason, IpMib, Snapshot};
use tapping_stack::time::Duration;
use tapping_stack::wire::ipv4::set_ttl;
use tapping_stack::wire::ipv4_options::{LSRR, NOP, RA, RR, SSRR, TS};
use tapping_stack::wire::{EtherType, MacAddr, Message, Protocol, ipv4 as wire};
use tapping_stack::{LinkId, Stack};

use crate::lab::*;

const HERE: &str = "10.0.0.1";
const PEER: &str = "10.0.0.9";

/// One host, 10.0.0.1/24, and a tester that it knows as 10.0.0.9.
pub struct Bench {
    pub lab: Lab,
    pub host: Host,
    pub link: LinkId,
    pub tester: Tester,
}

impl Bench {
    pub fn new() -> Self {
        let (mut lab, host, link, tester) = Lab::with_tester("10.0.0.1/24");
        lab.know(host, link, ip(PEER), tester.mac);
        Bench { lab, host, link, tester }
    }

    pub fn stack(&mut self) -> &mut Stack {
        self.lab.stack(self.host)
    }

    /// Injects a packet and returns the reasons of the drops that followed.
    pub fn give(&mut self, packet: &[u8]) -> Vec<DropReason> {
        self.lab.events(self.host);
        self.lab.inject_ip(self.tester, self.host, self.link, packet);
        self.lab.drops(self.host)
    }

    /// Injects a packet that must be dropped for `reason` without any answer.
    #[track_caller]
    pub fn refuses(&mut self, packet: &[u8], reason: DropReason) -> IpMib {
        let before = self.lab.snapshot(self.host).dropped(reason);
        assert_eq!(self.give(packet), [reason]);
        let after = self.lab.snapshot(self.host);
        assert_eq!(after.dropped(reason), before + 1);
        assert!(self.lab.heard(self.tester).is_empty(), "nothing is answered");
        after.ip
    }

    /// Injects an echo request that must be answered, and returns the reply.
    #[track_caller]
    pub fn answers(&mut self, packet: &[u8]) -> Vec<u8> {
        assert_eq!(self.give(packet), []);
        let reply = self.lab.heard_one_ip(self.tester);
        let message = icmp_in(&reply).message();
        assert!(matches!(message, Message::EchoReply { .. }), "{message:?}");
        reply
    }

    pub fn snapshot(&self) -> Snapshot {
        self.lab.snapshot(self.host)
    }
}

fn echo_from(src: &str, dst: &str) -> Ip {
    Ip::icmp(ip(src), ip(dst), echo(7, 1, b"abcdefgh"))
}

/// A packet with one byte changed and the header checksum made right again.
fn with_byte(at: usize, value: u8) -> Vec<u8> {
    let mut packet = echo_from(PEER, HERE).build();
    packet[at] = value;
    if usize::from(packet[0] & 0x0f) * 4 >= wire::HEADER_LEN {
        wire::fill_checksum(&mut packet);
    }
    packet
}

mod header {
    use super::*;

    /// RFC 1122 §3.2.1.1: a datagram whose version is not 4 is silently discarded.
    #[test]
    fn version_other_than_4_is_dropped() {
        for version in (0..16u8).filter(|version| *version != 4) {
            let ip =
                Bench::new().refuses(&with_byte(0, version << 4 | 5), DropReason::Ipv4HeaderError);
            assert_eq!((ip.in_receives, ip.in_hdr_errors), (1, 1), "version {version}");
        }
    }

    /// RFC 791 §3.1: the minimum header length is 5 words.
    #[test]
    fn header_length_below_5_words_is_dropped() {
        for words in 0..5 {
            let ip = Bench::new().refuses(&with_byte(0, 0x40 | words), DropReason::Ipv4HeaderError);
            assert_eq!(ip.in_hdr_errors, 1, "IHL {words}");
        }
    }

    /// Linux `ip_rcv_core`: without a whole header it is a header error, whatever the header
    /// claims.
    #[test]
    fn less_than_a_header_is_a_header_error() {
        let whole = echo_from(PEER, HERE).build();
        for len in 0..wire::HEADER_LEN {
            let ip = Bench::new().refuses(&whole[..len], DropReason::Ipv4HeaderError);
            assert_eq!((ip.in_hdr_errors, ip.in_truncated_pkts), (1, 0), "{len} bytes");
            let ip = Bench::new().refuses(&vec![0x41; len], DropReason::Ipv4HeaderError);
            assert_eq!((ip.in_hdr_errors, ip.in_truncated_pkts), (1, 0), "{len} bytes");
        }
        let mut options = echo_from(PEER, HERE).options(&[NOP; 8]).build();
        options.truncate(24);
        let ip = Bench::new().refuses(&options, DropReason::Ipv4HeaderError);
        assert_eq!((ip.in_hdr_errors, ip.in_truncated_pkts), (1, 0));
    }

    /// Linux `ip_rcv_core`: a total length below the header's is a header error.
    #[test]
    fn total_length_below_the_header_is_dropped() {
        for total_len in [0, 19] {
            let ip = Bench::new().refuses(&with_byte(3, total_len), DropReason::Ipv4HeaderError);
            assert_eq!(ip.in_hdr_errors, 1, "total length {total_len}");
        }
    }

    /// RFC 4293 `ipSystemStatsInTruncatedPkts`.
    #[test]
    fn total_length_beyond_the_frame_is_dropped() {
        let packet = echo_from(PEER, HERE).build();
        let cut = &packet[..packet.len() - 1];
        let ip = Bench::new().refuses(cut, DropReason::Ipv4Truncated);
        assert_eq!((ip.in_truncated_pkts, ip.in_hdr_errors), (1, 0));
    }

    /// RFC 894: what an Ethernet frame is padded with is no part of the datagram.
    #[test]
    fn ethernet_padding_is_cut_off() {
        let mut packet = echo_from(PEER, HERE).build();
        let len = packet.len();
        packet.resize(46, 0xaa);
        let reply = Bench::new().answers(&packet);
        assert_eq!(reply.len(), len);
        assert_eq!(icmp_in(&reply).payload(), b"abcdefgh");
    }

    /// RFC 1122 §3.2.1.2: a wrong header checksum is silently discarded, whichever bit is wrong.
    #[test]
    fn wrong_header_checksum_is_dropped() {
        let packet = echo_from(PEER, HERE).build();
        // Not the bits of version, header length and total length: those fail before.
        for bit in (8..16).chain(32..160) {
            let mut damaged = packet.clone();
            damaged[bit / 8] ^= 0x80 >> (bit % 8);
            let ip = Bench::new().refuses(&damaged, DropReason::Ipv4Checksum);
            assert_eq!((ip.in_csum_errors, ip.in_hdr_errors), (1, 1), "bit {bit}");
        }
    }

    /// RFC 1122 §3.2.1.7: a host must not discard a datagram because its TTL is below 2.
    #[test]
    fn ttl_does_not_matter_at_the_destination() {
        for ttl in [0, 1] {
            let mut packet = echo_from(PEER, HERE).build();
            set_ttl(&mut packet, ttl);
            Bench::new().answers(&packet);
        }
    }

    /// RFC 791 §3.1 leaves the reserved flag to the sender; Linux does not look at it.
    #[test]
    fn reserved_flag_does_not_matter() {
        Bench::new().answers(&with_byte(6, 0x80));
    }

    /// RFC 1122 §3.2.2.1: an unknown protocol is answered with protocol unreachable.
    #[test]
    fn unknown_protocol_is_reported() {
        let mut bench = Bench::new();
        let packet = Ip::new(ip(PEER), ip(HERE), Protocol(200), vec![1; 16]).build();
        assert_eq!(bench.give(&packet), [DropReason::UnknownProtocol]);
        assert_eq!(bench.snapshot().ip.in_unknown_protos, 1);
        assert_eq!(bench.snapshot().ip.in_delivers, 0);
        let error = bench.lab.heard_one_ip(bench.tester);
        assert_eq!((icmp_in(&error).icmp_type(), icmp_in(&error).code()), (3, 2));
    }

    /// RFC 4293: every packet counts as received and with its bytes, a good one as delivered.
    #[test]
    fn good_packets_are_counted() {
        let mut bench = Bench::new();
        let packet = echo_from(PEER, HERE).build();
        bench.answers(&packet);
        let ip = bench.snapshot().ip;
        assert_eq!((ip.in_receives, ip.in_delivers, ip.in_octets), (1, 1, packet.len() as u64));
        assert_eq!((ip.out_requests, ip.out_transmits, ip.out_octets), (1, 1, packet.len() as u64));
    }
}

mod martians {
    use super::*;

    /// RFC 1122 §3.2.1.3: sources that no packet may have, and our own (Linux
    /// `ip_route_input_slow`, `fib_validate_source`).
    #[test]
    fn sources_that_cannot_be() {
        let sources = [
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.255.254",
            HERE,
            "10.0.0.255",
        ];
        for src in sources {
            let ip = Bench::new().refuses(&echo_from(src, HERE).build(), DropReason::MartianSource);
            assert_eq!(ip.in_addr_errors, 1, "from {src}");
        }
    }

    /// The same sources are refused when the packet is for others and would be forwarded.
    #[test]
    fn sources_that_cannot_be_are_not_forwarded() {
        for src in ["224.0.0.1", "255.255.255.255", "0.0.0.0", "127.0.0.1", HERE, "10.0.0.255"] {
            let mut bench = Bench::new();
            bench.stack().set_forwarding(true);
            let default = Route::via("0.0.0.0/0".parse().unwrap(), ip("10.0.0.2").into());
            bench.stack().add_route(default).unwrap();
            bench.refuses(&echo_from(src, "192.0.2.1").build(), DropReason::MartianSource);
        }
    }

    /// RFC 1122 §3.2.1.3 (a), (b), (g): 0.0.0.0/8 and 127.0.0.0/8 are no destinations on a link.
    #[test]
    fn destinations_that_cannot_be() {
        for dst in ["0.0.0.0", "0.0.0.1", "0.255.255.255", "127.0.0.1", "127.1.2.3"] {
            let packet = echo_from(PEER, dst).build();
            let ip = Bench::new().refuses(&packet, DropReason::MartianDestination);
            assert_eq!(ip.in_addr_errors, 1, "to {dst}");
        }
    }

    /// Somebody else's address, on the link or not (RFC 1122 §3.3.4.2).
    #[test]
    fn packets_for_others_are_not_forwarded_by_a_host() {
        for dst in ["10.0.0.7", "192.0.2.1", "240.0.0.1"] {
            let packet = echo_from(PEER, dst).build();
            let ip = Bench::new().refuses(&packet, DropReason::NotForwarding);
            assert_eq!(ip.in_addr_errors, 1, "to {dst}");
        }
    }

    /// `net.ipv4.conf.*.route_localnet` lets 127.0.0.0/8 in.
    #[test]
    fn route_localnet_lets_loopback_addresses_in() {
        let mut bench = Bench::new();
        let link = bench.link;
        bench.stack().interface_config(link).unwrap().route_localnet = true;
        let reply = bench.answers(&echo_from(PEER, "127.0.0.1").build());
        assert_eq!(ipv4(&reply).src(), Ipv4Addr::LOCALHOST);
    }

    /// `net.ipv4.conf.*.accept_local` takes packets from our own addresses.
    #[test]
    fn accept_local_takes_our_own_source() {
        let mut bench = Bench::new();
        let link = bench.link;
        bench.stack().interface_config(link).unwrap().accept_local = true;
        let packet = echo_from(HERE, HERE).build();
        assert_eq!(bench.give(&packet), [DropReason::NoSocket], "the reply comes back to us");
        assert_eq!(bench.snapshot().icmp.in_echos, 1);
    }

    fn two_links(filter: ReversePathFilter) -> Bench {
        let mut bench = Bench::new();
        let segment = bench.lab.segment();
        bench.lab.attach(bench.host, segment, "10.0.1.1/24");
        let link = bench.link;
        bench.stack().interface_config(link).unwrap().rp_filter = filter;
        bench
    }

    /// RFC 3704 §2.2: strict filtering takes only what would be answered over the same link.
    #[test]
    fn strict_reverse_path() {
        let mut bench = two_links(ReversePathFilter::Strict);
        bench.answers(&echo_from(PEER, HERE).build());
        bench.refuses(&echo_from("10.0.1.9", HERE).build(), DropReason::ReversePath);
        bench.refuses(&echo_from("192.0.2.1", HERE).build(), DropReason::ReversePath);
        bench.refuses(&echo_from("10.0.0.255", HERE).build(), DropReason::MartianSource);
        bench.refuses(&echo_from(HERE, HERE).build(), DropReason::MartianSource);
    }

    /// RFC 3704 §2.4: loose filtering takes what can be answered over any link.
    #[test]
    fn loose_reverse_path() {
        let mut bench = two_links(ReversePathFilter::Loose);
        bench.answers(&echo_from(PEER, HERE).build());
        let elsewhere = echo_from("10.0.1.9", HERE).build();
        assert_eq!(bench.give(&elsewhere), []);
        assert_eq!(bench.snapshot().icmp.in_echos, 2);
        bench.refuses(&echo_from("192.0.2.1", HERE).build(), DropReason::ReversePath);
    }

    /// Without a filter an asymmetric path is fine.
    #[test]
    fn no_reverse_path_filter() {
        let mut bench = two_links(ReversePathFilter::Off);
        assert_eq!(bench.give(&echo_from("10.0.1.9", HERE).build()), []);
        assert_eq!(bench.snapshot().icmp.in_echos, 1);
    }

    /// Linux `__fib_validate_source`: a route that rejects is no way back.
    #[test]
    fn a_rejecting_route_is_no_way_back() {
        for filter in [ReversePathFilter::Strict, ReversePathFilter::Loose] {
            let mut bench = two_links(filter);
            let route = Route::blackhole("192.0.2.0/24".parse().unwrap());
            bench.stack().add_route(route).unwrap();
            bench.refuses(&echo_from("192.0.2.1", HERE).build(), DropReason::ReversePath);
        }
    }

    /// Linux `__fib_validate_source`: an own address may come in, with `accept_local`, by its own
    /// link only when the check is strict.
    #[test]
    fn accept_local_does_not_switch_off_the_strict_check() {
        let mut bench = two_links(ReversePathFilter::Strict);
        let link = bench.link;
        bench.stack().interface_config(link).unwrap().accept_local = true;
        bench.refuses(&echo_from("10.0.1.1", HERE).build(), DropReason::ReversePath);
        assert_eq!(bench.give(&echo_from(HERE, "10.0.1.1").build()), [DropReason::NoSocket]);
        bench.stack().interface_config(link).unwrap().rp_filter = ReversePathFilter::Loose;
        let packet = echo_from("10.0.1.1", HERE).build();
        assert_eq!(bench.give(&packet), [DropReason::NoSocket], "loose takes it");
    }

    /// The weak host model of Linux: any address of ours is good on any link.
    #[test]
    fn addresses_of_other_links_are_ours_too() {
        let mut bench = two_links(ReversePathFilter::Off);
        let reply = bench.answers(&echo_from(PEER, "10.0.1.1").build());
        assert_eq!(ipv4(&reply).src(), ip("10.0.1.1"));
    }

    /// An own address that was taken away is somebody else's.
    #[test]
    fn removed_addresses_are_not_ours() {
        let mut bench = Bench::new();
        let (now, link) = (bench.lab.now(), bench.link);
        bench.stack().add_address(now, link, "10.0.0.5/24".parse().unwrap()).unwrap();
        bench.answers(&echo_from(PEER, "10.0.0.5").build());
        bench.stack().remove_address(now, link, ip("10.0.0.5").into()).unwrap();
        bench.refuses(&echo_from(PEER, "10.0.0.5").build(), DropReason::NotForwarding);
    }

    /// A route to nowhere in the way of packets for others, while forwarding.
    #[test]
    fn no_route_while_forwarding_is_counted() {
        let mut bench = Bench::new();
        bench.stack().set_forwarding(true);
        assert_eq!(bench.give(&echo_from(PEER, "192.0.2.1").build()), [DropReason::NoRoute]);
        assert_eq!(bench.snapshot().ip.in_no_routes, 1);
        let route = Route::blackhole("192.0.2.0/24".parse().unwrap());
        bench.stack().add_route(route).unwrap();
        assert_eq!(bench.give(&echo_from(PEER, "192.0.2.1").build()), [DropReason::Blackhole]);
        let selector = RouteSelector::to("192.0.2.0/24".parse().unwrap());
        bench.stack().delete_route(&selector).unwrap();
        assert_eq!(bench.give(&echo_from(PEER, "192.0.2.1").build()), [DropReason::NoRoute]);
    }
}

mod broadcast_and_multicast {
    use super::*;

    fn udp_to(src: &str, dst: &str) -> Vec<u8> {
        Ip::udp(ip(src), ip(dst), 68, 67, b"anybody?").build()
    }

    /// A bench with a raw socket that hears UDP.
    fn listening() -> (Bench, tapping_stack::SocketId) {
        let mut bench = Bench::new();
        let socket = bench.stack().open_raw(Protocol::UDP).unwrap();
        (bench, socket)
    }

    #[track_caller]
    fn hears(src: &str, dst: &str, to: MacAddr) -> IpMib {
        let (mut bench, socket) = listening();
        let packet = udp_to(src, dst);
        bench.lab.inject(bench.tester, ip_frame(bench.tester.mac, to, &packet));
        assert_eq!(bench.lab.received(bench.host, socket), [packet]);
        assert!(bench.lab.heard(bench.tester).is_empty(), "no error about what went to many");
        bench.snapshot().ip
    }

    /// RFC 1122 §3.2.1.3 (c): the limited broadcast address, also from a host without an address.
    #[test]
    fn limited_broadcast_is_received() {
        for src in [PEER, "0.0.0.0"] {
            let ip = hears(src, "255.255.255.255", MacAddr::BROADCAST);
            assert_eq!((ip.in_bcast_pkts, ip.in_mcast_pkts), (1, 0), "from {src}");
        }
    }

    /// RFC 1122 §3.2.1.3 (d): the broadcast address of a subnet of ours.
    #[test]
    fn directed_broadcast_is_received() {
        let ip = hears(PEER, "10.0.0.255", MacAddr::BROADCAST);
        assert_eq!(ip.in_bcast_pkts, 1);
    }

    /// Linux: from 0.0.0.0 to 0.0.0.0 counts as a limited broadcast, for old BOOTP clients.
    #[test]
    fn zero_to_zero_is_a_broadcast() {
        let ip = hears("0.0.0.0", "0.0.0.0", MacAddr::BROADCAST);
        assert_eq!(ip.in_bcast_pkts, 1);
    }

    #[test]
    fn broadcasts_from_impossible_sources_are_dropped() {
        for src in ["224.0.0.1", "255.255.255.255", HERE, "10.0.0.255"] {
            for dst in ["255.255.255.255", "10.0.0.255"] {
                Bench::new().refuses(&udp_to(src, dst), DropReason::MartianSource);
            }
        }
    }

    /// RFC 1112 §7.2: every host is in 224.0.0.1.
    #[test]
    fn all_hosts_group_is_received() {
        let group = ip("224.0.0.1");
        let ip = hears(PEER, "224.0.0.1", MacAddr::from_ipv4_multicast(group));
        assert_eq!((ip.in_mcast_pkts, ip.in_bcast_pkts), (1, 0));
    }

    /// Other groups are received while they are joined, on the link where they are.
    #[test]
    fn joined_groups_are_received_and_no_others() {
        let (mut bench, socket) = listening();
        let group = ip("239.1.2.3");
        let packet = udp_to(PEER, "239.1.2.3");
        let frame = ip_frame(bench.tester.mac, MacAddr::from_ipv4_multicast(group), &packet);
        let link = bench.link;
        bench.lab.inject(bench.tester, frame.clone());
        assert_eq!(bench.lab.drops(bench.host), [DropReason::NotMember]);
        assert_eq!(bench.snapshot().ip.in_mcast_pkts, 0);

        bench.lab.join(bench.host, link, group);
        bench.lab.inject(bench.tester, frame.clone());
        assert_eq!(bench.lab.received(bench.host, socket).len(), 1);
        let other = udp_to(PEER, "239.1.2.4");
        bench.lab.events(bench.host);
        bench.refuses(&other, DropReason::NotMember);

        let now = bench.lab.now();
        bench.stack().leave_group(now, link, group).unwrap();
        bench.lab.inject(bench.tester, frame);
        assert_eq!(bench.lab.received(bench.host, socket).len(), 0);
    }

    /// Linux `ip_mc_validate_source`: a host without an address may speak to groups of the link
    /// only.
    #[test]
    fn multicast_from_nowhere_stays_on_the_link() {
        hears("0.0.0.0", "224.0.0.1", MacAddr::from_ipv4_multicast(ip("224.0.0.1")));
        let mut bench = Bench::new();
        let link = bench.link;
        bench.lab.join(bench.host, link, ip("239.1.2.3"));
        bench.refuses(&udp_to("0.0.0.0", "239.1.2.3"), DropReason::MartianSource);
    }

    #[test]
    fn multicast_from_impossible_sources_is_dropped() {
        for src in ["224.0.0.1", "255.255.255.255", "127.0.0.1", HERE, "10.0.0.255"] {
            Bench::new().refuses(&udp_to(src, "224.0.0.1"), DropReason::MartianSource);
        }
    }
}

mod options {
    use super::*;

    /// RFC 791 §3.1, RFC 1122 §3.2.1.8 (c): the host enters its address on receipt, and again when
    /// it sends the reply with the option (Linux `ip_options_echo`).
    #[test]
    fn record_route_is_filled_in_and_echoed() {
        let mut bench = Bench::new();
        let mut option = vec![NOP, RR, 15, 8, 10, 0, 0, 9];
        option.resize(16, 0);
        let reply = bench.answers(&echo_from(PEER, HERE).options(&option).build());
        let options = ipv4(&reply).options();
        assert_eq!(options, [RR, 15, 16, 10, 0, 0, 9, 10, 0, 0, 1, 10, 0, 0, 1, 0]);
    }

    /// RFC 791 §3.1: without room the datagram goes on without the address.
    #[test]
    fn full_record_route_stays_as_it_is() {
        let option = [RR, 7, 8, 10, 0, 0, 9, 0];
        let reply = Bench::new().answers(&echo_from(PEER, HERE).options(&option).build());
        assert_eq!(ipv4(&reply).options(), option);
    }

    fn bench_with_clock() -> (Bench, u32) {
        let mut bench = Bench::new();
        let now = bench.lab.now();
        // Half past midnight on some day.
        let unix = Duration::from_secs(86_400 * 20_000 + 1800);
        bench.stack().set_wall_clock(now, unix);
        (bench, 1_800_000)
    }

    /// RFC 791 §3.1, timestamp flag 0: times only.
    #[test]
    fn timestamps_only() {
        let (mut bench, time) = bench_with_clock();
        let option = [TS, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let reply = bench.answers(&echo_from(PEER, HERE).options(&option).build());
        let mut expected = vec![TS, 12, 13, 0];
        expected.extend(time.to_be_bytes());
        expected.extend(time.to_be_bytes());
        assert_eq!(ipv4(&reply).options(), expected);
    }

    /// RFC 791 §3.1: the top bit marks a time that is not since midnight UT.
    #[test]
    fn timestamps_without_a_wall_clock_are_marked() {
        let option = [TS, 8, 5, 0, 0, 0, 0, 0];
        let reply = Bench::new().answers(&echo_from(PEER, HERE).options(&option).build());
        // One entry, made on receipt; the sender of the reply does not count that it found no room.
        let options = ipv4(&reply).options().to_vec();
        assert_eq!(options[..4], [TS, 8, 9, 0]);
        assert_eq!(options[4] & 0x80, 0x80);
    }

    /// RFC 791 §3.1, timestamp flag 1: each time with the address.
    #[test]
    fn timestamps_with_addresses() {
        let (mut bench, time) = bench_with_clock();
        let mut option = vec![TS, 20, 5, 1];
        option.resize(20, 0);
        let reply = bench.answers(&echo_from(PEER, HERE).options(&option).build());
        let mut expected = vec![TS, 20, 21, 1];
        for _ in 0..2 {
            expected.extend(ip(HERE).octets());
            expected.extend(time.to_be_bytes());
        }
        assert_eq!(ipv4(&reply).options(), expected);
    }

    /// RFC 791 §3.1, timestamp flag 3: only at the addresses that the sender chose.
    #[test]
    fn timestamps_at_chosen_addresses() {
        let (mut bench, time) = bench_with_clock();
        let mut option = vec![TS, 20, 5, 3, 10, 0, 0, 1, 0, 0, 0, 0, 10, 0, 0, 9, 0, 0, 0, 0];
        let reply = bench.answers(&echo_from(PEER, HERE).options(&option).build());
        option[2] = 13;
        option[8..12].copy_from_slice(&time.to_be_bytes());
        assert_eq!(ipv4(&reply).options(), option);
    }

    /// RFC 791 §3.1: whoever finds no room counts it.
    #[test]
    fn timestamp_overflow_is_counted() {
        let option = [TS, 8, 9, 0x20, 1, 2, 3, 4];
        let reply = Bench::new().answers(&echo_from(PEER, HERE).options(&option).build());
        // On receipt, not by the sender of the reply (Linux `ip_options_build`).
        assert_eq!(ipv4(&reply).options(), [TS, 8, 9, 0x30, 1, 2, 3, 4]);
        let last = [TS, 8, 9, 0xe0, 1, 2, 3, 4];
        let reply = Bench::new().answers(&echo_from(PEER, HERE).options(&last).build());
        assert_eq!(ipv4(&reply).options(), [TS, 8, 9, 0xf0, 1, 2, 3, 4]);
    }

    /// Linux `__ip_options_compile`: with chosen addresses, who was not chosen lacks no room.
    #[test]
    fn full_timestamps_at_chosen_addresses_do_not_overflow() {
        let option = [TS, 12, 13, 0xf3, 10, 0, 0, 9, 1, 2, 3, 4];
        let reply = Bench::new().answers(&echo_from(PEER, HERE).options(&option).build());
        assert_eq!(ipv4(&reply).options(), option);
    }

    /// RFC 2113: router alert asks for nothing at its destination, and is not sent back.
    #[test]
    fn router_alert_is_accepted() {
        let reply = Bench::new().answers(&echo_from(PEER, HERE).options(&[RA, 4, 0, 0]).build());
        assert!(ipv4(&reply).options().is_empty());
    }

    /// RFC 1122 §3.2.1.8: unknown options are ignored.
    #[test]
    fn unknown_options_are_ignored() {
        Bench::new().answers(&echo_from(PEER, HERE).options(&[0x9e, 4, 1, 2, NOP, NOP]).build());
    }

    /// RFC 7126 §4.3: packets with a source route are dropped; Linux does so silently.
    #[test]
    fn source_routes_are_refused() {
        for kind in [LSRR, SSRR] {
            for pointer in [4, 8] {
                let option = [kind, 7, pointer, 10, 0, 0, 7];
                let packet = echo_from(PEER, HERE).options(&option).build();
                Bench::new().refuses(&packet, DropReason::SourceRoute);
            }
        }
    }

    /// RFC 1122 §3.2.2.5: a malformed option is reported by the position of the byte at fault.
    #[test]
    fn malformed_options_are_reported() {
        let cases: [(&[u8], u8); 12] = [
            // Length below two, and beyond the options.
            (&[RR, 1, 4, 0], 20),
            (&[NOP, RR, 8, 4], 21),
            // No length at all.
            (&[NOP, NOP, NOP, RR], 23),
            // Record route: too short; pointer before the slots; no whole slot left.
            (&[RR, 2, NOP, NOP], 21),
            (&[RR, 7, 3, 0, 0, 0, 0], 22),
            (&[RR, 6, 4, 0, 0, 0], 22),
            // The same twice.
            (&[RR, 3, 4, RR, 3, 4], 23),
            // Timestamp: too short; pointer; overflow count at its end.
            (&[TS, 3, 5, NOP], 21),
            (&[TS, 8, 4, 0, 0, 0, 0, 0], 22),
            (&[TS, 8, 9, 0xf0, 0, 0, 0, 0], 23),
            // Router alert too short.
            (&[RA, 3, 0, NOP], 21),
            (&[TS, 4, 5, 0, TS, 4, 5, 0], 24),
        ];
        for (option, pointer) in cases {
            let mut bench = Bench::new();
            let packet = echo_from(PEER, HERE).options(option).build();
            assert_eq!(bench.give(&packet), [DropReason::Ipv4OptionError], "{option:?}");
            assert_eq!(bench.snapshot().ip.in_hdr_errors, 1);
            let error = bench.lab.heard_one_ip(bench.tester);
            let expected = Message::ParameterProblem { code: 0, pointer };
            assert_eq!(icmp_in(&error).message(), expected, "{option:?}");
        }
    }

    /// END ends the list; nothing after it is looked at.
    #[test]
    fn nothing_after_the_end_of_options_counts() {
        Bench::new().answers(&echo_from(PEER, HERE).options(&[0, RR, 200, 0]).build());
    }
}
