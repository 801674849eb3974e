//! Route decisions: for packets that arrive, with the martian rules (Linux
//! `ip_route_input_slow`), and for packets that leave (Linux `ip_route_output_key`).

use core::net::Ipv4Addr;

use super::NextHop;
use crate::core::Core;
use crate::event::{Direction, Event};
use crate::flow::Flow;
use crate::interface::{Interface, ReversePathFilter};
use crate::packet::{LinkId, Packet, PacketType};
use crate::route::{Match, RouteKind, Scope};
use crate::socket::SocketError;
use crate::stats::DropReason;
use crate::wire::icmpv4::Unreachable;
use crate::wire::ipv4::{self, Ipv4};

/// What is done with a packet that arrived.
#[derive(Debug, Clone, Copy)]
pub(super) enum InputRoute {
    /// It is for this host.
    Local,
    /// It is for this host among others.
    LocalToMany(PacketType),
    /// It is for somebody else.
    Forward(Match),
}

/// Why a packet that arrived goes nowhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) reason: DropReason,
    /// What its sender is told.
    pub(super) unreachable: Option<Unreachable>,
}

impl From<DropReason> for Refusal {
    fn from(reason: DropReason) -> Self {
        Refusal { reason, unreachable: None }
    }
}

/// Decides about a packet that arrived by a link.
pub(super) fn input(core: &mut Core, packet: &Packet) -> Result<InputRoute, Refusal> {
    let header = Ipv4::parse(packet.network()).map_err(|_| DropReason::Ipv4HeaderError)?;
    let (src, dst) = (header.src(), header.dst());
    let Some(link) = packet.meta.link_in.and_then(|link| core.interfaces.get(link)) else {
        return Err(DropReason::LinkDown.into());
    };
    let link_id = link.id;
    if dst.is_multicast() {
        multicast_source(core, link, src, dst)?;
        if !link.receives(dst, src, header.protocol()) {
            return Err(DropReason::NotMember.into());
        }
        core.stats.ip.in_mcast_pkts += 1;
        saw(core, Direction::Input, dst, RouteKind::Local, Some(link_id), None);
        return Ok(InputRoute::LocalToMany(PacketType::Multicast));
    }
    martians(link, src, dst)?;
    // RFC 1122 §3.2.1.3 (c): all ones, and 0.0.0.0 to 0.0.0.0 of old BOOTP clients.
    let limited = dst.is_broadcast() || (src.is_unspecified() && dst.is_unspecified());
    let found = if limited { None } else { core.routes.lookup(dst, None) };
    let kind = if limited { Some(RouteKind::Broadcast) } else { found.map(|found| found.kind) };
    match kind {
        Some(RouteKind::Broadcast) => {
            if !src.is_unspecified() {
                source(core, link, src)?;
            }
            core.stats.ip.in_bcast_pkts += 1;
            saw(core, Direction::Input, dst, RouteKind::Broadcast, Some(link_id), None);
            Ok(InputRoute::LocalToMany(PacketType::Broadcast))
        }
        Some(RouteKind::Local) => {
            source(core, link, src)?;
            saw(core, Direction::Input, dst, RouteKind::Local, Some(link_id), None);
            Ok(InputRoute::Local)
        }
        _ => forward(core, link_id, src, dst, found),
    }
}

/// The decision about a packet that is not for this host.
fn forward(
    core: &mut Core,
    link: LinkId,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    found: Option<Match>,
) -> Result<InputRoute, Refusal> {
    if !core.config.ipv4.forward {
        // RFC 1122 §3.3.4.2: a host silently discards what is not for it.
        return Err(DropReason::NotForwarding.into());
    }
    let refused = |reason, unreachable| Refusal { reason, unreachable: Some(unreachable) };
    match found {
        None => Err(refused(DropReason::NoRoute, Unreachable::Net)),
        Some(found) => match found.kind {
            RouteKind::Blackhole => Err(DropReason::Blackhole.into()),
            RouteKind::Unreachable => Err(refused(DropReason::UnreachableRoute, Unreachable::Host)),
            RouteKind::Prohibit => {
                Err(refused(DropReason::ProhibitRoute, Unreachable::CommunicationProhibited))
            }
            RouteKind::Unicast | RouteKind::Local | RouteKind::Broadcast => {
                if let Some(link) = core.interfaces.get(link) {
                    source(core, link, src)?;
                }
                let next_hop = Some(found.next_hop(dst));
                saw(core, Direction::Input, dst, found.kind, found.link, next_hop);
                Ok(InputRoute::Forward(found))
            }
        },
    }
}

/// Addresses that no packet from a link may have (RFC 1122 §3.2.1.3, RFC 1812 §5.3.7).
fn martians(link: &Interface, src: Ipv4Addr, dst: Ipv4Addr) -> Result<(), DropReason> {
    if src.is_multicast() || src.is_broadcast() {
        return Err(DropReason::MartianSource);
    }
    if dst.is_broadcast() || (src.is_unspecified() && dst.is_unspecified()) {
        return Ok(());
    }
    if is_this_network(src) {
        return Err(DropReason::MartianSource);
    }
    if is_this_network(dst) {
        return Err(DropReason::MartianDestination);
    }
    if !link.config.route_localnet {
        if dst.is_loopback() {
            return Err(DropReason::MartianDestination);
        }
        if src.is_loopback() {
            return Err(DropReason::MartianSource);
        }
    }
    Ok(())
}

/// The source of a multicast (Linux `ip_mc_validate_source`).
fn multicast_source(
    core: &Core,
    link: &Interface,
    src: Ipv4Addr,
    dst: Ipv4Addr,
) -> Result<(), DropReason> {
    if src.is_multicast() || src.is_broadcast() {
        return Err(DropReason::MartianSource);
    }
    if src.is_loopback() && !link.config.route_localnet {
        return Err(DropReason::MartianSource);
    }
    if is_this_network(src) {
        // Only a host without an address yet, to a group of this link (224.0.0.0/24).
        return match dst.octets() {
            [224, 0, 0, _] => Ok(()),
            _ => Err(DropReason::MartianSource),
        };
    }
    source(core, link, src)
}

/// Checks that a packet from `src` may arrive by `link` (Linux `fib_validate_source`, RFC 3704).
fn source(core: &Core, link: &Interface, src: Ipv4Addr) -> Result<(), DropReason> {
    // Nobody else may speak with an address of ours, and nobody at all with that of a broadcast
    // (RFC 1122 §3.2.1.3; Linux sees the latter with a filter only).
    let kind = core.routes.lookup_kind(src);
    match kind {
        Some(RouteKind::Local) if !link.config.accept_local => {
            return Err(DropReason::MartianSource);
        }
        Some(RouteKind::Broadcast) => return Err(DropReason::MartianSource),
        _ if link.config.rp_filter == ReversePathFilter::Off => return Ok(()),
        _ => {}
    }
    let back = core.routes.lookup(src, None).filter(|back| !back.kind.is_reject());
    let loose = link.config.rp_filter == ReversePathFilter::Loose;
    match back {
        Some(back) if loose || back.link == Some(link.id) => Ok(()),
        _ => Err(DropReason::ReversePath),
    }
}

/// 0.0.0.0/8, "this network" (RFC 1122 §3.2.1.3 (a) and (b)).
fn is_this_network(addr: Ipv4Addr) -> bool {
    addr.octets()[0] == 0
}

/// How a packet leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutputRoute {
    pub(super) link: LinkId,
    pub(super) next_hop: NextHop,
    pub(super) src: Ipv4Addr,
    /// The path MTU, in bytes of IP packet.
    pub(super) mtu: usize,
    /// The link's own MTU.
    pub(super) link_mtu: usize,
    /// The path MTU is a guess: DF must not be set (see
    /// [`Pmtu::locked`](crate::route::exceptions::Pmtu::locked)).
    pub(super) locked: bool,
    /// A copy comes back to this host: broadcasts, and multicasts of a group it is in.
    pub(super) loops_back: bool,
}

/// Why a packet of this host's own goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoWay {
    /// What its sender is told.
    pub(super) error: SocketError,
    pub(super) reason: DropReason,
}

impl From<SocketError> for NoWay {
    fn from(error: SocketError) -> Self {
        NoWay { error, reason: error.drop_reason() }
    }
}

/// Decides about a packet of this host's own.
pub(super) fn output(core: &mut Core, flow: &Flow<'_>) -> Result<OutputRoute, NoWay> {
    let dst = match (flow.dst, flow.src) {
        // RFC 1122 §3.2.1.3 (a) aside, Linux takes 0.0.0.0 as this host.
        (dst, src) if dst.is_unspecified() => src.unwrap_or(Ipv4Addr::LOCALHOST),
        (dst, _) => dst,
    };
    if is_this_network(dst) {
        let reason = DropReason::MartianDestination;
        return Err(NoWay { error: SocketError::InvalidArgument, reason });
    }
    // RFC 1122 §3.3.4.3: the source is an address of this host, still.
    if let Some(src) = flow.src
        && !flow.any_source
        && !core.routes.is_local(src)
    {
        let reason = DropReason::MartianSource;
        return Err(NoWay { error: SocketError::InvalidArgument, reason });
    }
    let link = flow.link.or_else(|| link_of_source(core, flow));
    if let Some(link) = link {
        let link = core.interfaces.get(link).ok_or(SocketError::NoSuchDevice)?;
        if !link.up {
            let reason = DropReason::LinkDown;
            return Err(NoWay { error: SocketError::NetworkUnreachable, reason });
        }
        if dst.is_broadcast() || dst.is_multicast() {
            let scope = if dst.is_multicast() { Scope::Universe } else { Scope::Link };
            let src = flow.src.or_else(|| core.source_address(link.id, None, scope));
            return finish(core, dst, RouteKind::Broadcast, link.id, None, src, None);
        }
    }
    match (core.routes.lookup(dst, link), link) {
        (Some(found), _) => by_route(core, flow, dst, found),
        // With the link given, Linux takes the destination to be on it.
        (None, Some(link)) => {
            let src = flow.src.or_else(|| core.source_address(link, Some(dst), Scope::Link));
            finish(core, dst, RouteKind::Unicast, link, None, src, None)
        }
        (None, None) => Err(SocketError::NetworkUnreachable.into()),
    }
}

fn by_route(
    core: &mut Core,
    flow: &Flow<'_>,
    dst: Ipv4Addr,
    found: Match,
) -> Result<OutputRoute, NoWay> {
    let (link, gateway) = match found.kind {
        RouteKind::Blackhole => return Err(SocketError::InvalidArgument.into()),
        RouteKind::Unreachable => return Err(SocketError::HostUnreachable.into()),
        RouteKind::Prohibit => return Err(SocketError::PermissionDenied.into()),
        RouteKind::Local => {
            let src = flow.src.or(found.source).or(Some(dst));
            return finish(core, dst, RouteKind::Local, LinkId::LOOPBACK, None, src, None);
        }
        RouteKind::Broadcast | RouteKind::Unicast => (found.link, found.gateway),
    };
    let link = link.ok_or(SocketError::NetworkUnreachable)?;
    let gateway = match core.exceptions.is_empty() || found.kind != RouteKind::Unicast {
        true => gateway,
        false => core.exceptions.gateway(core.now, dst, link).or(gateway),
    };
    let src = flow
        .src
        .or(found.source)
        .or_else(|| core.source_address(link, Some(gateway.unwrap_or(dst)), found.scope()));
    // The limited broadcast has no gateway: the route only says which link.
    let (kind, gateway) = match dst.is_broadcast() {
        true => (RouteKind::Broadcast, None),
        false => (found.kind, gateway),
    };
    finish(core, dst, kind, link, gateway, src, found.mtu)
}

fn finish(
    core: &mut Core,
    dst: Ipv4Addr,
    kind: RouteKind,
    link: LinkId,
    gateway: Option<Ipv4Addr>,
    src: Option<Ipv4Addr>,
    route_mtu: Option<u16>,
) -> Result<OutputRoute, NoWay> {
    let interface = core.interfaces.get(link).filter(|link| link.up);
    let interface = interface.ok_or(SocketError::NetworkDown)?;
    let src = src.unwrap_or(Ipv4Addr::UNSPECIFIED);
    // RFC 1122 §3.2.1.3 (g): loopback addresses do not appear outside a host.
    if src.is_loopback() && !interface.is_loopback() && !interface.config.route_localnet {
        let reason = DropReason::MartianSource;
        return Err(NoWay { error: SocketError::InvalidArgument, reason });
    }
    if dst.is_loopback() && !interface.is_loopback() && !interface.config.route_localnet {
        let reason = DropReason::MartianDestination;
        return Err(NoWay { error: SocketError::InvalidArgument, reason });
    }
    // Linux ip_mtu: the loopback's is beyond the longest packet.
    let link_mtu = interface.mtu.min(ipv4::MAX_LEN);
    let mut mtu = route_mtu.map_or(link_mtu, |mtu| link_mtu.min(usize::from(mtu)));
    let mut locked = false;
    // What leaves by the loopback comes back anyway (Linux __mkroute_output).
    let copied = !interface.is_loopback();
    let (next_hop, kind, loops_back) = if dst.is_multicast() {
        (NextHop::Multicast(dst), RouteKind::Unicast, copied && interface.is_member(dst))
    } else if kind == RouteKind::Broadcast {
        (NextHop::Broadcast, RouteKind::Broadcast, copied)
    } else if kind == RouteKind::Local {
        (NextHop::Local(dst), kind, false)
    } else {
        (NextHop::Unicast(gateway.unwrap_or(dst)), kind, false)
    };
    if kind == RouteKind::Unicast
        && !core.exceptions.is_empty()
        && let Some(learnt) = core.exceptions.pmtu(core.now, dst, link)
    {
        mtu = mtu.min(usize::from(learnt.mtu));
        locked = learnt.locked;
    }
    let hop = match next_hop {
        NextHop::Unicast(hop) => Some(hop),
        _ => None,
    };
    saw(core, Direction::Output, dst, kind, Some(link), hop);
    Ok(OutputRoute { link, next_hop, src, mtu, link_mtu, locked, loops_back })
}

/// A multicast or limited broadcast with a source address leaves by the link of that address.
fn link_of_source(core: &Core, flow: &Flow<'_>) -> Option<LinkId> {
    if !flow.dst.is_multicast() && !flow.dst.is_broadcast() {
        return None;
    }
    let found = core.routes.lookup(flow.src?, None)?;
    found.link.filter(|_| found.kind == RouteKind::Local)
}

fn saw(
    core: &mut Core,
    direction: Direction,
    destination: Ipv4Addr,
    kind: RouteKind,
    link: Option<LinkId>,
    next_hop: Option<Ipv4Addr>,
) {
    core.see(|| Event::Route { direction, destination, kind, link, next_hop });
}
