//! Two hosts and a path between them that loses what a test says.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use tapping_stack::packet::Packet;
use tapping_stack::sim::{Conditions, End, HostId, Lab, Link, Verdict, WireId};
use tapping_stack::stats::TcpExtMib;
use tapping_stack::tcp::info::TcpInfo;
use tapping_stack::time::Duration;
use tapping_stack::wire::{Ethernet, Ipv4, Protocol, SeqNumber, Tcp, TcpFlags};
use tapping_stack::{Config, SocketError, SocketId, TcpOptions};

/// Payload of a full segment: timestamps take 12 bytes.
const MSS: u32 = 1448;
const PORT: u16 = 80;

/// What a test may change before the connection is made.
pub struct Plan {
    pub conditions: Conditions,
    pub sender: Config,
    pub receiver: Config,
    pub options: TcpOptions,
}

/// Segments of the sender and how often they are to be lost yet.
type Losses = Arc<Mutex<HashMap<u32, u32>>>;

pub struct Path {
    pub lab: Lab,
    pub hosts: [HostId; 2],
    pub wire: WireId,
    pub sockets: [SocketId; 2],
    losses: Losses,
    written: u32,
    received: u32,
}

/// Full segments by their numbers.
pub fn segments(first: u32, end: u32) -> Range<u32> {
    first..end
}

impl Path {
    /// A connection over a path with this delay each way.
    pub fn new(seed: u64, delay: Duration, change: impl FnOnce(&mut Plan)) -> Self {
        let options = TcpOptions {
            send_buffer: Some(4 << 20),
            receive_buffer: Some(4 << 20),
            ..TcpOptions::default()
        };
        let mut plan = Plan {
            conditions: Conditions { delay, ..Conditions::default() },
            sender: Config::default(),
            receiver: Config::default(),
            options,
        };
        change(&mut plan);
        let mut lab = Lab::new(seed);
        let hosts = [lab.add_host("sender", plan.sender), lab.add_host("receiver", plan.receiver)];
        let [a, b] = ["10.0.0.1/24", "10.0.0.2/24"].map(|cidr| cidr.parse().expect("an address"));
        let link = Link::new(plan.conditions);
        let wire = lab.connect((hosts[0], a), (hosts[1], b), link).expect("a wire");
        let addr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
        let now = lab.now();
        let stack = lab.stack(hosts[1]);
        let listener = stack.open_tcp().expect("a socket");
        stack.set_tcp_options(now, listener, |set| *set = plan.options).expect("options");
        stack.bind(listener, (addr, PORT).into()).expect("a free port");
        stack.listen(now, listener, 1).expect("a listener");
        let stack = lab.stack(hosts[0]);
        let sender = stack.open_tcp().expect("a socket");
        stack.set_tcp_options(now, sender, |set| *set = plan.options).expect("options");
        stack.connect(now, sender, (addr, PORT).into()).expect("it is tried");
        lab.run_for(plan.conditions.delay * 20 + Duration::from_secs(1));
        let now = lab.now();
        let (receiver, _) = lab.stack(hosts[1]).accept(now, listener).expect("a connection");
        let losses = Losses::default();
        let mut path = Path {
            lab,
            hosts,
            wire,
            sockets: [sender, receiver],
            losses: Arc::clone(&losses),
            written: 0,
            received: 0,
        };
        let mut first: Option<SeqNumber> = None;
        let script = move |_: u64, packet: &mut Packet| {
            let Some((seq, len)) = data_of(packet.bytes()) else { return Verdict::Pass };
            let first = *first.get_or_insert(seq);
            let mut losses = losses.lock().expect("no panic while it is held");
            let segment = (seq - first).max(0) as u32 / MSS;
            match losses.get_mut(&segment) {
                Some(left) if *left > 0 && len > 0 => {
                    *left -= 1;
                    Verdict::Drop
                }
                _ => Verdict::Pass,
            }
        };
        path.lab.link_mut(wire).set_script(End::A, Some(Box::new(script)));
        path
    }

    /// Fills the window a little: 10 segments, acknowledged.
    pub fn warm_up(&mut self) {
        self.transfer(10);
        self.run(Duration::from_millis(250));
    }

    /// Segments written so far.
    pub fn written(&self) -> u32 {
        self.written
    }

    /// Segments with these numbers are lost so many times.
    pub fn lose(&mut self, which: impl IntoIterator<Item = u32>, times: u32) {
        let mut losses = self.losses.lock().expect("no panic while it is held");
        losses.extend(which.into_iter().map(|number| (number, times)));
    }

    /// Writes so many segments and waits until they have arrived; returns how long that took.
    pub fn transfer(&mut self, segments: u32) -> Duration {
        self.write(segments);
        let (start, goal) = (self.lab.now(), self.written * MSS);
        while self.received < goal {
            self.run(Duration::from_millis(1));
            assert!(self.lab.now() - start < Duration::from_secs(600), "it stands still");
        }
        self.lab.now() - start
    }

    pub fn write(&mut self, segments: u32) {
        let data = vec![b'x'; (segments * MSS) as usize];
        let (now, [socket, _]) = (self.lab.now(), self.sockets);
        let taken = self.lab.stack(self.hosts[0]).send(now, socket, &data).expect("a connection");
        assert_eq!(taken, data.len(), "there is room in the buffer");
        self.written += segments;
    }

    /// Lets time pass; the receiver reads what comes.
    pub fn run(&mut self, span: Duration) {
        let end = self.lab.now() + span;
        while self.lab.now() < end {
            self.lab.run_for((end - self.lab.now()).min(Duration::from_millis(1)));
            let (now, [_, socket]) = (self.lab.now(), self.sockets);
            let mut buffer = [0; 1 << 16];
            loop {
                match self.lab.stack(self.hosts[1]).receive(now, socket, &mut buffer) {
                    Ok(len) => self.received += len as u32,
                    Err(SocketError::WouldBlock) => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    pub fn info(&mut self) -> TcpInfo {
        let [socket, _] = self.sockets;
        self.lab.stack(self.hosts[0]).tcp_info(socket).expect("a connection")
    }

    pub fn sender_ext(&mut self) -> TcpExtMib {
        self.lab.stack(self.hosts[0]).snapshot().tcp_ext
    }

    /// Segments that the sender has sent again.
    pub fn retransmitted(&mut self) -> u64 {
        self.info().total_retrans.into()
    }
}

/// Number and length of the data in a frame.
fn data_of(frame: &[u8]) -> Option<(SeqNumber, usize)> {
    let ethernet = Ethernet::parse(frame).ok()?;
    let ip = Ipv4::parse(ethernet.payload()).ok()?;
    if ip.protocol() != Protocol::TCP {
        return None;
    }
    let tcp = Tcp::parse(ip.payload()).ok()?;
    let is_data = !tcp.payload().is_empty() && !tcp.flags().contains(TcpFlags::SYN);
    is_data.then(|| (tcp.seq(), tcp.payload().len()))
}
