//! The IP options of a reply, written as iputils writes them.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use tapping_stack::wire::ipv4_options::{self as kinds, Ipv4Options};

/// Bytes of the record route option with its leading NOP: the whole room an IPv4 header has.
pub const RECORD_ROUTE_LEN: usize = kinds::MAX_LEN;

/// A record route option with room for nine addresses (`-R`).
pub fn record_route() -> Vec<u8> {
    let mut options = vec![0; RECORD_ROUTE_LEN];
    options[0] = kinds::NOP;
    options[1..4].copy_from_slice(&[kinds::RR, (RECORD_ROUTE_LEN - 1) as u8, FIRST_SLOT]);
    options
}

/// Pointer to the first slot of a route option, which counts from 1 at the kind byte.
const FIRST_SLOT: u8 = 4;

/// The addresses recorded in a route option of these bytes, kind and length included.
pub fn recorded(option: &[u8]) -> Vec<Ipv4Addr> {
    let [_, len, pointer, slots @ ..] = option else { return Vec::new() };
    let used = usize::from(pointer.min(len).saturating_sub(FIRST_SLOT)).div_ceil(4);
    slots.chunks_exact(4).take(used).map(|s| Ipv4Addr::new(s[0], s[1], s[2], s[3])).collect()
}

/// Writes the options of replies; remembers the last route, to say only that it is the same.
#[derive(Debug, Default)]
pub struct OptionText {
    last_route: Vec<Ipv4Addr>,
}

impl OptionText {
    /// The text for the option bytes of one reply, to follow its line; `name` shows an address.
    pub fn describe(&mut self, options: &[u8], mut name: impl FnMut(IpAddr) -> String) -> String {
        let mut text = String::new();
        for option in Ipv4Options::new(options) {
            let Ok(option) = option else { break };
            match option.kind() {
                kinds::NOP => text.push_str("\nNOP"),
                kinds::RR => self.route(option.data(), &mut text, &mut name),
                kinds::LSRR | kinds::SSRR => {
                    let strictness = if option.kind() == kinds::SSRR { 'S' } else { 'L' };
                    let _ = write!(text, "\n{strictness}SRR: ");
                    list(&recorded(option.data()), &mut text, &mut name);
                }
                kind => {
                    let _ = write!(text, "\nunknown option {kind:x}");
                }
            }
        }
        text
    }

    fn route(&mut self, option: &[u8], text: &mut String, name: &mut dyn FnMut(IpAddr) -> String) {
        let route = recorded(option);
        if route.is_empty() {
            return;
        }
        if route == self.last_route {
            text.push_str("\t(same route)");
            return;
        }
        text.push_str("\nRR: ");
        list(&route, text, name);
        self.last_route = route;
    }
}

fn list(addrs: &[Ipv4Addr], text: &mut String, name: &mut dyn FnMut(IpAddr) -> String) {
    for &addr in addrs {
        let shown = if addr.is_unspecified() { addr.to_string() } else { name(addr.into()) };
        let _ = writeln!(text, "\t{shown}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(addrs: &[[u8; 4]]) -> Vec<u8> {
        let mut options = record_route();
        for (i, addr) in addrs.iter().enumerate() {
            options[4 + 4 * i..8 + 4 * i].copy_from_slice(addr);
        }
        options[3] += 4 * addrs.len() as u8;
        // Linux echoes the option without the NOP in front.
        options.remove(0);
        options
    }

    #[test]
    fn a_route_then_the_same_route() {
        let options = filled(&[[10, 0, 0, 2], [10, 0, 0, 1]]);
        let mut text = OptionText::default();
        let numeric = |addr: IpAddr| addr.to_string();
        assert_eq!(text.describe(&options, numeric), "\nRR: \t10.0.0.2\n\t10.0.0.1\n");
        assert_eq!(text.describe(&options, numeric), "\t(same route)");
        let other = filled(&[[10, 0, 0, 2]]);
        assert_eq!(text.describe(&other, numeric), "\nRR: \t10.0.0.2\n");
    }

    #[test]
    fn a_full_route_has_nine_addresses() {
        let options = filled(&[[10, 0, 0, 2]; 9]);
        assert_eq!(recorded(&options).len(), 9);
        assert!(recorded(&record_route()[1..]).is_empty());
        assert!(recorded(&[kinds::RR]).is_empty());
    }

    #[test]
    fn other_options_are_named_and_broken_ones_end_the_list() {
        let numeric = |addr: IpAddr| addr.to_string();
        let mut text = OptionText::default();
        assert_eq!(text.describe(&[kinds::NOP, 148, 4, 0, 0], numeric), "\nNOP\nunknown option 94");
        assert_eq!(text.describe(&[kinds::RR, 99, 4], numeric), "");
    }
}
