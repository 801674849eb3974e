//! A quick no: most addresses that are looked up in the local table are not in it.

/// Says of an address that no prefix of a set can match it, or that one may.
///
/// Whole addresses are kept by a hash to 64 bits, shorter prefixes by the first octets that they
/// cover. A false "may" costs a lookup, nothing else, so the hash needs no key.
#[derive(Debug, Default)]
pub(super) struct Prefilter {
    hosts: u64,
    octets: [u64; 4],
}

impl Prefilter {
    /// Whether a prefix may match `address`.
    #[inline]
    pub(super) fn may_match(&self, address: u32) -> bool {
        let octet = address >> 24;
        (self.hosts >> slot(address)) & 1 != 0
            || (self.octets[octet as usize / 64] >> (octet % 64)) & 1 != 0
    }

    /// Takes in a prefix.
    pub(super) fn insert(&mut self, address: u32, prefix_len: u8) {
        if prefix_len == 32 {
            self.hosts |= 1 << slot(address);
            return;
        }
        let first = address >> 24;
        let count = if prefix_len >= 8 { 1 } else { 1 << (8 - prefix_len) };
        for octet in first..(first + count).min(256) {
            self.octets[octet as usize / 64] |= 1 << (octet % 64);
        }
    }
}

/// Six bits of a multiplicative hash.
#[inline]
fn slot(address: u32) -> u32 {
    address.wrapping_mul(0x9e37_79b1) >> 26
}
