//! Packet traces as tests: see [`harness`].

mod harness;

mod close;
mod data;
mod odd;
mod records;
mod recovery;
mod setup;
mod start;
