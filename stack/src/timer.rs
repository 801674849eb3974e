//! Timers: a hierarchical wheel with ticks of one millisecond.
//!
//! Level 0 has one slot for each of the 64 ticks of the current window; a slot of level 1 covers
//! 64 ticks, of level 2 64², and so on; eight levels cover every [`Instant`]. A timer waits in the
//! level of the highest 6-bit digit in which its tick differs from the current tick, in the slot
//! of its own digit there. When time enters a slot above level 0, the slot's timers move down.
//!
//! Two things follow. Whatever waits in a lower level is due before anything in a higher one, so
//! the next timer is found by two bit scans. And all timers of one tick are always in the same
//! slot, in the order they were inserted, so they fire in that order.

use alloc::vec::Vec;

use crate::time::Instant;

#[cfg(test)]
mod tests;

const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// `Instant::FAR_FUTURE` is less than 2^45 ticks away; eight digits hold 48 bits.
const LEVELS: usize = 8;
const NANOS_PER_TICK: u64 = 1_000_000;
/// The end of a list of entries.
const NONE: u32 = u32::MAX;

/// Names a timer until it fires or is cancelled; afterwards it names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

/// Pending timers, each with a key that says what it is for.
#[derive(Debug)]
pub struct TimerWheel<K> {
    /// Timers and, linked from `free`, unused entries.
    entries: Vec<Entry<K>>,
    free: u32,
    len: usize,
    /// The tick up to which timers have fired. Those of this very tick may still be in their slot.
    current: u64,
    /// Which slots of each level hold timers; apart from them, as this is looked at most.
    occupied: [u64; LEVELS],
    levels: [[Slot; SLOTS]; LEVELS],
}

#[derive(Debug)]
struct Entry<K> {
    key: K,
    tick: u64,
    generation: u32,
    prev: u32,
    next: u32,
    /// Where it waits: level * SLOTS + slot.
    place: u16,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    first: u32,
    last: u32,
    /// No timer here has an earlier tick.
    earliest: u64,
}

const EMPTY: Slot = Slot { first: NONE, last: NONE, earliest: u64::MAX };

impl<K: Copy> TimerWheel<K> {
    /// A wheel without timers, starting at [`Instant::ZERO`].
    pub fn new() -> Self {
        TimerWheel {
            entries: Vec::new(),
            free: NONE,
            len: 0,
            current: 0,
            occupied: [0; LEVELS],
            levels: [[EMPTY; SLOTS]; LEVELS],
        }
    }

    /// When a timer fires, to the tick; `None` when it has fired or was cancelled before.
    pub fn deadline(&self, id: TimerId) -> Option<Instant> {
        let entry = self.entries.get(id.index as usize)?;
        (entry.generation == id.generation).then(|| Instant::from_millis(entry.tick))
    }

    /// How many timers are pending.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is pending.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Starts a timer that fires at the first whole millisecond not before `at`. One that is
    /// already past fires at the next [`expire`](Self::expire), after those due before it. One at
    /// [`Instant::FAR_FUTURE`] never fires.
    pub fn insert(&mut self, at: Instant, key: K) -> TimerId {
        let tick = at.as_nanos().div_ceil(NANOS_PER_TICK).max(self.current);
        let index = self.allocate(key, tick);
        self.enqueue(index);
        self.len += 1;
        TimerId { index, generation: self.entries[index as usize].generation }
    }

    /// Stops a timer and returns its key; `None` when it has fired or was cancelled before.
    pub fn cancel(&mut self, id: TimerId) -> Option<K> {
        let entry = self.entries.get(id.index as usize)?;
        if entry.generation != id.generation {
            return None;
        }
        let place = usize::from(entry.place);
        self.unlink(place, id.index);
        Some(self.release(id.index))
    }

    /// Removes one timer due at `now` and returns its key; call it until it returns `None`.
    /// Timers fire in the order of their ticks, those of one tick in the order of insertion.
    pub fn expire(&mut self, now: Instant) -> Option<K> {
        let now = now.as_millis();
        while let Some((level, slot)) = self.next_slot() {
            let start = self.slot_start(level, slot);
            if start > now {
                break;
            }
            self.current = start;
            if level == 0 {
                let index = self.levels[0][slot].first;
                self.unlink(slot, index);
                return Some(self.release(index));
            }
            self.cascade(level, slot);
        }
        // No occupied slot is entered by this, so no timer has to move.
        self.current = self.current.max(now);
        None
    }

    /// When to call [`expire`](Self::expire) next: never after the earliest timer is due, and
    /// exactly then unless the earliest timer of a slot above level 0 was cancelled.
    pub fn next_deadline(&self) -> Option<Instant> {
        let (level, slot) = self.next_slot()?;
        Some(Instant::from_millis(self.levels[level][slot].earliest))
    }

    /// The keys of timers that fire next, in their order: those of one slot of level 0.
    pub(crate) fn upcoming(&self) -> impl Iterator<Item = K> {
        let slot = self.next_slot().filter(|(level, _)| *level == 0);
        let mut index = slot.map_or(NONE, |(_, slot)| self.levels[0][slot].first);
        core::iter::from_fn(move || {
            let entry = self.entries.get(index as usize)?;
            index = entry.next;
            Some(entry.key)
        })
    }

    /// The occupied slot that time enters first.
    fn next_slot(&self) -> Option<(usize, usize)> {
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        Some((level, self.occupied[level].trailing_zeros() as usize))
    }

    /// The first tick of a slot: the current tick with this level's digit replaced and the digits
    /// below cleared.
    fn slot_start(&self, level: usize, slot: usize) -> u64 {
        let shift = DIGIT_BITS * level as u32;
        let above = self.current >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);
        above | (slot as u64) << shift
    }

    /// Moves the timers of a slot that time has just entered to lower levels.
    fn cascade(&mut self, level: usize, slot: usize) {
        let mut index = self.levels[level][slot].first;
        self.levels[level][slot] = EMPTY;
        self.occupied[level] &= !(1 << slot);
        while index != NONE {
            let next = self.entries[index as usize].next;
            self.enqueue(index);
            index = next;
        }
    }

    /// Appends an entry to the slot that its tick belongs in.
    fn enqueue(&mut self, index: u32) {
        let tick = self.entries[index as usize].tick;
        let level = (tick ^ self.current).checked_ilog2().unwrap_or(0) / DIGIT_BITS;
        let digit = (tick >> (DIGIT_BITS * level)) as usize % SLOTS;
        let place = level as usize * SLOTS + digit;
        self.occupied[level as usize] |= 1 << digit;
        let slot = &mut self.levels[level as usize][digit];
        slot.earliest = slot.earliest.min(tick);
        let last = core::mem::replace(&mut slot.last, index);
        match self.entries.get_mut(last as usize) {
            Some(entry) => entry.next = index,
            None => slot.first = index,
        }
        let entry = &mut self.entries[index as usize];
        entry.prev = last;
        entry.next = NONE;
        entry.place = place as u16;
    }

    /// Takes an entry out of the slot at `place`.
    fn unlink(&mut self, place: usize, index: u32) {
        let Entry { prev, next, .. } = self.entries[index as usize];
        let slot = &mut self.levels[place / SLOTS][place % SLOTS];
        match self.entries.get_mut(prev as usize) {
            Some(entry) => entry.next = next,
            None => slot.first = next,
        }
        match self.entries.get_mut(next as usize) {
            Some(entry) => entry.prev = prev,
            None => slot.last = prev,
        }
        if slot.first == NONE {
            *slot = EMPTY;
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        }
    }

    fn allocate(&mut self, key: K, tick: u64) -> u32 {
        let index = self.free;
        if let Some(entry) = self.entries.get_mut(index as usize) {
            self.free = entry.next;
            entry.key = key;
            entry.tick = tick;
            return index;
        }
        let index = self.entries.len() as u32;
        self.entries.push(Entry { key, tick, generation: 0, prev: NONE, next: NONE, place: 0 });
        index
    }

    /// Makes an entry unused and every id of it stale.
    fn release(&mut self, index: u32) -> K {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = core::mem::replace(&mut self.free, index);
        self.len -= 1;
        entry.key
    }
}

impl<K: Copy> Default for TimerWheel<K> {
    fn default() -> Self {
        TimerWheel::new()
    }
}
