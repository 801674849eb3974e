//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! The sum is one's complement over 16-bit words, which has two properties used here: words may
//! be added in either byte order and the result swapped once (RFC 1071 §2 (B)), and since
//! 2¹⁶ ≡ 1 modulo 65535, wider words may be added and folded at the end (§2 (C)).

/// A running one's complement sum, kept in memory byte order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checksum(u64);

/// Bytes summed side by side in the main loop.
const BLOCK: usize = 64;
const LANES: usize = BLOCK / 8;

impl Checksum {
    /// The sum of nothing.
    pub const ZERO: Checksum = Checksum(0);

    /// Adds `bytes` as big-endian 16-bit words; an odd last byte counts as if a zero followed it.
    /// Of several pieces of one message, all but the last must therefore have an even length.
    #[inline]
    #[must_use]
    #[allow(clippy::should_implement_trait)]
    pub fn add(self, bytes: &[u8]) -> Self {
        self.add_raw(sum(bytes))
    }

    /// Adds one word.
    #[inline]
    #[must_use]
    pub fn add_u16(self, word: u16) -> Self {
        self.add_raw(u64::from(word.to_be()))
    }

    /// Adds two words, the high one first on the wire.
    #[inline]
    #[must_use]
    pub fn add_u32(self, words: u32) -> Self {
        self.add_raw(u64::from(words.to_be()))
    }

    /// The sum over both.
    #[inline]
    #[must_use]
    pub fn combine(self, other: Checksum) -> Self {
        self.add_raw(other.0)
    }

    /// The sum folded to 16 bits, not complemented: what a partial checksum field holds.
    #[inline]
    pub fn fold(self) -> u16 {
        let wide = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let wide = (wide & 0xffff) + ((wide >> 16) & 0xffff) + (wide >> 32);
        let wide = (wide & 0xffff) + (wide >> 16);
        let wide = (wide & 0xffff) + (wide >> 16);
        u16::from_be(wide as u16)
    }

    /// The checksum: the complement of the folded sum. Over bytes that contain their own right
    /// checksum it is zero.
    #[inline]
    pub fn finish(self) -> u16 {
        !self.fold()
    }

    /// 2⁶⁴ ≡ 1 modulo 65535, so a carry out of the top comes back in at the bottom.
    #[inline]
    fn add_raw(self, words: u64) -> Self {
        let (sum, carry) = self.0.overflowing_add(words);
        Checksum(sum + u64::from(carry))
    }
}

/// The Internet checksum of `bytes`; zero when they contain their own right checksum.
#[inline]
pub fn checksum(bytes: &[u8]) -> u16 {
    Checksum::ZERO.add(bytes).finish()
}

/// The checksum `check` after one of the words it covers went from `old` to `new`: equation 3 of
/// RFC 1624, HC' = ~(~HC + ~m + m'). It equals the recomputed checksum unless everything covered
/// has become zero, which has the two spellings 0x0000 (from here) and 0xffff (recomputed).
#[inline]
pub fn update16(check: u16, old: u16, new: u16) -> u16 {
    let sum = u32::from(!check) + u32::from(!old) + u32::from(new);
    fold32_complement(sum)
}

/// As [`update16`] for two adjacent words, such as an address.
#[inline]
pub fn update32(check: u16, old: u32, new: u32) -> u16 {
    let words = |value: u32| (value >> 16) + (value & 0xffff);
    fold32_complement(u32::from(!check) + words(!old) + words(new))
}

#[inline]
fn fold32_complement(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

/// The sum of `bytes` in memory order as 32-bit words; it cannot overflow below 16 GiB.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    if bytes.len() < BLOCK {
        return sum_short(bytes);
    }
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    sum_blocks(blocks) + sum_short(rest)
}

/// Whole blocks, in a form that compilers turn into vector code on any target.
///
/// Each 64-bit lane is the sum of a low and a high 32-bit word. Adding whole lanes, wrapping, and
/// their high words apart costs one operation less than splitting both: the sum of the low words
/// is what remains of the first after taking out the second.
fn sum_blocks(blocks: &[[u8; BLOCK]]) -> u64 {
    let mut whole = [0u64; LANES];
    let mut high = [0u64; LANES];
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for lane in 0..LANES {
            let word = u64::from_ne_bytes(words[lane]);
            whole[lane] = whole[lane].wrapping_add(word);
            high[lane] += word >> 32;
        }
    }
    let lanes = whole.iter().zip(&high);
    lanes.map(|(whole, high)| whole.wrapping_sub(high << 32) + high).sum()
}

/// Fewer than [`BLOCK`] bytes.
#[inline]
fn sum_short(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut sum = 0;
    for word in words {
        let word = u64::from_ne_bytes(*word);
        sum += (word & 0xffff_ffff) + (word >> 32);
    }
    let (words, rest) = rest.as_chunks::<2>();
    for word in words {
        sum += u64::from(u16::from_ne_bytes(*word));
    }
    match rest {
        [last] => sum + u64::from(u16::from_ne_bytes([*last, 0])),
        _ => sum,
    }
}
