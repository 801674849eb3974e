//! A socket of a shard, and waiting for it.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker, ready};

use tapping_stack::socket::{Interest, Waiter};
use tapping_stack::time::Instant;
use tapping_stack::{SocketError, SocketId, Stack};

use super::executor::{poll_budget, spend_budget};
use super::shard::Shard;
use super::{Net, next_key};

/// The error of the standard library.
pub(crate) fn io_error(error: SocketError) -> io::Error {
    io::Error::from_raw_os_error(error.errno())
}

/// A socket, closed when dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    net: Net,
    shard: usize,
    id: SocketId,
}

impl Socket {
    /// Opens a socket on a shard.
    pub(crate) fn open(
        net: &Net,
        shard: usize,
        open: impl FnOnce(&mut Stack, Instant) -> Result<SocketId, SocketError>,
    ) -> io::Result<Self> {
        let id = net.shard(shard).open(open).map_err(io_error)?;
        Ok(Socket { net: net.clone(), shard, id })
    }

    /// What is to own a socket that was accepted.
    pub(crate) fn adopt(net: &Net, shard: usize, id: SocketId) -> Self {
        Socket { net: net.clone(), shard, id }
    }

    pub(crate) fn net(&self) -> &Net {
        &self.net
    }

    pub(crate) fn shard_index(&self) -> usize {
        self.shard
    }

    pub(crate) fn id(&self) -> SocketId {
        self.id
    }

    fn shard(&self) -> &Shard {
        self.net.shard(self.shard)
    }

    /// One operation, which does not wait.
    pub(crate) fn act<R>(
        &self,
        act: impl FnOnce(&mut Stack, Instant, SocketId) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        self.shard().operate(|stack, now| act(stack, now, self.id)).map_err(io_error)
    }

    /// As [`act`](Self::act), for what makes a connection.
    pub(crate) fn begin<R>(
        &self,
        act: impl FnOnce(&mut Stack, Instant, SocketId) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        self.shard().open(|stack, now| act(stack, now, self.id)).map_err(io_error)
    }

    /// An operation that waits while it would block.
    pub(crate) fn poll<R>(
        &self,
        wait: &mut Wait,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut Stack, Instant, SocketId) -> Result<R, SocketError>,
    ) -> Poll<io::Result<R>> {
        ready!(poll_budget(cx));
        // Wakers are dropped when the lock is free again.
        let (result, _dropped) = self.shard().act(|state, now| {
            if state.ended {
                return (Err(SocketError::NetworkDown), None);
            }
            match act(&mut state.stack, now, self.id) {
                Err(SocketError::WouldBlock) => {
                    let waiter = wait.waiter();
                    let registered =
                        state.stack.register_waiter(self.id, wait.interest, waiter, cx.waker());
                    match registered {
                        Ok(replaced) => {
                            wait.registered = true;
                            (Err(SocketError::WouldBlock), replaced)
                        }
                        Err(error) => (Err(error), None),
                    }
                }
                result => {
                    let dropped = wait.leave(&mut state.stack, self.id);
                    (result, dropped)
                }
            }
        });
        match result {
            Err(SocketError::WouldBlock) => Poll::Pending,
            result => {
                spend_budget();
                Poll::Ready(result.map_err(io_error))
            }
        }
    }

    /// As [`poll`](Self::poll), as a future. Dropped, it has done nothing.
    pub(crate) async fn wait<R>(
        &self,
        interest: Interest,
        mut act: impl FnMut(&mut Stack, Instant, SocketId) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        let mut waiting = Waiting::new(self, interest);
        poll_fn(|cx| self.poll(&mut waiting.wait, cx, &mut act)).await
    }

    /// Waits no more.
    pub(crate) fn leave(&self, wait: &mut Wait) {
        if wait.registered {
            let _dropped = self.shard().act(|state, _| wait.leave(&mut state.stack, self.id));
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // When the driver has ended there is nobody to tell, and nothing to free.
        let _ = self.shard().operate(|stack, now| stack.close(now, self.id));
    }
}

/// Somebody's place among those who wait for a socket.
#[derive(Debug)]
pub(crate) struct Wait {
    interest: Interest,
    /// Zero until there is need of one.
    key: u64,
    exclusive: bool,
    registered: bool,
}

impl Wait {
    /// For somebody that nobody else stands in for.
    pub(crate) fn new(interest: Interest) -> Self {
        Wait { interest, key: 0, exclusive: false, registered: false }
    }

    /// For one of many who all want the same, any of whom will do.
    pub(crate) fn exclusive(interest: Interest) -> Self {
        Wait { interest, key: 0, exclusive: true, registered: false }
    }

    /// The place that a socket has for the one that polls it.
    pub(crate) fn slot(interest: Interest, registered: bool) -> Self {
        Wait { interest, key: SLOT, exclusive: false, registered }
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.registered
    }

    fn waiter(&mut self) -> Waiter {
        if self.key == 0 {
            self.key = next_key();
        }
        Waiter { key: self.key, exclusive: self.exclusive }
    }

    /// Gives up the place. Who was woken for what others can have too, and takes it or not, lets
    /// the next look. Returns the waker.
    pub(crate) fn leave(&mut self, stack: &mut Stack, id: SocketId) -> Option<Waker> {
        if !std::mem::take(&mut self.registered) {
            return None;
        }
        let waker = stack.unregister_waiter(id, self.interest, self.key);
        if self.exclusive {
            stack.wake_next(id, self.interest);
        }
        waker
    }
}

/// The name of who polls a socket by its `poll_` functions. Others have theirs from [`next_key`].
pub(crate) const SLOT: u64 = 1;

/// Somebody who waits, and gives up their place when this is dropped.
pub(crate) struct Waiting<'a> {
    socket: &'a Socket,
    pub(crate) wait: Wait,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(socket: &'a Socket, interest: Interest) -> Self {
        Waiting { socket, wait: Wait::new(interest) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.socket.leave(&mut self.wait);
    }
}
