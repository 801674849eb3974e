//! Whose segment is it? By keyed hash: the exact four numbers first, then a listener of the
//! address and port, then one of the port alone.
//!
//! ```text
//! four numbers ──→ index ──→ slot: a connection, or a listener's box ←── name
//!                    ├─────→ handshake
//!                    └─────→ TIME-WAIT
//! ```
//! Of a hundred thousand connections none is in the processor's cache when its segment comes, and
//! each step that needs the one before it waits for memory once more. So a connection lies in its
//! slot, and whoever is about to use one reads all of it first ([`TcpSockets::warm`]): then what is
//! missing comes at once and not piece by piece.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::index::TupleIndex;
use super::listen::{Listener, Request};
use super::listeners::ListenerTable;
use super::segment::FourTuple;
use super::tcb::Tcb;
use super::timewait::TimeWait;
use crate::config::Config;
use crate::packet::LinkId;
use crate::rng::{KeyedHash, Rng};
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
/// Sockets that lie together: few enough to start with, and enough for a short list of them.
const CHUNK: usize = 64;
/// How many sockets can be told apart.
const MAX_SLOTS: usize = 1 << 30;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimerKey {
    Connection(u32),
    Request(u32),
    TimeWait(u32),
}

/// A socket.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are connections, and found sooner so")]
pub(crate) enum TcpSocket {
    /// One that is not listening: connected or not.
    Connection(Tcb),
    /// One that listens.
    Listener(Box<Listener>),
}

impl TcpSocket {
    fn id(&self) -> SocketId {
        match self {
            TcpSocket::Connection(tcb) => tcb.id,
            TcpSocket::Listener(listener) => listener.id,
        }
    }
}

/// A place for a socket.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "vacant ones are used again")]
enum Slot {
    /// None is here, and the next one has this generation in its name.
    Vacant {
        generation: u32,
    },
    Used(TcpSocket),
}

/// The sockets, in pieces that stay where they are when more are made.
#[derive(Debug, Default)]
struct Slots {
    chunks: Vec<Vec<Slot>>,
    len: usize,
    /// Those of them that are vacant.
    free: Vec<u32>,
}

impl Slots {
    #[inline]
    fn get(&self, index: u32) -> Option<&Slot> {
        self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)
    }

    #[inline]
    fn get_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)
    }

    #[inline]
    fn socket(&self, index: u32) -> Option<&TcpSocket> {
        match self.get(index)? {
            Slot::Used(socket) => Some(socket),
            Slot::Vacant { .. } => None,
        }
    }

    #[inline]
    fn socket_mut(&mut self, index: u32) -> Option<&mut TcpSocket> {
        match self.get_mut(index)? {
            Slot::Used(socket) => Some(socket),
            Slot::Vacant { .. } => None,
        }
    }

    /// A vacant slot and its generation.
    fn reserve(&mut self) -> (u32, u32) {
        if let Some(index) = self.free.pop()
            && let Some(Slot::Vacant { generation }) = self.get(index)
        {
            return (index, *generation);
        }
        let index = self.len;
        if index.is_multiple_of(CHUNK) {
            // Who has few sockets need not have room for more.
            let room = if index == 0 { 1 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(room));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(Slot::Vacant { generation: 0 });
            self.len += 1;
        }
        (index as u32, 0)
    }

    fn iter(&self) -> impl Iterator<Item = &TcpSocket> {
        self.chunks.iter().flatten().filter_map(|slot| match slot {
            Slot::Used(socket) => Some(socket),
            Slot::Vacant { .. } => None,
        })
    }
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

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.as_mut()
    }
}

/// The sockets, handshakes and remains of connections of a stack.
#[derive(Debug)]
pub(crate) struct TcpSockets {
    slots: Slots,
    max_sockets: usize,
    index: TupleIndex,
    listeners: ListenerTable,
    /// Listeners whose options may have changed; each once, or gone.
    touched: Vec<u32>,
    pub(crate) requests: Slab<Request>,
    pub(crate) time_waits: Slab<TimeWait>,
    pub(crate) wheel: TimerWheel<TimerKey>,
    pub(crate) ports: PortTable,
    /// How far the search for ports has come, by destination (RFC 6056 §3.3.4's table `T`).
    pub(crate) perturbation: Vec<u32>,
    pub(crate) orphans: usize,
    /// Connections that wait for frames to leave; each once.
    pub(crate) throttled: VecDeque<u32>,
    /// Bytes that all connections together have queued (Linux `tcp_memory_allocated`).
    pub(crate) memory: usize,
}

impl TcpSockets {
    pub(crate) fn new(config: &Config, rng: &mut Rng) -> Self {
        let index = TupleIndex::new(rng);
        let groups = KeyedHash::new(rng.key());
        let ports = PortTable::new(config.tcp.port_range, rng).odd_first();
        let perturbation = (0..PERTURBATIONS).map(|_| rng.next_u32()).collect();
        let flows = KeyedHash::new(rng.key());
        TcpSockets {
            slots: Slots::default(),
            max_sockets: config.tcp.max_sockets.min(MAX_SLOTS),
            index,
            listeners: ListenerTable::new(groups, flows),
            touched: Vec::new(),
            requests: Slab::default(),
            time_waits: Slab::default(),
            wheel: TimerWheel::new(),
            ports,
            perturbation,
            orphans: 0,
            throttled: VecDeque::new(),
            memory: 0,
        }
    }

    /// How many sockets there are, orphans included.
    pub(crate) fn len(&self) -> usize {
        self.slots.len - self.slots.free.len()
    }

    /// How many places there are for sockets.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len
    }

    /// The socket in a place.
    pub(crate) fn at(&self, index: u32) -> Option<(SocketId, &TcpSocket)> {
        self.slots.socket(index).map(|socket| (socket.id(), socket))
    }

    /// A name for a new socket; [`fill`](Self::fill) makes it valid.
    pub(crate) fn reserve(&mut self) -> Result<SocketId, SocketError> {
        if self.len() >= self.max_sockets {
            return Err(SocketError::TooManySockets);
        }
        let (index, generation) = self.slots.reserve();
        Ok(SocketId { class: SocketClass::Tcp, index, generation })
    }

    pub(crate) fn fill(&mut self, id: SocketId, socket: TcpSocket) {
        if let Some(slot) = self.slots.get_mut(id.index) {
            *slot = Slot::Used(socket);
        }
    }

    /// Takes a socket out for good; its name is never used again.
    pub(crate) fn remove(&mut self, index: u32) -> Option<TcpSocket> {
        let generation = self.slots.socket(index)?.id().generation.wrapping_add(1);
        let slot = core::mem::replace(self.slots.get_mut(index)?, Slot::Vacant { generation });
        self.slots.free.push(index);
        match slot {
            Slot::Used(socket) => Some(socket),
            Slot::Vacant { .. } => None,
        }
    }

    /// Puts another kind of socket in the place of one.
    pub(crate) fn replace(&mut self, id: SocketId, socket: TcpSocket) {
        self.fill(id, socket);
    }

    pub(crate) fn get(&self, id: SocketId) -> Result<&TcpSocket, SocketError> {
        let socket = self.slots.socket(id.index).filter(|socket| socket.id() == id);
        socket.ok_or(SocketError::BadSocket)
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Result<&mut TcpSocket, SocketError> {
        let socket = self.slots.socket_mut(id.index).filter(|socket| socket.id() == id);
        socket.ok_or(SocketError::BadSocket)
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
        match self.slots.socket_mut(index)? {
            TcpSocket::Connection(tcb) => Some(tcb),
            TcpSocket::Listener(_) => None,
        }
    }

    pub(crate) fn listener_mut(&mut self, id: SocketId) -> Result<&mut Listener, SocketError> {
        match self.get_mut(id)? {
            TcpSocket::Listener(listener) => Ok(listener),
            TcpSocket::Connection(_) => Err(SocketError::InvalidArgument),
        }
    }

    pub(crate) fn listener_at(&mut self, index: u32) -> Option<&mut Listener> {
        match self.slots.socket_mut(index)? {
            TcpSocket::Listener(listener) => Some(listener),
            TcpSocket::Connection(_) => None,
        }
    }

    /// Reads every cache line of a connection that is about to be used: then they come together.
    #[inline]
    pub(crate) fn warm(&self, index: u32) {
        if let Some(TcpSocket::Connection(tcb)) = self.slots.socket(index) {
            tcb.warm();
        }
    }

    /// What seems to have these four numbers, without a look at it.
    #[inline]
    pub(crate) fn guess(&self, tuple: &FourTuple) -> Option<Found> {
        self.index.find(tuple, |_| true)
    }

    /// What the timers are of that fire next.
    pub(crate) fn upcoming(&self) -> impl Iterator<Item = Found> {
        self.wheel.upcoming().map(|key| match key {
            TimerKey::Connection(index) => Found::Connection(index),
            TimerKey::Request(index) => Found::Request(index),
            TimerKey::TimeWait(index) => Found::TimeWait(index),
        })
    }

    /// What has these four numbers.
    #[inline]
    pub(crate) fn find(&self, tuple: &FourTuple) -> Option<Found> {
        self.index.find(tuple, |found| match found {
            Found::Connection(index) => {
                self.slots.socket(index).is_some_and(|socket| match socket {
                    TcpSocket::Connection(tcb) => tcb.tuple == *tuple,
                    TcpSocket::Listener(_) => false,
                })
            }
            Found::Request(index) => {
                self.requests.get(index).is_some_and(|request| request.tuple == *tuple)
            }
            Found::TimeWait(index) => {
                self.time_waits.get(index).is_some_and(|record| record.tuple == *tuple)
            }
        })
    }

    /// Enters what has these four numbers from now on; what it has itself must be in its place.
    pub(crate) fn enter(&mut self, tuple: &FourTuple, found: Found) {
        let old = self.find(tuple).filter(|old| *old != found);
        self.index.insert(tuple, old, found);
    }

    /// Takes an entry out, unless another has taken its place.
    pub(crate) fn forget(&mut self, tuple: &FourTuple, found: Found) {
        self.index.remove(tuple, found);
    }

    /// The listener for a segment.
    pub(crate) fn find_listener(&mut self, tuple: &FourTuple, link: Option<LinkId>) -> Option<u32> {
        while let Some(index) = self.touched.pop() {
            if let Some(listener) = self.listener_at(index) {
                listener.touched = false;
                self.remove_listener(index);
                self.add_listener(index);
            }
        }
        self.listeners.find(tuple, link)
    }

    /// Notes that the options of a socket may change, which its place among listeners depends on.
    pub(crate) fn touch(&mut self, id: SocketId) {
        if let Ok(listener) = self.listener_mut(id)
            && !core::mem::replace(&mut listener.touched, true)
        {
            self.touched.push(id.index);
        }
    }

    /// Remembers a handshake, and with its listener that it is one of its.
    pub(crate) fn add_request(&mut self, request: Request) -> u32 {
        let listener = request.listener;
        let index = self.requests.insert(request);
        let place = self.listener_mut(listener).map_or(0, |listener| {
            listener.requests.push(index);
            listener.requests.len() - 1
        });
        if let Some(request) = self.requests.get_mut(index) {
            request.place = place as u32;
        }
        index
    }

    /// Takes a handshake out.
    pub(crate) fn remove_request(&mut self, index: u32) -> Option<Request> {
        let request = self.requests.remove(index)?;
        let place = request.place as usize;
        if let Ok(listener) = self.listener_mut(request.listener)
            && listener.requests.get(place) == Some(&index)
        {
            listener.requests.swap_remove(place);
            let moved = listener.requests.get(place).copied();
            if let Some(moved) = moved.and_then(|moved| self.requests.get_mut(moved)) {
                moved.place = request.place;
            }
        }
        self.forget(&request.tuple, Found::Request(index));
        Some(request)
    }

    /// A connection in TIME-WAIT keeps its port, on the terms of its socket (Linux
    /// `inet_twsk_hashdance`).
    pub(crate) fn hold_port_in_time_wait(&mut self, index: u32, request: &BindRequest) {
        self.ports.inherit(TIME_WAIT_OWNER | index, request);
    }

    pub(crate) fn release_port_of_time_wait(&mut self, index: u32, port: u16) {
        self.ports.unbind(TIME_WAIT_OWNER | index, port);
    }

    /// Lets segments come to a listener.
    pub(crate) fn add_listener(&mut self, index: u32) {
        let Some(listener) = self.listener_at(index) else { return };
        let key = (listener.addr, listener.port, listener.ip.bind_link);
        let place = self.listeners.add(key, index);
        if let Some(listener) = self.listener_at(index) {
            listener.group = Some((key, place));
        }
    }

    /// Lets no more segments come to a listener.
    pub(crate) fn remove_listener(&mut self, index: u32) {
        let group = self.listener_at(index).and_then(|listener| listener.group.take());
        let Some((key, place)) = group else { return };
        let moved = self.listeners.remove(&key, place);
        if let Some(moved) = moved.and_then(|moved| self.listener_at(moved)) {
            moved.group = Some((key, place));
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

    /// Makes the name of a socket that lives on invalid.
    pub(crate) fn retire_name(&mut self, id: SocketId) {
        if let Some(tcb) = self.tcb_at(id.index) {
            tcb.id.generation = tcb.id.generation.wrapping_add(1);
        }
    }

    /// Every socket, for tools that list them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketId, &TcpSocket)> {
        self.slots.iter().map(|socket| (socket.id(), socket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_no_larger_than_a_connection() {
        assert_eq!(size_of::<Slot>(), size_of::<Tcb>());
    }
}
