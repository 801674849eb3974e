//! Two stacks in one process, joined as by a veth pair: frames move, they are not copied.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant as StdInstant;

use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::MacAddr;
use tapping_stack::{
    Capabilities, Config, LinkConfig, LinkId, Packet, SocketError, SocketId, Stack,
};

/// The address of the side that connects, and of the one that listens.
pub const ADDRS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
/// The first port that is listened on.
pub const PORT: u16 = 7;
/// How many listeners there are: one has no more connections than there are ephemeral ports.
const LISTENERS: u16 = 8;

/// How frames get from one stack to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Large segments whole, their checksums unfinished.
    Veth,
    /// The same, all frames that wait handed over together.
    VethBatches,
    /// MTU 1500, summed by the sender and verified by the receiver, frame by frame.
    Frames,
    /// The same, too, in batches.
    Batches,
}

/// What time it is.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// Time passes by itself.
    Real(StdInstant),
    /// Time passes when it is told to.
    Virtual(Instant),
}

impl Clock {
    /// A clock that starts now.
    pub fn real() -> Self {
        Clock::Real(StdInstant::now())
    }

    /// A clock that stands still.
    pub fn stopped() -> Self {
        Clock::Virtual(Instant::from_secs(1))
    }

    /// The time.
    pub fn now(&self) -> Instant {
        match self {
            Clock::Real(start) => Instant::from_secs(1) + start.elapsed(),
            Clock::Virtual(now) => *now,
        }
    }

    /// Lets time pass, unless it does so by itself.
    pub fn advance(&mut self, by: Duration) {
        if let Clock::Virtual(now) = self {
            *now += by;
        }
    }
}

/// Two stacks, the second of which listens.
#[derive(Debug)]
pub struct Pair {
    /// The stacks, and their links to each other.
    pub ends: [(Stack, LinkId); 2],
    /// Sockets that listen, on [`PORT`] and the ports that follow.
    pub listeners: Vec<SocketId>,
    /// The time of both.
    pub clock: Clock,
    wire: Wire,
    batch: Vec<Packet>,
}

impl Pair {
    /// Two stacks that know each other's link-layer address.
    pub fn new(wire: Wire, clock: Clock) -> Self {
        Self::with_config(wire, clock, &Config::default())
    }

    /// The same with another configuration.
    pub fn with_config(wire: Wire, clock: Clock, config: &Config) -> Self {
        let macs = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];
        let now = clock.now();
        let ends = [0, 1].map(|side| {
            let mut stack = Stack::new(config.clone(), side as u64);
            let mut link = LinkConfig::new("eth0", macs[side]);
            if matches!(wire, Wire::Veth | Wire::VethBatches) {
                link.capabilities = Capabilities { tx_checksum: true, max_gso_size: 65_536 };
            }
            let link = stack.add_link(link).expect("a link");
            let cidr = format!("{}/24", ADDRS[side]).parse().expect("a prefix");
            stack.add_address(now, link, cidr).expect("an address");
            let peer = 1 - side;
            stack.add_neighbour(now, link, ADDRS[peer].into(), macs[peer]).expect("a neighbour");
            (stack, link)
        });
        let mut pair = Pair { ends, listeners: Vec::new(), clock, wire, batch: Vec::new() };
        for n in 0..LISTENERS {
            let stack = &mut pair.ends[1].0;
            let listener = stack.open_tcp().expect("a socket");
            stack.bind(listener, SocketAddr::from((ADDRS[1], PORT + n))).expect("a port");
            stack.listen(now, listener, 4096).expect("a listener");
            pair.listeners.push(listener);
        }
        pair
    }

    /// Moves frames until none is left.
    pub fn carry(&mut self) {
        self.carry_at(self.clock.now());
    }

    /// The same at a time that is known already.
    pub fn carry_at(&mut self, now: Instant) {
        while self.carry_from(now, 0) | self.carry_from(now, 1) {}
    }

    /// Runs timers that are due.
    pub fn run_timers(&mut self) {
        self.run_timers_at(self.clock.now());
    }

    /// The same at a time that is known already.
    pub fn run_timers_at(&mut self, now: Instant) {
        for (stack, _) in &mut self.ends {
            if stack.poll_timeout().is_some_and(|at| at <= now) {
                stack.handle_timeout(now);
            }
        }
    }

    fn carry_from(&mut self, now: Instant, side: usize) -> bool {
        let [first, second] = &mut self.ends;
        let ((from, from_link), (to, to_link)) =
            if side == 0 { (first, second) } else { (second, first) };
        let mut any = false;
        if matches!(self.wire, Wire::Batches | Wire::VethBatches) {
            while let Some(frame) = from.poll_transmit(now, *from_link) {
                any = true;
                give_back(from, to, &frame);
                self.batch.push(frame);
            }
            to.handle_frames(now, *to_link, self.batch.drain(..));
            return any;
        }
        while let Some(frame) = from.poll_transmit(now, *from_link) {
            any = true;
            give_back(from, to, &frame);
            to.handle_frame(now, *to_link, frame);
        }
        any
    }

    /// A connection from the first stack to the second; what both have of it.
    ///
    /// # Errors
    /// Those of connecting and of accepting.
    pub fn connect(&mut self, nth: usize) -> Result<[SocketId; 2], SocketError> {
        let now = self.clock.now();
        let nth = nth % self.listeners.len();
        let client = self.ends[0].0.open_tcp()?;
        self.ends[0].0.connect(now, client, (ADDRS[1], PORT + nth as u16).into())?;
        self.carry();
        let (server, _) = self.ends[1].0.accept(now, self.listeners[nth])?;
        Ok([client, server])
    }
}

/// For a frame that moves on, its sender gets a buffer of the receiver's that is as large: else one
/// pool would run dry and the other over.
fn give_back(from: &mut Stack, to: &mut Stack, frame: &Packet) {
    let capacity = frame.true_size() - tapping_stack::packet::HEADROOM;
    from.recycle(to.take_buffer(capacity));
}
