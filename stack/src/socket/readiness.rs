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
        /// An urgent byte has come (`POLLPRI`, RFC 6093).
        const PRIORITY = 32;
    }
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interest {
    /// To receive or to accept.
    Read,
    /// To send, or to be connected.
    Write,
    /// For an urgent byte.
    Priority,
}

impl Readiness {
    /// Whether who waits for `interest` need wait no more.
    pub fn satisfies(self, interest: Interest) -> bool {
        self.intersects(match interest {
            Interest::Read => Readiness::READABLE | Readiness::READ_CLOSED | Readiness::ERROR,
            Interest::Write => Readiness::WRITABLE | Readiness::WRITE_CLOSED | Readiness::ERROR,
            Interest::Priority => Readiness::PRIORITY | Readiness::READ_CLOSED | Readiness::ERROR,
        })
    }
}

/// Who waits for which socket. They are kept here and not in the sockets, most of which nobody
/// waits for at any moment.
#[derive(Debug)]
pub(crate) struct WakerTable {
    waiting: KeyedMap<(SocketId, Interest), Vec<Waker>>,
    /// Wakers in all lists.
    len: usize,
    max: usize,
}

impl WakerTable {
    /// A table for at most `max` wakers.
    pub(crate) fn new(max: usize, rng: &mut Rng) -> Self {
        let waiting = KeyedMap::with_hasher(KeyedHash::new(rng.key()));
        WakerTable { waiting, len: 0, max }
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
        let known = |list: &Vec<Waker>| list.iter().any(|other| other.will_wake(waker));
        if self.waiting.get(&(id, interest)).is_some_and(known) {
            return Ok(());
        }
        if self.len >= self.max {
            return Err(SocketError::OutOfMemory);
        }
        self.len += 1;
        self.waiting.entry((id, interest)).or_default().push(waker.clone());
        Ok(())
    }

    /// Whether anybody waits for anything.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.len > 0
    }

    /// Wakes and forgets who waits for this.
    #[inline]
    pub(crate) fn wake(&mut self, id: SocketId, interest: Interest) {
        if self.len > 0 {
            self.wake_waiting(id, interest);
        }
    }

    /// Wakes and forgets everybody who waits for the socket.
    #[inline]
    pub(crate) fn wake_all(&mut self, id: SocketId) {
        self.wake(id, Interest::Read);
        self.wake(id, Interest::Write);
        self.wake(id, Interest::Priority);
    }

    fn wake_waiting(&mut self, id: SocketId, interest: Interest) {
        let Some(list) = self.waiting.remove(&(id, interest)) else { return };
        self.len -= list.len();
        list.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
