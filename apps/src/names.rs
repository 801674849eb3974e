//! Names and addresses, as the system resolves them.
//!
//! Names given on the command line are resolved before the process enters a private network, where
//! no name server can be reached and addresses mean something else. What was not learnt by then is
//! shown as an address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};

use crate::failure::Failure;

/// A host from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As it was written.
    pub name: String,
    /// Its address.
    pub addr: Ipv4Addr,
    /// It was written as an address.
    pub numeric: bool,
}

/// Finds the IPv4 address of a host, as getaddrinfo(3) does.
pub fn resolve(name: &str) -> Result<Target, Failure> {
    let target = |addr: Ipv4Addr, numeric| {
        // As connect(2) does, 0.0.0.0 stands for this host.
        let addr = if addr.is_unspecified() { Ipv4Addr::LOCALHOST } else { addr };
        Target { name: name.to_string(), addr, numeric }
    };
    if let Ok(addr) = name.parse() {
        return Ok(target(addr, true));
    }
    // inet_aton(3) takes shorter forms too, such as 127.1.
    let numeric = name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '.' | 'x' | 'X'));
    let addrs: Vec<IpAddr> = match (name, 0).to_socket_addrs() {
        Ok(found) => found.map(|socket| socket.ip()).collect(),
        Err(error) => {
            let reason = error.to_string();
            let reason =
                reason.strip_prefix("failed to lookup address information: ").unwrap_or(&reason);
            return Err(Failure::new(format!(
                "'{name}': {reason}; check the name, or give the address"
            )));
        }
    };
    let ipv4 = addrs.iter().find_map(|addr| match addr {
        IpAddr::V4(addr) => Some(*addr),
        IpAddr::V6(_) => None,
    });
    ipv4.map(|addr| target(addr, numeric)).ok_or_else(|| {
        Failure(format!(
            "'{name}' has only IPv6 addresses, and the stack speaks IPv4; name another"
        ))
    })
}

/// Names of addresses, each looked up once.
#[derive(Debug, Default)]
pub struct Names {
    known: HashMap<IpAddr, Option<String>>,
    may_ask: bool,
}

impl Names {
    /// No names at all: every address is shown as it is.
    pub fn numeric() -> Self {
        Names::default()
    }

    /// Names from the system.
    pub fn system() -> Self {
        Names { known: HashMap::new(), may_ask: true }
    }

    /// Stops asking the system; what is known stays known.
    pub fn isolate(&mut self) {
        self.may_ask = false;
    }

    /// The name of `addr`, if it is wanted and known.
    pub fn get(&mut self, addr: IpAddr) -> Option<String> {
        if let Some(name) = self.known.get(&addr) {
            return name.clone();
        }
        if !self.may_ask {
            return None;
        }
        // An address without a name comes back as its own text.
        let name = dns_lookup::lookup_addr(&addr).ok().filter(|name| *name != addr.to_string());
        self.known.insert(addr, name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_no_resolver() {
        let target = resolve("10.0.0.1").unwrap();
        assert_eq!((target.addr, target.numeric), (Ipv4Addr::new(10, 0, 0, 1), true));
        assert_eq!(resolve("0.0.0.0").unwrap().addr, Ipv4Addr::LOCALHOST);
        let short = resolve("127.1").unwrap();
        assert_eq!((short.addr, short.numeric), (Ipv4Addr::LOCALHOST, true));
    }

    #[test]
    fn what_cannot_be_resolved_is_told_in_one_line() {
        for name in ["", "no such host", "nosuchhost.invalid", "::1"] {
            let Failure(why) = resolve(name).expect_err("this was resolved");
            assert!(why.contains(name) && !why.contains('\n'), "{why}");
        }
    }

    #[test]
    fn nothing_is_asked_when_names_are_not_wanted() {
        let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(Names::numeric().get(localhost), None);
        let mut isolated = Names::system();
        isolated.isolate();
        assert_eq!(isolated.get(localhost), None);
    }

    #[test]
    fn a_name_is_asked_for_once_and_kept() {
        let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
        let mut names = Names::system();
        let name = names.get(localhost);
        names.isolate();
        assert_eq!(names.get(localhost), name);
    }
}
