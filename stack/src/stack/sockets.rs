//! The sockets of a stack, as their users see them.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Waker;

use super::Stack;
use crate::core::Core;
use crate::flow::Flow;
use crate::ipv4::{SendError, prepare_options};
use crate::packet::Packet;
use crate::socket::{
    ErrorOrigin, Interest, Readiness, Socket, SocketClass, SocketError, SocketErrorReport,
    SocketId, SocketKind, SocketOptions, Waiter,
};
use crate::tcp::{SendFlags, TcpSocket};
use crate::time::Instant;
use crate::wire::icmpv4::{self, types};
use crate::wire::ipv4::{Ipv4, Protocol};

impl Stack {
    /// Opens a ping socket: it sends echo requests with one identifier and receives the replies.
    ///
    /// # Errors
    /// The identifier is in use, or there are too many sockets.
    pub fn open_ping(&mut self, ident: Option<u16>) -> Result<SocketId, SocketError> {
        self.core.sockets.open_ping(ident, &mut self.core.rng)
    }

    /// Opens a raw socket: it receives a copy of every packet of the protocol.
    ///
    /// # Errors
    /// There are too many sockets.
    pub fn open_raw(&mut self, protocol: Protocol) -> Result<SocketId, SocketError> {
        self.core.sockets.open_raw(protocol)
    }

    /// Closes a socket; what it has not received is gone, and it leaves its multicast groups.
    ///
    /// # Errors
    /// No such socket.
    pub fn close(&mut self, now: Instant, id: SocketId) -> Result<(), SocketError> {
        self.advance(now);
        match id.class {
            SocketClass::Datagram => self.close_datagram(id),
            SocketClass::Tcp => self.close_tcp(id),
        }
    }

    fn close_datagram(&mut self, id: SocketId) -> Result<(), SocketError> {
        let mut socket = self.core.sockets.close(id)?;
        socket.clear(&mut self.core.pool);
        self.core.wakers.wake_all(id);
        self.leave_all_multicast(id);
        Ok(())
    }

    /// What the socket is for.
    ///
    /// # Errors
    /// No such socket.
    pub fn socket_kind(&self, id: SocketId) -> Result<SocketKind, SocketError> {
        match id.class {
            SocketClass::Datagram => Ok(self.core.sockets.get(id)?.kind),
            SocketClass::Tcp => self.core.tcp.sockets.get(id).map(|_| SocketKind::Tcp),
        }
    }

    /// The socket's options, to read or change.
    ///
    /// # Errors
    /// No such socket.
    pub fn socket_options(&mut self, id: SocketId) -> Result<&mut SocketOptions, SocketError> {
        self.core.sockets.touch(id);
        self.core.tcp.sockets.touch(id);
        match id.class {
            SocketClass::Datagram => Ok(&mut self.core.sockets.get_mut(id)?.options),
            SocketClass::Tcp => Ok(match self.core.tcp.sockets.get_mut(id)? {
                TcpSocket::Connection(tcb) => tcb.ip.to_mut(),
                TcpSocket::Listener(listener) => &mut listener.ip,
            }),
        }
    }

    /// Binds to an address of ours: what is sent comes from it, and only what is sent to it is
    /// received. 0.0.0.0 undoes it. A raw socket may be bound to a group or a broadcast address,
    /// too; what it sends then comes from the address that the route chooses.
    ///
    /// The port is the identifier of a ping socket, and means nothing to a raw one. A UDP socket is
    /// bound once, to a group or a broadcast address, too, and for port 0 to any that is free.
    ///
    /// # Errors
    /// No such socket, not an address of ours, the port or the identifier is in use, or a UDP
    /// socket has a port.
    pub fn bind(&mut self, id: SocketId, addr: SocketAddr) -> Result<(), SocketError> {
        match id.class {
            SocketClass::Datagram => self.bind_datagram(id, addr),
            SocketClass::Tcp => self.bind_tcp(id, addr),
        }
    }

    fn bind_datagram(&mut self, id: SocketId, addr: SocketAddr) -> Result<(), SocketError> {
        if self.core.sockets.get(id)?.kind == SocketKind::Udp {
            return self.bind_udp(id, addr);
        }
        let (addr, port) = v4(addr)?;
        let is_own = addr.is_unspecified() || self.core.routes.is_local(addr);
        let is_many = self.core.is_for_many(addr);
        let socket = self.core.sockets.get_mut(id)?;
        let is_raw = matches!(socket.kind, SocketKind::Raw { .. });
        let bindable = is_own || (is_many && is_raw);
        if !bindable {
            return Err(SocketError::AddressNotAvailable);
        }
        if !is_raw && port != 0 {
            self.core.sockets.rename_ping(id, port)?;
        }
        let socket = self.core.sockets.get_mut(id)?;
        socket.local = Some(addr).filter(|addr| !addr.is_unspecified());
        socket.bound = socket.local.is_some();
        Ok(())
    }

    /// Connects to an address: only what comes from it is received, and only at the address that
    /// the route to it chooses, unless one is bound. 0.0.0.0 undoes it, on a UDP socket with port
    /// 0. That gets an ephemeral port, if it has none.
    ///
    /// # Errors
    /// No such socket, no route, or broadcast without leave.
    pub fn connect(
        &mut self,
        now: Instant,
        id: SocketId,
        addr: SocketAddr,
    ) -> Result<(), SocketError> {
        self.advance(now);
        match id.class {
            SocketClass::Datagram => self.connect_datagram(id, addr),
            SocketClass::Tcp => self.connect_tcp(id, addr),
        }
    }

    fn connect_datagram(&mut self, id: SocketId, addr: SocketAddr) -> Result<(), SocketError> {
        if self.core.sockets.get(id)?.kind == SocketKind::Udp {
            return self.connect_udp(id, addr);
        }
        let (addr, _) = v4(addr)?;
        let socket = self.core.sockets.get(id)?;
        let src = match addr.is_unspecified() {
            true => None,
            false => {
                let flow = flow(&self.core, socket, addr, &[]);
                Some(self.ipv4.source_of(&mut self.core, &flow)?)
            }
        };
        let socket = self.core.sockets.get_mut(id)?;
        socket.peer = src.map(|_| addr);
        if !socket.bound {
            socket.local = src.filter(|src| !src.is_unspecified());
        }
        Ok(())
    }

    /// Sends one message.
    ///
    /// On a ping socket `data` is an echo request, from its ICMP header on; identifier and
    /// checksum are filled in. On a raw socket it is what follows the IPv4 header, or with
    /// [`header_included`](SocketOptions::header_included) the whole packet. On a UDP socket it is
    /// the payload; the socket gets an ephemeral port, if it has none, and an error that an ICMP
    /// message told of is returned once.
    ///
    /// # Errors
    /// Those of sendto(2) on such a socket: not an echo request, a TTL of 0, too long, no route, broadcast
    /// without leave, refused by a hook, …
    pub fn send_to(
        &mut self,
        now: Instant,
        id: SocketId,
        dst: SocketAddr,
        data: &[u8],
    ) -> Result<(), SocketError> {
        self.advance(now);
        match id.class {
            SocketClass::Datagram => self.send_datagram(id, Some(dst), data),
            SocketClass::Tcp => self.send_tcp(id, data, SendFlags::empty()).map(|_| ()),
        }
    }

    /// Sends to the address that the socket is connected to: one message, as
    /// [`send_to`](Self::send_to). Returns how many bytes were taken.
    ///
    /// # Errors
    /// Not connected, and those of [`send_to`](Self::send_to).
    pub fn send(&mut self, now: Instant, id: SocketId, data: &[u8]) -> Result<usize, SocketError> {
        self.advance(now);
        match id.class {
            SocketClass::Datagram => self.send_datagram(id, None, data).map(|()| data.len()),
            SocketClass::Tcp => self.send_tcp(id, data, SendFlags::empty()),
        }
    }

    fn send_datagram(
        &mut self,
        id: SocketId,
        dst: Option<SocketAddr>,
        data: &[u8],
    ) -> Result<(), SocketError> {
        let socket = self.core.sockets.get(id)?;
        // RFC 1122 §3.2.1.7: no datagram is sent with TTL 0; Linux refuses IP_TTL 0.
        if socket.options.ttl == Some(0) {
            return Err(SocketError::InvalidArgument);
        }
        if socket.kind == SocketKind::Udp {
            return self.send_udp(id, dst, data);
        }
        let dst = match dst {
            Some(dst) => v4(dst)?.0,
            None => socket.peer.ok_or(SocketError::DestinationAddressRequired)?,
        };
        let (kind, header_included) = (socket.kind, socket.options.header_included);
        let (options, options_len) = prepare_options(&socket.options.ip_options)?;
        let flow = flow(&self.core, socket, dst, &options[..options_len]);
        if data.len() > usize::from(u16::MAX) {
            return Err(SocketError::MessageTooLong);
        }
        let mut packet = self.core.pool.take(data.len());
        packet.put_slice(data);
        let sent = match kind {
            SocketKind::Ping { ident } => {
                if fill_echo(packet.bytes_mut(), ident).is_err() {
                    self.core.pool.put(packet);
                    return Err(SocketError::InvalidArgument);
                }
                self.ipv4.send(&mut self.core, packet, &flow)
            }
            // Linux raw_sendmsg: options would be in that header.
            SocketKind::Raw { .. } if header_included && options_len > 0 => {
                self.core.pool.put(packet);
                return Err(SocketError::InvalidArgument);
            }
            SocketKind::Raw { .. } if header_included => {
                // Route by the address given, as Linux does; the header says the rest.
                let src = Ipv4::parse(data).ok().map(|header| header.src());
                let src = src.filter(|src| self.core.routes.is_local(*src));
                let flow = Flow { any_source: true, src: src.or(flow.src), ..flow };
                self.ipv4.send_with_header(&mut self.core, packet, &flow)
            }
            SocketKind::Raw { .. } | SocketKind::Udp | SocketKind::Tcp => {
                self.ipv4.send(&mut self.core, packet, &flow)
            }
        };
        self.flush();
        sent.map_err(|refused| self.report_refusal(id, dst, data, refused))
    }

    /// The message that has waited longest. On a ping socket its bytes begin with the ICMP header,
    /// on a raw socket with the IPv4 header, on a UDP socket they are the payload;
    /// [`network`](crate::packet::PacketBuffer::network) begins with the IPv4 header on all, and
    /// `meta.timestamp` is when it arrived. [`recycle`](Self::recycle) it.
    pub fn recv(&mut self, id: SocketId) -> Option<Packet> {
        let packet = self.core.sockets.next_packet(id)?;
        if self.core.sockets.get(id).is_ok_and(|socket| socket.kind == SocketKind::Udp) {
            self.core.stats.udp.in_datagrams += 1;
        }
        Some(packet)
    }

    /// As [`recv`](Self::recv), but an error that an ICMP message told of comes first, once, as
    /// from recv(2).
    ///
    /// # Errors
    /// No such socket, such an error, or `WouldBlock` when nothing waits.
    pub fn try_recv(&mut self, id: SocketId) -> Result<Packet, SocketError> {
        match self.core.sockets.get_mut(id)?.pending_error.take() {
            Some(error) => Err(error),
            None => self.recv(id).ok_or(SocketError::WouldBlock),
        }
    }

    /// The message that [`try_recv`](Self::try_recv) would return; it stays where it is.
    ///
    /// # Errors
    /// Those of [`try_recv`](Self::try_recv).
    pub fn peek_recv(&mut self, id: SocketId) -> Result<&Packet, SocketError> {
        let socket = self.core.sockets.get_mut(id)?;
        match socket.pending_error.take() {
            Some(error) => Err(error),
            None => socket.front().ok_or(SocketError::WouldBlock),
        }
    }

    /// Whether the links' queues have room for more datagrams. Sending works all the same, but what
    /// is sent into a queue that is full is lost. Who waits to write
    /// ([`register_waiter`](Self::register_waiter)) is woken when there is room.
    pub fn has_room(&self) -> bool {
        !self.core.is_queue_full()
    }

    /// The address that the socket sends from, and its port (getsockname(2)); 0.0.0.0 and 0 stand
    /// for none yet.
    ///
    /// # Errors
    /// No such socket.
    pub fn local_addr(&self, id: SocketId) -> Result<SocketAddr, SocketError> {
        match id.class {
            SocketClass::Datagram => self.datagram_addr(id),
            SocketClass::Tcp => self.tcp_local_addr(id),
        }
    }

    /// The address that the socket is connected to, and the port (getpeername(2)).
    ///
    /// # Errors
    /// No such socket, or not connected.
    pub fn peer_addr(&self, id: SocketId) -> Result<SocketAddr, SocketError> {
        match id.class {
            SocketClass::Datagram => {
                let socket = self.core.sockets.get(id)?;
                let peer = socket.peer.ok_or(SocketError::NotConnected)?;
                Ok(SocketAddr::new(IpAddr::V4(peer), socket.peer_port))
            }
            SocketClass::Tcp => self.tcp_peer_addr(id),
        }
    }

    /// What would not have to wait, or fails; nothing when there is no such socket.
    pub fn readiness(&self, id: SocketId) -> Readiness {
        match id.class {
            SocketClass::Datagram => {
                self.core.sockets.get(id).map_or(Readiness::empty(), Socket::readiness)
            }
            SocketClass::Tcp => self.core.tcp.sockets.readiness(id),
        }
    }

    /// Wakes `waker` once, when the socket is ready for `interest` or is closed; at once if it is
    /// ready. Any number may wait.
    ///
    /// # Errors
    /// No such socket, or too many wakers.
    pub fn register_waker(
        &mut self,
        id: SocketId,
        interest: Interest,
        waker: &Waker,
    ) -> Result<(), SocketError> {
        let ready = self.readiness(id);
        if ready.is_empty() && self.local_addr(id).is_err() {
            return Err(SocketError::BadSocket);
        }
        if ready.satisfies(interest) {
            waker.wake_by_ref();
            return Ok(());
        }
        self.core.wakers.register(id, interest, waker)
    }

    /// As [`register_waker`](Self::register_waker), for somebody with a name: their waker of before
    /// is replaced, and returned for the caller to drop where that does no harm.
    ///
    /// # Errors
    /// Those of [`register_waker`](Self::register_waker).
    pub fn register_waiter(
        &mut self,
        id: SocketId,
        interest: Interest,
        waiter: Waiter,
        waker: &Waker,
    ) -> Result<Option<Waker>, SocketError> {
        let mut ready = self.readiness(id);
        if ready.is_empty() && self.local_addr(id).is_err() {
            return Err(SocketError::BadSocket);
        }
        let writes_datagrams = id.class == SocketClass::Datagram && interest == Interest::Write;
        if writes_datagrams && self.core.is_queue_full() {
            ready.remove(Readiness::WRITABLE);
            self.core.wakers.await_room(id);
        }
        let replaced = self.core.wakers.register_waiter(id, interest, waiter, waker)?;
        if ready.satisfies(interest) {
            self.core.wakers.wake(id, interest);
        }
        Ok(replaced)
    }

    /// Forgets a waiter. Returns the waker, for the caller to drop where that does no harm; `None`
    /// when there is none, as when it was woken.
    pub fn unregister_waiter(
        &mut self,
        id: SocketId,
        interest: Interest,
        key: u64,
    ) -> Option<Waker> {
        self.core.wakers.unregister_waiter(id, interest, key)
    }

    /// If the socket is ready, wakes the next of those who wait [exclusively](Waiter::exclusive).
    pub fn wake_next(&mut self, id: SocketId, interest: Interest) {
        if self.core.wakers.any() && self.readiness(id).satisfies(interest) {
            self.core.wakers.wake_next(id, interest);
        }
    }

    /// Wakes everybody who waits for any socket.
    pub fn wake_everybody(&mut self) {
        self.core.wakers.wake_everybody();
    }

    /// From now on wakers are not woken but kept for [`take_woken`](Self::take_woken): waking or
    /// dropping one may run somebody else's code, which must not be while a lock on the stack is
    /// held.
    pub fn set_deferred_wakers(&mut self, deferred: bool) {
        self.core.wakers.set_deferred(deferred);
    }

    /// Moves the wakers that are to be woken to the end of `woken`.
    #[inline]
    pub fn take_woken(&mut self, woken: &mut Vec<Waker>) {
        self.core.wakers.take_woken(woken);
    }

    /// The error that has waited longest, on a socket with
    /// [`receive_errors`](SocketOptions::receive_errors).
    pub fn recv_error(&mut self, id: SocketId) -> Option<SocketErrorReport> {
        let socket = self.core.sockets.get_mut(id).ok()?;
        let report = socket.next_error()?;
        // Linux sock_dequeue_err_skb: SO_ERROR goes with the queue.
        if report.origin == ErrorOrigin::Icmp {
            socket.pending_error = socket.next_icmp_error();
        }
        Some(report)
    }

    /// The last error that an ICMP message told the socket of, once (`SO_ERROR`, socket(7)).
    ///
    /// # Errors
    /// No such socket.
    pub fn take_error(&mut self, id: SocketId) -> Result<Option<SocketError>, SocketError> {
        match id.class {
            SocketClass::Datagram => Ok(self.core.sockets.get_mut(id)?.pending_error.take()),
            SocketClass::Tcp => match self.core.tcp.sockets.get_mut(id)? {
                TcpSocket::Connection(tcb) => Ok(tcb.error.take().or(tcb.soft_error.take())),
                TcpSocket::Listener(_) => Ok(None),
            },
        }
    }

    /// Whether [`recv`](Self::recv) or [`recv_error`](Self::recv_error) would return something.
    pub fn is_readable(&self, id: SocketId) -> bool {
        self.core.sockets.get(id).is_ok_and(Socket::is_readable)
    }

    /// The path MTU to `dst`, in bytes of IP packet (`IP_MTU`, ip(7)).
    ///
    /// # Errors
    /// No route, or only one that refuses.
    pub fn path_mtu(&mut self, now: Instant, dst: IpAddr) -> Result<usize, SocketError> {
        self.advance(now);
        let (dst, _) = v4(SocketAddr::new(dst, 0))?;
        self.ipv4.path_mtu(&mut self.core, dst)
    }

    fn report_refusal(
        &mut self,
        id: SocketId,
        dst: Ipv4Addr,
        data: &[u8],
        refused: SendError,
    ) -> SocketError {
        if refused.error == SocketError::MessageTooLong {
            let mut packet = self.core.pool.take(data.len());
            packet.put_slice(data);
            self.report_too_long(id, dst, packet, refused.mtu);
        }
        refused.error
    }

    /// Tells a socket of a packet that was too long, and how long it may be (Linux
    /// `ip_local_error`).
    pub(super) fn report_too_long(
        &mut self,
        id: SocketId,
        dst: Ipv4Addr,
        mut packet: Packet,
        mtu: usize,
    ) {
        packet.meta.timestamp = self.core.now;
        let error = SocketError::MessageTooLong;
        match self.core.sockets.report_local(id, error, mtu as u32, dst, packet) {
            Ok(()) => self.core.wakers.wake_all(id),
            Err(packet) => self.core.pool.put(packet),
        }
    }

    fn datagram_addr(&self, id: SocketId) -> Result<SocketAddr, SocketError> {
        let socket = self.core.sockets.get(id)?;
        let addr = socket.local.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let port = match socket.kind {
            SocketKind::Ping { ident } => ident,
            // Linux has the protocol there.
            SocketKind::Raw { protocol } => protocol.0.into(),
            SocketKind::Udp | SocketKind::Tcp => socket.port,
        };
        Ok(SocketAddr::new(IpAddr::V4(addr), port))
    }
}

/// How what a socket sends is to look.
pub(super) fn flow<'a>(core: &Core, socket: &Socket, dst: Ipv4Addr, options: &'a [u8]) -> Flow<'a> {
    let protocol = match socket.kind {
        SocketKind::Ping { .. } => Protocol::ICMP,
        SocketKind::Raw { protocol } => protocol,
        SocketKind::Udp => Protocol::UDP,
        SocketKind::Tcp => Protocol::TCP,
    };
    // Ping sockets cannot be bound to what is many.
    let is_ping = matches!(socket.kind, SocketKind::Ping { .. });
    let multicast_link = socket.options.multicast_link.filter(|_| dst.is_multicast());
    let multicast_ttl = dst.is_multicast().then_some(socket.options.multicast_ttl);
    Flow {
        dst,
        src: socket.local.filter(|local| is_ping || !core.is_for_many(*local)),
        any_source: false,
        protocol,
        tos: socket.options.tos,
        ttl: multicast_ttl.or(socket.options.ttl),
        link: socket.options.bind_link.or(multicast_link),
        pmtu: socket.options.pmtu_discovery,
        options,
        mark: socket.options.mark,
        broadcast: socket.options.broadcast,
        ident: None,
        multicast_loop: socket.options.multicast_loop,
    }
}

/// Completes an echo request (Linux `ping_supported`, `ping_v4_push_pending_frames`).
fn fill_echo(message: &mut [u8], ident: u16) -> Result<(), ()> {
    match message {
        [types::ECHO, 0, _, _, _, _, _, _, ..] => {
            message[4..6].copy_from_slice(&ident.to_be_bytes());
            icmpv4::fill_checksum(message);
            Ok(())
        }
        _ => Err(()),
    }
}

/// The IPv4 address and the port.
pub(super) fn v4(addr: SocketAddr) -> Result<(Ipv4Addr, u16), SocketError> {
    match addr {
        SocketAddr::V4(addr) => Ok((*addr.ip(), addr.port())),
        SocketAddr::V6(_) => Err(SocketError::AddressFamilyNotSupported),
    }
}
