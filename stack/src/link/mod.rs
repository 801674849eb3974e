//! Links: the frames below IPv4 and the queue in front of a device.

pub(crate) mod coalesce;
pub(crate) mod input;
mod map;
pub(crate) mod output;

pub(crate) use map::LinkMap;

use alloc::collections::VecDeque;
use alloc::string::String;

use crate::interface::LinkKind;
use crate::packet::Packet;
use crate::stats::LinkCounters;
use crate::wire::ethernet::MacAddr;

/// What a device does itself, so that the stack need not (Linux `NETIF_F_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Finishes transport checksums of packets it is given.
    pub tx_checksum: bool,
    /// Takes large segments up to this many bytes of IP packet; 0 takes none. Counts only with
    /// [`tx_checksum`](Self::tx_checksum), as each piece needs a checksum of its own. What it does
    /// not take is cut before.
    pub max_gso_size: u32,
}

/// A new link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkConfig {
    /// Its name, unique in the stack, at most 15 bytes.
    pub name: String,
    /// What its frames look like; there is one loopback already.
    pub kind: LinkKind,
    /// The largest IP packet it carries, 68 to 65535 bytes (RFC 791: 68 is the least).
    pub mtu: usize,
    /// What its device does itself.
    pub capabilities: Capabilities,
}

impl LinkConfig {
    /// An Ethernet link with MTU 1500 whose device does nothing itself.
    pub fn new(name: &str, mac: MacAddr) -> Self {
        LinkConfig::of_kind(name, LinkKind::Ethernet(mac))
    }

    /// The same for packets without Ethernet, as a TUN device has them.
    pub fn ip(name: &str) -> Self {
        LinkConfig::of_kind(name, LinkKind::Ip)
    }

    fn of_kind(name: &str, kind: LinkKind) -> Self {
        LinkConfig { name: name.into(), kind, mtu: 1500, capabilities: Capabilities::default() }
    }
}

/// The link-layer side of a link; IPv4's side is [`Interface`](crate::interface::Interface).
#[derive(Debug, Default)]
pub(crate) struct Link {
    pub(crate) capabilities: Capabilities,
    /// Takes frames for other hosts too.
    pub(crate) promiscuous: bool,
    pub(crate) counters: LinkCounters,
    /// Frames for the device, oldest first; at most `tx_queue_len`.
    pub(crate) queue: VecDeque<Packet>,
}
