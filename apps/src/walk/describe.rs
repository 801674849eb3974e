//! One event in one line: the way it goes, the stage, and the fields that matter there.

use std::fmt;

use tapping_stack::event::{Direction, Event, Receiver};
use tapping_stack::neigh::{Neighbour, NudState};
use tapping_stack::packet::{LinkId, Packet};
use tapping_stack::route::RouteKind;
use tapping_stack::wire::{
    Arp, ArpOperation, EtherType, Ethernet, Icmpv4, Ipv4, Message, Protocol, Udp,
};

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which way the packet goes.
    pub way: Way,
    /// The layer and what it does, as the modules of the stack are called.
    pub stage: &'static str,
    /// The fields.
    pub text: String,
}

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the wire.
    In,
    /// To the wire.
    Out,
    /// Neither: something was noted.
    Aside,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Way::In => "in ",
            Way::Out => "out",
            Way::Aside => " · ",
        })
    }
}

/// The line for an event; `link` is the name of the link to the other side.
pub fn describe(event: &Event<'_>, link: &str) -> Option<Line> {
    let line = |way, stage, text| Some(Line { way, stage, text });
    match event {
        Event::LinkIn { link: LinkId::LOOPBACK, packet } => {
            line(Way::In, "link/loopback", ipv4(packet.bytes()))
        }
        Event::LinkOut { link: LinkId::LOOPBACK, packet } => {
            line(Way::Out, "link/loopback", ipv4(packet.bytes()))
        }
        Event::LinkIn { packet, .. } => line(Way::In, "link/input", frame(packet.bytes())),
        Event::LinkOut { packet, .. } => line(Way::Out, "link/output", frame(packet.bytes())),
        Event::ArpIn { message, .. } => line(Way::In, "arp/input", arp(message)),
        Event::ArpOut { message, .. } => line(Way::Out, "arp/output", arp(message)),
        Event::Neighbour(neighbour) => line(Way::Aside, "neigh", neighbour_text(neighbour)),
        Event::Ipv4In { packet } => line(Way::In, "ipv4/input", ipv4(packet.bytes())),
        Event::Ipv4Out { packet } => line(Way::Out, "ipv4/output", ipv4(packet.bytes())),
        Event::Reassembled { packet } => {
            line(Way::In, "ipv4/reassemble", format!("whole again: {}", ipv4(packet.bytes())))
        }
        Event::Fragmented { packet, fragments } => line(
            Way::Out,
            "ipv4/fragment",
            format!("cut into {fragments}, first {}", ipv4(packet.bytes())),
        ),
        Event::Hook { point, name, verdict, .. } => {
            line(Way::Aside, "filter/hook", format!("{point} {name}: {verdict:?}"))
        }
        Event::Route { direction, destination, kind, next_hop, .. } => {
            let (way, stage) = match direction {
                Direction::Input => (Way::In, "ipv4/route"),
                Direction::Output => (Way::Out, "ipv4/route"),
            };
            let text = match (kind, next_hop) {
                (RouteKind::Local, _) => format!("{destination} is this host"),
                (RouteKind::Unicast, _) if destination.is_multicast() => {
                    format!("{destination} is a group on {link}")
                }
                (RouteKind::Unicast, Some(hop)) if hop == destination => {
                    format!("{destination} is a neighbour on {link}")
                }
                (RouteKind::Unicast, Some(hop)) => {
                    format!("{destination} is reached by {link} through the router {hop}")
                }
                (RouteKind::Broadcast, _) => format!("{destination} is everybody on {link}"),
                (kind, _) => format!("{destination} has a route that says {kind:?}"),
            };
            line(way, stage, text)
        }
        Event::Forward { packet } => line(Way::Out, "ipv4/forward", ipv4(packet.bytes())),
        Event::Delivered { to, packet } => match to {
            Receiver::Icmp => line(Way::In, "icmp/input", icmp(packet.transport())),
            Receiver::Igmp => line(Way::In, "igmp/input", ipv4(packet.network())),
            Receiver::Ping(_) => line(
                Way::In,
                "socket/ping",
                format!("{}, read by tapping", icmp(packet.transport())),
            ),
            Receiver::Raw(_) => line(Way::In, "socket/raw", ipv4(packet.network())),
            Receiver::Udp(_) => line(Way::In, "socket/udp", ipv4(packet.network())),
            Receiver::Tcp(_) => line(Way::In, "socket/tcp", ipv4(packet.network())),
        },
        Event::Dropped { reason, packet } => {
            line(Way::Aside, "dropped", format!("{}: {}", reason.text(), dropped(packet)))
        }
        _ => None,
    }
}

/// Ethernet addresses, what is inside and how long.
fn frame(bytes: &[u8]) -> String {
    let Ok(frame) = Ethernet::parse(bytes) else {
        return format!("{} bytes, too short for Ethernet", bytes.len());
    };
    let inside = match frame.ethertype() {
        EtherType::IPV4 => "ipv4".to_string(),
        EtherType::ARP => "arp".to_string(),
        EtherType(other) => format!("type 0x{other:04x}"),
    };
    format!("{} → {} {inside} len {}", frame.src(), frame.dst(), bytes.len())
}

fn arp(message: &Arp) -> String {
    let Arp { sender_ip, sender_mac, target_ip, .. } = message;
    match message.operation {
        ArpOperation::Request if message.is_announcement() => {
            format!("{sender_ip} is at {sender_mac}, says its owner")
        }
        ArpOperation::Request => format!("who has {target_ip}? tell {sender_ip} at {sender_mac}"),
        ArpOperation::Reply => format!("{sender_ip} is at {sender_mac}"),
        ArpOperation::Other(code) => format!("operation {code} from {sender_ip}"),
    }
}

fn neighbour_text(neighbour: &Neighbour) -> String {
    let Neighbour { addr, mac, state, .. } = neighbour;
    let mac = mac.map(|mac| format!(" at {mac}")).unwrap_or_default();
    let meaning = match state {
        NudState::Incomplete => "; the packet waits while ARP asks",
        NudState::Reachable => "; confirmed just now",
        NudState::Stale => "; known, but not confirmed lately",
        NudState::Delay => "; in use, to be confirmed soon",
        NudState::Probe => "; being asked again",
        NudState::Failed => "; it did not answer",
        _ => "",
    };
    format!("{addr}{mac} is {state}{meaning}")
}

fn ipv4(bytes: &[u8]) -> String {
    let Ok(packet) = Ipv4::parse(bytes) else {
        return format!("{} bytes that are not IPv4", bytes.len());
    };
    let mut text = format!("{} → {} ttl {}", packet.src(), packet.dst(), packet.ttl());
    text += &format!(" id 0x{:04x}", packet.id());
    if packet.dont_fragment() {
        text += " DF";
    }
    if packet.is_fragment() {
        text += &format!(" frag {}", packet.fragment_offset());
        if packet.more_fragments() {
            text += "+";
        }
    }
    if packet.tos() != 0 {
        text += &format!(" tos 0x{:02x}", packet.tos());
    }
    let protocol = packet.protocol();
    text += &match protocol {
        Protocol::ICMP => " proto icmp".to_string(),
        Protocol::UDP => " proto udp".to_string(),
        Protocol::TCP => " proto tcp".to_string(),
        Protocol(other) => format!(" proto {other}"),
    };
    text += &format!(" len {}", packet.total_len());
    if packet.fragment_offset() == 0 {
        match protocol {
            Protocol::ICMP => text += &format!(" | {}", icmp(packet.payload())),
            Protocol::UDP => {
                if let Ok(udp) = Udp::parse(packet.payload()) {
                    text += &format!(" | ports {} → {}", udp.src_port(), udp.dst_port());
                }
            }
            _ => {}
        }
    }
    text
}

fn icmp(bytes: &[u8]) -> String {
    let Ok(message) = Icmpv4::parse(bytes) else {
        return format!("{} bytes that are not ICMP", bytes.len());
    };
    match message.message() {
        Message::Echo { ident, sequence } => format!("echo request id {ident} seq {sequence}"),
        Message::EchoReply { ident, sequence } => format!("echo reply id {ident} seq {sequence}"),
        _ => format!("icmp type {} code {}", message.icmp_type(), message.code()),
    }
}

/// A dropped packet may begin with any layer's header; the IPv4 header is shown where there is one.
fn dropped(packet: &Packet) -> String {
    match Ipv4::parse(packet.network()) {
        Ok(header) if header.verify_checksum() => ipv4(packet.network()),
        _ => frame(packet.bytes()),
    }
}
