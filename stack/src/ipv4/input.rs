//! Packets that arrive: validation and the way to local delivery or forwarding.

use super::options;
use super::route::{self, InputRoute};
use super::{Ipv4Layer, Looped};
use crate::core::Core;
use crate::event::Event;
use crate::filter::hook::{HookPoint, Verdict};
use crate::packet::{Packet, PacketType, segment};
use crate::stats::DropReason;
use crate::wire::error::WireErrorKind;
use crate::wire::icmpv4::{Message, parameter_problem};
use crate::wire::ipv4::{HEADER_LEN, Ipv4};

/// How a packet's way ended at a hook point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Discarded,
    /// The hook has it now; to everybody else it is as good as sent.
    Stolen,
}

impl Ipv4Layer {
    /// Takes a packet from a link; its bytes begin with the IPv4 header (Linux `ip_rcv`).
    pub(crate) fn input(&mut self, core: &mut Core, packet: Packet) {
        if let Some(packet) = self.received(core, packet) {
            self.route_in(core, packet);
        }
    }

    /// Takes a packet from the loopback. One whose way ends here is not routed again, unless
    /// PREROUTING sent it elsewhere.
    pub(crate) fn loop_back(&mut self, core: &mut Core, looped: Looped) {
        let Looped { packet, local } = looped;
        let destination =
            |packet: &Packet| Ipv4::parse(packet.bytes()).map(|header| header.dst()).ok();
        let before = core.hooks.any(HookPoint::Prerouting).then(|| destination(&packet));
        let Some(packet) = self.received(core, packet) else { return };
        if !local || before.is_some_and(|before| before != destination(&packet)) {
            self.route_in(core, packet);
        } else if let Some(packet) = self.check_options(core, packet) {
            self.deliver(core, packet);
        }
    }

    /// The route decision and what follows from it.
    fn route_in(&mut self, core: &mut Core, packet: Packet) {
        match route::input(core, &packet) {
            Ok(route) => {
                let Some(mut packet) = self.check_options(core, packet) else { return };
                match route {
                    InputRoute::Local => self.deliver(core, packet),
                    InputRoute::LocalToMany(to_many) => {
                        // Even in a frame for this host alone it is not for this host alone.
                        if packet.meta.packet_type == PacketType::Host {
                            packet.meta.packet_type = to_many;
                        }
                        self.deliver(core, packet);
                    }
                    InputRoute::Forward(route) => self.forward(core, packet, route),
                }
            }
            Err(refusal) => {
                match refusal.reason {
                    DropReason::NotForwarding => core.stats.ip.in_addr_errors += 1,
                    DropReason::NoRoute => core.stats.ip.in_no_routes += 1,
                    DropReason::MartianSource | DropReason::MartianDestination => {
                        core.stats.ip.in_addr_errors += 1;
                    }
                    _ => {}
                }
                if let Some(code) = refusal.unreachable {
                    self.send_error(core, &packet, Message::DestinationUnreachable(code));
                }
                core.discard(packet, refusal.reason);
            }
        }
    }

    /// Everything before the route decision: validation, reassembly if a hook wants it,
    /// PREROUTING.
    fn received(&mut self, core: &mut Core, mut packet: Packet) -> Option<Packet> {
        if packet.meta.packet_type == PacketType::OtherHost {
            core.discard(packet, DropReason::OtherHost);
            return None;
        }
        core.stats.ip.in_receives += 1;
        core.stats.ip.in_octets += packet.len() as u64;
        packet.mark_network();
        if let Err(reason) = validate(&mut packet) {
            match reason {
                DropReason::Ipv4Truncated => core.stats.ip.in_truncated_pkts += 1,
                DropReason::Ipv4Checksum => {
                    core.stats.ip.in_csum_errors += 1;
                    core.stats.ip.in_hdr_errors += 1;
                }
                _ => core.stats.ip.in_hdr_errors += 1,
            }
            core.discard(packet, reason);
            return None;
        }
        core.see(|| Event::Ipv4In { packet: &packet });
        if core.hooks.defragment() {
            packet = self.reassemble(core, packet)?;
        }
        if core.hooks.any(HookPoint::Prerouting) {
            packet = self.pass(core, HookPoint::Prerouting, packet).ok()?;
        }
        Some(packet)
    }

    /// Runs the hooks at a point.
    pub(super) fn pass(
        &mut self,
        core: &mut Core,
        point: HookPoint,
        mut packet: Packet,
    ) -> Result<Packet, End> {
        match core.hook(point, &mut packet) {
            Verdict::Accept => {
                // The hook may have changed the header.
                let Ok(header) = Ipv4::parse(packet.bytes()) else {
                    core.discard(packet, DropReason::Ipv4HeaderError);
                    return Err(End::Discarded);
                };
                let header_len = header.header_len();
                packet.mark_network();
                packet.mark_transport(header_len);
                Ok(packet)
            }
            Verdict::Drop => {
                core.discard(packet, DropReason::HookDrop);
                Err(End::Discarded)
            }
            Verdict::Stolen => Err(End::Stolen),
            Verdict::Reject(reason) => {
                self.reject(core, &packet, reason);
                core.discard(packet, DropReason::HookReject);
                Err(End::Discarded)
            }
        }
    }

    /// Only after the route decision, as in Linux: nobody is told of a malformed option in a packet
    /// that would not have been taken anyway.
    fn check_options(&mut self, core: &mut Core, packet: Packet) -> Option<Packet> {
        if packet.network_header_len() <= HEADER_LEN {
            return Some(packet);
        }
        let accept_source_route = packet
            .meta
            .link_in
            .and_then(|link| core.interfaces.get(link))
            .is_some_and(|link| link.config.accept_source_route);
        let checked = Ipv4::parse(packet.network()).map(|header| options::check(header.options()));
        match checked {
            Ok(Ok(summary)) if summary.source_route && !accept_source_route => {
                core.discard(packet, DropReason::SourceRoute);
                None
            }
            Ok(Ok(_)) => Some(packet),
            Ok(Err(pointer)) => {
                core.stats.ip.in_hdr_errors += 1;
                let code = parameter_problem::POINTER;
                self.send_error(core, &packet, Message::ParameterProblem { code, pointer });
                core.discard(packet, DropReason::Ipv4OptionError);
                None
            }
            Err(_) => {
                core.discard(packet, DropReason::Ipv4HeaderError);
                None
            }
        }
    }
}

/// RFC 1122 §3.2.1: version, header length, header checksum, total length. Cuts off what is behind
/// the packet (Ethernet padding) and marks the layers.
fn validate(packet: &mut Packet) -> Result<(), DropReason> {
    let header = Ipv4::parse(packet.bytes()).map_err(|error| match error.kind {
        // A whole header that promises more bytes than there are.
        WireErrorKind::Truncated
            if packet.len() >= HEADER_LEN && error.needed > header_len(packet.bytes()) =>
        {
            DropReason::Ipv4Truncated
        }
        _ => DropReason::Ipv4HeaderError,
    })?;
    if !header.verify_checksum() {
        return Err(DropReason::Ipv4Checksum);
    }
    let (total_len, header_len) = (header.total_len(), header.header_len());
    packet.truncate(total_len);
    packet.mark_transport(header_len);
    segment::check(packet);
    Ok(())
}

/// The header length that a possibly malformed header claims.
fn header_len(bytes: &[u8]) -> usize {
    bytes.first().map_or(0, |first| usize::from(first & 0x0f) * 4)
}
