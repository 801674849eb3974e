//! Listening for connections.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tapping_stack::SocketId;
use tapping_stack::socket::Interest;

use super::{TcpSocket, TcpStream};
use crate::net::Net;
use crate::net::socket::{Socket, Wait};

/// Connections that wait to be accepted, unless told otherwise; the stack's `somaxconn` is a limit
/// in any case.
const BACKLOG: usize = 4096;

/// A socket that listens for TCP connections; of several stacks, one on each.
#[derive(Debug)]
pub struct TcpListener {
    /// One for each shard.
    sockets: Box<[Socket]>,
    /// The one to look at first.
    next: AtomicUsize,
    /// Who polls it waits.
    slot: Mutex<Vec<Wait>>,
}

impl TcpListener {
    /// Listens on an address; port 0 stands for one that is free.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2).
    pub fn bind(net: &Net, addr: SocketAddr) -> io::Result<Self> {
        let mut socket = TcpSocket::new(net)?;
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    }

    /// Listens with a socket, and with one like it on every other shard.
    pub(super) fn listen(
        socket: Socket,
        bound: Option<SocketAddr>,
        backlog: usize,
    ) -> io::Result<Self> {
        socket.begin(|stack, now, id| stack.listen(now, id, backlog))?;
        let net = socket.net().clone();
        let (first, count) = (socket.shard_index(), net.shards());
        let addr = socket.act(|stack, _, id| stack.local_addr(id))?;
        let addr = bound.map_or(addr, |bound| SocketAddr::new(bound.ip(), addr.port()));
        let (options, tcp_options) = socket.act(|stack, _, id| {
            let tcp = *stack.tcp_options(id)?;
            Ok((stack.socket_options(id)?.clone(), tcp))
        })?;
        let mut sockets = vec![socket];
        for shard in (0..count).filter(|shard| *shard != first) {
            let other = Socket::open(&net, shard, |stack, _| stack.open_tcp())?;
            other.begin(|stack, now, id| {
                *stack.socket_options(id)? = options.clone();
                stack.set_tcp_options(now, id, |other| *other = tcp_options)?;
                stack.bind(id, addr)?;
                stack.listen(now, id, backlog)
            })?;
            sockets.push(other);
        }
        sockets.sort_by_key(Socket::shard_index);
        Ok(TcpListener {
            sockets: sockets.into(),
            next: AtomicUsize::new(0),
            slot: Mutex::new(Vec::new()),
        })
    }

    /// The stack that it belongs to.
    pub fn net(&self) -> &Net {
        self.sockets[0].net()
    }

    /// Takes the next connection, with its peer's address.
    ///
    /// # Errors
    /// The stack is ending.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept_from(0, self.sockets.len()).await
    }

    /// As [`accept`](Self::accept), but only connections of one of several stacks, for a task that
    /// runs [on it](Net::spawn_on).
    ///
    /// # Errors
    /// The stack is ending.
    ///
    /// # Panics
    /// When there are not so many stacks.
    pub async fn accept_on(&self, shard: usize) -> io::Result<(TcpStream, SocketAddr)> {
        assert!(shard < self.sockets.len(), "there are {} shards", self.sockets.len());
        self.accept_from(shard, 1).await
    }

    async fn accept_from(&self, from: usize, count: usize) -> io::Result<(TcpStream, SocketAddr)> {
        let mut accepting = Accepting::from(self, from, count);
        poll_fn(|cx| accepting.poll(cx)).await
    }

    /// As [`accept`](Self::accept); the task that polls last is woken.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let mut waits = self.slot.lock();
        if waits.is_empty() {
            waits.extend(self.sockets.iter().map(|_| Wait::slot(Interest::Read, false)));
        }
        self.poll_all(&self.sockets, &mut waits, cx)
    }

    /// As [`accept`](Self::accept), without waiting.
    ///
    /// # Errors
    /// `WouldBlock`: there is no connection.
    pub fn try_accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let mut result = Err(io::ErrorKind::WouldBlock.into());
        for at in self.order(self.sockets.len()) {
            result = accepted(&self.sockets[at], |socket| {
                socket.act(|stack, now, id| stack.accept(now, id))
            });
            if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                break;
            }
        }
        result
    }

    /// Accepts from any of some sockets, the caller's own shard's first.
    fn poll_all(
        &self,
        sockets: &[Socket],
        waits: &mut [Wait],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        for at in self.order(sockets.len()) {
            let (socket, wait) = (&sockets[at], &mut waits[at]);
            let polled = socket.poll(wait, cx, |stack, now, id| stack.accept(now, id));
            if let Poll::Ready(result) = polled {
                return Poll::Ready(accepted(socket, |_| result));
            }
        }
        Poll::Pending
    }

    fn order(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let first = match count {
            1 => 0,
            _ => self
                .net()
                .here()
                .unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed) % count),
        };
        (first..count).chain(0..first)
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The stack is no more.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.sockets[0].act(|stack, _, id| stack.local_addr(id))
    }

    /// Its names in the stacks, the first stack's first, for [`Net::with_shard`].
    pub fn ids(&self) -> impl Iterator<Item = SocketId> {
        self.sockets.iter().map(Socket::id)
    }

    pub(crate) fn sockets(&self) -> &[Socket] {
        &self.sockets
    }
}

/// The stream of a connection that a socket has accepted.
fn accepted(
    socket: &Socket,
    accept: impl FnOnce(&Socket) -> io::Result<(SocketId, SocketAddr)>,
) -> io::Result<(TcpStream, SocketAddr)> {
    let (id, peer) = accept(socket)?;
    let socket = Socket::adopt(socket.net(), socket.shard_index(), id);
    Ok((TcpStream::over(socket), peer))
}

/// Somebody who waits for a connection, and gives up their place when this is dropped.
pub(crate) struct Accepting<'a> {
    listener: &'a TcpListener,
    sockets: &'a [Socket],
    waits: Vec<Wait>,
}

impl<'a> Accepting<'a> {
    pub(crate) fn new(listener: &'a TcpListener) -> Self {
        Self::from(listener, 0, listener.sockets.len())
    }

    fn from(listener: &'a TcpListener, first: usize, count: usize) -> Self {
        let waits = (0..count).map(|_| Wait::exclusive(Interest::Read)).collect();
        Accepting { listener, sockets: &listener.sockets[first..first + count], waits }
    }

    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.listener.poll_all(self.sockets, &mut self.waits, cx)
    }
}

impl Drop for Accepting<'_> {
    fn drop(&mut self) {
        for (socket, wait) in self.sockets.iter().zip(&mut self.waits) {
            socket.leave(wait);
        }
    }
}
