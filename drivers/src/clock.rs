//! The clock that a stack is told the time from: `CLOCK_MONOTONIC`.
//!
//! It goes on while the process is stopped, as it does for everybody who waits for it, but stands
//! while the whole machine is suspended. Linux's own TCP has its timers from jiffies, which stand
//! then, too, so connections outlive a suspension as they do there; with `CLOCK_BOOTTIME` all that
//! were being retransmitted would time out on waking up.

use rustix::time::{ClockId, Timespec, clock_gettime};
use tapping_stack::time::{Duration, Instant};

/// The monotonic clock, counted from when this was made. Copies agree with each other.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// What `CLOCK_MONOTONIC` said at the stack's origin, in nanoseconds.
    origin: u64,
}

impl Clock {
    /// A clock whose origin is now.
    pub fn new() -> Self {
        Clock { origin: monotonic() }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        Instant::from_nanos(monotonic().saturating_sub(self.origin))
    }

    /// A moment of this clock as `CLOCK_MONOTONIC` has it, for an absolute timer.
    pub(crate) fn timespec(&self, at: Instant) -> Timespec {
        let nanos = self.origin.saturating_add(at.as_nanos());
        Timespec { tv_sec: (nanos / 1_000_000_000) as i64, tv_nsec: (nanos % 1_000_000_000) as _ }
    }

    /// The wall clock: how long since 1970-01-01 00:00:00 UTC.
    pub fn wall() -> Duration {
        since_zero(clock_gettime(ClockId::Realtime))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

fn monotonic() -> u64 {
    since_zero(clock_gettime(ClockId::Monotonic)).as_nanos() as u64
}

/// Clocks before their origin count as at it.
fn since_zero(time: Timespec) -> Duration {
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}
