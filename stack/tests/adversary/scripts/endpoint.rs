//! One endpoint, and peers that send whatever the script says: segments that almost fit the state
//! of a connection, ICMP errors about what was sent, silence. Its applications do as the script
//! says, too.
//!
//! What must hold: nothing panics; what is sent again is what was sent before, and what is read is
//! what came; limits are kept; the sums over what is in flight agree; something is always due while
//! something waits; when all is closed and time has passed, nothing is left.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tapping_stack::config::{EcnMode, MtuProbing, SynCookies};
use tapping_stack::tcp::SendFlags;
use tapping_stack::tcp::cc::CongestionAlgorithm;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::ipv4::{self, fill_checksum};
use tapping_stack::wire::{
    Icmpv4, Ipv4, Ipv4Repr, Protocol, SackBlock, SeqNumber, Tcp, TcpFlags, TcpOption, TcpOptions,
    TcpOptionsRepr, TcpRepr, icmpv4,
};
use tapping_stack::{
    Config, LinkConfig, LinkId, Packet, Shutdown, SocketError, SocketId, Stack, TcpState,
};

use super::{Input, wire};

const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const MTU: usize = 1500;
/// The port that listens, and those of the peers.
const PORT: u16 = 80;
const PEER_PORTS: u16 = 4;
const MAX_SOCKETS: usize = 24;
const MAX_REQUESTS: usize = 8;
const MAX_TIME_WAITS: usize = 3;
/// Calls that may do something at one and the same time.
const MAX_ROUNDS: usize = 64;
/// Timeouts that one wait may take.
const MAX_TIMEOUTS: usize = 50_000;
/// After this nothing is left of connections that were closed.
const AFTERLIFE: Duration = Duration::from_secs(7200);

/// Runs a script; returns a digest of all packets.
///
/// # Panics
/// When something that must hold does not.
pub fn run(bytes: &[u8]) -> u64 {
    let mut input = Input::new(bytes);
    let mut world = World::new(&mut input);
    while !input.is_empty() {
        world.act(&mut input);
        world.settle();
        world.check();
    }
    world.end();
    world.digest.finish()
}

/// What a peer knows of a connection with it.
#[derive(Debug, Clone)]
struct Peer {
    addr: Ipv4Addr,
    port: u16,
    /// The stack's port.
    to: u16,
    /// Where the peer's numbers begin, and where those of all its connections did.
    isn: u32,
    isns: Vec<u32>,
    /// What the stack has acknowledged, its window and how to scale it.
    acked: u32,
    window: u32,
    scale: u8,
    /// The first number the stack has sent, and one past the last.
    first: u32,
    next: u32,
    /// The last timestamp of the stack's.
    timestamp: Option<u32>,
}

struct World {
    stack: Stack,
    link: LinkId,
    now: Instant,
    listener: Option<SocketId>,
    /// With how many bytes were written and read.
    sockets: Vec<(SocketId, u32, u32)>,
    /// Which connection has which numbers can be told from outside: cookies are not used, which
    /// only tell how far the two ends' numbers are apart.
    exact: bool,
    peers: Vec<Peer>,
    /// The last packet sent.
    sent: Vec<u8>,
    digest: DefaultHasher,
    /// Segments wait to arrive in one batch.
    batch: Option<Vec<Packet>>,
}

/// The byte that has this number, in either direction.
fn pattern(seq: u32) -> u8 {
    (seq.wrapping_mul(0x9e37_79b1) >> 24) as u8
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let mut config = Config::default();
        let flags = input.u8();
        let flag = |bit: u8| flags & 1 << bit != 0;
        config.tcp.max_sockets = MAX_SOCKETS;
        config.tcp.max_tw_buckets = MAX_TIME_WAITS;
        config.tcp.max_orphans = 4;
        config.tcp.somaxconn = MAX_REQUESTS;
        config.tcp.rmem.max = 256 << 10;
        config.tcp.wmem.max = 256 << 10;
        config.tcp.timestamps = !flag(0);
        config.tcp.sack = !flag(1);
        config.tcp.window_scaling = !flag(2);
        config.tcp.ecn = if flag(3) { EcnMode::On } else { EcnMode::Passive };
        config.tcp.syncookies = input.pick(&[
            SynCookies::WhenFull,
            SynCookies::Off,
            SynCookies::Always,
            SynCookies::Off,
        ]);
        config.tcp.abort_on_overflow = flag(4);
        config.tcp.mtu_probing = if flag(5) { MtuProbing::On } else { MtuProbing::Off };
        config.tcp.rfc1337 = flag(6);
        config.tcp.congestion_control = input.pick(&[
            CongestionAlgorithm::Cubic,
            CongestionAlgorithm::Reno,
            CongestionAlgorithm::Bbr,
        ]);
        let exact = config.tcp.syncookies == SynCookies::Off;
        let mut stack = Stack::new(config, 7);
        let now = Instant::from_secs(1);
        let link = stack.add_link(LinkConfig { mtu: MTU, ..LinkConfig::ip("tun0") });
        let link = link.expect("a link");
        stack.add_address(now, link, "10.0.0.1/24".parse().expect("a prefix")).expect("an address");
        let listener = stack.open_tcp().expect("a socket");
        stack.bind(listener, SocketAddr::new(IpAddr::V4(OWN), PORT)).expect("the port is free");
        let backlog = usize::from(input.u8() % 4);
        stack.listen(now, listener, backlog).expect("nobody else listens");
        let inline = stack.set_tcp_options(now, listener, |options| options.oob_inline = exact);
        inline.expect("options");
        World {
            stack,
            link,
            now,
            listener: Some(listener),
            sockets: Vec::new(),
            exact,
            peers: Vec::new(),
            sent: Vec::new(),
            digest: DefaultHasher::new(),
            batch: None,
        }
    }

    fn act(&mut self, input: &mut Input<'_>) {
        match input.u8() % 32 {
            0 => self.connect(input),
            1 => {
                self.syn(input);
            }
            2 => {
                // A whole handshake, whose first data may be fine.
                if let Some(n) = self.syn(input) {
                    self.settle();
                    self.follow(n);
                }
            }
            3..14 => self.segment(input),
            14..17 => {
                // What a well-behaved peer would say next.
                if let Some(n) = self.peer(input) {
                    self.follow(n);
                }
            }
            17 => self.icmp_error(input),
            18 => self.accept(),
            19..22 => self.write(input),
            22..25 => self.read(input),
            25 => self.end_one(input),
            26 => self.options(input),
            27 => match self.batch.take() {
                Some(packets) => self.stack.handle_frames(self.now, self.link, packets),
                None => self.batch = Some(Vec::new()),
            },
            28 => {
                let millis = u64::from(input.u8()) << (input.u8() % 12);
                self.wait(Duration::from_millis(millis));
            }
            29 => self.listen_anew(input),
            _ => self.wait(Duration::from_millis(u64::from(input.u8()))),
        }
    }

    fn peer(&self, input: &mut Input<'_>) -> Option<usize> {
        usize::from(input.u8()).checked_rem(self.peers.len())
    }

    /// The newest connection with these numbers, or a new one.
    fn peer_at(&mut self, addr: Ipv4Addr, port: u16, to: u16) -> usize {
        let known = |peer: &Peer| (peer.addr, peer.port, peer.to) == (addr, port, to);
        self.peers.iter().rposition(known).unwrap_or_else(|| {
            self.peers.push(Peer {
                addr,
                port,
                to,
                isn: 0,
                isns: Vec::new(),
                acked: 0,
                window: 1000,
                scale: 0,
                first: 0,
                next: 0,
                timestamp: None,
            });
            self.peers.len() - 1
        })
    }

    fn connect(&mut self, input: &mut Input<'_>) {
        let (addr, port) = (peer_addr(input), 1 + input.u16() % PEER_PORTS);
        let Ok(socket) = self.stack.open_tcp() else { return };
        let exact = self.exact;
        let _ = self.stack.set_tcp_options(self.now, socket, |options| options.oob_inline = exact);
        if input.bool() {
            // From a known port, so that connections meet their old selves.
            let _ =
                self.stack.set_tcp_options(self.now, socket, |options| options.reuse_addr = true);
            let from = SocketAddr::new(IpAddr::V4(OWN), 5000 + input.u16() % 2);
            let _ = self.stack.bind(socket, from);
        }
        // Refusals are part of it.
        let _ = self.stack.connect(self.now, socket, SocketAddr::new(IpAddr::V4(addr), port));
        self.sockets.push((socket, 0, 0));
    }

    /// A SYN for the listener.
    fn syn(&mut self, input: &mut Input<'_>) -> Option<usize> {
        let (addr, port) = (peer_addr(input), 1 + input.u16() % PEER_PORTS);
        let n = self.peer_at(addr, port, PORT);
        let isn = match input.u8() {
            0..64 => self.peers[n].acked.wrapping_add(u32::from(input.u8())),
            64..128 => u32::MAX - u32::from(input.u8()),
            _ => input.u32(),
        };
        self.peers[n].isn = isn;
        let flags = input.u8();
        let options = TcpOptionsRepr {
            mss: (flags & 1 == 0).then_some(input.pick(&[1460, 536, 88, 1, 0, 9000, 65_535, 48])),
            window_scale: (flags & 2 == 0).then_some(input.u8() % 16),
            sack_permitted: flags & 4 == 0,
            timestamps: (flags & 8 == 0).then_some((self.now.as_millis() as u32, 0)),
            ..TcpOptionsRepr::default()
        };
        let mut tcp = TcpFlags::SYN;
        if flags & 0x30 == 0 {
            tcp |= TcpFlags::ECE | TcpFlags::CWR;
        }
        self.deliver(n, isn, 0, tcp, input.u16() | 1, options, 0, 0);
        Some(n)
    }

    /// A segment of the right numbers: it acknowledges all and carries a little data.
    fn follow(&mut self, n: usize) {
        let peer = self.peers[n].clone();
        let timestamps = peer.timestamp.map(|echo| (self.now.as_millis() as u32, echo));
        let options = TcpOptionsRepr { timestamps, ..TcpOptionsRepr::default() };
        self.deliver(n, peer.acked, peer.next, TcpFlags::ACK, 30_000, options, 40, 0);
    }

    /// A segment whose fields are near those that the connection expects.
    fn segment(&mut self, input: &mut Input<'_>) {
        let Some(n) = self.peer(input) else { return };
        let peer = self.peers[n].clone();
        let seq = match input.u8() % 12 {
            0..5 => peer.acked,
            5 => peer.acked.wrapping_sub(1),
            6 => peer.acked.wrapping_add(u32::from(input.u8())),
            7 => peer.acked.wrapping_add(u32::from(input.u16())),
            8 => peer.acked.wrapping_sub(u32::from(input.u16())),
            9 => peer.acked.wrapping_add(peer.window).wrapping_sub(u32::from(input.u8() % 4)),
            10 => peer.isn.wrapping_add(u32::from(input.u8())),
            _ => input.u32(),
        };
        let unacked = peer.next.wrapping_sub(peer.first);
        let ack = match input.u8() % 10 {
            0..3 => peer.next,
            3 => peer.next.wrapping_add(1),
            4 => peer.first.wrapping_add(u32::from(input.u16()) % unacked.max(1)),
            5 => peer.next.wrapping_sub(u32::from(input.u16())),
            6 => peer.first,
            7 => peer.next.wrapping_sub(1460 * u32::from(input.u8() % 8)),
            8 => peer.next.wrapping_sub(1),
            _ => input.u32(),
        };
        let flags = match input.u8() {
            0..160 => TcpFlags::ACK,
            160..190 => TcpFlags::ACK | TcpFlags::PSH,
            190..205 => TcpFlags::ACK | TcpFlags::FIN,
            205..212 => TcpFlags::RST,
            212..217 => TcpFlags::RST | TcpFlags::ACK,
            217..222 => TcpFlags::SYN,
            222..227 => TcpFlags::SYN | TcpFlags::ACK,
            227..235 => TcpFlags::ACK | TcpFlags::URG,
            235..245 => TcpFlags::ACK | TcpFlags::ECE,
            245..250 => TcpFlags::ACK | TcpFlags::CWR,
            _ => TcpFlags::from_bits_truncate(input.u8().into()),
        };
        let window = input.pick(&[0, 1, 100, 1000, 10_000, 65_535]);
        let len = match input.u8() % 6 {
            0..3 => 0,
            3 => usize::from(input.u8()),
            4 => 1460,
            _ => usize::from(input.u16() % 1461),
        };
        let blocks: Vec<_> = (0..input.u8() % 8 / 2)
            .map(|_| {
                let left = peer.next.wrapping_sub(u32::from(input.u16()));
                let right = match input.u8() % 4 {
                    0 => input.u32(),
                    1 => peer.next,
                    _ => left.wrapping_add(u32::from(input.u16() % 3000)),
                };
                SackBlock { left: SeqNumber(left), right: SeqNumber(right) }
            })
            .collect();
        let now = self.now.as_millis() as u32;
        let timestamps = match input.u8() % 8 {
            0 => None,
            1 => Some((input.u32(), input.u32())),
            2 => Some((now.wrapping_sub(u32::from(input.u16())), peer.timestamp.unwrap_or(0))),
            3 => Some((now, peer.timestamp.unwrap_or(0).wrapping_sub(u32::from(input.u16())))),
            _ => peer.timestamp.map(|echo| (now, echo)),
        };
        let options = TcpOptionsRepr {
            timestamps,
            sack: &blocks,
            mss: flags.contains(TcpFlags::SYN).then_some(1000),
            ..TcpOptionsRepr::default()
        };
        let tos = input.u8() & 3;
        self.deliver(n, seq, ack, flags, window, options, len, tos);
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of a segment")]
    fn deliver(
        &mut self,
        n: usize,
        seq: u32,
        ack: u32,
        flags: TcpFlags,
        window: u16,
        options: TcpOptionsRepr<'_>,
        len: usize,
        tos: u8,
    ) {
        let peer = self.peers[n].clone();
        let repr = TcpRepr {
            src_port: peer.port,
            dst_port: peer.to,
            seq: SeqNumber(seq),
            ack: SeqNumber(ack),
            flags,
            window,
            urgent: if flags.contains(TcpFlags::URG) { window } else { 0 },
            options,
        };
        let header_len = repr.header_len();
        let mut packet = vec![0; ipv4::HEADER_LEN + header_len];
        let ip = Ipv4Repr {
            tos,
            id: 1,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 64,
            protocol: Protocol::TCP,
            src: peer.addr,
            dst: OWN,
            total_len: (ipv4::HEADER_LEN + header_len + len) as u16,
            options_len: 0,
        };
        ip.emit(&mut packet);
        repr.emit(&mut packet[ipv4::HEADER_LEN..]);
        let syn = u32::from(flags.contains(TcpFlags::SYN));
        if syn > 0 {
            self.peers[n].isns.push(seq);
        }
        packet.extend((0..len as u32).map(|at| pattern(seq.wrapping_add(syn + at))));
        wire::mend(&mut packet);
        self.arrive(&packet);
    }

    fn arrive(&mut self, packet: &[u8]) {
        if std::env::var_os("TRACE").is_some() {
            eprintln!("{:?} < {}", self.now, wire::describe(packet));
        }
        let packet = Packet::from_slice(packet);
        match &mut self.batch {
            Some(batch) if batch.len() < 32 => batch.push(packet),
            _ => self.stack.handle_frame(self.now, self.link, packet),
        }
    }

    /// An ICMP error about the last packet sent, whose number may be another.
    fn icmp_error(&mut self, input: &mut Input<'_>) {
        let Ok(view) = Ipv4::parse(&self.sent) else { return };
        let (src, dst) = (view.src(), view.dst());
        let mut quoted = self.sent[..self.sent.len().min(64)].to_vec();
        if quoted.len() >= 28 && input.u8() & 3 == 0 {
            quoted[24..28].copy_from_slice(&input.u32().to_be_bytes());
        }
        let mut message = vec![0; icmpv4::HEADER_LEN];
        message[0] = input.pick(&[3, 3, 3, 11, 12, 4]);
        message[1] = input.u8() % 16;
        if message[0] == 3 && input.bool() {
            message[1] = 4;
        }
        message[6..8].copy_from_slice(&(input.u16() % 1600).to_be_bytes());
        message.extend(quoted);
        icmpv4::fill_checksum(&mut message);
        if Icmpv4::parse(&message).is_err() {
            return;
        }
        let mut packet = vec![0; ipv4::HEADER_LEN];
        let ip = Ipv4Repr {
            tos: 0xc0,
            id: 1,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 64,
            protocol: Protocol::ICMP,
            src: dst,
            dst: src,
            total_len: (ipv4::HEADER_LEN + message.len()) as u16,
            options_len: 0,
        };
        ip.emit(&mut packet);
        packet.extend(message);
        fill_checksum(&mut packet);
        self.arrive(&packet);
    }

    fn accept(&mut self) {
        if let Some(listener) = self.listener {
            while let Ok((socket, _)) = self.stack.accept(self.now, listener) {
                self.sockets.push((socket, 0, 0));
            }
        }
    }

    fn socket(&self, input: &mut Input<'_>) -> Option<usize> {
        usize::from(input.u8()).checked_rem(self.sockets.len())
    }

    fn peer_of(&self, socket: SocketId) -> Option<Peer> {
        let SocketAddr::V4(remote) = self.stack.peer_addr(socket).ok()? else { return None };
        let to = self.stack.local_addr(socket).ok()?.port();
        let known =
            |peer: &&Peer| (peer.addr, peer.port, peer.to) == (*remote.ip(), remote.port(), to);
        self.peers.iter().rfind(known).cloned()
    }

    fn write(&mut self, input: &mut Input<'_>) {
        let Some(n) = self.socket(input) else { return };
        let (socket, written, _) = self.sockets[n];
        let len = u32::from(input.u16());
        // Its numbers begin after the SYN's.
        let Some(peer) = self.peer_of(socket) else { return };
        let base = peer.first.wrapping_add(1).wrapping_add(written);
        let data: Vec<u8> = (0..len).map(|at| pattern(base.wrapping_add(at))).collect();
        let flags = match input.u8() {
            0..200 => SendFlags::empty(),
            200..220 => SendFlags::MORE,
            220..240 => SendFlags::END_OF_RECORD,
            _ => SendFlags::URGENT,
        };
        if let Ok(taken) = self.stack.send_with_flags(self.now, socket, &data, flags) {
            assert!(taken <= data.len());
            if std::env::var_os("TRACE").is_some() {
                eprintln!("{:?} {socket:?} wrote {taken} of {len} from {base} {flags:?}", self.now);
            }
            self.sockets[n].1 += taken as u32;
        }
    }

    fn read(&mut self, input: &mut Input<'_>) {
        let Some(n) = self.socket(input) else { return };
        let socket = self.sockets[n].0;
        let urgent = self.stack.peek_urgent(socket);
        assert!(urgent.is_err() || !self.exact, "there is a mark, but all is in line");
        assert_eq!(self.stack.receive_urgent(socket), urgent);
        let mut buffer = vec![0; usize::from(input.u16())];
        let Ok(len) = self.stack.receive(self.now, socket, &mut buffer) else { return };
        if std::env::var_os("TRACE").is_some() {
            eprintln!("{:?} {socket:?} {:?} read {len}", self.now, self.stack.peer_addr(socket));
        }
        let bytes = &buffer[..len];
        bytes.hash(&mut self.digest);
        let read = self.sockets[n].2;
        self.sockets[n].2 += len as u32;
        let Some(peer) = self.peer_of(socket) else { return };
        let follows = |isn: &u32| {
            let start = isn.wrapping_add(1).wrapping_add(read);
            (0..).zip(bytes).all(|(at, byte)| *byte == pattern(start.wrapping_add(at)))
        };
        assert!(
            !self.exact || peer.isns.iter().any(follows),
            "{len} bytes that nobody sent, {read} before: {:?}... {peer:?}",
            &bytes[..len.min(8)]
        );
    }

    fn end_one(&mut self, input: &mut Input<'_>) {
        let Some(n) = self.socket(input) else { return };
        let socket = self.sockets[n].0;
        match input.u8() % 8 {
            0 | 1 => {
                let _ = self.stack.shutdown(self.now, socket, Shutdown::Write);
            }
            2 => {
                let _ = self.stack.shutdown(self.now, socket, Shutdown::Read);
            }
            3 => {
                self.sockets.swap_remove(n);
                self.stack.abort(self.now, socket).expect("it is open");
            }
            5 => {
                self.stack.disconnect(self.now, socket).expect("it is open");
                assert_eq!(self.stack.tcp_state(socket), Ok(TcpState::Closed));
                assert_eq!(self.stack.unread(socket), Ok(0));
                (self.sockets[n].1, self.sockets[n].2) = (0, 0);
            }
            4 => {
                // Once more with the same socket.
                let addr = SocketAddr::new(IpAddr::V4(peer_addr(input)), 1 + input.u16() % 2);
                let closed = self.stack.tcp_state(socket) == Ok(TcpState::Closed);
                if self.stack.connect(self.now, socket, addr).is_ok() && closed {
                    (self.sockets[n].1, self.sockets[n].2) = (0, 0);
                }
            }
            _ => {
                self.sockets.swap_remove(n);
                self.stack.close(self.now, socket).expect("it is open");
            }
        }
    }

    fn options(&mut self, input: &mut Input<'_>) {
        let socket = match self.socket(input) {
            Some(n) => self.sockets[n].0,
            None => match self.listener {
                Some(listener) => listener,
                None => return,
            },
        };
        let (flags, size) = (input.u8(), usize::from(input.u16()));
        let change = input.u8() % 10;
        let _ = self.stack.set_tcp_options(self.now, socket, |options| {
            options.nodelay = flags & 1 != 0;
            options.cork = flags & 6 == 6;
            options.keepalive = flags & 8 != 0;
            options.linger_reset = flags & 0x70 == 0x70;
            // Whatever is urgent is in the stream where that is checked.
            options.oob_inline = self.exact || flags & 0x80 != 0;
            match change {
                0 => options.send_buffer = Some(size),
                1 => options.receive_buffer = Some(size),
                2 => options.user_timeout = Duration::from_millis(size as u64),
                3 => options.linger2 = Some(Duration::from_millis(size as u64)),
                4 => options.keepidle = Some(Duration::from_millis(size as u64)),
                5 => options.maxseg = Some(size as u16),
                6 => options.window_clamp = Some(size as u32),
                7 => options.rcvlowat = size as u32,
                8 => options.max_pacing_rate = size as u64 * 100,
                _ => options.defer_accept = Duration::from_secs(size as u64 & 31),
            }
        });
    }

    /// The listener is replaced, or gets another backlog.
    fn listen_anew(&mut self, input: &mut Input<'_>) {
        let backlog = usize::from(input.u8() % 4);
        if let Some(listener) = self.listener {
            if input.u8() < 224 {
                let _ = self.stack.listen(self.now, listener, backlog);
                return;
            }
            self.listener = None;
            self.stack.close(self.now, listener).expect("it is open");
        }
        let Ok(socket) = self.stack.open_tcp() else { return };
        let exact = self.exact;
        let reuse = |options: &mut tapping_stack::TcpOptions| {
            options.reuse_addr = true;
            options.oob_inline = exact;
        };
        self.stack.set_tcp_options(self.now, socket, reuse).expect("it is open");
        let bound = self.stack.bind(socket, SocketAddr::new(IpAddr::V4(OWN), PORT));
        let listens = bound.and_then(|()| self.stack.listen(self.now, socket, backlog));
        match listens {
            Ok(()) => self.listener = Some(socket),
            Err(_) => self.stack.close(self.now, socket).expect("it is open"),
        }
    }

    /// Takes what there is to send, and runs what is due.
    fn settle(&mut self) {
        for round in 0.. {
            while let Some(packet) = self.stack.poll_transmit(self.now, self.link) {
                self.learn(packet.bytes());
                self.sent = packet.bytes().to_vec();
                (self.now, &self.sent).hash(&mut self.digest);
                self.stack.recycle(packet);
            }
            match self.stack.poll_timeout() {
                Some(at) if at <= self.now => self.stack.handle_timeout(self.now),
                _ => return,
            }
            assert!(round < MAX_ROUNDS, "there is always something to do at {:?}", self.now);
        }
    }

    /// Checks a packet that leaves, and takes from it what its peer would know.
    fn learn(&mut self, packet: &[u8]) {
        let (src, dst) = wire::check(packet, MTU);
        assert_eq!(src, OWN);
        if std::env::var_os("TRACE").is_some() {
            eprintln!("{:?} > {}", self.now, wire::describe(packet));
        }
        let view = Ipv4::parse(packet).expect("checked");
        if view.protocol() != Protocol::TCP {
            return;
        }
        let tcp = Tcp::parse(view.payload()).expect("checked");
        let n = self.peer_at(dst, tcp.dst_port(), tcp.src_port());
        let (seq, flags) = (tcp.seq().0, tcp.flags());
        let end = seq.wrapping_add(tcp.segment_len());
        let peer = &mut self.peers[n];
        if flags.contains(TcpFlags::RST) {
            return;
        }
        if flags.contains(TcpFlags::SYN) {
            (peer.first, peer.next) = (seq, end);
            peer.scale = 0;
            peer.timestamp = None;
            if flags.contains(TcpFlags::ACK) {
                peer.isn = tcp.ack().0.wrapping_sub(1);
                peer.acked = tcp.ack().0;
            }
        }
        if (end.wrapping_sub(peer.next) as i32) > 0 {
            peer.next = end;
        }
        if flags.contains(TcpFlags::ACK) {
            if (tcp.ack().0.wrapping_sub(peer.acked) as i32) > 0 {
                peer.acked = tcp.ack().0;
            }
            let scale = if flags.contains(TcpFlags::SYN) { 0 } else { peer.scale };
            peer.window = u32::from(tcp.window()) << scale;
        }
        for option in TcpOptions::new(tcp.options()).flatten() {
            match option {
                TcpOption::Timestamps { value, .. } => peer.timestamp = Some(value),
                TcpOption::WindowScale(scale) => peer.scale = scale,
                TcpOption::Sack(blocks) => {
                    for block in blocks.iter() {
                        assert!(block.left.lt(block.right), "an empty block: {block:?}");
                    }
                }
                _ => {}
            }
        }
        if !self.exact {
            return;
        }
        let first = peer.first;
        for (byte, n) in tcp.payload().iter().zip(0..) {
            let at = seq.wrapping_add(n);
            let behind = at.wrapping_sub(first) as i32;
            assert!(behind < 1 || *byte == pattern(at), "byte {behind} is not what was written");
        }
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..MAX_TIMEOUTS {
            self.settle();
            match self.stack.poll_timeout() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("{MAX_TIMEOUTS} timeouts in {span:?}");
    }

    fn check(&mut self) {
        let (sockets, time_waits, requests) = self.stack.tcp_counts();
        assert!(sockets <= MAX_SOCKETS && time_waits <= MAX_TIME_WAITS, "{sockets} {time_waits}");
        assert!(requests <= MAX_REQUESTS, "{requests} handshakes");
        let mut established = 0;
        let mut waits = None;
        let all: Vec<_> = self.stack.tcp_sockets().collect();
        for (socket, state) in all {
            established += u64::from(matches!(state, TcpState::Established | TcpState::CloseWait));
            let Ok(info) = self.stack.tcp_info(socket) else { continue };
            assert!(info.sacked + info.lost <= info.unacked, "{info:?}");
            assert!(info.retrans <= info.unacked, "{info:?}");
            assert!(info.snd_cwnd > 0 && info.snd_mss > 0, "{info:?}");
            assert!(info.rcv_wnd <= 1 << 30 && info.buffers.1 <= 256 << 10, "{info:?}");
            let corked = self.stack.tcp_options(socket).is_ok_and(|options| options.cork);
            if state != TcpState::Closed && (info.unacked > 0 || info.notsent_bytes > 0 && !corked)
            {
                waits = Some(info);
            }
        }
        let due = self.stack.poll_timeout();
        assert!(waits.is_none() || due.is_some(), "nothing will ever happen: {waits:?}");
        assert_eq!(self.stack.snapshot().tcp.curr_estab, established);
    }

    /// All is closed, and nobody answers any more.
    fn end(&mut self) {
        if let Some(packets) = self.batch.take() {
            self.stack.handle_frames(self.now, self.link, packets);
        }
        for (socket, ..) in std::mem::take(&mut self.sockets) {
            self.stack.close(self.now, socket).expect("it is open");
            assert_eq!(self.stack.tcp_state(socket), Err(SocketError::BadSocket));
        }
        self.check();
        if let Some(listener) = self.listener.take() {
            self.stack.close(self.now, listener).expect("it is open");
        }
        self.wait(AFTERLIFE);
        self.check();
        let left: Vec<_> = self.stack.tcp_sockets().collect();
        let left: Vec<_> = left.into_iter().map(|(id, _)| self.stack.tcp_info(id)).collect();
        assert_eq!(self.stack.tcp_counts(), (0, 0, 0), "{left:?}");
        // Every port is free.
        let socket = self.stack.open_tcp().expect("a socket");
        self.stack.bind(socket, SocketAddr::new(IpAddr::V4(OWN), PORT)).expect("nobody has it");
        self.stack.close(self.now, socket).expect("it is open");
    }
}

fn peer_addr(input: &mut Input<'_>) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, 2 + input.u8() % 2)
}
