//! What changed here is told without being asked for (RFC 2236 §3, RFC 3376 §5.1).

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::filter::{FilterMode, SourceFilter};
use super::report::Record;
use super::{
    GroupState, IgmpLayer, Timer, cancel, is_reported, random_delay, start, state_of,
    unsolicited_interval,
};
use crate::core::Core;
use crate::packet::LinkId;
use crate::wire::igmp::{IgmpVersion, RecordType, types};

impl IgmpLayer {
    /// Tells routers of what a link receives now and did not before, or the other way round.
    pub(super) fn report_change(
        &mut self,
        core: &mut Core,
        link: LinkId,
        group: Ipv4Addr,
        before: &SourceFilter,
        after: &SourceFilter,
    ) {
        if !is_reported(core, link, group) {
            return;
        }
        match self.sync(core, link) {
            IgmpVersion::V3 => self.state_change(core, link, group, before, after),
            version if before.is_nothing() => self.join(core, link, group, version),
            version if after.is_nothing() => self.leave(core, link, group, version),
            // Versions 1 and 2 know no sources.
            _ => {}
        }
    }

    /// RFC 2236 §3: a report at once, then again after a random time, as if it had been asked for.
    fn join(&mut self, core: &mut Core, link: LinkId, group: Ipv4Addr, version: IgmpVersion) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let left = state.querier.robustness.saturating_sub(1);
        let joined = state.groups.entry(group).or_default();
        joined.last_reporter = true;
        joined.unsolicited_left = left;
        self.send(core, link, report_type(version), group);
        self.repeat_report(core, link, group, version);
    }

    /// Starts the timer for the next report that nobody asked for, if one is left.
    pub(super) fn repeat_report(
        &mut self,
        core: &mut Core,
        link: LinkId,
        group: Ipv4Addr,
        version: IgmpVersion,
    ) {
        let interval = unsolicited_interval(core, link, version);
        let Some(state) = self.links.get_mut(&link) else { return };
        let Some(joined) = state.groups.get_mut(&group) else { return };
        if let Some(left) = joined.unsolicited_left.checked_sub(1) {
            joined.unsolicited_left = left;
            let at = core.now + random_delay(core, interval);
            start(&mut self.timers, &mut joined.response, at, Timer::Group(link, group));
        }
    }

    /// RFC 2236 §3: only the last to have reported need say that it leaves; version 1 has no word
    /// for it.
    fn leave(&mut self, core: &mut Core, link: LinkId, group: Ipv4Addr, version: IgmpVersion) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let Some(mut left) = state.groups.remove(&group) else { return };
        cancel(&mut self.timers, &mut left.response);
        if version == IgmpVersion::V2 && left.last_reporter {
            self.send(core, link, types::LEAVE, group);
        }
    }

    /// RFC 3376 §5.1: the difference becomes part of what is still to be told of the group, and a
    /// report of that leaves at once; it is the first of as many as the robustness variable says.
    fn state_change(
        &mut self,
        core: &mut Core,
        link: LinkId,
        group: Ipv4Addr,
        before: &SourceFilter,
        after: &SourceFilter,
    ) {
        let max = core.config.igmp.max_pending_changes;
        let joined = core.interfaces.get(link).map(|interface| &interface.groups);
        let Some(state) = self.links.get_mut(&link) else { return };
        let robustness = state.querier.robustness;
        let changed = state.groups.entry(group).or_default();
        if after.is_nothing() {
            cancel(&mut self.timers, &mut changed.response);
            changed.queried.clear();
        }
        if before.mode != after.mode {
            // Reports of the mode list every source, too (Linux ip_mc_add_src).
            changed.mode_left = robustness;
            changed.sources_left.clear();
        } else {
            for source in before.sources.symmetric_difference(&after.sources) {
                changed.sources_left.insert(*source, robustness);
            }
        }
        let records = changed.take_changes(group, after);
        // The first report is on its way; too much is left to repeat it.
        if changed.sources_left.len() > max {
            changed.sources_left.clear();
        }
        let is_joined = |group: &Ipv4Addr| joined.is_some_and(|groups| groups.contains_key(group));
        if !is_joined(&group) && !changed.is_pending() {
            state.groups.remove(&group);
        }
        if state.groups.len() > joined.map_or(0, |groups| groups.len()) + max {
            state.groups.retain(|group, _| is_joined(group));
        }
        self.send_records(core, link, &records);
        self.schedule_changes(core, link);
    }

    /// Reports the changes of a link that are not told of often enough, all in one.
    pub(super) fn repeat_changes(&mut self, core: &mut Core, link: LinkId) {
        if let Some(state) = self.links.get_mut(&link) {
            state.change = None;
        }
        if self.sync(core, link) != IgmpVersion::V3 {
            return;
        }
        let Some(state) = self.links.get_mut(&link) else { return };
        let mut records = Vec::new();
        state.groups.retain(|group, changed| {
            if !changed.is_pending() {
                return true;
            }
            let now = state_of(core, link, *group);
            records.extend(changed.take_changes(*group, &now));
            changed.is_pending() || !now.is_nothing()
        });
        self.send_records(core, link, &records);
        self.schedule_changes(core, link);
    }

    /// Starts the timer for the next report of changes, if there are any. One that runs is left
    /// alone: reports of several groups' changes come together.
    fn schedule_changes(&mut self, core: &mut Core, link: LinkId) {
        let interval = unsolicited_interval(core, link, IgmpVersion::V3);
        let Some(state) = self.links.get_mut(&link) else { return };
        if state.change.is_none() && state.groups.values().any(GroupState::is_pending) {
            let at = core.now + random_delay(core, interval);
            start(&mut self.timers, &mut state.change, at, Timer::Change(link));
        }
    }
}

impl GroupState {
    /// Whether changes are still to be told.
    fn is_pending(&self) -> bool {
        self.mode_left > 0 || !self.sources_left.is_empty()
    }

    /// The records of the next report about this group's changes, which counts as sent (RFC 3376
    /// §5.1, Linux `igmpv3_send_cr`).
    fn take_changes(&mut self, group: Ipv4Addr, now: &SourceFilter) -> Vec<Record> {
        let record = |record_type, sources| Record { record_type, group, sources };
        let mut records = Vec::new();
        if let Some(left) = self.mode_left.checked_sub(1) {
            self.mode_left = left;
            let record_type = match now.mode {
                FilterMode::Include => RecordType::ToInclude,
                FilterMode::Exclude => RecordType::ToExclude,
            };
            records.push(record(record_type, now.sources.iter().copied().collect()));
        } else {
            let (allow, block): (Vec<_>, Vec<_>) =
                self.sources_left.keys().partition(|source| now.allows(**source));
            let lists = [(RecordType::Allow, allow), (RecordType::Block, block)];
            let lists = lists.into_iter().filter(|(_, sources)| !sources.is_empty());
            records.extend(lists.map(|(record_type, sources)| record(record_type, sources)));
        }
        self.sources_left.retain(|_, left| {
            *left = left.saturating_sub(1);
            *left > 0
        });
        records
    }
}

/// The type of a report before version 3.
pub(super) fn report_type(version: IgmpVersion) -> u8 {
    match version {
        IgmpVersion::V1 => types::V1_REPORT,
        IgmpVersion::V2 | IgmpVersion::V3 => types::V2_REPORT,
    }
}
