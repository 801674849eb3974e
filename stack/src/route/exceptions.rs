//! What routers told us about single destinations: path MTUs (RFC 1191) and redirects (Linux
//! next-hop exceptions, `net/ipv4/route.c`).
//!
//! An exception outlives neither its time nor its place: the table is bounded, and when it is
//! full the exception that would expire first makes room.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use crate::packet::LinkId;
use crate::rng::{KeyedHash, KeyedMap};
use crate::time::{Duration, Instant};
use crate::wire::cidr::Ipv4Cidr;

/// Settings of [`RouteExceptions`]; the defaults are those of Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExceptionsConfig {
    /// How many destinations may have an exception.
    pub capacity: usize,
    /// How long a path MTU is believed (`net.ipv4.route.mtu_expires`).
    pub mtu_expires: Duration,
    /// No path MTU below this is believed; one that is reported gives this, locked
    /// (`net.ipv4.route.min_pmtu`).
    pub min_pmtu: u16,
    /// How long a redirect is believed (`net.ipv4.route.gc_timeout`).
    pub redirect_expires: Duration,
}

impl Default for ExceptionsConfig {
    fn default() -> Self {
        ExceptionsConfig {
            capacity: 4096,
            mtu_expires: Duration::from_secs(600),
            min_pmtu: 512 + 20 + 20,
            redirect_expires: Duration::from_secs(300),
        }
    }
}

/// A learnt path MTU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pmtu {
    /// The largest packet to send, in bytes from the IP header.
    pub mtu: u16,
    /// The path is said to take less than `mtu`: packets of up to `mtu` bytes are sent without DF
    /// and no smaller MTU is learnt.
    pub locked: bool,
}

/// Learnt exceptions to the routes, by destination and link.
#[derive(Debug)]
pub struct RouteExceptions {
    config: ExceptionsConfig,
    by_way: KeyedMap<Way, Exception>,
    /// Each key of `by_way` once, under its [`Exception::expires`].
    by_expiry: BTreeSet<(Instant, Way)>,
    /// How often anything has changed.
    generation: u64,
}

/// A destination and the link that packets to it leave by: another link is another path.
type Way = (Ipv4Addr, LinkId);

#[derive(Debug, Clone, Copy, Default)]
struct Exception {
    pmtu: Option<(Pmtu, Instant)>,
    gateway: Option<(Ipv4Addr, Instant)>,
}

impl Exception {
    /// When the last of its parts expires.
    fn expires(&self) -> Instant {
        let pmtu = self.pmtu.map_or(Instant::ZERO, |(_, at)| at);
        let gateway = self.gateway.map_or(Instant::ZERO, |(_, at)| at);
        pmtu.max(gateway)
    }
}

impl RouteExceptions {
    /// No exceptions yet; `hash` keys the table.
    pub fn new(config: ExceptionsConfig, hash: KeyedHash) -> Self {
        RouteExceptions {
            config,
            by_way: KeyedMap::with_hasher(hash),
            by_expiry: BTreeSet::new(),
            generation: 0,
        }
    }

    /// A number that grows with every change; what expires is swept first.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// How many destinations have an exception, each counted per link, expired ones included until they are swept.
    pub fn len(&self) -> usize {
        self.by_way.len()
    }

    /// Whether no destination has an exception.
    pub fn is_empty(&self) -> bool {
        self.by_way.is_empty()
    }

    /// The learnt path MTU to `destination` over `link`.
    pub fn pmtu(&self, now: Instant, destination: Ipv4Addr, link: LinkId) -> Option<Pmtu> {
        let (pmtu, expires) = self.get((destination, link))?.pmtu?;
        (now < expires).then_some(pmtu)
    }

    /// The gateway on `link` that a redirect named for `destination`.
    pub fn gateway(&self, now: Instant, destination: Ipv4Addr, link: LinkId) -> Option<Ipv4Addr> {
        let (gateway, expires) = self.get((destination, link))?.gateway?;
        (now < expires).then_some(gateway)
    }

    /// Takes in that packets to `destination` over `link` must not exceed `mtu` bytes, as an ICMP message
    /// said, where the route or its link allows `route_mtu`. The path MTU is lowered by this,
    /// never raised. Returns it when it changed or its time was extended.
    pub fn update_pmtu(
        &mut self,
        now: Instant,
        destination: Ipv4Addr,
        link: LinkId,
        mtu: u16,
        route_mtu: u16,
    ) -> Option<Pmtu> {
        let known = self.pmtu(now, destination, link);
        let old = known.map_or(route_mtu, |known| known.mtu.min(route_mtu));
        // RFC 1191 §3: a host must never raise its estimate in response to this message. One that
        // is locked stays until it expires.
        if known.is_some_and(|known| known.locked) || mtu > old {
            return None;
        }
        // RFC 1191 §3 allows no reason to go below 68 bytes; Linux believes nothing below
        // min_pmtu, and has such packets fragmented on their way instead.
        let pmtu = if mtu < self.config.min_pmtu {
            Pmtu { mtu: old.min(self.config.min_pmtu), locked: true }
        } else {
            Pmtu { mtu, locked: false }
        };
        // What the link's own MTU says already is not worth an entry.
        if known.is_none() && pmtu.mtu == route_mtu && !pmtu.locked {
            return None;
        }
        let expires = now + self.config.mtu_expires;
        self.change(now, (destination, link), |exception| exception.pmtu = Some((pmtu, expires)));
        Some(pmtu)
    }

    /// Takes in that packets to `destination` are better sent to `gateway` on `link`, as a redirect said
    /// (RFC 1122 §3.2.2.2). Whether the redirect may be believed is for the caller to check.
    pub fn update_gateway(
        &mut self,
        now: Instant,
        destination: Ipv4Addr,
        link: LinkId,
        gateway: Ipv4Addr,
    ) {
        let expires = now + self.config.redirect_expires;
        self.change(now, (destination, link), |exception| {
            exception.gateway = Some((gateway, expires))
        });
    }

    /// Forgets what is known of `destination` over `link`.
    pub fn remove(&mut self, destination: Ipv4Addr, link: LinkId) {
        let way = (destination, link);
        self.generation += 1;
        if let Some(exception) = self.by_way.remove(&way) {
            self.by_expiry.remove(&(exception.expires(), way));
        }
    }

    /// Forgets what is known of all destinations with `prefix`, for when a route to it changes:
    /// Linux ties what it learns to the next hop.
    pub fn remove_within(&mut self, prefix: Ipv4Cidr) {
        if self.is_empty() {
            return;
        }
        let within = |(destination, _): &&Way| prefix.contains(*destination);
        let doomed: Vec<_> = self.by_way.keys().filter(within).copied().collect();
        doomed.into_iter().for_each(|(destination, link)| self.remove(destination, link));
    }

    /// Forgets everything, for when links or addresses change.
    pub fn clear(&mut self) {
        self.generation += 1;
        self.by_way.clear();
        self.by_expiry.clear();
    }

    /// When the next exception expires. What has expired is not used, swept or not; sweeping only
    /// returns its memory.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.by_expiry.first().map(|(at, _)| *at)
    }

    /// Removes what has expired; returns how many that were.
    pub fn sweep(&mut self, now: Instant) -> usize {
        let before = self.len();
        while let Some(&(at, (destination, link))) = self.by_expiry.first()
            && at <= now
        {
            self.remove(destination, link);
        }
        before - self.len()
    }

    fn get(&self, way: Way) -> Option<&Exception> {
        // Most stacks have no exceptions most of the time: hash only when there are some.
        if self.by_way.is_empty() {
            return None;
        }
        self.by_way.get(&way)
    }

    fn change(&mut self, now: Instant, way: Way, update: impl FnOnce(&mut Exception)) {
        let mut exception = self.by_way.get(&way).copied().unwrap_or_default();
        self.remove(way.0, way.1);
        // A part that has expired must not come back to life with the other one.
        exception.pmtu = exception.pmtu.filter(|(_, expires)| now < *expires);
        exception.gateway = exception.gateway.filter(|(_, expires)| now < *expires);
        update(&mut exception);
        if self.len() >= self.config.capacity
            && let Some(&(_, (destination, link))) = self.by_expiry.first()
        {
            self.remove(destination, link);
        }
        if self.len() < self.config.capacity {
            self.by_way.insert(way, exception);
            self.by_expiry.insert((exception.expires(), way));
        }
    }
}
