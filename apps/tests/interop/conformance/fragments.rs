//! Fragments in all orders, and such as do not fit together.

use std::net::Ipv4Addr;

use tapping_stack::wire::Protocol;

use super::{HOST, Probes};
use crate::interop::frames::{DF, Ip, MF, RESERVED, echo, udp};

/// An echo request with this much data.
fn ping(from: Ipv4Addr, len: usize) -> Ip {
    let data: Vec<u8> = (0..len).map(|at| (at / 8) as u8).collect();
    Ip::new(from, HOST, Protocol::ICMP, echo(&data))
}

/// Fragments of `size` bytes.
fn cut(ip: &Ip, size: usize) -> Vec<Ip> {
    (0..ip.payload.len()).step_by(size).map(|from| ip.fragment(from, from + size)).collect()
}

pub fn probes(probes: &mut Probes) {
    orders(probes);
    overlaps(probes);
    headers(probes);
    errors(probes);
}

fn orders(probes: &mut Probes) {
    for (name, order) in [
        ("in order", vec![0, 1, 2, 3]),
        ("backwards", vec![3, 2, 1, 0]),
        ("mixed", vec![2, 0, 3, 1]),
        ("the first twice", vec![0, 0, 1, 2, 3]),
        ("a middle one twice", vec![0, 1, 1, 2, 3]),
        ("the last twice", vec![3, 0, 3, 1, 2]),
        ("all twice", vec![0, 1, 2, 3, 0, 1, 2, 3]),
        ("without the last", vec![0, 1, 2]),
        ("without the first", vec![1, 2, 3]),
        ("one of them", vec![0]),
    ] {
        probes.packets(name, |from| {
            let parts = cut(&ping(from, 120), 32);
            order.iter().map(|part| parts[*part].clone()).collect()
        });
    }
    probes.packets("of 8 bytes each", |from| cut(&ping(from, 248), 8));
    probes.packets("of 1480 bytes each", |from| cut(&ping(from, 8000), 1480));
    probes.packets("the longest packet", |from| cut(&ping(from, 65_507), 1480));
    probes.packets("two packets mixed", |from| {
        let one = cut(&ping(from, 60), 32);
        let two: Vec<Ip> =
            cut(&ping(from, 50), 32).into_iter().map(|ip| ip.with(|ip| ip.id = 0x4321)).collect();
        one.iter().zip(&two).flat_map(|(one, two)| [one.clone(), two.clone()]).collect()
    });
    probes.packets("of different identifiers", |from| {
        let mut parts = cut(&ping(from, 60), 32);
        parts[1].id = 0x4321;
        parts
    });
    probes.packets("of different protocols", |from| {
        let mut parts = cut(&ping(from, 60), 32);
        parts[1].protocol = Protocol(253);
        parts
    });
}

fn overlaps(probes: &mut Probes) {
    // What is sent beside the whole, before, within or after it.
    let extra: [(&str, usize, usize); 8] = [
        ("over the end of the first", 24, 40),
        ("over two", 24, 72),
        ("within one", 40, 48),
        ("the same beginning", 32, 48),
        ("the same end", 48, 64),
        ("over the last", 88, 128),
        ("over all", 0, 128),
        ("beyond the last", 128, 136),
    ];
    for (name, start, end) in extra {
        for at in [0, 2, 3] {
            probes.packets(format!("one more, {name}, as number {at}"), |from| {
                let whole = ping(from, 120);
                let mut parts = cut(&whole, 32);
                let mut more = whole.clone().with(|ip| ip.payload.resize(200, 0));
                more = more.fragment(start, end);
                parts.insert(at, more);
                parts
            });
        }
    }
    probes.packets("two lasts, the second longer", |from| {
        let whole = ping(from, 56);
        let longer = ping(from, 72);
        vec![whole.fragment(32, 64), longer.fragment(32, 80), whole.fragment(0, 32)]
    });
    probes.packets("two lasts, the second shorter", |from| {
        let whole = ping(from, 56);
        let shorter = ping(from, 40);
        vec![whole.fragment(32, 64), shorter.fragment(32, 48), whole.fragment(0, 32)]
    });
    probes.packets("a last before the end of another", |from| {
        let whole = ping(from, 120);
        let last = whole.fragment(64, 96).with(|ip| ip.flags = 0);
        vec![whole.fragment(0, 32), whole.fragment(96, 128), last, whole.fragment(32, 64)]
    });
    probes.packets("more behind the last", |from| {
        let whole = ping(from, 120);
        let last = whole.fragment(64, 96).with(|ip| ip.flags = 0);
        let more = whole.fragment(96, 128).with(|ip| ip.flags = MF);
        vec![last, more, whole.fragment(0, 32), whole.fragment(32, 64)]
    });
    probes.packets("an empty one", |from| {
        let whole = ping(from, 56);
        let empty = whole.fragment(32, 32);
        vec![whole.fragment(0, 32), empty, whole.fragment(32, 64)]
    });
    probes.packets("an empty last", |from| {
        let whole = ping(from, 24);
        let last = whole.clone().with(|ip| {
            ip.offset = 32;
            ip.payload.clear();
        });
        vec![whole.clone().with(|ip| ip.flags = MF), last]
    });
    probes.packets("beyond 65535 bytes", |from| {
        vec![ping(from, 24).with(|ip| ip.flags = MF), ping(from, 92).with(|ip| ip.offset = 65_528)]
    });
    probes.packets("a packet that all of it makes longer than 65535", |from| {
        let mut parts = cut(&ping(from, 65_507), 1480);
        let last = parts.last_mut().expect("many");
        last.payload.resize(last.payload.len() + 20, 0);
        parts
    });
}

fn headers(probes: &mut Probes) {
    let change = |probes: &mut Probes, name: &str, change: &dyn Fn(&mut Vec<Ip>)| {
        probes.packets(name, |from| {
            let mut parts = cut(&ping(from, 88), 32);
            change(&mut parts);
            parts
        });
    };
    change(probes, "DF in all", &|parts| parts.iter_mut().for_each(|ip| ip.flags |= DF));
    change(probes, "DF in one", &|parts| parts[1].flags |= DF);
    change(probes, "the reserved bit", &|parts| parts[0].flags |= RESERVED);
    change(probes, "TTL 0 in the first", &|parts| parts[0].ttl = 0);
    change(probes, "TTL 0 in the last", &|parts| parts[2].ttl = 0);
    change(probes, "different TOS", &|parts| {
        parts[0].tos = 0x10;
        parts[1].tos = 0x20;
    });
    for ecn in
        [[0, 1, 1], [1, 1, 3], [2, 2, 3], [3, 3, 3], [0, 3, 3], [1, 2, 1], [0, 0, 3], [1, 2, 3]]
    {
        change(probes, &format!("ECN {ecn:?}"), &|parts| {
            parts.iter_mut().zip(ecn).for_each(|(ip, ecn)| ip.tos = ecn);
        });
    }
    let route = [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    change(probes, "a route in the first", &|parts| parts[0].options = route.to_vec());
    change(probes, "a route in all", &|parts| {
        parts.iter_mut().for_each(|ip| ip.options = route.to_vec());
    });
    change(probes, "a route in the last", &|parts| parts[2].options = route.to_vec());
    change(probes, "bad options in the last", &|parts| parts[2].options = vec![7, 3, 3, 0]);
    change(probes, "a bad header checksum", &|parts| parts[1].bad_checksum = true);
    probes.packets("one with MF alone, offset 0, all there", |from| {
        vec![ping(from, 24).with(|ip| ip.flags = MF)]
    });
    probes
        .packets("one that is no multiple of 8 long", |from| {
            let whole = ping(from, 120);
            let mut parts = cut(&whole, 32);
            parts[1] = whole.fragment(32, 69);
            parts
        })
        .differs("a fragment that is no multiple of 8 bytes long is dropped; Linux cuts it");
}

fn errors(probes: &mut Probes) {
    probes.packets("a datagram to a closed port", |from| {
        let datagram = udp(from, HOST, 9, &[0x42; 3000]);
        cut(&Ip::new(from, HOST, Protocol::UDP, datagram), 1480)
    });
    probes.packets("a datagram to a closed port, backwards", |from| {
        let datagram = udp(from, HOST, 9, &[0x42; 3000]);
        let mut parts = cut(&Ip::new(from, HOST, Protocol::UDP, datagram), 1480);
        parts.reverse();
        parts
    });
    probes.packets("an unknown protocol", |from| {
        cut(&Ip::new(from, HOST, Protocol(253), vec![0x42; 100]), 48)
    });
    probes.packets("an unknown protocol, the first alone", |from| {
        cut(&Ip::new(from, HOST, Protocol(253), vec![0x42; 100]), 48)[..1].to_vec()
    });
    probes.packets("a datagram with a bad checksum", |from| {
        let mut datagram = udp(from, HOST, 9, &[0x42; 3000]);
        datagram[100] ^= 1;
        cut(&Ip::new(from, HOST, Protocol::UDP, datagram), 1480)
    });
    probes.packets("an echo with a bad checksum", |from| {
        let mut whole = ping(from, 100);
        whole.payload[50] ^= 1;
        cut(&whole, 48)
    });
    probes.packets("a broadcast echo", |from| {
        let mut whole = ping(from, 100);
        whole.dst = Ipv4Addr::new(10, 0, 255, 255);
        cut(&whole, 48)
    });
}
