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

use alloc::collections::VecDeque;

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
    pub(crate) order: u32,
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

    /// Sets `packets` from the length.
    fn count(&mut self) {
        let bytes = self.len();
        self.packets =
            bytes.div_ceil(u32::from(self.mss.max(1))).clamp(1, u32::from(u16::MAX)) as u16;
    }
}

/// The segments in flight, and the sums over their marks.
#[derive(Debug, Default)]
pub(crate) struct RtxQueue {
    entries: VecDeque<Sent>,
    pub(crate) packets_out: u32,
    /// Without SACK, duplicate ACKs stand for it (Linux `tcp_add_reno_sack`).
    pub(crate) sacked_out: u32,
    pub(crate) lost_out: u32,
    pub(crate) retrans_out: u32,
    /// Transmissions so far.
    order: u32,
}

impl RtxQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Sent> {
        self.entries.get(at)
    }

    pub(crate) fn first(&self) -> Option<&Sent> {
        self.entries.front()
    }

    pub(crate) fn last(&self) -> Option<&Sent> {
        self.entries.back()
    }

    /// Packets in flight (RFC 6675 `pipe`, Linux `tcp_packets_in_flight`).
    pub(crate) fn in_flight(&self) -> u32 {
        (self.packets_out + self.retrans_out).saturating_sub(self.sacked_out + self.lost_out)
    }

    /// Where the entry is that holds `seq`, or the first one behind it.
    pub(crate) fn position(&self, seq: SeqNumber) -> usize {
        self.entries.partition_point(|sent| sent.end.le(seq))
    }

    /// Appends a segment that was sent for the first time.
    pub(crate) fn push(&mut self, mut sent: Sent) -> u32 {
        sent.count();
        self.order = self.order.wrapping_add(1);
        sent.order = self.order;
        let packets = u32::from(sent.packets);
        self.packets_out += packets;
        if self.entries.capacity() == 0 {
            // A conversation has one segment in flight.
            self.entries.reserve_exact(1);
        }
        self.entries.push_back(sent);
        packets
    }

    /// Removes the oldest segment.
    pub(crate) fn pop(&mut self) -> Option<Sent> {
        let sent = self.entries.pop_front()?;
        self.subtract(&sent);
        // Idle connections are many: memory that was used just now is in the cache, that of one of
        // many connections is not.
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
        Some(sent)
    }

    /// Cuts off what is acknowledged of the oldest segment; returns how many packets that was.
    pub(crate) fn trim_first(&mut self, una: SeqNumber) -> u32 {
        let Some(mut sent) = self.entries.front().copied() else { return 0 };
        let before = u32::from(sent.packets);
        self.subtract(&sent);
        sent.seq = una;
        sent.marks.remove(Marks::SYN);
        sent.count();
        self.add(&sent);
        self.entries[0] = sent;
        before - u32::from(sent.packets).min(before)
    }

    /// Splits the entry so that it ends at `at`, which must lie inside; the rest follows it.
    pub(crate) fn split(&mut self, index: usize, at: SeqNumber) {
        let Some(mut first) = self.entries.get(index).copied() else { return };
        if at.le(first.seq) || at.ge(first.end) {
            return;
        }
        self.subtract(&first);
        let mut rest = first;
        first.end = at;
        first.marks.remove(Marks::FIN | Marks::PSH | Marks::EOR);
        rest.seq = at;
        rest.marks.remove(Marks::SYN);
        first.count();
        rest.count();
        self.add(&first);
        self.add(&rest);
        self.entries[index] = first;
        self.entries.insert(index + 1, rest);
    }

    /// Joins the entry with those behind it to one of at most `limit` bytes, which must not end
    /// beyond `window_end`. All are single packets that the peer does not have, and only the last
    /// may end a record (Linux `tcp_retrans_try_collapse`).
    pub(crate) fn collapse(&mut self, index: usize, limit: u32, window_end: SeqNumber) {
        let Some(mut first) = self.entries.get(index).copied() else { return };
        while !first.is(Marks::SYN | Marks::SACKED | Marks::EOR) && first.packets == 1 {
            let Some(next) = self.entries.get(index + 1).copied() else { return };
            let data = next.end.since(first.seq) - u32::from(next.is(Marks::FIN));
            if next.packets > 1 || next.is(Marks::SACKED) || data > limit || next.end.gt(window_end)
            {
                return;
            }
            self.subtract(&first);
            self.subtract(&next);
            first.end = next.end;
            first.mss = first.mss.max(next.mss);
            first.marks |=
                next.marks & (Marks::FIN | Marks::PSH | Marks::EOR | Marks::EVER_RETRANS);
            first.count();
            self.add(&first);
            self.entries[index] = first;
            self.entries.remove(index + 1);
        }
    }

    /// Counts a segment anew for another MSS (Linux `tcp_init_tso_segs`).
    pub(crate) fn resize(&mut self, index: usize, mss: u16) {
        let Some(mut sent) = self.entries.get(index).copied() else { return };
        if sent.mss == mss {
            return;
        }
        self.subtract(&sent);
        sent.mss = mss;
        sent.count();
        self.add(&sent);
        self.entries[index] = sent;
    }

    /// Sets and clears marks of an entry.
    pub(crate) fn mark(&mut self, index: usize, set: Marks, clear: Marks) {
        let Some(mut sent) = self.entries.get(index).copied() else { return };
        self.subtract(&sent);
        sent.marks.remove(clear);
        sent.marks.insert(set);
        self.add(&sent);
        self.entries[index] = sent;
    }

    /// Notes that an entry has been sent again.
    pub(crate) fn sent_again(&mut self, index: usize, now: Instant, stamp: SegmentStamp) {
        self.mark(index, Marks::RETRANS | Marks::EVER_RETRANS, Marks::empty());
        self.order = self.order.wrapping_add(1);
        if let Some(sent) = self.entries.get_mut(index) {
            sent.order = self.order;
            sent.sent_at = now;
            sent.stamp = stamp;
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = RtxQueue { order: self.order, ..RtxQueue::default() };
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
