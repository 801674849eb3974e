//! Packet traces as tests: see [`harness`].

mod harness;

mod close;
mod data;
mod odd;
mod recovery;
mod setup;
