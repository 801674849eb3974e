use std::net::IpAddr;

use super::*;
use crate::testing::in_namespace;

fn cidr(text: &str) -> IpCidr {
    text.parse().unwrap()
}

#[test]
fn a_veth_pair_lives_as_told() {
    in_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        netlink.create_veth("left", "right").unwrap();
        let left = netlink.link("left").unwrap().unwrap();
        assert_eq!(left.kind.as_deref(), Some("veth"));
        assert_eq!(left.hardware_type, 1);
        assert_eq!(left.mtu, 1500);
        assert!(!left.is_up() && !left.has_carrier());

        let right = netlink.link("right").unwrap().unwrap();
        let mac = MacAddr([2, 0, 0, 0, 0, 7]);
        netlink.set_mac(left.index, mac).unwrap();
        netlink.set_mtu(left.index, 9000).unwrap();
        netlink.set_no_arp(left.index, true).unwrap();
        netlink.set_up(left.index, true).unwrap();
        netlink.set_up(right.index, true).unwrap();
        let left = netlink.link("left").unwrap().unwrap();
        assert_eq!((left.mac, left.mtu), (Some(mac), 9000));
        assert!(left.is_up() && left.has_carrier());
        assert_ne!(left.flags & libc::IFF_NOARP as u32, 0);

        netlink.delete_link(right.index).unwrap();
        assert_eq!(netlink.link("left").unwrap(), None);
    });
}

#[test]
fn addresses_and_routes_reach_the_kernel() {
    in_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        netlink.create_veth("a", "b").unwrap();
        let index = netlink.link("a").unwrap().unwrap().index;
        netlink.set_up(index, true).unwrap();
        netlink.add_address(index, cidr("10.0.0.1/24")).unwrap();
        netlink.add_address(index, cidr("10.9.0.1/31")).unwrap();
        netlink.configure(index, Some(cidr("10.9.0.1/31"))).unwrap();
        let addresses = netlink.addresses().unwrap();
        assert!(addresses.contains(&(index, cidr("10.0.0.1/24"))));
        assert!(addresses.contains(&(index, cidr("10.9.0.1/31"))));

        let gateway: IpAddr = "10.0.0.2".parse().unwrap();
        netlink.add_route(cidr("192.0.2.0/24"), Some(gateway), index).unwrap();
        netlink.add_route(cidr("198.51.100.0/24"), None, index).unwrap();
        // Columns of proc(5) net/route: interface, destination and gateway in network order.
        let routes = std::fs::read_to_string("/proc/thread-self/net/route").unwrap();
        let has = |destination: &str, gateway: &str| {
            routes.lines().any(|line| {
                let mut fields = line.split_whitespace();
                fields.next() == Some("a")
                    && fields.next() == Some(destination)
                    && fields.next() == Some(gateway)
            })
        };
        assert!(has("000200C0", "0200000A"), "{routes}");
        assert!(has("006433C6", "00000000"), "{routes}");

        netlink.delete_address(index, cidr("10.0.0.1/24")).unwrap();
        assert!(!netlink.addresses().unwrap().contains(&(index, cidr("10.0.0.1/24"))));
    });
}

#[test]
fn a_refusal_says_what_was_asked_and_why() {
    in_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        netlink.create_veth("a", "b").unwrap();
        let exists = netlink.create_veth("a", "c").unwrap_err();
        assert_eq!(exists.error.raw_os_error(), Some(libc::EEXIST));
        assert!(exists.to_string().contains("create the veth pair a and c"), "{exists}");

        let index = netlink.link("a").unwrap().unwrap().index;
        let too_small = netlink.set_mtu(index, 10).unwrap_err();
        assert_eq!(too_small.error.raw_os_error(), Some(libc::EINVAL));
        // The kernel explains this one.
        assert!(too_small.explanation.is_some(), "{too_small}");
        let far_gateway = netlink
            .add_route(cidr("192.0.2.0/24"), Some("203.0.113.1".parse().unwrap()), index)
            .unwrap_err();
        assert!(far_gateway.explanation.is_some(), "{far_gateway}");
    });
}

#[test]
fn damaged_messages_end_the_walk() {
    let mut request = Request::new(libc::RTM_NEWLINK, 0);
    request.link_header(3, 0, 0);
    request.attribute_string(libc::IFLA_IFNAME, "eth0");
    let bytes = request.finish(9);
    let whole: Vec<_> = message::iter(&bytes).collect();
    assert_eq!(whole.len(), 1);
    assert_eq!(whole[0].sequence, 9);
    let link = parse_link(whole[0].body).unwrap();
    assert_eq!((link.index, link.name.as_str()), (3, "eth0"));
    for len in 0..bytes.len() {
        assert_eq!(message::iter(&bytes[..len]).count(), 0);
    }
    for len in 0..whole[0].body.len() {
        // Never beyond the slice, whatever is missing.
        let _ = parse_link(&whole[0].body[..len]);
        let _ = parse_neighbour(&whole[0].body[..len]);
        let _ = parse_address(&whole[0].body[..len]);
    }
    assert_eq!(Attributes::new(&[3, 0, 1, 0]).count(), 0, "shorter than its own header");
}
