//! Something for each link, found by the link's number.

use alloc::vec::Vec;

use crate::packet::LinkId;

/// A map by link number. Numbers are given out in rising order and never again, so the entries
/// stay sorted, and until a link is removed each is where its number says.
#[derive(Debug)]
pub(crate) struct LinkMap<T> {
    /// By number, rising.
    entries: Vec<(LinkId, T)>,
    /// The last number given out.
    last: u32,
}

impl<T> Default for LinkMap<T> {
    fn default() -> Self {
        LinkMap { entries: Vec::new(), last: 0 }
    }
}

impl<T> LinkMap<T> {
    /// How many links there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    pub(crate) fn get(&self, id: LinkId) -> Option<&T> {
        self.position(id).map(|at| &self.entries[at].1)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: LinkId) -> Option<&mut T> {
        self.position(id).map(|at| &mut self.entries[at].1)
    }

    /// By number, rising.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    /// The number after the last one that was ever used (Linux `dev_new_index`); `None` when there
    /// is none.
    pub(crate) fn next_id(&self) -> Option<LinkId> {
        self.last.checked_add(1).map(LinkId)
    }

    /// Adds an entry under a number from [`next_id`](Self::next_id).
    pub(crate) fn insert(&mut self, id: LinkId, entry: T) {
        debug_assert!(id.0 > self.last);
        self.last = id.0;
        self.entries.push((id, entry));
    }

    pub(crate) fn remove(&mut self, id: LinkId) -> Option<T> {
        self.position(id).map(|at| self.entries.remove(at).1)
    }

    #[inline]
    fn position(&self, id: LinkId) -> Option<usize> {
        let guess = id.0.wrapping_sub(1) as usize;
        match self.entries.get(guess) {
            Some((there, _)) if *there == id => Some(guess),
            _ => self.entries.binary_search_by_key(&id, |(there, _)| *there).ok(),
        }
    }
}
