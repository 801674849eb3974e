//! A connection of the host in any state, with its peer played by hand.

use std::mem::swap;
use std::ops::{Deref, DerefMut};

use tapping_stack::Shutdown;
use tapping_stack::stats::{Snapshot, TcpExtMib};
use tapping_stack::tcp::info::TcpInfo;
use tapping_stack::time::Duration;
use tapping_stack::wire::tcp_options::kinds;
use tapping_stack::wire::{Message, SeqNumber, TcpFlags};
use tapping_stack::{Config, SocketError, SocketId};
use tapping_stack::{TcpOptions, TcpState};

use crate::host::{Bench, PEER, US};
use crate::lab::{Ip, icmp};
use crate::segment::*;

/// The port that the host listens at.
pub const PORT: u16 = 80;
/// The peer's port.
pub const PEER_PORT: u16 = 4000;

/// Where a connection stands: the states of RFC 9293 §3.3.2 that have a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    SynSent,
    /// After listening.
    SynReceived,
    /// After connecting: the SYNs have crossed.
    SynCrossed,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

/// The synchronized states, SYN-RECEIVED among them.
pub const SYNCHRONIZED: [At; 9] = [
    At::SynReceived,
    At::SynCrossed,
    At::Established,
    At::FinWait1,
    At::FinWait2,
    At::CloseWait,
    At::Closing,
    At::LastAck,
    At::TimeWait,
];

/// How the host is set up and what the peer's SYN says.
#[derive(Debug, Clone)]
pub struct Setup {
    pub config: Config,
    pub mtu: usize,
    pub seed: u64,
    pub options: TcpOptions,
    pub backlog: usize,
    /// The peer's initial sequence number.
    pub irs: u32,
    /// What the peer offers in every segment, not scaled.
    pub window: u16,
    pub mss: Option<u16>,
    pub wscale: Option<u8>,
    pub sack: bool,
    /// The peer's clock, with timestamps.
    pub clock: Option<u32>,
}

impl Setup {
    /// Nothing but an MSS of 1460, and answers to strange segments without a limit.
    pub fn plain() -> Self {
        let mut config = Config::default();
        config.tcp.invalid_ratelimit = Duration::ZERO;
        Setup {
            config,
            mtu: 1500,
            seed: 1,
            options: TcpOptions::default(),
            backlog: 16,
            irs: 1_000_000,
            window: u16::MAX,
            mss: Some(1460),
            wscale: None,
            sack: false,
            clock: None,
        }
    }

    /// SACK, timestamps and a window scale of 7 beside.
    pub fn full() -> Self {
        Setup { wscale: Some(7), sack: true, clock: Some(5_000_000), ..Setup::plain() }
    }

    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    pub fn options(mut self, change: impl FnOnce(&mut TcpOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// A host with nothing on it yet.
    pub fn bench(&self) -> Bench {
        Bench::seeded(self.config.clone(), self.mtu, self.seed)
    }

    /// A connection in this state.
    #[track_caller]
    pub fn at(self, at: At) -> Conn {
        Conn::at(self, at)
    }

    fn syn_options(&self, echo: u32) -> Vec<u8> {
        let mut bytes = self.mss.map_or(Vec::new(), mss_option);
        if self.sack {
            bytes.extend([kinds::NOP, kinds::NOP, kinds::SACK_PERMITTED, 2]);
        }
        if let Some(clock) = self.clock {
            bytes.extend(ts_option(clock, echo));
        }
        if let Some(shift) = self.wscale {
            bytes.extend([kinds::NOP, kinds::WINDOW_SCALE, 3, shift]);
        }
        bytes
    }
}

/// A connection and its peer.
pub struct Conn {
    pub bench: Bench,
    pub setup: Setup,
    pub listener: Option<SocketId>,
    socket: Option<SocketId>,
    pub local: u16,
    pub remote: u16,
    /// The host's initial sequence number.
    pub iss: SeqNumber,
    /// The host's numbers: the highest it has sent, and the next that it waits for.
    pub snd_nxt: SeqNumber,
    pub rcv_nxt: SeqNumber,
    /// The host's last TSval.
    pub echo: u32,
    /// The last window that the host offered, not scaled.
    pub offered: u16,
}

/// A connection that a test has turned away from; the fields are those of [`Conn`].
pub struct Flow {
    pub socket: Option<SocketId>,
    remote: u16,
    iss: SeqNumber,
    snd_nxt: SeqNumber,
    rcv_nxt: SeqNumber,
    echo: u32,
    offered: u16,
}

impl Deref for Conn {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl DerefMut for Conn {
    fn deref_mut(&mut self) -> &mut Bench {
        &mut self.bench
    }
}

impl Conn {
    #[track_caller]
    fn at(setup: Setup, at: At) -> Self {
        let mut conn = match at {
            At::SynSent | At::SynCrossed => Conn::connect(setup),
            _ => Conn::listen(setup),
        };
        conn.drive(at);
        conn.expect(at);
        conn
    }

    /// A host that listens, before any SYN.
    #[track_caller]
    pub fn listen(setup: Setup) -> Self {
        let mut bench = setup.bench();
        let listener = bench.stack().open_tcp().expect("room for a socket");
        let now = bench.lab.now();
        let options = setup.options;
        bench.stack().set_tcp_options(now, listener, |to| *to = options).expect("options");
        bench.stack().bind(listener, (US, PORT).into()).expect("a free port");
        let backlog = setup.backlog;
        bench.stack().listen(now, listener, backlog).expect("a bound socket");
        Conn::new(bench, setup, Some(listener), None, PORT)
    }

    /// A host that has sent its SYN.
    #[track_caller]
    pub fn connect(setup: Setup) -> Self {
        let mut bench = setup.bench();
        let socket = bench.stack().open_tcp().expect("room for a socket");
        let now = bench.lab.now();
        let options = setup.options;
        bench.stack().set_tcp_options(now, socket, |to| *to = options).expect("options");
        bench.stack().connect(now, socket, (PEER, PEER_PORT).into()).expect("a route");
        let local = bench.stack().local_addr(socket).expect("a port").port();
        let mut conn = Conn::new(bench, setup, None, Some(socket), local);
        let syn = conn.only();
        assert_eq!(syn.flags, SYN);
        conn.iss = syn.seq;
        conn.snd_nxt = syn.seq + 1;
        conn
    }

    fn new(
        bench: Bench,
        setup: Setup,
        listener: Option<SocketId>,
        socket: Option<SocketId>,
        local: u16,
    ) -> Self {
        let zero = SeqNumber(0);
        let rcv_nxt = SeqNumber(setup.irs);
        let remote = PEER_PORT;
        let (iss, snd_nxt, echo, offered) = (zero, zero, 0, 0);
        Conn { bench, setup, listener, socket, local, remote, iss, snd_nxt, rcv_nxt, echo, offered }
    }

    #[track_caller]
    fn drive(&mut self, at: At) {
        match at {
            At::SynSent => return,
            At::SynCrossed => {
                let syn = self.syn();
                let answer = self.one(&syn);
                assert_eq!((answer.flags, answer.seq), (SYN_ACK, self.iss));
                self.rcv_nxt += 1;
                return;
            }
            _ => {}
        }
        self.shake(at == At::SynReceived);
        match at {
            At::FinWait1 | At::FinWait2 | At::Closing | At::TimeWait => self.send_fin(),
            At::CloseWait | At::LastAck => self.receive_fin(),
            _ => {}
        }
        match at {
            At::FinWait2 | At::TimeWait => {
                let ack = self.seg(ACK);
                self.quietly(&ack);
            }
            At::Closing => {
                let fin = self.seg(FIN_ACK).ack(self.snd_nxt - 1);
                let answer = self.one(&fin);
                self.rcv_nxt += 1;
                assert!(answer.is_ack(self.snd_nxt, self.rcv_nxt), "{answer:?}");
            }
            At::LastAck => self.send_fin(),
            _ => {}
        }
        if at == At::TimeWait {
            self.receive_fin();
        }
    }

    /// The peer's SYN, the host's SYN-ACK and, unless the connection is to stay in SYN-RECEIVED,
    /// the ACK; the connection is accepted.
    #[track_caller]
    pub fn shake(&mut self, stay: bool) {
        let syn = self.syn();
        let answer = self.one(&syn);
        assert_eq!((answer.flags, answer.ack), (SYN_ACK, syn.seq + 1));
        self.iss = answer.seq;
        self.snd_nxt = answer.seq + 1;
        self.rcv_nxt = syn.seq + 1;
        if !stay {
            let ack = self.seg(ACK);
            self.quietly(&ack);
            self.accept();
        }
    }

    /// Accepts the connection.
    #[track_caller]
    pub fn accept(&mut self) -> SocketId {
        let listener = self.listener.expect("a listener");
        let now = self.bench.lab.now();
        let (socket, _) = self.stack().accept(now, listener).expect("a connection waits");
        self.socket = Some(socket);
        socket
    }

    /// The host shuts down its side, and its FIN is heard.
    #[track_caller]
    pub fn send_fin(&mut self) {
        self.shutdown(Shutdown::Write).expect("connected");
        let fin = self.only();
        assert_eq!((fin.flags & FIN_ACK, fin.ack), (FIN_ACK, self.rcv_nxt));
    }

    /// The peer's FIN comes, and its ACK is heard.
    #[track_caller]
    pub fn receive_fin(&mut self) {
        let fin = self.seg(FIN_ACK);
        let mut heard = self.send(&fin);
        heard.extend(self.pass_ms(50));
        self.rcv_nxt += 1;
        let acked = heard.iter().any(|seg| seg.ack == self.rcv_nxt);
        assert!(acked && heard.len() == 1, "FIN is acknowledged: {heard:?}");
    }

    pub fn socket(&self) -> SocketId {
        self.socket.expect("a socket")
    }

    /// The connection must be in this state.
    #[track_caller]
    pub fn expect(&mut self, at: At) {
        let (_, time_waits, requests) = self.stack().tcp_counts();
        let state = match at {
            At::SynReceived => {
                assert_eq!(requests, 1, "a handshake in progress");
                return;
            }
            At::TimeWait => {
                assert_eq!(time_waits, 1, "TIME-WAIT");
                return;
            }
            At::SynSent => TcpState::SynSent,
            At::SynCrossed => TcpState::SynReceived,
            At::Established => TcpState::Established,
            At::FinWait1 => TcpState::FinWait1,
            At::FinWait2 => TcpState::FinWait2,
            At::CloseWait => TcpState::CloseWait,
            At::Closing => TcpState::Closing,
            At::LastAck => TcpState::LastAck,
        };
        assert_eq!(self.state(), state);
    }

    /// The connection must be gone, and nothing left of it.
    #[track_caller]
    pub fn expect_gone(&mut self) {
        let (_, time_waits, requests) = self.stack().tcp_counts();
        assert_eq!((time_waits, requests), (0, 0), "nothing is left");
        if let Some(socket) = self.socket {
            let state = self.stack().tcp_state(socket);
            assert!(matches!(state, Ok(TcpState::Closed) | Err(_)), "{state:?}");
        }
    }

    /// The state of the socket.
    pub fn state(&mut self) -> TcpState {
        let socket = self.socket();
        self.stack().tcp_state(socket).expect("a socket")
    }

    /// The peer's SYN.
    pub fn syn(&self) -> Seg {
        let mut setup = self.setup.clone();
        setup.clock = self.clock();
        Seg::to_host(self.remote, self.local, SYN)
            .seq(SeqNumber(setup.irs))
            .window(setup.window)
            .options(&setup.syn_options(self.echo))
    }

    /// The peer's clock now.
    pub fn clock(&self) -> Option<u32> {
        let elapsed = self.bench.lab.now().as_millis() as u32;
        self.setup.clock.map(|clock| clock.wrapping_add(elapsed))
    }

    /// The peer's next segment, which acknowledges everything.
    pub fn seg(&self, flags: TcpFlags) -> Seg {
        let options = self.clock().map_or(Vec::new(), |clock| ts_option(clock, self.echo));
        let ack = if flags.contains(ACK) { self.snd_nxt } else { SeqNumber(0) };
        Seg::to_host(self.remote, self.local, flags)
            .seq(self.rcv_nxt)
            .ack(ack)
            .window(self.setup.window)
            .options(&options)
    }

    /// What the host has sent.
    pub fn heard(&mut self) -> Vec<Seg> {
        let tester = self.bench.tester;
        let packets = self.bench.lab.heard_ip(tester);
        let heard: Vec<Seg> = packets.iter().filter_map(|packet| Seg::read(packet)).collect();
        for seg in &heard {
            if seg.dst_port != self.remote || seg.has(RST) {
                continue;
            }
            self.offered = seg.window;
            if seg.end().gt(self.snd_nxt) {
                self.snd_nxt = seg.end();
            }
            if let Some((value, _)) = seg.timestamps() {
                self.echo = value;
            }
        }
        heard
    }

    /// The only segment that the host has sent.
    #[track_caller]
    pub fn only(&mut self) -> Seg {
        self.bench.lab.settle();
        let mut heard = self.heard();
        assert_eq!(heard.len(), 1, "one segment: {heard:?}");
        heard.remove(0)
    }

    /// Sends a segment to the host; what it sends at once.
    pub fn send(&mut self, seg: &Seg) -> Vec<Seg> {
        let (tester, host, link) = (self.bench.tester, self.bench.host, self.bench.link);
        self.bench.lab.inject_ip(tester, host, link, &seg.ip().build());
        self.heard()
    }

    /// Sends a segment to which one is the answer.
    #[track_caller]
    pub fn one(&mut self, seg: &Seg) -> Seg {
        let mut heard = self.send(seg);
        assert_eq!(heard.len(), 1, "one answer to {seg:?}: {heard:?}");
        heard.remove(0)
    }

    /// Sends a segment that the host takes in silence.
    #[track_caller]
    pub fn quietly(&mut self, seg: &Seg) {
        let heard = self.send(seg);
        assert!(heard.is_empty(), "no answer to {seg:?}: {heard:?}");
    }

    /// Sends a segment that is answered with where the host is: an ACK of what it expects.
    #[track_caller]
    pub fn challenged(&mut self, seg: &Seg) {
        let answer = self.one(seg);
        let (seq, ack) = (self.snd_nxt, self.rcv_nxt);
        assert!(answer.is_ack(seq, ack), "an ACK seq {seq} ack {ack} to {seg:?}: {answer:?}");
    }

    /// Sends a segment that is answered with RST.
    #[track_caller]
    pub fn reset_by(&mut self, seg: &Seg) -> Seg {
        let answer = self.one(seg);
        assert!(answer.has(RST), "a reset for {seg:?}: {answer:?}");
        answer
    }

    /// The peer's next data.
    pub fn feed(&mut self, data: &[u8]) -> Vec<Seg> {
        let seg = self.seg(ACK | PSH).data(data);
        let heard = self.send(&seg);
        self.rcv_nxt += data.len() as u32;
        heard
    }

    /// Lets time pass; what the host sends meanwhile.
    #[track_caller]
    pub fn pass(&mut self, span: Duration) -> Vec<Seg> {
        self.bench.lab.run_for(span);
        self.heard()
    }

    #[track_caller]
    pub fn pass_ms(&mut self, ms: u64) -> Vec<Seg> {
        self.pass(Duration::from_millis(ms))
    }

    /// The application writes; what leaves at once.
    #[track_caller]
    pub fn write(&mut self, data: &[u8]) -> Vec<Seg> {
        let socket = self.socket();
        let now = self.bench.lab.now();
        assert_eq!(self.stack().send(now, socket, data), Ok(data.len()));
        self.bench.lab.settle();
        self.heard()
    }

    /// What a write returns.
    pub fn try_write(&mut self, data: &[u8]) -> Result<usize, SocketError> {
        let socket = self.socket();
        let now = self.bench.lab.now();
        let sent = self.stack().send(now, socket, data);
        self.bench.lab.settle();
        sent
    }

    /// What a read returns.
    pub fn try_read(&mut self) -> Result<Vec<u8>, SocketError> {
        let socket = self.socket();
        let now = self.bench.lab.now();
        let mut buffer = vec![0; 1 << 20];
        let n = self.stack().receive(now, socket, &mut buffer)?;
        self.bench.lab.settle();
        buffer.truncate(n);
        Ok(buffer)
    }

    /// Everything that can be read now; the end of the stream is not told from nothing.
    pub fn read(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Ok(more) = self.try_read() {
            if more.is_empty() {
                break;
            }
            all.extend(more);
        }
        all
    }

    pub fn shutdown(&mut self, how: Shutdown) -> Result<(), SocketError> {
        let socket = self.socket();
        let now = self.bench.lab.now();
        let done = self.stack().shutdown(now, socket, how);
        self.bench.lab.settle();
        done
    }

    /// Closes the socket; what the host sends at once.
    #[track_caller]
    pub fn close(&mut self) -> Vec<Seg> {
        let socket = self.socket();
        let now = self.bench.lab.now();
        self.stack().close(now, socket).expect("a socket");
        self.bench.lab.settle();
        self.heard()
    }

    /// Aborts the connection; what the host sends at once.
    #[track_caller]
    pub fn abort(&mut self) -> Vec<Seg> {
        let socket = self.socket();
        let now = self.bench.lab.now();
        self.stack().abort(now, socket).expect("a socket");
        self.bench.lab.settle();
        self.heard()
    }

    /// `SO_ERROR`.
    pub fn error(&mut self) -> Option<SocketError> {
        let socket = self.socket();
        self.stack().take_error(socket).expect("a socket")
    }

    /// An ICMP error about a segment of the host's with this number; what it sends at once.
    pub fn icmp(&mut self, message: Message, seq: SeqNumber) -> Vec<Seg> {
        let quoted = Seg { src: US, dst: PEER, ..Seg::to_host(self.local, self.remote, ACK) };
        let mut quoted = quoted.seq(seq).data(&[0; 1000]).ip().df().build();
        quoted.truncate(28);
        let packet = Ip::icmp(PEER, US, icmp(message, &quoted)).build();
        let (tester, host, link) = (self.bench.tester, self.bench.host, self.bench.link);
        self.bench.lab.inject_ip(tester, host, link, &packet);
        self.heard()
    }

    /// What `TCP_INFO` tells.
    #[track_caller]
    pub fn info(&mut self) -> TcpInfo {
        let socket = self.socket();
        self.stack().tcp_info(socket).expect("a connection")
    }

    /// Leaves this connection for one from another port of the peer's, which has yet to begin.
    pub fn leave_for(&mut self, remote: u16) -> Flow {
        let zero = SeqNumber(0);
        let mut flow = Flow {
            socket: None,
            remote,
            iss: zero,
            snd_nxt: zero,
            rcv_nxt: SeqNumber(self.setup.irs),
            echo: 0,
            offered: 0,
        };
        self.swap(&mut flow);
        flow
    }

    /// Changes to another connection of the same host.
    pub fn swap(&mut self, flow: &mut Flow) {
        swap(&mut self.socket, &mut flow.socket);
        swap(&mut self.remote, &mut flow.remote);
        swap(&mut self.iss, &mut flow.iss);
        swap(&mut self.snd_nxt, &mut flow.snd_nxt);
        swap(&mut self.rcv_nxt, &mut flow.rcv_nxt);
        swap(&mut self.echo, &mut flow.echo);
        swap(&mut self.offered, &mut flow.offered);
    }

    pub fn snapshot(&self) -> Snapshot {
        self.bench.lab.snapshot(self.bench.host)
    }

    pub fn ext(&self) -> TcpExtMib {
        self.snapshot().tcp_ext
    }
}
