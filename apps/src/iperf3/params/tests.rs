use super::*;

fn read(text: &str) -> Result<Params, String> {
    Params::from_json(text.as_bytes())
}

#[test]
fn parameters_of_iperf3() {
    // As iperf3 3.12 sends them.
    let params = read(
        r#"{"tcp":true,"omit":0,"time":1,"num":0,"blockcount":0,"MSS":1000,"nodelay":true,
        "parallel":2,"window":102400,"len":131072,"bandwidth":10000000,"fqrate":1000000000,
        "pacing_timer":1000,"burst":4,"TOS":16,"congestion":"reno","zerocopy":1,
        "client_version":"3.12"}"#,
    );
    let expected = Params {
        until: Until::Time(1),
        mss: Some(1000),
        nodelay: true,
        parallel: 2,
        window: Some(102_400),
        rate: 10_000_000,
        burst: 4,
        tos: 16,
        congestion: Some("reno".into()),
        ..Params::default()
    };
    assert_eq!(params, Ok(expected));
    let params = read(
        r#"{"udp":true,"omit":1,"time":0,"num":0,"blockcount":3,"parallel":1,"bidirectional":true,
        "len":1000,"bandwidth":1048576,"pacing_timer":2000,"title":"title","extra_data":"foo",
        "get_server_output":1,"udp_counters_64bit":1,"repeating_payload":1,"dont_fragment":1}"#,
    );
    let expected = Params {
        protocol: Protocol::Udp,
        direction: Direction::Both,
        until: Until::Blocks(3),
        omit: 1,
        block: 1000,
        rate: 1_048_576,
        pacing_timer: 2000,
        title: Some("title".into()),
        extra_data: Some("foo".into()),
        get_server_output: true,
        counters_64bit: true,
        repeating_payload: true,
        dont_fragment: true,
        ..Params::default()
    };
    assert_eq!(params, Ok(expected));
}

#[test]
fn what_is_sent_can_be_read() {
    let all = Params {
        protocol: Protocol::Udp,
        direction: Direction::Both,
        until: Until::Bytes(u64::MAX),
        omit: 3,
        parallel: 128,
        block: 65_507,
        rate: u64::MAX,
        burst: 7,
        pacing_timer: 1,
        mss: Some(536),
        nodelay: true,
        window: Some(MAX_WINDOW),
        tos: 255,
        congestion: Some("cubic".into()),
        title: Some("\"\\é\n".into()),
        extra_data: Some(String::new()),
        get_server_output: true,
        counters_64bit: true,
        repeating_payload: true,
        dont_fragment: true,
    };
    for direction in [Direction::Forward, Direction::Reverse, Direction::Both] {
        let params = Params { direction, ..all.clone() };
        assert_eq!(read(&params.to_json().to_string()), Ok(params));
    }
    assert_eq!(read(&Params::default().to_json().to_string()), Ok(Params::default()));
}

#[test]
fn of_both_ways_the_clients_streams_come_first() {
    let params = Params { direction: Direction::Both, parallel: 2, ..Params::default() };
    let sends: Vec<bool> = (0..params.streams()).map(|n| params.client_sends(n)).collect();
    assert_eq!(sends, [true, true, false, false]);
}

#[test]
fn hostile_parameters_are_refused_by_name() {
    for (text, word) in [
        ("", "JSON"),
        ("{{", "JSON"),
        ("[]", "object"),
        (r#"{"sctp":true}"#, "SCTP"),
        (r#"{"parallel":0}"#, "parallel"),
        (r#"{"parallel":129}"#, "parallel"),
        (r#"{"parallel":1e300}"#, "parallel"),
        (r#"{"parallel":-1}"#, "parallel"),
        (r#"{"parallel":"1"}"#, "parallel"),
        (r#"{"parallel":1.5}"#, "parallel"),
        (r#"{"len":0}"#, "len"),
        (r#"{"len":1048577}"#, "len"),
        (r#"{"udp":true,"len":15}"#, "len"),
        (r#"{"udp":true,"len":65508}"#, "len"),
        (r#"{"omit":601}"#, "omit"),
        (r#"{"time":86401}"#, "time"),
        (r#"{"num":-1}"#, "num"),
        (r#"{"burst":1001}"#, "burst"),
        (r#"{"MSS":9217}"#, "MSS"),
        (r#"{"window":536870913}"#, "window"),
        (r#"{"TOS":256}"#, "TOS"),
        (r#"{"reverse":true,"bidirectional":true}"#, "both"),
    ] {
        let why = read(text).expect_err(text);
        assert!(why.contains(word), "{text}: {why}");
    }
    let deep = "[".repeat(100_000);
    assert!(read(&deep).is_err());
    assert_eq!(read("{}"), Ok(Params { until: Until::Time(0), ..Params::default() }));
}
