//! A TAP interface of the kernel: the frames it sends are read, the frames written it receives.
//!
//! One Ethernet frame per read(2) and write(2), without the packet information header
//! (`IFF_NO_PI`). See Documentation/networking/tuntap.rst in the kernel's tree.
//!
//! With offload, which is the default, a virtio-net header (`IFF_VNET_HDR`) says of each frame
//! whether its checksum is still to be finished and whether it is a large segment of up to 64 KiB,
//! so the kernel on the other side neither sums nor cuts, and one system call moves as much as
//! forty did. What the kernel can send so is negotiated ([`Offloads`]); what it takes needs no
//! word. The header goes into the packet's headroom, so that a frame leaves in one piece.
//!
//! # Several queues
//! [`TapConfig::open_queues`] attaches more than one descriptor to the interface
//! (`IFF_MULTI_QUEUE`), each a [`Tap`] of its own, for as many threads with a stack each. Which
//! frame comes by which queue is known where the kernel takes a program of ours ([`steering`]), as
//! it does from root: a connection is begun from a port that brings its answers to the queue of
//! whoever begins it.
//!
//! Elsewhere, as in a user namespace, the kernel chooses (`tun_automq_select_queue`): a flow goes to
//! the queue that last wrote a frame of that flow (the same addresses and ports, either way round),
//! for as long as one was written within the last three seconds; else to the queue that a hash of
//! the flow gives. The hash has a key that nobody knows, but is the same either way round. So a flow
//! that the other side has begun comes by one queue for all its life, however idle; one that was
//! begun here comes by the hash's queue once it has been idle for three seconds, and who gets it
//! there has to hand it on.
//!
//! Some frames have no flow that steers them, but [concern all](steering::concerns_all) stacks. All
//! queues have to stay open: when one is closed, another takes its number.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::fs::{Mode as FileMode, OFlags};
use rustix::io::Errno;
use tapping_stack::Capabilities;
use tapping_stack::packet::{Packet, PacketPool};
use tapping_stack::wire::ethernet::MacAddr;
use tun_tap::{Iface, Mode};

use crate::device::{Device, DeviceChange, FRAME_OVERHEAD, TransmitError};
use crate::error::{DeviceError, check_interface_name};
use crate::netlink::{LinkInfo, LinkWatch, Netlink};
use crate::sys;

pub mod steering;
#[cfg(test)]
mod tests;
mod vnet;

use steering::Steering;

/// The longest frame there is, with what is in front of it.
const MAX_READ: usize = vnet::LEN + FRAME_OVERHEAD + u16::MAX as usize;
/// Of what does not fit a buffer for the MTU, so much is copied into a buffer of its size; more is
/// left where it is. Who keeps a packet keeps its buffer, and is charged for all of it.
const COPY_LIMIT: usize = 16 * 1024;

/// What the kernel may leave to this side in what it sends (`TUN_F_*`). Each but the first needs
/// the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offloads {
    /// Transport checksums.
    pub checksum: bool,
    /// Cutting TCP segments over IPv4.
    pub tso: bool,
    /// The same of segments with CWR (RFC 3168 §6.1.2).
    pub tso_ecn: bool,
    /// Cutting UDP datagrams that were sent together (Linux 6.2).
    pub uso: bool,
}

impl Offloads {
    /// All there are.
    pub const ALL: Offloads = Offloads { checksum: true, tso: true, tso_ecn: true, uso: true };

    /// From the most to the least, each of them less than the one before by one.
    const STEPS: [Offloads; 4] = [
        Offloads::ALL,
        Offloads { uso: false, ..Offloads::ALL },
        Offloads { uso: false, tso_ecn: false, ..Offloads::ALL },
        Offloads { checksum: true, tso: false, tso_ecn: false, uso: false },
    ];

    /// What is in these and not in the others.
    #[must_use]
    pub fn without(self, others: Offloads) -> Offloads {
        Offloads {
            checksum: self.checksum && !others.checksum,
            tso: self.tso && !others.tso,
            tso_ecn: self.tso_ecn && !others.tso_ecn,
            uso: self.uso && !others.uso,
        }
    }

    fn bits(self) -> u32 {
        // The kernel takes both versions of USO or none.
        let bits = [
            (self.checksum, libc::TUN_F_CSUM),
            (self.tso, libc::TUN_F_TSO4),
            (self.tso_ecn, libc::TUN_F_TSO_ECN),
            (self.uso, libc::TUN_F_USO4 | libc::TUN_F_USO6),
        ];
        bits.iter().filter(|(on, _)| *on).fold(0, |bits, (_, bit)| bits | bit)
    }
}

impl fmt::Display for Offloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.checksum, "checksum"),
            (self.tso, "TSO"),
            (self.tso_ecn, "TSO ECN"),
            (self.uso, "USO"),
        ];
        let mut separator = "";
        for (_, name) in names.iter().filter(|(on, _)| *on) {
            write!(f, "{separator}{name}")?;
            separator = ", ";
        }
        if separator.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

/// How to attach to a TAP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapConfig {
    name: String,
    mac: MacAddr,
    offload: bool,
}

impl TapConfig {
    /// The TAP called `name`, which is created if there is none; a "%d" in the name becomes the
    /// first free number. One that was created here goes away when nobody is attached any more.
    ///
    /// `mac` is the address of the stack's side; the kernel's side has its own.
    pub fn new(name: &str, mac: MacAddr) -> Self {
        TapConfig { name: name.to_owned(), mac, offload: true }
    }

    /// Whether to ask for offloads; so it is unless said otherwise.
    #[must_use]
    pub fn offload(mut self, offload: bool) -> Self {
        self.offload = offload;
        self
    }

    /// Attaches, as the only one.
    ///
    /// # Errors
    /// A bad name, no TAP support, no permission (attaching takes `CAP_NET_ADMIN`), another
    /// process attached, or a name that another kind of interface has.
    pub fn open(&self) -> Result<Tap, DeviceError> {
        self.attach(0, &Arc::default())
    }

    /// Attaches `count` queues, at least one; see [the module](self) for which frame comes by
    /// which. An interface that exists must have been made for several queues (`ip tuntap add …
    /// multi_queue`).
    ///
    /// # Errors
    /// Those of [`open`](Self::open), or more queues than the kernel takes, which is 256.
    pub fn open_queues(&self, count: usize) -> Result<Vec<Tap>, DeviceError> {
        let together = Arc::default();
        let first = self.attach(libc::IFF_MULTI_QUEUE, &together)?;
        // A name with "%d" is that of the interface from now on.
        let rest = TapConfig { name: first.link.name.clone(), ..self.clone() };
        let mut queues = Vec::with_capacity(count.max(1));
        queues.push(first);
        for _ in 1..count {
            queues.push(rest.attach(libc::IFF_MULTI_QUEUE, &together)?);
        }
        let steering = Steering::install(queues[0].file.as_fd(), queues.len()).ok();
        queues.iter_mut().for_each(|queue| queue.steering = steering);
        Ok(queues)
    }

    fn attach(&self, flags: i32, queues: &Arc<()>) -> Result<Tap, DeviceError> {
        check_interface_name(&self.name)?;
        let offloaded = if self.offload { self.attach_offloaded(flags)? } else { None };
        let (file, name, offloads) = match offloaded {
            Some((fd, name, offloads)) => (File::Own(fd), name, Some(offloads)),
            None => {
                let (file, name) = self.attach_plain(flags)?;
                // Who was attached before may have taken more.
                let _ = sys::tun_set_offload(file.as_fd(), 0);
                (file, name, None)
            }
        };
        self.with_file(file, &name, offloads, queues)
    }

    /// With a virtio-net header; `None` where the kernel, or an interface that exists, has none.
    #[allow(clippy::type_complexity)]
    fn attach_offloaded(
        &self,
        flags: i32,
    ) -> Result<Option<(OwnedFd, String, Offloads)>, DeviceError> {
        let fd = self.open_tun()?;
        let flags = flags | libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        let name = match sys::tun_attach(fd.as_fd(), &self.name, flags) {
            Ok(name) => name,
            // Whatever else it may mean, that comes up again without the header.
            Err(error) if is(&error, Errno::INVAL) => return Ok(None),
            Err(error) => return Err(open_error(&self.name, error)),
        };
        if sys::tun_set_vnet_header(fd.as_fd(), vnet::LEN).is_err() {
            return Ok(None);
        }
        let taken = |offloads: &Offloads| sys::tun_set_offload(fd.as_fd(), offloads.bits()).is_ok();
        let offloads = Offloads::STEPS.into_iter().find(taken).unwrap_or_default();
        Ok(Some((fd, name, offloads)))
    }

    fn attach_plain(&self, flags: i32) -> Result<(File, String), DeviceError> {
        let failed = |error| open_error(&self.name, error);
        if flags == 0 {
            let iface = Iface::without_packet_info(&self.name, Mode::Tap).map_err(failed)?;
            rustix::io::ioctl_fionbio(sys::tap_fd(&iface), true).map_err(|errno| {
                DeviceError::system(format!("make {} non-blocking", self.name), errno)
            })?;
            let name = iface.name().to_owned();
            return Ok((File::Plain(iface), name));
        }
        let fd = self.open_tun()?;
        let flags = flags | libc::IFF_TAP | libc::IFF_NO_PI;
        let name = sys::tun_attach(fd.as_fd(), &self.name, flags).map_err(failed)?;
        Ok((File::Own(fd), name))
    }

    fn open_tun(&self) -> Result<OwnedFd, DeviceError> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        rustix::fs::open("/dev/net/tun", flags, FileMode::empty())
            .map_err(|errno| open_error(&self.name, errno.into()))
    }

    fn with_file(
        &self,
        file: File,
        name: &str,
        offloads: Option<Offloads>,
        queues: &Arc<()>,
    ) -> Result<Tap, DeviceError> {
        let mut netlink =
            Netlink::open().map_err(|error| DeviceError::system("open a routing socket", error))?;
        let gone = || DeviceError::NoSuchInterface { name: name.to_owned() };
        let index = netlink.link(name)?.ok_or_else(gone)?.index;
        // First, so that nothing is missed in between. Without it the MTU is as it was found.
        let watch = LinkWatch::open(index).ok();
        let link = netlink.link(name)?.ok_or_else(gone)?;
        // One that lasts gets its carrier back by being attached to. Should the kernel never say
        // so, no more is lost than a frame or two.
        if link.is_up() && !link.is_operational() {
            let _ = netlink.wait_operational(name);
        }
        let changes = Changes::default();
        let (mac, spare) = (self.mac, None);
        Ok(Tap {
            file,
            mac,
            link,
            open: true,
            offloads,
            spare,
            watch,
            changes,
            queues: queues.clone(),
            steering: None,
        })
    }
}

/// A TAP interface, attached to.
#[derive(Debug)]
pub struct Tap {
    file: File,
    mac: MacAddr,
    link: LinkInfo,
    open: bool,
    /// Present when frames have a virtio-net header.
    offloads: Option<Offloads>,
    /// Takes what does not fit a buffer for the MTU.
    spare: Option<Packet>,
    watch: Option<LinkWatch>,
    changes: Changes,
    /// One for each queue that was opened together.
    queues: Arc<()>,
    steering: Option<Steering>,
}

#[derive(Debug)]
enum File {
    Plain(Iface),
    Own(OwnedFd),
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            File::Plain(iface) => sys::tap_fd(iface),
            File::Own(fd) => fd.as_fd(),
        }
    }
}

/// What has changed and was not told.
#[derive(Debug, Default)]
struct Changes {
    name: bool,
    mtu: bool,
    up: bool,
}

impl Tap {
    /// Attaches to the TAP called `name`, with offload: [`TapConfig::open`].
    ///
    /// # Errors
    /// Those of [`TapConfig::open`].
    pub fn open(name: &str, mac: MacAddr) -> Result<Self, DeviceError> {
        TapConfig::new(name, mac).open()
    }

    /// Attaches `count` queues, with offload: [`TapConfig::open_queues`].
    ///
    /// # Errors
    /// Those of [`TapConfig::open_queues`].
    pub fn open_queues(name: &str, count: usize, mac: MacAddr) -> Result<Vec<Self>, DeviceError> {
        TapConfig::new(name, mac).open_queues(count)
    }

    /// The kernel's side as it was when opened, or last changed.
    pub fn link(&self) -> &LinkInfo {
        &self.link
    }

    /// What was obtained of [`Offloads`]; `None` without a virtio-net header, when nothing is left
    /// to the other side in either direction.
    pub fn offloads(&self) -> Option<Offloads> {
        self.offloads
    }

    /// Sets the MTU of the kernel's side, and so of this device.
    ///
    /// # Errors
    /// The kernel's; it allows 68 to 65521 bytes.
    pub fn set_mtu(&mut self, mtu: u32) -> Result<(), DeviceError> {
        let mut netlink =
            Netlink::open().map_err(|error| DeviceError::system("open a routing socket", error))?;
        netlink.set_mtu(self.link.index, mtu)?;
        self.link.mtu = mtu;
        Ok(())
    }

    /// The kernel detaches the descriptor when the interface is deleted.
    fn note(&mut self, error: &io::Error) {
        if is(error, Errno::BADFD) {
            self.open = false;
        }
    }

    /// Reads a frame with what is in front of it.
    ///
    /// What does not fit the first buffer goes on in the spare one, behind a gap of that size, so
    /// that it takes one copy of little to put a large segment together. With offload the first is
    /// a small one whatever the MTU; else it is for the MTU, and only a frame sent before a change
    /// of that is longer.
    fn read(&mut self, pool: &mut PacketPool) -> io::Result<Packet> {
        let expected = if self.offloads.is_some() { 0 } else { self.mtu() + FRAME_OVERHEAD };
        let mut packet = pool.take(expected);
        let spare = self.spare.get_or_insert_with(|| pool.take(MAX_READ));
        let first = packet.tailroom();
        let rest = spare.spare_mut().get_mut(first..).unwrap_or_default();
        let mut buffers = [IoSliceMut::new(packet.spare_mut()), IoSliceMut::new(rest)];
        let fd = self.file.as_fd();
        let len = match rustix::io::retry_on_intr(|| rustix::io::readv(fd, &mut buffers)) {
            Ok(len) => len,
            Err(errno) => {
                pool.put(packet);
                return Err(errno.into());
            }
        };
        packet.commit(len);
        if len <= first {
            return Ok(packet);
        }
        let whole = match len <= COPY_LIMIT {
            true => {
                let mut whole = pool.take(len);
                whole.put_slice(packet.bytes());
                whole.put_slice(&spare.spare_mut()[first..len]);
                whole
            }
            false => {
                spare.spare_mut()[..first].copy_from_slice(packet.bytes());
                spare.commit(len);
                std::mem::replace(spare, pool.take(MAX_READ))
            }
        };
        pool.put(packet);
        Ok(whole)
    }
}

impl Device for Tap {
    fn name(&self) -> &str {
        &self.link.name
    }

    fn mac(&self) -> MacAddr {
        self.mac
    }

    fn mtu(&self) -> usize {
        self.link.mtu as usize
    }

    fn capabilities(&self) -> Capabilities {
        match self.offloads {
            Some(_) => Capabilities { tx_checksum: true, max_gso_size: u16::MAX.into() },
            None => Capabilities::default(),
        }
    }

    fn receive(&mut self, pool: &mut PacketPool) -> io::Result<Option<Packet>> {
        let mut packet = match self.read(pool) {
            Ok(packet) => packet,
            Err(error) => {
                self.note(&error);
                return match error.kind() {
                    io::ErrorKind::WouldBlock => Ok(None),
                    _ => Err(error),
                };
            }
        };
        if self.offloads.is_some()
            && let Err(error) = vnet::take(&mut packet)
        {
            pool.put(packet);
            return Err(error.into());
        }
        Ok(Some(packet))
    }

    fn transmit(&mut self, mut packet: Packet) -> Result<Option<Packet>, TransmitError> {
        let header = if self.offloads.is_some() { vnet::LEN } else { 0 };
        if header > 0 {
            vnet::put(&mut packet);
        }
        let fd = self.file.as_fd();
        let error = match rustix::io::retry_on_intr(|| rustix::io::write(fd, packet.bytes())) {
            Ok(len) if len == packet.len() => return Ok(Some(packet)),
            // The kernel takes a frame whole or not at all; of this one the end is lost.
            Ok(_) => io::ErrorKind::WriteZero.into(),
            Err(errno) => io::Error::from(errno),
        };
        self.note(&error);
        packet.pull(header);
        Err(TransmitError { packet, error })
    }

    fn raw_fd(&self) -> Option<RawFd> {
        Some(self.file.as_fd().as_raw_fd())
    }

    fn steering(&self) -> Option<Steering> {
        self.steering
    }

    fn watch_fd(&self) -> Option<RawFd> {
        self.watch.as_ref().map(AsRawFd::as_raw_fd)
    }

    fn poll_change(&mut self) -> Option<DeviceChange> {
        if let Some(link) = self.watch.as_mut().and_then(LinkWatch::poll) {
            self.changes.name |= link.name != self.link.name;
            self.changes.mtu |= link.mtu != self.link.mtu;
            self.changes.up |= link.is_up() != self.link.is_up();
            self.link = link;
        }
        if std::mem::take(&mut self.changes.name) {
            return Some(DeviceChange::Name);
        }
        if std::mem::take(&mut self.changes.mtu) {
            return Some(DeviceChange::Mtu(self.mtu()));
        }
        std::mem::take(&mut self.changes.up).then(|| DeviceChange::Up(self.link.is_up()))
    }

    fn is_open(&self) -> bool {
        self.open
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // Both are the interface's, not the queue's. One that lasts is as it was to whoever attaches
        // next and asks for nothing.
        if Arc::strong_count(&self.queues) == 1 {
            if self.offloads.is_some() {
                let _ = sys::tun_set_offload(self.file.as_fd(), 0);
            }
            if self.steering.is_some() {
                let _ = sys::tun_steer(self.file.as_fd(), &[]);
            }
        }
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// Opening `/dev/net/tun` and attaching (`TUNSETIFF`) fail with different error numbers:
/// `tun_set_iff` in the kernel's drivers/net/tun.c.
fn open_error(name: &str, error: io::Error) -> DeviceError {
    let name = name.to_owned();
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => DeviceError::NoTun(error),
        Some(Errno::ACCESS) => DeviceError::TunAccess(error),
        Some(Errno::PERM) => DeviceError::Permission { name, capability: "CAP_NET_ADMIN", error },
        Some(Errno::BUSY) => DeviceError::InUse { name },
        Some(Errno::INVAL) => DeviceError::NotTap { name },
        _ => DeviceError::system(format!("attach to the TAP {name}"), error),
    }
}
