//! Tests that read like a packet trace, in packetdrill's language or a shorter one.

mod call;
mod cursor;
mod flow;
mod host;
mod parse;
mod run;
mod segment;
mod stack;
mod tests;
mod trace;

use parse::Script;
use run::{Rules, run};
use stack::Endpoint;

/// Runs a script against a stack.
///
/// # Panics
/// With a report when the stack does something else.
#[track_caller]
pub fn script(text: &str) {
    if let Err(report) = try_script(text) {
        panic!("{report}");
    }
}

/// As [`script`]; the report is the error.
pub fn try_script(text: &str) -> Result<(), String> {
    let mut script = Script::parse(text)?;
    let rules = Rules::take(&mut script.settings)?;
    let mut endpoint = Endpoint::new(&script.settings)?;
    run(&script, rules, &mut endpoint)
}
