//! A sans-IO TCP/IP stack.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod icmp;
pub mod ipv4;
pub mod packet;
pub mod rng;
pub mod route;
pub mod time;
pub mod timer;
pub mod wire;
