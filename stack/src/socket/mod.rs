//! Sockets: who gets what arrives, and how what they send is to look.
//!
//! Finding a socket is a keyed hash lookup: ping sockets by ICMP identifier, raw sockets by
//! protocol, UDP sockets by addresses and ports. What is received stays in its packet and moves into the socket's queue, which is
//! bounded in bytes of buffer.

mod error;
mod info;
pub(crate) mod ports;
mod readiness;
mod table;
mod udp;

pub use error::{ErrorKind, SocketError};
pub use info::PacketInfo;
pub(crate) use readiness::WakerTable;
pub use readiness::{Interest, Readiness, Waiter};
pub(crate) use table::{Quoted, Socket, SocketTable};

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::flow::PmtuDiscovery;
use crate::packet::{LinkId, Packet};
use crate::tcp::SharedDefault;
use crate::wire::ipv4::Protocol;

/// Names a socket of a stack; a closed socket's name is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId {
    pub(crate) class: SocketClass,
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl SocketId {
    /// One number for the name, never 0, as ss(8) shows inodes and cookies.
    pub fn cookie(self) -> u64 {
        let class = u64::from(self.class == SocketClass::Datagram);
        1 + (u64::from(self.generation) << 33 | u64::from(self.index) << 1 | class)
    }
}

/// Which table a socket is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SocketClass {
    /// Ping, raw and UDP: [`SocketTable`].
    Datagram,
    /// TCP.
    Tcp,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// ICMP echo with one identifier (icmp(7), `SOCK_DGRAM` with `IPPROTO_ICMP`).
    Ping {
        /// The identifier that its requests carry, chosen if not given.
        ident: u16,
    },
    /// Every packet of one protocol (raw(7)).
    Raw {
        /// The protocol.
        protocol: Protocol,
    },
    /// UDP (udp(7)).
    Udp,
    /// TCP (tcp(7)).
    Tcp,
}

/// Options of a socket, named as in socket(7), ip(7) and raw(7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOptions {
    /// `IP_TTL`, 1 to 255; the stack's default when `None`.
    pub ttl: Option<u8>,
    /// `IP_MULTICAST_TTL`.
    pub multicast_ttl: u8,
    /// `IP_TOS`.
    pub tos: u8,
    /// `IP_MTU_DISCOVER`.
    pub pmtu_discovery: PmtuDiscovery,
    /// `SO_BROADCAST`.
    pub broadcast: bool,
    /// `SO_BINDTODEVICE`.
    pub bind_link: Option<LinkId>,
    /// `IP_OPTIONS`: at most 40 bytes, padded to four by the stack.
    pub ip_options: Vec<u8>,
    /// `SO_MARK`.
    pub mark: u32,
    /// `IP_HDRINCL`: what is sent begins with an IPv4 header; raw sockets only.
    pub header_included: bool,
    /// `IP_MULTICAST_LOOP`.
    pub multicast_loop: bool,
    /// `IP_MULTICAST_IF`: the link that multicasts leave by, unless `bind_link` says.
    pub multicast_link: Option<LinkId>,
    /// `IP_MULTICAST_ALL`: receive groups that others on this host have joined, too.
    pub multicast_all: bool,
    /// `SO_REUSEADDR`: share the port with others that have it; UDP sockets only.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`: share the port, and the datagrams, with others that have it; UDP sockets
    /// only.
    pub reuse_port: bool,
    /// `SO_RCVBUF`: bytes of buffer that may wait to be received.
    pub receive_buffer: usize,
    /// `IP_RECVERR`: queue every ICMP error. Without it only hard errors about the peer of a
    /// connected socket are told, by [`Stack::take_error`](crate::Stack::take_error).
    pub receive_errors: bool,
    /// `IP_ROUTER_ALERT`: take packets with the router alert option that this host would forward;
    /// raw sockets only.
    pub router_alert: bool,
    /// `ICMP_FILTER`: bit `n` set keeps ICMP messages of type `n` from a raw ICMP socket.
    pub icmp_filter: u32,
}

/// The defaults.
static DEFAULT: SocketOptions = SocketOptions {
    ttl: None,
    multicast_ttl: 1,
    tos: 0,
    pmtu_discovery: PmtuDiscovery::Want,
    broadcast: false,
    bind_link: None,
    ip_options: Vec::new(),
    mark: 0,
    header_included: false,
    multicast_loop: true,
    multicast_link: None,
    multicast_all: true,
    reuse_address: false,
    reuse_port: false,
    receive_buffer: 212_992,
    receive_errors: false,
    router_alert: false,
    icmp_filter: 0,
};

impl Default for SocketOptions {
    fn default() -> Self {
        DEFAULT.clone()
    }
}

impl SharedDefault for SocketOptions {
    fn shared_default() -> &'static Self {
        &DEFAULT
    }
}

/// Who found the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorOrigin {
    /// This stack, before the packet left.
    Local,
    /// An ICMP message.
    Icmp,
}

/// One entry of a socket's error queue (`struct sock_extended_err`, ip(7)).
#[derive(Debug)]
pub struct SocketErrorReport {
    /// What it means to the socket.
    pub error: SocketError,
    /// Who found it.
    pub origin: ErrorOrigin,
    /// The ICMP type; 0 for a local error.
    pub icmp_type: u8,
    /// The ICMP code; 0 for a local error.
    pub code: u8,
    /// The next hop's MTU of "fragmentation needed", the gateway of a redirect (as a big-endian
    /// number), the pointer of a parameter problem; else 0.
    pub info: u32,
    /// Who sent the ICMP message.
    pub offender: Option<IpAddr>,
    /// Where the packet in error was going.
    pub destination: IpAddr,
    /// What is left of the packet in error: [`bytes`](crate::packet::PacketBuffer::bytes) begin with its transport
    /// header, [`network`](crate::packet::PacketBuffer::network) with its IPv4 header. Its `meta.timestamp` is when
    /// the error arrived. Give it back with [`Stack::recycle`](crate::Stack::recycle).
    pub packet: Packet,
}
