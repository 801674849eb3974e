//! The one error of all parsers.

use core::fmt;

/// A header or list of options that could not be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{layer} {kind} at offset {offset}: needed {needed}, had {had}")]
pub struct WireError {
    /// Whose bytes these were.
    pub layer: Layer,
    /// What is wrong with them.
    pub kind: WireErrorKind,
    /// The number of bytes, or the least (or only) value, that the format asks for.
    pub needed: usize,
    /// The number of bytes, or the value, that was found.
    pub had: usize,
    /// Where the field at fault is, or where bytes ran out: bytes from the start of the layer.
    pub offset: usize,
}

/// The format an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Ethernet II.
    Ethernet,
    /// IEEE 802.1Q or 802.1ad tag.
    Vlan,
    /// ARP for IPv4 over Ethernet.
    Arp,
    /// IPv4 header.
    Ipv4,
    /// Options of an IPv4 header.
    Ipv4Options,
    /// ICMPv4 message.
    Icmpv4,
    /// IGMP message.
    Igmp,
    /// UDP header.
    Udp,
    /// TCP header.
    Tcp,
    /// Options of a TCP header.
    TcpOptions,
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WireErrorKind {
    /// Fewer bytes than the fixed header, or than a length field inside claims.
    Truncated,
    /// Another version of the protocol.
    BadVersion,
    /// A header length below the format's minimum.
    BadHeaderLength,
    /// A length field that contradicts the header it is in.
    BadLength,
    /// A checksum that does not match.
    BadChecksum,
    /// A field that must hold one value and holds another.
    BadValue,
}

impl WireError {
    /// Bytes ran out: `needed` from the start of the layer, `had` present.
    #[cold]
    pub(crate) const fn truncated(layer: Layer, needed: usize, had: usize) -> Self {
        WireError { layer, kind: WireErrorKind::Truncated, needed, had, offset: had }
    }

    /// The field at `offset` is at fault.
    #[cold]
    pub(crate) const fn field(
        layer: Layer,
        kind: WireErrorKind,
        offset: usize,
        needed: usize,
        had: usize,
    ) -> Self {
        WireError { layer, kind, needed, had, offset }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layer::Ethernet => "Ethernet",
            Layer::Vlan => "VLAN tag",
            Layer::Arp => "ARP",
            Layer::Ipv4 => "IPv4",
            Layer::Ipv4Options => "IPv4 options",
            Layer::Icmpv4 => "ICMPv4",
            Layer::Igmp => "IGMP",
            Layer::Udp => "UDP",
            Layer::Tcp => "TCP",
            Layer::TcpOptions => "TCP options",
        })
    }
}

impl fmt::Display for WireErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WireErrorKind::Truncated => "truncated",
            WireErrorKind::BadVersion => "version wrong",
            WireErrorKind::BadHeaderLength => "header length wrong",
            WireErrorKind::BadLength => "length wrong",
            WireErrorKind::BadChecksum => "checksum wrong",
            WireErrorKind::BadValue => "value wrong",
        })
    }
}

#[cfg(test)]
mod tests;
