//! Everything under the stack that touches file descriptors, clocks, threads and files.
//!
//! A [`device::Device`] carries Ethernet frames: a [TAP interface](tap), a
//! [packet socket](packet_socket), one end of a [virtual pair](veth), a [capture](pcap) being
//! replayed, and any of them while being captured. A [`runtime::Runtime`] runs stacks over devices. The [sandbox] makes a private network with the
//! kernel as peer.
//!
//! Two stacks, one pinging the other over a virtual pair:
//!
//! ```
//! use tapping_drivers::{device::DeviceConfig, runtime::Runtime, veth};
//! use tapping_stack::{Config, Stack, wire::ethernet::MacAddr};
//!
//! let end = |n| DeviceConfig {
//!     name: format!("veth{n}"),
//!     mac: MacAddr([2, 0, 0, 0, 0, n]),
//!     mtu: 1500,
//! };
//! let mut runtime = Runtime::new()?;
//! let (a, b) = veth::pair(end(1), end(2));
//! let hosts = [runtime.add_stack(Stack::new(Config::default(), 1)),
//!     runtime.add_stack(Stack::new(Config::default(), 2))];
//! let links = [runtime.attach(hosts[0], a)?, runtime.attach(hosts[1], b)?];
//! let now = runtime.now();
//! for n in [0, 1] {
//!     let address = format!("10.0.0.{}/24", n + 1).parse()?;
//!     runtime.stack_mut(hosts[n]).add_address(now, links[n], address)?;
//! }
//! let socket = runtime.stack_mut(hosts[0]).open_ping(None)?;
//! let echo = [8, 0, 0, 0, 0, 0, 0, 1, b'h', b'i'];
//! runtime.stack_mut(hosts[0]).send_to(now, socket, "10.0.0.2:0".parse()?, &echo)?;
//! let reply = loop {
//!     runtime.turn(None)?;
//!     if let Some(reply) = runtime.stack_mut(hosts[0]).recv(socket) {
//!         break reply;
//!     }
//! };
//! assert_eq!(&reply.bytes()[8..], b"hi");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(missing_docs)]

pub mod aio;
pub mod blocking;
mod checksum;
pub mod clock;
pub mod device;
pub mod error;
mod namespace;
pub mod net;
pub mod netlink;
pub mod packet_socket;
pub mod pcap;
pub mod random;
pub mod runtime;
pub mod sandbox;
#[cfg(feature = "smoltcp")]
pub mod smoltcp;
mod status;
#[allow(unsafe_code)]
mod sys;
pub mod tap;
pub mod testing;
pub mod veth;

/// The Rust code of the README is compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
