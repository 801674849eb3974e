//! A stack and the Linux kernel as its peer, over a TAP and over a packet socket.

mod common;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use common::{
    HOST_ADDR, Host, KernelPing, OUR_ADDR, OUR_MAC, PATIENCE, echo, kernel_neighbour,
    over_both_devices, pattern,
};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use tapping_drivers::device::Device;
use tapping_drivers::netlink::{NeighbourState, Netlink};
use tapping_drivers::pcap::{Capture, CaptureFile, CaptureReader};
use tapping_drivers::sandbox::Sandbox;
use tapping_stack::PmtuDiscovery;
use tapping_stack::neigh::NudState;
use tapping_stack::route::Route;
use tapping_stack::wire::ethernet::{EtherType, Ethernet};
use tapping_stack::wire::icmpv4::Icmpv4;
use tapping_stack::wire::ipv4::Ipv4;

/// Around every edge of fragmentation at MTU 1500 (1480 bytes a fragment), and the largest
/// datagram there is (RFC 791: 65,535 bytes with 20 of IP and 8 of ICMP header).
const SIZES: [usize; 17] =
    [0, 1, 7, 8, 56, 64, 1000, 1471, 1472, 1473, 1480, 2952, 2953, 8192, 32_768, 65_506, 65_507];

const SUBNET: &str = "10.0.0.2/24";

over_both_devices! {
    we_ping_the_kernel_at_every_size
    the_kernel_pings_us_at_every_size
    both_ping_at_once
    the_kernel_sees_us_come_and_stay
    we_see_the_kernel_come_and_go
    df_meets_a_smaller_mtu_of_ours
    df_meets_a_smaller_mtu_of_the_kernel
    a_datagram_to_no_port_comes_back_as_an_error
    a_capture_holds_the_whole_exchange
    a_device_removed_underneath_takes_the_link_down
}

fn we_ping_the_kernel_at_every_size(sandbox: Sandbox) {
    let mut host = Host::new(sandbox.device, SUBNET);
    for (sequence, size) in SIZES.into_iter().enumerate() {
        let data = pattern(size);
        assert_eq!(host.ping(HOST_ADDR, sequence as u16, &data), data, "{size} bytes");
    }
    let snapshot = host.stack().snapshot();
    assert_eq!(snapshot.icmp.in_echo_reps, SIZES.len() as u64);
    assert_eq!((snapshot.ip.reasm_fails, snapshot.icmp.in_csum_errors), (0, 0));
}

fn the_kernel_pings_us_at_every_size(sandbox: Sandbox) {
    let mut host = Host::new(sandbox.device, SUBNET);
    let kernel = KernelPing::new();
    for (sequence, size) in SIZES.into_iter().enumerate() {
        let data = pattern(size);
        kernel.send(OUR_ADDR, &echo(sequence as u16, &data)).unwrap();
        let reply = host.turn_until(|_| kernel.recv());
        assert_eq!((reply[0], reply[1]), (0, 0));
        assert_eq!(reply[6..8], (sequence as u16).to_be_bytes());
        assert_eq!(reply[8..], data, "{size} bytes");
    }
}

fn both_ping_at_once(sandbox: Sandbox) {
    const COUNT: u16 = 200;
    let mut host = Host::new(sandbox.device, SUBNET);
    let kernel = KernelPing::new();
    let socket = host.stack().open_ping(None).unwrap();
    let data = pattern(3000);
    let (mut ours, mut theirs) = (0, 0);
    for sequence in 0..COUNT {
        kernel.send(OUR_ADDR, &echo(sequence, &data)).unwrap();
        let now = host.runtime.now();
        host.stack().send_to(now, socket, (HOST_ADDR, 0).into(), &echo(sequence, &data)).unwrap();
        host.turn_until(|stack| {
            while let Some(reply) = stack.recv(socket) {
                assert_eq!(reply.bytes()[8..], data);
                stack.recycle(reply);
                ours += 1;
            }
            while let Some(reply) = kernel.recv() {
                assert_eq!(reply[8..], data);
                theirs += 1;
            }
            (ours > sequence && theirs > sequence).then_some(())
        });
    }
    assert_eq!((ours, theirs), (COUNT, COUNT));
}

fn the_kernel_sees_us_come_and_stay(sandbox: Sandbox) {
    // The kernel's own timers, shortened: reachable for 1.2 to 3.6 s, 1 s before the first probe.
    // An entry used within the latter is not let go stale.
    let neigh = format!("/proc/sys/net/ipv4/neigh/{}", sandbox.host.name);
    std::fs::write(format!("{neigh}/base_reachable_time_ms"), "2400").unwrap();
    std::fs::write(format!("{neigh}/delay_first_probe_time"), "1").unwrap();
    let mut host = Host::new(sandbox.device, SUBNET);
    let kernel = KernelPing::new();
    kernel.send(OUR_ADDR, &echo(1, b"")).unwrap();
    assert_eq!(kernel_neighbour(OUR_ADDR).unwrap().state, NeighbourState::Incomplete);
    host.turn_until(|_| kernel.recv());
    let entry = kernel_neighbour(OUR_ADDR).unwrap();
    assert_eq!((entry.state, entry.mac), (NeighbourState::Reachable, Some(OUR_MAC)));

    // Unused, the entry goes stale.
    let state = |_: &mut _| Some(kernel_neighbour(OUR_ADDR)?.state);
    host.turn_until(|stack| (state(stack)? == NeighbourState::Stale).then_some(()));
    // Used again, it is delayed and then probed: a request to us alone, which we answer.
    kernel.send(OUR_ADDR, &echo(2, b"")).unwrap();
    assert_eq!(kernel_neighbour(OUR_ADDR).unwrap().state, NeighbourState::Delay);
    host.turn_until(|stack| (state(stack)? == NeighbourState::Reachable).then_some(()));
    assert!(kernel.recv().is_some());
}

fn we_see_the_kernel_come_and_go(sandbox: Sandbox) {
    let index = sandbox.host.index;
    let mut host = Host::new(sandbox.device, SUBNET);
    host.ping(HOST_ADDR, 1, b"");
    let link = host.link;
    let ours = host.stack().neighbour(link, HOST_ADDR.into()).unwrap();
    assert_eq!((ours.state, ours.mac), (NudState::Reachable, sandbox.host.mac));

    // Nobody has that address: host unreachable to who asked, from ourselves.
    let nobody = Ipv4Addr::new(10, 0, 0, 77);
    let socket = host.stack().open_ping(None).unwrap();
    host.stack().socket_options(socket).unwrap().receive_errors = true;
    let now = host.runtime.now();
    host.stack().send_to(now, socket, (nobody, 0).into(), &echo(1, b"")).unwrap();
    let report = host.turn_until(|stack| stack.recv_error(socket));
    assert_eq!(report.error.errno(), libc_ehostunreach());
    assert_eq!(report.destination, nobody);

    // Another address on the kernel's side is found as soon as it is there.
    let other = "10.0.0.99/24".parse().unwrap();
    Netlink::open().unwrap().add_address(index, other).unwrap();
    assert_eq!(host.ping(Ipv4Addr::new(10, 0, 0, 99), 2, b"there"), b"there");
}

/// EHOSTUNREACH on Linux.
fn libc_ehostunreach() -> i32 {
    rustix::io::Errno::HOSTUNREACH.raw_os_error()
}

fn df_meets_a_smaller_mtu_of_ours(sandbox: Sandbox) {
    let mut host = Host::new(sandbox.device, SUBNET);
    let link = host.link;
    host.stack().set_mtu(link, 1000).unwrap();
    let socket = host.stack().open_ping(None).unwrap();
    let now = host.runtime.now();
    host.stack().socket_options(socket).unwrap().pmtu_discovery = PmtuDiscovery::Do;
    let error = host
        .stack()
        .send_to(now, socket, (HOST_ADDR, 0).into(), &echo(1, &pattern(973)))
        .unwrap_err();
    assert_eq!(error.errno(), rustix::io::Errno::MSGSIZE.raw_os_error());
    // 20 and 8 bytes of headers and 972 of data are the MTU.
    host.stack().send_to(now, socket, (HOST_ADDR, 0).into(), &echo(2, &pattern(972))).unwrap();
    let reply = host.turn_until(|stack| stack.recv(socket));
    assert_eq!(reply.bytes()[8..], pattern(972));
    assert!(Ipv4::parse(reply.network()).is_ok());

    // Without DF it goes in fragments, and comes back in one piece of 1500.
    host.stack().socket_options(socket).unwrap().pmtu_discovery = PmtuDiscovery::Dont;
    let now = host.runtime.now();
    host.stack().send_to(now, socket, (HOST_ADDR, 0).into(), &echo(3, &pattern(1400))).unwrap();
    let reply = host.turn_until(|stack| stack.recv(socket));
    assert_eq!(reply.bytes()[8..], pattern(1400));
    assert!(host.stack().snapshot().ip.frag_creates >= 2);
}

fn df_meets_a_smaller_mtu_of_the_kernel(sandbox: Sandbox) {
    // The kernel routes between us and a host behind a link of MTU 800.
    let mut netlink = Netlink::open().unwrap();
    netlink.create_veth("narrow", "beyond").unwrap();
    for name in ["narrow", "beyond"] {
        let index = netlink.link(name).unwrap().unwrap().index;
        netlink.set_mtu(index, 800).unwrap();
        netlink.set_up(index, true).unwrap();
    }
    let narrow = netlink.link("narrow").unwrap().unwrap().index;
    netlink.add_address(narrow, "192.0.2.1/24".parse().unwrap()).unwrap();
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();

    let mut host = Host::new(sandbox.device, SUBNET);
    let route = Route::via("0.0.0.0/0".parse().unwrap(), HOST_ADDR.into());
    host.stack().add_route(route).unwrap();
    let far = Ipv4Addr::new(192, 0, 2, 9);
    let socket = host.stack().open_ping(None).unwrap();
    let now = host.runtime.now();
    let options = host.stack().socket_options(socket).unwrap();
    options.pmtu_discovery = PmtuDiscovery::Do;
    options.receive_errors = true;
    host.stack().send_to(now, socket, (far, 0).into(), &echo(1, &pattern(1000))).unwrap();
    let report = host.turn_until(|stack| stack.recv_error(socket));
    assert_eq!((report.icmp_type, report.code, report.info), (3, 4, 800));
    assert_eq!(report.offender, Some(HOST_ADDR.into()));
    assert_eq!(report.error.errno(), rustix::io::Errno::MSGSIZE.raw_os_error());
    let now = host.runtime.now();
    assert_eq!(host.stack().path_mtu(now, far.into()).unwrap(), 800);
    let error =
        host.stack().send_to(now, socket, (far, 0).into(), &echo(2, &pattern(1000))).unwrap_err();
    assert_eq!(error.errno(), rustix::io::Errno::MSGSIZE.raw_os_error());
}

fn a_datagram_to_no_port_comes_back_as_an_error(sandbox: Sandbox) {
    let mut host = Host::new(sandbox.device, SUBNET);
    // The kernel's socket hears of our port unreachable.
    let socket = UdpSocket::bind((HOST_ADDR, 0)).unwrap();
    socket.connect((OUR_ADDR, 33_434)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.send(b"anybody?").unwrap();
    let error = host.turn_until(|_| match socket.recv(&mut [0; 8]) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Some(error),
        _ => None,
    });
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(host.stack().snapshot().udp.no_ports, 1);

    // A DF datagram of the kernel's as large as the MTU is no trouble.
    set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DO).unwrap();
    socket.send(&pattern(1472)).unwrap();
    host.turn_until(|stack| (stack.snapshot().udp.no_ports == 2).then_some(()));
}

fn a_capture_holds_the_whole_exchange(sandbox: Sandbox) {
    let path = std::env::temp_dir().join(format!("tapping-exchange-{}", std::process::id()));
    let file = CaptureFile::create(&path).unwrap();
    let mut host = Host::new(Capture::new(sandbox.device, &file), SUBNET);
    for size in [0, 56, 4000] {
        host.ping(HOST_ADDR, size as u16, &pattern(size));
    }
    drop((host, file));
    let mut reader = CaptureReader::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (mut arp, mut echoes, mut replies, mut fragments) = (0, 0, 0, 0);
    while let Some(record) = reader.next_record().unwrap() {
        let frame = Ethernet::parse(record.data).unwrap();
        match frame.ethertype() {
            EtherType::ARP => arp += 1,
            EtherType::IPV4 => {
                let ip = Ipv4::parse(frame.payload()).unwrap();
                assert!(ip.verify_checksum());
                if ip.is_fragment() {
                    fragments += 1;
                    continue;
                }
                let icmp = Icmpv4::parse(ip.payload()).unwrap();
                assert!(icmp.verify_checksum());
                echoes += u32::from(icmp.icmp_type() == 8);
                replies += u32::from(icmp.icmp_type() == 0);
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(arp >= 2, "{arp}");
    // 4008 bytes are three fragments, each way.
    assert_eq!((echoes, replies, fragments), (2, 2, 6));
}

fn a_device_removed_underneath_takes_the_link_down(sandbox: Sandbox) {
    let index = sandbox.host.index;
    let mut host = Host::new(sandbox.device, SUBNET);
    host.ping(HOST_ADDR, 1, b"");
    Netlink::open().unwrap().delete_link(index).unwrap();
    let end = host.runtime.now() + PATIENCE;
    let mut closed = 0;
    while closed == 0 {
        assert!(host.runtime.now() < end, "the loop does not see that the device is gone");
        let deadline = host.runtime.now() + Duration::from_millis(50);
        closed += host.runtime.turn(Some(deadline)).unwrap().closed;
    }
    assert_eq!(closed, 1);
    let (id, link) = (host.id, host.link);
    assert!(!host.runtime.device(id, link).unwrap().is_open());
    assert!(!host.stack().interfaces().get(link).unwrap().up);
    let socket = host.stack().open_ping(None).unwrap();
    let now = host.runtime.now();
    let error =
        host.stack().send_to(now, socket, (HOST_ADDR, 0).into(), &echo(2, b"")).unwrap_err();
    assert_eq!(error.errno(), rustix::io::Errno::NETUNREACH.raw_os_error());
    // And it sleeps to its deadline instead of spinning.
    let deadline = host.runtime.now() + Duration::from_millis(20);
    let turn = host.runtime.turn(Some(deadline)).unwrap();
    assert!(turn.deadline && turn.closed == 0);
    let device: Option<Box<dyn Device>> = host.runtime.detach(id, link);
    assert!(device.is_some() && host.stack().interfaces().get(link).is_none());
}
