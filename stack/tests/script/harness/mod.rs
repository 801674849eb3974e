//! Tests that read like a packet trace, in packetdrill's language or a shorter one.
//!
//! ```text
//! sysctl tcp_ecn=1                     settings, in force from the start
//! --tolerance_usecs=10000              the harness's own: remote_isn, ignore_rest, mtu, offload, seed
//! 0     socket tcp ; bind 8080 ; listen 1
//! +0    < S 0:0(0) win 32792 <mss 1460,sackOK,nop,nop,nop,wscale 7>
//! +0    > [noecn] S. 0:0(0) ack 1 win 64240 <mss 1460,nop,nop,sackOK,nop,wscale 7>
//! +.1   < . 1:1(0) ack 1 win 257
//! +0    accept(3, ..., ...) = 4
//! +0...0.1 read(4, ..., 100) = 100     blocks, and returns 100 ms after
//! +.1   < P. 1:101(100) ack 1 win 257
//! +0~+.05 > . 1:1(0) ack 101           any time within 50 ms
//! +0    assert tcpi_snd_cwnd == 10
//! ```
//! A time is absolute, `+` after that of the line before, a range `a~b`, or `*` for whenever; a line
//! without one goes on the line before. `<` is a packet that the peer sends, `>` one that the host
//! must send: flags, `first:last(length)` from the initial sequence number, `ack`, `win`, `urg` and
//! options. What is left out of `ack`, `win` and the IP fields in brackets is not compared, but for
//! ACKs and options: none means that there are none, and `<...>` that any will do. `TS val ... ecr 7`
//! leaves a timestamp open; the first one named sets the clock that the others are told by. `@5000`
//! before the flags names the peer's port. `udp (100)` and
//! `icmp unreachable frag_needed mtu 1200 [1:1461(1460)]` are packets, too.
//!
//! Calls are packetdrill's, or verbs that act on the socket used last and succeed unless they say
//! `= EAGAIN`: `socket tcp|udp`, `bind PORT`, `listen N`, `accept`, `connect [PORT]`, `write N [more]`,
//! `sendto N`, `read N`, `peek N`, `shutdown rd|wr|rdwr`, `close`, `abort`, `nonblocking`,
//! `set OPTION VALUE`, `get OPTION = VALUE`, `ready EVENT…`, `state NAME`, `use FD`.
//!
//! What no script needs to say is checked anyway: lengths, checksums, addresses, that payload is
//! what was written, and that nothing more was sent.

mod call;
mod cursor;
mod flow;
mod host;
mod parse;
mod run;
mod segment;
mod shell;
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
fn try_script(text: &str) -> Result<(), String> {
    let mut script = Script::parse(text)?;
    let rules = Rules::take(&mut script.settings)?;
    let mut endpoint = Endpoint::new(&script.settings)?;
    run(&script, rules, &mut endpoint)
}
