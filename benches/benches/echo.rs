//! ICMP echo in process: a request frame in, a reply frame out, beside smoltcp.

use std::hint::black_box;
use std::net::Ipv4Addr;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use smoltcp::iface::{Interface, SocketSet};
use smoltcp::phy::{DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant as SmolInstant;
use tapping_benches::echo_request;
use tapping_stack::time::Instant;
use tapping_stack::wire::MacAddr;
use tapping_stack::{Config, LinkConfig, LinkId, Packet, Stack};

const HOST: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const HOST_ADDR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER_ADDR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn request(frame_len: usize) -> Vec<u8> {
    echo_request((PEER, PEER_ADDR), (HOST, HOST_ADDR), frame_len)
}

fn host() -> (Stack, LinkId) {
    let mut stack = Stack::new(Config::default(), 1);
    let link = stack.add_link(LinkConfig::new("eth0", HOST)).expect("a link");
    let cidr = format!("{HOST_ADDR}/24").parse().expect("a prefix");
    stack.add_address(Instant::ZERO, link, cidr).expect("an address");
    stack.add_neighbour(Instant::ZERO, link, PEER_ADDR.into(), PEER).expect("a neighbour");
    (stack, link)
}

/// A device that holds one frame each way.
#[derive(Default)]
struct OneFrame {
    rx: Option<Vec<u8>>,
    tx: Option<Vec<u8>>,
    spare: Vec<u8>,
}

struct Rx(Vec<u8>);
struct Tx<'a>(&'a mut OneFrame);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = std::mem::take(&mut self.0.spare);
        frame.resize(len, 0);
        let result = f(&mut frame);
        self.0.tx = Some(frame);
        result
    }
}

impl smoltcp::phy::Device for OneFrame {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: SmolInstant) -> Option<(Rx, Tx<'_>)> {
        let frame = self.rx.take()?;
        Some((Rx(frame), Tx(self)))
    }

    fn transmit(&mut self, _: SmolInstant) -> Option<Tx<'_>> {
        Some(Tx(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

fn smoltcp_host(device: &mut OneFrame) -> Interface {
    let config = smoltcp::iface::Config::new(smoltcp::wire::EthernetAddress(HOST.0).into());
    let mut interface = Interface::new(config, device, SmolInstant::ZERO);
    interface.update_ip_addrs(|addrs| {
        let cidr = smoltcp::wire::IpCidr::new(HOST_ADDR.into(), 24);
        addrs.push(cidr).expect("room for an address");
    });
    interface
}

fn echo(c: &mut Criterion) {
    let mut group = c.benchmark_group("echo");
    for len in [64, 1514] {
        let frame = request(len);
        group.bench_function(BenchmarkId::new("tapping", len), |b| {
            let (mut stack, link) = host();
            let mut spare = Some(Packet::from_slice(&frame));
            let mut now = 0;
            b.iter(|| {
                now += 1000;
                let now = Instant::from_nanos(now);
                let mut packet = spare.take().expect("the last reply");
                packet.reset();
                packet.put_slice(&frame);
                stack.handle_frame(now, link, packet);
                let reply = stack.poll_transmit(now, link).expect("a reply");
                black_box(reply.bytes());
                spare = Some(reply);
            });
        });
        group.bench_function(BenchmarkId::new("smoltcp", len), |b| {
            let mut device = OneFrame::default();
            let mut interface = smoltcp_host(&mut device);
            let mut sockets = SocketSet::new(vec![]);
            let mut storage = Vec::new();
            let mut now = 0;
            // smoltcp has to learn its peer from an ARP request first.
            device.rx = Some(tapping_benches::arp_request((PEER, PEER_ADDR), HOST_ADDR));
            interface.poll(SmolInstant::ZERO, &mut device, &mut sockets);
            device.tx = None;
            b.iter(|| {
                now += 1;
                storage.clear();
                storage.extend_from_slice(&frame);
                device.rx = Some(std::mem::take(&mut storage));
                interface.poll(SmolInstant::from_micros(now), &mut device, &mut sockets);
                storage = device.tx.take().expect("a reply");
                device.spare = Vec::with_capacity(1514);
                black_box(&storage);
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = tapping_benches::criterion();
    targets = echo
}
criterion_main!(benches);
