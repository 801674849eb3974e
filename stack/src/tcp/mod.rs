//! TCP (RFC 9293).

// Nothing outside the tests of this module uses the queue yet.
#[allow(dead_code)]
pub(crate) mod recv_buf;
