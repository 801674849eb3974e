use core::net::Ipv4Addr;
use std::vec;

use super::*;
use crate::wire::ipv4::{Protocol, pseudo_header_sum};

fn repr() -> TcpRepr<'static> {
    TcpRepr {
        src_port: 40000,
        dst_port: 80,
        seq: SeqNumber(0x1234_5678),
        ack: SeqNumber(0x9abc_def0),
        flags: TcpFlags::ACK | TcpFlags::PSH,
        window: 501,
        urgent: 3,
        options: TcpOptionsRepr { timestamps: Some((1, 2)), ..Default::default() },
    }
}

#[test]
fn a_segment_is_written_and_read() {
    let pseudo = pseudo_header_sum(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, Protocol::TCP, 37);
    let mut bytes = [0; 37];
    bytes[32..].copy_from_slice(b"hello");
    repr().emit(&mut bytes);
    fill_checksum(&mut bytes, pseudo);
    let tcp = Tcp::parse(&bytes).unwrap();
    assert_eq!((tcp.src_port(), tcp.dst_port()), (40000, 80));
    assert_eq!((tcp.seq(), tcp.ack()), (repr().seq, repr().ack));
    assert_eq!((tcp.flags(), tcp.window(), tcp.urgent()), (repr().flags, 501, 3));
    assert_eq!((tcp.header_len(), tcp.options().len(), tcp.payload()), (32, 12, &b"hello"[..]));
    assert!(tcp.verify_checksum(pseudo));
    bytes[33] ^= 1;
    assert!(!Tcp::parse(&bytes).unwrap().verify_checksum(pseudo));
}

#[test]
fn flags_have_their_bits() {
    let mut bytes = [0; 32];
    let every = [
        (TcpFlags::FIN, 0x001),
        (TcpFlags::SYN, 0x002),
        (TcpFlags::RST, 0x004),
        (TcpFlags::PSH, 0x008),
        (TcpFlags::ACK, 0x010),
        (TcpFlags::URG, 0x020),
        (TcpFlags::ECE, 0x040),
        (TcpFlags::CWR, 0x080),
        (TcpFlags::AE, 0x100),
    ];
    for (flags, bits) in every {
        TcpRepr { flags, ..repr() }.emit(&mut bytes);
        assert_eq!(u16::from_be_bytes([bytes[12], bytes[13]]), 0x8000 | bits);
        assert_eq!(Tcp::parse(&bytes).unwrap().flags(), flags);
    }
    // Reserved bits are neither read nor, by way of unknown flags, written.
    bytes[12] |= 0x0e;
    assert_eq!(Tcp::parse(&bytes).unwrap().flags(), TcpFlags::AE);
    TcpRepr { flags: TcpFlags::from_bits_retain(0xffff), ..repr() }.emit(&mut bytes);
    assert_eq!(bytes[12], 0x81);
}

#[test]
fn syn_and_fin_take_sequence_space() {
    let mut bytes = [0; 35];
    for (flags, expected) in [
        (TcpFlags::ACK, 3),
        (TcpFlags::SYN, 4),
        (TcpFlags::FIN | TcpFlags::ACK, 4),
        (TcpFlags::SYN | TcpFlags::FIN, 5),
    ] {
        TcpRepr { flags, ..repr() }.emit(&mut bytes);
        assert_eq!(Tcp::parse(&bytes).unwrap().segment_len(), expected);
    }
}

#[test]
fn the_data_offset_is_checked() {
    for offset in 0..16u8 {
        let mut bytes = vec![0; 40];
        bytes[12] = offset << 4;
        let len = usize::from(offset) * 4;
        let result = Tcp::parse(&bytes).map(|tcp| (tcp.options().len(), tcp.payload().len()));
        match len {
            0..20 => assert_eq!(
                result,
                Err(WireError::field(Layer::Tcp, WireErrorKind::BadHeaderLength, 12, 20, len))
            ),
            20..=40 => assert_eq!(result, Ok((len - 20, 40 - len))),
            _ => assert_eq!(result, Err(WireError::truncated(Layer::Tcp, len, 40))),
        }
    }
    for len in 0..20 {
        let error = Tcp::parse(&[0x50; 20][..len]).unwrap_err();
        assert_eq!(error, WireError::truncated(Layer::Tcp, 20, len));
    }
}
