//! Captures of whole runs, as tshark reads them.

use std::path::{Path, PathBuf};

use tapping_drivers::pcap::CaptureReader;
use tapping_drivers::testing::in_namespace;

use super::world::{KERNEL, NEAR, Namespace, OURS, Wire};
use crate::common::{Said, Scratch};

/// tshark leaves most checksums alone unless told otherwise.
const CHECK: [&str; 8] = [
    "-o",
    "ip.check_checksum:TRUE",
    "-o",
    "udp.check_checksum:TRUE",
    "-o",
    "tcp.check_checksum:TRUE",
    "-o",
    "ip.defragment:TRUE",
];
/// 0 is "Bad".
const WRONG: &str = "_ws.malformed or _ws.expert.severity == error or _ws.short \
    or ip.checksum.status == 0 or icmp.checksum.status == 0 \
    or udp.checksum.status == 0 or tcp.checksum.status == 0";

/// The frames of a capture that a display filter lets through, one line each.
fn frames(capture: &Path, filter: &str) -> Vec<String> {
    let here = Namespace::outer();
    let mut tshark = here.command("tshark -n");
    tshark.args(CHECK).arg("-r").arg(capture).args(["-Y", filter]);
    let said = Said::by(&mut tshark).status(0);
    said.out.lines().map(str::to_owned).collect()
}

/// Checks that tshark finds as many frames in a capture as we do, and none of them wrong; returns
/// how many.
#[track_caller]
fn sound(capture: &Path) -> usize {
    let wrong = frames(capture, WRONG);
    assert!(wrong.is_empty(), "{}:\n{}", capture.display(), wrong.join("\n"));
    let mut reader = CaptureReader::open(capture).expect("a capture");
    let mut count = 0;
    while reader.next_record().expect("a sound capture").is_some() {
        count += 1;
    }
    assert_eq!(frames(capture, "frame").len(), count, "{}", capture.display());
    count
}

/// A network in which the kernel answers at 10.0.0.1, and is a router too.
struct Network {
    here: Namespace,
    wire: Wire,
    scratch: Scratch,
}

impl Network {
    fn new(name: &str, wire: impl FnOnce(&Namespace) -> Wire) -> Self {
        let here = Namespace::here();
        let wire = wire(&here);
        here.must(&format!("ip address add {KERNEL}/24 broadcast + dev {NEAR}"));
        here.set("ipv4.ip_forward", "1");
        here.set("ipv4.icmp_ratemask", "0");
        here.must("ip route add unreachable 192.0.2.0/28");
        here.must("ip route add prohibit 192.0.2.16/28");
        Network { here, wire, scratch: Scratch::new(name) }
    }

    /// Runs `tapping` with a capture.
    fn capture(&self, name: &str, line: &str) -> (Said, PathBuf) {
        let path = self.scratch.path(name);
        let options = &self.wire.options;
        let (command, args) = match line.split_once(' ') {
            Some((command @ ("arping" | "trace"), rest)) => (command, rest),
            _ => ("ping", line),
        };
        let line = format!(
            "tapping {command} {options} --gateway {KERNEL} --pcap {} {args}",
            path.display()
        );
        (self.wire.place.run(&line), path)
    }
}

fn pings(network: &Network) {
    let (said, path) = network.capture("plain", &format!("-c 3 -i 0.01 {KERNEL}"));
    said.good();
    assert!(sound(&path) >= 8, "ARP, and three of each");
    assert_eq!(frames(&path, "icmp.type == 8").len(), 3);
    assert_eq!(frames(&path, "icmp.type == 0").len(), 3);
    assert_eq!(frames(&path, "icmp.resp_to").len(), 3, "tshark finds which reply is whose");
    assert!(frames(&path, "arp.opcode == 1").len() + frames(&path, "arp.opcode == 2").len() >= 2);

    for (name, size, fragments) in [("two", 1473, 2), ("six", 8000, 6), ("all", 65_507, 45)] {
        let (said, path) = network.capture(name, &format!("-c 2 -i 0.01 -s {size} {KERNEL}"));
        said.good();
        sound(&path);
        let whole = format!("ip.reassembled.length == {}", size + 8);
        assert_eq!(frames(&path, &format!("icmp.type == 8 and {whole}")).len(), 2, "{size}");
        assert_eq!(frames(&path, &format!("icmp.type == 0 and {whole}")).len(), 2, "{size}");
        let parts = frames(&path, "ip.flags.mf == 1 or ip.frag_offset > 0");
        assert_eq!(parts.len(), 4 * fragments, "{size}");
    }

    let (said, path) = network.capture("flood", &format!("-q -f -c 500 {KERNEL}"));
    said.good();
    sound(&path);
    assert_eq!(frames(&path, "icmp.type == 0").len(), 500);

    let (said, path) = network.capture("route", &format!("-c 2 -i 0.01 -R {KERNEL}"));
    said.good();
    sound(&path);
    assert_eq!(frames(&path, "icmp.type == 0 and ip.opt.type.number == 7").len(), 2);
    assert_eq!(frames(&path, &format!("ip.rec_rt == {KERNEL}")).len(), 2);

    let several = format!("-c 2 -i 0.01 -Q 0x2c -t 9 -p 0ff0 -s 100 {KERNEL} 10.0.0.2 127.0.0.1");
    let (said, path) = network.capture("several", &several);
    said.good();
    sound(&path);
    let marked = "icmp.type == 8 and ip.ttl == 9 and ip.dsfield == 0x2c";
    assert_eq!(frames(&path, marked).len(), 2, "what stays on the loopback is on no wire");
}

fn errors(network: &Network) {
    for (name, target, code) in [("host", "192.0.2.1", 1), ("prohibit", "192.0.2.17", 13)] {
        let (said, path) = network.capture(name, &format!("-c 2 -i 0.01 -W 1 {target}"));
        let said = said.status(1);
        assert!(said.out.contains("+2 errors"), "{said:#?}");
        sound(&path);
        let filter = format!("icmp.type == 3 and icmp.code == {code}");
        assert_eq!(frames(&path, &filter).len(), 2);
    }
    let (said, path) = network.capture("nobody", "-c 1 10.0.0.99");
    said.status(1);
    assert!(sound(&path) >= 3);
    assert!(frames(&path, "arp.dst.proto_ipv4 == 10.0.0.99").len() >= 3);
}

fn tools(network: &Network) {
    let (said, path) = network.capture("arping", &format!("arping -c 2 {KERNEL}"));
    let said = said.good();
    sound(&path);
    let replies = frames(&path, &format!("arp.src.proto_ipv4 == {KERNEL}"));
    assert_eq!(replies.len(), 2, "{said:#?}\n{:#?}", frames(&path, "frame"));
    for (name, how, probes) in [("trace-udp", "", "udp"), ("trace-icmp", "-I", "icmp.type == 8")] {
        let (said, path) = network.capture(name, &format!("trace {how} -n {KERNEL} 100"));
        said.good();
        sound(&path);
        // Further hops are probed before the first has answered.
        assert!(frames(&path, &format!("ip.src == {OURS} and {probes}")).len() >= 3);
    }
}

/// What the kernel sends may have checksums that its device would have filled in.
fn visitors(network: &Network) {
    let path = network.scratch.path("visitors");
    let stack =
        network.wire.start(&format!("--addr {OURS}/24 -i 0.2 --pcap {} {KERNEL}", path.display()));
    let here = &network.here;
    here.must(&format!("ping -c 2 -i 0.01 -s 4000 {OURS}"));
    here.must(&format!("traceroute -n {OURS} 1000"));
    here.must(&format!("traceroute -n -I {OURS}"));
    here.must(&format!("traceroute -n -T -q 1 -m 1 -w 1 {OURS}"));
    here.must(&format!("arping -I {NEAR} -c 1 {OURS}"));
    stack.stop().good();
    sound(&path);
    let asked = format!("udp and ip.src == {KERNEL} and udp.checksum.status == 1");
    assert!(frames(&path, &asked).len() >= 3, "{:#?}", frames(&path, "udp"));
    assert!(!frames(&path, "tcp.flags.syn == 1 and tcp.checksum.status == 1").is_empty());
    let refused = "icmp.type == 3 and icmp.code == 3";
    assert!(frames(&path, refused).len() >= 3);
}

/// The tests, each over a wire of its own kind.
macro_rules! over_each_wire {
    ($($name:ident)*) => {
        mod tap {
            $(#[test] fn $name() {
                super::in_namespace(|| super::$name(&super::Network::new(
                    concat!("tap-", stringify!($name)), super::Wire::new)));
            })*
        }
        mod veth {
            $(#[test] fn $name() {
                super::in_namespace(|| super::$name(&super::Network::new(
                    concat!("veth-", stringify!($name)), super::Wire::veth)));
            })*
        }
    };
}
over_each_wire! { pings errors tools visitors }

/// Two stacks of ours.
#[test]
fn with_the_built_in_peer() {
    let scratch = Scratch::new("peer");
    let path = scratch.path("peer.pcapng");
    let line = format!("tapping --peer --pcap {} -c 3 -i 0.01 -s 3000 {KERNEL}", path.display());
    Namespace::outer().must(&line);
    assert_eq!(sound(&path), 2 + 2 * 3 * 3);
    assert_eq!(frames(&path, "ip.reassembled.length == 3008").len(), 6);
}
