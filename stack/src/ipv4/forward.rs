//! Packets for others (RFC 1812 §5.2, Linux `ip_forward`).

use core::net::Ipv4Addr;

use super::route::OutputRoute;
use super::{Ipv4Layer, NextHop, options};
use crate::config::RedirectConfig;
use crate::core::Core;
use crate::event::Event;
use crate::filter::hook::HookPoint;
use crate::packet::{Packet, PacketType, segment};
use crate::recent::RecentTable;
use crate::rng::KeyedHash;
use crate::route::{Match, Scope};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::icmpv4::{Message, RedirectCode, TimeExceeded, Unreachable};
use crate::wire::ipv4::{self, Ipv4};

impl Ipv4Layer {
    pub(super) fn forward(&mut self, core: &mut Core, mut packet: Packet, route: Match) {
        // RFC 1812 §5.3.4: what came as a link-layer broadcast is not forwarded.
        if packet.meta.packet_type != PacketType::Host {
            core.discard(packet, DropReason::LinkBroadcast);
            return;
        }
        if packet.network_header_len() > ipv4::HEADER_LEN {
            match self.alert(core, packet) {
                Some(untouched) => packet = untouched,
                None => return,
            }
        }
        let Ok(header) = Ipv4::parse(packet.bytes()) else {
            core.discard(packet, DropReason::Ipv4HeaderError);
            return;
        };
        let (src, dst) = (header.src(), header.dst());
        let (ttl, dont_fragment) = (header.ttl(), header.dont_fragment());
        let has_options = !header.options().is_empty();
        if ttl <= 1 {
            core.stats.ip.in_hdr_errors += 1;
            self.send_error(core, &packet, Message::TimeExceeded(TimeExceeded::Transit));
            core.discard(packet, DropReason::TtlExpired);
            return;
        }
        let Some(out) = forward_route(core, &route, dst) else {
            core.discard(packet, DropReason::LinkDown);
            return;
        };
        // What fragments of a datagram were put together from is cut again, to their size.
        // What others put together from segments is, too (Linux ip_exceeds_mtu).
        let uncuttable =
            packet.meta.max_fragment.map_or_else(|| segment::network_len(&packet), usize::from);
        if dont_fragment && uncuttable > out.mtu {
            core.stats.ip.frag_fails += 1;
            let mtu = out.mtu as u16;
            let code = Unreachable::FragmentationNeeded { mtu };
            self.send_error(core, &packet, Message::DestinationUnreachable(code));
            core.discard(packet, DropReason::FragmentationNeeded);
            return;
        }
        ipv4::decrement_ttl(packet.bytes_mut());
        if packet.meta.link_in == Some(out.link) {
            self.redirect(core, &packet, &out, src);
        }
        packet.meta.link_out = Some(out.link);
        core.see(|| Event::Forward { packet: &packet });
        if core.hooks.any(HookPoint::Forward) {
            match self.pass(core, HookPoint::Forward, packet) {
                Ok(accepted) => packet = accepted,
                Err(_) => return,
            }
        }
        core.stats.ip.forw_datagrams += 1;
        if has_options {
            options::record(core, &mut packet, out.src, options::Station::Receiver);
        }
        // Every error has been answered already or been counted.
        let _ = self.postrouting(core, packet, &out);
    }

    /// RFC 1812 §5.2.7.2: tells the sender of a better first hop on its own link.
    fn redirect(&mut self, core: &mut Core, packet: &Packet, out: &OutputRoute, src: Ipv4Addr) {
        let NextHop::Unicast(gateway) = out.next_hop else { return };
        let allowed = core.interfaces.get(out.link).is_some_and(|link| link.config.send_redirects);
        let sender_is_on_link = core
            .routes
            .lookup(src, None)
            .is_some_and(|back| back.link == Some(out.link) && back.gateway.is_none());
        if allowed && sender_is_on_link && self.redirects.allow(core.now, src) {
            let message = Message::Redirect { code: RedirectCode::Host, gateway };
            self.send_error(core, packet, message);
        }
    }
}

/// How a forwarded packet leaves. A path MTU learnt for our own packets does not count: anybody
/// could make it small (Linux `ip_forward_use_pmtu`).
fn forward_route(core: &Core, route: &Match, dst: Ipv4Addr) -> Option<OutputRoute> {
    let link = core.interfaces.get(route.link?).filter(|link| link.up)?;
    let next_hop = route.next_hop(dst);
    let link_mtu = link.mtu.min(ipv4::MAX_LEN);
    let mtu = route.mtu.map_or(link_mtu, |mtu| link_mtu.min(usize::from(mtu)));
    let src = route
        .source
        .or_else(|| core.source_address(Some(link.id), Some(next_hop), Scope::Universe));
    Some(OutputRoute {
        link: link.id,
        next_hop: NextHop::Unicast(next_hop),
        src: src.unwrap_or(Ipv4Addr::UNSPECIFIED),
        mtu,
        link_mtu,
        locked: false,
        loops_back: false,
    })
}

/// How often redirects are sent (Linux `ip_rt_send_redirect`).
#[derive(Debug)]
pub(super) struct Redirects {
    config: RedirectConfig,
    /// How many each sender got since it was silent.
    senders: RecentTable<u32>,
}

impl Redirects {
    pub(super) fn new(config: RedirectConfig, hash: KeyedHash) -> Self {
        Redirects { config, senders: RecentTable::new(config.senders, hash) }
    }

    fn allow(&mut self, now: Instant, sender: Ipv4Addr) -> bool {
        let known = self.senders.entry(now, sender, 0);
        let silence = now.saturating_since(known.updated);
        if silence > self.config.silence {
            known.value = 0;
        }
        let sent = known.value;
        if sent >= self.config.number {
            known.updated = now;
            return false;
        }
        let pause = self.config.load.saturating_mul(1u32.checked_shl(sent).unwrap_or(u32::MAX));
        if sent > 0 && silence < pause {
            return false;
        }
        (known.value, known.updated) = (sent + 1, now);
        true
    }
}
