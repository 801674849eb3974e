//! smoltcp doing the same.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Instant as StdInstant;

use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::phy::{
    Device, DeviceCapabilities, FaultInjector, Loopback, Medium, RxToken, Tracer, TxToken,
};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

const PORT: u16 = 7;

fn tcp_socket(buffer: usize) -> tcp::Socket<'static> {
    let ring = || tcp::SocketBuffer::new(vec![0; buffer]);
    tcp::Socket::new(ring(), ring())
}

fn udp_socket() -> udp::Socket<'static> {
    let ring = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 16], vec![0; 65_536]);
    let mut socket = udp::Socket::new(ring(), ring());
    socket.bind(PORT).expect("a port");
    socket
}

fn interface(device: &mut impl Device, mac: u8, addr: IpAddress, prefix_len: u8) -> Interface {
    let config = smoltcp::iface::Config::new(EthernetAddress([2, 0, 0, 0, 0, mac]).into());
    let mut interface = Interface::new(config, device, Instant::ZERO);
    interface.update_ip_addrs(|addrs| {
        addrs.push(IpCidr::new(addr, prefix_len)).expect("room for an address");
    });
    interface
}

fn since(start: StdInstant) -> Instant {
    Instant::from_micros(1_000_000 + start.elapsed().as_micros() as i64)
}

/// All that can be received; how much that was.
fn drain(socket: &mut tcp::Socket<'_>) -> usize {
    let mut received = 0;
    while socket.can_recv() {
        received +=
            socket.recv(|bytes| (bytes.len(), black_box(bytes).len())).expect("a connection");
    }
    received
}

fn fill(socket: &mut tcp::Socket<'_>) {
    while socket.can_send() {
        socket.send(|room| (room.len(), ())).expect("a connection");
    }
}

/// smoltcp's `loopback_benchmark`: one interface, both ends of the connection on it.
pub struct Looped<D: Device> {
    device: D,
    interface: Interface,
    sockets: SocketSet<'static>,
    server: SocketHandle,
    client: SocketHandle,
    start: StdInstant,
}

/// The loopback device alone: its MTU is 65535 and it needs no checksums.
pub fn bare_loopback() -> Looped<impl Device> {
    Looped::new(Loopback::new(Medium::Ethernet))
}

/// The loopback device in the wrappers that the program as published puts around it, idle as they
/// are by default; they limit the MTU to 1536. The one that writes pcap files is left out.
pub fn wrapped_loopback() -> Looped<impl Device> {
    let device = Tracer::new(Loopback::new(Medium::Ethernet), |_, _| {});
    Looped::new(FaultInjector::new(device, 1))
}

impl<D: Device> Looped<D> {
    fn new(mut device: D) -> Self {
        let addr = IpAddress::v4(127, 0, 0, 1);
        let mut interface = interface(&mut device, 1, addr, 8);
        let mut sockets = SocketSet::new(vec![]);
        let server = sockets.add(tcp_socket(65_536));
        let client = sockets.add(tcp_socket(65_536));
        sockets.get_mut::<tcp::Socket<'_>>(server).listen(PORT).expect("a port");
        let socket = sockets.get_mut::<tcp::Socket<'_>>(client);
        socket.connect(interface.context(), (addr, PORT), 65_000).expect("a route");
        let start = StdInstant::now();
        Looped { device, interface, sockets, server, client, start }
    }

    pub fn transfer(&mut self, len: usize) {
        let mut received = 0;
        while received < len {
            self.interface.poll(since(self.start), &mut self.device, &mut self.sockets);
            received += drain(self.sockets.get_mut(self.server));
            fill(self.sockets.get_mut(self.client));
        }
    }
}

/// One end of a wire with MTU 1500. Buffers go round: nothing is allocated or cleared for a frame.
struct End {
    waiting: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    /// What was received, for its buffer to be used again.
    last: Option<Vec<u8>>,
}

struct Rx<'a>(&'a [u8]);

struct Tx<'a> {
    sent: &'a mut VecDeque<Vec<u8>>,
    spare: &'a mut Vec<Vec<u8>>,
}

impl RxToken for Rx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = self.spare.pop().unwrap_or_else(|| vec![0; 1514]);
        frame.resize(len, 0);
        let result = f(&mut frame);
        self.sent.push_back(frame);
        result
    }
}

impl Device for End {
    type RxToken<'a> = Rx<'a>;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Rx<'_>, Tx<'_>)> {
        let frame = self.waiting.pop_front()?;
        if let Some(mut last) = self.last.replace(frame) {
            // Its length is grown to again without clearing all of it.
            last.resize(1514, 0);
            self.spare.push(last);
        }
        let rx = Rx(self.last.as_deref()?);
        Some((rx, Tx { sent: &mut self.sent, spare: &mut self.spare }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        Some(Tx { sent: &mut self.sent, spare: &mut self.spare })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        // Checksums are computed and verified unless a device says otherwise.
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct Host {
    device: End,
    interface: Interface,
    sockets: SocketSet<'static>,
    tcp: SocketHandle,
    udp: SocketHandle,
}

impl Host {
    fn new(number: u8, buffer: usize) -> Self {
        let (waiting, sent) = (VecDeque::new(), VecDeque::new());
        let mut device = End { waiting, sent, spare: Vec::new(), last: None };
        let interface = interface(&mut device, number, address(number), 24);
        let mut sockets = SocketSet::new(vec![]);
        let tcp = sockets.add(tcp_socket(buffer));
        let udp = sockets.add(udp_socket());
        Host { device, interface, sockets, tcp, udp }
    }

    fn poll(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.device, &mut self.sockets);
    }
}

fn address(number: u8) -> IpAddress {
    IpAddress::v4(10, 0, 0, number)
}

/// Two interfaces, each of whose frames are moved to the other.
pub struct Wired {
    hosts: [Host; 2],
    start: StdInstant,
}

impl Wired {
    pub fn new(buffer: usize) -> Self {
        let mut hosts = [Host::new(1, buffer), Host::new(2, buffer)];
        let [client, server] = &mut hosts;
        server.sockets.get_mut::<tcp::Socket<'_>>(server.tcp).listen(PORT).expect("a port");
        let socket = client.sockets.get_mut::<tcp::Socket<'_>>(client.tcp);
        let context = client.interface.context();
        socket.connect(context, (address(2), PORT), 65_000).expect("a route");
        let mut wired = Wired { hosts, start: StdInstant::now() };
        while !wired.hosts[1].sockets.get::<tcp::Socket<'_>>(wired.hosts[1].tcp).may_send() {
            wired.step();
        }
        wired
    }

    fn step(&mut self) {
        let now = since(self.start);
        let [client, server] = &mut self.hosts;
        client.poll(now);
        exchange_frames(&mut client.device, &mut server.device);
        server.poll(now);
        exchange_frames(&mut server.device, &mut client.device);
    }

    pub fn transfer(&mut self, len: usize) {
        let mut received = 0;
        while received < len {
            let [client, server] = &mut self.hosts;
            fill(client.sockets.get_mut(client.tcp));
            received += drain(server.sockets.get_mut(server.tcp));
            self.step();
        }
    }

    /// A datagram there and back.
    pub fn exchange(&mut self, message: &[u8]) {
        let [client, _] = &mut self.hosts;
        let socket = client.sockets.get_mut::<udp::Socket<'_>>(client.udp);
        socket.send_slice(message, (address(2), PORT)).expect("room");
        self.step();
        let [client, server] = &mut self.hosts;
        let now = since(self.start);
        let socket = server.sockets.get_mut::<udp::Socket<'_>>(server.udp);
        let mut copy = [0; 1472];
        while let Ok((len, from)) = socket.recv_slice(&mut copy) {
            socket.send_slice(&copy[..len], from).expect("room");
        }
        server.poll(now);
        exchange_frames(&mut server.device, &mut client.device);
        client.poll(now);
        let socket = client.sockets.get_mut::<udp::Socket<'_>>(client.udp);
        // The first one waits for the neighbour to be found.
        if let Ok((reply, _)) = socket.recv() {
            black_box(reply);
        }
    }
}

/// Moves frames, and buffers back for them.
fn exchange_frames(from: &mut End, to: &mut End) {
    while let Some(frame) = from.sent.pop_front() {
        if let Some(spare) = to.spare.pop() {
            from.spare.push(spare);
        }
        to.waiting.push_back(frame);
    }
}
