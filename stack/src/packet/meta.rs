//! What travels with a packet beside its bytes.

use crate::time::Instant;

/// A link of a stack, numbered from 1 like a Linux interface index; 1 is the loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

impl LinkId {
    /// The loopback link that every stack has.
    pub const LOOPBACK: LinkId = LinkId(1);
}

impl core::fmt::Display for LinkId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "if{}", self.0)
    }
}

/// Whom the link-layer destination address names (Linux `PACKET_HOST` and its siblings); what IPv4
/// finds to be a broadcast or multicast is one, whatever its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PacketType {
    /// This host.
    #[default]
    Host,
    /// Everybody on the link.
    Broadcast,
    /// A group on the link.
    Multicast,
    /// Another host; seen because the link is promiscuous.
    OtherHost,
}

/// What is known of the transport checksum (Linux `ip_summed`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChecksumState {
    /// Nothing: a receiver must verify it; a sender has filled it in.
    #[default]
    None,
    /// Verified by the device or by an earlier layer.
    Unnecessary,
    /// Not finished: the field holds the folded pseudo-header sum; whoever puts the packet on a
    /// wire sums from the transport header to the end and stores the complement. To a receiver in
    /// the same machine it counts as verified.
    Partial {
        /// Where summing starts, in bytes from the network header.
        start: u16,
        /// Where the 16-bit field is, in bytes from `start`.
        offset: u16,
    },
}

/// The kind of a large segment (Linux `SKB_GSO_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GsoKind {
    /// TCP over IPv4; with `ecn`, CWR is set on the first segment only (RFC 3168 §6.1.2).
    TcpV4 {
        /// The segment carries CWR.
        ecn: bool,
    },
    /// UDP datagrams of equal size over IPv4.
    UdpV4,
}

/// How a large segment is to be split before it meets a link that cannot take it whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gso {
    /// What the payload is.
    pub kind: GsoKind,
    /// Payload bytes in each resulting segment.
    pub size: u16,
    /// How many segments result.
    pub segments: u16,
    /// They all have the same IPv4 identification, instead of each the one after the last (Linux
    /// `SKB_GSO_TCP_FIXEDID`).
    pub fixed_id: bool,
}

/// An opaque reference into a connection tracker, set by the hook that tracks and carried along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConntrackRef(pub u64);

/// What travels with a packet beside its bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Metadata {
    /// The link it arrived on; `None` when this stack made it.
    pub link_in: Option<LinkId>,
    /// The link it leaves by, once routed.
    pub link_out: Option<LinkId>,
    /// When it arrived, on the clock of whoever called `handle_frame`.
    pub timestamp: Instant,
    /// Whom the frame was addressed to.
    pub packet_type: PacketType,
    /// State of the transport checksum.
    pub checksum: ChecksumState,
    /// Set on a large segment.
    pub gso: Option<Gso>,
    /// Length of the longest fragment that it was put together from, with its header: who sends it
    /// on must not send longer ones (Linux `IPCB(skb)->frag_max_size`).
    pub max_fragment: Option<u16>,
    /// Firewall mark (Linux `skb->mark`).
    pub mark: u32,
    /// Queueing priority (Linux `skb->priority`).
    pub priority: u32,
    /// The connection it belongs to, if a hook tracks connections.
    pub conntrack: Option<ConntrackRef>,
}
