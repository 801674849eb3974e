//! What a driver offers to the loop that runs a stack.

use std::io;
use std::os::fd::RawFd;

use rustix::io::Errno;
use tapping_stack::Capabilities;
use tapping_stack::packet::{Packet, PacketPool};
use tapping_stack::wire::ethernet::MacAddr;

use crate::error::plain;
use crate::tap::steering::Steering;

/// Something that carries Ethernet frames, without ever blocking.
///
/// Frames are owned [`Packet`]s whose [`bytes`](tapping_stack::packet::PacketBuffer::bytes) start at the Ethernet header (no
/// preamble, no frame check sequence). What a device receives is read into a packet of the pool it
/// is given; what it transmits is given back as storage for that pool, or moved on whole.
///
/// A device announces readiness by its descriptor ([`raw_fd`](Self::raw_fd)). One that has none is
/// asked each time round the loop.
// The error gives the packet back; moving it costs no more than moving it in did.
#[allow(clippy::result_large_err)]
pub trait Device {
    /// The interface's name, for messages and captures.
    fn name(&self) -> &str;

    /// The address that the stack's link should have.
    fn mac(&self) -> MacAddr;

    /// The longest IP packet a frame may carry, in bytes.
    fn mtu(&self) -> usize;

    /// What it does itself, so that the stack need not. Nothing, unless it says otherwise.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// The next frame received; `None` when there is none now.
    ///
    /// # Errors
    /// What the descriptor says, never `WouldBlock`. With the kind `Interrupted` nothing is wrong:
    /// there may be more, but the device has used up its time. After any other error [`is_open`](Self::is_open)
    /// says whether to go on.
    fn receive(&mut self, pool: &mut PacketPool) -> io::Result<Option<Packet>>;

    /// Sends a frame. Returns the packet when only its storage is left to be recycled, nothing
    /// when it was moved on whole.
    ///
    /// # Errors
    /// With the kind `WouldBlock` the frame has not been sent: keep it and offer it again before
    /// any other, once the device is ready. The same with `ENOBUFS` and `ENOMEM`, after a while.
    /// With any other error the frame is lost.
    fn transmit(&mut self, packet: Packet) -> Result<Option<Packet>, TransmitError>;

    /// Frames that it has dropped since it was opened for being longer than it can take.
    fn truncated(&self) -> u64 {
        0
    }

    /// What to poll for readability and writability, edge-triggered or level-triggered.
    fn raw_fd(&self) -> Option<RawFd>;

    /// Whether the descriptor tells of room to send by becoming readable, as one that stands for
    /// something else than a file does, instead of writable.
    fn room_is_readable(&self) -> bool {
        false
    }

    /// How frames are spread over the queues of which this is one, where that is known.
    fn steering(&self) -> Option<Steering> {
        None
    }

    /// A second descriptor to poll, for readability: it tells when
    /// [`poll_change`](Self::poll_change) may have news.
    fn watch_fd(&self) -> Option<RawFd> {
        None
    }

    /// What has changed about the device since it was last asked, one thing at a time; `None` when
    /// there is nothing more.
    fn poll_change(&mut self) -> Option<DeviceChange> {
        None
    }

    /// Whether the device is there: false once it was removed or the other end was closed. It
    /// does not come back.
    fn is_open(&self) -> bool;
}

/// What can change about a device while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChange {
    /// Its [`mtu`](Device::mtu) is this now.
    Mtu(usize),
    /// It has another [`name`](Device::name). The stack's link keeps its own.
    Name,
    /// The other side was taken down or brought up. Down, it drops what it is sent, as an
    /// interface without carrier does.
    Up(bool),
}

/// What a device that exists only in this process is to be called and to take.
#[derive(Debug, Clone)]
pub struct DeviceConfig {
    /// Its name.
    pub name: String,
    /// The address of the stack's link.
    pub mac: MacAddr,
    /// The longest IP packet it takes.
    pub mtu: usize,
}

/// Why a frame was not sent; it gives the frame back.
#[derive(Debug, thiserror::Error)]
#[error("cannot send a frame: {}", plain(error))]
pub struct TransmitError {
    /// The frame.
    pub packet: Packet,
    /// Why.
    #[source]
    pub error: io::Error,
}

impl TransmitError {
    /// The device has no room now.
    pub fn would_block(packet: Packet) -> Self {
        TransmitError { packet, error: io::ErrorKind::WouldBlock.into() }
    }

    /// Whether the frame should be offered again.
    pub fn is_would_block(&self) -> bool {
        self.error.kind() == io::ErrorKind::WouldBlock
    }

    /// Whether the frame should be offered again after a while: the queue behind the device is full
    /// or there is no memory (`ENOBUFS`, `ENOMEM`), and nothing tells when that ends.
    pub fn is_short_of_memory(&self) -> bool {
        let errno = self.error.raw_os_error();
        [Errno::NOBUFS, Errno::NOMEM].iter().any(|short| errno == Some(short.raw_os_error()))
    }
}

impl<D: Device + ?Sized> Device for Box<D> {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn mac(&self) -> MacAddr {
        (**self).mac()
    }
    fn mtu(&self) -> usize {
        (**self).mtu()
    }
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }
    fn receive(&mut self, pool: &mut PacketPool) -> io::Result<Option<Packet>> {
        (**self).receive(pool)
    }
    fn transmit(&mut self, packet: Packet) -> Result<Option<Packet>, TransmitError> {
        (**self).transmit(packet)
    }
    fn truncated(&self) -> u64 {
        (**self).truncated()
    }
    fn raw_fd(&self) -> Option<RawFd> {
        (**self).raw_fd()
    }
    fn room_is_readable(&self) -> bool {
        (**self).room_is_readable()
    }
    fn steering(&self) -> Option<Steering> {
        (**self).steering()
    }
    fn watch_fd(&self) -> Option<RawFd> {
        (**self).watch_fd()
    }
    fn poll_change(&mut self) -> Option<DeviceChange> {
        (**self).poll_change()
    }
    fn is_open(&self) -> bool {
        (**self).is_open()
    }
}

/// Bytes that a frame has beside the IP packet: the Ethernet header and two VLAN tags.
pub(crate) const FRAME_OVERHEAD: usize = 14 + 2 * 4;
