//! What to send and what to make of answers, as iputils' `arping` does. Time is an argument.

use std::net::Ipv4Addr;
use std::time::Duration;

use tapping_stack::time::Instant;
use tapping_stack::wire::{Arp, ArpOperation, MacAddr};

/// What the run is to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whom to ask for, or whose address to announce.
    pub target: Ipv4Addr,
    /// The sender address; unspecified in a probe (RFC 5227).
    pub source: Ipv4Addr,
    /// Our link-layer address.
    pub mac: MacAddr,
    /// Requests to send, and with a deadline answers to wait for (`-c`).
    pub count: Option<u64>,
    /// Between requests (`-i`).
    pub interval: Duration,
    /// How long to run at most (`-w`).
    pub deadline: Option<Duration>,
    /// Never turn to unicast (`-b`).
    pub broadcast_only: bool,
    /// Stop at the first answer (`-f`).
    pub first_only: bool,
    /// What the run is for.
    pub mode: Mode,
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Ask who has the target address.
    Ask,
    /// See whether anybody else has it (`-D`).
    Detect,
    /// Announce it as ours by requests (`-U`).
    AnnounceByRequest,
    /// Announce it as ours by replies (`-A`).
    AnnounceByReply,
}

/// What the caller is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send this to that link-layer address, then call [`Engine::sent`].
    Send(MacAddr, Arp),
    /// Wait until then, or until something arrives.
    Wait(Instant),
    /// The run is over.
    Finish,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// It came to us alone, not to everybody.
    pub unicast: bool,
    /// It is a reply, not a request.
    pub reply: bool,
    /// Who sent it.
    pub mac: MacAddr,
    /// The protocol address it is for, when that is not our source.
    pub for_ip: Option<Ipv4Addr>,
    /// The link-layer address it is for, when that is not ours.
    pub for_mac: Option<MacAddr>,
    /// Since the last request.
    pub rtt: Duration,
}

/// The counters of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests sent.
    pub sent: u64,
    /// Of them, to everybody.
    pub sent_broadcast: u64,
    /// Answers.
    pub received: u64,
    /// Of them, to everybody.
    pub received_broadcast: u64,
    /// Of them, requests.
    pub received_requests: u64,
}

/// One run.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    start: Instant,
    due: Instant,
    last_sent: Instant,
    /// Whom requests go to: everybody until somebody answered.
    to: MacAddr,
    counters: Counters,
    stopped: bool,
}

impl Engine {
    /// A run that begins at `start`.
    pub fn new(config: Config, start: Instant) -> Self {
        Engine {
            config,
            start,
            due: start,
            last_sent: start,
            to: MacAddr::BROADCAST,
            counters: Counters::default(),
            stopped: false,
        }
    }

    /// What to do now.
    pub fn poll(&mut self, now: Instant) -> Action {
        let all_sent = self.config.count.is_some_and(|count| self.counters.sent >= count);
        let announced = all_sent && self.is_announcement();
        // After the last request there is one more interval for its answer.
        let waited = all_sent && self.due <= now;
        let deadline = self.config.deadline.map(|after| self.start + after);
        // As in iputils, a request that is due at the deadline itself is still sent.
        let over = deadline.is_some_and(|at| {
            let all_due_sent = self.counters.sent > 0 && self.last_sent >= at;
            at <= now && (self.due > at || all_due_sent)
        });
        if self.stopped || announced || waited || over {
            return Action::Finish;
        }
        if self.due > now {
            return Action::Wait(deadline.map_or(self.due, |at| at.min(self.due)));
        }
        Action::Send(self.to, self.message())
    }

    /// Notes that the message was sent at `now`.
    pub fn sent(&mut self, now: Instant) {
        self.counters.sent += 1;
        if self.to.is_broadcast() {
            self.counters.sent_broadcast += 1;
        }
        self.last_sent = now;
        // The schedule is absolute, but it never bursts to catch up.
        self.due = (self.due + self.config.interval).max(now);
    }

    /// Counts a message that arrived in a frame for `frame_dst`, if it is an answer.
    pub fn received(&mut self, now: Instant, frame_dst: MacAddr, arp: &Arp) -> Option<Answer> {
        let reply = match arp.operation {
            ArpOperation::Reply => true,
            ArpOperation::Request => false,
            ArpOperation::Other(_) => return None,
        };
        if self.counters.sent == 0 || !self.is_answer(arp) {
            return None;
        }
        let unicast = !frame_dst.is_multicast();
        self.counters.received += 1;
        self.counters.received_broadcast += u64::from(!unicast);
        self.counters.received_requests += u64::from(!reply);
        let enough = self.config.count.is_some_and(|count| {
            let answered = self.counters.received >= count;
            answered && (self.config.deadline.is_some() || self.counters.sent >= count)
        });
        if enough || self.config.first_only || self.config.mode == Mode::Detect {
            self.stopped = true;
        } else if !self.config.broadcast_only {
            self.to = arp.sender_mac;
        }
        Some(Answer {
            unicast,
            reply,
            mac: arp.sender_mac,
            for_ip: (arp.target_ip != self.config.source).then_some(arp.target_ip),
            for_mac: (arp.target_mac != self.config.mac).then_some(arp.target_mac),
            rtt: now.saturating_since(self.last_sent),
        })
    }

    /// Ends the run at the next [`poll`](Self::poll) (Ctrl-C).
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// iputils' exit status: 0 for an answer, or for none in duplicate detection; announcing always
    /// succeeds; with a deadline and a count all answers are wanted.
    pub fn exit_status(&self) -> u8 {
        let received = self.counters.received;
        let good = match self.config.mode {
            Mode::Detect => received == 0,
            Mode::AnnounceByRequest | Mode::AnnounceByReply => true,
            Mode::Ask => match (self.config.deadline, self.config.count) {
                (Some(_), Some(count)) if !self.config.first_only => received >= count,
                _ => received > 0,
            },
        };
        u8::from(!good)
    }

    fn is_announcement(&self) -> bool {
        matches!(self.config.mode, Mode::AnnounceByRequest | Mode::AnnounceByReply)
    }

    fn message(&self) -> Arp {
        let Config { target, source, mac, mode, .. } = self.config;
        let (operation, target_mac) = match mode {
            Mode::AnnounceByReply => (ArpOperation::Reply, mac),
            // RFC 5227 §2.1.1: the unknown target is all zeros.
            _ if self.to.is_broadcast() => (ArpOperation::Request, MacAddr::ZERO),
            _ => (ArpOperation::Request, self.to),
        };
        Arp { operation, sender_mac: mac, sender_ip: source, target_mac, target_ip: target }
    }

    fn is_answer(&self, arp: &Arp) -> bool {
        let Config { target, source, mac, mode, .. } = self.config;
        if arp.sender_ip != target {
            return false;
        }
        match mode {
            // Anybody else who claims the address, in answer to the probe or not.
            Mode::Detect => {
                arp.sender_mac != mac && (source.is_unspecified() || arp.target_ip == source)
            }
            _ => arp.target_ip == source && arp.target_mac == mac,
        }
    }
}

#[cfg(test)]
mod tests;
