//! Bulk transfers between sockets of the kernel and the stack, over a TAP with offload and over one
//! without, and over the kernel's loopback as the limit.
//!
//! Each way is measured in turn, round by round, so that a ratio compares what happened within
//! seconds. The stack has a thread of its own and the client another, each kept on a processor. With
//! `--quick` it takes some seconds, else half a minute.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tapping_drivers::netlink::Netlink;
use tapping_drivers::runtime::Runtime;
use tapping_drivers::sandbox::{Sandbox, SandboxConfig, SandboxError, SandboxKind};
use tapping_drivers::tap::TapConfig;
use tapping_stack::wire::MacAddr;
use tapping_stack::{Config, Stack};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const DISCARD: u16 = 9;
const CHARGEN: u16 = 19;
/// Bytes that the client reads or writes at once.
const CHUNK: usize = 128 << 10;
/// Bytes that the stack is offered to send at once.
const OFFER: usize = 256 << 10;
/// How long the stack that spins does so before it sleeps.
const BUSY_POLL: Duration = Duration::from_micros(50);

/// Who serves, and at which address.
struct Server {
    name: &'static str,
    addr: Ipv4Addr,
    run: fn(Ipv4Addr, &Ready) -> Result<(), Failure>,
}

type Ready = mpsc::Sender<Result<(), Failure>>;

const SERVERS: [Server; 4] = [
    Server {
        name: "TAP, offload",
        addr: Ipv4Addr::new(10, 0, 1, 2),
        run: |addr, ready| stack("tap1", true, None, addr, ready),
    },
    Server {
        name: "TAP, offload, busy polling",
        addr: Ipv4Addr::new(10, 0, 3, 2),
        run: |addr, ready| stack("tap3", true, Some(BUSY_POLL), addr, ready),
    },
    Server {
        name: "TAP, no offload",
        addr: Ipv4Addr::new(10, 0, 2, 2),
        run: |addr, ready| stack("tap2", false, None, addr, ready),
    },
    Server { name: "kernel, loopback", addr: Ipv4Addr::LOCALHOST, run: kernel },
];

fn main() -> ExitCode {
    let quick = std::env::args().any(|arg| arg == "--quick" || arg == "--test");
    if let Err(reason) = enter() {
        println!("tap_bulk: skipped: {reason}");
        return ExitCode::SUCCESS;
    }
    let (rounds, len) = if quick { (3, 512 << 20) } else { (9, 2 << 30) };
    match compare(rounds, len) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tap_bulk: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Takes the process into a private network where TAPs can be had.
fn enter() -> Result<(), SandboxError> {
    Sandbox::enter(&SandboxConfig {
        name: "probe".to_owned(),
        mac: MacAddr([2, 0, 0, 0, 1, 0]),
        host_address: None,
        mtu: 1500,
        kind: Some(SandboxKind::Tap),
        offload: true,
    })?;
    // A kernel without IPv6 has no router to solicit anyway.
    let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    Ok(())
}

fn compare(rounds: usize, len: usize) -> Result<(), Failure> {
    let only = std::env::var("TAP_BULK_ONLY").ok();
    let chosen = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    for server in SERVERS {
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            let run = || {
                keep_to(|cpus| cpus.last())?;
                (server.run)(server.addr, &ready)
            };
            if let Err(failure) = run() {
                // Nobody listens any more once it was ready; the client will miss it.
                let _ = ready.send(Err(failure));
            }
        });
        is_ready.recv()??;
    }
    keep_to(|cpus| cpus.first())?;
    for (way, run) in [("kernel sends", send as Way), ("kernel receives", receive)] {
        let mut rates: [Vec<f64>; SERVERS.len()] = Default::default();
        for _ in 0..rounds {
            for (server, rates) in SERVERS.iter().zip(&mut rates) {
                let label = format!("{way}/{}", server.name);
                // What is left out counts as nothing.
                let rate = if chosen(&label) { run(server.addr, len)? } else { 0.0 };
                rates.push(rate);
            }
        }
        let [ours, ..] = &rates;
        for (server, theirs) in SERVERS.iter().zip(&rates) {
            let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
            let (rate, ratio) = (median(theirs.clone()), median(ratios));
            let label = format!("tap_bulk/{way}/{}", server.name);
            println!("{label:<54} {rate:7.2} Gbit/s   offload / this {ratio:.2}");
        }
    }
    Ok(())
}

/// Moves so many bytes and returns the rate in Gbit/s.
type Way = fn(Ipv4Addr, usize) -> io::Result<f64>;

fn send(addr: Ipv4Addr, len: usize) -> io::Result<f64> {
    let mut stream = TcpStream::connect((addr, DISCARD))?;
    let chunk = vec![0x5a; CHUNK];
    let begun = Instant::now();
    for _ in 0..len / CHUNK {
        stream.write_all(&chunk)?;
    }
    // The server closes when it has read everything.
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(rate(len, begun))
}

fn receive(addr: Ipv4Addr, len: usize) -> io::Result<f64> {
    let mut stream = TcpStream::connect((addr, CHARGEN))?;
    let mut chunk = vec![0; CHUNK];
    let (mut received, begun) = (0, Instant::now());
    while received < len {
        received += stream.read(&mut chunk)?;
    }
    Ok(rate(received, begun))
}

fn rate(len: usize, begun: Instant) -> f64 {
    len as f64 * 8.0 / begun.elapsed().as_secs_f64() / 1e9
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Keeps the calling thread on one of the processors it may use.
fn keep_to(choose: fn(&[usize]) -> Option<&usize>) -> io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let all: Vec<_> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    let mut cpus = CpuSet::new();
    cpus.set(*choose(&all).ok_or(io::ErrorKind::NotFound)?);
    Ok(sched_setaffinity(None, &cpus)?)
}

/// The stack, with both services in its own loop: nothing is copied but into and out of packets.
fn stack(
    name: &str,
    offload: bool,
    busy_poll: Option<Duration>,
    addr: Ipv4Addr,
    ready: &Ready,
) -> Result<(), Failure> {
    let mac = MacAddr([2, 0, 0, 0, 1, addr.octets()[2]]);
    let mut runtime = Runtime::new()?;
    runtime.set_busy_poll(busy_poll);
    let id = runtime.add_stack(Stack::new(Config::default(), 1));
    let link = runtime.attach(id, TapConfig::new(name, mac).offload(offload).open()?)?;
    let mut netlink = Netlink::open()?;
    let index = netlink.link(name)?.ok_or("the TAP is gone")?.index;
    netlink.set_up(index, true)?;
    netlink.add_address(index, format!("10.0.{}.1/24", addr.octets()[2]).parse()?)?;
    let now = runtime.now();
    let stack = runtime.stack_mut(id);
    stack.add_address(now, link, format!("{addr}/24").parse()?)?;
    let mut listeners = Vec::new();
    for port in [DISCARD, CHARGEN] {
        let listener = stack.open_tcp()?;
        stack.bind(listener, SocketAddr::new(addr.into(), port))?;
        stack.listen(now, listener, 16)?;
        listeners.push((listener, port));
    }
    ready.send(Ok(()))?;
    let mut connections = Vec::new();
    loop {
        runtime.turn(None)?;
        let now = runtime.now();
        let stack = runtime.stack_mut(id);
        for (listener, port) in &listeners {
            while let Ok((connection, _)) = stack.accept(now, *listener) {
                connections.push((connection, *port));
            }
        }
        connections.retain(|(connection, port)| {
            let open = match *port {
                DISCARD => loop {
                    match stack.receive_with(now, *connection, |bytes| bytes.len()) {
                        Ok(0) => break false,
                        Ok(_) => {}
                        Err(error) => break error == tapping_stack::SocketError::WouldBlock,
                    }
                },
                _ => loop {
                    match stack.send_with(now, *connection, OFFER, |room| room.len()) {
                        Ok(0) => break true,
                        Ok(_) => {}
                        Err(error) => break error == tapping_stack::SocketError::WouldBlock,
                    }
                },
            };
            if !open {
                // Whatever state it is in, it is over.
                let _ = stack.close(now, *connection);
            }
            open
        });
    }
}

/// The same by the kernel's own sockets, a thread for each connection.
fn kernel(addr: Ipv4Addr, ready: &Ready) -> Result<(), Failure> {
    let listeners = [DISCARD, CHARGEN].map(|port| TcpListener::bind((addr, port)));
    ready.send(Ok(()))?;
    let [discard, chargen] = listeners;
    let (discard, chargen) = (discard?, chargen?);
    thread::spawn(move || {
        let mut chunk = vec![0; CHUNK];
        while let Ok((mut stream, _)) = discard.accept() {
            while stream.read(&mut chunk).is_ok_and(|len| len > 0) {}
        }
    });
    let chunk = vec![0x5a; CHUNK];
    while let Ok((mut stream, _)) = chargen.accept() {
        while stream.write_all(&chunk).is_ok() {}
    }
    Ok(())
}
