//! Which socket is in which group (Linux `struct ip_mc_socklist`).

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::filter::{FilterMode, SourceFilter};
use crate::packet::LinkId;
use crate::rng::{KeyedHash, KeyedMap};
use crate::socket::{SocketError, SocketId};

/// A socket in a group on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) group: Ipv4Addr,
    pub(crate) link: LinkId,
    pub(crate) filter: SourceFilter,
}

/// How a membership changed; `None` where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) before: Option<SourceFilter>,
    pub(crate) after: Option<SourceFilter>,
}

/// The memberships of all sockets. A socket has at most `igmp_max_memberships`, each with at most
/// `igmp_max_msf` sources, the oldest first; one that has none has no entry.
#[derive(Debug)]
pub(crate) struct Memberships {
    by_socket: KeyedMap<SocketId, Vec<Membership>>,
}

impl Memberships {
    pub(crate) fn new(hash: KeyedHash) -> Self {
        Memberships { by_socket: KeyedMap::with_hasher(hash) }
    }

    /// Whether a socket is to receive what `source` sent to `group` and came by `link`, as far as
    /// its memberships say (Linux `ip_mc_sf_allow`). Without a membership there the answer is
    /// `otherwise` (`IP_MULTICAST_ALL`). What was not sent to a group is received.
    pub(crate) fn may_receive(
        &self,
        socket: SocketId,
        group: Ipv4Addr,
        source: Ipv4Addr,
        link: Option<LinkId>,
        otherwise: bool,
    ) -> bool {
        if !group.is_multicast() {
            return true;
        }
        let held = || {
            let held = self.by_socket.get(&socket)?;
            held.iter().find(|held| held.group == group && Some(held.link) == link)
        };
        match self.by_socket.is_empty() {
            true => otherwise,
            false => held().map_or(otherwise, |held| held.filter.allows(source)),
        }
    }

    /// A socket's memberships.
    pub(crate) fn of(&self, socket: SocketId) -> &[Membership] {
        self.by_socket.get(&socket).map_or(&[], Vec::as_slice)
    }

    /// Joins a group (Linux `__ip_mc_join_group`).
    pub(crate) fn join(
        &mut self,
        socket: SocketId,
        membership: Membership,
        max: usize,
    ) -> Result<Change, SocketError> {
        let (group, link) = (membership.group, membership.link);
        if self.get(socket, group, link).is_some() {
            return Err(SocketError::AddressInUse);
        }
        if self.of(socket).len() >= max {
            return Err(SocketError::NoBufferSpace);
        }
        let after = Some(membership.filter.clone());
        self.by_socket.entry(socket).or_default().push(membership);
        Ok(Change { before: None, after })
    }

    /// Leaves a group (Linux `ip_mc_leave_group`).
    pub(crate) fn leave(
        &mut self,
        socket: SocketId,
        group: Ipv4Addr,
        link: LinkId,
    ) -> Result<Change, SocketError> {
        let error = SocketError::AddressNotAvailable;
        let list = self.by_socket.get_mut(&socket).ok_or(error)?;
        let is_it = |held: &Membership| held.group == group && held.link == link;
        let at = list.iter().position(is_it).ok_or(error)?;
        let gone = list.remove(at);
        if list.is_empty() {
            self.by_socket.remove(&socket);
        }
        Ok(Change { before: Some(gone.filter), after: None })
    }

    /// Leaves all groups of a socket.
    pub(crate) fn leave_all(&mut self, socket: SocketId) -> Vec<Membership> {
        self.by_socket.remove(&socket).unwrap_or_default()
    }

    /// Adds a source to a membership's list, or takes one from it (Linux `ip_mc_source`). The last
    /// source of an INCLUDE list takes the membership with it.
    pub(crate) fn change_source(
        &mut self,
        socket: SocketId,
        group: Ipv4Addr,
        link: LinkId,
        change: SourceChange,
        max: usize,
    ) -> Result<Change, SocketError> {
        let SourceChange { mode, source, add } = change;
        let membership = self.get_mut(socket, group, link).ok_or(SocketError::InvalidArgument)?;
        let filter = &mut membership.filter;
        let before = Some(filter.clone());
        if filter.mode != mode {
            // Only a filter without sources may change its mode so.
            if !filter.sources.is_empty() {
                return Err(SocketError::InvalidArgument);
            }
            if !add {
                return Err(SocketError::AddressNotAvailable);
            }
        }
        if filter.sources.contains(&source) == add {
            return Err(SocketError::AddressNotAvailable);
        }
        if !add && mode == FilterMode::Include && filter.sources.len() == 1 {
            return self.leave(socket, group, link);
        }
        if add && filter.sources.len() >= max {
            return Err(SocketError::NoBufferSpace);
        }
        filter.mode = mode;
        if add {
            filter.sources.insert(source);
        } else {
            filter.sources.remove(&source);
        }
        Ok(Change { before, after: Some(filter.clone()) })
    }

    /// Replaces a membership's filter (Linux `ip_mc_msfilter`); INCLUDE of nothing ends it.
    pub(crate) fn set_filter(
        &mut self,
        socket: SocketId,
        group: Ipv4Addr,
        link: LinkId,
        filter: SourceFilter,
        max: usize,
    ) -> Result<Change, SocketError> {
        if filter.sources.len() > max {
            return Err(SocketError::NoBufferSpace);
        }
        if filter.is_nothing() {
            return self.leave(socket, group, link);
        }
        let membership = self.get_mut(socket, group, link).ok_or(SocketError::InvalidArgument)?;
        let before = core::mem::replace(&mut membership.filter, filter.clone());
        Ok(Change { before: Some(before), after: Some(filter) })
    }

    /// The membership in a group on a link.
    pub(crate) fn get(
        &self,
        socket: SocketId,
        group: Ipv4Addr,
        link: LinkId,
    ) -> Option<&Membership> {
        self.of(socket).iter().find(|held| held.group == group && held.link == link)
    }

    fn get_mut(
        &mut self,
        socket: SocketId,
        group: Ipv4Addr,
        link: LinkId,
    ) -> Option<&mut Membership> {
        let list = self.by_socket.get_mut(&socket)?;
        list.iter_mut().find(|held| held.group == group && held.link == link)
    }
}

/// A source that a membership's list is to gain or lose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceChange {
    /// The mode that the filter must have.
    pub(crate) mode: FilterMode,
    pub(crate) source: Ipv4Addr,
    /// Gain, or lose.
    pub(crate) add: bool,
}
