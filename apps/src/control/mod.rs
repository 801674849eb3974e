//! The control socket of a running stack, and who asks by it.
//!
//! ```text
//! tapping ss ─ Client ── NAME-PID.sock ── Server ─ Source: the stack, behind its lock
//! ```
//! The server has a thread of its own. It holds the stack's lock only to copy what it shows, a page
//! at a time; words are made of it afterwards.

mod answer;
pub mod client;
mod convert;
pub mod model;
pub mod place;
mod server;
#[cfg(test)]
mod tests;

pub use answer::Source;
pub use client::Client;
pub use server::Server;

use std::path::Path;

use tapping_drivers::net::Net;

use crate::failure::Failure;

/// Where to serve, from `--control`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// In the user's directory, by this name.
    Named(String),
    /// At this path.
    At(String),
    /// Nowhere.
    Off,
}

impl Control {
    /// Serves `source` there. `name` says what runs, where the user does not. What is returned is to
    /// be kept as long as the stack runs.
    pub fn start(&self, name: &str, source: Box<dyn Source>) -> Result<Option<Server>, Failure> {
        match self {
            Control::Named(name) => Server::named(name, source).map(Some),
            Control::At(path) => Server::at(Path::new(path), name, source).map(Some),
            Control::Off => Ok(None),
        }
    }
}

/// Serves the stacks of `net` at `--control`; see [`start`]. What is returned is to be dropped before
/// `net` is meant to end.
pub fn serve(control: Option<&Control>, name: &str, net: &Net) -> Result<Option<Server>, Failure> {
    start(control, name, Box::new(net.clone()))
}

/// Serves `source` at `--control`; without that by the name of what runs, and where that cannot be,
/// as without a directory, the stack runs without, and says so.
pub fn start(
    control: Option<&Control>,
    name: &str,
    source: Box<dyn Source>,
) -> Result<Option<Server>, Failure> {
    match control {
        Some(control) => control.start(name, source),
        None => match Server::named(name, source) {
            Ok(server) => Ok(Some(server)),
            Err(failure) => {
                crate::failure::say(format_args!("tapping: {failure}; going on without"));
                Ok(None)
            }
        },
    }
}
