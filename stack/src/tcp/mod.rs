//! Transmission Control Protocol (RFC 9293).

pub mod cc;
pub mod rate;
// Nothing outside the tests of this module uses the queue yet.
#[allow(dead_code)]
pub(crate) mod recv_buf;
pub mod rtt;
