//! How fast a transfer over a path may be expected to be.

use tapping_stack::time::Duration;

/// Payload of a full segment: MTU 1500, with timestamps.
pub const MSS: f64 = 1448.0;
/// Bytes that each takes on an Ethernet besides: headers, without preamble and gap.
const HEADERS: f64 = 14.0 + 20.0 + 32.0;
/// The longest that an acknowledgment is delayed, and the shortest retransmission timeout.
const DELAYED_ACK: f64 = 0.04;
const MIN_RTO: f64 = 0.2;

/// What a connection meets.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// Without queueing.
    pub rtt: Duration,
    /// Bits a second.
    pub rate: u64,
    /// Part of the packets that do not arrive, in either direction.
    pub loss: f64,
    /// Most bytes that may be under way: the smaller of both buffers.
    pub window: u64,
}

impl Path {
    /// Bytes a second that a connection like Reno's gets in the long run.
    pub fn goodput(&self) -> f64 {
        let by_rate = self.rate as f64 / 8.0 * MSS / (MSS + HEADERS);
        let by_window = self.window as f64 / self.round_trip();
        by_rate.min(by_window).min(self.by_loss())
    }

    /// How long a transfer of so many bytes takes, from SYN to the last FIN: the handshakes and
    /// slow start at the model's best, and the rest at `fraction` of the goodput.
    pub fn time(&self, bytes: u64, fraction: f64) -> Duration {
        let steady = bytes as f64 / (self.goodput() * fraction);
        // Slow start doubles from ten packets on; a lossy path leaves it earlier.
        let target = (self.goodput() * self.round_trip() / MSS / 10.0).max(1.0);
        let rounds = 4.0 + target.log2();
        // Handshakes and tails have nothing behind them that would tell of a loss: each time one
        // meets a loss it costs a timeout, and the next one twice that.
        let timeouts = if self.loss > 0.0 { 3.0 + 60.0 * self.loss } else { 0.0 };
        let seconds = steady + rounds * self.round_trip() + timeouts * (1.0 + self.rtt());
        Duration::from_secs_f64(seconds)
    }

    /// How long a flow may stand still.
    pub fn patience(&self) -> Duration {
        // A packet is lost so many times in a row once in a million, and each time the timeout
        // doubles, up to two minutes.
        let again = 1.0 - (1.0 - self.loss) * (1.0 - self.loss);
        let tries = if self.loss > 0.0 { (1e-6f64.ln() / again.ln()).ceil() } else { 1.0 };
        let first = 1.0 + 3.0 * self.round_trip();
        let seconds = (0..tries as u32).map(|n| (first * 2f64.powi(n as i32)).min(120.0)).sum();
        Duration::from_secs_f64(seconds)
    }

    fn rtt(&self) -> f64 {
        self.rtt.as_secs_f64()
    }

    /// What a window takes to be acknowledged.
    fn round_trip(&self) -> f64 {
        let own = self.window.min(64 * 1024) as f64 * 8.0 / self.rate as f64;
        // In a window of few segments none may be the second that is acknowledged at once.
        let delayed = if (self.window as f64) < 6.0 * MSS { DELAYED_ACK } else { 0.0 };
        self.rtt() + own + delayed
    }

    /// The full model of Padhye, Firoiu, Towsley and Kurose (SIGCOMM 1998, equation 31), for a
    /// receiver that acknowledges every second segment. With few losses it is that of Mathis et al.
    fn by_loss(&self) -> f64 {
        let (p, b, rtt) = (self.loss, 2.0, self.rtt());
        if p == 0.0 {
            return f64::INFINITY;
        }
        let timeout = rtt + MIN_RTO;
        let in_a_row = (3.0 * (3.0 * b * p / 8.0).sqrt()).min(1.0);
        let spacing =
            rtt * (2.0 * b * p / 3.0).sqrt() + timeout * in_a_row * p * (1.0 + 32.0 * p * p);
        MSS / spacing
    }
}

#[test]
fn the_model_is_the_published_one() {
    let rtt = Duration::from_millis(100);
    let path = |loss| Path { rtt, rate: 1_000_000_000_000, loss, window: 1 << 40 };
    // With few losses MSS / RTT * sqrt(3 / (2 b p)), after Mathis, Semke, Mahdavi and Ott.
    let mathis = MSS / 0.1 * (3.0f64 / (2.0 * 2.0 * 1e-5)).sqrt();
    assert!((path(1e-5).goodput() / mathis - 1.0).abs() < 0.03);
    // With many, timeouts: 1 / (0.1 * 0.516 + 0.3 * 0.2 * 2.28) packets a second.
    assert!((path(0.2).goodput() / MSS - 5.31).abs() < 0.01, "{}", path(0.2).goodput() / MSS);
    // Otherwise the window or the wire decide.
    let window = Path { window: 50_000, ..path(0.0) };
    assert!((window.goodput() - 500_000.0).abs() < 500.0);
    let rate = Path { rate: 8_000_000, ..path(0.0) };
    assert!((rate.goodput() - 1_000_000.0 * 1448.0 / 1514.0).abs() < 1.0);
}
