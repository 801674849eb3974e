//! What a transport or a socket asks of IPv4 for one packet (Linux `struct flowi4`).

use core::net::Ipv4Addr;

use crate::packet::LinkId;
use crate::wire::ipv4::Protocol;

/// How DF is set and the path MTU used (`IP_MTU_DISCOVER`, ip(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PmtuDiscovery {
    /// Never set DF.
    Dont,
    /// Set DF on what fits the path MTU; fragment what does not.
    #[default]
    Want,
    /// Always set DF; refuse what does not fit the path MTU.
    Do,
    /// Always set DF; refuse only what does not fit the link.
    Probe,
}

/// The end of a source route (RFC 791 §3.1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceRoute {
    /// Where the packet goes in the end.
    pub(crate) dst: Ipv4Addr,
    /// The first hop must be a neighbour.
    pub(crate) strict: bool,
}

/// Where a packet should go and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow<'a> {
    pub(crate) dst: Ipv4Addr,
    /// The source address; chosen by the route when `None`.
    pub(crate) src: Option<Ipv4Addr>,
    /// The source need not be an address of ours, or is known to be one (Linux
    /// `FLOWI_FLAG_ANYSRC`).
    pub(crate) any_source: bool,
    pub(crate) protocol: Protocol,
    pub(crate) tos: u8,
    /// The time to live; the default of unicast or multicast when `None`.
    pub(crate) ttl: Option<u8>,
    /// The link it must leave by.
    pub(crate) link: Option<LinkId>,
    pub(crate) pmtu: PmtuDiscovery,
    /// IPv4 options, padded to four bytes.
    pub(crate) options: &'a [u8],
    /// `dst` is only the first hop of a source route, which is in the options.
    pub(crate) source_route: Option<SourceRoute>,
    pub(crate) mark: u32,
    /// Broadcast destinations are allowed (`SO_BROADCAST`).
    pub(crate) broadcast: bool,
    /// The identification, when the sender counts for itself, as connected TCP sockets do (Linux
    /// `ip_select_ident_segs`).
    pub(crate) ident: Option<u16>,
    /// Multicasts come back to members on this host (`IP_MULTICAST_LOOP`).
    pub(crate) multicast_loop: bool,
}

impl<'a> Flow<'a> {
    /// A flow with everything at its default.
    pub(crate) fn new(dst: Ipv4Addr, protocol: Protocol) -> Self {
        Flow {
            dst,
            src: None,
            any_source: false,
            protocol,
            tos: 0,
            ttl: None,
            link: None,
            pmtu: PmtuDiscovery::Dont,
            options: &[],
            source_route: None,
            mark: 0,
            broadcast: false,
            ident: None,
            multicast_loop: true,
        }
    }
}
