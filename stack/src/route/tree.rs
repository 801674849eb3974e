//! A tree bitmap: longest-prefix match over 32-bit keys, six bits a node.
//!
//! The prefix of length zero stands apart, and the first bit chooses one of two trees. A node then
//! stands for a position of 1, 7, 13, 19, 25 or 31 bits in the key, so that prefixes of the length
//! most used, 24, are the longest of their node and need no further one. Of the 63 prefixes of zero
//! to five more bits that can end in a node, `prefixes` says which are present: bit
//! `2^len - 1 + value` as in a binary heap, so that among those matching a key the highest bit is
//! the longest. `children` says which of the 64 next chunks of six bits lead on.
//!
//! The values of a node's prefixes and its child nodes each lie side by side in an [`Arena`], in
//! the order of their bits: where one lies is counted by the bits set below its own. The only
//! value of a node, as most have in a large table, is kept in the node itself. That makes a node
//! 24 bytes and a lookup miss the cache rarely more than once. A change moves at most 64 values
//! and 64 nodes.
//!
//! Invariants: the blocks at `values`, but for a single one, and `nodes` hold as many elements as
//! `prefixes` and `children` have bits; no node but the two roots is without both.
//!
//! After Eatherton, Varghese and Dittia, "Tree Bitmap: Hardware/Software IP Lookups with
//! Incremental Updates" (2004).

use alloc::vec::Vec;

use super::arena::Arena;

const STRIDE: u8 = 6;
/// Nodes on a path.
const DEPTH: usize = 6;
/// Where the two roots are: in the first block of two, behind the one of one they outgrew.
const ROOTS: u32 = 1;

/// Prefixes of 32-bit keys, each with a value.
#[derive(Debug)]
pub(super) struct Tree {
    /// The value of the prefix of length zero.
    default: Option<u32>,
    /// The two roots are at [`ROOTS`] and never move.
    nodes: Arena<Node>,
    values: Arena<u32>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    prefixes: u64,
    children: u64,
    /// Where its values are, or its only value.
    values: u32,
    /// Where its child nodes are.
    nodes: u32,
}

/// For each chunk of six bits, the bits in [`Node::prefixes`] of all prefixes that match it.
const MATCHING: [u64; 64] = {
    let mut masks = [0; 64];
    let mut chunk = 0;
    while chunk < 64 {
        let mut len = 0;
        while len < STRIDE {
            masks[chunk] |= 1 << prefix_bit(chunk as u32, len);
            len += 1;
        }
        chunk += 1;
    }
    masks
};

impl Tree {
    /// A tree without prefixes.
    pub(super) fn new() -> Self {
        let mut nodes = Arena::default();
        let roots = nodes.insert(0, 0, 0, Node::default());
        let roots = nodes.insert(roots, 1, 1, Node::default());
        let tree = Tree { default: None, nodes, values: Arena::default() };
        debug_assert_eq!(roots, ROOTS);
        tree
    }

    /// Offers the values of the prefixes that match `key`, longest first, with the length of the
    /// prefix, until one is accepted.
    #[inline]
    pub(super) fn find<T>(&self, key: u32, accept: impl Fn(u32, u8) -> Option<T>) -> Option<T> {
        let mut limit = DEPTH;
        while let Some((mut matching, node, depth)) = self.deepest(key, limit) {
            while matching != 0 {
                let bit = matching.ilog2();
                let value = self.value(node, bit);
                let prefix_len = 1 + STRIDE * depth as u8 + (bit + 1).ilog2() as u8;
                if let Some(accepted) = accept(value, prefix_len) {
                    return Some(accepted);
                }
                matching ^= 1 << bit;
            }
            limit = depth;
        }
        accept(self.default?, 0)
    }

    /// The value of exactly this prefix. Bits of `key` after the prefix do not matter.
    pub(super) fn get(&self, key: u32, prefix_len: u8) -> Option<u32> {
        let Some((depth, bit)) = place(key, prefix_len) else { return self.default };
        let mut node = self.nodes.get(root(key));
        for depth in 0..depth {
            let chunk = chunk(key, depth);
            if node.children & 1 << chunk == 0 {
                return None;
            }
            node = self.nodes.get(node.nodes + rank(node.children, chunk));
        }
        (node.prefixes & 1 << bit != 0).then(|| self.value(node, bit))
    }

    /// Sets the value of a prefix.
    pub(super) fn set(&mut self, key: u32, prefix_len: u8, value: u32) {
        let Some((depth, bit)) = place(key, prefix_len) else {
            self.default = Some(value);
            return;
        };
        let mut at = root(key);
        for depth in 0..depth {
            at = self.child_or_new(at, chunk(key, depth));
        }
        let node = self.nodes.get_mut(at);
        let (len, place) = (node.prefixes.count_ones(), rank(node.prefixes, bit));
        match (node.prefixes & 1 << bit != 0, len) {
            (true, 1) | (false, 0) => node.values = value,
            (true, _) => *self.values.get_mut(node.values + place) = value,
            (false, 1) => {
                let block = self.values.insert(0, 0, 0, node.values);
                node.values = self.values.insert(block, 1, place, value);
            }
            (false, _) => node.values = self.values.insert(node.values, len, place, value),
        }
        node.prefixes |= 1 << bit;
    }

    /// Removes a prefix, and the nodes that only it needed; returns its value.
    pub(super) fn remove(&mut self, key: u32, prefix_len: u8) -> Option<u32> {
        let value = self.get(key, prefix_len)?;
        let Some((depth, bit)) = place(key, prefix_len) else { return self.default.take() };
        let mut path = [root(key); DEPTH];
        for depth in 0..depth {
            let node = self.nodes.get(path[depth]);
            path[depth + 1] = node.nodes + rank(node.children, chunk(key, depth));
        }
        let node = self.nodes.get_mut(path[depth]);
        let (len, place) = (node.prefixes.count_ones(), rank(node.prefixes, bit));
        if len > 1 {
            node.values = self.values.remove(node.values, len, place);
        }
        if len == 2 {
            let only = *self.values.get(node.values);
            self.values.remove(node.values, 1, 0);
            node.values = only;
        }
        node.prefixes ^= 1 << bit;
        for depth in (0..depth).rev() {
            if !self.nodes.get(path[depth + 1]).is_empty() {
                break;
            }
            let chunk = chunk(key, depth);
            let Node { children, nodes, .. } = *self.nodes.get(path[depth]);
            let nodes = self.nodes.remove(nodes, children.count_ones(), rank(children, chunk));
            let node = self.nodes.get_mut(path[depth]);
            node.nodes = nodes;
            node.children ^= 1 << chunk;
        }
        Some(value)
    }

    /// Whether nothing is left, not even an empty node below the roots.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.default.is_none() && (0..2).all(|root| self.nodes.get(ROOTS + root).is_empty())
    }

    /// Elements that the arenas hold, free ones included.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> (usize, usize) {
        (self.nodes.capacity(), self.values.capacity())
    }

    /// Calls `visit` with every prefix, its length and its value, in no useful order.
    pub(super) fn for_each(&self, visit: &mut impl FnMut(u32, u8, u32)) {
        self.default.iter().for_each(|value| visit(0, 0, *value));
        // Nodes with the bits that lead to them and how many these are.
        let mut pending = Vec::from([(ROOTS, 0, 1), (ROOTS + 1, 1 << 31, 1)]);
        while let Some((at, key, position)) = pending.pop() {
            let node = self.nodes.get(at);
            for bit in bits(node.prefixes) {
                let len = (bit + 1).ilog2();
                let rest = bit + 1 - (1 << len);
                let prefix_len = position + len;
                let key = key | rest << (32 - prefix_len);
                visit(key, prefix_len as u8, self.value(node, bit));
            }
            for (at, chunk) in (node.nodes..).zip(bits(node.children)) {
                let position = position + u32::from(STRIDE);
                // Of the last chunk only the first bit is part of the key.
                let key = key | (u64::from(chunk) << 32 >> position) as u32;
                pending.push((at, key, position));
            }
        }
    }

    /// Visits prefixes in order, shorter ones before longer ones, from one on until `visit` returns
    /// `false`.
    pub(super) fn for_each_from(
        &self,
        from: (u32, u8),
        visit: &mut impl FnMut(u32, u8, u32) -> bool,
    ) {
        if let Some(value) = self.default
            && from == (0, 0)
            && !visit(0, 0, value)
        {
            return;
        }
        let _ =
            self.walk(ROOTS, 0, 1, from, visit) && self.walk(ROOTS + 1, 1 << 31, 1, from, visit);
    }

    /// Visits what is in a node and below it; `key` has the `position` bits that lead to it.
    fn walk(
        &self,
        at: u32,
        key: u32,
        position: u32,
        from: (u32, u8),
        visit: &mut impl FnMut(u32, u8, u32) -> bool,
    ) -> bool {
        let node = self.nodes.get(at);
        let stride = u32::from(STRIDE);
        for chunk in 0..1u32 << STRIDE {
            // Of the last chunk only the first bit is part of the key.
            let start = key | (u64::from(chunk) << 32 >> (position + stride)) as u32;
            for len in 0..stride {
                let rest = chunk >> (stride - len);
                let bit = (1 << len) - 1 + rest;
                let begins_here = rest << (stride - len) == chunk;
                let prefix_len = (position + len) as u8;
                if begins_here
                    && node.prefixes & 1 << bit != 0
                    && (start, prefix_len) >= from
                    && !visit(start, prefix_len, self.value(node, bit))
                {
                    return false;
                }
            }
            if node.children & 1 << chunk != 0 {
                let last = start | (u32::MAX.unbounded_shr(position + stride));
                let child = node.nodes + rank_of_set(node.children, chunk);
                if last >= from.0 && !self.walk(child, start, position + stride, from, visit) {
                    return false;
                }
            }
        }
        true
    }

    /// The deepest node less than `limit` deep with a prefix that matches `key`: which of its
    /// prefixes do, the node, and its depth.
    #[inline]
    fn deepest(&self, key: u32, limit: usize) -> Option<(u64, &Node, usize)> {
        let mut deepest = None;
        let mut node = self.nodes.get(root(key));
        for depth in 0..limit {
            let chunk = chunk(key, depth);
            let matching = node.prefixes & MATCHING[chunk as usize];
            if matching != 0 {
                deepest = Some((matching, node, depth));
            }
            if node.children & 1 << chunk == 0 {
                break;
            }
            node = self.nodes.get(node.nodes + rank_of_set(node.children, chunk));
        }
        deepest
    }

    /// The value of a prefix that the node has.
    #[inline]
    fn value(&self, node: &Node, bit: u32) -> u32 {
        match node.prefixes.is_power_of_two() {
            true => node.values,
            false => *self.values.get(node.values + rank(node.prefixes, bit)),
        }
    }

    /// The child of the node `at` for a chunk; made if it is not there.
    fn child_or_new(&mut self, at: u32, chunk: u32) -> u32 {
        let Node { children, mut nodes, .. } = *self.nodes.get(at);
        let place = rank(children, chunk);
        if children & 1 << chunk == 0 {
            nodes = self.nodes.insert(nodes, children.count_ones(), place, Node::default());
            let node = self.nodes.get_mut(at);
            node.nodes = nodes;
            node.children |= 1 << chunk;
        }
        nodes + place
    }
}

impl Node {
    fn is_empty(&self) -> bool {
        self.prefixes == 0 && self.children == 0
    }
}

/// The root for the first bit of `key`.
#[inline]
fn root(key: u32) -> u32 {
    ROOTS + (key >> 31)
}

/// The six bits of `key` that a node at `depth` looks at; the last ones padded with zeros.
#[inline]
fn chunk(key: u32, depth: usize) -> u32 {
    // Bit 31 chose the root; 31 bits are left and padded to 36.
    ((u64::from(key) << 33 >> 28) >> (30 - 6 * depth)) as u32 & 63
}

/// The depth and the bit of a prefix; `None` for that of length zero.
fn place(key: u32, prefix_len: u8) -> Option<(usize, u32)> {
    let rest = prefix_len.checked_sub(1)?;
    let depth = usize::from(rest / STRIDE);
    Some((depth, prefix_bit(chunk(key, depth), rest % STRIDE)))
}

/// The bit in [`Node::prefixes`] of the first `len` bits of `chunk`.
const fn prefix_bit(chunk: u32, len: u8) -> u32 {
    (1 << len) - 1 + (chunk >> (STRIDE - len))
}

/// How many bits are set in `map` below `bit`.
#[inline]
fn rank(map: u64, bit: u32) -> u32 {
    (map & ((1 << bit) - 1)).count_ones()
}

/// [`rank`] of a bit that is set. Most nodes of a small table have one child, and counting takes
/// its time where the processor is not told to have an instruction for it.
#[inline]
fn rank_of_set(map: u64, bit: u32) -> u32 {
    if map.is_power_of_two() { 0 } else { rank(map, bit) }
}

/// The bits set in `map`, lowest first.
fn bits(mut map: u64) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let bit = (map != 0).then(|| map.trailing_zeros())?;
        map &= map - 1;
        Some(bit)
    })
}
