//! Everything under the stack that touches file descriptors, clocks, threads and files.
//!
//! A [`device::Device`] carries Ethernet frames: a [TAP interface](tap), a
//! [packet socket](packet_socket), one end of a [virtual pair](veth), a [capture](pcap) being
//! replayed, and any of them while being captured. A [`runtime::Runtime`] runs stacks over devices. The [sandbox] makes a private network with the
//! kernel as peer.
#![deny(missing_docs)]

mod checksum;
pub mod clock;
pub mod device;
pub mod error;
mod namespace;
pub mod netlink;
pub mod packet_socket;
pub mod pcap;
pub mod random;
pub mod runtime;
pub mod sandbox;
#[cfg(feature = "smoltcp")]
pub mod smoltcp;
#[allow(unsafe_code)]
mod sys;
pub mod tap;
pub mod testing;
pub mod veth;
