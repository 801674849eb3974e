//! Waiting with a thread.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::driver::is_driver;

/// Runs a future on the calling thread, which sleeps while it waits. On a driver's thread it would
/// wait for itself: there, spawn a task.
///
/// # Panics
/// On a thread that drives a [`Net`](super::Net).
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    assert!(!is_driver(), "a thread that drives a Net cannot wait for it: spawn a task");
    match wait(None, |cx| future.as_mut().poll(cx)) {
        Ok(output) => output,
        Err(TimedOut) => unreachable!("there is no limit"),
    }
}

/// The limit was over first.
pub(crate) struct TimedOut;

/// Polls until there is a result, no longer than `limit`.
pub(crate) fn wait<R>(
    limit: Option<Duration>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
) -> Result<R, TimedOut> {
    let mut deadline = None;
    PARKER.with(|(parker, waker)| {
        let mut cx = Context::from_waker(waker);
        loop {
            if let Poll::Ready(result) = poll(&mut cx) {
                return Ok(result);
            }
            while !parker.woken.swap(false, Ordering::Acquire) {
                let Some(limit) = limit else {
                    thread::park();
                    continue;
                };
                let now = Instant::now();
                // One that is too far away to be told is none.
                let deadline = *deadline.get_or_insert_with(|| now.checked_add(limit));
                match deadline.map(|deadline| deadline.saturating_duration_since(now)) {
                    None => thread::park(),
                    Some(Duration::ZERO) => return Err(TimedOut),
                    Some(left) => thread::park_timeout(left),
                }
            }
        }
    })
}

/// Wakes a thread.
struct Parker {
    thread: Thread,
    /// Others may unpark the thread for reasons of their own.
    woken: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}

thread_local! {
    static PARKER: (Arc<Parker>, Waker) = {
        let woken = AtomicBool::new(false);
        let parker = Arc::new(Parker { thread: thread::current(), woken });
        let waker = Waker::from(Arc::clone(&parker));
        (parker, waker)
    };
}
