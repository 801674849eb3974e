//! Reading pcap and pcapng files of Ethernet frames.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use tapping_stack::time::Duration;

use super::{
    BYTE_ORDER_MAGIC, ENHANCED_PACKET_BLOCK, INTERFACE_DESCRIPTION_BLOCK, LINKTYPE_ETHERNET,
    MAX_FRAME, OPTION_IF_TSRESOL, SECTION_HEADER_BLOCK, SIMPLE_PACKET_BLOCK,
};

/// The magic numbers of pcap: timestamps in microseconds and in nanoseconds.
const PCAP_MICROSECONDS: u32 = 0xa1b2_c3d4;
const PCAP_NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Bytes of pcap's file header behind the magic number, and of its packet header.
const PCAP_HEADER_LEN: usize = 20;
const PCAP_RECORD_LEN: usize = 16;
/// Longest body of a pcapng block that is read. Longer ones are skipped, unless they should hold
/// a frame.
const MAX_BODY: u32 = MAX_FRAME + 64 * 1024;
/// Most interfaces that a section may describe.
const MAX_INTERFACES: usize = 4096;

/// One frame of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it was captured, since 1970-01-01 00:00:00 UTC; unknown in a Simple Packet Block.
    pub timestamp: Option<Duration>,
    /// The bytes that were kept.
    pub data: &'a [u8],
    /// How long the frame was.
    pub original_len: u32,
}

/// Reads the Ethernet frames of a pcap or pcapng file in order. Interfaces of other kinds are
/// passed over.
#[derive(Debug)]
pub struct CaptureReader<R = BufReader<File>> {
    reader: R,
    big_endian: bool,
    format: Format,
    body: Vec<u8>,
}

#[derive(Debug)]
enum Format {
    Pcap { nanoseconds: bool },
    Pcapng { interfaces: Vec<Interface> },
}

#[derive(Debug, Clone, Copy)]
struct Interface {
    ethernet: bool,
    snaplen: u32,
    /// Units a second.
    resolution: u64,
}

impl CaptureReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// Those of opening and reading the file; `InvalidData` when it is neither pcap nor pcapng, or
    /// a pcap of another link type.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        CaptureReader::new(BufReader::new(File::open(path)?))
    }
}

impl<R: Read> CaptureReader<R> {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// As [`open`](CaptureReader::open).
    pub fn new(mut reader: R) -> io::Result<Self> {
        let mut magic = [0; 4];
        reader.read_exact(&mut magic).map_err(short)?;
        let (little, big) = (u32::from_le_bytes(magic), u32::from_be_bytes(magic));
        let mut new = CaptureReader {
            reader,
            big_endian: big == PCAP_MICROSECONDS || big == PCAP_NANOSECONDS,
            format: Format::Pcapng { interfaces: Vec::new() },
            body: Vec::new(),
        };
        if little == SECTION_HEADER_BLOCK {
            new.section()?;
            return Ok(new);
        }
        let magic = if new.big_endian { big } else { little };
        if magic != PCAP_MICROSECONDS && magic != PCAP_NANOSECONDS {
            return Err(invalid("this is neither a pcap nor a pcapng file"));
        }
        new.fill(PCAP_HEADER_LEN)?;
        // The upper half of the link type says whether frames end in a check sequence.
        if new.word(16) as u16 != LINKTYPE_ETHERNET {
            return Err(invalid("the capture's link type is not Ethernet"));
        }
        new.format = Format::Pcap { nanoseconds: magic == PCAP_NANOSECONDS };
        Ok(new)
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// Those of reading; `InvalidData` when the file breaks its format, `UnexpectedEof` when it
    /// ends within a frame. There is nothing more to be had then.
    pub fn next_record(&mut self) -> io::Result<Option<Record<'_>>> {
        match self.format {
            Format::Pcap { nanoseconds } => self.next_pcap(nanoseconds),
            Format::Pcapng { .. } => self.next_pcapng(),
        }
    }

    fn next_pcap(&mut self, nanoseconds: bool) -> io::Result<Option<Record<'_>>> {
        if !self.fill_or_end(PCAP_RECORD_LEN)? {
            return Ok(None);
        }
        let (seconds, fraction) = (self.word(0), self.word(4));
        let (kept, original_len) = (self.word(8), self.word(12));
        if kept > MAX_FRAME {
            return Err(invalid("a frame of the capture is too long"));
        }
        let nanos = if nanoseconds { fraction } else { fraction.saturating_mul(1000) };
        self.fill(kept as usize)?;
        Ok(Some(Record {
            timestamp: Some(
                Duration::from_secs(seconds.into()) + Duration::from_nanos(nanos.into()),
            ),
            data: &self.body,
            original_len,
        }))
    }

    fn next_pcapng(&mut self) -> io::Result<Option<Record<'_>>> {
        loop {
            if !self.fill_or_end(4)? {
                return Ok(None);
            }
            // The section header's type reads the same in either order.
            let kind = self.word(0);
            if kind == SECTION_HEADER_BLOCK {
                self.section()?;
                continue;
            }
            self.fill(4)?;
            let body = body_len(self.word(0))?;
            if !matches!(
                kind,
                INTERFACE_DESCRIPTION_BLOCK | SIMPLE_PACKET_BLOCK | ENHANCED_PACKET_BLOCK
            ) {
                self.skip(u64::from(body) + 4)?;
                continue;
            }
            if body > MAX_BODY {
                return Err(invalid("a block of the capture is too long"));
            }
            self.fill(body as usize + 4)?;
            if self.word(body as usize) != body + 12 {
                return Err(invalid("a block of the capture has two lengths"));
            }
            self.body.truncate(body as usize);
            if kind == INTERFACE_DESCRIPTION_BLOCK {
                self.interface()?;
            } else if let Some((timestamp, start, kept, original_len)) = self.packet(kind)? {
                let data = self
                    .body
                    .get(start..)
                    .and_then(|rest| rest.get(..kept as usize))
                    .ok_or_else(|| invalid("a frame of the capture exceeds its block"))?;
                return Ok(Some(Record { timestamp, data, original_len }));
            }
        }
    }

    /// Reads a section header behind its type: total length, byte-order magic and the rest.
    fn section(&mut self) -> io::Result<()> {
        self.fill(8)?;
        self.big_endian = self.body[4..8] == BYTE_ORDER_MAGIC.to_be_bytes();
        if !self.big_endian && self.body[4..8] != BYTE_ORDER_MAGIC.to_le_bytes() {
            return Err(invalid("the capture's section header is damaged"));
        }
        let body = body_len(self.word(0))?;
        if body < 16 {
            return Err(invalid("the capture's section header is too short"));
        }
        self.skip(u64::from(body))?;
        self.format = Format::Pcapng { interfaces: Vec::new() };
        Ok(())
    }

    /// Interface Description Block: link type (2), reserved (2), snaplen (4), options.
    fn interface(&mut self) -> io::Result<()> {
        if self.body.len() < 8 {
            return Err(invalid("an interface description of the capture is too short"));
        }
        let ethernet = self.half(0) == LINKTYPE_ETHERNET;
        let snaplen = self.word(4);
        let mut resolution = 1_000_000;
        let mut at = 8;
        while at + 4 <= self.body.len() {
            let (code, len) = (self.half(at), usize::from(self.half(at + 2)));
            if code == 0 {
                break;
            }
            if let (OPTION_IF_TSRESOL, 1, Some(&exponent)) = (code, len, self.body.get(at + 4)) {
                resolution = units_per_second(exponent)
                    .ok_or_else(|| invalid("the capture's timestamps are too fine"))?;
            }
            at += 4 + len.next_multiple_of(4);
        }
        let Format::Pcapng { interfaces } = &mut self.format else { return Ok(()) };
        if interfaces.len() >= MAX_INTERFACES {
            return Err(invalid("the capture has too many interfaces"));
        }
        interfaces.push(Interface { ethernet, snaplen, resolution });
        Ok(())
    }

    /// Where the frame of a packet block is: timestamp, start, bytes kept, original length.
    /// Nothing when it was on an interface of another kind.
    #[allow(clippy::type_complexity)]
    fn packet(&self, kind: u32) -> io::Result<Option<(Option<Duration>, usize, u32, u32)>> {
        let Format::Pcapng { interfaces } = &self.format else { return Ok(None) };
        let header = if kind == SIMPLE_PACKET_BLOCK { 4 } else { 20 };
        if self.body.len() < header {
            return Err(invalid("a block of the capture is too short"));
        }
        let index = if kind == SIMPLE_PACKET_BLOCK { 0 } else { self.word(0) };
        let Some(interface) = interfaces.get(index as usize) else {
            return Err(invalid("a frame of the capture names an unknown interface"));
        };
        if !interface.ethernet {
            return Ok(None);
        }
        if kind == SIMPLE_PACKET_BLOCK {
            let original = self.word(0);
            let limit = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
            return Ok(Some((None, header, original.min(limit), original)));
        }
        let units = u64::from(self.word(4)) << 32 | u64::from(self.word(8));
        let (seconds, rest) = (units / interface.resolution, units % interface.resolution);
        let nanos = u128::from(rest) * 1_000_000_000 / u128::from(interface.resolution);
        let timestamp = Duration::new(seconds, nanos as u32);
        Ok(Some((Some(timestamp), header, self.word(12), self.word(16))))
    }

    fn word(&self, at: usize) -> u32 {
        let bytes = [self.body[at], self.body[at + 1], self.body[at + 2], self.body[at + 3]];
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn half(&self, at: usize) -> u16 {
        let bytes = [self.body[at], self.body[at + 1]];
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    /// Reads exactly `len` bytes into the body.
    fn fill(&mut self, len: usize) -> io::Result<()> {
        self.body.resize(len, 0);
        self.reader.read_exact(&mut self.body).map_err(short)
    }

    /// The same, but the file may end before the first byte.
    fn fill_or_end(&mut self, len: usize) -> io::Result<bool> {
        self.body.resize(len, 0);
        let mut first = 0;
        while first == 0 {
            match self.reader.read(&mut self.body[..1]) {
                Ok(0) => return Ok(false),
                Ok(read) => first = read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.reader.read_exact(&mut self.body[1..]).map_err(short)?;
        Ok(true)
    }

    fn skip(&mut self, len: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.reader.by_ref().take(len), &mut io::sink())?;
        if skipped == len { Ok(()) } else { Err(short(io::ErrorKind::UnexpectedEof.into())) }
    }
}

/// Bytes of a block between its two lengths and its type.
fn body_len(total: u32) -> io::Result<u32> {
    match total.checked_sub(12) {
        Some(body) if body.is_multiple_of(4) => Ok(body),
        _ => Err(invalid("a block of the capture has an impossible length")),
    }
}

/// What `if_tsresol` says: a power of ten, or of two with the top bit set.
fn units_per_second(exponent: u8) -> Option<u64> {
    match exponent {
        0..0x80 => 10u64.checked_pow(exponent.into()),
        0x80.. => 1u64.checked_shl(u32::from(exponent & 0x7f)),
    }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn short(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(io::ErrorKind::UnexpectedEof, "the capture ends in the middle")
        }
        _ => error,
    }
}
