//! What happens when nothing does.

use super::compare::{LISTEN, Scenario, accepted, connected, plain};

pub fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    all.push(Scenario::new("SYN: sent again", "0 socket ; connect\n+.5 use 3\n+1 use 3\n+1 use 3"));
    all.push(Scenario::new(
        "SYN: twice and no more",
        "0 socket ; set TCP_SYNCNT 1 ; connect\n+.5 use 3\n+1 use 3\n+2.2 get SO_ERROR = 0",
    ));
    all.push(Scenario::new("SYN: sent again, then answered", "0 socket ; connect\n+1.3 < S. 0:0(0) ack 1 win 65535 <mss 1460>\n+.02 write 20000\n+0 assert tcpi_snd_cwnd >= 0"));
    all.push(Scenario::new(
        "SYN: with ECN, sent again without",
        "sysctl tcp_ecn=1\n0 socket ; connect\n+.5 use 3\n+1 use 3\n+1 use 3",
    ));
    all.push(Scenario::new("SYN-ACK: sent again", format!("{LISTEN}\n+0 < S 0:0(0) win 65535 <mss 1460>\n+.5 use 3\n+1 use 3\n+2 use 3\n+0 < . 1:1(0) ack 1 win 5000\n+0 accept\n+0 write 20000\n+0 assert tcpi_snd_cwnd >= 0")));
    all.push(Scenario::new(
        "SYN-ACK: with ECN, sent again",
        format!("{LISTEN}\n+0 < SEW 0:0(0) win 65535 <mss 1460>\n+.5 use 3\n+1 use 3"),
    ));
    let keepalive =
        "+0 set SO_KEEPALIVE 1 ; set TCP_KEEPIDLE 1 ; set TCP_KEEPINTVL 1 ; set TCP_KEEPCNT 2\n";
    let scripts = [
        ("unanswered", "+.5 use 3\n+1 use 3\n+1 use 3\n+1.2 get SO_ERROR = 0\n+0 read 10"),
        ("answered", "+.5 use 3\n+1 < . 1:1(0) ack 1 win 512\n+.7 use 3\n+1 use 3"),
        ("after data", "+.5 < P. 1:101(100) ack 1 win 512\n+.7 use 3\n+.8 use 3"),
        ("with data in flight", "+.01 write 100\n+.1 use 3\n+.27 use 3\n+.33 use 3\n+.6 use 3"),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(
            format!("keepalive: {name}"),
            plain(&format!("{keepalive}{script}")),
        ));
    }
    all.push(Scenario::new(
        "keepalive: with timestamps",
        accepted(&format!(
            "{keepalive}+.5 use 3\n+1 < . 1:1(0) ack 1 win 512 <nop,nop,TS val 1500 ecr 2000>"
        )),
    ));
    all.push(Scenario::new("user timeout: data", plain("+0 set TCP_USER_TIMEOUT 500\n+.01 write 100\n+.1 use 3\n+1.4 get SO_ERROR = 0\n+0 write 10")));
    all.push(Scenario::new("user timeout: a closed window", plain("+0 set TCP_USER_TIMEOUT 500\n+.01 < . 1:1(0) ack 1 win 0\n+0 write 100\n+1.6 get SO_ERROR = 0")));
    all.push(Scenario::new(
        "user timeout: SYN",
        "0 socket ; set TCP_USER_TIMEOUT 1500 ; connect\n+.5 use 3\n+2.2 get SO_ERROR = 0",
    ));
    all.push(Scenario::new("idle: the host opened and waits", connected("+.5 use 3\n+0 write 100\n+.02 < . 1:1(0) ack 101 win 512 <nop,nop,TS val 700 ecr 1500>")));
    all
}
