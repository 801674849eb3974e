//! Signals of the process, as something to await.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::{Shared, next_key};
use crate::runtime::Signals;

/// What was caught and not taken.
#[derive(Default)]
pub(crate) struct SignalBox(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    caught: Signals,
    waiting: BTreeMap<u64, Waker>,
}

impl SignalBox {
    /// Adds signals.
    pub(crate) fn put(&self, signals: Signals) {
        let mut inner = self.0.lock();
        inner.caught |= signals;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        waiting.into_values().for_each(Waker::wake);
    }

    /// Takes what was caught, if nobody waits for it.
    pub(crate) fn take_unawaited(&self) -> Option<Signals> {
        let mut inner = self.0.lock();
        if !inner.waiting.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut inner.caught)).filter(|caught| *caught != Signals::default())
    }
}

/// Completes with signals that were caught. Made by [`Net::signal`](super::Net::signal).
#[must_use = "futures do nothing unless they are polled"]
pub struct Signal {
    shared: Arc<Shared>,
    key: Option<u64>,
}

impl Signal {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Signal { shared, key: None }
    }
}

impl Future for Signal {
    type Output = Signals;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Signals> {
        let this = &mut *self;
        let waker = cx.waker().clone();
        let mut inner = this.shared.signals.0.lock();
        let caught = std::mem::take(&mut inner.caught);
        if caught != Signals::default() {
            drop(inner);
            return Poll::Ready(caught);
        }
        let key = *this.key.get_or_insert_with(next_key);
        let replaced = inner.waiting.insert(key, waker);
        drop(inner);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.shared.signals.0.lock().waiting.remove(&key);
            drop(waker);
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").finish_non_exhaustive()
    }
}
