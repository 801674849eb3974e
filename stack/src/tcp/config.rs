//! Settings of TCP, named as below `net.ipv4.tcp_*` (tcp(7), Linux `ip-sysctl.rst`).

use super::cc::CongestionAlgorithm;
use crate::time::Duration;

/// Least, initial and greatest size of a buffer in bytes (`tcp_rmem`, `tcp_wmem`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferSizes {
    /// Guaranteed to every socket.
    pub min: usize,
    /// What a socket starts with.
    pub default: usize,
    /// What it may grow to by itself.
    pub max: usize,
}

/// When a listener answers with SYN cookies (`tcp_syncookies`, RFC 4987 §3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SynCookies {
    /// Never: connection requests beyond the SYN queue are dropped.
    Off,
    /// When the SYN queue is full.
    #[default]
    WhenFull,
    /// Always.
    Always,
}

/// How ECN is negotiated (`tcp_ecn`, RFC 3168 §6.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EcnMode {
    /// Not at all.
    Off,
    /// Asked for, and accepted when the peer asks.
    On,
    /// Accepted only.
    #[default]
    Passive,
}

/// Whether the path MTU is searched for with data, without ICMP (`tcp_mtu_probing`, RFC 4821).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MtuProbing {
    /// Not at all.
    #[default]
    Off,
    /// Once segments seem to vanish for their size (§7.7).
    BlackHole,
    /// From the start, with segments of [`base_mss`](TcpConfig::base_mss).
    On,
}

/// When a connection of our own may take the place of one in TIME-WAIT (`tcp_tw_reuse`, RFC 6191).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeWaitReuse {
    /// Never.
    Off,
    /// When timestamps make it safe.
    On,
    /// The same, on the loopback only.
    #[default]
    Loopback,
}

/// TCP settings. Times are those of Linux with `HZ=1000`.
#[derive(Debug, Clone, PartialEq)]
pub struct TcpConfig {
    /// `tcp_syn_retries`: retransmissions of a SYN.
    pub syn_retries: u8,
    /// `tcp_syn_linear_timeouts`: so many of them before the timeout doubles.
    pub syn_linear_timeouts: u8,
    /// `tcp_synack_retries`: retransmissions of a SYN-ACK.
    pub synack_retries: u8,
    /// `tcp_retries1`: after so many the path is doubted.
    pub retries1: u8,
    /// `tcp_retries2`: after so many the connection is given up.
    pub retries2: u8,
    /// `tcp_orphan_retries`: the same for a connection without a socket; 0 means 8.
    pub orphan_retries: u8,
    /// `tcp_max_orphans`: connections without a socket; further ones are reset.
    pub max_orphans: usize,
    /// `tcp_max_tw_buckets`: connections in TIME-WAIT; further ones are closed at once.
    pub max_tw_buckets: usize,
    /// `tcp_max_syn_backlog`: connection requests remembered per listener without SYN cookies.
    pub max_syn_backlog: usize,
    /// `net.core.somaxconn`: the greatest backlog of a listener.
    pub somaxconn: usize,
    /// `tcp_abort_on_overflow`: reset connections that the accept queue has no room for.
    pub abort_on_overflow: bool,
    /// `tcp_syncookies`.
    pub syncookies: SynCookies,
    /// `tcp_fin_timeout`: how long an orphan stays in FIN-WAIT-2.
    pub fin_timeout: Duration,
    /// `TCP_TIMEWAIT_LEN`: how long a connection stays in TIME-WAIT.
    pub timewait_len: Duration,
    /// `tcp_tw_reuse`.
    pub tw_reuse: TimeWaitReuse,
    /// `tcp_rfc1337`: a RST does not end TIME-WAIT (RFC 1337 §3, fix F1).
    pub rfc1337: bool,
    /// `tcp_keepalive_time`.
    pub keepalive_time: Duration,
    /// `tcp_keepalive_intvl`.
    pub keepalive_intvl: Duration,
    /// `tcp_keepalive_probes`.
    pub keepalive_probes: u8,
    /// `TCP_TIMEOUT_INIT`: the retransmission timeout before any round-trip time is known.
    pub rto_init: Duration,
    /// `TCP_RTO_MIN` (`tcp_rto_min_us`).
    pub rto_min: Duration,
    /// `TCP_RTO_MAX` (`tcp_rto_max_ms`).
    pub rto_max: Duration,
    /// `tcp_window_scaling` (RFC 7323 §2).
    pub window_scaling: bool,
    /// `tcp_timestamps` (RFC 7323 §3).
    pub timestamps: bool,
    /// `tcp_sack` (RFC 2018).
    pub sack: bool,
    /// `tcp_dsack` (RFC 2883).
    pub dsack: bool,
    /// `tcp_ecn`.
    pub ecn: EcnMode,
    /// `tcp_frto` (RFC 5682).
    pub frto: bool,
    /// `tcp_early_retrans`: tail loss probes (RFC 8985 §7).
    pub tail_loss_probe: bool,
    /// `tcp_reordering`: reordering assumed at first, in segments.
    pub reordering: u32,
    /// `tcp_max_reordering`.
    pub max_reordering: u32,
    /// `tcp_slow_start_after_idle` (RFC 5681 §4.1).
    pub slow_start_after_idle: bool,
    /// `tcp_congestion_control`.
    pub congestion_control: CongestionAlgorithm,
    /// `tcp_rmem`.
    pub rmem: BufferSizes,
    /// `tcp_wmem`.
    pub wmem: BufferSizes,
    /// `tcp_moderate_rcvbuf`: receive buffers grow by themselves.
    pub moderate_rcvbuf: bool,
    /// `tcp_shrink_window`: a window that was offered may be taken back when memory is short (RFC 7323
    /// §2.4); scaled windows only.
    pub shrink_window: bool,
    /// `tcp_mem[2]`: bytes that all sockets together may have queued.
    pub mem: usize,
    /// `tcp_min_snd_mss`: no peer makes segments smaller than this.
    pub min_snd_mss: u16,
    /// `tcp_base_mss`: where the search for the path MTU begins.
    pub base_mss: u16,
    /// `tcp_mtu_probe_floor`: black holes make segments no smaller than this.
    pub mtu_probe_floor: u16,
    /// `tcp_mtu_probing`.
    pub mtu_probing: MtuProbing,
    /// `tcp_probe_threshold`: the search rests when it knows the path MTU to so many bytes.
    pub probe_threshold: u16,
    /// `tcp_probe_interval`: so long after it began it begins anew.
    pub probe_interval: Duration,
    /// `tcp_retrans_collapse`: small segments are joined when they are sent again.
    pub retrans_collapse: bool,
    /// `tcp_invalid_ratelimit`: between answers to segments out of the window.
    pub invalid_ratelimit: Duration,
    /// `tcp_challenge_ack_limit`: challenge ACKs of the whole stack per second.
    pub challenge_ack_limit: u32,
    /// `tcp_comp_sack_nr`: duplicate ACKs that may be compressed into one; 0 compresses none.
    pub comp_sack_nr: u8,
    /// `tcp_comp_sack_delay_ns`.
    pub comp_sack_delay: Duration,
    /// `tcp_min_tso_segs`.
    pub min_tso_segs: u32,
    /// `tcp_tso_win_divisor`: a large segment waits while less than this part of the window is
    /// free.
    pub tso_win_divisor: u32,
    /// `tcp_limit_output_bytes` bounds what waits in the host; here the most payload bytes that
    /// one large segment carries.
    pub max_segment_bytes: usize,
    /// `tcp_notsent_lowat`: unsent bytes above which a socket is not writable.
    pub notsent_lowat: usize,
    /// `ip_local_port_range`: first and last port chosen by the stack.
    pub port_range: (u16, u16),
    /// How many connections and listeners there may be.
    pub max_sockets: usize,
}

impl Default for TcpConfig {
    fn default() -> Self {
        TcpConfig {
            syn_retries: 6,
            syn_linear_timeouts: 4,
            synack_retries: 5,
            retries1: 3,
            retries2: 15,
            orphan_retries: 0,
            max_orphans: 65_536,
            max_tw_buckets: 65_536,
            max_syn_backlog: 4096,
            somaxconn: 4096,
            abort_on_overflow: false,
            syncookies: SynCookies::WhenFull,
            fin_timeout: Duration::from_secs(60),
            timewait_len: Duration::from_secs(60),
            tw_reuse: TimeWaitReuse::Loopback,
            rfc1337: false,
            keepalive_time: Duration::from_secs(7200),
            keepalive_intvl: Duration::from_secs(75),
            keepalive_probes: 9,
            rto_init: Duration::from_secs(1),
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(120),
            window_scaling: true,
            timestamps: true,
            sack: true,
            dsack: true,
            ecn: EcnMode::Passive,
            frto: true,
            tail_loss_probe: true,
            reordering: 3,
            max_reordering: 300,
            slow_start_after_idle: true,
            congestion_control: CongestionAlgorithm::Cubic,
            rmem: BufferSizes { min: 4096, default: 131_072, max: 6 << 20 },
            wmem: BufferSizes { min: 4096, default: 16_384, max: 4 << 20 },
            moderate_rcvbuf: true,
            shrink_window: false,
            mem: 1 << 30,
            min_snd_mss: 48,
            base_mss: 1024,
            mtu_probe_floor: 48,
            mtu_probing: MtuProbing::Off,
            probe_threshold: 8,
            probe_interval: Duration::from_secs(600),
            retrans_collapse: true,
            invalid_ratelimit: Duration::from_millis(500),
            challenge_ack_limit: u32::MAX,
            comp_sack_nr: 44,
            comp_sack_delay: Duration::from_millis(1),
            min_tso_segs: 2,
            tso_win_divisor: 3,
            max_segment_bytes: 65_536,
            notsent_lowat: usize::MAX,
            port_range: (32_768, 60_999),
            max_sockets: 1 << 20,
        }
    }
}
