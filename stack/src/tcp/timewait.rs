//! Connections that are over but for what may still be on its way (RFC 9293 §3.6, RFC 1337, RFC
//! 6191; Linux `tcp_timewait_state_process`), in records much smaller than a connection.

use super::output::Emit;
use super::segment::{FourTuple, Segment};
use super::{Cx, Outgoing};
use crate::flow::PmtuDiscovery;
use crate::packet::{ChecksumState, LinkId};
use crate::time::{Duration, Instant};
use crate::timer::TimerId;
use crate::wire::ipv4;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{self, TcpFlags, TcpRepr};
use crate::wire::tcp_options::TcpOptionsRepr;

/// What is left of a connection.
#[derive(Debug)]
pub(crate) struct TimeWait {
    pub(crate) tuple: FourTuple,
    /// The peer's FIN is still missing: FIN-WAIT-2 of an orphan.
    pub(crate) fin_wait_2: bool,
    pub(crate) rcv_nxt: SeqNumber,
    pub(crate) snd_nxt: SeqNumber,
    pub(crate) rcv_wnd: u32,
    pub(crate) rcv_wscale: u8,
    /// `TS.Recent` and our clock's offset, with timestamps.
    pub(crate) ts_recent: Option<u32>,
    pub(crate) ts_recent_at: Instant,
    pub(crate) ts_offset: u32,
    pub(crate) last_oow_ack_at: Option<Instant>,
    pub(crate) ttl: Option<u8>,
    pub(crate) tos: u8,
    pub(crate) mark: u32,
    pub(crate) link: Option<LinkId>,
    pub(crate) timer: Option<TimerId>,
}

/// What a segment to a connection in TIME-WAIT comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Discarded.
    Drop,
    /// Answered with an ACK.
    Ack,
    /// Answered with RST, and the record goes.
    Reset,
    /// The record goes.
    Gone,
    /// A new connection may take its place, with a sequence number above this one.
    NewConnection(SeqNumber),
    /// The wait starts, or starts anew.
    Restart,
}

impl TimeWait {
    /// Judges a segment.
    pub(crate) fn input(&mut self, cx: &mut Cx<'_>, seg: &Segment) -> Outcome {
        let paws_reject = self.fails_paws(cx.now, seg);
        if self.fin_wait_2 {
            return self.input_fin_wait_2(cx, seg, paws_reject);
        }
        let newer = match (self.ts_recent, seg.timestamps) {
            (Some(recent), Some((value, _))) => (value.wrapping_sub(recent) as i32) > 0,
            // RFC 6191 §2: only the new connection would have timestamps, and they protect it.
            (None, Some(_)) => cx.config.timestamps,
            (_, None) => false,
        };
        if !paws_reject && seg.seq == self.rcv_nxt && (seg.seq == seg.end || seg.rst()) {
            // In the window, and nothing new.
            if seg.rst() {
                // RFC 1337: assassination, unless forbidden.
                return if cx.config.rfc1337 { Outcome::Restart } else { Outcome::Gone };
            }
            self.note_timestamp(cx.now, seg);
            return Outcome::Restart;
        }
        // RFC 9293 §3.10.7.4 and RFC 6191 §2: a SYN beyond everything seen may start anew.
        if seg.syn()
            && !seg.rst()
            && !seg.has_ack()
            && !paws_reject
            && (seg.seq.gt(self.rcv_nxt) || newer)
        {
            return Outcome::NewConnection(self.next_isn());
        }
        if paws_reject {
            cx.ext.paws_estab_rejected += 1;
        }
        if seg.rst() {
            return Outcome::Drop;
        }
        if seg.fin() && seg.end == self.rcv_nxt && !paws_reject {
            // RFC 9293 §3.10.7.4 step 8: our last ACK was lost; the wait starts anew.
            return Outcome::Restart;
        }
        // Something old: tell the peer where we are.
        let limited = seg.seq == seg.end && self.is_rate_limited(cx);
        let limited = limited || (seg.syn() && self.is_rate_limited(cx));
        if limited {
            cx.ext.tcp_ack_skipped_time_wait += 1;
            return Outcome::Drop;
        }
        Outcome::Ack
    }

    /// Where a connection in its place starts: away from the old numbers (Linux
    /// `tcp_timewait_state_process`, `tcp_twsk_unique`).
    pub(crate) fn next_isn(&self) -> SeqNumber {
        self.snd_nxt + 65_535 + 2
    }

    /// Linux: the half of the function for `TCP_FIN_WAIT2`.
    fn input_fin_wait_2(&mut self, cx: &mut Cx<'_>, seg: &Segment, paws_reject: bool) -> Outcome {
        if paws_reject || !seg.is_in_window(self.rcv_nxt, self.rcv_wnd) {
            if seg.rst() || (seg.seq == seg.end && self.is_rate_limited(cx)) {
                return Outcome::Drop;
            }
            return Outcome::Ack;
        }
        if seg.rst() {
            return Outcome::Gone;
        }
        if seg.syn() && !seg.seq.lt(self.rcv_nxt) {
            return Outcome::Reset;
        }
        if !seg.has_ack() || !seg.end.gt(self.rcv_nxt) || seg.end == seg.seq {
            return Outcome::Drop;
        }
        // Data that nobody will read, or FIN with data behind a hole.
        if !seg.fin() || seg.end != self.rcv_nxt + 1 {
            return Outcome::Reset;
        }
        self.fin_wait_2 = false;
        self.rcv_nxt = seg.end;
        self.note_timestamp(cx.now, seg);
        Outcome::Restart
    }

    fn note_timestamp(&mut self, now: Instant, seg: &Segment) {
        if let (Some(recent), Some((value, _))) = (self.ts_recent.as_mut(), seg.timestamps)
            && (value.wrapping_sub(*recent) as i32) >= 0
        {
            *recent = value;
            self.ts_recent_at = now;
        }
    }

    fn fails_paws(&self, now: Instant, seg: &Segment) -> bool {
        let (Some(recent), Some((value, _))) = (self.ts_recent, seg.timestamps) else {
            return false;
        };
        !seg.rst()
            && (value.wrapping_sub(recent) as i32) < 0
            && now - self.ts_recent_at <= super::ack::PAWS_24_DAYS
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

    /// Tells the peer where we are.
    pub(crate) fn send_ack(&self, cx: &mut Cx<'_>) {
        let now = (cx.now.as_millis() as u32).wrapping_add(self.ts_offset);
        let options = TcpOptionsRepr {
            timestamps: self.ts_recent.map(|recent| (now, recent)),
            ..TcpOptionsRepr::default()
        };
        let window = (self.rcv_wnd >> self.rcv_wscale).min(u32::from(u16::MAX)) as u16;
        let reply = Reply {
            tuple: self.tuple,
            tos: self.tos,
            ttl: self.ttl,
            mark: self.mark,
            link: self.link,
        };
        let emit = Emit {
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: TcpFlags::ACK,
            window,
            len: 0,
            mss: 1,
            ect: false,
            options,
        };
        reply.send(cx, &emit);
    }

    /// How long to wait.
    pub(crate) fn wait(cx: &Cx<'_>) -> Duration {
        cx.config.timewait_len
    }
}

/// Where a segment goes that no connection sends (Linux `ip_send_unicast_reply`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) tuple: FourTuple,
    pub(crate) tos: u8,
    pub(crate) ttl: Option<u8>,
    pub(crate) mark: u32,
    pub(crate) link: Option<LinkId>,
}

impl Reply {
    /// Sends a segment without payload.
    pub(crate) fn send(&self, cx: &mut Cx<'_>, emit: &Emit<'_>) {
        let repr = TcpRepr {
            src_port: self.tuple.local_port,
            dst_port: self.tuple.remote_port,
            seq: emit.seq,
            ack: emit.ack,
            flags: emit.flags,
            window: emit.window,
            urgent: 0,
            options: emit.options,
        };
        let mut packet = cx.pool.take(repr.header_len());
        repr.emit(packet.put(repr.header_len()));
        packet.meta.checksum = ChecksumState::Partial {
            start: ipv4::HEADER_LEN as u16,
            offset: tcp::CHECKSUM_OFFSET as u16,
        };
        cx.tcp.out_segs += 1;
        if emit.flags.contains(TcpFlags::RST) {
            cx.tcp.out_rsts += 1;
        }
        cx.out.push_back(Outgoing {
            packet,
            src: self.tuple.local,
            dst: self.tuple.remote,
            tos: self.tos,
            ttl: self.ttl,
            mark: self.mark,
            link: self.link,
            pmtu: PmtuDiscovery::Do,
            ident: Some(0),
            payload: None,
        });
    }
}

/// RFC 9293 §3.5.2: the reset that the sender of `seg` will accept (Linux `tcp_v4_send_reset`).
pub(crate) fn send_reset_for(cx: &mut Cx<'_>, seg: &Segment) {
    if seg.rst() {
        return;
    }
    let (seq, ack, flags) = match seg.has_ack() {
        true => (seg.ack, SeqNumber(0), TcpFlags::RST),
        false => (SeqNumber(0), seg.end, TcpFlags::RST | TcpFlags::ACK),
    };
    // Linux: with the type of service of what it answers, ECN aside.
    let reply = Reply { tuple: seg.tuple, tos: seg.tos & !3, ttl: None, mark: 0, link: None };
    let options = TcpOptionsRepr::default();
    let emit = Emit { seq, ack, flags, window: 0, len: 0, mss: 1, ect: false, options };
    reply.send(cx, &emit);
}
