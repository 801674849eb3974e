//! What a run tells its user, apart from how it is written: [`text`](super::text) writes it as
//! iputils does, [`json`](super::json) as one object a line.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::engine::Engine;

/// An address, with its name where one is known and wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The address.
    pub addr: IpAddr,
    /// Its name.
    pub name: Option<String>,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.addr),
            None => self.addr.fmt(f),
        }
    }
}

/// Whom a run pings and how, as far as it is told.
#[derive(Debug, Clone)]
pub struct Host {
    /// As the user wrote it.
    pub name: String,
    /// What it resolved to.
    pub addr: IpAddr,
    /// The source address and link name, when the user chose either (`-I`, `-B`).
    pub from: Option<(IpAddr, String)>,
    /// Bytes of data in each request.
    pub size: usize,
    /// Bytes of IP options in each request.
    pub options_len: usize,
    /// A broadcast or multicast address: many hosts may answer, from their own addresses.
    pub group: bool,
}

/// An echo reply.
#[derive(Debug)]
pub struct Reply<'a> {
    /// Who sent it.
    pub from: Named,
    /// Its sequence number.
    pub sequence: u16,
    /// Its time to live on arrival.
    pub ttl: u8,
    /// The round trip; `None` for a sequence number never sent.
    pub rtt: Option<Duration>,
    /// An answer to the same request came before.
    pub duplicate: bool,
    /// The host answered from another address than the one pinged.
    pub different_address: bool,
    /// The IP options of the reply.
    pub options: &'a [u8],
    /// The data behind the ICMP header.
    pub data: &'a [u8],
    /// The first changed byte: index, what was sent, what came back.
    pub difference: Option<(usize, u8, u8)>,
}

/// An ICMP error or redirect about a request.
#[derive(Debug)]
pub struct IcmpError {
    /// Who sent it.
    pub from: Named,
    /// The sequence number of the request it is about.
    pub sequence: u16,
    /// ICMP type.
    pub icmp_type: u8,
    /// ICMP code.
    pub code: u8,
    /// Next-hop MTU, pointer or gateway, as the type has it.
    pub info: u32,
}

/// Something that happened in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A request was sent.
    Sent,
    /// A reply came.
    Reply(Reply<'a>),
    /// An ICMP error came.
    Error(IcmpError),
    /// A better first hop was told (ICMP redirect); not an error.
    Redirect(IcmpError),
    /// A request was too long for this MTU and may not be fragmented.
    TooLong {
        /// Its sequence number.
        sequence: u16,
        /// The MTU.
        mtu: u32,
    },
    /// Sending failed here, before any wire.
    Failed {
        /// Its sequence number, where that is known.
        sequence: Option<u16>,
        /// What `strerror` says.
        reason: String,
    },
    /// There is no answer yet to the last request (`-O`).
    Outstanding {
        /// Its sequence number.
        sequence: u16,
    },
    /// A request stayed unanswered.
    Timeout {
        /// Its sequence number.
        sequence: u16,
    },
}

/// Writes down what happens.
pub trait Report {
    /// Called first when the data is a pattern (`-p`).
    fn pattern(&mut self, pattern: &[u8]) -> io::Result<()>;
    /// Called once a host, before the first request.
    fn start(&mut self, host: &Host) -> io::Result<()>;
    /// Called for each event; `unix` is the time since 1970.
    fn event(&mut self, host: &Host, unix: Duration, event: &Event<'_>) -> io::Result<()>;
    /// Called on SIGQUIT.
    fn interim(&mut self, host: &Host, engine: &Engine) -> io::Result<()>;
    /// Called once a host, at the end.
    fn summary(&mut self, host: &Host, engine: &Engine) -> io::Result<()>;
}
