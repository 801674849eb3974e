//! smoltcp over our devices: with the kernel as its peer, and with our stack.

mod common;

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use common::{HOST_ADDR, Host, OUR_ADDR, PATIENCE, over_both_devices, pattern};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{icmp, tcp};
use smoltcp::wire::{EthernetAddress, HardwareAddress, Icmpv4Packet, Icmpv4Repr, IpCidr};
use tapping_drivers::device::{Device, DeviceConfig};
use tapping_drivers::sandbox::Sandbox;
use tapping_drivers::smoltcp::SmoltcpDevice;
use tapping_drivers::veth;
use tapping_stack::wire::ethernet::MacAddr;

const IDENT: u16 = 0x5a5a;

/// A smoltcp host with one address.
struct Smoltcp<D> {
    device: SmoltcpDevice<D>,
    interface: Interface,
    sockets: SocketSet<'static>,
    start: Instant,
}

impl<D: Device> Smoltcp<D> {
    fn new(device: D, address: Ipv4Addr) -> Self {
        let mac = EthernetAddress(device.mac().0);
        let mut device = SmoltcpDevice::new(device);
        let config = Config::new(HardwareAddress::Ethernet(mac));
        let now = smoltcp::time::Instant::ZERO;
        let mut interface = Interface::new(config, &mut device, now);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(address.into(), 24)).unwrap();
        });
        Smoltcp { device, interface, sockets: SocketSet::new(Vec::new()), start: Instant::now() }
    }

    fn poll(&mut self) {
        let micros = self.start.elapsed().as_micros() as i64;
        let now = smoltcp::time::Instant::from_micros(micros);
        self.interface.poll(now, &mut self.device, &mut self.sockets);
        if let Some(error) = self.device.take_error() {
            panic!("{error}");
        }
    }

    /// Pings `to` and returns the data of the reply.
    fn ping(&mut self, to: Ipv4Addr, sequence: u16, data: &[u8]) -> Vec<u8> {
        let buffer =
            || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 8 * 1024]);
        let mut socket = icmp::Socket::new(buffer(), buffer());
        socket.bind(icmp::Endpoint::Ident(IDENT)).unwrap();
        let request = Icmpv4Repr::EchoRequest { ident: IDENT, seq_no: sequence, data };
        let room = socket.send(request.buffer_len(), to.into()).unwrap();
        let checksums = ChecksumCapabilities::default();
        request.emit(&mut Icmpv4Packet::new_unchecked(room), &checksums);
        let handle = self.sockets.add(socket);
        let end = Instant::now() + PATIENCE;
        loop {
            self.poll();
            let socket = self.sockets.get_mut::<icmp::Socket<'_>>(handle);
            if let Ok((message, from)) = socket.recv() {
                assert_eq!(from, to.into());
                let packet = Icmpv4Packet::new_checked(message).unwrap();
                match Icmpv4Repr::parse(&packet, &checksums).unwrap() {
                    Icmpv4Repr::EchoReply { ident, seq_no, data } => {
                        assert_eq!((ident, seq_no), (IDENT, sequence));
                        let data = data.to_vec();
                        self.sockets.remove(handle);
                        return data;
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert!(Instant::now() < end, "no reply from {to}");
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

over_both_devices! {
    smoltcp_pings_the_kernel
    smoltcp_receives_what_the_kernel_sends
}

/// Large segments among it, where the device has offload.
fn smoltcp_receives_what_the_kernel_sends(sandbox: Sandbox) {
    const LEN: usize = 1 << 20;
    let mut smoltcp = Smoltcp::new(sandbox.device, OUR_ADDR);
    let buffer = || tcp::SocketBuffer::new(vec![0; 64 << 10]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    socket.listen(7).unwrap();
    let handle = smoltcp.sockets.add(socket);
    let peer = thread::spawn(|| {
        TcpStream::connect((OUR_ADDR, 7)).unwrap().write_all(&pattern(LEN)).unwrap();
    });
    let (mut received, end) = (Vec::new(), Instant::now() + PATIENCE);
    while received.len() < LEN {
        smoltcp.poll();
        let socket = smoltcp.sockets.get_mut::<tcp::Socket<'_>>(handle);
        while socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), received.extend_from_slice(bytes))).unwrap();
        }
        assert!(Instant::now() < end, "only {} bytes came", received.len());
    }
    assert!(received == pattern(LEN), "other bytes came");
    peer.join().unwrap();
}

fn smoltcp_pings_the_kernel(sandbox: Sandbox) {
    let mut smoltcp = Smoltcp::new(sandbox.device, OUR_ADDR);
    // What fits a frame: fragments are a feature of smoltcp's that this does without.
    for (sequence, size) in [0, 1, 56, 1000, 1472].into_iter().enumerate() {
        let data = pattern(size);
        assert_eq!(smoltcp.ping(HOST_ADDR, sequence as u16, &data), data);
    }
}

#[test]
fn smoltcp_answers_our_ping_over_a_veth() {
    let end =
        |n| DeviceConfig { name: format!("veth{n}"), mac: MacAddr([2, 0, 0, 0, 0, n]), mtu: 1500 };
    let (ours, theirs) = veth::pair(end(2), end(1));
    let mut smoltcp = Smoltcp::new(theirs, HOST_ADDR);
    let mut host = Host::new(ours, "10.0.0.2/24");
    let socket = host.stack().open_ping(None).unwrap();
    for size in [0, 1, 56, 1000, 1472] {
        let now = host.runtime.now();
        let message = common::echo(size as u16, &pattern(size));
        host.stack().send_to(now, socket, (HOST_ADDR, 0).into(), &message).unwrap();
        let reply = host.turn_until(|stack| {
            smoltcp.poll();
            stack.recv(socket)
        });
        assert_eq!(reply.bytes()[..2], [0, 0]);
        assert_eq!(reply.bytes()[8..], pattern(size));
        host.stack().recycle(reply);
    }
}
