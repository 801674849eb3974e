//! RFC 6093, on the implementation of urgent data.

use tapping_stack::{SocketError, TcpState};

use crate::talk::*;

conformance! {
    "RFC 6093", "Urgent data";

    Should "RFC6093-4-inline" "4" "Urgent data is delivered in line."
        deviation "With SO_OOBINLINE only; without it the last byte is taken out, as Linux does by default."
        => urgent_data_is_delivered_in_line_on_demand;
    Linux "RFC6093-3.2-semantics" "3.1" "The pointer is taken to name the byte behind the urgent one."
        => the_byte_before_the_pointer_is_urgent;
    Rule "RFC6093-3.4-pointer" "3.4" "A pointer that is nonsense does no harm."
        => a_nonsense_pointer_does_no_harm;
}

fn urgent_data_is_delivered_in_line_on_demand() {
    let all = |inline: bool, read_between: bool| {
        let mut t = Talk::passive(Setup::default());
        t.set(|options| options.oob_inline = inline);
        let mut read = 0;
        for n in 1..100u16 {
            // Within the segment, before it or behind it.
            let seg = Seg { flags: ACK | URG, urg: n % 12, ..t.data(10) };
            t.inject(seg);
            if read_between {
                read += t.drain();
            }
        }
        read + t.drain()
    };
    assert_eq!((all(true, true), all(true, false)), (990, 990));
    // A newer mark takes the place of one that has not been reached. Eight pointers name the first
    // byte of the next segment, whose own pointer does the same.
    assert_eq!(all(false, false), 990 - 2);
    assert_eq!(all(false, true), 990 - (99 - 8));
}

/// Linux `tcp_stdurg` = 0; a pointer of 0 and one of 1 are the same.
fn the_byte_before_the_pointer_is_urgent() {
    for (pointer, before) in [(0, 0), (1, 0), (5, 4), (10, 9)] {
        let mut t = Talk::passive(Setup::default());
        let seg = Seg { flags: ACK | URG, urg: pointer, ..t.data(10) };
        t.inject(seg);
        if before > 0 {
            assert_eq!(t.try_read(100), Ok(before));
        }
        assert_eq!(t.stack.is_at_mark(t.conn), Ok(true));
        assert_eq!(t.stack.receive_urgent(t.conn), Ok(Some(bytes(before as u32 + 1, 1)[0])));
        let left = 9 - before;
        match left {
            0 => assert_eq!(t.try_read(100), Err(SocketError::WouldBlock)),
            _ => assert_eq!(t.try_read(100), Ok(left)),
        }
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
    // Each mark was overtaken before it was reached, but for one.
    assert_eq!(t.drain(), 6 * 2 * 101 - 1);
    // Before the window, behind it, and out of order.
    for seq in [0, 500, t.peer_nxt + 1000, t.peer_nxt + 100_000] {
        let seg = Seg { flags: ACK | URG, urg: 65_535, ..t.data_at(seq.max(1), 10) };
        let next = t.peer_nxt;
        t.inject(seg);
        t.peer_nxt = next;
    }
    let seg = t.data(1500);
    t.inject(seg);
    assert!((1498..=1500).contains(&t.drain()));
    assert_eq!(t.state(), TcpState::Established);
}
