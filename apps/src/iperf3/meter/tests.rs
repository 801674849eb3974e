use super::*;

fn info(socket: usize, sending: bool) -> StreamInfo {
    let addr = "10.0.0.1:5201".parse().unwrap();
    StreamInfo { socket, sending, local: addr, remote: addr }
}

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn tcp(bytes: u64, retransmits: u64, rtt: u64) -> Snapshot {
    let sample = TcpSample { retransmits, cwnd: rtt * 10, window: 7, rtt, rttvar: 1, pmtu: 1500 };
    Snapshot { bytes, tcp: Some(sample), ..Snapshot::default() }
}

fn udp(packets: u64, lost: u64) -> Snapshot {
    Snapshot { bytes: (packets - lost) * 100, packets, lost, jitter: 0.5, ..Snapshot::default() }
}

#[test]
fn intervals_are_differences_and_what_is_omitted_does_not_count() {
    let params = Params { omit: 1, ..Params::default() };
    let mut meter = Meter::new(Role::Client, &params, &[info(5, true)], at(100));
    let interval = meter.interval(at(1_100), &[tcp(1_000, 3, 20)]);
    assert_eq!((interval.start, interval.end, interval.omitted), (0.0, 1.0, true));
    assert_eq!(interval.streams[0].tcp.unwrap().retransmits, 3);
    meter.omitted(at(1_100), &[tcp(1_000, 3, 20)]);
    let interval = meter.interval(at(2_100), &[tcp(1_500, 4, 40)]);
    assert_eq!((interval.start, interval.end, interval.omitted), (0.0, 1.0, false));
    assert_eq!((interval.streams[0].bytes, interval.streams[0].tcp.unwrap().retransmits), (500, 1));
    let last = meter.finish(at(2_600), &[tcp(2_000, 4, 10)], Some(at(1_000))).unwrap();
    assert_eq!((last.start, last.end, last.streams[0].bytes), (1.0, 1.5, 500));
    let summary = meter.summary(None);
    let sender = summary.streams[0].sender.unwrap();
    assert_eq!((sender.bytes, sender.seconds, sender.retransmits), (1_000, 1.5, Some(1)));
    assert_eq!((sender.rate() * 1.5).round(), 1_000.0);
    let range = summary.streams[0].tcp.unwrap();
    assert_eq!((range.max_rtt, range.min_rtt, range.mean_rtt, range.max_cwnd), (40, 10, 25, 400));
    assert_eq!(summary.streams[0].receiver, None);
}

#[test]
fn a_tail_is_told_when_it_says_something() {
    let second = Some(at(1_000));
    let meter = || {
        let mut meter = Meter::new(Role::Server, &Params::default(), &[info(5, false)], at(0));
        meter.interval(at(1_000), &[tcp(10, 0, 1)]);
        meter
    };
    let same = [tcp(10, 0, 1)];
    assert_eq!(meter().finish(at(1_000), &same, second), None);
    assert_eq!(meter().finish(at(1_050), &same, second), None);
    assert!(meter().finish(at(1_100), &same, second).is_some(), "a tenth of an interval");
    assert!(meter().finish(at(1_001), &[tcp(11, 0, 1)], second).is_some(), "more has come");
    assert!(meter().finish(at(1_500), &[tcp(11, 0, 1)], None).is_some(), "one for all");
    let mut short = Meter::new(Role::Server, &Params::default(), &[info(5, false)], at(0));
    assert!(short.finish(at(1), &[tcp(0, 0, 1)], second).is_some(), "nothing was told so far");
}

#[test]
fn the_other_end_says_the_rest() {
    let params = Params { protocol: Protocol::Udp, omit: 1, ..Params::default() };
    let mut sender = Meter::new(Role::Client, &params, &[info(5, true)], at(0));
    let mut receiver = Meter::new(Role::Server, &params, &[info(5, false)], at(0));
    sender.omitted(at(1_000), &[udp(100, 0)]);
    receiver.omitted(at(1_000), &[udp(90, 5)]);
    sender.finish(at(2_000), &[udp(300, 0)], None);
    receiver.finish(at(2_500), &[udp(280, 25)], None);
    let results = Results { streams: receiver.results(), ..Results::default() };
    let stream = sender.summary(Some(&results)).streams[0];
    let (sent, received) = (stream.sender.unwrap(), stream.receiver.unwrap());
    assert_eq!((sent.packets, sent.lost, sent.bytes), (200, 0, 20_000));
    assert_eq!((received.packets, received.lost, received.seconds), (190, 20, 1.5));
    assert_eq!(received.jitter, 0.5);
    // iperf3 3.12 tells counts with what was omitted, and not how much that was.
    let mut old = results.clone();
    old.streams[0].omitted = None;
    let received = sender.summary(Some(&old)).streams[0].receiver.unwrap();
    assert_eq!((received.packets, received.lost), (180, 25));
    // Nothing about this stream.
    old.streams[0].id = 7;
    assert_eq!(sender.summary(Some(&old)).streams[0].receiver, None);
}

#[test]
fn sums() {
    let side = |bytes, seconds, retransmits| Side {
        bytes,
        seconds,
        retransmits,
        jitter: seconds,
        ..Side::default()
    };
    let sum = Side::sum(&[side(10, 1.0, Some(1)), side(20, 2.0, None), side(30, 3.0, Some(4))]);
    assert_eq!((sum.bytes, sum.seconds, sum.retransmits, sum.jitter), (60, 3.0, Some(5), 2.0));
    assert_eq!(Side::sum([]), Side::default());
    assert_eq!(Side::default().rate(), 0.0);
}
