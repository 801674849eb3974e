//! What the tests with the kernel as peer share.
#![allow(dead_code)]

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto};
use tapping_drivers::device::{Device, DeviceConfig};
use tapping_drivers::error::DeviceError;
use tapping_drivers::net::Net;
use tapping_drivers::netlink::{NeighbourInfo, Netlink};
use tapping_drivers::runtime::{Runtime, StackId};
use tapping_drivers::sandbox::{Sandbox, SandboxConfig, SandboxError, SandboxKind};
use tapping_drivers::testing::skip;
use tapping_drivers::veth;
use tapping_stack::packet::{Packet, PacketPool};
use tapping_stack::wire::ethernet::MacAddr;
use tapping_stack::{Config, LinkId, Stack};

/// The stack's side.
pub const OUR_MAC: MacAddr = MacAddr([0x02, 0x74, 0x61, 0x70, 0x00, 0x02]);
pub const OUR_ADDR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The kernel's side.
pub const HOST_ADDR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// Nothing that the tests wait for takes this long unless it never comes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A sandbox whose kernel side is 10.0.0.1/24. A TAP that cannot be had here skips the test.
pub fn sandbox(kind: SandboxKind, offload: bool, mtu: u32) -> Option<Sandbox> {
    let config = SandboxConfig {
        name: "tap0".to_owned(),
        mac: OUR_MAC,
        host_address: Some(format!("{HOST_ADDR}/24").parse().unwrap()),
        mtu,
        kind: Some(kind),
        offload,
    };
    match Sandbox::set_up(&config) {
        Ok(sandbox) => Some(sandbox),
        Err(SandboxError::Device(
            error @ (DeviceError::NoTun(_)
            | DeviceError::TunAccess(_)
            | DeviceError::Permission { .. }),
        )) if kind == SandboxKind::Tap => {
            skip(&error.to_string());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// For each function named, a test of it over a TAP, one over a TAP without offload and one over a
/// packet socket, each in a namespace of its own. The functions take the sandbox; its MTU is 1500.
#[allow(unused_macros)]
macro_rules! over_both_devices {
    ($($name:ident)*) => {
        mod tap {
            $(#[test] fn $name() {
                tapping_drivers::testing::in_namespace(|| {
                    let kind = tapping_drivers::sandbox::SandboxKind::Tap;
                    if let Some(sandbox) = crate::common::sandbox(kind, true, 1500) {
                        super::$name(sandbox);
                    }
                });
            })*
        }
        mod plain_tap {
            $(#[test] fn $name() {
                tapping_drivers::testing::in_namespace(|| {
                    let kind = tapping_drivers::sandbox::SandboxKind::Tap;
                    if let Some(sandbox) = crate::common::sandbox(kind, false, 1500) {
                        super::$name(sandbox);
                    }
                });
            })*
        }
        mod packet_socket {
            $(#[test] fn $name() {
                tapping_drivers::testing::in_namespace(|| {
                    let kind = tapping_drivers::sandbox::SandboxKind::PacketSocket;
                    super::$name(crate::common::sandbox(kind, false, 1500).unwrap());
                });
            })*
        }
    };
}
#[allow(unused_imports)]
pub(crate) use over_both_devices;

/// Receives until `wanted` says yes; other frames are dropped.
pub fn receive_until(
    device: &mut dyn Device,
    pool: &mut PacketPool,
    mut wanted: impl FnMut(&Packet) -> bool,
) -> Packet {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match device.receive(pool).expect("receive") {
            Some(packet) if wanted(&packet) => return packet,
            Some(packet) => pool.put(packet),
            None => {
                if Instant::now() > deadline {
                    let counters = std::fs::read_to_string("/proc/thread-self/net/dev");
                    panic!("nothing came on {}\n{}", device.name(), counters.unwrap());
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }
}

/// Transmits, however long the device has no room.
pub fn transmit(device: &mut dyn Device, pool: &mut PacketPool, mut packet: Packet) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match device.transmit(packet) {
            Ok(storage) => return storage.into_iter().for_each(|packet| pool.put(packet)),
            Err(refused) if refused.is_would_block() && Instant::now() < deadline => {
                packet = refused.packet;
            }
            Err(refused) => panic!("{refused}"),
        }
    }
}

/// The kernel's entry for an address.
pub fn kernel_neighbour(address: Ipv4Addr) -> Option<NeighbourInfo> {
    let all = Netlink::open().unwrap().neighbours().unwrap();
    all.into_iter().find(|entry| entry.address == IpAddr::V4(address))
}

/// A stack over a device, in a loop.
pub struct Host {
    pub runtime: Runtime,
    pub id: StackId,
    pub link: LinkId,
}

impl Host {
    /// A stack with an address on its one link.
    pub fn new(device: impl Device + 'static, address: &str) -> Self {
        let mut runtime = Runtime::new().unwrap();
        let id = runtime.add_stack(Stack::new(Config::default(), 1));
        let link = runtime.attach(id, device).unwrap();
        let now = runtime.now();
        runtime.stack_mut(id).add_address(now, link, address.parse().unwrap()).unwrap();
        Host { runtime, id, link }
    }

    pub fn stack(&mut self) -> &mut Stack {
        self.runtime.stack_mut(self.id)
    }

    /// Turns the loop until `done` has something to return.
    pub fn turn_until<T>(&mut self, mut done: impl FnMut(&mut Stack) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = done(self.runtime.stack_mut(self.id)) {
                return value;
            }
            if Instant::now() > end {
                let counters = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
                let snapshot = self.stack().snapshot();
                panic!("what was waited for did not come\n{snapshot:#?}\n{counters}");
            }
            let deadline = self.runtime.now() + Duration::from_millis(5);
            self.runtime.turn(Some(deadline)).unwrap();
        }
    }

    /// Pings `to` once and returns the data of the reply.
    pub fn ping(&mut self, to: Ipv4Addr, sequence: u16, data: &[u8]) -> Vec<u8> {
        let now = self.runtime.now();
        let socket = self.stack().open_ping(None).unwrap();
        self.stack().send_to(now, socket, (to, 0).into(), &echo(sequence, data)).unwrap();
        let reply = self.turn_until(|stack| stack.recv(socket));
        assert_eq!((reply.bytes()[0], reply.bytes()[1]), (0, 0), "an echo reply");
        assert_eq!(reply.bytes()[6..8], sequence.to_be_bytes());
        let data = reply.bytes()[8..].to_vec();
        self.stack().recycle(reply);
        self.stack().close(now, socket).unwrap();
        data
    }
}

/// An ICMP echo request; who sends it fills in identifier and checksum.
pub fn echo(sequence: u16, data: &[u8]) -> Vec<u8> {
    [&[8, 0, 0, 0, 0, 0][..], &sequence.to_be_bytes(), data].concat()
}

/// `len` bytes that differ from place to place.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
}

/// The kernel's ping socket (icmp(7)), non-blocking. It takes and gives whole ICMP messages.
pub struct KernelPing(OwnedFd);

impl KernelPing {
    pub fn new() -> Self {
        // Nobody may have one unless told so.
        std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").unwrap();
        let socket = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::DGRAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            Some(ipproto::ICMP),
        );
        KernelPing(socket.unwrap())
    }

    pub fn send(&self, to: Ipv4Addr, message: &[u8]) -> rustix::io::Result<usize> {
        let to = SocketAddrV4::new(to, 0);
        rustix::net::sendto(&self.0, message, SendFlags::empty(), &to)
    }

    pub fn recv(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        match rustix::net::recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
            Ok((len, _)) => {
                buffer.truncate(len);
                Some(buffer)
            }
            Err(rustix::io::Errno::AGAIN) => None,
            Err(errno) => panic!("the kernel's ping socket: {errno}"),
        }
    }

    pub fn fd(&self) -> &OwnedFd {
        &self.0
    }
}

/// Two stacks over a virtual pair, 10.1.0.1 and 10.1.0.2, each with a thread of its own.
pub fn net_pair() -> [Net; 2] {
    let config =
        |n| DeviceConfig { name: format!("veth{n}"), mac: MacAddr([2, 0, 0, 0, 1, n]), mtu: 1500 };
    let (a, b) = veth::channel_pair(config(1), config(2)).unwrap();
    [(1, a), (2, b)].map(|(n, device)| {
        let address = format!("10.1.0.{n}/24").parse().unwrap();
        Net::builder().device(device).address(address).start().unwrap()
    })
}
