//! Stacks in a laboratory: simulated wires, virtual time, captures.

#[path = "../support/mod.rs"]
mod support;

mod capture;
mod lab;
mod large;
mod net;
mod wire;
