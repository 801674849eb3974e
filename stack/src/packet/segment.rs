//! Large segments, cut into what single ones would have been (Linux `skb_gso_segment`).
//!
//! ```text
//!  | link | ip | tcp | payload 0 | payload 1 | … | payload n |
//!
//!  | link | ip id+0 | tcp seq         CWR     | payload 0 |      copied
//!  | link | ip id+1 | tcp seq+size            | payload 1 |      copied
//!  | link | ip id+n | tcp seq+n·size  PSH FIN | payload n |      in the large segment's own buffer
//! ```
//! Every piece gets its own lengths, identification and header checksum. Its transport checksum
//! is left [`Partial`](ChecksumState::Partial), for the device or the link to finish.

use super::{ChecksumState, Gso, GsoKind, HEADROOM, Packet, PacketPool};
use crate::wire::ipv4::{self, Ipv4, Protocol, pseudo_header_sum};
use crate::wire::tcp::{self, Tcp, TcpFlags};
use crate::wire::udp;

#[cfg(test)]
pub(crate) mod stream;
#[cfg(test)]
mod tests;

/// Bytes of headers that are copied: whatever was pushed into the headroom, IPv4 and TCP.
const MAX_HEADERS: usize = HEADROOM + ipv4::MAX_HEADER_LEN + tcp::MAX_HEADER_LEN;
/// Where IPv4's total length and identification are.
const IP_TOTAL_LEN: usize = 2;
const IP_ID: usize = 4;
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
    mut sink: impl FnMut(Packet),
) -> Result<usize, Packet> {
    let Some(plan) = Plan::of(&packet) else { return Err(packet) };
    let headers_len = plan.headers();
    let mut headers = [0; MAX_HEADERS];
    let Some(headers) = headers.get_mut(..headers_len) else { return Err(packet) };
    headers.copy_from_slice(&packet.bytes()[..headers_len]);

    let size = usize::from(plan.gso.size);
    let segments = plan.segments();
    if segments == 1 {
        packet.truncate(headers_len + plan.payload);
        finish(&mut packet, &plan, 0, true);
        sink(packet);
        return Ok(1);
    }
    for index in 0..segments {
        let len = size.min(plan.payload - index * size);
        let mut piece = pool.take(headers_len + len);
        piece.put_slice(headers);
        piece.put_slice(&packet.bytes()[headers_len + index * size..][..len]);
        piece.meta = packet.meta;
        finish(&mut piece, &plan, index, index + 1 == segments);
        sink(piece);
    }
    // The last piece could have it, but whoever keeps that piece would keep all of the buffer.
    pool.put(packet);
    Ok(segments)
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
}

/// Makes the copied headers those of the piece with this index, and marks them.
fn finish(piece: &mut Packet, plan: &Plan, index: usize, last: bool) {
    piece.mark_mac();
    piece.pull(plan.link);
    piece.mark_network();
    piece.mark_transport(plan.network);
    let total_len = piece.len() as u16;
    let header = piece.bytes_mut();
    header[IP_TOTAL_LEN..IP_TOTAL_LEN + 2].copy_from_slice(&total_len.to_be_bytes());
    if !plan.gso.fixed_id {
        let id = u16::from_be_bytes([header[IP_ID], header[IP_ID + 1]]);
        let id = id.wrapping_add(index as u16);
        header[IP_ID..IP_ID + 2].copy_from_slice(&id.to_be_bytes());
    }
    // Made anew, as for a single segment: an update may spell zero the other way.
    ipv4::fill_checksum(header);
    let (src, dst) = match Ipv4::parse(header) {
        Ok(header) => (header.src(), header.dst()),
        // It was parsed before it was cut.
        Err(_) => return,
    };
    let transport = piece.transport_mut();
    let len = transport.len() as u16;
    let (protocol, offset) = match plan.gso.kind {
        GsoKind::TcpV4 { .. } => {
            finish_tcp(transport, index, plan.gso.size, last);
            (Protocol::TCP, tcp::CHECKSUM_OFFSET)
        }
        GsoKind::UdpV4 => {
            transport[UDP_LEN..UDP_LEN + 2].copy_from_slice(&len.to_be_bytes());
            (Protocol::UDP, udp::CHECKSUM_OFFSET)
        }
    };
    let field = &mut transport[offset..offset + 2];
    // RFC 768: zero is no checksum, and stays none.
    if protocol == Protocol::TCP || field != [0, 0] {
        let pseudo = pseudo_header_sum(src, dst, protocol, len);
        field.copy_from_slice(&pseudo.fold().to_be_bytes());
        let (start, offset) = (plan.network as u16, offset as u16);
        piece.meta.checksum = ChecksumState::Partial { start, offset };
    }
    piece.meta.gso = None;
    piece.push(plan.link);
}

/// Sequence number and flags (Linux `tcp_gso_segment`): FIN and PSH only on the last segment, CWR
/// only on the first (RFC 3168 §6.1.2).
fn finish_tcp(segment: &mut [u8], index: usize, size: u16, last: bool) {
    let Ok(header) = Tcp::parse(segment) else { return };
    let seq = header.seq() + index as u32 * u32::from(size);
    let mut cleared = TcpFlags::empty();
    if !last {
        cleared |= TcpFlags::FIN | TcpFlags::PSH;
    }
    if index > 0 {
        cleared |= TcpFlags::CWR;
    }
    segment[TCP_SEQ..TCP_SEQ + 4].copy_from_slice(&seq.0.to_be_bytes());
    let flags = u16::from_be_bytes([segment[TCP_FLAGS], segment[TCP_FLAGS + 1]]);
    let flags = flags & !cleared.bits();
    segment[TCP_FLAGS..TCP_FLAGS + 2].copy_from_slice(&flags.to_be_bytes());
}
