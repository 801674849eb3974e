//! Segments as a script writes them, to and from bytes.

use core::fmt;

use tapping_stack::wire::{SeqNumber, Tcp, TcpFlags, TcpOption, TcpOptions};

use super::cursor::Cursor;

/// What a script says, or a frame holds, of one packet. What is `None` is not compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packet {
    pub ip: IpFields,
    /// The peer's port when it is not the usual one: `@5000`.
    pub peer_port: Option<u16>,
    pub body: Body,
}

/// `[ect0]`, `[ce, ttl 64, df]`, `(tos 0x10)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IpFields {
    pub ecn: Option<Ecn>,
    pub tos: Option<u8>,
    pub ttl: Option<u8>,
    pub dont_fragment: Option<bool>,
}

/// The ECN field (RFC 3168 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ecn {
    NotEct,
    Ect1,
    Ect0,
    Ce,
    /// Either of the two that say "capable".
    AnyEct,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Tcp(Segment),
    /// Bytes of payload.
    Udp(usize),
    Icmp(Icmp),
}

impl Default for Body {
    fn default() -> Self {
        Body::Tcp(Segment::default())
    }
}

/// A TCP segment; numbers are relative to the initial sequence numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segment {
    pub flags: Flags,
    pub seq: u32,
    pub len: u32,
    pub ack: Option<u32>,
    pub window: Option<u16>,
    pub urgent: Option<u16>,
    /// `None`: any.
    pub options: Option<Vec<Opt>>,
}

/// Control bits, ordered as packetdrill writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

const LETTERS: [(char, TcpFlags); 9] = [
    ('F', TcpFlags::FIN),
    ('S', TcpFlags::SYN),
    ('R', TcpFlags::RST),
    ('P', TcpFlags::PSH),
    ('.', TcpFlags::ACK),
    ('U', TcpFlags::URG),
    ('E', TcpFlags::ECE),
    ('W', TcpFlags::CWR),
    ('A', TcpFlags::AE),
];

impl Flags {
    pub fn parse(word: &str) -> Result<Self, String> {
        let bit = |letter| {
            let found = LETTERS.iter().find(|(name, _)| *name == letter);
            found.map(|(_, flag)| flag.bits()).ok_or(format!("no flag is called {letter:?}"))
        };
        if word == "-" {
            return Ok(Flags(0));
        }
        word.chars().try_fold(Flags(0), |flags, letter| Ok(Flags(flags.0 | bit(letter)?)))
    }

    /// Takes PSH over.
    pub fn take_push(&mut self, other: Flags) {
        let push = TcpFlags::PSH.bits();
        self.0 = self.0 & !push | other.0 & push;
    }

    pub fn contains(self, flag: TcpFlags) -> bool {
        self.0 & flag.bits() != 0
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("-");
        }
        let set = LETTERS.iter().filter(|(_, flag)| self.contains(*flag));
        set.map(|(letter, _)| *letter).try_for_each(|letter| write!(f, "{letter}"))
    }
}

/// One option, as it stands in the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opt {
    Nop,
    End,
    Mss(u16),
    WindowScale(u8),
    SackOk,
    /// TSval and TSecr; `None` is any.
    Timestamps(Option<u32>, Option<u32>),
    Sack(Vec<(u32, u32)>),
    FastOpen(Vec<u8>),
    Other(u8, Vec<u8>),
}

/// An ICMP error about a segment of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icmp {
    pub kind: u8,
    pub code: u8,
    pub mtu: u16,
    /// First number and length of the quoted segment.
    pub quoted: (u32, u32),
}

/// The names that packetdrill gives to ICMP types and codes.
const ICMP: [(&str, &str, u8, u8); 16] = [
    ("unreachable", "net_unreachable", 3, 0),
    ("unreachable", "host_unreachable", 3, 1),
    ("unreachable", "protocol_unreachable", 3, 2),
    ("unreachable", "port_unreachable", 3, 3),
    ("unreachable", "frag_needed", 3, 4),
    ("unreachable", "source_route_failed", 3, 5),
    ("unreachable", "net_unknown", 3, 6),
    ("unreachable", "host_unknown", 3, 7),
    ("unreachable", "source_host_isolated", 3, 8),
    ("unreachable", "net_prohibited", 3, 9),
    ("unreachable", "host_prohibited", 3, 10),
    ("unreachable", "packet_filtered", 3, 13),
    ("source_quench", "", 4, 0),
    ("time_exceeded", "exceeded_in_transit", 11, 0),
    ("time_exceeded", "reassembly_time_exceeded", 11, 1),
    ("parameter_problem", "pointer", 12, 0),
];

impl Packet {
    /// Reads what follows `<` or `>`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut cursor = Cursor::new(text);
        let ip = IpFields::parse(&mut cursor)?;
        let mut packet = Packet { ip, ..Packet::default() };
        if cursor.eat("@") {
            packet.peer_port = Some(cursor.number()?);
        }
        packet.body = match cursor.peek_word() {
            "udp" => Body::Udp(parse_udp(&mut cursor)?),
            "icmp" => Body::Icmp(parse_icmp(&mut cursor)?),
            _ => Body::Tcp(Segment::parse(&mut cursor)?),
        };
        cursor.finish()?;
        Ok(packet)
    }

    /// Names what differs in `actual`, or nothing; `ticks` is how far timestamps may be off.
    pub fn difference(&self, actual: &Packet, ticks: u32) -> Option<String> {
        if self.peer_port != actual.peer_port {
            let (expected, actual) = (self.peer_port, actual.peer_port);
            return Some(format!("peer port is not {expected:?} but {actual:?}"));
        }
        if let Some(difference) = self.ip.difference(&actual.ip) {
            return Some(difference);
        }
        match (&self.body, &actual.body) {
            (Body::Tcp(expected), Body::Tcp(actual)) => expected.difference(actual, ticks),
            (expected, actual) if expected == actual => None,
            _ => Some("another kind of packet".into()),
        }
    }
}

fn parse_udp(cursor: &mut Cursor<'_>) -> Result<usize, String> {
    cursor.word();
    cursor.expect("(")?;
    let len = cursor.number()?;
    cursor.expect(")")?;
    Ok(len)
}

fn parse_icmp(cursor: &mut Cursor<'_>) -> Result<Icmp, String> {
    cursor.word();
    let (kind, mut code) = (cursor.word(), "");
    if !matches!(cursor.peek_char(), Some('[')) && kind != "source_quench" {
        code = cursor.word();
    }
    let named = ICMP.iter().find(|(of, name, ..)| *of == kind && *name == code);
    let Some(&(_, _, kind, code)) = named else {
        return Err(format!("no ICMP message is called {kind} {code}"));
    };
    let mtu = if cursor.eat("mtu") { cursor.number()? } else { 0 };
    let mut quoted = (0, 0);
    if cursor.eat("[") {
        quoted = parse_range(cursor)?;
        cursor.expect("]")?;
    }
    Ok(Icmp { kind, code, mtu, quoted })
}

/// `first:last(length)`.
fn parse_range(cursor: &mut Cursor<'_>) -> Result<(u32, u32), String> {
    let start: u32 = cursor.number()?;
    cursor.expect(":")?;
    let end: u32 = cursor.number()?;
    cursor.expect("(")?;
    let len: u32 = cursor.number()?;
    cursor.expect(")")?;
    if end.wrapping_sub(start) != len {
        return Err(format!("{start}:{end} is not {len} bytes long"));
    }
    Ok((start, len))
}

impl IpFields {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, String> {
        let mut fields = IpFields::default();
        let close = match cursor.peek_char() {
            Some('[') => "]",
            Some('(') => ")",
            _ => return Ok(fields),
        };
        cursor.skip(1);
        loop {
            match cursor.word() {
                "noecn" => fields.ecn = Some(Ecn::NotEct),
                "ect0" | "ECT0" => fields.ecn = Some(Ecn::Ect0),
                "ect1" | "ECT1" => fields.ecn = Some(Ecn::Ect1),
                "ect01" => fields.ecn = Some(Ecn::AnyEct),
                "ce" | "CE" => fields.ecn = Some(Ecn::Ce),
                "ttl" => fields.ttl = Some(cursor.number()?),
                "tos" => fields.tos = Some(cursor.number()?),
                "df" => fields.dont_fragment = Some(true),
                "nodf" => fields.dont_fragment = Some(false),
                other => return Err(format!("no IP field is called {other:?}")),
            }
            if !cursor.eat(",") {
                break;
            }
        }
        cursor.expect(close)?;
        Ok(fields)
    }

    /// The TOS byte to send.
    pub fn tos_byte(&self) -> u8 {
        let ecn = match self.ecn {
            None | Some(Ecn::NotEct) => 0,
            Some(Ecn::Ect1) => 1,
            Some(Ecn::Ect0 | Ecn::AnyEct) => 2,
            Some(Ecn::Ce) => 3,
        };
        self.tos.unwrap_or(0) | ecn
    }

    fn difference(&self, actual: &IpFields) -> Option<String> {
        let ecn_fits = match (self.ecn, actual.ecn) {
            (Some(Ecn::AnyEct), Some(Ecn::Ect0 | Ecn::Ect1)) | (None, _) => true,
            (expected, actual) => expected == actual,
        };
        if !ecn_fits {
            return Some(format!("ECN is not {:?} but {:?}", self.ecn, actual.ecn));
        }
        differs("TOS", self.tos, actual.tos)
            .or_else(|| differs("TTL", self.ttl, actual.ttl))
            .or_else(|| differs("DF", self.dont_fragment, actual.dont_fragment))
    }
}

fn differs<T: PartialEq + fmt::Debug>(
    what: &str,
    expected: Option<T>,
    actual: Option<T>,
) -> Option<String> {
    let fits = expected.is_none() || expected == actual;
    (!fits).then(|| format!("{what} is not {expected:?} but {actual:?}"))
}

impl Segment {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, String> {
        let flags = Flags::parse(cursor.token())?;
        let (seq, len) = parse_range(cursor)?;
        let mut segment =
            Segment { flags, seq, len, options: Some(Vec::new()), ..Segment::default() };
        loop {
            match cursor.peek_word() {
                "ack" => {
                    cursor.word();
                    segment.ack = Some(cursor.number()?);
                }
                "win" => {
                    cursor.word();
                    segment.window = Some(cursor.number()?);
                }
                "urg" => {
                    cursor.word();
                    segment.urgent = Some(cursor.number()?);
                }
                _ => break,
            }
        }
        if cursor.eat("<") {
            segment.options = parse_options(cursor)?;
        }
        Ok(segment)
    }

    /// Reads a segment off the wire: numbers relative to the two initial ones, timestamps plain.
    pub fn read(tcp: &Tcp<'_>, seq_from: SeqNumber, ack_from: SeqNumber) -> Self {
        let flags = Flags(tcp.flags().bits());
        let options = TcpOptions::new(tcp.options()).map(|option| match option {
            Ok(option) => Opt::read(&option, ack_from),
            Err(_) => Opt::Other(255, Vec::new()),
        });
        let ack = tcp.ack().since(ack_from);
        Segment {
            flags,
            seq: tcp.seq().since(seq_from),
            len: tcp.payload().len() as u32,
            ack: flags.contains(TcpFlags::ACK).then_some(ack),
            window: Some(tcp.window()),
            urgent: flags.contains(TcpFlags::URG).then_some(tcp.urgent()),
            options: Some(options.collect()),
        }
    }

    /// Adds the segment that follows, if it is like this one.
    pub fn join(&mut self, next: &Segment) -> bool {
        let follows = self.seq.wrapping_add(self.len) == next.seq
            && (self.ack, &self.options) == (next.ack, &next.options);
        if follows {
            self.len += next.len;
            self.flags.0 |= next.flags.0;
        }
        follows
    }

    /// Keeps the first `len` bytes and returns the others; FIN comes last.
    pub fn cut(&mut self, len: u32) -> Segment {
        let mut rest = self.clone();
        rest.seq = self.seq.wrapping_add(len);
        rest.len = self.len - len;
        self.len = len;
        self.flags.0 &= !(TcpFlags::FIN | TcpFlags::PSH).bits();
        rest
    }

    fn difference(&self, actual: &Segment, ticks: u32) -> Option<String> {
        let same = |what: &str, expected: u32, actual: u32| {
            (expected != actual).then(|| format!("{what} is not {expected} but {actual}"))
        };
        if self.flags != actual.flags {
            return Some(format!("flags are not {} but {}", self.flags, actual.flags));
        }
        // Without ACK the field means nothing, and with it a script says what it is.
        let ack_fits = self.ack == actual.ack;
        same("seq", self.seq, actual.seq)
            .or_else(|| same("length", self.len, actual.len))
            .or_else(|| {
                (!ack_fits).then(|| format!("ack is not {:?} but {:?}", self.ack, actual.ack))
            })
            .or_else(|| differs("win", self.window, actual.window))
            .or_else(|| differs("urg", self.urgent, actual.urgent))
            .or_else(|| self.options_differ(actual, ticks))
    }

    fn options_differ(&self, actual: &Segment, ticks: u32) -> Option<String> {
        let (Some(expected), Some(actual)) = (&self.options, &actual.options) else { return None };
        let fits = |pair: (&Opt, &Opt)| match pair {
            (Opt::Timestamps(value, echo), Opt::Timestamps(value_is, echo_is)) => {
                near(*value, *value_is, ticks) && near(*echo, *echo_is, 0)
            }
            (expected, actual) => expected == actual,
        };
        let all = expected.len() == actual.len() && expected.iter().zip(actual).all(fits);
        (!all).then(|| "options differ".into())
    }
}

fn near(expected: Option<u32>, actual: Option<u32>, ticks: u32) -> bool {
    let (Some(expected), Some(actual)) = (expected, actual) else { return true };
    (expected.wrapping_sub(actual) as i32).unsigned_abs() <= ticks
}

fn parse_options(cursor: &mut Cursor<'_>) -> Result<Option<Vec<Opt>>, String> {
    let mut options = Vec::new();
    if cursor.eat("...") {
        cursor.expect(">")?;
        return Ok(None);
    }
    while !cursor.eat(">") {
        options.push(Opt::parse(cursor)?);
        if !cursor.eat(",") {
            cursor.expect(">")?;
            break;
        }
    }
    Ok(Some(options))
}

impl Opt {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, String> {
        Ok(match cursor.word() {
            "nop" => Opt::Nop,
            "eol" => Opt::End,
            "mss" => Opt::Mss(cursor.number()?),
            "wscale" => Opt::WindowScale(cursor.number()?),
            "sackOK" => Opt::SackOk,
            "TS" => {
                cursor.expect("val")?;
                let value = cursor.number_or_any()?;
                cursor.expect("ecr")?;
                Opt::Timestamps(value, cursor.number_or_any()?)
            }
            "sack" => {
                let mut blocks = Vec::new();
                while cursor.peek_char().is_some_and(|next| next.is_ascii_digit()) {
                    let left = cursor.number()?;
                    cursor.expect(":")?;
                    blocks.push((left, cursor.number()?));
                }
                Opt::Sack(blocks)
            }
            "FO" => Opt::FastOpen(cursor.hex()?),
            "kind" => Opt::Other(cursor.number()?, cursor.hex()?),
            other => return Err(format!("no option is called {other:?}")),
        })
    }

    fn read(option: &TcpOption<'_>, ack_from: SeqNumber) -> Self {
        match option {
            TcpOption::Nop => Opt::Nop,
            TcpOption::MaximumSegmentSize(mss) => Opt::Mss(*mss),
            TcpOption::WindowScale(shift) => Opt::WindowScale(*shift),
            TcpOption::SackPermitted => Opt::SackOk,
            TcpOption::Timestamps { value, echo } => Opt::Timestamps(Some(*value), Some(*echo)),
            TcpOption::Sack(blocks) => {
                let relative = |number: SeqNumber| number.since(ack_from);
                let blocks = blocks.iter();
                Opt::Sack(blocks.map(|b| (relative(b.left), relative(b.right))).collect())
            }
            TcpOption::FastOpen(cookie) => Opt::FastOpen(cookie.to_vec()),
            TcpOption::Unknown { kind, data } => Opt::Other(*kind, data.to_vec()),
        }
    }

    /// Appends its bytes; SACK blocks count from `sack_from`.
    pub fn emit(&self, out: &mut Vec<u8>, sack_from: SeqNumber) {
        match self {
            Opt::Nop => out.push(1),
            Opt::End => out.push(0),
            Opt::Mss(mss) => tlv(out, 2, &mss.to_be_bytes()),
            Opt::WindowScale(shift) => tlv(out, 3, &[*shift]),
            Opt::SackOk => tlv(out, 4, &[]),
            Opt::Timestamps(value, echo) => {
                let words = [value.unwrap_or(0), echo.unwrap_or(0)].map(u32::to_be_bytes);
                tlv(out, 8, words.as_flattened());
            }
            Opt::Sack(blocks) => {
                let edges = blocks.iter().flat_map(|(left, right)| [*left, *right]);
                let data: Vec<u8> =
                    edges.flat_map(|edge| (sack_from + edge).0.to_be_bytes()).collect();
                tlv(out, 5, &data);
            }
            Opt::FastOpen(cookie) => tlv(out, 34, cookie),
            Opt::Other(kind, data) => tlv(out, *kind, data),
        }
    }
}

fn tlv(out: &mut Vec<u8>, kind: u8, data: &[u8]) {
    out.extend([kind, data.len() as u8 + 2]);
    out.extend_from_slice(data);
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = Vec::new();
        match self.ip.ecn {
            None | Some(Ecn::NotEct) => {}
            Some(Ecn::Ect0) => fields.push("ect0".to_string()),
            Some(Ecn::Ect1) => fields.push("ect1".to_string()),
            Some(Ecn::AnyEct) => fields.push("ect01".to_string()),
            Some(Ecn::Ce) => fields.push("ce".to_string()),
        }
        fields.extend(self.ip.tos.filter(|tos| *tos != 0).map(|tos| format!("tos {tos:#x}")));
        fields.extend(self.ip.ttl.filter(|ttl| *ttl != 64).map(|ttl| format!("ttl {ttl}")));
        if !fields.is_empty() {
            write!(f, "[{}] ", fields.join(", "))?;
        }
        if let Some(port) = self.peer_port {
            write!(f, "@{port} ")?;
        }
        match &self.body {
            Body::Tcp(segment) => segment.fmt(f),
            Body::Udp(len) => write!(f, "udp ({len})"),
            Body::Icmp(icmp) => icmp.fmt(f),
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.seq, self.seq.wrapping_add(self.len));
        write!(f, "{} {start}:{end}({})", self.flags, self.len)?;
        self.ack.iter().try_for_each(|ack| write!(f, " ack {ack}"))?;
        self.window.iter().try_for_each(|window| write!(f, " win {window}"))?;
        self.urgent.iter().try_for_each(|urgent| write!(f, " urg {urgent}"))?;
        match &self.options {
            None => f.write_str(" <...>"),
            Some(options) if options.is_empty() => Ok(()),
            Some(options) => {
                let options: Vec<String> = options.iter().map(Opt::to_string).collect();
                write!(f, " <{}>", options.join(","))
            }
        }
    }
}

impl fmt::Display for Opt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = |number: &Option<u32>| number.map_or("...".into(), |number| number.to_string());
        let hex = |data: &[u8]| data.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match self {
            Opt::Nop => f.write_str("nop"),
            Opt::End => f.write_str("eol"),
            Opt::Mss(mss) => write!(f, "mss {mss}"),
            Opt::WindowScale(shift) => write!(f, "wscale {shift}"),
            Opt::SackOk => f.write_str("sackOK"),
            Opt::Timestamps(value, echo) => write!(f, "TS val {} ecr {}", any(value), any(echo)),
            Opt::Sack(blocks) => {
                f.write_str("sack")?;
                blocks.iter().try_for_each(|(left, right)| write!(f, " {left}:{right}"))
            }
            Opt::FastOpen(cookie) => write!(f, "FO {}", hex(cookie)),
            Opt::Other(kind, data) => write!(f, "kind {kind} {}", hex(data)),
        }
    }
}

impl fmt::Display for Icmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = ICMP.iter().find(|(.., kind, code)| (*kind, *code) == (self.kind, self.code));
        match named {
            Some((kind, code, ..)) => write!(f, "icmp {kind} {code}")?,
            None => write!(f, "icmp type {} code {}", self.kind, self.code)?,
        }
        if self.mtu != 0 {
            write!(f, " mtu {}", self.mtu)?;
        }
        let (start, len) = self.quoted;
        write!(f, " [{start}:{}({len})]", start.wrapping_add(len))
    }
}
