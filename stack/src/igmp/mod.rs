//! IGMP, the host's side (RFC 2236, RFC 3376, Linux `net/ipv4/igmp.c`): tells routers what groups
//! this host receives, from whom.
//!
//! ```text
//! socket, link    join, leave, sources → Reception of (link, group): what all ask for together
//!                        │ changed
//!                 state change ─→ report at once, and again up to the robustness variable
//! query ─────────→ response timer ─→ report of the current state
//! ```
//! Which messages a link speaks depends on the oldest router heard there lately (RFC 3376 §7.2.1).
//! In versions 1 and 2 every group has a timer and reports for itself, unless another host has done
//! so first; in version 3 the link has one timer for general queries and one for changes, groups
//! have one each for queries about them, and many records share a report.
//!
//! All-hosts (224.0.0.1) is never reported, and nothing is on the loopback, which no router hears.

mod change;
pub(crate) mod filter;
mod input;
pub(crate) mod membership;
mod report;
mod respond;

pub use filter::{FilterMode, SourceFilter};

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use crate::config::IgmpConfig;
use crate::core::Core;
use crate::packet::{LinkId, Packet};
use crate::route::Scope;
use crate::time::{Duration, Instant};
use crate::timer::{TimerId, TimerWheel};
use crate::wire::igmp::{
    self, ALL_ROUTERS, ALL_SYSTEMS, IgmpVersion, V3_ROUTERS, emit_report, report_len, types,
};
use crate::wire::ipv4;
use membership::Change;
use report::{Record, pack};

/// The router alert option that every message carries (RFC 2113 §2.1).
pub(crate) const ROUTER_ALERT: [u8; 4] = [148, 4, 0, 0];
/// Query Interval, until a querier tells its own (RFC 3376 §8.2).
const QUERY_INTERVAL: Duration = Duration::from_secs(125);
/// Query Response Interval (RFC 3376 §8.3); what version 1 understands (RFC 2236 §4).
const QUERY_RESPONSE_INTERVAL: Duration = Duration::from_secs(10);

/// A message on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) link: LinkId,
    pub(crate) src: Ipv4Addr,
    pub(crate) dst: Ipv4Addr,
    /// From the IGMP header on.
    pub(crate) packet: Packet,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// The answer to a general query of version 3.
    General(LinkId),
    /// The answer to a query about a group; the report of a group before version 3.
    Group(LinkId, Ipv4Addr),
    /// State changes are to be reported again.
    Change(LinkId),
}

/// A timer that runs.
#[derive(Debug, Clone, Copy)]
struct Pending {
    at: Instant,
    timer: TimerId,
}

/// What is known of the routers on a link.
#[derive(Debug)]
struct Querier {
    /// Until when a router of version 1 counts as present.
    v1_until: Instant,
    /// The same of version 2.
    v2_until: Instant,
    /// The version spoken when the link was looked at last.
    version: IgmpVersion,
    /// Robustness Variable (RFC 3376 §8.1).
    robustness: u8,
    /// Query Interval.
    interval: Duration,
    /// Query Response Interval, shorter than that.
    response_interval: Duration,
}

impl Querier {
    fn new(config: &IgmpConfig) -> Self {
        Querier {
            v1_until: Instant::ZERO,
            v2_until: Instant::ZERO,
            version: IgmpVersion::V3,
            robustness: config.qrv,
            interval: QUERY_INTERVAL,
            response_interval: QUERY_RESPONSE_INTERVAL,
        }
    }

    /// Older Version Querier Present Timeout (RFC 3376 §8.12).
    fn present_timeout(&self) -> Duration {
        self.interval * u32::from(self.robustness) + self.response_interval
    }
}

/// What is still to be told of a group, beside what it receives.
#[derive(Debug, Default)]
struct GroupState {
    /// When a report is due.
    response: Option<Pending>,
    /// The sources that the router asked about; all of the group if there are none (RFC 3376 §5.2).
    queried: BTreeSet<Ipv4Addr>,
    /// This host was the last to report the group (RFC 2236 §6).
    last_reporter: bool,
    /// How many more times a version 1 or 2 report is sent without being asked for.
    unsolicited_left: u8,
    /// In how many more reports the filter mode is told (RFC 3376 §5.1).
    mode_left: u8,
    /// In how many more reports each source that changed is told; at least one.
    sources_left: BTreeMap<Ipv4Addr, u8>,
}

/// One link.
#[derive(Debug)]
struct LinkState {
    querier: Querier,
    general: Option<Pending>,
    change: Option<Pending>,
    /// Groups received and reported, and those left of which routers are still to be told; of the
    /// latter at most `max_pending_changes`.
    groups: BTreeMap<Ipv4Addr, GroupState>,
}

/// IGMP's own state.
#[derive(Debug, Default)]
pub(crate) struct IgmpLayer {
    /// The links that are up and have groups or have heard a query.
    links: BTreeMap<LinkId, LinkState>,
    timers: TimerWheel<Timer>,
    /// Emptied after every call.
    outgoing: VecDeque<Outgoing>,
}

impl IgmpLayer {
    /// The next message to send.
    pub(crate) fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Sends the reports that are due.
    pub(crate) fn handle_timeout(&mut self, core: &mut Core, now: Instant) {
        while let Some(timer) = self.timers.expire(now) {
            match timer {
                Timer::General(link) => self.respond_all(core, link),
                Timer::Group(link, group) => self.respond(core, link, group),
                Timer::Change(link) => self.repeat_changes(core, link),
            }
        }
    }

    /// Counts a membership of a group in or out, and reports what the link receives in consequence.
    pub(crate) fn changed(
        &mut self,
        core: &mut Core,
        link: LinkId,
        group: Ipv4Addr,
        change: &Change,
    ) {
        let Some(interface) = core.interfaces.get_mut(link) else { return };
        let reception = interface.groups.entry(group).or_default();
        let before = reception.state();
        if let Some(filter) = &change.after {
            reception.add(filter);
        }
        if let Some(filter) = &change.before {
            reception.remove(filter);
        }
        let after = reception.state();
        if reception.is_empty() {
            interface.groups.remove(&group);
        }
        if interface.up && before != after {
            self.report_change(core, link, group, &before, &after);
        }
    }

    /// Reports every group of a link that has come up (Linux `ip_mc_up`).
    pub(crate) fn link_up(&mut self, core: &mut Core, link: LinkId) {
        for (group, state) in received(core, link) {
            self.report_change(core, link, group, &SourceFilter::NOTHING, &state);
        }
    }

    /// Forgets what was to be said on a link, and who was on it (Linux `ip_mc_down`).
    pub(crate) fn link_down(&mut self, link: LinkId) {
        let Some(mut state) = self.links.remove(&link) else { return };
        state.cancel_all(&mut self.timers);
    }

    /// Brings a link's state in line with the version that is to be spoken on it, and returns that.
    /// A change of version cancels all that is pending (RFC 3376 §7.2.1).
    fn sync(&mut self, core: &Core, link: LinkId) -> IgmpVersion {
        let forced = core.interfaces.get(link).and_then(|link| link.config.force_igmp_version);
        let config = &core.config.igmp;
        let state = self.links.entry(link).or_insert_with(|| LinkState::new(config));
        // Linux IGMP_V1_SEEN, IGMP_V2_SEEN: forced version 2 yields to 1, and forced 3 to both.
        let querier = &mut state.querier;
        let version = if forced == Some(IgmpVersion::V1) || core.now < querier.v1_until {
            IgmpVersion::V1
        } else if forced == Some(IgmpVersion::V2) || core.now < querier.v2_until {
            IgmpVersion::V2
        } else {
            IgmpVersion::V3
        };
        if querier.version != version {
            querier.version = version;
            state.cancel_all(&mut self.timers);
            let joined = core.interfaces.get(link).map(|interface| &interface.groups);
            state.groups.retain(|group, _| joined.is_some_and(|groups| groups.contains_key(group)));
        }
        version
    }

    /// Queues a message of version 1 or 2 (Linux `igmp_send_report`).
    fn send(&mut self, core: &mut Core, link: LinkId, igmp_type: u8, group: Ipv4Addr) {
        let leaves = igmp_type == types::LEAVE;
        match leaves {
            true => core.stats.igmp.out_group_memb_reductions += 1,
            false => core.stats.igmp.out_group_memb_responses += 1,
        }
        let mut packet = core.pool.take(igmp::HEADER_LEN);
        igmp::emit(igmp_type, 0, group, packet.put(igmp::HEADER_LEN));
        let src = core.source_address(link, None, Scope::Link).unwrap_or(Ipv4Addr::UNSPECIFIED);
        // RFC 2236 §9.
        let dst = if leaves { ALL_ROUTERS } else { group };
        self.outgoing.push_back(Outgoing { link, src, dst, packet });
    }

    /// Queues reports of version 3.
    fn send_records(&mut self, core: &mut Core, link: LinkId, records: &[Record]) {
        let Some(interface) = core.interfaces.get(link) else { return };
        let room = interface.mtu.saturating_sub(ipv4::HEADER_LEN + ROUTER_ALERT.len());
        let has = |src: &Ipv4Addr| interface.usable().any(|own| own.cidr.addr() == *src);
        // RFC 3376 §4.2.13: 0.0.0.0 while the link has no address (Linux igmpv3_get_srcaddr).
        let src = core.source_address(link, None, Scope::Link).filter(has);
        let src = src.unwrap_or(Ipv4Addr::UNSPECIFIED);
        pack(records, room, |records| {
            core.stats.igmp.out_v3_reports += 1;
            let len = report_len(records);
            let mut packet = core.pool.take(len);
            emit_report(records, packet.put(len));
            self.outgoing.push_back(Outgoing { link, src, dst: V3_ROUTERS, packet });
        });
    }
}

impl LinkState {
    fn new(config: &IgmpConfig) -> Self {
        let querier = Querier::new(config);
        LinkState { querier, general: None, change: None, groups: BTreeMap::new() }
    }

    /// Cancels every response and retransmission.
    fn cancel_all(&mut self, timers: &mut TimerWheel<Timer>) {
        cancel(timers, &mut self.general);
        cancel(timers, &mut self.change);
        for group in self.groups.values_mut() {
            cancel(timers, &mut group.response);
            let last_reporter = group.last_reporter;
            *group = GroupState { last_reporter, ..GroupState::default() };
        }
    }
}

fn cancel(timers: &mut TimerWheel<Timer>, pending: &mut Option<Pending>) {
    if let Some(Pending { timer, .. }) = pending.take() {
        timers.cancel(timer);
    }
}

/// Starts a timer, in the place of one that may run.
fn start(timers: &mut TimerWheel<Timer>, pending: &mut Option<Pending>, at: Instant, key: Timer) {
    cancel(timers, pending);
    *pending = Some(Pending { at, timer: timers.insert(at, key) });
}

/// A random time up to `longest` (RFC 2236 §3, RFC 3376 §5.2: each host and group its own).
fn random_delay(core: &mut Core, longest: Duration) -> Duration {
    core.rng.duration_between(Duration::from_nanos(1), longest)
}

/// How long after a report it is repeated without being asked for (Linux
/// `unsolicited_report_interval`).
fn unsolicited_interval(core: &Core, link: LinkId, version: IgmpVersion) -> Duration {
    let Some(interface) = core.interfaces.get(link) else { return QUERY_RESPONSE_INTERVAL };
    match version {
        IgmpVersion::V1 | IgmpVersion::V2 => interface.config.igmpv2_unsolicited_report_interval,
        IgmpVersion::V3 => interface.config.igmpv3_unsolicited_report_interval,
    }
}

/// Whether routers are told of the group at all (RFC 2236 §6; Linux
/// `igmp_link_local_mcast_reports`).
fn is_reported(core: &Core, link: LinkId, group: Ipv4Addr) -> bool {
    let link_local = matches!(group.octets(), [224, 0, 0, _]);
    let loopback = core.interfaces.get(link).is_none_or(|link| link.is_loopback());
    group != ALL_SYSTEMS && !loopback && (!link_local || core.config.igmp.link_local_mcast_reports)
}

/// What a link receives of a group.
fn state_of(core: &Core, link: LinkId, group: Ipv4Addr) -> SourceFilter {
    let reception = core.interfaces.get(link).and_then(|link| link.groups.get(&group));
    reception.map_or(SourceFilter::NOTHING, |reception| reception.state())
}

/// Every group that a link receives and reports.
fn received(core: &Core, link: LinkId) -> Vec<(Ipv4Addr, SourceFilter)> {
    let Some(interface) = core.interfaces.get(link) else { return Vec::new() };
    let reported = interface.groups.iter().filter(|(group, _)| is_reported(core, link, **group));
    reported.map(|(group, reception)| (*group, reception.state())).collect()
}
