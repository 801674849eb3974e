//! What a wire does to the frames that go one way along it.

use crate::rng::Rng;
use crate::time::Duration;

/// How one direction of a [`Link`](super::Link) behaves. The default is a perfect wire: no delay,
/// no loss, no limit.
///
/// A frame passes first the sender's queue and transmitter (`rate`, `queue`, `mark_above`), then
/// the wire, where it may be lost, damaged, doubled or held back, and arrives `delay` later.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Conditions {
    /// From the end of a frame's transmission to its arrival.
    pub delay: Duration,
    /// How the delay varies.
    pub jitter: Jitter,
    /// Lets frames overtake each other where jitter would have it so. Otherwise a frame that would
    /// overtake arrives together with the one before it.
    pub overtaking: bool,
    /// Each frame is lost with this probability, whatever became of others.
    pub loss: Probability,
    /// Losses that come in bursts, beside the others.
    pub bursts: Option<GilbertElliott>,
    /// Holds some frames back, so that others overtake them.
    pub reorder: Reorder,
    /// A frame arrives twice with this probability, its copy right behind it.
    pub duplicate: Probability,
    /// One bit of a frame is flipped with this probability, anywhere from its first to its last.
    ///
    /// Every checksum of the Internet finds a single flipped bit, but ARP has none: unless
    /// neighbours are known for good, a flipped bit may teach a host a wrong address.
    pub corrupt: Probability,
    /// Bits a second that the sender's transmitter can do; without it frames take no time.
    pub rate: Option<u64>,
    /// Bytes that a frame takes on the wire beyond its own: 24 for Ethernet's preamble, check
    /// sequence and gap.
    pub overhead: u32,
    /// What may wait for the transmitter, including what it is sending; what comes when there is
    /// no room is dropped. One frame always finds room in an empty queue. Only with a rate.
    pub queue: Queue,
    /// Packets of senders that know ECN are marked "congestion experienced" (RFC 3168 §5) when
    /// they find this much or more in the queue.
    pub mark_above: Queue,
    /// IP packets longer than this vanish without a word.
    pub mtu: Option<usize>,
}

/// A probability, in steps of 2⁻³².
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Probability(u64);

impl Probability {
    /// It never happens.
    pub const NEVER: Probability = Probability(0);
    /// It always happens.
    pub const ALWAYS: Probability = Probability(1 << 32);

    /// A probability between 0 and 1; what is outside counts as the nearer of them, and what is no
    /// number as 0.
    pub fn new(probability: f64) -> Self {
        // The conversion saturates and makes 0 of what is no number.
        Probability((probability * (1u64 << 32) as f64) as u64).min(Self::ALWAYS)
    }

    /// So many parts in a million.
    pub fn from_ppm(parts: u32) -> Self {
        Probability((u64::from(parts) << 32) / 1_000_000).min(Self::ALWAYS)
    }

    /// Whether it happens this time.
    pub fn draw(self, rng: &mut Rng) -> bool {
        self.0 > 0 && u64::from(rng.next_u32()) < self.0
    }
}

/// Loss in bursts after Gilbert and Elliott: the wire is good or bad, may change before each
/// frame, and loses frames with the probability that belongs to its state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GilbertElliott {
    /// From good to bad.
    pub enter: Probability,
    /// From bad to good.
    pub leave: Probability,
    /// Loss while good.
    pub loss_good: Probability,
    /// Loss while bad.
    pub loss_bad: Probability,
}

impl GilbertElliott {
    /// Bursts of `length` frames on average, at least 1, in which everything is lost, and that make
    /// up `loss` of all frames, less than 1.
    pub fn bursts(loss: f64, length: f64) -> Self {
        // The mean stay in a state is the inverse of the probability to leave it, and the shares of
        // both states are as the probabilities to enter them.
        let leave = 1.0 / length.max(1.0);
        GilbertElliott {
            enter: Probability::new(leave * loss / (1.0 - loss)),
            leave: Probability::new(leave),
            loss_good: Probability::NEVER,
            loss_bad: Probability::ALWAYS,
        }
    }
}

/// How a delay varies from frame to frame. It never falls below zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Jitter {
    /// Not at all.
    #[default]
    None,
    /// Up to so much more or less, each value equally likely.
    Uniform(Duration),
    /// About normally distributed, with this standard deviation, and never beyond six of them.
    Normal(Duration),
}

impl Jitter {
    /// `delay` varied.
    pub(super) fn apply(self, delay: Duration, rng: &mut Rng) -> Duration {
        match self {
            Jitter::None => delay,
            Jitter::Uniform(spread) => {
                let drawn = rng.duration_between(Duration::ZERO, spread.saturating_mul(2));
                delay.saturating_add(drawn).saturating_sub(spread)
            }
            Jitter::Normal(deviation) => {
                // The sum of twelve even numbers in 0..1 has mean 6 and deviation 1.
                let sum: u64 = (0..12).map(|_| u64::from(rng.next_u32())).sum();
                let scaled = deviation.as_nanos().saturating_mul(u128::from(sum)) >> 32;
                let drawn = Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX));
                delay.saturating_add(drawn).saturating_sub(deviation.saturating_mul(6))
            }
        }
    }
}

/// Which frames are held back for others to overtake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reorder {
    /// None.
    #[default]
    None,
    /// Each with some probability.
    Random {
        /// That it is held back.
        probability: Probability,
        /// For how long.
        hold: Duration,
    },
    /// The last of every so many.
    Every {
        /// Of how many frames one is held back.
        gap: u64,
        /// For how long.
        hold: Duration,
    },
}

impl Reorder {
    /// How long the frame with this number is held back, if it is.
    pub(super) fn hold(self, number: u64, rng: &mut Rng) -> Option<Duration> {
        match self {
            Reorder::None => None,
            Reorder::Random { probability, hold } => probability.draw(rng).then_some(hold),
            Reorder::Every { gap, hold } => (gap > 0 && number.is_multiple_of(gap)).then_some(hold),
        }
    }
}

/// An amount of what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Queue {
    /// No limit.
    #[default]
    Unlimited,
    /// So many frames; a large segment is as many as it is split into.
    Frames(u64),
    /// So many bytes of frames, [`Conditions::overhead`] left out.
    Bytes(u64),
}

impl Queue {
    /// Whether so many frames and bytes are more than it.
    pub(super) fn is_exceeded_by(self, frames: u64, bytes: u64) -> bool {
        match self {
            Queue::Unlimited => false,
            Queue::Frames(limit) => frames > limit,
            Queue::Bytes(limit) => bytes > limit,
        }
    }

    /// Whether so many frames and bytes are as much as it.
    pub(super) fn is_reached_by(self, frames: u64, bytes: u64) -> bool {
        match self {
            Queue::Unlimited => false,
            Queue::Frames(limit) => frames >= limit,
            Queue::Bytes(limit) => bytes >= limit,
        }
    }
}
