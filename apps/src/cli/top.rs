//! `tapping top`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::control::ClientArgs;
use super::values;

/// `tapping top`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Display options", after_help = AFTER_HELP)]
pub struct TopArgs {
    /// Seconds between two looks, at least 0.1
    #[arg(short = 'd', long, value_name = "SECONDS", value_parser = values::duration, default_value = "1", allow_negative_numbers = true)]
    pub delay: Duration,
    /// What to sort by
    #[arg(short = 's', long, value_enum, default_value = "rate")]
    pub sort: Sort,
    /// Print one look without a terminal, and end
    #[arg(long)]
    pub once: bool,
    #[command(flatten)]
    pub client: ClientArgs,
    /// Which connections, in the words of `tapping ss`
    #[arg(value_name = "FILTER", help_heading = "Arguments", trailing_var_arg = true)]
    pub filter: Vec<String>,
}

/// What connections are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Bytes a second, both ways
    Rate,
    /// Bytes a second sent
    Out,
    /// Bytes a second received
    In,
    /// Round-trip time
    Rtt,
    /// Congestion window
    Cwnd,
    /// Retransmissions
    Retrans,
    /// The peer's address
    Peer,
}

const AFTER_HELP: &str = "\
Keys: q quit · p or space pause · s and S sort by the next, the previous · r reverse · / filter
      up, down, page up, page down scroll · h or ? help

Exit status: 0 when the stack answered, 1 when none runs, 2 when the request was wrong.";
