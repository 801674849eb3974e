//! What the kernel says of this process (proc_pid_status(5)).

use std::fs;

/// A mask of `/proc/self/status` by its name, as "SigIgn"; zero where that cannot be read.
pub(crate) fn mask(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned());
    let mask = status.lines().find_map(value);
    mask.and_then(|mask| u64::from_str_radix(&mask, 16).ok()).unwrap_or(0)
}
