//! A connection of the host under test with a peer that the test plays segment by segment, in
//! virtual time.
//!
//! Numbers are relative to the initial sequence numbers, so that the first byte of either side has
//! the number 1. Both sides send the pattern of [`bytes`], which is checked wherever it arrives.

use core::net::Ipv4Addr;

use tapping_stack::socket::Readiness;
use tapping_stack::tcp::SendFlags;
use tapping_stack::tcp::info::TcpInfo;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::ipv4::{self, pseudo_header_sum};
use tapping_stack::wire::tcp::{self, HEADER_LEN};
use tapping_stack::wire::{
    Ipv4, Ipv4Repr, Message, Protocol, SackBlock, SeqNumber, Tcp, TcpFlags, TcpOption, TcpOptions,
    TcpOptionsRepr, TcpRepr,
};
use tapping_stack::{
    Config, LinkConfig, LinkId, Packet, SocketError, SocketId, Stack, TcpOptions as Options,
    TcpState,
};

use crate::host::{PEER, US};
use crate::lab::icmp;

/// When a conversation begins.
const START: Instant = Instant::from_secs(1000);
/// Timers that may fire before something is wrong.
const MAX_STEPS: usize = 2_000_000;
/// The ports of the host and of the peer.
pub const PORT: u16 = 80;
pub const PEER_PORT: u16 = 4000;

pub const ACK: TcpFlags = TcpFlags::ACK;
pub const SYN: TcpFlags = TcpFlags::SYN;
pub const FIN: TcpFlags = TcpFlags::FIN;
pub const RST: TcpFlags = TcpFlags::RST;
pub const PSH: TcpFlags = TcpFlags::PSH;
pub const URG: TcpFlags = TcpFlags::URG;

pub fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The bytes that a stream has from the number `seq` on.
pub fn bytes(seq: u32, len: usize) -> Vec<u8> {
    let at = |n: usize| (seq as usize).wrapping_sub(1).wrapping_add(n);
    (0..len).map(|n| (at(n) ^ (at(n) >> 8) ^ (at(n) >> 16)) as u8).collect()
}

/// How a conversation begins.
#[derive(Clone)]
pub struct Setup {
    pub config: Config,
    /// Options of the host's socket.
    pub options: Options,
    pub mtu: usize,
    /// What the peer's SYN or SYN-ACK says.
    pub mss: Option<u16>,
    pub wscale: Option<u8>,
    pub sack: bool,
    pub ts: bool,
    /// The window field of its SYN or SYN-ACK and, unless a segment says otherwise, of all others.
    pub syn_window: u16,
    pub window: u16,
    /// The peer's initial sequence number, and its clock of timestamps.
    pub isn: u32,
    pub clock: u32,
    /// How long the peer takes to answer during the handshake.
    pub rtt: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            config: Config::default(),
            options: Options::default(),
            mtu: 1500,
            mss: Some(1460),
            wscale: None,
            sack: false,
            ts: false,
            syn_window: 65_535,
            window: 65_535,
            isn: 0x7fff_ff00,
            clock: 1_000_000,
            rtt: millis(10),
        }
    }
}

impl Setup {
    /// The peer of today: window scale 7, SACK and timestamps.
    pub fn modern() -> Self {
        Setup { wscale: Some(7), sack: true, ts: true, ..Setup::default() }
    }
}

/// A segment, sent or heard.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seg {
    /// When it was heard, since the start.
    pub at: Duration,
    pub flags: TcpFlags,
    pub seq: u32,
    pub ack: u32,
    pub win: u16,
    pub urg: u16,
    pub data: Vec<u8>,
    pub mss: Option<u16>,
    pub wscale: Option<u8>,
    pub sack_ok: bool,
    pub ts: Option<(u32, u32)>,
    pub sack: Vec<(u32, u32)>,
    /// Options in front of those above, as they are.
    pub raw: Vec<u8>,
    /// Options of IP.
    pub ip_options: Vec<u8>,
    pub tos: u8,
    pub ttl: u8,
    pub id: u16,
    /// Bytes of the IP packet it came in.
    pub wire_len: usize,
}

impl Seg {
    pub fn has(&self, flags: TcpFlags) -> bool {
        self.flags.contains(flags)
    }

    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// One past its last number.
    pub fn end(&self) -> u32 {
        let controls = u32::from(self.has(SYN)) + u32::from(self.has(FIN));
        self.seq.wrapping_add(self.len() as u32 + controls)
    }

    /// Nothing but an acknowledgment.
    pub fn is_ack(&self) -> bool {
        self.flags == ACK && self.data.is_empty()
    }

    /// First number and length, to compare many at once.
    pub fn range(&self) -> (u32, usize) {
        (self.seq, self.len())
    }
}

pub fn ranges(segments: &[Seg]) -> Vec<(u32, usize)> {
    segments.iter().map(Seg::range).collect()
}

/// The conversation.
pub struct Talk {
    pub stack: Stack,
    link: LinkId,
    pub now: Instant,
    /// The host's connection (while it has one) and its listener.
    pub conn: SocketId,
    pub listener: Option<SocketId>,
    pub setup: Setup,
    /// Initial sequence number of the host.
    pub iss: SeqNumber,
    local_port: u16,
    /// The next number of the peer, and of the host as far as it was heard.
    pub peer_nxt: u32,
    pub host_nxt: u32,
    /// What the application has written and read.
    pub written: u32,
    pub read: u32,
    /// The host's last timestamp.
    pub ts_recent: u32,
    /// Whether [`seg`](Self::seg) has timestamps.
    pub ts: bool,
    heard: Vec<Seg>,
    /// Packets that are no TCP.
    pub others: Vec<Vec<u8>>,
    /// The SYN or SYN-ACK, and the ACK that ended an active handshake.
    pub first: Seg,
    pub handshake_ack: Option<Seg>,
}

impl Talk {
    /// A host without any connection.
    pub fn idle(setup: Setup) -> Self {
        let mut stack = Stack::new(setup.config.clone(), 7);
        let link = stack
            .add_link(LinkConfig { mtu: setup.mtu, ..LinkConfig::ip("tun0") })
            .expect("a new link");
        let address = format!("{US}/24").parse().expect("an address");
        stack.add_address(START, link, address).expect("a new address");
        let conn = stack.open_tcp().expect("room for a socket");
        let options = setup.options;
        stack.set_tcp_options(START, conn, |all| *all = options).expect("options that may be");
        let mut talk = Talk {
            stack,
            link,
            now: START,
            conn,
            listener: None,
            iss: SeqNumber(0),
            local_port: PORT,
            peer_nxt: 0,
            host_nxt: 0,
            written: 0,
            read: 0,
            ts_recent: 0,
            ts: setup.ts,
            heard: Vec::new(),
            others: Vec::new(),
            first: Seg::default(),
            handshake_ack: None,
            setup,
        };
        talk.settle();
        talk.heard.clear();
        talk.others.clear();
        talk
    }

    /// A host that listens.
    pub fn listening(setup: Setup) -> Self {
        let mut talk = Talk::idle(setup);
        let listener = talk.conn;
        talk.stack.bind(listener, (US, PORT).into()).expect("a free port");
        talk.stack.listen(talk.now, listener, 128).expect("it listens");
        talk.listener = Some(listener);
        talk
    }

    /// A host that has sent SYN.
    pub fn connecting(setup: Setup) -> Self {
        let mut talk = Talk::idle(setup);
        let (now, conn) = (talk.now, talk.conn);
        talk.stack.connect(now, conn, (PEER, PEER_PORT).into()).expect("a way to the peer");
        talk.local_port = talk.stack.local_addr(conn).expect("it has a port").port();
        talk.settle();
        let syn = talk.one();
        assert_eq!(syn.flags & (SYN | ACK | RST), SYN, "{syn:?}");
        talk.first = syn;
        talk
    }

    /// The peer has connected, and the host accepted.
    pub fn passive(setup: Setup) -> Self {
        let mut talk = Talk::listening(setup);
        let syn = talk.syn();
        talk.inject(syn);
        talk.first = talk.one();
        assert_eq!(talk.first.flags & (SYN | ACK), SYN | ACK, "{:?}", talk.first);
        talk.run(talk.setup.rtt);
        let ack = talk.seg();
        talk.inject(ack);
        talk.accept();
        talk.heard();
        talk
    }

    /// The host has connected.
    pub fn active(setup: Setup) -> Self {
        let mut talk = Talk::connecting(setup);
        talk.run(talk.setup.rtt);
        let syn_ack = talk.syn_ack();
        talk.inject(syn_ack);
        assert_eq!(talk.state(), TcpState::Established);
        talk.handshake_ack = Some(talk.one());
        talk
    }

    pub fn accept(&mut self) {
        let (now, listener) = (self.now, self.listener.expect("a listener"));
        self.conn = self.stack.accept(now, listener).expect("a connection waits").0;
    }

    /// The peer's SYN.
    pub fn syn(&self) -> Seg {
        Seg {
            flags: SYN,
            seq: 0,
            ack: 0,
            win: self.setup.syn_window,
            mss: self.setup.mss,
            wscale: self.setup.wscale,
            sack_ok: self.setup.sack,
            ts: self.setup.ts.then(|| (self.peer_clock(), self.ts_recent)),
            ..Seg::default()
        }
    }

    /// The peer's answer to our SYN.
    pub fn syn_ack(&self) -> Seg {
        Seg { flags: SYN | ACK, ack: 1, ..self.syn() }
    }

    /// The next segment of the peer, which acknowledges everything heard; to be changed.
    pub fn seg(&self) -> Seg {
        Seg {
            flags: ACK,
            seq: self.peer_nxt,
            ack: self.host_nxt,
            win: self.setup.window,
            ts: self.ts.then(|| (self.peer_clock(), self.ts_recent)),
            ..Seg::default()
        }
    }

    /// The next `len` bytes of the peer.
    pub fn data(&self, len: usize) -> Seg {
        Seg { flags: ACK | PSH, data: bytes(self.peer_nxt, len), ..self.seg() }
    }

    /// `len` bytes of the peer from `seq` on.
    pub fn data_at(&self, seq: u32, len: usize) -> Seg {
        Seg { flags: ACK | PSH, seq, data: bytes(seq, len), ..self.seg() }
    }

    pub fn peer_clock(&self) -> u32 {
        self.setup.clock.wrapping_add(self.since_start().as_millis() as u32)
    }

    pub fn since_start(&self) -> Duration {
        self.now - START
    }

    /// Gives the host a segment, and lets it react.
    pub fn inject(&mut self, seg: Seg) {
        let end = seg.end();
        if end.wrapping_sub(self.peer_nxt) as i32 > 0 {
            self.peer_nxt = end;
        }
        let packet = self.build(&seg);
        self.inject_packet(packet);
    }

    /// Gives it a segment; returns what it sends at once.
    pub fn exchange(&mut self, seg: Seg) -> Vec<Seg> {
        self.inject(seg);
        self.heard()
    }

    pub fn inject_packet(&mut self, packet: Vec<u8>) {
        self.stack.handle_frame(self.now, self.link, Packet::from_slice(&packet));
        self.settle();
    }

    /// An ICMP error about a segment of the host: `quoted` bytes of its TCP header.
    pub fn inject_icmp(&mut self, message: Message, seq: u32, quoted: usize) {
        let mut tcp = vec![0; HEADER_LEN];
        self.header(&Seg::default()).emit(&mut tcp);
        tcp[..2].copy_from_slice(&self.local_port.to_be_bytes());
        tcp[2..4].copy_from_slice(&PEER_PORT.to_be_bytes());
        tcp[4..8].copy_from_slice(&(self.iss + seq).0.to_be_bytes());
        let header = ip_header(US, PEER, Protocol::TCP, 40, &Seg::default());
        let mut quote = with_header(&header, &[], &tcp);
        quote.truncate(ipv4::HEADER_LEN + quoted);
        let payload = icmp(message, &quote);
        let header = ip_header(PEER, US, Protocol::ICMP, payload.len(), &Seg::default());
        self.inject_packet(with_header(&header, &[], &payload));
    }

    fn header(&self, seg: &Seg) -> TcpRepr<'static> {
        TcpRepr {
            src_port: PEER_PORT,
            dst_port: self.local_port,
            seq: SeqNumber(self.setup.isn) + seg.seq,
            ack: if seg.has(ACK) { self.iss + seg.ack } else { SeqNumber(0) },
            flags: seg.flags,
            window: seg.win,
            urgent: seg.urg,
            options: TcpOptionsRepr::default(),
        }
    }

    /// The bytes of a segment of the peer.
    pub fn build(&self, seg: &Seg) -> Vec<u8> {
        let blocks: Vec<SackBlock> = seg
            .sack
            .iter()
            .map(|(left, right)| SackBlock { left: self.iss + *left, right: self.iss + *right })
            .collect();
        let options = TcpOptionsRepr {
            mss: seg.mss,
            window_scale: seg.wscale,
            sack_permitted: seg.sack_ok,
            timestamps: seg.ts,
            fast_open: None,
            sack: &blocks,
        };
        let mut list = seg.raw.clone();
        list.resize(list.len().next_multiple_of(4), 1);
        let start = list.len();
        list.resize(start + options.len(), 0);
        options.emit(&mut list[start..]);
        let mut bytes = vec![0; HEADER_LEN];
        self.header(seg).emit(&mut bytes);
        bytes[12] = (bytes[12] & 0xf) | (((HEADER_LEN + list.len()) / 4) as u8) << 4;
        bytes.extend(list);
        bytes.extend(&seg.data);
        let pseudo = pseudo_header_sum(PEER, US, Protocol::TCP, bytes.len() as u16);
        tcp::fill_checksum(&mut bytes, pseudo);
        let header = ip_header(PEER, US, Protocol::TCP, bytes.len(), seg);
        with_header(&header, &seg.ip_options, &bytes)
    }

    /// Lets the host act until it rests.
    pub fn settle(&mut self) {
        for _ in 0..MAX_STEPS {
            let due = self.stack.poll_timeout().is_some_and(|at| at <= self.now);
            if due {
                self.stack.handle_timeout(self.now);
            }
            while let Some(packet) = self.stack.poll_transmit(self.now, self.link) {
                self.hear(packet.bytes());
                self.stack.recycle(packet);
            }
            if !due {
                return;
            }
        }
        panic!("the host does not rest");
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.settle();
        while let Some(at) = self.stack.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    /// Lets time pass until the host sends something, at most so long; that is returned.
    #[track_caller]
    pub fn next(&mut self, within: Duration) -> Seg {
        let end = self.now + within;
        self.settle();
        while self.heard.is_empty() {
            let at = self.stack.poll_timeout().filter(|at| *at <= end);
            self.now = self.now.max(at.expect("the host sends something in time"));
            self.settle();
        }
        self.heard.remove(0)
    }

    #[track_caller]
    fn hear(&mut self, packet: &[u8]) {
        let ip = Ipv4::parse(packet).expect("an IPv4 packet");
        assert!(ip.verify_checksum() && packet.len() <= self.setup.mtu, "{packet:?}");
        if ip.protocol() != Protocol::TCP {
            self.others.push(packet.to_vec());
            return;
        }
        let len = ip.payload().len() as u16;
        let pseudo = pseudo_header_sum(US, ip.dst(), Protocol::TCP, len);
        let tcp = Tcp::parse(ip.payload()).expect("a TCP segment");
        assert!(tcp.verify_checksum(pseudo), "the checksum of {packet:?}");
        if tcp.flags().contains(SYN) {
            self.iss = tcp.seq();
        }
        let isn = SeqNumber(self.setup.isn);
        let mut seg = Seg {
            at: self.since_start(),
            flags: tcp.flags(),
            seq: tcp.seq().since(self.iss),
            ack: if tcp.flags().contains(ACK) { tcp.ack().since(isn) } else { 0 },
            win: tcp.window(),
            urg: tcp.urgent(),
            data: tcp.payload().to_vec(),
            ip_options: ip.options().to_vec(),
            tos: ip.tos(),
            ttl: ip.ttl(),
            id: ip.id(),
            wire_len: packet.len(),
            ..Seg::default()
        };
        for option in TcpOptions::new(tcp.options()).map(|option| option.expect("well-formed")) {
            match option {
                TcpOption::MaximumSegmentSize(mss) => seg.mss = Some(mss),
                TcpOption::WindowScale(shift) => seg.wscale = Some(shift),
                TcpOption::SackPermitted => seg.sack_ok = true,
                TcpOption::Timestamps { value, echo } => {
                    seg.ts = Some((value, echo));
                    self.ts_recent = value;
                }
                TcpOption::Sack(blocks) => {
                    let blocks = blocks.iter();
                    seg.sack = blocks.map(|b| (b.left.since(isn), b.right.since(isn))).collect();
                }
                _ => {}
            }
        }
        assert_eq!(seg.data, bytes(seg.seq, seg.len()), "the bytes at {}", seg.seq);
        if seg.end().wrapping_sub(self.host_nxt) as i32 > 0 {
            self.host_nxt = seg.end();
        }
        self.heard.push(seg);
    }

    /// What the host has sent since it was asked last.
    pub fn heard(&mut self) -> Vec<Seg> {
        core::mem::take(&mut self.heard)
    }

    /// The only segment that it has sent.
    #[track_caller]
    pub fn one(&mut self) -> Seg {
        let mut heard = self.heard();
        assert_eq!(heard.len(), 1, "exactly one segment: {heard:#?}");
        heard.remove(0)
    }

    /// It has sent nothing.
    #[track_caller]
    pub fn silent(&mut self) {
        let heard = self.heard();
        assert!(heard.is_empty(), "nothing should be sent: {heard:#?}");
    }

    /// The application writes the next `len` bytes; returns how many were taken.
    pub fn try_write(&mut self, len: usize, flags: SendFlags) -> Result<usize, SocketError> {
        let data = bytes(self.written + 1, len);
        let n = self.stack.send_with_flags(self.now, self.conn, &data, flags)?;
        self.written += n as u32;
        self.settle();
        Ok(n)
    }

    #[track_caller]
    pub fn write(&mut self, len: usize) {
        assert_eq!(self.try_write(len, SendFlags::empty()), Ok(len), "there is room");
    }

    /// Writes; returns what leaves at once.
    #[track_caller]
    pub fn sent(&mut self, len: usize) -> Vec<Seg> {
        self.write(len);
        self.heard()
    }

    /// The application reads up to `max` bytes, which are those that were sent.
    pub fn try_read(&mut self, max: usize) -> Result<usize, SocketError> {
        let mut buffer = vec![0; max];
        let is_at_mark = self.stack.is_at_mark(self.conn)?;
        let received = self.stack.receive(self.now, self.conn, &mut buffer);
        // The urgent byte is passed over, be there something behind it or not.
        if is_at_mark
            && !self.stack.tcp_options(self.conn)?.oob_inline
            && !self.stack.is_at_mark(self.conn)?
        {
            self.read += 1;
        }
        let n = received?;
        assert_eq!(buffer[..n], bytes(self.read + 1, n), "the bytes at {}", self.read + 1);
        self.read += n as u32;
        self.settle();
        Ok(n)
    }

    /// Reads everything there is.
    pub fn read_all(&mut self) -> usize {
        let mut all = 0;
        while let Ok(n @ 1..) = self.try_read(1 << 20) {
            all += n;
        }
        all
    }

    /// Reads everything there is, whatever it is: urgent bytes may have been taken out.
    pub fn drain(&mut self) -> usize {
        let (mut buffer, mut all) = (vec![0; 1 << 20], 0);
        while let Ok(n @ 1..) = self.stack.receive(self.now, self.conn, &mut buffer) {
            all += n;
        }
        self.settle();
        all
    }

    pub fn set(&mut self, change: impl FnOnce(&mut Options)) {
        self.stack.set_tcp_options(self.now, self.conn, change).expect("options that may be");
        self.settle();
    }

    pub fn close(&mut self) {
        self.stack.close(self.now, self.conn).expect("a socket");
        self.settle();
    }

    pub fn state(&self) -> TcpState {
        self.stack.tcp_state(self.conn).expect("a socket")
    }

    pub fn info(&self) -> TcpInfo {
        self.stack.tcp_info(self.conn).expect("a connection")
    }

    pub fn ready(&self) -> Readiness {
        self.stack.readiness(self.conn)
    }

    /// `SO_ERROR`.
    pub fn error(&mut self) -> Option<SocketError> {
        self.stack.take_error(self.conn).expect("a socket")
    }
}

fn ip_header(src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, len: usize, seg: &Seg) -> Ipv4Repr {
    let options_len = seg.ip_options.len().next_multiple_of(4);
    Ipv4Repr {
        tos: seg.tos,
        id: 1,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol,
        src,
        dst,
        total_len: (ipv4::HEADER_LEN + options_len + len) as u16,
        options_len,
    }
}

fn with_header(header: &Ipv4Repr, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; ipv4::HEADER_LEN];
    packet.extend_from_slice(options);
    packet.resize(ipv4::HEADER_LEN + header.options_len, 0);
    header.emit(&mut packet);
    packet.extend_from_slice(payload);
    packet
}
