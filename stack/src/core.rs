//! What the layers of one stack share (Linux `struct net`): settings, tables, counters, buffers.
//!
//! Layers get it as an argument beside their own state, so none of them needs to know the stack.

use core::net::Ipv4Addr;

use crate::config::Config;
use crate::event::{Event, Observers};
use crate::filter::hook::{HookContext, HookPoint, Hooks, Verdict};
use crate::icmp::ratelimit::RateLimiter;
use crate::igmp::membership::Memberships;
use crate::interface::{Interface, Interfaces};
use crate::packet::{LinkId, Packet, PacketPool};
use crate::rng::{KeyedHash, Rng};
use crate::route::exceptions::RouteExceptions;
use crate::route::source::{LinkAddress, select_source};
use crate::route::{RouteKind, RouteTable, Scope};
use crate::socket::{Interest, SocketId, SocketTable, WakerTable};
use crate::stats::{DropReason, Stats};
use crate::tcp::TcpLayer;
use crate::time::{Duration, Instant};

const MILLIS_PER_DAY: u128 = 86_400_000;

/// The shared state of one network namespace.
#[derive(Debug)]
pub(crate) struct Core {
    /// The time of the current call.
    pub(crate) now: Instant,
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) stats: Stats,
    pub(crate) observers: Observers,
    pub(crate) pool: PacketPool,
    pub(crate) interfaces: Interfaces,
    pub(crate) routes: RouteTable,
    pub(crate) exceptions: RouteExceptions,
    pub(crate) hooks: Hooks,
    pub(crate) sockets: SocketTable,
    pub(crate) tcp: TcpLayer,
    /// Frames that wait for the devices of all links.
    pub(crate) tx_backlog: usize,
    pub(crate) wakers: WakerTable,
    /// Which socket is in which multicast group.
    pub(crate) memberships: Memberships,
    pub(crate) icmp_limit: RateLimiter,
    /// Unix time at [`Instant::ZERO`], if the caller told.
    pub(crate) wall_clock: Option<Duration>,
}

impl Core {
    pub(crate) fn new(config: Config, mut rng: Rng) -> Self {
        Core {
            now: Instant::ZERO,
            stats: Stats::default(),
            observers: Observers::default(),
            pool: PacketPool::new(config.core.pool_small, config.core.pool_large),
            interfaces: Interfaces::default(),
            routes: RouteTable::new(config.ipv4.max_routes),
            exceptions: RouteExceptions::new(config.ipv4.exceptions, KeyedHash::new(rng.key())),
            hooks: Hooks::default(),
            sockets: SocketTable::new(&config, &mut rng),
            tcp: TcpLayer::new(&config, &mut rng),
            tx_backlog: 0,
            wakers: WakerTable::new(config.core.max_wakers, &mut rng),
            icmp_limit: RateLimiter::new(config.icmp.rate_limit, &mut rng),
            memberships: Memberships::new(KeyedHash::new(rng.key())),
            wall_clock: None,
            config,
            rng,
        }
    }

    /// Discards a packet: counts the reason, shows it and keeps the buffer.
    #[cold]
    pub(crate) fn discard(&mut self, packet: Packet, reason: DropReason) {
        self.stats.dropped(reason);
        self.see(|| Event::Dropped { reason, packet: &packet });
        self.pool.put(packet);
    }

    /// Queues a packet for a socket.
    pub(crate) fn give(&mut self, id: SocketId, packet: Packet) {
        match self.sockets.receive(id, packet) {
            Ok(()) => self.wakers.wake(id, Interest::Read),
            Err((packet, reason)) => self.discard(packet, reason),
        }
    }

    /// Shows an event to whoever watches.
    #[inline]
    pub(crate) fn see<'a>(&mut self, make: impl FnOnce() -> Event<'a>) {
        self.observers.see(self.now, make);
    }

    /// Whether enough frames wait for devices: more would only be lost there (Linux TCP small
    /// queues, and `SO_SNDBUF` of datagram sockets).
    pub(crate) fn is_queue_full(&self) -> bool {
        self.tx_backlog >= (self.config.core.tx_queue_len / 2).max(1)
    }

    /// Wakes who waits for room, once half of what they waited for has left.
    #[inline]
    pub(crate) fn make_room(&mut self) {
        if self.wakers.awaits_room() && self.tx_backlog <= self.config.core.tx_queue_len / 4 {
            self.wakers.make_room();
        }
    }

    /// A number that grows whenever a path, or its MTU, may have changed.
    pub(crate) fn path_generation(&self) -> u64 {
        self.routes.generation() + self.exceptions.generation() + self.interfaces.generation()
    }

    /// Runs the hooks at `point`.
    pub(crate) fn hook(&mut self, point: HookPoint, packet: &mut Packet) -> Verdict {
        if !self.hooks.any(point) {
            return Verdict::Accept;
        }
        let context = HookContext {
            now: self.now,
            point,
            interfaces: &self.interfaces,
            routes: &self.routes,
        };
        let (observers, now) = (&mut self.observers, self.now);
        self.hooks.run(&context, packet, |name, verdict, packet| {
            observers.see(now, || Event::Hook { point, name, verdict, packet });
        })
    }

    /// Whether an address names more than one host: a group or a broadcast address.
    pub(crate) fn is_for_many(&self, addr: Ipv4Addr) -> bool {
        addr.is_multicast()
            || addr.is_broadcast()
            || self.routes.lookup_kind(addr) == Some(RouteKind::Broadcast)
    }

    /// A source address for a packet that leaves by `link` towards `next_hop` (Linux
    /// `inet_select_addr`).
    pub(crate) fn source_address(
        &self,
        link: impl Into<Option<LinkId>>,
        next_hop: Option<Ipv4Addr>,
        scope: Scope,
    ) -> Option<Ipv4Addr> {
        fn candidates(interface: &Interface) -> impl Iterator<Item = LinkAddress> {
            interface.usable().map(|address| LinkAddress {
                link: interface.id,
                address: address.cidr,
                scope: if interface.is_loopback() { Scope::Host } else { Scope::Universe },
                secondary: address.secondary,
            })
        }
        let link = link.into();
        // The link's own addresses come first, and mostly there is one.
        let own = link.and_then(|link| self.interfaces.get(link)).into_iter().flat_map(candidates);
        select_source(own, link, next_hop, scope).or_else(|| {
            select_source(self.interfaces.iter().flat_map(candidates), link, next_hop, scope)
        })
    }

    /// Milliseconds since midnight UT, as ICMP and IP timestamps want them; with the high bit set
    /// when the time of day is unknown (RFC 791 §3.1, RFC 792).
    pub(crate) fn timestamp(&self) -> u32 {
        match self.wall_clock {
            Some(at_zero) => {
                let unix = at_zero.saturating_add(self.now - Instant::ZERO);
                (unix.as_millis() % MILLIS_PER_DAY) as u32
            }
            None => self.now.as_millis() as u32 | 0x8000_0000,
        }
    }
}
