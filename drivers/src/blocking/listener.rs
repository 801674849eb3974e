//! Listening for connections.

use std::io;
use std::iter::FusedIterator;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use super::{Patience, TcpStream, block, each_addr};
use crate::aio;
use crate::aio::Accepting;
use crate::net::Net;
use crate::net::socket::io_error;

/// A socket that listens for TCP connections.
#[derive(Debug)]
pub struct TcpListener(Arc<Inner>);

/// What the handles share.
#[derive(Debug)]
struct Inner {
    listener: aio::TcpListener,
    patience: Patience,
}

impl TcpListener {
    /// Listens on an address; port 0 stands for one that is free.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2), of the last address tried.
    pub fn bind(net: &Net, addr: impl ToSocketAddrs) -> io::Result<Self> {
        each_addr(addr, |addr| aio::TcpListener::bind(net, addr)).map(Self::from)
    }

    /// The stack that it belongs to.
    pub fn net(&self) -> &Net {
        self.0.listener.net()
    }

    /// Another handle to the same socket.
    ///
    /// # Errors
    /// None; it is a result because `std::net` has it so.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(TcpListener(Arc::clone(&self.0)))
    }

    /// Waits for the next connection and takes it, with its peer's address.
    ///
    /// # Errors
    /// The stack is ending.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let listener = &self.0.listener;
        let accepted = match self.0.patience.is_nonblocking() {
            true => listener.try_accept(),
            false => {
                let mut accepting = Accepting::new(listener);
                block(self.net(), None, |cx| accepting.poll(cx))
            }
        };
        accepted.map(|(stream, peer)| (stream.into(), peer))
    }

    /// The connections that come, one after the other; it never ends.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming(self)
    }

    /// Whether accepting fails with `WouldBlock` instead of waiting.
    ///
    /// # Errors
    /// None.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.patience.set_nonblocking(nonblocking);
        Ok(())
    }

    /// The TTL of the packets of its connections (`IP_TTL`).
    ///
    /// # Errors
    /// `InvalidInput`: it is not 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let sockets = self.0.listener.sockets();
        sockets.iter().try_for_each(|socket| aio::set_ttl(socket, ttl))
    }

    /// The TTL of the packets of its connections (`IP_TTL`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn ttl(&self) -> io::Result<u32> {
        aio::ttl(&self.0.listener.sockets()[0])
    }

    /// The error of the socket, once (`SO_ERROR`); a listener has none.
    ///
    /// # Errors
    /// The stack is no more.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let socket = &self.0.listener.sockets()[0];
        Ok(socket.act(|stack, _, id| stack.take_error(id))?.map(io_error))
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The stack is no more.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.listener.local_addr()
    }
}

impl From<aio::TcpListener> for TcpListener {
    fn from(listener: aio::TcpListener) -> Self {
        TcpListener(Arc::new(Inner { listener, patience: Patience::default() }))
    }
}

/// Made by [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a>(&'a TcpListener);

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
