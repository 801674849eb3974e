//! Options of a TCP socket, named as in tcp(7) and socket(7).

use super::cc::CongestionAlgorithm;
use super::config::TcpConfig;
use super::sparse::SharedDefault;
use crate::socket::SocketError;
use crate::time::Duration;

/// Linux `SOCK_MIN_SNDBUF`, `SOCK_MIN_RCVBUF`.
const MIN_SEND_LIMIT: usize = 4608;
const MIN_RECEIVE_LIMIT: usize = 2304;
/// Linux `TCP_MIN_MSS`, `MAX_TCP_WINDOW`.
const MIN_MAXSEG: u16 = 88;
const MAX_MAXSEG: u16 = 32_767;
/// Linux `MAX_TCP_KEEPIDLE`, in seconds.
const MAX_KEEPALIVE: u64 = 32_767;

/// Options of a TCP socket; a connection that is accepted has those of its listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpOptions {
    /// `TCP_NODELAY`: do not wait to fill a segment (RFC 9293 §3.7.4).
    pub nodelay: bool,
    /// `TCP_CORK`: send full segments only, for up to 200 ms.
    pub cork: bool,
    /// `TCP_QUICKACK`: acknowledge what is owed at once, and quickly for now; or delay ACKs from
    /// now on, until the conversation changes that. It is done once, and forgotten.
    pub quickack: Option<bool>,
    /// `TCP_MAXSEG`: the largest segment to send and to announce, in payload bytes without
    /// options.
    pub maxseg: Option<u16>,
    /// `SO_KEEPALIVE`.
    pub keepalive: bool,
    /// `TCP_KEEPIDLE`; the stack's `keepalive_time` when `None`.
    pub keepidle: Option<Duration>,
    /// `TCP_KEEPINTVL`.
    pub keepintvl: Option<Duration>,
    /// `TCP_KEEPCNT`.
    pub keepcnt: Option<u8>,
    /// `TCP_USER_TIMEOUT`: give up when data is unacknowledged for so long (RFC 5482); zero is the
    /// stack's default.
    pub user_timeout: Duration,
    /// `TCP_LINGER2`: how long to stay in FIN-WAIT-2 as an orphan; the stack's `fin_timeout` when
    /// `None`, not at all when zero.
    pub linger2: Option<Duration>,
    /// `SO_LINGER` with a time of zero: closing resets the connection. Other times are for whoever
    /// blocks in close.
    pub linger_reset: bool,
    /// `TCP_SYNCNT`.
    pub syncnt: Option<u8>,
    /// `TCP_DEFER_ACCEPT`: accept a connection only once data has come, waiting so long.
    pub defer_accept: Duration,
    /// `TCP_WINDOW_CLAMP`: the largest window to offer, in bytes.
    pub window_clamp: Option<u32>,
    /// `TCP_NOTSENT_LOWAT`: unsent bytes above which the socket is not writable.
    pub notsent_lowat: Option<u32>,
    /// `SO_RCVLOWAT`: readable from so many bytes on.
    pub rcvlowat: u32,
    /// `SO_SNDBUF`, as given; no automatic growth when set.
    pub send_buffer: Option<usize>,
    /// `SO_RCVBUF`, as given; no automatic growth when set.
    pub receive_buffer: Option<usize>,
    /// `SO_REUSEADDR`.
    pub reuse_addr: bool,
    /// `SO_REUSEPORT`.
    pub reuse_port: bool,
    /// `SO_OOBINLINE`: urgent data stays in the stream (RFC 6093 §5).
    pub oob_inline: bool,
    /// Negotiate ECN (RFC 3168); the stack's `ecn` when `None`.
    pub ecn: Option<bool>,
    /// `TCP_CONGESTION`; the stack's `congestion_control` when `None`.
    pub congestion: Option<CongestionAlgorithm>,
    /// `SO_MAX_PACING_RATE` in bytes per second.
    pub max_pacing_rate: u64,
}

/// The defaults.
static DEFAULT: TcpOptions = TcpOptions {
    nodelay: false,
    cork: false,
    quickack: None,
    maxseg: None,
    keepalive: false,
    keepidle: None,
    keepintvl: None,
    keepcnt: None,
    user_timeout: Duration::ZERO,
    linger2: None,
    linger_reset: false,
    syncnt: None,
    defer_accept: Duration::ZERO,
    window_clamp: None,
    notsent_lowat: None,
    rcvlowat: 1,
    send_buffer: None,
    receive_buffer: None,
    reuse_addr: false,
    reuse_port: false,
    oob_inline: false,
    ecn: None,
    congestion: None,
    max_pacing_rate: u64::MAX,
};

impl Default for TcpOptions {
    fn default() -> Self {
        DEFAULT
    }
}

impl SharedDefault for TcpOptions {
    fn shared_default() -> &'static Self {
        &DEFAULT
    }
}

impl TcpOptions {
    /// Bytes that may be queued to be sent. Linux doubles what `SO_SNDBUF` is given, for its own
    /// bookkeeping.
    pub(crate) fn send_limit(&self, config: &TcpConfig) -> usize {
        match self.send_buffer {
            Some(given) => given.saturating_mul(2).max(MIN_SEND_LIMIT),
            None => config.wmem.default,
        }
    }

    /// Unsent bytes from which on the socket is not writable.
    pub(crate) fn notsent_lowat(&self, config: &TcpConfig) -> usize {
        self.notsent_lowat.map_or(config.notsent_lowat, |lowat| lowat as usize)
    }

    /// Bytes of buffer that received data may take; doubled, too (`SO_RCVBUF`).
    pub(crate) fn receive_limit(&self, config: &TcpConfig) -> usize {
        match self.receive_buffer {
            Some(given) => given.saturating_mul(2).max(MIN_RECEIVE_LIMIT),
            None => config.rmem.default,
        }
    }

    /// Refuses what setsockopt(2) refuses.
    pub(crate) fn check(&self) -> Result<(), SocketError> {
        let mss = self.maxseg.is_none_or(|mss| (MIN_MAXSEG..=MAX_MAXSEG).contains(&mss));
        let within = |span: Option<Duration>| {
            span.is_none_or(|span| !span.is_zero() && span <= Duration::from_secs(MAX_KEEPALIVE))
        };
        let keepalive = within(self.keepidle) && within(self.keepintvl);
        let counts = self.keepcnt.is_none_or(|count| (1..=127).contains(&count))
            && self.syncnt.is_none_or(|count| (1..=127).contains(&count));
        if mss && keepalive && counts { Ok(()) } else { Err(SocketError::InvalidArgument) }
    }
}
