//! The table of routes.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::{IpAddr, Ipv4Addr};

use super::tree::Tree;
use super::{Match, Route, RouteError, RouteKind, RouteProtocol, RouteSelector, RouteTableId};
use crate::packet::LinkId;
use crate::wire::cidr::IpCidr;

/// The end of a list of entries.
const NONE: u32 = u32::MAX;

/// The routes of a stack: the tables local and main.
#[derive(Debug)]
pub struct RouteTable {
    local: Tree,
    main: Tree,
    /// Routes, and unused entries listed in `free`. The trees map a prefix to the first of its
    /// routes; the others follow by `next`, ordered by metric.
    entries: Vec<Entry>,
    free: Vec<u32>,
    max_routes: usize,
    links_down: Vec<LinkId>,
}

#[derive(Debug)]
struct Entry {
    found: Match,
    next: u32,
    /// The link is down and the route depends on it.
    down: bool,
    table: RouteTableId,
    destination: Ipv4Addr,
    /// As given; `found.gateway` is without it when it is an own address.
    gateway: Option<Ipv4Addr>,
    protocol: RouteProtocol,
    onlink: bool,
}

impl RouteTable {
    /// An empty table that will hold at most `max_routes` routes.
    pub fn new(max_routes: usize) -> Self {
        RouteTable {
            local: Tree::default(),
            main: Tree::default(),
            entries: Vec::new(),
            free: Vec::new(),
            // Indices are 32 bits wide and the last one is taken.
            max_routes: max_routes.min(NONE as usize),
            links_down: Vec::new(),
        }
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether there are no routes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The route for a packet to `destination`: from the local table, else from main. With `oif`
    /// only routes over that link count, and the kinds that drop, which have no link (Linux
    /// `fib_lookup` with `flowi4_oif`).
    #[inline]
    pub fn lookup(&self, destination: Ipv4Addr, oif: Option<LinkId>) -> Option<Match> {
        let usable = |entry: &Entry| {
            !entry.down
                && (oif.is_none() || entry.found.link == oif || entry.found.kind.is_reject())
        };
        let key = destination.to_bits();
        self.search(&self.local, key, usable).or_else(|| self.search(&self.main, key, usable))
    }

    /// What the local table says of an address: `Some(Local)` for an own one, `Some(Broadcast)`
    /// for a broadcast address of a subnet, `None` for others (Linux `inet_addr_type`).
    pub fn lookup_kind(&self, address: Ipv4Addr) -> Option<RouteKind> {
        self.search(&self.local, address.to_bits(), |entry| !entry.down).map(|found| found.kind)
    }

    /// Whether packets to `address` are for this stack.
    pub fn is_local(&self, address: Ipv4Addr) -> bool {
        self.lookup_kind(address) == Some(RouteKind::Local)
    }

    /// Adds a route; there must be none with the same destination and metric in its table
    /// (`ip route add`). A gateway must be reached by a direct route that is there already.
    pub fn add(&mut self, route: Route) -> Result<(), RouteError> {
        let new = self.resolve(&route)?;
        if self
            .chain(new.table, new.destination, new.found.prefix_len)
            .any(|at| self.entries[at as usize].found.metric == new.found.metric)
        {
            return Err(RouteError::Exists);
        }
        self.insert(new)
    }

    /// Adds a route behind those with the same destination and metric (`ip route append`).
    /// Exactly the same one must not be there.
    pub fn append(&mut self, route: Route) -> Result<(), RouteError> {
        let new = self.resolve(&route)?;
        let listed = new.to_route();
        if self
            .chain(new.table, new.destination, new.found.prefix_len)
            .any(|at| self.entries[at as usize].to_route() == listed)
        {
            return Err(RouteError::Exists);
        }
        self.insert(new)
    }

    /// Puts a route in the place of the first one with the same destination and metric, which is
    /// returned, or adds it (`ip route replace`).
    pub fn replace(&mut self, route: Route) -> Result<Option<Route>, RouteError> {
        let new = self.resolve(&route)?;
        let old = self
            .chain(new.table, new.destination, new.found.prefix_len)
            .find(|at| self.entries[*at as usize].found.metric == new.found.metric);
        let Some(old) = old else {
            return self.insert(new).map(|()| None);
        };
        let entry = &mut self.entries[old as usize];
        let old = core::mem::replace(entry, Entry { next: entry.next, ..new });
        Ok(Some(old.to_route()))
    }

    /// Removes the first route, by metric, that fits the selector, and returns it.
    pub fn delete(&mut self, selector: &RouteSelector) -> Result<Route, RouteError> {
        let (destination, prefix_len) = prefix(selector.destination)?;
        let at = self
            .chain(selector.table, destination, prefix_len)
            .find(|at| selector.fits(&self.entries[*at as usize].to_route()))
            .ok_or(RouteError::NotFound)?;
        let route = self.entries[at as usize].to_route();
        self.remove(at);
        Ok(route)
    }

    /// All routes: the local table, then main, each by destination, the longer prefix first, then
    /// by metric (the order of `ip route show`).
    pub fn iter(&self) -> impl Iterator<Item = Route> + '_ {
        [RouteTableId::Local, RouteTableId::Main].into_iter().flat_map(|table| {
            let mut firsts = Vec::new();
            self.tree(table).for_each(&mut |at| firsts.push(at));
            firsts.sort_unstable_by_key(|at| {
                let entry = &self.entries[*at as usize];
                (entry.destination, Reverse(entry.found.prefix_len))
            });
            firsts
                .into_iter()
                .flat_map(|first| self.chain_from(first))
                .map(|at| self.entries[at as usize].to_route())
        })
    }

    /// Removes every route over `link` and forgets its state, for when the link goes; returns how
    /// many there were.
    pub fn flush_link(&mut self, link: LinkId) -> usize {
        self.links_down.retain(|down| *down != link);
        self.remove_where(|entry| entry.found.link == Some(link))
    }

    /// Removes every route that prefers the source `address`, for when the address goes (Linux
    /// `fib_sync_down_addr`); returns how many there were.
    pub fn flush_source(&mut self, address: IpAddr) -> usize {
        self.remove_where(|entry| entry.found.source.map(IpAddr::V4) == Some(address))
    }

    /// Says whether a link is up. While it is down, lookups pass over its routes, except local
    /// ones: an own address stays own whatever its link does (Linux `fib_sync_down_dev`).
    pub fn set_link_state(&mut self, link: LinkId, up: bool) {
        self.links_down.retain(|down| *down != link);
        if !up {
            self.links_down.push(link);
        }
        for entry in &mut self.entries {
            if entry.found.link == Some(link) {
                entry.down = !up && entry.found.kind != RouteKind::Local;
            }
        }
    }

    fn tree(&self, table: RouteTableId) -> &Tree {
        match table {
            RouteTableId::Local => &self.local,
            RouteTableId::Main => &self.main,
        }
    }

    fn tree_mut(&mut self, table: RouteTableId) -> &mut Tree {
        match table {
            RouteTableId::Local => &mut self.local,
            RouteTableId::Main => &mut self.main,
        }
    }

    /// The first usable route of the longest prefix that has one.
    #[inline]
    fn search(&self, tree: &Tree, key: u32, usable: impl Fn(&Entry) -> bool) -> Option<Match> {
        tree.find(key, |first| {
            let mut at = first;
            while let Some(entry) = self.entries.get(at as usize) {
                if usable(entry) {
                    return Some(entry.found);
                }
                at = entry.next;
            }
            None
        })
    }

    /// The routes of one prefix, in their order.
    fn chain(
        &self,
        table: RouteTableId,
        destination: Ipv4Addr,
        prefix_len: u8,
    ) -> impl Iterator<Item = u32> + '_ {
        let first = self.tree(table).get(destination.to_bits(), prefix_len);
        self.chain_from(first.unwrap_or(NONE))
    }

    fn chain_from(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let existing = |at: u32| (at != NONE).then_some(at);
        core::iter::successors(existing(first), move |at| existing(self.entries[*at as usize].next))
    }

    /// Checks a route as Linux `fib_create_info` does and finds the link to its gateway.
    fn resolve(&self, route: &Route) -> Result<Entry, RouteError> {
        let (destination, prefix_len) = prefix(route.destination)?;
        let gateway = route.gateway.map(v4).transpose()?;
        let source = route.source.map(v4).transpose()?;
        let mut link = route.link;
        let mut next_hop = gateway;
        match (route.kind, gateway) {
            (kind, _) if kind.is_reject() && (gateway.is_some() || link.is_some()) => {
                return Err(RouteError::UnexpectedNextHop);
            }
            (RouteKind::Local | RouteKind::Broadcast, Some(_)) => {
                return Err(RouteError::UnexpectedNextHop);
            }
            (RouteKind::Unicast, Some(gateway)) => {
                let direct = self.resolve_gateway(gateway, route)?;
                link = direct.link;
                // A gateway that is an own address means the destination is on its link: Linux
                // uses a gateway only when it has link scope.
                if direct.kind == RouteKind::Local {
                    next_hop = None;
                }
            }
            (kind, None) if !kind.is_reject() && link.is_none() => return Err(RouteError::NoLink),
            _ => {}
        }
        // Linux fib_valid_prefsrc: an address is not local yet while its own route is added.
        if let Some(source) = source
            && !(route.kind == RouteKind::Local && source == destination)
            && !self.is_local(source)
        {
            return Err(RouteError::SourceNotLocal);
        }
        let found = Match {
            kind: route.kind,
            link,
            gateway: next_hop,
            source,
            mtu: route.mtu,
            prefix_len,
            metric: route.metric,
        };
        let down = route.kind != RouteKind::Local
            && link.is_some_and(|link| self.links_down.contains(&link));
        Ok(Entry {
            found,
            next: NONE,
            down,
            table: route.table,
            destination,
            gateway,
            protocol: route.protocol,
            onlink: route.onlink,
        })
    }

    /// The direct route to a gateway (Linux `fib_check_nh_v4_gw`). A link that is down still
    /// counts: its routes wait for it.
    fn resolve_gateway(&self, gateway: Ipv4Addr, route: &Route) -> Result<Match, RouteError> {
        if route.onlink {
            let link = route.link.ok_or(RouteError::NoLink)?;
            if self.lookup_kind(gateway).is_some() || !is_host(gateway) {
                return Err(RouteError::GatewayUnreachable);
            }
            return Ok(Match {
                kind: RouteKind::Unicast,
                link: Some(link),
                gateway: None,
                source: None,
                mtu: None,
                prefix_len: 32,
                metric: 0,
            });
        }
        let direct = |entry: &Entry| {
            entry.gateway.is_none()
                && (route.link.is_none()
                    || entry.found.link == route.link
                    || entry.found.kind.is_reject())
        };
        let up = |entry: &Entry| !entry.down && direct(entry);
        let key = gateway.to_bits();
        self.search(&self.local, key, up)
            .or_else(|| self.search(&self.main, key, up))
            .or_else(|| self.search(&self.local, key, direct))
            .or_else(|| self.search(&self.main, key, direct))
            .filter(|found| matches!(found.kind, RouteKind::Unicast | RouteKind::Local))
            .filter(|_| is_host(gateway))
            .ok_or(RouteError::GatewayUnreachable)
    }

    /// Puts an entry behind those of its prefix with the same or a smaller metric.
    fn insert(&mut self, new: Entry) -> Result<(), RouteError> {
        if self.len() >= self.max_routes {
            return Err(RouteError::Full);
        }
        let (table, key) = (new.table, new.destination.to_bits());
        let prefix_len = new.found.prefix_len;
        let first = self.tree(table).get(key, prefix_len).unwrap_or(NONE);
        let before = self
            .chain_from(first)
            .take_while(|at| self.entries[*at as usize].found.metric <= new.found.metric)
            .last();
        let next = before.map_or(first, |at| self.entries[at as usize].next);
        let new = Entry { next, ..new };
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = new;
                at
            }
            None => {
                self.entries.push(new);
                self.entries.len() as u32 - 1
            }
        };
        match before {
            Some(before) => self.entries[before as usize].next = at,
            None => self.tree_mut(table).set(key, prefix_len, at),
        }
        Ok(())
    }

    /// Takes the entry `at` out of its list and, when it was the last, its prefix out of the tree.
    fn remove(&mut self, at: u32) {
        let Entry { table, destination, found, next, .. } = self.entries[at as usize];
        let key = destination.to_bits();
        let first = self.tree(table).get(key, found.prefix_len).unwrap_or(NONE);
        let before =
            self.chain_from(first).find(|before| self.entries[*before as usize].next == at);
        match before {
            Some(before) => self.entries[before as usize].next = next,
            None if next != NONE => self.tree_mut(table).set(key, found.prefix_len, next),
            None => {
                self.tree_mut(table).remove(key, found.prefix_len);
            }
        }
        self.free.push(at);
    }

    fn remove_where(&mut self, doomed: impl Fn(&Entry) -> bool) -> usize {
        let mut firsts = Vec::new();
        self.local.for_each(&mut |at| firsts.push(at));
        self.main.for_each(&mut |at| firsts.push(at));
        let found: Vec<u32> = firsts
            .into_iter()
            .flat_map(|first| self.chain_from(first))
            .filter(|at| doomed(&self.entries[*at as usize]))
            .collect();
        found.iter().for_each(|at| self.remove(*at));
        found.len()
    }
}

impl Entry {
    fn to_route(&self) -> Route {
        Route {
            destination: IpCidr::new(IpAddr::V4(self.destination), self.found.prefix_len)
                .expect("the prefix length was that of a valid CIDR"),
            kind: self.found.kind,
            table: self.table,
            gateway: self.gateway.map(IpAddr::V4),
            link: self.found.link,
            metric: self.found.metric,
            source: self.found.source.map(IpAddr::V4),
            mtu: self.found.mtu,
            protocol: self.protocol,
            onlink: self.onlink,
        }
    }
}

/// Whether an address can be that of one host.
fn is_host(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_multicast() || address.is_broadcast())
}

fn v4(address: IpAddr) -> Result<Ipv4Addr, RouteError> {
    match address {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(RouteError::Family),
    }
}

/// The parts of a destination, which must have no bits after its prefix.
fn prefix(destination: IpCidr) -> Result<(Ipv4Addr, u8), RouteError> {
    let address = v4(destination.addr())?;
    if destination.network() != destination.addr() {
        return Err(RouteError::HostBits);
    }
    Ok((address, destination.prefix_len()))
}
