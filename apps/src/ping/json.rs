//! A run written as JSON, one object a line, with a summary object a host at the end.
//!
//! Every object has `event` and `host`; times are seconds since 1970 in `time`, round trips are
//! milliseconds.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::engine::Engine;
use super::icmp_text::describe;
use super::ip_options::recorded;
use super::payload::HEADER;
use super::report::{Event, Host, IcmpError, Named, Reply, Report};
use super::stats::Summary;
use tapping_stack::wire::ipv4_options::{Ipv4Options, RR};

/// Writes objects to `out`.
pub struct Json<O> {
    out: O,
    /// Only the start and the summary (`-q`).
    quiet: bool,
}

impl<O: Write> Json<O> {
    /// A report to `out`.
    pub fn new(out: O, quiet: bool) -> Self {
        Json { out, quiet }
    }

    fn line(&mut self, event: &str, host: &Host, fields: Value) -> io::Result<()> {
        let mut object = Map::new();
        object.insert("event".into(), event.into());
        object.insert("host".into(), host.name.clone().into());
        object.insert("addr".into(), host.addr.to_string().into());
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        writeln!(self.out, "{}", Value::Object(object))?;
        self.out.flush()
    }
}

impl<O: Write> Report for Json<O> {
    fn pattern(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn start(&mut self, host: &Host) -> io::Result<()> {
        let source = host.from.as_ref().map(|(addr, _)| addr.to_string());
        self.line("start", host, json!({ "bytes": host.size, "source": source }))
    }

    fn event(&mut self, host: &Host, unix: Duration, event: &Event<'_>) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        let (kind, mut fields) = match event {
            Event::Sent => return Ok(()),
            Event::Reply(reply) => ("reply", reply_fields(host, reply)),
            Event::Error(error) => ("error", error_fields(error)),
            Event::Redirect(error) => ("redirect", error_fields(error)),
            Event::TooLong { sequence, mtu } => {
                let mut fields = local_fields(Some(*sequence), "message too long");
                fields["mtu"] = (*mtu).into();
                ("error", fields)
            }
            Event::Failed { sequence, reason } => ("error", local_fields(*sequence, reason)),
            Event::Outstanding { sequence } => ("outstanding", json!({ "icmp_seq": sequence })),
            Event::Timeout { sequence } => ("timeout", json!({ "icmp_seq": sequence })),
        };
        fields["time"] = unix.as_secs_f64().into();
        self.line(kind, host, fields)
    }

    fn interim(&mut self, host: &Host, engine: &Engine) -> io::Result<()> {
        self.line("status", host, totals(engine))
    }

    fn summary(&mut self, host: &Host, engine: &Engine) -> io::Result<()> {
        self.line("summary", host, totals(engine))
    }
}

fn reply_fields(host: &Host, reply: &Reply<'_>) -> Value {
    let mut fields = json!({
        "icmp_seq": reply.sequence,
        "bytes": HEADER + reply.data.len(),
        "ttl": reply.ttl,
        "rtt_ms": reply.rtt.map(millis),
        "duplicate": reply.duplicate,
    });
    name(&mut fields, &reply.from);
    if reply.data.len() < host.size {
        fields["truncated"] = true.into();
    }
    if reply.different_address {
        fields["different_address"] = true.into();
    }
    if let Some((index, sent, came)) = reply.difference {
        fields["wrong_data"] = json!({ "index": index, "expected": sent, "got": came });
    }
    let route = Ipv4Options::new(reply.options).flatten().find(|option| option.kind() == RR);
    if let Some(route) = route {
        let hops: Vec<String> = recorded(route.data()).iter().map(ToString::to_string).collect();
        fields["route"] = hops.into();
    }
    fields
}

fn error_fields(error: &IcmpError) -> Value {
    let mut fields = json!({
        "icmp_seq": error.sequence,
        "type": error.icmp_type,
        "code": error.code,
        "message": describe(error.icmp_type, error.code, error.info),
    });
    name(&mut fields, &error.from);
    if (error.icmp_type, error.code) == (3, 4) {
        fields["mtu"] = error.info.into();
    }
    fields
}

/// What went wrong here, before any wire.
fn local_fields(sequence: Option<u16>, message: &str) -> Value {
    json!({ "icmp_seq": sequence, "message": message, "local": true })
}

fn name(fields: &mut Value, from: &Named) {
    fields["from"] = from.addr.to_string().into();
    if let Some(name) = &from.name {
        fields["from_name"] = name.clone().into();
    }
}

/// What a run has counted.
pub fn totals(engine: &Engine) -> Value {
    let counters = engine.counters();
    let lost = counters.transmitted.saturating_sub(counters.received);
    let loss =
        (counters.transmitted > 0).then(|| lost as f64 * 100.0 / counters.transmitted as f64);
    let trips = engine.round_trips();
    let rtt = (trips.count() > 0).then(|| {
        let Summary { min, avg, max, mdev, ewma } = trips.summary();
        let p = |percent| from_micros(trips.percentile(percent));
        json!({
            "min": from_micros(min), "avg": from_micros(avg), "max": from_micros(max),
            "mdev": from_micros(mdev), "ewma": from_micros(ewma),
            "p50": p(50.0), "p90": p(90.0), "p99": p(99.0), "p99.9": p(99.9),
        })
    });
    json!({
        "transmitted": counters.transmitted,
        "received": counters.received,
        "duplicates": counters.duplicates,
        "errors": counters.errors,
        "failed": counters.failed,
        "loss_percent": loss,
        "duration_ms": millis(engine.elapsed()),
        "pipe": engine.pipe(),
        "rtt_ms": rtt,
    })
}

/// A time in milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

fn from_micros(micros: u64) -> f64 {
    micros as f64 / 1e3
}

#[cfg(test)]
mod tests;
