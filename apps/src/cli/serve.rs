//! `tapping serve`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::NetworkArgs;
use super::control::ControlArgs;
use super::values;

/// `--http PORT[=DIR]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpService {
    /// The port.
    pub port: u16,
    /// The directory whose files are served; without it there is one small page.
    pub dir: Option<PathBuf>,
}

/// `tapping serve`.
#[derive(Debug, Clone, Args)]
#[command(
    next_help_heading = "Services",
    override_usage = "tapping serve [OPTIONS] SERVICE... [--exec COMMAND...]",
    after_help = "\
Prints `ready ADDRESS` when it serves, and runs until SIGINT or SIGTERM; then what is under way comes
to its end, for at most five seconds. In a private network, run programs against it by --exec, or
enter the network: -v says how.

Examples:
  tapping serve --http 80=. --exec curl -s http://10.0.0.2/
  tapping serve --iperf3 --exec iperf3 -c 10.0.0.2
  tapping serve --tap tap0 --host-addr 10.0.0.1/24 --tcp-echo 7 --udp-echo 7 --http 80=/srv

Exit status: 0 after a signal, that of COMMAND with --exec, 1 when a service could not be set up,
2 when something was wrong here."
)]
pub struct ServeArgs {
    /// Echo TCP streams (RFC 862)
    #[arg(long, value_name = "PORT", value_parser = values::port, allow_negative_numbers = true)]
    pub tcp_echo: Vec<u16>,
    /// Echo UDP datagrams (RFC 862)
    #[arg(long, value_name = "PORT", value_parser = values::port, allow_negative_numbers = true)]
    pub udp_echo: Vec<u16>,
    /// Throw away what comes by TCP (RFC 863)
    #[arg(long, value_name = "PORT", value_parser = values::port, allow_negative_numbers = true)]
    pub discard: Vec<u16>,
    /// Send lines of characters by TCP without end (RFC 864)
    #[arg(long, value_name = "PORT", value_parser = values::port, allow_negative_numbers = true)]
    pub chargen: Vec<u16>,
    /// Serve the files below DIR by HTTP, or without DIR one small page
    #[arg(long, value_name = "PORT[=DIR]", value_parser = values::http_service, allow_negative_numbers = true)]
    pub http: Vec<HttpService>,
    /// Be an iperf3 server, on port 5201 unless told otherwise
    #[arg(long, value_name = "PORT", value_parser = values::port, num_args = 0..=1, default_missing_value = "5201", allow_negative_numbers = true)]
    pub iperf3: Option<u16>,
    /// Connections that each service has at once; more are refused
    #[arg(long, value_name = "COUNT", value_parser = values::connections, default_value = "16384", allow_negative_numbers = true, help_heading = "Serve options")]
    pub max_connections: usize,
    /// Run this command when all is served, where it can reach the kernel's side, and end with it;
    /// takes the rest of the line
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true, conflicts_with = "peer", help_heading = "Serve options")]
    pub exec: Vec<OsString>,

    #[command(flatten)]
    pub control: ControlArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
}
