//! TCP options (RFC 9293 §3.2, RFC 7323, RFC 2018, RFC 7413).
//!
//! ```text
//!  END and NOP are one byte; every other option is | kind | length | data, length - 2 bytes |
//! ```

use super::error::{Layer, WireError, WireErrorKind};
use super::seq::SeqNumber;

/// Option kinds (IANA).
pub mod kinds {
    /// End of the list.
    pub const END: u8 = 0;
    /// No operation.
    pub const NOP: u8 = 1;
    /// Maximum segment size.
    pub const MSS: u8 = 2;
    /// Window scale.
    pub const WINDOW_SCALE: u8 = 3;
    /// Selective acknowledgment permitted.
    pub const SACK_PERMITTED: u8 = 4;
    /// Selective acknowledgment.
    pub const SACK: u8 = 5;
    /// Timestamps.
    pub const TIMESTAMPS: u8 = 8;
    /// MD5 signature (RFC 2385).
    pub const MD5: u8 = 19;
    /// Authentication (RFC 5925).
    pub const AO: u8 = 29;
    /// Fast open cookie (RFC 7413).
    pub const FAST_OPEN: u8 = 34;
}

/// The most bytes that options can take.
pub const MAX_LEN: usize = 40;
/// The most bytes in a fast open cookie (RFC 7413 §4.1.1).
pub const MAX_COOKIE_LEN: usize = 16;

const TIMESTAMPS_LEN: usize = 10;

/// A received option. A known kind whose length is not the one it must have is `Unknown`, so that
/// it is skipped as Linux does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpOption<'a> {
    /// Padding between options.
    Nop,
    /// The largest segment that the sender takes.
    MaximumSegmentSize(u16),
    /// The shift of the sender's window field; above 14 means 14 (RFC 7323 §2.3).
    WindowScale(u8),
    /// Selective acknowledgments are welcome.
    SackPermitted,
    /// What arrived out of order.
    Sack(SackBlocks<'a>),
    /// The sender's clock, and ours as it last saw it.
    Timestamps {
        /// TSval.
        value: u32,
        /// TSecr.
        echo: u32,
    },
    /// A fast open cookie; empty asks for one.
    FastOpen(&'a [u8]),
    /// Anything else.
    Unknown {
        /// The kind byte.
        kind: u8,
        /// What follows the length byte.
        data: &'a [u8],
    },
}

/// One run of bytes that arrived: from `left` up to, not including, `right`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SackBlock {
    /// The first number.
    pub left: SeqNumber,
    /// One past the last.
    pub right: SeqNumber,
}

/// The blocks of a received SACK option, at most 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SackBlocks<'a>(&'a [[u8; 8]]);

impl<'a> SackBlocks<'a> {
    /// The blocks in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = SackBlock> + 'a {
        self.0.iter().map(|block| {
            let [a, b, c, d, e, f, g, h] = *block;
            SackBlock {
                left: SeqNumber(u32::from_be_bytes([a, b, c, d])),
                right: SeqNumber(u32::from_be_bytes([e, f, g, h])),
            }
        })
    }
}

/// The options of a header, one by one. END ends the list; after an error there is nothing more.
#[derive(Debug, Clone)]
pub struct TcpOptions<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> TcpOptions<'a> {
    /// Starts at the first of the option bytes of a header.
    #[inline]
    pub fn new(options: &'a [u8]) -> Self {
        TcpOptions { bytes: options, offset: 0 }
    }

    fn fail(&mut self, kind: WireErrorKind, needed: usize, had: usize) -> WireError {
        self.bytes = &[];
        WireError::field(Layer::TcpOptions, kind, self.offset, needed, had)
    }
}

impl<'a> Iterator for TcpOptions<'a> {
    type Item = Result<TcpOption<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, len) = match *self.bytes {
            [] | [kinds::END, ..] => return None,
            [kinds::NOP, ref rest @ ..] => {
                self.bytes = rest;
                self.offset += 1;
                return Some(Ok(TcpOption::Nop));
            }
            [kind, len, ..] => (kind, usize::from(len)),
            [_] => return Some(Err(self.fail(WireErrorKind::Truncated, 2, 1))),
        };
        let Some((option, rest)) = self.bytes.split_at_checked(len) else {
            let had = self.bytes.len();
            return Some(Err(self.fail(WireErrorKind::Truncated, len, had)));
        };
        let Some(data) = option.get(2..) else {
            return Some(Err(self.fail(WireErrorKind::BadLength, 2, len)));
        };
        self.bytes = rest;
        self.offset += len;
        Some(Ok(read(kind, data)))
    }
}

fn read(kind: u8, data: &[u8]) -> TcpOption<'_> {
    match (kind, data) {
        (kinds::MSS, &[a, b]) => TcpOption::MaximumSegmentSize(u16::from_be_bytes([a, b])),
        (kinds::WINDOW_SCALE, &[shift]) => TcpOption::WindowScale(shift),
        (kinds::SACK_PERMITTED, []) => TcpOption::SackPermitted,
        (kinds::TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => TcpOption::Timestamps {
            value: u32::from_be_bytes([a, b, c, d]),
            echo: u32::from_be_bytes([e, f, g, h]),
        },
        (kinds::SACK, blocks) => match blocks.as_chunks() {
            (blocks @ [_, ..], []) => TcpOption::Sack(SackBlocks(blocks)),
            _ => TcpOption::Unknown { kind, data },
        },
        // RFC 7413 §4.1.1: 4 to 16 bytes, even; or none, to ask.
        (kinds::FAST_OPEN, cookie) if is_cookie(cookie) => TcpOption::FastOpen(cookie),
        _ => TcpOption::Unknown { kind, data },
    }
}

fn is_cookie(data: &[u8]) -> bool {
    matches!(data.len(), 0 | 4..=MAX_COOKIE_LEN) && data.len().is_multiple_of(2)
}

/// The options to send, laid out as Linux does: MSS; SACK-permitted beside timestamps, or either
/// behind two NOPs; NOP and window scale; a fast open cookie; two NOPs and SACK blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpOptionsRepr<'a> {
    /// Maximum segment size, on SYN.
    pub mss: Option<u16>,
    /// Window scale, on SYN.
    pub window_scale: Option<u8>,
    /// SACK permitted, on SYN.
    pub sack_permitted: bool,
    /// TSval and TSecr.
    pub timestamps: Option<(u32, u32)>,
    /// Fast open cookie, empty to ask for one; left out when it is not one of RFC 7413.
    pub fast_open: Option<&'a [u8]>,
    /// SACK blocks, the most recent first; as many go out as there is room for.
    pub sack: &'a [SackBlock],
}

impl TcpOptionsRepr<'_> {
    /// Bytes, padding included: a multiple of 4 up to 40.
    pub fn len(&self) -> usize {
        let sack = match self.sack_fitting() {
            [] => 0,
            blocks => 4 + 8 * blocks.len(),
        };
        self.len_without_sack() + sack
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The SACK blocks that there is room for: at most 4, and 3 beside timestamps.
    pub fn sack_fitting(&self) -> &[SackBlock] {
        let room = (MAX_LEN - self.len_without_sack()).saturating_sub(4) / 8;
        self.sack.get(..room).unwrap_or(self.sack)
    }

    /// Writes the first [`len`](Self::len) bytes of `buffer`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn emit(&self, buffer: &mut [u8]) {
        let mut out = Writer { buffer: &mut buffer[..self.len()] };
        if let Some(mss) = self.mss {
            out.put(&[kinds::MSS, 4]);
            out.put(&mss.to_be_bytes());
        }
        let sack_permitted = [kinds::SACK_PERMITTED, 2];
        let nops = [kinds::NOP; 2];
        if let Some((value, echo)) = self.timestamps {
            out.put(if self.sack_permitted { &sack_permitted } else { &nops });
            out.put(&[kinds::TIMESTAMPS, TIMESTAMPS_LEN as u8]);
            out.put(&value.to_be_bytes());
            out.put(&echo.to_be_bytes());
        } else if self.sack_permitted {
            out.put(&nops);
            out.put(&sack_permitted);
        }
        if let Some(shift) = self.window_scale {
            out.put(&[kinds::NOP, kinds::WINDOW_SCALE, 3, shift]);
        }
        if let Some(cookie) = self.cookie() {
            let len = 2 + cookie.len();
            out.put(&[kinds::FAST_OPEN, len as u8]);
            out.put(cookie);
            out.put(&nops[..len.next_multiple_of(4) - len]);
        }
        if let blocks @ [_, ..] = self.sack_fitting() {
            out.put(&nops);
            out.put(&[kinds::SACK, 2 + 8 * blocks.len() as u8]);
            for block in blocks {
                out.put(&block.left.0.to_be_bytes());
                out.put(&block.right.0.to_be_bytes());
            }
        }
    }

    fn len_without_sack(&self) -> usize {
        let present = |is: bool, len: usize| if is { len } else { 0 };
        present(self.mss.is_some(), 4)
            + present(self.timestamps.is_some(), 2 + TIMESTAMPS_LEN)
            + present(self.sack_permitted && self.timestamps.is_none(), 4)
            + present(self.window_scale.is_some(), 4)
            + self.cookie().map_or(0, |cookie| (2 + cookie.len()).next_multiple_of(4))
    }

    fn cookie(&self) -> Option<&[u8]> {
        self.fast_open.filter(|cookie| is_cookie(cookie))
    }
}

/// Writes pieces one after another.
struct Writer<'a> {
    buffer: &'a mut [u8],
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (head, rest) = core::mem::take(&mut self.buffer).split_at_mut(bytes.len());
        head.copy_from_slice(bytes);
        self.buffer = rest;
    }
}

#[cfg(test)]
mod tests;
