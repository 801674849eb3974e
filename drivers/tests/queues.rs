//! Several queues of one TAP, steered by the real kernel.

mod common;

use std::net::{SocketAddrV4, UdpSocket};
use std::time::Instant;

use common::{HOST_ADDR, Host, OUR_ADDR, OUR_MAC, PATIENCE, pattern};
use tapping_drivers::device::Device;
use tapping_drivers::error::DeviceError;
use tapping_drivers::netlink::Netlink;
use tapping_drivers::tap::{Tap, TapConfig};
use tapping_drivers::testing::{in_namespace, skip};
use tapping_stack::packet::{Packet, PacketPool};
use tapping_stack::wire::arp::{Arp, ArpOperation};
use tapping_stack::wire::ethernet::{EtherType, Ethernet, EthernetRepr};
use tapping_stack::wire::ipv4::{Ipv4, Protocol};
use tapping_stack::wire::udp::Udp;

const QUEUES: usize = 4;
const FLOWS: usize = 64;

/// Queues of a TAP whose kernel side is 10.0.0.1/24; `None` where no TAP is to be had.
fn queues(name: &str) -> Option<Vec<Tap>> {
    let queues = match Tap::open_queues(name, QUEUES, OUR_MAC) {
        Ok(queues) => queues,
        Err(error @ (DeviceError::NoTun(_) | DeviceError::TunAccess(_))) => {
            skip(&error.to_string());
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let link = queues[0].link();
    let mut netlink = Netlink::open().unwrap();
    netlink.configure(link.index, Some(format!("{HOST_ADDR}/24").parse().unwrap())).unwrap();
    Some(queues)
}

/// The next frame that any queue has and `wanted` makes something of; ARP requests are answered.
fn next<T>(queues: &mut [Tap], wanted: impl Fn(&Ethernet<'_>) -> Option<T>) -> (usize, T) {
    let mut pool = PacketPool::new(4, 4);
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        for (n, queue) in queues.iter_mut().enumerate() {
            let Some(packet) = queue.receive(&mut pool).unwrap() else { continue };
            let frame = Ethernet::parse(packet.bytes()).unwrap();
            if let Some(wanted) = wanted(&frame) {
                return (n, wanted);
            }
            if frame.ethertype() == EtherType::ARP {
                let request = Arp::parse(frame.payload()).unwrap();
                queue.transmit(answer(&request)).unwrap();
            }
        }
    }
    panic!("nothing came");
}

fn answer(request: &Arp) -> Packet {
    let mut packet = Packet::from_slice(&[0; 14 + 28]);
    let (dst, ethertype) = (request.sender_mac, EtherType::ARP);
    EthernetRepr { dst, src: OUR_MAC, ethertype }.emit(packet.bytes_mut());
    let reply = Arp {
        operation: ArpOperation::Reply,
        sender_mac: OUR_MAC,
        sender_ip: OUR_ADDR,
        target_mac: request.sender_mac,
        target_ip: request.sender_ip,
    };
    reply.emit(&mut packet.bytes_mut()[14..]);
    packet
}

/// The ports of a UDP datagram.
fn ports(frame: &Ethernet<'_>) -> Option<(u16, u16)> {
    let header = Ipv4::parse(frame.payload()).ok()?;
    let datagram = Udp::parse(header.payload()).ok()?;
    (header.protocol() == Protocol::UDP).then_some((datagram.src_port(), datagram.dst_port()))
}

/// The frame back to where it came from.
fn turned(socket: &UdpSocket, to: SocketAddrV4) -> Packet {
    let from = socket.local_addr().unwrap();
    let mut packet = Packet::from_slice(&[0; 14 + 20 + 8]);
    let bytes = packet.bytes_mut();
    let host_mac = Netlink::open().unwrap().link("tap0").unwrap().unwrap().mac.unwrap();
    EthernetRepr { dst: host_mac, src: OUR_MAC, ethertype: EtherType::IPV4 }.emit(bytes);
    bytes[14..26].copy_from_slice(&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
    bytes[26..30].copy_from_slice(&to.ip().octets());
    bytes[30..34].copy_from_slice(&HOST_ADDR.octets());
    tapping_stack::wire::ipv4::fill_checksum(&mut bytes[14..34]);
    bytes[34..36].copy_from_slice(&to.port().to_be_bytes());
    bytes[36..38].copy_from_slice(&from.port().to_be_bytes());
    bytes[39] = 8;
    packet
}

/// Where the kernel takes the program, flows come as it was said; elsewhere by the queue that wrote
/// last.
#[test]
fn flows_come_by_the_queue_that_is_said() {
    in_namespace(|| {
        let Some(mut queues) = queues("tap%d") else { return };
        assert!(queues.iter().all(|queue| queue.name() == "tap0"));
        let steering = queues[0].steering();
        assert!(queues.iter().all(|queue| queue.steering() == steering));
        let mut counts = [0; QUEUES];
        for n in 0..FLOWS {
            let socket = UdpSocket::bind((HOST_ADDR, 0)).unwrap();
            let remote = SocketAddrV4::new(HOST_ADDR, socket.local_addr().unwrap().port());
            let local = SocketAddrV4::new(OUR_ADDR, 5000 + n as u16);
            socket.connect(local).unwrap();
            let mut come = |queues: &mut [Tap]| {
                socket.send(b"data").unwrap();
                let wanted = (remote.port(), local.port());
                next(queues, |frame| ports(frame).filter(|ports| *ports == wanted)).0
            };
            let first = come(&mut queues);
            counts[first] += 1;
            if let Some(steering) = steering {
                assert_eq!(first, steering.queue_of(17, remote, local), "{remote} to {local}");
            }
            let writer = n % QUEUES;
            queues[writer].transmit(turned(&socket, local)).unwrap();
            let expected = if steering.is_some() { first } else { writer };
            assert_eq!(come(&mut queues), expected, "{remote} to {local}");
        }
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    });
}

#[test]
fn queues_are_counted_and_kept_apart() {
    in_namespace(|| {
        let Some(queues) = queues("tap0") else { return };
        assert!(queues.iter().all(|queue| queue.offloads().is_some_and(|have| have.checksum)));
        // Whoever wants it alone cannot have it, and no more than the kernel allows are to be had.
        let alone = Tap::open("tap0", OUR_MAC).unwrap_err();
        assert!(matches!(alone, DeviceError::NotTap { .. }), "{alone}");
        drop(queues);
        assert_eq!(Netlink::open().unwrap().link("tap0").unwrap(), None);
        assert!(Tap::open_queues("tap0", 257, OUR_MAC).is_err());
        assert_eq!(Netlink::open().unwrap().link("tap0").unwrap(), None);

        // One queue is a TAP like another, with offload and without.
        for offload in [true, false] {
            let config = TapConfig::new("tap0", OUR_MAC).offload(offload);
            let queue = config.open_queues(1).unwrap().remove(0);
            assert_eq!(queue.offloads().is_some(), offload);
            let mut netlink = Netlink::open().unwrap();
            let address = format!("{HOST_ADDR}/24").parse().unwrap();
            netlink.configure(queue.link().index, Some(address)).unwrap();
            let mut host = Host::new(queue, "10.0.0.2/24");
            assert_eq!(host.ping(HOST_ADDR, 1, &pattern(3000)), pattern(3000));
        }
    });
}
