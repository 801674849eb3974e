//! Our devices under smoltcp: a [`smoltcp::phy::Device`] over any [`Device`].
//!
//! smoltcp knows nothing of offloads: large segments are cut and checksums finished before it gets
//! them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;

use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use tapping_stack::packet::{Packet, PacketPool, Sums, segment};
use tapping_stack::wire::ethernet;

use crate::checksum::{finish_checksum, network_offset};
use crate::device::Device;

/// Free buffers kept, small and large.
const POOL: (usize, usize) = (256, 16);

/// A device for smoltcp. Poll its [`raw_fd`](Device::raw_fd) to know when to poll the interface.
pub struct SmoltcpDevice<D> {
    device: D,
    pool: RefCell<PacketPool>,
    /// What is left of a large segment that was received.
    pieces: VecDeque<Packet>,
    /// The frame that the device had no room for.
    pending: Option<Packet>,
    error: Option<io::Error>,
}

impl<D: Device> SmoltcpDevice<D> {
    /// Wraps a device.
    pub fn new(device: D) -> Self {
        let pool = RefCell::new(PacketPool::new(POOL.0, POOL.1));
        SmoltcpDevice { device, pool, pieces: VecDeque::new(), pending: None, error: None }
    }

    /// The device.
    pub fn get_ref(&self) -> &D {
        &self.device
    }

    /// What went wrong last with the device; smoltcp has no way to hear of it.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// The next frame to be received, of those that large segments were cut into.
    fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Some(piece);
            }
            let pool = self.pool.get_mut();
            let mut packet = match self.device.receive(pool) {
                Ok(packet) => packet?,
                Err(error) => {
                    self.error = Some(error);
                    return None;
                }
            };
            if packet.meta.gso.is_none() {
                return Some(packet);
            }
            let link = network_offset(packet.bytes()).min(packet.len());
            packet.pull(link);
            packet.mark_network();
            packet.push(link);
            let pieces = &mut self.pieces;
            if let Err(packet) = segment(packet, pool, Sums::Later, |piece| pieces.push_back(piece))
            {
                pool.put(packet);
            }
        }
    }

    /// A token to transmit with, unless a frame still waits for room.
    fn token(&mut self) -> Option<TxToken<'_, D>> {
        if let Some(packet) = self.pending.take() {
            send(&mut self.device, &self.pool, &mut self.pending, &mut self.error, packet);
        }
        let SmoltcpDevice { device, pool, pending, error, .. } = self;
        pending.is_none().then_some(TxToken { device, pool, pending, error })
    }
}

impl<D: Device> fmt::Debug for SmoltcpDevice<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmoltcpDevice").field("name", &self.device.name()).finish_non_exhaustive()
    }
}

impl<D: Device> phy::Device for SmoltcpDevice<D> {
    type RxToken<'a>
        = RxToken<'a>
    where
        D: 'a;
    type TxToken<'a>
        = TxToken<'a, D>
    where
        D: 'a;

    fn receive(&mut self, _timestamp: Instant) -> Option<(RxToken<'_>, TxToken<'_, D>)> {
        // Only what can be answered is received.
        self.token()?;
        let mut packet = self.next()?;
        let state = packet.meta.checksum;
        finish_checksum(packet.bytes_mut(), state);
        let SmoltcpDevice { device, pool, pending, error, .. } = self;
        Some((RxToken { packet, pool }, TxToken { device, pool, pending, error }))
    }

    fn transmit(&mut self, _timestamp: Instant) -> Option<TxToken<'_, D>> {
        self.token()
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.device.mtu() + ethernet::HEADER_LEN;
        capabilities
    }
}

/// A received frame.
pub struct RxToken<'a> {
    packet: Packet,
    pool: &'a RefCell<PacketPool>,
}

impl fmt::Debug for RxToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RxToken").field("len", &self.packet.len()).finish_non_exhaustive()
    }
}

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(self.packet.bytes());
        self.pool.borrow_mut().put(self.packet);
        result
    }
}

/// Room for a frame.
pub struct TxToken<'a, D> {
    device: &'a mut D,
    pool: &'a RefCell<PacketPool>,
    pending: &'a mut Option<Packet>,
    error: &'a mut Option<io::Error>,
}

impl<D: Device> fmt::Debug for TxToken<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxToken").field("name", &self.device.name()).finish_non_exhaustive()
    }
}

impl<D: Device> phy::TxToken for TxToken<'_, D> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = self.pool.borrow_mut().take(len);
        let result = f(packet.put(len));
        send(self.device, self.pool, self.pending, self.error, packet);
        result
    }
}

/// Sends a frame, or keeps it until there is room.
fn send(
    device: &mut impl Device,
    pool: &RefCell<PacketPool>,
    pending: &mut Option<Packet>,
    error: &mut Option<io::Error>,
    packet: Packet,
) {
    let storage = match device.transmit(packet) {
        Ok(storage) => storage,
        Err(refused) if refused.is_would_block() => {
            *pending = Some(refused.packet);
            None
        }
        Err(refused) => {
            *error = Some(refused.error);
            Some(refused.packet)
        }
    };
    if let Some(packet) = storage {
        pool.borrow_mut().put(packet);
    }
}
