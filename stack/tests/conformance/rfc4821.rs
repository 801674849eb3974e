//! RFC 4821, the path MTU without what routers say.

use tapping_stack::{SocketError, SocketId};

use crate::tcp_bench::*;

conformance! {
    "RFC 4821", "Path MTU by probing";

    Rule "RFC4821-5-search-low" "7.2" "After timeouts that smell of a black hole the segment size falls to base_mss."
        => a_black_hole_lowers_the_size;
    Should "RFC4821-7.3-probe" "7.3" "With probing on larger sizes are tried with data."
        deviation "Sizes are lowered where segments vanish and follow ICMP otherwise, which is what Linux does by default; nothing is sent to find out whether more would fit."
        => no_larger_size_is_tried;
    MustNot "RFC4821-7.6.2-loss" "7.6.2" "The loss of a probe lowers no window."
        not_applicable "There are no probes.";
    Should "RFC4821-7.5-reprobe" "7.7" "After ten minutes a larger size is tried again."
        not_applicable "There are no probes.";
    Rule "RFC4821-7.6.1-raise" "7.6.1" "A probe that arrives raises the size."
        not_applicable "There are no probes.";
}

/// A connection over a path that swallows what is longer than `limit` bytes of payload: sends
/// 20 kB for up to an hour. Returns how much arrived and how long the segments were at the end.
fn through_a_black_hole(probing: bool, limit: usize) -> (usize, usize, Wire, SocketId) {
    let mut wire = Wire::with(config(|tcp| tcp.mtu_probing = probing));
    let (_, socket, mut peer) = wire.accepted(80);
    let (mut written, mut got, mut longest) = (0, 0, 0);
    for _ in 0..36_000 {
        if written < 20_000 {
            written += wire.send(socket, &vec![7; 20_000 - written]).unwrap_or(0);
        }
        let heard = wire.pass(millis(100));
        let through: Vec<Seg> =
            heard.into_iter().filter(|seg| (1..=limit).contains(&seg.payload.len())).collect();
        if !through.is_empty() {
            longest = through.iter().map(|seg| seg.payload.len()).max().unwrap_or(0);
            got += peer.hear(&through).len();
            wire.lab.inject_ip(wire.tester, wire.host, wire.link, &peer.ack().build());
        }
        if got == 20_000 {
            break;
        }
    }
    (got, longest, wire, socket)
}

fn a_black_hole_lowers_the_size() {
    let (got, longest, wire, _) = through_a_black_hole(true, 1200);
    assert_eq!((got, longest), (20_000, 1024), "tcp_base_mss");
    assert!(wire.ext().tcp_mtup_fail >= 1);
    // Narrower still: it is halved.
    let (got, longest, ..) = through_a_black_hole(true, 600);
    assert_eq!((got, longest), (20_000, 512));
    // Without, as by default, the connection fails.
    let (got, _, mut wire, socket) = through_a_black_hole(false, 1200);
    assert!(got < 20_000);
    assert_eq!(wire.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
}

fn no_larger_size_is_tried() {
    let (got, _, mut wire, socket) = through_a_black_hole(true, 1200);
    assert_eq!(got, 20_000);
    wire.pass(secs(1000));
    wire.send(socket, &[7; 10_000]).expect("room");
    let heard = wire.heard();
    assert!(!heard.is_empty() && heard.iter().all(|seg| seg.payload.len() <= 1024));
}
