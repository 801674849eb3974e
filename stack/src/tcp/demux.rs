//! Whose segment is it? By keyed hash: the exact four numbers first, then a listener of the
//! address and port, then one of the port alone.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::listen::{Listener, Request};
use super::segment::FourTuple;
use super::tcb::Tcb;
use super::timewait::TimeWait;
use crate::config::Config;
use crate::packet::LinkId;
use crate::rng::{KeyedHash, KeyedMap, Rng};
use crate::socket::ports::{BindRequest, PortTable};
use crate::socket::{Readiness, SocketClass, SocketError, SocketId};
use crate::timer::TimerWheel;

/// What a segment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A connection, by its socket.
    Connection(u32),
    /// A handshake in progress.
    Request(u32),
    /// A connection that is over.
    TimeWait(u32),
}

/// Entries in the table that moves the search for ports on (Linux `INET_TABLE_PERTURB_SIZE`).
const PERTURBATIONS: usize = 1024;
/// What tells a connection in TIME-WAIT from a socket among the owners of ports.
const TIME_WAIT_OWNER: u32 = 1 << 31;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimerKey {
    Connection(u32),
    Request(u32),
    TimeWait(u32),
}

/// A socket.
#[derive(Debug)]
pub(crate) enum TcpSocket {
    /// One that is not listening: connected or not.
    Connection(Box<Tcb>),
    /// One that listens.
    Listener(Box<Listener>),
}

/// Records that are found by number.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// One more than the highest number that there may be.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = Some(value);
                index
            }
            None => {
                self.slots.push(Some(value));
                self.slots.len() as u32 - 1
            }
        }
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.slots.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(value)
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.slots).filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.as_mut()
    }
}

/// The sockets, handshakes and remains of connections of a stack.
#[derive(Debug)]
pub(crate) struct TcpSockets {
    /// Each with the generation of its name.
    slots: Vec<(u32, Option<TcpSocket>)>,
    free: Vec<u32>,
    max_sockets: usize,
    pub(crate) connections: KeyedMap<FourTuple, Found>,
    listeners: KeyedMap<(Ipv4Addr, u16), Vec<u32>>,
    pub(crate) requests: Slab<Request>,
    pub(crate) time_waits: Slab<TimeWait>,
    pub(crate) wheel: TimerWheel<TimerKey>,
    pub(crate) ports: PortTable,
    /// How far the search for ports has come, by destination (RFC 6056 §3.3.4's table `T`).
    pub(crate) perturbation: Vec<u32>,
    /// Which of several listeners with SO_REUSEPORT.
    share: KeyedHash,
    pub(crate) orphans: usize,
    /// Connections that wait for frames to leave; each once.
    pub(crate) throttled: VecDeque<u32>,
    /// Bytes that all connections together have queued (Linux `tcp_memory_allocated`).
    pub(crate) memory: usize,
}

impl TcpSockets {
    pub(crate) fn new(config: &Config, rng: &mut Rng) -> Self {
        TcpSockets {
            slots: Vec::new(),
            free: Vec::new(),
            max_sockets: config.tcp.max_sockets,
            connections: KeyedMap::with_hasher(KeyedHash::new(rng.key())),
            listeners: KeyedMap::with_hasher(KeyedHash::new(rng.key())),
            requests: Slab::default(),
            time_waits: Slab::default(),
            wheel: TimerWheel::new(),
            ports: PortTable::new(config.tcp.port_range, rng).odd_first(),
            perturbation: (0..PERTURBATIONS).map(|_| rng.next_u32()).collect(),
            share: KeyedHash::new(rng.key()),
            orphans: 0,
            throttled: VecDeque::new(),
            memory: 0,
        }
    }

    /// How many sockets there are, orphans included.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many places there are for sockets.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The socket in a place.
    pub(crate) fn at(&self, index: u32) -> Option<(SocketId, &TcpSocket)> {
        let (generation, socket) = self.slots.get(index as usize)?;
        let id = SocketId { class: SocketClass::Tcp, index, generation: *generation };
        Some((id, socket.as_ref()?))
    }

    /// A name for a new socket; [`fill`](Self::fill) makes it valid.
    pub(crate) fn reserve(&mut self) -> Result<SocketId, SocketError> {
        if self.len() >= self.max_sockets {
            return Err(SocketError::TooManySockets);
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push((0, None));
                self.slots.len() as u32 - 1
            }
        };
        let generation = self.slots[index as usize].0;
        Ok(SocketId { class: SocketClass::Tcp, index, generation })
    }

    pub(crate) fn fill(&mut self, id: SocketId, socket: TcpSocket) {
        if let Some((_, slot)) = self.slots.get_mut(id.index as usize) {
            *slot = Some(socket);
        }
    }

    /// Takes a socket out for good; its name is never used again.
    pub(crate) fn remove(&mut self, index: u32) -> Option<TcpSocket> {
        let (generation, slot) = self.slots.get_mut(index as usize)?;
        let socket = slot.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(index);
        Some(socket)
    }

    /// Puts another kind of socket in the place of one.
    pub(crate) fn replace(&mut self, id: SocketId, socket: TcpSocket) -> Option<TcpSocket> {
        let (_, slot) = self.slots.get_mut(id.index as usize)?;
        slot.replace(socket)
    }

    pub(crate) fn get(&self, id: SocketId) -> Result<&TcpSocket, SocketError> {
        match self.slots.get(id.index as usize) {
            Some((generation, Some(socket))) if *generation == id.generation => Ok(socket),
            _ => Err(SocketError::BadSocket),
        }
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Result<&mut TcpSocket, SocketError> {
        match self.slots.get_mut(id.index as usize) {
            Some((generation, Some(socket))) if *generation == id.generation => Ok(socket),
            _ => Err(SocketError::BadSocket),
        }
    }

    /// A connection, or a socket that could become one.
    pub(crate) fn tcb(&self, id: SocketId) -> Result<&Tcb, SocketError> {
        match self.get(id)? {
            TcpSocket::Connection(tcb) => Ok(tcb),
            TcpSocket::Listener(_) => Err(SocketError::InvalidArgument),
        }
    }

    pub(crate) fn tcb_mut(&mut self, id: SocketId) -> Result<&mut Tcb, SocketError> {
        match self.get_mut(id)? {
            TcpSocket::Connection(tcb) => Ok(tcb),
            TcpSocket::Listener(_) => Err(SocketError::InvalidArgument),
        }
    }

    /// A connection by its place.
    pub(crate) fn tcb_at(&mut self, index: u32) -> Option<&mut Tcb> {
        match self.slots.get_mut(index as usize)? {
            (_, Some(TcpSocket::Connection(tcb))) => Some(tcb),
            _ => None,
        }
    }

    pub(crate) fn listener_mut(&mut self, id: SocketId) -> Result<&mut Listener, SocketError> {
        match self.get_mut(id)? {
            TcpSocket::Listener(listener) => Ok(listener),
            TcpSocket::Connection(_) => Err(SocketError::InvalidArgument),
        }
    }

    pub(crate) fn listener_at(&mut self, index: u32) -> Option<&mut Listener> {
        match self.slots.get_mut(index as usize)? {
            (_, Some(TcpSocket::Listener(listener))) => Some(listener),
            _ => None,
        }
    }

    /// The listener for a segment (Linux `__inet_lookup_listener`).
    pub(crate) fn find_listener(&self, tuple: &FourTuple, link: Option<LinkId>) -> Option<u32> {
        use core::hash::BuildHasher;
        let exact = self.listeners.get(&(tuple.local, tuple.local_port));
        let any = self.listeners.get(&(Ipv4Addr::UNSPECIFIED, tuple.local_port));
        for list in [exact, any].into_iter().flatten() {
            let fits = |index: u32, bound: bool| match self.slots.get(index as usize) {
                Some((_, Some(TcpSocket::Listener(listener)))) => match listener.ip.bind_link {
                    Some(wanted) => bound && link == Some(wanted),
                    None => !bound,
                },
                _ => false,
            };
            // One bound to the link is the better one.
            for bound in [true, false] {
                let count = list.iter().filter(|index| fits(**index, bound)).count();
                if count > 0 {
                    let nth = match count {
                        1 => 0,
                        _ => (self.share.hash_one(tuple) % count as u64) as usize,
                    };
                    return list.iter().copied().filter(|index| fits(*index, bound)).nth(nth);
                }
            }
        }
        None
    }

    /// A connection in TIME-WAIT keeps its port, on the terms of its socket (Linux
    /// `inet_twsk_hashdance`).
    pub(crate) fn hold_port_in_time_wait(&mut self, index: u32, request: &BindRequest) {
        self.ports.inherit(TIME_WAIT_OWNER | index, request);
    }

    pub(crate) fn release_port_of_time_wait(&mut self, index: u32, port: u16) {
        self.ports.unbind(TIME_WAIT_OWNER | index, port);
    }

    pub(crate) fn add_listener(&mut self, addr: Ipv4Addr, port: u16, index: u32) {
        self.listeners.entry((addr, port)).or_default().push(index);
    }

    pub(crate) fn remove_listener(&mut self, addr: Ipv4Addr, port: u16, index: u32) {
        if let Some(list) = self.listeners.get_mut(&(addr, port)) {
            list.retain(|other| *other != index);
            if list.is_empty() {
                self.listeners.remove(&(addr, port));
            }
        }
    }

    /// What the socket is ready for.
    pub(crate) fn readiness(&self, id: SocketId) -> Readiness {
        match self.get(id) {
            Ok(TcpSocket::Connection(tcb)) => tcb.readiness(),
            Ok(TcpSocket::Listener(listener)) if !listener.accept_queue.is_empty() => {
                Readiness::READABLE
            }
            _ => Readiness::empty(),
        }
    }

    /// The handshakes of a listener.
    pub(crate) fn requests_of(&self, id: SocketId) -> Vec<u32> {
        self.requests
            .iter()
            .filter(|(_, request)| request.listener == id)
            .map(|(at, _)| at)
            .collect()
    }

    /// Makes the name of a socket that lives on invalid.
    pub(crate) fn retire_name(&mut self, id: SocketId) {
        if let Some((generation, socket)) = self.slots.get_mut(id.index as usize) {
            *generation = generation.wrapping_add(1);
            if let Some(TcpSocket::Connection(tcb)) = socket {
                tcb.id.generation = *generation;
            }
        }
    }

    /// Every socket, for tools that list them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketId, &TcpSocket)> {
        self.slots.iter().enumerate().filter_map(|(index, (generation, socket))| {
            let id =
                SocketId { class: SocketClass::Tcp, index: index as u32, generation: *generation };
            Some((id, socket.as_ref()?))
        })
    }
}
