//! The stack: one network namespace, driven from outside.
//!
//! Everything below is called from here and nothing below calls back: links give packets to ARP
//! and IPv4, these leave what is to be sent in queues, and [`Stack::flush`] carries it on to the
//! neighbour cache and the links.

mod configure;
mod multicast;
mod snapshot;
mod sockets;
mod tcp;
#[cfg(test)]
mod tests;
mod transmit;
mod udp;

pub use configure::ConfigError;
pub use snapshot::{
    LinkSnapshot, NeighbourSnapshot, RoutePage, SocketCursor, SocketPage, SocketQuery,
    SocketSnapshot, SocketTimer, SocketTimerKind,
};
pub use tcp::Shutdown;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::arp::ArpLayer;
use crate::config::Config;
use crate::core::Core;
use crate::event::{Event, Observer};
use crate::filter::hook::{Hook, HookId, HookPoint};
use crate::interface::LinkKind;
use crate::ipv4::{Ipv4Layer, Looped};
use crate::link::coalesce::{Coalescer, Ready};
use crate::link::{self, Link, LinkMap};
use crate::neigh::NeighbourTable;
use crate::packet::{ChecksumState, LinkId, Metadata, Packet};
use crate::rng::Rng;
use crate::stats::{DropReason, Snapshot};
use crate::time::{Duration, Instant};
use crate::wire::ethernet::EtherType;

/// A TCP/IP stack. See the [crate] for how it is driven.
#[derive(Debug)]
pub struct Stack {
    core: Core,
    ipv4: Ipv4Layer,
    arp: ArpLayer,
    neighbours: NeighbourTable,
    /// One for each of `core.interfaces`.
    links: LinkMap<Link>,
    /// Holds nothing between two calls.
    coalescer: Coalescer,
    /// Nor does this: frames that are dealt with next.
    ahead: Vec<Packet>,
}

impl Stack {
    /// A stack with nothing but its loopback link `lo`, which is up with 127.0.0.1/8. All its
    /// random numbers come from `seed`; a seed that others can guess makes them guessable too.
    pub fn new(mut config: Config, seed: u64) -> Self {
        config.clamp();
        let mut rng = Rng::new(seed);
        let neighbours = NeighbourTable::new(config.neigh.clone(), Rng::new(rng.next_u64()));
        let ipv4 = Ipv4Layer::new(&config, &mut rng);
        let mut stack = Stack {
            core: Core::new(config, rng),
            ipv4,
            arp: ArpLayer::default(),
            neighbours,
            links: LinkMap::default(),
            coalescer: Coalescer::default(),
            ahead: Vec::new(),
        };
        stack.add_loopback();
        stack
    }

    /// Takes a frame that a device received: its bytes begin with the Ethernet header, on a link
    /// without Ethernet ([`LinkKind::Ip`]) with the IP header. Of its metadata only checksum state and segmentation count; the rest is set here.
    pub fn handle_frame(&mut self, now: Instant, link: LinkId, mut packet: Packet) {
        self.advance(now);
        packet.meta = Metadata {
            link_in: Some(link),
            timestamp: now,
            checksum: packet.meta.checksum,
            gso: packet.meta.gso,
            ..Metadata::default()
        };
        self.core.see(|| Event::LinkIn { link, packet: &packet });
        match self.link_input(link, &mut packet) {
            Ok(EtherType::IPV4) => self.ipv4.input(&mut self.core, packet),
            Ok(EtherType::ARP) => {
                self.arp.input(&mut self.core, &mut self.neighbours, link, packet);
                self.conclude_conflicts();
            }
            Ok(_) => {
                if let Some(link) = self.link_mut(link) {
                    link.counters.rx_nohandler += 1;
                }
                self.core.discard(packet, DropReason::UnhandledEtherType);
            }
            Err(reason) => self.core.discard(packet, reason),
        }
        self.flush();
    }

    /// Takes frames that a device received together, in order; each as
    /// [`handle_frame`](Self::handle_frame) has it. TCP segments of one flow that follow on one
    /// another are put together to large ones first, which costs a copy and saves the way through the
    /// stack (Linux GRO): observers and hooks see one packet, with [`meta.gso`](Metadata::gso) set.
    /// What is forwarded leaves as it came. The order within a flow stays; a flow may overtake others.
    pub fn handle_frames(
        &mut self,
        now: Instant,
        link: LinkId,
        frames: impl IntoIterator<Item = Packet>,
    ) {
        let mut frames = frames.into_iter();
        let Some(first) = frames.next() else { return };
        // Alone there is nothing to join it with.
        let Some(second) = frames.next() else { return self.handle_frame(now, link, first) };
        let kind = self.core.interfaces.get(link).map(|interface| interface.kind);
        let ethernet = kind != Some(LinkKind::Ip);
        let mut coalescer = core::mem::take(&mut self.coalescer);
        let mut frames = [first, second].into_iter().chain(frames);
        let mut ahead = core::mem::take(&mut self.ahead);
        loop {
            ahead.extend(frames.by_ref().take(crate::tcp::LOOK_AHEAD));
            if ahead.is_empty() {
                break;
            }
            crate::tcp::look_ahead(&self.core, &ahead, ethernet);
            let mut batch = ahead.drain(..);
            while let Some(frame) = batch.next() {
                let follow = batch.len() + frames.size_hint().0;
                coalescer.push(frame, ethernet, follow, &mut self.core.pool);
                while let Some(ready) = coalescer.poll() {
                    self.handle_ready(now, link, ready);
                }
            }
        }
        self.ahead = ahead;
        coalescer.flush(&mut self.core.pool);
        while let Some(ready) = coalescer.poll() {
            self.handle_ready(now, link, ready);
        }
        self.coalescer = coalescer;
    }

    /// Runs the timers that are due, and delivers what this host has sent to itself.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        self.neighbours.handle_timeout(now);
        self.arp.handle_timeout(&mut self.core, now);
        self.conclude_conflicts();
        self.ipv4.handle_timeout(&mut self.core, now);
        crate::tcp::handle_timeout(&mut self.core);
        self.core.exceptions.sweep(now);
        self.flush();
        for _ in 0..self.core.config.core.netdev_budget {
            let Some(looped) = self.ipv4.poll_backlog() else { break };
            self.loop_back(looped);
            self.flush();
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ipv4.has_backlog() {
            return Some(self.core.now);
        }
        let timeouts = [
            self.neighbours.poll_timeout(),
            self.arp.poll_timeout(),
            self.ipv4.poll_timeout(),
            self.core.tcp.poll_timeout(),
            self.core.exceptions.next_deadline(),
        ];
        timeouts.into_iter().flatten().min()
    }

    /// The next frame for the device of `link`; its bytes begin with the Ethernet header, on a link
    /// without Ethernet with the IP header. When the device has sent it, [`recycle`](Self::recycle) it.
    pub fn poll_transmit(&mut self, now: Instant, link: LinkId) -> Option<Packet> {
        self.advance(now);
        let frame = self.link_mut(link)?.queue.pop_front()?;
        self.core.tx_backlog = self.core.tx_backlog.saturating_sub(1);
        self.core.make_room();
        self.resume_tcp();
        Some(frame)
    }

    /// How many frames wait for the devices of all links.
    #[inline]
    pub fn transmit_backlog(&self) -> usize {
        self.core.tx_backlog
    }

    /// Whether a frame waits for the device of `link`.
    pub fn has_transmit(&self, link: LinkId) -> bool {
        self.links.get(link).is_some_and(|link| !link.queue.is_empty())
    }

    /// An empty packet with room for `capacity` bytes, from the stack's pool.
    pub fn take_buffer(&mut self, capacity: usize) -> Packet {
        self.core.pool.take(capacity)
    }

    /// Takes a packet that is done with, to use its buffer again.
    pub fn recycle(&mut self, packet: Packet) {
        self.core.pool.put(packet);
    }

    /// The stack's free buffers, for a device to read into.
    pub fn pool(&mut self) -> &mut crate::packet::PacketPool {
        &mut self.core.pool
    }

    /// Settings in force.
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    /// Switches forwarding on or off (`net.ipv4.ip_forward`).
    pub fn set_forwarding(&mut self, forward: bool) {
        self.core.config.ipv4.forward = forward;
    }

    /// Tells the stack the time of day, for ICMP and IP timestamps: at `now` it was `unix` after
    /// 1970-01-01 00:00 UTC.
    pub fn set_wall_clock(&mut self, now: Instant, unix: Duration) {
        self.core.wall_clock = Some(unix.saturating_sub(now - Instant::ZERO));
    }

    /// Lets `observer` see every event from now on; `None` ends it. Returns the one before.
    pub fn set_observer(
        &mut self,
        observer: Option<Box<dyn Observer + Send>>,
    ) -> Option<Box<dyn Observer + Send>> {
        core::mem::replace(&mut self.core.observers.0, observer)
    }

    /// Registers a hook at some points, each with its priority (see
    /// [`priority`](crate::filter::hook::priority)).
    pub fn register_hook(
        &mut self,
        points: &[(HookPoint, i32)],
        hook: Box<dyn Hook + Send>,
    ) -> HookId {
        self.core.hooks.register(points, hook)
    }

    /// Takes a hook out again and returns it.
    pub fn unregister_hook(&mut self, id: HookId) -> Option<Box<dyn Hook + Send>> {
        self.core.hooks.unregister(id)
    }

    /// A copy of every counter.
    pub fn snapshot(&self) -> Snapshot {
        let mut arp = self.core.stats.arp;
        arp.res_failed = self.neighbours.res_failed;
        arp.unres_discards = self.neighbours.unres_discards;
        arp.table_fulls = self.neighbours.table_fulls;
        let links = self.core.interfaces.iter().filter_map(|interface| {
            let link = self.links.get(interface.id)?;
            Some((interface.id, interface.name.clone(), link.counters))
        });
        let drops = DropReason::ALL.iter().map(|reason| (*reason, self.core.stats.drops(*reason)));
        Snapshot {
            ip: self.core.stats.ip,
            icmp: self.core.stats.icmp,
            igmp: self.core.stats.igmp,
            arp,
            udp: self.core.stats.udp,
            tcp: self.core.stats.tcp,
            tcp_ext: self.core.stats.tcp_ext,
            links: links.collect(),
            drops: drops.filter(|(_, count)| *count > 0).collect(),
        }
    }

    /// Bytes of buffer that incomplete datagrams take.
    pub fn reassembly_memory(&self) -> usize {
        self.ipv4.reassembly_memory()
    }

    /// Takes what may be several frames in one; each counts as received.
    fn handle_ready(&mut self, now: Instant, id: LinkId, ready: Ready) {
        let up = self.core.interfaces.get(id).is_some_and(|interface| interface.up);
        if let Some(link) = self.link_mut(id).filter(|_| up) {
            link.counters.rx_packets += ready.joined;
            link.counters.rx_bytes += ready.joined_bytes;
        }
        self.handle_frame(now, id, ready.packet);
    }

    fn advance(&mut self, now: Instant) {
        self.core.now = self.core.now.max(now);
    }

    fn link_input(&mut self, link: LinkId, packet: &mut Packet) -> Result<EtherType, DropReason> {
        let interface = self.core.interfaces.get(link).ok_or(DropReason::LinkDown)?;
        let (kind, up) = (interface.kind, interface.up);
        let link = self.link_mut(link).ok_or(DropReason::LinkDown)?;
        if !up {
            link.counters.rx_dropped += 1;
            return Err(DropReason::LinkDown);
        }
        match kind {
            LinkKind::Ethernet(mac) => link::input::input(link, mac, packet),
            LinkKind::Ip => link::input::input_ip(link, packet),
            // No device feeds the loopback.
            LinkKind::Loopback => Err(DropReason::LinkDown),
        }
    }

    /// Receives a packet from the loopback.
    fn loop_back(&mut self, mut looped: Looped) {
        let packet = &mut looped.packet;
        packet.meta.timestamp = self.core.now;
        packet.meta.link_out = None;
        // What never was on a wire cannot have been damaged.
        if packet.meta.checksum == ChecksumState::None {
            packet.meta.checksum = ChecksumState::Unnecessary;
        }
        let len = packet.len() as u64;
        if let Some(lo) = self.link_mut(LinkId::LOOPBACK) {
            lo.counters.rx_packets += 1;
            lo.counters.rx_bytes += len;
        }
        let packet = &looped.packet;
        self.core.see(|| Event::LinkIn { link: LinkId::LOOPBACK, packet });
        self.ipv4.loop_back(&mut self.core, looped);
    }

    fn link_mut(&mut self, link: LinkId) -> Option<&mut Link> {
        self.links.get_mut(link)
    }
}
