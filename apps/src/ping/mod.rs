//! `tapping HOST…`: ICMP echo as iputils' `ping`, and more.

mod engine;

mod icmp_text;
mod ip_options;
mod json;
mod payload;
mod report;
mod stats;
mod text;
mod window;

pub use payload::MAX_SIZE;
