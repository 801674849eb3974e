use super::*;
use crate::wire::WireErrorKind;

#[test]
fn a_tag_is_read_and_written() {
    let bytes = [0xb1, 0x23, 0x81, 0x00, 0x00, 0x05, 0x08, 0x00, 0x45];
    let outer = Vlan::parse(&bytes).unwrap();
    assert_eq!((outer.pcp(), outer.dei(), outer.vid()), (5, true, 0x123));
    assert_eq!(outer.ethertype(), EtherType::VLAN);
    let inner = Vlan::parse(outer.payload()).unwrap();
    assert_eq!((inner.pcp(), inner.dei(), inner.vid()), (0, false, 5));
    assert_eq!((inner.ethertype(), inner.payload()), (EtherType::IPV4, &[0x45][..]));

    let mut out = [0; 4];
    VlanRepr::from_view(&outer).emit(&mut out);
    assert_eq!(out, bytes[..4]);
}

#[test]
fn values_out_of_range_do_not_spill() {
    let mut out = [0; 4];
    VlanRepr { pcp: 0xff, dei: false, vid: 0xffff, ethertype: EtherType(0) }.emit(&mut out);
    assert_eq!(out, [0xef, 0xff, 0, 0]);
}

#[test]
fn a_short_tag_is_truncated() {
    for len in 0..HEADER_LEN {
        let error = Vlan::parse(&[0; HEADER_LEN][..len]).unwrap_err();
        assert_eq!((error.kind, error.needed, error.had), (WireErrorKind::Truncated, 4, len));
    }
}
