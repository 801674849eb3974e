//! How fast a sender may go.

use std::time::Duration;

/// A stream that is to keep to a rate, on average since it began: whoever was held up makes up for
/// it. It looks at the clock in ticks, so that it sends in small bursts rather than waiting for
/// each datagram.
#[derive(Debug, Clone, Copy)]
pub struct Pacer {
    /// Bits per second; no limit for zero.
    rate: u64,
    /// Blocks in a row whenever one may go.
    burst: u32,
    tick: Duration,
    /// Of the blocks in a row, how many are left.
    left: u32,
    bits: u128,
}

impl Pacer {
    /// A stream of `rate` bits per second. Whenever it may send it sends `burst` blocks; it looks
    /// again every `tick`.
    pub fn new(rate: u64, burst: u32, tick: Duration) -> Self {
        Pacer { rate, burst: burst.max(1), tick, left: 0, bits: 0 }
    }

    /// Whether it ever waits.
    pub fn is_limited(&self) -> bool {
        self.rate > 0
    }

    /// How long it has to wait before it sends a block, at `elapsed` since it began. Nothing when it
    /// may go.
    pub fn wait(&mut self, elapsed: Duration) -> Option<Duration> {
        if self.left == 0 && self.is_limited() {
            let due = self.due();
            if due > elapsed {
                return Some((due - elapsed).max(self.tick));
            }
            self.left = self.burst;
        }
        None
    }

    /// A block of so many bytes has gone.
    pub fn sent(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(1);
        self.bits += bytes as u128 * 8;
    }

    /// When as much may have been sent as was.
    fn due(&self) -> Duration {
        let nanos = self.bits * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    /// Sends blocks of `block` bytes for `time`; tells how many left and how many at most at once.
    fn run(mut pacer: Pacer, block: usize, time: Duration) -> (u64, u64) {
        let (mut now, mut sent, mut row, mut longest) = (Duration::ZERO, 0, 0, 0);
        while now < time {
            match pacer.wait(now) {
                Some(wait) => {
                    now += wait;
                    row = 0;
                }
                None => {
                    pacer.sent(block);
                    sent += 1;
                    row += 1;
                    longest = longest.max(row);
                }
            }
        }
        (sent, longest)
    }

    #[test]
    fn keeps_the_rate() {
        let time = Duration::from_secs(2);
        // 1 Mbit/s of 1,000 bytes is 125 datagrams a second, each alone.
        assert_eq!(run(Pacer::new(1_000_000, 0, TICK), 1000, time), (250, 1));
        // 100 Mbit/s is 12.5 datagrams a tick.
        let (sent, longest) = run(Pacer::new(100_000_000, 0, TICK), 1000, time);
        assert!((24_985..=25_015).contains(&sent), "{sent}");
        assert!((13..=14).contains(&longest), "{longest}");
        let (sent, longest) = run(Pacer::new(1_000_000, 10, TICK), 1000, time);
        assert_eq!((sent, longest), (250, 10));
    }

    #[test]
    fn no_rate_is_no_limit_and_lost_time_is_made_up() {
        let mut pacer = Pacer::new(0, 0, TICK);
        pacer.sent(usize::MAX);
        assert_eq!(pacer.wait(Duration::ZERO), None);
        let mut pacer = Pacer::new(8_000, 0, TICK);
        for _ in 0..11 {
            assert_eq!(pacer.wait(Duration::from_secs(1)), None);
            pacer.sent(100);
        }
        assert_eq!(pacer.wait(Duration::from_secs(1)), Some(Duration::from_millis(100)));
        let mut slow = Pacer::new(1, 0, TICK);
        slow.sent(usize::MAX);
        assert!(slow.wait(Duration::ZERO).is_some());
    }
}
