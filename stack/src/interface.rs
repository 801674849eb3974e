//! What IPv4 knows of a link: name, MTU, state and addresses (Linux `struct in_device`).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;

use crate::igmp::filter::Reception;
use crate::link::LinkMap;
use crate::packet::LinkId;
use crate::route::Route;
use crate::wire::cidr::Ipv4Cidr;
use crate::wire::ethernet::MacAddr;
use crate::wire::igmp::{ALL_SYSTEMS, IgmpVersion};
use crate::wire::ipv4::Protocol;

/// What frames look like on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// Every packet comes straight back; no frames at all.
    Loopback,
    /// Ethernet II with this address.
    Ethernet(MacAddr),
    /// IP packets without any frame around them, to the one host at the other end, as a TUN device
    /// has them (Linux `ARPHRD_NONE`). There is nobody to resolve.
    Ip,
}

/// How source addresses are checked against the way back (`rp_filter`, RFC 3704).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReversePathFilter {
    /// Not at all.
    #[default]
    Off,
    /// The best way back must lead over the same link.
    Strict,
    /// Some way back must exist.
    Loose,
}

/// Settings of one link, named as below `net.ipv4.conf.<link>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceConfig {
    /// `proxy_arp`: answer ARP requests for addresses routed over another link.
    pub proxy_arp: bool,
    /// `rp_filter`.
    pub rp_filter: ReversePathFilter,
    /// `accept_local`: take packets from a source address of our own.
    pub accept_local: bool,
    /// `route_localnet`: let 127.0.0.0/8 onto this link.
    pub route_localnet: bool,
    /// `accept_redirects`: obey ICMP redirects; never obeyed while forwarding.
    pub accept_redirects: bool,
    /// `send_redirects`: send ICMP redirects while forwarding; off on links without Ethernet.
    pub send_redirects: bool,
    /// `accept_source_route`: accept (but do not follow) packets with a source route.
    pub accept_source_route: bool,
    /// Probe for and defend addresses on this link (RFC 5227).
    pub conflict_detection: bool,
    /// `force_igmp_version`: speak this version at most; `None` is 0, and 3 means the same.
    pub force_igmp_version: Option<IgmpVersion>,
    /// `igmpv2_unsolicited_report_interval`: longest time between two reports of a group just
    /// joined, versions 1 and 2.
    pub igmpv2_unsolicited_report_interval: Duration,
    /// `igmpv3_unsolicited_report_interval`: the same between reports of a change, version 3.
    pub igmpv3_unsolicited_report_interval: Duration,
}

impl Default for InterfaceConfig {
    fn default() -> Self {
        InterfaceConfig {
            proxy_arp: false,
            rp_filter: ReversePathFilter::Off,
            accept_local: false,
            route_localnet: false,
            accept_redirects: true,
            send_redirects: true,
            accept_source_route: false,
            conflict_detection: false,
            force_igmp_version: None,
            igmpv2_unsolicited_report_interval: Duration::from_secs(10),
            igmpv3_unsolicited_report_interval: Duration::from_secs(1),
        }
    }
}

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address and its subnet.
    pub cidr: Ipv4Cidr,
    /// Another address of the same subnet came first (`IFA_F_SECONDARY`).
    pub secondary: bool,
    /// Not yet known to be free of conflict; not used (`IFA_F_TENTATIVE`).
    pub tentative: bool,
}

/// One link as IPv4 sees it.
#[derive(Debug, Clone)]
pub struct Interface {
    /// Its number.
    pub id: LinkId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// The largest IP packet it carries, in bytes.
    pub mtu: usize,
    /// Whether it is up.
    pub up: bool,
    /// Settings.
    pub config: InterfaceConfig,
    pub(crate) addresses: Vec<InterfaceAddress>,
    /// The groups received, for whomever.
    pub(crate) groups: BTreeMap<Ipv4Addr, Reception>,
    /// Those that the link is in by itself.
    pub(crate) own_groups: BTreeSet<Ipv4Addr>,
    /// The routes made for its addresses.
    pub(crate) routes: Vec<Route>,
}

impl Interface {
    /// Its addresses, the oldest first.
    pub fn addresses(&self) -> &[InterfaceAddress] {
        &self.addresses
    }

    /// Its link-layer address; only Ethernet has one.
    pub fn mac(&self) -> Option<MacAddr> {
        match self.kind {
            LinkKind::Ethernet(mac) => Some(mac),
            LinkKind::Loopback | LinkKind::Ip => None,
        }
    }

    /// Whether it is the loopback.
    pub fn is_loopback(&self) -> bool {
        self.kind == LinkKind::Loopback
    }

    /// Whether the multicast group is received; all-hosts always is (RFC 1112 §4).
    pub fn is_member(&self, group: Ipv4Addr) -> bool {
        group == ALL_SYSTEMS || self.groups.contains_key(&group)
    }

    /// Whether a multicast from `source` is received (Linux `ip_check_mc_rcu`).
    pub(crate) fn receives(&self, group: Ipv4Addr, source: Ipv4Addr, protocol: Protocol) -> bool {
        // No member is spared what is said about the group itself.
        let allows = |held: &Reception| protocol == Protocol::IGMP || held.allows(source);
        group == ALL_SYSTEMS || self.groups.get(&group).is_some_and(allows)
    }

    /// Whether `addr` is in the subnet of one of its addresses (Linux `inet_addr_onlink`).
    pub fn is_on_link(&self, addr: Ipv4Addr) -> bool {
        self.usable().any(|address| address.cidr.contains(addr))
    }

    /// Its addresses that may be used.
    pub(crate) fn usable(&self) -> impl Iterator<Item = &InterfaceAddress> {
        self.addresses.iter().filter(|address| !address.tentative)
    }
}

/// The links of a stack, by number.
#[derive(Debug, Default)]
pub struct Interfaces {
    links: LinkMap<Interface>,
    /// How often any may have changed.
    generation: u64,
}

impl Interfaces {
    /// The link with this number.
    #[inline]
    pub fn get(&self, id: LinkId) -> Option<&Interface> {
        self.links.get(id)
    }

    /// The link with this name.
    pub fn by_name(&self, name: &str) -> Option<&Interface> {
        self.iter().find(|interface| interface.name == name)
    }

    /// All links, in order of their number.
    pub fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.links.iter()
    }

    /// A link's name, or "?" when it has gone.
    pub fn name(&self, id: LinkId) -> &str {
        self.get(id).map_or("?", |interface| &interface.name)
    }

    /// The link that has `addr` as a usable address of its own.
    pub fn owner(&self, addr: Ipv4Addr) -> Option<&Interface> {
        self.iter().find(|link| link.usable().any(|address| address.cidr.addr() == addr))
    }

    pub(crate) fn get_mut(&mut self, id: LinkId) -> Option<&mut Interface> {
        self.generation += 1;
        self.links.get_mut(id)
    }

    /// A number that grows whenever a link may have changed.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    /// The number for a new link; no link that has gone had it.
    pub(crate) fn next_id(&self) -> Option<LinkId> {
        self.links.next_id()
    }

    pub(crate) fn insert(&mut self, interface: Interface) {
        self.links.insert(interface.id, interface);
    }

    pub(crate) fn remove(&mut self, id: LinkId) -> Option<Interface> {
        self.links.remove(id)
    }
}
