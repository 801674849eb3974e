//! Datagrams.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tapping_stack::socket::Interest;
use tapping_stack::time::Instant;
use tapping_stack::{SocketError, SocketId, Stack};

use super::{Patience, block, each_addr, set_limit};
use crate::aio;
use crate::aio::{Receiving, peek, receive};
use crate::net::Net;
use crate::net::socket::Waiting;

/// A UDP socket.
#[derive(Debug)]
pub struct UdpSocket(Arc<Inner>);

/// What the handles share.
#[derive(Debug)]
struct Inner {
    socket: aio::UdpSocket,
    patience: Patience,
}

impl UdpSocket {
    /// A socket bound to an address; port 0 stands for one that is free.
    ///
    /// # Errors
    /// Those of bind(2), of the last address tried.
    pub fn bind(net: &Net, addr: impl ToSocketAddrs) -> io::Result<Self> {
        each_addr(addr, |addr| aio::UdpSocket::bind(net, addr)).map(Self::from)
    }

    /// The stack that it belongs to.
    pub fn net(&self) -> &Net {
        self.0.socket.net()
    }

    /// Another handle to the same socket, with the same limits.
    ///
    /// # Errors
    /// None; it is a result because `std::net` has it so.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(UdpSocket(Arc::clone(&self.0)))
    }

    /// Sets the address that [`send`](Self::send) sends to; what comes from others is not received
    /// any more.
    ///
    /// # Errors
    /// Those of connect(2), of the last address tried.
    pub fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        each_addr(addr, |addr| self.0.socket.connect(addr))
    }

    /// Sends a datagram to an address, of several the first.
    ///
    /// # Errors
    /// Those of sendto(2), and what an ICMP message told of an earlier one.
    pub fn send_to(&self, data: &[u8], addr: impl ToSocketAddrs) -> io::Result<usize> {
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
        let addr = addr.to_socket_addrs()?.next().ok_or_else(none)?;
        self.write(|stack, now, id| aio::send_datagram(stack, now, id, Some(addr), data))
    }

    /// Sends a datagram to the address it is connected to.
    ///
    /// # Errors
    /// Those of send(2), and what an ICMP message told of an earlier one.
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.write(|stack, now, id| aio::send_datagram(stack, now, id, None, data))
    }

    /// Receives a datagram; what `buffer` has no room for is lost. Returns how many bytes were
    /// received, and from where.
    ///
    /// # Errors
    /// What an ICMP message told of one that was sent.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.read(|stack, _, id| receive(stack, id, buffer))
    }

    /// As [`recv_from`](Self::recv_from), from the address it is connected to.
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv_from(buffer).map(|(len, _)| len)
    }

    /// As [`recv_from`](Self::recv_from), and leaves the datagram there.
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.read(|stack, _, id| peek(stack, id, buffer))
    }

    /// As [`recv`](Self::recv), and leaves the datagram there.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv).
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.peek_from(buffer).map(|(len, _)| len)
    }

    fn read<R>(
        &self,
        mut act: impl FnMut(&mut Stack, Instant, SocketId) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        let Inner { socket, patience } = &*self.0;
        if patience.is_nonblocking() {
            return socket.try_any(act);
        }
        let mut receiving = Receiving::new(socket);
        let limit = *patience.read.lock();
        block(self.net(), limit, |cx| socket.poll_any(&mut receiving.waits, cx, &mut act))
    }

    fn write<R>(
        &self,
        mut act: impl FnMut(&mut Stack, Instant, SocketId) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        let (socket, patience) = (self.0.socket.sender(), &self.0.patience);
        if patience.is_nonblocking() {
            return socket.act(act);
        }
        let mut waiting = Waiting::new(socket, Interest::Write);
        let limit = *patience.write.lock();
        block(self.net(), limit, |cx| socket.poll(&mut waiting.wait, cx, &mut act))
    }

    /// How long receiving waits; for ever with `None`. What takes longer fails with `WouldBlock`.
    ///
    /// # Errors
    /// `InvalidInput`: a time of zero.
    pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        set_limit(&self.0.patience.read, limit)
    }

    /// How long sending waits; for ever with `None`. What takes longer fails with `WouldBlock`.
    ///
    /// # Errors
    /// `InvalidInput`: a time of zero.
    pub fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        set_limit(&self.0.patience.write, limit)
    }

    /// How long receiving waits.
    ///
    /// # Errors
    /// None.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(*self.0.patience.read.lock())
    }

    /// How long sending waits.
    ///
    /// # Errors
    /// None.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(*self.0.patience.write.lock())
    }

    /// Whether what would have to wait fails with `WouldBlock` instead.
    ///
    /// # Errors
    /// None.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.patience.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Whether it may send to broadcast addresses (`SO_BROADCAST`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.0.socket.set_broadcast(broadcast)
    }

    /// Whether it may send to broadcast addresses (`SO_BROADCAST`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn broadcast(&self) -> io::Result<bool> {
        Ok(self.0.socket.options()?.broadcast)
    }

    /// Whether this host receives what the socket sends to groups (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn set_multicast_loop_v4(&self, multicast_loop: bool) -> io::Result<()> {
        self.0.socket.set_options(|options| options.multicast_loop = multicast_loop)
    }

    /// Whether this host receives what the socket sends to groups (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        Ok(self.0.socket.options()?.multicast_loop)
    }

    /// The TTL of what it sends to groups (`IP_MULTICAST_TTL`).
    ///
    /// # Errors
    /// `InvalidInput`: it is more than 255.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        let ttl = u8::try_from(ttl).map_err(|_| io::Error::from_raw_os_error(22))?;
        self.0.socket.set_options(|options| options.multicast_ttl = ttl)
    }

    /// The TTL of what it sends to groups (`IP_MULTICAST_TTL`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        Ok(self.0.socket.options()?.multicast_ttl.into())
    }

    /// Joins a multicast group on the link that has an address, or that the route to the group
    /// leads over when it is unspecified.
    ///
    /// # Errors
    /// Those of ip(7).
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.0.socket.join_multicast_v4(*group, *interface)
    }

    /// Leaves it.
    ///
    /// # Errors
    /// Those of ip(7).
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.0.socket.leave_multicast_v4(*group, *interface)
    }

    /// The TTL of what it sends (`IP_TTL`).
    ///
    /// # Errors
    /// `InvalidInput`: it is not 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.socket.set_ttl(ttl)
    }

    /// The TTL of what it sends (`IP_TTL`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.socket.ttl()
    }

    /// The error that an ICMP message told of, once (`SO_ERROR`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.socket.take_error()
    }

    /// Its own address.
    ///
    /// # Errors
    /// The stack is no more.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.socket.local_addr()
    }

    /// The address it is connected to.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.socket.peer_addr()
    }
}

impl From<aio::UdpSocket> for UdpSocket {
    fn from(socket: aio::UdpSocket) -> Self {
        UdpSocket(Arc::new(Inner { socket, patience: Patience::default() }))
    }
}
