use super::*;

fn trips(micros: &[u64]) -> RoundTrips {
    let mut trips = RoundTrips::new();
    for &us in micros {
        trips.record(Duration::from_micros(us));
    }
    trips
}

#[test]
fn summary_matches_iputils_to_the_digit() {
    // Printed by iputils 20221126: "rtt min/avg/max/mdev = 0.049/0.062/0.071/0.009 ms" for these.
    let summary = trips(&[49, 68, 71]).summary();
    assert_eq!((summary.min, summary.avg, summary.max, summary.mdev), (49, 62, 71, 9));
    // "0.044/0.113/0.182/0.069".
    let summary = trips(&[182, 44]).summary();
    assert_eq!((summary.min, summary.avg, summary.max, summary.mdev), (44, 113, 182, 69));
    // "0.010/0.029/0.049/0.019".
    let summary = trips(&[10, 49]).summary();
    assert_eq!((summary.min, summary.avg, summary.max, summary.mdev), (10, 29, 49, 19));
    // "0.004/0.014/0.033/0.013 ms, ewma 0.026" from a flood of three.
    let summary = trips(&[33, 5, 4]).summary();
    assert_eq!((summary.min, summary.avg, summary.max, summary.mdev), (4, 14, 33, 13));
    assert_eq!(summary.ewma, 26);
}

#[test]
fn large_times_do_not_lose_digits() {
    let summary = trips(&[2_000_000_000, 2_000_000_010]).summary();
    assert_eq!(summary.avg, 2_000_000_005);
    assert_eq!(summary.mdev, 5);
}

#[test]
fn percentiles_order_and_bounds() {
    let all: Vec<u64> = (1..=1000).collect();
    let trips = trips(&all);
    let p: Vec<u64> = [50.0, 90.0, 99.0, 99.9].iter().map(|&p| trips.percentile(p)).collect();
    for (got, want) in p.iter().zip([500u64, 900, 990, 999]) {
        assert!(got.abs_diff(want) <= 1, "percentile {got}, wanted {want}");
    }
    assert!(trips.percentile(100.0) <= 1000);
    assert_eq!(RoundTrips::new().percentile(50.0), 0);
}

#[test]
fn trip_time_has_the_decimals_of_iputils() {
    let show = |us| TripTime(Duration::from_micros(us)).to_string();
    assert_eq!(show(0), "0.000 ms");
    assert_eq!(show(44), "0.044 ms");
    assert_eq!(show(999), "0.999 ms");
    assert_eq!(show(1_000), "1.00 ms");
    assert_eq!(show(1_234), "1.23 ms");
    assert_eq!(show(1_235), "1.24 ms");
    assert_eq!(show(9_994), "9.99 ms");
    assert_eq!(show(9_995), "10.0 ms");
    assert_eq!(show(12_345), "12.3 ms");
    assert_eq!(show(99_949), "99.9 ms");
    assert_eq!(show(99_950), "100 ms");
    assert_eq!(show(1_234_567), "1235 ms");
}

#[test]
fn percent_is_printf_g() {
    let show = |part, whole| Percent { part, whole }.to_string();
    assert_eq!(show(0, 3), "0");
    assert_eq!(show(3, 3), "100");
    assert_eq!(show(1, 3), "33.3333");
    assert_eq!(show(2, 3), "66.6667");
    assert_eq!(show(1, 2), "50");
    assert_eq!(show(1, 1000), "0.1");
    assert_eq!(show(1, 7000), "0.0142857");
    assert_eq!(show(1, 100_000_000), "1e-06");
}
