//! `tapping HOST`: what it prints and how it ends, with the kernel in a private network as peer, or
//! the built-in one where there is no such network.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use common::{Said, User, command, tapping, tapping_as, timeless, users};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tapping_drivers::netlink::Netlink;
use tapping_drivers::testing::in_namespace;

const FIRST: &str = "PING 10.0.0.1 (10.0.0.1) 56(84) bytes of data.\n";
const RTT: &str = "rtt min/avg/max/mdev = N/N/N/N ms\nrtt p50/p90/p99/pN = N/N/N/N ms\n";

#[test]
fn the_readme_command_works_for_everybody() {
    for user in users() {
        tapping_as(user, "-c 3 -i 0.01 10.0.0.1").good().says(&format!(
            "{FIRST}\
             64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=N ms\n\
             64 bytes from 10.0.0.1: icmp_seq=2 ttl=64 time=N ms\n\
             64 bytes from 10.0.0.1: icmp_seq=3 ttl=64 time=N ms\n\
             \n--- 10.0.0.1 ping statistics ---\n\
             3 packets transmitted, 3 received, 0% packet loss, time Nms\n{RTT}"
        ));
    }
}

#[test]
fn the_built_in_peer_answers() {
    for user in users() {
        let said = tapping_as(user, "ping --peer -c 2 -i 0 10.0.0.1").good();
        assert!(
            said.out.contains("2 packets transmitted, 2 received, 0% packet loss"),
            "{said:#?}"
        );
    }
    let elsewhere = tapping("--peer --addr 192.168.7.9/24 -q -c 1 192.168.7.1").good();
    assert!(elsewhere.out.contains("1 received"), "{elsewhere:#?}");
}

#[test]
fn own_and_loopback_addresses_answer() {
    for host in ["10.0.0.2", "127.0.0.1", "127.1", "0"] {
        let said = tapping(&format!("--peer -c 1 -q {host}")).good();
        assert!(said.out.contains("1 received"), "{said:#?}");
    }
}

#[test]
fn every_size_comes_back_whole() {
    for size in [0, 4, 15, 16, 56, 1472, 1473, 8000, 65_507] {
        let said = tapping(&format!("-c 1 -s {size} 10.0.0.1")).good();
        let time = if size >= 16 { " time=N ms" } else { "" };
        let reply = format!("{} bytes from 10.0.0.1: icmp_seq=1 ttl=64{time}\n", size + 8);
        assert!(timeless(&said.out).contains(&reply), "{said:#?}");
        assert!(said.out.contains(&format!("{size}({}) bytes of data.", size + 28)), "{said:#?}");
        assert_eq!(said.out.contains("rtt min/"), size >= 16, "{said:#?}");
    }
}

#[test]
fn short_intervals_lose_nothing() {
    // That the pace does not drift is tested in virtual time; how late the machine is, nowhere.
    let said = tapping("-q -c 100 -i 0.01 10.0.0.1").good();
    assert!(
        said.out.contains("100 packets transmitted, 100 received, 0% packet loss"),
        "{said:#?}"
    );
}

#[test]
fn quiet_flood_and_preload() {
    let said = tapping("-f -q -c 200 10.0.0.1").good();
    let expected = format!(
        "{FIRST}\n--- 10.0.0.1 ping statistics ---\n\
         200 packets transmitted, 200 received, 0% packet loss, time Nms\n\
         rtt min/avg/max/mdev = N/N/N/N ms, ipg/ewma N/N ms\n\
         rtt p50/p90/p99/pN = N/N/N/N ms\n"
    );
    let without_pipe = timeless(&said.out).replace(", pipe 2", "");
    assert_eq!(without_pipe, expected, "{said:#?}");
    let dots = tapping("-f -c 3 10.0.0.1").good();
    assert_eq!(dots.out.matches('.').count() - dots.out.matches("\x08 \x08").count(), {
        let summary = dots.out.split("\n---").nth(1).unwrap();
        summary.matches('.').count() + FIRST.matches('.').count()
    });
    let preload = tapping("-q -l 3 -c 3 10.0.0.1").good();
    assert!(preload.out.contains(", pipe 3\n"), "{preload:#?}");
}

#[test]
fn a_preload_longer_than_the_neighbours_queue_loses_nothing() {
    // Each request leaves as it is made, so the neighbour is known before its queue is full.
    for user in users() {
        for peer in ["", "--peer "] {
            let said = tapping_as(user, &format!("{peer}-q -l 200 -c 200 10.0.0.1")).good();
            assert!(said.out.contains("200 received, 0% packet loss"), "{said:#?}");
        }
    }
}

#[test]
fn patterns_stamps_and_routes() {
    let said = tapping("-c 1 -p abc 10.0.0.1").good();
    assert!(said.out.starts_with("PATTERN: 0xab0c\nPING "), "{said:#?}");
    let said = tapping("-c 1 -D 10.0.0.1").good();
    let line = said.out.lines().nth(1).unwrap();
    let stamp = line.strip_prefix('[').unwrap().split_once("] 64 bytes from ").unwrap().0;
    let (seconds, micros) = stamp.split_once('.').unwrap();
    assert!(seconds.parse::<u64>().unwrap() > 1_600_000_000 && micros.len() == 6, "{line}");
    let said = tapping("-c 2 -i 0.01 -R 10.0.0.1").good();
    assert!(said.out.contains("56(124) bytes of data."), "{said:#?}");
    assert!(said.out.contains("\nRR: \t10.0.0.2\n\t10.0.0.1\n"), "{said:#?}");
    assert!(said.out.contains(" ms\t(same route)\n"), "{said:#?}");
}

#[test]
fn sources() {
    let said = tapping("-c 1 -I 10.0.0.2 10.0.0.1").good();
    let first = "PING 10.0.0.1 (10.0.0.1) from 10.0.0.2 : 56(84) bytes of data.\n";
    assert!(said.out.starts_with(first), "{said:#?}");
    // The link has one name, whoever runs the tool and whatever is at the other end.
    for user in users() {
        for peer in ["", "--peer "] {
            let said = tapping_as(user, &format!("{peer}-c 1 -I tap0 10.0.0.1")).good();
            let first = "PING 10.0.0.1 (10.0.0.1) from 10.0.0.2 tap0: ";
            assert!(said.out.starts_with(first), "{said:#?}");
        }
    }
}

#[test]
fn silence_is_status_one() {
    let expected = "PING 10.0.0.9 (10.0.0.9) 56(84) bytes of data.\n\
        \n--- 10.0.0.9 ping statistics ---\n\
        1 packets transmitted, 0 received, 100% packet loss, time Nms\n\n";
    tapping("-c 1 -W 0.1 10.0.0.9").status(1).says(expected);
}

#[test]
fn a_neighbour_that_is_not_there_is_unreachable() {
    let expected = "PING 10.0.0.9 (10.0.0.9) 56(84) bytes of data.\n\
        From 10.0.0.2 icmp_seq=1 Destination Host Unreachable\n\
        \n--- 10.0.0.9 ping statistics ---\n\
        1 packets transmitted, 0 received, +1 errors, 100% packet loss, time Nms\n\n";
    tapping("-c 1 10.0.0.9").status(1).says(expected);
}

#[test]
fn outstanding_replies_are_told() {
    let said = tapping("-c 2 -i 0.1 -O -W 0.2 10.0.0.9").status(1);
    assert!(said.out.contains("\nno answer yet for icmp_seq=1\n"), "{said:#?}");
}

#[test]
fn a_packet_too_long_to_leave_whole() {
    let said = tapping("-c 1 -M do -s 1473 10.0.0.1").status(1);
    assert_eq!(said.err, "ping: local error: message too long, mtu=1500\n");
    assert!(said.out.contains("1 packets transmitted, 0 received, +1 errors, 100% packet loss"));
    tapping("-c 1 -M do -s 1472 10.0.0.1").good();
    tapping("-c 1 -M want -s 1473 10.0.0.1").good();
    tapping("--mtu 576 -c 1 -M dont -s 1473 10.0.0.1").good();
}

#[test]
fn broadcast_only_when_asked_for() {
    let words = "Do you want to ping broadcast? Then -b.";
    for host in ["10.0.0.255", "255.255.255.255"] {
        tapping(&format!("-c 1 {host}")).refused(&[words]);
    }
    let said = tapping("-b -c 1 -W 0.1 10.0.0.255");
    assert_eq!(said.err, "WARNING: pinging broadcast address\n");
    assert!(said.out.starts_with("PING 10.0.0.255 (10.0.0.255) 56(84) bytes"), "{said:#?}");
}

#[test]
fn several_hosts_each_with_its_name_and_summary() {
    let said = tapping("-c 2 -i 0.05 -W 0.1 10.0.0.1 10.0.0.9 127.0.0.1").status(1);
    for line in [
        "\n10.0.0.1: 64 bytes from 10.0.0.1: icmp_seq=2 ttl=64 time=N ms\n",
        "\n127.0.0.1: 64 bytes from 127.0.0.1: icmp_seq=2 ttl=64 time=N ms\n",
        "\n--- 10.0.0.1 ping statistics ---\n2 packets transmitted, 2 received, 0% packet loss",
        "\n--- 10.0.0.9 ping statistics ---\n2 packets transmitted, 0 received, 100% packet loss",
        "\n--- 127.0.0.1 ping statistics ---\n2 packets transmitted, 2 received, 0% packet loss",
    ] {
        assert!(timeless(&said.out).contains(line), "no {line:?} in {said:#?}");
    }
}

#[test]
fn names_are_resolved_as_the_system_does() {
    let said = tapping("--peer -c 1 localhost").good();
    assert!(
        said.out.starts_with("PING localhost (127.0.0.1) 56(84) bytes of data.\n"),
        "{said:#?}"
    );
    assert!(said.out.contains(" (127.0.0.1): icmp_seq=1 ttl=64 time="), "{said:#?}");
    let numeric = tapping("--peer -n -c 1 localhost").good();
    assert!(numeric.out.contains("64 bytes from 127.0.0.1: icmp_seq=1"), "{numeric:#?}");
}

#[test]
fn json_is_an_object_a_line() {
    let said = tapping("--json -c 2 -i 0.05 -W 0.1 10.0.0.1 10.0.0.9").status(1);
    let objects: Vec<Value> =
        said.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let of = |event: &str, host: &str| -> Vec<&Value> {
        objects.iter().filter(|o| o["event"] == event && o["host"] == host).collect()
    };
    let replies = of("reply", "10.0.0.1");
    assert_eq!(replies.len(), 2, "{said:#?}");
    assert_eq!((&replies[1]["icmp_seq"], &replies[1]["ttl"]), (&2.into(), &64.into()));
    assert!(replies.iter().all(|reply| reply["rtt_ms"].as_f64().unwrap() > 0.0));
    let timeouts: Vec<&Value> = of("timeout", "10.0.0.9");
    assert_eq!(timeouts.len(), 2, "{said:#?}");
    assert_eq!(of("summary", "10.0.0.1")[0]["loss_percent"], 0.0);
    assert_eq!(of("summary", "10.0.0.9")[0]["received"], 0);
    assert_eq!(objects[objects.len() - 1]["event"], "summary");
}

#[test]
fn json_says_which_request_could_not_leave() {
    let said = tapping("--json -c 2 -i 0.01 -M do -s 1473 10.0.0.1").status(1);
    let objects = said.out.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let errors: Vec<Value> = objects.filter(|object| object["event"] == "error").collect();
    let numbers: Vec<&Value> = errors.iter().map(|error| &error["icmp_seq"]).collect();
    assert_eq!(numbers, [1, 2], "{said:#?}");
    assert!(errors.iter().all(|error| error["local"] == true && error["mtu"] == 1500));
}

#[test]
fn walk_shows_each_layer_at_both_ends() {
    let said = tapping("--peer --walk -c 1 10.0.0.1").good();
    let stages = [
        "here  out  ipv4/output",
        "here  out  arp/output       who has 10.0.0.1?",
        "peer  in   arp/input",
        "here  in   arp/input        10.0.0.1 is at ",
        "here  out  link/output",
        "peer  in   ipv4/input       10.0.0.2 → 10.0.0.1 ttl 64",
        "peer  in   icmp/input       echo request",
        "peer  out  ipv4/output      10.0.0.1 → 10.0.0.2 ttl 64",
        "here  in   link/input",
        "here  in   ipv4/input       10.0.0.1 → 10.0.0.2 ttl 64",
        "here  in   socket/ping      echo reply",
    ];
    let mut rest = said.out.as_str();
    for stage in stages {
        let at = rest.find(stage).unwrap_or_else(|| panic!("no {stage:?} in order in {said:#?}"));
        rest = &rest[at..];
    }
    assert_eq!(said.out.matches("layer by layer").count(), 1, "{said:#?}");
}

#[test]
fn walk_with_the_kernel_shows_our_end() {
    let said = tapping("--walk -c 2 -i 0.01 10.0.0.1").good();
    assert!(said.out.contains("out  link/output"), "{said:#?}");
    assert!(said.out.contains("socket/ping      echo reply"), "{said:#?}");
    assert_eq!(said.out.contains("the kernel answers"), !said.built_in_peer, "{said:#?}");
    let silent = tapping("--walk -c 1 -W 0.1 10.0.0.9").status(1);
    assert!(silent.out.contains("who has 10.0.0.9?"), "{silent:#?}");
    assert!(silent.out.contains("no reply reached the socket"), "{silent:#?}");
}

#[test]
fn verbose_tells_on_standard_error() {
    let said = tapping("-v --peer -c 1 -W 0.1 224.0.0.1").status(1);
    assert!(said.err.contains("built-in peer") && said.err.contains("ICMP request ignored"));
    let said = tapping("-vv --peer -c 1 10.0.0.1").status(0);
    assert!(said.err.contains("arp/output: who has 10.0.0.1?"), "{said:#?}");
    assert!(said.out.starts_with(FIRST) && said.out.lines().count() == 7, "{said:#?}");
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let walk = |seed: u32| {
        let said = tapping(&format!("--peer --walk -q -c 1 --seed {seed} 10.0.0.1")).good();
        let lines =
            said.out.lines().filter(|line| line.contains("here  ") || line.contains("peer  "));
        lines
            .map(|line| {
                let line: String = line.chars().skip("        0.0 µs  ".chars().count()).collect();
                // An identification of IPv4 moves on with the time, too, which is real here.
                line.split_once(" id 0x").map_or(line.clone(), |(start, rest)| {
                    format!("{start} {}", rest.split_once(' ').map_or("", |(_, rest)| rest))
                })
            })
            .collect::<Vec<String>>()
    };
    assert!(walk(7).len() > 10);
    assert_eq!(walk(7), walk(7));
    assert_ne!(walk(7), walk(8));
}

/// Starts a ping without end and waits for its first replies.
fn endless(args: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command(User::Own, args.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the command");
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("icmp_seq=3 ") {
        line.clear();
        assert!(out.read_line(&mut line).expect("read") > 0, "it ended early");
    }
    (child, out)
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("send a signal");
}

/// Waits for its end.
fn ended(mut child: Child, mut out: BufReader<std::process::ChildStdout>) -> Said {
    let mut text = Vec::new();
    out.read_to_end(&mut text).expect("read");
    let mut errors = Vec::new();
    child.stderr.take().expect("it is piped").read_to_end(&mut errors).expect("read");
    let status = child.wait().expect("wait");
    let output = std::process::Output { status, stdout: text, stderr: errors };
    Said::from_output("an endless ping".into(), &output)
}

#[test]
fn an_interrupt_ends_it_with_a_summary() {
    for stop in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (child, out) = endless("-i 0.01 10.0.0.1");
        signal(&child, stop);
        let said = ended(child, out).good();
        assert!(said.out.contains("\n--- 10.0.0.1 ping statistics ---\n"), "{said:#?}");
    }
}

#[test]
fn sigquit_asks_how_things_are() {
    let (child, mut out) = endless("-i 0.01 10.0.0.1");
    signal(&child, Signal::QUIT);
    let mut line = String::new();
    // It goes on: replies keep coming after the signal.
    for _ in 0..3 {
        line.clear();
        out.read_line(&mut line).expect("read");
    }
    assert!(line.starts_with("64 bytes from 10.0.0.1"), "{line}");
    signal(&child, Signal::INT);
    let said = ended(child, out).status(0);
    let interim = timeless(&said.err);
    assert!(interim.contains(" packets, 0% loss, min/avg/ewma/max = N/N/N/N ms\n"), "{said:#?}");
}

#[test]
fn what_was_counted_is_told_when_the_interface_goes_away() {
    in_namespace(|| {
        let mut netlink = Netlink::open().expect("a routing socket");
        netlink.create_veth("ka", "kb").expect("a veth pair");
        let mut index = |name| netlink.link(name).unwrap().expect("it was made").index;
        let (near, far) = (index("ka"), index("kb"));
        netlink.configure(far, None).expect("bring it up");
        netlink.configure(near, Some("10.0.0.1/24".parse().unwrap())).expect("bring it up");
        let (child, out) = endless("--packet kb -i 0.01 10.0.0.1");
        netlink.delete_link(near).expect("delete it");
        let said = ended(child, out).status(2);
        assert!(said.out.contains("\n--- 10.0.0.1 ping statistics ---\n"), "{said:#?}");
        assert_eq!(said.err, "tapping: kb is gone; was it removed?\n");
    });
}

#[test]
fn it_ends_when_nobody_reads_any_more() {
    let (mut child, out) = endless("-i 0.01 10.0.0.1");
    drop(out);
    let mut errors = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut errors).expect("read");
    let status = child.wait().expect("wait");
    assert_eq!(status.code(), Some(141), "{errors}");
    assert!(!errors.contains("panic") && !errors.contains("cannot write"), "{errors}");
}

#[test]
fn a_reader_that_goes_after_the_first_line_causes_no_panic() {
    let line = "--peer -q --walk -c 1 -W 0.3 10.0.0.9";
    let mut child = command(User::Own, line.split(' '))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the command");
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    out.read_line(&mut String::new()).expect("a first line");
    drop(out);
    let output = child.wait_with_output().expect("wait");
    let said = Said::from_output(line.into(), &output).status(141);
    assert_eq!(said.err, "");
}

#[test]
fn a_standard_error_that_nobody_reads_changes_nothing() {
    for (line, status) in [
        ("-vv --peer -q -c 2 -i 0.01 10.0.0.1", 0),
        ("--peer -b -q -c 1 -W 0.1 10.0.0.255", 1),
        ("--nonsense", 2),
        ("192.0.2.1", 2),
    ] {
        let (reader, writer) = UnixStream::pair().expect("a pair of sockets");
        drop(reader);
        let mut command = command(User::Own, line.split(' '));
        command.stderr(OwnedFd::from(writer)).stdout(Stdio::null());
        assert_eq!(command.status().expect("run").code(), Some(status), "{line}");
    }
}
