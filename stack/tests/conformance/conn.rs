//! A connection of the host, and a peer that does what a test says.
//!
//! Numbers count segments of [`MSS`] bytes from the first byte of each direction, so that the third
//! segment of the host is 2 to 3. The peer's window is never the limit unless a test says so.

use core::cell::Cell;

use tapping_stack::tcp::cc::CongestionAlgorithm;
use tapping_stack::tcp::info::TcpInfo;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::ipv4::pseudo_header_sum;
use tapping_stack::wire::{
    Ipv4, Protocol, SackBlock, SeqNumber, Tcp, TcpFlags, TcpOption, TcpOptions as WireOptions,
    TcpOptionsRepr, TcpRepr, tcp,
};
use tapping_stack::{Config, LinkId, SocketId, Stack, TcpOptions};

use crate::host::{PEER, US};
use crate::lab::{Host, Ip, Lab, Tester};

/// Payload of a full segment.
pub const MSS: u32 = 1000;
/// The peer's first number, and its clock when it begins.
const PEER_ISN: SeqNumber = SeqNumber(0xffff_f000);
const PEER_CLOCK: u32 = 500_000;
const PEER_PORT: u16 = 4000;
const PORT: u16 = 80;

/// What a connection is to be like.
#[derive(Debug, Clone)]
pub struct Setup {
    pub sack: bool,
    pub timestamps: bool,
    /// The peer asks for ECN, or agrees to it.
    pub ecn: bool,
    /// The host opens it.
    pub active: bool,
    pub rtt: Duration,
    pub config: Config,
    pub options: TcpOptions,
}

impl Default for Setup {
    /// SACK, no timestamps, Reno, a round trip of 100 ms, and a buffer that holds all that is
    /// written.
    fn default() -> Self {
        let options = TcpOptions {
            congestion: Some(CongestionAlgorithm::Reno),
            send_buffer: Some(1 << 20),
            ..TcpOptions::default()
        };
        Setup {
            sack: true,
            timestamps: false,
            ecn: false,
            active: false,
            rtt: Duration::from_millis(100),
            config: Config::default(),
            options,
        }
    }
}

impl Setup {
    pub fn sack(self, sack: bool) -> Self {
        Setup { sack, ..self }
    }

    pub fn timestamps(self) -> Self {
        Setup { timestamps: true, ..self }
    }

    pub fn ecn(self) -> Self {
        Setup { ecn: true, ..self }
    }

    pub fn cubic(mut self) -> Self {
        self.options.congestion = Some(CongestionAlgorithm::Cubic);
        self
    }

    pub fn options(mut self, set: impl FnOnce(&mut TcpOptions)) -> Self {
        set(&mut self.options);
        self
    }

    pub fn config(mut self, set: impl FnOnce(&mut Config)) -> Self {
        set(&mut self.config);
        self
    }

    pub fn open(self) -> Conn {
        Conn::open(self)
    }
}

/// A segment that the host sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Milliseconds, and the time itself.
    pub at: u64,
    pub time: Instant,
    /// Bytes from the first one of the host's data; SYN is before.
    pub seq: i64,
    pub len: u32,
    pub flags: TcpFlags,
    /// Bytes of the peer's data acknowledged.
    pub ack: u32,
    pub window: u16,
    pub timestamps: Option<(u32, u32)>,
    /// In bytes of the peer's data.
    pub sack: Vec<(u32, u32)>,
    pub sack_permitted: bool,
    pub mss: Option<u16>,
    /// The ECN field.
    pub ecn: u8,
}

impl Sent {
    pub fn is(&self, flags: TcpFlags) -> bool {
        self.flags.contains(flags)
    }

    /// Its number, counted in segments.
    #[track_caller]
    pub fn number(&self) -> u32 {
        assert_eq!(self.seq % i64::from(MSS), 0, "a whole segment: {self:?}");
        (self.seq / i64::from(MSS)) as u32
    }
}

/// A segment that the peer sends; numbers count bytes of data.
#[derive(Debug, Clone)]
pub struct Seg {
    pub seq: u32,
    pub len: u32,
    pub ack: u32,
    pub flags: TcpFlags,
    pub window: u16,
    pub sack: Vec<(u32, u32)>,
    /// TSecr; the last one heard when `None`.
    pub echo: Option<u32>,
    pub ecn: u8,
    /// The ECN fields of the fragments it comes in; none when it is whole.
    pub fragments: Vec<u8>,
}

pub struct Conn {
    pub lab: Lab,
    pub host: Host,
    pub link: LinkId,
    pub tester: Tester,
    pub socket: SocketId,
    /// The host's number of its first byte.
    first: SeqNumber,
    timestamps: bool,
    sack: bool,
    /// The host's last TSval.
    last_ts: Cell<u32>,
    /// The window of the peer's ACKs, in units of 128 bytes.
    pub window: u16,
    /// How far the peer's own data has come.
    pub sent_up_to: u32,
    start: Instant,
}

impl Conn {
    pub fn open(setup: Setup) -> Self {
        let mut conn = Conn::prepare(&setup);
        match setup.active {
            true => conn.connect(&setup),
            false => conn.accept(&setup),
        }
        conn.lab.heard(conn.tester);
        conn.start = conn.lab.now();
        conn
    }

    /// The host, with a socket that is nothing yet.
    pub fn prepare(setup: &Setup) -> Self {
        let (mut lab, host, link, tester) =
            Lab::with_tester_and(&format!("{US}/24"), setup.config.clone());
        lab.know(host, link, PEER, tester.mac);
        lab.run_for(Duration::from_secs(60));
        lab.heard(tester);
        let now = lab.now();
        let stack = lab.stack(host);
        let socket = stack.open_tcp().expect("a socket");
        stack.set_tcp_options(now, socket, |options| *options = setup.options).expect("options");
        Conn {
            lab,
            host,
            link,
            tester,
            socket,
            first: SeqNumber(0),
            timestamps: setup.timestamps,
            sack: setup.sack,
            last_ts: Cell::new(0),
            window: u16::MAX,
            sent_up_to: 0,
            start: now,
        }
    }

    pub fn stack(&mut self) -> &mut Stack {
        self.lab.stack(self.host)
    }

    pub fn listen(&mut self) {
        let (now, socket) = (self.lab.now(), self.socket);
        self.stack().bind(socket, (US, PORT).into()).expect("a free port");
        self.stack().listen(now, socket, 8).expect("a listener");
    }

    /// Takes the connection that was made.
    pub fn take(&mut self) {
        let (now, listener) = (self.lab.now(), self.socket);
        self.socket = self.stack().accept(now, listener).expect("a connection").0;
    }

    fn accept(&mut self, setup: &Setup) {
        self.listen();
        let ask = if setup.ecn { TcpFlags::ECE | TcpFlags::CWR } else { TcpFlags::empty() };
        self.syn(TcpFlags::SYN | ask);
        let syn_ack = self.sent().pop().expect("a SYN-ACK");
        assert!(syn_ack.is(TcpFlags::SYN | TcpFlags::ACK), "{syn_ack:?}");
        self.lab.run_for(setup.rtt);
        self.ack(0);
        self.take();
    }

    fn connect(&mut self, setup: &Setup) {
        self.start_connect();
        let syn = self.sent().pop().expect("a SYN");
        assert_eq!(syn.is(TcpFlags::ECE), syn.is(TcpFlags::CWR));
        self.lab.run_for(setup.rtt);
        let agree = if setup.ecn { TcpFlags::ECE } else { TcpFlags::empty() };
        self.syn(TcpFlags::SYN | TcpFlags::ACK | agree);
    }

    /// The host asks for a connection.
    pub fn start_connect(&mut self) {
        let (now, socket) = (self.lab.now(), self.socket);
        let to = (PEER, PEER_PORT).into();
        self.stack().bind(socket, (US, PORT).into()).expect("a free port");
        self.stack().connect(now, socket, to).expect("it is tried");
        self.lab.settle();
    }

    /// The peer's SYN, or SYN-ACK.
    pub fn syn(&mut self, flags: TcpFlags) {
        let mss = MSS as u16 + if self.timestamps { 12 } else { 0 };
        let echo = if flags.contains(TcpFlags::ACK) { self.last_ts.get() } else { 0 };
        let options = TcpOptionsRepr {
            mss: Some(mss),
            window_scale: Some(7),
            sack_permitted: self.sack,
            timestamps: self.timestamps.then(|| (self.clock(), echo)),
            ..TcpOptionsRepr::default()
        };
        let repr = TcpRepr {
            src_port: PEER_PORT,
            dst_port: PORT,
            seq: PEER_ISN,
            ack: if flags.contains(TcpFlags::ACK) { self.first } else { SeqNumber(0) },
            flags,
            window: u16::MAX,
            urgent: 0,
            options,
        };
        self.deliver(&repr, 0, 0, &[]);
    }

    /// The peer's clock.
    pub fn clock(&self) -> u32 {
        PEER_CLOCK.wrapping_add(self.lab.now().as_millis() as u32)
    }

    /// In one packet, or in fragments with these ECN fields.
    fn deliver(&mut self, repr: &TcpRepr<'_>, len: u32, ecn: u8, fragments: &[u8]) {
        let mut bytes = vec![0; repr.header_len()];
        repr.emit(&mut bytes);
        bytes.resize(bytes.len() + len as usize, b'p');
        let pseudo = pseudo_header_sum(PEER, US, Protocol::TCP, bytes.len() as u16);
        tcp::fill_checksum(&mut bytes, pseudo);
        if fragments.is_empty() {
            let packet = Ip::new(PEER, US, Protocol::TCP, bytes).tos(ecn).df().build();
            self.lab.inject_ip(self.tester, self.host, self.link, &packet);
            return;
        }
        let size = bytes.len().div_ceil(fragments.len()).next_multiple_of(8);
        for (n, (piece, ecn)) in bytes.chunks(size).zip(fragments).enumerate() {
            let packet = Ip::new(PEER, US, Protocol::TCP, piece.to_vec()).tos(*ecn);
            let more = (n + 1) * size < bytes.len();
            let packet = packet.fragment(n * size, more).build();
            self.lab.inject_ip(self.tester, self.host, self.link, &packet);
        }
    }

    /// A pure ACK of so many segments, to be changed.
    pub fn seg(&self, ack: u32) -> Seg {
        Seg {
            seq: self.sent_up_to,
            len: 0,
            ack: ack * MSS,
            flags: TcpFlags::ACK,
            window: self.window,
            sack: Vec::new(),
            echo: None,
            ecn: 0,
            fragments: Vec::new(),
        }
    }

    /// The peer sends this.
    pub fn inject(&mut self, seg: &Seg) {
        let block = |&(left, right): &(u32, u32)| SackBlock {
            left: self.first + left,
            right: self.first + right,
        };
        let sack: Vec<SackBlock> = seg.sack.iter().map(block).collect();
        let echo = seg.echo.unwrap_or(self.last_ts.get());
        let options = TcpOptionsRepr {
            timestamps: self.timestamps.then(|| (self.clock(), echo)),
            sack: &sack,
            ..TcpOptionsRepr::default()
        };
        let repr = TcpRepr {
            src_port: PEER_PORT,
            dst_port: PORT,
            seq: PEER_ISN + 1 + seg.seq,
            ack: self.first + seg.ack,
            flags: seg.flags,
            window: seg.window,
            urgent: 0,
            options,
        };
        self.deliver(&repr, seg.len, seg.ecn, &seg.fragments);
    }

    /// The peer acknowledges so many segments.
    pub fn ack(&mut self, ack: u32) {
        let seg = self.seg(ack);
        self.inject(&seg);
    }

    /// The same, with an echo of that timestamp.
    pub fn ack_echoing(&mut self, ack: u32, echo: u32) {
        let seg = Seg { echo: Some(echo), ..self.seg(ack) };
        self.inject(&seg);
    }

    /// The peer acknowledges so many segments, and others beyond.
    pub fn sack(&mut self, ack: u32, blocks: &[(u32, u32)]) {
        let sack = blocks.iter().map(|(left, right)| (left * MSS, right * MSS)).collect();
        let seg = Seg { sack, ..self.seg(ack) };
        self.inject(&seg);
    }

    /// An ACK with ECE.
    pub fn ack_ece(&mut self, ack: u32) {
        let seg = Seg { flags: TcpFlags::ACK | TcpFlags::ECE, ..self.seg(ack) };
        self.inject(&seg);
    }

    /// The peer sends data, from byte `seq` of its stream on.
    pub fn data(&mut self, seq: u32, len: u32) {
        self.data_with(seq, len, |_| {});
    }

    pub fn data_with(&mut self, seq: u32, len: u32, change: impl FnOnce(&mut Seg)) {
        let mut seg = Seg { seq, len, flags: TcpFlags::ACK, ..self.seg(0) };
        change(&mut seg);
        self.inject(&seg);
        if seq == self.sent_up_to {
            self.sent_up_to += len;
        }
    }

    /// The application writes so many segments.
    pub fn write(&mut self, segments: u32) {
        self.write_bytes(segments * MSS);
    }

    pub fn write_bytes(&mut self, bytes: u32) {
        let (now, socket) = (self.lab.now(), self.socket);
        let data = vec![b'h'; bytes as usize];
        let taken = self.stack().send(now, socket, &data).expect("a connection");
        assert_eq!(taken, data.len(), "there is room in the buffer");
        self.lab.settle();
    }

    /// The application reads all there is.
    pub fn read(&mut self) -> usize {
        let (now, socket) = (self.lab.now(), self.socket);
        let mut buffer = vec![0; 1 << 20];
        let len = self.stack().receive(now, socket, &mut buffer).expect("there is data");
        self.lab.settle();
        len
    }

    pub fn run(&mut self, millis: u64) {
        self.lab.run_for(Duration::from_millis(millis));
    }

    /// Milliseconds since the connection was made.
    pub fn at(&self) -> u64 {
        (self.lab.now() - self.start).as_millis() as u64
    }

    /// All that the host has sent since it was asked last.
    pub fn sent(&mut self) -> Vec<Sent> {
        let heard = self.lab.heard(self.tester);
        let packets = heard.iter().filter_map(|heard| Some((heard.at, heard.ip()?)));
        packets.map(|(at, packet)| self.read_segment(at, &packet)).collect()
    }

    fn read_segment(&mut self, at: Instant, packet: &[u8]) -> Sent {
        let ip = Ipv4::parse(packet).expect("an IPv4 packet");
        let tcp = Tcp::parse(ip.payload()).expect("a TCP segment");
        if tcp.flags().contains(TcpFlags::SYN) {
            self.first = tcp.seq() + 1;
        }
        let mut sent = Sent {
            at: (at - self.start).as_millis() as u64,
            time: at,
            seq: i64::from(tcp.seq() - self.first),
            len: tcp.payload().len() as u32,
            flags: tcp.flags(),
            ack: tcp.ack().since(PEER_ISN + 1),
            window: tcp.window(),
            timestamps: None,
            sack: Vec::new(),
            sack_permitted: false,
            mss: None,
            ecn: ip.tos() & 3,
        };
        for option in WireOptions::new(tcp.options()).flatten() {
            match option {
                TcpOption::Timestamps { value, echo } => {
                    sent.timestamps = Some((value, echo));
                    self.last_ts.set(value);
                }
                TcpOption::Sack(blocks) => {
                    let place = |number: SeqNumber| number.since(PEER_ISN + 1);
                    let blocks = blocks.iter();
                    sent.sack = blocks.map(|b| (place(b.left), place(b.right))).collect();
                }
                TcpOption::SackPermitted => sent.sack_permitted = true,
                TcpOption::MaximumSegmentSize(mss) => sent.mss = Some(mss),
                _ => {}
            }
        }
        sent
    }

    /// The numbers of the segments with data that the host has sent since it was asked last.
    pub fn numbers(&mut self) -> Vec<u32> {
        self.sent().iter().filter(|sent| sent.len > 0).map(Sent::number).collect()
    }

    /// The only segment that the host has sent.
    #[track_caller]
    pub fn only(&mut self) -> Sent {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "exactly one segment: {sent:?}");
        sent.remove(0)
    }

    /// The host has sent nothing.
    #[track_caller]
    pub fn quiet(&mut self) {
        let sent = self.sent();
        assert!(sent.is_empty(), "nothing is sent: {sent:?}");
    }

    pub fn info(&mut self) -> TcpInfo {
        let socket = self.socket;
        self.stack().tcp_info(socket).expect("a connection")
    }

    /// Congestion window and threshold.
    pub fn window(&mut self) -> (u32, u32) {
        let info = self.info();
        (info.snd_cwnd, info.snd_ssthresh)
    }

    pub fn ext(&mut self) -> tapping_stack::stats::TcpExtMib {
        self.lab.snapshot(self.host).tcp_ext
    }

    /// The peer offers another window, with data, so that it is believed.
    pub fn offer(&mut self, window: u16) {
        let ack = self.info().bytes_acked.saturating_sub(1) as u32;
        for _ in 0..2 {
            let seq = self.sent_up_to;
            self.data_with(seq, 1, |seg| (seg.ack, seg.window) = (ack, window));
        }
        self.window = window;
        self.sent();
    }

    /// The host sends at once what its window allows and the peer acknowledges it a round trip
    /// later, one segment after another, until the window is so large; then nothing is in flight.
    /// Returns how many segments there were.
    pub fn grow_to(&mut self, cwnd: u32) -> u32 {
        let mut acked = 0;
        while self.info().snd_cwnd < cwnd {
            let n = self.info().snd_cwnd;
            self.write(n);
            self.run(100);
            for _ in 0..n {
                if self.info().snd_cwnd == cwnd {
                    break;
                }
                acked += 1;
                self.ack(acked);
            }
            let left = self.info().unacked;
            if left > 0 {
                acked += left;
                // Beside the window: what is left counts for nothing.
                let before = self.info().snd_cwnd;
                self.ack(acked);
                assert!(self.info().snd_cwnd >= before);
            }
        }
        self.sent();
        acked
    }
}

/// `first..last` as a list.
pub fn numbers(range: core::ops::Range<u32>) -> Vec<u32> {
    range.collect()
}
