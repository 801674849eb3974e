//! The table of neighbours: keyed, bounded, collected.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::net::IpAddr;

use super::{Action, Neighbour, NudState};
use crate::config::NeighConfig;
use crate::packet::{LinkId, Packet};
use crate::rng::{KeyedHash, KeyedMap, Rng};
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use crate::timer::{TimerId, TimerWheel};
use crate::wire::ethernet::MacAddr;

/// Entries that changed within this time survive a collection that makes room (Linux
/// `neigh_forced_gc`).
const FORCED_GC_AGE: Duration = Duration::from_secs(5);
/// The mean reachable time is drawn anew this often (Linux `neigh_periodic_work`).
const REACHABLE_TIME_REFRESH: Duration = Duration::from_secs(300);

/// What a neighbour is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    link: LinkId,
    addr: IpAddr,
}

impl Hash for Key {
    /// An IPv4 neighbour hashes as one word, which is quickest.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.addr {
            IpAddr::V4(addr) => {
                state.write_u64(u64::from(self.link.0) << 32 | u64::from(addr.to_bits()));
            }
            IpAddr::V6(addr) => {
                state.write_u32(self.link.0);
                state.write_u128(addr.to_bits());
            }
        }
    }
}

/// One neighbour.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) link: LinkId,
    pub(super) addr: IpAddr,
    pub(super) mac: Option<MacAddr>,
    pub(super) state: NudState,
    /// When it last proved to be there.
    pub(super) confirmed: Instant,
    /// When state or address last changed.
    pub(super) updated: Instant,
    /// When a packet was last sent to it.
    pub(super) used: Instant,
    /// Solicitations sent since the state was entered.
    pub(super) probes: u8,
    pub(super) timer: Option<TimerId>,
    /// Packets that wait for resolution; empty unless INCOMPLETE. At most `unres_qlen`.
    pub(super) queue: VecDeque<Packet>,
    /// The sum of their true sizes.
    pub(super) queue_bytes: usize,
}

impl Entry {
    fn public(&self) -> Neighbour {
        Neighbour { link: self.link, addr: self.addr, mac: self.mac, state: self.state }
    }
}

/// The neighbours of one stack.
#[derive(Debug)]
pub(crate) struct NeighbourTable {
    pub(super) config: NeighConfig,
    pub(super) entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    index: KeyedMap<Key, usize>,
    /// How many entries are PERMANENT.
    permanent: usize,
    /// Keys are indices of `entries`.
    pub(super) timers: TimerWheel<usize>,
    pub(super) actions: VecDeque<Action>,
    pub(super) reachable_time: Duration,
    reachable_time_drawn: Instant,
    next_gc: Option<Instant>,
    next_forced_gc: Instant,
    rng: Rng,
    pub(crate) res_failed: u64,
    pub(crate) unres_discards: u64,
    pub(crate) table_fulls: u64,
}

impl NeighbourTable {
    pub(crate) fn new(config: NeighConfig, mut rng: Rng) -> Self {
        let reachable_time = draw_reachable_time(&config, &mut rng);
        NeighbourTable {
            index: KeyedMap::with_hasher(KeyedHash::new(rng.key())),
            config,
            entries: Vec::new(),
            free: Vec::new(),
            permanent: 0,
            timers: TimerWheel::new(),
            actions: VecDeque::new(),
            reachable_time,
            reachable_time_drawn: Instant::ZERO,
            next_gc: None,
            next_forced_gc: Instant::ZERO,
            rng,
            res_failed: 0,
            unres_discards: 0,
            table_fulls: 0,
        }
    }

    /// Every neighbour.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Neighbour> {
        self.entries.iter().flatten().map(Entry::public)
    }

    /// How many places there are for entries.
    pub(crate) fn slots(&self) -> usize {
        self.entries.len()
    }

    /// The entry in a place, with when it was last used, confirmed and changed, and its probes.
    pub(crate) fn at(&self, index: usize) -> Option<(Neighbour, [Instant; 3], u8)> {
        let entry = self.entries.get(index)?.as_ref()?;
        Some((entry.public(), [entry.used, entry.confirmed, entry.updated], entry.probes))
    }

    /// One neighbour.
    pub(crate) fn get(&self, link: LinkId, addr: IpAddr) -> Option<Neighbour> {
        self.find(link, addr).and_then(|index| self.entries[index].as_ref()).map(Entry::public)
    }

    /// The packet that has waited longest for `addr`.
    pub(crate) fn first_waiting(&self, link: LinkId, addr: IpAddr) -> Option<&Packet> {
        let index = self.find(link, addr)?;
        self.entries[index].as_ref()?.queue.front()
    }

    /// The next thing to do.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match (self.timers.next_deadline(), self.next_gc) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Sets an entry by hand; it stays until deleted. `false` when the table is full.
    pub(crate) fn set_permanent(
        &mut self,
        now: Instant,
        link: LinkId,
        addr: IpAddr,
        mac: MacAddr,
    ) -> bool {
        let known = self.find(link, addr);
        let state = known.and_then(|index| self.entries[index].as_ref()).map(|entry| entry.state);
        if state != Some(NudState::Permanent) {
            if self.permanent >= self.config.max_permanent {
                self.table_fulls += 1;
                return false;
            }
            self.permanent += 1;
        }
        let index = known.unwrap_or_else(|| self.create(now, link, addr));
        self.learn(now, index, mac, NudState::Permanent);
        true
    }

    /// Removes an entry; packets that wait for it are discarded.
    pub(crate) fn remove(&mut self, link: LinkId, addr: IpAddr) -> bool {
        let index = self.find(link, addr);
        index.inspect(|index| self.delete(*index, DropReason::NeighbourFailed)).is_some()
    }

    /// Forgets everything about a link, because it went down or away.
    pub(crate) fn flush_link(&mut self, link: LinkId) {
        for index in 0..self.entries.len() {
            if self.entries[index].as_ref().is_some_and(|entry| entry.link == link) {
                self.delete(index, DropReason::LinkDown);
            }
        }
    }

    pub(super) fn find(&self, link: LinkId, addr: IpAddr) -> Option<usize> {
        self.index.get(&Key { link, addr }).copied()
    }

    pub(super) fn find_or_create(
        &mut self,
        now: Instant,
        link: LinkId,
        addr: IpAddr,
    ) -> Option<usize> {
        if let Some(index) = self.find(link, addr) {
            return Some(index);
        }
        if !self.make_room(now) {
            self.table_fulls += 1;
            return None;
        }
        Some(self.create(now, link, addr))
    }

    fn create(&mut self, now: Instant, link: LinkId, addr: IpAddr) -> usize {
        let entry = Entry {
            link,
            addr,
            mac: None,
            // Linux NUD_NONE: nothing is known and nothing has been asked.
            state: NudState::Failed,
            confirmed: now - self.reachable_time.saturating_mul(2),
            updated: now,
            used: now,
            probes: 0,
            timer: None,
            queue: VecDeque::new(),
            queue_bytes: 0,
        };
        let index = self.free.pop().unwrap_or(self.entries.len());
        if index == self.entries.len() {
            self.entries.push(None);
        }
        self.entries[index] = Some(entry);
        self.index.insert(Key { link, addr }, index);
        self.next_gc.get_or_insert(now + self.config.gc_interval);
        index
    }

    /// The periodic collection (Linux `neigh_periodic_work`): failed and long unused entries go,
    /// once there are more than `gc_thresh1`.
    pub(super) fn collect(&mut self, now: Instant) {
        if self.next_gc.is_none_or(|at| at > now) {
            return;
        }
        if now.saturating_since(self.reachable_time_drawn) > REACHABLE_TIME_REFRESH {
            self.reachable_time = draw_reachable_time(&self.config, &mut self.rng);
            self.reachable_time_drawn = now;
        }
        if self.collectable() >= self.config.gc_thresh1 {
            let stale_time = self.config.gc_stale_time;
            self.delete_where(usize::MAX, |entry| {
                // A confirmation counts as use.
                let used = entry.used.max(entry.confirmed);
                entry.timer.is_none()
                    && (entry.state == NudState::Failed || now.saturating_since(used) > stale_time)
            });
        }
        self.next_gc = (!self.index.is_empty()).then_some(now + self.config.gc_interval);
    }

    /// Makes room for one more entry (Linux `neigh_alloc`, `neigh_forced_gc`).
    fn make_room(&mut self, now: Instant) -> bool {
        let len = self.collectable();
        let full = len >= self.config.gc_thresh3;
        if len >= self.config.gc_thresh2 && now >= self.next_forced_gc {
            self.delete_where(len - self.config.gc_thresh2 + 1, |entry| {
                // Whoever is believed or being asked (has a timer) is in use.
                entry.timer.is_none()
                    && (entry.state == NudState::Failed
                        || now.saturating_since(entry.updated) > FORCED_GC_AGE)
            });
            // A full table is swept at most ten times a second, so that a scan of the subnet does
            // not make every packet walk the table.
            let pause = if full { Duration::from_millis(100) } else { FORCED_GC_AGE };
            self.next_forced_gc = now + pause;
        }
        self.collectable() < self.config.gc_thresh3
    }

    /// How many entries the thresholds are about.
    fn collectable(&self) -> usize {
        self.index.len() - self.permanent
    }

    fn delete_where(&mut self, limit: usize, mut expendable: impl FnMut(&Entry) -> bool) {
        let mut deleted = 0;
        for index in 0..self.entries.len() {
            if deleted == limit {
                return;
            }
            let Some(entry) = &self.entries[index] else { continue };
            if entry.state != NudState::Permanent && expendable(entry) {
                self.delete(index, DropReason::NeighbourTableFull);
                deleted += 1;
            }
        }
    }

    fn delete(&mut self, index: usize, reason: DropReason) {
        let Some(entry) = self.entries[index].take() else { return };
        self.index.remove(&Key { link: entry.link, addr: entry.addr });
        self.free.push(index);
        if entry.state == NudState::Permanent {
            self.permanent -= 1;
        }
        if let Some(timer) = entry.timer {
            self.timers.cancel(timer);
        }
        for packet in entry.queue {
            self.actions.push_back(Action::Discard { packet, reason });
        }
    }
}

/// RFC 4861 §6.3.2: uniform between 0.5 and 1.5 times the base.
fn draw_reachable_time(config: &NeighConfig, rng: &mut Rng) -> Duration {
    let base = config.base_reachable_time;
    rng.duration_between(base / 2, base.saturating_mul(3) / 2)
}
