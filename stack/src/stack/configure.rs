//! Links, addresses, routes and neighbours of a stack (what ip-link(8), ip-address(8), ip-route(8)
//! and ip-neighbour(8) do to a namespace).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use super::Stack;
use crate::event::AddressState;
use crate::interface::{Interface, InterfaceAddress, InterfaceConfig, Interfaces, LinkKind};
use crate::link::{Capabilities, Link, LinkConfig};
use crate::neigh::Neighbour;
use crate::packet::LinkId;
use crate::route::{Route, RouteError, RouteKind, RouteProtocol, RouteSelector};
use crate::socket::SocketError;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::cidr::{IpCidr, Ipv4Cidr};
use crate::wire::ethernet::MacAddr;

/// Bytes that a link name may have (Linux `IFNAMSIZ`, its terminator left out).
const MAX_NAME_LEN: usize = 15;
/// RFC 791 §3.2: every link carries packets of 68 bytes.
const MIN_MTU: usize = 68;
const MAX_MTU: usize = 65535;
/// As Linux `loopback_setup` has it. No IPv4 packet is that long.
const LOOPBACK_MTU: usize = 65536;
/// What needs no wire needs no sum and no cutting either.
const LOOPBACK_CAPABILITIES: Capabilities =
    Capabilities { tx_checksum: true, max_gso_size: 65_536 };

/// Why a setting was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Empty, longer than 15 bytes, or with characters that Linux refuses.
    #[error("bad link name {0:?}: 1 to 15 bytes without '/', ':' or white space")]
    BadName(String),
    /// Another link has this name.
    #[error("link name {0:?} is in use")]
    NameInUse(String),
    /// Below 68 or above 65535, on the loopback 65536.
    #[error("MTU {0} is not between 68 and 65535")]
    BadMtu(usize),
    /// Multicast, broadcast or zero.
    #[error("{0} is not the address of one station")]
    BadMac(MacAddr),
    /// There is no such link.
    #[error("no such link")]
    NoSuchLink,
    /// The loopback cannot be removed, and there is no second.
    #[error("there is one loopback, and it stays")]
    Loopback,
    /// The link has this address.
    #[error("address {0} is there already")]
    AddressExists(IpAddr),
    /// The link does not have this address.
    #[error("no such address")]
    NoSuchAddress,
    /// Not an address that a host can have.
    #[error("{0} cannot be the address of a host")]
    BadAddress(IpAddr),
    /// Only IPv4 is spoken.
    #[error("address family not supported")]
    Family,
    /// As many as the configuration allows.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// The routes of an address could not be made.
    #[error(transparent)]
    Route(#[from] RouteError),
}

impl Stack {
    /// The links, and what IPv4 knows of them.
    pub fn interfaces(&self) -> &Interfaces {
        &self.core.interfaces
    }

    /// Adds a link; it is up.
    ///
    /// # Errors
    /// A bad or used name, a bad MTU or MAC address, too many links, a second loopback.
    pub fn add_link(&mut self, config: LinkConfig) -> Result<LinkId, ConfigError> {
        let LinkConfig { name, kind, mtu, capabilities } = config;
        let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if name.is_empty() || name.len() > MAX_NAME_LEN || name.contains(bad) || name == "." {
            return Err(ConfigError::BadName(name));
        }
        if self.core.interfaces.by_name(&name).is_some() {
            return Err(ConfigError::NameInUse(name));
        }
        match kind {
            LinkKind::Ethernet(mac) if !mac.is_unicast() || mac == MacAddr::ZERO => {
                return Err(ConfigError::BadMac(mac));
            }
            LinkKind::Loopback => return Err(ConfigError::Loopback),
            LinkKind::Ethernet(_) | LinkKind::Ip => {}
        }
        check_mtu(mtu)?;
        if self.core.interfaces.len() >= self.core.config.ipv4.max_links {
            return Err(ConfigError::TooMany("links"));
        }
        let link = Link { capabilities, ..Link::default() };
        self.insert_link(name, kind, mtu, link).ok_or(ConfigError::TooMany("links"))
    }

    /// Removes a link with its addresses, routes and neighbours; frames queued on it are discarded.
    /// Its number is not used again.
    ///
    /// # Errors
    /// No such link, or the loopback.
    pub fn remove_link(&mut self, now: Instant, id: LinkId) -> Result<(), ConfigError> {
        if id == LinkId::LOOPBACK {
            return Err(ConfigError::Loopback);
        }
        self.set_link_up(now, id, false)?;
        self.core.routes.flush_link(id);
        // A link that was down already may have been given permanent ones since.
        self.neighbours.flush_link(id);
        self.flush();
        self.core.interfaces.remove(id);
        self.links.remove(id);
        self.arp.unwatch(id, None);
        Ok(())
    }

    /// Brings a link up or down. While it is down its routes do not count, and it forgets its
    /// neighbours and its queue.
    ///
    /// # Errors
    /// No such link.
    pub fn set_link_up(&mut self, now: Instant, id: LinkId, up: bool) -> Result<(), ConfigError> {
        self.advance(now);
        let interface = self.core.interfaces.get_mut(id).ok_or(ConfigError::NoSuchLink)?;
        if interface.up == up {
            return Ok(());
        }
        interface.up = up;
        self.core.routes.set_link_state(id, up);
        self.core.exceptions.clear();
        if up {
            self.detect_conflicts_anew(id);
            self.ipv4.link_up(&mut self.core, id);
        } else {
            self.ipv4.link_down(id);
            self.arp.unwatch(id, None);
            self.neighbours.flush_link(id);
            while let Some(frame) = self.link_mut(id).and_then(|link| link.queue.pop_front()) {
                self.core.tx_backlog = self.core.tx_backlog.saturating_sub(1);
                self.core.discard(frame, DropReason::LinkDown);
            }
            self.core.make_room();
        }
        self.flush();
        Ok(())
    }

    /// Changes a link's MTU.
    ///
    /// # Errors
    /// No such link, or an MTU below 68 or above 65535; the loopback also takes its own 65536.
    pub fn set_mtu(&mut self, id: LinkId, mtu: usize) -> Result<(), ConfigError> {
        let interface = self.core.interfaces.get_mut(id);
        if interface.as_ref().is_none_or(|link| !link.is_loopback()) || mtu != LOOPBACK_MTU {
            check_mtu(mtu)?;
        }
        interface.ok_or(ConfigError::NoSuchLink)?.mtu = mtu;
        Ok(())
    }

    /// Lets a link take frames for other hosts too. IPv4 still drops what they carry; observers
    /// and captures see it.
    ///
    /// # Errors
    /// No such link.
    pub fn set_promiscuous(&mut self, id: LinkId, promiscuous: bool) -> Result<(), ConfigError> {
        self.link_mut(id).ok_or(ConfigError::NoSuchLink)?.promiscuous = promiscuous;
        Ok(())
    }

    /// The settings of a link, to change.
    ///
    /// # Errors
    /// No such link.
    pub fn interface_config(&mut self, id: LinkId) -> Result<&mut InterfaceConfig, ConfigError> {
        let interface = self.core.interfaces.get_mut(id).ok_or(ConfigError::NoSuchLink)?;
        Ok(&mut interface.config)
    }

    /// Gives a link an address, with the routes that belong to it. With
    /// [`conflict_detection`](InterfaceConfig::conflict_detection) it is used once nobody has
    /// claimed it (RFC 5227); events tell.
    ///
    /// # Errors
    /// No such link, not an address for a host, or there already.
    pub fn add_address(
        &mut self,
        now: Instant,
        id: LinkId,
        cidr: IpCidr,
    ) -> Result<(), ConfigError> {
        self.advance(now);
        let cidr = cidr.as_v4().ok_or(ConfigError::Family)?;
        let max_addresses = self.core.config.ipv4.max_addresses;
        let interface = self.core.interfaces.get_mut(id).ok_or(ConfigError::NoSuchLink)?;
        let addr = cidr.addr();
        let loopback = interface.is_loopback();
        if addr.octets()[0] == 0
            || addr.is_multicast()
            || addr.is_broadcast()
            || (addr.is_loopback() && !loopback)
            || cidr.broadcast() == Some(addr)
        {
            return Err(ConfigError::BadAddress(IpAddr::V4(addr)));
        }
        if interface.addresses.iter().any(|other| other.cidr.addr() == addr) {
            return Err(ConfigError::AddressExists(IpAddr::V4(addr)));
        }
        if interface.addresses.len() >= max_addresses {
            return Err(ConfigError::TooMany("addresses"));
        }
        let mac = interface.mac().filter(|_| interface.config.conflict_detection);
        let (tentative, up) = (mac.is_some(), interface.up);
        interface.addresses.push(InterfaceAddress { cidr, secondary: false, tentative });
        match mac {
            Some(mac) if up => {
                self.arp.watch(&mut self.core, id, mac, addr);
                Ok(())
            }
            // Nobody could object; probing begins when the link comes up.
            Some(_) => Ok(()),
            None => self.install_addresses(id),
        }
    }

    /// Takes an address from a link, with the routes that belong to it.
    ///
    /// # Errors
    /// No such link, or no such address.
    pub fn remove_address(
        &mut self,
        now: Instant,
        id: LinkId,
        addr: IpAddr,
    ) -> Result<(), ConfigError> {
        self.advance(now);
        let IpAddr::V4(v4) = addr else { return Err(ConfigError::Family) };
        let interface = self.core.interfaces.get_mut(id).ok_or(ConfigError::NoSuchLink)?;
        let before = interface.addresses.len();
        interface.addresses.retain(|address| address.cidr.addr() != v4);
        if interface.addresses.len() == before {
            return Err(ConfigError::NoSuchAddress);
        }
        if interface.addresses.is_empty() {
            self.core.routes.flush_over(id);
        }
        self.arp.unwatch(id, Some(v4));
        self.core.routes.flush_source(addr);
        self.install_addresses(id)
    }

    /// Adds a route.
    ///
    /// # Errors
    /// See [`RouteError`].
    pub fn add_route(&mut self, route: Route) -> Result<(), RouteError> {
        let destination = route.destination;
        self.check_link(&route)?;
        self.core.routes.add(route)?;
        self.forget_exceptions(destination);
        Ok(())
    }

    /// Adds a route, or puts it in the place of one with the same destination and metric, which
    /// is returned.
    ///
    /// # Errors
    /// See [`RouteError`].
    pub fn replace_route(&mut self, route: Route) -> Result<Option<Route>, RouteError> {
        let destination = route.destination;
        self.check_link(&route)?;
        let old = self.core.routes.replace(route)?;
        self.forget_exceptions(destination);
        Ok(old)
    }

    /// Deletes the first route that fits, and returns it.
    ///
    /// # Errors
    /// [`RouteError::NotFound`].
    pub fn delete_route(&mut self, selector: &RouteSelector) -> Result<Route, RouteError> {
        let old = self.core.routes.delete(selector)?;
        self.forget_exceptions(selector.destination);
        Ok(old)
    }

    /// Every route, those of the local table first.
    pub fn routes(&self) -> impl Iterator<Item = Route> + '_ {
        self.core.routes.iter()
    }

    /// Every neighbour.
    pub fn neighbours(&self) -> impl Iterator<Item = Neighbour> + '_ {
        self.neighbours.iter()
    }

    /// One neighbour.
    pub fn neighbour(&self, link: LinkId, addr: IpAddr) -> Option<Neighbour> {
        self.neighbours.get(link, addr)
    }

    /// Sets a neighbour by hand; it stays until deleted.
    ///
    /// # Errors
    /// No such link, or a full table.
    pub fn add_neighbour(
        &mut self,
        now: Instant,
        link: LinkId,
        addr: IpAddr,
        mac: MacAddr,
    ) -> Result<(), ConfigError> {
        self.advance(now);
        self.core.interfaces.get(link).ok_or(ConfigError::NoSuchLink)?;
        let added = self.neighbours.set_permanent(now, link, addr, mac);
        self.flush();
        if added { Ok(()) } else { Err(ConfigError::TooMany("neighbours")) }
    }

    /// Deletes a neighbour; packets that wait for it are discarded.
    ///
    /// # Errors
    /// No such neighbour.
    pub fn delete_neighbour(&mut self, link: LinkId, addr: IpAddr) -> Result<(), ConfigError> {
        let found = self.neighbours.remove(link, addr);
        self.flush();
        if found { Ok(()) } else { Err(ConfigError::NoSuchAddress) }
    }

    /// Notes that a higher layer has heard from `dst`, so that its next hop need not be probed
    /// (`MSG_CONFIRM`, sendto(2)).
    pub fn confirm_neighbour(&mut self, now: Instant, dst: IpAddr) {
        self.advance(now);
        let IpAddr::V4(v4) = dst else { return };
        if let Some(route) = self.core.routes.lookup(v4, None)
            && let Some(link) = route.link
        {
            self.neighbours.confirm(now, link, IpAddr::V4(route.next_hop(v4)));
        }
    }

    /// The address that a packet to `dst` would be sent from.
    ///
    /// # Errors
    /// No route, or only one that refuses.
    pub fn source_for(&mut self, dst: IpAddr) -> Result<IpAddr, SocketError> {
        let IpAddr::V4(dst) = dst else { return Err(SocketError::AddressFamilyNotSupported) };
        self.ipv4.source_for(&mut self.core, dst).map(IpAddr::V4)
    }

    pub(super) fn add_loopback(&mut self) {
        let lo = "lo".to_string();
        let link = Link { capabilities: LOOPBACK_CAPABILITIES, ..Link::default() };
        let inserted = self.insert_link(lo, LinkKind::Loopback, LOOPBACK_MTU, link);
        debug_assert_eq!(inserted, Some(LinkId::LOOPBACK));
        let id = LinkId::LOOPBACK;
        let localhost = Ipv4Cidr::new(Ipv4Addr::LOCALHOST, 8);
        if let (Some(lo), Some(cidr)) = (self.core.interfaces.get_mut(id), localhost) {
            lo.addresses.push(InterfaceAddress { cidr, secondary: false, tentative: false });
        }
        let installed = self.install_addresses(id);
        debug_assert!(installed.is_ok());
    }

    /// RFC 5227 §2.1: somebody may have taken our addresses while the link was down, so they are
    /// probed for anew.
    fn detect_conflicts_anew(&mut self, id: LinkId) {
        let Some(interface) = self.core.interfaces.get_mut(id) else { return };
        let Some(mac) = interface.mac().filter(|_| interface.config.conflict_detection) else {
            return;
        };
        let mut probed = Vec::new();
        for address in &mut interface.addresses {
            address.tentative = true;
            probed.push(address.cidr.addr());
        }
        // With every address tentative there are only routes to delete.
        let _ = self.install_addresses(id);
        for addr in probed {
            self.arp.watch(&mut self.core, id, mac, addr);
        }
    }

    /// Takes into use, or gives up, the addresses about which conflict detection came to a
    /// conclusion.
    pub(super) fn conclude_conflicts(&mut self) {
        while let Some(conclusion) = self.arp.poll_conclusion() {
            let Some(interface) = self.core.interfaces.get_mut(conclusion.link) else { continue };
            match conclusion.state {
                AddressState::Acquired => {
                    for address in &mut interface.addresses {
                        if address.cidr.addr() == conclusion.addr {
                            address.tentative = false;
                        }
                    }
                }
                AddressState::Conflict | AddressState::Lost => {
                    interface.addresses.retain(|address| address.cidr.addr() != conclusion.addr);
                    if interface.addresses.is_empty() {
                        self.core.routes.flush_over(conclusion.link);
                    }
                }
                AddressState::Defended => {}
            }
            // Only routes that the table has no room for could fail here; the event tells the rest.
            let _ = self.install_addresses(conclusion.link);
            self.core.see(|| conclusion.event());
        }
    }

    /// A route over a link that does not exist would wait for it in vain: numbers are not used
    /// again.
    fn check_link(&self, route: &Route) -> Result<(), RouteError> {
        let exists = |id| self.core.interfaces.get(id).is_some();
        if route.link.is_none_or(exists) { Ok(()) } else { Err(RouteError::NoLink) }
    }

    /// What was learnt about a route's destinations does not outlive the route.
    fn forget_exceptions(&mut self, destination: IpCidr) {
        if let Some(destination) = destination.as_v4() {
            self.core.exceptions.remove_within(destination);
        }
    }

    /// `None` when all numbers have been used.
    fn insert_link(
        &mut self,
        name: String,
        kind: LinkKind,
        mtu: usize,
        link: Link,
    ) -> Option<LinkId> {
        let id = self.core.interfaces.next_id()?;
        // There is no other gateway to tell of at the other end (Linux WireGuard does the same).
        let send_redirects = kind != LinkKind::Ip;
        self.core.interfaces.insert(Interface {
            id,
            name,
            kind,
            mtu,
            up: true,
            config: InterfaceConfig { send_redirects, ..InterfaceConfig::default() },
            addresses: Vec::new(),
            groups: BTreeMap::new(),
            own_groups: BTreeSet::new(),
            routes: Vec::new(),
        });
        self.links.insert(id, link);
        self.core.routes.set_link_state(id, true);
        Some(id)
    }

    /// Makes the routes of a link's addresses anew (Linux `fib_add_ifaddr`): a local route for
    /// each, a connected route and a broadcast route for each subnet.
    fn install_addresses(&mut self, id: LinkId) -> Result<(), ConfigError> {
        self.core.exceptions.clear();
        let Some(interface) = self.core.interfaces.get_mut(id) else { return Ok(()) };
        for route in core::mem::take(&mut interface.routes) {
            // Some may have gone with an address or by hand.
            let _ = self.core.routes.delete(&RouteSelector::from(&route));
        }
        let mut subnets: Vec<Ipv4Cidr> = Vec::new();
        let mut primary = Vec::new();
        let loopback = interface.is_loopback();
        for address in interface.addresses.iter_mut().filter(|address| !address.tentative) {
            let subnet = address.cidr.network_cidr();
            address.secondary = subnets.contains(&subnet);
            subnets.push(subnet);
            primary.push(*address);
        }
        let mut made = Vec::new();
        for address in primary {
            for route in routes_of(id, &address, loopback) {
                match self.core.routes.add(route.clone()) {
                    Ok(()) => made.push(route),
                    // The same address on another link: the first one counts.
                    Err(RouteError::Exists) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if let Some(interface) = self.core.interfaces.get_mut(id) {
            interface.routes = made;
        }
        Ok(())
    }
}

/// The routes that belong to an address.
fn routes_of(id: LinkId, address: &InterfaceAddress, loopback: bool) -> Vec<Route> {
    let (cidr, addr) = (address.cidr, address.cidr.addr());
    let mut routes = Vec::new();
    let host = |addr| Ipv4Cidr::new(addr, 32).map(IpCidr::from);
    let source = IpAddr::V4(addr);
    routes.extend(host(addr).map(|host| Route::local(host, id).with_source(source)));
    if loopback {
        let whole = IpCidr::from(cidr.network_cidr());
        routes.push(Route::local(whole, id).with_source(source));
    } else if !address.secondary && cidr.prefix_len() < 32 {
        let whole = IpCidr::from(cidr.network_cidr());
        let connected = Route::direct(whole, id).with_source(source);
        routes.push(connected.with_protocol(RouteProtocol::Kernel));
    }
    if !address.secondary
        && let Some(broadcast) = cidr.broadcast().and_then(host)
    {
        routes.push(Route::broadcast(broadcast, id).with_source(source));
    }
    debug_assert!(routes.iter().all(|route| !matches!(route.kind, RouteKind::Blackhole)));
    routes
}

fn check_mtu(mtu: usize) -> Result<(), ConfigError> {
    if (MIN_MTU..=MAX_MTU).contains(&mtu) { Ok(()) } else { Err(ConfigError::BadMtu(mtu)) }
}
