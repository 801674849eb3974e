//! Datagrams.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tapping_stack::interface::Interface;
use tapping_stack::socket::{Interest, PacketInfo, SocketOptions};
use tapping_stack::time::Instant;
use tapping_stack::{LinkId, Packet, SocketError, SocketId, Stack};

use super::stream::{set_ttl, ttl};
use crate::net::Net;
use crate::net::socket::{Socket, Wait, io_error};

/// A UDP socket; of several stacks, one on each, if it is bound to a port that was named.
#[derive(Debug)]
pub struct UdpSocket {
    sockets: Box<[Socket]>,
    /// The one to look at first.
    next: AtomicUsize,
    /// Who polls it for reading waits.
    slot: Mutex<Vec<Wait>>,
}

impl UdpSocket {
    /// A socket bound to an address; port 0 stands for one that is free.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn bind(net: &Net, addr: SocketAddr) -> io::Result<Self> {
        Self::bind_with(net, addr, |_| {})
    }

    /// As [`bind`](Self::bind), with options that count when binding.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn bind_with(
        net: &Net,
        addr: SocketAddr,
        set: impl Fn(&mut SocketOptions),
    ) -> io::Result<Self> {
        let open = |shard| {
            let socket = Socket::open(net, shard, |stack, _| stack.open_udp())?;
            socket.act(|stack, _, id| {
                set(stack.socket_options(id)?);
                stack.bind(id, addr)
            })?;
            Ok(socket)
        };
        // A port that a stack chooses is its own: what comes for it comes to that stack.
        let sockets: io::Result<Vec<Socket>> = match addr.port() {
            0 => open(net.choose_shard()).map(|socket| vec![socket]),
            _ => (0..net.shards()).map(open).collect(),
        };
        let slot = Mutex::new(Vec::new());
        Ok(UdpSocket { sockets: sockets?.into(), next: AtomicUsize::new(0), slot })
    }

    /// The stack that it belongs to.
    pub fn net(&self) -> &Net {
        self.sockets[0].net()
    }

    /// Sets the address that [`send`](Self::send) sends to; what comes from others is not received
    /// any more.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn connect(&self, addr: SocketAddr) -> io::Result<()> {
        self.on_each(|stack, now, id| stack.connect(now, id, addr))
    }

    /// Sends a datagram to an address.
    ///
    /// # Errors
    /// Those of sendto(2), and what an ICMP message told of an earlier one.
    pub async fn send_to(&self, data: &[u8], addr: SocketAddr) -> io::Result<usize> {
        let send = |stack: &mut Stack, now, id| send_datagram(stack, now, id, Some(addr), data);
        self.sender().wait(Interest::Write, send).await
    }

    /// Sends a datagram to the address it is connected to.
    ///
    /// # Errors
    /// Those of send(2), and what an ICMP message told of an earlier one.
    pub async fn send(&self, data: &[u8]) -> io::Result<usize> {
        let send = |stack: &mut Stack, now, id| send_datagram(stack, now, id, None, data);
        self.sender().wait(Interest::Write, send).await
    }

    /// Receives a datagram; what `buffer` has no room for is lost. Returns how many bytes were
    /// received, and from where.
    ///
    /// # Errors
    /// What an ICMP message told of one that was sent.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.wait_any(|stack, _, id| receive(stack, id, buffer)).await
    }

    /// As [`recv_from`](Self::recv_from), from the address it is connected to.
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv_from(buffer).await.map(|(len, _)| len)
    }

    /// Waits until there is something to receive, or an error.
    ///
    /// # Errors
    /// The stack is no more.
    pub async fn readable(&self) -> io::Result<()> {
        let ready = |stack: &mut Stack, _: Instant, id| match stack.readiness(id) {
            ready if ready.satisfies(Interest::Read) => Ok(()),
            _ => Err(SocketError::WouldBlock),
        };
        self.wait_any(ready).await
    }

    /// As [`recv_from`](Self::recv_from), without waiting.
    ///
    /// # Errors
    /// `WouldBlock`: there is none. Those of [`recv_from`](Self::recv_from).
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.try_any(|stack, _, id| receive(stack, id, buffer))
    }

    /// As [`recv`](Self::recv), without waiting.
    ///
    /// # Errors
    /// Those of [`try_recv_from`](Self::try_recv_from).
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_recv_from(buffer).map(|(len, _)| len)
    }

    /// As [`send_to`](Self::send_to), without waiting.
    ///
    /// # Errors
    /// `WouldBlock`: there is no room. Those of [`send_to`](Self::send_to).
    pub fn try_send_to(&self, data: &[u8], addr: SocketAddr) -> io::Result<usize> {
        self.sender().act(|stack, now, id| stack.send_to(now, id, addr, data).map(|()| data.len()))
    }

    /// As [`send`](Self::send), without waiting.
    ///
    /// # Errors
    /// `WouldBlock`: there is no room. Those of [`send`](Self::send).
    pub fn try_send(&self, data: &[u8]) -> io::Result<usize> {
        self.sender().act(|stack, now, id| send_datagram(stack, now, id, None, data))
    }

    /// As [`recv_from`](Self::recv_from); the task that polls last is woken.
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut waits = self.slot.lock();
        if waits.is_empty() {
            waits.extend(self.sockets.iter().map(|_| Wait::slot(Interest::Read, false)));
        }
        self.poll_any(&mut waits, cx, &mut |stack, _, id| receive(stack, id, buffer))
    }

    /// Its own address.
    ///
    /// # Errors
    /// The stack is no more.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.sockets[0].act(|stack, _, id| stack.local_addr(id))
    }

    /// The address it is connected to.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.sockets[0].act(|stack, _, id| stack.peer_addr(id))
    }

    /// The error that an ICMP message told of, once (`SO_ERROR`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        for socket in &self.sockets {
            if let Some(error) = socket.act(|stack, _, id| stack.take_error(id))? {
                return Ok(Some(io_error(error)));
            }
        }
        Ok(None)
    }

    /// Changes its options (ip(7), socket(7)).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn set_options(&self, change: impl Fn(&mut SocketOptions)) -> io::Result<()> {
        self.on_each(|stack, _, id| {
            change(stack.socket_options(id)?);
            Ok(())
        })
    }

    /// Its options.
    ///
    /// # Errors
    /// The stack is no more.
    pub fn options(&self) -> io::Result<SocketOptions> {
        self.sockets[0].act(|stack, _, id| stack.socket_options(id).cloned())
    }

    /// Whether it may send to broadcast addresses (`SO_BROADCAST`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.set_options(|options| options.broadcast = broadcast)
    }

    /// The TTL of what it sends (`IP_TTL`).
    ///
    /// # Errors
    /// `InvalidInput`: it is not 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.sockets.iter().try_for_each(|socket| set_ttl(socket, ttl))
    }

    /// The TTL of what it sends (`IP_TTL`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn ttl(&self) -> io::Result<u32> {
        ttl(&self.sockets[0])
    }

    /// Its names in the stacks, the first stack's first, for [`Net::with_shard`].
    pub fn ids(&self) -> impl Iterator<Item = SocketId> {
        self.sockets.iter().map(Socket::id)
    }

    /// The socket to send with: that on the caller's own shard.
    pub(crate) fn sender(&self) -> &Socket {
        match self.sockets.len() {
            1 => &self.sockets[0],
            _ => &self.sockets[self.net().here().unwrap_or(0)],
        }
    }

    pub(crate) fn on_each(
        &self,
        mut act: impl FnMut(&mut Stack, Instant, SocketId) -> Result<(), SocketError>,
    ) -> io::Result<()> {
        self.sockets.iter().try_for_each(|socket| socket.act(&mut act))
    }

    async fn wait_any<R>(
        &self,
        mut act: impl FnMut(&mut Stack, Instant, SocketId) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        let mut receiving = Receiving::new(self);
        poll_fn(|cx| self.poll_any(&mut receiving.waits, cx, &mut act)).await
    }

    /// An operation on any of the sockets, the caller's own shard's first.
    pub(crate) fn poll_any<R>(
        &self,
        waits: &mut [Wait],
        cx: &mut Context<'_>,
        act: &mut dyn FnMut(&mut Stack, Instant, SocketId) -> Result<R, SocketError>,
    ) -> Poll<io::Result<R>> {
        for at in self.order() {
            let polled = self.sockets[at].poll(&mut waits[at], cx, &mut *act);
            if polled.is_ready() {
                return polled;
            }
        }
        Poll::Pending
    }

    pub(crate) fn try_any<R>(
        &self,
        mut act: impl FnMut(&mut Stack, Instant, SocketId) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        let mut result = Err(io_error(SocketError::WouldBlock));
        for at in self.order() {
            result = self.sockets[at].act(&mut act);
            if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                break;
            }
        }
        result
    }

    fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let count = self.sockets.len();
        let first = match count {
            1 => 0,
            _ => self
                .net()
                .here()
                .unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed) % count),
        };
        (first..count).chain(0..first)
    }

    /// Joins a multicast group on the link that has an address, or that the route to the group
    /// leads over when it is unspecified (`IP_ADD_MEMBERSHIP`).
    ///
    /// # Errors
    /// Those of ip(7).
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.on_each(|stack, now, id| {
            let link = link_of(stack, interface)?;
            stack.join_multicast(now, id, group.into(), link)
        })
    }

    /// Leaves it (`IP_DROP_MEMBERSHIP`).
    ///
    /// # Errors
    /// Those of ip(7).
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.on_each(|stack, now, id| {
            let link = link_of(stack, interface)?;
            stack.leave_multicast(now, id, group.into(), link)
        })
    }
}

/// The link that has an address; none for the one that the route leads over.
fn link_of(stack: &Stack, address: Ipv4Addr) -> Result<Option<LinkId>, SocketError> {
    if address.is_unspecified() {
        return Ok(None);
    }
    let has =
        |interface: &&Interface| interface.addresses().iter().any(|own| own.cidr.addr() == address);
    let link = stack.interfaces().iter().find(has).ok_or(SocketError::NoSuchDevice)?;
    Ok(Some(link.id))
}

/// Somebody's place among those who wait for datagrams.
pub(crate) struct Receiving<'a> {
    socket: &'a UdpSocket,
    pub(crate) waits: Vec<Wait>,
}

impl<'a> Receiving<'a> {
    pub(crate) fn new(socket: &'a UdpSocket) -> Self {
        let waits = socket.sockets.iter().map(|_| Wait::exclusive(Interest::Read)).collect();
        Receiving { socket, waits }
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        for (socket, wait) in self.socket.sockets.iter().zip(&mut self.waits) {
            socket.leave(wait);
        }
    }
}

/// Sends a datagram, to the address that the socket is connected to or another, if there is room.
pub(crate) fn send_datagram(
    stack: &mut Stack,
    now: Instant,
    id: SocketId,
    addr: Option<SocketAddr>,
    data: &[u8],
) -> Result<usize, SocketError> {
    if !stack.has_room() {
        return Err(SocketError::WouldBlock);
    }
    match addr {
        Some(addr) => stack.send_to(now, id, addr, data).map(|()| data.len()),
        None => stack.send(now, id, data),
    }
}

/// Takes a datagram.
pub(crate) fn receive(
    stack: &mut Stack,
    id: SocketId,
    buffer: &mut [u8],
) -> Result<(usize, SocketAddr), SocketError> {
    let packet = stack.try_recv(id)?;
    let result = copy(&packet, buffer);
    stack.recycle(packet);
    Ok(result)
}

/// Copies a datagram and leaves it there.
pub(crate) fn peek(
    stack: &mut Stack,
    id: SocketId,
    buffer: &mut [u8],
) -> Result<(usize, SocketAddr), SocketError> {
    stack.peek_recv(id).map(|packet| copy(packet, buffer))
}

/// Copies what there is room for, and tells where it came from.
fn copy(packet: &Packet, buffer: &mut [u8]) -> (usize, SocketAddr) {
    let len = packet.len().min(buffer.len());
    buffer[..len].copy_from_slice(&packet.bytes()[..len]);
    let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    (len, PacketInfo::of(packet).map_or(nowhere, |info| info.source))
}
