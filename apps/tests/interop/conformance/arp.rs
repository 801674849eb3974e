//! ARP, right and wrong.

use std::net::Ipv4Addr;

use tapping_stack::wire::{EtherType, MacAddr, Protocol};

use super::{HOST, Probe, Probes};
use crate::interop::frames::{ArpMessage, Ip, echo, frame};
use crate::interop::prober::{TARGET, TESTER};

/// A request for the host's address, changed, in a frame to `dst`.
fn request<'a>(
    probes: &'a mut Probes,
    name: &str,
    dst: MacAddr,
    change: impl FnOnce(&mut ArpMessage),
) -> &'a mut Probe {
    probes
        .frames(name, |from| {
            let message = ArpMessage::request(TESTER, from, HOST).with(change);
            vec![frame(dst, TESTER, EtherType::ARP, &message.bytes())]
        })
        .stranger()
}

pub fn probes(probes: &mut Probes) {
    let all = MacAddr::BROADCAST;
    let address = |text: &str| text.parse::<Ipv4Addr>().expect("an address");
    request(probes, "request by broadcast", all, |_| {});
    request(probes, "request by unicast", TARGET, |_| {});
    request(probes, "request by multicast", MacAddr([1, 0, 0x5e, 0, 0, 1]), |_| {});
    request(probes, "request in a frame for another", MacAddr([2, 9, 9, 9, 9, 9]), |_| {});
    request(probes, "probe", all, |arp| arp.sender_ip = Ipv4Addr::UNSPECIFIED);
    request(probes, "probe for another", all, |arp| {
        arp.sender_ip = Ipv4Addr::UNSPECIFIED;
        arp.target_ip = address("10.0.0.9");
    });
    request(probes, "request with a target MAC address", all, |arp| arp.target_mac = TARGET);
    request(probes, "request for another", all, |arp| arp.target_ip = address("10.0.0.99"));
    for target in ["10.0.255.255", "10.0.0.0", "0.0.0.0", "255.255.255.255", "127.0.0.1"] {
        request(probes, &format!("request for {target}"), all, |arp| {
            arp.target_ip = address(target);
        });
    }
    request(probes, "request for a group", all, |arp| arp.target_ip = address("224.0.0.1"));
    for sender in [
        "10.0.0.2",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "10.0.255.255",
        "10.0.0.0",
        "192.0.2.7",
        "240.0.0.1",
        "169.254.3.4",
    ] {
        request(probes, &format!("request by {sender}"), all, |arp| {
            arp.sender_ip = address(sender);
        });
    }
    request(probes, "request by 0.0.0.1", all, |arp| arp.sender_ip = address("0.0.0.1"))
        .differs("addresses in 0.0.0.0/8 are no host's");
    request(probes, "announcement", all, |arp| arp.target_ip = arp.sender_ip);
    request(probes, "announcement of the host's own address", all, |arp| arp.sender_ip = HOST);
    for (name, mac) in
        [("multicast", [1, 0, 0x5e, 1, 2, 3]), ("broadcast", [255; 6]), ("no", [0; 6])]
    {
        request(probes, &format!("request from a {name} MAC address"), all, |arp| {
            arp.sender_mac = MacAddr(mac);
        })
        .differs("ARP messages without a unicast sender are ignored");
    }
    request(probes, "hardware 6, as for IEEE 802", all, |arp| arp.hardware = 6);
    request(probes, "hardware 7", all, |arp| arp.hardware = 7);
    request(probes, "protocol 0x86dd", all, |arp| arp.protocol = 0x86dd);
    request(probes, "hardware length 5", all, |arp| arp.lengths[0] = 5);
    request(probes, "protocol length 16", all, |arp| arp.lengths[1] = 16);
    for operation in [0, 2, 3, 4, 8, 9, 0xffff] {
        request(probes, &format!("operation {operation}"), all, |arp| arp.operation = operation);
        request(probes, &format!("operation {operation} by unicast"), TARGET, |arp| {
            arp.operation = operation;
        });
    }
    frames(probes);
}

/// Ethernet frames of other kinds.
fn frames(probes: &mut Probes) {
    let message = |from| ArpMessage::request(TESTER, from, HOST).bytes();
    for len in [0, 7, 27] {
        probes
            .frames(format!("request of {len} bytes"), |from| {
                vec![frame(MacAddr::BROADCAST, TESTER, EtherType::ARP, &message(from)[..len])]
            })
            .stranger();
    }
    probes
        .frames("padded request", |from| {
            let mut bytes = message(from);
            bytes.resize(46, 0xaa);
            vec![frame(MacAddr::BROADCAST, TESTER, EtherType::ARP, &bytes)]
        })
        .stranger();
    let packet = |from| Ip::new(from, HOST, Protocol::ICMP, echo(b"tagged")).bytes();
    let tag = |tci: u16, inner: EtherType, payload: &[u8]| {
        [&tci.to_be_bytes()[..], &inner.0.to_be_bytes(), payload].concat()
    };
    for (name, ethertype, tci) in [
        ("802.1Q, VLAN 0", EtherType::VLAN, 0xe000),
        ("802.1Q, VLAN 5", EtherType::VLAN, 5),
        ("802.1ad, VLAN 0", EtherType::QINQ, 0),
        ("802.1ad, VLAN 5", EtherType::QINQ, 5),
    ] {
        probes.frames(name, |from| {
            let tagged = tag(tci, EtherType::IPV4, &packet(from));
            vec![frame(TARGET, TESTER, ethertype, &tagged)]
        });
        probes.frames(format!("{name}, within VLAN 0"), |from| {
            let tagged = tag(tci, EtherType::IPV4, &packet(from));
            vec![frame(TARGET, TESTER, EtherType::VLAN, &tag(0, ethertype, &tagged))]
        });
    }
    probes.frames("802.1Q, nothing behind", |_| vec![frame(TARGET, TESTER, EtherType::VLAN, &[])]);
    for ethertype in [0x0003, 0x002e, 0x05dc, 0x0600, 0x0801, 0x86dd, 0x88cc, 0xffff] {
        probes.frames(format!("an IPv4 packet as {ethertype:#06x}"), |from| {
            vec![frame(TARGET, TESTER, EtherType(ethertype), &packet(from))]
        });
    }
    probes.frames("a frame from a multicast address", |from| {
        vec![frame(TARGET, MacAddr([1, 2, 3, 4, 5, 6]), EtherType::IPV4, &packet(from))]
    });
    probes.frames("a frame from the host's own address", |from| {
        vec![frame(TARGET, TARGET, EtherType::IPV4, &packet(from))]
    });
}
