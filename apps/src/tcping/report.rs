//! What a run tells: lines like ping's, or one JSON object a line.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tapping_stack::socket::SocketError;

use crate::ping::engine::Engine;
use crate::ping::json::{millis, totals};
use crate::ping::stats::TripTime;
use crate::ping::text::{self, Summary};

/// Whom a run connects to.
#[derive(Debug, Clone)]
pub struct Host {
    /// As the user wrote it.
    pub name: String,
    /// What it resolved to.
    pub addr: Ipv4Addr,
    /// The port.
    pub port: u16,
    /// The name of the address, where it is known and wanted.
    pub known: Option<String>,
}

impl Host {
    /// Who answers.
    fn shown(&self) -> String {
        match &self.known {
            Some(name) => format!("{name} ({}) port {}", self.addr, self.port),
            None => format!("{} port {}", self.addr, self.port),
        }
    }
}

/// Something that happened in a run.
#[derive(Debug)]
pub enum Event {
    /// The host answered.
    Answer {
        /// The number of the probe.
        sequence: u16,
        /// It took the connection; else it refused.
        open: bool,
        /// From the SYN to the answer.
        rtt: Option<Duration>,
    },
    /// There will be no connection.
    Failed {
        /// The number of the probe.
        sequence: u16,
        /// Why.
        error: SocketError,
        /// It never left.
        local: bool,
    },
    /// There is no answer yet to the last probe (`-O`).
    Outstanding {
        /// Its number.
        sequence: u16,
    },
    /// A probe stayed unanswered.
    Timeout {
        /// Its number.
        sequence: u16,
    },
}

/// Writes down what happens.
pub trait Report {
    /// Called first.
    fn start(&mut self, host: &Host) -> io::Result<()>;
    /// Called for each event; `unix` is the time since 1970.
    fn event(&mut self, host: &Host, unix: Duration, event: &Event) -> io::Result<()>;
    /// Called on SIGQUIT.
    fn interim(&mut self, host: &Host, engine: &Engine) -> io::Result<()>;
    /// Called at the end; so many answers were refusals.
    fn summary(&mut self, host: &Host, engine: &Engine, refused: u64) -> io::Result<()>;
}

/// Lines for people.
pub struct Text<O, E> {
    /// Where to write.
    pub out: O,
    /// Where to write what went wrong here.
    pub err: E,
    /// Only the first and the last lines (`-q`).
    pub quiet: bool,
    /// The time before each line (`-D`).
    pub stamps: bool,
    /// A bell at each answer (`-a`).
    pub audible: bool,
}

impl<O: Write, E: Write> Report for Text<O, E> {
    fn start(&mut self, host: &Host) -> io::Result<()> {
        writeln!(self.out, "TCPING {} ({}) port {}.", host.name, host.addr, host.port)?;
        self.out.flush()
    }

    fn event(&mut self, host: &Host, unix: Duration, event: &Event) -> io::Result<()> {
        if self.quiet && !matches!(event, Event::Outstanding { .. }) {
            return Ok(());
        }
        if let Event::Failed { error, local: true, .. } = event {
            return writeln!(self.err, "tcping: connect: {error}");
        }
        if self.stamps {
            write!(self.out, "[{}.{:06}] ", unix.as_secs(), unix.subsec_micros())?;
        }
        let whom = host.shown();
        match event {
            Event::Answer { sequence, open, rtt } => {
                let what = if *open { "Connected to" } else { "Refused by" };
                write!(self.out, "{what} {whom}: seq={sequence}")?;
                if let Some(rtt) = rtt {
                    write!(self.out, " time={}", TripTime(*rtt))?;
                }
                writeln!(self.out, "{}", if self.audible { "\x07" } else { "" })?;
            }
            Event::Failed { sequence, error, .. } => {
                writeln!(self.out, "No connection to {whom}: seq={sequence} {error}")?;
            }
            Event::Outstanding { sequence } => {
                writeln!(self.out, "no answer yet for seq={sequence}")?;
            }
            Event::Timeout { sequence } => {
                writeln!(self.out, "No answer from {whom}: seq={sequence}")?;
            }
        }
        self.out.flush()
    }

    fn interim(&mut self, _: &Host, engine: &Engine) -> io::Result<()> {
        text::interim(&mut self.err, "", true, engine)
    }

    fn summary(&mut self, host: &Host, engine: &Engine, refused: u64) -> io::Result<()> {
        let title = format!("{} port {} tcping", host.name, host.port);
        let paced_by_answers = engine.is_self_paced();
        Summary { title, refused, timed: true, paced_by_answers }.write(&mut self.out, engine)
    }
}

/// Objects for programs.
pub struct Json<O> {
    out: O,
    quiet: bool,
}

impl<O: Write> Json<O> {
    /// A report to `out`; a quiet one is only of the start and the summary.
    pub fn new(out: O, quiet: bool) -> Self {
        Json { out, quiet }
    }

    fn line(&mut self, event: &str, host: &Host, fields: Value) -> io::Result<()> {
        let mut object = Map::new();
        object.insert("event".into(), event.into());
        object.insert("host".into(), host.name.clone().into());
        object.insert("addr".into(), host.addr.to_string().into());
        object.insert("port".into(), host.port.into());
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        writeln!(self.out, "{}", Value::Object(object))?;
        self.out.flush()
    }
}

impl<O: Write> Report for Json<O> {
    fn start(&mut self, host: &Host) -> io::Result<()> {
        self.line("start", host, json!({}))
    }

    fn event(&mut self, host: &Host, unix: Duration, event: &Event) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        let (kind, mut fields) = match event {
            Event::Answer { sequence, open, rtt } => {
                let state = if *open { "open" } else { "refused" };
                let rtt = rtt.map(millis);
                ("reply", json!({ "seq": sequence, "state": state, "rtt_ms": rtt }))
            }
            Event::Failed { sequence, error, local } => {
                let message = error.to_string();
                ("error", json!({ "seq": sequence, "message": message, "local": local }))
            }
            Event::Outstanding { sequence } => ("outstanding", json!({ "seq": sequence })),
            Event::Timeout { sequence } => ("timeout", json!({ "seq": sequence })),
        };
        fields["time"] = unix.as_secs_f64().into();
        self.line(kind, host, fields)
    }

    fn interim(&mut self, host: &Host, engine: &Engine) -> io::Result<()> {
        self.line("status", host, totals(engine))
    }

    fn summary(&mut self, host: &Host, engine: &Engine, refused: u64) -> io::Result<()> {
        let mut fields = totals(engine);
        fields["refused"] = refused.into();
        self.line("summary", host, fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host { name: "h".into(), addr: Ipv4Addr::new(10, 0, 0, 1), port: 80, known: None }
    }

    fn events() -> [Event; 5] {
        let rtt = Some(Duration::from_micros(123));
        [
            Event::Answer { sequence: 1, open: true, rtt },
            Event::Answer { sequence: 2, open: false, rtt },
            Event::Failed { sequence: 3, error: SocketError::HostUnreachable, local: false },
            Event::Failed { sequence: 4, error: SocketError::AddressNotAvailable, local: true },
            Event::Timeout { sequence: 5 },
        ]
    }

    #[test]
    fn lines() {
        let (quiet, audible) = (false, false);
        let mut text = Text { out: Vec::new(), err: Vec::new(), quiet, stamps: true, audible };
        text.start(&host()).unwrap();
        for event in events() {
            text.event(&host(), Duration::from_micros(1_500_001), &event).unwrap();
        }
        assert_eq!(
            String::from_utf8(text.out).unwrap(),
            "TCPING h (10.0.0.1) port 80.\n\
             [1.500001] Connected to 10.0.0.1 port 80: seq=1 time=0.123 ms\n\
             [1.500001] Refused by 10.0.0.1 port 80: seq=2 time=0.123 ms\n\
             [1.500001] No connection to 10.0.0.1 port 80: seq=3 No route to host\n\
             [1.500001] No answer from 10.0.0.1 port 80: seq=5\n"
        );
        let wrong_here = "tcping: connect: Cannot assign requested address\n";
        assert_eq!(String::from_utf8(text.err).unwrap(), wrong_here);
    }

    #[test]
    fn objects() {
        let mut json = Json::new(Vec::new(), false);
        for event in events() {
            json.event(&host(), Duration::from_secs(7), &event).unwrap();
        }
        let text = String::from_utf8(json.out).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        assert_eq!(
            lines[1],
            json!({ "event": "reply", "host": "h", "addr": "10.0.0.1", "port": 80, "seq": 2,
                "state": "refused", "rtt_ms": 0.123, "time": 7.0 })
        );
        let kinds: Vec<&str> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
        assert_eq!(kinds, ["reply", "reply", "error", "error", "timeout"]);
    }
}
