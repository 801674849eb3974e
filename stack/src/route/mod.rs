//! Routes: where a packet for an address goes.
//!
//! A [`RouteTable`] holds two tables, as Linux does before anyone adds rules: `local`, with the
//! stack's own addresses and broadcast addresses, is searched first, then `main`. Each is a
//! prefix tree that finds the longest prefix in at most six steps, whatever its size.
//! Routes with the same prefix are tried in the order of their metric; one over a link that is
//! down is passed over for the next metric, then for the next shorter prefix.
//!
//! Beside the table stand [source address selection](source) and what routers told us about
//! single destinations, the [exceptions].

use core::net::{IpAddr, Ipv4Addr};

use crate::packet::LinkId;
use crate::wire::cidr::IpCidr;

mod arena;
mod display;
pub mod exceptions;
mod prefilter;
mod recent;
pub mod source;
mod table;
mod tree;

#[cfg(test)]
mod tests;

pub use display::RouteDisplay;
pub use exceptions::{ExceptionsConfig, Pmtu, RouteExceptions};
pub use source::{LinkAddress, select_source};
pub use table::{RoutePosition, RouteTable};

/// What is done with a packet that a route matches (Linux `RTN_*`, ip-route(8)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// Send it to the gateway or the neighbour.
    Unicast,
    /// Deliver it to this stack.
    Local,
    /// Send it as a link-layer broadcast; deliver it here when it arrives.
    Broadcast,
    /// Drop it silently.
    Blackhole,
    /// Drop it and answer ICMP host unreachable.
    Unreachable,
    /// Drop it and answer ICMP communication administratively prohibited.
    Prohibit,
}

impl RouteKind {
    /// Whether the packet is dropped, so that the route names no link and no gateway.
    pub fn is_reject(self) -> bool {
        matches!(self, RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit)
    }
}

/// One of the tables (Linux `RT_TABLE_*`), in the order they are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteTableId {
    /// The stack's own and broadcast addresses.
    Local,
    /// Everything else.
    Main,
}

/// Who made a route (Linux `RTPROT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteProtocol {
    /// The stack itself, for an address it was given.
    Kernel,
    /// A command without further word on it; what `ip route add` gives.
    Boot,
    /// An administrator.
    Static,
}

/// How far a destination or an address reaches (Linux `RT_SCOPE_*`); a greater one is closer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Anywhere.
    Universe = 0,
    /// Within a site.
    Site = 200,
    /// On the link.
    Link = 253,
    /// On this host.
    Host = 254,
}

/// A route, as it is added and listed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// The addresses it is for; no bit is set after the prefix.
    pub destination: IpCidr,
    /// What is done with the packet.
    pub kind: RouteKind,
    /// The table it is in.
    pub table: RouteTableId,
    /// The router to send to; `None` when the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The link to send by. For a route with a gateway the table fills it in, from its route to
    /// the gateway.
    pub link: Option<LinkId>,
    /// The smaller, the better among routes with the same destination.
    pub metric: u32,
    /// The source address to prefer (Linux `prefsrc`).
    pub source: Option<IpAddr>,
    /// The path MTU, where it is less than the link's: at least 68 bytes; 0 is taken for none.
    pub mtu: Option<u16>,
    /// Who made it.
    pub protocol: RouteProtocol,
    /// Take the gateway to be on the link even though no route says so.
    pub onlink: bool,
}

impl Route {
    /// A route through a router.
    pub fn via(destination: IpCidr, gateway: IpAddr) -> Self {
        Route { gateway: Some(gateway), ..Route::of_kind(destination, RouteKind::Unicast) }
    }

    /// A route to what is directly on a link.
    pub fn direct(destination: IpCidr, link: LinkId) -> Self {
        Route { link: Some(link), ..Route::of_kind(destination, RouteKind::Unicast) }
    }

    /// An own address, or a whole prefix of them, in the local table.
    pub fn local(destination: IpCidr, link: LinkId) -> Self {
        Route {
            link: Some(link),
            table: RouteTableId::Local,
            protocol: RouteProtocol::Kernel,
            ..Route::of_kind(destination, RouteKind::Local)
        }
    }

    /// A broadcast address of a link, in the local table.
    pub fn broadcast(destination: IpCidr, link: LinkId) -> Self {
        Route { kind: RouteKind::Broadcast, ..Route::local(destination, link) }
    }

    /// A route that drops silently.
    pub fn blackhole(destination: IpCidr) -> Self {
        Route::of_kind(destination, RouteKind::Blackhole)
    }

    /// A route that drops and answers host unreachable.
    pub fn unreachable(destination: IpCidr) -> Self {
        Route::of_kind(destination, RouteKind::Unreachable)
    }

    /// A route that drops and answers communication administratively prohibited.
    pub fn prohibit(destination: IpCidr) -> Self {
        Route::of_kind(destination, RouteKind::Prohibit)
    }

    /// The same route over `link`.
    pub fn with_link(self, link: LinkId) -> Self {
        Route { link: Some(link), ..self }
    }

    /// The same route with this metric.
    pub fn with_metric(self, metric: u32) -> Self {
        Route { metric, ..self }
    }

    /// The same route preferring this source address.
    pub fn with_source(self, source: IpAddr) -> Self {
        Route { source: Some(source), ..self }
    }

    /// The same route with this path MTU.
    pub fn with_mtu(self, mtu: u16) -> Self {
        Route { mtu: Some(mtu), ..self }
    }

    /// The same route as made by `protocol`.
    pub fn with_protocol(self, protocol: RouteProtocol) -> Self {
        Route { protocol, ..self }
    }

    /// The same route in `table`.
    pub fn with_table(self, table: RouteTableId) -> Self {
        Route { table, ..self }
    }

    /// The same route with its gateway taken to be on the link.
    pub fn with_onlink(self) -> Self {
        Route { onlink: true, ..self }
    }

    /// How far the destination is: what Linux's `ip` sets when not told.
    pub fn scope(&self) -> Scope {
        scope_of(self.kind, self.gateway.is_some())
    }

    fn of_kind(destination: IpCidr, kind: RouteKind) -> Self {
        Route {
            destination,
            kind,
            table: RouteTableId::Main,
            gateway: None,
            link: None,
            metric: 0,
            source: None,
            mtu: None,
            protocol: RouteProtocol::Boot,
            onlink: false,
        }
    }
}

/// Which route to delete: the first, by metric, that fits everything given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSelector {
    /// Exactly this destination.
    pub destination: IpCidr,
    /// In this table.
    pub table: RouteTableId,
    /// Of this kind.
    pub kind: Option<RouteKind>,
    /// Through this router.
    pub gateway: Option<IpAddr>,
    /// Over this link.
    pub link: Option<LinkId>,
    /// With this metric.
    pub metric: Option<u32>,
    /// Preferring this source address.
    pub source: Option<IpAddr>,
    /// Made by this protocol.
    pub protocol: Option<RouteProtocol>,
}

impl RouteSelector {
    /// Any route to `destination` in the main table.
    pub fn to(destination: IpCidr) -> Self {
        RouteSelector {
            destination,
            table: RouteTableId::Main,
            kind: None,
            gateway: None,
            link: None,
            metric: None,
            source: None,
            protocol: None,
        }
    }

    fn fits(&self, route: &Route) -> bool {
        fn given<T: PartialEq>(wanted: Option<T>, found: Option<T>) -> bool {
            wanted.is_none() || wanted == found
        }
        given(self.kind, Some(route.kind))
            && given(self.gateway, route.gateway)
            && given(self.link, route.link)
            && given(self.metric, Some(route.metric))
            && given(self.source, route.source)
            && given(self.protocol, Some(route.protocol))
    }
}

impl From<&Route> for RouteSelector {
    /// Selects `route` and nothing else, unless it was appended twice.
    fn from(route: &Route) -> Self {
        RouteSelector {
            destination: route.destination,
            table: route.table,
            kind: Some(route.kind),
            gateway: route.gateway,
            link: route.link,
            metric: Some(route.metric),
            source: route.source,
            protocol: Some(route.protocol),
        }
    }
}

/// What a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Match {
    /// What to do with the packet.
    pub kind: RouteKind,
    /// The link to send by; `None` for the kinds that drop.
    pub link: Option<LinkId>,
    /// The router to send to; `None` when the destination itself is the next hop.
    pub gateway: Option<Ipv4Addr>,
    /// The source address the route prefers.
    pub source: Option<Ipv4Addr>,
    /// The path MTU the route sets.
    pub mtu: Option<u16>,
    /// How many bits of the destination matched.
    pub prefix_len: u8,
    /// The route's metric.
    pub metric: u32,
}

impl Match {
    /// How far the destination is: the scope to select a source address for.
    pub fn scope(&self) -> Scope {
        scope_of(self.kind, self.gateway.is_some())
    }

    /// The next hop towards `destination`.
    pub fn next_hop(&self, destination: Ipv4Addr) -> Ipv4Addr {
        self.gateway.unwrap_or(destination)
    }
}

/// Why a change of the table was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// A route with this destination and metric is there (Linux `EEXIST`).
    #[error("route exists")]
    Exists,
    /// There are as many routes as the configuration allows (`ENOBUFS`).
    #[error("route table full")]
    Full,
    /// The destination, gateway or source is not an IPv4 address (`EAFNOSUPPORT`).
    #[error("address family not supported")]
    Family,
    /// The destination has bits set after its prefix (`EINVAL`).
    #[error("invalid prefix for given prefix length")]
    HostBits,
    /// A unicast, local or broadcast route names neither link nor gateway, an `onlink` one no
    /// link, or the link does not exist (`ENODEV`).
    #[error("route needs a link")]
    NoLink,
    /// Less than every link carries, 68 bytes (RFC 791 §3.2; `EINVAL`).
    #[error("route MTU {0} is below 68")]
    BadMtu(u16),
    /// A route of this kind cannot have this gateway or link (`EINVAL`).
    #[error("gateway or link cannot be given for this route type")]
    UnexpectedNextHop,
    /// No direct route leads to the gateway, or it is not a host (`ENETUNREACH`).
    #[error("nexthop has invalid gateway")]
    GatewayUnreachable,
    /// The preferred source is not an own address (`EINVAL`).
    #[error("invalid preferred source address")]
    SourceNotLocal,
    /// No route fits the selector (`ESRCH`).
    #[error("no such route")]
    NotFound,
}

fn scope_of(kind: RouteKind, has_gateway: bool) -> Scope {
    match kind {
        RouteKind::Local => Scope::Host,
        RouteKind::Broadcast => Scope::Link,
        RouteKind::Unicast if !has_gateway => Scope::Link,
        _ => Scope::Universe,
    }
}
