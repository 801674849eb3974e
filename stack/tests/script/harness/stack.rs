//! A [`Stack`] as a script's host: descriptors to sockets, calls to its API.

use core::net::SocketAddr;
use std::collections::HashMap;

use tapping_stack::config::{BufferSizes, EcnMode, MtuProbing, SynCookies, TimeWaitReuse};
use tapping_stack::packet::{Gso, GsoKind};
use tapping_stack::socket::{Readiness, SocketId};
use tapping_stack::tcp::SendFlags;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::{Ipv4, Tcp};
use tapping_stack::{
    Capabilities, Config, LinkConfig, LinkId, Packet, PmtuDiscovery, Shutdown, SocketError, Stack,
    TcpOptions, TcpState,
};

use super::call::Op;
use super::flow::{LOCAL, PEER};
use super::host::{Host, Outcome, errno, payload};

/// A stack with one link and no Ethernet.
pub struct Endpoint {
    stack: Stack,
    link: LinkId,
    sockets: HashMap<i32, Socket>,
    /// What the peer's large segments are taken to be made of.
    peer_mss: Option<u16>,
}

#[derive(Debug, Clone, Copy)]
struct Socket {
    id: SocketId,
    udp: bool,
    non_blocking: bool,
    /// A connect that has not returned.
    connecting: bool,
    written: u64,
    read: u64,
    /// All before the urgent byte had been read when it was read last.
    at_mark: bool,
    /// What a write that blocks has written.
    sending: usize,
}

impl Socket {
    fn new(id: SocketId, udp: bool) -> Self {
        Socket {
            id,
            udp,
            non_blocking: false,
            connecting: false,
            written: 0,
            read: 0,
            at_mark: false,
            sending: 0,
        }
    }
}

impl Endpoint {
    /// With settings as `sysctl` names them, and `mtu`, `offload` and `seed`.
    pub fn new(settings: &[(String, String)]) -> Result<Self, String> {
        let mut config = Config::default();
        let mut link = LinkConfig::ip("tun0");
        let (mut seed, mut peer_mss) = (1, None);
        for (name, value) in settings {
            let numbers: Vec<usize> =
                value.split([' ', ',', '\t']).filter_map(|word| word.parse().ok()).collect();
            let first = numbers.first().copied();
            let set = match (name.as_str(), first) {
                ("mtu", Some(mtu)) => {
                    link.mtu = mtu;
                    true
                }
                ("offload", Some(on)) => {
                    let large = Capabilities { tx_checksum: true, max_gso_size: 65_535 };
                    link.capabilities = if on == 0 { Capabilities::default() } else { large };
                    true
                }
                ("mss", Some(mss)) => {
                    peer_mss = Some(mss as u16);
                    true
                }
                ("seed", Some(number)) => {
                    seed = number as u64;
                    true
                }
                _ => configure(&mut config, name, value, &numbers),
            };
            if !set {
                return Err(format!("there is no setting {name}={value}"));
            }
        }
        let mut stack = Stack::new(config, seed);
        let link = stack.add_link(link).map_err(|error| error.to_string())?;
        let cidr = format!("{LOCAL}/24").parse().map_err(|_| "a bad address")?;
        stack.add_address(Instant::ZERO, link, cidr).map_err(|error| error.to_string())?;
        Ok(Endpoint { stack, link, sockets: HashMap::new(), peer_mss })
    }
}

/// Applies one `net.ipv4.*` or `net.core.*` setting; says whether there is such.
fn configure(config: &mut Config, name: &str, value: &str, numbers: &[usize]) -> bool {
    let tcp = &mut config.tcp;
    if name == "tcp_congestion_control" {
        let Ok(algorithm) = value.parse() else { return false };
        tcp.congestion_control = algorithm;
        return true;
    }
    if let ("tcp_rmem" | "tcp_wmem", &[min, default, max]) = (name, numbers) {
        let sizes = BufferSizes { min, default, max };
        *(if name == "tcp_rmem" { &mut tcp.rmem } else { &mut tcp.wmem }) = sizes;
        return true;
    }
    let &[number] = numbers else { return false };
    let (on, seconds) = (number != 0, Duration::from_secs(number as u64));
    match name {
        "tcp_syn_retries" => tcp.syn_retries = number as u8,
        "tcp_syn_linear_timeouts" => tcp.syn_linear_timeouts = number as u8,
        "tcp_synack_retries" => tcp.synack_retries = number as u8,
        "tcp_retries1" => tcp.retries1 = number as u8,
        "tcp_retries2" => tcp.retries2 = number as u8,
        "tcp_orphan_retries" => tcp.orphan_retries = number as u8,
        "tcp_max_orphans" => tcp.max_orphans = number,
        "tcp_max_tw_buckets" => tcp.max_tw_buckets = number,
        "tcp_max_syn_backlog" => tcp.max_syn_backlog = number,
        "somaxconn" => tcp.somaxconn = number,
        "tcp_abort_on_overflow" => tcp.abort_on_overflow = on,
        "tcp_fin_timeout" => tcp.fin_timeout = seconds,
        "tcp_rfc1337" => tcp.rfc1337 = on,
        "tcp_keepalive_time" => tcp.keepalive_time = seconds,
        "tcp_keepalive_intvl" => tcp.keepalive_intvl = seconds,
        "tcp_keepalive_probes" => tcp.keepalive_probes = number as u8,
        "tcp_window_scaling" => tcp.window_scaling = on,
        "tcp_timestamps" => tcp.timestamps = on,
        "tcp_sack" => tcp.sack = on,
        "tcp_dsack" => tcp.dsack = on,
        "tcp_frto" => tcp.frto = on,
        "tcp_early_retrans" => tcp.tail_loss_probe = on,
        "tcp_reordering" => tcp.reordering = number as u32,
        "tcp_max_reordering" => tcp.max_reordering = number as u32,
        "tcp_slow_start_after_idle" => tcp.slow_start_after_idle = on,
        "tcp_moderate_rcvbuf" => tcp.moderate_rcvbuf = on,
        "tcp_mtu_probing" => {
            let probing = [MtuProbing::Off, MtuProbing::BlackHole, MtuProbing::On];
            tcp.mtu_probing = probing[number.min(2)];
        }
        "tcp_mtu_probe_floor" => tcp.mtu_probe_floor = number as u16,
        "tcp_probe_threshold" => tcp.probe_threshold = number as u16,
        "tcp_probe_interval" => tcp.probe_interval = seconds,
        "tcp_base_mss" => tcp.base_mss = number as u16,
        "tcp_min_snd_mss" => tcp.min_snd_mss = number as u16,
        "tcp_shrink_window" => tcp.shrink_window = on,
        "tcp_retrans_collapse" => tcp.retrans_collapse = on,
        "tcp_invalid_ratelimit" => tcp.invalid_ratelimit = Duration::from_millis(number as u64),
        "tcp_rto_max_ms" => tcp.rto_max = Duration::from_millis(number as u64),
        "tcp_notsent_lowat" => tcp.notsent_lowat = number,
        "tcp_tso_win_divisor" => tcp.tso_win_divisor = number as u32,
        "tcp_challenge_ack_limit" => tcp.challenge_ack_limit = number as u32,
        "tcp_comp_sack_nr" => tcp.comp_sack_nr = number as u8,
        "tcp_min_tso_segs" => tcp.min_tso_segs = number as u32,
        "tcp_ecn" => tcp.ecn = [EcnMode::Off, EcnMode::On, EcnMode::Passive][number.min(2)],
        "tcp_tw_reuse" => {
            let reuse = [TimeWaitReuse::Off, TimeWaitReuse::On, TimeWaitReuse::Loopback];
            tcp.tw_reuse = reuse[number.min(2)];
        }
        "tcp_syncookies" => {
            tcp.syncookies =
                [SynCookies::Off, SynCookies::WhenFull, SynCookies::Always][number.min(2)];
        }
        // What there is no choice of, as Linux has it by default.
        "tcp_fack" => return !on,
        "tcp_recovery" => return number == 1,
        "tcp_pacing_ss_ratio" => return number == 200,
        "tcp_pacing_ca_ratio" => return number == 120,
        _ => return false,
    }
    true
}

/// How a large segment looks that a link has put together.
fn large(packet: &[u8], mss: u16) -> Option<Gso> {
    let header = Ipv4::parse(packet).ok()?;
    let len = Tcp::parse(header.payload()).ok()?.payload().len();
    let segments = len.div_ceil(usize::from(mss)) as u16;
    let kind = GsoKind::TcpV4 { ecn: false };
    (segments > 1).then_some(Gso { kind, size: mss, segments, fixed_id: false })
}

impl Host for Endpoint {
    fn deliver(&mut self, now: Instant, packet: Vec<u8>) {
        let mut frame = Packet::from_slice(&packet);
        frame.meta.gso = self.peer_mss.and_then(|mss| large(&packet, mss));
        self.stack.handle_frame(now, self.link, frame);
    }

    fn transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        let mut packet = self.stack.poll_transmit(now, self.link)?;
        packet.finish_checksum();
        let bytes = packet.bytes().to_vec();
        self.stack.recycle(packet);
        Some(bytes)
    }

    fn timeout(&self) -> Option<Instant> {
        self.stack.poll_timeout()
    }

    fn wake(&mut self, now: Instant) {
        self.stack.handle_timeout(now);
    }

    fn call(&mut self, now: Instant, fd: i32, op: &Op, new: i32) -> Result<Outcome, i32> {
        if let Op::Socket { udp, non_blocking } = op {
            let opened = if *udp { self.stack.open_udp() } else { self.stack.open_tcp() };
            let id = opened.map_err(SocketError::errno)?;
            let socket = Socket { non_blocking: *non_blocking, ..Socket::new(id, *udp) };
            self.sockets.insert(new, socket);
            return Ok(Outcome::Value(i64::from(new)));
        }
        let mut socket = *self.sockets.get(&fd).ok_or(SocketError::BadSocket.errno())?;
        let result = self.socket_call(now, &mut socket, op, new);
        match op {
            Op::Close | Op::Abort => drop(self.sockets.remove(&fd)),
            _ => drop(self.sockets.insert(fd, socket)),
        }
        match result {
            Err(SocketError::WouldBlock) if !socket.non_blocking => Ok(Outcome::Blocks),
            result => result.map_err(SocketError::errno),
        }
    }

    fn counters(&self) -> HashMap<String, u64> {
        let stats = self.stack.snapshot();
        let tcp = stats.tcp.iter().map(|(name, count)| (format!("Tcp{name}"), count));
        let ext = stats.tcp_ext.iter().map(|(name, count)| (format!("TcpExt{name}"), count));
        tcp.chain(ext).collect()
    }

    fn info(&mut self, now: Instant, fd: i32, field: &str) -> Option<i64> {
        let id = self.sockets.get(&fd)?.id;
        self.stack.handle_timeout(now);
        let info = self.stack.tcp_info(id).ok()?;
        let micros = |span: Duration| span.as_micros() as i64;
        let field = field.strip_prefix("tcpi_").unwrap_or(field);
        Some(match field {
            "options" => {
                let scale = info.wscale.is_some();
                let bits = [info.timestamps, info.sack, scale, info.ecn, info.ecn_seen];
                bits.iter().rev().fold(0, |bits, bit| bits << 1 | i64::from(*bit))
            }
            "last_data_sent" => info.last_data_sent.as_millis() as i64,
            "last_data_recv" => info.last_data_recv.as_millis() as i64,
            "last_ack_recv" => info.last_ack_recv.as_millis() as i64,
            "state" => info.state.number().into(),
            "ca_state" => info.ca_state as i64,
            "retransmits" => info.retransmits.into(),
            "probes" => info.probes.into(),
            "backoff" => info.backoff.into(),
            "rto" => micros(info.rto),
            "ato" => micros(info.ato),
            "snd_mss" => info.snd_mss.into(),
            "rcv_mss" => info.rcv_mss.into(),
            "unacked" => info.unacked.into(),
            "sacked" => info.sacked.into(),
            "lost" => info.lost.into(),
            "retrans" => info.retrans.into(),
            "pmtu" => info.pmtu.into(),
            "rcv_ssthresh" => info.rcv_ssthresh.into(),
            "rtt" => micros(info.rtt),
            "rttvar" => micros(info.rttvar),
            "min_rtt" => micros(info.min_rtt?),
            // As Linux shows that there is none: TCP_INFINITE_SSTHRESH.
            "snd_ssthresh" => info.snd_ssthresh.min(0x7fff_ffff).into(),
            "snd_cwnd" => info.snd_cwnd.into(),
            "advmss" => info.advmss.into(),
            "reordering" => info.reordering.into(),
            "total_retrans" => info.total_retrans.into(),
            "bytes_acked" => info.bytes_acked as i64,
            "bytes_received" => info.bytes_received as i64,
            "segs_out" => info.segs_out.into(),
            "segs_in" => info.segs_in.into(),
            "data_segs_in" => info.data_segs_in.into(),
            "data_segs_out" => info.data_segs_out.into(),
            "notsent_bytes" => info.notsent_bytes.into(),
            "delivered" => info.delivered.into(),
            "delivered_ce" => info.delivered_ce.into(),
            "bytes_sent" => info.bytes_sent as i64,
            "bytes_retrans" => info.bytes_retrans as i64,
            "dsack_dups" => info.dsack_dups.into(),
            "reord_seen" => info.reord_seen.into(),
            "rcv_ooopack" => info.rcv_ooopack.into(),
            "rcv_space" => info.rcv_space.into(),
            "snd_wnd" => info.snd_wnd.into(),
            "rcv_wnd" => info.rcv_wnd.into(),
            "busy_time" => micros(info.busy_time),
            "rwnd_limited" => micros(info.rwnd_limited),
            "sndbuf_limited" => micros(info.sndbuf_limited),
            _ => return None,
        })
    }
}

impl Endpoint {
    fn socket_call(
        &mut self,
        now: Instant,
        socket: &mut Socket,
        op: &Op,
        new: i32,
    ) -> Result<Outcome, SocketError> {
        let (stack, id) = (&mut self.stack, socket.id);
        match op {
            Op::Bind { port } => {
                stack.bind(id, SocketAddr::new(LOCAL.into(), port.unwrap_or(8080)))?;
            }
            Op::Listen { backlog } => stack.listen(now, id, *backlog)?,
            Op::Accept => {
                let (id, _) = stack.accept(now, id)?;
                self.sockets.insert(new, Socket::new(id, false));
                return Ok(Outcome::Value(i64::from(new)));
            }
            Op::Connect { port } => return self.connect(now, socket, port.unwrap_or(8080)),
            Op::Disconnect => {
                stack.disconnect(now, id)?;
                *socket =
                    Socket { non_blocking: socket.non_blocking, ..Socket::new(id, socket.udp) };
            }
            Op::Send { len, flags } => return self.send(now, socket, *len, *flags),
            Op::SendTo { len } => {
                let peer = SocketAddr::new(PEER.into(), 40_000);
                stack.send_to(now, id, peer, &payload(0, *len))?;
                return Ok(Outcome::Value(*len as i64));
            }
            Op::Receive { len, peek } => return self.receive(now, socket, *len, *peek),
            Op::ReceiveUrgent { peek } => return urgent(stack, id, *peek),
            Op::Shutdown { read, write } => {
                let how = match (read, write) {
                    (true, true) => Shutdown::Both,
                    (true, false) => Shutdown::Read,
                    _ => Shutdown::Write,
                };
                stack.shutdown(now, id, how)?;
            }
            Op::Close => stack.close(now, id)?,
            Op::Abort => stack.abort(now, id)?,
            Op::NonBlocking(on) => socket.non_blocking = *on,
            Op::Set { name, values, text } => return set(stack, now, id, name, values, text),
            Op::Get { name, expected } => return get(stack, id, name, expected),
            Op::Poll { events, ready } => return Ok(poll(stack.readiness(id), events, ready)),
            Op::State(expected) => {
                let state = stack.tcp_state(id)?;
                let names = [state.name().to_string(), format!("{state:?}")];
                if !names.contains(expected) {
                    return Ok(Outcome::Wrong(format!("state: {}, not {expected}", names[0])));
                }
            }
            Op::Socket { .. } | Op::Use => {}
        }
        Ok(Outcome::Value(0))
    }

    /// A blocking connect returns when the handshake is over, one way or the other.
    fn connect(
        &mut self,
        now: Instant,
        socket: &mut Socket,
        port: u16,
    ) -> Result<Outcome, SocketError> {
        if !socket.connecting {
            self.stack.connect(now, socket.id, SocketAddr::new(PEER.into(), port))?;
            let under_way = !socket.udp && self.stack.tcp_state(socket.id)? == TcpState::SynSent;
            if !under_way {
                return Ok(Outcome::Value(0));
            }
            // The stack itself never blocks: connect(2) would, or says that it cannot.
            if socket.non_blocking {
                return Err(SocketError::InProgress);
            }
            socket.connecting = true;
        }
        if let Some(error) = self.stack.take_error(socket.id)? {
            return Err(error);
        }
        match self.stack.tcp_state(socket.id)? {
            TcpState::SynSent | TcpState::SynReceived => Err(SocketError::WouldBlock),
            _ => {
                socket.connecting = false;
                Ok(Outcome::Value(0))
            }
        }
    }

    fn send(
        &mut self,
        now: Instant,
        socket: &mut Socket,
        len: usize,
        flags: SendFlags,
    ) -> Result<Outcome, SocketError> {
        if socket.udp {
            let sent = self.stack.send(now, socket.id, &payload(0, len))?;
            return Ok(Outcome::Value(sent as i64));
        }
        let done = core::mem::take(&mut socket.sending);
        let data = payload(socket.written, len - done);
        let sent = match self.stack.send_with_flags(now, socket.id, &data, flags) {
            Err(error) if done == 0 || error == SocketError::WouldBlock => {
                socket.sending = done;
                return Err(error);
            }
            sent => sent.unwrap_or(0),
        };
        socket.written += sent as u64;
        // write(2) returns when all is written, unless something goes wrong.
        if done + sent < len && sent > 0 && !socket.non_blocking {
            socket.sending = done + sent;
            return Err(SocketError::WouldBlock);
        }
        Ok(Outcome::Value((done + sent) as i64))
    }

    fn receive(
        &mut self,
        now: Instant,
        socket: &mut Socket,
        len: usize,
        peek: bool,
    ) -> Result<Outcome, SocketError> {
        if socket.udp {
            let packet = self.stack.try_recv(socket.id)?;
            let received = packet.len();
            let fits = packet.bytes() == payload(0, received);
            self.stack.recycle(packet);
            return Ok(checked(received.min(len), fits));
        }
        socket.at_mark |= self.stack.is_at_mark(socket.id)?;
        let mut buffer = vec![0; len];
        let received = match peek {
            true => self.stack.peek(socket.id, &mut buffer)?,
            false => self.stack.receive(now, socket.id, &mut buffer)?,
        };
        let holds = |start| buffer.get(..received) == Some(&payload(start, received)[..]);
        // The urgent byte is passed over, once all before it has been read.
        let start = socket.read;
        let hole = socket.at_mark && !holds(start) && holds(start + 1);
        let fits = hole || holds(start);
        socket.at_mark = self.stack.is_at_mark(socket.id)?;
        if !peek {
            socket.read += u64::from(hole) + received as u64;
        }
        Ok(checked(received, fits))
    }
}

/// The urgent byte; what the pattern has there is not known here.
fn urgent(stack: &mut Stack, id: SocketId, peek: bool) -> Result<Outcome, SocketError> {
    let byte = match peek {
        true => stack.peek_urgent(id)?,
        false => stack.receive_urgent(id)?,
    };
    Ok(Outcome::Value(byte.is_some().into()))
}

fn checked(received: usize, fits: bool) -> Outcome {
    match fits {
        true => Outcome::Value(received as i64),
        false => Outcome::Wrong("what was received is not what was sent".into()),
    }
}

fn set(
    stack: &mut Stack,
    now: Instant,
    id: SocketId,
    name: &str,
    values: &[i64],
    text: &str,
) -> Result<Outcome, SocketError> {
    let value = values.first().copied().unwrap_or(0);
    let seconds = Duration::from_secs(value.unsigned_abs());
    match name {
        "IP_TOS" => stack.socket_options(id)?.tos = value as u8,
        "IP_MTU_DISCOVER" => {
            let discovery = match text {
                "IP_PMTUDISC_DONT" => PmtuDiscovery::Dont,
                "IP_PMTUDISC_DO" => PmtuDiscovery::Do,
                "IP_PMTUDISC_PROBE" => PmtuDiscovery::Probe,
                _ => PmtuDiscovery::Want,
            };
            stack.socket_options(id)?.pmtu_discovery = discovery;
        }
        "IP_TTL" => stack.socket_options(id)?.ttl = Some(value as u8),
        "TCP_CONGESTION" => {
            let algorithm = text.parse().map_err(|_| SocketError::InvalidArgument)?;
            stack.set_tcp_options(now, id, |options| options.congestion = Some(algorithm))?;
        }
        _ => {
            let mut known = true;
            let option = |options: &mut TcpOptions| match name {
                "SO_REUSEADDR" => options.reuse_addr = value != 0,
                "SO_REUSEPORT" => options.reuse_port = value != 0,
                "SO_KEEPALIVE" => options.keepalive = value != 0,
                "SO_OOBINLINE" => options.oob_inline = value != 0,
                "SO_SNDBUF" => options.send_buffer = Some(value as usize),
                "SO_RCVBUF" => options.receive_buffer = Some(value as usize),
                "SO_RCVLOWAT" => options.rcvlowat = value as u32,
                "SO_LINGER" => options.linger_reset = value != 0 && values.get(1) == Some(&0),
                "TCP_NODELAY" => options.nodelay = value != 0,
                "TCP_CORK" => options.cork = value != 0,
                "TCP_QUICKACK" => options.quickack = Some(value != 0),
                "TCP_MAXSEG" => options.maxseg = Some(value as u16),
                "TCP_KEEPIDLE" => options.keepidle = Some(seconds),
                "TCP_KEEPINTVL" => options.keepintvl = Some(seconds),
                "TCP_KEEPCNT" => options.keepcnt = Some(value as u8),
                "TCP_SYNCNT" => options.syncnt = Some(value as u8),
                "TCP_LINGER2" => options.linger2 = Some(seconds),
                "TCP_DEFER_ACCEPT" => options.defer_accept = seconds,
                "TCP_WINDOW_CLAMP" => options.window_clamp = Some(value as u32),
                "TCP_NOTSENT_LOWAT" => options.notsent_lowat = Some(value as u32),
                "TCP_USER_TIMEOUT" => options.user_timeout = Duration::from_millis(value as u64),
                _ => known = false,
            };
            stack.set_tcp_options(now, id, option)?;
            if !known {
                return Ok(Outcome::Wrong(format!("there is no option {name}")));
            }
        }
    }
    Ok(Outcome::Value(0))
}

fn get(
    stack: &mut Stack,
    id: SocketId,
    name: &str,
    expected: &str,
) -> Result<Outcome, SocketError> {
    let actual = match name {
        "SIOCINQ" | "FIONREAD" => stack.unread(id)? as i64,
        "SIOCOUTQ" => stack.unacknowledged(id)? as i64,
        "SIOCOUTQNSD" => stack.unsent(id)? as i64,
        "SIOCATMARK" => stack.is_at_mark(id)?.into(),
        "SO_ERROR" => i64::from(stack.take_error(id)?.map_or(0, SocketError::errno)),
        "SO_SNDBUF" => stack.tcp_info(id)?.buffers.0 as i64,
        "SO_RCVBUF" => stack.tcp_info(id)?.buffers.1 as i64,
        "TCP_MAXSEG" => match stack.tcp_state(id)? {
            // What was asked for, as long as nothing is agreed upon.
            TcpState::Closed | TcpState::Listen => {
                i64::from(stack.tcp_options(id)?.maxseg.unwrap_or(536))
            }
            _ => stack.tcp_info(id)?.snd_mss.into(),
        },
        other => return Ok(Outcome::Wrong(format!("there is no option {other} to read"))),
    };
    let expected = errno(expected).map(i64::from).or(expected.parse().ok());
    Ok(match expected == Some(actual) {
        true => Outcome::Value(0),
        false => Outcome::Wrong(format!("{name} is {actual}, not {expected:?}")),
    })
}

/// Linux `tcp_poll`: which event means which readiness.
fn poll(readiness: Readiness, events: &[String], ready: &[String]) -> Outcome {
    let closed = Readiness::READ_CLOSED | Readiness::WRITE_CLOSED;
    let mut actual = Vec::new();
    for (name, is) in [
        ("POLLIN", readiness.contains(Readiness::READABLE)),
        ("POLLPRI", readiness.contains(Readiness::PRIORITY)),
        ("POLLOUT", readiness.contains(Readiness::WRITABLE)),
        ("POLLERR", readiness.contains(Readiness::ERROR)),
        ("POLLHUP", readiness.contains(closed)),
        ("POLLRDHUP", readiness.contains(Readiness::READ_CLOSED)),
    ] {
        // poll(2): errors and hang-ups are told of unasked.
        let asked = events.iter().any(|event| event == name);
        if is && (asked || matches!(name, "POLLERR" | "POLLHUP")) {
            actual.push(name);
        }
    }
    let mut expected: Vec<&str> = ready.iter().map(String::as_str).collect();
    expected.sort_unstable();
    actual.sort_unstable();
    match actual == expected {
        true => Outcome::Value(0),
        false => Outcome::Wrong(format!("ready: {actual:?}, not {expected:?}")),
    }
}
