//! The processor time that a test takes.

use std::fs;

use super::results::Cpu;

/// From when to count.
#[derive(Debug, Clone, Copy)]
pub struct CpuMeter {
    wall: std::time::Instant,
    used: Used,
}

/// Ticks of this process so far.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    user: u64,
    system: u64,
}

/// Ticks a second in `/proc`, on every architecture (`USER_HZ`).
const TICKS: f64 = 100.0;

impl CpuMeter {
    /// From now.
    pub fn start() -> Self {
        CpuMeter { wall: std::time::Instant::now(), used: Used::now() }
    }

    /// What this process has used since then.
    pub fn read(&self) -> Cpu {
        let used = Used::now();
        let wall = self.wall.elapsed().as_secs_f64().max(1e-9);
        let percent = |now: u64, then: u64| now.saturating_sub(then) as f64 / TICKS / wall * 100.0;
        let user = percent(used.user, self.used.user);
        let system = percent(used.system, self.used.system);
        Cpu { total: user + system, user, system }
    }
}

impl Used {
    fn now() -> Used {
        fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|stat| Used::parse(&stat))
            .unwrap_or_default()
    }

    /// The 14th and 15th field of `/proc/PID/stat`; the second is in parentheses and may contain
    /// anything.
    fn parse(stat: &str) -> Option<Used> {
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace().skip(11);
        let mut next = || fields.next()?.parse().ok();
        Some(Used { user: next()?, system: next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_was_used() {
        let stat = "7 (a) b 1 (c) S 1 7 7 0 -1 4194304 1 2 3 4 55 66 0 0 20 0 1 0 100 0 0";
        let used = Used::parse(stat).unwrap();
        assert_eq!((used.user, used.system), (55, 66));
        assert!(Used::parse("7 (a) S 1 2").is_none());
        let meter = CpuMeter::start();
        let mut work = 0u64;
        while meter.read().total == 0.0 {
            work = work.wrapping_add(std::hint::black_box(1));
        }
        assert!(work > 0);
    }
}
