//! `tapping iperf3` and the real iperf3, each as client and as server of the other, in every mode.
//!
//! `cargo test -p tapping --features interop --test interop_iperf3`. Each test has a network
//! namespace of its own, with the stack at 10.0.0.2 and the kernel at 10.0.0.1.

mod common;

#[allow(dead_code)]
#[path = "interop/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tapping_drivers::testing::in_namespace;

use common::{BINARY, Said};
use world::{KERNEL, NEAR, Namespace, OURS, Wire};

/// Both ends of the wire.
struct World {
    here: Namespace,
    wire: Wire,
}

impl World {
    fn new() -> Self {
        let here = Namespace::here();
        let wire = Wire::new(&here);
        here.must(&format!("ip addr add {KERNEL}/24 dev {NEAR}"));
        World { here, wire }
    }

    /// What `tapping iperf3` says.
    fn ours(&self, args: &str) -> Said {
        let (tapping, options) = (BINARY.display(), &self.wire.options);
        self.wire.place.run(&format!("timeout 60 {tapping} iperf3 {options} {args}"))
    }

    /// What iperf3 says.
    fn real(&self, args: &str) -> Said {
        self.here.run(&format!("timeout 60 iperf3 {args}"))
    }

    /// Starts `tapping iperf3 -s`.
    fn our_server(&self, args: &str) -> Server {
        let line = format!("tapping iperf3 {} -s {args}", self.wire.options);
        let mut server = Server::start(&self.wire.place, &line);
        server.wait_for("Server listening on 5201");
        server
    }

    /// Starts `iperf3 -s`, which tells nothing before it ends.
    fn real_server(&self, args: &str) -> Server {
        let server = Server::start(&self.here, &format!("iperf3 -s {args}"));
        let listens = |table: &str| {
            let text = fs::read_to_string(format!("/proc/thread-self/net/{table}"));
            // The port in hex, and TCP_LISTEN.
            let is = |line: &str| line.contains(":1451 ") && line.contains(" 0A ");
            text.is_ok_and(|text| text.lines().any(is))
        };
        while !listens("tcp") && !listens("tcp6") {
            std::thread::yield_now();
        }
        server
    }
}

/// A server that goes on until it is dropped.
struct Server {
    child: Child,
    out: BufReader<ChildStdout>,
    said: String,
}

impl Server {
    fn start(place: &Namespace, line: &str) -> Self {
        let mut command = place.command(line);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        Server { child, out, said: String::new() }
    }

    /// Reads up to a line that contains `words`.
    fn wait_for(&mut self, words: &str) {
        loop {
            let start = self.said.len();
            let read = self.out.read_line(&mut self.said).expect("read");
            assert_ne!(read, 0, "it ended without {words:?}: {}", self.said);
            if self.said[start..].contains(words) {
                return;
            }
        }
    }

    /// Interrupts it; what it said.
    fn stop(mut self) -> Said {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("interrupt it");
        self.end()
    }

    /// Waits for its end; what it said.
    fn end(&mut self) -> Said {
        self.out.read_to_string(&mut self.said).expect("read");
        let mut stderr = Vec::new();
        self.child.stderr.take().expect("it is piped").read_to_end(&mut stderr).expect("read");
        let status = self.child.wait().expect("wait for it");
        let stdout = std::mem::take(&mut self.said).into_bytes();
        Said::from_output("server".into(), &Output { status, stdout, stderr })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A way to run a test.
#[derive(Debug, Clone, Copy)]
struct Mode {
    udp: bool,
    direction: &'static str,
    parallel: usize,
    json: bool,
}

/// All of them.
fn modes() -> Vec<Mode> {
    let mut modes = Vec::new();
    for udp in [false, true] {
        for direction in ["", "-R", "--bidir"] {
            for parallel in [1, 4] {
                for json in [false, true] {
                    modes.push(Mode { udp, direction, parallel, json });
                }
            }
        }
    }
    modes
}

impl Mode {
    /// Some end by amount, some by time.
    fn args(self) -> String {
        match (self.udp, self.json) {
            (false, false) => self.with("-n 20M"),
            (true, false) => self.with("-u -b 20M -k 400"),
            (_, true) => self.timed(),
        }
    }

    /// All end by time, and after several reports.
    fn timed(self) -> String {
        self.with(if self.udp { "-u -b 20M -t 1 -i 0.5" } else { "-t 1 -i 0.5" })
    }

    fn with(self, args: &str) -> String {
        let Mode { direction, parallel, json, .. } = self;
        let json = if json { "-J" } else { "" };
        format!("{args} {direction} -P {parallel} {json}")
    }

    /// Checks what a client said.
    #[track_caller]
    fn check(self, said: Said) {
        let said = said.good();
        let streams = self.parallel * if self.direction == "--bidir" { 2 } else { 1 };
        if !self.json {
            assert!(said.out.ends_with("\niperf Done.\n"), "{said:#?}");
            let ends = |what: &str| said.out.lines().filter(|line| line.ends_with(what)).count();
            let sums = if self.parallel == 1 { 0 } else { streams / self.parallel };
            assert_eq!(ends(" sender"), streams + sums, "{said:#?}");
            assert_eq!(ends(" receiver"), streams + sums, "{said:#?}");
            assert!(!said.out.contains("not available"), "{said:#?}");
            return;
        }
        let report: Value = serde_json::from_str(&said.out).expect("it is JSON");
        assert!(report.get("error").is_none(), "{report:#}");
        let end = &report["end"];
        assert_eq!(end["streams"].as_array().unwrap().len(), streams, "{report:#}");
        assert!(report["intervals"].as_array().unwrap().len() >= 2, "{report:#}");
        let both: &[&str] =
            if self.direction == "--bidir" { &["", "_bidir_reverse"] } else { &[""] };
        for way in both {
            let bytes = |name| end[format!("{name}{way}")]["bytes"].as_u64().unwrap();
            let (sent, received) = (bytes("sum_sent"), bytes("sum_received"));
            assert!(received > 0 && received <= sent, "{report:#}");
            if self.udp {
                let received = &end[format!("sum_received{way}")];
                assert!(received["packets"].as_u64().unwrap() > 0, "{report:#}");
                let rate = received["bits_per_second"].as_f64().unwrap();
                let wanted = 20e6 * self.parallel as f64;
                assert!(rate < wanted * 1.5, "{rate} of {wanted}");
            }
        }
    }
}

#[test]
fn our_server_and_the_real_client() {
    in_namespace(|| {
        let world = World::new();
        let server = world.our_server("");
        for mode in modes() {
            println!("{mode:?}");
            mode.check(world.real(&format!("-c {OURS} {}", mode.args())));
        }
        let said = server.stop().good();
        assert_eq!(said.out.matches("Accepted connection from 10.0.0.1").count(), modes().len());
    });
}

#[test]
fn our_client_and_the_real_server() {
    in_namespace(|| {
        let world = World::new();
        let server = world.real_server("");
        for mode in modes() {
            println!("{mode:?}");
            mode.check(world.ours(&format!("-c {KERNEL} {}", mode.args())));
        }
        let said = server.stop();
        assert_eq!(said.err, "iperf3: interrupt - the server has terminated\n", "{said:#?}");
        assert_eq!(said.out.matches("Accepted connection from 10.0.0.2").count(), modes().len());
        assert!(!said.out.contains("error"), "{said:#?}");
    });
}

/// Options that change how sockets and reports are, both ways.
const OPTIONS: [&str; 8] = [
    "-t 1 -b 20M -M 1000 -N -w 100K -C reno -S 16 -l 10000",
    "-t 1 -O 1 -b 10M/4 --get-server-output",
    "-u -k 50 -b 5M -l 1400 --udp-counters-64bit --repeating-payload",
    "-u -k 50 -b 5M -l 1000 --dont-fragment -w 100K --pacing-timer 5000 --get-server-output",
    "-t 1 -b 10M -T title --cport 7000 -P 2",
    "-t 1 -i 0 -b 10M -f K",
    "-u -t 1 -O 1 -b 5M -i 0.5",
    "-t 1 -b 10M --get-server-output -J --extra-data extra -T title",
];

#[test]
fn options_with_the_real_iperf3() {
    in_namespace(|| {
        let world = World::new();
        for direction in ["", "-R", "--bidir"] {
            for options in OPTIONS {
                println!("{direction} {options}");
                let args = format!("{options} {direction}");
                let mut server = world.our_server("-1");
                let theirs = world.real(&format!("-c {OURS} {args}")).good();
                server.end().good();
                let mut server = world.real_server("-1");
                let ours = world.ours(&format!("-c {KERNEL} {args}")).good();
                assert_eq!(server.end().err, "", "{args}");
                let (mut has, mut wanted) = (shapes(&ours.out), shapes(&theirs.out));
                if direction == "-R" {
                    // Over its first report, if that is its last one, iperf3's client has the
                    // headline of a sender.
                    for shapes in [&mut has, &mut wanted] {
                        shapes.retain(|line| !line.contains("[ ID]"));
                    }
                }
                let (more, less) = (has.difference(&wanted), wanted.difference(&has));
                assert_eq!(less.count(), 0, "{ours:#?} {theirs:#?}");
                // There is one more field, of JSON.
                let more = more.filter(|what| !what.ends_with(".bidir"));
                assert_eq!(more.count(), 0, "{ours:#?} {theirs:#?}");
            }
        }
    });
}

/// The kinds of lines in an output: without numbers and what depends on them.
fn shapes(text: &str) -> BTreeSet<String> {
    if let Ok(json) = serde_json::from_str(text) {
        let mut paths = BTreeSet::new();
        fields(&json, "", &mut paths);
        return paths;
    }
    text.lines().map(shape).collect()
}

fn shape(line: &str) -> String {
    let mut shape = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' | '.' if shape.ends_with('N') => {}
            '0'..='9' => shape.push('N'),
            ' ' if shape.ends_with(' ') => {}
            _ => shape.push(c),
        }
    }
    for prefix in ["K", "M", "G"] {
        for unit in ["Bytes", "bits"] {
            shape = shape.replace(&format!(" {prefix}{unit}"), &format!(" {unit}"));
        }
    }
    shape.trim_end().to_string()
}

/// The names of all fields.
fn fields(json: &Value, at: &str, paths: &mut BTreeSet<String>) {
    match json {
        Value::Object(fields_of) => {
            for (name, value) in fields_of {
                let path = format!("{at}.{name}");
                fields(value, &path, paths);
                paths.insert(path);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, at, paths)),
        _ => {}
    }
}

#[test]
fn outputs_are_those_of_iperf3() {
    in_namespace(|| {
        let world = World::new();
        for mode in modes() {
            println!("{mode:?}");
            let server_json = if mode.json { "-J" } else { "" };
            let args = mode.timed();
            // The kernel's own iperf3 at both ends shows what is to be said.
            let mut server = world.real_server(&format!("-1 {server_json}"));
            let client = world.real(&format!("-c {KERNEL} {args}")).good();
            let server = server.end().good();
            let mut our_server = if mode.json {
                let line = format!("tapping iperf3 {} -s -1 -J", world.wire.options);
                Server::start(&world.wire.place, &line)
            } else {
                world.our_server("-1")
            };
            if mode.json {
                while !world.here.run(&format!("ping -c 1 -W 1 {OURS}")).out.contains("1 received")
                {
                }
            }
            world.real(&format!("-c {OURS} {args}")).good();
            let our_server = our_server.end().good();
            let mut real_server = world.real_server("-1");
            let our_client = world.ours(&format!("-c {KERNEL} {args}")).good();
            real_server.end();
            for (what, ours, theirs) in
                [("client", our_client, client), ("server", our_server, server)]
            {
                let (has, wanted) = (shapes(&ours.out), shapes(&theirs.out));
                let missing: Vec<&String> = wanted.difference(&has).collect();
                assert!(missing.is_empty(), "{what} {mode:?}: {missing:#?}\n{}", ours.out);
                let more: Vec<&String> = has.difference(&wanted).collect();
                let more = more.iter().filter(|line| !mode.json && !line.is_empty()).count();
                assert_eq!(more, 0, "{what} {mode:?}: {}\n{}", ours.out, theirs.out);
            }
        }
    });
}

#[test]
fn a_busy_server_refuses_and_goes_on() {
    in_namespace(|| {
        let world = World::new();
        let mut server = world.our_server("");
        let first = Server::start(&world.here, &format!("iperf3 -c {OURS} -t 60 -b 1M"));
        server.wait_for(" sec ");
        let said = world.real(&format!("-c {OURS} -t 1")).status(1);
        assert_eq!(
            said.err,
            "iperf3: error - the server is busy running a test. try again later\n"
        );
        first.stop().status(1);
        server.wait_for("Server listening on 5201 (test #2)");
        world.real(&format!("-c {OURS} -n 1M")).good();
        let said = server.stop().status(0);
        assert_eq!(said.err, "tapping: the client has terminated\n");

        let server = world.real_server("");
        let line = format!("tapping iperf3 {} -c {KERNEL} -t 60 -b 1M", world.wire.options);
        let mut first = Server::start(&world.wire.place, &line);
        first.wait_for(" sec ");
        // The stack is taken; the kernel has room for another client.
        let said = world.here.run(&format!("iperf3 -c {KERNEL} -t 1")).status(1);
        assert!(said.err.contains("busy"), "{said:#?}");
        let said = first.stop().status(1);
        assert_eq!(said.err, "tapping: interrupt - the client has terminated\n");
        assert!(said.out.contains("sender\n"), "what was measured is told: {said:#?}");
        let said = server.stop();
        assert!(said.err.contains("the client has terminated"), "{said:#?}");
    });
}

#[test]
fn servers_that_end_and_servers_that_are_not_there() {
    in_namespace(|| {
        let world = World::new();
        let mut server = world.our_server("");
        let mut client = Server::start(&world.here, &format!("iperf3 -c {OURS} -t 60 -b 1M"));
        server.wait_for(" sec ");
        server.stop().status(1);
        let said = client.end();
        assert_eq!(said.err, "iperf3: error - the server has terminated\n", "{said:#?}");

        let server = world.real_server("");
        let line = format!("tapping iperf3 {} -c {KERNEL} -t 60 -b 1M", world.wire.options);
        let mut client = Server::start(&world.wire.place, &line);
        client.wait_for(" sec ");
        server.stop();
        let said = client.end().status(1);
        assert_eq!(said.err, "tapping: the server has terminated\n", "{said:#?}");

        let said = world.ours(&format!("-c {KERNEL}")).status(1);
        assert_eq!(said.err, "tapping: unable to connect to server: Connection refused\n");
        let said = world.ours(&format!("-c {KERNEL} -J")).status(1);
        let report: Value = serde_json::from_str(&said.out).expect("it is JSON");
        assert_eq!(report["error"], "unable to connect to server: Connection refused");
        let said = world.ours("-c 10.0.0.77 --connect-timeout 300").status(1);
        assert_eq!(said.err, "tapping: unable to connect to server: timed out\n");
    });
}
