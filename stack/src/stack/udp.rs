//! UDP sockets of a stack.

use core::net::{Ipv4Addr, SocketAddr};

use super::Stack;
use super::sockets::{flow, v4};
use crate::ipv4::prepare_options;
use crate::packet::Packet;
use crate::socket::{SocketError, SocketId};
use crate::udp;

impl Stack {
    /// Opens a UDP socket (udp(7)). What is received from it is the payload of each datagram;
    /// [`PacketInfo`](crate::socket::PacketInfo) tells where it came from.
    ///
    /// # Errors
    /// There are too many sockets.
    pub fn open_udp(&mut self) -> Result<SocketId, SocketError> {
        self.core.sockets.open_udp()
    }

    /// Linux `__inet_bind`: once, to an address of ours, a group or a broadcast address.
    pub(super) fn bind_udp(&mut self, id: SocketId, addr: SocketAddr) -> Result<(), SocketError> {
        let (addr, port) = v4(addr)?;
        let bindable =
            addr.is_unspecified() || self.core.routes.is_local(addr) || self.core.is_for_many(addr);
        if !bindable {
            return Err(SocketError::AddressNotAvailable);
        }
        if self.core.sockets.get(id)?.port != 0 {
            return Err(SocketError::InvalidArgument);
        }
        self.core.sockets.bind_udp(id, (addr, port), &mut self.core.rng)
    }

    /// Linux `__ip4_datagram_connect`.
    pub(super) fn connect_udp(
        &mut self,
        id: SocketId,
        addr: SocketAddr,
    ) -> Result<(), SocketError> {
        let (addr, port) = v4(addr)?;
        if addr.is_unspecified() && port == 0 {
            return self.core.sockets.disconnect_udp(id);
        }
        self.autobind(id)?;
        let socket = self.core.sockets.get(id)?;
        let flow = flow(&self.core, socket, addr, &[]);
        let src = self.ipv4.source_of(&mut self.core, &flow)?;
        // 0.0.0.0 stands for this host.
        let peer = if addr.is_unspecified() { src } else { addr };
        self.core.sockets.connect_udp(id, (peer, port), src)
    }

    /// Linux `udp_sendmsg`.
    pub(super) fn send_udp(
        &mut self,
        id: SocketId,
        dst: Option<SocketAddr>,
        data: &[u8],
    ) -> Result<(), SocketError> {
        if data.len() > usize::from(u16::MAX) {
            return Err(SocketError::MessageTooLong);
        }
        let socket = self.core.sockets.get(id)?;
        let (addr, port) = match (dst, socket.peer) {
            (Some(dst), _) => v4(dst)?,
            (None, Some(peer)) => (peer, socket.peer_port),
            (None, None) => return Err(SocketError::DestinationAddressRequired),
        };
        // To a connected peer even port 0 will do.
        if port == 0 && dst.is_some() {
            return Err(SocketError::InvalidArgument);
        }
        self.autobind(id)?;
        let socket = self.core.sockets.get_mut(id)?;
        if let Some(error) = socket.pending_error.take() {
            return Err(error);
        }
        let src_port = socket.port;
        let (options, options_len) = prepare_options(&socket.options.ip_options)?;
        let socket = self.core.sockets.get(id)?;
        let flow = flow(&self.core, socket, addr, &options[..options_len]);
        let packet = self.datagram(src_port, port, data);
        let sent = self.ipv4.send(&mut self.core, packet, &flow);
        self.flush();
        match sent {
            Ok(()) => {
                self.core.stats.udp.out_datagrams += 1;
                Ok(())
            }
            Err(refused) => {
                if refused.error == SocketError::NoBufferSpace {
                    self.core.stats.udp.sndbuf_errors += 1;
                }
                if refused.error == SocketError::MessageTooLong {
                    let packet = self.datagram(src_port, port, data);
                    self.report_too_long(id, addr, packet, refused.mtu);
                }
                Err(refused.error)
            }
        }
    }

    /// Gives a socket that has no port an ephemeral one (Linux `inet_autobind`).
    fn autobind(&mut self, id: SocketId) -> Result<(), SocketError> {
        let socket = self.core.sockets.get(id)?;
        if socket.port != 0 {
            return Ok(());
        }
        let any = (socket.local.unwrap_or(Ipv4Addr::UNSPECIFIED), 0);
        let bound = self.core.sockets.bind_udp(id, any, &mut self.core.rng);
        bound.map_err(|_| SocketError::WouldBlock)
    }

    fn datagram(&mut self, src_port: u16, dst_port: u16, data: &[u8]) -> Packet {
        let mut packet = self.core.pool.take(data.len());
        packet.put_slice(data);
        udp::push_header(&mut packet, src_port, dst_port);
        packet
    }
}
