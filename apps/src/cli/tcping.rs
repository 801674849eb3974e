//! `tapping tcping`.

use std::time::Duration;

use clap::Args;

use super::NetworkArgs;
use super::values;

/// `tapping tcping`.
#[derive(Debug, Clone, Args)]
#[command(
    next_help_heading = "TCP ping options",
    after_help = "\
Each probe connects, and the time from its SYN to the answer counts, as connect(2) takes it: a lost
SYN is sent again after a second. A port that refuses is an answer, too, and is told as one; a port
that takes the connection gets it closed at once.

Exit status: 0 when the host answered, 1 when it did not, 2 when something was wrong here."
)]
pub struct TcpingArgs {
    /// The name or address to connect to
    #[arg(value_name = "HOST", help_heading = "Arguments")]
    pub host: String,
    /// The port
    #[arg(value_name = "PORT", help_heading = "Arguments", value_parser = values::port, default_value = "80", allow_negative_numbers = true)]
    pub port: u16,
    /// Adapt the interval to the round-trip time
    #[arg(short = 'A')]
    pub adaptive: bool,
    /// Ring the terminal's bell at each answer
    #[arg(short = 'a')]
    pub audible: bool,
    /// Stop after so many answers
    #[arg(short = 'c', value_name = "COUNT", value_parser = values::count, allow_negative_numbers = true)]
    pub count: Option<u64>,
    /// Print the time before each line
    #[arg(short = 'D')]
    pub stamps: bool,
    /// Seconds between probes, such as 0.01
    #[arg(short = 'i', value_name = "SECONDS", value_parser = values::duration, default_value = "1", allow_negative_numbers = true)]
    pub interval: Duration,
    /// Source: an address of the stack, or a link name
    #[arg(short = 'I', value_name = "SOURCE")]
    pub source: Option<String>,
    /// Send so many probes before waiting, 1 to 65536
    #[arg(short = 'l', value_name = "COUNT", value_parser = values::preload, default_value = "1", allow_negative_numbers = true)]
    pub preload: u32,
    /// Firewall mark of the probes
    #[arg(short = 'm', value_name = "MARK", value_parser = values::number::<u32>, allow_negative_numbers = true)]
    pub mark: Option<u32>,
    /// Show addresses, not names
    #[arg(short = 'n')]
    pub numeric: bool,
    /// Report a missing answer before sending the next probe
    #[arg(short = 'O')]
    pub outstanding: bool,
    /// Only the first and the last lines
    #[arg(short = 'q')]
    pub quiet: bool,
    /// Type of service byte, decimal or 0x hex
    #[arg(short = 'Q', value_name = "TOS", value_parser = values::tos, allow_negative_numbers = true)]
    pub tos: Option<u8>,
    /// Time to live, 1 to 255
    #[arg(short = 't', value_name = "TTL", value_parser = values::ttl, allow_negative_numbers = true)]
    pub ttl: Option<u8>,
    /// Stop after so many seconds, whatever came; 0 sets no limit
    #[arg(short = 'w', value_name = "SECONDS", value_parser = values::duration, allow_negative_numbers = true)]
    pub deadline: Option<Duration>,
    /// Seconds to wait for an answer, 0 for as long as TCP tries
    #[arg(short = 'W', value_name = "SECONDS", value_parser = values::linger, default_value = "10", allow_negative_numbers = true)]
    pub linger: values::Linger,
    /// One JSON object a line, and a summary object
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub network: NetworkArgs,
}
