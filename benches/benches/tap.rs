//! Ping round trips over a TAP: the kernel asks, and answers come from a stack in a [`Runtime`] or
//! from a bare loop that swaps addresses and writes the frame back.
//!
//! Two bare loops are the limit that the stack is measured against: one waits in epoll(7) as the
//! runtime does, then reads and writes; the other has nothing but this one descriptor and blocks in
//! read(2). Each responder has a TAP and a thread of its own in one private network, and all of
//! them are asked in turn, a batch at a time, so that a ratio compares what happened within
//! milliseconds. With `--quick` it takes some seconds, else half a minute.
//!
//! Where the scheduler puts two threads that wake each other makes more difference than all else,
//! so they are kept in their places: on two processors, where a round trip is mostly wake-ups, and
//! on one, where it is all the work there is, what a responder does after its reply included.
//!
//! - `sleeping`: a pause before every request, so that the responder has gone to sleep for good;
//! - `back to back`: the next request follows the reply at once;
//! - `8 in flight`: eight requests are on their way at any time; per request.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recv, sendto,
    socket_with,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tapping_drivers::device::Device;
use tapping_drivers::netlink::Netlink;
use tapping_drivers::runtime::Runtime;
use tapping_drivers::sandbox::{Sandbox, SandboxConfig, SandboxError, SandboxKind};
use tapping_drivers::tap::Tap;
use tapping_stack::wire::MacAddr;
use tapping_stack::{Config, PacketPool, Stack};
use tun_tap::{Iface, Mode};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A way to answer: it makes its TAP, tells that it is ready, and answers until the process ends.
struct Responder {
    name: &'static str,
    run: fn(Place, &Ready) -> Result<(), Failure>,
}

type Ready = mpsc::Sender<Result<(), Failure>>;

/// The stack, and what it is compared with.
const RESPONDERS: [Responder; 3] = [
    Responder { name: "tapping", run: stack },
    Responder { name: "epoll, read, write", run: bare_epoll },
    Responder { name: "read, write", run: bare_read },
];

/// Where the asker runs, seen from the responders.
const PLACEMENTS: [&str; 2] = ["two CPUs", "one CPU"];

/// A way for requests to follow each other, and how many make a batch.
struct Case {
    name: &'static str,
    batch: u16,
    run: fn(&Asker, u16) -> io::Result<Vec<Duration>>,
}

const CASES: [Case; 3] = [
    Case { name: "sleeping", batch: 100, run: sleeping },
    Case { name: "back to back", batch: 500, run: back_to_back },
    Case { name: "8 in flight", batch: 2000, run: in_flight },
];

const PAUSE: Duration = Duration::from_micros(200);
const IN_FLIGHT: u16 = 8;
/// No reply takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a request's ICMP message, as ping(8) sends it.
const MESSAGE_LEN: usize = 64;
/// Ethernet header and IPv4 header without options.
const HEADERS_LEN: usize = 14 + 20;
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];

fn main() -> ExitCode {
    let quick = std::env::args().any(|arg| arg == "--quick" || arg == "--test");
    if let Err(reason) = enter() {
        println!("tap: skipped: {reason}");
        return ExitCode::SUCCESS;
    }
    match compare(if quick { 5 } else { 40 }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tap: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Takes the process into a private network where TAPs can be had.
fn enter() -> Result<(), SandboxError> {
    Sandbox::enter(&SandboxConfig {
        name: "probe".to_owned(),
        mac: Place(0).mac(),
        host_address: None,
        mtu: 1500,
        kind: Some(SandboxKind::Tap),
        offload: true,
    })?;
    // A kernel without IPv6 has no router to solicit anyway.
    let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    Ok(())
}

fn compare(rounds: usize) -> Result<(), Failure> {
    // Nobody may have a ping socket unless told so (icmp(7)).
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0")?;
    let cpus = [first_cpu()?, last_cpu()?];
    let mut askers = Vec::new();
    for (n, responder) in RESPONDERS.into_iter().enumerate() {
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            let run = || {
                keep_to(cpus[1])?;
                (responder.run)(Place(n), &ready)
            };
            if let Err(failure) = run() {
                // Nobody listens any more once it was ready; the asker will miss it.
                let _ = ready.send(Err(failure));
            }
        });
        is_ready.recv()??;
        let asker = Asker::new(Place(n))?;
        back_to_back(&asker, 1000)?;
        askers.push(asker);
    }
    for (placement, cpu) in PLACEMENTS.into_iter().zip(cpus) {
        keep_to(cpu)?;
        for case in &CASES {
            let mut medians: [Vec<f64>; RESPONDERS.len()] = Default::default();
            for _ in 0..rounds {
                for (asker, medians) in askers.iter().zip(&mut medians) {
                    let times = (case.run)(asker, case.batch)?;
                    let micros = times.iter().map(|time| time.as_secs_f64() * 1e6);
                    medians.push(median(micros.collect()));
                }
            }
            report(placement, case, &medians);
        }
    }
    Ok(())
}

fn report(placement: &str, case: &Case, medians: &[Vec<f64>; RESPONDERS.len()]) {
    let [ours, ..] = medians;
    for (responder, theirs) in RESPONDERS.iter().zip(medians) {
        let label = format!("tap/{placement}/{}/{}", case.name, responder.name);
        let time = median(theirs.clone());
        let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs);
        let ratio = median(ratios.collect());
        println!("{label:<48} {time:8.2} µs   tapping / this {ratio:.2}");
    }
}

/// Keeps the calling thread on one processor.
fn keep_to(cpu: usize) -> io::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    Ok(sched_setaffinity(None, &cpus)?)
}

fn first_cpu() -> io::Result<usize> {
    let allowed = sched_getaffinity(None)?;
    (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).ok_or(io::ErrorKind::NotFound.into())
}

fn last_cpu() -> io::Result<usize> {
    let allowed = sched_getaffinity(None)?;
    (0..CpuSet::MAX_CPU).rfind(|cpu| allowed.is_set(*cpu)).ok_or(io::ErrorKind::NotFound.into())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One TAP and its subnet.
#[derive(Clone, Copy)]
struct Place(usize);

impl Place {
    fn name(self) -> String {
        format!("tap{}", self.0)
    }

    fn mac(self) -> MacAddr {
        MacAddr([2, 0, 0, 0, 1, self.0 as u8])
    }

    /// The responder's address.
    fn addr(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, self.0 as u8, 2)
    }

    /// Brings up the kernel's side of the TAP, once that is there, and gives it an address.
    fn set_up_kernel(self) -> Result<(), Failure> {
        let mut netlink = Netlink::open()?;
        let link = netlink.link(&self.name())?.ok_or("the TAP is gone")?;
        netlink.set_up(link.index, true)?;
        netlink.add_address(link.index, format!("10.0.{}.1/24", self.0).parse()?)?;
        Ok(())
    }
}

/// The stack, run as a program would run it.
fn stack(place: Place, ready: &Ready) -> Result<(), Failure> {
    let mut runtime = Runtime::new()?;
    let id = runtime.add_stack(Stack::new(Config::default(), 1));
    let link = runtime.attach(id, Tap::open(&place.name(), place.mac())?)?;
    place.set_up_kernel()?;
    let (now, cidr) = (runtime.now(), format!("{}/24", place.addr()).parse()?);
    runtime.stack_mut(id).add_address(now, link, cidr)?;
    ready.send(Ok(()))?;
    loop {
        runtime.turn(None)?;
    }
}

/// Waits as the runtime does, then reads and writes.
fn bare_epoll(place: Place, ready: &Ready) -> Result<(), Failure> {
    let mut tap = Tap::open(&place.name(), place.mac())?;
    let fd = tap.raw_fd().ok_or("a TAP has a descriptor")?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE)?;
    place.set_up_kernel()?;
    ready.send(Ok(()))?;
    let mut events = Events::with_capacity(8);
    let mut pool = PacketPool::new(1, 0);
    loop {
        poll.poll(&mut events, None)?;
        // An edge tells of one frame or more; the read that finds nothing is off the reply's way.
        while let Some(mut frame) = tap.receive(&mut pool)? {
            if answer(place, frame.bytes_mut()) {
                tap.transmit(frame)?.into_iter().for_each(|packet| pool.put(packet));
            }
        }
    }
}

/// Blocks in reading: what no program that serves timers or a second descriptor can do.
fn bare_read(place: Place, ready: &Ready) -> Result<(), Failure> {
    let tap = Iface::without_packet_info(&place.name(), Mode::Tap)?;
    place.set_up_kernel()?;
    ready.send(Ok(()))?;
    let mut frame = [0; 2048];
    loop {
        let len = tap.recv(&mut frame)?;
        if answer(place, &mut frame[..len]) {
            tap.send(&frame[..len])?;
        }
    }
}

/// Turns an echo request into its reply by swapping addresses and changing the type. An ARP request,
/// too, or nobody would ask for echoes. Whether there is something to write back.
fn answer(place: Place, frame: &mut [u8]) -> bool {
    let mac = place.mac().0;
    match frame.get(12..14) {
        Some(ethertype) if ethertype == ETHERTYPE_IPV4 && frame.len() >= HEADERS_LEN + 8 => {
            let (dst, src) = frame.split_at_mut(6);
            dst.swap_with_slice(&mut src[..6]);
            let (src, dst) = frame[26..34].split_at_mut(4);
            src.swap_with_slice(dst);
            frame[HEADERS_LEN] = 0;
            // RFC 1624: the type went from 8 to 0, so the sum goes up by 0x0800.
            let sum = u16::from_be_bytes([frame[HEADERS_LEN + 2], frame[HEADERS_LEN + 3]]);
            let (sum, carry) = sum.overflowing_add(0x0800);
            let sum = (sum + u16::from(carry)).to_be_bytes();
            frame[HEADERS_LEN + 2..HEADERS_LEN + 4].copy_from_slice(&sum);
        }
        Some(ethertype) if ethertype == ETHERTYPE_ARP && frame.len() >= 42 => {
            frame.copy_within(6..12, 0);
            frame[6..12].copy_from_slice(&mac);
            frame[21] = 2;
            frame.copy_within(22..32, 32);
            frame[22..28].copy_from_slice(&mac);
            frame[28..32].copy_from_slice(&place.addr().octets());
        }
        _ => return false,
    }
    true
}

/// The kernel's ping socket, and whom it asks.
struct Asker {
    socket: OwnedFd,
    to: SocketAddrV4,
}

impl Asker {
    fn new(place: Place) -> io::Result<Self> {
        let (family, kind) = (AddressFamily::INET, SocketType::DGRAM);
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(ipproto::ICMP))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Asker { socket, to: SocketAddrV4::new(place.addr(), 0) })
    }

    fn ask(&self, sequence: u16) -> io::Result<()> {
        let mut message = [0; MESSAGE_LEN];
        message[0] = 8;
        message[6..8].copy_from_slice(&sequence.to_be_bytes());
        Ok(sendto(&self.socket, &message, SendFlags::empty(), &self.to).map(drop)?)
    }

    fn hear(&self, sequence: u16) -> io::Result<()> {
        let mut reply = [0; MESSAGE_LEN];
        let (len, _) = recv(&self.socket, &mut reply[..], RecvFlags::empty())?;
        let right = len == MESSAGE_LEN && reply[0] == 0 && reply[6..8] == sequence.to_be_bytes();
        if right { Ok(()) } else { Err(io::Error::other("not the reply that was waited for")) }
    }

    fn round_trip(&self, sequence: u16) -> io::Result<Duration> {
        let start = Instant::now();
        self.ask(sequence)?;
        self.hear(sequence)?;
        Ok(start.elapsed())
    }
}

fn sleeping(asker: &Asker, count: u16) -> io::Result<Vec<Duration>> {
    (0..count)
        .map(|sequence| {
            thread::sleep(PAUSE);
            asker.round_trip(sequence)
        })
        .collect()
}

fn back_to_back(asker: &Asker, count: u16) -> io::Result<Vec<Duration>> {
    (0..count).map(|sequence| asker.round_trip(sequence)).collect()
}

/// The time of one exchange is that of all divided by how many there were.
fn in_flight(asker: &Asker, count: u16) -> io::Result<Vec<Duration>> {
    let start = Instant::now();
    for sequence in 0..count {
        asker.ask(sequence)?;
        if let Some(oldest) = (sequence + 1).checked_sub(IN_FLIGHT) {
            asker.hear(oldest)?;
        }
    }
    for sequence in count.saturating_sub(IN_FLIGHT - 1)..count {
        asker.hear(sequence)?;
    }
    Ok(vec![start.elapsed() / u32::from(count)])
}
