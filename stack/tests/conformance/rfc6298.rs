//! RFC 6298, the retransmission timer.

use tapping_stack::tcp::rtt::RttEstimator;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::SeqNumber;

conformance! {
    "RFC 6298", "The retransmission timer";

    Must "RFC6298-2.2-first" "2.2" "The first measurement R gives SRTT = R, RTTVAR = R/2 and RTO = SRTT + 4 RTTVAR."
        => the_first_measurement;
    Must "RFC6298-2.3-next" "2.3" "Further measurements move SRTT by an eighth and RTTVAR by a quarter of the difference."
        => further_measurements;
    Linux "RFC6298-2.3-shorter" "2.3" "A round trip that became shorter widens the deviation by an eighth of that only."
        => a_shorter_round_trip_hardly_widens;
    Linux "RFC6298-2.3-peak" "2.3" "The timeout uses the largest deviation of a round trip, and forgets it by quarters, one a round trip."
        => the_largest_deviation_is_forgotten_slowly;
    Must "RFC6298-2.3-granularity" "2.3" "The variance part never vanishes, however constant the round trips are."
        => constant_round_trips_keep_a_margin;
    Should "RFC6298-2.4-min" "2.4" "The timeout is never below one second."
        deviation "As Linux the variance part is at least 200 ms (tcp_rto_min), which no delayed ACK exceeds."
        => the_timeout_is_above_the_round_trip_by_200_ms;
    May "RFC6298-2.5-max" "2.5" "The timeout has an upper bound, of at least 60 seconds."
        => the_timeout_is_at_most_120_seconds;
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// An estimator that has measured these, each a round trip of its own.
fn measured(samples: &[Duration]) -> RttEstimator {
    let mut rtt = RttEstimator::new();
    for (n, sample) in (0..).zip(samples) {
        let una = SeqNumber(1000 * n);
        rtt.sample(Instant::from_secs(u64::from(n)), *sample, una, una + 500);
    }
    rtt
}

fn the_first_measurement() {
    for r in [200, 300, 1000, 5000] {
        let rtt = measured(&[millis(r)]);
        assert_eq!((rtt.srtt(), rtt.mdev()), (Some(millis(r)), millis(r / 2)));
        assert_eq!(rtt.rto(), millis(r + 4 * (r / 2)));
    }
}

fn further_measurements() {
    let rtt = measured(&[millis(400), millis(560)]);
    assert_eq!(rtt.srtt(), Some(millis(420)), "400 + 160 / 8");
    assert_eq!(rtt.mdev(), millis(190), "200 + (160 - 200) / 4");
    let rtt = measured(&[millis(400), millis(1600)]);
    assert_eq!((rtt.srtt(), rtt.mdev()), (Some(millis(550)), millis(450)));
    assert_eq!(rtt.rto(), millis(550 + 4 * 450));
}

fn a_shorter_round_trip_hardly_widens() {
    // The deviation is 200 ms, the difference 1 s: by RFC 6298 200 + 800 / 4.
    let mut samples = vec![millis(2000); 20];
    let before = measured(&samples);
    samples.push(millis(1000));
    let after = measured(&samples);
    let (difference, deviation) = (1000.0, before.mdev().as_secs_f64() * 1e3);
    let widened = after.mdev().as_secs_f64() * 1e3 - deviation;
    let expected = (difference - deviation) / 4.0 / 8.0;
    assert!((widened - expected).abs() < 0.1, "{widened} ms, not {expected} ms");
}

fn the_largest_deviation_is_forgotten_slowly() {
    let constant = |n: usize| measured(&vec![millis(400); n]).rttvar();
    assert_eq!(constant(1), millis(800));
    // The round trip that the first sample was taken in still counts in full.
    let values: Vec<Duration> = (2..8).map(constant).collect();
    assert!(values.windows(2).all(|pair| pair[1] <= pair[0]), "{values:?}");
    for pair in values.windows(2) {
        assert!(pair[1] >= pair[0] * 3 / 4 - millis(1), "by a quarter at most: {values:?}");
    }
    assert!(values[5] < millis(800));
    // Many samples in one round trip wear nothing out.
    let mut rtt = measured(&[millis(400)]);
    for _ in 0..100 {
        rtt.sample(Instant::from_secs(1), millis(400), SeqNumber(100), SeqNumber(600));
    }
    assert_eq!(rtt.rttvar(), millis(800));
}

fn constant_round_trips_keep_a_margin() {
    for r in [1, 20, 100, 3000] {
        let rtt = measured(&vec![millis(r); 1000]);
        assert_eq!(rtt.srtt(), Some(millis(r)));
        // The deviation ends a few microseconds above what it tends to.
        let margin = rtt.rto() - millis(r);
        assert!(margin >= millis(200) && margin < millis(201), "{margin:?}");
    }
}

fn the_timeout_is_above_the_round_trip_by_200_ms() {
    for samples in [[1, 1, 1], [10, 10, 10], [100, 50, 25]] {
        let rtt = measured(&samples.map(millis));
        let least = rtt.srtt().unwrap() + millis(200);
        assert!(rtt.rto() >= least && rtt.rto() < millis(1000), "{:?}", rtt.rto());
    }
}

fn the_timeout_is_at_most_120_seconds() {
    let limit = Duration::from_secs(120);
    assert_eq!(measured(&[Duration::from_secs(200)]).rto(), limit);
    let rtt = measured(&[millis(1000)]);
    let backed_off: Vec<u64> = (0..8).map(|n| rtt.backed_off(n).as_secs()).collect();
    assert_eq!(backed_off, [3, 6, 12, 24, 48, 96, 120, 120]);
    assert_eq!(rtt.backed_off(u32::MAX), limit);
}
