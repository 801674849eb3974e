//! The socket API on TCP: every call in every state, as Linux answers it (connect(2), accept(2),
//! bind(2), listen(2), send(2), recv(2), shutdown(2), poll(2), socket(7), tcp(7)).

mod accepting;
mod binding;
mod calls;
mod ending;
mod ip_options;
mod memory;
mod options;
mod queues;
mod readiness;

pub use crate::tcp_bench::*;
