//! A stack with two links, and what a script does to it.
//!
//! After every action: frames are taken and checked ([`crate::check`]), due timers run and make
//! progress, what is bounded keeps its bound, and no counter goes back. The memory of a run with
//! small limits is bounded as a whole.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tapping_stack::event::{Event, Observer};
use tapping_stack::filter::hook::{HookId, HookPoint};
use tapping_stack::igmp::{FilterMode, SourceFilter};
use tapping_stack::interface::ReversePathFilter;
use tapping_stack::neigh::NudState;
use tapping_stack::route::{Route, RouteSelector};
use tapping_stack::socket::{Readiness, SocketKind};
use tapping_stack::stats::Snapshot;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::Protocol;
use tapping_stack::wire::cidr::IpCidr;
use tapping_stack::{Config, LinkConfig, LinkId, Packet, PmtuDiscovery, SocketId, Stack};

use crate::check::{self, CRAFTED};
use crate::frames::{self, GATEWAY, MACS, OWN, address, mac_of, socket_address};
use crate::hooks::FuzzHook;
use crate::script::{Input, Setup, action};

/// Frames that arrive together at most.
const MAX_BATCH: usize = 8;
/// Bytes that a run with small limits may take: the queues, pools, sockets and waiting packets of
/// [`small_limits`], full of the largest packets, and a datagram in the smallest fragments.
const MEMORY_LIMIT: u64 = 16 << 20;
/// The largest buffer a packet takes, with what reassembly keeps beside it.
const LARGEST_PACKET: usize = 65_536 + 64 + 128 + 1024;
/// Timeouts that one wait may take.
const MAX_TIMEOUTS: usize = 20_000;
/// Calls that may do something at one and the same time.
const MAX_ROUNDS: usize = 64;
/// Frames that may cross the cable in one step; forwarding in a circle is no fault of the stack.
const MAX_CROSSINGS: usize = 256;
/// Hooks and sockets that a script may have at once.
const MAX_HANDLES: usize = 8;

/// Runs a script.
///
/// # Panics
/// When something that must hold does not.
pub fn run(bytes: &[u8]) {
    let (setup, _) = Input::new(bytes);
    let mut digest = 0;
    let info = allocation_counter::measure(|| digest = play(bytes));
    assert!(
        setup.has(Setup::LARGE) || info.bytes_max <= MEMORY_LIMIT,
        "{} bytes at once",
        info.bytes_max
    );
    assert_eq!(info.count_current, 0, "memory is left behind");
    if setup.has(Setup::TWICE) {
        assert_eq!(play(bytes), digest, "the same script, another outcome");
    }
}

/// Plays a script to its end; returns a digest of all that was sent and received.
fn play(bytes: &[u8]) -> u64 {
    let (setup, mut input) = Input::new(bytes);
    let mut world = World::new(setup);
    while !input.is_empty() {
        world.act(&mut input);
        world.settle();
        world.check();
    }
    world.end();
    world.digest.finish()
}

struct World {
    stack: Stack,
    links: [LinkId; 2],
    now: Instant,
    cable: bool,
    sockets: Vec<SocketId>,
    hooks: Vec<HookId>,
    /// Nobody takes frames or runs timers.
    asleep: bool,
    /// Devices that take nothing.
    held: [bool; 2],
    /// The highest MTU that a link has had: frames queue for longer than it lasts.
    mtus: [usize; 2],
    /// The last frame sent, and by which link.
    sent: Option<(usize, Vec<u8>)>,
    /// What gathers for a link, to arrive together.
    batches: [Option<Vec<Packet>>; 2],
    /// Crossing the cable.
    crossing: Vec<(usize, Vec<u8>)>,
    before: Snapshot,
    drops_seen: Arc<AtomicU64>,
    digest: DefaultHasher,
    renamed: u32,
}

/// Touches every part of a packet that an observer may look at, and counts those dropped.
struct Watcher(Arc<AtomicU64>);

impl Observer for Watcher {
    fn event(&mut self, _: Instant, event: &Event<'_>) {
        match event {
            Event::Dropped { packet, .. } => {
                self.0.fetch_add(1, Ordering::Relaxed);
                look(packet);
            }
            Event::LinkIn { packet, .. }
            | Event::LinkOut { packet, .. }
            | Event::Ipv4In { packet }
            | Event::Ipv4Out { packet }
            | Event::Reassembled { packet }
            | Event::Fragmented { packet, .. }
            | Event::Hook { packet, .. }
            | Event::Forward { packet }
            | Event::Delivered { packet, .. } => look(packet),
            _ => {}
        }
    }
}

fn look(packet: &Packet) {
    let all = packet.mac().len().max(packet.network().len()).max(packet.transport().len());
    assert!(packet.len() <= packet.true_size() && all <= packet.true_size());
}

fn small_limits(config: &mut Config) {
    config.ipv4.reassembly.high_threshold = 32 << 10;
    config.ipv4.reassembly.max_fragments = 64;
    config.ipv4.exceptions.capacity = 4;
    config.ipv4.udp_mem = 16 << 10;
    config.ipv4.max_routes = 32;
    config.ipv4.max_addresses = 4;
    config.icmp.redirects.senders = 4;
    config.icmp.rate_limit.hosts = 8;
    config.neigh.gc_thresh1 = 2;
    config.neigh.gc_thresh2 = 4;
    config.neigh.gc_thresh3 = 8;
    config.neigh.max_permanent = 4;
    config.neigh.unres_qlen = 3;
    config.neigh.unres_qlen_bytes = 16 << 10;
    config.core.rmem_default = 8 << 10;
    config.core.max_error_queue = 3;
    config.core.max_sockets = 4;
    config.core.netdev_max_backlog = 8;
    config.core.tx_queue_len = 16;
    config.core.netdev_budget = 4;
    config.core.pool_small = 8;
    config.core.pool_large = 2;
}

impl World {
    fn new(setup: Setup) -> Self {
        let mut config = Config::default();
        if !setup.has(Setup::LARGE) {
            small_limits(&mut config);
        }
        config.ipv4.forward = setup.has(Setup::FORWARD);
        config.icmp.echo_ignore_broadcasts = !setup.has(Setup::BROADCAST_ECHO);
        if setup.has(Setup::NO_RATE_LIMIT) {
            config.icmp.rate_limit.mask = 0;
        }
        let mut stack = Stack::new(config, 7);
        let drops_seen = Arc::new(AtomicU64::new(0));
        stack.set_observer(Some(Box::new(Watcher(Arc::clone(&drops_seen)))));
        let now = Instant::from_secs(1);
        let mtus = setup.mtus();
        let links = [0, 1].map(|n| {
            let config =
                LinkConfig { mtu: mtus[n], ..LinkConfig::new(&format!("eth{n}"), MACS[n]) };
            let link = stack.add_link(config).expect("a new link");
            let settings = stack.interface_config(link).expect("the link");
            settings.conflict_detection = setup.has(Setup::CONFLICT_DETECTION);
            let cidr = IpCidr::new(OWN[n].into(), 24).expect("a prefix");
            stack.add_address(now, link, cidr).expect("an address");
            link
        });
        // Not there yet while addresses are probed for.
        let _ = stack.add_route(default_route());
        if setup.has(Setup::NEIGHBOURS) {
            for (link, host) in [(0, Ipv4Addr::new(10, 0, 0, 2)), (1, GATEWAY)] {
                let added = stack.add_neighbour(now, links[link], host.into(), mac_of(host));
                added.expect("a neighbour");
            }
        }
        World {
            before: stack.snapshot(),
            stack,
            links,
            now,
            cable: setup.has(Setup::CABLE),
            sockets: Vec::new(),
            hooks: Vec::new(),
            asleep: false,
            held: [false; 2],
            mtus,
            sent: None,
            batches: [None, None],
            crossing: Vec::new(),
            drops_seen,
            digest: DefaultHasher::new(),
            renamed: 0,
        }
    }

    fn act(&mut self, input: &mut Input<'_>) {
        match input.u8() % action::COUNT {
            action::FRAME => {
                let link = link(input);
                let frame = input.counted();
                self.receive(link, frame);
            }
            action::MENDED_FRAME => {
                let link = link(input);
                let mut frame = input.counted().to_vec();
                frames::mend(&mut frame, link);
                self.receive(link, &frame);
            }
            action::PACKET => {
                let link = link(input);
                let frame = frames::packet(input, link);
                self.receive(link, &frame);
            }
            action::ARP => {
                let link = link(input);
                let frame = frames::arp(input, link);
                self.receive(link, &frame);
            }
            action::ANSWER => {
                if let Some((link, sent)) = &self.sent
                    && let (link, Some(frame)) = (*link, frames::answer(sent))
                {
                    self.receive(link, &frame);
                }
            }
            action::ERROR => {
                let (message, offender) = (frames::error_message(input), address(input));
                if let Some((link, sent)) = &self.sent
                    && let (link, Some(frame)) = (*link, frames::error(sent, message, offender))
                {
                    self.receive(link, &frame);
                }
            }
            action::WAIT => {
                let millis = u64::from(input.u8()) << (input.u8() % 14);
                self.wait(Duration::from_millis(millis));
            }
            action::FLOOD => {
                for frame in frames::flood(input) {
                    self.receive(0, &frame);
                }
            }
            action::FRAGMENTS => {
                for frame in frames::fragments(input) {
                    self.receive(0, &frame);
                }
            }
            action::OPEN => self.open(input),
            action::SEND => self.send(input),
            action::RECEIVE => self.drain_socket(input),
            action::OPTIONS => self.socket_options(input),
            action::NAME => self.name_socket(input),
            action::LINK => self.change_link(input),
            action::INTERFACE => self.change_interface(input),
            action::ADDRESS => self.change_address(input),
            action::ROUTE => self.change_route(input),
            action::NEIGHBOUR => self.change_neighbour(input),
            action::HOOK => self.change_hooks(input),
            action::HOLD => match input.u8() {
                n @ 0..128 => self.held[usize::from(n & 1)] = input.bool(),
                _ => self.asleep = input.bool(),
            },
            action::STACK => self.change_stack(input),
            action::BATCH => {
                let link = link(input);
                self.deliver_batch(link);
                self.batches[link] = input.bool().then(Vec::new);
            }
            action::GROUPS => self.change_groups(input),
            _ => {
                let link = link(input);
                let mut frame = self.stack.take_buffer(0);
                frame.put_slice(input.counted());
                frame.meta.mark = CRAFTED;
                self.mtus[link] = self.mtus[link].max(frame.len());
                self.stack.send_frame(self.now, self.links[link], frame);
            }
        }
    }

    /// A frame arrives, in a buffer such as a device would take.
    fn receive(&mut self, link: usize, frame: &[u8]) {
        let mut packet = self.stack.take_buffer(frame.len());
        packet.put_slice(frame);
        match &mut self.batches[link] {
            Some(batch) => {
                batch.push(packet);
                if batch.len() == MAX_BATCH {
                    self.deliver_batch(link);
                }
            }
            None => self.stack.handle_frame(self.now, self.links[link], packet),
        }
    }

    /// What has gathered for a link arrives.
    fn deliver_batch(&mut self, link: usize) {
        if let Some(batch) = self.batches[link].take() {
            self.stack.handle_frames(self.now, self.links[link], batch);
        }
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        if self.asleep {
            self.now = end;
            return;
        }
        for _ in 0..MAX_TIMEOUTS {
            self.settle();
            match self.stack.poll_timeout() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("{MAX_TIMEOUTS} timeouts in {span:?}");
    }

    /// What happens when nothing arrives any more: all fragments are given up.
    fn end(&mut self) {
        (self.asleep, self.held) = (false, [false; 2]);
        for link in [0, 1] {
            self.deliver_batch(link);
        }
        let patience = self.stack.config().ipv4.reassembly.timeout;
        self.wait(patience + Duration::from_secs(1));
        self.settle();
        self.check();
        assert_eq!(self.stack.reassembly_memory(), 0, "memory of fragments that are gone");
    }

    /// Takes what there is to send, runs what is due, and so on until nothing is left to do now.
    fn settle(&mut self) {
        if self.asleep {
            return;
        }
        let mut crossings = 0;
        for _ in 0..MAX_ROUNDS + MAX_CROSSINGS {
            self.transmit();
            let crossing = std::mem::take(&mut self.crossing);
            for (from, frame) in crossing {
                crossings += 1;
                if crossings <= MAX_CROSSINGS {
                    self.receive(1 - from, &frame);
                }
            }
            match self.stack.poll_timeout() {
                Some(at) if at <= self.now => self.stack.handle_timeout(self.now),
                _ if self.crossing.is_empty() && self.is_drained() => return,
                _ => {}
            }
        }
        assert!(crossings > 0, "there is always something to do at {:?}", self.now);
    }

    fn is_drained(&mut self) -> bool {
        self.transmit();
        self.crossing.is_empty()
    }

    /// Takes frames from the links whose devices take any, and checks them.
    fn transmit(&mut self) {
        let limit = self.stack.config().core.tx_queue_len;
        for (link, mac) in MACS.into_iter().enumerate() {
            if self.held[link] {
                continue;
            }
            let mut taken = 0;
            while let Some(packet) = self.stack.poll_transmit(self.now, self.links[link]) {
                taken += 1;
                check::frame(&packet, mac, self.mtus[link]);
                (self.now, link, packet.bytes()).hash(&mut self.digest);
                if self.cable {
                    self.crossing.push((link, packet.bytes().to_vec()));
                }
                self.sent = Some((link, packet.bytes().to_vec()));
                self.stack.recycle(packet);
            }
            assert!(taken <= limit, "{taken} frames in a queue for {limit}");
        }
    }

    fn check(&mut self) {
        let config = self.stack.config().clone();
        let memory = self.stack.reassembly_memory();
        let threshold = config.ipv4.reassembly.high_threshold;
        assert!(memory <= threshold + LARGEST_PACKET, "{memory} bytes of fragments");
        // Those set by hand have a limit of their own.
        let (permanent, learnt): (Vec<_>, Vec<_>) =
            self.stack.neighbours().partition(|entry| entry.state == NudState::Permanent);
        let limits = [config.neigh.max_permanent, config.neigh.gc_thresh3];
        for (count, limit) in [permanent.len(), learnt.len()].into_iter().zip(limits) {
            assert!(count <= limit, "{count} neighbours where {limit} may be");
        }
        let routes = self.stack.routes().count();
        assert!(routes <= config.ipv4.max_routes, "{routes} routes");
        let (small, large) = self.stack.pool().free();
        // There are five sizes of larger buffers.
        assert!(small <= config.core.pool_small && large <= 5 * config.core.pool_large);
        for interface in self.stack.interfaces().iter() {
            assert!(interface.addresses().len() <= config.ipv4.max_addresses);
        }
        self.check_counters();
        self.stack.poll_timeout().hash(&mut self.digest);
    }

    fn check_counters(&mut self) {
        let after = self.stack.snapshot();
        let before = std::mem::replace(&mut self.before, after);
        let after = &self.before;
        let pairs = before
            .ip
            .iter()
            .zip(after.ip.iter())
            .chain(before.icmp.iter().zip(after.icmp.iter()))
            .chain(before.igmp.iter().zip(after.igmp.iter()))
            .chain(before.arp.iter().zip(after.arp.iter()))
            .chain(before.udp.iter().zip(after.udp.iter()));
        for ((name, old), (_, new)) in pairs {
            assert!(old <= new, "{name} went from {old} to {new}");
        }
        for (_, name, old) in &before.links {
            let Some((_, _, new)) = after.links.iter().find(|(_, other, _)| other == name) else {
                continue;
            };
            for ((counter, old), (_, new)) in old.iter().zip(new.iter()) {
                assert!(old <= new, "{counter} of {name} went from {old} to {new}");
            }
        }
        for (reason, old) in &before.drops {
            assert!(*old <= after.dropped(*reason), "{reason:?} went back");
        }
        let dropped: u64 = after.drops.iter().map(|(_, count)| count).sum();
        assert_eq!(dropped, self.drops_seen.load(Ordering::Relaxed), "drops counted and seen");
    }

    fn socket(&self, input: &mut Input<'_>) -> Option<SocketId> {
        let n = usize::from(input.u8());
        self.sockets.get(n.checked_rem(self.sockets.len())?).copied()
    }

    fn open(&mut self, input: &mut Input<'_>) {
        if self.sockets.len() >= MAX_HANDLES {
            return;
        }
        let kind = input.u8();
        let opened = match kind % 5 {
            0 => self.stack.open_ping(None),
            1 => self.stack.open_ping(Some(u16::from(kind / 5))),
            2 => self.stack.open_raw(Protocol::ICMP),
            3 => self.stack.open_raw(Protocol(input.u8())),
            _ => self.stack.open_udp(),
        };
        let Ok(socket) = opened else { return };
        self.sockets.push(socket);
        let options = self.stack.socket_options(socket).expect("it is open");
        if matches!(kind % 5, 2 | 3) {
            options.mark = CRAFTED;
        }
        options.receive_errors = kind & 128 != 0;
        options.broadcast = kind & 64 != 0;
    }

    fn send(&mut self, input: &mut Input<'_>) {
        let Some(socket) = self.socket(input) else { return };
        let dst = socket_address(input);
        let mut data = vec![8, 0, 0, 0, 0, 0, 0, input.u8()];
        if matches!(self.stack.socket_kind(socket), Ok(SocketKind::Raw { .. })) {
            data = input.counted().to_vec();
        }
        data.resize(data.len() + usize::from(input.u16()), 0);
        let sent = match input.u8() % 4 {
            0 => self.stack.send(self.now, socket, &data).map(|_| ()),
            _ => self.stack.send_to(self.now, socket, dst, &data),
        };
        sent.hash(&mut self.digest);
    }

    fn drain_socket(&mut self, input: &mut Input<'_>) {
        let Some(socket) = self.socket(input) else { return };
        let mut bytes = 0;
        while let Some(packet) = self.stack.recv(socket) {
            bytes += packet.true_size();
            look(&packet);
            packet.bytes().hash(&mut self.digest);
            self.stack.recycle(packet);
        }
        let limit = self.stack.socket_options(socket).expect("it is open").receive_buffer;
        assert!(bytes < limit.max(1) + LARGEST_PACKET, "{bytes} bytes in a queue of {limit}");
        let mut errors = 0;
        while let Some(report) = self.stack.recv_error(socket) {
            errors += 1;
            look(&report.packet);
            (report.icmp_type, report.code, report.info).hash(&mut self.digest);
            self.stack.recycle(report.packet);
        }
        assert!(errors <= self.stack.config().core.max_error_queue);
        assert!(!self.stack.is_readable(socket));
        let taken = self.stack.take_error(socket).expect("it is open");
        taken.hash(&mut self.digest);
        assert_eq!(self.stack.readiness(socket), Readiness::WRITABLE);
    }

    fn socket_options(&mut self, input: &mut Input<'_>) {
        let Some(socket) = self.socket(input) else { return };
        let links = self.links;
        let options = self.stack.socket_options(socket).expect("it is open");
        match input.u8() % 14 {
            0 => options.ttl = Some(input.u8().max(1)),
            1 => options.multicast_ttl = input.u8(),
            2 => options.tos = input.u8(),
            3 => {
                options.pmtu_discovery = match input.u8() % 4 {
                    0 => PmtuDiscovery::Dont,
                    1 => PmtuDiscovery::Want,
                    2 => PmtuDiscovery::Do,
                    _ => PmtuDiscovery::Probe,
                };
            }
            4 => options.bind_link = input.bool().then(|| links[link(input)]),
            5 => {
                let len = usize::from(input.u8() % 44);
                options.ip_options = input.bytes(len).to_vec();
            }
            6 => options.header_included = options.mark == CRAFTED && input.bool(),
            7 => options.multicast_loop = input.bool(),
            8 => options.icmp_filter = input.u32(),
            9 => options.reuse_address = input.bool(),
            10 => options.reuse_port = input.bool(),
            11 => options.multicast_all = input.bool(),
            12 => options.multicast_link = input.bool().then(|| links[link(input)]),
            _ => options.receive_errors = input.bool(),
        }
    }

    fn name_socket(&mut self, input: &mut Input<'_>) {
        let Some(socket) = self.socket(input) else { return };
        // Refusals are part of it.
        let _ = match input.u8() % 4 {
            0 | 1 => self.stack.bind(socket, socket_address(input)),
            2 => self.stack.connect(self.now, socket, socket_address(input)),
            _ => {
                self.sockets.retain(|other| *other != socket);
                self.stack.close(self.now, socket)
            }
        };
    }

    fn change_groups(&mut self, input: &mut Input<'_>) {
        let Some(socket) = self.socket(input) else { return };
        let kind = input.u8();
        let group = IpAddr::V4(match input.u8() {
            n @ 0..240 => Ipv4Addr::new(239, 1, 1, n % 4),
            _ => address(input),
        });
        let link = (kind & 128 != 0).then(|| self.links[link(input)]);
        let source = IpAddr::V4(address(input));
        let (stack, now) = (&mut self.stack, self.now);
        // Refusals are part of it.
        let _ = match kind % 8 {
            0 | 1 => stack.join_multicast(now, socket, group, link),
            2 => stack.leave_multicast(now, socket, group, link),
            3 => stack.join_multicast_source(now, socket, group, source, link),
            4 => stack.leave_multicast_source(now, socket, group, source, link),
            5 => stack.block_multicast_source(now, socket, group, source, link),
            6 => stack.unblock_multicast_source(now, socket, group, source, link),
            _ => {
                let mode = if input.bool() { FilterMode::Include } else { FilterMode::Exclude };
                let sources = (0..input.u8() % 4).map(|_| address(input)).collect();
                let filter = SourceFilter { mode, sources };
                stack.set_multicast_filter(now, socket, group, link, filter)
            }
        };
        let held = stack.multicast_memberships(socket).expect("it is open").count();
        assert!(held <= stack.config().igmp.max_memberships);
    }

    fn change_link(&mut self, input: &mut Input<'_>) {
        let n = link(input);
        let id = self.links[n];
        match input.u8() % 6 {
            0 => self.stack.set_link_up(self.now, id, false).expect("the link"),
            1 => self.stack.set_link_up(self.now, id, true).expect("the link"),
            2 => {
                let mtu = usize::from(input.u16());
                if self.stack.set_mtu(id, mtu).is_ok() {
                    self.mtus[n] = self.mtus[n].max(mtu);
                }
            }
            3 => self.stack.set_promiscuous(id, input.bool()).expect("the link"),
            4 => {
                let group = Ipv4Addr::new(239, 1, 1, input.u8() % 4);
                let joined = self.stack.join_group(self.now, id, group);
                joined.expect("a group");
            }
            _ => {
                self.stack.remove_link(self.now, id).expect("the link");
                self.renamed += 1;
                let name = format!("new{}", self.renamed);
                let added = self.stack.add_link(LinkConfig::new(&name, MACS[n]));
                self.links[n] = added.expect("room for a link");
                self.mtus[n] = self.mtus[n].max(1500);
            }
        }
    }

    fn change_interface(&mut self, input: &mut Input<'_>) {
        let id = self.links[link(input)];
        let flags = input.u16();
        let settings = self.stack.interface_config(id).expect("the link");
        let flag = |n: u32| flags & 1 << n != 0;
        settings.proxy_arp = flag(0);
        settings.accept_local = flag(1);
        settings.route_localnet = flag(2);
        settings.accept_redirects = flag(3);
        settings.send_redirects = flag(4);
        settings.accept_source_route = flag(5);
        settings.conflict_detection = flag(6);
        settings.rp_filter = match flags >> 8 & 3 {
            0 | 1 => ReversePathFilter::Off,
            2 => ReversePathFilter::Strict,
            _ => ReversePathFilter::Loose,
        };
    }

    fn change_address(&mut self, input: &mut Input<'_>) {
        let id = if input.u8() < 224 { self.links[link(input)] } else { LinkId::LOOPBACK };
        let addr = IpAddr::V4(address(input));
        let prefix_len = input.u8() % 33;
        // Refusals are part of it.
        let _ = match input.bool() {
            true => self.stack.remove_address(self.now, id, addr),
            false => match IpCidr::new(addr, prefix_len) {
                Some(cidr) => self.stack.add_address(self.now, id, cidr),
                None => Ok(()),
            },
        };
    }

    fn change_route(&mut self, input: &mut Input<'_>) {
        let bits = address(input).to_bits();
        let prefix_len = input.u8() % 33;
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0);
        let network = IpAddr::V4(Ipv4Addr::from_bits(bits & mask));
        let Some(destination) = IpCidr::new(network, prefix_len) else { return };
        let route = match input.u8() % 8 {
            0 => Route::direct(destination, self.links[link(input)]),
            1 | 2 => Route::via(destination, address(input).into()),
            3 => Route::blackhole(destination),
            4 => Route::unreachable(destination),
            5 => Route::prohibit(destination),
            6 => {
                let _ = self.stack.add_route(default_route());
                return;
            }
            _ => {
                let _ = self.stack.delete_route(&RouteSelector::to(destination));
                return;
            }
        };
        let route = route.with_metric(u32::from(input.u8() % 4));
        let mtu = input.u16();
        let _ = self.stack.add_route(if mtu >= 68 { route.with_mtu(mtu) } else { route });
    }

    fn change_neighbour(&mut self, input: &mut Input<'_>) {
        let id = self.links[link(input)];
        let addr = address(input);
        match input.u8() % 4 {
            0 => {
                let _ = self.stack.add_neighbour(self.now, id, addr.into(), mac_of(addr));
            }
            1 | 2 => {
                let _ = self.stack.delete_neighbour(id, addr.into());
            }
            _ => self.stack.confirm_neighbour(self.now, addr.into()),
        }
    }

    fn change_hooks(&mut self, input: &mut Input<'_>) {
        let (points, kind) = (input.u8(), input.u8());
        if self.hooks.len() >= MAX_HANDLES || kind == 0 {
            if let Some(hook) = self.hooks.pop() {
                self.stack.unregister_hook(hook).expect("it was registered");
            }
            return;
        }
        let points: Vec<_> = HookPoint::ALL
            .into_iter()
            .enumerate()
            .filter(|(n, _)| points & 1 << n != 0)
            .map(|(n, point)| (point, n as i32))
            .collect();
        let defragment = kind & 128 != 0;
        let hook = FuzzHook { kind, every: input.u8() % 8, defragment, seen: 0 };
        self.hooks.push(self.stack.register_hook(&points, Box::new(hook)));
    }

    fn change_stack(&mut self, input: &mut Input<'_>) {
        match input.u8() % 6 {
            0 => self.stack.set_forwarding(input.bool()),
            1 => self.cable = input.bool(),
            2 => {
                let unix = Duration::from_secs(u64::from(input.u32()));
                self.stack.set_wall_clock(self.now, unix);
            }
            3 => {
                let mtu = self.stack.path_mtu(self.now, address(input).into());
                mtu.hash(&mut self.digest);
            }
            4 => self.stack.source_for(address(input).into()).hash(&mut self.digest),
            // For no reason.
            _ => self.stack.handle_timeout(self.now),
        }
    }
}

fn link(input: &mut Input<'_>) -> usize {
    usize::from(input.u8() & 1)
}

fn default_route() -> Route {
    let everywhere = IpCidr::new(Ipv4Addr::UNSPECIFIED.into(), 0).expect("a prefix");
    Route::via(everywhere, GATEWAY.into())
}
