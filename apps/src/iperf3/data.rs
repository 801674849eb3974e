//! The streams of a test while it runs: a task for each.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tapping_drivers::aio::{TcpStream, UdpSocket};
use tapping_drivers::clock::Clock;
use tapping_drivers::net::{JoinHandle, Net};

use super::datagram::{Header, OLD_REPLY, REPLY, Reception};
use super::meter::{Snapshot, StreamInfo, TcpSample};
use super::pacing::Pacer;
use super::params::{Direction, MAX_DATAGRAM, Params, Protocol, Until};
use super::server::reply_to;

/// What the tasks of a test and its leader share.
#[derive(Debug)]
pub struct Flow {
    until: Until,
    block: u64,
    /// Nothing counts yet.
    omitting: AtomicBool,
    sent: Progress,
    received: Progress,
    failure: Mutex<Option<io::Error>>,
    leader: Mutex<Option<Waker>>,
}

/// What all streams of one way have moved since it counts.
#[derive(Debug, Default)]
struct Progress {
    /// Blocks that were begun.
    begun: AtomicU64,
    bytes: AtomicU64,
    blocks: AtomicU64,
}

/// What the leader of a test is woken for.
#[derive(Debug)]
pub enum Happening {
    /// As much was moved as was wanted.
    Enough,
    /// A stream failed.
    Failed(io::Error),
}

impl Flow {
    /// Of a test that is to begin.
    pub fn new(params: &Params) -> Self {
        let block = u64::from(params.block);
        let until = match params.until {
            // A connection does not tell where a block ends.
            Until::Blocks(blocks) if params.protocol == Protocol::Tcp => {
                Until::Bytes(blocks.saturating_mul(block))
            }
            until => until,
        };
        Flow {
            until,
            block,
            omitting: AtomicBool::new(params.omit > 0),
            sent: Progress::default(),
            received: Progress::default(),
            failure: Mutex::default(),
            leader: Mutex::default(),
        }
    }

    /// From now on it counts.
    pub fn count(&self) {
        for progress in [&self.sent, &self.received] {
            progress.begun.store(0, Relaxed);
            progress.bytes.store(0, Relaxed);
            progress.blocks.store(0, Relaxed);
        }
        self.omitting.store(false, Relaxed);
    }

    /// Waits for something that the leader must know.
    pub fn poll(&self, cx: &mut Context<'_>, needs: Needs) -> Poll<Happening> {
        let mut leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        if !leader.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *leader = Some(cx.waker().clone());
        }
        drop(leader);
        if let Some(error) = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Poll::Ready(Happening::Failed(error));
        }
        let enough = |needed: bool, progress| !needed || self.is_enough(progress);
        let all = enough(needs.sent, &self.sent) && enough(needs.received, &self.received);
        if (needs.sent || needs.received) && all {
            Poll::Ready(Happening::Enough)
        } else {
            Poll::Pending
        }
    }

    /// Whether another block is to be sent.
    fn begin(&self) -> bool {
        if matches!(self.until, Until::Time(_)) || self.omitting.load(Relaxed) {
            return true;
        }
        let begun = self.sent.begun.fetch_add(1, Relaxed);
        match self.until {
            Until::Bytes(bytes) => begun.saturating_mul(self.block) < bytes,
            Until::Blocks(blocks) => begun < blocks,
            Until::Time(_) => true,
        }
    }

    fn is_enough(&self, progress: &Progress) -> bool {
        if self.omitting.load(Relaxed) {
            return false;
        }
        match self.until {
            Until::Time(_) => false,
            Until::Bytes(bytes) => progress.bytes.load(Relaxed) >= bytes,
            Until::Blocks(blocks) => progress.blocks.load(Relaxed) >= blocks,
        }
    }

    fn moved(&self, progress: &Progress, bytes: u64, blocks: u64) {
        progress.bytes.fetch_add(bytes, Relaxed);
        progress.blocks.fetch_add(blocks, Relaxed);
        if !matches!(self.until, Until::Time(_)) && self.is_enough(progress) {
            self.wake();
        }
    }

    fn fail(&self, error: io::Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.wake();
    }

    fn wake(&self) {
        let waker = self.leader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What has to be moved before a test is over, of those that end by amount.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    /// From here.
    pub sent: bool,
    /// To here.
    pub received: bool,
}

impl Needs {
    /// A server does not end a test.
    pub const NOTHING: Needs = Needs { sent: false, received: false };

    /// What a client has to see.
    pub fn of(params: &Params) -> Self {
        let direction = params.direction;
        Needs { sent: direction != Direction::Reverse, received: direction != Direction::Forward }
    }
}

/// What a stream's task counts.
#[derive(Debug, Default)]
struct Counters {
    bytes: AtomicU64,
    packets: AtomicU64,
    lost: AtomicU64,
    out_of_order: AtomicU64,
    jitter: AtomicU64,
}

impl Counters {
    fn add(&self, bytes: u64, packets: u64) {
        // There is one writer.
        self.bytes.store(self.bytes.load(Relaxed) + bytes, Relaxed);
        self.packets.store(self.packets.load(Relaxed) + packets, Relaxed);
    }

    fn set(&self, reception: &Reception) {
        self.bytes.store(reception.bytes, Relaxed);
        self.packets.store(reception.packets, Relaxed);
        self.lost.store(reception.lost, Relaxed);
        self.out_of_order.store(reception.out_of_order, Relaxed);
        self.jitter.store(reception.jitter.to_bits(), Relaxed);
    }
}

/// What carries a stream.
#[derive(Debug, Clone)]
pub enum Carrier {
    /// A connection.
    Tcp(Arc<TcpStream>),
    /// A socket of its own, connected.
    Udp(Arc<UdpSocket>),
    /// A socket that all streams share.
    Shared(Arc<UdpSocket>),
}

/// A stream of a test.
#[derive(Debug)]
pub struct DataStream {
    /// Which it is.
    pub info: StreamInfo,
    /// What carries it.
    pub carrier: Carrier,
    counters: Arc<Counters>,
}

impl DataStream {
    /// A stream that has moved nothing so far.
    pub fn new(info: StreamInfo, carrier: Carrier) -> Self {
        DataStream { info, carrier, counters: Arc::default() }
    }

    /// What it has moved.
    pub fn snapshot(&self) -> Snapshot {
        let counters = &self.counters;
        Snapshot {
            bytes: counters.bytes.load(Relaxed),
            packets: counters.packets.load(Relaxed),
            lost: counters.lost.load(Relaxed),
            out_of_order: counters.out_of_order.load(Relaxed),
            jitter: f64::from_bits(counters.jitter.load(Relaxed)),
            tcp: self.sample(),
        }
    }

    /// Payload so far.
    pub fn bytes(&self) -> u64 {
        self.counters.bytes.load(Relaxed)
    }

    /// The congestion control algorithm of its connection.
    pub fn congestion(&self) -> Option<String> {
        let Carrier::Tcp(stream) = &self.carrier else { return None };
        stream.tcp_info().ok().map(|info| info.congestion.to_string())
    }

    fn sample(&self) -> Option<TcpSample> {
        let Carrier::Tcp(stream) = &self.carrier else { return None };
        let info = stream.tcp_info().ok().filter(|_| self.info.sending)?;
        Some(TcpSample {
            retransmits: info.total_retrans.into(),
            cwnd: u64::from(info.snd_cwnd) * u64::from(info.snd_mss),
            window: info.snd_wnd.into(),
            rtt: info.rtt.as_micros() as u64,
            rttvar: info.rttvar.as_micros() as u64,
            pmtu: info.pmtu.into(),
        })
    }

    /// Counts what has come and was not read, without waiting: for when the sender says that it was
    /// all.
    pub fn drain(&self) {
        if let Carrier::Tcp(stream) = &self.carrier
            && !self.info.sending
        {
            let mut buf = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = stream.try_read(&mut buf) {
                self.counters.add(read as u64, 0);
            }
        }
    }
}

/// The tasks of a test; they end when this is dropped.
#[derive(Debug, Default)]
pub struct Tasks(Vec<JoinHandle<()>>);

impl Tasks {
    /// Ends them.
    pub fn stop(&mut self) {
        self.0.iter_mut().for_each(JoinHandle::abort);
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Lets data flow on all streams.
pub fn start(net: &Net, params: &Params, streams: &[DataStream], flow: &Arc<Flow>) -> Tasks {
    let payload: Arc<[u8]> = payload(params).into();
    let mut tasks = Vec::new();
    let mut shared = None;
    for stream in streams {
        let sender = Sender {
            net: net.clone(),
            counters: Arc::clone(&stream.counters),
            flow: Arc::clone(flow),
            pacer: Pacer::new(params.rate, params.burst, tick(params)),
            payload: Arc::clone(&payload),
        };
        let (counters, flow) = (Arc::clone(&stream.counters), Arc::clone(flow));
        let (sending, wide) = (stream.info.sending, params.counters_64bit);
        match &stream.carrier {
            Carrier::Tcp(tcp) => {
                let (tcp, shard) = (Arc::clone(tcp), tcp.shard());
                tasks.push(if sending {
                    net.spawn_on(shard, sender.fill(tcp))
                } else {
                    net.spawn_on(shard, sink(tcp, counters, flow))
                });
            }
            Carrier::Udp(udp) => {
                let udp = Arc::clone(udp);
                tasks.push(if sending {
                    net.spawn(sender.datagrams(udp, None, wide))
                } else {
                    let clock = net.clock();
                    net.spawn(receive(udp, vec![(None, counters)], flow, clock, wide))
                });
            }
            Carrier::Shared(udp) => {
                let remote = Some(stream.info.remote);
                if sending {
                    tasks.push(net.spawn(sender.datagrams(Arc::clone(udp), remote, wide)));
                } else {
                    let (_, receivers) = shared.get_or_insert((Arc::clone(udp), Vec::new()));
                    receivers.push((remote, counters));
                }
            }
        }
    }
    if let Some((udp, receivers)) = shared {
        let (flow, clock, wide) = (Arc::clone(flow), net.clock(), params.counters_64bit);
        tasks.push(net.spawn(receive(udp, receivers, flow, clock, wide)));
    }
    Tasks(tasks)
}

fn tick(params: &Params) -> Duration {
    Duration::from_micros(params.pacing_timer.into())
}

/// A block of data: bytes without a pattern, or digits.
fn payload(params: &Params) -> Vec<u8> {
    let len = params.block as usize;
    if params.repeating_payload {
        return b"0123456789".iter().copied().cycle().take(len).collect();
    }
    // xorshift64: nothing on the way is to find anything to compress in it.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Somebody who sends.
struct Sender {
    net: Net,
    counters: Arc<Counters>,
    flow: Arc<Flow>,
    pacer: Pacer,
    payload: Arc<[u8]>,
}

impl Sender {
    /// Waits until a block may go. Whether any may.
    async fn may_send(&mut self, start: tapping_stack::time::Instant) -> bool {
        if !self.flow.begin() {
            return false;
        }
        if self.pacer.is_limited() {
            while let Some(wait) = self.pacer.wait(self.net.clock().now() - start) {
                self.net.sleep(wait).await;
            }
        }
        true
    }

    fn sent(&mut self, bytes: usize) {
        self.pacer.sent(bytes);
        self.flow.moved(&self.flow.sent, bytes as u64, 1);
    }

    /// Blocks over a connection, until it is enough.
    async fn fill(mut self, stream: Arc<TcpStream>) {
        let start = self.net.clock().now();
        while self.may_send(start).await {
            let payload = Arc::clone(&self.payload);
            let mut rest = &payload[..];
            while !rest.is_empty() {
                match stream.write(rest).await {
                    Ok(written) => {
                        self.counters.add(written as u64, 0);
                        rest = &rest[written..];
                    }
                    Err(error) => return self.flow.fail(error),
                }
            }
            self.sent(payload.len());
        }
    }

    /// Datagrams, to `to` or to whom the socket is connected.
    async fn datagrams(mut self, socket: Arc<UdpSocket>, to: Option<SocketAddr>, wide: bool) {
        let clock = self.net.clock();
        let start = clock.now();
        let mut datagram = self.payload.to_vec();
        let mut number = 0;
        while self.may_send(start).await {
            number += 1;
            let sent_us = clock.now().as_nanos() / 1_000;
            Header { sent_us, number }.write(&mut datagram, wide);
            let sent = match to {
                Some(to) => socket.send_to(&datagram, to).await,
                None => socket.send(&datagram).await,
            };
            if let Err(error) = sent {
                return self.flow.fail(error);
            }
            self.counters.add(datagram.len() as u64, 1);
            self.sent(datagram.len());
        }
    }
}

/// Counts what a connection brings.
async fn sink(stream: Arc<TcpStream>, counters: Arc<Counters>, flow: Arc<Flow>) {
    loop {
        match stream.read_with(<[u8]>::len).await {
            // The control connection tells whether this is the end.
            Ok(0) => return,
            Ok(read) => {
                counters.add(read as u64, 0);
                flow.moved(&flow.received, read as u64, 0);
            }
            Err(error) => return flow.fail(error),
        }
    }
}

/// Counts datagrams: those from each of these addresses for itself.
async fn receive(
    socket: Arc<UdpSocket>,
    from: Vec<(Option<SocketAddr>, Arc<Counters>)>,
    flow: Arc<Flow>,
    clock: Clock,
    wide: bool,
) {
    let mut receptions: std::collections::HashMap<_, _> =
        from.into_iter().map(|(from, counters)| (from, (counters, Reception::default()))).collect();
    let connected = receptions.contains_key(&None);
    let mut buf = vec![0; MAX_DATAGRAM as usize];
    loop {
        let (len, from) = match socket.recv_from(&mut buf).await {
            Ok((len, from)) => (len, (!connected).then_some(from)),
            // Something sent earlier did not get there; that is no reason not to listen.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return flow.fail(error),
        };
        let datagram = &buf[..len];
        let Some((counters, reception)) = receptions.get_mut(&from) else { continue };
        // The answer was lost, or comes twice.
        if let Some(reply) = reply_to(datagram) {
            if let Some(from) = from {
                let _ = socket.try_send_to(reply, from);
            }
            continue;
        }
        if [REPLY, OLD_REPLY].iter().any(|word| datagram == *word) {
            continue;
        }
        let Some(header) = Header::read(datagram, wide) else { continue };
        reception.receive(header, len, clock.now().as_nanos() / 1_000);
        counters.set(reception);
        flow.moved(&flow.received, len as u64, 1);
    }
}
