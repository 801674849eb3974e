//! ICMP: what is done with messages that arrive, and the errors that this host sends.
//!
//! Nothing is sent from here: `input` and `error` return an `Outgoing` message, and IPv4
//! sends it.

mod error;
mod input;
mod options;
pub mod ratelimit;
#[cfg(test)]
mod tests;

pub(crate) use error::{ErrorLimit, error};
pub(crate) use input::{Outcome, input};
pub(crate) use options::OptionBytes;

use core::net::Ipv4Addr;

use crate::packet::Packet;
use crate::wire::icmpv4::types;

/// The highest type that means anything here (Linux `NR_ICMP_TYPES`).
const MAX_TYPE: u8 = types::ADDRESS_MASK_REPLY;

/// An ICMP message on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Bytes begin with the ICMP header, checksum filled in.
    pub(crate) packet: Packet,
    pub(crate) dst: Ipv4Addr,
    /// The source address, unless the route is to choose it.
    pub(crate) src: Option<Ipv4Addr>,
    pub(crate) tos: u8,
    pub(crate) options: OptionBytes,
}
