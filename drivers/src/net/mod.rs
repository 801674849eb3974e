//! Stacks that run by themselves, for programs that use sockets.
//!
//! A [`Net`] is a handle to a stack, its devices and the thread that drives them; clones are cheap
//! and name the same. Sockets are in [`blocking`](crate::blocking), shaped like those of `std::net`,
//! and in [`aio`](crate::aio), shaped like tokio's.
//!
//! ```text
//!   user's threads          socket ──► lock ──► Stack ──► unlock ──► ring, if the driver sleeps
//!                                                 ▲
//!   driver's thread   devices ─► frames ─► lock ──┴─► frames ─► unlock ─► devices
//!                                                 └─► wakers ─► tasks
//! ```
//! An operation of a socket calls the stack in the caller's own thread, and takes no system call
//! while the driver is awake. The driver reads a batch of frames, has the stack handle it, which is
//! what the lock is for, and writes what the stack has to send; it does not hold the lock while it
//! makes a system call. A driver that sleeps is rung once, by whoever leaves work for it first.
//!
//! Tasks ([`Net::spawn`]) run on the driver's thread, between two batches; a server made of such
//! tasks has no hand-over between threads at all. But the same sockets work in any executor, and in
//! threads.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tapping_stack::Stack;
use tapping_stack::time::Instant;

mod block;
mod builder;
mod doorbell;
mod driver;
mod ending;
mod executor;
mod shard;
mod signals;
pub(crate) mod socket;
mod timers;

/// What the model of the hand-over replaces.
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
}

pub use block::block_on;
pub(crate) use block::{TimedOut, wait};
pub use builder::Builder;
pub use driver::{Driver, Finished};
pub use ending::Shutdown;
pub use executor::{JoinError, JoinHandle};
pub use signals::Signal;
pub use timers::{Elapsed, Sleep};

use ending::Ended;
use shard::Shard;
use signals::SignalBox;

use crate::clock::Clock;

/// A name for somebody who waits; nobody else has it.
pub(crate) fn next_key() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(socket::SLOT + 1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Stacks with devices, and sockets on them. See the [module](self).
///
/// When the last handle is gone, and the last socket, connections are reset and the driver ends.
#[derive(Clone)]
pub struct Net(Arc<Handle>);

/// What users hold; the drivers and tasks hold only what is in it.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.end(shard::Ending::Abort);
    }
}

/// What all have a part in.
pub(crate) struct Shared {
    clock: Clock,
    shards: Box<[Shard]>,
    signals: SignalBox,
    ended: Ended,
    /// The shard that the next socket is opened on.
    next_shard: AtomicUsize,
}

impl Shared {
    fn end(&self, ending: shard::Ending) {
        for shard in &self.shards {
            shard.act(|state, _| {
                // An abort may cut a drain short, not the other way round.
                if state.ending != Some(shard::Ending::Abort) {
                    state.ending = Some(ending);
                }
            });
        }
    }
}

impl Net {
    /// For a stack yet to be made.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The clock of its stacks.
    pub fn clock(&self) -> Clock {
        self.0.0.clock
    }

    /// How many stacks there are, one for each queue of its device.
    pub fn shards(&self) -> usize {
        self.0.0.shards.len()
    }

    /// Does something with the stack, of several the first, in the calling thread, which has it to
    /// itself meanwhile. What `act` does must not use sockets of this `Net`, nor itself: it would
    /// wait for itself.
    pub fn with<R>(&self, act: impl FnOnce(&mut Stack, Instant) -> R) -> R {
        self.with_shard(0, act)
    }

    /// As [`with`](Self::with), with one of several.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn with_shard<R>(&self, index: usize, act: impl FnOnce(&mut Stack, Instant) -> R) -> R {
        self.shard(index).run(act)
    }

    /// Starts a task on the driver's thread, of several the first's. A panic in it is its own:
    /// [`JoinHandle`] tells of it. It ends with its driver at the latest; a task with a socket, or
    /// another handle, keeps that from ending as long as nobody calls [`shutdown`](Self::shutdown).
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_on(0, future)
    }

    /// As [`spawn`](Self::spawn), on the thread of one of several stacks: the one whose sockets the
    /// task uses.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn spawn_on<F>(&self, shard: usize, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        assert!(shard < self.shards(), "there are {} shards", self.shards());
        executor::spawn(&self.0.0, shard, future)
    }

    /// Completes after this long, or when the driver has ended.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let shard = self.here().unwrap_or(0);
        Sleep::new(Arc::clone(&self.0.0), shard, self.clock().now() + duration)
    }

    /// The future, unless it takes longer than this; then it is dropped.
    pub fn timeout<F: Future>(
        &self,
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Elapsed>> + use<F> {
        let mut sleep = self.sleep(duration);
        async move {
            let mut future = pin!(future);
            poll_fn(|cx| {
                if let Poll::Ready(output) = future.as_mut().poll(cx) {
                    return Poll::Ready(Ok(output));
                }
                pin!(&mut sleep).poll(cx).map(|()| Err(Elapsed))
            })
            .await
        }
    }

    /// Waits for a signal that was caught ([`Builder::catch_signals`]), and takes it. Of several
    /// who wait, one gets it.
    pub fn signal(&self) -> Signal {
        Signal::new(Arc::clone(&self.0.0))
    }

    /// Ends the stacks and their drivers, and with them all tasks; see [`Shutdown`] for how. This
    /// asks for it and does not wait: [`ended`](Self::ended) does. No new sockets can be had from
    /// now on, and once it has ended all that sockets do fails, with `ENETDOWN`
    /// ([`NetworkDown`](io::ErrorKind::NetworkDown)).
    pub fn shutdown(&self, how: Shutdown) {
        self.0.0.end(match how {
            Shutdown::Drain(limit) => shard::Ending::Drain(self.clock().now() + limit),
            Shutdown::Abort => shard::Ending::Abort,
        });
    }

    /// Waits until the drivers have ended.
    ///
    /// # Errors
    /// What ended one that was not asked to: polling its devices failed.
    pub async fn ended(&self) -> io::Result<()> {
        self.0.0.ended.wait().await
    }

    /// Blocks the calling thread, which must not be a driver's, until the drivers have ended.
    ///
    /// # Errors
    /// Those of [`ended`](Self::ended).
    pub fn join(&self) -> io::Result<()> {
        block_on(self.ended())
    }

    /// How often a driver that slept was rung.
    pub fn rings(&self) -> u64 {
        self.0.0.shards.iter().map(|shard| shard.bell().rings()).sum()
    }

    pub(crate) fn shard(&self, index: usize) -> &Shard {
        &self.0.0.shards[index]
    }

    /// The shard whose driver the calling thread is.
    pub(crate) fn here(&self) -> Option<usize> {
        driver::current(&self.0.0)
    }

    /// The shard that a new socket is to be on: the one that drives the caller, or each in turn.
    pub(crate) fn choose_shard(&self) -> usize {
        match (self.shards(), self.here()) {
            (1, _) => 0,
            (_, Some(here)) => here,
            (count, None) => self.0.0.next_shard.fetch_add(1, Ordering::Relaxed) % count,
        }
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("shards", &self.shards()).finish_non_exhaustive()
    }
}
