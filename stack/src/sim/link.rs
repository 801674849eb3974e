//! A wire between two ends.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::fmt;

use super::conditions::{Conditions, GilbertElliott};
use crate::link::Capabilities;
use crate::packet::{Gso, GsoKind, Packet};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::checksum;
use crate::wire::ethernet::{EtherType, HEADER_LEN};
use crate::wire::{tcp, udp};

/// One of the two ends of a [`Link`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// The first.
    A,
    /// The second.
    B,
}

impl End {
    /// The opposite end.
    pub fn other(self) -> End {
        match self {
            End::A => End::B,
            End::B => End::A,
        }
    }
}

/// An emulated wire. It decides what becomes of each frame and when it arrives; whoever drives it,
/// such as a [`Lab`](super::Lab), keeps the frames meanwhile.
///
/// Without [`offload`](Self::offload) its ends send frames as they are on the wire. With it they
/// may be large segments with unfinished checksums. A lab cuts such a segment before a direction
/// on which something may happen to some of its frames and not to others
/// ([`must_cut`](Self::must_cut)). Elsewhere it is carried whole, and takes the time of all frames
/// that it stands for, headers included.
pub struct Link {
    /// The longest IP packet that its ends send.
    pub mtu: usize,
    /// Whether its ends send large segments whole and leave checksums unfinished.
    pub offload: bool,
    /// Whether frames that arrive at the same moment are handed over together, so that the stack
    /// may put TCP segments together ([`Stack::handle_frames`](crate::Stack::handle_frames)).
    pub batches: bool,
    up: bool,
    directions: [Direction; 2],
}

/// What becomes of a frame.
#[derive(Debug)]
pub enum Fate {
    /// It arrives.
    Arrives {
        /// When.
        at: Instant,
        /// What: not always what was sent.
        packet: Packet,
        /// Arrives right behind it.
        copy: Option<Packet>,
    },
    /// It does not.
    Dropped {
        /// Why.
        cause: DropCause,
        /// As it was.
        packet: Packet,
    },
}

/// Why a frame does not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropCause {
    /// The link is down.
    Down,
    /// The queue is full.
    QueueFull,
    /// Longer than [`Conditions::mtu`].
    TooLong,
    /// The [`Script`] says so.
    Script,
    /// [`Conditions::loss`].
    Loss,
    /// [`Conditions::bursts`].
    Burst,
}

/// What a [`Script`] wants done with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing special.
    Pass,
    /// It is lost.
    Drop,
    /// It is held back for so long; others overtake it.
    Hold(Duration),
}

/// Sees each frame of one direction, numbered from 1, before chance has its way with it, and may
/// change it. Frames that find the queue full are numbered, but not seen.
pub type Script = Box<dyn FnMut(u64, &mut Packet) -> Verdict + Send>;

/// What one direction has done. Where a large segment is carried whole it counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkCounters {
    /// Frames sent.
    pub frames: u64,
    /// Their bytes on the wire, [`Conditions::overhead`] left out.
    pub bytes: u64,
    /// Frames that arrived, copies included.
    pub arrived: u64,
    /// Dropped because the link was down when they were sent or would have arrived.
    pub down: u64,
    /// Dropped because the queue was full.
    pub queue_full: u64,
    /// Dropped because they were too long.
    pub too_long: u64,
    /// Dropped by the script.
    pub scripted: u64,
    /// Lost on their own.
    pub lost: u64,
    /// Lost in bursts.
    pub lost_in_bursts: u64,
    /// Held back, by chance, by count or by the script.
    pub held: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Frames with a flipped bit.
    pub corrupted: u64,
    /// Packets marked "congestion experienced".
    pub marked: u64,
    /// The most bytes that were in the queue.
    pub queue_peak: u64,
}

impl Link {
    /// A wire that behaves the same in both directions, with an MTU of 1500. A
    /// [`Lab`](super::Lab) gives it a seed of its own; until then that is 0.
    pub fn new(conditions: Conditions) -> Self {
        Link::asymmetric(conditions, conditions)
    }

    /// A wire from A to B and one from B to A.
    pub fn asymmetric(a_to_b: Conditions, b_to_a: Conditions) -> Self {
        let directions = [Direction::new(a_to_b), Direction::new(b_to_a)];
        let mut link = Link { mtu: 1500, offload: false, batches: false, up: true, directions };
        link.seed(0);
        link
    }

    /// With another MTU.
    #[must_use]
    pub fn with_mtu(self, mtu: usize) -> Self {
        Link { mtu, ..self }
    }

    /// With ends that send large segments whole.
    #[must_use]
    pub fn with_offload(self) -> Self {
        Link { offload: true, ..self }
    }

    /// With frames of the same moment handed over together.
    #[must_use]
    pub fn with_batches(self) -> Self {
        Link { batches: true, ..self }
    }

    /// Starts its chances anew from a seed.
    pub fn seed(&mut self, seed: u64) {
        let mut rng = Rng::new(seed);
        for direction in &mut self.directions {
            direction.chances = Chances::new(&mut rng);
        }
    }

    /// What the stack's link at either end must be told.
    pub fn capabilities(&self) -> Capabilities {
        match self.offload {
            true => Capabilities { tx_checksum: true, max_gso_size: u32::from(u16::MAX) },
            false => Capabilities::default(),
        }
    }

    /// How frames from an end fare.
    pub fn conditions(&self, from: End) -> &Conditions {
        &self.directions[from as usize].conditions
    }

    /// How frames from an end fare, to change. What was sent before is not affected.
    pub fn conditions_mut(&mut self, from: End) -> &mut Conditions {
        &mut self.directions[from as usize].conditions
    }

    /// Has a script look at frames from an end, in place of the one before; `None` ends it.
    pub fn set_script(&mut self, from: End, script: Option<Script>) {
        self.directions[from as usize].script = script;
    }

    /// Loses the frames from an end that have these numbers, the first being 1.
    pub fn drop_frames(&mut self, from: End, numbers: &[u64]) {
        let numbers: alloc::vec::Vec<u64> = numbers.into();
        let verdict = move |number, _: &mut Packet| match numbers.contains(&number) {
            true => Verdict::Drop,
            false => Verdict::Pass,
        };
        self.set_script(from, Some(Box::new(verdict)));
    }

    /// Whether it carries anything.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Cuts the wire or mends it. What is sent, or would arrive, while it is down is lost. The
    /// stacks at its ends are not told.
    pub fn set_up(&mut self, up: bool) {
        self.up = up;
    }

    /// What the frames from an end have met.
    pub fn counters(&self, from: End) -> &LinkCounters {
        &self.directions[from as usize].counters
    }

    /// Frames and bytes from an end that wait for the transmitter at `now`, including what it is
    /// sending.
    pub fn queued(&mut self, now: Instant, from: End) -> (u64, u64) {
        let transmitter = &mut self.directions[from as usize].transmitter;
        transmitter.advance(now);
        (transmitter.frames, transmitter.bytes)
    }

    /// Whether large segments from an end are to be cut before: one frame's fate may differ from
    /// the next one's.
    pub fn must_cut(&self, from: End) -> bool {
        let Direction { conditions, script, .. } = &self.directions[from as usize];
        let even = Conditions {
            delay: conditions.delay,
            rate: conditions.rate,
            overhead: conditions.overhead,
            mtu: conditions.mtu,
            ..Conditions::default()
        };
        *conditions != even || script.is_some()
    }

    /// Takes a frame from an end. Calls must be in order of time. A large segment that should have
    /// been cut is lost whole when one of its frames is lost; whatever else happens to a frame
    /// happens to it once.
    pub fn transmit(&mut self, now: Instant, from: End, packet: Packet) -> Fate {
        let up = self.up;
        self.directions[from as usize].transmit(now, up, packet)
    }

    /// Whether a frame from `from` that is due now arrives; to be asked for each that
    /// [`transmit`](Self::transmit) said would arrive, and for each copy.
    pub fn arrive(&mut self, from: End) -> bool {
        let counters = &mut self.directions[from as usize].counters;
        match self.up {
            true => counters.arrived += 1,
            false => counters.down += 1,
        }
        self.up
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a_to_b, b_to_a] = &self.directions;
        f.debug_struct("Link")
            .field("mtu", &self.mtu)
            .field("offload", &self.offload)
            .field("batches", &self.batches)
            .field("up", &self.up)
            .field("a_to_b", &(&a_to_b.conditions, &a_to_b.counters))
            .field("b_to_a", &(&b_to_a.conditions, &b_to_a.counters))
            .finish_non_exhaustive()
    }
}

struct Direction {
    conditions: Conditions,
    script: Option<Script>,
    chances: Chances,
    /// The state of [`Conditions::bursts`].
    bad: bool,
    transmitter: Transmitter,
    /// When the last frame arrives that was not held back.
    last_arrival: Instant,
    counters: LinkCounters,
}

/// A generator for each effect, so that switching one on leaves what the others do as it was.
struct Chances {
    loss: Rng,
    bursts: Rng,
    jitter: Rng,
    reorder: Rng,
    duplicate: Rng,
    corrupt: Rng,
}

impl Chances {
    fn new(rng: &mut Rng) -> Self {
        let mut next = || Rng::new(rng.next_u64());
        Chances {
            loss: next(),
            bursts: next(),
            jitter: next(),
            reorder: next(),
            duplicate: next(),
            corrupt: next(),
        }
    }
}

impl Direction {
    fn new(conditions: Conditions) -> Self {
        Direction {
            conditions,
            script: None,
            chances: Chances::new(&mut Rng::new(0)),
            bad: false,
            transmitter: Transmitter::default(),
            last_arrival: Instant::ZERO,
            counters: LinkCounters::default(),
        }
    }

    fn transmit(&mut self, now: Instant, up: bool, mut packet: Packet) -> Fate {
        let size = WireSize::of(&packet);
        self.counters.frames += 1;
        self.counters.bytes += size.bytes;
        let number = self.counters.frames;
        if !up {
            return self.drop(DropCause::Down, packet);
        }
        let Some(sent) = self.enqueue(now, &size, &mut packet) else {
            return self.drop(DropCause::QueueFull, packet);
        };
        if self.conditions.mtu.is_some_and(|mtu| size.longest > mtu) {
            return self.drop(DropCause::TooLong, packet);
        }
        let verdict = match &mut self.script {
            Some(script) => script(number, &mut packet),
            None => Verdict::Pass,
        };
        if verdict == Verdict::Drop {
            return self.drop(DropCause::Script, packet);
        }
        if let Some(cause) = self.loss(size.frames) {
            return self.drop(cause, packet);
        }
        if self.conditions.corrupt.draw(&mut self.chances.corrupt) {
            self.counters.corrupted += 1;
            flip_bit(&mut packet, &mut self.chances.corrupt);
        }
        let copy = self.conditions.duplicate.draw(&mut self.chances.duplicate).then(|| {
            self.counters.duplicated += 1;
            packet.duplicate()
        });
        let at = self.arrival(sent, number, verdict);
        Fate::Arrives { at, packet, copy }
    }

    fn drop(&mut self, cause: DropCause, packet: Packet) -> Fate {
        let counter = match cause {
            DropCause::Down => &mut self.counters.down,
            DropCause::QueueFull => &mut self.counters.queue_full,
            DropCause::TooLong => &mut self.counters.too_long,
            DropCause::Script => &mut self.counters.scripted,
            DropCause::Loss => &mut self.counters.lost,
            DropCause::Burst => &mut self.counters.lost_in_bursts,
        };
        *counter += 1;
        Fate::Dropped { cause, packet }
    }

    /// When the frame has left the transmitter; `None` when the queue has no room for it.
    fn enqueue(&mut self, now: Instant, size: &WireSize, packet: &mut Packet) -> Option<Instant> {
        let Conditions { rate, overhead, queue, mark_above, .. } = self.conditions;
        let Some(rate) = rate else {
            // What an earlier rate has kept is still ahead.
            return Some(self.transmitter.busy_until.max(now));
        };
        let transmitter = &mut self.transmitter;
        transmitter.advance(now);
        let (frames, bytes) = (transmitter.frames, transmitter.bytes);
        if frames > 0 && queue.is_exceeded_by(frames + size.frames, bytes + size.bytes) {
            return None;
        }
        if mark_above.is_reached_by(frames, bytes) && mark_congestion(packet) {
            self.counters.marked += 1;
        }
        let sent = transmitter.send(now, rate, size, overhead);
        self.counters.queue_peak = self.counters.queue_peak.max(transmitter.bytes);
        Some(sent)
    }

    /// Whether one of so many frames is lost. Each of them moves the wire's state on.
    fn loss(&mut self, frames: u64) -> Option<DropCause> {
        let mut cause = None;
        for _ in 0..frames {
            if let Some(bursts) = self.conditions.bursts
                && self.burst(&bursts)
            {
                cause = Some(DropCause::Burst);
            }
            if self.conditions.loss.draw(&mut self.chances.loss) {
                cause = cause.or(Some(DropCause::Loss));
            }
        }
        cause
    }

    fn burst(&mut self, bursts: &GilbertElliott) -> bool {
        let rng = &mut self.chances.bursts;
        let change = if self.bad { bursts.leave } else { bursts.enter };
        self.bad ^= change.draw(rng);
        let loss = if self.bad { bursts.loss_bad } else { bursts.loss_good };
        loss.draw(rng)
    }

    fn arrival(&mut self, sent: Instant, number: u64, verdict: Verdict) -> Instant {
        let Conditions { delay, jitter, overtaking, reorder, .. } = self.conditions;
        let at = sent + jitter.apply(delay, &mut self.chances.jitter);
        let hold = match (verdict, reorder.hold(number, &mut self.chances.reorder)) {
            (Verdict::Hold(hold), _) => Some(hold),
            (_, hold) => hold,
        };
        if let Some(hold) = hold {
            self.counters.held += 1;
            return at + hold;
        }
        if overtaking {
            return at;
        }
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }
}

/// What a packet is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WireSize {
    frames: u64,
    /// Of all frames, headers included.
    bytes: u64,
    /// The longest IP packet among them.
    longest: usize,
}

impl WireSize {
    fn of(packet: &Packet) -> Self {
        let len = packet.len();
        let Some(gso) = packet.meta.gso.filter(|gso| gso.segments > 1) else {
            return WireSize {
                frames: 1,
                bytes: len as u64,
                longest: len.saturating_sub(HEADER_LEN),
            };
        };
        let header = header_len(packet.bytes(), gso);
        let frames = u64::from(gso.segments);
        WireSize {
            frames,
            bytes: len as u64 + (frames - 1) * header as u64,
            longest: header.saturating_sub(HEADER_LEN) + usize::from(gso.size),
        }
    }
}

/// Bytes that each segment of a large one begins with: Ethernet, IPv4 and transport header.
fn header_len(frame: &[u8], gso: Gso) -> usize {
    let nibble =
        |at: usize, shift: u8| frame.get(at).map_or(0, |byte| usize::from((byte >> shift) & 15));
    let network = HEADER_LEN + 4 * nibble(HEADER_LEN, 0);
    match gso.kind {
        // The data offset is the high half of byte 12 (RFC 9293 §3.1).
        GsoKind::TcpV4 { .. } => network + (4 * nibble(network + 12, 4)).max(tcp::HEADER_LEN),
        GsoKind::UdpV4 => network + udp::HEADER_LEN,
    }
}

/// Sends at a rate what waits in order.
#[derive(Debug, Default)]
struct Transmitter {
    /// When the last frame has been sent.
    busy_until: Instant,
    /// What `busy_until` leaves out of that moment: a fraction of a nanosecond, as numerator over
    /// the rate.
    remainder: u64,
    /// When each has been sent, its frames and its bytes.
    waiting: VecDeque<(Instant, u64, u64)>,
    /// Sums over `waiting`.
    frames: u64,
    bytes: u64,
}

impl Transmitter {
    /// Forgets what has been sent by `now`.
    fn advance(&mut self, now: Instant) {
        while let Some((_, frames, bytes)) = self.waiting.pop_front_if(|(sent, ..)| *sent <= now) {
            self.frames -= frames;
            self.bytes -= bytes;
        }
    }

    /// Queues a frame and tells when it has been sent.
    fn send(&mut self, now: Instant, rate: u64, size: &WireSize, overhead: u32) -> Instant {
        let rate = u128::from(rate.max(1));
        if self.busy_until <= now {
            (self.busy_until, self.remainder) = (now, 0);
        }
        let bits = 8 * (u128::from(size.bytes) + u128::from(size.frames) * u128::from(overhead));
        // The remainder may come from a higher rate.
        let time = bits * 1_000_000_000 + u128::from(self.remainder).min(rate);
        self.remainder = (time % rate) as u64;
        self.busy_until += Duration::from_nanos(u64::try_from(time / rate).unwrap_or(u64::MAX));
        self.waiting.push_back((self.busy_until, size.frames, size.bytes));
        self.frames += size.frames;
        self.bytes += size.bytes;
        self.busy_until
    }
}

/// Marks an IPv4 packet whose sender knows ECN; tells whether it is marked now and was not.
fn mark_congestion(packet: &mut Packet) -> bool {
    let frame = packet.bytes_mut();
    if frame.get(12..HEADER_LEN) != Some(&EtherType::IPV4.0.to_be_bytes()) {
        return false;
    }
    let Some(header) = frame.get_mut(HEADER_LEN..).and_then(|ip| ip.first_chunk_mut::<20>()) else {
        return false;
    };
    // RFC 3168 §5: 01 and 10 are ECT, 11 is CE.
    if !matches!(header[1] & 3, 1 | 2) {
        return false;
    }
    let old = u16::from_be_bytes([header[0], header[1]]);
    header[1] |= 3;
    let check = u16::from_be_bytes([header[10], header[11]]);
    let check = checksum::update16(check, old, old | 3);
    header[10..12].copy_from_slice(&check.to_be_bytes());
    true
}

/// Flips one bit. An unfinished checksum is finished before, lest the flip be summed up in it.
fn flip_bit(packet: &mut Packet, rng: &mut Rng) {
    packet.finish_checksum();
    let bit = rng.below(packet.len() as u64 * 8);
    if let Some(byte) = packet.bytes_mut().get_mut((bit / 8) as usize) {
        *byte ^= 1 << (bit % 8);
    }
}
