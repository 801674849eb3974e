//! Identification fields (RFC 6864; Linux `__ip_select_ident`).
//!
//! RFC 6864 §4.3: a datagram that may be fragmented must not share its identification with another
//! of the same source, destination and protocol for as long as fragments may live. Counters are
//! kept per hash of these; each moves on by one for a packet on the wire and by a random step for the
//! time since the last, so that nobody can count another's packets.

use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::Ipv4Addr;

use crate::rng::{KeyedHash, Rng};
use crate::time::Instant;
use crate::wire::ipv4::Protocol;

/// Counters; a power of two (Linux `IP_IDENTS_SZ` starts here).
const BUCKETS: usize = 2048;

/// The counters that identifications come from.
#[derive(Debug)]
pub(super) struct Identifiers {
    hash: KeyedHash,
    /// The last identification and when it was given, in milliseconds.
    buckets: Vec<(u16, u64)>,
    rng: Rng,
}

impl Identifiers {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Identifiers {
            hash: KeyedHash::new(rng.key()),
            buckets: (0..BUCKETS).map(|_| (rng.next_u32() as u16, 0)).collect(),
            rng: Rng::new(rng.next_u64()),
        }
    }

    /// An identification for a packet that may be fragmented, or the first of those for the
    /// `segments` of a large one.
    pub(super) fn next(
        &mut self,
        now: Instant,
        src: Ipv4Addr,
        dst: Ipv4Addr,
        protocol: Protocol,
        segments: u16,
    ) -> u16 {
        let pair = u64::from(src.to_bits()) << 32 | u64::from(dst.to_bits());
        let bucket = self.hash.hash_one(pair) as usize ^ usize::from(protocol.0);
        let bucket = &mut self.buckets[bucket % BUCKETS];
        let elapsed = now.as_millis().saturating_sub(bucket.1);
        let step = if elapsed > 0 { self.rng.below(elapsed) as u16 } else { 0 };
        let first = bucket.0.wrapping_add(step).wrapping_add(1);
        bucket.0 = first.wrapping_add(segments.saturating_sub(1));
        bucket.1 = now.as_millis();
        first
    }
}
