//! Limits on the ICMP messages that others can make us send (RFC 1812 §4.3.2.8, Linux
//! `net/ipv4/icmp.c`).
//!
//! Two limits apply to the types in a mask: a bucket of tokens for all messages together, and one
//! for each destination. What is spent from the common bucket is chosen at random, one token a
//! message on average, so that its level tells an outsider nothing about what others make us send
//! (CVE-2020-25705).
//!
//! Buckets of destinations live in a fixed table of small sets chosen by a keyed hash; a
//! destination not seen before takes the place of the one in its set that was seen longest ago.

use alloc::boxed::Box;
use core::hash::BuildHasher;
use core::net::Ipv4Addr;

use crate::rng::{KeyedHash, Rng};
use crate::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// How many messages in a row a destination may get after silence (Linux `XRLIM_BURST_FACTOR`).
const HOST_BURST: u32 = 6;
/// The common bucket is refilled no more often than this.
const REFILL_INTERVAL: Duration = Duration::from_millis(20);
/// Types above this are not limited (Linux `NR_ICMP_TYPES`).
const MAX_TYPE: u8 = 18;
const DESTINATION_UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
/// Destinations in a set.
const WAYS: usize = 4;

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
    hash: KeyedHash,
    sets: Box<[[Option<Host>; WAYS]]>,
}

/// The bucket of a destination: time saved up, of which a message costs the interval.
#[derive(Debug, Clone, Copy)]
struct Host {
    address: Ipv4Addr,
    saved: Duration,
    updated: Instant,
}

impl RateLimiter {
    /// A limiter with full buckets; what it keeps secret comes from `rng`.
    pub fn new(config: RateLimitConfig, rng: &mut Rng) -> Self {
        let sets = config.hosts.div_ceil(WAYS).next_power_of_two();
        RateLimiter {
            config,
            credit: config.messages_burst,
            refilled: Instant::ZERO,
            hash: KeyedHash::new(rng.key()),
            rng: Rng::new(rng.next_u64()),
            sets: alloc::vec![[None; WAYS]; sets].into_boxed_slice(),
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
        icmp_type > MAX_TYPE
            || (icmp_type, code) == (DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED)
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
        let host = self.host(now, destination, full);
        host.saved = host.saved.saturating_add(now.saturating_since(host.updated)).min(full);
        host.updated = now;
        match host.saved.checked_sub(interval) {
            Some(left) => {
                host.saved = left;
                true
            }
            None => false,
        }
    }

    fn host(&mut self, now: Instant, address: Ipv4Addr, full: Duration) -> &mut Host {
        // The number of sets is a power of two.
        let set = self.hash.hash_one(address.to_bits()) as usize & (self.sets.len() - 1);
        let set = &mut self.sets[set];
        let is_it = |host: &Option<Host>| host.is_some_and(|host| host.address == address);
        let at = set.iter().position(is_it).unwrap_or_else(|| {
            // Vacant places come first: `None` is less than any time.
            let oldest = (0..WAYS).min_by_key(|at| set[*at].map(|host| host.updated));
            let at = oldest.unwrap_or_default();
            set[at] = None;
            at
        });
        set[at].get_or_insert(Host { address, saved: full, updated: now })
    }
}
