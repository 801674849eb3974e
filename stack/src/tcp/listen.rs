//! The passive side of the handshake (RFC 9293 §3.5, RFC 4987; Linux `tcp_conn_request`,
//! `tcp_check_req`).
//!
//! ```text
//! SYN ──→ Request: SYN-ACK, again after 1, 2, 4 … s ──ACK──→ Tcb ──→ accept queue ──→ accept
//!   └──→ cookie, when there are too many requests ─────ACK──↗
//! ```
//! As on Linux, a listener answers SYNs only while its accept queue has room, and an ACK that
//! finds it full is dropped: the peer believes to be connected, and the SYN-ACK comes again.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::Cx;
use super::config::{EcnMode, SynCookies, TcpConfig};
use super::connect::{DEFAULT_MSS, HEADERS, Start, initial_rcv_mss};
use super::cookies::{CookieOptions, decode_timestamp, encode_timestamp};
use super::ip_options::IpOptions;
use super::isn::Secrets;
use super::listeners::GroupKey;
use super::options::TcpOptions;
use super::output::Emit;
use super::rtx_queue::{Marks, Sent};
use super::segment::{FourTuple, Segment};
use super::state::TcpState;
use super::tcb::{Agreed, Tcb};
use super::timewait::Reply;
use super::window::initial_window;
use crate::packet::LinkId;
use crate::socket::ports::BindRequest;
use crate::socket::{SocketId, SocketOptions};
use crate::time::{Duration, Instant};
use crate::timer::TimerId;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::TcpFlags;
use crate::wire::tcp_options::TcpOptionsRepr;

/// How long cookies are believed after the queue was last full (Linux `TCP_SYNCOOKIE_VALID`).
const COOKIES_VALID: Duration = Duration::from_secs(120);

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) id: SocketId,
    pub(crate) addr: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) ip: SocketOptions,
    pub(crate) options: TcpOptions,
    pub(crate) backlog: usize,
    /// The port was asked for by number.
    pub(crate) port_locked: bool,
    /// Handshakes in progress, by number.
    pub(crate) requests: Vec<u32>,
    /// Connections that wait for accept, oldest first.
    pub(crate) accept_queue: VecDeque<SocketId>,
    pub(crate) last_overflow: Option<Instant>,
    /// The group that it is found in, and its place there.
    pub(crate) group: Option<(GroupKey, usize)>,
    /// Its options may have changed since.
    pub(crate) touched: bool,
}

/// How many timeouts of a SYN-ACK it takes for so long to pass (Linux `secs_to_retrans`).
fn timeouts_within(span: Duration, config: &TcpConfig) -> u8 {
    let (mut timeout, mut passed, mut count) = (config.rto_init, Duration::ZERO, 0u8);
    while passed < span && count < u8::MAX {
        passed += timeout;
        timeout = (timeout * 2).min(config.rto_max);
        count += 1;
    }
    count
}

impl Listener {
    /// Linux `sk_acceptq_is_full`.
    pub(crate) fn accept_queue_is_full(&self) -> bool {
        self.accept_queue.len() > self.backlog
    }

    /// What the socket asks of the table of ports.
    pub(crate) fn bind_request(&self) -> BindRequest {
        BindRequest {
            addr: self.addr,
            port: self.port,
            link: self.ip.bind_link,
            reuse_addr: self.options.reuse_addr,
            reuse_port: self.options.reuse_port,
            listening: true,
            connecting: false,
        }
    }

    /// Linux `inet_csk_reqsk_queue_is_full`.
    fn syn_queue_is_full(&self) -> bool {
        self.requests.len() >= self.backlog
    }
}

/// What the path to a peer allows, in bytes of IP packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub(crate) pmtu: u16,
    pub(crate) link_mtu: u16,
}

/// A handshake in progress (Linux `struct tcp_request_sock`).
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) tuple: FourTuple,
    pub(crate) listener: SocketId,
    /// Where it is in the listener's list.
    pub(crate) place: u32,
    pub(crate) irs: SeqNumber,
    pub(crate) iss: SeqNumber,
    pub(crate) agreed: Agreed,
    /// The peer's MSS and window scale.
    pub(crate) peer_mss: u16,
    pub(crate) peer_wscale: u8,
    pub(crate) advmss: u16,
    pub(crate) rcv_wnd: u32,
    pub(crate) rcv_wscale: u8,
    pub(crate) window_clamp: u32,
    pub(crate) ts_recent: u32,
    pub(crate) ts_recent_at: Instant,
    pub(crate) ts_offset: u32,
    /// A returned cookie: when the SYN-ACK left is not known.
    pub(crate) from_cookie: bool,
    /// TSval of the first SYN-ACK and of the last.
    pub(crate) timestamps_sent: (u32, u32),
    /// TSval of a SYN-ACK that is a cookie.
    pub(crate) cookie_timestamp: Option<u32>,
    pub(crate) path: Path,
    /// Options of IP that its packets carry, and as a socket would be given them.
    pub(crate) ip_options: Option<(Box<IpOptions>, Box<[u8]>)>,
    pub(crate) sent_at: Instant,
    /// SYN-ACKs sent again.
    pub(crate) retries: u8,
    pub(crate) retransmitted: bool,
    /// An ACK came that the accept queue had no room for.
    pub(crate) acked: bool,
    pub(crate) last_oow_ack_at: Option<Instant>,
    pub(crate) timer: Option<TimerId>,
    pub(crate) tos: u8,
    pub(crate) ttl: Option<u8>,
    pub(crate) mark: u32,
    pub(crate) link: Option<LinkId>,
    /// `TCP_DEFER_ACCEPT`, as a number of timeouts.
    pub(crate) defer: u8,
    /// SYN-ACKs sent again at most.
    pub(crate) max_retries: u8,
}

/// What is done with a SYN.
#[derive(Debug)]
pub(crate) enum SynOutcome {
    /// Nothing.
    Drop,
    /// A SYN-ACK is sent and the handshake remembered.
    Remember(Request),
    /// A SYN-ACK is sent and forgotten.
    Cookie(Request),
}

/// What a segment to a handshake in progress comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestOutcome {
    Drop,
    /// The SYN came again.
    SendSynAck,
    /// An ACK says where we are.
    SendAck,
    /// The sender is reset; the handshake goes on.
    Reset,
    /// The handshake ends, with RST unless that came.
    Abort {
        reset: bool,
    },
    /// The handshake is complete.
    Complete,
}

impl Listener {
    /// Judges a SYN (Linux `tcp_conn_request`).
    pub(crate) fn syn(
        &mut self,
        cx: &mut Cx<'_>,
        secrets: &Secrets,
        seg: &Segment,
        path: Path,
        isn: Option<SeqNumber>,
    ) -> SynOutcome {
        let mut cookie = cx.config.syncookies == SynCookies::Always;
        if (cookie || self.syn_queue_is_full()) && isn.is_none() {
            match cx.config.syncookies {
                SynCookies::Off => {
                    cx.ext.tcp_req_q_full_drop += 1;
                    cx.ext.listen_drops += 1;
                    return SynOutcome::Drop;
                }
                _ => {
                    cx.ext.tcp_req_q_full_do_cookies += 1;
                    cookie = true;
                }
            }
        }
        if self.accept_queue_is_full() {
            cx.ext.listen_overflows += 1;
            cx.ext.listen_drops += 1;
            return SynOutcome::Drop;
        }
        let room = cx.config.max_syn_backlog.saturating_sub(self.requests.len());
        if !cookie
            && cx.config.syncookies == SynCookies::Off
            && room < cx.config.max_syn_backlog >> 2
        {
            // The last quarter is for peers that are known to be there; nobody is.
            cx.ext.listen_drops += 1;
            return SynOutcome::Drop;
        }
        let mut request = self.request(cx, secrets, seg, path);
        if !cookie {
            request.iss = isn.unwrap_or_else(|| secrets.isn(cx.now, &seg.tuple));
            return SynOutcome::Remember(request);
        }
        self.last_overflow = Some(cx.now);
        if request.agreed.contains(Agreed::TIMESTAMPS) {
            let options = CookieOptions {
                wscale: request
                    .agreed
                    .contains(Agreed::WINDOW_SCALE)
                    .then_some(request.peer_wscale),
                sack: request.agreed.contains(Agreed::SACK),
                ecn: request.agreed.contains(Agreed::ECN),
            };
            // The options are in the clock itself, before the offset.
            let encoded = encode_timestamp(cx.now.as_millis() as u32, options);
            request.cookie_timestamp = Some(encoded.wrapping_add(request.ts_offset));
        } else {
            request.agreed = Agreed::empty();
            request.rcv_wscale = 0;
        }
        let (iss, mss) = secrets.make_cookie(cx.now, &seg.tuple, seg.seq, request.peer_mss);
        request.iss = iss;
        request.peer_mss = mss;
        SynOutcome::Cookie(request)
    }

    /// What a SYN asks for and we agree to.
    fn request(&self, cx: &Cx<'_>, secrets: &Secrets, seg: &Segment, path: Path) -> Request {
        let config = cx.config;
        let mut agreed = Agreed::empty();
        let timestamps = seg.timestamps.filter(|_| config.timestamps);
        agreed.set(Agreed::TIMESTAMPS, timestamps.is_some());
        agreed.set(Agreed::SACK, config.sack && seg.sack_permitted);
        agreed.set(Agreed::WINDOW_SCALE, config.window_scaling && seg.wscale.is_some());
        // RFC 3168 §6.1.1; Linux: not when the SYN itself is ECN-capable, which no real one is.
        let asks = seg.is(TcpFlags::ECE) && seg.is(TcpFlags::CWR) && !seg.ect();
        let willing = self.options.ecn.unwrap_or(config.ecn != EcnMode::Off);
        agreed.set(Agreed::ECN, asks && willing);
        let user_mss = self.options.maxseg.unwrap_or(u16::MAX);
        let advmss = path.link_mtu.saturating_sub(HEADERS).min(user_mss);
        let peer_mss = seg.mss.filter(|mss| *mss > 0).unwrap_or(DEFAULT_MSS).min(user_mss);
        let limit = self.options.receive_limit(config);
        let payload = u32::from(advmss) - if timestamps.is_some() { 12 } else { 0 };
        let window = initial_window(
            config,
            (limit / 2) as u32,
            payload,
            self.options.window_clamp,
            agreed.contains(Agreed::WINDOW_SCALE),
            self.options.receive_buffer,
        );
        Request {
            tuple: seg.tuple,
            listener: self.id,
            place: 0,
            irs: seg.seq,
            iss: SeqNumber(0),
            agreed,
            peer_mss,
            peer_wscale: seg.wscale.unwrap_or(0),
            advmss,
            rcv_wnd: window.window,
            rcv_wscale: window.wscale,
            window_clamp: window.clamp,
            ts_recent: timestamps.map_or(0, |(value, _)| value),
            ts_recent_at: cx.now,
            ts_offset: secrets.timestamp_offset(&seg.tuple),
            from_cookie: false,
            timestamps_sent: (0, 0),
            cookie_timestamp: None,
            path,
            ip_options: None,
            sent_at: cx.now,
            retries: 0,
            retransmitted: false,
            acked: false,
            last_oow_ack_at: None,
            timer: None,
            tos: self.ip.tos,
            ttl: self.ip.ttl,
            mark: self.ip.mark,
            link: self.ip.bind_link,
            defer: timeouts_within(self.options.defer_accept, config),
            max_retries: self.options.syncnt.unwrap_or(config.synack_retries),
        }
    }

    /// An ACK that may return a cookie (Linux `cookie_v4_check`).
    pub(crate) fn cookie_ack(
        &mut self,
        cx: &mut Cx<'_>,
        secrets: &Secrets,
        seg: &Segment,
        path: Path,
    ) -> Option<Request> {
        if cx.config.syncookies == SynCookies::Off || seg.syn() || seg.rst() {
            return None;
        }
        let recent = self.last_overflow.is_some_and(|at| cx.now - at <= COOKIES_VALID);
        let (irs, iss) = (seg.seq - 1, seg.ack - 1);
        let mss = match recent {
            true => secrets.check_cookie(cx.now, &seg.tuple, irs, iss),
            false => None,
        };
        let Some(mss) = mss else {
            cx.ext.syncookies_failed += 1;
            return None;
        };
        cx.ext.syncookies_recv += 1;
        let offset = secrets.timestamp_offset(&seg.tuple);
        let options = seg.timestamps.map(|(_, echo)| decode_timestamp(echo.wrapping_sub(offset)));
        // As if the SYN were here again.
        let syn = Segment {
            seq: irs,
            mss: Some(mss),
            wscale: options.and_then(|options| options.wscale),
            sack_permitted: options.is_some_and(|options| options.sack),
            flags: match options.is_some_and(|options| options.ecn) {
                true => TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR,
                false => TcpFlags::SYN,
            },
            tos: 0,
            ..*seg
        };
        let mut request = self.request(cx, secrets, &syn, path);
        request.iss = iss;
        request.from_cookie = true;
        Some(request)
    }
}

impl Request {
    /// Sends SYN-ACK.
    pub(crate) fn send_syn_ack(&mut self, cx: &mut Cx<'_>) {
        let mut flags = TcpFlags::SYN | TcpFlags::ACK;
        if self.agreed.contains(Agreed::ECN) {
            flags |= TcpFlags::ECE;
        }
        let now = (cx.now.as_millis() as u32).wrapping_add(self.ts_offset);
        let timestamps = self.agreed.contains(Agreed::TIMESTAMPS);
        let is_first = self.retries == 0 && !self.retransmitted;
        self.timestamps_sent = (if is_first { now } else { self.timestamps_sent.0 }, now);
        let options = TcpOptionsRepr {
            mss: Some(self.advmss),
            window_scale: self.agreed.contains(Agreed::WINDOW_SCALE).then_some(self.rcv_wscale),
            sack_permitted: self.agreed.contains(Agreed::SACK),
            timestamps: timestamps.then(|| (self.cookie_timestamp.unwrap_or(now), self.ts_recent)),
            ..TcpOptionsRepr::default()
        };
        let emit = Emit {
            seq: self.iss,
            ack: self.irs + 1,
            flags,
            window: self.rcv_wnd.min(u32::from(u16::MAX)) as u16,
            len: 0,
            mss: 1,
            ect: false,
            options,
        };
        self.reply(cx, &emit);
    }

    /// Says where we are.
    pub(crate) fn send_ack(&self, cx: &mut Cx<'_>) {
        let now = (cx.now.as_millis() as u32).wrapping_add(self.ts_offset);
        let options = TcpOptionsRepr {
            timestamps: self.agreed.contains(Agreed::TIMESTAMPS).then_some((now, self.ts_recent)),
            ..TcpOptionsRepr::default()
        };
        let emit = Emit {
            seq: self.iss + 1,
            ack: self.irs + 1,
            flags: TcpFlags::ACK,
            window: (self.rcv_wnd >> self.rcv_wscale) as u16,
            len: 0,
            mss: 1,
            ect: false,
            options,
        };
        self.reply(cx, &emit);
    }

    fn reply(&self, cx: &mut Cx<'_>, emit: &Emit<'_>) {
        let (tuple, link) = (self.tuple, self.link);
        Reply { tuple, tos: self.tos, ttl: self.ttl, mark: self.mark, link }.send(cx, emit);
        if let (Some((options, _)), Some(sent)) = (&self.ip_options, cx.out.back_mut()) {
            sent.ip_options = Some(options.clone());
        }
    }

    /// Judges a segment (Linux `tcp_check_req`).
    pub(crate) fn input(&mut self, cx: &mut Cx<'_>, seg: &Segment) -> RequestOutcome {
        let timestamps = seg.timestamps.filter(|_| self.agreed.contains(Agreed::TIMESTAMPS));
        let paws_reject = timestamps.is_some_and(|(value, _)| {
            (self.ts_recent.wrapping_sub(value) as i32) > 0 && !seg.rst()
        });
        let only_syn = seg.syn() && !seg.has_ack() && !seg.rst();
        if seg.seq == self.irs && only_syn && !paws_reject {
            // The SYN again: perhaps our answer was lost.
            return match self.is_rate_limited(cx) {
                true => {
                    cx.ext.tcp_ack_skipped_syn_recv += 1;
                    RequestOutcome::Drop
                }
                false => RequestOutcome::SendSynAck,
            };
        }
        if seg.has_ack() && seg.ack != self.iss + 1 {
            return if seg.rst() { RequestOutcome::Drop } else { RequestOutcome::Reset };
        }
        let rcv_nxt = self.irs + 1;
        let echo_reject = timestamps.is_some_and(|(_, echo)| !self.may_echo(echo));
        if paws_reject || echo_reject || !seg.is_in_window(rcv_nxt, self.rcv_wnd) {
            if paws_reject {
                cx.ext.paws_estab_rejected += 1;
            } else if echo_reject {
                cx.ext.tsecr_rejected += 1;
            }
            if seg.rst() || self.is_rate_limited(cx) {
                return RequestOutcome::Drop;
            }
            return RequestOutcome::SendAck;
        }
        if let Some((value, _)) = timestamps
            && seg.seq.le(rcv_nxt)
        {
            self.ts_recent = value;
            self.ts_recent_at = cx.now;
        }
        // A SYN below the window is cut off; any other, and RST, ends the handshake.
        let syn = seg.syn() && seg.seq != self.irs;
        if seg.rst() && seg.seq != rcv_nxt {
            // RFC 5961 §3.2: a blind reset.
            return match self.is_rate_limited(cx) {
                true => RequestOutcome::Drop,
                false => RequestOutcome::SendAck,
            };
        }
        if seg.rst() || syn {
            cx.tcp.attempt_fails += 1;
            cx.ext.embryonic_rsts += 1;
            return RequestOutcome::Abort { reset: !seg.rst() };
        }
        if !seg.has_ack() {
            return RequestOutcome::Drop;
        }
        // Linux: an ACK alone is not what TCP_DEFER_ACCEPT waits for.
        if self.retries < self.defer && seg.end == rcv_nxt {
            self.acked = true;
            cx.ext.tcp_defer_accept_drop += 1;
            return RequestOutcome::Drop;
        }
        RequestOutcome::Complete
    }

    /// Whether the handshake has taken too long (Linux `syn_ack_recalc`).
    pub(crate) fn has_expired(&self) -> bool {
        let waited = self.defer == 0 || !self.acked || self.retries >= self.defer;
        self.retries >= self.max_retries && waited
    }

    /// Whether the SYN-ACK is to be sent again: not while only the data is missing.
    pub(crate) fn is_to_be_repeated(&self) -> bool {
        self.defer == 0 || !self.acked || self.retries + 1 >= self.defer
    }

    /// Whether a peer can echo this: nothing, or the time of one of the SYN-ACKs.
    fn may_echo(&self, echo: u32) -> bool {
        let (first, last) = self.timestamps_sent;
        echo == 0 || echo.wrapping_sub(first) <= last.wrapping_sub(first)
    }

    fn is_rate_limited(&mut self, cx: &Cx<'_>) -> bool {
        if let Some(last) = self.last_oow_ack_at
            && cx.now - last < cx.config.invalid_ratelimit
        {
            return true;
        }
        self.last_oow_ack_at = Some(cx.now);
        false
    }

    /// When to send SYN-ACK again (RFC 6298 (5.5)).
    pub(crate) fn timeout(&self, cx: &Cx<'_>) -> Duration {
        (cx.config.rto_init * (1 << u32::from(self.retries).min(16))).min(cx.config.rto_max)
    }

    /// Makes a connection of it, in SYN-RECEIVED until it has seen the ACK (Linux
    /// `tcp_create_openreq_child`).
    pub(crate) fn into_tcb(
        self,
        cx: &Cx<'_>,
        id: SocketId,
        listener: &Listener,
        ip_id: u16,
    ) -> Tcb {
        let options = TcpOptions { quickack: None, ..listener.options };
        let mut tcb = Tcb::new(id, listener.ip.clone(), options, cx.config, cx.now);
        tcb.state = TcpState::SynReceived;
        tcb.tuple = self.tuple;
        // Linux: those of the SYN, not those of the listener.
        let (options, given) = self.ip_options.unzip();
        if given.is_some() || !tcb.ip.ip_options.is_empty() {
            tcb.ip.to_mut().ip_options = given.unwrap_or_default().into_vec();
        }
        tcb.ip_options = options;
        tcb.listener = Some(listener.id);
        let start = Start {
            iss: self.iss,
            ts_offset: self.ts_offset,
            pmtu: self.path.pmtu,
            link_mtu: self.path.link_mtu,
            ip_id,
        };
        tcb.set_start(&start);
        tcb.agreed = self.agreed;
        tcb.mss_clamp = self.peer_mss;
        tcb.advmss = self.advmss;
        tcb.snd_nxt = self.iss + 1;
        tcb.write_seq = tcb.snd_nxt;
        tcb.push_seq = tcb.snd_nxt;
        tcb.snd_wscale = match self.agreed.contains(Agreed::WINDOW_SCALE) {
            true => self.peer_wscale,
            false => 0,
        };
        tcb.irs = self.irs;
        tcb.rcv_nxt = self.irs + 1;
        tcb.rcv_wup = tcb.rcv_nxt;
        tcb.copied_seq = tcb.rcv_nxt;
        tcb.ack.compressed_rcv_nxt = tcb.rcv_nxt;
        tcb.tuning.rtt_seq = self.irs;
        tcb.rcv_wnd = self.rcv_wnd;
        tcb.rcv_ssthresh = self.rcv_wnd;
        tcb.rcv_wscale = self.rcv_wscale;
        tcb.window_clamp = match self.agreed.contains(Agreed::WINDOW_SCALE) {
            true => self.window_clamp,
            false => self.window_clamp.min(u32::from(u16::MAX)),
        };
        tcb.ts_recent = self.ts_recent;
        tcb.ts_recent_at = self.agreed.contains(Agreed::TIMESTAMPS).then_some(self.ts_recent_at);
        tcb.last_oow_ack_at = self.last_oow_ack_at;
        tcb.sync_mss(cx.config, self.path.pmtu);
        tcb.ack.rcv_mss = initial_rcv_mss(tcb.mss, tcb.advmss, tcb.rcv_wnd);
        let stamp = tcb.rate.on_sent(self.sent_at, 0);
        let mut marks = Marks::SYN;
        // Karn: an ACK of a SYN-ACK that was sent again, or nobody knows when, measures nothing
        // but by its timestamp.
        marks.set(Marks::EVER_RETRANS, self.retransmitted || self.from_cookie);
        tcb.rtx.push(Sent {
            seq: self.iss,
            end: self.iss + 1,
            marks,
            packets: 1,
            mss: tcb.mss,
            sent_at: self.sent_at,
            order: 0,
            stamp,
        });
        tcb.recovery.total_retrans = u32::from(self.retries);
        if self.retries > 0 {
            tcb.recovery.undo_marker = Some(self.iss);
            tcb.recovery.retrans_stamp = Some(self.sent_at);
        }
        tcb
    }
}
