//! Redirects (RFC 1122 §3.2.2.2 and §3.3.1.2, Linux `__ip_do_redirect`).

use tapping_stack::socket::SocketId;
use tapping_stack::wire::RedirectCode;

use super::*;

const BETTER: &str = "10.0.0.3";

struct Scene {
    bench: Bench,
    socket: SocketId,
}

impl Scene {
    fn new() -> Self {
        let mut bench = Bench::new();
        let link = bench.link;
        bench.lab.know(bench.host, link, ip(BETTER), MacAddr([2, 0xbb, 0, 0, 0, 3]));
        bench.lab.know(bench.host, link, ip("10.0.0.4"), MacAddr([2, 0xbb, 0, 0, 0, 4]));
        let socket = bench.lab.stack(bench.host).open_ping(Some(7)).unwrap();
        Scene { bench, socket }
    }

    fn redirect(&mut self, from: &str, code: RedirectCode, gateway: &str, dst: &str) {
        let quoted = Ip::icmp(ip(US), ip(dst), echo(7, 1, b"")).build();
        let message = Message::Redirect { code, gateway: ip(gateway) };
        let body = error_about(message, &quoted, 28);
        self.bench.inject(&Ip::icmp(ip(from), ip(US), body));
    }

    /// The MAC address to which a packet for `dst` goes.
    #[track_caller]
    fn next_hop(&mut self, dst: &str) -> MacAddr {
        let (host, socket, tester) = (self.bench.host, self.socket, self.bench.tester);
        self.bench.lab.heard(tester);
        self.bench.lab.send(host, socket, ip(dst), &echo(0, 1, b"")).unwrap();
        let heard = self.bench.lab.heard(tester);
        assert_eq!(heard.len(), 1);
        heard[0].ethernet().dst()
    }

    #[track_caller]
    fn still_goes_to_the_old_gateway(&mut self, dst: &str) {
        let old = self.bench.tester.mac;
        assert_eq!(self.next_hop(dst), old);
    }
}

fn better() -> MacAddr {
    MacAddr([2, 0xbb, 0, 0, 0, 3])
}

/// Of whatever kind, it is taken for the host alone (RFC 1122 §3.2.2.2).
#[test]
fn a_redirect_of_the_gateway_in_use_is_followed_for_that_host() {
    let codes =
        [RedirectCode::Net, RedirectCode::Host, RedirectCode::TosNet, RedirectCode::TosHost];
    for code in codes {
        let mut scene = Scene::new();
        scene.still_goes_to_the_old_gateway(FAR);
        scene.redirect(PEER, code, BETTER, FAR);
        assert_eq!(scene.next_hop(FAR), better(), "{code:?}");
        scene.still_goes_to_the_old_gateway("192.0.2.10");
    }
}

/// Linux `route.gc_timeout`, 300 s.
#[test]
fn a_redirect_is_forgotten_after_a_while() {
    let mut scene = Scene::new();
    scene.redirect(PEER, RedirectCode::Host, BETTER, FAR);
    scene.bench.lab.run_for(secs(299));
    assert_eq!(scene.next_hop(FAR), better());
    scene.bench.lab.run_for(secs(2));
    scene.still_goes_to_the_old_gateway(FAR);
}

/// The new gateway may redirect in turn, the old one no longer.
#[test]
fn only_the_gateway_in_use_may_redirect() {
    let mut scene = Scene::new();
    scene.redirect(BETTER, RedirectCode::Host, "10.0.0.4", FAR);
    scene.still_goes_to_the_old_gateway(FAR);
    scene.redirect("203.0.113.1", RedirectCode::Host, BETTER, FAR);
    scene.still_goes_to_the_old_gateway(FAR);
    scene.redirect(PEER, RedirectCode::Host, BETTER, FAR);
    scene.redirect(PEER, RedirectCode::Host, "10.0.0.4", FAR);
    assert_eq!(scene.next_hop(FAR), better());
    scene.redirect(BETTER, RedirectCode::Host, "10.0.0.4", FAR);
    assert_eq!(scene.next_hop(FAR), MacAddr([2, 0xbb, 0, 0, 0, 4]));
}

/// RFC 1122 §3.2.2.2: the new gateway must be on the link; it must be one host, and not ourselves.
#[test]
fn a_redirect_to_a_gateway_that_cannot_be_one_is_ignored() {
    let gateways = [
        "192.0.2.1",
        "10.0.1.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "10.0.0.255",
        US,
        PEER,
        "127.0.0.1",
    ];
    for gateway in gateways {
        let mut scene = Scene::new();
        scene.redirect(PEER, RedirectCode::Host, gateway, FAR);
        scene.still_goes_to_the_old_gateway(FAR);
    }
}

#[test]
fn a_redirect_of_an_unknown_code_is_ignored() {
    let mut scene = Scene::new();
    scene.redirect(PEER, RedirectCode::Unknown(4), BETTER, FAR);
    scene.still_goes_to_the_old_gateway(FAR);
}

/// A destination on the link has no gateway that could redirect (Linux: `rt_gw_family`).
#[test]
fn a_destination_on_the_link_cannot_be_redirected() {
    let mut scene = Scene::new();
    scene.redirect("10.0.0.4", RedirectCode::Host, BETTER, "10.0.0.4");
    assert_eq!(scene.next_hop("10.0.0.4"), MacAddr([2, 0xbb, 0, 0, 0, 4]));
    scene.redirect(PEER, RedirectCode::Host, BETTER, "10.0.0.4");
    assert_eq!(scene.next_hop("10.0.0.4"), MacAddr([2, 0xbb, 0, 0, 0, 4]));
}

/// A packet that was not ours proves nothing about where ours went.
#[test]
fn a_redirect_about_somebody_elses_packet_is_ignored() {
    let mut scene = Scene::new();
    let quoted = Ip::icmp(ip("10.0.0.77"), ip(FAR), echo(7, 1, b"")).build();
    let message = Message::Redirect { code: RedirectCode::Host, gateway: ip(BETTER) };
    let body = error_about(message, &quoted, 28);
    scene.bench.inject(&Ip::icmp(ip(PEER), ip(US), body));
    scene.still_goes_to_the_old_gateway(FAR);
}

/// RFC 1812 §5.2.7.2: a router ignores redirects; Linux `accept_redirects`.
#[test]
fn routers_and_links_that_do_not_accept_redirects_ignore_them() {
    let mut scene = Scene::new();
    scene.bench.lab.stack(scene.bench.host).set_forwarding(true);
    scene.redirect(PEER, RedirectCode::Host, BETTER, FAR);
    scene.still_goes_to_the_old_gateway(FAR);
    let mut scene = Scene::new();
    let link = scene.bench.link;
    let stack = scene.bench.lab.stack(scene.bench.host);
    stack.interface_config(link).unwrap().accept_redirects = false;
    scene.redirect(PEER, RedirectCode::Host, BETTER, FAR);
    scene.still_goes_to_the_old_gateway(FAR);
}

/// Another link is another path: what a router on one link said, of a gateway or an MTU, is not
/// used on another (Linux ties exceptions to the next hop).
#[test]
fn what_was_learnt_on_one_link_is_not_used_on_another() {
    let mut scene = Scene::new();
    let (now, host) = (scene.bench.lab.now(), scene.bench.host);
    let wire = scene.bench.lab.segment();
    let second = scene.bench.lab.attach(host, wire, "10.0.9.1/24");
    let watcher = scene.bench.lab.tester(wire);
    scene.bench.lab.know(host, second, ip(FAR), watcher.mac);
    scene.redirect(PEER, RedirectCode::Host, BETTER, FAR);
    let quoted = Ip::icmp(ip(US), ip(FAR), echo(7, 1, b"")).build();
    let needed = Unreachable::FragmentationNeeded { mtu: 1000 };
    let body = error_about(Message::DestinationUnreachable(needed), &quoted, 28);
    scene.bench.inject(&Ip::icmp(ip(PEER), ip(US), body));
    assert_eq!(scene.next_hop(FAR), better());
    assert_eq!(scene.bench.lab.stack(host).path_mtu(now, ip(FAR).into()), Ok(1000));

    let socket = scene.bench.lab.stack(host).open_ping(Some(8)).unwrap();
    scene.bench.lab.stack(host).socket_options(socket).unwrap().bind_link = Some(second);
    scene.bench.lab.send(host, socket, ip(FAR), &echo(0, 1, &[0; 1400])).unwrap();
    let heard = scene.bench.lab.heard(watcher);
    assert_eq!(heard.len(), 1, "neither cut nor asked for another gateway");
    assert_eq!(heard[0].ethernet().dst(), watcher.mac);

    // An error about the packet of a socket bound to a link is about that link.
    let quoted = Ip::icmp(ip("10.0.9.1"), ip(FAR), echo(8, 1, b"")).build();
    let needed = Unreachable::FragmentationNeeded { mtu: 900 };
    let body = error_about(Message::DestinationUnreachable(needed), &quoted, 28);
    let error = Ip::icmp(ip("10.0.9.9"), ip("10.0.9.1"), body).build();
    scene.bench.lab.inject_ip(watcher, host, second, &error);
    scene.bench.lab.send(host, socket, ip(FAR), &echo(0, 1, &[0; 1400])).unwrap();
    assert_eq!(scene.bench.lab.heard(watcher).len(), 2, "cut to 900 bytes");
}
