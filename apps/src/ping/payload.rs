//! The bytes of an echo request: ICMP header, a time stamp where it fits, then the pattern.

use std::time::Duration;

/// Bytes of the ICMP echo header.
pub const HEADER: usize = 8;
/// Bytes of the time stamp: a 64-bit Linux `struct timeval`, as iputils puts it.
pub const STAMP: usize = 16;
/// Type of an echo request (RFC 792).
const ECHO: u8 = 8;

/// The largest number of data bytes in an echo request over IPv4 without options.
pub const MAX_SIZE: usize = 65_535 - 20 - HEADER;

/// An echo request whose data stays the same but for the time stamp.
#[derive(Debug, Clone)]
pub struct Request {
    message: Vec<u8>,
}

impl Request {
    /// A request with `size` bytes of data: `pattern` over and over, or 0, 1, 2, … without one.
    pub fn new(size: usize, pattern: Option<&[u8]>) -> Self {
        let mut message = vec![0; HEADER + size];
        message[0] = ECHO;
        for (i, byte) in message[HEADER..].iter_mut().enumerate() {
            *byte = match pattern {
                Some(pattern) if !pattern.is_empty() => pattern[i % pattern.len()],
                _ => i as u8,
            };
        }
        Request { message }
    }

    /// The ICMP message for `sequence`, stamped with the time since 1970 when there is room.
    /// Identifier and checksum are left for the ping socket to fill in.
    pub fn message(&mut self, sequence: u16, unix: Duration) -> &[u8] {
        self.message[6..8].copy_from_slice(&sequence.to_be_bytes());
        if self.has_stamp() {
            let data = &mut self.message[HEADER..];
            data[..8].copy_from_slice(&(unix.as_secs() as i64).to_ne_bytes());
            data[8..STAMP].copy_from_slice(&i64::from(unix.subsec_micros()).to_ne_bytes());
        }
        &self.message
    }

    /// Whether the data has room for the time stamp; iputils shows times only then.
    pub fn has_stamp(&self) -> bool {
        self.size() >= STAMP
    }

    /// Bytes of data.
    pub fn size(&self) -> usize {
        self.message.len() - HEADER
    }

    /// The first byte after the time stamp that came back changed: its index, what it should be
    /// and what it was. Data cut short is not a difference.
    pub fn first_difference(&self, data: &[u8]) -> Option<(usize, u8, u8)> {
        let sent = &self.message[HEADER..];
        (STAMP..sent.len().min(data.len()))
            .find(|&i| sent[i] != data[i])
            .map(|i| (i, sent[i], data[i]))
    }
}

#[cfg(test)]
mod tests;
