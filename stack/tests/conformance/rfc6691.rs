//! RFC 6691: options and the maximum segment size.

use crate::talk::*;

conformance! {
    "RFC 6691", "Options and segment size";

    Should "RFC6691-2-announce" "2" "The size announced leaves no room for options."
        => the_announced_size_ignores_options;
    Must "RFC6691-2-sent" "2" "What is sent leaves room for the options it has."
        => data_leaves_room_for_options;
    Must "RFC6691-2-ip" "2" "And for IP options."
        not_applicable "Segments carry no IP options.";
}

fn the_announced_size_ignores_options() {
    for mtu in [576, 1500, 9000] {
        for ts in [false, true] {
            let setup = Setup { mtu, ts, sack: true, ..Setup::default() };
            let announced = Some(mtu as u16 - 40);
            assert_eq!(Talk::passive(setup.clone()).first.mss, announced);
            assert_eq!(Talk::connecting(setup).first.mss, announced);
        }
    }
}

fn data_leaves_room_for_options() {
    let plain = Talk::passive(Setup::default()).sent(5000);
    assert_eq!((plain[0].len(), plain[0].wire_len), (1460, 1500));
    let stamped = Talk::passive(Setup::modern()).sent(5000);
    assert_eq!((stamped[0].len(), stamped[0].wire_len), (1448, 1500));
    // A peer that takes less than the path does: its size counts the data and the options.
    let small = Talk::passive(Setup { mss: Some(1000), ..Setup::modern() }).sent(5000);
    assert_eq!((small[0].len(), small[0].wire_len), (988, 1040));
    // With blocks of SACK, one to three beside timestamps.
    let mut t = Talk::passive(Setup::modern());
    for blocks in 1..=4u32 {
        let gap = t.data_at(1 + 2000 * blocks, 100);
        t.inject(gap);
        t.heard();
        let sent = t.sent(3000);
        let carried = blocks.min(3) as usize;
        assert_eq!(sent[0].sack.len(), carried);
        assert_eq!(sent[0].len(), 1448 - 4 - 8 * carried);
        assert!(sent.iter().all(|seg| seg.wire_len <= 1500), "the path's MTU");
        let ack = Seg { seq: 1, ..t.seg() };
        t.inject(ack);
        t.heard();
    }
    // None of them any more: full segments again.
    let fill = t.data_at(1, 10_000);
    t.inject(fill);
    let seg = t.data_at(10_001, 1);
    t.inject(seg);
    t.heard();
    assert_eq!(t.sent(3000)[0].len(), 1448);
}
