//! A packet socket on an existing interface (packet(7)): the stack shares the wire with the kernel.
//!
//! The stack has its own link-layer address, so the interface is made promiscuous. Frames that the
//! kernel itself sends are not seen (`PACKET_IGNORE_OUTGOING`). What the kernel keeps beside a frame
//! (`PACKET_AUXDATA`) is put right: a VLAN tag taken out goes back in, and the checksum state of a
//! frame from the same machine is carried along.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use tapping_stack::packet::{ChecksumState, Packet, PacketPool};
use tapping_stack::wire::ethernet::{EtherType, HEADER_LEN, MacAddr};

use crate::device::{Device, FRAME_OVERHEAD, TransmitError};
use crate::error::{DeviceError, check_interface_name};
use crate::netlink::{LinkInfo, Netlink};
use crate::sys::{self, AuxData};

#[cfg(test)]
mod tests;

/// Frames that are too long which one call may go through.
const TRUNCATED_BUDGET: usize = 16;

/// All ethertypes (`ETH_P_ALL`).
const ETH_P_ALL: u16 = 0x0003;
/// The hardware type of Ethernet (`ARPHRD_ETHER`).
const ARPHRD_ETHER: u16 = 1;

/// The transport checksum was left to the hardware, so it is not in the frame
/// (`TP_STATUS_CSUMNOTREADY`, `linux/if_packet.h`).
const STATUS_CHECKSUM_NOT_READY: u32 = 1 << 3;
/// `vlan_tci` holds a tag taken out of the frame (`TP_STATUS_VLAN_VALID`).
const STATUS_VLAN: u32 = 1 << 4;
/// `vlan_tpid` holds that tag's ethertype (`TP_STATUS_VLAN_TPID_VALID`).
const STATUS_VLAN_TPID: u32 = 1 << 6;
/// The transport checksum was verified (`TP_STATUS_CSUM_VALID`).
const STATUS_CHECKSUM_VALID: u32 = 1 << 7;

/// Commands of `linux/ethtool.h` that set one offload each: transmit checksums, scatter-gather,
/// TSO, GSO and GRO.
const OFFLOAD_COMMANDS: [u32; 5] = [0x17, 0x19, 0x1f, 0x24, 0x2c];

/// A packet socket, bound to an interface.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    mac: MacAddr,
    link: LinkInfo,
    open: bool,
    /// Frames dropped for being longer than the MTU allows, as when the kernel has joined several
    /// (GRO).
    truncated: u64,
}

impl PacketSocket {
    /// Opens the interface called `name`. `mac` is the stack's own address on it.
    ///
    /// # Errors
    /// A bad name, no such interface, one that is down or not Ethernet, or no permission (it takes
    /// `CAP_NET_RAW`).
    pub fn open(name: &str, mac: MacAddr) -> Result<Self, DeviceError> {
        check_interface_name(name)?;
        let link = Netlink::open()
            .map_err(|error| DeviceError::system("open a routing socket", error))?
            .link(name)?
            .ok_or_else(|| DeviceError::NoSuchInterface { name: name.to_owned() })?;
        if link.hardware_type != ARPHRD_ETHER {
            return Err(DeviceError::NotEthernet { name: link.name });
        }
        if !link.is_up() {
            return Err(DeviceError::Down { name: link.name });
        }
        // Without a protocol nothing is queued before the socket is bound to its interface.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)
            .map_err(|errno| match errno {
                Errno::PERM | Errno::ACCESS => DeviceError::Permission {
                    name: name.to_owned(),
                    capability: "CAP_NET_RAW",
                    error: errno.into(),
                },
                errno => DeviceError::system("open a packet socket", errno),
            })?;
        let set_up = || {
            sys::packet_options(socket.as_fd())?;
            sys::bind_packet(socket.as_fd(), link.index, ETH_P_ALL)?;
            sys::packet_promiscuous(socket.as_fd(), link.index)
        };
        set_up().map_err(|error| DeviceError::system(format!("bind to {name}"), error))?;
        Ok(PacketSocket { socket, mac, link, open: true, truncated: 0 })
    }

    /// The interface as it was when opened.
    pub fn link(&self) -> &LinkInfo {
        &self.link
    }

    /// An interface that goes down says so once; one that was removed says the same, and its index
    /// has no name any more.
    fn note(&mut self, error: &io::Error) {
        let down = [Errno::NETDOWN, Errno::NODEV, Errno::NXIO];
        if down.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
            let name = rustix::net::netdevice::index_to_name_inlined(&self.socket, self.link.index);
            self.open = name.is_ok();
        }
    }
}

impl Device for PacketSocket {
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
        for _ in 0..TRUNCATED_BUDGET {
            match sys::recv_packet(self.socket.as_fd(), packet.spare_mut()) {
                Ok(received) if received.truncated => self.truncated += 1,
                Ok(received) => {
                    packet.commit(received.len);
                    apply(&mut packet, received.aux);
                    return Ok(Some(packet));
                }
                Err(error) => {
                    pool.put(packet);
                    self.note(&error);
                    let none = error.kind() == io::ErrorKind::WouldBlock;
                    return if none { Ok(None) } else { Err(error) };
                }
            }
        }
        pool.put(packet);
        Err(io::ErrorKind::Interrupted.into())
    }

    fn transmit(&mut self, packet: Packet) -> Result<Option<Packet>, TransmitError> {
        match rustix::net::send(&self.socket, packet.bytes(), SendFlags::empty()) {
            Ok(_) => Ok(Some(packet)),
            Err(errno) => {
                let error = errno.into();
                self.note(&error);
                Err(TransmitError { packet, error })
            }
        }
    }

    fn truncated(&self) -> u64 {
        self.truncated
    }

    fn raw_fd(&self) -> Option<RawFd> {
        Some(self.socket.as_raw_fd())
    }

    fn is_open(&self) -> bool {
        self.open
    }
}

/// Turns the offloads of the interface called `name` off, so that the kernel puts whole frames of
/// at most the MTU on it with their checksums filled in.
///
/// # Errors
/// Those of the ioctl `SIOCETHTOOL`, but for an offload that the interface does not have.
pub fn disable_offloads(name: &str) -> io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    for command in OFFLOAD_COMMANDS {
        match sys::ethtool_set(socket.as_fd(), name, command, 0) {
            Err(error) if error.raw_os_error() != Some(Errno::OPNOTSUPP.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Puts into the frame what the kernel keeps beside it.
fn apply(packet: &mut Packet, aux: AuxData) {
    if aux.status & STATUS_CHECKSUM_NOT_READY != 0 {
        packet.meta.checksum = unfinished_checksum(packet.bytes());
    } else if aux.status & STATUS_CHECKSUM_VALID != 0 {
        packet.meta.checksum = ChecksumState::Unnecessary;
    }
    if aux.status & STATUS_VLAN != 0 && packet.len() >= HEADER_LEN {
        let tpid = match aux.status & STATUS_VLAN_TPID {
            0 => EtherType::VLAN.0,
            _ => aux.vlan_tpid,
        };
        packet.push(4);
        let frame = packet.bytes_mut();
        frame.copy_within(4..16, 0);
        frame[12..14].copy_from_slice(&tpid.to_be_bytes());
        frame[14..16].copy_from_slice(&aux.vlan_tci.to_be_bytes());
    }
}

/// The state of a frame whose transport checksum the sender left unfinished. Where the field cannot
/// be found, the sender being this machine vouches for the packet.
fn unfinished_checksum(frame: &[u8]) -> ChecksumState {
    let Some((header, ip)) = frame.split_at_checked(HEADER_LEN) else {
        return ChecksumState::Unnecessary;
    };
    let ipv4 = header[12..14] == EtherType::IPV4.0.to_be_bytes();
    let (Some(&version_ihl), Some(&protocol), true) = (ip.first(), ip.get(9), ipv4) else {
        return ChecksumState::Unnecessary;
    };
    let offset = match protocol {
        6 => 16,
        17 => 6,
        _ => return ChecksumState::Unnecessary,
    };
    ChecksumState::Partial { start: u16::from(version_ihl & 0x0f) * 4, offset }
}
