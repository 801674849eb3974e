//! `tapping iperf3`.

use std::time::Duration;

use clap::Args;
use tapping_stack::tcp::cc::CongestionAlgorithm;

use super::{NetworkArgs, values};
use crate::iperf3::params::{
    MAX_BLOCK, MAX_BURST, MAX_MSS, MAX_OMIT, MAX_PACING_TIMER, MAX_STREAMS, MAX_TIME, MAX_WINDOW,
};
use crate::iperf3::protocol::DEFAULT_PORT;
use crate::iperf3::units::{RateUnit, parse_amount, parse_decimal};

/// `-b`: bits per second, and how many blocks go at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Bits per second; no limit for zero.
    pub bits: u64,
    /// Blocks in a row; as the rate has it for zero.
    pub burst: u32,
}

/// `tapping iperf3`.
#[derive(Debug, Clone, Args)]
#[command(
    next_help_heading = "Client options",
    override_usage = "tapping iperf3 -s [OPTIONS]\n       tapping iperf3 -c HOST [OPTIONS]",
    after_help = "\
Amounts (#) take a suffix: K, M, G or T. Options, lines and JSON fields are those of iperf3, and so is
the protocol: either end may be iperf3's own.

Examples:
  tapping iperf3 -s --tap tap0 --host-addr 10.0.0.1/24
  tapping iperf3 -c 10.0.0.1 --tap tap0 --host-addr 10.0.0.1/24 -R -P 4
  tapping iperf3 -c 10.0.0.1 --tap tap0 -u -b 100M --json

Exit status: 0 when the test came to its end, 1 when it did not, 2 when something was wrong here."
)]
pub struct Iperf3Args {
    /// Wait for clients, and do the tests they want, one at a time
    #[arg(
        short = 's',
        long,
        required_unless_present = "client",
        conflicts_with = "client",
        help_heading = "Role"
    )]
    pub server: bool,
    /// Do a test with the server on this host
    #[arg(short = 'c', long, value_name = "HOST", help_heading = "Role")]
    pub client: Option<String>,

    /// Port of the server
    #[arg(short, long, value_name = "PORT", value_parser = values::port, default_value_t = DEFAULT_PORT, allow_negative_numbers = true, help_heading = "Options of both")]
    pub port: u16,
    /// Seconds between reports, 0.1 to 60; 0 for none [default: 1]
    #[arg(short, long, value_name = "SECONDS", value_parser = interval, default_value = "1", allow_negative_numbers = true, hide_default_value = true, help_heading = "Options of both")]
    pub interval: Duration,
    /// Unit of rates: k, m, g, t for bits, K, M, G, T for bytes
    #[arg(short, long, value_name = "UNIT", value_parser = format, help_heading = "Options of both")]
    pub format: Option<RateUnit>,
    /// One JSON document instead of lines
    #[arg(short = 'J', long, help_heading = "Options of both")]
    pub json: bool,
    /// Give up when nothing comes for so many milliseconds while data should
    #[arg(long, value_name = "MS", value_parser = milliseconds, default_value = "120000", allow_negative_numbers = true, help_heading = "Options of both")]
    pub rcv_timeout: Duration,

    /// End after one test
    #[arg(short = '1', long, conflicts_with = "client", help_heading = "Server options")]
    pub one_off: bool,

    /// Seconds to send for; 0 until interrupted [default: 10]
    #[arg(short, long, value_name = "SECONDS", value_parser = range(0, MAX_TIME), allow_negative_numbers = true, conflicts_with = "server")]
    pub time: Option<u32>,
    /// Bytes to send, instead of a time
    #[arg(short = 'n', long, value_name = "#", value_parser = amount, allow_negative_numbers = true, conflicts_with_all = ["time", "server"])]
    pub bytes: Option<u64>,
    /// Blocks or datagrams to send, instead of a time
    #[arg(short = 'k', long, value_name = "#", value_parser = amount, allow_negative_numbers = true, conflicts_with_all = ["time", "bytes", "server"])]
    pub blockcount: Option<u64>,
    /// Use UDP
    #[arg(short, long, conflicts_with = "server")]
    pub udp: bool,
    /// The server sends
    #[arg(short = 'R', long, conflicts_with_all = ["bidir", "server"])]
    pub reverse: bool,
    /// Both send
    #[arg(long, conflicts_with = "server")]
    pub bidir: bool,
    /// Streams each way, at once
    #[arg(short = 'P', long, value_name = "COUNT", value_parser = range(1, MAX_STREAMS), default_value = "1", allow_negative_numbers = true, conflicts_with = "server")]
    pub parallel: u32,
    /// Bits per second of each stream, 0 for no limit; with /COUNT that many blocks at once
    /// [default: no limit, or 1 Mbit/s for UDP]
    #[arg(short = 'b', long, value_name = "#[/COUNT]", value_parser = rate, allow_negative_numbers = true, conflicts_with = "server")]
    pub bitrate: Option<Rate>,
    /// Microseconds between looks at whether a paced stream may send
    #[arg(long, value_name = "#", value_parser = pacing_timer, default_value = "1000", allow_negative_numbers = true, conflicts_with = "server")]
    pub pacing_timer: u32,
    /// Bytes of a block or datagram [default: 128K, or as much as fits a packet for UDP]
    #[arg(short, long, value_name = "#", value_parser = block, allow_negative_numbers = true, conflicts_with = "server")]
    pub length: Option<u32>,
    /// Bytes of the socket buffers, at both ends
    #[arg(short, long, value_name = "#", value_parser = window, allow_negative_numbers = true, conflicts_with = "server")]
    pub window: Option<u32>,
    /// Bytes of the largest TCP segment
    #[arg(short = 'M', long, value_name = "BYTES", value_parser = range(MIN_MSS, MAX_MSS), allow_negative_numbers = true, conflicts_with = "server")]
    pub set_mss: Option<u32>,
    /// Do not wait to fill segments (no Nagle's algorithm)
    #[arg(short = 'N', long, conflicts_with = "server")]
    pub no_delay: bool,
    /// TCP congestion control: cubic, reno or bbr
    #[arg(short = 'C', long, value_name = "ALGORITHM", value_parser = algorithm, conflicts_with = "server")]
    pub congestion: Option<String>,
    /// Seconds at the start that do not count
    #[arg(short = 'O', long, value_name = "SECONDS", value_parser = range(0, MAX_OMIT), default_value = "0", allow_negative_numbers = true, conflicts_with = "server")]
    pub omit: u32,
    /// Type of service byte, decimal or 0x hex
    #[arg(short = 'S', long, value_name = "TOS", value_parser = values::tos, default_value = "0", allow_negative_numbers = true, conflicts_with = "server")]
    pub tos: u8,
    /// Local port of the first stream; the others use those after it
    #[arg(long, value_name = "PORT", value_parser = values::port, allow_negative_numbers = true, conflicts_with = "server")]
    pub cport: Option<u16>,
    /// Wait at most so many milliseconds for the connection
    #[arg(long, value_name = "MS", value_parser = milliseconds, allow_negative_numbers = true, conflicts_with = "server")]
    pub connect_timeout: Option<Duration>,
    /// Print this before each line
    #[arg(short = 'T', long, value_name = "TEXT", value_parser = word, conflicts_with = "server")]
    pub title: Option<String>,
    /// Put this into the JSON
    #[arg(long, value_name = "TEXT", value_parser = word, conflicts_with = "server")]
    pub extra_data: Option<String>,
    /// Show the server's report as well
    #[arg(long, conflicts_with = "server")]
    pub get_server_output: bool,
    /// Count datagrams in 64 bits
    #[arg(long, conflicts_with = "server")]
    pub udp_counters_64bit: bool,
    /// Send digits instead of random bytes
    #[arg(long, conflicts_with = "server")]
    pub repeating_payload: bool,
    /// Set DF in UDP datagrams
    #[arg(long, conflicts_with = "server")]
    pub dont_fragment: bool,
    /// IPv4 only; the stack speaks nothing else yet
    #[arg(short = '4', long = "version4")]
    pub ipv4: bool,

    #[command(flatten)]
    pub network: NetworkArgs,
}

/// The smallest segment size that Linux takes for `TCP_MAXSEG`.
const MIN_MSS: u32 = 88;
/// The longest text that parameters have room for.
const MAX_WORD: usize = 1_024;

fn interval(text: &str) -> Result<Duration, String> {
    let interval = values::duration(text)?;
    let range = Duration::from_millis(100)..=Duration::from_secs(60);
    if interval.is_zero() || range.contains(&interval) {
        return Ok(interval);
    }
    Err("out of range: 0.1 to 60 seconds, or 0 for no reports".into())
}

fn format(text: &str) -> Result<RateUnit, String> {
    const UNITS: &str = "kmgtKMGT";
    match UNITS.find(text).filter(|_| text.len() == 1) {
        Some(at @ 0..4) => Ok(RateUnit::Bits(at as u32 + 1)),
        Some(at) => Ok(RateUnit::Bytes(at as u32 - 3)),
        None => Err("choose one of k, m, g, t, K, M, G and T".into()),
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    range(1, i32::MAX as u32)(text).map(|ms| Duration::from_millis(ms.into()))
}

fn amount(text: &str) -> Result<u64, String> {
    within(parse_amount(text)?, 1, 1 << 53)
}

fn block(text: &str) -> Result<u32, String> {
    within(parse_amount(text)?, 1, MAX_BLOCK.into()).map(|block| block as u32)
}

fn window(text: &str) -> Result<u32, String> {
    within(parse_amount(text)?, 1, MAX_WINDOW.into()).map(|window| window as u32)
}

fn pacing_timer(text: &str) -> Result<u32, String> {
    within(parse_decimal(text)?, 1, MAX_PACING_TIMER.into()).map(|timer| timer as u32)
}

fn rate(text: &str) -> Result<Rate, String> {
    let (bits, burst) = text.split_once('/').unwrap_or((text, ""));
    let burst = match burst {
        "" if !text.ends_with('/') => 0,
        count => range(1, MAX_BURST)(count)?,
    };
    Ok(Rate { bits: parse_decimal(bits)?, burst })
}

fn algorithm(text: &str) -> Result<String, String> {
    let names = CongestionAlgorithm::ALL.map(CongestionAlgorithm::name);
    if names.contains(&text) {
        return Ok(text.into());
    }
    Err(format!("the stack has {}", names.join(", ")))
}

fn word(text: &str) -> Result<String, String> {
    if text.len() > MAX_WORD || text.chars().any(char::is_control) {
        return Err(format!("this is not at most {MAX_WORD} bytes on one line"));
    }
    Ok(text.into())
}

fn range(
    min: u32,
    max: u32,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| {
        within(values::number::<u32>(text)?.into(), min.into(), max.into()).map(|n| n as u32)
    }
}

fn within(number: u64, min: u64, max: u64) -> Result<u64, String> {
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    Err(format!("out of range: {min} to {max}"))
}

#[cfg(test)]
mod tests;
