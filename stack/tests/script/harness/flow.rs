//! The peer that a script plays: packets of the script to bytes, and bytes to packets.

use core::net::Ipv4Addr;

use tapping_stack::wire::icmpv4;
use tapping_stack::wire::ipv4::{self, pseudo_header_sum};
use tapping_stack::wire::{
    Icmpv4, Ipv4, Ipv4Repr, Protocol, SeqNumber, Tcp, TcpFlags, Udp, UdpRepr, tcp, udp,
};

use super::host::payload;
use super::segment::{Body, Ecn, Flags, Icmp, IpFields, Opt, Packet, Segment};

/// Where the host is.
pub const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
/// Where the script plays the peer.
pub const PEER: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 2);

/// All connections of a script.
#[derive(Debug)]
pub struct Peer {
    flows: Vec<Flow>,
    /// The host's port that segments go to when no connection says otherwise.
    pub local_port: u16,
    /// The peer's port in packets that do not name one.
    pub peer_port: u16,
    /// The peer's initial sequence number.
    pub isn: SeqNumber,
    next_ident: u16,
}

/// One connection.
#[derive(Debug)]
struct Flow {
    local_port: u16,
    peer_port: u16,
    /// The host's initial sequence number, once seen.
    local_isn: Option<SeqNumber>,
    /// The number of the last SYN without ACK that was injected.
    syn: Option<u32>,
    /// The host's next SYN may have another number than the last.
    renewed: bool,
    /// What the host's timestamps are ahead of the script's, once the script names one.
    clock: Option<u32>,
}

impl Peer {
    pub fn new(isn: u32) -> Self {
        Peer {
            flows: Vec::new(),
            local_port: 8080,
            peer_port: 40_000,
            isn: SeqNumber(isn),
            next_ident: 1,
        }
    }

    /// The host opens a connection (or sends from a new socket): its next SYN starts anew.
    pub fn host_connects(&mut self, port: u16) {
        self.peer_port = port;
        self.flows.retain(|flow| flow.peer_port != port);
    }

    /// The host listens: the next SYN of any peer begins a new connection.
    pub fn host_listens(&mut self) {
        for flow in &mut self.flows {
            flow.syn = None;
            flow.clock = None;
        }
    }

    /// The bytes of a packet from the peer.
    pub fn emit(&mut self, packet: &Packet) -> Vec<u8> {
        let port = packet.peer_port.unwrap_or(self.peer_port);
        let (protocol, payload) = match &packet.body {
            Body::Tcp(segment) => (Protocol::TCP, self.emit_tcp(port, segment)),
            Body::Udp(len) => (Protocol::UDP, emit_udp(port, self.local_port, *len)),
            Body::Icmp(icmp) => (Protocol::ICMP, self.emit_icmp(port, icmp)),
        };
        self.next_ident += 1;
        let mut ip = ip(PEER, LOCAL, protocol, payload.len());
        ip.tos = packet.ip.tos_byte();
        ip.ttl = packet.ip.ttl.unwrap_or(64);
        ip.dont_fragment = packet.ip.dont_fragment.unwrap_or(true);
        ip.id = self.next_ident;
        with_header(&ip, &payload)
    }

    fn emit_tcp(&mut self, port: u16, segment: &Segment) -> Vec<u8> {
        let isn = self.isn;
        let flow = self.flow(port);
        let has = |flag| segment.flags.contains(flag);
        if has(TcpFlags::SYN) && !has(TcpFlags::ACK) && flow.syn != Some(segment.seq) {
            // A new connection would have new numbers.
            flow.syn = Some(segment.seq);
            flow.renewed = true;
        }
        let local_isn = flow.local_isn.unwrap_or(SeqNumber(0));
        let mut options = Vec::new();
        for option in segment.options.iter().flatten() {
            let live = match option {
                Opt::Timestamps(value, Some(echo)) if *echo != 0 => {
                    Opt::Timestamps(*value, Some(echo.wrapping_add(flow.clock.unwrap_or(0))))
                }
                other => other.clone(),
            };
            live.emit(&mut options, local_isn);
        }
        options.resize(options.len().next_multiple_of(4), 0);
        let header_len = tcp::HEADER_LEN + options.len();
        let ack = segment.ack.map_or(SeqNumber(0), |ack| local_isn + ack);
        let bits = (header_len as u16 / 4) << 12 | segment.flags.0;
        let mut bytes = Vec::new();
        bytes.extend(port.to_be_bytes());
        bytes.extend(flow.local_port.to_be_bytes());
        bytes.extend((isn + segment.seq).0.to_be_bytes());
        bytes.extend(ack.0.to_be_bytes());
        bytes.extend(bits.to_be_bytes());
        bytes.extend(segment.window.unwrap_or(0).to_be_bytes());
        bytes.extend([0; 2]);
        bytes.extend(segment.urgent.unwrap_or(0).to_be_bytes());
        bytes.extend(options);
        bytes.extend(payload(position(segment.seq, segment.flags), segment.len as usize));
        let pseudo = pseudo_header_sum(PEER, LOCAL, Protocol::TCP, bytes.len() as u16);
        tcp::fill_checksum(&mut bytes, pseudo);
        bytes
    }

    /// An error about a segment of the host, of which 8 bytes are quoted.
    fn emit_icmp(&mut self, port: u16, icmp: &Icmp) -> Vec<u8> {
        let flow = self.flow(port);
        let seq = flow.local_isn.unwrap_or(SeqNumber(0)) + icmp.quoted.0;
        let mut quoted = Vec::new();
        quoted.extend(flow.local_port.to_be_bytes());
        quoted.extend(port.to_be_bytes());
        quoted.extend(seq.0.to_be_bytes());
        let len = tcp::HEADER_LEN + icmp.quoted.1 as usize;
        let header = ip(LOCAL, PEER, Protocol::TCP, len);
        let mut bytes = vec![icmp.kind, icmp.code, 0, 0, 0, 0];
        bytes.extend(icmp.mtu.to_be_bytes());
        bytes.extend(with_header(&header, &quoted));
        icmpv4::fill_checksum(&mut bytes);
        bytes
    }

    /// Reads a packet of the host and checks what no script needs to say: lengths, checksums,
    /// addresses, and that the payload is the bytes written.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Packet, String> {
        let ip = Ipv4::parse(bytes).map_err(|error| error.to_string())?;
        if ip.total_len() != bytes.len() || !ip.verify_checksum() {
            return Err("the IPv4 header has a wrong length or checksum".into());
        }
        if (ip.src(), ip.dst()) != (LOCAL, PEER) {
            return Err(format!("it goes from {} to {}", ip.src(), ip.dst()));
        }
        let ecn = [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce][usize::from(ip.tos() & 3)];
        let fields = IpFields {
            ecn: Some(ecn),
            tos: Some(ip.tos() & !3),
            ttl: Some(ip.ttl()),
            dont_fragment: Some(ip.dont_fragment()),
        };
        let (port, body) = match ip.protocol() {
            Protocol::TCP => self.read_tcp(ip.payload())?,
            Protocol::UDP => read_udp(ip.payload())?,
            Protocol::ICMP => read_icmp(ip.payload())?,
            other => return Err(format!("its protocol is {}", other.0)),
        };
        Ok(Packet { ip: fields, peer_port: Some(port), body })
    }

    fn read_tcp(&mut self, bytes: &[u8]) -> Result<(u16, Body), String> {
        let tcp = Tcp::parse(bytes).map_err(|error| error.to_string())?;
        let pseudo = pseudo_header_sum(LOCAL, PEER, Protocol::TCP, bytes.len() as u16);
        if !tcp.verify_checksum(pseudo) {
            return Err("the TCP checksum is wrong".into());
        }
        let isn = self.isn;
        let flow = self.flow(tcp.dst_port());
        flow.local_port = tcp.src_port();
        if tcp.flags().contains(TcpFlags::SYN) && flow.renewed {
            flow.local_isn = Some(tcp.seq());
            flow.renewed = false;
        }
        let segment = Segment::read(&tcp, flow.local_isn.unwrap_or(SeqNumber(0)), isn);
        if tcp.payload() != payload(position(segment.seq, segment.flags), tcp.payload().len()) {
            return Err(format!("{segment} does not carry the bytes that were written"));
        }
        Ok((tcp.dst_port(), Body::Tcp(segment)))
    }

    /// Puts the host's timestamps on the script's clock, which the first one named sets.
    pub fn align(&mut self, expected: Option<&Packet>, actual: &mut Packet) {
        let port = actual.peer_port.unwrap_or(self.peer_port);
        let flow = self.flow(port);
        let named = expected.and_then(timestamp);
        let Body::Tcp(segment) = &mut actual.body else { return };
        for option in segment.options.iter_mut().flatten() {
            if let Opt::Timestamps(Some(value), _) = option {
                let clock = named.map(|named| value.wrapping_sub(named));
                flow.clock = flow.clock.or(clock);
                *value = value.wrapping_sub(flow.clock.unwrap_or(0));
            }
        }
    }

    fn flow(&mut self, peer_port: u16) -> &mut Flow {
        let found = self.flows.iter().position(|flow| flow.peer_port == peer_port);
        let index = found.unwrap_or_else(|| {
            let local_port = self.local_port;
            let (local_isn, syn, clock) = (None, None, None);
            self.flows.push(Flow { local_port, peer_port, local_isn, syn, renewed: true, clock });
            self.flows.len() - 1
        });
        &mut self.flows[index]
    }
}

/// Where in the stream the payload of a segment is.
fn position(seq: u32, flags: Flags) -> u64 {
    let first = seq.wrapping_add(u32::from(flags.contains(TcpFlags::SYN)));
    u64::from(first.wrapping_sub(1))
}

fn timestamp(packet: &Packet) -> Option<u32> {
    let Body::Tcp(segment) = &packet.body else { return None };
    segment.options.iter().flatten().find_map(|option| match option {
        Opt::Timestamps(value, _) => *value,
        _ => None,
    })
}

fn read_udp(bytes: &[u8]) -> Result<(u16, Body), String> {
    let udp = Udp::parse(bytes).map_err(|error| error.to_string())?;
    let pseudo = pseudo_header_sum(LOCAL, PEER, Protocol::UDP, udp.len());
    match udp.verify_checksum(pseudo) {
        true => Ok((udp.dst_port(), Body::Udp(udp.payload().len()))),
        false => Err("the UDP checksum is wrong".into()),
    }
}

/// An error about a packet of the peer: a TCP segment or a datagram.
fn read_icmp(bytes: &[u8]) -> Result<(u16, Body), String> {
    let icmp = Icmpv4::parse(bytes).map_err(|error| error.to_string())?;
    if !icmp.verify_checksum() {
        return Err("the ICMP checksum is wrong".into());
    }
    let [.., high, low] = icmp.rest();
    let quoted = icmp.payload().get(ipv4::HEADER_LEN..).unwrap_or_default();
    let port = quoted.first_chunk().map_or(0, |port| u16::from_be_bytes(*port));
    let mtu = u16::from_be_bytes([high, low]);
    let body = Icmp { kind: icmp.icmp_type(), code: icmp.code(), mtu, quoted: (0, 0) };
    Ok((port, Body::Icmp(body)))
}

fn emit_udp(src_port: u16, dst_port: u16, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; udp::HEADER_LEN];
    UdpRepr { src_port, dst_port, len: (udp::HEADER_LEN + len) as u16 }.emit(&mut bytes);
    bytes.extend(payload(0, len));
    let pseudo = pseudo_header_sum(PEER, LOCAL, Protocol::UDP, bytes.len() as u16);
    udp::fill_checksum(&mut bytes, pseudo);
    bytes
}

fn ip(src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, len: usize) -> Ipv4Repr {
    Ipv4Repr {
        tos: 0,
        id: 1,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol,
        src,
        dst,
        total_len: (ipv4::HEADER_LEN + len) as u16,
        options_len: 0,
    }
}

fn with_header(ip: &Ipv4Repr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; ipv4::HEADER_LEN];
    ip.emit(&mut bytes);
    ipv4::fill_checksum(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}
