//! The IPv4 options that a reply or an error carries back (Linux `ip_options_echo`).

use crate::wire::ipv4_options::{self, Ipv4Options};

/// IPv4 options, padded to four bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OptionBytes {
    bytes: [u8; ipv4_options::MAX_LEN],
    len: u8,
}

impl OptionBytes {
    /// The options of a received packet that belong in the answer: the recorded route and the
    /// timestamps go on being recorded on the way back (RFC 1122 §3.2.2.6).
    pub(crate) fn echo(received: &[u8]) -> Self {
        let mut echoed = OptionBytes { bytes: [ipv4_options::END; ipv4_options::MAX_LEN], len: 0 };
        let (mut route_seen, mut timestamp_seen) = (false, false);
        // What is malformed, and what follows it, stays away.
        for option in Ipv4Options::new(received).map_while(Result::ok) {
            let (sound, seen) = match option.kind() {
                ipv4_options::RR => (option.route().is_ok(), &mut route_seen),
                ipv4_options::TS => (option.timestamp().is_ok(), &mut timestamp_seen),
                _ => continue,
            };
            if !sound || core::mem::replace(seen, true) {
                break;
            }
            echoed.append(option.data());
        }
        echoed.len = echoed.len.next_multiple_of(4);
        echoed
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    fn append(&mut self, option: &[u8]) {
        let start = usize::from(self.len);
        if let Some(room) = self.bytes.get_mut(start..start + option.len()) {
            room.copy_from_slice(option);
            self.len += option.len() as u8;
        }
    }
}
