//! `tapping trace`: the routers on the way to a host, as traceroute shows them.

mod engine;
mod probe;

use std::io::{self, Write};
use std::net::IpAddr;

use crate::cli::TraceArgs;
use crate::failure::{Failure, Stop};
use crate::names::{self, Names};
use crate::network::Network;
use crate::ping::Millis;
use crate::plan::Plan;
use engine::{Action, Config, Engine, Next, Outcome};
use probe::Prober;

/// Runs `tapping trace`; gives the exit status.
pub fn run(args: &TraceArgs) -> Result<u8, Stop> {
    let plan = Plan::new(&args.network)?;
    if args.first > args.max_hops {
        return Err(Failure(format!(
            "-f {} is beyond -m {}; start at or before the last hop",
            args.first, args.max_hops
        ))
        .into());
    }
    if args.tcp && args.length != probe::TCP_PROBE_LEN {
        return Err(Failure(format!(
            "a probe by TCP is a SYN of {} bytes; leave {} out",
            probe::TCP_PROBE_LEN,
            args.length
        ))
        .into());
    }
    let target = names::resolve(&args.host)?;
    plan.check_route(&target)?;
    if plan.is_broadcast(target.addr) {
        let what = format!("{} is a broadcast address; trace the way to one host", target.addr);
        return Err(Failure(what).into());
    }
    let mut names = if args.numeric { Names::numeric() } else { Names::system() };
    if !target.numeric {
        names.get(target.addr.into());
    }
    let mut network = Network::open(&plan, None)?;
    if network.is_isolated() {
        names.isolate();
    }
    let mut prober = Prober::open(args, &target, &mut network)?;
    let config = Config {
        first: args.first,
        max_hops: args.max_hops,
        queries: args.queries,
        parallel: args.parallel,
        wait: args.wait,
    };
    let mut engine = Engine::new(config);
    let mut paper =
        Paper { out: io::stdout(), numeric: args.numeric, last_from: None, unfinished: false };
    writeln!(
        paper.out,
        "traceroute to {} ({}), {} hops max, {} byte packets",
        target.name, target.addr, args.max_hops, args.length
    )?;
    loop {
        let action = engine.poll(network.now());
        while let Some(next) = engine.next_outcome() {
            paper.write(&next, &mut names)?;
        }
        let wake = match action {
            Action::Finish => break,
            Action::Send { index, ttl } => {
                let now = network.now();
                let outcome = prober.send(&mut network, now, index, ttl, &mut engine);
                engine.sent(now, index, outcome);
                network.flush()?;
                continue;
            }
            Action::Wait(until) => until,
        };
        let signals = network.wait(Some(wake))?;
        prober.take(&mut network, &mut engine);
        if signals.stop {
            engine.stop();
        }
    }
    paper.end()?;
    Ok(u8::from(!engine.is_reached()))
}

/// Where hops are written, each probe as soon as it is known.
struct Paper<O> {
    out: O,
    /// Names are not wanted (`-n`). A name that is not known is shown as the address.
    numeric: bool,
    /// Who answered last on this line: said once.
    last_from: Option<IpAddr>,
    /// A line has been begun and not ended.
    unfinished: bool,
}

impl<O: Write> Paper<O> {
    fn write(&mut self, next: &Next, names: &mut Names) -> io::Result<()> {
        if let Some(hop) = next.new_hop {
            write!(self.out, "{hop:2} ")?;
            self.last_from = None;
        }
        match &next.outcome {
            Outcome::Silence => write!(self.out, " *")?,
            Outcome::Unsent(note) => write!(self.out, " * {note}")?,
            Outcome::Answer { from, rtt, note } => {
                if self.last_from != Some(*from) {
                    match names.get(*from) {
                        Some(name) => write!(self.out, " {name} ({from})")?,
                        None if self.numeric => write!(self.out, " {from}")?,
                        None => write!(self.out, " {from} ({from})")?,
                    }
                    self.last_from = Some(*from);
                }
                write!(self.out, "  {} ms", Millis(rtt.as_micros() as u64))?;
                if !note.is_empty() {
                    write!(self.out, " {note}")?;
                }
            }
        }
        self.unfinished = !next.ends_hop;
        if next.ends_hop {
            writeln!(self.out)?;
        }
        self.out.flush()
    }

    /// Ends a line that an interrupt left unfinished.
    fn end(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.unfinished) {
            writeln!(self.out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    #[test]
    fn hops_look_as_traceroute_shows_them() {
        let answer = |last: u8, micros, note: &str| Outcome::Answer {
            from: Ipv4Addr::new(10, 0, 0, last).into(),
            rtt: Duration::from_micros(micros),
            note: note.into(),
        };
        let hops = [
            [answer(1, 224, ""), answer(1, 6, ""), answer(1, 5, "")],
            [Outcome::Silence, answer(2, 1202, ""), answer(3, 6, "")],
            [answer(1, 247, "!X"), answer(1, 8, "!X"), Outcome::Unsent("!F-1500".into())],
        ];
        let mut paper =
            Paper { out: Vec::new(), numeric: true, last_from: None, unfinished: false };
        for (hop, outcomes) in hops.into_iter().enumerate() {
            for (i, outcome) in outcomes.into_iter().enumerate() {
                let new_hop = (i == 0).then_some(hop as u8 + 1);
                let next = Next { new_hop, ends_hop: i == 2, outcome };
                paper.write(&next, &mut Names::numeric()).unwrap();
            }
        }
        let expected = " 1  10.0.0.1  0.224 ms  0.006 ms  0.005 ms\n \
            2  * 10.0.0.2  1.202 ms 10.0.0.3  0.006 ms\n \
            3  10.0.0.1  0.247 ms !X  0.008 ms !X * !F-1500\n";
        assert_eq!(String::from_utf8(paper.out).unwrap(), expected);
    }
}
