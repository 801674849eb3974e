use core::net::Ipv4Addr;

use super::*;
use crate::wire::Protocol;
use crate::wire::ipv4::pseudo_header_sum;

fn pseudo(len: u16) -> Checksum {
    let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    pseudo_header_sum(src, dst, Protocol::UDP, len)
}

#[test]
fn a_datagram_is_written_and_read_without_its_padding() {
    let mut bytes = *b"________hello....";
    let repr = UdpRepr { src_port: 0x1234, dst_port: 53, len: 13 };
    repr.emit(&mut bytes);
    fill_checksum(&mut bytes[..13], pseudo(13));
    let udp = Udp::parse(&bytes).unwrap();
    assert_eq!(UdpRepr::from_view(&udp), repr);
    assert_eq!(udp.payload(), b"hello");
    assert!(udp.verify_checksum(pseudo(13)));
    assert!(!udp.verify_checksum(pseudo(14)));
    bytes[10] ^= 1;
    assert!(!Udp::parse(&bytes).unwrap().verify_checksum(pseudo(13)));
}

#[test]
fn lengths_are_checked() {
    let mut bytes = [0; 20];
    for len in 0..=30u16 {
        UdpRepr { src_port: 1, dst_port: 2, len }.emit(&mut bytes);
        let result = Udp::parse(&bytes).map(|udp| udp.payload().len());
        match len {
            0..8 => assert_eq!(
                result,
                Err(WireError::field(Layer::Udp, WireErrorKind::BadLength, 4, 8, len.into()))
            ),
            8..=20 => assert_eq!(result, Ok(usize::from(len) - 8)),
            _ => assert_eq!(result, Err(WireError::truncated(Layer::Udp, len.into(), 20))),
        }
    }
    for len in 0..8 {
        let error = Udp::parse(&bytes[..len]).unwrap_err();
        assert_eq!(error, WireError::truncated(Layer::Udp, 8, len));
    }
}

#[test]
fn no_checksum_is_accepted_and_zero_goes_out_as_ones() {
    let mut bytes = [0; 10];
    UdpRepr { src_port: 7, dst_port: 7, len: 10 }.emit(&mut bytes);
    assert!(Udp::parse(&bytes).unwrap().verify_checksum(pseudo(10)));
    // A payload that makes the sum all ones, the checksum therefore zero.
    let sum = pseudo(10).add(&bytes).fold();
    bytes[8..].copy_from_slice(&(!sum).to_be_bytes());
    fill_checksum(&mut bytes, pseudo(10));
    let udp = Udp::parse(&bytes).unwrap();
    assert_eq!(udp.checksum(), 0xffff);
    assert!(udp.verify_checksum(pseudo(10)));
}
