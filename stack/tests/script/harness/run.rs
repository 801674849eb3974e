//! Running a script in virtual time.

use core::fmt::Write;
use std::collections::{HashMap, VecDeque};

use tapping_stack::time::{Duration, Instant};

use super::call::{Call, Expected, Op};
use super::flow::Peer;
use super::host::{Host, Outcome, errno};
use super::parse::{Action, Comparison, Event, Script, Until};
use super::segment::{Body, Packet};
use super::shell::Count;
use super::trace::Trace;

/// How far off a time may be, as packetdrill's default.
const TOLERANCE: Duration = Duration::from_millis(4);
/// How long `*` waits at most.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Rounds in which the host may act without time passing.
const MAX_ROUNDS: usize = 10_000;
/// Where a script's clock starts on the host's.
const START: Instant = Instant::from_secs(1000);

/// How a script is read, beside what it says to the host.
#[derive(Debug)]
pub struct Rules {
    pub tolerance: Duration,
    /// Packets that the script does not mention at its end are fine.
    pub ignore_rest: bool,
    pub remote_isn: u32,
    /// A large segment is told of as one or as several.
    pub any_segments: bool,
}

impl Rules {
    /// Takes its own from the settings; what is left is the host's.
    pub fn take(settings: &mut Vec<(String, String)>) -> Result<Self, String> {
        let mut rules = Rules {
            tolerance: TOLERANCE,
            ignore_rest: false,
            remote_isn: 0x7fff_f000,
            any_segments: false,
        };
        let mut error = None;
        settings.retain(|(name, value)| {
            let number = value.parse::<u64>();
            match (name.as_str(), number) {
                ("tolerance_usecs", Ok(micros)) => rules.tolerance = Duration::from_micros(micros),
                ("remote_isn", Ok(isn)) => rules.remote_isn = isn as u32,
                ("strict_segments", _) => rules.any_segments = value == "0",
                ("ignore_rest", _) => rules.ignore_rest = value != "0",
                ("tolerance_usecs" | "remote_isn", Err(_)) => {
                    error = Some(format!("{name}={value}: that is no number"));
                }
                _ => return true,
            }
            false
        });
        error.map_or(Ok(rules), Err)
    }
}

/// A script in progress.
pub struct Runner<'a, H> {
    host: &'a mut H,
    rules: Rules,
    peer: Peer,
    now: Instant,
    /// When the event before was to happen.
    last: Instant,
    heard: VecDeque<(Instant, Vec<u8>)>,
    /// What is left of a large segment.
    rest: Option<(Instant, Packet)>,
    counted: HashMap<String, u64>,
    waiting: Vec<Waiting>,
    fds: Fds,
    trace: Trace,
}

/// A call that has not returned.
struct Waiting {
    call: Call,
    fd: i32,
    returns: Instant,
    line: usize,
    text: String,
}

/// Which descriptors a script's calls without one mean.
struct Fds {
    next: i32,
    current: i32,
    listening: i32,
}

/// Runs a script against a host; an error is a whole report. A packet without a port is of the
/// usual one.
pub fn run<H: Host>(script: &Script, rules: Rules, host: &mut H) -> Result<(), String> {
    let mut runner = Runner {
        host,
        peer: Peer::new(rules.remote_isn),
        rules,
        now: START,
        last: START,
        heard: VecDeque::new(),
        rest: None,
        counted: HashMap::new(),
        waiting: Vec::new(),
        fds: Fds { next: 3, current: 3, listening: 3 },
        trace: Trace::default(),
    };
    for event in &script.events {
        if let Err(error) = runner.step(event) {
            return Err(runner.report(event.line, &event.text, &error));
        }
    }
    runner.finish()
}

impl<H: Host> Runner<'_, H> {
    fn step(&mut self, event: &Event) -> Result<(), String> {
        let base = if event.time.relative { self.last } else { START };
        let at = base + event.time.start;
        if let Action::Expect(packet) = &event.action {
            return self.expect(event, base, at, packet);
        }
        if event.time.until != Until::Any {
            self.advance(at)?;
            self.last = at;
        }
        match &event.action {
            Action::Inject(packet) => {
                let bytes = self.peer.emit(packet);
                self.trace.packet(self.now, false, packet, self.peer.peer_port);
                self.host.deliver(self.now, bytes);
            }
            Action::Calls(calls) => {
                self.trace.call(self.now, &event.text);
                for call in calls {
                    self.call(event, base, call)?;
                    self.settle()?;
                }
            }
            Action::Assert(comparisons) => self.assert(comparisons)?,
            Action::Count(Count::Reset) => self.counted = self.host.counters(),
            Action::Count(Count::Is { name, value }) => self.assert_count(name, *value)?,
            Action::Expect(_) => {}
        }
        self.settle()
    }

    fn expect(
        &mut self,
        event: &Event,
        base: Instant,
        at: Instant,
        expected: &Packet,
    ) -> Result<(), String> {
        let tolerance = self.rules.tolerance;
        let (first, last) = match event.time.until {
            Until::Exact => (at - tolerance, at + tolerance),
            Until::Range(end) | Until::Returns(end) => (at - tolerance, base + end + tolerance),
            Until::Any => (Instant::ZERO, self.now + PATIENCE),
        };
        self.settle()?;
        let Some((heard_at, mut actual)) = self.next_heard(last)? else {
            return Err(format!("expected: {expected}\nactual:   nothing until {}", time(last)));
        };
        if self.rules.any_segments {
            self.fit_segments(expected, heard_at, &mut actual)?;
        }
        self.peer.align(Some(expected), &mut actual);
        self.trace.packet(heard_at, true, &actual, self.peer.peer_port);
        let mut expected = expected.clone();
        if expected.peer_port.is_none() && actual.peer_port == Some(self.peer.peer_port) {
            actual.peer_port = None;
        }
        if let (Body::Icmp(expected), Body::Icmp(actual)) = (&mut expected.body, &actual.body) {
            // Which segment is quoted is for the host's other tests.
            expected.quoted = actual.quoted;
        }
        self.last = if event.time.until == Until::Exact { at } else { heard_at };
        let ticks = tolerance.as_millis() as u32 + 1;
        if let Some(difference) = expected.difference(&actual, ticks) {
            return Err(format!("expected: {expected}\nactual:   {actual}\n{difference}"));
        }
        if heard_at < first || heard_at > last {
            let (at, early) = (time(at), if heard_at < first { "early" } else { "late" });
            let heard_at = time(heard_at);
            return Err(format!(
                "{actual}\nwas expected at {at} and came too {early}, at {heard_at}"
            ));
        }
        Ok(())
    }

    /// The next packet, waiting for it until `last`.
    fn next_heard(&mut self, last: Instant) -> Result<Option<(Instant, Packet)>, String> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        while self.heard.is_empty() && self.advance_once(last)? {}
        let Some((at, bytes)) = self.heard.pop_front() else { return Ok(None) };
        Ok(Some((at, self.peer.read(&bytes)?)))
    }

    /// Cuts a segment, or joins it with those after it, to the length that is expected; then PSH
    /// is nobody's.
    fn fit_segments(
        &mut self,
        expected: &Packet,
        at: Instant,
        actual: &mut Packet,
    ) -> Result<(), String> {
        let ip = actual.ip;
        let peer_port = actual.peer_port;
        let (Body::Tcp(expected), Body::Tcp(segment)) = (&expected.body, &mut actual.body) else {
            return Ok(());
        };
        while segment.len > 0 && segment.len < expected.len {
            let Some((next_at, next)) = self.next_heard(at)? else { break };
            match &next.body {
                Body::Tcp(more) if more.len > 0 && segment.join(more) => {}
                _ => {
                    self.rest = Some((next_at, next));
                    break;
                }
            }
        }
        if expected.len > 0 && segment.len > expected.len {
            let body = Body::Tcp(segment.cut(expected.len));
            self.rest = Some((at, Packet { ip, peer_port, body }));
        }
        if expected.len > 0 {
            segment.flags.take_push(expected.flags);
        }
        Ok(())
    }

    fn assert_count(&mut self, name: &str, value: u64) -> Result<(), String> {
        let actual = *self.host.counters().get(name).ok_or(format!("nothing counts {name}"))?;
        let actual = actual - self.counted.get(name).copied().unwrap_or(0);
        match actual == value {
            true => Ok(()),
            false => Err(format!("{name} should be {value}, and is {actual}")),
        }
    }

    fn call(&mut self, event: &Event, base: Instant, call: &Call) -> Result<(), String> {
        let fd = self.fds.resolve(call);
        if let Op::Bind { port: Some(port) } = call.op {
            self.peer.local_port = port;
        }
        let outcome = self.host.call(self.now, fd, &call.op, self.fds.name(call));
        let begun = outcome.is_ok() || outcome == Err(errno("EINPROGRESS").unwrap_or_default());
        if matches!(call.op, Op::Listen { .. }) {
            self.peer.host_listens();
        }
        if let Op::Connect { port } = call.op
            && begun
        {
            self.peer.host_connects(port.unwrap_or(8080));
        }
        if outcome != Ok(Outcome::Blocks) {
            self.fds.returned(call, fd, outcome.is_ok());
            return judge(call, fd, &outcome);
        }
        let Until::Returns(end) = event.time.until else {
            return Err("the call blocks".into());
        };
        let (line, text) = (event.line, event.text.clone());
        self.waiting.push(Waiting { call: call.clone(), fd, returns: base + end, line, text });
        Ok(())
    }

    fn assert(&mut self, comparisons: &[Comparison]) -> Result<(), String> {
        for comparison in comparisons {
            let field = &comparison.field;
            let fd = self.fds.current;
            let actual = self.host.info(self.now, fd, field);
            let actual = actual.ok_or(format!("socket {fd} has no {field}"))?;
            if !comparison.holds(actual) {
                let Comparison { operator, value, .. } = comparison;
                return Err(format!("{field} should be {operator} {value}, and is {actual}"));
            }
        }
        Ok(())
    }

    /// Lets time pass up to `to`.
    fn advance(&mut self, to: Instant) -> Result<(), String> {
        self.settle()?;
        while self.advance_once(to)? {}
        Ok(())
    }

    /// Lets time pass up to the host's next timer, at most up to `to`; says whether there is more.
    fn advance_once(&mut self, to: Instant) -> Result<bool, String> {
        let timer = self.host.timeout().filter(|timer| *timer <= to);
        self.now = self.now.max(timer.unwrap_or(to));
        self.settle()?;
        Ok(timer.is_some())
    }

    /// Lets the host act until it rests.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..MAX_ROUNDS {
            let due = self.host.timeout().is_some_and(|timer| timer <= self.now);
            if due {
                self.host.wake(self.now);
            }
            while let Some(packet) = self.host.transmit(self.now) {
                self.heard.push_back((self.now, packet));
            }
            let returned = self.retry_calls()?;
            if !due && !returned {
                return Ok(());
            }
        }
        Err(format!("the host does not rest at {}", time(self.now)))
    }

    /// Tries again the calls that wait; says whether one returned.
    fn retry_calls(&mut self) -> Result<bool, String> {
        for index in 0..self.waiting.len() {
            let Waiting { call, fd, returns, .. } = &self.waiting[index];
            let outcome = self.host.call(self.now, *fd, &call.op, self.fds.name(call));
            if outcome == Ok(Outcome::Blocks) {
                continue;
            }
            let off = self.now.max(*returns) - self.now.min(*returns);
            let judged = judge(call, *fd, &outcome);
            let (line, text) = (self.waiting[index].line, self.waiting[index].text.clone());
            let judged = judged.and_then(|()| match off > self.rules.tolerance {
                true => {
                    Err(format!("it returned at {} and not {}", time(self.now), time(*returns)))
                }
                false => Ok(()),
            });
            judged.map_err(|error| format!("line {line}: {text}\n{error}"))?;
            let Waiting { call, fd, .. } = self.waiting.remove(index);
            self.fds.returned(&call, fd, outcome.is_ok());
            self.trace.call(self.now, &format!("{text} returns"));
            return Ok(true);
        }
        Ok(false)
    }

    fn finish(mut self) -> Result<(), String> {
        let end = self.waiting.iter().map(|waiting| waiting.returns).max();
        if let Some(Err(error)) = end.map(|end| self.advance(end + self.rules.tolerance)) {
            return Err(self.report(0, "at the end", &error));
        }
        if let Some(Waiting { line, text, .. }) = self.waiting.pop() {
            return Err(self.report(line, &text, "the call never returned"));
        }
        let silent = self.heard.is_empty() && self.rest.is_none();
        match silent || self.rules.ignore_rest {
            true => Ok(()),
            false => {
                Err(self.report(0, "at the end", "the host sent what the script does not expect"))
            }
        }
    }

    /// The line that failed, why, and everything so far.
    fn report(&mut self, line: usize, text: &str, error: &str) -> String {
        for (at, bytes) in core::mem::take(&mut self.heard) {
            match self.peer.read(&bytes) {
                Ok(mut packet) => {
                    self.peer.align(None, &mut packet);
                    self.trace.packet(at, true, &packet, self.peer.peer_port);
                }
                Err(error) => self.trace.call(at, &format!("a packet that is wrong: {error}")),
            }
        }
        let mut report = format!("script line {line}: {text}\n{error}\n");
        let _ = write!(report, "\nat {}, so far:\n{}", time(self.now), self.trace.script(START));
        let _ = write!(report, "\npackets:\n{}", self.trace.packets(START));
        report
    }
}

impl Fds {
    fn resolve(&self, call: &Call) -> i32 {
        match call.op {
            Op::Accept => call.fd.unwrap_or(self.listening),
            _ => call.fd.unwrap_or(self.current),
        }
    }

    /// What a socket is called that the call opens.
    fn name(&self, call: &Call) -> i32 {
        match call.expected {
            Expected::Value(fd) => fd as i32,
            _ => self.next,
        }
    }

    fn returned(&mut self, call: &Call, fd: i32, success: bool) {
        match &call.op {
            _ if !success => return,
            Op::Listen { .. } => self.listening = fd,
            _ => {}
        }
        self.current = match call.op {
            Op::Socket { .. } | Op::Accept => self.name(call),
            _ => fd,
        };
        self.next = self.next.max(self.current + 1);
    }
}

/// Whether a call returned what it should.
fn judge(call: &Call, fd: i32, outcome: &Result<Outcome, i32>) -> Result<(), String> {
    let opens = matches!(call.op, Op::Socket { .. } | Op::Accept);
    let success = match call.op {
        Op::Send { len, .. } | Op::SendTo { len } | Op::Receive { len, .. } => Some(len as i64),
        Op::Socket { .. } | Op::Accept => None,
        _ => Some(0),
    };
    let fits = match (&call.expected, outcome) {
        (_, Ok(Outcome::Wrong(what))) => return Err(what.clone()),
        (Expected::Success, Ok(Outcome::Value(value))) => success.is_none_or(|is| is == *value),
        (Expected::Value(_), Ok(Outcome::Value(_))) if opens => true,
        (Expected::Value(expected), Ok(Outcome::Value(value))) => expected == value,
        (Expected::Error(name), Err(number)) => errno(name) == Some(*number),
        _ => false,
    };
    let expected = &call.expected;
    match fits {
        true => Ok(()),
        false => Err(format!("expected: {expected:?}\nactual:   {outcome:?} on socket {fd}")),
    }
}

fn time(at: Instant) -> String {
    format!("{:.6}", (at - START).as_secs_f64())
}
