//! One TCP stream as frames made one by one, to compare with what was cut or put together.

use core::net::Ipv4Addr;
use std::vec::Vec;

use proptest::prelude::*;

use crate::packet::{ChecksumState, Gso, GsoKind, Packet};
use crate::wire::checksum;
use crate::wire::ethernet::{self, EtherType, EthernetRepr, MacAddr};
use crate::wire::ipv4::{HEADER_LEN, Ipv4Repr, Protocol, pseudo_header_sum};
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{CHECKSUM_OFFSET, TcpFlags, TcpRepr};
use crate::wire::tcp_options::TcpOptionsRepr;

/// What the segments of a stream have in common.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) src: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) dont_fragment: bool,
    pub(crate) id: u16,
    pub(crate) id_step: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
    pub(crate) timestamps: Option<(u32, u32)>,
    /// Flags that every segment has.
    pub(crate) flags: TcpFlags,
    /// Flags that only the first has, and only the last.
    pub(crate) first_flags: TcpFlags,
    pub(crate) last_flags: TcpFlags,
    pub(crate) mss: usize,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

impl Stream {
    pub(crate) fn new(payload: Vec<u8>, mss: usize) -> Self {
        Stream {
            src: Ipv4Addr::new(10, 0, 0, 2),
            port: 40_000,
            tos: 0,
            ttl: 64,
            dont_fragment: true,
            id: 0xfffe,
            id_step: 1,
            seq: 0xffff_ff00,
            ack: 77,
            window: 512,
            timestamps: Some((1, 2)),
            flags: TcpFlags::ACK,
            first_flags: TcpFlags::empty(),
            last_flags: TcpFlags::PSH,
            mss,
            payload,
        }
    }

    /// The frames that the stream is made of, with finished checksums, made one by one.
    pub(crate) fn frames(&self) -> Vec<Vec<u8>> {
        let count = self.payload.len().div_ceil(self.mss).max(1);
        let piece = |n: usize| {
            let end = self.payload.len().min((n + 1) * self.mss);
            let mut flags = self.flags;
            flags.set(self.first_flags, self.first_flags.bits() != 0 && n == 0);
            flags.set(self.last_flags, self.last_flags.bits() != 0 && n + 1 == count);
            let id = self.id.wrapping_add((n as u16).wrapping_mul(self.id_step));
            let seq = self.seq.wrapping_add((n * self.mss) as u32);
            let mut frame = self.frame(id, seq, flags, &self.payload[n * self.mss..end]);
            let segment = &mut frame[ethernet::HEADER_LEN + HEADER_LEN..];
            let len = segment.len() as u16;
            let pseudo = pseudo_header_sum(self.src, DST, Protocol::TCP, len).fold();
            segment[CHECKSUM_OFFSET..][..2].copy_from_slice(&pseudo.to_be_bytes());
            checksum::complete(segment, CHECKSUM_OFFSET);
            frame
        };
        (0..count).map(piece).collect()
    }

    /// All of it as one large segment, its checksum not finished.
    pub(crate) fn whole(&self) -> Packet {
        let flags = self.flags | self.first_flags | self.last_flags;
        let mut packet = Packet::from_slice(&self.frame(self.id, self.seq, flags, &self.payload));
        packet.mark_mac();
        packet.pull(ethernet::HEADER_LEN);
        packet.mark_network();
        packet.mark_transport(HEADER_LEN);
        packet.push(ethernet::HEADER_LEN);
        let segment = packet.transport_mut();
        let pseudo = pseudo_header_sum(self.src, DST, Protocol::TCP, segment.len() as u16).fold();
        segment[CHECKSUM_OFFSET..][..2].copy_from_slice(&pseudo.to_be_bytes());
        let ecn = flags.contains(TcpFlags::CWR);
        packet.meta.gso = Some(Gso {
            kind: GsoKind::TcpV4 { ecn },
            size: self.mss as u16,
            segments: self.payload.len().div_ceil(self.mss).max(1) as u16,
            fixed_id: self.id_step == 0,
        });
        let (start, offset) = (HEADER_LEN as u16, CHECKSUM_OFFSET as u16);
        packet.meta.checksum = ChecksumState::Partial { start, offset };
        packet
    }

    fn frame(&self, id: u16, seq: u32, flags: TcpFlags, payload: &[u8]) -> Vec<u8> {
        let tcp = TcpRepr {
            src_port: self.port,
            dst_port: 80,
            seq: SeqNumber(seq),
            ack: SeqNumber(self.ack),
            flags,
            window: self.window,
            urgent: 0,
            options: TcpOptionsRepr { timestamps: self.timestamps, ..Default::default() },
        };
        let headers = ethernet::HEADER_LEN + HEADER_LEN + tcp.header_len();
        let mut frame = std::vec![0; headers];
        frame.extend_from_slice(payload);
        let (src, dst) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        EthernetRepr { dst, src, ethertype: EtherType::IPV4 }.emit(&mut frame);
        let ip = &mut frame[ethernet::HEADER_LEN..];
        Ipv4Repr {
            tos: self.tos,
            id,
            dont_fragment: self.dont_fragment,
            more_fragments: false,
            fragment_offset: 0,
            ttl: self.ttl,
            protocol: Protocol::TCP,
            src: self.src,
            dst: DST,
            total_len: ip.len() as u16,
            options_len: 0,
        }
        .emit(ip);
        tcp.emit(&mut ip[HEADER_LEN..]);
        frame
    }
}

/// Any stream that a sender may make.
pub(crate) fn streams() -> impl Strategy<Value = Stream> {
    let ip = (any::<u8>(), 1..=255_u8, any::<bool>(), any::<u16>(), any::<bool>());
    let tcp = (any::<u32>(), any::<u32>(), any::<u16>(), any::<Option<(u32, u32)>>());
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let payload = (1..1500_usize, 0..30_000_usize, any::<u8>());
    (ip, tcp, flags, payload).prop_map(|(ip, tcp, (ece, cwr, psh, fin), (mss, len, fill))| {
        let flag = |set, flag| if set { flag } else { TcpFlags::empty() };
        Stream {
            tos: ip.0,
            ttl: ip.1,
            dont_fragment: ip.2,
            id: ip.3,
            // Without DF one identification means one datagram (RFC 6864 §4.3).
            id_step: u16::from(ip.4 || !ip.2),
            seq: tcp.0,
            ack: tcp.1,
            window: tcp.2,
            timestamps: tcp.3,
            flags: TcpFlags::ACK | flag(ece, TcpFlags::ECE),
            first_flags: flag(cwr, TcpFlags::CWR),
            last_flags: flag(psh, TcpFlags::PSH) | flag(fin, TcpFlags::FIN),
            ..Stream::new(
                (0..len).map(|n| fill.wrapping_mul(n as u8) ^ (n >> 8) as u8).collect(),
                mss,
            )
        }
    })
}
