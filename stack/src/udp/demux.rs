//! Which UDP socket a datagram is for (Linux `__udp4_lib_lookup`).
//!
//! Connected sockets are found by both addresses and ports, the others by local address and
//! port, then by port alone; the first of the three that has a match wins. Among sockets with
//! the same key one bound to the link comes before one bound to none. Of equals, the last one
//! bound wins, and if that has `SO_REUSEPORT`, a keyed hash of the flow chooses among all that
//! have.
//!
//! Invariant: no list is empty, and a socket is in exactly one, once; groups are sorted by link.

use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::Ipv4Addr;

use crate::packet::LinkId;
use crate::rng::{KeyedHash, KeyedMap, Rng};

/// An address and a port.
pub(crate) type Addr = (Ipv4Addr, u16);

/// What a socket receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The address is 0.0.0.0 for all.
    pub(crate) local: Addr,
    /// Whom it is connected to.
    pub(crate) peer: Option<Addr>,
    /// `SO_BINDTODEVICE`.
    pub(crate) link: Option<LinkId>,
    /// `SO_REUSEPORT`.
    pub(crate) reuse_port: bool,
}

/// Where a datagram came from and where it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub(crate) src: Addr,
    pub(crate) dst: Addr,
    /// Where it arrived; `None` when that does not matter.
    pub(crate) link: Option<LinkId>,
}

/// The UDP sockets by what they receive. They are named by numbers.
#[derive(Debug)]
pub(crate) struct Demux {
    connected: KeyedMap<(Addr, Addr), Vec<Group>>,
    bound: KeyedMap<Addr, Vec<Group>>,
    flows: KeyedHash,
}

/// The sockets with one key that are bound to one link.
#[derive(Debug)]
struct Group {
    link: Option<LinkId>,
    /// All of them, the one bound last at the end, each with whether it has `SO_REUSEPORT`.
    members: Vec<(u32, bool)>,
    /// Those with `SO_REUSEPORT`.
    shared: Vec<u32>,
}

impl Demux {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Demux {
            connected: KeyedMap::with_hasher(KeyedHash::new(rng.key())),
            bound: KeyedMap::with_hasher(KeyedHash::new(rng.key())),
            flows: KeyedHash::new(rng.key()),
        }
    }

    /// Adds a socket.
    pub(crate) fn insert(&mut self, socket: u32, endpoint: &Endpoint) {
        let groups = match endpoint.peer {
            Some(peer) => self.connected.entry((endpoint.local, peer)).or_default(),
            None => self.bound.entry(endpoint.local).or_default(),
        };
        let at = place(groups, endpoint.link).unwrap_or_else(|at| {
            let link = endpoint.link;
            groups.insert(at, Group { link, members: Vec::new(), shared: Vec::new() });
            at
        });
        groups[at].members.push((socket, endpoint.reuse_port));
        if endpoint.reuse_port {
            groups[at].shared.push(socket);
        }
    }

    /// Takes out a socket that was added with this endpoint.
    pub(crate) fn remove(&mut self, socket: u32, endpoint: &Endpoint) {
        let clear = |groups: &mut Vec<Group>| {
            if let Ok(at) = place(groups, endpoint.link) {
                let group = &mut groups[at];
                group.members.retain(|(member, _)| *member != socket);
                group.shared.retain(|member| *member != socket);
                if group.members.is_empty() {
                    groups.remove(at);
                }
            }
            groups.is_empty()
        };
        match endpoint.peer {
            Some(peer) => {
                let key = (endpoint.local, peer);
                if self.connected.get_mut(&key).is_some_and(clear) {
                    self.connected.remove(&key);
                }
            }
            None => {
                if self.bound.get_mut(&endpoint.local).is_some_and(clear) {
                    self.bound.remove(&endpoint.local);
                }
            }
        }
    }

    /// The socket that a datagram to this host alone is for.
    pub(crate) fn find(&self, path: &Path) -> Option<u32> {
        // Linux lets no SO_REUSEPORT hash choose among connected sockets.
        let connected = |dst: Addr| {
            let group = best(self.connected.get(&(dst, path.src))?, path.link)?;
            group.members.last().map(|(socket, _)| *socket)
        };
        let bound = |dst: Addr| self.choose(self.bound.get(&dst)?, path);
        // Connected without an address is who had none to connect from.
        let any = any(path.dst);
        connected(path.dst)
            .or_else(|| bound(path.dst))
            .or_else(|| connected(any))
            .or_else(|| bound(any))
    }

    /// Gives `sockets` all that want a datagram to many (Linux `__udp_is_mcast_sock`).
    pub(crate) fn find_all(&self, path: &Path, sockets: &mut Vec<u32>) {
        let any = any(path.dst);
        let lists = [
            self.connected.get(&(path.dst, path.src)),
            self.connected.get(&(any, path.src)),
            self.bound.get(&path.dst),
            self.bound.get(&any),
        ];
        for groups in lists.into_iter().flatten() {
            let bound = path.link.and_then(|link| of(groups, Some(link)));
            for group in [of(groups, None), bound].into_iter().flatten() {
                sockets.extend(group.members.iter().map(|(socket, _)| *socket));
            }
        }
    }

    fn choose(&self, groups: &[Group], path: &Path) -> Option<u32> {
        let group = best(groups, path.link)?;
        match group.members.last() {
            Some((_, true)) => {
                let hash = self.flows.hash_one((path.src, path.dst)) >> 32;
                let at = (hash * group.shared.len() as u64) >> 32;
                group.shared.get(at as usize).copied()
            }
            last => last.map(|(socket, _)| *socket),
        }
    }
}

/// The sockets that come first for what arrived on `link`.
fn best(groups: &[Group], link: Option<LinkId>) -> Option<&Group> {
    match link {
        Some(link) => of(groups, Some(link)).or_else(|| of(groups, None)),
        None => of(groups, None).or_else(|| groups.last()),
    }
}

/// The sockets bound to a link, or to none.
fn of(groups: &[Group], link: Option<LinkId>) -> Option<&Group> {
    place(groups, link).ok().map(|at| &groups[at])
}

/// Where that group is, or where it would be.
fn place(groups: &[Group], link: Option<LinkId>) -> Result<usize, usize> {
    groups.binary_search_by_key(&link, |group| group.link)
}

/// The same port at every address.
fn any(addr: Addr) -> Addr {
    (Ipv4Addr::UNSPECIFIED, addr.1)
}

#[cfg(test)]
mod tests;
