//! The control connection: bytes become states and messages.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use tapping_drivers::aio::TcpStream;

use super::fault::Fault;
use super::protocol::{COOKIE_LEN, Cookie, ServerError, State};

/// Bytes read at once: a message takes memory as it comes, not as its length claims.
const CHUNK: usize = 16 * 1024;

/// A connection that carries bytes both ways.
pub trait Wire {
    /// Reads some bytes; none at the end.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;
    /// Writes some bytes.
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
}

impl Wire for TcpStream {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        TcpStream::poll_read(self, cx, buf)
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        TcpStream::poll_write(self, cx, bytes)
    }
}

/// A control connection over any connection.
#[derive(Debug)]
pub struct Control<W> {
    wire: W,
}

impl<W: Wire> Control<W> {
    /// Over `wire`.
    pub fn new(wire: W) -> Self {
        Control { wire }
    }

    /// What is below.
    pub fn wire(&self) -> &W {
        &self.wire
    }

    /// What is below, for good.
    pub fn into_wire(self) -> W {
        self.wire
    }

    /// The next state the other end names. Whoever gives up waiting loses nothing.
    pub fn poll_state(&self, cx: &mut Context<'_>) -> Poll<Result<State, Fault>> {
        let mut byte = [0];
        let read = match ready!(self.wire.poll_read(cx, &mut byte)) {
            Ok(0) => Err(Fault::Closed),
            Ok(_) => State::from_byte(byte[0]).ok_or(Fault::UnknownState(byte[0])),
            Err(error) => Err(Fault::Control(error)),
        };
        Poll::Ready(read)
    }

    /// The next state the other end names.
    pub async fn state(&self) -> Result<State, Fault> {
        poll_fn(|cx| self.poll_state(cx)).await
    }

    /// A cookie.
    pub async fn cookie(&self) -> Result<Cookie, Fault> {
        let mut cookie = [0; COOKIE_LEN];
        self.read_exact(&mut cookie).await?;
        Ok(Cookie(cookie))
    }

    /// What a server says after [`State::ServerError`].
    pub async fn server_error(&self) -> Result<ServerError, Fault> {
        let mut bytes = [0; 8];
        self.read_exact(&mut bytes).await?;
        Ok(ServerError::from_bytes(bytes))
    }

    /// A message of at most `max` bytes.
    pub async fn message(&self, max: usize) -> Result<Vec<u8>, Fault> {
        let mut length = [0; 4];
        self.read_exact(&mut length).await?;
        let length = u32::from_be_bytes(length) as usize;
        if length > max {
            return Err(Fault::TooLong { length, max });
        }
        let mut message = Vec::new();
        while message.len() < length {
            let start = message.len();
            message.resize(length.min(start + CHUNK), 0);
            self.read_exact(&mut message[start..]).await?;
        }
        Ok(message)
    }

    /// Names a state.
    pub async fn send_state(&self, state: State) -> Result<(), Fault> {
        self.write(&[state.byte()]).await
    }

    /// Sends a message.
    pub async fn send_message(&self, text: &str) -> Result<(), Fault> {
        let mut message = (text.len() as u32).to_be_bytes().to_vec();
        message.extend_from_slice(text.as_bytes());
        self.write(&message).await
    }

    /// Sends bytes as they are.
    pub async fn write(&self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| self.wire.poll_write(cx, bytes)).await;
            match written.map_err(Fault::Control)? {
                0 => return Err(Fault::Closed),
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }

    async fn read_exact(&self, mut buf: &mut [u8]) -> Result<(), Fault> {
        while !buf.is_empty() {
            let read = poll_fn(|cx| self.wire.poll_read(cx, buf)).await;
            match read.map_err(Fault::Control)? {
                0 => return Err(Fault::Closed),
                read => buf = &mut buf[read..],
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
