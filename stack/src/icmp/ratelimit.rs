//! Limits on the ICMP messages that others can make us send (RFC 1812 §4.3.2.8, Linux
//! `net/ipv4/icmp.c`).
//!
//! Two limits apply to the types in a mask: a bucket of tokens for all messages together, and one
//! for each destination. What is spent from the common bucket is chosen at random, one token a
//! message on average, so that its level tells an outsider nothing about what others make us send
//! (CVE-2020-25705).
//!
//! Buckets of destinations live in a table of fixed size, in which those seen longest ago make
//! room.

use core::net::Ipv4Addr;

use super::MAX_TYPE;
use crate::recent::RecentTable;
use crate::rng::{KeyedHash, Rng};
use crate::time::{Duration, Instant};
use crate::wire::icmpv4::{Unreachable, types};

#[cfg(test)]
mod tests;

/// How many messages in a row a destination may get after silence (Linux `XRLIM_BURST_FACTOR`).
const HOST_BURST: u32 = 6;
/// The common bucket is refilled no more often than this.
const REFILL_INTERVAL: Duration = Duration::from_millis(20);

/// Settings of a [`RateLimiter`]; the defaults are those of Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitConfig {
    /// Messages a second to all destinations (`net.ipv4.icmp_msgs_per_sec`).
    pub messages_per_second: u32,
    /// Messages in a row to all destinations (`net.ipv4.icmp_msgs_burst`).
    pub messages_burst: u32,
    /// One message to each destination in this time; zero does not limit them
    /// (`net.ipv4.icmp_ratelimit`).
    pub host_interval: Duration,
    /// Bit `1 << type` for each type that is limited (`net.ipv4.icmp_ratemask`).
    pub mask: u32,
    /// For how many destinations at once buckets are kept; rounded up to a power of two.
    pub hosts: usize,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        RateLimitConfig {
            messages_per_second: 1000,
            messages_burst: 50,
            host_interval: Duration::from_secs(1),
            // Destination unreachable, source quench, time exceeded, parameter problem.
            mask: 1 << 3 | 1 << 4 | 1 << 11 | 1 << 12,
            hosts: 1024,
        }
    }
}

/// The limit that forbids a message (Linux counts `IcmpOutRateLimitGlobal`,
/// `IcmpOutRateLimitHost`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// That on all messages.
    Global,
    /// That on messages to one destination.
    Host,
}

/// Decides whether an ICMP message may be sent.
#[derive(Debug)]
pub struct RateLimiter {
    config: RateLimitConfig,
    credit: u32,
    refilled: Instant,
    rng: Rng,
    /// The bucket of each destination: time saved up, of which a message costs the interval.
    hosts: RecentTable<Duration>,
}

impl RateLimiter {
    /// A limiter with full buckets; what it keeps secret comes from `rng`.
    pub fn new(config: RateLimitConfig, rng: &mut Rng) -> Self {
        RateLimiter {
            config,
            credit: config.messages_burst,
            refilled: Instant::ZERO,
            hosts: RecentTable::new(config.hosts, KeyedHash::new(rng.key())),
            rng: Rng::new(rng.next_u64()),
        }
    }

    /// Whether a message of this type and code may go to `destination` now; it then counts as
    /// sent. Linux does not limit messages per host that leave by the loopback link: do not ask
    /// for those.
    ///
    /// # Errors
    /// The limit that was reached. A message that one limit forbids costs the other nothing (as in
    /// recent Linux).
    pub fn allow(
        &mut self,
        now: Instant,
        destination: Ipv4Addr,
        icmp_type: u8,
        code: u8,
    ) -> Result<(), Limited> {
        if self.is_exempt(icmp_type, code) {
            return Ok(());
        }
        self.refill(now);
        if self.credit == 0 {
            return Err(Limited::Global);
        }
        if !self.host_allows(now, destination) {
            return Err(Limited::Host);
        }
        let spent = self.rng.below(3) as u32;
        self.credit = self.credit.saturating_sub(spent);
        Ok(())
    }

    /// Linux `icmpv4_mask_allow`: path MTU discovery is never limited.
    fn is_exempt(&self, icmp_type: u8, code: u8) -> bool {
        let fragmentation_needed = Unreachable::FragmentationNeeded { mtu: 0 }.code();
        // Linux limits no types above NR_ICMP_TYPES.
        icmp_type > MAX_TYPE
            || (icmp_type, code) == (types::DESTINATION_UNREACHABLE, fragmentation_needed)
            || self.config.mask & 1 << icmp_type == 0
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_since(self.refilled).min(Duration::from_secs(1));
        if passed < REFILL_INTERVAL {
            return;
        }
        let nanos = u128::from(self.config.messages_per_second) * passed.as_nanos();
        // At most a second's worth, which is a u32.
        let credit = (nanos / 1_000_000_000) as u32;
        if credit > 0 {
            self.credit = self.credit.saturating_add(credit).min(self.config.messages_burst);
            self.refilled = now;
        }
    }

    /// Linux `inet_peer_xrlim_allow`.
    fn host_allows(&mut self, now: Instant, destination: Ipv4Addr) -> bool {
        let interval = self.config.host_interval;
        let full = interval.saturating_mul(HOST_BURST);
        let host = self.hosts.entry(now, destination, full);
        let saved = host.value.saturating_add(now.saturating_since(host.updated)).min(full);
        host.updated = now;
        let left = saved.checked_sub(interval);
        host.value = left.unwrap_or(saved);
        left.is_some()
    }
}
