//! Errors as sockets report them: one table to errno and text.

use crate::stats::DropReason;
use crate::wire::icmpv4::Unreachable;

macro_rules! socket_errors {
    ($($(#[$doc:meta])* $name:ident = $errno:literal, $kind:ident, $text:literal;)*) => {
        /// What went wrong, named and numbered as on Linux (errno(3)).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum SocketError {
            $($(#[$doc])* $name,)*
        }

        impl SocketError {
            /// Every error there is.
            pub const ALL: &'static [SocketError] = &[$(SocketError::$name,)*];

            /// The Linux error number.
            pub const fn errno(self) -> i32 {
                match self {
                    $(SocketError::$name => $errno,)*
                }
            }

            /// What kind of error it is to `std::io`.
            pub const fn kind(self) -> ErrorKind {
                match self {
                    $(SocketError::$name => ErrorKind::$kind,)*
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
    NotPermitted = 1, PermissionDenied, "Operation not permitted";
    /// EBADF: no such socket.
    BadSocket = 9, Uncategorized, "Bad file descriptor";
    /// EAGAIN: nothing to receive, or no room to send.
    WouldBlock = 11, WouldBlock, "Resource temporarily unavailable";
    /// ENOMEM.
    OutOfMemory = 12, OutOfMemory, "Cannot allocate memory";
    /// EACCES: broadcast without leave, or a prohibit route.
    PermissionDenied = 13, PermissionDenied, "Permission denied";
    /// ENODEV: no such link.
    NoSuchDevice = 19, Uncategorized, "No such device";
    /// EINVAL.
    InvalidArgument = 22, InvalidInput, "Invalid argument";
    /// EMFILE.
    TooManySockets = 24, Uncategorized, "Too many open files";
    /// EPIPE: sending was shut down.
    BrokenPipe = 32, BrokenPipe, "Broken pipe";
    /// ENONET: source host isolated.
    NotOnNetwork = 64, Uncategorized, "Machine is not on the network";
    /// EPROTO: parameter problem.
    ProtocolError = 71, Uncategorized, "Protocol error";
    /// EDESTADDRREQ: not connected, and no address given.
    DestinationAddressRequired = 89, Uncategorized, "Destination address required";
    /// EMSGSIZE.
    MessageTooLong = 90, Uncategorized, "Message too long";
    /// ENOPROTOOPT: protocol unreachable.
    ProtocolUnavailable = 92, Uncategorized, "Protocol not available";
    /// EPROTONOSUPPORT.
    ProtocolNotSupported = 93, Uncategorized, "Protocol not supported";
    /// EOPNOTSUPP: source route failed.
    NotSupported = 95, Unsupported, "Operation not supported";
    /// EAFNOSUPPORT.
    AddressFamilyNotSupported = 97, Uncategorized, "Address family not supported by protocol";
    /// EADDRINUSE.
    AddressInUse = 98, AddrInUse, "Address already in use";
    /// EADDRNOTAVAIL.
    AddressNotAvailable = 99, AddrNotAvailable, "Cannot assign requested address";
    /// ENETDOWN.
    NetworkDown = 100, NetworkDown, "Network is down";
    /// ENETUNREACH.
    NetworkUnreachable = 101, NetworkUnreachable, "Network is unreachable";
    /// ECONNABORTED.
    ConnectionAborted = 103, ConnectionAborted, "Software caused connection abort";
    /// ECONNRESET.
    ConnectionReset = 104, ConnectionReset, "Connection reset by peer";
    /// ENOBUFS.
    NoBufferSpace = 105, Uncategorized, "No buffer space available";
    /// EISCONN.
    IsConnected = 106, Uncategorized, "Transport endpoint is already connected";
    /// ENOTCONN.
    NotConnected = 107, NotConnected, "Transport endpoint is not connected";
    /// ETIMEDOUT.
    TimedOut = 110, TimedOut, "Connection timed out";
    /// ECONNREFUSED: port unreachable.
    ConnectionRefused = 111, ConnectionRefused, "Connection refused";
    /// EHOSTDOWN.
    HostDown = 112, Uncategorized, "Host is down";
    /// EHOSTUNREACH.
    HostUnreachable = 113, HostUnreachable, "No route to host";
    /// EALREADY: a connection is being set up.
    AlreadyInProgress = 114, Uncategorized, "Operation already in progress";
    /// EINPROGRESS: the connection is being set up now.
    InProgress = 115, InProgress, "Operation now in progress";
    /// EREMOTEIO: source quench.
    RemoteIo = 121, Uncategorized, "Remote I/O error";
}

impl core::error::Error for SocketError {}

/// What kind of error a [`SocketError`] is: the `std::io::ErrorKind` of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// EADDRINUSE.
    AddrInUse,
    /// EADDRNOTAVAIL.
    AddrNotAvailable,
    /// EPIPE.
    BrokenPipe,
    /// ECONNABORTED.
    ConnectionAborted,
    /// ECONNREFUSED.
    ConnectionRefused,
    /// ECONNRESET.
    ConnectionReset,
    /// EHOSTUNREACH.
    HostUnreachable,
    /// EINPROGRESS.
    InProgress,
    /// EINVAL.
    InvalidInput,
    /// ENETDOWN.
    NetworkDown,
    /// ENETUNREACH.
    NetworkUnreachable,
    /// ENOTCONN.
    NotConnected,
    /// ENOMEM.
    OutOfMemory,
    /// EACCES and EPERM.
    PermissionDenied,
    /// ETIMEDOUT.
    TimedOut,
    /// One that has no kind of its own there.
    Uncategorized,
    /// EOPNOTSUPP.
    Unsupported,
    /// EAGAIN.
    WouldBlock,
}

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
