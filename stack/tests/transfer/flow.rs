//! A connection whose ends check every byte they get.

use core::net::{IpAddr, SocketAddr};

use tapping_stack::SocketError;
use tapping_stack::sim::{HostId, Lab};
use tapping_stack::socket::SocketId;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::{Shutdown, TcpOptions};

/// Bytes written and read at once.
const CHUNK: usize = 16 * 1024;

/// What is to be transferred.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The host that connects.
    pub client: HostId,
    /// The host that listens, its address and port.
    pub server: HostId,
    pub addr: IpAddr,
    pub port: u16,
    /// Bytes from the client to the server, and back.
    pub up: u64,
    pub down: u64,
    /// Of both sockets.
    pub options: TcpOptions,
}

/// A connection being used as planned: each side writes what it has, closes its direction, reads
/// until the end and closes.
pub struct Flow {
    listener: SocketId,
    server_host: HostId,
    /// How much the server has to send.
    down: u64,
    up: u64,
    pub client: Side,
    /// Once it was accepted.
    pub server: Option<Side>,
}

/// One end of a connection.
pub struct Side {
    host: HostId,
    socket: SocketId,
    outgoing: Content,
    /// How much to send, and how much has been taken.
    to_send: u64,
    sent: u64,
    /// Generated and not yet taken.
    pending: Vec<u8>,
    incoming: Content,
    expected: u64,
    pub received: u64,
    /// When data came last, and the longest time without any between two arrivals.
    pub received_at: Option<Instant>,
    pub longest_pause: Duration,
    shut: bool,
    eof: bool,
    pub closed: bool,
}

impl Flow {
    /// Listens and connects.
    pub fn start(lab: &mut Lab, plan: Plan) -> Self {
        let Plan { client, server, addr, port, up, down, options } = plan;
        let now = lab.now();
        let stack = lab.stack(server);
        let listener = stack.open_tcp().expect("a socket");
        stack.set_tcp_options(now, listener, |set| *set = options).expect("options");
        stack.bind(listener, SocketAddr::new(addr, port)).expect("a free port");
        stack.listen(now, listener, 1).expect("a listener");
        let stack = lab.stack(client);
        let socket = stack.open_tcp().expect("a socket");
        stack.set_tcp_options(now, socket, |set| *set = options).expect("options");
        match stack.connect(now, socket, SocketAddr::new(addr, port)) {
            Ok(()) | Err(SocketError::InProgress) => {}
            Err(error) => panic!("cannot connect: {error}"),
        }
        let client = Side::new(client, socket, (port, 0), up, down);
        Flow { listener, server_host: server, down, up, client, server: None }
    }

    /// Does what can be done now. Tells whether anything could.
    pub fn pump(&mut self, lab: &mut Lab) -> bool {
        if self.server.is_none() {
            let now = lab.now();
            match lab.stack(self.server_host).accept(now, self.listener) {
                Ok((socket, peer)) => {
                    assert!(peer.port() != 0);
                    let stream = (self.client.outgoing.port, 1);
                    let side = Side::new(self.server_host, socket, stream, self.down, self.up);
                    self.server = Some(side);
                    lab.stack(self.server_host).close(now, self.listener).expect("a listener");
                }
                Err(SocketError::WouldBlock) => {}
                Err(error) => panic!("cannot accept: {error}"),
            }
        }
        let client = self.client.pump(lab);
        self.server.as_mut().is_some_and(|server| server.pump(lab)) || client
    }

    /// Whether both sides have got everything and closed.
    pub fn is_done(&self) -> bool {
        self.client.closed && self.server.as_ref().is_some_and(|server| server.closed)
    }

    /// The client's socket.
    pub fn client_socket(&self) -> SocketId {
        self.client.socket
    }

    /// Bytes that the server has got.
    pub fn uploaded(&self) -> u64 {
        self.server.as_ref().map_or(0, |server| server.received)
    }
}

impl Side {
    fn new(host: HostId, socket: SocketId, stream: (u16, u8), to_send: u64, expected: u64) -> Self {
        let (port, way) = stream;
        Side {
            host,
            socket,
            outgoing: Content { port, way },
            to_send,
            sent: 0,
            pending: Vec::new(),
            incoming: Content { port, way: 1 - way },
            expected,
            received: 0,
            received_at: None,
            longest_pause: Duration::ZERO,
            shut: false,
            eof: false,
            closed: false,
        }
    }

    fn pump(&mut self, lab: &mut Lab) -> bool {
        if self.closed {
            return false;
        }
        let before = (self.sent, self.received, self.eof, self.shut);
        self.receive(lab);
        self.send(lab);
        let now = lab.now();
        // A side without data answers the end of the other's with its own.
        if self.sent == self.to_send && !self.shut && (self.to_send > 0 || self.eof) {
            lab.stack(self.host).shutdown(now, self.socket, Shutdown::Write).expect("a connection");
            self.shut = true;
        }
        if self.shut && self.eof {
            lab.stack(self.host).close(now, self.socket).expect("a connection");
            self.closed = true;
        }
        before != (self.sent, self.received, self.eof, self.shut)
    }

    fn send(&mut self, lab: &mut Lab) {
        let now = lab.now();
        while self.sent < self.to_send {
            if self.pending.is_empty() {
                let len = (self.to_send - self.sent).min(CHUNK as u64) as usize;
                self.pending.resize(len, 0);
                self.outgoing.fill(self.sent, &mut self.pending);
            }
            match lab.stack(self.host).send(now, self.socket, &self.pending) {
                Ok(taken) => {
                    self.sent += taken as u64;
                    self.pending.drain(..taken);
                }
                Err(SocketError::WouldBlock) => return,
                Err(error) => panic!("cannot send at {}: {error}", self.sent),
            }
        }
    }

    fn receive(&mut self, lab: &mut Lab) {
        let now = lab.now();
        let (mut buffer, mut right) = ([0; CHUNK], [0; CHUNK]);
        while !self.eof {
            match lab.stack(self.host).receive(now, self.socket, &mut buffer) {
                Ok(0) => {
                    assert_eq!(self.received, self.expected, "the stream ended early");
                    self.eof = true;
                }
                Ok(len) => {
                    self.incoming.fill(self.received, &mut right[..len]);
                    if let Some(at) = (0..len).find(|at| buffer[*at] != right[*at]) {
                        panic!("byte {} is not what was sent", self.received + at as u64);
                    }
                    self.received += len as u64;
                    assert!(self.received <= self.expected, "more came than was sent");
                    let pause = self.received_at.map_or(Duration::ZERO, |before| now - before);
                    self.longest_pause = self.longest_pause.max(pause);
                    self.received_at = Some(now);
                }
                Err(SocketError::WouldBlock) => return,
                Err(error) => panic!("cannot receive at {}: {error}", self.received),
            }
        }
    }
}

/// Runs flows until all are done. Panics when one of them stands still for longer than `patience`.
/// Returns how long it took.
pub fn run(lab: &mut Lab, flows: &mut [Flow], patience: Duration) -> Duration {
    let start = lab.now();
    let mut moved_at = vec![start; flows.len()];
    let end = start + Duration::from_secs(1_000_000);
    let went_on = lab.run_while(end, |lab| {
        let mut busy = false;
        for (flow, moved_at) in flows.iter_mut().zip(&mut moved_at) {
            if flow.is_done() {
                continue;
            }
            busy = true;
            let still = lab.now() - *moved_at;
            if flow.pump(lab) {
                *moved_at = lab.now();
            }
            let (up, down) = (flow.uploaded(), flow.client.received);
            assert!(still <= patience, "nothing moved for {still:?}, after {up} and {down} bytes");
        }
        busy
    });
    assert!(!went_on, "nothing happens any more");
    lab.now() - start
}

/// Bytes that tell their place in the stream.
#[derive(Debug, Clone, Copy)]
struct Content {
    port: u16,
    way: u8,
}

impl Content {
    /// The bytes from `offset` on.
    fn fill(self, offset: u64, buffer: &mut [u8]) {
        let (mut word, mut at) = (offset / 8, (offset % 8) as usize);
        let mut rest = buffer;
        while !rest.is_empty() {
            let bytes = self.word(word).to_le_bytes();
            let len = rest.len().min(8 - at);
            let (now, later) = rest.split_at_mut(len);
            now.copy_from_slice(&bytes[at..at + len]);
            (rest, word, at) = (later, word + 1, 0);
        }
    }

    /// The finaliser of SplitMix64 over stream and place.
    fn word(self, word: u64) -> u64 {
        let mut x = word ^ (u64::from(self.port) << 48) ^ (u64::from(self.way) << 40);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}
