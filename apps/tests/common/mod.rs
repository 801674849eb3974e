//! Runs the command and looks at what it says.
#![allow(dead_code)]

use std::any::type_name;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tapping_drivers::netlink::Netlink;
use tapping_drivers::packet_socket::disable_offloads;
use tapping_drivers::testing::skip;

/// The built command.
pub static BINARY: LazyLock<PathBuf> = LazyLock::new(|| env!("CARGO_BIN_EXE_tapping").into());
/// The user and group nobody.
const NOBODY: u32 = 65_534;
/// How the line ends that says that there is no private network here.
pub const REFUSED: &str = "; using the built-in peer instead";

/// Who runs the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Whoever runs the tests.
    Own,
    /// An ordinary user; only root can start a command as somebody else.
    Nobody,
}

/// Every user that the tests can run the command as: oneself, and an ordinary user for root, as
/// long as that user can reach the command.
pub fn users() -> Vec<User> {
    if !is_root() {
        return vec![User::Own];
    }
    let everybody = |path: &Path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o5 == 0o5)
    };
    if !BINARY.ancestors().filter(|path| !path.as_os_str().is_empty()).all(everybody) {
        skip(&format!("an ordinary user cannot execute {}", BINARY.display()));
        return vec![User::Own];
    }
    vec![User::Own, User::Nobody]
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A directory that every user can write to, until dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        // Tests that run at the same time may use the same name.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (process, n) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(format!("tapping-{process}-{n}-{name}"));
        fs::create_dir_all(&dir).expect("make a scratch directory");
        fs::set_permissions(&dir, PermissionsExt::from_mode(0o777)).expect("open it to everybody");
        Scratch(dir)
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// What is in it.
    pub fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).expect("it is there").flatten().map(|entry| entry.path()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The command as `user`, with these words.
pub fn command<S: AsRef<OsStr>>(user: User, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(&*BINARY);
    command.args(args).stdin(Stdio::null()).current_dir("/");
    if user == User::Nobody {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Runs the command as oneself; the words are separated by spaces.
pub fn tapping(line: &str) -> Said {
    tapping_as(User::Own, line)
}

/// Runs the command as `user`.
pub fn tapping_as(user: User, line: &str) -> Said {
    Said::by(&mut command(user, line.split_whitespace()))
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// The command, for messages.
    pub line: String,
    /// Its standard output.
    pub out: String,
    /// Its standard error, without the line about the built-in peer.
    pub err: String,
    /// Its exit status; a signal counts as 128 more, as in a shell.
    pub status: i32,
    /// There was no private network, so the built-in peer was used.
    pub built_in_peer: bool,
}

impl Said {
    /// Runs `command` to its end.
    pub fn by(command: &mut Command) -> Self {
        let line = format!("{command:?}");
        let output = command.output().unwrap_or_else(|error| panic!("{line}: {error}"));
        Said::from_output(line, &output)
    }

    /// From a command that has ended.
    pub fn from_output(line: String, output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it says only UTF-8");
        let all = text(&output.stderr);
        let built_in_peer = all.lines().any(|line| line.ends_with(REFUSED));
        let kept = |line: &&str| !line.ends_with(REFUSED);
        let err: String = all.lines().filter(kept).map(|line| format!("{line}\n")).collect();
        let signalled = output.status.signal().map(|signal| 128 + signal);
        let status = output.status.code().or(signalled).unwrap_or(-1);
        Said { line, out: text(&output.stdout), err, status, built_in_peer }
    }

    /// Checks that it ended well and said nothing on standard error.
    #[track_caller]
    pub fn good(self) -> Self {
        assert_eq!((self.status, self.err.as_str()), (0, ""), "{self:#?}");
        self
    }

    /// Checks that it ended with `status`.
    #[track_caller]
    pub fn status(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Checks that its output is `expected`, but for times.
    #[track_caller]
    pub fn says(self, expected: &str) -> Self {
        assert_eq!(timeless(&self.out), expected, "{self:#?}");
        self
    }

    /// Checks that it refused: status 2, nothing on standard output, one line on standard error
    /// that contains all of `words`.
    #[track_caller]
    pub fn refused(self, words: &[&str]) -> Self {
        assert_eq!((self.status, self.out.as_str()), (2, ""), "{self:#?}");
        assert_eq!(self.err.lines().count(), 1, "{self:#?}");
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in {self:#?}");
        }
        self
    }
}

/// The options that join the command to the kernel of the namespace that the test runs in, whose
/// address is 10.0.0.1 there.
pub fn beside_the_kernel() -> &'static str {
    let mut netlink = Netlink::open().expect("a routing socket");
    netlink.create_veth("ka", "kb").expect("a veth pair");
    for (name, address) in [("lo", None), ("kb", None), ("ka", Some("10.0.0.1/24"))] {
        disable_offloads(name).expect("turn offloads off");
        let index = netlink.link(name).unwrap().expect("it was made").index;
        let address = address.map(|address| address.parse().unwrap());
        netlink.configure(index, address).expect("bring it up");
    }
    "--packet kb"
}

/// Runs the body of the calling `#[test]` as a client of `tapping serve` with these options: in its
/// private network, where the stack is 10.0.0.2. Call it first thing in the test function, with the
/// whole body as a closure.
pub fn served<F: FnOnce()>(options: &str, body: F) {
    served_by(&mut Command::new(&*BINARY), options, body);
}

/// As [`served`], by a `command` to which the words are given that `tapping` takes.
pub fn served_by<F: FnOnce()>(command: &mut Command, options: &str, body: F) {
    const INSIDE: &str = "TAPPING_TEST_SERVED";
    if std::env::var_os(INSIDE).is_some() {
        body();
        return;
    }
    let name = type_name::<F>();
    let name = name.split_once("::").map_or(name, |(_, rest)| rest);
    let name = name.split("::{{closure}}").next().unwrap_or(name);
    let executable = std::env::current_exe().expect("the test binary has a path");
    command.arg("serve").args(options.split_whitespace()).args(["--control", "off", "--exec"]);
    command.arg(executable).args([name, "--exact", "--nocapture", "--test-threads=1"]);
    let said = Said::by(command.env(INSIDE, "1").stdin(Stdio::null()));
    if said.built_in_peer {
        skip("no private network here");
        return;
    }
    // A misread name would run no test at all, which is no failure to the harness.
    assert!(said.status == 0 && said.out.contains("1 passed"), "{}\n{}", said.out, said.err);
}

/// `text` with every decimal number, and every whole number of milliseconds, replaced by N.
pub fn timeless(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let len = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
        let (number, after) = number.split_at(len);
        result += before;
        let millis = after.starts_with("ms") || after.starts_with(" ms");
        let decimal = number.matches('.').count() == 1 && !number.ends_with('.');
        result += if millis || decimal { "N" } else { number };
        rest = after;
    }
    result + rest
}

/// The names of the network interfaces of this process's network.
pub fn interfaces() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net").expect("sysfs is there");
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
