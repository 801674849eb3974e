//! `tapping tcping`: how long a host takes to answer a SYN, with ping's timing and statistics.
//!
//! Each probe is a connection of its own. [`ping`](crate::ping)'s engine decides when to make one;
//! this module looks what became of each.

mod report;

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tapping_drivers::clock::Clock;
use tapping_stack::socket::{SocketError, SocketId};
use tapping_stack::tcp::TcpState;
use tapping_stack::time::Instant;

use crate::cli::tcping::TcpingArgs;
use crate::failure::{Failure, Stop};
use crate::names::{self, Names, Target};
use crate::network::Network;
use crate::ping::engine::{Action, Engine, Pacing, Sent};
use crate::plan::Plan;
use report::{Event, Host, Json, Report, Text};

/// Runs `tapping tcping`; gives the exit status.
pub fn run(args: &TcpingArgs) -> Result<u8, Stop> {
    let plan = Plan::new(&args.network)?;
    let target = names::resolve(&args.host)?;
    plan.check_route(&target)?;
    if plan.is_broadcast(target.addr) || target.addr.is_multicast() {
        let what = format!("{} is not one host; nobody connects to many", target.addr);
        return Err(Failure(what).into());
    }
    let (bound, link) = match &args.source {
        None => (None, None),
        Some(source) => match source.parse::<Ipv4Addr>() {
            Ok(addr) => {
                plan.check_source(addr)?;
                (Some(addr), None)
            }
            Err(_) => (None, Some(source.as_str())),
        },
    };
    let mut names = if args.numeric || target.numeric { Names::numeric() } else { Names::system() };
    let name = names.get(target.addr.into());
    let mut network = Network::open(&plan, link)?;
    let link = link.map(|name| network.link_called(name)).transpose()?;
    let engine = Engine::new(pacing(args), network.now());
    let host = Host { name: target.name.clone(), addr: target.addr, port: args.port, known: name };
    let report: Box<dyn Report> = if args.json {
        Box::new(Json::new(io::stdout(), args.quiet))
    } else {
        let (quiet, stamps, audible) = (args.quiet, args.stamps, args.audible);
        Box::new(Text { out: io::stdout(), err: io::stderr(), quiet, stamps, audible })
    };
    let probe = Probe { bound, link, args, to: address(&target, args.port) };
    Session { network, engine, host, report, probe, waiting: VecDeque::new(), refused: 0 }.run()
}

fn address(target: &Target, port: u16) -> SocketAddr {
    (target.addr, port).into()
}

/// What the options say about the timing.
fn pacing(args: &TcpingArgs) -> Pacing {
    Pacing {
        count: args.count,
        interval: args.interval,
        adaptive: args.adaptive,
        preload: args.preload,
        linger: args.linger.0,
        deadline: args.deadline.filter(|limit| !limit.is_zero()),
        outstanding: args.outstanding,
        timeouts: true,
    }
}

/// How to connect.
struct Probe<'a> {
    bound: Option<Ipv4Addr>,
    link: Option<tapping_stack::packet::LinkId>,
    args: &'a TcpingArgs,
    to: SocketAddr,
}

impl Probe<'_> {
    /// Begins to connect.
    fn send(&self, network: &mut Network, now: Instant) -> Result<SocketId, SocketError> {
        let stack = network.stack();
        let socket = stack.open_tcp()?;
        let connected = (|| {
            let options = stack.socket_options(socket)?;
            options.bind_link = self.link;
            options.ttl = self.args.ttl;
            options.tos = self.args.tos.unwrap_or_default();
            options.mark = self.args.mark.unwrap_or_default();
            if let Some(addr) = self.bound {
                stack.bind(socket, (addr, 0).into())?;
            }
            stack.connect(now, socket, self.to)
        })();
        if let Err(error) = connected {
            let _ = stack.close(now, socket);
            return Err(error);
        }
        Ok(socket)
    }
}

/// A run.
struct Session<'a> {
    network: Network,
    engine: Engine,
    host: Host,
    report: Box<dyn Report>,
    probe: Probe<'a>,
    /// Connections on their way, and the number of the probe.
    waiting: VecDeque<(u16, SocketId)>,
    /// Answers that were refusals.
    refused: u64,
}

impl Session<'_> {
    fn run(mut self) -> Result<u8, Stop> {
        self.report.start(&self.host)?;
        let end = self.connect_again_and_again();
        if !matches!(end, Err(Stop::ReaderGone)) {
            self.report.summary(&self.host, &self.engine, self.refused)?;
        }
        end?;
        Ok(u8::from(!self.engine.is_success()))
    }

    fn connect_again_and_again(&mut self) -> Result<(), Stop> {
        loop {
            let event = match self.engine.poll(self.network.now()) {
                Action::Send(sequence) => {
                    self.send(sequence)?;
                    continue;
                }
                Action::Outstanding(sequence) => Event::Outstanding { sequence },
                Action::Timeout(sequence) => {
                    self.give_up(|number| number == sequence);
                    Event::Timeout { sequence }
                }
                Action::Wait(until) => {
                    let signals = self.network.wait(until)?;
                    self.take()?;
                    if signals.stop {
                        self.engine.stop();
                    }
                    if signals.status {
                        self.report.interim(&self.host, &self.engine)?;
                    }
                    continue;
                }
                Action::Finish => break,
            };
            self.report.event(&self.host, Clock::wall(), &event)?;
        }
        // What it still waits for would be answered by nobody's resets.
        self.give_up(|_| true);
        Ok(self.network.flush()?)
    }

    fn send(&mut self, sequence: u16) -> Result<(), Stop> {
        let now = self.network.now();
        match self.probe.send(&mut self.network, now) {
            Ok(socket) => {
                self.waiting.push_back((sequence, socket));
                self.engine.sent(now, Sent::Ok);
            }
            Err(SocketError::NoBufferSpace) => self.engine.sent(now, Sent::Busy),
            Err(error) => {
                self.engine.sent(now, Sent::Failed);
                let event = Event::Failed { sequence, error, local: true };
                self.report.event(&self.host, Clock::wall(), &event)?;
            }
        }
        self.network.flush()?;
        self.take()
    }

    /// Looks what became of each connection.
    fn take(&mut self) -> Result<(), Stop> {
        for _ in 0..self.waiting.len() {
            let Some((sequence, socket)) = self.waiting.pop_front() else { break };
            let now = self.network.now();
            let stack = self.network.stack();
            let outcome = match stack.tcp_state(socket) {
                Ok(TcpState::SynSent | TcpState::SynReceived) => {
                    self.waiting.push_back((sequence, socket));
                    continue;
                }
                Ok(TcpState::Closed) => match stack.take_error(socket) {
                    Ok(Some(error)) | Err(error) => Err(error),
                    // It was taken and closed again before anybody looked.
                    Ok(None) => Ok(()),
                },
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            let _ = stack.close(now, socket);
            let event = match outcome {
                Ok(()) | Err(SocketError::ConnectionRefused) => {
                    let rtt = self.engine.received(now, sequence).rtt;
                    let open = outcome.is_ok();
                    self.refused += u64::from(!open);
                    Event::Answer { sequence, open, rtt }
                }
                Err(error) => {
                    self.engine.refused(sequence);
                    Event::Failed { sequence, error, local: false }
                }
            };
            self.report.event(&self.host, Clock::wall(), &event)?;
        }
        Ok(())
    }

    /// Ends connections that are not set up.
    fn give_up(&mut self, which: impl Fn(u16) -> bool) {
        let now = self.network.now();
        let stack = self.network.stack();
        self.waiting.retain(|&(sequence, socket)| {
            let over = which(sequence);
            if over {
                let _ = stack.close(now, socket);
            }
            !over
        });
    }
}
