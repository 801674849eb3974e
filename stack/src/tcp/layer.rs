//! From IPv4 to the connection and from the timer wheel to it.

use alloc::collections::VecDeque;
use core::net::Ipv4Addr;

use super::ahead::{LOOK_AHEAD, look_ahead_at_timers};
use super::demux::{Found, TcpSocket, TcpSockets, TimerKey};
use super::event::TcpEvent;
use super::input::Disposition;
use super::isn::Secrets;
use super::listen::{Path, Request, RequestOutcome, SynOutcome};
use super::segment::Segment;
use super::send_buf::ChunkPool;
use super::state::TcpState;
use super::tcb::{Agreed, Throttle};
use super::timewait::{Outcome, TimeWait, send_reset_for};
use super::{Challenges, Cx, Outgoing};
use crate::config::Config;
use crate::core::Core;
use crate::event::{Event, Receiver};
use crate::packet::{ChecksumState, LinkId, Packet, PacketType};
use crate::rng::Rng;
use crate::route::RouteKind;
use crate::socket::ports::BindRequest;
use crate::socket::{Interest, SocketId};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::ipv4::{Ipv4, Protocol, pseudo_header_sum};
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::Tcp;

/// TCP's own state.
#[derive(Debug)]
pub(crate) struct TcpLayer {
    pub(crate) sockets: TcpSockets,
    pub(crate) secrets: Secrets,
    /// Segments for IPv4, oldest first; emptied after every call.
    pub(crate) out: VecDeque<Outgoing>,
    /// Frames that they will be.
    pub(crate) out_frames: usize,
    chunks: ChunkPool,
    challenges: Challenges,
}

impl TcpLayer {
    pub(crate) fn new(config: &Config, rng: &mut Rng) -> Self {
        TcpLayer {
            sockets: TcpSockets::new(config, rng),
            secrets: Secrets::new(rng),
            out: VecDeque::new(),
            out_frames: 0,
            chunks: ChunkPool::default(),
            challenges: Challenges::default(),
        }
    }

    /// When [`handle_timeout`] wants to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.sockets.wheel.next_deadline()
    }
}

/// The sockets, the secrets, and what a connection needs besides.
pub(crate) fn split(core: &mut Core) -> (&mut TcpSockets, &Secrets, Cx<'_>) {
    let TcpLayer { sockets, secrets, out, out_frames, chunks, challenges } = &mut core.tcp;
    let cx = Cx {
        now: core.now,
        config: &core.config.tcp,
        tcp: &mut core.stats.tcp,
        ext: &mut core.stats.tcp_ext,
        observers: &mut core.observers,
        pool: &mut core.pool,
        chunks,
        out,
        challenges,
        tx_backlog: core.tx_backlog,
        out_frames,
        tx_limit: (core.config.core.tx_queue_len / 2).max(1),
        memory: sockets.memory,
    };
    (sockets, secrets, cx)
}

/// The path to a peer, by the routes (Linux `dst_mtu`, `dst_metric_advmss`).
pub(crate) fn path(core: &Core, remote: Ipv4Addr, link: Option<LinkId>) -> Option<Path> {
    let route = core.routes.lookup(remote, link)?;
    let link = match route.kind {
        RouteKind::Local => LinkId::LOOPBACK,
        _ => link.or(route.link)?,
    };
    let link_mtu = core.interfaces.get(link)?.mtu.min(usize::from(u16::MAX)) as u16;
    let mut pmtu = route.mtu.map_or(link_mtu, |mtu| mtu.min(link_mtu));
    let advertised = pmtu;
    if !core.exceptions.is_empty()
        && let Some(learnt) = core.exceptions.pmtu(core.now, remote, link)
    {
        pmtu = pmtu.min(learnt.mtu);
    }
    Some(Path { pmtu, link_mtu: advertised })
}

/// Looks the path up again if anything that it depends on has changed, and follows its MTU up or
/// down (Linux `tcp_current_mss`).
#[inline]
pub(crate) fn refresh_path(core: &mut Core, index: u32) {
    let generation = core.path_generation();
    match core.tcp.sockets.tcb_at(index) {
        Some(tcb) if tcb.path_generation != generation => {}
        _ => return,
    }
    refresh_stale_path(core, index, generation);
}

#[cold]
fn refresh_stale_path(core: &mut Core, index: u32, generation: u64) {
    let Some(tcb) = core.tcp.sockets.tcb_at(index) else { return };
    tcb.path_generation = generation;
    if !tcb.hashed {
        return;
    }
    let (remote, link) = (tcb.tuple.remote, tcb.ip.bind_link);
    let path = path(core, remote, link);
    if let (Some(path), Some(tcb)) = (path, core.tcp.sockets.tcb_at(index))
        && path.pmtu != tcb.pmtu
    {
        tcb.sync_mss(path.pmtu);
    }
}

/// Takes a packet whose bytes begin with the TCP header (Linux `tcp_v4_rcv`).
pub(crate) fn input(core: &mut Core, packet: Packet) {
    core.stats.tcp.in_segs += packet.meta.gso.map_or(1, |gso| u64::from(gso.segments.max(1)));
    // RFC 9293 §3.9.2.3: nothing that was sent to many.
    if packet.meta.packet_type != PacketType::Host {
        core.discard(packet, DropReason::TcpToMany);
        return;
    }
    if let Err(reason) = verify(core, &packet) {
        core.discard(packet, reason);
        return;
    }
    let Some(seg) = Segment::parse(&packet) else {
        core.stats.tcp.in_errs += 1;
        core.discard(packet, DropReason::TcpMalformed);
        return;
    };
    if core.is_for_many(seg.tuple.local) || core.is_for_many(seg.tuple.remote) {
        core.discard(packet, DropReason::TcpToMany);
        return;
    }
    match core.tcp.sockets.find(&seg.tuple) {
        Some(Found::Connection(index)) => to_connection(core, index, &seg, packet),
        Some(Found::Request(index)) => to_request(core, index, &seg, packet),
        Some(Found::TimeWait(index)) => to_time_wait(core, index, &seg, packet),
        None => to_listener(core, &seg, packet, None),
    }
}

fn verify(core: &mut Core, packet: &Packet) -> Result<(), DropReason> {
    if packet.meta.checksum != ChecksumState::None {
        return Ok(());
    }
    let (Ok(header), Ok(tcp)) = (Ipv4::parse(packet.network()), Tcp::parse(packet.bytes())) else {
        core.stats.tcp.in_errs += 1;
        return Err(DropReason::TcpMalformed);
    };
    let len = packet.len() as u16;
    let pseudo = pseudo_header_sum(header.src(), header.dst(), Protocol::TCP, len);
    if !tcp.verify_checksum(pseudo) {
        core.stats.tcp.in_csum_errors += 1;
        core.stats.tcp.in_errs += 1;
        return Err(DropReason::TcpChecksum);
    }
    Ok(())
}

fn to_connection(core: &mut Core, index: u32, seg: &Segment, packet: Packet) {
    core.tcp.sockets.warm(index);
    refresh_path(core, index);
    let (sockets, _, mut cx) = split(core);
    let Some(tcb) = sockets.tcb_at(index) else {
        core.discard(packet, DropReason::NoSocket);
        return;
    };
    let id = tcb.id;
    cx.observers.see(cx.now, || Event::Delivered { to: Receiver::Tcp(id), packet: &packet });
    let disposition = tcb.input(&mut cx, seg, packet);
    finish(core, seg, disposition);
    settle(core, index);
}

/// Does what a segment's end asks for.
fn finish(core: &mut Core, seg: &Segment, disposition: Disposition) {
    match disposition {
        Disposition::Done => {}
        Disposition::Drop(packet, reason) => core.discard(packet, reason),
        Disposition::Reset(packet, reason) => {
            let (_, _, mut cx) = split(core);
            send_reset_for(&mut cx, seg);
            core.discard(packet, reason);
        }
    }
}

fn to_request(core: &mut Core, index: u32, seg: &Segment, packet: Packet) {
    let (sockets, _, mut cx) = split(core);
    let Some(request) = sockets.requests.get_mut(index) else {
        core.discard(packet, DropReason::NoSocket);
        return;
    };
    match request.input(&mut cx, seg) {
        RequestOutcome::Drop => core.discard(packet, DropReason::TcpHandshake),
        RequestOutcome::SendSynAck => {
            request.retransmitted = true;
            request.send_syn_ack(&mut cx);
            cx.tcp.retrans_segs += 1;
            cx.ext.tcp_syn_retrans += 1;
            core.pool.put(packet);
        }
        RequestOutcome::SendAck => {
            request.send_ack(&mut cx);
            core.discard(packet, DropReason::TcpOutOfWindow);
        }
        RequestOutcome::Reset => {
            send_reset_for(&mut cx, seg);
            core.discard(packet, DropReason::TcpInvalidAck);
        }
        RequestOutcome::Abort { reset } => {
            if reset {
                send_reset_for(&mut cx, seg);
            }
            drop_request(core, index);
            core.discard(packet, DropReason::TcpReset);
        }
        RequestOutcome::Complete => complete(core, index, seg, packet),
    }
}

/// The handshake is complete: the connection goes to the accept queue (Linux
/// `tcp_v4_syn_recv_sock`).
fn complete(core: &mut Core, index: u32, seg: &Segment, packet: Packet) {
    let (sockets, _, mut cx) = split(core);
    let Some(request) = sockets.requests.get_mut(index) else { return };
    let listener = request.listener;
    let full = match sockets.listener_mut(listener) {
        Ok(listener) => listener.accept_queue_is_full(),
        Err(_) => true,
    };
    if full {
        cx.ext.listen_overflows += 1;
        cx.ext.listen_drops += 1;
        if cx.config.abort_on_overflow {
            send_reset_for(&mut cx, seg);
            drop_request(core, index);
        } else if let Some(request) = sockets.requests.get_mut(index) {
            request.acked = true;
        }
        core.discard(packet, DropReason::TcpAcceptQueueFull);
        return;
    }
    let Some(request) = take_request(sockets, index) else { return };
    accept_child(core, request, seg, packet);
}

/// Makes a connection of a handshake and gives it the segment that completed it.
fn accept_child(core: &mut Core, request: Request, seg: &Segment, packet: Packet) {
    let ip_id = core.rng.next_u32() as u16;
    let (sockets, _, mut cx) = split(core);
    let Ok(id) = sockets.reserve() else {
        cx.ext.listen_drops += 1;
        core.discard(packet, DropReason::TcpAcceptQueueFull);
        return;
    };
    let (listener_id, tuple) = (request.listener, request.tuple);
    let Ok(listener) = sockets.listener_mut(listener_id) else {
        core.discard(packet, DropReason::NoSocket);
        return;
    };
    let mut tcb = request.into_tcb(&cx, id, listener, ip_id);
    listener.accept_queue.push_back(id);
    tcb.hashed = true;
    cx.tcp.passive_opens += 1;
    let bind = tcb.bind_request(tuple.local, tuple.local_port);
    cx.see(id, TcpEvent::State { from: TcpState::Listen, to: TcpState::SynReceived });
    sockets.ports.inherit(id.index, &bind);
    tcb.bound_port = true;
    sockets.fill(id, TcpSocket::Connection(tcb));
    sockets.enter(&tuple, Found::Connection(id.index));
    to_connection(core, id.index, seg, packet);
    core.wakers.wake(listener_id, Interest::Read);
}

/// Takes a handshake out.
fn take_request(sockets: &mut TcpSockets, index: u32) -> Option<Request> {
    let request = sockets.remove_request(index)?;
    if let Some(timer) = request.timer {
        sockets.wheel.cancel(timer);
    }
    Some(request)
}

/// Forgets a handshake.
pub(crate) fn drop_request(core: &mut Core, index: u32) {
    take_request(&mut core.tcp.sockets, index);
}

fn to_time_wait(core: &mut Core, index: u32, seg: &Segment, packet: Packet) {
    let (sockets, _, mut cx) = split(core);
    let Some(record) = sockets.time_waits.get_mut(index) else {
        core.discard(packet, DropReason::NoSocket);
        return;
    };
    match record.input(&mut cx, seg) {
        Outcome::Drop => {}
        Outcome::Ack => record.send_ack(&mut cx),
        Outcome::Reset => {
            send_reset_for(&mut cx, seg);
            remove_time_wait(core, index);
        }
        Outcome::Gone => remove_time_wait(core, index),
        Outcome::Restart => {
            let ack = seg.seq != seg.end;
            let at = cx.now + TimeWait::wait(&cx);
            if ack {
                record.send_ack(&mut cx);
            }
            if let Some(timer) = record.timer.take() {
                sockets.wheel.cancel(timer);
            }
            let timer = sockets.wheel.insert(at, TimerKey::TimeWait(index));
            if let Some(record) = sockets.time_waits.get_mut(index) {
                record.timer = Some(timer);
            }
        }
        Outcome::NewConnection(isn) => {
            let listens = sockets.find_listener(&seg.tuple, packet.meta.link_in).is_some();
            if listens {
                remove_time_wait(core, index);
                to_listener(core, seg, packet, Some(isn));
                return;
            }
            if let Some(record) = sockets.time_waits.get_mut(index) {
                record.send_ack(&mut cx);
            }
        }
    }
    core.discard(packet, DropReason::TcpTimeWait);
}

/// Ends TIME-WAIT.
pub(crate) fn remove_time_wait(core: &mut Core, index: u32) {
    let sockets = &mut core.tcp.sockets;
    let Some(record) = sockets.time_waits.remove(index) else { return };
    if let Some(timer) = record.timer {
        sockets.wheel.cancel(timer);
    }
    sockets.forget(&record.tuple, Found::TimeWait(index));
    sockets.release_port_of_time_wait(index, record.tuple.local_port);
    core.stats.tcp_ext.tw += 1;
}

/// A segment of no connection: a SYN for a listener, a cookie, or nothing (RFC 9293 §3.10.7.1,
/// §3.10.7.2).
fn to_listener(core: &mut Core, seg: &Segment, packet: Packet, isn: Option<SeqNumber>) {
    let link = packet.meta.link_in;
    let found = core.tcp.sockets.find_listener(&seg.tuple, link);
    let Some(index) = found else {
        let (_, _, mut cx) = split(core);
        send_reset_for(&mut cx, seg);
        core.discard(packet, DropReason::NoSocket);
        return;
    };
    if seg.rst() {
        core.discard(packet, DropReason::TcpInvalidReset);
        return;
    }
    let bound = match core.tcp.sockets.listener_at(index) {
        Some(listener) => listener.ip.bind_link,
        None => None,
    };
    let fallback = Path { pmtu: 576, link_mtu: 576 };
    let path = path(core, seg.tuple.remote, bound).unwrap_or(fallback);
    let (sockets, secrets, mut cx) = split(core);
    let Some(listener) = sockets.listener_at(index) else { return };
    if seg.has_ack() {
        // Linux: an ACK to a listener is a cookie or a mistake.
        let full = listener.accept_queue_is_full();
        match listener.cookie_ack(&mut cx, secrets, seg, path) {
            Some(_) if full => {
                cx.ext.listen_overflows += 1;
                cx.ext.listen_drops += 1;
                core.discard(packet, DropReason::TcpAcceptQueueFull);
            }
            Some(request) => accept_child(core, request, seg, packet),
            None => {
                send_reset_for(&mut cx, seg);
                core.discard(packet, DropReason::TcpInvalidAck);
            }
        }
        return;
    }
    if !seg.syn() || seg.fin() {
        core.discard(packet, DropReason::TcpFlags);
        return;
    }
    match listener.syn(&mut cx, secrets, seg, path, isn) {
        SynOutcome::Drop => core.discard(packet, DropReason::TcpHandshake),
        SynOutcome::Cookie(mut request) => {
            cx.ext.syncookies_sent += 1;
            request.send_syn_ack(&mut cx);
            core.pool.put(packet);
        }
        SynOutcome::Remember(mut request) => {
            request.send_syn_ack(&mut cx);
            let at = cx.now + request.timeout(&cx);
            let tuple = request.tuple;
            let index = sockets.add_request(request);
            let timer = sockets.wheel.insert(at, TimerKey::Request(index));
            if let Some(request) = sockets.requests.get_mut(index) {
                request.timer = Some(timer);
            }
            sockets.enter(&tuple, Found::Request(index));
            core.pool.put(packet);
        }
    }
}

/// Runs the timers that are due.
pub(crate) fn handle_timeout(core: &mut Core) {
    for at in 0_usize.. {
        if at.is_multiple_of(LOOK_AHEAD) {
            look_ahead_at_timers(&core.tcp.sockets);
        }
        let Some(key) = core.tcp.sockets.wheel.expire(core.now) else { return };
        match key {
            TimerKey::Connection(index) => {
                refresh_path(core, index);
                let (sockets, _, mut cx) = split(core);
                if let Some(tcb) = sockets.tcb_at(index) {
                    tcb.timers.armed = None;
                    tcb.handle_timers(&mut cx);
                }
                settle(core, index);
            }
            TimerKey::Request(index) => request_timeout(core, index),
            TimerKey::TimeWait(index) => {
                if let Some(record) = core.tcp.sockets.time_waits.get_mut(index) {
                    record.timer = None;
                }
                remove_time_wait(core, index);
            }
        }
    }
}

/// Linux `reqsk_timer_handler`.
fn request_timeout(core: &mut Core, index: u32) {
    let (sockets, _, mut cx) = split(core);
    let Some(request) = sockets.requests.get_mut(index) else { return };
    request.timer = None;
    if request.has_expired() {
        cx.tcp.attempt_fails += 1;
        drop_request(core, index);
        return;
    }
    let resend = request.is_to_be_repeated();
    request.retries = request.retries.saturating_add(1);
    let again = request.timeout(&cx);
    if resend {
        request.retransmitted = true;
        request.send_syn_ack(&mut cx);
        cx.tcp.retrans_segs += 1;
        cx.ext.tcp_syn_retrans += 1;
        cx.ext.tcp_timeouts += 1;
    }
    let at = cx.now + again;
    let timer = sockets.wheel.insert(at, TimerKey::Request(index));
    if let Some(request) = sockets.requests.get_mut(index) {
        request.timer = Some(timer);
    }
}

/// Carries on what a connection has come to: its timers, TIME-WAIT, its end, and who waits for it.
pub(crate) fn settle(core: &mut Core, index: u32) {
    let now = core.now;
    let (sockets, _, mut cx) = split(core);
    let Some(tcb) = sockets.tcb_at(index) else { return };
    let id = tcb.id;
    let tuple = tcb.tuple;
    if let Some((fin_wait_2, wait)) = tcb.time_wait.take() {
        let record = tcb.to_time_wait(fin_wait_2, now);
        let request = tcb.bind_request(tuple.local, tuple.local_port);
        tcb.done(&mut cx);
        enter_time_wait(sockets, &mut cx, record, &request, now + wait);
    }
    charge(sockets, index);
    let Some(tcb) = sockets.tcb_at(index) else { return };
    if tcb.throttle == Throttle::Wanted {
        tcb.throttle = Throttle::Listed;
        sockets.throttled.push_back(index);
    }
    let Some(tcb) = sockets.tcb_at(index) else { return };
    if tcb.state == TcpState::Closed {
        tcb.timers.clear();
        let armed = tcb.timers.armed.take();
        let hashed = core::mem::take(&mut tcb.hashed);
        let orphan = tcb.orphan;
        let releases = tcb.bound_port && (orphan || hashed && !tcb.port_locked);
        tcb.bound_port &= !releases;
        if let Some((timer, _)) = armed {
            sockets.wheel.cancel(timer);
        }
        if hashed {
            sockets.forget(&tuple, Found::Connection(index));
        }
        if releases {
            sockets.ports.unbind(index, tuple.local_port);
        }
        if orphan {
            sockets.orphans = sockets.orphans.saturating_sub(1);
            if let Some(TcpSocket::Connection(mut tcb)) = sockets.remove(index) {
                sockets.memory = sockets.memory.saturating_sub(tcb.charged);
                tcb.purge(&mut cx);
            }
            return;
        }
    } else {
        arm(sockets, index);
    }
    wake(core, id);
}

/// Lets connections that waited for devices go on, once half of what they waited for has left
/// (Linux `tcp_tasklet_func`). Tells whether there were any.
pub(crate) fn resume_throttled(core: &mut Core) -> bool {
    let limit = core.config.core.tx_queue_len / 4;
    if core.tcp.sockets.throttled.is_empty() || core.tx_backlog > limit {
        return false;
    }
    for _ in 0..core.tcp.sockets.throttled.len() {
        let (sockets, _, mut cx) = split(core);
        let Some(index) = sockets.throttled.pop_front() else { break };
        let Some(tcb) = sockets.tcb_at(index) else { continue };
        if tcb.throttle == Throttle::Listed {
            tcb.throttle = Throttle::No;
            tcb.resume(&mut cx);
            settle(core, index);
        }
    }
    true
}

/// Counts what a connection has queued in the memory of all.
fn charge(sockets: &mut TcpSockets, index: u32) {
    let Some(tcb) = sockets.tcb_at(index) else { return };
    let used = tcb.rx.memory() + tcb.send.len();
    let before = core::mem::replace(&mut tcb.charged, used);
    sockets.memory = (sockets.memory + used).saturating_sub(before);
}

/// Wakes who waits for what is possible now.
pub(crate) fn wake(core: &mut Core, id: SocketId) {
    if !core.wakers.any() {
        return;
    }
    let Ok(tcb) = core.tcp.sockets.tcb(id) else { return };
    let readiness = tcb.readiness();
    for interest in [Interest::Read, Interest::Write] {
        if readiness.satisfies(interest) {
            core.wakers.wake(id, interest);
        }
    }
}

/// Moves the connection's entry in the wheel to its earliest deadline, if it must be earlier.
pub(crate) fn arm(sockets: &mut TcpSockets, index: u32) {
    let Some(tcb) = sockets.tcb_at(index) else { return };
    let Some(next) = tcb.timers.next() else { return };
    if let Some((timer, at)) = tcb.timers.armed {
        if at <= next {
            return;
        }
        sockets.wheel.cancel(timer);
    }
    let timer = sockets.wheel.insert(next, TimerKey::Connection(index));
    if let Some(tcb) = sockets.tcb_at(index) {
        tcb.timers.armed = Some((timer, next));
    }
}

/// Puts a record in the place of a connection (Linux `tcp_time_wait`).
fn enter_time_wait(
    sockets: &mut TcpSockets,
    cx: &mut Cx<'_>,
    record: TimeWait,
    request: &BindRequest,
    until: Instant,
) {
    if sockets.time_waits.len() >= cx.config.max_tw_buckets {
        cx.ext.tcp_time_wait_overflow += 1;
        return;
    }
    let tuple = record.tuple;
    let index = sockets.time_waits.insert(record);
    sockets.hold_port_in_time_wait(index, request);
    let timer = sockets.wheel.insert(until, TimerKey::TimeWait(index));
    if let Some(record) = sockets.time_waits.get_mut(index) {
        record.timer = Some(timer);
    }
    sockets.enter(&tuple, Found::TimeWait(index));
}

impl super::tcb::Tcb {
    /// What is left of the connection in TIME-WAIT.
    fn to_time_wait(&self, fin_wait_2: bool, now: Instant) -> TimeWait {
        TimeWait {
            tuple: self.tuple,
            fin_wait_2,
            rcv_nxt: self.rcv_nxt,
            snd_nxt: self.snd_nxt,
            rcv_wnd: self.receive_window(),
            rcv_wscale: self.rcv_wscale,
            ts_recent: self.has(Agreed::TIMESTAMPS).then_some(self.ts_recent),
            ts_recent_at: self.ts_recent_at.unwrap_or(now),
            ts_offset: self.ts_offset,
            last_oow_ack_at: self.last_oow_ack_at,
            ttl: self.ip.ttl,
            tos: self.ip.tos,
            mark: self.ip.mark,
            link: self.ip.bind_link,
            timer: None,
        }
    }
}
