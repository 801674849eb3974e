//! When to send, when to stop and what to count, for one host. Time is an argument: the engine
//! neither sends nor prints; [`Engine::poll`] says what to do next and the caller does it.
//!
//! Theory of operation. Probe `k` is due at `start + k × interval`, an absolute time, so lateness
//! of one probe never delays the next. The first `preload` probes are due at once. With a zero
//! interval (flood, or adaptive on a fast network) a probe follows each answer, or 10 ms of
//! silence. After the last probe of `count` the engine lingers for late answers.

use std::time::Duration;

use tapping_stack::time::Instant;

use super::stats::{RoundTrips, micros};
use super::window::Window;

/// Without answers a flood still sends this often (iputils `MIN_INTERVAL_MS`).
const FLOOD_SILENCE: Duration = Duration::from_millis(10);
/// After a stall longer than this the schedule starts anew instead of catching up in a burst.
const MAX_CATCH_UP: Duration = Duration::from_secs(1);
/// How long to wait before offering a probe again that found every queue full.
const RETRY: Duration = Duration::from_millis(10);

/// What iputils' options say about the timing of a run.
#[derive(Debug, Clone)]
pub struct Pacing {
    /// Stop after so many answers or errors (`-c`).
    pub count: Option<u64>,
    /// Between probes (`-i`); zero floods.
    pub interval: Duration,
    /// Let the interval follow the round-trip time (`-A`).
    pub adaptive: bool,
    /// Probes sent without waiting (`-l`), at least 1.
    pub preload: u32,
    /// How long to wait for answers when none came (`-W`); `None` waits for ever.
    pub linger: Option<Duration>,
    /// Stop after so long, whatever came (`-w`).
    pub deadline: Option<Duration>,
    /// Say so before the next probe when the last is unanswered (`-O`).
    pub outstanding: bool,
    /// Tell of every probe that stayed unanswered for [`linger`](Self::linger), one by one.
    pub timeouts: bool,
}

/// What the caller is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send a probe with this sequence number, then call [`Engine::sent`].
    Send(u16),
    /// Say that there is no answer yet to this one.
    Outstanding(u16),
    /// Say that this one stayed unanswered.
    Timeout(u16),
    /// Wait until then (or for ever), or until something arrives.
    Wait(Option<Instant>),
    /// The run is over.
    Finish,
}

/// What became of handing a probe to the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Ok,
    /// Every queue is full; it was not sent and will be offered again.
    Busy,
    /// It was too long; the stack's error queue says the rest, and it counts as an error.
    Refused,
    /// It failed for another local reason.
    Failed,
}

/// How an answer was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// From the probe's sending to the answer's arrival; `None` for a sequence number never sent.
    pub rtt: Option<Duration>,
    /// An answer to the same probe came before.
    pub duplicate: bool,
}

/// The counters of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Probes sent, those that failed locally included, as in iputils.
    pub transmitted: u64,
    /// Probes answered.
    pub received: u64,
    /// Further answers to probes already answered.
    pub duplicates: u64,
    /// ICMP errors and probes refused as too long.
    pub errors: u64,
    /// Probes that could not be sent for another reason.
    pub failed: u64,
}

/// One host's run.
#[derive(Debug)]
pub struct Engine {
    pacing: Pacing,
    interval: Duration,
    start: Instant,
    /// When the next probe is due, unless the interval is zero.
    due: Instant,
    last_sent: Instant,
    /// Probes still to go out at once.
    burst: u32,
    retry_at: Option<Instant>,
    linger_until: Option<Linger>,
    counters: Counters,
    window: Window,
    round_trips: RoundTrips,
    /// Added to the adaptive interval when queues are full, in microseconds (iputils `rtt_addend`).
    slowdown: u64,
    acked: u16,
    pipe: u32,
    reported: u64,
    /// Number of the oldest probe whose fate has not been told.
    oldest: u64,
    stopped: bool,
    finished: bool,
}

#[derive(Debug, Clone, Copy)]
enum Linger {
    Until(Instant),
    Forever,
}

impl Engine {
    /// A run that begins at `start`.
    pub fn new(pacing: Pacing, start: Instant) -> Self {
        let pacing = Pacing { preload: pacing.preload.max(1), ..pacing };
        Engine {
            interval: pacing.interval,
            burst: pacing.preload - 1,
            pacing,
            start,
            due: start,
            last_sent: start,
            retry_at: None,
            linger_until: None,
            counters: Counters::default(),
            window: Window::new(),
            round_trips: RoundTrips::new(),
            slowdown: 0,
            acked: 0,
            pipe: 0,
            reported: 0,
            oldest: 1,
            stopped: false,
            finished: false,
        }
    }

    /// What to do now. Call again after doing it, until it says to wait or that all is done.
    pub fn poll(&mut self, now: Instant) -> Action {
        if self.finished {
            return Action::Finish;
        }
        if self.is_over(now) {
            // What is still open will stay so: tell it before the end.
            if let Some(sequence) = self.next_timeout(Instant::FAR_FUTURE) {
                return Action::Timeout(sequence);
            }
            self.finished = true;
            return Action::Finish;
        }
        if let Some(sequence) = self.next_timeout(now) {
            return Action::Timeout(sequence);
        }
        let next = self.next_send(now);
        if next.is_some_and(|at| at <= now) {
            let last = self.counters.transmitted;
            if self.pacing.outstanding
                && self.reported < last
                && !self.window.is_received(last as u16)
            {
                self.reported = last;
                return Action::Outstanding(last as u16);
            }
            return Action::Send((last + 1) as u16);
        }
        if next.is_none() && self.linger_until.is_none() {
            self.linger_until = Some(self.linger(now));
            return self.poll(now);
        }
        Action::Wait(self.wake_at(next))
    }

    /// Notes what became of the probe that [`poll`](Self::poll) asked for; `now` is the moment just
    /// before it was handed over.
    pub fn sent(&mut self, now: Instant, outcome: Sent) {
        if outcome == Sent::Busy {
            let rtt8 = self.round_trips.ewma8();
            self.slowdown += if rtt8 < 8 * 50_000 { rtt8 / 8 } else { 50_000 };
            self.adapt();
            self.retry_at = Some(now + RETRY);
            return;
        }
        self.retry_at = None;
        self.counters.transmitted += 1;
        let sequence = self.counters.transmitted as u16;
        self.window.open(sequence, now);
        match outcome {
            Sent::Refused => {
                self.counters.errors += 1;
                self.window.settle(sequence);
            }
            Sent::Failed => {
                self.counters.failed += 1;
                self.window.settle(sequence);
            }
            Sent::Ok | Sent::Busy => {}
        }
        // The distance to what was last acknowledged must stay within half the number space.
        if sequence.wrapping_sub(self.acked) > 0x7fff {
            self.acked = sequence.wrapping_add(1);
        }
        self.last_sent = now;
        if self.burst > 0 {
            self.burst -= 1;
        } else if self.pacing.adaptive || now.saturating_since(self.due) > MAX_CATCH_UP {
            self.due = now + self.interval;
        } else {
            self.due += self.interval;
        }
    }

    /// Counts an answer that arrived at `at`.
    pub fn received(&mut self, at: Instant, sequence: u16) -> Answer {
        self.acknowledge(sequence);
        let rtt = self.window.sent_at(sequence).map(|sent| at.saturating_since(sent));
        if let Some(rtt) = rtt {
            self.round_trips.record(rtt);
            self.adapt();
        }
        let duplicate = self.window.receive(sequence);
        if duplicate {
            self.counters.duplicates += 1;
        } else {
            self.counters.received += 1;
        }
        Answer { rtt, duplicate }
    }

    /// Counts an ICMP error about a probe.
    pub fn refused(&mut self, sequence: u16) {
        self.acknowledge(sequence);
        self.window.settle(sequence);
        self.counters.errors += 1;
    }

    /// Ends the run at the next [`poll`](Self::poll) (Ctrl-C).
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The round trips so far.
    pub fn round_trips(&self) -> &RoundTrips {
        &self.round_trips
    }

    /// The most probes that were ever on their way at once (iputils `pipe`).
    pub fn pipe(&self) -> u32 {
        self.pipe
    }

    /// From the start to the last probe.
    pub fn elapsed(&self) -> Duration {
        self.last_sent.saturating_since(self.start)
    }

    /// Whether the pace followed the answers, so that a mean gap is worth showing.
    pub fn is_self_paced(&self) -> bool {
        self.interval.is_zero() || self.pacing.adaptive
    }

    /// Whether as many answers came as were asked for: any with no deadline, all of `count` with
    /// one (iputils' exit status 0).
    pub fn is_success(&self) -> bool {
        let wanted = match (self.pacing.deadline, self.pacing.count) {
            (Some(_), Some(count)) => count,
            _ => 1,
        };
        self.counters.received >= wanted.max(1)
    }

    fn is_over(&self, now: Instant) -> bool {
        let Counters { received, errors, failed, .. } = self.counters;
        let deadline = self.pacing.deadline.map(|after| self.start + after);
        self.stopped
            || self.pacing.count.is_some_and(|count| received + errors + failed >= count)
            || deadline.is_some_and(|at| errors > 0 || at <= now)
            || matches!(self.linger_until, Some(Linger::Until(at)) if at <= now)
    }

    /// When the next probe is due; `None` when all are sent.
    fn next_send(&self, now: Instant) -> Option<Instant> {
        let all_sent = self.pacing.count.is_some_and(|count| self.counters.transmitted >= count);
        if all_sent && self.pacing.deadline.is_none() {
            return None;
        }
        if let Some(at) = self.retry_at {
            return Some(at);
        }
        if !self.interval.is_zero() || self.counters.transmitted == 0 {
            return Some(self.due);
        }
        if self.in_flight() < u64::from(self.pacing.preload) {
            return Some(now);
        }
        Some(self.last_sent + FLOOD_SILENCE)
    }

    /// How long to wait for answers once all is sent (iputils `__schedule_exit`).
    fn linger(&self, now: Instant) -> Linger {
        if self.counters.received > 0 {
            return Linger::Until(now + (self.round_trips.max() * 2).max(self.interval));
        }
        self.pacing.linger.map_or(Linger::Forever, |linger| Linger::Until(now + linger))
    }

    fn wake_at(&self, next_send: Option<Instant>) -> Option<Instant> {
        let linger = match self.linger_until {
            Some(Linger::Until(at)) => Some(at),
            _ => None,
        };
        let deadline = self.pacing.deadline.map(|after| self.start + after);
        [next_send, linger, deadline, self.timeout_at()].into_iter().flatten().min()
    }

    /// The oldest open probe whose time is up, marked as told.
    fn next_timeout(&mut self, now: Instant) -> Option<u16> {
        if !self.pacing.timeouts {
            return None;
        }
        self.skip_settled();
        if self.oldest > self.counters.transmitted {
            return None;
        }
        // A slot about to be used again must be told of now or never.
        let slot_reused = self.counters.transmitted - self.oldest >= u64::from(u16::MAX);
        let up = now == Instant::FAR_FUTURE || self.timeout_at().is_some_and(|at| at <= now);
        (up || slot_reused).then(|| {
            let sequence = self.oldest as u16;
            self.window.settle(sequence);
            sequence
        })
    }

    fn skip_settled(&mut self) {
        while self.oldest <= self.counters.transmitted && self.window.is_settled(self.oldest as u16)
        {
            self.oldest += 1;
        }
    }

    fn timeout_at(&self) -> Option<Instant> {
        if !self.pacing.timeouts || self.oldest > self.counters.transmitted {
            return None;
        }
        let sent = self.window.sent_at(self.oldest as u16)?;
        self.pacing.linger.map(|linger| sent + linger)
    }

    fn in_flight(&self) -> u64 {
        let distance = (self.counters.transmitted as u16).wrapping_sub(self.acked);
        if distance <= 0x7fff {
            return u64::from(distance);
        }
        let Counters { transmitted, received, errors, .. } = self.counters;
        transmitted.saturating_sub(received + errors)
    }

    fn acknowledge(&mut self, sequence: u16) {
        let transmitted = self.counters.transmitted as u16;
        let behind = transmitted.wrapping_sub(sequence);
        if behind > 0x7fff {
            return;
        }
        self.pipe = self.pipe.max(u32::from(behind) + 1);
        let newer = sequence.wrapping_sub(self.acked) as i16 > 0;
        if newer || transmitted.wrapping_sub(self.acked) > 0x7fff {
            self.acked = sequence;
        }
    }

    /// Lets the interval follow the round trips, in whole milliseconds: below half of one it is
    /// zero and answers set the pace (iputils `update_interval`).
    fn adapt(&mut self) {
        if !self.pacing.adaptive {
            return;
        }
        let rtt8 = self.round_trips.ewma8();
        let estimate = if rtt8 > 0 { rtt8 / 8 } else { micros(self.interval) };
        self.interval = Duration::from_millis((estimate + self.slowdown + 500) / 1_000);
        self.due = self.last_sent + self.interval;
    }
}

#[cfg(test)]
mod tests;
