//! One timer at a moment, precise to what the kernel's high-resolution timers give.
//!
//! epoll_wait(2) counts its timeout in milliseconds, too coarse for pacing, so a timerfd wakes it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tapping_stack::time::Instant;

use crate::clock::Clock;

#[derive(Debug)]
pub(crate) struct Timer {
    fd: OwnedFd,
    /// When it will fire.
    armed: Option<Instant>,
}

impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Timer { fd: timerfd_create(TimerfdClockId::Monotonic, flags)?, armed: None })
    }

    /// Makes it fire at `at` at the latest. One that fires before is left to, and armed anew then:
    /// most timers are put off before they are due, and each setting is a system call.
    pub(crate) fn arm(&mut self, clock: &Clock, at: Instant) -> io::Result<()> {
        if self.armed.is_some_and(|armed| armed <= at) {
            return Ok(());
        }
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let new = Itimerspec { it_interval: never, it_value: clock.timespec(at) };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &new)?;
        self.armed = Some(at);
        Ok(())
    }

    /// It has fired. What makes its descriptor readable goes with the next setting; an edge needs
    /// no reading.
    pub(crate) fn fired(&mut self) {
        self.armed = None;
    }
}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
