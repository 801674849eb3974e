//! `tapping arping`, `tapping trace` and `--pcap`, and interfaces that were there before.

mod common;

use std::path::Path;
use std::process::Command;

use common::{BINARY, Said, Scratch, interfaces, is_root, tapping, tapping_as, timeless, users};
use tapping_drivers::netlink::Netlink;
use tapping_drivers::pcap::CaptureReader;
use tapping_drivers::testing::{in_namespace, skip};
use tapping_stack::wire::{Arp, ArpOperation, EtherType, Ethernet, Icmpv4, Ipv4, Protocol};

/// `text` with every link-layer address replaced by MAC.
fn macless(text: &str) -> String {
    let mut result = String::new();
    for word in timeless(text).split_inclusive(' ') {
        let mac = word.len() == 20 && word.starts_with('[') && word.ends_with("] ");
        result += if mac { "[MAC] " } else { word };
    }
    result
}

#[test]
fn arping_asks_and_counts_as_iputils() {
    for user in users() {
        let said = tapping_as(user, "arping --peer -c 2 -i 0.3 10.0.0.1").good();
        assert_eq!(
            macless(&said.out),
            "ARPING 10.0.0.1 from 10.0.0.2 tap0\n\
             Unicast reply from 10.0.0.1 [MAC]  Nms\n\
             Unicast reply from 10.0.0.1 [MAC]  Nms\n\
             Sent 2 probes (1 broadcast(s))\nReceived 2 response(s)\n",
        );
    }
    let kernel = tapping("arping -f 10.0.0.1").good();
    assert!(kernel.out.ends_with("Sent 1 probes (1 broadcast(s))\nReceived 1 response(s)\n"));
    let broadcast = tapping("arping -b -c 2 -i 0.01 10.0.0.1").good();
    assert!(broadcast.out.contains("Sent 2 probes (2 broadcast(s))"), "{broadcast:#?}");
    assert_eq!(tapping("arping -q -c 1 10.0.0.1").good().out, "");
}

#[test]
fn arping_hears_nobody() {
    let said = tapping("arping -c 2 -i 0.01 10.0.0.9").status(1);
    let (first, rest) = said.out.split_once('\n').expect("several lines");
    assert_eq!(first, "ARPING 10.0.0.9 from 10.0.0.2 tap0");
    assert_eq!(rest, "Sent 2 probes (2 broadcast(s))\nReceived 0 response(s)\n");
    tapping("arping -c 5 -w 0.05 10.0.0.1").status(1);
}

#[test]
fn arping_detects_duplicates_and_announces() {
    let taken = tapping("arping -D -c 2 10.0.0.1").status(1);
    assert!(taken.out.starts_with("ARPING 10.0.0.1 from 0.0.0.0 "), "{taken:#?}");
    assert!(taken.out.contains("Sent 1 probes (1 broadcast(s))\nReceived 1 response(s)"));
    tapping("arping -D -c 1 -i 0.05 10.0.0.9").status(0);
    for how in ["-U", "-A"] {
        let said = tapping(&format!("arping {how} -c 2 -i 0.01 10.0.0.2")).good();
        assert!(said.out.starts_with("ARPING 10.0.0.2 from 10.0.0.2 "), "{said:#?}");
        assert!(said.out.ends_with("Sent 2 probes (2 broadcast(s))\nReceived 0 response(s)\n"));
    }
}

#[test]
fn trace_reaches_a_neighbour_by_udp_and_icmp() {
    for user in users() {
        for how in ["", "-I "] {
            for peer in ["", "--peer "] {
                let said = tapping_as(user, &format!("trace {peer}{how}10.0.0.1")).good().says(
                    "traceroute to 10.0.0.1 (10.0.0.1), 30 hops max, 60 byte packets\n \
                     1  10.0.0.1 (10.0.0.1)  N ms  N ms  N ms\n",
                );
                assert_eq!(said.err, "");
            }
        }
    }
    tapping("--peer trace 10.0.0.1").good();
    tapping("trace -q 1 -m 5 -f 2 -n 10.0.0.1 1500").good().says(
        "traceroute to 10.0.0.1 (10.0.0.1), 5 hops max, 1500 byte packets\n \
         2  10.0.0.1  N ms\n",
    );
}

#[test]
fn trace_shows_silence_and_refusals() {
    tapping("trace -w 0.05 -q 2 -m 2 10.0.0.9").status(1).says(
        "traceroute to 10.0.0.9 (10.0.0.9), 2 hops max, 60 byte packets\n \
         1  * *\n \
         2  * *\n",
    );
    tapping("trace -F -m 1 -q 1 10.0.0.1 2000").status(1).says(
        "traceroute to 10.0.0.1 (10.0.0.1), 1 hops max, 2000 byte packets\n \
         1  * !F-1500\n",
    );
}

#[test]
fn trace_says_once_what_is_wrong_here() {
    tapping("trace -F -q 2 10.0.0.1 1501").status(1).says(
        "traceroute to 10.0.0.1 (10.0.0.1), 30 hops max, 1501 byte packets\n \
         1  * !F-1500 * !F-1500\n",
    );
    for host in ["10.0.0.255", "10.0.0.0", "255.255.255.255"] {
        tapping(&format!("trace {host}")).refused(&[host, "broadcast address", "one host"]);
    }
}

#[test]
fn trace_reaches_a_port_by_tcp() {
    for user in users() {
        for peer in ["", "--peer "] {
            for port in ["", "-p 7 "] {
                let line = format!("trace {peer}-T -n {port}10.0.0.1");
                tapping_as(user, &line).good().says(
                    "traceroute to 10.0.0.1 (10.0.0.1), 30 hops max, 60 byte packets\n \
                     1  10.0.0.1  N ms  N ms  N ms\n",
                );
            }
        }
    }
    tapping("trace -T -w 0.05 -q 1 -m 2 10.0.0.9").status(1).says(
        "traceroute to 10.0.0.9 (10.0.0.9), 2 hops max, 60 byte packets\n \
         1  *\n \
         2  *\n",
    );
    tapping("trace -T 10.0.0.1 100").refused(&["60 bytes", "100"]);
    tapping("trace -T -I 10.0.0.1").refused(&["--tcp", "--icmp"]);
}

/// The frames of a capture, as one word each.
fn frames(path: &Path) -> Vec<String> {
    let mut reader = CaptureReader::open(path).expect("a capture");
    let mut words = Vec::new();
    while let Some(record) = reader.next_record().expect("a sound capture") {
        let frame = Ethernet::parse(record.data).expect("a frame");
        words.push(match frame.ethertype() {
            EtherType::ARP => {
                match Arp::parse(frame.payload()).expect("an ARP message").operation {
                    ArpOperation::Request => "who-has".to_string(),
                    ArpOperation::Reply => "is-at".to_string(),
                    ArpOperation::Other(code) => format!("arp-{code}"),
                }
            }
            EtherType::IPV4 => {
                let packet = Ipv4::parse(frame.payload()).expect("a packet");
                assert!(packet.verify_checksum());
                match packet.protocol() {
                    Protocol::ICMP if !packet.is_fragment() => {
                        let icmp = Icmpv4::parse(packet.payload()).expect("a message");
                        assert!(icmp.verify_checksum());
                        format!("icmp-{}", icmp.icmp_type())
                    }
                    Protocol::ICMP => "fragment".to_string(),
                    Protocol(other) => format!("ip-{other}"),
                }
            }
            EtherType(other) => format!("{other:04x}"),
        });
    }
    words
}

#[test]
fn a_capture_has_every_frame() {
    for user in users() {
        let scratch = Scratch::new(&format!("capture-{user:?}"));
        let path = scratch.path("run.pcapng");
        let shown = path.display();
        tapping_as(user, &format!("--pcap {shown} -q -c 2 -i 0.01 10.0.0.1")).good();
        let words = frames(&path);
        let ours: Vec<&str> =
            words.iter().map(String::as_str).filter(|w| w.starts_with("icmp")).collect();
        assert_eq!(ours, ["icmp-8", "icmp-0", "icmp-8", "icmp-0"], "{words:?}");
        assert_eq!(words[..2], ["who-has", "is-at"]);
        tapping_as(user, &format!("--pcap {shown} -q -c 1 -s 3000 10.0.0.1")).good();
        assert_eq!(frames(&path).iter().filter(|word| *word == "fragment").count(), 6);
    }
}

#[test]
fn a_tap_is_made_used_and_gone() {
    in_namespace(|| {
        if !can_open_tap() {
            return skip("/dev/net/tun cannot be opened here");
        }
        let before = interfaces();
        let said = tapping("--tap t9 --host-addr 10.0.0.1/24 -q -c 2 -i 0.01 10.0.0.1").good();
        assert!(said.out.contains("2 received, 0% packet loss"), "{said:#?}");
        assert_eq!(interfaces(), before);
        tapping("--tap t9 --mtu 700 --host-addr 10.0.0.1/24 -q -c 1 -s 2000 10.0.0.1").good();
        tapping("arping --tap t%d --host-addr 10.0.0.1/24 -f 10.0.0.1").good();
        tapping("trace --tap t9 --host-addr 10.0.0.1/24 10.0.0.1").good();
        let mute = tapping("--tap t9 -q -c 1 -W 0.1 10.0.0.1").status(1);
        assert!(mute.err.contains("--host-addr gives it one"), "{mute:#?}");
    });
}

#[test]
fn a_packet_socket_on_a_veth_end() {
    in_namespace(|| {
        let mut netlink = Netlink::open().expect("a routing socket");
        netlink.create_veth("ka", "kb").expect("a veth pair");
        for name in ["ka", "kb"] {
            let index = netlink.link(name).unwrap().expect("it was made").index;
            netlink.set_up(index, true).expect("bring it up");
        }
        let index = netlink.link("ka").unwrap().expect("it was made").index;
        netlink.add_address(index, "10.0.0.1/24".parse().unwrap()).expect("an address");
        let said = tapping("--packet kb -q -c 2 -i 0.05 10.0.0.1").good();
        assert!(said.out.contains("2 received, 0% packet loss"), "{said:#?}");
        tapping("arping --packet kb -f 10.0.0.1").good();
        // The kernel's own address cannot be the stack's on the same wire.
        netlink
            .add_address(netlink_index("kb"), "10.0.0.2/24".parse().unwrap())
            .expect("an address");
        tapping("--packet kb -c 1 10.0.0.1").refused(&["10.0.0.2", "kernel's own", "--addr"]);
        tapping("--packet kb --addr 10.0.0.3/24 --mtu 9000 -c 1 10.0.0.1")
            .refused(&["--mtu 9000", "1500"]);
    });
}

#[test]
fn errors_from_a_router() {
    in_namespace(|| {
        let set = |name: &str, value: &str| {
            let path = format!("/proc/sys/net/ipv4/{name}");
            std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
        };
        let mut netlink = Netlink::open().expect("a routing socket");
        for (near, far, addr) in [("ka", "kb", "10.0.0.1/24"), ("ea", "eb", "10.1.0.1/24")] {
            netlink.create_veth(near, far).expect("a veth pair");
            for name in [near, far] {
                netlink.set_up(netlink_index(name), true).expect("bring it up");
            }
            netlink.add_address(netlink_index(near), addr.parse().unwrap()).expect("an address");
        }
        netlink.set_mtu(netlink_index("ea"), 1200).expect("a smaller MTU");
        set("ip_forward", "1");
        set("icmp_ratelimit", "0");

        let routed = "--packet kb --gateway 10.0.0.1";
        let expired = tapping(&format!("{routed} -c 1 -t 1 10.1.0.9")).status(1);
        let line = "\nFrom 10.0.0.1 icmp_seq=1 Time to live exceeded\n";
        assert!(expired.out.contains(line), "{expired:#?}");
        assert!(expired.out.contains("0 received, +1 errors, 100% packet loss"), "{expired:#?}");
        // The first request learns the path MTU; the next ones are too long to leave at all.
        let too_long = tapping(&format!("{routed} -c 2 -i 0.05 -M do -s 1300 10.1.0.9")).status(1);
        let line = "\nFrom 10.0.0.1 icmp_seq=1 Frag needed and DF set (mtu = 1200)\n";
        assert!(too_long.out.contains(line), "{too_long:#?}");
        assert_eq!(too_long.err, "ping: local error: message too long, mtu=1200\n");
        // What came about the first is not lost when the second, sent at once, is too long to leave.
        let both = tapping(&format!("{routed} -M do -l 2 -c 2 -s 1300 10.1.0.9")).status(1);
        assert!(both.out.contains(line) && both.out.contains("+2 errors"), "{both:#?}");
        tapping(&format!("trace {routed} -n -I -F -q 2 -m 2 -f 2 10.1.0.9 1300")).status(1).says(
            "traceroute to 10.1.0.9 (10.1.0.9), 2 hops max, 1300 byte packets\n \
             2  10.0.0.1  N ms !F-1200  N ms !F-1200\n",
        );
        tapping(&format!("trace {routed} -n -q 2 -m 2 -w 0.2 10.1.0.9")).status(1).says(
            "traceroute to 10.1.0.9 (10.1.0.9), 2 hops max, 60 byte packets\n \
             1  10.0.0.1  N ms  N ms\n \
             2  * *\n",
        );
        tapping(&format!("trace {routed} -I -F -q 1 -m 2 -f 2 10.1.0.9 1300")).status(1).says(
            "traceroute to 10.1.0.9 (10.1.0.9), 2 hops max, 1300 byte packets\n \
             2  10.0.0.1 (10.0.0.1)  N ms !F-1200\n",
        );
    });
}

fn netlink_index(name: &str) -> u32 {
    Netlink::open().unwrap().link(name).unwrap().expect("it is there").index
}

fn can_open_tap() -> bool {
    std::fs::File::options().read(true).write(true).open("/dev/net/tun").is_ok()
}

#[test]
fn an_address_given_to_a_lasting_tap_is_taken_back() {
    in_namespace(|| {
        if !can_open_tap() {
            return skip("/dev/net/tun cannot be opened here");
        }
        let made = Command::new("ip").args(["tuntap", "add", "t8", "mode", "tap"]).status();
        if !made.is_ok_and(|status| status.success()) {
            return skip("ip(8) cannot make a lasting TAP here");
        }
        tapping("--tap t8 --host-addr 10.0.0.1/24 --mtu 900 -q -c 1 10.0.0.1").good();
        let mut netlink = Netlink::open().unwrap();
        let link = netlink.link("t8").unwrap().expect("it lasts");
        assert_eq!((link.is_up(), link.mtu), (false, 1500));
        assert!(netlink.addresses().unwrap().iter().all(|(index, _)| *index != link.index));
    });
}

/// It has carrier only while somebody is attached, and the kernel is slow to take note.
#[test]
fn the_first_frame_passes_a_lasting_tap_that_is_up() {
    in_namespace(|| {
        if !can_open_tap() {
            return skip("/dev/net/tun cannot be opened here");
        }
        let ip = |args: &str| {
            let made = Command::new("ip").args(args.split_whitespace()).status();
            made.is_ok_and(|status| status.success())
        };
        for _ in 0..10 {
            let made = ip("tuntap add t8 mode tap")
                && ip("address add 10.0.0.1/24 dev t8")
                && ip("link set t8 up");
            if !made {
                return skip("ip(8) cannot make a lasting TAP here");
            }
            let said = tapping("arping --tap t8 -f 10.0.0.1").good();
            assert!(said.out.contains("\nSent 1 probes (1 broadcast(s))\n"), "{said:#?}");
            assert!(ip("link delete t8"));
        }
    });
}

#[test]
fn root_without_rights_over_networks_has_a_private_one() {
    if !is_root() || tapping("-q -c 1 10.0.0.1").built_in_peer {
        return skip("this is for root where there are private networks");
    }
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-net_admin", "--bounding-set=-net_admin"]).arg(&*BINARY);
    let output = match command.args(["-q", "-c", "1", "10.0.0.1"]).output() {
        Ok(output) if output.status.code() != Some(127) => output,
        _ => return skip("there is no setpriv(1)"),
    };
    let said = Said::from_output(format!("{command:?}"), &output).good();
    assert!(!said.built_in_peer, "{said:#?}");
}

#[test]
fn where_namespaces_are_refused_the_built_in_peer_answers() {
    // In a user namespace of its own the limit binds nobody else.
    let script = "echo 0 > /proc/sys/user/max_net_namespaces && exec \"$@\"";
    let line = ["-Ur", "sh", "-c", script, "sh"];
    let mut command = Command::new("unshare");
    command.args(line).arg(&*BINARY).args(["-c", "1", "10.0.0.1"]);
    let output = match command.output() {
        Ok(output) if output.status.code() != Some(1) => output,
        _ => return skip("unshare(1) cannot make a user namespace here"),
    };
    let all = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = Said::from_output(format!("{command:?}"), &output).good();
    assert!(said.built_in_peer && all.lines().count() == 1, "{all}");
    assert!(all.contains("sysctl") && all.contains("built-in peer"), "{all}");
    assert!(said.out.contains("1 packets transmitted, 1 received"), "{said:#?}");
}

#[test]
fn a_router_is_asked_for_what_is_elsewhere() {
    // The peer forwards nothing and says so by silence; what counts is that it was asked.
    let scratch = Scratch::new("router");
    let path = scratch.path("routed.pcapng");
    let line = format!("--peer --gateway 10.0.0.1 --pcap {} -c 1 -W 0.1 192.0.2.1", path.display());
    tapping(&line).status(1);
    assert_eq!(frames(&path)[..3], ["who-has", "is-at", "icmp-8"]);
}
