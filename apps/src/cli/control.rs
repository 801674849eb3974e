//! Options of those who have a control socket, and of those who ask by it.

use clap::Args;

use crate::control::Control;
use crate::control::place::is_name;

/// Options of a command that runs a stack for others to look at.
#[derive(Debug, Clone, Default, Args)]
pub struct ControlArgs {
    /// Control socket: a name, a path, or off [default: the command's name, in the user's runtime
    /// directory]
    #[arg(long, value_name = "NAME|PATH|off", value_parser = control, help_heading = "Network options")]
    pub control: Option<Control>,
}

/// Options of a command that looks at a running stack.
#[derive(Debug, Clone, Default, Args)]
pub struct ClientArgs {
    /// The running stack to ask, where there are several: its name, process or socket
    #[arg(long, value_name = "NAME|PID|PATH")]
    pub stack: Option<String>,
    /// JSON
    #[arg(short = 'j', long)]
    pub json: bool,
}

fn control(word: &str) -> Result<Control, String> {
    match word {
        "off" => Ok(Control::Off),
        path if path.contains('/') => Ok(Control::At(path.to_string())),
        name if is_name(name) => Ok(Control::Named(name.to_string())),
        _ => Err("a name has up to 32 letters, digits, '-', '_' and '.'; a path has a '/'".into()),
    }
}
