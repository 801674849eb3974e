//! TCP in process, beside smoltcp: bulk transfers, small exchanges over few and many connections,
//! set-up and tear-down; and UDP.

#[path = "tcp/smol.rs"]
mod smol;

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tapping_benches::pair::{ADDRS, Clock, PORT, Pair, Wire};

use tapping_stack::time::Duration;
use tapping_stack::{SocketError, SocketId};

/// Bytes in one measured transfer.
const BULK: usize = 8 << 20;
/// What is written and read at a time where that is slices.
const SLICE: usize = 64 << 10;

/// How data gets in and out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Where it lies: `send_with`, `receive_with`.
    InPlace,
    /// Copied from and to slices: `send`, `receive`.
    Slices,
}

/// A connection with data under way.
struct Bulk {
    pair: Pair,
    sockets: [SocketId; 2],
    access: Access,
    buffer: Vec<u8>,
}

impl Bulk {
    fn new(wire: Wire, access: Access) -> Self {
        let mut pair = Pair::new(wire, Clock::real());
        let sockets = pair.connect(0).expect("a connection");
        let mut bulk = Bulk { pair, sockets, access, buffer: vec![7; SLICE] };
        // Windows and buffers grow first.
        bulk.transfer(4 * BULK);
        bulk
    }

    /// Carries `len` bytes from the first stack to the second, as smoltcp's benchmark does.
    fn transfer(&mut self, len: usize) {
        let mut received = 0;
        while received < len {
            let now = self.pair.clock.now();
            self.pair.run_timers_at(now);
            let [(client, _), _] = &mut self.pair.ends;
            let sent = match self.access {
                Access::InPlace => {
                    client.send_with(now, self.sockets[0], usize::MAX, |room| room.len())
                }
                Access::Slices => client.send(now, self.sockets[0], &self.buffer),
            };
            assert!(matches!(sent, Ok(_) | Err(SocketError::WouldBlock)), "{sent:?}");
            self.pair.carry_at(now);
            let server = &mut self.pair.ends[1].0;
            loop {
                let taken = match self.access {
                    Access::InPlace => {
                        server.receive_with(now, self.sockets[1], |bytes| black_box(bytes).len())
                    }
                    Access::Slices => server.receive(now, self.sockets[1], &mut self.buffer),
                };
                match taken {
                    Ok(n) => received += n,
                    Err(SocketError::WouldBlock) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            self.pair.carry_at(now);
        }
    }
}

fn bulk(c: &mut Criterion) {
    let mut group = c.benchmark_group("tcp_bulk");
    group.throughput(Throughput::Bytes(BULK as u64));
    for (name, access) in [("in_place", Access::InPlace), ("slices", Access::Slices)] {
        let mut bulk = None;
        group.bench_function(BenchmarkId::new("veth", name), |b| {
            let bulk = bulk.get_or_insert_with(|| Bulk::new(Wire::Veth, access));
            b.iter(|| bulk.transfer(BULK));
        });
    }
    let mut loopback = smol::bare_loopback();
    group.bench_function(BenchmarkId::new("veth", "smoltcp_loopback"), |b| {
        b.iter(|| loopback.transfer(BULK));
    });
    let mut loopback = smol::wrapped_loopback();
    group.bench_function(BenchmarkId::new("veth", "smoltcp_loopback_benchmark"), |b| {
        b.iter(|| loopback.transfer(BULK));
    });
    for (name, wire) in [("frames", Wire::Frames), ("batches", Wire::Batches)] {
        let mut bulk = None;
        group.bench_function(BenchmarkId::new("mtu1500", name), |b| {
            let bulk = bulk.get_or_insert_with(|| Bulk::new(wire, Access::InPlace));
            b.iter(|| bulk.transfer(BULK));
        });
    }
    for buffer in [64, 256] {
        let mut wired = smol::Wired::new(buffer << 10);
        group.bench_function(BenchmarkId::new("mtu1500", format!("smoltcp_{buffer}k")), |b| {
            b.iter(|| wired.transfer(BULK));
        });
    }
    group.finish();
}

/// Connections with nothing but small exchanges.
struct Exchanges {
    pair: Pair,
    sockets: Vec<[SocketId; 2]>,
    random: u64,
    /// Between two exchanges.
    pause: Duration,
}

impl Exchanges {
    fn new(count: usize, busy: usize, pause: Duration) -> Self {
        let mut pair = Pair::new(Wire::VethBatches, Clock::stopped());
        let mut sockets: Vec<_> =
            (0..count).map(|n| pair.connect(n).expect("a connection")).collect();
        sockets.truncate(busy);
        let mut exchanges = Exchanges { pair, sockets, random: 1, pause };
        (0..2 * count).for_each(|_| exchanges.run());
        exchanges
    }

    /// A request of one byte and its response, on any of the connections.
    fn run(&mut self) {
        let Exchanges { pair, sockets, random, pause } = self;
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let [client, server] = sockets[(*random >> 33) as usize % sockets.len()];
        pair.clock.advance(*pause);
        pair.run_timers();
        let now = pair.clock.now();
        pair.ends[0].0.send(now, client, b"?").expect("room");
        pair.carry();
        let mut byte = [0];
        assert_eq!(pair.ends[1].0.receive(now, server, &mut byte), Ok(1));
        pair.ends[1].0.send(now, server, &byte).expect("room");
        pair.carry();
        assert_eq!(pair.ends[0].0.receive(now, client, &mut byte), Ok(1));
        pair.carry();
    }
}

/// The cost of a small exchange among few and among many connections: on ten of them, whatever the
/// others do; on all, with as many exchanges a second on each as on one of ten; and on all, with as
/// many in all as on ten together, so that timers run out between two exchanges. The last is done
/// with ten, too, on each of which as much time passes.
fn exchanges(c: &mut Criterion) {
    let mut group = c.benchmark_group("tcp_exchange");
    group.throughput(Throughput::Elements(1));
    let pause = Duration::from_micros(10);
    let cases = [
        ("ten_busy", 10, 10, pause),
        ("ten_busy", 100_000, 10, pause),
        ("each_busy", 1_000, 1_000, pause / 100),
        ("each_busy", 100_000, 100_000, pause / 10_000),
        ("all_busy", 10, 10, pause * 10_000),
        ("all_busy", 100_000, 100_000, pause),
    ];
    for (name, count, busy, pause) in cases {
        let mut exchanges = None;
        group.bench_function(BenchmarkId::new(name, count), |b| {
            let exchanges = exchanges.get_or_insert_with(|| Exchanges::new(count, busy, pause));
            b.iter(|| exchanges.run());
        });
    }
    group.finish();
}

/// Connections set up and torn down, both ends on this core. The server closes first, as servers
/// do, and has the connection in TIME-WAIT.
fn connections(c: &mut Criterion) {
    let mut group = c.benchmark_group("tcp_connections");
    group.throughput(Throughput::Elements(1));
    let mut pair = Pair::new(Wire::Veth, Clock::stopped());
    let mut n = 0;
    group.bench_function("set_up_and_tear_down", |b| {
        b.iter(|| {
            n += 1;
            pair.clock.advance(Duration::from_micros(50));
            pair.run_timers();
            let [client, server] = pair.connect(n).expect("a connection");
            let now = pair.clock.now();
            pair.ends[1].0.close(now, server).expect("open until now");
            pair.carry();
            pair.ends[0].0.close(now, client).expect("open until now");
            pair.carry();
        });
        let (sockets, ..) = pair.ends[0].0.tcp_counts();
        assert_eq!(sockets, 0, "connections left over");
    });
    group.finish();
}

/// A datagram there and back.
fn datagrams(c: &mut Criterion) {
    let mut group = c.benchmark_group("udp_echo");
    for len in [64, 1472] {
        let message = vec![7; len];
        group.bench_function(BenchmarkId::new("tapping", len), |b| {
            let mut pair = Pair::new(Wire::Frames, Clock::stopped());
            let sockets = [0, 1].map(|side| {
                let stack = &mut pair.ends[side].0;
                let socket = stack.open_udp().expect("a socket");
                stack.bind(socket, SocketAddr::from((ADDRS[side], PORT))).expect("a port");
                socket
            });
            let to = [0, 1].map(|side| SocketAddr::from((ADDRS[side], PORT)));
            b.iter(|| {
                let now = pair.clock.now();
                pair.ends[0].0.send_to(now, sockets[0], to[1], &message).expect("a datagram");
                pair.carry();
                let request = pair.ends[1].0.recv(sockets[1]).expect("a request");
                pair.ends[1].0.send_to(now, sockets[1], to[0], request.bytes()).expect("a reply");
                pair.ends[1].0.recycle(request);
                pair.carry();
                let reply = pair.ends[0].0.recv(sockets[0]).expect("a reply");
                pair.ends[0].0.recycle(black_box(reply));
            });
        });
        group.bench_function(BenchmarkId::new("smoltcp", len), |b| {
            let mut wired = smol::Wired::new(65_536);
            b.iter(|| wired.exchange(&message));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = tapping_benches::criterion();
    targets = bulk, exchanges, connections, datagrams
}
criterion_main!(benches);
