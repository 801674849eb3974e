//! The kernel as a script's host: a TAP interface in a network of the thread's own, and sockets.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use libc::{IPPROTO_IP, IPPROTO_TCP, SOL_SOCKET};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use tapping_drivers::device::Device;
use tapping_drivers::error::DeviceError;
use tapping_drivers::netlink::Netlink;
use tapping_drivers::sandbox::{Sandbox, SandboxConfig, SandboxError, SandboxKind};
use tapping_drivers::testing::{own_network, set_socket_option, socket_option};
use tapping_stack::packet::{Packet, PacketPool};
use tapping_stack::tcp;
use tapping_stack::time::Instant;
use tapping_stack::wire::{EtherType, Ethernet, Ipv4, MacAddr};

use super::harness::call::Op;
use super::harness::flow::{LOCAL, PEER};
use super::harness::host::{Host, Outcome, errno, payload};

const PEER_MAC: MacAddr = MacAddr([0x02, 0x74, 0, 0, 0, 0xee]);

/// The kernel's TCP, with one interface that leads to the script.
pub struct Kernel {
    device: Box<dyn Device>,
    poll: Poll,
    pool: PacketPool,
    mac: MacAddr,
    sockets: HashMap<i32, Socket>,
}

struct Socket {
    fd: OwnedFd,
    non_blocking: bool,
    connecting: bool,
    written: u64,
    read: u64,
}

impl Socket {
    fn new(fd: OwnedFd) -> Self {
        Socket { fd, non_blocking: false, connecting: false, written: 0, read: 0 }
    }
}

impl Kernel {
    /// Takes the calling thread into a network of its own, with the settings there. `None` where
    /// the system lets nobody have a TAP.
    pub fn new(settings: &[(String, String)]) -> Result<Option<Self>, String> {
        own_network().map_err(|error| format!("a network for the thread: {error}"))?;
        let mtu = settings.iter().find(|(name, _)| name == "mtu");
        let config = SandboxConfig {
            name: "tap0".to_owned(),
            mac: PEER_MAC,
            host_address: None,
            mtu: mtu.map_or(1500, |(_, mtu)| mtu.parse().expect("an MTU")),
            kind: Some(SandboxKind::Tap),
            offload: false,
        };
        let sandbox = match Sandbox::set_up(&config) {
            Ok(sandbox) => sandbox,
            Err(SandboxError::Device(
                DeviceError::NoTun(_) | DeviceError::TunAccess(_) | DeviceError::Permission { .. },
            )) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        for (name, value) in settings.iter().filter(|(name, _)| name != "mtu") {
            let scope = if name == "somaxconn" { "core" } else { "ipv4" };
            let path = format!("/proc/sys/net/{scope}/{name}");
            std::fs::write(&path, value).map_err(|error| format!("{path} = {value}: {error}"))?;
        }
        let mut netlink = Netlink::open().map_err(|error| error.to_string())?;
        let index = sandbox.host.index;
        // Nobody asks for anybody's link-layer address.
        netlink.set_no_arp(index, true).map_err(|error| error.to_string())?;
        let address = format!("{LOCAL}/24").parse().expect("a prefix");
        netlink.add_address(index, address).map_err(|error| error.to_string())?;
        let poll = Poll::new().map_err(|error| error.to_string())?;
        let fd = sandbox.device.raw_fd().expect("a TAP has a descriptor");
        let registered = poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE);
        registered.map_err(|error| error.to_string())?;
        Ok(Some(Kernel {
            device: sandbox.device,
            poll,
            pool: PacketPool::new(16, 16),
            mac: sandbox.host.mac.expect("a TAP has an address"),
            sockets: HashMap::new(),
        }))
    }

    /// Waits until the kernel sends something, at most so long.
    pub fn wait(&mut self, time: Duration) {
        // An interrupted wait is a short one.
        let _ = self.poll.poll(&mut Events::with_capacity(1), Some(time));
    }

    fn socket_call(&mut self, fd: i32, op: &Op, new: i32) -> Result<Outcome, Errno> {
        let socket = self.sockets.get_mut(&fd).ok_or(Errno::BADF)?;
        match op {
            Op::Bind { port } => {
                net::bind(&socket.fd, &SocketAddrV4::new(LOCAL, port.unwrap_or(8080)))?;
            }
            Op::Listen { backlog } => net::listen(&socket.fd, *backlog as i32)?,
            Op::Accept => {
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                let accepted = net::accept_with(&socket.fd, flags)?;
                self.sockets.insert(new, Socket::new(accepted));
                return Ok(Outcome::Value(new.into()));
            }
            Op::Connect { port } => return socket.connect(PEER, port.unwrap_or(8080)),
            Op::Disconnect => {
                net::connect_unspec(&socket.fd)?;
                (socket.written, socket.read) = (0, 0);
            }
            Op::Send { len, flags: wanted } => {
                let mut flags = SendFlags::NOSIGNAL;
                for (flag, name) in [
                    (SendFlags::MORE, tcp::SendFlags::MORE),
                    (SendFlags::OOB, tcp::SendFlags::URGENT),
                    (SendFlags::EOR, tcp::SendFlags::END_OF_RECORD),
                ] {
                    flags.set(flag, wanted.contains(name));
                }
                let sent = net::send(&socket.fd, &payload(socket.written, *len), flags)?;
                socket.written += sent as u64;
                return Ok(Outcome::Value(sent as i64));
            }
            Op::Receive { len, peek } => return socket.receive(*len, *peek),
            Op::ReceiveUrgent { peek } => return socket.receive_urgent(*peek),
            Op::Shutdown { read, write } => {
                let how = match (read, write) {
                    (true, true) => net::Shutdown::Both,
                    (true, false) => net::Shutdown::Read,
                    _ => net::Shutdown::Write,
                };
                net::shutdown(&socket.fd, how)?;
            }
            Op::Abort => sockopt::set_socket_linger(&socket.fd, Some(Duration::ZERO))?,
            Op::NonBlocking(on) => socket.non_blocking = *on,
            Op::Set { name, values, text } => return socket.set(name, values, text),
            Op::Get { name, expected } => return socket.get(name, expected),
            Op::Socket { .. } | Op::Close | Op::Use => {}
            Op::SendTo { .. } | Op::Poll { .. } | Op::State(_) => return Err(Errno::NOSYS),
        }
        Ok(Outcome::Value(0))
    }
}

impl Host for Kernel {
    fn deliver(&mut self, _: Instant, packet: Vec<u8>) {
        let header = [&self.mac.0[..], &PEER_MAC.0, &EtherType::IPV4.0.to_be_bytes()].concat();
        let mut frame = Packet::from_slice(&[header, packet].concat());
        loop {
            match self.device.transmit(frame) {
                Ok(_) => return,
                Err(refused) if refused.is_would_block() => frame = refused.packet,
                Err(refused) => panic!("{refused}"),
            }
        }
    }

    fn transmit(&mut self, _: Instant) -> Option<Vec<u8>> {
        while let Some(packet) = self.device.receive(&mut self.pool).expect("receive") {
            let frame = Ethernet::parse(packet.bytes()).expect("a frame");
            let ip = match frame.ethertype() {
                EtherType::IPV4 => Ipv4::parse(frame.payload()).expect("an IPv4 packet"),
                _ => continue,
            };
            if ip.dst() == PEER {
                return Some(frame.payload()[..ip.total_len()].to_vec());
            }
        }
        None
    }

    fn timeout(&self) -> Option<Instant> {
        None
    }

    fn wake(&mut self, _: Instant) {}

    fn call(&mut self, _: Instant, fd: i32, op: &Op, new: i32) -> Result<Outcome, i32> {
        if let Op::Socket { .. } = op {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let opened = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None);
            let opened = opened.map_err(Errno::raw_os_error)?;
            self.sockets.insert(new, Socket::new(opened));
            return Ok(Outcome::Value(new.into()));
        }
        let result = self.socket_call(fd, op, new);
        if matches!(op, Op::Close | Op::Abort) {
            self.sockets.remove(&fd);
        }
        let blocks = self.sockets.get(&fd).is_some_and(|socket| !socket.non_blocking);
        match result {
            Err(Errno::AGAIN | Errno::INPROGRESS) if blocks => Ok(Outcome::Blocks),
            result => result.map_err(Errno::raw_os_error),
        }
    }

    fn counters(&self) -> HashMap<String, u64> {
        HashMap::new()
    }

    /// `struct tcp_info` in `linux/tcp.h`.
    fn info(&mut self, _: Instant, fd: i32, field: &str) -> Option<i64> {
        let socket = self.sockets.get(&fd)?;
        let mut info = [0; 256];
        socket_option(&socket.fd, IPPROTO_TCP, libc::TCP_INFO, &mut info).ok()?;
        let byte = |at: usize| i64::from(info[at]);
        let word = |at: usize| {
            i64::from(u32::from_ne_bytes(*info[at..].first_chunk().expect("within the buffer")))
        };
        Some(match field.strip_prefix("tcpi_").unwrap_or(field) {
            "state" => byte(0),
            "ca_state" => byte(1),
            "retransmits" => byte(2),
            "probes" => byte(3),
            "backoff" => byte(4),
            "rto" => word(8),
            "ato" => word(12),
            "snd_mss" => word(16),
            "rcv_mss" => word(20),
            "unacked" => word(24),
            "sacked" => word(28),
            "lost" => word(32),
            "retrans" => word(36),
            "pmtu" => word(60),
            "rcv_ssthresh" => word(64),
            "snd_ssthresh" => word(76),
            "snd_cwnd" => word(80),
            "advmss" => word(84),
            "reordering" => word(88),
            "total_retrans" => word(100),
            _ => return None,
        })
    }
}

impl Socket {
    fn connect(&mut self, to: Ipv4Addr, port: u16) -> Result<Outcome, Errno> {
        net::connect(&self.fd, &SocketAddrV4::new(to, port))?;
        self.connecting = false;
        Ok(Outcome::Value(0))
    }

    fn receive(&mut self, len: usize, peek: bool) -> Result<Outcome, Errno> {
        let mut buffer = vec![0; len];
        let flags = if peek { RecvFlags::PEEK } else { RecvFlags::empty() };
        let (received, _) = net::recv(&self.fd, &mut buffer[..], flags)?;
        // The urgent byte may have been passed over.
        let holds = |start| buffer[..received] == payload(start, received);
        if !holds(self.read) && holds(self.read + 1) {
            self.read += 1;
        }
        if !holds(self.read) {
            return Ok(Outcome::Wrong("what was received is not what was sent".into()));
        }
        if !peek {
            self.read += received as u64;
        }
        Ok(Outcome::Value(received as i64))
    }

    fn receive_urgent(&mut self, peek: bool) -> Result<Outcome, Errno> {
        let mut flags = RecvFlags::OOB;
        flags.set(RecvFlags::PEEK, peek);
        let mut byte = [0];
        let (received, _) = net::recv(&self.fd, &mut byte[..], flags)?;
        Ok(Outcome::Value(received as i64))
    }

    fn set(&self, name: &str, values: &[i64], text: &str) -> Result<Outcome, Errno> {
        let value = values.first().copied().unwrap_or(0) as i32;
        let (level, option) = match name {
            "IP_TOS" => (IPPROTO_IP, libc::IP_TOS),
            "IP_TTL" => (IPPROTO_IP, libc::IP_TTL),
            "SO_REUSEADDR" => (SOL_SOCKET, libc::SO_REUSEADDR),
            "SO_KEEPALIVE" => (SOL_SOCKET, libc::SO_KEEPALIVE),
            "SO_OOBINLINE" => (SOL_SOCKET, libc::SO_OOBINLINE),
            "SO_SNDBUF" => (SOL_SOCKET, libc::SO_SNDBUF),
            "SO_RCVBUF" => (SOL_SOCKET, libc::SO_RCVBUF),
            "SO_RCVLOWAT" => (SOL_SOCKET, libc::SO_RCVLOWAT),
            "TCP_NODELAY" => (IPPROTO_TCP, libc::TCP_NODELAY),
            "TCP_CORK" => (IPPROTO_TCP, libc::TCP_CORK),
            "TCP_QUICKACK" => (IPPROTO_TCP, libc::TCP_QUICKACK),
            "TCP_MAXSEG" => (IPPROTO_TCP, libc::TCP_MAXSEG),
            "TCP_KEEPIDLE" => (IPPROTO_TCP, libc::TCP_KEEPIDLE),
            "TCP_KEEPINTVL" => (IPPROTO_TCP, libc::TCP_KEEPINTVL),
            "TCP_KEEPCNT" => (IPPROTO_TCP, libc::TCP_KEEPCNT),
            "TCP_SYNCNT" => (IPPROTO_TCP, libc::TCP_SYNCNT),
            "TCP_LINGER2" => (IPPROTO_TCP, libc::TCP_LINGER2),
            "TCP_DEFER_ACCEPT" => (IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
            "TCP_WINDOW_CLAMP" => (IPPROTO_TCP, libc::TCP_WINDOW_CLAMP),
            "TCP_USER_TIMEOUT" => (IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
            "SO_LINGER" => {
                let time = Duration::from_secs(values.get(1).map_or(0, |time| *time as u64));
                sockopt::set_socket_linger(&self.fd, (value != 0).then_some(time))?;
                return Ok(Outcome::Value(0));
            }
            "TCP_CONGESTION" => {
                sockopt::set_tcp_congestion(&self.fd, text)?;
                return Ok(Outcome::Value(0));
            }
            other => return Ok(Outcome::Wrong(format!("there is no option {other}"))),
        };
        match set_socket_option(self.fd.as_fd(), level, option, value) {
            Ok(()) => Ok(Outcome::Value(0)),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL)),
        }
    }

    fn get(&self, name: &str, expected: &str) -> Result<Outcome, Errno> {
        let actual = match name {
            "SO_ERROR" => match sockopt::socket_error(&self.fd)? {
                Ok(()) => 0,
                Err(error) => i64::from(error.raw_os_error()),
            },
            other => return Ok(Outcome::Wrong(format!("there is no option {other} to read"))),
        };
        let expected = errno(expected).map(i64::from).or(expected.parse().ok());
        Ok(match expected == Some(actual) {
            true => Outcome::Value(0),
            false => Outcome::Wrong(format!("{name} is {actual}, not {expected:?}")),
        })
    }
}
