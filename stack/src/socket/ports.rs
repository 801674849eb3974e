//! The ports of one transport protocol: who is bound to which, and which are free.
//!
//! Sockets bound to one port are counted by address and link and by what they allow, so that
//! a bind looks at the distinct addresses in use on its port and never at every socket. Two
//! sockets meet on a port if their addresses and their links do, where none stands for all;
//! they may meet if both have `SO_REUSEADDR` and the one that was there does not listen, or if
//! both have `SO_REUSEPORT` (Linux `inet_csk_bind_conflict`, `udp_lib_lport_inuse`).
//!
//! Invariant: each slot's counts sum to the owners with its address and link; no slot is empty.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::SocketError;
use crate::packet::LinkId;
use crate::rng::{KeyedHash, KeyedMap, Rng};

/// What a socket wants to be bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BindRequest {
    /// 0.0.0.0 stands for every address.
    pub(crate) addr: Ipv4Addr,
    /// 0 asks for an ephemeral port.
    pub(crate) port: u16,
    /// `SO_BINDTODEVICE`.
    pub(crate) link: Option<LinkId>,
    /// `SO_REUSEADDR`.
    pub(crate) reuse_addr: bool,
    /// `SO_REUSEPORT`.
    pub(crate) reuse_port: bool,
    /// It is a listening socket.
    pub(crate) listening: bool,
    /// The port was chosen by connect, which others may choose for other peers.
    pub(crate) connecting: bool,
}

/// The bound ports of one protocol.
#[derive(Debug)]
pub(crate) struct PortTable {
    ports: KeyedMap<u16, Vec<Slot>>,
    owners: KeyedMap<(u16, u32), Holding>,
    /// `ip_local_port_range`.
    range: (u16, u16),
    /// Ephemeral ports of the parity that connect takes last are tried first (Linux
    /// `inet_csk_find_open_port`).
    odd_first: bool,
}

/// The sockets of one port with one address and one link, counted by [`Terms`].
#[derive(Debug, Clone, Copy)]
struct Slot {
    addr: Ipv4Addr,
    link: Option<LinkId>,
    counts: [u32; TERMS],
}

/// What one owner has of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holding {
    addr: Ipv4Addr,
    link: Option<LinkId>,
    terms: Terms,
}

/// What a socket allows others: a number made of the bits below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Terms(u8);

const REUSE_ADDR: u8 = 1;
const REUSE_PORT: u8 = 2;
const LISTENING: u8 = 4;
const CONNECTING: u8 = 8;
/// How many different terms there are.
const TERMS: usize = 16;

impl PortTable {
    /// An empty table whose ephemeral ports are those of `range`, both ends included.
    pub(crate) fn new(range: (u16, u16), rng: &mut Rng) -> Self {
        PortTable {
            ports: KeyedMap::with_hasher(KeyedHash::new(rng.key())),
            owners: KeyedMap::with_hasher(KeyedHash::new(rng.key())),
            range,
            odd_first: false,
        }
    }

    /// Leaves the even ones of the ephemeral ports, counted from the first, to connect.
    pub(crate) fn odd_first(self) -> Self {
        PortTable { odd_first: true, ..self }
    }

    /// Binds `owner` to a port and returns it. An owner may have several ports, each once.
    ///
    /// # Errors
    /// `AddressInUse`: another socket has the port, or no ephemeral one is free.
    pub(crate) fn bind(
        &mut self,
        owner: u32,
        request: &BindRequest,
        rng: &mut Rng,
    ) -> Result<u16, SocketError> {
        let wanted = Holding::of(request);
        let port = match request.port {
            // Linux shares no ephemeral port of TCP, whatever is allowed; here neither of UDP.
            0 => self.ephemeral(rng, |table, port| {
                !table.meets(port, wanted.addr, wanted.link, |_| true)
            })?,
            port if self.owners.contains_key(&(port, owner)) => {
                return Err(SocketError::InvalidArgument);
            }
            port if self.conflicts(port, &wanted) => return Err(SocketError::AddressInUse),
            port => port,
        };
        self.insert(owner, port, wanted);
        Ok(port)
    }

    /// Makes `owner` a holder of a port without asking whether it may be, as an accepted
    /// connection is of its listener's.
    pub(crate) fn inherit(&mut self, owner: u32, request: &BindRequest) {
        self.unbind(owner, request.port);
        self.insert(owner, request.port, Holding::of(request));
    }

    /// Takes a port from its owner.
    pub(crate) fn unbind(&mut self, owner: u32, port: u16) {
        if let Some(held) = self.owners.remove(&(port, owner)) {
            self.uncount(port, &held);
        }
    }

    /// Says that the owner of a port listens now, or no more (Linux `inet_csk_listen_start`).
    ///
    /// # Errors
    /// `AddressInUse`: two sockets cannot both listen without `SO_REUSEPORT`.
    /// `InvalidArgument`: the port is not the owner's.
    pub(crate) fn set_listening(
        &mut self,
        owner: u32,
        port: u16,
        listening: bool,
    ) -> Result<(), SocketError> {
        let held = *self.owners.get(&(port, owner)).ok_or(SocketError::InvalidArgument)?;
        self.uncount(port, &held);
        let bit = if listening { LISTENING } else { 0 };
        let wanted = Holding { terms: Terms(held.terms.0 & !LISTENING | bit), ..held };
        let refused = listening && self.conflicts(port, &wanted);
        self.insert(owner, port, if refused { held } else { wanted });
        if refused { Err(SocketError::AddressInUse) } else { Ok(()) }
    }

    /// Follows a change of a bound socket's address or options, which is never refused.
    pub(crate) fn update(&mut self, owner: u32, request: &BindRequest) {
        let Some(held) = self.owners.get(&(request.port, owner)).copied() else { return };
        let wanted = Holding::of(request);
        if held != wanted {
            self.uncount(request.port, &held);
            self.insert(owner, request.port, wanted);
        }
    }

    /// A free ephemeral port: the first from a random one on that `free` accepts (RFC 6056
    /// §3.3.1).
    ///
    /// # Errors
    /// `AddressInUse`: none is.
    pub(crate) fn ephemeral(
        &self,
        rng: &mut Rng,
        free: impl Fn(&Self, u16) -> bool,
    ) -> Result<u16, SocketError> {
        let (first, last) = self.range;
        let count = u32::from(last.saturating_sub(first)) + 1;
        let start = rng.below(count.into()) as u32;
        let usable = |port: &u16| *port != 0 && free(self, *port);
        let found = match self.odd_first {
            true => port_order(first, count, start, true).find(usable),
            false => (0..count)
                .map(|step| first.saturating_add(((start + step) % count) as u16))
                .find(usable),
        };
        found.ok_or(SocketError::AddressInUse)
    }

    /// How many sockets are bound to a port, each counted once.
    #[cfg(test)]
    fn count(&self, port: u16) -> u32 {
        self.ports.get(&port).into_iter().flatten().flat_map(|slot| slot.counts).sum()
    }

    /// Whether a connection from `addr` may share the port with those who hold it: all of them
    /// have it from connect (Linux `__inet_hash_connect`).
    pub(crate) fn allows_connection(&self, port: u16, addr: Ipv4Addr) -> bool {
        !self.meets(port, addr, None, |terms| terms.0 & CONNECTING == 0)
    }

    fn conflicts(&self, port: u16, wanted: &Holding) -> bool {
        self.meets(port, wanted.addr, wanted.link, |there| !wanted.terms.allows(there))
    }

    /// Whether a socket on the port that satisfies `which` has an address and a link in common
    /// with these.
    fn meets(
        &self,
        port: u16,
        addr: Ipv4Addr,
        link: Option<LinkId>,
        which: impl Fn(Terms) -> bool,
    ) -> bool {
        let Some(slots) = self.ports.get(&port) else { return false };
        slots.iter().any(|slot| {
            let same_addr =
                slot.addr == addr || slot.addr.is_unspecified() || addr.is_unspecified();
            let same_link = slot.link == link || slot.link.is_none() || link.is_none();
            same_addr
                && same_link
                && (0..).zip(slot.counts).any(|(terms, count)| count > 0 && which(Terms(terms)))
        })
    }

    fn insert(&mut self, owner: u32, port: u16, holding: Holding) {
        self.owners.insert((port, owner), holding);
        let slots = self.ports.entry(port).or_default();
        let at = slots.iter().position(|slot| slot.is_of(&holding)).unwrap_or_else(|| {
            let (addr, link) = (holding.addr, holding.link);
            slots.push(Slot { addr, link, counts: [0; TERMS] });
            slots.len() - 1
        });
        slots[at].counts[usize::from(holding.terms.0)] += 1;
    }

    fn uncount(&mut self, port: u16, holding: &Holding) {
        let Some(slots) = self.ports.get_mut(&port) else { return };
        let Some(at) = slots.iter().position(|slot| slot.is_of(holding)) else { return };
        let count = &mut slots[at].counts[usize::from(holding.terms.0)];
        *count = count.saturating_sub(1);
        if slots[at].counts == [0; TERMS] {
            slots.swap_remove(at);
        }
        if slots.is_empty() {
            self.ports.remove(&port);
        }
    }
}

/// The ports of a range, all of one parity before all of the other, each from a place on: the even
/// ones first, counted from the first port of the range, or the odd ones.
pub(crate) fn port_order(
    first: u16,
    count: u32,
    start: u32,
    odd_first: bool,
) -> impl Iterator<Item = u16> {
    let of_parity = move |odd: u32| {
        let members = (count + 1 - odd) / 2;
        (0..members).map(move |step| {
            let nth = (start / 2 + step) % members * 2 + odd;
            first.saturating_add(nth as u16)
        })
    };
    of_parity(u32::from(odd_first)).chain(of_parity(u32::from(!odd_first)))
}

impl Slot {
    fn is_of(&self, holding: &Holding) -> bool {
        self.addr == holding.addr && self.link == holding.link
    }
}

impl Holding {
    fn of(request: &BindRequest) -> Self {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let terms = bit(request.reuse_addr, REUSE_ADDR)
            | bit(request.reuse_port, REUSE_PORT)
            | bit(request.listening, LISTENING)
            | bit(request.connecting, CONNECTING);
        Holding { addr: request.addr, link: request.link, terms: Terms(terms) }
    }
}

impl Terms {
    /// Whether a socket with these terms may join one that is there (Linux
    /// `inet_bind_conflict`).
    fn allows(self, there: Terms) -> bool {
        let both = self.0 & there.0;
        both & REUSE_PORT != 0 || (both & REUSE_ADDR != 0 && there.0 & LISTENING == 0)
    }
}

#[cfg(test)]
mod tests;
