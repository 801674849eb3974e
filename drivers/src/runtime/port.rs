//! A device on a stack's link, as the loop sees it.

use std::fmt;
use std::io;
use std::os::fd::RawFd;

use mio::Interest;
use tapping_stack::time::Instant;
use tapping_stack::{LinkId, Packet, Stack};

use super::{NewInterest, TRANSMIT_BUDGET};
use crate::clock::Clock;
use crate::device::Device;

/// A device that fails this often without a frame in between counts as gone.
const MAX_ERRORS: u32 = 16;

/// What passed a device, and what went wrong.
#[derive(Debug, Default)]
pub struct PortStats {
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub transmitted: u64,
    /// Frames that the device dropped for being longer than it can take.
    pub truncated: u64,
    /// Times that receiving failed.
    pub receive_errors: u64,
    /// Frames lost because sending them failed.
    pub transmit_errors: u64,
    /// Times that the device had no room.
    pub blocked: u64,
    /// The latest error.
    pub last_error: Option<io::Error>,
}

pub(super) struct Port {
    stack: usize,
    link: LinkId,
    /// None once detached.
    device: Option<Box<dyn Device>>,
    open: bool,
    /// There may be something to receive. Cleared when there was nothing; set by an event.
    readable: bool,
    /// Frames that were received and not handled; empty between two calls.
    batch: Vec<Packet>,
    /// The frame that the device had no room for.
    pending: Option<Packet>,
    /// The device has no room and an event will tell when it has.
    blocked: bool,
    /// The budget ended before the stack's queue did.
    more: bool,
    /// What the descriptor is registered for.
    awaits_room: bool,
    /// Errors since the last frame.
    errors: u32,
    stats: PortStats,
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("stack", &self.stack)
            .field("link", &self.link)
            .field("open", &self.open)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl Port {
    pub(super) fn new(stack: usize, link: LinkId, device: Box<dyn Device>) -> Self {
        Port {
            stack,
            link,
            device: Some(device),
            open: true,
            // What came before it was registered makes no edge.
            readable: true,
            batch: Vec::new(),
            pending: None,
            blocked: false,
            more: false,
            awaits_room: false,
            errors: 0,
            stats: PortStats::default(),
        }
    }

    pub(super) fn is(&self, stack: usize, link: LinkId) -> bool {
        !self.is_detached() && self.stack == stack && self.link == link
    }

    pub(super) fn is_detached(&self) -> bool {
        self.device.is_none()
    }

    pub(super) fn stack(&self) -> usize {
        self.stack
    }

    pub(super) fn link(&self) -> LinkId {
        self.link
    }

    pub(super) fn device(&self) -> Option<&dyn Device> {
        self.device.as_deref()
    }

    pub(super) fn stats(&self) -> &PortStats {
        &self.stats
    }

    pub(super) fn raw_fd(&self) -> Option<RawFd> {
        self.device.as_ref()?.raw_fd()
    }

    /// An event came for the descriptor.
    pub(super) fn ready(&mut self) {
        self.readable = true;
        self.blocked = false;
    }

    pub(super) fn may_receive(&self) -> bool {
        self.open && (self.readable || self.raw_fd().is_none())
    }

    /// Whether there is something to do without waiting for an event.
    pub(super) fn has_more(&self) -> bool {
        self.open && (self.more || (self.readable && self.raw_fd().is_some()))
    }

    /// Receives at most `limit` frames into the stack, which gets them as one batch.
    pub(super) fn receive(&mut self, clock: &Clock, stack: &mut Stack, limit: usize) -> usize {
        let Some(device) = &mut self.device else { return 0 };
        while self.batch.len() < limit {
            let result = device.receive(stack.pool());
            self.stats.truncated = device.truncated();
            match result {
                Ok(Some(packet)) => {
                    self.errors = 0;
                    self.stats.received += 1;
                    self.batch.push(packet);
                }
                Ok(None) => {
                    self.readable = false;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => break,
                Err(error) => {
                    self.errors += 1;
                    self.stats.receive_errors += 1;
                    self.stats.last_error = Some(error);
                    break;
                }
            }
        }
        let count = self.batch.len();
        if count > 0 {
            // Read anew: the answer to a frame can be there before its write returns, and a time
            // from before that would make it look too quick.
            stack.handle_frames(clock.now(), self.link, self.batch.drain(..));
        }
        count
    }

    /// Sends what the stack has for the link, as far as the device has room.
    pub(super) fn transmit(&mut self, now: Instant, stack: &mut Stack) -> usize {
        let Some(device) = &mut self.device else { return 0 };
        let waits = self.blocked && device.raw_fd().is_some();
        self.more = false;
        if !self.open || waits {
            return 0;
        }
        let mut sent = 0;
        for _ in 0..TRANSMIT_BUDGET {
            let next = self.pending.take().or_else(|| stack.poll_transmit(now, self.link));
            let Some(packet) = next else { return sent };
            match device.transmit(packet) {
                Ok(storage) => {
                    sent += 1;
                    self.errors = 0;
                    self.stats.transmitted += 1;
                    if let Some(storage) = storage {
                        stack.recycle(storage);
                    }
                }
                Err(refused) if refused.is_would_block() => {
                    self.pending = Some(refused.packet);
                    self.blocked = true;
                    self.stats.blocked += 1;
                    return sent;
                }
                Err(refused) => {
                    self.stats.transmit_errors += 1;
                    self.stats.last_error = Some(refused.error);
                    stack.recycle(refused.packet);
                }
            }
        }
        self.more = true;
        sent
    }

    /// What the descriptor has to be registered for from now on, when that is something else than
    /// before. A socket tells of room each time it gains some, so it is asked only when needed.
    pub(super) fn new_interest(&mut self) -> Option<NewInterest> {
        let device = self.device.as_ref().filter(|_| self.open)?;
        let fd = device.raw_fd()?;
        let awaits_room = self.blocked && !device.room_is_readable();
        if awaits_room == self.awaits_room {
            return None;
        }
        self.awaits_room = awaits_room;
        let interest =
            if awaits_room { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        Some((fd, interest))
    }

    /// The device is no use any more.
    pub(super) fn fail(&mut self) {
        self.errors = MAX_ERRORS;
    }

    /// Whether the device has turned out to be gone.
    pub(super) fn has_closed(&self) -> bool {
        let gone = |device: &dyn Device| !device.is_open() || self.errors >= MAX_ERRORS;
        self.open && self.device().is_some_and(gone)
    }

    pub(super) fn close(&mut self, stack: &mut Stack) {
        self.open = false;
        if let Some(packet) = self.pending.take() {
            stack.recycle(packet);
        }
    }

    pub(super) fn detach(&mut self, stack: &mut Stack) -> Option<Box<dyn Device>> {
        self.close(stack);
        self.device.take()
    }
}
