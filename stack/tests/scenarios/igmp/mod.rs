//! IGMP, clause by clause (RFC 2236, RFC 3376), from the host's side. The tester is the router.

mod bench;
mod limits;
mod linux;
mod sockets;
mod v2;
mod v3;

use core::net::Ipv4Addr;

use tapping_stack::socket::SocketId;
use tapping_stack::stats::DropReason;
use tapping_stack::time::Duration;
use tapping_stack::wire::igmp::{self, IgmpQueryRepr, IgmpVersion, types};
use tapping_stack::wire::{MacAddr, Protocol, RecordType};
use tapping_stack::{Config, LinkId};

pub use bench::*;

use crate::lab::*;
