use std::string::ToString;

use super::*;

fn v4(text: &str) -> Ipv4Cidr {
    text.parse().unwrap()
}

#[test]
fn a_prefix_has_a_mask_a_network_and_a_broadcast_address() {
    let cidr = v4("192.168.17.5/20");
    assert_eq!(cidr.netmask(), Ipv4Addr::new(255, 255, 240, 0));
    assert_eq!(cidr.network(), Ipv4Addr::new(192, 168, 16, 0));
    assert_eq!(cidr.broadcast(), Some(Ipv4Addr::new(192, 168, 31, 255)));
    assert_eq!(cidr.network_cidr(), v4("192.168.16.0/20"));
    assert!(cidr.contains(Ipv4Addr::new(192, 168, 31, 255)));
    assert!(!cidr.contains(Ipv4Addr::new(192, 168, 32, 0)));
}

#[test]
fn the_extreme_lengths() {
    assert_eq!(v4("1.2.3.4/0").network(), Ipv4Addr::UNSPECIFIED);
    assert_eq!(v4("1.2.3.4/0").broadcast(), Some(Ipv4Addr::BROADCAST));
    assert!(v4("1.2.3.4/0").contains(Ipv4Addr::BROADCAST));
    assert_eq!(v4("10.0.0.4/31").broadcast(), None);
    assert!(v4("10.0.0.4/31").contains(Ipv4Addr::new(10, 0, 0, 5)));
    assert_eq!(v4("10.0.0.4/32").broadcast(), None);
    assert!(!v4("10.0.0.4/32").contains(Ipv4Addr::new(10, 0, 0, 5)));
    assert_eq!(Ipv4Cidr::new(Ipv4Addr::LOCALHOST, 33), None);
    assert_eq!(IpCidr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 33), None);
    assert_eq!(IpCidr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 129), None);
}

#[test]
fn both_families_behind_one_type() {
    let cidr: IpCidr = "2001:db8::1:2/112".parse().unwrap();
    assert_eq!(cidr.network().to_string(), "2001:db8::1:0");
    assert!(cidr.contains("2001:db8::1:ffff".parse().unwrap()));
    assert!(!cidr.contains("2001:db8::2:0".parse().unwrap()));
    assert!(!cidr.contains(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    assert_eq!((cidr.to_string().as_str(), cidr.as_v4()), ("2001:db8::1:2/112", None));
    let all: IpCidr = "::/0".parse().unwrap();
    assert!(all.contains(cidr.addr()) && all.network_cidr() == all);

    let cidr = IpCidr::from(v4("10.1.2.3/8"));
    assert_eq!(cidr.network(), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)));
    assert_eq!(cidr.as_v4(), Some(v4("10.1.2.3/8")));
    assert_eq!("10.1.2.3/8".parse(), Ok(cidr));
}

#[test]
fn bad_strings_say_what_is_wrong() {
    let error = |text: &str| {
        let error = text.parse::<Ipv4Cidr>().unwrap_err();
        assert_eq!(text.parse::<IpCidr>(), Err(error), "both types agree on {text}");
        error
    };
    assert_eq!(error("10.0.0.2"), CidrError::MissingPrefix);
    assert_eq!(error(""), CidrError::MissingPrefix);
    assert_eq!(error("10.0.0.2/33"), CidrError::PrefixTooLong { max: 32 });
    assert_eq!(error("10.0.0.2/256"), CidrError::PrefixTooLong { max: 32 });
    assert_eq!(error("10.0.0.2/99999999999999999999"), CidrError::PrefixTooLong { max: 32 });
    for text in ["10.0.0.2/", "10.0.0.2/x", "10.0.0.2/+8", "10.0.0.2/-1", "10.0.0.2/8/9"] {
        assert_eq!(error(text), CidrError::BadPrefix, "{text}");
    }
    for text in ["10.0.0/8", "10.0.0.256/8", " 10.0.0.1/8", "/8", "host/8"] {
        assert_eq!(error(text), CidrError::BadAddress, "{text}");
    }
    assert_eq!("::1/129".parse::<IpCidr>(), Err(CidrError::PrefixTooLong { max: 128 }));
    assert_eq!("::1/64".parse::<Ipv4Cidr>(), Err(CidrError::BadAddress));
    assert!(CidrError::MissingPrefix.to_string().contains("10.0.0.2/24"));
}
