//! What sockets cost, beside those of the standard library over the kernel's loopback, in one run:
//!
//! ```sh
//! cargo bench -p tapping-drivers --bench sockets
//! ```
//! `strace -fc` over it, with the name of one line as argument, counts system calls.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use tapping_drivers::net::{Net, block_on};
use tapping_drivers::{aio, blocking};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ROUNDS: u32 = 20_000;
const BULK: usize = 1 << 30;
const CHUNK: usize = 64 << 10;

/// Nanoseconds that each of some rounds takes.
fn each(rounds: u32, mut round: impl FnMut()) -> f64 {
    for _ in 0..rounds / 10 {
        round();
    }
    let start = Instant::now();
    for _ in 0..rounds {
        round();
    }
    start.elapsed().as_nanos() as f64 / f64::from(rounds)
}

/// A round trip between two threads.
fn round_trip(
    mut client: impl Read + Write,
    mut server: impl Read + Write + Send + 'static,
) -> f64 {
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while server.read_exact(&mut buffer).is_ok() {
            let _ = server.write_all(&buffer);
        }
    });
    each(ROUNDS, || {
        let mut buffer = [0; 64];
        client.write_all(&buffer).unwrap();
        client.read_exact(&mut buffer).unwrap();
    })
}

/// Bytes a second from one thread to another.
fn bulk(mut from: impl Write + Send + 'static, mut to: impl Read) -> f64 {
    let start = Instant::now();
    thread::spawn(move || {
        let chunk = vec![7; CHUNK];
        for _ in 0..BULK / CHUNK {
            from.write_all(&chunk).unwrap();
        }
    });
    let mut buffer = vec![0; CHUNK];
    let mut left = BULK;
    while left > 0 {
        match to.read(&mut buffer).unwrap() {
            0 => break,
            len => left -= len,
        }
    }
    (BULK - left) as f64 / start.elapsed().as_secs_f64()
}

fn kernel_pair() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind((LOCALHOST, 0)).unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_nodelay(true).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}

fn our_pair(net: &Net) -> (blocking::TcpStream, blocking::TcpStream) {
    let listener = blocking::TcpListener::bind(net, (LOCALHOST, 0)).unwrap();
    let client = blocking::TcpStream::connect(net, listener.local_addr().unwrap()).unwrap();
    client.set_nodelay(true).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}

/// A datagram sent by another thread than the driver's and received by it again.
fn datagram(send: impl Fn(), receive: impl Fn() -> bool) -> f64 {
    each(ROUNDS, || {
        send();
        while !receive() {
            std::hint::spin_loop();
        }
    })
}

fn our_datagram(net: &Net) -> f64 {
    let socket = blocking::UdpSocket::bind(net, (LOCALHOST, 0)).unwrap();
    socket.connect(socket.local_addr().unwrap()).unwrap();
    socket.set_nonblocking(true).unwrap();
    datagram(|| drop(socket.send(&[1; 64])), || socket.recv(&mut [0; 64]).is_ok())
}

fn kernel_datagram() -> f64 {
    let socket = std::net::UdpSocket::bind((LOCALHOST, 0)).unwrap();
    socket.connect(socket.local_addr().unwrap()).unwrap();
    socket.set_nonblocking(true).unwrap();
    datagram(|| drop(socket.send(&[1; 64])), || socket.recv(&mut [0; 64]).is_ok())
}

/// Nothing but the lock: a socket that has nothing is asked.
fn ask(net: &Net) -> f64 {
    let socket = blocking::UdpSocket::bind(net, (LOCALHOST, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    each(ROUNDS, || drop(socket.recv(&mut [0; 64])))
}

fn kernel_ask() -> f64 {
    let socket = std::net::UdpSocket::bind((LOCALHOST, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    each(ROUNDS, || drop(socket.recv(&mut [0; 64])))
}

/// Both ends are tasks of the driver.
fn tasks(net: &Net) -> f64 {
    let trip = async |net: &Net| {
        let listener = aio::TcpListener::bind(net, (LOCALHOST, 0).into()).unwrap();
        let addr = listener.local_addr().unwrap();
        let client = aio::TcpStream::connect(net, addr).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (client, server)
    };
    let (client, server) = block_on(trip(net));
    drop(net.spawn(async move {
        let mut buffer = [0; 64];
        while server.read_exact(&mut buffer).await.is_ok() {
            server.write_all(&buffer).await.unwrap();
        }
    }));
    let client = net.spawn(async move {
        let mut buffer = [0; 64];
        let start = Instant::now();
        for _ in 0..ROUNDS {
            client.write_all(&buffer).await.unwrap();
            client.read_exact(&mut buffer).await.unwrap();
        }
        start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    });
    client.join().unwrap()
}

fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted =
        |name: &str| only.is_empty() || only.iter().any(|only| name.contains(only.as_str()));
    let net = Net::builder().start().unwrap();
    let busy = Net::builder().busy_poll(Duration::from_secs(1)).start().unwrap();
    println!("{:<44} {:>12} {:>12} {:>7}", "", "ours", "std, kernel", "ratio");
    let line = |name: &str, unit: &str, ours: &dyn Fn() -> f64, kernel: &dyn Fn() -> f64| {
        if wanted(name) {
            let (ours, kernel) = (ours(), kernel());
            println!("{name:<44} {ours:>12.0} {kernel:>12.0} {:>7.2} {unit}", ours / kernel);
        }
    };
    line("ask a socket that has nothing", "ns", &|| ask(&net), &kernel_ask);
    line("datagram to oneself, driver asleep", "ns", &|| our_datagram(&net), &kernel_datagram);
    line("datagram to oneself, driver awake", "ns", &|| our_datagram(&busy), &kernel_datagram);
    let kernel_trip = || {
        let (client, server) = kernel_pair();
        round_trip(client, server)
    };
    let our_trip = |net: &Net| {
        let (client, server) = our_pair(net);
        round_trip(client, server)
    };
    line("TCP round trip of threads, driver asleep", "ns", &|| our_trip(&net), &kernel_trip);
    line("TCP round trip of threads, driver awake", "ns", &|| our_trip(&busy), &kernel_trip);
    line("TCP round trip of tasks", "ns", &|| tasks(&net), &kernel_trip);
    let kernel_bulk = || {
        let (client, server) = kernel_pair();
        bulk(client, server) / 1e6
    };
    let our_bulk = || {
        let (client, server) = our_pair(&net);
        bulk(client, server) / 1e6
    };
    line("TCP stream of threads", "MB/s", &our_bulk, &kernel_bulk);
}
