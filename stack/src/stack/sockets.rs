//! The sockets of a stack, as their users see them.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Stack;
use crate::core::Core;
use crate::flow::Flow;
use crate::ipv4::{SendError, prepare_options};
use crate::packet::Packet;
use crate::socket::{
    Socket, SocketClass, SocketError, SocketErrorReport, SocketId, SocketKind, SocketOptions,
};
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

    /// Closes a socket; what it has not received is gone.
    ///
    /// # Errors
    /// No such socket.
    pub fn close(&mut self, now: Instant, id: SocketId) -> Result<(), SocketError> {
        self.advance(now);
        match id.class {
            SocketClass::Datagram => self.close_datagram(id),
            SocketClass::Tcp => Err(SocketError::BadSocket),
        }
    }

    fn close_datagram(&mut self, id: SocketId) -> Result<(), SocketError> {
        let mut socket = self.core.sockets.close(id)?;
        while let Some(packet) = socket.next_packet() {
            self.core.pool.put(packet);
        }
        while let Some(report) = socket.next_error() {
            self.core.pool.put(report.packet);
        }
        Ok(())
    }

    /// What the socket is for.
    ///
    /// # Errors
    /// No such socket.
    pub fn socket_kind(&self, id: SocketId) -> Result<SocketKind, SocketError> {
        Ok(self.core.sockets.get(id)?.kind)
    }

    /// The socket's options, to read or change.
    ///
    /// # Errors
    /// No such socket.
    pub fn socket_options(&mut self, id: SocketId) -> Result<&mut SocketOptions, SocketError> {
        Ok(&mut self.core.sockets.get_mut(id)?.options)
    }

    /// Binds to an address of ours: what is sent comes from it, and only what is sent to it is
    /// received. 0.0.0.0 undoes it. A raw socket may be bound to a group or a broadcast address,
    /// too; what it sends then comes from the address that the route chooses.
    ///
    /// The port is the identifier of a ping socket, and means nothing to a raw one.
    ///
    /// # Errors
    /// No such socket, not an address of ours, or the identifier is in use.
    pub fn bind(&mut self, id: SocketId, addr: SocketAddr) -> Result<(), SocketError> {
        match id.class {
            SocketClass::Datagram => self.bind_datagram(id, addr),
            SocketClass::Tcp => Err(SocketError::BadSocket),
        }
    }

    fn bind_datagram(&mut self, id: SocketId, addr: SocketAddr) -> Result<(), SocketError> {
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
    /// the route to it chooses, unless one is bound. 0.0.0.0 undoes it.
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
            SocketClass::Tcp => Err(SocketError::BadSocket),
        }
    }

    fn connect_datagram(&mut self, id: SocketId, addr: SocketAddr) -> Result<(), SocketError> {
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
    /// [`header_included`](SocketOptions::header_included) the whole packet.
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
        let (dst, _) = v4(dst)?;
        let socket = self.core.sockets.get(id)?;
        // RFC 1122 §3.2.1.7: no datagram is sent with TTL 0; Linux refuses IP_TTL 0.
        if socket.options.ttl == Some(0) {
            return Err(SocketError::InvalidArgument);
        }
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
            SocketKind::Raw { .. } => self.ipv4.send(&mut self.core, packet, &flow),
        };
        self.flush();
        sent.map_err(|refused| self.report_refusal(id, dst, data, refused))
    }

    /// The message that has waited longest. On a ping socket its bytes begin with the ICMP header,
    /// on a raw socket with the IPv4 header; [`network`](crate::packet::PacketBuffer::network) begins with the IPv4
    /// header on both, and `meta.timestamp` is when it arrived. [`recycle`](Self::recycle) it.
    pub fn recv(&mut self, id: SocketId) -> Option<Packet> {
        self.core.sockets.get_mut(id).ok()?.next_packet()
    }

    /// The error that has waited longest, on a socket with
    /// [`receive_errors`](SocketOptions::receive_errors).
    pub fn recv_error(&mut self, id: SocketId) -> Option<SocketErrorReport> {
        self.core.sockets.get_mut(id).ok()?.next_error()
    }

    /// The last error that an ICMP message told the socket of, once (`SO_ERROR`, socket(7)).
    ///
    /// # Errors
    /// No such socket.
    pub fn take_error(&mut self, id: SocketId) -> Result<Option<SocketError>, SocketError> {
        Ok(self.core.sockets.get_mut(id)?.pending_error.take())
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
            packet.meta.timestamp = self.core.now;
            let info = refused.mtu as u32;
            let queued = self.core.sockets.report_local(id, refused.error, info, dst, packet);
            if let Err(packet) = queued {
                self.core.pool.put(packet);
            }
        }
        refused.error
    }
}

/// How what a socket sends is to look.
fn flow<'a>(core: &Core, socket: &Socket, dst: Ipv4Addr, options: &'a [u8]) -> Flow<'a> {
    let protocol = match socket.kind {
        SocketKind::Ping { .. } => Protocol::ICMP,
        SocketKind::Raw { protocol } => protocol,
    };
    // Only raw sockets can be bound to what is many.
    let is_ping = matches!(socket.kind, SocketKind::Ping { .. });
    let multicast_ttl = dst.is_multicast().then_some(socket.options.multicast_ttl);
    Flow {
        dst,
        src: socket.local.filter(|local| is_ping || !core.is_for_many(*local)),
        any_source: false,
        protocol,
        tos: socket.options.tos,
        ttl: multicast_ttl.or(socket.options.ttl),
        link: socket.options.bind_link,
        pmtu: socket.options.pmtu_discovery,
        options,
        mark: socket.options.mark,
        broadcast: socket.options.broadcast,
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

fn v4(addr: SocketAddr) -> Result<(Ipv4Addr, u16), SocketError> {
    match addr {
        SocketAddr::V4(addr) => Ok((*addr.ip(), addr.port())),
        SocketAddr::V6(_) => Err(SocketError::AddressFamilyNotSupported),
    }
}
