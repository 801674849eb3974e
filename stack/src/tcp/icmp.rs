//! ICMP errors about segments (RFC 1122 §4.2.3.9, RFC 5461, RFC 5927; Linux `tcp_v4_err`).

use super::Cx;
use super::demux::Found;
use super::layer::{drop_request, path, settle, split};
use super::segment::FourTuple;
use super::state::TcpState;
use super::tcb::Tcb;
use crate::core::Core;
use crate::socket::SocketError;
use crate::wire::icmpv4::{Message, TimeExceeded, Unreachable};
use crate::wire::seq::SeqNumber;

/// Whether a segment with this number may be in flight on the connection (RFC 5927 §4.1).
pub(crate) fn is_in_flight(core: &mut Core, tuple: &FourTuple, seq: SeqNumber) -> bool {
    let sockets = &mut core.tcp.sockets;
    match sockets.find(tuple) {
        Some(Found::Connection(index)) => {
            sockets.tcb_at(index).is_some_and(|tcb| seq.ge(tcb.snd_una) && seq.lt(tcb.snd_nxt))
        }
        Some(Found::Request(index)) => {
            sockets.requests.get(index).is_some_and(|request| seq == request.iss)
        }
        _ => false,
    }
}

/// Reacts to an error about a segment of ours with this sequence number.
pub(crate) fn quoted_error(core: &mut Core, tuple: FourTuple, seq: SeqNumber, message: Message) {
    let Some(found) = core.tcp.sockets.find(&tuple) else {
        core.stats.icmp.in_errors += 1;
        return;
    };
    match found {
        Found::TimeWait(_) => {}
        Found::Request(index) => request_error(core, index, seq, message),
        Found::Connection(index) => {
            let Some(tcb) = core.tcp.sockets.tcb_at(index) else { return };
            let (to, link) = (tcb.next_hop(), tcb.ip.bind_link);
            let pmtu = path(core, to, link).map(|path| path.pmtu);
            let (sockets, _, mut cx) = split(core);
            if let Some(tcb) = sockets.tcb_at(index) {
                tcb.icmp_error(&mut cx, seq, message, pmtu);
            }
            settle(core, index);
        }
    }
}

/// A handshake ends on a hard error about our SYN-ACK.
fn request_error(core: &mut Core, index: u32, seq: SeqNumber, message: Message) {
    let Some(request) = core.tcp.sockets.requests.get(index) else { return };
    if seq != request.iss {
        core.stats.tcp_ext.out_of_window_icmps += 1;
        return;
    }
    if is_hard(message) {
        core.stats.tcp.attempt_fails += 1;
        drop_request(core, index);
    }
}

fn is_hard(message: Message) -> bool {
    match message {
        Message::DestinationUnreachable(Unreachable::FragmentationNeeded { .. }) => false,
        // Linux tcp_req_err: these may pass.
        Message::DestinationUnreachable(Unreachable::Net | Unreachable::Host) => false,
        Message::DestinationUnreachable(_) | Message::ParameterProblem { .. } => true,
        _ => false,
    }
}

impl Tcb {
    fn icmp_error(&mut self, cx: &mut Cx<'_>, seq: SeqNumber, message: Message, pmtu: Option<u16>) {
        // RFC 5927 §4.1: only about what is in flight.
        let in_flight = seq.ge(self.snd_una) && seq.lt(self.snd_nxt);
        if !in_flight || self.state == TcpState::Closed {
            cx.ext.out_of_window_icmps += 1;
            return;
        }
        let error = match message {
            Message::DestinationUnreachable(Unreachable::FragmentationNeeded { .. }) => {
                if let Some(pmtu) = pmtu {
                    self.path_mtu_changed(cx, pmtu);
                }
                return;
            }
            Message::DestinationUnreachable(code) => SocketError::from_unreachable(code).0,
            Message::TimeExceeded(TimeExceeded::Transit | TimeExceeded::Reassembly) => {
                SocketError::HostUnreachable
            }
            Message::ParameterProblem { .. } => SocketError::ProtocolError,
            // RFC 6633: source quench is ignored.
            _ => return,
        };
        let soft = matches!(
            message,
            Message::DestinationUnreachable(Unreachable::Net | Unreachable::Host)
        );
        if soft {
            self.revert_backoff(cx, seq);
        }
        if matches!(self.state, TcpState::SynSent | TcpState::SynReceived) {
            // RFC 1122 §4.2.3.9 asks to go on for soft errors; Linux tells the application, which
            // waits for connect.
            self.fail(cx, error);
            return;
        }
        // RFC 5927 §5.2, RFC 1122: an established connection outlives what may be forged. Whoever
        // asked for it (IP_RECVERR) is told at once.
        match self.ip.receive_errors {
            true => self.error = Some(error),
            false => self.soft_error = Some(error),
        }
    }

    /// RFC 6069: an unreachable host is no congestion (Linux `tcp_ld_RTO_revert`).
    fn revert_backoff(&mut self, cx: &mut Cx<'_>, seq: SeqNumber) {
        if seq != self.snd_una || self.retransmits == 0 || self.backoff == 0 {
            return;
        }
        self.backoff -= 1;
        let remaining = self.rto_remaining(cx.now);
        let wait = remaining.max(super::timer::TIMEOUT_MIN);
        self.timers.rtx = Some((super::timer::RtxTimer::Retransmit, cx.now + wait));
    }

    /// A router says that segments are too long (RFC 1191 §6.4, Linux `tcp_v4_mtu_reduced`).
    pub(crate) fn path_mtu_changed(&mut self, cx: &mut Cx<'_>, pmtu: u16) {
        if self.state == TcpState::Closed || pmtu >= self.pmtu {
            return;
        }
        self.sync_mss(cx.config, pmtu);
        self.retransmit_too_long(cx);
    }
}
