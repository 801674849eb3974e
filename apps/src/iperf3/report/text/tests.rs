//! Expected lines are iperf3 3.12's own, of tests with these amounts.

use super::*;
use crate::iperf3::meter::TcpSample;
use crate::iperf3::protocol::{COOKIE_LEN, Cookie};
use std::time::Duration;

fn report(role: Role, params: &Params, streams: &[StreamInfo]) -> Text<Vec<u8>> {
    let mut text = Text::new(Vec::new(), RateUnit::Adaptive);
    let opening = Opening {
        role,
        params,
        host: "127.0.0.1".into(),
        port: 5201,
        cookie: Cookie([0; COOKIE_LEN]),
        mss: 1448,
        unix: Duration::ZERO,
    };
    text.opened(&opening).unwrap();
    text.connected(streams, (0, 0)).unwrap();
    text
}

fn lines(text: Text<Vec<u8>>) -> Vec<String> {
    let text = String::from_utf8(text.out).unwrap();
    text.lines().map(String::from).collect()
}

fn stream(socket: usize, sending: bool, port: u16) -> StreamInfo {
    let local = ([127, 0, 0, 1], port).into();
    StreamInfo { socket, sending, local, remote: ([127, 0, 0, 1], 5201).into() }
}

fn moved(bytes: u64, tcp: Option<(u64, u64)>) -> Snapshot {
    let tcp = tcp.map(|(retransmits, cwnd)| TcpSample { retransmits, cwnd, ..Default::default() });
    Snapshot { bytes, tcp, ..Snapshot::default() }
}

fn interval(start: f64, end: f64, streams: &[Snapshot]) -> Interval {
    Interval { start, end, omitted: false, streams: streams.to_vec() }
}

fn side(bytes: u64, seconds: f64, retransmits: Option<u64>) -> Side {
    Side { bytes, seconds, retransmits, ..Side::default() }
}

#[test]
fn a_client_that_sends() {
    let mut text = report(Role::Client, &Params::default(), &[stream(5, true, 48548)]);
    text.interval(&Interval {
        omitted: true,
        ..interval(0.0, 1.0, &[moved(12_500, Some((0, 608_256)))])
    })
    .unwrap();
    text.interval(&interval(1.0, 2.0, &[moved(12_500, Some((0, 718_848)))])).unwrap();
    let summary = StreamSummary {
        sender: Some(side(25_000, 2.0, Some(0))),
        receiver: Some(side(25_000, 2.0, None)),
        tcp: None,
    };
    text.summary(&Summary { streams: vec![summary], ..Summary::default() }).unwrap();
    text.done().unwrap();
    assert_eq!(
        lines(text),
        [
            "Connecting to host 127.0.0.1, port 5201",
            "[  5] local 127.0.0.1 port 48548 connected to 127.0.0.1 port 5201",
            "[ ID] Interval           Transfer     Bitrate         Retr  Cwnd",
            "[  5]   0.00-1.00   sec  12.2 KBytes   100 Kbits/sec    0    594 KBytes       (omitted)",
            "[  5]   1.00-2.00   sec  12.2 KBytes   100 Kbits/sec    0    702 KBytes       ",
            "- - - - - - - - - - - - - - - - - - - - - - - - -",
            "[ ID] Interval           Transfer     Bitrate         Retr",
            "[  5]   0.00-2.00   sec  24.4 KBytes   100 Kbits/sec    0             sender",
            "[  5]   0.00-2.00   sec  24.4 KBytes   100 Kbits/sec                  receiver",
            "",
            "iperf Done.",
        ]
    );
}

#[test]
fn a_server_that_receives() {
    let params = Params { get_server_output: true, ..Params::default() };
    let mut text = report(Role::Server, &params, &[stream(5, false, 5201)]);
    text.interval(&interval(0.0, 1.0, &[moved(25_000, None)])).unwrap();
    text.interval(&interval(1.0, 2.0, &[moved(0, None)])).unwrap();
    let summary = StreamSummary {
        sender: Some(side(25_000, 2.0, Some(0))),
        receiver: Some(side(25_000, 2.0, None)),
        tcp: None,
    };
    text.summary(&Summary { streams: vec![summary], ..Summary::default() }).unwrap();
    let kept = text.output();
    let lines = lines(text);
    assert_eq!(
        lines,
        [
            "Accepted connection from 127.0.0.1, port 5201",
            "[  5] local 127.0.0.1 port 5201 connected to 127.0.0.1 port 5201",
            "[ ID] Interval           Transfer     Bitrate",
            "[  5]   0.00-1.00   sec  24.4 KBytes   200 Kbits/sec                  ",
            "[  5]   1.00-2.00   sec  0.00 Bytes  0.00 bits/sec                  ",
            "- - - - - - - - - - - - - - - - - - - - - - - - -",
            "[ ID] Interval           Transfer     Bitrate",
            "[  5]   0.00-2.00   sec  24.4 KBytes   100 Kbits/sec                  receiver",
        ]
    );
    assert_eq!(kept, Some(ServerOutput::Text(lines.join("\n") + "\n")));
}

#[test]
fn datagrams_both_ways() {
    let params =
        Params { protocol: Protocol::Udp, direction: Direction::Both, ..Params::default() };
    let streams = [
        stream(5, true, 47687),
        stream(7, true, 39632),
        stream(9, false, 38002),
        stream(12, false, 60002),
    ];
    let mut text = report(Role::Client, &params, &streams);
    let one = Snapshot { bytes: 32_768, packets: 1, ..Snapshot::default() };
    text.interval(&interval(0.0, 1.0, &[one; 4])).unwrap();
    let own = Side { bytes: 32_768, packets: 1, seconds: 1.0, ..Side::default() };
    let ends = StreamSummary { sender: Some(own), receiver: Some(own), tcp: None };
    text.summary(&Summary { streams: vec![ends; 4], ..Summary::default() }).unwrap();
    assert_eq!(
        lines(text)[5..],
        [
            "[ ID][Role] Interval           Transfer     Bitrate         Jitter    Lost/Total Datagrams",
            "[  5][TX-C]   0.00-1.00   sec  32.0 KBytes   262 Kbits/sec            1  ",
            "[  7][TX-C]   0.00-1.00   sec  32.0 KBytes   262 Kbits/sec            1  ",
            "[SUM][TX-C]   0.00-1.00   sec  64.0 KBytes   524 Kbits/sec            2  ",
            "[  9][RX-C]   0.00-1.00   sec  32.0 KBytes   262 Kbits/sec  0.000 ms  0/1 (0%)  ",
            "[ 12][RX-C]   0.00-1.00   sec  32.0 KBytes   262 Kbits/sec  0.000 ms  0/1 (0%)  ",
            "[SUM][RX-C]   0.00-1.00   sec  64.0 KBytes   524 Kbits/sec  0.000 ms  0/2 (0%)  ",
            "- - - - - - - - - - - - - - - - - - - - - - - - -",
            "[ ID][Role] Interval           Transfer     Bitrate         Jitter    Lost/Total Datagrams",
            "[  5][TX-C]   0.00-1.00   sec  32.0 KBytes   262 Kbits/sec  0.000 ms  0/1 (0%)  sender",
            "[  5][TX-C]   0.00-1.00   sec  32.0 KBytes   262 Kbits/sec  0.000 ms  0/1 (0%)  receiver",
            "[  7][TX-C]   0.00-1.00   sec  32.0 KBytes   262 Kbits/sec  0.000 ms  0/1 (0%)  sender",
            "[  7][TX-C]   0.00-1.00   sec  32.0 KBytes   262 Kbits/sec  0.000 ms  0/1 (0%)  receiver",
            "[SUM][TX-C]   0.00-1.00   sec  64.0 KBytes   524 Kbits/sec  0.000 ms  0/2 (0%)  sender",
            "[SUM][TX-C]   0.00-1.00   sec  64.0 KBytes   524 Kbits/sec  0.000 ms  0/2 (0%)  receiver",
            "[  9][RX-C]   0.00-1.00   sec  32.0 KBytes   262 Kbits/sec  0.000 ms  0/1 (0%)  sender",
            "[  9][RX-C]   0.00-1.00   sec  32.0 KBytes   262 Kbits/sec  0.000 ms  0/1 (0%)  receiver",
            "[ 12][RX-C]   0.00-1.00   sec  32.0 KBytes   262 Kbits/sec  0.000 ms  0/1 (0%)  sender",
            "[ 12][RX-C]   0.00-1.00   sec  32.0 KBytes   262 Kbits/sec  0.000 ms  0/1 (0%)  receiver",
            "[SUM][RX-C]   0.00-1.00   sec  64.0 KBytes   524 Kbits/sec  0.000 ms  0/2 (0%)  sender",
            "[SUM][RX-C]   0.00-1.00   sec  64.0 KBytes   524 Kbits/sec  0.000 ms  0/2 (0%)  receiver",
        ]
    );
}

#[test]
fn one_way_of_datagrams_and_a_title() {
    let params = Params { protocol: Protocol::Udp, title: Some("foo".into()), ..Params::default() };
    let mut text = report(Role::Client, &params, &[stream(5, true, 51244)]);
    let second = Snapshot { bytes: 2_911_764_480, packets: 88_860, ..Snapshot::default() };
    text.interval(&interval(0.0, 0.5, &[second])).unwrap();
    let receiver = Side {
        bytes: 1_803_944_000,
        packets: 168_450,
        lost: 113_428,
        seconds: 1.01,
        out_of_order: 3,
        ..Side::default()
    };
    let ends = StreamSummary { sender: None, receiver: Some(receiver), tcp: None };
    let output = Some(ServerOutput::Text("a\n\x1b[2Jb\n".into()));
    text.summary(&Summary { streams: vec![ends], server_output: output, ..Summary::default() })
        .unwrap();
    assert_eq!(
        lines(text)[2..],
        [
            "foo:  [ ID] Interval           Transfer     Bitrate         Total Datagrams",
            "foo:  [  5]   0.00-0.50   sec  2.71 GBytes  46.6 Gbits/sec  88860  ",
            "foo:  - - - - - - - - - - - - - - - - - - - - - - - - -",
            "foo:  [ ID] Interval           Transfer     Bitrate         Jitter    Lost/Total Datagrams",
            "foo:  [  5] (sender statistics not available)",
            "foo:  [  5]   0.00-1.01   sec  1.68 GBytes  14.3 Gbits/sec  0.000 ms  113428/168450 (67%)  receiver",
            "foo:  [  5]   0.00-1.01   sec  3 datagrams received out-of-order",
            "foo:  ",
            "foo:  Server output:",
            "foo:  a",
            "foo:   [2Jb",
        ]
    );
}

#[test]
fn parallel_streams_have_sums_and_rules_between_intervals() {
    let params = Params { direction: Direction::Reverse, parallel: 2, ..Params::default() };
    let streams = [stream(5, false, 43126), stream(7, false, 43130)];
    let mut text = report(Role::Client, &params, &streams);
    let amount = moved(655_360, None);
    text.interval(&interval(0.0, 0.5, &[amount; 2])).unwrap();
    text.interval(&interval(0.5, 1.0, &[amount; 2])).unwrap();
    let ends = StreamSummary {
        sender: Some(side(1_310_720, 1.0, Some(1))),
        receiver: Some(side(1_310_720, 1.0, None)),
        tcp: None,
    };
    text.summary(&Summary { streams: vec![ends; 2], ..Summary::default() }).unwrap();
    let lines = lines(text);
    assert_eq!(lines[1], "Reverse mode, remote host 127.0.0.1 is sending");
    assert_eq!(
        lines[4..],
        [
            "[ ID] Interval           Transfer     Bitrate",
            "[  5]   0.00-0.50   sec   640 KBytes  10.5 Mbits/sec                  ",
            "[  7]   0.00-0.50   sec   640 KBytes  10.5 Mbits/sec                  ",
            "[SUM]   0.00-0.50   sec  1.25 MBytes  21.0 Mbits/sec                  ",
            "- - - - - - - - - - - - - - - - - - - - - - - - -",
            "[  5]   0.50-1.00   sec   640 KBytes  10.5 Mbits/sec                  ",
            "[  7]   0.50-1.00   sec   640 KBytes  10.5 Mbits/sec                  ",
            "[SUM]   0.50-1.00   sec  1.25 MBytes  21.0 Mbits/sec                  ",
            "- - - - - - - - - - - - - - - - - - - - - - - - -",
            "[ ID] Interval           Transfer     Bitrate         Retr",
            "[  5]   0.00-1.00   sec  1.25 MBytes  10.5 Mbits/sec    1             sender",
            "[  5]   0.00-1.00   sec  1.25 MBytes  10.5 Mbits/sec                  receiver",
            "[  7]   0.00-1.00   sec  1.25 MBytes  10.5 Mbits/sec    1             sender",
            "[  7]   0.00-1.00   sec  1.25 MBytes  10.5 Mbits/sec                  receiver",
            "[SUM]   0.00-1.00   sec  2.50 MBytes  21.0 Mbits/sec    2             sender",
            "[SUM]   0.00-1.00   sec  2.50 MBytes  21.0 Mbits/sec                  receiver",
        ]
    );
}

#[test]
fn sums_of_senders_leave_the_window_out() {
    let params = Params { parallel: 2, ..Params::default() };
    let streams = [stream(5, true, 1), stream(7, true, 2)];
    let mut text = report(Role::Client, &params, &streams);
    text.interval(&interval(0.0, 1.0, &[moved(131_072, Some((0, 966_656))); 2])).unwrap();
    let lines = lines(text);
    assert_eq!(
        lines[4..],
        [
            "[  5]   0.00-1.00   sec   128 KBytes  1.05 Mbits/sec    0    944 KBytes       ",
            "[  7]   0.00-1.00   sec   128 KBytes  1.05 Mbits/sec    0    944 KBytes       ",
            "[SUM]   0.00-1.00   sec   256 KBytes  2.10 Mbits/sec    0             ",
        ]
    );
}
