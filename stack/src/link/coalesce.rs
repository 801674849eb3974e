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
use crate::wire::checksum::Checksum;
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
    /// How many flows are held.
    flows: usize,
    /// In which list and where the flow was that a frame joined last: mostly the next is of it, too.
    recent: (usize, usize),
    /// Frames that are ready, in order.
    ready: VecDeque<Ready>,
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
    /// The first frame, and the payloads of those that joined it behind its own.
    whole: Packet,
    /// How many frames that is.
    count: usize,
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
    dont_fragment: bool,
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
    /// that of IPv4. `more` is how many are known to follow.
    pub(crate) fn push(
        &mut self,
        mut frame: Packet,
        ethernet: bool,
        more: usize,
        pool: &mut PacketPool,
    ) {
        let (list, at) = self.recent;
        if let Some(held) = self.buckets[list].get_mut(at)
            && let Some(next) = held.next(&frame)
            && verify(&mut frame, held.key, &next)
        {
            return self.join(list, at, &next, frame, more, pool);
        }
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
        // Summing brings the payload near, so that copying it right after costs little.
        if !verify(&mut frame, key, &layout) {
            self.end(key, pool);
            return self.pass(frame);
        }
        let bucket = bucket_of(key);
        if let Some(at) = self.buckets[bucket].iter().position(|held| held.key == key) {
            if self.buckets[bucket][at].is_followed_by(&layout, frame.bytes()) {
                return self.join(bucket, at, &layout, frame, more, pool);
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
        self.flows += 1;
        self.recent = (bucket, self.buckets[bucket].len());
        self.buckets[bucket].push(Held {
            key,
            first: layout,
            whole: frame,
            count: 1,
            last_flags: TcpFlags::empty(),
            fixed_id: false,
        });
    }

    /// Ends the batch: nothing is held any more.
    pub(crate) fn flush(&mut self, pool: &mut PacketPool) {
        for bucket in 0..BUCKETS {
            if self.buckets[bucket].is_empty() {
                continue;
            }
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

    /// Puts a frame to the flow that it follows on.
    fn join(
        &mut self,
        bucket: usize,
        at: usize,
        next: &Layout,
        frame: Packet,
        more: usize,
        pool: &mut PacketPool,
    ) {
        self.recent = (bucket, at);
        let held = &mut self.buckets[bucket][at];
        held.join(next, &frame, more / self.flows.max(1), pool);
        pool.put(frame);
        if next.payload < held.first.payload || next.flags.intersects(LAST_ONLY) {
            let held = self.buckets[bucket].remove(at);
            self.finish(held, pool);
        }
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

    /// Makes one frame of what was held.
    fn finish(&mut self, held: Held, pool: &mut PacketPool) {
        self.flows -= 1;
        let joined = held.count - 1;
        let joined_bytes = (joined * held.first.headers) as u64;
        let packet = held.into_frame(pool);
        self.ready.push_back(Ready { packet, joined: joined as u64, joined_bytes });
    }
}

impl Held {
    /// Payload bytes so far.
    fn payload(&self) -> usize {
        self.whole.len() - self.first.headers
    }

    /// Where things are in a frame that goes on where this ends, if nothing else of it differs: all
    /// that [`classify`] would find is then known.
    fn next(&self, frame: &Packet) -> Option<Layout> {
        let bytes = frame.bytes();
        let headers = bytes.get(self.first.link..)?.first_chunk::<FIXED>()?;
        let (ip, _) = headers.split_first_chunk::<{ ipv4::HEADER_LEN }>()?;
        let half = |at| u16::from_be_bytes([headers[at], headers[at + 1]]);
        let payload = bytes.len().checked_sub(self.first.headers).filter(|len| *len > 0)?;
        let sound = frame.meta.gso.is_none()
            && usize::from(half(2)) == bytes.len() - self.first.link
            && half(10) != 0xffff
            && Checksum::ZERO.add_array(ip).finish() == 0;
        let next = Layout {
            payload,
            id: half(4),
            seq: SeqNumber(u32::from(half(24)) << 16 | u32::from(half(26))),
            flags: TcpFlags::from_bits_truncate(half(32)),
            ..self.first
        };
        (sound && self.is_followed_by(&next, bytes)).then_some(next)
    }

    /// Whether the frame goes on where this ends and differs in nothing else (the conditions of
    /// Linux `tcp_gro_receive`, `inet_gro_flush` and `skb_gro_receive`).
    fn is_followed_by(&self, next: &Layout, bytes: &[u8]) -> bool {
        let id_offset = next.id.wrapping_sub(self.first.id);
        // RFC 791 §3.1: no packet is longer.
        let total_len = self.whole.len() - self.first.link + next.payload;
        next.payload <= self.first.payload
            && total_len <= ipv4::MAX_LEN
            && next.seq == self.first.seq + self.payload() as u32
            && (next.link, next.headers) == (self.first.link, self.first.headers)
            && id_offset == if self.has_fixed_id(next) { 0 } else { self.count as u16 }
            && same_headers(self.whole.bytes(), bytes, next)
    }

    /// The second frame decides whether identifications count up or, with DF, stay.
    fn has_fixed_id(&self, next: &Layout) -> bool {
        match self.count {
            1 => self.first.dont_fragment && next.id == self.first.id,
            _ => self.fixed_id,
        }
    }

    /// Puts the payload of the next frame behind what there is, while at most so many more are to
    /// come.
    fn join(&mut self, next: &Layout, frame: &Packet, more: usize, pool: &mut PacketPool) {
        if self.whole.tailroom() < next.payload {
            let len = self.whole.len();
            let wanted = (len + next.payload * (1 + more)).max(2 * len);
            let longest = self.first.link + ipv4::MAX_LEN;
            self.move_to(pool.take(wanted.min(longest)), pool);
        }
        self.whole.put_slice(frame.bytes().get(next.headers..).unwrap_or_default());
        self.fixed_id = self.has_fixed_id(next);
        self.count += 1;
        self.last_flags = next.flags & LAST_ONLY;
    }

    fn move_to(&mut self, mut buffer: Packet, pool: &mut PacketPool) {
        buffer.put_slice(self.whole.bytes());
        buffer.meta = self.whole.meta;
        pool.put(core::mem::replace(&mut self.whole, buffer));
    }

    /// The large segment, or the frame when it is the only one.
    fn into_frame(mut self, pool: &mut PacketPool) -> Packet {
        if self.count == 1 {
            return self.whole;
        }
        // Fewer came than were to be expected: memory is accounted for by the buffer.
        if self.whole.true_size() > 2 * self.whole.len() {
            let buffer = pool.take(self.whole.len());
            if buffer.true_size() < self.whole.true_size() {
                self.move_to(buffer, pool);
            } else {
                pool.put(buffer);
            }
        }
        let Layout { link, payload: size, .. } = self.first;
        let packet = &mut self.whole.bytes_mut()[link..];
        let (len, tcp_len) = (packet.len() as u16, (packet.len() - ipv4::HEADER_LEN) as u16);
        ipv4::set_total_len(packet, len);
        ipv4::fill_checksum(packet);
        let segment = &mut packet[ipv4::HEADER_LEN..];
        segment[13] |= self.last_flags.bits() as u8;
        let pseudo = pseudo_header_sum(self.key.src, self.key.dst, Protocol::TCP, tcp_len).fold();
        segment[tcp::CHECKSUM_OFFSET..tcp::CHECKSUM_OFFSET + 2]
            .copy_from_slice(&pseudo.to_be_bytes());
        self.whole.meta.checksum = PARTIAL;
        self.whole.meta.gso = Some(Gso {
            kind: GsoKind::TcpV4 { ecn: false },
            // At most a packet's.
            size: size as u16,
            segments: self.count as u16,
            fixed_id: self.fixed_id,
        });
        self.whole
    }
}

/// Of what is put together, as Linux `tcp_gro_complete` leaves it.
const PARTIAL: ChecksumState =
    ChecksumState::Partial { start: ipv4::HEADER_LEN as u16, offset: tcp::CHECKSUM_OFFSET as u16 };

/// Bytes of IPv4 and TCP header without options.
const FIXED: usize = ipv4::HEADER_LEN + tcp::HEADER_LEN;

/// Whether the headers of two frames, which are as long, differ in nothing but what cutting makes
/// anew, and in FIN and PSH.
fn same_headers(first: &[u8], next: &[u8], layout: &Layout) -> bool {
    let fixed = layout.link..layout.link + FIXED;
    let (Some(ours), Some(theirs)) = (first.get(fixed.clone()), next.get(fixed.clone())) else {
        return false;
    };
    let (Some(ours), Some(theirs)) = (ours.first_chunk::<FIXED>(), theirs.first_chunk::<FIXED>())
    else {
        return false;
    };
    let flags =
        |header: &[u8; FIXED]| u16::from_be_bytes([header[32], header[33]]) & !LAST_ONLY.bits();
    // Version, header length and type of service with ECN.
    ours[..2] == theirs[..2]
        // DF, TTL and protocol; then addresses and ports.
        && ours[6..10] == theirs[6..10]
        && ours[12..24] == theirs[12..24]
        // Acknowledgment; data offset, reserved bits and flags; window; urgent pointer.
        && ours[28..32] == theirs[28..32]
        && flags(ours) == flags(theirs)
        && ours[34..36] == theirs[34..36]
        && ours[38..40] == theirs[38..40]
        && first.get(..layout.link) == next.get(..layout.link)
        && first.get(fixed.end..layout.headers) == next.get(fixed.end..layout.headers)
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
    let dont_fragment = ip.dont_fragment();
    Class::Joinable(key, Layout { link, headers, payload, id, dont_fragment, seq, flags })
}

/// Whether the TCP checksum is right, and would be the same when made anew. If it had to be
/// computed, nobody has to again.
fn verify(frame: &mut Packet, key: Key, layout: &Layout) -> bool {
    let Some(segment) = frame.bytes().get(layout.link + ipv4::HEADER_LEN..) else { return false };
    let Some(header) = segment.first_chunk::<{ tcp::HEADER_LEN }>() else { return false };
    let at = tcp::CHECKSUM_OFFSET;
    let checksum = u16::from_be_bytes([header[at], header[at + 1]]);
    let pseudo = pseudo_header_sum(key.src, key.dst, Protocol::TCP, segment.len() as u16);
    match frame.meta.checksum {
        // Made anew, zero is spelled 0xffff (see `checksum::complete`).
        ChecksumState::None | ChecksumState::Unnecessary if checksum == 0 => false,
        ChecksumState::Unnecessary => true,
        ChecksumState::Partial { .. } => {
            frame.meta.checksum == PARTIAL && checksum == pseudo.fold()
        }
        ChecksumState::None => {
            let right = pseudo.add(segment).finish() == 0;
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
