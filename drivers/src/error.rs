//! Why a device could not be had, in one line that says what to do.

use std::io;

use tapping_stack::SocketError;

use crate::netlink::NetlinkError;

/// The longest interface name in bytes (`IFNAMSIZ` less the zero byte).
pub(crate) const MAX_NAME_LEN: usize = 15;

/// Why a device could not be opened or set up.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Not a name that Linux gives an interface.
    #[error("bad interface name {name:?}: {reason}")]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it, and what is right.
        reason: &'static str,
    },
    /// There is no `/dev/net/tun`, or no driver behind it.
    #[error(
        "no TAP support here ({}): load it with `modprobe tun`, or make /dev/net/tun available",
        plain(.0)
    )]
    NoTun(#[source] io::Error),
    /// `/dev/net/tun` may not be opened.
    #[error(
        "cannot open /dev/net/tun ({}): run as root, or ask for read and write access to it",
        plain(.0)
    )]
    TunAccess(#[source] io::Error),
    /// The caller lacks a capability.
    #[error(
        "cannot open {name} ({}): it takes {capability}, so run as root or grant it",
        plain(error)
    )]
    Permission {
        /// The interface.
        name: String,
        /// What is missing, as "CAP_NET_ADMIN".
        capability: &'static str,
        /// What the kernel said.
        #[source]
        error: io::Error,
    },
    /// Another process has the TAP open.
    #[error("{name} is in use by another process: end that one or choose another name")]
    InUse {
        /// The interface.
        name: String,
    },
    /// The name belongs to an interface of another kind.
    #[error("{name} exists and is not a single-queue TAP interface: choose another name")]
    NotTap {
        /// The interface.
        name: String,
    },
    /// There is no such interface.
    #[error("no interface is called {name}: see the names with `ip link`")]
    NoSuchInterface {
        /// The interface.
        name: String,
    },
    /// The interface does not carry Ethernet frames.
    #[error("{name} is not an Ethernet interface: choose one that is (`ip link` says link/ether)")]
    NotEthernet {
        /// The interface.
        name: String,
    },
    /// The interface is down.
    #[error("{name} is down: bring it up with `ip link set {name} up`")]
    Down {
        /// The interface.
        name: String,
    },
    /// A routing socket request failed.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// Any other system call failed.
    #[error("cannot {what}: {}", plain(error))]
    System {
        /// What was tried.
        what: String,
        /// What the kernel said.
        #[source]
        error: io::Error,
    },
}

impl DeviceError {
    pub(crate) fn system(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        DeviceError::System { what: what.into(), error: error.into() }
    }
}

/// The error of a socket as `std::io` has it: with the same number, kind and text as from the
/// kernel.
pub fn io_error(error: SocketError) -> io::Error {
    io::Error::from_raw_os_error(error.errno())
}

/// Checks that `name` is one that Linux takes for an interface (`dev_valid_name`).
///
/// # Errors
/// [`DeviceError::BadName`].
pub fn check_interface_name(name: &str) -> Result<(), DeviceError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > MAX_NAME_LEN {
        "it is longer than 15 bytes"
    } else if name == "." || name == ".." {
        "it may not be \".\" or \"..\""
    } else if name.bytes().any(|b| b == b'/' || b == b':' || b == 0 || b.is_ascii_whitespace()) {
        "it may not contain '/', ':', zero bytes or white space"
    } else if name.contains('%') && (name.matches('%').count() > 1 || !name.contains("%d")) {
        "'%' may only stand in one \"%d\", which becomes a number"
    } else {
        return Ok(());
    };
    Err(DeviceError::BadName { name: name.to_owned(), reason })
}

/// What the system says of an error, without its number.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the stack says what the kernel's errors are to `std`, whose kinds of errors
    /// without a stable name have no name to match on either.
    #[test]
    fn socket_errors_are_those_of_the_system() {
        for error in SocketError::ALL {
            let io = io_error(*error);
            assert_eq!(io.raw_os_error(), Some(error.errno()), "{error:?}");
            assert_eq!(format!("{:?}", io.kind()), format!("{:?}", error.kind()), "{error:?}");
            assert_eq!(plain(&io), error.to_string(), "{error:?}");
        }
    }
}
