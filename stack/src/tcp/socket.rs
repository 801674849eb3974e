//! What the application does with a connection (Linux `tcp_sendmsg`, `tcp_recvmsg`, `tcp_poll`).

use super::Cx;
use super::cc::{Congestion, CongestionControl, window};
use super::options::TcpOptions;
use super::output::Nagle;
use super::records::Record;
use super::sparse::Sparse;
use super::state::TcpState;
use super::tcb::{AckPending, Limited, Tcb};
use super::urgent::UrgentByte;
use crate::socket::ports::BindRequest;
use crate::socket::{Readiness, SocketError};

bitflags::bitflags! {
    /// How to send (send(2)).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct SendFlags: u8 {
        /// `MSG_MORE`: more follows at once.
        const MORE = 1;
        /// `MSG_OOB`: the last byte is urgent (RFC 6093).
        const URGENT = 2;
        /// `MSG_EOR`: nothing that is written afterwards joins the same segment.
        const END_OF_RECORD = 4;
    }
}

impl Tcb {
    /// What would not have to wait (Linux `tcp_poll`).
    pub(crate) fn readiness(&self) -> Readiness {
        let mut ready = Readiness::empty();
        let connecting = matches!(self.state, TcpState::SynSent | TcpState::SynReceived);
        ready.set(Readiness::ERROR, self.error.is_some());
        // EPOLLHUP is both.
        let closed = self.state == TcpState::Closed;
        ready.set(Readiness::READ_CLOSED, self.receive_shutdown || closed);
        ready.set(Readiness::WRITE_CLOSED, self.send_shutdown || closed);
        if !connecting {
            let urgent = self.urgent.map(|urgent| urgent.byte);
            ready.set(Readiness::PRIORITY, matches!(urgent, Some(UrgentByte::Here(_))));
            let wanted = (self.options.rcvlowat as usize).min(self.receive_limit / 2).max(1);
            // The urgent byte alone is nothing to read.
            let wanted = wanted + usize::from(self.is_mark_due());
            let enough = self.rx.readable() >= wanted || self.receive_shutdown;
            ready.set(Readiness::READABLE, enough || self.error.is_some());
            ready.set(
                Readiness::WRITABLE,
                self.is_writable() || self.send_shutdown || self.error.is_some(),
            );
        }
        ready
    }

    /// Linux `sk_stream_is_writeable`: a third of the buffer is free.
    fn is_writable(&self) -> bool {
        let queued = self.send_memory();
        let unsent = self.unsent() as usize;
        self.send_limit.saturating_sub(queued) >= queued >> 1 && unsent < self.notsent_lowat
    }

    /// Whether sending is possible at all.
    fn check_send(&mut self) -> Result<(), SocketError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        match self.state {
            _ if self.send_shutdown => Err(SocketError::BrokenPipe),
            TcpState::Established | TcpState::CloseWait => Ok(()),
            TcpState::SynSent | TcpState::SynReceived => Err(SocketError::WouldBlock),
            _ => Err(SocketError::BrokenPipe),
        }
    }

    /// Takes bytes to send; returns how many.
    pub(crate) fn send(
        &mut self,
        cx: &mut Cx<'_>,
        data: &[u8],
        flags: SendFlags,
    ) -> Result<usize, SocketError> {
        self.check_send()?;
        let room = self.send_room(cx);
        let n = data.len().min(room);
        if n == 0 && !data.is_empty() {
            return Err(self.no_room(cx));
        }
        self.before_send(cx);
        self.send.write(&data[..n], cx.chunks);
        self.after_send(cx, n, data.len(), flags);
        Ok(n)
    }

    /// Lets `fill` write into the send buffer itself.
    pub(crate) fn send_with(
        &mut self,
        cx: &mut Cx<'_>,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<usize, SocketError> {
        self.check_send()?;
        let room = self.send_room(cx).min(max);
        if room == 0 && max > 0 {
            return Err(self.no_room(cx));
        }
        self.before_send(cx);
        let n = self.send.write_with(room, cx.chunks, fill);
        self.after_send(cx, n, n, SendFlags::empty());
        Ok(n)
    }

    /// Bytes that may be written now. Without memory, each connection may still have one segment.
    fn send_room(&self, cx: &Cx<'_>) -> usize {
        let limit = match cx.is_out_of_memory() {
            true => usize::from(self.mss),
            false => self.send_limit,
        };
        limit.saturating_sub(self.send_memory())
    }

    fn no_room(&mut self, cx: &mut Cx<'_>) -> SocketError {
        self.wants_space = true;
        if !self.has_unsent() {
            self.note_limits(cx.now, true);
        }
        SocketError::WouldBlock
    }

    fn before_send(&mut self, cx: &mut Cx<'_>) {
        let ctx = self.cc_context(cx.now);
        let policy = self.idle_policy(cx);
        window::slow_start_after_idle(&mut self.cs, &mut self.cc, &ctx, &policy);
    }

    fn after_send(&mut self, cx: &mut Cx<'_>, n: usize, wanted: usize, flags: SendFlags) {
        if n == 0 {
            return;
        }
        self.wants_space = n < wanted;
        self.write_seq += n as u32;
        let more = flags.contains(SendFlags::MORE) && n == wanted;
        if !more {
            self.push_seq = self.write_seq;
        }
        if flags.contains(SendFlags::URGENT) {
            // Of what was taken, as Linux has it.
            self.snd_up = self.write_seq;
        }
        if flags.contains(SendFlags::END_OF_RECORD) && n == wanted {
            self.records.push(Record { end: self.write_seq, push: !more });
        }
        if self.chronograph.now == Limited::Idle {
            self.chronograph.enter(cx.now, Limited::Busy);
        }
        self.push_pending(cx, if more { Nagle::Cork } else { Nagle::Options });
        self.rate.check_app_limited(
            self.unsent(),
            self.mss.into(),
            self.rtx.in_flight(),
            self.cs.cwnd,
            self.rtx.lost_out,
            self.rtx.retrans_out,
        );
    }

    /// Whether there is something to receive; `Ok(false)` at the end of the stream.
    fn check_receive(&mut self) -> Result<bool, SocketError> {
        if self.rx.readable() > usize::from(self.is_mark_due()) {
            return Ok(true);
        }
        if self.fin_received {
            return Ok(false);
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.receive_shutdown {
            return Ok(false);
        }
        match self.state {
            TcpState::Closed => Err(SocketError::NotConnected),
            _ => Err(SocketError::WouldBlock),
        }
    }

    /// Receives bytes; 0 at the end of the stream.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Cx<'_>,
        buffer: &mut [u8],
    ) -> Result<usize, SocketError> {
        self.pass_mark(cx);
        if !self.check_receive()? || buffer.is_empty() {
            return Ok(0);
        }
        let most = buffer.len().min(self.until_mark());
        let n = self.rx.read(&mut buffer[..most], cx.pool);
        self.after_receive(cx, n);
        Ok(n)
    }

    /// Shows the next bytes to `take`, which returns how many it is done with.
    pub(crate) fn receive_with(
        &mut self,
        cx: &mut Cx<'_>,
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Result<usize, SocketError> {
        self.pass_mark(cx);
        if !self.check_receive()? {
            take(&[]);
            return Ok(0);
        }
        let front = self.rx.front();
        let front = &front[..front.len().min(self.until_mark())];
        let n = take(front).min(front.len());
        self.rx.consume(n, cx.pool);
        self.after_receive(cx, n);
        Ok(n)
    }

    /// Copies bytes without taking them.
    pub(crate) fn peek(&mut self, buffer: &mut [u8]) -> Result<usize, SocketError> {
        if !self.check_receive()? {
            return Ok(0);
        }
        let most = buffer.len().min(self.until_mark());
        Ok(self.rx.peek(usize::from(self.is_mark_due()), &mut buffer[..most]))
    }

    fn after_receive(&mut self, cx: &mut Cx<'_>, n: usize) {
        self.copied_seq += n as u32;
        if self.urgent.is_some_and(|urgent| urgent.seq.lt(self.copied_seq)) {
            self.urgent = None;
        }
        self.adjust_receive_space(cx);
        self.after_read(cx, n);
    }

    /// Receives no more; what comes is acknowledged and dropped by reading.
    pub(crate) fn shutdown_receive(&mut self) {
        self.receive_shutdown = true;
    }

    /// Takes options over and does what follows from them (Linux `do_tcp_setsockopt`).
    pub(crate) fn apply_options(&mut self, cx: &mut Cx<'_>, mut options: TcpOptions) {
        let quickack = options.quickack.take();
        let old = core::mem::replace(&mut self.options, Sparse::new(options));
        let connected = self.state.is_synchronized();
        if options.keepalive != old.keepalive || options.keepidle != old.keepidle {
            self.reset_keepalive(cx);
        }
        self.notsent_lowat = options.notsent_lowat(cx.config);
        if options.send_buffer != old.send_buffer {
            self.send_limit = options.send_limit(cx.config);
        }
        if options.receive_buffer != old.receive_buffer {
            self.receive_limit = options.receive_limit(cx.config);
            if connected {
                self.window_clamp = self.window_from_space(self.receive_limit);
            }
        }
        if let Some(clamp) = options.window_clamp
            && options.window_clamp != old.window_clamp
            && connected
        {
            // Linux: not below half of the least receive buffer.
            self.window_clamp = clamp.max(1152);
            self.rcv_ssthresh = self.rcv_ssthresh.min(self.window_clamp);
        }
        if options.congestion != old.congestion {
            let algorithm = options.congestion.unwrap_or(cx.config.congestion_control);
            self.cc = Congestion::new(algorithm);
            if connected {
                let ctx = self.cc_context(cx.now);
                self.cc.init(&mut self.cs, &ctx);
            }
        }
        if options.max_pacing_rate != old.max_pacing_rate {
            self.cs.max_pacing_rate = options.max_pacing_rate;
            self.cs.pacing_rate = self.cs.pacing_rate.min(options.max_pacing_rate);
            self.cs.pacing_needed |= options.max_pacing_rate != u64::MAX;
        }
        let uncorked = old.cork && !options.cork;
        // TCP_NODELAY sends what waits, corked or not, each time that it is set.
        let hurried = options.nodelay && (!old.nodelay || options == *old);
        if connected && (uncorked || hurried) {
            // What a cork held still waits for what Nagle has it wait for.
            self.push_pending(cx, if options.nodelay { Nagle::Off } else { Nagle::Options });
        }
        match quickack {
            Some(true) => {
                self.ack.pingpong = false;
                if connected && self.ack.pending.contains(AckPending::SCHEDULED) {
                    self.ack.pending |= AckPending::PUSHED;
                    self.after_read(cx, 1);
                }
            }
            Some(false) => self.ack.pingpong = true,
            None => {}
        }
    }

    /// Makes a closed socket fit for another connection.
    pub(crate) fn renew(&mut self, cx: &mut Cx<'_>) {
        self.purge(cx);
        let mut fresh = Tcb::new(self.id, (*self.ip).clone(), *self.options, cx.config, cx.now);
        fresh.tuple = self.tuple;
        fresh.bound_port = self.bound_port;
        fresh.port_locked = self.port_locked;
        fresh.port_by_connect = self.port_by_connect;
        fresh.bound_addr = self.bound_addr;
        fresh.charged = self.charged;
        *self = fresh;
    }

    /// Forgets the connection that was, or was not to be, but for what bind has asked for and an
    /// error (Linux `tcp_disconnect`).
    pub(crate) fn unconnect(&mut self, cx: &mut Cx<'_>) {
        let error = self.error;
        self.renew(cx);
        self.error = error;
        self.tuple.remote = core::net::Ipv4Addr::UNSPECIFIED;
        self.tuple.remote_port = 0;
        if !self.bound_addr {
            self.tuple.local = core::net::Ipv4Addr::UNSPECIFIED;
        }
        if !self.bound_port {
            self.tuple.local_port = 0;
        }
    }

    /// What the socket asks of the table of ports.
    pub(crate) fn bind_request(&self, addr: core::net::Ipv4Addr, port: u16) -> BindRequest {
        BindRequest {
            addr,
            port,
            link: self.ip.bind_link,
            reuse_addr: self.options.reuse_addr,
            reuse_port: self.options.reuse_port,
            listening: false,
            connecting: self.port_by_connect,
        }
    }
}
