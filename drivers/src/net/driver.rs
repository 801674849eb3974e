//! The thread that moves frames between devices and a stack, and runs tasks.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_task::Runnable;
use mio::unix::SourceFd;
use mio::{Events, Interest, Token};
use parking_lot::MutexGuard;
use tapping_stack::time::Instant;
use tapping_stack::{LinkId, PacketPool};

use super::Shared;
use super::ending::{DRAIN_INTERVAL, abort, begin_drain, is_drained};
use super::executor::{main_waker, with_budget};
use super::shard::{Ending, Shard, Sleep, State};
use crate::device::Device;
use crate::runtime::port::Port;
use crate::runtime::signals::SignalPipe;
use crate::runtime::timer::Timer;
use crate::runtime::{RECEIVE_BATCH, Signals, TRANSMIT_BUDGET};

pub(super) const WAKER: Token = Token(0);
const TIMER: Token = Token(1);
const SIGNALS: Token = Token(2);
/// The tokens of port `n` are this and `2 n`, and of its watch one more.
const FIRST_PORT: usize = 3;
/// Events taken from the kernel at once.
const EVENTS: usize = 64;
/// Turns between two looks at devices that had nothing, while others keep the driver busy.
const TURNS_BETWEEN_POLLS: u32 = 8;

/// A device of a shard.
pub(super) type BoxedDevice = Box<dyn Device + Send>;

thread_local! {
    /// Which shard of which `Net` the thread drives at the moment.
    static CURRENT: Cell<Option<(usize, usize)>> = const { Cell::new(None) };
}

/// The shard that the calling thread drives.
pub(super) fn current(shared: &Arc<Shared>) -> Option<usize> {
    let (net, shard) = CURRENT.get()?;
    (net == Arc::as_ptr(shared).addr()).then_some(shard)
}

/// Whether the calling thread drives any.
pub(super) fn is_driver() -> bool {
    CURRENT.get().is_some()
}

/// What ended [`Driver::block_on`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished<T> {
    /// The future completed.
    Done(T),
    /// Signals were caught while nobody [awaited](super::Net::signal) any.
    Signal(Signals),
}

/// What drives the stacks of a [`Net`](super::Net): it runs on the thread that calls it, and with
/// several stacks on one more for each. Dropped, it ends them at once.
pub struct Driver {
    shared: Arc<Shared>,
    /// None once they run on threads of their own, which then have them.
    loops: Vec<ShardLoop>,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, loops: Vec<ShardLoop>) -> Self {
        Driver { shared, loops }
    }

    /// Runs until somebody [shuts it down](super::Net::shutdown), or nobody is left who could use
    /// it.
    ///
    /// # Errors
    /// Those of making a thread, and of polling. What goes wrong with a device takes its link down.
    pub fn run(mut self) -> io::Result<()> {
        self.start_others()?;
        match self.loops.pop() {
            Some(first) => first.run(),
            None => Ok(()),
        }
    }

    /// Runs until a future is done, or a signal comes that nobody awaits. It can be called again.
    ///
    /// # Errors
    /// Those of [`run`](Self::run); `ENETDOWN`, when it was shut down before the future was done.
    pub fn block_on<F: Future>(&mut self, future: F) -> io::Result<Finished<F::Output>> {
        self.start_others()?;
        let Some(first) = self.loops.first_mut() else { return Err(net_down()) };
        let mut future = pin!(future);
        first.block_on(future.as_mut(), &self.shared)
    }

    /// Starts threads for all loops but the first, which is left.
    fn start_others(&mut self) -> io::Result<()> {
        while self.loops.len() > 1 {
            if let Some(other) = self.loops.pop() {
                other.start()?;
            }
        }
        Ok(())
    }

    /// Starts threads for all.
    pub(super) fn start(mut self) -> io::Result<()> {
        self.loops.drain(..).try_for_each(ShardLoop::start)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("shards", &self.shared.shards.len()).finish_non_exhaustive()
    }
}

fn net_down() -> io::Error {
    super::socket::io_error(tapping_stack::SocketError::NetworkDown)
}

/// The loop of one shard.
pub(super) struct ShardLoop {
    shared: Arc<Shared>,
    index: usize,
    poll: mio::Poll,
    events: Events,
    timer: Timer,
    signals: Option<SignalPipe>,
    ports: Vec<Port<BoxedDevice>>,
    /// Buffers to read into, without the lock.
    pool: PacketPool,
    /// How long to look for something to do before going to sleep.
    busy_poll: Duration,
    /// Since when there was nothing to do, while it is looked for.
    idle_since: Option<Instant>,
    /// Turns since the kernel was asked for events.
    unpolled: u32,
    /// The first frame after a sleep is answered by itself, for latency.
    fresh: bool,
    drain_begun: bool,
    ended: bool,
    /// Empty between two turns, and kept for their memory.
    woken: Vec<Waker>,
    batch: VecDeque<Runnable>,
}

impl ShardLoop {
    pub(super) fn new(
        shared: Arc<Shared>,
        index: usize,
        poll: mio::Poll,
        devices: Vec<(LinkId, BoxedDevice)>,
        busy_poll: Duration,
    ) -> io::Result<Self> {
        let timer = Timer::new()?;
        let fd = timer.as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), TIMER, Interest::READABLE)?;
        let mut ports = Vec::new();
        for (n, (link, device)) in devices.into_iter().enumerate() {
            let port = Port::new(0, link, device);
            for (kind, fd) in [port.raw_fd(), port.watch_fd()].into_iter().enumerate() {
                let Some(fd) = fd else { continue };
                let token = Token(FIRST_PORT + 2 * n + kind);
                poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE)?;
            }
            ports.push(port);
        }
        let config = shared.shards[index].act(|state, _| state.stack.config().core.clone());
        Ok(ShardLoop {
            shared,
            index,
            poll,
            events: Events::with_capacity(EVENTS),
            timer,
            signals: None,
            ports,
            pool: PacketPool::new(config.pool_small, config.pool_large),
            busy_poll,
            idle_since: None,
            unpolled: 0,
            fresh: true,
            drain_begun: false,
            ended: false,
            woken: Vec::new(),
            batch: VecDeque::new(),
        })
    }

    /// From now on signals do not end the process; those who await them get them.
    pub(super) fn catch_signals(&mut self) -> io::Result<()> {
        let signals = SignalPipe::new()?;
        let fd = signals.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), SIGNALS, Interest::READABLE)?;
        self.signals = Some(signals);
        Ok(())
    }

    fn start(self) -> io::Result<()> {
        let name = format!("tapping-{}", self.index);
        // What ends it others learn from `Ended`.
        std::thread::Builder::new().name(name).spawn(move || self.run()).map(|_| ())
    }

    fn run(mut self) -> io::Result<()> {
        let _here = Here::enter(&self.shared, self.index);
        while !self.ended {
            if let Err(error) = self.turn() {
                let told = Err(io::Error::from(error.kind()));
                self.end(&told);
                return Err(error);
            }
        }
        Ok(())
    }

    fn block_on<F: Future>(
        &mut self,
        mut future: Pin<&mut F>,
        shared: &Arc<Shared>,
    ) -> io::Result<Finished<F::Output>> {
        let here = Here::enter(shared, self.index);
        let waker = main_waker(shared);
        let mut cx = Context::from_waker(&waker);
        waker.wake_by_ref();
        loop {
            if self.shard().executor.take_main() {
                let polled = with_budget(|| future.as_mut().poll(&mut cx));
                if let Poll::Ready(output) = polled {
                    // What it has left to send leaves, unless all has left already.
                    if !self.ended {
                        self.exchange(true);
                        self.wake();
                        self.transmit();
                    }
                    return Ok(Finished::Done(output));
                }
            }
            if let Some(signals) = self.shared.signals.take_unawaited() {
                return Ok(Finished::Signal(signals));
            }
            if self.ended {
                drop(here);
                return Err(net_down());
            }
            self.turn()?;
        }
    }

    fn shard(&self) -> &Shard {
        &self.shared.shards[self.index]
    }

    /// Does what there is to do; sleeps when that is nothing.
    fn turn(&mut self) -> io::Result<()> {
        let received = self.receive();
        let collected = self.exchange(!self.shard().executor.has_work());
        let mut busy = received > 0 || !self.woken.is_empty();
        self.wake();
        busy |= self.run_tasks();
        if busy && !collected {
            self.exchange(true);
            self.wake();
        }
        busy |= self.transmit();
        if self.ended {
            return Ok(());
        }
        if busy || self.ports.iter().any(Port::has_more) {
            self.idle_since = None;
            self.unpolled += 1;
            if self.unpolled < TURNS_BETWEEN_POLLS {
                return Ok(());
            }
            return self.poll_events(Some(Duration::ZERO));
        }
        if self.looks_on() {
            return self.poll_events(Some(Duration::ZERO));
        }
        self.sleep()
    }

    /// Reads frames from the devices; tells how many.
    fn receive(&mut self) -> usize {
        let limit = if self.fresh { 1 } else { RECEIVE_BATCH };
        self.fresh = false;
        let mut received = 0;
        for port in &mut self.ports {
            if port.may_receive() {
                received += port.receive_batch(&mut self.pool, limit);
            }
        }
        received
    }

    /// What takes the lock: the stack handles what was received, and its timers. With `collect`
    /// what it has to send is taken out, unless there are tasks to be woken, which may add to it.
    /// Tells whether it was.
    fn exchange(&mut self, collect: bool) -> bool {
        let shard = &self.shared.shards[self.index];
        let mut state = shard.lock_for_driver();
        let clock = *shard.clock();
        for port in &mut self.ports {
            port.handle_batch(&clock, &mut state.stack);
        }
        let now = clock.now();
        if state.stack.poll_timeout().is_some_and(|at| at <= now) {
            state.stack.handle_timeout(now);
        }
        if state.ending.is_some() && !self.ended {
            self.ended = Self::advance_end(&mut self.drain_begun, &mut state, shard, now);
        }
        self.pool.share(state.stack.pool());
        state.stack.take_woken(&mut self.woken);
        let collect = self.ended || (collect && self.woken.is_empty());
        if collect {
            for port in &mut self.ports {
                port.collect(now, &mut state.stack, TRANSMIT_BUDGET);
            }
        }
        MutexGuard::unlock_fair(state);
        if self.ended {
            self.finish(&Ok(()));
        }
        collect
    }

    /// Goes on with the end; tells whether it has come.
    fn advance_end(begun: &mut bool, state: &mut State, shard: &Shard, now: Instant) -> bool {
        if let Some(Ending::Drain(until)) = state.ending {
            if !std::mem::replace(begun, true) {
                begin_drain(&mut state.stack, now);
            }
            let done = is_drained(&state.stack) && !shard.executor.has_work();
            if !done && now < until {
                return false;
            }
        }
        abort(&mut state.stack, now);
        state.stack.wake_everybody();
        state.ended = true;
        true
    }

    fn wake(&mut self) {
        let shard = &self.shared.shards[self.index];
        let now = shard.clock().now();
        shard.timers.take_due(now, &mut self.woken);
        self.woken.drain(..).for_each(Waker::wake);
    }

    fn run_tasks(&mut self) -> bool {
        let shard = &self.shared.shards[self.index];
        shard.executor.run(&mut self.batch)
    }

    /// Writes what was taken out; tells whether there was any.
    fn transmit(&mut self) -> bool {
        let mut sent = 0;
        for index in 0..self.ports.len() {
            sent += self.ports[index].transmit_batch(&mut self.pool);
            self.settle(index);
        }
        sent > 0
    }

    /// Acts on what a port has met: room to wait for, or its end.
    fn settle(&mut self, index: usize) {
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
            for fd in [port.raw_fd(), port.watch_fd()].into_iter().flatten() {
                let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
            }
            self.shared.shards[self.index].act(|state, now| {
                port.close(&mut state.stack);
                // A link that was removed is down enough.
                let _ = state.stack.set_link_up(now, port.link(), false);
            });
        }
    }

    /// Whether to go on looking for work instead of going to sleep.
    fn looks_on(&mut self) -> bool {
        if self.busy_poll.is_zero() {
            return false;
        }
        let now = self.shard().clock().now();
        let since = *self.idle_since.get_or_insert(now);
        std::hint::spin_loop();
        now - since < self.busy_poll
    }

    /// Sleeps until there is something to do, if there is nothing (see [`super::doorbell`]).
    fn sleep(&mut self) -> io::Result<()> {
        let shard = &self.shared.shards[self.index];
        shard.bell().lie_down();
        let until = Self::plan_sleep(shard, &self.ports, self.drain_begun);
        let result = match until {
            None => self.poll_events(Some(Duration::ZERO)),
            Some(None) => self.poll_events(None),
            Some(Some(at)) => {
                let armed = self.timer.arm(self.shared.shards[self.index].clock(), at);
                armed.and_then(|()| self.poll_events(None))
            }
        };
        self.shard().bell().get_up();
        self.fresh = true;
        result
    }

    /// The last look at whether there is something to do: `None` if there is; else when there will
    /// be.
    fn plan_sleep(
        shard: &Shard,
        ports: &[Port<BoxedDevice>],
        draining: bool,
    ) -> Option<Option<Instant>> {
        let mut state = shard.lock_for_driver();
        let now = shard.clock().now();
        if state.ending.is_some() && !draining {
            return None;
        }
        let sends =
            |port: &Port<BoxedDevice>| port.may_transmit() && state.stack.has_transmit(port.link());
        if ports.iter().any(sends) {
            return None;
        }
        // What is left has no device that takes it.
        let takes = ports.iter().any(Port::may_transmit);
        let backlog = if takes { state.stack.transmit_backlog() } else { usize::MAX };
        let ending = draining.then(|| now + DRAIN_INTERVAL);
        let timers = shard.timers.next();
        let retry = ports.iter().filter_map(Port::patience).min().map(|patience| now + patience);
        let timeout = state.stack.poll_timeout();
        let until = [timeout, timers, ending, retry].into_iter().flatten().min();
        state.sleep = Sleep { until, backlog };
        let due = until.is_some_and(|at| at <= now);
        drop(state);
        if due || shard.executor.has_work() { None } else { Some(until) }
    }

    /// Takes events from the kernel.
    fn poll_events(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.unpolled = 0;
        let mut timeout = timeout;
        while let Err(error) = self.poll.poll(&mut self.events, timeout) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
            // A signal, or the process was stopped and goes on. What has come by now counts.
            timeout = Some(Duration::ZERO);
        }
        let shard = &self.shared.shards[self.index];
        for event in &self.events {
            match event.token() {
                WAKER => {}
                TIMER => self.timer.fired(),
                SIGNALS => {
                    if let Some(signals) = &mut self.signals {
                        self.shared.signals.put(signals.take());
                    }
                }
                Token(token) => {
                    let (index, watch) = ((token - FIRST_PORT) / 2, (token - FIRST_PORT) % 2 == 1);
                    let Some(port) = self.ports.get_mut(index) else { continue };
                    match watch {
                        true => shard.act(|state, _| port.follow(&mut state.stack)),
                        false => port.ready(),
                    }
                }
            }
        }
        Ok(())
    }

    /// Everybody learns that nothing will happen any more. Frames already taken out are still sent.
    fn finish(&mut self, result: &io::Result<()>) {
        let shard = &self.shared.shards[self.index];
        shard.timers.close(&mut self.woken);
        self.woken.drain(..).for_each(Waker::wake);
        shard.executor.close();
        for port in &mut self.ports {
            port.transmit_batch(&mut self.pool);
        }
        self.shared.ended.end(result);
    }

    /// Ends at once, whatever was asked for.
    fn end(&mut self, result: &io::Result<()>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let shard = &self.shared.shards[self.index];
        let mut state = shard.lock_for_driver();
        let now = shard.clock().now();
        abort(&mut state.stack, now);
        state.stack.wake_everybody();
        state.ended = true;
        state.stack.take_woken(&mut self.woken);
        for port in &mut self.ports {
            port.collect(now, &mut state.stack, TRANSMIT_BUDGET);
        }
        drop(state);
        self.finish(result);
    }
}

impl Drop for ShardLoop {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        self.end(&if panicked { Err(io::ErrorKind::Other.into()) } else { Ok(()) });
    }
}

/// The calling thread drives a shard as long as this is there.
struct Here(Option<(usize, usize)>);

impl Here {
    fn enter(shared: &Arc<Shared>, index: usize) -> Self {
        let here = (Arc::as_ptr(shared).addr(), index);
        Here(CURRENT.replace(Some(here)))
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}
