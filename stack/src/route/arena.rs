//! Many small arrays in one allocation.
//!
//! Each array lies in a block of a power of two of elements, the least that holds it, and moves to
//! another block when it outgrows or no longer fills more than half of its own. Free blocks are
//! kept by size.

use alloc::vec::Vec;

/// Blocks have 1, 2, 4 ... 64 elements.
const CLASSES: usize = 7;

/// Arrays of up to 64 elements, each named by the index of its first element. The caller keeps
/// index and length; an empty array has no block and any index.
#[derive(Debug, Default)]
pub(super) struct Arena<T> {
    items: Vec<T>,
    free: [Vec<u32>; CLASSES],
}

impl<T: Copy + Default> Arena<T> {
    /// The element at an index: that of an array plus its place there.
    #[inline]
    pub(super) fn get(&self, index: u32) -> &T {
        &self.items[index as usize]
    }

    /// The element at an index, mutable.
    pub(super) fn get_mut(&mut self, index: u32) -> &mut T {
        &mut self.items[index as usize]
    }

    /// How many elements all blocks hold.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.items.len()
    }

    /// Puts an element before the one at `at` in the array of `len` elements at `base`; returns
    /// where the array is then.
    pub(super) fn insert(&mut self, base: u32, len: u32, at: u32, value: T) -> u32 {
        // An array is as long as its block when its length is a power of two.
        let new = match len {
            0 => self.allocate(1),
            _ if len.is_power_of_two() => self.relocate(base, len, len, len + 1),
            _ => base,
        };
        let start = (new + at) as usize;
        self.items.copy_within(start..(new + len) as usize, start + 1);
        self.items[start] = value;
        new
    }

    /// Removes the element at `at` from the array of `len` elements at `base`; returns where the
    /// array is then.
    pub(super) fn remove(&mut self, base: u32, len: u32, at: u32) -> u32 {
        let start = (base + at) as usize;
        self.items.copy_within(start + 1..(base + len) as usize, start);
        match len - 1 {
            0 => {
                self.free[class(1)].push(base);
                0
            }
            left if left.is_power_of_two() => self.relocate(base, left, len, left),
            _ => base,
        }
    }

    /// Moves `count` elements from the block for an array of `old_len` to one for `new_len`.
    fn relocate(&mut self, base: u32, count: u32, old_len: u32, new_len: u32) -> u32 {
        let new = self.allocate(new_len);
        self.items.copy_within(base as usize..(base + count) as usize, new as usize);
        self.free[class(old_len)].push(base);
        new
    }

    /// A block for an array of `len` elements.
    fn allocate(&mut self, len: u32) -> u32 {
        self.free[class(len)].pop().unwrap_or_else(|| {
            let base = self.items.len();
            self.items.resize(base + (1 << class(len)), T::default());
            base as u32
        })
    }
}

fn class(len: u32) -> usize {
    len.next_power_of_two().ilog2() as usize
}
