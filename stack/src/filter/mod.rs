//! Packet filtering: the five hook points and what may be registered there.

pub mod hook;
