//! ICMP messages of all types.

use tapping_stack::wire::Protocol;

use super::{HOST, Probes};
use crate::interop::frames::{Ip, echo, icmp, udp};

pub fn probes(probes: &mut Probes) {
    for len in [0, 1, 7, 56, 1400] {
        probes.icmp(format!("echo of {len} bytes"), echo(&vec![0x5a; len]));
    }
    // Sums that come to 0 or 0xffff in one or the other direction.
    for data in [[0xf7, 0xf7], [0xf7, 0xf6], [0xff, 0xff], [0xff, 0xf7], [0xef, 0xf7], [0, 1]] {
        probes.icmp(format!("echo whose data is {data:?}"), icmp(8, 0, [0; 4], &data));
    }
    probes
        .icmp("echo of zeros", icmp(8, 0, [0; 4], &[0; 2]))
        .differs("the checksum 0 of the kernel's reply does not verify");
    probes.icmp("echo of identifier 0xffff", icmp(8, 0, [0xff; 4], b"all ones"));
    for code in [1, 7, 255] {
        probes.icmp(format!("echo with code {code}"), icmp(8, code, [0, 7, 0, 1], b"code"));
    }
    for tos in [0x02, 0x03, 0x10, 0xb8, 0xfc, 0xff] {
        probes.packet(format!("echo with TOS {tos:#x}"), |from| {
            Ip::new(from, HOST, Protocol::ICMP, echo(b"tos")).with(|ip| ip.tos = tos)
        });
    }
    for types in [0u8..=63, 250..=255] {
        for icmp_type in types {
            probes.icmp(
                format!("type {icmp_type}"),
                icmp(icmp_type, 0, [0, 7, 0, 1], b"twenty bytes of data"),
            );
        }
    }
    probes.icmp("type 8, bad checksum", {
        let mut message = echo(b"bad checksum");
        message[2] ^= 1;
        message
    });
    probes.icmp("type 8, checksum 0", {
        let mut message = echo(b"no checksum");
        message[2..4].fill(0);
        message
    });
    for len in [0, 1, 4, 7] {
        probes.icmp(format!("a message of {len} bytes"), {
            let mut message = icmp(8, 0, [0; 4], b"");
            message.truncate(len);
            message
        });
    }
    for (name, code, len) in [
        ("timestamp", 0, 12),
        ("timestamp with code 1", 1, 12),
        ("timestamp with more behind", 0, 20),
        ("timestamp of 0 bytes", 0, 0),
    ] {
        probes.icmp(name, icmp(13, code, [0, 7, 0, 1], &vec![0x11; len]));
    }
    probes
        .icmp("timestamp of 11 bytes", icmp(13, 0, [0, 7, 0, 1], &[0x11; 11]))
        .differs("short timestamp requests are malformed");
    probes.icmp("address mask request", icmp(17, 0, [0, 7, 0, 1], &[0; 4]));
    probes.icmp("extended echo for eth0", icmp(42, 0, [0, 7, 0, 1], &[0, 8, 3, 1, 10, 0, 0, 2]));
    errors(probes);
}

/// Errors about packets of the host's, which are answered by nothing.
fn errors(probes: &mut Probes) {
    for (icmp_type, code) in [
        (3, 0),
        (3, 1),
        (3, 3),
        (3, 4),
        (3, 13),
        (3, 15),
        (3, 200),
        (4, 0),
        (5, 0),
        (5, 1),
        (11, 0),
        (12, 0),
    ] {
        probes.packet(format!("error {icmp_type}/{code} about a UDP datagram"), |from| {
            let about = Ip::new(HOST, from, Protocol::UDP, udp(HOST, from, 9, b"never sent"));
            let message = icmp(icmp_type, code, [0, 0, 2, 68], &about.bytes());
            Ip::new(from, HOST, Protocol::ICMP, message)
        });
    }
    for len in [0, 1, 19, 20, 27, 28] {
        probes.packet(format!("error that quotes {len} bytes"), |from| {
            let about = Ip::new(HOST, from, Protocol::ICMP, echo(b"never sent"));
            let message = icmp(3, 1, [0; 4], &about.bytes()[..len]);
            Ip::new(from, HOST, Protocol::ICMP, message)
        });
    }
}
