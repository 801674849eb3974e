//! Why a test did not come to its end.

use std::fmt;
use std::io;

use super::meter::Role;
use super::protocol::{ServerError, State};

/// Why a test did not come to its end.
#[derive(Debug)]
pub enum Fault {
    /// The control connection ended before the test did.
    Closed,
    /// The control connection failed.
    Control(io::Error),
    /// A byte that names no state.
    UnknownState(u8),
    /// A state that has no place where it came.
    Unexpected(State),
    /// A message that claims to be longer than any is.
    TooLong {
        /// What it claims.
        length: usize,
        /// What is taken.
        max: usize,
    },
    /// Parameters that are no test.
    Parameters(String),
    /// Results that are none.
    Results(String),
    /// The server runs another test.
    Denied,
    /// The server cannot do it.
    Server(ServerError),
    /// The other end went away and said so.
    PeerLeft(Role),
    /// A signal came.
    Interrupted(Role),
    /// The client could not connect.
    Connect(io::Error),
    /// Streams could not be opened, or an option of theirs not be set.
    Stream {
        /// What was done.
        what: &'static str,
        /// What came of it.
        error: io::Error,
        /// iperf3's number for it.
        code: i32,
    },
    /// The other end did not do in time what it is due to do.
    Late(&'static str),
    /// The report cannot be written.
    Output(io::Error),
}

impl Fault {
    /// Whether a test is what went wrong; not when the user ended it or reads no more.
    pub fn server_error(&self) -> Option<ServerError> {
        let (code, errno) = match self {
            Fault::Parameters(_) => (ServerError::PARAMETERS, 0),
            Fault::Results(_) => (117, 0),
            Fault::UnknownState(_) | Fault::Unexpected(_) => (110, 0),
            Fault::TooLong { .. } => (ServerError::PARAMETERS, 0),
            Fault::Late(_) => (ServerError::IDLE, 0),
            Fault::Stream { code, error, .. } => (*code, error.raw_os_error().unwrap_or(0)),
            _ => return None,
        };
        Some(ServerError { code, errno })
    }
}

/// One line, with what came from the other end made harmless.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Closed => f.write_str("the other end has closed the control connection"),
            Fault::Control(error) => write!(f, "the control connection failed: {error}"),
            Fault::UnknownState(byte) => {
                write!(f, "the other end does not speak iperf3's protocol: it sent {byte:#04x}")
            }
            Fault::Unexpected(state) => {
                write!(f, "the other end broke iperf3's protocol: {state:?} came out of turn")
            }
            Fault::TooLong { length, max } => {
                write!(f, "the other end announced a message of {length} bytes; {max} are taken")
            }
            Fault::Parameters(why) => {
                write!(f, "unable to use the client's parameters: {}", why.escape_debug())
            }
            Fault::Results(why) => {
                write!(f, "unable to use the other end's results: {}", why.escape_debug())
            }
            Fault::Denied => f.write_str("the server is busy running a test. try again later"),
            Fault::Server(error) => write!(f, "{error}"),
            Fault::PeerLeft(Role::Server) => f.write_str("the server has terminated"),
            Fault::PeerLeft(Role::Client) => f.write_str("the client has terminated"),
            Fault::Interrupted(Role::Client) => {
                f.write_str("interrupt - the client has terminated")
            }
            Fault::Interrupted(Role::Server) => {
                f.write_str("interrupt - the server has terminated")
            }
            Fault::Connect(error) => write!(f, "unable to connect to server: {error}"),
            Fault::Stream { what, error, .. } => write!(f, "unable to {what}: {error}"),
            Fault::Late(what) => write!(f, "the other end did not {what} in time"),
            Fault::Output(error) => write!(f, "cannot write the output: {error}"),
        }
    }
}

impl std::error::Error for Fault {}
