//! Values of options: what iputils and traceroute take, and what is wrong with anything else.

use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

use tapping_drivers::error::{DeviceError, check_interface_name};
use tapping_stack::wire::{Ipv4Cidr, MacAddr};

use super::serve::HttpService;
use crate::ping::MAX_SIZE;

/// The smallest MTU of IPv4 (RFC 791), as Linux has it.
const MIN_MTU: u32 = 68;
/// The largest MTU of a TAP: the largest frame less its Ethernet header.
const MAX_MTU: u32 = 65_521;
/// The longest time an option may name, in seconds (iputils: `INT_MAX` milliseconds).
const MAX_SECONDS: f64 = (i32::MAX / 1_000) as f64;
/// iputils' limit on preload: as many requests as can be told apart.
const MAX_PRELOAD: u64 = 65_536;

/// How `-M` treats DF and the path MTU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// Set DF; never fragment, not even here.
    Do,
    /// Set DF; fragment here what is too long.
    Want,
    /// Never set DF.
    Dont,
    /// Set DF; send up to the link's MTU whatever is known of the path.
    Probe,
}

/// What `-p` fills requests with: 1 to 16 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub Vec<u8>);

/// How long `-W` waits; `None` is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linger(pub Option<Duration>);

/// How long `trace -w` waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wait {
    /// At most.
    pub max: Duration,
    /// So many times the longest answer from the same hop; zero to not look at it.
    pub here: f64,
    /// So many times the longest answer from a later hop; zero to not look at it.
    pub near: f64,
}

/// An interface name, as Linux takes it.
pub fn interface(text: &str) -> Result<String, String> {
    match check_interface_name(text) {
        Ok(()) => Ok(text.into()),
        Err(DeviceError::BadName { reason, .. }) => Err(reason.into()),
        Err(error) => Err(error.to_string()),
    }
}

/// An IPv4 address and prefix length that a host can have.
pub fn cidr(text: &str) -> Result<Ipv4Cidr, String> {
    let cidr: Ipv4Cidr = text.parse().map_err(|error| format!("{error}"))?;
    let addr = cidr.addr();
    if !is_host(addr) {
        return Err(format!("{addr} cannot be the address of a host"));
    }
    if cidr.prefix_len() == 0 {
        return Err("the prefix length is 1 to 32".into());
    }
    if cidr.prefix_len() < 31 && addr == cidr.network() {
        return Err(format!("{addr} is the network itself; choose an address in it"));
    }
    if cidr.broadcast() == Some(addr) {
        return Err(format!("{addr} is the broadcast address; choose another in the network"));
    }
    Ok(cidr)
}

/// An IPv4 address.
pub fn address(text: &str) -> Result<Ipv4Addr, String> {
    let addr: Ipv4Addr =
        text.parse().map_err(|_| "this is not an IPv4 address such as 10.0.0.1".to_string())?;
    if is_host(addr) { Ok(addr) } else { Err(format!("{addr} cannot be the address of a host")) }
}

fn is_host(addr: Ipv4Addr) -> bool {
    // 0/8, 127/8, multicast, 240/4 and broadcast (RFC 1122 §3.2.1.3).
    !matches!(addr.octets()[0], 0 | 127 | 224..)
}

/// A link-layer address that one station can have.
pub fn mac(text: &str) -> Result<MacAddr, String> {
    let mac: MacAddr = text
        .parse()
        .map_err(|_| "write six bytes in hex with colons, such as 02:00:00:00:00:02".to_string())?;
    if !mac.is_unicast() {
        return Err(format!(
            "{mac} does not name one station; make the first byte even, such as 02"
        ));
    }
    Ok(mac)
}

/// An MTU that Linux takes for a TAP.
pub fn mtu(text: &str) -> Result<u32, String> {
    in_range(text, u64::from(MIN_MTU), u64::from(MAX_MTU)).map(|mtu| mtu as u32)
}

/// `--busy-poll`: microseconds; 0 is not at all.
pub fn spin(text: &str) -> Result<Duration, String> {
    in_range(text, 0, 1_000_000).map(Duration::from_micros)
}

/// A seed, decimal or 0x hex.
pub fn seed(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16),
        _ => text.parse(),
    };
    parsed.map_err(|_| "a seed is a number from 0 to 2^64 - 1, decimal or 0x hex".into())
}

/// `-c`: how many.
pub fn count(text: &str) -> Result<u64, String> {
    in_range(text, 1, i64::MAX as u64)
}

/// `-l`: how many at once.
pub fn preload(text: &str) -> Result<u32, String> {
    in_range(text, 1, MAX_PRELOAD).map(|count| count as u32)
}

/// `-s`: bytes of data in an echo request.
pub fn size(text: &str) -> Result<usize, String> {
    in_range(text, 0, MAX_SIZE as u64).map(|size| size as usize)
}

/// The length of a trace probe: headers at least, one IPv4 packet at most.
pub fn packet_len(text: &str) -> Result<usize, String> {
    in_range(text, 28, 65_535).map(|len| len as usize)
}

/// A time to live that can leave this host.
pub fn ttl(text: &str) -> Result<u8, String> {
    in_range(text, 1, 255).map(|ttl| ttl as u8)
}

/// `trace -q`.
pub fn queries(text: &str) -> Result<usize, String> {
    in_range(text, 1, 10).map(|queries| queries as usize)
}

/// `trace -N`.
pub fn parallel(text: &str) -> Result<usize, String> {
    in_range(text, 1, 255).map(|parallel| parallel as usize)
}

/// A TCP or UDP port that can be bound or connected to.
pub fn port(text: &str) -> Result<u16, String> {
    in_range(text, 1, 65_535).map(|port| port as u16)
}

/// `serve --http`: a port, and a directory behind `=`.
pub fn http_service(text: &str) -> Result<HttpService, String> {
    let (number, dir) = match text.split_once('=') {
        Some((number, dir)) => (number, Some(dir)),
        None => (text, None),
    };
    if dir.is_some_and(str::is_empty) {
        return Err("there is no directory behind the '='".into());
    }
    Ok(HttpService { port: port(number)?, dir: dir.map(Into::into) })
}

/// How many connections a service may have.
pub fn connections(text: &str) -> Result<usize, String> {
    in_range(text, 1, 1 << 20).map(|count| count as usize)
}

/// `http -H`: the name of a header field and its value.
pub fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or_else(|| {
        "write a name, a colon and a value, such as 'Range: bytes=0-99'".to_string()
    })?;
    Ok((name.trim().into(), value.trim().into()))
}

/// Any number its type can hold.
pub fn number<T: FromStr + TryFrom<u64>>(text: &str) -> Result<T, String> {
    let max = u64::MAX >> (64 - 8 * size_of::<T>());
    in_range(text, 0, max)
        .and_then(|number| T::try_from(number).map_err(|_| "out of range".to_string()))
}

/// `-i`, `-w`: seconds between requests, or to run.
pub fn duration(text: &str) -> Result<Duration, String> {
    seconds(text)
}

/// `nc -w`, `http -w`: seconds until patience ends.
pub fn patience(text: &str) -> Result<Duration, String> {
    let patience = seconds(text)?;
    if patience.is_zero() {
        return Err("the time to wait must be more than 0 seconds".into());
    }
    Ok(patience)
}

/// `-W`: seconds to wait for a reply; 0 waits for ever.
pub fn linger(text: &str) -> Result<Linger, String> {
    let linger = seconds(text)?;
    if !linger.is_zero() && linger < Duration::from_millis(1) {
        return Err("the time to wait is 0 (for ever) or at least 0.001 seconds".into());
    }
    Ok(Linger((!linger.is_zero()).then_some(linger)))
}

/// `trace -w`: `MAX[,HERE[,NEAR]]`.
pub fn wait(text: &str) -> Result<Wait, String> {
    let mut parts = text.split(',');
    let max = seconds(parts.next().unwrap_or_default())?;
    if max.is_zero() {
        return Err("the time to wait must be more than 0 seconds".into());
    }
    let mut factor = |default: f64| match parts.next() {
        None => Ok(default),
        Some(part) => decimal(part)
            .filter(|factor| (0.0..=1e6).contains(factor))
            .ok_or_else(|| format!("'{part}' is not a factor; write MAX,HERE,NEAR such as 5,3,10")),
    };
    let wait = Wait { max, here: factor(3.0)?, near: factor(10.0)? };
    match parts.next() {
        None => Ok(wait),
        Some(_) => Err("there are at most three numbers: MAX,HERE,NEAR".into()),
    }
}

/// `-M`.
pub fn discovery(text: &str) -> Result<Discovery, String> {
    match text {
        "do" => Ok(Discovery::Do),
        "want" => Ok(Discovery::Want),
        "dont" => Ok(Discovery::Dont),
        "probe" => Ok(Discovery::Probe),
        _ => Err("choose do, want, dont or probe".into()),
    }
}

/// `-p`: up to 16 bytes in hex; an odd last digit is a byte of its own, as in iputils.
pub fn pattern(text: &str) -> Result<Pattern, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("a pattern is written in hex digits, such as ff or c0ffee".into());
    }
    if text.len() > 32 {
        return Err("a pattern has at most 16 bytes (32 hex digits)".into());
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
    let byte = |pair: &[u8]| pair.iter().fold(0, |byte, &d| byte << 4 | digit(d));
    Ok(Pattern(text.as_bytes().chunks(2).map(byte).collect()))
}

/// `-Q`: a byte, decimal or 0x hex.
pub fn tos(text: &str) -> Result<u8, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with('+') => u8::from_str_radix(hex, 16),
        _ => text.parse(),
    };
    parsed.map_err(|_| "the type of service is 0 to 255, decimal or 0x hex".into())
}

fn in_range(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("this is not a whole number".into());
    }
    match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("out of range: {min} to {max}")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds =
        decimal(text).ok_or_else(|| "this is not a number of seconds such as 0.2".to_string())?;
    if !(0.0..=MAX_SECONDS).contains(&seconds) {
        return Err(format!("out of range: 0 to {MAX_SECONDS} seconds"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// A decimal number, without the words and signs that Rust's own parser takes as well.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'e' | b'E'));
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

#[cfg(test)]
mod tests;
