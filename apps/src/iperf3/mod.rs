//! `tapping iperf3`: measures throughput, with iperf3's protocol, options and output.
//!
//! [`protocol`] tells how a test goes. [`client`] and [`server`] are its two ends; while data flows
//! both are a [`session`], with a task for each stream in [`data`]. What does not touch a socket is
//! apart: messages in [`params`] and [`results`], counting in [`meter`], [`pacing`], what is due
//! when in [`timeline`], and what is shown in [`report`].

mod attach;
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

use tapping_drivers::net::{Finished, Net};
use tapping_drivers::random;

use crate::cli::iperf3::Iperf3Args;
use crate::failure::{Failure, Stop, say};
use crate::names;
use crate::plan::Plan;
use attach::Host;
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
    let mut host = Host::open(&plan)?;
    let serving = host.peer.as_ref().map(|peer| serve_peer(peer, args.port)).transpose()?;
    let mut report = report(args.json, args.format.unwrap_or_default());
    let interrupt = interrupt(&host.net);
    let net = host.net.clone();
    let test = client.run(&net, &mut *report, interrupt);
    let result = host.driver.block_on(test);
    drop(serving);
    finish(result, |fault| report.failed(&Failure::new(fault).0))
}

fn run_server(args: &Iperf3Args) -> Result<u8, Stop> {
    let plan = Plan::new(&args.network)?;
    let mut host = Host::open(&plan)?;
    let options = Options {
        port: args.port,
        interval: interval(args),
        one_off: args.one_off,
        idle: args.rcv_timeout,
    };
    let port = args.port;
    let server = match Server::bind(&host.net, options) {
        Ok(server) => server,
        Err(error) => {
            let why = Failure::new(error);
            say(format_args!("tapping: unable to listen on port {port}: {why}"));
            return Ok(FAILED);
        }
    };
    let mut console = Terminal { json: args.json, unit: args.format.unwrap_or_default() };
    let serving = server.run(&mut console, interrupt(&host.net));
    let result = host.driver.block_on(serving);
    // Faults of tests have been told.
    finish(result, |fault| Ok(!matches!(fault, Fault::Interrupted(_))))
}

/// The exit status of a run. `tell` tells a fault where it is to be told, or does not.
fn finish(
    result: io::Result<Finished<Result<(), Fault>>>,
    tell: impl FnOnce(&Fault) -> io::Result<bool>,
) -> Result<u8, Stop> {
    let fault = match result {
        Ok(Finished::Done(Ok(()))) => return Ok(0),
        Ok(Finished::Done(Err(Fault::Output(error)))) => return Err(error.into()),
        Ok(Finished::Done(Err(fault))) => fault,
        Ok(Finished::Signal(_)) => return Ok(FAILED),
        Err(error) => return Err(Failure::new(error).into()),
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

/// Shows nothing.
struct Silence;

impl Console for Silence {
    fn listening(&mut self, _: u16, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn report(&mut self) -> Box<dyn Report> {
        Box::new(Text::new(io::sink(), RateUnit::default()))
    }

    fn failed(&mut self, _: &Fault) {}
}

/// The built-in peer answers to a client at its other end.
fn serve_peer(peer: &Net, port: u16) -> Result<tapping_drivers::net::JoinHandle<()>, Failure> {
    let idle = Duration::from_secs(120);
    let options = Options { port, interval: None, one_off: false, idle };
    let server = Server::bind(peer, options).map_err(Failure::new)?;
    Ok(peer.spawn(async move {
        let _ = server.run(&mut Silence, Box::pin(std::future::pending())).await;
    }))
}

#[cfg(test)]
mod tests;
