use std::vec::Vec;

use super::*;

const PORT_UNREACHABLE: (u8, u8) = (3, 3);

fn limiter(config: RateLimitConfig) -> RateLimiter {
    RateLimiter::new(config, &mut Rng::new(1))
}

fn host(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + n)
}

impl RateLimiter {
    fn ask(&mut self, now: Instant, to: Ipv4Addr) -> Result<(), Limited> {
        self.allow(now, to, PORT_UNREACHABLE.0, PORT_UNREACHABLE.1)
    }
}

#[test]
fn a_host_gets_six_at_once_then_one_a_second() {
    let mut limiter = limiter(RateLimitConfig::default());
    let start = Instant::from_secs(1);
    let at = |millis| start + Duration::from_millis(millis);
    let allowed = |limiter: &mut RateLimiter, now| {
        (0..10).filter(|_| limiter.ask(now, host(1)).is_ok()).count()
    };
    assert_eq!(allowed(&mut limiter, at(0)), 6);
    assert_eq!(limiter.ask(at(999), host(1)), Err(Limited::Host));
    assert_eq!(limiter.ask(at(999), host(2)), Ok(()), "another host has its own bucket");
    assert_eq!(allowed(&mut limiter, at(1000)), 1);
    assert_eq!(allowed(&mut limiter, at(3500)), 2);
    // The half second left over is saved.
    assert_eq!(allowed(&mut limiter, at(4000)), 1);
    assert_eq!(allowed(&mut limiter, at(60_000)), 6, "no more is saved than six");
}

#[test]
fn only_the_types_in_the_mask_are_limited_and_never_path_mtu_discovery() {
    let none = RateLimitConfig { messages_burst: 0, messages_per_second: 0, ..Default::default() };
    let mut limiter = limiter(none);
    for icmp_type in 0..=255 {
        let limited = matches!(icmp_type, 3 | 4 | 11 | 12);
        let expected = if limited { Err(Limited::Global) } else { Ok(()) };
        assert_eq!(limiter.allow(Instant::ZERO, host(1), icmp_type, 0), expected, "{icmp_type}");
    }
    assert_eq!(limiter.allow(Instant::ZERO, host(1), 3, 4), Ok(()));
    assert_eq!(limiter.allow(Instant::ZERO, host(1), 3, 3), Err(Limited::Global));
    assert_eq!(RateLimitConfig::default().mask, 6168);
}

#[test]
fn all_hosts_together_get_about_the_burst_at_once_and_the_rate_over_time() {
    let mut limiter = limiter(RateLimitConfig::default());
    let mut next = 0;
    let mut flood = |limiter: &mut RateLimiter, now| {
        let before = next;
        while limiter.ask(now, host(next)).is_ok() {
            next += 1;
        }
        // Asking again at the same time gives nothing.
        assert_eq!(limiter.ask(now, host(next)), Err(Limited::Global));
        next - before
    };
    // Each message costs 0, 1 or 2 tokens: 50 tokens last for 50 messages, give or take.
    let start = Instant::from_secs(1);
    let burst = flood(&mut limiter, start);
    assert!((30..80).contains(&burst), "{burst}");
    assert_eq!(flood(&mut limiter, start + Duration::from_millis(19)), 0);
    let bursts: Vec<_> =
        (1..=500).map(|n| flood(&mut limiter, start + Duration::from_millis(20 * n))).collect();
    let sum: u32 = bursts.iter().sum();
    assert!((9_500..11_500).contains(&sum), "{sum} in ten seconds");
    assert!(bursts.iter().any(|n| *n != bursts[0]), "what is spent cannot be counted from outside");
    // A minute of silence saves no more than the burst.
    assert!(flood(&mut limiter, start + Duration::from_secs(70)) < 90);
}

#[test]
fn a_message_one_limit_forbids_costs_the_other_nothing() {
    let mut limiter = limiter(RateLimitConfig::default());
    let now = Instant::from_secs(1);
    while limiter.ask(now, host(1)).is_ok() {}
    let credit = limiter.credit;
    (0..1000).for_each(|_| assert_eq!(limiter.ask(now, host(1)), Err(Limited::Host)));
    assert_eq!(limiter.credit, credit);
    let mut next = 2;
    while limiter.ask(now, host(next)).is_ok() {
        next += 1;
    }
    let asked = host(next);
    (0..1000).for_each(|_| assert_eq!(limiter.ask(now, asked), Err(Limited::Global)));
    let later = now + Duration::from_millis(40);
    let got = (0..10).filter(|_| limiter.ask(later, asked).is_ok()).count();
    assert_eq!(got, 6, "its bucket is still full");
}

#[test]
fn a_zero_interval_limits_no_host() {
    let config = RateLimitConfig {
        host_interval: Duration::ZERO,
        messages_burst: 10_000,
        ..RateLimitConfig::default()
    };
    let mut limiter = limiter(config);
    assert!((0..1000).all(|_| limiter.ask(Instant::ZERO, host(1)).is_ok()));
}

#[test]
fn memory_is_fixed_and_the_hosts_seen_last_are_remembered() {
    let config = RateLimitConfig {
        messages_per_second: u32::MAX,
        messages_burst: u32::MAX,
        hosts: 10,
        ..RateLimitConfig::default()
    };
    let mut limiter = limiter(config);
    assert_eq!(limiter.sets.len() * WAYS, 16);
    let mut now = Instant::from_secs(1);
    for n in 0..1000 {
        now += Duration::from_nanos(1);
        let got = (0..10).filter(|_| limiter.ask(now, host(n)).is_ok()).count();
        assert_eq!(got, 6);
        // With four in a set, the three before cannot have been driven out. Asked in their order
        // again, they stay the last four.
        for before in n.saturating_sub(3)..=n {
            now += Duration::from_nanos(1);
            assert_eq!(limiter.ask(now, host(before)), Err(Limited::Host), "{before} after {n}");
        }
    }
    assert_eq!(limiter.sets.iter().flatten().flatten().count(), 16);
}

#[test]
fn an_interval_without_end_lets_one_message_through() {
    let config = RateLimitConfig { host_interval: Duration::MAX, ..RateLimitConfig::default() };
    let mut limiter = limiter(config);
    assert_eq!(limiter.ask(Instant::from_secs(1), host(1)), Ok(()), "as much as was saved");
    assert_eq!(limiter.ask(Instant::from_secs(2), host(1)), Err(Limited::Host));
    assert_eq!(limiter.ask(Instant::FAR_FUTURE, host(2)), Ok(()));
}
