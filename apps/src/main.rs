//! The `tapping` command.
mod arping;
mod cli;
mod failure;
mod names;
mod ping;
mod plan;
mod trace;
fn main() {}
