//! RFC 9406, HyStart++.

use tapping_stack::tcp::cc::cubic::Cubic;
use tapping_stack::tcp::cc::hystart::{HyStart, Phase};
use tapping_stack::tcp::cc::{CongestionControl, CongestionState, INFINITE_SSTHRESH, window};
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::SeqNumber;

use crate::congestion::{context, full};

conformance! {
    "RFC 9406", "HyStart++";

    Rule "RFC9406-4.2-round" "4.2" "A round ends when what was sent at its start is acknowledged."
        => rounds_are_counted_by_numbers;
    Rule "RFC9406-4.2-exit" "4.2" "Slow start turns conservative when the least round trip grew by an eighth, within 4 and 16 ms."
        => growing_delay_turns_slow_start;
    Rule "RFC9406-4.2-samples" "4.2" "With fewer than eight samples in a round nothing is decided."
        => few_samples_decide_nothing;
    Rule "RFC9406-4.2-css" "4.2" "Then the window grows by a quarter of what it would."
        => conservative_growth_is_a_quarter;
    Rule "RFC9406-4.2-resume" "4.2" "A round trip below that at entry resumes slow start."
        => less_delay_resumes_slow_start;
    Rule "RFC9406-4.2-leave" "4.2" "After five such rounds the window becomes the slow start threshold."
        => after_five_rounds_slow_start_is_over;
    Rule "RFC9406-4.2-loss" "4.2" "A loss or a congestion mark ends it at once."
        => loss_ends_it;
    Should "RFC9406-4.3-initial" "4.3" "Only the first slow start of a connection is judged."
        => only_the_first_slow_start;
    Should "RFC9406-4.2-limit" "4.2" "One ACK adds eight packets at most unless sending is paced."
        deviation "As Linux the limit is what the ACK covers; a stretch ACK would lose its growth otherwise."
        => one_ack_adds_what_it_covers;
}

/// Ten packets are always in flight, so a round is ten ACKs.
const FLIGHT: u32 = 10;

struct Path {
    hystart: HyStart,
    state: CongestionState,
    una: SeqNumber,
}

impl Path {
    fn new() -> Self {
        let mut hystart = HyStart::new();
        hystart.start(SeqNumber(FLIGHT));
        Path { hystart, state: full(100, INFINITE_SSTHRESH), una: SeqNumber(0) }
    }

    fn ack(&mut self, micros: Option<u64>) {
        self.una += 1;
        let mut ctx = context(Instant::ZERO, Duration::from_millis(100));
        (ctx.snd_una, ctx.snd_nxt) = (self.una, self.una + FLIGHT);
        self.hystart.on_ack(&mut self.state, &ctx, micros.map(Duration::from_micros));
    }

    /// A round of which `samples` ACKs can be measured.
    fn round_with(&mut self, micros: u64, samples: u32) -> Phase {
        for n in 0..FLIGHT {
            self.ack((n < samples).then_some(micros));
        }
        self.hystart.phase()
    }

    fn round(&mut self, micros: u64) -> Phase {
        self.round_with(micros, FLIGHT)
    }

    fn conservative() -> Self {
        let mut path = Path::new();
        path.round(100_000);
        assert_eq!(path.round(120_000), Phase::Conservative);
        path
    }
}

fn rounds_are_counted_by_numbers() {
    let mut path = Path::new();
    // The second half of the first round is slower: that is the round's business alone.
    for n in 0..FLIGHT {
        path.ack(Some(if n < 2 { 100_000 } else { 300_000 }));
        assert_eq!(path.hystart.phase(), Phase::SlowStart);
    }
    // The next round is judged against the first, at its eighth sample.
    for n in 1..=FLIGHT {
        path.ack(Some(300_000));
        let expected = if n < 8 { Phase::SlowStart } else { Phase::Conservative };
        assert_eq!(path.hystart.phase(), expected, "sample {n}");
    }
}

fn growing_delay_turns_slow_start() {
    for (base, threshold) in [(100_000, 12_500), (20_000, 4_000), (1_000, 4_000), (400_000, 16_000)]
    {
        for (delay, expected) in
            [(threshold - 1, Phase::SlowStart), (threshold, Phase::Conservative)]
        {
            let mut path = Path::new();
            path.round(base);
            assert_eq!(path.round(base + delay), expected, "{base} and {delay} more");
            assert_eq!(path.state.ssthresh, INFINITE_SSTHRESH);
        }
    }
}

fn few_samples_decide_nothing() {
    for (samples, expected) in
        [(0, Phase::SlowStart), (7, Phase::SlowStart), (8, Phase::Conservative)]
    {
        let mut path = Path::new();
        path.round(100_000);
        assert_eq!(path.round_with(300_000, samples), expected, "{samples} samples");
    }
}

fn conservative_growth_is_a_quarter() {
    assert_eq!(Path::new().hystart.growth(40), 40);
    let mut path = Path::conservative();
    assert_eq!(path.hystart.growth(40), 10);
    let grown: u32 = (0..40).map(|_| path.hystart.growth(1)).sum();
    assert_eq!(grown, 10, "single packets are not rounded away");
}

fn less_delay_resumes_slow_start() {
    let mut path = Path::conservative();
    assert_eq!(path.round(120_000), Phase::Conservative, "the same delay is not less");
    assert_eq!(path.round(119_999), Phase::SlowStart);
    assert_eq!(path.hystart.growth(40), 40);
    assert_eq!(path.state.ssthresh, INFINITE_SSTHRESH);
}

fn after_five_rounds_slow_start_is_over() {
    let mut path = Path::conservative();
    for round in 2..5 {
        assert_eq!(path.round(120_000), Phase::Conservative, "round {round}");
        assert_eq!(path.state.ssthresh, INFINITE_SSTHRESH);
    }
    path.state.cwnd = 123;
    assert_eq!(path.round(120_000), Phase::Done);
    assert_eq!(path.state.ssthresh, 123);
}

fn loss_ends_it() {
    let ctx = context(Instant::ZERO, Duration::from_millis(100));
    let (mut cubic, mut state) = (Cubic::new(), full(100, INFINITE_SSTHRESH));
    cubic.init(&mut state, &ctx);
    assert_eq!(cubic.hystart().phase(), Phase::SlowStart);
    cubic.ssthresh(&state, &ctx);
    assert_eq!(cubic.hystart().phase(), Phase::Done);
}

fn only_the_first_slow_start() {
    let mut path = Path::new();
    path.state.ssthresh = 1000;
    path.round(100_000);
    assert_eq!(path.round(300_000), Phase::Done);
    assert_eq!((path.state.ssthresh, path.hystart.growth(40)), (1000, 40));
}

fn one_ack_adds_what_it_covers() {
    let mut state = full(100, INFINITE_SSTHRESH);
    assert_eq!(window::slow_start(&mut state, 64), 0);
    assert_eq!(state.cwnd, 164);
}
