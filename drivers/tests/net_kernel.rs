//! Services on a stack that runs by itself, and plain sockets of the kernel as their clients.

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown as Half, SocketAddrV4, TcpStream as KernelStream};
use std::thread;
use std::time::Duration;

use common::{OUR_ADDR, over_both_devices, sandbox};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use rustix::net::{AddressFamily, SocketType, connect, socket};
use tapping_drivers::aio::{TcpListener, TcpStream};
use tapping_drivers::net::Net;
use tapping_drivers::netlink::Netlink;
use tapping_drivers::sandbox::{Sandbox, SandboxKind};
use tapping_drivers::testing::in_namespace;

/// Sends back what comes.
const ECHO: u16 = 7;
/// Takes content in, and at the end says how much it was.
const SINK: u16 = 9;
/// Sends as much content as it is asked for.
const SOURCE: u16 = 19;
const BLOCK: usize = 64 << 10;
/// Of the kernel's settings for its side of connections.
const OFF: [&str; 4] = ["tcp_timestamps", "tcp_sack", "tcp_window_scaling", "tcp_ecn"];

over_both_devices! {
    a_thousand_connections_at_once
    half_close_still_receives_everything
    slow_readers_with_tiny_windows
}

/// The content of a connection in either direction: no word of it comes again.
fn fill(position: usize, block: &mut [u8]) {
    for (word, n) in block.as_chunks_mut::<8>().0.iter_mut().zip(position as u64 / 8..) {
        *word = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    }
}

#[track_caller]
fn check(position: usize, block: &[u8]) {
    for (word, n) in block.as_chunks::<8>().0.iter().zip(position as u64 / 8..) {
        let right = u64::from_le_bytes(*word) == n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        assert!(right, "wrong within the 8 bytes from {}", n * 8);
    }
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BLOCK];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return stream.shutdown(Half::Write),
            len => stream.write_all(&buffer[..len]).await?,
        }
    }
}

async fn sink(stream: TcpStream) -> io::Result<()> {
    let (mut block, mut filled, mut total) = (vec![0; BLOCK], 0, 0);
    loop {
        match stream.read(&mut block[filled..]).await? {
            0 => break,
            len => filled += len,
        }
        if filled == BLOCK {
            check(total, &block);
            total += filled;
            filled = 0;
        }
    }
    check(total, &block[..filled]);
    stream.write_all(&(total + filled).to_le_bytes()).await
}

async fn source(stream: TcpStream) -> io::Result<()> {
    let mut wanted = [0; 8];
    stream.read_exact(&mut wanted).await?;
    let mut block = vec![0; BLOCK];
    for position in (0..usize::from_le_bytes(wanted)).step_by(BLOCK) {
        fill(position, &mut block);
        stream.write_all(&block).await?;
    }
    Ok(())
}

/// A stack with the three services.
fn serve(sandbox: Sandbox) -> Net {
    let address = format!("{OUR_ADDR}/24").parse().unwrap();
    let net = Net::builder().device(sandbox.device).address(address).seed(1).start().unwrap();
    on(&net, ECHO, echo);
    on(&net, SINK, sink);
    on(&net, SOURCE, source);
    net
}

/// Serves every connection to a port with a task of its own.
fn on<F>(net: &Net, port: u16, service: fn(TcpStream) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(net, (OUR_ADDR, port).into()).unwrap();
    net.spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            listener.net().spawn(service(stream));
        }
    });
}

fn connect_to(port: u16) -> KernelStream {
    KernelStream::connect((OUR_ADDR, port)).unwrap()
}

/// A connection whose buffers on the kernel's side are as small as it allows.
fn connect_small(port: u16) -> KernelStream {
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    set_socket_recv_buffer_size(&fd, 1).unwrap();
    set_socket_send_buffer_size(&fd, 1).unwrap();
    connect(&fd, &SocketAddrV4::new(OUR_ADDR, port)).unwrap();
    fd.into()
}

/// Has the stack check `len` bytes.
fn send(mut stream: KernelStream, len: usize) {
    let mut block = vec![0; BLOCK];
    for position in (0..len).step_by(BLOCK) {
        fill(position, &mut block);
        stream.write_all(&block).unwrap();
    }
    stream.shutdown(Half::Write).unwrap();
    let mut total = [0; 8];
    stream.read_exact(&mut total).unwrap();
    assert_eq!(usize::from_le_bytes(total), len);
}

/// Checks `len` bytes of the stack's, and its end.
fn receive(mut stream: KernelStream, len: usize) {
    stream.write_all(&len.to_le_bytes()).unwrap();
    let mut block = vec![0; BLOCK];
    for position in (0..len).step_by(BLOCK) {
        stream.read_exact(&mut block).unwrap();
        check(position, &block);
    }
    assert_eq!(stream.read(&mut block).unwrap(), 0);
}

/// The kernel's counters in this namespace (proc_pid_net(5)).
fn kernel_counters() -> HashMap<String, u64> {
    let mut counters = HashMap::new();
    for (file, kind) in [("snmp", "Tcp"), ("netstat", "TcpExt")] {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(": "));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        // MaxConn is -1.
        let values = values.split(' ').map(|value| value.parse().unwrap_or(0));
        counters.extend(names.split(' ').map(str::to_owned).zip(values));
    }
    counters
}

fn set_kernel(name: &str, value: u8) {
    fs::write(format!("/proc/sys/net/ipv4/{name}"), value.to_string()).unwrap();
}

/// Each way over a TAP, where nothing is lost: so nothing may be sent twice but for the probes of
/// a sender that an answer took long to reach, and no sum may be wrong.
#[test]
fn a_gibibyte_each_way() {
    in_namespace(|| {
        let Some(sandbox) = sandbox(SandboxKind::Tap, true, 1500) else { return };
        let net = serve(sandbox);
        send(connect_to(SINK), 1 << 30);
        receive(connect_to(SOURCE), 1 << 30);
        let kernels = kernel_counters();
        for name in ["InErrs", "InCsumErrors", "TCPFastRetrans", "TCPTimeouts"] {
            assert_eq!(kernels[name], 0, "{name} of the kernel: {kernels:?}");
        }
        assert!(kernels["RetransSegs"] <= kernels["TCPLossProbes"], "{kernels:?}");
        let ours = net.with(|stack, _| stack.snapshot()).tcp;
        assert_eq!((ours.in_errs, ours.in_csum_errors), (0, 0));
    });
}

#[test]
fn both_directions_of_many_connections() {
    in_namespace(|| {
        let Some(sandbox) = sandbox(SandboxKind::Tap, true, 1500) else { return };
        let _net = serve(sandbox);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| send(connect_to(SINK), 16 << 20));
                scope.spawn(|| receive(connect_to(SOURCE), 16 << 20));
            }
        });
    });
}

fn a_thousand_connections_at_once(sandbox: Sandbox) {
    let net = serve(sandbox);
    let mut streams: Vec<_> = (0..1000).map(|_| connect_to(ECHO)).collect();
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&n.to_le_bytes()).unwrap();
    }
    for (n, stream) in streams.iter_mut().enumerate().rev() {
        let mut reply = [0; 8];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(usize::from_le_bytes(reply), n);
    }
    assert!(net.with(|stack, _| stack.tcp_sockets().count()) >= 1000);
    for mut stream in streams {
        stream.shutdown(Half::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}

fn half_close_still_receives_everything(sandbox: Sandbox) {
    let _net = serve(sandbox);
    let mut stream = connect_to(ECHO);
    let len = 4 << 20;
    let mut writer = stream.try_clone().unwrap();
    let writing = thread::spawn(move || {
        let mut content = vec![0; len];
        fill(0, &mut content);
        writer.write_all(&content).unwrap();
        writer.shutdown(Half::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert_eq!(received.len(), len);
    check(0, &received);
}

fn slow_readers_with_tiny_windows(sandbox: Sandbox) {
    let _net = serve(sandbox);
    send(connect_small(SINK), 256 << 10);
    let len = 64usize << 10;
    let mut stream = connect_small(SOURCE);
    stream.write_all(&len.to_le_bytes()).unwrap();
    // The window closes and opens again, some times.
    let mut content = vec![0; len];
    for (n, piece) in content.chunks_mut(1000).enumerate() {
        if n % 8 == 0 {
            thread::sleep(Duration::from_millis(5));
        }
        stream.read_exact(piece).unwrap();
    }
    check(0, &content);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// What the kernel does not offer is not used, and everything passes all the same.
#[test]
fn a_kernel_without_options() {
    in_namespace(|| {
        let Some(sandbox) = sandbox(SandboxKind::Tap, true, 1500) else { return };
        let net = serve(sandbox);
        let agreed = |stream: &KernelStream| {
            let port = stream.local_addr().unwrap().port();
            net.with(|stack, _| {
                let mut ids = stack.tcp_sockets().map(|(id, _)| id).collect::<Vec<_>>();
                ids.retain(|id| stack.peer_addr(*id).is_ok_and(|peer| peer.port() == port));
                let info = stack.tcp_info(ids[0]).unwrap();
                [info.timestamps, info.sack, info.wscale.is_some(), info.ecn]
            })
        };
        // All but one; then none.
        set_kernel("tcp_ecn", 1);
        for off in OFF.map(Some).into_iter().chain([None]) {
            for name in OFF {
                let on = off.is_some_and(|off| off != name);
                set_kernel(name, u8::from(on));
            }
            let mut stream = connect_to(ECHO);
            stream.write_all(b"agreed?").unwrap();
            stream.read_exact(&mut [0; 7]).unwrap();
            let expected = OFF.map(|name| off.is_some_and(|off| off != name));
            assert_eq!(agreed(&stream), expected, "without {off:?}");
            send(connect_to(SINK), 4 << 20);
            receive(connect_to(SOURCE), 4 << 20);
        }
    });
}

/// Whoever sends finds the interface down for a while, and goes on when it is up again.
#[test]
fn a_connection_survives_its_interface_being_down() {
    in_namespace(|| {
        let Some(sandbox) = sandbox(SandboxKind::Tap, true, 1500) else { return };
        let _net = serve(sandbox);
        let mut netlink = Netlink::open().unwrap();
        let link = netlink.link("tap0").unwrap().unwrap();
        let sending = thread::spawn(|| send(connect_to(SINK), 256 << 20));
        let receiving = thread::spawn(|| receive(connect_to(SOURCE), 256 << 20));
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(30));
            netlink.set_up(link.index, false).unwrap();
            thread::sleep(Duration::from_millis(30));
            netlink.set_up(link.index, true).unwrap();
        }
        sending.join().unwrap();
        receiving.join().unwrap();
    });
}
