//! What is known of the addresses seen most recently, in a table of fixed size that a stranger
//! cannot make slow: small sets chosen by a keyed hash, in which an address not seen before takes
//! the place of the one that was seen longest ago.

use alloc::boxed::Box;
use core::hash::BuildHasher;
use core::net::Ipv4Addr;

use crate::rng::KeyedHash;
use crate::time::Instant;

/// Addresses in a set.
const WAYS: usize = 4;

/// One address and what is known of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recent<T> {
    address: Ipv4Addr,
    pub(crate) value: T,
    /// When it was changed last, as its user says; the oldest makes room.
    pub(crate) updated: Instant,
}

/// The table.
#[derive(Debug)]
pub(crate) struct RecentTable<T> {
    hash: KeyedHash,
    sets: Box<[[Option<Recent<T>>; WAYS]]>,
}

impl<T: Copy> RecentTable<T> {
    /// A table for `capacity` addresses, rounded up to a power of two.
    pub(crate) fn new(capacity: usize, hash: KeyedHash) -> Self {
        let sets = capacity.div_ceil(WAYS).next_power_of_two();
        RecentTable { hash, sets: alloc::vec![[None; WAYS]; sets].into_boxed_slice() }
    }

    /// How many addresses there is room for.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// How many addresses are known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.sets.iter().flatten().flatten().count()
    }

    /// What is known of `address`; `new`, as of `now`, if nothing is.
    pub(crate) fn entry(&mut self, now: Instant, address: Ipv4Addr, new: T) -> &mut Recent<T> {
        // The number of sets is a power of two.
        let set = self.hash.hash_one(address.to_bits()) as usize & (self.sets.len() - 1);
        let set = &mut self.sets[set];
        let is_it = |known: &Option<Recent<T>>| known.is_some_and(|known| known.address == address);
        let at = set.iter().position(is_it).unwrap_or_else(|| {
            // Vacant places come first: `None` is less than any time.
            let oldest = (0..WAYS).min_by_key(|at| set[*at].map(|known| known.updated));
            let at = oldest.unwrap_or_default();
            set[at] = None;
            at
        });
        set[at].get_or_insert(Recent { address, value: new, updated: now })
    }
}
