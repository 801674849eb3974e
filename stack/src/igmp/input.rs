//! Messages that arrive (Linux `igmp_rcv`). As there, neither the TTL nor the router alert option is
//! asked for: switches that send queries in a router's stead often leave the option out.

use core::net::Ipv4Addr;

use super::IgmpLayer;
use crate::core::Core;
use crate::event::{Event, Receiver};
use crate::packet::{ChecksumState, LinkId, Packet};
use crate::stats::DropReason;
use crate::time::Duration;
use crate::wire::igmp::{ALL_SYSTEMS, Igmp, IgmpMessage, IgmpQuery, IgmpVersion};
use crate::wire::ipv4::Ipv4;

impl IgmpLayer {
    /// Takes a message, whose bytes begin with the IGMP header.
    pub(crate) fn input(&mut self, core: &mut Core, packet: Packet) {
        core.stats.igmp.in_msgs += 1;
        match self.examine(core, &packet) {
            Ok(()) => core.pool.put(packet),
            Err(reason) => {
                match reason {
                    DropReason::IgmpChecksum => {
                        core.stats.igmp.in_csum_errors += 1;
                        core.stats.igmp.in_errors += 1;
                    }
                    DropReason::IgmpMalformed => core.stats.igmp.in_errors += 1,
                    _ => {}
                }
                core.discard(packet, reason);
            }
        }
    }

    fn examine(&mut self, core: &mut Core, packet: &Packet) -> Result<(), DropReason> {
        let message = Igmp::parse(packet.bytes()).map_err(|_| DropReason::IgmpMalformed)?;
        if packet.meta.checksum == ChecksumState::None && !message.verify_checksum() {
            return Err(DropReason::IgmpChecksum);
        }
        let header = Ipv4::parse(packet.network()).map_err(|_| DropReason::Ipv4HeaderError)?;
        let (src, dst) = (header.src(), header.dst());
        let link = packet.meta.link_in.filter(|link| *link != LinkId::LOOPBACK);
        let link = link.ok_or(DropReason::IgmpIgnored)?;
        match message.message() {
            IgmpMessage::Query(query) => {
                core.stats.igmp.in_group_memb_queries += 1;
                core.see(|| Event::Delivered { to: Receiver::Igmp, packet });
                return self.query(core, link, dst, &query);
            }
            IgmpMessage::Report { group, .. } => {
                core.stats.igmp.in_group_memb_responses += 1;
                // Its own, come back (Linux igmp_rcv); and what only this host got tells nothing
                // of what the router heard.
                if !core.routes.is_local(src) && dst.is_multicast() {
                    core.see(|| Event::Delivered { to: Receiver::Igmp, packet });
                    self.heard_report(link, group);
                }
            }
            // Only routers care.
            IgmpMessage::ReportV3(_) => core.stats.igmp.in_v3_reports += 1,
            IgmpMessage::Leave { .. } => core.stats.igmp.in_group_memb_reductions += 1,
            IgmpMessage::Other(_) => return Err(DropReason::IgmpUnhandled),
        }
        Ok(())
    }

    /// Obeys a query (Linux `igmp_heard_query`).
    fn query(
        &mut self,
        core: &mut Core,
        link: LinkId,
        dst: Ipv4Addr,
        query: &IgmpQuery<'_>,
    ) -> Result<(), DropReason> {
        let general = query.group().is_unspecified();
        // RFC 3376 §9.1: a general query to another group is forged.
        if general && dst.is_multicast() && dst != ALL_SYSTEMS {
            return Err(DropReason::IgmpIgnored);
        }
        // RFC 3376 §4.1.9: a general query names no sources.
        if general && query.sources().len() > 0 {
            return Err(DropReason::IgmpIgnored);
        }
        self.note_querier(core, link, query.version());
        match (query.version(), self.sync(core, link)) {
            // RFC 2236 §4: to version 1 every query is a general one, with ten seconds to answer.
            (IgmpVersion::V1, version) | (IgmpVersion::V3, version @ IgmpVersion::V1) => {
                self.schedule_all(core, link, super::QUERY_RESPONSE_INTERVAL, version);
            }
            (IgmpVersion::V3, IgmpVersion::V3) => {
                self.note_variables(core, link, query);
                let longest = max_response(query);
                if general {
                    self.schedule_general(core, link, longest);
                } else {
                    self.schedule_group(core, link, query, longest);
                }
            }
            // RFC 3376 §7.2.1: a version 3 query is taken as one of version 2 while such a router
            // is present; sources do not count.
            (_, version) if general => {
                self.schedule_all(core, link, max_response(query), version);
            }
            (_, version) => {
                self.schedule_older(core, link, query.group(), max_response(query), version);
            }
        }
        Ok(())
    }

    /// RFC 3376 §7.2.1: queries of older versions set the timer of a querier of their version.
    fn note_querier(&mut self, core: &Core, link: LinkId, version: IgmpVersion) {
        self.sync(core, link);
        let Some(state) = self.links.get_mut(&link) else { return };
        let until = core.now + state.querier.present_timeout();
        match version {
            IgmpVersion::V1 => state.querier.v1_until = until,
            IgmpVersion::V2 => state.querier.v2_until = until,
            IgmpVersion::V3 => {}
        }
    }

    /// RFC 3376 §4.1.6, §4.1.7: hosts take over the querier's variables, those of their own where it
    /// does not say.
    fn note_variables(&mut self, core: &Core, link: LinkId, query: &IgmpQuery<'_>) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let querier = &mut state.querier;
        querier.robustness = match query.robustness() {
            0 => core.config.igmp.qrv,
            told => told,
        };
        querier.interval = match query.interval() {
            0 => super::QUERY_INTERVAL,
            told => Duration::from_secs(told.into()),
        };
        // RFC 3376 §8.3: less than the query interval.
        let second = Duration::from_secs(1);
        let below = querier.interval.saturating_sub(second);
        querier.response_interval = super::QUERY_RESPONSE_INTERVAL.min(below);
    }

    /// RFC 2236 §3, RFC 3376 §7.2.2: another host has reported the group, so this one need not
    /// (Linux `igmp_heard_report`, in version 3 too).
    fn heard_report(&mut self, link: LinkId, group: Ipv4Addr) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let Some(heard) = state.groups.get_mut(&group) else { return };
        super::cancel(&mut self.timers, &mut heard.response);
        heard.queried.clear();
        heard.last_reporter = false;
        heard.unsolicited_left = 0;
    }
}

fn max_response(query: &IgmpQuery<'_>) -> Duration {
    Duration::from_millis(u64::from(query.max_response()) * 100)
}
