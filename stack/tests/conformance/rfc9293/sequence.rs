//! Sequence numbers.

use tapping_stack::wire::{SeqNumber, Tcp, TcpFlags, TcpOptionsRepr, TcpRepr};

conformance! {
    "RFC 9293", "Sequence numbers (§3.4)";

    Must "RFC9293-3.4-modulo" "3.4" "Sequence numbers are added and subtracted modulo 2³²."
        => arithmetic_is_modulo_2_32;
    Must "RFC9293-3.4-compare" "3.4" "Numbers are compared by the shorter way round, also across the wrap."
        => comparison_goes_the_shorter_way;
    Rule "RFC9293-3.4-len" "3.4" "SYN and FIN take one number each beside the data."
        => syn_and_fin_take_a_number_each;
}

const EDGES: [u32; 8] =
    [0, 1, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_fffe, 0xffff_ffff, 0x1234_5678];

fn arithmetic_is_modulo_2_32() {
    for start in EDGES {
        for step in EDGES {
            let end = SeqNumber(start) + step;
            let sum = (u64::from(start) + u64::from(step)) % (1 << 32);
            assert_eq!(u64::from(end.0), sum);
            assert_eq!(end - step, SeqNumber(start));
            assert_eq!(end.since(SeqNumber(start)), step);
        }
    }
}

fn comparison_goes_the_shorter_way() {
    for start in EDGES.map(SeqNumber) {
        assert!(start.le(start) && start.ge(start) && !start.lt(start) && !start.gt(start));
        for step in [1, 2, 1000, 0x7fff_ffff] {
            let later = start + step;
            assert!(start.lt(later) && start.le(later), "{start} comes before {later}");
            assert!(later.gt(start) && later.ge(start) && !later.le(start));
            assert_eq!((start.later(later), start.earlier(later)), (later, start));
        }
    }
    // The window may lie across the wrap.
    let window = SeqNumber(0xffff_fff0);
    for (offset, inside) in [(0, true), (15, true), (16, true), (31, true), (32, false)] {
        assert_eq!((window + offset).in_window(window, 32), inside, "offset {offset}");
    }
    assert!(!(window - 1).in_window(window, 32));
}

fn syn_and_fin_take_a_number_each() {
    for (flags, expected) in [
        (TcpFlags::ACK, 4),
        (TcpFlags::ACK | TcpFlags::RST, 4),
        (TcpFlags::SYN, 5),
        (TcpFlags::FIN | TcpFlags::ACK, 5),
        (TcpFlags::SYN | TcpFlags::FIN, 6),
    ] {
        let repr = TcpRepr {
            src_port: 1,
            dst_port: 2,
            seq: SeqNumber(3),
            ack: SeqNumber(4),
            flags,
            window: 5,
            urgent: 0,
            options: TcpOptionsRepr { timestamps: Some((1, 2)), ..Default::default() },
        };
        let mut bytes = vec![0; repr.header_len() + 4];
        repr.emit(&mut bytes);
        assert_eq!(Tcp::parse(&bytes).unwrap().segment_len(), expected, "{flags:?}");
    }
}
