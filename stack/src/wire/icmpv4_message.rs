//! The ICMPv4 types and codes as values.

use core::net::Ipv4Addr;

use super::icmpv4::{ADDRESS_MASK_LEN, HEADER_LEN, TIMESTAMP_LEN, types};

/// The fields of a message by its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// Answer to an echo request; the payload is the request's.
    EchoReply {
        /// Identifier of the request.
        ident: u16,
        /// Sequence number of the request.
        sequence: u16,
    },
    /// The quoted packet did not reach its destination.
    DestinationUnreachable(Unreachable),
    /// The quoted packet met congestion; obsolete (RFC 6633).
    SourceQuench,
    /// The quoted packet has a shorter way.
    Redirect {
        /// For what.
        code: RedirectCode,
        /// By which gateway.
        gateway: Ipv4Addr,
    },
    /// Asks for an echo reply. Any code is taken for the one there is, 0.
    Echo {
        /// Identifier to come back.
        ident: u16,
        /// Sequence number to come back.
        sequence: u16,
    },
    /// Names routers (RFC 1256); see [`Icmpv4::routers`](super::icmpv4::Icmpv4::routers).
    RouterAdvertisement {
        /// How many entries are claimed.
        count: u8,
        /// 32-bit words in each, 2 or more.
        entry_words: u8,
        /// Seconds for which they are valid.
        lifetime: u16,
    },
    /// Asks for a router advertisement (RFC 1256).
    RouterSolicitation,
    /// The quoted packet's time ran out.
    TimeExceeded(TimeExceeded),
    /// The quoted packet has a header at fault.
    ParameterProblem {
        /// One of [`parameter_problem`](super::icmpv4::parameter_problem).
        code: u8,
        /// The byte at fault, from the start of the quoted header.
        pointer: u8,
    },
    /// Asks for the time.
    Timestamp {
        /// Identifier to come back.
        ident: u16,
        /// Sequence number to come back.
        sequence: u16,
        /// When it was sent, in milliseconds since midnight UT.
        originate: u32,
        /// Zero in a request.
        receive: u32,
        /// Zero in a request.
        transmit: u32,
    },
    /// Tells the time.
    TimestampReply {
        /// Identifier of the request.
        ident: u16,
        /// Sequence number of the request.
        sequence: u16,
        /// When the request was sent, in milliseconds since midnight UT.
        originate: u32,
        /// When the request arrived.
        receive: u32,
        /// When this was sent.
        transmit: u32,
    },
    /// Asks for the number of the network; obsolete.
    InformationRequest {
        /// Identifier to come back.
        ident: u16,
        /// Sequence number to come back.
        sequence: u16,
    },
    /// Tells the number of the network by its addresses; obsolete.
    InformationReply {
        /// Identifier of the request.
        ident: u16,
        /// Sequence number of the request.
        sequence: u16,
    },
    /// Asks for the subnet mask (RFC 950).
    AddressMaskRequest {
        /// Identifier to come back.
        ident: u16,
        /// Sequence number to come back.
        sequence: u16,
        /// Zero in a request.
        mask: Ipv4Addr,
    },
    /// Tells the subnet mask (RFC 950).
    AddressMaskReply {
        /// Identifier of the request.
        ident: u16,
        /// Sequence number of the request.
        sequence: u16,
        /// The mask.
        mask: Ipv4Addr,
    },
    /// A type not known here.
    Unknown {
        /// The type byte.
        icmp_type: u8,
        /// The code byte.
        code: u8,
        /// Bytes 4 to 7.
        rest: [u8; 4],
    },
}

/// Why a destination is unreachable (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// No route to the network (0).
    Net,
    /// The host does not answer (1).
    Host,
    /// No such transport protocol (2).
    Protocol,
    /// Nobody at the port (3).
    Port,
    /// Too big for the next link, and DF is set (4).
    FragmentationNeeded {
        /// The MTU of that link; zero from routers older than RFC 1191.
        mtu: u16,
    },
    /// Source route failed (5).
    SourceRouteFailed,
    /// Network unknown (6).
    NetUnknown,
    /// Host unknown (7).
    HostUnknown,
    /// Source host isolated (8), obsolete.
    SourceHostIsolated,
    /// Network administratively prohibited (9).
    NetProhibited,
    /// Host administratively prohibited (10).
    HostProhibited,
    /// Network unreachable for this type of service (11).
    NetTos,
    /// Host unreachable for this type of service (12).
    HostTos,
    /// Filtered (13).
    CommunicationProhibited,
    /// Host precedence violation (14).
    HostPrecedence,
    /// Precedence cutoff in effect (15).
    PrecedenceCutoff,
    /// A code not known here.
    Unknown(u8),
}

impl Unreachable {
    /// The reason for a code and the MTU field that comes with it.
    pub const fn from_code(code: u8, mtu: u16) -> Self {
        match code {
            0 => Unreachable::Net,
            1 => Unreachable::Host,
            2 => Unreachable::Protocol,
            3 => Unreachable::Port,
            4 => Unreachable::FragmentationNeeded { mtu },
            5 => Unreachable::SourceRouteFailed,
            6 => Unreachable::NetUnknown,
            7 => Unreachable::HostUnknown,
            8 => Unreachable::SourceHostIsolated,
            9 => Unreachable::NetProhibited,
            10 => Unreachable::HostProhibited,
            11 => Unreachable::NetTos,
            12 => Unreachable::HostTos,
            13 => Unreachable::CommunicationProhibited,
            14 => Unreachable::HostPrecedence,
            15 => Unreachable::PrecedenceCutoff,
            other => Unreachable::Unknown(other),
        }
    }

    /// The code byte.
    pub const fn code(self) -> u8 {
        match self {
            Unreachable::Net => 0,
            Unreachable::Host => 1,
            Unreachable::Protocol => 2,
            Unreachable::Port => 3,
            Unreachable::FragmentationNeeded { .. } => 4,
            Unreachable::SourceRouteFailed => 5,
            Unreachable::NetUnknown => 6,
            Unreachable::HostUnknown => 7,
            Unreachable::SourceHostIsolated => 8,
            Unreachable::NetProhibited => 9,
            Unreachable::HostProhibited => 10,
            Unreachable::NetTos => 11,
            Unreachable::HostTos => 12,
            Unreachable::CommunicationProhibited => 13,
            Unreachable::HostPrecedence => 14,
            Unreachable::PrecedenceCutoff => 15,
            Unreachable::Unknown(code) => code,
        }
    }
}

/// What a redirect applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedirectCode {
    /// The network (0).
    Net,
    /// The host (1).
    Host,
    /// The network and type of service (2).
    TosNet,
    /// The host and type of service (3).
    TosHost,
    /// A code not known here.
    Unknown(u8),
}

impl From<u8> for RedirectCode {
    fn from(code: u8) -> Self {
        match code {
            0 => RedirectCode::Net,
            1 => RedirectCode::Host,
            2 => RedirectCode::TosNet,
            3 => RedirectCode::TosHost,
            other => RedirectCode::Unknown(other),
        }
    }
}

impl RedirectCode {
    /// The code byte.
    pub const fn code(self) -> u8 {
        match self {
            RedirectCode::Net => 0,
            RedirectCode::Host => 1,
            RedirectCode::TosNet => 2,
            RedirectCode::TosHost => 3,
            RedirectCode::Unknown(code) => code,
        }
    }
}

/// Whose time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeExceeded {
    /// The TTL reached zero in transit (0).
    Transit,
    /// Fragments did not all arrive in time (1).
    Reassembly,
    /// A code not known here.
    Unknown(u8),
}

impl From<u8> for TimeExceeded {
    fn from(code: u8) -> Self {
        match code {
            0 => TimeExceeded::Transit,
            1 => TimeExceeded::Reassembly,
            other => TimeExceeded::Unknown(other),
        }
    }
}

impl TimeExceeded {
    /// The code byte.
    pub const fn code(self) -> u8 {
        match self {
            TimeExceeded::Transit => 0,
            TimeExceeded::Reassembly => 1,
            TimeExceeded::Unknown(code) => code,
        }
    }
}

impl Message {
    /// Reads the fields. Where `bytes` are shorter than the type's fields the missing ones read as
    /// zero; the parser has excluded that.
    pub(super) fn read(header: &[u8; HEADER_LEN], bytes: &[u8]) -> Message {
        let [icmp_type, code, _, _, rest @ ..] = *header;
        let [a, b, c, d] = rest;
        let (ident, sequence) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let word = |at| bytes.get(at..).and_then(|bytes| bytes.first_chunk().copied());
        let time = |at| word(at).map_or(0, u32::from_be_bytes);
        let mask = || Ipv4Addr::from(word(8).unwrap_or_default());
        match icmp_type {
            types::ECHO_REPLY => Message::EchoReply { ident, sequence },
            types::DESTINATION_UNREACHABLE => {
                Message::DestinationUnreachable(Unreachable::from_code(code, sequence))
            }
            types::SOURCE_QUENCH => Message::SourceQuench,
            types::REDIRECT => {
                Message::Redirect { code: code.into(), gateway: Ipv4Addr::from(rest) }
            }
            types::ECHO => Message::Echo { ident, sequence },
            types::ROUTER_ADVERTISEMENT => {
                Message::RouterAdvertisement { count: a, entry_words: b, lifetime: sequence }
            }
            types::ROUTER_SOLICITATION => Message::RouterSolicitation,
            types::TIME_EXCEEDED => Message::TimeExceeded(code.into()),
            types::PARAMETER_PROBLEM => Message::ParameterProblem { code, pointer: a },
            types::TIMESTAMP => {
                let (originate, receive, transmit) = (time(8), time(12), time(16));
                Message::Timestamp { ident, sequence, originate, receive, transmit }
            }
            types::TIMESTAMP_REPLY => {
                let (originate, receive, transmit) = (time(8), time(12), time(16));
                Message::TimestampReply { ident, sequence, originate, receive, transmit }
            }
            types::INFORMATION_REQUEST => Message::InformationRequest { ident, sequence },
            types::INFORMATION_REPLY => Message::InformationReply { ident, sequence },
            types::ADDRESS_MASK_REQUEST => {
                Message::AddressMaskRequest { ident, sequence, mask: mask() }
            }
            types::ADDRESS_MASK_REPLY => {
                Message::AddressMaskReply { ident, sequence, mask: mask() }
            }
            _ => Message::Unknown { icmp_type, code, rest },
        }
    }

    /// The type byte.
    pub const fn icmp_type(&self) -> u8 {
        match self {
            Message::EchoReply { .. } => types::ECHO_REPLY,
            Message::DestinationUnreachable(_) => types::DESTINATION_UNREACHABLE,
            Message::SourceQuench => types::SOURCE_QUENCH,
            Message::Redirect { .. } => types::REDIRECT,
            Message::Echo { .. } => types::ECHO,
            Message::RouterAdvertisement { .. } => types::ROUTER_ADVERTISEMENT,
            Message::RouterSolicitation => types::ROUTER_SOLICITATION,
            Message::TimeExceeded(_) => types::TIME_EXCEEDED,
            Message::ParameterProblem { .. } => types::PARAMETER_PROBLEM,
            Message::Timestamp { .. } => types::TIMESTAMP,
            Message::TimestampReply { .. } => types::TIMESTAMP_REPLY,
            Message::InformationRequest { .. } => types::INFORMATION_REQUEST,
            Message::InformationReply { .. } => types::INFORMATION_REPLY,
            Message::AddressMaskRequest { .. } => types::ADDRESS_MASK_REQUEST,
            Message::AddressMaskReply { .. } => types::ADDRESS_MASK_REPLY,
            Message::Unknown { icmp_type, .. } => *icmp_type,
        }
    }

    /// The code byte.
    pub const fn code(&self) -> u8 {
        match self {
            Message::DestinationUnreachable(reason) => reason.code(),
            Message::Redirect { code, .. } => code.code(),
            Message::TimeExceeded(whose) => whose.code(),
            Message::ParameterProblem { code, .. } | Message::Unknown { code, .. } => *code,
            _ => 0,
        }
    }

    /// Bytes that [`emit`](Self::emit) writes: 8, 12 for address masks, 20 for timestamps.
    pub const fn header_len(&self) -> usize {
        super::icmpv4::header_len(self.icmp_type())
    }

    /// Writes the first [`header_len`](Self::header_len) bytes of `buffer`, the checksum and unused
    /// fields as zero.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn emit(&self, buffer: &mut [u8]) {
        let header = &mut buffer[..self.header_len()];
        header[0] = self.icmp_type();
        header[1] = self.code();
        header[2..4].fill(0);
        header[4..8].copy_from_slice(&self.rest());
        match *self {
            Message::Timestamp { originate, receive, transmit, .. }
            | Message::TimestampReply { originate, receive, transmit, .. } => {
                header[8..12].copy_from_slice(&originate.to_be_bytes());
                header[12..16].copy_from_slice(&receive.to_be_bytes());
                header[16..TIMESTAMP_LEN].copy_from_slice(&transmit.to_be_bytes());
            }
            Message::AddressMaskRequest { mask, .. } | Message::AddressMaskReply { mask, .. } => {
                header[8..ADDRESS_MASK_LEN].copy_from_slice(&mask.octets());
            }
            _ => {}
        }
    }

    /// Bytes 4 to 7.
    fn rest(&self) -> [u8; 4] {
        match *self {
            Message::EchoReply { ident, sequence }
            | Message::Echo { ident, sequence }
            | Message::Timestamp { ident, sequence, .. }
            | Message::TimestampReply { ident, sequence, .. }
            | Message::InformationRequest { ident, sequence }
            | Message::InformationReply { ident, sequence }
            | Message::AddressMaskRequest { ident, sequence, .. }
            | Message::AddressMaskReply { ident, sequence, .. } => {
                let ([a, b], [c, d]) = (ident.to_be_bytes(), sequence.to_be_bytes());
                [a, b, c, d]
            }
            // RFC 1191 §4: the next-hop MTU is in the low half of what RFC 792 leaves unused.
            Message::DestinationUnreachable(Unreachable::FragmentationNeeded { mtu }) => {
                let [c, d] = mtu.to_be_bytes();
                [0, 0, c, d]
            }
            Message::Redirect { gateway, .. } => gateway.octets(),
            Message::RouterAdvertisement { count, entry_words, lifetime } => {
                let [c, d] = lifetime.to_be_bytes();
                [count, entry_words, c, d]
            }
            Message::ParameterProblem { pointer, .. } => [pointer, 0, 0, 0],
            Message::Unknown { rest, .. } => rest,
            Message::DestinationUnreachable(_)
            | Message::SourceQuench
            | Message::RouterSolicitation
            | Message::TimeExceeded(_) => [0; 4],
        }
    }
}
