//! TCP segments made by hand, and segments read.

use core::fmt;
use core::net::Ipv4Addr;

use tapping_stack::wire::ipv4::pseudo_header_sum;
use tapping_stack::wire::tcp_options::kinds;
use tapping_stack::wire::{
    Protocol, SackBlock, SeqNumber, Tcp, TcpFlags, TcpOption, TcpOptions, tcp,
};

use crate::host::{PEER, US};
use crate::lab::{Ip, ipv4};

pub const SYN: TcpFlags = TcpFlags::SYN;
pub const ACK: TcpFlags = TcpFlags::ACK;
pub const FIN: TcpFlags = TcpFlags::FIN;
pub const RST: TcpFlags = TcpFlags::RST;
pub const PSH: TcpFlags = TcpFlags::PSH;
pub const SYN_ACK: TcpFlags = TcpFlags::SYN.union(TcpFlags::ACK);
pub const FIN_ACK: TcpFlags = TcpFlags::FIN.union(TcpFlags::ACK);
pub const RST_ACK: TcpFlags = TcpFlags::RST.union(TcpFlags::ACK);

/// A segment, from the peer or from the host.
#[derive(Clone, PartialEq, Eq)]
pub struct Seg {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub src_port: u16,
    pub dst_port: u16,
    pub flags: TcpFlags,
    pub seq: SeqNumber,
    pub ack: SeqNumber,
    pub window: u16,
    pub urgent: u16,
    pub options: Vec<u8>,
    pub data: Vec<u8>,
}

impl Seg {
    /// A segment from the peer to the host, with all numbers 0.
    pub fn to_host(src_port: u16, dst_port: u16, flags: TcpFlags) -> Self {
        Seg {
            src: PEER,
            dst: US,
            src_port,
            dst_port,
            flags,
            seq: SeqNumber(0),
            ack: SeqNumber(0),
            window: u16::MAX,
            urgent: 0,
            options: Vec::new(),
            data: Vec::new(),
        }
    }

    pub fn seq(mut self, seq: SeqNumber) -> Self {
        self.seq = seq;
        self
    }

    pub fn ack(mut self, ack: SeqNumber) -> Self {
        self.ack = ack;
        self
    }

    pub fn flags(mut self, flags: TcpFlags) -> Self {
        self.flags = flags;
        self
    }

    pub fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }

    pub fn data(mut self, data: &[u8]) -> Self {
        self.data = data.to_vec();
        self
    }

    /// Options in place of those there are; padded with END to four bytes.
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self.options.resize(options.len().next_multiple_of(4), kinds::END);
        self
    }

    /// Another option behind those there are.
    pub fn option(mut self, option: &[u8]) -> Self {
        self.options.extend_from_slice(option);
        let len = self.options.len().next_multiple_of(4);
        self.options.resize(len, kinds::NOP);
        self
    }

    /// SACK blocks, as another option.
    pub fn sack(self, blocks: &[(SeqNumber, SeqNumber)]) -> Self {
        let mut option = vec![kinds::NOP, kinds::NOP, kinds::SACK, 2 + 8 * blocks.len() as u8];
        for (left, right) in blocks {
            option.extend(left.0.to_be_bytes());
            option.extend(right.0.to_be_bytes());
        }
        self.option(&option)
    }

    /// One past the last number it takes.
    pub fn end(&self) -> SeqNumber {
        let phantom = u32::from(self.has(SYN)) + u32::from(self.has(FIN));
        self.seq + self.data.len() as u32 + phantom
    }

    pub fn has(&self, flag: TcpFlags) -> bool {
        self.flags.contains(flag)
    }

    /// Nothing but ACK, with this number and acknowledgment.
    pub fn is_ack(&self, seq: SeqNumber, ack: SeqNumber) -> bool {
        self.flags == ACK && self.data.is_empty() && (self.seq, self.ack) == (seq, ack)
    }

    /// The TCP part, its checksum right.
    pub fn bytes(&self) -> Vec<u8> {
        let header_len = tcp::HEADER_LEN + self.options.len();
        let word = (header_len as u16 / 4) << 12 | self.flags.bits();
        let mut bytes = Vec::new();
        bytes.extend(self.src_port.to_be_bytes());
        bytes.extend(self.dst_port.to_be_bytes());
        bytes.extend(self.seq.0.to_be_bytes());
        bytes.extend(self.ack.0.to_be_bytes());
        bytes.extend(word.to_be_bytes());
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 2]);
        bytes.extend(self.urgent.to_be_bytes());
        bytes.extend_from_slice(&self.options);
        bytes.extend_from_slice(&self.data);
        let len = bytes.len() as u16;
        tcp::fill_checksum(&mut bytes, pseudo_header_sum(self.src, self.dst, Protocol::TCP, len));
        bytes
    }

    pub fn ip(&self) -> Ip {
        Ip::new(self.src, self.dst, Protocol::TCP, self.bytes())
    }

    /// Reads the segment in an IPv4 packet, whose checksum must be right; `None` when there is
    /// something else in it.
    #[track_caller]
    pub fn read(packet: &[u8]) -> Option<Self> {
        let header = ipv4(packet);
        if header.protocol() != Protocol::TCP {
            return None;
        }
        let tcp = Tcp::parse(header.payload()).expect("a TCP segment");
        let (src, dst) = (header.src(), header.dst());
        let len = header.payload().len() as u16;
        let sum = pseudo_header_sum(src, dst, Protocol::TCP, len);
        assert!(tcp.verify_checksum(sum), "a wrong checksum");
        Some(Seg {
            src,
            dst,
            src_port: tcp.src_port(),
            dst_port: tcp.dst_port(),
            flags: tcp.flags(),
            seq: tcp.seq(),
            ack: tcp.ack(),
            window: tcp.window(),
            urgent: tcp.urgent(),
            options: tcp.options().to_vec(),
            data: tcp.payload().to_vec(),
        })
    }

    fn find<T>(&self, want: impl Fn(TcpOption<'_>) -> Option<T>) -> Option<T> {
        TcpOptions::new(&self.options).map_while(Result::ok).find_map(want)
    }

    pub fn mss(&self) -> Option<u16> {
        self.find(|option| match option {
            TcpOption::MaximumSegmentSize(mss) => Some(mss),
            _ => None,
        })
    }

    pub fn wscale(&self) -> Option<u8> {
        self.find(|option| match option {
            TcpOption::WindowScale(shift) => Some(shift),
            _ => None,
        })
    }

    /// TSval and TSecr.
    pub fn timestamps(&self) -> Option<(u32, u32)> {
        self.find(|option| match option {
            TcpOption::Timestamps { value, echo } => Some((value, echo)),
            _ => None,
        })
    }

    pub fn sack_blocks(&self) -> Vec<SackBlock> {
        let blocks = self.find(|option| match option {
            TcpOption::Sack(blocks) => Some(blocks.iter().collect()),
            _ => None,
        });
        blocks.unwrap_or_default()
    }
}

impl fmt::Debug for Seg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seg { src_port, dst_port, flags, seq, ack, window, options, data, .. } = self;
        write!(f, "[{src_port}>{dst_port} {flags:?} seq {seq} ack {ack} win {window}")?;
        write!(f, " options {options:?} {} bytes]", data.len())
    }
}

/// A maximum segment size option.
pub fn mss_option(mss: u16) -> Vec<u8> {
    let [high, low] = mss.to_be_bytes();
    vec![kinds::MSS, 4, high, low]
}

/// A timestamps option, led by two NOPs.
pub fn ts_option(value: u32, echo: u32) -> Vec<u8> {
    let mut option = vec![kinds::NOP, kinds::NOP, kinds::TIMESTAMPS, 10];
    option.extend(value.to_be_bytes());
    option.extend(echo.to_be_bytes());
    option
}

/// Bytes of which each tells its place.
pub fn stream(start: usize, len: usize) -> Vec<u8> {
    (start..start + len).map(|at| (at ^ (at >> 8)) as u8).collect()
}
