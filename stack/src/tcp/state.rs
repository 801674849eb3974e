//! The states of a connection (RFC 9293 §3.3.2).
//!
//! ```text
//!                               CLOSED ──── listen ───→ LISTEN
//!                      connect: SYN │                     │ SYN: SYN-ACK
//!                                   ↓        SYN          ↓
//!                               SYN-SENT ── SYN-ACK → SYN-RECEIVED
//!                         SYN-ACK: ACK │                  │ ACK
//!                                      └→ ESTABLISHED ←───┘
//!                  close, shutdown: FIN │          │ FIN: ACK
//!                                       ↓          ↓
//!            ACK of FIN ┌──────── FIN-WAIT-1    CLOSE-WAIT
//!                       ↓            │ FIN: ACK    │ close, shutdown: FIN
//!                  FIN-WAIT-2     CLOSING       LAST-ACK
//!               FIN: ACK │           │ ACK of FIN  │ ACK of FIN
//!                        └→ TIME-WAIT ←┘           └→ CLOSED
//! ```

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TcpState {
    /// No connection.
    #[default]
    Closed,
    /// Waits for connection requests.
    Listen,
    /// Has sent SYN.
    SynSent,
    /// Has sent and received SYN.
    SynReceived,
    /// Data flows both ways.
    Established,
    /// Has sent FIN.
    FinWait1,
    /// Has sent FIN, which was acknowledged.
    FinWait2,
    /// Has received FIN.
    CloseWait,
    /// Has sent and received FIN; ours is not acknowledged.
    Closing,
    /// Has received FIN, then sent one.
    LastAck,
    /// Waits for what may still be on its way.
    TimeWait,
}

impl TcpState {
    /// Its name as ss(8) and netstat(8) have it.
    pub const fn name(self) -> &'static str {
        match self {
            TcpState::Closed => "UNCONN",
            TcpState::Listen => "LISTEN",
            TcpState::SynSent => "SYN-SENT",
            TcpState::SynReceived => "SYN-RECV",
            TcpState::Established => "ESTAB",
            TcpState::FinWait1 => "FIN-WAIT-1",
            TcpState::FinWait2 => "FIN-WAIT-2",
            TcpState::CloseWait => "CLOSE-WAIT",
            TcpState::Closing => "CLOSING",
            TcpState::LastAck => "LAST-ACK",
            TcpState::TimeWait => "TIME-WAIT",
        }
    }

    /// Linux's number for it (`TCP_ESTABLISHED` and its siblings).
    pub const fn number(self) -> u8 {
        match self {
            TcpState::Established => 1,
            TcpState::SynSent => 2,
            TcpState::SynReceived => 3,
            TcpState::FinWait1 => 4,
            TcpState::FinWait2 => 5,
            TcpState::TimeWait => 6,
            TcpState::Closed => 7,
            TcpState::CloseWait => 8,
            TcpState::LastAck => 9,
            TcpState::Listen => 10,
            TcpState::Closing => 11,
        }
    }

    /// Whether both ends have agreed on sequence numbers.
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, TcpState::Closed | TcpState::Listen | TcpState::SynSent)
    }

    /// Whether data may still be sent: no FIN has been.
    pub const fn may_send(self) -> bool {
        matches!(self, TcpState::Established | TcpState::CloseWait)
    }

    /// Whether data may still arrive: no FIN has.
    pub const fn may_receive(self) -> bool {
        matches!(self, TcpState::Established | TcpState::FinWait1 | TcpState::FinWait2)
    }
}

impl core::fmt::Display for TcpState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}
