use super::minmax::Max;
use super::*;
use crate::rng::Rng;
use std::vec::Vec;

const UNA: SeqNumber = SeqNumber(1);
const NXT: SeqNumber = SeqNumber(1000);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Samples within one round trip.
fn sampled(rtts: &[u64]) -> RttEstimator {
    let mut rtt = RttEstimator::new();
    rtts.iter().for_each(|sample| rtt.sample(Instant::from_secs(1), ms(*sample), UNA, NXT));
    rtt
}

#[test]
fn it_stays_small() {
    assert!(size_of::<RttEstimator>() <= 72, "{}", size_of::<RttEstimator>());
}

#[test]
fn rfc6298_2_1_before_a_measurement_the_timeout_is_one_second() {
    let rtt = RttEstimator::new();
    assert_eq!((rtt.rto(), rtt.srtt(), rtt.min_rtt()), (ms(1000), None, None));
}

#[test]
fn rfc6298_2_2_the_first_measurement() {
    let rtt = sampled(&[400]);
    // SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR.
    assert_eq!(rtt.srtt(), Some(ms(400)));
    assert_eq!((rtt.mdev(), rtt.rttvar(), rtt.rto()), (ms(200), ms(800), ms(1200)));
}

#[test]
fn rfc6298_2_3_further_measurements() {
    // Rising, so that the deviation is the plain one.
    let samples = [300, 400, 520, 660, 900, 1100, 1500];
    let (mut srtt, mut var) = (300.0, 150.0f64);
    let mut worst: f64 = 600.0;
    for (n, sample) in samples.iter().enumerate().skip(1) {
        let r = *sample as f64;
        var = 0.75 * var + 0.25 * (srtt - r).abs();
        srtt = 0.875 * srtt + 0.125 * r;
        worst = worst.max(4.0 * var);
        let rtt = sampled(&samples[..=n]);
        let near = |a: Duration, b: f64| (a.as_secs_f64() * 1e3 - b).abs() < 0.1;
        assert!(near(rtt.srtt().unwrap(), srtt), "{rtt:?} {srtt}");
        assert!(near(rtt.mdev(), var), "{rtt:?} {var}");
        assert!(near(rtt.rto(), srtt + worst), "{rtt:?} {srtt} {worst}");
    }
}

#[test]
fn rfc6298_2_4_the_minimum_is_linux_s_and_part_of_the_variance() {
    let mut rtt = sampled(&[1; 100]);
    assert_eq!(rtt.rto(), ms(201));
    rtt.set_rto_min(ms(5));
    for n in 0..100 {
        rtt.sample(Instant::from_secs(2), ms(1), SeqNumber(2000 + n), SeqNumber(2000 + n));
    }
    assert!(rtt.rto() >= ms(6) && rtt.rto() < ms(7), "{:?}", rtt.rto());
}

#[test]
fn rfc6298_2_5_the_maximum_is_120_seconds_and_can_be_set() {
    let mut rtt = sampled(&[100_000]);
    assert_eq!(rtt.rto(), RTO_MAX);
    rtt.set_rto_max(ms(9000));
    assert_eq!((rtt.rto(), rtt.rto_max()), (ms(9000), ms(9000)));
}

#[test]
fn rfc6298_5_5_each_expiry_doubles_up_to_the_maximum() {
    let rtt = sampled(&[100]);
    let backed_off: Vec<_> = (0..4).map(|n| rtt.backed_off(n)).collect();
    assert_eq!(backed_off, [ms(300), ms(600), ms(1200), ms(2400)]);
    assert_eq!(rtt.backed_off(10), RTO_MAX);
    assert_eq!(rtt.backed_off(u32::MAX), RTO_MAX);
}

#[test]
fn rfc6298_5_7_after_a_lost_syn_the_timeout_is_three_seconds_until_measured() {
    let mut rtt = RttEstimator::new();
    rtt.set_initial_rto(ms(3000));
    assert_eq!(rtt.rto(), ms(3000));
    rtt.sample(Instant::ZERO, ms(10), UNA, NXT);
    rtt.set_initial_rto(ms(3000));
    assert_eq!(rtt.rto(), ms(210));
    rtt.forget();
    rtt.sample(Instant::ZERO, ms(400), UNA, NXT);
    assert_eq!(rtt.rto(), ms(1200));
}

#[test]
fn shorter_round_trips_do_not_lengthen_the_timeout_much() {
    let mut rtt = sampled(&[1000; 200]);
    let before = rtt.mdev();
    rtt.sample(Instant::from_secs(1), ms(100), UNA, NXT);
    // A quarter of an eighth of the difference, instead of a quarter.
    assert!(rtt.mdev() - before < ms(900 / 32 + 1), "{before:?} {:?}", rtt.mdev());
    let mut rtt = sampled(&[1000; 200]);
    rtt.sample(Instant::from_secs(1), ms(1900), UNA, NXT);
    assert!(rtt.mdev() - before > ms(200), "{before:?} {:?}", rtt.mdev());
}

#[test]
fn the_variance_decays_once_per_round_trip() {
    let mut rtt = sampled(&[400]);
    (0..50).for_each(|_| rtt.sample(Instant::from_secs(1), ms(400), UNA, NXT));
    assert_eq!(rtt.rttvar(), ms(800), "not within one");
    let mut last = rtt.rttvar();
    for round in 1..20 {
        let una = NXT + round * 1000;
        rtt.sample(Instant::from_secs(1), ms(400), una, una + 999);
        let now = rtt.rttvar();
        assert!(now >= ms(200) && now <= last && now >= last * 3 / 4 - ms(1), "{now:?} {last:?}");
        last = now;
    }
    assert!(last < ms(250), "{last:?}");
}

#[test]
fn absurd_samples_do_no_harm() {
    let mut rtt = RttEstimator::new();
    let spans = [Duration::ZERO, Duration::MAX, Duration::from_nanos(1), ms(1 << 40)];
    for (n, span) in spans.into_iter().cycle().take(1000).enumerate() {
        rtt.sample(Instant::from_secs(n as u64), span, SeqNumber(n as u32), SeqNumber(n as u32));
        assert!(rtt.rto() >= RTO_MIN && rtt.rto() <= RTO_MAX);
        assert!(rtt.srtt().is_some());
    }
    assert_eq!(rtt.min_rtt(), Some(Duration::from_micros(1)));
}

#[test]
fn the_smallest_round_trip_is_forgotten_after_five_minutes() {
    let mut rtt = RttEstimator::new();
    rtt.sample(Instant::from_secs(1), ms(10), UNA, NXT);
    for second in 2..=301 {
        rtt.sample(Instant::from_secs(second), ms(50), UNA, NXT);
        assert_eq!(rtt.min_rtt(), Some(ms(10)), "{second} s");
    }
    rtt.sample(Instant::from_secs(302), ms(50), UNA, NXT);
    assert_eq!(rtt.min_rtt(), Some(ms(50)));
    rtt.set_min_rtt_window(ms(1000));
    rtt.sample(Instant::from_secs(304), ms(70), UNA, NXT);
    assert_eq!(rtt.min_rtt(), Some(ms(70)));
}

#[test]
fn the_filters_answer_with_a_value_of_their_window_no_worse_than_the_newest() {
    let mut rng = Rng::new(11);
    for window in [10, 100, 1000] {
        // A clock that wraps.
        let mut at = u32::MAX - 500;
        let (mut low, mut high) = (MinMax::<Min>::new(at, 500), MinMax::<Max>::new(at, 500));
        let mut seen = std::vec![(at, 500)];
        for _ in 0..5000 {
            at = at.wrapping_add(rng.below(u64::from(window) / 5 + 1) as u32);
            let value = rng.below(1000) as u32;
            seen.push((at, value));
            seen.retain(|(then, _)| at.wrapping_sub(*then) <= window);
            let min = low.update(window, at, value);
            let max = high.update(window, at, value);
            let values = || seen.iter().map(|(_, value)| *value);
            assert!(values().any(|v| v == min) && values().any(|v| v == max));
            assert!(min <= value && max >= value);
        }
    }
}

#[test]
fn a_filter_steps_through_its_quarters_while_values_get_worse() {
    let mut low = MinMax::<Min>::new(0, 0);
    // Every value is the minimum of what follows: the estimate is at most a window old and is
    // then replaced by one from the second or third quarter.
    for at in 1..1000u32 {
        let min = low.update(100, at, at);
        assert!(at - min <= 100, "{min} at {at}");
        // Nor does it forget what is not half as old.
        assert!(at <= 100 || at - min > 50, "{min} at {at}");
    }
    let mut high = MinMax::<Max>::new(0, 5);
    assert_eq!((high.update(10, 1, 3), high.update(10, 2, 9), high.get()), (5, 9, 9));
    // A gap longer than the window forgets all.
    assert_eq!(high.update(10, 50, 1), 1);
}
