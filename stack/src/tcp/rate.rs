//! How fast the network delivers (draft-cheng-iccrg-delivery-rate-estimation, as Linux's
//! `tcp_rate.c`).
//!
//! Every transmission notes how much had been delivered by then. When its delivery is reported,
//! the difference over the time between is a sample of the delivery rate. The time is the longer
//! of what sending took and what acknowledging took, for acknowledgments that were held up and
//! come in a burst would else make the path look faster than it is.

use crate::time::{Duration, Instant};
use crate::wire::SeqNumber;

/// What a connection knows of its deliveries. It counts packets, so `delivered` also numbers them.
#[derive(Debug, Clone)]
pub struct DeliveryRate {
    /// Packets delivered so far, each counted once.
    delivered: u64,
    /// When `delivered` last grew, or when the flight began if nothing was outstanding then.
    delivered_at: Instant,
    /// When the first segment of the sampling interval was sent.
    first_sent_at: Instant,
    /// Samples are application-limited until `delivered` exceeds this; 0: they are not.
    app_limited: u64,
    /// The newest sample, kept for [`DeliveryRate::rate`].
    rate_delivered: u32,
    /// Microseconds in which `rate_delivered` packets were delivered; 0: no sample yet.
    rate_interval: u32,
    rate_app_limited: bool,
}

/// What a segment remembers about the moment it was last sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentStamp {
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    app_limited: bool,
}

/// What one acknowledgment tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateSample {
    /// `delivered` when the newest segment delivered by this ACK was sent.
    pub prior_delivered: u64,
    /// `delivered_at` of that moment; `None`: the ACK delivered nothing.
    pub prior_at: Option<Instant>,
    /// Packets delivered over the interval; -1: no sample.
    pub delivered: i64,
    /// How long delivering them took; `None`: no sample.
    pub interval: Option<Duration>,
    /// How long sending took.
    pub send_interval: Duration,
    /// How long acknowledging took.
    pub ack_interval: Duration,
    /// Round-trip time of this ACK; `None`: not measured.
    pub rtt: Option<Duration>,
    /// Packets newly marked lost on this ACK.
    pub losses: u32,
    /// Packets newly acknowledged or SACKed by this ACK.
    pub acked_sacked: u32,
    /// Packets in flight before this ACK.
    pub prior_in_flight: u32,
    /// Whether the sender had run out of data when the sampled segment was sent.
    pub is_app_limited: bool,
    /// Whether the sampled segment was a retransmission.
    pub is_retrans: bool,
    /// Whether the receiver probably delayed this ACK.
    pub is_ack_delayed: bool,
    /// End of the newest segment delivered.
    pub last_end_seq: SeqNumber,
}

impl DeliveryRate {
    /// Nothing sent, nothing delivered.
    pub fn new(now: Instant) -> Self {
        DeliveryRate {
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            app_limited: 0,
            rate_delivered: 0,
            rate_interval: 0,
            rate_app_limited: false,
        }
    }

    /// Packets delivered so far.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// When `delivered` last grew.
    pub fn delivered_at(&self) -> Instant {
        self.delivered_at
    }

    /// Up to which count of deliveries samples are application-limited; 0: they are not.
    pub fn app_limited(&self) -> u64 {
        self.app_limited
    }

    /// Counts `packets` acknowledged or SACKed for the first time (Linux `tcp_count_delivered`).
    pub fn count_delivered(&mut self, packets: u32) {
        self.delivered += u64::from(packets);
    }

    /// Stamps a segment that is about to be sent, or sent again (Linux `tcp_rate_skb_sent`).
    /// `packets_out` is how many were outstanding before it.
    pub fn on_sent(&mut self, now: Instant, packets_out: u32) -> SegmentStamp {
        // The pipe was empty: the interval starts here, without the idle time before.
        if packets_out == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        SegmentStamp {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            app_limited: self.app_limited != 0,
        }
    }

    /// Takes in a delivered segment (Linux `tcp_rate_skb_delivered`): call it once per segment, when
    /// it is SACKed, or acknowledged without having been. `sent_at` is its last transmission. The
    /// sample is that of the segment sent last among those that one ACK delivers.
    pub fn on_delivered(
        &mut self,
        stamp: &SegmentStamp,
        sent_at: Instant,
        retransmitted: bool,
        end_seq: SeqNumber,
        rs: &mut RateSample,
    ) {
        let newer = sent_at > self.first_sent_at
            || (sent_at == self.first_sent_at && end_seq.gt(rs.last_end_seq));
        if rs.prior_at.is_some() && !newer {
            return;
        }
        rs.prior_delivered = stamp.delivered;
        rs.prior_at = Some(stamp.delivered_at);
        rs.is_app_limited = stamp.app_limited;
        rs.is_retrans = retransmitted;
        rs.last_end_seq = end_seq;
        rs.send_interval = sent_at - stamp.first_sent_at;
        // The next interval starts where the newest delivered segment was sent.
        self.first_sent_at = sent_at;
    }

    /// Completes the sample of an ACK (Linux `tcp_rate_gen`), after all its segments went through
    /// [`DeliveryRate::on_delivered`] and [`DeliveryRate::count_delivered`]. `delivered` and `lost`
    /// are the packets newly delivered and newly marked lost.
    pub fn generate(
        &mut self,
        now: Instant,
        delivered: u32,
        lost: u32,
        sack_reneged: bool,
        min_rtt: Option<Duration>,
        rs: &mut RateSample,
    ) {
        if self.app_limited != 0 && self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        if delivered > 0 {
            self.delivered_at = now;
        }
        rs.acked_sacked = delivered;
        rs.losses = lost;
        rs.delivered = -1;
        rs.interval = None;
        // A peer that takes SACKs back makes deliveries look faster than they were.
        let Some(prior_at) = rs.prior_at.filter(|_| !sack_reneged) else {
            return;
        };
        rs.delivered = self.delivered.saturating_sub(rs.prior_delivered) as i64;
        rs.ack_interval = now - prior_at;
        let interval = rs.send_interval.max(rs.ack_interval);
        // Shorter than any round trip: spuriously marked lost and sent again, most likely.
        if interval.is_zero() || min_rtt.is_none_or(|min_rtt| interval < min_rtt) {
            return;
        }
        rs.interval = Some(interval);
        self.keep(rs, interval);
    }

    /// Notes that the sender has run out of data, if so (Linux `tcp_rate_check_app_limited`): less
    /// than a segment unsent, the window not full, no loss waiting for its retransmission.
    pub fn check_app_limited(
        &mut self,
        unsent: u32,
        mss: u32,
        packets_in_flight: u32,
        cwnd: u32,
        lost_out: u32,
        retrans_out: u32,
    ) {
        if unsent < mss && packets_in_flight < cwnd && lost_out <= retrans_out {
            self.set_app_limited(packets_in_flight);
        }
    }

    /// Marks what is in flight, and what is sent before it is delivered, as application-limited.
    pub fn set_app_limited(&mut self, packets_in_flight: u32) {
        self.app_limited = (self.delivered + u64::from(packets_in_flight)).max(1);
    }

    /// The newest delivery rate in bytes per second, or the highest application-limited one since
    /// (Linux `tcp_compute_delivery_rate`); 0 before the first sample.
    pub fn rate(&self, mss: u32) -> u64 {
        let bytes = u64::from(self.rate_delivered) * u64::from(mss);
        let rate = u128::from(bytes) * 1_000_000 / u128::from(self.rate_interval.max(1));
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// Whether [`DeliveryRate::rate`] was application-limited.
    pub fn rate_app_limited(&self) -> bool {
        self.rate_app_limited
    }

    fn keep(&mut self, rs: &RateSample, interval: Duration) {
        let delivered = u32::try_from(rs.delivered).unwrap_or(u32::MAX);
        let interval = u32::try_from(interval.as_micros()).unwrap_or(u32::MAX).max(1);
        let (old, new) = (u64::from(self.rate_delivered), u64::from(delivered));
        let faster = new * u64::from(self.rate_interval) >= old * u64::from(interval);
        // An application-limited sample says little about the path unless it is faster.
        if !rs.is_app_limited || faster {
            self.rate_delivered = delivered;
            self.rate_interval = interval;
            self.rate_app_limited = rs.is_app_limited;
        }
    }
}

#[cfg(test)]
mod tests;
