//! Header fields, addresses, protocols and lengths.

use std::net::Ipv4Addr;

use tapping_stack::wire::{EtherType, MacAddr, Protocol};

use super::{HOST, Probes, framed_to};
use crate::interop::frames::{DF, Ip, RESERVED, echo, frame, udp};
use crate::interop::prober::{TARGET, TESTER};

fn ping(from: Ipv4Addr) -> Ip {
    Ip::new(from, HOST, Protocol::ICMP, echo(b"abcdefgh"))
}

fn datagram(from: Ipv4Addr, dst: Ipv4Addr) -> Ip {
    Ip::new(from, dst, Protocol::UDP, udp(from, dst, 9, b"abcdefgh"))
}

pub fn probes(probes: &mut Probes) {
    fields(probes);
    lengths(probes);
    protocols(probes);
    sources(probes);
    destinations(probes);
}

fn fields(probes: &mut Probes) {
    for ttl in [0, 1, 2, 255] {
        probes.packet(format!("TTL {ttl}"), |from| ping(from).with(|ip| ip.ttl = ttl));
    }
    for (name, flags) in [("DF", DF), ("the reserved bit", RESERVED), ("both", RESERVED | DF)] {
        probes.packet(format!("{name} set"), |from| ping(from).with(|ip| ip.flags = flags));
    }
    probes.packet("identifier 0", |from| ping(from).with(|ip| ip.id = 0));
    probes.packet("bad header checksum", |from| ping(from).with(|ip| ip.bad_checksum = true));
    for version_ihl in [0x05, 0x35, 0x55, 0x65, 0xf5, 0x40, 0x44, 0x46, 0x4f] {
        probes.packet(format!("version and IHL {version_ihl:#04x}"), |from| {
            ping(from).with(|ip| ip.version_ihl = Some(version_ihl))
        });
    }
    probes.packet("IHL beyond the packet", |from| {
        ping(from).with(|ip| {
            ip.version_ihl = Some(0x4f);
            ip.payload.truncate(0);
        })
    });
}

fn lengths(probes: &mut Probes) {
    for total_len in [0, 1, 19, 20, 27, 28, 35, 36, 37, 60, 65_535] {
        probes.packet(format!("total length {total_len} of 36"), |from| {
            ping(from).with(|ip| ip.total_len = Some(total_len))
        });
    }
    for len in [1, 10, 400] {
        probes.packet(format!("{len} bytes behind the packet"), |from| {
            ping(from).with(|ip| ip.trailer = vec![0xaa; len])
        });
    }
    for len in [0, 1, 10, 19, 20] {
        probes.frames(format!("{len} bytes of a packet"), |from| {
            vec![frame(TARGET, TESTER, EtherType::IPV4, &ping(from).bytes()[..len])]
        });
    }
    probes.packet("a full frame", |from| {
        Ip::new(from, HOST, Protocol::ICMP, echo(&vec![0x5a; 1472]))
    });
}

fn protocols(probes: &mut Probes) {
    for protocol in [0, 3, 5, 99, 143, 200, 253, 254, 255] {
        probes.packet(format!("protocol {protocol}"), |from| {
            Ip::new(from, HOST, Protocol(protocol), b"an unknown protocol".to_vec())
        });
        probes.packet(format!("protocol {protocol} without data"), |from| {
            Ip::new(from, HOST, Protocol(protocol), Vec::new())
        });
    }
    probes.packet("IGMP query", |from| {
        Ip::new(from, HOST, Protocol(2), vec![0x11, 0, 0xee, 0xff, 0, 0, 0, 0])
    });
    for len in [500, 548, 549, 1400] {
        probes.packet(format!("unknown protocol with {len} bytes"), |from| {
            Ip::new(from, HOST, Protocol(253), vec![0x77; len])
        });
    }
    for (tos, flags) in [(0x10, DF), (0xfc, 0), (0x03, RESERVED), (0xff, 0)] {
        probes.packet(format!("unknown protocol, TOS {tos:#x}, flags {flags:#x}"), |from| {
            Ip::new(from, HOST, Protocol(253), vec![1; 8]).with(|ip| {
                ip.tos = tos;
                ip.flags = flags;
            })
        });
    }
    probes.packet("SYN to a closed port", |from| {
        let mut segment = vec![0x9c, 0x40, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0];
        let pseudo = tapping_stack::wire::ipv4::pseudo_header_sum(from, HOST, Protocol::TCP, 20);
        let sum = pseudo.add(&segment).finish();
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        Ip::new(from, HOST, Protocol::TCP, segment)
    });
}

const ADDRESSES: [&str; 18] = [
    "10.0.0.2",
    "10.0.0.0",
    "10.0.255.255",
    "10.0.0.99",
    "10.0.200.200",
    "0.0.0.0",
    "0.0.0.1",
    "127.0.0.1",
    "127.9.9.9",
    "169.254.3.4",
    "192.0.2.7",
    "192.0.2.255",
    "198.18.0.1",
    "224.0.0.1",
    "224.0.0.5",
    "239.1.2.3",
    "240.0.0.1",
    "255.255.255.255",
];

fn sources(probes: &mut Probes) {
    for source in ADDRESSES {
        let why = match source {
            "0.0.0.1" => Some("addresses in 0.0.0.0/8 are no host's"),
            "10.0.255.255" => Some("nobody speaks with a broadcast address"),
            _ => None,
        };
        let address: Ipv4Addr = source.parse().expect("an address");
        let probe = probes.packet(format!("echo from {source}"), |_| ping(address));
        probe.differs = why;
        let probe = probes.packet(format!("datagram from {source}"), |_| datagram(address, HOST));
        probe.differs = match source {
            "240.0.0.1" => Some("no error is sent to class E"),
            _ => why,
        };
    }
}

fn destinations(probes: &mut Probes) {
    let frames = [
        ("", TARGET),
        (" by broadcast", MacAddr::BROADCAST),
        (" by multicast", MacAddr([1, 0, 0x5e, 0, 0, 1])),
        (" in a frame for another", MacAddr([2, 9, 9, 9, 9, 9])),
    ];
    for (how, mac) in frames {
        for dst in ADDRESSES {
            let dst: Ipv4Addr = dst.parse().expect("an address");
            probes.frames(format!("echo to {dst}{how}"), |from| {
                vec![framed_to(mac, &Ip::new(from, dst, Protocol::ICMP, echo(b"abcdefgh")))]
            });
            probes.frames(format!("datagram to {dst}{how}"), |from| {
                vec![framed_to(mac, &datagram(from, dst))]
            });
            probes.frames(format!("unknown protocol to {dst}{how}"), |from| {
                vec![framed_to(mac, &Ip::new(from, dst, Protocol(253), vec![1; 8]))]
            });
        }
        probes.frames(format!("timestamp to the subnet{how}"), |from| {
            let message = crate::interop::frames::icmp(13, 0, [0; 4], &[0; 12]);
            vec![framed_to(
                mac,
                &Ip::new(from, Ipv4Addr::new(10, 0, 255, 255), Protocol::ICMP, message),
            )]
        });
    }
    probes.packet("from 0.0.0.0 to 0.0.0.0", |_| {
        Ip::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, Protocol::ICMP, echo(b"bootp"))
    });
}
