//! Against what ss of iproute2 6.1 printed about sockets of the kernel.

use super::filter::{ALL, CLOSED, Filter, LISTEN, parse};
use super::table::Layout;
use super::*;
use crate::cli::control::ClientArgs;
use crate::control::model::{Info, Timer};

fn socket(state: u8, local: &str, peer: &str) -> Socket {
    Socket {
        netid: "tcp".into(),
        state,
        local: local.parse().expect("an address"),
        peer: peer.parse().expect("an address"),
        dev: None,
        recv_q: 0,
        send_q: 0,
        timer: None,
        ino: 7,
        rmem: (0, 131_072),
        wmem: (0, 16_384),
        shutdown: (false, false),
        mark: 0,
        tos: 0,
        congestion: Some("cubic".into()),
        info: None,
    }
}

fn queues(socket: Socket, recv_q: u64, send_q: u64) -> Socket {
    Socket { recv_q, send_q, ..socket }
}

fn timed(socket: Socket, name: &str, millis: u64, retransmits: u32) -> Socket {
    let timer = Timer { name: name.into(), expires: millis * 1000, retransmits };
    Socket { timer: Some(timer), ..socket }
}

/// The sockets that ss was shown.
fn several() -> Vec<Socket> {
    vec![
        queues(socket(10, "0.0.0.0:22", "0.0.0.0:0"), 1, 128),
        queues(socket(10, "127.0.0.1:8080", "0.0.0.0:0"), 0, 5),
        socket(1, "127.0.0.1:33102", "127.0.0.1:22"),
        queues(socket(1, "127.0.0.1:8080", "127.0.0.1:38192"), 128_512, 0),
        timed(socket(6, "127.0.0.1:8080", "127.0.0.1:38186"), "timewait", 58_900, 0),
        timed(socket(5, "127.0.0.1:8080", "127.0.0.1:38178"), "timewait", 58_900, 0),
        timed(queues(socket(2, "10.9.9.1:32908", "10.9.9.9:99"), 0, 1), "on", 892, 1),
        timed(socket(1, "127.0.0.1:38168", "127.0.0.1:8080"), "keepalive", 7_190_000, 0),
        queues(socket(8, "127.0.0.1:38178", "127.0.0.1:8080"), 1, 0),
        timed(
            queues(socket(1, "127.0.0.1:38192", "127.0.0.1:8080"), 0, 3_782_144),
            "persist",
            596,
            1,
        ),
    ]
}

fn args() -> SsArgs {
    SsArgs { numeric: true, client: ClientArgs::default(), ..SsArgs::default() }
}

fn rows(sockets: &[Socket], args: &SsArgs) -> Vec<Row> {
    let about = About { name: "serve".into(), pid: 42, version: "1".into(), shards: 1 };
    let show = Show { args, ports: Ports::parse("http-alt 8080/tcp webcache # x\n"), about };
    sockets.iter().map(|socket| show.row(socket)).collect()
}

fn layout(width: Option<usize>) -> Layout {
    Layout { netid: false, state: true, header: true, width }
}

#[test]
fn columns_are_as_wide_as_what_is_in_them() {
    let expected = "\
State      Recv-Q Send-Q  Local Address:Port  Peer Address:Port Process
LISTEN     1      128           0.0.0.0:22         0.0.0.0:*           
LISTEN     0      5           127.0.0.1:8080       0.0.0.0:*           
ESTAB      0      0           127.0.0.1:33102    127.0.0.1:22          
ESTAB      128512 0           127.0.0.1:8080     127.0.0.1:38192       
TIME-WAIT  0      0           127.0.0.1:8080     127.0.0.1:38186       
FIN-WAIT-2 0      0           127.0.0.1:8080     127.0.0.1:38178       
SYN-SENT   0      1            10.9.9.1:32908     10.9.9.9:99          
ESTAB      0      0           127.0.0.1:38168    127.0.0.1:8080        
CLOSE-WAIT 1      0           127.0.0.1:38178    127.0.0.1:8080        
ESTAB      0      3782144     127.0.0.1:38192    127.0.0.1:8080        
";
    assert_eq!(layout(None).render(&rows(&several(), &args())), expected);
}

#[test]
fn a_terminal_is_filled() {
    let lines = |width, args: &SsArgs| {
        let text = layout(Some(width)).render(&rows(&several(), args));
        text.lines().map(str::to_string).collect::<Vec<_>>()
    };
    let of_60 = lines(60, &args());
    assert_eq!(
        of_60[0],
        "State      Recv-Q Send-Q  Local Address:Port   Peer Address:Port                         \
         Process                        "
    );
    let of_80 = lines(80, &args());
    assert_eq!(
        of_80[..2],
        [
            "State       Recv-Q  Send-Q    Local Address:Port    Peer Address:Port  Process  ",
            "LISTEN      1       128             0.0.0.0:22           0.0.0.0:*              ",
        ]
    );
    let timers = SsArgs { options: true, ..args() };
    let of_100 = lines(100, &timers);
    let expected = "\
State       Recv-Q  Send-Q    Local Address:Port    Peer Address:Port  Process                      
LISTEN      1       128             0.0.0.0:22           0.0.0.0:*                                  
LISTEN      0       5             127.0.0.1:8080         0.0.0.0:*                                  
ESTAB       0       0             127.0.0.1:33102      127.0.0.1:22                                 
ESTAB       128512  0             127.0.0.1:8080       127.0.0.1:38192                              
TIME-WAIT   0       0             127.0.0.1:8080       127.0.0.1:38186  timer:(timewait,58sec,0)    
FIN-WAIT-2  0       0             127.0.0.1:8080       127.0.0.1:38178  timer:(timewait,58sec,0)    
SYN-SENT    0       1              10.9.9.1:32908       10.9.9.9:99     timer:(on,892ms,1)          
ESTAB       0       0             127.0.0.1:38168      127.0.0.1:8080   timer:(keepalive,119min,0)  
CLOSE-WAIT  1       0             127.0.0.1:38178      127.0.0.1:8080                               
ESTAB       0       3782144       127.0.0.1:38192      127.0.0.1:8080   timer:(persist,596ms,1)     
";
    assert_eq!(of_100, expected.lines().collect::<Vec<_>>());
    assert_eq!(
        lines(130, &timers)[..1],
        ["State          Recv-Q      Send-Q            Local Address:Port            Peer \
          Address:Port      Process                         "]
    );
}

#[test]
fn columns_that_say_nothing_are_left_out() {
    let named = SsArgs { numeric: false, ..args() };
    let one = [queues(socket(10, "127.0.0.1:8080", "0.0.0.0:0"), 0, 5)];
    let text = Layout { state: false, ..layout(None) }.render(&rows(&one, &named));
    let expected = "\
Recv-Q Send-Q Local Address:Port     Peer Address:PortProcess
0      5          127.0.0.1:http-alt      0.0.0.0:*          
";
    assert_eq!(text, expected);
    let bare = Layout { header: false, netid: true, ..layout(None) }.render(&rows(&one, &args()));
    assert_eq!(bare, "tcp LISTEN 0      5      127.0.0.1:8080 0.0.0.0:*\n");
    assert_eq!(
        layout(None).render(&[]).trim_end(),
        "State Recv-Q Send-Q Local Address:Port Peer Address:PortProcess"
    );
}

#[test]
fn more_stands_behind_and_below() {
    let all = SsArgs {
        extended: true,
        memory: true,
        options: true,
        processes: true,
        info: true,
        ..args()
    };
    let stopped = Socket {
        shutdown: (true, false),
        mark: 255,
        rmem: (832, 131_072),
        ..timed(socket(8, "127.0.0.1:51698", "127.0.0.1:8080"), "keepalive", 119_900, 0)
    };
    assert_eq!(
        rows(&[stopped], &all)[0][8],
        " users:((\"serve\",pid=42)) timer:(keepalive,1min59sec,0) ino:7 sk:7 fwmark:0xff -->\n\t \
         skmem:(r832,rb131072,t0,tb16384,f0,w0,o0,bl0,d0)"
    );
    let record =
        Socket { ino: 0, congestion: None, ..socket(6, "127.0.0.1:8080", "127.0.0.1:38186") };
    assert_eq!(rows(std::slice::from_ref(&record), &all)[0][8], " ino:0 sk:0\n\t");
    let oneline = SsArgs { oneline: true, ..all };
    assert_eq!(rows(&[record], &oneline)[0][8], " ino:0 sk:0");
    let listener = queues(socket(10, "0.0.0.0:22", "0.0.0.0:0"), 1, 128);
    let info = SsArgs { info: true, ..args() };
    assert_eq!(rows(&[listener], &info)[0][8], "\n\t cubic cwnd:10 unacked:1");
    let udp =
        Socket { netid: "udp".into(), congestion: None, ..socket(7, "0.0.0.0:53", "0.0.0.0:0") };
    assert_eq!(rows(&[udp], &info)[0][8], "");
}

#[test]
fn times_are_rounded_as_ss_does() {
    let cases = [
        (992, "992ms"),
        (64, "064ms"),
        (1_992, "1.992ms"),
        (9_992, "9.992ms"),
        (5_000, "5sec"),
        (10_992, "10sec"),
        (59_992, "59sec"),
        (60_992, "1min"),
        (89_992, "1min29sec"),
        (129_992, "2min9sec"),
        (599_992, "9min59sec"),
        (600_992, "10min"),
        (7_199_992, "119min"),
    ];
    for (millis, text) in cases {
        let timer = Timer { name: "on".into(), expires: millis * 1000, retransmits: 2 };
        assert_eq!(info::timer(&timer), format!("timer:(on,{text},2)"));
    }
}

/// What the kernel told of a connection whose peer reads nothing.
fn stuck() -> Info {
    Info {
        timestamps: true,
        sack: true,
        wscale: Some((10, 10)),
        rto: 208_000,
        backoff: 1,
        rtt: 4823,
        rttvar: 9612,
        snd_mss: 47_616,
        pmtu: 65_535,
        rcv_mss: 536,
        advmss: 65_483,
        snd_cwnd: 16,
        bytes_sent: 176_128,
        bytes_retrans: 47_616,
        bytes_acked: 128_513,
        segs_out: 9,
        segs_in: 5,
        data_segs_out: 6,
        last_data_sent: 276_000,
        last_data_recv: 532_000,
        last_ack_recv: 64_000,
        pacing_rate: Some(2_495_171_132_000 / 8),
        delivery_rate: 6_456_406_776 / 8,
        delivered: 7,
        busy_time: 532_000,
        rwnd_limited: 532_000,
        total_retrans: 1,
        dsack_dups: 1,
        reordering: 3,
        rcv_space: 65_495,
        rcv_ssthresh: 65_495,
        notsent_bytes: 3_782_144,
        min_rtt: Some(3),
        ..Info::default()
    }
}

#[test]
fn the_words_of_tcp_info_are_those_of_ss() {
    let mut of = socket(1, "127.0.0.1:38192", "127.0.0.1:8080");
    of.congestion = Some("bbr".into());
    of.info = Some(Box::new(stuck()));
    assert_eq!(
        info::tcp(&of, true, true),
        " ts sack bbr wscale:10,10 rto:208 backoff:1 rtt:4.823/9.612 mss:47616 pmtu:65535 \
         rcvmss:536 advmss:65483 cwnd:16 bytes_sent:176128 bytes_retrans:47616 bytes_acked:128513 \
         segs_out:9 segs_in:5 data_segs_out:6 send 1263704748bps lastsnd:276 lastrcv:532 lastack:64 \
         pacing_rate 2495171132000bps delivery_rate 6456406776bps delivered:7 busy:532ms \
         rwnd_limited:532ms(100.0%) retrans:0/1 dsack_dups:1 rcv_space:65495 rcv_ssthresh:65495 \
         notsent:3782144 minrtt:0.003"
    );
    let short = info::tcp(&of, false, false);
    assert!(short.starts_with(" bbr wscale:10,10 "), "{short}");
    for word in ["send 1.26Gbps", "pacing_rate 2.5Tbps", "delivery_rate 6.46Gbps"] {
        assert!(short.contains(word), "no {word} in {short}");
    }
}

#[test]
fn rare_words_have_their_places() {
    let mut of = socket(1, "127.0.0.1:1", "127.0.0.1:2");
    of.info = Some(Box::new(Info {
        ecn: true,
        ecn_seen: true,
        rto: 204_123,
        ato: 40_000,
        rtt: 50,
        rttvar: 20,
        snd_mss: 1448,
        snd_cwnd: 10,
        snd_ssthresh: Some(7),
        bytes_received: 1,
        data_segs_in: 1,
        max_pacing_rate: Some(125_000),
        pacing_rate: Some(125_000),
        delivered_ce: 2,
        delivery_rate_app_limited: true,
        busy_time: 1_000_000,
        sndbuf_limited: 250_000,
        unacked: 3,
        retrans: 1,
        total_retrans: 4,
        lost: 2,
        sacked: 1,
        reordering: 5,
        reord_seen: 6,
        rcv_rtt: 1500,
        rcv_ooopack: 8,
        snd_wnd: 65_536,
        ..Info::default()
    }));
    assert_eq!(
        info::tcp(&of, true, true),
        " ecn ecnseen cubic rto:204 rtt:0.05/0.02 ato:40 mss:1448 cwnd:10 ssthresh:7 \
         bytes_received:1 data_segs_in:1 send 2316800000bps pacing_rate 1000000bps/1000000bps \
         delivered_ce:2 app_limited busy:1000ms sndbuf_limited:250ms(25.0%) unacked:3 retrans:1/4 \
         lost:2 sacked:1 reordering:5 reord_seen:6 rcv_rtt:1.5 rcv_ooopack:8 snd_wnd:65536"
    );
}

fn filter(text: &str) -> Filter {
    let ports = Ports::parse("ssh 22/tcp\nhttp-alt 8080/tcp\n");
    parse(&[text.to_string()], &ports).unwrap_or_else(|failure| panic!("{text}: {failure}"))
}

/// The places in [`several`] of those that fit.
fn fitting(text: &str) -> Vec<usize> {
    let filter = filter(text);
    let fits = |socket: &Socket| {
        filter.states.is_none_or(|states| states & 1 << socket.state != 0)
            && filter.expression.as_ref().is_none_or(|it| it.fits(socket))
    };
    several().iter().enumerate().filter(|(_, socket)| fits(socket)).map(|(at, _)| at).collect()
}

#[test]
fn filters_choose() {
    let every: Vec<usize> = (0..several().len()).collect();
    assert_eq!(fitting(""), every);
    assert_eq!(fitting("sport = :8080"), [1, 3, 4, 5]);
    assert_eq!(fitting("sport == http-alt"), [1, 3, 4, 5]);
    assert_eq!(fitting("dport eq :ssh"), [2]);
    assert_eq!(fitting("dport = 22 and sport != 33 or src 10.0.0.0/8"), [2, 6]);
    assert_eq!(fitting("dport = 22 & sport ne 33 | src 10.0.0.0/8"), [2, 6]);
    assert_eq!(fitting("not dst 127.0.0.1"), [0, 1, 6]);
    assert_eq!(fitting("! ! dst 127.0.0.1:22"), [2]);
    assert_eq!(fitting("src :8080 dst 127.0.0.1"), [3, 4, 5]);
    assert_eq!(fitting("src *:8080"), [1, 3, 4, 5]);
    assert_eq!(fitting("dst 0.0.0.0:*"), [0, 1]);
    assert_eq!(fitting("src != 127.0.0.0/8"), [0, 6]);
    assert_eq!(
        fitting("( sport gt :1024 and not dport = 22 ) and sport le 32908"),
        [1, 3, 4, 5, 6]
    );
    assert_eq!(fitting("(sport=:8080)".replace('=', " = ").as_str()), [1, 3, 4, 5]);
    assert_eq!(fitting("dport < 100 and dport >= 22 and dport <= 99 and dport > 22"), [6]);
    assert_eq!(fitting("dev = eth0"), Vec::<usize>::new());
    assert_eq!(fitting("dev != eth0"), every);
    assert_eq!(fitting("fwmark = 0x1/0x1"), Vec::<usize>::new());
    assert_eq!(fitting("state established sport = 8080"), [3]);
    assert_eq!(fitting("exclude established state listening"), [0, 1, 4, 5, 6, 8]);
    assert_eq!(filter("state all").states, Some(ALL));
    assert_eq!(filter("state listen state closed").states, Some(LISTEN | CLOSED));
    assert_eq!(filter("exclude listening").states, Some(ALL & !LISTEN));
    assert_eq!(fitting("state bucket"), [4]);
    assert_eq!(fitting("state connected"), [2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn filters_that_make_no_sense_are_told() {
    let deep = format!("{}sport = 1{}", "( ".repeat(100), " )".repeat(100));
    let cases = [
        ("state", "wants the name"),
        ("state bogus", "wrong state name: bogus"),
        ("foo", "\"foo\""),
        ("sport", "a comparison"),
        ("sport =", "a port"),
        ("sport ~ 3", "\"~\" is no comparison"),
        ("dport = bogus", "does not look like a port"),
        ("dport = 65536", "look like a port"),
        ("dst 300.0.0.1", "no IPv4 address"),
        ("dst 10.0.0.0/33", "no IPv4 address"),
        ("dst > 10.0.0.1", "equal or not"),
        ("( sport = 22", "parenthesis"),
        ("sport = 22 )", "does not belong here"),
        ("not", "a condition"),
        ("or", "\"or\""),
        ("sport = 1 or", "a condition"),
        ("fwmark = x", "no mark"),
        (&deep, "too deeply"),
        ("dst ::1", "no IPv4 address"),
    ];
    for (text, words) in cases {
        let failure = parse(&[text.to_string()], &Ports::default()).expect_err(text);
        assert!(failure.0.contains(words), "{text}: {failure}");
        assert!(failure.0.starts_with("ss: "), "{text}: {failure}");
    }
}

#[test]
fn ports_have_names_unless_chosen_for_a_connection() {
    let ports = Ports::parse("# comment\nssh 22/tcp\ndomain 53/udp dns # x\nodd 40000/tcp\nbad\n");
    assert_eq!(ports.name(22, "tcp"), Some("ssh"));
    assert_eq!(ports.name(22, "udp"), None);
    assert_eq!(ports.name(40_000, "tcp"), None);
    assert_eq!((ports.number("dns"), ports.number("odd")), (Some(53), Some(40_000)));
}
