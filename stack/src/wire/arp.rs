//! ARP for IPv4 over Ethernet (RFC 826).
//!
//! ```text
//!  0      2       4    5    6    8             14           18            24           28
//!  | hw=1 | 0x800 | 6  | 4  | op | sender mac  | sender ip  | target mac  | target ip  |
//! ```

use core::net::Ipv4Addr;

use super::error::{Layer, WireError, WireErrorKind};
use super::ethernet::{EtherType, MacAddr};

/// Bytes in a message for IPv4 over Ethernet.
pub const LEN: usize = 28;

const HARDWARE_ETHERNET: u16 = 1;
/// As good as Ethernet's when received: RFC 1042 has IEEE 802 networks say it (Linux
/// `arp_process`).
const HARDWARE_IEEE_802: u16 = 6;

/// What a message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArpOperation {
    /// Asks for the address of the target (1).
    Request,
    /// Answers (2).
    Reply,
    /// Anything else, such as the reverse ARP of RFC 903.
    Other(u16),
}

impl From<u16> for ArpOperation {
    #[inline]
    fn from(value: u16) -> Self {
        match value {
            1 => ArpOperation::Request,
            2 => ArpOperation::Reply,
            other => ArpOperation::Other(other),
        }
    }
}

impl From<ArpOperation> for u16 {
    #[inline]
    fn from(operation: ArpOperation) -> u16 {
        match operation {
            ArpOperation::Request => 1,
            ArpOperation::Reply => 2,
            ArpOperation::Other(other) => other,
        }
    }
}

/// An ARP message for IPv4 over Ethernet, received or to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arp {
    /// What it does.
    pub operation: ArpOperation,
    /// The sender's link-layer address.
    pub sender_mac: MacAddr,
    /// The sender's protocol address; 0.0.0.0 in a probe.
    pub sender_ip: Ipv4Addr,
    /// The target's link-layer address; meaningless in a request.
    pub target_mac: MacAddr,
    /// The target's protocol address.
    pub target_ip: Ipv4Addr,
}

impl Arp {
    /// Reads a message; bytes after its [`LEN`] are padding.
    ///
    /// # Errors
    /// `Truncated` below 28 bytes; `BadValue` when the hardware is not Ethernet (or IEEE 802)
    /// with addresses of 6 bytes or the protocol not IPv4 with addresses of 4.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let Some(message) = bytes.first_chunk::<LEN>() else {
            return Err(WireError::truncated(Layer::Arp, LEN, bytes.len()));
        };
        let half = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
        let must_be = |offset: usize, wanted: u16, had: u16| match had == wanted {
            true => Ok(()),
            false => Err(WireError::field(
                Layer::Arp,
                WireErrorKind::BadValue,
                offset,
                wanted.into(),
                had.into(),
            )),
        };
        if half(0) != HARDWARE_IEEE_802 {
            must_be(0, HARDWARE_ETHERNET, half(0))?;
        }
        must_be(2, EtherType::IPV4.0, half(2))?;
        must_be(4, 6, message[4].into())?;
        must_be(5, 4, message[5].into())?;

        let [_, _, _, _, _, _, _, _, rest @ ..] = message;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t] = *rest;
        Ok(Arp {
            operation: half(6).into(),
            sender_mac: MacAddr([a, b, c, d, e, f]),
            sender_ip: Ipv4Addr::new(g, h, i, j),
            target_mac: MacAddr([k, l, m, n, o, p]),
            target_ip: Ipv4Addr::new(q, r, s, t),
        })
    }

    /// Writes the first [`LEN`] bytes of `buffer`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn emit(&self, buffer: &mut [u8]) {
        let message = &mut buffer[..LEN];
        message[0..2].copy_from_slice(&HARDWARE_ETHERNET.to_be_bytes());
        message[2..4].copy_from_slice(&EtherType::IPV4.0.to_be_bytes());
        message[4] = 6;
        message[5] = 4;
        message[6..8].copy_from_slice(&u16::from(self.operation).to_be_bytes());
        message[8..14].copy_from_slice(&self.sender_mac.0);
        message[14..18].copy_from_slice(&self.sender_ip.octets());
        message[18..24].copy_from_slice(&self.target_mac.0);
        message[24..28].copy_from_slice(&self.target_ip.octets());
    }

    /// Whether it asks if an address is free: a request from 0.0.0.0 (RFC 5227 §1.1).
    pub fn is_probe(&self) -> bool {
        self.operation == ArpOperation::Request && self.sender_ip.is_unspecified()
    }

    /// Whether it claims an address: sender and target are the same (RFC 5227 §1.1, where it is a
    /// request; RFC 5227 §3 and RFC 2131 hosts also announce by reply).
    pub fn is_announcement(&self) -> bool {
        self.sender_ip == self.target_ip && !self.sender_ip.is_unspecified()
    }
}

#[cfg(test)]
mod tests;
