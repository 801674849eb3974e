//! The network of the tools that use sockets: a stack that runs by itself, as the [`Plan`] says.

use std::fs;
use std::path::PathBuf;
use std::pin::pin;

use tapping_drivers::device::Device;
use tapping_drivers::net::{Builder, Driver, Finished, Net};
use tapping_drivers::pcap::Capture;
use tapping_drivers::runtime::{Runtime, Signals};
use tapping_drivers::veth;
use tapping_stack::wire::Ipv4Cidr;

use super::attach::{Attached, PEER_LINK, Recording, Wire, peer_seed, routes};
use super::restore::Restore;
use super::{logs_packets, loop_error};
use crate::failure::{Failure, Stop};
use crate::plan::Plan;
use crate::walk::{Logger, Who};

/// A [`Net`], and what drives it on the thread that calls [`block_on`](Self::block_on). The fields
/// are dropped in order: a TAP of ours is gone before anything is put back on it, and a capture is
/// written when all has passed.
pub struct Online {
    driver: Driver,
    net: Net,
    link_name: String,
    privately: Option<Privately>,
    peer: Option<Net>,
    capture: Option<Recording>,
    _restore: Option<Restore>,
}

/// In a private network, with the kernel.
struct Privately {
    /// Whoever enters has to enter a user namespace, too.
    own_user: bool,
}

impl Online {
    /// Sets up what the plan says.
    ///
    /// # Errors
    /// One line on what is wrong; nothing is left behind then.
    pub fn open(plan: &Plan) -> Result<Self, Stop> {
        // Before anything that a signal would leave behind, and until the driver catches them.
        let capture = Recording::create(plan)?;
        let mut runtime = Runtime::new().map_err(loop_error)?;
        runtime.catch_signals().map_err(loop_error)?;
        let user_before = user_namespace();
        let attached = Attached::open(plan, None, capture)?;
        let Attached { wire, name: link_name, mtu, seed, capture, restore, .. } = attached;
        let mut peer = None;
        let mut privately = None;
        let mut device: Box<dyn Device + Send> = match wire {
            Wire::PrivateKernel(device) => {
                privately = Some(Privately { own_user: user_namespace() != user_before });
                device
            }
            Wire::Outside(device) => device,
            Wire::Peer { addr, ends: [here, there] } => {
                let (here, there) = veth::channel_pair(here, there).map_err(loop_error)?;
                let builder = builder(there, addr, peer_seed(seed), Who::Peer, PEER_LINK);
                peer = Some(builder.start().map_err(loop_error)?);
                Box::new(here)
            }
        };
        if let Some(capture) = &capture {
            device = Box::new(Capture::new(device, capture.file()));
        }
        let (net, driver) = builder(device, plan.addr, seed, Who::Here, &link_name)
            .mtu(mtu)
            .busy_poll(plan.busy_poll.unwrap_or_default())
            .catch_signals()
            .build()
            .map_err(loop_error)?;
        let mut online =
            Online { driver, net, link_name, privately, peer, capture, _restore: restore };
        online.add_routes(plan)?;
        let turn = runtime.turn(Some(runtime.now())).map_err(loop_error)?;
        if let Some(number) = stop_number(turn.signals) {
            return Err(Stop::Signal(number));
        }
        if let Some(capture) = &mut online.capture {
            capture.begin();
        }
        Ok(online)
    }

    /// The stack.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// The built-in peer, if that is at the other end.
    pub fn peer(&self) -> Option<&Net> {
        self.peer.as_ref()
    }

    /// How others enter the private network that this is in, if it is in one.
    pub fn entrance(&self) -> Option<String> {
        let privately = self.privately.as_ref()?;
        let user = if privately.own_user { " -U --preserve-credentials" } else { "" };
        Some(format!("nsenter -t {} -n{user} COMMAND", std::process::id()))
    }

    /// Runs until `future` is done, or a signal that it does not await says to stop.
    pub fn block_on<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Stop> {
        let mut future = pin!(future);
        loop {
            let finished = self.driver.block_on(future.as_mut()).map_err(loop_error)?;
            if let Some(capture) = &self.capture {
                capture.check();
            }
            match finished {
                Finished::Done(output) => return Ok(output),
                Finished::Signal(signals) => {
                    if let Some(number) = stop_number(signals) {
                        return Err(Stop::Signal(number));
                    }
                }
            }
        }
    }

    fn add_routes(&self, plan: &Plan) -> Result<(), Failure> {
        self.net.with(|stack, _| {
            let Some(link) = stack.interfaces().by_name(&self.link_name).map(|link| link.id) else {
                return Err(Failure(format!("{} is gone; was it removed?", self.link_name)));
            };
            for route in routes(link, plan.gateway) {
                stack
                    .add_route(route)
                    .map_err(|error| Failure::new(format_args!("cannot add a route: {error}")))?;
            }
            Ok(())
        })
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        for shard in 0..self.net.shards() {
            let drops = self.net.with_shard(shard, |stack, _| stack.snapshot().drops);
            for (reason, count) in drops {
                tracing::info!(count, "dropped: {}", reason.text());
            }
        }
    }
}

/// A stack with one address, on its device.
fn builder(
    device: impl Device + Send + 'static,
    addr: Ipv4Cidr,
    seed: u64,
    who: Who,
    link: &str,
) -> Builder {
    let builder = Net::builder().device(device).address(addr.into()).seed(seed);
    if !logs_packets() {
        return builder;
    }
    let link = link.to_string();
    builder.setup(move |stack, _| {
        stack.set_observer(Some(Logger::new(who, &link, None)));
    })
}

/// What tells the user namespace of this process from others.
fn user_namespace() -> Option<PathBuf> {
    fs::read_link("/proc/self/ns/user").ok()
}

/// The number of a signal that says to stop.
fn stop_number(signals: Signals) -> Option<u8> {
    let Signals { interrupt, terminate, hangup, .. } = signals;
    [(hangup, 1), (interrupt, 2), (terminate, 15)]
        .into_iter()
        .find_map(|(caught, number)| caught.then_some(number))
}
