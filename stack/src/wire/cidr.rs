//! Addresses with the length of their network prefix (RFC 4632).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// An IPv4 address and the length of its prefix, 0 to 32 bits. The host part is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ipv4Cidr {
    addr: Ipv4Addr,
    prefix_len: u8,
}

/// An address of either family and the length of its prefix. The host part is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IpCidr {
    addr: IpAddr,
    prefix_len: u8,
}

/// Why a string is not an address with a prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// There is no `/`.
    #[error("the prefix length is missing: write ADDRESS/LENGTH, such as 10.0.0.2/24")]
    MissingPrefix,
    /// What precedes the `/` is not an address.
    #[error("the part before the slash is not an IP address")]
    BadAddress,
    /// What follows the `/` is not a number.
    #[error("the prefix length after the slash is not a number")]
    BadPrefix,
    /// The prefix length exceeds the address.
    #[error("the prefix length is more than {max}")]
    PrefixTooLong {
        /// Bits in such an address.
        max: u8,
    },
}

impl Ipv4Cidr {
    /// `addr/prefix_len`; `None` when the length exceeds 32.
    pub const fn new(addr: Ipv4Addr, prefix_len: u8) -> Option<Self> {
        if prefix_len > 32 { None } else { Some(Ipv4Cidr { addr, prefix_len }) }
    }

    /// The address, host part included.
    pub const fn addr(&self) -> Ipv4Addr {
        self.addr
    }

    /// The length of the prefix in bits.
    pub const fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// The prefix as a mask: /24 is 255.255.255.0.
    pub const fn netmask(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.mask())
    }

    /// The address with its host part cleared.
    pub const fn network(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.addr.to_bits() & self.mask())
    }

    /// The same prefix with the host part cleared.
    pub const fn network_cidr(&self) -> Ipv4Cidr {
        Ipv4Cidr { addr: self.network(), prefix_len: self.prefix_len }
    }

    /// The directed broadcast address; /31 (RFC 3021) and /32 have none.
    pub const fn broadcast(&self) -> Option<Ipv4Addr> {
        if self.prefix_len >= 31 {
            return None;
        }
        Some(Ipv4Addr::from_bits(self.addr.to_bits() | !self.mask()))
    }

    /// Whether `addr` has the same prefix.
    pub const fn contains(&self, addr: Ipv4Addr) -> bool {
        (addr.to_bits() ^ self.addr.to_bits()) & self.mask() == 0
    }

    const fn mask(&self) -> u32 {
        // Shifting by the full width is not defined, hence the wider type.
        ((u32::MAX as u64) << (32 - self.prefix_len)) as u32
    }
}

impl IpCidr {
    /// `addr/prefix_len`; `None` when the length exceeds the address (32 or 128).
    pub const fn new(addr: IpAddr, prefix_len: u8) -> Option<Self> {
        if prefix_len > width(addr) { None } else { Some(IpCidr { addr, prefix_len }) }
    }

    /// The address, host part included.
    pub const fn addr(&self) -> IpAddr {
        self.addr
    }

    /// The length of the prefix in bits.
    pub const fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// The address with its host part cleared.
    pub const fn network(&self) -> IpAddr {
        match self.addr {
            IpAddr::V4(addr) => {
                IpAddr::V4(Ipv4Cidr { addr, prefix_len: self.prefix_len }.network())
            }
            IpAddr::V6(addr) => {
                IpAddr::V6(Ipv6Addr::from_bits(addr.to_bits() & mask_v6(self.prefix_len)))
            }
        }
    }

    /// The same prefix with the host part cleared.
    pub const fn network_cidr(&self) -> IpCidr {
        IpCidr { addr: self.network(), prefix_len: self.prefix_len }
    }

    /// Whether `addr` is of the same family and has the same prefix.
    pub const fn contains(&self, addr: IpAddr) -> bool {
        match (self.addr, addr) {
            (IpAddr::V4(own), IpAddr::V4(addr)) => {
                Ipv4Cidr { addr: own, prefix_len: self.prefix_len }.contains(addr)
            }
            (IpAddr::V6(own), IpAddr::V6(addr)) => {
                (own.to_bits() ^ addr.to_bits()) & mask_v6(self.prefix_len) == 0
            }
            _ => false,
        }
    }

    /// The IPv4 form, if it is one.
    pub const fn as_v4(&self) -> Option<Ipv4Cidr> {
        match self.addr {
            IpAddr::V4(addr) => Some(Ipv4Cidr { addr, prefix_len: self.prefix_len }),
            IpAddr::V6(_) => None,
        }
    }
}

impl From<Ipv4Cidr> for IpCidr {
    fn from(cidr: Ipv4Cidr) -> Self {
        IpCidr { addr: IpAddr::V4(cidr.addr), prefix_len: cidr.prefix_len }
    }
}

impl fmt::Display for Ipv4Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix_len)
    }
}

impl fmt::Display for IpCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix_len)
    }
}

impl FromStr for Ipv4Cidr {
    type Err = CidrError;
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (addr, prefix_len) = split(text)?;
        let addr = addr.parse().map_err(|_| CidrError::BadAddress)?;
        let prefix_len = parse_prefix(prefix_len, 32)?;
        Ok(Ipv4Cidr { addr, prefix_len })
    }
}

impl FromStr for IpCidr {
    type Err = CidrError;
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (addr, prefix_len) = split(text)?;
        let addr = addr.parse().map_err(|_| CidrError::BadAddress)?;
        let prefix_len = parse_prefix(prefix_len, width(addr))?;
        Ok(IpCidr { addr, prefix_len })
    }
}

const fn width(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

const fn mask_v6(prefix_len: u8) -> u128 {
    match prefix_len {
        0 => 0,
        _ => u128::MAX << (128 - prefix_len),
    }
}

fn split(text: &str) -> Result<(&str, &str), CidrError> {
    text.split_once('/').ok_or(CidrError::MissingPrefix)
}

fn parse_prefix(text: &str, max: u8) -> Result<u8, CidrError> {
    // `u32::from_str` alone would take a sign.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(CidrError::BadPrefix);
    }
    match text.parse() {
        Ok(len) if len <= max => Ok(len),
        _ => Err(CidrError::PrefixTooLong { max }),
    }
}

#[cfg(test)]
mod tests;
