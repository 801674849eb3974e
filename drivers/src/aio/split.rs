//! The halves of a connection.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use super::TcpStream;

/// What receives of a connection.
#[derive(Debug)]
pub struct OwnedReadHalf(Arc<TcpStream>);

/// What sends on a connection. Dropped, it shuts down sending.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Arc<TcpStream>,
    shutdown_on_drop: bool,
}

pub(super) fn split(stream: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = Arc::new(stream);
    (OwnedReadHalf(Arc::clone(&stream)), OwnedWriteHalf { stream, shutdown_on_drop: true })
}

impl OwnedReadHalf {
    /// Puts the halves of one connection together again.
    ///
    /// # Errors
    /// They are of two; both are given back.
    pub fn reunite(self, other: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if !Arc::ptr_eq(&self.0, &other.stream) {
            return Err(ReuniteError(self, other));
        }
        other.forget();
        match Arc::try_unwrap(self.0) {
            Ok(stream) => Ok(stream),
            Err(_) => unreachable!("there are two halves, and one is gone"),
        }
    }

    /// As [`TcpStream::read`].
    ///
    /// # Errors
    /// Those of [`TcpStream::read`].
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).await
    }

    /// As [`TcpStream::read_exact`].
    ///
    /// # Errors
    /// Those of [`TcpStream::read_exact`].
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact(buffer).await
    }

    /// As [`TcpStream::read_with`].
    ///
    /// # Errors
    /// Those of [`TcpStream::read_with`].
    pub async fn read_with(&mut self, take: impl FnMut(&[u8]) -> usize) -> io::Result<usize> {
        self.0.read_with(take).await
    }

    /// As [`TcpStream::peek`].
    ///
    /// # Errors
    /// Those of [`TcpStream::peek`].
    pub async fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.peek(buffer).await
    }

    /// The whole connection.
    pub fn stream(&self) -> &TcpStream {
        &self.0
    }

    /// The peer's address.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

impl OwnedWriteHalf {
    /// Puts the halves of one connection together again.
    ///
    /// # Errors
    /// They are of two; both are given back.
    pub fn reunite(self, other: OwnedReadHalf) -> Result<TcpStream, ReuniteError> {
        other.reunite(self)
    }

    /// As [`TcpStream::write`].
    ///
    /// # Errors
    /// Those of [`TcpStream::write`].
    pub async fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.stream.write(data).await
    }

    /// As [`TcpStream::write_all`].
    ///
    /// # Errors
    /// Those of [`TcpStream::write_all`].
    pub async fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.stream.write_all(data).await
    }

    /// As [`TcpStream::write_with`].
    ///
    /// # Errors
    /// Those of [`TcpStream::write_with`].
    pub async fn write_with(
        &mut self,
        max: usize,
        fill: impl FnMut(&mut [u8]) -> usize,
    ) -> io::Result<usize> {
        self.stream.write_with(max, fill).await
    }

    /// The whole connection.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The peer's address.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// Drops it without shutting down sending.
    pub fn forget(mut self) {
        self.shutdown_on_drop = false;
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.shutdown_on_drop {
            // A connection that has ended needs no end.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}

/// Two halves are not of one connection.
#[derive(thiserror::Error)]
#[error("the halves are of two connections")]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Debug for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReuniteError").field(&self.0).field(&self.1).finish()
    }
}
