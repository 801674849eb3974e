//! Initial sequence numbers.

use std::collections::HashSet;

use tapping_stack::time::Duration;
use tapping_stack::wire::SeqNumber;

use crate::segment::*;
use crate::states::*;

conformance! {
    "RFC 9293", "Initial sequence numbers (§3.4.1)";

    Must "RFC9293-MUST-8" "3.4.1" "Initial numbers come from a clock that ticks every 4 microseconds or so."
        => isn_moves_with_the_clock;
    Should "RFC9293-SHLD-1" "3.4.1" "A keyed function of addresses and ports is added to the clock."
        => isn_is_keyed_by_the_connection;
    MustNot "RFC9293-MUST-9" "3.4.1" "Nobody outside can compute the function."
        => isn_needs_the_secret;
}

/// The initial number of the answer to a SYN from this port, which is forgotten again.
fn isn(conn: &mut Conn, port: u16) -> SeqNumber {
    conn.remote = port;
    conn.rcv_nxt = SeqNumber(conn.setup.irs);
    conn.snd_nxt = SeqNumber(0);
    conn.shake(true);
    let reset = conn.seg(RST);
    conn.quietly(&reset);
    conn.iss
}

/// The clock is Linux's, of 64 ns: the number comes round in 4.6 minutes, and not faster than two
/// minutes of segment lifetime allow.
fn isn_moves_with_the_clock() {
    let mut conn = Conn::listen(Setup::plain());
    let start = isn(&mut conn, 4000);
    let mut passed = 0u64;
    for step in [64, 64_000, 1_000_000, 1_000_000_000, 60_000_000_000, 200_000_000_000] {
        conn.pass(Duration::from_nanos(step));
        passed += step;
        let ticks = isn(&mut conn, 4000).since(start);
        assert_eq!(ticks, (passed / 64) as u32, "after {passed} ns");
    }
}

fn isn_is_keyed_by_the_connection() {
    let mut conn = Conn::listen(Setup::plain());
    let numbers: Vec<u32> = (4000..4100).map(|port| isn(&mut conn, port).0).collect();
    let distinct: HashSet<u32> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len());
    // Neighbouring ports are nothing like neighbours: no step comes twice.
    let steps: HashSet<u32> = numbers.windows(2).map(|two| two[1].wrapping_sub(two[0])).collect();
    assert_eq!(steps.len(), numbers.len() - 1);
    // They fill the whole range: every bit is set in about half of them.
    for bit in 0..32 {
        let set = numbers.iter().filter(|number| *number >> bit & 1 == 1).count();
        assert!((20..=80).contains(&set), "bit {bit}: {set} of 100");
    }
}

fn isn_needs_the_secret() {
    let numbers = |seed: u64| -> Vec<u32> {
        let mut conn = Conn::listen(Setup { seed, ..Setup::plain() });
        (4000..4008).map(|port| isn(&mut conn, port).0).collect()
    };
    let all: Vec<Vec<u32>> = (1..40).map(numbers).collect();
    let first: HashSet<u32> = all.iter().map(|numbers| numbers[0]).collect();
    assert_eq!(first.len(), all.len(), "other secrets, other numbers");
    // What two connections differ by says nothing about two of another host.
    let offsets: HashSet<u32> =
        all.iter().map(|numbers| numbers[1].wrapping_sub(numbers[0])).collect();
    assert_eq!(offsets.len(), all.len());
    assert_eq!(numbers(7), numbers(7), "and the same secret gives the same");
}
