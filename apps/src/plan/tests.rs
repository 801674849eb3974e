use super::*;

fn args() -> NetworkArgs {
    NetworkArgs {
        tap: None,
        packet: None,
        peer: false,
        addr: None,
        host_addr: None,
        gateway: None,
        mac: None,
        mtu: None,
        no_offload: false,
        busy_poll: None,
        pcap: None,
        seed: None,
        verbose: 0,
    }
}

fn cidr(text: &str) -> Option<Ipv4Cidr> {
    Some(text.parse().unwrap())
}

#[test]
fn the_defaults_are_those_of_the_help() {
    let plan = Plan::new(&args()).unwrap();
    assert_eq!(plan.attachment, Attachment::Private(cidr("10.0.0.1/24").unwrap()));
    assert_eq!(plan.addr, cidr("10.0.0.2/24").unwrap());
    let peer = Plan::new(&NetworkArgs { peer: true, ..args() }).unwrap();
    assert_eq!(peer.attachment, Attachment::Peer(cidr("10.0.0.1/24").unwrap()));
    assert_eq!(plan.mtu_or_default(), 1500);
}

#[test]
fn the_other_side_is_found_in_the_subnet_that_was_given() {
    let host = |addr| match Plan::new(&NetworkArgs { addr: cidr(addr), ..args() })?.attachment {
        Attachment::Private(host) => Ok::<_, Failure>(Some(host)),
        other => panic!("{other:?} is not private"),
    };
    assert_eq!(host("192.168.7.9/24").unwrap(), cidr("192.168.7.1/24"));
    assert_eq!(host("192.168.7.1/24").unwrap(), cidr("192.168.7.2/24"));
    assert_eq!(host("192.168.7.1/31").unwrap(), cidr("192.168.7.0/31"));
    assert_eq!(host("192.168.7.6/30").unwrap(), cidr("192.168.7.5/30"));
    assert!(host("192.168.7.9/32").unwrap_err().0.contains("shorter prefix"));
    let plan = Plan::new(&NetworkArgs { host_addr: cidr("10.0.0.9/24"), ..args() }).unwrap();
    assert_eq!(plan.addr, cidr("10.0.0.2/24").unwrap());
}

#[test]
fn the_stacks_default_address_is_not_moved_unasked() {
    for tap in [None, Some("t0".to_string())] {
        let args = NetworkArgs { host_addr: cidr("172.16.0.1/12"), tap, ..args() };
        let error = Plan::new(&args).unwrap_err().0;
        assert!(error.contains("outside 10.0.0.2/24") && error.contains("--addr"), "{error}");
    }
}

#[test]
fn an_interface_of_others_is_given_no_address_unasked() {
    let plan = Plan::new(&NetworkArgs { tap: Some("t0".into()), ..args() }).unwrap();
    assert_eq!(plan.attachment, Attachment::Tap { name: "t0".into(), host: None });
    let plan = Plan::new(&NetworkArgs { packet: Some("e0".into()), ..args() }).unwrap();
    assert_eq!(plan.attachment, Attachment::Packet("e0".into()));
}

#[test]
fn addresses_that_do_not_go_together() {
    let wrong = |addr, host, gateway: Option<&str>| {
        let gateway = gateway.map(|text| text.parse().unwrap());
        let args = NetworkArgs { addr: cidr(addr), host_addr: cidr(host), gateway, ..args() };
        Plan::new(&args).expect_err("this was taken").0
    };
    assert!(wrong("10.0.0.1/24", "10.0.0.1/24", None).contains("different addresses"));
    assert!(wrong("10.0.0.2/24", "10.0.1.1/24", None).contains("same subnet"));
    assert!(wrong("10.0.0.2/24", "10.0.0.200/25", None).contains("same subnet"));
    assert!(wrong("10.0.0.2/24", "10.0.0.1/24", Some("10.0.1.1")).contains("outside 10.0.0.0/24"));
    assert!(wrong("10.0.0.2/24", "10.0.0.1/24", Some("10.0.0.2")).contains("own address"));
    assert!(wrong("10.0.0.2/24", "10.0.0.1/24", Some("10.0.0.255")).contains("broadcast"));
}

#[test]
fn broadcast_addresses() {
    let plan = Plan::new(&args()).unwrap();
    for (addr, expected) in [
        ("255.255.255.255", true),
        ("10.0.0.255", true),
        ("10.0.0.0", true),
        ("10.0.0.1", false),
        ("10.0.1.255", false),
    ] {
        assert_eq!(plan.is_broadcast(addr.parse().unwrap()), expected, "{addr}");
    }
}

#[test]
fn a_way_to_the_target() {
    let plan = Plan::new(&args()).unwrap();
    let target =
        |addr: &str| Target { name: addr.into(), addr: addr.parse().unwrap(), numeric: true };
    for near in ["10.0.0.9", "127.0.0.1", "224.0.0.1", "255.255.255.255", "10.0.0.255"] {
        plan.check_route(&target(near)).unwrap();
    }
    let far = target("8.8.8.8");
    assert!(plan.check_route(&far).unwrap_err().0.contains("--gateway"));
    let named = Target { name: "far".into(), numeric: false, ..far.clone() };
    assert!(plan.check_route(&named).unwrap_err().0.starts_with("far (8.8.8.8): Network is"));
    let routed = Plan { gateway: Some(Ipv4Addr::new(10, 0, 0, 1)), ..plan.clone() };
    routed.check_route(&far).unwrap();
    plan.check_source(Ipv4Addr::new(10, 0, 0, 2)).unwrap();
    assert!(plan.check_source(Ipv4Addr::new(10, 0, 0, 3)).unwrap_err().0.contains("--addr"));
}

#[test]
fn the_default_of_the_other_side_is_not_bent_around_the_stacks_own_address() {
    let with = |addr: &str| Plan::new(&NetworkArgs { addr: cidr(addr), ..args() });
    let error = with("10.0.0.1/24").unwrap_err().0;
    assert!(error.contains("both 10.0.0.1"), "{error}");
    let other = |addr: &str| with(addr).unwrap().attachment;
    assert_eq!(other("10.0.0.9/8"), Attachment::Private(cidr("10.0.0.1/8").unwrap()));
    assert_eq!(other("192.168.7.1/24"), Attachment::Private(cidr("192.168.7.2/24").unwrap()));
}
