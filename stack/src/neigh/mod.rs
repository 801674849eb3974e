//! The neighbour cache: which link-layer address a next hop has, and whether to believe it.
//!
//! A state machine per neighbour as in Linux `net/core/neighbour.c` (RFC 4861 §7.3, applied to
//! ARP). The table never sends: it leaves `Action`s to whoever drives it.
//!
//! ```text
//!            packet                 answer                 reachable time over, unused
//!  (none) ─────────→ INCOMPLETE ─────────────→ REACHABLE ───────────────────→ STALE
//!     ↑  mcast_solicit  │                       ↑  ↑  │ over, used lately       │ packet
//!     │  unanswered     ↓               answer  │  │  ↓                         │
//!     └────────────── FAILED ←── PROBE ─────────┘ DELAY ←──────────────────────┘
//!                   ucast_solicit  ↑ delay_first_probe_time │
//!                   unanswered     └─────────────────────────┘
//! ```

mod nud;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use table::NeighbourTable;

use core::net::IpAddr;

use crate::packet::{LinkId, Packet};
use crate::stats::DropReason;
use crate::wire::ethernet::MacAddr;

/// State of a neighbour (Linux `NUD_*`; RFC 4861 §7.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NudState {
    /// Being resolved; packets wait.
    Incomplete,
    /// Confirmed lately.
    Reachable,
    /// Known, not confirmed lately; the next packet makes it DELAY.
    Stale,
    /// In use, waiting for a sign of life before probing.
    Delay,
    /// Being probed at its known address.
    Probe,
    /// Did not answer.
    Failed,
    /// Set by hand; never changes by itself.
    Permanent,
}

impl NudState {
    /// Whether the link-layer address may be used (Linux `NUD_VALID`).
    pub fn is_valid(self) -> bool {
        !matches!(self, NudState::Incomplete | NudState::Failed)
    }
}

impl core::fmt::Display for NudState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            NudState::Incomplete => "INCOMPLETE",
            NudState::Reachable => "REACHABLE",
            NudState::Stale => "STALE",
            NudState::Delay => "DELAY",
            NudState::Probe => "PROBE",
            NudState::Failed => "FAILED",
            NudState::Permanent => "PERMANENT",
        })
    }
}

/// One line of the table, as `ip neigh` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The link it is on.
    pub link: LinkId,
    /// Its protocol address.
    pub addr: IpAddr,
    /// Its link-layer address, once known.
    pub mac: Option<MacAddr>,
    /// How far to believe it.
    pub state: NudState,
}

/// What the table wants done, in order.
#[derive(Debug)]
pub(crate) enum Action {
    /// Ask for `addr`: by broadcast, or at `unicast` to probe a known neighbour.
    Solicit { link: LinkId, addr: IpAddr, unicast: Option<MacAddr> },
    /// Send a packet that waited.
    Transmit { link: LinkId, mac: MacAddr, packet: Packet },
    /// The next hop did not answer: tell whoever sent the packet.
    Unreachable { packet: Packet },
    /// Discard a packet.
    Discard { packet: Packet, reason: DropReason },
    /// An entry changed.
    Changed(Neighbour),
}
