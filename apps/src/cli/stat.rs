//! `tapping stat`: netstat(8)'s options, and a few of nstat(8)'s.

use clap::Args;

use super::control::ClientArgs;

/// `tapping stat`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Counter options", after_help = AFTER_HELP)]
pub struct StatArgs {
    /// TCP only
    #[arg(short = 't', long)]
    pub tcp: bool,
    /// UDP only
    #[arg(short = 'u', long)]
    pub udp: bool,
    /// IP and ICMP only
    #[arg(short = 'w', long)]
    pub raw: bool,
    /// Statistics; there is nothing else
    #[arg(short = 's', long)]
    pub statistics: bool,
    /// One counter a line by its name, as nstat has them
    #[arg(short = 'n', long)]
    pub nstat: bool,
    /// With --nstat also those that are zero
    #[arg(short = 'z', long, requires = "nstat")]
    pub zeros: bool,
    /// OpenMetrics text
    #[arg(long, conflicts_with_all = ["json", "nstat", "tcp", "udp", "raw"])]
    pub openmetrics: bool,
    #[command(flatten)]
    pub client: ClientArgs,
}

const AFTER_HELP: &str =
    "Exit status: 0 when the stack answered, 1 when none runs, 2 when the request was wrong.";
