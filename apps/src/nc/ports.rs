//! Ports as nc's user names them: by number, by the name of a service, or a range.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use dns_lookup::{AddrInfoHints, SockType, getaddrinfo, getnameinfo};

use crate::failure::Failure;

/// `NI_NUMERICHOST` and `NI_DGRAM` of getnameinfo(3).
const NUMERIC_HOST: i32 = 1;
const DATAGRAM: i32 = 16;

/// One port, or several in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(RangeInclusive<u16>);

impl Ports {
    /// Reads what the user wrote.
    pub fn parse(text: &str, udp: bool) -> Result<Self, Failure> {
        let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some((first, last)) = text.split_once('-')
            && digits(first)
            && digits(last)
        {
            // nc takes them the wrong way round, too.
            return match (number(first), number(last)) {
                (Some(a), Some(b)) => Ok(Ports(a.min(b)..=a.max(b))),
                _ => Err(Failure(format!("{text}: ports are numbers from 1 to 65535"))),
            };
        }
        let port = if digits(text) { number(text) } else { service_port(text, udp) };
        port.map(|port| Ports(port..=port)).ok_or_else(|| {
            Failure(format!("{text}: this is no port; give a number from 1 to 65535"))
        })
    }

    /// Whether there may be more than one.
    pub fn is_range(&self) -> bool {
        self.0.start() != self.0.end()
    }

    /// The first.
    pub fn first(&self) -> u16 {
        *self.0.start()
    }

    /// All of them.
    pub fn iter(&self) -> RangeInclusive<u16> {
        self.0.clone()
    }
}

/// The port of a service (services(5)).
fn service_port(name: &str, udp: bool) -> Option<u16> {
    let socktype = if udp { SockType::DGram } else { SockType::Stream };
    let hints = AddrInfoHints { socktype: socktype.into(), ..AddrInfoHints::default() };
    let mut found = getaddrinfo(None, Some(name), Some(hints)).ok()?;
    found.find_map(|info| info.ok().map(|info| info.sockaddr.port())).filter(|port| *port > 0)
}

/// The name of the service on a port, if it has one.
pub fn service_name(port: u16, udp: bool) -> Option<String> {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let flags = NUMERIC_HOST | if udp { DATAGRAM } else { 0 };
    let (_, name) = getnameinfo(&addr, flags).ok()?;
    (!name.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges() {
        let ports = |text| Ports::parse(text, false).map(|ports| ports.0);
        assert_eq!(ports("80"), Ok(80..=80));
        assert_eq!(ports("20-30"), Ok(20..=30));
        assert_eq!(ports("30-20"), Ok(20..=30));
        for bad in ["0", "65536", "-1", "", "1-", "-", "1-65536", "no-such-service", "80 "] {
            let Failure(why) = ports(bad).expect_err(bad);
            assert!(why.contains("1 to 65535"), "{why}");
        }
    }
}
