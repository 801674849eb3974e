//! `tapping iperf3`: measures throughput, with iperf3's protocol, options and output.
#![allow(dead_code)]

mod client;
mod control;
mod cpu;
mod data;
mod datagram;
mod fault;
mod meter;
mod options;
mod pacing;
pub mod params;
pub mod protocol;
mod report;
mod results;
mod server;
mod session;
mod timeline;
mod tree;
pub mod units;
