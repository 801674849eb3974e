//! What the fuzz targets do, and how their inputs are written down.
//!
//! `cargo +nightly fuzz run frame` in `fuzz/` runs one, `cargo +nightly fuzz run frame FILE` repeats
//! one input. A find becomes a test in `stack/tests`; seeds in `corpus/` of `frame` and `wire` come from
//! `cargo run --example corpus`, those of `tcp` and `tcp_pair` are what the fuzzer has found to reach
//! different places.

pub mod check;
pub mod frames;
pub mod hooks;
pub mod script;
#[path = "../../stack/tests/adversary/scripts/mod.rs"]
pub mod tcp;
pub mod world;

/// Bytes that one TCP endpoint may take with [`tcp::endpoint`]'s limits: the buffers of its
/// sockets, and what the script itself remembers.
const ENDPOINT_MEMORY: u64 = 32 << 20;
/// The same for two ends and what is on its way between them.
const PAIR_MEMORY: u64 = 64 << 20;

/// Runs a script of the target `tcp`.
///
/// # Panics
/// When something that must hold does not.
pub fn endpoint(bytes: &[u8]) {
    measured(ENDPOINT_MEMORY, || tcp::endpoint::run(bytes));
}

/// Runs a script of the target `tcp_pair`.
///
/// # Panics
/// When something that must hold does not.
pub fn pair(bytes: &[u8]) {
    measured(PAIR_MEMORY, || tcp::pair::run(bytes));
}

fn measured(limit: u64, run: impl FnOnce() -> u64) {
    let info = allocation_counter::measure(|| {
        run();
    });
    assert!(info.bytes_max <= limit, "{} bytes at once", info.bytes_max);
    assert_eq!(info.count_current, 0, "memory is left behind");
}
