//! How many connections a service has, and when all of them are over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Places for connections.
#[derive(Debug, Clone)]
pub struct Limit {
    taken: Arc<AtomicUsize>,
    max: usize,
}

/// A place, free again when dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Limit {
    /// So many places.
    pub fn new(max: usize) -> Self {
        Limit { taken: Arc::default(), max }
    }

    /// Takes a place, if there is one.
    pub fn take(&self) -> Option<Place> {
        let free = |taken: usize| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok()?;
        Some(Place(Arc::clone(&self.taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_and_given_back() {
        let limit = Limit::new(2);
        let first = limit.take().expect("two are free");
        let _second = limit.clone().take().expect("one is free");
        assert!(limit.take().is_none());
        drop(first);
        assert!(limit.take().is_some());
    }
}
