//! TCP segments that arrive together, put together to one large segment (Linux
//! `dev_gro_receive`, `inet_gro_receive`, `tcp_gro_receive`).
//!
//! A frame joins the one held of its flow when nothing but what cutting makes anew differs, so
//! that [`segment`](crate::packet::segment::segment) gives back the very bytes that came. What may
//! not join ends what is held and follows it: the order within a flow stays. Frames of one batch
//! are held at most until its end.
//!
//! Where two spellings of one checksum exist (RFC 1624 §3), or urgent pointers differ, Linux joins
//! and does not give back the same bytes; here such frames stay alone.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use crate::packet::{ChecksumState, Gso, GsoKind, Packet, PacketPool};
use crate::wire::ethernet::{self, EtherType};
use crate::wire::ipv4::{self, Ipv4, Protocol, pseudo_header_sum};
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{self, Tcp, TcpFlags};
use crate::wire::vlan;

#[cfg(test)]
mod tests;

/// Flows are spread over so many lists (Linux `GRO_HASH_BUCKETS`).
const BUCKETS: usize = 8;
/// So many flows are held in each; one more, and the oldest goes on (Linux `MAX_GRO_SKBS`).
const MAX_HELD: usize = 8;
/// Tags that are looked behind; frames with more stay alone.
const MAX_TAGS: usize = 2;
/// What only the last segment may have: whoever has it ends the large segment.
const LAST_ONLY: TcpFlags = TcpFlags::FIN.union(TcpFlags::PSH);
/// What no part of a large segment may have.
const ALONE: TcpFlags =
    TcpFlags::SYN.union(TcpFlags::RST).union(TcpFlags::URG).union(TcpFlags::CWR);

/// What is held of one batch of frames.
#[derive(Debug, Default)]
pub(crate) struct Coalescer {
    /// The oldest of each first.
    buckets: [Vec<Held>; BUCKETS],
    /// Frames that are ready, in order.
    ready: VecDeque<Ready>,
    /// Empty lists for [`Held::frames`], to use again; at most one for each flow held.
    spare: Vec<Vec<Packet>>,
}

/// A frame to go on with.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) packet: Packet,
    /// How many more frames were put into it, and how many bytes more they had on the wire.
    pub(crate) joined: u64,
    pub(crate) joined_bytes: u64,
}

/// Whose segments these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    src: Ipv4Addr,
    dst: Ipv4Addr,
    ports: (u16, u16),
}

/// The beginning of a flow's large segment.
#[derive(Debug)]
struct Held {
    key: Key,
    first: Layout,
    /// Never empty. Behind the first only the payload counts.
    frames: Vec<Packet>,
    /// Payload bytes so far.
    payload: usize,
    /// Flags of the last frame that the whole gets.
    last_flags: TcpFlags,
    /// Decided by the second frame.
    fixed_id: bool,
}

/// Where things are in a frame that may be joined with others.
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// Bytes of link-layer header.
    link: usize,
    /// Bytes of all headers.
    headers: usize,
    payload: usize,
    id: u16,
    seq: SeqNumber,
    flags: TcpFlags,
}

/// What a frame is to the coalescer.
enum Class {
    /// Nothing of TCP over IPv4.
    Foreign,
    /// TCP, but it stays alone; it ends what is held of its flow.
    Alone(Key),
    /// TCP, but of which flow is not to be seen: a fragment, a packet with options or broken.
    Obscure(Ipv4Addr, Ipv4Addr),
    Joinable(Key, Layout),
}

impl Coalescer {
    /// Takes a frame in, whose bytes begin with an Ethernet header or, if not `ethernet`, with
    /// that of IPv4.
    pub(crate) fn push(&mut self, mut frame: Packet, ethernet: bool, pool: &mut PacketPool) {
        let (key, layout) = match classify(&frame, ethernet) {
            Class::Foreign => return self.pass(frame),
            Class::Alone(key) => {
                self.end(key, pool);
                return self.pass(frame);
            }
            Class::Obscure(src, dst) => {
                self.end_between(src, dst, pool);
                return self.pass(frame);
            }
            Class::Joinable(key, layout) => (key, layout),
        };
        if !verify(&mut frame, &layout) {
            self.end(key, pool);
            return self.pass(frame);
        }
        let bucket = bucket_of(key);
        let held = &mut self.buckets[bucket];
        if let Some(at) = held.iter().position(|held| held.key == key) {
            if held[at].join(&layout, frame.bytes()) {
                let full = layout.payload < held[at].first.payload;
                held[at].frames.push(frame);
                if full || layout.flags.intersects(LAST_ONLY) {
                    self.end(key, pool);
                }
                return;
            }
            self.end(key, pool);
        }
        if layout.flags.intersects(LAST_ONLY) {
            return self.pass(frame);
        }
        if self.buckets[bucket].len() >= MAX_HELD {
            let oldest = self.buckets[bucket].remove(0);
            self.finish(oldest, pool);
        }
        let mut frames = self.spare.pop().unwrap_or_default();
        frames.push(frame);
        self.buckets[bucket].push(Held {
            key,
            first: layout,
            frames,
            payload: layout.payload,
            last_flags: TcpFlags::empty(),
            fixed_id: false,
        });
    }

    /// Ends the batch: nothing is held any more.
    pub(crate) fn flush(&mut self, pool: &mut PacketPool) {
        for bucket in 0..BUCKETS {
            let mut list = core::mem::take(&mut self.buckets[bucket]);
            for held in list.drain(..) {
                self.finish(held, pool);
            }
            self.buckets[bucket] = list;
        }
    }

    /// The next frame to go on with.
    pub(crate) fn poll(&mut self) -> Option<Ready> {
        self.ready.pop_front()
    }

    fn pass(&mut self, packet: Packet) {
        self.ready.push_back(Ready { packet, joined: 0, joined_bytes: 0 });
    }

    /// Ends what is held of a flow.
    fn end(&mut self, key: Key, pool: &mut PacketPool) {
        let list = &mut self.buckets[bucket_of(key)];
        if let Some(at) = list.iter().position(|held| held.key == key) {
            let held = list.remove(at);
            self.finish(held, pool);
        }
    }

    /// Ends what is held of all flows between two hosts.
    fn end_between(&mut self, src: Ipv4Addr, dst: Ipv4Addr, pool: &mut PacketPool) {
        for bucket in 0..BUCKETS {
            let between = |held: &Held| (held.key.src, held.key.dst) == (src, dst);
            while let Some(at) = self.buckets[bucket].iter().position(between) {
                let held = self.buckets[bucket].remove(at);
                self.finish(held, pool);
            }
        }
    }

    /// Makes one frame of what is held.
    fn finish(&mut self, mut held: Held, pool: &mut PacketPool) {
        let joined = held.frames.len().saturating_sub(1);
        let joined_bytes = (joined * held.first.headers) as u64;
        if let Some(packet) = held.put_together(pool) {
            self.ready.push_back(Ready { packet, joined: joined as u64, joined_bytes });
        }
        if self.spare.len() < BUCKETS * MAX_HELD {
            self.spare.push(held.frames);
        }
    }
}

impl Held {
    /// Whether the frame goes on where this ends and differs in nothing else (the conditions of
    /// Linux `tcp_gro_receive`, `inet_gro_flush` and `skb_gro_receive`). If so, notes it.
    fn join(&mut self, next: &Layout, bytes: &[u8]) -> bool {
        let Some(first) = self.frames.first().map(|packet| packet.bytes()) else { return false };
        let same = |from: usize, to: usize| {
            first.get(from..to).is_some_and(|ours| bytes.get(from..to) == Some(ours))
        };
        let link = self.first.link;
        let transport = link + ipv4::HEADER_LEN;
        // RFC 791 §3.1: no packet is longer.
        let total_len = self.first.headers - link + self.payload + next.payload;
        let fits = next.payload <= self.first.payload && total_len <= ipv4::MAX_LEN;
        let alike = next.link == link
            && next.headers == self.first.headers
            // The link-layer header, version, header length and type of service with ECN.
            && same(0, link + 2)
            // DF, TTL and protocol; then the addresses.
            && same(link + 6, link + 10)
            && same(link + 12, transport + 4)
            // Acknowledgment; then window; then urgent pointer and options.
            && same(transport + 8, transport + 12)
            && same(transport + 14, transport + 16)
            && same(transport + 18, self.first.headers)
            && same_offset_and_flags(first, bytes, transport + 12);
        if !alike || !fits || next.seq != self.first.seq + self.payload as u32 {
            return false;
        }
        let count = self.frames.len();
        let dont_fragment = first.get(link + 6).is_some_and(|flags| flags & 0x40 != 0);
        let id_offset = next.id.wrapping_sub(self.first.id);
        // The second frame decides whether identifications count up or, with DF, stay.
        if count == 1 && dont_fragment && id_offset == 0 {
            self.fixed_id = true;
        }
        let expected = if self.fixed_id { 0 } else { count as u16 };
        if id_offset != expected {
            return false;
        }
        self.payload += next.payload;
        self.last_flags = next.flags & LAST_ONLY;
        true
    }

    /// The large segment, or the frame when it is the only one.
    fn put_together(&mut self, pool: &mut PacketPool) -> Option<Packet> {
        let Layout { link, headers, payload: size, .. } = self.first;
        let count = self.frames.len();
        let mut frames = self.frames.drain(..);
        let first = frames.next()?;
        if count == 1 {
            return Some(first);
        }
        let mut whole = pool.take(headers + self.payload);
        whole.put_slice(first.bytes());
        whole.meta = first.meta;
        pool.put(first);
        for frame in frames {
            whole.put_slice(frame.bytes().get(headers..).unwrap_or_default());
            pool.put(frame);
        }
        let packet = whole.bytes_mut().get_mut(link..)?;
        let tcp_len = packet.len() - ipv4::HEADER_LEN;
        ipv4::set_total_len(packet, packet.len() as u16);
        ipv4::fill_checksum(packet);
        let segment = packet.get_mut(ipv4::HEADER_LEN..)?;
        segment[13] |= self.last_flags.bits() as u8;
        let pseudo =
            pseudo_header_sum(self.key.src, self.key.dst, Protocol::TCP, tcp_len as u16).fold();
        segment[tcp::CHECKSUM_OFFSET..tcp::CHECKSUM_OFFSET + 2]
            .copy_from_slice(&pseudo.to_be_bytes());
        whole.meta.checksum = PARTIAL;
        whole.meta.gso = Some(Gso {
            kind: GsoKind::TcpV4 { ecn: false },
            // At most a packet's.
            size: size as u16,
            segments: count as u16,
            fixed_id: self.fixed_id,
        });
        Some(whole)
    }
}

/// Of what is put together, as Linux `tcp_gro_complete` leaves it.
const PARTIAL: ChecksumState =
    ChecksumState::Partial { start: ipv4::HEADER_LEN as u16, offset: tcp::CHECKSUM_OFFSET as u16 };

/// Whether data offset, reserved bits and flags are the same but for FIN and PSH.
fn same_offset_and_flags(first: &[u8], next: &[u8], at: usize) -> bool {
    let word = |bytes: &[u8]| {
        let word = bytes.get(at..)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*word) & !LAST_ONLY.bits())
    };
    word(first) == word(next)
}

/// Where the network header of an IPv4 packet in an Ethernet frame starts, behind any tags.
fn network_offset(frame: &[u8]) -> Option<usize> {
    let mut offset = ethernet::HEADER_LEN;
    for _ in 0..=MAX_TAGS {
        let ethertype = frame.get(offset - 2..offset)?.first_chunk::<2>()?;
        match EtherType(u16::from_be_bytes(*ethertype)) {
            EtherType::IPV4 => return Some(offset),
            EtherType::VLAN | EtherType::QINQ => offset += vlan::HEADER_LEN,
            _ => return None,
        }
    }
    None
}

/// What a frame is, from its headers.
fn classify(frame: &Packet, ethernet: bool) -> Class {
    let bytes = frame.bytes();
    let link = if ethernet { network_offset(bytes) } else { Some(0) };
    let Some((link, network)) = link.and_then(|link| Some((link, bytes.get(link..)?))) else {
        return Class::Foreign;
    };
    let Ok(ip) = Ipv4::parse(network) else { return Class::Foreign };
    if ip.protocol() != Protocol::TCP {
        return Class::Foreign;
    }
    let (src, dst) = (ip.src(), ip.dst());
    let plain = ip.header_len() == ipv4::HEADER_LEN && !ip.is_fragment();
    let (true, Ok(segment)) = (plain, Tcp::parse(ip.payload())) else {
        return Class::Obscure(src, dst);
    };
    let key = Key { src, dst, ports: (segment.src_port(), segment.dst_port()) };
    let payload = segment.payload().len();
    let alone = frame.meta.gso.is_some()
        // Padding, which would be lost.
        || ip.total_len() != network.len()
        || ip.evil()
        || !ip.verify_checksum()
        // RFC 1624 §3: the other spelling of zero.
        || ip.checksum() == 0xffff
        || payload == 0
        || segment.flags().intersects(ALONE);
    if alone {
        return Class::Alone(key);
    }
    let (id, seq, flags) = (ip.id(), segment.seq(), segment.flags());
    let headers = link + ipv4::HEADER_LEN + segment.header_len();
    Class::Joinable(key, Layout { link, headers, payload, id, seq, flags })
}

/// Whether the TCP checksum is right, and would be the same when made anew. If it had to be
/// computed, nobody has to again.
fn verify(frame: &mut Packet, layout: &Layout) -> bool {
    let Some(network) = frame.bytes().get(layout.link..) else { return false };
    let Ok(ip) = Ipv4::parse(network) else { return false };
    let Ok(segment) = Tcp::parse(ip.payload()) else { return false };
    let len = ip.payload().len() as u16;
    let pseudo = || pseudo_header_sum(ip.src(), ip.dst(), Protocol::TCP, len);
    match frame.meta.checksum {
        // Made anew, zero is spelled 0xffff (see `checksum::complete`).
        ChecksumState::None | ChecksumState::Unnecessary if segment.checksum() == 0 => false,
        ChecksumState::Unnecessary => true,
        ChecksumState::Partial { .. } => {
            frame.meta.checksum == PARTIAL && segment.checksum() == pseudo().fold()
        }
        ChecksumState::None => {
            let right = segment.verify_checksum(pseudo());
            if right {
                frame.meta.checksum = ChecksumState::Unnecessary;
            }
            right
        }
    }
}

/// Mixes ports and addresses. Who aims at one bucket gains nothing: its length is bounded.
fn bucket_of(key: Key) -> usize {
    let ports = u32::from(key.ports.0) << 16 | u32::from(key.ports.1);
    let mixed =
        (ports ^ key.src.to_bits() ^ key.dst.to_bits().rotate_left(16)).wrapping_mul(0x9e37_79b1);
    (mixed >> 29) as usize % BUCKETS
}
