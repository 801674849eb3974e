//! `tapping nc`.

use std::net::Ipv4Addr;
use std::time::Duration;

use clap::Args;

use super::NetworkArgs;
use super::control::ControlArgs;
use super::values;

/// `tapping nc`.
#[derive(Debug, Clone, Args)]
#[command(
    next_help_heading = "Netcat options",
    override_usage = "tapping nc [OPTIONS] HOST PORT\n       tapping nc -l [OPTIONS] [ADDRESS] PORT",
    after_help = "\
As OpenBSD's nc: standard input goes to the other side, what it sends goes to standard output. At the
end of the input the stream is closed in that direction (nc needs -N for that); the run is over when
the other side has closed, too. With -v it tells of connections on standard error; more v's tell
what the stack does.

Exit status: 0 when all went well, 1 when a connection failed, 2 when the options are wrong."
)]
pub struct NcArgs {
    /// The host to connect to, or with -l the address to listen on, which may be left out; and the
    /// port: a number, a service name, or with -z a range such as 20-30
    #[arg(value_names = ["HOST", "PORT"], required = true, num_args = 1..=2, help_heading = "Arguments")]
    pub words: Vec<String>,
    /// Listen for a connection
    #[arg(short = 'l')]
    pub listen: bool,
    /// Datagrams: UDP instead of TCP
    #[arg(short = 'u')]
    pub udp: bool,
    /// Listen for another connection when one is over
    #[arg(short = 'k', requires = "listen")]
    pub keep: bool,
    /// Give up on a connection that is not set up after so many seconds, and close one that is idle
    /// for so long
    #[arg(short = 'w', value_name = "SECONDS", value_parser = values::patience, allow_negative_numbers = true)]
    pub patience: Option<Duration>,
    /// Only look whether the ports are open
    #[arg(short = 'z', conflicts_with = "listen")]
    pub scan: bool,
    /// Close the stream at the end of the input, which is done anyway
    #[arg(short = 'N')]
    pub shutdown: bool,
    /// Quit so many seconds after the end of the input
    #[arg(short = 'q', value_name = "SECONDS", value_parser = values::duration, allow_negative_numbers = true)]
    pub quit: Option<Duration>,
    /// Do not read standard input
    #[arg(short = 'd')]
    pub deaf: bool,
    /// Show addresses, not names
    #[arg(short = 'n')]
    pub numeric: bool,
    /// Source address
    #[arg(short = 's', value_name = "IP", value_parser = values::address, conflicts_with = "listen")]
    pub source: Option<Ipv4Addr>,
    /// Source port
    #[arg(short = 'p', value_name = "PORT", value_parser = values::port, allow_negative_numbers = true, conflicts_with = "listen")]
    pub source_port: Option<u16>,

    #[command(flatten)]
    pub control: ControlArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
}
