//! Running a script and writing down all that comes of it.

use std::collections::HashMap;
use std::time::Duration;

use tapping_stack::time::Instant;
use tapping_stack::wire::ipv4::pseudo_header_sum;
use tapping_stack::wire::{Protocol, TcpFlags, tcp};

use super::harness::call::{Call, Expected, Op};
use super::harness::flow::{LOCAL, PEER, Peer};
use super::harness::host::{Host, Outcome};
use super::harness::parse::{Action, Event, Script};
use super::harness::segment::{Body, Ecn, Opt, Packet};
use super::harness::stack::Endpoint;
use super::kernel::Kernel;

/// Where a script's clock starts on the stack's.
const START: Instant = Instant::from_secs(1000);
/// What a script calls the first timestamp that a connection of the host's sends.
pub const FIRST_TIMESTAMP: u32 = 1000;
const REMOTE_ISN: u32 = 0x7fff_f000;
const EINPROGRESS: i32 = 115;
/// A SYN with one of these within a connection is meant to begin another.
const NEW_CONNECTIONS: std::ops::Range<u32> = 1_000_000..1 << 31;

/// What a host did, by the event of the script that came before it.
#[derive(Debug, Default)]
pub struct Recording {
    pub steps: Vec<Step>,
}

/// One event and what followed it, before the next.
#[derive(Debug, Default)]
pub struct Step {
    /// The event, as written.
    pub text: String,
    /// When it happened.
    pub at: Duration,
    /// What calls returned, what was read of `tcp_info`.
    pub results: Vec<String>,
    pub sent: Vec<Sent>,
}

/// A packet that the host sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub at: Duration,
    /// All that is compared but the window.
    pub text: String,
    pub window: Option<u16>,
}

/// A host with its clock.
pub trait Timed: Host {
    /// Now, after the script's start.
    fn elapsed(&self) -> Duration;
    /// Lets time pass until there is something to hear or do, at most until `until`, and says
    /// whether that has come.
    fn pass(&mut self, until: Duration) -> bool;
}

/// The kernel in real time.
pub struct Live {
    kernel: Kernel,
    start: std::time::Instant,
}

/// The stack in virtual time.
pub struct Virtual {
    endpoint: Endpoint,
    now: Duration,
}

impl Live {
    pub fn new(kernel: Kernel) -> Self {
        Live { kernel, start: std::time::Instant::now() }
    }
}

impl Virtual {
    pub fn new(endpoint: Endpoint) -> Self {
        Virtual { endpoint, now: Duration::ZERO }
    }
}

/// Runs a script. With the times of another recording, each event happens when it did there.
pub fn record(
    script: &Script,
    host: &mut impl Timed,
    times: Option<&Recording>,
) -> Result<Recording, String> {
    let mut recorder = Recorder {
        host,
        peer: Peer::new(REMOTE_ISN),
        fds: Fds { next: 3, current: 3, listening: 3 },
        opened: Vec::new(),
        last_ids: Vec::new(),
        recording: Recording::default(),
    };
    let mut last = Duration::ZERO;
    for (index, event) in script.events.iter().enumerate() {
        let base = if event.time.relative { last } else { Duration::ZERO };
        let at = match times {
            Some(times) => times.steps[index].at,
            None => base + event.time.start,
        };
        recorder.advance(at);
        last = recorder.host.elapsed();
        let text = event.text.clone();
        recorder.recording.steps.push(Step { text, at: last, ..Step::default() });
        recorder
            .act(event)
            .map_err(|error| format!("line {}: {}: {error}", event.line, event.text))?;
    }
    Ok(recorder.recording)
}

struct Recorder<'a, H> {
    host: &'a mut H,
    peer: Peer,
    fds: Fds,
    /// Ports from which the script opened a connection.
    opened: Vec<u16>,
    /// Ports and the last IPv4 identifier of each connection.
    last_ids: Vec<([u8; 4], u16)>,
    recording: Recording,
}

impl<H: Timed> Recorder<'_, H> {
    fn now(&self) -> Instant {
        START + self.host.elapsed()
    }

    fn step(&mut self) -> &mut Step {
        self.recording.steps.last_mut().expect("a step has begun")
    }

    /// Lets time pass until `at`, writing down what is sent.
    fn advance(&mut self, at: Duration) {
        loop {
            self.drain();
            if self.host.pass(at) {
                return self.drain();
            }
        }
    }

    fn act(&mut self, event: &Event) -> Result<(), String> {
        match &event.action {
            Action::Inject(packet) => {
                let bytes = self.emit(packet);
                let now = self.now();
                self.host.deliver(now, bytes);
            }
            Action::Calls(calls) => {
                for call in calls {
                    self.call(call)?;
                    self.drain();
                }
            }
            Action::Assert(comparisons) => {
                for comparison in comparisons {
                    let (now, fd, field) = (self.now(), self.fds.current, &comparison.field);
                    let value = self.host.info(now, fd, field);
                    self.step().results.push(format!("{field} = {value:?}"));
                }
            }
            Action::Count(_) => return Err("counters are the host's own".into()),
            Action::Expect(_) => return Err("what is sent is written down, not expected".into()),
        }
        self.drain();
        Ok(())
    }

    /// The bytes of a packet of the script. A SYN within a connection changes nothing about what
    /// numbers are relative to.
    fn emit(&mut self, packet: &Packet) -> Vec<u8> {
        let mut packet = packet.clone();
        let port = packet.peer_port.unwrap_or(self.peer.peer_port);
        let Body::Tcp(segment) = &mut packet.body else { return self.peer.emit(&packet) };
        let syn = TcpFlags::SYN.bits();
        let opens = segment.flags.0 & (syn | TcpFlags::ACK.bits()) == syn;
        let known = self.opened.contains(&port);
        if opens && !known {
            self.opened.push(port);
        }
        if !opens || !known || NEW_CONNECTIONS.contains(&segment.seq) {
            return self.peer.emit(&packet);
        }
        segment.flags.0 |= TcpFlags::ACK.bits();
        let mut bytes = self.peer.emit(&packet);
        let header = usize::from(bytes[0] & 15) * 4;
        let tcp = &mut bytes[header..];
        tcp[13] &= !(TcpFlags::ACK.bits() as u8);
        let pseudo = pseudo_header_sum(PEER, LOCAL, Protocol::TCP, tcp.len() as u16);
        tcp::fill_checksum(tcp, pseudo);
        bytes
    }

    fn call(&mut self, call: &Call) -> Result<(), String> {
        let fd = match call.op {
            Op::Accept => call.fd.unwrap_or(self.fds.listening),
            _ => call.fd.unwrap_or(self.fds.current),
        };
        let new = match call.expected {
            Expected::Value(fd) => fd as i32,
            _ => self.fds.next,
        };
        match &call.op {
            Op::Bind { port: Some(port) } => self.peer.local_port = *port,
            Op::Connect { port } => self.peer.host_connects(port.unwrap_or(8080)),
            _ => {}
        }
        if call.op == Op::Use {
            // Only a mark in time.
            return Ok(());
        }
        let now = self.now();
        let outcome = self.host.call(now, fd, &call.op, new);
        if let Ok(Outcome::Wrong(what)) = &outcome
            && !what.contains(" is ")
        {
            return Err(what.clone());
        }
        // Whether connect waits is a matter of the interface, not of TCP.
        let told = match (&call.op, &outcome) {
            (Op::Connect { .. }, Ok(_) | Err(EINPROGRESS)) => "Ok".to_string(),
            _ => format!("{outcome:?}"),
        };
        self.step().results.push(told);
        if outcome.is_ok() {
            if let Op::Listen { .. } = call.op {
                self.fds.listening = fd;
            }
            let opened = match outcome {
                Ok(Outcome::Value(_)) => matches!(call.op, Op::Socket { .. } | Op::Accept),
                _ => false,
            };
            self.fds.current = if opened { new } else { fd };
            self.fds.next = self.fds.next.max(self.fds.current + 1);
        }
        Ok(())
    }

    fn drain(&mut self) {
        while let Some(bytes) = {
            let now = self.now();
            self.host.transmit(now)
        } {
            let at = self.host.elapsed();
            let sent = self.describe(at, &bytes);
            self.step().sent.push(sent);
        }
    }

    fn describe(&mut self, at: Duration, bytes: &[u8]) -> Sent {
        let mut packet = match self.peer.read(bytes) {
            Ok(packet) => packet,
            Err(error) => return Sent { at, text: format!("wrong: {error}"), window: None },
        };
        let named = Opt::Timestamps(Some(FIRST_TIMESTAMP), None);
        let mut first = Packet::default();
        if let Body::Tcp(segment) = &mut first.body {
            segment.options = Some(vec![named]);
        }
        self.peer.align(Some(&first), &mut packet);
        let id = self.identifier(bytes);
        // A port that the host chooses for itself says nothing; the peer's is in the script.
        let port = packet.peer_port.take().filter(|port| *port != self.peer.peer_port);
        packet.peer_port = port;
        let dont_fragment = if packet.ip.dont_fragment == Some(true) { " df" } else { "" };
        let mut window = None;
        if let Body::Tcp(segment) = &mut packet.body {
            window = segment.window.take();
            if bytes[24..28] == [0; 4] {
                // What answers a segment without ACK has no number of the host's.
                segment.seq = 0;
            }
            for option in segment.options.iter_mut().flatten() {
                if let Opt::Timestamps(value, _) = option {
                    *value = None;
                }
            }
        }
        if packet.ip.ecn == Some(Ecn::NotEct) {
            packet.ip.ecn = None;
        }
        Sent { at, text: format!("{packet} id {id}{dont_fragment}"), window }
    }

    /// The IPv4 identifier by its rule: zero, one more than before, or any.
    fn identifier(&mut self, bytes: &[u8]) -> &'static str {
        let id = u16::from_be_bytes([bytes[4], bytes[5]]);
        let Some(ports) = bytes.get(20..).and_then(|tcp| tcp.first_chunk::<4>()) else {
            return "any";
        };
        let last = self.last_ids.iter_mut().find(|(of, _)| of == ports);
        match (id, last) {
            (0, _) => "0",
            (_, None) => {
                self.last_ids.push((*ports, id));
                "new"
            }
            (_, Some((_, last))) => {
                let next = id == last.wrapping_add(1);
                *last = id;
                if next { "+1" } else { "any" }
            }
        }
    }
}

/// Which descriptors a script's calls without one mean.
struct Fds {
    next: i32,
    current: i32,
    listening: i32,
}

macro_rules! delegate {
    ($type:ty, $field:ident) => {
        impl Host for $type {
            fn deliver(&mut self, now: Instant, packet: Vec<u8>) {
                self.$field.deliver(now, packet);
            }
            fn transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
                self.$field.transmit(now)
            }
            fn timeout(&self) -> Option<Instant> {
                self.$field.timeout()
            }
            fn wake(&mut self, now: Instant) {
                self.$field.wake(now);
            }
            fn call(&mut self, now: Instant, fd: i32, op: &Op, new: i32) -> Result<Outcome, i32> {
                self.$field.call(now, fd, op, new)
            }
            fn info(&mut self, now: Instant, fd: i32, field: &str) -> Option<i64> {
                self.$field.info(now, fd, field)
            }
            fn counters(&self) -> HashMap<String, u64> {
                self.$field.counters()
            }
        }
    };
}

delegate!(Live, kernel);
delegate!(Virtual, endpoint);

impl Timed for Live {
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn pass(&mut self, until: Duration) -> bool {
        let left = until.saturating_sub(self.elapsed());
        if left.is_zero() {
            return true;
        }
        self.kernel.wait(left);
        false
    }
}

impl Timed for Virtual {
    fn elapsed(&self) -> Duration {
        self.now
    }

    fn pass(&mut self, until: Duration) -> bool {
        let timer = self.endpoint.timeout().filter(|timer| *timer <= START + until);
        self.now = timer.map_or(until, |timer| timer - START).max(self.now);
        self.endpoint.wake(START + self.now);
        timer.is_none()
    }
}
