//! From whom a group is received: what one socket asks for, and what a link makes of all of them
//! (RFC 3376 §2, §3).

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::Ipv4Addr;

/// Whether the sources listed are those wanted, or those not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FilterMode {
    /// INCLUDE: only the sources listed (`MCAST_INCLUDE`).
    Include,
    /// EXCLUDE: all sources but those listed (`MCAST_EXCLUDE`).
    Exclude,
}

/// The sources from which a group is received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFilter {
    /// What the list means.
    pub mode: FilterMode,
    /// The list.
    pub sources: BTreeSet<Ipv4Addr>,
}

impl SourceFilter {
    /// Nothing is received: as good as not being in the group.
    pub const NOTHING: Self = SourceFilter { mode: FilterMode::Include, sources: BTreeSet::new() };
    /// Everything is received: a membership without a list.
    pub const EVERYTHING: Self =
        SourceFilter { mode: FilterMode::Exclude, sources: BTreeSet::new() };

    /// Whether what `source` sends is received.
    pub fn allows(&self, source: Ipv4Addr) -> bool {
        self.sources.contains(&source) == (self.mode == FilterMode::Include)
    }

    /// Whether nothing is received.
    pub fn is_nothing(&self) -> bool {
        *self == SourceFilter::NOTHING
    }
}

/// How many memberships on a link list a source, by mode.
#[derive(Debug, Clone, Copy, Default)]
struct Listed {
    include: u32,
    exclude: u32,
}

/// A group on a link: every membership's filter, counted (Linux `struct ip_mc_list`).
///
/// Invariant: no count in `sources` exceeds the number of memberships of its mode, and none of its
/// entries has both counts at zero.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reception {
    include: u32,
    exclude: u32,
    sources: BTreeMap<Ipv4Addr, Listed>,
}

impl Reception {
    /// Counts a membership in.
    pub(crate) fn add(&mut self, filter: &SourceFilter) {
        match filter.mode {
            FilterMode::Include => self.include += 1,
            FilterMode::Exclude => self.exclude += 1,
        }
        for source in &filter.sources {
            let listed = self.sources.entry(*source).or_default();
            match filter.mode {
                FilterMode::Include => listed.include += 1,
                FilterMode::Exclude => listed.exclude += 1,
            }
        }
    }

    /// Counts out a membership that was counted in.
    pub(crate) fn remove(&mut self, filter: &SourceFilter) {
        match filter.mode {
            FilterMode::Include => self.include = self.include.saturating_sub(1),
            FilterMode::Exclude => self.exclude = self.exclude.saturating_sub(1),
        }
        for source in &filter.sources {
            let Some(listed) = self.sources.get_mut(source) else { continue };
            match filter.mode {
                FilterMode::Include => listed.include = listed.include.saturating_sub(1),
                FilterMode::Exclude => listed.exclude = listed.exclude.saturating_sub(1),
            }
            if listed.include == 0 && listed.exclude == 0 {
                self.sources.remove(source);
            }
        }
    }

    /// Whether no membership is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.include == 0 && self.exclude == 0
    }

    /// Whether any membership wants what `source` sends (Linux `ip_check_mc_rcu`).
    pub(crate) fn allows(&self, source: Ipv4Addr) -> bool {
        match self.sources.get(&source) {
            Some(listed) => listed.include > 0 || listed.exclude < self.exclude,
            None => self.exclude > 0,
        }
    }

    /// What the link as a whole receives (RFC 3376 §3.2). With any EXCLUDE among the memberships it
    /// is EXCLUDE of what all of those exclude and no other includes; else INCLUDE of what any
    /// includes.
    pub(crate) fn state(&self) -> SourceFilter {
        let mode = match self.exclude {
            0 => FilterMode::Include,
            _ => FilterMode::Exclude,
        };
        let listed = |source: &Ipv4Addr| self.allows(*source) == (mode == FilterMode::Include);
        let sources = self.sources.keys().filter(|source| listed(source)).copied().collect();
        SourceFilter { mode, sources }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::FilterMode::{Exclude, Include};
    use super::*;

    const fn addr(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, n)
    }

    fn filter(mode: FilterMode, sources: &[u8]) -> SourceFilter {
        SourceFilter { mode, sources: sources.iter().map(|n| addr(*n)).collect() }
    }

    fn merged(filters: &[SourceFilter]) -> SourceFilter {
        let mut reception = Reception::default();
        filters.iter().for_each(|filter| reception.add(filter));
        reception.state()
    }

    /// RFC 3376 §3.2, its two examples: a, b, c, … are 1, 2, 3, ….
    #[test]
    fn filters_are_merged_as_in_the_examples() {
        let excluding = [
            filter(Exclude, &[1, 2, 3, 4]),
            filter(Exclude, &[2, 3, 4, 5]),
            filter(Include, &[4, 5, 6]),
        ];
        assert_eq!(merged(&excluding), filter(Exclude, &[2, 3]));
        let including =
            [filter(Include, &[1, 2, 3]), filter(Include, &[2, 3, 4]), filter(Include, &[5, 6])];
        assert_eq!(merged(&including), filter(Include, &[1, 2, 3, 4, 5, 6]));
        assert_eq!(merged(&[]), SourceFilter::NOTHING);
        assert_eq!(merged(&[filter(Exclude, &[1]), filter(Exclude, &[])]), filter(Exclude, &[]));
    }

    /// Whatever is counted in and out, the link receives from a source exactly when one of the
    /// memberships left wants it.
    #[test]
    fn a_link_wants_what_any_membership_wants() {
        let mut rng = crate::rng::Rng::new(1);
        let mut reception = Reception::default();
        let mut held: Vec<SourceFilter> = Vec::new();
        for _ in 0..2000 {
            if held.len() > 5 || (!held.is_empty() && rng.below(3) == 0) {
                let gone = held.swap_remove(rng.below(held.len() as u64) as usize);
                reception.remove(&gone);
            } else {
                let mode = if rng.below(2) == 0 { Include } else { Exclude };
                let bits = rng.below(16);
                let sources: Vec<u8> = (0..4).filter(|n| bits >> n & 1 == 1).collect();
                held.push(filter(mode, &sources));
                reception.add(&held[held.len() - 1]);
            }
            let state = reception.state();
            for n in 0..5 {
                let wanted = held.iter().any(|filter| filter.allows(addr(n)));
                assert_eq!(reception.allows(addr(n)), wanted);
                assert_eq!(state.allows(addr(n)), wanted);
            }
            let excludes = held.iter().any(|filter| filter.mode == Exclude);
            assert_eq!(state.mode == Exclude, excludes);
            assert_eq!(reception.is_empty(), held.is_empty());
        }
        held.iter().for_each(|filter| reception.remove(filter));
        assert!(reception.sources.is_empty());
    }
}
