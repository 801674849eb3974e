//! Waiting for a time.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tapping_stack::time::Instant;

use super::{Shared, next_key};

/// Who waits for which time.
#[derive(Default)]
pub(crate) struct Timers(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<(Instant, u64), Waker>,
    closed: bool,
}

impl Timers {
    /// The earliest time that somebody waits for.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.lock().waiting.keys().next().map(|(at, _)| *at)
    }

    /// Moves who has waited until `now` to `woken`.
    pub(crate) fn take_due(&self, now: Instant, woken: &mut Vec<Waker>) {
        let mut queue = self.0.lock();
        while let Some(first) = queue.waiting.first_entry() {
            if first.key().0 > now {
                break;
            }
            woken.push(first.remove());
        }
    }

    /// Nobody waits any more: whoever does is moved to `woken`, whoever wants to is done.
    pub(crate) fn close(&self, woken: &mut Vec<Waker>) {
        let mut queue = self.0.lock();
        queue.closed = true;
        woken.extend(std::mem::take(&mut queue.waiting).into_values());
    }
}

/// Completes at a time. Made by [`Net::sleep`](super::Net::sleep).
#[must_use = "futures do nothing unless they are polled"]
pub struct Sleep {
    shared: Arc<Shared>,
    shard: usize,
    at: Instant,
    key: Option<u64>,
}

impl Sleep {
    pub(super) fn new(shared: Arc<Shared>, shard: usize, at: Instant) -> Self {
        Sleep { shared, shard, at, key: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let shard = &this.shared.shards[this.shard];
        if shard.clock().now() >= this.at {
            return Poll::Ready(());
        }
        let key = *this.key.get_or_insert_with(next_key);
        let waker = cx.waker().clone();
        let mut queue = shard.timers.0.lock();
        if queue.closed {
            return Poll::Ready(());
        }
        let replaced = queue.waiting.insert((this.at, key), waker);
        let is_first = queue.waiting.keys().next() == Some(&(this.at, key));
        drop(queue);
        if is_first && replaced.is_none() {
            shard.ring();
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let timers = &self.shared.shards[self.shard].timers;
            let waker = timers.0.lock().waiting.remove(&(self.at, key));
            // Not with the lock: this may drop a task.
            drop(waker);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("at", &self.at).finish_non_exhaustive()
    }
}

/// The time of a [`Net::timeout`](super::Net::timeout) was over first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}
