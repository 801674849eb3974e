//! `--walk`: the way of the first request and of its reply through the layers, a line a stage.
//!
//! An [`Observer`] in each stack writes down what it is shown; the lines of both ends share one
//! list, in the order things happened.

mod describe;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tapping_stack::event::{Event, Observer, Receiver};
use tapping_stack::time::Instant;

use describe::{Line, describe};

/// More lines than any one exchange has; a flood from elsewhere ends the list.
const MAX_LINES: usize = 200;

/// The list of what happened.
#[derive(Debug, Clone, Default)]
pub struct Walk {
    record: Arc<Mutex<Record>>,
}

#[derive(Debug, Default)]
struct Record {
    /// When the first request was handed over; nothing is written down before.
    start: Option<Instant>,
    lines: Vec<Entry>,
    complete: bool,
}

#[derive(Debug)]
struct Entry {
    after: Duration,
    who: Who,
    line: Line,
}

/// Whose stack saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The one that pings.
    Here,
    /// The built-in peer.
    Peer,
}

impl Walk {
    /// An observer for the stack of `who`, whose link to the other is called `link`.
    pub fn observer(&self, who: Who, link: &str) -> Box<dyn Observer + Send> {
        Box::new(Watcher { walk: self.clone(), who, link: link.to_string() })
    }

    /// Begins to write down.
    pub fn begin(&self, now: Instant) {
        self.record().start.get_or_insert(now);
    }

    /// Whether the reply has reached the socket of the one who pings.
    pub fn is_complete(&self) -> bool {
        self.record().complete
    }

    /// The list, aligned; `other_side` says who is at the far end when it is not the built-in peer.
    pub fn show(&self, other_side: Option<&str>) -> String {
        let record = self.record();
        let both = record.lines.iter().any(|entry| entry.who == Who::Peer);
        let mut text = String::from("The first request and its reply, layer by layer:\n");
        let mut left = false;
        let mut last = None;
        for Entry { after, who, line } in &record.lines {
            if let (true, "link/input", Some(other)) = (left, line.stage, other_side) {
                let _ = writeln!(text, "{:>12}  ~~~  {other} answers  ~~~", "");
            }
            left = line.stage == "link/output";
            let who = match who {
                Who::Here => "here  ",
                Who::Peer => "peer  ",
            };
            let who = if both { who } else { "" };
            // All that one call to the stack does happens at one time, which is said once.
            let time = match last.replace(after) {
                Some(before) if before == after => String::new(),
                _ => format!("{:.1} µs", after.as_nanos() as f64 / 1e3),
            };
            let Line { way, stage, text: fields } = line;
            let _ = writeln!(text, "{time:>12}  {who}{way}  {stage:<15}  {fields}");
        }
        if !record.complete {
            let _ = writeln!(text, "{:>12}  no reply reached the socket", "");
        }
        text
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // A panic elsewhere leaves the list as it was, which is all there is to show.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watcher {
    walk: Walk,
    who: Who,
    link: String,
}

impl Observer for Watcher {
    fn event(&mut self, now: Instant, event: &Event<'_>) {
        let mut record = self.walk.record();
        let Some(start) = record.start else { return };
        if record.complete || record.lines.len() >= MAX_LINES {
            return;
        }
        let Some(line) = describe(event, &self.link) else { return };
        record.lines.push(Entry { after: now.saturating_since(start), who: self.who, line });
        let delivered = matches!(event, Event::Delivered { to: Receiver::Ping(_), .. });
        record.complete = delivered && self.who == Who::Here;
    }
}

/// Tells the log of every event, and another observer too.
pub struct Logger {
    who: Who,
    link: String,
    next: Option<Box<dyn Observer + Send>>,
}

impl Logger {
    /// An observer for the stack of `who`, whose link to the other is called `link`.
    pub fn new(who: Who, link: &str, next: Option<Box<dyn Observer + Send>>) -> Box<Self> {
        Box::new(Logger { who, link: link.to_string(), next })
    }
}

impl Observer for Logger {
    fn event(&mut self, now: Instant, event: &Event<'_>) {
        if let Some(Line { way, stage, text }) = describe(event, &self.link) {
            let who = self.who;
            tracing::debug!(target: "tapping::packets", "{who:?} {way} {stage}: {text}");
        }
        if let Some(next) = &mut self.next {
            next.event(now, event);
        }
    }
}

#[cfg(test)]
mod tests;
