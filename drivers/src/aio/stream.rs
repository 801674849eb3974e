//! Connections.

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tapping_stack::socket::Interest;
use tapping_stack::tcp::SendFlags;
use tapping_stack::tcp::info::TcpInfo;
use tapping_stack::time::Instant;
use tapping_stack::{Shutdown as Half, SocketError, SocketId, Stack, TcpOptions};

use super::TcpSocket;
use super::split::{self, OwnedReadHalf, OwnedWriteHalf};
use crate::net::Net;
use crate::net::socket::{Socket, Wait, Waiting};

/// A TCP connection.
#[derive(Debug)]
pub struct TcpStream {
    socket: Socket,
    /// Who polls it for reading, and for writing, waits.
    slots: [AtomicBool; 2],
}

impl TcpStream {
    /// Connects to an address.
    ///
    /// # Errors
    /// Those of connect(2).
    pub async fn connect(net: &Net, addr: SocketAddr) -> io::Result<Self> {
        TcpSocket::new(net)?.connect(addr).await
    }

    pub(crate) fn over(socket: Socket) -> Self {
        TcpStream { socket, slots: Default::default() }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The stack that it belongs to.
    pub fn net(&self) -> &Net {
        self.socket.net()
    }

    /// Which of several stacks it is on; tasks that use it are best
    /// [spawned](Net::spawn_on) there.
    pub fn shard(&self) -> usize {
        self.socket.shard_index()
    }

    /// Its name in the stack, for [`Net::with_shard`].
    pub fn id(&self) -> SocketId {
        self.socket.id()
    }

    /// Receives bytes: as many as there are and `buffer` holds, 0 at the end of the stream.
    ///
    /// # Errors
    /// What ended the connection.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.wait(Interest::Read, |stack, now, id| stack.receive(now, id, buffer)).await
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    /// `UnexpectedEof`: the stream ended before. What ended the connection.
    pub async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => buffer = &mut buffer[len..],
            }
        }
        Ok(())
    }

    /// Waits for bytes and shows `take` those that lie together, where they are; it returns how many
    /// it is done with. At the end of the stream it is shown none. It runs with the stack in its
    /// hands, so it must not use sockets.
    ///
    /// # Errors
    /// What ended the connection.
    pub async fn read_with(&self, mut take: impl FnMut(&[u8]) -> usize) -> io::Result<usize> {
        let mut panic = None;
        let mut take = |bytes: &[u8]| contain(&mut panic, || take(bytes));
        let receive = |stack: &mut Stack, now: Instant, id| stack.receive_with(now, id, &mut take);
        let result = self.socket.wait(Interest::Read, receive).await;
        panic.map_or(result, |panic| resume_unwind(panic))
    }

    /// Waits for room and lets `fill` write up to `max` bytes into the send buffer itself; it returns
    /// how many it wrote. It may be given less than `max`. It runs with the stack in its hands, so
    /// it must not use sockets.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    pub async fn write_with(
        &self,
        max: usize,
        mut fill: impl FnMut(&mut [u8]) -> usize,
    ) -> io::Result<usize> {
        let mut panic = None;
        let mut fill = |room: &mut [u8]| contain(&mut panic, || fill(room));
        let send = |stack: &mut Stack, now: Instant, id| stack.send_with(now, id, max, &mut fill);
        let result = self.socket.wait(Interest::Write, send).await;
        panic.map_or(result, |panic| resume_unwind(panic))
    }

    /// Copies the next bytes and leaves them there.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.wait(Interest::Read, |stack, _, id| stack.peek(id, buffer)).await
    }

    /// Sends bytes; returns how many there was room for, at least one.
    ///
    /// # Errors
    /// `BrokenPipe`: sending was shut down. What ended the connection.
    pub async fn write(&self, data: &[u8]) -> io::Result<usize> {
        self.socket.wait(Interest::Write, |stack, now, id| stack.send(now, id, data)).await
    }

    /// Sends all of `data`, waiting for room as often as it takes.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    pub async fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let len = self.write(data).await?;
            data = &data[len..];
        }
        Ok(())
    }

    /// Waits until there is something to read, or the end, or an error.
    ///
    /// # Errors
    /// The stack is no more.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::Read).await
    }

    /// Waits until there is room to write, or an error.
    ///
    /// # Errors
    /// The stack is no more.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::Write).await
    }

    async fn ready(&self, interest: Interest) -> io::Result<()> {
        let ready = |stack: &mut Stack, _: Instant, id| match stack.readiness(id) {
            ready if ready.satisfies(interest) => Ok(()),
            _ => Err(SocketError::WouldBlock),
        };
        self.socket.wait(interest, ready).await
    }

    /// As [`read`](Self::read), without waiting.
    ///
    /// # Errors
    /// `WouldBlock`: nothing has come. Those of [`read`](Self::read).
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.act(|stack, now, id| stack.receive(now, id, buffer))
    }

    /// As [`write`](Self::write), without waiting.
    ///
    /// # Errors
    /// `WouldBlock`: there is no room. Those of [`write`](Self::write).
    pub fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.socket.act(|stack, now, id| stack.send(now, id, data))
    }

    /// As [`read`](Self::read); the task that polls last is woken. It and those that await do not
    /// get in each other's way.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_slot(Interest::Read, cx, |stack, now, id| stack.receive(now, id, buffer))
    }

    /// As [`read_with`](Self::read_with); the task that polls last is woken.
    pub fn poll_read_with(
        &self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Poll<io::Result<usize>> {
        let mut panic = None;
        let result = self.poll_slot(Interest::Read, cx, |stack, now, id| {
            stack.receive_with(now, id, |bytes| contain(&mut panic, || take(bytes)))
        });
        panic.map_or(result, |panic| resume_unwind(panic))
    }

    /// As [`write`](Self::write); the task that polls last is woken.
    pub fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_slot(Interest::Write, cx, |stack, now, id| stack.send(now, id, data))
    }

    /// As [`poll_write`](Self::poll_write), of several pieces one after the other.
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_slot(Interest::Write, cx, |stack, now, id| send_vectored(stack, now, id, data))
    }

    fn poll_slot<R>(
        &self,
        interest: Interest,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut Stack, Instant, SocketId) -> Result<R, SocketError>,
    ) -> Poll<io::Result<R>> {
        let slot = &self.slots[usize::from(interest == Interest::Write)];
        let mut wait = Wait::slot(interest, slot.load(Ordering::Relaxed));
        let result = self.socket.poll(&mut wait, cx, act);
        slot.store(wait.is_registered(), Ordering::Relaxed);
        result
    }

    /// Shuts down a half, or both. What was written is still sent, and the end after it.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let half = match how {
            Shutdown::Read => Half::Read,
            Shutdown::Write => Half::Write,
            Shutdown::Both => Half::Both,
        };
        self.socket.act(|stack, now, id| stack.shutdown(now, id, half))
    }

    /// Splits it into halves that different tasks may have. The connection is closed when both are
    /// dropped; dropping the write half shuts down sending.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split::split(self)
    }

    /// Ends the connection with RST.
    ///
    /// # Errors
    /// The stack is no more.
    pub fn abort(self) -> io::Result<()> {
        self.socket.act(|stack, now, id| stack.abort(now, id))
    }

    /// Where the connection stands (`TCP_INFO`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn tcp_info(&self) -> io::Result<TcpInfo> {
        self.socket.act(|stack, _, id| stack.tcp_info(id))
    }

    /// Changes options of the connection (tcp(7)).
    ///
    /// # Errors
    /// A value out of range.
    pub fn set_tcp_options(&self, change: impl FnOnce(&mut TcpOptions)) -> io::Result<()> {
        self.socket.act(|stack, now, id| stack.set_tcp_options(now, id, change))
    }

    /// The options of the connection.
    ///
    /// # Errors
    /// The stack is no more.
    pub fn tcp_options(&self) -> io::Result<TcpOptions> {
        self.socket.act(|stack, _, id| stack.tcp_options(id).copied())
    }

    /// Whether small pieces are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.set_tcp_options(|options| options.nodelay = nodelay)
    }

    /// Whether small pieces are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.tcp_options()?.nodelay)
    }

    /// With a time of zero, dropping it resets the connection (`SO_LINGER`). With another it is
    /// closed as without: nobody waits in a drop.
    ///
    /// # Errors
    /// The stack is no more.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.set_tcp_options(|options| options.linger_reset = linger == Some(Duration::ZERO))
    }

    /// The TTL of its packets (`IP_TTL`).
    ///
    /// # Errors
    /// `InvalidInput`: it is not 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        set_ttl(&self.socket, ttl)
    }

    /// The TTL of its packets (`IP_TTL`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn ttl(&self) -> io::Result<u32> {
        ttl(&self.socket)
    }

    /// The error that ended the connection, once (`SO_ERROR`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let error = self.socket.act(|stack, _, id| stack.take_error(id))?;
        Ok(error.map(crate::net::socket::io_error))
    }

    /// Its own address.
    ///
    /// # Errors
    /// The stack is no more.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.act(|stack, _, id| stack.local_addr(id))
    }

    /// The peer's address.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.act(|stack, _, id| stack.peer_addr(id))
    }

    /// Waits until a connection that was begun is made, or is not.
    pub(crate) async fn connected(self) -> io::Result<Self> {
        let mut waiting = Waiting::new(&self.socket, Interest::Write);
        poll_fn(|cx| poll_connected(&self.socket, &mut waiting.wait, cx)).await?;
        drop(waiting);
        Ok(self)
    }
}

/// Runs users' code while the stack is locked: a panic is to come out when it is whole and free
/// again.
fn contain(panic: &mut Option<Box<dyn Any + Send>>, run: impl FnOnce() -> usize) -> usize {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        *panic = Some(payload);
        0
    })
}

/// Waits until a connection that was begun is made, or is not.
pub(crate) fn poll_connected(
    socket: &Socket,
    wait: &mut Wait,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    socket.poll(wait, cx, |stack, _, id| {
        if !stack.readiness(id).satisfies(Interest::Write) {
            return Err(SocketError::WouldBlock);
        }
        stack.take_error(id)?.map_or(Ok(()), Err)
    })
}

/// Sends pieces one after the other, as far as there is room, in segments as full as those of one
/// piece would be.
pub(crate) fn send_vectored(
    stack: &mut Stack,
    now: Instant,
    id: SocketId,
    data: &[io::IoSlice<'_>],
) -> Result<usize, SocketError> {
    let mut sent = 0;
    let mut pieces = data.iter().filter(|piece| !piece.is_empty()).peekable();
    while let Some(piece) = pieces.next() {
        let flags = match pieces.peek() {
            Some(_) => SendFlags::MORE,
            None => SendFlags::empty(),
        };
        match stack.send_with_flags(now, id, piece, flags) {
            Ok(len) => {
                sent += len;
                // The next one must not come in the place of the rest of this.
                if len < piece.len() {
                    break;
                }
            }
            Err(_) if sent > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

pub(crate) fn set_ttl(socket: &Socket, ttl: u32) -> io::Result<()> {
    socket.act(|stack, _, id| {
        let ttl = u8::try_from(ttl).ok().filter(|ttl| *ttl > 0);
        stack.socket_options(id)?.ttl = Some(ttl.ok_or(SocketError::InvalidArgument)?);
        Ok(())
    })
}

pub(crate) fn ttl(socket: &Socket) -> io::Result<u32> {
    socket.act(|stack, _, id| {
        let ttl = stack.socket_options(id)?.ttl;
        Ok(ttl.unwrap_or(stack.config().ipv4.default_ttl).into())
    })
}
