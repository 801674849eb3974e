//! `tapping tcping`: what it says of open, closed and silent ports.

mod common;

use std::io::Read;
use std::net::TcpListener;

use common::{beside_the_kernel, tapping, tapping_as, users};
use tapping_drivers::testing::in_namespace;

const RTT: &str = "rtt min/avg/max/mdev = N/N/N/N ms\nrtt p50/p90/p99/pN = N/N/N/N ms\n";

#[test]
fn a_refusal_is_an_answer() {
    for user in users() {
        for peer in ["", "--peer "] {
            tapping_as(user, &format!("tcping {peer}-c 2 -i 0.01 10.0.0.1 7")).good().says(
                &format!(
                    "TCPING 10.0.0.1 (10.0.0.1) port 7.\n\
                     Refused by 10.0.0.1 port 7: seq=1 time=N ms\n\
                     Refused by 10.0.0.1 port 7: seq=2 time=N ms\n\
                     \n--- 10.0.0.1 port 7 tcping statistics ---\n\
                     2 packets transmitted, 2 received, +2 refused, 0% packet loss, time Nms\n{RTT}"
                ),
            );
        }
    }
}

#[test]
fn an_open_port_gets_its_connections_closed() {
    in_namespace(|| {
        let options = beside_the_kernel();
        let listener = TcpListener::bind("10.0.0.1:80").expect("a port");
        tapping(&format!("tcping {options} -q -c 3 -i 0.01 10.0.0.1")).good().says(&format!(
            "TCPING 10.0.0.1 (10.0.0.1) port 80.\n\
             \n--- 10.0.0.1 port 80 tcping statistics ---\n\
             3 packets transmitted, 3 received, 0% packet loss, time Nms\n{RTT}"
        ));
        for _ in 0..3 {
            let (mut stream, peer) = listener.accept().expect("one waits");
            assert_eq!(peer.ip().to_string(), "10.0.0.2");
            assert_eq!(stream.read(&mut [0; 1]).expect("an end, not a reset"), 0);
        }
    });
}

#[test]
fn objects_have_what_lines_have() {
    let said = tapping("tcping --peer --json -c 1 10.0.0.1 7").good();
    let lines: Vec<serde_json::Value> =
        said.out.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let [start, reply, summary] = lines.as_slice() else { panic!("{said:#?}") };
    assert_eq!((start["event"].as_str(), start["port"].as_u64()), (Some("start"), Some(7)));
    assert_eq!((reply["state"].as_str(), reply["seq"].as_u64()), (Some("refused"), Some(1)));
    assert!(reply["rtt_ms"].is_f64());
    assert_eq!((summary["received"].as_u64(), summary["refused"].as_u64()), (Some(1), Some(1)));
    assert!(summary["rtt_ms"]["p99"].is_f64());
}

#[test]
fn silence_is_status_1() {
    tapping("tcping -c 1 -W 0.05 10.0.0.9").status(1).says(
        "TCPING 10.0.0.9 (10.0.0.9) port 80.\n\
         No answer from 10.0.0.9 port 80: seq=1\n\
         \n--- 10.0.0.9 port 80 tcping statistics ---\n\
         1 packets transmitted, 0 received, 100% packet loss, time Nms\n\n",
    );
    // What the neighbour table says when nobody answers ARP.
    let said = tapping("tcping -c 1 -W 10 10.0.0.9").status(1);
    let gone = "No connection to 10.0.0.9 port 80: seq=1 No route to host\n";
    assert!(said.out.contains(gone) && said.out.contains("+1 errors"), "{said:#?}");
}

#[test]
fn what_is_wrong_here_is_status_2() {
    for (line, words) in [
        ("tcping", &["HOST"][..]),
        ("tcping 10.0.0.1 0", &["1 to 65535"]),
        ("tcping 10.0.0.1 65536", &["1 to 65535"]),
        ("tcping 10.0.0.1 http", &["whole number"]),
        ("tcping -c 0 10.0.0.1", &["-c"]),
        ("tcping 192.0.2.1", &["Network is unreachable", "--gateway"]),
        ("tcping 10.0.0.255", &["10.0.0.255", "one host"]),
        ("tcping 224.0.0.1", &["224.0.0.1", "one host"]),
        ("tcping -I 10.0.0.3 10.0.0.1", &["10.0.0.3", "--addr"]),
        ("tcping -I nolink 10.0.0.1", &["nolink"]),
        ("tcping nosuchhost.invalid", &["nosuchhost.invalid"]),
    ] {
        tapping(line).refused(words);
    }
}
