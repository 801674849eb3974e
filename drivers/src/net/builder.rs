//! Making a [`Net`].

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tapping_stack::interface::LinkKind;
use tapping_stack::route::{Route, RouteProtocol};
use tapping_stack::wire::cidr::IpCidr;
use tapping_stack::{Config, LinkConfig, LinkId, Stack};

use super::driver::{BoxedDevice, Driver, ShardLoop, WAKER};
use super::ending::Ended;
use super::shard::Shard;
use super::signals::SignalBox;
use super::{Handle, Net, Shared};
use crate::clock::Clock;
use crate::device::Device;
use crate::random;

type SetUp = Box<dyn FnMut(&mut Stack, LinkId) + Send>;

/// What a [`Net`] is to be. What is said of a link is said of the device given last.
#[derive(Default)]
pub struct Builder {
    config: Config,
    seed: Option<u64>,
    links: Vec<Link>,
    gateways: Vec<(Option<usize>, IpAddr)>,
    routes: Vec<Route>,
    set_up: Vec<SetUp>,
    busy_poll: Duration,
    catch_signals: bool,
}

/// A link, on each shard that a device is for.
struct Link {
    /// The first is for shard 0.
    devices: Vec<BoxedDevice>,
    mtu: Option<usize>,
    addresses: Vec<IpCidr>,
}

impl Builder {
    /// The settings of the stack; those of Linux, if this is not called.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// What the stack's random numbers come from; the kernel's, if this is not called.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Adds a link over a device.
    pub fn device(self, device: impl Device + Send + 'static) -> Self {
        self.queues(vec![Box::new(device)])
    }

    /// Adds a link over a device that has several queues. There will be a stack for each, all with
    /// the same addresses, and a thread for each stack.
    pub fn queues(mut self, devices: Vec<Box<dyn Device + Send>>) -> Self {
        self.links.push(Link { devices, mtu: None, addresses: Vec::new() });
        self
    }

    /// Gives the link an address.
    ///
    /// # Panics
    /// When there is no link yet.
    pub fn address(mut self, address: IpCidr) -> Self {
        self.last_link().addresses.push(address);
        self
    }

    /// Gives the link an MTU other than its device's.
    ///
    /// # Panics
    /// When there is no link yet.
    pub fn mtu(mut self, mtu: usize) -> Self {
        self.last_link().mtu = Some(mtu);
        self
    }

    /// Adds a default route through the link.
    pub fn gateway(mut self, gateway: IpAddr) -> Self {
        self.gateways.push((self.links.len().checked_sub(1), gateway));
        self
    }

    /// Adds a route.
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// How long a driver with nothing to do looks for something before it goes to sleep
    /// (`net.core.busy_poll`): answers come sooner, and a processor is kept busy. Not at all, if
    /// this is not called.
    pub fn busy_poll(mut self, duration: Duration) -> Self {
        self.busy_poll = duration;
        self
    }

    /// SIGINT, SIGTERM, SIGHUP and SIGQUIT do not end the process, but are told to who
    /// [awaits](Net::signal) them.
    pub fn catch_signals(mut self) -> Self {
        self.catch_signals = true;
        self
    }

    /// Is called for each link when it has its addresses, on each stack, and for the loopback when
    /// there is no other: for hooks, observers, and whatever else.
    pub fn setup(mut self, set_up: impl FnMut(&mut Stack, LinkId) + Send + 'static) -> Self {
        self.set_up.push(Box::new(set_up));
        self
    }

    /// Makes it, with drivers on threads of their own.
    ///
    /// # Errors
    /// Those of [`build`](Self::build), and of making threads.
    pub fn start(self) -> io::Result<Net> {
        let (net, driver) = self.build()?;
        driver.start()?;
        Ok(net)
    }

    /// Makes it. Nothing happens before the driver [runs](Driver::run).
    ///
    /// # Errors
    /// A setting that the stack refuses (`InvalidInput`), or what the kernel says when devices
    /// are to be polled, or a seed is to be had.
    pub fn build(mut self) -> io::Result<(Net, Driver)> {
        let clock = Clock::new();
        let seed = self.seed.map_or_else(random::seed, Ok)?;
        let count = self.links.iter().map(|link| link.devices.len()).max().unwrap_or(0).max(1);
        let mut shards = Vec::new();
        let mut loops = Vec::new();
        for index in 0..count {
            let poll = mio::Poll::new()?;
            let waker = mio::Waker::new(poll.registry(), WAKER)?;
            let config = self.config.clone();
            let mut stack = Stack::new(config, seed.wrapping_add(index as u64));
            stack.set_wall_clock(clock.now(), Clock::wall());
            let links = self.configure(&mut stack, index, clock)?;
            shards.push(Shard::new(stack, clock, waker));
            loops.push((poll, links));
        }
        let shared = Arc::new(Shared {
            clock,
            shards: shards.into(),
            signals: SignalBox::default(),
            ended: Ended::new(count),
            next_shard: AtomicUsize::new(0),
        });
        let mut shard_loops = Vec::new();
        for (index, (poll, links)) in loops.into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            let mut shard_loop = ShardLoop::new(shared, index, poll, links, self.busy_poll)?;
            if index == 0 && self.catch_signals {
                shard_loop.catch_signals()?;
            }
            shard_loops.push(shard_loop);
        }
        Ok((Net(Arc::new(Handle(Arc::clone(&shared)))), Driver::new(shared, shard_loops)))
    }

    /// Gives a stack its links. Returns them with the devices.
    fn configure(
        &mut self,
        stack: &mut Stack,
        index: usize,
        clock: Clock,
    ) -> io::Result<Vec<(LinkId, BoxedDevice)>> {
        let mut links = Vec::new();
        let mut ids = Vec::new();
        for link in &mut self.links {
            if link.devices.is_empty() {
                ids.push(None);
                continue;
            }
            let device = link.devices.remove(0);
            let config = LinkConfig {
                name: device.name().to_owned(),
                kind: LinkKind::Ethernet(device.mac()),
                mtu: link.mtu.unwrap_or(device.mtu()).min(device.mtu()),
                capabilities: device.capabilities(),
            };
            let id = stack.add_link(config).map_err(invalid)?;
            for address in &link.addresses {
                stack.add_address(clock.now(), id, *address).map_err(invalid)?;
            }
            ids.push(Some(id));
            links.push((id, device));
        }
        for (link, gateway) in &self.gateways {
            let link = match link.map(|link| ids[link]) {
                // A link that this stack has no part in.
                Some(None) => continue,
                link => link.flatten(),
            };
            let everywhere = IpCidr::new(Ipv4Addr::UNSPECIFIED.into(), 0).expect("a prefix");
            let route = Route::via(everywhere, *gateway).with_protocol(RouteProtocol::Boot);
            stack.add_route(Route { link, ..route }).map_err(invalid)?;
        }
        for route in &self.routes {
            // A link that only other stacks have is no fault of the route.
            let known = route.link.is_none_or(|link| stack.interfaces().get(link).is_some());
            if known || index == 0 {
                stack.add_route(route.clone()).map_err(invalid)?;
            }
        }
        for set_up in &mut self.set_up {
            if links.is_empty() {
                set_up(stack, LinkId::LOOPBACK);
            }
            links.iter().for_each(|(id, _)| set_up(stack, *id));
        }
        Ok(links)
    }

    fn last_link(&mut self) -> &mut Link {
        self.links.last_mut().expect("a device is given before what its link is to have")
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("links", &self.links.len())
            .field("busy_poll", &self.busy_poll)
            .finish_non_exhaustive()
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
