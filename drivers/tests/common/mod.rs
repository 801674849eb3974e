//! What the tests with the kernel as peer share.
#![allow(dead_code)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use tapping_drivers::device::Device;
use tapping_drivers::error::DeviceError;
use tapping_drivers::netlink::{NeighbourInfo, Netlink};
use tapping_drivers::sandbox::{Sandbox, SandboxConfig, SandboxError, SandboxKind};
use tapping_drivers::testing::skip;
use tapping_stack::packet::{Packet, PacketPool};
use tapping_stack::wire::ethernet::MacAddr;

/// The stack's side.
pub const OUR_MAC: MacAddr = MacAddr([0x02, 0x74, 0x61, 0x70, 0x00, 0x02]);
pub const OUR_ADDR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The kernel's side.
pub const HOST_ADDR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// Nothing that the tests wait for takes this long unless it never comes.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// A sandbox whose kernel side is 10.0.0.1/24. A TAP that cannot be had here skips the test.
pub fn sandbox(kind: SandboxKind, mtu: u32) -> Option<Sandbox> {
    let config = SandboxConfig {
        name: "tap0".to_owned(),
        mac: OUR_MAC,
        host_address: Some(format!("{HOST_ADDR}/24").parse().unwrap()),
        mtu,
        kind: Some(kind),
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

/// For each function named, a test of it over a TAP and one over a packet socket, each in a
/// namespace of its own. The functions take the sandbox; its MTU is 1500.
macro_rules! over_both_devices {
    ($($name:ident)*) => {
        mod tap {
            $(#[test] fn $name() {
                tapping_drivers::testing::in_namespace(|| {
                    let kind = tapping_drivers::sandbox::SandboxKind::Tap;
                    if let Some(sandbox) = crate::common::sandbox(kind, 1500) {
                        super::$name(sandbox);
                    }
                });
            })*
        }
        mod packet_socket {
            $(#[test] fn $name() {
                tapping_drivers::testing::in_namespace(|| {
                    let kind = tapping_drivers::sandbox::SandboxKind::PacketSocket;
                    super::$name(crate::common::sandbox(kind, 1500).unwrap());
                });
            })*
        }
    };
}
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
