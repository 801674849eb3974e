//! Round-trip time and retransmission timeout (RFC 6298, as Linux's `tcp_rtt_estimator`).
//!
//! Inside, times are `u32` microseconds, `srtt` scaled by 8 and the deviations by 4 so that the
//! filters of RFC 6298 are shifts. Two refinements over it come from Linux: the deviation used for
//! the timeout is the largest of a round trip and decays once per round trip, so that a window of
//! many samples does not wear it out at once; and when round trips become shorter the deviation
//! grows only an eighth as fast, for that is no reason to wait longer.

use crate::time::{Duration, Instant};
use crate::wire::SeqNumber;
use minmax::{Min, MinMax};

pub mod minmax;

/// Timeout before the first measurement (RFC 6298 (2.1), Linux `TCP_TIMEOUT_INIT`).
pub const RTO_INITIAL: Duration = Duration::from_secs(1);
/// Linux `TCP_RTO_MIN`: what the variance term is at least.
pub const RTO_MIN: Duration = Duration::from_millis(200);
/// Linux `TCP_RTO_MAX`: what no timeout exceeds, backed off or not.
pub const RTO_MAX: Duration = Duration::from_secs(120);
/// `tcp_min_rtt_wlen`: over how long the smallest round trip is remembered.
pub const MIN_RTT_WINDOW: Duration = Duration::from_secs(300);

/// Longest measurement believed, in microseconds; eight times it fits 31 bits.
const RTT_LIMIT: u32 = (1 << 28) - 1;

/// What is known of a connection's round-trip time.
#[derive(Debug, Clone)]
pub struct RttEstimator {
    /// Smoothed round-trip time, times 8; 0 before the first sample.
    srtt: u32,
    /// Mean deviation, times 4.
    mdev: u32,
    /// Largest `mdev` of the round trip being measured; at least `rto_min`.
    mdev_max: u32,
    /// The variance term of the timeout: `mdev_max`, decayed once per round trip.
    rttvar: u32,
    /// When `snd_una` passes this, a round trip is over.
    rtt_seq: SeqNumber,
    rto: u32,
    rto_min: u32,
    rto_max: u32,
    /// Smallest round trip; its clock counts milliseconds.
    min_rtt: MinMax<Min>,
    /// Milliseconds that `min_rtt` remembers.
    min_rtt_window: u32,
}

impl Default for RttEstimator {
    fn default() -> Self {
        Self::new()
    }
}

impl RttEstimator {
    /// An estimator that has measured nothing, with Linux's bounds.
    pub fn new() -> Self {
        RttEstimator {
            srtt: 0,
            mdev: micros(RTO_INITIAL),
            mdev_max: 0,
            rttvar: 0,
            rtt_seq: SeqNumber::default(),
            rto: micros(RTO_INITIAL),
            rto_min: micros(RTO_MIN),
            rto_max: micros(RTO_MAX),
            min_rtt: MinMax::new(0, u32::MAX),
            min_rtt_window: millis(MIN_RTT_WINDOW),
        }
    }

    /// Takes in a measured round trip. The caller obeys Karn's algorithm (RFC 6298 §3): no sample
    /// from a retransmitted segment unless timestamps tell which transmission was acknowledged.
    pub fn sample(&mut self, now: Instant, rtt: Duration, snd_una: SeqNumber, snd_nxt: SeqNumber) {
        // A round trip of no time at all would read as "nothing measured".
        let rtt = micros(rtt).clamp(1, RTT_LIMIT);
        self.update_min_rtt(now, rtt);
        if self.srtt == 0 {
            self.first_sample(rtt, snd_nxt);
        } else {
            self.next_sample(rtt, snd_una, snd_nxt);
        }
        self.set_rto();
    }

    /// Takes a measured round trip into the smallest one, and nothing else.
    pub fn observe(&mut self, now: Instant, rtt: Duration) {
        self.update_min_rtt(now, micros(rtt).clamp(1, RTT_LIMIT));
    }

    /// Smoothed round-trip time; `None` before the first sample.
    pub fn srtt(&self) -> Option<Duration> {
        (self.srtt != 0).then(|| from_micros(self.srtt >> 3))
    }

    /// The variance term of the timeout, four deviations wide (what `K * RTTVAR` is in RFC 6298).
    pub fn rttvar(&self) -> Duration {
        from_micros(self.rttvar)
    }

    /// Mean deviation of the round-trip time.
    pub fn mdev(&self) -> Duration {
        from_micros(self.mdev >> 2)
    }

    /// Retransmission timeout, not backed off.
    pub fn rto(&self) -> Duration {
        from_micros(self.rto)
    }

    /// The timeout after `backoff` expiries: doubled each time, up to the maximum (RFC 6298 (5.5)).
    pub fn backed_off(&self, backoff: u32) -> Duration {
        let rto = u64::from(self.rto) << backoff.min(31);
        Duration::from_micros(rto.min(u64::from(self.rto_max)))
    }

    /// Smallest round trip of the window; `None` before the first sample.
    pub fn min_rtt(&self) -> Option<Duration> {
        let min = self.min_rtt.get();
        (min != u32::MAX).then(|| from_micros(min))
    }

    /// Remembers the smallest round trip for `window` (`tcp_min_rtt_wlen`).
    pub fn set_min_rtt_window(&mut self, window: Duration) {
        self.min_rtt_window = millis(window);
    }

    /// Least variance term.
    pub fn rto_min(&self) -> Duration {
        from_micros(self.rto_min)
    }

    /// Sets the least variance term (`TCP_RTO_MIN_US`, `rto_min` of a route).
    pub fn set_rto_min(&mut self, rto_min: Duration) {
        self.rto_min = micros(rto_min).max(1);
    }

    /// Largest timeout.
    pub fn rto_max(&self) -> Duration {
        from_micros(self.rto_max)
    }

    /// Sets the largest timeout (`TCP_RTO_MAX_MS`).
    pub fn set_rto_max(&mut self, rto_max: Duration) {
        self.rto_max = micros(rto_max).clamp(1, RTT_LIMIT);
        self.rto = self.rto.min(self.rto_max);
    }

    /// Sets the timeout used until a round trip is measured: 1 s, or 3 s once the SYN timed out
    /// (RFC 6298 (5.7)). After the first sample it does nothing.
    pub fn set_initial_rto(&mut self, rto: Duration) {
        if self.srtt == 0 {
            self.rto = micros(rto).clamp(1, self.rto_max);
        }
    }

    /// Forgets what the current path had (after it changed, RFC 6298 (5.7)): the next sample is a
    /// first one. The timeout stays until then.
    pub fn forget(&mut self) {
        self.srtt = 0;
    }

    /// RFC 6298 (2.2).
    fn first_sample(&mut self, rtt: u32, snd_nxt: SeqNumber) {
        self.srtt = rtt << 3;
        self.mdev = rtt << 1;
        self.rttvar = self.mdev.max(self.rto_min);
        self.mdev_max = self.rttvar;
        self.rtt_seq = snd_nxt;
    }

    /// RFC 6298 (2.3), alpha 1/8 and beta 1/4.
    fn next_sample(&mut self, rtt: u32, snd_una: SeqNumber, snd_nxt: SeqNumber) {
        let error = rtt as i32 - (self.srtt >> 3) as i32;
        self.srtt = self.srtt.saturating_add_signed(error).max(1);
        let mut change = error.abs() - (self.mdev >> 2) as i32;
        if error < 0 && change > 0 {
            change >>= 3;
        }
        self.mdev = self.mdev.saturating_add_signed(change);
        if self.mdev > self.mdev_max {
            self.mdev_max = self.mdev;
            self.rttvar = self.rttvar.max(self.mdev_max);
        }
        if snd_una.gt(self.rtt_seq) {
            if self.mdev_max < self.rttvar {
                self.rttvar -= (self.rttvar - self.mdev_max) >> 2;
            }
            self.rtt_seq = snd_nxt;
            self.mdev_max = self.rto_min;
        }
    }

    /// RFC 6298 (2.3)–(2.5): the minimum is inside the variance term, as in Linux's
    /// `__tcp_set_rto`, so the timeout always exceeds the round trip by it.
    fn set_rto(&mut self) {
        self.rto = (self.srtt >> 3).saturating_add(self.rttvar).min(self.rto_max);
    }

    fn update_min_rtt(&mut self, now: Instant, rtt: u32) {
        let at = now.as_millis() as u32;
        if self.min_rtt.get() == u32::MAX {
            self.min_rtt.reset(at, rtt);
        } else {
            self.min_rtt.update(self.min_rtt_window, at, rtt);
        }
    }
}

fn micros(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX)
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

fn from_micros(micros: u32) -> Duration {
    Duration::from_micros(u64::from(micros))
}

#[cfg(test)]
mod tests;
