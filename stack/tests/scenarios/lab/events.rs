//! Events kept for later: owned copies of what an observer is shown.

use core::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use tapping_stack::event::{AddressState, Direction, Event, Observer, Receiver};
use tapping_stack::filter::hook::{HookPoint, Verdict};
use tapping_stack::neigh::{Neighbour, NudState};
use tapping_stack::route::RouteKind;
use tapping_stack::stats::DropReason;
use tapping_stack::tcp::event::TcpEvent;
use tapping_stack::time::Instant;
use tapping_stack::wire::Arp;
use tapping_stack::{LinkId, SocketId};

use super::check;

/// One event and its time.
#[derive(Debug, Clone)]
pub struct Record {
    pub at: Instant,
    pub seen: Seen,
}

/// An [`Event`] with its bytes copied.
#[derive(Debug, Clone)]
pub enum Seen {
    LinkIn {
        link: LinkId,
        bytes: Vec<u8>,
    },
    LinkOut {
        link: LinkId,
        bytes: Vec<u8>,
    },
    ArpIn {
        link: LinkId,
        message: Arp,
    },
    ArpOut {
        link: LinkId,
        message: Arp,
    },
    Tcp {
        socket: SocketId,
        event: TcpEvent,
    },
    Neighbour(Neighbour),
    Ipv4In {
        bytes: Vec<u8>,
    },
    Ipv4Out {
        bytes: Vec<u8>,
    },
    Reassembled {
        bytes: Vec<u8>,
    },
    Fragmented {
        bytes: Vec<u8>,
        fragments: usize,
    },
    Hook {
        point: HookPoint,
        name: String,
        verdict: Verdict,
        bytes: Vec<u8>,
    },
    Route {
        direction: Direction,
        destination: Ipv4Addr,
        kind: RouteKind,
        link: Option<LinkId>,
        next_hop: Option<Ipv4Addr>,
    },
    Forward {
        bytes: Vec<u8>,
    },
    Delivered {
        to: Receiver,
        bytes: Vec<u8>,
    },
    Dropped {
        reason: DropReason,
        bytes: Vec<u8>,
    },
    Address {
        link: LinkId,
        addr: IpAddr,
        state: AddressState,
    },
}

impl Seen {
    /// The stage in a few words, for lists of what happened in which order.
    pub fn stage(&self) -> String {
        match self {
            Seen::LinkIn { link, .. } => format!("{link} in"),
            Seen::LinkOut { link, .. } => format!("{link} out"),
            Seen::ArpIn { message, .. } => format!("arp in {:?}", message.operation),
            Seen::ArpOut { message, .. } => format!("arp out {:?}", message.operation),
            Seen::Neighbour(neighbour) => format!("{} {}", neighbour.addr, neighbour.state),
            Seen::Ipv4In { .. } => "ipv4 in".into(),
            Seen::Ipv4Out { .. } => "ipv4 out".into(),
            Seen::Reassembled { .. } => "reassembled".into(),
            Seen::Fragmented { fragments, .. } => format!("cut into {fragments}"),
            Seen::Hook { point, name, verdict, .. } => format!("{point} {name} {verdict:?}"),
            Seen::Route { direction, destination, kind, .. } => {
                format!("route {direction:?} {destination} {kind:?}")
            }
            Seen::Forward { .. } => "forward".into(),
            Seen::Delivered { to: Receiver::Icmp, .. } => "delivered to icmp".into(),
            Seen::Delivered { to: Receiver::Igmp, .. } => "delivered to igmp".into(),
            Seen::Delivered { to: Receiver::Ping(_), .. } => "delivered to ping".into(),
            Seen::Delivered { to: Receiver::Raw(_), .. } => "delivered to raw".into(),
            Seen::Delivered { to: Receiver::Udp(_), .. } => "delivered to udp".into(),
            Seen::Delivered { to: Receiver::Tcp(_), .. } => "delivered to tcp".into(),
            Seen::Dropped { reason, .. } => format!("dropped: {reason}"),
            Seen::Tcp { socket, event } => format!("tcp {socket:?} {event:?}"),
            Seen::Address { addr, state, .. } => format!("{addr} {state:?}"),
        }
    }
}

/// The stages of `records`, in order.
pub fn stages(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record.seen.stage()).collect()
}

/// The states that `addr` went through, each with its time.
pub fn neighbour_states(records: &[Record], addr: Ipv4Addr) -> Vec<(Instant, NudState)> {
    let state = |record: &Record| match record.seen {
        Seen::Neighbour(neighbour) if neighbour.addr == IpAddr::V4(addr) => {
            Some((record.at, neighbour.state))
        }
        _ => None,
    };
    records.iter().filter_map(state).collect()
}

/// Keeps every event, and checks what goes over the loopback, which no wire sees.
pub(super) struct Collector(pub(super) Arc<Mutex<Vec<Record>>>);

impl Observer for Collector {
    fn event(&mut self, now: Instant, event: &Event<'_>) {
        if let Event::LinkOut { link: LinkId::LOOPBACK, packet } = event {
            check::ipv4("lo", 65_535, false, packet.bytes());
        }
        let record = Record { at: now, seen: own(event) };
        self.0.lock().expect("no panic while recording").push(record);
    }
}

fn own(event: &Event<'_>) -> Seen {
    match *event {
        Event::LinkIn { link, packet } => Seen::LinkIn { link, bytes: packet.bytes().to_vec() },
        Event::LinkOut { link, packet } => Seen::LinkOut { link, bytes: packet.bytes().to_vec() },
        Event::ArpIn { link, message } => Seen::ArpIn { link, message: *message },
        Event::ArpOut { link, message } => Seen::ArpOut { link, message: *message },
        Event::Neighbour(neighbour) => Seen::Neighbour(neighbour),
        Event::Ipv4In { packet } => Seen::Ipv4In { bytes: packet.bytes().to_vec() },
        Event::Ipv4Out { packet } => Seen::Ipv4Out { bytes: packet.bytes().to_vec() },
        Event::Reassembled { packet } => Seen::Reassembled { bytes: packet.bytes().to_vec() },
        Event::Fragmented { packet, fragments } => {
            Seen::Fragmented { bytes: packet.bytes().to_vec(), fragments }
        }
        Event::Hook { point, name, verdict, packet } => {
            Seen::Hook { point, name: name.into(), verdict, bytes: packet.bytes().to_vec() }
        }
        Event::Route { direction, destination, kind, link, next_hop } => {
            Seen::Route { direction, destination, kind, link, next_hop }
        }
        Event::Forward { packet } => Seen::Forward { bytes: packet.bytes().to_vec() },
        Event::Delivered { to, packet } => Seen::Delivered { to, bytes: packet.bytes().to_vec() },
        Event::Dropped { reason, packet } => {
            Seen::Dropped { reason, bytes: packet.bytes().to_vec() }
        }
        Event::Address { link, addr, state } => Seen::Address { link, addr, state },
        Event::Tcp { socket, event } => Seen::Tcp { socket, event },
        _ => unreachable!("an event that the laboratory does not know"),
    }
}
