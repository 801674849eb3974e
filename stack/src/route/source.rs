//! Source address selection (Linux `inet_select_addr`).

use core::net::Ipv4Addr;

use super::Scope;
use crate::packet::LinkId;
use crate::wire::cidr::Ipv4Cidr;

/// An address of a link, as a candidate for a source address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkAddress {
    /// The link it is on.
    pub link: LinkId,
    /// The address and its subnet.
    pub address: Ipv4Cidr,
    /// How far it may be used; [`Scope::Host`] for 127.0.0.0/8.
    pub scope: Scope,
    /// Another address of the same subnet was there first (Linux `IFA_F_SECONDARY`).
    pub secondary: bool,
}

/// The source address for a packet that leaves by `link`, when neither its sender nor its route
/// names one.
///
/// `toward` is the gateway, or the destination when there is none; `scope` is that of the route,
/// and addresses of a closer scope are not used. Candidates come in the order in which links and
/// their addresses were made. In turn: the first primary address of `link` whose subnet holds
/// `toward`; the first primary one of `link`; the first primary one of any link, except addresses
/// meant for their own link only. `None` when nothing fits, then Linux sends from 0.0.0.0.
pub fn select_source<I>(
    addresses: I,
    link: Option<LinkId>,
    toward: Option<Ipv4Addr>,
    scope: Scope,
) -> Option<Ipv4Addr>
where
    I: IntoIterator<Item = LinkAddress>,
{
    let mut on_link = None;
    let mut elsewhere = None;
    let usable = |candidate: &LinkAddress| !candidate.secondary && candidate.scope <= scope;
    for candidate in addresses.into_iter().filter(usable) {
        let address = candidate.address.addr();
        if Some(candidate.link) == link {
            if toward.is_some_and(|toward| candidate.address.contains(toward)) {
                return Some(address);
            }
            on_link = on_link.or(Some(address));
        } else if candidate.scope != Scope::Link {
            elsewhere = elsewhere.or(Some(address));
        }
    }
    on_link.or(elsewhere)
}
