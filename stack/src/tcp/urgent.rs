//! Urgent data (RFC 9293 §3.8.5, RFC 6093; Linux `tcp_check_urg`, `tcp_recv_urg`).
//!
//! The pointer names the number behind the urgent byte (RFC 6093 §3.1, Linux `tcp_stdurg` = 0). That
//! byte, the mark, stays in the receive queue; reading stops before it and then passes it over,
//! unless `SO_OOBINLINE` is set. A copy of it is kept for `MSG_OOB`. There is one mark at a time.

use super::Cx;
use super::segment::Segment;
use super::state::TcpState;
use super::tcb::Tcb;
use crate::packet::Packet;
use crate::socket::SocketError;
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::TcpFlags;

/// What is known of the peer's urgent byte (Linux `urg_seq`, `urg_data`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Urgent {
    /// Its number.
    pub(crate) seq: SeqNumber,
    pub(crate) byte: UrgentByte,
}

/// Where the urgent byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UrgentByte {
    /// It was announced.
    Awaited,
    /// It has come.
    Here(u8),
    /// It was received with `MSG_OOB`.
    Read,
}

impl Tcb {
    /// Takes note of what a segment says of urgent data; `packet`'s bytes begin with its header
    /// (Linux `tcp_urg`).
    pub(crate) fn note_urgent(&mut self, cx: &mut Cx<'_>, seg: &Segment, packet: &Packet) {
        if seg.is(TcpFlags::URG) {
            self.note_urgent_pointer(cx, seg);
        }
        let Some(urgent) = &mut self.urgent else { return };
        if urgent.byte != UrgentByte::Awaited {
            return;
        }
        let first = seg.seq + u32::from(seg.syn());
        let payload = packet.bytes().get(seg.header_len..).unwrap_or_default();
        if let Some(byte) = payload.get(urgent.seq.since(first) as usize) {
            urgent.byte = UrgentByte::Here(*byte);
        }
    }

    /// Linux `tcp_check_urg`.
    fn note_urgent_pointer(&mut self, cx: &mut Cx<'_>, seg: &Segment) {
        let seq = seg.seq + u32::from(seg.urgent.saturating_sub(1));
        // Not what has been read, nor what has come before: the segment may be an old one.
        if self.copied_seq.gt(seq) || seq.lt(self.rcv_nxt) {
            return;
        }
        if self.urgent.is_some_and(|old| !seq.gt(old.seq)) {
            return;
        }
        // Without its mark the last urgent byte would be taken for one of the stream.
        if self.is_mark_due() {
            self.pass_mark(cx);
        }
        self.urgent = Some(Urgent { seq, byte: UrgentByte::Awaited });
    }

    /// Whether everything before the mark has been read (`SIOCATMARK`, tcp(7)).
    pub(crate) fn is_at_mark(&self) -> bool {
        self.urgent.is_some_and(|urgent| urgent.seq == self.copied_seq)
    }

    /// Whether the next byte in the queue is the urgent one, which is not part of the stream.
    pub(crate) fn is_mark_due(&self) -> bool {
        self.is_at_mark() && !self.options.oob_inline && self.rx.readable() > 0
    }

    /// Takes the urgent byte out of the stream when it is next.
    pub(crate) fn pass_mark(&mut self, cx: &mut Cx<'_>) {
        if self.is_mark_due() {
            self.rx.consume(1, cx.pool);
            self.copied_seq += 1;
            self.urgent = None;
        }
    }

    /// How many bytes may be read at once: reading stops at the mark.
    pub(crate) fn until_mark(&self) -> usize {
        match self.urgent {
            Some(urgent) if urgent.seq.gt(self.copied_seq) => {
                urgent.seq.since(self.copied_seq) as usize
            }
            _ => usize::MAX,
        }
    }

    /// Bytes that can be read before the mark (`SIOCINQ`, Linux `tcp_inq`).
    pub(crate) fn unread(&self) -> usize {
        let readable = self.rx.readable();
        match self.urgent {
            Some(urgent) if !self.options.oob_inline && urgent.seq.lt(self.rcv_nxt) => {
                readable.min(urgent.seq.since(self.copied_seq) as usize)
            }
            _ => readable,
        }
    }

    /// The urgent byte (`MSG_OOB`, recv(2)); `None` when none will come.
    pub(crate) fn receive_urgent(&mut self, take: bool) -> Result<Option<u8>, SocketError> {
        let Some(urgent) = self.urgent.as_mut().filter(|_| !self.options.oob_inline) else {
            return Err(SocketError::InvalidArgument);
        };
        let closed = self.state == TcpState::Closed;
        match urgent.byte {
            UrgentByte::Read => Err(SocketError::InvalidArgument),
            _ if closed && !self.fin_received => Err(SocketError::NotConnected),
            UrgentByte::Here(byte) => {
                if take {
                    urgent.byte = UrgentByte::Read;
                }
                Ok(Some(byte))
            }
            UrgentByte::Awaited if closed || self.receive_shutdown => Ok(None),
            UrgentByte::Awaited => Err(SocketError::WouldBlock),
        }
    }
}
