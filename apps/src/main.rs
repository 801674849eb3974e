//! The `tapping` command.
mod arping;
mod cli;
mod ping;
mod trace;
fn main() {}
