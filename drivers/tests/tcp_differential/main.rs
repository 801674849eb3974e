//! The stack's TCP beside the kernel's: the same socket calls and the same injected packets, and
//! what comes out must be the same.
//!
//! A scenario is a script as those of the stack's own tests, without what is expected. It runs
//! first against the kernel, in real time: each scenario has a network namespace with a TAP
//! interface, the script is the host on its wire. Then it runs against a stack, in virtual time,
//! where each event happens when it happened to the kernel, so that it does not matter how late a
//! busy machine was. What is compared, between one event and the next: what calls return, and of
//! each packet the control bits, relative numbers, payload, window, urgent pointer, options and
//! their order, echoed timestamp, TTL, TOS, ECN, don't-fragment bit and the rule by which the
//! identifier is chosen. When a packet came counts only as being before or after the next event.
//!
//! Where both differ for good reason, [`known`] says why; then they must differ.

#![allow(clippy::needless_pass_by_value)]

mod calls;
mod closing;
mod compare;
mod errors;
mod handshake;
mod kernel;
mod known;
mod receiving;
mod record;
mod recovery;
mod robustness;
mod sending;
mod timers;

/// The scripts of the stack's own tests.
#[allow(dead_code)]
#[path = "../../../stack/tests/script/harness"]
mod harness {
    #[path = "call.rs"]
    pub mod call;
    #[path = "cursor.rs"]
    pub mod cursor;
    #[path = "flow.rs"]
    pub mod flow;
    #[path = "host.rs"]
    pub mod host;
    #[path = "parse.rs"]
    pub mod parse;
    #[path = "segment.rs"]
    pub mod segment;
    #[path = "shell.rs"]
    pub mod shell;
    #[path = "stack.rs"]
    pub mod stack;
}

macro_rules! groups {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            tapping_drivers::testing::in_namespace(|| compare::compare($name::scenarios()));
        })*
    };
}

groups! {
    calls
    closing
    errors
    handshake
    receiving
    recovery
    robustness
    sending
    timers
}
