//! Namespaces, wires and programs.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{BINARY, Said};

/// The programs that the suite runs, and the Debian packages that have them.
const PACKAGES: [(&str, &str); 8] = [
    ("ping", "iputils-ping"),
    ("arping", "iputils-arping"),
    ("traceroute", "traceroute"),
    ("tshark", "tshark"),
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
];

/// The stack's side of the wire, and the kernel's.
pub const OURS: &str = "10.0.0.2";
pub const KERNEL: &str = "10.0.0.1";
/// The kernel's interface of a [`Wire`].
pub const NEAR: &str = "near";

/// A network namespace: that of the test, or one beside it.
pub struct Namespace {
    holder: Option<Holder>,
}

/// Keeps a namespace in being; it ends when its standard input is closed, so also when the test
/// dies.
struct Holder {
    child: Child,
    _input: ChildStdin,
}

impl Namespace {
    /// The one that the test runs in.
    pub fn here() -> Self {
        let here = Namespace::outer();
        here.prepare();
        here
    }

    /// The one that the test runs in, for what leaves networks alone.
    pub fn outer() -> Self {
        Namespace { holder: None }
    }

    /// A new one.
    pub fn new() -> Self {
        let mut child = program("unshare")
            .args(["-n", "sh", "-c", "echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start unshare");
        let input = child.stdin.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped"))
            .read_line(&mut line)
            .expect("read from the namespace's holder");
        assert_eq!(line, "ready\n", "unshare made no namespace");
        let new = Namespace { holder: Some(Holder { child, _input: input }) };
        new.prepare();
        new
    }

    /// IPv6 would add packets that nobody asked for.
    fn prepare(&self) {
        self.must("ip link set lo up");
        for scope in ["all", "default"] {
            self.set(&format!("ipv6.conf.{scope}.disable_ipv6"), "1");
        }
    }

    /// A command in it; the words are separated by spaces.
    pub fn command(&self, line: &str) -> Command {
        let (name, words) = line.split_once(' ').unwrap_or((line, ""));
        let words = words.split_whitespace();
        let mut command = match &self.holder {
            None => program(name),
            Some(holder) => {
                let mut command = program("nsenter");
                command.arg(format!("--net=/proc/{}/ns/net", holder.child.id()));
                command.arg("--").arg(program(name).get_program());
                command
            }
        };
        // Outputs are compared as they are everywhere.
        command.args(words).env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, line: &str) -> Said {
        Said::by(&mut self.command(line))
    }

    /// Runs what must end well.
    #[track_caller]
    pub fn must(&self, line: &str) -> Said {
        self.run(line).good()
    }

    /// Sets a sysctl below `net`.
    #[track_caller]
    pub fn set(&self, name: &str, value: &str) {
        // A kernel without IPv6 has nothing to turn off.
        let path = format!("/proc/sys/net/{}", name.replace('.', "/"));
        if Path::new(&path).exists() || !name.starts_with("ipv6") {
            let script = format!("echo {value} > {path}");
            Said::by(self.command("sh -c").arg(script)).good();
        }
    }

    /// What `ip link ... netns` calls it.
    pub fn id(&self) -> u32 {
        self.holder.as_ref().map_or_else(std::process::id, |holder| holder.child.id())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `tapping`, a program of the suite, or one that every system has.
fn program(name: &str) -> Command {
    if name == "tapping" {
        return Command::new(&*BINARY);
    }
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    if !path.split(':').any(|dir| Path::new(dir).join(name).is_file()) {
        match PACKAGES.iter().find(|(program, _)| *program == name) {
            Some((_, package)) => {
                panic!("{name} is not installed; the interop suite takes the package {package}")
            }
            None => panic!("{name} is not installed"),
        }
    }
    // By its bare name, which it repeats in its messages.
    let mut command = Command::new(name);
    command.env("PATH", path);
    command
}

/// Joins two namespaces by a veth pair, both ends up.
pub fn join(left: (&Namespace, &str), right: (&Namespace, &str)) {
    let here = Namespace::outer();
    let ends = format!(
        "ip link add {} netns {} type veth peer name {} netns {}",
        left.1,
        left.0.id(),
        right.1,
        right.0.id()
    );
    here.must(&ends);
    for (namespace, name) in [left, right] {
        namespace.must(&format!("ip link set {name} up"));
    }
}

/// How `tapping` is joined to the interface [`NEAR`] of the test's namespace: its TAP, or where only
/// root may have one, the other end of a veth pair.
pub struct Wire {
    /// Where `tapping` runs.
    pub place: Namespace,
    /// The options that join it.
    pub options: String,
}

impl Wire {
    pub fn new(here: &Namespace) -> Self {
        if std::fs::File::options().read(true).write(true).open("/dev/net/tun").is_ok() {
            // Made here, so that it outlives each run of the command.
            here.must(&format!("ip tuntap add {NEAR} mode tap"));
            here.must(&format!("ip link set {NEAR} up"));
            return Wire { place: Namespace::outer(), options: format!("--tap {NEAR}") };
        }
        Wire::veth(here)
    }

    /// A veth pair, with a packet socket on the stack's end.
    pub fn veth(here: &Namespace) -> Self {
        let place = Namespace::new();
        join((here, NEAR), (&place, "far"));
        Wire { place, options: "--packet far".into() }
    }

    /// Starts a `tapping` that goes on until it is dropped, and waits for its first reply.
    pub fn start(&self, args: &str) -> Endless {
        let command = self.place.command(&format!("tapping {} {args}", self.options));
        Endless::start(command)
    }
}

/// A ping without end.
pub struct Endless {
    child: Child,
    out: BufReader<ChildStdout>,
    said: String,
}

impl Endless {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut endless = Endless { child, out, said: String::new() };
        while !endless.said.contains(" bytes from ") {
            if endless.out.read_line(&mut endless.said).expect("read") == 0 {
                let said = endless.end();
                panic!("it ended early: {said:#?}");
            }
        }
        endless
    }

    /// Ends it, and returns what it said.
    pub fn stop(mut self) -> Said {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("interrupt it");
        self.end()
    }

    fn end(&mut self) -> Said {
        self.out.read_to_string(&mut self.said).expect("read");
        let mut stderr = Vec::new();
        self.child.stderr.take().expect("it is piped").read_to_end(&mut stderr).expect("read");
        let status = self.child.wait().expect("wait for it");
        let stdout = std::mem::take(&mut self.said).into_bytes();
        Said::from_output("tapping".into(), &Output { status, stdout, stderr })
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
