//! Opening the device that a run uses, as the [`Plan`] says. Whoever runs a stack on it, a
//! [`Network`](super::Network) or something else, gets it ready to be attached.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use tapping_drivers::device::{Device, DeviceConfig};
use tapping_drivers::netlink::{LinkInfo, Netlink};
use tapping_drivers::packet_socket::PacketSocket;
use tapping_drivers::pcap::CaptureFile;
use tapping_drivers::random;
use tapping_drivers::sandbox::{Sandbox, SandboxConfig, SandboxKind};
use tapping_drivers::tap::{Offloads, TapConfig};
use tapping_stack::packet::LinkId;
use tapping_stack::route::Route;
use tapping_stack::wire::{IpCidr, Ipv4Cidr, MacAddr};

use super::restore::Restore;
use crate::failure::{Failure, say};
use crate::plan::{Attachment, Plan};

/// Name of the stack's link wherever the tool makes it, whatever it is made of.
const OWN_LINK: &str = "tap0";
/// Name of the built-in peer's link.
pub const PEER_LINK: &str = "peer0";

/// What a stack is to be attached to, and what it is to be like. The fields are dropped in order: a
/// TAP of ours is gone before anything is put back on it.
pub struct Attached {
    /// The way out.
    pub wire: Wire,
    /// The device's name.
    pub name: String,
    /// The stack's link-layer address.
    pub mac: MacAddr,
    /// The MTU of the stack's link.
    pub mtu: usize,
    /// The seed of the stack's random choices.
    pub seed: u64,
    /// Where to write what passes the device.
    pub capture: Option<Recording>,
    /// What to put back.
    pub restore: Option<Restore>,
}

/// What the link is made of, and so what is at its other end.
pub enum Wire {
    /// A device that leads to the kernel, in a private network.
    PrivateKernel(Box<dyn Device + Send>),
    /// A device that leads wherever its interface does.
    Outside(Box<dyn Device + Send>),
    /// A virtual pair to be made, of the stack's end and the peer's.
    Peer {
        /// The peer's address.
        addr: Ipv4Cidr,
        /// The two ends.
        ends: [DeviceConfig; 2],
    },
}

impl Wire {
    fn name_and_mtu(&self) -> (&str, usize) {
        match self {
            Wire::PrivateKernel(device) | Wire::Outside(device) => (device.name(), device.mtu()),
            Wire::Peer { ends: [here, _], .. } => (&here.name, here.mtu),
        }
    }
}

impl Attached {
    /// Opens what the plan says. `link` is the name that the user wants the link to have, if any;
    /// `capture` comes from [`Recording::create`].
    ///
    /// # Errors
    /// One line on what is wrong; nothing is left behind then.
    pub fn open(
        plan: &Plan,
        link: Option<&str>,
        capture: Option<Recording>,
    ) -> Result<Self, Failure> {
        let seed = match plan.seed {
            Some(seed) => seed,
            None => random::seed().map_err(|error| {
                Failure::new(format_args!("no randomness: {error}; give --seed"))
            })?,
        };
        let mac = plan.mac.unwrap_or_else(|| mac_of(plan.addr.addr()));
        let (wire, restore) = open_wire(plan, mac)?;
        let (name, most) = wire.name_and_mtu();
        check_link(link, name)?;
        let (mtu, name) = (link_mtu(plan, name, most)?, name.to_string());
        Ok(Attached { wire, name, mac, mtu, seed, capture, restore })
    }
}

/// Routes for all that is not in the subnet: groups and the limited broadcast to the one link there
/// is, the rest through the router.
pub fn routes(link: LinkId, gateway: Option<Ipv4Addr>) -> impl Iterator<Item = Route> {
    let prefix = |addr: Ipv4Addr, len| {
        IpCidr::new(addr.into(), len).expect("an IPv4 prefix is at most 32 bits")
    };
    let groups = Route::direct(prefix(Ipv4Addr::new(224, 0, 0, 0), 4), link);
    let everybody = Route::direct(prefix(Ipv4Addr::BROADCAST, 32), link);
    let rest = gateway.map(|gateway| Route::via(prefix(Ipv4Addr::UNSPECIFIED, 0), gateway.into()));
    [groups, everybody].into_iter().chain(rest)
}

/// The name that the user gave must be one of the two links there are.
pub fn check_link(wanted: Option<&str>, link_name: &str) -> Result<(), Failure> {
    match wanted {
        Some(name) if name != link_name && name != "lo" => Err(Failure(format!(
            "-I {name}: the stack has no such link or address; its links are lo and {link_name}"
        ))),
        _ => Ok(()),
    }
}

/// The peer's random choices are not the stack's own.
pub fn peer_seed(seed: u64) -> u64 {
    !seed
}

/// A capture, which goes away with a run that never came to anything.
pub struct Recording {
    file: CaptureFile,
    used: bool,
}

impl Recording {
    /// The file.
    pub fn file(&self) -> &CaptureFile {
        &self.file
    }

    /// Makes the file that the plan names. It may be a pipe that blocks until it is read, so do
    /// this while a signal still ends the process.
    pub fn create(plan: &Plan) -> Result<Option<Self>, Failure> {
        plan.pcap.as_deref().map(create_capture).transpose()
    }

    /// From the first frame on, the capture is worth keeping.
    pub fn begin(&mut self) {
        self.used = true;
    }

    /// Says, once, when the capture cannot be written any more.
    pub fn check(&self) {
        if let Some(error) = self.file.take_error() {
            let error = Failure::new(error);
            say(format_args!("tapping: the capture ends early, the rest goes on: {error}"));
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.used {
            self.file.flush();
            self.check();
        } else {
            self.file.discard();
        }
    }
}

fn open_wire(plan: &Plan, mac: MacAddr) -> Result<(Wire, Option<Restore>), Failure> {
    match &plan.attachment {
        Attachment::Tap { name, host } => {
            let (wire, restore) = open_tap(plan, name, *host, mac)?;
            Ok((wire, Some(restore)))
        }
        Attachment::Packet(name) => {
            let socket = PacketSocket::open(name, mac).map_err(Failure::new)?;
            check_addresses(plan, socket.link())?;
            Ok((Wire::Outside(Box::new(socket)), None))
        }
        Attachment::Private(host) => Ok((open_private(plan, *host, mac), None)),
        Attachment::Peer(host) => Ok((peer(plan, *host, mac), None)),
    }
}

fn open_private(plan: &Plan, host: Ipv4Cidr, mac: MacAddr) -> Wire {
    let config = SandboxConfig {
        name: OWN_LINK.into(),
        mac,
        host_address: Some(host.into()),
        mtu: plan.mtu_or_default(),
        kind: None,
        offload: plan.offload,
    };
    match Sandbox::enter(&config) {
        Ok(sandbox) => {
            let device = sandbox.device;
            tracing::info!(by = ?sandbox.kind, link = device.name(), %host, "in a private network");
            if sandbox.kind == SandboxKind::Tap {
                log_offloads(plan, device.name(), sandbox.offloads);
            }
            Wire::PrivateKernel(device)
        }
        // Whatever this system lacks, there is always somebody to ping.
        Err(error) => {
            let why = Failure::new(error);
            say(format_args!("tapping: {why}; using the built-in peer instead"));
            peer(plan, host, mac)
        }
    }
}

/// A wire to a second stack in this process.
fn peer(plan: &Plan, host: Ipv4Cidr, mac: MacAddr) -> Wire {
    let mtu = plan.mtu_or_default() as usize;
    let [here, there] = [OWN_LINK, PEER_LINK].map(String::from);
    let peer_mac = mac_of(host.addr());
    tracing::info!(%host, mac = %peer_mac, "the built-in peer is at the other end");
    let here = DeviceConfig { name: here, mac, mtu };
    let there = DeviceConfig { name: there, mac: peer_mac, mtu };
    Wire::Peer { addr: host, ends: [here, there] }
}

fn open_tap(
    plan: &Plan,
    name: &str,
    host: Option<Ipv4Cidr>,
    mac: MacAddr,
) -> Result<(Wire, Restore), Failure> {
    let config = TapConfig::new(name, mac).offload(plan.offload);
    let mut tap = config.open().map_err(Failure::new)?;
    log_offloads(plan, tap.name(), tap.offloads());
    check_addresses(plan, tap.link())?;
    let mut restore = Restore::new(tap.link());
    if let Some(mtu) = plan.mtu {
        tap.set_mtu(mtu).map_err(Failure::new)?;
    }
    restore.bring_up(host)?;
    Ok((Wire::Outside(Box::new(tap)), restore))
}

/// Says what a TAP could not have of what was asked for, or with `-v` what it has.
fn log_offloads(plan: &Plan, link: &str, offloads: Option<Offloads>) {
    let missing = Offloads::ALL.without(offloads.unwrap_or_default());
    if plan.offload && missing != Offloads::default() {
        tracing::warn!(link, %missing, "the kernel does not offload everything");
    } else if let Some(offloads) = offloads {
        tracing::info!(link, %offloads, "offload");
    }
}

/// The kernel must not have the stack's address on the same wire.
fn check_addresses(plan: &Plan, link: &LinkInfo) -> Result<(), Failure> {
    let addresses = Netlink::open()
        .map_err(|error| Failure::new(format_args!("cannot open a routing socket: {error}")))?
        .addresses()
        .map_err(Failure::new)?;
    let own = IpAddr::V4(plan.addr.addr());
    let taken = addresses.iter().any(|(index, cidr)| *index == link.index && cidr.addr() == own);
    if taken {
        return Err(Failure(format!(
            "{own} is the kernel's own address on {}; give the stack another with --addr",
            link.name
        )));
    }
    Ok(())
}

fn link_mtu(plan: &Plan, name: &str, most: usize) -> Result<usize, Failure> {
    let Some(mtu) = plan.mtu else { return Ok(most) };
    let mtu = mtu as usize;
    if mtu > most {
        return Err(Failure(format!("--mtu {mtu} is more than {name} takes; give at most {most}")));
    }
    Ok(mtu)
}

fn create_capture(path: &Path) -> Result<Recording, Failure> {
    let created = CaptureFile::create(path).map_err(|error| {
        Failure::new(format_args!(
            "cannot write the capture {}: {error}; choose another file with --pcap",
            path.display()
        ))
    });
    Ok(Recording { file: created?, used: false })
}

/// The link-layer address of a stack of ours, unless the user chose one: locally administered, and
/// the same in every run with this address, so that what neighbours remember stays right.
fn mac_of(addr: Ipv4Addr) -> MacAddr {
    let [a, b, c, d] = addr.octets();
    MacAddr([0x02, 0x74, a, b, c, d])
}
