//! A host on a wire that is nothing but this test: it sends frames made by hand and hears what
//! comes back.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tapping_drivers::device::Device;
use tapping_drivers::packet_socket::PacketSocket;
use tapping_stack::packet::{Packet, PacketPool};
use tapping_stack::wire::checksum::checksum;
use tapping_stack::wire::{EtherType, Ethernet, Icmpv4, Ipv4, MacAddr, Protocol, vlan::Vlan};

use super::frames::{ArpMessage, Ip, frame, icmp};

/// The tester's link-layer address, and that of the host under test on every wire.
pub const TESTER: MacAddr = MacAddr([0x02, 0x74, 0, 0, 0, 0xee]);
pub const TARGET: MacAddr = MacAddr([0x02, 0x74, 10, 0, 0, 2]);
/// Whence the tester asks whether the host has seen all.
const FENCE_FROM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const FENCE_IDENT: [u8; 2] = [0xfe, 0xce];
/// An answer that takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The tester on one wire.
pub struct Prober {
    socket: PacketSocket,
    pool: PacketPool,
    host: Ipv4Addr,
    fences: u16,
}

impl Prober {
    /// On the interface `name`, whose other end is the host with the address `host`.
    pub fn new(name: &str, host: Ipv4Addr) -> Self {
        let socket = PacketSocket::open(name, TESTER).expect("a packet socket");
        Prober { socket, pool: PacketPool::new(16, 16), host, fences: 0 }
    }

    /// Sends frames and returns, one line each, what the host answers. An echo request sent after
    /// them marks the end: a host answers one packet after the other.
    pub fn ask(&mut self, frames: &[Vec<u8>]) -> Vec<String> {
        let mut answers = Vec::new();
        for frame in frames {
            self.send(frame);
        }
        // What waits for an address behind the first fence has it before the second.
        self.fence(&mut answers);
        self.fence(&mut answers);
        answers
    }

    /// Lets the host learn where `from` is.
    pub fn introduce(&mut self, from: Ipv4Addr) {
        let hello = Ip::new(from, self.host, Protocol::ICMP, icmp(8, 0, [0, 1, 0, 1], b"hello"));
        let answers = self.ask(&[frame(TARGET, TESTER, EtherType::IPV4, &hello.bytes())]);
        assert_eq!(answers.len(), 1, "{from} is greeted: {answers:?}");
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut packet = Packet::from_slice(bytes);
        let deadline = Instant::now() + PATIENCE;
        while let Err(refused) = self.socket.transmit(packet) {
            let again = refused.is_would_block() && Instant::now() < deadline;
            assert!(again, "{} bytes: {refused}", bytes.len());
            packet = refused.packet;
        }
    }

    fn fence(&mut self, answers: &mut Vec<String>) {
        self.fences += 1;
        let [a, b] = self.fences.to_be_bytes();
        let rest = [FENCE_IDENT[0], FENCE_IDENT[1], a, b];
        let request = Ip::new(FENCE_FROM, self.host, Protocol::ICMP, icmp(8, 0, rest, b""));
        self.send(&frame(TARGET, TESTER, EtherType::IPV4, &request.bytes()));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let Some(packet) = self.socket.receive(&mut self.pool).expect("receive") else {
                std::thread::sleep(Duration::from_micros(50));
                continue;
            };
            let bytes = packet.bytes();
            if self.answer_arp(bytes) {
                continue;
            }
            let payload = Ethernet::parse(bytes).map(|frame| frame.payload());
            let ip = payload.ok().and_then(|payload| Ipv4::parse(payload).ok());
            let is_reply =
                |ip: Ipv4<'_>| ip.dst() == FENCE_FROM && ip.payload().get(4..) == Some(&rest[..]);
            if ip.is_some_and(is_reply) {
                return;
            }
            answers.push(describe(bytes));
        }
        panic!("the host under test on {} is silent", self.socket.name());
    }

    /// The tester is whoever the host asks for.
    fn answer_arp(&mut self, bytes: &[u8]) -> bool {
        let Ok(heard) = Ethernet::parse(bytes) else { return false };
        let arp = heard.payload();
        if heard.ethertype() != EtherType::ARP || arp.get(7) != Some(&1) || arp.len() < 28 {
            return false;
        }
        let addr = |at: usize| Ipv4Addr::new(arp[at], arp[at + 1], arp[at + 2], arp[at + 3]);
        let mut reply = ArpMessage::request(TESTER, addr(24), addr(14));
        reply.operation = 2;
        reply.target_mac = TARGET;
        self.send(&frame(TARGET, TESTER, EtherType::ARP, &reply.bytes()));
        true
    }
}

/// A frame as a line of text, without what differs from host to host and from time to time: IP
/// identifiers, checksums (whether they are right is told), times.
fn describe(bytes: &[u8]) -> String {
    let Ok(frame) = Ethernet::parse(bytes) else { return format!("frame {}", hex(bytes)) };
    let to = if frame.dst() == TESTER { String::new() } else { format!("to {} ", frame.dst()) };
    let from = if frame.src() == TARGET { String::new() } else { format!("by {} ", frame.src()) };
    let (ethertype, payload, tag) = match frame.ethertype() {
        EtherType::VLAN | EtherType::QINQ => match Vlan::parse(frame.payload()) {
            Ok(vlan) => (vlan.ethertype(), vlan.payload(), format!("vlan {} ", vlan.vid())),
            Err(_) => return format!("frame {}", hex(bytes)),
        },
        other => (other, frame.payload(), String::new()),
    };
    let what = match (ethertype, Ipv4::parse(payload)) {
        (EtherType::IPV4, Ok(ip)) => describe_ip(&ip, payload),
        (EtherType::ARP, _) => format!("arp {}", hex(payload)),
        (other, _) => format!("{:04x} {}", other.0, hex(payload)),
    };
    to + &from + &tag + &what
}

fn describe_ip(ip: &Ipv4<'_>, bytes: &[u8]) -> String {
    let mut text = String::new();
    let flags = [(ip.dont_fragment(), " DF"), (ip.more_fragments(), " MF")];
    let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    let sound = if ip.verify_checksum() { "" } else { " BAD HEADER CHECKSUM" };
    let padding = match bytes.len() - ip.total_len() {
        0 => String::new(),
        more => format!(" +{more} padding"),
    };
    let _ = write!(
        text,
        "ip {} > {} tos {:#04x} ttl {}{flags} offset {} options {}{padding}{sound} ",
        ip.src(),
        ip.dst(),
        ip.tos(),
        ip.ttl(),
        ip.fragment_offset(),
        hex(&without_times(ip.header())[20..]),
    );
    match (ip.protocol(), Icmpv4::parse(ip.payload())) {
        (Protocol::ICMP, Ok(icmp)) if !ip.is_fragment() => {
            let sound = if icmp.verify_checksum() { "" } else { " BAD CHECKSUM" };
            let _ = write!(text, "icmp {}/{}{sound} ", icmp.icmp_type(), icmp.code());
            match icmp.icmp_type() {
                // The originate timestamp is the asker's.
                14 => text += &hex(&ip.payload()[4..12]),
                3 | 5 | 11 | 12 => {
                    let _ = write!(text, "{} quoting {}", hex(&icmp.rest()), quote(icmp.payload()));
                }
                _ => text += &hex(&ip.payload()[4..]),
            }
        }
        (Protocol(other), _) => {
            let _ = write!(text, "protocol {other} {}", hex(ip.payload()));
        }
    }
    text
}

/// The packet that an error quotes.
fn quote(quoted: &[u8]) -> String {
    let header_len = usize::from(quoted.first().copied().unwrap_or(0) & 15) * 4;
    match quoted.split_at_checked(header_len) {
        Some((header, rest)) if header_len >= 20 => {
            let mut header = without_times(header);
            header[10..12].fill(0);
            format!("{} + {}", hex(&header), hex(rest))
        }
        _ => hex(quoted),
    }
}

/// A header with the times of its timestamp option set to 0: what is less than a day's
/// milliseconds is no address that the probes use.
fn without_times(header: &[u8]) -> Vec<u8> {
    const MILLIS_PER_DAY: u32 = 86_400_000;
    let mut header = header.to_vec();
    let mut at = 20;
    while at + 3 < header.len() && header[at] != 0 {
        let len = usize::from(header[at + 1]);
        match header[at] {
            1 => at += 1,
            68 if len >= 4 && at + len <= header.len() => {
                let only_times = header[at + 3] & 15 == 0;
                let entries = &mut header[at + 4..at + len];
                if only_times {
                    entries.fill(0);
                }
                for word in entries.as_chunks_mut::<4>().0 {
                    if u32::from_be_bytes(*word) < MILLIS_PER_DAY {
                        *word = [0; 4];
                    }
                }
                at += len;
            }
            _ => at += len.max(1),
        }
    }
    header
}

/// Short bytes in full, long ones by their beginning, length and sum.
fn hex(bytes: &[u8]) -> String {
    let digits =
        |bytes: &[u8]| bytes.iter().fold(String::new(), |s, byte| s + &format!("{byte:02x}"));
    match bytes.len() {
        0..=96 => digits(bytes),
        len => format!("{}… {len} bytes, sum {:04x}", digits(&bytes[..32]), checksum(bytes)),
    }
}
