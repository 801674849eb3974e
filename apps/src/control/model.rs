//! What the control socket says: JSON lines, a request and its reply each one line.
//!
//! ```text
//! → {"v":1,"get":"sockets","from":0,"tcp":true,"udp":true,"raw":true,"states":4095,"info":false}
//! ← {"v":1,"ok":{"items":[…],"next":1000}}
//! → {"v":1,"get":"links"}
//! ← {"v":1,"error":"…"}
//! ```
//! Lists come in pages; `next` is where the following one begins. Times are in microseconds.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The version of the protocol; it changes when an old client would misunderstand a new server.
pub const VERSION: u32 = 1;
/// Places of the stack's tables looked at for one page, that is while the stack is kept waiting.
pub const PAGE: usize = 1000;

/// A request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub v: u32,
    #[serde(flatten)]
    pub get: Get,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "get", rename_all = "snake_case")]
pub enum Get {
    About,
    Sockets {
        #[serde(default)]
        from: u64,
        #[serde(flatten)]
        query: Query,
    },
    Counters,
    Links,
    Routes {
        from: Option<u64>,
    },
    Neighbours {
        #[serde(default)]
        from: u64,
    },
}

/// Which sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    pub tcp: bool,
    pub udp: bool,
    pub raw: bool,
    /// Bits by Linux's numbers of the states.
    pub states: u32,
    /// With [`Socket::info`].
    pub info: bool,
}

/// A reply: one of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply<T> {
    pub v: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ok: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<u64>,
}

/// Who serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub name: String,
    pub pid: u32,
    pub version: String,
    /// Stacks that share the work.
    pub shards: usize,
}

/// A socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Socket {
    /// `tcp`, `udp`, `raw` or `ping`.
    pub netid: String,
    /// Linux's number of the state.
    pub state: u8,
    pub local: SocketAddr,
    pub peer: SocketAddr,
    /// The link it is bound to.
    pub dev: Option<String>,
    pub recv_q: u64,
    pub send_q: u64,
    pub timer: Option<Timer>,
    /// 0 when no program has it.
    pub ino: u64,
    /// Bytes of buffer in use, and allowed.
    pub rmem: (u64, u64),
    pub wmem: (u64, u64),
    /// Receiving, sending was shut down.
    pub shutdown: (bool, bool),
    pub mark: u32,
    pub tos: u8,
    pub congestion: Option<String>,
    pub info: Option<Box<Info>>,
}

/// A timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    pub name: String,
    pub expires: u64,
    pub retransmits: u32,
}

/// Linux's `struct tcp_info`; fields that both have are named as there.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    pub ca_state: String,
    pub retransmits: u32,
    pub probes: u32,
    pub backoff: u32,
    pub timestamps: bool,
    pub sack: bool,
    pub ecn: bool,
    pub ecn_seen: bool,
    pub wscale: Option<(u8, u8)>,
    pub rto: u64,
    pub ato: u64,
    pub snd_mss: u32,
    pub rcv_mss: u32,
    pub unacked: u32,
    pub sacked: u32,
    pub lost: u32,
    pub retrans: u32,
    pub last_data_sent: u64,
    pub last_data_recv: u64,
    pub last_ack_recv: u64,
    pub pmtu: u32,
    pub rcv_ssthresh: u32,
    pub rtt: u64,
    pub rttvar: u64,
    pub min_rtt: Option<u64>,
    /// Absent when there is none.
    pub snd_ssthresh: Option<u32>,
    pub snd_cwnd: u32,
    pub advmss: u32,
    pub reordering: u32,
    pub rcv_rtt: u64,
    pub rcv_space: u32,
    pub total_retrans: u32,
    /// Absent when segments are not paced, or not limited.
    pub pacing_rate: Option<u64>,
    pub max_pacing_rate: Option<u64>,
    pub bytes_acked: u64,
    pub bytes_received: u64,
    pub segs_out: u32,
    pub segs_in: u32,
    pub notsent_bytes: u32,
    pub data_segs_in: u32,
    pub data_segs_out: u32,
    pub delivery_rate: u64,
    pub delivery_rate_app_limited: bool,
    pub busy_time: u64,
    pub rwnd_limited: u64,
    pub sndbuf_limited: u64,
    pub delivered: u32,
    pub delivered_ce: u32,
    pub bytes_sent: u64,
    pub bytes_retrans: u64,
    pub dsack_dups: u32,
    pub reord_seen: u32,
    pub rcv_ooopack: u32,
    pub snd_wnd: u32,
    pub rcv_wnd: u32,
}

/// All counters, in groups named as in `/proc/net/snmp` and `/proc/net/netstat`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    pub groups: Vec<Group>,
    /// Discarded packets by reason.
    pub drops: Vec<(String, u64)>,
    pub forwarding: bool,
    pub default_ttl: u8,
    pub sockets: Counts,
}

impl Counters {
    /// One counter; 0 when there is none of this name.
    pub fn value(&self, group: &str, name: &str) -> u64 {
        let group = self.groups.iter().find(|known| known.name == group);
        let counters = group.map_or(&[][..], |group| &group.counters);
        counters.iter().find(|(known, _)| known == name).map_or(0, |(_, value)| *value)
    }
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub name: String,
    pub counters: Vec<(String, u64)>,
}

/// How many TCP sockets there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Connections and listeners, those that no program has included.
    pub tcp: usize,
    pub time_wait: usize,
    pub requests: usize,
    pub orphans: usize,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub ifindex: u32,
    pub name: String,
    /// `ether`, `loopback` or `none`.
    pub kind: String,
    pub mac: Option<String>,
    pub mtu: usize,
    pub up: bool,
    pub promiscuous: bool,
    pub txqlen: usize,
    /// Frames that wait for the device.
    pub backlog: usize,
    /// Checksums, segments up to this many bytes are left to the device.
    pub tx_checksum: bool,
    pub max_gso_size: u32,
    pub addresses: Vec<Address>,
    pub counters: Vec<(String, u64)>,
}

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub local: IpAddr,
    pub prefix_len: u8,
    pub broadcast: Option<IpAddr>,
    pub secondary: bool,
    pub tentative: bool,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub destination: IpAddr,
    pub prefix_len: u8,
    /// As ip-route(8) names them.
    pub kind: String,
    pub table: String,
    pub protocol: String,
    pub scope: String,
    pub gateway: Option<IpAddr>,
    pub dev: Option<String>,
    pub metric: u32,
    pub source: Option<IpAddr>,
    pub mtu: Option<u16>,
    pub onlink: bool,
    pub linkdown: bool,
}

/// A neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    pub address: IpAddr,
    pub dev: String,
    pub mac: Option<String>,
    pub state: String,
    pub used: u64,
    pub confirmed: u64,
    pub updated: u64,
    pub probes: u8,
}
