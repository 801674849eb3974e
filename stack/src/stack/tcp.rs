//! TCP sockets as their users see them (tcp(7)).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Stack;
use super::sockets::v4;
use crate::flow::{Flow, SourceRoute};
use crate::socket::ports::{BindRequest, port_order};
use crate::socket::{SocketError, SocketId, SocketOptions};
use crate::stats::DropReason;
use crate::tcp::info::TcpInfo;
use crate::tcp::{
    Cx, Found, Listener, Phase, SendFlags, Start, Tcb, TcpLayer, TcpOptions, TcpSocket, TcpState,
    layer,
};
use crate::time::Instant;
use crate::wire::ipv4::Protocol;
use crate::wire::seq::SeqNumber;

/// Which half of a connection to shut down (shutdown(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// Receive no more (`SHUT_RD`).
    Read,
    /// Send no more (`SHUT_WR`).
    Write,
    /// Both (`SHUT_RDWR`).
    Both,
}

impl Stack {
    /// Opens a TCP socket, not connected to anything.
    ///
    /// # Errors
    /// There are too many sockets.
    pub fn open_tcp(&mut self) -> Result<SocketId, SocketError> {
        let now = self.core.now;
        let id = self.core.tcp.sockets.reserve()?;
        let options = SocketOptions::default();
        let tcb = Tcb::new(id, options, TcpOptions::default(), &self.core.config.tcp, now);
        self.core.tcp.sockets.fill(id, TcpSocket::Connection(tcb));
        Ok(id)
    }

    pub(super) fn bind_tcp(&mut self, id: SocketId, addr: SocketAddr) -> Result<(), SocketError> {
        let (addr, port) = v4(addr)?;
        // Linux takes groups and broadcast addresses, though nothing comes of it.
        let known =
            addr.is_unspecified() || self.core.routes.is_local(addr) || self.core.is_for_many(addr);
        let TcpLayer { sockets, .. } = &mut self.core.tcp;
        sockets.get(id)?;
        if !known {
            return Err(SocketError::AddressNotAvailable);
        }
        let tcb = sockets.tcb(id)?;
        if tcb.state != TcpState::Closed || tcb.bound_port {
            return Err(SocketError::InvalidArgument);
        }
        let request = BindRequest { connecting: false, ..tcb.bind_request(addr, port) };
        let bound = sockets.ports.bind(id.index, &request, &mut self.core.rng)?;
        let tcb = sockets.tcb_mut(id)?;
        tcb.tuple.local = addr;
        tcb.tuple.local_port = bound;
        tcb.bound_port = true;
        tcb.port_locked = port != 0;
        tcb.port_by_connect = false;
        tcb.bound_addr = !addr.is_unspecified();
        Ok(())
    }

    /// Starts to listen for connections, at most `backlog` of which wait to be accepted beside one
    /// more (listen(2)). A socket that is not bound gets an ephemeral port. On a socket that
    /// listens already this changes the backlog.
    ///
    /// # Errors
    /// `InvalidArgument`: connected or connecting. `AddressInUse`: another socket listens there.
    pub fn listen(
        &mut self,
        now: Instant,
        id: SocketId,
        backlog: usize,
    ) -> Result<(), SocketError> {
        self.advance(now);
        let backlog = backlog.min(self.core.config.tcp.somaxconn);
        if let Ok(listener) = self.core.tcp.sockets.listener_mut(id) {
            listener.backlog = backlog;
            return Ok(());
        }
        let tcb = self.core.tcp.sockets.tcb(id)?;
        if tcb.state != TcpState::Closed || tcb.phase != Phase::Unconnected {
            return Err(SocketError::InvalidArgument);
        }
        if !tcb.bound_port {
            let any = SocketAddr::new(IpAddr::V4(tcb.tuple.local), 0);
            self.bind_tcp(id, any)?;
        }
        let sockets = &mut self.core.tcp.sockets;
        let port = sockets.tcb(id)?.tuple.local_port;
        sockets.ports.set_listening(id.index, port, true)?;
        let tcb = sockets.tcb(id)?;
        let listener = Listener {
            id,
            addr: tcb.tuple.local,
            port,
            ip: (*tcb.ip).clone(),
            options: *tcb.options,
            backlog,
            port_locked: tcb.port_locked,
            requests: Vec::new(),
            accept_queue: VecDeque::new(),
            last_overflow: None,
            group: None,
            touched: false,
        };
        // What an earlier connection has left to read goes with it.
        sockets.memory = sockets.memory.saturating_sub(tcb.charged);
        sockets.replace(id, TcpSocket::Listener(Box::new(listener)));
        sockets.add_listener(id.index);
        Ok(())
    }

    /// Takes the connection that has waited longest (accept(2)), with its peer's address.
    ///
    /// # Errors
    /// `WouldBlock`: none waits. `InvalidArgument`: the socket does not listen.
    pub fn accept(
        &mut self,
        now: Instant,
        id: SocketId,
    ) -> Result<(SocketId, SocketAddr), SocketError> {
        self.advance(now);
        let sockets = &mut self.core.tcp.sockets;
        let listener = sockets.listener_mut(id)?;
        let child = listener.accept_queue.pop_front().ok_or(SocketError::WouldBlock)?;
        let tcb = sockets.tcb_mut(child)?;
        tcb.listener = None;
        tcb.phase = Phase::Connected;
        Ok((child, SocketAddr::new(IpAddr::V4(tcb.tuple.remote), tcb.tuple.remote_port)))
    }

    /// Asks for a connection (RFC 9293 §3.9.1.1). Returns when SYN is sent: the socket is writable
    /// once it is connected, and has an error if that fails.
    pub(super) fn connect_tcp(
        &mut self,
        id: SocketId,
        addr: SocketAddr,
    ) -> Result<(), SocketError> {
        if !self.may_connect(id)? {
            return Ok(());
        }
        let (remote, remote_port) = v4(addr)?;
        // RFC 9293 §3.9.1.1, RFC 1122 §4.2.3.10: no connections to many.
        if self.core.is_for_many(remote) {
            return Err(SocketError::NetworkUnreachable);
        }
        let tcb = self.core.tcp.sockets.tcb_mut(id)?;
        tcb.take_ip_options()?;
        let via = tcb.ip_options.as_ref().and_then(|options| options.via());
        let tcb = self.core.tcp.sockets.tcb(id)?;
        let local = Some(tcb.tuple.local);
        let local = local.filter(|addr| !addr.is_unspecified() && !self.core.is_for_many(*addr));
        let (link, mark, tos) = (tcb.ip.bind_link, tcb.ip.mark, tcb.ip.tos);
        let to = via.unwrap_or(remote);
        let flow = Flow { src: local, link, mark, tos, ..Flow::new(to, Protocol::TCP) };
        // RFC 9293 §3.9.2.3: no connections to many, whether the socket may broadcast or not.
        if self.core.is_for_many(to) {
            return Err(SocketError::NetworkUnreachable);
        }
        let src = self.ipv4.source_of(&mut self.core, &flow)?;
        let remote = if remote.is_unspecified() { src } else { remote };
        let path = layer::path(&self.core, via.unwrap_or(remote), link)
            .ok_or(SocketError::NetworkUnreachable)?;
        let isn = self.choose_port(id, src, remote, remote_port)?;
        let ip_id = self.core.rng.next_u32() as u16;
        let (sockets, secrets, mut cx) = layer::split(&mut self.core);
        let tcb = sockets.tcb_mut(id)?;
        let tuple = tcb.tuple;
        let start = Start {
            iss: isn.unwrap_or_else(|| secrets.isn(cx.now, &tuple)),
            ts_offset: secrets.timestamp_offset(&tuple),
            pmtu: path.pmtu,
            link_mtu: path.link_mtu,
            ip_id,
        };
        tcb.renew(&mut cx);
        tcb.take_ip_options()?;
        tcb.phase = Phase::Connecting;
        tcb.hashed = true;
        tcb.start_connect(&mut cx, &start);
        sockets.enter(&tuple, Found::Connection(id.index));
        layer::settle(&mut self.core, id.index);
        self.flush();
        Ok(())
    }

    /// Whether connect is to begin; if not, and that is no error, a connection was made since it
    /// began (Linux `__inet_stream_connect`).
    fn may_connect(&mut self, id: SocketId) -> Result<bool, SocketError> {
        let tcb = match self.core.tcp.sockets.tcb_mut(id) {
            // A listener.
            Err(SocketError::InvalidArgument) => return Err(SocketError::IsConnected),
            tcb => tcb?,
        };
        match (tcb.phase, tcb.state) {
            (Phase::Unconnected, TcpState::Closed) => Ok(true),
            (Phase::Connecting, TcpState::SynSent | TcpState::SynReceived) => {
                Err(SocketError::AlreadyInProgress)
            }
            (Phase::Connecting, TcpState::Closed) => {
                let error = tcb.error.take().unwrap_or(SocketError::ConnectionAborted);
                self.disconnect_tcp(id)?;
                Err(error)
            }
            (Phase::Connecting, _) => {
                tcb.phase = Phase::Connected;
                Ok(false)
            }
            (Phase::Disconnecting, _) => Err(SocketError::InvalidArgument),
            (Phase::Unconnected | Phase::Connected, _) => Err(SocketError::IsConnected),
        }
    }

    /// Ends what there is of a connection, and makes the socket one that could be connected (Linux
    /// `tcp_disconnect`).
    pub(super) fn disconnect_tcp(&mut self, id: SocketId) -> Result<(), SocketError> {
        if self.core.tcp.sockets.listener_mut(id).is_ok() {
            return self.stop_listening(id);
        }
        self.with_tcb(id, |tcb, cx| tcb.disconnect(cx))?;
        let (sockets, _, mut cx) = layer::split(&mut self.core);
        sockets.tcb_mut(id)?.unconnect(&mut cx);
        layer::settle(&mut self.core, id.index);
        Ok(())
    }

    /// The four numbers of a connection to be: the local port is the bound one, or one that makes
    /// them unique (RFC 6056 §3.3.3, Linux `__inet_hash_connect`). Returns the initial number, if it
    /// takes the place of a connection in TIME-WAIT.
    fn choose_port(
        &mut self,
        id: SocketId,
        local: Ipv4Addr,
        remote: Ipv4Addr,
        remote_port: u16,
    ) -> Result<Option<SeqNumber>, SocketError> {
        let now = self.core.now;
        let TcpLayer { sockets, secrets, .. } = &mut self.core.tcp;
        let tcb = sockets.tcb(id)?;
        let mut tuple = tcb.tuple;
        (tuple.local, tuple.remote, tuple.remote_port) = (local, remote, remote_port);
        let mut replaced = None;
        if tcb.bound_port {
            match sockets.find(&tuple) {
                None => {}
                Some(Found::TimeWait(index))
                    if reusable(&self.core.config.tcp, sockets, index, now) =>
                {
                    replaced = Some(index);
                }
                Some(_) => return Err(SocketError::AddressNotAvailable),
            }
        } else {
            let (first, last) = self.core.config.tcp.port_range;
            let count = u32::from(last.saturating_sub(first)) + 1;
            let hash = secrets.port_offset(&tuple);
            let entry = (hash >> 32) as usize % sockets.perturbation.len().max(1);
            let offset = (hash as u32).wrapping_add(sockets.perturbation[entry]) % count;
            let mut chosen = None;
            for (step, port) in (0..).zip(port_order(first, count, offset, false)) {
                tuple.local_port = port;
                match sockets.find(&tuple) {
                    None => {}
                    Some(Found::TimeWait(index))
                        if reusable(&self.core.config.tcp, sockets, index, now) =>
                    {
                        replaced = Some(index);
                    }
                    Some(_) => continue,
                }
                if sockets.ports.allows_connection(port, local) {
                    chosen = Some(step);
                    break;
                }
                replaced = None;
            }
            let steps = chosen.ok_or(SocketError::AddressNotAvailable)?;
            // Linux: on by as many as were in use, and a few more that nobody can guess.
            let more = (self.core.rng.next_u32() % 8).max(steps) * 2 + 2;
            sockets.perturbation[entry] = sockets.perturbation[entry].wrapping_add(more);
            let tcb = sockets.tcb_mut(id)?;
            tcb.port_by_connect = true;
            let request = tcb.bind_request(local, tuple.local_port);
            sockets.ports.inherit(id.index, &request);
        }
        let mut isn = None;
        if let Some(index) = replaced {
            let record = self.core.tcp.sockets.time_waits.get(index);
            isn = record.map(|record| record.next_isn());
            layer::remove_time_wait(&mut self.core, index);
        }
        let tcb = self.core.tcp.sockets.tcb_mut(id)?;
        tcb.tuple = tuple;
        tcb.bound_port = true;
        Ok(isn)
    }

    /// Runs `act` on a connection, then does what follows from it.
    fn with_tcb<R>(
        &mut self,
        id: SocketId,
        act: impl FnOnce(&mut Tcb, &mut Cx<'_>) -> R,
    ) -> Result<R, SocketError> {
        self.core.tcp.sockets.warm(id.index);
        layer::refresh_path(&mut self.core, id.index);
        let (sockets, _, mut cx) = layer::split(&mut self.core);
        let tcb = sockets.tcb_mut(id)?;
        let result = act(tcb, &mut cx);
        layer::settle(&mut self.core, id.index);
        self.flush();
        Ok(result)
    }

    pub(super) fn send_tcp(
        &mut self,
        id: SocketId,
        data: &[u8],
        flags: SendFlags,
    ) -> Result<usize, SocketError> {
        self.with_tcb(id, |tcb, cx| tcb.send(cx, data, flags)).map_err(listening_to_send)?
    }

    /// As [`send`](Self::send), with flags (send(2)).
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    pub fn send_with_flags(
        &mut self,
        now: Instant,
        id: SocketId,
        data: &[u8],
        flags: SendFlags,
    ) -> Result<usize, SocketError> {
        self.advance(now);
        self.send_tcp(id, data, flags)
    }

    /// Lets `fill` write up to `max` bytes into a connection's send buffer itself; it returns how
    /// many it wrote. It may be given less room than there is, so call again for more.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    pub fn send_with(
        &mut self,
        now: Instant,
        id: SocketId,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<usize, SocketError> {
        self.advance(now);
        self.with_tcb(id, |tcb, cx| tcb.send_with(cx, max, fill)).map_err(listening_to_send)?
    }

    /// Receives bytes from a connection; 0 at the end of the stream, when the peer sends no more.
    ///
    /// # Errors
    /// `WouldBlock`: nothing has come. `NotConnected`, or what ended the connection.
    pub fn receive(
        &mut self,
        now: Instant,
        id: SocketId,
        buffer: &mut [u8],
    ) -> Result<usize, SocketError> {
        self.advance(now);
        self.with_tcb(id, |tcb, cx| tcb.receive(cx, buffer)).map_err(listening)?
    }

    /// Shows the next bytes of a connection to `take` where they are, as many as lie together; it
    /// returns how many it is done with. At the end of the stream it is shown none.
    ///
    /// # Errors
    /// Those of [`receive`](Self::receive).
    pub fn receive_with(
        &mut self,
        now: Instant,
        id: SocketId,
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Result<usize, SocketError> {
        self.advance(now);
        self.with_tcb(id, |tcb, cx| tcb.receive_with(cx, take)).map_err(listening)?
    }

    /// Copies the next bytes of a connection and leaves them there (`MSG_PEEK`).
    ///
    /// # Errors
    /// Those of [`receive`](Self::receive).
    pub fn peek(&mut self, id: SocketId, buffer: &mut [u8]) -> Result<usize, SocketError> {
        self.core.tcp.sockets.tcb_mut(id).map_err(listening)?.peek(buffer)
    }

    /// The urgent byte of the peer's (`MSG_OOB`, recv(2)), which is not in the stream unless
    /// [`oob_inline`](TcpOptions::oob_inline) is set; `None` when the stream ends before it.
    ///
    /// # Errors
    /// `InvalidArgument`: there is none, or it was received, or it is in the stream. `WouldBlock`:
    /// it was announced and has not come. `NotConnected`.
    pub fn receive_urgent(&mut self, id: SocketId) -> Result<Option<u8>, SocketError> {
        self.core.tcp.sockets.tcb_mut(id).map_err(listening)?.receive_urgent(true)
    }

    /// As [`receive_urgent`](Self::receive_urgent), and leaves it there (`MSG_OOB | MSG_PEEK`).
    ///
    /// # Errors
    /// Those of [`receive_urgent`](Self::receive_urgent).
    pub fn peek_urgent(&mut self, id: SocketId) -> Result<Option<u8>, SocketError> {
        self.core.tcp.sockets.tcb_mut(id).map_err(listening)?.receive_urgent(false)
    }

    /// Whether everything before the urgent byte has been read (`SIOCATMARK`, sockatmark(3)).
    ///
    /// # Errors
    /// No such socket.
    pub fn is_at_mark(&self, id: SocketId) -> Result<bool, SocketError> {
        Ok(match self.core.tcp.sockets.get(id)? {
            TcpSocket::Connection(tcb) => tcb.is_at_mark(),
            TcpSocket::Listener(_) => false,
        })
    }

    /// Bytes written that the peer has not acknowledged, FIN counted as one (`SIOCOUTQ`, tcp(7)).
    ///
    /// # Errors
    /// `InvalidArgument`: the socket listens.
    pub fn unacknowledged(&self, id: SocketId) -> Result<usize, SocketError> {
        let tcb = self.core.tcp.sockets.tcb(id)?;
        Ok(match tcb.state {
            TcpState::SynSent | TcpState::SynReceived => 0,
            _ => tcb.write_seq.since(tcb.snd_una) as usize,
        })
    }

    /// Of these, bytes that have not been sent (`SIOCOUTQNSD`).
    ///
    /// # Errors
    /// Those of [`unacknowledged`](Self::unacknowledged).
    pub fn unsent(&self, id: SocketId) -> Result<usize, SocketError> {
        let tcb = self.core.tcp.sockets.tcb(id)?;
        Ok(match tcb.state {
            TcpState::SynSent | TcpState::SynReceived => 0,
            _ => tcb.unsent() as usize,
        })
    }

    /// Shuts down a half of a connection, or both (shutdown(2)). What was written is still sent,
    /// and FIN after it. A listener that is shut down for reading listens no more, and a connection
    /// that is being asked for is given up.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn shutdown(
        &mut self,
        now: Instant,
        id: SocketId,
        how: Shutdown,
    ) -> Result<(), SocketError> {
        self.advance(now);
        if self.core.tcp.sockets.listener_mut(id).is_ok() {
            return match how {
                Shutdown::Write => Ok(()),
                Shutdown::Read | Shutdown::Both => self.stop_listening(id),
            };
        }
        let tcb = self.core.tcp.sockets.tcb_mut(id)?;
        if tcb.phase == Phase::Connecting {
            tcb.phase = match tcb.state {
                TcpState::SynSent | TcpState::SynReceived | TcpState::Closed => {
                    Phase::Disconnecting
                }
                _ => Phase::Connected,
            };
        }
        match tcb.state {
            TcpState::Closed => return Err(SocketError::NotConnected),
            TcpState::SynSent => return self.disconnect_tcp(id),
            _ => {}
        }
        self.with_tcb(id, |tcb, cx| {
            if tcb.state == TcpState::SynSent {
                // Linux inet_shutdown: whichever half, the attempt is over.
                tcb.fail(cx, SocketError::ConnectionReset);
                return;
            }
            if how != Shutdown::Write {
                tcb.shutdown_receive();
            }
            if how != Shutdown::Read {
                tcb.shutdown_send(cx);
            }
        })
    }

    pub(super) fn close_tcp(&mut self, id: SocketId) -> Result<(), SocketError> {
        if self.core.tcp.sockets.listener_mut(id).is_ok() {
            self.stop_listening(id)?;
        }
        self.core.wakers.wake_all(id);
        let (sockets, _, mut cx) = layer::split(&mut self.core);
        sockets.orphans += 1;
        let too_many = sockets.orphans > cx.config.max_orphans;
        let tcb = sockets.tcb_mut(id)?;
        tcb.close(&mut cx, too_many);
        sockets.retire_name(id);
        layer::settle(&mut self.core, id.index);
        self.flush();
        Ok(())
    }

    /// Ends a connection with RST and closes the socket (RFC 9293 §3.9.1.6).
    ///
    /// # Errors
    /// No such socket.
    pub fn abort(&mut self, now: Instant, id: SocketId) -> Result<(), SocketError> {
        self.advance(now);
        if self.core.tcp.sockets.tcb(id).is_ok() {
            self.with_tcb(id, |tcb, cx| tcb.abort(cx))?;
        }
        self.close(now, id)
    }

    /// A listener becomes a closed socket: handshakes end, and connections not accepted are reset
    /// (Linux `inet_csk_listen_stop`).
    fn stop_listening(&mut self, id: SocketId) -> Result<(), SocketError> {
        let now = self.core.now;
        let sockets = &mut self.core.tcp.sockets;
        let listener = sockets.listener_mut(id)?;
        let (addr, port) = (listener.addr, listener.port);
        let waiting = core::mem::take(&mut listener.accept_queue);
        let requests = core::mem::take(&mut listener.requests);
        let mut tcb =
            Tcb::new(id, listener.ip.clone(), listener.options, &self.core.config.tcp, now);
        tcb.tuple.local = addr;
        tcb.tuple.local_port = port;
        tcb.bound_addr = !addr.is_unspecified();
        tcb.port_locked = listener.port_locked;
        tcb.bound_port = listener.port_locked;
        sockets.remove_listener(id.index);
        match tcb.port_locked {
            true => sockets.ports.set_listening(id.index, port, false)?,
            false => sockets.ports.unbind(id.index, port),
        }
        sockets.replace(id, TcpSocket::Connection(tcb));
        layer::wake(&mut self.core, id);
        for index in requests {
            layer::drop_request(&mut self.core, index);
        }
        for child in waiting {
            let (sockets, _, mut cx) = layer::split(&mut self.core);
            sockets.orphans += 1;
            if let Ok(tcb) = sockets.tcb_mut(child) {
                tcb.abort(&mut cx);
                tcb.orphan = true;
            }
            layer::settle(&mut self.core, child.index);
        }
        self.flush();
        Ok(())
    }

    /// The state of a TCP socket.
    ///
    /// # Errors
    /// No such socket.
    pub fn tcp_state(&self, id: SocketId) -> Result<TcpState, SocketError> {
        Ok(match self.core.tcp.sockets.get(id)? {
            TcpSocket::Connection(tcb) => tcb.state,
            TcpSocket::Listener(_) => TcpState::Listen,
        })
    }

    /// What a connection tells of itself (`TCP_INFO`).
    ///
    /// # Errors
    /// No such socket, or one that listens.
    pub fn tcp_info(&self, id: SocketId) -> Result<TcpInfo, SocketError> {
        Ok(self.core.tcp.sockets.tcb(id)?.info(self.core.now))
    }

    /// The options of a TCP socket.
    ///
    /// # Errors
    /// No such socket.
    pub fn tcp_options(&self, id: SocketId) -> Result<&TcpOptions, SocketError> {
        Ok(match self.core.tcp.sockets.get(id)? {
            TcpSocket::Connection(tcb) => &tcb.options,
            TcpSocket::Listener(listener) => &listener.options,
        })
    }

    /// Changes options of a TCP socket (setsockopt(2)); what follows from it, such as sending what
    /// `TCP_CORK` held back, happens at once.
    ///
    /// # Errors
    /// No such socket, or a value out of range.
    pub fn set_tcp_options(
        &mut self,
        now: Instant,
        id: SocketId,
        change: impl FnOnce(&mut TcpOptions),
    ) -> Result<(), SocketError> {
        self.advance(now);
        let mut options = *self.tcp_options(id)?;
        change(&mut options);
        options.check()?;
        let sockets = &mut self.core.tcp.sockets;
        if let Ok(listener) = sockets.listener_mut(id) {
            listener.options = options;
            let request = listener.bind_request();
            sockets.ports.update(id.index, &request);
            return Ok(());
        }
        self.with_tcb(id, |tcb, cx| tcb.apply_options(cx, options))?;
        let sockets = &mut self.core.tcp.sockets;
        let tcb = sockets.tcb(id)?;
        if tcb.bound_port {
            let addr =
                if tcb.hashed || tcb.bound_addr { tcb.tuple.local } else { Ipv4Addr::UNSPECIFIED };
            let request = tcb.bind_request(addr, tcb.tuple.local_port);
            sockets.ports.update(id.index, &request);
        }
        Ok(())
    }

    /// How many connections and listeners there are, orphans included, and how many connections in
    /// TIME-WAIT and handshakes.
    pub fn tcp_counts(&self) -> (usize, usize, usize) {
        let sockets = &self.core.tcp.sockets;
        (sockets.len(), sockets.time_waits.len(), sockets.requests.len())
    }

    /// Every TCP socket with its state, for tools that list them.
    pub fn tcp_sockets(&self) -> impl Iterator<Item = (SocketId, TcpState)> {
        self.core.tcp.sockets.iter().map(|(id, socket)| match socket {
            TcpSocket::Connection(tcb) => (id, tcb.state),
            TcpSocket::Listener(_) => (id, TcpState::Listen),
        })
    }

    pub(super) fn tcp_local_addr(&self, id: SocketId) -> Result<SocketAddr, SocketError> {
        let (addr, port) = match self.core.tcp.sockets.get(id)? {
            TcpSocket::Connection(tcb) => (tcb.tuple.local, tcb.tuple.local_port),
            TcpSocket::Listener(listener) => (listener.addr, listener.port),
        };
        Ok(SocketAddr::new(IpAddr::V4(addr), port))
    }

    pub(super) fn tcp_peer_addr(&self, id: SocketId) -> Result<SocketAddr, SocketError> {
        let tcb = self.core.tcp.sockets.tcb(id).map_err(listening)?;
        match tcb.state {
            TcpState::Closed | TcpState::SynSent => Err(SocketError::NotConnected),
            _ => Ok(SocketAddr::new(IpAddr::V4(tcb.tuple.remote), tcb.tuple.remote_port)),
        }
    }

    /// Lets connections that waited for frames to leave go on.
    pub(super) fn resume_tcp(&mut self) {
        if layer::resume_throttled(&mut self.core) {
            self.flush();
        }
    }

    /// Gives segments that TCP has left to IPv4; tells whether there was one.
    pub(super) fn poll_tcp(&mut self) -> bool {
        let Some(outgoing) = self.core.tcp.out.pop_front() else {
            self.core.tcp.out_frames = 0;
            return false;
        };
        let options = outgoing.ip_options.as_ref();
        let (bytes, len) = options.map_or(([0; 40], 0), |options| options.to(outgoing.dst));
        let via = options.and_then(|options| Some((options.via()?, options.is_strict())));
        let flow = Flow {
            options: &bytes[..len],
            source_route: via.map(|(_, strict)| SourceRoute { dst: outgoing.dst, strict }),
            src: Some(outgoing.src),
            tos: outgoing.tos,
            ttl: outgoing.ttl,
            mark: outgoing.mark,
            link: outgoing.link,
            pmtu: outgoing.pmtu,
            ident: outgoing.ident,
            any_source: true,
            ..Flow::new(via.map_or(outgoing.dst, |(hop, _)| hop), Protocol::TCP)
        };
        let mut packet = outgoing.packet;
        if let Some(payload) = outgoing.payload {
            if self.transmit_cut(&flow, &packet, payload) {
                self.core.pool.put(packet);
                return true;
            }
            let tcb = self.core.tcp.sockets.tcb_at(payload.index);
            if !tcb.is_some_and(|tcb| tcb.put_payload(&mut packet, payload)) {
                self.core.discard(packet, DropReason::TcpClosed);
                return true;
            }
        }
        // What cannot be sent now is sent again, as if it were lost on its way.
        let _ = self.ipv4.send(&mut self.core, packet, &flow);
        true
    }
}

/// Whether a new connection may take the place of one in TIME-WAIT (Linux `tcp_twsk_unique`).
fn reusable(
    config: &crate::config::TcpConfig,
    sockets: &crate::tcp::TcpSockets,
    index: u32,
    now: Instant,
) -> bool {
    use crate::config::TimeWaitReuse;
    let Some(record) = sockets.time_waits.get(index) else { return true };
    let allowed = match config.tw_reuse {
        TimeWaitReuse::Off => false,
        TimeWaitReuse::On => true,
        TimeWaitReuse::Loopback => {
            record.tuple.local.is_loopback() || record.tuple.local == record.tuple.remote
        }
    };
    // RFC 6191 §2: a second later, timestamps tell the two apart.
    allowed
        && record.ts_recent.is_some()
        && now - record.ts_recent_at > core::time::Duration::from_secs(1)
}

/// A listening socket takes nothing to send (Linux `sk_stream_wait_connect`).
fn listening_to_send(error: SocketError) -> SocketError {
    match error {
        SocketError::InvalidArgument => SocketError::BrokenPipe,
        error => error,
    }
}

/// A listening socket cannot do what only a connection can.
fn listening(error: SocketError) -> SocketError {
    match error {
        SocketError::InvalidArgument => SocketError::NotConnected,
        error => error,
    }
}
