//! Frames made by hand, right or wrong in every field.

use std::net::Ipv4Addr;

use tapping_stack::wire::checksum::checksum;
use tapping_stack::wire::ipv4::pseudo_header_sum;
use tapping_stack::wire::{EtherType, MacAddr, Protocol};

/// An Ethernet frame.
pub fn frame(dst: MacAddr, src: MacAddr, ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    [&dst.0[..], &src.0, &ethertype.0.to_be_bytes(), payload].concat()
}

/// An IPv4 packet in the making. What is `None` is made right.
#[derive(Debug, Clone)]
pub struct Ip {
    pub version_ihl: Option<u8>,
    pub tos: u8,
    pub total_len: Option<u16>,
    pub id: u16,
    /// The reserved bit, DF and MF, as the upper three bits.
    pub flags: u16,
    /// In bytes.
    pub offset: u16,
    pub ttl: u8,
    pub protocol: Protocol,
    pub bad_checksum: bool,
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
    /// Behind the packet, within the frame.
    pub trailer: Vec<u8>,
}

pub const RESERVED: u16 = 0x8000;
pub const DF: u16 = 0x4000;
pub const MF: u16 = 0x2000;

impl Ip {
    pub fn new(src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, payload: Vec<u8>) -> Self {
        Ip {
            version_ihl: None,
            tos: 0,
            total_len: None,
            id: 0x1234,
            flags: 0,
            offset: 0,
            ttl: 64,
            protocol,
            bad_checksum: false,
            src,
            dst,
            options: Vec::new(),
            payload,
            trailer: Vec::new(),
        }
    }

    /// With these options, as they are; a multiple of four bytes.
    pub fn options(mut self, options: &[u8]) -> Self {
        assert_eq!(options.len() % 4, 0);
        self.options = options.to_vec();
        self
    }

    /// With what `change` does to it.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The part of it from byte `from` of its payload to before `to`, as a fragment.
    pub fn fragment(&self, from: usize, to: usize) -> Self {
        let to = to.min(self.payload.len());
        let more = if to < self.payload.len() { MF } else { 0 };
        self.clone().with(|ip| {
            ip.offset = from as u16;
            ip.flags |= more;
            ip.payload = self.payload[from..to].to_vec();
        })
    }

    /// The packet's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let header_len = 20 + self.options.len();
        let total_len = self.total_len.unwrap_or((header_len + self.payload.len()) as u16);
        let mut header = vec![self.version_ihl.unwrap_or(0x40 | (header_len / 4) as u8), self.tos];
        header.extend(total_len.to_be_bytes());
        header.extend(self.id.to_be_bytes());
        header.extend((self.flags | (self.offset / 8)).to_be_bytes());
        header.extend([self.ttl, self.protocol.0, 0, 0]);
        header.extend(self.src.octets());
        header.extend(self.dst.octets());
        header.extend(&self.options);
        let sum = checksum(&header) ^ u16::from(self.bad_checksum);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        [&header[..], &self.payload, &self.trailer].concat()
    }
}

/// An ICMP message with its checksum.
pub fn icmp(icmp_type: u8, code: u8, rest: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut message = [&[icmp_type, code, 0, 0], &rest[..], data].concat();
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// The usual echo request: identifier 7, sequence number 1.
pub fn echo(data: &[u8]) -> Vec<u8> {
    icmp(8, 0, [0, 7, 0, 1], data)
}

/// A UDP datagram with its checksum.
pub fn udp(src: Ipv4Addr, dst: Ipv4Addr, dst_port: u16, data: &[u8]) -> Vec<u8> {
    let len = 8 + data.len() as u16;
    let mut datagram = 40_000u16.to_be_bytes().to_vec();
    datagram.extend(dst_port.to_be_bytes());
    datagram.extend(len.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(data);
    let sum = pseudo_header_sum(src, dst, Protocol::UDP, len).add(&datagram).finish();
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

/// An ARP message in the making, for Ethernet and IPv4.
#[derive(Debug, Clone)]
pub struct ArpMessage {
    pub hardware: u16,
    pub protocol: u16,
    pub lengths: [u8; 2],
    pub operation: u16,
    pub sender_mac: MacAddr,
    pub sender_ip: Ipv4Addr,
    pub target_mac: MacAddr,
    pub target_ip: Ipv4Addr,
}

impl ArpMessage {
    /// Who has `target`?
    pub fn request(sender_mac: MacAddr, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Self {
        ArpMessage {
            hardware: 1,
            protocol: 0x0800,
            lengths: [6, 4],
            operation: 1,
            sender_mac,
            sender_ip,
            target_mac: MacAddr::ZERO,
            target_ip,
        }
    }

    /// With what `change` does to it.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.hardware.to_be_bytes().to_vec();
        bytes.extend(self.protocol.to_be_bytes());
        bytes.extend(self.lengths);
        bytes.extend(self.operation.to_be_bytes());
        bytes.extend(self.sender_mac.0);
        bytes.extend(self.sender_ip.octets());
        bytes.extend(self.target_mac.0);
        bytes.extend(self.target_ip.octets());
        bytes
    }
}
