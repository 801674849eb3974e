//! IP options, sound and malformed, in packets that are answered in kind and in such as are
//! answered by an error.

use std::net::Ipv4Addr;

use tapping_stack::wire::Protocol;

use super::{HOST, Probes};
use crate::interop::frames::{Ip, echo, udp};

const QUOTED: &str = "an error quotes the options as they came";
const NO_WAY_BACK: &str = "nothing travels back along a source route";

/// An echo request and a refused datagram with these options, padded with zeros.
fn both(probes: &mut Probes, name: &str, options: &[u8]) {
    add(probes, name, options, [None; 2]);
}

/// The same, where the stack does not do as the kernel.
fn both_differ(probes: &mut Probes, name: &str, options: &[u8], why: &'static str) {
    add(probes, name, options, [Some(why); 2]);
}

fn add(probes: &mut Probes, name: &str, options: &[u8], why: [Option<&'static str>; 2]) {
    let mut options = options.to_vec();
    options.resize(options.len().next_multiple_of(4), 0);
    let (for_echo, for_udp) = (options.clone(), options);
    let probe = probes.packet(format!("echo with {name}"), |from| {
        Ip::new(from, HOST, Protocol::ICMP, echo(b"abcdefgh")).options(&for_echo)
    });
    probe.differs = why[0];
    let probe = probes.packet(format!("datagram with {name}"), |from| {
        Ip::new(from, HOST, Protocol::UDP, udp(from, HOST, 9, b"abcdefgh")).options(&for_udp)
    });
    probe.differs = why[1];
}

/// An option: kind, length, and data.
fn option(kind: u8, data: &[u8]) -> Vec<u8> {
    [&[kind, data.len() as u8 + 2], data].concat()
}

pub fn probes(probes: &mut Probes) {
    record_route(probes);
    timestamps(probes);
    source_routes(probes);
    others(probes);
}

fn record_route(probes: &mut Probes) {
    let route = |pointer: u8, room: usize| option(7, &[&[pointer], &vec![0; room][..]].concat());
    for (pointer, room) in
        [(4, 12), (4, 4), (4, 36), (8, 8), (8, 4), (4, 0), (5, 12), (6, 12), (4, 5), (4, 3), (4, 7)]
    {
        both(
            probes,
            &format!("record route, {room} bytes, pointer {pointer}"),
            &route(pointer, room),
        );
    }
    for pointer in [0, 1, 2, 3, 14, 15, 16, 40, 255] {
        both(probes, &format!("record route, 12 bytes, pointer {pointer}"), &route(pointer, 12));
    }
    both(probes, "record route of 2 bytes", &[7, 2]);
    both_differ(probes, "two record routes", &[route(4, 4), route(4, 4)].concat(), QUOTED);
    both(probes, "nops and record route", &[vec![1, 1, 1], route(4, 8), vec![1]].concat());
}

fn timestamps(probes: &mut Probes) {
    let stamp =
        |pointer: u8, flags: u8, data: &[u8]| option(68, &[&[pointer, flags], data].concat());
    let ours = HOST.octets();
    for (name, flags, data) in [
        ("of times", 0x00, vec![0; 12]),
        ("of one time", 0x00, vec![0; 4]),
        ("of times without room", 0x00, vec![]),
        ("of times, overflow 3", 0x30, vec![0; 8]),
        ("of addresses", 0x01, vec![0; 16]),
        ("of one address", 0x01, vec![0; 8]),
        ("of half an address", 0x01, vec![0; 4]),
        ("of kind 2", 0x02, vec![0; 8]),
        ("of kind 4", 0x04, vec![0; 8]),
        ("of kind 15", 0x0f, vec![0; 8]),
        ("of our address", 0x03, [&ours[..], &[0; 4]].concat()),
        ("of our address twice", 0x03, [&ours[..], &[0; 4], &ours, &[0; 4]].concat()),
        ("of another address", 0x03, [&[10, 0, 0, 99][..], &[0; 4]].concat()),
        ("of no address", 0x03, vec![0; 8]),
        ("of half our address", 0x03, ours.to_vec()),
        ("of our address, half an entry", 0x03, [&ours[..], &[0; 4], &ours].concat()),
        ("of our address, 2 bytes", 0x03, [&ours[..], &[0; 6]].concat()),
    ] {
        for pointer in [5, 9, 13] {
            let name = format!("timestamps {name}, pointer {pointer}");
            both(probes, &name, &stamp(pointer, flags, &data));
        }
    }
    for pointer in [0, 1, 4, 6, 7, 14, 17, 18, 21, 255] {
        let name = format!("timestamps of 12 bytes, pointer {pointer}");
        both(probes, &name, &stamp(pointer, 0, &[0; 12]));
        let name = format!("timestamps with addresses, 16 bytes, pointer {pointer}");
        both(probes, &name, &stamp(pointer, 1, &[0; 16]));
    }
    for overflow in [0, 1, 14, 15] {
        let full = stamp(9, overflow << 4, &[1; 4]);
        both(probes, &format!("full timestamps, overflow {overflow}"), &full);
    }
    both(probes, "timestamps of 2 bytes", &[68, 2]);
    both(probes, "timestamps of 3 bytes", &[68, 3, 5]);
    let twice = [stamp(5, 0, &[0; 4]), stamp(5, 0, &[0; 4])].concat();
    both_differ(probes, "two timestamps", &twice, QUOTED);
    let route = option(7, &[&[4u8][..], &[0; 8]].concat());
    both(probes, "timestamps and a route", &[stamp(5, 0, &[0; 8]), route].concat());
}

fn source_routes(probes: &mut Probes) {
    let route = |kind: u8, pointer: u8, via: &[Ipv4Addr]| {
        let via: Vec<u8> = via.iter().flat_map(Ipv4Addr::octets).collect();
        option(kind, &[&[pointer], &via[..]].concat())
    };
    let next = Ipv4Addr::new(10, 0, 0, 99);
    for (name, kind) in [("loose", 131), ("strict", 137)] {
        let name = |what: &str| format!("{name} source route {what}");
        both(probes, &name("to go on"), &route(kind, 4, &[next]));
        both(probes, &name("at its end"), &route(kind, 8, &[next]));
        both(probes, &name("that is empty"), &route(kind, 4, &[]));
        both(probes, &name("with pointer 3"), &route(kind, 3, &[next]));
        let twice = [route(kind, 8, &[next]), route(kind, 8, &[next])].concat();
        both_differ(probes, &name("twice"), &twice, NO_WAY_BACK);
        both(probes, &name("of 2 bytes"), &[kind, 2]);
    }
    let mixed = [route(131, 8, &[next]), route(137, 8, &[next])].concat();
    both_differ(probes, "a loose and a strict source route", &mixed, NO_WAY_BACK);
}

fn others(probes: &mut Probes) {
    both(probes, "end only", &[0; 4]);
    both(probes, "nops only", &[1; 4]);
    both(probes, "forty nops", &[1; 40]);
    add(probes, "something behind the end", &[0, 7, 2, 9], [None, Some(QUOTED)]);
    both(probes, "router alert", &option(148, &[0, 0]));
    both(probes, "router alert 1", &option(148, &[0, 1]));
    both(probes, "router alert of 2 bytes", &option(148, &[]));
    both(probes, "router alert of 6 bytes", &option(148, &[0; 4]));
    both(probes, "security", &option(130, &[0; 9]));
    both(probes, "security of 2 bytes", &option(130, &[]));
    both(probes, "stream identifier", &option(136, &[0, 1]));
    both(probes, "stream identifier of 6 bytes", &option(136, &[0; 4]));
    for kind in [11, 12, 25, 30, 82, 94, 147, 149, 158, 222, 255] {
        both(probes, &format!("option {kind}"), &option(kind, &[1, 2, 3, 4]));
    }
    for (name, bytes) in [
        ("length 0", [30, 0, 0, 0]),
        ("length 1", [30, 1, 0, 0]),
        ("length 5 of 4", [30, 5, 0, 0]),
        ("length 255", [30, 255, 0, 0]),
        ("no room for a length", [1, 1, 1, 30]),
        ("a route without a length", [1, 1, 1, 7]),
        ("a route beyond the header", [7, 7, 4, 0]),
        ("a timestamp beyond the header", [68, 8, 5, 0]),
    ] {
        both(probes, name, &bytes);
    }
    probes.packet("echo with a route that everybody on the subnet should see", |from| {
        let dst = Ipv4Addr::new(10, 0, 255, 255);
        Ip::new(from, dst, Protocol::ICMP, echo(b"abcdefgh")).options(&[7, 3, 3, 0])
    });
    probes
        .packet("bad options, to another host", |from| {
            let dst = Ipv4Addr::new(10, 0, 0, 99);
            Ip::new(from, dst, Protocol::ICMP, echo(b"abcdefgh")).options(&[7, 3, 3, 0])
        })
        .differs("options are looked at only in packets for the host");
    probes.packet("bad options in an ICMP error", |from| {
        let about = Ip::new(HOST, from, Protocol::UDP, udp(HOST, from, 9, b"never sent"));
        let message = crate::interop::frames::icmp(3, 1, [0; 4], &about.bytes());
        Ip::new(from, HOST, Protocol::ICMP, message).options(&[7, 3, 3, 0])
    });
    probes.packet("bad options and TTL 0", |from| {
        Ip::new(from, HOST, Protocol::ICMP, echo(b"abcdefgh"))
            .options(&[7, 3, 3, 0])
            .with(|ip| ip.ttl = 0)
    });
}
