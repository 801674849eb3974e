//! UDP sockets in the table: binding, connecting, and what the demultiplexer has of them.

use core::net::Ipv4Addr;

use super::ports::BindRequest;
use super::table::{Socket, SocketTable};
use super::{SocketError, SocketId, SocketKind};
use crate::rng::Rng;
use crate::udp::{Addr, Endpoint, Path};

impl SocketTable {
    /// Opens a UDP socket.
    pub(crate) fn open_udp(&mut self) -> Result<SocketId, SocketError> {
        self.insert(SocketKind::Udp)
    }

    /// Binds a UDP socket that has no port to an address, 0.0.0.0 for all, and a port, 0 for any
    /// free one.
    pub(crate) fn bind_udp(
        &mut self,
        id: SocketId,
        (addr, port): Addr,
        rng: &mut Rng,
    ) -> Result<(), SocketError> {
        self.follow_options();
        let socket = self.get(id)?;
        let request = BindRequest { addr, port, ..request_of(socket) };
        let given = self.udp_ports.bind(id.index, &request, rng)?;
        let socket = self.get_mut(id)?;
        socket.port = given;
        socket.port_bound = port != 0;
        socket.local = Some(addr).filter(|addr| !addr.is_unspecified());
        socket.bound = socket.local.is_some();
        self.reindex(id)
    }

    /// Gives a UDP socket a peer, and unless it is bound to one, an address.
    pub(crate) fn connect_udp(
        &mut self,
        id: SocketId,
        peer: Addr,
        src: Ipv4Addr,
    ) -> Result<(), SocketError> {
        let socket = self.get_mut(id)?;
        (socket.peer, socket.peer_port) = (Some(peer.0), peer.1);
        if !socket.bound {
            socket.local = Some(src).filter(|src| !src.is_unspecified());
        }
        self.reindex(id)
    }

    /// Takes the peer away, and what bind did not give (Linux `__udp_disconnect`).
    pub(crate) fn disconnect_udp(&mut self, id: SocketId) -> Result<(), SocketError> {
        let socket = self.get_mut(id)?;
        (socket.peer, socket.peer_port) = (None, 0);
        socket.options.bind_link = None;
        if !socket.bound {
            socket.local = None;
        }
        if !socket.port_bound {
            let port = core::mem::take(&mut socket.port);
            self.udp_ports.unbind(id.index, port);
        }
        self.reindex(id)
    }

    /// The UDP socket that a datagram to this host alone is for.
    pub(crate) fn find_udp(&mut self, path: &Path) -> Option<SocketId> {
        self.follow_options();
        self.id_at(self.udp.find(path)?)
    }

    /// The UDP sockets that want a datagram to many. The list goes back with
    /// [`end_udp_many`](Self::end_udp_many).
    pub(crate) fn find_udp_many(&mut self, path: &Path) -> alloc::vec::Vec<u32> {
        self.follow_options();
        let mut found = core::mem::take(&mut self.found);
        found.clear();
        self.udp.find_all(path, &mut found);
        found
    }

    /// Takes the list back, for the next datagram to many.
    pub(crate) fn end_udp_many(&mut self, found: alloc::vec::Vec<u32>) {
        self.found = found;
    }

    /// Notes that a socket's options may change, which its places in the tables depend on.
    pub(crate) fn touch(&mut self, id: SocketId) {
        if let Ok(socket) = self.get_mut(id)
            && socket.kind == SocketKind::Udp
            && !socket.touched
        {
            socket.touched = true;
            self.touched.push(id);
        }
    }

    /// Forgets a UDP socket that was closed.
    pub(super) fn release_udp(&mut self, index: u32, socket: &Socket) {
        if let Some(endpoint) = &socket.endpoint {
            self.udp.remove(index, endpoint);
        }
        if socket.port != 0 {
            self.udp_ports.unbind(index, socket.port);
        }
    }

    /// Lets the tables follow what has become of the options of touched sockets.
    #[inline]
    pub(super) fn follow_options(&mut self) {
        while let Some(id) = self.touched.pop() {
            if let Ok(socket) = self.get_mut(id) {
                socket.touched = false;
                // Nothing is refused here: who shares is asked when the next socket is bound.
                let _ = self.reindex(id);
            }
        }
    }

    /// Makes the tables say what the socket says.
    fn reindex(&mut self, id: SocketId) -> Result<(), SocketError> {
        let socket = self.get_mut(id)?;
        let wanted = (socket.port != 0).then(|| Endpoint {
            local: (socket.local.unwrap_or(Ipv4Addr::UNSPECIFIED), socket.port),
            peer: socket.peer.map(|peer| (peer, socket.peer_port)),
            link: socket.options.bind_link,
            reuse_port: socket.options.reuse_port,
        });
        let request = request_of(socket);
        let old = core::mem::replace(&mut socket.endpoint, wanted);
        if old != wanted {
            if let Some(old) = &old {
                self.udp.remove(id.index, old);
            }
            if let Some(wanted) = &wanted {
                self.udp.insert(id.index, wanted);
            }
        }
        self.udp_ports.update(id.index, &request);
        Ok(())
    }
}

/// What a socket holds of its port, as it is now.
fn request_of(socket: &Socket) -> BindRequest {
    BindRequest {
        addr: socket.local.unwrap_or(Ipv4Addr::UNSPECIFIED),
        port: socket.port,
        link: socket.options.bind_link,
        reuse_addr: socket.options.reuse_address,
        reuse_port: socket.options.reuse_port,
        listening: false,
        connecting: false,
    }
}
