//! A whole stack driven by arbitrary bytes: frames on two links, time, sockets, hooks and settings.
//! See [`tapping_fuzz::world`] for how bytes become actions and what must hold after each.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tapping_fuzz::world::run(bytes));
