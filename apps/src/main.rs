//! The `tapping` command.
fn main() {}
