//! Benchmarks, and what several of them need.
//!
//! `cargo bench -p tapping-benches` runs all in some four minutes, with `-- --quick` in less than
//! one; `--bench NAME` runs one of them. Times are this machine's. What counts are ratios within
//! one run: to the other libraries under the same name, to the bare loops of `tap`, and from small
//! tables to large ones.
//!
//! | name | what |
//! | --- | --- |
//! | `wire` | parsing and checksums, beside etherparse, pnet_packet and smoltcp |
//! | `echo` | an echo request in, its reply out, in process, beside smoltcp |
//! | `route` | lookups in tables of 10 to 100,000 routes |
//! | `tcp` | bulk transfers, small exchanges over up to 100,000 connections, set-up, beside smoltcp |
//! | `tap` | ping round trips over a TAP, beside loops that only swap addresses |

pub mod pair;

use std::net::Ipv4Addr;
use std::time::Duration;

use criterion::Criterion;
use tapping_stack::wire::arp::{self, Arp};
use tapping_stack::wire::ethernet::{self, EthernetRepr};
use tapping_stack::wire::icmpv4::{self, Message};
use tapping_stack::wire::ipv4::{self, Ipv4Repr, Protocol};
use tapping_stack::wire::{ArpOperation, EtherType, MacAddr};

/// Shorter than Criterion's own settings, whose precision shared machines do not give anyway.
pub fn criterion() -> Criterion {
    let (warm_up, measurement) = (Duration::from_millis(500), Duration::from_secs(3));
    Criterion::default().warm_up_time(warm_up).measurement_time(measurement)
}

/// A station: its link-layer and its protocol address.
pub type Station = (MacAddr, Ipv4Addr);

/// An ICMP echo request of `frame_len` bytes, at least 42, from one station to another.
pub fn echo_request(from: Station, to: Station, frame_len: usize) -> Vec<u8> {
    let mut frame = vec![0; frame_len];
    let (header, packet) = frame.split_at_mut(ethernet::HEADER_LEN);
    EthernetRepr { dst: to.0, src: from.0, ethertype: EtherType::IPV4 }.emit(header);
    let total_len = packet.len() as u16;
    let message = &mut packet[ipv4::HEADER_LEN..];
    Message::Echo { ident: 1, sequence: 1 }.emit(message);
    icmpv4::fill_checksum(message);
    Ipv4Repr {
        tos: 0,
        id: 1,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: Protocol::ICMP,
        src: from.1,
        dst: to.1,
        total_len,
        options_len: 0,
    }
    .emit(packet);
    frame
}

/// An ARP request for `target`.
pub fn arp_request(from: Station, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN + arp::LEN];
    let (header, message) = frame.split_at_mut(ethernet::HEADER_LEN);
    let dst = MacAddr::BROADCAST;
    EthernetRepr { dst, src: from.0, ethertype: EtherType::ARP }.emit(header);
    Arp {
        operation: ArpOperation::Request,
        sender_mac: from.0,
        sender_ip: from.1,
        target_mac: MacAddr::ZERO,
        target_ip: target,
    }
    .emit(message);
    frame
}
