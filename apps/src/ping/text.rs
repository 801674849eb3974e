//! A run written as iputils' `ping` writes it, and the percentiles below.

use std::io::{self, Write};
use std::time::Duration;

use super::engine::Engine;
use super::icmp_text::describe;
use super::ip_options::OptionText;
use super::payload::{HEADER, STAMP};
use super::report::{Event, Host, IcmpError, Reply, Report};
use super::stats::{Millis, Percent, TripTime};

/// What of iputils' options bears on the output.
#[derive(Debug, Clone, Default)]
pub struct Style {
    /// Only the first and the last lines (`-q`).
    pub quiet: bool,
    /// A dot a request, a backspace a reply (`-f`).
    pub flood: bool,
    /// The time before each line (`-D`).
    pub stamps: bool,
    /// Duplicates are told even where many hosts answer (`-v`).
    pub verbose: bool,
    /// A bell at each reply (`-a`).
    pub audible: bool,
    /// Several hosts: each line begins with the name of its host.
    pub several: bool,
}

/// Writes to `out`, and what went wrong here to `err`.
pub struct Text<O, E> {
    out: O,
    err: E,
    style: Style,
    options: OptionText,
}

impl<O: Write, E: Write> Text<O, E> {
    /// A report in this style.
    pub fn new(out: O, err: E, style: Style) -> Self {
        Text { out, err, style, options: OptionText::default() }
    }

    fn prefix(&self, host: &Host) -> String {
        if self.style.several { format!("{}: ", host.name) } else { String::new() }
    }

    /// What every line begins with: `-D`'s time, then the host where there are several.
    fn begin(&mut self, host: &Host, unix: Duration) -> io::Result<()> {
        if self.style.stamps {
            write!(self.out, "[{}.{:06}] ", unix.as_secs(), unix.subsec_micros())?;
        }
        let prefix = self.prefix(host);
        write!(self.out, "{prefix}")
    }

    fn reply(&mut self, host: &Host, unix: Duration, reply: &Reply<'_>) -> io::Result<()> {
        let bell = if self.style.audible { "\x07" } else { "" };
        if self.style.flood {
            return write!(self.out, "\x08 \x08{bell}");
        }
        self.begin(host, unix)?;
        let Reply { from, sequence, ttl, .. } = reply;
        let bytes = HEADER + reply.data.len();
        write!(self.out, "{bytes} bytes from {from}: icmp_seq={sequence} ttl={ttl}")?;
        if reply.data.len() < host.size {
            return writeln!(self.out, " (truncated)");
        }
        if let Some(rtt) = reply.rtt.filter(|_| host.size >= STAMP) {
            write!(self.out, " time={}", TripTime(rtt))?;
        }
        if reply.duplicate && (!host.group || self.style.verbose) {
            write!(self.out, " (DUP!)")?;
        }
        if reply.different_address {
            write!(self.out, " (DIFFERENT ADDRESS!)")?;
        }
        self.difference(reply)?;
        let options = self.options.describe(reply.options, |addr| addr.to_string());
        writeln!(self.out, "{bell}{options}")
    }

    fn difference(&mut self, reply: &Reply<'_>) -> io::Result<()> {
        let Some((index, sent, came)) = reply.difference else { return Ok(()) };
        write!(self.out, "\nwrong data byte #{index} should be 0x{sent:x} but was 0x{came:x}")?;
        for (i, byte) in reply.data.iter().enumerate().skip(STAMP) {
            if i % 32 == STAMP {
                write!(self.out, "\n#{i}\t")?;
            }
            write!(self.out, "{byte:x} ")?;
        }
        Ok(())
    }

    fn error(&mut self, host: &Host, unix: Duration, error: &IcmpError) -> io::Result<()> {
        if self.style.flood {
            return write!(self.out, "\x08E");
        }
        self.begin(host, unix)?;
        let IcmpError { from, sequence, icmp_type, code, info } = error;
        let text = describe(*icmp_type, *code, *info);
        writeln!(self.out, "From {from} icmp_seq={sequence} {text}")
    }

    fn redirect(&mut self, host: &Host, unix: Duration, error: &IcmpError) -> io::Result<()> {
        if self.style.flood {
            return Ok(());
        }
        self.begin(host, unix)?;
        let IcmpError { from, sequence, icmp_type, code, info } = error;
        let text = describe(*icmp_type, *code, *info);
        writeln!(self.out, "From {from}: icmp_seq={sequence} {text}")
    }

    fn local(&mut self, host: &Host, problem: &str) -> io::Result<()> {
        if self.style.flood {
            return write!(self.out, "E");
        }
        let prefix = self.prefix(host);
        writeln!(self.err, "ping: {prefix}{problem}")
    }
}

impl<O: Write, E: Write> Report for Text<O, E> {
    fn pattern(&mut self, pattern: &[u8]) -> io::Result<()> {
        if self.style.quiet {
            return Ok(());
        }
        let hex: String = pattern.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(self.out, "PATTERN: 0x{hex}")
    }

    fn start(&mut self, host: &Host) -> io::Result<()> {
        let Host { name, addr, size, options_len, .. } = host;
        write!(self.out, "PING {name} ({addr}) ")?;
        if let Some((source, link)) = &host.from {
            write!(self.out, "from {source} {link}: ")?;
        }
        writeln!(self.out, "{size}({}) bytes of data.", size + HEADER + options_len + 20)?;
        self.out.flush()
    }

    fn event(&mut self, host: &Host, unix: Duration, event: &Event<'_>) -> io::Result<()> {
        match event {
            // Told even by a quiet run, as iputils does.
            Event::Outstanding { sequence } => {
                self.begin(host, unix)?;
                writeln!(self.out, "no answer yet for icmp_seq={sequence}")?;
            }
            _ if self.style.quiet => return Ok(()),
            Event::Sent if self.style.flood => write!(self.out, ".")?,
            Event::Sent | Event::Timeout { .. } => return Ok(()),
            Event::Reply(reply) => self.reply(host, unix, reply)?,
            Event::Error(error) => self.error(host, unix, error)?,
            Event::Redirect(error) => self.redirect(host, unix, error)?,
            Event::TooLong { mtu, .. } => {
                self.local(host, &format!("local error: message too long, mtu={mtu}"))?;
            }
            Event::Failed { reason, .. } => self.local(host, &format!("sendmsg: {reason}"))?,
        }
        self.out.flush()
    }

    fn interim(&mut self, host: &Host, engine: &Engine) -> io::Result<()> {
        let prefix = self.prefix(host);
        interim(&mut self.err, &prefix, host.size >= STAMP, engine)
    }

    fn summary(&mut self, host: &Host, engine: &Engine) -> io::Result<()> {
        let summary = Summary {
            title: format!("{} ping", host.name),
            refused: 0,
            timed: host.size >= STAMP,
            paced_by_answers: engine.is_self_paced() || self.style.flood,
        };
        summary.write(&mut self.out, engine)
    }
}

/// How things are, in a line.
pub fn interim(out: &mut impl Write, prefix: &str, timed: bool, engine: &Engine) -> io::Result<()> {
    let counters = engine.counters();
    let lost = counters.transmitted - counters.received.min(counters.transmitted);
    let loss = (lost * 100).checked_div(counters.transmitted).unwrap_or(0);
    let (received, transmitted) = (counters.received, counters.transmitted);
    write!(out, "\r{prefix}{received}/{transmitted} packets, {loss}% loss")?;
    if received > 0 && timed {
        let trips = engine.round_trips().summary();
        let [min, avg, ewma, max] = [trips.min, trips.avg, trips.ewma, trips.max].map(Millis);
        write!(out, ", min/avg/ewma/max = {min}/{avg}/{ewma}/{max} ms")?;
    }
    writeln!(out)
}

/// The last lines of a run, as iputils has them, and the percentiles.
pub struct Summary {
    /// Whose statistics they are.
    pub title: String,
    /// Answers that were refusals.
    pub refused: u64,
    /// Round trips are known.
    pub timed: bool,
    /// Answers set the pace, so that a mean gap is worth showing.
    pub paced_by_answers: bool,
}

impl Summary {
    /// Writes the lines.
    pub fn write(&self, out: &mut impl Write, engine: &Engine) -> io::Result<()> {
        let counters = engine.counters();
        let (transmitted, received) = (counters.transmitted, counters.received);
        writeln!(out, "\n--- {} statistics ---", self.title)?;
        write!(out, "{transmitted} packets transmitted, {received} received")?;
        for (count, what) in [
            (self.refused, "refused"),
            (counters.duplicates, "duplicates"),
            (counters.errors, "errors"),
        ] {
            if count > 0 {
                write!(out, ", +{count} {what}")?;
            }
        }
        if transmitted > 0 {
            let loss = Percent { part: transmitted.saturating_sub(received), whole: transmitted };
            let time = (engine.elapsed() + Duration::from_micros(500)).as_millis();
            write!(out, ", {loss}% packet loss, time {time}ms")?;
        }
        writeln!(out)?;

        let trips = engine.round_trips();
        let timed = received > 0 && self.timed;
        let mut parts = Vec::new();
        if timed {
            let figures = trips.summary();
            let [min, avg, max, mdev] =
                [figures.min, figures.avg, figures.max, figures.mdev].map(Millis);
            parts.push(format!("rtt min/avg/max/mdev = {min}/{avg}/{max}/{mdev} ms"));
        }
        if engine.pipe() > 1 {
            parts.push(format!("pipe {}", engine.pipe()));
        }
        if received > 0 && transmitted > 1 && self.paced_by_answers {
            let gap = engine.elapsed().as_micros() as u64 / (transmitted - 1);
            let ewma = trips.summary().ewma;
            parts.push(format!("ipg/ewma {}/{} ms", Millis(gap), Millis(ewma)));
        }
        writeln!(out, "{}", parts.join(", "))?;
        if timed {
            let [p50, p90, p99, p999] =
                [50.0, 90.0, 99.0, 99.9].map(|p| Millis(trips.percentile(p)));
            writeln!(out, "rtt p50/p90/p99/p99.9 = {p50}/{p90}/{p99}/{p999} ms")?;
        }
        out.flush()
    }
}

#[cfg(test)]
mod tests;
