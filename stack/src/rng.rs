//! Random numbers and keyed hashing, both from the seed the stack was made with.
//!
//! [`Rng`] runs SipHash-2-4 over a counter under a secret key: the same seed gives the same
//! numbers, and whoever sees outputs cannot tell the next one without the key. [`KeyedHash`] is
//! SipHash-1-3 for tables that a stranger can fill, where it keeps collisions from being chosen.

use core::fmt;
use core::hash::{BuildHasher, Hasher};

use hashbrown::HashMap;
use siphasher::sip::{SipHasher13, SipHasher24};

use crate::time::Duration;

/// A deterministic generator whose outputs do not give away its state.
pub struct Rng {
    key: (u64, u64),
    counter: u64,
}

impl Rng {
    /// A generator whose whole sequence follows from `seed`.
    pub fn new(seed: u64) -> Self {
        // The seed is stretched to a 128-bit key by the same function under fixed keys.
        let half = |half: u64| {
            let mut hasher = SipHasher24::new_with_keys(seed, half);
            hasher.write_u64(seed);
            hasher.finish()
        };
        Rng { key: (half(0), half(1)), counter: 0 }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        hasher.write_u64(self.counter);
        self.counter = self.counter.wrapping_add(1);
        hasher.finish()
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A number below `n`, each equally likely; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // Multiply and take the high half; products whose low half falls under 2^64 mod n would
        // make some results likelier and are drawn again (Lemire 2019).
        let unfair = n.wrapping_neg().checked_rem(n).unwrap_or(0);
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= unfair {
                return (product >> 64) as u64;
            }
        }
    }

    /// A span between `shortest` and `longest`, both possible, in whole nanoseconds; `shortest`
    /// when `longest` is not longer.
    pub fn duration_between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let spread = longest.saturating_sub(shortest).as_nanos();
        let spread = u64::try_from(spread).unwrap_or(u64::MAX).saturating_add(1);
        shortest + Duration::from_nanos(self.below(spread))
    }

    /// A secret for a [`KeyedHash`] or another keyed function.
    pub fn key(&mut self) -> (u64, u64) {
        (self.next_u64(), self.next_u64())
    }
}

impl fmt::Debug for Rng {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rng").field("counter", &self.counter).finish_non_exhaustive()
    }
}

/// Builds SipHash-1-3 hashers under one secret key.
#[derive(Clone)]
pub struct KeyedHash {
    key: (u64, u64),
}

impl KeyedHash {
    /// Hashes under `key`; [`Rng::key`] makes one.
    pub fn new(key: (u64, u64)) -> Self {
        KeyedHash { key }
    }
}

impl BuildHasher for KeyedHash {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.key.0, self.key.1)
    }
}

impl fmt::Debug for KeyedHash {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedHash").finish_non_exhaustive()
    }
}

/// A hash map that may hold what strangers send. Its order of iteration depends on the key alone,
/// so it is the same in every run with the same seed.
pub type KeyedMap<K, V> = HashMap<K, V, KeyedHash>;

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_seed_gives_one_sequence_and_another_seed_another() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            (0..64).map(|_| rng.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        let (a, b) = (draw(7), draw(8));
        assert!(a.iter().all(|value| !b.contains(value)));
    }

    #[test]
    fn bits_are_balanced() {
        let mut rng = Rng::new(1);
        let mut ones = [0u32; 64];
        for _ in 0..4096 {
            let value = rng.next_u64();
            ones.iter_mut().enumerate().for_each(|(bit, n)| *n += (value >> bit & 1) as u32);
        }
        // Five standard deviations of a fair coin thrown 4096 times: 5 * 32.
        assert!(ones.iter().all(|n| n.abs_diff(2048) < 160), "{ones:?}");
    }

    #[test]
    fn below_is_even_and_bounded() {
        let mut rng = Rng::new(2);
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[rng.below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|n| n.abs_diff(10_000) < 500), "{counts:?}");
        assert_eq!((rng.below(0), rng.below(1)), (0, 0));
        // A generator that only multiplied would draw multiples of 3 half of the time here.
        let mut residues = [0u32; 3];
        for _ in 0..9_000 {
            residues[(rng.below(3 << 62) % 3) as usize] += 1;
        }
        assert!(residues.iter().all(|n| n.abs_diff(3_000) < 250), "{residues:?}");
        assert!(rng.below(u64::MAX) < u64::MAX);
    }

    #[test]
    fn durations_stay_between_their_bounds_and_reach_both() {
        let mut rng = Rng::new(3);
        let (a, b) = (Duration::from_nanos(10), Duration::from_nanos(13));
        let drawn: Vec<_> = (0..200).map(|_| rng.duration_between(a, b)).collect();
        assert!(drawn.iter().all(|d| (a..=b).contains(d)));
        assert!(drawn.contains(&a) && drawn.contains(&b));
        assert_eq!(rng.duration_between(b, a), b);
        assert!(rng.duration_between(Duration::ZERO, Duration::MAX) <= Duration::MAX);
    }

    #[test]
    fn hashes_depend_on_the_key_and_debug_output_hides_it() {
        let mut rng = Rng::new(4);
        let (a, b) = (KeyedHash::new(rng.key()), KeyedHash::new(rng.key()));
        assert_eq!(a.hash_one(5u32), a.clone().hash_one(5u32));
        assert_ne!(a.hash_one(5u32), b.hash_one(5u32));
        assert_eq!(std::format!("{rng:?} {a:?}"), "Rng { counter: 4, .. } KeyedHash { .. }");
        let mut map: KeyedMap<u8, u8> = KeyedMap::with_hasher(a);
        map.insert(1, 2);
        assert_eq!(map.get(&1), Some(&2));
    }
}
