//! The stack and the command among programs that others wrote: iputils' ping and arping, traceroute,
//! tshark, iproute2, and the kernel's own IPv4 as the reference for what a host answers.
//!
//! `cargo test -p tapping --features interop --test interop`. Each test has a network namespace of
//! its own. A program that is missing fails the test and says which package has it.

mod common;

mod interop {
    mod beside;
    mod captures;
    mod conformance;
    mod frames;
    mod kernel_tools;
    mod prober;
    mod tools_beside;
    mod world;
}
