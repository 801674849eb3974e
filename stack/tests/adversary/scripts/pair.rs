//! Two endpoints and a link that drops, duplicates, delays, damages, cuts and joins as the script
//! says, while their applications write, read and close.
//!
//! What must hold: bytes are read as they were written, in order, and the end of the stream comes
//! after the last; an error comes only where there is reason for one; once the link behaves, both
//! ends finish in bounded time; when all is closed, nothing is left.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tapping_stack::config::{EcnMode, MtuProbing, SynCookies};
use tapping_stack::socket::Readiness;
use tapping_stack::tcp::SendFlags;
use tapping_stack::tcp::cc::CongestionAlgorithm;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::{
    Config, LinkConfig, LinkId, Packet, Shutdown, SocketError, SocketId, Stack, TcpState,
};

use super::{Input, wire};

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
const PORTS: [u16; 2] = [4000, 80];
/// How long a packet takes on the link when nothing is done to it.
const DELAY: Duration = Duration::from_millis(10);
/// How long the ends may take once the link behaves: a timeout at its longest, and the transfer.
const PATIENCE: Duration = Duration::from_secs(1200);
/// After this nothing is left of connections that were closed.
const AFTERLIFE: Duration = Duration::from_secs(3600);
/// Timeouts and packets that finishing may take.
const MAX_EVENTS: usize = 400_000;
/// Packets that may be on their way; more are dropped.
const MAX_FLYING: usize = 512;

/// Runs a script; returns a digest of all packets.
///
/// # Panics
/// When something that must hold does not.
pub fn run(bytes: &[u8]) -> u64 {
    let mut input = Input::new(bytes);
    let mut pair = Pair::new(&mut input);
    while !input.is_empty() {
        pair.act(&mut input);
        pair.pump(&mut input);
    }
    pair.finish();
    pair.bury();
    pair.digest.finish()
}

/// How a stream ended for its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Whole,
    Error(SocketError),
}

/// One end.
struct End {
    stack: Stack,
    link: LinkId,
    mtu: usize,
    /// It answers with cookies, which data in the wrong order does not return.
    cookies: bool,
    listener: Option<SocketId>,
    socket: Option<SocketId>,
    /// Bytes written so far, and to be written.
    written: u64,
    goal: u64,
    read: u64,
    /// Urgent bytes stay in the stream; else so many were not in it.
    inline: bool,
    holes: u64,
    /// How often it sent urgent data.
    urgent: u64,
    /// It has said that it writes no more.
    shut: bool,
    /// It reads no more, for reasons of its own.
    deaf: bool,
    closed: bool,
    /// It ended the connection before its time.
    rude: bool,
    ending: Option<Ending>,
}

struct Pair {
    ends: [End; 2],
    now: Instant,
    /// On their way, by when they arrive and in which order they left.
    flying: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    order: u64,
    /// What arrives at one time arrives as one batch.
    batches: bool,
    digest: DefaultHasher,
}

/// The byte of a stream at an offset.
fn pattern(end: usize, offset: u64) -> u8 {
    ((offset + end as u64 * 77).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

impl End {
    fn new(n: usize, input: &mut Input<'_>) -> Self {
        let mut config = Config::default();
        let flags = input.u8();
        let flag = |bit: u8| flags & 1 << bit != 0;
        config.tcp.timestamps = !flag(0);
        config.tcp.sack = !flag(1);
        config.tcp.window_scaling = !flag(2);
        config.tcp.ecn = if flag(3) { EcnMode::On } else { EcnMode::Passive };
        config.tcp.syncookies = if flag(4) { SynCookies::Always } else { SynCookies::WhenFull };
        config.tcp.tail_loss_probe = !flag(5);
        config.tcp.frto = !flag(6);
        config.tcp.mtu_probing = if flag(7) { MtuProbing::On } else { MtuProbing::BlackHole };
        config.tcp.congestion_control = input.pick(&[
            CongestionAlgorithm::Cubic,
            CongestionAlgorithm::Reno,
            CongestionAlgorithm::Bbr,
        ]);
        let mtu = input.pick(&[1500, 576, 1280, 9000, 65_535, 300]);
        let mut stack = Stack::new(config, 7 + n as u64);
        let link = stack.add_link(LinkConfig { mtu, ..LinkConfig::ip("tun0") }).expect("a link");
        let cidr = format!("{}/24", ADDRESSES[n]).parse().expect("a prefix");
        stack.add_address(Instant::from_secs(1), link, cidr).expect("an address");
        let goal = u64::from(input.u16()) << 2 >> (input.u8() % 8);
        End {
            stack,
            link,
            mtu,
            cookies: flag(4),
            listener: None,
            socket: None,
            written: 0,
            goal,
            read: 0,
            inline: false,
            holes: 0,
            urgent: 0,
            shut: false,
            deaf: false,
            closed: false,
            rude: false,
            ending: None,
        }
    }

    fn open(&mut self, now: Instant, input: &mut Input<'_>) -> SocketId {
        let socket = self.stack.open_tcp().expect("a socket");
        let flags = input.u8();
        let flag = |bit: u8| flags & 1 << bit != 0;
        let (sizes, maxseg) = (input.u8(), 88 + input.u16() % 1400);
        let size =
            |bits: u8| [None, Some(2048), Some(16_384), Some(262_144)][usize::from(bits & 3)];
        self.inline = sizes & 5 != 5;
        let inline = self.inline;
        let changed = self.stack.set_tcp_options(now, socket, |options| {
            options.oob_inline = inline;
            options.nodelay = flag(0);
            options.cork = flag(1) && flag(2);
            options.quickack = flag(3).then_some(true);
            options.keepalive = flag(4);
            options.maxseg = flag(5).then_some(maxseg);
            options.rcvlowat = if flag(6) { 1000 } else { 1 };
            options.window_clamp = flag(7).then_some(u32::from(maxseg) * 3);
            options.send_buffer = size(sizes);
            options.receive_buffer = size(sizes >> 2);
            options.notsent_lowat = (sizes & 16 != 0).then_some(4096);
            options.max_pacing_rate = if sizes & 0xe0 == 0 { 100_000 } else { u64::MAX };
        });
        changed.expect("options");
        socket
    }

    /// Takes a connection that waits; a second one is of no use.
    fn accept(&mut self, now: Instant) {
        let Some(listener) = self.listener else { return };
        while let Ok((socket, _)) = self.stack.accept(now, listener) {
            match self.socket {
                None => self.socket = Some(socket),
                Some(_) => self.stack.abort(now, socket).expect("a connection"),
            }
        }
    }

    fn write(&mut self, n: usize, now: Instant, max: usize, how: u8) {
        let Some(socket) = self.socket.filter(|_| !self.shut && !self.closed) else { return };
        let max = max.min((self.goal - self.written) as usize);
        let offset = self.written;
        let data: Vec<u8> = (0..max as u64).map(|at| pattern(n, offset + at)).collect();
        let result = match how % 5 {
            0 => self.stack.send_with(now, socket, max, |room| {
                let len = room.len().min(max);
                room[..len].copy_from_slice(&data[..len]);
                len
            }),
            1 => self.stack.send_with_flags(now, socket, &data, SendFlags::MORE),
            2 => {
                let result = self.stack.send_with_flags(now, socket, &data, SendFlags::URGENT);
                self.urgent += u64::from(result.is_ok_and(|taken| taken > 0));
                result
            }
            3 => self.stack.send_with_flags(now, socket, &data, SendFlags::END_OF_RECORD),
            _ => self.stack.send(now, socket, &data),
        };
        match result {
            Ok(taken) => self.written += taken as u64,
            Err(SocketError::WouldBlock) => {}
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: SocketError) {
        self.ending.get_or_insert(Ending::Error(error));
        self.shut = true;
    }

    fn read(&mut self, n: usize, now: Instant, max: usize, how: u8) -> bool {
        let Some(socket) = self.socket.filter(|_| self.ending.is_none() && !self.closed) else {
            return false;
        };
        let mut buffer = vec![0; max.max(1)];
        let result = match how % 3 {
            0 => self.stack.receive_with(now, socket, |bytes| {
                let len = bytes.len().min(max.max(1));
                buffer[..len].copy_from_slice(&bytes[..len]);
                len
            }),
            1 => {
                let mut shown = vec![0; max.max(1)];
                let peeked = self.stack.peek(socket, &mut shown);
                let got = self.stack.receive(now, socket, &mut buffer);
                if let (Ok(peeked), Ok(got)) = (peeked, got) {
                    assert_eq!(shown[..peeked], buffer[..got], "peeked and received");
                }
                // An error is told once, to whoever asks first.
                match peeked {
                    Err(error) if error != SocketError::WouldBlock => Err(error),
                    _ => got,
                }
            }
            _ => self.stack.receive(now, socket, &mut buffer),
        };
        match result {
            Ok(0) => {
                self.ending = Some(Ending::Whole);
                false
            }
            Ok(len) => {
                for byte in &buffer[..len] {
                    let at = |end: &Self| pattern(1 - n, end.read + end.holes);
                    while !self.inline && *byte != at(self) && self.holes < u64::from(u16::MAX) {
                        self.holes += 1;
                    }
                    let position = self.read + self.holes;
                    assert_eq!(*byte, at(self), "byte {position} of what end {n} has read");
                    self.read += 1;
                }
                true
            }
            Err(SocketError::WouldBlock) => {
                let ready = self.stack.readiness(socket);
                assert!(!ready.contains(Readiness::READABLE), "readable, but there is nothing");
                false
            }
            Err(error) => {
                self.fail(error);
                false
            }
        }
    }

    fn shut(&mut self, now: Instant) {
        if let Some(socket) = self.socket.filter(|_| !self.shut && !self.closed) {
            self.rude |= self.stack.tcp_state(socket) == Ok(TcpState::SynSent);
            match self.stack.shutdown(now, socket, Shutdown::Write) {
                Ok(()) => self.goal = self.written,
                Err(SocketError::NotConnected) => {
                    let error = self.stack.take_error(socket).expect("it is open");
                    self.fail(error.unwrap_or(SocketError::NotConnected));
                }
                Err(error) => panic!("{error}"),
            }
            self.shut = true;
        }
    }

    fn close(&mut self, now: Instant) {
        if let Some(socket) = self.socket.filter(|_| !self.closed) {
            self.closed = true;
            self.goal = self.written;
            let info = self.stack.tcp_info(socket).expect("it is open");
            // An orphan does not try for as long.
            let waits = info.state != TcpState::Closed && info.unacked + info.notsent_bytes > 0;
            self.rude |= self.ending.is_none() || waits;
            self.stack.close(now, socket).expect("it is open");
        }
    }

    fn check(&self) {
        let Some(socket) = self.socket.filter(|_| !self.closed) else { return };
        let info = self.stack.tcp_info(socket).expect("a connection");
        assert!(info.sacked + info.lost <= info.unacked, "{info:?}");
        assert!(info.retrans <= info.unacked, "{info:?}");
        assert!(info.snd_cwnd > 0 && info.snd_mss > 0, "{info:?}");
        let waits = info.unacked > 0 || info.notsent_bytes > 0;
        let corked = self.stack.tcp_options(socket).is_ok_and(|options| options.cork);
        let dead = info.state == TcpState::Closed;
        assert!(
            dead || !waits || corked || self.stack.poll_timeout().is_some(),
            "nothing will ever happen: {info:?}"
        );
    }
}

impl Pair {
    fn new(input: &mut Input<'_>) -> Self {
        let now = Instant::from_secs(1);
        let mut ends = [0, 1].map(|n| End::new(n, input));
        let both = input.u8();
        let mut pair = Pair {
            now,
            flying: BTreeMap::new(),
            order: 0,
            batches: both & 1 != 0,
            digest: DefaultHasher::new(),
            ends: {
                let sockets = [0, 1].map(|n| ends[n].open(now, input));
                // Simultaneous open, or one end listens.
                let simultaneous = both & 14 == 0;
                for n in [1, 0] {
                    let at = |n: usize| SocketAddr::new(IpAddr::V4(ADDRESSES[n]), PORTS[n]);
                    let end = &mut ends[n];
                    end.stack.bind(sockets[n], at(n)).expect("the port is free");
                    if n == 1 && !simultaneous {
                        end.stack.listen(now, sockets[1], 4).expect("nobody else listens");
                        end.listener = Some(sockets[1]);
                        continue;
                    }
                    end.socket = Some(sockets[n]);
                    end.stack.connect(now, sockets[n], at(1 - n)).expect("there is a route");
                }
                ends
            },
        };
        pair.pump(input);
        pair
    }

    /// An application does something, or time passes.
    fn act(&mut self, input: &mut Input<'_>) {
        let action = input.u8();
        let n = usize::from(action & 1);
        let now = self.now;
        let end = &mut self.ends[n];
        match action >> 1 {
            0..30 => end.write(n, now, usize::from(input.u16()), input.u8()),
            30..60 => {
                end.read(n, now, usize::from(input.u16()), input.u8());
            }
            60 => end.shut(now),
            61 if input.u8() & 7 == 0 => end.close(now),
            62 if input.u8() & 15 == 0 => {
                if let Some(socket) = end.socket.filter(|_| !end.closed) {
                    (end.closed, end.rude) = (true, true);
                    end.stack.abort(now, socket).expect("it is open");
                }
            }
            63 if input.u8() & 7 == 0 => {
                if let Some(socket) = end.socket.filter(|_| !end.closed) {
                    // Refused when not connected.
                    end.deaf |= end.stack.shutdown(now, socket, Shutdown::Read).is_ok();
                    end.rude |= end.deaf;
                }
            }
            64..68 => {
                let mtu = input.pick(&[1500, 576, 1280, 300]);
                if end.stack.set_mtu(end.link, mtu).is_ok() {
                    end.mtu = end.mtu.max(mtu);
                }
            }
            68..72 => {
                if let Some(socket) = end.socket.filter(|_| !end.closed) {
                    let flags = input.u8();
                    let changed = end.stack.set_tcp_options(now, socket, |options| {
                        options.cork = flags & 1 != 0;
                        options.nodelay = flags & 2 != 0;
                        options.quickack = Some(flags & 4 != 0);
                        options.keepalive = flags & 8 != 0;
                        if flags & 16 != 0 {
                            options.receive_buffer = Some(1 << (flags >> 5) << 10);
                        }
                    });
                    changed.expect("options");
                }
            }
            72..76 => self.batches = input.bool(),
            // A long time.
            76..78 => self.wait(Duration::from_millis(u64::from(input.u16())), input),
            78..100 => self.step(input),
            _ => self.wait(Duration::from_millis(u64::from(input.u8())), input),
        }
        for end in &mut self.ends {
            end.accept(self.now);
        }
    }

    /// Takes what the ends send; the script decides what becomes of it.
    fn pump(&mut self, input: &mut Input<'_>) {
        for n in [0, 1] {
            while let Some(packet) = self.ends[n].stack.poll_transmit(self.now, self.ends[n].link) {
                let bytes = packet.bytes().to_vec();
                self.ends[n].stack.recycle(packet);
                wire::check(&bytes, self.ends[n].mtu);
                (self.now, n, &bytes).hash(&mut self.digest);
                self.trace(n, &bytes);
                self.treat(1 - n, bytes, input);
            }
            self.ends[n].check();
        }
    }

    /// Prints what leaves, where `TRACE` is set.
    fn trace(&self, from: usize, packet: &[u8]) {
        if std::env::var_os("TRACE").is_some() {
            eprintln!("{:?} {from} {}", self.now, wire::describe(packet));
        }
    }

    fn treat(&mut self, to: usize, mut bytes: Vec<u8>, input: &mut Input<'_>) {
        if self.flying.len() >= MAX_FLYING {
            return;
        }
        let far = |input: &mut Input<'_>| {
            Duration::from_millis(u64::from(input.u8()) << (input.u8() % 6))
        };
        match input.u8() {
            128..160 => {}
            160..176 => {
                self.fly(to, DELAY, bytes.clone());
                let later = DELAY + far(input);
                self.fly(to, later, bytes);
            }
            176..200 => self.fly(to, far(input), bytes),
            200..212 => {
                let bit = usize::from(input.u16()) % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
                self.fly(to, DELAY, bytes);
            }
            212..228 => match wire::split(&bytes, input.u16().into()) {
                Some((first, second)) => {
                    let swapped = input.bool();
                    let (one, two) = if swapped { (second, first) } else { (first, second) };
                    self.fly(to, DELAY, one);
                    self.fly(to, DELAY, two);
                }
                None => self.fly(to, DELAY, bytes),
            },
            228..244 => {
                // With the one that flew last, if it goes the same way.
                let last = self.flying.iter().rev().find(|(_, (other, _))| *other == to);
                let joined =
                    last.and_then(|(key, (_, first))| Some((*key, wire::join(first, &bytes)?)));
                match joined {
                    Some((key, joined)) if joined.len() <= 65_535 => {
                        self.flying.insert(key, (to, joined));
                    }
                    _ => self.fly(to, DELAY, bytes),
                }
            }
            244.. => {
                wire::mark_congestion(&mut bytes);
                self.fly(to, DELAY, bytes);
            }
            _ => self.fly(to, DELAY, bytes),
        }
    }

    fn fly(&mut self, to: usize, delay: Duration, bytes: Vec<u8>) {
        self.order += 1;
        self.flying.insert((self.now + delay, self.order), (to, bytes));
    }

    /// When something happens next.
    fn next(&self) -> Option<Instant> {
        let timeouts = self.ends.iter().filter_map(|end| end.stack.poll_timeout());
        let arrival = self.flying.keys().next().map(|(at, _)| *at);
        timeouts.chain(arrival).min()
    }

    /// Goes to the next event and lets it happen.
    fn step(&mut self, input: &mut Input<'_>) {
        let Some(next) = self.next() else { return };
        self.now = self.now.max(next);
        let mut arrived = [Vec::new(), Vec::new()];
        while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now)
        {
            let (to, bytes) = entry.remove();
            arrived[to].push(Packet::from_slice(&bytes));
        }
        for (end, packets) in self.ends.iter_mut().zip(arrived) {
            if self.batches {
                end.stack.handle_frames(self.now, end.link, packets);
            } else {
                for packet in packets {
                    end.stack.handle_frame(self.now, end.link, packet);
                }
            }
            for round in 0.. {
                match end.stack.poll_timeout() {
                    Some(at) if at <= self.now => end.stack.handle_timeout(self.now),
                    _ => break,
                }
                assert!(round < 64, "there is always something to do at {:?}", self.now);
            }
        }
        self.pump(input);
    }

    fn wait(&mut self, span: Duration, input: &mut Input<'_>) {
        let until = self.now + span;
        for _ in 0..MAX_EVENTS {
            match self.next() {
                Some(at) if at <= until => self.step(input),
                _ => {
                    self.now = until;
                    return;
                }
            }
        }
        panic!("{MAX_EVENTS} events in {span:?}");
    }

    /// The link behaves from now on; both ends write what they have to, read all there is, and
    /// close.
    fn finish(&mut self) {
        let mut input = Input::new(&[]);
        let deadline = self.now + PATIENCE;
        for end in &mut self.ends {
            end.accept(self.now);
        }
        for events in 0.. {
            let now = self.now;
            for n in [0, 1] {
                self.ends[n].accept(now);
                self.settle(n, now);
            }
            self.pump(&mut input);
            if (0..2).all(|n| self.is_done(n)) {
                break;
            }
            let stuck = || format!("{:?}", self.describe());
            assert!(events < MAX_EVENTS && self.now < deadline, "it takes too long: {}", stuck());
            assert!(self.next().is_some(), "a stall: {}", stuck());
            self.step(&mut input);
        }
        self.judge();
    }

    fn settle(&mut self, n: usize, now: Instant) {
        let end = &mut self.ends[n];
        let Some(socket) = end.socket.filter(|_| !end.closed) else { return };
        // Who waits for a peer that is gone finds out.
        let _ = end.stack.set_tcp_options(now, socket, |options| {
            options.keepalive = true;
            options.keepidle = Some(Duration::from_secs(10));
            options.keepintvl = Some(Duration::from_secs(5));
            options.cork = false;
        });
        while end.written < end.goal && !end.shut {
            let before = end.written;
            end.write(n, now, 100_000, 4);
            if end.written == before {
                break;
            }
        }
        if end.written == end.goal {
            let state = end.stack.tcp_state(socket).expect("it is open");
            if !matches!(state, TcpState::SynSent | TcpState::SynReceived) {
                end.shut(now);
            }
        }
        while end.read(n, now, 10_000, 2) {}
        // What an orphan has to send it tries to send for a shorter time.
        let info = end.stack.tcp_info(socket).expect("it is open");
        let waits = info.state != TcpState::Closed && info.unacked + info.notsent_bytes > 0;
        if end.deaf || end.shut && end.ending.is_some() && !waits {
            end.close(now);
        }
    }

    fn is_done(&self, n: usize) -> bool {
        let (end, other) = (&self.ends[n], &self.ends[1 - n]);
        // A connection that was never accepted.
        let never = end.socket.is_none() && other.closed;
        end.closed || never
    }

    /// Was anything silently wrong?
    fn judge(&self) {
        let excuse = self.ends.iter().any(|end| {
            // The handshake was given up by one side alone, or there was a reason later.
            end.socket.is_none()
                || end.cookies
                || end.rude
                || matches!(end.ending, Some(Ending::Error(SocketError::TimedOut)))
        });
        for n in [0, 1] {
            let (end, other) = (&self.ends[n], &self.ends[1 - n]);
            assert!(end.read + end.holes <= other.written, "end {n} read more than was written");
            assert!(end.holes <= other.urgent, "end {n} has not read what was not urgent");
            match end.ending {
                Some(Ending::Whole) if !end.deaf => {
                    let missing = if end.inline { 0 } else { other.urgent };
                    assert!(
                        other.written - end.read <= missing,
                        "end {n} saw the end of the stream: {}",
                        self.describe()
                    );
                }
                Some(Ending::Error(_)) => {
                    assert!(excuse, "an error for no reason: {}", self.describe());
                }
                _ => {}
            }
        }
        if !excuse {
            for end in &self.ends {
                assert_eq!(end.ending, Some(Ending::Whole), "{}", self.describe());
                assert_eq!(end.written, end.goal, "{}", self.describe());
            }
        }
    }

    /// When all is closed and time has passed, nothing is left.
    fn bury(&mut self) {
        for end in &mut self.ends {
            if let Some(listener) = end.listener.take() {
                end.stack.close(self.now, listener).expect("it is open");
            }
        }
        self.wait(AFTERLIFE, &mut Input::new(&[]));
        for end in &self.ends {
            assert_eq!(end.stack.tcp_counts(), (0, 0, 0), "{}", self.describe());
            assert_eq!(end.stack.snapshot().tcp.curr_estab, 0);
        }
    }

    fn describe(&self) -> String {
        let end = |end: &End| {
            let info = end.socket.and_then(|socket| end.stack.tcp_info(socket).ok());
            format!(
                "read {} wrote {} of {} shut {} closed {} rude {} {:?} next {:?} {info:?}",
                end.read,
                end.written,
                end.goal,
                end.shut,
                end.closed,
                end.rude,
                end.ending,
                end.stack.poll_timeout(),
            )
        };
        format!("{:?}: {}\n{}", self.now, end(&self.ends[0]), end(&self.ends[1]))
    }
}
