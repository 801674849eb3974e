//! What IPv4 does with a packet of this host's own: route, header, fragments, path MTU.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::HashSet;

use tapping_stack::packet::ChecksumState;
use tapping_stack::route::{Route, RouteSelector};
use tapping_stack::socket::{ErrorOrigin, SocketErrorReport};
use tapping_stack::stats::DropReason;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::ipv4_options::{NOP, RA, RR};
use tapping_stack::wire::{MacAddr, Message, Protocol, Unreachable, ipv4::pseudo_header_sum};
use tapping_stack::{
    Config, LinkConfig, LinkId, Packet, PmtuDiscovery, SocketError, SocketId, Stack,
};

use crate::ipv4_input::Bench;
use crate::lab::*;

const HERE: &str = "10.0.0.1";
const ROUTER: &str = "10.0.0.9";
const FAR: &str = "192.0.2.1";

/// A bench with a default route through the tester and a ping socket.
fn routed() -> (Bench, SocketId) {
    let mut bench = Bench::new();
    bench.stack().add_route(default_route(ROUTER)).unwrap();
    let socket = bench.stack().open_ping(Some(7)).unwrap();
    (bench, socket)
}

fn default_route(gateway: &str) -> Route {
    Route::via("0.0.0.0/0".parse().unwrap(), ip(gateway).into())
}

/// An echo request that makes an IPv4 packet of `len` bytes.
fn request(len: usize) -> Vec<u8> {
    echo(7, 1, &vec![0x5a; len - 28])
}

fn set_pmtu(bench: &mut Bench, socket: SocketId, discovery: PmtuDiscovery) {
    bench.stack().socket_options(socket).unwrap().pmtu_discovery = discovery;
}

fn report(bench: &mut Bench, socket: SocketId) -> Option<SocketErrorReport> {
    bench.stack().recv_error(socket)
}

mod sources {
    use super::*;

    fn source(lab: &mut Lab, host: Host, dst: &str) -> Result<IpAddr, SocketError> {
        lab.stack(host).source_for(ip(dst).into())
    }

    /// Linux `inet_select_addr`: the address of the subnet that the next hop is in.
    #[test]
    fn the_subnet_of_the_next_hop_decides() {
        let mut lab = Lab::new();
        let host = lab.host("a");
        let (first, second) = (lab.segment(), lab.segment());
        let eth0 = lab.attach(host, first, "10.0.0.1/24");
        lab.attach(host, second, "10.0.1.1/24");
        let now = lab.now();
        for more in ["10.0.2.1/24", "10.0.0.2/24"] {
            lab.stack(host).add_address(now, eth0, more.parse().unwrap()).unwrap();
        }
        lab.stack(host).add_route(default_route("10.0.2.9")).unwrap();
        for (dst, src) in [
            ("10.0.0.9", "10.0.0.1"),
            ("10.0.1.9", "10.0.1.1"),
            ("10.0.2.9", "10.0.2.1"),
            (FAR, "10.0.2.1"),
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.2", "10.0.0.2"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.9.9.9", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
        ] {
            assert_eq!(source(&mut lab, host, dst), Ok(ip(src).into()), "to {dst}");
        }
    }

    /// ip-route(8), `src`.
    #[test]
    fn a_route_may_name_the_source() {
        let (mut bench, _) = routed();
        let (now, link) = (bench.lab.now(), bench.link);
        bench.stack().add_address(now, link, "10.0.0.5/24".parse().unwrap()).unwrap();
        let route = Route::via("198.51.100.0/24".parse().unwrap(), ip(ROUTER).into());
        bench.stack().add_route(route.with_source(ip("10.0.0.5").into())).unwrap();
        let host = bench.host;
        let named = source(&mut bench.lab, host, "198.51.100.1");
        assert_eq!(named, Ok(ip("10.0.0.5").into()));
        assert_eq!(source(&mut bench.lab, host, FAR), Ok(ip(HERE).into()));
    }

    /// RFC 1122 §3.2.1.3 (a): a host that has no address yet sends from 0.0.0.0.
    #[test]
    fn a_host_without_addresses_sends_from_zero() {
        let (mut lab, host, link, tester) = Lab::with_tester("");
        let socket = lab.stack(host).open_raw(Protocol(200)).unwrap();
        let options = lab.stack(host).socket_options(socket).unwrap();
        (options.broadcast, options.bind_link) = (true, Some(link));
        lab.send(host, socket, Ipv4Addr::BROADCAST, b"who am I").unwrap();
        let packet = lab.heard_one_ip(tester);
        assert_eq!(ipv4(&packet).src(), Ipv4Addr::UNSPECIFIED);
    }

    /// Linux `fib_disable_ip`: without an address a link has no routes, so nothing leaves from
    /// 0.0.0.0.
    #[test]
    fn routes_go_with_the_last_address_of_their_link() {
        let (mut bench, socket) = routed();
        let (now, link) = (bench.lab.now(), bench.link);
        bench.stack().add_address(now, link, "10.0.0.5/24".parse().unwrap()).unwrap();
        bench.stack().remove_address(now, link, ip("10.0.0.5").into()).unwrap();
        bench.lab.send(bench.host, socket, ip(FAR), &request(64)).unwrap();
        assert_eq!(bench.lab.heard(bench.tester).len(), 1, "one address is left");
        bench.stack().remove_address(now, link, ip(HERE).into()).unwrap();
        let sent = bench.lab.send(bench.host, socket, ip(FAR), &request(64));
        assert_eq!(sent, Err(SocketError::NetworkUnreachable));
        assert!(bench.lab.heard(bench.tester).is_empty());
        assert!(bench.stack().routes().all(|route| route.link != Some(link)));
    }

    /// RFC 1122 §3.2.1.3 (g): 127.0.0.0/8 does not leave the host (Linux `__mkroute_output`).
    #[test]
    fn loopback_addresses_do_not_leave_the_host() {
        let (mut bench, socket) = routed();
        bench.stack().bind(socket, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let sent = bench.lab.send(bench.host, socket, ip(FAR), &request(64));
        assert_eq!(sent, Err(SocketError::InvalidArgument));
        assert!(bench.lab.heard(bench.tester).is_empty());
        let link = bench.link;
        bench.stack().interface_config(link).unwrap().route_localnet = true;
        bench.lab.send(bench.host, socket, ip(FAR), &request(64)).unwrap();
        assert_eq!(ipv4(&bench.lab.heard_one_ip(bench.tester)).src(), Ipv4Addr::LOCALHOST);
    }
}

mod header {
    use super::*;

    /// RFC 6864 §4.3: identifications of packets that may be fragmented do not repeat within the
    /// time that fragments may live.
    #[test]
    fn identifications_do_not_repeat_in_a_burst() {
        let (mut bench, socket) = routed();
        set_pmtu(&mut bench, socket, PmtuDiscovery::Dont);
        let mut seen = HashSet::new();
        for n in 0..5000 {
            bench.lab.send(bench.host, socket, ip(FAR), &request(64)).unwrap();
            let packet = bench.lab.heard_one_ip(bench.tester);
            assert!(!ipv4(&packet).dont_fragment());
            assert!(seen.insert(ipv4(&packet).id()), "repeated after {n}");
            if n % 10 == 0 {
                bench.lab.run_for(Duration::from_millis(1));
            }
        }
    }

    /// RFC 6864 §4: an atomic packet needs none; Linux sends 0 where DF forbids fragments for good.
    #[test]
    fn identification_of_atomic_packets_is_zero() {
        let (mut bench, socket) = routed();
        for discovery in [PmtuDiscovery::Do, PmtuDiscovery::Probe] {
            set_pmtu(&mut bench, socket, discovery);
            bench.lab.send(bench.host, socket, ip(FAR), &request(64)).unwrap();
            let packet = bench.lab.heard_one_ip(bench.tester);
            assert_eq!((ipv4(&packet).dont_fragment(), ipv4(&packet).id()), (true, 0));
        }
    }

    /// `IP_MTU_DISCOVER`, ip(7); the default is `Want`.
    #[test]
    fn dont_fragment_follows_the_option() {
        let (mut bench, socket) = routed();
        let cases = [
            (None, true),
            (Some(PmtuDiscovery::Dont), false),
            (Some(PmtuDiscovery::Want), true),
            (Some(PmtuDiscovery::Do), true),
            (Some(PmtuDiscovery::Probe), true),
        ];
        for (discovery, df) in cases {
            if let Some(discovery) = discovery {
                set_pmtu(&mut bench, socket, discovery);
            }
            bench.lab.send(bench.host, socket, ip(FAR), &request(64)).unwrap();
            let packet = bench.lab.heard_one_ip(bench.tester);
            assert_eq!(ipv4(&packet).dont_fragment(), df, "{discovery:?}");
        }
    }

    /// `net.ipv4.ip_default_ttl`; `IP_TTL`; RFC 1112 §6.1: multicasts leave with 1.
    #[test]
    fn time_to_live() {
        let (mut bench, socket) = routed();
        let ttl = |bench: &mut Bench, dst: &str| {
            bench.lab.send(bench.host, socket, ip(dst), &request(64)).unwrap();
            let packet = bench.lab.heard_one_ip(bench.tester);
            ipv4(&packet).ttl()
        };
        assert_eq!(ttl(&mut bench, FAR), 64);
        assert_eq!(ttl(&mut bench, "239.1.2.3"), 1);
        let options = bench.stack().socket_options(socket).unwrap();
        (options.ttl, options.multicast_ttl) = (Some(3), 9);
        assert_eq!(ttl(&mut bench, FAR), 3);
        assert_eq!(ttl(&mut bench, "239.1.2.3"), 9);
    }

    /// The option of ip(7), recorded by the sender first (RFC 791 §3.1).
    #[test]
    fn options_are_sent_and_the_sender_records_itself() {
        let (mut bench, socket) = routed();
        let options = [RR, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0];
        bench.stack().socket_options(socket).unwrap().ip_options = options.to_vec();
        bench.lab.send(bench.host, socket, ip(FAR), &request(64)).unwrap();
        let packet = bench.lab.heard_one_ip(bench.tester);
        assert_eq!(ipv4(&packet).options(), [RR, 11, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(icmp_in(&packet).payload().len(), 36);
    }
}

mod fragments {
    use super::*;

    /// RFC 791 §3.2: every fragment fits the MTU and, but for the last, is as long as it can be.
    #[test]
    fn fragmentation_at_various_mtus() {
        for mtu in [68, 576, 1499, 1500] {
            for len in [mtu - 1, mtu, mtu + 1, 2 * mtu, 4000, 65_535] {
                let mut lab = Lab::new();
                let segment = lab.segment();
                let host = lab.host("a");
                let link = lab.attach_with_mtu(host, segment, "10.0.0.1/24", mtu);
                let tester = lab.tester(segment);
                lab.know(host, link, ip(ROUTER), tester.mac);
                let socket = lab.stack(host).open_ping(Some(7)).unwrap();
                let message: Vec<u8> = (0..len - 28).map(|n| (n / 3) as u8).collect();
                let message = echo(7, 1, &message);
                // More fragments than the queue has room for would be dropped there.
                let room = (mtu - 20) / 8 * 8;
                let count = if len <= mtu { 1 } else { (len - 20).div_ceil(room) };
                lab.send(host, socket, ip(ROUTER), &message).unwrap();
                let packets = lab.heard_ip(tester);
                assert_eq!(packets.len(), count.min(1000), "{len} bytes over {mtu}");
                if count > 1000 {
                    assert_eq!(
                        lab.snapshot(host).dropped(DropReason::TxQueueFull),
                        count as u64 - 1000
                    );
                    continue;
                }
                let mut at = 0;
                let mut whole = Vec::new();
                for (n, packet) in packets.iter().enumerate() {
                    let header = ipv4(packet);
                    assert_eq!(header.fragment_offset(), at);
                    assert_eq!(header.more_fragments(), n + 1 < count);
                    assert_eq!(header.id(), ipv4(&packets[0]).id());
                    assert_eq!(header.dont_fragment(), count == 1, "{len} bytes over {mtu}");
                    assert!(n + 1 == count || header.payload().len() == room);
                    at += header.payload().len();
                    whole.extend_from_slice(header.payload());
                }
                assert_eq!(whole, message);
                let stats = lab.snapshot(host).ip;
                let cut = count > 1;
                assert_eq!(stats.frag_oks, u64::from(cut));
                assert_eq!(stats.frag_creates, if cut { count as u64 } else { 0 });
                assert_eq!((stats.out_requests, stats.out_transmits), (1, count as u64));
            }
        }
    }

    /// RFC 791 §3.1: only options with the copied flag appear in every fragment.
    #[test]
    fn options_are_copied_by_their_flag() {
        let (mut bench, socket) = routed();
        let options = [RR, 7, 4, 0, 0, 0, 0, RA, 4, 0, 0];
        bench.stack().socket_options(socket).unwrap().ip_options = options.to_vec();
        bench.lab.send(bench.host, socket, ip(FAR), &request(3000)).unwrap();
        let packets = bench.lab.heard_ip(bench.tester);
        assert_eq!(packets.len(), 3);
        assert_eq!(ipv4(&packets[0]).options(), [RR, 7, 8, 10, 0, 0, 1, RA, 4, 0, 0, 0]);
        for packet in &packets[1..] {
            let expected = [NOP, NOP, NOP, NOP, NOP, NOP, NOP, RA, 4, 0, 0, 0];
            assert_eq!(ipv4(packet).options(), expected);
        }
    }

    /// RFC 791 §3.1: 65535 bytes and no more.
    #[test]
    fn what_is_longer_than_a_packet_is_refused() {
        let (mut bench, socket) = routed();
        let sent = bench.lab.send(bench.host, socket, ip(FAR), &vec![8; 65_516]);
        assert_eq!(sent, Err(SocketError::InvalidArgument), "not an echo request");
        let too_long = echo(7, 1, &vec![0; 65_508]);
        let sent = bench.lab.send(bench.host, socket, ip(FAR), &too_long);
        assert_eq!(sent, Err(SocketError::MessageTooLong));
        assert!(bench.lab.heard(bench.tester).is_empty());
    }
}

mod path_mtu {
    use super::*;

    /// A router says that the packet it quotes does not fit.
    fn too_big(bench: &mut Bench, sent: &[u8], mtu: u16) {
        let code = Unreachable::FragmentationNeeded { mtu };
        let message = icmp(Message::DestinationUnreachable(code), &sent[..28]);
        let packet = Ip::icmp(ip(ROUTER), ip(HERE), message).build();
        bench.give(&packet);
    }

    fn path_mtu(bench: &mut Bench) -> usize {
        let now = bench.lab.now();
        bench.stack().path_mtu(now, ip(FAR).into()).unwrap()
    }

    /// A bench that has learnt a path MTU of `mtu` for [`FAR`].
    fn learnt(mtu: u16) -> (Bench, SocketId) {
        let (mut bench, socket) = routed();
        bench.stack().socket_options(socket).unwrap().receive_errors = true;
        bench.lab.send(bench.host, socket, ip(FAR), &request(1400)).unwrap();
        let sent = bench.lab.heard_one_ip(bench.tester);
        assert!(ipv4(&sent).dont_fragment());
        too_big(&mut bench, &sent, mtu);
        let report = report(&mut bench, socket).expect("the error reaches the socket");
        assert_eq!((report.error, report.origin), (SocketError::MessageTooLong, ErrorOrigin::Icmp));
        assert_eq!((report.icmp_type, report.code, report.info), (3, 4, u32::from(mtu)));
        (bench, socket)
    }

    /// RFC 1191 §3, `IP_PMTUDISC_WANT`: what fits has DF, the rest is fragmented without it.
    #[test]
    fn want_fragments_to_the_path_mtu() {
        let (mut bench, socket) = learnt(1000);
        assert_eq!(path_mtu(&mut bench), 1000);
        bench.lab.send(bench.host, socket, ip(FAR), &request(1000)).unwrap();
        assert!(ipv4(&bench.lab.heard_one_ip(bench.tester)).dont_fragment());
        bench.lab.send(bench.host, socket, ip(FAR), &request(1400)).unwrap();
        let packets = bench.lab.heard_ip(bench.tester);
        assert_eq!(packets.iter().map(Vec::len).collect::<Vec<_>>(), [996, 424]);
        assert!(packets.iter().all(|packet| !ipv4(packet).dont_fragment()));
        // Another destination has its own.
        bench.lab.send(bench.host, socket, ip("192.0.2.2"), &request(1400)).unwrap();
        assert_eq!(bench.lab.heard_one_ip(bench.tester).len(), 1400);
    }

    /// `IP_PMTUDISC_DO`: EMSGSIZE, and the size that fits in the error queue (ip(7)).
    #[test]
    fn do_refuses_what_does_not_fit() {
        let (mut bench, socket) = learnt(1000);
        set_pmtu(&mut bench, socket, PmtuDiscovery::Do);
        let message = request(1001);
        let sent = bench.lab.send(bench.host, socket, ip(FAR), &message);
        assert_eq!(sent, Err(SocketError::MessageTooLong));
        assert_eq!(sent.unwrap_err().errno(), 90);
        assert!(bench.lab.heard(bench.tester).is_empty());
        let local = report(&mut bench, socket).expect("a local error");
        assert_eq!((local.error, local.origin), (SocketError::MessageTooLong, ErrorOrigin::Local));
        assert_eq!((local.icmp_type, local.code, local.info), (0, 0, 1000));
        assert_eq!((local.offender, local.destination), (None, ip(FAR).into()));
        bench.lab.send(bench.host, socket, ip(FAR), &request(1000)).unwrap();
        assert_eq!(bench.lab.heard_one_ip(bench.tester).len(), 1000);
        bench.stack().socket_options(socket).unwrap().receive_errors = false;
        bench.lab.send(bench.host, socket, ip(FAR), &message).unwrap_err();
        assert!(report(&mut bench, socket).is_none(), "only with IP_RECVERR");
    }

    /// `IP_PMTUDISC_PROBE`: DF up to the link's MTU, whatever was learnt.
    #[test]
    fn probe_ignores_the_path_mtu() {
        let (mut bench, socket) = learnt(1000);
        set_pmtu(&mut bench, socket, PmtuDiscovery::Probe);
        bench.lab.send(bench.host, socket, ip(FAR), &request(1500)).unwrap();
        let packet = bench.lab.heard_one_ip(bench.tester);
        assert!(ipv4(&packet).dont_fragment());
        let sent = bench.lab.send(bench.host, socket, ip(FAR), &request(1501));
        assert_eq!(sent, Err(SocketError::MessageTooLong));
        assert_eq!(report(&mut bench, socket).expect("a local error").info, 1500);
    }

    /// `IP_PMTUDISC_DONT`: never DF; the path MTU still says where to cut.
    #[test]
    fn dont_fragments_to_the_path_mtu() {
        let (mut bench, socket) = learnt(1000);
        set_pmtu(&mut bench, socket, PmtuDiscovery::Dont);
        bench.lab.send(bench.host, socket, ip(FAR), &request(1400)).unwrap();
        assert_eq!(bench.lab.heard_ip(bench.tester).len(), 2);
        bench.lab.send(bench.host, socket, ip(FAR), &request(900)).unwrap();
        assert!(!ipv4(&bench.lab.heard_one_ip(bench.tester)).dont_fragment());
    }

    /// What is longer than any packet is told the path MTU, too (Linux `__ip_append_data`).
    #[test]
    fn what_never_fits_is_told_the_path_mtu() {
        let (mut bench, socket) = learnt(1000);
        let sent = bench.lab.send(bench.host, socket, ip(FAR), &echo(7, 1, &vec![0; 65_508]));
        assert_eq!(sent, Err(SocketError::MessageTooLong));
        assert_eq!(report(&mut bench, socket).expect("a local error").info, 1000);
    }

    /// `net.ipv4.route.mtu_expires`: after ten minutes larger packets are tried again.
    #[test]
    fn the_path_mtu_expires() {
        let (mut bench, _) = learnt(1000);
        bench.lab.run_for(Duration::from_millis(599_999));
        assert_eq!(path_mtu(&mut bench), 1000);
        bench.lab.run_for(Duration::from_millis(2));
        assert_eq!(path_mtu(&mut bench), 1500);
    }

    /// RFC 1191 §3: it is never raised, and nothing below `net.ipv4.route.min_pmtu` is believed:
    /// then DF is left out instead.
    #[test]
    fn the_path_mtu_falls_only_and_not_below_its_minimum() {
        let (mut bench, socket) = learnt(1000);
        bench.lab.send(bench.host, socket, ip(FAR), &request(900)).unwrap();
        let sent = bench.lab.heard_one_ip(bench.tester);
        too_big(&mut bench, &sent, 1200);
        assert_eq!(path_mtu(&mut bench), 1000);
        too_big(&mut bench, &sent, 300);
        assert_eq!(path_mtu(&mut bench), 552);
        bench.lab.send(bench.host, socket, ip(FAR), &request(552)).unwrap();
        assert!(!ipv4(&bench.lab.heard_one_ip(bench.tester)).dont_fragment());
        set_pmtu(&mut bench, socket, PmtuDiscovery::Do);
        bench.lab.send(bench.host, socket, ip(FAR), &request(552)).unwrap();
        assert!(ipv4(&bench.lab.heard_one_ip(bench.tester)).dont_fragment());
    }

    /// Anybody could send such an error: it must quote a packet from an address of ours.
    #[test]
    fn errors_about_packets_of_others_are_not_believed() {
        let (mut bench, _) = routed();
        let foreign = Ip::icmp(ip("10.0.0.77"), ip(FAR), request(1400)).df().build();
        too_big(&mut bench, &foreign, 1000);
        assert_eq!(path_mtu(&mut bench), 1500);
    }

    /// The MTU of the route and of the link bound it.
    #[test]
    fn routes_and_links_have_an_mtu() {
        let (mut bench, socket) = routed();
        let route = Route::via("198.51.100.0/24".parse().unwrap(), ip(ROUTER).into());
        bench.stack().add_route(route.with_mtu(1300)).unwrap();
        bench.lab.send(bench.host, socket, ip("198.51.100.1"), &request(1301)).unwrap();
        assert_eq!(bench.lab.heard_ip(bench.tester).len(), 2);
        let link = bench.link;
        bench.stack().set_mtu(link, 1200).unwrap();
        assert_eq!(path_mtu(&mut bench), 1200);
    }

    /// Linux ties what it learns to the next hop: another route begins anew.
    #[test]
    fn a_changed_route_forgets_what_was_learnt() {
        let (mut bench, _) = learnt(1000);
        let better = Route::via("192.0.2.0/24".parse().unwrap(), ip("10.0.0.8").into());
        bench.stack().add_route(better).unwrap();
        assert_eq!(path_mtu(&mut bench), 1500);
    }

    /// `net.ipv4.ip_no_pmtu_disc`: no DF, nothing learnt.
    #[test]
    fn discovery_can_be_switched_off() {
        let mut config = Config::default();
        config.ipv4.no_pmtu_disc = true;
        let (mut lab, host, link, tester) = Lab::with_tester_and("10.0.0.1/24", config);
        lab.know(host, link, ip(ROUTER), tester.mac);
        let socket = lab.stack(host).open_ping(Some(7)).unwrap();
        lab.send(host, socket, ip(ROUTER), &request(1400)).unwrap();
        let sent = lab.heard_one_ip(tester);
        assert!(!ipv4(&sent).dont_fragment());
        let code = Unreachable::FragmentationNeeded { mtu: 1000 };
        let message = icmp(Message::DestinationUnreachable(code), &sent[..28]);
        lab.inject_ip(tester, host, link, &Ip::icmp(ip(ROUTER), ip(HERE), message).build());
        let now = lab.now();
        assert_eq!(lab.stack(host).path_mtu(now, ip(ROUTER).into()), Ok(1500));
    }
}

mod to_many {
    use super::*;

    /// ip(7), SO_BROADCAST: EACCES without leave.
    #[test]
    fn broadcast_needs_permission() {
        let (mut bench, socket) = routed();
        for dst in ["255.255.255.255", "10.0.0.255"] {
            let sent = bench.lab.send(bench.host, socket, ip(dst), &request(64));
            assert_eq!(sent, Err(SocketError::PermissionDenied), "to {dst}");
            assert_eq!(sent.unwrap_err().errno(), 13);
        }
        assert!(bench.lab.heard(bench.tester).is_empty());
    }

    /// RFC 919: both kinds of broadcast go out in broadcast frames, without ARP, and reach this
    /// host, too.
    #[test]
    fn broadcasts_leave_in_broadcast_frames() {
        for (dst, bound) in
            [("255.255.255.255", false), ("255.255.255.255", true), ("10.0.0.255", false)]
        {
            let (mut bench, _) = routed();
            let socket = bench.stack().open_raw(Protocol(200)).unwrap();
            let link = bench.link;
            let options = bench.stack().socket_options(socket).unwrap();
            options.broadcast = true;
            options.bind_link = bound.then_some(link);
            bench.lab.send(bench.host, socket, ip(dst), b"to all").unwrap();
            let frames = bench.lab.heard(bench.tester);
            assert_eq!(frames.len(), 1, "to {dst}");
            assert_eq!(frames[0].ethernet().dst(), MacAddr::BROADCAST);
            let packet = frames[0].ip().expect("no ARP");
            assert_eq!((ipv4(&packet).src(), ipv4(&packet).dst()), (ip(HERE), ip(dst)));
            assert_eq!(bench.lab.received(bench.host, socket), [packet], "to {dst}");
            assert_eq!(bench.snapshot().ip.out_bcast_pkts, 1);
        }
    }

    /// Without a default route there is no telling where 255.255.255.255 is.
    #[test]
    fn limited_broadcast_needs_a_link_or_a_route() {
        let mut bench = Bench::new();
        let socket = bench.stack().open_raw(Protocol(200)).unwrap();
        bench.stack().socket_options(socket).unwrap().broadcast = true;
        let sent = bench.lab.send(bench.host, socket, Ipv4Addr::BROADCAST, b"to all");
        assert_eq!(sent, Err(SocketError::NetworkUnreachable));
        // Linux `ip_route_output_key_hash`: a source address says which link.
        bench.stack().bind(socket, (ip(HERE), 0).into()).unwrap();
        bench.lab.send(bench.host, socket, Ipv4Addr::BROADCAST, b"to all").unwrap();
        assert_eq!(bench.lab.heard_ip(bench.tester).len(), 1);
    }

    /// RFC 1112 §6.4: the group's own MAC address; a copy comes back to members (ip(7),
    /// IP_MULTICAST_LOOP).
    #[test]
    fn multicasts_leave_in_multicast_frames_and_loop_back_to_members() {
        for (member, wanted) in [(true, true), (true, false), (false, true)] {
            let (mut bench, _) = routed();
            let socket = bench.stack().open_raw(Protocol(200)).unwrap();
            let (link, group) = (bench.link, ip("239.129.2.3"));
            bench.stack().socket_options(socket).unwrap().multicast_loop = wanted;
            if member {
                bench.lab.join(bench.host, link, group);
            }
            let before = bench.snapshot().ip.out_mcast_pkts;
            bench.lab.send(bench.host, socket, group, b"to some").unwrap();
            let frames = bench.lab.heard(bench.tester);
            assert_eq!(frames.len(), 1);
            assert_eq!(frames[0].ethernet().dst(), MacAddr([1, 0, 0x5e, 1, 2, 3]));
            let copies = bench.lab.received(bench.host, socket).len();
            assert_eq!(copies, usize::from(member && wanted), "{member} {wanted}");
            assert_eq!(bench.snapshot().ip.out_mcast_pkts, before + 1);
        }
    }

    /// RFC 1112 §6.1: with TTL 0 a multicast stays on this host.
    #[test]
    fn multicast_with_ttl_0_stays_here() {
        let (mut bench, _) = routed();
        let socket = bench.stack().open_raw(Protocol(200)).unwrap();
        bench.stack().socket_options(socket).unwrap().multicast_ttl = 0;
        bench.lab.send(bench.host, socket, ip("224.0.0.1"), b"to us").unwrap();
        assert!(bench.lab.heard(bench.tester).is_empty());
        assert_eq!(bench.lab.received(bench.host, socket).len(), 1);
    }
}

mod loopback {
    use super::*;

    /// RFC 1122 §3.2.1.3 (g): 127.0.0.0/8 and our own addresses never reach a link.
    #[test]
    fn this_host_reaches_itself() {
        for (dst, src) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.3.2.1", "127.0.0.1"),
            (HERE, HERE),
            ("0.0.0.0", "127.0.0.1"),
        ] {
            let (mut bench, socket) = routed();
            let message = echo(7, 3, b"to myself");
            bench.lab.send(bench.host, socket, ip(dst), &message).unwrap();
            let replies = bench.lab.received(bench.host, socket);
            assert_eq!(replies, [echo_reply(7, 3, b"to myself")], "to {dst} from {src}");
            assert!(bench.lab.heard(bench.tester).is_empty());
            let snapshot = bench.snapshot();
            assert_eq!((snapshot.links[0].2.tx_packets, snapshot.links[0].2.rx_packets), (2, 2));
            assert_eq!((snapshot.icmp.in_echos, snapshot.icmp.in_echo_reps), (1, 1));
            assert_eq!((snapshot.icmp.out_echos, snapshot.icmp.out_echo_reps), (1, 1));
            assert_eq!((snapshot.ip.out_requests, snapshot.ip.in_receives), (2, 2));
        }
    }

    /// RFC 1122 §3.2.1.3 (g): not even when a link is given.
    #[test]
    fn a_given_link_does_not_take_localhost_onto_the_wire() {
        let (mut bench, socket) = routed();
        let link = bench.link;
        bench.stack().socket_options(socket).unwrap().bind_link = Some(link);
        let sent = bench.lab.send(bench.host, socket, Ipv4Addr::LOCALHOST, &request(64));
        assert_eq!(sent, Err(SocketError::InvalidArgument));
        assert_eq!(bench.snapshot().dropped(DropReason::MartianDestination), 1);
        assert!(bench.lab.heard(bench.tester).is_empty());
        bench.stack().interface_config(link).unwrap().route_localnet = true;
        bench.lab.send(bench.host, socket, Ipv4Addr::LOCALHOST, &request(64)).unwrap();
        assert_eq!(ipv4(&bench.lab.heard_one_ip(bench.tester)).dst(), Ipv4Addr::LOCALHOST);
    }

    /// The loopback carries 65535 bytes whole.
    #[test]
    fn the_longest_packet_is_not_cut_on_the_loopback() {
        let (mut bench, socket) = routed();
        bench.lab.send(bench.host, socket, Ipv4Addr::LOCALHOST, &request(65_535)).unwrap();
        assert_eq!(bench.lab.received(bench.host, socket)[0].len(), 65_515);
        assert_eq!(bench.snapshot().ip.frag_creates, 0);
    }

    /// `net.core.netdev_max_backlog` bounds what waits.
    #[test]
    fn the_backlog_is_bounded() {
        let (mut bench, socket) = routed();
        let now = bench.lab.now();
        for _ in 0..1200 {
            let localhost = Ipv4Addr::LOCALHOST;
            bench.stack().send_to(now, socket, (localhost, 0).into(), &request(64)).unwrap();
        }
        assert_eq!(bench.snapshot().dropped(DropReason::BacklogFull), 200);
        bench.lab.settle();
        assert_eq!(bench.snapshot().icmp.in_echos, 1000);
    }
}

mod refusals {
    use super::*;

    /// ip-route(8), errno(3): each kind of route that refuses has its own error.
    #[test]
    fn routes_that_refuse_have_their_errno() {
        let everything = "0.0.0.0/0".parse().unwrap();
        let cases = [
            (None, SocketError::NetworkUnreachable, 101, DropReason::NoRoute),
            (
                Some(Route::blackhole(everything)),
                SocketError::InvalidArgument,
                22,
                DropReason::Blackhole,
            ),
            (
                Some(Route::unreachable(everything)),
                SocketError::HostUnreachable,
                113,
                DropReason::UnreachableRoute,
            ),
            (
                Some(Route::prohibit(everything)),
                SocketError::PermissionDenied,
                13,
                DropReason::ProhibitRoute,
            ),
        ];
        for (route, error, errno, reason) in cases {
            let mut bench = Bench::new();
            if let Some(route) = route {
                bench.stack().add_route(route).unwrap();
            }
            let socket = bench.stack().open_ping(Some(7)).unwrap();
            let sent = bench.lab.send(bench.host, socket, ip(FAR), &request(64));
            assert_eq!(sent, Err(error));
            assert_eq!(error.errno(), errno);
            assert_eq!(bench.snapshot().dropped(reason), 1);
            let counted = u64::from(reason == DropReason::NoRoute);
            assert_eq!(bench.snapshot().ip.out_no_routes, counted);
            assert_eq!(bench.snapshot().icmp.out_msgs, 0, "what was not sent does not count");
        }
    }

    /// Linux `ip_route_output_key_hash`: 0.0.0.0/8 is no destination, 0.0.0.0 aside.
    #[test]
    fn this_network_is_no_destination() {
        let (mut bench, socket) = routed();
        let sent = bench.lab.send(bench.host, socket, ip("0.0.0.1"), &request(64));
        assert_eq!(sent, Err(SocketError::InvalidArgument));
    }

    /// While a link is down its routes do not count.
    #[test]
    fn a_link_that_is_down_is_no_way() {
        let (mut bench, socket) = routed();
        let (now, link) = (bench.lab.now(), bench.link);
        bench.stack().set_link_up(now, link, false).unwrap();
        let sent = bench.lab.send(bench.host, socket, ip(FAR), &request(64));
        assert_eq!(sent, Err(SocketError::NetworkUnreachable));
        bench.stack().socket_options(socket).unwrap().bind_link = Some(link);
        let sent = bench.lab.send(bench.host, socket, ip(FAR), &request(64));
        assert_eq!(sent, Err(SocketError::NetworkUnreachable));
        // Our own address stays ours.
        bench.stack().socket_options(socket).unwrap().bind_link = None;
        bench.lab.send(bench.host, socket, ip(HERE), &request(64)).unwrap();
        assert_eq!(bench.lab.received(bench.host, socket).len(), 1);
        bench.stack().set_link_up(now, link, true).unwrap();
        bench.lab.send(bench.host, socket, ip(FAR), &request(64)).unwrap();
        assert_eq!(bench.lab.drops(bench.host), [DropReason::NoRoute, DropReason::LinkDown]);
    }

    /// SO_BINDTODEVICE, socket(7), to a link that has gone: ENODEV.
    #[test]
    fn a_link_that_has_gone_is_no_device() {
        let (mut bench, socket) = routed();
        bench.stack().socket_options(socket).unwrap().bind_link = Some(LinkId(9));
        let sent = bench.lab.send(bench.host, socket, ip(FAR), &request(64));
        assert_eq!(sent.unwrap_err().errno(), 19);
        bench.stack().socket_options(socket).unwrap().broadcast = true;
        let sent = bench.lab.send(bench.host, socket, Ipv4Addr::BROADCAST, &request(64));
        assert_eq!(sent.unwrap_err().errno(), 19);
    }

    /// Linux `ip_route_output_key_hash`: with the link given and no route, the destination is
    /// taken to be on it.
    #[test]
    fn a_given_link_needs_no_route() {
        let mut bench = Bench::new();
        let (link, mac) = (bench.link, bench.tester.mac);
        bench.lab.know(bench.host, link, ip(FAR), mac);
        let socket = bench.stack().open_ping(Some(7)).unwrap();
        bench.stack().socket_options(socket).unwrap().bind_link = Some(link);
        bench.lab.send(bench.host, socket, ip(FAR), &request(64)).unwrap();
        assert_eq!(ipv4(&bench.lab.heard_one_ip(bench.tester)).dst(), ip(FAR));
    }

    /// `txqueuelen`: what the device does not take waits, up to a thousand frames.
    #[test]
    fn the_transmit_queue_is_bounded() {
        let (mut bench, socket) = routed();
        let now = bench.lab.now();
        for _ in 0..1100 {
            bench.stack().send_to(now, socket, (ip(FAR), 0).into(), &request(64)).unwrap();
        }
        let snapshot = bench.snapshot();
        assert_eq!(snapshot.dropped(DropReason::TxQueueFull), 100);
        assert_eq!((snapshot.links[1].2.tx_packets, snapshot.links[1].2.tx_dropped), (1000, 100));
        bench.lab.settle();
        assert_eq!(bench.lab.heard_ip(bench.tester).len(), 1000);
    }

    /// A route deleted mid-flow is missed at once.
    #[test]
    fn a_deleted_route_is_gone() {
        let (mut bench, socket) = routed();
        bench.lab.send(bench.host, socket, ip(FAR), &request(64)).unwrap();
        let everything = "0.0.0.0/0".parse().unwrap();
        bench.stack().delete_route(&RouteSelector::to(everything)).unwrap();
        let sent = bench.lab.send(bench.host, socket, ip(FAR), &request(64));
        assert_eq!(sent, Err(SocketError::NetworkUnreachable));
    }
}

/// DESIGN §2.4: a checksum left open is finished where a device cannot do it, and only there.
#[test]
fn unfinished_checksums_are_finished_at_the_last_moment() {
    for capable in [false, true] {
        let mut stack = Stack::new(Config::default(), 1);
        stack.set_forwarding(true);
        let now = Instant::from_secs(1);
        let mut links = Vec::new();
        for n in 0..2u8 {
            let mut config = LinkConfig::new(&format!("eth{n}"), MacAddr([2, 0, 0, 0, 0, n]));
            config.capabilities.tx_checksum = capable;
            let link = stack.add_link(config).unwrap();
            let cidr = format!("10.0.{n}.1/24").parse().unwrap();
            stack.add_address(now, link, cidr).unwrap();
            links.push(link);
        }
        let (peer_mac, dst) = (MacAddr([2, 0, 0, 0, 9, 9]), ip("10.0.1.9"));
        stack.add_neighbour(now, links[1], dst.into(), peer_mac).unwrap();
        let src = ip("10.0.0.9");
        let mut packet = Ip::udp(src, dst, 1, 2, b"open").build();
        let open = pseudo_header_sum(src, dst, Protocol::UDP, 12).fold();
        packet[26..28].copy_from_slice(&open.to_be_bytes());
        let frame = ip_frame(peer_mac, MacAddr([2, 0, 0, 0, 0, 0]), &packet);
        let mut frame = Packet::from_slice(&frame);
        frame.meta.checksum = ChecksumState::Partial { start: 20, offset: 6 };
        stack.handle_frame(now, links[0], frame);
        let sent = stack.poll_transmit(now, links[1]).expect("forwarded");
        let bytes = sent.bytes()[14..].to_vec();
        let pseudo = pseudo_header_sum(src, dst, Protocol::UDP, 12);
        let finished = udp_in(&bytes).verify_checksum(pseudo);
        assert_eq!(finished, !capable);
        let expected = match capable {
            true => ChecksumState::Partial { start: 20, offset: 6 },
            false => ChecksumState::None,
        };
        assert_eq!(sent.meta.checksum, expected);
        assert_eq!((udp_in(&bytes).payload(), bytes.len()), (&b"open"[..], 20 + 8 + 4));
    }
}
