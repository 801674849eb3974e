//! A host on a link with a router, which says and hears IGMP.

use core::net::{IpAddr, Ipv4Addr};

use tapping_stack::interface::InterfaceConfig;
use tapping_stack::socket::SocketId;
use tapping_stack::stats::IgmpMib;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::igmp::{self, IgmpQueryRepr, IgmpVersion, types};
use tapping_stack::wire::{Igmp, IgmpMessage, MacAddr, Protocol, RecordType};
use tapping_stack::{Config, LinkId, Stack};

use crate::lab::*;

pub const US: &str = "10.0.0.1";
pub const ROUTER: &str = "10.0.0.254";
pub const OTHER: &str = "10.0.0.7";
pub const GROUP: &str = "239.1.2.3";
/// A group that nobody here is in. Queries about it are sent to all systems, so that they are heard.
pub const ELSEWHERE: &str = "239.9.9.9";
pub const ALL_SYSTEMS: &str = "224.0.0.1";

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn addr(text: &str) -> IpAddr {
    IpAddr::V4(ip(text))
}

/// What the router hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    V1(Ipv4Addr),
    V2(Ipv4Addr),
    Leave(Ipv4Addr),
    /// Type, group, sources.
    V3(Vec<(RecordType, Ipv4Addr, Vec<Ipv4Addr>)>),
}

/// A report of version 3 with one record.
pub fn one(record_type: RecordType, group: &str, sources: &[&str]) -> Said {
    Said::V3(vec![record(record_type, group, sources)])
}

pub fn record(
    record_type: RecordType,
    group: &str,
    sources: &[&str],
) -> (RecordType, Ipv4Addr, Vec<Ipv4Addr>) {
    (record_type, ip(group), sources.iter().map(|source| ip(source)).collect())
}

pub struct Bench {
    pub lab: Lab,
    pub host: Host,
    pub link: LinkId,
    pub tester: Tester,
    pub socket: SocketId,
}

impl Bench {
    pub fn new() -> Self {
        Bench::with(Config::default(), "10.0.0.1/24")
    }

    pub fn with(config: Config, cidr: &str) -> Self {
        let (mut lab, host, link, tester) = Lab::with_tester_and(cidr, config);
        let socket = lab.stack(host).open_raw(Protocol(200)).unwrap();
        Bench { lab, host, link, tester, socket }
    }

    /// On a link with a router of version 1 or 2, heard just now.
    pub fn beside(version: IgmpVersion) -> Self {
        let mut bench = Bench::new();
        bench.query_old(if version == IgmpVersion::V1 { 0 } else { 100 }, "0.0.0.0");
        bench
    }

    pub fn stack(&mut self) -> &mut Stack {
        self.lab.stack(self.host)
    }

    pub fn settings(&mut self) -> &mut InterfaceConfig {
        let link = self.link;
        self.stack().interface_config(link).unwrap()
    }

    pub fn counters(&self) -> IgmpMib {
        self.lab.snapshot(self.host).igmp
    }

    /// Joins the socket to a group.
    #[track_caller]
    pub fn join(&mut self, group: &str) {
        let (now, socket, link) = (self.lab.now(), self.socket, self.link);
        self.stack().join_multicast(now, socket, addr(group), Some(link)).unwrap();
        self.lab.settle();
    }

    #[track_caller]
    pub fn leave(&mut self, group: &str) {
        let (now, socket, link) = (self.lab.now(), self.socket, self.link);
        self.stack().leave_multicast(now, socket, addr(group), Some(link)).unwrap();
        self.lab.settle();
    }

    /// Joins and lets all that follows of itself pass unheard.
    #[track_caller]
    pub fn joined(&mut self, group: &str) {
        self.join(group);
        self.quiet();
    }

    /// The socket asks for a source; the others by themselves.
    #[track_caller]
    pub fn include(&mut self, group: &str, source: &str) {
        let (now, socket, link) = (self.lab.now(), self.socket, Some(self.link));
        let stack = self.stack();
        stack.join_multicast_source(now, socket, addr(group), addr(source), link).unwrap();
        self.lab.settle();
    }

    #[track_caller]
    pub fn drop_source(&mut self, group: &str, source: &str) {
        let (now, socket, link) = (self.lab.now(), self.socket, Some(self.link));
        let stack = self.stack();
        stack.leave_multicast_source(now, socket, addr(group), addr(source), link).unwrap();
        self.lab.settle();
    }

    #[track_caller]
    pub fn block(&mut self, group: &str, source: &str) {
        let (now, socket, link) = (self.lab.now(), self.socket, Some(self.link));
        let stack = self.stack();
        stack.block_multicast_source(now, socket, addr(group), addr(source), link).unwrap();
        self.lab.settle();
    }

    #[track_caller]
    pub fn unblock(&mut self, group: &str, source: &str) {
        let (now, socket, link) = (self.lab.now(), self.socket, Some(self.link));
        let stack = self.stack();
        stack.unblock_multicast_source(now, socket, addr(group), addr(source), link).unwrap();
        self.lab.settle();
    }

    /// Waits until nothing more follows, and forgets it.
    pub fn quiet(&mut self) {
        self.lab.run_for(secs(30));
        self.lab.heard(self.tester);
    }

    /// Everything that was said since last asked, and when.
    #[track_caller]
    pub fn timed(&mut self) -> Vec<(Instant, Said)> {
        let heard = self.lab.heard(self.tester);
        heard.iter().filter_map(|heard| Some((heard.at, said(heard)?))).collect()
    }

    /// Everything that was said since last asked.
    #[track_caller]
    pub fn said(&mut self) -> Vec<Said> {
        self.timed().into_iter().map(|(_, said)| said).collect()
    }

    /// Everything that is said during `span`.
    #[track_caller]
    pub fn said_within(&mut self, span: Duration) -> Vec<Said> {
        self.lab.run_for(span);
        self.said()
    }

    /// A message from `src`.
    pub fn give(&mut self, src: &str, dst: &str, message: &[u8]) {
        let packet = Ip::new(ip(src), ip(dst), Protocol::IGMP, message.to_vec());
        let packet = packet.ttl(1).tos(0xc0).options(&[148, 4, 0, 0]);
        let mac = match ip(dst).is_multicast() {
            true => MacAddr::from_ipv4_multicast(ip(dst)),
            false => self.lab.mac(self.host, self.link),
        };
        self.lab.inject(self.tester, ip_frame(self.tester.mac, mac, &packet.build()));
    }

    /// A query of version 1 (`code` 0) or 2.
    pub fn query_old(&mut self, code: u8, group: &str) {
        let mut message = [0; igmp::HEADER_LEN];
        igmp::emit(types::QUERY, code, ip(group), &mut message);
        let dst = query_destination(group);
        self.give(ROUTER, dst, &message);
    }

    /// A query of version 3, to be answered within `tenths` of a second; robustness 2, interval
    /// 125 s.
    pub fn query(&mut self, tenths: u32, group: &str, sources: &[&str]) {
        self.query_with(tenths, group, sources, 2, 125);
    }

    pub fn query_with(
        &mut self,
        tenths: u32,
        group: &str,
        sources: &[&str],
        robustness: u8,
        interval: u32,
    ) {
        let sources: Vec<_> = sources.iter().map(|source| ip(source)).collect();
        let query = IgmpQueryRepr {
            max_response: tenths,
            group: ip(group),
            suppress: false,
            robustness,
            interval,
            sources: &sources,
        };
        let mut message = vec![0; query.len()];
        query.emit(&mut message);
        let dst = query_destination(group);
        self.give(ROUTER, dst, &message);
    }

    /// Another host reports a group.
    pub fn other_reports(&mut self, igmp_type: u8, group: &str) {
        let mut message = [0; igmp::HEADER_LEN];
        igmp::emit(igmp_type, 0, ip(group), &mut message);
        self.give(OTHER, group, &message);
    }
}

/// RFC 3376 §4.1.12.
fn query_destination(group: &str) -> &str {
    if ip(group).is_unspecified() || group == ELSEWHERE { ALL_SYSTEMS } else { group }
}

/// The IGMP message in a frame; what must be true of all of them is checked.
#[track_caller]
fn said(heard: &Heard) -> Option<Said> {
    let packet = heard.ip()?;
    let header = ipv4(&packet);
    if header.protocol() != Protocol::IGMP {
        return None;
    }
    let (frame_dst, dst) = (heard.ethernet().dst(), header.dst());
    assert_eq!(frame_dst, MacAddr::from_ipv4_multicast(dst));
    // As Linux: precedence 6, DF, no identification; TTL and router alert the lab has checked.
    assert_eq!((header.tos(), header.dont_fragment(), header.id()), (0xc0, true, 0));
    let (said, to) = match Igmp::parse(header.payload()).unwrap().message() {
        IgmpMessage::Report { version: IgmpVersion::V1, group } => (Said::V1(group), group),
        IgmpMessage::Report { group, .. } => (Said::V2(group), group),
        IgmpMessage::Leave { group } => (Said::Leave(group), ip("224.0.0.2")),
        IgmpMessage::ReportV3(records) => {
            let records = records.map(|record| {
                assert!(record.auxiliary().is_empty());
                (record.record_type(), record.group(), record.sources().collect())
            });
            (Said::V3(records.collect()), ip("224.0.0.22"))
        }
        other => panic!("a host sends no {other:?}"),
    };
    // RFC 2236 §9, RFC 3376 §4.2.14.
    assert_eq!(dst, to);
    Some(said)
}
