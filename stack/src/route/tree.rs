//! A tree bitmap: longest-prefix match over 32-bit keys, six bits a node.
//!
//! A node stands for one position in the key, a multiple of six bits deep. Of the 63 prefixes of
//! zero to five more bits that can end here, `prefixes` says which are present: bit
//! `2^len - 1 + value` as in a binary heap, so that among those matching a key the highest bit is
//! the longest. `children` says which of the 64 next chunks lead on. Values and children are
//! stored densely, at the index counted by the bits set below theirs. A change rebuilds the
//! arrays of one node, at most 64 elements each.
//!
//! Invariants: `values.len()` and `nodes.len()` are the number of bits set in `prefixes` and
//! `children`; no node but the root is without both.
//!
//! After Eatherton, Varghese and Dittia, "Tree Bitmap: Hardware/Software IP Lookups with
//! Incremental Updates" (2004).

use alloc::boxed::Box;
use alloc::vec::Vec;

const STRIDE: u8 = 6;
/// Nodes on a path: five whole strides and the two bits left of 32.
const DEPTH: usize = 6;

/// Prefixes of 32-bit keys, each with a value.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    prefixes: u64,
    children: u64,
    values: Box<[u32]>,
    nodes: Box<[Node]>,
}

/// For each chunk of six bits, the bits in [`Node::prefixes`] of all prefixes that match it.
const MATCHING: [u64; 64] = {
    let mut masks = [0; 64];
    let mut chunk = 0;
    while chunk < 64 {
        let mut len = 0;
        while len < STRIDE {
            masks[chunk] |= 1 << prefix_bit(chunk as u64, len);
            len += 1;
        }
        chunk += 1;
    }
    masks
};

impl Tree {
    /// Offers the values of the prefixes that match `key`, longest first, until one is accepted.
    #[inline]
    pub(super) fn find<T>(&self, key: u32, accept: impl Fn(u32) -> Option<T>) -> Option<T> {
        let mut found = [(0u64, &self.root); DEPTH];
        let mut count = 0;
        let mut node = &self.root;
        for depth in 0..DEPTH {
            let chunk = chunk(key, depth);
            let matching = node.prefixes & MATCHING[chunk as usize];
            if matching != 0 {
                found[count] = (matching, node);
                count += 1;
            }
            if node.children & 1 << chunk == 0 {
                break;
            }
            node = &node.nodes[rank(node.children, chunk)];
        }
        for (mut matching, node) in found[..count].iter().rev().copied() {
            while matching != 0 {
                let bit = u64::from(matching.ilog2());
                if let Some(value) = accept(node.values[rank(node.prefixes, bit)]) {
                    return Some(value);
                }
                matching ^= 1 << bit;
            }
        }
        None
    }

    /// The value of exactly this prefix. Bits of `key` after the prefix do not matter.
    pub(super) fn get(&self, key: u32, prefix_len: u8) -> Option<u32> {
        let mut node = &self.root;
        for depth in 0..usize::from(prefix_len / STRIDE) {
            node = node.child(chunk(key, depth))?;
        }
        let bit = last_bit(key, prefix_len);
        (node.prefixes & 1 << bit != 0).then(|| node.values[rank(node.prefixes, bit)])
    }

    /// Sets the value of a prefix.
    pub(super) fn set(&mut self, key: u32, prefix_len: u8, value: u32) {
        let mut node = &mut self.root;
        for depth in 0..usize::from(prefix_len / STRIDE) {
            let chunk = chunk(key, depth);
            let at = rank(node.children, chunk);
            if node.children & 1 << chunk == 0 {
                insert(&mut node.nodes, at, Node::default());
                node.children |= 1 << chunk;
            }
            node = &mut node.nodes[at];
        }
        let bit = last_bit(key, prefix_len);
        let at = rank(node.prefixes, bit);
        if node.prefixes & 1 << bit != 0 {
            node.values[at] = value;
        } else {
            insert(&mut node.values, at, value);
            node.prefixes |= 1 << bit;
        }
    }

    /// Removes a prefix, and the nodes that only it needed; returns its value.
    pub(super) fn remove(&mut self, key: u32, prefix_len: u8) -> Option<u32> {
        self.root.remove(key, 0, prefix_len)
    }

    /// Whether nothing is left, not even an empty node below the root.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// Calls `visit` with every value, in no useful order.
    pub(super) fn for_each(&self, visit: &mut impl FnMut(u32)) {
        self.root.for_each(visit);
    }
}

impl Node {
    fn child(&self, chunk: u64) -> Option<&Node> {
        (self.children & 1 << chunk != 0).then(|| &self.nodes[rank(self.children, chunk)])
    }

    fn is_empty(&self) -> bool {
        self.prefixes == 0 && self.children == 0
    }

    fn remove(&mut self, key: u32, depth: usize, prefix_len: u8) -> Option<u32> {
        if depth == usize::from(prefix_len / STRIDE) {
            let bit = last_bit(key, prefix_len);
            if self.prefixes & 1 << bit == 0 {
                return None;
            }
            self.prefixes ^= 1 << bit;
            return Some(remove(&mut self.values, rank(self.prefixes, bit)));
        }
        let chunk = chunk(key, depth);
        if self.children & 1 << chunk == 0 {
            return None;
        }
        let at = rank(self.children, chunk);
        let value = self.nodes[at].remove(key, depth + 1, prefix_len)?;
        if self.nodes[at].is_empty() {
            self.children ^= 1 << chunk;
            remove(&mut self.nodes, at);
        }
        Some(value)
    }

    fn for_each(&self, visit: &mut impl FnMut(u32)) {
        self.values.iter().for_each(|value| visit(*value));
        self.nodes.iter().for_each(|node| node.for_each(visit));
    }
}

/// The six bits of `key` that a node at `depth` looks at; the last ones padded with zeros.
#[inline]
fn chunk(key: u32, depth: usize) -> u64 {
    (u64::from(key) << 4) >> (30 - 6 * depth) & 63
}

/// The bit of a prefix in its node.
fn last_bit(key: u32, prefix_len: u8) -> u64 {
    prefix_bit(chunk(key, usize::from(prefix_len / STRIDE)), prefix_len % STRIDE)
}

/// The bit in [`Node::prefixes`] of the first `len` bits of `chunk`.
const fn prefix_bit(chunk: u64, len: u8) -> u64 {
    (1 << len) - 1 + (chunk >> (STRIDE - len))
}

/// How many bits are set in `map` below `bit`.
#[inline]
fn rank(map: u64, bit: u64) -> usize {
    (map & ((1 << bit) - 1)).count_ones() as usize
}

fn insert<T>(array: &mut Box<[T]>, at: usize, value: T) {
    let mut grown = Vec::with_capacity(array.len() + 1);
    let mut old = core::mem::take(array).into_vec().into_iter();
    grown.extend(old.by_ref().take(at));
    grown.push(value);
    grown.extend(old);
    *array = grown.into_boxed_slice();
}

fn remove<T>(array: &mut Box<[T]>, at: usize) -> T {
    let mut shrunk = core::mem::take(array).into_vec();
    let value = shrunk.remove(at);
    *array = shrunk.into_boxed_slice();
    value
}
