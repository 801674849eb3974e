//! Transmission Control Protocol (RFC 9293) as Linux speaks it.
//!
//! ```text
//!           listen ── handshake of the passive side: SYN queue, cookies, accept queue
//!             │
//! demux ──→ input ── is the segment acceptable? (RFC 9293 §3.10.7, RFC 5961)
//!             ├─→ ack ── what was delivered ──→ rack, recovery, cc ──→ what was lost
//!             ├─→ text ── what came ──→ recv_buf ──→ the application; acknowledgments, window
//!             └─→ output ── send_buf ──→ segments, rtx_queue
//! timer ── retransmission, probes, delayed ACKs, keepalive ──┘
//! ```
//! The layer never talks to IPv4: segments that leave wait in a queue as `Outgoing` and the stack
//! carries them on. A connection is a `Tcb`; everything that its methods need besides is in `Cx`.
//! Handshakes on the passive side and connections in TIME-WAIT are kept in records of their own,
//! much smaller than a connection.

mod ack;
mod ahead;
pub mod cc;
mod close;
pub(crate) mod config;
mod connect;
mod cookies;
mod demux;
pub mod event;
mod icmp;
mod index;
pub mod info;
mod input;
mod isn;
pub(crate) mod layer;
mod listen;
mod listeners;
pub mod options;
mod output;
mod rack;
pub mod rate;
mod recovery;
mod recv_buf;
pub mod rtt;
mod rtx_queue;
mod segment;
pub(crate) mod send_buf;
mod socket;
mod sparse;
pub mod state;
mod tcb;
mod text;
mod timer;
mod timewait;
mod window;

pub(crate) use ahead::{LOOK_AHEAD, look_ahead};
pub(crate) use connect::Start;
pub(crate) use demux::{Found, TcpSocket, TcpSockets};
pub(crate) use icmp::{is_in_flight, quoted_error};
pub(crate) use layer::{TcpLayer, handle_timeout, input};
pub(crate) use listen::Listener;
pub use options::TcpOptions;
pub(crate) use segment::FourTuple;
pub use socket::SendFlags;
pub(crate) use sparse::SharedDefault;
pub use state::TcpState;
pub(crate) use tcb::{Phase, Tcb};

use alloc::collections::VecDeque;
use core::net::Ipv4Addr;

use crate::event::{Event, Observers};
use crate::flow::PmtuDiscovery;
use crate::packet::{LinkId, Packet, PacketPool};
use crate::socket::SocketId;
use crate::stats::{TcpExtMib, TcpMib};
use crate::time::Instant;
use crate::wire::seq::SeqNumber;
use config::TcpConfig;
use event::TcpEvent;
use send_buf::ChunkPool;

/// A segment on its way to IPv4; its bytes begin with the TCP header.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) packet: Packet,
    pub(crate) src: Ipv4Addr,
    pub(crate) dst: Ipv4Addr,
    pub(crate) tos: u8,
    pub(crate) ttl: Option<u8>,
    pub(crate) mark: u32,
    pub(crate) link: Option<LinkId>,
    pub(crate) pmtu: PmtuDiscovery,
    /// Identification; IPv4 chooses when `None`.
    pub(crate) ident: Option<u16>,
    /// The payload, when `packet` has only room for it yet.
    pub(crate) payload: Option<Payload>,
}

/// The payload of a large segment, which stays in the send buffer until its way is known: from there
/// it is copied once, whole or cut, as the link wants it. It is to be copied before the connection
/// learns anything new.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payload {
    /// The connection's place in the table.
    pub(crate) index: u32,
    pub(crate) seq: SeqNumber,
    pub(crate) len: usize,
}

/// What a connection needs of its surroundings.
pub(crate) struct Cx<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a TcpConfig,
    pub(crate) tcp: &'a mut TcpMib,
    pub(crate) ext: &'a mut TcpExtMib,
    pub(crate) observers: &'a mut Observers,
    pub(crate) pool: &'a mut PacketPool,
    pub(crate) chunks: &'a mut ChunkPool,
    pub(crate) out: &'a mut VecDeque<Outgoing>,
    pub(crate) challenges: &'a mut Challenges,
    /// Frames that wait for devices, how many more of ours are in `out`, and how many may wait.
    pub(crate) tx_backlog: usize,
    pub(crate) out_frames: &'a mut usize,
    pub(crate) tx_limit: usize,
    /// Bytes that all connections together have queued.
    pub(crate) memory: usize,
}

impl Cx<'_> {
    /// Whether no connection may queue more than it needs to go on (`tcp_mem[2]`).
    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.memory >= self.config.mem
    }

    /// Whether enough frames wait for devices: more would only be lost there (Linux TCP small
    /// queues).
    pub(crate) fn is_queue_full(&self) -> bool {
        self.tx_backlog + *self.out_frames >= self.tx_limit
    }

    /// Tells an observer of a decision.
    #[inline]
    pub(crate) fn see(&mut self, socket: SocketId, event: TcpEvent) {
        self.observers.see(self.now, || Event::Tcp { socket, event });
    }
}

/// Challenge ACKs of the whole stack in the present second (RFC 5961 §7).
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    second: u64,
    sent: u32,
}

impl Challenges {
    /// Whether another one may be sent.
    pub(crate) fn allow(&mut self, now: Instant, limit: u32) -> bool {
        let second = now.as_nanos() / 1_000_000_000;
        if second != self.second {
            self.second = second;
            self.sent = 0;
        }
        self.sent += 1;
        self.sent <= limit
    }
}
