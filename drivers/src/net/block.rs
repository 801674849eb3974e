//! Waiting with a thread.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

/// Runs a future on the calling thread, which sleeps while it waits. On a driver's thread it would
/// wait for itself, for ever: there, spawn a task.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match wait(None, |cx| future.as_mut().poll(cx)) {
        Some(output) => output,
        None => unreachable!("without a deadline there is no end but the future's"),
    }
}

/// Polls until there is a result, or until `deadline`.
pub(crate) fn wait<R>(
    deadline: Option<Instant>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
) -> Option<R> {
    PARKER.with(|(parker, waker)| {
        let mut cx = Context::from_waker(waker);
        loop {
            if let Poll::Ready(result) = poll(&mut cx) {
                return Some(result);
            }
            while !parker.woken.swap(false, Ordering::Acquire) {
                match deadline {
                    None => thread::park(),
                    Some(deadline) => {
                        let left = deadline.saturating_duration_since(Instant::now());
                        if left.is_zero() {
                            return None;
                        }
                        thread::park_timeout(left);
                    }
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
