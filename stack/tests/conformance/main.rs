//! What the RFCs ask for, statement by statement, and the test that proves each.
//!
//! Every module holds a group of statements: a table made with [`conformance!`](table), and below
//! it one function for each row. The table is what runs them, and `CONFORMANCE.md` at the root of
//! the repository is written from it by
//!
//! ```sh
//! UPDATE_CONFORMANCE=1 cargo test -p tapping-stack --test conformance conformance_md
//! ```
#[macro_use]
mod table;

mod report;

#[path = "../scenarios/lab/mod.rs"]
#[allow(dead_code, unused_imports)]
mod lab;

mod congestion;
mod conn;
mod host;
mod path;
mod segment;
mod states;
mod talk;

mod rfc1122_udp;
mod rfc1337;
mod rfc2018;
mod rfc2883;
mod rfc5482;
mod rfc5927;
mod rfc5961;
mod rfc6093;
mod rfc6191;
mod rfc6298;
mod rfc6675;
mod rfc6691;
mod rfc7323;
mod rfc7323_paws;
mod rfc768;
mod rfc8985;
mod rfc9293;
mod rfc9406;
mod rfc9438;

use table::Group;

/// Every group, in the order of `CONFORMANCE.md`.
const TABLE: &[Group] = &[
    rfc9293::header::GROUP,
    rfc9293::options::GROUP,
    rfc9293::sequence::GROUP,
    rfc9293::listen::GROUP,
    rfc9293::acceptable::GROUP,
    rfc9293::acks::GROUP,
    rfc9293::reset::GROUP,
    rfc9293::closing::GROUP,
    rfc9293::aborting::GROUP,
    rfc1337::GROUP,
    rfc6191::GROUP,
    rfc5961::GROUP,
    rfc5927::GROUP,
    rfc9293::push::GROUP,
    rfc9293::send_window::GROUP,
    rfc9293::receive_window::GROUP,
    rfc9293::delayed_ack::GROUP,
    rfc9293::failures::GROUP,
    rfc9293::keepalive::GROUP,
    rfc9293::urgent::GROUP,
    rfc9293::icmp::GROUP,
    rfc9293::interface::GROUP,
    rfc5482::GROUP,
    rfc6093::GROUP,
    rfc6298::GROUP,
    rfc2018::GROUP,
    rfc2883::GROUP,
    rfc6675::GROUP,
    rfc8985::GROUP,
    rfc7323::GROUP,
    rfc7323_paws::GROUP,
    rfc6691::GROUP,
    rfc9438::GROUP,
    rfc9406::GROUP,
    rfc768::GROUP,
    rfc1122_udp::GROUP,
];
