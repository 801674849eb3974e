//! `tapping iperf3`: measures throughput, with iperf3's protocol, options and output.
//!
//! [`protocol`] tells how a test goes. [`client`] and [`server`] are its two ends; while data flows
//! both are a [`session`], with a task for each stream in [`data`]. What does not touch a socket is
//! apart: messages in [`mod@params`] and [`results`], counting in [`meter`], [`pacing`], what is due
//! when in [`timeline`], and what is shown in [`mod@report`].

mod client;
mod control;
mod cpu;
mod data;
mod datagram;
mod fault;
mod meter;
mod options;
mod pacing;
pub mod params;
pub mod protocol;
mod report;
mod results;
mod server;
mod session;
mod timeline;
mod tree;
pub mod units;

use std::io::{self, Write};
use std::time::Duration;

use tapping_drivers::net::Net;
use tapping_drivers::random;

use crate::cli::iperf3::Iperf3Args;
use crate::failure::{Failure, Stop, say};
use crate::names;
use crate::network::Online;
use crate::plan::Plan;
use client::Client;
use fault::Fault;
use params::{DEFAULT_BLOCK, DEFAULT_UDP_RATE, Direction, Params, Protocol, Until};
use protocol::Cookie;
use report::Report;
use report::json::Json;
use report::text::Text;
use server::{Console, Options, Server};
use session::Interrupt;
use units::RateUnit;

/// Exit status when a test did not come to its end.
const FAILED: u8 = 1;

/// Runs `tapping iperf3`; gives the exit status.
pub fn run(args: &Iperf3Args) -> Result<u8, Stop> {
    match &args.client {
        Some(host) => run_client(args, host),
        None => run_server(args),
    }
}

fn run_client(args: &Iperf3Args, host: &str) -> Result<u8, Stop> {
    let plan = Plan::new(&args.network)?;
    let target = names::resolve(host)?;
    plan.check_route(&target)?;
    if plan.is_broadcast(target.addr) || target.addr.is_multicast() {
        let what = format!("{} is not one host; nobody connects to many", target.addr);
        return Err(Failure(what).into());
    }
    let params = params(args)?;
    let client = Client {
        host: host.to_string(),
        server: (target.addr, args.port).into(),
        params,
        has_length: args.length.is_some(),
        interval: interval(args),
        connect_timeout: args.connect_timeout,
        idle: args.rcv_timeout,
        first_port: args.cport,
        cookie: cookie().map_err(|error| Failure::new(format_args!("no randomness: {error}")))?,
    };
    let mut online = Online::open(&plan)?;
    let net = online.net().clone();
    // Nobody else would answer there.
    if let Some(peer) = online.peer() {
        serve(peer, args.port, Box::pin(std::future::pending())).map_err(Failure::new)?;
    }
    let control = args.control.control.as_ref();
    let _control = crate::control::serve(control, "iperf3", &net)?;
    let mut report = report(args.json, args.format.unwrap_or_default());
    let result = online.block_on(client.run(&net, &mut *report, interrupt(&net)))?;
    finish(result, |fault| report.failed(&Failure::new(fault).0))
}

fn run_server(args: &Iperf3Args) -> Result<u8, Stop> {
    let plan = Plan::new(&args.network)?;
    let mut online = Online::open(&plan)?;
    let net = online.net().clone();
    let options = Options {
        port: args.port,
        interval: interval(args),
        one_off: args.one_off,
        idle: args.rcv_timeout,
    };
    let server = Server::bind(&net, options).map_err(|error| {
        let port = args.port;
        Stop::Refused(Failure::new(format_args!("unable to listen on port {port}: {error}")))
    })?;
    let control = args.control.control.as_ref();
    let _control = crate::control::serve(control, "iperf3", &net)?;
    let mut console = Terminal { json: args.json, unit: args.format.unwrap_or_default() };
    let result = online.block_on(server.run(&mut console, interrupt(&net)))?;
    // Faults of tests have been told.
    finish(result, |_| Ok(true))
}

/// Makes tests with whoever comes to this port, in a task of its own, until `interrupt`. What goes
/// wrong with them is logged.
///
/// # Errors
/// Those of bind(2) and listen(2).
pub fn serve(net: &Net, port: u16, interrupt: Interrupt) -> io::Result<()> {
    let options = Options { port, interval: None, one_off: false, idle: DEFAULT_IDLE };
    let server = Server::bind(net, options)?;
    drop(net.spawn(async move {
        let _ = server.run(&mut Journal, interrupt).await;
    }));
    Ok(())
}

/// How long a receiver waits for data.
const DEFAULT_IDLE: Duration = Duration::from_secs(120);

/// The exit status of a test. `tell` tells a fault where it is to be told, or does not.
fn finish(
    result: Result<(), Fault>,
    tell: impl FnOnce(&Fault) -> io::Result<bool>,
) -> Result<u8, Stop> {
    let fault = match result {
        Ok(()) => return Ok(0),
        Err(Fault::Output(error)) => return Err(error.into()),
        Err(fault) => fault,
    };
    if !tell(&fault)? {
        say(format_args!("tapping: {}", Failure::new(fault)));
    }
    Ok(FAILED)
}

/// Completes when a signal asks for the end.
fn interrupt(net: &Net) -> Interrupt {
    let net = net.clone();
    Box::pin(async move { while !net.signal().await.is_stop() {} })
}

fn interval(args: &Iperf3Args) -> Option<Duration> {
    (!args.interval.is_zero()).then_some(args.interval)
}

fn cookie() -> io::Result<Cookie> {
    let mut random = [0; protocol::COOKIE_LEN - 1];
    for chunk in random.chunks_mut(8) {
        let bytes = random::seed()?.to_le_bytes();
        chunk.copy_from_slice(&bytes[..chunk.len()]);
    }
    Ok(Cookie::new(random))
}

fn report(json: bool, unit: RateUnit) -> Box<dyn Report> {
    if json { Box::new(Json::new(io::stdout())) } else { Box::new(Text::new(io::stdout(), unit)) }
}

/// The test that the options ask for.
fn params(args: &Iperf3Args) -> Result<Params, Failure> {
    let protocol = if args.udp { Protocol::Udp } else { Protocol::Tcp };
    let direction = match (args.reverse, args.bidir) {
        (true, _) => Direction::Reverse,
        (_, true) => Direction::Both,
        _ => Direction::Forward,
    };
    let until = match (args.bytes, args.blockcount) {
        (Some(bytes), _) => Until::Bytes(bytes),
        (_, Some(blocks)) => Until::Blocks(blocks),
        _ => Until::Time(args.time.unwrap_or(10)),
    };
    let datagram = params::MIN_DATAGRAM..=params::MAX_DATAGRAM;
    if let Some(length) = args.length.filter(|length| args.udp && !datagram.contains(length)) {
        let (min, max) = datagram.into_inner();
        return Err(Failure(format!("-l {length}: a datagram has {min} to {max} bytes")));
    }
    let udp_rate = if args.udp { DEFAULT_UDP_RATE } else { 0 };
    Ok(Params {
        protocol,
        direction,
        until,
        omit: args.omit,
        parallel: args.parallel,
        block: args.length.unwrap_or(DEFAULT_BLOCK),
        rate: args.bitrate.map_or(udp_rate, |rate| rate.bits),
        burst: args.bitrate.map_or(0, |rate| rate.burst),
        pacing_timer: args.pacing_timer,
        mss: args.set_mss,
        nodelay: args.no_delay,
        window: args.window,
        tos: args.tos,
        congestion: args.congestion.clone(),
        title: args.title.clone(),
        extra_data: args.extra_data.clone(),
        get_server_output: args.get_server_output,
        counters_64bit: args.udp_counters_64bit,
        repeating_payload: args.repeating_payload,
        dont_fragment: args.dont_fragment,
    })
}

/// Where the server of `tapping iperf3 -s` shows what it does.
struct Terminal {
    json: bool,
    unit: RateUnit,
}

impl Console for Terminal {
    fn listening(&mut self, port: u16, test: u64) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let rule = "-----------------------------------------------------------";
        let mut out = io::stdout().lock();
        writeln!(out, "{rule}\nServer listening on {port} (test #{test})\n{rule}")?;
        out.flush()
    }

    fn report(&mut self) -> Box<dyn Report> {
        report(self.json, self.unit)
    }

    fn failed(&mut self, fault: &Fault) {
        if !matches!(fault, Fault::Interrupted(_)) {
            say(format_args!("tapping: {}", Failure::new(fault)));
        }
    }
}

/// A server beside others: it shows nothing, but what went wrong is logged.
struct Journal;

impl Console for Journal {
    fn listening(&mut self, _: u16, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn report(&mut self) -> Box<dyn Report> {
        Box::new(Text::new(io::sink(), RateUnit::default()))
    }

    fn failed(&mut self, fault: &Fault) {
        tracing::warn!("iperf3: {fault}");
    }
}

#[cfg(test)]
mod tests;
