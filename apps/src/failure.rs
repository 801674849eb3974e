//! What ends a run early.

use std::fmt;
use std::io;

/// What is wrong and what to do about it, in one line: for standard error, with exit status 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(pub String);

impl Failure {
    /// From anything that can be shown; whatever it was put together from becomes one line.
    pub fn new(what: impl fmt::Display) -> Self {
        Failure(what.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a run did not come to its end.
#[derive(Debug)]
pub enum Stop {
    /// Something is wrong.
    Failure(Failure),
    /// Nobody reads what is written any more, as in `tapping … | head -1`.
    ReaderGone,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failure(failure)
    }
}

/// An error of writing the output.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Stop::ReaderGone;
        }
        Stop::Failure(Failure::new(format_args!("cannot write the output: {error}")))
    }
}
