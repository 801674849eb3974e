//! How whoever leaves work for a driver ends its sleep: once, however many leave some.
//!
//! Work is left in places that have a lock each: the stack, the run queue, the timers. The rules:
//!
//! - The driver [says](Doorbell::lie_down) that it sleeps, and only then looks into each place, with
//!   its lock held, a last time. It sleeps if all are empty.
//! - Who leaves work does so with the place's lock held, and [rings](Doorbell::ring) after that.
//!
//! Of two who hold the same lock one comes first. If that is the driver, its word that it sleeps is
//! seen by the other, who rings; if not, the driver sees the work, and does not sleep. Whoever rings
//! takes the word back, so that the next finds the driver awake and does not ring.

use super::sync::{AtomicBool, AtomicU64, Ordering};

/// The word that a driver sleeps.
#[derive(Debug, Default)]
pub(crate) struct Doorbell {
    asleep: AtomicBool,
    rings: AtomicU64,
}

impl Doorbell {
    /// The driver is about to sleep, unless it still finds work.
    pub(crate) fn lie_down(&self) {
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// The driver is awake, whatever woke it.
    pub(crate) fn get_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Whether the driver sleeps, or is about to. With the lock of a place held this tells whether
    /// what is left there needs a ring.
    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::SeqCst)
    }

    /// Calls `wake` if the driver sleeps and nobody has called it yet.
    pub(crate) fn ring(&self, wake: impl FnOnce()) {
        if self.is_asleep() && self.asleep.swap(false, Ordering::SeqCst) {
            self.rings.fetch_add(1, Ordering::Relaxed);
            wake();
        }
    }

    /// How often somebody rang.
    pub(crate) fn rings(&self) -> u64 {
        self.rings.load(Ordering::Relaxed)
    }
}
