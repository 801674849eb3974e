//! One conversation: what is read goes out, what comes in is written.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::io;
use std::net::Shutdown;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future::or;
use tapping_drivers::aio::{TcpStream, UdpSocket};
use tapping_drivers::net::Net;
use tapping_stack::time::Instant;

use crate::pipes::{Input, Output};

/// How long the peer may take to acknowledge the end.
pub const LAST_WORDS: Duration = Duration::from_secs(5);
/// Bytes that are received at once.
const PIECE: usize = 64 << 10;

/// How a conversation ends.
pub struct Session<'a> {
    pub net: &'a Net,
    /// After so long without a word from either side (`-w`).
    pub idle: Option<Duration>,
    /// So long after the end of the input (`-q`).
    pub quit: Option<Duration>,
    /// When the peer has no more to say, whatever there still is to read (`-l`).
    pub ends_with_peer: bool,
}

/// What went wrong.
#[derive(Debug)]
pub enum Error {
    /// The connection.
    Net(io::Error),
    /// Reading.
    Input(io::Error),
    /// Writing.
    Output(io::Error),
}

/// The last time that something was said.
struct Activity<'a> {
    net: &'a Net,
    at: Cell<Instant>,
}

impl<'a> Activity<'a> {
    fn new(net: &'a Net) -> Self {
        Activity { net, at: Cell::new(net.clock().now()) }
    }

    fn note(&self) {
        self.at.set(self.net.clock().now());
    }

    /// Completes when nothing was said for so long.
    async fn end(&self, idle: Option<Duration>) {
        let Some(idle) = idle else { return pending().await };
        loop {
            let silent = self.net.clock().now().saturating_since(self.at.get());
            match idle.checked_sub(silent).filter(|left| !left.is_zero()) {
                Some(left) => self.net.sleep(left).await,
                None => return,
            }
        }
    }
}

impl Session<'_> {
    /// Runs both directions until both are over, or something ends them.
    async fn run(
        &self,
        activity: &Activity<'_>,
        outward: impl Future<Output = Result<(), Error>>,
        inward: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        let (mut outward, mut inward) = (pin!(outward), pin!(inward));
        let (mut said_all, mut heard_all) = (false, false);
        let mut quit = None;
        let both = poll_fn(|cx| {
            if !said_all && let Poll::Ready(result) = outward.as_mut().poll(cx) {
                result?;
                said_all = true;
                quit = self.quit.map(|quit| self.net.sleep(quit));
            }
            if !heard_all && let Poll::Ready(result) = inward.as_mut().poll(cx) {
                result?;
                heard_all = true;
            }
            let quits = quit.as_mut().is_some_and(|quit| pin!(quit).poll(cx).is_ready());
            if quits || (heard_all && (said_all || self.ends_with_peer)) {
                return Poll::Ready(Ok(()));
            }
            Poll::Pending
        });
        let idle = async {
            activity.end(self.idle).await;
            Ok(())
        };
        or(both, idle).await
    }
}

/// A conversation by TCP. The end of what is read is the end of the stream, too.
pub async fn tcp(
    session: &Session<'_>,
    stream: &TcpStream,
    input: &Input,
    output: &Output,
) -> Result<(), Error> {
    let activity = Activity::new(session.net);
    let outward = async {
        while let Some(piece) = input.next().await.map_err(Error::Input)? {
            stream.write_all(&piece).await.map_err(Error::Net)?;
            activity.note();
        }
        match stream.shutdown(Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(Error::Net(error)),
            _ => Ok(()),
        }
    };
    let inward = async {
        loop {
            let mut piece = Vec::new();
            let take = |bytes: &[u8]| {
                piece.extend_from_slice(&bytes[..bytes.len().min(PIECE)]);
                piece.len()
            };
            if stream.read_with(take).await.map_err(Error::Net)? == 0 {
                return Ok(());
            }
            activity.note();
            output.write(piece).await.map_err(Error::Output)?;
        }
    };
    session.run(&activity, outward, inward).await
}

/// A conversation by UDP, with whom the socket is connected to; `first` has come already. It has no
/// end of its own.
pub async fn udp(
    session: &Session<'_>,
    socket: &UdpSocket,
    first: Option<Vec<u8>>,
    input: &Input,
    output: &Output,
) -> Result<(), Error> {
    let activity = Activity::new(session.net);
    let outward = async {
        while let Some(piece) = input.next().await.map_err(Error::Input)? {
            socket.send(&piece).await.map_err(Error::Net)?;
            activity.note();
        }
        Ok(())
    };
    let inward = async {
        if let Some(first) = first {
            output.write(first).await.map_err(Error::Output)?;
        }
        let mut buffer = vec![0; PIECE];
        loop {
            let len = socket.recv(&mut buffer).await.map_err(Error::Net)?;
            activity.note();
            output.write(buffer[..len].to_vec()).await.map_err(Error::Output)?;
        }
    };
    session.run(&activity, outward, inward).await
}
