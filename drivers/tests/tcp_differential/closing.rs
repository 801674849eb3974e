//! Ending a connection: every path through the states, and what comes too late.

use super::compare::{Scenario, accepted, accepted_with, connected, group, plain};

/// What the scripts read of a socket to see its state.
const STATE: &str = "assert tcpi_state >= 0";

pub fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    active(&mut all);
    passive(&mut all);
    time_wait(&mut all);
    resets(&mut all);
    halves(&mut all);
    all
}

fn active(all: &mut Vec<Scenario>) {
    let scripts = [
        (
            "FIN acknowledged, then the peer's",
            "+.01 close\n+.01 < . 1:1(0) ack 2 win 512\n+.01 < F. 1:1(0) ack 2 win 512",
        ),
        ("FIN answered by FIN", "+.01 close\n+.01 < F. 1:1(0) ack 2 win 512"),
        (
            "FIN met by FIN",
            "+.01 close\n+.01 < F. 1:1(0) ack 1 win 512\n+.01 < . 2:2(0) ack 2 win 512",
        ),
        (
            "FIN met by FIN that comes again",
            "+.01 close\n+.01 < F. 1:1(0) ack 1 win 512\n+.01 < F. 1:1(0) ack 1 win 512\n+.01 < . 2:2(0) ack 2 win 512",
        ),
        (
            "FIN after data",
            "+.01 write 1000\n+0 close\n+.01 < . 1:1(0) ack 1002 win 512\n+.01 < F. 1:1(0) ack 1002 win 512",
        ),
        (
            "FIN with data that waits",
            "+.01 write 40000\n+0 close\n+.01 < . 1:1(0) ack 14601 win 512\n+.01 < . 1:1(0) ack 40002 win 512",
        ),
        (
            "FIN of which only the data is acknowledged",
            "+.01 write 1000\n+0 close\n+.01 < . 1:1(0) ack 1001 win 512\n+.5 < . 1:1(0) ack 1002 win 512",
        ),
        ("FIN that nobody answers", "+.01 close\n+.15 use 3\n+.35 use 3\n+.9 use 3"),
        (
            "data after close in FIN-WAIT-2",
            "+.01 close\n+.01 < . 1:1(0) ack 2 win 512\n+.01 < P. 1:101(100) ack 2 win 512",
        ),
        ("data after close in FIN-WAIT-1", "+.01 close\n+.01 < P. 1:101(100) ack 1 win 512"),
        ("data and the ACK of FIN", "+.01 close\n+.01 < P. 1:101(100) ack 2 win 512"),
        ("data, FIN and the ACK of FIN", "+.01 close\n+.01 < FP. 1:101(100) ack 2 win 512"),
        (
            "FIN out of order in FIN-WAIT-2",
            "+.01 shutdown wr\n+.01 < . 1:1(0) ack 2 win 512\n+.01 < F. 101:101(0) ack 2 win 512\n+.01 < P. 1:101(100) ack 2 win 512",
        ),
        (
            "a reset in FIN-WAIT-1",
            "+.01 close\n+.01 < R. 1:1(0) ack 1 win 0\n+.01 < . 1:1(0) ack 2 win 512",
        ),
        (
            "a reset in FIN-WAIT-2",
            "+.01 close\n+.01 < . 1:1(0) ack 2 win 512\n+.01 < R. 1:1(0) ack 2 win 0\n+.01 < F. 1:1(0) ack 2 win 512",
        ),
        (
            "SYN in FIN-WAIT-2",
            "+.01 close\n+.01 < . 1:1(0) ack 2 win 512\n+.01 < S 2000000:2000000(0) win 512 <mss 1460>",
        ),
        ("an ACK of too much in FIN-WAIT-1", "+.01 close\n+.01 < . 1:1(0) ack 3 win 512"),
        (
            "no time in FIN-WAIT-2",
            "+0 set TCP_LINGER2 -1\n+.01 close\n+.01 < . 1:1(0) ack 2 win 512\n+.01 < F. 1:1(0) ack 2 win 512",
        ),
        (
            "closed with a window of none",
            "+.01 < . 1:1(0) ack 1 win 0\n+0 write 100\n+0 close\n+.5 < . 1:1(0) ack 1 win 512\n+.01 < . 1:1(0) ack 102 win 512",
        ),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(format!("active: {name}"), plain(script)));
    }
    all.push(Scenario::new("active: with timestamps", accepted("+.01 close\n+.02 < F. 1:1(0) ack 2 win 512 <nop,nop,TS val 150 ecr 1030>\n+.01 < F. 1:1(0) ack 2 win 512 <nop,nop,TS val 160 ecr 1030>")));
    all.push(Scenario::new(
        "active: the host opened",
        connected("+.01 close\n+.02 < F. 1:1(0) ack 2 win 512 <nop,nop,TS val 150 ecr 1030>"),
    ));
}

fn passive(all: &mut Vec<Scenario>) {
    let scripts = [
        (
            "FIN, read, close",
            "+.01 < F. 1:1(0) ack 1 win 512\n+.01 read 10\n+.01 close\n+.01 < . 2:2(0) ack 2 win 512",
        ),
        (
            "FIN with data",
            "+.01 < FP. 1:101(100) ack 1 win 512\n+.01 read 1000\n+0 read 1000\n+.01 close\n+.01 < . 102:102(0) ack 2 win 512",
        ),
        (
            "FIN that comes again",
            "+.01 < F. 1:1(0) ack 1 win 512\n+.01 < F. 1:1(0) ack 1 win 512\n+.01 < F. 1:1(0) ack 1 win 512",
        ),
        (
            "FIN with data that comes again",
            "+.01 < FP. 1:101(100) ack 1 win 512\n+.01 < FP. 1:101(100) ack 1 win 512",
        ),
        (
            "FIN before its data",
            "+.01 < F. 101:101(0) ack 1 win 512\n+.01 < P. 1:101(100) ack 1 win 512\n+.01 read 1000 ; read 1000",
        ),
        (
            "FIN with data, before other data",
            "+.01 < FP. 101:201(100) ack 1 win 512\n+.01 < P. 1:101(100) ack 1 win 512\n+.05 read 1000 ; read 1000",
        ),
        (
            "data beyond FIN",
            "+.01 < F. 1:1(0) ack 1 win 512\n+.01 < P. 2:102(100) ack 1 win 512\n+.01 read 10",
        ),
        (
            "data written after the peer's FIN",
            "+.01 < F. 1:1(0) ack 1 win 512\n+.06 write 1000\n+.01 < . 2:2(0) ack 1001 win 512\n+.01 close\n+.01 < . 2:2(0) ack 1002 win 512",
        ),
        (
            "FIN that nobody answers in LAST-ACK",
            "+.01 < F. 1:1(0) ack 1 win 512\n+.06 close\n+.15 use 3\n+.5 use 3",
        ),
        (
            "FIN again in LAST-ACK",
            "+.01 < F. 1:1(0) ack 1 win 512\n+.06 close\n+.01 < F. 1:1(0) ack 1 win 512\n+.01 < . 2:2(0) ack 2 win 512\n+.01 < . 2:2(0) ack 2 win 512",
        ),
        (
            "a reset in CLOSE-WAIT",
            "+.01 < F. 1:1(0) ack 1 win 512\n+.06 < R. 2:2(0) ack 1 win 0\n+0 read 10\n+0 write 10\n+0 get SO_ERROR = 0",
        ),
        (
            "a reset in LAST-ACK",
            "+.01 < F. 1:1(0) ack 1 win 512\n+.06 close\n+.01 < R. 2:2(0) ack 1 win 0\n+.01 < . 2:2(0) ack 2 win 0",
        ),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(format!("passive: {name}"), plain(script)));
    }
}

fn time_wait(all: &mut Vec<Scenario>) {
    let begin = "+.01 close\n+.01 < F. 1:1(0) ack 2 win 512\n";
    let scripts = [
        ("FIN again", "+.01 < F. 1:1(0) ack 2 win 512\n+.01 < F. 1:1(0) ack 2 win 512"),
        ("an ACK", "+.01 < . 2:2(0) ack 2 win 512"),
        ("an old ACK", "+.01 < . 1:1(0) ack 1 win 512"),
        ("data", "+.01 < P. 2:102(100) ack 2 win 512"),
        ("old data", "+.01 < P. 1:2(1) ack 2 win 512"),
        (
            "data out of the window",
            "+.01 < P. 200000:200100(100) ack 2 win 512\n+.01 < P. 200000:200100(100) ack 2 win 512",
        ),
        ("a reset", "+.01 < R 2:2(0) win 0\n+.01 < . 2:2(0) ack 2 win 512"),
        (
            "a reset out of the window",
            "+.01 < R 200000:200000(0) win 0\n+.01 < . 2:2(0) ack 2 win 512",
        ),
        (
            "a later SYN",
            "+.01 < S 1000000:1000000(0) win 65535 <mss 1460>\n+.01 < . 1000001:1000001(0) ack 1 win 512\n+0 use 3 ; accept",
        ),
        ("an old SYN", "+.01 < S 0:0(0) win 65535 <mss 1460>"),
        ("a SYN-ACK", "+.01 < S. 1:1(0) ack 2 win 65535 <mss 1460>"),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(format!("TIME-WAIT: {name}"), plain(&format!("{begin}{script}"))));
    }
    let begin = "+.01 close\n+.01 < F. 1:1(0) ack 2 win 512 <nop,nop,TS val 150 ecr 1030>\n";
    let scripts = [
        ("FIN again", "+.01 < F. 1:1(0) ack 2 win 512 <nop,nop,TS val 160 ecr 1030>"),
        (
            "FIN with an old timestamp",
            "+.01 < F. 1:1(0) ack 2 win 512 <nop,nop,TS val 50 ecr 1030>",
        ),
        (
            "a later SYN by its timestamp",
            "+.01 < S 1000000:1000000(0) win 65535 <mss 1460,sackOK,TS val 500 ecr 0>",
        ),
        (
            "a SYN with the same timestamp",
            "+.01 < S 1000000:1000000(0) win 65535 <mss 1460,sackOK,TS val 150 ecr 0>",
        ),
        (
            "a SYN with an old timestamp",
            "+.01 < S 1000000:1000000(0) win 65535 <mss 1460,sackOK,TS val 50 ecr 0>",
        ),
        (
            "a reset",
            "+.01 < R. 2:2(0) ack 2 win 0 <nop,nop,TS val 160 ecr 1030>\n+.01 < . 2:2(0) ack 2 win 512 <nop,nop,TS val 160 ecr 1030>",
        ),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(
            format!("TIME-WAIT with timestamps: {name}"),
            accepted(&format!("{begin}{script}")),
        ));
    }
    all.push(Scenario::new(
        "TIME-WAIT: a reset with RFC 1337",
        format!("sysctl tcp_rfc1337=1\n{}", plain("+.01 close\n+.01 < F. 1:1(0) ack 2 win 512\n+.01 < R 2:2(0) win 0\n+.01 < F. 1:1(0) ack 2 win 512")),
    ));
}

fn resets(all: &mut Vec<Scenario>) {
    let scripts = [
        (
            "closed with unread data",
            "+.01 < P. 1:101(100) ack 1 win 512\n+.01 close\n+.01 < . 101:101(0) ack 1 win 512",
        ),
        (
            "closed with some data unread",
            "+.01 < P. 1:101(100) ack 1 win 512\n+.01 read 50\n+0 close",
        ),
        (
            "closed with unread data and unsent data",
            "+.01 < P. 1:101(100) ack 1 win 512\n+.01 write 40000\n+0 close",
        ),
        ("closed with data out of order", "+.01 < P. 101:201(100) ack 1 win 512\n+.01 close"),
        ("closed with an unread FIN", "+.01 < F. 1:1(0) ack 1 win 512\n+.06 close"),
        (
            "linger 0",
            "+0 set SO_LINGER [1,0]\n+.01 write 100\n+0 close\n+.01 < . 1:1(0) ack 101 win 512",
        ),
        ("linger 0 and unsent data", "+0 set SO_LINGER [1,0]\n+.01 write 40000\n+0 close"),
        (
            "linger 0 after the peer's FIN",
            "+0 set SO_LINGER [1,0]\n+.01 < F. 1:1(0) ack 1 win 512\n+.06 close",
        ),
        (
            "linger 0 after shutdown",
            "+0 set SO_LINGER [1,0]\n+.01 shutdown wr\n+.01 < . 1:1(0) ack 2 win 512\n+.01 close",
        ),
        (
            "reset by the peer",
            "+.01 < R. 1:1(0) ack 1 win 0\n+0 read 10\n+0 write 10\n+0 get SO_ERROR = 0",
        ),
        (
            "reset by the peer with data unread",
            "+.01 < P. 1:101(100) ack 1 win 512\n+.01 < R. 101:101(0) ack 1 win 0\n+0 get SO_ERROR = 0\n+0 read 1000",
        ),
        ("aborted", "+.01 abort\n+.01 < . 1:1(0) ack 1 win 512"),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(format!("reset: {name}"), plain(script)));
    }
    all.push(Scenario::new(
        "reset: closed with unread data, with timestamps",
        accepted("+.01 < P. 1:101(100) ack 1 win 512 <nop,nop,TS val 150 ecr 1000>\n+.01 close"),
    ));
}

fn halves(all: &mut Vec<Scenario>) {
    let scripts = [
        (
            "shut down for writing, data still comes",
            "+.01 write 100\n+0 shutdown wr\n+0 write 10\n+.01 < . 1:1(0) ack 102 win 512\n+.01 < P. 1:1001(1000) ack 102 win 512\n+.01 read 2000\n+.01 < F. 1001:1001(0) ack 102 win 512\n+.01 read 10\n+0 close",
        ),
        (
            "shut down for reading, data still comes",
            "+.01 shutdown rd\n+.01 < P. 1:101(100) ack 1 win 512\n+.05 read 1000\n+0 write 10",
        ),
        (
            "shut down for both",
            "+.01 shutdown rdwr\n+.01 < . 1:1(0) ack 2 win 512\n+.01 < P. 1:101(100) ack 2 win 512",
        ),
        (
            "shut down for both after data came",
            "+.01 < P. 1:101(100) ack 1 win 512\n+0 shutdown rdwr\n+.01 < . 101:101(0) ack 2 win 512\n+.01 close",
        ),
        (
            "shut down twice",
            "+.01 shutdown wr\n+0 shutdown wr\n+.01 < . 1:1(0) ack 2 win 512\n+0 shutdown wr",
        ),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(format!("half: {name}"), plain(script)));
    }
    let states = format!(
        "+.01 {STATE}\n+0 shutdown wr\n+0 {STATE}\n+.01 < . 1:1(0) ack 2 win 512\n+0 {STATE}\n+.01 < F. 1:1(0) ack 2 win 512\n+0 {STATE}"
    );
    let passive = format!(
        "+.01 < F. 1:1(0) ack 1 win 512\n+0 {STATE}\n+.06 shutdown wr\n+0 {STATE}\n+.01 < . 2:2(0) ack 2 win 512\n+0 {STATE}"
    );
    group(all, "states", [("active", &*plain(&states)), ("passive", &plain(&passive))]);
    all.push(Scenario::new(
        "states: shut down without a connection",
        "0 socket ; shutdown wr\n+0 bind 8080 ; listen 1 ; shutdown wr\n+0 read 10 ; write 10",
    ));
    all.push(Scenario::new("half: no room in the window for FIN", accepted_with("mss 1000", 1000, "+.01 write 1000\n+0 close\n+.01 < . 1:1(0) ack 1001 win 0\n+.3 < . 1:1(0) ack 1001 win 100")));
}
