//! UDP between a stack and the Linux kernel.

mod common;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use common::{HOST_ADDR, Host, OUR_ADDR, over_both_devices, pattern, sandbox};
use tapping_drivers::error::io_error;
use tapping_drivers::sandbox::{Sandbox, SandboxKind};
use tapping_drivers::testing::{in_namespace, set_socket_option, skip};
use tapping_stack::socket::PacketInfo;
use tapping_stack::{Packet, SocketId, Stack};

const SUBNET: &str = "10.0.0.2/24";
/// Around the edges of fragmentation at MTU 1500, and the longest datagram.
const SIZES: [usize; 9] = [0, 1, 7, 1472, 1473, 2952, 2953, 32_768, 65_507];

over_both_devices! {
    datagrams_go_both_ways_at_every_size
    the_kernel_refuses_and_we_are_told
    we_refuse_and_the_kernel_is_told
    a_broadcast_reaches_both
    connected_sockets_talk_to_each_other_only
}

/// What the kernel's socket sends as one and leaves to the device to cut (`UDP_SEGMENT`, udp(7)).
#[test]
fn datagrams_that_were_sent_together_come_apart() {
    const UDP_SEGMENT: i32 = 103;
    const SOL_UDP: i32 = 17;
    in_namespace(|| {
        let Some(sandbox) = sandbox(SandboxKind::Tap, true, 1500) else { return };
        if !sandbox.offloads.is_some_and(|offloads| offloads.uso) {
            return skip("no UDP segmentation offload here");
        }
        let mut host = Host::new(sandbox.device, SUBNET);
        let socket = ours(&mut host, 4000);
        let peer = kernel(HOST_ADDR, 5000);
        set_socket_option(&peer, SOL_UDP, UDP_SEGMENT, 1000).unwrap();
        // Address resolution is done with before.
        host.ping(HOST_ADDR, 1, b"hello");
        let frames = |host: &mut Host| {
            let link = host.link;
            let snapshot = host.stack().snapshot();
            snapshot.links.iter().find(|(id, ..)| *id == link).unwrap().2.rx_packets
        };
        let before = frames(&mut host);
        for len in [1, 1000, 1001, 10_500, 60_000] {
            let data = pattern(len);
            peer.send_to(&data, (OUR_ADDR, 4000)).unwrap();
            for expected in data.chunks(1000) {
                let packet = host.turn_until(|stack| stack.recv(socket));
                let (received, info) = own(host.stack(), packet);
                assert_eq!(info.source, (HOST_ADDR, 5000).into());
                assert!(received == expected, "{} bytes came otherwise", expected.len());
            }
        }
        assert_eq!(frames(&mut host) - before, 5, "one frame for each call");
        assert_eq!(host.stack().snapshot().udp.in_datagrams, 1 + 1 + 2 + 11 + 60);
    });
}

/// A socket of the kernel's that does not block.
fn kernel(addr: Ipv4Addr, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((addr, port)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn kernel_recv(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = vec![0; 65_536];
    match socket.recv_from(&mut buffer) {
        Ok((len, from)) => {
            buffer.truncate(len);
            Some((buffer, from))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("the kernel's socket: {error}"),
    }
}

/// A socket of ours.
fn ours(host: &mut Host, port: u16) -> SocketId {
    let socket = host.stack().open_udp().unwrap();
    host.stack().bind(socket, (OUR_ADDR, port).into()).unwrap();
    socket
}

fn own(stack: &mut Stack, packet: Packet) -> (Vec<u8>, PacketInfo) {
    let received = (packet.bytes().to_vec(), PacketInfo::of(&packet).unwrap());
    stack.recycle(packet);
    received
}

fn datagrams_go_both_ways_at_every_size(sandbox: Sandbox) {
    let mut host = Host::new(sandbox.device, SUBNET);
    let socket = ours(&mut host, 4000);
    let peer = kernel(HOST_ADDR, 5000);
    for size in SIZES {
        let data = pattern(size);
        let now = host.runtime.now();
        host.stack().send_to(now, socket, (HOST_ADDR, 5000).into(), &data).unwrap();
        let (received, from) = host.turn_until(|_| kernel_recv(&peer));
        assert_eq!(from, (OUR_ADDR, 4000).into());
        assert!(received == data, "{size} bytes to the kernel");
        peer.send_to(&data, from).unwrap();
        let (received, info) = host.turn_until(|stack| {
            let packet = stack.recv(socket)?;
            Some(own(stack, packet))
        });
        assert_eq!(info.source, (HOST_ADDR, 5000).into());
        assert_eq!(info.destination, (OUR_ADDR, 4000).into());
        assert!(received == data, "{size} bytes from the kernel");
    }
    let mib = host.stack().snapshot().udp;
    assert_eq!((mib.in_datagrams, mib.out_datagrams), (SIZES.len() as u64, SIZES.len() as u64));
    assert_eq!((mib.in_errors, mib.no_ports), (0, 0));
}

fn the_kernel_refuses_and_we_are_told(sandbox: Sandbox) {
    let mut host = Host::new(sandbox.device, SUBNET);
    let socket = ours(&mut host, 4000);
    let now = host.runtime.now();
    host.stack().connect(now, socket, (HOST_ADDR, 9).into()).unwrap();
    host.stack().send(now, socket, b"anybody?").unwrap();
    let error = host.turn_until(|stack| stack.take_error(socket).unwrap());
    assert_eq!(io_error(error).kind(), ErrorKind::ConnectionRefused);
    // And by the next call that sends or receives.
    host.stack().send(now, socket, b"anybody?").unwrap();
    let error = host.turn_until(|stack| match stack.try_recv(socket) {
        Err(error) if io_error(error).kind() == ErrorKind::WouldBlock => None,
        other => Some(other.map(|_| ()).unwrap_err()),
    });
    assert_eq!(io_error(error).kind(), ErrorKind::ConnectionRefused);
    assert!(host.stack().send(now, socket, b"once is enough").is_ok());
}

fn we_refuse_and_the_kernel_is_told(sandbox: Sandbox) {
    let mut host = Host::new(sandbox.device, SUBNET);
    let peer = kernel(HOST_ADDR, 5000);
    peer.connect((OUR_ADDR, 9)).unwrap();
    peer.send(b"anybody?").unwrap();
    let error = host.turn_until(|_| peer.take_error().unwrap());
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(host.stack().snapshot().udp.no_ports, 1);
}

fn a_broadcast_reaches_both(sandbox: Sandbox) {
    let mut host = Host::new(sandbox.device, SUBNET);
    let all = Ipv4Addr::new(10, 0, 0, 255);
    let socket = host.stack().open_udp().unwrap();
    let options = host.stack().socket_options(socket).unwrap();
    options.broadcast = true;
    host.stack().bind(socket, (Ipv4Addr::UNSPECIFIED, 4000).into()).unwrap();
    let peer = kernel(Ipv4Addr::UNSPECIFIED, 4000);
    peer.set_broadcast(true).unwrap();
    let now = host.runtime.now();
    host.stack().send_to(now, socket, (all, 4000).into(), b"from us").unwrap();
    let (data, from) = host.turn_until(|_| kernel_recv(&peer));
    assert_eq!((&data[..], from), (&b"from us"[..], (OUR_ADDR, 4000).into()));
    let mut next = || {
        host.turn_until(|stack| {
            let packet = stack.recv(socket)?;
            Some(own(stack, packet))
        })
    };
    assert_eq!(next().0, b"from us", "our own copy");
    peer.send_to(b"from the kernel", (all, 4000)).unwrap();
    let (data, info) = next();
    assert_eq!((&data[..], info.source.ip()), (&b"from the kernel"[..], HOST_ADDR.into()));
    assert_eq!(info.destination, (all, 4000).into());
}

fn connected_sockets_talk_to_each_other_only(sandbox: Sandbox) {
    let mut host = Host::new(sandbox.device, SUBNET);
    let socket = ours(&mut host, 4000);
    let (peer, stranger) = (kernel(HOST_ADDR, 5000), kernel(HOST_ADDR, 5001));
    let now = host.runtime.now();
    host.stack().connect(now, socket, (HOST_ADDR, 5000).into()).unwrap();
    for socket in [&peer, &stranger] {
        socket.connect((OUR_ADDR, 4000)).unwrap();
    }
    stranger.send(b"let me in").unwrap();
    let refused = host.turn_until(|_| stranger.take_error().unwrap());
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    peer.send(b"hello").unwrap();
    let (data, _) = host.turn_until(|stack| {
        let packet = stack.recv(socket)?;
        Some(own(stack, packet))
    });
    assert_eq!(data, b"hello");
}
