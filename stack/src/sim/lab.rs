//! Stacks on emulated wires.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::link::{DropCause, End, Fate, Link};
use super::queue::EventQueue;
use crate::config::Config;
use crate::link::LinkConfig;
use crate::packet::segment::{Sums, segment};
use crate::packet::{LinkId, Packet};
use crate::rng::Rng;
use crate::stack::{ConfigError, Stack};
use crate::time::{Duration, Instant};
use crate::wire::cidr::IpCidr;
use crate::wire::ethernet::MacAddr;

/// Where a lab's clock starts, unless told otherwise: late enough for every span that a stack may
/// count back.
const START: Instant = Instant::from_secs(1000);
/// Events in a single moment, after which time is taken to stand still for ever.
const MAX_EVENTS_AT_ONCE: u64 = 10_000_000;

/// A host of a [`Lab`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(usize);

/// A wire of a [`Lab`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireId(usize);

/// A frame seen on its way.
#[derive(Debug, Clone, Copy)]
pub struct Sighting<'a> {
    /// When.
    pub at: Instant,
    /// The wire.
    pub wire: WireId,
    /// The end of the wire that sent the frame.
    pub from: End,
    /// Where it is seen: at the host that receives it once it has arrived, before at the sender.
    pub host: HostId,
    /// What that host is called.
    pub host_name: &'a str,
    /// The address of its link.
    pub mac: MacAddr,
    /// The number in the link's name.
    pub port: usize,
    /// What it is doing.
    pub passage: Passage,
    /// The frame; its bytes begin with the Ethernet header.
    pub packet: &'a Packet,
}

/// What a frame is doing when it is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Passage {
    /// A stack sends it; a large segment, before it is cut.
    Sent,
    /// A stack is about to receive it.
    Received,
    /// It is dropped on its way.
    Dropped(DropCause),
}

/// Sees every frame of a [`Lab`]: once when it is sent, and again when it arrives or is dropped.
pub trait Tap {
    /// A frame passes.
    fn see(&mut self, sighting: &Sighting<'_>);
}

impl<F: FnMut(&Sighting<'_>)> Tap for F {
    fn see(&mut self, sighting: &Sighting<'_>) {
        self(sighting);
    }
}

/// Stacks, wires between them, and the clock that all of them share. See the [module](super).
///
/// Time passes only in the `run_` methods and [`step`](Self::step). Between them the stacks are
/// there to be used through [`stack`](Self::stack), at the time [`now`](Self::now); what they then
/// want to send is taken up by the next of those methods.
pub struct Lab {
    seed: u64,
    now: Instant,
    hosts: Vec<Host>,
    wires: Vec<Wire>,
    events: EventQueue<Event>,
    /// Hosts that may have something to send or a new timeout.
    touched: Vec<HostId>,
    /// Events that are frames on a wire.
    in_flight: usize,
    /// Seeds of hosts and of wires, each in the order in which they are added.
    host_seeds: Rng,
    wire_seeds: Rng,
    tap: Option<Box<dyn Tap + Send>>,
    /// Room for the frames of a segment being cut, or of a batch; empty between events.
    scratch: Vec<Packet>,
}

struct Host {
    name: String,
    stack: Stack,
    ports: Vec<Port>,
    /// When its timer events are due, the first one last.
    timers: Vec<Instant>,
    touched: bool,
}

/// A host's end of a wire.
#[derive(Debug, Clone, Copy)]
struct Port {
    /// Its place among the host's ports.
    number: usize,
    link: LinkId,
    mac: MacAddr,
    wire: WireId,
    end: End,
}

struct Wire {
    link: Link,
    /// Host and port at either end.
    ends: [(HostId, usize); 2],
}

enum Event {
    Frame { wire: WireId, from: End, packet: Packet },
    Timer(HostId),
    Call(Box<dyn FnOnce(&mut Lab) + Send>),
}

impl Lab {
    /// An empty laboratory whose clock starts at 1000 s. Everything random comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Lab::starting_at(seed, START)
    }

    /// As [`new`](Self::new), with the clock at another time.
    pub fn starting_at(seed: u64, now: Instant) -> Self {
        let mut rng = Rng::new(seed);
        Lab {
            seed,
            now,
            hosts: Vec::new(),
            wires: Vec::new(),
            events: EventQueue::new(),
            touched: Vec::new(),
            in_flight: 0,
            host_seeds: Rng::new(rng.next_u64()),
            wire_seeds: Rng::new(rng.next_u64()),
            tap: None,
            scratch: Vec::new(),
        }
    }

    /// The seed it was made with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Adds a host without wires.
    pub fn add_host(&mut self, name: &str, config: Config) -> HostId {
        let stack = Stack::new(config, self.host_seeds.next_u64());
        let name = name.into();
        self.hosts.push(Host {
            name,
            stack,
            ports: Vec::new(),
            timers: Vec::new(),
            touched: false,
        });
        HostId(self.hosts.len() - 1)
    }

    /// Lays a wire between two hosts, each of which gets a link (`eth0`, `eth1`, …) with the
    /// address given. The first is the wire's end A.
    ///
    /// # Errors
    /// The wire's MTU or an address cannot be used. With an address that cannot be used the wire
    /// is there, without it.
    pub fn connect(
        &mut self,
        a: (HostId, IpCidr),
        b: (HostId, IpCidr),
        mut link: Link,
    ) -> Result<WireId, ConfigError> {
        link.seed(self.wire_seeds.next_u64());
        let wire = WireId(self.wires.len());
        let port_a = self.add_port(a.0, wire, End::A, &link)?;
        let port_b = self.add_port(b.0, wire, End::B, &link).inspect_err(|_| {
            self.remove_last_port(a.0);
        })?;
        self.wires.push(Wire { link, ends: [(a.0, port_a), (b.0, port_b)] });
        for (end, (host, cidr)) in [(End::A, a), (End::B, b)] {
            let (now, (_, link)) = (self.now, self.end(wire, end));
            self.stack(host).add_address(now, link, cidr)?;
        }
        Ok(wire)
    }

    /// Tells both ends of a wire for good which station has the other's addresses, so that no ARP
    /// is needed between them.
    ///
    /// # Errors
    /// A neighbour table is full.
    pub fn introduce(&mut self, wire: WireId) -> Result<(), ConfigError> {
        for end in [End::A, End::B] {
            let (host, link) = self.end(wire, end);
            let (peer, peer_link) = self.end(wire, end.other());
            let Some(interface) = self.hosts[peer.0].stack.interfaces().get(peer_link) else {
                return Err(ConfigError::NoSuchLink);
            };
            let mac = interface.mac().ok_or(ConfigError::NoSuchLink)?;
            let addresses: Vec<_> = interface.addresses.iter().map(|own| own.cidr.addr()).collect();
            for address in addresses {
                let now = self.now;
                self.stack(host).add_neighbour(now, link, address.into(), mac)?;
            }
        }
        Ok(())
    }

    /// What a host is called.
    pub fn name(&self, host: HostId) -> &str {
        &self.hosts[host.0].name
    }

    /// The hosts, in the order in which they were added.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId)
    }

    /// A host's stack, to use at [`now`](Self::now).
    pub fn stack(&mut self, host: HostId) -> &mut Stack {
        self.touch(host);
        &mut self.hosts[host.0].stack
    }

    /// A host's stack, to look at.
    pub fn stack_ref(&self, host: HostId) -> &Stack {
        &self.hosts[host.0].stack
    }

    /// A wire's link.
    pub fn link(&self, wire: WireId) -> &Link {
        &self.wires[wire.0].link
    }

    /// A wire's link, to change.
    pub fn link_mut(&mut self, wire: WireId) -> &mut Link {
        &mut self.wires[wire.0].link
    }

    /// The host at an end of a wire, and its link there.
    pub fn end(&self, wire: WireId, end: End) -> (HostId, LinkId) {
        let (host, port) = self.wires[wire.0].ends[end as usize];
        (host, self.hosts[host.0].ports[port].link)
    }

    /// Lets `tap` see every frame from now on; `None` ends it. Returns the one before.
    pub fn set_tap(&mut self, tap: Option<Box<dyn Tap + Send>>) -> Option<Box<dyn Tap + Send>> {
        core::mem::replace(&mut self.tap, tap)
    }

    /// Has `call` made at a moment, at once if that has passed, during one of the `run_` methods.
    pub fn at(&mut self, at: Instant, call: impl FnOnce(&mut Lab) + Send + 'static) {
        self.events.add(at.max(self.now), Event::Call(Box::new(call)));
    }

    /// How many frames are on the wires.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// When something happens next, if nothing is done before.
    pub fn next_event(&mut self) -> Option<Instant> {
        self.settle();
        self.events.next_at()
    }

    /// Moves the clock to the next event and lets it happen. Tells when that was; `None` when
    /// nothing will ever happen.
    pub fn step(&mut self) -> Option<Instant> {
        self.settle();
        let (at, event) = self.events.pop()?;
        self.now = self.now.max(at);
        self.happen(event);
        self.settle();
        Some(at)
    }

    /// Lets `span` pass. Returns how many events happened.
    ///
    /// # Panics
    /// When events at one moment make each other happen for ever.
    pub fn run_for(&mut self, span: Duration) -> u64 {
        self.run_until(self.now + span)
    }

    /// Lets time pass until `end`, events of that moment included. Returns how many events
    /// happened.
    ///
    /// # Panics
    /// As [`run_for`](Self::run_for).
    pub fn run_until(&mut self, end: Instant) -> u64 {
        let mut events = 0;
        self.run_while(end, |_| {
            events += 1;
            true
        });
        events - 1
    }

    /// Lets time pass until no frame is on a wire and nothing is due at once, or until `end`.
    /// Timers that are set for some other time do not count. Tells whether it came to rest.
    ///
    /// # Panics
    /// As [`run_for`](Self::run_for).
    pub fn run_until_idle(&mut self, end: Instant) -> bool {
        !self.run_while(end, |lab| {
            lab.settle();
            lab.in_flight > 0 || lab.events.next_at().is_some_and(|at| at <= lab.now)
        })
    }

    /// Lets time pass while `go_on` says so, which is asked at first and after each event, and may
    /// use the stacks; but at most until `end`, events of that moment included. Tells whether it
    /// would have gone on then.
    ///
    /// # Panics
    /// As [`run_for`](Self::run_for).
    pub fn run_while(&mut self, end: Instant, mut go_on: impl FnMut(&mut Lab) -> bool) -> bool {
        let mut at_once = 0;
        while go_on(self) {
            if self.next_event().is_none_or(|at| at > end) {
                self.now = self.now.max(end);
                return true;
            }
            let before = self.now;
            self.step();
            at_once = if self.now == before { at_once + 1 } else { 0 };
            assert!(
                at_once < MAX_EVENTS_AT_ONCE,
                "time stands still at {:?}: {MAX_EVENTS_AT_ONCE} events at once (seed {})",
                self.now,
                self.seed
            );
        }
        false
    }

    /// Adds a link to a host for its end of a wire; returns the number of the port.
    fn add_port(
        &mut self,
        host: HostId,
        wire: WireId,
        end: End,
        link: &Link,
    ) -> Result<usize, ConfigError> {
        let Host { stack, ports, .. } = &mut self.hosts[host.0];
        let number = ports.len();
        let ([.., h1, h0], [.., n1, n0]) = (host.0.to_be_bytes(), number.to_be_bytes());
        // Locally administered.
        let mac = MacAddr([0x02, 0, h1, h0, n1, n0]);
        let config = LinkConfig {
            mtu: link.mtu,
            capabilities: link.capabilities(),
            ..LinkConfig::new(&format!("eth{number}"), mac)
        };
        let link = stack.add_link(config)?;
        ports.push(Port { number, link, mac, wire, end });
        Ok(number)
    }

    fn remove_last_port(&mut self, host: HostId) {
        let now = self.now;
        if let Some(port) = self.hosts[host.0].ports.pop() {
            // It was added a moment ago, so it is there.
            let _ = self.stack(host).remove_link(now, port.link);
        }
    }

    fn touch(&mut self, host: HostId) {
        let state = &mut self.hosts[host.0];
        if !state.touched {
            state.touched = true;
            self.touched.push(host);
        }
    }

    /// Takes up what the hosts that were touched have to send, and when they want to be called.
    fn settle(&mut self) {
        while let Some(host) = self.touched.pop() {
            self.hosts[host.0].touched = false;
            self.collect(host);
            self.set_timer(host);
        }
    }

    fn collect(&mut self, id: HostId) {
        let Lab { now, hosts, wires, events, in_flight, tap, scratch: pieces, .. } = self;
        let Host { name, stack, ports, .. } = &mut hosts[id.0];
        for port in ports.iter() {
            let (wire, from) = (port.wire, port.end);
            let link = &mut wires[wire.0].link;
            let mut see = |passage, packet: &Packet| {
                if let Some(tap) = tap {
                    tap.see(&port.sighting(*now, id, name, passage, from, packet));
                }
            };
            while let Some(packet) = stack.poll_transmit(*now, port.link) {
                see(Passage::Sent, &packet);
                if packet.meta.gso.is_some() && link.must_cut(from) {
                    // What is not the large segment that it says goes as it is.
                    let uncut =
                        segment(packet, stack.pool(), Sums::Later, |piece| pieces.push(piece))
                            .err();
                    pieces.extend(uncut);
                } else {
                    pieces.push(packet);
                }
                for packet in pieces.drain(..) {
                    match link.transmit(*now, from, packet) {
                        Fate::Arrives { at, packet, copy } => {
                            for packet in [Some(packet), copy].into_iter().flatten() {
                                *in_flight += 1;
                                events.add(at, Event::Frame { wire, from, packet });
                            }
                        }
                        Fate::Dropped { cause, packet } => {
                            see(Passage::Dropped(cause), &packet);
                            stack.recycle(packet);
                        }
                    }
                }
            }
        }
    }

    /// Adds a timer event, unless there is one that is early enough.
    fn set_timer(&mut self, id: HostId) {
        let host = &mut self.hosts[id.0];
        let Some(at) = host.stack.poll_timeout() else { return };
        let at = at.max(self.now);
        if host.timers.last().is_none_or(|first| at < *first) {
            host.timers.push(at);
            self.events.add(at, Event::Timer(id));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Frame { wire, from, packet } => self.deliver(wire, from, packet),
            Event::Timer(id) => {
                let host = &mut self.hosts[id.0];
                host.timers.pop();
                // The stack may have changed its mind since.
                if host.stack.poll_timeout().is_some_and(|at| at <= self.now) {
                    host.stack.handle_timeout(self.now);
                }
                self.touch(id);
            }
            Event::Call(call) => call(self),
        }
    }

    /// Hands over a frame, and those behind it that come at the same moment where the link has it
    /// so.
    fn deliver(&mut self, wire: WireId, from: End, packet: Packet) {
        let Lab { now, hosts, wires, events, in_flight, tap, scratch: frames, .. } = self;
        let Wire { link, ends } = &mut wires[wire.0];
        let (id, port) = ends[from.other() as usize];
        let Host { name, stack, ports, .. } = &mut hosts[id.0];
        let port = &ports[port];
        let batches = link.batches;
        // Tells whether the stack gets it.
        let mut arrive = |packet: &Packet| {
            *in_flight -= 1;
            let arrives = link.arrive(from);
            let passage =
                if arrives { Passage::Received } else { Passage::Dropped(DropCause::Down) };
            if let Some(tap) = tap {
                tap.see(&port.sighting(*now, id, name, passage, from, packet));
            }
            arrives
        };
        let mut next = Some(packet);
        while let Some(packet) = next {
            if arrive(&packet) {
                frames.push(packet);
            } else {
                stack.recycle(packet);
            }
            let beside = |event: &Event| matches!(event, Event::Frame { wire: w, from: f, .. } if (*w, *f) == (wire, from));
            next = match batches.then(|| events.pop_if(*now, beside)).flatten() {
                Some(Event::Frame { packet, .. }) => Some(packet),
                _ => None,
            };
        }
        stack.handle_frames(*now, port.link, frames.drain(..));
        self.touch(id);
    }
}

impl Port {
    fn sighting<'a>(
        &self,
        at: Instant,
        host: HostId,
        host_name: &'a str,
        passage: Passage,
        from: End,
        packet: &'a Packet,
    ) -> Sighting<'a> {
        let Port { wire, mac, number: port, .. } = *self;
        Sighting { at, wire, from, host, host_name, mac, port, passage, packet }
    }
}

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.hosts.iter().map(|host| &host.name).collect();
        f.debug_struct("Lab")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("hosts", &hosts)
            .field("wires", &self.wires.len())
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}
