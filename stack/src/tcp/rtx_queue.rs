//! What has been sent and not yet acknowledged: one entry a segment, with its marks (Linux
//! `tcp_rtx_queue` and `TCP_SKB_CB(skb)->sacked`).
//!
//! Entries lie in sequence order without gaps from `snd_una` to `snd_nxt`. A large segment is one
//! entry until a mark concerns only a part of it; then it is split at a multiple of its MSS.
//! Everything is counted in packets of one MSS, and the counters are sums over the entries:
//!
//! ```text
//! packets_out  all entries          sacked_out  those with SACKED
//! lost_out     those with LOST      retrans_out those with RETRANS
//! in flight = packets_out - sacked_out - lost_out + retrans_out
//! ```
//!
//! The oldest entry is kept apart from those behind it, as a conversation has no other. Of those
//! behind it nobody asks for all: a SACK block is news to those that the peer did not have, RACK
//! judges those in flight from the one on that was sent first (Linux `tsorted_sent_queue`), and
//! recovery sends again those that are lost. So each of these can be walked by itself, and what
//! an ACK costs is what it changes.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};

use super::rate::SegmentStamp;
use crate::time::Instant;
use crate::wire::seq::SeqNumber;

bitflags::bitflags! {
    /// What is known of a segment.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub(crate) struct Marks: u8 {
        /// The peer has it (RFC 2018).
        const SACKED = 1;
        /// It is taken to be lost.
        const LOST = 2;
        /// It was sent again, and that copy is in flight.
        const RETRANS = 4;
        /// It was sent again at some time.
        const EVER_RETRANS = 8;
        /// It carries SYN.
        const SYN = 16;
        /// It carries FIN.
        const FIN = 32;
        /// It ends with PSH.
        const PSH = 64;
        /// It ends a record: nothing is joined to it (`MSG_EOR`).
        const EOR = 128;
    }
}

/// Where an entry is: its first number, in a number space that does not wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

/// A segment in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) seq: SeqNumber,
    /// One past its last number, SYN and FIN counted.
    pub(crate) end: SeqNumber,
    pub(crate) marks: Marks,
    /// How many packets of `mss` it is.
    pub(crate) packets: u16,
    /// Payload bytes in each of them but the last.
    pub(crate) mss: u16,
    /// When it was sent last.
    pub(crate) sent_at: Instant,
    /// The number of that transmission: many may leave at one moment.
    pub(crate) order: u64,
    /// For the delivery rate.
    pub(crate) stamp: SegmentStamp,
}

impl Sent {
    pub(crate) fn len(&self) -> u32 {
        self.end.since(self.seq)
    }

    pub(crate) fn is(&self, marks: Marks) -> bool {
        self.marks.intersects(marks)
    }

    /// Whether it, or a copy of it, is on its way for all we know.
    pub(crate) fn is_in_flight(&self) -> bool {
        !self.is(Marks::SACKED) && (!self.is(Marks::LOST) || self.is(Marks::RETRANS))
    }

    /// Whether it is to be sent again.
    pub(crate) fn is_unsent(&self) -> bool {
        self.marks & (Marks::SACKED | Marks::LOST | Marks::RETRANS) == Marks::LOST
    }

    /// Sets `packets` from the length.
    fn count(&mut self) {
        let bytes = self.len();
        self.packets =
            bytes.div_ceil(u32::from(self.mss.max(1))).clamp(1, u32::from(u16::MAX)) as u16;
    }
}

/// The segments in flight, and the sums over their marks.
#[derive(Debug)]
pub(crate) struct RtxQueue {
    /// The oldest one.
    head: Option<Sent>,
    /// The others. Idle connections are many, so that nothing is kept when the last one is gone:
    /// memory that was used just now is in the cache, that of one of many connections is not.
    behind: Option<Box<Behind>>,
    pub(crate) packets_out: u32,
    /// Without SACK, duplicate ACKs stand for it (Linux `tcp_add_reno_sack`).
    pub(crate) sacked_out: u32,
    pub(crate) lost_out: u32,
    pub(crate) retrans_out: u32,
    /// Transmissions so far.
    order: u64,
    /// Where the oldest entry is, or was; other numbers are less than 2³¹ away.
    base: Place,
    #[cfg(test)]
    pub(crate) visits: core::cell::Cell<u64>,
}

impl Default for RtxQueue {
    fn default() -> Self {
        RtxQueue {
            head: None,
            behind: None,
            packets_out: 0,
            sacked_out: 0,
            lost_out: 0,
            retrans_out: 0,
            order: 0,
            // Far enough from zero for all that is before it.
            base: Place(1 << 32),
            #[cfg(test)]
            visits: core::cell::Cell::new(0),
        }
    }
}

/// The entries behind the oldest, and which of them are of interest to whom.
///
/// Invariant: every entry is in one of the maps, as its SACKED says, and in each of the sets whose
/// condition it meets.
#[derive(Debug, Default)]
struct Behind {
    /// Those that the peer does not have.
    missing: BTreeMap<Place, Sent>,
    /// Those that it has.
    sacked: BTreeMap<Place, Sent>,
    /// Those in flight, by their last transmission.
    by_time: BTreeSet<(u64, Place)>,
    /// Those with LOST.
    lost: BTreeSet<Place>,
    /// Those to be sent again.
    unsent: BTreeSet<Place>,
}

impl RtxQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    pub(crate) fn get(&self, at: Place) -> Option<&Sent> {
        #[cfg(test)]
        self.visits.set(self.visits.get() + 1);
        if at == self.base {
            return self.head.as_ref();
        }
        self.behind.as_ref()?.get(at)
    }

    pub(crate) fn first(&self) -> Option<&Sent> {
        self.head.as_ref()
    }

    /// Where the oldest entry is.
    pub(crate) fn first_place(&self) -> Place {
        self.base
    }

    /// The newest entry.
    pub(crate) fn last_place(&self) -> Option<Place> {
        let behind = self.behind.as_ref().and_then(|behind| {
            let missing = behind.missing.last_key_value().map(|(at, _)| *at);
            missing.max(behind.sacked.last_key_value().map(|(at, _)| *at))
        });
        behind.or_else(|| self.head.map(|_| self.base))
    }

    /// Packets in flight (RFC 6675 `pipe`, Linux `tcp_packets_in_flight`).
    pub(crate) fn in_flight(&self) -> u32 {
        (self.packets_out + self.retrans_out).saturating_sub(self.sacked_out + self.lost_out)
    }

    /// The entry that holds `seq`, or the first one behind it.
    pub(crate) fn any_from(&self, seq: SeqNumber) -> Option<Place> {
        if self.head?.end.gt(seq) {
            return Some(self.base);
        }
        let (behind, place) = (self.behind.as_ref()?, self.place(seq));
        let missing = entry_from(&behind.missing, place, seq);
        let sacked = entry_from(&behind.sacked, place, seq);
        match (missing, sacked) {
            (Some(missing), Some(sacked)) => Some(missing.min(sacked)),
            (missing, sacked) => missing.or(sacked),
        }
    }

    /// The same among the entries that the peer does not have.
    pub(crate) fn missing_from(&self, seq: SeqNumber) -> Option<Place> {
        let head = self.head?;
        if head.end.gt(seq) && !head.is(Marks::SACKED) {
            return Some(self.base);
        }
        entry_from(&self.behind.as_ref()?.missing, self.place(seq), seq)
    }

    /// The entry in flight that was sent first.
    pub(crate) fn oldest_in_flight(&self) -> Option<(Place, Sent)> {
        let behind = self.behind.as_ref().and_then(|behind| behind.by_time.first().copied());
        let head = self.head_by_time();
        let first = match (head, behind) {
            (Some(head), Some(behind)) => Some(head.min(behind)),
            (head, behind) => head.or(behind),
        };
        let (_, at) = first?;
        Some((at, *self.get(at)?))
    }

    /// The entry in flight that was sent last of those before `end` in the transmission with the
    /// number `order`, and of those in earlier ones.
    pub(crate) fn newest_in_flight(&self, order: u64, end: SeqNumber) -> Option<Sent> {
        let limit = (order, self.place(end));
        let behind = self.behind.as_ref();
        let behind = behind.and_then(|behind| behind.by_time.range(..limit).next_back().copied());
        let head = self.head_by_time().filter(|head| *head < limit);
        let (_, at) = head.max(behind)?;
        self.get(at).copied()
    }

    /// The first entry that is to be sent again.
    pub(crate) fn next_unsent(&self) -> Option<Place> {
        if self.head?.is_unsent() {
            return Some(self.base);
        }
        self.behind.as_ref()?.unsent.first().copied()
    }

    /// Appends a segment that was sent for the first time.
    pub(crate) fn push(&mut self, mut sent: Sent) -> u32 {
        sent.count();
        self.order += 1;
        sent.order = self.order;
        let packets = u32::from(sent.packets);
        self.packets_out += packets;
        let place = self.place(sent.seq);
        match self.head {
            None => {
                self.base = place;
                self.head = Some(sent);
            }
            Some(_) => self.behind.get_or_insert_default().insert(place, sent),
        }
        packets
    }

    /// Removes the oldest segment.
    pub(crate) fn pop(&mut self) -> Option<Sent> {
        let sent = self.head.take()?;
        self.subtract(&sent);
        self.base = self.place(sent.end);
        let behind = self.behind.as_mut();
        self.head = behind.and_then(|behind| behind.remove(self.base));
        if self.head.is_none() {
            self.behind = None;
        }
        Some(sent)
    }

    /// Cuts off what is acknowledged of the oldest segment; returns how many packets that was.
    pub(crate) fn trim_first(&mut self, una: SeqNumber) -> u32 {
        let Some(mut sent) = self.head else { return 0 };
        let before = u32::from(sent.packets);
        self.subtract(&sent);
        sent.seq = una;
        sent.marks.remove(Marks::SYN);
        sent.count();
        self.add(&sent);
        self.base = self.place(una);
        self.head = Some(sent);
        before - u32::from(sent.packets).min(before)
    }

    /// Splits the entry so that it ends at `seq`, which must lie inside; the rest follows it.
    pub(crate) fn split(&mut self, at: Place, seq: SeqNumber) {
        let Some(mut rest) = self.get(at).copied() else { return };
        if seq.le(rest.seq) || seq.ge(rest.end) {
            return;
        }
        self.change(at, |first| {
            first.end = seq;
            first.marks.remove(Marks::FIN | Marks::PSH | Marks::EOR);
            first.count();
        });
        rest.seq = seq;
        rest.marks.remove(Marks::SYN);
        rest.count();
        self.add(&rest);
        let place = self.place(seq);
        self.behind.get_or_insert_default().insert(place, rest);
    }

    /// Joins the entry with those behind it to one of at most `limit` bytes, which must not end
    /// beyond `window_end`. All are single packets that the peer does not have, and only the last
    /// may end a record (Linux `tcp_retrans_try_collapse`).
    pub(crate) fn collapse(&mut self, at: Place, limit: u32, window_end: SeqNumber) {
        while let Some(first) = self.get(at).copied() {
            if first.is(Marks::SYN | Marks::SACKED | Marks::EOR) || first.packets > 1 {
                return;
            }
            let place = self.place(first.end);
            let Some(next) = self.get(place).copied() else { return };
            let data = next.end.since(first.seq) - u32::from(next.is(Marks::FIN));
            if next.packets > 1 || next.is(Marks::SACKED) || data > limit || next.end.gt(window_end)
            {
                return;
            }
            let Some(behind) = &mut self.behind else { return };
            behind.remove(place);
            self.subtract(&next);
            self.change(at, |first| {
                first.end = next.end;
                first.mss = first.mss.max(next.mss);
                first.marks |=
                    next.marks & (Marks::FIN | Marks::PSH | Marks::EOR | Marks::EVER_RETRANS);
                first.count();
            });
        }
    }

    /// Counts a segment anew for another MSS (Linux `tcp_init_tso_segs`).
    pub(crate) fn resize(&mut self, at: Place, mss: u16) {
        self.change(at, |sent| {
            if sent.mss != mss {
                sent.mss = mss;
                sent.count();
            }
        });
    }

    /// Sets and clears marks of an entry.
    pub(crate) fn mark(&mut self, at: Place, set: Marks, clear: Marks) {
        self.change(at, |sent| {
            sent.marks.remove(clear);
            sent.marks.insert(set);
        });
    }

    /// Takes back that anything is lost.
    pub(crate) fn unmark_lost(&mut self) {
        self.mark(self.base, Marks::empty(), Marks::LOST);
        while let Some(at) = self.behind.as_ref().and_then(|behind| behind.lost.first().copied()) {
            self.mark(at, Marks::empty(), Marks::LOST);
        }
    }

    /// Notes that an entry has been sent again.
    pub(crate) fn sent_again(&mut self, at: Place, now: Instant, stamp: SegmentStamp) {
        self.order += 1;
        let order = self.order;
        self.change(at, |sent| {
            sent.marks.insert(Marks::RETRANS | Marks::EVER_RETRANS);
            sent.order = order;
            sent.sent_at = now;
            sent.stamp = stamp;
        });
    }

    pub(crate) fn clear(&mut self) {
        *self = RtxQueue { order: self.order, ..RtxQueue::default() };
    }

    /// Where a number is.
    fn place(&self, seq: SeqNumber) -> Place {
        let distance = seq - SeqNumber(self.base.0 as u32);
        Place(self.base.0.wrapping_add_signed(i64::from(distance)))
    }

    fn head_by_time(&self) -> Option<(u64, Place)> {
        self.head.filter(Sent::is_in_flight).map(|head| (head.order, self.base))
    }

    /// Lets `change` change an entry; sums and sets follow.
    fn change(&mut self, at: Place, change: impl FnOnce(&mut Sent)) {
        let Some(old) = self.get(at).copied() else { return };
        let mut new = old;
        change(&mut new);
        self.subtract(&old);
        self.add(&new);
        match self.behind.as_mut() {
            Some(behind) if at != self.base => behind.replace(at, &old, new),
            _ => self.head = Some(new),
        }
    }

    fn add(&mut self, sent: &Sent) {
        let packets = u32::from(sent.packets);
        self.packets_out += packets;
        self.sacked_out += if sent.is(Marks::SACKED) { packets } else { 0 };
        self.lost_out += if sent.is(Marks::LOST) { packets } else { 0 };
        self.retrans_out += if sent.is(Marks::RETRANS) { packets } else { 0 };
    }

    fn subtract(&mut self, sent: &Sent) {
        let packets = u32::from(sent.packets);
        let less =
            |sum: &mut u32, is: bool| *sum = sum.saturating_sub(if is { packets } else { 0 });
        less(&mut self.packets_out, true);
        less(&mut self.sacked_out, sent.is(Marks::SACKED));
        less(&mut self.lost_out, sent.is(Marks::LOST));
        less(&mut self.retrans_out, sent.is(Marks::RETRANS));
    }
}

impl Behind {
    fn get(&self, at: Place) -> Option<&Sent> {
        self.missing.get(&at).or_else(|| self.sacked.get(&at))
    }

    fn map(&mut self, sent: &Sent) -> &mut BTreeMap<Place, Sent> {
        if sent.is(Marks::SACKED) { &mut self.sacked } else { &mut self.missing }
    }

    fn insert(&mut self, at: Place, sent: Sent) {
        if sent.is_in_flight() {
            self.by_time.insert((sent.order, at));
        }
        if sent.is(Marks::LOST) {
            self.lost.insert(at);
        }
        if sent.is_unsent() {
            self.unsent.insert(at);
        }
        self.map(&sent).insert(at, sent);
    }

    fn remove(&mut self, at: Place) -> Option<Sent> {
        let sent = self.missing.remove(&at).or_else(|| self.sacked.remove(&at))?;
        if sent.is_in_flight() {
            self.by_time.remove(&(sent.order, at));
        }
        if sent.is(Marks::LOST) {
            self.lost.remove(&at);
            self.unsent.remove(&at);
        }
        Some(sent)
    }

    fn replace(&mut self, at: Place, old: &Sent, new: Sent) {
        const SORTED_BY: Marks = Marks::SACKED.union(Marks::LOST).union(Marks::RETRANS);
        if old.order == new.order && old.marks & SORTED_BY == new.marks & SORTED_BY {
            self.map(&new).insert(at, new);
        } else {
            self.remove(at);
            self.insert(at, new);
        }
    }
}

/// The entry that holds `seq`, which is at `place`, or the first one behind it.
fn entry_from(entries: &BTreeMap<Place, Sent>, place: Place, seq: SeqNumber) -> Option<Place> {
    let before = entries.range(..place).next_back().filter(|(_, sent)| sent.end.gt(seq));
    before.or_else(|| entries.range(place..).next()).map(|(at, _)| *at)
}

#[cfg(test)]
mod tests;
