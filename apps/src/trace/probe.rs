//! The probes themselves: UDP to ports where nobody listens or TCP SYN to one port, through a raw
//! socket, or ICMP echo through a ping socket. Routers that answer are learnt from the socket's error
//! queue. A host that takes a SYN answers the stack, too, which has no such connection and resets it.

use std::net::{IpAddr, Ipv4Addr};

use tapping_stack::PmtuDiscovery;
use tapping_stack::packet::Packet;
use tapping_stack::socket::{ErrorOrigin, SocketError, SocketErrorReport, SocketId};
use tapping_stack::time::Instant;
use tapping_stack::wire::ipv4::pseudo_header_sum;
use tapping_stack::wire::{
    Ipv4, Protocol, SeqNumber, Tcp, TcpFlags, TcpOptionsRepr, TcpRepr, Udp, UdpRepr, tcp, udp,
};

use super::engine::{Engine, Last, unreachable_note};
use crate::cli::TraceArgs;
use crate::failure::Failure;
use crate::names::Target;
use crate::network::Network;

/// traceroute's first port.
const FIRST_PORT: u16 = 33434;
/// The port that probes by TCP ask, as traceroute does.
const TCP_PORT: u16 = 80;
/// Bytes of a probe by TCP, with the options of any SYN of the stack.
pub const TCP_PROBE_LEN: usize = 60;
/// Bytes of the IPv4 header of a probe.
const IP_HEADER: usize = 20;
/// Bytes of an ICMP echo header, and of a UDP header.
const HEADER: usize = 8;
/// ICMP types (RFC 792).
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
/// ICMP code of an unreachable port.
const PORT: u8 = 3;

/// Sends probes and understands what comes back.
pub struct Prober {
    socket: SocketId,
    source: Ipv4Addr,
    target: Ipv4Addr,
    kind: Kind,
    /// What tells probes apart, of probe 0: the destination port, the ICMP sequence number, or by
    /// TCP the source port.
    first: u16,
    /// The probe from its transport header on.
    message: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Udp { source_port: u16 },
    Tcp { port: u16, isn: SeqNumber },
    Icmp,
}

impl Kind {
    /// The initial sequence number of a probe by TCP; far enough apart that no two are confused.
    fn isn(isn: SeqNumber, index: usize) -> SeqNumber {
        isn + (index as u32) * 64_000
    }
}

impl Prober {
    /// Opens the socket.
    pub fn open(args: &TraceArgs, target: &Target, network: &mut Network) -> Result<Self, Failure> {
        let source = match network.source_for(target)? {
            IpAddr::V4(source) => source,
            IpAddr::V6(source) => {
                return Err(Failure(format!("cannot probe an IPv4 host from {source}")));
            }
        };
        let seed = network.seed();
        let stack = network.stack();
        // Any port will do, and as many after it as there are probes.
        let source_port = 32_768 + (seed % 28_232) as u16;
        let (opened, kind, first) = if args.icmp {
            (stack.open_ping(None), Kind::Icmp, args.port.unwrap_or(1))
        } else if args.tcp {
            let port = args.port.unwrap_or(TCP_PORT);
            let kind = Kind::Tcp { port, isn: SeqNumber((seed >> 32) as u32) };
            (stack.open_raw(Protocol::TCP), kind, source_port)
        } else {
            let opened = stack.open_raw(Protocol::UDP);
            (opened, Kind::Udp { source_port }, args.port.unwrap_or(FIRST_PORT))
        };
        let socket = opened
            .map_err(|error| Failure(format!("cannot open a socket to probe with: {error}")))?;
        let options = stack
            .socket_options(socket)
            .map_err(|error| Failure(format!("cannot set options: {error}")))?;
        options.receive_errors = true;
        options.tos = args.tos.unwrap_or_default();
        // What one probe learns of the path must not keep the next from being sent: each is told.
        options.pmtu_discovery =
            if args.dont_fragment { PmtuDiscovery::Probe } else { PmtuDiscovery::Dont };
        let mut message = vec![0; args.length - IP_HEADER];
        for (i, byte) in message.iter_mut().enumerate().skip(HEADER) {
            *byte = 0x40 + (i % 32) as u8;
        }
        Ok(Prober { socket, source, target: target.addr, kind, first, message })
    }

    /// Sends probe `index`; the error is the note to show instead of an answer.
    pub fn send(
        &mut self,
        network: &mut Network,
        now: Instant,
        index: usize,
        ttl: u8,
        engine: &mut Engine,
    ) -> Result<(), String> {
        let number = self.first.wrapping_add(index as u16);
        match self.kind {
            Kind::Icmp => {
                self.message[..HEADER].copy_from_slice(&[ECHO, 0, 0, 0, 0, 0, 0, 0]);
                self.message[6..HEADER].copy_from_slice(&number.to_be_bytes());
            }
            Kind::Udp { source_port } => {
                let len = self.message.len() as u16;
                UdpRepr { src_port: source_port, dst_port: number, len }.emit(&mut self.message);
                let pseudo = pseudo_header_sum(self.source, self.target, Protocol::UDP, len);
                udp::fill_checksum(&mut self.message, pseudo);
            }
            Kind::Tcp { port, isn } => {
                syn(now, number, port, Kind::isn(isn, index)).emit(&mut self.message);
                let len = self.message.len() as u16;
                let pseudo = pseudo_header_sum(self.source, self.target, Protocol::TCP, len);
                tcp::fill_checksum(&mut self.message, pseudo);
            }
        }
        let stack = network.stack();
        if let Ok(options) = stack.socket_options(self.socket) {
            options.ttl = Some(ttl);
            options.multicast_ttl = ttl;
        }
        match stack.send_to(now, self.socket, (self.target, 0).into(), &self.message) {
            Ok(()) => Ok(()),
            Err(SocketError::MessageTooLong) => Err(self.too_long(network, engine)),
            Err(error) => Err(local_note(error)),
        }
    }

    /// Tells the engine what has arrived.
    pub fn take(&mut self, network: &mut Network, engine: &mut Engine) {
        while let Some(packet) = network.stack().recv(self.socket) {
            if let Some((index, from)) = self.answer(&packet) {
                engine.answered(packet.meta.timestamp, index, from, String::new(), Last::Reached);
            }
            network.stack().recycle(packet);
        }
        while let Some(report) = network.stack().recv_error(self.socket) {
            self.error(&report, engine);
            network.stack().recycle(report.packet);
        }
    }

    /// The probe that an echo reply or a datagram answers.
    fn answer(&self, packet: &Packet) -> Option<(usize, IpAddr)> {
        let header = Ipv4::parse(packet.network()).ok()?;
        if header.src() != self.target {
            return None;
        }
        let number = match self.kind {
            Kind::Icmp => {
                let message = packet.bytes();
                (message.len() >= HEADER && message[0] == ECHO_REPLY)
                    .then(|| u16::from_be_bytes([message[6], message[7]]))?
            }
            Kind::Udp { source_port } => {
                let udp = Udp::parse(header.payload()).ok()?;
                (udp.dst_port() == source_port).then(|| udp.src_port())?
            }
            Kind::Tcp { port, isn } => {
                let segment = Tcp::parse(header.payload()).ok()?;
                let index = self.index(segment.dst_port());
                let syn_ack_or_rst = TcpFlags::SYN | TcpFlags::RST;
                let answers = segment.src_port() == port
                    && segment.ack() == Kind::isn(isn, index) + 1
                    && segment.flags().contains(TcpFlags::ACK)
                    && segment.flags().intersects(syn_ack_or_rst);
                return answers.then(|| (index, header.src().into()));
            }
        };
        Some((self.index(number), header.src().into()))
    }

    fn error(&self, report: &SocketErrorReport, engine: &mut Engine) {
        let Some(index) = self.quoted_index(report.packet.bytes()) else { return };
        let (Some(from), ErrorOrigin::Icmp) = (report.offender, report.origin) else {
            engine.refused(index, local_note(report.error));
            return;
        };
        let here = from == IpAddr::V4(self.target);
        let (note, last) = match (report.icmp_type, report.code) {
            (TIME_EXCEEDED, 0) => (String::new(), Last::No),
            (UNREACHABLE, PORT) if here => (String::new(), Last::Reached),
            (UNREACHABLE, code) => {
                let note = unreachable_note(code, report.info);
                (note, if here { Last::Reached } else { Last::Unreachable })
            }
            _ => return,
        };
        engine.answered(report.packet.meta.timestamp, index, from, note, last);
    }

    /// The probe whose transport header is quoted.
    fn quoted_index(&self, quoted: &[u8]) -> Option<usize> {
        let word = |at: usize| Some(u16::from_be_bytes([*quoted.get(at)?, *quoted.get(at + 1)?]));
        match self.kind {
            Kind::Icmp => word(6).map(|number| self.index(number)),
            Kind::Udp { source_port } => {
                (word(0)? == source_port).then(|| word(2).map(|number| self.index(number)))?
            }
            Kind::Tcp { port, .. } => {
                (word(2)? == port).then(|| word(0).map(|number| self.index(number)))?
            }
        }
    }

    fn index(&self, number: u16) -> usize {
        usize::from(number.wrapping_sub(self.first))
    }

    /// The note on a probe that the stack finds too long; the MTU is in the error queue, behind
    /// what came about probes before.
    fn too_long(&self, network: &mut Network, engine: &mut Engine) -> String {
        let mut note = "!F".to_string();
        while let Some(report) = network.stack().recv_error(self.socket) {
            if report.origin == ErrorOrigin::Local && report.error == SocketError::MessageTooLong {
                note = unreachable_note(4, report.info);
            } else {
                self.error(&report, engine);
            }
            network.stack().recycle(report.packet);
        }
        note
    }
}

/// A SYN as the stack's own are; nothing it offers is ever used.
fn syn(now: Instant, src_port: u16, dst_port: u16, seq: SeqNumber) -> TcpRepr<'static> {
    let options = TcpOptionsRepr {
        mss: Some(1460),
        sack_permitted: true,
        timestamps: Some((now.as_millis() as u32, 0)),
        window_scale: Some(7),
        ..TcpOptionsRepr::default()
    };
    TcpRepr {
        src_port,
        dst_port,
        seq,
        ack: SeqNumber(0),
        flags: TcpFlags::SYN,
        window: 64_240,
        urgent: 0,
        options,
    }
}

/// The note on a probe that could not be sent.
fn local_note(error: SocketError) -> String {
    match error {
        SocketError::NetworkUnreachable | SocketError::NetworkDown => "!N".into(),
        SocketError::HostUnreachable | SocketError::HostDown => "!H".into(),
        SocketError::PermissionDenied => "!X".into(),
        other => other.to_string(),
    }
}
