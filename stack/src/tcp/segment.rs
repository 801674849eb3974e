//! A received segment, parsed once.

use core::net::Ipv4Addr;

use crate::packet::Packet;
use crate::wire::ipv4::Ipv4;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{Tcp, TcpFlags};
use crate::wire::tcp_options::{SackBlock, TcpOption, TcpOptions};

/// The most SACK blocks that a header has room for.
pub(crate) const MAX_SACKS: usize = 4;
/// RFC 7323 §2.3: the greatest shift.
pub(crate) const MAX_WSCALE: u8 = 14;
/// The ECN field of the IP header: congestion experienced (RFC 3168 §5).
const CE: u8 = 3;

/// Both ends of a connection, as this host sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FourTuple {
    pub(crate) local: Ipv4Addr,
    pub(crate) remote: Ipv4Addr,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
}

/// A list of SACK blocks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sacks {
    blocks: [Option<SackBlock>; MAX_SACKS],
}

impl Sacks {
    pub(crate) fn push(&mut self, block: SackBlock) {
        if let Some(free) = self.blocks.iter_mut().find(|block| block.is_none()) {
            *free = Some(block);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = SackBlock> + '_ {
        self.blocks.iter().flatten().copied()
    }

    pub(crate) fn first(&self) -> Option<SackBlock> {
        self.blocks[0]
    }

    pub(crate) fn second(&self) -> Option<SackBlock> {
        self.blocks[1]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks[0].is_none()
    }
}

/// What a segment says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) tuple: FourTuple,
    pub(crate) seq: SeqNumber,
    /// One past its last number, SYN and FIN counted.
    pub(crate) end: SeqNumber,
    pub(crate) ack: SeqNumber,
    pub(crate) flags: TcpFlags,
    /// The window field, not scaled.
    pub(crate) window: u16,
    /// Payload bytes.
    pub(crate) len: u32,
    /// Bytes in the TCP header.
    pub(crate) header_len: usize,
    pub(crate) urgent: u16,
    /// TSval and TSecr.
    pub(crate) timestamps: Option<(u32, u32)>,
    pub(crate) sacks: Sacks,
    pub(crate) mss: Option<u16>,
    pub(crate) wscale: Option<u8>,
    pub(crate) sack_permitted: bool,
    /// The IP header's type of service, ECN included.
    pub(crate) tos: u8,
    /// How many segments of the wire it is.
    pub(crate) segments: u16,
    /// Payload bytes in each of them but the last.
    pub(crate) segment_size: u16,
}

impl Segment {
    /// Reads the headers of a packet whose bytes begin with the TCP header.
    pub(crate) fn parse(packet: &Packet) -> Option<Segment> {
        let header = Ipv4::parse(packet.network()).ok()?;
        let tcp = Tcp::parse(packet.bytes()).ok()?;
        let len = tcp.payload().len() as u32;
        let gso = packet.meta.gso;
        let mut segment = Segment {
            tuple: FourTuple {
                local: header.dst(),
                remote: header.src(),
                local_port: tcp.dst_port(),
                remote_port: tcp.src_port(),
            },
            seq: tcp.seq(),
            end: tcp.seq() + tcp.segment_len(),
            ack: tcp.ack(),
            flags: tcp.flags(),
            window: tcp.window(),
            len,
            header_len: tcp.header_len(),
            urgent: tcp.urgent(),
            timestamps: None,
            sacks: Sacks::default(),
            mss: None,
            wscale: None,
            sack_permitted: false,
            tos: header.tos(),
            segments: gso.map_or(1, |gso| gso.segments.max(1)),
            segment_size: gso.map_or(len.min(u32::from(u16::MAX)) as u16, |gso| gso.size),
        };
        segment.read_options(tcp.options());
        Some(segment)
    }

    pub(crate) fn is(&self, flags: TcpFlags) -> bool {
        self.flags.intersects(flags)
    }

    pub(crate) fn syn(&self) -> bool {
        self.is(TcpFlags::SYN)
    }

    pub(crate) fn fin(&self) -> bool {
        self.is(TcpFlags::FIN)
    }

    pub(crate) fn rst(&self) -> bool {
        self.is(TcpFlags::RST)
    }

    pub(crate) fn has_ack(&self) -> bool {
        self.is(TcpFlags::ACK)
    }

    /// RFC 9293 §3.4: whether some of it lies in a window, for records without a connection (Linux
    /// `tcp_in_window`).
    pub(crate) fn is_in_window(&self, start: SeqNumber, window: u32) -> bool {
        let end = start + window;
        self.seq == start
            || (self.end.gt(start) && self.seq.lt(end))
            || (self.seq == end && self.end == end)
    }

    /// Whether the packet met congestion (RFC 3168 §5).
    pub(crate) fn ce(&self) -> bool {
        self.tos & CE == CE
    }

    /// Whether the packet was sent as ECN-capable.
    pub(crate) fn ect(&self) -> bool {
        self.tos & CE != 0
    }

    fn read_options(&mut self, options: &[u8]) {
        // The layout of nearly every segment: two NOPs and timestamps.
        if let [1, 1, 8, 10, a, b, c, d, e, f, g, h] = *options {
            let value = u32::from_be_bytes([a, b, c, d]);
            self.timestamps = Some((value, u32::from_be_bytes([e, f, g, h])));
            return;
        }
        // RFC 9293 §3.2: what is malformed ends the list.
        for option in TcpOptions::new(options).map_while(Result::ok) {
            match option {
                // Only in a SYN (RFC 9293 §3.7.1, RFC 7323 §2.2, RFC 2018 §2).
                TcpOption::MaximumSegmentSize(mss) if self.syn() => self.mss = Some(mss),
                TcpOption::WindowScale(shift) if self.syn() => {
                    self.wscale = Some(shift.min(MAX_WSCALE));
                }
                TcpOption::SackPermitted if self.syn() => self.sack_permitted = true,
                TcpOption::Timestamps { value, echo } => self.timestamps = Some((value, echo)),
                TcpOption::Sack(blocks) => blocks.iter().for_each(|block| self.sacks.push(block)),
                _ => {}
            }
        }
    }
}
