//! How connections of the scripts begin.

use crate::harness::script;

/// An accepted connection without window scale, SACK and timestamps, 100 ms after the SYN.
pub const ACCEPTED: &str = "
    0     socket tcp ; bind 8080 ; listen 1
    +0    < S 0:0(0) win 65535 <mss 1000>
    +0    > S. 0:0(0) ack 1 win 64240 <mss 1460>
    +.1   < . 1:1(0) ack 1 win 65535
    +0    accept(3, ..., ...) = 4
";

/// The same with SACK.
pub const WITH_SACK: &str = "
    0     socket tcp ; bind 8080 ; listen 1
    +0    < S 0:0(0) win 65535 <mss 1000,sackOK,nop,nop>
    +0    > S. 0:0(0) ack 1 win 64240 <mss 1460,nop,nop,sackOK>
    +.1   < . 1:1(0) ack 1 win 65535
    +0    accept(3, ..., ...) = 4
";

/// Goes on from a start.
#[track_caller]
pub fn after(start: &str, rest: &str) {
    script(&format!("{start}\n{rest}"));
}

/// Goes on from [`ACCEPTED`].
#[track_caller]
pub fn after_accept(rest: &str) {
    after(ACCEPTED, rest);
}
