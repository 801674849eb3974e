//! A run: one engine and one ping socket for each host, over one network.

use std::net::IpAddr;

use tapping_drivers::clock::Clock;
use tapping_stack::PmtuDiscovery;
use tapping_stack::packet::Packet;
use tapping_stack::socket::{ErrorOrigin, SocketError, SocketErrorReport, SocketId, SocketOptions};
use tapping_stack::time::Instant;
use tapping_stack::wire::Ipv4;

use super::Source;
use super::engine::{Action, Engine, Sent};
use super::ip_options;
use super::payload::{HEADER, Request};
use super::report::{Event, Host, IcmpError, Named, Reply, Report};
use crate::cli::PingArgs;
use crate::cli::values::Discovery;
use crate::failure::{Failure, Stop};
use crate::names::{Names, Target};
use crate::network::Network;
use crate::plan::Plan;
use crate::walk::Walk;

/// Type of an ICMP echo reply (RFC 792).
const ECHO_REPLY: u8 = 0;
/// Type of an ICMP redirect (RFC 792).
const REDIRECT: u8 = 5;
/// Room for what one reply takes in a socket's queue, beside its data.
const REPLY_OVERHEAD: usize = 4096;
/// The most room that a preload makes a socket have.
const MAX_RECEIVE_BUFFER: usize = 64 << 20;

/// The hosts of a run.
pub struct Session {
    network: Network,
    names: Names,
    runs: Vec<Run>,
    /// Times are taken when a reply is read, not when it arrived (`-U`).
    user_latency: bool,
}

/// One host.
struct Run {
    host: Host,
    socket: SocketId,
    engine: Engine,
    request: Request,
    finished: bool,
}

impl Session {
    /// Opens a socket for each target.
    pub fn new(
        args: &PingArgs,
        plan: &Plan,
        source: &Source,
        targets: &[Target],
        mut network: Network,
        names: Names,
    ) -> Result<Self, Failure> {
        let pattern = args.pattern.as_ref().map(|pattern| pattern.0.as_slice());
        let request = Request::new(args.size, pattern);
        let mut opened = Vec::new();
        for target in targets {
            opened.push(open(args, plan, source, target, &mut network)?);
        }
        let start = network.now();
        let run = |(host, socket)| Run {
            host,
            socket,
            engine: Engine::new(super::pacing(args), start),
            request: request.clone(),
            finished: false,
        };
        let runs = opened.into_iter().map(run).collect();
        Ok(Session { network, names, runs, user_latency: args.user_latency })
    }

    /// Pings until every host is done; gives the exit status. What was counted is told even when
    /// the network fails.
    pub fn run(&mut self, report: &mut dyn Report, walk: Option<&Walk>) -> Result<u8, Stop> {
        for run in &self.runs {
            report.start(&run.host)?;
        }
        let end = self.ping(report, walk);
        if !matches!(end, Err(Stop::ReaderGone)) {
            for run in &self.runs {
                report.summary(&run.host, &run.engine)?;
            }
        }
        end?;
        let all = self.runs.iter().all(|run| run.engine.is_success());
        Ok(u8::from(!all))
    }

    fn ping(&mut self, report: &mut dyn Report, mut walk: Option<&Walk>) -> Result<(), Stop> {
        loop {
            if let Some(walk) = walk {
                walk.begin(self.network.now());
            }
            let wake = self.act(report)?;
            if self.runs.iter().all(|run| run.finished) {
                break;
            }
            let signals = self.network.wait(wake)?;
            self.take(report)?;
            if let Some(done) = walk.take_if(|walk| walk.is_complete()) {
                super::show_walk(done, &self.network)?;
            }
            if signals.stop {
                self.runs.iter_mut().for_each(|run| run.engine.stop());
            }
            if signals.status {
                for run in &self.runs {
                    report.interim(&run.host, &run.engine)?;
                }
            }
        }
        if let Some(walk) = walk {
            super::show_walk(walk, &self.network)?;
        }
        Ok(())
    }

    /// Does what the engines ask for; gives the time of the next thing to do.
    fn act(&mut self, report: &mut dyn Report) -> Result<Option<Instant>, Stop> {
        let mut wake: Option<Instant> = None;
        for run in self.runs.iter_mut().filter(|run| !run.finished) {
            loop {
                let event = match run.engine.poll(self.network.now()) {
                    Action::Send(sequence) => {
                        send(&mut self.network, run, sequence, &mut self.names, report)?;
                        self.network.flush()?;
                        continue;
                    }
                    Action::Outstanding(sequence) => Event::Outstanding { sequence },
                    Action::Timeout(sequence) => Event::Timeout { sequence },
                    Action::Wait(until) => {
                        wake = wake.into_iter().chain(until).min();
                        break;
                    }
                    Action::Finish => {
                        run.finished = true;
                        break;
                    }
                };
                report.event(&run.host, Clock::wall(), &event)?;
            }
        }
        Ok(wake)
    }

    /// Takes what has arrived for each socket: errors first, as a socket of the kernel tells them.
    fn take(&mut self, report: &mut dyn Report) -> Result<(), Stop> {
        for run in &mut self.runs {
            while let Some(error) = self.network.stack().recv_error(run.socket) {
                icmp_error(run, &error, &mut self.names, report)?;
                self.network.stack().recycle(error.packet);
            }
            while let Some(packet) = self.network.stack().recv(run.socket) {
                let at = if self.user_latency { self.network.now() } else { packet.meta.timestamp };
                reply(run, &packet, at, &mut self.names, report)?;
                self.network.stack().recycle(packet);
            }
        }
        Ok(())
    }
}

/// Opens the socket for a target, as the options want it.
fn open(
    args: &PingArgs,
    plan: &Plan,
    source: &Source,
    target: &Target,
    network: &mut Network,
) -> Result<(Host, SocketId), Failure> {
    let group = plan.is_broadcast(target.addr) || target.addr.is_multicast();
    let routed = network.source_for(target)?;
    let (bound, link) = match source {
        Source::Routed => (None, None),
        Source::Sticky => (Some(routed), None),
        Source::Addr(addr) => (Some(IpAddr::V4(*addr)), None),
        Source::Link(name) => (None, Some((network.link_called(name)?, name.clone()))),
    };
    let stack = network.stack();
    let socket = stack
        .open_ping(args.ident)
        .map_err(|error| Failure(format!("cannot open a ping socket: {error}")))?;
    let options = stack
        .socket_options(socket)
        .map_err(|error| Failure(format!("cannot set options: {error}")))?;
    options.bind_link = link.as_ref().map(|(id, _)| *id);
    set_options(options, args, group);
    if let Some(addr) = bound {
        stack
            .bind(socket, (addr, 0).into())
            .map_err(|error| Failure(format!("cannot send from {addr}: {error}")))?;
    }
    let told = bound.is_some() || link.is_some();
    let link_name = link.map(|(_, name)| name).unwrap_or_default();
    let host = Host {
        name: target.name.clone(),
        addr: target.addr.into(),
        from: told.then_some((bound.unwrap_or(routed), link_name)),
        size: args.size,
        options_len: if args.record_route { ip_options::RECORD_ROUTE_LEN } else { 0 },
        group,
    };
    Ok((host, socket))
}

fn set_options(options: &mut SocketOptions, args: &PingArgs, group: bool) {
    options.receive_errors = true;
    options.broadcast = args.broadcast;
    options.multicast_loop = !args.no_loop;
    options.tos = args.tos.unwrap_or_default();
    options.mark = args.mark.unwrap_or_default();
    if let Some(ttl) = args.ttl {
        options.ttl = Some(ttl);
        options.multicast_ttl = ttl;
    }
    if args.record_route {
        options.ip_options = ip_options::record_route();
    }
    options.receive_buffer = options.receive_buffer.max(receive_buffer(args.size, args.preload));
    match args.discovery {
        Some(how) => options.pmtu_discovery = discovery(how),
        // As iputils does: a group is not pinged in fragments.
        None if group => options.pmtu_discovery = PmtuDiscovery::Do,
        None => {}
    }
}

/// Room for the replies to a preload, with duplicates.
fn receive_buffer(size: usize, preload: u32) -> usize {
    let reply = (size + REPLY_OVERHEAD).next_power_of_two();
    (2 * reply).saturating_mul(preload as usize).min(MAX_RECEIVE_BUFFER)
}

fn discovery(how: Discovery) -> PmtuDiscovery {
    match how {
        Discovery::Do => PmtuDiscovery::Do,
        Discovery::Want => PmtuDiscovery::Want,
        Discovery::Dont => PmtuDiscovery::Dont,
        Discovery::Probe => PmtuDiscovery::Probe,
    }
}

/// Hands a request to the stack and tells the engine what became of it.
fn send(
    network: &mut Network,
    run: &mut Run,
    sequence: u16,
    names: &mut Names,
    report: &mut dyn Report,
) -> Result<(), Stop> {
    let wall = Clock::wall();
    let message = run.request.message(sequence, wall);
    let now = network.now();
    let stack = network.stack();
    let (outcome, event) = match stack.send_to(now, run.socket, (run.host.addr, 0).into(), message)
    {
        Ok(()) => (Sent::Ok, Some(Event::Sent)),
        Err(SocketError::NoBufferSpace) => (Sent::Busy, None),
        Err(SocketError::MessageTooLong) => match local_mtu(network, run, names, report)? {
            Some(mtu) => (Sent::Refused, Some(Event::TooLong { sequence, mtu })),
            None => {
                let reason = SocketError::MessageTooLong.to_string();
                (Sent::Failed, Some(Event::Failed { sequence: Some(sequence), reason }))
            }
        },
        Err(error) => {
            let reason = error.to_string();
            (Sent::Failed, Some(Event::Failed { sequence: Some(sequence), reason }))
        }
    };
    run.engine.sent(now, outcome);
    if let Some(event) = event {
        report.event(&run.host, wall, &event)?;
    }
    Ok(())
}

/// The MTU that the stack says a request exceeded, from the socket's error queue. What else is in
/// the queue is about requests before.
fn local_mtu(
    network: &mut Network,
    run: &mut Run,
    names: &mut Names,
    report: &mut dyn Report,
) -> Result<Option<u32>, Stop> {
    let mut mtu = None;
    while let Some(error) = network.stack().recv_error(run.socket) {
        if error.origin == ErrorOrigin::Local && error.error == SocketError::MessageTooLong {
            mtu = Some(error.info);
        } else {
            icmp_error(run, &error, names, report)?;
        }
        network.stack().recycle(error.packet);
    }
    Ok(mtu)
}

fn reply(
    run: &mut Run,
    packet: &Packet,
    at: Instant,
    names: &mut Names,
    report: &mut dyn Report,
) -> Result<(), Stop> {
    let message = packet.bytes();
    let Ok(header) = Ipv4::parse(packet.network()) else { return Ok(()) };
    if message.len() < HEADER || message[0] != ECHO_REPLY {
        return Ok(());
    }
    let sequence = u16::from_be_bytes([message[6], message[7]]);
    let data = &message[HEADER..];
    let answer = run.engine.received(at, sequence);
    let from = IpAddr::V4(header.src());
    let event = Event::Reply(Reply {
        from: Named { addr: from, name: names.get(from) },
        sequence,
        ttl: header.ttl(),
        rtt: answer.rtt,
        duplicate: answer.duplicate,
        different_address: !run.host.group && from != run.host.addr,
        options: header.options(),
        data,
        difference: run.request.first_difference(data),
    });
    Ok(report.event(&run.host, Clock::wall(), &event)?)
}

fn icmp_error(
    run: &mut Run,
    error: &SocketErrorReport,
    names: &mut Names,
    report: &mut dyn Report,
) -> Result<(), Stop> {
    let quoted = error.packet.bytes();
    let (Some(offender), true) = (error.offender, quoted.len() >= HEADER) else {
        let number = quoted.get(6..HEADER).and_then(|bytes| bytes.first_chunk());
        let sequence = number.map(|bytes| u16::from_be_bytes(*bytes));
        let event = Event::Failed { sequence, reason: error.error.to_string() };
        return Ok(report.event(&run.host, Clock::wall(), &event)?);
    };
    let sequence = u16::from_be_bytes([quoted[6], quoted[7]]);
    let told = IcmpError {
        from: Named { addr: offender, name: names.get(offender) },
        sequence,
        icmp_type: error.icmp_type,
        code: error.code,
        info: error.info,
    };
    let event = if error.icmp_type == REDIRECT {
        Event::Redirect(told)
    } else {
        run.engine.refused(sequence);
        Event::Error(told)
    };
    Ok(report.event(&run.host, Clock::wall(), &event)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_a_preload_has_a_limit() {
        assert_eq!(receive_buffer(56, 3), 2 * 8192 * 3);
        assert_eq!(receive_buffer(65_507, 65_536), MAX_RECEIVE_BUFFER);
    }
}
