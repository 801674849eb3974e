//! The IPv4 options that a reply or an error carries back (Linux `ip_options_echo`).

use crate::wire::ipv4_options::{self, Ipv4Option, Ipv4Options, TimestampFlag};

/// IPv4 options, padded to four bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OptionBytes {
    bytes: [u8; ipv4_options::MAX_LEN],
    len: u8,
}

impl OptionBytes {
    /// The options of a received packet that belong in the answer: the recorded route, then the
    /// timestamps, which go on being recorded on the way back (RFC 1122 §3.2.2.6). `None`: they
    /// have room left, but not for a whole entry, so there can be no answer with them.
    pub(crate) fn echo(received: &[u8]) -> Option<Self> {
        let options = || Ipv4Options::new(received).flatten();
        let route = options().find(|option| option.kind() == ipv4_options::RR);
        let timestamps = options().find(|option| option.kind() == ipv4_options::TS);
        let mut echoed = OptionBytes::empty();
        for option in [route, timestamps].into_iter().flatten() {
            if !can_go_on(&option) {
                return None;
            }
            echoed.append(option.data());
        }
        Some(echoed.padded())
    }

    /// The same for an error about malformed options: those before the fault.
    pub(crate) fn echo_before_fault(received: &[u8]) -> Self {
        let (mut route, mut timestamps) = (None, None);
        for option in Ipv4Options::new(received).map_while(Result::ok) {
            let (found, sound) = match option.kind() {
                ipv4_options::RR => (&mut route, option.route().is_ok()),
                ipv4_options::TS => {
                    (&mut timestamps, option.timestamp().is_ok_and(|times| times.is_recordable()))
                }
                _ => continue,
            };
            if !sound || found.is_some() {
                break;
            }
            *found = Some(option);
        }
        let mut echoed = OptionBytes::empty();
        for option in [route, timestamps].into_iter().flatten() {
            echoed.append(option.data());
        }
        echoed.padded()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    fn empty() -> Self {
        OptionBytes { bytes: [ipv4_options::END; ipv4_options::MAX_LEN], len: 0 }
    }

    fn append(&mut self, option: &[u8]) {
        let start = usize::from(self.len);
        if let Some(room) = self.bytes.get_mut(start..start + option.len()) {
            room.copy_from_slice(option);
            self.len += option.len() as u8;
        }
    }

    fn padded(mut self) -> Self {
        self.len = self.len.next_multiple_of(4);
        self
    }
}

/// Whether what is left of the option's room is nothing or enough for the next entry; among chosen
/// addresses for a time, as Linux looks no closer.
fn can_go_on(option: &Ipv4Option<'_>) -> bool {
    match option.kind() {
        ipv4_options::RR => option.route().is_ok(),
        _ => match option.timestamp() {
            Ok(_) => true,
            Err(_) => {
                let [_, len, pointer, flag, ..] = *option.data() else { return false };
                TimestampFlag::from(flag & 0x0f) == TimestampFlag::Prespecified
                    && pointer.saturating_add(3) <= len
            }
        },
    }
}
