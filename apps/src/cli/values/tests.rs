use super::*;

#[test]
fn interfaces() {
    assert_eq!(interface("tap0").unwrap(), "tap0");
    assert_eq!(interface("exactly15bytes_").unwrap().len(), 15);
    for bad in ["", "sixteen_bytes_xx", "a/b", "a b", "a:b", ".", "..", "a\n"] {
        assert!(interface(bad).is_err(), "{bad:?} was taken");
    }
}

#[test]
fn cidrs() {
    assert_eq!(cidr("10.0.0.2/24").unwrap().to_string(), "10.0.0.2/24");
    assert!(cidr("10.0.0.0/31").is_ok(), "RFC 3021");
    assert!(cidr("10.0.0.7/32").is_ok());
    for bad in [
        "10.0.0.2",
        "10.0.0.2/33",
        "10.0.0.2/x",
        "10.0.0/24",
        "x",
        "",
        "10.0.0.0/24",
        "10.0.0.255/24",
        "127.0.0.1/8",
        "224.0.0.1/24",
        "0.0.0.0/0",
        "255.255.255.255/32",
        "10.0.0.2/0",
        "::1/64",
    ] {
        assert!(cidr(bad).is_err(), "{bad:?} was taken");
    }
}

#[test]
fn addresses_and_macs() {
    assert!(address("10.0.0.1").is_ok());
    for bad in ["10.0.0", "10.0.0.256", "host", "", "0.0.0.0", "127.0.0.1", "239.1.1.1"] {
        assert!(address(bad).is_err(), "{bad:?} was taken");
    }
    assert_eq!(mac("02:00:00:00:00:0a").unwrap().to_string(), "02:00:00:00:00:0a");
    for bad in [
        "",
        "02:00:00:00:00",
        "02:00:00:00:00:zz",
        "01:00:5e:00:00:01",
        "ff:ff:ff:ff:ff:ff",
        "00:00:00:00:00:00",
    ] {
        assert!(mac(bad).is_err(), "{bad:?} was taken");
    }
}

#[test]
fn numbers_have_the_ranges_of_iputils() {
    assert_eq!(count("1").unwrap(), 1);
    assert_eq!(count("9223372036854775807").unwrap(), i64::MAX as u64);
    assert!(count("0").unwrap_err().contains("1 to 9223372036854775807"));
    for bad in ["0", "-1", "x", "1x", "", "-", "+1", "9223372036854775808", "99999999999999999999"]
    {
        assert!(count(bad).is_err(), "{bad:?} was taken");
    }
    assert_eq!(preload("65536").unwrap(), 65_536);
    assert!(preload("65537").is_err());
    assert_eq!(size("65507").unwrap(), 65_507);
    assert!(size("65508").is_err());
    assert_eq!(mtu("68").unwrap(), 68);
    assert_eq!(mtu("65521").unwrap(), 65_521);
    assert!(mtu("67").is_err() && mtu("65522").is_err());
    assert!(ttl("0").is_err() && ttl("256").is_err() && ttl("255").is_ok());
    assert_eq!(number::<u16>("65535").unwrap(), 65_535);
    assert!(number::<u16>("65536").is_err());
    assert_eq!(number::<u32>("4294967295").unwrap(), u32::MAX);
    assert_eq!(seed("0xff").unwrap(), 255);
    assert!(seed("-1").is_err() && seed("0x").is_err() && seed("0x+1").is_err());
}

#[test]
fn times() {
    assert_eq!(duration("0.2").unwrap(), Duration::from_millis(200));
    assert_eq!(duration("0").unwrap(), Duration::ZERO);
    assert_eq!(duration("1e-3").unwrap(), Duration::from_millis(1));
    for bad in ["", "x", "1x", "-1", "nan", "inf", "2147484", "+1", "1 "] {
        assert!(duration(bad).is_err(), "{bad:?} was taken");
    }
    assert_eq!(linger("0").unwrap(), Linger(None));
    assert_eq!(linger("0.5").unwrap(), Linger(Some(Duration::from_millis(500))));
    assert!(linger("0.0001").is_err());
    let five = Wait { max: Duration::from_secs(5), here: 3.0, near: 10.0 };
    assert_eq!(wait("5").unwrap(), five);
    assert_eq!(wait("5,0,0").unwrap(), Wait { here: 0.0, near: 0.0, ..five });
    for bad in ["", "0", "-1", "5,x", "5,-1", "5,3,10,1"] {
        assert!(wait(bad).is_err(), "{bad:?} was taken");
    }
}

#[test]
fn patterns() {
    assert_eq!(pattern("abcd").unwrap(), Pattern(vec![0xab, 0xcd]));
    // iputils shows "PATTERN: 0xab0c" for this.
    assert_eq!(pattern("abc").unwrap(), Pattern(vec![0xab, 0x0c]));
    assert_eq!(pattern(&"f".repeat(32)).unwrap().0.len(), 16);
    assert!(pattern(&"f".repeat(33)).is_err());
    assert!(pattern("xyz").is_err() && pattern("").is_err());
}

#[test]
fn types_of_service_and_discovery() {
    assert_eq!(tos("0x10").unwrap(), 16);
    assert_eq!(tos("255").unwrap(), 255);
    assert!(tos("256").is_err() && tos("0x1z").is_err() && tos("-1").is_err());
    assert_eq!(discovery("probe").unwrap(), Discovery::Probe);
    assert!(discovery("maybe").is_err());
}
