use super::*;
use crate::tcp::cc::tests::{context, full};
use crate::tcp::cc::{CongestionControl, Cubic, INFINITE_SSTHRESH};
use crate::time::Instant;

struct Connection {
    hystart: HyStart,
    state: CongestionState,
    una: u32,
}

impl Connection {
    fn new() -> Self {
        let mut hystart = HyStart::new();
        hystart.start(SeqNumber(0));
        Connection { hystart, state: full(100, INFINITE_SSTHRESH), una: 0 }
    }

    /// A round of `acks` ACKs, all with a round trip of `micros`.
    fn round(&mut self, acks: u32, micros: u64) {
        for n in 1..=acks {
            let mut ctx = context(Instant::from_secs(1), Duration::from_micros(micros));
            // A window of 100 numbers; the last ACK of the round takes all of it.
            ctx.snd_una = SeqNumber(self.una + if n == acks { 100 } else { n });
            ctx.snd_nxt = ctx.snd_una + 100;
            self.hystart.on_ack(&mut self.state, &ctx, ctx.srtt);
        }
        self.una += 100;
    }

    fn phase(&self) -> Phase {
        self.hystart.phase()
    }
}

#[test]
fn rfc9406_4_2_delay_growing_by_an_eighth_begins_conservative_slow_start() {
    // (delay, what it must grow by): an eighth, within 4 and 16 ms.
    for (base, threshold) in [(80_000, 10_000), (8_000, 4_000), (100, 4_000), (400_000, 16_000)] {
        let mut c = Connection::new();
        c.round(1, base);
        c.round(20, base);
        c.round(20, base + threshold - 1);
        assert_eq!(c.phase(), Phase::SlowStart, "{base}");
        let mut c = Connection::new();
        c.round(1, base);
        c.round(20, base);
        c.round(20, base + threshold);
        assert_eq!(c.phase(), Phase::Conservative, "{base}");
        assert_eq!(c.state.ssthresh, INFINITE_SSTHRESH);
    }
}

#[test]
fn rfc9406_4_2_a_round_needs_eight_samples_to_be_judged() {
    let mut c = Connection::new();
    c.round(1, 50_000);
    c.round(20, 50_000);
    c.round(7, 90_000);
    assert_eq!(c.phase(), Phase::SlowStart);
    // The seven-sample round is what the next is compared with.
    c.round(8, 90_000);
    assert_eq!(c.phase(), Phase::SlowStart);
    c.round(8, 110_000);
    assert_eq!(c.phase(), Phase::Conservative);
}

#[test]
fn rfc9406_4_2_the_smallest_round_trip_of_a_round_counts() {
    let mut c = Connection::new();
    c.round(1, 50_000);
    c.round(20, 50_000);
    // One fast sample among slow ones: jitter.
    let mut ctx = context(Instant::from_secs(1), Duration::from_micros(50_000));
    (ctx.snd_una, ctx.snd_nxt) = (SeqNumber(c.una), SeqNumber(c.una + 100));
    c.hystart.on_ack(&mut c.state, &ctx, ctx.srtt);
    c.round(20, 90_000);
    assert_eq!(c.phase(), Phase::SlowStart);
}

#[test]
fn rfc9406_4_2_conservative_slow_start_grows_a_quarter_as_fast() {
    let mut c = Connection::new();
    assert_eq!(c.hystart.growth(7), 7);
    c.round(1, 50_000);
    c.round(20, 50_000);
    c.round(20, 80_000);
    assert_eq!(c.phase(), Phase::Conservative);
    // No packet is forgotten between ACKs.
    let grown: u32 = (0..40).map(|_| c.hystart.growth(1)).sum();
    assert_eq!(grown, 10);
    assert_eq!((c.hystart.growth(6), c.hystart.growth(6)), (1, 2));
}

#[test]
fn rfc9406_4_2_after_five_rounds_avoidance_begins() {
    let mut c = Connection::new();
    c.round(1, 50_000);
    c.round(20, 50_000);
    // The round in which it begins is the first.
    for _ in 0..CSS_ROUNDS - 1 {
        c.round(20, 80_000);
        assert_eq!((c.phase(), c.state.ssthresh), (Phase::Conservative, INFINITE_SSTHRESH));
    }
    c.round(20, 80_000);
    assert_eq!((c.phase(), c.state.ssthresh), (Phase::Done, c.state.cwnd));
}

#[test]
fn rfc9406_4_2_slow_start_resumes_when_the_delay_falls() {
    let mut c = Connection::new();
    c.round(1, 50_000);
    c.round(20, 50_000);
    c.round(20, 80_000);
    // Fewer than eight samples do not tell.
    c.round(7, 79_500);
    assert_eq!(c.phase(), Phase::Conservative);
    c.round(20, 79_999);
    assert_eq!(c.phase(), Phase::SlowStart);
    // Its rounds are counted anew the next time.
    c.round(20, 120_000);
    for _ in 0..CSS_ROUNDS - 2 {
        c.round(20, 120_000);
        assert_eq!(c.phase(), Phase::Conservative);
    }
    c.round(20, 120_000);
    assert_eq!(c.phase(), Phase::Done);
}

#[test]
fn rfc9406_4_2_only_the_initial_slow_start_is_watched() {
    let mut c = Connection::new();
    c.state.ssthresh = 500;
    c.round(20, 50_000);
    assert_eq!(c.phase(), Phase::Done);
    assert_eq!((c.hystart.growth(9), c.state.ssthresh), (9, 500));
}

#[test]
fn rfc9406_4_2_a_loss_ends_it_and_an_undone_loss_begins_it_again() {
    let mut cubic = Cubic::new();
    let mut state = full(100, INFINITE_SSTHRESH);
    let ctx = context(Instant::from_secs(1), Duration::from_millis(50));
    cubic.init(&mut state, &ctx);
    assert_eq!(cubic.hystart().phase(), Phase::SlowStart);
    state.prior_cwnd = state.cwnd;
    state.ssthresh = cubic.ssthresh(&state, &ctx);
    assert_eq!(cubic.hystart().phase(), Phase::Done);
    state.cwnd = cubic.undo_cwnd(&mut state, &ctx);
    assert_eq!((cubic.hystart().phase(), state.cwnd), (Phase::SlowStart, 100));
    cubic.set_hystart(false);
    cubic.init(&mut state, &ctx);
    assert_eq!(cubic.hystart().phase(), Phase::Done);
}
