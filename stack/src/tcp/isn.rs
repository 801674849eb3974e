//! Initial sequence numbers (RFC 6528) and timestamp offsets: keyed hashes of the connection, so
//! that nobody off the path can guess them.

use core::hash::BuildHasher;

use super::segment::FourTuple;
use crate::rng::{KeyedHash, Rng};
use crate::time::Instant;
use crate::wire::seq::SeqNumber;

/// The secrets that numbers are made with.
#[derive(Debug)]
pub(crate) struct Secrets {
    isn: KeyedHash,
    timestamps: KeyedHash,
    ports: KeyedHash,
    pub(crate) cookies: KeyedHash,
}

impl Secrets {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let mut key = || KeyedHash::new(rng.key());
        Secrets { isn: key(), timestamps: key(), ports: key(), cookies: key() }
    }

    /// RFC 6528 §3: ISN = M + F(connection), M a clock of 64 ns as Linux has it.
    pub(crate) fn isn(&self, now: Instant, tuple: &FourTuple) -> SeqNumber {
        let clock = (now.as_nanos() >> 6) as u32;
        SeqNumber(clock.wrapping_add(self.isn.hash_one(tuple) as u32))
    }

    /// Where the clock of timestamps starts, for a pair of hosts (RFC 7323 §7.1, Linux
    /// `secure_tcp_ts_off`).
    pub(crate) fn timestamp_offset(&self, tuple: &FourTuple) -> u32 {
        self.timestamps.hash_one((tuple.local, tuple.remote)) as u32
    }

    /// Where the search for a local port starts (RFC 6056 §3.3.3).
    pub(crate) fn port_offset(&self, tuple: &FourTuple) -> u64 {
        self.ports.hash_one((tuple.local, tuple.remote, tuple.remote_port))
    }
}
