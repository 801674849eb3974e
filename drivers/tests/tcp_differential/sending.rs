//! Data that goes: segment sizes, Nagle, windows.

use super::compare::{Scenario, accepted, accepted_with, connected, plain};

pub fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    small_writes(&mut all);
    sizes(&mut all);
    windows(&mut all);
    growth(&mut all);
    all
}

fn small_writes(all: &mut Vec<Scenario>) {
    let scripts = [
        ("two small writes", "+.01 write 100\n+0 write 100\n+.01 < . 1:1(0) ack 101 win 512"),
        (
            "three small writes",
            "+.01 write 100\n+0 write 100\n+0 write 100\n+.01 < . 1:1(0) ack 101 win 512\n+.01 < . 1:1(0) ack 301 win 512",
        ),
        (
            "a full and a small",
            "+.01 write 1460\n+0 write 100\n+0 write 100\n+.01 < . 1:1(0) ack 1561 win 512",
        ),
        (
            "a small and a full",
            "+.01 write 100\n+0 write 1460\n+0 write 100\n+.01 < . 1:1(0) ack 101 win 512",
        ),
        ("more than a segment", "+.01 write 2000\n+0 write 2000\n+.01 < . 1:1(0) ack 2001 win 512"),
        (
            "without delay",
            "+0 set TCP_NODELAY 1\n+.01 write 100\n+0 write 100\n+0 write 100\n+.01 < . 1:1(0) ack 301 win 512",
        ),
        (
            "delay switched off while something waits",
            "+.01 write 100\n+0 write 100\n+.01 set TCP_NODELAY 1\n+0 write 100",
        ),
        (
            "corked",
            "+0 set TCP_CORK 1\n+.01 write 100\n+0 write 100\n+.01 write 2000\n+.01 set TCP_CORK 0\n+.01 < . 1:1(0) ack 2201 win 512",
        ),
        ("corked for too long", "+0 set TCP_CORK 1\n+.01 write 100\n+.1 use 3\n+.3 use 3"),
        (
            "corked without delay",
            "+0 set TCP_NODELAY 1 ; set TCP_CORK 1\n+.01 write 100\n+.01 write 100\n+.01 set TCP_CORK 0",
        ),
        (
            "more to come",
            "+.01 write 100 more\n+.01 write 100 more\n+.01 write 100\n+.01 < . 1:1(0) ack 301 win 512",
        ),
        (
            "more to come, a full segment",
            "+.01 write 2000 more\n+.01 write 100\n+.01 < . 1:1(0) ack 1461 win 512\n+.01 < . 1:1(0) ack 2101 win 512",
        ),
        ("more to come and nothing does", "+.01 write 100 more\n+.1 use 3\n+.3 use 3"),
        ("small writes and FIN", "+.01 write 100\n+0 write 100\n+0 close"),
        (
            "an ACK with data of the host waiting",
            "+.01 write 100\n+0 write 100\n+.01 < P. 1:101(100) ack 1 win 512\n+.01 < P. 101:201(100) ack 101 win 512",
        ),
        ("nothing", "+.01 write 0\n+.01 write 1"),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(format!("write: {name}"), plain(script)));
    }
}

fn sizes(all: &mut Vec<Scenario>) {
    for mss in [48, 88, 100, 536, 1000, 1459, 1460, 1461, 9000] {
        all.push(Scenario::new(
            format!("size: MSS {mss}"),
            accepted_with(
                &format!("mss {mss},nop,nop,sackOK,nop,wscale 7"),
                512,
                "+.01 write 5000\n+.02 < . 1:1(0) ack 5001 win 512\n+.01 write 5000",
            ),
        ));
    }
    all.push(Scenario::new("size: with timestamps", accepted("+.01 write 5000\n+.02 < . 1:1(0) ack 5001 win 512 <nop,nop,TS val 160 ecr 1030>\n+0 write 5000")));
    all.push(Scenario::new(
        "size: with timestamps and SACK blocks",
        accepted(
            "+.01 < P. 101:201(100) ack 1 win 512 <nop,nop,TS val 150 ecr 1000>\n+0 write 5000",
        ),
    ));
    all.push(Scenario::new("size: the host opened", connected("+.01 write 5000\n+.02 < . 1:1(0) ack 5001 win 512 <nop,nop,TS val 160 ecr 1030>\n+0 write 5000")));
    all.push(Scenario::new(
        "size: an MSS of the user's in between",
        plain("+.01 set TCP_MAXSEG 500\n+0 write 5000"),
    ));
    for writes in [
        "write 30000",
        "write 10000 ; write 10000 ; write 10000",
        "write 1000 ; write 20000 ; write 1 ; write 8999",
    ] {
        all.push(Scenario::new(
            format!("size: {writes}"),
            plain(&format!("+.01 {writes}\n+.02 < . 1:1(0) ack 2921 win 512\n+0 < . 1:1(0) ack 5841 win 512\n+0 < . 1:1(0) ack 14601 win 512\n+.01 < . 1:1(0) ack 30001 win 512")),
        ));
    }
}

fn windows(all: &mut Vec<Scenario>) {
    // Without a scale, the windows are what they say.
    let exact = |window: u32, rest: &str| accepted_with("mss 1000,nop,nop,sackOK", window, rest);
    let scripts = [
        ("less than a write", 3000, "+.01 write 5000\n+.02 < . 1:1(0) ack 3001 win 3000"),
        (
            "opened bit by bit",
            2000,
            "+.01 write 5000\n+.02 < . 1:1(0) ack 1001 win 1100\n+0 < . 1:1(0) ack 1001 win 1500\n+0 < . 1:1(0) ack 2001 win 700\n+0 < . 1:1(0) ack 2001 win 2000",
        ),
        (
            "shrunk",
            5000,
            "+.01 write 3000\n+.02 < . 1:1(0) ack 1001 win 1000\n+0 write 1000\n+.01 < . 1:1(0) ack 3001 win 1000\n+.01 < . 1:1(0) ack 4001 win 1000",
        ),
        (
            "shrunk to nothing with data in flight",
            5000,
            "+.01 write 3000\n+.02 < . 1:1(0) ack 1001 win 0\n+.5 < . 1:1(0) ack 3001 win 1000",
        ),
        (
            "closed and opened",
            1000,
            "+.01 write 3000\n+.02 < . 1:1(0) ack 501 win 0\n+.05 < . 1:1(0) ack 501 win 1000",
        ),
        (
            "closed and probed",
            2000,
            "+.01 write 3000\n+.02 < . 1:1(0) ack 2001 win 0\n+.15 use 3\n+.2 < . 1:1(0) ack 2001 win 0\n+.25 use 3\n+.3 < . 1:1(0) ack 2001 win 0\n+.5 use 3\n+.6 < . 1:1(0) ack 2001 win 4000",
        ),
        (
            "closed and probes not answered",
            1000,
            "+.01 write 3000\n+.02 < . 1:1(0) ack 1001 win 0\n+.1 use 3\n+.2 use 3\n+.4 use 3\n+.4 use 3",
        ),
        (
            "closed with an urgent ACK",
            1000,
            "+.01 < . 1:1(0) ack 1 win 0\n+0 write 10\n+.3 < . 1:1(0) ack 1 win 1\n+.3 < . 1:1(0) ack 2 win 5",
        ),
        (
            "smaller than a segment",
            400,
            "+.01 write 1000\n+.02 < . 1:1(0) ack 201 win 400\n+0 < . 1:1(0) ack 401 win 400\n+.1 use 3",
        ),
        ("of one byte", 1, "+.01 write 100\n+.3 < . 1:1(0) ack 2 win 1\n+.3 use 3"),
        (
            "an old one",
            3000,
            "+.01 write 1000\n+.02 < P. 1:101(100) ack 1001 win 3000\n+0 < . 1:1(0) ack 1001 win 5000\n+0 write 5000",
        ),
    ];
    for (name, window, script) in scripts {
        all.push(Scenario::new(format!("the peer's window: {name}"), exact(window, script)));
    }
    all.push(Scenario::new("the peer's window: with timestamps, closed and probed", accepted("+.01 < . 1:1(0) ack 1 win 0 <nop,nop,TS val 150 ecr 1000>\n+0 write 100\n+.15 use 3\n+.35 < . 1:1(0) ack 1 win 512 <nop,nop,TS val 500 ecr 1300>")));
}

fn growth(all: &mut Vec<Scenario>) {
    for algorithm in ["reno", "cubic"] {
        let set = format!("+0 set TCP_CONGESTION {algorithm}\n");
        let info = "+0 assert tcpi_snd_cwnd >= 0 and tcpi_snd_ssthresh >= 0 and tcpi_unacked >= 0 and tcpi_ca_state >= 0";
        let scripts = [
            ("slow start", "+.01 write 45000\n+.02 < . 1:1(0) ack 2921 win 512\nI\n+0 < . 1:1(0) ack 5841 win 512\n+0 < . 1:1(0) ack 8761 win 512\n+0 < . 1:1(0) ack 11681 win 512\n+0 < . 1:1(0) ack 14601 win 512\nI".to_string()),
            ("one ACK for all", "+.01 write 45000\n+.02 < . 1:1(0) ack 14601 win 512\nI\n+.02 < . 1:1(0) ack 43801 win 512\nI".into()),
            ("limited by the application", "+.01 write 2920\n+.02 < . 1:1(0) ack 2921 win 512\nI\n+0 write 2920\n+.02 < . 1:1(0) ack 5841 win 512\nI".into()),
            ("ACK division", "+.01 write 45000\n+.02 < . 1:1(0) ack 101 win 512\n+0 < . 1:1(0) ack 201 win 512\n+0 < . 1:1(0) ack 301 win 512\n+0 < . 1:1(0) ack 1461 win 512\nI".into()),
            ("idle for long", "+.01 write 45000\n+.02 < . 1:1(0) ack 14601 win 512\n+.02 < . 1:1(0) ack 43801 win 512\n+.02 < . 1:1(0) ack 45001 win 512\nI\n+1.5 write 45000\nI".into()),
        ];
        for (name, script) in scripts {
            all.push(Scenario::new(
                format!("{algorithm}: {name}"),
                plain(&(set.clone() + &script.replace('I', info))),
            ));
        }
    }
}
