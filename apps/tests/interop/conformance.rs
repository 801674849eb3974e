//! The same frames to the stack and to the kernel: the answers must be the same.

use std::net::Ipv4Addr;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tapping_drivers::testing::in_namespace;
use tapping_stack::wire::{EtherType, MacAddr, Protocol};

use super::frames::{Ip, frame};
use super::prober::{Prober, TARGET, TESTER};
use super::world::{NEAR, Namespace, Wire, join};

mod arp;
mod fragments;
mod icmp;
mod ipv4;
mod options;
mod udp;

/// The address of the host under test, on a network of 16 bits so that each probe has a sender of
/// its own: limits count for each address.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// Both hosts send 50 ICMP errors at once, then 1000 a second, to whomever.
const PROBES_AT_ONCE: usize = 25;
const REFILL: Duration = Duration::from_millis(80);

/// A probe.
pub struct Probe {
    name: String,
    frames: Vec<Vec<u8>>,
    from: Ipv4Addr,
    /// The host is not told the sender's link-layer address before.
    stranger: bool,
    /// Why the stack does not do as the kernel here.
    differs: Option<&'static str>,
}

/// Probes in the making.
#[derive(Default)]
pub struct Probes(Vec<Probe>);

impl Probes {
    /// A probe of frames, made for their sender's address.
    pub fn frames<N: Into<String>>(
        &mut self,
        name: N,
        make: impl FnOnce(Ipv4Addr) -> Vec<Vec<u8>>,
    ) -> &mut Probe {
        let n = self.0.len() as u16;
        let from = Ipv4Addr::new(10, 0, 1 + (n / 200) as u8, 1 + (n % 200) as u8);
        let (name, frames) = (name.into(), make(from));
        self.0.push(Probe { name, frames, from, stranger: false, differs: None });
        self.0.last_mut().expect("it was added")
    }

    /// A probe of packets in frames to the host.
    pub fn packets<N: Into<String>>(
        &mut self,
        name: N,
        make: impl FnOnce(Ipv4Addr) -> Vec<Ip>,
    ) -> &mut Probe {
        self.frames(name, |from| make(from).iter().map(framed).collect())
    }

    /// A probe of one packet.
    pub fn packet<N: Into<String>>(
        &mut self,
        name: N,
        make: impl FnOnce(Ipv4Addr) -> Ip,
    ) -> &mut Probe {
        self.packets(name, |from| vec![make(from)])
    }

    /// A probe of one ICMP message.
    pub fn icmp<N: Into<String>>(&mut self, name: N, message: Vec<u8>) -> &mut Probe {
        self.packet(name, |from| Ip::new(from, HOST, Protocol::ICMP, message))
    }
}

impl Probe {
    pub fn differs(&mut self, why: &'static str) {
        self.differs = Some(why);
    }

    pub fn stranger(&mut self) -> &mut Self {
        self.stranger = true;
        self
    }
}

/// In a frame from the tester to the host.
pub fn framed(ip: &Ip) -> Vec<u8> {
    framed_to(TARGET, ip)
}

/// In a frame from the tester to anybody.
pub fn framed_to(dst: MacAddr, ip: &Ip) -> Vec<u8> {
    frame(dst, TESTER, EtherType::IPV4, &ip.bytes())
}

/// Puts all probes of a group to the stack and to the kernel.
fn compare(fill: impl FnOnce(&mut Probes)) {
    stay_on_one_cpu();
    let here = Namespace::here();
    let wire = Wire::new(&here);
    // What the kernel is given must be what would be on a wire, sums and all.
    let _stack =
        wire.start(&format!("--no-offload --addr {HOST}/16 --gateway 10.0.0.1 -i 3600 127.0.0.1"));
    let other = Namespace::new();
    kernel_host(&here, &other);

    let mut probes = Probes::default();
    fill(&mut probes);
    let (mut stack, mut kernel) = (Prober::new(NEAR, HOST), Prober::new("ref", HOST));
    let mut wrong = Vec::new();
    for (n, probe) in probes.0.iter().enumerate() {
        if n % PROBES_AT_ONCE == 0 {
            std::thread::sleep(REFILL);
        }
        let [ours, reference] = [&mut stack, &mut kernel].map(|prober| {
            if !probe.stranger {
                prober.introduce(probe.from);
            }
            prober.ask(&probe.frames)
        });
        let shown = |answers: &[String]| match answers.is_empty() {
            true => "silence".to_owned(),
            false => answers.join("\n            "),
        };
        match (ours == reference, probe.differs) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(why)) => wrong.push(format!("{}: no longer so: {why}", probe.name)),
            (false, None) => wrong.push(format!(
                "{}\n    stack:  {}\n    kernel: {}",
                probe.name,
                shown(&ours),
                shown(&reference)
            )),
        }
    }
    let total = probes.0.len();
    assert!(wrong.is_empty(), "{} of {total} probes:\n{}", wrong.len(), wrong.join("\n"));
}

/// A kernel with the same addresses, at the other end of the interface `ref`.
fn kernel_host(here: &Namespace, other: &Namespace) {
    join((here, "ref"), (other, "eth0"));
    other.must(&format!("ip link set eth0 address {TARGET}"));
    other.must(&format!("ip address add {HOST}/16 broadcast + dev eth0"));
    other.must("ip route add default via 10.0.0.1");
    // Distributions set these differently from the kernel's own defaults.
    for scope in ["all", "eth0"] {
        for (name, value) in
            [("rp_filter", "0"), ("accept_source_route", "0"), ("accept_local", "0")]
        {
            other.set(&format!("ipv4.conf.{scope}.{name}"), value);
        }
    }
}

/// Frames of a veth pair stay in order if they are all put on it by one processor.
fn stay_on_one_cpu() {
    let allowed = sched_getaffinity(None).expect("the processors allowed");
    let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).expect("there is one");
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).expect("stay on one processor");
}

#[test]
fn arp() {
    in_namespace(|| compare(arp::probes));
}

#[test]
fn fragments() {
    in_namespace(|| compare(fragments::probes));
}

#[test]
fn icmp() {
    in_namespace(|| compare(icmp::probes));
}

#[test]
fn ipv4() {
    in_namespace(|| compare(ipv4::probes));
}

#[test]
fn options() {
    in_namespace(|| compare(options::probes));
}

#[test]
fn udp() {
    in_namespace(|| compare(udp::probes));
}
