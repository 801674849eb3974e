//! Transmission Control Protocol (RFC 9293).

pub mod cc;
pub mod rate;
pub mod rtt;
