//! IPv4 options of a connection's packets (`IP_OPTIONS`, ip(7); Linux `ip_options_compile`,
//! `ip_options_build`, `ip_options_echo`).
//!
//! A source route is given as the hops to pass; the header is addressed to the first one, the others
//! follow in the option, and the peer is the last.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use crate::packet::Packet;
use crate::socket::SocketError;
use crate::wire::ipv4::{HEADER_LEN, Ipv4};
use crate::wire::ipv4_options::{self as kinds, Ipv4Option, Ipv4Options};

/// Bytes of a source route before its addresses.
const ROUTE_HEADER: usize = 3;
const ADDRESS: usize = 4;

/// Options that are ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IpOptions {
    bytes: [u8; kinds::MAX_LEN],
    len: u8,
    /// Where the addresses of the source route are.
    route: Option<(u8, u8)>,
    /// The first hop of the source route.
    via: Option<Ipv4Addr>,
    /// Every hop is a neighbour of the one before.
    strict: bool,
}

impl IpOptions {
    /// Takes what a socket was given; `None` if that is nothing.
    ///
    /// # Errors
    /// What setsockopt(2) refuses.
    pub(crate) fn compile(given: &[u8]) -> Result<Option<Box<Self>>, SocketError> {
        if given.is_empty() {
            return Ok(None);
        }
        let mut options = IpOptions {
            bytes: [kinds::END; kinds::MAX_LEN],
            len: 0,
            route: None,
            via: None,
            strict: false,
        };
        let room = options.bytes.get_mut(..given.len()).ok_or(SocketError::InvalidArgument)?;
        room.copy_from_slice(given);
        options.len = kinds::padded_len(given.len()) as u8;
        let mut seen = Vec::new();
        for option in Ipv4Options::new(given) {
            let option = option.map_err(|_| SocketError::InvalidArgument)?;
            let kind = match option.kind() {
                // There is one of both.
                kinds::SSRR => kinds::LSRR,
                kind => kind,
            };
            if kind != kinds::NOP && seen.contains(&kind) || !is_sound(&option) {
                return Err(SocketError::InvalidArgument);
            }
            seen.push(kind);
            if kind == kinds::LSRR {
                let first = (option.offset() + ROUTE_HEADER) as u8;
                let end = (option.offset() + option.data().len()) as u8;
                options.route = Some((first, end));
                options.strict = option.kind() == kinds::SSRR;
            }
        }
        if let Some((first, end)) = options.route {
            let slots = &mut options.bytes[usize::from(first)..usize::from(end)];
            let hop: [u8; ADDRESS] = *slots.first_chunk().ok_or(SocketError::InvalidArgument)?;
            options.via = Some(hop.into());
            slots.copy_within(ADDRESS.., 0);
        }
        Ok(Some(Box::new(options)))
    }

    /// What goes back along the way that a packet came, as a socket would be given it: the recorded
    /// route and timestamps go on, a source route is followed backwards (RFC 1122 §4.2.3.8).
    pub(crate) fn of_answer(packet: &Packet) -> Vec<u8> {
        if packet.network_header_len() <= HEADER_LEN {
            return Vec::new();
        }
        let Ok(header) = Ipv4::parse(packet.network()) else { return Vec::new() };
        let mut answer = Vec::new();
        let options = || Ipv4Options::new(header.options()).flatten();
        for kind in [kinds::RR, kinds::TS] {
            if let Some(option) = options().find(|option| option.kind() == kind) {
                if !is_sound(&option) {
                    return Vec::new();
                }
                answer.extend_from_slice(option.data());
            }
        }
        let route = options().find(|option| matches!(option.kind(), kinds::LSRR | kinds::SSRR));
        if let Some(option) = route
            && let Ok(route) = option.route()
        {
            let mut hops: Vec<Ipv4Addr> = route.recorded().collect();
            // RFC 1812 §5.3.13.4: a route that names its source is mended.
            if hops.first() == Some(&header.src()) {
                hops.remove(0);
            }
            if !hops.is_empty() {
                let len = ROUTE_HEADER + ADDRESS * hops.len();
                answer.extend([option.kind(), len as u8, ROUTE_HEADER as u8 + 1]);
                hops.iter().rev().for_each(|hop| answer.extend(hop.octets()));
            }
        }
        answer
    }

    /// The bytes for packets to `dst`, and how many.
    pub(crate) fn to(&self, dst: Ipv4Addr) -> ([u8; kinds::MAX_LEN], usize) {
        let mut bytes = self.bytes;
        if let Some((_, end)) = self.route {
            let end = usize::from(end);
            bytes[end - ADDRESS..end].copy_from_slice(&dst.octets());
        }
        (bytes, self.len())
    }

    /// Bytes in each header.
    pub(crate) fn len(&self) -> usize {
        self.len.into()
    }

    /// Where packets are addressed to, if not to the peer.
    pub(crate) fn via(&self) -> Option<Ipv4Addr> {
        self.via
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }
}

/// Whether an option may be sent (Linux `ip_options_compile`).
fn is_sound(option: &Ipv4Option<'_>) -> bool {
    match option.kind() {
        kinds::RR => option.route().is_ok(),
        // Nothing is recorded yet.
        kinds::LSRR | kinds::SSRR => {
            let len = option.data().len();
            option.route().is_ok_and(|route| route.pointer() == ROUTE_HEADER as u8 + 1)
                && len >= ROUTE_HEADER + ADDRESS
                && (len - ROUTE_HEADER).is_multiple_of(ADDRESS)
        }
        kinds::TS => option.timestamp().is_ok_and(|times| times.is_recordable()),
        kinds::RA => option.router_alert().is_ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    const HOPS: [u8; 11] = [131, 11, 4, 10, 0, 0, 8, 10, 0, 0, 9];

    #[test]
    fn the_first_hop_is_addressed_and_the_peer_is_the_last() {
        let options = IpOptions::compile(&HOPS).unwrap().unwrap();
        assert_eq!((options.via(), options.len()), (Some([10, 0, 0, 8].into()), 12));
        assert!(!options.is_strict());
        let (bytes, len) = options.to([10, 0, 0, 2].into());
        assert_eq!(bytes[..len], [131, 11, 4, 10, 0, 0, 9, 10, 0, 0, 2, 0]);
        let strict = IpOptions::compile(&[1, 137, 7, 4, 10, 0, 0, 8]).unwrap().unwrap();
        assert!(strict.is_strict());
        assert_eq!(strict.to([10, 0, 0, 2].into()).0[..8], [1, 137, 7, 4, 10, 0, 0, 2]);
    }

    #[test]
    fn what_is_not_sound_is_refused() {
        assert_eq!(IpOptions::compile(&[]), Ok(None));
        for bad in [
            vec![7, 2],
            vec![131, 11, 8, 10, 0, 0, 8, 10, 0, 0, 9],
            vec![131, 6, 4, 10, 0, 0],
            [HOPS, HOPS].concat(),
            vec![68, 4, 5, 0xff],
            vec![1; 41],
        ] {
            assert_eq!(IpOptions::compile(&bad), Err(SocketError::InvalidArgument), "{bad:?}");
        }
    }
}
