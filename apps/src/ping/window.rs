//! What is known of the latest probes of one host, by sequence number.

use tapping_stack::time::Instant;

/// Sequence numbers are 16 bits wide, so no more probes than this can be told apart.
const SEQUENCES: usize = 1 << 16;
const WORDS: usize = SEQUENCES / 64;

/// When each of the latest 65,536 probes was sent, whether it was answered, and whether anything
/// at all was heard of it. The send times grow with use; a short run stays small.
#[derive(Debug)]
pub struct Window {
    sent: Vec<Instant>,
    received: Box<[u64; WORDS]>,
    settled: Box<[u64; WORDS]>,
}

impl Window {
    /// Nothing sent yet.
    pub fn new() -> Self {
        Window { sent: Vec::new(), received: Box::new([0; WORDS]), settled: Box::new([0; WORDS]) }
    }

    /// Opens the slot of `sequence`, forgetting what an earlier probe left there.
    pub fn open(&mut self, sequence: u16, at: Instant) {
        let index = usize::from(sequence);
        if index >= self.sent.len() {
            self.sent.resize(index + 1, Instant::ZERO);
        }
        self.sent[index] = at;
        self.received[index / 64] &= !bit(sequence);
        self.settled[index / 64] &= !bit(sequence);
    }

    /// When the probe was sent; `None` for a sequence number never used.
    pub fn sent_at(&self, sequence: u16) -> Option<Instant> {
        self.sent.get(usize::from(sequence)).copied().filter(|&at| at != Instant::ZERO)
    }

    /// Notes an answer and says whether one had come before.
    pub fn receive(&mut self, sequence: u16) -> bool {
        let word = &mut self.received[usize::from(sequence) / 64];
        let before = *word & bit(sequence) != 0;
        *word |= bit(sequence);
        self.settle(sequence);
        before
    }

    /// Whether an answer came.
    pub fn is_received(&self, sequence: u16) -> bool {
        self.received[usize::from(sequence) / 64] & bit(sequence) != 0
    }

    /// Notes that nothing more is expected of the probe: answered, refused, failed or given up.
    pub fn settle(&mut self, sequence: u16) {
        self.settled[usize::from(sequence) / 64] |= bit(sequence);
    }

    /// Whether [`settle`](Self::settle) or [`receive`](Self::receive) was called for it.
    pub fn is_settled(&self, sequence: u16) -> bool {
        self.settled[usize::from(sequence) / 64] & bit(sequence) != 0
    }
}

fn bit(sequence: u16) -> u64 {
    1 << (sequence % 64)
}
