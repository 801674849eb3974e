//! IPv4 options (RFC 791 §3.1, RFC 2113).
//!
//! ```text
//!  kind: | copied 1 | class 2 | number 5 |
//!  END and NOP are one byte; every other option is | kind | length | data, length - 2 bytes |
//!  RR, LSRR, SSRR: | kind | length | pointer | 4-byte addresses …
//!  TS:             | kind | length | pointer | overflow 4, flag 4 | 4- or 8-byte entries …
//! ```
//! A pointer counts from 1 at the kind byte and names the next free slot.

use core::net::Ipv4Addr;

/// End of the list.
pub const END: u8 = 0;
/// No operation.
pub const NOP: u8 = 1;
/// Record route.
pub const RR: u8 = 7;
/// Internet timestamp.
pub const TS: u8 = 68;
/// Security (RFC 1108).
pub const SEC: u8 = 130;
/// Loose source and record route.
pub const LSRR: u8 = 131;
/// Commercial IP security option.
pub const CIPSO: u8 = 134;
/// Stream identifier, obsolete (RFC 6814).
pub const SID: u8 = 136;
/// Strict source and record route.
pub const SSRR: u8 = 137;
/// Router alert (RFC 2113).
pub const RA: u8 = 148;

/// The most bytes that options can take.
pub const MAX_LEN: usize = 40;

/// An option that breaks the rules of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("IPv4 option malformed at offset {offset}")]
pub struct OptionError {
    /// The byte at fault, from the start of the options, as Linux would report it; 20 more make
    /// the pointer of an ICMP parameter problem.
    pub offset: usize,
}

/// The options of a header, one by one. END ends the list; after an error there is nothing more.
#[derive(Debug, Clone)]
pub struct Ipv4Options<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Ipv4Options<'a> {
    /// Starts at the first of the option bytes of a header.
    #[inline]
    pub fn new(options: &'a [u8]) -> Self {
        Ipv4Options { bytes: options, offset: 0 }
    }
}

impl<'a> Iterator for Ipv4Options<'a> {
    type Item = Result<Ipv4Option<'a>, OptionError>;

    fn next(&mut self) -> Option<Self::Item> {
        let len = match *self.bytes {
            [] | [END, ..] => return None,
            [NOP, ..] => 1,
            [_, len, ..] => usize::from(len),
            [_] => 0,
        };
        let offset = self.offset;
        match self.bytes.split_at_checked(len) {
            Some((bytes, rest)) if len >= 2 || bytes == [NOP] => {
                self.bytes = rest;
                self.offset += len;
                Some(Ok(Ipv4Option { bytes, offset }))
            }
            _ => {
                self.bytes = &[];
                Some(Err(OptionError { offset }))
            }
        }
    }
}

/// One option, as long as its length byte says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Option<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Ipv4Option<'a> {
    /// The kind byte.
    #[inline]
    pub fn kind(&self) -> u8 {
        self.bytes[0]
    }

    /// Where it starts, in bytes from the start of the options.
    #[inline]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// All its bytes, kind and length included.
    #[inline]
    pub fn data(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether it belongs in every fragment, not in the first only.
    #[inline]
    pub fn copied(&self) -> bool {
        is_copied(self.kind())
    }

    /// Reads a record route or source route option.
    ///
    /// # Errors
    /// Names the byte at fault: the length when below 3, the pointer when below 4 or when it leaves
    /// less than a slot before the end. An option of another kind is at fault by its kind.
    pub fn route(&self) -> Result<RouteOption<'a>, OptionError> {
        if !matches!(self.kind(), RR | LSRR | SSRR) {
            return Err(self.fault(0));
        }
        let [_, _, pointer, slots @ ..] = self.bytes else {
            return Err(self.fault(1));
        };
        let route = RouteOption { pointer: *pointer, slots };
        match *pointer >= ROUTE_START && (route.is_full() || route.room() > 0) {
            true => Ok(route),
            false => Err(self.fault(2)),
        }
    }

    /// Reads a timestamp option.
    ///
    /// # Errors
    /// Names the byte at fault: the length when below 4, the pointer when below 5 or when it leaves
    /// less than an entry before the end. An option of another kind is at fault by its kind.
    pub fn timestamp(&self) -> Result<TimestampOption<'a>, OptionError> {
        if self.kind() != TS {
            return Err(self.fault(0));
        }
        let [_, _, pointer, overflow_and_flag, entries @ ..] = self.bytes else {
            return Err(self.fault(1));
        };
        let overflow = overflow_and_flag >> 4;
        let flag = TimestampFlag::from(overflow_and_flag & 0x0f);
        let option = TimestampOption { pointer: *pointer, overflow, flag, entries };
        match *pointer >= TS_START && (option.is_full() || option.room() > 0) {
            true => Ok(option),
            false => Err(self.fault(2)),
        }
    }

    /// The value of a router alert option; zero asks routers to examine the packet
    /// (RFC 2113 §2.1).
    ///
    /// # Errors
    /// Names the length byte when below 4; an option of another kind is at fault by its kind.
    pub fn router_alert(&self) -> Result<u16, OptionError> {
        match *self.bytes {
            [RA, _, high, low, ..] => Ok(u16::from_be_bytes([high, low])),
            [RA, ..] => Err(self.fault(1)),
            _ => Err(self.fault(0)),
        }
    }

    fn fault(&self, index: usize) -> OptionError {
        OptionError { offset: self.offset + index }
    }
}

/// The pointer of an empty route.
const ROUTE_START: u8 = 4;
/// The pointer of an empty list of timestamps.
const TS_START: u8 = 5;
/// How many hosts without room a list of timestamps can count.
const MAX_OVERFLOW: u8 = 15;

/// A record route, loose or strict source route option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteOption<'a> {
    pointer: u8,
    slots: &'a [u8],
}

impl<'a> RouteOption<'a> {
    /// The pointer: the next slot, counted in bytes from 1 at the kind.
    pub fn pointer(&self) -> u8 {
        self.pointer
    }

    /// How many free slots there are: to record in, or still to visit.
    pub fn room(&self) -> usize {
        self.slots.len().saturating_sub(self.used()) / 4
    }

    /// Whether the pointer is beyond the end: the route is recorded or travelled.
    pub fn is_full(&self) -> bool {
        self.used() >= self.slots.len()
    }

    /// The address that the pointer names.
    pub fn next_address(&self) -> Option<Ipv4Addr> {
        let slot = self.slots.get(self.used()..)?.first_chunk::<4>()?;
        Some(Ipv4Addr::from(*slot))
    }

    /// The addresses before the pointer.
    pub fn recorded(&self) -> impl Iterator<Item = Ipv4Addr> + 'a {
        addresses(self.slots.get(..self.used()).unwrap_or(self.slots))
    }

    /// The addresses in all slots.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + 'a {
        addresses(self.slots)
    }

    fn used(&self) -> usize {
        usize::from(self.pointer.saturating_sub(ROUTE_START))
    }
}

/// What the entries of a timestamp option hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampFlag {
    /// Times (0).
    Only,
    /// Addresses and times (1).
    WithAddress,
    /// Addresses that the sender chose, and times that they fill in (3).
    Prespecified,
    /// Not defined: nobody knows what to enter, so nothing is.
    Unknown(u8),
}

impl From<u8> for TimestampFlag {
    fn from(value: u8) -> Self {
        match value {
            0 => TimestampFlag::Only,
            1 => TimestampFlag::WithAddress,
            3 => TimestampFlag::Prespecified,
            other => TimestampFlag::Unknown(other),
        }
    }
}

/// A timestamp option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOption<'a> {
    pointer: u8,
    overflow: u8,
    flag: TimestampFlag,
    entries: &'a [u8],
}

impl<'a> TimestampOption<'a> {
    /// The pointer: the next entry, counted in bytes from 1 at the kind.
    pub fn pointer(&self) -> u8 {
        self.pointer
    }

    /// How many hosts found no room, 0 to 15.
    pub fn overflow(&self) -> u8 {
        self.overflow
    }

    /// What the entries hold.
    pub fn flag(&self) -> TimestampFlag {
        self.flag
    }

    /// How many free entries there are.
    pub fn room(&self) -> usize {
        self.free_bytes() / self.entry_len()
    }

    /// Whether the pointer is beyond the end.
    pub fn is_full(&self) -> bool {
        self.free_bytes() == 0
    }

    /// Whether who enters the next time finds no room and counts that. Where the sender chose the
    /// addresses nobody else wants room (Linux `__ip_options_compile`).
    pub fn overflows(&self) -> bool {
        self.is_full() && self.flag != TimestampFlag::Prespecified
    }

    /// Whether the next time can be entered, or the lack of room be counted: RFC 791 §3.1 takes
    /// the packet to be in error when the count itself has no room.
    pub fn is_recordable(&self) -> bool {
        !(self.overflows() && self.overflow == MAX_OVERFLOW)
    }

    /// The address that the sender put into the next entry, if it chose them.
    pub fn next_address(&self) -> Option<Ipv4Addr> {
        let entry = self.entries.get(self.used()..)?.first_chunk::<4>()?;
        (self.flag == TimestampFlag::Prespecified).then(|| Ipv4Addr::from(*entry))
    }

    /// The entries before the pointer: address where the flag has one, and time in milliseconds
    /// since midnight UT, or a non-standard one with the top bit set.
    pub fn recorded(&self) -> impl Iterator<Item = (Option<Ipv4Addr>, u32)> + 'a {
        let len = self.entry_len();
        let used = self.entries.get(..self.used()).unwrap_or(self.entries);
        used.chunks_exact(len).filter_map(|entry| {
            let (rest, time) = entry.split_last_chunk::<4>()?;
            let addr = rest.first_chunk::<4>().map(|addr| Ipv4Addr::from(*addr));
            Some((addr, u32::from_be_bytes(*time)))
        })
    }

    fn entry_len(&self) -> usize {
        match self.flag {
            TimestampFlag::Only | TimestampFlag::Unknown(_) => 4,
            TimestampFlag::WithAddress | TimestampFlag::Prespecified => 8,
        }
    }

    fn used(&self) -> usize {
        usize::from(self.pointer.saturating_sub(TS_START))
    }

    fn free_bytes(&self) -> usize {
        self.entries.len().saturating_sub(self.used())
    }
}

/// Whether options of this kind belong in every fragment, not in the first only.
#[inline]
pub const fn is_copied(kind: u8) -> bool {
    kind & 0x80 != 0
}

/// Puts `addr` into the slot that the pointer of a record route or source route option names and
/// moves the pointer on. `false`: there was no room, nothing changed.
///
/// # Errors
/// As [`Ipv4Option::route`], counted from the start of `option`.
pub fn record_route(option: &mut [u8], addr: Ipv4Addr) -> Result<bool, OptionError> {
    let route = whole(option)?.route()?;
    if route.is_full() {
        return Ok(false);
    }
    let at = usize::from(route.pointer - 1);
    option[at..at + 4].copy_from_slice(&addr.octets());
    option[2] += 4;
    Ok(true)
}

/// Enters `time`, in milliseconds since midnight UT, into a timestamp option, and `addr` where the
/// flag asks for it; moves the pointer on. Without room it counts the overflow, except among
/// entries that the sender has addressed: those are filled only if `is_wanted` says so of the
/// address. `true`: the option has changed.
///
/// # Errors
/// As [`Ipv4Option::timestamp`], counted from the start of `option`; also the overflow field when
/// it is at its limit (RFC 791 §3.1).
pub fn record_timestamp(
    option: &mut [u8],
    addr: Ipv4Addr,
    time: u32,
    is_wanted: impl FnOnce(Ipv4Addr) -> bool,
) -> Result<bool, OptionError> {
    let parsed = whole(option)?.timestamp()?;
    if !parsed.is_recordable() {
        return Err(OptionError { offset: 3 });
    }
    if parsed.overflows() {
        option[3] += 0x10;
        return Ok(true);
    }
    if parsed.is_full() {
        return Ok(false);
    }
    let (at, len) = (usize::from(parsed.pointer - 1), parsed.entry_len());
    match (parsed.flag, parsed.next_address()) {
        (TimestampFlag::WithAddress, _) => option[at..at + 4].copy_from_slice(&addr.octets()),
        (TimestampFlag::Prespecified, Some(addr)) if !is_wanted(addr) => return Ok(false),
        (TimestampFlag::Unknown(_), _) => return Ok(false),
        _ => {}
    }
    option[at + len - 4..at + len].copy_from_slice(&time.to_be_bytes());
    option[2] += len as u8;
    Ok(true)
}

/// `len` rounded up to whole 32-bit words, as a header needs its options.
#[inline]
pub const fn padded_len(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// Fills `options` from `used` on with END, the padding of RFC 791.
pub fn pad(options: &mut [u8], used: usize) {
    if let Some(padding) = options.get_mut(used..) {
        padding.fill(END);
    }
}

/// The option that fills `bytes`.
fn whole(bytes: &[u8]) -> Result<Ipv4Option<'_>, OptionError> {
    Ipv4Options::new(bytes).next().unwrap_or(Err(OptionError { offset: 0 }))
}

fn addresses(slots: &[u8]) -> impl Iterator<Item = Ipv4Addr> + '_ {
    slots.as_chunks::<4>().0.iter().map(|slot| Ipv4Addr::from(*slot))
}

#[cfg(test)]
mod tests;
