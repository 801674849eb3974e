//! Segments that should not be there: blind attacks, old duplicates, oddities.

use super::compare::{Scenario, accepted, plain};

pub fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    blind(&mut all);
    paws(&mut all);
    oddities(&mut all);
    all
}

/// RFC 5961, without timestamps and with some data in flight.
fn blind(all: &mut Vec<Scenario>) {
    let segments = [
        "R 1:1(0) win 0",
        "R. 1:1(0) ack 1 win 0",
        "R 2:2(0) win 0",
        "R 1000:1000(0) win 0",
        "R. 1000:1000(0) ack 1 win 0",
        "R 0:0(0) win 0",
        "R 64000:64000(0) win 0",
        "R 200000:200000(0) win 0",
        "R 4294900000:4294900000(0) win 0",
        "R 1:101(100) win 0",
        "RF 1:1(0) win 0",
        "S 0:0(0) win 1000 <mss 1460>",
        "S 1:1(0) win 1000 <mss 1460>",
        "S 1000:1000(0) win 1000 <mss 1460>",
        "S 200000:200000(0) win 1000 <mss 1460>",
        "S. 0:0(0) ack 1 win 1000 <mss 1460>",
        "S. 1:1(0) ack 1 win 1000 <mss 1460>",
        "S 1:101(100) win 1000 <mss 1460>",
        "SF 1:1(0) win 1000",
        "SR 1:1(0) win 1000",
        "P. 1:101(100) ack 0 win 512",
        "P. 1:101(100) ack 1 win 512",
        "P. 1:101(100) ack 501 win 512",
        "P. 1:101(100) ack 1001 win 512",
        "P. 1:101(100) ack 1002 win 512",
        "P. 1:101(100) ack 100000 win 512",
        "P. 1:101(100) ack 4294900000 win 512",
        "P. 1:101(100) ack 4294000000 win 512",
        ". 1:1(0) ack 1002 win 512",
        ". 1:1(0) ack 0 win 512",
        ". 1:1(0) ack 4294000000 win 512",
        ". 0:0(0) ack 1 win 512",
        ". 0:1(1) ack 1 win 512",
        ". 0:1(1) ack 1001 win 512",
        "P. 4294967200:1(97) ack 1 win 512",
        "P. 4294967200:51(147) ack 1 win 512",
        ". 1000:1000(0) ack 1 win 512",
        ". 200000:200000(0) ack 1 win 512",
        ". 4294900000:4294900000(0) ack 1 win 512",
        "P. 200000:200100(100) ack 1 win 512",
        "F. 200000:200000(0) ack 1 win 512",
        "F. 4294900000:4294900000(0) ack 1 win 512",
        "P 1:101(100) win 512",
        "F 1:1(0) win 512",
        "- 1:1(0) win 512",
        "- 1:101(100) win 512",
        "U 1:101(100) win 512 urg 10",
        "FPU. 1:101(100) ack 1 win 512 urg 10",
        "PE. 1:101(100) ack 1 win 512",
        "PW. 1:101(100) ack 1 win 512",
        "PA. 1:101(100) ack 1 win 512",
    ];
    for segment in segments {
        all.push(Scenario::new(
            format!("established, data in flight: {segment}"),
            plain(&format!(
                "+.01 write 1000
                +.01 < {segment}
                +.02 assert tcpi_state >= 0
                +.01 < {segment}
                +0 read 1000
                +.01 < . 101:101(0) ack 1001 win 512
                +.01 < R 1000:1000(0) win 0"
            )),
        ));
    }
    // One answer in half a second.
    for (name, segment) in [
        ("SYNs", "S 1000:1000(0) win 1000"),
        ("resets", "R 1000:1000(0) win 0"),
        ("ACKs of what was not sent", ". 1:1(0) ack 5000 win 512"),
        ("ACKs out of the window", ". 200000:200000(0) ack 1 win 512"),
        ("data out of the window", "P. 200000:200100(100) ack 1 win 512"),
        ("old ACKs", ". 0:0(0) ack 1 win 512"),
    ] {
        all.push(Scenario::new(
            format!("limited: {name}"),
            plain(&format!(
                "+.01 < {segment}\n+.01 < {segment}\n+.2 < {segment}\n+.2 < {segment}\n+.3 < {segment}\n+.01 < {segment}"
            )),
        ));
    }
    all.push(Scenario::new(
        "limited: one and the other",
        plain("+.01 < S 1000:1000(0) win 1000\n+.01 < R 1000:1000(0) win 0\n+.01 < . 1:1(0) ack 5000 win 512\n+.01 < . 200000:200000(0) ack 1 win 512"),
    ));
    all.push(Scenario::new(
        "a reset at the end of what was selectively acknowledged",
        plain("+.01 < P. 101:201(100) ack 1 win 512\n+.01 < R 201:201(0) win 0\n+0 assert tcpi_state >= 0"),
    ));
    all.push(Scenario::new(
        "a reset within what was selectively acknowledged",
        plain("+.01 < P. 101:201(100) ack 1 win 512\n+.01 < R 150:150(0) win 0\n+0 assert tcpi_state >= 0"),
    ));
}

/// RFC 7323 §5.
fn paws(all: &mut Vec<Scenario>) {
    let segments = [
        ("old data", "P. 1:101(100) ack 1 win 512 <nop,nop,TS val 90 ecr 1000>"),
        ("an old ACK", ". 1:1(0) ack 1 win 512 <nop,nop,TS val 90 ecr 1000>"),
        ("an old reset", "R. 1:1(0) ack 1 win 0 <nop,nop,TS val 90 ecr 1000>"),
        ("an old SYN", "S 1:1(0) win 512 <nop,nop,TS val 90 ecr 0>"),
        ("an old FIN", "F. 1:1(0) ack 1 win 512 <nop,nop,TS val 90 ecr 1000>"),
        ("a timestamp one tick old", "P. 1:101(100) ack 1 win 512 <nop,nop,TS val 119 ecr 1000>"),
        ("the same timestamp", "P. 1:101(100) ack 1 win 512 <nop,nop,TS val 120 ecr 1000>"),
        (
            "a timestamp far ahead",
            "P. 1:101(100) ack 1 win 512 <nop,nop,TS val 2000000000 ecr 1000>",
        ),
        (
            "a timestamp half way round",
            "P. 1:101(100) ack 1 win 512 <nop,nop,TS val 2147483768 ecr 1000>",
        ),
        (
            "a timestamp more than half way round",
            "P. 1:101(100) ack 1 win 512 <nop,nop,TS val 2147483769 ecr 1000>",
        ),
        ("no timestamp", "P. 1:101(100) ack 1 win 512"),
        ("an echo of 0", "P. 1:101(100) ack 1 win 512 <nop,nop,TS val 130 ecr 0>"),
        ("an echo of the future", "P. 1:101(100) ack 1 win 512 <nop,nop,TS val 130 ecr 900000>"),
        (
            "timestamps in another place",
            "P. 1:101(100) ack 1 win 512 <TS val 130 ecr 1000,nop,nop>",
        ),
        (
            "timestamps twice",
            "P. 1:101(100) ack 1 win 512 <nop,nop,TS val 130 ecr 1000,nop,nop,TS val 90 ecr 1000>",
        ),
        ("a timestamp out of order", "P. 101:201(100) ack 1 win 512 <nop,nop,TS val 150 ecr 1000>"),
    ];
    for (name, segment) in segments {
        all.push(Scenario::new(
            format!("timestamps: {name}"),
            accepted(&format!(
                "+.05 < {segment}
                +.06 < P. 1:101(100) ack 1 win 512 <nop,nop,TS val 140 ecr 1000>
                +.06 read 1000
                +0 write 10"
            )),
        ));
    }
}

fn oddities(all: &mut Vec<Scenario>) {
    let options = [
        ("a length of 0", "kind 99 ,nop,nop"),
        ("unknown", "kind 99 0102"),
        ("MSS in data", "mss 1000"),
        ("window scale in data", "wscale 3,nop"),
        ("SACK permitted in data", "sackOK,nop,nop"),
        ("an empty SACK", "nop,nop,sack"),
        ("SACK beyond what was sent", "nop,nop,sack 5001:6001"),
        ("SACK below what was acknowledged", "nop,nop,sack 4294960000:4294961000"),
        ("SACK upside down", "nop,nop,sack 500:100"),
        ("SACK that was not agreed upon", "nop,nop,sack 501:1001"),
        ("timestamps that were not agreed upon", "nop,nop,TS val 1 ecr 1"),
        ("the end at once", "eol,nop,nop,nop"),
    ];
    for (name, options) in options {
        all.push(Scenario::new(
            format!("options: {name}"),
            plain(&format!("+.01 write 1000\n+.01 < P. 1:101(100) ack 1 win 512 <{options}>\n+.05 read 1000\n+.01 < . 101:101(0) ack 1001 win 512")),
        ));
    }
    let scripts = [
        (
            "keepalive of the peer",
            "+.01 < . 0:0(0) ack 1 win 512\n+.6 < . 0:1(1) ack 1 win 512\n+.6 < . 0:0(0) ack 1 win 512",
        ),
        (
            "urgent data",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 100\n+.05 read 1000\n+0 read 1000\n+.01 < P. 101:201(100) ack 1 win 512\n+.05 read 1000",
        ),
        (
            "urgent data inline",
            "+0 set SO_OOBINLINE 1\n+.01 < PU. 1:101(100) ack 1 win 512 urg 100\n+.05 read 1000\n+0 read 1000",
        ),
        ("an urgent pointer of 0", "+.01 < PU. 1:101(100) ack 1 win 512 urg 0\n+.05 read 1000"),
        (
            "an urgent pointer beyond the data",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 150\n+.05 read 1000\n+.01 < P. 101:201(100) ack 1 win 512\n+.05 read 1000 ; read 1000",
        ),
        (
            "many ACKs",
            "+.01 write 1000\n+.01 < . 1:1(0) ack 101 win 512\n+0 < . 1:1(0) ack 201 win 512\n+0 < . 1:1(0) ack 301 win 512\n+0 write 1000\n+.01 < . 1:1(0) ack 2001 win 512",
        ),
        (
            "an ACK that goes back",
            "+.01 write 3000\n+.01 < . 1:1(0) ack 2921 win 512\n+0 < . 1:1(0) ack 1461 win 512\n+.01 write 100",
        ),
        (
            "an ACK again and again with nothing sent",
            "+.01 < . 1:1(0) ack 1 win 512\n+0 < . 1:1(0) ack 1 win 512\n+0 < . 1:1(0) ack 1 win 512\n+0 < . 1:1(0) ack 1 win 512",
        ),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(format!("odd: {name}"), plain(script)));
    }
}
