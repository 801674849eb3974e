//! Transfers over simulated networks: whatever happens on the way, what arrives is what was sent,
//! and it arrives in time.

#[path = "../support/mod.rs"]
mod support;

mod congestion;
mod flow;
mod hour;
mod matrix;
mod memory;
mod model;
