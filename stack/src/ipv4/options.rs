//! Options of received packets (Linux `ip_options_compile`, RFC 791 §3.1, RFC 1812 §5.2.4).

use core::net::Ipv4Addr;

use crate::core::Core;
use crate::packet::Packet;
use crate::route::RouteKind;
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv4_options::{
    self as kinds, Ipv4Option, Ipv4Options, record_route, record_timestamp,
};

/// What a packet's options ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Summary {
    /// There is a loose or strict source route.
    pub(super) source_route: bool,
    /// There is a route or a timestamp to record.
    pub(super) record: bool,
}

/// Checks the options of a header; the error is the position of the byte at fault, from the start
/// of the header, as a parameter problem names it.
pub(super) fn check(options: &[u8]) -> Result<Summary, u8> {
    let mut summary = Summary::default();
    let (mut route_seen, mut source_route_seen, mut timestamp_seen) = (false, false, false);
    let fault = |offset: usize| (ipv4::HEADER_LEN + offset) as u8;
    for option in Ipv4Options::new(options) {
        let option = option.map_err(|error| fault(error.offset))?;
        let checked = match option.kind() {
            kinds::RR => option.route().map(|_| &mut route_seen),
            kinds::LSRR | kinds::SSRR => option.route().map(|_| &mut source_route_seen),
            kinds::TS => option.timestamp().and_then(|timestamp| match timestamp.is_recordable() {
                true => Ok(&mut timestamp_seen),
                false => Err(kinds::OptionError { offset: option.offset() + 3 }),
            }),
            kinds::RA => {
                option.router_alert().map_err(|error| fault(error.offset))?;
                continue;
            }
            _ => continue,
        };
        let seen = checked.map_err(|error| fault(error.offset))?;
        // Each of these may appear once (RFC 791 §3.1).
        if *seen {
            return Err(fault(option.offset()));
        }
        *seen = true;
    }
    summary.source_route = source_route_seen;
    summary.record = route_seen || timestamp_seen;
    Ok(summary)
}

/// Where on a packet's way options are filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Station {
    /// At its sender, who counts no lack of room (Linux `ip_options_build`).
    Sender,
    /// On its way or at its end.
    Receiver,
}

/// Enters `addr` and the time where the packet's options ask for it, and mends the header
/// checksum.
pub(super) fn record(core: &Core, packet: &mut Packet, addr: Ipv4Addr, station: Station) {
    let Ok(header) = Ipv4::parse(packet.network()) else { return };
    let header_len = header.header_len();
    let mut spans = [(0usize, 0usize, 0u8); 2];
    let no_room = |option: &Ipv4Option<'_>| match option.kind() {
        kinds::TS => option.timestamp().map_or(true, |times| times.is_full()),
        _ => false,
    };
    let recorded = Ipv4Options::new(header.options())
        .flatten()
        .filter(|option| matches!(option.kind(), kinds::RR | kinds::TS))
        .filter(|option| station == Station::Receiver || !no_room(option))
        .map(|option| (option.offset(), option.data().len(), option.kind()));
    for (span, found) in spans.iter_mut().zip(recorded) {
        *span = found;
    }
    let header = &mut packet.network_mut()[..header_len];
    for (offset, len, kind) in spans {
        let start = ipv4::HEADER_LEN + offset;
        let option = &mut header[start..start + len];
        let changed = match kind {
            kinds::RR => record_route(option, addr),
            kinds::TS => record_timestamp(option, addr, core.timestamp(), |wanted| {
                !may_be_another_host(core, wanted)
            }),
            _ => Ok(false),
        };
        // `check` has accepted these options.
        debug_assert!(changed.is_ok());
    }
    ipv4::fill_checksum(header);
}

/// Whose time a timestamp option waits for (Linux `inet_addr_type` is `RTN_UNICAST`).
fn may_be_another_host(core: &Core, addr: Ipv4Addr) -> bool {
    let of_many = addr.is_unspecified() || addr.is_broadcast() || addr.is_multicast();
    let kind = core.routes.lookup_kind(addr);
    !of_many && !matches!(kind, Some(RouteKind::Local | RouteKind::Broadcast))
}
