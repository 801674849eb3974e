//! Two TCP endpoints over a link that the input decides on. See [`tapping_fuzz::tcp::pair`] for how
//! bytes become actions and what must hold.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tapping_fuzz::pair(bytes));
