//! What there is, for tools that list it: sockets, links, routes, neighbours (what ss(8) and ip(8)
//! ask the kernel for).
//!
//! Lists that can be long are read in pages. A page looks at a bounded number of places, so that
//! packets need not wait while 100,000 connections are listed. Between two pages sockets may come
//! and go; what was there all the time is listed exactly once.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Stack;
use crate::interface::{InterfaceAddress, LinkKind};
use crate::link::Capabilities;
use crate::neigh::Neighbour;
use crate::packet::LinkId;
use crate::route::{Route, RoutePosition};
use crate::socket::{Socket, SocketId, SocketKind};
use crate::stats::LinkCounters;
use crate::tcp::info::TcpInfo;
pub use crate::tcp::info::{SocketTimer, SocketTimerKind};
use crate::tcp::{FourTuple, Listener, Tcb, TcpSocket, TcpState};
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNumber;

/// A socket at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct SocketSnapshot {
    /// The number of its name ([`SocketId::cookie`]); `None` for what no program has: handshakes,
    /// connections not yet accepted or closed already, TIME-WAIT.
    pub owner: Option<u64>,
    /// What it is for.
    pub kind: SocketKind,
    /// Its state; as on Linux, a socket that is not of TCP is established once it is connected.
    pub state: TcpState,
    /// Its own address; unspecified, and port 0, where it has none.
    pub local: SocketAddr,
    /// Its peer's address.
    pub peer: SocketAddr,
    /// The link it is bound to (`SO_BINDTODEVICE`).
    pub link: Option<LinkId>,
    /// Bytes that wait to be received; of a listener, connections that wait to be accepted.
    pub recv_queue: u64,
    /// Bytes that wait for acknowledgment; of a listener, how many connections may wait.
    pub send_queue: u64,
    /// The timer that matters most.
    pub timer: Option<SocketTimer>,
    /// Bytes of buffer that received data takes, and may take.
    pub receive_buffer: (u64, u64),
    /// Bytes of buffer that unacknowledged data takes, and may take.
    pub send_buffer: (u64, u64),
    /// Receiving, sending was shut down.
    pub shutdown: (bool, bool),
    /// `SO_MARK`.
    pub mark: u32,
    /// `IP_TOS`.
    pub tos: u8,
    /// The congestion control algorithm, of TCP sockets.
    pub congestion: Option<&'static str>,
    /// What a connection tells of itself, if asked for.
    pub info: Option<Box<TcpInfo>>,
}

/// Which sockets to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketQuery {
    /// TCP sockets.
    pub tcp: bool,
    /// UDP sockets.
    pub udp: bool,
    /// Raw and ping sockets.
    pub raw: bool,
    /// Bit [`TcpState::number`] is set for each state to list.
    pub states: u32,
    /// Add [`SocketSnapshot::info`].
    pub info: bool,
}

impl SocketQuery {
    /// Every socket, without [`SocketSnapshot::info`].
    pub const ALL: SocketQuery =
        SocketQuery { tcp: true, udp: true, raw: true, states: u32::MAX, info: false };

    fn wants(&self, state: TcpState) -> bool {
        self.states & 1 << state.number() != 0
    }

    fn wants_kind(&self, kind: SocketKind) -> bool {
        match kind {
            SocketKind::Tcp => self.tcp,
            SocketKind::Udp => self.udp,
            SocketKind::Raw { .. } | SocketKind::Ping { .. } => self.raw,
        }
    }
}

/// How far a list of sockets has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SocketCursor {
    table: Table,
    index: u32,
}

impl SocketCursor {
    /// As a number, to be handed through to others.
    pub fn to_bits(self) -> u64 {
        (self.table as u64) << 32 | u64::from(self.index)
    }

    /// From such a number; one that never was such leads somewhere in the list.
    pub fn from_bits(bits: u64) -> Self {
        let at = usize::try_from(bits >> 32).unwrap_or(usize::MAX);
        let table = Table::ALL.get(at).copied().unwrap_or(Table::TimeWaits);
        SocketCursor { table, index: bits as u32 }
    }
}

/// The tables, in the order they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Table {
    #[default]
    Datagram,
    Tcp,
    Requests,
    TimeWaits,
}

impl Table {
    const ALL: [Table; 4] = [Table::Datagram, Table::Tcp, Table::Requests, Table::TimeWaits];

    fn next(self) -> Option<Table> {
        Table::ALL.get(self as usize + 1).copied()
    }
}

/// A part of the list of sockets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SocketPage {
    /// The sockets.
    pub sockets: Vec<SocketSnapshot>,
    /// Where the list goes on; `None` at its end.
    pub next: Option<SocketCursor>,
}

/// A part of the list of routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoutePage {
    /// The routes.
    pub routes: Vec<Route>,
    /// Where the list goes on; `None` at its end.
    pub next: Option<RoutePosition>,
}

/// A link at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSnapshot {
    /// Its number.
    pub id: LinkId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// The largest IP packet it carries.
    pub mtu: usize,
    /// Whether it is up.
    pub up: bool,
    /// Whether it takes frames for other hosts.
    pub promiscuous: bool,
    /// What its device does itself.
    pub capabilities: Capabilities,
    /// Frames that wait for the device, and how many may.
    pub queue: (usize, usize),
    /// Its addresses, the oldest first.
    pub addresses: Vec<InterfaceAddress>,
    /// Its counters.
    pub counters: LinkCounters,
}

/// A neighbour at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeighbourSnapshot {
    /// Who, and how far to believe it.
    pub neighbour: Neighbour,
    /// Time since a packet was sent to it.
    pub used: Duration,
    /// Time since it proved to be there.
    pub confirmed: Duration,
    /// Time since its entry changed.
    pub updated: Duration,
    /// Solicitations sent since the state was entered.
    pub probes: u8,
}

impl Stack {
    /// The next sockets of a list that starts at [`SocketCursor::default`]. Looks at `limit`
    /// places at most, at one at least, so a page may be empty though the list goes on.
    pub fn socket_page(
        &self,
        now: Instant,
        from: SocketCursor,
        limit: usize,
        query: &SocketQuery,
    ) -> SocketPage {
        let now = now.max(self.core.now);
        let mut page = SocketPage::default();
        let mut at = from;
        for _ in 0..limit.max(1) {
            while at.index as usize >= self.places(at.table, query) {
                let Some(table) = at.table.next() else { return page };
                at = SocketCursor { table, index: 0 };
            }
            page.sockets.extend(self.socket_at(now, at, query));
            at.index += 1;
        }
        page.next = Some(at);
        page
    }

    /// The next routes, those of the local table first, each table by destination, shorter
    /// prefixes before longer ones. Routes to the same destination are never parted, so a page may
    /// have some more than `limit`.
    pub fn route_page(&self, from: Option<RoutePosition>, limit: usize) -> RoutePage {
        let (routes, next) = self.core.routes.page(from, limit.max(1));
        RoutePage { routes, next }
    }

    /// Some neighbours, of the places from `from` on, and where the list goes on.
    pub fn neighbour_page(
        &self,
        now: Instant,
        from: usize,
        limit: usize,
    ) -> (Vec<NeighbourSnapshot>, Option<usize>) {
        let now = now.max(self.core.now);
        let (slots, end) = (self.neighbours.slots(), from.saturating_add(limit.max(1)));
        let found = (from..end.min(slots)).filter_map(|at| self.neighbours.at(at));
        let shown = found.map(|(neighbour, times, probes)| {
            let [used, confirmed, updated] = times.map(|at| now - at);
            NeighbourSnapshot { neighbour, used, confirmed, updated, probes }
        });
        (shown.collect(), (end < slots).then_some(end))
    }

    /// How many TCP connections no program has any more.
    pub fn tcp_orphans(&self) -> usize {
        self.core.tcp.sockets.orphans
    }

    /// Every link, by its number.
    pub fn link_snapshots(&self) -> Vec<LinkSnapshot> {
        let mut shown = Vec::new();
        for interface in self.core.interfaces.iter() {
            let Some(link) = self.links.get(interface.id) else { continue };
            shown.push(LinkSnapshot {
                id: interface.id,
                name: interface.name.clone(),
                kind: interface.kind,
                mtu: interface.mtu,
                up: interface.up,
                promiscuous: link.promiscuous,
                capabilities: link.capabilities,
                queue: (link.queue.len(), self.core.config.core.tx_queue_len),
                addresses: interface.addresses.clone(),
                counters: link.counters,
            });
        }
        shown
    }

    /// How many places of a table are to be looked at.
    fn places(&self, table: Table, query: &SocketQuery) -> usize {
        let tcp = &self.core.tcp.sockets;
        match table {
            Table::Datagram if query.udp || query.raw => self.core.sockets.slots(),
            Table::Tcp if query.tcp => tcp.slots(),
            Table::Requests if query.tcp && query.wants(TcpState::SynReceived) => {
                tcp.requests.slots()
            }
            Table::TimeWaits
                if query.tcp
                    && (query.wants(TcpState::TimeWait) || query.wants(TcpState::FinWait2)) =>
            {
                tcp.time_waits.slots()
            }
            _ => 0,
        }
    }

    fn socket_at(
        &self,
        now: Instant,
        at: SocketCursor,
        query: &SocketQuery,
    ) -> Option<SocketSnapshot> {
        let tcp = &self.core.tcp.sockets;
        match at.table {
            Table::Datagram => {
                let id = self.core.sockets.id_at(at.index)?;
                let socket = self.core.sockets.get(id).ok()?;
                let shown = of_datagram(id, socket);
                (query.wants_kind(shown.kind) && query.wants(shown.state)).then_some(shown)
            }
            Table::Tcp => match tcp.at(at.index)? {
                (id, TcpSocket::Listener(listener)) => {
                    query.wants(TcpState::Listen).then(|| self.of_listener(id, listener))
                }
                (id, TcpSocket::Connection(tcb)) => {
                    // A socket that was never connected or bound is in no table of Linux's.
                    let listed = tcb.state != TcpState::Closed || tcb.bound_port;
                    let shown = || of_connection(now, id, tcb, query.info);
                    (listed && query.wants(tcb.state)).then(shown)
                }
            },
            Table::Requests => {
                let request = tcp.requests.get(at.index)?;
                let expires = request.timer.and_then(|timer| tcp.wheel.deadline(timer));
                let mut shown = of_tuple(&request.tuple, TcpState::SynReceived);
                shown.timer = expires.map(|at| SocketTimer {
                    kind: SocketTimerKind::Retransmit,
                    expires: at - now,
                    retransmits: request.retries.into(),
                });
                (shown.link, shown.mark, shown.tos) = (request.link, request.mark, request.tos);
                Some(shown)
            }
            Table::TimeWaits => {
                let record = tcp.time_waits.get(at.index)?;
                let state = if record.fin_wait_2 { TcpState::FinWait2 } else { TcpState::TimeWait };
                let expires = record.timer.and_then(|timer| tcp.wheel.deadline(timer));
                let mut shown = of_tuple(&record.tuple, state);
                shown.timer = expires.map(|at| SocketTimer {
                    kind: SocketTimerKind::TimeWait,
                    expires: at - now,
                    retransmits: 0,
                });
                (shown.link, shown.mark, shown.tos) = (record.link, record.mark, record.tos);
                query.wants(state).then_some(shown)
            }
        }
    }

    fn of_listener(&self, id: SocketId, listener: &Listener) -> SocketSnapshot {
        let config = &self.core.config.tcp;
        let tuple = FourTuple {
            local: listener.addr,
            local_port: listener.port,
            remote: Ipv4Addr::UNSPECIFIED,
            remote_port: 0,
        };
        let algorithm = listener.options.congestion.unwrap_or(config.congestion_control);
        SocketSnapshot {
            owner: Some(id.cookie()),
            link: listener.ip.bind_link,
            recv_queue: listener.accept_queue.len() as u64,
            send_queue: listener.backlog as u64,
            receive_buffer: (0, listener.options.receive_limit(config) as u64),
            send_buffer: (0, listener.options.send_limit(config) as u64),
            mark: listener.ip.mark,
            tos: listener.ip.tos,
            congestion: Some(algorithm.name()),
            ..of_tuple(&tuple, TcpState::Listen)
        }
    }
}

/// A TCP socket of which nothing but its addresses and its state is known.
fn of_tuple(tuple: &FourTuple, state: TcpState) -> SocketSnapshot {
    SocketSnapshot {
        owner: None,
        kind: SocketKind::Tcp,
        state,
        local: SocketAddr::new(IpAddr::V4(tuple.local), tuple.local_port),
        peer: SocketAddr::new(IpAddr::V4(tuple.remote), tuple.remote_port),
        link: None,
        recv_queue: 0,
        send_queue: 0,
        timer: None,
        receive_buffer: (0, 0),
        send_buffer: (0, 0),
        shutdown: (false, false),
        mark: 0,
        tos: 0,
        congestion: None,
        info: None,
    }
}

fn of_connection(now: Instant, id: SocketId, tcb: &Tcb, info: bool) -> SocketSnapshot {
    let owned = !tcb.orphan && tcb.listener.is_none();
    let queue = |end: SeqNumber, start: SeqNumber| (end - start).max(0) as u64;
    SocketSnapshot {
        owner: owned.then(|| id.cookie()),
        link: tcb.ip.bind_link,
        // Both ends of a stream count, as they do on Linux.
        recv_queue: queue(tcb.rcv_nxt, tcb.copied_seq),
        send_queue: queue(tcb.write_seq, tcb.snd_una),
        timer: tcb.timer(now),
        receive_buffer: (tcb.rx.memory() as u64, tcb.receive_limit as u64),
        send_buffer: (tcb.send.len() as u64, tcb.send_limit as u64),
        shutdown: (tcb.receive_shutdown, tcb.send_shutdown),
        mark: tcb.ip.mark,
        tos: tcb.ip.tos,
        congestion: Some(tcb.congestion_name()),
        info: info.then(|| Box::new(tcb.info(now))),
        ..of_tuple(&tcb.tuple, tcb.state)
    }
}

fn of_datagram(id: SocketId, socket: &Socket) -> SocketSnapshot {
    let (local_port, peer_port) = match socket.kind {
        SocketKind::Ping { ident } => (ident, 0),
        SocketKind::Raw { protocol } => (protocol.0.into(), 0),
        SocketKind::Udp | SocketKind::Tcp => (socket.port, socket.peer_port),
    };
    let tuple = FourTuple {
        local: socket.local.unwrap_or(Ipv4Addr::UNSPECIFIED),
        local_port,
        remote: socket.peer.unwrap_or(Ipv4Addr::UNSPECIFIED),
        remote_port: peer_port,
    };
    let state = match socket.peer {
        Some(_) => TcpState::Established,
        None => TcpState::Closed,
    };
    let waiting = socket.receive_bytes() as u64;
    SocketSnapshot {
        owner: Some(id.cookie()),
        kind: socket.kind,
        link: socket.options.bind_link,
        recv_queue: waiting,
        receive_buffer: (waiting, socket.options.receive_buffer as u64),
        mark: socket.options.mark,
        tos: socket.options.tos,
        ..of_tuple(&tuple, state)
    }
}
