//! Private namespaces: entering them, and saying why the system refuses.
//!
//! The superuser needs a network namespace only. Everybody else first enters a user namespace, in
//! which they are root and so may make a network namespace (user_namespaces(7)).

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use crate::{status, sys};

/// Which namespaces to enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Namespaces {
    /// A network namespace; takes `CAP_SYS_ADMIN`.
    Network,
    /// A user namespace, and a network namespace owned by it.
    UserAndNetwork,
}

/// What to write to `/proc/self/uid_map` and `gid_map`: the caller becomes root of the user
/// namespace, so that capabilities outlive an exec. Made before the fork, as the child may not
/// allocate.
#[derive(Debug, Clone)]
pub(crate) struct IdMaps {
    /// Root with the rights of root.
    superuser: bool,
    uid: String,
    gid: String,
}

impl IdMaps {
    /// For the caller's effective ids.
    pub(crate) fn of_caller() -> Self {
        IdMaps {
            superuser: geteuid().is_root() && has_net_admin(),
            uid: format!("0 {} 1\n", geteuid().as_raw()),
            gid: format!("0 {} 1\n", getegid().as_raw()),
        }
    }
}

/// Whether the caller has `CAP_NET_ADMIN`, without which even root can set up nothing in a network
/// namespace that is not its user namespace's.
fn has_net_admin() -> bool {
    const CAP_NET_ADMIN: u64 = 12;
    status::mask("CapEff") & 1 << CAP_NET_ADMIN != 0
}

/// Moves the calling thread into a new network namespace, and a new user namespace where that
/// takes one. Makes system calls only: it runs between fork and exec too.
pub(crate) fn enter(maps: &IdMaps) -> io::Result<()> {
    if maps.superuser {
        match sys::unshare(Namespaces::Network) {
            // A superuser without CAP_SYS_ADMIN, as in most containers.
            Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {}
            result => return result,
        }
    }
    sys::unshare(Namespaces::UserAndNetwork)?;
    // user_namespaces(7): an unprivileged writer of gid_map must first give up setgroups(2).
    write_proc(c"/proc/self/setgroups", b"deny")?;
    write_proc(c"/proc/self/uid_map", maps.uid.as_bytes())?;
    write_proc(c"/proc/self/gid_map", maps.gid.as_bytes())
}

/// Whether the error is one that a system gives which allows no namespaces (to this user, or no
/// more of them), as unshare(2) and user_namespaces(7) have it.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    let refusals =
        [Errno::PERM, Errno::ACCESS, Errno::NOSPC, Errno::INVAL, Errno::NOSYS, Errno::USERS];
    refusals.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// How to make the system allow namespaces, as far as its settings tell.
pub(crate) fn how_to_allow() -> String {
    let sysctl = |name: &str| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::read_to_string(path).ok().map(|value| value.trim().to_owned())
    };
    let remedies = [
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("user.max_user_namespaces", "0", "10000"),
        ("user.max_net_namespaces", "0", "10000"),
    ];
    let wrong: Vec<String> = remedies
        .iter()
        .filter(|(name, bad, _)| sysctl(name).as_deref() == Some(bad))
        .map(|(name, _, good)| format!("{name}={good}"))
        .collect();
    if wrong.is_empty() {
        "run as root, or outside the container or seccomp filter that forbids unshare(2)".to_owned()
    } else {
        format!("allow them with: sudo sysctl -w {}", wrong.join(" "))
    }
}

/// How many threads the process has.
pub(crate) fn thread_count() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}

fn write_proc(path: &std::ffi::CStr, content: &[u8]) -> io::Result<()> {
    let file: OwnedFd = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, content)?;
    Ok(())
}
