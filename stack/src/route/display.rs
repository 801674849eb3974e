//! Routes as `ip route show` prints them.

use core::fmt;
use core::net::IpAddr;

use super::{Route, RouteKind, RouteProtocol, Scope};
use crate::packet::LinkId;

/// Prints a route on one line; made by [`Route::display`].
#[derive(Debug)]
pub struct RouteDisplay<'a, F> {
    route: &'a Route,
    link_name: F,
}

impl Route {
    /// The route in the words of `ip route show`, links named by `link_name` or, where that knows
    /// no name, `if` and the number. The table is left out, as when listing a single one.
    pub fn display<'n, F>(&self, link_name: F) -> RouteDisplay<'_, F>
    where
        F: Fn(LinkId) -> Option<&'n str>,
    {
        RouteDisplay { route: self, link_name }
    }
}

impl<'n, F: Fn(LinkId) -> Option<&'n str>> fmt::Display for RouteDisplay<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = self.route;
        f.write_str(match route.kind {
            RouteKind::Unicast => "",
            RouteKind::Local => "local ",
            RouteKind::Broadcast => "broadcast ",
            RouteKind::Blackhole => "blackhole ",
            RouteKind::Unreachable => "unreachable ",
            RouteKind::Prohibit => "prohibit ",
        })?;
        let (address, prefix_len) = (route.destination.addr(), route.destination.prefix_len());
        match (address, prefix_len) {
            (address, 0) if address.is_unspecified() => f.write_str("default")?,
            (IpAddr::V4(address), 32) => write!(f, "{address}")?,
            (IpAddr::V6(address), 128) => write!(f, "{address}")?,
            _ => write!(f, "{address}/{prefix_len}")?,
        }
        if let Some(gateway) = route.gateway {
            write!(f, " via {gateway}")?;
        }
        if let Some(link) = route.link {
            match (self.link_name)(link) {
                Some(name) => write!(f, " dev {name}")?,
                None => write!(f, " dev {link}")?,
            }
        }
        f.write_str(match route.protocol {
            RouteProtocol::Kernel => " proto kernel",
            RouteProtocol::Boot => "",
            RouteProtocol::Static => " proto static",
        })?;
        f.write_str(match route.scope() {
            Scope::Universe => "",
            Scope::Site => " scope site",
            Scope::Link => " scope link",
            Scope::Host => " scope host",
        })?;
        if let Some(source) = route.source {
            write!(f, " src {source}")?;
        }
        if route.metric != 0 {
            write!(f, " metric {}", route.metric)?;
        }
        if route.onlink {
            f.write_str(" onlink")?;
        }
        if let Some(mtu) = route.mtu {
            write!(f, " mtu {mtu}")?;
        }
        Ok(())
    }
}
