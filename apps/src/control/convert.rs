//! From what the stack shows to what is said about it.

use std::net::IpAddr;

use tapping_stack::interface::{Interfaces, LinkKind};
use tapping_stack::route::{Route, RouteKind, RouteProtocol, RouteTableId, Scope};
use tapping_stack::socket::SocketKind;
use tapping_stack::stats::Snapshot;
use tapping_stack::tcp::info::TcpInfo;
use tapping_stack::time::Duration;
use tapping_stack::{
    LinkId, LinkSnapshot, NeighbourSnapshot, SocketQuery, SocketSnapshot, SocketTimer,
};

use super::model;

/// Counters of IPv4 that `/proc/net/snmp` has, in its order; the others are `IpExt`'s.
const IP: [&str; 18] = [
    "InReceives",
    "InHdrErrors",
    "InAddrErrors",
    "ForwDatagrams",
    "InUnknownProtos",
    "InDiscards",
    "InDelivers",
    "OutRequests",
    "OutDiscards",
    "OutNoRoutes",
    "ReasmTimeout",
    "ReasmReqds",
    "ReasmOKs",
    "ReasmFails",
    "FragOKs",
    "FragFails",
    "FragCreates",
    "OutTransmits",
];

/// The names of a stack's links.
#[derive(Debug, Default)]
pub struct Names(Vec<(LinkId, String, bool)>);

impl Names {
    pub fn of(interfaces: &Interfaces) -> Self {
        let entry = |link: &tapping_stack::interface::Interface| {
            (link.id, link.name.clone(), link.up || link.is_loopback())
        };
        Names(interfaces.iter().map(entry).collect())
    }

    fn name(&self, id: LinkId) -> String {
        let known = self.0.iter().find(|(other, ..)| *other == id);
        known.map_or_else(|| format!("if{}", id.0), |(_, name, _)| name.clone())
    }

    fn is_down(&self, id: LinkId) -> bool {
        self.0.iter().any(|(other, _, up)| *other == id && !up)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

pub fn query(query: &model::Query) -> SocketQuery {
    let model::Query { tcp, udp, raw, states, info } = *query;
    SocketQuery { tcp, udp, raw, states, info }
}

/// `ino_base` keeps the sockets of several stacks apart.
pub fn socket(shown: SocketSnapshot, names: &Names, ino_base: u64) -> model::Socket {
    model::Socket {
        netid: match shown.kind {
            SocketKind::Tcp => "tcp",
            SocketKind::Udp => "udp",
            SocketKind::Raw { .. } => "raw",
            SocketKind::Ping { .. } => "ping",
        }
        .to_string(),
        state: shown.state.number(),
        local: shown.local,
        peer: shown.peer,
        dev: shown.link.map(|link| names.name(link)),
        recv_q: shown.recv_queue,
        send_q: shown.send_queue,
        timer: shown.timer.map(timer),
        ino: shown.owner.map_or(0, |owner| ino_base | owner),
        rmem: shown.receive_buffer,
        wmem: shown.send_buffer,
        shutdown: shown.shutdown,
        mark: shown.mark,
        tos: shown.tos,
        congestion: shown.congestion.map(str::to_string),
        info: shown.info.map(|shown| Box::new(info(&shown))),
    }
}

fn timer(shown: SocketTimer) -> model::Timer {
    let SocketTimer { kind, expires, retransmits } = shown;
    model::Timer { name: kind.name().to_string(), expires: micros(expires), retransmits }
}

fn info(shown: &TcpInfo) -> model::Info {
    let limited = |value: u64| (value != u64::MAX).then_some(value);
    model::Info {
        ca_state: format!("{:?}", shown.ca_state).to_lowercase(),
        retransmits: shown.retransmits,
        probes: shown.probes,
        backoff: shown.backoff,
        timestamps: shown.timestamps,
        sack: shown.sack,
        ecn: shown.ecn,
        ecn_seen: shown.ecn_seen,
        wscale: shown.wscale,
        rto: micros(shown.rto),
        ato: micros(shown.ato),
        snd_mss: shown.snd_mss,
        rcv_mss: shown.rcv_mss,
        unacked: shown.unacked,
        sacked: shown.sacked,
        lost: shown.lost,
        retrans: shown.retrans,
        last_data_sent: micros(shown.last_data_sent),
        last_data_recv: micros(shown.last_data_recv),
        last_ack_recv: micros(shown.last_ack_recv),
        pmtu: shown.pmtu,
        rcv_ssthresh: shown.rcv_ssthresh,
        rtt: micros(shown.rtt),
        rttvar: micros(shown.rttvar),
        min_rtt: shown.min_rtt.map(micros),
        snd_ssthresh: (shown.snd_ssthresh < i32::MAX as u32).then_some(shown.snd_ssthresh),
        snd_cwnd: shown.snd_cwnd,
        advmss: shown.advmss,
        reordering: shown.reordering,
        rcv_rtt: micros(shown.rcv_rtt),
        rcv_space: shown.rcv_space,
        total_retrans: shown.total_retrans,
        pacing_rate: limited(shown.pacing_rate),
        max_pacing_rate: limited(shown.max_pacing_rate),
        bytes_acked: shown.bytes_acked,
        bytes_received: shown.bytes_received,
        segs_out: shown.segs_out,
        segs_in: shown.segs_in,
        notsent_bytes: shown.notsent_bytes,
        data_segs_in: shown.data_segs_in,
        data_segs_out: shown.data_segs_out,
        delivery_rate: shown.delivery_rate,
        delivery_rate_app_limited: shown.delivery_rate_app_limited,
        busy_time: micros(shown.busy_time),
        rwnd_limited: micros(shown.rwnd_limited),
        sndbuf_limited: micros(shown.sndbuf_limited),
        delivered: shown.delivered,
        delivered_ce: shown.delivered_ce,
        bytes_sent: shown.bytes_sent,
        bytes_retrans: shown.bytes_retrans,
        dsack_dups: shown.dsack_dups,
        reord_seen: shown.reord_seen,
        rcv_ooopack: shown.rcv_ooopack,
        snd_wnd: shown.snd_wnd,
        rcv_wnd: shown.rcv_wnd,
    }
}

/// The counters of one stack, in groups.
pub fn groups(shown: &Snapshot) -> Vec<model::Group> {
    fn group(name: &str, counters: impl Iterator<Item = (&'static str, u64)>) -> model::Group {
        let counters = counters.map(|(name, value)| (name.to_string(), value)).collect();
        model::Group { name: name.to_string(), counters }
    }
    let value = |name: &str| shown.ip.iter().find(|(other, _)| *other == name).map(|(_, n)| n);
    let ip = IP.iter().map(|name| (*name, value(name).unwrap_or(0)));
    let ip_ext = shown.ip.iter().filter(|(name, _)| !IP.contains(name));
    vec![
        group("Ip", ip),
        group("Icmp", shown.icmp.iter()),
        group("Tcp", shown.tcp.iter()),
        group("Udp", shown.udp.iter()),
        group("TcpExt", shown.tcp_ext.iter()),
        group("IpExt", ip_ext),
        group("Arp", shown.arp.iter()),
        group("Igmp", shown.igmp.iter()),
    ]
}

/// Adds the counters of one more stack.
pub fn add(total: &mut Vec<(String, u64)>, more: &[(String, u64)]) {
    for (name, value) in more {
        match total.iter_mut().find(|(other, _)| other == name) {
            Some((_, sum)) => *sum += value,
            None => total.push((name.clone(), *value)),
        }
    }
}

pub fn link(shown: LinkSnapshot) -> model::Link {
    let (kind, mac) = match shown.kind {
        LinkKind::Ethernet(mac) => ("ether", Some(mac)),
        LinkKind::Loopback => ("loopback", None),
        LinkKind::Ip => ("none", None),
    };
    let address = |address: &tapping_stack::interface::InterfaceAddress| model::Address {
        local: IpAddr::V4(address.cidr.addr()),
        prefix_len: address.cidr.prefix_len(),
        // As on Linux, the addresses of a loopback have none.
        broadcast: address.cidr.broadcast().filter(|_| kind != "loopback").map(IpAddr::V4),
        secondary: address.secondary,
        tentative: address.tentative,
    };
    model::Link {
        ifindex: shown.id.0,
        name: shown.name,
        kind: kind.to_string(),
        mac: mac.map(|mac| mac.to_string()),
        mtu: shown.mtu,
        up: shown.up,
        promiscuous: shown.promiscuous,
        txqlen: shown.queue.1,
        backlog: shown.queue.0,
        tx_checksum: shown.capabilities.tx_checksum,
        max_gso_size: shown.capabilities.max_gso_size,
        addresses: shown.addresses.iter().map(address).collect(),
        counters: shown.counters.iter().map(|(name, n)| (name.to_string(), n)).collect(),
    }
}

pub fn route(route: &Route, names: &Names) -> model::Route {
    model::Route {
        destination: route.destination.addr(),
        prefix_len: route.destination.prefix_len(),
        kind: match route.kind {
            RouteKind::Unicast => "unicast",
            RouteKind::Local => "local",
            RouteKind::Broadcast => "broadcast",
            RouteKind::Blackhole => "blackhole",
            RouteKind::Unreachable => "unreachable",
            RouteKind::Prohibit => "prohibit",
        }
        .to_string(),
        table: match route.table {
            RouteTableId::Local => "local",
            RouteTableId::Main => "main",
        }
        .to_string(),
        protocol: match route.protocol {
            RouteProtocol::Kernel => "kernel",
            RouteProtocol::Boot => "boot",
            RouteProtocol::Static => "static",
        }
        .to_string(),
        scope: match route.scope() {
            Scope::Universe => "global",
            Scope::Site => "site",
            Scope::Link => "link",
            Scope::Host => "host",
        }
        .to_string(),
        gateway: route.gateway,
        dev: route.link.map(|link| names.name(link)),
        metric: route.metric,
        source: route.source,
        mtu: route.mtu,
        onlink: route.onlink,
        linkdown: route.link.is_some_and(|link| names.is_down(link)),
    }
}

pub fn neighbour(shown: &NeighbourSnapshot, names: &Names) -> model::Neighbour {
    model::Neighbour {
        address: shown.neighbour.addr,
        dev: names.name(shown.neighbour.link),
        mac: shown.neighbour.mac.map(|mac| mac.to_string()),
        state: shown.neighbour.state.to_string(),
        used: micros(shown.used),
        confirmed: micros(shown.confirmed),
        updated: micros(shown.updated),
        probes: shown.probes,
    }
}
