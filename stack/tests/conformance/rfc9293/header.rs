//! The fixed header, on the wire.

use core::net::Ipv4Addr;

use tapping_stack::wire::ipv4::pseudo_header_sum;
use tapping_stack::wire::tcp::{self, HEADER_LEN};
use tapping_stack::wire::{Protocol, SeqNumber, Tcp, TcpFlags, TcpOptionsRepr, TcpRepr};

conformance! {
    "RFC 9293", "Header format (§3.1)";

    Rule "RFC9293-3.1-layout" "3.1" "The fields have their places in 20 bytes, in network order."
        => fields_have_their_places;
    Rule "RFC9293-3.1-offset" "3.1" "The data offset counts words of 32 bits and says where the data begins; one that cannot be is refused."
        => the_data_offset_says_where_data_begins;
    Must "RFC9293-3.1-reserved" "3.1" "Reserved bits are sent as zero and not looked at when received."
        => reserved_bits_are_zero_and_ignored;
    Must "RFC9293-MUST-1" "3.1" "The window is an unsigned number."
        => the_window_is_unsigned;
    Rule "RFC9293-3.1-pseudo" "3.1" "The checksum covers a pseudo-header of addresses, protocol and length, so that a segment gone astray is noticed."
        => the_checksum_covers_the_pseudo_header;
    Rule "RFC9293-3.1-odd" "3.1" "A segment of odd length is summed as if a zero byte followed it, which is not sent."
        => an_odd_last_byte_is_summed_with_a_zero;
}

const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const B: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

fn repr() -> TcpRepr<'static> {
    TcpRepr {
        src_port: 0x1122,
        dst_port: 0x3344,
        seq: SeqNumber(0x5566_7788),
        ack: SeqNumber(0x99aa_bbcc),
        flags: TcpFlags::ACK | TcpFlags::PSH,
        window: 0xddee,
        urgent: 0x0102,
        options: TcpOptionsRepr::default(),
    }
}

fn emit(repr: &TcpRepr<'_>, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff; repr.header_len()];
    repr.emit(&mut bytes);
    bytes.extend_from_slice(data);
    bytes
}

fn fields_have_their_places() {
    let bytes = emit(&repr(), b"");
    let expected = [
        0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0x50, 0x18, 0xdd,
        0xee, 0, 0, 0x01, 0x02,
    ];
    assert_eq!(bytes, expected);
    let tcp = Tcp::parse(&bytes).unwrap();
    assert_eq!((tcp.src_port(), tcp.dst_port()), (0x1122, 0x3344));
    assert_eq!((tcp.seq(), tcp.ack()), (repr().seq, repr().ack));
    assert_eq!((tcp.flags(), tcp.window(), tcp.urgent()), (repr().flags, 0xddee, 0x0102));
}

fn the_data_offset_says_where_data_begins() {
    for words in 0..16usize {
        let mut bytes = vec![0; 64];
        bytes[12] = (words as u8) << 4;
        let parsed = Tcp::parse(&bytes).map(|tcp| (tcp.options().len(), tcp.payload().len()));
        if words < 5 {
            assert!(parsed.is_err(), "{words} words are less than the fixed header");
        } else {
            assert_eq!(parsed, Ok((4 * words - HEADER_LEN, 64 - 4 * words)));
            assert!(Tcp::parse(&bytes[..4 * words - 1]).is_err(), "{words} words are not there");
        }
    }
}

fn reserved_bits_are_zero_and_ignored() {
    let every = TcpRepr { flags: TcpFlags::from_bits_retain(0xffff), ..repr() };
    let mut bytes = emit(&every, b"");
    assert_eq!(bytes[12] & 0x0e, 0);
    let before = Tcp::parse(&bytes).unwrap().flags();
    bytes[12] |= 0x0e;
    let after = Tcp::parse(&bytes).unwrap();
    assert_eq!((after.flags(), after.header_len()), (before, HEADER_LEN));
}

fn the_window_is_unsigned() {
    for window in [0, 1, 0x7fff, 0x8000, 0xffff] {
        let bytes = emit(&TcpRepr { window, ..repr() }, b"");
        assert_eq!(u32::from(Tcp::parse(&bytes).unwrap().window()), u32::from(window));
    }
}

fn the_checksum_covers_the_pseudo_header() {
    let mut bytes = emit(&repr(), b"data");
    let len = bytes.len() as u16;
    tcp::fill_checksum(&mut bytes, pseudo_header_sum(A, B, Protocol::TCP, len));
    let verify = |src, dst, protocol, len| {
        Tcp::parse(&bytes).unwrap().verify_checksum(pseudo_header_sum(src, dst, protocol, len))
    };
    assert!(verify(A, B, Protocol::TCP, len));
    assert!(verify(B, A, Protocol::TCP, len), "a sum does not know the order of its words");
    assert!(!verify(A, Ipv4Addr::new(198, 51, 100, 3), Protocol::TCP, len));
    assert!(!verify(Ipv4Addr::new(192, 0, 2, 2), B, Protocol::TCP, len));
    assert!(!verify(A, B, Protocol::UDP, len));
    assert!(!verify(A, B, Protocol::TCP, len + 1));
}

fn an_odd_last_byte_is_summed_with_a_zero() {
    let mut odd = emit(&repr(), b"abc");
    let len = odd.len() as u16;
    let pseudo = pseudo_header_sum(A, B, Protocol::TCP, len);
    tcp::fill_checksum(&mut odd, pseudo);
    assert_eq!(odd.len(), HEADER_LEN + 3, "nothing is appended");
    let mut even = emit(&repr(), b"abc\0");
    tcp::fill_checksum(&mut even, pseudo);
    assert_eq!(odd[..], even[..odd.len()]);
}
