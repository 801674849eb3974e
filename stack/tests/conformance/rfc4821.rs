//! RFC 4821, the path MTU without what routers say.

use tapping_stack::config::MtuProbing;
use tapping_stack::wire::SackBlock;
use tapping_stack::{SocketError, SocketId};

use crate::tcp_bench::*;

conformance! {
    "RFC 4821", "Path MTU by probing";

    Rule "RFC4821-5-search-low" "7.2" "After timeouts that smell of a black hole the segment size falls to base_mss."
        => a_black_hole_lowers_the_size;
    Linux "RFC4821-7.2-default" "7.2" "Nothing is probed unless tcp_mtu_probing says so."
        => nothing_is_probed_by_default;
    Should "RFC4821-7.3-probe" "7.3" "With probing on larger sizes are tried with data."
        => larger_sizes_are_tried_with_data;
    Must "RFC4821-7.4-enough" "7.4" "A probe leaves only with enough data behind it for its loss to be found."
        => a_probe_needs_data_behind_it;
    MustNot "RFC4821-7.6.2-loss" "7.6.2" "The loss of a probe lowers no window."
        => a_lost_probe_lowers_no_window;
    Must "RFC4821-7.6.2-size" "7.6.2" "After the loss of a probe only smaller ones are sent."
        => the_path_mtu_is_found;
    Rule "RFC4821-7.6.1-raise" "7.6.1" "A probe that arrives raises the size."
        => a_probe_that_arrives_raises_the_size;
    Rule "RFC4821-7.6.4-inconclusive" "7.6.4" "Where more than the probe is lost nothing is learnt of it."
        => other_losses_say_nothing;
    Should "RFC4821-7.5-reprobe" "7.7" "After ten minutes a larger size is tried again."
        => a_larger_size_is_tried_again;
    Must "RFC4821-7.7-base" "7.7" "A path that takes less from now on is found out by timeouts."
        => a_path_that_narrows_is_found_out;
}

/// What Linux begins with when timestamps, for which it has left room, are not agreed upon.
const BASE: usize = 1024 + 12;

/// A sender of bulk data, and a path that swallows what is longer than `limit` bytes of payload.
struct Path {
    wire: Wire,
    socket: SocketId,
    peer: Peer,
    limit: usize,
    /// What the peer has behind a hole.
    ahead: Vec<SackBlock>,
    /// Payload of everything heard, in order.
    sizes: Vec<usize>,
    /// What of it the path takes.
    got: usize,
}

impl Path {
    fn new(probing: MtuProbing, limit: usize) -> Self {
        let mut wire = Wire::with(config(|tcp| tcp.mtu_probing = probing));
        let (socket, mut peer, syn) = wire.connecting(80);
        let syn_ack = Seg { sack_ok: true, ..peer.syn_ack(&syn) };
        wire.answer(&syn_ack);
        Path { wire, socket, peer, limit, ahead: Vec::new(), sizes: Vec::new(), got: 0 }
    }

    /// Writes as much as fits, and lets the peer answer what arrives; until so much has arrived, or
    /// so many turns of a tenth of a second are over.
    fn transfer(&mut self, bytes: usize, turns: usize) -> bool {
        let goal = self.got + bytes;
        for _ in 0..turns {
            let left = goal.saturating_sub(self.got + self.queued());
            if left > 0 {
                let _ = self.wire.send(self.socket, &vec![7; left.min(1 << 20)]);
            }
            let heard = self.wire.pass(millis(100));
            self.answer(heard);
            if self.got >= goal {
                return true;
            }
        }
        false
    }

    fn queued(&mut self) -> usize {
        self.wire.stack().unacknowledged(self.socket).unwrap_or(0)
    }

    fn answer(&mut self, mut heard: Vec<Seg>) {
        // An ACK for each that arrives; what follows at once is answered as well.
        while !heard.is_empty() {
            let mut next = Vec::new();
            for seg in heard {
                let len = seg.payload.len();
                self.sizes.extend((len > 0).then_some(len));
                if !(1..=self.limit).contains(&len) {
                    continue;
                }
                let (left, right) = (seg.seq, seg.seq + len as u32);
                self.ahead.push(SackBlock { left, right });
                let before = self.peer.ack;
                // In order of their numbers, so that one pass takes all that touch.
                self.ahead.sort_by_key(|block| block.left.distance(before));
                for block in &self.ahead {
                    if block.left.le(self.peer.ack) && block.right.gt(self.peer.ack) {
                        self.peer.ack = block.right;
                    }
                }
                let una = self.peer.ack;
                self.ahead.retain(|block| block.left.gt(una));
                self.got += una.since(before) as usize;
                let mut ack = self.peer.ack();
                if left.gt(una) {
                    ack.sack = vec![SackBlock { left, right }];
                }
                next.extend(self.wire.give(&ack));
            }
            heard = next;
        }
    }

    fn mss(&mut self) -> usize {
        let socket = self.socket;
        self.wire.stack().tcp_info(socket).expect("a connection").snd_mss as usize
    }

    fn cwnd(&mut self) -> u32 {
        let socket = self.socket;
        self.wire.stack().tcp_info(socket).expect("a connection").snd_cwnd
    }

    fn longest(&self) -> usize {
        self.sizes.iter().copied().max().unwrap_or(0)
    }
}

fn a_black_hole_lowers_the_size() {
    let mut path = Path::new(MtuProbing::BlackHole, 1200);
    assert!(path.transfer(8000, 36_000));
    assert_eq!((path.sizes[0], path.mss()), (1460, 1024), "tcp_base_mss");
    // Narrower still: it is halved.
    let mut path = Path::new(MtuProbing::BlackHole, 600);
    assert!(path.transfer(4000, 36_000));
    assert_eq!(path.mss(), 512);
    // Without, as by default, the connection fails.
    let mut path = Path::new(MtuProbing::Off, 1200);
    assert!(!path.transfer(8000, 36_000));
    let socket = path.socket;
    assert_eq!(path.wire.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
}

fn nothing_is_probed_by_default() {
    assert_eq!(config(|_| {}).tcp.mtu_probing, MtuProbing::Off);
    for probing in [MtuProbing::Off, MtuProbing::BlackHole] {
        let mut path = Path::new(probing, 1460);
        assert!(path.transfer(300_000, 1000));
        assert_eq!((path.sizes[0], path.longest()), (1460, 1460));
        let ext = path.wire.ext();
        assert_eq!((ext.tcp_mtup_success, ext.tcp_mtup_fail), (0, 0));
    }
}

fn larger_sizes_are_tried_with_data() {
    let mut path = at_base(1460);
    assert!(path.transfer(300_000, 1000));
    assert_eq!(path.longest(), path.mss());
    assert!(path.mss() > 1452, "within tcp_probe_threshold of what the link takes");
    let probes = path.wire.ext().tcp_mtup_success;
    assert!((3..10).contains(&probes), "{probes} probes");
    assert_eq!(path.wire.ext().tcp_mtup_fail, 0);
}

fn at_base(limit: usize) -> Path {
    Path::new(MtuProbing::On, limit)
}

/// Slow start, in pieces that are too small for a probe.
fn open_window(path: &mut Path) {
    while path.cwnd() < 12 {
        assert!(path.transfer(5 * BASE + 1, 10));
    }
}

fn a_probe_needs_data_behind_it() {
    let mut path = at_base(1460);
    open_window(&mut path);
    let before = path.sizes.len();
    // Half way between 1064 and 1500 bytes, and four segments more.
    let enough = 1242 + 4 * BASE;
    for _ in 0..20 {
        assert!(path.transfer(enough - 1, 10));
    }
    assert!(path.sizes[before..].iter().all(|size| *size <= BASE));
    assert!(path.transfer(enough, 10));
    assert_eq!(path.longest(), 1242);
}

fn a_lost_probe_lowers_no_window() {
    let mut path = at_base(1100);
    while path.wire.ext().tcp_mtup_fail == 0 {
        let before = path.cwnd();
        assert!(path.transfer(20_000, 100));
        assert!(path.cwnd() + 1 >= before, "{} after {before}", path.cwnd());
    }
    let ext = path.wire.ext();
    assert_eq!((ext.tcp_sack_recovery, ext.tcp_timeouts), (0, 0));
}

fn the_path_mtu_is_found() {
    for limit in [1040, 1100, 1234, 1400, 1440] {
        let mut path = at_base(limit);
        assert!(path.transfer(2_000_000, 10_000), "{limit}");
        let mss = path.mss();
        assert!(mss <= limit && mss + 8 > limit, "{mss} of {limit}");
        let ext = path.wire.ext();
        assert!(ext.tcp_mtup_fail >= 1 && ext.tcp_mtup_fail + ext.tcp_mtup_success < 10);
        assert_eq!(ext.tcp_timeouts, 0, "{limit}");
        // Each size was lost once at most.
        let mut lost: Vec<_> = path.sizes.iter().filter(|size| **size > limit).collect();
        let all = lost.len();
        lost.sort_unstable();
        lost.dedup();
        assert_eq!(lost.len(), all, "{limit}");
    }
}

fn a_probe_that_arrives_raises_the_size() {
    let mut path = at_base(1460);
    open_window(&mut path);
    let before = path.cwnd();
    let mut sizes = Vec::new();
    while path.mss() < 1242 {
        assert!(path.transfer(10_000, 10));
        sizes.push(path.mss());
    }
    assert_eq!(path.mss(), 1242, "{sizes:?}");
    assert_eq!(path.wire.ext().tcp_mtup_success, 1);
    // As many bytes as before, or more for what was acknowledged.
    assert!(path.cwnd() * 1282 + 1282 >= before * 1064);
}

fn other_losses_say_nothing() {
    let mut path = at_base(1460);
    open_window(&mut path);
    path.wire.send(path.socket, &[7; BASE]).expect("room");
    assert_eq!(path.wire.heard_one().payload.len(), BASE);
    path.wire.send(path.socket, &[7; 20_000]).expect("room");
    let heard = path.wire.heard();
    assert_eq!(heard[0].payload.len(), 1242, "a probe");
    // It is lost, and the segment before it.
    let mut ack = path.peer.ack();
    for seg in &heard[1..] {
        let (left, right) = (heard[1].seq, seg.seq + seg.payload.len() as u32);
        ack.sack = vec![SackBlock { left, right }];
        path.wire.give(&ack);
    }
    path.wire.pass(millis(100));
    let ext = path.wire.ext();
    assert_eq!((ext.tcp_mtup_fail, ext.tcp_sack_recovery), (0, 1));
    // All is repaired; the same size is tried again.
    path.peer.ack = heard.last().map(|seg| seg.seq + seg.payload.len() as u32).expect("segments");
    let before = path.sizes.len();
    assert!(path.transfer(100_000, 100));
    assert!(path.sizes[before..].contains(&1242));
}

fn a_larger_size_is_tried_again() {
    let mut path = at_base(1100);
    assert!(path.transfer(500_000, 10_000));
    assert!(path.mss() <= 1100);
    path.limit = 1460;
    let before = path.sizes.len();
    assert!(path.transfer(500_000, 1000));
    assert!(path.sizes[before..].iter().all(|size| *size <= 1100), "it rests");
    path.wire.pass(secs(600));
    assert!(path.transfer(500_000, 1000));
    assert!(path.mss() > 1452, "{}", path.mss());
}

fn a_path_that_narrows_is_found_out() {
    let mut path = at_base(1460);
    assert!(path.transfer(300_000, 1000));
    assert!(path.mss() > 1452);
    path.limit = 700;
    assert!(path.transfer(30_000, 36_000));
    assert!(path.mss() <= 700, "{}", path.mss());
}
