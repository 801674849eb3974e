//! Flags of send and receive, and sockets that are disconnected and used again.

use super::compare::{LISTEN, Scenario, accepted, connected, plain};

pub fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    records(&mut all);
    small_segments_again(&mut all);
    urgent_received(&mut all);
    urgent_sent(&mut all);
    disconnected(&mut all);
    probing(&mut all);
    all
}

fn records(all: &mut Vec<Scenario>) {
    let scripts = [
        (
            "two small ones",
            "+.01 write 100 eor\n+0 write 100 eor\n+0 write 100\n+.01 < . 1:1(0) ack 201 win 512",
        ),
        (
            "one that waits",
            "+.01 write 100\n+0 write 100 eor\n+.01 write 100\n+.01 < . 1:1(0) ack 201 win 512",
        ),
        (
            "large ones",
            "+.01 write 2000 eor\n+0 write 2000 eor\n+0 write 2000\n+.01 < . 1:1(0) ack 4000 win 512\n+.01 < . 1:1(0) ack 6001 win 512",
        ),
        (
            "more to come",
            "+.01 write 100 more eor\n+.01 write 100\n+.01 < . 1:1(0) ack 101 win 512",
        ),
        (
            "corked",
            "+0 set TCP_CORK 1\n+.01 write 100 eor\n+.01 write 100 eor\n+.01 write 100\n+.01 set TCP_CORK 0",
        ),
        ("and FIN", "+.01 write 100\n+0 write 100 eor\n+0 close"),
        (
            "a closed window",
            "+.01 < . 1:1(0) ack 1 win 0\n+.01 write 100 eor\n+0 write 100 eor\n+.01 < . 1:1(0) ack 1 win 512\n+.01 < . 1:1(0) ack 201 win 512",
        ),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(format!("records: {name}"), plain(script)));
    }
}

/// Everything is lost, and small segments are joined.
fn small_segments_again(all: &mut Vec<Scenario>) {
    let writes = [
        ("five", "write 100\n+0 write 200\n+0 write 300\n+0 write 400\n+0 write 500"),
        (
            "with a record",
            "write 100\n+0 write 200 eor\n+0 write 300\n+0 write 400 eor\n+0 write 500",
        ),
        (
            "larger ones between",
            "write 100\n+0 write 1460\n+0 write 300\n+0 write 1400\n+0 write 100",
        ),
    ];
    for (name, writes) in writes {
        for (options, start) in [("timestamps", accepted as fn(&str) -> String), ("plain", plain)] {
            let script = format!("+0 set TCP_NODELAY 1\n+.01 {writes}\n+.7 use 4");
            all.push(Scenario::new(format!("again: {name}, {options}"), start(&script)));
        }
    }
    all.push(Scenario::new(
        "again: a part selectively acknowledged",
        plain("+0 set TCP_NODELAY 1\n+.01 write 100\n+0 write 200\n+0 write 300\n+0 write 400\n+.02 < . 1:1(0) ack 1 win 512 <nop,nop,sack 301:601>\n+.02 < . 1:1(0) ack 1 win 512 <nop,nop,sack 301:1001>\n+.5 use 4"),
    ));
}

fn urgent_received(all: &mut Vec<Scenario>) {
    let scripts = [
        (
            "in the middle",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 50\n+.05 read 1000\n+0 urgent peek\n+0 urgent\n+0 urgent = EINVAL\n+0 read 1000\n+0 nonblocking ; read 10 = EAGAIN",
        ),
        (
            "read first",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 50\n+.01 urgent\n+.05 read 1000\n+0 read 1000",
        ),
        (
            "passed over",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 50\n+.05 read 1000\n+0 read 1000\n+0 urgent = EINVAL",
        ),
        (
            "the last byte",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 100\n+.05 read 1000\n+0 nonblocking ; read 1000 = EAGAIN\n+0 urgent = EINVAL",
        ),
        (
            "the first byte",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 1\n+.05 peek 1000\n+0 read 1000\n+0 urgent = EINVAL",
        ),
        (
            "peeked up to the mark",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 50\n+.05 peek 1000\n+0 peek 10\n+0 read 49\n+0 peek 1000\n+0 urgent",
        ),
        ("none", "+0 urgent = EINVAL"),
        (
            "announced",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 150\n+.01 urgent = EAGAIN\n+.05 read 1000\n+.01 < P. 101:201(100) ack 1 win 512\n+.01 urgent\n+.05 read 1000\n+0 read 1000",
        ),
        (
            "announced, and the end",
            "+.01 < FPU. 1:101(100) ack 1 win 512 urg 150\n+.01 urgent\n+.05 read 1000\n+0 read 1000",
        ),
        (
            "twice, not read",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 50\n+.01 < PU. 101:201(100) ack 1 win 512 urg 50\n+.01 urgent\n+.05 read 1000\n+0 read 1000",
        ),
        (
            "twice, the first due",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 50\n+.05 read 49\n+.01 < PU. 101:201(100) ack 1 win 512 urg 50\n+.05 read 1000\n+0 read 1000",
        ),
        (
            "an older pointer",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 200\n+.01 < PU. 101:151(50) ack 1 win 512 urg 10\n+.01 < P. 151:251(100) ack 1 win 512\n+.05 read 1000\n+0 read 1000",
        ),
        (
            "out of order",
            "+.01 < PU. 101:201(100) ack 1 win 512 urg 50\n+.01 urgent\n+.01 < P. 1:101(100) ack 1 win 512\n+.05 read 1000\n+0 read 1000",
        ),
        (
            "again",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 50\n+.01 urgent\n+.01 < PU. 1:101(100) ack 1 win 512 urg 50\n+.01 urgent = EINVAL\n+.05 read 1000\n+0 read 1000",
        ),
        (
            "in line, asked for",
            "+0 set SO_OOBINLINE 1\n+.01 < PU. 1:101(100) ack 1 win 512 urg 50\n+.01 urgent = EINVAL\n+.05 read 1000\n+0 read 1000",
        ),
        (
            "in line after it came",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 50\n+.01 set SO_OOBINLINE 1\n+.05 read 1000\n+0 read 1000",
        ),
        (
            "closed with the mark unread",
            "+.01 < PU. 1:2(1) ack 1 win 512 urg 1\n+.05 urgent\n+.01 close",
        ),
        (
            "reset",
            "+.01 < PU. 1:101(100) ack 1 win 512 urg 50\n+.01 < R. 101:101(0) ack 1 win 512\n+.01 urgent = ENOTCONN",
        ),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(format!("urgent: {name}"), plain(script)));
    }
    all.push(Scenario::new("urgent: a listener", format!("{LISTEN}+.01 urgent = ENOTCONN")));
}

fn urgent_sent(all: &mut Vec<Scenario>) {
    let scripts = [
        ("one byte", "+.01 write 1 oob\n+.01 < . 1:1(0) ack 2 win 512\n+0 write 100"),
        (
            "Nagle does not hold it",
            "+.01 write 100\n+0 write 100 oob\n+0 write 100\n+.01 < . 1:1(0) ack 201 win 512",
        ),
        (
            "several segments",
            "+.01 write 5000 oob\n+.01 < . 1:1(0) ack 2921 win 512\n+.01 < . 1:1(0) ack 5001 win 512",
        ),
        (
            "far ahead",
            "+0 set SO_SNDBUF 200000\n+.01 write 100000 oob\n+.01 < . 1:1(0) ack 14601 win 512",
        ),
        ("behind a closed window", "+.01 < . 1:1(0) ack 1 win 0\n+.01 write 100 oob\n+.7 use 4"),
        ("lost", "+.01 write 3000 oob\n+.5 use 4"),
        (
            "one after the other",
            "+.01 write 10 oob\n+0 write 10 oob\n+0 write 10\n+.01 < . 1:1(0) ack 21 win 512",
        ),
        ("and FIN", "+.01 write 100 oob\n+0 close"),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(format!("urgent, sent: {name}"), plain(script)));
    }
}

fn disconnected(all: &mut Vec<Scenario>) {
    let fresh = [
        ("fresh", "0 socket ; disconnect\n+0 get SO_ERROR = 0"),
        (
            "bound",
            "0 socket ; bind 8080 ; disconnect\n+0 bind 8081 = EINVAL\n+0 listen 4\n+.01 < S 0:0(0) win 65535 <mss 1460>",
        ),
        (
            "listening",
            "0 socket ; bind 8080 ; listen 4\n+.01 < S 0:0(0) win 65535 <mss 1460>\n+.01 disconnect\n+0 get SO_ERROR = 0\n+.01 < @40002 S 0:0(0) win 65535 <mss 1460>\n+.01 listen 4\n+.01 < @40003 S 0:0(0) win 65535 <mss 1460>",
        ),
        (
            "SYN-SENT",
            "0 socket ; nonblocking ; connect = EINPROGRESS\n+.01 disconnect\n+0 get SO_ERROR = ECONNRESET\n+.01 < S. 0:0(0) ack 1 win 65535 <mss 1460>",
        ),
    ];
    for (name, script) in fresh {
        all.push(Scenario::new(format!("disconnect: {name}"), script));
    }
    let again = "+.01 disconnect\n+0 get SO_ERROR = ECONNRESET\n+0 read 10 = ENOTCONN\n+0 write 10 = EPIPE\n+.01 < . 1:1(0) ack 1 win 512";
    let states = [
        ("established", String::new()),
        ("unread data", "+.01 < P. 1:101(100) ack 1 win 512\n".into()),
        ("unacknowledged data", "+.01 write 1000\n".into()),
        ("unsent data", "+.01 < . 1:1(0) ack 1 win 0\n+.01 write 1000\n".into()),
        ("FIN-WAIT-1", "+.01 shutdown wr\n".into()),
        ("FIN-WAIT-2", "+.01 shutdown wr\n+.01 < . 1:1(0) ack 2 win 512\n".into()),
        ("CLOSE-WAIT", "+.01 < F. 1:1(0) ack 1 win 512\n".into()),
        ("urgent data", "+.01 < PU. 1:101(100) ack 1 win 512 urg 10\n".into()),
    ];
    for (name, script) in states {
        let script: String = script;
        all.push(Scenario::new(format!("disconnect: {name}"), plain(&format!("{script}{again}"))));
    }
    let closed = [
        (
            "LAST-ACK",
            "+.01 < F. 1:1(0) ack 1 win 512\n+.01 shutdown wr\n+.01 disconnect\n+0 get SO_ERROR = 0",
        ),
        (
            "LAST-ACK, unsent data",
            "+.01 < F. 1:1(0) ack 1 win 0\n+.01 write 100\n+.01 shutdown wr\n+.01 disconnect\n+0 get SO_ERROR = ECONNRESET",
        ),
        (
            "CLOSING",
            "+.01 shutdown wr\n+.01 < F. 1:1(0) ack 1 win 512\n+.01 disconnect\n+0 get SO_ERROR = 0",
        ),
        (
            "TIME-WAIT",
            "+.01 shutdown wr\n+.01 < F. 1:1(0) ack 2 win 512\n+.01 disconnect\n+0 get SO_ERROR = 0",
        ),
        ("reset", "+.01 < R. 1:1(0) ack 1 win 512\n+.01 disconnect\n+0 get SO_ERROR = ECONNRESET"),
    ];
    for (name, script) in closed {
        all.push(Scenario::new(format!("disconnect: {name}"), plain(script)));
    }
    all.push(Scenario::new(
        "disconnect: and connected again",
        connected("+.01 write 100\n+.01 disconnect\n+0 get SO_ERROR = ECONNRESET\n+.01 connect 40001\n+.02 < @40001 S. 0:0(0) ack 1 win 65535 <mss 1460>\n+.01 write 100"),
    ));
}

/// The search for the path MTU, from the start.
fn probing(all: &mut Vec<Scenario>) {
    const ON: &str = "sysctl tcp_mtu_probing=2\n";
    // Ten segments, acknowledged one by one, so that the window allows for a probe.
    let mut opening = String::from("+.01 write 10240\n");
    for n in 1..=10 {
        opening += &format!("+.005 < . 1:1(0) ack {} win 512\n", n * 1024 + 1);
    }
    let scripts = [
        ("enough behind it", "+.01 write 20000\n+.01 < . 1:1(0) ack 12000 win 512\n"),
        ("not enough behind it", "+.01 write 5000\n+.01 < . 1:1(0) ack 15241 win 512\n"),
        (
            "acknowledged",
            "+.01 write 20000\n+.01 < . 1:1(0) ack 11483 win 512\n+.01 < . 1:1(0) ack 15000 win 512\n+.01 write 20000\n+.01 < . 1:1(0) ack 20000 win 512\n",
        ),
        (
            "lost",
            "+.01 write 20000\n+.01 < . 1:1(0) ack 10241 win 512 <nop,nop,sack 11483:14555>\n+.01 < . 1:1(0) ack 10241 win 512 <nop,nop,sack 11483:20000>\n+.05 use 3\n",
        ),
        ("lost, and nothing comes back", "+.01 write 20000\n+.8 use 3\n"),
        (
            "across a record",
            "+.01 write 1000 eor\n+0 write 20000\n+.01 < . 1:1(0) ack 12000 win 512\n",
        ),
        (
            "with a small window",
            "+.01 < . 1:1(0) ack 10241 win 40\n+.01 write 20000\n+.01 < . 1:1(0) ack 12000 win 40\n",
        ),
    ];
    for (name, script) in scripts {
        let active = "0 socket ; connect\n+.02 < S. 0:0(0) ack 1 win 65535 <mss 1460,nop,nop,sackOK,nop,wscale 7>\n";
        all.push(Scenario::new(
            format!("probing: {name}"),
            format!("{ON}{active}{opening}{script}"),
        ));
    }
    let passive = "+.01 write 10240\n+.01 < . 1:1(0) ack 10241 win 600\n+.01 write 20000\n+.01 < . 1:1(0) ack 20000 win 600";
    for (name, start) in [("plain", plain as fn(&str) -> String), ("timestamps", accepted)] {
        all.push(Scenario::new(
            format!("probing: passive, {name}"),
            format!("{ON}{}", start(passive)),
        ));
    }
}
