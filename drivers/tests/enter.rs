//! Entering the sandbox, as the tool does: each scenario in a process of its own that has one
//! thread, so this test has no harness.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use common::{HOST_ADDR, Host, OUR_MAC, pattern};
use rustix::process::{DumpableBehavior, geteuid, set_dumpable_behavior};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use tapping_drivers::sandbox::{Sandbox, SandboxConfig, SandboxError};

/// Names the scenario in the process that runs it.
const SCENARIO: &str = "TAPPING_TEST_SCENARIO";
/// Exit status of a scenario that cannot be had here.
const SKIPPED: u8 = 77;
/// An id that owns nothing.
const NOBODY: u32 = 65_534;

type Scenario = fn() -> Result<(), SandboxError>;

const SCENARIOS: [(&str, Scenario); 3] = [
    ("we_enter_and_ping_the_kernel", we_enter_and_ping_the_kernel),
    ("anybody_enters_and_pings_the_kernel", anybody_enters_and_pings_the_kernel),
    ("a_refusal_says_how_to_allow_it", a_refusal_says_how_to_allow_it),
];

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(SCENARIO) {
        let (_, scenario) = SCENARIOS.iter().find(|(known, _)| *known == name).unwrap();
        return match scenario() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error @ SandboxError::Refused { .. }) => {
                tapping_drivers::testing::skip(&format!("{name}: {error}"));
                ExitCode::from(SKIPPED)
            }
            Err(error) => panic!("{error}"),
        };
    }
    let mut failed = 0;
    for (name, _) in SCENARIOS {
        let executable = std::env::current_exe().unwrap();
        let status = Command::new(executable).env(SCENARIO, name).status().unwrap();
        let result = match status.code() {
            Some(0) => "ok",
            Some(code) if code == i32::from(SKIPPED) => "skipped",
            _ => {
                failed += 1;
                "FAILED"
            }
        };
        println!("test {name} ... {result}");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn config() -> SandboxConfig {
    SandboxConfig {
        name: "tap0".to_owned(),
        mac: OUR_MAC,
        host_address: Some(format!("{HOST_ADDR}/24").parse().unwrap()),
        mtu: 1500,
        kind: None,
        offload: true,
    }
}

fn namespace(kind: &str) -> PathBuf {
    fs::read_link(format!("/proc/self/ns/{kind}")).unwrap()
}

/// Becomes nobody, for good, when root.
fn drop_privileges() {
    if geteuid().is_root() {
        let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        set_thread_groups(&[]).unwrap();
        set_thread_res_gid(gid, gid, gid).unwrap();
        set_thread_res_uid(uid, uid, uid).unwrap();
        // Changing ids makes /proc/self root's, which user namespaces need to write to.
        set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
    }
}

fn we_enter_and_ping_the_kernel() -> Result<(), SandboxError> {
    let outside = namespace("net");
    let sandbox = Sandbox::enter(&config())?;
    assert_ne!(namespace("net"), outside);
    assert_eq!(sandbox.device.name(), "tap0");
    let mut host = Host::new(sandbox.device, "10.0.0.2/24");
    for size in [0, 56, 20_000] {
        assert_eq!(host.ping(HOST_ADDR, 1, &pattern(size)), pattern(size));
    }
    // Nothing but the sandbox is in there.
    let links = tapping_drivers::netlink::Netlink::open().unwrap().links().unwrap();
    assert!(links.iter().all(|link| link.name == "lo" || link.name.starts_with("tap0")));
    Ok(())
}

fn anybody_enters_and_pings_the_kernel() -> Result<(), SandboxError> {
    drop_privileges();
    let outside = namespace("user");
    we_enter_and_ping_the_kernel()?;
    assert_ne!(namespace("user"), outside);
    Ok(())
}

fn a_refusal_says_how_to_allow_it() -> Result<(), SandboxError> {
    drop_privileges();
    let outside = namespace("user");
    Sandbox::enter(&config())?;
    // These limits are the new user namespace's own, and end with it.
    assert_ne!(namespace("user"), outside);
    for limit in ["max_user_namespaces", "max_net_namespaces"] {
        fs::write(format!("/proc/sys/user/{limit}"), "0").unwrap();
    }
    let error = Sandbox::enter(&config()).unwrap_err();
    assert!(matches!(error, SandboxError::Refused { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("user.max_user_namespaces=10000"), "{message}");
    assert!(!message.contains('\n'), "{message}");
    Ok(())
}
