//! The `tapping` command.

mod arping;
mod cli;
mod control;
mod failure;
mod ip;
mod iperf3;
mod names;
mod network;
mod ping;
mod plan;
mod ss;
mod stat;
mod tcping;
mod top;
mod trace;
mod walk;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use cli::{Command, Parsed};
use failure::{Stop, say};

/// Exit status of a run that could not be done.
const WRONG: u8 = 2;
/// What a shell shows for a command that SIGPIPE ended.
const READER_GONE: u8 = 128 + 13;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Parsed::Run(command) => command,
        Parsed::Print(text) => {
            // Somebody who closes the help unread has had enough of it.
            let _ = io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Parsed::Wrong(why) => {
            say(format_args!("tapping: {why}"));
            return ExitCode::from(WRONG);
        }
    };
    control::place::remember_user();
    start_log(command.verbose());
    let result = match &*command {
        Command::Ping(args) => ping::run(args),
        Command::Arping(args) => arping::run(args),
        Command::Trace(args) => trace::run(args),
        Command::Ss(args) => ss::run(args),
        Command::Stat(args) => stat::run(args),
        Command::Ip(args) => ip::run(args),
        Command::Top(args) => top::run(args),
        Command::Tcping(args) => tcping::run(args),
        Command::Iperf3(args) => iperf3::run(args),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(Stop::ReaderGone) => ExitCode::from(READER_GONE),
        Err(Stop::Failure(failure)) => {
            say(format_args!("tapping: {failure}"));
            ExitCode::from(WRONG)
        }
    }
}

impl Command {
    /// How often -v was given.
    fn verbose(&self) -> u8 {
        match self {
            Command::Ping(args) => args.network.verbose,
            Command::Arping(args) => args.network.verbose,
            Command::Trace(args) => args.network.verbose,
            Command::Iperf3(args) => args.network.verbose,
            Command::Tcping(args) => args.network.verbose,
            Command::Ss(_) | Command::Stat(_) | Command::Ip(_) | Command::Top(_) => 0,
        }
    }
}

/// What goes on is told on standard error, so that output stays output.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    let ansi = io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(ansi)
        .with_writer(io::stderr)
        // A log that nobody reads any more is no reason to end; by default it is one to panic.
        .log_internal_errors(false)
        .init();
}
