//! The table of routes.
//!
//! Routes with different destinations mostly share everything else. As Linux does in `fib_info`,
//! the table keeps that once, in an [`Info`], and the trees map a prefix to a number: of an info
//! or, for the few prefixes with several routes, of a list of infos ordered by metric. That is
//! four bytes a route, and lookups in a large table find the infos in the cache.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::{IpAddr, Ipv4Addr};

use super::prefilter::Prefilter;
use super::recent::Recent;
use super::tree::Tree;
use super::{Match, Route, RouteError, RouteKind, RouteProtocol, RouteSelector, RouteTableId};
use crate::packet::LinkId;
use crate::rng::{KeyedHash, KeyedMap};
use crate::wire::cidr::IpCidr;

/// Set in the number of a list, clear in that of an info.
const LIST: u32 = 1 << 31;
/// RFC 791 §3.2: every link carries packets of 68 bytes.
const MIN_MTU: u16 = 68;

/// The routes of a stack: the tables local and main.
#[derive(Debug)]
pub struct RouteTable {
    local: Tree,
    /// What may be in `local`.
    local_filter: Prefilter,
    main: Tree,
    infos: Vec<SharedInfo>,
    free_infos: Vec<u32>,
    by_info: KeyedMap<Info, u32>,
    /// Lists of two or more infos, and empty ones named in `free_lists`.
    lists: Vec<Vec<u32>>,
    free_lists: Vec<u32>,
    len: usize,
    max_routes: usize,
    links_down: Vec<LinkId>,
    /// How often anything has changed.
    generation: u64,
    recent: Recent,
}

/// A route without its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Info {
    /// What a lookup returns, but for the prefix length, which is 0 here.
    found: Match,
    /// As given; `found.gateway` is without it when it is an own address.
    gateway: Option<Ipv4Addr>,
    protocol: RouteProtocol,
    onlink: bool,
}

#[derive(Debug)]
struct SharedInfo {
    info: Info,
    /// The link is down and the routes depend on it.
    down: bool,
    /// How many routes have it.
    users: u32,
}

/// Where in the list of all routes a page of it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutePosition {
    table: RouteTableId,
    destination: u32,
    len: u8,
}

impl RoutePosition {
    /// As a number, to be handed through to others.
    pub fn to_bits(self) -> u64 {
        let main = u64::from(self.table == RouteTableId::Main);
        main << 40 | u64::from(self.destination) << 8 | u64::from(self.len)
    }

    /// From such a number.
    pub fn from_bits(bits: u64) -> Self {
        let table = if bits >> 40 == 0 { RouteTableId::Local } else { RouteTableId::Main };
        RoutePosition { table, destination: (bits >> 8) as u32, len: bits as u8 }
    }
}

/// A destination: table, network address and prefix length.
type Prefix = (RouteTableId, Ipv4Addr, u8);

impl RouteTable {
    /// An empty table that will hold at most `max_routes` routes.
    pub fn new(max_routes: usize) -> Self {
        RouteTable {
            local: Tree::new(),
            local_filter: Prefilter::default(),
            main: Tree::new(),
            infos: Vec::new(),
            free_infos: Vec::new(),
            // Who may add routes may do worse than to make them collide; a secret is not needed.
            by_info: KeyedMap::with_hasher(KeyedHash::new((0, 0))),
            lists: Vec::new(),
            free_lists: Vec::new(),
            len: 0,
            // Numbers of infos have 31 bits.
            max_routes: max_routes.min(LIST as usize),
            links_down: Vec::new(),
            generation: 0,
            recent: Recent::default(),
        }
    }

    /// A number that grows with every change.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.len
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
        if oif.is_none() {
            let find = || self.find(destination, None);
            return self.recent.routes.get(self.generation, destination, find);
        }
        self.find(destination, oif)
    }

    fn find(&self, destination: Ipv4Addr, oif: Option<LinkId>) -> Option<Match> {
        let usable = |shared: &SharedInfo| {
            let found = &shared.info.found;
            !shared.down && (oif.is_none() || found.link == oif || found.kind.is_reject())
        };
        let key = destination.to_bits();
        let local = match self.local_filter.may_match(key) {
            true => self.search(&self.local, key, usable),
            false => None,
        };
        local.or_else(|| self.search(&self.main, key, usable))
    }

    /// What the local table says of an address: `Some(Local)` for an own one, `Some(Broadcast)`
    /// for a broadcast address of a subnet, `None` for others (Linux `inet_addr_type`).
    pub fn lookup_kind(&self, address: Ipv4Addr) -> Option<RouteKind> {
        let key = address.to_bits();
        if !self.local_filter.may_match(key) {
            return None;
        }
        let find = || self.search(&self.local, key, |shared| !shared.down).map(|found| found.kind);
        self.recent.kinds.get(self.generation, address, find)
    }

    /// Whether packets to `address` are for this stack.
    pub fn is_local(&self, address: Ipv4Addr) -> bool {
        self.lookup_kind(address) == Some(RouteKind::Local)
    }

    /// Adds a route; there must be none with the same destination and metric in its table
    /// (`ip route add`). A gateway must be reached by a direct route that is there already.
    pub fn add(&mut self, route: Route) -> Result<(), RouteError> {
        let (prefix, new) = self.resolve(&route)?;
        let metric = new.found.metric;
        if self.list(prefix).any(|at| self.info(at).found.metric == metric) {
            return Err(RouteError::Exists);
        }
        self.insert(prefix, new)
    }

    /// Adds a route behind those with the same destination and metric (`ip route append`).
    /// Exactly the same one must not be there.
    pub fn append(&mut self, route: Route) -> Result<(), RouteError> {
        let (prefix, new) = self.resolve(&route)?;
        if self.list(prefix).any(|at| *self.info(at) == new) {
            return Err(RouteError::Exists);
        }
        self.insert(prefix, new)
    }

    /// Puts a route in the place of the first one with the same destination and metric, which is
    /// returned, or adds it (`ip route replace`).
    pub fn replace(&mut self, route: Route) -> Result<Option<Route>, RouteError> {
        let (prefix, new) = self.resolve(&route)?;
        let metric = new.found.metric;
        let place = self.list(prefix).position(|at| self.info(at).found.metric == metric);
        let Some(place) = place else {
            return self.insert(prefix, new).map(|()| None);
        };
        let new = self.acquire(new);
        let old = self.edit(prefix, |list| core::mem::replace(&mut list[place], new));
        let route = self.route(prefix, old);
        self.release(old);
        Ok(Some(route))
    }

    /// Removes the first route, by metric, that fits the selector, and returns it.
    pub fn delete(&mut self, selector: &RouteSelector) -> Result<Route, RouteError> {
        let (destination, prefix_len) = destination(selector.destination)?;
        let prefix = (selector.table, destination, prefix_len);
        let place = self
            .list(prefix)
            .position(|at| selector.fits(&self.route(prefix, at)))
            .ok_or(RouteError::NotFound)?;
        let old = self.edit(prefix, |list| list.remove(place));
        let route = self.route(prefix, old);
        self.len -= 1;
        self.release(old);
        Ok(route)
    }

    /// All routes: the local table, then main, each by destination, the longer prefix first, then
    /// by metric (the order of `ip route show`).
    pub fn iter(&self) -> impl Iterator<Item = Route> + '_ {
        self.prefixes()
            .into_iter()
            .flat_map(move |prefix| self.list(prefix).map(move |at| self.route(prefix, at)))
    }

    /// About `limit` routes from a position on, and where the next ones begin. Routes with the same
    /// destination stay together; of two destinations the lower comes first, then the shorter
    /// prefix.
    pub(crate) fn page(
        &self,
        from: Option<RoutePosition>,
        limit: usize,
    ) -> (Vec<Route>, Option<RoutePosition>) {
        let mut from =
            from.unwrap_or(RoutePosition { table: RouteTableId::Local, destination: 0, len: 0 });
        let (mut routes, mut next) = (Vec::new(), None);
        loop {
            let table = from.table;
            self.tree(table).for_each_from((from.destination, from.len), &mut |key, len, _| {
                if routes.len() >= limit {
                    next = Some(RoutePosition { table, destination: key, len });
                    return false;
                }
                let prefix = (table, Ipv4Addr::from_bits(key), len);
                routes.extend(self.list(prefix).map(|at| self.route(prefix, at)));
                true
            });
            if next.is_some() || table == RouteTableId::Main {
                return (routes, next);
            }
            from = RoutePosition { table: RouteTableId::Main, destination: 0, len: 0 };
        }
    }

    /// Removes every route over `link` and forgets its state, for when the link goes; returns how
    /// many there were.
    pub fn flush_link(&mut self, link: LinkId) -> usize {
        self.links_down.retain(|down| *down != link);
        self.flush_over(link)
    }

    /// Removes every route over `link`, for when its last address goes (Linux `fib_disable_ip`);
    /// returns how many there were.
    pub fn flush_over(&mut self, link: LinkId) -> usize {
        self.remove_where(|info| info.found.link == Some(link))
    }

    /// Removes every route that prefers the source `address`, for when the address goes (Linux
    /// `fib_sync_down_addr`); returns how many there were.
    pub fn flush_source(&mut self, address: IpAddr) -> usize {
        self.remove_where(|info| info.found.source.map(IpAddr::V4) == Some(address))
    }

    /// Says whether a link is up. While it is down, lookups pass over its routes, except local
    /// ones: an own address stays own whatever its link does (Linux `fib_sync_down_dev`).
    pub fn set_link_state(&mut self, link: LinkId, up: bool) {
        self.generation += 1;
        self.links_down.retain(|down| *down != link);
        if !up {
            self.links_down.push(link);
        }
        for shared in &mut self.infos {
            let Match { link: over, kind, .. } = shared.info.found;
            if over == Some(link) {
                shared.down = !up && kind != RouteKind::Local;
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
    fn search(&self, tree: &Tree, key: u32, usable: impl Fn(&SharedInfo) -> bool) -> Option<Match> {
        let accept = |at: u32, prefix_len| {
            let shared = &self.infos[at as usize];
            usable(shared).then_some(Match { prefix_len, ..shared.info.found })
        };
        tree.find(key, |value, prefix_len| match value & LIST {
            0 => accept(value, prefix_len),
            _ => self.list_of(value).iter().find_map(|at| accept(*at, prefix_len)),
        })
    }

    fn list_of(&self, value: u32) -> &[u32] {
        &self.lists[(value & !LIST) as usize]
    }

    /// The infos of one prefix, in their order.
    fn list(&self, (table, destination, prefix_len): Prefix) -> impl Iterator<Item = u32> + '_ {
        let value = self.tree(table).get(destination.to_bits(), prefix_len);
        let (one, several) = match value {
            Some(value) if value & LIST != 0 => (None, self.list_of(value)),
            one => (one, &[][..]),
        };
        one.into_iter().chain(several.iter().copied())
    }

    /// All prefixes with routes, in the order they are listed.
    fn prefixes(&self) -> Vec<Prefix> {
        let mut prefixes = Vec::new();
        for table in [RouteTableId::Local, RouteTableId::Main] {
            self.tree(table).for_each(&mut |key, prefix_len, _| {
                prefixes.push((table, Ipv4Addr::from_bits(key), prefix_len));
            });
        }
        prefixes.sort_unstable_by_key(|(table, destination, prefix_len)| {
            (*table, *destination, Reverse(*prefix_len))
        });
        prefixes
    }

    fn info(&self, at: u32) -> &Info {
        &self.infos[at as usize].info
    }

    fn route(&self, (table, destination, prefix_len): Prefix, at: u32) -> Route {
        let Info { found, gateway, protocol, onlink } = *self.info(at);
        Route {
            destination: IpCidr::new(IpAddr::V4(destination), prefix_len)
                .expect("the prefix length was that of a valid CIDR"),
            kind: found.kind,
            table,
            gateway: gateway.map(IpAddr::V4),
            link: found.link,
            metric: found.metric,
            source: found.source.map(IpAddr::V4),
            mtu: found.mtu,
            protocol,
            onlink,
        }
    }

    /// Checks a route as Linux `fib_create_info` does and finds the link to its gateway.
    fn resolve(&self, route: &Route) -> Result<(Prefix, Info), RouteError> {
        let (destination, prefix_len) = destination(route.destination)?;
        let gateway = route.gateway.map(v4).transpose()?;
        let source = route.source.map(v4).transpose()?;
        let mtu = route.mtu.filter(|mtu| *mtu > 0);
        if let Some(mtu) = mtu
            && mtu < MIN_MTU
        {
            return Err(RouteError::BadMtu(mtu));
        }
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
            mtu,
            prefix_len: 0,
            metric: route.metric,
        };
        let info = Info { found, gateway, protocol: route.protocol, onlink: route.onlink };
        Ok(((route.table, destination, prefix_len), info))
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
        let direct = |shared: &SharedInfo| {
            let Info { found, gateway, .. } = &shared.info;
            gateway.is_none()
                && (route.link.is_none() || found.link == route.link || found.kind.is_reject())
        };
        let up = |shared: &SharedInfo| !shared.down && direct(shared);
        let key = gateway.to_bits();
        self.search(&self.local, key, up)
            .or_else(|| self.search(&self.main, key, up))
            .or_else(|| self.search(&self.local, key, direct))
            .or_else(|| self.search(&self.main, key, direct))
            .filter(|found| matches!(found.kind, RouteKind::Unicast | RouteKind::Local))
            .filter(|_| is_host(gateway))
            .ok_or(RouteError::GatewayUnreachable)
    }

    /// Puts a route behind those of its prefix with the same or a smaller metric.
    fn insert(&mut self, prefix: Prefix, new: Info) -> Result<(), RouteError> {
        self.generation += 1;
        if self.len >= self.max_routes {
            return Err(RouteError::Full);
        }
        let metric = new.found.metric;
        let place = self.list(prefix).filter(|at| self.info(*at).found.metric <= metric).count();
        let new = self.acquire(new);
        self.edit(prefix, |list| list.insert(place, new));
        self.len += 1;
        Ok(())
    }

    fn remove_where(&mut self, doomed: impl Fn(&Info) -> bool) -> usize {
        self.generation += 1;
        let before = self.len;
        for prefix in self.prefixes() {
            let (old, kept): (Vec<u32>, Vec<u32>) =
                self.list(prefix).partition(|at| doomed(self.info(*at)));
            if !old.is_empty() {
                self.edit(prefix, |list| *list = kept);
                self.len -= old.len();
                old.into_iter().for_each(|at| self.release(at));
            }
        }
        before - self.len
    }

    /// Changes the infos of a prefix, and the tree with them.
    fn edit<T>(&mut self, prefix: Prefix, change: impl FnOnce(&mut Vec<u32>) -> T) -> T {
        self.generation += 1;
        let (table, destination, prefix_len) = prefix;
        let key = destination.to_bits();
        let mut list: Vec<u32> = self.list(prefix).collect();
        if let Some(value) = self.tree(table).get(key, prefix_len)
            && value & LIST != 0
        {
            self.lists[(value & !LIST) as usize] = Vec::new();
            self.free_lists.push(value & !LIST);
        }
        let result = change(&mut list);
        let gone = list.is_empty();
        match list[..] {
            [] => {
                self.tree_mut(table).remove(key, prefix_len);
            }
            [one] => self.tree_mut(table).set(key, prefix_len, one),
            _ => {
                let at = take_place(&mut self.lists, &mut self.free_lists, list);
                self.tree_mut(table).set(key, prefix_len, at | LIST);
            }
        }
        match table {
            RouteTableId::Local if gone => self.filter_local(),
            RouteTableId::Local => self.local_filter.insert(key, prefix_len),
            RouteTableId::Main => {}
        }
        result
    }

    fn filter_local(&mut self) {
        let mut filter = Prefilter::default();
        self.local.for_each(&mut |key, prefix_len, _| filter.insert(key, prefix_len));
        self.local_filter = filter;
    }

    /// The number of an info, with one user more.
    fn acquire(&mut self, info: Info) -> u32 {
        if let Some(at) = self.by_info.get(&info) {
            self.infos[*at as usize].users += 1;
            return *at;
        }
        let Match { link, kind, .. } = info.found;
        let down =
            kind != RouteKind::Local && link.is_some_and(|link| self.links_down.contains(&link));
        let shared = SharedInfo { info, down, users: 1 };
        let at = take_place(&mut self.infos, &mut self.free_infos, shared);
        self.by_info.insert(info, at);
        at
    }

    fn release(&mut self, at: u32) {
        let shared = &mut self.infos[at as usize];
        shared.users -= 1;
        if shared.users == 0 {
            self.by_info.remove(&shared.info);
            self.free_infos.push(at);
        }
    }
}

/// Puts `item` in a free place, or behind all others.
fn take_place<T>(items: &mut Vec<T>, free: &mut Vec<u32>, item: T) -> u32 {
    match free.pop() {
        Some(at) => {
            items[at as usize] = item;
            at
        }
        None => {
            items.push(item);
            items.len() as u32 - 1
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
fn destination(destination: IpCidr) -> Result<(Ipv4Addr, u8), RouteError> {
    let address = v4(destination.addr())?;
    if destination.network() != destination.addr() {
        return Err(RouteError::HostBits);
    }
    Ok((address, destination.prefix_len()))
}
