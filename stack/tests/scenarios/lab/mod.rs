//! A small laboratory: stacks on simulated wires under one virtual clock.
//!
//! A segment is a hub: every frame reaches all other ends at once. A tester is an end without a
//! stack: it injects frames made by hand and hears everything on its segment. Whatever a stack
//! emits is checked on its way: lengths, MTU, header and transport checksums.

mod check;
mod events;
mod frames;

pub use events::{Record, Seen, neighbour_states, stages};
pub use frames::*;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tapping_stack::socket::SocketId;
use tapping_stack::stats::{DropReason, Snapshot};
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::{IpCidr, MacAddr, Protocol};
use tapping_stack::{Config, LinkConfig, LinkId, Packet, SocketError, Stack};

/// Rounds in which frames may go back and forth without time passing.
const MAX_ROUNDS: usize = 20_000;
/// Timer events in one [`Lab::run_for`].
const MAX_STEPS: usize = 1_000_000;

/// Names a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host(usize);

/// Names a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment(usize);

/// An end of a segment without a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tester {
    index: usize,
    /// Where its frames come from.
    pub mac: MacAddr,
}

struct HostState {
    name: String,
    stack: Stack,
    /// The segment of each link but the loopback.
    links: Vec<(LinkId, Segment)>,
    records: Arc<Mutex<Vec<Record>>>,
    check_transport: bool,
}

#[derive(Default)]
struct SegmentState {
    cut: bool,
    /// Frames on their way, each with the end that sent it.
    frames: Vec<(End, Vec<u8>)>,
}

struct TesterState {
    segment: Segment,
    heard: Vec<Heard>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Host(usize, LinkId),
    Tester(usize),
}

/// The laboratory.
pub struct Lab {
    now: Instant,
    hosts: Vec<HostState>,
    segments: Vec<SegmentState>,
    testers: Vec<TesterState>,
}

impl Lab {
    /// An empty laboratory, its clock at 1000 s.
    pub fn new() -> Self {
        let now = Instant::from_secs(1000);
        Lab { now, hosts: Vec::new(), segments: Vec::new(), testers: Vec::new() }
    }

    /// One host with `addr` on one segment with a tester: what most scenarios need.
    pub fn with_tester(addr: &str) -> (Self, Host, LinkId, Tester) {
        Lab::with_tester_and(addr, Config::default())
    }

    /// As [`with_tester`](Self::with_tester), with settings for the host.
    pub fn with_tester_and(addr: &str, config: Config) -> (Self, Host, LinkId, Tester) {
        let mut lab = Lab::new();
        let segment = lab.segment();
        let host = lab.host_with("a", config);
        let link = lab.attach(host, segment, addr);
        let tester = lab.tester(segment);
        (lab, host, link, tester)
    }

    /// A new host with default settings.
    pub fn host(&mut self, name: &str) -> Host {
        self.host_with(name, Config::default())
    }

    /// A new host with its settings; its seed is its number.
    pub fn host_with(&mut self, name: &str, config: Config) -> Host {
        let index = self.hosts.len();
        let mut stack = Stack::new(config, index as u64 + 1);
        let records = Arc::new(Mutex::new(Vec::new()));
        stack.set_observer(Some(Box::new(events::Collector(Arc::clone(&records)))));
        let name = name.to_string();
        self.hosts.push(HostState {
            name,
            stack,
            links: Vec::new(),
            records,
            check_transport: true,
        });
        Host(index)
    }

    /// A new wire.
    pub fn segment(&mut self) -> Segment {
        self.segments.push(SegmentState::default());
        Segment(self.segments.len() - 1)
    }

    /// A new tester on a wire.
    pub fn tester(&mut self, segment: Segment) -> Tester {
        let index = self.testers.len();
        self.testers.push(TesterState { segment, heard: Vec::new() });
        Tester { index, mac: MacAddr([0x02, 0xee, 0, 0, 0, index as u8 + 1]) }
    }

    /// The wire that a tester is on.
    pub fn segment_of(&self, tester: Tester) -> Segment {
        self.testers[tester.index].segment
    }

    /// Gives a host a link (`eth0`, `eth1`, …) to a wire, with an address unless `cidr` is empty.
    pub fn attach(&mut self, host: Host, segment: Segment, cidr: &str) -> LinkId {
        self.attach_with_mtu(host, segment, cidr, 1500)
    }

    /// As [`attach`](Self::attach), with an MTU.
    pub fn attach_with_mtu(
        &mut self,
        host: Host,
        segment: Segment,
        cidr: &str,
        mtu: usize,
    ) -> LinkId {
        let now = self.now;
        let state = &mut self.hosts[host.0];
        let number = state.links.len();
        let mac = MacAddr([0x02, 0, 0, 0, host.0 as u8 + 1, number as u8]);
        let config = LinkConfig { mtu, ..LinkConfig::new(&format!("eth{number}"), mac) };
        let link = state.stack.add_link(config).expect("a new link");
        state.links.push((link, segment));
        if !cidr.is_empty() {
            let cidr: IpCidr = cidr.parse().expect("an address with its prefix length");
            state.stack.add_address(now, link, cidr).expect("a new address");
        }
        link
    }

    /// The MAC address of a host's link.
    pub fn mac(&self, host: Host, link: LinkId) -> MacAddr {
        let interface = self.hosts[host.0].stack.interfaces().get(link);
        interface.and_then(|interface| interface.mac()).expect("an Ethernet link")
    }

    /// A host's stack. Call [`settle`](Self::settle) or [`run_for`](Self::run_for) afterwards.
    pub fn stack(&mut self, host: Host) -> &mut Stack {
        &mut self.hosts[host.0].stack
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Cuts a wire, or mends it: while it is cut no frame arrives.
    pub fn cut(&mut self, segment: Segment, cut: bool) {
        self.segments[segment.0].cut = cut;
    }

    /// Whether the transport checksums of what the host emits are checked; raw sockets may send
    /// what they like.
    pub fn check_transport(&mut self, host: Host, check: bool) {
        self.hosts[host.0].check_transport = check;
    }

    /// Tells a host for good who has `addr`, so that no ARP is needed.
    pub fn know(&mut self, host: Host, link: LinkId, addr: Ipv4Addr, mac: MacAddr) {
        let now = self.now;
        let stack = &mut self.hosts[host.0].stack;
        stack.add_neighbour(now, link, IpAddr::V4(addr), mac).expect("room for a neighbour");
    }

    /// Sends a frame from a tester and lets everybody react to it.
    pub fn inject(&mut self, tester: Tester, frame: Vec<u8>) {
        let segment = self.testers[tester.index].segment;
        self.segments[segment.0].frames.push((End::Tester(tester.index), frame));
        self.settle();
    }

    /// Sends an IPv4 packet from a tester to a host's link, addressed to its MAC.
    pub fn inject_ip(&mut self, tester: Tester, host: Host, link: LinkId, packet: &[u8]) {
        let dst = self.mac(host, link);
        self.inject(tester, ip_frame(tester.mac, dst, packet));
    }

    /// Joins a group on a host's link. It is reported while time passes, and testers forget that.
    pub fn join(&mut self, host: Host, link: LinkId, group: Ipv4Addr) {
        let now = self.now;
        self.hosts[host.0].stack.join_group(now, link, group).expect("a group");
        self.run_for(Duration::from_secs(2));
        let is_igmp = |heard: &Heard| {
            heard.ip().is_some_and(|packet| ipv4(&packet).protocol() == Protocol::IGMP)
        };
        self.testers.iter_mut().for_each(|tester| tester.heard.retain(|heard| !is_igmp(heard)));
    }

    /// What the tester has heard since it was asked last; frames of all other ends.
    pub fn heard(&mut self, tester: Tester) -> Vec<Heard> {
        std::mem::take(&mut self.testers[tester.index].heard)
    }

    /// The ARP messages among what the tester has [`heard`](Self::heard), with their times.
    pub fn heard_arp(&mut self, tester: Tester) -> Vec<HeardArp> {
        self.heard(tester).iter().filter_map(Heard::arp).collect()
    }

    /// The IPv4 packets among what the tester has [`heard`](Self::heard).
    pub fn heard_ip(&mut self, tester: Tester) -> Vec<Vec<u8>> {
        self.heard(tester).iter().filter_map(Heard::ip).collect()
    }

    /// The only IPv4 packet among what the tester has heard.
    #[track_caller]
    pub fn heard_one_ip(&mut self, tester: Tester) -> Vec<u8> {
        let mut packets = self.heard_ip(tester);
        assert_eq!(packets.len(), 1, "exactly one IPv4 packet: {packets:?}");
        packets.remove(0)
    }

    /// What a host's observer has seen since it was asked last.
    pub fn events(&mut self, host: Host) -> Vec<Record> {
        std::mem::take(&mut *self.hosts[host.0].records.lock().expect("no panic while recording"))
    }

    /// Why a host has discarded packets since its events were asked for last, in order.
    pub fn drops(&mut self, host: Host) -> Vec<DropReason> {
        let dropped = |record: Record| match record.seen {
            Seen::Dropped { reason, .. } => Some(reason),
            _ => None,
        };
        self.events(host).into_iter().filter_map(dropped).collect()
    }

    /// A host's counters.
    pub fn snapshot(&self, host: Host) -> Snapshot {
        self.hosts[host.0].stack.snapshot()
    }

    /// Sends from a host's socket and lets everybody react.
    pub fn send(
        &mut self,
        host: Host,
        socket: SocketId,
        dst: Ipv4Addr,
        data: &[u8],
    ) -> Result<(), SocketError> {
        let now = self.now;
        let sent = self.hosts[host.0].stack.send_to(now, socket, (dst, 0).into(), data);
        self.settle();
        sent
    }

    /// Connects a host's socket.
    pub fn connect(
        &mut self,
        host: Host,
        socket: SocketId,
        addr: SocketAddr,
    ) -> Result<(), SocketError> {
        let now = self.now;
        self.hosts[host.0].stack.connect(now, socket, addr)
    }

    /// Closes a host's socket.
    pub fn close(&mut self, host: Host, socket: SocketId) -> Result<(), SocketError> {
        let now = self.now;
        self.hosts[host.0].stack.close(now, socket)
    }

    /// Everything a host's socket has received, as bytes.
    pub fn received(&mut self, host: Host, socket: SocketId) -> Vec<Vec<u8>> {
        let stack = &mut self.hosts[host.0].stack;
        let mut all = Vec::new();
        while let Some(packet) = stack.recv(socket) {
            all.push(packet.bytes().to_vec());
            stack.recycle(packet);
        }
        all
    }

    /// Lets `span` pass: timers fire when they are due, frames arrive at once.
    #[track_caller]
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..MAX_STEPS {
            self.settle();
            match self.next_timeout() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => {
                    self.now = end;
                    self.settle();
                    return;
                }
            }
        }
        panic!("timers keep firing: {MAX_STEPS} steps before {end:?}");
    }

    /// Delivers frames and runs due timers until nothing happens any more at this moment.
    #[track_caller]
    pub fn settle(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let timers = self.run_due_timers();
            self.collect_frames();
            let frames = self.deliver_frames();
            if !timers && !frames {
                return;
            }
        }
        panic!("no rest after {MAX_ROUNDS} rounds at {:?}", self.now);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.hosts.iter().filter_map(|host| host.stack.poll_timeout()).min()
    }

    fn run_due_timers(&mut self) -> bool {
        let mut ran = false;
        for host in &mut self.hosts {
            if host.stack.poll_timeout().is_some_and(|at| at <= self.now) {
                host.stack.handle_timeout(self.now);
                ran = true;
            }
        }
        ran
    }

    fn collect_frames(&mut self) {
        for (index, host) in self.hosts.iter_mut().enumerate() {
            for (link, segment) in &host.links {
                while let Some(packet) = host.stack.poll_transmit(self.now, *link) {
                    let frame = packet.bytes().to_vec();
                    host.stack.recycle(packet);
                    let mtu = host.stack.interfaces().get(*link).map_or(0, |link| link.mtu);
                    check::frame(&host.name, mtu, host.check_transport, &frame);
                    self.segments[segment.0].frames.push((End::Host(index, *link), frame));
                }
            }
        }
    }

    fn deliver_frames(&mut self) -> bool {
        let mut delivered = false;
        for number in 0..self.segments.len() {
            let segment = &mut self.segments[number];
            let cut = segment.cut;
            for (sender, frame) in std::mem::take(&mut segment.frames) {
                delivered = true;
                if !cut {
                    self.deliver(Segment(number), sender, &frame);
                }
            }
        }
        delivered
    }

    fn deliver(&mut self, segment: Segment, sender: End, frame: &[u8]) {
        for (index, tester) in self.testers.iter_mut().enumerate() {
            if tester.segment == segment && sender != End::Tester(index) {
                tester.heard.push(Heard { at: self.now, frame: frame.to_vec() });
            }
        }
        for (index, host) in self.hosts.iter_mut().enumerate() {
            for (link, _) in host.links.iter().filter(|(_, at)| *at == segment) {
                if sender != End::Host(index, *link) {
                    host.stack.handle_frame(self.now, *link, Packet::from_slice(frame));
                }
            }
        }
    }
}
