//! The network that a run uses: a stack, the device under it and the loop that moves frames
//! between them; with a second stack as peer where the system allows no private network.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use tapping_drivers::device::{Device, DeviceConfig};
use tapping_drivers::netlink::{LinkInfo, Netlink, NetlinkError};
use tapping_drivers::packet_socket::PacketSocket;
use tapping_drivers::pcap::{Capture, CaptureFile};
use tapping_drivers::random;
use tapping_drivers::runtime::{Runtime, StackId};
use tapping_drivers::sandbox::{Sandbox, SandboxConfig};
use tapping_drivers::tap::Tap;
use tapping_drivers::veth;
use tapping_stack::event::Observer;
use tapping_stack::packet::LinkId;
use tapping_stack::route::Route;
use tapping_stack::time::Instant;
use tapping_stack::wire::{IpCidr, Ipv4Cidr, MacAddr};
use tapping_stack::{Config, Stack};

use crate::failure::{Failure, say};
use crate::names::Target;
use crate::plan::{Attachment, Plan};
use crate::walk::{Logger, Walk, Who};

/// Name of the stack's link wherever the tool makes it, whatever it is made of.
const OWN_LINK: &str = "tap0";
/// Name of the built-in peer's link.
const PEER_LINK: &str = "peer0";

/// A stack on a network. The fields are dropped in order: a TAP of ours is gone before anything is
/// put back on it.
pub struct Network {
    runtime: Runtime,
    here: StackId,
    link: LinkId,
    link_name: String,
    mac: MacAddr,
    seed: u64,
    kind: Kind,
    capture: Option<Recording>,
    _restore: Option<Restore>,
}

/// What is at the other end of the link.
enum Kind {
    /// The kernel, in a private network.
    PrivateKernel,
    /// Another stack of ours, with its link.
    Peer(StackId),
    /// Whatever the interface leads to.
    Outside,
}

/// Signals that came while waiting.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signals {
    /// SIGINT, SIGTERM or SIGHUP: come to an end.
    pub stop: bool,
    /// SIGQUIT: say how things are.
    pub status: bool,
}

/// A device, and what is known of its other end.
struct Opened {
    device: Box<dyn Device>,
    kind: OpenedKind,
    restore: Option<Restore>,
}

enum OpenedKind {
    PrivateKernel,
    Peer(Ipv4Cidr, Box<dyn Device>),
    Outside,
}

impl Network {
    /// Sets up what the plan says. `link` is the name that the user wants the link to have, if any.
    ///
    /// # Errors
    /// One line on what is wrong; nothing is left behind then.
    pub fn open(plan: &Plan, link: Option<&str>) -> Result<Self, Failure> {
        let seed = match plan.seed {
            Some(seed) => seed,
            None => random::seed().map_err(|error| {
                Failure::new(format_args!("no randomness: {error}; give --seed"))
            })?,
        };
        let mac = plan.mac.unwrap_or_else(|| mac_of(plan.addr.addr()));
        // Before anything that a signal would leave behind. A capture may be a pipe that blocks
        // until it is read, so it is opened while a signal still ends the process.
        let capture = plan.pcap.as_deref().map(create_capture).transpose()?;
        let loop_failure = |error| Failure::new(format_args!("cannot start the loop: {error}"));
        let mut runtime = Runtime::new().map_err(loop_failure)?;
        runtime.catch_signals().map_err(loop_failure)?;
        let opened = open_device(plan, mac)?;
        let link_name = opened.device.name().to_string();
        check_link(link, &link_name)?;
        let mtu = link_mtu(plan, opened.device.as_ref())?;
        let device: Box<dyn Device> = match &capture {
            Some(Recording { file, .. }) => Box::new(Capture::new(opened.device, file)),
            None => opened.device,
        };

        let (here, link) = add_stack(&mut runtime, plan.addr, device, seed)?;
        runtime
            .stack_mut(here)
            .set_mtu(link, mtu)
            .map_err(|error| Failure::new(format_args!("--mtu {mtu}: {error}")))?;
        let kind = match opened.kind {
            OpenedKind::PrivateKernel => Kind::PrivateKernel,
            OpenedKind::Outside => Kind::Outside,
            OpenedKind::Peer(addr, device) => {
                Kind::Peer(add_stack(&mut runtime, addr, device, peer_seed(seed))?.0)
            }
        };
        let mut network = Network {
            runtime,
            here,
            link,
            link_name: link_name.clone(),
            mac,
            seed,
            kind,
            capture,
            _restore: opened.restore,
        };
        network.add_routes(plan.gateway)?;
        if logs_packets() {
            network.stack().set_observer(Some(Logger::new(Who::Here, &link_name, None)));
        }
        Ok(network)
    }

    /// The stack.
    pub fn stack(&mut self) -> &mut Stack {
        self.runtime.stack_mut(self.here)
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.runtime.now()
    }

    /// The link that is not the loopback.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// Its name.
    pub fn link_name(&self) -> &str {
        &self.link_name
    }

    /// Its address.
    pub fn mac(&self) -> MacAddr {
        self.mac
    }

    /// The seed of the stack's random choices.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether nobody but the other end can be reached. Its addresses mean something else to name
    /// servers, where there are any.
    pub fn is_isolated(&self) -> bool {
        matches!(self.kind, Kind::PrivateKernel | Kind::Peer(_))
    }

    /// Who is at the other end, where that is not a stack that is watched as well.
    pub fn other_side(&self) -> Option<&'static str> {
        match self.kind {
            Kind::PrivateKernel => Some("the kernel"),
            Kind::Outside => Some("the other side"),
            Kind::Peer(_) => None,
        }
    }

    /// The link of this name.
    pub fn link_called(&mut self, name: &str) -> Result<LinkId, Failure> {
        check_link(Some(name), &self.link_name)?;
        Ok(if name == self.link_name { self.link } else { LinkId::LOOPBACK })
    }

    /// The source address for `target`.
    pub fn source_for(&mut self, target: &Target) -> Result<IpAddr, Failure> {
        self.stack()
            .source_for(target.addr.into())
            .map_err(|error| Failure::new(format_args!("{}: {error}", target.name)))
    }

    /// Shows `observer` what happens in the stack of `who`, if there is such a stack.
    pub fn watch(&mut self, who: Who, observer: Box<dyn Observer + Send>) {
        let stack = match (who, &self.kind) {
            (Who::Here, _) => self.here,
            (Who::Peer, Kind::Peer(peer)) => *peer,
            (Who::Peer, _) => return,
        };
        let observer = if logs_packets() {
            Logger::new(who, &self.link_name, Some(observer))
        } else {
            observer
        };
        self.runtime.stack_mut(stack).set_observer(Some(observer));
    }

    /// Begins to write down the way of packets, at both ends where both are ours.
    pub fn walk(&mut self) -> Walk {
        let walk = Walk::default();
        let link = self.link_name.clone();
        self.watch(Who::Here, walk.observer(Who::Here, &link));
        self.watch(Who::Peer, walk.observer(Who::Peer, PEER_LINK));
        walk
    }

    /// Lets what the stack was given to send leave now, and takes in what has arrived, without
    /// waiting.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.begin();
        self.runtime.flush().map_err(loop_error)
    }

    /// Moves frames until something has arrived for the stack's sockets, `until` or a signal.
    pub fn wait(&mut self, until: Option<Instant>) -> Result<Signals, Failure> {
        self.begin();
        let turn = self.runtime.turn(until).map_err(loop_error)?;
        self.check_capture();
        if turn.closed > 0 {
            let name = &self.link_name;
            return Err(Failure(format!("{name} is gone; was it removed?")));
        }
        Ok(Signals { stop: turn.signals.is_stop(), status: turn.signals.quit })
    }
}

impl Network {
    /// Routes for all that is not in the subnet: groups and the limited broadcast to the one link
    /// there is, the rest through the router.
    fn add_routes(&mut self, gateway: Option<Ipv4Addr>) -> Result<(), Failure> {
        let link = self.link;
        let prefix = |addr: Ipv4Addr, len| {
            IpCidr::new(addr.into(), len).expect("an IPv4 prefix is at most 32 bits")
        };
        let groups = Route::direct(prefix(Ipv4Addr::new(224, 0, 0, 0), 4), link);
        let everybody = Route::direct(prefix(Ipv4Addr::BROADCAST, 32), link);
        let rest =
            gateway.map(|gateway| Route::via(prefix(Ipv4Addr::UNSPECIFIED, 0), gateway.into()));
        for route in [groups, everybody].into_iter().chain(rest) {
            self.stack()
                .add_route(route)
                .map_err(|error| Failure::new(format_args!("cannot add a route: {error}")))?;
        }
        Ok(())
    }

    /// From the first frame on, the capture is worth keeping.
    fn begin(&mut self) {
        if let Some(capture) = &mut self.capture {
            capture.used = true;
        }
    }

    /// Says, once, when the capture cannot be written any more.
    fn check_capture(&self) {
        if let Some(error) = self.capture.as_ref().and_then(|capture| capture.file.take_error()) {
            let error = Failure::new(error);
            say(format_args!("tapping: the capture ends early, the rest goes on: {error}"));
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(capture) = &self.capture {
            capture.file.flush();
        }
        self.check_capture();
        for (reason, count) in self.runtime.stack(self.here).snapshot().drops {
            tracing::info!(count, "dropped: {}", reason.text());
        }
    }
}

fn loop_error(error: std::io::Error) -> Failure {
    Failure::new(format_args!("cannot wait for packets: {error}"))
}

/// Whether every packet is logged (`-vv`).
fn logs_packets() -> bool {
    tracing::enabled!(target: "tapping::packets", tracing::Level::DEBUG)
}

fn open_device(plan: &Plan, mac: MacAddr) -> Result<Opened, Failure> {
    match &plan.attachment {
        Attachment::Tap { name, host } => open_tap(plan, name, *host, mac),
        Attachment::Packet(name) => {
            let socket = PacketSocket::open(name, mac).map_err(Failure::new)?;
            check_addresses(plan, socket.link())?;
            Ok(Opened { device: Box::new(socket), kind: OpenedKind::Outside, restore: None })
        }
        Attachment::Private(host) => Ok(open_private(plan, *host, mac)),
        Attachment::Peer(host) => Ok(open_peer(plan, *host, mac)),
    }
}

fn open_private(plan: &Plan, host: Ipv4Cidr, mac: MacAddr) -> Opened {
    let config = SandboxConfig {
        name: OWN_LINK.into(),
        mac,
        host_address: Some(host.into()),
        mtu: plan.mtu_or_default(),
        kind: None,
        offload: true,
    };
    match Sandbox::enter(&config) {
        Ok(sandbox) => {
            let device = sandbox.device;
            tracing::info!(by = ?sandbox.kind, link = device.name(), %host, "in a private network");
            Opened { device, kind: OpenedKind::PrivateKernel, restore: None }
        }
        // Whatever this system lacks, there is always somebody to ping.
        Err(error) => {
            let why = Failure::new(error);
            say(format_args!("tapping: {why}; using the built-in peer instead"));
            open_peer(plan, host, mac)
        }
    }
}

/// A wire to a second stack in this process.
fn open_peer(plan: &Plan, host: Ipv4Cidr, mac: MacAddr) -> Opened {
    let mtu = plan.mtu_or_default() as usize;
    let [here, there] = [OWN_LINK, PEER_LINK].map(String::from);
    let peer_mac = mac_of(host.addr());
    let (device, peer) = veth::pair(
        DeviceConfig { name: here, mac, mtu },
        DeviceConfig { name: there, mac: peer_mac, mtu },
    );
    tracing::info!(%host, mac = %peer_mac, "the built-in peer is at the other end");
    let kind = OpenedKind::Peer(host, Box::new(peer));
    Opened { device: Box::new(device), kind, restore: None }
}

fn open_tap(
    plan: &Plan,
    name: &str,
    host: Option<Ipv4Cidr>,
    mac: MacAddr,
) -> Result<Opened, Failure> {
    let mut tap = Tap::open(name, mac).map_err(Failure::new)?;
    check_addresses(plan, tap.link())?;
    let mut restore = Restore::new(tap.link());
    if let Some(mtu) = plan.mtu {
        tap.set_mtu(mtu).map_err(Failure::new)?;
    }
    restore.bring_up(host)?;
    Ok(Opened { device: Box::new(tap), kind: OpenedKind::Outside, restore: Some(restore) })
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

/// The name that the user gave must be one of the two links there are.
fn check_link(wanted: Option<&str>, link_name: &str) -> Result<(), Failure> {
    match wanted {
        Some(name) if name != link_name && name != "lo" => Err(Failure(format!(
            "-I {name}: the stack has no such link or address; its links are lo and {link_name}"
        ))),
        _ => Ok(()),
    }
}

fn link_mtu(plan: &Plan, device: &dyn Device) -> Result<usize, Failure> {
    let Some(mtu) = plan.mtu else { return Ok(device.mtu()) };
    let mtu = mtu as usize;
    if mtu > device.mtu() {
        return Err(Failure(format!(
            "--mtu {mtu} is more than {} takes; give at most {}",
            device.name(),
            device.mtu()
        )));
    }
    Ok(mtu)
}

/// A capture, which goes away with a run that never came to anything.
struct Recording {
    file: CaptureFile,
    used: bool,
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.used {
            self.file.discard();
        }
    }
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

/// A stack with one address, on its device.
fn add_stack(
    runtime: &mut Runtime,
    addr: Ipv4Cidr,
    device: Box<dyn Device>,
    seed: u64,
) -> Result<(StackId, LinkId), Failure> {
    let id = runtime.add_stack(Stack::new(Config::default(), seed));
    let link = runtime
        .attach(id, device)
        .map_err(|error| Failure::new(format_args!("cannot set up the link: {error}")))?;
    let now = runtime.now();
    runtime
        .stack_mut(id)
        .add_address(now, link, addr.into())
        .map_err(|error| Failure::new(format_args!("cannot set up the address {addr}: {error}")))?;
    Ok((id, link))
}

/// The link-layer address of a stack of ours, unless the user chose one: locally administered, and
/// the same in every run with this address, so that what neighbours remember stays right.
fn mac_of(addr: Ipv4Addr) -> MacAddr {
    let [a, b, c, d] = addr.octets();
    MacAddr([0x02, 0x74, a, b, c, d])
}

/// The peer's random choices are not the stack's own.
fn peer_seed(seed: u64) -> u64 {
    !seed
}

/// What was changed on an interface that may outlive this process.
struct Restore {
    link: LinkInfo,
    address: Option<IpCidr>,
}

impl Restore {
    fn new(link: &LinkInfo) -> Self {
        Restore { link: link.clone(), address: None }
    }

    /// Brings the kernel's side up, with this address.
    fn bring_up(&mut self, address: Option<Ipv4Cidr>) -> Result<(), Failure> {
        let mut netlink = Netlink::open()
            .map_err(|error| Failure::new(format_args!("cannot open a routing socket: {error}")))?;
        let address = address.map(IpCidr::from);
        let index = self.link.index;
        let present = netlink.addresses().map_err(Failure::new)?;
        let has_address = |&(of, cidr): &(u32, IpCidr)| of == index && cidr.addr().is_ipv4();
        let mute = address.is_none() && !self.link.is_up() && !present.iter().any(has_address);
        if let Some(address) = address.filter(|address| !present.contains(&(index, *address))) {
            netlink
                .add_address(index, address)
                .map_err(|error| self.advise(error, &format!("addr add {address} dev")))?;
            self.address = Some(address);
        }
        if !self.link.is_up() {
            netlink.set_up(index, true).map_err(|error| self.advise(error, "link set up dev"))?;
        }
        if mute {
            let name = &self.link.name;
            say(format_args!(
                "tapping: {name} has no address on the kernel's side; --host-addr gives it one"
            ));
        }
        Ok(())
    }

    /// What is wrong, and for a user who may not do it the ip(8) command for those who may.
    fn advise(&self, error: NetlinkError, command: &str) -> Failure {
        let name = &self.link.name;
        if error.error.kind() != std::io::ErrorKind::PermissionDenied {
            return Failure::new(error);
        }
        Failure(format!(
            "cannot {}: it takes CAP_NET_ADMIN, so first run `sudo ip {command} {name}`",
            error.request
        ))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        // An interface that was made for this run is gone by now, and its address with it.
        let Ok(mut netlink) = Netlink::open() else { return };
        if let Ok(Some(link)) = netlink.link(&self.link.name)
            && link.index == self.link.index
        {
            if let Some(address) = self.address {
                let _ = netlink.delete_address(link.index, address);
            }
            if link.mtu != self.link.mtu {
                let _ = netlink.set_mtu(link.index, self.link.mtu);
            }
            if !self.link.is_up() {
                let _ = netlink.set_up(link.index, false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_outside_is_asked_about_the_built_in_peer() {
        let plan = Plan {
            attachment: Attachment::Peer("10.0.0.1/24".parse().unwrap()),
            addr: "10.0.0.2/24".parse().unwrap(),
            gateway: None,
            mac: None,
            mtu: None,
            pcap: None,
            seed: Some(1),
        };
        let network = Network::open(&plan, None).unwrap();
        assert!(network.is_isolated());
        assert_eq!((network.link_name(), network.other_side()), ("tap0", None));
    }
}
