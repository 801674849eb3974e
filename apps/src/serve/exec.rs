//! `--exec`: a command beside the services, in the same network.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};

use blocking::unblock;
use rustix::process::{Pid, Signal, kill_process};
use tapping_drivers::net::Net;

use crate::control::STACK_VARIABLE;
use crate::failure::Failure;

/// A command that runs.
pub struct Program {
    name: String,
    child: Child,
}

impl Program {
    /// Starts a command, if there is one; `control` is where it can ask the stack about itself.
    pub fn start(words: &[OsString], control: Option<&Path>) -> Result<Option<Self>, Failure> {
        let Some((program, args)) = words.split_first() else { return Ok(None) };
        let name = program.to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.args(args);
        match control {
            Some(path) => command.env(STACK_VARIABLE, path),
            None => command.env_remove(STACK_VARIABLE),
        };
        match command.spawn() {
            Ok(child) => Ok(Some(Program { name, child })),
            Err(error) => Err(Failure::new(format_args!("cannot run {name}: {error}"))),
        }
    }
}

/// Waits until the command has ended, or for a signal; gives the exit status.
pub async fn run(program: Option<Program>, net: &Net) -> Result<u8, Failure> {
    let stopped = async { while !net.signal().await.is_stop() {} };
    let Some(Program { name, mut child }) = program else {
        stopped.await;
        return Ok(0);
    };
    let pid = Pid::from_child(&child);
    let ended = unblock(move || child.wait());
    let stopped = async {
        stopped.await;
        None
    };
    let mut ended = std::pin::pin!(ended);
    let wait = async { Some(ended.as_mut().await) };
    match futures_lite::future::or(wait, stopped).await {
        Some(Ok(status)) => Ok(code(status)),
        Some(Err(error)) => Err(Failure::new(format_args!("cannot wait for {name}: {error}"))),
        None => {
            // It has not been waited for, so the number is still its own.
            let _ = kill_process(pid, Signal::TERM);
            let _ = ended.await;
            Ok(0)
        }
    }
}

/// What a shell shows for the end of a command.
fn code(status: ExitStatus) -> u8 {
    let signalled = status.signal().map(|number| 128 + number);
    status.code().or(signalled).and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
