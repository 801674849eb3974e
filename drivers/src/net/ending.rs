//! The end of a [`Net`](super::Net).

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tapping_stack::time::Instant;
use tapping_stack::{Shutdown as Half, SocketId, Stack, TcpState};

use super::next_key;

/// How to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Listeners close at once. What was written to connections is still sent and then they are
    /// closed for writing; what peers send can still be received. It has ended when no connection
    /// is left, and what is left after this long is reset.
    Drain(Duration),
    /// Every connection is reset.
    Abort,
}

/// Between two looks at whether a drain is done.
pub(super) const DRAIN_INTERVAL: Duration = Duration::from_millis(5);

/// Lets go of everything in a way that peers understand.
pub(super) fn begin_drain(stack: &mut Stack, now: Instant) {
    for (id, state) in sockets(stack) {
        let half = if state == TcpState::Listen { Half::Read } else { Half::Write };
        // What is not connected any more needs no end.
        let _ = stack.shutdown(now, id, half);
    }
}

/// Whether no connection is left that has something to say to its peer, or to hear.
pub(super) fn is_drained(stack: &Stack) -> bool {
    let is_gone = |state| matches!(state, TcpState::Closed | TcpState::Listen | TcpState::TimeWait);
    stack.tcp_sockets().all(|(_, state)| is_gone(state))
}

/// Resets every connection.
pub(super) fn abort(stack: &mut Stack, now: Instant) {
    for (id, _) in sockets(stack) {
        let _ = stack.abort(now, id);
    }
}

fn sockets(stack: &Stack) -> Vec<(SocketId, TcpState)> {
    stack.tcp_sockets().collect()
}

/// How many drivers run, and who waits for their end.
pub(super) struct Ended(Mutex<Inner>);

struct Inner {
    running: usize,
    error: Option<(io::ErrorKind, Option<i32>)>,
    waiting: BTreeMap<u64, Waker>,
}

impl Ended {
    pub(super) fn new(drivers: usize) -> Self {
        Ended(Mutex::new(Inner { running: drivers, error: None, waiting: BTreeMap::new() }))
    }

    /// A driver has ended.
    pub(super) fn end(&self, result: &io::Result<()>) {
        let mut inner = self.0.lock();
        inner.running -= 1;
        if let Err(error) = result {
            inner.error = Some((error.kind(), error.raw_os_error()));
        }
        let waiting =
            if inner.running == 0 { std::mem::take(&mut inner.waiting) } else { BTreeMap::new() };
        drop(inner);
        waiting.into_values().for_each(Waker::wake);
    }

    pub(super) async fn wait(&self) -> io::Result<()> {
        struct Place<'a>(&'a Ended, u64);
        impl Drop for Place<'_> {
            fn drop(&mut self) {
                let waker = self.0.0.lock().waiting.remove(&self.1);
                drop(waker);
            }
        }
        let place = Place(self, next_key());
        poll_fn(|cx| {
            let waker = cx.waker().clone();
            let mut inner = self.0.lock();
            if inner.running > 0 {
                let replaced = inner.waiting.insert(place.1, waker);
                drop(inner);
                drop(replaced);
                return Poll::Pending;
            }
            Poll::Ready(match inner.error {
                None => Ok(()),
                Some((_, Some(errno))) => Err(io::Error::from_raw_os_error(errno)),
                Some((kind, None)) => Err(kind.into()),
            })
        })
        .await
    }
}
