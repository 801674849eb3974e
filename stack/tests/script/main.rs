//! Packet traces as tests: see [`harness`].

mod harness;

mod close;
mod data;
mod recovery;
mod setup;
