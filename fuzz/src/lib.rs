//! What the fuzz target `frame` does, and how its inputs are written down.
//!
//! `cargo +nightly fuzz run frame` in `fuzz/` runs it, `cargo +nightly fuzz run frame FILE` repeats
//! one input. A find becomes a test in `stack/tests`; seeds in `corpus/` come from
//! `cargo run --example corpus`.

pub mod check;
pub mod frames;
pub mod hooks;
pub mod script;
pub mod world;
