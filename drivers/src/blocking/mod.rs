//! Sockets for threads, shaped like those of `std::net`: what waits puts the calling thread to
//! sleep.
//!
//! ```
//! use std::io::{Read, Write};
//! use tapping_drivers::blocking::{TcpListener, TcpStream};
//! use tapping_drivers::net::Net;
//!
//! let net = Net::builder().start()?;
//! let listener = TcpListener::bind(&net, "127.0.0.1:80")?;
//! let server = std::thread::spawn(move || {
//!     let (mut stream, _peer) = listener.accept()?;
//!     stream.write_all(b"hello")
//! });
//! let mut stream = TcpStream::connect(&net, "127.0.0.1:80")?;
//! let mut greeting = String::new();
//! stream.read_to_string(&mut greeting)?;
//! assert_eq!(greeting, "hello");
//! server.join().unwrap()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//! A thread that drives a [`Net`], which tasks run on, cannot wait for itself: there,
//! what would have to wait fails with `EDEADLK`. Names are looked up as `std::net` does, by the
//! system.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;

use crate::net::{Net, TimedOut, wait};

mod listener;
mod stream;
mod udp;

pub use listener::{Incoming, TcpListener};
pub use stream::TcpStream;
pub use udp::UdpSocket;

/// EDEADLK (errno(3)): the thread would wait for itself.
const DEADLOCK: i32 = 35;
/// EAGAIN: what a time limit ends with, as for the sockets of the kernel (socket(7), `SO_RCVTIMEO`).
const AGAIN: i32 = 11;

/// How long the handles of a socket wait.
#[derive(Debug, Default)]
struct Patience {
    nonblocking: AtomicBool,
    read: Mutex<Option<Duration>>,
    write: Mutex<Option<Duration>>,
}

impl Patience {
    fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
    }
}

/// Sets a time limit; none at all is not zero (`std::net`).
fn set_limit(limit: &Mutex<Option<Duration>>, to: Option<Duration>) -> io::Result<()> {
    if to.is_some_and(|to| to.is_zero()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot wait for no time at all"));
    }
    *limit.lock() = to;
    Ok(())
}

/// Waits with the calling thread, no longer than a limit.
fn block<R>(
    net: &Net,
    limit: Option<Duration>,
    poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<R>>,
) -> io::Result<R> {
    if net.here().is_some() {
        let mut poll = poll;
        let mut cx = Context::from_waker(std::task::Waker::noop());
        return match poll(&mut cx) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::Error::from_raw_os_error(DEADLOCK)),
        };
    }
    match wait(limit, poll) {
        Ok(result) => result,
        Err(TimedOut) => Err(io::Error::from_raw_os_error(AGAIN)),
    }
}

/// Tries addresses until one will do, as `std::net` does.
fn each_addr<R>(
    addr: impl ToSocketAddrs,
    mut try_one: impl FnMut(SocketAddr) -> io::Result<R>,
) -> io::Result<R> {
    let mut last = None;
    for addr in addr.to_socket_addrs()? {
        match try_one(addr) {
            Ok(result) => return Ok(result),
            Err(error) => last = Some(error),
        }
    }
    let none = || io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    Err(last.unwrap_or_else(none))
}
