//! The harness itself, against a host that knows three answers.

use std::collections::{HashMap, VecDeque};

use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::ipv4::{self, pseudo_header_sum};
use tapping_stack::wire::{
    Ipv4, Ipv4Repr, Protocol, SeqNumber, Tcp, TcpFlags, TcpOptionsRepr, TcpRepr, tcp,
};

use super::call::{Call, Expected, Op, parse_call, parse_verb};
use super::flow::{LOCAL, PEER};
use super::host::{Host, Outcome, payload};
use super::parse::{Comparison, Script};
use super::run::{Rules, run};
use super::segment::Packet;

const ISN: SeqNumber = SeqNumber(0xffff_ff00);

/// Accepts any SYN, acknowledges data after 40 ms, and sends what is written at once.
#[derive(Default)]
struct Puppet {
    out: VecDeque<Vec<u8>>,
    ack_at: Option<Instant>,
    peer_port: u16,
    snd_nxt: SeqNumber,
    rcv_nxt: SeqNumber,
    heard: u64,
    /// Flips bits of this byte of the next packet.
    damage: Option<usize>,
}

impl Puppet {
    fn send(&mut self, flags: TcpFlags, timestamps: Option<(u32, u32)>, data: &[u8]) {
        let syn = flags.contains(TcpFlags::SYN);
        let repr = TcpRepr {
            src_port: 8080,
            dst_port: self.peer_port,
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags,
            window: 1000,
            urgent: 0,
            options: TcpOptionsRepr {
                mss: syn.then_some(1460),
                sack_permitted: syn,
                timestamps,
                ..TcpOptionsRepr::default()
            },
        };
        let mut segment = vec![0; repr.header_len()];
        repr.emit(&mut segment);
        segment.extend_from_slice(data);
        let pseudo = pseudo_header_sum(LOCAL, PEER, Protocol::TCP, segment.len() as u16);
        tcp::fill_checksum(&mut segment, pseudo);
        let header = Ipv4Repr {
            tos: 0,
            id: 7,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 64,
            protocol: Protocol::TCP,
            src: LOCAL,
            dst: PEER,
            total_len: (ipv4::HEADER_LEN + segment.len()) as u16,
            options_len: 0,
        };
        let mut packet = vec![0; ipv4::HEADER_LEN];
        header.emit(&mut packet);
        ipv4::fill_checksum(&mut packet);
        packet.extend(segment);
        if let Some(at) = self.damage.take() {
            packet[at] ^= 0x55;
        }
        self.snd_nxt += data.len() as u32 + u32::from(syn);
        self.out.push_back(packet);
    }
}

impl Host for Puppet {
    fn deliver(&mut self, now: Instant, packet: Vec<u8>) {
        let ip = Ipv4::parse(&packet).expect("an IPv4 packet");
        let tcp = Tcp::parse(ip.payload()).expect("a TCP segment");
        let pseudo = pseudo_header_sum(PEER, LOCAL, Protocol::TCP, ip.payload().len() as u16);
        assert!(tcp.verify_checksum(pseudo) && ip.verify_checksum());
        self.heard += 1;
        self.peer_port = tcp.src_port();
        self.rcv_nxt = tcp.seq() + tcp.segment_len();
        if tcp.flags().contains(TcpFlags::SYN) {
            self.snd_nxt = ISN;
            let clock = now.as_millis() as u32;
            self.send(TcpFlags::SYN | TcpFlags::ACK, Some((clock, 5)), &[]);
        } else if !tcp.payload().is_empty() {
            assert_eq!(tcp.payload(), payload(0, tcp.payload().len()));
            self.ack_at = Some(now + Duration::from_millis(40));
        }
    }

    fn transmit(&mut self, _: Instant) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    fn timeout(&self) -> Option<Instant> {
        self.ack_at
    }

    fn wake(&mut self, _: Instant) {
        self.ack_at = None;
        self.send(TcpFlags::ACK, None, &[]);
    }

    fn call(&mut self, _: Instant, _: i32, op: &Op, new: i32) -> Result<Outcome, i32> {
        match op {
            Op::Accept => Ok(Outcome::Value(i64::from(new))),
            Op::Send { len, .. } => {
                self.send(TcpFlags::PSH | TcpFlags::ACK, None, &payload(0, *len));
                Ok(Outcome::Value(*len as i64))
            }
            Op::Receive { .. } if self.ack_at.is_some() => Ok(Outcome::Blocks),
            Op::Receive { len, .. } => Ok(Outcome::Value(*len as i64)),
            Op::Close => Err(107),
            _ => Ok(Outcome::Value(0)),
        }
    }

    fn counters(&self) -> HashMap<String, u64> {
        HashMap::from([("TcpInSegs".into(), self.heard)])
    }

    fn info(&mut self, _: Instant, _: i32, field: &str) -> Option<i64> {
        (field == "tcpi_snd_cwnd").then_some(10)
    }
}

fn play(text: &str, mut puppet: Puppet) -> Result<(), String> {
    let mut script = Script::parse(text)?;
    let rules = Rules::take(&mut script.settings)?;
    run(&script, rules, &mut puppet)
}

const SCRIPT: &str = "
    0     socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0    bind 8080 ; listen 1
    +0    < S 0:0(0) win 32792 <mss 1460>
    +0    > [noecn, ttl 64, df] S. 0:0(0) ack 1 win 1000 <mss 1460,sackOK,TS val 100 ecr 5>
    +.1   < . 1:1(0) ack 1 win 257
    +0    accept(3, ..., ...) = 4
    +0    assert tcpi_snd_cwnd == 10
    +0    write(4, ..., 1000) = 1000
    +0    > P. 1:1001(1000) ack 1
    +.1   < P. 1:501(500) ack 1001 win 257
    +0...0.04 read(4, ..., 500) = 500
    +.04  > . 1001:1001(0) ack 501 win 1000
";

/// The report when one piece of the script is another.
#[track_caller]
fn fails(from: &str, to: &str) -> String {
    assert!(SCRIPT.contains(from), "the script has {from:?}");
    play(&SCRIPT.replacen(from, to, 1), Puppet::default()).expect_err(to)
}

#[test]
fn a_script_that_fits_passes() {
    play(SCRIPT, Puppet::default()).unwrap();
    play(&SCRIPT.replace("+.04  >", "+.03~+.045 >"), Puppet::default()).unwrap();
    play(&SCRIPT.replace("+.04  >", "* >"), Puppet::default()).unwrap();
    play(&SCRIPT.replace("+.04  >", "+.043 >"), Puppet::default()).unwrap();
    play(&SCRIPT.replace("<mss 1460,sackOK,TS val 100 ecr 5>", "<...>"), Puppet::default())
        .unwrap();
}

#[test]
fn every_field_is_compared() {
    for (from, to, difference) in [
        ("S. 0:0", "SE. 0:0", "flags"),
        ("> P. 1:1001(1000)", "> P. 2:1002(1000)", "seq"),
        ("> P. 1:1001(1000)", "> P. 1:1000(999)", "length"),
        ("(0) ack 501", "(0) ack 502", "ack"),
        ("win 1000", "win 1001", "win"),
        ("mss 1460,sackOK", "mss 1461,sackOK", "options"),
        ("sackOK,TS", "nop,nop,TS", "options"),
        ("ecr 5", "ecr 6", "options"),
        ("ttl 64", "ttl 63", "TTL"),
        ("noecn", "ect0", "ECN"),
        ("df", "nodf", "DF"),
        ("> [noecn", "> [tos 4, noecn", "TOS"),
    ] {
        let report = fails(from, to);
        assert!(report.contains(difference), "{to}: {report}");
    }
}

#[test]
fn a_report_names_the_line_and_shows_both_packets_and_the_way_there() {
    let report = fails("> P. 1:1001(1000) ack 1", "> P. 1:1001(1000) ack 2");
    for part in [
        "script line 10: +0    > P. 1:1001(1000) ack 2",
        "expected: P. 1:1001(1000) ack 2\nactual:   P. 1:1001(1000) ack 1 win 1000",
        "  0.000000 < S 0:0(0) win 32792 <mss 1460>",
        "192.168.0.1 → 192.168.0.2 TCP [SYN, ACK] Seq=0 Ack=1 Win=1000 Len=0 mss 1460 sackOK",
    ] {
        assert!(report.contains(part), "{part:?} is in\n{report}");
    }
}

#[test]
fn times_count_and_so_does_silence() {
    assert!(fails("+.04  >", "+.05  >").contains("came too early"));
    assert!(fails("+.04  >", "+.03  >").contains("nothing until"));
    assert!(fails("0...0.04", "0...0.05").contains("it returned at 0.240000"));
    assert!(fails("...0.04 read", " read").contains("the call blocks"));
    assert!(
        fails("+.04  > . 1001:1001(0) ack 501 win 1000", "+1 assert tcpi_snd_cwnd == 10")
            .contains("does not expect")
    );
    assert!(fails("+0    > P", "+0    > . 1:1(0) ack 1\n+0 > P").contains("flags"));
}

#[test]
fn results_and_assertions_count() {
    assert!(fails("(4, ..., 1000) = 1000", "(4, ..., 1000) = 999").contains("Value(999)"));
    assert!(fails("(4, ..., 1000) = 1000", "(4, ..., 1000) = -1 EPIPE").contains("EPIPE"));
    assert!(fails("cwnd == 10", "cwnd < 10").contains("should be < 10, and is 10"));
    assert!(fails("cwnd ==", "mss ==").contains("has no"));
    play(&format!("{SCRIPT}\n+0 close(4) = -1 ENOTCONN"), Puppet::default()).unwrap();
    play(&format!("{SCRIPT}\n+0 close(4) = -1 EPIPE"), Puppet::default()).unwrap_err();
}

#[test]
fn damaged_packets_are_found() {
    // The TTL, then an option.
    for at in [8, 45] {
        let puppet = Puppet { damage: Some(at), ..Puppet::default() };
        assert!(play(SCRIPT, puppet).is_err_and(|report| report.contains("checksum")));
    }
    let text = SCRIPT.replace(
        "+0    > P. 1:1001(1000) ack 1",
        "+0 write 10\n+0 > P. 1:1001(1000) ack 1\n+0 > P. 1001:1011(10) ack 1",
    );
    let report = play(&text, Puppet::default()).unwrap_err();
    assert!(
        report.contains("does not carry the bytes"),
        "the puppet writes the same again: {report}"
    );
}

#[test]
fn packets_are_printed_as_they_are_written() {
    for text in [
        "S 0:0(0) win 32792 <mss 1460,sackOK,nop,nop,nop,wscale 7>",
        "[ect0] P. 1:1001(1000) ack 1 <...>",
        "[ce, tos 0x10, ttl 3] FP. 1:1(0) ack 4294967295 win 0",
        ". 1:1(0) ack 1 win 5 <nop,nop,TS val 7 ecr ...,nop,nop,sack 1001:2001 3001:4001>",
        "SEW 0:0(0) win 1 urg 3 <FO 0102030405060708,kind 254 abcd,eol>",
        "@5000 R 7:7(0)",
        "udp (100)",
        "icmp unreachable frag_needed mtu 1200 [1:1461(1460)]",
        "icmp source_quench  [1:1461(1460)]",
    ] {
        let packet = Packet::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(packet.to_string(), text);
    }
    for text in [
        "X 0:0(0)",
        "S 0:1(0)",
        "S 0:0(0) win 65536",
        "S 0:0(0) <mss>",
        "S 0:0(0) <ms 1>",
        "udp 5",
        "icmp what [1:1(0)]",
        "S 0:0(0) ack",
    ] {
        assert!(Packet::parse(text).is_err(), "{text}");
    }
}

#[test]
fn calls_in_c_and_verbs_are_the_same() {
    for (c, verb, fd) in [
        ("write(4, ..., 1000) = 1000", "write 1000 = 1000", 4),
        ("send(4, ..., 10, MSG_MORE) = 10", "write 10 more = 10", 4),
        ("recv(4, ..., 10, MSG_PEEK) = 10", "peek 10 = 10", 4),
        ("read(4, ..., 10) = -1 EAGAIN (Resource temporarily unavailable)", "read 10 = EAGAIN", 4),
        ("listen(3, 1)", "listen 1", 3),
        ("bind(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=...}, ...)", "bind 80", 3),
        (
            "connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)",
            "connect = EINPROGRESS",
            3,
        ),
        ("shutdown(4, SHUT_WR)", "shutdown wr", 4),
        (
            "setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8)",
            "set SO_LINGER {onoff=1, linger=0}",
            4,
        ),
        ("setsockopt(4, SOL_TCP, TCP_CONGESTION, \"cubic\", 5)", "set TCP_CONGESTION cubic", 4),
        ("fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK)", "nonblocking", 4),
    ] {
        let (c, verb) = (parse_call(c).expect(c), parse_verb(verb).expect(verb));
        assert_eq!(c, Call { fd: Some(fd), ..verb.clone() });
        assert_eq!(verb.fd, None);
    }
    let poll =
        parse_call("poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLIN}], 1, 0) = 1").unwrap();
    let (events, ready) = (vec!["POLLIN".into(), "POLLOUT".into()], vec!["POLLIN".into()]);
    assert_eq!(
        poll,
        Call { op: Op::Poll { events, ready }, fd: Some(4), expected: Expected::Success }
    );
    assert!(parse_call("frobnicate(3) = 0").is_err());
    assert!(parse_verb("write").is_err());
}

#[test]
fn scripts_in_packetdrills_own_words_are_read() {
    let text = r#"
        // A comment.
        `../common/defaults.sh
        sysctl -q net.ipv4.tcp_ecn=1 net.ipv4.tcp_sack=0`
        --tolerance_usecs=10000
        0 `sysctl -q net.ipv4.tcp_timestamps=0`
        +0 %{ assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd
              assert tcpi_unacked <= 3 and tcpi_ca_state == TCP_CA_Recovery }%
        +0 < . 1:1(0) ack 1 win 257
              <sack 1:2>
    "#;
    let text = text.replace("0 `sysctl", "`sysctl");
    let mut script = Script::parse(&text).unwrap();
    let rules = Rules::take(&mut script.settings).unwrap();
    assert_eq!(rules.tolerance, Duration::from_millis(10));
    let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
    let expected = [pair("tcp_ecn", "1"), pair("tcp_sack", "0"), pair("tcp_timestamps", "0")];
    assert!(script.settings.ends_with(&expected));
    assert!(script.settings.contains(&pair("tcp_slow_start_after_idle", "0")));
    let super::parse::Action::Assert(comparisons) = &script.events[0].action else { panic!() };
    let last =
        Comparison { field: "tcpi_ca_state".into(), mask: -1, operator: "==".into(), value: 3 };
    assert_eq!((comparisons.len(), &comparisons[2]), (3, &last));
    assert_eq!((script.events.len(), script.events[1].line), (2, 9));
    assert!(Script::parse("+0 < S 0:0(0)\n+0 frobnicate").unwrap_err().starts_with("line 2"));
}
