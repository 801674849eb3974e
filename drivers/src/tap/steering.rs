//! Which queue of several a frame comes by, made known: a program of ours in the kernel
//! (`TUNSETSTEERINGEBPF`) takes the place of its own choice.
//!
//! The program hashes addresses and, of TCP and UDP that is not fragmented, ports with secret keys
//! (multilinear hashing), so that strangers cannot aim at one queue, and whoever has the keys knows
//! where answers will come before anything is sent. Everything but IPv4 goes to the first queue.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::BorrowedFd;

use tapping_stack::wire::arp::{Arp, ArpOperation};
use tapping_stack::wire::ethernet::EtherType;
use tapping_stack::wire::icmpv4;
use tapping_stack::wire::ipv4::{Ipv4, Protocol};

use crate::checksum::network_offset;
use crate::{random, sys};

#[cfg(test)]
mod tests;

/// Offsets in an untagged frame; the kernel keeps a tag beside it.
const ETHERTYPE: i32 = 12;
const IP_VERSION_IHL: i32 = 14;
const IP_FRAGMENT: i32 = 20;
const IP_PROTOCOL: i32 = 23;
const IP_SRC: i32 = 26;
const IP_DST: i32 = 30;
/// The MF flag and the fragment offset.
const FRAGMENTED: i32 = 0x3fff;
const ETHERTYPE_IPV4: i32 = EtherType::IPV4.0 as i32;
const TCP: i32 = Protocol::TCP.0 as i32;
const UDP: i32 = Protocol::UDP.0 as i32;

/// How the queues of one TAP are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steering {
    keys: [u64; 3],
    queues: u32,
}

impl Steering {
    /// Steers frames for `queues` queues of the TAP that `fd` is attached to.
    ///
    /// # Errors
    /// Those of bpf(2), which takes `CAP_BPF` outside any user namespace, and of the ioctl.
    pub(super) fn install(fd: BorrowedFd<'_>, queues: usize) -> io::Result<Self> {
        let mut keys = [0; 3];
        for key in &mut keys {
            *key = random::seed()?;
        }
        let steering = Steering { keys, queues: queues.try_into().unwrap_or(u32::MAX).max(1) };
        sys::tun_steer(fd, &steering.program())?;
        Ok(steering)
    }

    /// The queue that frames of a flow come by: packets of `protocol` from `remote` to `local`. Those
    /// that have no ports have zero for them; so do those that are fragmented, even of TCP and UDP.
    pub fn queue_of(&self, protocol: u8, remote: SocketAddrV4, local: SocketAddrV4) -> usize {
        let has_ports = matches!(Protocol(protocol), Protocol::TCP | Protocol::UDP);
        let ports = u32::from(remote.port()) << 16 | u32::from(local.port());
        self.queue(*remote.ip(), *local.ip(), if has_ports { ports } else { 0 })
    }

    fn queue(&self, src: Ipv4Addr, dst: Ipv4Addr, ports: u32) -> usize {
        let words = [src.to_bits(), dst.to_bits(), ports];
        let sum = self
            .keys
            .iter()
            .zip(words)
            .fold(0u64, |sum, (key, word)| sum.wrapping_add(key.wrapping_mul(word.into())));
        ((sum >> 32) as u32 % self.queues) as usize
    }

    /// The same for the kernel, which divides by the number of queues itself. R6 is where loads find
    /// the frame, what they load comes in R0, and R7 is the sum.
    fn program(&self) -> Vec<u64> {
        use insn::*;
        let [src, dst, ports] = self.keys;
        let mut program = Vec::with_capacity(31);
        program.extend([mov(6, 1), load_half(ETHERTYPE), skip_unless(ETHERTYPE_IPV4, 26)]);
        program.push(load_word(IP_SRC));
        program.extend(set(7, src));
        program.extend([mul(7, 0), load_word(IP_DST)]);
        program.extend(set(8, dst));
        program.extend([mul(8, 0), add(7, 8)]);
        program.extend([load_half(IP_FRAGMENT), skip_if_any(FRAGMENTED, 12)]);
        program.extend([load_byte(IP_PROTOCOL), skip_if(TCP, 1), skip_unless(UDP, 9)]);
        // The ports are behind the header, whose length is in words of 4 bytes.
        program.extend([load_byte(IP_VERSION_IHL), and(0, 15), shift_left(0, 2), mov(8, 0)]);
        program.push(load_word_behind(8, IP_VERSION_IHL));
        program.extend(set(8, ports));
        program.extend([mul(8, 0), add(7, 8)]);
        program.extend([shift_right(7, 32), mov(0, 7), exit()]);
        program.extend([clear(0), exit()]);
        program
    }
}

/// Instructions of eBPF (RFC 9669): opcode, two registers, offset of a jump, immediate.
mod insn {
    const fn insn(code: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> u64 {
        let registers =
            if cfg!(target_endian = "little") { src << 4 | dst } else { dst << 4 | src };
        let offset = offset.to_ne_bytes();
        let immediate = immediate.to_ne_bytes();
        u64::from_ne_bytes([
            code,
            registers,
            offset[0],
            offset[1],
            immediate[0],
            immediate[1],
            immediate[2],
            immediate[3],
        ])
    }

    /// R0 is what is at `at` in the frame, in host order; outside of it the program ends with 0.
    pub(super) const fn load_word(at: i32) -> u64 {
        insn(0x20, 0, 0, 0, at)
    }
    pub(super) const fn load_half(at: i32) -> u64 {
        insn(0x28, 0, 0, 0, at)
    }
    pub(super) const fn load_byte(at: i32) -> u64 {
        insn(0x30, 0, 0, 0, at)
    }
    /// The same, as far behind `at` as the register says.
    pub(super) const fn load_word_behind(register: u8, at: i32) -> u64 {
        insn(0x40, 0, register, 0, at)
    }
    pub(super) const fn mov(dst: u8, src: u8) -> u64 {
        insn(0xbf, dst, src, 0, 0)
    }
    pub(super) const fn clear(dst: u8) -> u64 {
        insn(0xb7, dst, 0, 0, 0)
    }
    pub(super) const fn set(dst: u8, value: u64) -> [u64; 2] {
        [insn(0x18, dst, 0, 0, value as i32), insn(0, 0, 0, 0, (value >> 32) as i32)]
    }
    pub(super) const fn add(dst: u8, src: u8) -> u64 {
        insn(0x0f, dst, src, 0, 0)
    }
    pub(super) const fn mul(dst: u8, src: u8) -> u64 {
        insn(0x2f, dst, src, 0, 0)
    }
    pub(super) const fn and(dst: u8, bits: i32) -> u64 {
        insn(0x57, dst, 0, 0, bits)
    }
    pub(super) const fn shift_left(dst: u8, bits: i32) -> u64 {
        insn(0x67, dst, 0, 0, bits)
    }
    pub(super) const fn shift_right(dst: u8, bits: i32) -> u64 {
        insn(0x77, dst, 0, 0, bits)
    }
    /// Skips so many instructions if R0 is that, is not, or has any of these bits.
    pub(super) const fn skip_if(value: i32, count: i16) -> u64 {
        insn(0x15, 0, 0, count, value)
    }
    pub(super) const fn skip_unless(value: i32, count: i16) -> u64 {
        insn(0x55, 0, 0, count, value)
    }
    pub(super) const fn skip_if_any(bits: i32, count: i16) -> u64 {
        insn(0x45, 0, 0, count, bits)
    }
    pub(super) const fn exit() -> u64 {
        insn(0x95, 0, 0, 0, 0)
    }
}

/// Whether a frame is for all stacks that share an address over several queues, and not for the one
/// alone whose queue it comes by: ARP replies, ICMP errors, which the flow they are about does not
/// steer, and IGMP. Given to a stack that has not asked it does no harm.
pub fn concerns_all(frame: &[u8]) -> bool {
    let network = network_offset(frame);
    let Some((link, packet)) = frame.split_at_checked(network) else { return false };
    let ethertype = link.last_chunk::<2>().map(|bytes| EtherType(u16::from_be_bytes(*bytes)));
    match ethertype {
        Some(EtherType::ARP) => {
            Arp::parse(packet).is_ok_and(|arp| arp.operation == ArpOperation::Reply)
        }
        Some(EtherType::IPV4) => Ipv4::parse(packet).is_ok_and(|header| match header.protocol() {
            Protocol::IGMP => true,
            Protocol::ICMP => header.payload().first().is_some_and(|kind| icmpv4::is_error(*kind)),
            _ => false,
        }),
        _ => false,
    }
}
