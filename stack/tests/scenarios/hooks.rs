//! Hooks: five points on a packet's way, and what a verdict does to it (Linux netfilter).

mod resets;

use std::sync::{Arc, Mutex};

use tapping_stack::filter::hook::{Hook, HookContext, HookId, HookPoint, RejectReason, Verdict};
use tapping_stack::packet::ChecksumState;
use tapping_stack::route::Route;
use tapping_stack::stats::DropReason;
use tapping_stack::time::Duration;
use tapping_stack::wire::ipv4::{HEADER_LEN, fill_checksum, pseudo_header_sum, set_dst, set_tos};
use tapping_stack::wire::seq::SeqNumber;
use tapping_stack::wire::tcp::{self, Tcp, TcpFlags, TcpRepr};
use tapping_stack::wire::tcp_options::TcpOptionsRepr;
use tapping_stack::wire::{Message, Protocol, Unreachable};
use tapping_stack::{LinkId, Packet, SocketError};

use crate::ipv4_input::Bench;
use crate::lab::*;

const HERE: &str = "10.0.0.1";
const PEER: &str = "10.0.0.9";
const ETH0: LinkId = LinkId(2);

type Process = Box<dyn FnMut(&HookContext<'_>, &mut Packet) -> Verdict + Send>;

/// A hook from a closure.
struct Scripted {
    name: &'static str,
    defragment: bool,
    process: Process,
}

impl Hook for Scripted {
    fn process(&mut self, context: &HookContext<'_>, packet: &mut Packet) -> Verdict {
        (self.process)(context, packet)
    }

    fn name(&self) -> &str {
        self.name
    }

    fn needs_defragmentation(&self) -> bool {
        self.defragment
    }
}

fn scripted(
    name: &'static str,
    process: impl FnMut(&HookContext<'_>, &mut Packet) -> Verdict + Send + 'static,
) -> Box<Scripted> {
    Box::new(Scripted { name, defragment: false, process: Box::new(process) })
}

/// A hook with the same verdict for everything.
fn always(verdict: Verdict) -> Box<Scripted> {
    scripted("always", move |_, _| verdict)
}

const EVERYWHERE: [(HookPoint, i32); 5] = [
    (HookPoint::Prerouting, 0),
    (HookPoint::Input, 0),
    (HookPoint::Forward, 0),
    (HookPoint::Output, 0),
    (HookPoint::Postrouting, 0),
];

/// What a hook saw: where, and the links in and out.
type Sight = (HookPoint, Option<LinkId>, Option<LinkId>);

fn watch(lab: &mut Lab, host: Host) -> Arc<Mutex<Vec<Sight>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let hook = scripted("watch", move |context, packet| {
        assert_eq!(context.interfaces.name(ETH0), "eth0");
        log.lock().unwrap().push((context.point, packet.meta.link_in, packet.meta.link_out));
        Verdict::Accept
    });
    lab.stack(host).register_hook(&EVERYWHERE, hook);
    seen
}

fn take(seen: &Arc<Mutex<Vec<Sight>>>) -> Vec<Sight> {
    std::mem::take(&mut *seen.lock().unwrap())
}

fn register(bench: &mut Bench, point: HookPoint, hook: Box<Scripted>) -> HookId {
    bench.stack().register_hook(&[(point, 0)], hook)
}

fn echo_request() -> Vec<u8> {
    Ip::icmp(ip(PEER), ip(HERE), echo(7, 1, b"abcdefgh")).build()
}

/// A router, 10.0.0.1/24 and 10.0.1.1/24, with a tester at 10.0.0.9 and one at 10.0.1.9.
fn router() -> (Bench, Tester) {
    let mut bench = Bench::new();
    let wire = bench.lab.segment();
    let link = bench.lab.attach(bench.host, wire, "10.0.1.1/24");
    let far = bench.lab.tester(wire);
    bench.lab.know(bench.host, link, ip("10.0.1.9"), far.mac);
    bench.stack().set_forwarding(true);
    (bench, far)
}

fn transit() -> Ip {
    Ip::udp(ip(PEER), ip("10.0.1.9"), 1000, 2000, b"going through")
}

mod points {
    use super::*;
    use HookPoint::*;

    /// Linux `Documentation/networking`: PREROUTING, INPUT; OUTPUT, POSTROUTING.
    #[test]
    fn a_packet_for_this_host_and_its_answer() {
        let mut bench = Bench::new();
        let seen = watch(&mut bench.lab, bench.host);
        bench.answers(&echo_request());
        let expected = [
            (Prerouting, Some(ETH0), None),
            (Input, Some(ETH0), None),
            (Output, None, Some(ETH0)),
            (Postrouting, None, Some(ETH0)),
        ];
        assert_eq!(take(&seen), expected);
    }

    #[test]
    fn a_packet_that_is_forwarded() {
        let (mut bench, far) = router();
        let seen = watch(&mut bench.lab, bench.host);
        assert_eq!(bench.give(&transit().build()), []);
        let out = Some(LinkId(3));
        let expected = [
            (Prerouting, Some(ETH0), None),
            (Forward, Some(ETH0), out),
            (Postrouting, Some(ETH0), out),
        ];
        assert_eq!(take(&seen), expected);
        assert_eq!(bench.lab.heard_ip(far).len(), 1);
    }

    /// A packet to ourselves takes the whole way, over the loopback.
    #[test]
    fn a_packet_to_this_host_itself() {
        let mut bench = Bench::new();
        let socket = bench.stack().open_ping(Some(7)).unwrap();
        let seen = watch(&mut bench.lab, bench.host);
        bench.lab.send(bench.host, socket, ip(HERE), &echo(7, 1, b"")).unwrap();
        let lo = Some(LinkId::LOOPBACK);
        let once = [
            (Output, None, lo),
            (Postrouting, None, lo),
            (Prerouting, lo, None),
            (Input, lo, None),
        ];
        assert_eq!(take(&seen), [once, once].concat());
        assert_eq!(bench.lab.received(bench.host, socket).len(), 1);
    }

    /// Linux `ip_mc_output`: the copy of a broadcast for ourselves passes POSTROUTING by itself.
    #[test]
    fn a_broadcast_and_its_copy() {
        let mut bench = Bench::new();
        let socket = bench.stack().open_raw(Protocol(200)).unwrap();
        bench.stack().socket_options(socket).unwrap().broadcast = true;
        let seen = watch(&mut bench.lab, bench.host);
        bench.lab.send(bench.host, socket, ip("10.0.0.255"), b"all").unwrap();
        let expected = [
            (Output, None, Some(ETH0)),
            (Postrouting, None, Some(ETH0)),
            (Postrouting, None, Some(ETH0)),
            (Prerouting, Some(ETH0), None),
            (Input, Some(ETH0), None),
        ];
        assert_eq!(take(&seen), expected);
    }

    /// Lower priorities first; the same priority in order of registration.
    #[test]
    fn order_of_priority_then_of_registration() {
        let mut bench = Bench::new();
        let order = Arc::new(Mutex::new(Vec::new()));
        for (name, priority) in [("c", 0), ("e", 100), ("a", -400), ("d", 0), ("b", -100)] {
            let log = Arc::clone(&order);
            let hook = scripted(name, move |_, _| {
                log.lock().unwrap().push(name);
                Verdict::Accept
            });
            bench.stack().register_hook(&[(Prerouting, priority)], hook);
        }
        bench.answers(&echo_request());
        assert_eq!(*order.lock().unwrap(), ["a", "b", "c", "d", "e"]);
    }

    /// The first verdict but accept is final.
    #[test]
    fn nothing_runs_after_the_end() {
        let mut bench = Bench::new();
        bench.stack().register_hook(&[(Input, -1)], always(Verdict::Drop));
        bench.stack().register_hook(&[(Input, 0)], scripted("never", |_, _| panic!("reached")));
        assert_eq!(bench.give(&echo_request()), [DropReason::HookDrop]);
    }

    #[test]
    fn an_unregistered_hook_is_gone_and_the_others_stay() {
        let mut bench = Bench::new();
        let first = register(&mut bench, Input, always(Verdict::Accept));
        let dropping = register(&mut bench, Input, always(Verdict::Drop));
        let seen = watch(&mut bench.lab, bench.host);
        bench.refuses(&echo_request(), DropReason::HookDrop);
        assert!(bench.stack().unregister_hook(dropping).is_some());
        assert!(bench.stack().unregister_hook(dropping).is_none());
        take(&seen);
        bench.answers(&echo_request());
        assert_eq!(take(&seen).len(), 4);
        // A new one in the old one's place is another one.
        let again = register(&mut bench, Input, always(Verdict::Drop));
        assert_ne!(again, dropping);
        assert!(bench.stack().unregister_hook(dropping).is_none());
        bench.refuses(&echo_request(), DropReason::HookDrop);
        assert!(bench.stack().unregister_hook(first).is_some());
        assert!(bench.stack().unregister_hook(again).is_some());
        bench.answers(&echo_request());
    }

    /// PREROUTING sees what routing will refuse.
    #[test]
    fn prerouting_comes_before_the_martian_rules() {
        let mut bench = Bench::new();
        let seen = watch(&mut bench.lab, bench.host);
        let martian = Ip::icmp(ip("127.0.0.1"), ip(HERE), echo(1, 1, b"")).build();
        bench.refuses(&martian, DropReason::MartianSource);
        assert_eq!(take(&seen), [(Prerouting, Some(ETH0), None)]);
    }
}

mod verdicts {
    use super::*;

    #[test]
    fn dropped_where_it_is() {
        for point in [HookPoint::Prerouting, HookPoint::Input] {
            let mut bench = Bench::new();
            register(&mut bench, point, always(Verdict::Drop));
            let ip = bench.refuses(&echo_request(), DropReason::HookDrop);
            assert_eq!(ip.in_delivers, 0, "{point}");
        }
        for point in [HookPoint::Prerouting, HookPoint::Forward, HookPoint::Postrouting] {
            let (mut bench, far) = router();
            register(&mut bench, point, always(Verdict::Drop));
            assert_eq!(bench.give(&transit().build()), [DropReason::HookDrop], "{point}");
            assert!(bench.lab.heard(far).is_empty());
        }
    }

    /// Linux: what a hook drops on its way out fails with EPERM and counts as discarded.
    #[test]
    fn the_sender_of_a_dropped_packet_gets_eperm() {
        for point in [HookPoint::Output, HookPoint::Postrouting] {
            let mut bench = Bench::new();
            register(&mut bench, point, always(Verdict::Drop));
            let socket = bench.stack().open_ping(None).unwrap();
            let sent = bench.lab.send(bench.host, socket, ip(PEER), &echo(0, 1, b""));
            assert_eq!(sent, Err(SocketError::NotPermitted), "{point}");
            assert_eq!(sent.unwrap_err().errno(), 1);
            let snapshot = bench.snapshot();
            assert_eq!((snapshot.ip.out_requests, snapshot.ip.out_discards), (1, 1), "{point}");
            assert_eq!(snapshot.ip.out_transmits, 0);
            assert!(bench.lab.heard(bench.tester).is_empty());
        }
    }

    /// A stolen packet is the hook's; to everybody else all went well (`NF_STOLEN`).
    #[test]
    fn a_stolen_packet_is_the_hooks() {
        for point in [HookPoint::Prerouting, HookPoint::Input] {
            let mut bench = Bench::new();
            let stolen = thief(&mut bench, point);
            assert_eq!(bench.give(&echo_request()), []);
            assert!(bench.lab.heard(bench.tester).is_empty());
            assert_eq!(stolen.lock().unwrap()[..], [echo_request()]);
        }
        for point in [HookPoint::Output, HookPoint::Postrouting] {
            let mut bench = Bench::new();
            let stolen = thief(&mut bench, point);
            let socket = bench.stack().open_ping(Some(7)).unwrap();
            bench.lab.send(bench.host, socket, ip(PEER), &echo(7, 1, b"mine")).unwrap();
            assert!(bench.lab.heard(bench.tester).is_empty());
            assert_eq!(icmp_in(&stolen.lock().unwrap()[0]).payload(), b"mine");
            assert_eq!(bench.snapshot().ip.out_discards, 0);
            assert!(bench.snapshot().drops.is_empty());
        }
    }

    fn thief(bench: &mut Bench, point: HookPoint) -> Arc<Mutex<Vec<Vec<u8>>>> {
        let stolen = Arc::new(Mutex::new(Vec::new()));
        let loot = Arc::clone(&stolen);
        let hook = scripted("thief", move |_, packet| {
            loot.lock().unwrap().push(std::mem::take(packet).bytes().to_vec());
            Verdict::Stolen
        });
        register(bench, point, hook);
        stolen
    }

    /// iptables-extensions(8), REJECT `--reject-with`: each code of destination unreachable.
    #[test]
    fn rejected_with_each_code() {
        let codes = [
            Unreachable::Net,
            Unreachable::Host,
            Unreachable::Protocol,
            Unreachable::Port,
            Unreachable::NetProhibited,
            Unreachable::HostProhibited,
            Unreachable::CommunicationProhibited,
        ];
        for code in codes {
            for point in [HookPoint::Prerouting, HookPoint::Input, HookPoint::Forward] {
                let (mut bench, far) = router();
                register(&mut bench, point, always(Verdict::Reject(RejectReason::Icmp(code))));
                let packet = match point {
                    HookPoint::Forward => transit().build(),
                    _ => Ip::udp(ip(PEER), ip(HERE), 1, 2, b"no").build(),
                };
                assert_eq!(bench.give(&packet), [DropReason::HookReject]);
                let error = bench.lab.heard_one_ip(bench.tester);
                assert_eq!(icmp_in(&error).message(), Message::DestinationUnreachable(code));
                assert_eq!((ipv4(&error).src(), ipv4(&error).dst()), (ip(HERE), ip(PEER)));
                let mut quoted = icmp_in(&error).payload().to_vec();
                if point == HookPoint::Forward {
                    tapping_stack::wire::ipv4::set_ttl(&mut quoted, 64);
                }
                assert_eq!(quoted, packet, "{point}");
                assert!(bench.lab.heard(far).is_empty());
            }
        }
    }

    /// A packet rejected on OUTPUT: EPERM, and the error comes back over the loopback (Linux
    /// `nf_send_unreach`).
    #[test]
    fn rejected_on_output() {
        let mut bench = Bench::new();
        let verdict = Verdict::Reject(RejectReason::Icmp(Unreachable::HostProhibited));
        let hook = scripted("reject to peer", move |_, packet| {
            match ipv4(packet.bytes()).dst() == ip(PEER) {
                true => verdict,
                false => Verdict::Accept,
            }
        });
        register(&mut bench, HookPoint::Output, hook);
        let socket = bench.stack().open_ping(Some(7)).unwrap();
        bench.stack().socket_options(socket).unwrap().receive_errors = true;
        let sent = bench.lab.send(bench.host, socket, ip(PEER), &echo(7, 1, b""));
        assert_eq!(sent, Err(SocketError::NotPermitted));
        let report = bench.stack().recv_error(socket).expect("the error reached the socket");
        assert_eq!((report.icmp_type, report.code), (3, 10));
        assert_eq!(report.offender, Some(ip(HERE).into()));
        assert!(bench.lab.heard(bench.tester).is_empty());
    }

    /// Rejecting everything on every point comes to an end: no error about an error.
    #[test]
    fn rejecting_everything_comes_to_an_end() {
        let mut bench = Bench::new();
        let verdict = Verdict::Reject(RejectReason::Icmp(Unreachable::Port));
        bench.stack().register_hook(&EVERYWHERE, always(verdict));
        let reasons = bench.give(&echo_request());
        assert_eq!(reasons, [DropReason::HookReject, DropReason::HookReject]);
        let socket = bench.stack().open_ping(None).unwrap();
        let sent = bench.lab.send(bench.host, socket, ip(PEER), &echo(0, 1, b""));
        assert_eq!(sent, Err(SocketError::NotPermitted));
        assert!(bench.lab.heard(bench.tester).is_empty());
    }
}

mod mangling {
    use super::*;

    fn rewrite_dst(from: &'static str, to: &'static str) -> Box<Scripted> {
        scripted("dnat", move |_, packet| {
            if ipv4(packet.bytes()).dst() == ip(from) {
                set_dst(packet.bytes_mut(), ip(to));
            }
            Verdict::Accept
        })
    }

    /// Destination NAT in PREROUTING: the route decision sees the new destination.
    #[test]
    fn prerouting_may_send_a_packet_elsewhere() {
        let (mut bench, far) = router();
        register(&mut bench, HookPoint::Prerouting, rewrite_dst(HERE, "10.0.1.9"));
        assert_eq!(bench.give(&echo_request()), []);
        let packet = bench.lab.heard_one_ip(far);
        assert_eq!(ipv4(&packet).dst(), ip("10.0.1.9"));
        assert_eq!(bench.snapshot().icmp.in_echos, 0);
    }

    /// And may bring one here.
    #[test]
    fn prerouting_may_bring_a_packet_here() {
        let (mut bench, far) = router();
        register(&mut bench, HookPoint::Prerouting, rewrite_dst("192.0.2.7", HERE));
        let packet = Ip::icmp(ip(PEER), ip("192.0.2.7"), echo(7, 1, b"")).build();
        let reply = bench.answers(&packet);
        assert_eq!(ipv4(&reply).src(), ip(HERE));
        assert!(bench.lab.heard(far).is_empty());
    }

    /// Linux `ip_route_me_harder`: a changed destination is routed again.
    #[test]
    fn output_routes_again_for_a_new_destination() {
        let (mut bench, far) = router();
        register(&mut bench, HookPoint::Output, rewrite_dst(PEER, "10.0.1.9"));
        let socket = bench.stack().open_ping(Some(7)).unwrap();
        bench.lab.send(bench.host, socket, ip(PEER), &echo(7, 1, b"")).unwrap();
        let packet = bench.lab.heard_one_ip(far);
        // The source was chosen before.
        assert_eq!((ipv4(&packet).src(), ipv4(&packet).dst()), (ip(HERE), ip("10.0.1.9")));
        assert!(bench.lab.heard_ip(bench.tester).is_empty());
        // To this host itself.
        register(&mut bench, HookPoint::Output, rewrite_dst("10.0.0.8", HERE));
        bench.lab.send(bench.host, socket, ip("10.0.0.8"), &echo(7, 2, b"")).unwrap();
        assert_eq!(bench.lab.received(bench.host, socket).len(), 1);
        // To where there is no way.
        register(&mut bench, HookPoint::Output, rewrite_dst("10.0.0.7", "203.0.113.1"));
        let sent = bench.lab.send(bench.host, socket, ip("10.0.0.7"), &echo(7, 3, b""));
        assert_eq!(sent, Err(SocketError::NetworkUnreachable));
    }

    /// The mark of a socket is on its packets; a changed mark asks for the route again.
    #[test]
    fn output_routes_again_for_a_new_mark() {
        let mut bench = Bench::new();
        let marks = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&marks);
        let hook = scripted("mark", move |context, packet| {
            log.lock().unwrap().push((context.point, packet.meta.mark));
            if context.point == HookPoint::Output {
                packet.meta.mark = 9;
            }
            Verdict::Accept
        });
        bench.stack().register_hook(&EVERYWHERE[3..], hook);
        let socket = bench.stack().open_ping(Some(7)).unwrap();
        bench.stack().socket_options(socket).unwrap().mark = 5;
        bench.lab.events(bench.host);
        bench.lab.send(bench.host, socket, ip(PEER), &echo(7, 1, b"")).unwrap();
        let expected = [(HookPoint::Output, 5), (HookPoint::Postrouting, 9)];
        assert_eq!(*marks.lock().unwrap(), expected);
        let routed = bench.lab.events(bench.host);
        let routes = routed.iter().filter(|record| matches!(record.seen, Seen::Route { .. }));
        assert_eq!(routes.count(), 2);
    }

    /// A hook that shortens the header's length claims nonsense: the packet is dropped.
    #[test]
    fn a_header_that_a_hook_broke_is_dropped() {
        let mut bench = Bench::new();
        let hook = scripted("break", |_, packet| {
            packet.bytes_mut()[0] = 0x41;
            Verdict::Accept
        });
        register(&mut bench, HookPoint::Prerouting, hook);
        bench.refuses(&echo_request(), DropReason::Ipv4HeaderError);
    }

    /// A hook may make a packet longer or shorter.
    #[test]
    fn a_hook_may_change_the_length() {
        let mut bench = Bench::new();
        let hook = scripted("grow", |_, packet| {
            packet.put_slice(&[0; 2000]);
            let len = packet.len() as u16;
            packet.bytes_mut()[2..4].copy_from_slice(&len.to_be_bytes());
            fill_checksum(packet.bytes_mut());
            Verdict::Accept
        });
        register(&mut bench, HookPoint::Postrouting, hook);
        let socket = bench.stack().open_raw(Protocol(200)).unwrap();
        bench.stack().socket_options(socket).unwrap().pmtu_discovery =
            tapping_stack::PmtuDiscovery::Dont;
        bench.lab.send(bench.host, socket, ip(PEER), &[1; 10]).unwrap();
        let packets = bench.lab.heard_ip(bench.tester);
        let len: usize = packets.iter().map(|packet| packet.len() - HEADER_LEN).sum();
        assert_eq!((packets.len(), len), (2, 2010));
    }
}

mod defragmentation {
    use super::*;

    fn whole_datagrams(bench: &mut Bench) -> Arc<Mutex<Vec<(HookPoint, usize)>>> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let mut hook = scripted("whole", move |context, packet| {
            assert!(!ipv4(packet.bytes()).is_fragment(), "at {}", context.point);
            log.lock().unwrap().push((context.point, packet.len()));
            Verdict::Accept
        });
        hook.defragment = true;
        bench.stack().register_hook(&EVERYWHERE, hook);
        seen
    }

    /// A datagram for the far side in fragments of at most `room` payload bytes.
    fn pieces(data: &[u8], room: usize, df: bool) -> Vec<Vec<u8>> {
        let whole = Ip::udp(ip(PEER), ip("10.0.1.9"), 1, 2, data);
        let count = whole.payload.len().div_ceil(room);
        let piece = |(n, piece): (usize, &[u8])| {
            let mut packet = Ip::new(ip(PEER), ip("10.0.1.9"), Protocol::UDP, piece.to_vec());
            packet.repr.dont_fragment = df;
            packet.fragment(n * room, n + 1 < count).build()
        };
        whole.payload.chunks(room).enumerate().map(piece).collect()
    }

    /// Linux `nf_ct_ipv4_gather_frags`: the hook sees the datagram; it goes on in fragments no
    /// longer than it came (`frag_max_size`).
    #[test]
    fn a_router_puts_together_and_cuts_again() {
        let (mut bench, far) = router();
        let seen = whole_datagrams(&mut bench);
        let data: Vec<u8> = (0..2000).map(|n| n as u8).collect();
        for piece in pieces(&data, 576, false) {
            assert_eq!(bench.give(&piece), []);
        }
        let expected = [HookPoint::Prerouting, HookPoint::Forward, HookPoint::Postrouting]
            .map(|at| (at, 2028));
        assert_eq!(*seen.lock().unwrap(), expected);
        let out = bench.lab.heard_ip(far);
        assert_eq!(out.iter().map(Vec::len).collect::<Vec<_>>(), [596, 596, 596, 300]);
        let payload: Vec<u8> =
            out.iter().flat_map(|piece| ipv4(piece).payload().to_vec()).collect();
        assert_eq!(payload[8..], data);
        assert!(out.iter().all(|piece| ipv4(piece).ttl() == 63));
    }

    /// Fragments with DF pass a router with such a hook as they pass one without.
    #[test]
    fn fragments_with_df_are_cut_again_with_df() {
        let (mut bench, far) = router();
        whole_datagrams(&mut bench);
        for piece in pieces(&[5; 2000], 576, true) {
            assert_eq!(bench.give(&piece), []);
        }
        let out = bench.lab.heard_ip(far);
        assert_eq!(out.len(), 4);
        assert!(out.iter().all(|piece| ipv4(piece).dont_fragment()));
        // Unless the next link is too narrow for what came.
        bench.stack().set_mtu(LinkId(3), 500).unwrap();
        let mut reasons = Vec::new();
        for piece in pieces(&[5; 2000], 576, true) {
            reasons.extend(bench.give(&piece));
        }
        assert_eq!(reasons, [DropReason::FragmentationNeeded]);
        let error = bench.lab.heard_one_ip(bench.tester);
        let expected = Unreachable::FragmentationNeeded { mtu: 500 };
        assert_eq!(icmp_in(&error).message(), Message::DestinationUnreachable(expected));
    }

    /// Without such a hook a router leaves fragments alone.
    #[test]
    fn without_need_fragments_stay_fragments() {
        let (mut bench, far) = router();
        let seen = watch(&mut bench.lab, bench.host);
        let pieces = pieces(&[5; 2000], 576, false);
        for piece in pieces.iter().rev() {
            assert_eq!(bench.give(piece), []);
        }
        assert_eq!(take(&seen).len(), 3 * 4);
        assert_eq!(bench.lab.heard_ip(far).len(), 4);
        assert_eq!(bench.snapshot().ip.reasm_reqds, 0);
    }

    /// Linux `ip_expire`: only the end host reports that fragments are missing.
    #[test]
    fn a_router_does_not_report_missing_fragments() {
        let (mut bench, _) = router();
        whole_datagrams(&mut bench);
        assert_eq!(bench.give(&pieces(&[5; 2000], 576, false)[0]), []);
        bench.lab.run_for(Duration::from_secs(31));
        assert_eq!(bench.lab.drops(bench.host), [DropReason::ReassemblyTimeout]);
        assert!(bench.lab.heard_ip(bench.tester).is_empty());
        // The last hook that asks for it may go.
        let mine = Ip::icmp(ip(PEER), ip(HERE), vec![8; 64]).fragment(0, true).build();
        assert_eq!(bench.give(&mine), []);
        bench.lab.run_for(Duration::from_secs(31));
        assert_eq!(bench.lab.heard_ip(bench.tester).len(), 1);
    }

    /// Fragments that a raw socket sends are put together before OUTPUT.
    #[test]
    fn own_fragments_are_put_together_before_output() {
        let (mut bench, far) = router();
        let seen = whole_datagrams(&mut bench);
        let socket = bench.stack().open_raw(Protocol::RAW).unwrap();
        bench.stack().socket_options(socket).unwrap().header_included = true;
        let mut pieces = pieces(&[5; 1000], 576, false);
        for piece in &mut pieces {
            tapping_stack::wire::ipv4::set_src(piece, ip("10.0.1.1"));
        }
        bench.lab.check_transport(bench.host, false);
        for piece in &pieces {
            bench.lab.send(bench.host, socket, ip("10.0.1.9"), piece).unwrap();
        }
        let expected = [HookPoint::Output, HookPoint::Postrouting].map(|at| (at, 1028));
        assert_eq!(*seen.lock().unwrap(), expected);
        assert_eq!(bench.lab.heard_ip(far).len(), 2);
    }
}

/// DESIGN §3: only POSTROUTING lets a packet out. A hook there colours every packet, and everything
/// that leaves has the colour: answers, errors, redirects, fragments, copies, the loopback.
#[test]
fn nothing_goes_around_postrouting() {
    const COLOUR: u8 = 0x04;
    let (mut bench, far) = router();
    let passed = Arc::new(Mutex::new(0));
    let count = Arc::clone(&passed);
    let paint = scripted("paint", move |_, packet| {
        *count.lock().unwrap() += 1;
        set_tos(packet.bytes_mut(), COLOUR);
        Verdict::Accept
    });
    register(&mut bench, HookPoint::Postrouting, paint);
    let redirected = Route::via("192.0.2.0/24".parse().unwrap(), ip("10.0.0.8").into());
    bench.stack().add_route(redirected).unwrap();
    let mac = bench.tester.mac;
    bench.lab.know(bench.host, ETH0, ip("10.0.0.8"), mac);
    bench.lab.events(bench.host);

    bench.give(&echo_request());
    bench.give(&Ip::icmp(ip(PEER), ip(HERE), echo(1, 1, &[9; 1400])).build());
    bench.give(&Ip::udp(ip(PEER), ip(HERE), 1, 2, b"port unreachable").build());
    bench.give(&Ip::new(ip(PEER), ip(HERE), Protocol(200), vec![1; 9]).build());
    bench.give(&Ip::udp(ip(PEER), ip("203.0.113.1"), 1, 2, b"net unreachable").build());
    bench.give(&Ip::udp(ip(PEER), ip("192.0.2.1"), 1, 2, b"redirect").build());
    bench.give(&transit().build());
    bench.give(&transit().ttl(1).build());
    let raw = bench.stack().open_raw(Protocol(200)).unwrap();
    let options = bench.stack().socket_options(raw).unwrap();
    options.broadcast = true;
    options.pmtu_discovery = tapping_stack::PmtuDiscovery::Dont;
    let own = bench.stack().open_raw(Protocol::RAW).unwrap();
    bench.stack().socket_options(own).unwrap().header_included = true;
    let written = Ip::new(ip(HERE), ip(PEER), Protocol(200), vec![2; 50]).build();
    bench.lab.send(bench.host, own, ip(PEER), &written).unwrap();
    for dst in [PEER, HERE, "10.0.1.255", "127.0.0.1"] {
        bench.lab.send(bench.host, raw, ip(dst), &[3; 4000]).unwrap();
    }
    bench.stack().socket_options(raw).unwrap().bind_link = Some(ETH0);
    bench.lab.send(bench.host, raw, ip("224.0.0.1"), &[4; 60]).unwrap();
    // Nobody answers there: host unreachable, to a neighbour and to ourselves.
    bench.stack().socket_options(raw).unwrap().bind_link = None;
    bench.lab.send(bench.host, raw, ip("10.0.1.77"), &[5; 60]).unwrap();
    let (host, link, tester) = (bench.host, bench.link, bench.tester);
    let packet = Ip::udp(ip(PEER), ip("10.0.1.78"), 1, 2, b"host unreachable").build();
    bench.lab.inject_ip(tester, host, link, &packet);
    bench.lab.run_for(Duration::from_secs(40));

    let mut left = Vec::new();
    for tester in [bench.tester, far] {
        left.extend(bench.lab.heard_ip(tester));
    }
    let on_wires = left.len();
    let looped = bench.lab.events(bench.host).into_iter().filter_map(|record| match record.seen {
        Seen::LinkOut { link: LinkId::LOOPBACK, bytes } => Some(bytes),
        _ => None,
    });
    left.extend(looped);
    assert!(on_wires >= 14 && left.len() > on_wires, "{on_wires} of {}", left.len());
    for packet in &left {
        assert_eq!(ipv4(packet).tos(), COLOUR, "{packet:02x?}");
    }
    let originals = left.iter().filter(|packet| ipv4(packet).fragment_offset() == 0).count();
    // Two copies of what went to many, and two packets that found no neighbour.
    let passed = *passed.lock().unwrap();
    assert_eq!(passed, originals + 2 + 2);
    let stats = bench.snapshot().ip;
    assert_eq!(stats.out_transmits as usize, left.len() + 2);
}
