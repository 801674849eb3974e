//! Counters, named as in `/proc/net/snmp` and `/proc/net/netstat` (RFC 4293, Linux `IpExt`,
//! `Icmp`, `Arp`), and one counter for each [`DropReason`].

mod drop_reason;
mod mib;

pub use drop_reason::DropReason;
pub use mib::{ArpMib, IcmpMib, IgmpMib, IpMib, LinkCounters, TcpExtMib, TcpMib, UdpMib};

use alloc::string::String;
use alloc::vec::Vec;

use crate::packet::LinkId;

/// The counters of a stack.
#[derive(Debug, Clone)]
pub(crate) struct Stats {
    pub(crate) ip: IpMib,
    pub(crate) icmp: IcmpMib,
    pub(crate) igmp: IgmpMib,
    pub(crate) arp: ArpMib,
    pub(crate) udp: UdpMib,
    pub(crate) tcp: TcpMib,
    pub(crate) tcp_ext: TcpExtMib,
    drops: [u64; DropReason::COUNT],
}

impl Default for Stats {
    fn default() -> Self {
        Stats {
            ip: IpMib::default(),
            icmp: IcmpMib::default(),
            igmp: IgmpMib::default(),
            arp: ArpMib::default(),
            udp: UdpMib::default(),
            tcp: TcpMib::default(),
            tcp_ext: TcpExtMib::default(),
            drops: [0; DropReason::COUNT],
        }
    }
}

impl Stats {
    /// Counts one discarded packet.
    pub(crate) fn dropped(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    /// How many packets were discarded for `reason`.
    pub(crate) fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }
}

/// A copy of every counter at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// `Ip` and `IpExt`.
    pub ip: IpMib,
    /// `Icmp`.
    pub icmp: IcmpMib,
    /// IGMP.
    pub igmp: IgmpMib,
    /// Address resolution.
    pub arp: ArpMib,
    /// `Udp`.
    pub udp: UdpMib,
    /// `Tcp`.
    pub tcp: TcpMib,
    /// `TcpExt`.
    pub tcp_ext: TcpExtMib,
    /// Each link: its id, name and counters.
    pub links: Vec<(LinkId, String, LinkCounters)>,
    /// Every drop reason that occurred, with how often.
    pub drops: Vec<(DropReason, u64)>,
}

impl Snapshot {
    /// How many packets were discarded for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.iter().find(|(other, _)| *other == reason).map_or(0, |(_, count)| *count)
    }
}
