//! RFC 6093, on the implementation of urgent data.

use tapping_stack::TcpState;

use crate::talk::*;

conformance! {
    "RFC 6093", "Urgent data";

    Should "RFC6093-4-inline" "4" "Urgent data is delivered in line."
        => urgent_data_is_delivered_in_line;
    Rule "RFC6093-3.4-pointer" "3.4" "A pointer that is nonsense does no harm."
        => a_nonsense_pointer_does_no_harm;
}

/// Whatever the socket says of it (`SO_OOBINLINE`).
fn urgent_data_is_delivered_in_line() {
    for inline in [false, true] {
        let mut t = Talk::passive(Setup::default());
        t.set(|options| options.oob_inline = inline);
        for n in 1..100u16 {
            let seg = Seg { flags: ACK | URG, urg: n % 12, ..t.data(10) };
            t.inject(seg);
        }
        assert_eq!(t.read_all(), 990);
    }
}

fn a_nonsense_pointer_does_no_harm() {
    let mut t = Talk::passive(Setup::default());
    for pointer in [0, 1, 2, 0x7fff, 0x8000, 65_535] {
        for len in [0, 1, 100] {
            let seg = Seg { flags: ACK | URG, urg: pointer, ..t.data(len) };
            t.inject(seg);
            // Without URG the field says nothing.
            let seg = Seg { flags: ACK, urg: pointer, ..t.data(len) };
            t.inject(seg);
        }
    }
    assert_eq!(t.read_all(), 6 * 2 * 101);
    // Before the window, behind it, and out of order.
    for seq in [0, 500, t.peer_nxt + 1000, t.peer_nxt + 100_000] {
        let seg = Seg { flags: ACK | URG, urg: 65_535, ..t.data_at(seq.max(1), 10) };
        let next = t.peer_nxt;
        t.inject(seg);
        t.peer_nxt = next;
    }
    let seg = t.data(1500);
    t.inject(seg);
    assert_eq!(t.read_all(), 1500);
    assert_eq!(t.state(), TcpState::Established);
}
