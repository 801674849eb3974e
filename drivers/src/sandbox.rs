//! A private network with the kernel on one side and a stack on the other.
//!
//! [`Sandbox::enter`] takes the calling process into a new network namespace (with a new user
//! namespace, unless it is the superuser's) and puts a TAP interface there. Where `/dev/net/tun`
//! cannot be opened, which in a user namespace is usual, a kernel veth pair does the same: the
//! kernel has one end, a packet socket on the other is the stack's. All of it is gone when the
//! process ends.

use std::fs;
use std::io;

use rustix::io::Errno;
use tapping_stack::wire::cidr::IpCidr;
use tapping_stack::wire::ethernet::MacAddr;

use crate::device::Device;
use crate::error::{DeviceError, MAX_NAME_LEN, check_interface_name, plain};
use crate::namespace::{self, IdMaps};
use crate::netlink::{LinkInfo, Netlink, NetlinkError};
use crate::packet_socket::{PacketSocket, disable_offloads};
use crate::tap::{Offloads, TapConfig};

/// How the stack is joined to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxKind {
    /// By a TAP interface.
    Tap,
    /// By a kernel veth pair, with a packet socket on the stack's end.
    PacketSocket,
}

/// What a sandbox is to be like.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Name of the stack's link; a "%d" in it becomes 0. A TAP is the kernel's interface too; the
    /// kernel's end of a veth pair is called this and "-k".
    pub name: String,
    /// The stack's link-layer address.
    pub mac: MacAddr,
    /// The kernel's address on the interface, if any.
    pub host_address: Option<IpCidr>,
    /// MTU of both sides.
    pub mtu: u32,
    /// How to join the stack; without a choice by TAP where that can be opened.
    pub kind: Option<SandboxKind>,
    /// Whether a TAP is to leave checksums and cutting to the other side.
    pub offload: bool,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The system lets this user have no namespaces.
    #[error(
        "the system refuses private namespaces ({}): {}",
        plain(error),
        namespace::how_to_allow()
    )]
    Refused {
        /// What the kernel said.
        #[source]
        error: io::Error,
    },
    /// The process has other threads, which would stay behind.
    #[error("a sandbox must be entered before the process starts a thread; it has {0}")]
    Threads(usize),
    /// The device could not be made or set up.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl From<NetlinkError> for SandboxError {
    fn from(error: NetlinkError) -> Self {
        SandboxError::Device(error.into())
    }
}

/// A private network that has been set up: the kernel's side is up and has its address.
pub struct Sandbox {
    /// The stack's side.
    pub device: Box<dyn Device + Send>,
    /// How it is joined to the kernel.
    pub kind: SandboxKind,
    /// What was obtained of offloads, by a TAP that was to have some.
    pub offloads: Option<Offloads>,
    /// The kernel's interface.
    pub host: LinkInfo,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("kind", &self.kind).field("host", &self.host).finish()
    }
}

impl Sandbox {
    /// Takes the process into private namespaces and sets a sandbox up there. The process must
    /// have no other thread, and stays there.
    ///
    /// # Errors
    /// [`SandboxError::Refused`] where the system allows no namespaces; nothing has changed then,
    /// but that the process may have entered a user namespace without rights.
    pub fn enter(config: &SandboxConfig) -> Result<Self, SandboxError> {
        check_interface_name(&config.name)?;
        let threads = namespace::thread_count()
            .map_err(|error| DeviceError::system("count threads", error))?;
        if threads > 1 {
            return Err(SandboxError::Threads(threads));
        }
        namespace::enter(&IdMaps::of_caller()).map_err(|error| {
            if namespace::is_refusal(&error) {
                SandboxError::Refused { error }
            } else {
                DeviceError::system("enter private namespaces", error).into()
            }
        })?;
        Sandbox::set_up(config)
    }

    /// Sets a sandbox up in the network namespace that the caller is in, which must be a private
    /// one.
    ///
    /// # Errors
    /// [`SandboxError::Refused`] where the namespace gives no rights, as AppArmor can have it.
    pub fn set_up(config: &SandboxConfig) -> Result<Self, SandboxError> {
        check_interface_name(&config.name)?;
        let mut netlink =
            Netlink::open().map_err(|error| DeviceError::system("open a routing socket", error))?;
        if let Some(lo) = netlink.link("lo")? {
            netlink.set_up(lo.index, true).map_err(|failure| {
                if failure.error.raw_os_error() == Some(Errno::PERM.raw_os_error()) {
                    SandboxError::Refused { error: failure.error }
                } else {
                    failure.into()
                }
            })?;
        }
        let config = &SandboxConfig { name: config.name.replace("%d", "0"), ..config.clone() };
        let (kind, (device, offloads)) = match config.kind {
            Some(SandboxKind::Tap) => (SandboxKind::Tap, tap(config)?),
            Some(SandboxKind::PacketSocket) => {
                (SandboxKind::PacketSocket, packet_socket(config, &mut netlink)?)
            }
            None => match tap(config) {
                Ok(device) => (SandboxKind::Tap, device),
                Err(
                    DeviceError::NoTun(_)
                    | DeviceError::TunAccess(_)
                    | DeviceError::Permission { .. },
                ) => (SandboxKind::PacketSocket, packet_socket(config, &mut netlink)?),
                Err(error) => return Err(error.into()),
            },
        };
        let host_name = match kind {
            SandboxKind::Tap => config.name.clone(),
            SandboxKind::PacketSocket => host_end(&config.name),
        };
        let host = existing(&mut netlink, &host_name)?;
        quiet(&host_name);
        netlink.set_up(host.index, true)?;
        if kind == SandboxKind::PacketSocket {
            netlink.wait_operational(&host_name)?;
            netlink.wait_operational(device.name())?;
        }
        if let Some(address) = config.host_address {
            netlink.add_address(host.index, address)?;
        }
        let host = existing(&mut netlink, &host_name)?;
        Ok(Sandbox { device, kind, offloads, host })
    }
}

/// The stack's side, and what it obtained of offloads.
type Joined = (Box<dyn Device + Send>, Option<Offloads>);

fn tap(config: &SandboxConfig) -> Result<Joined, DeviceError> {
    let mut tap = TapConfig::new(&config.name, config.mac).offload(config.offload).open()?;
    tap.set_mtu(config.mtu)?;
    let offloads = tap.offloads();
    Ok((Box::new(tap), offloads))
}

/// Makes a veth pair whose far end is the stack's. The kernel is kept off that end.
fn packet_socket(config: &SandboxConfig, netlink: &mut Netlink) -> Result<Joined, DeviceError> {
    let end = config.name.as_str();
    let host = host_end(end);
    netlink.create_veth(&host, end)?;
    for name in [host.as_str(), end] {
        disable_offloads(name)
            .map_err(|error| DeviceError::system(format!("turn off offloads of {name}"), error))?;
        let index = existing(netlink, name)?.index;
        netlink.set_mtu(index, config.mtu)?;
    }
    quiet(end);
    let index = existing(netlink, end)?.index;
    netlink.set_no_arp(index, true)?;
    netlink.set_up(index, true)?;
    Ok((Box::new(PacketSocket::open(end, config.mac)?), None))
}

/// A name for the kernel's end of the pair, as near to the stack's as the length allows.
fn host_end(name: &str) -> String {
    const SUFFIX: &str = "-k";
    let mut end = name.to_owned();
    while end.len() + SUFFIX.len() > MAX_NAME_LEN {
        end.pop();
    }
    end + SUFFIX
}

fn existing(netlink: &mut Netlink, name: &str) -> Result<LinkInfo, DeviceError> {
    netlink.link(name)?.ok_or_else(|| DeviceError::NoSuchInterface { name: name.to_owned() })
}

/// Keeps the kernel from multicasting IPv6 router solicitations and listener reports on the
/// interface. A kernel without IPv6 has nothing to be kept from.
fn quiet(name: &str) {
    let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
}
