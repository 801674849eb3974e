//! `tapping ss`, `stat`, `ip` and `top` about a stack that `tapping serve` runs.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{BINARY, Said, Scratch, User, command, is_root, tapping, users};
use rustix::process::{Pid, Signal, kill_process};

/// The user nobody.
const NOBODY: u32 = 65_534;

/// A runtime directory of a user.
struct Runtime {
    user: User,
    scratch: Scratch,
}

impl Runtime {
    fn new(user: User, name: &str) -> Self {
        let scratch = Scratch::new(name);
        let runtime = Runtime { user, scratch };
        fs::create_dir(runtime.dir()).expect("the directory is new");
        if user == User::Nobody {
            chown(runtime.dir(), Some(NOBODY), Some(NOBODY)).expect("root can");
        }
        runtime
    }

    fn dir(&self) -> PathBuf {
        self.scratch.path("run")
    }

    fn command(&self, line: &str) -> Command {
        let mut command = command(self.user, line.split_whitespace());
        command.env("XDG_RUNTIME_DIR", self.dir()).env_remove("TAPPING_STACK");
        command
    }

    /// What a command says about the stacks of this directory.
    fn ask(&self, line: &str) -> Said {
        Said::by(&mut self.command(line))
    }

    /// The control sockets.
    fn sockets(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir().join("tapping")).into_iter().flatten();
        entries.flatten().map(|entry| entry.path()).collect()
    }

    /// Serves until dropped.
    fn serve(&self, options: &str) -> Serving {
        let line = format!("serve --peer {options}");
        let mut child = self
            .command(&line)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it can be started");
        let mut ready = String::new();
        let out = child.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut ready).expect("it says something");
        assert_eq!(ready, "ready 10.0.0.2\n", "{line}");
        Serving(child)
    }
}

struct Serving(Child);

impl Serving {
    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn end(mut self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.0), signal);
        self.0.wait().expect("it ends");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_served_is_shown_in_the_formats_of_linux() {
    for user in users() {
        let runtime = Runtime::new(user, "formats");
        let serving = runtime.serve("--tcp-echo 7 --udp-echo 7 --http 80");
        let listed = runtime.ask("ss -tuln").good();
        assert_eq!(
            listed.out,
            "Netid State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess\n\
             udp   UNCONN 0      0            0.0.0.0:7         0.0.0.0:*          \n\
             tcp   LISTEN 0      4096         0.0.0.0:7         0.0.0.0:*          \n\
             tcp   LISTEN 0      4096         0.0.0.0:80        0.0.0.0:*          \n",
        );
        let chosen = runtime.ask("ss -Htln sport = :80").good();
        assert_eq!(chosen.out, "LISTEN 0      4096   0.0.0.0:80 0.0.0.0:*\n");
        let process = runtime.ask("ss -Htlnp sport = :80").good();
        let users = format!("users:((\"serve\",pid={}))", serving.pid());
        assert!(process.out.contains(&users), "{process:#?}");
        let addresses = runtime.ask("ip -br addr").good();
        let lines: Vec<&str> = addresses.out.lines().collect();
        assert_eq!(lines[0], "lo               UNKNOWN        127.0.0.1/8 ");
        assert!(lines[1].ends_with(" UP             10.0.0.2/24 "), "{addresses:#?}");
        let routes = runtime.ask("ip route").good();
        assert!(routes.out.starts_with("10.0.0.0/24 dev "), "{routes:#?}");
        let connected = " proto kernel scope link src 10.0.0.2 \n";
        assert!(routes.out.contains(connected), "{routes:#?}");
        runtime.ask("ip neigh").good();
        let stat = runtime.ask("stat").good();
        assert!(stat.out.starts_with("Ip:\n    Forwarding: 2\n"), "{stat:#?}");
        let metrics = runtime.ask("stat --openmetrics").good();
        assert!(metrics.out.ends_with("\n# EOF\n"), "{metrics:#?}");
        let summary = runtime.ask("ss -s").good();
        assert!(summary.out.contains("\nUDP\t  1         1         0        \n"), "{summary:#?}");
        let top = runtime.ask("top --delay 0.1 state listening").good();
        assert!(top.out.contains("  0 of 0 connections\n"), "{top:#?}");
        for line in
            ["ss -j -tuanie", "ip -j addr", "ip -j route", "ip -j neigh", "stat -j", "top -j"]
        {
            let said = runtime.ask(line).good();
            let parsed: serde_json::Value = serde_json::from_str(&said.out).expect("it is JSON");
            assert!(parsed.is_array() || parsed.is_object(), "{said:#?}");
        }
        serving.end(Signal::TERM);
        assert_eq!(runtime.sockets(), Vec::<PathBuf>::new());
    }
}

#[test]
fn of_several_stacks_one_is_chosen() {
    let runtime = Runtime::new(User::Own, "several");
    let first = runtime.serve("--tcp-echo 7 --control web");
    let second = runtime.serve("--tcp-echo 8 --control db");
    let unclear = runtime.ask("ss -tln");
    unclear.refused(&["several stacks run", "web", "db", "--stack"]);
    let path = runtime.dir().join(format!("tapping/db-{}.sock", second.pid()));
    for (which, port) in [
        ("web".to_string(), 7),
        ("db".to_string(), 8),
        (first.pid().to_string(), 7),
        (path.display().to_string(), 8),
    ] {
        let said = runtime.ask(&format!("ss -Htln --stack {which}")).good();
        assert_eq!(said.out, format!("LISTEN 0      4096   0.0.0.0:{port} 0.0.0.0:*\n"));
        let said = Said::by(runtime.command("ss -Htln").env("TAPPING_STACK", &which)).good();
        assert_eq!(said.out, format!("LISTEN 0      4096   0.0.0.0:{port} 0.0.0.0:*\n"));
    }
    let said = runtime.ask("ip --stack db -br link").good();
    assert!(said.out.starts_with("lo  "), "{said:#?}");
    let missing = runtime.ask("stat --stack mail").status(1);
    assert!(missing.err.contains("no running stack is called mail"), "{missing:#?}");
}

#[test]
fn who_has_died_is_forgotten() {
    let runtime = Runtime::new(User::Own, "stale");
    let dead = runtime.serve("--tcp-echo 7");
    let files = runtime.sockets();
    assert_eq!(files.len(), 1);
    assert_eq!(fs::metadata(&files[0]).expect("it is there").mode() & 0o777, 0o600);
    let directory = runtime.dir().join("tapping");
    assert_eq!(fs::metadata(directory).expect("it is there").mode() & 0o777, 0o700);
    dead.end(Signal::KILL);
    assert_eq!(runtime.sockets(), files, "nobody has taken it away yet");
    let said = runtime.ask("ss").status(1);
    assert!(said.err.contains("no stack is running"), "{said:#?}");
    assert_eq!((said.out.as_str(), said.err.lines().count()), ("", 1));
    assert_eq!(runtime.sockets(), Vec::<PathBuf>::new());
    let _alive = runtime.serve("--tcp-echo 7");
    runtime.ask("ss -tln").good();
}

#[test]
fn stacks_are_their_users_alone() {
    if !is_root() {
        tapping_drivers::testing::skip("only root can be somebody else");
        return;
    }
    let runtime = Runtime::new(User::Own, "alone");
    let path = runtime.scratch.path("open.sock");
    let _serving = runtime.serve(&format!("--tcp-echo 7 --control {}", path.display()));
    runtime.ask(&format!("ss -tln --stack {}", path.display())).good();
    let mut other = command(User::Nobody, ["ss", "--stack"]);
    let said = Said::by(other.arg(&path)).status(1);
    assert!(said.err.contains("Permission denied"), "{said:#?}");
}

#[test]
fn control_is_a_choice() {
    let runtime = Runtime::new(User::Own, "choice");
    let off = runtime.serve("--tcp-echo 7 --control off");
    assert_eq!(runtime.sockets(), Vec::<PathBuf>::new());
    runtime.ask("ss").status(1);
    off.end(Signal::TERM);
    runtime.ask("serve --peer --tcp-echo 7 --control a:b").refused(&["--control", "a:b"]);
    let file = runtime.scratch.path("precious");
    fs::write(&file, "x").expect("it can be written");
    let line = format!("serve --peer --tcp-echo 7 --control {}", file.display());
    runtime.ask(&line).refused(&["cannot serve at", "no socket"]);
    assert_eq!(fs::read(&file).expect("it is there"), b"x");
}

#[test]
fn hostile_clients_harm_nobody() {
    let runtime = Runtime::new(User::Own, "hostile");
    let _serving = runtime.serve("--tcp-echo 7");
    let path = runtime.sockets().remove(0);
    let mut stalled = Vec::new();
    for n in 0..60u8 {
        let mut stream = UnixStream::connect(&path).expect("it listens");
        stream.set_write_timeout(Some(Duration::from_secs(30))).expect("it can be set");
        // Some of it may find the connection closed.
        let _ = match n % 4 {
            0 => stream.write_all(&vec![n; 1 << 20]),
            1 => stream.write_all(b"{\"v\":1,\"get\":\"about\"}\n".repeat(5000).as_slice()),
            2 => stream.write_all(b"{\"v\":1,"),
            _ => Ok(()),
        };
        stalled.push(stream);
    }
    runtime.ask("ss -tln").good();
    let mut said = String::new();
    let mut first = stalled.remove(0);
    first.set_read_timeout(Some(Duration::from_secs(30))).expect("it can be set");
    let _ = first.read_to_string(&mut said);
    assert!(said.is_empty() || said.contains("at most 4096 bytes"), "{said}");
}

#[test]
fn a_program_beside_the_services_finds_them() {
    let binary = BINARY.display();
    for user in users() {
        let runtime = Runtime::new(user, "beside");
        let line = format!("serve --tcp-echo 7 --exec {binary} ss -Htln");
        let said = runtime.ask(&line);
        if said.status == 2 && said.err.contains("private network") {
            tapping_drivers::testing::skip(&said.err);
            continue;
        }
        assert_eq!(said.good().out, "LISTEN 0      4096   0.0.0.0:7 0.0.0.0:*\n");
        assert_eq!(runtime.sockets(), Vec::<PathBuf>::new());
    }
}

#[test]
fn wrong_words_are_told_before_anybody_is_asked() {
    tapping("ss sport").refused(&["ss: ", "a comparison"]);
    tapping("ss state dozing").refused(&["wrong state name: dozing"]);
    tapping("ss --nonsense").refused(&["--nonsense"]);
    tapping("ip nonsense").refused(&["object \"nonsense\" is unknown"]);
    tapping("ip addr add 1.2.3.4 dev lo").refused(&["only what there is can be shown"]);
    tapping("stat -z").refused(&["--nstat"]);
    tapping("stat --openmetrics --json").refused(&["--json"]);
    tapping("top --sort colour").refused(&["colour"]);
    tapping("top -d x").refused(&["x"]);
    tapping("top dport = nobody").refused(&["does not look like a port"]);
}
