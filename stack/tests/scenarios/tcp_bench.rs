//! TCP seen from outside: a host under test, and a neighbour whose segments are made by hand.

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use tapping_stack::config::TcpConfig;
use tapping_stack::socket::Readiness;
use tapping_stack::stats::{TcpExtMib, TcpMib};
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::ipv4::pseudo_header_sum;
use tapping_stack::wire::{
    Message, Protocol, SackBlock, SeqNumber, Tcp, TcpFlags, TcpOption, TcpOptions, TcpOptionsRepr,
    TcpRepr, tcp,
};
use tapping_stack::{Config, LinkId, SocketError, SocketId, Stack};

use crate::lab::*;

pub const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Another address of the host.
pub const ALSO_US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
pub const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn at(addr: Ipv4Addr, port: u16) -> SocketAddr {
    (addr, port).into()
}

/// Settings of TCP alone.
pub fn config(change: impl FnOnce(&mut TcpConfig)) -> Config {
    let mut config = Config::default();
    change(&mut config.tcp);
    config
}

/// A segment: to inject, or heard.
#[derive(Debug, Clone)]
#[allow(dead_code)]
pub struct Seg {
    pub src: SocketAddrV4,
    pub dst: SocketAddrV4,
    pub seq: SeqNumber,
    pub ack: SeqNumber,
    pub flags: TcpFlags,
    pub window: u16,
    pub urgent: u16,
    pub mss: Option<u16>,
    pub wscale: Option<u8>,
    pub sack_ok: bool,
    pub ts: Option<(u32, u32)>,
    pub sack: Vec<SackBlock>,
    pub payload: Vec<u8>,
    pub tos: u8,
    pub ttl: u8,
    pub df: bool,
    /// When it was heard.
    pub at: Instant,
    /// The packet it was in.
    pub packet: Vec<u8>,
}

impl Seg {
    pub fn new(src: SocketAddrV4, dst: SocketAddrV4, flags: TcpFlags) -> Self {
        Seg {
            src,
            dst,
            seq: SeqNumber(0),
            ack: SeqNumber(0),
            flags,
            window: 65_535,
            urgent: 0,
            mss: None,
            wscale: None,
            sack_ok: false,
            ts: None,
            sack: Vec::new(),
            payload: Vec::new(),
            tos: 0,
            ttl: 64,
            df: true,
            at: Instant::ZERO,
            packet: Vec::new(),
        }
    }

    pub fn is(&self, flags: TcpFlags) -> bool {
        self.flags - TcpFlags::PSH == flags
    }

    pub fn is_syn_ack(&self) -> bool {
        self.is(TcpFlags::SYN | TcpFlags::ACK)
    }

    /// A RST that the peer believes, with or without ACK.
    pub fn is_rst(&self) -> bool {
        self.flags.contains(TcpFlags::RST)
    }

    /// The packet's bytes.
    pub fn build(&self) -> Vec<u8> {
        let repr = TcpRepr {
            src_port: self.src.port(),
            dst_port: self.dst.port(),
            seq: self.seq,
            ack: self.ack,
            flags: self.flags,
            window: self.window,
            urgent: self.urgent,
            options: TcpOptionsRepr {
                mss: self.mss,
                window_scale: self.wscale,
                sack_permitted: self.sack_ok,
                timestamps: self.ts,
                sack: &self.sack,
                ..TcpOptionsRepr::default()
            },
        };
        let mut bytes = vec![0; repr.header_len()];
        repr.emit(&mut bytes);
        bytes.extend_from_slice(&self.payload);
        let (src, dst) = (*self.src.ip(), *self.dst.ip());
        let pseudo = pseudo_header_sum(src, dst, Protocol::TCP, bytes.len() as u16);
        tcp::fill_checksum(&mut bytes, pseudo);
        Ip::new(src, dst, Protocol::TCP, bytes).df().tos(self.tos).build()
    }

    /// Reads a packet; `None` if it is not TCP.
    pub fn read(at: Instant, packet: &[u8]) -> Option<Seg> {
        let ip = ipv4(packet);
        if ip.protocol() != Protocol::TCP {
            return None;
        }
        let tcp = Tcp::parse(ip.payload()).expect("a TCP segment");
        let src = SocketAddrV4::new(ip.src(), tcp.src_port());
        let dst = SocketAddrV4::new(ip.dst(), tcp.dst_port());
        let mut seg = Seg {
            seq: tcp.seq(),
            ack: tcp.ack(),
            window: tcp.window(),
            urgent: tcp.urgent(),
            payload: tcp.payload().to_vec(),
            tos: ip.tos(),
            ttl: ip.ttl(),
            df: ip.dont_fragment(),
            at,
            packet: packet.to_vec(),
            ..Seg::new(src, dst, tcp.flags())
        };
        for option in TcpOptions::new(tcp.options()) {
            match option.expect("options that can be read") {
                TcpOption::MaximumSegmentSize(mss) => seg.mss = Some(mss),
                TcpOption::WindowScale(shift) => seg.wscale = Some(shift),
                TcpOption::SackPermitted => seg.sack_ok = true,
                TcpOption::Timestamps { value, echo } => seg.ts = Some((value, echo)),
                _ => {}
            }
        }
        Some(seg)
    }
}

/// The other end of a connection, in order.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Where the peer is, and the host's end.
    pub addr: SocketAddrV4,
    pub host: SocketAddrV4,
    /// The peer's next number, and the host's next that it expects.
    pub seq: SeqNumber,
    pub ack: SeqNumber,
    pub window: u16,
}

impl Peer {
    pub fn new(addr: Ipv4Addr, port: u16, host: Ipv4Addr, host_port: u16) -> Self {
        Peer {
            addr: SocketAddrV4::new(addr, port),
            host: SocketAddrV4::new(host, host_port),
            seq: SeqNumber(0x7fff_f000),
            ack: SeqNumber(0),
            window: 65_535,
        }
    }

    pub fn seg(&self, flags: TcpFlags) -> Seg {
        let ack = if flags.contains(TcpFlags::ACK) { self.ack } else { SeqNumber(0) };
        let (seq, window) = (self.seq, self.window);
        Seg { seq, ack, window, ..Seg::new(self.addr, self.host, flags) }
    }

    pub fn syn(&mut self) -> Seg {
        let seg = Seg { mss: Some(1460), ..self.seg(TcpFlags::SYN) };
        self.seq += 1;
        seg
    }

    /// Answers the host's SYN.
    pub fn syn_ack(&mut self, syn: &Seg) -> Seg {
        self.ack = syn.seq + 1;
        let seg = Seg { mss: Some(1460), ..self.seg(TcpFlags::SYN | TcpFlags::ACK) };
        self.seq += 1;
        seg
    }

    pub fn ack(&self) -> Seg {
        self.seg(TcpFlags::ACK)
    }

    pub fn data(&mut self, payload: &[u8]) -> Seg {
        let seg = Seg { payload: payload.to_vec(), ..self.seg(TcpFlags::ACK | TcpFlags::PSH) };
        self.seq += payload.len() as u32;
        seg
    }

    pub fn fin(&mut self) -> Seg {
        let seg = self.seg(TcpFlags::FIN | TcpFlags::ACK);
        self.seq += 1;
        seg
    }

    pub fn rst(&self) -> Seg {
        self.seg(TcpFlags::RST | TcpFlags::ACK)
    }

    /// Takes note of what the host has sent; returns its payload.
    pub fn hear(&mut self, heard: &[Seg]) -> Vec<u8> {
        let mut data = Vec::new();
        for seg in heard {
            if seg.seq == self.ack {
                data.extend_from_slice(&seg.payload);
                let fin = u32::from(seg.flags.contains(TcpFlags::FIN));
                self.ack += seg.payload.len() as u32 + fin;
            }
        }
        data
    }
}

/// The host, and the wire to its neighbour.
pub struct Wire {
    pub lab: Lab,
    pub host: Host,
    pub link: LinkId,
    pub tester: Tester,
}

impl Wire {
    pub fn new() -> Self {
        Wire::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        Wire::nth(0, config)
    }

    /// Whose seed is the `n`th.
    pub fn nth(n: usize, config: Config) -> Self {
        let mut lab = Lab::new();
        (0..n).for_each(|n| {
            lab.host(&n.to_string());
        });
        let segment = lab.segment();
        let host = lab.host_with("a", config);
        let link = lab.attach(host, segment, &format!("{US}/24"));
        let tester = lab.tester(segment);
        lab.know(host, link, PEER, tester.mac);
        let now = lab.now();
        let also = format!("{ALSO_US}/24").parse().expect("an address");
        lab.stack(host).add_address(now, link, also).expect("a second address");
        lab.run_for(secs(60));
        lab.heard(tester);
        lab.events(host);
        Wire { lab, host, link, tester }
    }

    pub fn stack(&mut self) -> &mut Stack {
        self.lab.stack(self.host)
    }

    pub fn now(&self) -> Instant {
        self.lab.now()
    }

    pub fn mib(&self) -> TcpMib {
        self.lab.snapshot(self.host).tcp
    }

    pub fn ext(&self) -> TcpExtMib {
        self.lab.snapshot(self.host).tcp_ext
    }

    /// The segments heard since last asked.
    pub fn heard(&mut self) -> Vec<Seg> {
        self.lab.settle();
        let heard = self.lab.heard(self.tester);
        heard.iter().filter_map(|heard| Seg::read(heard.at, &heard.ip()?)).collect()
    }

    #[track_caller]
    pub fn heard_one(&mut self) -> Seg {
        let mut heard = self.heard();
        assert_eq!(heard.len(), 1, "exactly one segment: {heard:#?}");
        heard.remove(0)
    }

    #[track_caller]
    pub fn heard_nothing(&mut self) {
        let heard = self.heard();
        assert!(heard.is_empty(), "nothing is to be sent: {heard:#?}");
    }

    /// Gives a segment to the host; returns what it sends at once.
    pub fn give(&mut self, seg: &Seg) -> Vec<Seg> {
        self.lab.inject_ip(self.tester, self.host, self.link, &seg.build());
        self.heard()
    }

    #[track_caller]
    pub fn give_quietly(&mut self, seg: &Seg) {
        let heard = self.give(seg);
        assert!(heard.is_empty(), "nothing is to be sent: {heard:#?}");
    }

    /// Gives a segment to the host, which answers with one.
    #[track_caller]
    pub fn answer(&mut self, seg: &Seg) -> Seg {
        let mut heard = self.give(seg);
        assert_eq!(heard.len(), 1, "exactly one segment: {heard:#?}");
        heard.remove(0)
    }

    /// An ICMP error about a segment of the host's.
    pub fn give_error(&mut self, about: &Seg, message: Message) -> Vec<Seg> {
        let quoted = &about.packet[..about.packet.len().min(548)];
        let packet = Ip::icmp(PEER, US, icmp(message, quoted));
        self.lab.inject_ip(self.tester, self.host, self.link, &packet.build());
        self.heard()
    }

    /// Lets time pass; returns what is sent meanwhile.
    pub fn pass(&mut self, span: Duration) -> Vec<Seg> {
        self.lab.run_for(span);
        self.heard()
    }

    pub fn socket(&mut self) -> SocketId {
        self.stack().open_tcp().expect("room for a socket")
    }

    #[track_caller]
    pub fn bound(&mut self, addr: Ipv4Addr, port: u16) -> SocketId {
        let socket = self.socket();
        self.stack().bind(socket, at(addr, port)).expect("a free port");
        socket
    }

    #[track_caller]
    pub fn listener(&mut self, port: u16, backlog: usize) -> SocketId {
        let socket = self.bound(ANY, port);
        self.listen(socket, backlog).expect("it may listen");
        socket
    }

    pub fn listen(&mut self, socket: SocketId, backlog: usize) -> Result<(), SocketError> {
        let now = self.now();
        self.stack().listen(now, socket, backlog)
    }

    pub fn accept(&mut self, listener: SocketId) -> Result<SocketId, SocketError> {
        let now = self.now();
        self.stack().accept(now, listener).map(|(socket, _)| socket)
    }

    pub fn connect(
        &mut self,
        socket: SocketId,
        addr: impl Into<SocketAddr>,
    ) -> Result<(), SocketError> {
        let now = self.now();
        self.stack().connect(now, socket, addr.into())
    }

    pub fn send(&mut self, socket: SocketId, data: &[u8]) -> Result<usize, SocketError> {
        let now = self.now();
        self.stack().send(now, socket, data)
    }

    /// Receives at most 64 KiB.
    pub fn receive(&mut self, socket: SocketId) -> Result<Vec<u8>, SocketError> {
        let now = self.now();
        let mut buffer = vec![0; 65_536];
        let n = self.stack().receive(now, socket, &mut buffer)?;
        buffer.truncate(n);
        Ok(buffer)
    }

    pub fn shutdown(
        &mut self,
        socket: SocketId,
        how: tapping_stack::Shutdown,
    ) -> Result<(), SocketError> {
        let now = self.now();
        self.stack().shutdown(now, socket, how)
    }

    #[track_caller]
    pub fn close(&mut self, socket: SocketId) {
        let now = self.now();
        self.stack().close(now, socket).expect("a socket");
    }

    pub fn readiness(&mut self, socket: SocketId) -> Readiness {
        self.stack().readiness(socket)
    }

    pub fn set(&mut self, socket: SocketId, change: impl FnOnce(&mut tapping_stack::TcpOptions)) {
        let now = self.now();
        self.stack().set_tcp_options(now, socket, change).expect("options in range");
    }

    /// The peer's handshake with whoever listens at `port`, without options but MSS.
    #[track_caller]
    pub fn handshake(&mut self, port: u16, peer_port: u16) -> Peer {
        let mut peer = Peer::new(PEER, peer_port, US, port);
        let syn_ack = self.answer(&peer.syn());
        assert!(syn_ack.is_syn_ack(), "{syn_ack:?}");
        peer.ack = syn_ack.seq + 1;
        let ack = peer.ack();
        self.give_quietly(&ack);
        peer
    }

    /// A connection accepted at a new listener, which goes on listening.
    #[track_caller]
    pub fn accepted(&mut self, port: u16) -> (SocketId, SocketId, Peer) {
        let listener = self.listener(port, 16);
        let peer = self.handshake(port, 40_000);
        let socket = self.accept(listener).expect("a connection");
        (listener, socket, peer)
    }

    /// A socket that has asked for a connection, and the SYN.
    #[track_caller]
    pub fn connecting(&mut self, port: u16) -> (SocketId, Peer, Seg) {
        let socket = self.socket();
        self.connect(socket, (PEER, port)).expect("SYN can be sent");
        let syn = self.heard_one();
        assert!(syn.is(TcpFlags::SYN), "{syn:?}");
        let peer = Peer::new(PEER, port, US, syn.src.port());
        (socket, peer, syn)
    }

    /// A socket connected to the peer.
    #[track_caller]
    pub fn connected(&mut self, port: u16) -> (SocketId, Peer) {
        let (socket, mut peer, syn) = self.connecting(port);
        let ack = self.answer(&peer.syn_ack(&syn));
        assert!(ack.is(TcpFlags::ACK), "{ack:?}");
        (socket, peer)
    }
}
