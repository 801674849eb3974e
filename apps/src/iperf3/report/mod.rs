//! What a test shows: lines as iperf3 prints them, or one JSON document.

pub mod json;
pub mod text;

use std::io;
use std::time::Duration;

use super::meter::{Interval, Role, StreamInfo, Summary};
use super::params::Params;
use super::protocol::Cookie;
use super::results::ServerOutput;

/// A test that begins.
#[derive(Debug, Clone)]
pub struct Opening<'a> {
    /// This end.
    pub role: Role,
    /// What it is to be.
    pub params: &'a Params,
    /// The other end: as the user named it, or its address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The test's name.
    pub cookie: Cookie,
    /// The largest segment on the control connection.
    pub mss: u32,
    /// The time, since 1970.
    pub unix: Duration,
}

/// Shows a test.
pub trait Report: Send {
    /// The control connection is there.
    fn opened(&mut self, opening: &Opening<'_>) -> io::Result<()>;
    /// The streams are there, with send and receive buffers of these sizes.
    fn connected(&mut self, streams: &[StreamInfo], buffers: (usize, usize)) -> io::Result<()>;
    /// A part of the test is over.
    fn interval(&mut self, interval: &Interval) -> io::Result<()>;
    /// All of it is over.
    fn summary(&mut self, summary: &Summary) -> io::Result<()>;
    /// What was shown so far, for the client of a server.
    fn output(&mut self) -> Option<ServerOutput>;
    /// There is nothing more to show.
    fn done(&mut self) -> io::Result<()>;
    /// The test went wrong. Whether that has been told by this.
    fn failed(&mut self, why: &str) -> io::Result<bool>;
}
