//! Errors that this host sends, and when it must not (Linux `__icmp_send`).

use core::net::Ipv4Addr;

use super::{OptionBytes, Outgoing};
use crate::core::Core;
use crate::icmp::ratelimit::Limited;
use crate::packet::{Packet, PacketType};
use crate::route::Scope;
use crate::wire::checksum::Checksum;
use crate::wire::icmpv4::{self, Message};
use crate::wire::ipv4::{self, Ipv4, Protocol};

/// RFC 1812 §4.3.2.3: as much of the packet as fits without the error exceeding 576 bytes.
const MAX_ERROR_LEN: usize = 576;
/// Precedence "internetwork control" (RFC 1812 §4.3.2.5).
const PRECEDENCE_INTERNET_CONTROL: u8 = 0xc0;
/// The type-of-service bits that an error takes over from the packet.
const TOS_MASK: u8 = 0x1e;

/// RFC 7600 §4.8: the source of errors from a host that has no address (Linux `INADDR_DUMMY`).
const DUMMY_SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// Whether an error is subject to the rate limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorLimit {
    /// As every error for others.
    Limited,
    /// Not: it tells our own sender that its packet failed.
    Unlimited,
}

/// Makes the error `message` about `original`, whose network header is valid; `None` where none
/// must be sent.
pub(crate) fn error(
    core: &mut Core,
    original: &Packet,
    message: Message,
    limit: ErrorLimit,
) -> Option<Outgoing> {
    let header = Ipv4::parse(original.network()).ok()?;
    if !may_answer(core, original, &header) {
        return None;
    }
    let options = match message {
        Message::ParameterProblem { .. } => OptionBytes::echo_before_fault(header.options()),
        _ => OptionBytes::echo(header.options())?,
    };
    let overhead = ipv4::HEADER_LEN + options.as_slice().len() + icmpv4::HEADER_LEN;
    let room = max_len(core, header.src()).saturating_sub(overhead);
    // Less than a header would tell the receiver nothing (Linux).
    if room <= ipv4::HEADER_LEN {
        return None;
    }
    if limit == ErrorLimit::Limited {
        let allowed =
            core.icmp_limit.allow(core.now, header.src(), message.icmp_type(), message.code());
        match allowed {
            Ok(()) => {}
            Err(Limited::Global) => {
                core.stats.icmp.out_rate_limit_global += 1;
                return None;
            }
            Err(Limited::Host) => {
                core.stats.icmp.out_rate_limit_host += 1;
                return None;
            }
        }
    }
    let quoted = header.packet();
    let quoted = &quoted[..quoted.len().min(room)];
    let outgoing = Outgoing {
        packet: build(core, original, message, quoted),
        dst: header.src(),
        src: source(core, original, &header),
        tos: (header.tos() & TOS_MASK) | PRECEDENCE_INTERNET_CONTROL,
        options,
    };
    Some(outgoing)
}

/// RFC 1122 §3.2.2 and RFC 1812 §4.3.2.7: what no error is sent about.
fn may_answer(core: &Core, original: &Packet, header: &Ipv4<'_>) -> bool {
    // A packet sent to many, at the link or above.
    if original.meta.packet_type != PacketType::Host || core.is_for_many(header.dst()) {
        return false;
    }
    // A fragment other than the first.
    if header.fragment_offset() != 0 {
        return false;
    }
    // A source that does not name one host.
    let src = header.src();
    if src.is_unspecified() || src.octets()[0] == 0 || core.is_for_many(src) || is_class_e(src) {
        return false;
    }
    // An ICMP error, or ICMP that cannot be told not to be one.
    if header.protocol() == Protocol::ICMP {
        return header.payload().first().is_some_and(|icmp_type| {
            !icmpv4::is_error(*icmp_type) && *icmp_type <= super::MAX_TYPE
        });
    }
    true
}

fn is_class_e(addr: Ipv4Addr) -> bool {
    addr.octets()[0] >= 240
}

/// RFC 1812 §4.3.2.4: an error comes from the address the packet was sent to, if that is ours;
/// else from one of the link it leaves by, or on request of the one the packet arrived on.
fn source(core: &Core, original: &Packet, header: &Ipv4<'_>) -> Option<Ipv4Addr> {
    if original.meta.link_in.is_some() && core.routes.is_local(header.dst()) {
        return Some(header.dst());
    }
    let inbound = original.meta.link_in?;
    if core.config.icmp.errors_use_inbound_ifaddr {
        return core.source_address(inbound, Some(header.src()), Scope::Link);
    }
    core.source_address(None, None, Scope::Universe).is_none().then_some(DUMMY_SOURCE)
}

/// How long an error to `dst` may be, in bytes of IP packet: so that it is not fragmented, at least
/// not here.
fn max_len(core: &Core, dst: Ipv4Addr) -> usize {
    let Some(route) = core.routes.lookup(dst, None) else { return MAX_ERROR_LEN };
    let link = route.link.and_then(|link| core.interfaces.get(link));
    let mtu = link.map_or(MAX_ERROR_LEN, |link| link.mtu);
    MAX_ERROR_LEN.min(route.mtu.map_or(mtu, |route_mtu| mtu.min(route_mtu.into())))
}

fn build(core: &mut Core, original: &Packet, message: Message, quoted: &[u8]) -> Packet {
    let mut packet = core.pool.take(icmpv4::HEADER_LEN + quoted.len());
    packet.meta.mark = original.meta.mark;
    message.emit(packet.put(icmpv4::HEADER_LEN));
    packet.put_slice(quoted);
    let checksum = Checksum::ZERO.add(packet.bytes()).finish();
    packet.bytes_mut()[2..4].copy_from_slice(&checksum.to_be_bytes());
    packet
}
