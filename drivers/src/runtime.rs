//! The loop that runs stacks over devices, on one thread.
//!
//! [`Runtime::turn`] hands what devices received to their stacks, sends what stacks have for
//! devices, runs the timers that are due and sleeps when there is nothing to do: until a device is
//! ready, a timer is due, the caller's deadline, a signal, or another thread's
//! [wake-up](Waker::wake).
//!
//! ```text
//!   turn:  timers due ─► transmit ─► receive what is known to wait ─► sleep ─► receive ─► transmit
//!                                                     (not at all when that was something)
//! ```
//! Frames move in batches: a stack's answers are sent after its first frame, for latency, and then
//! after every [`RECEIVE_BATCH`], which the stack gets together so that it can put TCP segments
//! together ([`Stack::handle_frames`]); one device gets at most [`RECEIVE_BUDGET`] frames handled and
//! [`TRANSMIT_BUDGET`] sent before the next has its turn. A device without room keeps its one frame
//! until it has room again, and what follows stays in the stack's queue. In the steady state nothing
//! is allocated: buffers go round between the devices and the pool of their stack.
//!
//! With [busy polling](Runtime::set_busy_poll) devices are asked again and again for a while before
//! the loop sleeps, which spares what arrives then the wake-up of a thread (Linux
//! `net.core.busy_read`).
//!
//! A process that was stopped finds timers due that would not have been, had it read what arrived
//! meanwhile, so the loop reads first after an absence.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use tapping_stack::interface::LinkKind;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::{ConfigError, LinkConfig, LinkId, Stack};

use crate::clock::Clock;
use crate::device::Device;
use crate::error::plain;

pub(crate) mod port;
pub(crate) mod signals;
pub(crate) mod timer;

pub use port::PortStats;
pub use signals::Signals;

use port::Port;
use signals::SignalPipe;
use timer::Timer;

/// Frames received between two looks at what there is to send.
pub const RECEIVE_BATCH: usize = 32;
/// Bytes received after which there is such a look, too: as much as stays in a processor's cache.
pub const RECEIVE_BATCH_BYTES: usize = 256 << 10;
/// Frames that one device may receive in one turn (Linux `net.core.dev_weight`).
pub const RECEIVE_BUDGET: usize = 64;
/// Frames that one device may be given each time it is served.
pub const TRANSMIT_BUDGET: usize = 256;

const WAKER: Token = Token(0);
const TIMER: Token = Token(1);
const SIGNALS: Token = Token(2);
/// The tokens of port `n` are this and `2 n`, and of its watch one more.
const FIRST_PORT: usize = 3;
/// Events taken from the kernel at once.
const EVENTS: usize = 64;
/// How often devices are asked while spinning before everything else is.
const SPINS: usize = 16;
/// Who has not been here for so long was stopped, or busy with something else.
const ABSENCE: Duration = Duration::from_millis(100);
/// Who is absent again and again, on a machine that is overloaded, runs timers all the same.
const CATCH_UPS: usize = 3;

/// A stack of a [`Runtime`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StackId(usize);

/// Why a device could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The stack did not take the link.
    #[error(transparent)]
    Link(#[from] ConfigError),
    /// The device cannot be polled.
    #[error("cannot poll the device: {}", plain(.0))]
    Poll(#[from] io::Error),
}

/// What happened in a turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// Frames that devices received.
    pub received: usize,
    /// Frames that devices sent.
    pub transmitted: usize,
    /// Devices found closed; their links are down now.
    pub closed: usize,
    /// The caller's deadline has come.
    pub deadline: bool,
    /// Another thread called [`Waker::wake`].
    pub woken: bool,
    /// Signals caught since the turn before.
    pub signals: Signals,
}

impl Turn {
    /// Whether there is something to tell the caller of.
    fn is_eventful(&self) -> bool {
        self.received > 0 || self.closed > 0 || self.woken || self.signals != Signals::default()
    }
}

/// Ends a turn's sleep from another thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<mio::Waker>);

impl Waker {
    /// Ends the present turn's sleep, or lets the next turn not sleep.
    ///
    /// # Errors
    /// Those of write(2) on an eventfd.
    pub fn wake(&self) -> io::Result<()> {
        self.0.wake()
    }
}

/// Stacks and the devices on their links. See the [module](self).
///
/// It stays on the thread that makes it; to run a stack on another thread, make its runtime there.
#[derive(Debug)]
pub struct Runtime {
    clock: Clock,
    poll: Poll,
    events: Events,
    waker: Waker,
    timer: Timer,
    signals: Option<SignalPipe>,
    stacks: Vec<Stack>,
    ports: Vec<Port>,
    /// What [`flush`](Self::flush) met since the last turn, for the next to tell.
    flushed: Turn,
    /// A timer ran in a flush since the last turn.
    flushed_timers: bool,
    /// How long to spin before sleeping.
    busy_poll: Option<Duration>,
    /// When the loop was here last, but for sleeping.
    left: Instant,
}

impl Runtime {
    /// A loop with no stack, whose clock starts now.
    ///
    /// # Errors
    /// Those of making its descriptors.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker(Arc::new(mio::Waker::new(poll.registry(), WAKER)?));
        let timer = Timer::new()?;
        let fd = timer.as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), TIMER, Interest::READABLE)?;
        Ok(Runtime {
            clock: Clock::new(),
            poll,
            events: Events::with_capacity(EVENTS),
            waker,
            timer,
            signals: None,
            stacks: Vec::new(),
            ports: Vec::new(),
            flushed: Turn::default(),
            flushed_timers: false,
            busy_poll: None,
            left: Instant::ZERO,
        })
    }

    /// The clock of all its stacks.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// What other threads end a sleep with.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// From now on a turn asks devices for so long before it sleeps; not at all with `None`, as in
    /// the beginning. It keeps a processor busy.
    pub fn set_busy_poll(&mut self, spin: Option<Duration>) {
        self.busy_poll = spin;
    }

    /// From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT end a turn instead of the process, until this
    /// is dropped. A SIGHUP that the process ignores stays ignored.
    ///
    /// # Errors
    /// Those of sigaction(2) and of making a pipe.
    pub fn catch_signals(&mut self) -> io::Result<()> {
        if self.signals.is_none() {
            let signals = SignalPipe::new()?;
            let fd = signals.as_raw_fd();
            self.poll.registry().register(&mut SourceFd(&fd), SIGNALS, Interest::READABLE)?;
            self.signals = Some(signals);
        }
        Ok(())
    }

    /// Takes a stack in, and tells it the time of day.
    pub fn add_stack(&mut self, mut stack: Stack) -> StackId {
        stack.set_wall_clock(self.now(), Clock::wall());
        self.stacks.push(stack);
        StackId(self.stacks.len() - 1)
    }

    /// A stack.
    ///
    /// # Panics
    /// When the id is another runtime's.
    pub fn stack(&self, id: StackId) -> &Stack {
        &self.stacks[id.0]
    }

    /// A stack, to use: what it is given to send leaves in the next turn.
    ///
    /// # Panics
    /// When the id is another runtime's.
    pub fn stack_mut(&mut self, id: StackId) -> &mut Stack {
        &mut self.stacks[id.0]
    }

    /// Gives a stack a link over a device, with the device's name, address, MTU and capabilities.
    /// The link is up.
    ///
    /// # Errors
    /// A link that the stack does not take, or a device that cannot be polled.
    pub fn attach(
        &mut self,
        stack: StackId,
        device: impl Device + 'static,
    ) -> Result<LinkId, AttachError> {
        let now = self.now();
        let link = self.stacks[stack.0].add_link(LinkConfig {
            name: device.name().to_owned(),
            kind: LinkKind::Ethernet(device.mac()),
            mtu: device.mtu(),
            capabilities: device.capabilities(),
        })?;
        let free = self.ports.iter().position(Port::is_detached);
        let index = free.unwrap_or(self.ports.len());
        let port: Port = Port::new(stack.0, link, Box::new(device));
        if let Err(error) = self.register(&port, index) {
            // A link that is not there cannot fail to be removed.
            let _ = self.stacks[stack.0].remove_link(now, link);
            return Err(error.into());
        }
        match free {
            Some(index) => self.ports[index] = port,
            None => self.ports.push(port),
        }
        Ok(link)
    }

    /// Takes the device off a link and removes the link. Returns the device.
    pub fn detach(&mut self, stack: StackId, link: LinkId) -> Option<Box<dyn Device>> {
        let now = self.now();
        let port = self.ports.iter_mut().find(|port| port.is(stack.0, link))?;
        deregister(&self.poll, port);
        let device = port.detach(&mut self.stacks[stack.0]);
        let _ = self.stacks[stack.0].remove_link(now, link);
        device
    }

    /// The device on a link.
    pub fn device(&self, stack: StackId, link: LinkId) -> Option<&dyn Device> {
        self.ports.iter().find(|port| port.is(stack.0, link))?.device().map(|device| &**device)
    }

    /// Counters of the device on a link.
    pub fn port_stats(&self, stack: StackId, link: LinkId) -> Option<&PortStats> {
        Some(self.ports.iter().find(|port| port.is(stack.0, link))?.stats())
    }

    /// Does what there is to do. When that is nothing, sleeps until there is, at most until
    /// `deadline`.
    ///
    /// # Errors
    /// Those of polling. What goes wrong with a device is counted in its [`PortStats`], and takes
    /// its link down when it is gone.
    pub fn turn(&mut self, deadline: Option<Instant>) -> io::Result<Turn> {
        let mut turn = std::mem::take(&mut self.flushed);
        let flushed = turn.is_eventful() | std::mem::take(&mut self.flushed_timers);
        let now = self.catch_up(&mut turn)?;
        // What a timer did, or the loopback brought, may be what the caller waits for.
        let ran = self.run_timers(now);
        self.transmit(now, &mut turn);
        self.receive(&mut turn);
        let busy = flushed || ran || turn.is_eventful() || self.ports.iter().any(Port::has_more);
        self.wait(deadline, busy, &mut turn)?;

        self.left = self.now();
        self.receive(&mut turn);
        let now = self.catch_up(&mut turn)?;
        self.run_timers(now);
        self.transmit(now, &mut turn);
        turn.deadline = deadline.is_some_and(|deadline| now >= deadline);
        self.left = now;
        Ok(turn)
    }

    /// Does what there is to do now, once, and does not sleep: what the stacks were given to send
    /// leaves, and what has arrived is received. The next [`turn`](Self::turn) tells of it, and
    /// does not sleep when it was anything to tell.
    ///
    /// # Errors
    /// Those of [`turn`](Self::turn).
    pub fn flush(&mut self) -> io::Result<()> {
        let mut turn = std::mem::take(&mut self.flushed);
        let now = self.now();
        self.left = now;
        self.flushed_timers |= self.run_timers(now);
        self.transmit(now, &mut turn);
        let polled = self.wait(None, true, &mut turn);
        self.receive(&mut turn);
        self.flushed = turn;
        polled
    }

    /// The time, with which timers can be run: after an absence not before what has arrived
    /// meanwhile is received.
    fn catch_up(&mut self, turn: &mut Turn) -> io::Result<Instant> {
        let mut now = self.now();
        for _ in 0..CATCH_UPS {
            if now - self.left <= ABSENCE {
                break;
            }
            self.left = now;
            self.poll(Some(Duration::ZERO), turn)?;
            self.receive(turn);
            now = self.now();
        }
        Ok(now)
    }

    /// Runs the timers that are due; tells whether there were any.
    fn run_timers(&mut self, now: Instant) -> bool {
        let mut ran = false;
        for stack in &mut self.stacks {
            if stack.poll_timeout().is_some_and(|at| at <= now) {
                stack.handle_timeout(now);
                ran = true;
            }
        }
        ran
    }

    fn transmit(&mut self, now: Instant, turn: &mut Turn) {
        for index in 0..self.ports.len() {
            let port = &mut self.ports[index];
            let Some(stack) = self.stacks.get_mut(port.stack()) else { continue };
            turn.transmitted += port.transmit(now, stack);
            self.settle(index, now, turn);
        }
    }

    /// Receives from every device that may have something.
    fn receive(&mut self, turn: &mut Turn) {
        for index in 0..self.ports.len() {
            let mut budget = RECEIVE_BUDGET;
            // The first frame is answered by itself.
            let mut limit = 1;
            while budget > 0 && self.ports[index].may_receive() {
                let port = &mut self.ports[index];
                let stack = &mut self.stacks[port.stack()];
                let received = port.receive(&self.clock, stack, limit);
                turn.received += received;
                let now = self.clock.now();
                if received > 0 {
                    self.transmit(now, turn);
                }
                self.settle(index, now, turn);
                // There are no more, or so large ones that the caller should have them first.
                if received < limit {
                    break;
                }
                budget -= received;
                limit = RECEIVE_BATCH.min(budget);
            }
        }
    }

    /// Acts on what a port has met: room to wait for, or its end.
    fn settle(&mut self, index: usize, now: Instant, turn: &mut Turn) {
        let port = &mut self.ports[index];
        if let Some((fd, interest)) = port.new_interest() {
            let token = Token(FIRST_PORT + 2 * index);
            let changed = self.poll.registry().reregister(&mut SourceFd(&fd), token, interest);
            if changed.is_err() {
                // Without word of room there would be none ever.
                port.fail();
            }
        }
        if port.has_closed() {
            turn.closed += 1;
            deregister(&self.poll, port);
            let stack = &mut self.stacks[port.stack()];
            port.close(stack);
            // A link that the stack's owner has removed is down enough.
            let _ = stack.set_link_up(now, port.link(), false);
        }
    }

    /// Sleeps until an event, unless `busy`, and notes the events.
    fn wait(&mut self, deadline: Option<Instant>, busy: bool, turn: &mut Turn) -> io::Result<()> {
        if busy {
            return self.poll(Some(Duration::ZERO), turn).map(drop);
        }
        let timeouts = self.stacks.iter().filter_map(Stack::poll_timeout);
        let mut wake = timeouts.chain(deadline).min();
        if let Some(patience) = self.ports.iter().filter_map(Port::patience).min() {
            let retry = self.now() + patience;
            wake = Some(wake.map_or(retry, |wake| wake.min(retry)));
        }
        if let Some(spin) = self.busy_poll
            && self.spin(spin, wake, turn)?
        {
            return Ok(());
        }
        if let Some(wake) = wake {
            if wake <= self.now() {
                return self.poll(Some(Duration::ZERO), turn).map(drop);
            }
            self.timer.arm(&self.clock, wake)?;
        }
        self.poll(None, turn).map(drop)
    }

    /// Asks devices, and now and then everything else, until there is something, but no longer than
    /// `spin` or until `wake`. Returns whether there is something.
    fn spin(&mut self, spin: Duration, wake: Option<Instant>, turn: &mut Turn) -> io::Result<bool> {
        let end = self.now() + spin;
        let end = wake.map_or(end, |wake| wake.min(end));
        let before = *turn;
        while self.now() < end {
            for _ in 0..SPINS {
                self.ports.iter_mut().for_each(Port::look);
                self.receive(turn);
                if turn.received > before.received || turn.closed > before.closed {
                    return Ok(true);
                }
                std::hint::spin_loop();
            }
            let events = self.poll(Some(Duration::ZERO), turn)?;
            if turn.woken || turn.signals != before.signals || events > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits for events and notes them; returns how many there were.
    fn poll(&mut self, timeout: Option<Duration>, turn: &mut Turn) -> io::Result<usize> {
        let mut timeout = timeout;
        loop {
            match self.poll.poll(&mut self.events, timeout) {
                Ok(()) => break,
                // A signal, or the process was stopped and goes on. What has come by now counts.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    timeout = Some(Duration::ZERO);
                }
                Err(error) => return Err(error),
            }
        }
        let mut count = 0;
        for event in &self.events {
            count += 1;
            match event.token() {
                WAKER => turn.woken = true,
                TIMER => self.timer.fired(),
                SIGNALS => {
                    if let Some(signals) = &mut self.signals {
                        turn.signals |= signals.take();
                    }
                }
                Token(token) => {
                    let (index, watch) = ((token - FIRST_PORT) / 2, (token - FIRST_PORT) % 2 == 1);
                    let Some(port) = self.ports.get_mut(index) else { continue };
                    match watch {
                        true => port.follow(&mut self.stacks[port.stack()]),
                        false => port.ready(),
                    }
                }
            }
        }
        Ok(count)
    }

    fn register(&self, port: &Port, index: usize) -> io::Result<()> {
        let registry = self.poll.registry();
        for (n, fd) in [port.raw_fd(), port.watch_fd()].into_iter().enumerate() {
            let Some(fd) = fd else { continue };
            let token = Token(FIRST_PORT + 2 * index + n);
            if let Err(error) = registry.register(&mut SourceFd(&fd), token, Interest::READABLE) {
                deregister(&self.poll, port);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// What is not registered, or not any more, is no harm.
fn deregister(poll: &Poll, port: &Port) {
    for fd in [port.raw_fd(), port.watch_fd()].into_iter().flatten() {
        let _ = poll.registry().deregister(&mut SourceFd(&fd));
    }
}

/// The descriptor and what to wait for on it.
pub(crate) type NewInterest = (RawFd, Interest);
