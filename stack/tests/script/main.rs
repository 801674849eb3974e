//! Packet traces as tests: see [`harness`].

mod harness;
