//! Errors as sockets report them: one table to errno and text.

use crate::stats::DropReason;
use crate::wire::icmpv4::Unreachable;

macro_rules! socket_errors {
    ($($(#[$doc:meta])* $name:ident = $errno:literal, $text:literal;)*) => {
        /// What went wrong, named and numbered as on Linux (errno(3)).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum SocketError {
            $($(#[$doc])* $name,)*
        }

        impl SocketError {
            /// The Linux error number.
            pub const fn errno(self) -> i32 {
                match self {
                    $(SocketError::$name => $errno,)*
                }
            }
        }

        impl core::fmt::Display for SocketError {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(match self {
                    $(SocketError::$name => $text,)*
                })
            }
        }
    };
}

socket_errors! {
    /// EPERM.
    NotPermitted = 1, "Operation not permitted";
    /// EBADF: no such socket.
    BadSocket = 9, "Bad file descriptor";
    /// EACCES: broadcast without leave, or a prohibit route.
    PermissionDenied = 13, "Permission denied";
    /// ENODEV: no such link.
    NoSuchDevice = 19, "No such device";
    /// EINVAL.
    InvalidArgument = 22, "Invalid argument";
    /// EMFILE.
    TooManySockets = 24, "Too many open files";
    /// ENONET: source host isolated.
    NotOnNetwork = 64, "Machine is not on the network";
    /// EPROTO: parameter problem.
    ProtocolError = 71, "Protocol error";
    /// EMSGSIZE.
    MessageTooLong = 90, "Message too long";
    /// ENOPROTOOPT: protocol unreachable.
    ProtocolUnavailable = 92, "Protocol not available";
    /// EOPNOTSUPP: source route failed.
    NotSupported = 95, "Operation not supported";
    /// EAFNOSUPPORT.
    AddressFamilyNotSupported = 97, "Address family not supported by protocol";
    /// EADDRINUSE.
    AddressInUse = 98, "Address already in use";
    /// EADDRNOTAVAIL.
    AddressNotAvailable = 99, "Cannot assign requested address";
    /// ENETDOWN.
    NetworkDown = 100, "Network is down";
    /// ENETUNREACH.
    NetworkUnreachable = 101, "Network is unreachable";
    /// ENOBUFS.
    NoBufferSpace = 105, "No buffer space available";
    /// ECONNREFUSED: port unreachable.
    ConnectionRefused = 111, "Connection refused";
    /// EHOSTDOWN.
    HostDown = 112, "Host is down";
    /// EHOSTUNREACH.
    HostUnreachable = 113, "No route to host";
    /// EREMOTEIO: source quench.
    RemoteIo = 121, "Remote I/O error";
}

impl core::error::Error for SocketError {}

impl SocketError {
    /// The error that an ICMP destination unreachable stands for, and whether it is hard: nothing
    /// more will get through (Linux `icmp_err_convert`, RFC 1122 §4.2.3.9).
    pub const fn from_unreachable(code: Unreachable) -> (Self, bool) {
        match code {
            Unreachable::Net => (SocketError::NetworkUnreachable, false),
            Unreachable::Host => (SocketError::HostUnreachable, false),
            Unreachable::Protocol => (SocketError::ProtocolUnavailable, true),
            Unreachable::Port => (SocketError::ConnectionRefused, true),
            Unreachable::FragmentationNeeded { .. } => (SocketError::MessageTooLong, false),
            Unreachable::SourceRouteFailed => (SocketError::NotSupported, false),
            Unreachable::NetUnknown => (SocketError::NetworkUnreachable, true),
            Unreachable::HostUnknown => (SocketError::HostDown, true),
            Unreachable::SourceHostIsolated => (SocketError::NotOnNetwork, true),
            Unreachable::NetProhibited => (SocketError::NetworkUnreachable, true),
            Unreachable::HostProhibited => (SocketError::HostUnreachable, true),
            Unreachable::NetTos => (SocketError::NetworkUnreachable, false),
            Unreachable::HostTos => (SocketError::HostUnreachable, false),
            _ => (SocketError::HostUnreachable, true),
        }
    }

    /// The reason under which a packet is discarded that could not be sent for this error.
    pub(crate) const fn drop_reason(self) -> DropReason {
        match self {
            SocketError::PermissionDenied => DropReason::ProhibitRoute,
            SocketError::HostUnreachable => DropReason::UnreachableRoute,
            SocketError::InvalidArgument => DropReason::Blackhole,
            SocketError::NetworkDown | SocketError::NoSuchDevice => DropReason::LinkDown,
            SocketError::MessageTooLong => DropReason::FragmentationNeeded,
            _ => DropReason::NoRoute,
        }
    }
}
