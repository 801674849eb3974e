//! The services and clients of the command with programs that others wrote: curl, OpenBSD's netcat,
//! wrk, ApacheBench and Python.
//!
//! `cargo test -p tapping --features interop --test interop_services`. A program that is missing
//! fails the test and says which package has it.

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{BINARY, Said, Scratch, beside_the_kernel, served};
use tapping_drivers::testing::in_namespace;

/// The programs that the suite runs, and the Debian packages that have them.
const PACKAGES: [(&str, &str); 5] = [
    ("curl", "curl"),
    ("nc", "netcat-openbsd"),
    ("python3", "python3"),
    ("wrk", "wrk"),
    ("ab", "apache2-utils"),
];

/// A program of the suite; the words are separated by spaces.
fn program(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let name = words.next().expect("a program");
    let path = std::env::var("PATH").unwrap_or_default();
    if !path.split(':').any(|dir| Path::new(dir).join(name).is_file()) {
        let package = PACKAGES.iter().find(|(program, _)| *program == name);
        panic!("{name} is not installed; the interop suite takes the package {package:?}");
    }
    let mut command = Command::new(name);
    command.args(words).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// Runs it to its end, which must be a good one.
#[track_caller]
fn must(line: &str) -> Said {
    Said::by(&mut program(line)).good()
}

/// Runs it with this input.
#[track_caller]
fn with_input(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start it");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_vec();
    let writing = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("wait for it");
    writing.join().unwrap().expect("it reads all of it");
    assert!(output.status.success(), "{command:?}: {}", output.status);
    output.stdout
}

/// Numbers, one a line.
fn lines(count: usize) -> String {
    (0..count).map(|n| format!("{n}\n")).collect()
}

/// A directory to serve, and what is in its one large file.
fn site(name: &str) -> (Scratch, PathBuf, String) {
    let scratch = Scratch::new(name);
    let large = lines(500_000);
    fs::write(scratch.path("large.txt"), &large).unwrap();
    fs::write(scratch.path("small.html"), "<p>small</p>").unwrap();
    let dir = scratch.path("");
    (scratch, dir, large)
}

#[test]
fn curl_gets_files_and_parts_of_them() {
    let (scratch, dir, large) = site("curl");
    served(&format!("--http 80={}", dir.display()), || {
        let url = "http://10.0.0.2/large.txt";
        assert!(must(&format!("curl -sS {url}")).out == large);
        let part = must(&format!("curl -sS -r 1000000-1000099 {url}")).out;
        assert_eq!(part, large[1_000_000..1_000_100]);
        assert_eq!(must(&format!("curl -sS -r -100 {url}")).out, large[large.len() - 100..]);

        let partial = scratch.path("partial");
        fs::write(&partial, &large[..2_000_000]).unwrap();
        must(&format!("curl -sS -C - -o {} {url}", partial.display()));
        assert!(fs::read_to_string(&partial).unwrap() == large);

        let tag = scratch.path("etag");
        let etag = format!("--etag-save {0} --etag-compare {0}", tag.display());
        assert!(must(&format!("curl -sS {etag} {url}")).out == large);
        let again = must(&format!("curl -sS -w %{{http_code}} {etag} {url}"));
        assert_eq!(again.out, "304");

        let head = must(&format!("curl -sS -I {url}")).out;
        assert!(head.contains(&format!("content-length: {}\r\n", large.len())), "{head}");
        assert!(head.contains("content-type: text/plain\r\n"), "{head}");
        // One connection does for all.
        let page = "http://10.0.0.2/small.html";
        let said = must(&format!("curl -sS -w %{{num_connects}} {page} {page} {page}"));
        assert_eq!(said.out, "<p>small</p>1<p>small</p>0<p>small</p>0");
        let said = must("curl -sS -w %{http_code} -o /dev/null --path-as-is http://10.0.0.2/../x");
        assert_eq!(said.out, "400");
        let status =
            must(&format!("curl -sS -w %{{http_code}} -o /dev/null -T /etc/hostname {url}"));
        assert_eq!(status.out, "405");
    });
}

#[test]
fn curl_gets_many_files_at_once() {
    let (_scratch, dir, large) = site("many");
    served(&format!("--http 80={}", dir.display()), || {
        let url = "http://10.0.0.2/large.txt";
        let urls = vec![url; 20].join(" ");
        // Some versions show progress whether they are to be silent or not.
        let curl = "curl -sS --stderr /dev/null --parallel --parallel-max 20";
        let said = must(&format!("{curl} -r 0-999999 {urls}"));
        assert_eq!(said.out.len(), 20_000_000);
        assert!(said.out.matches(&large[..1000]).count() == 20);
    });
}

#[test]
fn python_keeps_its_connection() {
    let (_scratch, dir, large) = site("python");
    served(&format!("--http 80={}", dir.display()), || {
        let script = "\
import http.client
c = http.client.HTTPConnection('10.0.0.2', timeout=60)
for _ in range(3):
    c.request('GET', '/large.txt')
    r = c.getresponse()
    assert r.status == 200, r.status
    print(len(r.read()))
    s = c.sock
c.request('GET', '/large.txt', headers={'Range': 'bytes=0-1,10-11'})
r = c.getresponse()
assert r.status == 206 and c.sock is s
import email
m = email.message_from_bytes(b'Content-Type: ' + r.getheader('Content-Type').encode() + b'\\r\\n\\r\\n' + r.read())
print([p.get_payload() for p in m.get_payload()])
c.request('GET', '/nothing')
r = c.getresponse()
print(r.status, r.reason)
";
        let mut python = program("python3");
        let said = Said::by(python.args(["-c", script])).good();
        let len = large.len();
        let parts = "['0\\n', '5\\n']";
        assert_eq!(said.out, format!("{len}\n{len}\n{len}\n{parts}\n404 Not Found\n"));
    });
}

#[test]
fn netcat_talks_to_the_small_services() {
    served("--tcp-echo 7 --udp-echo 7 --discard 9 --chargen 19", || {
        let text = lines(300_000);
        let echoed = with_input(&mut program("nc -N 10.0.0.2 7"), text.as_bytes());
        assert!(echoed == text.as_bytes(), "{} bytes came back", echoed.len());
        assert_eq!(with_input(&mut program("nc -N 10.0.0.2 9"), text.as_bytes()), b"");
        assert_eq!(with_input(&mut program("nc -u -w 1 10.0.0.2 7"), b"hello"), b"hello");
        let ports = Said::by(&mut program("nc -z -v -n 10.0.0.2 7 8 9"));
        assert_eq!(ports.err.matches("succeeded!").count(), 2, "{ports:#?}");
    });
}

#[test]
fn load_generators_find_no_error() {
    let (_scratch, dir, _) = site("load");
    served(&format!("--http 80 --http 8080={}", dir.display()), || {
        for url in ["http://10.0.0.2/", "http://10.0.0.2:8080/small.html"] {
            let said = must(&format!("wrk -t 2 -c 200 -d 2 {url}"));
            assert!(said.out.contains("requests in"), "{}", said.out);
            for wrong in ["Socket errors", "Non-2xx"] {
                assert!(!said.out.contains(wrong), "{}", said.out);
            }
            for keep in ["", "-k "] {
                let said = must(&format!("ab -q {keep}-n 2000 -c 100 {url}"));
                let told = |what: &str| {
                    let line = said.out.lines().find_map(|line| line.strip_prefix(what));
                    line.unwrap_or_default().trim().to_string()
                };
                assert_eq!(told("Complete requests:"), "2000", "{}", said.out);
                assert_eq!(told("Failed requests:"), "0", "{}", said.out);
                assert!(!said.out.contains("Non-2xx"), "{}", said.out);
            }
        }
    });
}

/// A program that runs until it is dropped.
struct Running(Child);

impl Running {
    /// Starts it and waits until somebody listens on the port.
    fn start(line: &str, port: u16) -> Self {
        let child = program(line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let running = Running(child);
        let begin = Instant::now();
        let listens = format!(":{port:04X} 00000000:0000 0A");
        while !fs::read_to_string("/proc/net/tcp").unwrap().contains(&listens) {
            assert!(begin.elapsed() < Duration::from_secs(60), "{line} listens to nobody");
            thread::sleep(Duration::from_millis(20));
        }
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn clients_of_pythons_server() {
    in_namespace(|| {
        let options = beside_the_kernel();
        let (_scratch, dir, large) = site("clients");
        let dir = dir.display();
        let _server = Running::start(&format!("python3 -m http.server -d {dir} 8000"), 8000);
        let tapping = |words: &str| {
            let mut command = Command::new(&*BINARY);
            Said::by(command.args(words.split_whitespace()).args(options.split(' ')))
        };
        assert!(tapping("http GET http://10.0.0.1:8000/large.txt").good().out == large);
        let said = tapping("http GET -i http://10.0.0.1:8000/small.html").good();
        assert!(said.out.starts_with("HTTP/1.0 200 OK\r\n"), "{}", said.out);
        tapping("http GET http://10.0.0.1:8000/nothing").status(1);
        let said = tapping("tcping -c 3 -i 0.01 10.0.0.1 8000").good();
        assert_eq!(said.out.matches("Connected to 10.0.0.1 port 8000: seq=").count(), 3);
        let said = tapping("trace -T -n -q 1 -p 8000 10.0.0.1").good();
        assert_eq!(said.out.lines().count(), 2, "{}", said.out);
    });
}

#[test]
fn netcat_to_netcat() {
    in_namespace(|| {
        let options = beside_the_kernel();
        let text = lines(300_000);
        let mut real = program("nc -l 10.0.0.1 9000");
        let listening = real.stdout(Stdio::piped()).spawn().unwrap();
        let begin = Instant::now();
        while !fs::read_to_string("/proc/net/tcp").unwrap().contains(":2328 00000000:0000 0A") {
            assert!(begin.elapsed() < Duration::from_secs(60), "nc listens to nobody");
            thread::sleep(Duration::from_millis(20));
        }
        let reading = thread::spawn(move || listening.wait_with_output().unwrap());
        let mut ours = Command::new(&*BINARY);
        ours.arg("nc").args(options.split(' ')).args(["10.0.0.1", "9000"]);
        assert_eq!(with_input(&mut ours, text.as_bytes()), b"");
        let output = reading.join().unwrap();
        assert!(output.stdout == text.as_bytes(), "{} bytes came", output.stdout.len());
    });
}
