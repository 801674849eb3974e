use std::vec::Vec;

use proptest::prelude::*;

use super::super::rate::DeliveryRate;
use super::*;
use crate::time::Duration;

/// Numbers come around within the test.
const ISN: SeqNumber = SeqNumber(0xffff_ff00);
const MSS: u16 = 10;

/// The entries as a plain list, oldest first, and what is asked of them by walking it.
#[derive(Default)]
struct Model {
    entries: Vec<Sent>,
    order: u64,
}

impl Model {
    fn packets(&self, is: impl Fn(&Sent) -> bool) -> u32 {
        self.entries.iter().filter(|sent| is(sent)).map(|sent| u32::from(sent.packets)).sum()
    }

    fn split(&mut self, index: usize, at: SeqNumber) {
        let first = &mut self.entries[index];
        if at.le(first.seq) || at.ge(first.end) {
            return;
        }
        let mut rest = *first;
        first.end = at;
        first.marks.remove(Marks::FIN | Marks::PSH);
        rest.seq = at;
        rest.marks.remove(Marks::SYN);
        first.count();
        rest.count();
        self.entries.insert(index + 1, rest);
    }
}

fn facts(sent: &Sent) -> (u32, u32, Marks, u16, u16, Instant, u64) {
    let Sent { seq, end, marks, packets, mss, sent_at, order, .. } = *sent;
    (seq.0, end.0, marks, packets, mss, sent_at, order)
}

/// A queue and its model side by side.
struct Both {
    queue: RtxQueue,
    model: Model,
    now: Instant,
    snd_nxt: SeqNumber,
}

impl Both {
    fn new() -> Self {
        let (queue, model) = (RtxQueue::default(), Model::default());
        Both { queue, model, now: Instant::from_secs(1), snd_nxt: ISN }
    }

    fn place(&self, index: usize) -> Place {
        let seq = self.model.entries[index].seq;
        self.queue.any_from(seq).expect("an entry")
    }

    fn push(&mut self, len: u32) {
        let stamp = DeliveryRate::new(self.now).on_sent(self.now, 0);
        let (seq, end) = (self.snd_nxt, self.snd_nxt + len);
        let marks = if len.is_multiple_of(3) { Marks::PSH } else { Marks::empty() };
        let mut sent =
            Sent { seq, end, marks, packets: 0, mss: MSS, sent_at: self.now, order: 0, stamp };
        self.queue.push(sent);
        sent.count();
        self.model.order += 1;
        sent.order = self.model.order;
        self.model.entries.push(sent);
        self.snd_nxt = end;
    }

    fn step(&mut self, what: u8, which: usize, amount: u32) {
        self.now += Duration::from_micros(u64::from(amount % 2));
        let count = self.model.entries.len();
        if what < 3 || count == 0 {
            return self.push(1 + amount % 60);
        }
        let index = which % count;
        let at = self.place(index);
        let sent = self.model.entries[index];
        match what {
            3 => {
                self.queue.pop();
                self.model.entries.remove(0);
            }
            4 => {
                let first = &mut self.model.entries[0];
                if first.len() > 1 {
                    first.seq = first.seq + 1 + amount % (first.len() - 1);
                    let una = first.seq;
                    first.marks.remove(Marks::SYN);
                    first.count();
                    self.queue.trim_first(una);
                }
            }
            5 => {
                let seq = sent.seq + amount % (sent.len() + 2);
                self.queue.split(at, seq);
                self.model.split(index, seq);
            }
            6 => {
                let mss = MSS + (amount % 3) as u16;
                self.queue.resize(at, mss);
                let sent = &mut self.model.entries[index];
                if sent.mss != mss {
                    sent.mss = mss;
                    sent.count();
                }
            }
            7 => {
                let stamp = sent.stamp;
                self.queue.sent_again(at, self.now, stamp);
                self.model.order += 1;
                let sent = &mut self.model.entries[index];
                sent.marks |= Marks::RETRANS | Marks::EVER_RETRANS;
                (sent.order, sent.sent_at) = (self.model.order, self.now);
            }
            8 if amount.is_multiple_of(8) => {
                self.queue.unmark_lost();
                self.model.entries.iter_mut().for_each(|sent| sent.marks.remove(Marks::LOST));
            }
            _ => {
                let all = [Marks::SACKED, Marks::LOST, Marks::RETRANS];
                let (set, clear) = (all[amount as usize % 3], all[amount as usize / 3 % 3]);
                self.queue.mark(at, set, clear);
                self.model.entries[index].marks.remove(clear);
                self.model.entries[index].marks.insert(set);
            }
        }
    }

    fn check(&self, seq: SeqNumber) {
        let (queue, entries) = (&self.queue, &self.model.entries);
        let fact = |at: Option<Place>| at.and_then(|at| queue.get(at)).map(facts);
        let find = |is: &dyn Fn(&&Sent) -> bool| entries.iter().find(is).map(facts);
        let mut listed = Vec::new();
        let mut next = entries.first().map_or(ISN, |sent| sent.seq);
        while let Some(sent) = queue.any_from(next).and_then(|at| queue.get(at)) {
            listed.push(facts(sent));
            next = sent.end;
        }
        assert_eq!(listed, entries.iter().map(facts).collect::<Vec<_>>());
        assert_eq!(queue.first().map(facts), entries.first().map(facts));
        assert_eq!(fact(queue.last_place()), entries.last().map(facts));
        assert_eq!(queue.is_empty(), entries.is_empty());
        assert_eq!(fact(queue.any_from(seq)), find(&|sent| sent.end.gt(seq)));
        let missing = |sent: &&Sent| sent.end.gt(seq) && !sent.is(Marks::SACKED);
        assert_eq!(fact(queue.missing_from(seq)), find(&missing));
        let unsent = |sent: &&Sent| sent.is_unsent();
        assert_eq!(fact(queue.next_unsent()), find(&unsent));
        let in_flight = || entries.iter().filter(|sent| sent.is_in_flight());
        let by_time = |sent: &&Sent| (sent.order, sent.seq.since(ISN));
        let oldest = queue.oldest_in_flight().map(|(_, sent)| facts(&sent));
        assert_eq!(oldest, in_flight().min_by_key(by_time).map(facts));
        for order in [0, self.model.order / 2, self.model.order] {
            let before = in_flight()
                .filter(|sent| sent.order < order || (sent.order == order && sent.seq.lt(seq)));
            let newest = queue.newest_in_flight(order, seq).map(|sent| facts(&sent));
            assert_eq!(newest, before.max_by_key(by_time).map(facts));
        }
        assert_eq!(queue.packets_out, self.model.packets(|_| true));
        assert_eq!(queue.sacked_out, self.model.packets(|sent| sent.is(Marks::SACKED)));
        assert_eq!(queue.lost_out, self.model.packets(|sent| sent.is(Marks::LOST)));
        assert_eq!(queue.retrans_out, self.model.packets(|sent| sent.is(Marks::RETRANS)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is done to it, the queue says what a walk over a list would.
    #[test]
    fn is_as_a_list(
        steps in proptest::collection::vec((0..12_u8, any::<usize>(), any::<u32>()), 0..150),
    ) {
        let mut both = Both::new();
        for (what, which, amount) in steps {
            both.step(what, which, amount);
            let span = both.snd_nxt.since(ISN) + 2;
            both.check(ISN + amount % span);
        }
    }
}

#[test]
fn an_empty_queue_and_a_single_segment_hold_no_memory_of_their_own() {
    let mut both = Both::new();
    both.push(5);
    assert!(both.queue.behind.is_none());
    both.push(5);
    assert!(both.queue.behind.is_some());
    both.queue.pop();
    both.queue.pop();
    assert!(both.queue.is_empty() && both.queue.behind.is_none());
}
