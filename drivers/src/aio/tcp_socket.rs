//! Sockets that are not connections yet.

use std::io;
use std::net::SocketAddr;

use tapping_stack::socket::SocketOptions;
use tapping_stack::{SocketId, TcpOptions};

use super::{TcpListener, TcpStream};
use crate::net::Net;
use crate::net::socket::Socket;

/// A TCP socket that is to connect or to listen, for setting its options before.
#[derive(Debug)]
pub struct TcpSocket {
    socket: Socket,
    /// What it was bound to.
    bound: Option<SocketAddr>,
}

impl TcpSocket {
    /// A socket.
    ///
    /// # Errors
    /// There are too many, or the stack is ending.
    pub fn new(net: &Net) -> io::Result<Self> {
        let socket = Socket::open(net, net.choose_shard(), |stack, _| stack.open_tcp())?;
        Ok(TcpSocket { socket, bound: None })
    }

    /// Binds it to an address of its own.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn bind(&mut self, addr: SocketAddr) -> io::Result<()> {
        let net = self.socket.net();
        if let Some(owner) =
            net.owner_of_tcp_port(addr.port()).filter(|owner| *owner != self.socket.shard_index())
        {
            // What comes for the port comes there.
            self.socket = like(&self.socket, owner)?;
        }
        self.socket.act(|stack, _, id| stack.bind(id, addr))?;
        self.bound = Some(addr);
        Ok(())
    }

    /// Connects it.
    ///
    /// # Errors
    /// Those of connect(2).
    pub async fn connect(self, addr: SocketAddr) -> io::Result<TcpStream> {
        self.begin(addr)?.connected().await
    }

    /// Asks for a connection; the stream is not connected yet.
    pub(crate) fn begin(self, addr: SocketAddr) -> io::Result<TcpStream> {
        self.socket.begin(|stack, now, id| stack.connect(now, id, addr))?;
        Ok(TcpStream::over(self.socket))
    }

    /// Listens with it.
    ///
    /// # Errors
    /// Those of listen(2).
    pub fn listen(self, backlog: usize) -> io::Result<TcpListener> {
        TcpListener::listen(self.socket, self.bound, backlog)
    }

    /// Changes its options (tcp(7), socket(7)).
    ///
    /// # Errors
    /// A value out of range.
    pub fn set_tcp_options(&self, change: impl FnOnce(&mut TcpOptions)) -> io::Result<()> {
        self.socket.act(|stack, now, id| stack.set_tcp_options(now, id, change))
    }

    /// Changes its options (ip(7), socket(7)).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn set_options(&self, change: impl FnOnce(&mut SocketOptions)) -> io::Result<()> {
        self.socket.act(|stack, _, id| {
            change(stack.socket_options(id)?);
            Ok(())
        })
    }

    /// Whether the address may be used while connections of a socket of before linger
    /// (`SO_REUSEADDR`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn set_reuseaddr(&self, reuse: bool) -> io::Result<()> {
        self.set_tcp_options(|options| options.reuse_addr = reuse)
    }

    /// Whether small pieces are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.set_tcp_options(|options| options.nodelay = nodelay)
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// The stack is no more.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.act(|stack, _, id| stack.local_addr(id))
    }

    /// Its name in the stack, for [`Net::with_shard`].
    pub fn id(&self) -> SocketId {
        self.socket.id()
    }
}

/// A socket with the same options on another shard.
pub(super) fn like(socket: &Socket, shard: usize) -> io::Result<Socket> {
    let (options, tcp_options) = socket.act(|stack, _, id| {
        let tcp_options = *stack.tcp_options(id)?;
        Ok((stack.socket_options(id)?.clone(), tcp_options))
    })?;
    let other = Socket::open(socket.net(), shard, |stack, _| stack.open_tcp())?;
    other.act(|stack, now, id| {
        *stack.socket_options(id)? = options;
        stack.set_tcp_options(now, id, |other| *other = tcp_options)
    })?;
    Ok(other)
}
