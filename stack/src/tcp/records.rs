//! Where records end in what is to be sent (`MSG_EOR`, send(2)): no segment goes beyond such a
//! place (Linux `TCP_SKB_CB(skb)->eor`). Once sent, it is in the marks of its segment.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use crate::wire::seq::SeqNumber;

/// What a record costs in the send buffer besides its bytes, so that it bounds how many there are
/// (Linux charges a socket buffer for each).
const OVERHEAD: usize = 256;

/// The end of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// One past its last byte.
    pub(crate) end: SeqNumber,
    /// That byte is pushed.
    pub(crate) push: bool,
}

/// The records of which something is not sent yet, but for the last, which goes on.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "every connection has this, and few have records")]
pub(crate) struct Records(Option<Box<VecDeque<Record>>>);

impl Records {
    /// Ends a record.
    pub(crate) fn push(&mut self, record: Record) {
        self.0.get_or_insert_default().push_back(record);
    }

    /// The end that comes next.
    #[inline]
    pub(crate) fn first(&self) -> Option<Record> {
        self.0.as_ref()?.front().copied()
    }

    /// Everything before `seq` is sent; tells whether a record ends there.
    #[inline]
    pub(crate) fn sent_until(&mut self, seq: SeqNumber) -> Option<Record> {
        let list = self.0.as_mut()?;
        let ended = list.pop_front_if(|record| record.end.le(seq));
        if list.is_empty() {
            self.0 = None;
        }
        ended
    }

    /// Bytes of buffer that they take.
    #[inline]
    pub(crate) fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, |list| list.len() * OVERHEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_end_one_after_the_other_and_leave_nothing() {
        let mut records = Records::default();
        let at = |n: u32, push| Record { end: SeqNumber(u32::MAX) + n, push };
        records.push(at(5, true));
        records.push(at(9, false));
        assert_eq!(records.memory(), 2 * OVERHEAD);
        assert_eq!(records.first(), Some(at(5, true)));
        assert_eq!(records.sent_until(at(4, true).end), None);
        assert_eq!(records.sent_until(at(5, true).end), Some(at(5, true)));
        assert_eq!(records.sent_until(at(9, true).end), Some(at(9, false)));
        assert_eq!((records.first(), records.memory()), (None, 0));
        assert!(records.0.is_none());
    }
}
