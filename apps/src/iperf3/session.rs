//! The part of a test in which data flows; the same at both ends.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tapping_drivers::aio::TcpStream;
use tapping_drivers::net::Net;
use tapping_stack::time::Instant;

use super::control::Control;
use super::cpu::CpuMeter;
use super::data::{self, DataStream, Flow, Happening, Needs};
use super::fault::Fault;
use super::meter::{Meter, Role, Snapshot, StreamInfo, Summary};
use super::params::{Direction, Params, Protocol, Until};
use super::protocol::{MAX_RESULTS, State};
use super::report::Report;
use super::results::Results;
use super::timeline::{Due, Timeline};

/// How long one end waits for the other, in any step in which no data flows.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may run over time before its server gives it up.
const GRACE: Duration = Duration::from_secs(30);
/// How long a receiver of datagrams waits for those that may have been lost, at least.
const QUIET: Duration = Duration::from_secs(2);
/// How long to wait for the other end to say why a stream failed.
const REASON: Duration = Duration::from_secs(1);

/// Completes when the user has had enough.
pub type Interrupt = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A control connection of this stack.
pub type Connection = Control<TcpStream>;

/// A test whose streams are there.
pub struct Session<'a> {
    /// The network.
    pub net: &'a Net,
    /// This end.
    pub role: Role,
    /// What it is to be.
    pub params: &'a Params,
    /// The control connection.
    pub control: &'a Connection,
    /// The streams.
    pub streams: &'a [DataStream],
    /// Where it is shown.
    pub report: &'a mut dyn Report,
    /// How often.
    pub interval: Option<Duration>,
    /// How long nothing may come.
    pub idle: Duration,
    /// Its end by the user.
    pub interrupt: &'a mut Interrupt,
}

/// What is known of a test that has run.
pub struct Ran {
    meter: Meter,
    cpu: CpuMeter,
    /// The congestion control algorithm of its streams.
    congestion: Option<String>,
}

enum Event {
    State(Result<State, Fault>),
    Flow(Happening),
    Time,
    Interrupt,
}

impl Session<'_> {
    /// Lets data flow until the client says that it is enough: to the client as soon as it is, to
    /// the server when it is told.
    ///
    /// # Errors
    /// It came to another end; what was counted was shown.
    pub async fn run(mut self) -> Result<Ran, Fault> {
        let cpu = CpuMeter::start();
        let flow = Arc::new(Flow::new(self.params));
        let infos: Vec<StreamInfo> = self.streams.iter().map(|stream| stream.info).collect();
        let start = self.net.clock().now();
        let mut meter = Meter::new(self.role, self.params, &infos, Duration::ZERO);
        let mut tasks = data::start(self.net, self.params, self.streams, &flow);
        let result = self.lead(&flow, &mut meter, start).await;
        tasks.stop();
        if self.role == Role::Server && result.is_ok() {
            self.streams.iter().for_each(DataStream::drain);
        }
        let now = self.net.clock().now() - start;
        let snapshots = self.snapshots();
        let tail = meter.finish(now, &snapshots, self.interval);
        if let Some(tail) = tail {
            self.report.interval(&tail).map_err(Fault::Output)?;
        }
        let congestion = self.congestion();
        if let Err(fault) = result {
            let summary = Summary { cpu: cpu.read(), ..meter.summary(None) };
            self.report.summary(&summary).map_err(Fault::Output)?;
            return Err(fault);
        }
        Ok(Ran { meter, cpu, congestion })
    }

    async fn lead(&mut self, flow: &Flow, meter: &mut Meter, start: Instant) -> Result<(), Fault> {
        let mut timeline = Timeline::new(self.role, self.params, self.interval);
        let needs = match self.role {
            Role::Client => Needs::of(self.params),
            Role::Server => Needs::NOTHING,
        };
        let mut watch = Watch::new(self.role, self.params, self.streams, self.idle);
        loop {
            let now = self.net.clock().now() - start;
            while let Some(due) = timeline.due(now) {
                match due {
                    Due::Interval => {
                        let interval = meter.interval(now, &self.snapshots());
                        self.report.interval(&interval).map_err(Fault::Output)?;
                    }
                    Due::Counting => {
                        let snapshots = self.snapshots();
                        let tail = meter.finish(now, &snapshots, self.interval);
                        if let Some(tail) = tail.filter(|_| self.interval.is_some()) {
                            self.report.interval(&tail).map_err(Fault::Output)?;
                        }
                        meter.omitted(now, &snapshots);
                        flow.count();
                    }
                    Due::End => return Ok(()),
                }
            }
            let received = self.received();
            let at = match watch.look(now, received)? {
                Watched::Until(at) => timeline.next().map_or(at, |next| next.min(at)),
                Watched::NoMore => return Ok(()),
            };
            match self.wait(flow, needs, at.saturating_sub(now)).await {
                Event::Time => {}
                Event::Flow(Happening::Enough) => return Ok(()),
                Event::Flow(Happening::Failed(error)) => {
                    return Err(reason(self.net, self.control, self.role, error).await);
                }
                Event::Interrupt => return Err(Fault::Interrupted(self.role)),
                Event::State(state) => return ended_by(self.control, self.role, state?).await,
            }
        }
    }

    async fn wait(&mut self, flow: &Flow, needs: Needs, time: Duration) -> Event {
        let mut sleep = pin!(self.net.sleep(time));
        poll_fn(|cx| {
            if let Poll::Ready(state) = self.control.poll_state(cx) {
                return Poll::Ready(Event::State(state));
            }
            if let Poll::Ready(happening) = flow.poll(cx, needs) {
                return Poll::Ready(Event::Flow(happening));
            }
            if self.interrupt.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Interrupt);
            }
            sleep.as_mut().poll(cx).map(|()| Event::Time)
        })
        .await
    }

    fn snapshots(&self) -> Vec<Snapshot> {
        self.streams.iter().map(DataStream::snapshot).collect()
    }

    fn received(&self) -> u64 {
        let receivers = self.streams.iter().filter(|stream| !stream.info.sending);
        receivers.map(DataStream::bytes).sum()
    }

    fn congestion(&self) -> Option<String> {
        self.streams.first().and_then(DataStream::congestion)
    }
}

/// What a state means while data flows.
async fn ended_by(control: &Connection, role: Role, state: State) -> Result<(), Fault> {
    match (role, state) {
        (Role::Server, State::TestEnd) => Ok(()),
        (Role::Server, State::ClientTerminate) => Err(Fault::PeerLeft(Role::Client)),
        (Role::Client, State::ServerTerminate) => Err(Fault::PeerLeft(Role::Server)),
        (Role::Client, State::ServerError) => Err(Fault::Server(control.server_error().await?)),
        (_, state) => Err(Fault::Unexpected(state)),
    }
}

/// A stream failed: what the other end says about it, if it does.
async fn reason(net: &Net, control: &Connection, role: Role, error: std::io::Error) -> Fault {
    let said = net.timeout(REASON, control.state()).await;
    if let Ok(Ok(state)) = said
        && let Err(fault @ (Fault::PeerLeft(_) | Fault::Server(_))) =
            ended_by(control, role, state).await
    {
        return fault;
    }
    Fault::Stream { what: "move data on a stream", error, code: 206 }
}

impl Ran {
    /// What is told to the other end.
    pub fn results(&self, params: &Params, role: Role) -> Results {
        let sends = match role {
            Role::Client => params.direction != Direction::Reverse,
            Role::Server => params.direction != Direction::Forward,
        };
        Results {
            cpu: self.cpu.read(),
            has_retransmits: sends.then_some(params.protocol == Protocol::Tcp),
            congestion: self.congestion.clone(),
            server_output: None,
            streams: self.meter.results(),
        }
    }

    /// What is shown in the end.
    pub fn summary(&self, params: &Params, role: Role, remote: &Results) -> Summary {
        let (own, other) = (self.congestion.clone(), remote.congestion.clone());
        let client_sends = params.direction != Direction::Reverse;
        let here_sends = client_sends == (role == Role::Client);
        let (sender, receiver) = if here_sends { (own, other) } else { (other, own) };
        let mut summary = self.meter.summary(Some(remote));
        if !params.get_server_output {
            // iperf3 3.12 goes on sending it once any client has asked for it.
            summary.server_output = None;
        }
        Summary {
            cpu: self.cpu.read(),
            sender_congestion: sender,
            receiver_congestion: receiver,
            ..summary
        }
    }
}

/// Ends a test in which nothing happens any more.
struct Watch {
    /// After so long without anything that comes, if anything is to come.
    idle: Option<Duration>,
    /// Datagrams that do not come may have been lost: so long after the last it is enough.
    quiet: Option<Duration>,
    /// At this time a client must have ended it.
    late: Option<Duration>,
    received: u64,
    since: Duration,
}

enum Watched {
    /// There is reason to look again then.
    Until(Duration),
    /// As much has come as ever will.
    NoMore,
}

impl Watch {
    fn new(role: Role, params: &Params, streams: &[DataStream], idle: Duration) -> Self {
        let receives = streams.iter().any(|stream| !stream.info.sending);
        let sends = streams.iter().any(|stream| stream.info.sending);
        let by_amount = !matches!(params.until, Until::Time(_));
        let udp = params.protocol == Protocol::Udp;
        let gap = match params.rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs_f64(f64::from(params.block) * 8.0 / rate as f64),
        };
        let quiet = QUIET.max(gap.saturating_mul(4 * params.burst.max(1)));
        let time = match params.until {
            Until::Time(seconds) if seconds > 0 => Some(seconds),
            _ => None,
        };
        let late = time.map(|time| Duration::from_secs((time + params.omit).into()) + GRACE);
        Watch {
            idle: receives.then_some(idle.max(gap.saturating_mul(4))),
            quiet: (role == Role::Client && udp && by_amount && !sends).then_some(quiet),
            late: late.filter(|_| role == Role::Server),
            received: 0,
            since: Duration::ZERO,
        }
    }

    fn look(&mut self, now: Duration, received: u64) -> Result<Watched, Fault> {
        if received != self.received {
            (self.received, self.since) = (received, now);
        }
        if self.late.is_some_and(|late| now >= late) {
            return Err(Fault::Late("end the test"));
        }
        let quiet = self.quiet.filter(|_| received > 0).map(|quiet| self.since + quiet);
        if quiet.is_some_and(|quiet| now >= quiet) {
            return Ok(Watched::NoMore);
        }
        let idle = self.idle.map(|idle| self.since + idle);
        if idle.is_some_and(|idle| now >= idle) {
            return Err(Fault::Late("send data"));
        }
        let next = [self.late, quiet, idle].into_iter().flatten().min();
        // Whether anything came is looked at now and then.
        Ok(Watched::Until(next.unwrap_or(Duration::MAX).min(now + QUIET)))
    }
}

/// Waits for a step of the other end, not for ever.
pub async fn step<T>(
    net: &Net,
    interrupt: &mut Interrupt,
    role: Role,
    what: &'static str,
    step: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let limited = net.timeout(PATIENCE, step);
    unless(interrupt, role, async { limited.await.unwrap_or(Err(Fault::Late(what))) }).await
}

/// Does something unless the user wants no more of it.
pub async fn unless<T>(
    interrupt: &mut Interrupt,
    role: Role,
    step: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let mut step = pin!(step);
    poll_fn(|cx| {
        if let Poll::Ready(result) = step.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        interrupt.as_mut().poll(cx).map(|()| Err(Fault::Interrupted(role)))
    })
    .await
}

/// Opens the streams, unless the other end says meanwhile that there is no point. The `start` of the
/// test may be told before the last stream is known to be open; whether it was.
pub async fn heeding<T>(
    control: &Connection,
    role: Role,
    start: Option<State>,
    streams: impl Future<Output = Result<T, Fault>>,
) -> Result<(T, bool), Fault> {
    let mut streams = pin!(streams);
    let mut started = false;
    let word = poll_fn(|cx| {
        if let Poll::Ready(opened) = streams.as_mut().poll(cx) {
            return Poll::Ready(Ok(opened));
        }
        if started {
            return Poll::Pending;
        }
        match control.poll_state(cx) {
            Poll::Ready(Ok(state)) if start == Some(state) => {
                started = true;
                Poll::Pending
            }
            Poll::Ready(said) => Poll::Ready(Err(said)),
            Poll::Pending => Poll::Pending,
        }
    });
    match word.await {
        Ok(opened) => Ok((opened?, started)),
        Err(said) => match ended_by(control, role, said?).await {
            Err(fault) => Err(fault),
            Ok(()) => Err(Fault::Unexpected(State::TestEnd)),
        },
    }
}

/// Reads the other end's results.
pub async fn read_results(control: &Connection) -> Result<Results, Fault> {
    let message = control.message(MAX_RESULTS).await?;
    Results::from_json(&message).map_err(Fault::Results)
}
