//! RFC 6298, the retransmission timer.

use tapping_stack::sim::{Conditions, Jitter};
use tapping_stack::tcp::rtt::RttEstimator;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::{SeqNumber, TcpFlags};

use crate::conn::{Conn, Setup};
use crate::path::Path;

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
    Should "RFC6298-2.1-initial" "2.1" "Before the first measurement the timeout is one second."
        => the_first_timeout_is_one_second;
    Must "RFC6298-3-karn" "3" "Retransmitted segments give no measurement unless timestamps tell which copy was acknowledged."
        => karn_and_timestamps;
    Must "RFC6298-3-often" "3" "There is at least one measurement per round trip."
        => a_measurement_per_round_trip;
    Should "RFC6298-5.1-start" "5" "Sending data starts the timer when it is not running."
        => sending_starts_the_timer;
    Should "RFC6298-5.2-stop" "5" "When all is acknowledged the timer stops."
        => the_timer_stops_when_all_is_acknowledged;
    Should "RFC6298-5.3-restart" "5" "An ACK of new data restarts it." => new_acks_restart_the_timer;
    Must "RFC6298-5.4-earliest" "5" "At expiry the earliest unacknowledged segment is retransmitted."
        => expiry_retransmits_the_earliest;
    Must "RFC6298-5.5-double" "5" "Each expiry doubles the timeout." => expiries_double_the_timeout;
    Rule "RFC6298-5-backoff-kept" "5" "The backed-off value stays until a new measurement."
        => backoff_lasts_until_a_measurement;
    Must "RFC6298-5.7-syn" "5" "After a SYN timed out data begins with a timeout of 3 seconds."
        => after_a_lost_syn_data_waits_3_seconds;
    MustNot "RFC6298-2-aggressive" "5" "Nothing is retransmitted needlessly because round trips vary."
        => no_premature_retransmission_under_delay;
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

/// Round trips of 100 ms, a timeout of 300 ms and no probes.
fn plain() -> Setup {
    Setup::default().config(|config| config.tcp.tail_loss_probe = false)
}

fn the_first_timeout_is_one_second() {
    let mut conn = Conn::prepare(&plain());
    conn.start_connect();
    conn.sent();
    let start = conn.at();
    conn.run(1500);
    assert_eq!(conn.only().at - start, 1000);
    // The answer to a SYN as well.
    let mut conn = Conn::prepare(&plain());
    conn.listen();
    conn.syn(TcpFlags::SYN);
    let start = conn.only().at;
    conn.run(1500);
    assert_eq!(conn.only().at - start, 1000);
}

fn karn_and_timestamps() {
    for timestamps in [false, true] {
        let mut conn = Setup { timestamps, ..plain() }.open();
        conn.write(1);
        conn.run(300);
        let again = conn.sent().pop().expect("it is sent again");
        conn.run(60);
        conn.ack(1);
        let info = conn.info();
        assert_eq!(info.unacked, 0);
        match again.timestamps {
            // 100 ms, and a sample of 60 ms.
            Some(_) => assert_eq!((info.rtt, info.backoff), (millis(95), 0)),
            None => assert_eq!((info.rtt, info.backoff), (millis(100), 1)),
        }
    }
}

fn a_measurement_per_round_trip() {
    let mut conn = plain().open();
    let mut acked = 0;
    let mut last = conn.info().rtt;
    for rtt in [150, 200, 250, 300, 250, 200] {
        conn.write(5);
        conn.run(rtt);
        acked += 5;
        conn.ack(acked);
        let srtt = conn.info().rtt;
        assert_eq!(srtt > last, millis(rtt) > last, "{srtt:?} after {rtt} ms");
        assert_ne!(srtt, last);
        last = srtt;
    }
}

fn sending_starts_the_timer() {
    let mut conn = plain().open();
    conn.run(5000);
    conn.write(1);
    conn.run(100);
    // It is not started anew by what follows.
    conn.write(1);
    conn.sent();
    conn.run(199);
    conn.quiet();
    conn.run(1);
    assert_eq!(conn.numbers(), [0]);
}

fn the_timer_stops_when_all_is_acknowledged() {
    let mut conn = plain().open();
    conn.write(3);
    conn.sent();
    conn.run(100);
    conn.ack(3);
    conn.run(1_000_000);
    conn.quiet();
    assert_eq!(conn.ext().tcp_timeouts, 0);
}

fn new_acks_restart_the_timer() {
    let mut conn = plain().open();
    conn.write(3);
    conn.sent();
    conn.run(100);
    conn.ack(1);
    let rto = conn.info().rto.as_millis() as u64;
    conn.run(rto - 1);
    conn.quiet();
    conn.run(2);
    assert_eq!(conn.numbers(), [1]);
}

fn expiry_retransmits_the_earliest() {
    let mut conn = plain().open();
    conn.write(10);
    conn.run(100);
    conn.sack(2, &[(8, 9)]);
    conn.sent();
    conn.run(2000);
    assert_eq!(conn.numbers()[0], 2);
    let mut conn = plain().open();
    conn.write(10);
    conn.sent();
    conn.run(300);
    let again = conn.only();
    assert_eq!((again.number(), again.at), (0, 300));
}

fn expiries_double_the_timeout() {
    let mut conn = plain().open();
    conn.write(1);
    conn.sent();
    conn.run(600_000);
    let times: Vec<u64> = conn.sent().iter().map(|sent| sent.at).collect();
    let waits: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(times[0], 300);
    assert_eq!(waits[..9], [600, 1200, 2400, 4800, 9600, 19_200, 38_400, 76_800, 120_000]);
    assert!(waits[9..].iter().all(|wait| *wait == 120_000));
}

fn backoff_lasts_until_a_measurement() {
    let mut conn = plain().open();
    conn.write(1);
    conn.run(300 + 600 + 1);
    assert_eq!(conn.info().backoff, 2);
    // What was sent again and is acknowledged measures nothing.
    conn.ack(1);
    assert_eq!((conn.info().backoff, conn.info().rto.as_millis()), (2, 1200));
    conn.write(1);
    conn.run(100);
    conn.ack(2);
    assert_eq!(conn.info().backoff, 0);
    assert!(conn.info().rto.as_millis() <= 301);
}

fn after_a_lost_syn_data_waits_3_seconds() {
    let mut conn = Conn::prepare(&plain());
    conn.start_connect();
    conn.run(1050);
    conn.sent();
    conn.syn(TcpFlags::SYN | TcpFlags::ACK);
    conn.sent();
    assert_eq!(conn.info().rto, millis(3000));
    let start = conn.at();
    conn.write(1);
    conn.sent();
    conn.run(5000);
    assert_eq!(conn.sent()[0].at - start, 3000);
    // Timestamps do measure.
    let mut conn = Conn::prepare(&plain().timestamps());
    conn.start_connect();
    conn.run(1050);
    conn.sent();
    conn.syn(TcpFlags::SYN | TcpFlags::ACK);
    assert!(conn.info().rto < millis(1000));
}

fn no_premature_retransmission_under_delay() {
    for seed in 1..=3 {
        let mut path = Path::new(seed, millis(100), |plan| {
            let jitter = Jitter::Uniform(millis(75));
            plan.conditions = Conditions { jitter, ..plan.conditions };
        });
        // One round trip after another, so that the timer counts.
        for _ in 0..100 {
            path.transfer(2);
            path.run(millis(20));
        }
        let ext = path.sender_ext();
        assert_eq!((ext.tcp_timeouts, path.retransmitted()), (0, 0), "seed {seed}: {ext:?}");
    }
}
