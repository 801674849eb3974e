//! The table of sockets.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use super::ports::PortTable;
use super::{
    ErrorOrigin, Readiness, SocketClass, SocketError, SocketErrorReport, SocketId, SocketKind,
    SocketOptions,
};
use crate::config::Config;
use crate::packet::{LinkId, Packet, PacketPool};
use crate::rng::{KeyedHash, KeyedMap, Rng};
use crate::stats::DropReason;
use crate::udp::{Demux, Endpoint, Path};
use crate::wire::ipv4::Protocol;

/// One socket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) kind: SocketKind,
    pub(crate) options: SocketOptions,
    /// The address it is bound to, by bind or by connect.
    pub(crate) local: Option<Ipv4Addr>,
    /// `local` was given by bind, and outlives the connection (Linux `SOCK_BINDADDR_LOCK`).
    pub(crate) bound: bool,
    /// The address it is connected to.
    pub(crate) peer: Option<Ipv4Addr>,
    /// The port of a UDP socket; 0 is none.
    pub(crate) port: u16,
    /// `port` was given by bind, and outlives the connection (Linux `SOCK_BINDPORT_LOCK`).
    pub(crate) port_bound: bool,
    /// The port that a UDP socket is connected to.
    pub(crate) peer_port: u16,
    /// What the UDP demultiplexer has of it.
    pub(super) endpoint: Option<Endpoint>,
    /// Its options may have changed since the tables last looked.
    pub(super) touched: bool,
    /// What an ICMP error meant, not yet told (`SO_ERROR`).
    pub(crate) pending_error: Option<SocketError>,
    receive_queue: VecDeque<Packet>,
    /// Sum of `true_size` over `receive_queue`; exceeds `receive_buffer` by less than one packet.
    receive_bytes: usize,
    errors: VecDeque<SocketErrorReport>,
    max_errors: usize,
}

/// The addresses of a packet that an ICMP error quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quoted {
    pub(crate) src: Ipv4Addr,
    pub(crate) dst: Ipv4Addr,
    pub(crate) protocol: Protocol,
    /// The identifier, when it is an ICMP echo request.
    pub(crate) ident: Option<u16>,
    /// Source and destination port, when it is UDP.
    pub(crate) ports: Option<(u16, u16)>,
}

impl Socket {
    /// Whether a packet from `src` to `dst` that arrived by `link`, or `None` where that does not
    /// matter, is for this socket.
    pub(crate) fn wants(&self, src: Ipv4Addr, dst: Ipv4Addr, link: Option<LinkId>) -> bool {
        self.local.is_none_or(|local| local == dst)
            && self.peer.is_none_or(|peer| peer == src)
            && self.options.bind_link.is_none_or(|bound| link.is_none_or(|link| link == bound))
    }

    /// Queues a packet, or gives it back when the queue is full.
    fn receive(&mut self, packet: Packet) -> Result<(), Packet> {
        if self.receive_bytes >= self.options.receive_buffer {
            return Err(packet);
        }
        self.receive_bytes += packet.true_size();
        self.receive_queue.push_back(packet);
        Ok(())
    }

    /// The packet that has waited longest.
    fn next_packet(&mut self) -> Option<Packet> {
        let packet = self.receive_queue.pop_front()?;
        self.receive_bytes -= packet.true_size();
        Some(packet)
    }

    /// The packet that has waited longest; it stays.
    pub(crate) fn front(&self) -> Option<&Packet> {
        self.receive_queue.front()
    }

    /// Gives back everything that waits.
    pub(crate) fn clear(&mut self, pool: &mut PacketPool) {
        self.receive_queue.drain(..).for_each(|packet| pool.put(packet));
        self.errors.drain(..).for_each(|report| pool.put(report.packet));
        self.receive_bytes = 0;
    }

    /// Queues an error, or gives its packet back when the queue is full.
    fn report(&mut self, report: SocketErrorReport) -> Result<(), Packet> {
        if self.errors.len() >= self.max_errors {
            return Err(report.packet);
        }
        self.errors.push_back(report);
        Ok(())
    }

    /// The error that has waited longest.
    pub(crate) fn next_error(&mut self) -> Option<SocketErrorReport> {
        self.errors.pop_front()
    }

    /// What the error at the head of the queue means, if an ICMP message brought it.
    pub(crate) fn next_icmp_error(&self) -> Option<SocketError> {
        let report = self.errors.front()?;
        (report.origin == ErrorOrigin::Icmp).then_some(report.error)
    }

    /// Bytes of buffer that wait to be received.
    pub(crate) fn receive_bytes(&self) -> usize {
        self.receive_bytes
    }

    /// What would not have to wait. Nothing that is sent ever does.
    pub(crate) fn readiness(&self) -> Readiness {
        let mut ready = Readiness::WRITABLE;
        ready.set(Readiness::ERROR, self.pending_error.is_some() || !self.errors.is_empty());
        ready.set(
            Readiness::READABLE,
            self.pending_error.is_some() || !self.receive_queue.is_empty(),
        );
        ready
    }

    /// Whether something waits to be received, an error included.
    pub(crate) fn is_readable(&self) -> bool {
        !self.receive_queue.is_empty() || !self.errors.is_empty()
    }
}

/// The sockets of one stack.
#[derive(Debug)]
pub(crate) struct SocketTable {
    slots: Vec<(u32, Option<Socket>)>,
    free: Vec<u32>,
    by_ident: KeyedMap<u16, u32>,
    by_protocol: KeyedMap<Protocol, Vec<u32>>,
    pub(super) udp: Demux,
    pub(super) udp_ports: PortTable,
    /// UDP sockets whose options may have changed; each once, or gone.
    pub(super) touched: Vec<SocketId>,
    /// Room for the sockets that a datagram to many is for.
    pub(super) found: Vec<u32>,
    /// Bytes of buffer in the receive queues of all UDP sockets.
    udp_memory: usize,
    udp_mem: usize,
    max_sockets: usize,
    rmem_default: usize,
    max_errors: usize,
}

impl SocketTable {
    pub(crate) fn new(config: &Config, rng: &mut Rng) -> Self {
        SocketTable {
            slots: Vec::new(),
            free: Vec::new(),
            by_ident: KeyedMap::with_hasher(KeyedHash::new(rng.key())),
            by_protocol: KeyedMap::with_hasher(KeyedHash::new(rng.key())),
            udp: Demux::new(rng),
            udp_ports: PortTable::new(config.ipv4.local_port_range, rng),
            touched: Vec::new(),
            found: Vec::new(),
            udp_memory: 0,
            udp_mem: config.ipv4.udp_mem,
            max_sockets: config.core.max_sockets,
            rmem_default: config.core.rmem_default,
            max_errors: config.core.max_error_queue,
        }
    }

    /// Opens a ping socket with this identifier, or with a free one; 0 is none.
    pub(crate) fn open_ping(
        &mut self,
        ident: Option<u16>,
        rng: &mut Rng,
    ) -> Result<SocketId, SocketError> {
        let ident = match ident.filter(|ident| *ident != 0) {
            Some(ident) if self.by_ident.contains_key(&ident) => {
                return Err(SocketError::AddressInUse);
            }
            Some(ident) => ident,
            None => {
                // RFC 6056 §3.3.1: a random start, then the next free one.
                let start = rng.next_u32() as u16;
                (0..=u16::MAX)
                    .map(|step| start.wrapping_add(step))
                    .find(|ident| *ident != 0 && !self.by_ident.contains_key(ident))
                    .ok_or(SocketError::AddressInUse)?
            }
        };
        let id = self.insert(SocketKind::Ping { ident })?;
        self.by_ident.insert(ident, id.index);
        Ok(id)
    }

    /// Opens a raw socket for a protocol.
    pub(crate) fn open_raw(&mut self, protocol: Protocol) -> Result<SocketId, SocketError> {
        let id = self.insert(SocketKind::Raw { protocol })?;
        self.by_protocol.entry(protocol).or_default().push(id.index);
        Ok(id)
    }

    /// Gives a ping socket another identifier.
    pub(crate) fn rename_ping(&mut self, id: SocketId, ident: u16) -> Result<(), SocketError> {
        let SocketKind::Ping { ident: old } = self.get(id)?.kind else {
            return Err(SocketError::InvalidArgument);
        };
        match self.by_ident.get(&ident) {
            Some(index) if *index != id.index => return Err(SocketError::AddressInUse),
            _ => {}
        }
        self.by_ident.remove(&old);
        self.by_ident.insert(ident, id.index);
        self.get_mut(id)?.kind = SocketKind::Ping { ident };
        Ok(())
    }

    /// Closes a socket and returns it, for its packets.
    pub(crate) fn close(&mut self, id: SocketId) -> Result<Socket, SocketError> {
        self.get(id)?;
        self.follow_options();
        let (generation, slot) = &mut self.slots[id.index as usize];
        let Some(socket) = slot.take() else { return Err(SocketError::BadSocket) };
        *generation += 1;
        self.free.push(id.index);
        match socket.kind {
            SocketKind::Ping { ident } => {
                self.by_ident.remove(&ident);
            }
            SocketKind::Raw { protocol } => {
                if let Some(list) = self.by_protocol.get_mut(&protocol) {
                    list.retain(|index| *index != id.index);
                    if list.is_empty() {
                        self.by_protocol.remove(&protocol);
                    }
                }
            }
            SocketKind::Udp => {
                self.udp_memory -= socket.receive_bytes;
                self.release_udp(id.index, &socket);
            }
            // It has a table of its own.
            SocketKind::Tcp => {}
        }
        Ok(socket)
    }

    pub(crate) fn get(&self, id: SocketId) -> Result<&Socket, SocketError> {
        match self.slots.get(id.index as usize) {
            Some((generation, Some(socket)))
                if *generation == id.generation && id.class == SocketClass::Datagram =>
            {
                Ok(socket)
            }
            _ => Err(SocketError::BadSocket),
        }
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Result<&mut Socket, SocketError> {
        match self.slots.get_mut(id.index as usize) {
            Some((generation, Some(socket)))
                if *generation == id.generation && id.class == SocketClass::Datagram =>
            {
                Ok(socket)
            }
            _ => Err(SocketError::BadSocket),
        }
    }

    /// Queues a packet for a socket, or gives it back with the reason.
    pub(crate) fn receive(
        &mut self,
        id: SocketId,
        packet: Packet,
    ) -> Result<(), (Packet, DropReason)> {
        let (udp_memory, udp_mem) = (self.udp_memory, self.udp_mem);
        let Ok(socket) = self.get_mut(id) else { return Err((packet, DropReason::NoSocket)) };
        let size = packet.true_size();
        let is_udp = socket.kind == SocketKind::Udp;
        if is_udp && udp_memory.saturating_add(size) > udp_mem {
            return Err((packet, DropReason::UdpMemory));
        }
        socket.receive(packet).map_err(|packet| (packet, DropReason::SocketQueueFull))?;
        self.udp_memory += if is_udp { size } else { 0 };
        Ok(())
    }

    /// The packet that has waited longest for a socket.
    pub(crate) fn next_packet(&mut self, id: SocketId) -> Option<Packet> {
        let socket = self.get_mut(id).ok()?;
        let packet = socket.next_packet()?;
        if socket.kind == SocketKind::Udp {
            self.udp_memory -= packet.true_size();
        }
        Some(packet)
    }

    /// The ping socket with this identifier that wants a reply from `src` to `dst`.
    pub(crate) fn find_ping(
        &self,
        ident: u16,
        src: Ipv4Addr,
        dst: Ipv4Addr,
        link: Option<LinkId>,
    ) -> Option<SocketId> {
        let id = self.id_at(*self.by_ident.get(&ident)?)?;
        self.get(id).is_ok_and(|socket| socket.wants(src, dst, link)).then_some(id)
    }

    /// Whether any raw socket is open for the protocol.
    pub(crate) fn any_raw(&self, protocol: Protocol) -> bool {
        !self.by_protocol.is_empty() && self.by_protocol.contains_key(&protocol)
    }

    /// The `n`th raw socket of the protocol.
    pub(crate) fn nth_raw(&self, protocol: Protocol, n: usize) -> Option<SocketId> {
        self.id_at(*self.by_protocol.get(&protocol)?.get(n)?)
    }

    /// The next socket, from `at` on, that sent the packet an ICMP error quotes, as far as that
    /// can be told: the ping socket with its identifier or the UDP socket with its ports, then the raw sockets of its protocol,
    /// which are not told of redirects (Linux `raw_err`). `at` starts at 0 and is moved on.
    pub(crate) fn next_sender(
        &mut self,
        quoted: &Quoted,
        link: Option<LinkId>,
        redirect: bool,
        at: &mut usize,
    ) -> Option<SocketId> {
        // The error's destination is the quoted source, and the other way round.
        let (src, dst) = (quoted.dst, quoted.src);
        if *at == 0 {
            *at = 1;
            let ping = quoted.ident.and_then(|ident| self.find_ping(ident, src, dst, link));
            if ping.is_some() {
                return ping;
            }
            if let Some((local, peer)) = quoted.ports {
                let path = Path { src: (src, peer), dst: (dst, local), link };
                let udp = self.find_udp(&path);
                if udp.is_some() {
                    return udp;
                }
            }
        }
        if redirect {
            return None;
        }
        while let Some(id) = self.nth_raw(quoted.protocol, *at - 1) {
            *at += 1;
            if self.get(id).is_ok_and(|socket| socket.wants(src, dst, link)) {
                return Some(id);
            }
        }
        None
    }

    /// Queues an error, or gives its packet back when the queue is full.
    pub(crate) fn report(&mut self, id: SocketId, report: SocketErrorReport) -> Result<(), Packet> {
        match self.get_mut(id) {
            Ok(socket) => socket.report(report),
            Err(_) => Err(report.packet),
        }
    }

    /// Queues an error found before the packet left (Linux `ip_local_error`).
    pub(crate) fn report_local(
        &mut self,
        id: SocketId,
        error: SocketError,
        info: u32,
        destination: Ipv4Addr,
        packet: Packet,
    ) -> Result<(), Packet> {
        match self.get_mut(id) {
            Ok(socket) if socket.options.receive_errors => socket.report(SocketErrorReport {
                error,
                origin: ErrorOrigin::Local,
                icmp_type: 0,
                code: 0,
                info,
                offender: None,
                destination: IpAddr::V4(destination),
                packet,
            }),
            _ => Err(packet),
        }
    }

    /// How many places there are for sockets.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn id_at(&self, index: u32) -> Option<SocketId> {
        let (generation, socket) = self.slots.get(index as usize)?;
        socket.as_ref().map(|_| SocketId {
            class: SocketClass::Datagram,
            index,
            generation: *generation,
        })
    }

    pub(super) fn insert(&mut self, kind: SocketKind) -> Result<SocketId, SocketError> {
        if self.slots.len() - self.free.len() >= self.max_sockets {
            return Err(SocketError::TooManySockets);
        }
        // raw(7): IPPROTO_RAW implies IP_HDRINCL.
        let header_included = kind == SocketKind::Raw { protocol: Protocol::RAW };
        let socket = Socket {
            kind,
            options: SocketOptions {
                header_included,
                receive_buffer: self.rmem_default,
                ..SocketOptions::default()
            },
            local: None,
            bound: false,
            peer: None,
            port: 0,
            port_bound: false,
            peer_port: 0,
            endpoint: None,
            touched: false,
            pending_error: None,
            receive_queue: VecDeque::new(),
            receive_bytes: 0,
            errors: VecDeque::new(),
            max_errors: self.max_errors,
        };
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push((0, None));
                self.slots.len() as u32 - 1
            }
        };
        let (generation, slot) = &mut self.slots[index as usize];
        *slot = Some(socket);
        Ok(SocketId { class: SocketClass::Datagram, index, generation: *generation })
    }
}
