//! A TAP interface of the kernel: the frames it sends are read, the frames written it receives.
//!
//! Plain Ethernet frames, one per read(2) and write(2), without the packet information header
//! (`IFF_NO_PI`). See Documentation/networking/tuntap.rst in the kernel's tree.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use rustix::io::Errno;
use tapping_stack::packet::{Packet, PacketPool};
use tapping_stack::wire::ethernet::MacAddr;
use tun_tap::{Iface, Mode};

use crate::device::{Device, FRAME_OVERHEAD, TransmitError};
use crate::error::{DeviceError, check_interface_name};
use crate::netlink::{LinkInfo, Netlink};
use crate::sys;

/// A TAP interface, attached to.
#[derive(Debug)]
pub struct Tap {
    iface: Iface,
    mac: MacAddr,
    link: LinkInfo,
    open: bool,
}

impl Tap {
    /// Attaches to the TAP called `name`, creating it if there is none; a "%d" in the name becomes
    /// the first free number. One that was created here goes away when this is dropped.
    ///
    /// `mac` is the address of the stack's side; the kernel's side has its own.
    ///
    /// # Errors
    /// A bad name, no TAP support, no permission (attaching takes `CAP_NET_ADMIN`), another
    /// process attached, or a name that another kind of interface has.
    pub fn open(name: &str, mac: MacAddr) -> Result<Self, DeviceError> {
        check_interface_name(name)?;
        let iface =
            Iface::without_packet_info(name, Mode::Tap).map_err(|error| open_error(name, error))?;
        rustix::io::ioctl_fionbio(sys::tap_fd(&iface), true)
            .map_err(|errno| DeviceError::system(format!("make {name} non-blocking"), errno))?;
        let mut netlink =
            Netlink::open().map_err(|error| DeviceError::system("open a routing socket", error))?;
        let link = netlink
            .link(iface.name())?
            .ok_or_else(|| DeviceError::NoSuchInterface { name: name.to_owned() })?;
        // One that lasts gets its carrier back by being attached to. Should the kernel never say
        // so, no more is lost than a frame or two.
        if link.is_up() && !link.is_operational() {
            let _ = netlink.wait_operational(iface.name());
        }
        Ok(Tap { iface, mac, link, open: true })
    }

    /// The kernel's side as it was when opened.
    pub fn link(&self) -> &LinkInfo {
        &self.link
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
        if error.raw_os_error() == Some(Errno::BADFD.raw_os_error()) {
            self.open = false;
        }
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

    fn receive(&mut self, pool: &mut PacketPool) -> io::Result<Option<Packet>> {
        let mut packet = pool.take(self.mtu() + FRAME_OVERHEAD);
        match self.iface.recv(packet.spare_mut()) {
            Ok(len) => {
                packet.commit(len);
                Ok(Some(packet))
            }
            Err(error) => {
                pool.put(packet);
                self.note(&error);
                if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) }
            }
        }
    }

    fn transmit(&mut self, packet: Packet) -> Result<Option<Packet>, TransmitError> {
        match self.iface.send(packet.bytes()) {
            Ok(_) => Ok(Some(packet)),
            Err(error) => {
                self.note(&error);
                Err(TransmitError { packet, error })
            }
        }
    }

    fn raw_fd(&self) -> Option<RawFd> {
        Some(self.iface.as_raw_fd())
    }

    fn is_open(&self) -> bool {
        self.open
    }
}

/// `tun-tap` opens `/dev/net/tun` and then attaches (`TUNSETIFF`); the error numbers of the two do
/// not overlap: `tun_set_iff` in the kernel's drivers/net/tun.c.
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
