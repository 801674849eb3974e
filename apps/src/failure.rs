//! What ends a run before it has begun: one line on standard error, exit status 2.

use std::fmt;

/// What is wrong and what to do about it, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(pub String);

impl Failure {
    /// From anything that can be shown.
    pub fn new(what: impl fmt::Display) -> Self {
        // Whatever was put together from others' words still is one line.
        Failure(what.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::new(error)
    }
}
