//! `tapping iperf3`: measures throughput, with iperf3's protocol, options and output.
#![allow(dead_code)]

mod datagram;
mod meter;
mod pacing;
mod params;
mod protocol;
mod report;
mod results;
mod tree;
mod units;
