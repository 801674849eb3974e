//! Proxy ARP (RFC 1027).

use super::*;

#[test]
fn proxy_arp_needs_the_option_forwarding_and_another_link() {
    for (option, forwarding, target, answered) in [
        (true, true, "10.2.0.7", true),
        (false, true, "10.2.0.7", false),
        (true, false, "10.2.0.7", false),
        (true, true, "10.1.0.7", false),
        (true, true, "192.0.2.1", false),
        (true, true, "203.0.113.1", true),
    ] {
        let mut lab = Lab::new();
        let (left, right) = (lab.segment(), lab.segment());
        let router = lab.host("router");
        let inside = lab.attach(router, left, "10.1.0.1/24");
        lab.attach(router, right, "10.2.0.1/24");
        let stack = lab.stack(router);
        stack.set_forwarding(forwarding);
        stack.interface_config(inside).unwrap().proxy_arp = option;
        let beyond = "203.0.113.0/24".parse().unwrap();
        stack.add_route(Route::via(beyond, IpAddr::V4(ip("10.2.0.9")))).unwrap();
        let tester = lab.tester(left);
        let request = arp_request(tester.mac, ip("10.1.0.5"), ip(target));
        lab.inject(tester, arp_frame(MacAddr::BROADCAST, &request));
        let case = format!("option {option}, forwarding {forwarding}, {target}");
        let answers = lab.heard_arp(tester);
        assert_eq!(answers.len(), usize::from(answered), "{case}");
        let known = lab.stack(router).neighbour(inside, IpAddr::V4(ip("10.1.0.5"))).is_some();
        assert_eq!(known, answered, "{case}");
        if answered {
            let mac = lab.mac(router, inside);
            let expected = arp_reply(mac, ip(target), tester.mac, ip("10.1.0.5"));
            assert_eq!(answers[0].message, expected, "{case}");
        }
    }
}

/// RFC 5227 §2.1.1 with proxy ARP: an address that somebody probes for is not ours to defend.
#[test]
fn a_proxy_does_not_answer_probes() {
    let mut lab = Lab::new();
    let (left, right) = (lab.segment(), lab.segment());
    let router = lab.host("router");
    let inside = lab.attach(router, left, "10.1.0.1/24");
    lab.attach(router, right, "10.2.0.1/24");
    lab.stack(router).set_forwarding(true);
    lab.stack(router).interface_config(inside).unwrap().proxy_arp = true;
    let tester = lab.tester(left);
    let probe = arp_request(tester.mac, Ipv4Addr::UNSPECIFIED, ip("10.2.0.7"));
    lab.inject(tester, arp_frame(MacAddr::BROADCAST, &probe));
    assert!(lab.heard(tester).is_empty());
}

/// Linux answers for every address of the host on every link (`arp_ignore` 0).
#[test]
fn an_address_of_another_link_is_answered_for() {
    let mut lab = Lab::new();
    let (left, right) = (lab.segment(), lab.segment());
    let host = lab.host("a");
    let first = lab.attach(host, left, "10.1.0.1/24");
    lab.attach(host, right, "10.2.0.1/24");
    let tester = lab.tester(left);
    let request = arp_request(tester.mac, ip("10.1.0.5"), ip("10.2.0.1"));
    lab.inject(tester, arp_frame(MacAddr::BROADCAST, &request));
    let answers = lab.heard_arp(tester);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].message.sender_mac, lab.mac(host, first));
}
