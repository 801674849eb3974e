//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! The sum is one's complement over 16-bit words, which has two properties used here: words may
//! be added in either byte order and the result swapped once (RFC 1071 §2 (B)), and since
//! 2¹⁶ ≡ 1 modulo 65535, wider words may be added and folded at the end (§2 (C)).

/// A running one's complement sum, kept in memory byte order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checksum(u64);

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

    /// The same for bytes whose number is known, as that of a header without options: a few
    /// additions without a loop.
    #[inline]
    #[must_use]
    pub fn add_array<const N: usize>(self, bytes: &[u8; N]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        let words: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        self.add_raw(words + sum_tail(rest))
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

/// Completes a checksum whose field, at `field` in `covered`, holds the sum of the pseudo-header so
/// far: sums all of `covered` and stores the complement. Does nothing when the field is not inside.
pub fn complete(covered: &mut [u8], field: usize) {
    let value = finished(Checksum::ZERO.add(covered));
    if let Some(field) = covered.get_mut(field..field + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// The checksum of TCP or UDP over everything that `sum` is of. To UDP zero means that there is none
/// (RFC 768), so it is spelled with ones; to TCP both are zero.
#[inline]
pub fn finished(sum: Checksum) -> u16 {
    match sum.finish() {
        0 => 0xffff,
        value => value,
    }
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

/// The sum of `bytes` in memory order, as 32-bit words.
///
/// A loop this plain is turned into vector code by the compiler, on any target. Each 64-bit word is
/// a low and a high word of 32 bits. Adding up whole words, wrapping, and their high words apart
/// takes one operation less than splitting off both: the sum of the low words is what remains of
/// the first after taking out the second. No sum of 32-bit words can overflow below 32 GiB.
#[inline(never)]
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let (mut whole, mut high) = (0u64, 0u64);
    for word in words {
        let word = u64::from_ne_bytes(*word);
        whole = whole.wrapping_add(word);
        high += word >> 32;
    }
    let low = whole.wrapping_sub(high << 32);
    low + high + sum_tail(rest)
}

/// The same for fewer than 8 bytes.
#[inline]
fn sum_tail(bytes: &[u8]) -> u64 {
    let (word, rest) = match bytes.split_first_chunk::<4>() {
        Some((word, rest)) => (u32::from_ne_bytes(*word), rest),
        None => (0, bytes),
    };
    let tail = match *rest {
        [a] => u32::from_ne_bytes([a, 0, 0, 0]),
        [a, b] => u32::from_ne_bytes([a, b, 0, 0]),
        [a, b, c] => u32::from_ne_bytes([a, b, c, 0]),
        _ => 0,
    };
    u64::from(word) + u64::from(tail)
}

#[cfg(test)]
mod tests;
