//! What a script is run against.

use std::collections::HashMap;

use tapping_stack::time::Instant;

use super::call::Op;

/// A host with sockets, which a script names by descriptors.
pub trait Host {
    /// Gives it an IPv4 packet.
    fn deliver(&mut self, now: Instant, packet: Vec<u8>);
    /// The next IPv4 packet that it sends.
    fn transmit(&mut self, now: Instant) -> Option<Vec<u8>>;
    /// When it wants to be woken.
    fn timeout(&self) -> Option<Instant>;
    /// Wakes it.
    fn wake(&mut self, now: Instant);
    /// Makes a call on the socket `fd`; a socket that it opens gets the name `new`. An error is
    /// its number.
    fn call(&mut self, now: Instant, fd: i32, op: &Op, new: i32) -> Result<Outcome, i32>;
    /// A field of `tcp_info`, with or without its `tcpi_`.
    fn info(&mut self, now: Instant, fd: i32, field: &str) -> Option<i64>;
    /// Every counter, by its Linux name with its group's before it.
    fn counters(&self) -> HashMap<String, u64>;
}

/// What a call returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Value(i64),
    /// It would block, and the socket is one that does.
    Blocks,
    /// What does not fit an assertion of the call itself (content, state, readiness).
    Wrong(String),
}

/// The byte that every stream in a script carries at a position, in either direction.
pub fn pattern(position: u64) -> u8 {
    (position ^ (position >> 8) ^ (position >> 16)) as u8
}

/// The pattern from a position on.
pub fn payload(start: u64, len: usize) -> Vec<u8> {
    (start..start + len as u64).map(pattern).collect()
}

/// The number of an errno.
pub fn errno(name: &str) -> Option<i32> {
    const NAMES: [(&str, i32); 28] = [
        ("EPERM", 1),
        ("EINTR", 4),
        ("EBADF", 9),
        ("EAGAIN", 11),
        ("EWOULDBLOCK", 11),
        ("ENOMEM", 12),
        ("EACCES", 13),
        ("EINVAL", 22),
        ("EMFILE", 24),
        ("EPIPE", 32),
        ("EPROTO", 71),
        ("EDESTADDRREQ", 89),
        ("EMSGSIZE", 90),
        ("ENOPROTOOPT", 92),
        ("EOPNOTSUPP", 95),
        ("EADDRINUSE", 98),
        ("EADDRNOTAVAIL", 99),
        ("ENETUNREACH", 101),
        ("ECONNABORTED", 103),
        ("ECONNRESET", 104),
        ("ENOBUFS", 105),
        ("EISCONN", 106),
        ("ENOTCONN", 107),
        ("ETIMEDOUT", 110),
        ("ECONNREFUSED", 111),
        ("EHOSTUNREACH", 113),
        ("EALREADY", 114),
        ("EINPROGRESS", 115),
    ];
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}
