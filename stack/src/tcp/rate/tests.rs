use super::*;

const MSS: u32 = 1000;
const RTT: Option<Duration> = Some(Duration::from_millis(100));

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Packets sent at the given times, the first into an empty pipe.
fn sent(rate: &mut DeliveryRate, times: &[u64]) -> std::vec::Vec<(Instant, SegmentStamp)> {
    let times = times.iter().enumerate();
    times.map(|(n, t)| (at(*t), rate.on_sent(at(*t), n as u32))).collect()
}

/// An ACK at `now` of `segments`, the first of which ends at `seq`.
fn ack(
    rate: &mut DeliveryRate,
    now: u64,
    seq: u32,
    segments: &[(Instant, SegmentStamp)],
) -> RateSample {
    let mut rs = RateSample::default();
    for (n, (sent_at, stamp)) in segments.iter().enumerate() {
        rate.on_delivered(stamp, *sent_at, false, SeqNumber(seq + n as u32), &mut rs);
        rate.count_delivered(1);
    }
    rate.generate(at(now), segments.len() as u32, 0, false, RTT, &mut rs);
    rs
}

#[test]
fn structures_stay_small() {
    assert!(size_of::<DeliveryRate>() <= 72, "{}", size_of::<DeliveryRate>());
    assert!(size_of::<SegmentStamp>() <= 32, "{}", size_of::<SegmentStamp>());
}

#[test]
fn a_sample_is_what_was_delivered_since_the_segment_was_sent() {
    let mut rate = DeliveryRate::new(at(0));
    let first = sent(&mut rate, &[1000, 1000]);
    let rs = ack(&mut rate, 1100, 1, &first);
    assert_eq!((rs.delivered, rs.interval), (2, RTT));
    assert_eq!((rs.acked_sacked, rate.delivered(), rate.delivered_at()), (2, 2, at(1100)));
    assert_eq!(rate.rate(MSS), 20_000);
    assert!(!rate.rate_app_limited());
}

#[test]
fn acks_that_were_held_up_do_not_make_the_path_faster() {
    let mut rate = DeliveryRate::new(at(0));
    // One segment each 10 ms; the ACKs come apart first, then all at once.
    let times: std::vec::Vec<_> = (0..20).map(|n| 1000 + 10 * n).collect();
    let segments = sent(&mut rate, &times);
    for n in 0..10 {
        ack(&mut rate, 1100 + 10 * n as u64, n, &segments[n as usize..][..1]);
    }
    let mut last = RateSample::default();
    for n in 10..20 {
        last = ack(&mut rate, 1290, n, &segments[n as usize..][..1]);
    }
    // It was sent when nothing had been delivered for 1 packet each 10 ms: sending took as long.
    assert!(last.interval.unwrap() >= last.send_interval);
    let per_second = last.delivered as f64 / last.interval.unwrap().as_secs_f64();
    assert!(per_second <= 111.0, "{per_second}");
}

#[test]
fn sending_slowly_counts_as_much_as_delivering_slowly() {
    let mut rate = DeliveryRate::new(at(0));
    let segments = sent(&mut rate, &[1000, 1150, 1300]);
    // All three acknowledged 110 ms after the last: the interval is what sending took.
    let rs = ack(&mut rate, 1301, 1, &segments);
    assert_eq!((rs.send_interval, rs.ack_interval), (ms(300), ms(301)));
    let mut rate = DeliveryRate::new(at(0));
    let segments = sent(&mut rate, &[1000, 1000]);
    ack(&mut rate, 1100, 1, &segments[..1]);
    let late = rate.on_sent(at(1500), 1);
    let rs = ack(&mut rate, 1600, 3, &[(at(1500), late)]);
    assert_eq!((rs.send_interval, rs.ack_interval, rs.interval), (ms(500), ms(500), Some(ms(500))));
}

#[test]
fn the_interval_is_the_longer_of_both_and_the_next_begins_behind_it() {
    let mut rate = DeliveryRate::new(at(0));
    let segments = sent(&mut rate, &[1000, 1100, 1200, 1240]);
    ack(&mut rate, 1250, 1, &segments[..1]);
    let fifth = (at(1260), rate.on_sent(at(1260), 3));
    // The ACKs of 260 ms of sending come within 110 ms.
    let rs = ack(&mut rate, 1360, 2, &[segments[1], segments[2], segments[3], fifth]);
    assert_eq!((rs.send_interval, rs.ack_interval), (ms(260), ms(110)));
    assert_eq!((rs.delivered, rs.interval), (4, Some(ms(260))));
    let sixth = (at(1370), rate.on_sent(at(1370), 1));
    let rs = ack(&mut rate, 1480, 6, &[sixth]);
    assert_eq!((rs.send_interval, rs.ack_interval), (ms(110), ms(120)));
}

#[test]
fn the_sample_is_that_of_the_segment_sent_last() {
    let mut rate = DeliveryRate::new(at(0));
    let old = sent(&mut rate, &[1000, 1000]);
    ack(&mut rate, 1100, 1, &old[..1]);
    let new = rate.on_sent(at(1100), 1);
    // In either order the newer one counts.
    for order in [[0, 1], [1, 0]] {
        let mut rate = rate.clone();
        let both = [old[1], (at(1100), new)];
        let mut rs = RateSample::default();
        for n in order {
            let (sent_at, stamp) = both[n];
            rate.on_delivered(&stamp, sent_at, n == 1, SeqNumber(2 + n as u32), &mut rs);
        }
        assert_eq!((rs.prior_delivered, rs.prior_at), (1, Some(at(1100))));
        assert!(rs.is_retrans && rs.last_end_seq == SeqNumber(3));
    }
    // Sent at once, the one with the higher sequence number is newer.
    let (a, b) = (rate.on_sent(at(1200), 1), rate.on_sent(at(1200), 2));
    let mut rs = RateSample::default();
    rate.on_delivered(&a, at(1200), false, SeqNumber(u32::MAX), &mut rs);
    rate.on_delivered(&b, at(1200), true, SeqNumber(0), &mut rs);
    assert!(rs.is_retrans);
}

#[test]
fn what_was_idle_before_does_not_count() {
    let mut rate = DeliveryRate::new(at(0));
    let segments = sent(&mut rate, &[0]);
    ack(&mut rate, 100, 1, &segments);
    let segments = sent(&mut rate, &[60_000]);
    let rs = ack(&mut rate, 60_100, 2, &segments);
    assert_eq!((rs.delivered, rs.interval), (1, RTT));
}

#[test]
fn a_sample_shorter_than_any_round_trip_is_none() {
    let mut rate = DeliveryRate::new(at(0));
    let segments = sent(&mut rate, &[1000]);
    let rs = ack(&mut rate, 1099, 1, &segments);
    assert_eq!((rs.delivered, rs.interval), (1, None));
    assert_eq!(rate.rate(MSS), 0);
    // Nor one before any round trip was measured, nor one of no time.
    for min_rtt in [None, Some(Duration::ZERO)] {
        let mut rs = RateSample { prior_at: Some(at(5000)), ..RateSample::default() };
        rate.generate(at(5000), 1, 0, false, min_rtt, &mut rs);
        assert_eq!(rs.interval, None);
    }
}

#[test]
fn no_sample_without_a_delivery_or_from_a_peer_that_reneged() {
    let mut rate = DeliveryRate::new(at(0));
    let segments = sent(&mut rate, &[1000, 1000]);
    let mut rs = RateSample::default();
    rate.generate(at(1050), 0, 3, false, RTT, &mut rs);
    assert_eq!((rs.delivered, rs.interval, rs.losses), (-1, None, 3));
    assert_eq!(rate.delivered_at(), at(1000));
    let mut rs = RateSample::default();
    rate.on_delivered(&segments[0].1, at(1000), false, SeqNumber(1), &mut rs);
    rate.count_delivered(1);
    rate.generate(at(1100), 1, 0, true, RTT, &mut rs);
    assert_eq!((rs.delivered, rs.interval), (-1, None));
}

#[test]
fn running_out_of_data_marks_samples_until_what_was_in_flight_is_delivered() {
    let mut rate = DeliveryRate::new(at(0));
    // Data left, window full, or a loss to repair: not limited by the application.
    rate.check_app_limited(MSS, MSS, 1, 10, 0, 0);
    rate.check_app_limited(0, MSS, 10, 10, 0, 0);
    rate.check_app_limited(0, MSS, 1, 10, 2, 1);
    assert_eq!(rate.app_limited(), 0);
    let segments = sent(&mut rate, &[1000, 1000]);
    rate.check_app_limited(MSS - 1, MSS, 2, 10, 1, 1);
    assert_eq!(rate.app_limited(), 2);
    let marked = rate.on_sent(at(1050), 2);
    assert!(!ack(&mut rate, 1100, 1, &segments).is_app_limited);
    assert_eq!(rate.rate(MSS), 20_000);
    assert_eq!(rate.app_limited(), 2);
    let rs = ack(&mut rate, 1150, 3, &[(at(1050), marked)]);
    assert!(rs.is_app_limited && rate.app_limited() == 0);
    // Faster than before: kept, and said to be a lower bound.
    assert_eq!((rate.rate(MSS), rate.rate_app_limited()), (20_000, true));
    let slow = sent(&mut rate, &[2000]);
    rate.set_app_limited(1);
    ack(&mut rate, 2500, 4, &slow);
    assert_eq!(rate.rate(MSS), 2_000);
    let limited = sent(&mut rate, &[3000]);
    let rs = ack(&mut rate, 9000, 5, &limited);
    assert!(rs.is_app_limited, "marked while it was sent");
    assert_eq!(rate.rate(MSS), 2_000, "a slower one says nothing");
}
