use std::net::Ipv4Addr;

use tapping_stack::time::Instant;

use super::*;
use crate::ping::engine::{Action, Pacing, Sent};

const NOON: Duration = Duration::new(1_700_000_000, 0);

fn host() -> Host {
    Host {
        name: "router".into(),
        addr: Ipv4Addr::new(10, 0, 0, 1).into(),
        from: None,
        size: 4,
        options_len: 0,
        group: false,
    }
}

fn lines(tell: impl FnOnce(&mut Json<&mut Vec<u8>>)) -> Vec<Value> {
    let mut out = Vec::new();
    tell(&mut Json::new(&mut out, false));
    let text = String::from_utf8(out).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_reply_has_its_time_whatever_its_size() {
    let reply = Reply {
        from: Named { addr: Ipv4Addr::new(10, 0, 0, 1).into(), name: None },
        sequence: 3,
        ttl: 64,
        rtt: Some(Duration::from_nanos(182_500)),
        duplicate: true,
        different_address: false,
        options: &[7, 7, 8, 10, 0, 0, 9],
        data: &[0; 3],
        difference: None,
    };
    let all = lines(|json| json.event(&host(), NOON, &Event::Reply(reply)).unwrap());
    let expected = json!({
        "event": "reply", "host": "router", "addr": "10.0.0.1", "from": "10.0.0.1", "icmp_seq": 3,
        "bytes": 11, "ttl": 64, "rtt_ms": 0.1825, "duplicate": true, "truncated": true,
        "route": ["10.0.0.9"], "time": 1_700_000_000.0,
    });
    assert_eq!(all, [expected]);
}

#[test]
fn errors_and_silence() {
    let error = IcmpError {
        from: Named { addr: Ipv4Addr::new(10, 0, 0, 9).into(), name: Some("r".into()) },
        sequence: 1,
        icmp_type: 3,
        code: 4,
        info: 1400,
    };
    let all = lines(|json| {
        json.event(&host(), NOON, &Event::Sent).unwrap();
        json.event(&host(), NOON, &Event::Error(error)).unwrap();
        json.event(&host(), NOON, &Event::Timeout { sequence: 2 }).unwrap();
    });
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["event"], "error");
    assert_eq!(all[0]["message"], "Frag needed and DF set (mtu = 1400)");
    assert_eq!(all[0]["mtu"], 1400);
    assert_eq!(all[0]["from_name"], "r");
    assert_eq!((&all[1]["event"], &all[1]["icmp_seq"]), (&json!("timeout"), &json!(2)));
}

#[test]
fn the_summary_is_an_object() {
    let pacing = Pacing {
        count: Some(2),
        interval: Duration::ZERO,
        adaptive: false,
        preload: 2,
        linger: None,
        deadline: None,
        outstanding: false,
        timeouts: true,
    };
    let start = Instant::from_secs(1);
    let mut engine = Engine::new(pacing, start);
    while let Action::Send(_) = engine.poll(start) {
        engine.sent(start, Sent::Ok);
    }
    let none = lines(|json| json.summary(&host(), &engine).unwrap());
    assert_eq!(none[0]["rtt_ms"], Value::Null);
    assert_eq!(none[0]["loss_percent"], 100.0);
    engine.received(start + Duration::from_micros(250), 1);
    let one = lines(|json| json.summary(&host(), &engine).unwrap());
    assert_eq!(one[0]["event"], "summary");
    assert_eq!((&one[0]["transmitted"], &one[0]["received"]), (&json!(2), &json!(1)));
    assert_eq!(one[0]["loss_percent"], 50.0);
    assert_eq!(one[0]["rtt_ms"]["min"], 0.25);
    assert_eq!(one[0]["rtt_ms"]["p99.9"], 0.25);
}
