use core::net::Ipv4Addr;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::layer;
use super::super::options::TcpOptions;
use super::super::rtx_queue::Place;
use super::super::segment::{FourTuple, Sacks, Segment};
use super::super::state::TcpState;
use super::*;
use crate::config::Config;
use crate::core::Core;
use crate::rng::Rng;
use crate::socket::{SocketClass, SocketId, SocketOptions};
use crate::time::Instant;
use crate::wire::tcp::TcpFlags;
use crate::wire::tcp_options::SackBlock;

const ISN: SeqNumber = SeqNumber(0xffff_f000);
const MSS: u16 = 100;

/// A connection with nothing in flight, beside a stack's surroundings.
struct Sender {
    core: Core,
    tcb: Tcb,
}

impl Sender {
    fn new() -> Self {
        let mut core = Core::new(Config::default(), Rng::new(1));
        core.now = Instant::from_secs(1);
        let id = SocketId { class: SocketClass::Tcp, index: 0, generation: 0 };
        let (ip, options) = (SocketOptions::default(), TcpOptions::default());
        let mut tcb = Tcb::new(id, ip, options, &core.config.tcp, core.now);
        tcb.state = TcpState::Established;
        tcb.agreed = Agreed::SACK;
        (tcb.snd_una, tcb.snd_nxt, tcb.write_seq) = (ISN, ISN, ISN);
        tcb.recovery.high_seq = ISN;
        tcb.mss = MSS;
        (tcb.snd_wnd, tcb.max_window) = (1 << 30, 1 << 30);
        Sender { core, tcb }
    }

    fn wait(&mut self, millis: u64) {
        self.core.now += Duration::from_millis(millis);
    }

    /// Notes a segment of so many packets as sent.
    fn send(&mut self, packets: u32) {
        let Sender { core, tcb } = self;
        let (seq, end) = (tcb.snd_nxt, tcb.snd_nxt + packets * u32::from(MSS));
        let stamp = tcb.rate.on_sent(core.now, tcb.rtx.packets_out);
        let marks = Marks::empty();
        let sent_at = core.now;
        tcb.rtx.push(Sent { seq, end, marks, packets: 0, mss: MSS, sent_at, order: 0, stamp });
        (tcb.snd_nxt, tcb.write_seq) = (end, end);
    }

    /// Gives the connection an ACK; what it sends for it is forgotten.
    fn ack(&mut self, ack: SeqNumber, blocks: &[(SeqNumber, SeqNumber)]) {
        let mut sacks = Sacks::default();
        blocks
            .iter()
            .for_each(|(left, right)| sacks.push(SackBlock { left: *left, right: *right }));
        let nowhere = Ipv4Addr::UNSPECIFIED;
        let segment = Segment {
            tuple: FourTuple { local: nowhere, remote: nowhere, local_port: 1, remote_port: 2 },
            seq: SeqNumber(0),
            end: SeqNumber(0),
            ack,
            flags: TcpFlags::ACK,
            window: 0xffff,
            len: 0,
            header_len: 20,
            urgent: 0,
            timestamps: None,
            sacks,
            mss: None,
            wscale: None,
            sack_permitted: false,
            tos: 0,
            segments: 1,
            segment_size: 0,
        };
        let (_, _, mut cx) = layer::split(&mut self.core);
        self.tcb.process_ack(&mut cx, &segment);
        self.core.tcp.out.clear();
        self.core.tcp.out_frames = 0;
    }

    fn entries(&self) -> Vec<(Place, Sent)> {
        let (mut list, mut next) = (Vec::new(), self.tcb.snd_una);
        while let Some(at) = self.tcb.rtx.any_from(next) {
            let sent = *self.tcb.rtx.get(at).expect("it is there");
            list.push((at, sent));
            next = sent.end;
        }
        list
    }

    /// RFC 8985 §6.2 step 5 as it is written: every segment is looked at.
    fn plain_walk(&mut self) -> (Vec<SeqNumber>, Option<Duration>) {
        let entries = self.entries();
        let (_, _, cx) = layer::split(&mut self.core);
        let limit = self.tcb.rack.rtt + self.tcb.rack_reo_wnd(&cx);
        let (mut lost, mut timeout) = (Vec::new(), None::<Duration>);
        for (_, sent) in entries {
            let in_flight = !sent.is(Marks::LOST) || sent.is(Marks::RETRANS);
            if sent.is(Marks::SACKED) || !in_flight || !self.tcb.rack.sent_after(&sent) {
                continue;
            }
            let age = cx.now - sent.sent_at;
            match age >= limit {
                true => lost.push(sent.seq),
                false => timeout = timeout.max(Some(limit - age)),
            }
        }
        (lost, timeout)
    }

    /// The same by the index, on a connection whose reordering window stays what it is.
    fn indexed_walk(&mut self) -> (Vec<SeqNumber>, Option<Duration>) {
        let in_flight = |sender: &Sender| {
            let entries = sender.entries().into_iter();
            entries.filter(|(_, sent)| sent.is_in_flight()).map(|(_, sent)| sent.seq)
        };
        let before: Vec<_> = in_flight(self).collect();
        let (_, _, mut cx) = layer::split(&mut self.core);
        let timeout = self.tcb.rack_detect_loss(&mut cx);
        let after: Vec<_> = in_flight(self).collect();
        (before.into_iter().filter(|seq| !after.contains(seq)).collect(), timeout)
    }

    /// Something happens to one of the entries.
    fn step(&mut self, what: u8, which: usize, amount: u32) {
        self.wait(u64::from(amount % 3));
        let entries = self.entries();
        if what < 3 || entries.is_empty() {
            return self.send(1 + amount % 4);
        }
        let (at, sent) = entries[which % entries.len()];
        match what {
            3 | 4 if !sent.is(Marks::SACKED) => {
                self.tcb.rack_advance(self.core.now, &sent);
                let copy = if sent.is(Marks::LOST) { Marks::RETRANS } else { Marks::empty() };
                self.tcb.rtx.mark(at, Marks::SACKED, Marks::LOST | copy);
            }
            5 if sent.is_unsent() || amount.is_multiple_of(4) && sent.is_in_flight() => {
                self.tcb.rtx.sent_again(at, self.core.now, sent.stamp);
            }
            6 => self.tcb.rtx.split(at, sent.seq + u32::from(MSS)),
            7 => {
                self.tcb.rtx.pop();
                self.tcb.snd_una = entries[0].1.end;
            }
            8 if amount.is_multiple_of(8) => self.tcb.rtx.unmark_lost(),
            9 if !sent.is(Marks::SACKED) => {
                let (_, _, mut cx) = layer::split(&mut self.core);
                self.tcb.mark_lost(&mut cx, at);
            }
            10 => self.tcb.recovery.reord_seen = amount % 2,
            _ => self.wait(u64::from(amount % 10)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The index decides as a walk over the whole queue does.
    #[test]
    fn losses_are_those_of_a_plain_walk(
        steps in proptest::collection::vec((0..12_u8, any::<usize>(), any::<u32>()), 0..120),
    ) {
        let mut sender = Sender::new();
        sender.tcb.rtt.sample(sender.core.now, Duration::from_millis(16), ISN, ISN + 1);
        for (what, which, amount) in steps {
            sender.step(what, which, amount);
            if amount.is_multiple_of(2) {
                let expected = sender.plain_walk();
                prop_assert_eq!(sender.indexed_walk(), expected);
            }
        }
    }
}

/// Ten thousand segments in flight of which every tenth is lost, the peer's SACK blocks growing
/// with every segment that arrives; then half of the retransmissions are lost as well, and all of
/// it is repaired. What is looked at follows from what changes, not from what is in flight.
#[test]
fn an_ack_costs_what_it_changes() {
    const SEGMENTS: u32 = 10_000;
    const MOST: u64 = 40;
    let mss = u32::from(MSS);
    let mut sender = Sender::new();
    sender.tcb.rtt.sample(sender.core.now, Duration::from_millis(10), ISN, ISN + 1);
    sender.tcb.cs.cwnd = 2 * SEGMENTS;
    (0..SEGMENTS).for_each(|_| sender.send(1));
    sender.wait(10);
    let lost = |n: u32| n.is_multiple_of(10);
    let at = |n: u32| ISN + n * mss;
    let mut most = 0;
    let mut ack = |sender: &mut Sender, una: SeqNumber, blocks: &[(SeqNumber, SeqNumber)]| {
        let before = (sender.tcb.rtx.visits.get(), sender.tcb.recovery.total_retrans);
        sender.ack(una, blocks);
        let visits = sender.tcb.rtx.visits.get() - before.0;
        // Everything that was sent again was looked at to be sent.
        let sent = u64::from(sender.tcb.recovery.total_retrans - before.1);
        most = most.max(visits.saturating_sub(12 * sent));
    };
    for n in (0..SEGMENTS).filter(|n| !lost(*n)) {
        // The block that grows, and the two before it again.
        let first = n / 10 * 10 + 1;
        let before = |back: u32| {
            let first = first.checked_sub(10 * back)?;
            Some((at(first), at(first + 9)))
        };
        let blocks = [Some((at(first), at(n + 1))), before(1), before(2)];
        ack(&mut sender, ISN, &blocks.into_iter().flatten().collect::<Vec<_>>());
    }
    assert_eq!(sender.tcb.rtx.sacked_out, SEGMENTS / 10 * 9);
    assert_eq!(sender.tcb.recovery.total_retrans, SEGMENTS / 10);
    // Of the retransmissions every second one arrives, a round trip later.
    sender.wait(10);
    for hole in (10..SEGMENTS).step_by(20) {
        ack(&mut sender, ISN, &[(at(hole), at(hole + 10))]);
    }
    assert!(sender.tcb.recovery.total_retrans >= SEGMENTS / 10 * 3 / 2 - 1);
    sender.wait(10);
    for hole in (0..SEGMENTS).step_by(20) {
        let visits = sender.tcb.rtx.visits.get();
        sender.ack(at((hole + 20).min(SEGMENTS)), &[]);
        // Twenty entries leave.
        assert!(sender.tcb.rtx.visits.get() - visits < MOST + 20 * 3);
    }
    assert!(sender.tcb.rtx.is_empty());
    assert!(most < MOST, "{most} segments looked at for one ACK");
}

/// A peer that splits large segments into pieces one by one gets no more out of it than one that
/// does not.
#[test]
fn scattered_blocks_cost_what_they_change() {
    const LARGE: u32 = 500;
    const PACKETS: u32 = 20;
    let mss = u32::from(MSS);
    let mut sender = Sender::new();
    sender.tcb.rtt.sample(sender.core.now, Duration::from_millis(10), ISN, ISN + 1);
    // Nothing is sent again.
    sender.tcb.cs.cwnd = 1;
    (0..LARGE).for_each(|_| sender.send(PACKETS));
    sender.wait(1);
    let mut most = 0;
    // From the middle outward, each second packet.
    for n in 0..LARGE * PACKETS / 2 - 2 {
        let middle = LARGE * PACKETS / 2;
        let packet = if n % 2 == 0 { middle + n } else { middle - n - 1 };
        let left = ISN + packet * mss;
        let visits = sender.tcb.rtx.visits.get();
        sender.ack(ISN, &[(left, left + mss)]);
        most = most.max(sender.tcb.rtx.visits.get() - visits);
    }
    assert_eq!(sender.tcb.rtx.sacked_out, LARGE * PACKETS / 2 - 2);
    // What is lost is counted with what changes: a large segment at a time.
    assert!(most < 100, "{most} segments looked at for one ACK");
}
