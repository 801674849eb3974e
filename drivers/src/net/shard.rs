//! A stack that threads share, and how they hand work to the thread that drives it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::{Mutex, MutexGuard};
use tapping_stack::time::Instant;
use tapping_stack::{SocketError, Stack};

use super::doorbell::Doorbell;
use super::executor::Executor;
use super::timers::Timers;
use crate::clock::Clock;

/// One stack and what belongs to its driver that others may touch.
pub(crate) struct Shard {
    pub(crate) executor: Executor,
    pub(crate) timers: Timers,
    state: Mutex<State>,
    bell: Doorbell,
    /// Ends the driver's sleep.
    waker: mio::Waker,
    /// The driver waits for the lock: whoever has it hands it over instead of taking it again.
    driver_waits: AtomicBool,
    clock: Clock,
}

/// What the lock guards.
pub(crate) struct State {
    pub(crate) stack: Stack,
    /// Somebody asked for the end.
    pub(crate) ending: Option<Ending>,
    /// The driver is gone: nothing will ever happen again.
    pub(crate) ended: bool,
    /// What the driver knew when it went to sleep.
    pub(crate) sleep: Sleep,
}

/// How a stack is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// When its connections have ended, or at this time.
    Drain(Instant),
    /// Now.
    Abort,
}

/// What a sleeping driver waits for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sleep {
    /// The timer that ends the sleep.
    pub(crate) until: Option<Instant>,
    /// Frames that no device has room for.
    pub(crate) backlog: usize,
}

impl State {
    /// Whether a sleeping driver has to get up for what somebody did.
    fn needs_driver(&self) -> bool {
        self.ending.is_some()
            || self.stack.transmit_backlog() > self.sleep.backlog
            || self
                .stack
                .poll_timeout()
                .is_some_and(|at| self.sleep.until.is_none_or(|until| at < until))
    }
}

impl Shard {
    pub(crate) fn new(mut stack: Stack, clock: Clock, waker: mio::Waker) -> Self {
        stack.set_deferred_wakers(true);
        let state = State { stack, ending: None, ended: false, sleep: Sleep::default() };
        Shard {
            executor: Executor::default(),
            timers: Timers::default(),
            state: Mutex::new(state),
            bell: Doorbell::default(),
            waker,
            driver_waits: AtomicBool::new(false),
            clock,
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn bell(&self) -> &Doorbell {
        &self.bell
    }

    /// Does something with the stack in the calling thread. What `act` is must not run code of
    /// users, and must not panic.
    pub(crate) fn act<R>(&self, act: impl FnOnce(&mut State, Instant) -> R) -> R {
        let mut state = self.state.lock();
        let result = act(&mut state, self.clock.now());
        self.leave(state);
        result
    }

    /// As [`act`](Self::act), for users' code. The lock is not held any more when it panics.
    pub(crate) fn run<R>(&self, act: impl FnOnce(&mut Stack, Instant) -> R) -> R {
        let run =
            |state: &mut State, now| catch_unwind(AssertUnwindSafe(|| act(&mut state.stack, now)));
        self.act(run).unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// An operation of a socket: fails when the driver has ended.
    pub(crate) fn operate<R>(
        &self,
        act: impl FnOnce(&mut Stack, Instant) -> Result<R, SocketError>,
    ) -> Result<R, SocketError> {
        self.act(|state, now| match state.ended {
            true => Err(SocketError::NetworkDown),
            false => act(&mut state.stack, now),
        })
    }

    /// As [`operate`](Self::operate), for what makes sockets or connections: fails from when the end
    /// is asked for.
    pub(crate) fn open<R>(
        &self,
        act: impl FnOnce(&mut Stack, Instant) -> Result<R, SocketError>,
    ) -> Result<R, SocketError> {
        self.act(|state, now| match state.ended || state.ending.is_some() {
            true => Err(SocketError::NetworkDown),
            false => act(&mut state.stack, now),
        })
    }

    /// The lock, for the driver.
    pub(crate) fn lock_for_driver(&self) -> MutexGuard<'_, State> {
        if let Some(state) = self.state.try_lock() {
            return state;
        }
        self.driver_waits.store(true, Ordering::Relaxed);
        let state = self.state.lock();
        self.driver_waits.store(false, Ordering::Relaxed);
        state
    }

    /// Gives up the lock; rings, and wakes who is to be woken, without it.
    fn leave(&self, mut state: MutexGuard<'_, State>) {
        let mut woken = Vec::new();
        state.stack.take_woken(&mut woken);
        let ring = self.bell.is_asleep() && state.needs_driver();
        if self.driver_waits.load(Ordering::Relaxed) {
            MutexGuard::unlock_fair(state);
        } else {
            drop(state);
        }
        if ring {
            self.ring();
        }
        woken.into_iter().for_each(Waker::wake);
    }

    /// Ends the driver's sleep, if it sleeps.
    pub(crate) fn ring(&self) {
        self.bell.ring(|| {
            // An eventfd that cannot be written to is full, and then it rings already.
            let _ = self.waker.wake();
        });
    }
}
