//! In the steady state nothing is allocated for a packet: buffers go round between devices, stacks
//! and sockets. Counted by a global allocator, on the thread that runs the stack.

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use allocation_counter::{measure, opt_out};
use common::{HOST_ADDR, Host, KernelPing, OUR_ADDR, echo, over_both_devices};
use rustix::net::{RecvFlags, recv};
use tapping_drivers::device::{Device, DeviceConfig};
use tapping_drivers::runtime::Runtime;
use tapping_drivers::sandbox::Sandbox;
use tapping_drivers::veth;
use tapping_stack::socket::PacketInfo;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::{
    EtherType, EthernetRepr, Ipv4Repr, MacAddr, Protocol, SeqNumber, TcpFlags, TcpOptionsRepr,
    TcpRepr, ethernet, ipv4, tcp,
};
use tapping_stack::{Config, LinkConfig, LinkId, SocketError, SocketId, Stack};

/// Exchanges before counting: tables, queues and pools grow to what they need.
const WARM_UP: u16 = 2_000;
/// Exchanges counted.
const COUNTED: u16 = 10_000;
/// Between two exchanges where time is virtual: the whole lasts two minutes, in which neighbours
/// go through all of their states.
const INTERVAL: Duration = Duration::from_millis(10);

const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

over_both_devices! {
    we_ping_the_kernel
    the_kernel_pings_us
    the_kernel_sends_us_a_stream
    we_send_the_kernel_a_stream
}

/// Runs `exchange` to warm up, then counts what it allocates; its argument numbers the exchange.
#[track_caller]
fn assert_steady(exchange: impl FnMut(u16)) {
    assert_eq!(allocations(exchange), 0, "allocations in {COUNTED} exchanges");
}

/// How often [`COUNTED`] exchanges allocate after [`WARM_UP`]; what they take they give back.
#[track_caller]
fn allocations(mut exchange: impl FnMut(u16)) -> u64 {
    (0..WARM_UP).for_each(&mut exchange);
    let counted = measure(|| (WARM_UP..WARM_UP + COUNTED).for_each(&mut exchange));
    assert_eq!(counted.bytes_current, 0, "bytes kept of {COUNTED} exchanges");
    counted.count_total
}

fn request(sequence: u16, buffer: &mut [u8]) {
    buffer[0] = 8;
    buffer[6..8].copy_from_slice(&sequence.to_be_bytes());
}

/// A stack in process with an address, and a socket.
fn in_process(mac: u8, addr: Ipv4Addr) -> (Stack, LinkId, SocketId) {
    let mut stack = Stack::new(Config::default(), u64::from(mac));
    let mac = MacAddr([2, 0, 0, 0, 0, mac]);
    let link = stack.add_link(LinkConfig::new("eth0", mac)).unwrap();
    stack.add_address(Instant::ZERO, link, format!("{addr}/24").parse().unwrap()).unwrap();
    let socket = stack.open_ping(None).unwrap();
    (stack, link, socket)
}

/// Carries frames from one stack to the other as a device does: by copy, between their pools.
fn carry(now: Instant, from: &mut (Stack, LinkId, SocketId), to: &mut (Stack, LinkId, SocketId)) {
    while let Some(frame) = from.0.poll_transmit(now, from.1) {
        let mut copy = to.0.take_buffer(frame.len());
        copy.put_slice(frame.bytes());
        from.0.recycle(frame);
        to.0.handle_frame(now, to.1, copy);
    }
}

/// How often two stacks in process allocate for echo requests with `len` bytes of data.
#[track_caller]
fn stacks_ping(len: usize) -> u64 {
    let (mut a, mut b) = (in_process(1, A), in_process(2, B));
    let mut now = Instant::from_secs(1);
    let mut message = vec![0; 8 + len];
    let counted = allocations(|sequence| {
        now += INTERVAL;
        for stack in [&mut a.0, &mut b.0] {
            if stack.poll_timeout().is_some_and(|at| at <= now) {
                stack.handle_timeout(now);
            }
        }
        request(sequence, &mut message);
        a.0.send_to(now, a.2, (B, 0).into(), &message).unwrap();
        let reply = loop {
            carry(now, &mut a, &mut b);
            carry(now, &mut b, &mut a);
            if let Some(reply) = a.0.recv(a.2) {
                break reply;
            }
        };
        assert_eq!((reply.bytes()[0], reply.len()), (0, message.len()));
        a.0.recycle(reply);
    });
    assert_eq!(b.0.snapshot().icmp.in_echos, u64::from(WARM_UP + COUNTED));
    // Neighbours were probed on the way, not only the first time.
    assert!(a.0.snapshot().arp.out_requests > 1);
    counted
}

#[test]
fn stacks_ping_in_process() {
    assert_eq!(stacks_ping(56), 0);
}

#[test]
fn fragments_cost_no_more_than_two_allocations_a_datagram() {
    // Nodes that order a datagram's fragments until all are there, at each end; none for a packet.
    let allocations = stacks_ping(4000);
    assert!(allocations <= 2 * 2 * u64::from(COUNTED), "{allocations}");
}

/// A TCP segment of 1448 bytes from 10.0.0.2 to 10.0.1.2 in a frame; `n` says which of a stream.
fn segment(n: u16, to: MacAddr) -> Vec<u8> {
    let tcp = TcpRepr {
        src_port: 1,
        dst_port: 2,
        seq: SeqNumber(u32::from(n) * 1448),
        ack: SeqNumber(0),
        flags: TcpFlags::ACK,
        window: 512,
        urgent: 0,
        options: TcpOptionsRepr { timestamps: Some((1, 1)), ..Default::default() },
    };
    let (ethernet, network) = (ethernet::HEADER_LEN, ipv4::HEADER_LEN);
    let mut frame = vec![7; ethernet + network + tcp.header_len() + 1448];
    let src = MacAddr([2, 0, 0, 0, 0, 9]);
    EthernetRepr { dst: to, src, ethertype: EtherType::IPV4 }.emit(&mut frame);
    let (src, dst) = (B, Ipv4Addr::new(10, 0, 1, 2));
    let ip = Ipv4Repr {
        tos: 0,
        id: n,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: Protocol::TCP,
        src,
        dst,
        total_len: (frame.len() - ethernet) as u16,
        options_len: 0,
    };
    ip.emit(&mut frame[ethernet..]);
    let segment = &mut frame[ethernet + network..];
    tcp.emit(segment);
    let pseudo = ipv4::pseudo_header_sum(src, dst, Protocol::TCP, segment.len() as u16);
    tcp::fill_checksum(segment, pseudo);
    frame
}

#[test]
fn segments_that_come_together_pass_a_router() {
    const BATCH: u16 = 20;
    let (mut stack, inside, _) = in_process(1, A);
    stack.set_forwarding(true);
    let mac = MacAddr([2, 0, 0, 0, 0, 2]);
    let outside = stack.add_link(LinkConfig::new("eth1", mac)).unwrap();
    stack.add_address(Instant::ZERO, outside, "10.0.1.1/24".parse().unwrap()).unwrap();
    let receiver = Ipv4Addr::new(10, 0, 1, 2).into();
    stack.add_neighbour(Instant::ZERO, outside, receiver, MacAddr([2, 0, 0, 0, 0, 8])).unwrap();
    let frames: Vec<_> = (0..BATCH).map(|n| segment(n, MacAddr([2, 0, 0, 0, 0, 1]))).collect();
    let mut batch = Vec::new();
    let now = Instant::from_secs(1);
    assert_steady(|_| {
        for frame in &frames {
            let mut packet = stack.take_buffer(frame.len());
            packet.put_slice(frame);
            batch.push(packet);
        }
        stack.handle_frames(now, inside, batch.drain(..));
        let mut sent = 0;
        while let Some(frame) = stack.poll_transmit(now, outside) {
            sent += 1;
            stack.recycle(frame);
        }
        assert_eq!(sent, BATCH);
    });
    // As one packet each time.
    let forwarded = stack.snapshot().ip.forw_datagrams;
    assert_eq!(forwarded, u64::from(WARM_UP + COUNTED));
}

#[test]
fn a_stack_pings_itself() {
    let (mut stack, _, socket) = in_process(1, A);
    let mut now = Instant::from_secs(1);
    let mut message = [0; 64];
    assert_steady(|sequence| {
        now += INTERVAL;
        request(sequence, &mut message);
        stack.send_to(now, socket, (A, 0).into(), &message).unwrap();
        stack.handle_timeout(now);
        let reply = stack.recv(socket).expect("a reply");
        stack.recycle(reply);
    });
}

/// Datagrams there and back between bound sockets, one connected.
#[test]
fn stacks_exchange_datagrams() {
    let (mut a, mut b) = (in_process(1, A), in_process(2, B));
    let mut now = Instant::from_secs(1);
    for (host, addr) in [(&mut a, A), (&mut b, B)] {
        host.2 = host.0.open_udp().unwrap();
        host.0.bind(host.2, (addr, 7).into()).unwrap();
    }
    a.0.connect(now, a.2, (B, 7).into()).unwrap();
    assert_steady(|sequence| {
        now += INTERVAL;
        for stack in [&mut a.0, &mut b.0] {
            if stack.poll_timeout().is_some_and(|at| at <= now) {
                stack.handle_timeout(now);
            }
        }
        a.0.send(now, a.2, &sequence.to_be_bytes()).unwrap();
        carry(now, &mut a, &mut b);
        carry(now, &mut b, &mut a);
        carry(now, &mut a, &mut b);
        let datagram = b.0.recv(b.2).expect("a datagram");
        let from = PacketInfo::of(&datagram).expect("headers").source;
        b.0.send_to(now, b.2, from, datagram.bytes()).unwrap();
        b.0.recycle(datagram);
        carry(now, &mut b, &mut a);
        carry(now, &mut a, &mut b);
        carry(now, &mut b, &mut a);
        let reply = a.0.try_recv(a.2).expect("a reply");
        assert_eq!(reply.bytes(), sequence.to_be_bytes());
        a.0.recycle(reply);
    });
}

#[test]
fn stacks_ping_over_a_veth() {
    let end =
        |n| DeviceConfig { name: format!("veth{n}"), mac: MacAddr([2, 0, 0, 0, 0, n]), mtu: 1500 };
    let (a, b) = veth::pair(end(1), end(2));
    let mut runtime = Runtime::new().unwrap();
    let ids = [1, 2].map(|seed| runtime.add_stack(Stack::new(Config::default(), seed)));
    let links = [runtime.attach(ids[0], a).unwrap(), runtime.attach(ids[1], b).unwrap()];
    for (n, addr) in [A, B].into_iter().enumerate() {
        let (now, cidr) = (runtime.now(), format!("{addr}/24").parse().unwrap());
        runtime.stack_mut(ids[n]).add_address(now, links[n], cidr).unwrap();
    }
    let socket = runtime.stack_mut(ids[0]).open_ping(None).unwrap();
    let mut message = [0; 64];
    assert_steady(|sequence| {
        let now = runtime.now();
        request(sequence, &mut message);
        runtime.stack_mut(ids[0]).send_to(now, socket, (B, 0).into(), &message).unwrap();
        let reply = loop {
            runtime.turn(None).unwrap();
            if let Some(reply) = runtime.stack_mut(ids[0]).recv(socket) {
                break reply;
            }
        };
        runtime.stack_mut(ids[0]).recycle(reply);
    });
}

/// A flow in one direction: the buffers of what has been read go back to who sends, over either kind
/// of pair.
#[test]
fn a_bulk_flow_over_a_veth_takes_no_new_buffers() {
    let config =
        |n| DeviceConfig { name: format!("veth{n}"), mac: MacAddr([2, 0, 0, 0, 0, n]), mtu: 1500 };
    let (a, b) = veth::pair(config(1), config(2));
    bulk_flow([Box::new(a), Box::new(b)]);
    let (a, b) = veth::channel_pair(config(1), config(2)).unwrap();
    bulk_flow([Box::new(a), Box::new(b)]);
}

fn bulk_flow(devices: [Box<dyn Device>; 2]) {
    const WARM_UP: usize = 64 << 20;
    const COUNTED: usize = 256 << 20;
    let mut runtime = Runtime::new().unwrap();
    let mut ids = Vec::new();
    for (device, addr) in devices.into_iter().zip([A, B]) {
        let id = runtime.add_stack(Stack::new(Config::default(), ids.len() as u64));
        let link = runtime.attach(id, device).unwrap();
        let (now, cidr) = (runtime.now(), format!("{addr}/24").parse().unwrap());
        runtime.stack_mut(id).add_address(now, link, cidr).unwrap();
        ids.push(id);
    }
    let (listener, client) = {
        let now = runtime.now();
        let stack = runtime.stack_mut(ids[1]);
        let listener = stack.open_tcp().unwrap();
        stack.bind(listener, (B, 7).into()).unwrap();
        stack.listen(now, listener, 1).unwrap();
        let stack = runtime.stack_mut(ids[0]);
        let client = stack.open_tcp().unwrap();
        stack.connect(now, client, (B, 7).into()).unwrap();
        (listener, client)
    };
    let server = loop {
        runtime.turn(None).unwrap();
        let now = runtime.now();
        if let Ok((server, _)) = runtime.stack_mut(ids[1]).accept(now, listener) {
            break server;
        }
    };
    let mut transfer = |len: usize| {
        let mut received = 0;
        while received < len {
            let now = runtime.now();
            let full =
                runtime.stack_mut(ids[0]).send_with(now, client, usize::MAX, |room| room.len());
            assert!(matches!(full, Ok(_) | Err(SocketError::WouldBlock)), "{full:?}");
            runtime.turn(Some(now + Duration::from_millis(5))).unwrap();
            let stack = runtime.stack_mut(ids[1]);
            while let Ok(n) = stack.receive_with(now, server, |bytes| bytes.len()) {
                received += n;
            }
        }
    };
    transfer(WARM_UP);
    let allocated = measure(|| transfer(COUNTED)).bytes_total;
    // Lists come and go with what they hold; buffers do not.
    assert!(allocated < COUNTED as u64 / 20, "{allocated} bytes for {COUNTED}");
}

/// Turns the loop until `done`, for as long as it takes; the kernel answers or is lost for good.
fn turn_until(host: &mut Host, mut done: impl FnMut(&mut Stack) -> bool) {
    let give_up = host.runtime.now() + common::PATIENCE;
    while !done(host.runtime.stack_mut(host.id)) {
        let deadline = host.runtime.now() + Duration::from_millis(5);
        host.runtime.turn(Some(deadline)).unwrap();
        assert!(deadline < give_up, "no answer");
    }
}

fn we_ping_the_kernel(sandbox: Sandbox) {
    let mut host = Host::new(sandbox.device, &format!("{OUR_ADDR}/24"));
    let socket = host.stack().open_ping(None).unwrap();
    let mut message = [0; 64];
    assert_steady(|sequence| {
        let now = host.runtime.now();
        request(sequence, &mut message);
        host.stack().send_to(now, socket, (HOST_ADDR, 0).into(), &message).unwrap();
        turn_until(&mut host, |stack| match stack.recv(socket) {
            Some(reply) => {
                stack.recycle(reply);
                true
            }
            None => false,
        });
    });
}

fn the_kernel_pings_us(sandbox: Sandbox) {
    let mut host = Host::new(sandbox.device, &format!("{OUR_ADDR}/24"));
    let kernel = KernelPing::new();
    let mut reply = [0; 128];
    assert_steady(|sequence| {
        opt_out(|| {
            kernel.send(OUR_ADDR, &echo(sequence, &[0; 56])).unwrap();
        });
        turn_until(&mut host, |_| recv(kernel.fd(), &mut reply[..], RecvFlags::empty()).is_ok());
    });
}

/// Bytes of a stream before counting, and while it is counted.
const STREAM: usize = 48 << 20;

/// How often the loop allocates while `step`, which returns how many bytes it has moved, moves a
/// stream. Queues, pools and windows have grown to what they need before; but when one becomes longer
/// than it ever was, or one that was long is given up, it allocates: once for `few` packets and more.
fn assert_steady_stream(
    host: &mut Host,
    few: u64,
    mut step: impl FnMut(Instant, &mut Stack) -> usize,
) {
    let mut pass = |host: &mut Host| {
        let mut moved = 0;
        while moved < STREAM {
            turn_until(host, |stack| {
                let len = step(Instant::ZERO, stack);
                moved += len;
                len > 0
            });
        }
    };
    pass(host);
    let link = host.link;
    let packets = |host: &mut Host| {
        let snapshot = host.stack().snapshot();
        let (_, _, counters) = snapshot.links.iter().find(|(id, ..)| *id == link).unwrap();
        counters.rx_packets + counters.tx_packets
    };
    let before = packets(host);
    let counted = measure(|| pass(host));
    let packets = packets(host) - before;
    assert!(counted.count_total * few < packets, "{counted:?} for {packets} packets");
}

fn the_kernel_sends_us_a_stream(sandbox: Sandbox) {
    let mut host = Host::new(sandbox.device, &format!("{OUR_ADDR}/24"));
    let now = host.runtime.now();
    let listener = host.stack().open_tcp().unwrap();
    host.stack().bind(listener, (OUR_ADDR, 9).into()).unwrap();
    host.stack().listen(now, listener, 1).unwrap();
    thread::spawn(|| {
        let mut stream = TcpStream::connect((OUR_ADDR, 9)).unwrap();
        // Until nobody listens any more.
        while stream.write_all(&[7; 1 << 16]).is_ok() {}
    });
    let (id, _) = host.turn_until(|stack| stack.accept(now, listener).ok());
    let mut buffer = vec![0; 1 << 18];
    assert_steady_stream(&mut host, 20, |now, stack| {
        stack.receive(now, id, &mut buffer).unwrap_or(0)
    });
}

fn we_send_the_kernel_a_stream(sandbox: Sandbox) {
    let mut host = Host::new(sandbox.device, &format!("{OUR_ADDR}/24"));
    let listener = TcpListener::bind((HOST_ADDR, 9)).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = vec![0; 1 << 16];
        while stream.read(&mut buffer).is_ok_and(|len| len > 0) {}
    });
    let now = host.runtime.now();
    let id = host.stack().open_tcp().unwrap();
    host.stack().connect(now, id, (HOST_ADDR, 9).into()).unwrap();
    let data = vec![7; 1 << 18];
    // What orders the segments on their way is made of nodes.
    assert_steady_stream(&mut host, 2, |now, stack| stack.send(now, id, &data).unwrap_or(0));
}
