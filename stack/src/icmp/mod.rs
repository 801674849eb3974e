//! ICMP (RFC 792, RFC 1122 §3.2.2).

pub mod ratelimit;
