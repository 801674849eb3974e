//! What is going to happen, in order.

use alloc::collections::BinaryHeap;
use core::cmp::Ordering;

use crate::time::Instant;

/// Events by time; those of the same moment in the order in which they were added.
#[derive(Debug)]
pub(super) struct EventQueue<E> {
    heap: BinaryHeap<Entry<E>>,
    added: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Instant,
    number: u64,
    event: E,
}

impl<E> EventQueue<E> {
    pub(super) fn new() -> Self {
        EventQueue { heap: BinaryHeap::new(), added: 0 }
    }

    pub(super) fn add(&mut self, at: Instant, event: E) {
        self.added += 1;
        self.heap.push(Entry { at, number: self.added, event });
    }

    /// When the first event is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// Takes out the first event.
    pub(super) fn pop(&mut self) -> Option<(Instant, E)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }

    /// Takes out the first event if it is due at `at` and as wanted.
    pub(super) fn pop_if(&mut self, at: Instant, wanted: impl FnOnce(&E) -> bool) -> Option<E> {
        let first = self.heap.peek()?;
        if first.at != at || !wanted(&first.event) {
            return None;
        }
        self.heap.pop().map(|entry| entry.event)
    }
}

impl<E> Ord for Entry<E> {
    /// The greatest entry is the earliest, as the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Entry<E> {}
