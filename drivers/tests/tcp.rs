//! TCP between a stack and the Linux kernel: whole transfers.

mod common;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown as Half, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use common::{HOST_ADDR, Host, OUR_ADDR, over_both_devices};
use tapping_drivers::sandbox::{Sandbox, SandboxKind};
use tapping_drivers::tap::Offloads;
use tapping_stack::stats::DropReason;
use tapping_stack::{Shutdown, SocketError, SocketId, TcpState};

const SUBNET: &str = "10.0.0.2/24";
const LEN: usize = 16 << 20;
const CHUNK: usize = 64 << 10;

over_both_devices! {
    the_kernel_receives_what_we_send
    we_receive_what_the_kernel_sends
    both_send_at_once
}

/// What the side called `who` sends at a position: no part of it comes again soon.
fn content(who: u8, position: usize) -> u8 {
    let mixed = (position as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    mixed as u8 ^ who
}

fn fill(who: u8, position: usize, buffer: &mut [u8]) {
    for (n, byte) in buffer.iter_mut().enumerate() {
        *byte = content(who, position + n);
    }
}

#[track_caller]
fn check(who: u8, position: usize, received: &[u8]) {
    let wrong = received.iter().enumerate().find(|(n, byte)| **byte != content(who, position + n));
    assert!(wrong.is_none(), "byte {} is wrong", position + wrong.map_or(0, |(n, _)| n));
}

const OURS: u8 = 0x55;
const KERNELS: u8 = 0xaa;

/// The kernel's side: sends `LEN` bytes if told so, and returns how many came before the end.
fn kernel(mut stream: TcpStream, sends: bool) -> JoinHandle<usize> {
    thread::spawn(move || {
        let mut sender = stream.try_clone().unwrap();
        let sending = thread::spawn(move || {
            let mut buffer = vec![0; CHUNK];
            for position in (0..if sends { LEN } else { 0 }).step_by(CHUNK) {
                fill(KERNELS, position, &mut buffer);
                sender.write_all(&buffer).unwrap();
            }
            sender.shutdown(Half::Write).unwrap();
        });
        let (mut buffer, mut received) = (vec![0; CHUNK], 0);
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                len => {
                    check(OURS, received, &buffer[..len]);
                    received += len;
                }
            }
        }
        sending.join().unwrap();
        received
    })
}

/// Our side: sends `LEN` bytes if told so and returns how many came before the end.
fn ours(host: &mut Host, id: SocketId, sends: bool) -> usize {
    let (mut sent, mut received) = (0, 0);
    let (mut out, mut buffer) = (vec![0; CHUNK], vec![0; CHUNK]);
    let (mut shut, mut ended) = (false, false);
    let goal = if sends { LEN } else { 0 };
    while !(shut && ended) {
        let now = host.runtime.now();
        let progress = host.turn_until(|stack| {
            let mut moved = 0;
            while sent < goal {
                let len = CHUNK.min(goal - sent);
                fill(OURS, sent, &mut out[..len]);
                match stack.send(now, id, &out[..len]) {
                    Ok(len) => {
                        sent += len;
                        moved += len;
                    }
                    Err(SocketError::WouldBlock) => break,
                    Err(error) => panic!("send: {error}"),
                }
            }
            if sent == goal && !shut {
                stack.shutdown(now, id, Shutdown::Write).unwrap();
                shut = true;
                moved += 1;
            }
            while !ended {
                match stack.receive(now, id, &mut buffer) {
                    Ok(0) => {
                        ended = true;
                        moved += 1;
                    }
                    Ok(len) => {
                        check(KERNELS, received, &buffer[..len]);
                        received += len;
                        moved += len;
                    }
                    Err(SocketError::WouldBlock) => break,
                    Err(error) => panic!("receive: {error}"),
                }
            }
            (moved > 0).then_some(moved)
        });
        assert!(progress > 0);
    }
    received
}

/// Lets what is on its way arrive.
fn finish(host: &mut Host, peer: JoinHandle<usize>) -> usize {
    host.turn_until(|_| peer.is_finished().then_some(()));
    peer.join().unwrap()
}

/// A connection of ours to the kernel.
fn connect(host: &mut Host) -> (SocketId, TcpStream) {
    let listener = TcpListener::bind((HOST_ADDR, 5000)).unwrap();
    let accepting = thread::spawn(move || listener.accept().unwrap().0);
    let now = host.runtime.now();
    let id = host.stack().open_tcp().unwrap();
    match host.stack().connect(now, id, (HOST_ADDR, 5000).into()) {
        Ok(()) | Err(SocketError::InProgress) => {}
        Err(error) => panic!("connect: {error}"),
    }
    let wanted = TcpState::Established;
    host.turn_until(|stack| (stack.tcp_state(id).unwrap() == wanted).then_some(()));
    (id, accepting.join().unwrap())
}

/// A connection of the kernel's to us.
fn accept(host: &mut Host) -> (SocketId, TcpStream) {
    let now = host.runtime.now();
    let listener = host.stack().open_tcp().unwrap();
    host.stack().bind(listener, (OUR_ADDR, 4000).into()).unwrap();
    host.stack().listen(now, listener, 4).unwrap();
    let connecting = thread::spawn(|| TcpStream::connect((OUR_ADDR, 4000)).unwrap());
    let (id, _) = host.turn_until(|stack| stack.accept(now, listener).ok());
    (id, connecting.join().unwrap())
}

/// The kernel's counters in this namespace, of `Tcp` or `TcpExt` (proc_pid_net(5)).
fn kernel_counters(file: &str, kind: &str) -> HashMap<String, i64> {
    let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(": "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let values = values.split(' ').map(|value| value.parse().unwrap());
    names.split(' ').map(str::to_owned).zip(values).collect()
}

/// With offload the kernel's segments come whole, else as it would put them on a wire.
fn assert_large(host: &mut Host, offloads: Option<Offloads>) {
    let link = host.link;
    let snapshot = host.stack().snapshot();
    let (_, _, counters) = snapshot.links.iter().find(|(id, ..)| *id == link).unwrap();
    let frames = (LEN / 1460) as u64;
    match offloads {
        Some(offloads) if offloads.tso => assert!(counters.rx_packets < frames / 2, "{counters:?}"),
        _ => assert!(counters.rx_packets >= frames, "{counters:?}"),
    }
}

/// Nothing is damaged. And what goes to a TAP is not lost, as it is when the buffer of a packet
/// socket is full, so the kernel repairs nothing; that it probes when we are slow to answer says
/// nothing.
fn assert_clean(host: &mut Host, kind: SandboxKind) {
    let counters = kernel_counters("snmp", "Tcp");
    for name in ["InErrs", "InCsumErrors"] {
        assert_eq!(counters[name], 0, "{name} of the kernel: {counters:?}");
    }
    if kind == SandboxKind::Tap {
        let counters = kernel_counters("netstat", "TcpExt");
        for name in ["TCPFastRetrans", "TCPSackRecovery", "TCPRenoRecovery"] {
            assert_eq!(counters[name], 0, "{name} of the kernel: {counters:?}");
        }
    }
    let snapshot = host.stack().snapshot();
    assert_eq!((snapshot.tcp.in_errs, snapshot.tcp.in_csum_errors), (0, 0));
    // The sender waits for its device instead of losing what it sends on the way there.
    assert_eq!(snapshot.dropped(DropReason::TxQueueFull), 0);
}

fn the_kernel_receives_what_we_send(sandbox: Sandbox) {
    let (mut host, kind) = (Host::new(sandbox.device, SUBNET), sandbox.kind);
    let (id, stream) = connect(&mut host);
    let peer = kernel(stream, false);
    assert_eq!(ours(&mut host, id, true), 0);
    assert_eq!(finish(&mut host, peer), LEN);
    assert_clean(&mut host, kind);
}

fn we_receive_what_the_kernel_sends(sandbox: Sandbox) {
    let (mut host, kind) = (Host::new(sandbox.device, SUBNET), sandbox.kind);
    let (id, stream) = accept(&mut host);
    let peer = kernel(stream, true);
    assert_eq!(ours(&mut host, id, false), LEN);
    assert_eq!(finish(&mut host, peer), 0);
    assert_clean(&mut host, kind);
    assert_large(&mut host, sandbox.offloads);
}

fn both_send_at_once(sandbox: Sandbox) {
    let mut host = Host::new(sandbox.device, SUBNET);
    let (id, stream) = accept(&mut host);
    let peer = kernel(stream, true);
    assert_eq!(ours(&mut host, id, true), LEN);
    assert_eq!(finish(&mut host, peer), LEN);
}
