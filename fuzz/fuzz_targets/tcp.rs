//! One TCP endpoint fed arbitrary segments, ICMP errors and calls. See
//! [`tapping_fuzz::tcp::endpoint`] for how bytes become actions and what must hold after each.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tapping_fuzz::endpoint(bytes));
