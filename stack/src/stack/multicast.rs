//! Multicast groups: of links, and of sockets (ip(7): `IP_ADD_MEMBERSHIP` and its siblings).

use core::net::{IpAddr, Ipv4Addr};

use super::{ConfigError, Stack};
use crate::igmp::membership::{Change, Membership, SourceChange};
use crate::igmp::{FilterMode, SourceFilter};
use crate::packet::LinkId;
use crate::socket::{SocketClass, SocketError, SocketId};
use crate::time::Instant;

impl Stack {
    /// Joins a multicast group on a link, whether or not a socket does: packets to it are received,
    /// and routers are told (`ip address add … autojoin`).
    ///
    /// # Errors
    /// No such link, not a multicast address, or in as many groups as it may be.
    pub fn join_group(
        &mut self,
        now: Instant,
        id: LinkId,
        group: Ipv4Addr,
    ) -> Result<(), ConfigError> {
        self.advance(now);
        if !group.is_multicast() {
            return Err(ConfigError::BadAddress(IpAddr::V4(group)));
        }
        let max_groups = self.core.config.ipv4.max_groups;
        let interface = self.core.interfaces.get_mut(id).ok_or(ConfigError::NoSuchLink)?;
        if interface.own_groups.contains(&group) {
            return Ok(());
        }
        if interface.own_groups.len() >= max_groups {
            return Err(ConfigError::TooMany("groups"));
        }
        interface.own_groups.insert(group);
        self.regroup(id, group, Change { before: None, after: Some(SourceFilter::EVERYTHING) });
        Ok(())
    }

    /// Leaves a multicast group that [`join_group`](Self::join_group) joined.
    ///
    /// # Errors
    /// No such link.
    pub fn leave_group(
        &mut self,
        now: Instant,
        id: LinkId,
        group: Ipv4Addr,
    ) -> Result<(), ConfigError> {
        self.advance(now);
        let interface = self.core.interfaces.get_mut(id).ok_or(ConfigError::NoSuchLink)?;
        if interface.own_groups.remove(&group) {
            self.regroup(id, group, Change { before: Some(SourceFilter::EVERYTHING), after: None });
        }
        Ok(())
    }

    /// Joins a socket to a group on a link, or on the one that the route to the group leads over
    /// (`IP_ADD_MEMBERSHIP`).
    ///
    /// # Errors
    /// Not a group, no such link, a member already, or in as many groups as a socket may be.
    pub fn join_multicast(
        &mut self,
        now: Instant,
        socket: SocketId,
        group: IpAddr,
        link: Option<LinkId>,
    ) -> Result<(), SocketError> {
        self.advance(now);
        let (group, link) = self.multicast_target(socket, group, link)?;
        let max = self.core.config.igmp.max_memberships;
        let membership = Membership { group, link, filter: SourceFilter::EVERYTHING };
        let change = self.core.memberships.join(socket, membership, max)?;
        self.regroup(link, group, change);
        Ok(())
    }

    /// Takes a socket out of a group (`IP_DROP_MEMBERSHIP`).
    ///
    /// # Errors
    /// Not a group, no such link, or not a member.
    pub fn leave_multicast(
        &mut self,
        now: Instant,
        socket: SocketId,
        group: IpAddr,
        link: Option<LinkId>,
    ) -> Result<(), SocketError> {
        self.advance(now);
        let (group, link) = self.left_target(socket, group, link)?;
        let change = self.core.memberships.leave(socket, group, link)?;
        self.regroup(link, group, change);
        Ok(())
    }

    /// Lets a socket receive what `source` sends to a group; it joins the group if need be
    /// (`IP_ADD_SOURCE_MEMBERSHIP`).
    ///
    /// # Errors
    /// As [`join_multicast`](Self::join_multicast); the membership blocks sources, has this one, or
    /// has as many as it may.
    pub fn join_multicast_source(
        &mut self,
        now: Instant,
        socket: SocketId,
        group: IpAddr,
        source: IpAddr,
        link: Option<LinkId>,
    ) -> Result<(), SocketError> {
        self.advance(now);
        let source = v4(source)?;
        let (group, link) = self.multicast_target(socket, group, link)?;
        let config = &self.core.config.igmp;
        let (max, max_sources) = (config.max_memberships, config.max_msf);
        let memberships = &mut self.core.memberships;
        let change = if memberships.get(socket, group, link).is_some() {
            let change = SourceChange { mode: FilterMode::Include, source, add: true };
            memberships.change_source(socket, group, link, change, max_sources)?
        } else if max_sources == 0 {
            return Err(SocketError::NoBufferSpace);
        } else {
            let filter = SourceFilter { mode: FilterMode::Include, sources: [source].into() };
            memberships.join(socket, Membership { group, link, filter }, max)?
        };
        self.regroup(link, group, change);
        Ok(())
    }

    /// Undoes [`join_multicast_source`](Self::join_multicast_source); with the last source the
    /// membership ends (`IP_DROP_SOURCE_MEMBERSHIP`).
    ///
    /// # Errors
    /// Not a member, or not with this source.
    pub fn leave_multicast_source(
        &mut self,
        now: Instant,
        socket: SocketId,
        group: IpAddr,
        source: IpAddr,
        link: Option<LinkId>,
    ) -> Result<(), SocketError> {
        let source = v4(source)?;
        let change = SourceChange { mode: FilterMode::Include, source, add: false };
        self.change_source(now, socket, group, link, change)
    }

    /// Keeps what `source` sends to a group from a member (`IP_BLOCK_SOURCE`).
    ///
    /// # Errors
    /// Not a member, or one of chosen sources; blocked already, or as many as may be.
    pub fn block_multicast_source(
        &mut self,
        now: Instant,
        socket: SocketId,
        group: IpAddr,
        source: IpAddr,
        link: Option<LinkId>,
    ) -> Result<(), SocketError> {
        let source = v4(source)?;
        let change = SourceChange { mode: FilterMode::Exclude, source, add: true };
        self.change_source(now, socket, group, link, change)
    }

    /// Undoes [`block_multicast_source`](Self::block_multicast_source) (`IP_UNBLOCK_SOURCE`).
    ///
    /// # Errors
    /// Not a member, or not blocked.
    pub fn unblock_multicast_source(
        &mut self,
        now: Instant,
        socket: SocketId,
        group: IpAddr,
        source: IpAddr,
        link: Option<LinkId>,
    ) -> Result<(), SocketError> {
        let source = v4(source)?;
        let change = SourceChange { mode: FilterMode::Exclude, source, add: false };
        self.change_source(now, socket, group, link, change)
    }

    /// Sets from whom a member receives a group, as a whole (`IP_MSFILTER`). With INCLUDE and no
    /// source the membership ends.
    ///
    /// # Errors
    /// Not a member, or more sources than may be.
    pub fn set_multicast_filter(
        &mut self,
        now: Instant,
        socket: SocketId,
        group: IpAddr,
        link: Option<LinkId>,
        filter: SourceFilter,
    ) -> Result<(), SocketError> {
        self.advance(now);
        let (group, link) = self.multicast_target(socket, group, link)?;
        let max = self.core.config.igmp.max_msf;
        let change = self.core.memberships.set_filter(socket, group, link, filter, max)?;
        self.regroup(link, group, change);
        Ok(())
    }

    /// The groups that a socket is in, the oldest first: group, link, and from whom.
    ///
    /// # Errors
    /// No such socket.
    pub fn multicast_memberships(
        &self,
        socket: SocketId,
    ) -> Result<impl Iterator<Item = (IpAddr, LinkId, &SourceFilter)>, SocketError> {
        self.check_socket(socket)?;
        let held = self.core.memberships.of(socket).iter();
        Ok(held.map(|held| (IpAddr::V4(held.group), held.link, &held.filter)))
    }

    /// Takes a socket that is closed out of all its groups (Linux `ip_mc_drop_socket`).
    pub(super) fn leave_all_multicast(&mut self, socket: SocketId) {
        for Membership { group, link, filter } in self.core.memberships.leave_all(socket) {
            self.regroup(link, group, Change { before: Some(filter), after: None });
        }
    }

    fn change_source(
        &mut self,
        now: Instant,
        socket: SocketId,
        group: IpAddr,
        link: Option<LinkId>,
        change: SourceChange,
    ) -> Result<(), SocketError> {
        self.advance(now);
        let (group, link) = self.multicast_target(socket, group, link)?;
        let max = self.core.config.igmp.max_msf;
        let change = self.core.memberships.change_source(socket, group, link, change, max)?;
        self.regroup(link, group, change);
        Ok(())
    }

    /// Tells the link and its routers of a change.
    fn regroup(&mut self, link: LinkId, group: Ipv4Addr, change: Change) {
        self.ipv4.change_group(&mut self.core, link, group, &change);
        self.flush();
    }

    fn check_socket(&self, socket: SocketId) -> Result<(), SocketError> {
        match socket.class {
            SocketClass::Datagram => self.core.sockets.get(socket).map(|_| ()),
            // Linux ip_mc_join_group on a connection-oriented socket.
            SocketClass::Tcp => Err(SocketError::ProtocolError),
        }
    }

    /// The group and the link that a call is about (Linux `ip_mc_find_dev`).
    fn multicast_target(
        &self,
        socket: SocketId,
        group: IpAddr,
        link: Option<LinkId>,
    ) -> Result<(Ipv4Addr, LinkId), SocketError> {
        self.check_socket(socket)?;
        let group = v4(group)?;
        if !group.is_multicast() {
            return Err(SocketError::InvalidArgument);
        }
        let by_route = || self.core.routes.lookup(group, None)?.link;
        let link = link.or_else(by_route).ok_or(SocketError::NoSuchDevice)?;
        self.core.interfaces.get(link).ok_or(SocketError::NoSuchDevice)?;
        Ok((group, link))
    }

    /// As [`multicast_target`](Self::multicast_target), for a link that may have gone: what was
    /// joined there can be left still. Without a link, the oldest membership of the group is meant
    /// if there is no route.
    fn left_target(
        &self,
        socket: SocketId,
        group: IpAddr,
        link: Option<LinkId>,
    ) -> Result<(Ipv4Addr, LinkId), SocketError> {
        let held = |group: Ipv4Addr| {
            let held = self.core.memberships.of(socket);
            held.iter()
                .find(|held| held.group == group && link.is_none_or(|link| link == held.link))
                .map(|held| (held.group, held.link))
        };
        match self.multicast_target(socket, group, link) {
            Err(SocketError::NoSuchDevice) => {
                v4(group).ok().and_then(held).ok_or(SocketError::NoSuchDevice)
            }
            other => other,
        }
    }
}

fn v4(addr: IpAddr) -> Result<Ipv4Addr, SocketError> {
    match addr {
        IpAddr::V4(addr) => Ok(addr),
        IpAddr::V6(_) => Err(SocketError::AddressFamilyNotSupported),
    }
}
