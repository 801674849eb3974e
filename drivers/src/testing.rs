//! For tests that need the kernel as their peer: run them in a private network namespace.

use std::any::type_name;
use std::env;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use crate::namespace::{self, IdMaps, Namespaces};
use crate::sys;

/// Set in the process that runs a test's body.
const INSIDE: &str = "TAPPING_TEST_NAMESPACE";
/// When this variable is set, a test that cannot have its namespace fails instead of being
/// skipped.
pub const REQUIRE: &str = "TAPPING_REQUIRE_NAMESPACES";

/// Runs the body of the calling `#[test]` in a network namespace of its own, in which it is root:
/// the test binary is started again for just that test, in new namespaces. Call it first thing in
/// the test function, with the whole body as a closure.
///
/// Where the system refuses namespaces, the test is [skipped](skip).
///
/// # Panics
/// When the body panics, with its output.
pub fn in_namespace<F: FnOnce()>(body: F) {
    if env::var_os(INSIDE).is_some() {
        body();
        return;
    }
    let name = test_name::<F>();
    let executable = env::current_exe().expect("the test binary has a path");
    let mut command = Command::new(executable);
    command
        .args([name.as_str(), "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .stdin(Stdio::null());
    sys::start_in_namespaces(&mut command, IdMaps::of_caller());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if namespace::is_refusal(&error) => {
            skip(&format!("no namespaces here ({error}); {}", namespace::how_to_allow()));
            return;
        }
        Err(error) => panic!("cannot start {name} in a namespace: {error}"),
    };
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for line in stderr.lines().filter(|line| line.starts_with("SKIPPED: ")) {
        write_line(line);
    }
    // A misread name would run no test at all, which is no failure to the harness.
    let ran = stdout.contains("1 passed");
    assert!(
        output.status.success() && ran,
        "{name} failed in its namespace ({})\n{stdout}{stderr}",
        output.status
    );
}

/// Moves the calling thread, and it alone, into a network namespace of its own. It takes rights
/// over the one it is in: see [`in_namespace`].
///
/// # Errors
/// The kernel's.
pub fn own_network() -> io::Result<()> {
    sys::unshare(Namespaces::Network)
}

/// Sets an option of the kernel's whose value is a number (setsockopt(2)).
///
/// # Errors
/// The kernel's.
pub fn set_socket_option(fd: impl AsFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    sys::set_option(fd.as_fd(), level, name, value)
}

/// Reads an option of the kernel's into `value` and returns its length (getsockopt(2)).
///
/// # Errors
/// The kernel's.
pub fn socket_option(fd: impl AsFd, level: i32, name: i32, value: &mut [u8]) -> io::Result<usize> {
    sys::get_option(fd.as_fd(), level, name, value)
}

/// Says on standard error, past the harness's capture, that the rest of the calling test does not
/// run and why.
///
/// # Panics
/// When [`REQUIRE`] is set.
pub fn skip(reason: &str) {
    assert!(env::var_os(REQUIRE).is_none(), "{REQUIRE} is set, but {reason}");
    let thread = std::thread::current();
    write_line(&format!("SKIPPED: {}: {reason}", thread.name().unwrap_or("test")));
}

/// Not `eprintln!`, which the harness captures when a test passes.
fn write_line(line: &str) {
    let mut stderr = io::stderr().lock();
    // With nowhere to write there is nobody to tell.
    let _ = writeln!(stderr, "{line}");
}

/// The harness's name of the test whose body the closure type `F` is: the path without the crate
/// and without what names the closure.
fn test_name<F>() -> String {
    let path = type_name::<F>();
    let path = path.split_once("::").map_or(path, |(_, rest)| rest);
    path.split("::{{closure}}").next().unwrap_or(path).to_owned()
}
