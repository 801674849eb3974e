//! The network that a run uses: a stack, the device under it and the loop that moves frames
//! between them; with a second stack as peer where the system allows no private network.

pub(crate) mod attach;
mod online;
pub(crate) mod restore;

pub use online::Online;

use std::net::IpAddr;

use tapping_drivers::device::Device;
use tapping_drivers::pcap::Capture;
use tapping_drivers::runtime::{Runtime, StackId};
use tapping_drivers::veth;
use tapping_stack::event::Observer;
use tapping_stack::packet::LinkId;
use tapping_stack::time::Instant;
use tapping_stack::wire::{Ipv4Cidr, MacAddr};
use tapping_stack::{Config, Stack};

use crate::failure::Failure;
use crate::names::Target;
use crate::plan::Plan;
use crate::walk::{Logger, Walk, Who};
use attach::{Attached, PEER_LINK, Recording, Wire, check_link, peer_seed, routes};
use restore::Restore;

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

impl Network {
    /// Sets up what the plan says. `link` is the name that the user wants the link to have, if any.
    ///
    /// # Errors
    /// One line on what is wrong; nothing is left behind then.
    pub fn open(plan: &Plan, link: Option<&str>) -> Result<Self, Failure> {
        // Before anything that a signal would leave behind.
        let capture = Recording::create(plan)?;
        let loop_failure = |error| Failure::new(format_args!("cannot start the loop: {error}"));
        let mut runtime = Runtime::new().map_err(loop_failure)?;
        runtime.catch_signals().map_err(loop_failure)?;
        runtime.set_busy_poll(plan.busy_poll);
        let attached = Attached::open(plan, link, capture)?;
        let Attached { wire, name: link_name, mac, mtu, seed, capture, restore } = attached;
        let mut peer = None;
        let (mut device, mut kind): (Box<dyn Device>, Kind) = match wire {
            Wire::PrivateKernel(device) => (device, Kind::PrivateKernel),
            Wire::Outside(device) => (device, Kind::Outside),
            Wire::Peer { addr, ends: [here, there] } => {
                let (here, there) = veth::pair(here, there);
                peer = Some((addr, Box::new(there)));
                (Box::new(here), Kind::Outside)
            }
        };
        if let Some(capture) = &capture {
            device = Box::new(Capture::new(device, capture.file()));
        }

        let (here, link) = add_stack(&mut runtime, plan.addr, device, seed)?;
        runtime
            .stack_mut(here)
            .set_mtu(link, mtu)
            .map_err(|error| Failure::new(format_args!("--mtu {mtu}: {error}")))?;
        if let Some((addr, device)) = peer {
            kind = Kind::Peer(add_stack(&mut runtime, addr, device, peer_seed(seed))?.0);
        }
        let mut network = Network {
            runtime,
            here,
            link,
            link_name: link_name.clone(),
            mac,
            seed,
            kind,
            capture,
            _restore: restore,
        };
        for route in routes(link, plan.gateway) {
            network
                .stack()
                .add_route(route)
                .map_err(|error| Failure::new(format_args!("cannot add a route: {error}")))?;
        }
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
        if let Some(capture) = &self.capture {
            capture.check();
        }
        if turn.closed > 0 {
            let name = &self.link_name;
            return Err(Failure(format!("{name} is gone; was it removed?")));
        }
        Ok(Signals { stop: turn.signals.is_stop(), status: turn.signals.quit })
    }
}

impl Network {
    /// From the first frame on, the capture is worth keeping.
    fn begin(&mut self) {
        if let Some(capture) = &mut self.capture {
            capture.begin();
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Attachment;

    #[test]
    fn nobody_outside_is_asked_about_the_built_in_peer() {
        let plan = Plan {
            attachment: Attachment::Peer("10.0.0.1/24".parse().unwrap()),
            addr: "10.0.0.2/24".parse().unwrap(),
            gateway: None,
            mac: None,
            mtu: None,
            offload: true,
            busy_poll: None,
            pcap: None,
            seed: Some(1),
        };
        let network = Network::open(&plan, None).unwrap();
        assert!(network.is_isolated());
        assert_eq!((network.link_name(), network.other_side()), ("tap0", None));
    }
}
