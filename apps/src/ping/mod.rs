//! `tapping HOST…`: ICMP echo as iputils' `ping`, and more.
//!
//! An [`engine`] for each host decides when to send; this module joins the engines to the sockets
//! of a stack and to a [`mod@report`].

pub mod engine;
mod icmp_text;
mod ip_options;
pub mod json;
mod payload;
mod report;
mod session;
pub mod stats;
pub mod text;
mod window;

pub use payload::MAX_SIZE;
pub use stats::Millis;

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::cli::PingArgs;
use crate::failure::{Failure, Stop, say};
use crate::names::{self, Names, Target};
use crate::network::Network;
use crate::plan::Plan;
use crate::walk::Walk;
use engine::Pacing;
use json::Json;
use report::Report;
use session::Session;
use text::{Style, Text};

/// Runs `tapping ping`; gives the exit status.
pub fn run(args: &PingArgs) -> Result<u8, Stop> {
    let plan = Plan::new(&args.network)?;
    let targets: Vec<Target> =
        args.hosts.iter().map(|host| names::resolve(host)).collect::<Result<_, Failure>>()?;
    for target in &targets {
        plan.check_route(target)?;
        check_broadcast(args, &plan, target)?;
    }
    if args.ident.is_some() && targets.len() > 1 {
        return Err(Failure("-e gives one identifier; ping one host with it".into()).into());
    }
    let source = Source::of(args, &plan)?;
    let mut names = names_for(args, &targets);
    let link = match &source {
        Source::Link(name) => Some(name.as_str()),
        _ => None,
    };
    let mut network = Network::open(&plan, link)?;
    if network.is_isolated() {
        names.isolate();
    }
    let walk = args.walk.then(|| network.walk());
    let mut report = report(args);
    if let Some(pattern) = &args.pattern {
        report.pattern(&pattern.0)?;
    }
    let mut session = Session::new(args, &plan, &source, &targets, network, names)?;
    session.run(report.as_mut(), walk.as_ref())
}

/// Where requests come from.
enum Source {
    /// Wherever the route says.
    Routed,
    /// The address the route says, for good (`-B`).
    Sticky,
    /// This address of the stack (`-I`).
    Addr(Ipv4Addr),
    /// This link (`-I`).
    Link(String),
}

impl Source {
    fn of(args: &PingArgs, plan: &Plan) -> Result<Self, Failure> {
        match &args.source {
            None if args.sticky_source => Ok(Source::Sticky),
            None => Ok(Source::Routed),
            Some(source) => match source.parse() {
                Ok(addr) => plan.check_source(addr).map(|()| Source::Addr(addr)),
                Err(_) => Ok(Source::Link(source.clone())),
            },
        }
    }
}

/// What the options say about the timing.
fn pacing(args: &PingArgs) -> Pacing {
    let default = if args.flood { Duration::ZERO } else { Duration::from_secs(1) };
    Pacing {
        count: args.count,
        interval: args.interval.unwrap_or(default),
        adaptive: args.adaptive,
        preload: args.preload,
        linger: args.linger.0,
        deadline: args.deadline.filter(|limit| !limit.is_zero()),
        outstanding: args.outstanding,
        timeouts: args.json,
    }
}

/// A broadcast is pinged only by somebody who says so.
fn check_broadcast(args: &PingArgs, plan: &Plan, target: &Target) -> Result<(), Failure> {
    if !plan.is_broadcast(target.addr) {
        return Ok(());
    }
    if !args.broadcast {
        return Err(Failure(
            "Do you want to ping broadcast? Then -b. If not, check your local firewall rules"
                .into(),
        ));
    }
    say("WARNING: pinging broadcast address");
    Ok(())
}

/// As iputils does, addresses given as addresses are shown as addresses.
fn names_for(args: &PingArgs, targets: &[Target]) -> Names {
    if args.numeric || args.flood || targets.iter().all(|target| target.numeric) {
        return Names::numeric();
    }
    let mut names = Names::system();
    for target in targets.iter().filter(|target| !target.numeric) {
        names.get(target.addr.into());
    }
    names
}

fn report(args: &PingArgs) -> Box<dyn Report> {
    if args.json {
        return Box::new(Json::new(io::stdout(), args.quiet));
    }
    let style = Style {
        quiet: args.quiet,
        flood: args.flood,
        stamps: args.stamps,
        verbose: args.network.verbose > 0,
        audible: args.audible,
        several: args.hosts.len() > 1,
    };
    Box::new(Text::new(io::stdout(), io::stderr(), style))
}

/// Prints the way of the first request, once its reply is there or the run is over.
fn show_walk(walk: &Walk, network: &Network) -> io::Result<()> {
    write!(io::stdout(), "\n{}", walk.show(network.other_side()))
}
