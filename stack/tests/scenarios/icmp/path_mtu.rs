//! Path MTU discovery as a host does it (RFC 1191, Linux `__ip_rt_update_pmtu`).

use tapping_stack::PmtuDiscovery;
use tapping_stack::socket::{ErrorOrigin, SocketId};

use super::*;

struct Scene {
    bench: Bench,
    socket: SocketId,
}

impl Scene {
    fn new() -> Self {
        Scene::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let mut bench = Bench::with(config);
        let socket = bench.lab.stack(bench.host).open_ping(Some(7)).unwrap();
        Scene { bench, socket }
    }

    /// A router says that our packet to `dst` needs fragmentation.
    fn needed(&mut self, src: &str, dst: &str, mtu: u16) {
        let quoted = Ip::icmp(ip(src), ip(dst), echo(7, 1, &[0; 1400])).df().build();
        let message = Message::DestinationUnreachable(Unreachable::FragmentationNeeded { mtu });
        let body = error_about(message, &quoted, 548);
        self.bench.inject(&Ip::icmp(ip("203.0.113.1"), ip(US), body));
    }

    fn path_mtu(&mut self, dst: &str) -> usize {
        let now = self.bench.lab.now();
        self.bench.lab.stack(self.bench.host).path_mtu(now, IpAddr::V4(ip(dst))).unwrap()
    }

    /// Sends an echo with so many bytes of IP packet; the packets that leave.
    fn send(&mut self, len: usize) -> Result<Vec<Vec<u8>>, SocketError> {
        let (host, socket) = (self.bench.host, self.socket);
        self.bench.lab.send(host, socket, ip(FAR), &echo(0, 1, &vec![0; len - 28]))?;
        Ok(self.bench.lab.heard_ip(self.bench.tester))
    }

    fn discover(&mut self, how: PmtuDiscovery) {
        let (host, socket) = (self.bench.host, self.socket);
        self.bench.lab.stack(host).socket_options(socket).unwrap().pmtu_discovery = how;
    }
}

/// RFC 1191 §3, for that destination alone.
#[test]
fn a_reported_mtu_is_believed() {
    let mut scene = Scene::new();
    assert_eq!(scene.path_mtu(FAR), 1500);
    scene.needed(US, FAR, 1400);
    assert_eq!(scene.path_mtu(FAR), 1400);
    assert_eq!(scene.path_mtu("192.0.2.10"), 1500);
    assert_eq!(scene.path_mtu(PEER), 1500);
}

/// `IP_PMTUDISC_WANT`: DF on what fits, fragments of the path MTU without DF of what does not.
#[test]
fn what_exceeds_the_path_mtu_is_fragmented_to_it() {
    let mut scene = Scene::new();
    scene.needed(US, FAR, 1400);
    let sent = scene.send(1400).unwrap();
    assert_eq!(sent.len(), 1);
    assert!(ipv4(&sent[0]).dont_fragment());
    let sent = scene.send(1401).unwrap();
    assert_eq!(sent.len(), 2);
    assert!(sent[0].len() <= 1400);
    assert!(!ipv4(&sent[0]).dont_fragment());
}

/// `IP_PMTUDISC_DO`: refused, with the MTU that would do.
#[test]
fn what_must_not_be_fragmented_is_refused_with_the_mtu() {
    let mut scene = Scene::new();
    scene.discover(PmtuDiscovery::Do);
    let (host, socket) = (scene.bench.host, scene.socket);
    scene.bench.lab.stack(host).socket_options(socket).unwrap().receive_errors = true;
    scene.needed(US, FAR, 1400);
    let report = scene.bench.lab.stack(host).recv_error(socket).expect("what the router said");
    assert_eq!((report.origin, report.info), (ErrorOrigin::Icmp, 1400));
    assert_eq!(scene.send(1401), Err(SocketError::MessageTooLong));
    let report = scene.bench.lab.stack(host).recv_error(socket).expect("what we found ourselves");
    assert_eq!((report.origin, report.info), (ErrorOrigin::Local, 1400));
    assert_eq!(report.error, SocketError::MessageTooLong);
    assert_eq!(report.destination, IpAddr::V4(ip(FAR)));
    assert_eq!(scene.send(1400).unwrap().len(), 1);
}

/// `IP_PMTUDISC_PROBE`: the path MTU does not count, only the link's.
#[test]
fn a_probe_goes_beyond_the_path_mtu() {
    let mut scene = Scene::new();
    scene.discover(PmtuDiscovery::Probe);
    scene.needed(US, FAR, 1400);
    let sent = scene.send(1500).unwrap();
    assert_eq!(sent.len(), 1);
    assert!(ipv4(&sent[0]).dont_fragment());
    assert_eq!(scene.send(1501), Err(SocketError::MessageTooLong));
}

/// RFC 1191 §6.3, Linux `route.mtu_expires` 600 s.
#[test]
fn a_path_mtu_expires_after_ten_minutes() {
    let mut scene = Scene::new();
    scene.needed(US, FAR, 1400);
    scene.bench.lab.run_for(secs(599));
    assert_eq!(scene.path_mtu(FAR), 1400);
    scene.bench.lab.run_for(secs(2));
    assert_eq!(scene.path_mtu(FAR), 1500);
}

/// RFC 1191 §3: the estimate is never raised by this message.
#[test]
fn a_larger_mtu_than_known_is_ignored() {
    let mut scene = Scene::new();
    scene.needed(US, FAR, 1400);
    scene.needed(US, FAR, 1450);
    assert_eq!(scene.path_mtu(FAR), 1400);
    scene.needed(US, FAR, 1300);
    assert_eq!(scene.path_mtu(FAR), 1300);
    scene.needed(US, "192.0.2.10", 9000);
    assert_eq!(scene.path_mtu("192.0.2.10"), 1500);
}

/// Linux `route.min_pmtu` 552: what is said to take less gets packets without DF, so that nobody
/// can make our packets tiny. Zero comes from routers older than RFC 1191.
#[test]
fn a_tiny_mtu_is_not_believed_and_locks_the_estimate() {
    for mtu in [551, 68, 0] {
        let mut scene = Scene::new();
        scene.needed(US, FAR, mtu);
        assert_eq!(scene.path_mtu(FAR), 552, "{mtu}");
        let sent = scene.send(552).unwrap();
        assert_eq!(sent.len(), 1);
        assert!(!ipv4(&sent[0]).dont_fragment(), "fragmented on its way, if need be");
        scene.needed(US, FAR, 1400);
        assert_eq!(scene.path_mtu(FAR), 552);
    }
    let mut scene = Scene::new();
    scene.needed(US, FAR, 552);
    assert!(ipv4(&scene.send(552).unwrap()[0]).dont_fragment(), "552 itself is believed");
}

/// An error about a packet that we did not send.
#[test]
fn an_error_about_somebody_elses_packet_is_ignored() {
    let mut scene = Scene::new();
    scene.needed("10.0.0.77", FAR, 1400);
    scene.needed("192.0.2.77", FAR, 1400);
    assert_eq!(scene.path_mtu(FAR), 1500);
}

/// Linux `ip_no_pmtu_disc`.
#[test]
fn without_discovery_nothing_is_learnt_and_df_never_set() {
    let mut config = Config::default();
    config.ipv4.no_pmtu_disc = true;
    let mut scene = Scene::with(config);
    scene.needed(US, FAR, 1400);
    assert_eq!(scene.path_mtu(FAR), 1500);
    assert!(!ipv4(&scene.send(1000).unwrap()[0]).dont_fragment());
}

/// RFC 1191 §4, RFC 1812 §5.2.7.1: a router names the MTU of the next link.
#[test]
fn a_router_names_the_next_mtu() {
    let mut router = Router::with(Config::default(), 1000);
    let packet = Ip::udp(ip(LEFT), ip(RIGHT), 1, 2, &[0; 973]).df();
    router.inject(&packet);
    let error = router.lab.heard_one_ip(router.left);
    let needed = Message::DestinationUnreachable(Unreachable::FragmentationNeeded { mtu: 1000 });
    assert_eq!(icmp_in(&error).message(), needed);
    assert_eq!(icmp_in(&error).payload(), &packet.build()[..548]);
    assert!(router.lab.heard(router.right).is_empty());
    assert_eq!(router.lab.snapshot(router.host).ip.frag_fails, 1);
    router.inject(&Ip::udp(ip(LEFT), ip(RIGHT), 1, 2, &[0; 972]).df());
    assert_eq!(router.lab.heard_ip(router.right).len(), 1, "1000 bytes fit");
}

/// The whole discovery between stacks: a host behind a router finds the narrow link.
#[test]
fn a_host_discovers_the_path_mtu_through_a_router() {
    let mut router = Router::with(Config::default(), 1000);
    let host = router.lab.host("host");
    let segment = router.lab.segment_of(router.left);
    router.lab.attach(host, segment, "10.1.0.9/24");
    add_default_route(&mut router.lab, host, "10.1.0.1");
    let socket = router.lab.stack(host).open_ping(None).unwrap();
    for _ in 0..2 {
        router.lab.send(host, socket, ip(RIGHT), &echo(0, 1, &[0; 1300])).unwrap();
    }
    let arrived = router.lab.heard_ip(router.right);
    assert_eq!(arrived.len(), 2, "the first was refused, the second came in two fragments");
    let now = router.lab.now();
    let path_mtu = router.lab.stack(host).path_mtu(now, IpAddr::V4(ip(RIGHT)));
    assert_eq!(path_mtu, Ok(1000));
}
