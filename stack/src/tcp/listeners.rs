//! Which listener a segment is for (Linux `__inet_lookup_listener`, `reuseport_select_sock`).
//!
//! Listeners with the same address, port and link are a group, and there are several in one only
//! with `SO_REUSEPORT`. The address and the link of a segment name at most four groups, and a keyed
//! hash of the flow chooses in one of them, so that neither many listeners nor many links cost a
//! segment anything, and a flow always comes to the same listener while the group stays the same.
//!
//! Invariant: no group is empty, and each member is in one group, once.

use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::Ipv4Addr;

use super::segment::FourTuple;
use crate::packet::LinkId;
use crate::rng::{KeyedHash, KeyedMap};

/// What the members of a group have in common: 0.0.0.0 stands for every address, no link for all.
pub(crate) type GroupKey = (Ipv4Addr, u16, Option<LinkId>);

/// The listeners of a stack, each a number.
#[derive(Debug)]
pub(crate) struct ListenerTable {
    groups: KeyedMap<GroupKey, Vec<u32>>,
    flows: KeyedHash,
}

impl ListenerTable {
    /// An empty table: one key finds groups, the other chooses in them.
    pub(crate) fn new(groups: KeyedHash, flows: KeyedHash) -> Self {
        ListenerTable { groups: KeyedMap::with_hasher(groups), flows }
    }

    /// Adds a listener; returns its place in its group.
    pub(crate) fn add(&mut self, key: GroupKey, listener: u32) -> usize {
        let group = self.groups.entry(key).or_default();
        group.push(listener);
        group.len() - 1
    }

    /// Takes out the listener at a place of a group; returns the one that has its place now, if
    /// any (Linux `reuseport_detach_sock`).
    pub(crate) fn remove(&mut self, key: &GroupKey, place: usize) -> Option<u32> {
        let group = self.groups.get_mut(key)?;
        if place < group.len() {
            group.swap_remove(place);
        }
        let moved = group.get(place).copied();
        if group.is_empty() {
            self.groups.remove(key);
        }
        moved
    }

    /// The listener for a segment that arrived by `link`. An address of its own makes for a better
    /// one than a link, and a link for a better one than none.
    pub(crate) fn find(&self, tuple: &FourTuple, link: Option<LinkId>) -> Option<u32> {
        let group = |addr, link| self.groups.get(&(addr, tuple.local_port, link));
        let at = |addr| link.and_then(|link| group(addr, Some(link))).or_else(|| group(addr, None));
        let group = at(tuple.local).or_else(|| at(Ipv4Addr::UNSPECIFIED))?;
        if let [only] = group[..] {
            return Some(only);
        }
        let hash = self.flows.hash_one(tuple) >> 32;
        let at = (hash * group.len() as u64) >> 32;
        group.get(at as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

    fn flow(n: u32) -> FourTuple {
        let remote = Ipv4Addr::from_bits(0x0b00_0000 + n / 1000);
        FourTuple { local: ADDR, remote, local_port: 80, remote_port: (n % 1000) as u16 + 1 }
    }

    fn table() -> ListenerTable {
        ListenerTable::new(KeyedHash::new((1, 2)), KeyedHash::new((3, 4)))
    }

    #[test]
    fn an_address_comes_before_a_link_and_a_link_before_none() {
        let mut table = table();
        let (eth0, eth1) = (LinkId(1), LinkId(2));
        let found = |table: &ListenerTable, link| table.find(&flow(0), link);
        assert_eq!(found(&table, Some(eth0)), None);
        table.add((ANY, 80, None), 1);
        assert_eq!(found(&table, Some(eth0)), Some(1));
        table.add((ANY, 80, Some(eth0)), 2);
        assert_eq!((found(&table, Some(eth0)), found(&table, Some(eth1))), (Some(2), Some(1)));
        assert_eq!(found(&table, None), Some(1));
        table.add((ADDR, 80, None), 3);
        assert_eq!((found(&table, Some(eth0)), found(&table, Some(eth1))), (Some(3), Some(3)));
        table.add((ADDR, 80, Some(eth1)), 4);
        assert_eq!((found(&table, Some(eth0)), found(&table, Some(eth1))), (Some(3), Some(4)));
        table.add((ADDR, 81, Some(eth0)), 5);
        assert_eq!(found(&table, Some(eth0)), Some(3));
    }

    #[test]
    fn a_group_shares_flows_evenly_and_each_stays_where_it_is() {
        const MEMBERS: u32 = 1000;
        let mut table = table();
        let key = (ANY, 80, None);
        for member in 0..MEMBERS {
            assert_eq!(table.add(key, member), member as usize);
        }
        let mut counts = [0u32; MEMBERS as usize];
        for n in 0..100 * MEMBERS {
            let chosen = table.find(&flow(n), Some(LinkId(1))).expect("a member");
            assert_eq!(table.find(&flow(n), Some(LinkId(2))), Some(chosen));
            counts[chosen as usize] += 1;
        }
        // Six standard deviations of a hundred flows each.
        assert!(counts.iter().all(|count| (40..160).contains(count)), "{counts:?}");
    }

    #[test]
    fn whoever_is_left_takes_over() {
        let mut table = table();
        let key = (ADDR, 80, None);
        let mut places = [0, 1, 2, 3].map(|member| table.add(key, member));
        for (gone, left) in [(1, &[0, 2, 3][..]), (3, &[0, 2]), (0, &[2]), (2, &[])] {
            if let Some(moved) = table.remove(&key, places[gone]) {
                places[moved as usize] = places[gone];
            }
            for n in 0..100 {
                let found = table.find(&flow(n), None);
                assert!(found.map_or(left.is_empty(), |found| left.contains(&found)));
            }
        }
        assert!(table.groups.is_empty());
    }
}
