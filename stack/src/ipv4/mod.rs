//! IPv4 (RFC 791, RFC 1122 §3.2).

pub mod fragment;
pub mod reassembly;
