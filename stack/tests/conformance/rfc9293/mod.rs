//! RFC 9293, Transmission Control Protocol. The labels are those of its Appendix B.

pub mod aborting;
pub mod acceptable;
pub mod acks;
pub mod checksum;
pub mod closing;
pub mod delayed_ack;
pub mod failures;
pub mod header;
pub mod icmp;
pub mod interface;
pub mod isn;
pub mod keepalive;
pub mod listen;
pub mod mss;
pub mod opening;
pub mod options;
pub mod push;
pub mod receive_window;
pub mod reset;
pub mod send_window;
pub mod sequence;
pub mod urgent;
