//! Makes seed corpora from real traffic: a stack and the Linux kernel talk in a sandbox, the
//! conversation is captured, and its frames become inputs of `wire` and scripts of `frame`.
//!
//! `cargo run --example corpus` in `fuzz/` writes `corpus/wire/captured-*` and `corpus/frame/captured-*`;
//! another directory than `corpus` can be given. Needs what `tapping HOST` without `--tap` needs.

use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, connect, ipproto, sendto, socket_with,
};
use tapping_drivers::netlink::Netlink;
use tapping_drivers::pcap::{Capture, CaptureFile, CaptureReader};
use tapping_drivers::runtime::{Runtime, StackId};
use tapping_drivers::sandbox::{Sandbox, SandboxConfig};
use tapping_fuzz::frames::{MACS, OWN};
use tapping_fuzz::script::{Script, Setup};
use tapping_stack::route::Route;
use tapping_stack::wire::{EtherType, Ethernet, Ipv4, Protocol, icmpv4};
use tapping_stack::{Config, Stack};

/// The stack has the addresses that it has in the target `frame`, link 0.
const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Nobody is there.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
/// Behind the kernel.
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// How long a scenario is let run.
const SCENARIO: Duration = Duration::from_millis(300);

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Scenario = fn(&mut Session) -> Result<()>;

/// What the stack and the kernel do, each under the name of its seed.
const SCENARIOS: [(&str, Scenario); 12] = [
    ("ping", |session| session.ping(KERNEL, 56)),
    ("ping-fragments", |session| session.ping(KERNEL, 4000)),
    ("ping-record-route", |session| session.ping_with_options(&[7, 23, 4])),
    ("ping-timestamps", |session| session.ping_with_options(&[68, 36, 5, 1])),
    ("ping-nobody", |session| session.ping(NOBODY, 56)),
    ("ping-far", |session| session.ping(FAR, 56)),
    ("kernel-pings", |session| session.kernel_icmp(OWN[0], &[8, 0, 0, 0, 0, 1, 0, 1], 64)),
    ("kernel-pings-fragments", |session| {
        session.kernel_icmp(OWN[0], &[8, 0, 0, 0, 0, 2, 0, 1], 4000)
    }),
    ("kernel-asks-time", |session| session.kernel_icmp(OWN[0], &[13, 0, 0, 0, 0, 3, 0, 1], 20)),
    ("kernel-multicasts", |session| {
        let to_all = Ipv4Addr::new(224, 0, 0, 1);
        session.kernel_icmp(to_all, &[8, 0, 0, 0, 0, 4, 0, 1], 64)?;
        // A membership report, with the router alert option.
        session.udp.join_multicast_v4(&Ipv4Addr::new(239, 1, 1, 1), &KERNEL)?;
        Ok(())
    }),
    ("kernel-udp", |session| {
        session.udp.send_to(&[0; 100], (OWN[0], 7))?;
        session.udp.send_to(&[0; 3000], (OWN[0], 7))?;
        session.udp.set_broadcast(true)?;
        session.udp.send_to(b"to all", (Ipv4Addr::new(10, 0, 0, 255), 7))?;
        Ok(())
    }),
    ("kernel-tcp", Session::kernel_connects),
];

fn main() -> Result<()> {
    let corpus = std::env::args().nth(1).map_or("corpus".into(), PathBuf::from);
    let sandbox = Sandbox::enter(&SandboxConfig {
        name: "tap0".to_owned(),
        mac: MACS[0],
        host_address: Some(format!("{KERNEL}/24").parse()?),
        mtu: 1500,
        kind: None,
        offload: false,
    })?;
    let host = sandbox.host.index;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    // The kernel would send what is for `FAR` back to a router on our own link, and tells us so.
    let mut netlink = Netlink::open()?;
    netlink.add_route("192.0.2.0/24".parse()?, Some(NOBODY.into()), host)?;
    netlink.add_route("224.0.0.0/4".parse()?, None, host)?;

    let path = std::env::temp_dir().join(format!("corpus-{}.pcapng", std::process::id()));
    let file = CaptureFile::create(&path)?;
    let mut session = Session::new(Capture::new(sandbox.device, &file))?;
    let (mut read, mut shapes) = (0, HashSet::new());
    for (name, scenario) in SCENARIOS {
        session.script = Script::new(Setup([Setup::FORWARD | Setup::NO_RATE_LIMIT, 0]));
        scenario(&mut session)?;
        session.run()?;
        file.flush();
        let frames = frames_after(&path, &mut read)?;
        for frame in &frames {
            // The kernel's are what arrives; the stack makes its own again.
            if Ethernet::parse(frame)?.src() != MACS[0] {
                session.script.frame(0, frame);
            }
        }
        // Long enough for a neighbour not to be there.
        session.script.wait(125, 5);
        let script = std::mem::replace(&mut session.script, Script::new(Setup([0; 2])));
        save(&corpus.join("frame"), &format!("captured-{name}"), &script.into_bytes())?;
        // One of each shape is enough for the parsers.
        let new = frames.iter().filter(|frame| shapes.insert(shape(frame)));
        for (n, frame) in new.enumerate() {
            save(&corpus.join("wire"), &format!("captured-{name}-{n}"), frame)?;
        }
    }
    fs::remove_file(&path)?;
    Ok(())
}

fn save(directory: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(directory)?;
    println!("{}/{name}: {} bytes", directory.display(), bytes.len());
    Ok(fs::write(directory.join(name), bytes)?)
}

/// The frames captured since the last time.
fn frames_after(path: &Path, read: &mut usize) -> Result<Vec<Vec<u8>>> {
    let mut reader = CaptureReader::open(path)?;
    let mut frames = Vec::new();
    while let Some(record) = reader.next_record()? {
        frames.push(record.data.to_vec());
    }
    let new = frames.split_off(*read);
    *read += new.len();
    Ok(new)
}

/// What a parser sees of a frame beside addresses and numbers: types, flags, options, kind of
/// length.
fn shape(frame: &[u8]) -> Vec<u8> {
    let Ok(ethernet) = Ethernet::parse(frame) else { return vec![0] };
    let mut shape = ethernet.ethertype().0.to_be_bytes().to_vec();
    match (ethernet.ethertype(), Ipv4::parse(ethernet.payload())) {
        (EtherType::IPV4, Ok(packet)) => {
            let payload = packet.payload();
            shape.extend([packet.protocol().0, payload.len().ilog2() as u8]);
            shape.extend([packet.is_fragment(), packet.more_fragments()].map(u8::from));
            shape.extend(packet.options().first());
            if packet.protocol() == Protocol::ICMP && packet.fragment_offset() == 0 {
                shape.extend(&payload[..2]);
            }
        }
        // An ARP message's operation.
        _ => shape.extend(&ethernet.payload()[6..8]),
    }
    shape
}

/// A stack in its loop, and the kernel's sockets.
struct Session {
    runtime: Runtime,
    id: StackId,
    udp: UdpSocket,
    raw: OwnedFd,
    /// Sockets whose connections nobody accepts.
    tcp: Vec<OwnedFd>,
    /// What the stack's sockets do in this scenario.
    script: Script,
    /// Identifier of the next ping socket.
    ident: u8,
}

impl Session {
    fn new(device: impl tapping_drivers::device::Device + 'static) -> Result<Self> {
        let mut runtime = Runtime::new()?;
        let id = runtime.add_stack(Stack::new(Config::default(), 1));
        let link = runtime.attach(id, device)?;
        let now = runtime.now();
        let stack = runtime.stack_mut(id);
        stack.add_address(now, link, format!("{}/24", OWN[0]).parse()?)?;
        stack.add_route(Route::via("0.0.0.0/0".parse()?, KERNEL.into()))?;
        let raw = socket_with(
            AddressFamily::INET,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(ipproto::ICMP),
        )?;
        let udp = UdpSocket::bind((KERNEL, 0))?;
        let (tcp, script) = (Vec::new(), Script::new(Setup([0; 2])));
        Ok(Session { runtime, id, udp, raw, tcp, script, ident: 32 })
    }

    /// Lets the loop turn for the time of a scenario.
    fn run(&mut self) -> Result<()> {
        let end = self.runtime.now() + SCENARIO;
        while self.runtime.now() < end {
            self.runtime.turn(Some(end))?;
        }
        Ok(())
    }

    fn ping(&mut self, to: Ipv4Addr, len: u16) -> Result<()> {
        self.ping_from_socket(to, len, &[])
    }

    /// With an option of this beginning, whose second byte is its length.
    fn ping_with_options(&mut self, option: &[u8]) -> Result<()> {
        let mut options = option.to_vec();
        options.resize(usize::from(option[1]), 0);
        self.ping_from_socket(KERNEL, 56, &options)
    }

    fn ping_from_socket(&mut self, to: Ipv4Addr, len: u16, options: &[u8]) -> Result<()> {
        let now = self.runtime.now();
        let stack = self.runtime.stack_mut(self.id);
        let socket = stack.open_ping(Some(u16::from(self.ident)))?;
        stack.socket_options(socket)?.ip_options = options.to_vec();
        self.script.open_ping(self.ident);
        self.ident += 1;
        let mut message = vec![8, 0, 0, 0, 0, 0, 0, 1];
        message.resize(message.len() + usize::from(len), 0);
        stack.send_to(now, socket, (to, 0).into(), &message)?;
        self.script.send_echo(0, to, 1, len);
        Ok(())
    }

    /// The kernel sends an ICMP message of this beginning and length.
    fn kernel_icmp(&mut self, to: Ipv4Addr, beginning: &[u8], len: usize) -> Result<()> {
        let mut message = beginning.to_vec();
        message.resize(len, 0);
        icmpv4::fill_checksum(&mut message);
        sendto(&self.raw, &message, SendFlags::empty(), &SocketAddrV4::new(to, 0))?;
        Ok(())
    }

    fn kernel_connects(&mut self) -> Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        match connect(&socket, &SocketAddrV4::new(OWN[0], 80)) {
            Ok(()) | Err(Errno::INPROGRESS) => self.tcp.push(socket),
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }
}
