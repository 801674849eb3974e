//! What happens to a device while the loop runs: it is deleted, taken down, renamed, given another
//! MTU, its queue is full; and the process is interrupted and stopped. With the real kernel.

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::{HOST_ADDR, Host, OUR_MAC, pattern, sandbox};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};
use rustix::net::{RecvFlags, sockopt};
use rustix::process::{Signal, getpid, kill_process};
use tapping_drivers::netlink::Netlink;
use tapping_drivers::packet_socket::PacketSocket;
use tapping_drivers::sandbox::SandboxKind;
use tapping_drivers::testing::{in_namespace, set_socket_option};
use tapping_stack::stats::DropReason;
use tapping_stack::{SocketError, SocketId, Stack, TcpState};

const SUBNET: &str = "10.0.0.2/24";

/// A stack on a TAP, and the TAP's index; nothing where no TAP is to be had.
fn with_tap(body: fn(Host, u32)) {
    if let Some(sandbox) = sandbox(SandboxKind::Tap, true, 1500) {
        body(Host::new(sandbox.device, SUBNET), sandbox.host.index);
    }
}

/// A connection of ours to a peer of the kernel's that echoes until the end.
fn connect_to_echo(host: &mut Host) -> (SocketId, JoinHandle<usize>) {
    connect_to_slow_echo(host, Duration::ZERO)
}

/// To one that takes its time before each answer.
fn connect_to_slow_echo(host: &mut Host, pause: Duration) -> (SocketId, JoinHandle<usize>) {
    let listener = TcpListener::bind((HOST_ADDR, 5000)).unwrap();
    let peer = thread::spawn(move || echo_until_end(listener.accept().unwrap().0, pause));
    let now = host.runtime.now();
    let id = host.stack().open_tcp().unwrap();
    host.stack().connect(now, id, (HOST_ADDR, 5000).into()).unwrap();
    host.turn_until(|stack| (stack.tcp_state(id).unwrap() == TcpState::Established).then_some(()));
    (id, peer)
}

fn echo_until_end(mut stream: TcpStream, pause: Duration) -> usize {
    let (mut buffer, mut echoed) = (vec![0; 64 << 10], 0);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return echoed,
            len => {
                if !pause.is_zero() {
                    thread::sleep(pause);
                }
                stream.write_all(&buffer[..len]).unwrap();
                echoed += len;
            }
        }
    }
}

/// An exchange with the echoing peer, which `meanwhile` sees the progress of.
struct Exchange {
    data: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
}

impl Exchange {
    fn of(len: usize) -> Self {
        Exchange { data: pattern(len), sent: 0, received: Vec::new() }
    }

    /// Moves what can be moved; returns whether all has come back.
    fn step(&mut self, now: tapping_stack::time::Instant, stack: &mut Stack, id: SocketId) -> bool {
        while self.sent < self.data.len() {
            match stack.send(now, id, &self.data[self.sent..]) {
                Ok(len) => self.sent += len,
                Err(SocketError::WouldBlock) => break,
                Err(error) => panic!("send: {error}"),
            }
        }
        let mut buffer = vec![0; 64 << 10];
        loop {
            match stack.receive(now, id, &mut buffer) {
                Ok(0) => panic!("the end came after {} bytes", self.received.len()),
                Ok(len) => self.received.extend_from_slice(&buffer[..len]),
                Err(SocketError::WouldBlock) => break,
                Err(error) => panic!("receive: {error}"),
            }
        }
        self.received.len() >= self.data.len()
    }

    fn run(mut self, host: &mut Host, id: SocketId, mut meanwhile: impl FnMut(usize)) {
        loop {
            let now = host.runtime.now();
            let before = self.received.len();
            let done = host.turn_until(|stack| {
                let done = self.step(now, stack, id);
                (done || self.received.len() > before).then_some(done)
            });
            meanwhile(self.received.len());
            if done {
                break;
            }
        }
        assert!(self.received == self.data, "other bytes came back");
    }
}

fn close(host: &mut Host, id: SocketId, peer: JoinHandle<usize>) -> usize {
    let now = host.runtime.now();
    host.stack().close(now, id).unwrap();
    host.turn_until(|_| peer.is_finished().then_some(()));
    peer.join().unwrap()
}

#[test]
fn the_tap_is_deleted() {
    in_namespace(|| {
        with_tap(|mut host, index| {
            let (id, _peer) = connect_to_echo(&mut host);
            Exchange::of(100_000).run(&mut host, id, |_| {});
            Netlink::open().unwrap().delete_link(index).unwrap();
            let mut closed = 0;
            while closed == 0 {
                let end = host.runtime.now() + common::PATIENCE;
                let turn = host.runtime.turn(Some(end)).unwrap();
                assert!(!turn.deadline, "nobody saw that the TAP is gone");
                closed += turn.closed;
            }
            let (stack, link) = (host.id, host.link);
            assert!(!host.runtime.device(stack, link).unwrap().is_open());
            assert!(!host.stack().interfaces().get(link).unwrap().up);
            // The loop and the rest of the stack go on, without spinning.
            let now = host.runtime.now();
            let ping = host.stack().open_ping(None).unwrap();
            let message = common::echo(1, b"to ourselves");
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            host.stack().send_to(now, ping, to, &message).unwrap();
            host.turn_until(|stack| stack.recv(ping));
            let turn = host.runtime.turn(Some(host.runtime.now() + Duration::from_millis(1)));
            assert_eq!(turn.unwrap().closed, 0, "it is gone only once");
            // Another takes its place.
            host.runtime.detach(stack, link).unwrap();
            let sandbox = sandbox(SandboxKind::Tap, true, 1500).unwrap();
            host.link = host.runtime.attach(stack, sandbox.device).unwrap();
            let now = host.runtime.now();
            let (link, subnet) = (host.link, SUBNET.parse().unwrap());
            host.stack().add_address(now, link, subnet).unwrap();
            assert_eq!(host.ping(HOST_ADDR, 2, &pattern(100)), pattern(100));
        });
    });
}

/// What is sent meanwhile is lost, as on an interface without carrier, and is sent again.
#[test]
fn the_tap_is_down_for_a_while() {
    in_namespace(|| {
        with_tap(|mut host, index| {
            let (id, peer) = connect_to_echo(&mut host);
            let (len, mut down) = (4 << 20, false);
            let (stack, link) = (host.id, host.link);
            let up = Arc::new(AtomicBool::new(false));
            Exchange::of(len).run(&mut host, id, |received| {
                if received > len / 4 && !down {
                    down = true;
                    let mut netlink = Netlink::open().unwrap();
                    netlink.set_up(index, false).unwrap();
                    let up = Arc::clone(&up);
                    thread::spawn(move || {
                        thread::sleep(Duration::from_millis(300));
                        up.store(true, Ordering::SeqCst);
                        netlink.set_up(index, true).unwrap();
                    });
                }
            });
            assert!(up.load(Ordering::SeqCst), "all came back while the TAP was down");
            assert_eq!(close(&mut host, id, peer), len);
            let stats = host.runtime.port_stats(stack, link).unwrap();
            assert!(stats.transmit_errors > 0, "{stats:?}");
            assert!(host.stack().interfaces().get(link).unwrap().up);
        });
    });
}

#[test]
fn the_tap_has_another_name_and_mtu() {
    in_namespace(|| {
        with_tap(|mut host, index| {
            let (id, peer) = connect_to_echo(&mut host);
            let (stack, link) = (host.id, host.link);
            for (mtu, name) in [(9000, "bigger"), (600, "smaller"), (1500, "tap0")] {
                let mut netlink = Netlink::open().unwrap();
                let mut changed = false;
                let len = 1 << 20;
                Exchange::of(len).run(&mut host, id, |received| {
                    if received > len / 4 && !changed {
                        changed = true;
                        netlink.set_mtu(index, mtu).unwrap();
                        rename(index, name);
                    }
                });
                host.turn_until(|stack| {
                    (stack.interfaces().get(link)?.mtu == mtu as usize).then_some(())
                });
                let device = host.runtime.device(stack, link).unwrap();
                assert_eq!((device.name(), device.mtu()), (name, mtu as usize));
                // The whole of the new MTU and more passes either way.
                for len in [mtu as usize - 28, mtu as usize - 27, 20_000] {
                    assert_eq!(host.ping(HOST_ADDR, 1, &pattern(len)), pattern(len));
                }
            }
            assert_eq!(close(&mut host, id, peer), 3 << 20);
            assert_eq!(host.stack().interfaces().get(link).unwrap().name, "tap0");
            let stats = host.runtime.port_stats(stack, link).unwrap();
            assert_eq!((stats.transmit_errors, stats.truncated), (0, 0), "{stats:?}");
        });
    });
}

/// `RTM_NEWLINK` with a name; Linux renames an interface that is up since 6.2.
fn rename(index: u32, name: &str) {
    let mut value = name.as_bytes().to_vec();
    value.push(0);
    let mut body = vec![0; 16];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    request(RTM_NEWLINK, 0, &[body, attribute(IFLA_IFNAME, &value)].concat());
}

const RTM_NEWLINK: u16 = 16;
const RTM_NEWQDISC: u16 = 36;
const IFLA_IFNAME: u16 = 3;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_BURST: u16 = 6;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const TC_H_ROOT: u32 = 0xffff_ffff;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut attribute = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

/// Sends a request to the kernel (rtnetlink(7)) and takes its answer, which must be yes.
fn request(kind: u16, flags: u16, body: &[u8]) {
    let (family, raw) = (AddressFamily::NETLINK, SocketType::RAW);
    let socket = socket_with(family, raw, SocketFlags::CLOEXEC, None).unwrap();
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(common::PATIENCE)).unwrap();
    let mut message = (16 + body.len() as u32).to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((flags | NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).unwrap();
    let mut answer = [0; 1024];
    recv(&socket, &mut answer[..], RecvFlags::empty()).unwrap();
    let error = i32::from_ne_bytes(answer[16..20].try_into().unwrap());
    assert_eq!(error, 0, "{}", std::io::Error::from_raw_os_error(-error));
}

/// Puts a queue of `limit` bytes in front of an interface, which it leaves at `rate` bytes a second
/// (tc-tbf(8)).
fn set_queue(index: u32, rate: u32, limit: u32) {
    const BURST: u32 = 3000;
    let mut body = vec![0; 4];
    for word in [index, 0x0001_0000, TC_H_ROOT, 0] {
        body.extend(word.to_ne_bytes());
    }
    // `struct tc_tbf_qopt`: rate and peak rate, each cell_log, linklayer (1 is Ethernet), overhead,
    // cell_align, mpu and rate; limit, buffer, mtu.
    let mut parms = vec![0, 1, 0, 0, 0, 0, 0, 0];
    parms.extend(rate.to_ne_bytes());
    parms.extend([0; 12]);
    for word in [limit, BURST, 0] {
        parms.extend(word.to_ne_bytes());
    }
    let options =
        [attribute(TCA_TBF_PARMS, &parms), attribute(TCA_TBF_BURST, &BURST.to_ne_bytes())];
    body.extend(attribute(TCA_KIND, b"tbf\0"));
    body.extend(attribute(TCA_OPTIONS, &options.concat()));
    request(RTM_NEWQDISC, NLM_F_CREATE, &body);
}

/// With room for a few frames the queue refuses (`ENOBUFS`), with more than the socket's buffer the
/// socket does (`EAGAIN`); either way nothing is lost and the order stays.
fn a_full_queue(limit: u32) {
    const COUNT: u32 = 400;
    let mut netlink = Netlink::open().unwrap();
    netlink.create_veth("kernel", "ours").unwrap();
    let [kernel, ours] = ["kernel", "ours"].map(|name| netlink.link(name).unwrap().unwrap().index);
    netlink.configure(kernel, Some("10.0.0.1/24".parse().unwrap())).unwrap();
    netlink.set_up(ours, true).unwrap();
    while !netlink.links().unwrap().iter().all(|l| l.name == "lo" || l.is_operational()) {
        thread::yield_now();
    }
    let device = PacketSocket::open("ours", OUR_MAC).unwrap();
    let mut host = Host::new(device, SUBNET);
    host.ping(HOST_ADDR, 1, b"hello");
    set_queue(ours, 4_000_000, limit);

    let receiver = UdpSocket::bind((HOST_ADDR, 7)).unwrap();
    receiver.set_read_timeout(Some(common::PATIENCE)).unwrap();
    // All of it fits, however late the receiver is; an ordinary user's is not late for long.
    let level = libc::SOL_SOCKET;
    set_socket_option(&receiver, level, libc::SO_RCVBUFFORCE, 4 << 20)
        .or_else(|_| set_socket_option(&receiver, level, libc::SO_RCVBUF, 4 << 20))
        .unwrap();
    let receiving = thread::spawn(move || {
        let mut buffer = [0; 2000];
        let mut received = Vec::new();
        while received.len() < COUNT as usize {
            let (len, _) = receiver.recv_from(&mut buffer).unwrap();
            assert_eq!(len, 1000);
            received.push(u32::from_be_bytes(buffer[..4].try_into().unwrap()));
        }
        received
    });
    let id = host.stack().open_udp().unwrap();
    let mut data = [0; 1000];
    for n in 0..COUNT {
        data[..4].copy_from_slice(&n.to_be_bytes());
        let now = host.runtime.now();
        host.turn_until(|stack| match stack.send_to(now, id, (HOST_ADDR, 7).into(), &data) {
            Ok(()) => Some(()),
            Err(SocketError::WouldBlock | SocketError::NoBufferSpace) => None,
            Err(error) => panic!("{error}"),
        });
    }
    host.turn_until(|_| receiving.is_finished().then_some(()));
    assert_eq!(receiving.join().unwrap(), (0..COUNT).collect::<Vec<_>>());
    let stats = host.runtime.port_stats(host.id, host.link).unwrap();
    assert!(stats.blocked > 0 && stats.transmit_errors == 0, "{stats:?}");
    assert_eq!(host.stack().snapshot().dropped(DropReason::TxQueueFull), 0);
}

#[test]
fn the_queue_behind_the_device_is_full() {
    in_namespace(|| a_full_queue(5_000));
}

#[test]
fn the_buffer_of_the_socket_is_full() {
    in_namespace(|| a_full_queue(10_000_000));
}

#[test]
fn signals_interrupt_every_call() {
    in_namespace(|| {
        with_tap(|mut host, _| {
            let flag = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&flag)).unwrap();
            let (id, peer) = connect_to_echo(&mut host);
            let stop = Arc::new(AtomicBool::new(false));
            let interrupting = {
                let stop = Arc::clone(&stop);
                thread::spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        kill_process(getpid(), Signal::USR1).unwrap();
                        thread::sleep(Duration::from_micros(50));
                    }
                })
            };
            Exchange::of(8 << 20).run(&mut host, id, |_| {});
            stop.store(true, Ordering::SeqCst);
            interrupting.join().unwrap();
            assert!(flag.load(Ordering::SeqCst), "nothing was interrupted");
            assert_eq!(close(&mut host, id, peer), 8 << 20);
            let stats = host.runtime.port_stats(host.id, host.link).unwrap();
            assert_eq!((stats.transmit_errors, stats.receive_errors), (0, 0), "{stats:?}");
        });
    });
}

/// No retransmission timer runs for what was acknowledged while the process was stopped. (A loss
/// probe may come on a machine so busy that the loop stands still between two frames.)
#[test]
fn the_process_is_stopped_for_a_while() {
    in_namespace(|| {
        with_tap(|mut host, _| {
            let (id, peer) = connect_to_echo(&mut host);
            let me = getpid().as_raw_nonzero();
            // Longer than the retransmission timeout, three times.
            let script = format!(
                "for n in 1 2 3; do sleep 0.02; kill -STOP {me}; sleep 0.7; kill -CONT {me}; done"
            );
            let mut stopper = Command::new("sh").args(["-c", &script]).spawn().unwrap();
            let mut len = 0;
            while stopper.try_wait().unwrap().is_none() {
                Exchange::of(1 << 20).run(&mut host, id, |_| {});
                len += 1 << 20;
            }
            assert_eq!(close(&mut host, id, peer), len);
            let snapshot = host.stack().snapshot();
            assert_eq!(snapshot.tcp_ext.tcp_timeouts, 0, "{:#?}", snapshot.tcp_ext);
        });
    });
}

/// The same when the caller stays away, with one answer on its way for certain: a probe for that waits
/// as long as the timer.
#[test]
fn the_caller_is_away_for_a_while() {
    in_namespace(|| {
        with_tap(|mut host, _| {
            let (id, peer) = connect_to_slow_echo(&mut host, Duration::from_millis(10));
            // The kernel leaves acknowledgments to the answers.
            for _ in 0..20 {
                Exchange::of(100).run(&mut host, id, |_| {});
            }
            for _ in 0..3 {
                let now = host.runtime.now();
                host.stack().send(now, id, &pattern(100)).unwrap();
                host.runtime.flush().unwrap();
                thread::sleep(Duration::from_millis(700));
                let mut buffer = [0; 100];
                let now = host.runtime.now();
                host.turn_until(|stack| stack.receive(now, id, &mut buffer).ok());
            }
            assert_eq!(close(&mut host, id, peer), 2300);
            let snapshot = host.stack().snapshot();
            assert_eq!(snapshot.tcp.retrans_segs, 0, "{:#?}", snapshot.tcp_ext);
        });
    });
}
