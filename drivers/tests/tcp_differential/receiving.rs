//! Data that comes: acknowledgments, windows, what is out of order.

use super::compare::{Scenario, accepted, accepted_with, plain};

pub fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    acknowledgments(&mut all);
    out_of_order(&mut all);
    windows(&mut all);
    congestion(&mut all);
    all
}

/// `count` full segments from number `first`, one `gap` after the other.
fn segments(first: u32, count: u32, size: u32, gap: &str) -> String {
    (0..count)
        .map(|n| {
            let start = first + n * size;
            format!("{gap} < P. {start}:{}({size}) ack 1 win 512\n", start + size)
        })
        .collect()
}

fn acknowledgments(all: &mut Vec<Scenario>) {
    let mut add = |name: &str, script: String| {
        all.push(Scenario::new(format!("ACKs: {name}"), plain(&script)));
    };
    add(
        "twenty full segments, each read",
        segments(1, 20, 1460, "+0").replace('\n', "\n+.002 read 9999\n"),
    );
    add(
        "twenty full segments, read at the end",
        format!("{}+.001 read 99999", segments(1, 20, 1460, "+.001")),
    );
    add("thirty small segments", format!("{}+.001 read 99999", segments(1, 30, 100, "+.001")));
    add(
        "segments of different sizes",
        format!(
            "{}{}{}{}+.01 read 99999",
            segments(1, 4, 1460, "+.001"),
            segments(5841, 3, 200, "+.001"),
            segments(6441, 3, 1000, "+.001"),
            segments(9441, 4, 1460, "+.001")
        ),
    );
    add(
        "a pause after many",
        format!(
            "{}+.001 read 99999\n+.1 < P. 21901:23361(1460) ack 1 win 512\n+.02 use 3\n+.1 read 9999",
            segments(1, 15, 1460, "+.001")
        ),
    );
    // Twenty used up the quick ones.
    add(
        "delayed once the quick ones are used up",
        format!(
            "{}+.001 read 99999\n+.01 < P. 29201:30661(1460) ack 1 win 512\n+.015 use 3\n+.1 use 3\n+0 < P. 30661:32121(1460) ack 1 win 512\n+0 < P. 32121:33581(1460) ack 1 win 512\n+.1 use 3",
            segments(1, 20, 1460, "+.001")
        ),
    );
    add("answered at once", "+.01 < P. 1:101(100) ack 1 win 512\n+.001 read 200\n+0 write 50\n+.01 < P. 101:201(100) ack 51 win 512\n+.001 read 200\n+0 write 50\n+.01 < P. 201:301(100) ack 101 win 512\n+.02 use 3\n+.1 read 200".into());
    add("answered at once, then two full segments", "+.01 < P. 1:101(100) ack 1 win 512\n+.001 read 200\n+0 write 50\n+.01 < P. 101:1561(1460) ack 51 win 512\n+0 < P. 1561:3021(1460) ack 51 win 512\n+.02 use 3\n+.1 read 9999".into());
    add(
        "after the host wrote",
        "+.01 write 100\n+.01 < P. 1:101(100) ack 101 win 512\n+.02 use 3\n+.1 read 200".into(),
    );
    add("quick by option", "+0 set TCP_QUICKACK 1\n+.01 < P. 1:101(100) ack 1 win 512\n+.01 < P. 101:201(100) ack 1 win 512".into());
    add(
        "not quick by option",
        "+0 set TCP_QUICKACK 0\n+.01 < P. 1:101(100) ack 1 win 512\n+.02 use 3\n+.1 use 3".into(),
    );
    add("made quick while one is delayed", "+.01 < P. 1:101(100) ack 1 win 512\n+.001 read 200\n+0 write 50\n+.01 < P. 101:201(100) ack 51 win 512\n+.01 set TCP_QUICKACK 1\n+.02 use 3".into());
    add("old data", "+.01 < P. 1:1001(1000) ack 1 win 512\n+.01 < P. 1:1001(1000) ack 1 win 512\n+.01 < P. 501:1001(500) ack 1 win 512\n+.01 < P. 501:1501(1000) ack 1 win 512".into());
    add("without PSH", "+.01 < . 1:1461(1460) ack 1 win 512\n+.001 < . 1461:2921(1460) ack 1 win 512\n+.001 < . 2921:4381(1460) ack 1 win 512\n+.02 read 9999".into());
    all.push(Scenario::new(
        "ACKs: with timestamps",
        accepted(
            "+.01 < P. 1:1449(1448) ack 1 win 512 <nop,nop,TS val 150 ecr 1000>
        +.001 < P. 1449:2897(1448) ack 1 win 512 <nop,nop,TS val 151 ecr 1000>
        +.001 read 9999
        +.001 < P. 2897:4345(1448) ack 1 win 512 <nop,nop,TS val 152 ecr 1000>
        +.001 < P. 4345:5793(1448) ack 1 win 512 <nop,nop,TS val 153 ecr 1000>
        +0 write 10
        +.01 < P. 5793:5893(100) ack 11 win 512 <nop,nop,TS val 170 ecr 1030>",
        ),
    ));
}

fn out_of_order(all: &mut Vec<Scenario>) {
    let scripts = [
        (
            "one hole",
            "+.01 < P. 1001:2001(1000) ack 1 win 512\n+.001 < P. 2001:3001(1000) ack 1 win 512\n+.01 < P. 1:1001(1000) ack 1 win 512\n+.01 read 9999",
        ),
        (
            "five holes",
            "+.01 < P. 1001:2001(1000) ack 1 win 512\n+0 < P. 3001:4001(1000) ack 1 win 512\n+0 < P. 5001:6001(1000) ack 1 win 512\n+0 < P. 7001:8001(1000) ack 1 win 512\n+0 < P. 9001:10001(1000) ack 1 win 512\n+0 < P. 2001:3001(1000) ack 1 win 512\n+0 < P. 1:1001(1000) ack 1 win 512\n+.01 read 9999\n+0 < P. 8001:9001(1000) ack 1 win 512\n+0 < P. 4001:5001(1000) ack 1 win 512\n+0 < P. 6001:7001(1000) ack 1 win 512\n+.01 read 9999",
        ),
        (
            "from the end to the beginning",
            "+.01 < P. 4001:5001(1000) ack 1 win 512\n+0 < P. 3001:4001(1000) ack 1 win 512\n+0 < P. 2001:3001(1000) ack 1 win 512\n+0 < P. 1001:2001(1000) ack 1 win 512\n+0 < P. 1:1001(1000) ack 1 win 512\n+.01 read 9999",
        ),
        (
            "the same again",
            "+.01 < P. 1001:2001(1000) ack 1 win 512\n+0 < P. 1001:2001(1000) ack 1 win 512\n+0 < P. 1:1001(1000) ack 1 win 512\n+0 < P. 1:1001(1000) ack 1 win 512\n+.01 read 9999",
        ),
        (
            "a part again",
            "+.01 < P. 1001:2001(1000) ack 1 win 512\n+0 < P. 1501:2501(1000) ack 1 win 512\n+0 < P. 501:1501(1000) ack 1 win 512\n+0 < P. 1:3001(3000) ack 1 win 512\n+.01 read 9999",
        ),
        (
            "a part of what is there and of what is not",
            "+.01 < P. 1:1001(1000) ack 1 win 512\n+0 < P. 2001:3001(1000) ack 1 win 512\n+0 < P. 501:1501(1000) ack 1 win 512\n+0 < P. 501:3501(3000) ack 1 win 512\n+.01 read 9999",
        ),
        (
            "what bridges two",
            "+.01 < P. 1001:2001(1000) ack 1 win 512\n+0 < P. 3001:4001(1000) ack 1 win 512\n+0 < P. 1501:3501(2000) ack 1 win 512\n+0 < P. 1:1001(1000) ack 1 win 512\n+.01 read 9999",
        ),
        (
            "with data of the host",
            "+.01 < P. 1001:2001(1000) ack 1 win 512\n+.01 write 3000\n+.01 < P. 1:1001(1000) ack 3001 win 512\n+0 write 100",
        ),
        (
            "many after a hole",
            "+.01 < P. 1461:2921(1460) ack 1 win 512\n+0 < P. 2921:4381(1460) ack 1 win 512\n+0 < P. 4381:5841(1460) ack 1 win 512\n+0 < P. 5841:7301(1460) ack 1 win 512\n+0 < P. 7301:8761(1460) ack 1 win 512\n+.02 < P. 1:1461(1460) ack 1 win 512\n+.01 read 99999",
        ),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(format!("out of order: {name}"), plain(script)));
        let timed = script.replace("win 512", "win 512 <nop,nop,TS val 200 ecr 1000>");
        all.push(Scenario::new(format!("out of order, with timestamps: {name}"), accepted(&timed)));
        all.push(Scenario::new(
            format!("out of order, without SACK: {name}"),
            accepted_with("mss 1460,nop,wscale 7", 512, script),
        ));
    }
    all.push(Scenario::new(
        "out of order: no D-SACK",
        format!("sysctl tcp_dsack=0\n{}", plain("+.01 < P. 1:1001(1000) ack 1 win 512\n+.01 < P. 1:1001(1000) ack 1 win 512\n+0 < P. 2001:3001(1000) ack 1 win 512\n+0 < P. 2001:3001(1000) ack 1 win 512")),
    ));
}

fn windows(all: &mut Vec<Scenario>) {
    // A receive buffer that fills soon.
    let small = |rest: &str| {
        format!(
            "0 socket ; set SO_RCVBUF 10000 ; bind 8080 ; listen 4
            +0 < S 0:0(0) win 65535 <mss 1000,sackOK>
            +.02 < . 1:1(0) ack 1 win 5000
            +0 accept
            {rest}"
        )
    };
    let fill = segments(1, 9, 1000, "+.001");
    let scripts = [("filled up", fill.clone())];
    for (name, script) in scripts {
        all.push(Scenario::new(format!("window: {name}"), small(&script)));
    }
    let plain_scripts = [
        ("read in pieces", format!("{}+.01 read 1000\n+0 read 5000\n+0 read 10000\n+0 read 20000", segments(1, 20, 1460, "+.001"))),
        ("data beyond the window", "+.01 < P. 64001:65461(1460) ack 1 win 512\n+.01 < P. 64241:65701(1460) ack 1 win 512\n+.01 < P. 65000:66460(1460) ack 1 win 512".into()),
        ("nothing at the edge of the window", "+.01 < . 64257:64257(0) ack 1 win 512\n+.6 < . 64258:64258(0) ack 1 win 512\n+.6 < . 64300:64300(0) ack 1 win 512".into()),
    ];
    for (name, script) in plain_scripts {
        all.push(Scenario::new(format!("window: {name}"), plain(&script)));
    }
}

/// RFC 3168 §6.1.3.
fn congestion(all: &mut Vec<Scenario>) {
    let ecn = |rest: &str| {
        format!(
            "0 socket ; bind 8080 ; listen 4
            +0 < SEW 0:0(0) win 65535 <mss 1460,sackOK,nop,nop,nop,wscale 7>
            +.02 < . 1:1(0) ack 1 win 512
            +0 accept
            {rest}"
        )
    };
    let scripts = [
        (
            "marked data",
            "+.01 < [ce] P. 1:1461(1460) ack 1 win 512\n+.001 < [ect0] P. 1461:2921(1460) ack 1 win 512\n+.001 < [ect0] PW. 2921:4381(1460) ack 1 win 512\n+.001 < [ce] P. 4381:5841(1460) ack 1 win 512\n+.001 < [ce] PW. 5841:7301(1460) ack 1 win 512",
        ),
        (
            "marked data out of order",
            "+.01 < [ce] P. 1461:2921(1460) ack 1 win 512\n+.001 < [ect0] P. 1:1461(1460) ack 1 win 512",
        ),
        (
            "marked data and an answer",
            "+.01 < [ce] P. 1:1461(1460) ack 1 win 512\n+.001 write 100\n+.01 < [ect0] PW. 1461:1561(100) ack 101 win 512\n+.01 write 100",
        ),
        (
            "a marked ACK",
            "+.01 < [ce] . 1:1(0) ack 1 win 512\n+.01 < [ect0] P. 1:101(100) ack 1 win 512",
        ),
        (
            "data that is not capable",
            "+.01 < [ect0] P. 1:101(100) ack 1 win 512\n+.01 < P. 101:201(100) ack 1 win 512\n+.01 < P. 201:301(100) ack 1 win 512",
        ),
        (
            "an echo of congestion",
            "+.01 write 14600\n+.02 < E. 1:1(0) ack 2921 win 512\n+.001 < E. 1:1(0) ack 5841 win 512\n+0 write 3000\n+.001 < . 1:1(0) ack 14601 win 512\n+.01 write 9000",
        ),
        ("FIN and a reset", "+.01 write 100\n+.01 < R. 1:1(0) ack 101 win 512"),
        ("FIN", "+.01 shutdown wr\n+.01 < . 1:1(0) ack 2 win 512"),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(format!("ECN: {name}"), ecn(script)));
    }
    all.push(Scenario::new(
        "ECN: the host asks",
        "sysctl tcp_ecn=1
        0 socket ; connect
        +.02 < SE. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,nop,nop,nop,wscale 7>
        +.01 write 5000
        +.02 < E. 1:1(0) ack 1461 win 512
        +0 write 5000
        +.02 < . 1:1(0) ack 10001 win 512",
    ));
    all.push(Scenario::new(
        "ECN: the host asks and is refused",
        "sysctl tcp_ecn=1
        0 socket ; connect
        +.02 < S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,nop,nop,nop,wscale 7>
        +.01 write 5000",
    ));
    all.push(Scenario::new(
        "ECN: the host asks and is mirrored",
        "sysctl tcp_ecn=1
        0 socket ; connect
        +.02 < SEW. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,nop,nop,nop,wscale 7>
        +.01 write 5000",
    ));
}
