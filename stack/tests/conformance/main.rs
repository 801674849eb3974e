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

#[path = "../scenarios/igmp/bench.rs"]
#[allow(dead_code)]
mod igmp_bench;

#[path = "../scenarios/tcp_bench.rs"]
#[allow(dead_code)]
mod tcp_bench;

mod congestion;
mod conn;
mod host;
mod path;
mod segment;
mod states;

mod talk;

mod rfc1122_udp;
mod rfc1191;
mod rfc1337;
mod rfc2018;
mod rfc2236;
mod rfc2861;
mod rfc2883;
mod rfc3042;
mod rfc3168;
mod rfc3376;
mod rfc3465;
mod rfc3522;
mod rfc4015;
mod rfc4821;
mod rfc4987;
mod rfc5482;
mod rfc5681;
mod rfc5682;
mod rfc5927;
mod rfc5961;
mod rfc6056;
mod rfc6093;
mod rfc6191;
mod rfc6298;
mod rfc6528;
mod rfc6582;
mod rfc6675;
mod rfc6691;
mod rfc6928;
mod rfc7323;
mod rfc7323_paws;
mod rfc7661;
mod rfc768;
mod rfc8899;
mod rfc8985;
mod rfc9293;
mod rfc9406;
mod rfc9438;
mod rfc9937;

use table::Group;

/// Every group, in the order of `CONFORMANCE.md`.
const TABLE: &[Group] = &[
    rfc9293::header::GROUP,
    rfc9293::options::GROUP,
    rfc9293::sequence::GROUP,
    rfc9293::checksum::GROUP,
    rfc9293::mss::GROUP,
    rfc9293::isn::GROUP,
    rfc9293::opening::GROUP,
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
    rfc5681::GROUP,
    rfc6582::GROUP,
    rfc3042::GROUP,
    rfc6928::GROUP,
    rfc3465::GROUP,
    rfc2861::GROUP,
    rfc7661::GROUP,
    rfc3168::GROUP,
    rfc2018::GROUP,
    rfc2883::GROUP,
    rfc6675::GROUP,
    rfc8985::GROUP,
    rfc9937::GROUP,
    rfc5682::GROUP,
    rfc3522::GROUP,
    rfc4015::GROUP,
    rfc7323::GROUP,
    rfc7323_paws::GROUP,
    rfc6691::GROUP,
    rfc9438::GROUP,
    rfc9406::GROUP,
    rfc4987::GROUP,
    rfc6528::GROUP,
    rfc6056::GROUP,
    rfc4821::GROUP,
    rfc1191::GROUP,
    rfc8899::GROUP,
    rfc768::GROUP,
    rfc1122_udp::GROUP,
    rfc2236::GROUP,
    rfc3376::GROUP,
];
