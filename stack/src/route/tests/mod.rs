mod exceptions;
mod source;
mod table;
mod tree;

use core::net::{IpAddr, Ipv4Addr};

use super::*;

fn cidr(text: &str) -> IpCidr {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}
