//! Opening a connection.

use super::compare::{LISTEN, Scenario, accepted, connected, group};

/// A SYN with all options.
const SYN: &str = "< S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>";

pub fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    offers(&mut all);
    strange_opening(&mut all);
    listening(&mut all);
    handshake(&mut all);
    connecting(&mut all);
    settings(&mut all);
    cookies(&mut all);
    all
}

/// The SYN-ACK to each combination of offered options, and what is sent then.
fn offers(all: &mut Vec<Scenario>) {
    for mss in ["", "mss 0", "mss 88", "mss 536", "mss 1460", "mss 9000"] {
        for rest in [
            "",
            "sackOK",
            "TS val 100 ecr 0",
            "wscale 7",
            "sackOK,TS val 100 ecr 0",
            "sackOK,nop,wscale 0",
            "TS val 100 ecr 0,wscale 14",
            "sackOK,TS val 100 ecr 0,nop,wscale 15",
        ] {
            let options: Vec<&str> =
                [mss, rest].into_iter().filter(|option| !option.is_empty()).collect();
            let options = options.join(",");
            let timestamps = rest.contains("TS");
            // No more than the first congestion window.
            let size = if mss == "mss 88" { 700 } else { 3000 };
            let end = size + 1;
            let echo = if timestamps { " <nop,nop,TS val 120 ecr 1000>" } else { "" };
            all.push(Scenario::new(
                format!("offer <{options}>"),
                format!(
                    "{LISTEN}
                    +0 < S 0:0(0) win 65535 <{options}>
                    +.01 < . 1:1(0) ack 1 win 5000{echo}
                    +0 accept
                    +0 write {size}
                    +.01 < P. 1:11(10) ack {end} win 5000{echo}
                    +.01 close"
                ),
            ));
        }
    }
    let odd = [
        ("twice the same option", "mss 536,mss 1200"),
        ("options after the end", "mss 536,eol,sackOK"),
        ("unknown options", "kind 253 abcd,mss 536,kind 30 00"),
        ("an MSS of the wrong length", "kind 2 05,sackOK,nop,nop"),
        ("fast open without a cookie", "mss 1460,FO"),
        ("fast open with a cookie", "mss 1460,FO 0123456789abcdef"),
        ("a SACK block", "mss 1460,sack 1:2"),
        ("timestamps first", "TS val 100 ecr 55,nop,nop,sackOK,nop,wscale 3,mss 1000"),
    ];
    for (name, options) in odd {
        all.push(Scenario::new(
            format!("SYN with {name}"),
            format!("{LISTEN}\n+0 < S 0:0(0) win 65535 <{options}>\n+.01 < R 1:1(0) win 0"),
        ));
    }
}

/// Flags that do not belong on the first segment.
fn strange_opening(all: &mut Vec<Scenario>) {
    let segments = [
        "S 0:100(100) win 65535 <mss 1460>",
        "SF 0:0(0) win 65535 <mss 1460>",
        "SFP 0:10(10) win 65535 <mss 1460>",
        "SU 0:0(0) win 65535 urg 1 <mss 1460>",
        "SP 0:0(0) win 65535 <mss 1460>",
        "SR 0:0(0) win 65535 <mss 1460>",
        "S. 0:0(0) ack 1 win 65535 <mss 1460>",
        "SR. 0:0(0) ack 1 win 65535 <mss 1460>",
        "SEW 0:0(0) win 65535 <mss 1460>",
        "SE 0:0(0) win 65535 <mss 1460>",
        "SW 0:0(0) win 65535 <mss 1460>",
        "SEWA 0:0(0) win 65535 <mss 1460>",
        "SA 0:0(0) win 65535 <mss 1460>",
        "S 0:0(0) win 0 <mss 1460>",
        "S 0:0(0) win 1",
        ". 1:1(0) ack 1 win 1000",
        "P. 1:101(100) ack 1 win 1000",
        "F. 1:1(0) ack 1 win 1000",
        "F 1:1(0) win 1000",
        "FPU 1:1(0) win 1000 urg 1",
        "- 1:1(0) win 1000",
        "- 1:11(10) win 1000",
        "R 1:1(0) win 0",
        "R. 1:1(0) ack 1 win 0",
    ];
    for segment in segments {
        all.push(Scenario::new(
            format!("to a listener: {segment}"),
            format!("{LISTEN}\n+0 < {segment}\n+.01 < R 1:1(0) win 0"),
        ));
        all.push(Scenario::new(
            format!("to a closed port: {segment}"),
            format!("0 < {segment}\n+.01 < R 1:1(0) win 0"),
        ));
    }
    for field in ["ect0", "ect1", "ce", "tos 0x10", "tos 0xb8", "ttl 1", "nodf"] {
        all.push(Scenario::new(
            format!("SYN and ACK in packets with {field}"),
            format!(
                "{LISTEN}
                +0 < [{field}] SEW 0:0(0) win 65535 <mss 1460>
                +.01 < [{field}] . 1:1(0) ack 1 win 5000
                +0 accept
                +0 write 100
                +.01 < [{field}] P. 1:101(100) ack 101 win 5000
                +.05 write 100"
            ),
        ));
        all.push(Scenario::new(
            format!("ACK to a closed port in a packet with {field}"),
            format!("0 < [{field}] . 1:1(0) ack 1 win 5000"),
        ));
    }
}

fn listening(all: &mut Vec<Scenario>) {
    group(all, "listener", [
        (
            "a full accept queue",
            "0 socket ; bind 8080 ; listen 0
            +0 < @1001 S 0:0(0) win 65535 <mss 1460>
            +0 < @1001 . 1:1(0) ack 1 win 1000
            +0 < @1002 S 0:0(0) win 65535 <mss 1460>
            +0 < @1002 . 1:1(0) ack 1 win 1000
            +.01 accept
            +0 < @1003 S 0:0(0) win 65535 <mss 1460>",
        ),
        (
            "two handshakes and room for one",
            "0 socket ; bind 8080 ; listen 1
            +0 < @1001 S 0:0(0) win 65535 <mss 1460>
            +0 < @1001 . 1:1(0) ack 1 win 1000
            +0 < @1002 S 0:0(0) win 65535 <mss 1460>
            +0 < @1002 . 1:1(0) ack 1 win 1000
            +0 < @1002 P. 1:11(10) ack 1 win 1000
            +.01 accept
            +.01 < @1002 P. 1:11(10) ack 1 win 1000
            +.01 accept
            +0 read 100",
        ),
        (
            "closed with connections that nobody accepted",
            "0 socket ; bind 8080 ; listen 4
            +0 < @1001 S 0:0(0) win 65535 <mss 1460>
            +0 < @1001 . 1:1(0) ack 1 win 1000
            +0 < @1002 S 0:0(0) win 65535 <mss 1460>
            +.01 close
            +.01 < @1002 . 1:1(0) ack 1 win 1000
            +0 < @1001 . 1:1(0) ack 1 win 1000",
        ),
        (
            "shut down",
            "0 socket ; bind 8080 ; listen 4
            +0 < @1001 S 0:0(0) win 65535 <mss 1460>
            +0 < @1001 . 1:1(0) ack 1 win 1000
            +.01 shutdown rd
            +.01 < @1003 S 0:0(0) win 65535 <mss 1460>
            +0 accept",
        ),
        (
            "accept deferred until there is data",
            "0 socket ; bind 8080 ; set TCP_DEFER_ACCEPT 5 ; listen 4
            +0 < S 0:0(0) win 65535 <mss 1460>
            +.01 < . 1:1(0) ack 1 win 1000
            +0 accept
            +.01 < P. 1:11(10) ack 1 win 1000
            +0 accept ; read 100",
        ),
        (
            "SYN-ACK with the socket's TOS, TTL and MSS",
            "0 socket ; bind 8080 ; set IP_TOS 16 ; set IP_TTL 7 ; set TCP_MAXSEG 700 ; listen 4
            +0 < S 0:0(0) win 65535 <mss 1460>
            +.01 < . 1:1(0) ack 1 win 5000
            +0 accept
            +0 write 1500
            +.01 < R. 1:1(0) ack 701 win 0",
        ),
    ]);
}

fn handshake(all: &mut Vec<Scenario>) {
    let endings = [
        (
            "the SYN again",
            "+.01 < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 110 ecr 0,nop,wscale 7>
            +.6 < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 120 ecr 0,nop,wscale 7>",
        ),
        ("another SYN", "+.01 < S 500:500(0) win 65535 <mss 1460>"),
        ("a SYN from before", "+.01 < S 4294900000:4294900000(0) win 65535 <mss 1460>"),
        ("a SYN with ACK", "+.01 < S. 0:0(0) ack 1 win 65535"),
        ("an ACK of too little", "+.01 < . 1:1(0) ack 0 win 1000"),
        ("an ACK of too much", "+.01 < . 1:1(0) ack 2 win 1000"),
        (
            "an ACK out of the window",
            "+.01 < . 100000:100000(0) ack 1 win 1000 <nop,nop,TS val 110 ecr 1000>",
        ),
        (
            "an ACK with an old timestamp",
            "+.01 < . 1:1(0) ack 1 win 1000 <nop,nop,TS val 50 ecr 1000>",
        ),
        ("an ACK with a wrong echo", "+.01 < . 1:1(0) ack 1 win 1000 <nop,nop,TS val 110 ecr 5>"),
        ("an ACK without timestamps", "+.01 < . 1:1(0) ack 1 win 1000\n+0 accept\n+0 write 100"),
        ("a reset", "+.01 < R 1:1(0) win 0\n+.01 < . 1:1(0) ack 1 win 1000"),
        ("a reset with ACK", "+.01 < R. 1:1(0) ack 1 win 0\n+.01 < . 1:1(0) ack 1 win 1000"),
        (
            "a reset elsewhere in the window",
            "+.01 < R 100:100(0) win 0\n+.01 < . 1:1(0) ack 1 win 1000 <nop,nop,TS val 110 ecr 1000>\n+0 accept",
        ),
        (
            "a reset out of the window",
            "+.01 < R 100000:100000(0) win 0\n+.01 < . 1:1(0) ack 1 win 1000 <nop,nop,TS val 110 ecr 1000>\n+0 accept",
        ),
        (
            "data with the ACK",
            "+.01 < P. 1:101(100) ack 1 win 1000 <nop,nop,TS val 110 ecr 1000>\n+.01 accept ; read 200",
        ),
        (
            "FIN with the ACK",
            "+.01 < F. 1:1(0) ack 1 win 1000 <nop,nop,TS val 110 ecr 1000>\n+.01 accept ; read 200 ; close",
        ),
        (
            "data and FIN with the ACK",
            "+.01 < FP. 1:11(10) ack 1 win 1000 <nop,nop,TS val 110 ecr 1000>\n+.1 accept ; read 200 ; read 200 ; close",
        ),
        (
            "data without ACK",
            "+.01 < P 1:101(100) win 1000 <nop,nop,TS val 110 ecr 1000>\n+.01 accept",
        ),
        ("FIN without ACK", "+.01 < F 1:1(0) win 1000 <nop,nop,TS val 110 ecr 1000>\n+.01 accept"),
        (
            "data before the ACK",
            "+.01 < P. 101:201(100) ack 1 win 1000 <nop,nop,TS val 110 ecr 1000>
            +0 accept
            +.01 < P. 1:101(100) ack 1 win 1000 <nop,nop,TS val 111 ecr 1000>
            +.01 read 500",
        ),
        (
            "an ACK with no window",
            "+.01 < . 1:1(0) ack 1 win 0 <nop,nop,TS val 110 ecr 1000>\n+0 accept\n+0 write 100
            +.05 < . 1:1(0) ack 1 win 10 <nop,nop,TS val 160 ecr 1000>",
        ),
    ];
    for (name, rest) in endings {
        all.push(Scenario::new(
            format!("handshake: {name}"),
            format!("{LISTEN}\n+0 {SYN}\n{rest}"),
        ));
    }
}

fn connecting(all: &mut Vec<Scenario>) {
    let answers = [
        ("a reset", "R. 0:0(0) ack 1 win 0"),
        ("a reset of nothing", "R 0:0(0) win 0"),
        ("a reset with a wrong ACK", "R. 0:0(0) ack 2 win 0"),
        ("a reset with an ACK before", "R. 0:0(0) ack 0 win 0"),
        ("an ACK", ". 0:0(0) ack 1 win 1000"),
        ("a wrong ACK", ". 0:0(0) ack 100 win 1000"),
        ("data", "P. 0:10(10) ack 1 win 1000"),
        ("FIN", "F. 0:0(0) ack 1 win 1000"),
        ("nothing set", "- 0:0(0) win 1000"),
        ("SYN-ACK of too much", "S. 0:0(0) ack 2 win 1000 <mss 1460>"),
        ("SYN-ACK of nothing", "S. 0:0(0) ack 0 win 1000 <mss 1460>"),
        ("SYN-ACK", "S. 0:0(0) ack 1 win 1000 <mss 1460>"),
        ("SYN-ACK without options", "S. 0:0(0) ack 1 win 1000"),
        ("SYN-ACK with a small MSS", "S. 0:0(0) ack 1 win 1000 <mss 100>"),
        ("SYN-ACK with MSS 0", "S. 0:0(0) ack 1 win 1000 <mss 0>"),
        ("SYN-ACK with a large MSS", "S. 0:0(0) ack 1 win 65535 <mss 9000,nop,wscale 14>"),
        ("SYN-ACK with too large a scale", "S. 0:0(0) ack 1 win 3000 <mss 1460,nop,wscale 15>"),
        (
            "SYN-ACK with timestamps",
            "S. 0:0(0) ack 1 win 1000 <mss 1460,nop,nop,TS val 100 ecr 1000>",
        ),
        (
            "SYN-ACK with timestamps of before",
            "S. 0:0(0) ack 1 win 1000 <mss 1460,nop,nop,TS val 100 ecr 900>",
        ),
        ("SYN-ACK with SACK", "S. 0:0(0) ack 1 win 1000 <mss 1460,nop,nop,sackOK>"),
        ("SYN-ACK with no window", "S. 0:0(0) ack 1 win 0 <mss 1460>"),
        ("SYN-ACK with data", "SP. 0:10(10) ack 1 win 1000 <mss 1460>"),
        ("SYN-ACK with FIN", "SF. 0:0(0) ack 1 win 1000 <mss 1460>"),
        ("SYN-ACK with RST", "SR. 0:0(0) ack 1 win 1000 <mss 1460>"),
        ("SYN-ACK with ECE", "SE. 0:0(0) ack 1 win 1000 <mss 1460>"),
        ("SYN", "S 0:0(0) win 1000 <mss 1460>"),
        ("SYN with options", "S 0:0(0) win 1000 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>"),
        ("SYN with ECN bits", "SEW 0:0(0) win 1000 <mss 1460>"),
        ("SYN with data", "S 0:10(10) win 1000 <mss 1460>"),
        ("SYN with FIN", "SF 0:0(0) win 1000 <mss 1460>"),
    ];
    for (name, segment) in answers {
        let scenario = Scenario::new(
            format!("connect, answered by {name}"),
            format!(
                "0 socket ; connect
                +.02 < {segment}
                +0 assert tcpi_state >= 0
                +.04 write 3000
                +0 get SO_ERROR = 0"
            ),
        );
        all.push(scenario);
    }
    all.push(Scenario::new(
        "connect: simultaneously, and a reset",
        "0 socket ; connect
            +.02 < S 0:0(0) win 65535 <mss 1460>
            +.02 < R. 1:1(0) ack 1 win 0
            +0 assert tcpi_state >= 0
            +0 get SO_ERROR = 0",
    ));
    group(
        all,
        "connect",
        [
            (
                "writes",
                &*connected(
                    "+.05 write 100\n+.01 < . 1:1(0) ack 101 win 512 <nop,nop,TS val 180 ecr 1070>",
                ),
            ),
            (
                "the peer writes first",
                &connected(
                    "+.05 < P. 1:101(100) ack 1 win 512 <nop,nop,TS val 180 ecr 1000>\n+.06 read 500\n+0 write 50",
                ),
            ),
            (
                "SYN-ACK again",
                &connected(
                    "+.01 < S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 101 ecr 1000,nop,wscale 7>",
                ),
            ),
            (
                "simultaneously, finished by ACK",
                "0 socket ; connect
            +.02 < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
            +.02 < . 1:1(0) ack 1 win 512 <nop,nop,TS val 140 ecr 1020>
            +0 assert tcpi_state >= 0
            +0 write 100",
            ),
            (
                "simultaneously, finished by SYN-ACK",
                "0 socket ; connect
            +.02 < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
            +.02 < S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 140 ecr 1020,nop,wscale 7>
            +0 assert tcpi_state >= 0
            +0 write 100",
            ),
            (
                "closed before an answer",
                "0 socket ; connect\n+.02 close\n+.02 < S. 0:0(0) ack 1 win 65535 <mss 1460>",
            ),
            (
                "shut down before an answer",
                "0 socket ; connect\n+.02 shutdown wr\n+.02 < S. 0:0(0) ack 1 win 65535 <mss 1460>",
            ),
            (
                "an MSS of the user's",
                "0 socket ; set TCP_MAXSEG 700 ; connect\n+.02 < S. 0:0(0) ack 1 win 65535 <mss 1460>\n+0 write 2000",
            ),
            (
                "a receive buffer of the user's",
                "0 socket ; set SO_RCVBUF 20000 ; connect\n+.02 < S. 0:0(0) ack 1 win 65535 <mss 1460,nop,wscale 7>",
            ),
            (
                "a large receive buffer",
                "0 socket ; set SO_RCVBUF 200000 ; connect\n+.02 < S. 0:0(0) ack 1 win 65535 <mss 1460,nop,wscale 7>",
            ),
            (
                "a clamped window",
                "0 socket ; set TCP_WINDOW_CLAMP 10000 ; connect\n+.02 < S. 0:0(0) ack 1 win 65535 <mss 1460,nop,wscale 7>",
            ),
            (
                "TOS and TTL",
                "0 socket ; set IP_TOS 184 ; set IP_TTL 3 ; connect\n+.02 < S. 0:0(0) ack 1 win 65535 <mss 1460>\n+0 write 10\n+.01 < R 1:1(0) win 0",
            ),
            (
                "twice",
                "0 socket ; nonblocking ; connect ; connect\n+.02 < S. 0:0(0) ack 1 win 65535 <mss 1460>\n+0 connect ; connect",
            ),
        ],
    );
}

fn settings(all: &mut Vec<Scenario>) {
    let client = "
        0 socket ; connect
        +.02 < S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 100 ecr 1000,nop,wscale 7>
        +.02 write 100";
    let server =
        format!("{LISTEN}\n+0 {SYN}\n+.02 < . 1:1(0) ack 1 win 512\n+0 accept\n+0 write 10");
    for setting in [
        "tcp_timestamps=0",
        "tcp_sack=0",
        "tcp_window_scaling=0",
        "tcp_timestamps=0 tcp_sack=0",
        "tcp_timestamps=0 tcp_sack=0 tcp_window_scaling=0",
        "tcp_sack=0 tcp_window_scaling=0",
        "mtu=576",
        "mtu=1280",
        "mtu=9000",
        "tcp_ecn=0",
        "tcp_ecn=1",
    ] {
        all.push(Scenario::new(
            format!("connect with {setting}"),
            format!("sysctl {setting}{client}"),
        ));
        all.push(Scenario::new(
            format!("accept with {setting}"),
            format!("sysctl {setting}\n{server}"),
        ));
    }
    all.push(Scenario::new(
        "accept with all options",
        accepted("+.05 write 100\n+.01 < . 1:1(0) ack 101 win 512 <nop,nop,TS val 180 ecr 1070>"),
    ));
}

/// Every handshake is answered by a cookie.
fn cookies(all: &mut Vec<Scenario>) {
    for (name, syn, ack) in [
        (
            "all options",
            "mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7",
            "nop,nop,TS val 120 ecr 1000",
        ),
        ("no window scale", "mss 1460,sackOK,TS val 100 ecr 0", "nop,nop,TS val 120 ecr 1000"),
        ("no timestamps", "mss 1460,sackOK,nop,wscale 7", "nop,nop"),
        ("no options", "", ""),
        ("an MSS between two of the table", "mss 1000", ""),
        ("a small MSS", "mss 300", ""),
        ("a large MSS", "mss 9000", ""),
    ] {
        all.push(Scenario::new(
            format!("cookies: {name}"),
            format!(
                "sysctl tcp_syncookies=2
                {LISTEN}
                +0 < S 0:0(0) win 65535 <{syn}>
                +.02 < . 1:1(0) ack 1 win 5000 <{ack}>
                +0 accept
                +0 write 3000
                +.01 < P. 1:11(10) ack 3001 win 5000 <{ack}>"
            ),
        ));
    }
    all.push(Scenario::new(
        "cookies: a forged ACK",
        format!(
            "sysctl tcp_syncookies=2\n{LISTEN}\n+0 {SYN}\n+.01 < . 1:1(0) ack 2 win 5000\n+0 accept"
        ),
    ));
    all.push(Scenario::new(
        "cookies: the SYN with ECN bits",
        format!(
            "sysctl tcp_syncookies=2
            {LISTEN}
            +0 < SEW 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
            +.02 < . 1:1(0) ack 1 win 512 <nop,nop,TS val 120 ecr 1000>
            +0 accept
            +0 write 10"
        ),
    ));
}
