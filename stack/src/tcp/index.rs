//! Connections, handshakes and what is left of connections, by their four numbers (Linux `ehash`).
//!
//! The table holds half of each entry's hash and where the entry is, eight bytes, so that even
//! that of a hundred thousand connections mostly stays in the processor's cache. The four numbers
//! themselves are compared where the connection has them, which is needed next in any case.

use core::hash::BuildHasher;

use hashbrown::HashTable;

use super::demux::Found;
use super::segment::FourTuple;
use crate::rng::{KeyedHash, Rng};

/// The bits of an entry that say where it is; those above say what.
const INDEX_BITS: u32 = 30;

/// The table. Hashes are keyed, as strangers choose most of the numbers.
#[derive(Debug)]
pub(crate) struct TupleIndex {
    entries: HashTable<Entry>,
    hash: KeyedHash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    hash: u32,
    found: u32,
}

impl Entry {
    fn found(self) -> Found {
        let index = self.found & ((1 << INDEX_BITS) - 1);
        match self.found >> INDEX_BITS {
            0 => Found::Connection(index),
            1 => Found::Request(index),
            _ => Found::TimeWait(index),
        }
    }

    fn new(hash: u32, found: Found) -> Self {
        let (kind, index) = match found {
            Found::Connection(index) => (0, index),
            Found::Request(index) => (1, index),
            Found::TimeWait(index) => (2, index),
        };
        Entry { hash, found: kind << INDEX_BITS | index }
    }
}

impl TupleIndex {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        TupleIndex { entries: HashTable::new(), hash: KeyedHash::new(rng.key()) }
    }

    /// What has these numbers; `is` tells whether an entry does.
    #[inline]
    pub(crate) fn find(&self, tuple: &FourTuple, is: impl Fn(Found) -> bool) -> Option<Found> {
        let hash = self.hash_of(tuple);
        let entry =
            self.entries.find(spread(hash), |entry| entry.hash == hash && is(entry.found()));
        entry.map(|entry| entry.found())
    }

    /// Enters what has these numbers now in the place of `old`, which had them before.
    pub(crate) fn insert(&mut self, tuple: &FourTuple, old: Option<Found>, found: Found) {
        if let Some(old) = old {
            self.remove(tuple, old);
        }
        let hash = self.hash_of(tuple);
        let rehash = |entry: &Entry| spread(entry.hash);
        self.entries.insert_unique(spread(hash), Entry::new(hash, found), rehash);
    }

    /// Takes an entry out, if it is there.
    pub(crate) fn remove(&mut self, tuple: &FourTuple, found: Found) {
        let hash = self.hash_of(tuple);
        let wanted = Entry::new(hash, found);
        if let Ok(entry) = self.entries.find_entry(spread(hash), |entry| *entry == wanted) {
            entry.remove();
        }
    }

    fn hash_of(&self, tuple: &FourTuple) -> u32 {
        self.hash.hash_one(tuple) as u32
    }
}

/// A hash as the table wants it, which looks at the lowest bits and at the highest ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use std::collections::HashMap;
    use std::vec::Vec;

    use super::*;

    fn tuple(n: u32) -> FourTuple {
        let (local, remote) = (Ipv4Addr::LOCALHOST, Ipv4Addr::from_bits(n >> 8));
        FourTuple { local, remote, local_port: 80, remote_port: n as u8 as u16 }
    }

    #[test]
    fn is_as_a_map_of_the_numbers() {
        let mut index = TupleIndex::new(&mut Rng::new(1));
        let mut model: HashMap<FourTuple, Found> = HashMap::new();
        // Where the entries have their numbers.
        let mut numbers: Vec<FourTuple> = Vec::new();
        let mut random = Rng::new(2);
        for at in 0..20_000 {
            let tuple = tuple(random.below(500) as u32);
            let is = |found: Found| match found {
                Found::Connection(at) | Found::Request(at) | Found::TimeWait(at) => {
                    numbers[at as usize] == tuple
                }
            };
            let old = index.find(&tuple, is);
            assert_eq!(old, model.get(&tuple).copied());
            numbers.push(tuple);
            let found = match random.below(4) {
                0 => Found::Connection(at),
                1 => Found::Request(at),
                2 => Found::TimeWait(at),
                _ => {
                    if let Some(old) = old {
                        index.remove(&tuple, old);
                    }
                    index.remove(&tuple, Found::Connection(at));
                    model.remove(&tuple);
                    continue;
                }
            };
            index.insert(&tuple, old, found);
            model.insert(tuple, found);
        }
        assert_eq!(index.entries.len(), model.len());
    }

    #[test]
    fn an_entry_takes_eight_bytes_and_the_largest_places_fit() {
        assert_eq!(size_of::<Entry>(), 8);
        let last = (1 << INDEX_BITS) - 1;
        for found in [Found::Connection(last), Found::Request(last), Found::TimeWait(last)] {
            assert_eq!(Entry::new(7, found).found(), found);
        }
    }
}
