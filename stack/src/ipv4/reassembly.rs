//! Reassembly of fragments (RFC 791 §3.2, RFC 815; Linux `ip_fragment.c`, `inet_fragment.c`).
//!
//! Fragments wait, ordered by offset, until all of their datagram are there. The memory they take
//! is bounded in all; a datagram is given up after a fixed time, when fragments contradict each
//! other, and when its sender has meanwhile sent so many others that its 16-bit identification
//! may have come round. A fragment that lies within what came in one run is a duplicate, and
//! ignored; any other overlap is taken for an attack and ends the whole datagram, as RFC 5722
//! demands of IPv6 and Linux does for both.
//!
//! Unlike Linux, which cuts it down, a fragment with more to follow whose length is no multiple
//! of 8 is dropped: no sender that follows RFC 791 makes one. Nor does Linux take the link for
//! part of what identifies a datagram; here it is, so that no link can spoil another's.

use alloc::collections::BTreeMap;
use core::mem::size_of;
use core::net::Ipv4Addr;

use crate::packet::{ChecksumState, LinkId, Packet, PacketPool};
use crate::rng::{KeyedHash, KeyedMap};
use crate::time::{Duration, Instant};
use crate::timer::{TimerId, TimerWheel};
use crate::wire::error::WireError;
use crate::wire::ipv4::{HEADER_LEN, Ipv4, Ipv4Repr, MAX_LEN, Protocol};

#[cfg(test)]
mod tests;

/// The ECN field in the TOS byte (RFC 3168 §5).
const ECN_MASK: u8 = 3;

/// Settings of a [`Reassembler`]; the defaults are those of Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReassemblyConfig {
    /// While the fragments held take more bytes than this, none is accepted
    /// (`net.ipv4.ipfrag_high_thresh`).
    pub high_threshold: usize,
    /// How long a datagram may take, from its first fragment (`net.ipv4.ipfrag_time`).
    pub timeout: Duration,
    /// How many fragments its source may send between two fragments of a datagram; more start it
    /// anew. 0 allows any number (`net.ipv4.ipfrag_max_dist`).
    pub max_distance: u32,
    /// How many fragments a datagram may have. Without options an MTU of 68 makes at most 1365.
    pub max_fragments: usize,
}

impl Default for ReassemblyConfig {
    fn default() -> Self {
        ReassemblyConfig {
            high_threshold: 4 << 20,
            timeout: Duration::from_secs(30),
            max_distance: 64,
            max_fragments: 2048,
        }
    }
}

/// What became of a fragment.
#[derive(Debug)]
pub enum Outcome {
    /// It waits for others.
    Pending,
    /// It was the last one missing.
    Complete {
        /// The datagram, from its IP header: the first fragment's, with length, flags, ECN and
        /// checksum made right. Metadata is the first fragment's, but the timestamp is that of the
        /// last to arrive.
        packet: Packet,
        /// Length of the longest fragment with its header. Who forwards the datagram must not
        /// send longer ones (Linux `frag_max_size`).
        max_fragment_size: u16,
    },
    /// It was dropped; in the case of an overlap, of contradictions or of too many fragments with
    /// all of its datagram, whose packets have gone back to the pool.
    Dropped {
        /// Why.
        error: ReassemblyError,
        /// The fragment itself, for whoever watches; when the whole datagram turned out wrong, its
        /// first one.
        packet: Packet,
    },
}

/// Why a fragment was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReassemblyError {
    /// It has no sound header.
    #[error(transparent)]
    Malformed(#[from] WireError),
    /// It carries no data.
    #[error("fragment without data")]
    Empty,
    /// More are to follow, but its length is not a multiple of 8.
    #[error("fragment length not a multiple of 8")]
    Unaligned,
    /// The datagram would be longer than 65535 bytes.
    #[error("fragment beyond 65535 bytes")]
    TooLong,
    /// Fragments take as much memory as they may.
    #[error("reassembly memory used up")]
    OutOfMemory,
    /// All its bytes are there already.
    #[error("duplicate fragment")]
    Duplicate,
    /// It covers bytes of another one, and others.
    #[error("overlapping fragments")]
    Overlap,
    /// Fragments disagree about where the datagram ends.
    #[error("fragments disagree about the length")]
    ConflictingEnd,
    /// The datagram has more fragments than it may.
    #[error("too many fragments")]
    TooManyFragments,
    /// The fragments' ECN fields contradict each other (RFC 3168 §5.3).
    #[error("fragments disagree about ECN")]
    ConflictingEcn,
}

impl ReassemblyError {
    /// Whether the other fragments of the datagram are dropped, too: nobody can tell which of
    /// them are genuine.
    fn ends_datagram(self) -> bool {
        matches!(
            self,
            ReassemblyError::Empty
                | ReassemblyError::Overlap
                | ReassemblyError::ConflictingEnd
                | ReassemblyError::TooManyFragments
        )
    }
}

/// A datagram whose time was over.
#[derive(Debug)]
pub struct Expired {
    /// Its first fragment, from the IP header, if that had arrived: only then the source is told
    /// (RFC 792, time exceeded code 1). To be given back to the pool.
    pub first: Option<Packet>,
}

/// Counters, named as in Linux `/proc/net/snmp` and `netstat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReassemblyStats {
    /// Fragments that came in.
    pub reasm_reqds: u64,
    /// Datagrams completed.
    pub reasm_oks: u64,
    /// Fragments refused, except duplicates, and datagrams given up.
    pub reasm_fails: u64,
    /// Datagrams given up because their time was over.
    pub reasm_timeout: u64,
    /// Datagrams given up because fragments overlapped.
    pub reasm_overlaps: u64,
}

/// Fragments of datagrams that are not complete yet.
#[derive(Debug)]
pub struct Reassembler {
    config: ReassemblyConfig,
    datagrams: KeyedMap<Key, Datagram>,
    /// The sources of `datagrams`.
    sources: KeyedMap<Ipv4Addr, Source>,
    /// One timer for each of `datagrams`.
    timers: TimerWheel<Key>,
    /// The sum of [`Datagram::memory`].
    memory: usize,
    stats: ReassemblyStats,
}

/// RFC 791 §3.2: source, destination, protocol and identification name a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    src: Ipv4Addr,
    dst: Ipv4Addr,
    id: u16,
    protocol: Protocol,
    link_in: Option<LinkId>,
}

#[derive(Debug, Default)]
struct Source {
    /// How many fragments came from it.
    fragments: u64,
    /// How many datagrams it has here.
    datagrams: usize,
}

#[derive(Debug)]
struct Datagram {
    /// By offset; no two overlap.
    fragments: BTreeMap<u16, Fragment>,
    /// Payload bytes in `fragments`.
    received: usize,
    /// Where the payload ends, as far as is known: for sure once `last_in`.
    end: usize,
    /// The fragment without MF has arrived.
    last_in: bool,
    /// The header of the fragment at offset 0, once it has arrived.
    header: Option<Ipv4Repr>,
    /// Every fragment's transport checksum was verified by its device.
    verified: bool,
    /// Bit `1 << n` for each ECN field `n` seen.
    ecn: u8,
    max_size: u16,
    /// Of the fragments with DF set.
    max_df_size: u16,
    /// [`Source::fragments`] when the latest one arrived.
    seen_at: u64,
    timestamp: Instant,
    timer: TimerId,
    memory: usize,
}

#[derive(Debug)]
struct Fragment {
    packet: Packet,
    header_len: usize,
    payload_len: usize,
    /// The offset of the first fragment of its run: of those that came one after the other, each
    /// beginning where all before it ended (Linux `inet_frag_queue_insert`).
    run: u16,
    /// Of the first of a run: where the run ends.
    run_end: usize,
}

/// A fragment's header.
struct Piece {
    key: Key,
    repr: Ipv4Repr,
    /// Where its payload ends in the datagram's: at most the longest payload there is.
    end: usize,
}

impl Reassembler {
    /// An empty one; `hash` keys its tables.
    pub fn new(config: ReassemblyConfig, hash: KeyedHash) -> Self {
        Reassembler {
            config,
            datagrams: KeyedMap::with_hasher(hash.clone()),
            sources: KeyedMap::with_hasher(hash),
            timers: TimerWheel::new(),
            memory: 0,
            stats: ReassemblyStats::default(),
        }
    }

    /// How many datagrams are incomplete.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Bytes of memory that fragments take: the true size of each and what keeps track of it.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// The counters.
    pub fn stats(&self) -> ReassemblyStats {
        self.stats
    }

    /// Takes a fragment, whose bytes start at the IP header. A packet that is no fragment is
    /// complete as it is.
    pub fn insert(&mut self, now: Instant, packet: Packet, pool: &mut PacketPool) -> Outcome {
        let piece = match Piece::read(&packet).transpose() {
            None => {
                let max_fragment_size = packet.len().min(MAX_LEN) as u16;
                return Outcome::Complete { packet, max_fragment_size };
            }
            Some(piece) => piece,
        };
        self.stats.reasm_reqds += 1;
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return self.refuse(packet, error),
        };
        if self.memory > self.config.high_threshold {
            return self.refuse(packet, ReassemblyError::OutOfMemory);
        }
        let max_fragments = self.config.max_fragments;
        let datagram = self.prepare(now, &piece.key, pool);
        if let Err(error) = datagram.check(&piece, max_fragments) {
            if error.ends_datagram() {
                self.give_up(&piece.key, pool);
            }
            return self.refuse(packet, error);
        }
        let grown = datagram.add(&piece, packet);
        let header = datagram.complete_header();
        self.memory += grown;
        match header {
            None => Outcome::Pending,
            Some(header) => self.complete(&piece.key, header, pool),
        }
    }

    /// When to call [`expire`](Self::expire).
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Gives up one datagram whose time is over; call it until it returns `None`.
    pub fn expire(&mut self, now: Instant, pool: &mut PacketPool) -> Option<Expired> {
        let key = self.timers.expire(now)?;
        let mut datagram = self.remove(&key)?;
        self.stats.reasm_timeout += 1;
        self.stats.reasm_fails += 1;
        let first = datagram.fragments.remove(&0).map(|first| first.packet);
        datagram.recycle(pool);
        Some(Expired { first })
    }

    /// Makes sure there is a datagram for `key`, and starts it anew when it is too old in terms of
    /// what its source sent since (Linux `ip_frag_too_far`).
    fn prepare(&mut self, now: Instant, key: &Key, pool: &mut PacketPool) -> &mut Datagram {
        let seen_at = self.sources.get(&key.src).map_or(0, |source| source.fragments + 1);
        let too_far =
            |datagram: &Datagram| seen_at - datagram.seen_at > u64::from(self.config.max_distance);
        if self.config.max_distance > 0 && self.datagrams.get(key).is_some_and(too_far) {
            self.stats.reasm_fails += 1;
            self.give_up(key, pool);
        }
        let source = self.sources.entry(key.src).or_default();
        source.fragments = seen_at;
        let datagram = self.datagrams.entry(*key).or_insert_with(|| {
            source.datagrams += 1;
            let timer = self.timers.insert(now + self.config.timeout, *key);
            let datagram = Datagram::new(timer);
            self.memory += datagram.memory;
            datagram
        });
        datagram.seen_at = seen_at;
        datagram
    }

    fn complete(&mut self, key: &Key, header: Ipv4Repr, pool: &mut PacketPool) -> Outcome {
        let Some(datagram) = self.remove(key) else { return Outcome::Pending };
        self.timers.cancel(datagram.timer);
        let max_fragment_size = datagram.max_size;
        match datagram.assemble(header, pool) {
            Ok(packet) => {
                self.stats.reasm_oks += 1;
                Outcome::Complete { packet, max_fragment_size }
            }
            Err((error, packet)) => {
                self.stats.reasm_fails += 1;
                Outcome::Dropped { error, packet }
            }
        }
    }

    fn refuse(&mut self, packet: Packet, error: ReassemblyError) -> Outcome {
        match error {
            ReassemblyError::Duplicate => {}
            ReassemblyError::Overlap => {
                self.stats.reasm_overlaps += 1;
                self.stats.reasm_fails += 1;
            }
            _ => self.stats.reasm_fails += 1,
        }
        Outcome::Dropped { error, packet }
    }

    fn give_up(&mut self, key: &Key, pool: &mut PacketPool) {
        if let Some(datagram) = self.remove(key) {
            self.timers.cancel(datagram.timer);
            datagram.recycle(pool);
        }
    }

    /// Takes a datagram out of the tables; its timer is left to the caller.
    fn remove(&mut self, key: &Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(key)?;
        self.memory -= datagram.memory;
        if let Some(source) = self.sources.get_mut(&key.src) {
            source.datagrams -= 1;
            if source.datagrams == 0 {
                self.sources.remove(&key.src);
            }
        }
        Some(datagram)
    }
}

impl Piece {
    /// Checks a fragment by itself; `None` for a packet that is whole.
    fn read(packet: &Packet) -> Result<Option<Self>, ReassemblyError> {
        let view = Ipv4::parse(packet.bytes())?;
        if !view.is_fragment() {
            return Ok(None);
        }
        let key = Key {
            src: view.src(),
            dst: view.dst(),
            id: view.id(),
            protocol: view.protocol(),
            link_in: packet.meta.link_in,
        };
        let payload_len = view.payload().len();
        let end = view.fragment_offset() + payload_len;
        if view.more_fragments() && !payload_len.is_multiple_of(8) {
            // RFC 791 §3.2: all fragments but the last are multiples of 8 bytes long.
            Err(ReassemblyError::Unaligned)
        } else if end > MAX_LEN - HEADER_LEN {
            Err(ReassemblyError::TooLong)
        } else {
            Ok(Some(Piece { key, repr: Ipv4Repr::from_view(&view), end }))
        }
    }
}

impl Datagram {
    fn new(timer: TimerId) -> Self {
        Datagram {
            fragments: BTreeMap::new(),
            received: 0,
            end: 0,
            last_in: false,
            header: None,
            verified: true,
            ecn: 0,
            max_size: 0,
            max_df_size: 0,
            seen_at: 0,
            timestamp: Instant::ZERO,
            timer,
            // The entry itself and the first node of the B-tree, which holds 11 fragments.
            memory: size_of::<(Key, Datagram)>() + 11 * size_of::<(u16, Fragment)>(),
        }
    }

    /// Adds a fragment that was checked; returns by how much that makes the datagram's memory
    /// grow.
    fn add(&mut self, piece: &Piece, packet: Packet) -> usize {
        let Piece { repr, end, .. } = piece;
        let offset = repr.fragment_offset;
        let payload_len = end - offset;
        self.end = self.end.max(*end);
        self.last_in |= !repr.more_fragments;
        self.received += payload_len;
        if offset == 0 {
            self.header = Some(*repr);
        }
        self.verified &= packet.meta.checksum == ChecksumState::Unnecessary;
        self.ecn |= 1 << (repr.tos & ECN_MASK);
        self.max_size = self.max_size.max(repr.total_len);
        if repr.dont_fragment {
            self.max_df_size = self.max_df_size.max(repr.total_len);
        }
        self.timestamp = packet.meta.timestamp;
        let run = match self.fragments.last_key_value().map(|(_, last)| last.run) {
            Some(run) if self.run_end(run) == offset => run,
            _ => offset as u16,
        };
        if let Some(first) = self.fragments.get_mut(&run) {
            first.run_end = *end;
        }
        let grown = packet.true_size() + size_of::<Fragment>();
        self.memory += grown;
        let header_len = repr.header_len();
        let fragment = Fragment { packet, header_len, payload_len, run, run_end: *end };
        self.fragments.insert(offset as u16, fragment);
        grown
    }

    /// Checks a fragment against the others.
    fn check(&self, piece: &Piece, max_fragments: usize) -> Result<(), ReassemblyError> {
        let beyond_last = self.last_in && piece.end > self.end;
        let before_known = !piece.repr.more_fragments && piece.end < self.end;
        if beyond_last || before_known {
            return Err(ReassemblyError::ConflictingEnd);
        }
        if piece.end == piece.repr.fragment_offset {
            return Err(ReassemblyError::Empty);
        }
        // Offsets have 13 bits and count 8 bytes.
        let offset = piece.repr.fragment_offset as u16;
        if let Some((_, before)) = self.fragments.range(..=offset).next_back() {
            let end = self.run_end(before.run);
            if end > usize::from(offset) {
                return Err(match piece.end <= end {
                    true => ReassemblyError::Duplicate,
                    false => ReassemblyError::Overlap,
                });
            }
        }
        if let Some((at, _)) = self.fragments.range(offset..).next()
            && usize::from(*at) < piece.end
        {
            return Err(ReassemblyError::Overlap);
        }
        if self.fragments.len() >= max_fragments {
            return Err(ReassemblyError::TooManyFragments);
        }
        Ok(())
    }

    /// Where the run ends that starts at `offset`.
    fn run_end(&self, offset: u16) -> usize {
        self.fragments.get(&offset).map_or(0, |first| first.run_end)
    }

    /// The header of the datagram once all of it is there: as no two fragments overlap, nothing
    /// is missing when their lengths add up to the end.
    fn complete_header(&self) -> Option<Ipv4Repr> {
        self.header.filter(|_| self.last_in && self.received == self.end)
    }

    /// Puts the fragments, all of which are there, together under the first one's header; the error
    /// comes with the first fragment.
    fn assemble(
        mut self,
        first: Ipv4Repr,
        pool: &mut PacketPool,
    ) -> Result<Packet, (ReassemblyError, Packet)> {
        let header_len = first.header_len();
        let total_len = header_len + self.end;
        let error = match combine_ecn(self.ecn) {
            None => ReassemblyError::ConflictingEcn,
            Some(_) if total_len > MAX_LEN => ReassemblyError::TooLong,
            Some(ecn) => {
                let repr = Ipv4Repr {
                    tos: first.tos | ecn,
                    // As Linux: when the longest fragment had DF set, so does the datagram.
                    dont_fragment: self.max_df_size == self.max_size,
                    more_fragments: false,
                    total_len: total_len as u16,
                    ..first
                };
                let (verified, timestamp) = (self.verified, self.timestamp);
                let mut packet = join(self.fragments, total_len, pool);
                repr.emit(packet.bytes_mut());
                packet.mark_network();
                packet.mark_transport(header_len);
                packet.meta.timestamp = timestamp;
                if !verified {
                    packet.meta.checksum = ChecksumState::None;
                }
                return Ok(packet);
            }
        };
        let first = self.fragments.pop_first().map(|(_, fragment)| fragment.packet);
        self.recycle(pool);
        Err((error, first.unwrap_or_default()))
    }

    fn recycle(self, pool: &mut PacketPool) {
        self.fragments.into_values().for_each(|fragment| pool.put(fragment.packet));
    }
}

/// Appends the payloads to the first fragment, in its own buffer if that has the room.
fn join(fragments: BTreeMap<u16, Fragment>, total_len: usize, pool: &mut PacketPool) -> Packet {
    let mut fragments = fragments.into_values();
    let Some(first) = fragments.next() else { return pool.take(total_len) };
    let mut whole = first.packet;
    whole.truncate(first.header_len + first.payload_len);
    if whole.tailroom() < total_len - whole.len() {
        let larger = move_to_larger(&whole, total_len, pool);
        pool.put(core::mem::replace(&mut whole, larger));
    }
    for Fragment { packet, header_len, payload_len, .. } in fragments {
        whole.put_slice(&packet.bytes()[header_len..][..payload_len]);
        pool.put(packet);
    }
    whole
}

/// A copy of the packet, link-layer header included, with room for `total_len` bytes from the
/// head.
fn move_to_larger(packet: &Packet, total_len: usize, pool: &mut PacketPool) -> Packet {
    let link_header_len = packet.mac().len().saturating_sub(packet.len());
    let mut larger = pool.take(link_header_len + total_len);
    larger.mark_mac();
    larger.put_slice(if link_header_len > 0 { packet.mac() } else { packet.bytes() });
    larger.pull(link_header_len);
    larger.meta = packet.meta;
    larger
}

/// The bits to set in the first fragment's ECN field, given bit `1 << n` for each field `n` seen;
/// `None` when the fields contradict each other and the datagram must be dropped.
fn combine_ecn(seen: u8) -> Option<u8> {
    const NOT_ECT: u8 = 1 << 0;
    const CE: u8 = 1 << 3;
    match seen {
        // RFC 3168 §5.3: congestion experienced by one fragment is so by the datagram, but a mark
        // among fragments that are not ECN-capable is an error. Linux (`ip_frag_ecn_table`) drops
        // every mix with fragments that are not ECN-capable.
        NOT_ECT => Some(0),
        _ if seen & NOT_ECT != 0 => None,
        _ if seen & CE != 0 => Some(ECN_MASK),
        _ => Some(0),
    }
}
