//! UDP to ports where nobody listens.

use std::net::Ipv4Addr;

use tapping_stack::wire::Protocol;

use super::{HOST, Probes};
use crate::interop::frames::{DF, Ip, udp};

fn datagram(from: Ipv4Addr, port: u16, data: &[u8]) -> Ip {
    Ip::new(from, HOST, Protocol::UDP, udp(from, HOST, port, data))
}

pub fn probes(probes: &mut Probes) {
    for len in [0, 1, 8, 519, 520, 521, 1472] {
        probes.packet(format!("{len} bytes"), |from| datagram(from, 9, &vec![0x42; len]));
    }
    for port in [0, 1, 68, 33_434, 65_535] {
        probes.packet(format!("port {port}"), |from| datagram(from, port, b"abc"));
    }
    probes.packet("from port 0", |from| {
        datagram(from, 9, b"abc").with(|ip| {
            ip.payload[..2].fill(0);
            ip.payload[6..8].fill(0);
        })
    });
    probes.packet("no checksum", |from| {
        datagram(from, 9, b"abc").with(|ip| ip.payload[6..8].fill(0))
    });
    probes.packet("bad checksum", |from| datagram(from, 9, b"abc").with(|ip| ip.payload[6] ^= 1));
    for claimed in [0u16, 7, 8, 10, 11, 12, 100, 65_535] {
        for checksummed in [true, false] {
            let sum = if checksummed { "" } else { ", no checksum" };
            let probe = probes.packet(format!("length {claimed} of 11{sum}"), |from| {
                datagram(from, 9, b"abc").with(|ip| {
                    ip.payload[4..6].copy_from_slice(&claimed.to_be_bytes());
                    if !checksummed {
                        ip.payload[6..8].fill(0);
                    }
                })
            });
            if !checksummed && (8..11).contains(&claimed) {
                probe.differs("what is behind the datagram is quoted, too");
            }
        }
    }
    for len in [0, 4, 7] {
        probes.packet(format!("{len} bytes of a header"), |from| {
            datagram(from, 9, b"").with(|ip| ip.payload.truncate(len))
        });
    }
    for tos in [0x01, 0x10, 0x1e, 0x20, 0xe0, 0xff] {
        probes.packet(format!("TOS {tos:#x}"), |from| {
            datagram(from, 9, b"abc").with(|ip| ip.tos = tos)
        });
    }
    for ttl in [0, 1, 255] {
        probes
            .packet(format!("TTL {ttl}"), |from| datagram(from, 9, b"abc").with(|ip| ip.ttl = ttl));
    }
    probes.packet("DF", |from| datagram(from, 9, b"abc").with(|ip| ip.flags = DF));
    probes
        .packet("padding", |from| datagram(from, 9, b"abc").with(|ip| ip.trailer = vec![0xaa; 15]));
    probes
        .packets("many at once", |from| (0..20).map(|n| datagram(from, 100 + n, b"abc")).collect());
}
