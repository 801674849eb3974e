//! Tests that read like a packet trace, in packetdrill's language or a shorter one.

mod call;
mod cursor;
mod flow;
mod host;
mod parse;
mod run;
mod segment;
mod tests;
mod trace;
