//! RFC 768, User Datagram Protocol.

use core::net::Ipv4Addr;

use tapping_stack::SocketError;
use tapping_stack::socket::PacketInfo;
use tapping_stack::stats::DropReason;
use tapping_stack::wire::ipv4::pseudo_header_sum;
use tapping_stack::wire::{Checksum, Protocol, Udp, UdpRepr, udp};

use crate::host::{self, Bench, PEER, US};
use crate::lab::*;

conformance! {
    "RFC 768", "User datagrams";

    Rule "RFC768-format" "Format" "Ports, length and checksum have their places in 8 bytes, in network order."
        => fields_have_their_places;
    Rule "RFC768-length" "Fields" "The length counts header and data; it is at least 8, and what is behind it is not data."
        => the_length_bounds_the_datagram;
    Rule "RFC768-pseudo" "Fields" "The checksum covers a pseudo-header of addresses, protocol and length."
        => the_checksum_covers_the_pseudo_header;
    Rule "RFC768-zero-sent" "Fields" "A checksum that comes to zero is sent as all ones."
        => a_zero_checksum_is_sent_as_ones;
    Rule "RFC768-zero-received" "Fields" "A checksum of zero means that the sender made none."
        => a_received_zero_is_no_checksum;
    Rule "RFC768-source-zero" "Fields" "A source port of zero means that there is none; the datagram is taken all the same."
        => a_source_port_of_zero_is_taken;
    Rule "RFC768-empty" "Fields" "A datagram may be empty, in both directions."
        => a_datagram_may_be_empty;
    Rule "RFC768-longest" "Fields" "The longest datagram has 65507 bytes of data; more is refused."
        => the_longest_datagram;
    Linux "RFC768-queue" "Interface" "What a receiver has not read is bounded in bytes; what does not fit is dropped and counted."
        => the_receive_queue_is_bounded;
}

const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const B: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

fn pseudo(len: usize) -> Checksum {
    pseudo_header_sum(A, B, Protocol::UDP, len as u16)
}

fn datagram(data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff; udp::HEADER_LEN];
    let len = (udp::HEADER_LEN + data.len()) as u16;
    UdpRepr { src_port: 0x0102, dst_port: 0x0304, len }.emit(&mut bytes);
    bytes.extend_from_slice(data);
    bytes
}

fn fields_have_their_places() {
    let bytes = datagram(b"hi");
    assert_eq!(bytes, [1, 2, 3, 4, 0, 10, 0, 0, b'h', b'i']);
    let udp = Udp::parse(&bytes).unwrap();
    assert_eq!((udp.src_port(), udp.dst_port(), udp.len()), (0x0102, 0x0304, 10));
    assert_eq!(udp.payload(), b"hi");
}

fn the_length_bounds_the_datagram() {
    let whole = datagram(b"0123456789");
    for len in 0..=u16::MAX {
        let mut bytes = whole.clone();
        bytes[4..6].copy_from_slice(&len.to_be_bytes());
        let payload = Udp::parse(&bytes).map(|udp| udp.payload().to_vec());
        match len {
            8..=18 => assert_eq!(payload, Ok(b"0123456789"[..usize::from(len) - 8].to_vec())),
            _ => assert!(payload.is_err(), "a length of {len} in 18 bytes"),
        }
    }
    // Nor does a receiver see what is behind it.
    let mut bench = Bench::new();
    let socket = bench.udp(US, 9);
    let mut packet = host::datagram(US, 9, b"data");
    packet.payload.extend_from_slice(b"and more");
    bench.inject_quietly(&packet);
    assert_eq!(bench.received(socket), [b"data"]);
}

fn the_checksum_covers_the_pseudo_header() {
    let mut bytes = datagram(b"data");
    let len = bytes.len() as u16;
    udp::fill_checksum(&mut bytes, pseudo(usize::from(len)));
    let verify = |src, dst, protocol, len| {
        Udp::parse(&bytes).unwrap().verify_checksum(pseudo_header_sum(src, dst, protocol, len))
    };
    assert!(verify(A, B, Protocol::UDP, len));
    assert!(!verify(A, Ipv4Addr::new(198, 51, 100, 3), Protocol::UDP, len));
    assert!(!verify(Ipv4Addr::new(192, 0, 2, 2), B, Protocol::UDP, len));
    assert!(!verify(A, B, Protocol::TCP, len));
    assert!(!verify(A, B, Protocol::UDP, len + 1));
}

/// Searches two bytes of data that make the sum come to zero.
fn a_zero_checksum_is_sent_as_ones() {
    let mut zeros = 0;
    for word in 0..=u16::MAX {
        let mut bytes = datagram(&word.to_be_bytes());
        let sum = pseudo(bytes.len()).add(&bytes).finish();
        udp::fill_checksum(&mut bytes, pseudo(10));
        let sent = Udp::parse(&bytes).unwrap().checksum();
        assert_eq!(sent, if sum == 0 { 0xffff } else { sum });
        assert!(Udp::parse(&bytes).unwrap().verify_checksum(pseudo(10)));
        zeros += usize::from(sum == 0);
    }
    assert!(zeros > 0, "some data makes it zero");
}

fn a_received_zero_is_no_checksum() {
    let mut bytes = datagram(b"data");
    assert_eq!(Udp::parse(&bytes).unwrap().checksum(), 0);
    assert!(Udp::parse(&bytes).unwrap().verify_checksum(pseudo(12)));
    assert!(Udp::parse(&bytes).unwrap().verify_checksum(pseudo(999)), "whatever it would be");
    bytes[7] = 1;
    assert!(!Udp::parse(&bytes).unwrap().verify_checksum(pseudo(12)));
}

fn a_source_port_of_zero_is_taken() {
    let mut bench = Bench::new();
    let socket = bench.udp(US, 9);
    bench.inject_quietly(&Ip::udp(PEER, US, 0, 9, b"no answer"));
    let packet = bench.received_one(socket);
    assert_eq!(packet.bytes(), b"no answer");
    assert_eq!(PacketInfo::of(&packet).unwrap().source, (PEER, 0).into());
}

fn a_datagram_may_be_empty() {
    let mut bench = Bench::new();
    let socket = bench.udp(US, 9);
    let sent = bench.sent_to(socket, PEER, b"");
    assert_eq!((udp_in(&sent).len(), ipv4(&sent).payload().len()), (8, 8));
    bench.inject_quietly(&host::datagram(US, 9, b""));
    assert_eq!(bench.received(socket), [b""]);
}

/// From one socket of the host to another, so that it is fragmented nowhere.
fn the_longest_datagram() {
    let mut bench = Bench::new();
    let (from, to) = (bench.udp(US, 9), bench.udp(US, 10));
    let longest = vec![0x5a; 65_507];
    assert_eq!(bench.send_to(from, (US, 10), &longest), Ok(()));
    assert_eq!(bench.received(to), [longest]);
    let refused = bench.send_to(from, (US, 10), &vec![0x5a; 65_508]);
    assert_eq!(refused, Err(SocketError::MessageTooLong));
}

fn the_receive_queue_is_bounded() {
    let mut bench = Bench::new();
    let socket = bench.udp(US, 9);
    let limit = 20_000;
    bench.stack().socket_options(socket).unwrap().receive_buffer = limit;
    for n in 0..100u8 {
        bench.inject_quietly(&host::datagram(US, 9, &[n; 1000]));
    }
    let drops = bench.lab.drops(bench.host).len();
    let received = bench.received(socket);
    assert_eq!(received.len() + drops, 100);
    assert!(!received.is_empty() && received.len() <= limit / 1000, "{}", received.len());
    assert!((0..).zip(&received).all(|(n, data)| *data == [n; 1000]), "the oldest ones stay");
    let snapshot = bench.lab.snapshot(bench.host);
    assert_eq!(snapshot.udp.rcvbuf_errors, drops as u64);
    assert_eq!(snapshot.dropped(DropReason::SocketQueueFull), drops as u64);
    // Reading makes room.
    bench.inject_quietly(&host::datagram(US, 9, b"room"));
    assert_eq!(bench.received(socket), [b"room"]);
}
