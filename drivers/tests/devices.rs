//! Each device against the real kernel, frame by frame, without a stack.

mod common;

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::RawFd;

use common::{
    HOST_ADDR, OUR_ADDR, OUR_MAC, kernel_neighbour, over_both_devices, receive_until, transmit,
};
use tapping_drivers::device::Device;
use tapping_drivers::error::DeviceError;
use tapping_drivers::netlink::{NeighbourState, Netlink};
use tapping_drivers::packet_socket::{PacketSocket, disable_offloads};
use tapping_drivers::sandbox::{Sandbox, SandboxConfig, SandboxError, SandboxKind};
use tapping_drivers::tap::Tap;
use tapping_drivers::testing::{in_namespace, skip};
use tapping_stack::packet::{ChecksumState, Packet, PacketPool};
use tapping_stack::wire::arp::{Arp, ArpOperation};
use tapping_stack::wire::ethernet::{self, EtherType, Ethernet, EthernetRepr, MacAddr};
use tapping_stack::wire::vlan::{Vlan, VlanRepr};

fn pool() -> PacketPool {
    PacketPool::new(16, 4)
}

/// An Ethernet frame from us.
fn frame(dst: MacAddr, ethertype: EtherType, payload: &[u8]) -> Packet {
    let mut packet = Packet::from_slice(payload);
    EthernetRepr { dst, src: OUR_MAC, ethertype }.emit(packet.push(ethernet::HEADER_LEN));
    packet
}

fn arp(operation: ArpOperation, target_mac: MacAddr) -> Packet {
    let arp = Arp {
        operation,
        sender_mac: OUR_MAC,
        sender_ip: OUR_ADDR,
        target_mac,
        target_ip: HOST_ADDR,
    };
    let mut bytes = [0; 28];
    arp.emit(&mut bytes);
    let dst = if target_mac == MacAddr::ZERO { MacAddr::BROADCAST } else { target_mac };
    frame(dst, EtherType::ARP, &bytes)
}

fn parsed_arp(packet: &Packet) -> Option<Arp> {
    let frame = Ethernet::parse(packet.bytes()).ok()?;
    (frame.ethertype() == EtherType::ARP).then(|| Arp::parse(frame.payload()).ok()).flatten()
}

over_both_devices! {
    the_kernel_answers_an_arp_request
    the_kernel_resolves_us
    a_full_frame_of_the_mtu_passes_either_way
    a_device_removed_underneath_is_closed
    receiving_keeps_no_buffer_when_nothing_comes
}

fn the_kernel_answers_an_arp_request(mut sandbox: Sandbox) {
    let pool = &mut pool();
    let device = &mut *sandbox.device;
    assert_eq!((device.mac(), device.mtu(), device.is_open()), (OUR_MAC, 1500, true));
    assert!(sandbox.host.is_up() && sandbox.host.has_carrier());
    transmit(device, pool, arp(ArpOperation::Request, MacAddr::ZERO));
    let reply = receive_until(device, pool, |packet| {
        parsed_arp(packet).is_some_and(|arp| arp.operation == ArpOperation::Reply)
    });
    let reply = parsed_arp(&reply).unwrap();
    assert_eq!((reply.sender_ip, Some(reply.sender_mac)), (HOST_ADDR, sandbox.host.mac));
    assert_eq!((reply.target_ip, reply.target_mac), (OUR_ADDR, OUR_MAC));
}

fn the_kernel_resolves_us(mut sandbox: Sandbox) {
    let pool = &mut pool();
    let device = &mut *sandbox.device;
    let socket = UdpSocket::bind((HOST_ADDR, 0)).unwrap();
    socket.send_to(b"data", (OUR_ADDR, 9)).unwrap();
    let request = receive_until(device, pool, |packet| parsed_arp(packet).is_some());
    let request = parsed_arp(&request).unwrap();
    assert_eq!((request.operation, request.target_ip), (ArpOperation::Request, OUR_ADDR));
    assert_eq!(kernel_neighbour(OUR_ADDR).unwrap().state, NeighbourState::Incomplete);

    transmit(device, pool, arp(ArpOperation::Reply, sandbox.host.mac.unwrap()));
    let datagram = receive_until(device, pool, |packet| packet.bytes().ends_with(b"data"));
    let frame = Ethernet::parse(datagram.bytes()).unwrap();
    assert_eq!((frame.dst(), frame.ethertype()), (OUR_MAC, EtherType::IPV4));
    let entry = kernel_neighbour(OUR_ADDR).unwrap();
    assert_eq!((entry.state, entry.mac), (NeighbourState::Reachable, Some(OUR_MAC)));
}

/// RFC 894: 14 bytes of header and an IP packet of the MTU.
fn a_full_frame_of_the_mtu_passes_either_way(mut sandbox: Sandbox) {
    let pool = &mut pool();
    let device = &mut *sandbox.device;
    let host_mac = sandbox.host.mac.unwrap();
    transmit(device, pool, arp(ArpOperation::Request, MacAddr::ZERO));
    let socket = UdpSocket::bind((HOST_ADDR, 0)).unwrap();
    let payload: Vec<u8> = (0..1472).map(|n| n as u8).collect();
    socket.send_to(&payload, (OUR_ADDR, 9)).unwrap();
    let mut buffered = receive_until(device, pool, |packet| packet.len() == 1514);
    assert!(buffered.bytes().ends_with(&payload));

    // Back to the kernel: the addresses swapped, the ports too, which changes no sum.
    let bytes = buffered.bytes_mut();
    EthernetRepr { dst: host_mac, src: OUR_MAC, ethertype: EtherType::IPV4 }.emit(bytes);
    for (a, b, len) in [(26, 30, 4), (34, 36, 2)] {
        for n in 0..len {
            bytes.swap(a + n, b + n);
        }
    }
    transmit(device, pool, buffered);
    socket.set_read_timeout(Some(common::PATIENCE)).unwrap();
    let mut received = [0; 2000];
    let (len, from) = socket.recv_from(&mut received).unwrap();
    assert_eq!((&received[..len], from), (&payload[..], (OUR_ADDR, 9).into()));
}

fn a_device_removed_underneath_is_closed(mut sandbox: Sandbox) {
    let pool = &mut pool();
    let device = &mut *sandbox.device;
    Netlink::open().unwrap().delete_link(sandbox.host.index).unwrap();
    let mut errors = 0;
    while device.is_open() {
        match device.receive(pool) {
            Ok(Some(packet)) => pool.put(packet),
            Ok(None) => std::thread::sleep(std::time::Duration::from_millis(1)),
            Err(_) => errors += 1,
        }
        assert!(errors < 10, "the device does not see that it is gone");
    }
    assert!(device.transmit(arp(ArpOperation::Request, MacAddr::ZERO)).is_err());
    assert!(!device.is_open());
}

fn receiving_keeps_no_buffer_when_nothing_comes(mut sandbox: Sandbox) {
    let pool = &mut pool();
    while let Some(packet) = sandbox.device.receive(pool).unwrap() {
        pool.put(packet);
    }
    let free = pool.free();
    for _ in 0..100 {
        if let Some(packet) = sandbox.device.receive(pool).unwrap() {
            pool.put(packet);
        }
    }
    assert_eq!(pool.free(), free);
}

fn veth(netlink: &mut Netlink) -> (u32, u32) {
    netlink.create_veth("left", "right").unwrap();
    let mut index = |name: &str| {
        let index = netlink.link(name).unwrap().unwrap().index;
        netlink.set_up(index, true).unwrap();
        index
    };
    let indices = (index("left"), index("right"));
    // Nothing passes before the kernel has seen the carrier.
    while !netlink.links().unwrap().iter().all(|link| link.name == "lo" || link.is_operational()) {
        std::thread::yield_now();
    }
    netlink.set_up(indices.0, true).unwrap();
    indices
}

#[test]
fn a_vlan_tag_that_the_kernel_takes_out_is_seen() {
    in_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        veth(&mut netlink);
        let mut left = PacketSocket::open("left", OUR_MAC).unwrap();
        let mut right = PacketSocket::open("right", OUR_MAC).unwrap();
        let pool = &mut pool();
        // 1500 bytes behind a tag are as good as without one (IEEE 802.3 §3.2.7).
        let mut payload = [0x5a; 4 + 1500];
        let tag = VlanRepr { pcp: 5, dei: false, vid: 100, ethertype: EtherType(0x88b5) };
        tag.emit(&mut payload);
        transmit(&mut left, pool, frame(OUR_MAC, EtherType::VLAN, &payload));
        let got = receive_until(&mut right, pool, |packet| packet.bytes().ends_with(&[0x5a; 8]));
        let got = Ethernet::parse(got.bytes()).unwrap();
        assert_eq!(got.ethertype(), EtherType::VLAN);
        let got = Vlan::parse(got.payload()).unwrap();
        assert_eq!((got.pcp(), got.vid(), got.ethertype()), (5, 100, EtherType(0x88b5)));
        assert_eq!(got.payload(), [0x5a; 1500]);
    });
}

#[test]
fn checksums_are_whole_without_offloads_and_marked_with_them() {
    in_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let (index, _) = veth(&mut netlink);
        netlink.add_address(index, "10.0.0.1/24".parse().unwrap()).unwrap();
        let mut right = PacketSocket::open("right", OUR_MAC).unwrap();
        let pool = &mut pool();
        let socket = UdpSocket::bind((HOST_ADDR, 0)).unwrap();
        socket.set_broadcast(true).unwrap();
        let broadcast = (Ipv4Addr::new(10, 0, 0, 255), 9);
        let mut send = |pool: &mut PacketPool, data: &[u8]| {
            socket.send_to(data, broadcast).unwrap();
            receive_until(&mut right, pool, |packet| packet.bytes().ends_with(data))
        };
        let partial = send(pool, b"left to the hardware");
        assert_eq!(partial.meta.checksum, ChecksumState::Partial { start: 20, offset: 6 });

        disable_offloads("left").unwrap();
        let whole = send(pool, b"summed by the kernel");
        assert_eq!(whole.meta.checksum, ChecksumState::None);
        let ip = tapping_stack::wire::ipv4::Ipv4::parse(&whole.bytes()[14..]).unwrap();
        let udp = tapping_stack::wire::udp::Udp::parse(ip.payload()).unwrap();
        assert_ne!(udp.checksum(), 0);
        let pseudo = tapping_stack::wire::ipv4::pseudo_header_sum(
            ip.src(),
            ip.dst(),
            ip.protocol(),
            ip.payload().len() as u16,
        );
        assert!(udp.verify_checksum(pseudo));
    });
}

#[test]
fn names_that_no_interface_can_have_are_refused() {
    for name in ["", "sixteen-bytes-xx", "a/b", "a b", "..", "a:b", "tab\t", "%s", "%d%d", "a\0b"] {
        let tap = Tap::open(name, OUR_MAC).unwrap_err();
        assert!(matches!(tap, DeviceError::BadName { .. }), "{name:?}: {tap}");
        let packet = PacketSocket::open(name, OUR_MAC).unwrap_err();
        assert!(matches!(packet, DeviceError::BadName { .. }), "{name:?}: {packet}");
        assert!(!tap.to_string().contains('\n'));
    }
}

#[test]
fn a_packet_socket_says_why_it_cannot_be_had() {
    in_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        netlink.create_veth("left", "right").unwrap();
        let open = |name: &str| PacketSocket::open(name, OUR_MAC).unwrap_err();
        assert!(matches!(open("nosuch"), DeviceError::NoSuchInterface { .. }));
        assert!(matches!(open("lo"), DeviceError::NotEthernet { .. }));
        assert!(matches!(open("left"), DeviceError::Down { .. }));
    });
}

#[test]
fn frames_too_long_for_a_packet_socket_are_counted_and_take_turns() {
    const TOO_LONG: usize = 40;
    in_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        netlink.create_veth("left", "right").unwrap();
        let [left, right] =
            ["left", "right"].map(|name| netlink.link(name).unwrap().unwrap().index);
        netlink.set_up(left, true).unwrap();
        netlink.set_up(right, true).unwrap();
        let mut receiver = PacketSocket::open("right", OUR_MAC).unwrap();
        netlink.set_mtu(left, 3000).unwrap();
        netlink.set_mtu(right, 3000).unwrap();
        let mut sender = PacketSocket::open("left", OUR_MAC).unwrap();
        // Until the kernel has seen both ends come up it drops what is sent.
        let begun = std::time::Instant::now();
        while !["left", "right"].iter().all(|n| netlink.link(n).unwrap().unwrap().is_operational())
        {
            assert!(begun.elapsed() < common::PATIENCE, "the pair never came up");
        }
        netlink.set_up(left, true).unwrap();
        let frame = |len: usize| {
            let mut frame = vec![0xff; len];
            frame[12..14].copy_from_slice(&[0x88, 0xb5]);
            Packet::from_slice(&frame)
        };
        for _ in 0..TOO_LONG {
            sender.transmit(frame(2000)).unwrap();
        }
        sender.transmit(frame(100)).unwrap();
        let mut pool = pool();
        let mut rests = 0;
        let deadline = std::time::Instant::now() + common::PATIENCE;
        loop {
            assert!(std::time::Instant::now() < deadline, "the last frame never came");
            match receiver.receive(&mut pool) {
                Ok(Some(packet)) if packet.bytes()[12..14] == [0x88, 0xb5] => {
                    assert_eq!(packet.len(), 100);
                    break;
                }
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::Interrupted);
                    rests += 1;
                }
            }
        }
        assert_eq!(receiver.truncated(), TOO_LONG as u64);
        assert!(rests >= 2, "it never stopped");
    });
}

#[test]
fn a_tap_says_why_it_cannot_be_had() {
    in_namespace(|| {
        let first = match Tap::open("tap%d", OUR_MAC) {
            Ok(tap) => tap,
            Err(error @ (DeviceError::NoTun(_) | DeviceError::TunAccess(_))) => {
                return skip(&error.to_string());
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(first.name(), "tap0");
        assert_ne!(first.link().mac, Some(OUR_MAC));
        let second = Tap::open("tap%d", OUR_MAC).unwrap();
        assert_eq!(second.name(), "tap1");
        let busy = Tap::open("tap0", OUR_MAC).unwrap_err();
        assert!(matches!(busy, DeviceError::InUse { .. }), "{busy}");
        Netlink::open().unwrap().create_veth("left", "right").unwrap();
        let other = Tap::open("left", OUR_MAC).unwrap_err();
        assert!(matches!(other, DeviceError::NotTap { .. }), "{other}");
        drop(first);
        // The kernel deletes what nobody is attached to.
        assert_eq!(Netlink::open().unwrap().link("tap0").unwrap(), None);
    });
}

#[test]
fn a_sandbox_refuses_to_leave_threads_behind() {
    // The harness runs this test on a thread of its own.
    let config = SandboxConfig {
        name: "tap0".to_owned(),
        mac: OUR_MAC,
        host_address: None,
        mtu: 1500,
        kind: None,
        offload: true,
    };
    match Sandbox::enter(&config) {
        Err(SandboxError::Threads(threads)) => assert!(threads > 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_choice_the_sandbox_takes_what_there_is() {
    in_namespace(|| {
        let config = SandboxConfig {
            name: "a-rather-long%d".to_owned(),
            mac: OUR_MAC,
            host_address: Some("10.0.0.1/24".parse().unwrap()),
            mtu: 9000,
            kind: None,
            offload: true,
        };
        let sandbox = Sandbox::set_up(&config).unwrap();
        let tap = Tap::open("probe", OUR_MAC).is_ok();
        let expected = if tap { SandboxKind::Tap } else { SandboxKind::PacketSocket };
        assert_eq!(sandbox.kind, expected);
        assert_eq!((sandbox.device.name(), sandbox.device.mtu()), ("a-rather-long0", 9000));
        let host = if tap { "a-rather-long0" } else { "a-rather-long-k" };
        assert_eq!((sandbox.host.name.as_str(), sandbox.host.mtu), (host, 9000));
        let fd: Option<RawFd> = sandbox.device.raw_fd();
        assert!(fd.is_some());
        let mut netlink = Netlink::open().unwrap();
        assert!(netlink.link("lo").unwrap().unwrap().is_up());
        let addresses = netlink.addresses().unwrap();
        assert!(addresses.contains(&(sandbox.host.index, "10.0.0.1/24".parse().unwrap())));
        let of_host = addresses.iter().filter(|(index, _)| *index == sandbox.host.index);
        assert_eq!(of_host.count(), 1, "no IPv6 address of the kernel's own making");
    });
}
