//! A stack with sockets on the network that the options describe.

use tapping_drivers::device::Device;
use tapping_drivers::net::{Builder, Driver, Net};
use tapping_drivers::pcap::Capture;
use tapping_drivers::veth;

use crate::failure::Failure;
use crate::network::attach::{Attached, Recording, Wire, peer_seed, routes};
use crate::network::restore::Restore;
use crate::plan::Plan;

/// What lives as long as the stack. The fields are dropped in order.
pub struct Host {
    /// The stack.
    pub net: Net,
    /// What drives it.
    pub driver: Driver,
    /// The stack at the other end, where that is the built-in peer.
    pub peer: Option<Net>,
    _capture: Option<Recording>,
    _restore: Option<Restore>,
}

impl Host {
    /// Sets it up.
    pub fn open(plan: &Plan) -> Result<Self, Failure> {
        let mut capture = Recording::create(plan)?;
        if let Some(capture) = &mut capture {
            capture.begin();
        }
        let failure = |error| Failure::new(format_args!("cannot start the stack: {error}"));
        let attached = Attached::open(plan, None, capture)?;
        let gateway = plan.gateway;
        let builder = |device: Box<dyn Device + Send>| {
            Net::builder().queues(vec![device]).setup(move |stack, link| {
                for route in routes(link, gateway) {
                    let _ = stack.add_route(route);
                }
            })
        };
        let mut peer = None;
        let device: Box<dyn Device + Send> = match attached.wire {
            Wire::PrivateKernel(device) | Wire::Outside(device) => device,
            Wire::Peer { addr, ends: [here, there] } => {
                let (here, there) = veth::channel_pair(here, there).map_err(failure)?;
                let seed = peer_seed(attached.seed);
                let net = builder(Box::new(there)).address(addr.into()).seed(seed);
                peer = Some(net.start().map_err(failure)?);
                Box::new(here)
            }
        };
        let device: Box<dyn Device + Send> = match &attached.capture {
            Some(capture) => Box::new(Capture::new(device, capture.file())),
            None => device,
        };
        let build = |builder: Builder| builder.catch_signals().build();
        let builder = builder(device).address(plan.addr.into()).mtu(attached.mtu);
        let (net, driver) = build(builder.seed(attached.seed)).map_err(failure)?;
        Ok(Host { net, driver, peer, _capture: attached.capture, _restore: attached.restore })
    }
}
