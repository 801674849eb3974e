//! A device on a stack's link, as the loop sees it.
//!
//! Reading and writing frames are steps apart from what the stack does with them, so that a loop
//! whose stack is shared need not hold it meanwhile:
//! [`receive_batch`](Port::receive_batch) → [`handle_batch`](Port::handle_batch) →
//! [`collect`](Port::collect) → [`transmit_batch`](Port::transmit_batch).
//! [`receive`](Port::receive) and [`transmit`](Port::transmit) do two at once.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::RawFd;

use mio::Interest;
use tapping_stack::packet::PacketPool;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::{LinkId, Packet, Stack};

use super::{NewInterest, RECEIVE_BATCH_BYTES, TRANSMIT_BUDGET};
use crate::clock::Clock;
use crate::device::{Device, DeviceChange};

/// A device that fails this often without a frame in between counts as gone.
const MAX_ERRORS: u32 = 16;

/// A device that is short of memory (`ENOBUFS`), and does not tell when it has some, is asked again
/// after this.
const MEMORY_RETRY: Duration = Duration::from_millis(1);

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
    /// Times that the device had no room or was short of memory; nothing was lost.
    pub blocked: u64,
    /// The latest error.
    pub last_error: Option<io::Error>,
}

/// A device, on the link `link` of the stack numbered `stack`.
pub(crate) struct Port<D = Box<dyn Device>> {
    stack: usize,
    link: LinkId,
    /// None once detached.
    device: Option<D>,
    open: bool,
    /// There may be something to receive. Cleared when there was nothing; set by an event.
    readable: bool,
    /// Frames that were received and not handled; empty between two calls.
    batch: Vec<Packet>,
    /// Frames taken out of the stack and not sent, the oldest first: one that the device had no
    /// room for, and what [`collect`](Self::collect) has taken.
    pending: VecDeque<Packet>,
    /// The device has no room and an event will tell when it has.
    blocked: bool,
    /// The device is short of memory, and nothing will tell when it has some.
    starved: bool,
    /// The budget ended before the stack's queue did.
    more: bool,
    /// What the descriptor is registered for.
    awaits_room: bool,
    /// Errors since the last frame.
    errors: u32,
    stats: PortStats,
}

impl<D> fmt::Debug for Port<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("stack", &self.stack)
            .field("link", &self.link)
            .field("open", &self.open)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl<D: Device> Port<D> {
    pub(crate) fn new(stack: usize, link: LinkId, device: D) -> Self {
        Port {
            stack,
            link,
            device: Some(device),
            open: true,
            // What came before it was registered makes no edge.
            readable: true,
            batch: Vec::new(),
            pending: VecDeque::new(),
            blocked: false,
            starved: false,
            more: false,
            awaits_room: false,
            errors: 0,
            stats: PortStats::default(),
        }
    }

    pub(crate) fn is(&self, stack: usize, link: LinkId) -> bool {
        !self.is_detached() && self.stack == stack && self.link == link
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.device.is_none()
    }

    pub(crate) fn stack(&self) -> usize {
        self.stack
    }

    pub(crate) fn link(&self) -> LinkId {
        self.link
    }

    pub(crate) fn device(&self) -> Option<&D> {
        self.device.as_ref()
    }

    pub(crate) fn stats(&self) -> &PortStats {
        &self.stats
    }

    pub(crate) fn raw_fd(&self) -> Option<RawFd> {
        self.device.as_ref()?.raw_fd()
    }

    /// An event came for the descriptor.
    pub(crate) fn ready(&mut self) {
        self.readable = true;
        self.blocked = false;
    }

    /// There may be something to receive, though no event came.
    pub(crate) fn look(&mut self) {
        self.readable |= self.open;
    }

    /// What to poll for word of changes.
    pub(crate) fn watch_fd(&self) -> Option<RawFd> {
        self.device.as_ref()?.watch_fd()
    }

    /// An event came for [`watch_fd`](Self::watch_fd): lets the stack's link have what has changed.
    pub(crate) fn follow(&mut self, stack: &mut Stack) {
        let Some(device) = &mut self.device else { return };
        while let Some(change) = device.poll_change() {
            match change {
                // One that the stack has no room for leaves it as it was, as does a link that the
                // stack's owner has removed.
                DeviceChange::Mtu(mtu) => drop(stack.set_mtu(self.link, mtu)),
                // As an interface without carrier, it keeps addresses and routes, and what is sent
                // meanwhile is lost.
                DeviceChange::Up(up) => self.blocked &= !up,
                DeviceChange::Name => {}
            }
        }
    }

    /// How long to wait for an event at most before trying to send again.
    pub(crate) fn patience(&self) -> Option<Duration> {
        (self.open && self.starved).then_some(MEMORY_RETRY)
    }

    pub(crate) fn may_receive(&self) -> bool {
        self.open && (self.readable || self.raw_fd().is_none())
    }

    /// Whether there is something to do without waiting for an event.
    pub(crate) fn has_more(&self) -> bool {
        self.open && (self.more || (self.readable && self.raw_fd().is_some()))
    }

    /// Receives at most `limit` frames into the stack, which gets them as one batch.
    pub(crate) fn receive(&mut self, clock: &Clock, stack: &mut Stack, limit: usize) -> usize {
        self.receive_batch(stack.pool(), limit);
        self.handle_batch(clock, stack)
    }

    /// Reads frames until there are `limit` that the stack has not got, or [`RECEIVE_BATCH_BYTES`],
    /// or none is left. Returns how many it has not got.
    pub(crate) fn receive_batch(&mut self, pool: &mut PacketPool, limit: usize) -> usize {
        let Some(device) = &mut self.device else { return 0 };
        let mut bytes = 0;
        while self.batch.len() < limit && bytes < RECEIVE_BATCH_BYTES {
            let result = device.receive(pool);
            self.stats.truncated = device.truncated();
            match result {
                Ok(Some(packet)) => {
                    self.errors = 0;
                    self.stats.received += 1;
                    bytes += packet.len();
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
        self.batch.len()
    }

    /// Takes what was read and not handled, which may be less with what is put back.
    pub(crate) fn batch(&mut self) -> &mut Vec<Packet> {
        &mut self.batch
    }

    /// Gives the stack what was read as one batch. Returns how many frames that were.
    pub(crate) fn handle_batch(&mut self, clock: &Clock, stack: &mut Stack) -> usize {
        let count = self.batch.len();
        if count > 0 {
            // Read anew: the answer to a frame can be there before its write returns, and a time
            // from before that would make it look too quick.
            stack.handle_frames(clock.now(), self.link, self.batch.drain(..));
        }
        count
    }

    /// Sends what the stack has for the link, as far as the device has room.
    pub(crate) fn transmit(&mut self, now: Instant, stack: &mut Stack) -> usize {
        self.more = false;
        if !self.may_transmit() {
            return 0;
        }
        let mut sent = 0;
        // One at a time: the next to be made is written into the buffer that is in the cache.
        for _ in 0..TRANSMIT_BUDGET {
            let next = self.pending.pop_front().or_else(|| stack.poll_transmit(now, self.link));
            let Some(packet) = next else { return sent };
            match self.send(packet, stack.pool()) {
                Sent::Yes => sent += 1,
                Sent::Lost => {}
                Sent::NoRoom => return sent,
            }
        }
        self.more = true;
        sent
    }

    /// Takes out of the stack what it has for the link, until `limit` frames wait here; none when
    /// the device has no room. Returns how many wait.
    pub(crate) fn collect(&mut self, now: Instant, stack: &mut Stack, limit: usize) -> usize {
        self.more = false;
        if self.may_transmit() {
            while self.pending.len() < limit {
                let Some(packet) = stack.poll_transmit(now, self.link) else { break };
                self.pending.push_back(packet);
            }
            self.more = self.pending.len() >= limit;
        }
        self.pending.len()
    }

    /// Sends what waits here as far as the device has room; the buffers go to `pool`. Returns how
    /// many were sent.
    pub(crate) fn transmit_batch(&mut self, pool: &mut PacketPool) -> usize {
        if !self.may_transmit() {
            return 0;
        }
        let mut sent = 0;
        while let Some(packet) = self.pending.pop_front() {
            match self.send(packet, pool) {
                Sent::Yes => sent += 1,
                Sent::Lost => {}
                Sent::NoRoom => break,
            }
        }
        sent
    }

    /// Whether the device is there and has room, as far as is known.
    pub(crate) fn may_transmit(&self) -> bool {
        let waits = self.blocked && self.raw_fd().is_some();
        self.open && !waits
    }

    fn send(&mut self, packet: Packet, pool: &mut PacketPool) -> Sent {
        let Some(device) = &mut self.device else {
            pool.put(packet);
            return Sent::Lost;
        };
        self.starved = false;
        match device.transmit(packet) {
            Ok(storage) => {
                self.errors = 0;
                self.stats.transmitted += 1;
                if let Some(storage) = storage {
                    pool.put(storage);
                }
                Sent::Yes
            }
            Err(refused) if refused.is_would_block() || refused.is_short_of_memory() => {
                self.starved = refused.is_short_of_memory();
                self.blocked = !self.starved;
                self.pending.push_front(refused.packet);
                self.stats.blocked += 1;
                Sent::NoRoom
            }
            Err(refused) => {
                self.stats.transmit_errors += 1;
                self.stats.last_error = Some(refused.error);
                pool.put(refused.packet);
                Sent::Lost
            }
        }
    }

    /// What the descriptor has to be registered for from now on, when that is something else than
    /// before. A socket tells of room each time it gains some, so it is asked only when needed.
    pub(crate) fn new_interest(&mut self) -> Option<NewInterest> {
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
    pub(crate) fn fail(&mut self) {
        self.errors = MAX_ERRORS;
    }

    /// Whether the device has turned out to be gone.
    pub(crate) fn has_closed(&self) -> bool {
        let gone = |device: &D| !device.is_open() || self.errors >= MAX_ERRORS;
        self.open && self.device().is_some_and(gone)
    }

    pub(crate) fn close(&mut self, stack: &mut Stack) {
        self.open = false;
        for packet in self.pending.drain(..) {
            stack.recycle(packet);
        }
    }

    pub(crate) fn detach(&mut self, stack: &mut Stack) -> Option<D> {
        self.close(stack);
        self.device.take()
    }
}

/// What became of a packet to be sent.
enum Sent {
    Yes,
    /// An error took it; it was counted.
    Lost,
    /// It waits for room.
    NoRoom,
}
