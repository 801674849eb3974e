//! Which probes to send, how long to wait for each and when the way is known, as traceroute does.
//! Time is an argument.
//!
//! Theory of operation. Probes are numbered from zero; probe `i` has the time to live
//! `first + i / queries`. Up to `parallel` of them are on their way at a time. An answer from the
//! destination, or one that says it cannot be reached, ends the way at its hop. Results are taken
//! in order, so that they can be printed as they become known.

use std::net::IpAddr;
use std::time::Duration;

use tapping_stack::time::Instant;

use crate::cli::values::Wait;

/// Added to a measured time before it is multiplied, against jitter of very short ones.
const PRECISION: Duration = Duration::from_millis(1);

/// What the run is to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// Time to live of the first probes.
    pub first: u8,
    /// The last time to live to try.
    pub max_hops: u8,
    /// Probes for each hop.
    pub queries: usize,
    /// Probes on their way at a time.
    pub parallel: usize,
    /// How long to wait for an answer.
    pub wait: Wait,
}

/// What the caller is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send probe `index` with this time to live, then call [`Engine::sent`].
    Send {
        /// The probe's number.
        index: usize,
        /// Its time to live.
        ttl: u8,
    },
    /// Wait until then, or until something arrives.
    Wait(Instant),
    /// The run is over.
    Finish,
}

/// What is known of one probe.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Somebody answered.
    Answer {
        /// Who.
        from: IpAddr,
        /// How long it took.
        rtt: Duration,
        /// What is wrong, such as "!H"; empty when nothing is.
        note: String,
    },
    /// Nobody did in time.
    Silence,
    /// It could not be sent; the note says why.
    Unsent(String),
}

/// The outcome of the next probe in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Next {
    /// The hop, when this is its first probe.
    pub new_hop: Option<u8>,
    /// This is the last probe of its hop.
    pub ends_hop: bool,
    /// What became of it.
    pub outcome: Outcome,
}

/// One run.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    probes: Vec<Probe>,
    /// The next probe to send.
    next: usize,
    /// The first probe not told yet.
    told: usize,
    /// Probes from here on are not needed.
    end: usize,
    reached: bool,
    stopped: bool,
}

#[derive(Debug, Clone)]
struct Probe {
    sent: Option<Instant>,
    outcome: Option<Outcome>,
}

impl Engine {
    /// A run.
    pub fn new(config: Config) -> Self {
        let hops = usize::from(config.max_hops).saturating_sub(usize::from(config.first)) + 1;
        let end = hops * config.queries;
        let probes = vec![Probe { sent: None, outcome: None }; end];
        Engine { config, probes, next: 0, told: 0, end, reached: false, stopped: false }
    }

    /// What to do now. After each call, the one that says to finish included, take the outcomes that
    /// [`next_outcome`](Self::next_outcome) has.
    pub fn poll(&mut self, now: Instant) -> Action {
        if self.stopped {
            return Action::Finish;
        }
        self.expire(now);
        if self.told_all() {
            return Action::Finish;
        }
        let waiting = self.waiting().count();
        if self.next < self.end && waiting < self.config.parallel {
            return Action::Send { index: self.next, ttl: self.ttl(self.next) };
        }
        match self.waiting().map(|index| self.expiry(index)).min() {
            Some(at) => Action::Wait(at),
            None => Action::Finish,
        }
    }

    /// Notes that probe `index` was sent at `now`, or why it was not.
    pub fn sent(&mut self, now: Instant, index: usize, outcome: Result<(), String>) {
        self.probes[index].sent = Some(now);
        if let Err(note) = outcome {
            self.refused(index, note);
        }
        self.next = self.next.max(index + 1);
    }

    /// Notes an answer to probe `index`; `last` when the way ends there. Answers that nobody waits
    /// for any more are left out.
    pub fn answered(&mut self, at: Instant, index: usize, from: IpAddr, note: String, last: Last) {
        let Some(probe) = self.probes.get_mut(index) else { return };
        let (Some(sent), None) = (probe.sent, &probe.outcome) else { return };
        probe.outcome = Some(Outcome::Answer { from, rtt: at.saturating_since(sent), note });
        if last != Last::No {
            self.end_at_hop_of(index);
        }
        self.reached |= last == Last::Reached;
    }

    /// Notes that probe `index`, sent or not, was refused here. The next hops' would be too, so the
    /// way ends.
    pub fn refused(&mut self, index: usize, note: String) {
        if let Some(probe) = self.probes.get_mut(index) {
            probe.outcome.get_or_insert(Outcome::Unsent(note));
            self.end_at_hop_of(index);
        }
    }

    /// The outcome of the next probe in order, once it is known.
    pub fn next_outcome(&mut self) -> Option<Next> {
        if self.told_all() {
            return None;
        }
        let outcome = self.probes[self.told].outcome.clone()?;
        let (index, queries) = (self.told, self.config.queries);
        self.told += 1;
        Some(Next {
            new_hop: index.is_multiple_of(queries).then(|| self.ttl(index)),
            ends_hop: (index + 1).is_multiple_of(queries),
            outcome,
        })
    }

    /// Whether the destination itself answered.
    pub fn is_reached(&self) -> bool {
        self.reached
    }

    /// Ends the run at the next [`poll`](Self::poll) (Ctrl-C).
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    fn end_at_hop_of(&mut self, index: usize) {
        let hop_end = (index / self.config.queries + 1) * self.config.queries;
        self.end = self.end.min(hop_end);
    }

    fn told_all(&self) -> bool {
        self.told >= self.end
    }

    fn ttl(&self, index: usize) -> u8 {
        // The number of probes was made so that this fits.
        self.config.first.saturating_add((index / self.config.queries) as u8)
    }

    /// The probes that are on their way and of use.
    fn waiting(&self) -> impl Iterator<Item = usize> + '_ {
        (self.told..self.next.min(self.end)).filter(|&index| self.probes[index].outcome.is_none())
    }

    fn expire(&mut self, now: Instant) {
        let late: Vec<usize> = self.waiting().filter(|&index| self.expiry(index) <= now).collect();
        for index in late {
            self.probes[index].outcome = Some(Outcome::Silence);
        }
    }

    /// When to give up on a probe: sooner when its hop, or a later one, is known to answer fast.
    fn expiry(&self, index: usize) -> Instant {
        let Config { wait, queries, .. } = &self.config;
        let sent = self.probes[index].sent.unwrap_or(Instant::ZERO);
        let hop = index / queries * queries;
        let rtt = |probe: &Probe| match &probe.outcome {
            Some(Outcome::Answer { rtt, .. }) => Some(*rtt),
            _ => None,
        };
        let here = self.probes[hop..hop + queries].iter().find_map(rtt);
        let near = self.probes[hop + queries..].iter().find_map(rtt);
        let patience = match (here, near) {
            (Some(here), _) if wait.here > 0.0 => (here + PRECISION).mul_f64(wait.here),
            (_, Some(near)) if wait.near > 0.0 => (near + PRECISION).mul_f64(wait.near),
            _ => wait.max,
        };
        sent + patience.min(wait.max)
    }
}

/// Whether an answer ends the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// A router on the way.
    No,
    /// The destination itself.
    Reached,
    /// Somebody says that the destination cannot be reached.
    Unreachable,
}

/// traceroute's note on a destination unreachable message, such as "!H"; `info` is the MTU of a
/// "fragmentation needed". A closed port is what probes by UDP look for and has no note.
pub fn unreachable_note(code: u8, info: u32) -> String {
    match code {
        0 | 6 | 11 => "!N".into(),
        1 | 7 | 12 => "!H".into(),
        2 => "!P".into(),
        3 => String::new(),
        4 => format!("!F-{info}"),
        5 => "!S".into(),
        8 => "!I".into(),
        9 | 10 | 13 => "!X".into(),
        14 => "!V".into(),
        15 => "!C".into(),
        _ => format!("!{code}"),
    }
}

#[cfg(test)]
mod tests;
