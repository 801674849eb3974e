//! What ends a run early.

use std::fmt;
use std::io::{self, Write};

/// Tells a line on standard error. Where nobody listens any more the run is none the worse.
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// What is wrong and what to do about it, in one line: for standard error, with exit status 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(pub String);

impl Failure {
    /// From anything that can be shown; whatever it was put together from becomes one line, without
    /// the number that Rust adds to the words of an error.
    pub fn new(what: impl fmt::Display) -> Self {
        let line = what.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let mut parts = line.split(" (os error ");
        let mut text = parts.next().unwrap_or_default().to_string();
        for part in parts {
            text += part.split_once(')').map_or(part, |(_, rest)| rest);
        }
        Failure(text)
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
    /// Something is wrong here.
    Failure(Failure),
    /// The network or somebody on it says no: exit status 1.
    Refused(Failure),
    /// This signal says to stop.
    Signal(u8),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_plain_words() {
        let failure =
            Failure::new("cannot open x (Permission denied (os error 13)):\n run as root");
        assert_eq!(failure.0, "cannot open x (Permission denied): run as root");
        let error = io::Error::from_raw_os_error(28);
        assert_eq!(Failure::new(error).0, "No space left on device");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let gone = Stop::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(gone, Stop::ReaderGone));
        let full = Stop::from(io::Error::from_raw_os_error(28));
        assert!(matches!(full, Stop::Failure(why) if why.0.contains("No space left")));
    }
}
