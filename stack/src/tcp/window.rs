//! The receive window: how much the peer may send (RFC 9293 §3.8.6, Linux `__tcp_select_window`),
//! and how buffers grow with what the connection needs.

use super::Cx;
use super::cc::{CongestionControl, TCP_INIT_CWND};
use super::config::TcpConfig;
use super::output::ATO_MIN;
use super::tcb::{Agreed, Tcb};
use crate::time::Duration;

/// Linux `MAX_TCP_HEADER` and `struct skb_shared_info`.
const SEGMENT_OVERHEAD: usize = 512;

/// The window that a SYN announces, what it may grow to, and its scale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InitialWindow {
    pub(crate) window: u32,
    pub(crate) clamp: u32,
    pub(crate) wscale: u8,
}

/// Chooses the first window: whole segments, and a scale that the largest buffer will need (Linux
/// `tcp_select_initial_window`).
pub(crate) fn initial_window(
    config: &TcpConfig,
    space: u32,
    mss: u32,
    clamp: Option<u32>,
    scaling: bool,
    fixed: Option<usize>,
) -> InitialWindow {
    let unlimited = u32::from(u16::MAX) << super::segment::MAX_WSCALE;
    let clamp = clamp.unwrap_or(unlimited).min(unlimited);
    let mut space = space.min(clamp);
    if space > mss && mss > 0 {
        space -= space % mss;
    }
    let mut wscale = 0;
    if scaling {
        let largest = match fixed {
            Some(fixed) => fixed,
            None => config.rmem.max.max(space as usize),
        };
        let largest = u32::try_from(largest).unwrap_or(u32::MAX).min(clamp).max(1);
        wscale = (largest.ilog2().saturating_sub(15) as u8).min(super::segment::MAX_WSCALE);
    }
    InitialWindow { window: space, clamp: clamp.min(u32::from(u16::MAX) << wscale), wscale }
}

impl Tcb {
    /// How much payload `space` bytes of buffer hold.
    pub(crate) fn window_from_space(&self, space: usize) -> u32 {
        let bytes = (space as u64 * u64::from(self.scaling_ratio)) >> 8;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// How much buffer so much payload takes.
    fn space_from_window(&self, window: u64) -> usize {
        (window * 256 / u64::from(self.scaling_ratio.max(1))) as usize
    }

    /// Payload for which there is room now (Linux `tcp_space`).
    pub(crate) fn free_space(&self) -> u32 {
        self.window_from_space(self.receive_limit.saturating_sub(self.rx.memory()))
    }

    /// Bytes of buffer that received data may take; a little beyond the limit, for what was in
    /// flight when the window closed.
    pub(crate) fn memory_limit(&self) -> usize {
        self.receive_limit + self.receive_limit / 4 + 4096
    }

    /// The window to offer (Linux `__tcp_select_window`).
    pub(crate) fn wanted_window(&self, cx: &Cx<'_>) -> u32 {
        let whole = self.window_clamp.min(self.window_from_space(self.receive_limit));
        let mut mss = u32::from(self.ack.rcv_mss);
        if mss > whole {
            mss = whole;
            if mss == 0 {
                return 0;
            }
        }
        let mut free = self.free_space();
        let scale = self.rcv_wscale;
        if self.may_shrink_window(cx) {
            free -= free % (1 << scale);
            let too_little = free < whole >> 4 || free < mss || free < 1 << scale;
            if free < whole / 2 && too_little {
                return 0;
            }
            return match free > self.rcv_ssthresh {
                true => self.rcv_ssthresh.next_multiple_of(1 << scale),
                false => free,
            };
        }
        if free < whole / 2 {
            free -= free % (1 << scale);
            // RFC 9293 §3.8.6.2.2: no window rather than a silly one.
            if free < whole >> 4 || free < mss {
                return 0;
            }
        }
        free = free.min(self.rcv_ssthresh);
        if self.has(Agreed::WINDOW_SCALE) && scale > 0 {
            // A window of less than one unit rounds up.
            return free.next_multiple_of(1 << scale);
        }
        let window = self.rcv_wnd;
        if window + mss <= free || window > free {
            free - free % mss.max(1)
        } else if mss == whole && free > window + whole / 2 {
            free
        } else {
            window
        }
    }

    /// Whether what was offered may be taken back (`tcp_shrink_window`).
    fn may_shrink_window(&self, cx: &Cx<'_>) -> bool {
        cx.config.shrink_window && self.rcv_wscale > 0
    }

    /// The window field of the next segment. What was offered is not taken back (RFC 9293
    /// §3.8.6.2.1) unless the stack is told to.
    pub(crate) fn select_window(&mut self, cx: &mut Cx<'_>) -> u16 {
        let old = self.rcv_wnd;
        let current = self.receive_window();
        let mut window = self.wanted_window(cx);
        if window < current && !self.may_shrink_window(cx) {
            if window == 0 {
                cx.ext.tcp_want_zero_window_adv += 1;
            }
            window = current.next_multiple_of(1 << self.rcv_wscale);
        }
        window = window.min(u32::from(u16::MAX) << self.rcv_wscale);
        self.rcv_wnd = window;
        self.rcv_wup = self.rcv_nxt;
        match (old, window) {
            (0, 0) => {}
            (0, _) => cx.ext.tcp_from_zero_window_adv += 1,
            (_, 0) => cx.ext.tcp_to_zero_window_adv += 1,
            _ => {}
        }
        if window == 0 {
            // Linux: quick acknowledgments would only ask for more.
            self.ack.quick = 0;
        }
        (window >> self.rcv_wscale) as u16
    }

    /// Lets the offered window grow while segments use their buffers well (Linux
    /// `tcp_grow_window`).
    pub(crate) fn grow_window(&mut self, _cx: &mut Cx<'_>, len: usize, true_size: usize) {
        let most = self.window_clamp.min(self.free_space());
        let Some(room) = most.checked_sub(self.rcv_ssthresh).filter(|room| *room > 0) else {
            return;
        };
        let advmss = u32::from(self.advmss);
        let grow = if self.window_from_space(true_size) as usize <= len {
            2 * advmss
        } else {
            self.grow_window_slowly(len, true_size)
        };
        if grow > 0 {
            let grow = grow.max(2 * len as u32);
            self.rcv_ssthresh += room.min(grow);
            self.ack.quick |= 1;
        }
    }

    /// Linux `__tcp_grow_window`: while half of the buffer would do for segments of this size.
    fn grow_window_slowly(&self, len: usize, true_size: usize) -> u32 {
        let mut true_size = self.window_from_space(true_size) as usize >> 1;
        let mut window = self.window_from_space(self.receive_limit) >> 1;
        while self.rcv_ssthresh <= window {
            if true_size <= len {
                return 2 * u32::from(self.ack.rcv_mss);
            }
            true_size >>= 1;
            window >>= 1;
        }
        0
    }

    /// Makes room by copying and dropping (Linux `tcp_prune_queue`).
    pub(crate) fn prune(&mut self, cx: &mut Cx<'_>, wanted: usize) {
        cx.ext.prune_called += 1;
        self.rcv_ssthresh = self.rcv_ssthresh.min(4 * u32::from(self.advmss));
        if self.rx.collapse(cx.pool) > 0 {
            cx.ext.tcp_rcv_collapsed += 1;
        }
        let limit = self.memory_limit();
        if self.rx.memory() + wanted <= limit {
            return;
        }
        let target = limit.saturating_sub(wanted);
        if self.rx.has_out_of_order() && self.rx.prune_out_of_order(target, cx.pool) > 0 {
            cx.ext.ofo_pruned += 1;
            // RFC 2018 §8: what was reported is gone; start anew.
            self.duplicate = None;
        }
        if self.rx.memory() + wanted > limit {
            cx.ext.rcv_pruned += 1;
        }
    }

    /// Sizes buffers and windows once the connection stands (Linux `tcp_init_buffer_space`).
    pub(crate) fn init_buffers(&mut self, cx: &mut Cx<'_>) {
        self.expand_send_buffer(cx);
        let advmss = u32::from(self.advmss);
        self.tuning.space = self.rcv_wnd.min(TCP_INIT_CWND * advmss);
        self.tuning.seq = self.copied_seq;
        self.tuning.at = cx.now;
        let most = self.window_from_space(self.receive_limit);
        if self.window_clamp >= most {
            self.window_clamp = most;
        }
        self.rcv_ssthresh = self.rcv_ssthresh.min(self.window_clamp);
        self.cs.cwnd_stamp = cx.now;
    }

    /// Lets the send buffer hold what is in flight twice (Linux `tcp_sndbuf_expand`).
    pub(crate) fn expand_send_buffer(&mut self, cx: &Cx<'_>) {
        if self.options.send_buffer.is_some() {
            return;
        }
        // What Linux charges for a segment: a power of two, and a socket buffer.
        let per_segment = (usize::from(self.mss) + SEGMENT_OVERHEAD).next_power_of_two() + 256;
        let segments = self.cs.cwnd.max(TCP_INIT_CWND).max(self.recovery.reordering + 1) as usize;
        let wanted = self.cc.sndbuf_expand() as usize * segments * per_segment;
        self.send_limit = self.send_limit.max(wanted.min(cx.config.wmem.max));
    }

    /// Grows the receive buffer with what the application reads in a round trip (dynamic right
    /// sizing, Linux `tcp_rcv_space_adjust`).
    pub(crate) fn adjust_receive_space(&mut self, cx: &mut Cx<'_>) {
        let elapsed = cx.now - self.tuning.at;
        if self.tuning.rtt.is_zero() || elapsed < self.tuning.rtt {
            return;
        }
        let copied = self.copied_seq.since(self.tuning.seq);
        if copied > self.tuning.space {
            if cx.config.moderate_rcvbuf && self.options.receive_buffer.is_none() {
                let space = u64::from(self.tuning.space.max(1));
                let mut window = 2 * u64::from(copied) + 16 * u64::from(self.advmss);
                let grow = window * u64::from(copied - self.tuning.space) / space;
                window += grow << 1;
                let limit = self.space_from_window(window).min(cx.config.rmem.max);
                if limit > self.receive_limit {
                    self.receive_limit = limit;
                    let clamp = self.window_from_space(limit);
                    self.window_clamp =
                        self.options.window_clamp.map_or(clamp, |most| clamp.min(most));
                }
            }
            self.tuning.space = copied;
        }
        self.tuning.seq = self.copied_seq;
        self.tuning.at = cx.now;
    }

    /// How long an ACK is delayed at present, for [`TcpInfo`](super::info::TcpInfo).
    pub(crate) fn ack_timeout(&self) -> Duration {
        if self.ack.ato.is_zero() { ATO_MIN } else { self.ack.ato }
    }
}
