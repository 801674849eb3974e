//! The end of a connection (RFC 9293 §3.6; Linux `tcp_close`, `tcp_shutdown`, `tcp_done`).

use super::Cx;
use super::output::Nagle;
use super::records::Records;
use super::state::TcpState;
use super::tcb::Tcb;
use crate::socket::SocketError;

impl Tcb {
    /// The application sends no more: FIN follows what it has written.
    pub(crate) fn shutdown_send(&mut self, cx: &mut Cx<'_>) {
        if self.send_shutdown {
            return;
        }
        self.send_shutdown = true;
        let to = match self.state {
            TcpState::SynReceived | TcpState::Established => TcpState::FinWait1,
            TcpState::CloseWait => TcpState::LastAck,
            TcpState::SynSent => {
                self.done(cx);
                return;
            }
            _ => return,
        };
        self.set_state(cx, to);
        self.queue_fin(cx);
    }

    fn queue_fin(&mut self, cx: &mut Cx<'_>) {
        self.fin_queued = true;
        self.push_seq = self.write_seq;
        self.write_seq += 1;
        self.push_pending(cx, Nagle::Off);
    }

    /// The application is done with the connection; what remains is an orphan.
    pub(crate) fn close(&mut self, cx: &mut Cx<'_>, too_many_orphans: bool) {
        // What is out of order may yet fill up and be acknowledged.
        let unread = self.rx.readable() > 0;
        self.orphan = true;
        self.receive_shutdown = true;
        if unread {
            self.rx.clear(cx.pool);
        }
        self.copied_seq = self.rcv_nxt;
        if self.state == TcpState::Closed {
            return;
        }
        let connected = !matches!(self.state, TcpState::SynSent | TcpState::Listen);
        if unread && connected {
            // RFC 9293 §3.6.1, RFC 2525 §2.17: data was lost, so the peer is told.
            cx.ext.tcp_abort_on_close += 1;
            self.send_reset(cx);
            self.done(cx);
            return;
        }
        if self.options.linger_reset && connected {
            cx.ext.tcp_abort_on_data += 1;
            self.abort(cx);
            return;
        }
        self.shutdown_send(cx);
        if self.state == TcpState::Closed {
            return;
        }
        if too_many_orphans {
            cx.ext.tcp_abort_on_memory += 1;
            self.send_reset(cx);
            self.done(cx);
            return;
        }
        if self.state == TcpState::FinWait2 {
            self.orphan_in_fin_wait_2(cx);
        }
    }

    fn orphan_in_fin_wait_2(&mut self, cx: &mut Cx<'_>) {
        let wait = self.options.linger2.unwrap_or(cx.config.fin_timeout);
        if wait.is_zero() {
            cx.ext.tcp_abort_on_linger += 1;
            self.send_reset(cx);
            self.done(cx);
        } else if wait > cx.config.timewait_len {
            self.timers.keepalive = Some(cx.now + (wait - cx.config.timewait_len));
        } else {
            self.time_wait = Some((true, wait));
        }
    }

    /// An orphan has waited long enough for the peer's FIN as a connection; the rest of the time
    /// it waits as a record.
    pub(crate) fn fin_wait_2_timeout(&mut self, cx: &mut Cx<'_>) {
        match self.options.linger2 {
            Some(wait) if wait.is_zero() => {
                self.send_reset(cx);
                self.done(cx);
            }
            _ => {
                let wait = self.options.linger2.unwrap_or(cx.config.fin_timeout);
                self.time_wait = Some((true, wait.min(cx.config.timewait_len)));
            }
        }
    }

    /// Whether the peer has to be told of an end by RST (Linux `tcp_disconnect`).
    fn is_to_be_reset(&self) -> bool {
        match self.state {
            TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::CloseWait
            | TcpState::SynReceived => true,
            // RFC 9293 §3.10.5 sends none here; Linux does when something was not sent yet.
            TcpState::Closing | TcpState::LastAck => self.has_unsent(),
            _ => false,
        }
    }

    /// Ends the connection with RST (RFC 9293 §3.10.5).
    pub(crate) fn abort(&mut self, cx: &mut Cx<'_>) {
        if self.is_to_be_reset() {
            self.send_reset(cx);
        }
        self.error = Some(SocketError::ConnectionReset);
        self.done(cx);
    }

    /// Ends the connection for a socket that goes on (connect(2) with `AF_UNSPEC`, Linux
    /// `tcp_disconnect`).
    pub(crate) fn disconnect(&mut self, cx: &mut Cx<'_>) {
        let told = self.is_to_be_reset();
        if told {
            self.send_reset(cx);
        }
        if told || self.state == TcpState::SynSent {
            self.error = Some(SocketError::ConnectionReset);
        }
        if self.state != TcpState::Closed {
            self.done(cx);
        }
    }

    /// The connection has failed: the application is told, and what is queued is gone.
    pub(crate) fn fail(&mut self, cx: &mut Cx<'_>, error: SocketError) {
        self.error = Some(error);
        self.done(cx);
    }

    /// There is no connection any more. What was received can still be read.
    pub(crate) fn done(&mut self, cx: &mut Cx<'_>) {
        self.set_state(cx, TcpState::Closed);
        self.timers.clear();
        self.send.clear(cx.chunks);
        self.rtx.clear();
        self.records = Records::default();
        self.send_shutdown = true;
        self.receive_shutdown = true;
        self.rx.prune_out_of_order(0, cx.pool);
    }

    /// Gives all buffers back.
    pub(crate) fn purge(&mut self, cx: &mut Cx<'_>) {
        self.send.clear(cx.chunks);
        self.rx.clear(cx.pool);
        self.rtx.clear();
    }
}
