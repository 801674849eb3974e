//! Sockets to be awaited, shaped like tokio's. They work in any executor, and without a hand-over
//! between threads in tasks of their [`Net`](crate::net::Net).
//!
//! ```
//! use tapping_drivers::aio::{TcpListener, TcpStream};
//! use tapping_drivers::net::{Finished, Net};
//!
//! let (net, mut driver) = Net::builder().build()?;
//! let listener = TcpListener::bind(&net, "127.0.0.1:80".parse().unwrap())?;
//! let server = net.spawn(async move {
//!     let (stream, _peer) = listener.accept().await?;
//!     stream.write_all(b"hello").await
//! });
//! let greeting = async {
//!     let stream = TcpStream::connect(&net, "127.0.0.1:80".parse().unwrap()).await?;
//!     let mut greeting = [0; 5];
//!     stream.read_exact(&mut greeting).await?;
//!     std::io::Result::Ok(greeting)
//! };
//! let Finished::Done(greeting) = driver.block_on(greeting)? else { panic!("no signal") };
//! assert_eq!(&greeting?, b"hello");
//! # drop(server);
//! # Ok::<(), std::io::Error>(())
//! ```
//! # Cancellation
//!
//! Every future may be dropped at any time: nothing that was received is lost, nobody waits any
//! more, and what was sent is what earlier calls told. Only those that do many operations in one
//! ([`write_all`](TcpStream::write_all), [`read_exact`](TcpStream::read_exact)) have then done some
//! of them.
//!
//! Dropping a socket closes it, as close(2) does: what was written to a connection is still sent.

mod listener;
mod split;
mod stream;
mod tcp_socket;
mod udp;

pub use listener::TcpListener;
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
pub use stream::TcpStream;
pub use tcp_socket::TcpSocket;
pub use udp::UdpSocket;

pub(crate) use listener::Accepting;
pub(crate) use stream::{poll_connected, send_vectored, set_ttl, ttl};
pub(crate) use udp::{Receiving, peek, receive, send_datagram};

#[cfg(feature = "futures")]
mod futures;
#[cfg(feature = "tokio")]
mod tokio;
