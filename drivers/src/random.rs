//! Randomness from the system, for those who give no seed.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};
use tapping_stack::wire::ethernet::MacAddr;

/// A seed that nobody can guess.
///
/// # Errors
/// Those of getrandom(2).
pub fn seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::io::retry_on_intr(|| getrandom(&mut bytes, GetRandomFlags::empty()))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// A link-layer address for a device of ours: unicast and locally administered (IEEE 802 §8.4),
/// the other 46 bits from the seed.
pub fn mac_from_seed(seed: u64) -> MacAddr {
    let [a, b, c, d, e, f, ..] = seed.to_le_bytes();
    MacAddr([a & 0xfc | 0x02, b, c, d, e, f])
}
