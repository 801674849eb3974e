//! What a socket is ready for, and who waits for it.

use alloc::vec::Vec;
use core::task::Waker;

use super::{SocketError, SocketId};
use crate::rng::{KeyedHash, KeyedMap, Rng};

bitflags::bitflags! {
    /// What would not have to wait (poll(2)).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Readiness: u8 {
        /// Receiving, or accepting, returns something: data, an end or an error.
        const READABLE = 1;
        /// Sending takes something, or returns an error.
        const WRITABLE = 2;
        /// The peer sends no more, or receiving was shut down.
        const READ_CLOSED = 4;
        /// The peer takes no more, or sending was shut down.
        const WRITE_CLOSED = 8;
        /// An error waits to be told.
        const ERROR = 16;
    }
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interest {
    /// To receive or to accept.
    Read,
    /// To send, or to be connected.
    Write,
}

impl Readiness {
    /// Whether who waits for `interest` need wait no more.
    pub fn satisfies(self, interest: Interest) -> bool {
        self.intersects(match interest {
            Interest::Read => Readiness::READABLE | Readiness::READ_CLOSED | Readiness::ERROR,
            Interest::Write => Readiness::WRITABLE | Readiness::WRITE_CLOSED | Readiness::ERROR,
        })
    }
}

/// Somebody who waits under a name of their own, so that they can be told apart: who registers again
/// takes the place of their old waker, whatever thread or task it was for, and who waits no more can
/// be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Waiter {
    /// The name, one's own among all that wait for the socket and the same interest.
    pub key: u64,
    /// Of those who say so only one, who has waited longest, is woken at a time (`EPOLLEXCLUSIVE`,
    /// epoll_ctl(2)): what has come is for one of them. Who is woken and finds more, or does not
    /// take it, passes it on with [`Stack::wake_next`](crate::Stack::wake_next).
    pub exclusive: bool,
}

/// Who waits for which socket. They are kept here and not in the sockets, most of which nobody
/// waits for at any moment.
#[derive(Debug)]
pub(crate) struct WakerTable {
    waiting: KeyedMap<(SocketId, Interest), Vec<Entry>>,
    /// Wakers in all lists.
    len: usize,
    max: usize,
    /// Sockets of which somebody waits for room in the links' queues.
    awaiting_room: KeyedMap<SocketId, ()>,
    /// Empty, and kept for its memory.
    room_made: Vec<SocketId>,
    /// Lists that are empty, kept for their memory.
    spare: Vec<Vec<Entry>>,
    /// What was to be woken, when it is put off.
    woken: Vec<Waker>,
    deferred: bool,
}

#[derive(Debug)]
struct Entry {
    waiter: Option<Waiter>,
    waker: Waker,
}

/// Empty lists that are kept.
const MAX_SPARE: usize = 64;

impl WakerTable {
    /// A table for at most `max` wakers.
    pub(crate) fn new(max: usize, rng: &mut Rng) -> Self {
        let key = rng.key();
        WakerTable {
            waiting: KeyedMap::with_hasher(KeyedHash::new(key)),
            awaiting_room: KeyedMap::with_hasher(KeyedHash::new(key)),
            room_made: Vec::new(),
            len: 0,
            max,
            spare: Vec::new(),
            woken: Vec::new(),
            deferred: false,
        }
    }

    /// Remembers a waker, once.
    ///
    /// # Errors
    /// `OutOfMemory`: there are too many.
    pub(crate) fn register(
        &mut self,
        id: SocketId,
        interest: Interest,
        waker: &Waker,
    ) -> Result<(), SocketError> {
        let known = |list: &Vec<Entry>| {
            list.iter().any(|entry| entry.waiter.is_none() && entry.waker.will_wake(waker))
        };
        if self.waiting.get(&(id, interest)).is_some_and(known) {
            return Ok(());
        }
        self.insert(id, interest, None, waker)
    }

    /// Remembers who waits. Returns the waker of the same name that it takes the place of.
    ///
    /// # Errors
    /// `OutOfMemory`: there are too many.
    pub(crate) fn register_waiter(
        &mut self,
        id: SocketId,
        interest: Interest,
        waiter: Waiter,
        waker: &Waker,
    ) -> Result<Option<Waker>, SocketError> {
        let list = self.waiting.get_mut(&(id, interest));
        if let Some(entry) = list.and_then(|list| find(list, waiter.key)) {
            if entry.waker.will_wake(waker) {
                return Ok(None);
            }
            return Ok(Some(core::mem::replace(&mut entry.waker, waker.clone())));
        }
        self.insert(id, interest, Some(waiter), waker).map(|()| None)
    }

    fn insert(
        &mut self,
        id: SocketId,
        interest: Interest,
        waiter: Option<Waiter>,
        waker: &Waker,
    ) -> Result<(), SocketError> {
        if self.len >= self.max {
            return Err(SocketError::OutOfMemory);
        }
        self.len += 1;
        let spare = &mut self.spare;
        let list = self.waiting.entry((id, interest));
        let list = list.or_insert_with(|| spare.pop().unwrap_or_default());
        list.push(Entry { waiter, waker: waker.clone() });
        Ok(())
    }

    /// Forgets who waits under this name; `None` when there is nobody, as when they were woken.
    pub(crate) fn unregister_waiter(
        &mut self,
        id: SocketId,
        interest: Interest,
        key: u64,
    ) -> Option<Waker> {
        let list = self.waiting.get_mut(&(id, interest))?;
        let at = list.iter().position(|entry| entry.is(key))?;
        let entry = list.remove(at);
        let is_empty = list.is_empty();
        self.len -= 1;
        if is_empty {
            self.remove(id, interest);
        }
        Some(entry.waker)
    }

    /// From now on wakers are kept for [`take_woken`](Self::take_woken) instead of being woken.
    pub(crate) fn set_deferred(&mut self, deferred: bool) {
        self.deferred = deferred;
    }

    /// Moves the wakers that are to be woken to `woken`.
    #[inline]
    pub(crate) fn take_woken(&mut self, woken: &mut Vec<Waker>) {
        if self.woken.is_empty() {
            return;
        }
        if woken.is_empty() {
            core::mem::swap(woken, &mut self.woken);
        } else {
            woken.append(&mut self.woken);
        }
    }

    /// Whether anybody waits for anything.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.len > 0
    }

    /// Wakes and forgets who waits for this: everybody but those who said that one of them is
    /// enough, and one of these.
    #[inline]
    pub(crate) fn wake(&mut self, id: SocketId, interest: Interest) {
        if self.len > 0 {
            self.wake_waiting(id, interest, false);
        }
    }

    /// Wakes and forgets everybody who waits for the socket.
    #[inline]
    pub(crate) fn wake_all(&mut self, id: SocketId) {
        if self.len > 0 {
            self.wake_waiting(id, Interest::Read, true);
            self.wake_waiting(id, Interest::Write, true);
        }
    }

    /// Whoever waits to write to the socket waits for room.
    pub(crate) fn await_room(&mut self, id: SocketId) {
        self.awaiting_room.insert(id, ());
    }

    /// Whether anybody waits for room.
    #[inline]
    pub(crate) fn awaits_room(&self) -> bool {
        !self.awaiting_room.is_empty()
    }

    /// Wakes who waits for room.
    pub(crate) fn make_room(&mut self) {
        let mut sockets = core::mem::take(&mut self.room_made);
        sockets.extend(self.awaiting_room.drain().map(|(id, ())| id));
        for id in sockets.drain(..) {
            self.wake(id, Interest::Write);
        }
        self.room_made = sockets;
    }

    /// Wakes and forgets everybody.
    pub(crate) fn wake_everybody(&mut self) {
        self.len = 0;
        let (waiting, woken) = (self.waiting.drain(), &mut self.woken);
        woken.extend(waiting.flat_map(|(_, list)| list).map(|entry| entry.waker));
        if !self.deferred {
            woken.drain(..).for_each(Waker::wake);
        }
    }

    /// Wakes and forgets one of those who said that one is enough.
    pub(crate) fn wake_next(&mut self, id: SocketId, interest: Interest) {
        let Some(list) = self.waiting.get_mut(&(id, interest)) else { return };
        let Some(at) = list.iter().position(Entry::is_exclusive) else { return };
        let entry = list.remove(at);
        let is_empty = list.is_empty();
        self.len -= 1;
        if is_empty {
            self.remove(id, interest);
        }
        self.wake_one(entry.waker);
    }

    fn wake_waiting(&mut self, id: SocketId, interest: Interest, everybody: bool) {
        let Some(list) = self.waiting.get_mut(&(id, interest)) else { return };
        let mut list = core::mem::take(list);
        let before = list.len();
        let mut exclusive_woken = false;
        let woken = list.extract_if(.., |entry| {
            everybody || !entry.is_exclusive() || !core::mem::replace(&mut exclusive_woken, true)
        });
        match self.deferred {
            true => self.woken.extend(woken.map(|entry| entry.waker)),
            false => woken.for_each(|entry| entry.waker.wake()),
        }
        self.len -= before - list.len();
        match (list.is_empty(), self.waiting.get_mut(&(id, interest))) {
            (false, Some(slot)) => *slot = list,
            _ => {
                self.waiting.remove(&(id, interest));
                self.keep(list);
            }
        }
    }

    fn wake_one(&mut self, waker: Waker) {
        match self.deferred {
            true => self.woken.push(waker),
            false => waker.wake(),
        }
    }

    /// Takes out an empty list.
    fn remove(&mut self, id: SocketId, interest: Interest) {
        if let Some(list) = self.waiting.remove(&(id, interest)) {
            self.keep(list);
        }
    }

    fn keep(&mut self, list: Vec<Entry>) {
        if self.spare.len() < MAX_SPARE && list.is_empty() {
            self.spare.push(list);
        }
    }
}

impl Entry {
    fn is(&self, key: u64) -> bool {
        self.waiter.is_some_and(|waiter| waiter.key == key)
    }

    fn is_exclusive(&self) -> bool {
        self.waiter.is_some_and(|waiter| waiter.exclusive)
    }
}

fn find(list: &mut [Entry], key: u64) -> Option<&mut Entry> {
    list.iter_mut().find(|entry| entry.is(key))
}

#[cfg(test)]
mod tests;
