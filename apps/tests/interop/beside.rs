//! The command beside the programs it is like, at the same place in the same network: they must say
//! the same.
//!
//! ```text
//!  host ── 10.0.0.0/24 ── router ── 10.1.0.0/24, MTU 1200 ── second ── 10.2.0.0/24 ── far
//!             └── gateway ── 10.9.0.1
//! ```

use tapping_drivers::testing::in_namespace;

use super::world::{Namespace, join};
use crate::common::{Said, timeless};

/// Who plays the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    Kernel,
    Stack,
}

struct Network {
    host: Namespace,
    kind: Host,
    _others: [Namespace; 4],
}

impl Network {
    fn new(kind: Host) -> Self {
        let [host, router, second, far, gateway] = [(); 5].map(|()| Namespace::new());
        router.must("ip link add lan address 02:00:00:00:00:01 type bridge");
        router.must("ip link set lan up");
        for (namespace, port) in [(&host, "port0"), (&gateway, "port1")] {
            join((namespace, "eth0"), (&router, port));
            router.must(&format!("ip link set {port} master lan"));
        }
        join((&router, "eth1"), (&second, "eth0"));
        join((&second, "eth1"), (&far, "eth0"));
        for (namespace, link, address) in [
            (&router, "lan", "10.0.0.1/24"),
            (&gateway, "eth0", "10.0.0.3/24"),
            (&gateway, "lo", "10.9.0.1/32"),
            (&router, "eth1", "10.1.0.1/24"),
            (&second, "eth0", "10.1.0.2/24"),
            (&second, "eth1", "10.2.0.1/24"),
            (&far, "eth0", "10.2.0.2/24"),
        ] {
            namespace.must(&format!("ip address add {address} broadcast + dev {link}"));
        }
        router.must("ip link set eth1 mtu 1200");
        second.must("ip link set eth0 mtu 1200");
        for (namespace, route) in [
            (&router, "10.2.0.0/24 via 10.1.0.2"),
            (&router, "10.9.0.0/24 via 10.0.0.3"),
            (&router, "unreachable 192.0.2.0/28"),
            (&router, "prohibit 192.0.2.16/28"),
            (&router, "blackhole 192.0.2.32/28"),
            (&second, "10.0.0.0/24 via 10.1.0.1"),
            (&far, "default via 10.2.0.1"),
        ] {
            namespace.must(&format!("ip route add {route}"));
        }
        let others = [router, second, far, gateway];
        for namespace in &others {
            namespace.set("ipv4.ip_forward", "1");
            namespace.set("ipv4.icmp_ratemask", "0");
            for scope in ["all", "default"] {
                namespace.set(&format!("ipv4.conf.{scope}.rp_filter"), "0");
            }
        }
        if kind == Host::Kernel {
            host.must("ip address add 10.0.0.2/24 broadcast + dev eth0");
            host.must("ip route add default via 10.0.0.1");
            host.set("ipv4.icmp_ratemask", "0");
        }
        Network { host, kind, _others: others }
    }

    /// Runs the program, or our command of that name, each with its own way to say which network.
    fn run(&self, program: &str, line: &str) -> Said {
        // What one run learnt of the paths the next one shall not know.
        self.host.must("ip route flush cache");
        self.host.run(&match (self.kind, program) {
            (Host::Kernel, "trace") => format!("traceroute -n {line}"),
            (Host::Kernel, "arping") => format!("arping -I eth0 {line}"),
            (Host::Kernel, _) => format!("{program} -n {line}"),
            (Host::Stack, _) => {
                let numeric = if program == "arping" { "" } else { "-n" };
                format!(
                    "tapping {program} --packet eth0 --addr 10.0.0.2/24 --gateway 10.0.0.1 \
                     {numeric} {line}"
                )
            }
        })
    }
}

/// What was said, without times and what only we say.
fn essence(said: &Said) -> String {
    let err = said.err.replace("tapping: ", "ping: ");
    let [out, err] = [&said.out, &err].map(|text| {
        let lines = timeless(text);
        let lines = lines.lines().filter(|line| !line.starts_with("rtt p50/"));
        lines.map(|line| without_pipe(line) + "\n").collect::<String>()
    });
    format!("{out}{err}")
}

/// How many requests were on their way at once depends on when replies came.
fn without_pipe(line: &str) -> String {
    match line.split_once(", pipe ") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            before.to_owned() + rest
        }
        None => line.to_owned(),
    }
}

/// Checks that both say the same to each of the lines.
fn same(program: &str, lines: &[&str]) {
    let [theirs, ours] = [Host::Kernel, Host::Stack].map(|kind| {
        let network = Network::new(kind);
        let told = lines.iter().map(|line| {
            let said = network.run(program, line);
            match program {
                // Ours tells of failure; traceroute's status is 0 whatever it found.
                "trace" => essence(&said),
                _ => format!("{}exit status {}\n", essence(&said), said.status),
            }
        });
        told.collect::<Vec<_>>()
    });
    let differ =
        lines.iter().zip(theirs.iter().zip(&ours)).filter(|(_, (theirs, ours))| theirs != ours);
    let report: String = differ
        .map(|(line, (theirs, ours))| {
            format!("\n{program} {line}\n--- they say\n{theirs}--- we say\n{ours}")
        })
        .collect();
    assert!(report.is_empty(), "{report}");
}

#[test]
fn ping_with_replies() {
    in_namespace(|| {
        same(
            "ping",
            &[
                "-c 3 -i 0.01 10.0.0.1",
                "-c 3 -i 0.01 10.2.0.2",
                "-c 2 -i 0.01 -q 10.2.0.2",
                "-c 2 -i 0.01 -s 0 10.2.0.2",
                "-c 2 -i 0.01 -s 15 10.2.0.2",
                "-c 2 -i 0.01 -s 16 10.2.0.2",
                "-c 2 -i 0.01 -s 65507 10.0.0.1",
                "-c 2 -i 0.01 -p 0f1e2d 10.2.0.2",
                "-c 2 -i 0.01 -Q 0x10 10.2.0.2",
                "-c 2 -i 0.01 -t 3 10.2.0.2",
                "-c 2 -i 0.01 -I 10.0.0.2 10.2.0.2",
                "-c 2 -i 0.01 -I eth0 10.2.0.2",
                "-c 3 -i 0.01 -R 10.2.0.2",
                "-c 2 -i 0.01 -M want 10.2.0.2",
                "-c 2 -i 0.01 -M dont -s 3000 10.2.0.2",
                "-c 2 -i 0.01 -M do -s 1172 10.2.0.2",
                "-q -f -c 50 10.2.0.2",
                "-q -c 5 -A 10.2.0.2",
                "-q -c 3 -l 3 10.2.0.2",
                "-c 1 -e 77 10.2.0.2",
                "-c 2 -i 0.01 127.0.0.1",
                "-c 2 -i 0.01 10.0.0.2",
            ],
        );
    });
}

#[test]
fn ping_with_errors() {
    in_namespace(|| {
        same(
            "ping",
            &[
                "-c 2 -i 0.1 -t 1 10.2.0.2",
                "-c 2 -i 0.1 -t 2 10.2.0.2",
                "-c 2 -i 0.1 192.0.2.1",
                "-c 1 192.0.2.17",
                "-c 2 -i 0.1 -W 0.3 192.0.2.33",
                "-c 1 198.51.100.1",
                "-c 3 -i 0.1 -M do -s 1300 10.2.0.2",
                "-c 3 -i 0.1 -M want -s 1300 10.2.0.2",
                "-c 2 -i 0.1 -M do -s 1473 10.0.0.1",
                "-c 1 10.0.0.77",
                "-c 1 10.2.0.77",
                "-c 2 -i 0.1 -W 0.3 -O 192.0.2.33",
                "-q -c 2 -i 0.1 -t 1 10.2.0.2",
                "-q -c 1 192.0.2.1",
                "-c 1 -W 0.3 10.0.0.255",
                "-b -c 1 -W 0.3 10.0.0.255",
            ],
        );
    });
}

#[test]
fn ping_with_a_redirect() {
    // The kernel believes it only once it knows where the new gateway is.
    in_namespace(|| same("ping", &["-c 1 10.0.0.3", "-c 3 -i 0.2 10.9.0.1"]));
}

#[test]
fn trace() {
    in_namespace(|| {
        same(
            "trace",
            &[
                "10.0.0.1",
                "10.1.0.1",
                "10.1.0.2",
                "10.2.0.2",
                "-I 10.2.0.2",
                "-q 1 10.2.0.2",
                "-I -q 5 -N 1 10.2.0.2",
                "-m 2 10.2.0.2",
                "-f 2 10.2.0.2",
                "-t 16 10.2.0.2 1100",
                "-F 10.2.0.2 1300",
                "-I -F 10.2.0.2 1300",
                "10.2.0.2 1300",
                // A router sends few errors about routes that lead nowhere.
                "-q 1 -N 1 -m 3 192.0.2.1",
                "-q 1 -N 1 -m 3 192.0.2.17",
                "-q 1 -N 1 -m 3 198.51.100.1",
                "-w 0.5 -m 2 -q 2 192.0.2.33",
                "-w 3.5 -q 1 -m 3 10.2.0.77",
                "10.9.0.1",
            ],
        );
    });
}

#[test]
fn arping() {
    in_namespace(|| {
        same(
            "arping",
            &[
                "-c 2 -i 1 10.0.0.1",
                "-c 2 -b 10.0.0.1",
                "-f 10.0.0.1",
                "-q -c 1 10.0.0.1",
                "-D -c 2 10.0.0.1",
                "-D -c 1 -w 1 10.0.0.77",
                "-c 1 -w 1 10.0.0.77",
                "-U -c 1 10.0.0.2",
                "-A -c 1 10.0.0.2",
                "-s 10.0.0.2 -c 1 10.0.0.1",
            ],
        );
    });
}
