//! `tapping ss`: ss(8)'s options.

use clap::Args;

use super::control::ClientArgs;

/// `tapping ss`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Socket options", after_help = AFTER_HELP)]
pub struct SsArgs {
    /// TCP sockets
    #[arg(short = 't', long)]
    pub tcp: bool,
    /// UDP sockets
    #[arg(short = 'u', long)]
    pub udp: bool,
    /// Raw and ping sockets
    #[arg(short = 'w', long)]
    pub raw: bool,
    /// IPv4 only; the stack speaks nothing else
    #[arg(short = '4', long)]
    pub ipv4: bool,
    /// Listening sockets
    #[arg(short = 'l', long)]
    pub listening: bool,
    /// Sockets in every state
    #[arg(short = 'a', long)]
    pub all: bool,
    /// TCP's own information
    #[arg(short = 'i', long)]
    pub info: bool,
    /// Numbers instead of names of ports; rates in full
    #[arg(short = 'n', long)]
    pub numeric: bool,
    /// Socket numbers, marks and what was shut down
    #[arg(short = 'e', long)]
    pub extended: bool,
    /// Memory in buffers
    #[arg(short = 'm', long)]
    pub memory: bool,
    /// Timers; with -i also which options are in use
    #[arg(short = 'o', long)]
    pub options: bool,
    /// The process that runs the stack
    #[arg(short = 'p', long)]
    pub processes: bool,
    /// No header
    #[arg(short = 'H', long)]
    pub no_header: bool,
    /// One line a socket
    #[arg(short = 'O', long)]
    pub oneline: bool,
    /// Counts of sockets only
    #[arg(short = 's', long)]
    pub summary: bool,
    #[command(flatten)]
    pub client: ClientArgs,
    /// States and conditions: state established sport = :80 and not dst 10.0.0.0/8
    #[arg(value_name = "FILTER", help_heading = "Arguments", trailing_var_arg = true)]
    pub filter: Vec<String>,
}

const AFTER_HELP: &str = "\
Filter:
  state NAME, exclude NAME    all connected synchronized bucket big established syn-sent syn-recv
                              fin-wait-1 fin-wait-2 time-wait closed close-wait last-ack listening
                              closing
  src ADDRESS[/LEN][:PORT], dst ...; sport OP :PORT, dport ...; dev = LINK; fwmark = MARK[/MASK]
  and, or, not, ( ); OP is = != < <= > >= or eq ne lt le gt ge

Exit status: 0 when the stack answered, 1 when none runs, 2 when the request was wrong.";
