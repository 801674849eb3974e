//! Every limit and default of a stack, named as the Linux sysctl it imitates.

use core::time::Duration;

pub use crate::icmp::ratelimit::RateLimitConfig;
pub use crate::ipv4::reassembly::ReassemblyConfig;
pub use crate::route::exceptions::ExceptionsConfig;
pub use crate::tcp::config::{
    BufferSizes, EcnMode, MtuProbing, SynCookies, TcpConfig, TimeWaitReuse,
};

/// Settings of one stack. `Config::default()` is what a freshly booted Linux has, forwarding off.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// IPv4 settings (`net.ipv4.*`).
    pub ipv4: Ipv4Config,
    /// ICMP settings (`net.ipv4.icmp_*`).
    pub icmp: IcmpConfig,
    /// Multicast groups and what routers are told of them (`net.ipv4.igmp_*`).
    pub igmp: IgmpConfig,
    /// Neighbour cache settings (`net.ipv4.neigh.default.*`).
    pub neigh: NeighConfig,
    /// Address conflict detection (RFC 5227 §1.1).
    pub acd: AcdConfig,
    /// TCP settings (`net.ipv4.tcp_*`).
    pub tcp: TcpConfig,
    /// Sockets and queues (`net.core.*`).
    pub core: CoreConfig,
}

/// IPv4 settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Ipv4Config {
    /// `ip_default_ttl`: time to live of packets whose socket does not say.
    pub default_ttl: u8,
    /// `ip_forward`: whether packets for others are forwarded.
    pub forward: bool,
    /// `ip_no_pmtu_disc`: with it DF is never set and no path MTU is learnt.
    pub no_pmtu_disc: bool,
    /// What is learnt about routes (`route.*`).
    pub exceptions: ExceptionsConfig,
    /// How many routes a table may hold.
    pub max_routes: usize,
    /// Fragments that wait for others (`ipfrag_*`).
    pub reassembly: ReassemblyConfig,
    /// `ip_local_port_range`: the first and the last ephemeral port.
    pub local_port_range: (u16, u16),
    /// `udp_mem` (the last of its three numbers, in bytes): buffers waiting in all UDP sockets.
    pub udp_mem: usize,
    /// How many links there may be.
    pub max_links: usize,
    /// How many addresses a link may have.
    pub max_addresses: usize,
    /// How many multicast groups a link may be in by itself, not for a socket.
    pub max_groups: usize,
}

/// ICMP settings.
#[derive(Debug, Clone, PartialEq)]
pub struct IcmpConfig {
    /// `icmp_echo_ignore_all`: answer no echo request.
    pub echo_ignore_all: bool,
    /// `icmp_echo_ignore_broadcasts`: answer no echo or timestamp request sent to many.
    pub echo_ignore_broadcasts: bool,
    /// `icmp_ignore_bogus_error_responses`: errors quoting a packet sent to a broadcast address.
    pub ignore_bogus_error_responses: bool,
    /// `icmp_errors_use_inbound_ifaddr`: errors come from the address of the link that the
    /// packet arrived on.
    pub errors_use_inbound_ifaddr: bool,
    /// How often errors are sent (`icmp_ratelimit` and its siblings).
    pub rate_limit: RateLimitConfig,
    /// How often redirects are sent.
    pub redirects: RedirectConfig,
}

/// How often a sender is told of a better gateway (`net.ipv4.route.redirect_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedirectConfig {
    /// `redirect_number`: redirects to one sender before it is taken to ignore them.
    pub number: u32,
    /// `redirect_load`: half the pause after the first; it doubles with each.
    pub load: Duration,
    /// `redirect_silence`: after this long without packets for it, it starts anew.
    pub silence: Duration,
    /// How many senders are kept count of; rounded up to a power of two.
    pub senders: usize,
}

/// Multicast group settings. Those of one link are in
/// [`InterfaceConfig`](crate::interface::InterfaceConfig).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgmpConfig {
    /// `igmp_qrv`: how often a change is reported, until a querier tells; at least 1.
    pub qrv: u8,
    /// `igmp_max_memberships`: how many groups a socket may be in.
    pub max_memberships: usize,
    /// `igmp_max_msf`: how many sources a socket may list for a group.
    pub max_msf: usize,
    /// `igmp_link_local_mcast_reports`: report groups in 224.0.0.0/24, too.
    pub link_local_mcast_reports: bool,
    /// Groups left, or sources of one group changed, that are to be reported again; of more the
    /// first report is the only one.
    pub max_pending_changes: usize,
    /// Sources that routers asked about and that wait for the answer, of one group; of more the
    /// whole group is reported.
    pub max_queried_sources: usize,
}

/// Neighbour cache settings.
#[derive(Debug, Clone, PartialEq)]
pub struct NeighConfig {
    /// `base_reachable_time_ms`: mean of how long a confirmation is believed (×0.5–1.5); at least
    /// 1 ms.
    pub base_reachable_time: Duration,
    /// `delay_first_probe_time`: how long a stale entry in use waits for a hint before a probe; at
    /// least 1 ms.
    pub delay_first_probe_time: Duration,
    /// `retrans_time_ms`: between solicitations; at least 1 ms.
    pub retrans_time: Duration,
    /// `ucast_solicit`: probes sent to the known address.
    pub ucast_solicit: u8,
    /// `mcast_solicit`: solicitations broadcast for an unknown one.
    pub mcast_solicit: u8,
    /// `gc_thresh1`: below so many entries none is collected.
    pub gc_thresh1: usize,
    /// `gc_thresh2`: above so many, entries older than five seconds make room for new ones.
    pub gc_thresh2: usize,
    /// `gc_thresh3`: how many entries may be learnt. Those set by hand do not count in any of the
    /// three (Linux `neigh_update_gc_list`).
    pub gc_thresh3: usize,
    /// How many entries may be set by hand.
    pub max_permanent: usize,
    /// `gc_stale_time`: an unused entry may be collected after this.
    pub gc_stale_time: Duration,
    /// `gc_interval`: between collections; at least 1 ms.
    pub gc_interval: Duration,
    /// `locktime`: an entry that changed this recently ignores a different answer.
    pub locktime: Duration,
    /// `unres_qlen`: packets that may wait for one resolution.
    pub unres_qlen: usize,
    /// `unres_qlen_bytes`: bytes of buffer that they may take; a single packet may take more.
    pub unres_qlen_bytes: usize,
}

/// Address conflict detection (the constants of RFC 5227 §1.1).
#[derive(Debug, Clone, PartialEq)]
pub struct AcdConfig {
    /// PROBE_WAIT: the first probe waits a random time up to this.
    pub probe_wait: Duration,
    /// PROBE_NUM: probes sent.
    pub probe_num: u8,
    /// PROBE_MIN: shortest time between probes.
    pub probe_min: Duration,
    /// PROBE_MAX: longest time between probes.
    pub probe_max: Duration,
    /// ANNOUNCE_WAIT: from the last probe to the first announcement.
    pub announce_wait: Duration,
    /// ANNOUNCE_NUM: announcements sent.
    pub announce_num: u8,
    /// ANNOUNCE_INTERVAL: between announcements.
    pub announce_interval: Duration,
    /// DEFEND_INTERVAL: an address is defended at most once in this time.
    pub defend_interval: Duration,
}

/// Sockets and queues.
#[derive(Debug, Clone, PartialEq)]
pub struct CoreConfig {
    /// `rmem_default`: bytes of buffer that a socket's receive queue may take.
    pub rmem_default: usize,
    /// Error reports that a socket's error queue may hold.
    pub max_error_queue: usize,
    /// How many sockets there may be.
    pub max_sockets: usize,
    /// How many wakers may wait for sockets.
    pub max_wakers: usize,
    /// `netdev_max_backlog`: packets waiting on the loopback.
    pub netdev_max_backlog: usize,
    /// `txqueuelen`: frames waiting for a device. A large segment that is cut for it needs the room
    /// of one.
    pub tx_queue_len: usize,
    /// `netdev_budget`: loopback packets handled before control returns to the caller; at least 1.
    pub netdev_budget: usize,
    /// Free 2 KiB buffers kept for reuse.
    pub pool_small: usize,
    /// Free buffers kept for reuse of each larger size, 4 to 64 KiB.
    pub pool_large: usize,
}

/// The shortest time that a timer may be set to again and again.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

impl Config {
    /// Raises what would make timers due for ever: intervals to 1 ms, the budget to one packet; and
    /// what must not be zero.
    pub(crate) fn clamp(&mut self) {
        let neigh = &mut self.neigh;
        for interval in [
            &mut neigh.base_reachable_time,
            &mut neigh.delay_first_probe_time,
            &mut neigh.retrans_time,
            &mut neigh.gc_interval,
        ] {
            *interval = (*interval).max(MIN_INTERVAL);
        }
        self.core.netdev_budget = self.core.netdev_budget.max(1);
        self.igmp.qrv = self.igmp.qrv.max(1);
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            ipv4: Ipv4Config {
                default_ttl: 64,
                forward: false,
                no_pmtu_disc: false,
                exceptions: ExceptionsConfig::default(),
                max_routes: 1 << 20,
                reassembly: ReassemblyConfig::default(),
                local_port_range: (32_768, 60_999),
                udp_mem: 256 << 20,
                max_links: 4096,
                max_addresses: 1024,
                max_groups: 20,
            },
            icmp: IcmpConfig {
                echo_ignore_all: false,
                echo_ignore_broadcasts: true,
                ignore_bogus_error_responses: true,
                errors_use_inbound_ifaddr: false,
                rate_limit: RateLimitConfig::default(),
                redirects: RedirectConfig {
                    number: 9,
                    load: Duration::from_millis(20),
                    silence: Duration::from_millis(20 << 10),
                    senders: 4096,
                },
            },
            igmp: IgmpConfig {
                qrv: 2,
                max_memberships: 20,
                max_msf: 10,
                link_local_mcast_reports: true,
                max_pending_changes: 1024,
                max_queried_sources: 366,
            },
            neigh: NeighConfig {
                base_reachable_time: Duration::from_secs(30),
                delay_first_probe_time: Duration::from_secs(5),
                retrans_time: Duration::from_secs(1),
                ucast_solicit: 3,
                mcast_solicit: 3,
                gc_thresh1: 128,
                gc_thresh2: 512,
                gc_thresh3: 1024,
                max_permanent: 65_536,
                gc_stale_time: Duration::from_secs(60),
                gc_interval: Duration::from_secs(30),
                locktime: Duration::from_secs(1),
                unres_qlen: 101,
                unres_qlen_bytes: 212_992,
            },
            acd: AcdConfig {
                probe_wait: Duration::from_secs(1),
                probe_num: 3,
                probe_min: Duration::from_secs(1),
                probe_max: Duration::from_secs(2),
                announce_wait: Duration::from_secs(2),
                announce_num: 2,
                announce_interval: Duration::from_secs(2),
                defend_interval: Duration::from_secs(10),
            },
            tcp: TcpConfig::default(),
            core: CoreConfig {
                rmem_default: 212_992,
                max_error_queue: 64,
                max_sockets: 65_536,
                max_wakers: 1 << 20,
                netdev_max_backlog: 1000,
                tx_queue_len: 1000,
                netdev_budget: 300,
                pool_small: 512,
                pool_large: 128,
            },
        }
    }
}
