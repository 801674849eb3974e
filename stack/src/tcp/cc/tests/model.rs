//! A bottleneck and senders that keep it busy, packet by packet in virtual time.
//!
//! Every transmission has a number of its own and is acknowledged by itself after it passed the
//! queue and the path; three later ones acknowledged mean that it is lost. So loss recovery is
//! perfect here, and what remains is the congestion control's doing.

use std::collections::{BTreeMap, BinaryHeap};
use std::vec::Vec;

use core::cmp::Reverse;

use crate::tcp::cc::*;
use crate::tcp::rate::{DeliveryRate, SegmentStamp};
use crate::tcp::rtt::RttEstimator;

/// Payload of every packet.
pub const MSS: u32 = 1000;

/// What all flows share.
pub struct Bottleneck {
    /// Packets per second.
    pub rate: u64,
    /// Packets that may wait.
    pub queue: usize,
    /// Round trip without waiting.
    pub rtt: Duration,
    /// A policer before the queue: packets per second, and how many it lets pass at once.
    pub policer: Option<(u64, u64)>,
}

struct Sent {
    at: Instant,
    stamp: SegmentStamp,
    prior_in_flight: u32,
}

/// One sender with data without end.
pub struct Flow {
    pub cc: Congestion,
    pub state: CongestionState,
    pub rtt: RttEstimator,
    pub rate: DeliveryRate,
    pub lost: u64,
    pub timeouts: u32,
    /// Most packets that the application keeps in flight.
    pub app_limit: u32,
    starts: Instant,
    outstanding: BTreeMap<u64, Sent>,
    next: u64,
    high: u64,
    next_departure: Instant,
    last_sent: Instant,
    last_ack: Instant,
    wake_at: Instant,
}

impl Flow {
    pub fn new(cc: Congestion, starts: Instant) -> Self {
        let mut flow = Flow {
            cc,
            state: CongestionState::new(starts),
            rtt: RttEstimator::new(),
            rate: DeliveryRate::new(starts),
            lost: 0,
            timeouts: 0,
            app_limit: u32::MAX,
            starts,
            outstanding: BTreeMap::new(),
            next: 1,
            high: 0,
            next_departure: Instant::ZERO,
            last_sent: starts,
            last_ack: starts,
            wake_at: Instant::FAR_FUTURE,
        };
        let ctx = flow.ctx(starts);
        flow.cc.init(&mut flow.state, &ctx);
        flow
    }

    pub fn bbr(&self) -> &Bbr {
        match &self.cc {
            Congestion::Bbr(bbr) => bbr,
            other => panic!("{other:?}"),
        }
    }

    fn una(&self) -> u64 {
        self.outstanding.keys().next().copied().unwrap_or(self.next)
    }

    pub fn ctx(&self, now: Instant) -> CcContext {
        CcContext {
            now,
            mss: MSS,
            snd_una: SeqNumber(self.una() as u32),
            snd_nxt: SeqNumber(self.next as u32),
            packets_in_flight: self.outstanding.len() as u32,
            packets_out: self.outstanding.len() as u32,
            delivered: self.rate.delivered(),
            delivered_at: self.rate.delivered_at(),
            lost: self.lost,
            app_limited: self.rate.app_limited(),
            srtt: self.rtt.srtt(),
            min_rtt: self.rtt.min_rtt(),
            last_sent_at: self.last_sent,
            next_departure: self.next_departure,
        }
    }

    fn set_ca(&mut self, now: Instant, new: CaState) {
        let ctx = self.ctx(now);
        self.state.set_ca_state(&mut self.cc, &ctx, new);
    }

    fn on_ack(&mut self, now: Instant, number: u64) {
        let Some(sent) = self.outstanding.remove(&number) else {
            return;
        };
        self.last_ack = now;
        let seq = |n: u64| SeqNumber(n as u32);
        self.rtt.sample(now, now - sent.at, seq(self.una()), seq(self.next));
        let mut rs = RateSample {
            rtt: Some(now - sent.at),
            prior_in_flight: self.outstanding.len() as u32 + 1,
            ..RateSample::default()
        };
        self.rate.on_delivered(&sent.stamp, sent.at, false, seq(number), &mut rs);
        self.rate.count_delivered(1);
        let later = self.outstanding.split_off(&number.saturating_sub(3));
        let losses = std::mem::replace(&mut self.outstanding, later).len() as u32;
        self.lost += u64::from(losses);
        self.rate.generate(now, 1, losses, false, self.rtt.min_rtt(), &mut rs);
        if losses > 0 && self.state.ca_state == CaState::Open {
            self.reduce(now);
            self.set_ca(now, CaState::Recovery);
            if !self.cc.has_cong_control() {
                self.state.cwnd = self.state.ssthresh;
            }
        } else if self.state.ca_state != CaState::Open && self.una() >= self.high {
            self.set_ca(now, CaState::Open);
        }
        let ctx = self.ctx(now);
        let sample = AckSample { pkts_acked: 1, rtt: rs.rtt, in_flight: sent.prior_in_flight };
        self.cc.pkts_acked(&mut self.state, &ctx, &sample);
        if !self.cc.cong_control(&mut self.state, &ctx, &rs, false) {
            if self.state.ca_state != CaState::Recovery {
                self.cc.cong_avoid(&mut self.state, &ctx, 1);
            }
            window::update_pacing_rate(&mut self.state, &ctx, PacingRatios::default());
        }
        if core::mem::take(&mut self.state.mark_app_limited) {
            self.rate.set_app_limited(self.outstanding.len() as u32);
        }
    }

    fn reduce(&mut self, now: Instant) {
        let ctx = self.ctx(now);
        self.state.prior_cwnd = self.state.cwnd;
        self.state.ssthresh = self.cc.ssthresh(&self.state, &ctx);
        self.high = self.next;
    }

    fn on_timeout(&mut self, now: Instant) {
        if self.outstanding.is_empty() || now - self.last_ack < self.rtt.rto() {
            return;
        }
        self.timeouts += 1;
        self.lost += self.outstanding.len() as u64;
        self.outstanding.clear();
        self.reduce(now);
        self.state.cwnd = 1;
        self.set_ca(now, CaState::Loss);
        self.last_ack = now;
    }

    /// What may be sent now; `None`: nothing.
    fn send(&mut self, now: Instant) -> Option<u64> {
        let in_flight = self.outstanding.len() as u32;
        let held_back = in_flight >= self.state.cwnd;
        let policy = IdlePolicy {
            slow_start_after_idle: true,
            initial_cwnd: TCP_INIT_CWND,
            rto: self.rtt.rto(),
        };
        if held_back || in_flight >= self.app_limit {
            let (rate, cwnd) = (&mut self.rate, self.state.cwnd);
            rate.check_app_limited(0, MSS, in_flight, cwnd, 0, 0);
            let ctx = self.ctx(now);
            window::cwnd_validate(&mut self.state, &self.cc, &ctx, &policy, held_back, false);
            return None;
        }
        if self.state.pacing_needed && now < self.next_departure {
            return None;
        }
        let ctx = self.ctx(now);
        if in_flight == 0 {
            self.cc.cwnd_event(&mut self.state, &ctx, CwndEvent::TxStart);
        }
        let stamp = self.rate.on_sent(now, in_flight);
        let number = self.next;
        self.next += 1;
        self.outstanding.insert(number, Sent { at: now, stamp, prior_in_flight: in_flight });
        self.last_sent = now;
        if self.state.pacing_needed {
            let nanos = u64::from(MSS) * 1_000_000_000 / self.state.pacing_rate.max(1);
            self.next_departure = self.next_departure.max(now) + Duration::from_nanos(nanos);
        }
        Some(number)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ack { flow: usize, number: u64 },
    Wake { flow: usize },
    Tick,
}

pub struct Model {
    pub now: Instant,
    pub flows: Vec<Flow>,
    pub bottleneck: Bottleneck,
    /// When the queue will be empty.
    busy_until: Instant,
    tokens: f64,
    tokens_at: Instant,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    order: u64,
}

impl Model {
    pub fn new(bottleneck: Bottleneck, flows: Vec<Flow>) -> Self {
        let tokens = bottleneck.policer.map_or(0.0, |(_, burst)| burst as f64);
        let mut model = Model {
            now: Instant::ZERO,
            flows,
            bottleneck,
            busy_until: Instant::ZERO,
            tokens,
            tokens_at: Instant::ZERO,
            events: BinaryHeap::new(),
            order: 0,
        };
        for flow in 0..model.flows.len() {
            model.at(model.flows[flow].starts, Event::Wake { flow });
        }
        model.at(Instant::ZERO, Event::Tick);
        model
    }

    fn at(&mut self, when: Instant, event: Event) {
        self.order += 1;
        self.events.push(Reverse((when, self.order, event)));
    }

    fn service(&self) -> Duration {
        Duration::from_nanos(1_000_000_000 / self.bottleneck.rate)
    }

    /// Runs until `end`.
    pub fn run(&mut self, end: Instant) {
        while let Some(Reverse((when, _, event))) = self.events.peek().copied() {
            if when > end {
                break;
            }
            self.events.pop();
            self.now = when;
            let flow = match event {
                Event::Ack { flow, number } => {
                    self.flows[flow].on_ack(when, number);
                    flow
                }
                Event::Wake { flow } => {
                    self.flows[flow].wake_at = Instant::FAR_FUTURE;
                    flow
                }
                Event::Tick => {
                    for flow in 0..self.flows.len() {
                        self.flows[flow].on_timeout(when);
                        self.transmit(flow);
                    }
                    self.at(when + Duration::from_millis(10), Event::Tick);
                    continue;
                }
            };
            self.transmit(flow);
        }
        self.now = end;
    }

    /// Packets of each flow delivered between now and `end`.
    pub fn delivered(&mut self, end: Instant) -> Vec<u64> {
        let count = |model: &Model| -> Vec<_> {
            model.flows.iter().map(|flow| flow.rate.delivered()).collect()
        };
        let before = count(self);
        self.run(end);
        count(self).iter().zip(before).map(|(after, before)| after - before).collect()
    }

    fn transmit(&mut self, flow: usize) {
        if self.now < self.flows[flow].starts {
            return;
        }
        while let Some(number) = self.flows[flow].send(self.now) {
            if let Some(when) = self.enqueue() {
                self.at(when, Event::Ack { flow, number });
            }
        }
        let sender = &mut self.flows[flow];
        if sender.state.pacing_needed
            && sender.next_departure > self.now
            && sender.next_departure < sender.wake_at
        {
            sender.wake_at = sender.next_departure;
            let when = sender.next_departure;
            self.at(when, Event::Wake { flow });
        }
    }

    /// When the acknowledgment of a packet sent now comes; `None`: it is lost.
    fn enqueue(&mut self) -> Option<Instant> {
        if let Some((rate, burst)) = self.bottleneck.policer {
            let elapsed = (self.now - self.tokens_at).as_secs_f64();
            self.tokens = (self.tokens + elapsed * rate as f64).min(burst as f64);
            self.tokens_at = self.now;
            if self.tokens < 1.0 {
                return None;
            }
            self.tokens -= 1.0;
        }
        let waiting = (self.busy_until - self.now).as_nanos() / self.service().as_nanos();
        if waiting > self.bottleneck.queue as u128 {
            return None;
        }
        self.busy_until = self.busy_until.max(self.now) + self.service();
        Some(self.busy_until + self.bottleneck.rtt)
    }
}

/// Jain's fairness index: 1 when all have the same.
pub fn jain(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|x| *x as f64).sum();
    let squares: f64 = shares.iter().map(|x| (*x as f64).powi(2)).sum();
    sum * sum / (shares.len() as f64 * squares)
}
