//! Why packets are discarded.

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a packet was discarded. Every discard names exactly one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason {
            $($(#[$doc])* $name,)*
        }

        impl DropReason {
            /// All of them.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name,)*];
            pub(crate) const COUNT: usize = DropReason::ALL.len();

            /// A few words for people.
            pub const fn text(self) -> &'static str {
                match self {
                    $(DropReason::$name => $text,)*
                }
            }
        }
    };
}

drop_reasons! {
    /// The link it arrived on, or should leave by, is down or gone.
    LinkDown = "link is down",
    /// Shorter than an Ethernet header.
    EthernetMalformed = "malformed Ethernet frame",
    /// Addressed to another host, and the link is not promiscuous.
    OtherHost = "frame for another host",
    /// Tagged for a VLAN that the link does not have.
    UnknownVlan = "frame for an unknown VLAN",
    /// An EtherType that nothing here speaks.
    UnhandledEtherType = "unhandled EtherType",
    /// On a link without Ethernet, neither IPv4 nor IPv6.
    UnknownIpVersion = "neither IPv4 nor IPv6",
    /// Not an Ethernet/IPv4 ARP message.
    ArpMalformed = "malformed ARP message",
    /// An ARP message that is not for this host or makes no sense.
    ArpIgnored = "ARP message ignored",
    /// The link's transmit queue was full.
    TxQueueFull = "transmit queue full",
    /// A large segment for a link that cannot take it, and that cannot be cut.
    TooBigForLink = "larger than the link can take",
    /// The loopback's queue was full.
    BacklogFull = "loopback backlog full",
    /// Too many packets waited for one address resolution.
    NeighbourQueueFull = "too many packets waiting for address resolution",
    /// The neighbour table was full.
    NeighbourTableFull = "neighbour table full",
    /// Nobody answered for the next hop.
    NeighbourFailed = "next hop did not answer",
    /// The IPv4 header is malformed.
    Ipv4HeaderError = "malformed IPv4 header",
    /// Shorter than its total length says.
    Ipv4Truncated = "IPv4 packet truncated",
    /// The IPv4 header checksum is wrong.
    Ipv4Checksum = "wrong IPv4 header checksum",
    /// An IPv4 option is malformed.
    Ipv4OptionError = "malformed IPv4 option",
    /// It carries a source route, and these are refused.
    SourceRoute = "source route refused",
    /// A source address that no packet may have, or one of our own.
    MartianSource = "martian source address",
    /// A destination address that no packet may have.
    MartianDestination = "martian destination address",
    /// The way back does not lead over the link it came by (RFC 3704).
    ReversePath = "reverse path check failed",
    /// No route to the destination.
    NoRoute = "no route to destination",
    /// Not for this host, which forwards nothing.
    NotForwarding = "not for this host, forwarding is off",
    /// A blackhole route.
    Blackhole = "blackhole route",
    /// An unreachable route.
    UnreachableRoute = "unreachable route",
    /// A prohibit route.
    ProhibitRoute = "prohibit route",
    /// A broadcast that its sender may not send (`SO_BROADCAST`).
    BroadcastRefused = "broadcast without permission",
    /// A group that nobody here joined.
    NotMember = "multicast group not joined",
    /// Sent by broadcast or multicast below, so not to be forwarded.
    LinkBroadcast = "link-layer broadcast is not forwarded",
    /// The time to live ran out here.
    TtlExpired = "time to live exceeded",
    /// Larger than the next link's MTU, with DF set.
    FragmentationNeeded = "fragmentation needed but DF set",
    /// A hook discarded it.
    HookDrop = "dropped by a hook",
    /// A hook rejected it.
    HookReject = "rejected by a hook",
    /// Fragments waited too long for the rest.
    ReassemblyTimeout = "reassembly timed out",
    /// Fragments overlapped.
    ReassemblyOverlap = "overlapping fragments",
    /// A fragment with an impossible length or offset.
    ReassemblyMalformed = "malformed fragment",
    /// Waiting fragments took all the memory they may.
    ReassemblyMemory = "no memory for fragments",
    /// A fragment that was already there.
    ReassemblyDuplicate = "duplicate fragment",
    /// Nothing here speaks this protocol.
    UnknownProtocol = "unknown protocol",
    /// A malformed ICMP message.
    IcmpMalformed = "malformed ICMP message",
    /// The ICMP checksum is wrong.
    IcmpChecksum = "wrong ICMP checksum",
    /// An ICMP message of a type that is not acted upon.
    IcmpUnhandled = "ICMP type not handled",
    /// An echo or timestamp request that the settings say to ignore.
    IcmpIgnored = "ICMP request ignored",
    /// A malformed IGMP message.
    IgmpMalformed = "malformed IGMP message",
    /// The IGMP checksum is wrong.
    IgmpChecksum = "wrong IGMP checksum",
    /// An IGMP message of a type that is not acted upon.
    IgmpUnhandled = "IGMP type not handled",
    /// An IGMP message that nobody should obey: a general query to a group of its own or with
    /// sources, or one over the loopback.
    IgmpIgnored = "IGMP message ignored",
    /// A malformed UDP header.
    UdpMalformed = "malformed UDP datagram",
    /// The UDP checksum is wrong.
    UdpChecksum = "wrong UDP checksum",
    /// A malformed TCP header.
    TcpMalformed = "malformed TCP segment",
    /// The TCP checksum is wrong.
    TcpChecksum = "wrong TCP checksum",
    /// A segment sent by broadcast or multicast.
    TcpToMany = "TCP segment sent to many",
    /// Flags that make no sense in this state.
    TcpFlags = "unexpected TCP flags",
    /// For a connection that is closed.
    TcpClosed = "TCP connection is closed",
    /// Data after this end was closed.
    TcpAfterClose = "data after close",
    /// Data after the peer's FIN.
    TcpAfterFin = "data after FIN",
    /// A timestamp older than was seen (RFC 7323).
    TcpPaws = "old TCP timestamp",
    /// Out of the receive window.
    TcpOutOfWindow = "out of the TCP window",
    /// Data that is there already.
    TcpOldData = "old TCP data",
    /// An acknowledgment of what was not sent, or long ago.
    TcpInvalidAck = "unacceptable TCP acknowledgment",
    /// A SYN on a synchronized connection (RFC 5961).
    TcpInvalidSyn = "unexpected SYN",
    /// A RST that is not believed (RFC 5961).
    TcpInvalidReset = "RST not believed",
    /// A RST that ended the connection.
    TcpReset = "connection reset",
    /// Of no use to a handshake.
    TcpHandshake = "refused in the handshake",
    /// The accept queue is full.
    TcpAcceptQueueFull = "accept queue full",
    /// For a connection in TIME-WAIT.
    TcpTimeWait = "connection in TIME-WAIT",
    /// No socket wants it.
    NoSocket = "no socket",
    /// The socket's receive queue is full.
    SocketQueueFull = "socket receive queue full",
    /// The receive queues of all UDP sockets take all the memory they may.
    UdpMemory = "no memory for UDP",
}

impl core::fmt::Display for DropReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.text())
    }
}
