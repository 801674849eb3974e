//! Connections.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tapping_stack::socket::Interest;
use tapping_stack::tcp::info::TcpInfo;
use tapping_stack::time::Instant as Now;
use tapping_stack::{SocketError, SocketId, Stack, TcpOptions, TcpState};

use super::{Patience, block, each_addr, set_limit};
use crate::aio;
use crate::aio::{poll_connected, send_vectored};
use crate::net::Net;
use crate::net::socket::Waiting;

/// Between two looks at whether what was written has arrived.
const LINGER_INTERVAL: Duration = Duration::from_millis(1);

/// A TCP connection.
#[derive(Debug)]
pub struct TcpStream(Arc<Inner>);

/// What the handles share.
#[derive(Debug)]
struct Inner {
    stream: aio::TcpStream,
    patience: Patience,
    linger: Mutex<Option<Duration>>,
}

impl Drop for Inner {
    /// Waits for what was written, if it is to (Linux `inet_release`).
    fn drop(&mut self) {
        let Some(linger) = *self.linger.get_mut() else { return };
        if linger.is_zero() || self.stream.net().here().is_some() {
            return;
        }
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let end = Instant::now() + linger;
        let waits =
            |state| matches!(state, TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck);
        while self.stream.tcp_info().is_ok_and(|info| waits(info.state)) && Instant::now() < end {
            thread::sleep(LINGER_INTERVAL);
        }
    }
}

impl TcpStream {
    /// Connects to an address.
    ///
    /// # Errors
    /// Those of connect(2), of the last address tried.
    pub fn connect(net: &Net, addr: impl ToSocketAddrs) -> io::Result<Self> {
        each_addr(addr, |addr| Self::connect_within(net, addr, None))
    }

    /// As [`connect`](Self::connect), to one address and no longer than this.
    ///
    /// # Errors
    /// Those of connect(2); `TimedOut`.
    pub fn connect_timeout(net: &Net, addr: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        if timeout.is_zero() {
            let error = "cannot wait for no time at all";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        Self::connect_within(net, *addr, Some(timeout)).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                io::Error::new(io::ErrorKind::TimedOut, "connection timed out")
            }
            _ => error,
        })
    }

    fn connect_within(net: &Net, addr: SocketAddr, limit: Option<Duration>) -> io::Result<Self> {
        let stream = aio::TcpSocket::new(net)?.begin(addr)?;
        let mut waiting = Waiting::new(stream.socket(), Interest::Write);
        block(net, limit, |cx| poll_connected(stream.socket(), &mut waiting.wait, cx))?;
        drop(waiting);
        Ok(stream.into())
    }

    /// The stack that it belongs to.
    pub fn net(&self) -> &Net {
        self.0.stream.net()
    }

    /// Another handle to the same connection, with the same limits.
    ///
    /// # Errors
    /// None; it is a result because `std::net` has it so.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(TcpStream(Arc::clone(&self.0)))
    }

    /// An operation that waits, unless it is not to.
    fn wait<R>(
        &self,
        interest: Interest,
        mut act: impl FnMut(&mut Stack, Now, SocketId) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        let (socket, patience) = (self.0.stream.socket(), &self.0.patience);
        if patience.is_nonblocking() {
            return socket.act(act);
        }
        let limit = match interest {
            Interest::Read => *patience.read.lock(),
            Interest::Write => *patience.write.lock(),
        };
        let mut waiting = Waiting::new(socket, interest);
        block(self.net(), limit, |cx| socket.poll(&mut waiting.wait, cx, &mut act))
    }

    /// Receives bytes and leaves them there.
    ///
    /// # Errors
    /// Those of recv(2).
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait(Interest::Read, |stack, _, id| stack.peek(id, buffer))
    }

    /// Shuts down a half, or both. What was written is still sent, and the end after it.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.stream.shutdown(how)
    }

    /// How long reading waits; for ever with `None`. What takes longer fails with `WouldBlock`.
    ///
    /// # Errors
    /// `InvalidInput`: a time of zero.
    pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        set_limit(&self.0.patience.read, limit)
    }

    /// How long writing waits; for ever with `None`. What takes longer fails with `WouldBlock`.
    ///
    /// # Errors
    /// `InvalidInput`: a time of zero.
    pub fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        set_limit(&self.0.patience.write, limit)
    }

    /// How long reading waits.
    ///
    /// # Errors
    /// None.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(*self.0.patience.read.lock())
    }

    /// How long writing waits.
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

    /// Whether small pieces are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.stream.set_nodelay(nodelay)
    }

    /// Whether small pieces are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.0.stream.nodelay()
    }

    /// How long dropping the last handle waits until the peer has what was written (`SO_LINGER`);
    /// with zero it resets the connection.
    ///
    /// # Errors
    /// The stack is no more.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.0.stream.set_linger(linger)?;
        *self.0.linger.lock() = linger;
        Ok(())
    }

    /// How long dropping it waits.
    ///
    /// # Errors
    /// None.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(*self.0.linger.lock())
    }

    /// The TTL of its packets (`IP_TTL`).
    ///
    /// # Errors
    /// `InvalidInput`: it is not 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.stream.set_ttl(ttl)
    }

    /// The TTL of its packets (`IP_TTL`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.stream.ttl()
    }

    /// The error that ended the connection, once (`SO_ERROR`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.stream.take_error()
    }

    /// Its own address.
    ///
    /// # Errors
    /// The stack is no more.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.stream.local_addr()
    }

    /// The peer's address.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.stream.peer_addr()
    }

    /// Where the connection stands (`TCP_INFO`).
    ///
    /// # Errors
    /// The stack is no more.
    pub fn tcp_info(&self) -> io::Result<TcpInfo> {
        self.0.stream.tcp_info()
    }

    /// Changes options of the connection (tcp(7)).
    ///
    /// # Errors
    /// A value out of range.
    pub fn set_tcp_options(&self, change: impl FnOnce(&mut TcpOptions)) -> io::Result<()> {
        self.0.stream.set_tcp_options(change)
    }
}

impl From<aio::TcpStream> for TcpStream {
    fn from(stream: aio::TcpStream) -> Self {
        let (patience, linger) = (Patience::default(), Mutex::new(None));
        TcpStream(Arc::new(Inner { stream, patience, linger }))
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait(Interest::Read, |stack, now, id| stack.receive(now, id, buffer))
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.wait(Interest::Read, |stack, now, id| receive_vectored(stack, now, id, buffers))
    }
}

impl Write for &TcpStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.wait(Interest::Write, |stack, now, id| stack.send(now, id, data))
    }

    fn write_vectored(&mut self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        self.wait(Interest::Write, |stack, now, id| send_vectored(stack, now, id, data))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl Write for TcpStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&*self).write(data)
    }

    fn write_vectored(&mut self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Receives into buffers one after the other, as far as there is something.
fn receive_vectored(
    stack: &mut Stack,
    now: Now,
    id: SocketId,
    buffers: &mut [IoSliceMut<'_>],
) -> Result<usize, SocketError> {
    let mut received = 0;
    for buffer in buffers.iter_mut().filter(|buffer| !buffer.is_empty()) {
        match stack.receive(now, id, buffer) {
            Ok(len) => {
                received += len;
                if len < buffer.len() {
                    break;
                }
            }
            Err(_) if received > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(received)
}
