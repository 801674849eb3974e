//! Packets with TCP segments as bytes, cut, joined and mended.

use std::net::Ipv4Addr;

use tapping_stack::wire::ipv4::{self, pseudo_header_sum};
use tapping_stack::wire::{Ipv4, Protocol, Tcp, TcpFlags, TcpOption, TcpOptions, tcp};

const TCP: usize = ipv4::HEADER_LEN;
/// Where the flags are in a packet without IP options.
const FLAGS: usize = TCP + 13;

/// The length of both headers of a packet that is a whole, undamaged TCP segment without IP
/// options.
pub fn headers(packet: &[u8]) -> Option<usize> {
    let view = Ipv4::parse(packet).ok()?;
    let plain = view.header_len() == TCP && !view.is_fragment();
    if !plain || view.protocol() != Protocol::TCP || view.total_len() != packet.len() {
        return None;
    }
    let segment = Tcp::parse(view.payload()).ok()?;
    let len = view.payload().len() as u16;
    let pseudo = pseudo_header_sum(view.src(), view.dst(), Protocol::TCP, len);
    (view.verify_checksum() && segment.verify_checksum(pseudo)).then(|| TCP + segment.header_len())
}

/// Makes lengths and checksums right.
pub fn mend(packet: &mut [u8]) {
    let len = packet.len() as u16;
    ipv4::set_total_len(packet, len);
    ipv4::fill_checksum(packet);
    let (src, dst) = match Ipv4::parse(packet) {
        Ok(view) => (view.src(), view.dst()),
        Err(_) => return,
    };
    let len = (packet.len() - TCP) as u16;
    tcp::fill_checksum(&mut packet[TCP..], pseudo_header_sum(src, dst, Protocol::TCP, len));
}

fn flags(packet: &[u8]) -> TcpFlags {
    TcpFlags::from_bits_truncate(packet[FLAGS].into())
}

fn seq(packet: &[u8]) -> u32 {
    u32::from_be_bytes([packet[TCP + 4], packet[TCP + 5], packet[TCP + 6], packet[TCP + 7]])
}

/// Cuts a segment in two, the first with `at` (modulo its length) bytes of payload.
pub fn split(packet: &[u8], at: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let headers = headers(packet)?;
    let payload = packet.len() - headers;
    if payload < 2 || flags(packet).contains(TcpFlags::SYN) {
        return None;
    }
    let at = 1 + at % (payload - 1);
    let mut first = packet[..headers + at].to_vec();
    first[FLAGS] &= !((TcpFlags::FIN | TcpFlags::PSH).bits() as u8);
    let mut second = packet[..headers].to_vec();
    second.extend(&packet[headers + at..]);
    let moved = seq(packet).wrapping_add(at as u32).to_be_bytes();
    second[TCP + 4..TCP + 8].copy_from_slice(&moved);
    mend(&mut first);
    mend(&mut second);
    Some((first, second))
}

/// Joins two segments of which one follows on the other.
pub fn join(first: &[u8], second: &[u8]) -> Option<Vec<u8>> {
    let (a, b) = (headers(first)?, headers(second)?);
    let (one, two) = (first.len() - a, second.len() - b);
    let barrier = TcpFlags::SYN | TcpFlags::RST | TcpFlags::URG;
    let hard =
        flags(first).intersects(barrier | TcpFlags::FIN) || flags(second).intersects(barrier);
    let addresses = first[12..24] == second[12..24];
    let follows = seq(first).wrapping_add(one as u32) == seq(second);
    if hard || !addresses || !follows || two == 0 || a + one + two > usize::from(u16::MAX) {
        return None;
    }
    let mut joined = second[..b].to_vec();
    joined[TCP + 4..TCP + 8].copy_from_slice(&first[TCP + 4..TCP + 8]);
    joined.extend(&first[a..]);
    joined.extend(&second[b..]);
    mend(&mut joined);
    Some(joined)
}

/// Congestion is experienced, if the packet may say so.
pub fn mark_congestion(packet: &mut [u8]) {
    let Ok(view) = Ipv4::parse(packet) else { return };
    let tos = view.tos();
    if tos & 3 != 0 {
        ipv4::set_tos(packet, tos | 3);
        ipv4::fill_checksum(packet);
    }
}

/// One line about a packet.
pub fn describe(packet: &[u8]) -> String {
    let Ok(view) = Ipv4::parse(packet) else { return "no IPv4".to_owned() };
    match Tcp::parse(view.payload()) {
        Ok(tcp) if view.protocol() == Protocol::TCP && !view.is_fragment() => {
            let options = TcpOptions::new(tcp.options());
            let sacks: Vec<_> = options
                .flatten()
                .filter_map(|option| match option {
                    TcpOption::Sack(blocks) => Some(blocks.iter().collect::<Vec<_>>()),
                    _ => None,
                })
                .collect();
            let (seq, ack, len) = (tcp.seq().0, tcp.ack().0, tcp.payload().len());
            format!(
                "{:?} {seq}:{}({len}) ack {ack} win {} {sacks:?}",
                tcp.flags(),
                seq.wrapping_add(len as u32),
                tcp.window()
            )
        }
        _ => format!("{view:?}"),
    }
}

/// What must be true of every packet that leaves. Its addresses.
///
/// # Panics
/// When it is not.
pub fn check(packet: &[u8], mtu: usize) -> (Ipv4Addr, Ipv4Addr) {
    assert!(packet.len() <= mtu, "{} bytes over an MTU of {mtu}", packet.len());
    let view = Ipv4::parse(packet).expect("an IPv4 packet");
    assert!(view.verify_checksum(), "checksum of the header: {packet:02x?}");
    let (src, dst) = (view.src(), view.dst());
    if view.protocol() == Protocol::TCP && !view.is_fragment() {
        let payload = view.payload();
        let pseudo = pseudo_header_sum(src, dst, Protocol::TCP, payload.len() as u16);
        let segment = Tcp::parse(payload).expect("a TCP segment");
        assert!(segment.verify_checksum(pseudo), "checksum of the segment: {packet:02x?}");
    }
    (src, dst)
}
