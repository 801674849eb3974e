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
    /// timestamps go on being recorded on the way back (RFC 1122 §3.2.2.6). Of what an error says
    /// is malformed only the sound options before the fault come back.
    pub(crate) fn echo(received: &[u8]) -> Self {
        let mut echoed = OptionBytes { bytes: [ipv4_options::END; ipv4_options::MAX_LEN], len: 0 };
        let (mut route, mut timestamps) = (false, false);
        for option in Ipv4Options::new(received).flatten() {
            let seen = match option.kind() {
                ipv4_options::RR if option.route().is_ok() => &mut route,
                ipv4_options::TS if option.timestamp().is_ok() => &mut timestamps,
                ipv4_options::RR | ipv4_options::TS => break,
                _ => continue,
            };
            if core::mem::replace(seen, true) {
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
