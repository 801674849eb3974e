//! A connection as hyper takes it, which is over when nothing happens for too long.
//!
//! A server's time runs between two requests, from the first byte of a request to its answer, and
//! while a client takes nothing of an answer: who sends a request byte by byte has no more time than
//! who sends nothing. A client's runs while nothing comes and nothing is taken.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use tapping_drivers::aio::TcpStream;
use tapping_drivers::net::Sleep;
use tapping_stack::time::Instant;

/// How long a client may be silent between two requests (nginx's `keepalive_timeout`).
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a request may be on its way, and how long a client may take nothing of an answer
/// (nginx's `client_header_timeout` and `send_timeout`).
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection.
pub struct Io {
    stream: TcpStream,
    role: Role,
    /// When it is over unless something happens.
    deadline: Instant,
    /// A request has begun that nothing was answered to.
    asked: bool,
    /// Wakes the task, then or before.
    sleep: Option<Sleep>,
}

enum Role {
    Server,
    Client(Duration),
}

impl Io {
    /// A server's, over a connection that was just made.
    pub fn server(stream: TcpStream) -> Self {
        Io::new(stream, Role::Server, PATIENCE)
    }

    /// That of a client who waits so long for anything to happen.
    pub fn client(stream: TcpStream, patience: Duration) -> Self {
        Io::new(stream, Role::Client(patience), patience)
    }

    fn new(stream: TcpStream, role: Role, patience: Duration) -> Self {
        let deadline = stream.net().clock().now() + patience;
        Io { stream, role, deadline, asked: false, sleep: None }
    }

    fn now(&self) -> Instant {
        self.stream.net().clock().now()
    }

    /// Something has to be waited for: is there time left?
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        loop {
            let deadline = self.deadline;
            if let Some(sleep) = &mut self.sleep {
                if Pin::new(sleep).poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.sleep = None;
            }
            let now = self.now();
            if deadline <= now {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.sleep = Some(self.stream.net().sleep(deadline.saturating_since(now)));
        }
    }

    /// Bytes have come.
    fn heard(&mut self) {
        match self.role {
            Role::Client(patience) => self.deadline = self.now() + patience,
            Role::Server if !self.asked => {
                self.asked = true;
                self.deadline = self.now() + PATIENCE;
            }
            Role::Server => {}
        }
    }

    /// Bytes were taken.
    fn taken(&mut self) {
        self.asked = false;
        self.deadline = self.now()
            + match self.role {
                Role::Client(patience) => patience,
                Role::Server => KEEP_ALIVE,
            };
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let take = |bytes: &[u8]| {
            let len = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..len]);
            len
        };
        match this.stream.poll_read_with(cx, take) {
            Poll::Pending => this.wait(cx),
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(())),
            Poll::Ready(Ok(_)) => {
                this.heard();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.stream.poll_write(cx, data) {
            Poll::Pending => self.wait(cx),
            Poll::Ready(result) => {
                self.taken();
                Poll::Ready(result)
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.stream.poll_write_vectored(cx, data) {
            Poll::Pending => self.wait(cx),
            Poll::Ready(result) => {
                self.taken();
                Poll::Ready(result)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.stream.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        })
    }
}
