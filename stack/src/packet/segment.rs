//! Large segments, cut into what single ones would have been (Linux `skb_gso_segment`).
//!
//! ```text
//!  | link | ip | tcp | payload 0 | payload 1 | … | payload n |
//!
//!  | link | ip id+0 | tcp seq         CWR     | payload 0 |      copied
//!  | link | ip id+1 | tcp seq+size            | payload 1 |      copied
//!  | link | ip id+n | tcp seq+n·size  PSH FIN | payload n |      copied
//! ```
//! Every piece gets its own lengths, identification and header checksum. Its transport checksum
//! is made with it when the link has to anyway, or left [`Partial`](ChecksumState::Partial).

use core::ops::Range;

use super::{ChecksumState, Gso, GsoKind, HEADROOM, Metadata, Packet, PacketPool};
use crate::wire::checksum::{self, Checksum};
use crate::wire::ipv4::{self, Ipv4, Protocol};
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{self, Tcp, TcpFlags};
use crate::wire::udp;

#[cfg(test)]
pub(crate) mod stream;
#[cfg(test)]
mod tests;

/// Bytes of headers that are copied: whatever was pushed into the headroom, IPv4 and TCP.
const MAX_HEADERS: usize = HEADROOM + ipv4::MAX_HEADER_LEN + tcp::MAX_HEADER_LEN;
/// Where things are in an IPv4 header.
const IP_TOTAL_LEN: usize = 2;
const IP_ID: usize = 4;
const IP_PROTOCOL: usize = 9;
const IP_CHECKSUM: usize = 10;
const IP_SRC: usize = 12;
/// Where UDP's length field is.
const UDP_LEN: usize = 4;
/// Where TCP's sequence number and control bits are.
const TCP_SEQ: usize = 4;
const TCP_FLAGS: usize = 12;

/// Where the headers of a large segment end, and how it is cut.
#[derive(Debug, Clone, Copy)]
struct Plan {
    gso: Gso,
    /// Bytes before the network header.
    link: usize,
    /// Bytes of the network header.
    network: usize,
    /// Bytes of the transport header.
    transport: usize,
    /// Bytes behind it.
    payload: usize,
}

/// Who computes the transport checksums of the pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sums {
    /// The device or the link: they are left [`Partial`](ChecksumState::Partial).
    Later,
    /// Whoever cuts, while the bytes are at hand.
    Now,
}

/// Cuts a large segment at its [`Gso::size`] and hands the pieces to `sink` in order, each marked
/// at its headers and with the segment's metadata. The bytes may begin with a link-layer header,
/// which every piece gets; where the network header starts must be
/// [marked](super::PacketBuffer::mark_network). Returns how many there were.
///
/// # Errors
/// Gives the packet back when it is not what its [`Gso`] says.
#[allow(clippy::result_large_err)]
pub fn segment(
    mut packet: Packet,
    pool: &mut PacketPool,
    sums: Sums,
    mut sink: impl FnMut(Packet),
) -> Result<usize, Packet> {
    let cutter = Plan::of(&packet).and_then(|plan| {
        let headers = packet.bytes().get(..plan.headers())?;
        Cutter::with_plan(plan, headers, packet.meta, sums)
    });
    let Some(cutter) = cutter else { return Err(packet) };
    let headers = cutter.headers_len;
    if cutter.pieces() == 1 {
        packet.truncate(headers + cutter.plan.payload);
        let sum = cutter.sum(packet.bytes().get(headers..).unwrap_or_default());
        cutter.finish(&mut packet, 0, sum);
        sink(packet);
        return Ok(1);
    }
    for index in 0..cutter.pieces() {
        let range = cutter.range(index);
        let payload = packet.bytes().get(headers + range.start..headers + range.end);
        sink(cutter.piece(index, payload.unwrap_or_default(), &[], pool));
    }
    // The last piece could have it, but whoever keeps that piece would keep all of the buffer.
    pool.put(packet);
    Ok(cutter.pieces())
}

/// The headers of a large segment, and what of its pieces' sums is the same for all.
#[derive(Debug)]
pub(crate) struct Cutter {
    plan: Plan,
    /// Of the link layer, IPv4 and the transport.
    headers: [u8; MAX_HEADERS],
    headers_len: usize,
    /// Over the IPv4 header but for total length, identification and checksum.
    network_sum: Checksum,
    id: u16,
    seq: SeqNumber,
    /// Data offset and flags, as they are in the large segment.
    flags: u16,
    /// Over the pseudo-header but for the length.
    pseudo_sum: Checksum,
    /// Over the transport header but for TCP's sequence number and flags or UDP's length, and the
    /// checksum.
    transport_sum: Checksum,
    /// The pieces have transport checksums: TCP always, UDP if the datagrams have (RFC 768).
    has_sums: bool,
    sums: Sums,
    /// Of every piece.
    meta: Metadata,
}

impl Cutter {
    /// Prepares to cut what has these headers, the network header after `link` bytes, and `payload`
    /// bytes behind them. IPv4's total length is that of all. `None` when the headers are not of
    /// that kind.
    pub(crate) fn new(
        headers: &[u8],
        link: usize,
        payload: usize,
        gso: Gso,
        meta: Metadata,
        sums: Sums,
    ) -> Option<Self> {
        let network = usize::from(headers.get(link)? & 0x0f) * 4;
        let transport = headers.len().checked_sub(link + network)?;
        Cutter::with_plan(Plan { gso, link, network, transport, payload }, headers, meta, sums)
    }

    fn with_plan(plan: Plan, bytes: &[u8], meta: Metadata, sums: Sums) -> Option<Self> {
        let mut headers = [0; MAX_HEADERS];
        headers.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let ip = bytes.get(plan.link..)?.first_chunk::<{ ipv4::HEADER_LEN }>()?;
        let transport = bytes.get(plan.link + plan.network..)?;
        let mut cutter = Cutter {
            plan,
            headers,
            headers_len: bytes.len(),
            network_sum: Checksum::ZERO.add(bytes.get(plan.link..plan.link + plan.network)?),
            id: half(ip, IP_ID),
            seq: SeqNumber(0),
            flags: 0,
            pseudo_sum: Checksum::ZERO.add(&ip[IP_SRC..]).add_u16(ip[IP_PROTOCOL].into()),
            transport_sum: Checksum::ZERO.add(transport),
            has_sums: true,
            sums,
            meta: Metadata { gso: None, ..meta },
        };
        // RFC 1624 §3: what is taken out of a sum is put in complemented.
        for at in [IP_TOTAL_LEN, IP_ID, IP_CHECKSUM] {
            cutter.network_sum = cutter.network_sum.add_u16(!half(ip, at));
        }
        let mut without = |at| {
            cutter.transport_sum = cutter.transport_sum.add_u16(!half(transport, at));
        };
        match plan.gso.kind {
            GsoKind::TcpV4 { .. } => {
                let tcp = transport.first_chunk::<{ tcp::HEADER_LEN }>()?;
                let fields = [TCP_SEQ, TCP_SEQ + 2, TCP_FLAGS, tcp::CHECKSUM_OFFSET];
                fields.into_iter().for_each(&mut without);
                let seq = u32::from(half(tcp, TCP_SEQ)) << 16 | u32::from(half(tcp, TCP_SEQ + 2));
                (cutter.seq, cutter.flags) = (SeqNumber(seq), half(tcp, TCP_FLAGS));
            }
            GsoKind::UdpV4 => {
                let udp = transport.first_chunk::<{ udp::HEADER_LEN }>()?;
                [UDP_LEN, udp::CHECKSUM_OFFSET].into_iter().for_each(&mut without);
                cutter.has_sums = half(udp, udp::CHECKSUM_OFFSET) != 0;
            }
        }
        if cutter.has_sums {
            cutter.meta.checksum = match sums {
                Sums::Now => ChecksumState::None,
                Sums::Later => {
                    let offset = plan.checksum_offset() as u16;
                    ChecksumState::Partial { start: plan.network as u16, offset }
                }
            };
        }
        Some(cutter)
    }

    /// How many pieces there are.
    pub(crate) fn pieces(&self) -> usize {
        self.plan.segments()
    }

    /// Which bytes of the payload belong to a piece.
    pub(crate) fn range(&self, index: usize) -> Range<usize> {
        let size = usize::from(self.plan.gso.size);
        index * size..self.plan.payload.min((index + 1) * size)
    }

    /// A piece with its payload, which lies in one place or in two.
    pub(crate) fn piece(
        &self,
        index: usize,
        payload: &[u8],
        rest: &[u8],
        pool: &mut PacketPool,
    ) -> Packet {
        let mut piece = pool.take(self.headers_len + payload.len() + rest.len());
        // Summing brings the bytes near, and then copying them costs little.
        let mut sum = if rest.is_empty() { self.sum(payload) } else { Checksum::ZERO };
        piece.put_slice(&self.headers[..self.headers_len]);
        piece.put_slice(payload);
        if !rest.is_empty() {
            piece.put_slice(rest);
            sum = self.sum(piece.bytes().get(self.headers_len..).unwrap_or_default());
        }
        self.finish(&mut piece, index, sum);
        piece
    }

    fn sum(&self, payload: &[u8]) -> Checksum {
        match self.sums {
            Sums::Now if self.has_sums => Checksum::ZERO.add(payload),
            _ => Checksum::ZERO,
        }
    }

    /// Makes the copied headers those of the piece with this index, whose payload has this sum, and
    /// marks them.
    ///
    /// All checksums are made anew, as for a single segment: an update may spell zero the other way.
    fn finish(&self, piece: &mut Packet, index: usize, payload_sum: Checksum) {
        let plan = &self.plan;
        piece.meta = self.meta;
        piece.mark_layers(plan.link, plan.network);
        let headers = &mut piece.bytes_mut()[plan.link..];
        let len = (headers.len() - plan.network) as u16;
        let total_len = headers.len() as u16;
        let id = self.id.wrapping_add(if plan.gso.fixed_id { 0 } else { index as u16 });
        let check = self.network_sum.add_u16(total_len).add_u16(id).finish();
        let (ip, _) = headers.split_at_mut(ipv4::HEADER_LEN);
        put_half(ip, IP_TOTAL_LEN, total_len);
        put_half(ip, IP_ID, id);
        put_half(ip, IP_CHECKSUM, check);
        let transport = &mut headers[plan.network..];
        let mut sum = self.transport_sum;
        match plan.gso.kind {
            GsoKind::TcpV4 { .. } => {
                let seq = self.seq + index as u32 * u32::from(plan.gso.size);
                let flags = self.flags & !self.cleared_flags(index).bits();
                transport[TCP_SEQ..TCP_SEQ + 4].copy_from_slice(&seq.0.to_be_bytes());
                put_half(transport, TCP_FLAGS, flags);
                sum = sum.add_u32(seq.0).add_u16(flags);
            }
            GsoKind::UdpV4 => {
                put_half(transport, UDP_LEN, len);
                sum = sum.add_u16(len);
            }
        }
        let pseudo = self.pseudo_sum.add_u16(len);
        let check = match (self.has_sums, self.sums) {
            (false, _) => return,
            (true, Sums::Later) => pseudo.fold(),
            (true, Sums::Now) => checksum::finished(pseudo.combine(sum).combine(payload_sum)),
        };
        put_half(transport, plan.checksum_offset(), check);
    }

    /// FIN and PSH are only on the last segment, CWR only on the first (RFC 3168 §6.1.2, Linux
    /// `tcp_gso_segment`).
    fn cleared_flags(&self, index: usize) -> TcpFlags {
        let mut cleared = TcpFlags::empty();
        if index + 1 < self.pieces() {
            cleared |= TcpFlags::FIN | TcpFlags::PSH;
        }
        if index > 0 {
            cleared |= TcpFlags::CWR;
        }
        cleared
    }
}

/// How long the longest IP packet is that `packet`, whose network header is marked, will be on a
/// wire (Linux `skb_gso_network_seglen`).
#[inline]
pub(crate) fn network_len(packet: &Packet) -> usize {
    match packet.meta.gso {
        None => packet.network().len(),
        Some(_) => Plan::of(packet).map_or(packet.network().len(), |plan| {
            plan.network + plan.transport + plan.payload.min(plan.gso.size.into())
        }),
    }
}

/// The same for a packet whose bytes begin with the transport header, without the network header.
#[inline]
pub(crate) fn transport_len(packet: &Packet) -> usize {
    let Some(gso) = packet.meta.gso else { return packet.len() };
    let header_len = match gso.kind {
        GsoKind::TcpV4 { .. } => Tcp::parse(packet.bytes()).map_or(0, |tcp| tcp.header_len()),
        GsoKind::UdpV4 => udp::HEADER_LEN,
    };
    packet.len().min(header_len + usize::from(gso.size))
}

/// Makes what a device said of a received packet true: counts its segments, and forgets that it
/// is a large segment when it is none (Linux `SKB_GSO_DODGY`).
pub(crate) fn check(packet: &mut Packet) {
    if packet.meta.gso.is_some() {
        packet.meta.gso = Plan::of(packet).map(|plan| {
            // No more than 65535 bytes, none of them empty.
            Gso { segments: plan.segments() as u16, ..plan.gso }
        });
    }
}

impl Plan {
    fn of(packet: &Packet) -> Option<Plan> {
        let gso = packet.meta.gso.filter(|gso| gso.size > 0)?;
        let link = packet.len().checked_sub(packet.network().len())?;
        let header = Ipv4::parse(packet.network()).ok().filter(|header| !header.is_fragment())?;
        let transport = match (gso.kind, header.protocol()) {
            (GsoKind::TcpV4 { .. }, Protocol::TCP) => {
                Tcp::parse(header.payload()).ok()?.header_len()
            }
            (GsoKind::UdpV4, Protocol::UDP) => udp::HEADER_LEN,
            _ => return None,
        };
        let payload = header.payload().len().checked_sub(transport)?;
        Some(Plan { gso, link, network: header.header_len(), transport, payload })
    }

    fn headers(&self) -> usize {
        self.link + self.network + self.transport
    }

    fn segments(&self) -> usize {
        self.payload.div_ceil(self.gso.size.into()).max(1)
    }

    /// Where the transport checksum is, from the transport header on.
    fn checksum_offset(&self) -> usize {
        match self.gso.kind {
            GsoKind::TcpV4 { .. } => tcp::CHECKSUM_OFFSET,
            GsoKind::UdpV4 => udp::CHECKSUM_OFFSET,
        }
    }
}

/// The 16 bits at a place in a header, which is there.
fn half(header: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([header[at], header[at + 1]])
}

fn put_half(header: &mut [u8], at: usize, value: u16) {
    header[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
