//! A virtual Ethernet pair: what one end transmits the other receives, the packet itself, not a
//! copy.
//!
//! [`pair`] joins two links that one thread serves; [`channel_pair`] joins two threads. Checksums
//! left for later and large segments pass whole, as over Linux's veth(4). Everything else that
//! travels beside the bytes stays behind, as when a packet leaves a network namespace
//! (`skb_scrub_packet`). When one end is dropped, the other is down.
//!
//! For a packet that it receives, an end gives the other an empty buffer as large, if its pool keeps
//! one: else the pool of who sends more would run dry and that of who receives more over.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use tapping_stack::Capabilities;
use tapping_stack::packet::{Metadata, Packet, PacketPool};
use tapping_stack::wire::ethernet::MacAddr;

use crate::device::{Device, DeviceConfig, FRAME_OVERHEAD, TransmitError};

#[cfg(test)]
mod tests;

/// Packets that wait in each direction (the default of Linux's `txqueuelen`).
pub const QUEUE_LEN: usize = 1000;

/// Empty buffers on their way back in each direction, at most.
const RETURN_LEN: usize = 64;

/// What needs no wire needs no sum and no splitting either.
const CAPABILITIES: Capabilities = Capabilities { tx_checksum: true, max_gso_size: 65_536 };

/// Joins two links that the same thread serves.
pub fn pair(a: DeviceConfig, b: DeviceConfig) -> (LocalEnd, LocalEnd) {
    let wire = Rc::new(RefCell::new(Wire::default()));
    (LocalEnd { config: a, wire: Rc::clone(&wire), side: 0 }, LocalEnd { config: b, wire, side: 1 })
}

/// Joins links that two threads serve. Either end may move to another thread.
///
/// # Errors
/// Those of eventfd(2).
pub fn channel_pair(a: DeviceConfig, b: DeviceConfig) -> io::Result<(ChannelEnd, ChannelEnd)> {
    let (to_b, from_a) = bounded(QUEUE_LEN);
    let (to_a, from_b) = bounded(QUEUE_LEN);
    let (return_to_b, returns_of_b) = bounded(RETURN_LEN);
    let (return_to_a, returns_of_a) = bounded(RETURN_LEN);
    let (bell_a, bell_b) = (Arc::new(Bell::new()?), Arc::new(Bell::new()?));
    let (full_ab, full_ba) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let end_a = ChannelEnd {
        config: a,
        sender: Some(to_b),
        receiver: from_b,
        returner: return_to_b,
        returns: returns_of_a,
        own_bell: Arc::clone(&bell_a),
        peer_bell: Arc::clone(&bell_b),
        sender_waits: Arc::clone(&full_ab),
        peer_waits: Arc::clone(&full_ba),
        peer_gone: false,
    };
    let end_b = ChannelEnd {
        config: b,
        sender: Some(to_a),
        receiver: from_a,
        returner: return_to_a,
        returns: returns_of_b,
        own_bell: bell_b,
        peer_bell: bell_a,
        sender_waits: full_ba,
        peer_waits: full_ab,
        peer_gone: false,
    };
    Ok((end_a, end_b))
}

/// What both ends of a local pair share.
#[derive(Debug, Default)]
struct Wire {
    /// What waits for each side.
    queues: [VecDeque<Packet>; 2],
    /// Empty buffers that go back to each side.
    returns: [Vec<Packet>; 2],
    /// Which sides have been dropped.
    gone: [bool; 2],
}

/// One end of a pair made by [`pair`].
#[derive(Debug)]
pub struct LocalEnd {
    config: DeviceConfig,
    wire: Rc<RefCell<Wire>>,
    side: usize,
}

impl Device for LocalEnd {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn mac(&self) -> MacAddr {
        self.config.mac
    }

    fn mtu(&self) -> usize {
        self.config.mtu
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn receive(&mut self, pool: &mut PacketPool) -> io::Result<Option<Packet>> {
        let mut wire = self.wire.borrow_mut();
        let Some(packet) = wire.queues[self.side].pop_front() else { return Ok(None) };
        let peer = 1 - self.side;
        if !wire.gone[peer]
            && wire.returns[peer].len() < RETURN_LEN
            && let Some(empty) = pool.take_like(&packet)
        {
            wire.returns[peer].push(empty);
        }
        Ok(Some(packet))
    }

    fn transmit(&mut self, packet: Packet) -> Result<Option<Packet>, TransmitError> {
        let mut wire = self.wire.borrow_mut();
        let peer = 1 - self.side;
        if wire.gone[peer] {
            return Err(refused(packet, Errno::NETDOWN));
        }
        if wire.queues[peer].len() >= QUEUE_LEN {
            return Err(TransmitError::would_block(packet));
        }
        wire.queues[peer].push_back(crossing(packet, self.config.mtu)?);
        Ok(wire.returns[self.side].pop())
    }

    fn raw_fd(&self) -> Option<RawFd> {
        None
    }

    fn is_open(&self) -> bool {
        let wire = self.wire.borrow();
        !wire.gone[1 - self.side] || !wire.queues[self.side].is_empty()
    }
}

impl Drop for LocalEnd {
    fn drop(&mut self) {
        let mut wire = self.wire.borrow_mut();
        wire.gone[self.side] = true;
        wire.queues[self.side].clear();
        wire.returns[self.side].clear();
    }
}

/// One end of a pair made by [`channel_pair`].
///
/// Its descriptor is readable when a packet has come, when there is room again for one that was
/// refused, and when the other end is gone.
#[derive(Debug)]
pub struct ChannelEnd {
    config: DeviceConfig,
    /// Present until dropped.
    sender: Option<Sender<Packet>>,
    receiver: Receiver<Packet>,
    /// Empty buffers to the other end, and from there.
    returner: Sender<Packet>,
    returns: Receiver<Packet>,
    own_bell: Arc<Bell>,
    peer_bell: Arc<Bell>,
    /// Set when this end was refused and waits for room.
    sender_waits: Arc<AtomicBool>,
    /// The same of the other end.
    peer_waits: Arc<AtomicBool>,
    peer_gone: bool,
}

impl ChannelEnd {
    fn next(&mut self, pool: &mut PacketPool) -> Option<Packet> {
        match self.receiver.try_recv() {
            Ok(packet) => {
                if !self.returner.is_full()
                    && let Some(empty) = pool.take_like(&packet)
                    && let Err(refused) = self.returner.try_send(empty)
                {
                    pool.put(refused.into_inner());
                }
                // Half a queue of room, not one packet's, is worth waking a thread for.
                if self.receiver.len() <= QUEUE_LEN / 2
                    && self.peer_waits.load(Ordering::SeqCst)
                    && self.peer_waits.swap(false, Ordering::SeqCst)
                {
                    self.peer_bell.ring();
                }
                Some(packet)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.peer_gone = true;
                None
            }
        }
    }
}

impl Device for ChannelEnd {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn mac(&self) -> MacAddr {
        self.config.mac
    }

    fn mtu(&self) -> usize {
        self.config.mtu
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn receive(&mut self, pool: &mut PacketPool) -> io::Result<Option<Packet>> {
        if let Some(packet) = self.next(pool) {
            return Ok(Some(packet));
        }
        // A packet that came before the bell was silenced rings no more, so look again.
        if self.own_bell.silence() { Ok(self.next(pool)) } else { Ok(None) }
    }

    fn transmit(&mut self, packet: Packet) -> Result<Option<Packet>, TransmitError> {
        let Some(sender) = self.sender.as_ref() else {
            return Err(refused(packet, Errno::NETDOWN));
        };
        let mut result = sender.try_send(crossing(packet, self.config.mtu)?);
        if let Err(TrySendError::Full(packet)) = result {
            // The other end may have made room between the refusal and the flag, so try again.
            self.sender_waits.store(true, Ordering::SeqCst);
            result = sender.try_send(packet);
        }
        match result {
            Ok(()) => {
                self.peer_bell.ring();
                Ok(self.returns.try_recv().ok())
            }
            Err(TrySendError::Full(packet)) => Err(TransmitError::would_block(packet)),
            Err(TrySendError::Disconnected(packet)) => {
                self.peer_gone = true;
                Err(refused(packet, Errno::NETDOWN))
            }
        }
    }

    fn raw_fd(&self) -> Option<RawFd> {
        Some(self.own_bell.fd.as_raw_fd())
    }

    fn room_is_readable(&self) -> bool {
        true
    }

    fn is_open(&self) -> bool {
        !self.peer_gone || !self.receiver.is_empty()
    }
}

impl Drop for ChannelEnd {
    fn drop(&mut self) {
        self.sender = None;
        self.peer_bell.ring();
    }
}

/// Wakes the thread that polls the descriptor, at the cost of one system call each time it had
/// gone to sleep.
#[derive(Debug)]
struct Bell {
    fd: OwnedFd,
    ringing: AtomicBool,
}

impl Bell {
    fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Bell { fd, ringing: AtomicBool::new(false) })
    }

    fn ring(&self) {
        if !self.ringing.swap(true, Ordering::SeqCst) {
            // It fails only when the counter would overflow, and then it is ringing already.
            let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
        }
    }

    /// Returns whether it was ringing.
    fn silence(&self) -> bool {
        if !self.ringing.load(Ordering::SeqCst) {
            return false;
        }
        // Nothing to read means that whoever rings has yet to write.
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
        self.ringing.store(false, Ordering::SeqCst);
        true
    }
}

/// The packet as the other end gets it. Linux drops what is longer than the MTU allows unless it
/// is a large segment (`is_skb_forwardable`).
#[allow(clippy::result_large_err)]
fn crossing(mut packet: Packet, mtu: usize) -> Result<Packet, TransmitError> {
    if packet.len() > mtu + FRAME_OVERHEAD && packet.meta.gso.is_none() {
        return Err(refused(packet, Errno::MSGSIZE));
    }
    let Metadata { checksum, gso, .. } = packet.meta;
    packet.meta = Metadata { checksum, gso, ..Metadata::default() };
    Ok(packet)
}

fn refused(packet: Packet, errno: Errno) -> TransmitError {
    TransmitError { packet, error: errno.into() }
}
