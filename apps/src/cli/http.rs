//! `tapping http`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::NetworkArgs;
use super::values;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Method {
    /// The resource.
    Get,
    /// Only what is said about it.
    Head,
}

/// `tapping http`.
#[derive(Debug, Clone, Args)]
#[command(
    next_help_heading = "HTTP options",
    after_help = "\
Exit status: 0 when the server gave what was asked for (2xx), 1 when it gave something else or the
connection failed, 2 when something was wrong here."
)]
pub struct HttpArgs {
    /// What to ask for
    #[arg(value_name = "METHOD", help_heading = "Arguments", value_enum, ignore_case = true)]
    pub method: Method,
    /// Of whom, such as http://10.0.0.1:8080/file
    #[arg(value_name = "URL", help_heading = "Arguments")]
    pub url: String,
    /// Add this header to the request, such as "Range: bytes=0-99"
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = values::header)]
    pub headers: Vec<(String, String)>,
    /// Show the status line and the headers of the answer, too
    #[arg(short = 'i', long)]
    pub include: bool,
    /// Write the body to this file
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Give up when nothing happens for so many seconds
    #[arg(short = 'w', value_name = "SECONDS", value_parser = values::patience, default_value = "30", allow_negative_numbers = true)]
    pub patience: Duration,

    #[command(flatten)]
    pub network: NetworkArgs,
}
