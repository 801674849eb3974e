//! The network that the options describe, checked before anything is opened.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use tapping_stack::wire::{Ipv4Cidr, MacAddr};

use crate::cli::NetworkArgs;
use crate::failure::Failure;
use crate::names::Target;

/// The stack's address unless the options say otherwise.
const DEFAULT_ADDR: &str = "10.0.0.2/24";
/// The address of the other side, where it is in the subnet.
const DEFAULT_HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Bytes of the largest IP packet on a link that the tool makes itself.
const DEFAULT_MTU: u32 = 1500;

/// What the stack's link is attached to, and the address of the other side where it is ours to
/// give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attachment {
    /// A private network with the kernel at this address, or else the built-in peer.
    Private(Ipv4Cidr),
    /// The built-in peer at this address.
    Peer(Ipv4Cidr),
    /// A TAP interface, and the address to give to the kernel's side, if any.
    Tap {
        /// Its name.
        name: String,
        /// The address.
        host: Option<Ipv4Cidr>,
    },
    /// A packet socket on the interface of this name.
    Packet(String),
}

/// The network to set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What the link is attached to.
    pub attachment: Attachment,
    /// The stack's address.
    pub addr: Ipv4Cidr,
    /// The router for everything outside the subnet.
    pub gateway: Option<Ipv4Addr>,
    /// The stack's link-layer address; made up from the seed when not given.
    pub mac: Option<MacAddr>,
    /// The MTU, when given.
    pub mtu: Option<u32>,
    /// Whether a TAP leaves checksums and cutting to the other side.
    pub offload: bool,
    /// How long to look for packets before sleeping, if at all.
    pub busy_poll: Option<Duration>,
    /// Where to write a capture.
    pub pcap: Option<PathBuf>,
    /// The seed, when given.
    pub seed: Option<u64>,
}

impl Plan {
    /// Checks that the options make sense together.
    pub fn new(args: &NetworkArgs) -> Result<Self, Failure> {
        let addr = match (args.addr, args.host_addr) {
            (Some(addr), _) => addr,
            (None, Some(host)) if !default_addr().contains(host.addr()) => {
                return Err(Failure(format!(
                    "--host-addr {host} is outside {DEFAULT_ADDR}, the stack's own address; give \
                     --addr in the same subnet too"
                )));
            }
            (None, _) => default_addr(),
        };
        let host = match args.host_addr {
            Some(host) => Ok(host),
            None if addr.contains(DEFAULT_HOST) => {
                Ok(Ipv4Cidr::new(DEFAULT_HOST, addr.prefix_len()).unwrap_or(addr))
            }
            None => neighbour_of(addr).ok_or_else(|| {
                Failure(format!(
                    "{addr} leaves no address for the other side; use a shorter prefix"
                ))
            }),
        };
        let attachment = match (&args.tap, &args.packet) {
            (Some(name), _) => Attachment::Tap { name: name.clone(), host: args.host_addr },
            (None, Some(name)) => Attachment::Packet(name.clone()),
            (None, None) if args.peer => Attachment::Peer(host?),
            (None, None) => Attachment::Private(host?),
        };
        let plan = Plan {
            attachment,
            addr,
            gateway: args.gateway,
            mac: args.mac,
            mtu: args.mtu,
            offload: !args.no_offload,
            busy_poll: args.busy_poll.filter(|spin| !spin.is_zero()),
            pcap: args.pcap.clone(),
            seed: args.seed,
        };
        plan.check()?;
        Ok(plan)
    }

    /// The MTU of links that the tool makes itself.
    pub fn mtu_or_default(&self) -> u32 {
        self.mtu.unwrap_or(DEFAULT_MTU)
    }

    /// Whether the address names everybody on the link.
    pub fn is_broadcast(&self, addr: Ipv4Addr) -> bool {
        let subnet_zero = self.addr.broadcast().is_some() && addr == self.addr.network();
        addr.is_broadcast() || self.addr.broadcast() == Some(addr) || subnet_zero
    }

    /// Checks that there is a way to `target`.
    pub fn check_route(&self, target: &Target) -> Result<(), Failure> {
        let Target { name, addr, .. } = target;
        let special = addr.is_loopback() || addr.is_multicast() || addr.is_broadcast();
        if special || self.gateway.is_some() || self.addr.contains(*addr) {
            return Ok(());
        }
        let shown = if target.numeric { name.clone() } else { format!("{name} ({addr})") };
        Err(Failure(format!(
            "{shown}: Network is unreachable; it is outside {}/{}, so name a router with --gateway",
            self.addr.network(),
            self.addr.prefix_len()
        )))
    }

    /// Checks that the stack has the source address `addr`.
    pub fn check_source(&self, addr: Ipv4Addr) -> Result<(), Failure> {
        if addr == self.addr.addr() || addr.is_loopback() {
            return Ok(());
        }
        Err(Failure(format!(
            "-I {addr}: Cannot assign requested address; the stack has {}, change it with --addr",
            self.addr.addr()
        )))
    }

    fn check(&self) -> Result<(), Failure> {
        let addr = self.addr;
        let host = match self.attachment {
            Attachment::Private(host) | Attachment::Peer(host) => Some(host),
            Attachment::Tap { host, .. } => host,
            Attachment::Packet(_) => None,
        };
        if let Some(host) = host {
            if host.addr() == addr.addr() {
                return Err(Failure(format!(
                    "--addr and --host-addr are both {}; give the stack and the kernel different addresses",
                    addr.addr()
                )));
            }
            if !addr.contains(host.addr()) || !host.contains(addr.addr()) {
                return Err(Failure(format!(
                    "--host-addr {host} and --addr {addr} are not in the same subnet; choose both from one"
                )));
            }
        }
        match self.gateway {
            Some(gateway) if gateway == addr.addr() => Err(Failure(format!(
                "--gateway {gateway} is the stack's own address; name the router"
            ))),
            Some(gateway) if !addr.contains(gateway) => Err(Failure(format!(
                "--gateway {gateway} is outside {}/{}; name a router in the subnet of --addr",
                addr.network(),
                addr.prefix_len()
            ))),
            Some(gateway) if self.is_broadcast(gateway) => {
                Err(Failure(format!("--gateway {gateway} is a broadcast address; name one router")))
            }
            _ => Ok(()),
        }
    }
}

fn default_addr() -> Ipv4Cidr {
    DEFAULT_ADDR.parse().expect("the default address is well formed")
}

/// The lowest other address that a host can have in the subnet of `cidr`.
fn neighbour_of(cidr: Ipv4Cidr) -> Option<Ipv4Cidr> {
    let network = cidr.network().to_bits();
    (0..=2u32)
        .filter_map(|offset| network.checked_add(offset))
        .map(Ipv4Addr::from_bits)
        .find(|&other| {
            let special = cidr.prefix_len() < 31 && other == cidr.network();
            other != cidr.addr()
                && cidr.contains(other)
                && !special
                && cidr.broadcast() != Some(other)
        })
        .and_then(|other| Ipv4Cidr::new(other, cidr.prefix_len()))
}

#[cfg(test)]
mod tests;
