//! The network that the options describe, checked before anything is opened.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use tapping_stack::wire::{Ipv4Cidr, MacAddr};

use crate::cli::NetworkArgs;
use crate::failure::Failure;

/// The stack's address unless the options say otherwise.
const DEFAULT_ADDR: &str = "10.0.0.2/24";
/// Bytes of the largest IP packet on a link that the tool makes itself.
const DEFAULT_MTU: u32 = 1500;

/// What the stack's link is attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attachment {
    /// A private network, or the built-in peer where there can be none.
    Private,
    /// A TAP interface of this name.
    Tap(String),
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
    /// The address to give to the other side, the kernel or the built-in peer.
    pub host_addr: Option<Ipv4Cidr>,
    /// The router for everything outside the subnet.
    pub gateway: Option<Ipv4Addr>,
    /// The stack's link-layer address; made up from the seed when not given.
    pub mac: Option<MacAddr>,
    /// The MTU, when given.
    pub mtu: Option<u32>,
    /// Where to write a capture.
    pub pcap: Option<PathBuf>,
    /// The seed, when given.
    pub seed: Option<u64>,
}

impl Plan {
    /// Checks that the options make sense together.
    pub fn new(args: &NetworkArgs) -> Result<Self, Failure> {
        let attachment = match (&args.tap, &args.packet) {
            (Some(name), _) => Attachment::Tap(name.clone()),
            (None, Some(name)) => Attachment::Packet(name.clone()),
            (None, None) => Attachment::Private,
        };
        let addr = match (args.addr, args.host_addr) {
            (Some(addr), _) => addr,
            (None, Some(host)) if !default_addr().contains(host.addr()) => {
                neighbour_of(host).ok_or_else(|| {
                    Failure(format!("{host} leaves no address for the stack; give --addr"))
                })?
            }
            (None, _) => default_addr(),
        };
        let host_addr = match (args.host_addr, &attachment) {
            (Some(host), _) => Some(host),
            (None, Attachment::Private) => Some(neighbour_of(addr).ok_or_else(|| {
                Failure(format!("{addr} leaves no address for the kernel's side; use a shorter prefix"))
            })?),
            (None, _) => None,
        };
        let plan = Plan {
            attachment,
            addr,
            host_addr,
            gateway: args.gateway,
            mac: args.mac,
            mtu: args.mtu,
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

    fn check(&self) -> Result<(), Failure> {
        let addr = self.addr;
        if let Some(host) = self.host_addr {
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
            Some(gateway) if self.is_broadcast(gateway) => Err(Failure(format!(
                "--gateway {gateway} is a broadcast address; name one router"
            ))),
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
