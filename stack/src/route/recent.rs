//! What was looked up last: most packets go where others have gone just before.

use core::cell::Cell;
use core::net::Ipv4Addr;

use super::{Match, RouteKind};

/// Answers kept of each kind. Who makes them replace one another only makes lookups as slow as
/// they are without.
const SLOTS: usize = 16;

/// The recent answers of a table, each of which holds until the table changes.
#[derive(Debug, Default)]
pub(super) struct Recent {
    pub(super) routes: Answers<Match>,
    pub(super) kinds: Answers<RouteKind>,
}

/// Answers by a few bits of the address.
#[derive(Debug)]
pub(super) struct Answers<T: Copy>([Cell<Option<Answer<T>>>; SLOTS]);

#[derive(Debug, Clone, Copy)]
struct Answer<T> {
    /// Of the table when it was given.
    generation: u64,
    address: Ipv4Addr,
    found: Option<T>,
}

impl<T: Copy> Answers<T> {
    /// The answer kept, or else what `find` finds.
    #[inline]
    pub(super) fn get(
        &self,
        generation: u64,
        address: Ipv4Addr,
        find: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        let slot = &self.0[slot(address)];
        if let Some(answer) = slot.get()
            && answer.address == address
            && answer.generation == generation
        {
            return answer.found;
        }
        let found = find();
        slot.set(Some(Answer { generation, address, found }));
        found
    }
}

impl<T: Copy> Default for Answers<T> {
    fn default() -> Self {
        Answers([const { Cell::new(None) }; SLOTS])
    }
}

/// Four bits of a multiplicative hash.
#[inline]
fn slot(address: Ipv4Addr) -> usize {
    (address.to_bits().wrapping_mul(0x9e37_79b1) >> 28) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_until_the_table_changes() {
        let answers = Answers::default();
        let address = Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(answers.get(1, address, || Some(1)), Some(1));
        assert_eq!(answers.get(1, address, || unreachable!()), Some(1));
        assert_eq!(answers.get(2, address, || None), None);
        assert_eq!(answers.get(2, address, || unreachable!()), None);
    }

    #[test]
    fn addresses_in_one_slot_are_told_apart() {
        let answers = Answers::default();
        for n in 0..64 {
            let address = Ipv4Addr::from_bits(n);
            assert_eq!(answers.get(1, address, || Some(n)), Some(n));
        }
        for n in (0..64).rev() {
            let address = Ipv4Addr::from_bits(n);
            assert_eq!(answers.get(1, address, || Some(n)), Some(n));
        }
    }
}
