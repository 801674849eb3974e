//! Round-trip statistics of one host, to the digit as iputils prints them, and percentiles.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Round-trip times. Sums are kept in whole microseconds, the unit iputils counts in.
#[derive(Debug)]
pub struct RoundTrips {
    count: u64,
    min: u64,
    max: u64,
    sum: u128,
    sum_of_squares: u128,
    /// Exponentially weighted mean, times eight (iputils `rtt`).
    ewma8: u64,
    histogram: Histogram<u32>,
}

impl RoundTrips {
    /// No samples.
    pub fn new() -> Self {
        // Three digits, growing as needed: only a precision above five is refused.
        let histogram = Histogram::new(3).expect("three significant digits are allowed");
        RoundTrips {
            count: 0,
            min: u64::MAX,
            max: 0,
            sum: 0,
            sum_of_squares: 0,
            ewma8: 0,
            histogram,
        }
    }

    /// Adds one round trip.
    pub fn record(&mut self, rtt: Duration) {
        let micros = micros(rtt);
        self.count += 1;
        self.min = self.min.min(micros);
        self.max = self.max.max(micros);
        self.sum += u128::from(micros);
        self.sum_of_squares += u128::from(micros) * u128::from(micros);
        if self.ewma8 == 0 {
            self.ewma8 = micros * 8;
        } else {
            self.ewma8 = self.ewma8 + micros - self.ewma8 / 8;
        }
        // A resize can only fail for want of memory, and then the sample is lost, not the run.
        let _ = self.histogram.record(nanos(rtt));
    }

    /// How many round trips were recorded, duplicates included.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest one, zero when there is none.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max)
    }

    /// The weighted mean times eight, in microseconds; zero before the first sample.
    pub fn ewma8(&self) -> u64 {
        self.ewma8
    }

    /// Minimum, mean, maximum and standard deviation in microseconds, all zero without samples.
    pub fn summary(&self) -> Summary {
        if self.count == 0 {
            return Summary::default();
        }
        let count = u128::from(self.count);
        let variance = (self.sum_of_squares - self.sum * self.sum / count) / count;
        Summary {
            min: self.min,
            avg: (self.sum / count) as u64,
            max: self.max,
            mdev: variance.isqrt() as u64,
            ewma: self.ewma8 / 8,
        }
    }

    /// The round trip that `percent` of all samples do not exceed, in microseconds rounded down.
    pub fn percentile(&self, percent: f64) -> u64 {
        let nanos = self.histogram.value_at_percentile(percent);
        // A bucket's upper edge may lie above the largest sample.
        (nanos / 1_000).min(self.max)
    }
}

/// Figures in whole microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Shortest.
    pub min: u64,
    /// Arithmetic mean, rounded down.
    pub avg: u64,
    /// Longest.
    pub max: u64,
    /// Standard deviation, rounded down.
    pub mdev: u64,
    /// Exponentially weighted mean.
    pub ewma: u64,
}

/// Microseconds shown as milliseconds with three decimals.
#[derive(Debug, Clone, Copy)]
pub struct Millis(pub u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}

/// A round trip as iputils shows one: four digits and the unit, fewer decimals as it grows.
#[derive(Debug, Clone, Copy)]
pub struct TripTime(pub Duration);

impl fmt::Display for TripTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = micros(self.0);
        match us {
            99_950.. => write!(f, "{} ms", (us + 500) / 1_000),
            9_995.. => write!(f, "{}.{} ms", (us + 50) / 1_000, (us + 50) % 1_000 / 100),
            1_000.. => write!(f, "{}.{:02} ms", (us + 5) / 1_000, (us + 5) % 1_000 / 10),
            _ => write!(f, "{} ms", Millis(us)),
        }
    }
}

/// A share as C's `%g` shows it: six significant digits, no trailing zeros.
#[derive(Debug, Clone, Copy)]
pub struct Percent {
    /// The part.
    pub part: u64,
    /// The whole, not zero.
    pub whole: u64,
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.part as f64 * 100.0 / self.whole as f64;
        if value == 0.0 {
            return f.write_str("0");
        }
        let exponent = value.log10().floor() as i32;
        if exponent < -4 {
            let mantissa = format!("{:.5}", value / 10f64.powi(exponent));
            return write!(f, "{}e-{:02}", trim_zeros(&mantissa), -exponent);
        }
        let decimals = (5 - exponent).max(0) as usize;
        f.write_str(trim_zeros(&format!("{value:.decimals$}")))
    }
}

fn trim_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// Whole microseconds, rounded down.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
