//! `tapping ip`: everything behind it is in ip(8)'s own language.

use clap::Args;

/// `tapping ip`.
#[derive(Debug, Clone, Default, Args)]
#[command(override_usage = "tapping ip [OPTIONS] OBJECT [show] [SELECTION]", after_help = AFTER_HELP)]
pub struct IpArgs {
    /// The running stack to ask, where there are several: its name, process or socket
    #[arg(long, value_name = "NAME|PID|PATH")]
    pub stack: Option<String>,
    /// OBJECT, and what of it
    #[arg(
        value_name = "WORDS",
        help_heading = "Arguments",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub words: Vec<String>,
}

const AFTER_HELP: &str = "\
Objects: address, link, neighbour, route; the first letters will do.
Options of ip's own: -s[tatistics] -br[ief] -o[neline] -d[etails] -j[son] -p[retty] -4
`tapping ip help` lists the selections.

Exit status: 0 when the stack answered, 1 when none runs, 2 when the request was wrong.";
