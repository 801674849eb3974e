//! Answers to queries, put off by a random time (RFC 2236 §3, RFC 3376 §5.2).

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::change::report_type;
use super::filter::{FilterMode, SourceFilter};
use super::report::Record;
use super::{IgmpLayer, Timer, is_reported, random_delay, received, start, state_of};
use crate::core::Core;
use crate::packet::LinkId;
use crate::time::Duration;
use crate::wire::igmp::{IgmpQuery, IgmpVersion, RecordType};

impl IgmpLayer {
    /// A general query of version 3: rules 1 and 2 of RFC 3376 §5.2.
    pub(super) fn schedule_general(&mut self, core: &mut Core, link: LinkId, longest: Duration) {
        let at = core.now + random_delay(core, longest);
        let Some(state) = self.links.get_mut(&link) else { return };
        if state.general.is_none_or(|pending| at < pending.at) {
            start(&mut self.timers, &mut state.general, at, Timer::General(link));
        }
    }

    /// A query of version 3 about a group or some of its sources: rules 1, 3, 4 and 5.
    pub(super) fn schedule_group(
        &mut self,
        core: &mut Core,
        link: LinkId,
        query: &IgmpQuery<'_>,
        longest: Duration,
    ) {
        let group = query.group();
        if !is_reported(core, link, group) || state_of(core, link, group).is_nothing() {
            return;
        }
        let at = core.now + random_delay(core, longest);
        let max = core.config.igmp.max_queried_sources;
        let Some(state) = self.links.get_mut(&link) else { return };
        if state.general.is_some_and(|pending| pending.at < at) {
            return;
        }
        let asked = state.groups.entry(group).or_default();
        let whole = asked.response.is_some() && asked.queried.is_empty();
        asked.queried.extend(query.sources());
        // Where more is asked about than is kept, the whole group is the answer.
        if whole || query.sources().len() == 0 || asked.queried.len() > max {
            asked.queried.clear();
        }
        if asked.response.is_none_or(|pending| at < pending.at) {
            start(&mut self.timers, &mut asked.response, at, Timer::Group(link, group));
        }
    }

    /// A general query on a link of version 1 or 2: each group is reported for itself.
    pub(super) fn schedule_all(
        &mut self,
        core: &mut Core,
        link: LinkId,
        longest: Duration,
        version: IgmpVersion,
    ) {
        for (group, _) in received(core, link) {
            self.schedule_older(core, link, group, longest, version);
        }
    }

    /// A query of version 1 or 2 about a group. RFC 2236 §3: a timer that runs is set anew only if
    /// the time to answer is shorter than what is left of it.
    pub(super) fn schedule_older(
        &mut self,
        core: &mut Core,
        link: LinkId,
        group: Ipv4Addr,
        longest: Duration,
        version: IgmpVersion,
    ) {
        debug_assert_ne!(version, IgmpVersion::V3);
        if !is_reported(core, link, group) || state_of(core, link, group).is_nothing() {
            return;
        }
        let delay = random_delay(core, longest);
        let Some(state) = self.links.get_mut(&link) else { return };
        let asked = state.groups.entry(group).or_default();
        asked.unsolicited_left = 0;
        if asked.response.is_none_or(|pending| core.now + longest < pending.at) {
            let at = core.now + delay;
            start(&mut self.timers, &mut asked.response, at, Timer::Group(link, group));
        }
    }

    /// The time for the answer to a general query has come.
    pub(super) fn respond_all(&mut self, core: &mut Core, link: LinkId) {
        if let Some(state) = self.links.get_mut(&link) {
            state.general = None;
        }
        if self.sync(core, link) != IgmpVersion::V3 {
            return;
        }
        let groups = received(core, link);
        let records: Vec<_> = groups.into_iter().map(|(group, now)| current(group, now)).collect();
        self.send_records(core, link, &records);
    }

    /// The time for a group's report has come.
    pub(super) fn respond(&mut self, core: &mut Core, link: LinkId, group: Ipv4Addr) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let Some(asked) = state.groups.get_mut(&group) else { return };
        asked.response = None;
        let queried = core::mem::take(&mut asked.queried);
        let before = state.querier.version;
        let version = self.sync(core, link);
        // What one version wanted to say is not for the other (RFC 3376 §7.2.1).
        if version != before {
            return;
        }
        if version != IgmpVersion::V3 {
            if let Some(asked) =
                self.links.get_mut(&link).and_then(|state| state.groups.get_mut(&group))
            {
                asked.last_reporter = true;
            }
            self.send(core, link, report_type(version), group);
            self.repeat_report(core, link, group, version);
            return;
        }
        let now = state_of(core, link, group);
        if now.is_nothing() {
            return;
        }
        if queried.is_empty() {
            self.send_records(core, link, &[current(group, now)]);
            return;
        }
        // RFC 3376 §5.2: of the sources asked about, those that are wanted; none, no answer.
        let sources: Vec<_> = queried.into_iter().filter(|source| now.allows(*source)).collect();
        if !sources.is_empty() {
            let record_type = RecordType::IsInclude;
            self.send_records(core, link, &[Record { record_type, group, sources }]);
        }
    }
}

/// A current-state record.
fn current(group: Ipv4Addr, now: SourceFilter) -> Record {
    let record_type = match now.mode {
        FilterMode::Include => RecordType::IsInclude,
        FilterMode::Exclude => RecordType::IsExclude,
    };
    Record { record_type, group, sources: now.sources.into_iter().collect() }
}
