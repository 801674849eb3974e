//! What an observer is shown: each packet at each stage of its way.

use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr};

use crate::filter::hook::{HookPoint, Verdict};
use crate::neigh::Neighbour;
use crate::packet::{LinkId, Packet};
use crate::route::RouteKind;
use crate::socket::SocketId;
use crate::stats::DropReason;
use crate::tcp::event::TcpEvent;
use crate::time::Instant;
use crate::wire::arp::Arp;

/// Somebody who watches. Without one, a stage costs one branch.
pub trait Observer {
    /// Is told of every event, in order, while the packet is where the event says.
    fn event(&mut self, now: Instant, event: &Event<'_>);
}

/// Which way a route decision was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// For a packet that arrived.
    Input,
    /// For a packet that leaves.
    Output,
}

/// Who received a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Receiver {
    /// ICMP itself: it answers or obeys.
    Icmp,
    /// IGMP itself.
    Igmp,
    /// A ping socket.
    Ping(SocketId),
    /// A raw socket.
    Raw(SocketId),
    /// A UDP socket.
    Udp(SocketId),
    /// A TCP socket.
    Tcp(SocketId),
}

/// One stage. A packet's [`bytes`](crate::packet::PacketBuffer::bytes) begin with the header that the stage works on.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A frame arrived; bytes begin with the Ethernet header, on the loopback and on links without
    /// Ethernet with the IP header. Of frames that arrived together, TCP segments may have been put
    /// together ([`handle_frames`](crate::Stack::handle_frames)).
    LinkIn {
        /// Where.
        link: LinkId,
        /// The frame.
        packet: &'a Packet,
    },
    /// A frame is queued for a device; bytes begin as with `LinkIn`. A large segment that was cut is
    /// shown as the frames it became.
    LinkOut {
        /// Where.
        link: LinkId,
        /// The frame.
        packet: &'a Packet,
    },
    /// An ARP message arrived.
    ArpIn {
        /// Where.
        link: LinkId,
        /// The message.
        message: &'a Arp,
    },
    /// An ARP message leaves.
    ArpOut {
        /// Where.
        link: LinkId,
        /// The message.
        message: &'a Arp,
    },
    /// A neighbour's state or address changed.
    Neighbour(Neighbour),
    /// IPv4 found a received packet valid.
    Ipv4In {
        /// The packet, from its IPv4 header.
        packet: &'a Packet,
    },
    /// IPv4 made a packet to send.
    Ipv4Out {
        /// The packet, from its IPv4 header.
        packet: &'a Packet,
    },
    /// Fragments became one datagram.
    Reassembled {
        /// The datagram, from its IPv4 header.
        packet: &'a Packet,
    },
    /// A packet was cut.
    Fragmented {
        /// The first fragment, from its IPv4 header.
        packet: &'a Packet,
        /// Into how many.
        fragments: usize,
    },
    /// A hook judged a packet.
    Hook {
        /// Where.
        point: HookPoint,
        /// Which.
        name: &'a str,
        /// How.
        verdict: Verdict,
        /// The packet as the hook left it.
        packet: &'a Packet,
    },
    /// A route was chosen.
    Route {
        /// For a packet that arrived or leaves.
        direction: Direction,
        /// Where it wants to go.
        destination: Ipv4Addr,
        /// What kind of route that is.
        kind: RouteKind,
        /// The link it leaves by; for a local destination the one it arrived on.
        link: Option<LinkId>,
        /// The neighbour it goes to next, when it leaves.
        next_hop: Option<Ipv4Addr>,
    },
    /// A packet is being forwarded, its time to live already lowered.
    Forward {
        /// The packet, from its IPv4 header.
        packet: &'a Packet,
    },
    /// A packet reached somebody.
    Delivered {
        /// Whom.
        to: Receiver,
        /// The packet; bytes begin where the receiver reads.
        packet: &'a Packet,
    },
    /// A TCP connection made a decision.
    Tcp {
        /// Which.
        socket: SocketId,
        /// What.
        event: TcpEvent,
    },
    /// A packet was discarded.
    Dropped {
        /// Why.
        reason: DropReason,
        /// The packet as it was.
        packet: &'a Packet,
    },
    /// Conflict detection came to a conclusion about an address of ours (RFC 5227).
    Address {
        /// Its link.
        link: LinkId,
        /// The address.
        addr: IpAddr,
        /// The conclusion.
        state: AddressState,
    },
}

/// What conflict detection found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressState {
    /// Nobody else has it; it is in use now.
    Acquired,
    /// Somebody else has it; it was not taken into use.
    Conflict,
    /// Somebody else claimed it; it was defended.
    Defended,
    /// Somebody else claimed it again; it was given up.
    Lost,
}

/// The observer's place in a stack.
#[derive(Default)]
pub(crate) struct Observers(pub(crate) Option<Box<dyn Observer + Send>>);

impl Observers {
    /// Shows the event that `make` returns, if anybody watches.
    #[inline]
    pub(crate) fn see<'a>(&mut self, now: Instant, make: impl FnOnce() -> Event<'a>) {
        if let Some(observer) = &mut self.0 {
            observer.event(now, &make());
        }
    }
}

impl core::fmt::Debug for Observers {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(if self.0.is_some() { "Observed" } else { "Unobserved" })
    }
}
