//! The `tapping` command.
mod ping;
fn main() {}
